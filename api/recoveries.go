package api

import (
	"context"
	"fmt"

	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/journal"
)

// Bringing IB Key back on the phone it was on.

// StartRecovery implements gen.StrictServerInterface, as do all methods here.
func (s *Server) StartRecovery(ctx context.Context, r gen.StartRecoveryRequestObject) (gen.StartRecoveryResponseObject, error) {
	out, err := s.execute(ctx, domain.StartRecovery{
		UserID: r.UserId, InstallationID: r.Body.InstallationId, TxnID: r.Body.AuthenticationId, Cause: string(r.Body.Cause),
		Handover: domain.Secret(r.Body.Handover),
	}, r.Body.AuthenticationId)
	if err != nil {
		return nil, err
	}
	a, err := s.recovering(ctx, out)
	if err != nil {
		return nil, err
	}
	if a.Status == gen.RecoveryStatusRefused {
		return gen.StartRecovery200JSONResponse(a), nil
	}
	return gen.StartRecovery201JSONResponse(a), nil
}

// recovering is the answer to a request for the proof of a recovery. Where the
// former key signed, nothing more is asked.
func (s *Server) recovering(ctx context.Context, out journal.Outcome) (gen.Recovery, error) {
	a := gen.Recovery{Status: gen.RecoveryStatusCodeSent, EventIds: eventIDs(out)}
	if no, ok := refused(out); ok {
		a.Status, a.ReasonCode, a.RetryAfterS = gen.RecoveryStatusRefused, gen.ReasonCode(no.reason), no.retryAfter
		return a, nil
	}
	if e, ok := find[domain.RecoveryStarted](out); ok {
		a.RecoveryId, a.Proof, a.ExpiresAt = e.RecoveryID, gen.RecoveryProof(e.Proof), e.ExpiresAt
		if a.Proof == gen.RecoveryProofOriginalUv {
			a.Status = gen.RecoveryStatusProved
			return a, nil
		}
	}
	if e, ok := find[domain.ChallengeIssued](out); ok {
		var err error
		a.Status, a.ExpiresAt = gen.RecoveryStatusChallenged, e.ExpiresAt
		a.Challenge, err = s.written(ctx, e.ChallengeID, out)
		return a, err
	}
	code, err := s.codeSent(ctx, out)
	a.ExpiresAt, a.MessageId, a.MaskedTo = code.expiresAt, code.messageID, code.maskedTo
	return a, err
}

func (s *Server) ResendRecoveryCode(ctx context.Context, r gen.ResendRecoveryCodeRequestObject) (gen.ResendRecoveryCodeResponseObject, error) {
	out, err := s.execute(ctx, domain.ResendRecoveryCode{RecoveryID: r.RecoveryId}, r.RecoveryId)
	if err != nil {
		return nil, err
	}
	a, err := s.recovering(ctx, out)
	a.RecoveryId = r.RecoveryId
	return gen.ResendRecoveryCode200JSONResponse(a), err
}

func (s *Server) ProveRecovery(ctx context.Context, r gen.ProveRecoveryRequestObject) (gen.ProveRecoveryResponseObject, error) {
	out, err := s.execute(ctx, domain.ProveRecovery{RecoveryID: r.RecoveryId, Code: domain.Secret(r.Body.Code)}, r.RecoveryId)
	if err != nil {
		return nil, err
	}
	a := gen.Recovery{Status: gen.RecoveryStatusCodeRejected, RecoveryId: r.RecoveryId, EventIds: eventIDs(out)}
	if e, ok := find[domain.RecoveryProofAccepted](out); ok {
		a.Status, a.Proof = gen.RecoveryStatusProved, gen.RecoveryProof(e.Proof)
	}
	if e, ok := find[domain.ActivationCodeRejected](out); ok {
		a.ReasonCode, a.AttemptsLeft = gen.ReasonCode(e.Reason), &e.AttemptsLeft
	}
	return gen.ProveRecovery200JSONResponse(a), nil
}

func (s *Server) CompleteRecovery(ctx context.Context, r gen.CompleteRecoveryRequestObject) (gen.CompleteRecoveryResponseObject, error) {
	out, err := s.execute(ctx, domain.CompleteRecovery{RecoveryID: r.RecoveryId, UV: domain.UV(r.Body.Uv)}, r.RecoveryId)
	if err != nil {
		return nil, err
	}
	a := gen.RecoveryCompletion{Status: gen.RecoveryCompletionStatusRefused, RecoveryId: r.RecoveryId, EventIds: eventIDs(out)}
	if no, ok := refused(out); ok {
		a.ReasonCode = gen.ReasonCode(no.reason)
		return gen.CompleteRecovery200JSONResponse(a), nil
	}
	e, ok := find[domain.RecoveryCompleted](out)
	if !ok {
		return nil, fmt.Errorf("complete recovery %s: no event says so", r.RecoveryId)
	}
	a.Status, a.AuthenticatorId, a.Revoked = gen.RecoveryCompletionStatusCompleted, e.NewAuthenticatorID, revoked(out)
	a.Ocra, err = s.secret(ctx, domain.UserOf(r.RecoveryId), e.NewAuthenticatorID)
	return gen.CompleteRecovery200JSONResponse(a), err
}

func (s *Server) CancelRecovery(ctx context.Context, r gen.CancelRecoveryRequestObject) (gen.CancelRecoveryResponseObject, error) {
	a, err := s.act(ctx, domain.CancelRecovery{RecoveryID: r.RecoveryId}, r.RecoveryId)
	return gen.CancelRecovery200JSONResponse{ActionJSONResponse: a}, err
}
