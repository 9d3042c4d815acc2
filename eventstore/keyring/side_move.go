package keyring

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/authledger/authledger/eventstore"
)

func (v *sideVault) export(ctx context.Context) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		st, err := v.fresh(ctx)
		if err != nil {
			yield(Row{}, err)
			return
		}
		if !yield(Row{kind: RowMeta, check: st.check, index: st.index}, nil) {
			return
		}
		for _, part := range []iter.Seq2[Row, error]{v.exportListed(ctx, st), v.exportSubjects(ctx)} {
			for row, err := range part {
				if !yield(row, err) || err != nil {
					return
				}
			}
		}
	}
}

// exportListed yields what the register lists.
func (v *sideVault) exportListed(ctx context.Context, st *register) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for _, e := range st.epochs {
			full := e
			var err error
			if e.destroyedAt == alive {
				full, err = v.epoch(ctx, e.kid)
			}
			if !yield(Row{kind: RowEpoch, epoch: full}, err) || err != nil {
				return
			}
		}
		for _, s := range st.signers {
			full := s.signerRow
			var err error
			if s.retiredAt == alive {
				full, err = v.signer(ctx, s.epoch)
			}
			if !yield(Row{kind: RowSigner, signer: full}, err) || err != nil {
				return
			}
		}
		for _, r := range st.rotations {
			if !yield(Row{kind: RowRotation, rotation: r}, nil) {
				return
			}
		}
	}
}

// exportSubjects yields a subject whose erasure was begun as erased.
func (v *sideVault) exportSubjects(ctx context.Context) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		erased, err := v.erasures(ctx)
		if err != nil {
			yield(Row{}, err)
			return
		}
		gone := map[string]bool{}
		for _, e := range erased {
			gone[string(e.Subject)] = true
			if !yield(Row{kind: RowSubject, subject: string(e.Subject), created: e.Created, key: subjectRow{destroyedAt: e.At}}, nil) {
				return
			}
		}
		for stream, err := range v.side.ListSide(ctx, subjectPrefix) {
			row := Row{kind: RowSubject}
			used := false
			if err != nil {
				err = sideFailure("list the subjects' keys", err)
			} else {
				row, used, err = v.exportSubject(ctx, stream)
			}
			if err == nil && (!used || gone[row.subject]) {
				continue
			}
			if !yield(row, err) || err != nil {
				return
			}
		}
	}
}

// exportSubject passes over a stream without a key that was ever used.
func (v *sideVault) exportSubject(ctx context.Context, stream string) (row Row, used bool, err error) {
	subject, err := v.subjectOf(ctx, stream)
	if err == nil {
		var s keyStream
		s, err = v.keyStream(ctx, stream, subject)
		row = Row{kind: RowSubject, subject: subject, created: s.createdAt, key: subjectRow{wrapped: s.wrapped, destroyedAt: alive}, secrets: s.secrets}
		used = s.kek != "" && !v.known().abandoned(s.kek)
	}
	if errors.Is(err, eventstore.ErrGone) { // since it was listed
		return Row{}, false, nil
	}
	return row, used, err
}

func (v *sideVault) bare(ctx context.Context) (bool, error) {
	st, err := v.fresh(ctx)
	if err != nil {
		return false, err
	}
	if len(st.epochs)+len(st.signers)+len(st.rotations)+len(st.former) > 0 {
		return false, nil
	}
	for _, prefix := range []string{subjectPrefix, erasedStream} {
		for _, err := range v.side.ListSide(ctx, prefix) {
			return false, sideFailure("list the subjects' keys", err)
		}
	}
	return true, nil
}

func (v *sideVault) replaceFirst(ctx context.Context, values firstValues) error {
	return v.decideRegister(ctx, func(st *register) ([]registerEntry, error) {
		if bytes.Equal(st.index, values.index) {
			return nil, nil
		}
		return []registerEntry{{Kind: entryIndex, At: v.k.now(), KEK: st.kek, Check: values.check, Index: values.index}}, nil
	})
}

func (v *sideVault) take(ctx context.Context, rows []Row) error {
	kek := v.known().kek
	for _, row := range rows { // what the register lists, in order
		var err error
		switch row.kind {
		case RowEpoch:
			err = v.takeEpoch(ctx, kek, row.epoch)
		case RowSigner:
			err = v.takeSigner(ctx, kek, row.signer)
		case RowRotation:
			err = v.takeRotation(ctx, row.rotation)
		case RowMeta: // there is one, at the beginning
			err = ErrDifferent
		case RowSubject:
		}
		if err != nil {
			return fmt.Errorf("%s row: %w", row.kind, err)
		}
	}
	return each(len(rows), func(i int) error {
		if rows[i].kind != RowSubject {
			return nil
		}
		if err := v.takeSubject(ctx, kek, rows[i]); err != nil {
			return fmt.Errorf("%s row: %w", rows[i].kind, err)
		}
		return nil
	})
}

// takeKey writes a listed key's stream unless the same stands there.
func (v *sideVault) takeKey(ctx context.Context, stream string, e keyEntry) error {
	e.Kind = entryKey
	err := v.decide(ctx, decision{stream: stream, unread: true, choose: func(held [][]byte) ([][]byte, error) {
		s, err := readKey(stream, string(e.Name), held)
		switch {
		case err != nil:
			return nil, err
		case s.kek == "":
			return encodeKey(e), nil
		case !bytes.Equal(s.wrapped, e.Key):
			return nil, ErrDifferent
		}
		return nil, nil
	}})
	if errors.Is(err, eventstore.ErrGone) {
		return ErrDifferent
	}
	return err
}

