package keyring_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/mattn/go-sqlite3"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/keyring"
)

// What the files hold at the moment a call returned is what a crash would
// leave; a fresh process must find everything in it.
func TestAcknowledgedKeysAreInTheFiles(t *testing.T) {
	t.Parallel()
	dir, c := t.TempDir(), &clock{t: morning}
	k := openDir(t, dir, c)
	image := func() *keyring.Keyring {
		crashed := t.TempDir()
		for _, name := range []string{"kek.json", "keys.db", "keys.db-wal"} {
			copyFile(t, filepath.Join(dir, name), filepath.Join(crashed, name))
		}
		return openDir(t, crashed, c)
	}
	sealed := seal(t, k, "user-1", event1, "phone", "x")
	wantOpen(t, image(), "user-1", event1, "phone", sealed, "x")

	do(t, k.PutSecret(ctx, "user-1", "a", []byte("seed")))
	if got, err := image().Secret(ctx, "user-1", "a"); err != nil || string(got) != "seed" {
		t.Errorf("secret after a crash: %q, %v", []byte(got), err)
	}
	kid, err := k.CurrentKid(ctx)
	do(t, err)
	if got, err := image().CurrentKid(ctx); err != nil || got != kid {
		t.Errorf("kid after a crash: %s, %v; want %s", got, err, kid)
	}
	do(t, k.Destroy(ctx, "user-1"))
	_, err = image().Open(ctx, "user-1", event1, "phone", sealed)
	wantErr(t, err, keyring.ErrKeyDestroyed)
}

func TestFullDiskRefusesNewKeysAndRecovers(t *testing.T) {
	t.Parallel()
	k := open(t)
	sealed := seal(t, k, "user-1", event1, "phone", "x")
	k.Tamper(ctx, t, `PRAGMA max_page_count = 1`) // SQLite keeps the present size as the limit
	var refused error
	n := 0
	for ; refused == nil && n < 1000; n++ {
		_, refused = k.Seal(ctx, fmt.Sprintf("user-full-%d", n), event1, "phone", nil)
	}
	wantErr(t, refused, eventstore.ErrUnavailable)
	var driver sqlite3.Error
	if errors.As(refused, &driver) {
		t.Errorf("a driver's error left the package: %v", refused)
	}
	last := fmt.Sprintf("user-full-%d", n-1)
	_, err := k.Open(ctx, last, event1, "phone", sealed)
	wantErr(t, err, keyring.ErrKeyNotFound)
	wantOpen(t, k, "user-1", event1, "phone", sealed, "x")
	k.Tamper(ctx, t, `PRAGMA max_page_count = 1000000`)
	seal(t, k, last, event1, "phone", "x")
}

// After a failed write to the disk nothing this process reads back can be
// trusted, so it must not write again; a full or busy disk is no such failure.
func TestWritingStopsAfterAnInputOutputError(t *testing.T) {
	t.Parallel()
	k := open(t)
	sealed := seal(t, k, "user-1", event1, "phone", "x")
	for _, code := range []sqlite3.ErrNo{sqlite3.ErrFull, sqlite3.ErrBusy} {
		wantErr(t, k.Write(ctx, sqlite3.Error{Code: code}), eventstore.ErrUnavailable)
		do(t, k.Write(ctx, nil))
	}
	wantErr(t, k.Write(ctx, fmt.Errorf("commit: %w", sqlite3.Error{Code: sqlite3.ErrIoErr})), eventstore.ErrUnavailable)
	_, err := k.Seal(ctx, "user-2", event1, "phone", nil)
	wantErr(t, err, eventstore.ErrUnavailable)
	if !strings.Contains(err.Error(), "stopped writing") {
		t.Errorf("error %q does not say why", err)
	}
	wantErr(t, k.Destroy(ctx, "user-1"), eventstore.ErrUnavailable)
	wantErr(t, k.DeleteSecret(ctx, "user-1", "a"), eventstore.ErrUnavailable)
	wantOpen(t, k, "user-1", event1, "phone", sealed, "x") // reading goes on
}

// Everybody whose operation was in a failed batch learns of it, and nothing of
// the batch is in the file.
func TestFailedCommitFailsEveryWaiter(t *testing.T) {
	t.Parallel()
	k := open(t)
	const callers = 8
	var all sync.WaitGroup
	k.InBatch(t, callers+1, func() {
		for i := range callers {
			all.Go(func() {
				if _, err := k.Seal(ctx, fmt.Sprintf("user-%d", i), event1, "phone", nil); !errors.Is(err, eventstore.ErrUnavailable) {
					t.Errorf("caller %d: got %v", i, err)
				}
			})
		}
		all.Go(func() {
			if err := k.Write(ctx, sqlite3.Error{Code: sqlite3.ErrFull}); !errors.Is(err, eventstore.ErrUnavailable) {
				t.Errorf("got %v", err)
			}
		})
	})
	all.Wait()
	if n := k.Count(ctx, t, `SELECT count(*) FROM subject_keys`); n != 0 {
		t.Errorf("%d keys of a failed batch", n)
	}
	seal(t, k, "user-0", event1, "phone", "x")
}

func TestFileInPlaceOfTheDirectoryIsAnError(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	do(t, os.WriteFile(file, nil, 0o600))
	if _, err := keyring.Open(ctx, keyring.Options{Dir: file}); err == nil {
		t.Error("opened a keyring inside a file")
	}
}
