package projections

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/mattn/go-sqlite3"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/bridge"
)

// schemaVersion is the version of every table and of what is folded into it. A
// file of another version is thrown away and built again, so raise it with any
// change that would give one record other rows.
const schemaVersion = 4

const (
	schemaCheckpoint = `CREATE TABLE checkpoint (
	one      INTEGER PRIMARY KEY CHECK (one = 1),
	sequence INTEGER NOT NULL,
	position INTEGER NOT NULL,
	event    BLOB NOT NULL,    -- id of the record at sequence: tells one log from another
	recorded INTEGER NOT NULL, -- its time, µs since 1970
	newest   INTEGER NOT NULL, -- the newest time of any record so far
	back     INTEGER NOT NULL  -- by how much at most one was recorded before an earlier one, µs
) STRICT;
INSERT INTO checkpoint VALUES (1, 0, 0, zeroblob(16), 0, -9223372036854775808, 0)`
	sqlGetCheckpoint = `SELECT sequence, position, event, recorded, newest, back FROM checkpoint`
	sqlSetCheckpoint = `UPDATE checkpoint SET sequence = ?, position = ?, event = ?, recorded = ?, newest = ?, back = ?`
)

// checkpoint is how far a file has come.
type checkpoint struct {
	seq      eventstore.Sequence
	position eventstore.Position
	event    eventstore.EventID
	recorded time.Time // zero before the first record
	newest   int64     // of all times of records, µs since 1970; startOfAll before the first
	back     int64     // how far time ever went back, µs; zero in a log of one process
}

// see takes the time of the next record.
func (c *checkpoint) see(recorded int64) {
	if recorded < c.newest {
		c.back = max(c.back, distance(recorded, c.newest))
	}
	c.newest = max(c.newest, recorded)
}

// queryer is a connection, a pool or a transaction.
type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func readCheckpoint(ctx context.Context, q queryer) (checkpoint, error) {
	var seq, position, recorded, newest, back int64
	var event []byte
	if err := q.QueryRowContext(ctx, sqlGetCheckpoint).Scan(&seq, &position, &event, &recorded, &newest, &back); err != nil {
		return checkpoint{}, fmt.Errorf("read checkpoint: %w", err)
	}
	id, err := uuid.FromBytes(event)
	if err != nil {
		return checkpoint{}, fmt.Errorf("read checkpoint: %w", err)
	}
	c := checkpoint{seq: eventstore.Sequence(seq), position: eventstore.Position(position), event: id, newest: newest, back: back}
	if seq > 0 {
		c.recorded = instant(recorded)
	}
	return c, nil
}

// model is one read model's writing side. Its statements belong to the
// writer's connection.
type model interface {
	// prepare prepares the statements of apply.
	prepare(p *preparer)
	// apply folds one record in. It must depend on nothing but the record and
	// rows of earlier records.
	apply(ctx context.Context, e *entry) error
	// flush writes what apply has put off. It ends a transaction.
	flush() error
	// reset drops whatever apply remembers outside the file, because the
	// transaction it belonged to was rolled back.
	reset()
}

// direct is the part of a model that remembers nothing between statements.
type direct struct{}

func (direct) flush() error { return nil }
func (direct) reset()       {}

// writer owns the one connection that changes a views file. One goroutine at
// a time may use it.
type writer struct {
	db         *sql.DB
	conn       *sql.Conn
	statements []*stmt // all of them, to be closed before the connection
	begin      *stmt
	commit     *stmt
	rollback   *stmt
	save       *stmt
	models     []model
	at         checkpoint

	// fault, when set by a test, is called at the named steps of apply; an
	// error stands for the process dying there.
	fault func(step string) error
}

