package domain

import (
	"testing"
	"time"
)

// S-4: IB Key activated, SMS retires (R-12 to R-15, K-8, D-42).

func TestS4IBKeyActivatedOnIOSRetiresSMSInTheSameAppend(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms, installation(iphoneID, IOS))
	sms := s.id(PrefixAuthenticator)
	s.at("10:00:00.000").and(password(PurposeActivation, IBKRMobileIOS)).then(AuthenticationStarted{Purpose: PurposeActivation}, PrimaryFactorVerified{})
	s.when(StartEnrollment{UserID: aliceID, Kind: KindIBKey, InstallationID: iphoneID, TxnID: s.id(PrefixTransaction)}).then(
		EnrollmentStarted{Kind: KindIBKey, Flow: "activate", InstallationID: iphoneID, PhoneID: s.id(PrefixPhone), OS: IOS, HandsetID: "handset-" + iphoneID},
		ActivationCodeIssued{SubjectID: s.id(PrefixEnrollment), Seq: 1, CodeLen: 8, Channel: "sms", ExpiresAt: moment(t, "2024-03-01T10:10:00Z")},
		SMSRequested{Purpose: PurposeActivation, SubjectID: s.id(PrefixEnrollment), TemplateID: "activation_code@1"},
	)
	enrollment := s.id(PrefixEnrollment)
	s.when(SubmitActivationCode{EnrollmentID: enrollment}, code(1)).then(ActivationCodeAccepted{SubjectID: enrollment, Seq: 1})
	s.when(CompleteEnrollment{EnrollmentID: enrollment, UV: UVFaceID}).then(
		UserVerificationPerformed{EnrollmentID: enrollment, UV: UVFaceID, InstallationID: iphoneID},
		AuthenticatorEnrolled{
			Kind: KindIBKey, InstallationID: iphoneID, ActivationPhoneID: s.id(PrefixPhone), Trigger: "user",
			UVMethods: []UV{UVDevicePasscode, UVTouchID, UVFaceID}, OCRASuite: "OCRA-1:HOTP-SHA256-8:QN06-T1M", OS: IOS,
		},
		AuthenticatorRevoked{AuthenticatorID: sms, Reason: "superseded_by_stronger", SuccessorID: s.id(PrefixAuthenticator)},
	)
	s.when(RecordNotification{UserID: aliceID, Topic: "authenticator_enrolled", Channel: "email", NoticeOf: "evt"}).then(
		SecurityNotificationSent{Topic: "authenticator_enrolled", Channel: "email", NoticeOf: "evt"},
	)
	s.when(RecordNotification{UserID: aliceID, Topic: "t", Channel: "email", Failed: true}).then(SecurityNotificationFailed{})
}

func TestS4SecondPhoneVerifiedLaterDoesNotBringSMSBack(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, later(time.Hour), verifiedPhone)
	s.when(EvaluateAutoSMS{UserID: aliceID, PhoneID: s.id(PrefixPhone)}).then(SMSAutoEnrollmentSkipped{Reason: "active_sls_device"})
}

func TestS4ActivationNeedsThePassword(t *testing.T) {
	t.Parallel()
	none := func(*story) string { return "" }
	bobs := func(*story) string { return PrefixTransaction + "_" + otherKey + "_1" }
	newest := func(s *story) string { return s.id(PrefixTransaction) }
	cases := map[string]struct {
		steps []step
		txn   func(*story) string
	}{
		"no transaction at all":              {nil, none},
		"somebody else's transaction":        {nil, bobs},
		"the password was wrong":             {[]step{wrongPassword}, newest},
		"the password is ten minutes old":    {[]step{password(PurposeActivation, ClientPortal), later(10 * time.Minute)}, newest},
		"the password was given for a login": {[]step{sms, login(ClientPortal)}, newest},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := given(t, alice, installation(iphoneID, IOS)).and(c.steps...)
			s.when(StartEnrollment{UserID: aliceID, Kind: KindIBKey, InstallationID: iphoneID, TxnID: c.txn(s)}).then(EnrollmentRefused{Flow: "activate", Kind: KindIBKey, InstallationID: iphoneID, Reason: ReasonPrimaryRequired})
		})
	}
}

