package esdbstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"github.com/authledger/authledger/eventstore"
)

// inFlight is how many records of a group lie with one consumer at once. It
// must hold those that are being worked on and a few that wait; what waits
// longer than the lease is handed to somebody else.
const inFlight = 32

// Share implements eventstore.Sharer by a persistent subscription to $all, which
// the database keeps for the group: by event type, records of one stream to one
// consumer (the strategy "Pinned"). Records of other ledgers in the database are
// passed over.
func (s *Store) Share(ctx context.Context, group string, types []string, lease time.Duration) iter.Seq2[eventstore.Handed, error] {
	return func(yield func(eventstore.Handed, error) bool) {
		err := s.share(ctx, group, types, lease, yield)
		if err != nil && ctx.Err() == nil {
			yield(eventstore.Handed{}, outside("share "+group, s.ending(ctx, err)))
		}
	}
}

func (s *Store) share(ctx context.Context, group string, types []string, lease time.Duration, yield func(eventstore.Handed, error) bool) error {
	own, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if len(types) == 0 || lease < leastLease || lease > mostLease || eventstore.CheckStream(group) != nil {
		return fmt.Errorf("%w: share %q: want a name, types, and a lease from %s to %s", eventstore.ErrInvalid, group, leastLease, mostLease)
	}
	name := s.names.prefix + group
	// A node's user may mostly not make groups; then an administrator has.
	if err := s.ensureGroup(own, name, types, lease, esdb.Start{}); err != nil && classify(err) != denied {
		return err
	}
	h, err := s.db.acquire(own)
	if err != nil {
		return err
	}
	m := &membership{s: s, h: h, types: types}
	defer func() { s.db.release(h, err) }()
	listening, cancel := context.WithCancel(leader(own))
	defer cancel()
	m.sub, err = guard(own, h, func() (*esdb.PersistentSubscription, error) {
		return h.client.SubscribeToPersistentSubscriptionToAll(listening, name, esdb.SubscribeToPersistentSubscriptionOptions{BufferSize: inFlight})
	})
	if classify(err) == missing {
		return errNoGroup
	}
	if err != nil {
		return err
	}
	defer m.end()
	err = m.hand(own, yield)
	return err
}

// ensureGroup makes the group unless it is there. An operator may change it; it
// is not changed back.
func (s *Store) ensureGroup(ctx context.Context, name string, types []string, lease time.Duration, from esdb.AllPosition) error {
	set := esdb.SubscriptionSettingsDefault()
	set.ConsumerStrategyName = esdb.ConsumerStrategyPinned
	set.MessageTimeout = int32(lease.Milliseconds())
	set.MaxRetryCount = 1 << 30 // a record is never parked: it would be left out silently
	set.CheckpointLowerBound, set.CheckpointUpperBound, set.CheckpointAfter = 1, 100, 1000
	_, err := patient(ctx, s.db, func(ctx context.Context, c *esdb.Client) (struct{}, error) {
		return struct{}{}, c.CreatePersistentSubscriptionToAll(ctx, name, esdb.PersistentAllSubscriptionOptions{
			Settings: &set, StartFrom: from, MaxSearchWindow: 500,
			Filter: &esdb.SubscriptionFilter{Type: esdb.EventFilterType, Prefixes: types},
		})
	})
	if classify(err) == exists {
		return nil
	}
	return err
}

// BeginGroup makes a group that begins behind a record, unless there is one of
// that name: for a log that was moved here, whose records up to there were dealt
// with where it came from. It needs an administrator.
func (s *Store) BeginGroup(ctx context.Context, g eventstore.Group, done eventstore.Sequence) error {
	own, leave, err := s.enter(ctx)
	if err != nil {
		return outside("begin the group "+g.Name, err)
	}
	defer leave()
	var from esdb.AllPosition = esdb.Start{}
	if done > 0 {
		at, ok, err := s.index.position(own, done)
		if err != nil || !ok {
			return outside("begin the group "+g.Name, errors.Join(err, fmt.Errorf("%w: record %d", eventstore.ErrNotFound, done)))
		}
		from = at
	}
	return outside("begin the group "+g.Name, s.ending(ctx, s.ensureGroup(own, s.names.prefix+g.Name, g.Types, g.Lease, from)))
}

// errNoGroup tells an operator what is missing.
var errNoGroup = fmt.Errorf("%w: the group of consumers does not exist and this user may not make it; run authledger store prepare as an administrator", eventstore.ErrUnavailable)

// membership is one consumer of a group.
type membership struct {
	s     *Store
	h     *holder
	types []string
	sub   *esdb.PersistentSubscription

	mu       sync.Mutex // makes those who answer take turns; guards what follows
	ended    bool
	answered time.Time // the last answer was handed to the library
}

// linger is how long an answer is given to leave before the subscription closes.
// The library closes by cancelling, which drops what it has not sent yet, and
// offers no way to wait for that.
const linger = 100 * time.Millisecond

func (m *membership) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ended = true
	if rest := linger - time.Since(m.answered); rest > 0 {
		time.Sleep(rest)
	}
	_ = m.sub.Close() // never fails
}

// hand yields records until the group or the consumer has had enough.
func (m *membership) hand(ctx context.Context, yield func(eventstore.Handed, error) bool) error {
	for {
		e := m.sub.Recv()
		if e.SubscriptionDropped != nil {
			return dropped(ctx, e.SubscriptionDropped)
		}
		if e.EventAppeared == nil {
			continue
		}
		handed, mine, err := m.handed(ctx, e.EventAppeared)
		if err != nil {
			return err
		}
		if mine && !yield(handed, nil) {
			return nil
		}
	}
}

// handed makes a record of an event. One that is not of this ledger, or of a
// type that only begins like a wanted one, is done with.
func (m *membership) handed(ctx context.Context, e *esdb.EventAppeared) (eventstore.Handed, bool, error) {
	r := e.Event.OriginalEvent()
	if !m.s.isRecord(r) || !slices.Contains(m.types, r.EventType) {
		return eventstore.Handed{}, false, m.answer(ctx, func() error { return m.sub.Ack(e.Event) })
	}
	i, err := m.s.incoming(r)
	if err != nil {
		return eventstore.Handed{}, false, err
	}
	one := []item{i}
	if err := m.s.numbered(ctx, one); err != nil {
		return eventstore.Handed{}, false, err
	}
	return eventstore.Handed{
		Record: one[0].Record, Retries: e.RetryCount,
		Done: func(ctx context.Context) error { return m.answer(ctx, func() error { return m.sub.Ack(e.Event) }) },
		Again: func(ctx context.Context) error {
			return m.answer(ctx, func() error { return m.sub.Nack("again", esdb.NackActionRetry, e.Event) })
		},
	}, true, nil
}

// answer tells the group something. The database does not say that it heard; a
// connection that broke meanwhile has the record come again.
func (m *membership) answer(ctx context.Context, send func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ended {
		return fmt.Errorf("answer the group: %w: the consumer has left it", eventstore.ErrUnavailable)
	}
	if err := send(); err != nil {
		return outside("answer the group", err)
	}
	m.answered = time.Now()
	return nil
}

// The database counts a lease in milliseconds, and looks at its clock about once
// a second.
const (
	leastLease = time.Second
	mostLease  = math.MaxInt32 * time.Millisecond
)
