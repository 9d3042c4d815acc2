package domain

import (
	"testing"
	"time"
)

// S-2: two minutes between two messages (R-41, D-10).

// verificationAtTen has a verification message requested at 10:00:00.000.
func verificationAtTen(t *testing.T) *story {
	t.Helper()
	return given(t, alice, phone).at("10:00:00.000").and(verification)
}

func TestS2OneMillisecondTooEarlyIsRefusedWithTheTimeToWait(t *testing.T) {
	t.Parallel()
	s := verificationAtTen(t)
	s.at("10:01:59.999").when(ResendConfirmCode{VerificationID: s.id(PrefixVerification)}).then(
		SMSRequestRefused{PhoneID: s.id(PrefixPhone), Purpose: PurposePhoneVerification, Reason: ReasonSMSCooldown, RetryAfterS: 1},
	)
}

func TestS2TheTimeToWaitIsRoundedUpToWholeSeconds(t *testing.T) {
	t.Parallel()
	for clock, wait := range map[string]int64{
		"10:00:00.000": 120, "10:00:00.001": 120, "10:00:01.000": 119, "10:01:58.999": 2, "10:01:59.000": 1,
	} {
		s := verificationAtTen(t)
		s.at(clock).when(ResendConfirmCode{VerificationID: s.id(PrefixVerification)})
		s.then(SMSRequestRefused{Reason: ReasonSMSCooldown, RetryAfterS: wait})
	}
}

func TestS2AtExactlyTwoMinutesANewCodeReplacesTheFirst(t *testing.T) {
	t.Parallel()
	s := verificationAtTen(t)
	verification := s.id(PrefixVerification)
	s.at("10:02:00.000").when(ResendConfirmCode{VerificationID: verification}).then(
		ConfirmCodeIssued{Seq: 2, ExpiresAt: moment(t, "2024-03-01T10:12:00Z")}, SMSRequested{CodeSeq: 2},
	)
	s.at("10:03:00.000").when(ConfirmPhone{VerificationID: verification}, code(1)).then(
		PhoneVerificationRejected{Reason: ReasonCodeSuperseded, AttemptsLeft: 3},
	)
	if no := the[PhoneVerificationRejected](s).AttemptNo; no != 0 {
		t.Errorf("attempt_no %d, want 0: a superseded code does not count", no)
	}
	s.when(ConfirmPhone{VerificationID: verification}, code(2)).then(PhoneNumberVerified{Attempts: 1})
}

func TestS2OfTwoSimultaneousRequestsExactlyOneIsSent(t *testing.T) {
	t.Parallel()
	s := verificationAtTen(t)
	resend := ResendConfirmCode{VerificationID: s.id(PrefixVerification)}
	s.at("10:02:00.000").when(resend).then(ConfirmCodeIssued{}, SMSRequested{})
	s.when(resend).then(SMSRequestRefused{Reason: ReasonSMSCooldown, RetryAfterS: 120})
}

func TestS2StartingAnewDoesNotAvoidTheWait(t *testing.T) {
	t.Parallel()
	s := verificationAtTen(t)
	s.at("10:00:30.000").when(StartPhoneVerification{PhoneID: s.id(PrefixPhone)})
	s.then(SMSRequestRefused{Reason: ReasonSMSCooldown, RetryAfterS: 90})
	first := s.id(PrefixVerification)
	s.at("10:02:00.000").and(verification)
	s.when(ConfirmPhone{VerificationID: first}, code(1)).then(PhoneVerificationRejected{Reason: ReasonCodeSuperseded})
}

func TestS2LoginMessageThirtySecondsLaterIsAllowed(t *testing.T) {
	t.Parallel()
	s := given(t, alice).at("10:00:00.000").and(sms)
	s.at("10:00:30.000").and(login(ClientPortal)).then(
		AuthenticationStarted{}, PrimaryFactorVerified{}, SecondFactorSelected{By: "only_one"},
		ChallengeIssued{Mode: ModeSMSCode, ResponseLen: 6}, LoginCodeIssued{Seq: 1, Via: "sms"}, SMSRequested{Purpose: PurposeLogin},
	)
}

func TestS2AfterAFailedSendANewRequestIsAllowedAtOnce(t *testing.T) {
	t.Parallel()
	s := verificationAtTen(t)
	s.at("10:00:01.000").when(RecordSMSSendFailed{SMSID: s.id(PrefixSMS), ProviderCode: "500"}).then(SMSSendFailed{})
	s.when(ResendConfirmCode{VerificationID: s.id(PrefixVerification)}).then(ConfirmCodeIssued{Seq: 2}, SMSRequested{})
}

func TestS2FailureOfAnEarlierMessageDoesNotLiftTheWaitOfALaterOne(t *testing.T) {
	t.Parallel()
	s := verificationAtTen(t)
	first := s.id(PrefixSMS)
	s.at("10:02:00.000").when(ResendConfirmCode{VerificationID: s.id(PrefixVerification)}).then(ConfirmCodeIssued{}, SMSRequested{})
	s.at("10:02:01.000").when(RecordSMSSendFailed{SMSID: first, ProviderCode: "500"}).then(SMSSendFailed{})
	s.when(ResendConfirmCode{VerificationID: s.id(PrefixVerification)}).then(SMSRequestRefused{Reason: ReasonSMSCooldown, RetryAfterS: 119})
}

