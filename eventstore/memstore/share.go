package memstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/authledger/authledger/eventstore"
)

// group is what the consumers of one name share. Store.mu guards all of it.
//
// A stream is given to a consumer, in turn, when its first record comes up, and
// stays with it for as long as nobody joins or leaves.
type group struct {
	types     []string
	next      int // index of the first record nobody looked at
	waiting   []item
	consumers []*consumer
	turn      int
	owner     map[string]*consumer // by stream
	changed   chan struct{}        // closed and replaced when waiting or consumers change
}

// item is a record to be handed out, by its index in the log.
type item struct{ at, retries int }

// consumer is one member of a group. Store.mu guards held.
type consumer struct {
	lease time.Duration
	held  map[int]*holding // by index
}

// holding is a record in somebody's hands.
type holding struct {
	item
	lapse *time.Timer
}

var _ eventstore.Sharer = (*Node)(nil)

// errNotHeld is what answering for a record is too late for.
var errNotHeld = errors.New("the record is no longer in these hands")

// Share implements eventstore.Sharer. Leases are measured by timers, which run
// on the time of a test's bubble. All consumers of a group must want the same
// types.
func (n *Node) Share(ctx context.Context, name string, types []string, lease time.Duration) iter.Seq2[eventstore.Handed, error] {
	return func(yield func(eventstore.Handed, error) bool) {
		g, c, err := n.join(name, types, lease)
		if err != nil {
			yield(eventstore.Handed{}, fmt.Errorf("join group %s: %w", name, err))
			return
		}
		defer n.leave(g, c)
		for ctx.Err() == nil {
			h, wait, err := n.handOut(g, c)
			switch {
			case err != nil:
				yield(eventstore.Handed{}, fmt.Errorf("share in group %s: %w", name, err))
				return
			case wait == nil:
				if !yield(n.handed(g, c, h), nil) {
					return
				}
				continue
			}
			select {
			case <-wait[0]:
			case <-wait[1]:
			case <-ctx.Done():
			}
		}
	}
}

func (s *Store) join(name string, types []string, lease time.Duration) (*group, *consumer, error) {
	if name == "" || len(types) == 0 || lease <= 0 {
		return nil, nil, fmt.Errorf("%w: a group needs a name, types and a lease", eventstore.ErrInvalid)
	}
	types = slices.Sorted(slices.Values(types))
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.groups[name]
	if g == nil {
		g = &group{types: types, changed: make(chan struct{})}
		s.groups[name] = g
	}
	if !slices.Equal(g.types, types) {
		return nil, nil, fmt.Errorf("%w: the group takes %v", eventstore.ErrInvalid, g.types)
	}
	c := &consumer{lease: lease, held: map[int]*holding{}}
	g.consumers = append(g.consumers, c)
	g.regroup()
	return g, c, nil
}

// leave gives back what the consumer holds.
func (s *Store) leave(g *group, c *consumer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g.consumers = slices.DeleteFunc(g.consumers, func(other *consumer) bool { return other == c })
	for at := range c.held {
		g.giveBack(c, at)
	}
	g.regroup()
}

// regroup deals the streams out anew.
func (g *group) regroup() {
	g.owner = map[string]*consumer{}
	g.wake()
}

func (g *group) wake() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// giveBack lets a held record be handed out again, before anything new.
func (g *group) giveBack(c *consumer, at int) {
	h := c.held[at]
	h.lapse.Stop()
	delete(c.held, at)
	i, _ := slices.BinarySearchFunc(g.waiting, at, func(w item, at int) int { return w.at - at })
	g.waiting = slices.Insert(g.waiting, i, item{at: at, retries: h.retries + 1})
	g.wake()
}

// handOut gives the consumer the first record that is for it. Without one it
// returns what to wait for.
func (s *Store) handOut(g *group, c *consumer) (*holding, []<-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, eventstore.ErrClosed
	}
	for i, w := range g.waiting {
		if g.ownerOf(s.records[w.at].Stream) == c {
			g.waiting = slices.Delete(g.waiting, i, i+1)
			return s.hold(g, c, w), nil, nil
		}
	}
	for g.next < len(s.records) {
		w := item{at: g.next}
		g.next++
		r := s.records[w.at]
		if !slices.Contains(g.types, r.Type) {
			continue
		}
		if g.ownerOf(r.Stream) == c {
			return s.hold(g, c, w), nil, nil
		}
		g.waiting = append(g.waiting, w)
		g.wake()
	}
	return nil, []<-chan struct{}{s.changed, g.changed}, nil
}

func (g *group) ownerOf(stream string) *consumer {
	c := g.owner[stream]
	if c == nil {
		c = g.consumers[g.turn%len(g.consumers)]
		g.turn++
		g.owner[stream] = c
	}
	return c
}

func (s *Store) hold(g *group, c *consumer, w item) *holding {
	h := &holding{item: w}
	h.lapse = time.AfterFunc(c.lease, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if c.held[w.at] == h {
			// Whoever says nothing may be stuck, so its streams go elsewhere, in turn.
			for stream, owner := range g.owner {
				if owner == c {
					delete(g.owner, stream)
				}
			}
			g.giveBack(c, w.at)
		}
	})
	c.held[w.at] = h
	return h
}

// handed is what the consumer sees of a record it holds.
func (s *Store) handed(g *group, c *consumer, h *holding) eventstore.Handed {
	answer := func(ctx context.Context, dealt func()) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		r := s.records[h.at]
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("answer for %s at revision %d: %w: %w", r.Stream, r.Revision, eventstore.ErrUnavailable, err)
		}
		if c.held[h.at] != h {
			return fmt.Errorf("answer for %s at revision %d: %w: %w", r.Stream, r.Revision, eventstore.ErrUnavailable, errNotHeld)
		}
		dealt()
		return nil
	}
	s.mu.Lock()
	r := s.records[h.at]
	s.mu.Unlock()
	return eventstore.Handed{
		Record: r, Retries: h.retries,
		Done: func(ctx context.Context) error {
			return answer(ctx, func() { h.lapse.Stop(); delete(c.held, h.at) })
		},
		Again: func(ctx context.Context) error {
			return answer(ctx, func() { g.giveBack(c, h.at) })
		},
	}
}
