package domain

import (
	"testing"
	"time"
)

// The life of an authenticator after its binding (domain.md 6.4, 8, D-43).

func TestLostAuthenticatorIsSuspended(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey)
	key := s.id(PrefixAuthenticator)
	s.when(ReportLost{AuthenticatorID: key, By: "client"}).then(
		AuthenticatorReportedLost{AuthenticatorID: key, By: "client"}, AuthenticatorSuspended{AuthenticatorID: key, Reason: "reported_lost"},
	)
	s.when(ReportLost{AuthenticatorID: key, By: "client"}).thenNothing()
	if a := kindOf(s, KindIBKey); a.Status(s.now) != "suspended" || !a.SuspendedAt.Equal(s.now) {
		t.Errorf("IB Key is %+v, want suspended now", a)
	}
}

func TestAgentReportsALossAfterVerifyingIdentity(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey)
	lost := ReportLost{AuthenticatorID: s.id(PrefixAuthenticator), By: "agent"}
	s.when(lost).then(SuspensionRefused{AuthenticatorID: lost.AuthenticatorID, Reason: ReasonIDVRequired})
	s.and(identified).when(lost).then(AuthenticatorReportedLost{By: "agent", IDVID: s.id(PrefixIDV)}, AuthenticatorSuspended{})
	lost.By = "neighbour"
	s.when(lost).thenError(Invalid)
}

func TestWhatCannotBeLost(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms)
	s.when(ReportLost{AuthenticatorID: kindOf(s, KindSMS).ID, By: "client"}).then(SuspensionRefused{Reason: ReasonNotActive})
	s.when(ReportLost{AuthenticatorID: s.user().ref(PrefixAuthenticator, 900), By: "client"}).thenError(Unknown)
	s.and(dscPlus(cardID))
	card := kindOf(s, KindDSCPlus).ID
	s.when(RevokeAuthenticator{AuthenticatorID: card, Reason: "lost"})
	s.when(ReportLost{AuthenticatorID: card, By: "client"}).then(SuspensionRefused{Reason: ReasonNotActive})
}

func TestSuspendedAuthenticatorThatIsMissedIsNotedAsLost(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey)
	key := s.id(PrefixAuthenticator)
	s.when(SuspendAuthenticator{AuthenticatorID: key, Reason: "compromise_suspected"}).then(AuthenticatorSuspended{Reason: "compromise_suspected"})
	s.when(ReportLost{AuthenticatorID: key, By: "client"}).then(AuthenticatorReportedLost{})
	if a := kindOf(s, KindIBKey); a.Suspended != "compromise_suspected" || !a.ReportedLost {
		t.Errorf("IB Key is %+v, want suspected and lost", a)
	}
}

func TestGraverReasonTakesThePlaceOfTheOneBefore(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey)
	suspend := SuspendAuthenticator{AuthenticatorID: s.id(PrefixAuthenticator)}
	for _, c := range []struct {
		reason  string
		changes bool
	}{
		{"reported_lost", true}, {"reported_lost", false}, {"pin_blocked", true}, {"reported_lost", false}, {"compromise_suspected", true},
		{"pin_blocked", false}, {"compromise_suspected", false},
	} {
		suspend.Reason = c.reason
		if s.when(suspend); c.changes {
			s.then(AuthenticatorSuspended{Reason: c.reason})
		} else {
			s.thenNothing()
		}
	}
	suspend.Reason = "temp_code_issued"
	s.when(suspend).thenError(Invalid)
	suspend.Reason, suspend.AuthenticatorID = "pin_blocked", s.user().ref(PrefixAuthenticator, 900)
	s.when(suspend).thenError(Unknown)
	revoked := given(t, alice, ibKey)
	key := revoked.id(PrefixAuthenticator)
	revoked.when(RevokeAuthenticator{AuthenticatorID: key, Reason: "lost"})
	revoked.when(SuspendAuthenticator{AuthenticatorID: key, Reason: "pin_blocked"}).then(SuspensionRefused{AuthenticatorID: key, Reason: ReasonNotActive})
}

// lostKey is Alice whose IB Key is reported lost.
func lostKey(s *story) {
	s.t.Helper()
	s.and(alice, ibKey).when(ReportLost{AuthenticatorID: s.id(PrefixAuthenticator), By: "client"})
}

