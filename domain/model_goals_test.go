package domain

import (
	"time"

	"pgregory.net/rapid"
)

// What a user or a thief would do next, with the evidence for it: the way into
// the states that chance alone hardly reaches.

// sensible is what an honest user would do next. It may be nothing.
func (m *model) sensible() (Command, evidence) {
	if m.thief && m.boolean("thief's turn") {
		return m.attempt()
	}
	for _, next := range []goal{beForgotten, placeCall, answerQuestion, finishEnrollment, finishMigration, finishRecovery} {
		if c, proof := next(m); c != nil {
			return c, proof
		}
	}
	if m.goal == nil || rapid.IntRange(0, 7).Draw(m.rt, "patience") == 7 {
		m.goal = goals[(rapid.IntRange(0, len(goals)-1).Draw(m.rt, "goal")+m.steps)%len(goals)]
	}
	return m.goal(m)
}

// goal is one next step on the way to something, or nothing.
type goal func(*model) (Command, evidence)

var goals = []goal{
	logIn, getCard, getCard, bridge, bridge, find, migrate, recoverKey, unify, share, changePIN, callMe, callMe, printCard, deliver, enroll, emigrate, emigrate,
}

// placeCall is what a gateway does with a call that was asked for.
func placeCall(m *model) (Command, evidence) {
	switch c, ok := m.s.user().Call(m.newest(PrefixCall)); {
	case !ok || c.Placed:
		return nil, nil
	case !c.Dispatched:
		return RecordVoiceDispatch{CallID: c.ID, Gateway: "g"}, code(0)
	default:
		return RecordVoicePlaced{CallID: c.ID, PlacedAt: m.s.now}, code(0)
	}
}

// emigrate opts out, moves to where that is forbidden, and comes back.
func emigrate(m *model) (Command, evidence) {
	home := m.s.user().ResidenceAt(m.s.now, m.s.current())
	abroad := home == "HK" || home == "IN"
	move := RecordResidence{UserID: aliceID, To: "DE", EffectiveOn: m.s.now.Format(time.DateOnly)}
	switch out := m.s.user().OptedOut(m.s.now) != nil; {
	case out && abroad:
		return ReevaluateRegime{UserID: aliceID, Cause: "residence_change"}, code(0)
	case out:
		move.To = rapid.SampledFrom([]string{"HK", "IN"}).Draw(m.rt, "abroad")
		return move, code(0)
	case abroad:
		return move, code(0)
	}
	return optOut(), code(0)
}

// answerQuestion answers the newest challenge rightly, or not quite.
func answerQuestion(m *model) (Command, evidence) {
	id := m.newest(PrefixChallenge)
	c, ok := m.s.user().Challenge(id)
	if !ok || !c.Open(m.s.now) {
		return nil, nil
	}
	right := m.often("knows")
	switch {
	case c.Mode == ModePush && !m.often("online"):
		return RequestFallback{ChallengeID: id, Cause: CauseNoInternet}, code(0)
	case c.Mode == ModePush:
		uv := UVFaceID
		if a, _ := m.s.user().IBKey(); a.OS == Android {
			uv = UVFingerprint
		}
		return DecidePush{ChallengeID: id, InstallationID: c.InstallationID, Document: "d", Signature: "s"}, approved(uv)
	case c.Mode == ModeSMSCode && len(c.Codes) == 0:
		return ResendLoginCode{ChallengeID: id}, code(0)
	case c.Mode == ModeSMSCode && c.CallID == "" && m.boolean("it did not come"):
		return RequestVoiceCall{ChallengeID: id}, code(0)
	case c.Mode == ModeSMSCode:
		return SubmitResponse{ChallengeID: id}, code(c.Codes[len(c.Codes)-1].Seq)
	case !right:
		return SubmitResponse{ChallengeID: id}, wrong
	case c.Kind == KindDSCPlus:
		return SubmitResponse{ChallengeID: id, TxnID: c.TxnID}, func(f *Facts) {
			matched(f)
			if f.Device != nil {
				f.Code.NextCounter = f.Device.NextCounter + 1
			}
		}
	case c.Mode == ModeChallengeResponse:
		return SubmitResponse{ChallengeID: id, TxnID: c.TxnID}, ocra(true)
	}
	return SubmitResponse{ChallengeID: id, TxnID: c.TxnID}, matched
}

