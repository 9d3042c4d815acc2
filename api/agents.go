package api

import (
	"context"
	"fmt"

	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain"
)

// What a support agent may do.

func (s *Server) CloseUser(ctx context.Context, r gen.CloseUserRequestObject) (gen.CloseUserResponseObject, error) {
	a, err := s.act(ctx, domain.CloseUser{UserID: r.UserId, Reason: r.Body.Reason}, "")
	return gen.CloseUser200JSONResponse{ActionJSONResponse: a}, err
}

func (s *Server) VerifyIdentity(ctx context.Context, r gen.VerifyIdentityRequestObject) (gen.VerifyIdentityResponseObject, error) {
	out, err := s.execute(ctx, domain.VerifyIdentityByPhone{UserID: r.UserId, AgentRef: r.Body.AgentRef, Method: r.Body.Method}, "")
	if err != nil {
		return nil, err
	}
	e, ok := find[domain.IdentityVerifiedByAgent](out)
	if !ok {
		return nil, fmt.Errorf("verify identity of %s: no event says so", r.UserId)
	}
	return gen.VerifyIdentity201JSONResponse{IdentityVerificationId: e.IDVID, ExpiresAt: e.ExpiresAt, EventIds: eventIDs(out)}, nil
}

func (s *Server) UnlockUser(ctx context.Context, r gen.UnlockUserRequestObject) (gen.UnlockUserResponseObject, error) {
	a, err := s.act(ctx, domain.UnlockUser{UserID: r.UserId}, "")
	return gen.UnlockUser200JSONResponse{ActionJSONResponse: a}, err
}
