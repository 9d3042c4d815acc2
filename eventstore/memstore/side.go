package memstore

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"strings"
	"sync"

	"github.com/authledger/authledger/eventstore"
)

// Side is an eventstore.Side in memory. Its methods may be called from any
// goroutine.
type Side struct {
	mu      sync.Mutex // guards everything below
	entries map[string][][]byte
	gone    map[string]bool
	changes []string      // the stream of every append and deletion, in order
	changed chan struct{} // closed and replaced by each
}

var _ eventstore.Side = (*Side)(nil)

// NewSide returns an empty set of side streams.
func NewSide() *Side {
	return &Side{entries: map[string][][]byte{}, gone: map[string]bool{}, changed: make(chan struct{})}
}

// AppendSide implements eventstore.Side.
func (s *Side) AppendSide(ctx context.Context, stream string, next uint64, entries ...[]byte) error {
	if err := eventstore.CheckSide(stream, entries); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch n := len(s.entries[stream]); {
	case ctx.Err() != nil:
		return fmt.Errorf("append to %s: %w", stream, ctx.Err())
	case s.gone[stream]:
		return fmt.Errorf("append to %s: %w", stream, eventstore.ErrGone)
	case uint64(n) != next:
		return fmt.Errorf("append to %s behind %d entries: %w: it has %d", stream, next, eventstore.ErrConflict, n)
	}
	for _, e := range entries {
		s.entries[stream] = append(s.entries[stream], bytes.Clone(e))
	}
	s.tell(stream)
	return nil
}

// ReadSide implements eventstore.Side.
func (s *Side) ReadSide(ctx context.Context, stream string, from uint64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		s.mu.Lock()
		entries, gone := s.entries[stream], s.gone[stream]
		s.mu.Unlock()
		if gone {
			yield(nil, fmt.Errorf("read %s: %w", stream, eventstore.ErrGone))
			return
		}
		for n := from; n < uint64(len(entries)); n++ {
			if err := ctx.Err(); err != nil {
				yield(nil, fmt.Errorf("read %s: %w", stream, err))
				return
			}
			if !yield(bytes.Clone(entries[n]), nil) {
				return
			}
		}
	}
}

// ListSide implements eventstore.Side.
func (s *Side) ListSide(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		s.mu.Lock()
		var names []string
		for name := range s.entries {
			if strings.HasPrefix(name, prefix) {
				names = append(names, name)
			}
		}
		s.mu.Unlock()
		for _, name := range names {
			if err := ctx.Err(); err != nil {
				yield("", fmt.Errorf("list streams %s*: %w", prefix, err))
				return
			}
			if !yield(name, nil) {
				return
			}
		}
	}
}

// DeleteSide implements eventstore.Side.
func (s *Side) DeleteSide(ctx context.Context, stream string) error {
	if err := eventstore.CheckSide(stream, nil); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("delete %s: %w", stream, err)
	}
	if !s.gone[stream] {
		s.gone[stream] = true
		delete(s.entries, stream)
		s.tell(stream)
	}
	return nil
}

// WatchSide implements eventstore.Side.
func (s *Side) WatchSide(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		s.mu.Lock()
		next := len(s.changes)
		s.mu.Unlock()
		for ctx.Err() == nil {
			s.mu.Lock()
			changes, changed := s.changes[next:], s.changed
			s.mu.Unlock()
			for _, stream := range changes {
				if strings.HasPrefix(stream, prefix) && !yield(stream, nil) {
					return
				}
			}
			next += len(changes)
			if len(changes) > 0 {
				continue
			}
			select {
			case <-changed:
			case <-ctx.Done():
			}
		}
	}
}

// tell wakes the watchers. The caller holds mu.
func (s *Side) tell(stream string) {
	s.changes = append(s.changes, stream)
	close(s.changed)
	s.changed = make(chan struct{})
}
