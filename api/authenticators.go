package api

import (
	"context"

	"github.com/authledger/authledger/api/access"
	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/journal"
)

// The life of an authenticator after its binding.

// byAgent reports whether a support agent is behind the call.
func byAgent(ctx context.Context) bool { return callOf(ctx).client.Role == access.Operator }

// ReportLost implements gen.StrictServerInterface, as do all methods here. Who
// reports is not a matter of choice: an agent who called himself the client
// would need no identity verification.
func (s *Server) ReportLost(ctx context.Context, r gen.ReportLostRequestObject) (gen.ReportLostResponseObject, error) {
	if (r.Body.By == gen.LossRequestByAgent) != byAgent(ctx) {
		return nil, faultAt("/by", "role", "the login page reports for the client, an operator as agent")
	}
	a, err := s.act(ctx, domain.ReportLost{AuthenticatorID: r.AuthenticatorId, By: string(r.Body.By)}, "")
	return gen.ReportLost200JSONResponse{ActionJSONResponse: a}, err
}

func (s *Server) SuspendAuthenticator(ctx context.Context, r gen.SuspendAuthenticatorRequestObject) (gen.SuspendAuthenticatorResponseObject, error) {
	a, err := s.act(ctx, domain.SuspendAuthenticator{AuthenticatorID: r.AuthenticatorId, Reason: string(r.Body.Reason)}, "")
	return gen.SuspendAuthenticator200JSONResponse{ActionJSONResponse: a}, err
}

func (s *Server) ReactivateAuthenticator(ctx context.Context, r gen.ReactivateAuthenticatorRequestObject) (gen.ReactivateAuthenticatorResponseObject, error) {
	b := r.Body
	switch {
	case (b.Proof == gen.ReactivationRequestProofAgent) != byAgent(ctx):
		return nil, faultAt("/proof", "role", "an operator reactivates as agent, the login page by a proof of the user")
	case b.Proof != gen.ReactivationRequestProofAgent && b.AuthenticationId == "":
		return nil, faultAt("/authenticationId", "required", ruleText["required"])
	}
	out, err := s.execute(ctx, domain.ReactivateAuthenticator{
		AuthenticatorID: r.AuthenticatorId, Proof: string(b.Proof), TxnID: b.AuthenticationId,
	}, b.AuthenticationId)
	if err != nil {
		return nil, err
	}
	a, err := s.proof(ctx, out)
	return gen.ReactivateAuthenticator200JSONResponse(a), err
}

// proof is the answer of what may have to be proved first by a challenge.
func (s *Server) proof(ctx context.Context, out journal.Outcome) (a gen.ProofAnswer, err error) {
	a = gen.ProofAnswer{Status: gen.ProofAnswerStatusRecorded, EventIds: eventIDs(out)}
	if no, ok := refused(out); ok {
		a.Status, a.ReasonCode = gen.ProofAnswerStatusRefused, gen.ReasonCode(no.reason)
	} else if e, ok := find[domain.ChallengeIssued](out); ok {
		a.Status = gen.ProofAnswerStatusChallenged
		a.Challenge, err = s.written(ctx, e.ChallengeID, out)
	}
	return a, err
}

func (s *Server) RevokeAuthenticator(ctx context.Context, r gen.RevokeAuthenticatorRequestObject) (gen.RevokeAuthenticatorResponseObject, error) {
	a, err := s.act(ctx, domain.RevokeAuthenticator{AuthenticatorID: r.AuthenticatorId, Reason: string(r.Body.Reason)}, "")
	return gen.RevokeAuthenticator200JSONResponse{ActionJSONResponse: a}, err
}

func (s *Server) ChangeDevicePin(ctx context.Context, r gen.ChangeDevicePinRequestObject) (gen.ChangeDevicePinResponseObject, error) {
	out, err := s.execute(ctx, domain.ChangeDevicePIN{
		AuthenticatorID: r.AuthenticatorId, TxnID: r.Body.AuthenticationId, PIN: domain.Secret(r.Body.Pin),
	}, r.Body.AuthenticationId)
	if err != nil {
		return nil, err
	}
	a, err := s.proof(ctx, out)
	return gen.ChangeDevicePin200JSONResponse(a), err
}
