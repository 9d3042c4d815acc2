package sealer

import (
	"context"
	"fmt"
	"time"

	"github.com/authledger/authledger/eventstore"
)

// StopReason says why sealing stopped. The texts are stable: runbooks and alarms
// name them.
type StopReason string

// The reasons. None of them passes by itself.
const (
	SizeBack      StopReason = "size_back"      // the ledger lost records that were appended
	TimeBack      StopReason = "time_back"      // the clock was set back behind the newest checkpoint
	RecordChanged StopReason = "record_changed" // a record is not what was appended
	BackDated     StopReason = "back_dated"     // a record claims a time that was sealed already
	TreeChanged   StopReason = "tree_changed"   // the tiles do not have the root that was signed
	RevisionTaken StopReason = "revision_taken" // somebody else published a checkpoint; on several nodes: one was taken away
	KeyUnknown    StopReason = "key_unknown"    // the log announces a signing key out of order

	// Of several nodes, about what another one published.
	RootDiffers  StopReason = "root_differs"  // its tree has another root for that size
	HistoryBack  StopReason = "history_back"  // its size or time goes back
	SignatureBad StopReason = "signature_bad" // it is no checkpoint, or not signed by the key in force
)

// StopError is a contradiction between the ledger and what was seen or
// published.
type StopError struct {
	Reason StopReason
	Detail string // sequences and ids; never content
}

func (e *StopError) Error() string { return fmt.Sprintf("sealing stopped: %s: %s", e.Reason, e.Detail) }

func stopf(reason StopReason, format string, args ...any) error {
	return &StopError{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}

func (s *Sealer) halted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopped != nil
}

// halt stops sealing until the process starts again.
func (s *Sealer) halt(e *StopError) {
	s.log.Error("sealing stopped until the next start; logins go on", "reason", string(e.Reason), "detail", e.Detail)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped, s.seen = e, nil
	close(s.changed)
	s.changed = make(chan struct{})
}

// Status is how sealing goes.
type Status struct {
	Stopped  *StopError // nil while sealing
	Failing  error      // why the last attempt failed, when it may pass
	Revision uint64     // of the newest checkpoint
	Size     uint64     // records it covers
	SignedAt time.Time
	Age      time.Duration // of the newest checkpoint
	// Lag counts the records that are not sealed yet, and LagAge is how long
	// they have waited at most since they were seen.
	Lag    uint64
	LagAge time.Duration
	// Late counts the records sealed since the start that were older than what
	// stood before them lets expect, by at most eventstore.LateLimit. It stays
	// zero in a log of one process.
	Late uint64
}

// Status returns how sealing goes now.
func (s *Sealer) Status(ctx context.Context) Status {
	newest, _, err := s.options.Log.Head(ctx)
	now := s.options.Clock()
	s.mu.Lock()
	defer s.mu.Unlock()
	out := Status{
		Stopped: s.stopped, Failing: s.failing, Revision: s.published.revision, Size: s.published.size,
		SignedAt: s.published.signedAt, Age: max(now.Sub(s.published.signedAt), 0), Late: s.late,
	}
	if err != nil {
		out.Failing = err
	}
	if uint64(newest) > out.Size {
		out.Lag = uint64(newest) - out.Size
		if since := s.since; len(s.seen) > 0 {
			out.LagAge = max(now.Sub(since), 0)
		}
	}
	return out
}

// SignedAt is the time of the newest checkpoint.
func (s *Sealer) SignedAt() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.published.signedAt
}

// WaitFor returns when a checkpoint covers a size: nil, or the context's error,
// or the *StopError of a sealer that will not.
func (s *Sealer) WaitFor(ctx context.Context, size uint64) error {
	for {
		s.mu.Lock()
		covered, stopped, changed := s.published.size >= size, s.stopped, s.changed
		s.mu.Unlock()
		switch {
		case covered:
			return nil
		case stopped != nil:
			return stopped
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Seen returns the sequence of the last record seen; those to see next follow.
func (s *Sealer) Seen(context.Context) (eventstore.Sequence, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end(), nil
}

// end is the sequence of the last record seen; mu is held.
func (s *Sealer) end() eventstore.Sequence {
	return eventstore.Sequence(s.published.size) + eventstore.Sequence(len(s.seen))
}