func TestFoundAuthenticatorProvesItselfByAResponse(t *testing.T) {
	t.Parallel()
	s := given(t, lostKey, password(PurposeActivation, ClientPortal))
	key := kindOf(s, KindIBKey).ID
	s.when(ReactivateAuthenticator{AuthenticatorID: key, Proof: "own_response", TxnID: s.id(PrefixTransaction)}).then(
		ChallengeIssued{AuthenticatorID: key, SubjectID: key, Mode: ModeChallengeResponse, InstallationID: iphoneID},
	)
	s.when(answerTo(s), wrong).then(ResponseRejected{Reason: ReasonResponseWrong, FailureCount: 1})
	s.when(answerTo(s), ocra(true)).then(ResponseVerified{}, AuthenticatorReactivated{AuthenticatorID: key, Proof: "own_response", TxnID: s.id(PrefixTransaction)})
	if a := kindOf(s, KindIBKey); a.Suspended != "" || a.ReportedLost || !a.SuspendedAt.IsZero() {
		t.Errorf("IB Key is %+v, want as before the loss", a)
	}
	s.when(ReactivateAuthenticator{AuthenticatorID: key, Proof: "agent"}).then(ReactivationRefused{AuthenticatorID: key, Proof: "agent", Reason: ReasonNotSuspended})
}

func TestAgentReactivatesAfterVerifyingIdentity(t *testing.T) {
	t.Parallel()
	s := given(t, lostKey)
	again := ReactivateAuthenticator{AuthenticatorID: kindOf(s, KindIBKey).ID, Proof: "agent"}
	s.when(again).then(ReactivationRefused{Proof: "agent", Reason: ReasonIDVRequired})
	s.and(identified).when(again).then(AuthenticatorReactivated{Proof: "agent", IDVID: s.id(PrefixIDV)})
}

func TestReactivationByOnlineCardNeedsALoginWithIt(t *testing.T) {
	t.Parallel()
	by := func(s *story) *story {
		return s.when(ReactivateAuthenticator{AuthenticatorID: kindOf(s, KindDSCPlus).ID, Proof: "oscc", TxnID: s.id(PrefixTransaction)})
	}
	by(germanLostCard(t).and(login(ClientPortal), answered)).then(ReactivationRefused{Proof: "oscc", Reason: ReasonOSCCScope})
	by(germanLostCard(t).and(onlineCard, login(TWS), answered)).then(ReactivationRefused{Reason: ReasonOSCCScope})
	by(germanLostCard(t).and(onlineCard, login(ClientPortal), answered, later(time.Hour))).then(ReactivationRefused{Reason: ReasonOSCCScope})
	by(germanLostCard(t).and(onlineCard, login(ClientPortal), answered, later(time.Hour-time.Millisecond)))
}

func TestWhoReactivatesNothing(t *testing.T) {
	t.Parallel()
	own := func(s *story) ReactivateAuthenticator {
		return ReactivateAuthenticator{AuthenticatorID: kindOf(s, KindIBKey).ID, Proof: "own_response", TxnID: s.id(PrefixTransaction)}
	}
	s := given(t, lostKey, later(10*time.Minute))
	s.when(own(s)).then(ReactivationRefused{Reason: ReasonPrimaryRequired}) // the password is ten minutes old
	wrong := given(t, lostKey, wrongPassword)
	wrong.when(own(wrong)).then(ReactivationRefused{Reason: ReasonPrimaryRequired})
	s.and(password(PurposePINChange, ClientPortal)).when(own(s)).then(ReactivationRefused{Reason: ReasonPrimaryRequired})
	s.and(password(PurposeActivation, ClientPortal), lockedOut).when(own(s)).then(ReactivationRefused{Reason: ReasonUserLocked})
	unclear := own(s)
	unclear.Proof = "honestly"
	s.when(unclear).thenError(Invalid)
	unclear = own(s)
	unclear.AuthenticatorID = s.user().ref(PrefixAuthenticator, 900)
	s.when(unclear).thenError(Unknown)
	gone := given(t, alice, ibKey)
	key := own(gone)
	gone.when(RevokeAuthenticator{AuthenticatorID: key.AuthenticatorID, Reason: "lost"})
	gone.when(key).then(ReactivationRefused{Reason: ReasonNotActive})
}

func TestSuspicionIsClearedByAnAgentOnly(t *testing.T) {
	t.Parallel()
	s := germanLostCard(t).and(onlineCard)
	card := kindOf(s, KindDSCPlus).ID
	s.when(SuspendAuthenticator{AuthenticatorID: card, Reason: "compromise_suspected"}).then(AuthenticatorSuspended{})
	s.and(password(PurposeActivation, ClientPortal))
	s.when(ReactivateAuthenticator{AuthenticatorID: card, Proof: "own_response", TxnID: s.id(PrefixTransaction)}).then(ReactivationRefused{Reason: ReasonIDVRequired})
	s.and(login(ClientPortal), answered)
	s.when(ReactivateAuthenticator{AuthenticatorID: card, Proof: "oscc", TxnID: s.id(PrefixTransaction)}).then(ReactivationRefused{Reason: ReasonIDVRequired})
	s.and(identified).when(ReactivateAuthenticator{AuthenticatorID: card, Proof: "agent"})
	must[AuthenticatorReactivated](s)
}

