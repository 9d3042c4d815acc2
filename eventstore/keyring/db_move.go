package keyring

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"slices"
)

const (
	sqlExportEpochs   = `SELECT kid, day, created_at, destroyed_at, wrapped FROM code_epochs ORDER BY n`
	sqlExportSigners  = `SELECT epoch, created_at, retired_at, public, wrapped FROM signing_keys ORDER BY epoch`
	sqlExportSubjects = `SELECT n, subject, created_at, destroyed_at, wrapped FROM subject_keys WHERE n > ? ORDER BY n LIMIT ?`

	sqlTakenEpoch   = `SELECT kid, day, created_at, destroyed_at, wrapped FROM code_epochs WHERE kid = ?`
	sqlTakenSigner  = `SELECT epoch, created_at, retired_at, public, wrapped FROM signing_keys WHERE epoch = ?`
	sqlTakenSubject = `SELECT created_at, destroyed_at, wrapped FROM subject_keys WHERE subject = ?`
	sqlTakeSubject  = `INSERT INTO subject_keys (subject, created_at, destroyed_at, wrapped) VALUES (?, ?, ?, ?)`
	// A rotation keeps its number, so nothing else may have it.
	sqlTakenRotation = sqlSelectRotation + `WHERE r.request = ?1 OR r.n = ?2 LIMIT 1`
	sqlTakeRotation  = `INSERT INTO rotations (n, request, kind, rotated_at, key_id, previous_id, epoch, rewrapped) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`
	sqlDestroyEpoch  = `UPDATE code_epochs SET destroyed_at = ?2, wrapped = zeroblob(length(wrapped))
WHERE kid = ?1 AND destroyed_at = 9223372036854775807`
	sqlReplaceMeta = `UPDATE meta SET value = ?2 WHERE name = ?1`
	sqlInUse       = `SELECT EXISTS (SELECT 1 FROM subject_keys) OR EXISTS (SELECT 1 FROM code_epochs)
OR EXISTS (SELECT 1 FROM signing_keys) OR EXISTS (SELECT 1 FROM rotations)`
)

func (d *database) export(ctx context.Context) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for _, part := range []func(context.Context) ([]Row, error){d.exportFirst, d.exportEpochs, d.exportSigners, d.exportRotations} {
			rows, err := part(ctx)
			if err != nil {
				yield(Row{}, err)
				return
			}
			for _, row := range rows {
				if !yield(row, nil) {
					return
				}
			}
		}
		// In pages: a read that stays open would keep the log from being scrubbed.
		for after := int64(0); ; {
			rows, last, err := d.exportSubjects(ctx, after)
			if err != nil {
				yield(Row{}, err)
				return
			}
			for _, row := range rows {
				if !yield(row, nil) {
					return
				}
			}
			if len(rows) == 0 {
				return
			}
			after = last
		}
	}
}

func (d *database) exportFirst(ctx context.Context) ([]Row, error) {
	row := Row{kind: RowMeta}
	var err error
	if row.check, err = d.meta(ctx, "check"); err != nil {
		return nil, err
	}
	row.index, err = d.meta(ctx, "index")
	return []Row{row}, err
}

func (d *database) exportEpochs(ctx context.Context) ([]Row, error) {
	rows, err := d.read.QueryContext(ctx, sqlExportEpochs)
	if err != nil {
		return nil, storage("read code keys", err)
	}
	defer rows.Close()
	var list []Row
	for rows.Next() {
		e, err := scanEpoch(rows)
		if err != nil {
			return nil, storage("read code keys", err)
		}
		list = append(list, Row{kind: RowEpoch, epoch: e})
	}
	return list, storage("read code keys", rows.Err())
}

func (d *database) exportSigners(ctx context.Context) ([]Row, error) {
	rows, err := d.read.QueryContext(ctx, sqlExportSigners)
	if err != nil {
		return nil, storage("read signing keys", err)
	}
	defer rows.Close()
	var list []Row
	for rows.Next() {
		s, err := scanSigner(rows)
		if err != nil {
			return nil, storage("read signing keys", err)
		}
		list = append(list, Row{kind: RowSigner, signer: s})
	}
	return list, storage("read signing keys", rows.Err())
}

