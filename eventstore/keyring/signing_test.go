package keyring_test

import (
	"bytes"
	"crypto/ed25519"
	"sync"
	"testing"
	"time"

	"github.com/authledger/authledger/eventstore/keyring"
)

func newSigner(t *testing.T, k *keyring.Keyring) keyring.SigningKey {
	t.Helper()
	key, err := k.NewSigningKey(ctx)
	do(t, err)
	return key
}

func wantSignature(t *testing.T, k *keyring.Keyring, key keyring.SigningKey, message string) {
	t.Helper()
	signature, err := k.Sign(ctx, key.Epoch, []byte(message))
	do(t, err)
	if !ed25519.Verify(key.Public, []byte(message), signature) {
		t.Fatalf("the signature of epoch %d does not verify", key.Epoch)
	}
}

func TestSigningKeysSignAcrossRestartsAndEpochs(t *testing.T) {
	onEach(t, func(t *testing.T, b backend) {
		dir := t.TempDir()
		k := b.keyring(t, dir)
		if keys, err := k.SigningKeys(ctx); err != nil || len(keys) != 0 {
			t.Fatalf("a new keyring has signing keys %v, %v", keys, err)
		}
		first, second := newSigner(t, k), newSigner(t, k)
		if first.Epoch != 1 || second.Epoch != 2 || !first.CreatedAt.Equal(morning) || first.Public.Equal(second.Public) {
			t.Fatalf("got %+v and %+v", first, second)
		}
		wantSignature(t, k, first, "a")
		do(t, k.Close())
		k = b.keyring(t, dir)
		defer k.Close()
		for _, key := range []keyring.SigningKey{first, second} {
			wantSignature(t, k, key, "b")
			wantSignature(t, k, key, "c") // from the cache
		}
		_, err := k.Sign(ctx, 3, nil)
		wantErr(t, err, keyring.ErrKeyNotFound)
		_, err = k.Sign(ctx, 0, nil)
		wantErr(t, err, keyring.ErrKeyNotFound)
		wantErr(t, k.RetireSigningKey(ctx, 3), keyring.ErrKeyNotFound)
		keys, err := k.SigningKeys(ctx)
		if err != nil || len(keys) != 2 || !keys[0].Public.Equal(first.Public) || !keys[1].Public.Equal(second.Public) ||
			!keys[0].Retired.IsZero() || !keys[0].CreatedAt.Equal(morning) {
			t.Errorf("listed %+v, %v", keys, err)
		}
	})
}

func TestRetiredSigningKeyIsLeftInNoFile(t *testing.T) {
	t.Parallel()
	dir, c := t.TempDir(), &clock{t: morning}
	k := openDir(t, dir, c)
	first, second := newSigner(t, k), newSigner(t, k)
	wantSignature(t, k, first, "a")
	wrapped := k.SignerBytes(ctx, t, first.Epoch)
	if inFiles(t, dir, wrapped) == nil {
		t.Fatal("the scan does not find a living key, so it proves nothing")
	}
	c.set(morning.Add(time.Hour))
	for range 2 { // the second time changes nothing
		do(t, k.RetireSigningKey(ctx, first.Epoch))
		_, err := k.Sign(ctx, first.Epoch, []byte("a"))
		wantErr(t, err, keyring.ErrKeyDestroyed)
		if found := inFiles(t, dir, wrapped[:len(wrapped)/2]); found != nil {
			t.Errorf("the private half is still in %v", found)
		}
		c.set(morning.Add(2 * time.Hour))
	}
	wantSignature(t, k, second, "b")
	keys, err := k.SigningKeys(ctx)
	do(t, err)
	if !keys[0].Public.Equal(first.Public) || !keys[0].Retired.Equal(morning.Add(time.Hour)) || !keys[1].Retired.IsZero() {
		t.Errorf("listed %+v", keys)
	}
	if third := newSigner(t, k); third.Epoch != 3 {
		t.Errorf("epoch %d after a retired one, want 3", third.Epoch)
	}
}

// Whoever exchanges a public key in the file, or a row for another, gets no
// signature that would pass for ours.
func TestExchangedSigningKeysAreRefused(t *testing.T) {
	t.Parallel()
	for name, statement := range map[string]string{
		"public half":     `UPDATE signing_keys SET public = (SELECT public FROM signing_keys WHERE epoch = 2) WHERE epoch = 1`,
		"private half":    `UPDATE signing_keys SET wrapped = (SELECT wrapped FROM signing_keys WHERE epoch = 2) WHERE epoch = 1`,
		"both halves":     `UPDATE signing_keys SET (public, wrapped) = (SELECT public, wrapped FROM signing_keys WHERE epoch = 2) WHERE epoch = 1`,
		"another purpose": `UPDATE signing_keys SET wrapped = (SELECT wrapped FROM code_epochs) WHERE epoch = 1`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := open(t)
			newSigner(t, k)
			newSigner(t, k)
			_, err := k.CurrentKid(ctx)
			do(t, err)
			k.Tamper(ctx, t, statement)
			_, err = k.Sign(ctx, 1, []byte("a"))
			wantErr(t, err, keyring.ErrNotAuthentic)
		})
	}
}

func TestConcurrentSigningKeysGetEpochsOfTheirOwn(t *testing.T) {
	t.Parallel()
	k := open(t)
	const callers = 16
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			key, err := k.NewSigningKey(ctx)
			if err != nil {
				t.Error(err)
				return
			}
			signature, err := k.Sign(ctx, key.Epoch, []byte("a"))
			if err != nil || !ed25519.Verify(key.Public, []byte("a"), signature) {
				t.Errorf("epoch %d: %v", key.Epoch, err)
			}
		})
	}
	all.Wait()
	keys, err := k.SigningKeys(ctx)
	do(t, err)
	for i, key := range keys {
		if int(key.Epoch) != i+1 {
			t.Errorf("epoch %d at place %d", key.Epoch, i)
		}
	}
	if len(keys) != callers {
		t.Errorf("%d keys, want %d", len(keys), callers)
	}
}

func TestPrivateHalfIsNotStoredInClear(t *testing.T) {
	t.Parallel()
	k := open(t)
	key := newSigner(t, k)
	if len(key.Public) != ed25519.PublicKeySize {
		t.Fatalf("public key of %d bytes", len(key.Public))
	}
	if bytes.Contains(k.SignerBytes(ctx, t, key.Epoch), key.Public) {
		t.Error("the private half is stored in clear: Go's private key ends with the public one")
	}
}
