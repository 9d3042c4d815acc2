// Package keyringtest is the contract of a keyring as a test suite, for every
// home that keys can have: keys.db, and side streams of any eventstore.Side.
//
// Run tests one keyring at a time, RunShared several nodes on one Side and what
// a Side may do to them, RunMove the way from one home to another.
package keyringtest

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/keyring"
)

// Home opens a keyring on one place where keys are kept. Opening it again after
// Close finds what was there. It must pass on clock and key-encryption key.
type Home func(t testing.TB, clock func() time.Time, kek keyring.KeyEncryption) *keyring.Keyring

// Factory makes an empty home.
type Factory func(t testing.TB) Home

// OnSide is the factory of homes in side streams, each with a Side of its own.
func OnSide(newSide func(t testing.TB) eventstore.Side) Factory {
	return func(t testing.TB) Home {
		side := newSide(t)
		return func(t testing.TB, clock func() time.Time, kek keyring.KeyEncryption) *keyring.Keyring {
			t.Helper()
			k, err := keyring.Open(t.Context(), keyring.Options{Side: side, Clock: clock, KEK: kek})
			if err != nil {
				t.Fatal(err)
			}
			return k
		}
	}
}

// morning is when the tests begin.
var morning = time.Date(2026, 11, 23, 8, 30, 0, 0, time.UTC)

var (
	event1 = uuid.MustParse("11111111-1111-5111-8111-111111111111")
	event2 = uuid.MustParse("22222222-2222-5222-8222-222222222222")
)

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: morning} }

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

func (c *clock) add(d time.Duration) { c.set(c.now().Add(d)) }

// world is one test's keyring, of which one is open at a time.
type world struct {
	testing.TB
	ctx   context.Context
	home  Home
	clock *clock
	file  string // of the key-encryption key
	k     *keyring.Keyring
}

func newWorld(t testing.TB, f Factory) *world {
	t.Helper()
	w := &world{TB: t, ctx: t.Context(), home: f(t), clock: newClock(), file: kekFile(t)}
	w.open()
	t.Cleanup(func() { w.do(w.k.Close()) })
	return w
}

// kekFile makes a key-encryption key.
func kekFile(t testing.TB) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "shared-kek.json")
	if _, err := keyring.CreateKEKFile(file); err != nil {
		t.Fatal(err)
	}
	return file
}

func openKEK(t testing.TB, file string) keyring.KeyEncryption {
	t.Helper()
	kek, err := keyring.OpenKEKFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return kek
}

func (w *world) open() { w.Helper(); w.k = w.home(w.TB, w.clock.now, openKEK(w.TB, w.file)) }

// restart closes the keyring and opens it with cold caches.
func (w *world) restart() {
	w.Helper()
	w.do(w.k.Close())
	w.open()
}

func (w *world) do(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) wantErr(err, want error) {
	w.Helper()
	if !errors.Is(err, want) {
		w.Fatalf("got error %v, want %v", err, want)
	}
}

func (w *world) seal(subject, clear string) string {
	w.Helper()
	sealed, err := w.k.Seal(w.ctx, subject, event1, "phone", []byte(clear))
	w.do(err)
	return sealed
}

func (w *world) wantOpen(subject, sealed, clear string) {
	w.Helper()
	got, err := w.k.Open(w.ctx, subject, event1, "phone", sealed)
	if err != nil || string(got) != clear {
		w.Fatalf("open %q: got %q, %v; want %q", subject, got, err, clear)
	}
}

func (w *world) wantGone(subject, sealed string) {
	w.Helper()
	_, err := w.k.Open(w.ctx, subject, event1, "phone", sealed)
	w.wantErr(err, keyring.ErrKeyDestroyed)
}

func (w *world) wantSecret(subject, id, want string) {
	w.Helper()
	got, err := w.k.Secret(w.ctx, subject, id)
	if err != nil || string(got) != want {
		w.Fatalf("secret %s of %q: got %q, %v; want %q", id, subject, []byte(got), err, want)
	}
}

func (w *world) kid() string {
	w.Helper()
	kid, err := w.k.CurrentKid(w.ctx)
	w.do(err)
	return kid
}

func (w *world) code(kid string) string {
	w.Helper()
	code, err := w.k.Digits(w.ctx, kid, "login.sms", "chl_1", 0, 9)
	w.do(err)
	return code
}

func (w *world) newSigner() keyring.SigningKey {
	w.Helper()
	key, err := w.k.NewSigningKey(w.ctx)
	w.do(err)
	return key
}

