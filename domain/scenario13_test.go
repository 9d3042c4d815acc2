package domain

import (
	"testing"
	"time"
)

// S-13: recovery on the same phone (R-59, K-19).

// reinstalled is Alice whose app was installed again on the same phone.
func reinstalled(os OS, uv UV) step {
	return func(s *story) {
		s.t.Helper()
		s.and(alice, verifiedPhone, ibKeyOn(iphoneID, os, uv), appAgain(pixelID, iphoneID))
	}
}

func TestS13OriginalFaceIDOnIOSNeedsNoSMS(t *testing.T) {
	t.Parallel()
	s := given(t, reinstalled(IOS, UVFaceID)).at("10:00:00.000")
	old := s.id(PrefixAuthenticator)
	s.and(recovery(pixelID, "reinstalled", handedOver)).then(RecoveryStarted{
		AuthenticatorID: old, Cause: "reinstalled", NewInstallationID: pixelID, OS: IOS, HandsetMatch: true, Proof: "original_uv",
		ExpiresAt: moment(t, "2024-03-01T10:30:00Z"),
	})
	s.when(CompleteRecovery{RecoveryID: s.id(PrefixRecovery), UV: UVFaceID}).then(
		AuthenticatorRevoked{AuthenticatorID: old, Reason: "replaced", SuccessorID: s.id(PrefixAuthenticator)},
		AuthenticatorEnrolled{Kind: KindIBKey, InstallationID: pixelID, Trigger: "recovery", ActivationPhoneID: s.id(PrefixPhone), OS: IOS},
		RecoveryCompleted{NewAuthenticatorID: s.id(PrefixAuthenticator), InstallationID: pixelID, FormerInstallation: iphoneID, UV: UVFaceID},
	)
	s.and(login(TWS)).when(decisionOn(s, pixelID), approved(UVFaceID)).then(ResponseVerified{}, AuthenticationSucceeded{})
}

func TestS13WithoutTheOldKeyIOSProvesBySMSToo(t *testing.T) {
	t.Parallel()
	s := given(t, reinstalled(IOS, UVFaceID), recovery(pixelID, "reinstalled"))
	s.then(RecoveryStarted{Proof: "sms", ActivationPhoneID: s.id(PrefixPhone)}, ActivationCodeIssued{CodeLen: 8}, SMSRequested{Purpose: PurposeRecovery, TemplateID: "recovery_code@1"})
}

func TestS13AndroidProvesByCodeAndPIN(t *testing.T) {
	t.Parallel()
	s := given(t, reinstalled(Android, UVFingerprint), recovery(pixelID, "reinstalled", handedOver))
	s.then(RecoveryStarted{Proof: "sms", OS: Android}, ActivationCodeIssued{}, SMSRequested{Purpose: PurposeRecovery})
	id := s.id(PrefixRecovery)
	s.when(CompleteRecovery{RecoveryID: id, UV: UVAppPIN}).then(RecoveryRefused{RecoveryID: id, Reason: ReasonMigrationProof})
	s.when(ProveRecovery{RecoveryID: id}, code(0)).then(ActivationCodeRejected{SubjectID: id, Reason: ReasonActivationWrong, AttemptsLeft: 2})
	s.when(ProveRecovery{RecoveryID: id}, code(1)).then(ActivationCodeAccepted{SubjectID: id}, RecoveryProofAccepted{RecoveryID: id, Proof: "sms"})
	s.when(ProveRecovery{RecoveryID: id}, code(1)).then(ActivationCodeRejected{Reason: ReasonActivationUsed})
	s.when(CompleteRecovery{RecoveryID: id, UV: UVFaceID}).then(RecoveryRefused{Reason: ReasonUVMethod, HandsetMatch: true})
	s.when(CompleteRecovery{RecoveryID: id, UV: UVAppPIN}).then(AuthenticatorRevoked{}, AuthenticatorEnrolled{}, RecoveryCompleted{UV: UVAppPIN, PINPolicyVersion: 1})
	s.when(CompleteRecovery{RecoveryID: id, UV: UVAppPIN}).thenError(ReasonProcessClosed)
}

