package keyring

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"
)

// A code epoch is the key of all codes that are issued on one UTC day, or from a
// rotation on that day on. It lives for that day and 30 more (design.md "Codes
// are derived, never stored").
const (
	epochLength   = 24 * time.Hour
	epochKept     = 30 * 24 * time.Hour
	kidDayLayout  = "2006-01-02"
	kidRandomSize = 4 // bytes
)

const (
	sqlLivingEpoch  = `SELECT kid FROM code_epochs WHERE day = ? AND destroyed_at = 9223372036854775807 ORDER BY n DESC LIMIT 1`
	sqlAddEpoch     = `INSERT INTO code_epochs (kid, day, created_at, destroyed_at, wrapped) VALUES (?, ?, ?, 9223372036854775807, ?)`
	sqlEpochKey     = `SELECT wrapped, destroyed_at FROM code_epochs WHERE kid = ?`
	sqlExpireEpochs = `UPDATE code_epochs SET destroyed_at = ?1, wrapped = zeroblob(length(wrapped))
WHERE destroyed_at = 9223372036854775807 AND day <= ?2 RETURNING kid`
	sqlEpochs = `SELECT kid, day, created_at, destroyed_at FROM code_epochs ORDER BY n`
)

// Epoch says what became of one code key.
type Epoch struct {
	Kid       string
	Day       time.Time // UTC midnight; codes of this day use it
	Created   time.Time // UTC
	Destroyed time.Time // UTC; zero while it lives
}

// CurrentKid names the epoch that codes issued now belong to, creating it at
// its first use. The form is "c2026-11-23-1f0c9a7e": the UTC day and 8 random
// hexadecimal digits. The key is durable when it returns.
func (k *Keyring) CurrentKid(ctx context.Context) (string, error) {
	leave, err := k.enter(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	now := k.clock().UTC()
	day := now.Truncate(epochLength)
	name := day.Format(kidDayLayout)
	kid, generation, ok := k.current.get(name)
	if ok {
		return kid, nil
	}
	if kid, err = k.epochOf(ctx, day, name, now); err != nil {
		return "", fmt.Errorf("code key of %s: %w", name, err)
	}
	k.current.put(generation, name, kid)
	return kid, nil
}

// epochOf returns the last living epoch of a day or creates one; of several
// callers the first one's key stays. After a clock that went back beyond the
// life of an epoch, its day gets a second one.
func (k *Keyring) epochOf(ctx context.Context, day time.Time, name string, now time.Time) (string, error) {
	var kid string
	err := k.read.QueryRowContext(ctx, sqlLivingEpoch, day.UnixMicro()).Scan(&kid)
	if !errors.Is(err, sql.ErrNoRows) {
		return kid, storage("read code key", err)
	}
	k.wrapping.RLock()
	defer k.wrapping.RUnlock()
	fresh, wrapped, err := k.newEpoch(ctx, name)
	if err != nil {
		return "", err
	}
	err = k.write.do(ctx, func(ctx context.Context, tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, sqlLivingEpoch, day.UnixMicro()).Scan(&kid)
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		kid = fresh
		_, err = tx.ExecContext(ctx, sqlAddEpoch, fresh, day.UnixMicro(), now.UnixMicro(), wrapped)
		return err
	})
	return kid, err
}

// newEpoch returns a kid of a day that no key has, and a key for it, wrapped.
// The caller holds wrapping.
func (k *Keyring) newEpoch(ctx context.Context, day string) (kid string, wrapped []byte, err error) {
	var random [kidRandomSize]byte
	_, _ = rand.Read(random[:]) // never fails; see crypto/rand
	kid = "c" + day + "-" + hex.EncodeToString(random[:])
	wrapped, err = k.wrapRaw(ctx, "epoch", kid, newRawKey())
	return kid, wrapped, err
}

// ExpireEpochs destroys the code keys whose day ended 30 days ago or earlier
// and returns their kids in order of their days, for the event that records
// it. They are gone from the files when it returns nil. After an error, or a
// crash before the event was appended, Epochs tells which are destroyed.
func (k *Keyring) ExpireEpochs(ctx context.Context) ([]string, error) {
	leave, err := k.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	now := k.clock().UTC()
	newest := now.Add(-epochLength - epochKept)
	var kids []string
	err = k.write.do(ctx, func(ctx context.Context, tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, sqlExpireEpochs, now.UnixMicro(), newest.UnixMicro())
		if err != nil {
			return err
		}
		kids, err = scanTexts(rows)
		return err
	})
	k.epochs.evict(kids...)
	k.current.clear()
	if err != nil {
		return nil, fmt.Errorf("expire code keys: %w", err)
	}
	if err := k.write.scrub(ctx); err != nil {
		return nil, fmt.Errorf("expire code keys: %w", err)
	}
	slices.Sort(kids) // the text begins with the day
	return kids, nil
}

// Epochs lists every code key there ever was, living and destroyed, in order of
// creation.
func (k *Keyring) Epochs(ctx context.Context) ([]Epoch, error) {
	leave, err := k.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	return k.codeEpochs(ctx)
}

func (k *Keyring) codeEpochs(ctx context.Context) ([]Epoch, error) {
	rows, err := k.read.QueryContext(ctx, sqlEpochs)
	if err != nil {
		return nil, storage("list code keys", err)
	}
	defer rows.Close()
	var epochs []Epoch
	for rows.Next() {
		var e Epoch
		var day, created, destroyed int64
		if err := rows.Scan(&e.Kid, &day, &created, &destroyed); err != nil {
			return nil, storage("list code keys", err)
		}
		e.Day, e.Created = time.UnixMicro(day).UTC(), time.UnixMicro(created).UTC()
		if destroyed != alive {
			e.Destroyed = time.UnixMicro(destroyed).UTC()
		}
		epochs = append(epochs, e)
	}
	return epochs, storage("list code keys", rows.Err())
}

// epochKey returns the living key of an epoch.
func (k *Keyring) epochKey(ctx context.Context, kid string) (Secret, error) {
	cached, generation, ok := k.epochs.get(kid)
	if ok {
		return cached, nil
	}
	k.wrapping.RLock()
	defer k.wrapping.RUnlock()
	var wrapped []byte
	var destroyedAt int64
	err := k.read.QueryRowContext(ctx, sqlEpochKey, kid).Scan(&wrapped, &destroyedAt)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, fmt.Errorf("code key %q: %w", kid, ErrKeyNotFound)
	case err != nil:
		return nil, storage("read code key", err)
	case destroyedAt != alive:
		return nil, fmt.Errorf("code key %s: %w", kid, ErrKeyDestroyed)
	}
	key, err := k.unwrapRaw(ctx, "epoch", kid, wrapped)
	if err != nil {
		return nil, err
	}
	k.epochs.put(generation, kid, key)
	return key, nil
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