func finishEnrollment(m *model) (Command, evidence) {
	id := m.newest(PrefixEnrollment)
	e, ok := m.s.user().Enrollment(id)
	switch {
	case !ok || e.Done || e.Closed || len(e.Codes) == 0 || !m.s.now.Before(e.StartedAt.Add(30*time.Minute)):
		return nil, nil
	case !e.Accepted:
		return SubmitActivationCode{EnrollmentID: id}, code(e.Codes[len(e.Codes)-1].Seq)
	}
	return CompleteEnrollment{EnrollmentID: id, UV: localCheck(e.OS)}, code(0)
}

func localCheck(os OS) UV {
	if os == Android {
		return UVAppPIN
	}
	return UVFaceID
}

func finishMigration(m *model) (Command, evidence) {
	id := m.newest(PrefixMigration)
	switch move, ok := m.s.user().Migration(id); {
	case !ok || !move.Open(m.s.now):
	case move.Proved:
		return CompleteMigration{MigrationID: id, UV: localCheck(move.OS)}, code(0)
	case len(move.Codes) > 0:
		return ProveMigration{MigrationID: id}, code(move.Codes[len(move.Codes)-1].Seq)
	}
	return nil, nil
}

func finishRecovery(m *model) (Command, evidence) {
	id := m.newest(PrefixRecovery)
	switch r, ok := m.s.user().Recovery(id); {
	case !ok || !r.Open(m.s.now):
	case r.Proved || r.Proof == "original_uv":
		return CompleteRecovery{RecoveryID: id, UV: localCheck(r.OS)}, code(0)
	case len(r.Codes) > 0:
		return ProveRecovery{RecoveryID: id}, code(r.Codes[len(r.Codes)-1].Seq)
	}
	return nil, nil
}

// inTransaction is the next step towards a command that needs the password
// and, where it binds something, the answer of a permanent authenticator.
func (m *model) inTransaction(purpose Purpose, then func(txn string) Command, facts ...evidence) (Command, evidence) {
	id := m.newest(PrefixTransaction)
	t, ok := m.s.user().Transaction(id)
	if !ok || t.Purpose != purpose || t.Closed || !m.s.now.Before(t.ExpiresAt) {
		return StartAuthentication{UserID: aliceID, Purpose: purpose, Platform: ClientPortal, PrimaryVerified: true}, code(0)
	}
	binds := purpose == PurposeActivation || purpose == PurposeDeviceSharing
	if a := m.strongest(); binds && a != "" && t.Proved == "" {
		return IssueChallenge{TxnID: id, AuthenticatorID: a}, code(0)
	}
	proof := code(0)
	if len(facts) > 0 {
		proof = facts[0]
	}
	return then(id), proof
}

// strongest is Alice's most protective active permanent authenticator, or "".
func (m *model) strongest() string {
	for _, a := range m.s.user().Authenticators(m.s.now) {
		if a.Kind.Permanent() {
			return a.ID
		}
	}
	return ""
}

// having is a bound authenticator of a kind.
func (m *model) having(k Kind) (Authenticator, bool) {
	for _, a := range m.s.user().Bound() {
		if a.Kind == k {
			return a, true
		}
	}
	return Authenticator{}, false
}

// inPortal is a recent login to the portal by a kind of authenticator.
func (m *model) inPortal(by Kind) (string, bool) {
	id := m.newest(PrefixTransaction)
	t, _ := m.s.user().Transaction(id)
	return id, t.Succeeded && t.Platform == ClientPortal && t.SucceededBy == by && m.s.now.Before(t.SucceededAt.Add(time.Hour))
}

func logIn(m *model) (Command, evidence) {
	return StartAuthentication{UserID: aliceID, Purpose: PurposeLogin, Platform: ClientPortal, PrimaryVerified: true}, code(0)
}

