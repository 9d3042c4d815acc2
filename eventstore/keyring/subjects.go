package keyring

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"

	"github.com/tink-crypto/tink-go/v2/tink"
)

const (
	sqlSubjectNumber = `SELECT n FROM subject_keys WHERE subject = ?`
	sqlSubjectKey    = `SELECT wrapped, destroyed_at FROM subject_keys WHERE subject = ?`
	sqlAddSubject    = `INSERT INTO subject_keys (subject, created_at, destroyed_at, wrapped) VALUES (?, ?, 9223372036854775807, ?)
ON CONFLICT (subject) DO NOTHING`
	// Tombstones of keys that never existed here; a living row is left alone.
	sqlAddTombstone = `INSERT INTO subject_keys (subject, created_at, destroyed_at, wrapped) VALUES (?1, ?2, ?2, x'')
ON CONFLICT (subject) DO NOTHING`
	sqlDestroySubject = `UPDATE subject_keys SET destroyed_at = ?2, wrapped = zeroblob(length(wrapped))
WHERE subject = ?1 AND destroyed_at = 9223372036854775807`
	sqlDestroySecrets = `DELETE FROM secrets WHERE subject = ?`
)

// maxSubjects limits the subjects of one CreateKeys or Destroy, so that one
// caller does not hold up the others' batch for long.
const maxSubjects = 1000

// CreateKeys creates the data keys of many subjects in one commit, durable
// when it returns; subjects that have one keep it. It is for imports and
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
	k.wrapping.RLock()
	rows, err := k.addSubjects(ctx, subjects)
	k.wrapping.RUnlock()
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

// Destroy erases subjects, at most 1,000, in one commit: the data keys and the
// secrets are gone from the files when it returns nil, and tombstones make sure
// that the keys are never created again. Doing it again is harmless, and is
// what to do after an error. A subject that never had a key gets its tombstone
// too, which is how the erasures in the ledger are repeated over a restored
// older keys.db.
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
	now := k.now()
	err = k.write.do(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for _, s := range subjects {
			if err := destroySubject(ctx, tx, s, now); err != nil {
				return err
			}
		}
		return nil
	})
	// Also after an error: the outcome may be unknown, and forgetting is safe.
	k.subjects.evict(subjects...)
	if err == nil {
		err = k.write.scrub(ctx)
	}
	if err != nil {
		return fmt.Errorf("destroy keys of %d subjects, the first %s: %w", len(subjects), subjects[0], err)
	}
	return nil
}

func destroySubject(ctx context.Context, tx *sql.Tx, subject string, now int64) error {
	if _, err := tx.ExecContext(ctx, sqlDestroySubject, subject, now); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, sqlAddTombstone, subject, now); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, sqlDestroySecrets, subject)
	return err
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
	row, err := k.subjectRow(ctx, subject)
	if errors.Is(err, ErrKeyNotFound) {
		return false, nil
	}
	return err == nil && row.destroyedAt != alive, err
}

// KeyID names the subject's data key: "k" and the number of its row. The name
// says nothing about the key and stays after the key was destroyed. It returns
// ErrKeyNotFound for a subject that never had one.
func (k *Keyring) KeyID(ctx context.Context, subject string) (string, error) {
	leave, err := k.enter(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	if err := checkName("subject", subject); err != nil {
		return "", fmt.Errorf("name key: %w", err)
	}
	var n int64
	err = k.read.QueryRowContext(ctx, sqlSubjectNumber, subject).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("name key of %s: %w", subject, ErrKeyNotFound)
	}
	if err != nil {
		return "", storage("name key of "+subject, err)
	}
	return "k" + strconv.FormatInt(n, 10), nil
}

// subjectRow is a row of subject_keys.
type subjectRow struct {
	wrapped     []byte
	destroyedAt int64
}

// primitive returns the subject's living key, creating it when asked to.
func (k *Keyring) primitive(ctx context.Context, subject string, create bool) (tink.AEAD, error) {
	cached, generation, ok := k.subjects.get(subject)
	if ok {
		return cached, nil
	}
	k.wrapping.RLock()
	defer k.wrapping.RUnlock()
	row, err := k.subjectRow(ctx, subject)
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
	p, err := k.openSubjectKey(ctx, subject, row.wrapped)
	if err != nil {
		return nil, err
	}
	k.subjects.put(generation, subject, p)
	return p, nil
}

func (k *Keyring) subjectRow(ctx context.Context, subject string) (subjectRow, error) {
	var r subjectRow
	err := k.read.QueryRowContext(ctx, sqlSubjectKey, subject).Scan(&r.wrapped, &r.destroyedAt)
	if errors.Is(err, sql.ErrNoRows) {
		return subjectRow{}, ErrKeyNotFound
	}
	return r, storage("read key", err)
}

// addSubjects inserts the missing keys in one commit and returns the rows that
// stand afterwards, in order: of several callers with one new subject, all get
// the key of whoever came first. The caller holds wrapping.
func (k *Keyring) addSubjects(ctx context.Context, subjects []string) ([]subjectRow, error) {
	wrapped := make([][]byte, len(subjects))
	for i, s := range subjects {
		var err error
		if wrapped[i], err = k.newSubjectKey(ctx, s); err != nil {
			return nil, err
		}
	}
	rows := make([]subjectRow, len(subjects))
	now := k.now()
	err := k.write.do(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for i, s := range subjects {
			if _, err := tx.ExecContext(ctx, sqlAddSubject, s, now, wrapped[i]); err != nil {
				return err
			}
			if err := tx.QueryRowContext(ctx, sqlSubjectKey, s).Scan(&rows[i].wrapped, &rows[i].destroyedAt); err != nil {
				return err
			}
		}
		return nil
	})
	return rows, err
}
