package keyring

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/authledger/authledger/eventstore"
)

// RotationKind says what was replaced by a new key.
type RotationKind string

// The kinds of rotation.
const (
	// KindKeyEncryption is the key that wraps all others.
	KindKeyEncryption RotationKind = "key_encryption"
	// KindCodeEpoch is the key of the codes of the day.
	KindCodeEpoch RotationKind = "code_epoch"
	// KindSigning is the key that signs checkpoints.
	KindSigning RotationKind = "signing"
)

// Rotation is one finished rotation, kept beside the keys so that the ledger can
// record it also when the process ended in between.
type Rotation struct {
	Number    int64     // counts from 1 within this keyring
	Request   uuid.UUID // of whoever asked for it
	Kind      RotationKind
	At        time.Time         // UTC
	From      string            // id of the key that was in use; empty when there was none
	To        string            // id of the new key
	Epoch     uint32            // of the new signing key, else 0
	Public    ed25519.PublicKey // the new signing key, else nil
	Rewrapped int               // keys that were wrapped anew, for KindKeyEncryption; in side streams by the run that finished it
}

// Rotate puts a new key in the place of the one in use, once for each request:
// asked again, it finishes what was begun and answers what was done. A rotation
// of the key-encryption key that another request left unfinished is finished
// instead of beginning a new one. It returns ErrInvalid when the request asked
// for another kind before.
func (k *Keyring) Rotate(ctx context.Context, kind RotationKind, request uuid.UUID) (Rotation, error) {
	leave, err := k.enter(ctx)
	if err != nil {
		return Rotation{}, err
	}
	defer leave()
	k.rotating.Lock()
	defer k.rotating.Unlock()
	r, err := k.rotate(ctx, kind, request)
	if err != nil {
		return Rotation{}, fmt.Errorf("rotate %s key: %w", kind, err)
	}
	return r, nil
}

func (k *Keyring) rotate(ctx context.Context, kind RotationKind, request uuid.UUID) (Rotation, error) {
	if request == uuid.Nil {
		return Rotation{}, fmt.Errorf("%w: no id of the request", ErrInvalid)
	}
	done, err := k.vault.rotationOf(ctx, request)
	switch {
	case err == nil && done.Kind != kind:
		return Rotation{}, fmt.Errorf("%w: the request rotated the %s key", ErrInvalid, done.Kind)
	case err == nil && !k.unfinished(done):
		return done, nil
	case err != nil && !errors.Is(err, ErrKeyNotFound):
		return Rotation{}, err
	}
	switch kind {
	case KindKeyEncryption:
		return k.rotateKEK(ctx, request)
	case KindCodeEpoch:
		return k.rotateCodeEpoch(ctx, request)
	case KindSigning:
		return k.rotateSigningKey(ctx, request)
	}
	return Rotation{}, fmt.Errorf("%w: no such kind of key", ErrInvalid)
}

// unfinished reports whether a note is of the rotation under way, whose older
// key still decrypts: the note comes before the last step.
func (k *Keyring) unfinished(r Rotation) bool {
	return r.Kind == KindKeyEncryption && r.To == k.kek.ID() && len(k.kek.Older()) > 0
}

// RotateKEK replaces the key-encryption key: a new one is made durable, every
// key is wrapped with it, and the old one is destroyed, after which it opens
// nothing. Other calls go on meanwhile. After an error or a crash the keyring
// works with both keys, and RotateKEK finishes that rotation instead of
// beginning another; Keys shows the older key until then.
//
// In side streams the copies under the old key stay until the store cleans up
// after the subjects' erasure; they end with the old key. Every other node takes
// the new key from its file when it hears of it, and destroys its own copy of the
// old one in the end. A node whose file lacks the new key refuses what it has not
// in memory, until its file is replaced; PrepareKEKFile avoids that.
func (k *Keyring) RotateKEK(ctx context.Context) (Rotation, error) {
	return k.Rotate(ctx, KindKeyEncryption, uuid.New())
}

// RotateCodeEpoch gives today's codes a new key, for when the present one may
// be known to others. Codes that were issued under the old one can be verified
// until it expires; whoever wants them void ends their processes.
func (k *Keyring) RotateCodeEpoch(ctx context.Context) (Rotation, error) {
	return k.Rotate(ctx, KindCodeEpoch, uuid.New())
}

// RotateSigningKey creates the key of the next epoch, as NewSigningKey does,
// and notes it as a rotation in the same commit. Whoever signs hands over when
// the ledger records it.
func (k *Keyring) RotateSigningKey(ctx context.Context) (Rotation, error) {
	return k.Rotate(ctx, KindSigning, uuid.New())
}

