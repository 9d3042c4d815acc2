package keyring

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
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

	sqlSecret    = `SELECT sealed FROM secrets WHERE subject = ? AND id = ?`
	sqlSecretsOf = `SELECT id, changed_at, sealed FROM secrets WHERE subject = ? ORDER BY n`
	sqlPutSecret = `INSERT INTO secrets (subject, id, changed_at, sealed) VALUES (?, ?, ?, ?)
ON CONFLICT (subject, id) DO UPDATE SET changed_at = excluded.changed_at, sealed = excluded.sealed`
	sqlDeleteSecret = `DELETE FROM secrets WHERE subject = ? AND id = ?`
)

func (d *database) subject(ctx context.Context, subject string) (subjectRow, error) {
	var r subjectRow
	err := d.read.QueryRowContext(ctx, sqlSubjectKey, subject).Scan(&r.wrapped, &r.destroyedAt)
	if errors.Is(err, sql.ErrNoRows) {
		return subjectRow{}, ErrKeyNotFound
	}
	return r, storage("read key", err)
}

func (d *database) addSubjects(ctx context.Context, now int64, subjects []string, wrapped [][]byte, _ string) ([]subjectRow, error) {
	rows := make([]subjectRow, len(subjects))
	err := d.write.do(ctx, func(ctx context.Context, tx *sql.Tx) error {
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

func (d *database) destroySubjects(ctx context.Context, now int64, subjects []string) error {
	err := d.write.do(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for _, s := range subjects {
			if err := destroySubject(ctx, tx, s, now); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return d.write.scrub(ctx)
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

// keyID is "k" and the number of the row.
func (d *database) keyID(ctx context.Context, subject string) (string, error) {
	var n int64
	err := d.read.QueryRowContext(ctx, sqlSubjectNumber, subject).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return "", ErrKeyNotFound
	}
	return "k" + strconv.FormatInt(n, 10), storage("read key", err)
}

func (d *database) secret(ctx context.Context, subject, id string) ([]byte, error) {
	var sealed []byte
	err := d.read.QueryRowContext(ctx, sqlSecret, subject, id).Scan(&sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrSecretNotFound
	}
	return sealed, storage("read secret", err)
}

func (d *database) secrets(ctx context.Context, subject string) ([]secretRow, error) {
	list, err := secretsIn(ctx, d.read, subject)
	return list, storage("read secrets", err)
}

// querier is a transaction, or the readers.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func secretsIn(ctx context.Context, q querier, subject string) ([]secretRow, error) {
	rows, err := q.QueryContext(ctx, sqlSecretsOf, subject)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []secretRow
	for rows.Next() {
		var s secretRow
		if err := rows.Scan(&s.id, &s.changedAt, &s.sealed); err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, rows.Err()
}

// putSecret looks at the key inside the transaction.
func (d *database) putSecret(ctx context.Context, subject string, s secretRow) error {
	var refused error
	err := d.write.do(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var row subjectRow
		if err := tx.QueryRowContext(ctx, sqlSubjectKey, subject).Scan(&row.wrapped, &row.destroyedAt); err != nil {
			return err
		}
		if row.destroyedAt != alive {
			refused = ErrKeyDestroyed
			return nil
		}
		_, err := tx.ExecContext(ctx, sqlPutSecret, subject, s.id, s.changedAt, s.sealed)
		return err
	})
	return errors.Join(err, refused)
}

func (d *database) deleteSecret(ctx context.Context, _ int64, subject, id string) error {
	err := d.write.do(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, sqlDeleteSecret, subject, id)
		return err
	})
	if err != nil {
		return err
	}
	return d.write.scrub(ctx)
}
