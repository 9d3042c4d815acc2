package journal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
)

// unrecorded answers a decision without events. Before the caller is told so,
// the log is asked whether the command was executed before: a repeat must see
// its first outcome, not the refusal that it causes itself.
func (j *Journal) unrecorded(ctx context.Context, x execution, refused error) (Outcome, error) {
	out, err := j.first(ctx, x)
	if errors.Is(err, eventstore.ErrNotFound) {
		return Outcome{}, refused
	}
	return out, err
}

// first reads back what the command id led to, in any stream. It returns
// eventstore.ErrNotFound when there is nothing, and IDEMPOTENCY_CONFLICT when
// the id belongs to another command.
func (j *Journal) first(ctx context.Context, x execution) (Outcome, error) {
	r, err := j.store.ByID(ctx, eventstore.EventIDOf(x.CommandID, 0))
	if err != nil {
		return Outcome{}, fmt.Errorf("read first outcome of command %s: %w", x.CommandID, err)
	}
	d, err := j.codec.Decode(r)
	if err != nil {
		return Outcome{}, fmt.Errorf("read first outcome of command %s: %w", x.CommandID, err)
	}
	if d.Meta.CommandID != x.CommandID || d.Meta.Command != x.Command.Name() || d.Meta.Digest != x.digest {
		return Outcome{}, &domain.Error{Code: domain.IdempotencyConflict, Detail: "this command id was used for another request; use a new one"}
	}
	out, err := j.readOutcome(ctx, r, d.Meta.Count)
	if err != nil {
		return Outcome{}, fmt.Errorf("read first outcome of command %s: %w", x.CommandID, err)
	}
	return out, nil
}

// readOutcome reads the n records of one append, which are contiguous.
func (j *Journal) readOutcome(ctx context.Context, first eventstore.Record, n int) (Outcome, error) {
	out := Outcome{Replayed: true}
	for r, err := range j.store.ReadStream(ctx, first.Stream, first.Revision) {
		if err != nil {
			return Outcome{}, err
		}
		d, err := j.codec.Decode(r)
		if err != nil {
			return Outcome{}, err
		}
		if r.ID != eventstore.EventIDOf(d.Meta.CommandID, len(out.Events)) {
			return Outcome{}, fmt.Errorf("%w: revision %d of %s is not part of the append", errBroken, r.Revision, r.Stream)
		}
		out.Events = append(out.Events, Recorded{
			ID: r.ID, Type: r.Type, Event: d.Event, Revision: r.Revision, Sequence: r.Sequence,
			OccurredAt: d.Meta.OccurredAt, RecordedAt: r.RecordedAt,
		})
		out.Position = r.Position
		if len(out.Events) == n {
			return out, nil
		}
	}
	return Outcome{}, fmt.Errorf("%w: %d of %d events from revision %d of %s", errBroken, len(out.Events), n, first.Revision, first.Stream)
}

// settle finds out what became of an append whose answer was lost. It never
// sends anything again: an append that was not found may still land, so the
// slot stays doubtful until a later append proves that it cannot.
func (j *Journal) settle(ctx context.Context, s *slot, x execution, now time.Time, lost error) (Outcome, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readBackTimeout)
	defer cancel()
	expected := s.last
	s.mu.Lock()
	s.doubtful = true
	s.mu.Unlock()
	if err := j.catchUp(ctx, s); err != nil {
		return Outcome{}, fmt.Errorf("execute %s: %w; reading it back: %w", x.Command.Name(), lost, err)
	}
	out, err := j.first(ctx, x)
	switch {
	case errors.Is(err, eventstore.ErrNotFound):
		return Outcome{}, fmt.Errorf("execute %s: %w", x.Command.Name(), lost)
	case err != nil:
		return Outcome{}, fmt.Errorf("execute %s: %w; reading it back: %w", x.Command.Name(), lost, err)
	}
	s.mu.Lock()
	s.doubtful = false // it landed; nothing else is under way
	s.mu.Unlock()
	// Ours, or that of an earlier execution this state did not know?
	out.Replayed = out.Events[0].Revision != expected.Next() || !out.Events[0].OccurredAt.Equal(now)
	return out, nil
}