func TestSuspicionRaisedBetweenQuestionAndAnswerStands(t *testing.T) {
	t.Parallel()
	s := given(t, lostKey, password(PurposeActivation, ClientPortal))
	key := kindOf(s, KindIBKey).ID
	s.when(ReactivateAuthenticator{AuthenticatorID: key, Proof: "own_response", TxnID: s.id(PrefixTransaction)})
	s.when(SuspendAuthenticator{AuthenticatorID: key, Reason: "compromise_suspected"})
	s.when(answerTo(s), ocra(true)).then(ResponseRejected{Reason: ReasonProcessClosed})
}

func TestAnswerAfterAnAgentWasFasterChangesNothing(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms, dscPlus(cardID))
	card := kindOf(s, KindDSCPlus).ID
	s.when(ReportLost{AuthenticatorID: card, By: "client"}).and(password(PurposeActivation, ClientPortal))
	s.when(ReactivateAuthenticator{AuthenticatorID: card, Proof: "own_response", TxnID: s.id(PrefixTransaction)}).then(ChallengeIssued{})
	challenge := s.id(PrefixChallenge)
	s.and(identified).when(ReactivateAuthenticator{AuthenticatorID: card, Proof: "agent"})
	s.when(SubmitResponse{ChallengeID: challenge}, response(9)).then(ResponseRejected{Reason: ReasonProcessClosed})
}

func TestBlockedPINEndsByRecoveryAlone(t *testing.T) {
	t.Parallel()
	s := given(t, alice, verifiedPhone, ibKeyOn(pixelID, Android, UVAppPIN))
	key := kindOf(s, KindIBKey).ID
	s.when(ReportLost{AuthenticatorID: key, By: "client"})
	s.when(SuspendAuthenticator{AuthenticatorID: key, Reason: "pin_blocked"})
	s.and(identified, password(PurposeActivation, ClientPortal))
	for _, proof := range []string{"own_response", "oscc", "agent"} {
		s.when(ReactivateAuthenticator{AuthenticatorID: key, Proof: proof, TxnID: s.id(PrefixTransaction)}).then(ReactivationRefused{Proof: proof, Reason: ReasonInstallBlocked})
	}
}

func TestSuspendedSMSComesBackByAnAgentAlone(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms, password(PurposeActivation, ClientPortal))
	id := kindOf(s, KindSMS).ID
	s.when(SuspendAuthenticator{AuthenticatorID: id, Reason: "compromise_suspected"}).then(AuthenticatorSuspended{})
	s.when(ReactivateAuthenticator{AuthenticatorID: id, Proof: "own_response", TxnID: s.id(PrefixTransaction)}).then(ReactivationRefused{Reason: ReasonIDVRequired})
	s.when(EvaluateAutoSMS{UserID: aliceID, PhoneID: s.id(PrefixPhone)}).then(SMSAutoEnrollmentSkipped{Reason: "already_enrolled"})
	s.and(identified).when(ReactivateAuthenticator{AuthenticatorID: id, Proof: "agent"}).then(AuthenticatorReactivated{})
	s.and(login(TWS))
	must[SMSRequested](s)
}

func TestSMSMayBridgeASuspendedDeviceAndEndsWithIt(t *testing.T) {
	t.Parallel()
	s := given(t, lostKey)
	s.when(EvaluateAutoSMS{UserID: aliceID, PhoneID: s.id(PrefixPhone)}).then(AuthenticatorEnrolled{Kind: KindSMS})
	sms := s.id(PrefixAuthenticator)
	s.and(login(TWS))
	must[SMSRequested](s)
	s.and(identified).when(ReactivateAuthenticator{AuthenticatorID: kindOf(s, KindIBKey).ID, Proof: "agent"}).then(
		AuthenticatorReactivated{}, AuthenticatorRevoked{AuthenticatorID: sms, Reason: "superseded_by_stronger"},
	)
}

func TestRevokingTheLastAuthenticatorBringsSMSBack(t *testing.T) {
	t.Parallel()
	for _, reason := range []string{"lost", "stolen", "defective", "returned", "client_request", "compromise"} {
		s := given(t, alice, ibKey)
		key := s.id(PrefixAuthenticator)
		s.when(RevokeAuthenticator{AuthenticatorID: key, Reason: reason}).then(
			AuthenticatorRevoked{AuthenticatorID: key, Reason: reason, SuccessorID: s.id(PrefixAuthenticator)},
			AuthenticatorEnrolled{AuthenticatorID: s.id(PrefixAuthenticator), Kind: KindSMS, PhoneID: s.id(PrefixPhone), Trigger: "auto_sms", Restricted: true},
		)
		s.when(RevokeAuthenticator{AuthenticatorID: key, Reason: reason}).thenNothing()
	}
}

