package journal

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
)

// slot is one stream in memory. At any moment a process has at most one slot
// for a stream, so what one command applied every later reader sees. Where
// several processes append, a slot is what this one knew last: readers read on
// from there (refresh), and a command decides on it because its append is
// refused when it was behind (unrecorded is for those that append nothing).
//
// Two locks, taken in this order: turn makes commands on the stream follow one
// another and is held across the append; mu guards the state and is held only
// to read or change it. A loaded state is changed by the holder of turn alone,
// under mu; so that holder may read it without mu. Nobody waits for a turn
// while holding any mu.
type slot struct {
	stream string
	users  int           // guarded by slots.mu; the slot is idle at 0
	turn   chan struct{} // holds one token while a command is under way

	mu       sync.RWMutex
	state    domain.State
	last     eventstore.Expected // the record the state ends with
	newest   time.Time           // the latest time in any record of the state
	loaded   bool
	doubtful bool // an append of unknown outcome may still land behind the state
	notes
}

// tryEnter takes the turn when it is free.
func (s *slot) tryEnter() bool {
	select {
	case s.turn <- struct{}{}:
		return true
	default:
		return false
	}
}

func (s *slot) enter(ctx context.Context) error {
	if s.tryEnter() {
		return nil
	}
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *slot) leave() { <-s.turn }

// apply records one stored event. The caller holds mu.
func (s *slot) apply(id eventstore.EventID, e domain.Event, at time.Time) {
	s.state.Apply(e, at)
	s.note(s.state, id, e)
}

// seen notes the times of a record. The caller holds mu, or is the only one to
// know s.
func (s *slot) seen(times ...time.Time) {
	for _, at := range times {
		if at.After(s.newest) {
			s.newest = at
		}
	}
}

// slots holds the slots in use and the most recently used idle ones, so memory
// is bounded by the cache size and the requests under way.
type slots struct {
	mu   sync.Mutex // guards all below and users of every slot
	live map[string]*slot
	idle *simplelru.LRU[string, *slot]
}

func newSlots(size int) (*slots, error) {
	idle, err := simplelru.NewLRU[string, *slot](size, nil)
	if err != nil {
		return nil, fmt.Errorf("cache of %d streams: %w", size, err)
	}
	return &slots{live: map[string]*slot{}, idle: idle}, nil
}

// acquire returns the stream's slot, which stays the only one until release.
func (t *slots) acquire(stream string) *slot {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, ok := t.live[stream]
	if !ok {
		if s, ok = t.idle.Peek(stream); ok {
			t.idle.Remove(stream)
		} else {
			s = newSlot(stream)
		}
		t.live[stream] = s
	}
	s.users++
	return s
}

// release gives the slot back. One without records is not kept: questions
// about ids that do not exist must not push out the states of users who do.
func (t *slots) release(s *slot) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.users--; s.users > 0 {
		return
	}
	delete(t.live, s.stream)
	if s.last.Exists() {
		t.idle.Add(s.stream, s)
	}
}

func newSlot(stream string) *slot {
	return &slot{stream: stream, turn: make(chan struct{}, 1), state: domain.NewState(stream)}
}

// wellFormed reports whether a stream's name was made from a well-formed id
// and belongs to a category the rules know.
func wellFormed(stream string) bool {
	_, key, _ := strings.Cut(stream, "-")
	return key != "" && key != "invalid" && domain.NewState(stream) != nil
}

func malformedID() error {
	return &domain.Error{Code: domain.Unknown, Detail: "there is no such thing; use an id that an earlier answer contained"}
}

// ready loads the slot, or catches up when its state is doubtful. The caller
// holds the turn.
func (j *Journal) ready(ctx context.Context, s *slot) error {
	s.mu.RLock()
	fresh := s.loaded && !s.doubtful
	s.mu.RUnlock()
	if fresh {
		return nil
	}
	_, err := j.catchUp(ctx, s)
	return err
}

// catchUp folds the records behind the state and reports whether a loaded state
// moved. The caller holds the turn, and mu is not held while reading, so that
// nobody but the caller waits for the store.
func (j *Journal) catchUp(ctx context.Context, s *slot) (moved bool, err error) {
	if first, err := j.load(ctx, s); first || err != nil {
		return false, err
	}
	var steps []step
	for next, e := range j.tail(ctx, s.stream, s.last) {
		if err = e; err == nil {
			steps = append(steps, next)
		}
	}
	s.mu.Lock()
	for _, next := range steps {
		s.take(next)
	}
	if err != nil && !j.shared {
		s.doubtful = true // so that the next command tries again; in a shared store all of them do
	}
	s.mu.Unlock()
	if len(steps) > 0 {
		j.changed(s)
	}
	return len(steps) > 0, err
}

