package domain

import "time"

// What an auditor holds against the processes: enrolment, migration, recovery,
// unification, sharing, voice, temporary access.

type auditedProcess struct {
	kind    string
	proof   string // what it must be proved by
	expires time.Time
	proved  bool // a right code or response
	settled bool // its own event says that it is proved
	done    bool
	over    bool // given up or denied
	refers  string
}

// process is the record of a process; that of an authenticator in its own
// matter begins with the first question about it.
func (a *auditor) process(id string) *auditedProcess {
	if a.processes[id] == nil {
		a.processes[id] = &auditedProcess{}
	}
	return a.processes[id]
}

func (a *auditor) openProcess(p *auditedProcess) bool {
	return p.kind != "" && !p.done && !p.over && a.at.Before(p.expires)
}

// underWay is the one open process of a kind that is proved, or nil.
func (a *auditor) underWay(kind string) *auditedProcess {
	for _, p := range a.processes {
		if p.kind == kind && a.openProcess(p) && p.settled {
			return p
		}
	}
	return nil
}

func (a *auditor) begin(id, kind, proof string, expires time.Time) {
	a.fresh(id)
	if kind == "migration" || kind == "recovery" {
		for _, p := range a.processes {
			a.must(p.kind != kind || !a.openProcess(p), "two open at once: "+kind)
		}
	}
	a.processes[id] = &auditedProcess{kind: kind, proof: proof, expires: expires}
}

func (a *auditor) readProcess(e Event) {
	switch e := e.(type) {
	case EnrollmentStarted:
		a.begin(e.EnrollmentID, "enrollment", "", a.at.Add(30*time.Minute))
		a.must(!a.anyAnswers(Kind.Permanent) || a.at.Sub(a.stepUp) < 10*time.Minute, "another authenticator without a step-up (G-12)")
	case EnrollmentAbandoned:
		a.process(e.EnrollmentID).over = true
	case ActivationCodeAccepted:
		p := a.process(e.SubjectID)
		a.must(a.openProcess(p), "code accepted for a process that is not open")
		a.must(p.kind == "enrollment" || p.proof == "sms", "proved by SMS where a physical device must (K-19)")
		p.proved = true
	case MigrationStarted:
		a.begin(e.MigrationID, "migration", e.Proof, e.ExpiresAt)
		a.must(e.ExpiresAt.Equal(a.at.Add(10*time.Minute)), "a migration must be proved within ten minutes")
		a.must((e.Proof == "physical_device") == a.anyAnswers(Kind.Physical), "a physical device replaces the SMS, if there is one (R-53)")
		a.must(a.bound[e.FromAuthenticatorID] != nil && a.bound[e.FromAuthenticatorID].kind == KindIBKey, "nothing to migrate")
	case MigrationProofAccepted:
		p := a.process(e.MigrationID)
		a.must(a.openProcess(p) && p.proved && p.proof == e.Proof, "migration proved by nothing")
		p.settled, p.expires = true, e.CompleteBy
	case MigrationCompleted:
		a.complete(a.process(e.MigrationID), e.FromAuthenticatorID, e.ToAuthenticatorID)
	case MigrationCancelled:
		a.process(e.MigrationID).over = true
	case RecoveryStarted:
		a.begin(e.RecoveryID, "recovery", e.Proof, e.ExpiresAt)
		a.must(e.HandsetMatch, "recovery on another phone (K-19)")
		a.must((e.Proof == "physical_device") == a.anyAnswers(Kind.Physical), "a physical device replaces the SMS, if there is one (K-19)")
		p := a.process(e.RecoveryID)
		p.settled, p.refers = e.Proof == "original_uv", e.AuthenticatorID
	case RecoveryProofAccepted:
		p := a.process(e.RecoveryID)
		a.must(a.openProcess(p) && p.proved && p.proof == e.Proof, "recovery proved by nothing")
		p.settled = true
	case RecoveryCompleted:
		p := a.process(e.RecoveryID)
		a.complete(p, p.refers, e.NewAuthenticatorID)
	case RecoveryCancelled:
		a.process(e.RecoveryID).over = true
	case UnificationOffered:
		a.begin(e.UnificationID, "unification", "", a.at.AddDate(1000, 0, 0))
		a.process(e.UnificationID).refers = e.AuthenticatorID
		a.process(e.UnificationID).over = true // it may wait for ever
	case UnificationCompleted:
		p := a.process(e.UnificationID)
		a.must(p.refers == e.AuthenticatorID && !p.done && a.answers(e.AuthenticatorID), "unified what was not offered (D-62)")
		p.done = true
	default:
		a.readSharing(e)
		a.readVoice(e)
	}
}

