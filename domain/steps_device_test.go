package domain

import "time"

// Steps with physical units, cards and temporary passcodes.

const (
	cardID      = PrefixDevice + "_" + ownKey
	otherCardID = PrefixDevice + "_" + otherKey
	thirdCardID = PrefixDevice + "_00000000000000000000000003"
	cardSuite   = "OCRA-1:HOTP-SHA256-8:C-QN06"
)

// unit registers a Digital Security Card+ with its maker's data, once.
func unit(id string) step {
	return func(s *story) {
		s.t.Helper()
		if v, ok := s.states[DeviceStream(id)].(*Device); ok && v.Registered() {
			return
		}
		s.when(RegisterDevice{DeviceID: id, Model: ModelDSCPlus, Manufacturer: "m", Serial: id, Suite: cardSuite, Counter: 7})
		s.then(PhysicalDeviceRegistered{DeviceID: id, OCRASuite: cardSuite, NextCounter: 7})
	}
}

// ordered has a card ordered.
func ordered(s *story) {
	s.t.Helper()
	s.when(RequestPhysicalDevice{UserID: s.who, Model: ModelDSCPlus, EquityUSDMinor: 100_000_000, ShipTo: Clear("1 Road")})
	s.then(PhysicalDeviceRequested{Model: ModelDSCPlus, PINChosen: true})
}

// sent has a registered card ordered and sent on the story's day.
func sent(id string) step {
	return func(s *story) {
		s.t.Helper()
		s.and(ordered)
		s.when(RecordDeviceShipped{DeviceID: id, RequestID: s.id(PrefixRequest), DispatchedOn: s.now.Format(time.DateOnly)})
		s.and(noted)
	}
}

// noted is the reaction that tells the user's stream of a shipment.
func noted(s *story) {
	s.t.Helper()
	e := the[PhysicalDeviceShipped](s)
	s.when(NoteDeviceShipped{UserID: e.UserID, DeviceID: e.DeviceID, RequestID: e.RequestID, DispatchedOn: e.DispatchedOn, DueOn: e.ActivationDueOn})
	s.then(PhysicalDeviceShipped{DeviceID: e.DeviceID, ActivationDueOn: e.ActivationDueOn})
}

// dscPlus is a user with an active Digital Security Card+; who has another
// permanent authenticator proved it first.
func dscPlus(id string) step {
	return func(s *story) {
		s.t.Helper()
		s.and(unit(id), sent(id), steppedUp(PurposeActivation))
		s.when(StartEnrollment{UserID: s.who, Kind: KindDSCPlus, DeviceID: id, TxnID: s.id(PrefixTransaction)})
		s.then(EnrollmentStarted{DeviceID: id}, ChallengeIssued{Kind: KindDSCPlus, DeviceID: id})
		s.when(answerTo(s), response(8))
		must[AuthenticatorEnrolled](s)
	}
}

// steppedUp opens a transaction for a process and proves the strongest
// permanent authenticator in it, if there is one.
func steppedUp(purpose Purpose) step {
	return func(s *story) {
		s.t.Helper()
		s.and(password(purpose, ClientPortal))
		if !s.user().active(s.now, permanent) {
			return
		}
		s.when(IssueChallenge{TxnID: s.id(PrefixTransaction), AuthenticatorID: s.user().Authenticators(s.now)[0].ID})
		s.and(answered)
		must[ResponseVerified](s)
	}
}

// answered gives the right answer to the challenge just issued.
func answered(s *story) {
	s.t.Helper()
	switch c := the[ChallengeIssued](s); {
	case c.Mode == ModePush:
		uv := UVFaceID
		if a, _ := s.user().IBKey(); a.OS == Android {
			uv = UVFingerprint
		}
		s.when(decisionOn(s, c.InstallationID), approved(uv))
	case c.Kind == KindDSCPlus:
		s.when(answerTo(s), response(s.user().onDeviceCounter(c.DeviceID)+1))
	case c.Mode == ModeSMSCode:
		s.when(answerTo(s), code(1))
	case c.Mode == ModeChallengeResponse:
		s.when(answerTo(s), ocra(true))
	default:
		s.when(answerTo(s), matched)
	}
}

