package keyring_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/keyring"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	ctx     = context.Background()
	event1  = uuid.MustParse("11111111-1111-5111-8111-111111111111")
	event2  = uuid.MustParse("22222222-2222-5222-8222-222222222222")
	morning = time.Date(2026, 11, 23, 8, 30, 0, 0, time.UTC)
)

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = t
}

func openDir(t testing.TB, dir string, c *clock) *keyring.Keyring {
	t.Helper()
	k, err := keyring.Open(ctx, keyring.Options{Dir: dir, Clock: c.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	})
	return k
}

func open(t testing.TB) *keyring.Keyring {
	t.Helper()
	return openDir(t, t.TempDir(), &clock{t: morning})
}

func seal(t testing.TB, k *keyring.Keyring, subject string, e uuid.UUID, field, clear string) string {
	t.Helper()
	s, err := k.Seal(ctx, subject, e, field, []byte(clear))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func wantOpen(t testing.TB, k *keyring.Keyring, subject string, e uuid.UUID, field, sealed, want string) {
	t.Helper()
	got, err := k.Open(ctx, subject, e, field, sealed)
	if err != nil || string(got) != want {
		t.Fatalf("open %s of %s: got %q, %v; want %q", field, subject, got, err, want)
	}
}

func wantErr(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
}

func TestReopenKeepsEverything(t *testing.T) {
	t.Parallel()
	dir, c := t.TempDir(), &clock{t: morning}
	k := openDir(t, dir, c)
	sealed := seal(t, k, "user-1", event1, "phone", "+85291234567")
	if err := k.PutSecret(ctx, "user-1", "dev-1/ocra", []byte("seed")); err != nil {
		t.Fatal(err)
	}
	if err := k.Destroy(ctx, "user-2"); err != nil {
		t.Fatal(err)
	}
	kid, err := k.CurrentKid(ctx)
	if err != nil {
		t.Fatal(err)
	}
	code, err := k.Digits(ctx, kid, "login.sms", "chl_1", 0, 6)
	if err != nil {
		t.Fatal(err)
	}
	blind, err := k.Blind(ctx, "phone/v1", "+85291234567")
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}

	k, err = keyring.Open(ctx, keyring.Options{Dir: dir, Clock: c.now, LedgerNotEmpty: true})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	wantOpen(t, k, "user-1", event1, "phone", sealed, "+85291234567")
	if got, err := k.Secret(ctx, "user-1", "dev-1/ocra"); err != nil || string(got) != "seed" {
		t.Errorf("secret: got %q, %v", []byte(got), err)
	}
	_, err = k.Seal(ctx, "user-2", event1, "phone", []byte("x"))
	wantErr(t, err, keyring.ErrKeyDestroyed)
	if got, err := k.CurrentKid(ctx); err != nil || got != kid {
		t.Errorf("current kid: got %s, %v; want %s", got, err, kid)
	}
	if got, err := k.Digits(ctx, kid, "login.sms", "chl_1", 0, 6); err != nil || got != code {
		t.Errorf("code: got %s, %v; want %s", got, err, code)
	}
	if got, err := k.Blind(ctx, "phone/v1", "+85291234567"); err != nil || !bytes.Equal(got, blind) {
		t.Errorf("blind index: got %x, %v; want %x", got, err, blind)
	}
}

func TestCreatedFilesBelongToTheOwnerOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	k := openDir(t, dir, &clock{t: morning})
	seal(t, k, "user-1", event1, "phone", "x") // so that -wal and -shm exist
	for name, want := range map[string]os.FileMode{"kek.json": 0o400, "keys.db": 0o600, "keys.db-wal": 0o600, "keys.db-shm": 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s: mode %#o, want %#o", name, got, want)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "kek.json.new")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("temporary key file is still there: %v", err)
	}
}

