package sqlitestore

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"github.com/authledger/authledger/eventstore"
)

const sqlInsert = `INSERT INTO records (sequence, id, stream, revision, type, schema, recorded_at, data, metadata, running)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

// faults are called where a disk may fail; tests set them.
type faults struct {
	beforeCommit, afterCommit, beforeAnchor func() error
}

func call(fault func() error) error {
	if fault == nil {
		return nil
	}
	return fault()
}

// writer is the one goroutine that writes. It ends when the queue is closed
// and empty; Close waits for ended. All fields are its own except queue and
// ended.
type writer struct {
	queue *queue
	ended chan struct{}

	clock  func() time.Time
	conn   *conn
	anchor *anchor
	tail   *tail
	drain  *drain
	lookup *lookup
	faults faults
	logger *slog.Logger
	resync func() error // lets readers see what a commit in doubt left behind

	begin, insert, commit, rollback, note *statement

	head     mark      // with the open transaction
	newest   time.Time // of all records, the same
	imported imported  // the same
	failed   error
	group    []*request
	records  []eventstore.Record // of the open transaction
}

func newWriter(b *begun, clock func() time.Time, tune tuning) (*writer, error) {
	w := &writer{
		queue: newQueue(), ended: make(chan struct{}), clock: clock, conn: b.conn, anchor: b.anchor, tail: b.tail,
		faults: tune.faults, head: b.tail.head, newest: b.newest, imported: b.imported,
	}
	w.tail.remember()
	for _, p := range []struct {
		statement **statement
		text      string
	}{{&w.begin, "BEGIN IMMEDIATE"}, {&w.insert, sqlInsert}, {&w.commit, "COMMIT"}, {&w.rollback, "ROLLBACK"}, {&w.note, sqlImported}} {
		var err error
		if *p.statement, err = w.conn.prepare(p.text); err != nil {
			return nil, err
		}
	}
	var err error
	if w.drain, err = newDrain(w.conn, w.tail, tune.generation); err != nil {
		return nil, err
	}
	if w.lookup, err = newLookup(w.conn, w.tail); err != nil {
		return nil, err
	}
	return w, nil
}

// run answers every request exactly once.
func (w *writer) run() {
	defer close(w.ended)
	for more := true; more; {
		w.group, more = w.queue.take(w.group[:0])
		if len(w.group) == 0 {
			continue
		}
		err := w.failed
		if err == nil {
			err = w.write()
		}
		for i, r := range w.group {
			if err != nil {
				r.answered = answer{err: fmt.Errorf("%s: %w", r, err)}
			}
			r.done <- r.answered
			w.group[i] = nil
		}
		// The callers just answered run first: what they bring next shares one
		// commit instead of the first of them having one to itself.
		runtime.Gosched()
	}
}

// write makes a group durable. Its error is the answer to the whole group;
// answers that differ between requests are left in them.
func (w *writer) write() error {
	before, newest, imported := w.head, w.newest, w.imported
	clear(w.records) // of a group that failed
	w.records = w.records[:0]
	if err := w.fill(); err != nil {
		w.head, w.newest, w.imported = before, newest, imported
		return w.undo(err)
	}
	w.tail.declare(w.imported.order.Disorder)
	err := call(w.faults.beforeCommit)
	if err == nil {
		err = w.commit.run()
	}
	if err == nil {
		err = call(w.faults.afterCommit)
	}
	if err != nil {
		return w.stop(fmt.Errorf("commit to sequence %d: %w", w.head.sequence, err))
	}
	if len(w.records) == 0 {
		return nil // conflicts and repeats only
	}
	if err = call(w.faults.beforeAnchor); err == nil {
		err = w.anchor.write(w.head)
	}
	if err != nil {
		return w.stop(fmt.Errorf("anchor: %w", err))
	}
	w.tail.acknowledged(w.records, w.head)
	w.drain.committed()
	clear(w.records)
	return nil
}

// fill opens a transaction and puts the group into it.
func (w *writer) fill() error {
	if err := w.begin.run(); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err := w.lookup.prepare(w.group); err != nil {
		return err
	}
	for _, r := range w.group {
		place := w.place
		if r.imports != nil {
			place = w.placeImport
		}
		if err := place(r); err != nil {
			return err
		}
	}
	if len(w.records) == 0 {
		return nil
	}
	return w.drain.step(len(w.records))
}

// place decides one request and inserts its records. A request that is refused
// leaves no trace in the transaction; an error ends the group.
func (w *writer) place(r *request) error {
	repeated, err := w.lookup.repeated(r)
	if err != nil || repeated || r.answered.err != nil {
		return err
	}
	next, err := w.lookup.next(r.stream)
	if err != nil {
		return err
	}
	if r.expected.Exists() != (next > 0) || r.expected.Next() != next {
		conflict := &eventstore.ConflictError{Stream: r.stream, Expected: r.expected, Found: next > 0}
		if next > 0 {
			conflict.Actual = next - 1
		}
		r.answered.err = conflict
		return nil
	}
	at := w.clock()
	if at.Before(w.newest) {
		at = w.newest
	}
	records, leaves := eventstore.Chain(r.stream, r.expected, at, r.events)
	w.newest = records[0].RecordedAt
	stamps := make([]eventstore.Stamp, len(records))
	for i := range records {
		if err := w.add(&records[i], leaves[i]); err != nil {
			return err
		}
		stamps[i] = eventstore.Stamp{Revision: records[i].Revision, Sequence: records[i].Sequence, RecordedAt: records[i].RecordedAt, Leaf: leaves[i]}
	}
	r.answered.appended = eventstore.Appended{Records: stamps, Position: eventstore.Position(w.head.sequence)}
	return nil
}

func (w *writer) add(r *eventstore.Record, leaf eventstore.Hash) error {
	w.head = w.head.next(leaf)
	r.Sequence, r.Position = w.head.sequence, eventstore.Position(w.head.sequence)
	if err := w.insert.run(int64(r.Sequence), r.ID[:], r.Stream, int64(r.Revision), r.Type, int64(r.Schema), r.RecordedAt.UnixMicro(),
		r.Data, r.Metadata, w.head.running[:]); err != nil {
		return fmt.Errorf("insert record %d: %w", r.Sequence, err)
	}
	w.lookup.added(r)
	w.records = append(w.records, *r)
	return nil
}

// undo answers a group whose transaction did not reach its commit: nothing was
// written. Only a cause that goes away lets the store go on.
func (w *writer) undo(cause error) error {
	w.lookup.forget()
	if !w.conn.db.AutoCommit() {
		if err := w.rollback.run(); err != nil {
			return w.stop(errors.Join(cause, fmt.Errorf("roll back: %w", err)))
		}
	}
	if !passing(cause) {
		w.refuse(unavailable(cause))
	}
	return unavailable(cause)
}

// stop ends the store for writers: after an error of a commit nobody knows
// what the disk holds, and asking it again is no answer, because a failed sync
// may have dropped what it was to write. Readers go on with what is visible.
func (w *writer) stop(cause error) error {
	w.lookup.forget()
	if !w.conn.db.AutoCommit() {
		if err := w.rollback.run(); err != nil {
			cause = errors.Join(cause, fmt.Errorf("roll back: %w", err))
		}
	}
	w.refuse(unavailable(cause))
	w.tail.forget()
	if err := w.resync(); err != nil {
		w.tail.fail(unavailable(err))
	}
	return fmt.Errorf("%w: %v", eventstore.ErrOutcomeUnknown, cause)
}

func (w *writer) refuse(cause error) {
	w.failed = fmt.Errorf("store stopped, restart it: %w", cause)
	w.queue.fail(w.failed)
	w.logger.Error("event store stopped taking appends", "cause", cause)
}

// close follows the end of run.
func (w *writer) close() error {
	w.drain.wait()
	return errors.Join(w.anchor.close(), w.conn.close())
}
