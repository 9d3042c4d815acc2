// Package keyring keeps every key of the ledger: one data key for each data
// subject, the daily keys of which login codes are derived, the authenticators'
// secrets, the keys that sign checkpoints, and the key of the blind index.
//
// They live in keys.db, a file with its own backups and its own lifetime, or in
// side streams (Options.Side) that several nodes share, each wrapped by a
// key-encryption key: that of kek.json, unless the owner plugs in another
// KeyEncryption. Losing either loses all personal data; destroying one subject's
// key erases that subject and leaves every proof intact, because the log holds
// ciphertext only.
//
// The package must not know what an event means. Most readers want Seal and
// Open (personal data in events) and Digits (codes that are derived, never
// stored). It needs a Unix: it relies on file modes and flock.
package keyring

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/authledger/authledger/eventstore"
)

// Errors of a keyring in service; those of opening are StartError. Besides
// these a call may return the context's error, eventstore.ErrClosed after
// Close, and eventstore.ErrUnavailable when the file or the Side cannot be read
// or written, when nobody knows whether it was written, and when this node lacks
// the key-encryption key that another node put into force: the text says which.
// Compare with errors.Is.
var (
	// ErrKeyNotFound means that the key was never created here.
	ErrKeyNotFound = errors.New("no such key")
	// ErrKeyDestroyed means that the key was destroyed on purpose: what was
	// sealed or derived with it is gone for ever.
	ErrKeyDestroyed = errors.New("key is destroyed")
	// ErrSecretNotFound means that a living subject has no secret of that id.
	ErrSecretNotFound = errors.New("no such secret")
	// ErrNotAuthentic means that a sealed value is malformed, was changed, or
	// stands in another place than the one it was sealed for.
	ErrNotAuthentic = errors.New("sealed value is not authentic in this place")
	// ErrInvalid means that an argument breaks the documented limits.
	ErrInvalid = errors.New("invalid keyring argument")
)

// Options say where a keyring lives and what its owner knows.
type Options struct {
	// Dir is an existing directory, which will hold keys.db and kek.json.
	Dir string
	// Clock gives the time that epochs and destruction are dated with; nil
	// means time.Now.
	Clock func() time.Time
	// LedgerNotEmpty says that the log already has records. Then keys must
	// exist, and Open refuses to start with a new, empty keyring.
	LedgerNotEmpty bool
	// KEK wraps the keys; nil means the key in kek.json of Dir. The keyring
	// closes it, also when Open fails. With one of its own the directory is
	// locked through a file keys.lock.
	KEK KeyEncryption
	// Side keeps the keys in streams named "key-…" that several nodes share,
	// instead of in keys.db. Then Dir is not used, KEK must be given and be the
	// same on every node (OpenKEKFile), and the keyring has a goroutine until
	// Close that hears of the other nodes' erasures and rotations. The caller
	// closes Side after the keyring.
	Side eventstore.Side
}

// Keyring is an open keyring. It is safe for concurrent use. One process at a
// time may hold one in keys.db; Open enforces that. One in side streams is held
// by every node: a key that another node destroyed is not used here once the
// Side has told of it, and at most 5 seconds longer while the Side tells nothing
// because its watch is down, a minute when it only seems to be up.
type Keyring struct {
	clock func() time.Time
	kek   KeyEncryption
	lock  *os.File // keys.lock, when kek.json does not carry the lock
	vault vault

	indexKey Secret                  // fixed after Open, except by Import, which is alone
	subjects *cache[held[tink.AEAD]] // by their place in the vault
	epochs   *cache[held[Secret]]    // by kid
	current  *cache[held[string]]    // kid by the day it is current on, one entry
	signers  *cache[held[Secret]]    // Ed25519 private keys by epoch in decimal
	rotating sync.Mutex              // held by the one rotation there is at a time
	scanner  *Scanner                // of Scan, closed last
	// wrapping is held shared from reading a wrapped key to opening it, and from
	// wrapping one to its commit; a rotation holds it exclusively while it
	// changes the primary key and while it destroys the older ones. So nothing
	// wrapped under an old key is stored after the change, and nothing is opened
	// with a key that is gone. A call must not take it twice.
	wrapping sync.RWMutex
	// atStep, when it is not nil, is told of each step of a rotation that is
	// done, and stops the rotation there by an error.
	atStep func(step string) error
	life   sync.RWMutex // held shared by every call, exclusively by Close
	closed bool         // guarded by life
}