func enroll(m *model) (Command, evidence) {
	return m.inTransaction(PurposeActivation, func(txn string) Command {
		return StartEnrollment{UserID: aliceID, Kind: KindIBKey, InstallationID: iphoneID, TxnID: txn}
	})
}

// getCard orders, receives and activates a card.
func getCard(m *model) (Command, evidence) {
	free := ""
	for _, id := range []string{cardID, otherCardID} {
		if _, ok := m.s.user().ShippedDevice(id); ok {
			return m.inTransaction(PurposeActivation, func(txn string) Command {
				return StartEnrollment{UserID: aliceID, Kind: KindDSCPlus, DeviceID: id, TxnID: txn}
			})
		}
		if v := m.s.states[DeviceStream(id)].(*Device); v.UserID == aliceID && !v.Returned {
			if r, ok := m.s.user().DeviceRequest(v.RequestID); ok && !r.Shipped {
				return noteShipped(m), code(0)
			}
		} else if v.UserID == "" || v.Returned {
			free = id
		}
	}
	if r, ok := m.s.user().DeviceRequest(m.newest(PrefixRequest)); ok && !r.Shipped && free != "" {
		return RecordDeviceShipped{DeviceID: free, RequestID: r.ID, DispatchedOn: m.s.now.Format(time.DateOnly)}, code(0)
	}
	return RequestPhysicalDevice{UserID: aliceID, Model: ModelDSCPlus, EquityUSDMinor: 1 << 40}, code(0)
}

// bridge loses a device, gets a passcode, an online card, and reactivates the
// device with it.
func bridge(m *model) (Command, evidence) {
	u, now := m.s.user(), m.s.now
	if card, ok := m.having(KindOSCC); ok && card.Active(now) {
		lost := ""
		for _, a := range u.Bound() {
			if a.Kind.Permanent() && a.Suspended != "" {
				lost = a.ID
			}
		}
		if txn, in := m.inPortal(KindOSCC); in && lost != "" {
			return ReactivateAuthenticator{AuthenticatorID: lost, Proof: "oscc", TxnID: txn}, code(0)
		}
		return logIn(m)
	}
	if passcode, ok := m.having(KindTempCode); ok && passcode.Active(now) {
		txn, in := m.inPortal(KindTempCode)
		if card, ok := u.CodeCard(m.newest(PrefixAuthenticator)); in && ok {
			return ActivateCodeCard{AuthenticatorID: card.ID}, code(0)
		}
		if in {
			return IssueCodeCard{UserID: aliceID, Kind: KindOSCC, TxnID: txn}, code(0)
		}
		return logIn(m)
	}
	if a := m.strongest(); a != "" && now.Before(u.idvUntil) {
		return IssueTemporaryPasscode{UserID: aliceID, MissingAuthenticatorID: a}, code(0)
	}
	return VerifyIdentityByPhone{UserID: aliceID, AgentRef: "a", Method: "m"}, code(0)
}

// find proves a suspended authenticator, or loses one.
func find(m *model) (Command, evidence) {
	for _, a := range m.s.user().Bound() {
		if a.Kind.Permanent() && a.Suspended != "" {
			return m.inTransaction(PurposeRecovery, func(txn string) Command {
				return ReactivateAuthenticator{AuthenticatorID: a.ID, Proof: "own_response", TxnID: txn}
			})
		}
	}
	if a := m.strongest(); a != "" {
		return ReportLost{AuthenticatorID: a, By: "client"}, code(0)
	}
	return nil, nil
}

func migrate(m *model) (Command, evidence) {
	key, ok := m.s.user().IBKey()
	if !ok {
		return enroll(m)
	}
	target := pixelID
	if key.InstallationID == pixelID {
		target = thirdID
	}
	return m.inTransaction(PurposeMigration, func(txn string) Command {
		return StartMigration{UserID: aliceID, InstallationID: target, TxnID: txn}
	})
}

func recoverKey(m *model) (Command, evidence) {
	key, ok := m.s.user().IBKey()
	if !ok {
		return enroll(m)
	}
	target := map[string]string{iphoneID: thirdID, thirdID: iphoneID, pixelID: pixelID}[key.InstallationID]
	return m.inTransaction(PurposeRecovery, func(txn string) Command {
		return StartRecovery{UserID: aliceID, InstallationID: target, TxnID: txn, Cause: "reinstalled"}
	}, handedOver)
}

