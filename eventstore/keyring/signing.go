package keyring

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"strconv"
	"time"
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
	key, _, err := k.addSigner(ctx, nil)
	if err != nil {
		return SigningKey{}, fmt.Errorf("create signing key: %w", err)
	}
	return key, nil
}

// addSigner creates the next epoch's key, and notes it in the same commit when
// there is a note to make of it.
func (k *Keyring) addSigner(ctx context.Context, note func(signerRow) Rotation) (key SigningKey, noted Rotation, err error) {
	err = k.withKEK(ctx, func() error {
		var row signerRow
		forge := func(epoch uint32) (signerRow, error) { return k.forgeSigner(ctx, epoch) }
		if row, noted, err = k.vault.addSigner(ctx, forge, note); err != nil {
			return err
		}
		key, err = signingKey(row)
		return err
	})
	return key, noted, err
}

// forgeSigner makes a key for an epoch, which its wrapping names. The caller
// holds wrapping.
func (k *Keyring) forgeSigner(ctx context.Context, epoch uint32) (signerRow, error) {
	seed := newRawKey()
	row := signerRow{
		epoch: epoch, createdAt: k.now(), retiredAt: alive,
		public: ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey),
	}
	var err error
	row.kek, err = k.wrapOne(func() (err error) {
		row.wrapped, err = k.wrapRaw(ctx, "signing", epochName(epoch), seed)
		return err
	})
	return row, err
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
	rows, err := k.vault.signers(ctx)
	if err != nil {
		return nil, fmt.Errorf("list signing keys: %w", err)
	}
	var keys []SigningKey
	for _, row := range rows {
		key, err := signingKey(row)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func signingKey(row signerRow) (SigningKey, error) {
	if len(row.public) != ed25519.PublicKeySize {
		return SigningKey{}, fmt.Errorf("signing key of epoch %d: %w: a public key of %d bytes", row.epoch, ErrNotAuthentic, len(row.public))
	}
	key := SigningKey{Epoch: row.epoch, Public: row.public, CreatedAt: time.UnixMicro(row.createdAt).UTC()}
	if row.retiredAt != alive {
		key.Retired = time.UnixMicro(row.retiredAt).UTC()
	}
	return key, nil
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
	cached, m, ok := look(k, k.signers, name)
	if ok {
		return cached, nil
	}
	var private Secret
	err := k.withKEK(ctx, func() (err error) {
		private, err = k.loadSigner(ctx, epoch)
		return err
	})
	if err != nil {
		return nil, err
	}
	keep(k.signers, m, name, private)
	return private, nil
}

func (k *Keyring) loadSigner(ctx context.Context, epoch uint32) (Secret, error) {
	row, err := k.vault.signer(ctx, epoch)
	switch {
	case err != nil:
		return nil, err
	case row.retiredAt != alive:
		return nil, ErrKeyDestroyed
	}
	seed, err := k.unwrapRaw(ctx, "signing", epochName(epoch), row.wrapped)
	if err != nil {
		return nil, err
	}
	private := ed25519.NewKeyFromSeed(seed)
	if !bytes.Equal(private.Public().(ed25519.PublicKey), row.public) {
		return nil, fmt.Errorf("%w: the public key beside it is another one", ErrNotAuthentic)
	}
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
	err = k.vault.retireSigner(ctx, epoch, k.now())
	k.signers.evict(epochName(epoch))
	if err != nil {
		return fmt.Errorf("retire signing key of epoch %d: %w", epoch, err)
	}
	return nil
}
