// Package move takes a whole log from one store to another, record by record as
// they are, and proves afterwards that both hold the same one.
//
// It knows the contract of package eventstore only: neither what records mean
// nor what kind of store it reads or writes. What lives beside the log (keys,
// checkpoints, API clients) is moved by those who own it. Most readers want Log,
// or Copy and Compare when something else comes between the two.
package move

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/merkle"
)

// Target is the store a log is moved to.
type Target interface {
	eventstore.Reader
	eventstore.Importer
}

// Errors of a move. Compare with errors.Is.
var (
	// ErrOtherLog means that the target holds records which are not those of the
	// source. Nothing is changed in it; give an empty one.
	ErrOtherLog = errors.New("the target holds another log")
	// ErrGrew means that somebody appended to one of the two meanwhile. Stop
	// them and move again: what was copied stays.
	ErrGrew = errors.New("a log grew while it was moved")
)

// Step is a part of a move.
type Step string

// The steps, in their order.
const (
	Copying   Step = "copy"
	Comparing Step = "compare"
)

// Progress is how far a step is.
type Progress struct {
	Step      Step
	Records   uint64  // of the log, with those an earlier run copied
	Total     uint64  // of the log
	Bytes     uint64  // of data and metadata that this step handled in this run
	PerSecond float64 // records that this step handled in this run; zero in its first instant
}

// Options of a move. From, To and Clock are required.
type Options struct {
	From     eventstore.Reader
	To       Target
	Clock    func() time.Time // measures the rate
	Progress func(Progress)   // told after each batch, with the whole log at the end of a step; nil tells nobody
}

func (o Options) tell(p Progress) {
	if o.Progress != nil {
		o.Progress(p)
	}
}

// Moved is what a move came to.
type Moved struct {
	Size   uint64          // records of the log, in both stores
	Copied uint64          // of them by this run
	Bytes  uint64          // of data and metadata, copied by this run
	Root   eventstore.Hash // RFC 6962 root of all records, the same of both stores
}

// Log is Copy and then Compare.
func Log(ctx context.Context, o Options) (Moved, error) {
	moved, err := Copy(ctx, o)
	if err != nil {
		return moved, err
	}
	moved.Root, err = Compare(ctx, o, moved.Size)
	return moved, err
}

// Copy copies every record of one store behind those of it that the other holds
// already, so that a move that was cut off is resumed by moving again. Nobody
// may append to either meanwhile. It leaves Moved.Root to Compare; with an error
// it returns what was done before.
//
// A batch is at most MaxAppendCount records and, unless it is one record,
// MaxAppendBytes. Errors wrap ErrOtherLog, ErrGrew or those of the stores.
func Copy(ctx context.Context, o Options) (Moved, error) {
	size, err := head(ctx, o.From, "source")
	if err != nil {
		return Moved{}, err
	}
	moved := Moved{Size: uint64(size)}
	there, err := begun(ctx, o, size)
	if err != nil {
		return moved, err
	}
	return moved, copyRecords(ctx, o, there, &moved)
}

// Compare reads both stores from their beginning, compares the leaf hashes of
// each record, and returns the root both come to. Both must hold exactly size
// records, before and after. Errors wrap ErrOtherLog, which names the first
// record that differs, ErrGrew or those of the stores.
func Compare(ctx context.Context, o Options, size uint64) (eventstore.Hash, error) {
	if err := unchanged(ctx, o, eventstore.Sequence(size)); err != nil {
		return eventstore.Hash{}, err
	}
	root, err := compare(ctx, o, eventstore.Sequence(size))
	if err != nil {
		return eventstore.Hash{}, err
	}
	return root, unchanged(ctx, o, eventstore.Sequence(size))
}

func head(ctx context.Context, store eventstore.Reader, what string) (eventstore.Sequence, error) {
	n, _, err := store.Head(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the end of the %s: %w", what, err)
	}
	return n, nil
}

// begun is how many records an earlier run has copied. Its last one must be the
// source's: the whole beginning is compared at the end.
func begun(ctx context.Context, o Options, size eventstore.Sequence) (eventstore.Sequence, error) {
	there, err := head(ctx, o.To, "target")
	if err != nil || there == 0 {
		return 0, err
	}
	if there > size {
		return 0, fmt.Errorf("%w: it has %d records, the source %d", ErrOtherLog, there, size)
	}
	source, err := at(ctx, o.From, there)
	if err != nil {
		return 0, fmt.Errorf("read the source: %w", err)
	}
	target, err := at(ctx, o.To, there)
	if err != nil {
		return 0, fmt.Errorf("read the target: %w", err)
	}
	if !source.Equal(target) {
		return 0, differs(there)
	}
	return there, nil
}

func differs(n eventstore.Sequence) error {
	return fmt.Errorf("%w: record %d is not the source's", ErrOtherLog, n)
}

// at reads one record by its place.
func at(ctx context.Context, store eventstore.Reader, n eventstore.Sequence) (eventstore.Record, error) {
	for r, err := range store.ReadAll(ctx, n) {
		if err == nil && r.Sequence != n {
			err = fmt.Errorf("%w: record %d stands in the place of %d", eventstore.ErrDamaged, r.Sequence, n)
		}
		return r, err
	}
	return eventstore.Record{}, fmt.Errorf("record %d: %w", n, eventstore.ErrNotFound)
}

