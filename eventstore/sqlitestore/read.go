package sqlitestore

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"iter"
	"math"
	"path/filepath"
	"time"

	"github.com/authledger/authledger/eventstore"
)

// A page is read in one short transaction and handed out after it.
const (
	pageRecords = 1000
	pageBytes   = 4 << 20
)

const (
	columns    = `r.sequence, r.id, r.stream, r.revision, r.type, r.schema, r.recorded_at, r.data, r.metadata`
	sqlReadAll = `SELECT ` + columns + ` FROM records r WHERE r.sequence > ? AND r.sequence <= ? ORDER BY r.sequence LIMIT ?`
	// CROSS JOIN keeps the order of the loops: the stream's places first.
	sqlReadStream = `SELECT ` + columns + ` FROM by_stream s CROSS JOIN records r ON r.sequence = s.sequence
		WHERE s.stream = ? AND s.revision >= ? AND s.revision <= ? AND s.sequence <= ? ORDER BY s.revision LIMIT ?`
	sqlReadOne = `SELECT ` + columns + ` FROM records r WHERE r.sequence = ?`
)

// readConn is one connection of the pool and its statements.
type readConn struct {
	*conn
	all, stream, one, findID, stored *statement
}

func openReadConn(dir, options string) (*readConn, error) {
	c, err := open(filepath.Join(dir, ledgerFile), options+"&_query_only=1&_busy_timeout=5000&_mutex=no&_cache_size=-8192", "PRAGMA trusted_schema = OFF")
	if err != nil {
		return nil, err
	}
	r := &readConn{conn: c}
	for _, p := range []struct {
		statement **statement
		text      string
	}{{&r.all, sqlReadAll}, {&r.stream, sqlReadStream}, {&r.one, sqlReadOne}, {&r.findID, sqlFindID}, {&r.stored, sqlReadRunning}} {
		if *p.statement, err = c.prepare(p.text); err != nil {
			return nil, errors.Join(err, c.close())
		}
	}
	return r, nil
}

// log reads the ledger: the tables through a pool of connections, and what the
// tables do not index yet through the tail.
type log struct {
	tail    *tail
	pool    chan *readConn
	ended   chan struct{}                   // closed when reads must stop
	refresh func(ctx context.Context) error // brings the tail up to date; nil when the writer does
}

