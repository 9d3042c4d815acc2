package domain

import (
	"testing"
	"time"
)

// Step-up: a permanent authenticator proves itself before another is added, or
// inside a session (G-12, K-24).

func TestAnotherAuthenticatorNeedsAnAnswerOfTheOneThatIsThere(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, unit(cardID), sent(cardID), password(PurposeActivation, ClientPortal))
	start := StartEnrollment{UserID: aliceID, Kind: KindDSCPlus, DeviceID: cardID, TxnID: s.id(PrefixTransaction)}
	s.when(start).then(EnrollmentRefused{Kind: KindDSCPlus, DeviceID: cardID, Reason: ReasonStepUpRequired})
	s.when(IssueChallenge{TxnID: start.TxnID}).then(SecondFactorSelected{By: "only_one"}, ChallengeIssued{Kind: KindIBKey, Mode: ModePush})
	s.when(start).then(EnrollmentRefused{Reason: ReasonStepUpRequired}) // asked is not answered
	s.when(decisionOn(s, iphoneID), approved(UVFaceID)).then(ResponseVerified{TxnID: start.TxnID})
	s.when(IssueChallenge{TxnID: start.TxnID}).then(ChallengeRefused{Reason: ReasonChallengeUsed})
	s.when(start).then(EnrollmentStarted{}, ChallengeIssued{Kind: KindDSCPlus})
	s.when(answerTo(s), response(8))
	must[AuthenticatorEnrolled](s)
}

func TestStepUpCountsInItsOwnTransactionOnly(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, unit(cardID), sent(cardID), steppedUp(PurposeActivation), password(PurposeActivation, ClientPortal))
	s.when(StartEnrollment{UserID: aliceID, Kind: KindDSCPlus, DeviceID: cardID, TxnID: s.id(PrefixTransaction)}).then(EnrollmentRefused{Reason: ReasonStepUpRequired})
	s.and(login(ClientPortal), answered) // a session is no proof either
	s.when(StartEnrollment{UserID: aliceID, Kind: KindDSCPlus, DeviceID: cardID, TxnID: s.id(PrefixTransaction)}).then(EnrollmentRefused{Reason: ReasonPrimaryRequired})
}

func TestIBKeyBesideACardNeedsTheCard(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms, dscPlus(cardID), installation(iphoneID, IOS), password(PurposeActivation, ClientPortal))
	start := StartEnrollment{UserID: aliceID, Kind: KindIBKey, InstallationID: iphoneID, TxnID: s.id(PrefixTransaction)}
	s.when(start).then(EnrollmentRefused{Kind: KindIBKey, Reason: ReasonStepUpRequired})
	s.when(IssueChallenge{TxnID: start.TxnID}).then(SecondFactorSelected{}, ChallengeIssued{Kind: KindDSCPlus})
	s.when(answerTo(s), response(9)).then(ResponseVerified{})
	s.when(start).then(EnrollmentStarted{}, ActivationCodeIssued{}, SMSRequested{})
	s.when(SubmitActivationCode{EnrollmentID: s.id(PrefixEnrollment)}, code(1))
	s.when(CompleteEnrollment{EnrollmentID: s.id(PrefixEnrollment), UV: UVFaceID}).then(UserVerificationPerformed{}, AuthenticatorEnrolled{Kind: KindIBKey})
	if got := statuses(s); got[KindIBKey] != "active" || got[KindDSCPlus] != "active" {
		t.Errorf("bound are %v, want both side by side (K-6)", got)
	}
}

func TestWithoutAPermanentAuthenticatorThereIsNothingToStepUpWith(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms, unit(cardID), sent(cardID), password(PurposeActivation, ClientPortal))
	s.when(IssueChallenge{TxnID: s.id(PrefixTransaction)}).then(ChallengeRefused{Reason: ReasonNotActive})
	s.and(password(PurposeDeviceSharing, ClientPortal))
	s.when(IssueChallenge{TxnID: s.id(PrefixTransaction)}).then(SelectionRefused{Reason: ReasonNotActive})
	s.when(IssueChallenge{TxnID: s.id(PrefixTransaction), AuthenticatorID: kindOf(s, KindSMS).ID}).then(SelectionRefused{Reason: ReasonNotOffered})
	s.when(StartEnrollment{UserID: aliceID, Kind: KindDSCPlus, DeviceID: cardID, TxnID: s.id(PrefixTransaction)}).then(EnrollmentStarted{}, ChallengeIssued{})
}

