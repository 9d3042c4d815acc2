// Package memstore is the log in memory: the model the other stores are
// compared with, and the store of tests.
//
// It keeps the whole contract of package eventstore except durability: nothing
// survives the process. It must not grow features the contract does not name.
// Most readers want New.
package memstore

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/authledger/authledger/eventstore"
)

// Store is an eventstore.Store. Its methods may be called from any goroutine.
type Store struct {
	clock func() time.Time

	mu      sync.Mutex // guards everything below
	records []eventstore.Record
	leaves  []eventstore.Hash // of records, by the same index
	streams map[string][]int  // indexes into records, by revision
	ids     map[eventstore.EventID]int
	order   eventstore.Order
	groups  map[string]*group
	changed chan struct{} // closed and replaced by an append, closed by Close
	closed  bool
}

var _ eventstore.Store = (*Store)(nil)

// New returns an empty log that stamps records with clock. A clock that goes
// back is held at the newest record's time.
func New(clock func() time.Time) *Store {
	return &Store{
		clock:   clock,
		streams: map[string][]int{},
		ids:     map[eventstore.EventID]int{},
		groups:  map[string]*group{},
		changed: make(chan struct{}),
	}
}

// Append implements eventstore.Appender. The store copies what it keeps.
func (s *Store) Append(ctx context.Context, stream string, expected eventstore.Expected, events []eventstore.Proposed) (eventstore.Appended, error) {
	return s.append(ctx, stream, expected, events, s.stamp, true)
}

// append appends at the time that stamp tells under the lock. unique says whether
// an id is recognised anywhere, or only where it is expected.
func (s *Store) append(ctx context.Context, stream string, expected eventstore.Expected, events []eventstore.Proposed, stamp func() time.Time, unique bool) (eventstore.Appended, error) {
	if err := eventstore.CheckAppend(stream, events); err != nil {
		return eventstore.Appended{}, err
	}
	if err := ctx.Err(); err != nil {
		return eventstore.Appended{}, fmt.Errorf("append to %s: %w", stream, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return eventstore.Appended{}, fmt.Errorf("append to %s: %w", stream, eventstore.ErrClosed)
	}
	if first, err := s.repeated(stream, expected, events, unique); err != nil {
		return eventstore.Appended{}, err
	} else if first >= 0 {
		appended := s.stamps(s.streams[stream][first : first+len(events)])
		appended.Repeated = true
		return appended, nil
	}
	if err := s.check(stream, expected); err != nil {
		return eventstore.Appended{}, err
	}
	return s.add(stream, expected, events, stamp()), nil
}

// repeated returns the revision at which all events already stand, which must
// be the one expected; -1 when none of them is in the log, or unless unique when
// none is where it is expected.
func (s *Store) repeated(stream string, expected eventstore.Expected, events []eventstore.Proposed, unique bool) (int, error) {
	found := 0
	var duplicate eventstore.EventID
	for i, e := range events {
		_, anywhere := s.ids[e.ID]
		if s.stands(stream, expected, i, e.ID) {
			found++
		} else if !unique || !anywhere {
			continue
		}
		duplicate = e.ID
	}
	switch {
	case found == len(events):
		return int(expected.Next()), nil
	case duplicate != (eventstore.EventID{}):
		return -1, fmt.Errorf("append to %s: event %s: %w", stream, duplicate, eventstore.ErrDuplicateID)
	}
	return -1, nil
}

// stands reports whether an id is that of the record at the place where number i
// of an append is expected.
func (s *Store) stands(stream string, expected eventstore.Expected, i int, id eventstore.EventID) bool {
	if expected.Exists() && expected.Next() == 0 { // no record follows the greatest revision
		return false
	}
	at, indexes := uint64(expected.Next())+uint64(i), s.streams[stream]
	return at < uint64(len(indexes)) && s.records[indexes[at]].ID == id
}

func (s *Store) check(stream string, expected eventstore.Expected) error {
	n := len(s.streams[stream])
	if expected.Exists() == (n > 0) && uint64(expected.Next()) == uint64(n) {
		return nil
	}
	conflict := &eventstore.ConflictError{Stream: stream, Expected: expected, Found: n > 0}
	if n > 0 {
		conflict.Actual = eventstore.Revision(n - 1)
	}
	return conflict
}

// stamp is the time of an append: the clock's, held at the newest record's.
func (s *Store) stamp() time.Time {
	at := s.clock()
	if at.Before(s.order.Newest) {
		return s.order.Newest
	}
	return at
}

func (s *Store) add(stream string, expected eventstore.Expected, events []eventstore.Proposed, at time.Time) eventstore.Appended {
	records, leaves := eventstore.Chain(stream, expected, at, events)
	first := len(s.streams[stream])
	for i, r := range records {
		r.Data = bytes.Clone(r.Data)
		s.keep(r, leaves[i])
	}
	s.wake()
	return s.stamps(s.streams[stream][first:])
}

// keep puts a record, whose bytes are the store's from here on, behind the
// newest one.
func (s *Store) keep(r eventstore.Record, leaf eventstore.Hash) {
	n := len(s.records)
	r.Sequence, r.Position = eventstore.Sequence(n+1), eventstore.Position(n+1)
	s.records, s.leaves = append(s.records, r), append(s.leaves, leaf)
	if _, ok := s.ids[r.ID]; !ok { // a Node lets an id stand twice; the first one is found
		s.ids[r.ID] = n
	}
	s.streams[r.Stream] = append(s.streams[r.Stream], n)
	s.order.See(r.RecordedAt)
}

func (s *Store) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *Store) stamps(indexes []int) eventstore.Appended {
	var a eventstore.Appended
	for _, i := range indexes {
		r := s.records[i]
		a.Records = append(a.Records, eventstore.Stamp{
			Revision: r.Revision, Sequence: r.Sequence, RecordedAt: r.RecordedAt, Leaf: s.leaves[i],
		})
		a.Position = r.Position
	}
	return a
}

