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

// maxCreate limits the subjects of one CreateKeys, so that one caller does not
// hold up the others' batch for long.
const maxCreate = 1000

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
	if len(subjects) > maxCreate {
		return fmt.Errorf("create keys: %w: %d subjects, at most %d", ErrInvalid, len(subjects), maxCreate)
	}
	for _, s := range subjects {
		if err := checkName("subject", s); err != nil {
			return fmt.Errorf("create keys: %w", err)
		}
	}
	if len(subjects) == 0 {
		return nil
	}
	rows, err := k.addSubjects(ctx, subjects)
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

// Destroy erases a subject: the data key and the secrets are gone from the
// files when it returns nil, and a tombstone makes sure that the key is never
// created again. Doing it again is harmless, and is what to do after an error.
// A subject that never had a key gets its tombstone too, which is how the
// erasures in the ledger are repeated over a restored older keys.db.
func (k *Keyring) Destroy(ctx context.Context, subject string) error {
	leave, err := k.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := checkName("subject", subject); err != nil {
		return fmt.Errorf("destroy key: %w", err)
	}
	now := k.now()
	err = k.write.do(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, sqlDestroySubject, subject, now); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, sqlAddTombstone, subject, now); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, sqlDestroySecrets, subject)
		return err
	})
	// Also after an error: the outcome may be unknown, and forgetting is safe.
	k.subjects.evict(subject)
	if err != nil {
		return fmt.Errorf("destroy key of %s: %w", subject, err)
	}
	if err := k.write.scrub(ctx); err != nil {
		return fmt.Errorf("destroy key of %s: %w", subject, err)
	}
	return nil
}

// KeyID names the subject's data key in events and certificates: "k" and the
// number of its row. The name stays when the key is destroyed. It returns
// ErrKeyNotFound when the subject never had a key here.
func (k *Keyring) KeyID(ctx context.Context, subject string) (string, error) {
	leave, err := k.enter(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	if err := checkName("subject", subject); err != nil {
		return "", fmt.Errorf("key id: %w", err)
	}
	var n int64
	err = k.read.QueryRowContext(ctx, sqlSubjectNumber, subject).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("key of %s: %w", subject, ErrKeyNotFound)
	}
	if err != nil {
		return "", storage("read key id", err)
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
// the key of whoever came first.
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
