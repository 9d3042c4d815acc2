package api

import (
	"context"
	"errors"
	"fmt"

	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/journal"
	"github.com/authledger/authledger/eventstore/keyring"
)

// Code cards: cells the user looks up.

// IssueCodeCard implements gen.StrictServerInterface, as do all methods here.
func (s *Server) IssueCodeCard(ctx context.Context, r gen.IssueCodeCardRequestObject) (gen.IssueCodeCardResponseObject, error) {
	out, err := s.execute(ctx, domain.IssueCodeCard{
		UserID: r.UserId, Kind: domain.Kind(r.Body.Kind), TxnID: r.Body.AuthenticationId,
	}, r.Body.AuthenticationId)
	if err != nil {
		return nil, err
	}
	a := gen.CodeCard{Status: gen.CodeCardStatusRefused, Kind: gen.CodeCardKind(r.Body.Kind), EventIds: eventIDs(out)}
	if no, ok := refused(out); ok {
		a.ReasonCode = gen.ReasonCode(no.reason)
		return gen.IssueCodeCard200JSONResponse(a), nil
	}
	if a.AuthenticatorId = issuedCard(out); a.AuthenticatorId == "" {
		return nil, fmt.Errorf("issue code card to %s: no event says so", r.UserId)
	}
	a.Status = gen.CodeCardStatusIssued
	a.Cells, err = s.journal.CodeCard(ctx, r.UserId, a.AuthenticatorId)
	return gen.IssueCodeCard201JSONResponse(a), unshown(err)
}

func issuedCard(out journal.Outcome) string {
	if e, ok := find[domain.OnlineCodeCardIssued](out); ok {
		return e.AuthenticatorID
	}
	e, _ := find[domain.SecurityCodeCardIssued](out)
	return e.AuthenticatorID
}

// unshown lets the repeat of a request be answered without the secret once it
// may no longer be shown: it was used, replaced or erased.
func unshown(err error) error {
	var d *domain.Error
	switch {
	case errors.As(err, &d), errors.Is(err, keyring.ErrKeyDestroyed), errors.Is(err, keyring.ErrSecretNotFound):
		return nil
	}
	return err
}

func (s *Server) ActivateCodeCard(ctx context.Context, r gen.ActivateCodeCardRequestObject) (gen.ActivateCodeCardResponseObject, error) {
	out, err := s.execute(ctx, domain.ActivateCodeCard{AuthenticatorID: r.AuthenticatorId, TxnID: r.Body.AuthenticationId}, r.Body.AuthenticationId)
	if err != nil {
		return nil, err
	}
	a, err := s.proof(ctx, out)
	return gen.ActivateCodeCard200JSONResponse(a), err
}