func TestCallsAfterCloseAndWithEndedContext(t *testing.T) {
	t.Parallel()
	k := open(t)
	kid, err := k.CurrentKid(ctx)
	if err != nil {
		t.Fatal(err)
	}
	calls := map[string]func(context.Context) error{
		"Seal":         func(ctx context.Context) error { _, err := k.Seal(ctx, "u", event1, "f", nil); return err },
		"Open":         func(ctx context.Context) error { _, err := k.Open(ctx, "u", event1, "f", "k1."); return err },
		"Destroy":      func(ctx context.Context) error { return k.Destroy(ctx, "u") },
		"CreateKeys":   func(ctx context.Context) error { return k.CreateKeys(ctx, "u") },
		"PutSecret":    func(ctx context.Context) error { return k.PutSecret(ctx, "u", "i", nil) },
		"Secret":       func(ctx context.Context) error { _, err := k.Secret(ctx, "u", "i"); return err },
		"DeleteSecret": func(ctx context.Context) error { return k.DeleteSecret(ctx, "u", "i") },
		"CurrentKid":   func(ctx context.Context) error { _, err := k.CurrentKid(ctx); return err },
		"ExpireEpochs": func(ctx context.Context) error { _, err := k.ExpireEpochs(ctx); return err },
		"Epochs":       func(ctx context.Context) error { _, err := k.Epochs(ctx); return err },
		"Digits":       func(ctx context.Context) error { _, err := k.Digits(ctx, kid, "p", "s", 0, 6); return err },
		"Challenge":    func(ctx context.Context) error { _, err := k.Challenge(ctx, kid, "p", "s", 0); return err },
		"Activation":   func(ctx context.Context) error { _, err := k.Activation(ctx, kid, "p", "s", 0); return err },
		"KeyID":        func(ctx context.Context) error { _, err := k.KeyID(ctx, "u"); return err },
		"SigningKeys":  func(ctx context.Context) error { _, err := k.SigningKeys(ctx); return err },
		"Sign":         func(ctx context.Context) error { _, err := k.Sign(ctx, 1, nil); return err },
		"NewSigning":   func(ctx context.Context) error { _, err := k.NewSigningKey(ctx); return err },
		"Retire":       func(ctx context.Context) error { return k.RetireSigningKey(ctx, 1) },
		"RotateKEK":    func(ctx context.Context) error { _, err := k.RotateKEK(ctx); return err },
		"RotateCodes":  func(ctx context.Context) error { _, err := k.RotateCodeEpoch(ctx); return err },
		"RotateSigner": func(ctx context.Context) error { _, err := k.RotateSigningKey(ctx); return err },
		"Rotations":    func(ctx context.Context) error { _, err := k.Rotations(ctx, 0); return err },
		"Keys":         func(ctx context.Context) error { _, err := k.Keys(ctx); return err },
		"Destroyed":    func(ctx context.Context) error { _, err := k.Destroyed(ctx, "u"); return err },
		"Patterns":     func(ctx context.Context) error { _, err := k.ErasurePatterns(ctx, "u"); return err },
		"Scan":         func(ctx context.Context) error { _, err := k.Scan(ctx, ".", keyring.Patterns{}, nil); return err },
		"Blind":        func(ctx context.Context) error { _, err := k.Blind(ctx, "p", "v"); return err },
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	for name, call := range calls {
		if err := call(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("%s with an ended context: got %v", name, err)
		}
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	for name, call := range calls {
		if err := call(ctx); !errors.Is(err, eventstore.ErrClosed) {
			t.Errorf("%s after Close: got %v", name, err)
		}
	}
	if err := k.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func TestArgumentsOutsideTheLimitsAreRefused(t *testing.T) {
	t.Parallel()
	k := open(t)
	kid, err := k.CurrentKid(ctx)
	if err != nil {
		t.Fatal(err)
	}
	long := string(bytes.Repeat([]byte("x"), 201))
	for _, bad := range []string{"", long, "a\x1fb", "a\nb", "a\x7f"} {
		_, err := k.Seal(ctx, bad, event1, "phone", nil)
		wantErr(t, err, keyring.ErrInvalid)
		_, err = k.Seal(ctx, "user-1", event1, bad, nil)
		wantErr(t, err, keyring.ErrInvalid)
		_, err = k.Open(ctx, bad, event1, "phone", "k1.")
		wantErr(t, err, keyring.ErrInvalid)
		wantErr(t, k.Destroy(ctx, bad), keyring.ErrInvalid)
		wantErr(t, k.Destroy(ctx, "user-1", bad), keyring.ErrInvalid)
		_, err = k.KeyID(ctx, bad)
		wantErr(t, err, keyring.ErrInvalid)
		_, err = k.Destroyed(ctx, bad)
		wantErr(t, err, keyring.ErrInvalid)
		_, err = k.ErasurePatterns(ctx, "user-1", bad)
		wantErr(t, err, keyring.ErrInvalid)
		wantErr(t, k.CreateKeys(ctx, "user-1", bad), keyring.ErrInvalid)
		wantErr(t, k.PutSecret(ctx, bad, "id", nil), keyring.ErrInvalid)
		wantErr(t, k.PutSecret(ctx, "user-1", bad, nil), keyring.ErrInvalid)
		wantErr(t, k.DeleteSecret(ctx, "user-1", bad), keyring.ErrInvalid)
		_, err = k.Secret(ctx, "user-1", bad)
		wantErr(t, err, keyring.ErrInvalid)
		_, err = k.Digits(ctx, kid, bad, "s", 0, 6)
		wantErr(t, err, keyring.ErrInvalid)
		_, err = k.Challenge(ctx, kid, "p", bad, 0)
		wantErr(t, err, keyring.ErrInvalid)
		_, err = k.Blind(ctx, bad, "v")
		wantErr(t, err, keyring.ErrInvalid)
	}
	_, err = k.Seal(ctx, "user-1", uuid.Nil, "phone", nil)
	wantErr(t, err, keyring.ErrInvalid)
	_, err = k.Seal(ctx, "user-1", event1, "phone", make([]byte, keyring.MaxSealed+1))
	wantErr(t, err, keyring.ErrInvalid)
	wantErr(t, k.PutSecret(ctx, "user-1", "id", make([]byte, keyring.MaxSealed+1)), keyring.ErrInvalid)
	wantErr(t, k.CreateKeys(ctx, make([]string, 1001)...), keyring.ErrInvalid)
	wantErr(t, k.Destroy(ctx, make([]string, 1001)...), keyring.ErrInvalid)
	for _, n := range []int{-1, 0, 3, 10} {
		_, err = k.Digits(ctx, kid, "p", "s", 0, n)
		wantErr(t, err, keyring.ErrInvalid)
	}
	_, err = k.Activation(ctx, kid, "p", "s", -1)
	wantErr(t, err, keyring.ErrInvalid)
	if n := k.Count(ctx, t, `SELECT count(*) FROM subject_keys`); n != 0 {
		t.Errorf("refused calls created %d keys", n)
	}
}

func TestConcurrentUseOfOneNewSubjectCreatesOneKey(t *testing.T) {
	t.Parallel()
	k := open(t)
	const callers = 64
	sealed := make([]string, callers)
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			s, err := k.Seal(ctx, "user-new", event1, "phone", fmt.Append(nil, i))
			if err != nil {
				t.Error(err)
			}
			sealed[i] = s
		})
	}
	all.Wait()
	if n := k.Count(ctx, t, `SELECT count(*) FROM subject_keys`); n != 1 {
		t.Errorf("%d keys, want 1", n)
	}
	for i, s := range sealed {
		wantOpen(t, k, "user-new", event1, "phone", s, fmt.Sprint(i))
	}
}

