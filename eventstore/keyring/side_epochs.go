package keyring

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/authledger/authledger/eventstore"
)

func (v *sideVault) livingEpoch(ctx context.Context, day int64) (string, error) {
	st, err := v.fresh(ctx)
	if err != nil {
		return "", err
	}
	if kid := st.livingEpoch(day); kid != "" {
		return kid, nil
	}
	return "", ErrKeyNotFound
}

// addEpoch writes the key first: what stands in the register has a stream. A key
// that lost against another node's is deleted.
func (v *sideVault) addEpoch(ctx context.Context, e epochRow, note *Rotation) (string, error) {
	stream := epochPrefix + e.kid
	if err := v.writeKey(ctx, stream, keyEntry{Name: []byte(e.kid), At: e.createdAt, KEK: e.kek, Key: e.wrapped}); err != nil {
		return "", err
	}
	kid := e.kid
	err := v.decideRegister(ctx, func(st *register) ([]registerEntry, error) {
		kid = e.kid
		if st.kek != e.kek {
			return nil, errKEKMoved
		}
		living := st.livingEpoch(e.day)
		added := registerEntry{Kind: entryEpoch, At: e.createdAt, Kid: e.kid, Day: e.day}
		switch {
		case note == nil && living != "":
			kid = living
			return nil, nil
		case note == nil:
			return []registerEntry{added}, nil
		}
		if done := st.rotationOf(note.Request); done != nil {
			*note, kid = *done, done.To
			return nil, nil
		}
		note.From, note.Number = living, int64(len(st.rotations))+1
		return []registerEntry{added, entryOf(*note)}, nil
	})
	if errors.Is(err, errKEKMoved) || err == nil && kid != e.kid {
		return kid, errors.Join(err, v.delete(ctx, stream))
	}
	return kid, err
}

// writeKey begins a stream of its own for a key.
func (v *sideVault) writeKey(ctx context.Context, stream string, e keyEntry) error {
	e.Kind = entryKey
	return v.decide(ctx, decision{stream: stream, unread: true, choose: func(held [][]byte) ([][]byte, error) {
		if len(held) > 0 {
			return nil, fmt.Errorf("write %s: %w: it is there already", stream, eventstore.ErrUnavailable)
		}
		return encodeKey(e), nil
	}})
}

func (v *sideVault) epoch(ctx context.Context, kid string) (epochRow, error) {
	st := v.known()
	if st.epoch(kid) < 0 {
		var err error
		if st, err = v.fresh(ctx); err != nil {
			return epochRow{}, err
		}
	}
	i := st.epoch(kid)
	if i < 0 {
		return epochRow{}, ErrKeyNotFound
	}
	e := st.epochs[i]
	if e.destroyedAt != alive {
		return e, nil
	}
	var gone bool
	var err error
	if e.wrapped, gone, err = v.listedKey(ctx, epochPrefix+kid, kid); gone {
		e.destroyedAt = 0 // by whoever is about to say when
	}
	return e, err
}

// listedKey reads a key that the register lists. Every such key is wrapped anew
// before an older key-encryption key goes, so either opens it.
func (v *sideVault) listedKey(ctx context.Context, stream, name string) (wrapped []byte, gone bool, err error) {
	s, _, err := v.livingKey(ctx, stream, name)
	if errors.Is(err, eventstore.ErrGone) {
		return nil, true, nil
	}
	return s.wrapped, false, err
}

// expireEpochs deletes first: a key that the register calls destroyed is gone.
func (v *sideVault) expireEpochs(ctx context.Context, now, newest int64) ([]string, error) {
	expired := func(st *register) []string {
		var kids []string
		for _, e := range st.epochs {
			if e.destroyedAt == alive && e.day <= newest {
				kids = append(kids, e.kid)
			}
		}
		return kids
	}
	st, err := v.fresh(ctx)
	if err != nil {
		return nil, err
	}
	deleted := expired(st)
	if err := each(len(deleted), func(i int) error { return v.delete(ctx, epochPrefix+deleted[i]) }); err != nil {
		return deleted, err
	}
	var kids []string
	err = v.decideRegister(ctx, func(st *register) ([]registerEntry, error) {
		kids = slices.DeleteFunc(expired(st), func(kid string) bool { return !slices.Contains(deleted, kid) })
		if len(kids) == 0 {
			return nil, nil
		}
		return []registerEntry{{Kind: entryExpired, At: now, Kids: kids}}, nil
	})
	return kids, err
}

