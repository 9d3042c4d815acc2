package api

import (
	"context"
	"fmt"

	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain"
)

// Opting out of the second factor on trading platforms, and back in.

// RequestOptOut implements gen.StrictServerInterface. The denial names its
// legal basis (D-6).
func (s *Server) RequestOptOut(ctx context.Context, r gen.RequestOptOutRequestObject) (gen.RequestOptOutResponseObject, error) {
	out, err := s.execute(ctx, domain.RequestOptOut{
		UserID: r.UserId, RequestedBy: r.Body.RequestedBy, AgreementVersion: r.Body.AgreementVersion, Acknowledged: r.Body.Acknowledged,
	}, "")
	if err != nil {
		return nil, err
	}
	a := gen.OptOutAnswer{EventIds: eventIDs(out)}
	if e, ok := find[domain.OptOutDenied](out); ok {
		a.Decision, a.OptOutId, a.ReasonCode, a.Basis = gen.OptOutAnswerDecisionDenied, e.OptOutID, gen.ReasonCode(e.Reason), basis(e.Decision, s.journal.Policy())
		return gen.RequestOptOut200JSONResponse(a), nil
	}
	e, ok := find[domain.OptOutGranted](out)
	if !ok {
		return nil, fmt.Errorf("request opt-out of %s: no event says so", r.UserId)
	}
	a.Decision, a.OptOutId, a.Scope, a.Basis = gen.OptOutAnswerDecisionGranted, e.OptOutID, gen.OptOutAnswerScope(e.Scope), basis(e.Decision, s.journal.Policy())
	if e.EndsAt != nil {
		a.EndsAt = *e.EndsAt
	}
	return gen.RequestOptOut200JSONResponse(a), nil
}

// basis translates a decision; the provisions come from the rules it names.
func basis(d domain.Decision, p *domain.Policy) gen.LegalBasis {
	b := gen.LegalBasis{
		Outcome: gen.LegalBasisOutcome(d.Outcome), DecisiveRuleId: d.DecisiveRuleID, RuleVersion: d.RuleVersion,
		MatchedRuleIds: d.MatchedRuleIDs, PolicyVersion: int64(d.PolicyVersion), AsOf: d.AsOf,
	}
	ids := d.MatchedRuleIDs
	if d.DecisiveRuleID != "" {
		ids = []string{d.DecisiveRuleID}
	}
	for _, id := range ids {
		if rule, ok := p.Rule(id); ok {
			b.Citations = append(b.Citations, rule.LegalBasis)
		}
	}
	return b
}

func (s *Server) OptBackIn(ctx context.Context, r gen.OptBackInRequestObject) (gen.OptBackInResponseObject, error) {
	a, err := s.act(ctx, domain.OptBackIn{UserID: r.UserId, By: r.Body.By}, "")
	return gen.OptBackIn200JSONResponse{ActionJSONResponse: a}, err
}
