package keyring_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/authledger/authledger/eventstore/keyring"
)

// inFiles returns the names of the keyring's files that contain the bytes.
func inFiles(t testing.TB, dir string, secret []byte) []string {
	t.Helper()
	var found []string
	for _, name := range []string{"keys.db", "keys.db-wal", "keys.db-shm"} {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(content, secret) {
			found = append(found, name)
		}
	}
	return found
}

func TestDestroyedSubjectIsGone(t *testing.T) {
	t.Parallel()
	k := open(t)
	sealed := seal(t, k, "user-1", event1, "phone", "x")
	kept := seal(t, k, "user-2", event1, "phone", "y")
	do(t, k.PutSecret(ctx, "user-1", "a", []byte("seed")))
	for range 2 { // the second time changes nothing
		do(t, k.Destroy(ctx, "user-1"))
		_, err := k.Open(ctx, "user-1", event1, "phone", sealed)
		wantErr(t, err, keyring.ErrKeyDestroyed)
		_, err = k.Seal(ctx, "user-1", event1, "phone", []byte("x"))
		wantErr(t, err, keyring.ErrKeyDestroyed)
		_, err = k.Secret(ctx, "user-1", "a")
		wantErr(t, err, keyring.ErrKeyDestroyed)
		wantErr(t, k.PutSecret(ctx, "user-1", "a", []byte("seed")), keyring.ErrKeyDestroyed)
		wantErr(t, k.CreateKeys(ctx, "user-1"), keyring.ErrKeyDestroyed)
		do(t, k.DeleteSecret(ctx, "user-1", "a"))
	}
	if n := k.Count(ctx, t, `SELECT count(*) FROM secrets`); n != 0 {
		t.Errorf("%d secrets left", n)
	}
	wantOpen(t, k, "user-2", event1, "phone", kept, "y")
}

// An older keys.db that is restored learns the later erasures from the ledger,
// also of subjects it has not seen.
func TestDestroyOfUnknownSubjectForbidsItsKey(t *testing.T) {
	t.Parallel()
	k := open(t)
	do(t, k.Destroy(ctx, "user-1"))
	_, err := k.Seal(ctx, "user-1", event1, "phone", []byte("x"))
	wantErr(t, err, keyring.ErrKeyDestroyed)
}

// Enough subjects and secrets that pages split and merge, created and deleted
// in a mixed order, so that a copy of a row left behind in a page would show.
func TestNoDestroyedKeyIsLeftInTheFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	k := openDir(t, dir, &clock{t: morning})
	const subjects = 1500
	name := func(i int) string { return fmt.Sprintf("user-%04d", i*611%subjects) } // not in the index's order
	for from := 0; from < subjects; from += 500 {
		var batch []string
		for i := from; i < from+500; i++ {
			batch = append(batch, name(i))
		}
		do(t, k.CreateKeys(ctx, batch...))
	}
	for i := range 400 {
		do(t, k.PutSecret(ctx, name(i), "ocra", fmt.Appendf(nil, "clear-secret-%04d", i)))
	}
	type trace struct{ key, secret []byte }
	var gone []trace
	for i := 0; i < 400; i += 3 {
		gone = append(gone, trace{k.SubjectKeyBytes(ctx, t, name(i)), k.SecretBytes(ctx, t, name(i), "ocra")})
	}
	if len(inFiles(t, dir, gone[0].key)) == 0 || len(inFiles(t, dir, gone[0].secret)) == 0 {
		t.Fatal("the scan does not find a living key, so it proves nothing")
	}
	for i := 0; i < 400; i += 3 {
		do(t, k.Destroy(ctx, name(i)))
	}
	for i, g := range gone {
		if found := inFiles(t, dir, g.key); found != nil {
			t.Errorf("wrapped key %d is still in %v", i, found)
		}
		// Parts too: a page that was reused may keep half a row.
		if found := inFiles(t, dir, g.key[len(g.key)/2:]); found != nil {
			t.Errorf("half of wrapped key %d is still in %v", i, found)
		}
		if found := inFiles(t, dir, g.secret); found != nil {
			t.Errorf("sealed secret %d is still in %v", i, found)
		}
	}
	if found := inFiles(t, dir, []byte("clear-secret-")); found != nil {
		t.Errorf("a clear secret is in %v", found)
	}
	if info, err := os.Stat(filepath.Join(dir, "keys.db-wal")); err != nil || info.Size() != 0 {
		t.Errorf("write-ahead log: %v, %v; want 0 bytes", info.Size(), err)
	}
}

