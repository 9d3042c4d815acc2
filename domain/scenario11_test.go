package domain

import (
	"testing"
	"time"
)

// S-11: migration to a new phone (R-50 to, D-50, D-51).

func TestS11EverythingHappensOnTheNewPhone(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, newPhone).at("10:00:00.000")
	old, activation := s.id(PrefixAuthenticator), s.id(PrefixPhone)
	s.and(migration(pixelID)).then(
		MigrationStarted{
			FromAuthenticatorID: old, FromInstallationID: iphoneID, FromOS: IOS, ToInstallationID: pixelID, ToOS: Android, Proof: "sms",
			ActivationPhoneID: activation, ExpiresAt: moment(t, "2024-03-01T10:10:00Z"),
		},
		ActivationCodeIssued{SubjectID: s.id(PrefixMigration), Seq: 1, CodeLen: 8, ExpiresAt: moment(t, "2024-03-01T10:10:00Z")},
		SMSRequested{PhoneID: activation, Purpose: PurposeMigration, SubjectID: s.id(PrefixMigration), TemplateID: "migration_code@1"},
	)
	move := s.id(PrefixMigration)
	s.at("10:05:00.000").when(ProveMigration{MigrationID: move}, code(1)).then(
		ActivationCodeAccepted{SubjectID: move, Seq: 1}, MigrationProofAccepted{MigrationID: move, Proof: "sms", CompleteBy: moment(t, "2024-03-01T10:35:00Z")},
	)
	// The PIN abcd has no digit; abc12 and abc13 differ; abc12 twice is right.
	s.when(AttestPIN{InstallationID: pixelID, PINPolicyVersion: 1, Violation: ReasonPINPolicy}).then(AppPINRefused{Reason: ReasonPINPolicy})
	s.when(completeMigration(s)).then(MigrationRefused{MigrationID: move, Reason: ReasonPINPolicy})
	s.when(AttestPIN{InstallationID: pixelID, PINPolicyVersion: 1, Violation: ReasonPINMismatch}).then(AppPINRefused{Reason: ReasonPINMismatch})
	s.when(completeMigration(s)).then(MigrationRefused{MigrationID: move, Reason: ReasonPINMismatch})
	s.when(AttestPIN{InstallationID: pixelID, PINPolicyVersion: 1}).then(AppPINSet{PINPolicyVersion: 1})
	s.when(completeMigration(s)).then(
		AuthenticatorRevoked{AuthenticatorID: old, Reason: "migrated", SuccessorID: s.id(PrefixAuthenticator)},
		AuthenticatorEnrolled{
			AuthenticatorID: s.id(PrefixAuthenticator), Kind: KindIBKey, InstallationID: pixelID, Trigger: "migration", OS: Android,
			ActivationPhoneID: activation, UVMethods: []UV{UVFingerprint, UVAppPIN}, OCRASuite: OCRASuiteIBKey,
		},
		MigrationCompleted{MigrationID: move, FromAuthenticatorID: old, ToAuthenticatorID: s.id(PrefixAuthenticator), FromOS: IOS, ToOS: Android, UV: UVAppPIN, PINPolicyVersion: 1},
	)
	s.when(completeMigration(s)).thenError(ReasonProcessClosed)
}

func TestS11OldPhoneAnswersUntilTheMoveIsComplete(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, migrationProved, pinSet, login(TWS))
	s.when(decisionOn(s, iphoneID), approved(UVFaceID)).then(ResponseVerified{}, AuthenticationSucceeded{})
	s.when(completeMigration(s))
	must[MigrationCompleted](s)
	s.and(login(TWS)).when(decisionOn(s, iphoneID), approved(UVFaceID)).then(ResponseRejected{Reason: ReasonSignatureInvalid})
	s.when(decisionOn(s, pixelID), approved(UVFingerprint)).then(ResponseVerified{}, AuthenticationSucceeded{})
}

func TestS11TokenExpiresAndTheOldPhoneStays(t *testing.T) {
	t.Parallel()
	begun := func() *story { return given(t, alice, ibKey, newPhone).at("10:00:00.000").and(migration(pixelID)) }
	s := begun()
	s.at("10:09:59.999").when(ProveMigration{MigrationID: s.id(PrefixMigration)}, code(1)).then(ActivationCodeAccepted{}, MigrationProofAccepted{})
	s = begun()
	prove := ProveMigration{MigrationID: s.id(PrefixMigration)}
	s.at("10:10:00.000").when(prove, code(1)).then(ActivationCodeRejected{Reason: ReasonActivationExpiry, AttemptsLeft: 3}, MigrationExpired{MigrationID: prove.MigrationID})
	s.when(prove, code(1)).then(ActivationCodeRejected{Reason: ReasonActivationExpiry})
	s.when(completeMigration(s)).thenError(ReasonProcessClosed)
	s.when(ResendMigrationCode{MigrationID: prove.MigrationID}).thenError(ReasonProcessClosed)
	s.when(CancelMigration{MigrationID: prove.MigrationID}).thenNothing()
	if a, ok := s.user().IBKey(); !ok || a.InstallationID != iphoneID || !a.Active(s.now) {
		t.Errorf("IB Key is %+v, want active on the old phone", a)
	}
}