func (k *Keyring) rotateKEK(ctx context.Context, request uuid.UUID) (Rotation, error) {
	from, err := k.changePrimary(ctx)
	if err != nil {
		return Rotation{}, err
	}
	rewrapped, err := k.vault.rewrap(ctx, rewrapping{subject: k.rewrapSubject, raw: k.rewrapRaw}, k.step)
	if err != nil {
		return Rotation{}, err
	}
	if err := k.vault.scrub(ctx); err != nil {
		return Rotation{}, err
	}
	if err := k.step("scrubbed"); err != nil {
		return Rotation{}, err
	}
	// Before the old key goes: afterwards nothing would tell a restarted
	// process that there was a rotation.
	r, err := k.vault.noteOnce(ctx, Rotation{
		Request: request, Kind: KindKeyEncryption, At: time.UnixMicro(k.now()).UTC(), From: from, To: k.kek.ID(), Rewrapped: rewrapped,
	})
	if err != nil {
		return Rotation{}, err
	}
	if err := k.step("noted"); err != nil {
		return Rotation{}, err
	}
	if err := k.retireOlder(ctx, r.To); err != nil {
		return Rotation{}, err
	}
	return r, k.step("retired")
}

// retireOlder destroys what is older than a key that everything is wrapped under.
func (k *Keyring) retireOlder(ctx context.Context, primary string) error {
	k.wrapping.Lock()
	defer k.wrapping.Unlock()
	if id := k.kek.ID(); id != primary {
		return fmt.Errorf("%w: another rotation, to %s, has begun", eventstore.ErrUnavailable, id)
	}
	return k.kek.Retire(ctx)
}

// changePrimary makes a new key the primary one, or finds the rotation that was
// not finished, and names the key that was primary before.
func (k *Keyring) changePrimary(ctx context.Context) (from string, err error) {
	from, ok, err := k.vault.underWay(ctx)
	if err != nil || ok {
		return from, err
	}
	from = k.kek.ID()
	k.wrapping.Lock()
	err = k.kek.Rotate(ctx)
	k.wrapping.Unlock()
	if err != nil {
		return "", err
	}
	return from, k.step("new key")
}

func (k *Keyring) step(name string) error {
	if k.atStep == nil {
		return nil
	}
	return k.atStep(name)
}

// rewrapRaw wraps anew what is no keyset.
func (k *Keyring) rewrapRaw(ctx context.Context, kind, name string, wrapped []byte) ([]byte, error) {
	return k.rewrapData(ctx, wrapData(kind, name), wrapped)
}

func (k *Keyring) rewrapData(ctx context.Context, place, wrapped []byte) ([]byte, error) {
	key, err := k.kek.Decrypt(ctx, wrapped, place)
	if err != nil {
		return nil, unwrapFailure(err)
	}
	defer clear(key)
	return k.kek.Encrypt(ctx, key, place)
}

func (k *Keyring) rewrapSubject(ctx context.Context, subject string, wrapped []byte) ([]byte, error) {
	h, err := k.subjectHandle(ctx, subject, wrapped)
	if err != nil {
		return nil, err
	}
	return k.wrapHandle(ctx, subject, h)
}

// Rotations lists the finished rotations after a number, in order.
func (k *Keyring) Rotations(ctx context.Context, after int64) ([]Rotation, error) {
	leave, err := k.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	noted, err := k.vault.rotations(ctx, after)
	if err != nil {
		return nil, fmt.Errorf("list rotations: %w", err)
	}
	return slices.DeleteFunc(noted, k.unfinished), nil
}

func (k *Keyring) rotateCodeEpoch(ctx context.Context, request uuid.UUID) (Rotation, error) {
	now := k.clock().UTC().Truncate(time.Microsecond)
	day := now.Truncate(epochLength)
	var r Rotation
	err := k.withKEK(ctx, func() error {
		e, err := k.newEpoch(ctx, day, now)
		if err != nil {
			return err
		}
		r = Rotation{Request: request, Kind: KindCodeEpoch, At: now, To: e.kid}
		_, err = k.vault.addEpoch(ctx, e, &r)
		return err
	})
	k.current.clear()
	return r, err
}

func (k *Keyring) rotateSigningKey(ctx context.Context, request uuid.UUID) (Rotation, error) {
	_, r, err := k.addSigner(ctx, func(key signerRow) Rotation {
		r := Rotation{Request: request, Kind: KindSigning, At: time.UnixMicro(key.createdAt).UTC(), To: signerName(key.epoch), Epoch: key.epoch, Public: key.public}
		if key.epoch > 1 {
			r.From = signerName(key.epoch - 1)
		}
		return r
	})
	return r, err
}

// signerName is the id of a signing key in events and lists: "s" and the epoch.
func signerName(epoch uint32) string { return "s" + epochName(epoch) }