func (v *sideVault) epochs(ctx context.Context) ([]epochRow, error) {
	st, err := v.fresh(ctx)
	if err != nil {
		return nil, err
	}
	return st.epochs, nil
}

// addSigner makes a key again for each epoch that another node took before it.
func (v *sideVault) addSigner(ctx context.Context, forge func(uint32) (signerRow, error), note func(signerRow) Rotation) (signerRow, Rotation, error) {
	var row signerRow
	var noted Rotation
	var stream string
	var written []string
	err := v.decideRegister(ctx, func(st *register) (_ []registerEntry, err error) {
		last := uint32(0)
		if n := len(st.signers); n > 0 {
			last = st.signers[n-1].epoch
		}
		if last == math.MaxUint32 {
			return nil, errNoEpoch()
		}
		if row, err = forge(last + 1); err != nil {
			return nil, err
		}
		if st.kek != row.kek {
			return nil, errKEKMoved
		}
		if note != nil {
			noted = note(row)
			if done := st.rotationOf(noted.Request); done != nil {
				stream, noted = "", *done
				i := st.signer(done.Epoch)
				if i < 0 {
					return nil, fmt.Errorf("read %s: %w: a rotation to an unknown signing key", registerStream, ErrNotAuthentic)
				}
				row = st.signers[i].signerRow
				return nil, nil
			}
			noted.Number = int64(len(st.rotations)) + 1
		}
		stream = signerPrefix + epochName(row.epoch) + "-" + randomName()
		written = append(written, stream)
		if err := v.writeKey(ctx, stream, keyEntry{Name: []byte(epochName(row.epoch)), At: row.createdAt, KEK: row.kek, Key: row.wrapped}); err != nil {
			return nil, err
		}
		entries := []registerEntry{{Kind: entrySigner, At: row.createdAt, Epoch: row.epoch, Public: row.public, Stream: stream}}
		if note != nil {
			entries = append(entries, entryOf(noted))
		}
		return entries, nil
	})
	if err != nil && !errors.Is(err, errKEKMoved) {
		return signerRow{}, Rotation{}, err // what was written may be what stands
	}
	for _, s := range written {
		if s != stream || err != nil {
			err = errors.Join(err, v.delete(ctx, s))
		}
	}
	return row, noted, err
}

func (v *sideVault) signer(ctx context.Context, epoch uint32) (signerRow, error) {
	st, err := v.fresh(ctx)
	if err != nil {
		return signerRow{}, err
	}
	i := st.signer(epoch)
	if i < 0 {
		return signerRow{}, ErrKeyNotFound
	}
	row := st.signers[i].signerRow
	if row.retiredAt != alive {
		return row, nil
	}
	var gone bool
	if row.wrapped, gone, err = v.listedKey(ctx, st.signers[i].stream, epochName(epoch)); gone {
		row.retiredAt = 0 // by whoever is about to say when
	}
	return row, err
}

func (v *sideVault) signers(ctx context.Context) ([]signerRow, error) {
	st, err := v.fresh(ctx)
	if err != nil {
		return nil, err
	}
	var list []signerRow
	for _, s := range st.signers {
		list = append(list, s.signerRow)
	}
	return list, nil
}

func (v *sideVault) retireSigner(ctx context.Context, epoch uint32, now int64) error {
	st, err := v.fresh(ctx)
	if err != nil {
		return err
	}
	i := st.signer(epoch)
	if i < 0 {
		return ErrKeyNotFound
	}
	if err := v.delete(ctx, st.signers[i].stream); err != nil {
		return err
	}
	return v.decideRegister(ctx, func(st *register) ([]registerEntry, error) {
		if st.signers[i].retiredAt != alive {
			return nil, nil
		}
		return []registerEntry{{Kind: entryRetired, At: now, Epoch: epoch}}, nil
	})
}
