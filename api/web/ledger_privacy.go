package web

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/journal"
	"github.com/authledger/authledger/projections"
)

// holdsShown bounds the list of legal holds in force.
const holdsShown = 100

// Sealed implements Data.
func (l *Ledger) Sealed(ctx context.Context, eventID string) (Item, error) {
	id, err := codec.ParseEventID(eventID)
	if err != nil {
		return Item{}, ErrNotFound
	}
	i, err := l.stored(ctx, id)
	if errors.Is(err, eventstore.ErrNotFound) {
		return Item{}, ErrNotFound
	}
	return i, err
}

// Reveal implements Data. Every form that is sent is a reveal of its own.
func (l *Ledger) Reveal(ctx context.Context, r Reveal) ([]journal.Revealed, error) {
	_, revealed, err := l.journal.Reveal(ctx, journal.Request{
		Command: domain.RevealPersonalData{
			UserID: r.UserID, EventID: r.EventID, Fields: r.Fields, Reason: r.Reason, CaseRef: r.CaseRef,
		},
		CommandID: uuid.New(), Actor: r.Reader,
	})
	return revealed, err
}

// Erasures implements Data.
func (l *Ledger) Erasures(ctx context.Context, place string, limit int) (Register, error) {
	after, err := projections.ParseCursor(place)
	if err != nil {
		return Register{}, ErrCursor
	}
	page, err := l.views.Erasures(ctx, projections.ErasureFilter{Listing: projections.Listing{Descending: true, Limit: limit, After: after}})
	if errors.Is(err, projections.ErrCursor) {
		return Register{}, ErrCursor
	}
	if err != nil {
		return Register{}, fmt.Errorf("list requests to be forgotten: %w", err)
	}
	holds, err := l.views.LegalHolds(ctx, projections.HoldFilter{InForce: true, Listing: projections.Listing{Descending: true, Limit: holdsShown}})
	if err != nil {
		return Register{}, fmt.Errorf("list legal holds: %w", err)
	}
	return Register{Erasures: page.Items, Holds: holds.Items, MoreHold: !holds.Next.IsZero(), Next: page.Next.String()}, nil
}
