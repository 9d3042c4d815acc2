package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/authledger/authledger/eventstore"
)

// errShareEnded is a Sharer that stopped although its context lives, which its
// contract forbids; it is treated like any store error.
var errShareEnded = errors.New("sharing ended early")

// SharedConfig says how a shared subscriber delivers. The zero value is usable.
type SharedConfig struct {
	// Lease is how long the group waits for word of a record before it hands it
	// to another consumer; a minute. A message is handed to its handler in the
	// first quarter of it or not at all, and the message's context ends with the
	// third, so that what a handler does is over, and told to the group, before
	// another one can begin.
	Lease time.Duration
	// InFlight is the greatest number of records in this consumer's hands; 16.
	// The router runs a goroutine for each.
	InFlight int
	// Grace, StorePause, NackPause and Now are those of Config.
	Grace      time.Duration
	StorePause Backoff
	NackPause  Backoff
	Now        func() time.Time
}

func (c SharedConfig) withDefaults() SharedConfig {
	if c.Lease <= 0 {
		c.Lease = time.Minute
	}
	if c.InFlight <= 0 {
		c.InFlight = 16
	}
	d := Config{Grace: c.Grace, StorePause: c.StorePause, NackPause: c.NackPause, Now: c.Now}.withDefaults()
	c.Grace, c.StorePause, c.NackPause, c.Now = d.Grace, d.StorePause, d.NackPause, d.Now
	return c
}

// NewSharedSubscriber returns a subscriber of Topic whose subscriptions are
// consumers of a group: each record of the wanted types goes to one consumer, on
// whatever node, at least once. Its messages carry one record each; those of one
// stream come one after the other, of different streams at the same time.
//
// A refused message comes again as a new one after a pause, here for as long as
// the lease allows and then wherever the group hands it. What follows it in its
// stream waits or overtakes it, as the group pleases; other streams go on.
func NewSharedSubscriber(sharer eventstore.Sharer, group string, types []string, cfg SharedConfig, logger *slog.Logger) *Subscriber {
	cfg = cfg.withDefaults()
	s := newSubscriber(cfg.Now)
	s.open = func(topic string) (source, error) {
		if topic != Topic {
			return nil, fmt.Errorf("subscribe to %q: the only topic is %q", topic, Topic)
		}
		return &share{
			subscription: subscription{name: group, storePause: cfg.StorePause, trouble: s.trouble, log: logger},
			sharer:       sharer, types: types, cfg: cfg,
			seats: make(chan struct{}, cfg.InFlight), lanes: map[string][]task{},
		}, nil
	}
	return s
}

// share is one consumer of a group.
type share struct {
	subscription
	sharer eventstore.Sharer
	types  []string
	cfg    SharedConfig
	seats  chan struct{} // holds one for each record in our hands

	mu     sync.Mutex        // guards lanes and closed, and running against a Wait that begins
	lanes  map[string][]task // what waits behind the record being handled, by stream
	closed bool
	// running counts the lanes. Each ends with its last record, or a grace period
	// after the subscription; run waits for them.
	running sync.WaitGroup
}

// task is a record in our hands.
type task struct {
	eventstore.Handed
	joined context.Context // ends when the group takes back what we hold
	taken  time.Time
}

// quarter is a part of the lease; see SharedConfig.Lease.
func (s *share) quarter(t task, n time.Duration) time.Time {
	return t.taken.Add(n * s.cfg.Lease / 4)
}

// run takes part in the group until ctx ends, joining again after an error.
func (s *share) run(ctx context.Context, out chan<- *message.Message) {
	defer s.stop()
	for failures := 0; ctx.Err() == nil; {
		got, err := s.join(ctx, out)
		if ctx.Err() != nil {
			return
		}
		if got > 0 {
			failures = 0
		}
		failures++
		s.trouble.report(&s.subscription, fmt.Errorf("share the log in group %s: %w", s.name, err))
		wait(ctx, s.storePause.after(failures))
	}
}