func TestS11ProvedMoveMustBeCompletedWithinHalfAnHour(t *testing.T) {
	t.Parallel()
	for wait, in := range map[time.Duration]bool{30*time.Minute - time.Millisecond: true, 30 * time.Minute: false} {
		s := given(t, alice, ibKey, migrationProved, pinSet, later(wait))
		s.when(completeMigration(s))
		if has[MigrationCompleted](s) != in {
			t.Errorf("after %s: %s, %v", wait, names(s.got), s.err)
		}
		if !in {
			s.when(ProveMigration{MigrationID: s.id(PrefixMigration)}, code(1)).thenError(ReasonProcessClosed)
		}
	}
}

func TestS11TokenWrongSupersededExhaustedUsed(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, newPhone).at("10:00:00.000").and(migration(pixelID))
	prove, resend := ProveMigration{MigrationID: s.id(PrefixMigration)}, ResendMigrationCode{MigrationID: s.id(PrefixMigration)}
	for left := 2; left >= 0; left-- {
		s.when(prove, code(0)).then(ActivationCodeRejected{Reason: ReasonActivationWrong, AttemptNo: 3 - left, AttemptsLeft: left})
	}
	s.when(prove, code(1)).then(ActivationCodeRejected{Reason: ReasonActivationSpent})
	s.at("10:01:59.999").when(resend).then(SMSRequestRefused{Purpose: PurposeMigration, Reason: ReasonSMSCooldown, RetryAfterS: 1})
	s.at("10:02:00.000").when(resend).then(ActivationCodeIssued{Seq: 2, ExpiresAt: moment(t, "2024-03-01T10:10:00Z")}, SMSRequested{CodeSeq: 2})
	s.when(prove, code(1)).then(ActivationCodeRejected{Reason: ReasonActivationOld})
	s.when(prove, code(2)).then(ActivationCodeAccepted{Seq: 2}, MigrationProofAccepted{})
	s.when(prove, code(2)).then(ActivationCodeRejected{Reason: ReasonActivationUsed})
	s.when(resend).thenError(ReasonProcessClosed)
	if n := s.user().FailureCount(s.now); n != 0 {
		t.Errorf("%d failures count towards the lock, want none: a code is no response (D-20)", n)
	}
}

func TestS11MessagesOfOtherPurposesDoNotDelayTheToken(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, newPhone, migration(pixelID)) // the activation's message went out this very second
	must[SMSRequested](s)
	s.when(CancelMigration{MigrationID: s.id(PrefixMigration)}).then(MigrationCancelled{Reason: "user"})
	s.and(migration(pixelID)).then(SMSRequestRefused{Purpose: PurposeMigration, Reason: ReasonSMSCooldown, RetryAfterS: 120})
	s.and(later(2*time.Minute), migration(pixelID))
	must[MigrationStarted](s)
}

func TestS11AnotherUserOnTheOldPhoneIsUntouched(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey)
	s.and(as(bobID, bob, addUser(iphoneID), func(s *story) {
		s.when(SubmitActivationCode{EnrollmentID: s.id(PrefixEnrollment)}, code(1))
		s.when(CompleteEnrollment{EnrollmentID: s.id(PrefixEnrollment), UV: UVFaceID})
	}))
	s.and(migrationProved, pinSet).when(completeMigration(s))
	must[MigrationCompleted](s)
	s.and(as(bobID, login(TWS), func(s *story) {
		s.when(decisionOn(s, iphoneID), approved(UVFaceID)).then(ResponseVerified{}, AuthenticationSucceeded{})
	}))
}

