package esdbstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	_ "github.com/mattn/go-sqlite3" // the driver "sqlite3"

	"github.com/authledger/authledger/eventstore"
)

const indexFile = "index.db"

const (
	indexVersion = 1
	sqlIndex     = `CREATE TABLE streams (
	n    INTEGER PRIMARY KEY,
	name TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE records (
	sequence INTEGER PRIMARY KEY,           -- dense, from 1, in the order of $all
	pos      INTEGER NOT NULL,              -- the commit position
	prepare  INTEGER NOT NULL,
	stream   INTEGER NOT NULL,
	revision INTEGER NOT NULL,
	id       BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX by_stream ON records (stream, revision);
CREATE INDEX by_id ON records (id);           -- nothing keeps an id from standing twice
CREATE TABLE place (                        -- one row: everything up to here was looked at
	ledger   TEXT NOT NULL,
	pos      INTEGER NOT NULL,
	prepare  INTEGER NOT NULL,
	recorded INTEGER NOT NULL                 -- the newest recorded_at, microseconds
) STRICT;
INSERT INTO place VALUES ('', 0, 0, 0);
PRAGMA user_version = 1`
	sqlPlace     = `SELECT ledger, pos, prepare, recorded FROM place`
	sqlName      = `UPDATE place SET ledger = ?`
	sqlMove      = `UPDATE place SET pos = ?, prepare = ?, recorded = max(recorded, ?)`
	sqlLast      = `SELECT r.sequence, r.pos, r.prepare, s.name, r.revision, r.id FROM records r JOIN streams s ON s.n = r.stream ORDER BY r.sequence DESC LIMIT 1`
	sqlAddStream = `INSERT INTO streams (name) VALUES (?) ON CONFLICT (name) DO NOTHING`
	sqlAddRecord = `INSERT INTO records (sequence, pos, prepare, stream, revision, id) SELECT ?, ?, ?, n, ?, ? FROM streams WHERE name = ?`
	sqlBySeq     = `SELECT pos, prepare FROM records WHERE sequence = ?`
	sqlNumbers   = `SELECT sequence, pos, prepare FROM records WHERE stream = (SELECT n FROM streams WHERE name = ?) AND revision >= ? ORDER BY revision LIMIT ?`
	sqlByID      = `SELECT s.name, r.revision, r.sequence FROM records r JOIN streams s ON s.n = r.stream WHERE r.id = ? ORDER BY r.sequence LIMIT 1`
)

// index is what this process has counted: a file that can be made again from
// the log, so losing it costs time only.
type index struct {
	write, read *sql.DB
}

// place is how far the index has come.
type place struct {
	ledger   string
	at       esdb.Position
	recorded int64
}

// last is the newest record of the index.
type last struct {
	sequence eventstore.Sequence
	at       esdb.Position
	stream   string
	revision eventstore.Revision
	id       eventstore.EventID
}

// openIndex opens the file and makes it when it is missing or not readable.
func openIndex(ctx context.Context, dir string) (*index, error) {
	path := filepath.Join(dir, indexFile)
	x, err := tryIndex(ctx, path)
	if err == nil || ctx.Err() != nil {
		return x, err
	}
	for _, end := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(path + end); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("remove a damaged %s: %w", indexFile, err)
		}
	}
	return tryIndex(ctx, path)
}

func tryIndex(ctx context.Context, path string) (_ *index, err error) {
	name := "file:" + (&url.URL{Path: path}).EscapedPath() + "?_journal_mode=WAL&_synchronous=NORMAL&_busy_timeout=5000&_txlock=immediate&_stmt_cache_size=32"
	x := &index{}
	if x.write, err = sql.Open("sqlite3", name); err != nil {
		return nil, fmt.Errorf("open %s: %w", indexFile, err)
	}
	x.write.SetMaxOpenConns(1)
	defer func() {
		if err != nil {
			err = errors.Join(err, x.close())
		}
	}()
	var version int
	var check string
	if err = x.write.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&version); err != nil {
		return x, fmt.Errorf("read %s: %w", indexFile, err)
	}
	if version == 0 {
		_, err = x.write.ExecContext(ctx, sqlIndex)
	} else if err = x.write.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&check); err == nil && (check != "ok" || version != indexVersion) {
		err = fmt.Errorf("version %d, check %s", version, check)
	}
	if err != nil {
		return x, fmt.Errorf("prepare %s: %w", indexFile, err)
	}
	if x.read, err = sql.Open("sqlite3", name+"&_query_only=1"); err != nil {
		return x, fmt.Errorf("open %s: %w", indexFile, err)
	}
	x.read.SetMaxOpenConns(4)
	x.read.SetMaxIdleConns(4)
	return x, nil
}

func (x *index) close() error {
	var errs []error
	if x.read != nil {
		errs = append(errs, x.read.Close())
	}
	if x.write != nil {
		errs = append(errs, x.write.Close())
	}
	return errors.Join(errs...)
}