func TestS2LoginCodeSentAgainReplacesTheFirstInTheSameChallenge(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms).at("10:00:00.000").and(login(TWS))
	challenge := s.id(PrefixChallenge)
	s.at("10:01:59.999").when(ResendLoginCode{ChallengeID: challenge}).then(SMSRequestRefused{Reason: ReasonSMSCooldown, RetryAfterS: 1})
	s.when(SubmitResponse{ChallengeID: challenge}, code(0)).then(ResponseRejected{Reason: ReasonCodeWrong, AttemptNo: 1, Counted: true})
	s.at("10:02:00.000").when(ResendLoginCode{ChallengeID: challenge}).then(LoginCodeIssued{Seq: 2}, SMSRequested{CodeSeq: 2})
	s.when(SubmitResponse{ChallengeID: challenge}, code(1)).then(ResponseRejected{Reason: ReasonCodeSuperseded, AttemptNo: 1})
	if the[ResponseRejected](s).Counted {
		t.Error("a superseded code was counted")
	}
	s.when(SubmitResponse{ChallengeID: challenge}, code(2)).then(ResponseVerified{AttemptNo: 2, Mode: ModeSMSCode}, AuthenticationSucceeded{Factors: 2, ProtectionRank: 1})
}

func TestS2SecondLoginWithinTwoMinutesWaitsForItsCode(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms).at("10:00:00.000").and(login(TWS))
	s.at("10:00:30.000").and(login(ClientPortal)).then(
		AuthenticationStarted{}, PrimaryFactorVerified{}, SecondFactorSelected{}, ChallengeIssued{Mode: ModeSMSCode},
		SMSRequestRefused{Purpose: PurposeLogin, Reason: ReasonSMSCooldown, RetryAfterS: 90},
	)
	s.at("10:02:00.000").when(ResendLoginCode{ChallengeID: s.id(PrefixChallenge)}).then(LoginCodeIssued{Seq: 1}, SMSRequested{CodeSeq: 1})
	s.when(answerTo(s), code(1)).then(ResponseVerified{}, AuthenticationSucceeded{})
}

func TestS2ReceiptsAreRecordedOnceAndMayComeBeforeTheSendIsConfirmed(t *testing.T) {
	t.Parallel()
	s := verificationAtTen(t)
	id := s.id(PrefixSMS)
	s.when(RecordSMSUncertain{SMSID: id}).thenNothing()
	s.when(RecordSMSDispatch{SMSID: id, Gateway: "g"}).then(SMSDispatchStarted{})
	s.when(RecordSMSDispatch{SMSID: id, Gateway: "g"}).thenNothing()
	s.at("10:00:07.500").when(RecordSMSDelivered{SMSID: id, DeliveredAt: s.now, Receipt: "handset"}).then(SMSDelivered{LatencyMS: 7500})
	s.when(RecordSMSDelivered{SMSID: id, DeliveredAt: s.now, Receipt: "handset"}).thenNothing()
	s.when(RecordSMSSent{SMSID: id, AcceptedAt: s.now}).then(SMSSent{})
	s.when(RecordSMSSent{SMSID: id, AcceptedAt: s.now}).thenNothing()
	s.when(RecordSMSUncertain{SMSID: id}).thenNothing()
	s.when(RecordSMSSendFailed{SMSID: id}).thenNothing()
	s.when(RecordSMSDeliveryFailed{SMSID: id, Failure: "roaming"}).then(SMSDeliveryFailed{Failure: "roaming"})
	s.when(RecordSMSDeliveryFailed{SMSID: id, Failure: "roaming"}).thenNothing()
}

func TestS2EleventhMessageOfTheHourToANumberIsRefused(t *testing.T) {
	t.Parallel()
	s := given(t, alice, phone)
	lastHour := func(n int) evidence { return func(f *Facts) { f.SMSLastHour = n } }
	s.when(StartPhoneVerification{PhoneID: s.id(PrefixPhone)}, lastHour(10)).then(SMSRequestRefused{Reason: ReasonSMSRate})
	s.when(StartPhoneVerification{PhoneID: s.id(PrefixPhone)}, lastHour(9)).then(PhoneVerificationStarted{}, ConfirmCodeIssued{}, SMSRequested{})
}

func TestS2ManyResendsAreNumberedOnAndOldOnesStaySuperseded(t *testing.T) {
	t.Parallel()
	s := verificationAtTen(t)
	verification := s.id(PrefixVerification)
	for seq := 2; seq <= 30; seq++ {
		s.after(2*time.Minute).when(ResendConfirmCode{VerificationID: verification}).then(ConfirmCodeIssued{Seq: seq}, SMSRequested{})
	}
	s.when(ConfirmPhone{VerificationID: verification}, code(29)).then(PhoneVerificationRejected{Reason: ReasonCodeSuperseded})
	s.when(ConfirmPhone{VerificationID: verification}, code(30)).then(PhoneNumberVerified{})
}