func unify(m *model) (Command, evidence) {
	if n, ok := m.s.user().Unification(m.newest(PrefixUnification)); ok && !n.Done {
		return CompleteUnification{UnificationID: n.ID}, handedOver
	}
	if _, ok := m.s.user().IBKey(); !ok {
		return enroll(m)
	}
	return DetectUnification{UserID: aliceID, InstallationID: thirdID, Case: "both", StandaloneInstallationID: iphoneID}, code(0)
}

// share asks for Bob's card; compliance grants what waits for it.
func share(m *model) (Command, evidence) {
	if s, ok := m.s.user().Sharing(m.newest(PrefixSharing)); ok && s.Status == "pending" {
		return DecideDeviceSharing{SharingID: s.ID, Grant: true}, code(0)
	}
	if shared, ok := m.having(KindDSCPlus); ok && shared.SharingID != "" {
		return RevokeAuthenticator{AuthenticatorID: shared.ID, Reason: "client_request"}, code(0)
	}
	return m.inTransaction(PurposeDeviceSharing, func(txn string) Command {
		return RequestDeviceSharing{UserID: aliceID, AuthenticatorID: m.bobs(), TxnID: txn, IdentityMatch: true}
	})
}

// bobs is Bob's strongest authenticator.
func (m *model) bobs() string {
	return m.s.states[UserStream(bobID)].(*User).Authenticators(m.s.now)[0].ID
}

func changePIN(m *model) (Command, evidence) {
	card, ok := m.having(KindDSCPlus)
	if !ok {
		return getCard(m)
	}
	return m.inTransaction(PurposePINChange, func(txn string) Command {
		return ChangeDevicePIN{AuthenticatorID: card.ID, TxnID: txn}
	})
}

// callMe logs in by SMS; the call itself comes before the answer by chance.
func callMe(m *model) (Command, evidence) {
	return StartAuthentication{
		UserID: aliceID, Purpose: PurposeLogin, Platform: TWS, ReleaseChannel: Latest, PrimaryVerified: true, Defer: !m.often("at once"),
	}, code(0)
}

func printCard(m *model) (Command, evidence) {
	if card, ok := m.s.user().CodeCard(m.newest(PrefixAuthenticator)); ok && card.Kind == KindSCC {
		return m.inTransaction(PurposeActivation, func(txn string) Command {
			return ActivateCodeCard{AuthenticatorID: card.ID, TxnID: txn}
		})
	}
	return IssueCodeCard{UserID: aliceID, Kind: KindSCC}, code(0)
}

// deliver has a credential wait in the app, and collects it.
func deliver(m *model) (Command, evidence) {
	key, ok := m.s.user().IBKey()
	if !ok {
		return enroll(m)
	}
	if w := m.s.user().Credentials(key.InstallationID, m.s.now); len(w) > 0 {
		return CollectTemporaryCredential{DeliveryID: w[0].ID, InstallationID: key.InstallationID}, signed
	}
	if !m.s.now.Before(m.s.user().idvUntil) {
		return VerifyIdentityByPhone{UserID: aliceID, AgentRef: "a", Method: "m"}, code(0)
	}
	return DeliverTemporaryCredential{UserID: aliceID, ResetRef: "r", What: "reset_password", Channel: "in_app"}, code(0)
}

// attempt is what somebody without the secrets would try next.
func (m *model) attempt() (Command, evidence) {
	id := m.newest(PrefixChallenge)
	c, _ := m.s.user().Challenge(id)
	switch {
	case !c.Open(m.s.now):
		return StartAuthentication{UserID: aliceID, Purpose: PurposeLogin, Platform: TWS, PrimaryVerified: m.boolean("knows the password")}, code(0)
	case c.Mode == ModePush:
		return DecidePush{ChallengeID: id, InstallationID: c.InstallationID}, declined
	}
	return SubmitResponse{ChallengeID: id}, code(0)
}