// withoutPhone is Alice with IB Key, whose phone was removed.
func withoutPhone(s *story) {
	s.t.Helper()
	s.and(alice, ibKey).when(RemovePhone{PhoneID: s.id(PrefixPhone), Reason: "client_request"}).then(PhoneNumberRemoved{})
}

func TestLastAuthenticatorWithoutAPhoneIsKeptUnlessItIsLostOrCompromised(t *testing.T) {
	t.Parallel()
	for reason, ends := range map[string]bool{
		"lost": true, "stolen": true, "compromise": true, "defective": false, "returned": false, "client_request": false,
	} {
		s := given(t, withoutPhone)
		key := kindOf(s, KindIBKey).ID
		s.when(RevokeAuthenticator{AuthenticatorID: key, Reason: reason})
		if ends {
			s.then(AuthenticatorRevoked{AuthenticatorID: key, Reason: reason})
			s.and(login(TWS)).then(AuthenticationStarted{}, PrimaryFactorVerified{}, EnrollmentRequired{})
		} else {
			s.then(RevocationRefused{AuthenticatorID: key, Reason: ReasonLastAuth})
		}
	}
	given(t, withoutPhone).when(RevokeAuthenticator{AuthenticatorID: PrefixAuthenticator + "_" + ownKey + "_900", Reason: "lost"}).thenError(Unknown)
	given(t, withoutPhone).when(RevokeAuthenticator{AuthenticatorID: PrefixAuthenticator + "_" + ownKey + "_1", Reason: "old"}).thenError(Invalid)
}

func TestRevokingOneOfSeveralLeavesTheOthers(t *testing.T) {
	t.Parallel()
	s := given(t, twoDevices)
	key := kindOf(s, KindIBKey).ID
	s.when(RevokeAuthenticator{AuthenticatorID: key, Reason: "client_request"}).then(AuthenticatorRevoked{AuthenticatorID: key})
	if got := statuses(s); len(got) != 1 || got[KindDSCPlus] != "active" {
		t.Errorf("bound are %v, want the card alone", got)
	}
}

func TestTemporaryPasscodeIsNothingToRelyOn(t *testing.T) {
	t.Parallel()
	s := germanLostCard(t)
	s.when(RevokeAuthenticator{AuthenticatorID: kindOf(s, KindDSCPlus).ID, Reason: "lost"}).then(AuthenticatorRevoked{Reason: "lost"}, AuthenticatorEnrolled{Kind: KindSMS})
	alone := given(t, withoutPhone)
	key := kindOf(alone, KindIBKey).ID
	alone.and(login(ClientPortal), answered)
	alone.when(IssueCodeCard{UserID: aliceID, Kind: KindOSCC, TxnID: alone.id(PrefixTransaction)})
	alone.when(ActivateCodeCard{AuthenticatorID: alone.id(PrefixAuthenticator)}).when(answerTo(alone), matched)
	must[AuthenticatorEnrolled](alone)
	alone.when(RevokeAuthenticator{AuthenticatorID: key, Reason: "client_request"}).then(RevocationRefused{Reason: ReasonLastAuth})
	card := kindOf(alone, KindOSCC).ID
	alone.when(RevokeAuthenticator{AuthenticatorID: card, Reason: "client_request"}).then(AuthenticatorRevoked{AuthenticatorID: card})
}

func TestSMSOfTheOnlyPhoneIsKeptAndMovesWhereThereIsAnother(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms)
	revoke := RevokeAuthenticator{AuthenticatorID: kindOf(s, KindSMS).ID, Reason: "client_request"}
	s.when(revoke).then(RevocationRefused{Reason: ReasonLastAuth})
	s.and(later(time.Minute), verifiedPhone).when(revoke).then(AuthenticatorRevoked{}, AuthenticatorEnrolled{Kind: KindSMS, PhoneID: s.id(PrefixPhone)})
}

func TestSuspectedSMSDoesNotComeBackByTheSideDoor(t *testing.T) {
	t.Parallel()
	s := given(t, lostKey)
	s.when(EvaluateAutoSMS{UserID: aliceID, PhoneID: s.id(PrefixPhone)}).then(AuthenticatorEnrolled{})
	s.when(SuspendAuthenticator{AuthenticatorID: kindOf(s, KindSMS).ID, Reason: "compromise_suspected"})
	s.when(RevokeAuthenticator{AuthenticatorID: kindOf(s, KindIBKey).ID, Reason: "lost"}).then(AuthenticatorRevoked{Reason: "lost"})
}

func TestAgentRevokesAfterVerifyingIdentity(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey)
	revoke := RevokeAuthenticator{AuthenticatorID: s.id(PrefixAuthenticator), Reason: "lost"}
	s.when(revoke, agent).then(RevocationRefused{Reason: ReasonIDVRequired})
	s.and(identified).when(revoke, agent).then(AuthenticatorRevoked{}, AuthenticatorEnrolled{})
}
