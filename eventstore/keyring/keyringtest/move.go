package keyringtest

import (
	"errors"
	"iter"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/authledger/authledger/eventstore/keyring"
)

// RunMove tests the way of all keys from one home to another with the same
// key-encryption key.
func RunMove(t *testing.T, from, to Factory) {
	for name, test := range map[string]func(source, target *world){
		"everything arrives":                       everythingArrives,
		"an import that was cut off goes on":       cutOffImportGoesOn,
		"a second import brings what changed":      secondImportBringsChanges,
		"another keyring is not overwritten":       anotherKeyringIsNotOverwritten,
		"another key-encryption key is refused":    func(source, target *world) { foreignRowsAreRefused(source, target, to) },
		"what was destroyed there does not return": destroyedDoesNotReturn,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := newWorld(t, from)
			target := &world{TB: t, ctx: t.Context(), home: to(t), clock: source.clock, file: source.file}
			t.Cleanup(func() {
				if target.k != nil {
					target.do(target.k.Close())
				}
			})
			test(source, target) // which opens the target
		})
	}
}

// cutRows ends an export with an error after some rows.
func cutRows(rows iter.Seq2[keyring.Row, error], after int) iter.Seq2[keyring.Row, error] {
	return func(yield func(keyring.Row, error) bool) {
		n := 0
		for row, err := range rows {
			if n == after {
				yield(keyring.Row{}, errCut)
				return
			}
			if !yield(row, err) {
				return
			}
			n++
		}
	}
}

func (w *world) rows() int {
	w.Helper()
	n := 0
	for _, err := range w.k.Export(w.ctx) {
		w.do(err)
		n++
	}
	return n
}

// wantSame compares what two keyrings list.
func wantSame(a, b *world) {
	a.Helper()
	for what, list := range map[string]func(*world) (any, error){
		"code keys":    func(w *world) (any, error) { return w.k.Epochs(w.ctx) },
		"signing keys": func(w *world) (any, error) { return w.k.SigningKeys(w.ctx) },
		"rotations":    func(w *world) (any, error) { return w.k.Rotations(w.ctx, 0) },
		"keys": func(w *world) (any, error) {
			list, err := w.k.Keys(w.ctx)
			for i := range list { // what only one home can tell
				if list[i].Kind == "subject" {
					list[i].Since = time.Time{}
				}
			}
			return slices.DeleteFunc(list, func(l keyring.KeyInfo) bool { return l.Kind == "secret" }), err
		},
	} {
		x, err := list(a)
		a.do(err)
		y, err := list(b)
		b.do(err)
		if !reflect.DeepEqual(x, y) {
			a.Errorf("%s: %+v became %+v", what, x, y)
		}
	}
}

// fillAll has also an expired code key, a rotated key-encryption key, many
// subjects, and one with more secrets than one append takes.
func (w *world) fillAll() contents {
	w.Helper()
	w.kid()
	w.clock.add(40 * 24 * time.Hour)
	_, err := w.k.ExpireEpochs(w.ctx)
	w.do(err)
	c := w.fill()
	_, err = w.k.RotateKEK(w.ctx)
	w.do(err)
	w.do(w.k.CreateKeys(w.ctx, subjects("many", 300)...))
	large := string(make([]byte, 60<<10))
	for _, id := range subjects("large", 8) {
		w.do(w.k.PutSecret(w.ctx, "many-0000", id, []byte(large)))
	}
	c.sealed["many-0000"] = w.seal("many-0000", "many-0000")
	return c
}

func (w *world) checkLarge() {
	w.Helper()
	large := string(make([]byte, 60<<10))
	for _, id := range subjects("large", 8) {
		w.wantSecret("many-0000", id, large)
	}
}

