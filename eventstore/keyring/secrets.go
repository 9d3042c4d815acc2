package keyring

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

const (
	sqlSecret    = `SELECT sealed FROM secrets WHERE subject = ? AND id = ?`
	sqlPutSecret = `INSERT INTO secrets (subject, id, changed_at, sealed) VALUES (?, ?, ?, ?)
ON CONFLICT (subject, id) DO UPDATE SET changed_at = excluded.changed_at, sealed = excluded.sealed`
	sqlDeleteSecret = `DELETE FROM secrets WHERE subject = ? AND id = ?`
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
	if err := k.storeSecret(ctx, subject, id, sealed); err != nil {
		return fmt.Errorf("put secret %s of %s: %w", id, subject, err)
	}
	return nil
}

// storeSecret looks at the key again inside the transaction: a subject that was
// erased since it was sealed must not get a row.
func (k *Keyring) storeSecret(ctx context.Context, subject, id string, sealed []byte) error {
	var refused error
	now := k.now()
	err := k.write.do(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var row subjectRow
		if err := tx.QueryRowContext(ctx, sqlSubjectKey, subject).Scan(&row.wrapped, &row.destroyedAt); err != nil {
			return err
		}
		if row.destroyedAt != alive {
			refused = ErrKeyDestroyed
			return nil
		}
		_, err := tx.ExecContext(ctx, sqlPutSecret, subject, id, now, sealed)
		return err
	})
	return errors.Join(err, refused)
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
	var sealed []byte
	err = k.read.QueryRowContext(ctx, sqlSecret, subject, id).Scan(&sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("read secret %s of %s: %w", id, subject, ErrSecretNotFound)
	}
	if err != nil {
		return nil, storage(fmt.Sprintf("read secret %s of %s", id, subject), err)
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
// ever be opened.
func (k *Keyring) DeleteSecret(ctx context.Context, subject, id string) error {
	leave, err := k.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := checkSecret(subject, id); err != nil {
		return fmt.Errorf("delete secret: %w", err)
	}
	err = k.write.do(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, sqlDeleteSecret, subject, id)
		return err
	})
	if err == nil {
		err = k.write.scrub(ctx)
	}
	if err != nil {
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
