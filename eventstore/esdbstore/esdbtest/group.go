package esdbtest

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// defaultReadAhead is how many events a group reads before they are asked for
// when its settings do not say: the client's default.
const defaultReadAhead = 500

// settings of a group, as far as it acts on them.
type settings struct {
	match          filter
	start          start
	strategy       string // RoundRobin, DispatchToSingle or Pinned
	messageTimeout time.Duration
	maxRetries     int
	maxSubscribers int // 0: no limit
	readAhead      int
}

// start is where a group without a checkpoint begins: with the event at a
// position of $all or a revision of a stream, or behind the last one.
type start struct {
	at  uint64
	end bool
}

// message is an event on its way through a group. A position in the group's
// source, at, is a revision of a stream or a position of $all.
type message struct {
	event    *Event
	at       uint64
	retries  int
	deadline time.Time // while in flight; zero for none
}

// group is one persistent subscription: competing consumers over a stream or
// over $all. Its rules:
//
//   - An event is with one consumer at a time, which holds at most as many as
//     its buffer size.
//   - It is sent again with a higher retry count when its consumer asks for
//     that, is silent for longer than the message timeout, or goes away; in the
//     first two cases it is parked when it was retried often enough.
//   - The checkpoint stands before the first event that is neither acknowledged,
//     skipped nor parked. It is exact, where a server's lags: RewindGroups.
//   - After a restart or a change of leader everything from the checkpoint on
//     comes again, with a retry count of 0.
type group struct {
	server *Server
	key    groupKey
	poke   chan struct{} // of capacity 1: something has changed

	mu        sync.Mutex // guards everything below
	settings  settings
	next      uint64     // where to read on
	pending   []*message // read and not yet sent, by at
	parked    []*message
	consumers []*consumer
	turn      int // index of the consumer whose turn it is
	given     int64
	ended     bool
}

// consumer is one connection to a group.
type consumer struct {
	id      uuid.UUID
	user    string
	size    int
	ready   chan struct{} // of capacity 1: queue is not empty
	dropped chan struct{} // closed when the group lets it go

	// The group's mu guards the rest.
	holds []*message // given to it and not answered
	queue []*message // those of holds that are not on their way yet
	given int64
}

func newGroup(s *Server, key groupKey, with settings) *group {
	g := &group{server: s, key: key, settings: with, poke: make(chan struct{}, 1)}
	g.next = with.start.at
	if with.start.end {
		g.next = s.log.endOf(key.stream)
	}
	return g
}

// endOf is the place in a stream, or in $all, where the next event will be.
func (l *ledger) endOf(stream string) uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if stream == allStream {
		return l.end
	}
	if s := l.streams[stream]; s != nil {
		return s.next()
	}
	return 0
}

// run hands out events until ctx ends.
func (g *group) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		end, changed := g.server.log.horizon(0)
		wait, ended := g.step(end)
		if ended {
			return
		}
		timer.Reset(wait)
		select {
		case <-changed:
		case <-g.poke:
		case <-timer.C:
		case <-ctx.Done():
			return
		}
	}
}

// step does what is due and returns how long nothing more will be.
func (g *group) step(end uint64) (wait time.Duration, ended bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ended {
		return 0, true
	}
	now := g.server.options.Clock()
	g.expire(now)
	g.fill(end)
	g.dispatch(now)
	wait = math.MaxInt64
	for _, c := range g.consumers {
		for _, m := range c.holds {
			if !m.deadline.IsZero() {
				wait = max(time.Millisecond, min(wait, m.deadline.Sub(now)))
			}
		}
	}
	return wait, false
}

// wake makes run look again.
func (g *group) wake() {
	select {
	case g.poke <- struct{}{}:
	default:
	}
}

// expire takes messages from consumers that were silent for too long.
func (g *group) expire(now time.Time) {
	for _, c := range g.consumers {
		for _, m := range slices.Clone(c.holds) {
			if !m.deadline.IsZero() && !now.Before(m.deadline) {
				c.release(m)
				g.retryOrPark(m, "message timeout")
			}
		}
	}
}

// fill reads ahead.
func (g *group) fill(end uint64) {
	room := g.settings.readAhead - len(g.pending)
	if room <= 0 {
		return
	}
	for _, e := range g.source(end) {
		at := g.placeOf(e)
		g.next = at + 1
		if !g.settings.match.matches(e) {
			continue
		}
		g.pending = append(g.pending, &message{event: e, at: at})
		if room--; room == 0 {
			return
		}
	}
}

// source returns what stands from next on in the stream or in $all.
func (g *group) source(end uint64) []*Event {
	if g.key.stream == allStream {
		events := g.server.log.readAll(end)
		return events[after(events, g.next):]
	}
	events, _, err := g.server.log.read(g.key.stream, end)
	if err != nil {
		return nil // a tombstone: nothing more will come
	}
	return fromRevision(events, g.next)
}

