package keyring

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

const (
	sqlPutRotation = `INSERT INTO rotations (request, kind, rotated_at, key_id, previous_id, epoch, rewrapped)
VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING n`
	sqlSelectRotation = `SELECT r.n, r.request, r.kind, r.rotated_at, r.key_id, r.previous_id, r.epoch, r.rewrapped, s.public
FROM rotations r LEFT JOIN signing_keys s ON s.epoch = r.epoch `
	sqlRotationTo      = sqlSelectRotation + `WHERE r.kind = ? AND r.key_id = ?`
	sqlRotationAskedBy = sqlSelectRotation + `WHERE r.request = ?`
	sqlRotations       = sqlSelectRotation + `WHERE r.n > ? ORDER BY r.n`

	sqlMetaToRewrap    = `SELECT rowid, name, value FROM meta WHERE rowid > ? ORDER BY rowid LIMIT ?`
	sqlSubjectToRewrap = `SELECT n, subject, wrapped FROM subject_keys WHERE n > ? AND destroyed_at = 9223372036854775807 ORDER BY n LIMIT ?`
	sqlEpochToRewrap   = `SELECT n, kid, wrapped FROM code_epochs WHERE n > ? AND destroyed_at = 9223372036854775807 ORDER BY n LIMIT ?`
	sqlSignerToRewrap  = `SELECT n, CAST(epoch AS TEXT), wrapped FROM signing_keys WHERE n > ? AND retired_at = 9223372036854775807 ORDER BY n LIMIT ?`

	// A row that was destroyed since it was read has other bytes and is left
	// alone.
	sqlRewrapMeta    = `UPDATE meta SET value = ?3 WHERE rowid = ?1 AND value = ?2`
	sqlRewrapSubject = `UPDATE subject_keys SET wrapped = ?3 WHERE n = ?1 AND wrapped = ?2`
	sqlRewrapEpoch   = `UPDATE code_epochs SET wrapped = ?3 WHERE n = ?1 AND wrapped = ?2`
	sqlRewrapSigner  = `UPDATE signing_keys SET wrapped = ?3 WHERE n = ?1 AND wrapped = ?2`
)

// rewrapAtOnce is how many keys are wrapped anew in one commit. Other callers
// get their turn between two commits.
const rewrapAtOnce = 256

// wrappedTable is one table of wrapped keys. Its rows are selected from a number
// on as number, name and wrapped key, and one is replaced by number and old
// bytes.
type wrappedTable struct {
	list, replace string
	rewrap        func(ctx context.Context, name string, wrapped []byte) ([]byte, error)
}