func TestS11ReplacedActivationPhoneNeedsAPhysicalDevice(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, phoneReplaced, newPhone, migration(pixelID))
	s.then(MigrationRefused{ToInstallationID: pixelID, Reason: ReasonPhoneNotOriginal})
	s.and(dscPlus(cardID), later(time.Minute), migration(pixelID)).then(
		MigrationStarted{Proof: "physical_device"}, ChallengeIssued{Kind: KindDSCPlus, DeviceID: cardID, SubjectID: s.id(PrefixMigration)},
	)
	if m := s.got[0].(MigrationStarted); m.ActivationPhoneID != "" {
		t.Errorf("names phone %s, want none: no SMS at all", m.ActivationPhoneID)
	}
	move := s.id(PrefixMigration)
	s.when(ProveMigration{MigrationID: move}, code(1)).thenError(ReasonProcessClosed)
	s.when(ResendMigrationCode{MigrationID: move}).thenError(ReasonProcessClosed)
	s.and(pinSet).when(completeMigration(s)).then(MigrationRefused{Reason: ReasonMigrationProof})
	s.when(answerTo(s), response(9)).then(ResponseVerified{NextCounter: 9}, MigrationProofAccepted{MigrationID: move, Proof: "physical_device"})
	s.when(completeMigration(s)).then(AuthenticatorRevoked{Reason: "migrated"}, AuthenticatorEnrolled{Kind: KindIBKey}, MigrationCompleted{})
	if got := statuses(s); got[KindDSCPlus] != "active" {
		t.Errorf("the card is %q after the move, want active", got[KindDSCPlus])
	}
}

func TestS11RemovedActivationPhoneDoesNotProveEither(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey)
	s.when(RemovePhone{PhoneID: s.id(PrefixPhone), Reason: "client_request"}).then(PhoneNumberRemoved{})
	s.and(newPhone, migration(pixelID)).then(MigrationRefused{Reason: ReasonPhoneNotOriginal})
}

func TestS11PhysicalDeviceThatBecameActiveMeanwhileMustProve(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, migrationProved, pinSet, dscPlus(cardID))
	s.when(completeMigration(s)).then(MigrationRefused{MigrationID: s.id(PrefixMigration), Reason: ReasonMigrationProof})
	s.and(later(2*time.Minute), migration(pixelID)).then(MigrationCancelled{Reason: "restarted"}, MigrationStarted{Proof: "physical_device"}, ChallengeIssued{})
}

func TestS11StrongestPhysicalDeviceProves(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, printedCard, later(time.Minute), dscPlus(cardID), newPhone, migration(pixelID))
	if c := the[ChallengeIssued](s); c.Kind != KindDSCPlus {
		t.Errorf("asked %s, want the Digital Security Card+", c.Kind)
	}
	s.when(ReportLost{AuthenticatorID: kindOf(s, KindDSCPlus).ID, By: "client"})
	s.and(migration(pixelID))
	if c := the[ChallengeIssued](s); c.Kind != KindSCC || c.Mode != ModeGrid {
		t.Errorf("asked %s by %s, want the printed card's cells", c.Kind, c.Mode)
	}
}

func TestS11DeviceLostBetweenQuestionAndAnswerProvesNothing(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, later(time.Minute), dscPlus(cardID), newPhone, migration(pixelID))
	s.when(ReportLost{AuthenticatorID: kindOf(s, KindDSCPlus).ID, By: "client"})
	s.when(answerTo(s), response(9)).then(ResponseRejected{Reason: ReasonNotActive})
}

func TestS11ThreeWrongAnswersOfTheDeviceEndTheTransactionNotTheLogin(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, later(time.Minute), dscPlus(cardID), newPhone, migration(pixelID))
	s.when(answerTo(s), wrong).then(ResponseRejected{Reason: ReasonResponseWrong, AttemptsLeft: 2, FailureCount: 1})
	s.when(answerTo(s), wrong)
	s.when(answerTo(s), wrong).then(ResponseRejected{FailureCount: 3}, ChallengeExhausted{}, AuthenticationFailed{Reason: ReasonChallengeSpent})
	s.when(answerTo(s), response(9)).then(ResponseRejected{Reason: ReasonChallengeSpent})
	s.and(migration(pixelID)).then(MigrationCancelled{Reason: "restarted"}, MigrationStarted{}, ChallengeIssued{})
	s.when(answerTo(s), response(9)).then(ResponseVerified{}, MigrationProofAccepted{})
}

func TestS11OneMigrationAtATime(t *testing.T) {
	t.Parallel()
	const third = PrefixInstallation + "_" + "00000000000000000000000003"
	s := given(t, alice, ibKey, installation(pixelID, Android), installation(third, Android), migration(pixelID))
	first := s.id(PrefixMigration)
	s.and(migration(third)).then(MigrationRefused{ToInstallationID: third, Reason: ReasonMigrationOpen})
	s.and(later(2*time.Minute), migration(pixelID)).then(MigrationCancelled{MigrationID: first, Reason: "restarted"}, MigrationStarted{}, ActivationCodeIssued{}, SMSRequested{})
	s.when(ProveMigration{MigrationID: first}, code(1)).thenError(ReasonProcessClosed)
	s.and(later(10*time.Minute), migration(third)) // the one before has expired by now
	must[MigrationStarted](s)
}

