package domain

import "time"

// Opting out of the second factor on trading platforms, and back in
// (domain.md 6.7, R-63), decided by the dated rules of section 9.

// RequestOptOut asks for an opt-out.
type RequestOptOut struct {
	UserID           string
	RequestedBy      string // user id of the requester
	AgreementVersion string
	Acknowledged     bool
}

// OptBackIn ends the user's opt-out.
type OptBackIn struct{ UserID, By string }

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

func (d *decision) requestOptOut(c RequestOptOut) ([]Event, error) {
	id := d.newID(PrefixOptOut)
	d.emit(OptOutRequested{
		OptOutID: id, UserID: d.u.ID, RequestedBy: c.RequestedBy, AgreementVersion: c.AgreementVersion, Acknowledged: c.Acknowledged,
	})
	verdict := d.p.Evaluate(d.u.Facts(d.f.Clients, d.now, d.p), d.now)
	if reason := d.optOutRefusal(c, verdict); reason != "" {
		d.emit(OptOutDenied{OptOutID: id, Reason: reason, Decision: verdict})
		return d.events, nil
	}
	d.emit(OptOutGranted{OptOutID: id, Scope: scopeTrading, EndsAt: d.p.endsAt(verdict), Decision: verdict})
	return d.events, nil
}

// optOutRefusal gives the law first: a user in a mandatory regime is told so
// whatever else is missing.
func (d *decision) optOutRefusal(c RequestOptOut, verdict Decision) Code {
	switch {
	case verdict.Outcome == EffectDeny:
		return ReasonRegimeMandatory
	case verdict.Outcome == OutcomeIncomplete:
		return ReasonFactsIncomplete
	case d.u.optOut.inForce(d.now):
		return ReasonAlreadyOptedOut
	case !d.mayOptOut(c.RequestedBy):
		return ReasonOptOutAuthority
	case !c.Acknowledged || c.AgreementVersion == "":
		return ReasonAgreementMissing
	case d.now.Before(d.u.lockedUntil):
		return ReasonUserLocked
	case d.u.openMigration(d.now) != nil || d.u.openRecovery(d.now) != nil:
		return ReasonProcessOpen
	case d.u.active(d.now, lasting):
		return ""
	case len(d.u.Authenticators(d.now)) > 0:
		return ReasonTemporaryAccess
	default:
		return ReasonNoPortalAuth
	}
}

// mayOptOut: the owner; at an organisation also a security officer (K-11).
func (d *decision) mayOptOut(requester string) bool {
	role := d.u.Role
	if requester != d.u.ID {
		r := d.f.Requester
		if r == nil || r.UserID != requester || r.ClientID != d.u.ClientID {
			return false
		}
		role = r.Role
	}
	client := d.f.Clients[d.u.ClientID]
	organisation := client != nil && client.Kind == Organisation
	return role == RoleOwner || organisation && role == RoleSecurityOfficer
}

func (d *decision) optBackIn(c OptBackIn) ([]Event, error) {
	if !d.u.optOut.inForce(d.now) {
		return []Event{OptBackInRefused{Reason: ReasonNotOptedOut}}, nil
	}
	return []Event{OptedBackIn{OptOutID: d.u.optOut.ID, By: c.By}}, nil
}
