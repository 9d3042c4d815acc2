package keyring

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
)

// ErrDifferent means that an import met something else in the place of what it
// brings.
var ErrDifferent = errors.New("the keyring holds something else there")

// Row is one row of a keyring on its way to another one: wrapped as it lies,
// without a key in clear.
type Row struct {
	kind     RowKind
	check    []byte // of RowMeta
	index    []byte
	epoch    epochRow
	signer   signerRow
	rotation Rotation
	subject  string
	created  int64 // of a subject; 0 when it is not known
	key      subjectRow
	secrets  []secretRow
}

// RowKind says what a row holds.
type RowKind string

// The kinds of rows, in the order of an export.
const (
	RowMeta     RowKind = "meta"     // the first values
	RowEpoch    RowKind = "epoch"    // a code key, living or destroyed
	RowSigner   RowKind = "signer"   // a signing key
	RowRotation RowKind = "rotation" // the note of a rotation
	RowSubject  RowKind = "subject"  // a subject's key with its secrets, or its tombstone
)

// Kind says what the row holds.
func (r Row) Kind() RowKind { return r.kind }

// Format writes the kind for every verb: the fields are wrapped keys.
func (r Row) Format(s fmt.State, _ rune) {
	_, _ = fmt.Fprintf(s, "%s row of a keyring", string(r.kind))
}

// moveAtOnce is how many rows an import takes over together.
const moveAtOnce = 256

// Export yields every row of the keyring, for Import into one with the same
// key-encryption key: first values, code keys, signing keys, rotations, then
// subjects with their secrets, and tombstones. Nobody should write meanwhile:
// what changes may be missing, and a second Export and Import bring it. It
// yields ErrInvalid while a rotation of the key-encryption key is unfinished.
// An error is the last pair.
func (k *Keyring) Export(ctx context.Context) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		leave, err := k.enter(ctx)
		if err != nil {
			yield(Row{}, err)
			return
		}
		defer leave()
		_, unfinished, err := k.vault.underWay(ctx)
		if err == nil && unfinished {
			err = fmt.Errorf("%w: finish the rotation of the key-encryption key first", ErrInvalid)
		}
		if err != nil {
			yield(Row{}, fmt.Errorf("export keys: %w", err))
			return
		}
		for row, err := range k.vault.export(ctx) {
			if err != nil {
				yield(Row{}, fmt.Errorf("export keys: %w", err))
				return
			}
			if !yield(row, nil) {
				return
			}
		}
	}
}

// Import takes over the rows of another keyring, which has the same
// key-encryption key. The target must be new, or hold nothing but what an
// earlier Import of the same rows brought: one that was cut off is repeated from
// the beginning, and brings erasures and changed secrets, too. It returns
// ErrDifferent when the target holds another key in the place of one, or has
// destroyed what the rows still have; ErrInvalid when the rows are wrapped by
// another key-encryption key. Every other call waits until it ends, and no other
// node may have the target open. What a row's name is in the source, KeyID, may
// be another one here.
func (k *Keyring) Import(ctx context.Context, rows iter.Seq2[Row, error]) error {
	leave, err := k.enter(ctx)
	if err != nil {
		return err
	}
	leave() // and enter alone
	k.life.Lock()
	defer k.life.Unlock()
	defer func() {
		k.subjects.clear()
		k.epochs.clear()
		k.current.clear()
		k.signers.clear()
	}()
	if err := k.importAll(ctx, rows); err != nil {
		return fmt.Errorf("import keys: %w", err)
	}
	return nil
}

func (k *Keyring) importAll(ctx context.Context, rows iter.Seq2[Row, error]) error {
	var batch []Row
	begun := false
	for row, err := range rows {
		if err != nil {
			return err
		}
		if !begun {
			if err := k.importMeta(ctx, row); err != nil {
				return err
			}
			begun = true
			continue
		}
		if batch = append(batch, row); len(batch) == moveAtOnce {
			if err := k.vault.take(ctx, batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	return k.vault.take(ctx, batch)
}

// importMeta makes the index key of the rows the one of this keyring.
func (k *Keyring) importMeta(ctx context.Context, row Row) error {
	if row.kind != RowMeta {
		return fmt.Errorf("%w: the rows do not begin with the first values", ErrInvalid)
	}
	return k.withKEK(ctx, func() error {
		ours, err := k.opensCheck(ctx, row.check)
		if err != nil {
			return err
		}
		if !ours {
			return fmt.Errorf("%w: the rows are wrapped by another key-encryption key", ErrInvalid)
		}
		index, err := k.unwrapRaw(ctx, "index", "", row.index)
		if err != nil || bytes.Equal(index, k.indexKey) {
			return err
		}
		bare, err := k.vault.bare(ctx)
		if err != nil {
			return err
		}
		if !bare {
			return fmt.Errorf("%w: it is in use and has another index key", ErrDifferent)
		}
		if err := k.vault.replaceFirst(ctx, firstValues{check: row.check, index: row.index}); err != nil {
			return err
		}
		k.indexKey = index
		return nil
	})
}

// sameEpoch reports whether a stored code key is that of a row.
func sameEpoch(stored, row epochRow) bool {
	return stored.kid == row.kid && stored.day == row.day && stored.createdAt == row.createdAt &&
		(row.destroyedAt != alive || stored.destroyedAt == alive && bytes.Equal(stored.wrapped, row.wrapped))
}

// sameSigner reports whether a stored signing key is that of a row.
func sameSigner(stored, row signerRow) bool {
	return stored.epoch == row.epoch && stored.createdAt == row.createdAt && bytes.Equal(stored.public, row.public) &&
		(row.retiredAt != alive || stored.retiredAt == alive && bytes.Equal(stored.wrapped, row.wrapped))
}

// sameRotation compares two notes; the public half is its signing key's.
func sameRotation(a, b Rotation) bool {
	a.Public, b.Public = nil, nil
	return a.Number == b.Number && a.Request == b.Request && a.Kind == b.Kind && a.At.Equal(b.At) &&
		a.From == b.From && a.To == b.To && a.Epoch == b.Epoch && a.Rewrapped == b.Rewrapped
}

func sameSecret(a, b secretRow) bool {
	return a.id == b.id && a.changedAt == b.changedAt && bytes.Equal(a.sealed, b.sealed)
}