func TestWaitingCallersShareOneCommit(t *testing.T) {
	t.Parallel()
	k := open(t)
	const callers = 64
	var all sync.WaitGroup
	k.InBatch(t, callers, func() {
		for i := range callers {
			all.Go(func() {
				if _, err := k.Seal(ctx, fmt.Sprintf("user-%d", i), event1, "phone", nil); err != nil {
					t.Error(err)
				}
			})
		}
	})
	all.Wait()
	if n := k.Count(ctx, t, `SELECT count(*) FROM subject_keys`); n != callers {
		t.Errorf("%d keys, want %d", n, callers)
	}
}

func TestCreateKeysKeepsExistingOnes(t *testing.T) {
	t.Parallel()
	k := open(t)
	sealed := seal(t, k, "user-1", event1, "phone", "x")
	if err := k.CreateKeys(ctx, "user-1", "user-2", "user-2", "user-3"); err != nil {
		t.Fatal(err)
	}
	if n := k.Count(ctx, t, `SELECT count(*) FROM subject_keys`); n != 3 {
		t.Errorf("%d keys, want 3", n)
	}
	wantOpen(t, k, "user-1", event1, "phone", sealed, "x")
	if err := k.Destroy(ctx, "user-2"); err != nil {
		t.Fatal(err)
	}
	wantErr(t, k.CreateKeys(ctx, "user-2", "user-4"), keyring.ErrKeyDestroyed)
	if n := k.Count(ctx, t, `SELECT count(*) FROM subject_keys WHERE length(wrapped) > 0 AND destroyed_at = 9223372036854775807`); n != 3 {
		t.Errorf("%d living keys, want 3", n)
	}
	if err := k.CreateKeys(ctx); err != nil {
		t.Errorf("no subjects: %v", err)
	}
}
