package keyring

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/authledger/authledger/eventstore"
)

func (v *sideVault) rotationOf(ctx context.Context, request uuid.UUID) (Rotation, error) {
	st, err := v.fresh(ctx)
	if err != nil {
		return Rotation{}, err
	}
	if r := st.rotationOf(request); r != nil {
		return *r, nil
	}
	return Rotation{}, ErrKeyNotFound
}

func (v *sideVault) rotations(ctx context.Context, after int64) ([]Rotation, error) {
	st, err := v.fresh(ctx)
	if err != nil {
		return nil, err
	}
	var list []Rotation
	for _, r := range st.rotations {
		if r.Number > after {
			list = append(list, r)
		}
	}
	return list, nil
}

func (v *sideVault) noteOnce(ctx context.Context, r Rotation) (Rotation, error) {
	err := v.decideRegister(ctx, func(st *register) ([]registerEntry, error) {
		for _, done := range st.rotations {
			if done.Kind == r.Kind && done.To == r.To {
				r = done
				return nil, nil
			}
		}
		r.Number = int64(len(st.rotations)) + 1
		return []registerEntry{entryOf(r)}, nil
	})
	return r, err
}

// rewrap puts the new key-encryption key into force, and then appends every
// living key wrapped under it. What is under it already is passed over, so that
// a rotation that was cut off goes on; the check value and the index key came
// with the announcement. The copies under the old key stay in the streams: they
// end with the old key.
func (v *sideVault) rewrap(ctx context.Context, w rewrapping, step func(string) error) (int, error) {
	before, err := v.fresh(ctx)
	if err != nil {
		return 0, err
	}
	if err := v.settle(ctx); err != nil {
		return 0, err
	}
	st, err := v.fresh(ctx)
	if err != nil {
		return 0, err
	}
	total := 0
	if st.kek != before.kek {
		total = 2
	}
	if err := step("announced"); err != nil {
		return total, err
	}
	for _, part := range []func(context.Context, *register, rewrapping, func(string) error) (int, error){v.rewrapSubjects, v.rewrapListed} {
		n, err := part(ctx, st, w, step)
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// rewrapSubjects goes through the subjects in batches, each several streams at
// once.
func (v *sideVault) rewrapSubjects(ctx context.Context, _ *register, w rewrapping, step func(string) error) (int, error) {
	var batch []string
	total := 0
	flush := func() error {
		done := make([]bool, len(batch))
		err := each(len(batch), func(i int) (err error) {
			done[i], err = v.rewrapSubjectStream(ctx, batch[i], w)
			return err
		})
		for _, d := range done {
			if d {
				total++
			}
		}
		batch = batch[:0]
		return errors.Join(err, step("batch"))
	}
	for stream, err := range v.side.ListSide(ctx, subjectPrefix) {
		if err != nil {
			return total, sideFailure("list the subjects' keys", err)
		}
		if batch = append(batch, stream); len(batch) == rewrapAtOnce {
			if err := flush(); err != nil {
				return total, err
			}
		}
	}
	return total, flush()
}

// rewrapSubjectStream learns the subject's name from the entries.
func (v *sideVault) rewrapSubjectStream(ctx context.Context, stream string, w rewrapping) (bool, error) {
	v.k.wrapping.RLock() // from reading to opening; see Keyring
	defer v.k.wrapping.RUnlock()
	subject, err := v.subjectOf(ctx, stream)
	if errors.Is(err, eventstore.ErrGone) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return v.rewrapStream(ctx, stream, subject, w.subject)
}

// subjectOf is the name that the first entry of a stream gives.
func (v *sideVault) subjectOf(ctx context.Context, stream string) (string, error) {
	for text, err := range v.side.ReadSide(ctx, stream, 0) {
		if err != nil {
			return "", sideFailure("read "+stream, err)
		}
		var e keyEntry
		return string(e.Name), decodeEntry(stream, text, &e.Version, &e)
	}
	return strings.TrimPrefix(stream, subjectPrefix+"-"), nil
}

// rewrapListed does the keys that the register lists; those that come later are
// under the new key already.
func (v *sideVault) rewrapListed(ctx context.Context, st *register, w rewrapping, step func(string) error) (int, error) {
	total := 0
	one := func(stream, kind, name string) error {
		v.k.wrapping.RLock()
		defer v.k.wrapping.RUnlock()
		done, err := v.rewrapStream(ctx, stream, name, func(ctx context.Context, name string, wrapped []byte) ([]byte, error) {
			return w.raw(ctx, kind, name, wrapped)
		})
		if done {
			total++
		}
		return err
	}
	for _, e := range st.epochs {
		if e.destroyedAt == alive {
			if err := one(epochPrefix+e.kid, "epoch", e.kid); err != nil {
				return total, err
			}
		}
	}
	if err := step("epochs"); err != nil {
		return total, err
	}
	for _, s := range st.signers {
		if s.retiredAt == alive {
			if err := one(s.stream, "signing", epochName(s.epoch)); err != nil {
				return total, err
			}
		}
	}
	return total, step("signers")
}

// counts cannot look into every subject's stream: it tells neither since when
// there are keys nor how many secrets there are.
func (v *sideVault) counts(ctx context.Context) ([]KeyInfo, error) {
	st, err := v.fresh(ctx)
	if err != nil {
		return nil, err
	}
	epochs := counter{line: KeyInfo{Kind: string(KindCodeEpoch), State: Destroyed}}
	for _, e := range st.epochs {
		if e.destroyedAt != alive {
			epochs.add(e.createdAt, e.destroyedAt)
		}
	}
	living := KeyInfo{Kind: "subject", State: InUse}
	for _, err := range v.side.ListSide(ctx, subjectPrefix) {
		if err != nil {
			return nil, sideFailure("count the subjects' keys", err)
		}
		living.Count++
	}
	erased, err := v.erasures(ctx)
	if err != nil {
		return nil, err
	}
	gone := counter{line: KeyInfo{Kind: "subject", State: Destroyed}}
	for _, e := range erased {
		gone.add(e.Created, e.At)
	}
	var list []KeyInfo
	for _, line := range []KeyInfo{epochs.line, living, gone.line} {
		if line.Count > 0 {
			list = append(list, line)
		}
	}
	return list, nil
}

// counter is a line of Keyring.Keys in the making.
type counter struct{ line KeyInfo }

// add counts one key; created is zero when it is not known.
func (c *counter) add(created, ended int64) {
	c.line.Count++
	if at := time.UnixMicro(created).UTC(); created != 0 && (c.line.Since.IsZero() || at.Before(c.line.Since)) {
		c.line.Since = at
	}
	if at := time.UnixMicro(ended).UTC(); at.After(c.line.Ended) {
		c.line.Ended = at
	}
}
