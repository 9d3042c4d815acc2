package keyring

import (
	"context"
	"crypto/rand"
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
	kid, m, ok := look(k, k.current, name)
	if ok {
		return kid, nil
	}
	if kid, err = k.epochOf(ctx, day, now); err != nil {
		return "", fmt.Errorf("code key of %s: %w", name, err)
	}
	keep(k.current, m, name, kid)
	return kid, nil
}

// epochOf returns the last living epoch of a day or creates one; of several
// callers the first one's key stays. After a clock that went back beyond the
// life of an epoch, its day gets a second one.
func (k *Keyring) epochOf(ctx context.Context, day, now time.Time) (string, error) {
	kid, err := k.vault.livingEpoch(ctx, day.UnixMicro())
	if !errors.Is(err, ErrKeyNotFound) {
		return kid, err
	}
	err = k.withKEK(ctx, func() error {
		fresh, err := k.newEpoch(ctx, day, now)
		if err != nil {
			return err
		}
		kid, err = k.vault.addEpoch(ctx, fresh, nil)
		return err
	})
	return kid, err
}

// newEpoch returns a code key of a day under a kid that no other has. The caller
// holds wrapping.
func (k *Keyring) newEpoch(ctx context.Context, day, now time.Time) (epochRow, error) {
	var random [kidRandomSize]byte
	_, _ = rand.Read(random[:]) // never fails; see crypto/rand
	e := epochRow{
		kid: "c" + day.Format(kidDayLayout) + "-" + hex.EncodeToString(random[:]),
		day: day.UnixMicro(), createdAt: now.UnixMicro(), destroyedAt: alive,
	}
	var err error
	e.kek, err = k.wrapOne(func() (err error) {
		e.wrapped, err = k.wrapRaw(ctx, "epoch", e.kid, newRawKey())
		return err
	})
	return e, err
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
	kids, err := k.vault.expireEpochs(ctx, now.UnixMicro(), newest.UnixMicro())
	k.epochs.evict(kids...)
	k.current.clear()
	if err != nil {
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
	rows, err := k.vault.epochs(ctx)
	if err != nil {
		return nil, fmt.Errorf("list code keys: %w", err)
	}
	var epochs []Epoch
	for _, r := range rows {
		e := Epoch{Kid: r.kid, Day: time.UnixMicro(r.day).UTC(), Created: time.UnixMicro(r.createdAt).UTC()}
		if r.destroyedAt != alive {
			e.Destroyed = time.UnixMicro(r.destroyedAt).UTC()
		}
		epochs = append(epochs, e)
	}
	return epochs, nil
}

// epochKey returns the living key of an epoch.
func (k *Keyring) epochKey(ctx context.Context, kid string) (Secret, error) {
	cached, m, ok := look(k, k.epochs, kid)
	if ok {
		return cached, nil
	}
	var key Secret
	err := k.withKEK(ctx, func() error {
		row, err := k.vault.epoch(ctx, kid)
		switch {
		case err != nil:
			return fmt.Errorf("code key %q: %w", kid, err)
		case row.destroyedAt != alive:
			return fmt.Errorf("code key %s: %w", kid, ErrKeyDestroyed)
		}
		key, err = k.unwrapRaw(ctx, "epoch", kid, row.wrapped)
		return err
	})
	if err != nil {
		return nil, err
	}
	keep(k.epochs, m, kid, key)
	return key, nil
}
