package keyring_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

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

func TestExpiredEpochIsLeftInNoFile(t *testing.T) {
	t.Parallel()
	dir, c := t.TempDir(), &clock{t: morning}
	k := openDir(t, dir, c)
	var kids []string
	var keys [][]byte
	for day := range 40 {
		c.set(morning.AddDate(0, 0, day))
		kid, err := k.CurrentKid(ctx)
		do(t, err)
		kids, keys = append(kids, kid), append(keys, k.EpochKeyBytes(ctx, t, kid))
	}
	got, err := k.ExpireEpochs(ctx)
	do(t, err)
	if want := 9; len(got) != want { // days 0 to 8 ended 30 days before day 39
		t.Fatalf("%d epochs destroyed, want %d", len(got), want)
	}
	for i, kid := range got {
		if kid != kids[i] {
			t.Errorf("destroyed %s, want %s", kid, kids[i])
		}
		if found := inFiles(t, dir, keys[i]); found != nil {
			t.Errorf("key of %s is still in %v", kid, found)
		}
	}
	if len(inFiles(t, dir, keys[9])) == 0 {
		t.Error("the scan does not find a living epoch")
	}
}

func TestSecretsAreReplacedAndDeleted(t *testing.T) {
	t.Parallel()
	k := open(t)
	_, err := k.Secret(ctx, "user-1", "a")
	wantErr(t, err, keyring.ErrKeyNotFound)
	do(t, k.PutSecret(ctx, "user-1", "a", []byte("one")))
	_, err = k.Secret(ctx, "user-1", "b")
	wantErr(t, err, keyring.ErrSecretNotFound)
	do(t, k.PutSecret(ctx, "user-1", "b", []byte("other")))
	do(t, k.PutSecret(ctx, "user-1", "a", bytes.Repeat([]byte("two"), 1000)))
	if got, err := k.Secret(ctx, "user-1", "a"); err != nil || len(got) != 3000 {
		t.Errorf("replaced secret: %d bytes, %v", len(got), err)
	}
	for range 2 {
		do(t, k.DeleteSecret(ctx, "user-1", "a"))
		_, err = k.Secret(ctx, "user-1", "a")
		wantErr(t, err, keyring.ErrSecretNotFound)
	}
	if got, err := k.Secret(ctx, "user-1", "b"); err != nil || string(got) != "other" {
		t.Errorf("other secret: %q, %v", []byte(got), err)
	}
}

func TestEpochsRotateAndExpire(t *testing.T) {
	t.Parallel()
	c := &clock{t: time.Date(2026, 11, 23, 23, 59, 59, 0, time.UTC)}
	k := openDir(t, t.TempDir(), c)
	first, err := k.CurrentKid(ctx)
	do(t, err)
	if len(first) != len("c2026-11-23-01234567") || first[:12] != "c2026-11-23-" {
		t.Errorf("kid %q", first)
	}
	code, err := k.Digits(ctx, first, "login.sms", "chl_1", 0, 6)
	do(t, err)
	// The day is the one in UTC, wherever the clock's location is.
	c.set(time.Date(2026, 11, 24, 8, 0, 0, 0, time.FixedZone("HKT", 8*3600)))
	second, err := k.CurrentKid(ctx)
	do(t, err)
	if second[:12] != "c2026-11-24-" {
		t.Errorf("kid of the next day is %q", second)
	}
	end := time.Date(2026, 12, 24, 0, 0, 0, 0, time.UTC) // day + 1 + 30
	c.set(end.Add(-time.Microsecond))
	if got, err := k.ExpireEpochs(ctx); err != nil || len(got) != 0 {
		t.Errorf("before its time: destroyed %v, %v", got, err)
	}
	if got, err := k.Digits(ctx, first, "login.sms", "chl_1", 0, 6); err != nil || got != code {
		t.Errorf("code on the last day: %s, %v; want %s", got, err, code)
	}
	c.set(end)
	if got, err := k.ExpireEpochs(ctx); err != nil || len(got) != 1 || got[0] != first {
		t.Fatalf("destroyed %v, %v; want %s", got, err, first)
	}
	_, err = k.Digits(ctx, first, "login.sms", "chl_1", 0, 6)
	wantErr(t, err, keyring.ErrKeyDestroyed)
	_, err = k.Digits(ctx, "c2026-11-23-00000000", "login.sms", "chl_1", 0, 6)
	wantErr(t, err, keyring.ErrKeyNotFound)
	if got, err := k.ExpireEpochs(ctx); err != nil || len(got) != 0 {
		t.Errorf("again: destroyed %v, %v", got, err)
	}
	epochs, err := k.Epochs(ctx)
	if err != nil || len(epochs) != 2 || epochs[0].Kid != first || !epochs[0].Destroyed.Equal(end) || !epochs[1].Destroyed.IsZero() {
		t.Errorf("epochs %+v, %v", epochs, err)
	}
	// A clock that goes back to the destroyed day gets a new key, not the old.
	c.set(morning)
	if third, err := k.CurrentKid(ctx); err != nil || third == first {
		t.Errorf("kid after the clock went back: %s, %v", third, err)
	}
}

func TestConcurrentFirstUseOfADayCreatesOneEpoch(t *testing.T) {
	t.Parallel()
	k := open(t)
	kids := make([]string, 64)
	var all sync.WaitGroup
	for i := range kids {
		all.Go(func() {
			kid, err := k.CurrentKid(ctx)
			if err != nil {
				t.Error(err)
			}
			kids[i] = kid
		})
	}
	all.Wait()
	for _, kid := range kids {
		if kid != kids[0] {
			t.Fatalf("kids %s and %s on one day", kids[0], kid)
		}
	}
	if n := k.Count(ctx, t, `SELECT count(*) FROM code_epochs`); n != 1 {
		t.Errorf("%d epochs, want 1", n)
	}
}
