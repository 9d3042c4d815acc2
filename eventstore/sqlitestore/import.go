package sqlitestore

import (
	"bytes"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/authledger/authledger/eventstore"
)

const (
	sqlReadImported = `SELECT upto, newest, disorder FROM imported`
	sqlImported     = `UPDATE imported SET upto = ?, newest = ?, disorder = ?`
	// importRecords is what one commit takes of an import: far fewer streams than
	// the lookup remembers, so that it forgets none before the commit.
	importRecords = 4096
	importBytes   = groupBytes
)

var (
	_ eventstore.Importer   = (*Store)(nil)
	_ eventstore.Disorderly = (*Store)(nil)
	_ eventstore.Disorderly = (*Reader)(nil)
)

// Disorder implements eventstore.Disorderly: how far time goes back in what was
// imported from another log; zero when nothing was, because the clock is held
// at the newest record. A Reader learns it when it looks at the head.
func (l *log) Disorder() time.Duration { return l.tail.disorder() }

// Import implements eventstore.Importer. The store copies what it keeps. A batch
// is one commit unless it has more than 4096 records or 16 MiB. When the context
// ends while it waits, the outcome is unknown; importing again tells.
func (s *Store) Import(ctx context.Context, records []eventstore.Record) error {
	if err := eventstore.CheckImport(records); err != nil {
		return err
	}
	for len(records) > 0 {
		n := oneImport(records)
		if err := s.importSome(ctx, newImport(records[:n])); err != nil {
			return err
		}
		records = records[n:]
	}
	return nil
}

// oneImport counts the records of one commit, at least one.
func oneImport(records []eventstore.Record) int {
	n, sum := 0, 0
	for n < min(len(records), importRecords) && (n == 0 || sum+size(&records[n]) <= importBytes) {
		sum += size(&records[n])
		n++
	}
	return n
}

// newImport copies the records. The size keeps appends out of its group.
func newImport(records []eventstore.Record) *request {
	r := &request{imports: make([]eventstore.Record, len(records)), size: groupBytes + 1, done: make(chan answer, 1)}
	for i, o := range records {
		o.Data, o.Metadata, o.RecordedAt = bytes.Clone(o.Data), bytes.Clone(o.Metadata), o.RecordedAt.UTC()
		r.imports[i] = o
	}
	return r
}

func (s *Store) importSome(ctx context.Context, r *request) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", r, err)
	}
	if err := s.writer.queue.put(r); err != nil {
		return fmt.Errorf("%s: %w", r, err)
	}
	select {
	case a := <-r.done:
		return a.err
	case <-ctx.Done():
		return fmt.Errorf("%s: %w: %w", r, eventstore.ErrOutcomeUnknown, ctx.Err())
	}
}

// placeImport decides an import and inserts its records. It is alone in its
// group. One that is refused leaves no trace: all of it is checked first.
func (w *writer) placeImport(r *request) error {
	fresh, err := w.standing(r)
	if err != nil || r.answered.err != nil {
		return err
	}
	leaves, err := w.continued(r, fresh)
	if err != nil || r.answered.err != nil || len(fresh) == 0 {
		return err
	}
	order := eventstore.Order{Newest: w.newest, Disorder: w.imported.order.Disorder}
	for i := range fresh {
		if err := w.add(&fresh[i], leaves[i]); err != nil {
			return err
		}
		order.See(fresh[i].RecordedAt)
	}
	w.newest, w.imported = order.Newest, imported{upto: w.head.sequence, order: order}
	return w.note.run(int64(w.imported.upto), order.Newest.UnixMicro(), order.Disorder.Microseconds())
}

