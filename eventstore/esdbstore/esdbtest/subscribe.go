package esdbtest

import (
	"context"
	"math"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc/status"
)

// subscription is a catch-up subscription: it confirms, sends what is behind
// its start, says when it has caught up, and goes on with what is written.
type subscription struct {
	out    *delivery
	stream string // empty for $all
	match  filter
	every  uint64 // events looked at between two checkpoints; 0: none by count

	// Where it stands: of $all the position of the last event looked at, of a
	// stream the revision after the last event sent.
	position uint64
	next     uint64

	looked     uint64 // since the last checkpoint
	checkpoint uint64 // the last one sent
	live       bool
}

func (s *streamsService) subscribe(options *streams.ReadReq_Options, out *delivery) error {
	out.duplicates = true
	match, err := filterOf(options)
	if err != nil {
		return err
	}
	sub := &subscription{out: out, match: match}
	if f := options.GetFilter(); f != nil {
		sub.every = uint64(f.GetMax()) * uint64(max(1, f.GetCheckpointIntervalMultiplier()))
	}
	below, _ := s.m.horizon()
	if all := options.GetAll(); all != nil {
		sub.startAll(all, s.m.server.log.readAll(below))
	} else if err := sub.startStream(options.GetStream(), s.m.server.log, below); err != nil {
		return refused(out.call.Context(), sub.stream, err)
	}
	if err := out.call.Send(&streams.ReadResp{Content: &streams.ReadResp_Confirmation{
		Confirmation: &streams.ReadResp_SubscriptionConfirmation{SubscriptionId: uuid.NewString()},
	}}); err != nil {
		return err
	}
	return sub.run(out.call.Context())
}

// startAll stands on the given position: the subscription begins after it.
func (s *subscription) startAll(from *streams.ReadReq_Options_AllOptions, events []*Event) {
	switch {
	case from.GetPosition() != nil:
		s.position = from.GetPosition().GetCommitPosition()
	case from.GetEnd() != nil && len(events) > 0:
		s.position = events[len(events)-1].Position
	}
	s.checkpoint = s.position
}

func (s *subscription) startStream(from *streams.ReadReq_Options_StreamOptions, log *ledger, below uint64) error {
	s.stream = string(from.GetStreamIdentifier().GetStreamName())
	events, _, err := log.read(s.stream, below)
	switch {
	case err != nil:
		return err
	case from.GetEnd() != nil && len(events) > 0:
		s.next = events[len(events)-1].Revision + 1
	case from.GetStart() == nil && from.GetEnd() == nil && from.GetRevision() < math.MaxUint64:
		s.next = from.GetRevision() + 1
	}
	return nil
}

func (s *subscription) run(ctx context.Context) error {
	for {
		below, changed := s.out.m.horizon()
		if err := s.deliver(below); err != nil {
			return err
		}
		if err := s.caughtUp(); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
}

func (s *subscription) deliver(below uint64) error {
	if s.stream != "" {
		return s.deliverStream(below)
	}
	events := s.out.m.server.log.readAll(below)
	for _, e := range events[after(events, s.position+1):] {
		if s.match.matches(e) {
			if err := s.out.send(e); err != nil {
				return err
			}
		}
		s.position = e.Position
		if s.looked++; s.every > 0 && s.looked >= s.every {
			if err := s.sendCheckpoint(); err != nil {
				return err
			}
		}
	}
	return s.out.broken()
}

func (s *subscription) deliverStream(below uint64) error {
	events, _, err := s.out.m.server.log.read(s.stream, below)
	if err != nil {
		return refused(s.out.call.Context(), s.stream, err)
	}
	for _, e := range fromRevision(events, s.next) {
		if err := s.out.send(e); err != nil {
			return err
		}
		s.next = e.Revision + 1
	}
	return s.out.broken()
}

// caughtUp says once that the subscription is live, with a checkpoint before it
// when there is a filter.
func (s *subscription) caughtUp() error {
	if s.live {
		return nil
	}
	s.live = true
	if s.every > 0 && s.position > s.checkpoint {
		if err := s.sendCheckpoint(); err != nil {
			return err
		}
	}
	if err := s.out.m.server.faults.thawed(s.out.call.Context()); err != nil {
		return err
	}
	return s.out.call.Send(&streams.ReadResp{Content: &streams.ReadResp_CaughtUp_{CaughtUp: &streams.ReadResp_CaughtUp{}}})
}

func (s *subscription) sendCheckpoint() error {
	s.looked, s.checkpoint = 0, s.position
	if err := s.out.m.server.faults.thawed(s.out.call.Context()); err != nil {
		return err
	}
	return s.out.call.Send(&streams.ReadResp{Content: &streams.ReadResp_Checkpoint_{
		Checkpoint: &streams.ReadResp_Checkpoint{CommitPosition: s.position, PreparePosition: s.position},
	}})
}
