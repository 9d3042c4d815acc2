package api

import (
	"context"
	"fmt"

	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/journal"
)

// Moving IB Key to another phone.

// StartMigration implements gen.StrictServerInterface, as do all methods here.
func (s *Server) StartMigration(ctx context.Context, r gen.StartMigrationRequestObject) (gen.StartMigrationResponseObject, error) {
	out, err := s.execute(ctx, domain.StartMigration{
		UserID: r.UserId, InstallationID: r.Body.InstallationId, TxnID: r.Body.AuthenticationId,
	}, r.Body.AuthenticationId)
	if err != nil {
		return nil, err
	}
	m, err := s.migrating(ctx, out)
	if err != nil {
		return nil, err
	}
	if m.Status == gen.MigrationStatusRefused {
		return gen.StartMigration200JSONResponse(m), nil
	}
	return gen.StartMigration201JSONResponse(m), nil
}

// migrating is the answer to a request for the proof of a migration.
func (s *Server) migrating(ctx context.Context, out journal.Outcome) (gen.Migration, error) {
	a := gen.Migration{Status: gen.MigrationStatusCodeSent, EventIds: eventIDs(out)}
	if no, ok := refused(out); ok {
		a.Status, a.ReasonCode, a.RetryAfterS = gen.MigrationStatusRefused, gen.ReasonCode(no.reason), no.retryAfter
		return a, nil
	}
	if e, ok := find[domain.MigrationStarted](out); ok {
		a.MigrationId, a.Proof = e.MigrationID, gen.MigrationProof(e.Proof)
	}
	if e, ok := find[domain.ChallengeIssued](out); ok {
		var err error
		a.Status, a.ExpiresAt = gen.MigrationStatusChallenged, e.ExpiresAt
		a.Challenge, err = s.written(ctx, e.ChallengeID, out)
		return a, err
	}
	code, err := s.codeSent(ctx, out)
	a.ExpiresAt, a.MessageId, a.MaskedTo = code.expiresAt, code.messageID, code.maskedTo
	return a, err
}

func (s *Server) ResendMigrationCode(ctx context.Context, r gen.ResendMigrationCodeRequestObject) (gen.ResendMigrationCodeResponseObject, error) {
	out, err := s.execute(ctx, domain.ResendMigrationCode{MigrationID: r.MigrationId}, r.MigrationId)
	if err != nil {
		return nil, err
	}
	a, err := s.migrating(ctx, out)
	a.MigrationId = r.MigrationId
	return gen.ResendMigrationCode200JSONResponse(a), err
}

func (s *Server) ProveMigration(ctx context.Context, r gen.ProveMigrationRequestObject) (gen.ProveMigrationResponseObject, error) {
	out, err := s.execute(ctx, domain.ProveMigration{MigrationID: r.MigrationId, Code: domain.Secret(r.Body.Code)}, r.MigrationId)
	if err != nil {
		return nil, err
	}
	a := gen.Migration{Status: gen.MigrationStatusCodeRejected, MigrationId: r.MigrationId, EventIds: eventIDs(out)}
	if e, ok := find[domain.MigrationProofAccepted](out); ok {
		a.Status, a.Proof, a.ExpiresAt = gen.MigrationStatusProved, gen.MigrationProof(e.Proof), e.CompleteBy
	}
	if e, ok := find[domain.ActivationCodeRejected](out); ok {
		a.ReasonCode, a.AttemptsLeft = gen.ReasonCode(e.Reason), &e.AttemptsLeft
	}
	return gen.ProveMigration200JSONResponse(a), nil
}

func (s *Server) CompleteMigration(ctx context.Context, r gen.CompleteMigrationRequestObject) (gen.CompleteMigrationResponseObject, error) {
	out, err := s.execute(ctx, domain.CompleteMigration{MigrationID: r.MigrationId, UV: domain.UV(r.Body.Uv)}, r.MigrationId)
	if err != nil {
		return nil, err
	}
	a := gen.MigrationCompletion{Status: gen.MigrationCompletionStatusRefused, MigrationId: r.MigrationId, EventIds: eventIDs(out)}
	if no, ok := refused(out); ok {
		a.ReasonCode = gen.ReasonCode(no.reason)
		return gen.CompleteMigration200JSONResponse(a), nil
	}
	e, ok := find[domain.MigrationCompleted](out)
	if !ok {
		return nil, fmt.Errorf("complete migration %s: no event says so", r.MigrationId)
	}
	a.Status, a.AuthenticatorId, a.Revoked = gen.MigrationCompletionStatusCompleted, e.ToAuthenticatorID, revoked(out)
	a.Ocra, err = s.secret(ctx, domain.UserOf(r.MigrationId), e.ToAuthenticatorID)
	return gen.CompleteMigration200JSONResponse(a), err
}

func (s *Server) CancelMigration(ctx context.Context, r gen.CancelMigrationRequestObject) (gen.CancelMigrationResponseObject, error) {
	a, err := s.act(ctx, domain.CancelMigration{MigrationID: r.MigrationId}, r.MigrationId)
	return gen.CancelMigration200JSONResponse{ActionJSONResponse: a}, err
}
