package domain

import "testing"

// S-8: trading device and authentication device (R-4, R-24, D-46).

// onTwoPhones has IB Key on handset A (the Pixel) and a login begun in the
// trading app of handset B, both Android, which then asked for a challenge.
func onTwoPhones(t *testing.T) *story {
	t.Helper()
	s := given(t, alice, verifiedPhone, ibKeyOn(pixelID, Android, UVFingerprint), installation(iphoneID, Android))
	return s.and(loginFrom(iphoneID), fallback)
}

// loginFrom begins a login in the trading app of an installation.
func loginFrom(installationID string) step {
	return func(s *story) {
		s.t.Helper()
		s.when(StartAuthentication{
			UserID: s.who, Purpose: PurposeLogin, Platform: IBKRMobileAndroid, InitiatingDeviceRef: installationID, PrimaryVerified: true,
		})
	}
}

func TestS8OnePhoneAnswersTheChallengeThatTheOtherShows(t *testing.T) {
	t.Parallel()
	s := onTwoPhones(t)
	s.when(SubmitResponse{ChallengeID: s.id(PrefixChallenge), TxnID: s.id(PrefixTransaction)}, ocra(true)).then(
		ResponseVerified{AnsweringInstallationID: pixelID, Mode: ModeChallengeResponse, UV: UVAppPIN},
		AuthenticationSucceeded{Platform: IBKRMobileAndroid, InitiatingDeviceRef: iphoneID, AuthenticatorKind: KindIBKey, Factors: 2},
	)
}

func TestS8ResponseOnAnotherOpenTransactionDoesNotCount(t *testing.T) {
	t.Parallel()
	s := onTwoPhones(t)
	challenge, shown := s.id(PrefixChallenge), s.id(PrefixTransaction)
	s.and(login(TWS))
	s.when(SubmitResponse{ChallengeID: challenge, TxnID: s.id(PrefixTransaction)}, ocra(true)).then(ResponseRejected{Reason: ReasonTxnMismatch, AttemptsLeft: 3})
	if r := the[ResponseRejected](s); r.Counted || r.FailureCount != 0 {
		t.Errorf("counted %v, %d failures; want neither", r.Counted, r.FailureCount)
	}
	s.when(SubmitResponse{ChallengeID: challenge, TxnID: shown}, ocra(true)).then(ResponseVerified{TxnID: shown}, AuthenticationSucceeded{TxnID: shown})
}

func TestS8ProcessChallengeOnAnotherTransactionDoesNotCountEither(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms, unit(cardID), sent(cardID), password(PurposeActivation, ClientPortal))
	began := s.id(PrefixTransaction)
	s.when(StartEnrollment{UserID: aliceID, Kind: KindDSCPlus, DeviceID: cardID, TxnID: began}).then(EnrollmentStarted{}, ChallengeIssued{})
	challenge := s.id(PrefixChallenge)
	s.and(password(PurposeMigration, ClientPortal))
	s.when(SubmitResponse{ChallengeID: challenge, TxnID: s.id(PrefixTransaction)}, response(8)).then(ResponseRejected{Reason: ReasonTxnMismatch})
	s.when(SubmitResponse{ChallengeID: challenge, TxnID: began}, response(8))
	must[AuthenticatorEnrolled](s)
}

func TestS8IBKeyIsNotActivatedOnTheTradingPhoneToo(t *testing.T) {
	t.Parallel()
	s := onTwoPhones(t).and(password(PurposeActivation, IBKRMobileAndroid))
	s.when(StartEnrollment{UserID: aliceID, Kind: KindIBKey, InstallationID: iphoneID, TxnID: s.id(PrefixTransaction)})
	s.then(EnrollmentRefused{Reason: ReasonIBKeyElsewhere})
}

func TestS8PushGoesToTheAuthenticationDeviceWhereverTheLoginBegan(t *testing.T) {
	t.Parallel()
	s := given(t, alice, verifiedPhone, ibKeyOn(pixelID, Android, UVFingerprint), installation(iphoneID, Android), loginFrom(iphoneID))
	if c := the[ChallengeIssued](s); c.Mode != ModePush || c.InstallationID != pixelID {
		t.Errorf("asked %s by %s, want the Pixel by push", c.InstallationID, c.Mode)
	}
	if here, there := len(s.user().Pending(pixelID, s.now)), len(s.user().Pending(iphoneID, s.now)); here != 1 || there != 0 {
		t.Errorf("%d pushes wait on the authentication device and %d on the other, want 1 and 0", here, there)
	}
	s.when(decisionOn(s, iphoneID), approved(UVFingerprint)).then(ResponseRejected{Reason: ReasonSignatureInvalid})
	s.when(decisionOn(s, pixelID), approved(UVFingerprint)).then(ResponseVerified{}, AuthenticationSucceeded{InitiatingDeviceRef: iphoneID})
}

func TestS8WaivedLoginNamesItsDeviceToo(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, optedOut, loginFrom(pixelID))
	s.then(AuthenticationStarted{}, PrimaryFactorVerified{}, SecondFactorWaived{}, AuthenticationSucceeded{Factors: 1, Platform: IBKRMobileAndroid, InitiatingDeviceRef: pixelID})
}
