package keyring

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
)

const (
	sqlLastSigner   = `SELECT coalesce(max(epoch), 0) FROM signing_keys`
	sqlAddSigner    = `INSERT INTO signing_keys (epoch, created_at, retired_at, public, wrapped) VALUES (?, ?, ?, ?, ?)`
	sqlSigners      = `SELECT epoch, created_at, retired_at, public FROM signing_keys ORDER BY epoch`
	sqlSigner       = `SELECT public, wrapped, retired_at FROM signing_keys WHERE epoch = ?`
	sqlKnownSigner  = `SELECT EXISTS (SELECT 1 FROM signing_keys WHERE epoch = ?)`
	sqlRetireSigner = `UPDATE signing_keys SET retired_at = ?2, wrapped = zeroblob(length(wrapped))
WHERE epoch = ?1 AND retired_at = 9223372036854775807`
)

// addSigner chooses the epoch before the transaction, because the wrapped key
// names it.
func (d *database) addSigner(ctx context.Context, forge func(uint32) (signerRow, error), note func(signerRow) Rotation) (signerRow, Rotation, error) {
	d.signing.Lock()
	defer d.signing.Unlock()
	var last int64
	if err := d.read.QueryRowContext(ctx, sqlLastSigner).Scan(&last); err != nil {
		return signerRow{}, Rotation{}, storage("read the last epoch", err)
	}
	if last >= math.MaxUint32 {
		return signerRow{}, Rotation{}, errNoEpoch()
	}
	row, err := forge(uint32(last + 1))
	if err != nil {
		return signerRow{}, Rotation{}, err
	}
	var noted Rotation
	if note != nil {
		noted = note(row)
	}
	err = d.write.do(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if note != nil {
			if err := putRotation(ctx, tx, &noted); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, sqlAddSigner, row.epoch, row.createdAt, alive, row.public, row.wrapped)
		return err
	})
	return row, noted, err
}

func errNoEpoch() error { return fmt.Errorf("%w: no epoch is left", ErrInvalid) }

func (d *database) signer(ctx context.Context, epoch uint32) (signerRow, error) {
	r := signerRow{epoch: epoch}
	err := d.read.QueryRowContext(ctx, sqlSigner, epoch).Scan(&r.public, &r.wrapped, &r.retiredAt)
	if errors.Is(err, sql.ErrNoRows) {
		return signerRow{}, ErrKeyNotFound
	}
	return r, storage("read signing key", err)
}

func (d *database) signers(ctx context.Context) ([]signerRow, error) {
	rows, err := d.read.QueryContext(ctx, sqlSigners)
	if err != nil {
		return nil, storage("read signing keys", err)
	}
	defer rows.Close()
	var list []signerRow
	for rows.Next() {
		var r signerRow
		if err := rows.Scan(&r.epoch, &r.createdAt, &r.retiredAt, &r.public); err != nil {
			return nil, storage("read signing keys", err)
		}
		list = append(list, r)
	}
	return list, storage("read signing keys", rows.Err())
}

func (d *database) retireSigner(ctx context.Context, epoch uint32, now int64) error {
	var known bool
	err := d.write.do(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := tx.QueryRowContext(ctx, sqlKnownSigner, epoch).Scan(&known); err != nil || !known {
			return err
		}
		_, err := tx.ExecContext(ctx, sqlRetireSigner, epoch, now)
		return err
	})
	switch {
	case err != nil:
		return err
	case !known:
		return ErrKeyNotFound
	}
	return d.write.scrub(ctx)
}
