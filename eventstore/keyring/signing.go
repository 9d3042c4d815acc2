package keyring

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
)

const (
	sqlLastSigner   = `SELECT coalesce(max(epoch), 0) FROM signing_keys`
	sqlAddSigner    = `INSERT INTO signing_keys (epoch, created_at, retired_at, public, wrapped) VALUES (?, ?, 9223372036854775807, ?, ?)`
	sqlSigners      = `SELECT epoch, created_at, retired_at, public FROM signing_keys ORDER BY epoch`
	sqlSigner       = `SELECT public, wrapped, retired_at FROM signing_keys WHERE epoch = ?`
	sqlKnownSigner  = `SELECT EXISTS (SELECT 1 FROM signing_keys WHERE epoch = ?)`
	sqlRetireSigner = `UPDATE signing_keys SET retired_at = ?2, wrapped = zeroblob(length(wrapped))
WHERE epoch = ?1 AND retired_at = 9223372036854775807`
)

// SigningKey is the public side of a key that signs checkpoints. Its epoch
// counts from 1; signatures of every epoch can be checked for ever, because the
// public half stays when the private half is destroyed.
type SigningKey struct {
	Epoch     uint32
	Public    ed25519.PublicKey
	CreatedAt time.Time // UTC
	Retired   time.Time // UTC; zero while it can sign
}

// NewSigningKey creates the Ed25519 key of the next epoch, durable when it
// returns. Nothing signs with it until whoever signs decides to.
func (k *Keyring) NewSigningKey(ctx context.Context) (SigningKey, error) {
	leave, err := k.enter(ctx)
	if err != nil {
		return SigningKey{}, err
	}
	defer leave()
	key, err := k.addSigner(ctx, func(context.Context, *sql.Tx, SigningKey) error { return nil })
	if err != nil {
		return SigningKey{}, fmt.Errorf("create signing key: %w", err)
	}
	return key, nil
}

// addSigner creates the next epoch's key, and in the same commit does what
// beside says.
func (k *Keyring) addSigner(ctx context.Context, beside func(context.Context, *sql.Tx, SigningKey) error) (SigningKey, error) {
	k.signing.Lock() // the epoch is in the associated data, so it is chosen before the transaction
	defer k.signing.Unlock()
	k.wrapping.RLock()
	defer k.wrapping.RUnlock()
	var last int64
	if err := k.read.QueryRowContext(ctx, sqlLastSigner).Scan(&last); err != nil {
		return SigningKey{}, storage("read the last epoch", err)
	}
	if last >= math.MaxUint32 {
		return SigningKey{}, fmt.Errorf("%w: no epoch is left", ErrInvalid)
	}
	seed := newRawKey()
	key := SigningKey{
		Epoch:     uint32(last + 1),
		Public:    ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey),
		CreatedAt: k.clock().UTC().Truncate(time.Microsecond),
	}
	wrapped, err := k.wrapRaw(ctx, "signing", epochName(key.Epoch), seed)
	if err != nil {
		return SigningKey{}, err
	}
	err = k.write.do(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := beside(ctx, tx, key); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, sqlAddSigner, key.Epoch, key.CreatedAt.UnixMicro(), []byte(key.Public), wrapped)
		return err
	})
	return key, err
}

func epochName(epoch uint32) string { return strconv.FormatUint(uint64(epoch), 10) }

// SigningKeys lists the keys of every epoch there ever was, in order.
func (k *Keyring) SigningKeys(ctx context.Context) ([]SigningKey, error) {
	leave, err := k.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	return k.signingKeys(ctx)
}

func (k *Keyring) signingKeys(ctx context.Context) ([]SigningKey, error) {
	rows, err := k.read.QueryContext(ctx, sqlSigners)
	if err != nil {
		return nil, storage("list signing keys", err)
	}
	defer rows.Close()
	var keys []SigningKey
	for rows.Next() {
		var key SigningKey
		var public []byte
		var created, retired int64
		if err := rows.Scan(&key.Epoch, &created, &retired, &public); err != nil {
			return nil, storage("list signing keys", err)
		}
		if len(public) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("signing key of epoch %d: %w: a public key of %d bytes", key.Epoch, ErrNotAuthentic, len(public))
		}
		key.Public, key.CreatedAt = public, time.UnixMicro(created).UTC()
		if retired != alive {
			key.Retired = time.UnixMicro(retired).UTC()
		}
		keys = append(keys, key)
	}
	return keys, storage("list signing keys", rows.Err())
}

// Sign returns the Ed25519 signature (RFC 8032, 64 bytes) of a message by the
// key of an epoch. It returns ErrKeyNotFound for an epoch that was never
// created and ErrKeyDestroyed for one that is retired.
func (k *Keyring) Sign(ctx context.Context, epoch uint32, message []byte) ([]byte, error) {
	leave, err := k.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	private, err := k.signer(ctx, epoch)
	if err != nil {
		return nil, fmt.Errorf("sign with the key of epoch %d: %w", epoch, err)
	}
	return ed25519.Sign(ed25519.PrivateKey(private), message), nil
}

// signer returns the private key of an epoch. A public half that does not
// belong to it was exchanged in the file; nobody could check such a signature.
func (k *Keyring) signer(ctx context.Context, epoch uint32) (Secret, error) {
	name := epochName(epoch)
	cached, generation, ok := k.signers.get(name)
	if ok {
		return cached, nil
	}
	k.wrapping.RLock()
	defer k.wrapping.RUnlock()
	var public, wrapped []byte
	var retired int64
	err := k.read.QueryRowContext(ctx, sqlSigner, epoch).Scan(&public, &wrapped, &retired)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, ErrKeyNotFound
	case err != nil:
		return nil, storage("read signing key", err)
	case retired != alive:
		return nil, ErrKeyDestroyed
	}
	seed, err := k.unwrapRaw(ctx, "signing", name, wrapped)
	if err != nil {
		return nil, err
	}
	private := ed25519.NewKeyFromSeed(seed)
	if !bytes.Equal(private.Public().(ed25519.PublicKey), public) {
		return nil, fmt.Errorf("%w: the public key in keys.db is another one", ErrNotAuthentic)
	}
	k.signers.put(generation, name, Secret(private))
	return Secret(private), nil
}

// RetireSigningKey destroys the private half of an epoch's key; it is gone from
// the files when it returns nil. Signatures that exist stay valid. Doing it
// again is harmless, and is what to do after an error. It returns
// ErrKeyNotFound for an epoch that was never created.
func (k *Keyring) RetireSigningKey(ctx context.Context, epoch uint32) error {
	leave, err := k.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	var known bool
	now := k.now()
	err = k.write.do(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := tx.QueryRowContext(ctx, sqlKnownSigner, epoch).Scan(&known); err != nil || !known {
			return err
		}
		_, err := tx.ExecContext(ctx, sqlRetireSigner, epoch, now)
		return err
	})
	k.signers.evict(epochName(epoch))
	switch {
	case err != nil:
		return fmt.Errorf("retire signing key of epoch %d: %w", epoch, err)
	case !known:
		return fmt.Errorf("retire signing key of epoch %d: %w", epoch, ErrKeyNotFound)
	}
	if err := k.write.scrub(ctx); err != nil {
		return fmt.Errorf("retire signing key of epoch %d: %w", epoch, err)
	}
	return nil
}