func TestS4PasswordForAnActivationHoldsUntilOneMillisecondBeforeTenMinutes(t *testing.T) {
	t.Parallel()
	s := given(t, alice, verifiedPhone, installation(iphoneID, IOS), password(PurposeActivation, ClientPortal), later(10*time.Minute-time.Millisecond))
	s.when(StartEnrollment{UserID: aliceID, Kind: KindIBKey, InstallationID: iphoneID, TxnID: s.id(PrefixTransaction)})
	s.then(EnrollmentStarted{}, ActivationCodeIssued{}, SMSRequested{})
}

func TestS4UserWithNothingToAnswerWithIsSentToEnrolment(t *testing.T) {
	t.Parallel()
	s := given(t, alice, verifiedPhone, installation(iphoneID, IOS))
	s.and(login(ClientPortal)).then(AuthenticationStarted{}, PrimaryFactorVerified{}, EnrollmentRequired{})
	s.when(IssueChallenge{TxnID: s.id(PrefixTransaction)}).then(ChallengeRefused{Reason: ReasonNotActive})
	s.when(StartEnrollment{UserID: aliceID, Kind: KindIBKey, InstallationID: iphoneID, TxnID: s.id(PrefixTransaction)})
	s.then(EnrollmentStarted{}, ActivationCodeIssued{}, SMSRequested{})
}

func TestS4ActivationCodeGoesToTheNewestVerifiedPhoneUnlessOneIsNamed(t *testing.T) {
	t.Parallel()
	s := given(t, alice, verifiedPhone, later(time.Minute), verifiedPhone, installation(iphoneID, IOS), password(PurposeActivation, ClientPortal))
	newest := s.id(PrefixPhone)
	start := StartEnrollment{UserID: aliceID, Kind: KindIBKey, InstallationID: iphoneID, TxnID: s.id(PrefixTransaction)}
	s.when(start).then(EnrollmentStarted{PhoneID: newest}, ActivationCodeIssued{}, SMSRequested{PhoneID: newest})
	first := s.user().Phones()[0].ID
	start.PhoneID = first
	s.when(start).then(EnrollmentStarted{PhoneID: first}, ActivationCodeIssued{}, SMSRequested{PhoneID: first})
	s.when(start).then(SMSRequestRefused{Purpose: PurposeActivation, Reason: ReasonSMSCooldown})
}

func TestS4ActivationCodeNeedsAVerifiedPhone(t *testing.T) {
	t.Parallel()
	s := given(t, alice, phone, installation(iphoneID, IOS), password(PurposeActivation, ClientPortal))
	s.when(StartEnrollment{UserID: aliceID, Kind: KindIBKey, InstallationID: iphoneID, TxnID: s.id(PrefixTransaction)})
	s.then(EnrollmentRefused{Reason: ReasonPhoneUnverified})
}

