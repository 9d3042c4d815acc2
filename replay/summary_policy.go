package replay

import (
	"fmt"
	"strings"

	"github.com/authledger/authledger/domain"
)

// summarisePolicy covers the stream of the rule book.
func summarisePolicy(e domain.Event) string {
	switch e := e.(type) {
	case domain.PolicyRulePublished:
		return fmt.Sprintf("rule %s published: %s", ruleVersion(e.ID, e.Version), ruleText(e.RuleRow))
	case domain.PolicyRuleAmended:
		return fmt.Sprintf("rule %s amended: %s", ruleVersion(e.ID, e.Version), ruleText(e.RuleRow))
	case domain.PolicyRuleWithdrawn:
		return fmt.Sprintf("rule %s withdrawn from %s on: %s", ruleVersion(e.RuleID, e.Version), e.EffectiveOn, e.Reason)
	case domain.PolicyParameterSet:
		return fmt.Sprintf("parameter %s set to %d %s from %s on: %s", e.Name, e.Value, e.Unit, e.EffectiveFrom, e.Reason)
	}
	return ""
}

func ruleVersion(id string, version int) string { return fmt.Sprintf("%s v%d", id, version) }

// ruleText is what a rule says.
func ruleText(r domain.RuleRow) string {
	cc := r.CC
	if cc == "*" {
		cc = "every country"
	}
	end := " on"
	if r.EffectiveTo != "" {
		end = " to before " + r.EffectiveTo
	}
	return fmt.Sprintf("%s, %s for %s from %s%s (%s), legal basis %s%s", r.Status, effects(r.Effects), cc, r.EffectiveFrom, end, r.Zone, r.LegalBasis,
		optional(", issued %s", r.IssuedOn))
}

// effects lists the effects of a rule by their wire names, with their values.
func effects(list []domain.Effect) string {
	out := make([]string, len(list))
	for i, e := range list {
		var values []string
		if e.Until != "" {
			values = append(values, e.Until)
		}
		values = append(values, e.Values...)
		if e.Duration != "" {
			values = append(values, e.Duration)
		}
		out[i] = e.Name
		if len(values) > 0 {
			out[i] += "(" + strings.Join(values, ", ") + ")"
		}
	}
	return strings.Join(out, " + ")
}