// with lends a connection; at most one page is read while it is lent.
func (l *log) with(ctx context.Context, use func(*readConn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-l.ended:
		return eventstore.ErrClosed
	default:
	}
	select {
	case c := <-l.pool:
		defer func() { l.pool <- c }()
		if err := use(c); err != nil {
			return unavailable(err)
		}
		return nil
	case <-l.ended:
		return eventstore.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// look returns the state a read starts from.
func (l *log) look(ctx context.Context, stream string) (state, error) {
	if err := ctx.Err(); err != nil {
		return state{}, err
	}
	if l.refresh != nil {
		if err := l.refresh(ctx); err != nil {
			return state{}, err
		}
	}
	s := l.tail.look(stream)
	return s, s.err
}

// close waits until no connection is lent, then closes them all.
func (l *log) close() error {
	close(l.ended)
	var errs []error
	for range cap(l.pool) {
		errs = append(errs, (<-l.pool).close())
	}
	return errors.Join(errs...)
}

// ReadAll implements eventstore.Reader.
func (l *log) ReadAll(ctx context.Context, from eventstore.Sequence) iter.Seq2[eventstore.Record, error] {
	return func(yield func(eventstore.Record, error) bool) {
		s, err := l.look(ctx, "")
		next := max(from, 1)
		for err == nil && next <= s.head {
			var page []eventstore.Record
			if page, err = l.page(ctx, next-1, s.head, pageRecords); err != nil {
				break
			}
			if !hand(ctx, page, yield) {
				return
			}
			next += eventstore.Sequence(len(page))
		}
		if err != nil {
			yield(eventstore.Record{}, fmt.Errorf("read log from %d: %w", next, err))
		}
	}
}

// page reads records after a sequence, up to and with another that exists. It
// checks that none is missing.
func (l *log) page(ctx context.Context, after, upto eventstore.Sequence, limit int) ([]eventstore.Record, error) {
	var page []eventstore.Record
	err := l.with(ctx, func(c *readConn) (err error) {
		page, err = readPage(c.all, limit, int64(after), int64(upto), int64(limit))
		return err
	})
	if err != nil {
		return nil, err
	}
	for i, r := range page {
		if want := after + eventstore.Sequence(i) + 1; r.Sequence != want {
			return nil, unavailable(fmt.Errorf("record %d is missing from the ledger", want))
		}
	}
	if len(page) == 0 {
		return nil, unavailable(fmt.Errorf("record %d is missing from the ledger", after+1))
	}
	return page, nil
}

// readPage runs a query of records until the page is full in number or bytes.
func readPage(s *statement, limit int, args ...driver.Value) ([]eventstore.Record, error) {
	var page []eventstore.Record
	size := 0
	err := s.rows(9, func(row []driver.Value) (bool, error) {
		r, err := scan(row)
		if err != nil {
			return false, err
		}
		if page == nil {
			page = make([]eventstore.Record, 0, min(limit, 64))
		}
		page = append(page, r)
		size += len(r.Data) + len(r.Metadata)
		return size < pageBytes, nil
	}, args...)
	return page, err
}

// scan takes over the slices of a row.
func scan(row []driver.Value) (eventstore.Record, error) {
	sequence, ok1 := row[0].(int64)
	id, ok2 := row[1].([]byte)
	stream, ok3 := row[2].(string)
	revision, ok4 := row[3].(int64)
	name, ok5 := row[4].(string)
	schema, ok6 := row[5].(int64)
	recorded, ok7 := row[6].(int64)
	data, ok8 := row[7].([]byte)
	metadata, ok9 := row[8].([]byte)
	if !(ok1 && ok2 && ok3 && ok4 && ok5 && ok6 && ok7 && ok8 && ok9) || len(id) != 16 || schema < 1 || schema > math.MaxUint16 || revision < 0 {
		return eventstore.Record{}, fmt.Errorf("record %v of the ledger is malformed", row[0])
	}
	return eventstore.Record{
		ID: eventstore.EventID(id), Stream: stream, Revision: eventstore.Revision(revision),
		Sequence: eventstore.Sequence(sequence), Position: eventstore.Position(sequence),
		Type: name, Schema: uint16(schema), RecordedAt: time.UnixMicro(recorded).UTC(), Data: data, Metadata: metadata,
	}, nil
}

// record reads one record that must be there.
func (c *readConn) record(n eventstore.Sequence) (eventstore.Record, error) {
	page, err := readPage(c.one, 1, int64(n))
	if err == nil && len(page) == 0 {
		err = fmt.Errorf("record %d is missing from the ledger", n)
	}
	if err != nil {
		return eventstore.Record{}, err
	}
	return page[0], nil
}

// ByID implements eventstore.Reader.
func (l *log) ByID(ctx context.Context, id eventstore.EventID) (eventstore.Record, error) {
	r, err := l.byID(ctx, id)
	if err != nil {
		return eventstore.Record{}, fmt.Errorf("read event %s: %w", id, err)
	}
	return r, nil
}

func (l *log) byID(ctx context.Context, id eventstore.EventID) (r eventstore.Record, err error) {
	s, err := l.look(ctx, "")
	if err != nil {
		return r, err
	}
	// The tail first: an entry leaves it only after the table holds it.
	n, found := l.tail.find(id)
	if found {
		if page := l.tail.after(n-1, 1); len(page) > 0 {
			return page[0], nil
		}
	}
	err = l.with(ctx, func(c *readConn) (err error) {
		if !found {
			if n, found, err = sequenceOf(c.findID, id[:]); err != nil || !found || n > s.head {
				found = false
				return err
			}
		}
		if r, err = c.record(n); err == nil && r.ID != id {
			err = fmt.Errorf("record %d is event %s", n, r.ID)
		}
		return err
	})
	if err == nil && !found {
		err = eventstore.ErrNotFound
	}
	return r, err
}

// Head implements eventstore.Reader.
func (l *log) Head(ctx context.Context) (eventstore.Sequence, eventstore.Position, error) {
	s, err := l.look(ctx, "")
	if err != nil {
		return 0, 0, fmt.Errorf("read head: %w", err)
	}
	return s.head, eventstore.Position(s.head), nil
}

// hand yields records until one is refused or the context ends.
func hand(ctx context.Context, page []eventstore.Record, yield func(eventstore.Record, error) bool) bool {
	for _, r := range page {
		if err := ctx.Err(); err != nil {
			yield(eventstore.Record{}, fmt.Errorf("read %s at revision %d: %w", r.Stream, r.Revision, err))
			return false
		}
		if !yield(r, nil) {
			return false
		}
	}
	return true
}

// follows refuses an order no sound file gives. Without it a read of a damaged
// tree, whose pages point back, would never end.
func follows(before, n eventstore.Sequence) error {
	if n <= before {
		return fmt.Errorf("%w: record %d stands behind record %d", eventstore.ErrDamaged, n, before)
	}
	return nil
}

// after hands the pages after a sequence to use, to the end that is visible.
func (c *readConn) after(n eventstore.Sequence, use func(page []eventstore.Record)) error {
	for {
		page, err := readPage(c.all, pageRecords, int64(n), int64(math.MaxInt64), int64(pageRecords))
		if err != nil || len(page) == 0 {
			return err
		}
		last := n
		for i := range page {
			if err := follows(last, page[i].Sequence); err != nil {
				return err
			}
			last = page[i].Sequence
		}
		use(page)
		n = page[len(page)-1].Sequence
	}
}

// resync shows readers what is visible after the head they know. It serves
// when the writer can no longer say.
func (l *log) resync() error {
	return l.with(context.Background(), func(c *readConn) error {
		return c.after(l.tail.look("").head, func(page []eventstore.Record) {
			l.tail.publish(page, mark{sequence: page[len(page)-1].Sequence})
		})
	})
}
