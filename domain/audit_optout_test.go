package domain

import (
	"reflect"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What an auditor holds against opt-outs and the decisions behind them.

func (a *auditor) readWaiver(e SecondFactorWaived) {
	t := a.open(e.TxnID)
	t.waived = true
	a.must(t.primary && t.platform != ClientPortal, "waived outside a trading platform (K-10)")
	a.must(e.OptOutID == a.optOut && a.optOut != "", "waived without an opt-out")
	a.must(a.optOutEnds == nil || a.at.Before(*a.optOutEnds), "waived after the opt-out's end (D-77)")
	a.permitted(e.Decision)
}

func (a *auditor) readOptOut(e Event) {
	switch e := e.(type) {
	case OptOutRequested:
		a.fresh(e.OptOutID)
	case OptOutGranted:
		a.optOut, a.optOutEnds = e.OptOutID, e.EndsAt
		a.permitted(e.Decision)
		a.must(!a.locked(), "opted out while locked")
		a.must(a.anyAnswers(isLasting), "opted out without an authenticator for the portal (K-10)")
		for _, p := range a.processes {
			a.must(p.kind != "migration" && p.kind != "recovery" || !a.openProcess(p), "opted out during a move")
		}
	case OptOutDenied:
		a.recompute(e.Decision)
	case OptOutRevoked:
		a.must(e.OptOutID == a.optOut, "revoked what was not granted")
		a.must(e.Decision.Outcome == EffectDeny, "revoked without a rule that denies")
		a.must(!e.EffectiveAt.After(a.at) && e.DetectedAt.Equal(a.at), "revocation detected before it took effect")
		a.must(e.ExposedS == int64(a.at.Sub(e.EffectiveAt)/time.Second), "exposed_s does not add up")
		a.recompute(e.Decision)
		a.optOut = ""
	case OptedBackIn:
		a.must(e.OptOutID == a.optOut, "opted back in without an opt-out")
		a.optOut = ""
	}
}

// permitted: the rules said yes, and no regime that the auditor knows by heart
// says no.
func (a *auditor) permitted(d Decision) {
	a.must(d.Outcome == EffectPermit || d.Outcome == EffectUntil, "granted or waived against the rules")
	a.must(!a.policies.builtIn() || !a.livesIn("HK", hongKongForce) && !a.livesIn("IN", indiaForce), "granted or waived in a mandatory regime (R-61, R-62)")
	a.recompute(d)
}

// recompute takes a decision again from nothing but itself and the policy it
// names (S-20), which must have been the one in force (I-3).
func (a *auditor) recompute(d Decision) {
	least, most := a.policies.between(a.at)
	a.must(least <= d.PolicyVersion && d.PolicyVersion <= most && d.AsOf.Equal(a.at), "decision names another policy or moment")
	p, err := a.policies.version(d.PolicyVersion)
	if err != nil {
		a.breach("policy of version %d: %v", d.PolicyVersion, err)
		return
	}
	if again := p.Evaluate(d.Facts, d.AsOf); !reflect.DeepEqual(again, d) {
		a.breach("decision does not follow from its facts:\n%s", cmp.Diff(d, again))
	}
}