func copyRecords(ctx context.Context, o Options, there eventstore.Sequence, moved *Moved) error {
	m := newMeter(o, Copying, uint64(there), moved.Size)
	for batch, err := range batches(ctx, o.From, there) {
		if err != nil {
			return fmt.Errorf("read the source: %w", err)
		}
		if batch[len(batch)-1].Sequence > eventstore.Sequence(moved.Size) {
			return fmt.Errorf("%w: the source", ErrGrew)
		}
		if err := o.To.Import(ctx, batch); err != nil {
			return fmt.Errorf("write the target: %w", err)
		}
		for _, r := range batch {
			m.add(r)
		}
		moved.Copied, moved.Bytes = m.records-uint64(there), m.bytes
		m.tell()
	}
	if m.records != moved.Size {
		return fmt.Errorf("read the source: %w: it ends at record %d of %d", eventstore.ErrDamaged, m.records, moved.Size)
	}
	m.end()
	return nil
}

// batches yields the records after a sequence, in order.
func batches(ctx context.Context, from eventstore.Reader, after eventstore.Sequence) iter.Seq2[[]eventstore.Record, error] {
	return func(yield func([]eventstore.Record, error) bool) {
		var batch []eventstore.Record
		sum := 0
		for r, err := range from.ReadAll(ctx, after+1) {
			if err != nil {
				yield(nil, err)
				return
			}
			n := len(r.Data) + len(r.Metadata)
			if len(batch) == eventstore.MaxAppendCount || len(batch) > 0 && sum+n > eventstore.MaxAppendBytes {
				if !yield(batch, nil) {
					return
				}
				batch, sum = nil, 0
			}
			batch, sum = append(batch, r), sum+n
		}
		if len(batch) > 0 {
			yield(batch, nil)
		}
	}
}

// compare reads both stores side by side and returns the root that the leaves
// of each come to.
func compare(ctx context.Context, o Options, size eventstore.Sequence) (eventstore.Hash, error) {
	source, stop := iter.Pull2(o.From.ReadAll(ctx, 0))
	defer stop()
	target, stop := iter.Pull2(o.To.ReadAll(ctx, 0))
	defer stop()
	ours, theirs := merkle.NewGrowing(), merkle.NewGrowing()
	m := newMeter(o, Comparing, 0, uint64(size))
	for n := eventstore.Sequence(1); n <= size; n++ {
		a, err := take(source, "source", n)
		if err != nil {
			return eventstore.Hash{}, err
		}
		b, err := take(target, "target", n)
		if err != nil {
			return eventstore.Hash{}, err
		}
		one, other := a.Leaf(), b.Leaf()
		if one != other || a.Sequence != n || b.Sequence != n {
			return eventstore.Hash{}, differs(n)
		}
		if err := errors.Join(ours.Append(one), theirs.Append(other)); err != nil {
			return eventstore.Hash{}, fmt.Errorf("compare record %d: %w", n, err)
		}
		if m.add(b); n%eventstore.MaxAppendCount == 0 {
			m.tell()
		}
	}
	root, err := ours.Root()
	copied, otherErr := theirs.Root()
	if err = errors.Join(err, otherErr); err != nil {
		return eventstore.Hash{}, err
	}
	if root != copied {
		return eventstore.Hash{}, fmt.Errorf("%w: its root is %s, the source's %s", ErrOtherLog, copied, root)
	}
	m.end()
	return root, nil
}

// take returns the next record of a store that must have one.
func take(next func() (eventstore.Record, error, bool), what string, n eventstore.Sequence) (eventstore.Record, error) {
	r, err, ok := next()
	if !ok {
		err = fmt.Errorf("record %d: %w", n, eventstore.ErrNotFound)
	}
	if err != nil {
		return r, fmt.Errorf("read the %s: %w", what, err)
	}
	return r, nil
}

// unchanged checks that both logs still end where the move began.
func unchanged(ctx context.Context, o Options, size eventstore.Sequence) error {
	for _, s := range []struct {
		store eventstore.Reader
		what  string
	}{{o.From, "source"}, {o.To, "target"}} {
		n, err := head(ctx, s.store, s.what)
		if err != nil {
			return err
		}
		if n != size {
			return fmt.Errorf("%w: the %s has %d records, not the %d that were moved", ErrGrew, s.what, n, size)
		}
	}
	return nil
}

// meter counts what a step does.
type meter struct {
	o              Options
	step           Step
	began          time.Time
	start, records uint64
	total, bytes   uint64
	told           bool // what there is now
}

func newMeter(o Options, step Step, start, total uint64) *meter {
	return &meter{o: o, step: step, began: o.Clock(), start: start, records: start, total: total}
}

func (m *meter) add(r eventstore.Record) {
	m.records, m.told = m.records+1, false
	m.bytes += uint64(len(r.Data) + len(r.Metadata))
}

func (m *meter) tell() {
	p := Progress{Step: m.step, Records: m.records, Total: m.total, Bytes: m.bytes}
	if seconds := m.o.Clock().Sub(m.began).Seconds(); seconds > 0 {
		p.PerSecond = float64(m.records-m.start) / seconds
	}
	m.told = true
	m.o.tell(p)
}

// end tells the end unless the last batch did.
func (m *meter) end() {
	if !m.told {
		m.tell()
	}
}
