package keyring

import (
	"context"
	"errors"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/aead/aesgcm"
	"github.com/tink-crypto/tink-go/v2/insecuresecretdataaccess"
)

// ErasurePatterns returns what must be in no file once the subjects, at most
// 1,000, are destroyed, and must be asked for before: each one's data key in
// clear and wrapped, and its secrets in clear and sealed. Subjects without a
// living key have none. The caller must Wipe them.
func (k *Keyring) ErasurePatterns(ctx context.Context, subjects ...string) (Patterns, error) {
	leave, err := k.enter(ctx)
	if err != nil {
		return Patterns{}, err
	}
	defer leave()
	if err := checkSubjects(subjects); err != nil {
		return Patterns{}, fmt.Errorf("patterns of erasure: %w", err)
	}
	var p Patterns
	for _, s := range subjects {
		if err := k.withKEK(ctx, func() error { return k.addPatterns(ctx, &p, s) }); err != nil {
			p.Wipe()
			return Patterns{}, fmt.Errorf("patterns of erasure of %s: %w", s, err)
		}
	}
	return p, nil
}

func (k *Keyring) addPatterns(ctx context.Context, p *Patterns, subject string) error {
	row, err := k.vault.subject(ctx, subject)
	if errors.Is(err, ErrKeyNotFound) || err == nil && row.destroyedAt != alive {
		return nil
	}
	if err != nil {
		return err
	}
	clearKey, err := k.dataKey(ctx, subject, row.wrapped)
	if err != nil {
		return err
	}
	defer clear(clearKey)
	return errors.Join(
		p.Add("data key in clear", clearKey),
		p.Add("data key, wrapped", row.wrapped),
		k.addSecretPatterns(ctx, p, subject, row.wrapped),
	)
}

// dataKey returns the 32 bytes of a subject's AES key.
func (k *Keyring) dataKey(ctx context.Context, subject string, wrapped []byte) (Secret, error) {
	h, err := k.subjectHandle(ctx, subject, wrapped)
	if err != nil {
		return nil, err
	}
	entry, err := h.Primary()
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	key, ok := entry.Key().(*aesgcm.Key)
	if !ok {
		return nil, fmt.Errorf("read key: %w: not an AES-GCM key", ErrNotAuthentic)
	}
	return key.KeyBytes().Data(insecuresecretdataaccess.Token{}), nil
}

// addSecretPatterns adds each secret of a subject, sealed, and in clear when it
// is long enough not to turn up by chance.
func (k *Keyring) addSecretPatterns(ctx context.Context, p *Patterns, subject string, wrapped []byte) error {
	primitive, err := k.openSubjectKey(ctx, subject, wrapped)
	if err != nil {
		return err
	}
	secrets, err := k.vault.secrets(ctx, subject)
	if err != nil {
		return err
	}
	for _, secret := range secrets {
		text, err := primitive.Decrypt(secret.sealed, secretData(subject, secret.id))
		if err != nil {
			return fmt.Errorf("secret %s: %w", secret.id, ErrNotAuthentic)
		}
		if len(text) >= minClearSecret {
			err = p.Add("secret in clear", text)
		}
		clear(text)
		if err := errors.Join(err, p.Add("secret, sealed", secret.sealed)); err != nil {
			return err
		}
	}
	return nil
}

// minClearSecret keeps short secrets, such as a PIN, out of a scan. Keys have 20
// bytes and more.
const minClearSecret = 16
