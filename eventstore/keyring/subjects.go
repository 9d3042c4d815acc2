package keyring

import (
	"context"
	"errors"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/tink"
)

// maxSubjects limits the subjects of one CreateKeys or Destroy, so that one
// caller does not hold up the others' batch for long.
const maxSubjects = 1000

// CreateKeys creates the data keys of many subjects, durable when it returns;
// subjects that have one keep it. In keys.db it is one commit; in side streams an
// error may leave some of them created. It is for imports and
// seeding: Seal creates a key by itself. At most 1,000 subjects. When one of
// them has a destroyed key it returns ErrKeyDestroyed after creating the
// others.
func (k *Keyring) CreateKeys(ctx context.Context, subjects ...string) error {
	leave, err := k.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := checkSubjects(subjects); err != nil {
		return fmt.Errorf("create keys: %w", err)
	}
	if len(subjects) == 0 {
		return nil
	}
	var rows []subjectRow
	err = k.withKEK(ctx, func() (err error) {
		rows, err = k.addSubjects(ctx, subjects)
		return err
	})
	if err != nil {
		return fmt.Errorf("create keys: %w", err)
	}
	for i, r := range rows {
		if r.destroyedAt != alive {
			return fmt.Errorf("create key of %s: %w", subjects[i], ErrKeyDestroyed)
		}
	}
	return nil
}

func checkSubjects(subjects []string) error {
	if len(subjects) > maxSubjects {
		return fmt.Errorf("%w: %d subjects, at most %d", ErrInvalid, len(subjects), maxSubjects)
	}
	for _, s := range subjects {
		if err := checkName("subject", s); err != nil {
			return err
		}
	}
	return nil
}

// Destroy erases subjects, at most 1,000: the data keys and the secrets are gone
// from the files when it returns nil, and tombstones make sure that the keys are
// never created again. Doing it again is harmless, and is what to do after an
// error. A subject that never had a key gets its tombstone too, which is how the
// erasures in the ledger are repeated over a restored older keys.db.
//
// In keys.db it is one commit. In side streams each subject's stream is deleted
// for good: no node can read it any more, but its bytes leave the files of the
// store only when the store cleans up (docs/keys.md).
func (k *Keyring) Destroy(ctx context.Context, subjects ...string) error {
	leave, err := k.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := checkSubjects(subjects); err != nil {
		return fmt.Errorf("destroy keys: %w", err)
	}
	if len(subjects) == 0 {
		return nil
	}
	err = k.vault.destroySubjects(ctx, k.now(), subjects)
	// Also after an error: the outcome may be unknown, and forgetting is safe.
	places := make([]string, len(subjects))
	for i, s := range subjects {
		places[i] = k.vault.place(s)
	}
	k.subjects.evict(places...)
	if err != nil {
		return fmt.Errorf("destroy keys of %d subjects, the first %s: %w", len(subjects), subjects[0], err)
	}
	return nil
}

// Destroyed reports whether the subject was erased here. It is false for a
// living subject and for one that never had a key.
func (k *Keyring) Destroyed(ctx context.Context, subject string) (bool, error) {
	leave, err := k.enter(ctx)
	if err != nil {
		return false, err
	}
	defer leave()
	if err := checkName("subject", subject); err != nil {
		return false, fmt.Errorf("look for a destroyed key: %w", err)
	}
	var row subjectRow
	err = k.withKEK(ctx, func() (err error) {
		row, err = k.vault.subject(ctx, subject)
		return err
	})
	if errors.Is(err, ErrKeyNotFound) {
		return false, nil
	}
	return err == nil && row.destroyedAt != alive, err
}

// KeyID names the subject's data key: "k" and the number of its row in keys.db,
// or in side streams "k" and the first 16 hexadecimal digits of the SHA-256 of
// the stream's name. The name says nothing about the key and stays after the key
// was destroyed; a move to another home changes it. It returns ErrKeyNotFound for
// a subject that never had one.
func (k *Keyring) KeyID(ctx context.Context, subject string) (string, error) {
	leave, err := k.enter(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	if err := checkName("subject", subject); err != nil {
		return "", fmt.Errorf("name key: %w", err)
	}
	id, err := k.vault.keyID(ctx, subject)
	if err != nil {
		return "", fmt.Errorf("name key of %s: %w", subject, err)
	}
	return id, nil
}

// primitive returns the subject's living key, creating it when asked to.
func (k *Keyring) primitive(ctx context.Context, subject string, create bool) (tink.AEAD, error) {
	place := k.vault.place(subject)
	cached, m, ok := look(k, k.subjects, place)
	if ok {
		return cached, nil
	}
	var p tink.AEAD
	err := k.withKEK(ctx, func() (err error) {
		p, err = k.loadSubject(ctx, subject, create)
		return err
	})
	if err != nil {
		return nil, err
	}
	keep(k.subjects, m, place, p)
	return p, nil
}

// loadSubject reads a subject's key from the vault and opens it.
func (k *Keyring) loadSubject(ctx context.Context, subject string, create bool) (tink.AEAD, error) {
	row, err := k.vault.subject(ctx, subject)
	if create && errors.Is(err, ErrKeyNotFound) {
		var rows []subjectRow
		if rows, err = k.addSubjects(ctx, []string{subject}); err == nil {
			row = rows[0]
		}
	}
	if err != nil {
		return nil, fmt.Errorf("key of %s: %w", subject, err)
	}
	if row.destroyedAt != alive {
		return nil, fmt.Errorf("key of %s: %w", subject, ErrKeyDestroyed)
	}
	return k.openSubjectKey(ctx, subject, row.wrapped)
}

// addSubjects adds the keys that are missing; see vault.
func (k *Keyring) addSubjects(ctx context.Context, subjects []string) ([]subjectRow, error) {
	wrapped := make([][]byte, len(subjects))
	kek, err := k.wrapOne(func() (err error) {
		for i, s := range subjects {
			if wrapped[i], err = k.newSubjectKey(ctx, s); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return k.vault.addSubjects(ctx, k.now(), subjects, wrapped, kek)
}
