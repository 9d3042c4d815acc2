package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/authledger/authledger/eventstore"
)

// errFollowEnded is a follower that stopped although its context lives, which
// its contract forbids; it is treated like any store error.
var errFollowEnded = errors.New("follower ended early")

// feed is one subscription: the delivery loop of those who follow the log. Its fields
// do not change; everything that does is in the cursor, which belongs to the
// goroutine of run.
type feed struct {
	subscription
	follower   eventstore.Follower
	fetch      int                          // records asked of the follower at once
	perMessage int                          // records in one message, at most
	pick       func(eventstore.Record) bool // nil takes every record
	build      func([]eventstore.Record) (*message.Message, error)
	load       func(context.Context) (eventstore.Sequence, error)
	save       func(context.Context, eventstore.Sequence) error // nil when the consumer stores its position
	linger     time.Duration                                    // least time from one batch to the next; see Config
	hurry      func() <-chan struct{}                           // required when linger is not zero
	grace      time.Duration
	nackPause  Backoff
}

// skipsPerSave bounds how many records a feed that takes few of them reads
// again after a restart.
const skipsPerSave = 1000

// cursor is how far a feed has come.
type cursor struct {
	at    eventstore.Sequence // everything up to here is acknowledged or not ours
	saved eventstore.Sequence // and this much of it is in the checkpoint
}

// outcome is what became of one message.
type outcome int

const (
	acked outcome = iota
	nacked
	stopped
)

// run delivers until ctx ends. A store that fails is asked again after a
// pause: out must not close on an error that may pass, because a closed
// channel ends the handler and, with the last handler, the router.
func (f *feed) run(ctx context.Context, out chan<- *message.Message) {
	start, ok := retry(ctx, &f.subscription, "load position", f.load)
	if !ok {
		return
	}
	c := &cursor{at: start, saved: start}
	for failures := 0; ctx.Err() == nil; {
		before := c.at
		err := f.follow(ctx, c, out)
		if ctx.Err() != nil {
			return
		}
		if c.at > before {
			failures = 0
		}
		failures++
		f.trouble.report(&f.subscription, fmt.Errorf("follow the log after %d: %w", c.at, err))
		wait(ctx, f.storePause.after(failures))
	}
}

// follow delivers from the cursor on. It returns when ctx ends or with the
// reason it cannot go on.
func (f *feed) follow(ctx context.Context, c *cursor, out chan<- *message.Message) error {
	for batch, err := range f.follower.Follow(ctx, c.at, f.fetch) {
		if err != nil {
			return err
		}
		if len(batch) == 0 {
			continue
		}
		f.trouble.clear(&f.subscription)
		arrived, full := time.Now(), len(batch) >= f.fetch
		last := batch[len(batch)-1].Sequence
		if f.pick != nil {
			batch = slices.DeleteFunc(batch, func(r eventstore.Record) bool { return !f.pick(r) })
		}
		if !f.deliver(ctx, c, batch, out) {
			return nil
		}
		c.at = last
		if f.save != nil && c.at >= c.saved+skipsPerSave {
			f.checkpoint(ctx, c)
		}
		if !full {
			f.gather(ctx, f.linger-time.Since(arrived))
		}
	}
	return errFollowEnded
}

// gather lets records come together in the log, which holds them anyway, until
// the time is over, somebody is in a hurry, or ctx ends.
func (f *feed) gather(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-f.hurry():
	case <-ctx.Done():
	}
}

// deliver sends the records in order and reports whether all of them are
// acknowledged. A message that is refused comes again as a new message with
// half of its records, so that a record no handler can take ends up alone and
// everything before it is done; full size returns behind the refused range.
func (f *feed) deliver(ctx context.Context, c *cursor, records []eventstore.Record, out chan<- *message.Message) bool {
	size, refused, failures := f.perMessage, eventstore.Sequence(0), 0
	for len(records) > 0 {
		part := records[:min(size, len(records))]
		last := part[len(part)-1].Sequence
		switch f.send(ctx, part, out) {
		case stopped:
			return false
		case nacked:
			refused = last
			if len(part) > 1 {
				size = (len(part) + 1) / 2
			}
			failures++
			if !wait(ctx, f.nackPause.after(f.level(failures, len(part)))) {
				return false
			}
		case acked:
			records = records[len(part):]
			c.at, failures = last, 0
			if f.save != nil {
				f.checkpoint(ctx, c)
			}
			if last >= refused {
				size = f.perMessage
			}
		}
	}
	return ctx.Err() == nil
}

// level keeps the pause short while a refused range still shrinks.
func (f *feed) level(failures, records int) int {
	if records > 1 {
		return 1
	}
	return failures
}

// send hands out one message and waits for its answer. When ctx ends first,
// the consumer keeps the message, with a living context, for the grace period:
// the router cancels its subscriptions before its handlers are done.
func (f *feed) send(ctx context.Context, records []eventstore.Record, out chan<- *message.Message) outcome {
	m, ok := f.message(ctx, records)
	if !ok || ctx.Err() != nil { // select below would choose at random
		return stopped
	}
	own, cancel := context.WithCancel(withRecords(context.WithoutCancel(ctx), records))
	defer cancel()
	m.SetContext(own)
	select {
	case out <- m:
	case <-ctx.Done():
		return stopped
	}
	return f.await(ctx, m, f.grace, records[0].Sequence)
}

// await waits for a message's answer, when ctx ends no longer than grace.
func (s *subscription) await(ctx context.Context, m *message.Message, grace time.Duration, first eventstore.Sequence) outcome {
	select {
	case <-m.Acked():
		return acked
	case <-m.Nacked():
		return nacked
	case <-ctx.Done():
	}
	t := time.NewTimer(grace)
	defer t.Stop()
	select {
	case <-m.Acked():
		return acked
	case <-m.Nacked():
	case <-t.C:
		s.log.Warn("message given up at shutdown", "subscription", s.name, "sequence", first)
	}
	return stopped
}

// message builds the message. Records it cannot be built from stop the feed at
// their place, loudly, until somebody repairs the cause; they are not skipped.
func (f *feed) message(ctx context.Context, records []eventstore.Record) (*message.Message, bool) {
	return retry(ctx, &f.subscription, "build message", func(context.Context) (*message.Message, error) {
		m, err := f.build(records)
		if err != nil {
			return nil, fmt.Errorf("record %d: %w", records[0].Sequence, err)
		}
		return m, nil
	})
}

// checkpoint stores the cursor. It starts even when ctx has ended, because the
// acknowledgement may have come in the grace period. Giving up at shutdown
// costs a repeated delivery, not a lost one.
func (f *feed) checkpoint(ctx context.Context, c *cursor) {
	_, ok := retry(ctx, &f.subscription, "save position", func(ctx context.Context) (struct{}, error) {
		own, cancel := context.WithTimeout(context.WithoutCancel(ctx), f.grace)
		defer cancel()
		return struct{}{}, f.save(own, c.at)
	})
	if ok {
		c.saved = c.at
	}
}

// retry calls do, at least once, until it succeeds or ctx ends.
func retry[T any](ctx context.Context, f *subscription, what string, do func(context.Context) (T, error)) (T, bool) {
	for failures := 1; ; failures++ {
		v, err := do(ctx)
		if err == nil {
			f.trouble.clear(f)
			return v, true
		}
		if ctx.Err() == nil {
			f.trouble.report(f, fmt.Errorf("%s: %w", what, err))
		}
		if !wait(ctx, f.storePause.after(failures)) {
			var zero T
			return zero, false
		}
	}
}