// rewrap goes through every table from its beginning: at 100,000 keys a second
// that is cheaper than remembering how far it came.
func (d *database) rewrap(ctx context.Context, w rewrapping, step func(string) error) (int, error) {
	raw := func(kind string) func(context.Context, string, []byte) ([]byte, error) {
		return func(ctx context.Context, name string, wrapped []byte) ([]byte, error) {
			return w.raw(ctx, kind, name, wrapped)
		}
	}
	meta := func(ctx context.Context, name string, wrapped []byte) ([]byte, error) {
		return w.raw(ctx, name, "", wrapped)
	}
	total := 0
	for _, t := range []wrappedTable{
		{sqlMetaToRewrap, sqlRewrapMeta, meta},
		{sqlSubjectToRewrap, sqlRewrapSubject, w.subject},
		{sqlEpochToRewrap, sqlRewrapEpoch, raw("epoch")},
		{sqlSignerToRewrap, sqlRewrapSigner, raw("signing")},
	} {
		n, err := d.rewrapTable(ctx, t, step)
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// rewrapTable wraps every living key of a table anew. Keys that come meanwhile
// are wrapped with the new key already; doing them again is harmless.
func (d *database) rewrapTable(ctx context.Context, t wrappedTable, step func(string) error) (int, error) {
	total := 0
	for after := int64(0); ; {
		batch, err := d.wrappedRows(ctx, t, after)
		if err != nil || len(batch) == 0 {
			return total, err
		}
		after = batch[len(batch)-1].n
		replaced, err := d.replaceWrapped(ctx, t, batch)
		total += replaced
		if err == nil {
			err = step("batch")
		}
		if err != nil {
			return total, err
		}
	}
}

// wrappedRow is a key before and after.
type wrappedRow struct {
	n        int64
	old, new []byte
}

func (d *database) wrappedRows(ctx context.Context, t wrappedTable, after int64) ([]wrappedRow, error) {
	rows, err := d.read.QueryContext(ctx, t.list, after, rewrapAtOnce)
	if err != nil {
		return nil, storage("read wrapped keys", err)
	}
	defer rows.Close()
	var batch []wrappedRow
	for rows.Next() {
		var r wrappedRow
		var name string
		if err := rows.Scan(&r.n, &name, &r.old); err != nil {
			return nil, storage("read wrapped keys", err)
		}
		if r.new, err = t.rewrap(ctx, name, r.old); err != nil {
			return nil, fmt.Errorf("wrap %s anew: %w", name, err)
		}
		if len(r.new) != len(r.old) {
			return nil, fmt.Errorf("wrap %s anew: %d bytes became %d; the key-encryption key must keep the length", name, len(r.old), len(r.new))
		}
		batch = append(batch, r)
	}
	return batch, storage("read wrapped keys", rows.Err())
}

func (d *database) replaceWrapped(ctx context.Context, t wrappedTable, batch []wrappedRow) (int, error) {
	replaced := 0
	err := d.write.do(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for _, r := range batch {
			result, err := tx.ExecContext(ctx, t.replace, r.n, r.old, r.new)
			if err != nil {
				return err
			}
			n, err := result.RowsAffected()
			if err != nil {
				return err
			}
			replaced += int(n)
		}
		return nil
	})
	return replaced, err
}

func (d *database) noteOnce(ctx context.Context, r Rotation) (Rotation, error) {
	err := d.write.do(ctx, func(ctx context.Context, tx *sql.Tx) error {
		noted, err := scanRotation(tx.QueryRowContext(ctx, sqlRotationTo, r.Kind, r.To))
		if !errors.Is(err, sql.ErrNoRows) {
			r = noted
			return err
		}
		return putRotation(ctx, tx, &r)
	})
	return r, err
}

// putRotation stores a note and gives it its number.
func putRotation(ctx context.Context, tx *sql.Tx, r *Rotation) error {
	return tx.QueryRowContext(ctx, sqlPutRotation, r.Request[:], r.Kind, r.At.UnixMicro(), r.To, r.From, r.Epoch, r.Rewrapped).Scan(&r.Number)
}

func scanRotation(row interface{ Scan(...any) error }) (Rotation, error) {
	var r Rotation
	var request, public []byte
	var at int64
	if err := row.Scan(&r.Number, &request, &r.Kind, &at, &r.To, &r.From, &r.Epoch, &r.Rewrapped, &public); err != nil {
		return Rotation{}, err
	}
	r.At, r.Public = time.UnixMicro(at).UTC(), public
	var err error
	r.Request, err = uuid.FromBytes(request)
	return r, err
}

// underWay asks the key-encryption key alone: the older key goes last.
func (d *database) underWay(context.Context) (string, bool, error) {
	older := d.kek.Older()
	if len(older) == 0 {
		return "", false, nil
	}
	return older[len(older)-1], true, nil
}

func (d *database) rotationOf(ctx context.Context, request uuid.UUID) (Rotation, error) {
	r, err := scanRotation(d.read.QueryRowContext(ctx, sqlRotationAskedBy, request[:]))
	if errors.Is(err, sql.ErrNoRows) {
		return Rotation{}, ErrKeyNotFound
	}
	return r, storage("read rotation", err)
}

func (d *database) rotations(ctx context.Context, after int64) ([]Rotation, error) {
	rows, err := d.read.QueryContext(ctx, sqlRotations, after)
	if err != nil {
		return nil, storage("read rotations", err)
	}
	defer rows.Close()
	var list []Rotation
	for rows.Next() {
		r, err := scanRotation(rows)
		if err != nil {
			return nil, storage("read rotations", err)
		}
		list = append(list, r)
	}
	return list, storage("read rotations", rows.Err())
}
