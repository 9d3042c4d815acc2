package codec

import "github.com/authledger/authledger/domain"

// policyRows are changes of the rule book (rule book 6.7).
func policyRows() []row {
	return []row{
		event("PolicyRulePublished", 1, domain.PolicyRulePublished{RuleRow: sampleRule(1)}),
		event("PolicyRuleAmended", 1, domain.PolicyRuleAmended{RuleRow: sampleRule(2)}),
		event("PolicyRuleWithdrawn", 1, domain.PolicyRuleWithdrawn{
			RuleID: "JP-2FA-1", Version: 1, Reason: "superseded by the guideline of 2026", EffectiveOn: "2024-03-01",
		}),
		event("PolicyParameterSet", 1, domain.PolicyParameterSet{
			Name: "sms.cooldown_s", Value: 90, Unit: "s", EffectiveFrom: "2024-04-01", Reason: "carrier outage, INC-204",
		}),
	}
}

func sampleRule(version int) domain.RuleRow {
	return domain.RuleRow{
		ID: "SG-2FA-1", Version: version, CC: "SG", Zone: "Asia/Singapore", Status: "proposed",
		Effects:    []domain.Effect{{Name: domain.EffectUntil, Until: "2027-01-01", Values: []string{"login"}, Duration: "2y"}},
		LegalBasis: "consultation paper of 2026-06-01", IssuedOn: "2026-06-01", EffectiveFrom: "2026-07-01", EffectiveTo: "2028-01-01",
		Tests: []string{"residence", "carrying_cc"}, BasisOfDate: "the paper's own",
	}
}
