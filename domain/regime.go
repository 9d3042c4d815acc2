package domain

import (
	"sort"
	"time"
)

// What becomes of an opt-out when a rule or a fact changes (domain.md 9.3,
// D-76), and whether it still waives the second factor.

// ReevaluateRegime is the process that checks an opt-out against the rules in
// force now. Cause is residence_change, rule_in_force, carrying_entity_change,
// domicile_change, holder_added or access_granted. It appends nothing when the
// opt-out stands.
type ReevaluateRegime struct{ UserID, Cause string }

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

func (d *decision) reevaluateRegime(c ReevaluateRegime) ([]Event, error) {
	if !d.u.optOut.inForce(d.now) {
		return nil, nil
	}
	verdict := d.p.Evaluate(d.u.Facts(d.f.Clients, d.now, d.p), d.now)
	if verdict.Outcome != EffectDeny {
		return nil, nil
	}
	d.revokeOptOut(c.Cause, verdict)
	return d.events, nil
}

// revokeOptOut ends the opt-out from the moment the rules began to deny, but
// not before the opt-out itself. Without a cause the one of that moment is
// named; a process names what made it look.
func (d *decision) revokeOptOut(cause string, verdict Decision) {
	effective, why := d.deniedSince()
	if cause == "" {
		cause = why
	}
	if granted := d.u.optOut.GrantedAt; granted.After(effective) {
		effective = granted
	}
	d.emit(OptOutRevoked{
		OptOutID: d.u.optOut.ID, Cause: cause, EffectiveAt: effective, DetectedAt: d.now,
		ExposedS: int64(d.now.Sub(effective) / time.Second), Decision: verdict,
	})
}

// turn is a moment at which the verdict on an opt-out may change, and the
// cause to name for it.
type turn struct {
	at    time.Time
	cause string
}

// deniedSince is the beginning of the unbroken time up to now in which the
// rules denied, and what began then. The rules must deny now.
func (d *decision) deniedSince() (since time.Time, cause string) {
	turns := d.turns()
	since, cause = d.now, causeRule
	for i := len(turns) - 1; i >= 0; i-- {
		at := turns[i].at
		if d.p.Evaluate(d.u.Facts(d.f.Clients, at, d.p), at).Outcome != EffectDeny {
			break
		}
		since, cause = at, turns[i].cause
	}
	return since, cause
}

const (
	causeRule      = "rule_in_force"
	causeResidence = "residence_change"
	causeCarrying  = "carrying_entity_change"
	causeDomicile  = "domicile_change"
	causeHolder    = "holder_added"
	causeAccess    = "access_granted"
)

// turns lists the moments up to now at which a rule or a fact changed, in
// order; at the same moment in the order in which they are added here.
func (d *decision) turns() []turn {
	var out []turn
	add := func(at time.Time, cause string) {
		if !at.IsZero() && !at.After(d.now) {
			out = append(out, turn{at: at, cause: cause})
		}
	}
	for _, r := range d.p.Rules {
		if r.Status == statusActive && r.effect(EffectDeny) != nil {
			add(r.from, causeRule)
			add(r.to, causeRule)
		}
	}
	for _, r := range d.u.residences {
		add(d.p.Start(r.on, r.cc), causeResidence)
	}
	for _, a := range d.u.access {
		add(d.p.Start(a.on, ""), causeAccess)
	}
	for _, c := range d.f.Clients {
		for _, r := range c.carrying {
			add(d.p.Start(r.on, r.cc), causeCarrying)
		}
	}
	if c := d.f.Clients[d.u.ClientID]; c != nil {
		for _, r := range c.domicile {
			add(d.p.Start(r.on, r.cc), causeDomicile)
		}
		for _, person := range c.order {
			for _, h := range c.holders[person] {
				cause := causeHolder
				if h.moved {
					cause = causeResidence
				}
				add(d.p.Start(h.on, h.cc), cause)
			}
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].at.Before(out[j].at) })
	return out
}

// waive lets an opted-out user into a trading platform without a second
// factor. It asks the rules again first: an opt-out that the law has overtaken
// never waives, even before the process that revokes it has run.
func (d *decision) waive(t *Transaction) bool {
	if t.Platform.Class() != Trading || !d.u.optOut.inForce(d.now) {
		return false
	}
	verdict := d.p.Evaluate(d.u.Facts(d.f.Clients, d.now, d.p), d.now)
	switch verdict.Outcome {
	case EffectDeny:
		d.revokeOptOut("", verdict)
		return false
	case OutcomeIncomplete:
		return false
	}
	d.emit(
		SecondFactorWaived{TxnID: t.ID, OptOutID: d.u.optOut.ID, RuleIDs: verdict.MatchedRuleIDs, Decision: verdict},
		AuthenticationSucceeded{
			TxnID: t.ID, Scope: scopeFull, Factors: 1, SessionRef: d.newID(PrefixSession), Platform: t.Platform, InitiatingDeviceRef: t.DeviceRef,
		},
	)
	return true
}

// Facts gathers what the rules ask about (D-70), from this stream and from the
// clients' streams.
func (u *User) Facts(clients map[string]*Client, at time.Time, p *Policy) DecisionFacts {
	f := DecisionFacts{Residence: u.ResidenceAt(at, p), HolderResidences: []string{}, AccessibleCarryingCCs: []string{}}
	if c := clients[u.ClientID]; c != nil && c.registered {
		f.ClientKind, f.Domicile, f.CarryingCC = c.Kind, c.Domicile(at, p), c.CarryingCC(at, p)
		f.HolderResidences = c.HolderResidences(at, p)
	}
	for _, id := range u.AccessibleClients(at, p) {
		cc := ""
		if c := clients[id]; c != nil {
			cc = c.CarryingCC(at, p)
		}
		f.AccessibleCarryingCCs = append(f.AccessibleCarryingCCs, cc)
	}
	return f
}