func (u *User) onDeviceCounter(id string) uint64 {
	if a := u.onDevice(id); a != nil {
		return a.Counter
	}
	return 0
}

// matched is the right cells of a card, or the right passcode.
func matched(f *Facts) { f.Code = CodeEvidence{LenOK: true, CharsetOK: true, Matched: true} }

// wrong is something well formed that is not right.
func wrong(f *Facts) { f.Code = CodeEvidence{LenOK: true, CharsetOK: true} }

// identified has had the caller's identity verified by an agent.
func identified(s *story) {
	s.t.Helper()
	s.when(VerifyIdentityByPhone{UserID: s.who, AgentRef: "agent-7", Method: "questions"})
	s.then(IdentityVerifiedByAgent{AgentRef: "agent-7"})
}

// passcodeFor replaces a missing authenticator by a temporary passcode.
func passcodeFor(missing string) step {
	return func(s *story) {
		s.t.Helper()
		s.and(identified)
		s.when(IssueTemporaryPasscode{UserID: s.who, MissingAuthenticatorID: missing})
		must[TemporaryPasscodeIssued](s)
	}
}

// onlineCard has an online card, activated in the portal after a login there.
func onlineCard(s *story) {
	s.t.Helper()
	s.and(login(ClientPortal), answered)
	s.when(IssueCodeCard{UserID: s.who, Kind: KindOSCC, TxnID: s.id(PrefixTransaction)}).then(OnlineCodeCardIssued{Cells: 224})
	s.when(ActivateCodeCard{AuthenticatorID: s.id(PrefixAuthenticator)}).then(ChallengeIssued{Mode: ModeGrid})
	s.when(answerTo(s), matched)
	must[AuthenticatorEnrolled](s)
}

// printedCard has a security code card while policy allows one.
func printedCard(s *story) {
	s.t.Helper()
	s.and(parameter(pSCCIssue, 1))
	s.when(IssueCodeCard{UserID: s.who, Kind: KindSCC}).then(SecurityCodeCardIssued{Cells: 224})
	id := s.id(PrefixAuthenticator)
	s.and(steppedUp(PurposeActivation))
	s.when(ActivateCodeCard{AuthenticatorID: id, TxnID: s.id(PrefixTransaction)}).then(ChallengeIssued{Kind: KindSCC, Mode: ModeGrid})
	s.when(answerTo(s), matched)
	must[AuthenticatorEnrolled](s)
}

// compliance is who changes the rule book.
func compliance(f *Facts) { f.Actor = Actor{Kind: ActorCompliance, Ref: "compliance"} }

// agent is who acts for a user on the telephone.
func agent(f *Facts) { f.Actor = Actor{Kind: ActorAgent, Ref: "agent-7"} }

// parameter sets a parameter from the story's day on.
func parameter(name string, value int64) step {
	return func(s *story) {
		s.t.Helper()
		s.when(SetParameter{Parameter: name, Value: value, EffectiveFrom: s.now.Format(time.DateOnly), Reason: "test"}, compliance)
		s.then(PolicyParameterSet{Name: name, EffectiveFrom: s.now.Format(time.DateOnly)})
	}
}

// kind is the user's bound authenticator of a kind.
func kindOf(s *story, k Kind) Authenticator {
	s.t.Helper()
	for _, a := range s.user().Bound() {
		if a.Kind == k {
			return a
		}
	}
	s.t.Fatalf("no %s is bound", k)
	return Authenticator{}
}

// status is what became of the user's authenticators: kind to status.
func statuses(s *story) map[Kind]string {
	out := map[Kind]string{}
	for _, a := range s.user().Bound() {
		out[a.Kind] = a.Status(s.now)
	}
	return out
}