// Sizes of the caches. A primitive takes about 2 KiB, so the subjects of a busy
// hour fit into 32 MiB; 64 epochs are twice what can be alive.
const (
	cachedSubjects = 16384
	cachedEpochs   = 64
	cachedSigners  = 4
)

// Open opens the keyring of a directory, creating both of its files at the
// first start. A refusal is a *StartError. The caller must Close.
func Open(ctx context.Context, o Options) (*Keyring, error) {
	k := &Keyring{
		clock:    o.Clock,
		subjects: newCache[held[tink.AEAD]](cachedSubjects),
		epochs:   newCache[held[Secret]](cachedEpochs),
		current:  newCache[held[string]](1),
		signers:  newCache[held[Secret]](cachedSigners),
		kek:      o.KEK,
		scanner:  NewScanner(),
	}
	if k.clock == nil {
		k.clock = time.Now
	}
	if err := k.open(ctx, o); err != nil {
		return nil, errors.Join(err, k.release())
	}
	return k, nil
}

func (k *Keyring) open(ctx context.Context, o Options) error {
	if o.Side != nil {
		return k.openSide(ctx, o)
	}
	f, err := files(o.Dir)
	if err != nil {
		return err
	}
	if err := k.lockDir(f, o.LedgerNotEmpty); err != nil {
		return err
	}
	d, err := openDatabase(ctx, f, k.kek, o.LedgerNotEmpty, k.firstValues)
	if err != nil {
		return err
	}
	k.vault = d
	return k.unlock(ctx, f.keys)
}

func (k *Keyring) openSide(ctx context.Context, o Options) error {
	if k.kek == nil {
		return &StartError{Reason: KEKMissing, Path: registerStream, Detail: "keys in side streams need a key-encryption key that every node has"}
	}
	v, err := openSide(ctx, k, o)
	if err != nil {
		return err
	}
	k.vault = v
	return k.unlock(ctx, registerStream)
}

// lockDir takes the lock on the directory, with the key-encryption key in
// kek.json when the owner brought none.
func (k *Keyring) lockDir(f paths, ledgerNotEmpty bool) error {
	if k.kek == nil {
		kek, err := f.openKEK(ledgerNotEmpty)
		if err != nil {
			return err
		}
		k.kek = kek
		return nil
	}
	lock, err := os.OpenFile(f.lock, os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("open lock of the keyring: %w", err)
	}
	k.lock = lock
	return lockFile(lock, f.lock)
}

// Close waits for calls under way, releases the files and the lock. Calls
// after it return eventstore.ErrClosed; closing again does nothing.
func (k *Keyring) Close() error {
	k.life.Lock()
	defer k.life.Unlock()
	if k.closed {
		return nil
	}
	k.closed = true
	return k.release()
}

func (k *Keyring) release() error {
	var errs []error
	if k.vault != nil {
		errs = append(errs, k.vault.close())
	}
	if k.kek != nil {
		errs = append(errs, k.kek.Close())
	}
	if k.lock != nil {
		errs = append(errs, k.lock.Close())
	}
	errs = append(errs, k.scanner.Close())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close keyring: %w", err)
	}
	return nil
}

// enter marks a call as under way; the caller must call leave when it is nil.
func (k *Keyring) enter(ctx context.Context) (leave func(), err error) {
	k.life.RLock()
	if k.closed {
		k.life.RUnlock()
		return nil, eventstore.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		k.life.RUnlock()
		return nil, err
	}
	return k.life.RUnlock, nil
}

// Format writes a fixed word for every verb: the fields are keys.
func (k *Keyring) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte("keyring")) }

// now is the clock's time as the database stores it: microseconds since 1970.
func (k *Keyring) now() int64 { return k.clock().UnixMicro() }

// maxName limits subjects, fields, purposes and ids, in bytes.
const maxName = 200

// checkName accepts 1 to maxName bytes without control characters; so no name
// contains 0x1F, the separator of derivations. The name is not repeated in the
// error, since a caller may have mixed up its arguments.
func checkName(what, s string) error {
	if s == "" || len(s) > maxName {
		return fmt.Errorf("%w: %s must have 1 to %d bytes", ErrInvalid, what, maxName)
	}
	for i := range len(s) {
		if s[i] < 0x20 || s[i] == 0x7f {
			return fmt.Errorf("%w: %s contains a control character", ErrInvalid, what)
		}
	}
	return nil
}