func (d *database) exportRotations(ctx context.Context) ([]Row, error) {
	rotations, err := d.rotations(ctx, 0)
	var list []Row
	for _, r := range rotations {
		list = append(list, Row{kind: RowRotation, rotation: r})
	}
	return list, err
}

func (d *database) exportSubjects(ctx context.Context, after int64) (list []Row, last int64, err error) {
	if list, last, err = d.pageOfSubjects(ctx, after); err != nil {
		return nil, 0, err
	}
	for i := range list {
		if list[i].key.destroyedAt != alive {
			continue
		}
		if list[i].secrets, err = d.secrets(ctx, list[i].subject); err != nil {
			return nil, 0, err
		}
	}
	return list, last, nil
}

func (d *database) pageOfSubjects(ctx context.Context, after int64) (list []Row, last int64, err error) {
	rows, err := d.read.QueryContext(ctx, sqlExportSubjects, after, moveAtOnce)
	if err != nil {
		return nil, 0, storage("read keys", err)
	}
	defer rows.Close()
	for rows.Next() {
		row := Row{kind: RowSubject}
		if err := rows.Scan(&last, &row.subject, &row.created, &row.key.destroyedAt, &row.key.wrapped); err != nil {
			return nil, 0, storage("read keys", err)
		}
		if row.key.destroyedAt != alive {
			row.key.wrapped = nil
		}
		list = append(list, row)
	}
	return list, last, storage("read keys", rows.Err())
}

func scanEpoch(row interface{ Scan(...any) error }) (epochRow, error) {
	var e epochRow
	err := row.Scan(&e.kid, &e.day, &e.createdAt, &e.destroyedAt, &e.wrapped)
	return e, err
}

func scanSigner(row interface{ Scan(...any) error }) (signerRow, error) {
	var s signerRow
	err := row.Scan(&s.epoch, &s.createdAt, &s.retiredAt, &s.public, &s.wrapped)
	return s, err
}

func (d *database) bare(ctx context.Context) (bool, error) {
	var used bool
	err := d.read.QueryRowContext(ctx, sqlInUse).Scan(&used)
	return !used, storage("look into the key database", err)
}

func (d *database) replaceFirst(ctx context.Context, values firstValues) error {
	err := d.write.do(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, sqlReplaceMeta, "check", values.check); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, sqlReplaceMeta, "index", values.index)
		return err
	})
	if err != nil {
		return err
	}
	return d.write.scrub(ctx)
}

