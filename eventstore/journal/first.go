package journal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
)

// errMoved means that the state a decision was taken on was not the newest, and
// that it has been brought along.
var errMoved = errors.New("stream moved on")

// unrecorded answers a decision without events. Before the caller is told so,
// the log is asked whether the command was executed before: a repeat must see
// its first outcome, not the refusal that it causes itself. Nothing guards such
// a decision against a state that is behind, as the expected revision guards an
// append; so in a shared store the stream is read once more.
func (j *Journal) unrecorded(ctx context.Context, s *slot, x execution, refused error) (Outcome, error) {
	if err := j.confirm(ctx, s); err != nil {
		return Outcome{}, err
	}
	out, err := j.first(ctx, x)
	if errors.Is(err, eventstore.ErrNotFound) {
		return Outcome{}, refused
	}
	return out, err
}

// confirm returns errMoved when the slot's state was not the newest of a shared
// store.
func (j *Journal) confirm(ctx context.Context, s *slot) error {
	if !j.shared {
		return nil
	}
	moved, err := j.catchUp(ctx, s)
	if err == nil && moved {
		err = errMoved
	}
	return err
}

// before stands between a decision and what it leads to in a shared store. There
// an append recognises its own ids only where it expects them, so an earlier
// execution of the command, wherever it is, must be asked for: what it appended
// to this stream up to the state's end is found here, and behind that end the
// append is refused. done says that out is the answer.
//
// And what is written over in the keyring before the append must not be written
// for a decision on an old state, which the append would refuse too late.
func (j *Journal) before(ctx context.Context, s *slot, x execution, events []domain.Event) (out Outcome, done bool, err error) {
	if !j.shared {
		return Outcome{}, false, nil
	}
	out, err = j.first(ctx, x)
	switch {
	case err == nil && out.Events[len(out.Events)-1].Revision < s.last.Next():
		return out, true, nil
	case err == nil: // from another process, and this one's state does not have it yet
		_, err = j.catchUp(ctx, s)
		return out, true, err
	case !errors.Is(err, eventstore.ErrNotFound):
		return Outcome{}, false, err
	case overwrites(events):
		return Outcome{}, false, j.confirm(ctx, s)
	}
	return Outcome{}, false, nil
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
			ID: r.ID, Type: r.Type, Event: d.Event, Revision: r.Revision,
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
// slot stays doubtful until the stream has grown without it, which proves that it
// cannot. When somebody else has grown it by then, settle returns
// eventstore.ErrConflict and the command is decided anew.
//
// In a shared store another node may have carried the same command out, from the
// same state at the same microsecond, and then nothing in its records tells them
// from ours. Two nodes must never both believe that they were the first: what
// follows once from a command, such as a message, would happen twice. So there
// the answer is that it was done before, though it may have been done by us.
func (j *Journal) settle(ctx context.Context, s *slot, x execution, now time.Time, lost error) (Outcome, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readBackTimeout)
	defer cancel()
	expected := s.last
	s.mu.Lock()
	s.doubtful = true
	s.mu.Unlock()
	if _, err := j.catchUp(ctx, s); err != nil {
		return Outcome{}, fmt.Errorf("execute %s: %w; reading it back: %w", x.Command.Name(), lost, err)
	}
	out, err := j.first(ctx, x)
	absent := errors.Is(err, eventstore.ErrNotFound)
	switch {
	case absent && s.last == expected:
		return Outcome{}, fmt.Errorf("execute %s: %w", x.Command.Name(), lost)
	case err != nil && !absent:
		return Outcome{}, fmt.Errorf("execute %s: %w; reading it back: %w", x.Command.Name(), lost, err)
	}
	s.mu.Lock()
	s.doubtful = false // it landed, or what it expected is past; nothing else is under way
	s.mu.Unlock()
	if absent {
		return Outcome{}, fmt.Errorf("execute %s: another append took its place: %w", x.Command.Name(), eventstore.ErrConflict)
	}
	// Ours, or that of an earlier execution this state did not know?
	out.Replayed = j.shared || out.Events[0].Revision != expected.Next() || !out.Events[0].OccurredAt.Equal(now)
	return out, nil
}