var errBroken = errors.New("stream history is broken")

// step is one record as a state takes it in.
type step struct {
	id    eventstore.EventID
	event domain.Event
	at    time.Time           // when it occurred
	put   time.Time           // when it was recorded
	end   eventstore.Expected // the record itself
}

// tail yields the records after one that is known. It ends with an error at a
// gap, a broken chain or an event nobody knows: a decision must not stand on a
// history with a hole.
func (j *Journal) tail(ctx context.Context, stream string, last eventstore.Expected) iter.Seq2[step, error] {
	return func(yield func(step, error) bool) {
		for r, err := range j.store.ReadStream(ctx, stream, last.Next()) {
			var d codec.Decoded
			if err == nil {
				d, err = j.codec.Decode(r)
			}
			if err == nil && (r.Revision != last.Next() || d.Meta.Prev != last.Leaf().String()) {
				err = fmt.Errorf("%w at revision %d, want %d and its predecessor's leaf", errBroken, r.Revision, last.Next())
			}
			if err != nil {
				yield(step{}, fmt.Errorf("load %s: %w", stream, err))
				return
			}
			last = eventstore.At(r.Revision, r.Leaf())
			if !yield(step{id: r.ID, event: d.Event, at: d.Meta.OccurredAt, put: r.RecordedAt, end: last}, nil) {
				return
			}
		}
	}
}

// take applies a record that follows the state. The caller holds mu, or is the
// only one to know s.
func (s *slot) take(next step) {
	s.apply(next.id, next.event, next.at)
	s.seen(next.at, next.put)
	s.last = next.end
}

// fold applies everything behind the state, and stops with the state at the last
// good record. The caller holds mu, or is the only one to know s.
func (j *Journal) fold(ctx context.Context, s *slot) error {
	for next, err := range j.tail(ctx, s.stream, s.last) {
		if err != nil {
			return err
		}
		s.take(next)
	}
	s.loaded = true
	return nil
}

// load folds a slot for the first time and reports whether this call did; the
// caller need not hold the turn.
func (j *Journal) load(ctx context.Context, s *slot) (first bool, err error) {
	s.mu.RLock()
	loaded := s.loaded
	s.mu.RUnlock()
	if loaded {
		return false, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loaded {
		return false, nil
	}
	if err := j.fold(ctx, s); err != nil {
		return false, err
	}
	j.obey(s)
	return true, nil
}

// view returns a slot whose state the caller may read until release: everything
// acknowledged before the call is in it, in a shared store whichever process did
// it. It never waits for a command under way on that stream.
func (j *Journal) view(ctx context.Context, stream string) (s *slot, release func(), err error) {
	s, done, err := j.current(ctx, stream)
	if err != nil {
		return nil, nil, err
	}
	s.mu.RLock()
	return s, func() { s.mu.RUnlock(); done() }, nil
}

// current returns a slot with the state view promises, not locked yet: who needs
// several reads the store for all of them before locking any.
func (j *Journal) current(ctx context.Context, stream string) (s *slot, done func(), err error) {
	s = j.slots.acquire(stream)
	own, err := j.refresh(ctx, s)
	if err == nil && !own {
		return s, func() { j.slots.release(s) }, nil
	}
	j.slots.release(s)
	if err != nil {
		return nil, nil, err
	}
	s = newSlot(stream)
	if err := j.fold(ctx, s); err != nil {
		return nil, nil, err
	}
	return s, func() {}, nil
}

// refresh brings a slot up to date for a reader. It reports true when the slot
// must not be changed and is, or may be, behind, so that the reader needs a state
// of its own.
//
// In a shared store it reads what is new. The turn is taken if it is free, and
// never waited for: a command holds its own turn while it reads other streams, so
// two of them could wait for each other.
func (j *Journal) refresh(ctx context.Context, s *slot) (own bool, err error) {
	first, err := j.load(ctx, s)
	if first || err != nil {
		return false, err
	}
	if !j.shared {
		s.mu.RLock()
		defer s.mu.RUnlock()
		return s.doubtful, nil
	}
	if s.tryEnter() {
		defer s.leave()
		_, err := j.catchUp(ctx, s)
		return false, err
	}
	newest := s.end()
	for next, err := range j.tail(ctx, s.stream, newest) {
		if err != nil {
			return false, err
		}
		newest = next.end
	}
	return s.end().Next() < newest.Next(), nil // whoever has the turn may have brought it along
}

// end is the record the state ends with.
func (s *slot) end() eventstore.Expected {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.last
}