func TestS4ActivationCodeWrongExpiredSupersededExhaustedUsed(t *testing.T) {
	t.Parallel()
	s := given(t, alice, verifiedPhone, installation(iphoneID, IOS)).at("10:00:00.000").and(enrollment(iphoneID))
	id := s.id(PrefixEnrollment)
	submit, resend := SubmitActivationCode{EnrollmentID: id}, ResendActivationCode{EnrollmentID: id}
	s.when(submit, malformed).then(ActivationCodeRejected{Reason: ReasonMalformed, AttemptsLeft: 3})
	for left := 2; left >= 0; left-- {
		s.when(submit, code(0)).then(ActivationCodeRejected{Reason: ReasonActivationWrong, AttemptNo: 3 - left, AttemptsLeft: left})
	}
	s.when(submit, code(1)).then(ActivationCodeRejected{Reason: ReasonActivationSpent})
	s.at("10:01:59.999").when(resend).then(SMSRequestRefused{Reason: ReasonSMSCooldown, RetryAfterS: 1})
	s.at("10:02:00.000").when(resend).then(ActivationCodeIssued{Seq: 2}, SMSRequested{CodeSeq: 2})
	s.when(submit, code(1)).then(ActivationCodeRejected{Reason: ReasonActivationOld})
	s.at("10:12:00.000").when(submit, code(2)).then(ActivationCodeRejected{Reason: ReasonActivationExpiry})
	s.when(resend).then(ActivationCodeIssued{Seq: 3}, SMSRequested{})
	s.at("10:21:59.999").when(submit, code(3)).then(ActivationCodeAccepted{Seq: 3})
	s.when(submit, code(3)).then(ActivationCodeRejected{Reason: ReasonActivationUsed})
	s.when(resend).thenError(ReasonEnrollmentClosed)
}

func TestS4EnrolmentEndsHalfAnHourAfterItsStart(t *testing.T) {
	t.Parallel()
	s := given(t, alice, verifiedPhone, installation(iphoneID, IOS)).at("10:00:00.000").and(activationAccepted(iphoneID))
	complete := CompleteEnrollment{EnrollmentID: s.id(PrefixEnrollment), UV: UVTouchID}
	s.at("10:30:00.000").when(complete).thenError(ReasonEnrollmentClosed)
	s.when(SubmitActivationCode{EnrollmentID: complete.EnrollmentID}, code(1)).then(ActivationCodeRejected{Reason: ReasonActivationUsed})
}

func TestS4EnrolmentCompletesOneMillisecondBeforeItsEnd(t *testing.T) {
	t.Parallel()
	s := given(t, alice, verifiedPhone, installation(iphoneID, IOS)).at("10:00:00.000").and(activationAccepted(iphoneID))
	complete := CompleteEnrollment{EnrollmentID: s.id(PrefixEnrollment), UV: UVTouchID}
	s.at("10:29:59.999").when(complete).then(UserVerificationPerformed{}, AuthenticatorEnrolled{})
	s.when(complete).thenError(ReasonEnrollmentClosed)
}

func TestS4AbandonedEnrolmentCannotGoOn(t *testing.T) {
	t.Parallel()
	s := given(t, alice, verifiedPhone, installation(iphoneID, IOS), enrollment(iphoneID))
	id := s.id(PrefixEnrollment)
	s.when(AbandonEnrollment{EnrollmentID: id}).then(EnrollmentAbandoned{EnrollmentID: id})
	s.when(AbandonEnrollment{EnrollmentID: id}).thenNothing()
	s.when(SubmitActivationCode{EnrollmentID: id}, code(1)).thenError(ReasonEnrollmentClosed)
	s.when(CompleteEnrollment{EnrollmentID: id, UV: UVFaceID}).thenError(ReasonEnrollmentClosed)
}

func TestS4WithoutTheCodeNothingIsBound(t *testing.T) {
	t.Parallel()
	s := given(t, alice, verifiedPhone, installation(iphoneID, IOS), enrollment(iphoneID))
	s.when(CompleteEnrollment{EnrollmentID: s.id(PrefixEnrollment), UV: UVFaceID}).then(EnrollmentRefused{Reason: ReasonActivationNeeded})
}

func TestS4LocalCheckMustBeOneThePhoneCanMake(t *testing.T) {
	t.Parallel()
	methods := []UV{UVDevicePasscode, UVTouchID, UVFaceID, UVFingerprint, UVAppPIN, UVNone, ""}
	possible := map[OS]map[UV]bool{
		IOS:     {UVDevicePasscode: true, UVTouchID: true, UVFaceID: true},
		Android: {UVFingerprint: true, UVAppPIN: true},
	}
	for os, id := range map[OS]string{IOS: iphoneID, Android: pixelID} {
		for _, uv := range methods {
			t.Run(string(os)+" "+string(uv), func(t *testing.T) {
				t.Parallel()
				s := given(t, alice, verifiedPhone, installation(id, os), activationAccepted(id))
				s.when(CompleteEnrollment{EnrollmentID: s.id(PrefixEnrollment), UV: uv})
				switch {
				case possible[os][uv]:
					s.then(UserVerificationPerformed{UV: uv}, AuthenticatorEnrolled{})
				case uv == "" || uv == UVNone:
					s.then(EnrollmentRefused{Reason: ReasonUVRequired})
				default:
					s.then(EnrollmentRefused{Reason: ReasonUVMethod})
				}
			})
		}
	}
}

