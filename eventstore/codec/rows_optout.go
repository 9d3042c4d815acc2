package codec

import (
	"time"

	"github.com/authledger/authledger/domain"
)

// sampleDecision is a decision of the rules with every fact known.
func sampleDecision() domain.Decision {
	return domain.Decision{
		Outcome: "permit_opt_out", DecisiveRuleID: "DEFAULT-1", RuleVersion: 1, MatchedRuleIDs: []string{"DEFAULT-1"}, ProposedIDs: []string{"JP-2FA-P"},
		PolicyVersion: 1, AsOf: sampleAt(0), Facts: domain.DecisionFacts{
			Residence: "DE", ClientKind: domain.Organisation, CarryingCC: "IE", Domicile: "DE",
			HolderResidences: []string{"DE", "CH"}, AccessibleCarryingCCs: []string{"IE"},
		},
	}
}

// optOutRows are the opt-out and its way back (rule book 6.7).
func optOutRows() []row {
	endsAt := sampleAt(59)
	return []row{
		event("OptOutRequested", 1, domain.OptOutRequested{
			OptOutID: sampleOptOut, UserID: sampleUser, RequestedBy: sampleUser, AgreementVersion: "2024-01", Acknowledged: true,
		}),
		event("OptOutGranted", 1, domain.OptOutGranted{
			OptOutID: sampleOptOut, Scope: "trading_platforms", EndsAt: &endsAt, Decision: sampleDecision(),
		},
			perhaps(func(e *domain.OptOutGranted) **time.Time { return &e.EndsAt }),
			moment(func(e *domain.OptOutGranted) *time.Time { return &e.Decision.AsOf })),
		event("OptOutDenied", 1, domain.OptOutDenied{
			OptOutID: sampleOptOut, Reason: domain.ReasonRegimeMandatory, Decision: sampleDecision(),
		}, moment(func(e *domain.OptOutDenied) *time.Time { return &e.Decision.AsOf })),
		event("OptOutRevoked", 1, domain.OptOutRevoked{
			OptOutID: sampleOptOut, Cause: "residence_change", EffectiveAt: sampleAt(0), DetectedAt: sampleAt(10), ExposedS: 600, Decision: sampleDecision(),
		},
			moment(func(e *domain.OptOutRevoked) *time.Time { return &e.EffectiveAt }),
			moment(func(e *domain.OptOutRevoked) *time.Time { return &e.DetectedAt }),
			moment(func(e *domain.OptOutRevoked) *time.Time { return &e.Decision.AsOf })),
		event("OptedBackIn", 1, domain.OptedBackIn{OptOutID: sampleOptOut, By: sampleUser}),
		event("OptBackInRefused", 1, domain.OptBackInRefused{Reason: domain.ReasonNotOptedOut}),
	}
}