func TestS13UpgradedSystemRecoversInTheSameInstallation(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, recovery(iphoneID, "os_upgraded", handedOver))
	s.then(RecoveryStarted{Cause: "os_upgraded", NewInstallationID: iphoneID, Proof: "original_uv"})
	s.when(CompleteRecovery{RecoveryID: s.id(PrefixRecovery), UV: UVDevicePasscode}).then(
		AuthenticatorRevoked{}, AuthenticatorEnrolled{InstallationID: iphoneID}, RecoveryCompleted{InstallationID: iphoneID, FormerInstallation: iphoneID},
	)
	// The reaction that retires the app before must not retire this one.
	s.when(RetireInstallation{InstallationID: iphoneID, Reason: "recovered", SuccessorID: iphoneID}).thenNothing()
}

func TestS13AnotherHandsetIsAMigration(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, newPhone, recovery(pixelID, "reinstalled", handedOver))
	s.then(RecoveryRefused{NewInstallationID: pixelID, Reason: ReasonRecoveryHandset})
	if the[RecoveryRefused](s).HandsetMatch {
		t.Error("the handsets are said to match")
	}
}

func TestS13ActivePhysicalDeviceTakesThePlaceOfTheSMS(t *testing.T) {
	t.Parallel()
	s := given(t, reinstalled(Android, UVFingerprint), dscPlus(cardID), later(time.Minute), recovery(pixelID, "reinstalled"))
	s.then(RecoveryStarted{Proof: "physical_device"}, ChallengeIssued{Kind: KindDSCPlus, SubjectID: s.id(PrefixRecovery)})
	s.when(ProveRecovery{RecoveryID: s.id(PrefixRecovery)}, code(1)).thenError(ReasonProcessClosed)
	s.when(ResendRecoveryCode{RecoveryID: s.id(PrefixRecovery)}).thenError(ReasonProcessClosed)
	s.when(answerTo(s), response(9)).then(ResponseVerified{}, RecoveryProofAccepted{Proof: "physical_device"})
	s.when(CompleteRecovery{RecoveryID: s.id(PrefixRecovery), UV: UVAppPIN}).then(AuthenticatorRevoked{}, AuthenticatorEnrolled{}, RecoveryCompleted{})
}

func TestS13CodeIsSentAgainAfterTwoMinutesAndLivesTen(t *testing.T) {
	t.Parallel()
	s := given(t, reinstalled(Android, UVFingerprint)).at("10:00:00.000").and(recovery(pixelID, "reinstalled"))
	id := s.id(PrefixRecovery)
	s.at("10:01:59.999").when(ResendRecoveryCode{RecoveryID: id}).then(SMSRequestRefused{Purpose: PurposeRecovery, Reason: ReasonSMSCooldown, RetryAfterS: 1})
	s.at("10:02:00.000").when(ResendRecoveryCode{RecoveryID: id}).then(ActivationCodeIssued{Seq: 2, ExpiresAt: moment(t, "2024-03-01T10:12:00Z")}, SMSRequested{})
	s.at("10:12:00.000").when(ProveRecovery{RecoveryID: id}, code(2)).then(ActivationCodeRejected{Reason: ReasonActivationExpiry})
	s.at("10:25:00.000").when(ResendRecoveryCode{RecoveryID: id}).then(ActivationCodeIssued{Seq: 3, ExpiresAt: moment(t, "2024-03-01T10:30:00Z")}, SMSRequested{})
	s.at("10:29:59.999").when(ProveRecovery{RecoveryID: id}, code(3)).then(ActivationCodeAccepted{}, RecoveryProofAccepted{})
	s.at("10:30:00.000").when(CompleteRecovery{RecoveryID: id, UV: UVAppPIN}).thenError(ReasonProcessClosed)
	s.when(ProveRecovery{RecoveryID: id}, code(3)).thenError(ReasonProcessClosed)
	s.when(TidyUser{UserID: aliceID})
	must[RecoveryExpired](s)
}

func TestS13RecoveryBegunAgainTakesThePlaceOfTheFirst(t *testing.T) {
	t.Parallel()
	s := given(t, reinstalled(IOS, UVFaceID), recovery(pixelID, "reinstalled", handedOver))
	first := s.id(PrefixRecovery)
	s.and(recovery(pixelID, "reinstalled", handedOver)).then(RecoveryCancelled{RecoveryID: first, Reason: "restarted"}, RecoveryStarted{})
	cancel := CancelRecovery{RecoveryID: s.id(PrefixRecovery)}
	s.when(cancel).then(RecoveryCancelled{Reason: "user"})
	s.when(cancel).thenNothing()
	s.when(CompleteRecovery{RecoveryID: cancel.RecoveryID, UV: UVFaceID}).thenError(ReasonProcessClosed)
}