// A reader that holds the log keeps old pages; Destroy must say so and succeed
// when repeated.
func TestDestroyReportsAnUnscrubbedLog(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("waits for SQLite's busy timeout")
	}
	dir := t.TempDir()
	k := openDir(t, dir, &clock{t: morning})
	seal(t, k, "user-1", event1, "phone", "x")
	key := k.SubjectKeyBytes(ctx, t, "user-1")
	release := k.HoldRead(ctx, t)
	err := k.Destroy(ctx, "user-1")
	release()
	if err == nil {
		t.Fatal("destroyed although a reader held the log")
	}
	if len(inFiles(t, dir, key)) == 0 {
		t.Error("the key was gone, so the error is wrong")
	}
	_, openErr := k.Seal(ctx, "user-1", event1, "phone", nil)
	wantErr(t, openErr, keyring.ErrKeyDestroyed)
	do(t, k.Destroy(ctx, "user-1"))
	if found := inFiles(t, dir, key); found != nil {
		t.Errorf("wrapped key is still in %v", found)
	}
}

// Whatever the interleaving, once Destroy returned nobody seals or opens.
func TestDestroyAgainstConcurrentUse(t *testing.T) {
	t.Parallel()
	k := open(t)
	for round := range 20 {
		subject := fmt.Sprintf("user-%d", round)
		sealed := seal(t, k, subject, event1, "phone", "x")
		stop := make(chan struct{})
		var users sync.WaitGroup
		for range 4 {
			users.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					_, err := k.Open(ctx, subject, event1, "phone", sealed)
					if err == nil {
						err = k.PutSecret(ctx, subject, "a", []byte("s"))
					}
					if err != nil && !errors.Is(err, keyring.ErrKeyDestroyed) {
						t.Error(err)
						return
					}
				}
			})
		}
		do(t, k.Destroy(ctx, subject))
		_, err := k.Open(ctx, subject, event1, "phone", sealed)
		wantErr(t, err, keyring.ErrKeyDestroyed)
		close(stop)
		users.Wait()
		_, err = k.Open(ctx, subject, event1, "phone", sealed)
		wantErr(t, err, keyring.ErrKeyDestroyed)
	}
	if n := k.Count(ctx, t, `SELECT count(*) FROM secrets`); n != 0 {
		t.Errorf("%d secrets of destroyed subjects", n)
	}
}

func TestKeyIDNamesTheRowAndOutlivesTheKey(t *testing.T) {
	t.Parallel()
	k := open(t)
	_, err := k.KeyID(ctx, "user-1")
	wantErr(t, err, keyring.ErrKeyNotFound)
	seal(t, k, "user-1", event1, "phone", "x")
	seal(t, k, "user-2", event1, "phone", "y")
	first, err := k.KeyID(ctx, "user-1")
	do(t, err)
	second, err := k.KeyID(ctx, "user-2")
	do(t, err)
	if first != "k1" || second != "k2" {
		t.Errorf("the keys are named %s and %s, want k1 and k2", first, second)
	}
	do(t, k.Destroy(ctx, "user-1"))
	if again, err := k.KeyID(ctx, "user-1"); err != nil || again != first {
		t.Errorf("destroyed it is named %q (%v), want %s", again, err, first)
	}
}
