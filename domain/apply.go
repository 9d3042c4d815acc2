package domain

import "time"

// Apply records an event of the user's stream. at is the moment it was decided.
func (u *User) Apply(e Event, at time.Time) {
	if extendsRetention(e) {
		u.recordedAt = at
	}
	switch e := e.(type) {
	case UserRegistered:
		u.registered, u.ID, u.ClientID, u.Role, u.Locale = true, e.UserID, e.ClientID, e.Role, e.Locale
	case ResidenceChanged:
		u.residences = append(u.residences, datedCountry{cc: e.To, on: e.EffectiveOn})
	case AccountAccessGranted:
		u.access = append(u.access, datedAccess{clientID: e.ClientID, granted: true, on: e.EffectiveOn})
	case AccountAccessRevoked:
		u.access = append(u.access, datedAccess{clientID: e.ClientID, on: e.EffectiveOn})
	case UserClosed:
		u.closed, u.optOut = true, nil
	case SeamlessEnabled:
		u.seamless = true
	case SeamlessDisabled:
		u.seamless = false
	case IdentityVerifiedByAgent:
		u.idvID, u.idvUntil = e.IDVID, e.ExpiresAt
		u.took(e.IDVID)
	case IdentityVerificationFailed:
		u.idvID, u.idvUntil = "", time.Time{}
	case UserLocked:
		u.lockedUntil, u.lockOpen = e.LockedUntil, true
	case UserUnlocked:
		u.lockedUntil, u.lockOpen, u.failures = time.Time{}, false, nil
	case SecurityNotificationSent:
		u.took(e.NotificationID)
	case PersonalDataRevealed:
		u.took(e.RevealID)
	case SecurityNotificationFailed:
		u.took(e.NotificationID)
	default:
		u.applyPhone(e, at)
		u.applyEnrollment(e, at)
		u.applyAuthentication(e, at)
		u.applyChallenge(e, at)
		u.applyOptOut(e, at)
		u.applyVoice(e, at)
		u.applyLifecycle(e, at)
		u.applyPhysical(e, at)
		u.applyCodeCard(e, at)
		u.applyTemporary(e, at)
		u.applyMigration(e, at)
		u.applyRecovery(e, at)
		u.applyUnification(e, at)
		u.applySharing(e, at)
		u.applyErasure(e)
		u.applyHold(e, at)
	}
}

// took notes that an id was given out.
func (u *User) took(id string) {
	if ref, ok := ParseRef(id); ok && ref.N > u.n {
		u.n = ref.N
	}
}

