package esdbtest

import "hash/fnv"

// Consumer strategies, by the names the server reports.
const (
	strategySingle     = "DispatchToSingle"
	strategyRoundRobin = "RoundRobin"
	strategyPinned     = "Pinned"
)

func (c *consumer) full() bool { return len(c.holds) >= c.size }

// pick chooses the consumer of an event; nil when none may take it now.
func (g *group) pick(e *Event) *consumer {
	if g.settings.strategy == strategyPinned {
		return g.pinned(e.Stream)
	}
	for range g.consumers {
		g.turn %= len(g.consumers)
		c := g.consumers[g.turn]
		if c.full() {
			g.turn++
			continue
		}
		if g.settings.strategy == strategyRoundRobin {
			g.turn++
		}
		return c
	}
	return nil
}

// pinned gives all events of a stream to one consumer: the one that scores
// highest with it. When a consumer comes or goes only the streams it gains or
// held move.
func (g *group) pinned(stream string) *consumer {
	var best *consumer
	var highest uint64
	for _, c := range g.consumers {
		h := fnv.New64a()
		h.Write(c.id[:])
		h.Write([]byte(stream))
		if score := mix(h.Sum64()); best == nil || score > highest {
			best, highest = c, score
		}
	}
	if best == nil || best.full() {
		return nil
	}
	return best
}

// mix spreads similar sums over the whole range (the finalizer of MurmurHash3):
// FNV alone leaves short names that differ at the end close together.
func mix(x uint64) uint64 {
	x = (x ^ x>>33) * 0xff51afd7ed558ccd
	x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