// join takes records until ctx ends or the group fails, and tells how many.
// When ctx ends it stays in the group until every record being handled is
// answered for, so that nobody else begins with it.
func (s *share) join(ctx context.Context, out chan<- *message.Message) (got int, err error) {
	joined, leave := context.WithCancel(context.WithoutCancel(ctx))
	var watch sync.WaitGroup
	watch.Go(func() { s.watch(ctx, joined, leave) })
	defer watch.Wait()
	defer leave()
	for h, err := range s.sharer.Share(joined, s.name, s.types, s.cfg.Lease) {
		if err != nil {
			return got, err
		}
		s.trouble.clear(&s.subscription)
		got++
		if !s.take(ctx, task{Handed: h, joined: joined, taken: time.Now()}, out) {
			<-joined.Done()
		}
	}
	return got, errShareEnded
}

// settled is how long a group that says nothing is taken to be well.
const settled = 5 * time.Second

// watch leaves the group when ctx has ended and the last lane too.
func (s *share) watch(ctx, joined context.Context, leave func()) {
	t := time.NewTimer(settled)
	defer t.Stop()
	for {
		select {
		case <-joined.Done():
			return
		case <-t.C:
			s.trouble.clear(&s.subscription)
		case <-ctx.Done():
			s.stop()
			leave()
			return
		}
	}
}

// stop lets no lane begin any more and waits for those that run.
func (s *share) stop() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.running.Wait()
}

// take puts a record into its stream's lane, when there is a seat. It reports
// false when the subscription has ended.
func (s *share) take(ctx context.Context, t task, out chan<- *message.Message) bool {
	select {
	case s.seats <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	waiting, runs := s.lanes[t.Stream]
	s.lanes[t.Stream] = append(waiting, t)
	if !runs {
		s.running.Go(func() { s.lane(ctx, t.Stream, out) })
	}
	return true
}

// lane handles the records of one stream until none waits.
func (s *share) lane(ctx context.Context, stream string, out chan<- *message.Message) {
	for {
		s.mu.Lock()
		waiting := s.lanes[stream]
		if len(waiting) == 0 {
			delete(s.lanes, stream)
			s.mu.Unlock()
			return
		}
		s.lanes[stream] = waiting[1:]
		s.mu.Unlock()
		s.handle(ctx, waiting[0], out)
		<-s.seats
	}
}

// handle hands a record out until it is acknowledged, or gives it back. One that
// the group has taken back meanwhile, or will when we leave, is not begun.
func (s *share) handle(ctx context.Context, t task, out chan<- *message.Message) {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	for failures := t.Retries + 1; ctx.Err() == nil && t.joined.Err() == nil; failures++ {
		if time.Now().After(s.quarter(t, 1)) {
			s.answer(t, t.Again)
			break
		}
		switch s.send(ctx, life, t, out) {
		case acked:
			s.answer(t, t.Done)
			end()
			return
		case stopped:
			end()
			return
		case nacked:
			// Where a failing record waits for its next attempt, its stream waits too.
			if !wait(ctx, min(s.cfg.NackPause.after(failures), time.Until(s.quarter(t, 3)))) {
				end()
				return
			}
		}
	}
	// It will probably come again. Until then it counts as failing here, if it did.
	time.AfterFunc(s.cfg.Lease, end)
}

// send hands out one message and waits for its answer.
func (s *share) send(ctx, life context.Context, t task, out chan<- *message.Message) outcome {
	records := []eventstore.Record{t.Record}
	m, err := batchMessage(records)
	if err != nil {
		s.log.Error("message cannot be built", "subscription", s.name, "error", err)
		return nacked
	}
	own := context.WithValue(withRecords(life, records), lifeKey{}, life)
	own, cancel := context.WithDeadline(own, s.quarter(t, 3))
	defer cancel()
	m.SetContext(own)
	select {
	case out <- m:
	case <-own.Done(): // nobody takes messages
		return nacked
	case <-ctx.Done():
		return stopped
	}
	return s.await(ctx, m, s.cfg.Grace, t.Sequence)
}

// answer tells the group about a record. When the group does not hear of it the
// record comes again, which is harmless.
func (s *share) answer(t task, tell func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.joined), s.cfg.Grace)
	defer cancel()
	if err := tell(ctx); err != nil {
		s.log.Warn("the group did not hear what became of a record; it comes again", "subscription", s.name, "sequence", t.Sequence, "error", err)
	}
}

// lifeKey is the context key of a shared record's life on this node, a context
// that ends when the record is done, or was given back and did not come again
// for a lease.
type lifeKey struct{}
