package journal

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/keyring"
)

// Personal data: what the rules want to know before it is destroyed, shown or
// remarked on. These commands are decided of closed users too.

// privacy gathers the evidence for a command about personal data; ok is false
// for any other command.
func (g *gathering) privacy(ctx context.Context, u *domain.User, c domain.Command) (ok bool, err error) {
	switch c := c.(type) {
	case domain.RequestErasure, domain.EraseSubject:
		return true, g.erasing(ctx, u)
	case domain.RevealPersonalData:
		for _, id := range g.slot.homes {
			g.facts.Homes = append(g.facts.Homes, domain.InstallationStream(id))
		}
		return true, g.record(ctx, c.EventID)
	case domain.AnnotateEvent:
		return true, g.record(ctx, c.EventID)
	case domain.PlaceLegalHold, domain.RequestHoldRelease, domain.ReleaseLegalHold:
		return true, nil
	}
	return false, nil
}

// erasing names the key and the streams it would be destroyed with, and reads
// every client the retention may depend on.
func (g *gathering) erasing(ctx context.Context, u *domain.User) error {
	id, err := g.j.keys.KeyID(ctx, g.slot.stream)
	if err != nil && !errors.Is(err, keyring.ErrKeyNotFound) {
		return fmt.Errorf("name the data key: %w", err)
	}
	g.facts.KeyID = id
	for _, home := range g.slot.homes {
		stream := domain.InstallationStream(home)
		s, release, err := g.j.view(ctx, stream)
		if err != nil {
			return err
		}
		shared := slices.ContainsFunc(s.holders, func(userID string) bool { return userID != u.ID })
		release()
		if !shared {
			g.facts.Sole = append(g.facts.Sole, stream)
		}
	}
	return g.lockClients(ctx, u.ClientsEver())
}

// record reads what the rules ask about the record a command names. An id that
// names none leaves no evidence.
func (g *gathering) record(ctx context.Context, eventID string) error {
	id, err := codec.ParseEventID(eventID)
	if err != nil {
		return nil // the rules say that there is none
	}
	r, err := g.j.store.ByID(ctx, id)
	if errors.Is(err, eventstore.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read event %s: %w", eventID, err)
	}
	d, err := g.j.codec.Decode(r)
	if err != nil {
		return fmt.Errorf("read event %s: %w", eventID, err)
	}
	g.facts.Record = &domain.RecordFacts{Stream: r.Stream, Fields: g.j.codec.SealedFields(d)}
	return nil
}
