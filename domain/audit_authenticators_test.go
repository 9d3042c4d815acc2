package domain

import "time"

// What an auditor holds against the life of authenticators.

type auditedAuthenticator struct {
	kind      Kind
	device    string
	suspended string
	ends      time.Time // zero for never
	fullUntil time.Time // of a temporary passcode
}

// answers reports whether an authenticator can answer now.
func (a *auditor) answers(id string) bool {
	x := a.bound[id]
	return x != nil && x.suspended == "" && (x.ends.IsZero() || a.at.Before(x.ends))
}

func (a *auditor) anyAnswers(accept func(Kind) bool) bool {
	for id, x := range a.bound {
		if accept(x.kind) && a.answers(id) {
			return true
		}
	}
	return false
}

// settle holds the authenticators against each other, between appends.
func (a *auditor) settle() {
	count := map[Kind]int{}
	devices := map[string]bool{}
	for _, x := range a.bound {
		count[x.kind]++
		if x.device != "" {
			a.must(!devices[x.device], "two authenticators of one user on one unit")
			devices[x.device] = true
		}
	}
	a.must(a.privacy.undecided == "", "an erasure was asked for and nothing said to it")
	a.must(count[KindIBKey] <= 1, "two bound IB Keys (R-5)")
	a.must(count[KindSMS] <= 1, "SMS bound twice")
	a.must(count[KindTempCode] <= 1 && count[KindOSCC] <= 1, "two temporary passcodes or two online cards")
	a.must(!a.anyAnswers(isSMS) || !a.anyAnswers(Kind.Permanent), "SMS active beside an active permanent authenticator (D-42, R-43)")
	if a.bereft {
		a.must(a.anyAnswers(isLasting), "the user was left without an authenticator (D-43)")
		a.bereft = false
	}
}

func isSMS(k Kind) bool { return k == KindSMS }

func isLasting(k Kind) bool { return !k.Temporary() }

func (a *auditor) readAuthenticator(e Event) {
	if _, ok := e.(AuthenticatorEnrolled); !ok {
		a.verified = ""
	}
	switch e := e.(type) {
	case UserVerificationPerformed:
		p := a.process(e.EnrollmentID)
		a.must(p.proved, "local check without the right code or response (R-11)")
		a.must(!p.done, "enrolment completed twice")
		p.done, a.verified = true, e.EnrollmentID
	case AuthenticatorEnrolled:
		a.readEnrolled(e)
	case AuthenticatorRevoked:
		x := a.bound[e.AuthenticatorID]
		a.must(x != nil, "revoked an authenticator that was not bound")
		switch e.Reason {
		case "client_request", "defective", "returned":
			a.bereft = a.bereft || x != nil && isLasting(x.kind) && a.answers(e.AuthenticatorID)
		}
		delete(a.bound, e.AuthenticatorID)
		a.ended[e.AuthenticatorID] = a.write
	case AuthenticatorSuspended:
		if x := a.bound[e.AuthenticatorID]; x != nil {
			a.must(x.suspended != e.Reason, "suspended twice for the same reason")
			x.suspended = e.Reason
			return
		}
		a.breach("suspended an authenticator that was not bound")
	case AuthenticatorReactivated:
		a.readReactivated(e)
	case AuthenticatorReportedLost:
		a.must(a.bound[e.AuthenticatorID] != nil, "reported lost what was not bound")
		if e.By == "agent" {
			a.identified(e.IDVID)
		}
	case DevicePINChanged:
		c := a.challenges[e.ChallengeID]
		a.must(c != nil && c.verified && c.subject == e.AuthenticatorID && a.txns[c.txn].purpose == PurposePINChange, "PIN changed without a response made with it (K-18)")
		a.must(a.answers(e.AuthenticatorID), "PIN of an authenticator changed that is not active")
	case PhysicalDeviceShipped:
		a.shipped[e.DeviceID] = e.ActivationDueOn
	case PhysicalDeviceRequested:
		a.fresh(e.RequestID)
		a.must(e.EquityCheck.Passed, "ordered below the threshold (K-7)")
		a.must(len(a.bound) > 0, "ordered by somebody who is not enrolled")
	}
}