func (w *world) wantSignature(key keyring.SigningKey) {
	w.Helper()
	signature, err := w.k.Sign(w.ctx, key.Epoch, []byte("message"))
	w.do(err)
	if !ed25519.Verify(key.Public, []byte("message"), signature) {
		w.Fatalf("the signature of epoch %d does not verify", key.Epoch)
	}
}

// contents is something of every kind, to find again.
type contents struct {
	sealed  map[string]string // by subject; each holds its subject
	secrets map[string]string // by subject, of the id "a"
	codes   map[string]string // by kid
	signers []keyring.SigningKey
	blind   string
	erased  map[string]string // sealed once, by subject
}

// names are subjects that a stream name cannot hold, and some that it can.
var names = []string{
	"user-1", "user-2", "user 3", "user/4:a@b", "$all", "~", "-", "ユーザー", "user\u00a05", "user\u200b6", "\xff\xfe", "K\u0130",
	strings.Repeat("x", 200), strings.Repeat("x", 199) + "y", strings.Repeat("é", 100), "key-subject-user-1", "~" + strings.Repeat("0", 64),
}

// fill puts some of everything into the keyring. Subjects 0 and 1 are erased.
func (w *world) fill() contents {
	w.Helper()
	c := contents{sealed: map[string]string{}, secrets: map[string]string{}, codes: map[string]string{}, erased: map[string]string{}}
	for _, name := range names {
		c.sealed[name] = w.seal(name, name)
		w.do(w.k.PutSecret(w.ctx, name, "a", []byte("seed of "+name)))
		c.secrets[name] = "seed of " + name
	}
	w.do(w.k.PutSecret(w.ctx, names[2], "gone", []byte("x")))
	w.do(w.k.DeleteSecret(w.ctx, names[2], "gone"))
	w.do(w.k.Destroy(w.ctx, names[0], names[1], "never had a key"))
	for _, name := range names[:2] {
		c.erased[name] = c.sealed[name]
		delete(c.sealed, name)
		delete(c.secrets, name)
	}
	kid := w.kid()
	c.codes[kid] = w.code(kid)
	r, err := w.k.RotateCodeEpoch(w.ctx)
	w.do(err)
	c.codes[r.To] = w.code(r.To)
	c.signers = append(c.signers, w.newSigner(), w.newSigner())
	w.do(w.k.RetireSigningKey(w.ctx, 1))
	_, err = w.k.RotateSigningKey(w.ctx)
	w.do(err)
	blind, err := w.k.Blind(w.ctx, "phone", "+85291234567")
	w.do(err)
	c.blind = string(blind)
	return c
}

// check finds everything again.
func (w *world) check(c contents) {
	w.Helper()
	for name, sealed := range c.sealed {
		w.wantOpen(name, sealed, name)
	}
	for name, secret := range c.secrets {
		w.wantSecret(name, "a", secret)
		_, err := w.k.Secret(w.ctx, name, "gone")
		w.wantErr(err, keyring.ErrSecretNotFound)
	}
	for kid, code := range c.codes {
		if got := w.code(kid); got != code {
			w.Errorf("code of %s: got %s, want %s", kid, got, code)
		}
	}
	for name, sealed := range c.erased {
		w.wantGone(name, sealed)
		_, err := w.k.Seal(w.ctx, name, event2, "phone", nil)
		w.wantErr(err, keyring.ErrKeyDestroyed)
	}
	_, err := w.k.Seal(w.ctx, "never had a key", event2, "phone", nil)
	w.wantErr(err, keyring.ErrKeyDestroyed)
	_, err = w.k.Sign(w.ctx, 1, nil)
	w.wantErr(err, keyring.ErrKeyDestroyed)
	keys, err := w.k.SigningKeys(w.ctx)
	w.do(err)
	if len(keys) != 3 || !keys[0].Public.Equal(c.signers[0].Public) || keys[0].Retired.IsZero() || !keys[1].Retired.IsZero() {
		w.Errorf("signing keys %+v", keys)
	}
	w.wantSignature(c.signers[1])
	if blind, err := w.k.Blind(w.ctx, "phone", "+85291234567"); err != nil || string(blind) != c.blind {
		w.Errorf("blind index: %x, %v; want %x", blind, err, c.blind)
	}
}

// eventually waits until a condition holds that another goroutine brings about.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within a minute", what)
		}
	}
}

// atOnce runs a function in several goroutines and waits.
func atOnce(n int, do func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { do(i) })
	}
	all.Wait()
}

func subjects(prefix string, n int) []string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf("%s-%04d", prefix, i))
	}
	return list
}
