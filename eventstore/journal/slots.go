package journal

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
)

// slot is one stream in memory. At any moment a process has at most one slot
// for a stream, so what one command applied every later reader sees.
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
	loaded   bool
	doubtful bool // an append of unknown outcome may still land behind the state
	notes
}

func (s *slot) enter(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	default:
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
	s.take(s.state, id, e)
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
	return j.catchUp(ctx, s)
}

// catchUp folds the records behind the state. The caller holds the turn.
func (j *Journal) catchUp(ctx context.Context, s *slot) error {
	s.mu.Lock()
	before, loaded := s.last, s.loaded
	err := j.fold(ctx, s)
	if err != nil && loaded {
		s.doubtful = true // so that the next command tries again
	}
	moved := loaded && s.last != before
	if !loaded && err == nil {
		j.obey(s)
	}
	s.mu.Unlock()
	if moved {
		j.changed(s)
	}
	return err
}

var errBroken = errors.New("stream history is broken")

// fold applies the stream's records after s.last. It stops, with the state at
// the last good record, at a gap, a broken chain or an event nobody knows: a
// decision must not stand on a history with a hole. The caller holds mu or is
// the only one to know s.
func (j *Journal) fold(ctx context.Context, s *slot) error {
	for r, err := range j.store.ReadStream(ctx, s.stream, s.last.Next()) {
		if err != nil {
			return fmt.Errorf("load %s: %w", s.stream, err)
		}
		d, err := j.codec.Decode(r)
		if err != nil {
			return fmt.Errorf("load %s: %w", s.stream, err)
		}
		if r.Revision != s.last.Next() || d.Meta.Prev != s.last.Leaf().String() {
			return fmt.Errorf("load %s: %w at revision %d, want %d and its predecessor's leaf", s.stream, errBroken, r.Revision, s.last.Next())
		}
		s.apply(r.ID, d.Event, d.Meta.OccurredAt)
		s.last = eventstore.At(r.Revision, r.Leaf())
	}
	s.loaded = true
	return nil
}

// view returns a slot whose state the caller may read until release. It never
// waits for a command under way on that stream.
func (j *Journal) view(ctx context.Context, stream string) (s *slot, release func(), err error) {
	s = j.slots.acquire(stream)
	s.mu.RLock()
	if !s.loaded {
		s.mu.RUnlock()
		if err := j.load(ctx, s); err != nil {
			j.slots.release(s)
			return nil, nil, err
		}
		s.mu.RLock()
	}
	if s.doubtful { // only a command may change the slot; fold for this reader alone
		s.mu.RUnlock()
		j.slots.release(s)
		own := newSlot(stream)
		if err := j.fold(ctx, own); err != nil {
			return nil, nil, err
		}
		return own, func() {}, nil
	}
	return s, func() { s.mu.RUnlock(); j.slots.release(s) }, nil
}

// load folds a slot for the first time; the caller need not hold the turn.
func (j *Journal) load(ctx context.Context, s *slot) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loaded {
		return nil
	}
	if err := j.fold(ctx, s); err != nil {
		return err
	}
	j.obey(s)
	return nil
}
