package keyring

import (
	"context"
	"errors"
	"fmt"

	"github.com/authledger/authledger/eventstore"
)

// KeyEncryption wraps the keys of a keyring, and is the only thing outside of it
// that is needed to read them. The implementation that comes with the package
// keeps the key in kek.json; one over a key management service keeps it where
// nobody can copy it. Methods are called from many goroutines at once, except
// Rotate, Retire and Close, which the keyring calls one at a time.
//
// Several keys exist only while a rotation is under way: the primary, which
// encrypts, and older ones, which still decrypt.
type KeyEncryption interface {
	// Encrypt encrypts under the primary key and authenticates the associated
	// data too. The result MUST be longer than the plaintext by a number of
	// bytes that is the same for every key and every call: keys.db overwrites
	// wrapped keys where they stand, so that no copy of an older one is left.
	Encrypt(ctx context.Context, plaintext, associatedData []byte) ([]byte, error)
	// Decrypt opens what Encrypt returned under the primary or an older key. It
	// MUST return ErrNotAuthentic, and only then, when none of them made the
	// ciphertext for this associated data; any other error says that the keys
	// could not be asked.
	Decrypt(ctx context.Context, ciphertext, associatedData []byte) ([]byte, error)
	// ID names the primary key, for events and lists: printable, no secret, and
	// never used again for another key.
	ID() string
	// Older names the keys besides the primary that still decrypt, oldest first.
	Older() []string
	// Rotate makes a new key the primary one. The key MUST be durable before
	// Rotate returns nil and before Encrypt uses it. After an error ID tells
	// which key is the primary one.
	Rotate(ctx context.Context) error
	// Retire destroys the older keys. Nothing that they encrypted can be
	// decrypted once it returned nil.
	Retire(ctx context.Context) error
	// Close releases what is held. The keyring closes what it was given, also
	// when it could not be opened.
	Close() error
}

// wrapper lets Tink wrap keysets with a KeyEncryption. Tink drops the chain of
// errors, so the cause is kept here. It serves one call.
type wrapper struct {
	kek   KeyEncryption
	cause error
}

func (w *wrapper) EncryptWithContext(ctx context.Context, plaintext, associatedData []byte) ([]byte, error) {
	var out []byte
	out, w.cause = w.kek.Encrypt(ctx, plaintext, associatedData)
	return out, w.cause
}

func (w *wrapper) DecryptWithContext(ctx context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	var out []byte
	out, w.cause = w.kek.Decrypt(ctx, ciphertext, associatedData)
	return out, w.cause
}

// unwrapFailure is the error of a wrapped key that did not open: not authentic
// when the key-encryption key says so or when it opened to something else,
// else the key-encryption key is not available.
func unwrapFailure(cause error) error {
	switch {
	case cause == nil, errors.Is(cause, ErrNotAuthentic):
		return ErrNotAuthentic
	case errors.Is(cause, context.Canceled), errors.Is(cause, context.DeadlineExceeded):
		return cause
	default:
		return fmt.Errorf("%w: key-encryption key: %w", eventstore.ErrUnavailable, cause)
	}
}
