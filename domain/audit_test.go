package domain

import (
	"fmt"
	"reflect"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The audit reads a user's log as an auditor would, knowing the rules and
// nothing of the code: everything it keeps is its own.

// audit checks every log of the story, and that folding it from the start
// gives the state the story ended with.
func (s *story) audit() {
	s.t.Helper()
	for stream, log := range s.logs {
		fresh := NewState(stream)
		for _, r := range log {
			fresh.Apply(r.Event, r.At)
		}
		if !reflect.DeepEqual(fresh, s.states[stream]) {
			s.t.Errorf("%s folded from the start differs:\n%s", stream, cmp.Diff(fresh, s.states[stream], everything))
		}
		if _, ok := fresh.(*User); !ok {
			continue
		}
		for _, finding := range auditLog(log, s.policy) {
			s.t.Errorf("%s: %s", stream, finding)
		}
	}
}

// auditLog lists the breaches of domain.md section 7 in a user's log.
func auditLog(log []record, p *Policy) []string {
	a := newAuditor(p)
	for _, r := range log {
		a.see(r)
	}
	return a.findings
}

func newAuditor(p *Policy) *auditor {
	return &auditor{
		p: p, ids: map[string]bool{}, txns: map[string]*auditedTxn{}, challenges: map[string]*auditedChallenge{},
		authenticators: map[string]Kind{}, messages: map[string]SMSRequested{}, asked: map[string]time.Time{},
	}
}

func (a *auditor) see(r record) {
	a.where = fmt.Sprintf("event %d, %T at %s", a.seen, r.Event, r.At.Format(time.RFC3339Nano))
	a.must(!r.At.Before(a.at), "time goes back")
	a.at = r.At
	a.seen++
	a.read(r.Event)
}

type auditor struct {
	p        *Policy
	seen     int
	at       time.Time
	where    string
	findings []string

	closed         bool
	ids            map[string]bool
	txns           map[string]*auditedTxn
	challenges     map[string]*auditedChallenge
	authenticators map[string]Kind
	messages       map[string]SMSRequested
	asked          map[string]time.Time // last request by phone and purpose that did not fail to send

	failures    []time.Time
	lockedUntil time.Time

	optOut     string
	optOutEnds *time.Time
}

type auditedTxn struct {
	platform Platform
	primary  bool
	expires  time.Time
	waived   bool
	verified bool
	ended    bool
	last     string // newest challenge
}

type auditedChallenge struct {
	txn      string
	expires  time.Time
	ended    bool
	verified bool
	wrong    int
}

func (a *auditor) breach(format string, args ...any) {
	a.findings = append(a.findings, a.where+": "+fmt.Sprintf(format, args...))
}

func (a *auditor) must(holds bool, rule string) {
	if !holds {
		a.breach("%s", rule)
	}
}

func (a *auditor) fresh(id string) {
	ref, ok := ParseRef(id)
	a.must(ok && ref.N > 0, "malformed id "+id)
	a.must(!a.ids[id], "id given out twice: "+id)
	a.ids[id] = true
}

func (a *auditor) read(e Event) {
	switch e.(type) {
	case SecurityNotificationSent, SecurityNotificationFailed, AuthenticationRefused:
	default:
		a.must(!a.closed, "event after UserClosed (I-4)")
	}
	switch e := e.(type) {
	case UserClosed:
		a.closed = true
		a.must(len(a.authenticators) == 0, "closed with active authenticators")
	case PhoneNumberAdded:
		a.fresh(e.PhoneID)
	case PhoneVerificationStarted:
		a.fresh(e.VerificationID)
	case EnrollmentStarted:
		a.fresh(e.EnrollmentID)
	case IdentityVerifiedByAgent:
		a.fresh(e.IDVID)
	case PushSent:
		a.fresh(e.PushID)
	case SecurityNotificationSent:
		a.fresh(e.NotificationID)
	case SecurityNotificationFailed:
		a.fresh(e.NotificationID)
	case SMSRequested:
		a.readSMSRequest(e)
	case SMSSendFailed:
		if m, ok := a.messages[e.SMSID]; ok {
			delete(a.asked, m.PhoneID+string(m.Purpose))
		}
	case AuthenticatorEnrolled:
		a.readEnrolled(e)
	case AuthenticatorRevoked:
		_, active := a.authenticators[e.AuthenticatorID]
		a.must(active, "revoked an authenticator that was not active")
		delete(a.authenticators, e.AuthenticatorID)
	case UserLocked:
		a.must(len(a.failures) == 10 && e.Failures == 10, "locked before the tenth failure (D-18)")
		a.must(e.LockedUntil.Equal(a.at.Add(24*time.Hour)) && e.LastCountedFailedAt.Equal(a.at), "lock does not end 24 h after the last failure")
		a.must(e.FirstFailureAt.Equal(a.failures[0]), "first failure is not the first that counts")
		a.lockedUntil = e.LockedUntil
	case UserUnlocked:
		a.must(e.By == "agent" || !a.at.Before(a.lockedUntil), "unlocked by time before time")
		a.failures, a.lockedUntil = nil, time.Time{}
	default:
		a.readAuthentication(e)
		a.readOptOut(e)
	}
}

func (a *auditor) readSMSRequest(e SMSRequested) {
	a.fresh(e.SMSID)
	key := e.PhoneID + string(e.Purpose)
	if last, ok := a.asked[key]; ok {
		a.must(a.at.Sub(last) >= 120*time.Second, "two messages within 120 s (D-10)")
	}
	a.asked[key], a.messages[e.SMSID] = a.at, e
}

func (a *auditor) readEnrolled(e AuthenticatorEnrolled) {
	a.fresh(e.AuthenticatorID)
	for _, kind := range a.authenticators {
		a.must(kind != KindIBKey || e.Kind != KindIBKey, "two active IB Keys (R-5)")
		a.must(kind != KindIBKey || e.Kind != KindSMS, "SMS enrolled beside IB Key (R-43)")
		a.must(kind != KindSMS || e.Kind != KindSMS, "SMS enrolled twice")
	}
	a.authenticators[e.AuthenticatorID] = e.Kind
}

func (a *auditor) readAuthentication(e Event) {
	switch e := e.(type) {
	case AuthenticationStarted:
		a.fresh(e.TxnID)
		a.must(!a.locked(), "started while locked")
		a.txns[e.TxnID] = &auditedTxn{platform: e.Platform}
	case PrimaryFactorVerified:
		t := a.open(e.TxnID)
		t.primary, t.expires = true, e.ExpiresAt
	case PrimaryFactorRejected:
		a.open(e.TxnID)
		a.failed(e.FailureCount)
	case SecondFactorWaived:
		a.readWaiver(e)
	case ChallengeIssued:
		a.readChallenge(e)
	case ChallengeCancelled:
		a.challenges[e.ChallengeID].ended = true
	case ChallengeExhausted:
		c := a.challenges[e.ChallengeID]
		a.must(c.wrong == 3, "exhausted without three wrong answers (D-17)")
		c.ended = true
	case ResponseVerified:
		a.readVerified(e)
	case ResponseRejected:
		a.readRejected(e)
	case AuthenticationSucceeded:
		a.readSuccess(e)
	case AuthenticationFailed:
		a.open(e.TxnID).ended = true
	case AuthenticationAbandoned:
		a.open(e.TxnID).ended = true
	}
}

func (a *auditor) locked() bool { return a.at.Before(a.lockedUntil) }

// open finds a transaction that must still be open.
func (a *auditor) open(id string) *auditedTxn {
	t := a.txns[id]
	if t == nil {
		a.breach("transaction %s was never started", id)
		return &auditedTxn{}
	}
	a.must(!t.ended, "transaction goes on after its end")
	return t
}

// failed counts a failure by the rules and compares.
func (a *auditor) failed(count int) {
	if !a.lockedUntil.IsZero() && !a.at.Before(a.lockedUntil) {
		a.failures, a.lockedUntil = nil, time.Time{}
	}
	a.must(!a.locked(), "counted while locked (D-19)")
	var kept []time.Time
	for _, at := range a.failures {
		if a.at.Sub(at) < 24*time.Hour {
			kept = append(kept, at)
		}
	}
	a.failures = append(kept, a.at)
	a.must(len(a.failures) == count, fmt.Sprintf("failure_count is %d, by the rules %d (D-18, D-21)", count, len(a.failures)))
	a.must(count <= 10, "more failures than the threshold")
}

func (a *auditor) readChallenge(e ChallengeIssued) {
	a.fresh(e.ChallengeID)
	t := a.open(e.TxnID)
	a.must(t.primary, "challenge before the primary factor (R-3)")
	a.must(a.at.Before(t.expires), "challenge after the transaction's time")
	a.must(!e.ExpiresAt.After(t.expires), "challenge outlives its transaction")
	_, active := a.authenticators[e.AuthenticatorID]
	a.must(active, "challenge to an authenticator that is not active")
	a.must(!a.locked(), "challenge while locked")
	if last := a.challenges[t.last]; last != nil {
		a.must(last.ended || last.verified || !a.at.Before(last.expires), "second open challenge (D-45)")
	}
	t.last = e.ChallengeID
	a.challenges[e.ChallengeID] = &auditedChallenge{txn: e.TxnID, expires: e.ExpiresAt}
}

func (a *auditor) readVerified(e ResponseVerified) {
	c := a.challenges[e.ChallengeID]
	a.must(!c.verified, "second ResponseVerified for a challenge (G-12)")
	a.must(!c.ended, "verified after its end")
	a.must(a.at.Before(c.expires), "verified at or after expires_at (D-4)")
	_, active := a.authenticators[e.AuthenticatorID]
	a.must(active, "verified by an authenticator that is not active")
	c.verified = true
	a.open(c.txn).verified = true
}

func (a *auditor) readRejected(e ResponseRejected) {
	a.must(e.AttemptsLeft >= 0, "attempts_left below zero")
	if !e.Counted {
		return
	}
	c := a.challenges[e.ChallengeID]
	a.must(!c.ended && !c.verified, "counted an answer to a closed challenge")
	c.wrong++
	a.must(e.AttemptNo == c.wrong && e.AttemptsLeft == 3-c.wrong, "attempts do not add up (D-17)")
	c.ended = e.Reason == ReasonDeclined
	a.failed(e.FailureCount)
}

func (a *auditor) readSuccess(e AuthenticationSucceeded) {
	a.fresh(e.SessionRef)
	t := a.open(e.TxnID)
	a.must(!a.locked(), "success while locked (K-23)")
	a.must(a.at.Before(t.expires), "success after the transaction's time")
	switch e.Factors {
	case 1:
		a.must(t.waived && e.ProtectionRank == 0, "one factor without SecondFactorWaived (R-1)")
	case 2:
		a.must(t.primary && t.verified, "two factors without both verified")
		a.failures = nil
	default:
		a.breach("factors is %d", e.Factors)
	}
	t.ended = true
}

func (a *auditor) readWaiver(e SecondFactorWaived) {
	t := a.open(e.TxnID)
	t.waived = true
	a.must(t.primary && t.platform != ClientPortal, "waived outside a trading platform (K-10)")
	a.must(e.OptOutID == a.optOut && a.optOut != "", "waived without an opt-out")
	a.must(a.optOutEnds == nil || a.at.Before(*a.optOutEnds), "waived after the opt-out's end (D-77)")
	a.must(e.Decision.Outcome == EffectPermit || e.Decision.Outcome == EffectUntil, "waived against the rules")
	a.recompute(e.Decision)
}

func (a *auditor) readOptOut(e Event) {
	switch e := e.(type) {
	case OptOutRequested:
		a.fresh(e.OptOutID)
	case OptOutGranted:
		a.optOut, a.optOutEnds = e.OptOutID, e.EndsAt
		a.must(e.Decision.Outcome == EffectPermit || e.Decision.Outcome == EffectUntil, "granted against the rules")
		a.recompute(e.Decision)
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

// recompute takes a decision again from nothing but itself and the policy it
// names (S-20).
func (a *auditor) recompute(d Decision) {
	a.must(d.PolicyVersion == a.p.Version && d.AsOf.Equal(a.at), "decision names another policy or moment")
	if again := a.p.Evaluate(d.Facts, d.AsOf); !reflect.DeepEqual(again, d) {
		a.breach("decision does not follow from its facts:\n%s", cmp.Diff(d, again))
	}
}