func TestS13WhatCannotBeRecovered(t *testing.T) {
	t.Parallel()
	given(t, alice, sms, newPhone, recovery(pixelID, "reinstalled")).then(RecoveryRefused{Reason: ReasonNothingToRecover})
	given(t, alice, ibKey, recovery(iphoneID, "new_phone")).thenError(Invalid)
	given(t, alice, ibKey, recovery(pixelID, "reinstalled")).thenError(Unknown)
	s := given(t, reinstalled(IOS, UVFaceID))
	s.when(StartRecovery{UserID: aliceID, InstallationID: pixelID, Cause: "reinstalled"}, handedOver).then(RecoveryRefused{Reason: ReasonPrimaryRequired})
	s.when(RetireInstallation{InstallationID: pixelID, Reason: "unified"})
	s.and(recovery(pixelID, "reinstalled", handedOver)).then(RecoveryRefused{Reason: ReasonRetired})
	replaced := given(t, reinstalled(Android, UVFingerprint), phoneReplaced, recovery(pixelID, "reinstalled"))
	replaced.then(RecoveryRefused{Reason: ReasonPhoneNotOriginal})
	unknownID := replaced.user().ref(PrefixRecovery, 900)
	for _, c := range []Command{CancelRecovery{RecoveryID: unknownID}, ProveRecovery{RecoveryID: unknownID}, ResendRecoveryCode{RecoveryID: unknownID}, CompleteRecovery{RecoveryID: unknownID}} {
		replaced.when(c).thenError(Unknown)
	}
}

func TestS13WhatStopsARecoveryFromCompleting(t *testing.T) {
	t.Parallel()
	begun := func(steps ...step) *story {
		return given(t, reinstalled(IOS, UVFaceID), recovery(pixelID, "reinstalled", handedOver)).and(steps...)
	}
	complete := func(s *story) *story {
		return s.when(CompleteRecovery{RecoveryID: s.id(PrefixRecovery), UV: UVFaceID})
	}
	complete(begun(lockedOut)).then(RecoveryRefused{Reason: ReasonUserLocked})
	complete(begun(func(s *story) { s.when(RetireInstallation{InstallationID: pixelID, Reason: "unified"}) })).then(RecoveryRefused{Reason: ReasonRetired})
	complete(begun(func(s *story) {
		s.when(RevokeAuthenticator{AuthenticatorID: kindOf(s, KindIBKey).ID, Reason: "lost"})
	})).then(RecoveryRefused{Reason: ReasonNothingToRecover})
	// A device that became active meanwhile must prove (K-19).
	complete(begun(dscPlus(cardID))).then(RecoveryRefused{Reason: ReasonMigrationProof})
}

func TestS13RecoveryEndsABlockedPIN(t *testing.T) {
	t.Parallel()
	s := given(t, alice, verifiedPhone, ibKeyOn(iphoneID, Android, UVAppPIN))
	s.when(ReportPINBlocked{InstallationID: iphoneID, WrongEntries: 10}).then(AppPINBlocked{})
	s.when(SuspendAuthenticator{AuthenticatorID: s.id(PrefixAuthenticator), Reason: "pin_blocked"}).then(AuthenticatorSuspended{Reason: "pin_blocked"})
	s.and(later(time.Hour), recovery(iphoneID, "os_upgraded"))
	s.when(ProveRecovery{RecoveryID: s.id(PrefixRecovery)}, code(1))
	s.when(CompleteRecovery{RecoveryID: s.id(PrefixRecovery), UV: UVAppPIN}).then(AuthenticatorRevoked{}, AuthenticatorEnrolled{}, RecoveryCompleted{})
	s.when(UnblockInstallation{InstallationID: iphoneID, RecoveryID: s.id(PrefixRecovery)}).then(AppPINUnblocked{RecoveryID: s.id(PrefixRecovery)})
	s.when(UnblockInstallation{InstallationID: iphoneID, RecoveryID: s.id(PrefixRecovery)}).thenNothing()
	s.and(login(TWS)).when(decisionOn(s, iphoneID), approved(UVAppPIN)).then(ResponseVerified{}, AuthenticationSucceeded{})
}
