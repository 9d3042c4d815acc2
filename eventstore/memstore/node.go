package memstore

import (
	"context"
	"time"

	"github.com/authledger/authledger/eventstore"
)

// Node is one process's view of a Store that several share: it has a clock of
// its own, learns sequences later than it appends, holds time back within a
// stream only, and recognises an event id only at the revision it is expected at.
// It is the model of eventstore.Shared.
type Node struct {
	*Store
	clock    func() time.Time
	disorder time.Duration
}

var (
	_ eventstore.Store  = (*Node)(nil)
	_ eventstore.Shared = (*Node)(nil)
)

// Node returns a view of the store with another clock. disorder is what it
// declares; the caller keeps the clocks that close together. Closing any of the
// views closes the store.
func (s *Store) Node(clock func() time.Time, disorder time.Duration) *Node {
	return &Node{Store: s, clock: clock, disorder: disorder}
}

// Disorder implements eventstore.Disorderly.
func (n *Node) Disorder() time.Duration { return max(n.disorder, n.Store.Disorder()) }

// Shared implements eventstore.Shared.
func (n *Node) Shared() bool { return true }

// Append implements eventstore.Appender.
func (n *Node) Append(ctx context.Context, stream string, expected eventstore.Expected, events []eventstore.Proposed) (eventstore.Appended, error) {
	a, err := n.Store.append(ctx, stream, expected, events, n.stamp(stream), false)
	for i := range a.Records {
		a.Records[i].Sequence = 0
	}
	return a, err
}

// stamp is the time of an append to the stream, asked for under the lock.
func (n *Node) stamp(stream string) func() time.Time {
	return func() time.Time {
		at := n.clock()
		if indexes := n.streams[stream]; len(indexes) > 0 {
			if last := n.records[indexes[len(indexes)-1]].RecordedAt; at.Before(last) {
				return last
			}
		}
		return at
	}
}
