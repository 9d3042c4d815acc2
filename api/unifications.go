package api

import (
	"context"
	"fmt"

	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain"
)

// Moving IB Key out of the standalone app.

// DetectUnification implements gen.StrictServerInterface, as do all methods
// here.
func (s *Server) DetectUnification(ctx context.Context, r gen.DetectUnificationRequestObject) (gen.DetectUnificationResponseObject, error) {
	b := r.Body
	out, err := s.execute(ctx, domain.DetectUnification{
		UserID: r.UserId, InstallationID: b.InstallationId, Case: string(b.Case), StandaloneInstallationID: b.StandaloneInstallationId,
		StandaloneOutdated: b.StandaloneOutdated, ManualLater: b.ManualLater,
	}, "")
	if err != nil {
		return nil, err
	}
	a := gen.Unification{Status: gen.UnificationStatusUnchanged, EventIds: eventIDs(out)}
	if no, ok := refused(out); ok {
		a.Status, a.ReasonCode = gen.UnificationStatusRefused, gen.ReasonCode(no.reason)
	}
	e, ok := find[domain.UnificationOffered](out)
	if !ok {
		return gen.DetectUnification200JSONResponse(a), nil
	}
	a.Status, a.UnificationId, a.Action = gen.UnificationStatusOffered, e.UnificationID, gen.UnificationAction(e.Action)
	a.AuthenticatorId = e.AuthenticatorID
	return gen.DetectUnification201JSONResponse(a), nil
}

func (s *Server) DeferUnification(ctx context.Context, r gen.DeferUnificationRequestObject) (gen.DeferUnificationResponseObject, error) {
	a, err := s.act(ctx, domain.DeferUnification{UnificationID: r.UnificationId}, r.UnificationId)
	return gen.DeferUnification200JSONResponse{ActionJSONResponse: a}, err
}

// CompleteUnification gives the key of the authenticator, which stays what it
// is, to the app that carries it from now on.
func (s *Server) CompleteUnification(ctx context.Context, r gen.CompleteUnificationRequestObject) (gen.CompleteUnificationResponseObject, error) {
	out, err := s.execute(ctx, domain.CompleteUnification{
		UnificationID: r.UnificationId, Handover: domain.Secret(r.Body.Handover),
	}, r.UnificationId)
	if err != nil {
		return nil, err
	}
	a := gen.UnificationCompletion{Status: gen.UnificationCompletionStatusUnchanged, UnificationId: r.UnificationId, EventIds: eventIDs(out)}
	if len(out.Events) == 0 {
		return gen.CompleteUnification200JSONResponse(a), nil
	}
	if no, ok := refused(out); ok {
		a.Status, a.ReasonCode = gen.UnificationCompletionStatusRefused, gen.ReasonCode(no.reason)
		return gen.CompleteUnification200JSONResponse(a), nil
	}
	e, ok := find[domain.UnificationCompleted](out)
	if !ok {
		return nil, fmt.Errorf("complete unification %s: no event says so", r.UnificationId)
	}
	a.Status, a.AuthenticatorId = gen.UnificationCompletionStatusCompleted, e.AuthenticatorID
	a.Ocra, err = s.secret(ctx, domain.UserOf(r.UnificationId), e.AuthenticatorID)
	return gen.CompleteUnification200JSONResponse(a), err
}