// standing compares the beginning of an import with the log and returns the
// records that are not there, which follow the head.
func (w *writer) standing(r *request) (fresh []eventstore.Record, err error) {
	for i := range r.imports {
		o := &r.imports[i]
		if o.Sequence == w.head.sequence+1 {
			return r.imports[i:], nil
		}
		if o.Sequence > w.head.sequence {
			r.refuse("record %d: %w: the log ends at %d", o.Sequence, eventstore.ErrConflict, w.head.sequence)
			return nil, nil
		}
		page, err := readPage(w.lookup.one, 1, int64(o.Sequence))
		if err != nil || len(page) == 0 {
			return nil, errors.Join(fmt.Errorf("read record %d", o.Sequence), err)
		}
		if !o.Equal(page[0]) {
			r.refuse("record %d: %w: another one stands there", o.Sequence, eventstore.ErrConflict)
			return nil, nil
		}
	}
	return nil, nil
}

// continued checks that records continue their streams and returns their leaf
// hashes.
func (w *writer) continued(r *request, fresh []eventstore.Record) ([]eventstore.Hash, error) {
	tips := map[string]eventstore.Tip{}
	ids := map[eventstore.EventID]eventstore.Sequence{}
	leaves := make([]eventstore.Hash, len(fresh))
	for i := range fresh {
		o := &fresh[i]
		at, stands := w.lookup.find(o.ID)
		if n, ok := ids[o.ID]; ok {
			at, stands = n, true
		}
		if stands {
			r.refuse("record %d: event %s: %w: at %d", o.Sequence, o.ID, eventstore.ErrDuplicateID, at)
			return nil, nil
		}
		tip, known := tips[o.Stream]
		if !known {
			var err error
			if tip, err = w.lookup.tip(o.Stream); err != nil {
				return nil, err
			}
		}
		tip, err := tip.Continue(*o)
		if err != nil {
			r.refuse("%w", err)
			return nil, nil
		}
		tips[o.Stream], ids[o.ID], leaves[i] = tip, o.Sequence, tip.Leaf
	}
	return leaves, nil
}

// refuse answers a request without ending its group.
func (r *request) refuse(format string, args ...any) {
	r.answered.err = fmt.Errorf("%s: %w", r, fmt.Errorf(format, args...))
}

// imported is what the ledger remembers of what came from another log. Up to
// its newest record time may go back between streams; behind it never, not
// even behind the newest time before.
type imported struct {
	upto  eventstore.Sequence // zero when nothing was imported
	order eventstore.Order    // of the log up to there
}

func readImported(c *conn) (i imported, err error) {
	found := false
	err = c.query(sqlReadImported, 3, func(row []driver.Value) (bool, error) {
		upto, ok1 := row[0].(int64)
		newest, ok2 := row[1].(int64)
		disorder, ok3 := row[2].(int64)
		if found = ok1 && ok2 && ok3 && upto >= 0 && disorder >= 0; found && upto > 0 {
			i.upto = eventstore.Sequence(upto)
			i.order = eventstore.Order{Newest: time.UnixMicro(newest).UTC(), Disorder: time.Duration(disorder) * time.Microsecond}
		}
		return false, nil
	})
	if err == nil && !found {
		err = fmt.Errorf("%w: nothing says whether records were imported", eventstore.ErrDamaged)
	}
	return i, err
}

// pass checks the time of the next record and moves newest, the time of the
// newest record before.
func (i imported) pass(r eventstore.Record, newest *time.Time) error {
	back := time.Duration(0)
	if r.Sequence <= i.upto {
		back = i.order.Disorder
	}
	if r.Sequence == i.upto+1 {
		*newest = later(*newest, i.order.Newest)
	}
	if r.RecordedAt.Before(newest.Add(-back)) {
		return fmt.Errorf("record %d is older than the one before", r.Sequence)
	}
	*newest = later(*newest, r.RecordedAt)
	return nil
}

// end sets the newest time of a log that ends at head and whose newest records
// have passed. A time that those records contradict is not believed: appends
// would be held at it.
func (i imported) end(head eventstore.Sequence, newest *time.Time) error {
	if i.upto > head || i.upto == head && i.order.Newest.Add(-i.order.Disorder).After(*newest) {
		return fmt.Errorf("what is noted of an import up to record %d contradicts the records", i.upto)
	}
	if i.upto == head {
		*newest = later(*newest, i.order.Newest)
	}
	return nil
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