// readEnrolled asks for what must come before a binding, by its trigger. An
// event that a test appended by itself has none.
func (a *auditor) readEnrolled(e AuthenticatorEnrolled) {
	if _, ok := a.promised[e.AuthenticatorID]; ok {
		a.must(a.promised[e.AuthenticatorID] == e.Kind, "bound as another kind than announced")
		delete(a.promised, e.AuthenticatorID)
	} else {
		a.fresh(e.AuthenticatorID)
	}
	switch e.Trigger {
	case "user":
		if e.Kind.Grid() {
			a.must(a.process(e.AuthenticatorID).proved, "card bound without two of its cells (K-4)")
			break
		}
		a.must(a.verified != "", "bound without a local check (R-12)")
	case "auto_sms":
		a.must(e.Kind == KindSMS && e.Restricted, "only SMS is enrolled by itself, and it is restricted")
	case "auto_14_days":
		due, sent := a.shipped[e.DeviceID]
		a.must(sent && a.at.Format(time.DateOnly) >= due, "activated by itself before its day (D-29)")
	case "migration", "recovery":
		a.must(a.underWay(e.Trigger) != nil, "moved without a proof (R-53, K-19)")
	case "sharing":
		a.must(a.process(e.SharingID).done && e.SharingID != "", "shared without a grant (K-14)")
	case "temporary":
		a.must(e.Kind.Temporary() && e.ExpiresAt != nil, "temporary without an end")
		if e.Kind == KindOSCC {
			a.must(a.process(e.AuthenticatorID).proved, "card bound without two of its cells (K-4)")
			a.must(e.ExpiresAt.Equal(a.at.Add(504*time.Hour)), "online card does not end after 504 h (D-27)")
		}
	case "":
	default:
		a.breach("unknown trigger %s", e.Trigger)
	}
	x := &auditedAuthenticator{kind: e.Kind, device: e.DeviceID}
	if e.ExpiresAt != nil {
		x.ends = *e.ExpiresAt
	}
	if e.FullUntil != nil {
		x.fullUntil = *e.FullUntil
	}
	a.bound[e.AuthenticatorID], a.enrolled = x, e.AuthenticatorID
	delete(a.shipped, e.DeviceID)
}

// readReactivated: three proofs, and one suspicion that only an agent clears.
func (a *auditor) readReactivated(e AuthenticatorReactivated) {
	x := a.bound[e.AuthenticatorID]
	if x == nil || x.suspended == "" {
		a.breach("reactivated what was not suspended")
		return
	}
	switch e.Proof {
	case "own_response":
		p := a.process(e.AuthenticatorID)
		a.must(p.proved, "reactivated without its own response")
		p.proved = false
		a.must(x.suspended != suspendedCompromise, "a suspected authenticator cleared itself")
	case "oscc":
		a.recentPortal(e.TxnID, KindOSCC)
	case "agent":
		a.identified(e.IDVID)
	default:
		a.breach("unknown proof %s", e.Proof)
	}
	a.must(x.kind != KindIBKey || x.suspended != suspendedPIN, "a blocked PIN ended without recovery (domain.md 8)")
	x.suspended = ""
}

// recentPortal asks for a login to the portal within the last hour, by a kind
// of authenticator if one is named.
func (a *auditor) recentPortal(txn string, by Kind) {
	t := a.txns[txn]
	a.must(t != nil && t.succeeded && t.platform == ClientPortal && t.purpose == PurposeLogin && a.at.Before(t.succeededAt.Add(time.Hour)),
		"no login to the portal within the last hour (K-4)")
	if t != nil && by != "" {
		a.must(t.by == by, "the login was by another authenticator")
	}
}
