package replay

import (
	"context"
	"fmt"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
)

// Fold is a user's stream added up to a point.
type Fold struct {
	// User belongs to the caller. Before registration it is empty.
	User *domain.User
	// At is the moment of the point, at which to ask User.
	At     time.Time
	Known  bool    // whether the user was registered by then
	Events int     // records applied
	Last   *Origin // the last of them; nil when there was none

	causes *causes // which events made the state what it is
}

// Result is a state with its evidence.
type Result struct {
	UserID  string           `json:"user_id"`
	Point   string           `json:"point"` // as asked; Point.String
	KnownAt string           `json:"known_at,omitempty"`
	AsOf    time.Time        `json:"as_of"`
	Known   bool             `json:"known"` // whether the user was registered by then
	Events  int              `json:"events_applied"`
	Last    *Origin          `json:"last_event,omitempty"`
	State   *domain.Snapshot `json:"state,omitempty"` // nil unless Known
	Parts   []Part           `json:"set_by"`
}

// StateAt folds the user's stream up to a point, straight from the events. The
// policy it asks is the one known at the point; base is what is built into the
// program.
//
// A user without any record is ErrNotFound; one registered after the point is
// not Known. A *BrokenChainError, or a record this program cannot read
// (codec.ErrUnknownType, codec.ErrMalformed), ends it without a result.
func StateAt(ctx context.Context, reader eventstore.Reader, c *codec.Codec, base *domain.Policy, userID string, p Point) (Result, error) {
	f, err := FoldUser(ctx, reader, c, userID, p)
	if err != nil {
		return Result{}, err
	}
	policy, err := PolicyAt(ctx, reader, c, base, p)
	if err != nil {
		return Result{}, err
	}
	s := f.User.Snapshot(f.At, policy)
	r := Result{
		UserID: userID, Point: p.bound.String(), KnownAt: p.known.String(), AsOf: f.At, Known: f.Known, Events: f.Events, Last: f.Last,
		Parts: f.causes.parts(f.User, s),
	}
	if f.Known {
		r.State = &s
	}
	return r, nil
}

// FoldUser is StateAt for callers that ask the domain's state themselves; the
// policy to ask it with is that of PolicyAt. The same errors apply.
func FoldUser(ctx context.Context, reader eventstore.Reader, c *codec.Codec, userID string, p Point) (Fold, error) {
	stream, err := userStream(userID)
	if err != nil {
		return Fold{}, err
	}
	if p.IsZero() {
		return Fold{}, errNoPoint
	}
	user, ok := domain.NewState(stream).(*domain.User)
	if !ok {
		return Fold{}, fmt.Errorf("%w: %s is not a user's stream", ErrUsage, stream)
	}
	f, occurred := Fold{User: user, causes: newCauses()}, time.Time{}
	for d, err := range history(ctx, reader, c, stream, p.knowledge()) {
		if err != nil {
			return Fold{}, err
		}
		if !p.reaches(d.Record) && !(user.Registered() && dated(d.Event)) {
			continue // known by then, and not yet true at the moment
		}
		origin := originOf(d)
		user.Apply(d.Event, d.Meta.OccurredAt)
		f.causes.note(d.Event, origin, user, d.Meta.OccurredAt)
		f.Events, f.Last, occurred = f.Events+1, &origin, d.Meta.OccurredAt
	}
	if f.Last == nil {
		if err := mustExist(ctx, reader, userID, stream); err != nil {
			return Fold{}, err
		}
	}
	if f.At, err = f.moment(ctx, reader, c, p, occurred); err != nil {
		return Fold{}, err
	}
	f.Known = user.Registered()
	return f, nil
}

// dated reports whether an event of a user's stream is a fact that says itself
// from when on it holds, whenever it was recorded.
func dated(e domain.Event) bool {
	switch e.(type) {
	case domain.ResidenceChanged, domain.AccountAccessGranted, domain.AccountAccessRevoked:
		return true
	}
	return false
}

// moment is when the state is looked at. occurred belongs to the last record.
func (f Fold) moment(ctx context.Context, reader eventstore.Reader, c *codec.Codec, p Point, occurred time.Time) (time.Time, error) {
	switch {
	case p.kind == atSequence && f.Last != nil && f.Last.Sequence == p.sequence:
		return occurred, nil
	case p.kind == atSequence:
		return occurrence(ctx, reader, c, p.sequence)
	case p.kind == newest && f.Last != nil && f.Last.RecordedAt.After(p.time):
		return f.Last.RecordedAt, nil
	}
	return p.time, nil
}

// mustExist tells a user who came later from one who never came.
func mustExist(ctx context.Context, reader eventstore.Reader, userID, stream string) error {
	for _, err := range reader.ReadStream(ctx, stream, 0) {
		if err != nil {
			return fmt.Errorf("read %s: %w", stream, err)
		}
		return nil
	}
	return fmt.Errorf("%w %s in this ledger", errNoUser, userID)
}

func userStream(userID string) (string, error) {
	if !domain.IsID(userID, domain.PrefixUser) {
		return "", fmt.Errorf("%w: user id %q: want usr_ and 26 characters", ErrUsage, userID)
	}
	return domain.UserStream(userID), nil
}