// state reads where the index stands; found is false without records.
func (x *index) state(ctx context.Context) (p place, l last, found bool, err error) {
	var pos, prepare, sequence, revision int64
	var id []byte
	if err = x.write.QueryRowContext(ctx, sqlPlace).Scan(&p.ledger, &pos, &prepare, &p.recorded); err != nil {
		return p, l, false, indexed(err)
	}
	p.at = esdb.Position{Commit: uint64(pos), Prepare: uint64(prepare)}
	err = x.write.QueryRowContext(ctx, sqlLast).Scan(&sequence, &pos, &prepare, &l.stream, &revision, &id)
	if errors.Is(err, sql.ErrNoRows) {
		return p, l, false, nil
	}
	if err != nil {
		return p, l, false, indexed(err)
	}
	l.sequence, l.revision = eventstore.Sequence(sequence), eventstore.Revision(revision)
	l.at = esdb.Position{Commit: uint64(pos), Prepare: uint64(prepare)}
	copy(l.id[:], id)
	return p, l, true, nil
}

// name writes down whose log this is.
func (x *index) name(ctx context.Context, ledger string) error {
	_, err := x.write.ExecContext(ctx, sqlName, ledger)
	return indexed(err)
}

// add counts items, which have their sequences, and moves the place, in one
// transaction. Once begun it is not broken off: it is short, and the driver pays
// for a context that can end with a goroutine for each statement.
func (x *index) add(ctx context.Context, items []item, at esdb.Position) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	tx, err := x.write.BeginTx(ctx, nil)
	if err != nil {
		return indexed(err)
	}
	defer func() { _ = tx.Rollback() }() // reports only that the commit succeeded
	recorded := int64(0)
	for _, i := range items {
		recorded = max(recorded, i.RecordedAt.UnixMicro())
		if err := addRecord(ctx, tx, i); err != nil {
			return indexed(err)
		}
	}
	if _, err := tx.ExecContext(ctx, sqlMove, int64(at.Commit), int64(at.Prepare), recorded); err != nil {
		return indexed(err)
	}
	return indexed(tx.Commit())
}

// addRecord names the stream when the record is its first; a stream that was cut
// begins later.
func addRecord(ctx context.Context, tx *sql.Tx, i item) error {
	for known := i.Revision > 0; ; known = false {
		if !known {
			if _, err := tx.ExecContext(ctx, sqlAddStream, i.Stream); err != nil {
				return err
			}
		}
		done, err := tx.ExecContext(ctx, sqlAddRecord, int64(i.Sequence), int64(i.at.Commit), int64(i.at.Prepare), int64(i.Revision), i.ID[:], i.Stream)
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil || n > 0 || !known {
			return err
		}
	}
}

// position is where a record lies; ok is false when it was not counted.
func (x *index) position(ctx context.Context, sequence eventstore.Sequence) (at esdb.Position, ok bool, err error) {
	var pos, prepare int64
	err = x.read.QueryRowContext(ctx, sqlBySeq, int64(sequence)).Scan(&pos, &prepare)
	if errors.Is(err, sql.ErrNoRows) {
		return at, false, nil
	}
	return esdb.Position{Commit: uint64(pos), Prepare: uint64(prepare)}, err == nil, indexed(err)
}

// numbered is where a record stands in the log.
type numbered struct {
	sequence eventstore.Sequence
	at       esdb.Position
}

// numbers are the places of a stream's records from a revision on, as far as
// they were counted, n at most.
func (x *index) numbers(ctx context.Context, stream string, from eventstore.Revision, n int) ([]numbered, error) {
	rows, err := x.read.QueryContext(ctx, sqlNumbers, stream, int64(from), n)
	if err != nil {
		return nil, indexed(err)
	}
	defer func() { _ = rows.Close() }() // Err tells
	out := make([]numbered, 0, n)
	for rows.Next() {
		var sequence, pos, prepare int64
		if err := rows.Scan(&sequence, &pos, &prepare); err != nil {
			return nil, indexed(err)
		}
		out = append(out, numbered{eventstore.Sequence(sequence), esdb.Position{Commit: uint64(pos), Prepare: uint64(prepare)}})
	}
	return out, indexed(rows.Err())
}

// byID finds a record's place in its stream.
func (x *index) byID(ctx context.Context, id eventstore.EventID) (stream string, revision eventstore.Revision, sequence eventstore.Sequence, ok bool, err error) {
	var r, n int64
	err = x.read.QueryRowContext(ctx, sqlByID, id[:]).Scan(&stream, &r, &n)
	if errors.Is(err, sql.ErrNoRows) {
		return "", 0, 0, false, nil
	}
	return stream, eventstore.Revision(r), eventstore.Sequence(n), err == nil, indexed(err)
}

// indexed hides the driver's errors.
func indexed(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, sql.ErrConnDone) || err.Error() == "sql: database is closed":
		return eventstore.ErrClosed
	}
	return fmt.Errorf("%w: %s: %T", eventstore.ErrUnavailable, indexFile, err)
}