func everythingArrives(source, target *world) {
	c := source.fillAll()
	source.check(c)
	target.open() // after the source rotated the file that both have
	for range 2 { // the second import changes nothing
		target.do(target.k.Import(target.ctx, source.k.Export(source.ctx)))
		target.check(c)
		target.checkLarge()
		wantSame(source, target)
		target.restart()
	}
	if a, b := source.rows(), target.rows(); a != b {
		source.Errorf("%d rows became %d", a, b)
	}
	target.newSigner() // and the keyring is one that lives
	target.seal("new", "x")
	r, err := target.k.RotateKEK(target.ctx)
	if err != nil || r.Number != 4 {
		target.Errorf("rotated %+v, %v", r, err)
	}
	target.restart()
	for name, sealed := range c.sealed {
		target.wantOpen(name, sealed, name)
	}
}

func cutOffImportGoesOn(source, target *world) {
	target.open()
	c := source.fill()
	all := source.rows()
	for n := range all {
		target.wantErr(target.k.Import(target.ctx, cutRows(source.k.Export(source.ctx), n)), errCut)
		if n%5 == 0 {
			target.restart()
		}
	}
	target.do(target.k.Import(target.ctx, source.k.Export(source.ctx)))
	target.check(c)
	wantSame(source, target)
}

func secondImportBringsChanges(source, target *world) {
	target.open()
	c := source.fill()
	source.do(source.k.PutSecret(source.ctx, names[5], "b", []byte("soon gone")))
	target.do(target.k.Import(target.ctx, source.k.Export(source.ctx)))
	target.check(c)
	source.do(source.k.PutSecret(source.ctx, names[4], "a", []byte("changed")))
	source.do(source.k.PutSecret(source.ctx, names[4], "new", []byte("new")))
	source.do(source.k.DeleteSecret(source.ctx, names[5], "b"))
	source.do(source.k.Destroy(source.ctx, names[6]))
	source.do(source.k.RetireSigningKey(source.ctx, 3))
	c.erased[names[6]] = c.sealed[names[6]]
	delete(c.sealed, names[6])
	delete(c.secrets, names[6])
	c.secrets[names[4]] = "changed"
	target.do(target.k.Import(target.ctx, source.k.Export(source.ctx)))
	target.check(c)
	target.wantSecret(names[4], "new", "new")
	_, err := target.k.Secret(target.ctx, names[5], "b")
	target.wantErr(err, keyring.ErrSecretNotFound)
	wantSame(source, target)
}

func anotherKeyringIsNotOverwritten(source, target *world) {
	target.open()
	c := source.fill()
	sealed := target.seal("user-1", "x")
	target.wantErr(target.k.Import(target.ctx, source.k.Export(source.ctx)), keyring.ErrDifferent)
	target.wantOpen("user-1", sealed, "x")
	if n := target.rows(); n != 2 {
		target.Errorf("a refused import left %d rows, want 2", n)
	}
	source.check(c)
}

// foreignRowsAreRefused needs a target of its own, with another key.
func foreignRowsAreRefused(source, target *world, to Factory) {
	target.open()
	c := source.fill()
	other := newWorld(target.TB, to)
	other.wantErr(other.k.Import(other.ctx, source.k.Export(source.ctx)), keyring.ErrInvalid)
	if n := other.rows(); n != 1 {
		other.Errorf("a refused import left %d rows, want 1", n)
	}
	rows := source.k.Export(source.ctx)
	headless := func(yield func(keyring.Row, error) bool) {
		for row, err := range rows {
			if row.Kind() != keyring.RowMeta && !yield(row, err) {
				return
			}
		}
	}
	target.wantErr(target.k.Import(target.ctx, headless), keyring.ErrInvalid)
	source.check(c)
}

func destroyedDoesNotReturn(source, target *world) {
	target.open()
	c := source.fill()
	target.do(target.k.Import(target.ctx, source.k.Export(source.ctx)))
	target.do(target.k.Destroy(target.ctx, names[7]))
	err := target.k.Import(target.ctx, source.k.Export(source.ctx))
	if !errors.Is(err, keyring.ErrDifferent) {
		target.Errorf("got %v, want %v", err, keyring.ErrDifferent)
	}
	target.wantGone(names[7], c.sealed[names[7]])
}
