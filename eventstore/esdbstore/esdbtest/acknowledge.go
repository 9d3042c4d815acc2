package esdbtest

import (
	"slices"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/google/uuid"
)

// give hands a message to a consumer.
func (c *consumer) give(m *message) {
	c.holds = append(c.holds, m)
	c.queue = append(c.queue, m)
	c.given++
	select {
	case c.ready <- struct{}{}:
	default:
	}
}

// release takes a message back, also one that is not on its way yet.
func (c *consumer) release(m *message) {
	same := func(other *message) bool { return other == m }
	c.holds = slices.DeleteFunc(c.holds, same)
	c.queue = slices.DeleteFunc(c.queue, same)
}

// take returns the messages to send to a consumer now.
func (g *group) take(c *consumer) []message {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]message, len(c.queue))
	for i, m := range c.queue {
		out[i] = *m
	}
	c.queue = nil
	return out
}

// held takes the oldest message with an event id from whoever holds it: a
// consumer may answer after the message went to another.
func (g *group) held(id uuid.UUID, by *consumer) *message {
	for _, c := range append([]*consumer{by}, g.consumers...) {
		for _, m := range c.holds {
			if m.event.ID == id {
				c.release(m)
				return m
			}
		}
	}
	return nil
}

// ack is done with events. Ids nobody holds are ignored, as on a server.
func (g *group) ack(by *consumer, ids []uuid.UUID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, id := range ids {
		g.held(id, by)
	}
	g.wake()
}

// nack gives events back. Unknown leaves the choice to the server, which
// retries. Stop ends the consumer's subscription.
func (g *group) nack(by *consumer, action persistent.ReadReq_Nack_Action, reason string, ids []uuid.UUID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if action == persistent.ReadReq_Nack_Stop {
		g.remove(by)
		g.wake()
		return
	}
	for _, id := range ids {
		m := g.held(id, by)
		switch {
		case m == nil, action == persistent.ReadReq_Nack_Skip:
		case action == persistent.ReadReq_Nack_Park:
			g.park(m, reason)
		default:
			g.retryOrPark(m, reason)
		}
	}
	g.wake()
}

// replay sends parked messages again, the first n of them, all for n below 0.
func (g *group) replay(n int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if n < 0 || n > int64(len(g.parked)) {
		n = int64(len(g.parked))
	}
	for _, m := range g.parked[:n] {
		m.retries = -1 // counted from 0 again
		g.again(m)
	}
	g.parked = slices.Clone(g.parked[n:])
	g.wake()
}
