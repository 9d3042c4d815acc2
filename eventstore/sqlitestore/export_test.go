package sqlitestore

import (
	"context"
	"os"

	"github.com/authledger/authledger/eventstore"
)

// Faults fail where a disk may; set before opening, called by the writer.
type Faults = faults

// NewFaults names the places.
func NewFaults(beforeCommit, afterCommit, beforeAnchor func() error) Faults {
	return Faults{beforeCommit: beforeCommit, afterCommit: afterCommit, beforeAnchor: beforeAnchor}
}

// OpenTuned opens with what tests change: the size of an index generation,
// driver options added to the writer's, and faults.
func OpenTuned(o Options, generation int, options string, f Faults) (*Store, error) {
	s, err := openStore(o, tuning{generation: generation, options: options, faults: f})
	if err != nil {
		return nil, inDir(o.Dir, err)
	}
	return s, nil
}

// Indexed is the sequence up to which the tables are whole, as readers know it.
func (s *Store) Indexed() uint64 {
	s.tail.mu.RLock()
	defer s.tail.mu.RUnlock()
	return uint64(s.tail.indexed)
}

// AppendTogether puts appends into one group: the writer is held until all are
// queued, however it is scheduled.
func (s *Store) AppendTogether(appends []Together) []error {
	requests := make([]*request, len(appends))
	q := s.writer.queue
	q.mu.Lock()
	for i, a := range appends {
		requests[i] = newRequest(a.Stream, a.Expected, a.Events)
		q.waiting = append(q.waiting, requests[i])
	}
	q.signal()
	q.mu.Unlock()
	errs := make([]error, len(appends))
	for i, r := range requests {
		a := <-r.done
		errs[i] = a.err
		if len(a.appended.Records) > 0 {
			*appends[i].Appended = a.appended
		}
	}
	return errs
}

// Together is one append of AppendTogether.
type Together struct {
	Stream   string
	Expected eventstore.Expected
	Events   []eventstore.Proposed
	Appended *eventstore.Appended // set when the append succeeds
}

// BreakAnchor makes the anchor file read-only under the idle writer.
func (s *Store) BreakAnchor() error {
	a := s.writer.anchor
	readOnly, err := os.Open(a.file.Name())
	if err != nil {
		return err
	}
	err = a.file.Close()
	a.file = readOnly
	return err
}

// BetweenCheckpoints runs copy in a read transaction of one page, so that the
// write-ahead log is not started over meanwhile: what a crash leaves is one
// moment of both files, and a copy takes two.
func (s *Store) BetweenCheckpoints(copy func()) {
	c := <-s.pool
	defer func() { s.pool <- c }()
	if err := c.exec("BEGIN; SELECT count(*) FROM indexed"); err != nil {
		panic(err)
	}
	copy()
	if err := c.exec("COMMIT"); err != nil {
		panic(err)
	}
}

// WithoutReaders runs use while every connection for reads is lent.
func (s *Store) WithoutReaders(use func()) {
	lent := make([]*readConn, cap(s.pool))
	for i := range lent {
		lent[i] = <-s.pool
	}
	defer func() {
		for _, c := range lent {
			s.pool <- c
		}
	}()
	use()
}

// Remembered is the number of records in memory.
func (s *Store) Remembered() int {
	s.tail.mu.RLock()
	defer s.tail.mu.RUnlock()
	return s.tail.recent.count
}

// Ring is the memory of newest records.
type Ring = recent

// NewRing makes one of so many records and bytes.
func NewRing(records, bytes int) Ring { return newRecent(records, bytes) }

// Add is add.
func (m *recent) Add(records []eventstore.Record) { m.add(records) }

// After is after.
func (m *recent) After(n eventstore.Sequence, limit int) []eventstore.Record {
	return m.after(n, limit)
}

// IndexedIDs is the number of entries in the table of ids.
func (s *Store) IndexedIDs() (n int64, err error) {
	err = s.with(context.Background(), func(c *readConn) (err error) {
		n, err = c.integer("SELECT count(*) FROM by_id")
		return err
	})
	return n, err
}

// KnownStreams asks a lookup about streams, in order, and returns how many
// heads it then keeps and whether it still knows the first and the last.
func KnownStreams(streams []string) (kept int, first, last bool) {
	l := &lookup{heads: map[string]eventstore.Revision{}, aged: map[string]eventstore.Revision{}}
	for i, s := range streams {
		l.know(s, eventstore.Revision(i))
	}
	kept = len(l.heads) + len(l.aged)
	knows := func(i int) bool {
		next, ok := l.known(streams[i])
		return ok && next == eventstore.Revision(i)
	}
	return kept, knows(0), knows(len(streams) - 1)
}
