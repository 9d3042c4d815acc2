package keyring

import (
	"context"
	"fmt"
)

// PutSecret keeps a secret of the subject, such as an authenticator's OCRA key
// or an installation's push token, under an id of the caller's choice. It is
// sealed under the subject's data key (created when missing), replaces an
// earlier secret of that id, and is durable when PutSecret returns.
func (k *Keyring) PutSecret(ctx context.Context, subject, id string, secret []byte) error {
	leave, err := k.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := checkSecret(subject, id); err != nil {
		return fmt.Errorf("put secret: %w", err)
	}
	if len(secret) > MaxSealed {
		return fmt.Errorf("put secret %s of %s: %w: %d bytes, at most %d", id, subject, ErrInvalid, len(secret), MaxSealed)
	}
	p, err := k.primitive(ctx, subject, true)
	if err != nil {
		return fmt.Errorf("put secret %s: %w", id, err)
	}
	sealed, err := p.Encrypt(secret, secretData(subject, id))
	if err != nil {
		return fmt.Errorf("put secret %s of %s: %w", id, subject, err)
	}
	if err := k.vault.putSecret(ctx, subject, secretRow{id: id, changedAt: k.now(), sealed: sealed}); err != nil {
		return fmt.Errorf("put secret %s of %s: %w", id, subject, err)
	}
	return nil
}

// Secret returns a secret in clear. It returns ErrKeyDestroyed when the subject
// was erased, ErrKeyNotFound when the subject is unknown, ErrSecretNotFound
// when it has no such secret. The bytes belong to the caller.
func (k *Keyring) Secret(ctx context.Context, subject, id string) (Secret, error) {
	leave, err := k.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	if err := checkSecret(subject, id); err != nil {
		return nil, fmt.Errorf("read secret: %w", err)
	}
	p, err := k.primitive(ctx, subject, false)
	if err != nil {
		return nil, fmt.Errorf("read secret %s: %w", id, err)
	}
	sealed, err := k.vault.secret(ctx, subject, id)
	if err != nil {
		return nil, fmt.Errorf("read secret %s of %s: %w", id, subject, err)
	}
	clear, err := p.Decrypt(sealed, secretData(subject, id))
	if err != nil {
		return nil, fmt.Errorf("read secret %s of %s: %w", id, subject, ErrNotAuthentic)
	}
	return clear, nil
}

// DeleteSecret removes one secret, for an authenticator that was revoked or a
// push token that is stale. It is durable when it returns; a secret that is not
// there is no error. Only Destroy makes sure that no copy of the ciphertext can
// ever be opened: in side streams the sealed secret stays in the subject's stream
// until then.
func (k *Keyring) DeleteSecret(ctx context.Context, subject, id string) error {
	leave, err := k.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := checkSecret(subject, id); err != nil {
		return fmt.Errorf("delete secret: %w", err)
	}
	if err := k.vault.deleteSecret(ctx, k.now(), subject, id); err != nil {
		return fmt.Errorf("delete secret %s of %s: %w", id, subject, err)
	}
	return nil
}

func checkSecret(subject, id string) error {
	if err := checkName("subject", subject); err != nil {
		return err
	}
	return checkName("secret id", id)
}

func secretData(subject, id string) []byte { return bind("authledger/secret/v1", subject, id) }
