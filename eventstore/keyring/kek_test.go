package keyring_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/keyring"
)

// service is a key management service in memory: what it holds outlives the
// clients that a keyring opens and closes. A ciphertext begins with the number
// of its key, 4 bytes big-endian.
type service struct {
	mu      sync.Mutex
	keys    map[uint32]cipher.AEAD
	primary uint32
	down    error // what every call answers while it is set
	longer  int   // bytes that ciphertexts of new keys have more, against the contract
}

func newService() *service {
	s := &service{keys: map[uint32]cipher.AEAD{}}
	s.add()
	return s
}

func (s *service) add() {
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	s.primary++
	s.keys[s.primary] = gcm
}

func (s *service) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = err
}

func (s *service) lengthen(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.longer = n
}

// client is a KeyEncryption over the service.
type client struct{ *service }

func (c client) Encrypt(_ context.Context, plaintext, associatedData []byte) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down != nil {
		return nil, c.down
	}
	out := binary.BigEndian.AppendUint32(nil, c.primary)
	nonce := make([]byte, 12)
	_, _ = rand.Read(nonce)
	plaintext = append(plaintext[:len(plaintext):len(plaintext)], make([]byte, c.longer)...)
	return c.keys[c.primary].Seal(append(out, nonce...), nonce, plaintext, associatedData), nil
}

func (c client) Decrypt(_ context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down != nil {
		return nil, c.down
	}
	if len(ciphertext) < 16 {
		return nil, keyring.ErrNotAuthentic
	}
	key := c.keys[binary.BigEndian.Uint32(ciphertext)]
	if key == nil {
		return nil, keyring.ErrNotAuthentic
	}
	clear, err := key.Open(nil, ciphertext[4:16], ciphertext[16:], associatedData)
	if err != nil {
		return nil, keyring.ErrNotAuthentic
	}
	return clear, nil
}

func (c client) ID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprintf("service-key-%d", c.primary)
}

func (c client) Older() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var numbers []uint32
	for n := range c.keys {
		if n != c.primary {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	var names []string
	for _, n := range numbers {
		names = append(names, fmt.Sprintf("service-key-%d", n))
	}
	return names
}

func (c client) Rotate(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down == nil {
		c.add()
	}
	return c.down
}

func (c client) Retire(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down != nil {
		return c.down
	}
	for n := range c.keys {
		if n != c.primary {
			delete(c.keys, n)
		}
	}
	return nil
}

func (client) Close() error { return nil }

// backend is one place where the key-encryption key may live.
type backend struct {
	name string
	// kek gives what to put into Options for a directory; nil is kek.json.
	kek func(dir string) keyring.KeyEncryption
	// open opens the key by itself, as a restarted process would.
	open func(dir string) (keyring.KeyEncryption, error)
}

func backends() []backend {
	var mu sync.Mutex
	services := map[string]*service{}
	of := func(dir string) keyring.KeyEncryption {
		mu.Lock()
		defer mu.Unlock()
		if services[dir] == nil {
			services[dir] = newService()
		}
		return client{services[dir]}
	}
	return []backend{
		{"file", func(string) keyring.KeyEncryption { return nil }, keyring.OpenFileKEK},
		{"service", of, func(dir string) (keyring.KeyEncryption, error) { return of(dir), nil }},
	}
}

// onEach runs a test over every backend.
func onEach(t *testing.T, run func(t *testing.T, b backend)) {
	t.Helper()
	t.Parallel()
	for _, b := range backends() {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			run(t, b)
		})
	}
}

func (b backend) options(dir string) keyring.Options {
	return keyring.Options{Dir: dir, Clock: (&clock{t: morning}).now, KEK: b.kek(dir)}
}

