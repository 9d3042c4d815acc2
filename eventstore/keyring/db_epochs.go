package keyring

import (
	"context"
	"database/sql"
	"errors"
)

const (
	sqlLivingEpoch  = `SELECT kid FROM code_epochs WHERE day = ? AND destroyed_at = 9223372036854775807 ORDER BY n DESC LIMIT 1`
	sqlAddEpoch     = `INSERT INTO code_epochs (kid, day, created_at, destroyed_at, wrapped) VALUES (?, ?, ?, ?, ?)`
	sqlEpochKey     = `SELECT wrapped, destroyed_at FROM code_epochs WHERE kid = ?`
	sqlExpireEpochs = `UPDATE code_epochs SET destroyed_at = ?1, wrapped = zeroblob(length(wrapped))
WHERE destroyed_at = 9223372036854775807 AND day <= ?2 RETURNING kid`
	sqlEpochs = `SELECT kid, day, created_at, destroyed_at FROM code_epochs ORDER BY n`
)

func (d *database) livingEpoch(ctx context.Context, day int64) (string, error) {
	var kid string
	err := d.read.QueryRowContext(ctx, sqlLivingEpoch, day).Scan(&kid)
	if errors.Is(err, sql.ErrNoRows) {
		return "", ErrKeyNotFound
	}
	return kid, storage("read code key", err)
}

func (d *database) addEpoch(ctx context.Context, e epochRow, note *Rotation) (string, error) {
	kid := e.kid
	err := d.write.do(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var living string
		err := tx.QueryRowContext(ctx, sqlLivingEpoch, e.day).Scan(&living)
		switch {
		case err != nil && !errors.Is(err, sql.ErrNoRows):
			return err
		case err == nil && note == nil:
			kid = living
			return nil
		}
		if _, err := tx.ExecContext(ctx, sqlAddEpoch, e.kid, e.day, e.createdAt, alive, e.wrapped); err != nil || note == nil {
			return err
		}
		note.From = living
		return putRotation(ctx, tx, note)
	})
	return kid, err
}

func (d *database) epoch(ctx context.Context, kid string) (epochRow, error) {
	e := epochRow{kid: kid}
	err := d.read.QueryRowContext(ctx, sqlEpochKey, kid).Scan(&e.wrapped, &e.destroyedAt)
	if errors.Is(err, sql.ErrNoRows) {
		return epochRow{}, ErrKeyNotFound
	}
	return e, storage("read code key", err)
}

func (d *database) expireEpochs(ctx context.Context, now, newest int64) ([]string, error) {
	var kids []string
	err := d.write.do(ctx, func(ctx context.Context, tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, sqlExpireEpochs, now, newest)
		if err != nil {
			return err
		}
		kids, err = scanTexts(rows)
		return err
	})
	if err != nil {
		return kids, err
	}
	return kids, d.write.scrub(ctx)
}

func (d *database) epochs(ctx context.Context) ([]epochRow, error) {
	rows, err := d.read.QueryContext(ctx, sqlEpochs)
	if err != nil {
		return nil, storage("read code keys", err)
	}
	defer rows.Close()
	var epochs []epochRow
	for rows.Next() {
		var e epochRow
		if err := rows.Scan(&e.kid, &e.day, &e.createdAt, &e.destroyedAt); err != nil {
			return nil, storage("read code keys", err)
		}
		epochs = append(epochs, e)
	}
	return epochs, storage("read code keys", rows.Err())
}

func scanTexts(rows *sql.Rows) ([]string, error) {
	defer rows.Close()
	var texts []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		texts = append(texts, s)
	}
	return texts, rows.Err()
}
