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
	Parts  []Part  // which events made the state what it is
}

// Result is a state with its evidence.
type Result struct {
	UserID string           `json:"user_id"`
	Point  string           `json:"point"` // as asked; Point.String
	AsOf   time.Time        `json:"as_of"`
	Known  bool             `json:"known"` // whether the user was registered by then
	Events int              `json:"events_applied"`
	Last   *Origin          `json:"last_event,omitempty"`
	State  *domain.Snapshot `json:"state,omitempty"` // nil unless Known
	Parts  []Part           `json:"set_by"`
}

// StateAt folds the user's stream up to a point, straight from the events.
//
// A user without any record is ErrNotFound; one registered after the point is
// not Known. A *BrokenChainError, or a record this program cannot read
// (codec.ErrUnknownType, codec.ErrMalformed), ends it without a result.
func StateAt(ctx context.Context, reader eventstore.Reader, c *codec.Codec, policy *domain.Policy, userID string, p Point) (Result, error) {
	f, err := FoldUser(ctx, reader, c, userID, p)
	if err != nil {
		return Result{}, err
	}
	r := Result{UserID: userID, Point: p.String(), AsOf: f.At, Known: f.Known, Events: f.Events, Last: f.Last, Parts: f.Parts}
	if f.Known {
		s := f.User.Snapshot(f.At, policy)
		r.State = &s
	}
	return r, nil
}

// FoldUser is StateAt for callers that ask the domain's state themselves. The
// same errors apply.
func FoldUser(ctx context.Context, reader eventstore.Reader, c *codec.Codec, userID string, p Point) (Fold, error) {
	stream, err := userStream(userID)
	if err != nil {
		return Fold{}, err
	}
	if p.IsZero() {
		return Fold{}, fmt.Errorf("%w: a state needs a point in the history", ErrUsage)
	}
	user, ok := domain.NewState(stream).(*domain.User)
	if !ok {
		return Fold{}, fmt.Errorf("%w: %s is not a user's stream", ErrUsage, stream)
	}
	f, causes, occurred := Fold{User: user}, newCauses(), time.Time{}
	for d, err := range history(ctx, reader, c, stream, p) {
		if err != nil {
			return Fold{}, err
		}
		origin := originOf(d)
		user.Apply(d.Event, d.Meta.OccurredAt)
		causes.note(d.Event, origin, user, d.Meta.OccurredAt)
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
	f.Parts = causes.parts(user, f.At)
	return f, nil
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
