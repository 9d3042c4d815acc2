package domain

import "testing"

// The app's PIN on Android: refused, blocked, unblocked (R-14, D-23, D-25).

func TestRefusedPINIsRecordedAndTheOldOneStays(t *testing.T) {
	t.Parallel()
	s := given(t, alice, verifiedPhone, newPhone)
	attest := AttestPIN{InstallationID: pixelID, PINPolicyVersion: 1, Violation: ReasonPINPolicy}
	s.when(attest).then(AppPINRefused{PINPolicyVersion: 1, Reason: ReasonPINPolicy})
	attest.Violation = ReasonPINMismatch
	s.when(attest).then(AppPINRefused{Reason: ReasonPINMismatch})
	attest.Violation = ReasonResponseWrong
	s.when(attest).thenError(Invalid)
	s.and(pinSet).then(AppPINSet{PINPolicyVersion: 1})
	attest.Violation = ReasonPINMismatch
	s.when(attest).then(AppPINRefused{}) // a change that did not happen
	s.and(activationAccepted(pixelID)).when(CompleteEnrollment{EnrollmentID: s.id(PrefixEnrollment), UV: UVAppPIN})
	must[AuthenticatorEnrolled](s)
}

func TestReasonOfTheRefusedPINIsWhatStopsTheBinding(t *testing.T) {
	t.Parallel()
	for _, reason := range []Code{ReasonPINPolicy, ReasonPINMismatch} {
		s := given(t, alice, verifiedPhone, newPhone, activationAccepted(pixelID))
		s.when(AttestPIN{InstallationID: pixelID, PINPolicyVersion: 1, Violation: reason})
		s.when(CompleteEnrollment{EnrollmentID: s.id(PrefixEnrollment), UV: UVAppPIN}).then(EnrollmentRefused{Reason: reason})
	}
}

func TestTenWrongEntriesBlockThePIN(t *testing.T) {
	t.Parallel()
	s := given(t, installation(pixelID, Android), installation(iphoneID, IOS))
	s.when(ReportPINBlocked{InstallationID: pixelID, WrongEntries: 9}).thenError(Invalid)
	s.when(ReportPINBlocked{InstallationID: iphoneID, WrongEntries: 10}).thenError(Invalid) // iOS has no app PIN
	s.when(ReportPINBlocked{InstallationID: pixelID, WrongEntries: 10}).then(AppPINBlocked{WrongEntries: 10})
	s.when(ReportPINBlocked{InstallationID: pixelID, WrongEntries: 11}).thenNothing()
	s.when(UnblockInstallation{InstallationID: iphoneID, RecoveryID: "r"}).thenNothing()
}

func TestBlockedAppNeitherAnswersNorIsBound(t *testing.T) {
	t.Parallel()
	blocked := ReportPINBlocked{InstallationID: pixelID, WrongEntries: 10}
	s := given(t, alice, verifiedPhone, installation(pixelID, Android)).when(blocked).and(password(PurposeActivation, TWS))
	s.when(StartEnrollment{UserID: aliceID, Kind: KindIBKey, InstallationID: pixelID, TxnID: s.id(PrefixTransaction)}).then(EnrollmentRefused{Reason: ReasonInstallBlocked})
	s = given(t, alice, verifiedPhone, installation(pixelID, Android), activationAccepted(pixelID)).when(blocked)
	s.when(CompleteEnrollment{EnrollmentID: s.id(PrefixEnrollment), UV: UVAppPIN}).then(EnrollmentRefused{Reason: ReasonInstallBlocked})

	// Before the reaction has suspended IB Key, the app's own block is enough.
	s = given(t, alice, verifiedPhone, ibKeyOn(pixelID, Android, UVAppPIN), login(TWS)).when(blocked)
	s.when(decisionOn(s, pixelID), func(f *Facts) {
		f.Push = PushEvidence{Authentic: true, Approve: true, NumberGiven: true, NumberMatched: true, UV: UVFingerprint, InstallationBlocked: true}
	}).then(ResponseRejected{Reason: ReasonInstallBlocked})
	s.when(SuspendAuthenticator{AuthenticatorID: kindOf(s, KindIBKey).ID, Reason: "pin_blocked"})
	s.and(login(TWS)).then(AuthenticationStarted{}, PrimaryFactorVerified{}, ChallengeRefused{Reason: ReasonNotActive}, EnrollmentRequired{})
}

func TestRetiredAppIsNotBoundAgain(t *testing.T) {
	t.Parallel()
	retired := RetireInstallation{InstallationID: iphoneID, Reason: "unified", SuccessorID: pixelID}
	s := given(t, alice, verifiedPhone, installation(iphoneID, IOS)).when(retired).then(InstallationRetired{Reason: "unified"})
	s.and(password(PurposeActivation, TWS))
	s.when(StartEnrollment{UserID: aliceID, Kind: KindIBKey, InstallationID: iphoneID, TxnID: s.id(PrefixTransaction)}).then(EnrollmentRefused{Reason: ReasonRetired})
	s = given(t, alice, verifiedPhone, installation(iphoneID, IOS), activationAccepted(iphoneID)).when(retired)
	s.when(CompleteEnrollment{EnrollmentID: s.id(PrefixEnrollment), UV: UVFaceID}).then(EnrollmentRefused{Reason: ReasonRetired})
}

func TestAppInWhichSomebodyLivesIsNotRetired(t *testing.T) {
	t.Parallel()
	s := given(t, installation(iphoneID, IOS))
	bind := BindToInstallation{InstallationID: iphoneID, UserID: aliceID, AuthenticatorID: "a"}
	s.when(bind).then(AuthenticatorBound{UserID: aliceID, AuthenticatorID: "a"})
	s.when(bind).thenNothing()
	s.when(RetireInstallation{InstallationID: iphoneID, Reason: "unified", SuccessorID: pixelID}).thenNothing()
	s.when(UnbindFromInstallation{InstallationID: iphoneID, UserID: aliceID, AuthenticatorID: "a"}).then(AuthenticatorUnbound{AuthenticatorID: "a"})
	s.when(RetireInstallation{InstallationID: iphoneID, Reason: "unified", SuccessorID: pixelID}).then(InstallationRetired{SuccessorID: pixelID})
}
