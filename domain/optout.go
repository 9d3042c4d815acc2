package domain

import "time"

// Opting out of the second factor on trading platforms, and back in
// (domain.md 6.7), decided by the dated rules of section 9.

// RequestOptOut asks for an opt-out.
type RequestOptOut struct {
	UserID           string
	RequestedBy      string // user id of the requester
	AgreementVersion string
	Acknowledged     bool
}

// OptBackIn ends the user's opt-out.
type OptBackIn struct{ UserID, By string }

// ReevaluateRegime is the process that checks an opt-out against the rules in
// force now. Cause is residence_change, rule_in_force, carrying_entity_change,
// holder_added or access_granted. It appends nothing when the opt-out stands.
type ReevaluateRegime struct{ UserID, Cause string }

// OptOutRequested records the request; the verdict follows in the same append.
type OptOutRequested struct {
	OptOutID         string `json:"opt_out_id"`
	UserID           string `json:"user_id"`
	RequestedBy      string `json:"requested_by"`
	AgreementVersion string `json:"agreement_version"`
	Acknowledged     bool   `json:"acknowledged"`
}

// OptOutGranted waives the second factor on trading platforms.
type OptOutGranted struct {
	OptOutID string     `json:"opt_out_id"`
	Scope    string     `json:"scope"` // trading_platforms
	EndsAt   *time.Time `json:"ends_at,omitempty"`
	Decision Decision   `json:"decision"`
}

// OptOutDenied says why not.
type OptOutDenied struct {
	OptOutID string   `json:"opt_out_id"`
	Reason   Code     `json:"reason"`
	Decision Decision `json:"decision"`
}

// OptOutRevoked ends an opt-out that the rules no longer allow. ExposedS is
// the time in seconds between the moment the rule applied and its detection.
type OptOutRevoked struct {
	OptOutID    string    `json:"opt_out_id"`
	Cause       string    `json:"cause"`
	EffectiveAt time.Time `json:"effective_at"`
	DetectedAt  time.Time `json:"detected_at"`
	ExposedS    int64     `json:"exposed_s"`
	Decision    Decision  `json:"decision"`
}

// OptedBackIn ends an opt-out at the user's wish.
type OptedBackIn struct {
	OptOutID string `json:"opt_out_id"`
	By       string `json:"by"`
}

// OptBackInRefused says why there was nothing to end.
type OptBackInRefused struct {
	Reason Code `json:"reason"`
}

// Decision is how the rules decided, in full: with it anyone can recompute the
// outcome from the event and the policy version alone.
type Decision struct {
	Outcome        string        `json:"outcome"` // permit_opt_out, opt_out_until, deny_opt_out, incomplete, not_evaluated
	DecisiveRuleID string        `json:"decisive_rule_id,omitempty"`
	RuleVersion    int           `json:"rule_version,omitempty"`
	MatchedRuleIDs []string      `json:"matched_rule_ids"`
	ProposedIDs    []string      `json:"proposed_rule_ids,omitempty"` // would have matched; they do not decide
	PolicyVersion  uint64        `json:"policy_version"`
	AsOf           time.Time     `json:"as_of"`
	Facts          DecisionFacts `json:"facts"`
}

// DecisionFacts are the facts a decision stood on (D-70).
type DecisionFacts struct {
	Residence             string     `json:"residence,omitempty"`
	ClientKind            ClientKind `json:"client_kind,omitempty"`
	CarryingCC            string     `json:"carrying_cc,omitempty"`
	Domicile              string     `json:"domicile,omitempty"`
	HolderResidences      []string   `json:"holder_residences"`
	AccessibleCarryingCCs []string   `json:"accessible_carrying_ccs"`
}