// newWriter prepares the models' statements on a file whose tables exist.
func newWriter(ctx context.Context, db *sql.DB, conn *sql.Conn, models []model) (*writer, error) {
	w := &writer{db: db, conn: conn, models: models}
	if err := onDriver(conn, w.prepare); err != nil {
		return nil, errors.Join(err, w.closeStatements())
	}
	at, err := readCheckpoint(ctx, conn)
	if err != nil {
		return nil, errors.Join(err, w.closeStatements())
	}
	w.at = at
	return w, nil
}

func (w *writer) prepare(db *sqlite3.SQLiteConn) error {
	p := &preparer{db: db}
	w.begin, w.commit, w.rollback = p.stmt(`BEGIN IMMEDIATE`), p.stmt(`COMMIT`), p.stmt(`ROLLBACK`)
	w.save = p.stmt(sqlSetCheckpoint)
	for _, m := range w.models {
		m.prepare(p)
	}
	w.statements = p.statements
	return p.err
}

// fresh drops records that were applied before and checks that the rest
// follow without a gap.
func (w *writer) fresh(records []eventstore.Record) ([]eventstore.Record, error) {
	first := slices.IndexFunc(records, func(r eventstore.Record) bool { return r.Sequence > w.at.seq })
	if first < 0 {
		return nil, nil
	}
	records = records[first:]
	for i, r := range records {
		if want := w.at.seq + eventstore.Sequence(i) + 1; r.Sequence != want {
			return nil, fmt.Errorf("%w: want record %d, got %d", ErrGap, want, r.Sequence)
		}
	}
	return records, nil
}

// apply folds entries into all models and moves the checkpoint, in one
// transaction. After an error nothing has changed.
func (w *writer) apply(ctx context.Context, entries []entry) error {
	if len(entries) == 0 {
		return nil
	}
	return onDriver(w.conn, func(*sqlite3.SQLiteConn) error { return w.transact(ctx, entries) })
}

func (w *writer) transact(ctx context.Context, entries []entry) error {
	if err := run(w.begin); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	at, err := w.fold(ctx, entries)
	if err == nil {
		err = run(w.commit)
	}
	if err != nil {
		for _, m := range w.models {
			m.reset()
		}
		_ = run(w.rollback) // fails only when SQLite has rolled back by itself
		return err
	}
	w.at = at
	return nil
}

func (w *writer) fold(ctx context.Context, entries []entry) (checkpoint, error) {
	at := w.at
	for i := range entries {
		if err := w.failing("record"); err != nil {
			return checkpoint{}, err
		}
		at.see(entries[i].recorded)
		for _, m := range w.models {
			if err := m.apply(ctx, &entries[i]); err != nil {
				return checkpoint{}, &bridge.RecordError{
					Sequence: entries[i].Record.Sequence,
					Err:      fmt.Errorf("apply %s: %w", entries[i].Record.Type, err),
				}
			}
		}
	}
	for _, m := range w.models {
		if err := m.flush(); err != nil {
			return checkpoint{}, fmt.Errorf("flush up to record %d: %w", entries[len(entries)-1].seq, err)
		}
	}
	last := entries[len(entries)-1].Record
	at.seq, at.position, at.event, at.recorded = last.Sequence, last.Position, last.ID, last.RecordedAt
	if err := w.failing("checkpoint"); err != nil {
		return checkpoint{}, err
	}
	if err := run(w.save, int64(at.seq), int64(at.position), at.event[:], at.recorded.UnixMicro(), at.newest, at.back); err != nil {
		return checkpoint{}, fmt.Errorf("save checkpoint %d: %w", at.seq, err)
	}
	return at, w.failing("commit")
}

func (w *writer) failing(step string) error {
	if w.fault == nil {
		return nil
	}
	return w.fault(step)
}

func (w *writer) closeStatements() error {
	var errs []error
	for _, s := range w.statements {
		errs = append(errs, s.stmt.Close())
	}
	w.statements = nil
	return errors.Join(errs...)
}

// close releases the file: statements before their connection, because a
// statement left open would keep the file open.
func (w *writer) close() error {
	return errors.Join(w.closeStatements(), w.conn.Close(), w.db.Close())
}
