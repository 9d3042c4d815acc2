package esdbtest

import (
	"slices"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/google/uuid"
)

// release takes a message from what a consumer holds.
func (c *consumer) release(m *message) {
	if i := slices.Index(c.holds, m); i >= 0 {
		c.holds = slices.Delete(c.holds, i, i+1)
	}
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