func TestS4AndroidNeedsAnAttestedPIN(t *testing.T) {
	t.Parallel()
	s := given(t, alice, verifiedPhone)
	s.when(RegisterInstallation{InstallationID: pixelID, App: AppIBKRMobile, OS: Android, HandsetID: "h", PublicKey: "k"}).then(InstallationRegistered{})
	s.and(activationAccepted(pixelID))
	complete := CompleteEnrollment{EnrollmentID: s.id(PrefixEnrollment), UV: UVAppPIN}
	s.when(complete).then(EnrollmentRefused{Reason: ReasonPINPolicy})
	s.when(AttestPIN{InstallationID: pixelID}).thenError(Invalid)
	s.when(AttestPIN{InstallationID: pixelID, PINPolicyVersion: 1}).then(AppPINSet{PINPolicyVersion: 1})
	s.when(AttestPIN{InstallationID: pixelID, PINPolicyVersion: 1}).then(AppPINChanged{PINPolicyVersion: 1})
	s.when(complete).then(UserVerificationPerformed{UV: UVAppPIN, PINPolicyVersion: 1}, AuthenticatorEnrolled{OS: Android})
}

func TestS4IBKeyIsActiveOnOnePhoneOnly(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, installation(pixelID, Android), later(time.Hour), password(PurposeActivation, ClientPortal))
	start := StartEnrollment{UserID: aliceID, Kind: KindIBKey, TxnID: s.id(PrefixTransaction)}
	start.InstallationID = pixelID
	s.when(start).then(EnrollmentRefused{Reason: ReasonIBKeyElsewhere})
	start.InstallationID = iphoneID
	s.when(start).then(EnrollmentRefused{Reason: ReasonAlreadyEnrolled})
}

func TestS4OfTwoEnrolmentsUnderWayTheFirstToCompleteWins(t *testing.T) {
	t.Parallel()
	s := given(t, alice, verifiedPhone, installation(iphoneID, IOS), installation(pixelID, Android), activationAccepted(iphoneID))
	onIPhone := s.id(PrefixEnrollment)
	s.and(later(2*time.Minute), activationAccepted(pixelID))
	s.when(CompleteEnrollment{EnrollmentID: s.id(PrefixEnrollment), UV: UVAppPIN}).then(UserVerificationPerformed{}, AuthenticatorEnrolled{})
	s.when(CompleteEnrollment{EnrollmentID: onIPhone, UV: UVFaceID}).then(EnrollmentRefused{Reason: ReasonIBKeyElsewhere})
}

func TestS4OnlyKnownInstallationsOfSupportedSystemsAreBound(t *testing.T) {
	t.Parallel()
	s := given(t, alice, verifiedPhone)
	s.when(RegisterInstallation{InstallationID: iphoneID, OS: "windows"}).thenError(ReasonOSUnsupported)
	s.and(password(PurposeActivation, ClientPortal))
	start := StartEnrollment{UserID: aliceID, Kind: KindIBKey, InstallationID: iphoneID, TxnID: s.id(PrefixTransaction)}
	s.when(start).thenError(Unknown)
	start.Kind = KindSMS
	s.when(start).thenError(Invalid)
	s.and(installation(iphoneID, IOS))
	s.when(AttestPIN{InstallationID: iphoneID, PINPolicyVersion: 1}).thenError(Invalid)
}
