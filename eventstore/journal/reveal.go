package journal

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/keyring"
)

// The door to personal data. It opens after its event is durable, never before.

// Revealed is one personal datum in clear.
type Revealed struct {
	Field string
	Value domain.Secret
}

// Reveal records that personal data is read and then opens it. The command of r
// is a domain.RevealPersonalData; without a user it is about the one whose
// stream holds the event, and without fields about all of the event's data, but
// not the address it came from.
//
// It returns a *domain.Error when the rules refuse, also for a repeated request
// that they admitted when it was made: PROCESSING_RESTRICTED and
// PERSONAL_DATA_ERASED are about now. Otherwise errors are those of Execute.
func (j *Journal) Reveal(ctx context.Context, r Request) (Outcome, []Revealed, error) {
	c, ok := r.Command.(domain.RevealPersonalData)
	if !ok {
		return Outcome{}, nil, fmt.Errorf("reveal: command %s reveals nothing", r.Command.Name())
	}
	d, err := j.sealedEvent(ctx, c.EventID)
	if err != nil {
		return Outcome{}, nil, err
	}
	r.Command = j.completed(c, d)
	out, err := j.Execute(ctx, r)
	if err != nil {
		return Outcome{}, nil, err
	}
	revealed, err := j.open(ctx, r.Command.(domain.RevealPersonalData), d)
	return out, revealed, err
}

// sealedEvent reads the event a reveal is about.
func (j *Journal) sealedEvent(ctx context.Context, eventID string) (codec.Decoded, error) {
	id, err := codec.ParseEventID(eventID)
	if err != nil {
		return codec.Decoded{}, unknown("event")
	}
	record, err := j.store.ByID(ctx, id)
	if errors.Is(err, eventstore.ErrNotFound) {
		return codec.Decoded{}, unknown("event")
	}
	if err != nil {
		return codec.Decoded{}, fmt.Errorf("read event %s: %w", eventID, err)
	}
	d, err := j.codec.Decode(record)
	if err != nil {
		return codec.Decoded{}, fmt.Errorf("read event %s: %w", eventID, err)
	}
	return d, nil
}

// completed fills in what a reveal may leave out.
func (j *Journal) completed(c domain.RevealPersonalData, d codec.Decoded) domain.RevealPersonalData {
	if key, ok := strings.CutPrefix(d.Record.Stream, "user-"); ok && c.UserID == "" {
		c.UserID = domain.UserID(key)
	}
	if len(c.Fields) > 0 {
		return c
	}
	for _, field := range j.codec.SealedFields(d) {
		if field != codec.FieldIP {
			c.Fields = append(c.Fields, field)
		}
	}
	return c
}

// open opens the fields, unless the data was locked away or destroyed since the
// reveal was recorded.
func (j *Journal) open(ctx context.Context, c domain.RevealPersonalData, d codec.Decoded) ([]Revealed, error) {
	err := j.User(ctx, c.UserID, func(u *domain.User, _ time.Time) error { return u.MayReveal(c.Reason) })
	if err != nil {
		return nil, err
	}
	out := make([]Revealed, 0, len(c.Fields))
	for _, field := range c.Fields {
		text, err := j.codec.Reveal(ctx, d, field)
		if errors.Is(err, keyring.ErrKeyDestroyed) {
			return nil, &domain.Error{Code: domain.DataErased, Detail: "this data was destroyed; nothing can be read"}
		}
		if err != nil {
			return nil, err
		}
		out = append(out, Revealed{Field: field, Value: domain.Secret(text)})
	}
	return out, nil
}
