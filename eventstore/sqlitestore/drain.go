package sqlitestore

import (
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/mattn/go-sqlite3"

	"github.com/authledger/authledger/eventstore"
)

// Index entries wait in memory until generationSize of them are sorted. They
// are written at drainRate entries of each table for each record appended:
// faster than records come in, so at most two generations wait, and never a
// stall. Entries that are due wait until they are one of drainChunks parts of
// a generation: neighbours share pages, so a commit of one record seldom
// writes pages of an index.
const (
	generationSize = 1 << 14
	drainRate      = 2
	drainChunks    = 64
)

const (
	sqlIndexID     = `INSERT INTO by_id (id, sequence) VALUES (?, ?)`
	sqlIndexStream = `INSERT INTO by_stream (stream, revision, sequence) VALUES (?, ?, ?)`
	sqlFindID      = `SELECT sequence FROM by_id WHERE id = ?`
	sqlFindPlace   = `SELECT sequence FROM by_stream WHERE stream = ? AND revision = ?`
	sqlIndexed     = `UPDATE indexed SET upto = ?`
)

// drain moves index entries from the tail into the tables. The writer owns it.
type drain struct {
	tail       *tail
	size       int // of a generation
	generation *generation
	sorting    chan entries // holds the sorted entries when the sorter is done; nil when none runs
	entries    entries
	due        int // entries of each table that may be written, counted from the first
	done       int // entries of each table written and committed
	pending    int // the same, with the open transaction

	indexID, indexStream, findID, findPlace, indexed *statement
}

func newDrain(c *conn, t *tail, size int) (*drain, error) {
	d := &drain{tail: t, size: size}
	for _, p := range []struct {
		statement **statement
		text      string
	}{{&d.indexID, sqlIndexID}, {&d.indexStream, sqlIndexStream}, {&d.findID, sqlFindID}, {&d.findPlace, sqlFindPlace}, {&d.indexed, sqlIndexed}} {
		var err error
		if *p.statement, err = c.prepare(p.text); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// step writes entries for n appended records into the open transaction. Only
// committed records are ever in a generation.
func (d *drain) step(n int) error {
	d.pending = d.done
	if d.generation == nil && len(d.tail.newer.ids) >= d.size {
		d.start()
	}
	if d.sorting != nil {
		select {
		case d.entries = <-d.sorting:
			d.sorting = nil
		default:
			return nil // still sorting
		}
	}
	if d.generation == nil {
		return nil
	}
	d.due = min(d.due+n*drainRate, len(d.entries.ids))
	if d.due-d.done < d.size/drainChunks && d.due < len(d.entries.ids) {
		return nil
	}
	for ; d.pending < d.due; d.pending++ {
		if err := d.write(&d.entries.ids[d.pending], &d.entries.streams[d.pending]); err != nil {
			return fmt.Errorf("index records: %w", err)
		}
	}
	if d.pending == len(d.entries.ids) {
		return d.indexed.run(int64(d.generation.last))
	}
	return nil
}

// start sorts in a goroutine of its own, which wait waits for.
func (d *drain) start() {
	d.generation, d.sorting = d.tail.freeze(), make(chan entries, 1)
	g, sorted := d.generation, d.sorting
	go func() { sorted <- g.entries() }()
}

func (d *drain) wait() {
	if d.sorting != nil {
		<-d.sorting
	}
}

// write adds one entry to each table.
func (d *drain) write(i *idEntry, s *streamEntry) error {
	if err := insert(d.indexID, d.findID, i.sequence, i.id[:]); err != nil {
		return fmt.Errorf("event %s: %w", i.id, err)
	}
	if err := insert(d.indexStream, d.findPlace, s.sequence, s.stream, int64(s.revision)); err != nil {
		return fmt.Errorf("%s at revision %d: %w", s.stream, s.revision, err)
	}
	return nil
}

// insert adds a key with its sequence. A key that is there already must have
// the same one: then it was left by a process that ended before the generation
// was done. Another one means that an id or a revision was given twice.
func insert(add, find *statement, n eventstore.Sequence, key ...driver.Value) error {
	err := add.run(append(key, int64(n))...)
	if !taken(err) {
		return err
	}
	stands, _, err := sequenceOf(find, key...)
	if err == nil && stands != n {
		err = fmt.Errorf("stands at sequence %d and again at %d", stands, n)
	}
	return err
}

// taken reports whether an insert met its own key.
func taken(err error) bool {
	var e sqlite3.Error
	return errors.As(err, &e) && e.ExtendedCode == sqlite3.ErrConstraintPrimaryKey
}

func sequenceOf(s *statement, key ...driver.Value) (n eventstore.Sequence, found bool, err error) {
	err = s.rows(1, func(row []driver.Value) (bool, error) {
		v, ok := row[0].(int64)
		if !ok {
			return false, fmt.Errorf("index holds %T, want an integer", row[0])
		}
		n, found = eventstore.Sequence(v), true
		return false, nil
	}, key...)
	return n, found, err
}

// committed follows the commit of the transaction step wrote into.
func (d *drain) committed() {
	if d.done = d.pending; d.generation == nil || d.sorting != nil || d.done < len(d.entries.ids) {
		return
	}
	d.tail.drop()
	d.generation, d.entries, d.due, d.done, d.pending = nil, entries{}, 0, 0, 0
}