func (u *User) applyPhone(e Event, at time.Time) {
	switch e := e.(type) {
	case PhoneNumberAdded:
		u.took(e.PhoneID)
		u.phones[e.PhoneID] = &Phone{ID: e.PhoneID, CC: e.CC, Line: e.Line, Number: e.Number, Order: len(u.phones)}
	case PhoneVerificationStarted:
		u.took(e.VerificationID)
		if p := u.phones[e.PhoneID]; p != nil {
			if old := u.verifications.get(p.open); old != nil {
				old.Replaced = true
			}
			p.open = e.VerificationID
		}
		u.verifications.add(e.VerificationID, &Verification{ID: e.VerificationID, PhoneID: e.PhoneID})
	case ConfirmCodeIssued:
		if v := u.verifications.get(e.VerificationID); v != nil {
			v.Codes, v.Attempts = withCode(v.Codes, Issued{Seq: e.Seq, Kid: e.Kid, Len: e.CodeLen, ExpiresAt: e.ExpiresAt}), 0
		}
	case PhoneNumberVerified:
		if p := u.phones[e.PhoneID]; p != nil {
			p.Verified, p.VerifiedAt = true, at
		}
		if v := u.verifications.get(e.VerificationID); v != nil {
			v.Done = true
		}
	case PhoneVerificationRejected:
		if v := u.verifications.get(e.VerificationID); v != nil && e.AttemptNo > v.Attempts {
			v.Attempts = e.AttemptNo
			v.Entries++
		}
	case PhoneNumberReplaced:
		u.retire(e.OldPhoneID)
	case PhoneNumberRemoved:
		u.retire(e.PhoneID)
	case SMSRequested:
		u.took(e.SMSID)
		u.cooldowns[cooldownKey{e.PhoneID, e.Purpose}] = cooldown{at: at, smsID: e.SMSID}
		u.messages.add(e.SMSID, &SMS{ID: e.SMSID, PhoneID: e.PhoneID, Purpose: e.Purpose, RequestedAt: at, receipts: map[string]bool{}})
		if c := u.challenges.get(e.SubjectID); c != nil {
			c.SMSID, c.SMSAsked = e.SMSID, true
		}
	case SMSRequestRefused:
		if c := u.challenges.get(e.SubjectID); c != nil && e.Reason == ReasonSMSCooldown {
			c.SMSAsked = true
		}
	case SMSDispatchStarted:
		u.message(e.SMSID, func(m *SMS) { m.Dispatched = true })
	case SMSDispatchUncertain:
		u.message(e.SMSID, func(m *SMS) { m.Uncertain = true })
	case SMSSent:
		u.message(e.SMSID, func(m *SMS) { m.Sent = true })
	case CodeEmailed:
		u.message(e.SMSID, func(m *SMS) { m.Emailed = true })
	case SMSDelivered:
		u.message(e.SMSID, func(m *SMS) { m.receipts["delivered"] = true })
	case SMSDeliveryFailed:
		u.message(e.SMSID, func(m *SMS) { m.receipts["failed:"+e.Failure] = true })
	case SMSSendFailed:
		u.message(e.SMSID, func(m *SMS) {
			m.Failed = true
			key := cooldownKey{m.PhoneID, m.Purpose}
			if u.cooldowns[key].smsID == m.ID {
				delete(u.cooldowns, key)
			}
		})
	}
}

func (u *User) message(id string, change func(*SMS)) {
	if m := u.messages.get(id); m != nil {
		change(m)
	}
}

func (u *User) retire(phoneID string) {
	if p := u.phones[phoneID]; p != nil {
		p.Retired = true
	}
}

func (u *User) applyEnrollment(e Event, at time.Time) {
	switch e := e.(type) {
	case EnrollmentStarted:
		u.took(e.EnrollmentID)
		u.enrollments.add(e.EnrollmentID, &Enrollment{
			ID: e.EnrollmentID, Kind: e.Kind, InstallationID: e.InstallationID, PhoneID: e.PhoneID, DeviceID: e.DeviceID,
			Flow: e.Flow, OS: e.OS, HandsetID: e.HandsetID, StartedAt: at,
		})
	case ActivationCodeIssued:
		if r := u.enrollments.get(e.SubjectID); r != nil {
			r.Codes, r.Attempts = withCode(r.Codes, issuedActivation(e)), 0
		}
	case ActivationCodeAccepted:
		if r := u.enrollments.get(e.SubjectID); r != nil {
			r.Accepted = true
		}
	case ActivationCodeRejected:
		if r := u.enrollments.get(e.SubjectID); r != nil && e.AttemptNo > r.Attempts {
			r.Attempts = e.AttemptNo
		}
	case UserVerificationPerformed:
		if r := u.enrollments.get(e.EnrollmentID); r != nil {
			r.Done = true
		}
	case EnrollmentAbandoned:
		if r := u.enrollments.get(e.EnrollmentID); r != nil {
			r.Closed = true
		}
	case EnrollmentExpired:
		if r := u.enrollments.get(e.EnrollmentID); r != nil {
			r.expired = true
		}
	case AuthenticatorEnrolled:
		u.took(e.AuthenticatorID)
		a := &Authenticator{
			ID: e.AuthenticatorID, Kind: e.Kind, InstallationID: e.InstallationID, DeviceID: e.DeviceID, SharingID: e.SharingID,
			PhoneID: e.PhoneID, ActivationID: e.ActivationPhoneID, OS: e.OS, Suite: e.OCRASuite, Counter: e.NextCounter, Kid: e.Kid,
			Cells: e.Cells, Commitment: e.GridCommitment, Restricted: e.Restricted, Trigger: e.Trigger, EnrolledAt: at,
		}
		if e.FullUntil != nil {
			a.FullUntil = *e.FullUntil
		}
		if e.ExpiresAt != nil {
			a.ExpiresAt = *e.ExpiresAt
		}
		u.authenticators = append(u.authenticators, a)
	case AuthenticatorRevoked:
		kept := u.authenticators[:0:0]
		for _, a := range u.authenticators {
			if a.ID != e.AuthenticatorID {
				kept = append(kept, a)
			}
		}
		u.authenticators = kept
	}
}