// ReadStream implements eventstore.Reader.
func (s *Store) ReadStream(ctx context.Context, stream string, from eventstore.Revision) iter.Seq2[eventstore.Record, error] {
	return func(yield func(eventstore.Record, error) bool) {
		records, indexes, _, err := s.snapshot(stream)
		if err != nil {
			yield(eventstore.Record{}, fmt.Errorf("read stream %s: %w", stream, err))
			return
		}
		for n := uint64(from); n < uint64(len(indexes)); n++ {
			if !hand(ctx, records[indexes[n]], yield) {
				return
			}
		}
	}
}

// ReadAll implements eventstore.Reader.
func (s *Store) ReadAll(ctx context.Context, from eventstore.Sequence) iter.Seq2[eventstore.Record, error] {
	return func(yield func(eventstore.Record, error) bool) {
		records, _, _, err := s.snapshot("")
		if err != nil {
			yield(eventstore.Record{}, fmt.Errorf("read log from %d: %w", from, err))
			return
		}
		for n := uint64(max(from, 1)) - 1; n < uint64(len(records)); n++ {
			if !hand(ctx, records[n], yield) {
				return
			}
		}
	}
}

// ByID implements eventstore.Reader.
func (s *Store) ByID(ctx context.Context, id eventstore.EventID) (eventstore.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.readable(ctx); err != nil {
		return eventstore.Record{}, fmt.Errorf("read event %s: %w", id, err)
	}
	i, ok := s.ids[id]
	if !ok {
		return eventstore.Record{}, fmt.Errorf("read event %s: %w", id, eventstore.ErrNotFound)
	}
	return s.records[i], nil
}

// Head implements eventstore.Reader.
func (s *Store) Head(ctx context.Context) (eventstore.Sequence, eventstore.Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.readable(ctx); err != nil {
		return 0, 0, fmt.Errorf("read head: %w", err)
	}
	n := len(s.records)
	return eventstore.Sequence(n), eventstore.Position(n), nil
}

// Follow implements eventstore.Follower. A follower of a store that is closed
// ends with ErrClosed.
func (s *Store) Follow(ctx context.Context, after eventstore.Sequence, max int) iter.Seq2[[]eventstore.Record, error] {
	return func(yield func([]eventstore.Record, error) bool) {
		if max < 1 {
			yield(nil, fmt.Errorf("%w: follow in batches of %d", eventstore.ErrInvalid, max))
			return
		}
		for next := uint64(after); ctx.Err() == nil; {
			records, _, changed, err := s.snapshot("")
			if err != nil {
				yield(nil, fmt.Errorf("follow after %d: %w", next, err))
				return
			}
			if next >= uint64(len(records)) {
				select {
				case <-changed:
				case <-ctx.Done():
				}
				continue
			}
			end := min(next+uint64(max), uint64(len(records)))
			if !yield(append([]eventstore.Record(nil), records[next:end]...), nil) {
				return
			}
			next = end
		}
	}
}

// Close implements eventstore.Store. Closing twice is harmless.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		close(s.changed)
	}
	return nil
}

// snapshot returns the log and one stream as they stand now. Later appends
// never write below the lengths returned, so they are read without the lock.
func (s *Store) snapshot(stream string) ([]eventstore.Record, []int, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, nil, eventstore.ErrClosed
	}
	return s.records, s.streams[stream], s.changed, nil
}

func (s *Store) readable(ctx context.Context) error {
	if s.closed {
		return eventstore.ErrClosed
	}
	return ctx.Err()
}

// hand yields one record, or the error of a context that has ended.
func hand(ctx context.Context, r eventstore.Record, yield func(eventstore.Record, error) bool) bool {
	if err := ctx.Err(); err != nil {
		yield(eventstore.Record{}, fmt.Errorf("read %s at revision %d: %w", r.Stream, r.Revision, err))
		return false
	}
	return yield(r, nil)
}
