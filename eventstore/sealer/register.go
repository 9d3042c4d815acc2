package sealer

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/bridge"
)

// HandlerName is the name of the sealer's handler on a router.
const HandlerName = "sealer"

// linger is how long appends gather before they are looked at: nobody waits for
// less than the second between two checkpoints.
const linger = 100 * time.Millisecond

// Register puts the sealer on a router, fed by a subscription of its own from
// what is sealed. The router's owner runs and closes it; Close must come after.
func (s *Sealer) Register(router *bridge.Router, log eventstore.Follower, cfg bridge.Config, logger *slog.Logger) {
	cfg.From = s.Seen
	if cfg.Linger == 0 {
		cfg.Linger = linger
	}
	router.AddConsumerHandler(HandlerName, bridge.Topic, bridge.NewSubscriber(log, cfg, logger), s.handle)
}

func (s *Sealer) handle(m *message.Message) error {
	records, err := bridge.Records(m)
	if err != nil {
		return err
	}
	return s.See(m.Context(), records)
}

// See takes note of records that were appended, in sequence. Those it has seen
// are skipped. When a step's worth has gathered it seals at once, so that a log
// which is far behind is sealed in bounded memory.
func (s *Sealer) See(ctx context.Context, records []eventstore.Record) error {
	for _, r := range records {
		taken, err := s.see(r)
		for err == nil && !taken {
			if err = s.Tick(ctx); err == nil {
				taken, err = s.see(r)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// see reports whether the record was taken, or is of no interest; it is not while
// a step's worth waits to be sealed.
func (s *Sealer) see(r eventstore.Record) (taken bool, err error) {
	leaf := r.Leaf()
	s.mu.Lock()
	defer s.mu.Unlock()
	end := s.end()
	switch {
	case s.stopped != nil, r.Sequence <= end:
		return true, nil
	case r.Sequence != end+1:
		return false, fmt.Errorf("see record %d after record %d: records are not in sequence", r.Sequence, end)
	case len(s.seen) >= max(s.options.Step, int(s.wanted-min(s.wanted, s.published.size))):
		return false, nil
	case len(s.seen) == 0:
		s.since = s.options.Clock()
	}
	s.seen = append(s.seen, leaf)
	return true, nil
}

// CatchUp sees the log as it stands and adopts what the nodes published of it,
// without publishing anything: so that CopyHistory finds all of it here. It
// returns a *StopError when this node sees something else. Nothing else may feed
// the sealer.
func (s *Sealer) CatchUp(ctx context.Context) error {
	from, err := s.Seen(ctx)
	if err != nil {
		return err
	}
	for r, err := range s.options.Log.ReadAll(ctx, from+1) {
		if err != nil {
			return fmt.Errorf("see the log: %w", err)
		}
		taken, err := s.see(r)
		if err == nil && !taken {
			if err = s.take(ctx, s.adoptNow); err == nil {
				taken, err = s.see(r)
			}
		}
		if err != nil {
			return err
		}
		if !taken {
			break // the rest is not sealed
		}
	}
	err = s.take(ctx, func(ctx context.Context) error {
		s.others.followed = time.Time{} // what was said of checkpoints that were adopted since
		return s.adoptNow(ctx)
	})
	if err != nil {
		return err
	}
	if stopped := s.Status(ctx).Stopped; stopped != nil {
		return stopped
	}
	return nil
}

// Run ticks until ctx ends, then seals once more what was seen, so that a log
// that is put away is sealed to its end. It logs what may pass.
func (s *Sealer) Run(ctx context.Context, ticks <-chan time.Time) {
	news, end := s.watch(ctx)
	for ctx.Err() == nil {
		select {
		case <-ticks:
			s.try(ctx)
		case <-news:
			s.tryAdopt(ctx)
		case <-ctx.Done():
		}
	}
	end()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	s.try(last)
}

// closeTimeout bounds the last step of Run.
const closeTimeout = 10 * time.Second

func (s *Sealer) try(ctx context.Context) { s.complain(ctx, s.Tick(ctx)) }

func (s *Sealer) tryAdopt(ctx context.Context) { s.complain(ctx, s.take(ctx, s.adoptNow)) }

func (s *Sealer) complain(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil {
		s.log.Warn("sealing fails and is tried again in a second", "error", err)
	}
}
