package journal

import (
	"context"
	"fmt"
	"sync"

	"github.com/google/uuid"
)

// sole lets one execution of a command id at a time through, whatever stream it
// is for. A shared store recognises an id only where it is expected, so two
// executions on two streams that asked for an earlier one at the same moment
// would both append, and an event id would stand in the log twice.
//
// It is entered before a turn is waited for, never while holding one.
type sole struct {
	mu      sync.Mutex
	running map[uuid.UUID]*queue // guarded by mu
}

// queue is who executes a command id and who waits for it.
type queue struct {
	users int           // guarded by sole.mu
	turn  chan struct{} // holds one token while an execution is under way
}

// enter waits until nobody executes the command id here. leave must be called
// when there is no error.
func (s *sole) enter(ctx context.Context, id uuid.UUID) (leave func(), err error) {
	q := s.join(id)
	select {
	case q.turn <- struct{}{}:
		return func() { <-q.turn; s.part(id, q) }, nil
	case <-ctx.Done():
		s.part(id, q)
		return nil, fmt.Errorf("wait for another execution of command %s: %w", id, ctx.Err())
	}
}

func (s *sole) join(id uuid.UUID) *queue {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, ok := s.running[id]
	if !ok {
		q = &queue{turn: make(chan struct{}, 1)}
		if s.running == nil {
			s.running = map[uuid.UUID]*queue{}
		}
		s.running[id] = q
	}
	q.users++
	return q
}

func (s *sole) part(id uuid.UUID, q *queue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q.users--; q.users == 0 {
		delete(s.running, id)
	}
}
