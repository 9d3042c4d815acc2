package api

import (
	"context"
	"fmt"
	"strings"

	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/journal"
)

// The door to personal data, and remarks on events. What is revealed goes into
// the answer and nowhere else: no log, no metric, no cache.

// RevealPersonalData implements gen.StrictServerInterface, as do all methods
// here.
func (s *Server) RevealPersonalData(ctx context.Context, r gen.RevealPersonalDataRequestObject) (gen.RevealPersonalDataResponseObject, error) {
	k, b := callOf(ctx), r.Body
	out, revealed, err := s.journal.Reveal(ctx, journal.Request{
		Command:   domain.RevealPersonalData{UserID: b.UserId, EventID: r.EventId, Fields: b.Fields, Reason: string(b.Reason), CaseRef: b.CaseRef},
		CommandID: k.commandID, Actor: k.actor(), RequestID: k.requestID,
	})
	if err != nil {
		return nil, err
	}
	if err := s.wrote(ctx, out); err != nil {
		return nil, err
	}
	e, ok := find[domain.PersonalDataRevealed](out)
	if !ok {
		return nil, fmt.Errorf("reveal data of %s: no event says so", r.EventId)
	}
	// The event says that it was read once; a repeat is a read of its own.
	if out.Replayed {
		if err := s.recordRead(ctx, "revealPersonalData", string(b.Reason), len(revealed)); err != nil {
			return nil, err
		}
	}
	a := gen.Reveal{RevealId: e.RevealID, UserId: domain.UserOf(e.RevealID), Fields: []gen.RevealedField{}, EventIds: eventIDs(out)}
	for _, v := range revealed {
		a.Fields = append(a.Fields, gen.RevealedField{Name: v.Field, Value: string(v.Value)})
	}
	return gen.RevealPersonalData200JSONResponse(a), nil
}

func (s *Server) AnnotateEvent(ctx context.Context, r gen.AnnotateEventRequestObject) (gen.AnnotateEventResponseObject, error) {
	record, err := s.record(ctx, r.EventId)
	if err != nil {
		return nil, err
	}
	key, ok := strings.CutPrefix(record.Stream, "user-")
	if !ok {
		return nil, fault("not_found")
	}
	a, err := s.act(ctx, domain.AnnotateEvent{
		UserID: domain.UserID(key), EventID: r.EventId, Note: domain.Clear(r.Body.Note), Kind: string(r.Body.Kind),
	}, "")
	return gen.AnnotateEvent200JSONResponse{ActionJSONResponse: a}, err
}
