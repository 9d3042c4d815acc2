package sealer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/merkle"
)

// watch tells when other nodes publish, until ctx ends; end returns after that.
// It may miss some: see lookEvery.
func (s *Sealer) watch(ctx context.Context) (news <-chan struct{}, end func()) {
	if s.shared == nil {
		return nil, func() {}
	}
	told, done := make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			s.listen(ctx, told)
			pause(ctx, watchAgain)
		}
	}()
	return told, func() { <-done }
}

func (s *Sealer) listen(ctx context.Context, told chan<- struct{}) {
	s.listening.Store(true)
	defer s.listening.Store(false)
	for stream, err := range s.options.Side.WatchSide(ctx, sideCheckpoints) {
		if err != nil {
			s.log.Warn("checkpoints of other nodes are not told and are looked for instead", "error", err)
			return
		}
		if stream != sideCheckpoints {
			continue
		}
		select {
		case told <- struct{}{}:
		default: // it is told already
		}
	}
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// otherNames returns the name that another node gives the log at this moment,
// or eventstore.ErrNotFound when it is up to this one: of two nodes that make
// the first key at once, one would make a key that is never used, and the next
// key would not follow the first.
func (s *Sealer) otherNames(ctx context.Context) (merkle.Keys, error) {
	err := s.options.Side.AppendSide(ctx, sideFirst, 0, []byte(`{}`))
	switch {
	case err == nil:
		return merkle.Keys{}, eventstore.ErrNotFound
	case !errors.Is(err, eventstore.ErrConflict) && !errors.Is(err, eventstore.ErrOutcomeUnknown):
		return merkle.Keys{}, fmt.Errorf("name the log: %w", err)
	}
	for range nameWait / namePoll {
		kept, err := s.shared.named(ctx)
		if err == nil {
			return s.shared.proof.Begin(ctx, kept)
		}
		if !errors.Is(err, eventstore.ErrNotFound) {
			return kept, err
		}
		if pause(ctx, namePoll); ctx.Err() != nil {
			return kept, ctx.Err()
		}
	}
	return merkle.Keys{}, eventstore.ErrNotFound // the other one ended before it was done
}
