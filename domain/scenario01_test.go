package domain

import (
	"testing"
	"time"
)

// S-1: phone verified, SMS enrolled automatically.

func TestS1RightCodeVerifiesThePhoneAndSMSIsEnrolled(t *testing.T) {
	t.Parallel()
	s := given(t, alice, phone)
	s.at("10:00:00.000").when(StartPhoneVerification{PhoneID: s.id(PrefixPhone)}).then(
		PhoneVerificationStarted{PhoneID: s.id(PrefixPhone), VerificationID: s.id(PrefixVerification)},
		ConfirmCodeIssued{VerificationID: s.id(PrefixVerification), Seq: 1, Kid: "2024-03-01", CodeLen: 6, ExpiresAt: moment(t, "2024-03-01T10:10:00Z")},
		SMSRequested{
			SMSID: s.id(PrefixSMS), PhoneID: s.id(PrefixPhone), Purpose: PurposePhoneVerification,
			SubjectID: s.id(PrefixVerification), CodeSeq: 1, TemplateID: "confirm_code@1", Locale: "en",
		},
	)
	s.at("10:00:01.000").when(RecordSMSSent{SMSID: s.id(PrefixSMS), Provider: "p", ProviderRef: "r", Segments: 1, AcceptedAt: s.now}).then(SMSSent{})
	s.at("10:04:00.000").when(ConfirmPhone{VerificationID: s.id(PrefixVerification)}, code(1)).then(
		PhoneNumberVerified{PhoneID: s.id(PrefixPhone), VerificationID: s.id(PrefixVerification), Attempts: 1},
	)
	s.at("10:04:01.000").when(EvaluateAutoSMS{UserID: aliceID, PhoneID: s.id(PrefixPhone)}).then(
		AuthenticatorEnrolled{Kind: KindSMS, PhoneID: s.id(PrefixPhone), Trigger: "auto_sms", Restricted: true, OOBClass: "pstn"},
	)
}

func TestS1CodeIsAcceptedOneMillisecondBeforeItExpires(t *testing.T) {
	t.Parallel()
	s := given(t, alice, phone).at("10:00:00.000").and(verification)
	s.at("10:09:59.999").when(ConfirmPhone{VerificationID: s.id(PrefixVerification)}, code(1)).then(PhoneNumberVerified{})
}

func TestS1CodeIsExpiredExactlySixHundredSecondsAfterIssue(t *testing.T) {
	t.Parallel()
	s := given(t, alice, phone).at("10:00:00.000").and(verification)
	s.at("10:10:00.000").when(ConfirmPhone{VerificationID: s.id(PrefixVerification)}, code(1))
	s.then(PhoneVerificationRejected{Reason: ReasonCodeExpired, AttemptsLeft: 3})
	if no := the[PhoneVerificationRejected](s).AttemptNo; no != 0 {
		t.Errorf("attempt_no %d, want 0: an expired code does not count", no)
	}
}

func TestS1WrongEntriesAreCountedInTheVerification(t *testing.T) {
	t.Parallel()
	s := given(t, alice, phone, verification)
	confirm := ConfirmPhone{VerificationID: s.id(PrefixVerification)}
	s.when(confirm, code(0)).then(PhoneVerificationRejected{Reason: ReasonCodeWrong, AttemptNo: 1, AttemptsLeft: 2})
	s.when(confirm, malformed).then(PhoneVerificationRejected{Reason: ReasonMalformed, AttemptNo: 1, AttemptsLeft: 2})
	s.when(confirm, code(1)).then(PhoneNumberVerified{Attempts: 2})
	s.when(confirm, code(1)).then(PhoneVerificationRejected{Reason: ReasonCodeUsed})
}

func TestS1AfterThreeWrongEntriesOnlyANewCodeHelps(t *testing.T) {
	t.Parallel()
	s := given(t, alice, phone, verification)
	confirm := ConfirmPhone{VerificationID: s.id(PrefixVerification)}
	for left := 2; left >= 0; left-- {
		s.when(confirm, code(0)).then(PhoneVerificationRejected{Reason: ReasonCodeWrong, AttemptNo: 3 - left, AttemptsLeft: left})
	}
	s.when(confirm, code(1)).then(PhoneVerificationRejected{Reason: ReasonCodeExhausted, AttemptNo: 3})
	s.after(2 * time.Minute).when(ResendConfirmCode{VerificationID: confirm.VerificationID})
	s.then(ConfirmCodeIssued{Seq: 2}, SMSRequested{CodeSeq: 2})
	s.when(confirm, code(2)).then(PhoneNumberVerified{Attempts: 4})
}

func TestS1SecondVerifiedPhoneChangesNothingAboutSMS(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms, later(time.Minute), verifiedPhone)
	s.when(EvaluateAutoSMS{UserID: aliceID, PhoneID: s.id(PrefixPhone)})
	s.then(SMSAutoEnrollmentSkipped{PhoneID: s.id(PrefixPhone), Reason: "already_enrolled"})
}

func TestS1PhoneRetiredBeforeTheReactionIsNotEnrolled(t *testing.T) {
	t.Parallel()
	s := given(t, alice, verifiedPhone)
	s.when(RemovePhone{PhoneID: s.id(PrefixPhone), Reason: "client_request"}).then(PhoneNumberRemoved{})
	s.when(EvaluateAutoSMS{UserID: aliceID, PhoneID: s.id(PrefixPhone)}).then(SMSAutoEnrollmentSkipped{Reason: "not_verified"})
}