// take compares before it writes, as an operation must.
func (d *database) take(ctx context.Context, rows []Row) error {
	var different error
	err := d.write.do(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for _, row := range rows {
			same, err := checkTaken(ctx, tx, row)
			if err != nil {
				return err
			}
			if !same {
				different = fmt.Errorf("%s row: %w", row.kind, ErrDifferent)
				return nil
			}
		}
		for _, row := range rows {
			if err := takeRow(ctx, tx, row); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, different); err != nil {
		return err
	}
	return d.write.scrub(ctx) // a row may have been destroyed
}

// checkTaken reports whether what stands in the place of a row, if anything, is
// the same.
func checkTaken(ctx context.Context, tx *sql.Tx, row Row) (same bool, err error) {
	switch row.kind {
	case RowEpoch:
		var stored epochRow
		stored, err = scanEpoch(tx.QueryRowContext(ctx, sqlTakenEpoch, row.epoch.kid))
		same = sameEpoch(stored, row.epoch)
	case RowSigner:
		var stored signerRow
		stored, err = scanSigner(tx.QueryRowContext(ctx, sqlTakenSigner, row.signer.epoch))
		same = sameSigner(stored, row.signer)
	case RowRotation:
		var stored Rotation
		stored, err = scanRotation(tx.QueryRowContext(ctx, sqlTakenRotation, row.rotation.Request[:], row.rotation.Number))
		same = sameRotation(stored, row.rotation)
	case RowSubject:
		var created int64
		var stored subjectRow
		err = tx.QueryRowContext(ctx, sqlTakenSubject, row.subject).Scan(&created, &stored.destroyedAt, &stored.wrapped)
		same = row.key.destroyedAt != alive || stored.destroyedAt == alive && bytes.Equal(stored.wrapped, row.key.wrapped)
	case RowMeta:
		return false, nil // there is one, at the beginning
	}
	if errors.Is(err, sql.ErrNoRows) {
		return true, nil
	}
	return same, err
}

func takeRow(ctx context.Context, tx *sql.Tx, row Row) error {
	switch row.kind {
	case RowEpoch:
		return takeEpoch(ctx, tx, row.epoch)
	case RowSigner:
		return takeSigner(ctx, tx, row.signer)
	case RowRotation:
		_, err := scanRotation(tx.QueryRowContext(ctx, sqlRotationAskedBy, row.rotation.Request[:]))
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		r := row.rotation
		_, err = tx.ExecContext(ctx, sqlTakeRotation, r.Number, r.Request[:], r.Kind, r.At.UnixMicro(), r.To, r.From, r.Epoch, r.Rewrapped)
		return err
	case RowSubject:
		return takeSubject(ctx, tx, row)
	case RowMeta: // refused before
	}
	return nil
}

// takeEpoch adds a code key that is missing, or destroys one that was destroyed
// where it comes from.
func takeEpoch(ctx context.Context, tx *sql.Tx, e epochRow) error {
	_, err := scanEpoch(tx.QueryRowContext(ctx, sqlTakenEpoch, e.kid))
	if errors.Is(err, sql.ErrNoRows) {
		_, err = tx.ExecContext(ctx, sqlAddEpoch, e.kid, e.day, e.createdAt, alive, bytesOrEmpty(e.wrapped))
	}
	if err == nil && e.destroyedAt != alive {
		_, err = tx.ExecContext(ctx, sqlDestroyEpoch, e.kid, e.destroyedAt)
	}
	return err
}

func takeSigner(ctx context.Context, tx *sql.Tx, s signerRow) error {
	_, err := scanSigner(tx.QueryRowContext(ctx, sqlTakenSigner, s.epoch))
	if errors.Is(err, sql.ErrNoRows) {
		_, err = tx.ExecContext(ctx, sqlAddSigner, s.epoch, s.createdAt, alive, s.public, bytesOrEmpty(s.wrapped))
	}
	if err == nil && s.retiredAt != alive {
		_, err = tx.ExecContext(ctx, sqlRetireSigner, s.epoch, s.retiredAt)
	}
	return err
}

func takeSubject(ctx context.Context, tx *sql.Tx, row Row) error {
	var stored subjectRow
	err := tx.QueryRowContext(ctx, sqlSubjectKey, row.subject).Scan(&stored.wrapped, &stored.destroyedAt)
	missing := errors.Is(err, sql.ErrNoRows)
	if err != nil && !missing {
		return err
	}
	if missing {
		created := row.created
		if created == 0 {
			created = row.key.destroyedAt
		}
		if _, err := tx.ExecContext(ctx, sqlTakeSubject, row.subject, created, row.key.destroyedAt, bytesOrEmpty(row.key.wrapped)); err != nil {
			return err
		}
	}
	if row.key.destroyedAt != alive {
		return destroySubject(ctx, tx, row.subject, row.key.destroyedAt)
	}
	return takeSecrets(ctx, tx, row)
}

// takeSecrets makes the secrets of a subject those of the row.
func takeSecrets(ctx context.Context, tx *sql.Tx, row Row) error {
	stored, err := secretsIn(ctx, tx, row.subject)
	if err != nil || slices.EqualFunc(stored, row.secrets, sameSecret) {
		return err
	}
	if _, err := tx.ExecContext(ctx, sqlDestroySecrets, row.subject); err != nil {
		return err
	}
	for _, s := range row.secrets {
		if _, err := tx.ExecContext(ctx, sqlPutSecret, row.subject, s.id, s.changedAt, s.sealed); err != nil {
			return err
		}
	}
	return nil
}

// bytesOrEmpty keeps a missing key from becoming NULL.
func bytesOrEmpty(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