// complete ends a move: the old authenticator went and the new one came in the
// same append, after a proof (D-50).
func (a *auditor) complete(p *auditedProcess, from, to string) {
	a.must(a.openProcess(p) && p.settled, "completed without a proof (R-53)")
	a.must(p.proof == "physical_device" || !a.anyAnswers(Kind.Physical), "completed by SMS although a physical device is active (K-19)")
	a.must(a.ended[from] == a.write && a.enrolled == to && a.bound[to] != nil && a.bound[from] == nil, "not one append (D-50)")
	p.done = true
}

func (a *auditor) readSharing(e Event) {
	switch e := e.(type) {
	case DeviceSharingRequested:
		a.begin(e.SharingID, "sharing", "", a.at.AddDate(1000, 0, 0))
		if e.SameClient || e.IdentityMatch {
			a.process(e.SharingID).refers = e.DeviceID
		}
	case DeviceSharingPending:
		a.must(a.process(e.SharingID).proved, "to compliance without a response of the unit")
	case DeviceSharingGranted:
		p := a.process(e.SharingID)
		a.must(a.openProcess(p) && p.proved && p.refers != "", "granted without a response of the unit, or to somebody else (K-14)")
		a.must(!a.anyAnswers(Kind.Temporary), "granted to the holder of a temporary authenticator (K-14)")
		p.done = true
	case DeviceSharingDenied:
		p := a.process(e.SharingID)
		a.must(a.openProcess(p), "denied what was decided")
		p.over = true
	case DeviceSharingEnded:
		a.must(a.process(e.SharingID).done && a.bound[e.AuthenticatorID] == nil, "sharing ended while it lasts")
	}
}

// readVoice is and D-44.
func (a *auditor) readVoice(e Event) {
	call, ok := e.(VoiceCallRequested)
	if !ok {
		return
	}
	a.fresh(call.CallID)
	c := a.challenges[call.ChallengeID]
	if c == nil || !a.openChallenge(c) {
		a.breach("call about a challenge that is not open")
		return
	}
	t := a.open(c.txn)
	a.must(c.kind == KindSMS && t.purpose == PurposeLogin, "call to somebody who does not log in by SMS (R-45)")
	a.must(c.smsAsked, "call before any SMS request (D-44)")
	a.must(t.platform != WebTrader && (t.platform != TWS || t.channel == Latest || t.channel == Beta), "call on an unsupported platform (R-46)")
	a.must(len(t.calls) < 3, "fourth call in a transaction (D-44)")
	a.must(len(t.calls) == 0 || a.at.Sub(t.calls[len(t.calls)-1]) >= time.Minute, "two calls within a minute (D-44)")
	t.calls = append(t.calls, a.at)
}

func (a *auditor) readTemporary(e Event) {
	switch e := e.(type) {
	case TemporaryPasscodeIssued:
		a.fresh(e.AuthenticatorID)
		a.promised[e.AuthenticatorID] = KindTempCode
		a.identified(e.IDVID)
		a.must(!a.temporary, "two passcodes in a row (D-55)")
		a.temporary = true
		missing := a.bound[e.MissingAuthenticatorID]
		a.must(missing != nil && missing.kind.Permanent(), "a passcode for nothing that is missing")
		a.must(e.EndsAt.Equal(a.at.Add(288*time.Hour)) && (e.FullUntil == nil || e.FullUntil.Equal(a.at.Add(48*time.Hour))), "passcode of another length (D-26)")
	case OnlineCodeCardIssued:
		a.fresh(e.AuthenticatorID)
		a.promised[e.AuthenticatorID] = KindOSCC
		a.recentPortal(e.TxnID, "")
	case SecurityCodeCardIssued:
		a.fresh(e.AuthenticatorID)
		a.promised[e.AuthenticatorID] = KindSCC
	case TemporaryCredentialDelivered:
		a.fresh(e.DeliveryID)
		a.identified(a.idv)
		a.waiting[e.DeliveryID] = e
	case TemporaryCredentialCollected:
		w, ok := a.waiting[e.DeliveryID]
		a.must(ok && w.ExpiresAt != nil && a.at.Before(*w.ExpiresAt) && w.InstallationID == e.InstallationID, "collected what was not there, or twice")
		a.must(a.anyAnswers(func(k Kind) bool { return k == KindIBKey }), "collected in an app that does not answer")
		delete(a.waiting, e.DeliveryID)
	}
}