func (v *sideVault) takeEpoch(ctx context.Context, kek string, e epochRow) error {
	stream := epochPrefix + e.kid
	var err error
	if e.destroyedAt == alive {
		err = v.takeKey(ctx, stream, keyEntry{Name: []byte(e.kid), At: e.createdAt, KEK: kek, Key: e.wrapped})
	} else {
		err = v.delete(ctx, stream)
	}
	if err != nil {
		return err
	}
	return v.decideRegister(ctx, func(st *register) ([]registerEntry, error) {
		var entries []registerEntry
		stored := epochRow{destroyedAt: alive}
		if i := st.epoch(e.kid); i >= 0 {
			stored = st.epochs[i]
			stored.wrapped = e.wrapped // compared by takeKey
			if !sameEpoch(stored, e) {
				return nil, ErrDifferent
			}
		} else {
			entries = append(entries, registerEntry{Kind: entryEpoch, At: e.createdAt, Kid: e.kid, Day: e.day})
		}
		if e.destroyedAt != alive && stored.destroyedAt == alive {
			entries = append(entries, registerEntry{Kind: entryExpired, At: e.destroyedAt, Kids: []string{e.kid}})
		}
		return entries, nil
	})
}

func (v *sideVault) takeSigner(ctx context.Context, kek string, s signerRow) error {
	stream := signerPrefix + epochName(s.epoch) + "-imported"
	var err error
	if s.retiredAt == alive {
		err = v.takeKey(ctx, stream, keyEntry{Name: []byte(epochName(s.epoch)), At: s.createdAt, KEK: kek, Key: s.wrapped})
	} else {
		err = v.delete(ctx, stream)
	}
	if err != nil {
		return err
	}
	return v.decideRegister(ctx, func(st *register) ([]registerEntry, error) {
		var entries []registerEntry
		stored := signerRow{retiredAt: alive}
		if i := st.signer(s.epoch); i >= 0 {
			stored = st.signers[i].signerRow
			stored.wrapped = s.wrapped // compared by takeKey
			if !sameSigner(stored, s) || st.signers[i].stream != stream {
				return nil, ErrDifferent
			}
		} else {
			entries = append(entries, registerEntry{Kind: entrySigner, At: s.createdAt, Epoch: s.epoch, Public: s.public, Stream: stream})
		}
		if s.retiredAt != alive && stored.retiredAt == alive {
			entries = append(entries, registerEntry{Kind: entryRetired, At: s.retiredAt, Epoch: s.epoch})
		}
		return entries, nil
	})
}

func (v *sideVault) takeRotation(ctx context.Context, r Rotation) error {
	return v.decideRegister(ctx, func(st *register) ([]registerEntry, error) {
		if done := st.rotationOf(r.Request); done != nil {
			if !sameRotation(*done, r) {
				return nil, ErrDifferent
			}
			return nil, nil
		}
		if r.Number != int64(len(st.rotations))+1 {
			return nil, ErrDifferent
		}
		return []registerEntry{entryOf(r)}, nil
	})
}

// maxTaken limits the secrets of one append, in bytes before their encoding.
const maxTaken = 400 << 10

func (v *sideVault) takeSubject(ctx context.Context, kek string, row Row) error {
	if row.key.destroyedAt != alive {
		return v.takeTombstone(ctx, row)
	}
	stream := subjectStream(row.subject)
	for {
		complete := false
		err := v.decide(ctx, decision{stream: stream, unread: true, choose: func(held [][]byte) ([][]byte, error) {
			s, err := readKey(stream, row.subject, held)
			if err != nil {
				return nil, err
			}
			if s.kek != "" && !bytes.Equal(s.wrapped, row.key.wrapped) {
				return nil, ErrDifferent
			}
			var missing [][]byte
			missing, complete = missingEntries(s, kek, row)
			return missing, nil
		}})
		if errors.Is(err, eventstore.ErrGone) {
			return ErrDifferent
		}
		if err != nil || complete {
			return err
		}
	}
}

// missingEntries are what makes a subject's stream hold what a row holds, or the
// first of them.
func missingEntries(s keyStream, kek string, row Row) (entries [][]byte, complete bool) {
	name := []byte(row.subject)
	if s.kek == "" {
		entries = append(entries, encodeKey(keyEntry{Kind: entryKey, Name: name, At: row.created, KEK: kek, Key: row.key.wrapped})...)
	}
	size := 0
	for _, secret := range row.secrets {
		if slices.ContainsFunc(s.secrets, func(o secretRow) bool { return sameSecret(o, secret) }) {
			continue
		}
		if size += len(secret.sealed); size > maxTaken || len(entries) == moveAtOnce {
			return entries, false
		}
		entries = append(entries, encodeKey(keyEntry{Kind: entrySecret, Name: name, At: secret.changedAt, ID: []byte(secret.id), Sealed: secret.sealed})...)
	}
	for _, o := range s.secrets {
		if !slices.ContainsFunc(row.secrets, func(secret secretRow) bool { return secret.id == o.id }) {
			entries = append(entries, encodeKey(keyEntry{Kind: entryRemoved, Name: name, At: o.changedAt, ID: []byte(o.id)})...)
		}
	}
	return entries, true
}

// takeTombstone lists an erased subject with its times, unless it is gone.
func (v *sideVault) takeTombstone(ctx context.Context, row Row) error {
	_, err := v.keyStream(ctx, subjectStream(row.subject), row.subject)
	if errors.Is(err, eventstore.ErrGone) {
		return nil
	}
	if err != nil && !errors.Is(err, ErrNotAuthentic) {
		return err
	}
	entry := encodeEntry(erasedEntry{Version: sideVersion, Subject: []byte(row.subject), At: row.key.destroyedAt, Created: row.created})
	if err := v.listErased(ctx, [][]byte{entry}); err != nil {
		return err
	}
	return v.delete(ctx, subjectStream(row.subject))
}
