package domain

import (
	"fmt"
	"time"
)

// What an auditor holds against logins: transactions, challenges, answers, the
// lock.

type auditedTxn struct {
	platform    Platform
	channel     ReleaseChannel
	purpose     Purpose
	primary     bool
	expires     time.Time
	waived      bool
	verified    bool
	ended       bool
	succeeded   bool
	succeededAt time.Time
	by          Kind
	last        string // newest challenge
	calls       []time.Time
}

type auditedChallenge struct {
	txn           string
	subject       string
	authenticator string
	kind          Kind
	cells         []int
	expires       time.Time
	ended         bool
	verified      bool
	smsAsked      bool
	wrong         int
}

func (a *auditor) openChallenge(c *auditedChallenge) bool {
	return !c.ended && !c.verified && a.at.Before(c.expires)
}

func (a *auditor) readAuthentication(e Event) {
	switch e := e.(type) {
	case AuthenticationStarted:
		a.fresh(e.TxnID)
		a.must(!a.locked(), "started while locked")
		a.txns[e.TxnID] = &auditedTxn{platform: e.Platform, channel: e.ReleaseChannel, purpose: e.Purpose}
	case PrimaryFactorVerified:
		t := a.open(e.TxnID)
		t.primary, t.expires = true, e.ExpiresAt
	case PrimaryFactorRejected:
		a.open(e.TxnID)
		a.failed(e.FailureCount)
	case SecondFactorWaived:
		a.readWaiver(e)
	case SecondFactorOffered:
		a.must(a.open(e.TxnID).primary, "offered before the primary factor (R-26)")
		for _, o := range e.Options {
			a.must(a.answers(o.AuthenticatorID), "offered an authenticator that is not active")
		}
	case ChallengeIssued:
		a.readChallenge(e)
	case ChallengeCancelled:
		c := a.challenges[e.ChallengeID]
		a.must(c != nil && !c.ended && !c.verified, "cancelled a challenge that was over")
		c.ended = true
	case ChallengeExhausted:
		c := a.challenges[e.ChallengeID]
		a.must(c.wrong == 3, "exhausted without three wrong answers (D-17)")
		c.ended = true
	case ChallengeExpired:
		c := a.challenges[e.ChallengeID]
		a.must(c != nil && !a.at.Before(c.expires), "noted as expired before its time")
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
	case UserLocked:
		a.must(len(a.failures) == 10 && e.Failures == 10, "locked before the tenth failure (D-18)")
		a.must(e.LockedUntil.Equal(a.at.Add(24*time.Hour)) && e.LastCountedFailedAt.Equal(a.at), "lock does not end 24 h after the last failure")
		a.must(len(a.failures) == 0 || e.FirstFailureAt.Equal(a.failures[0]), "first failure is not the first that counts")
		a.lockedUntil = e.LockedUntil
	case UserUnlocked:
		a.must(e.By == "agent" || !a.at.Before(a.lockedUntil), "unlocked by time before time")
		if e.By == "agent" {
			a.identified(e.IDVID)
		}
		a.failures, a.lockedUntil = nil, time.Time{}
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

// lives is how long a challenge of a mode may be open (D-12 to D-15).
var lives = map[Mode]time.Duration{
	ModePush: 180 * time.Second, ModeChallengeResponse: 300 * time.Second, ModeGrid: 300 * time.Second,
	ModeStaticCode: 300 * time.Second, ModeSMSCode: 600 * time.Second,
}

func (a *auditor) readChallenge(e ChallengeIssued) {
	a.fresh(e.ChallengeID)
	t := a.txns[e.TxnID]
	if t == nil {
		a.breach("challenge in transaction %s, which was never started", e.TxnID)
		return
	}
	a.must(t.primary, "challenge before the primary factor (R-3)")
	if e.Kind == KindOSCC && e.SubjectID != "" {
		a.recentPortal(e.TxnID, "")
	} else {
		a.must(!t.ended, "challenge after its transaction's end")
		a.must(a.at.Before(t.expires) && !e.ExpiresAt.After(t.expires), "challenge outlives its transaction")
	}
	a.must(!e.ExpiresAt.After(a.at.Add(lives[e.Mode])), "challenge is open for too long")
	a.must(!a.locked(), "challenge while locked")
	if last := a.challenges[t.last]; last != nil {
		a.must(!a.openChallenge(last), "second open challenge (D-45)")
		a.must(len(last.cells) == 0 || last.authenticator != e.AuthenticatorID || last.cells[0] == e.GridIndices[0] && last.cells[1] == e.GridIndices[1],
			"other cells of the same card in one transaction")
	}
	a.mayAsk(e)
	t.last = e.ChallengeID
	a.challenges[e.ChallengeID] = &auditedChallenge{
		txn: e.TxnID, subject: e.SubjectID, authenticator: e.AuthenticatorID, kind: e.Kind, cells: e.GridIndices, expires: e.ExpiresAt,
	}
}

// mayAsk: a login asks an active authenticator, a process whatever it is about.
func (a *auditor) mayAsk(e ChallengeIssued) {
	ref, _ := ParseRef(e.SubjectID)
	switch ref.Prefix {
	case PrefixEnrollment, PrefixSharing:
		a.must(a.openProcess(a.process(e.SubjectID)), "challenge for a process that is not open")
		a.fresh(e.AuthenticatorID)
		a.promised[e.AuthenticatorID] = e.Kind
	case PrefixMigration, PrefixRecovery:
		a.must(a.openProcess(a.process(e.SubjectID)), "challenge for a process that is not open")
		a.must(a.answers(e.AuthenticatorID) && e.Kind.Physical(), "only an active physical device proves a move (K-19)")
	case PrefixAuthenticator:
		_, card := a.promised[e.AuthenticatorID]
		a.must(e.SubjectID == e.AuthenticatorID && (card || a.bound[e.AuthenticatorID] != nil), "challenge about an authenticator that is not there")
		a.process(e.SubjectID).proved = false
	default:
		a.must(e.SubjectID == "" && a.answers(e.AuthenticatorID), "challenge to an authenticator that is not active")
	}
}

func (a *auditor) readVerified(e ResponseVerified) {
	c := a.challenges[e.ChallengeID]
	if c == nil {
		a.breach("verified an answer to no challenge")
		return
	}
	a.must(e.TxnID == c.txn && e.AuthenticatorID == c.authenticator, "answer and challenge do not belong together (R-24)")
	a.must(!c.verified, "second ResponseVerified for a challenge (G-12)")
	a.must(!c.ended, "verified after its end")
	a.must(a.at.Before(c.expires), "verified at or after expires_at (D-4)")
	a.must(!a.locked(), "verified while locked (K-23)")
	c.verified = true
	if c.kind.Permanent() {
		a.temporary = false
	}
	ref, _ := ParseRef(c.subject)
	if c.subject == "" || ref.Prefix == PrefixMigration || ref.Prefix == PrefixRecovery {
		a.must(a.answers(e.AuthenticatorID), "verified by an authenticator that is not active")
	}
	if c.subject != "" {
		p := a.process(c.subject)
		a.must(ref.Prefix == PrefixAuthenticator || a.openProcess(p), "proved to a process that was over")
		p.proved = true
		return
	}
	t := a.open(c.txn)
	t.verified = true
	if t.purpose != PurposeLogin && c.kind.Permanent() {
		a.stepUp = a.at
	}
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
	a.must(t.purpose == PurposeLogin || t.purpose == PurposeStepUp, "a process is no login")
	switch e.Factors {
	case 1:
		a.must(t.waived && e.ProtectionRank == 0, "one factor without SecondFactorWaived (R-1)")
	case 2:
		c := a.challenges[t.last]
		a.must(t.primary && t.verified && c != nil && c.verified && c.kind == e.AuthenticatorKind, "two factors without both verified")
		a.must(e.ProtectionRank == map[Kind]int{KindSMS: 1, KindSCC: 1, KindOSCC: 1, KindIBKey: 2, KindDSCPlus: 3}[e.AuthenticatorKind], "protection rank (D-60)")
		a.readScope(e, t)
		a.failures = nil
	default:
		a.breach("factors is %d", e.Factors)
	}
	t.ended, t.succeeded, t.succeededAt, t.by = true, true, a.at, e.AuthenticatorKind
}

// readScope: a temporary passcode opens everything only within 48 hours and
// never where a second factor is mandatory (D-56).
func (a *auditor) readScope(e AuthenticationSucceeded, t *auditedTxn) {
	if e.AuthenticatorKind != KindTempCode {
		a.must(e.Scope != "recovery_only", "recovery scope by something other than a temporary passcode")
		return
	}
	if e.Scope == "recovery_only" {
		a.must(t.platform == ClientPortal, "recovery scope outside the portal (D-56)")
		return
	}
	for _, x := range a.bound {
		if x.kind == KindTempCode {
			a.must(a.at.Before(x.fullUntil), "full scope by a temporary passcode after 48 h, or where it never had it (K-1)")
		}
	}
	a.must(!a.policies.builtIn() || !a.livesIn("HK", hongKongForce) && !a.livesIn("IN", indiaTempForce), "full scope by a temporary passcode in HK or IN (D-56)")
}

// Dates of domain.md 9.2 as moments.
var (
	hongKongForce  = time.Date(2018, 4, 26, 16, 0, 0, 0, time.UTC)
	indiaForce     = time.Date(2014, 3, 24, 18, 30, 0, 0, time.UTC)
	indiaTempForce = time.Date(2022, 9, 30, 18, 30, 0, 0, time.UTC)
)

// livesIn reports whether the user lives in a country now, from a moment on.
// Days begin at midnight there.
func (a *auditor) livesIn(cc string, since time.Time) bool {
	east := map[string]time.Duration{"HK": 8 * time.Hour, "IN": 5*time.Hour + 30*time.Minute, "JP": 9 * time.Hour}
	var home datedCountry
	for _, r := range a.residences {
		day, err := time.Parse(time.DateOnly, r.on)
		if err == nil && r.on >= home.on && !day.Add(-east[r.cc]).After(a.at) {
			home = r
		}
	}
	return home.cc == cc && !a.at.Before(since)
}