func TestWrongAnswersToAStepUpCountLikeAnyOther(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms, dscPlus(cardID), password(PurposeActivation, ClientPortal))
	s.when(IssueChallenge{TxnID: s.id(PrefixTransaction)}).then(SecondFactorSelected{}, ChallengeIssued{})
	s.when(answerTo(s), wrong).then(ResponseRejected{FailureCount: 1, AttemptsLeft: 2})
	s.when(answerTo(s), wrong).then(ResponseRejected{FailureCount: 2, AttemptsLeft: 1})
	s.when(answerTo(s), wrong).then(ResponseRejected{FailureCount: 3}, ChallengeExhausted{}, AuthenticationFailed{Reason: ReasonChallengeSpent})
	s.when(IssueChallenge{TxnID: s.id(PrefixTransaction)}).then(ChallengeRefused{Reason: ReasonTxnClosed})
}

func TestRightAnswerToAStepUpResetsNoFailures(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, wrongPassword, steppedUp(PurposeActivation), wrongPassword)
	s.then(AuthenticationStarted{}, PrimaryFactorRejected{FailureCount: 2}, AuthenticationFailed{})
}

func TestProcessTransactionGivesNoSession(t *testing.T) {
	t.Parallel()
	for _, purpose := range []Purpose{PurposeActivation, PurposeMigration, PurposeRecovery, PurposeDeviceSharing, PurposePINChange} {
		s := given(t, alice, ibKey, password(purpose, ClientPortal))
		s.then(AuthenticationStarted{Purpose: purpose}, PrimaryFactorVerified{})
		s.when(IssueChallenge{TxnID: s.id(PrefixTransaction)}).and(answered).then(ResponseVerified{})
	}
}

func TestStepUpInASessionAsksAtOnceAndGivesItsOwnScope(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, optedOut, password(PurposeStepUp, TWS))
	s.then(AuthenticationStarted{Purpose: PurposeStepUp}, PrimaryFactorVerified{}, SecondFactorSelected{}, ChallengeIssued{}) // an opt-out waives no step-up
	s.and(answered).then(ResponseVerified{}, AuthenticationSucceeded{Scope: "step_up", Factors: 2})
}

func TestProcessChallengeTakesThePlaceOfAStepUpThatIsOpen(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, later(time.Minute), dscPlus(cardID), newPhone, password(PurposeMigration, ClientPortal))
	s.when(IssueChallenge{TxnID: s.id(PrefixTransaction), AuthenticatorID: kindOf(s, KindIBKey).ID}).then(SecondFactorSelected{}, ChallengeIssued{Mode: ModePush})
	push := s.id(PrefixChallenge)
	s.when(StartMigration{UserID: aliceID, InstallationID: pixelID, TxnID: s.id(PrefixTransaction)}).then(
		MigrationStarted{Proof: "physical_device"}, ChallengeCancelled{ChallengeID: push, Reason: "superseded"}, ChallengeIssued{Kind: KindDSCPlus},
	)
	s.when(IssueChallenge{TxnID: s.id(PrefixTransaction)}).then(ChallengeRefused{Reason: ReasonChallengeOpen})
	s.when(RequestFallback{ChallengeID: push, Cause: CauseNoInternet}).then(FallbackRefused{Reason: ReasonNoFallback})
}

func TestPushThatProvedSomethingDoesNotFallBack(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, steppedUp(PurposeActivation))
	s.when(RequestFallback{ChallengeID: s.id(PrefixChallenge), Cause: CauseNoInternet}).then(FallbackRefused{Reason: ReasonNoFallback})
}

func TestExplicitSMSIsNotEnrolledBesideADevice(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, password(PurposeActivation, ClientPortal))
	s.when(StartEnrollment{UserID: aliceID, Kind: KindSMS, TxnID: s.id(PrefixTransaction)}).then(EnrollmentRefused{Kind: KindSMS, Reason: ReasonSMSNotEnrollable})
	given(t, alice, sms).when(StartEnrollment{UserID: aliceID, Kind: KindSMS}).thenError(Invalid)
	given(t, alice, sms).when(StartEnrollment{UserID: aliceID, Kind: KindOSCC}).thenError(Invalid)
}