func (u *User) applyAuthentication(e Event, at time.Time) {
	switch e := e.(type) {
	case AuthenticationStarted:
		u.took(e.TxnID)
		u.transactions.add(e.TxnID, &Transaction{
			ID: e.TxnID, Purpose: e.Purpose, Platform: e.Platform, Channel: e.ReleaseChannel, ClientVersion: e.ClientVersion,
			DeviceRef: e.InitiatingDeviceRef,
		})
	case PrimaryFactorVerified:
		u.transaction(e.TxnID, func(t *Transaction) {
			t.PrimaryOK, t.ExpiresAt, t.EnrollOnly = true, e.ExpiresAt, t.Purpose == PurposeActivation
		})
	case PrimaryFactorRejected:
		u.countFailure(e.FailureCount, at)
	case SecondFactorOffered:
		u.transaction(e.TxnID, func(t *Transaction) { t.Offered = e.Options })
	case EnrollmentRequired:
		u.transaction(e.TxnID, func(t *Transaction) { t.EnrollOnly = true })
	case AuthenticationSucceeded:
		u.took(e.SessionRef)
		u.transaction(e.TxnID, func(t *Transaction) {
			t.Closed, t.Succeeded, t.Factors, t.SessionRef = true, true, e.Factors, e.SessionRef
			t.SucceededAt, t.SucceededBy, t.Scope = at, e.AuthenticatorKind, e.Scope
		})
		if e.Factors == 2 {
			u.failures = nil
		}
	case AuthenticationFailed:
		u.transaction(e.TxnID, func(t *Transaction) { t.Closed, t.FailReason = true, e.Reason })
	case AuthenticationAbandoned:
		u.transaction(e.TxnID, func(t *Transaction) { t.Closed = true })
	}
}

func (u *User) transaction(id string, change func(*Transaction)) {
	if t := u.transactions.get(id); t != nil {
		change(t)
	}
}

// countFailure notes a counted failure. count is what the decision said: a
// lower one than before means that older failures had left the window.
func (u *User) countFailure(count int, at time.Time) {
	if keep := count - 1; keep < len(u.failures) {
		u.failures = append([]time.Time(nil), u.failures[len(u.failures)-keep:]...)
	}
	u.failures = append(u.failures, at)
	if u.lockOpen && !at.Before(u.lockedUntil) {
		u.lockOpen = false
	}
}

