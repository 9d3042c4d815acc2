package keyring

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// bind builds associated data: each part as u32 big-endian length ‖ bytes, the
// first one naming the use. Lengths keep ("ab", "c") and ("a", "bc") apart.
func bind(use string, parts ...string) []byte {
	size := 4 + len(use)
	for _, p := range parts {
		size += 4 + len(p)
	}
	b := make([]byte, 0, size)
	b = binary.BigEndian.AppendUint32(b, uint32(len(use)))
	b = append(b, use...)
	for _, p := range parts {
		b = binary.BigEndian.AppendUint32(b, uint32(len(p)))
		b = append(b, p...)
	}
	return b
}

// wrapData binds a wrapped key to its kind and name, so that rows of keys.db
// cannot be exchanged.
func wrapData(kind, name string) []byte { return bind("authledger/keyring/wrap/v1", kind, name) }

// rawKeySize is the size in bytes of a key for HMAC-SHA-256 and of an Ed25519
// seed.
const rawKeySize = 32

// newRawKey returns rawKeySize fresh random bytes.
func newRawKey() Secret {
	key := make(Secret, rawKeySize)
	_, _ = rand.Read(key) // never fails; see crypto/rand
	return key
}

func (k *Keyring) wrapRaw(ctx context.Context, kind, name string, key Secret) ([]byte, error) {
	wrapped, err := k.kek.Encrypt(ctx, key, wrapData(kind, name))
	if err != nil {
		return nil, fmt.Errorf("wrap %s key %s: %w", kind, name, err)
	}
	return wrapped, nil
}

func (k *Keyring) unwrapRaw(ctx context.Context, kind, name string, wrapped []byte) (Secret, error) {
	key, err := k.kek.Decrypt(ctx, wrapped, wrapData(kind, name))
	if err != nil || len(key) != rawKeySize {
		return nil, fmt.Errorf("unwrap %s key %s: %w", kind, name, unwrapFailure(err))
	}
	return key, nil
}

// newSubjectKey returns a fresh AES-256-GCM keyset in Tink's encrypted binary
// form.
func (k *Keyring) newSubjectKey(ctx context.Context, subject string) ([]byte, error) {
	h, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("generate key of %s: %w", subject, err)
	}
	return k.wrapHandle(ctx, subject, h)
}

func (k *Keyring) wrapHandle(ctx context.Context, subject string, h *keyset.Handle) ([]byte, error) {
	var b bytes.Buffer
	w := wrapper{kek: k.kek}
	if err := h.WriteWithContext(ctx, keyset.NewBinaryWriter(&b), &w, wrapData("subject", subject)); err != nil {
		return nil, fmt.Errorf("wrap key of %s: %w", subject, errors.Join(w.cause, err))
	}
	return b.Bytes(), nil
}

// subjectHandle opens a subject's keyset.
func (k *Keyring) subjectHandle(ctx context.Context, subject string, wrapped []byte) (*keyset.Handle, error) {
	w := wrapper{kek: k.kek}
	h, err := keyset.ReadWithContext(ctx, keyset.NewBinaryReader(bytes.NewReader(wrapped)), &w, wrapData("subject", subject))
	if err != nil {
		return nil, fmt.Errorf("unwrap key of %s: %w", subject, unwrapFailure(w.cause))
	}
	return h, nil
}

func (k *Keyring) openSubjectKey(ctx context.Context, subject string, wrapped []byte) (tink.AEAD, error) {
	h, err := k.subjectHandle(ctx, subject, wrapped)
	if err != nil {
		return nil, err
	}
	a, err := aead.New(h)
	if err != nil {
		return nil, fmt.Errorf("use key of %s: %w", subject, err)
	}
	return a, nil
}