func (g *group) placeOf(e *Event) uint64 {
	if g.key.stream == allStream {
		return e.Position
	}
	return e.Revision
}

// dispatch gives pending messages to consumers with room. A pinned message
// whose consumer has none waits without holding up the others.
func (g *group) dispatch(now time.Time) {
	waiting := g.pending[:0:0]
	for i, m := range g.pending {
		c := g.pick(m.event)
		if c == nil && g.settings.strategy != strategyPinned {
			waiting = append(waiting, g.pending[i:]...)
			break
		}
		if c == nil {
			waiting = append(waiting, m)
			continue
		}
		if g.settings.messageTimeout > 0 {
			m.deadline = now.Add(g.settings.messageTimeout)
		}
		c.give(m)
		g.given++
	}
	g.pending = waiting
}

// retryOrPark sends a message again unless it was retried often enough.
func (g *group) retryOrPark(m *message, reason string) {
	if m.retries >= g.settings.maxRetries {
		g.park(m, reason)
		return
	}
	g.again(m)
}

// again puts a message back to be sent before later ones.
func (g *group) again(m *message) {
	m.retries++
	m.deadline = time.Time{}
	g.pending = append(g.pending, m)
	slices.SortStableFunc(g.pending, func(a, b *message) int { return cmp.Compare(a.at, b.at) })
}

// park sets a message aside until somebody replays it. As on a server a link to
// it is written to a stream of the group.
func (g *group) park(m *message, reason string) {
	m.retries, m.deadline = 0, time.Time{}
	g.parked = append(g.parked, m)
	link := Proposed{
		Type: "$>", ContentType: "text/plain",
		Data:     fmt.Appendf(nil, "%d@%s", m.event.Revision, m.event.Stream),
		Metadata: fmt.Appendf(nil, `{"reason":%q}`, reason),
	}
	// The stream is the group's own and has no tombstone: nothing to refuse.
	_, _ = g.server.log.append(g.parkedStream(), expected{kind: anyRevision}, []Proposed{link})
}

func (g *group) parkedStream() string {
	return "$persistentsubscription-" + g.key.stream + "::" + g.key.name + "-parked"
}

// checkpoint is the place of the first message that is not done with.
func (g *group) checkpoint() uint64 {
	at := g.next
	for _, m := range g.pending {
		at = min(at, m.at)
	}
	for _, c := range g.consumers {
		for _, m := range c.holds {
			at = min(at, m.at)
		}
	}
	return at
}

// rewind goes back to the checkpoint and as many matching events before it.
func (g *group) rewind(events int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	at := g.checkpoint()
	g.pending, g.next = nil, at
	if events <= 0 {
		return
	}
	g.next = 0
	end, _ := g.server.log.horizon(0)
	var before []uint64
	for _, e := range g.source(end) {
		if place := g.placeOf(e); place < at && g.settings.match.matches(e) {
			before = append(before, place)
		}
	}
	g.next = at
	if len(before) > 0 {
		g.next = before[max(0, len(before)-events)]
	}
}

// join adds a consumer, unless the group takes no more.
func (g *group) join(user string, bufferSize int) (c *consumer, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if most := g.settings.maxSubscribers; most > 0 && len(g.consumers) >= most {
		return nil, false
	}
	size := max(1, bufferSize)
	c = &consumer{id: uuid.New(), user: user, size: size, ready: make(chan struct{}, 1), dropped: make(chan struct{})}
	g.consumers = append(g.consumers, c)
	g.wake()
	return c, true
}

// leave takes a consumer out; what it held goes to others.
func (g *group) leave(c *consumer) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.remove(c)
	g.wake()
}

func (g *group) remove(c *consumer) {
	i := slices.Index(g.consumers, c)
	if i < 0 {
		return
	}
	g.consumers = slices.Delete(g.consumers, i, i+1)
	for _, m := range c.holds {
		g.again(m)
	}
	c.holds, c.queue = nil, nil
	close(c.dropped)
}

// dropAll lets every consumer go.
func (g *group) dropAll() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.dropAllLocked()
}

func (g *group) dropAllLocked() {
	for _, c := range slices.Clone(g.consumers) {
		g.remove(c)
	}
}

// end stops the group for good.
func (g *group) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ended = true
	g.dropAllLocked()
	g.wake()
}

// update changes the settings and drops the consumers, as a server does. The
// filter stays, and so does the place reached.
func (g *group) update(s settings) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s.match = g.settings.match
	g.settings = s
	g.dropAllLocked()
	g.wake()
}