func (u *User) applyChallenge(e Event, at time.Time) {
	switch e := e.(type) {
	case ChallengeIssued:
		u.took(e.ChallengeID)
		u.addChallenge(e, at)
	case LoginCodeIssued:
		u.challenge(e.ChallengeID, func(c *Challenge) {
			c.Codes = withCode(c.Codes, Issued{Seq: e.Seq, Kid: e.Kid, Len: e.CodeLen, Via: e.Via, ExpiresAt: e.ExpiresAt})
		})
	case ChallengeCancelled:
		u.challenge(e.ChallengeID, func(c *Challenge) { c.Cancelled = e.Reason })
	case ChallengeExhausted:
		u.challenge(e.ChallengeID, func(c *Challenge) { c.Exhausted = true })
	case ChallengeExpired:
		u.challenge(e.ChallengeID, func(c *Challenge) { c.expired = true })
	case ResponseVerified:
		u.challenge(e.ChallengeID, func(c *Challenge) {
			c.Verified = true
			u.transaction(c.TxnID, func(t *Transaction) {
				if c.SubjectID == "" && !t.Purpose.asks() {
					t.Proved = c.Kind
				}
			})
		})
		if a := u.bound(e.AuthenticatorID); a != nil {
			a.Counter = max(a.Counter, e.NextCounter)
		}
		if e.OCRAStep != 0 {
			u.rememberStep(usedResponse{challengeID: e.ChallengeID, step: e.OCRAStep, at: at})
		}
	case ResponseRejected:
		u.challenge(e.ChallengeID, func(c *Challenge) {
			c.DeclinedByUser = c.DeclinedByUser || e.Reason == ReasonDeclined
			if e.Counted {
				c.Attempts = e.AttemptNo
			}
		})
		if e.Counted {
			u.countFailure(e.FailureCount, at)
		}
	case PushSent:
		u.took(e.PushID)
		u.challenge(e.ChallengeID, func(c *Challenge) { c.PushSentAt, c.PushID = at, e.PushID })
	case PushFailed:
		u.took(e.PushID)
		u.challenge(e.ChallengeID, func(c *Challenge) { c.PushFailed = true })
	case PushOpened:
		u.challenge(e.ChallengeID, func(c *Challenge) { c.OpenedAt = e.OpenedAt })
	}
}

func (u *User) addChallenge(e ChallengeIssued, at time.Time) {
	c := &Challenge{
		ID: e.ChallengeID, TxnID: e.TxnID, AuthenticatorID: e.AuthenticatorID, SubjectID: e.SubjectID, Kind: e.Kind, Mode: e.Mode,
		InstallationID: e.InstallationID, DeviceID: e.DeviceID, Kid: e.Kid, NumberMatching: e.NumberMatching, MaxAttempts: e.MaxAttempts,
		IssuedAt: at, ExpiresAt: e.ExpiresAt,
	}
	copy(c.Cells[:], e.GridIndices)
	u.took(e.AuthenticatorID) // assigned with the challenge, when it is to be bound
	u.transaction(e.TxnID, func(t *Transaction) {
		if old := u.challenges.get(t.LastChallenge); old != nil {
			c.Supersedes, old.SupersededBy = old.ID, c.ID
		}
		t.OpenChallenge, t.LastChallenge = c.ID, c.ID
		if e.Mode == ModePush {
			t.Pushes++
		}
	})
	u.challenges.add(c.ID, c)
	if e.Mode != ModePush {
		return
	}
	kept := u.pushes[:0:0]
	for _, p := range u.pushes {
		if at.Sub(p) < time.Hour {
			kept = append(kept, p)
		}
	}
	u.pushes = append(kept, at)
}

func (u *User) challenge(id string, change func(*Challenge)) {
	if c := u.challenges.get(id); c != nil {
		change(c)
	}
}

func (u *User) rememberStep(s usedResponse) {
	kept := u.usedSteps[:0:0]
	for _, old := range u.usedSteps {
		if s.at.Sub(old.at) < stepMemory {
			kept = append(kept, old)
		}
	}
	u.usedSteps = append(kept, s)
}

func (u *User) applyOptOut(e Event, at time.Time) {
	switch e := e.(type) {
	case OptOutRequested:
		u.took(e.OptOutID)
	case OptOutGranted:
		u.optOut = &OptOut{ID: e.OptOutID, GrantedAt: at, EndsAt: e.EndsAt, RuleID: e.Decision.DecisiveRuleID}
	case OptOutRevoked, OptedBackIn:
		u.optOut = nil
	}
}