// keyring opens a directory whose keyring the test closes itself.
func (b backend) keyring(t testing.TB, dir string) *keyring.Keyring {
	t.Helper()
	k, err := keyring.Open(ctx, b.options(dir))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// The promises of KeyEncryption, each by its own words.
func TestKeyEncryptionContract(t *testing.T) {
	onEach(t, func(t *testing.T, b backend) {
		dir := t.TempDir()
		kek := reopenKEK(t, b, dir, nil)
		encrypt := func(plain string) []byte {
			t.Helper()
			c, err := kek.Encrypt(ctx, []byte(plain), []byte("place"))
			do(t, err)
			return c
		}
		wantClear := func(c []byte, want string) {
			t.Helper()
			if got, err := kek.Decrypt(ctx, c, []byte("place")); err != nil || string(got) != want {
				t.Fatalf("decrypted %q, %v; want %q", got, err, want)
			}
		}
		first := encrypt("one")
		wantClear(first, "one")
		_, err := kek.Decrypt(ctx, first, []byte("elsewhere"))
		wantErr(t, err, keyring.ErrNotAuthentic)
		for i := range first {
			changed := bytes.Clone(first)
			changed[i] ^= 1
			_, err := kek.Decrypt(ctx, changed, []byte("place"))
			wantErr(t, err, keyring.ErrNotAuthentic)
		}
		_, err = kek.Decrypt(ctx, nil, []byte("place"))
		wantErr(t, err, keyring.ErrNotAuthentic)

		overhead, id := len(first)-3, kek.ID()
		if older := kek.Older(); len(older) != 0 {
			t.Errorf("a new key has older ones: %v", older)
		}
		do(t, kek.Rotate(ctx))
		if kek.ID() == id || !slices.Equal(kek.Older(), []string{id}) {
			t.Errorf("after a rotation: %s with %v, want a new one with %s", kek.ID(), kek.Older(), id)
		}
		kek = reopenKEK(t, b, dir, kek)
		if !slices.Equal(kek.Older(), []string{id}) {
			t.Errorf("the rotation was not durable: older %v", kek.Older())
		}
		wantClear(first, "one")
		second := encrypt("a longer plaintext")
		if got := len(second) - len("a longer plaintext"); got != overhead {
			t.Errorf("overhead of %d bytes, before it was %d", got, overhead)
		}
		do(t, kek.Retire(ctx))
		do(t, kek.Retire(ctx)) // again is harmless
		for range 2 {
			wantClear(second, "a longer plaintext")
			_, err = kek.Decrypt(ctx, first, []byte("place"))
			wantErr(t, err, keyring.ErrNotAuthentic)
			if kek.ID() == id || len(kek.Older()) != 0 {
				t.Errorf("after retiring: %s with %v", kek.ID(), kek.Older())
			}
			kek = reopenKEK(t, b, dir, kek)
		}
		do(t, kek.Close())
	})
}

func reopenKEK(t *testing.T, b backend, dir string, open keyring.KeyEncryption) keyring.KeyEncryption {
	t.Helper()
	if open != nil {
		do(t, open.Close())
	}
	kek, err := b.open(dir)
	do(t, err)
	return kek
}

// A service that does not answer is no reason to call a key forged or wrong.
func TestUnreachableKeyEncryptionIsUnavailable(t *testing.T) {
	t.Parallel()
	s, dir := newService(), t.TempDir()
	options := keyring.Options{Dir: dir, Clock: (&clock{t: morning}).now, KEK: client{s}}
	k, err := keyring.Open(ctx, options)
	do(t, err)
	sealed := seal(t, k, "user-1", event1, "phone", "x")
	key, err := k.NewSigningKey(ctx)
	do(t, err)
	do(t, k.Close())

	k, err = keyring.Open(ctx, options)
	do(t, err)
	s.fail(errors.New("connection refused"))
	_, err = k.Open(ctx, "user-1", event1, "phone", sealed)
	wantErr(t, err, eventstore.ErrUnavailable)
	_, err = k.Sign(ctx, key.Epoch, nil)
	wantErr(t, err, eventstore.ErrUnavailable)
	s.fail(context.DeadlineExceeded)
	_, err = k.Open(ctx, "user-1", event1, "phone", sealed)
	wantErr(t, err, context.DeadlineExceeded)
	do(t, k.Close())
	s.fail(errors.New("connection refused"))
	_, err = keyring.Open(ctx, options)
	wantErr(t, err, eventstore.ErrUnavailable)
	s.fail(nil)
	k, err = keyring.Open(ctx, options)
	do(t, err)
	wantOpen(t, k, "user-1", event1, "phone", sealed, "x")
	_, err = k.Sign(ctx, key.Epoch, nil)
	do(t, err)
	do(t, k.Close())
}

func TestForeignKeyEncryptionIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	k, err := keyring.Open(ctx, keyring.Options{Dir: dir, KEK: client{newService()}})
	do(t, err)
	var refused *keyring.StartError
	if _, err := keyring.Open(ctx, keyring.Options{Dir: dir, KEK: client{newService()}}); !errors.As(err, &refused) || refused.Reason != keyring.KeysLocked {
		t.Errorf("second process: %v, want reason %s", err, keyring.KeysLocked)
	}
	do(t, k.Close())
	if _, err := keyring.Open(ctx, keyring.Options{Dir: dir, KEK: client{newService()}}); !errors.As(err, &refused) || refused.Reason != keyring.KEKWrong {
		t.Errorf("another service's key: %v, want reason %s", err, keyring.KEKWrong)
	}
	if _, err := keyring.Open(ctx, keyring.Options{Dir: dir}); !errors.As(err, &refused) || refused.Reason != keyring.KEKMissing {
		t.Errorf("without the service: %v, want reason %s", err, keyring.KEKMissing)
	}
}

// The life of a keyring does not depend on where its key-encryption key lives.
func TestKeyringOverEachKeyEncryption(t *testing.T) {
	onEach(t, func(t *testing.T, b backend) {
		dir := t.TempDir()
		k := b.keyring(t, dir)
		sealed := seal(t, k, "user-1", event1, "phone", "x")
		gone := seal(t, k, "user-2", event1, "phone", "y")
		do(t, k.PutSecret(ctx, "user-1", "a", []byte("seed")))
		kid, err := k.CurrentKid(ctx)
		do(t, err)
		code, err := k.Digits(ctx, kid, "login.sms", "chl_1", 0, 6)
		do(t, err)
		do(t, k.Destroy(ctx, "user-2"))
		do(t, k.Close())

		k = b.keyring(t, dir)
		wantOpen(t, k, "user-1", event1, "phone", sealed, "x")
		_, err = k.Open(ctx, "user-2", event1, "phone", gone)
		wantErr(t, err, keyring.ErrKeyDestroyed)
		if got, err := k.Secret(ctx, "user-1", "a"); err != nil || string(got) != "seed" {
			t.Errorf("secret: got %q, %v", []byte(got), err)
		}
		if got, err := k.Digits(ctx, kid, "login.sms", "chl_1", 0, 6); err != nil || got != code {
			t.Errorf("code: got %s, %v; want %s", got, err, code)
		}
		do(t, k.Close())
	})
}