func TestS11CancelledMoveCannotGoOn(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, migrationProved, pinSet)
	cancel := CancelMigration{MigrationID: s.id(PrefixMigration)}
	s.when(cancel).then(MigrationCancelled{MigrationID: cancel.MigrationID, Reason: "user"})
	s.when(cancel).thenNothing()
	s.when(completeMigration(s)).thenError(ReasonProcessClosed)
	for _, c := range []Command{CancelMigration{MigrationID: s.user().ref(PrefixMigration, 900)}, ProveMigration{MigrationID: s.user().ref(PrefixMigration, 900)}, ResendMigrationCode{MigrationID: s.user().ref(PrefixMigration, 900)}, CompleteMigration{MigrationID: s.user().ref(PrefixMigration, 900)}} {
		s.when(c).thenError(Unknown)
	}
}

func TestS11WhatIsNoMigration(t *testing.T) {
	t.Parallel()
	given(t, alice, sms, newPhone, migration(pixelID)).then(MigrationRefused{Reason: ReasonNothingToMigrate})
	given(t, alice, ibKey, migration(iphoneID)).then(MigrationRefused{Reason: ReasonSameHandset})
	given(t, alice, ibKey, appAgain(pixelID, iphoneID), migration(pixelID)).then(MigrationRefused{Reason: ReasonSameHandset})
	given(t, alice, ibKey, migration(pixelID)).thenError(Unknown)
	s := given(t, alice, ibKey, newPhone)
	s.when(StartMigration{UserID: aliceID, InstallationID: pixelID}).then(MigrationRefused{Reason: ReasonPrimaryRequired})
	s.and(login(TWS)).when(StartMigration{UserID: aliceID, InstallationID: pixelID, TxnID: s.id(PrefixTransaction)}).then(MigrationRefused{Reason: ReasonPrimaryRequired})
	s.and(lockedOut).when(StartMigration{UserID: aliceID, InstallationID: pixelID, TxnID: s.id(PrefixTransaction)}).then(MigrationRefused{Reason: ReasonUserLocked})
}

func TestS11BlockedOrRetiredPhoneIsNoTarget(t *testing.T) {
	t.Parallel()
	blocked := ReportPINBlocked{InstallationID: pixelID, WrongEntries: 10}
	retired := RetireInstallation{InstallationID: pixelID, Reason: "recovered", SuccessorID: iphoneID}
	s := given(t, alice, ibKey, newPhone)
	s.when(blocked).then(AppPINBlocked{})
	s.and(migration(pixelID)).then(MigrationRefused{Reason: ReasonInstallBlocked})
	s = given(t, alice, ibKey, newPhone)
	s.when(retired).then(InstallationRetired{})
	s.and(migration(pixelID)).then(MigrationRefused{Reason: ReasonRetired})
	s = given(t, alice, ibKey, migrationProved, pinSet)
	s.when(blocked)
	s.when(completeMigration(s)).then(MigrationRefused{Reason: ReasonInstallBlocked})
	s = given(t, alice, ibKey, migrationProved, pinSet)
	s.when(retired)
	s.when(completeMigration(s)).then(MigrationRefused{Reason: ReasonRetired})
}

func TestS11LostPhoneIsReplacedByMigration(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey)
	s.when(ReportLost{AuthenticatorID: s.id(PrefixAuthenticator), By: "client"})
	s.and(migrationProved, pinSet).when(completeMigration(s))
	must[MigrationCompleted](s)
	if got := statuses(s); got[KindIBKey] != "active" {
		t.Errorf("IB Key is %q, want active on the new phone", got[KindIBKey])
	}
}

func TestS11AuthenticatorRevokedMeanwhileIsNothingToMigrate(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, migrationProved, pinSet)
	s.when(RevokeAuthenticator{AuthenticatorID: s.id(PrefixAuthenticator), Reason: "lost"})
	s.when(completeMigration(s)).then(MigrationRefused{Reason: ReasonNothingToMigrate})
}

func TestS11LockStopsAMoveFromCompleting(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, migrationProved, pinSet, lockedOut)
	s.when(completeMigration(s)).then(MigrationRefused{Reason: ReasonUserLocked})
}

func TestS11CompletionNeedsALocalCheckTheNewPhoneCanMake(t *testing.T) {
	t.Parallel()
	for uv, want := range map[UV]Code{UVNone: ReasonUVRequired, UVFaceID: ReasonUVMethod} {
		s := given(t, alice, ibKey, migrationProved, pinSet)
		s.when(CompleteMigration{MigrationID: s.id(PrefixMigration), UV: uv}).then(MigrationRefused{Reason: want})
	}
}
