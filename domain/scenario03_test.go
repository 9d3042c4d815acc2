package domain

import (
	"testing"
	"time"
)

// S-3: SMS login with voice callback (R-44 to R-46, D-44).

// smsLoginAtTen has an SMS login begun at 10:00:00 on TWS, release channel
// latest; its message was requested at once.
func smsLoginAtTen(t *testing.T) *story {
	t.Helper()
	return given(t, alice, sms).at("10:00:00.000").and(smsLogin(TWS, Latest))
}

func smsLogin(platform Platform, channel ReleaseChannel) step {
	return func(s *story) {
		s.t.Helper()
		s.when(StartAuthentication{UserID: s.who, Purpose: PurposeLogin, Platform: platform, ReleaseChannel: channel, PrimaryVerified: true})
		if c := the[LoginCodeIssued](s); c.Seq != 1 || c.Via != "sms" || the[SMSRequested](s).CodeSeq != 1 {
			s.t.Errorf("login began with code %+v", c)
		}
	}
}

func call(s *story) RequestVoiceCall { return RequestVoiceCall{ChallengeID: s.id(PrefixChallenge)} }

func TestS3VoiceSpeaksANewCodeWhichTakesThePlaceOfTheMessage(t *testing.T) {
	t.Parallel()
	s := smsLoginAtTen(t)
	challenge := s.id(PrefixChallenge)
	s.when(RecordSMSSent{SMSID: s.id(PrefixSMS), AcceptedAt: s.now}).then(SMSSent{})
	s.at("10:01:30.000").when(call(s)).then(
		LoginCodeIssued{ChallengeID: challenge, Seq: 2, Via: "voice", CodeLen: 6, Kid: "2024-03-01", ExpiresAt: moment(t, "2024-03-01T10:10:00Z")},
		VoiceCallRequested{
			CallID: s.id(PrefixCall), ChallengeID: challenge, PhoneID: s.id(PrefixPhone), CodeSeq: 2, Platform: TWS, ReleaseChannel: Latest,
			TemplateID: "login_voice@1", Locale: "en",
		},
	)
	s.at("10:02:20.000").when(RecordVoicePlaced{CallID: s.id(PrefixCall), Provider: "p", ProviderRef: "r", PlacedAt: s.now})
	s.then(VoiceCallPlaced{WaitMS: 50_000, Provider: "p", ProviderRef: "r"})
	if the[VoiceCallPlaced](s).SLAMissed {
		t.Error("a call placed after 50 s missed its minute")
	}
	s.when(SubmitResponse{ChallengeID: challenge}, code(1)).then(ResponseRejected{Reason: ReasonCodeSuperseded, AttemptsLeft: 3})
	if the[ResponseRejected](s).Counted {
		t.Error("the superseded code of the message was counted")
	}
	s.when(SubmitResponse{ChallengeID: challenge}, code(2)).then(
		ResponseVerified{Mode: ModeVoiceCode, UV: UVNone, OOBClass: "pstn", AttemptNo: 1}, AuthenticationSucceeded{Factors: 2, ProtectionRank: 1, AuthenticatorKind: KindSMS, Platform: TWS},
	)
}

func TestS3VoiceBeforeAnySMSRequestIsRefused(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms)
	// The number had its ten messages of the hour, so that none was asked for.
	s.when(StartAuthentication{UserID: aliceID, Purpose: PurposeLogin, Platform: ClientPortal, PrimaryVerified: true}, func(f *Facts) { f.SMSLastHour = 10 })
	s.then(AuthenticationStarted{}, PrimaryFactorVerified{}, SecondFactorSelected{}, ChallengeIssued{}, SMSRequestRefused{Reason: ReasonSMSRate})
	s.when(call(s)).then(VoiceCallRefused{ChallengeID: s.id(PrefixChallenge), Reason: ReasonVoiceBeforeSMS})
	s.when(ResendLoginCode{ChallengeID: s.id(PrefixChallenge)}).then(LoginCodeIssued{Seq: 1}, SMSRequested{})
	s.when(call(s)).then(LoginCodeIssued{Seq: 2}, VoiceCallRequested{})
}

func TestS3SMSRefusedByTheCooldownOrFailedToSendCountsAsAskedFor(t *testing.T) {
	t.Parallel()
	refused := given(t, alice, sms).at("10:00:00.000").and(smsLogin(ClientPortal, ""))
	refused.at("10:00:30.000").and(login(ClientPortal))
	must[SMSRequestRefused](refused)
	refused.when(call(refused)).then(LoginCodeIssued{Seq: 1, Via: "voice"}, VoiceCallRequested{CodeSeq: 1})
	failed := smsLoginAtTen(t)
	failed.when(RecordSMSSendFailed{SMSID: failed.id(PrefixSMS)}).then(SMSSendFailed{})
	failed.when(call(failed)).then(LoginCodeIssued{}, VoiceCallRequested{})
}

func TestS3CallPlacedLateIsFlaggedAndStillValid(t *testing.T) {
	t.Parallel()
	for wait, missed := range map[time.Duration]bool{
		0: false, 60 * time.Second: false, 60*time.Second + time.Millisecond: true, 61 * time.Second: true,
	} {
		s := smsLoginAtTen(t)
		s.when(call(s))
		s.after(wait).when(RecordVoicePlaced{CallID: s.id(PrefixCall), PlacedAt: s.now})
		if e := the[VoiceCallPlaced](s); e.SLAMissed != missed || e.WaitMS != wait.Milliseconds() {
			t.Errorf("placed after %s: %+v, want missed %v", wait, e, missed)
		}
		s.when(answerTo(s), code(2)).then(ResponseVerified{Mode: ModeVoiceCode}, AuthenticationSucceeded{})
	}
}

func TestS3VoiceIsForSupportedPlatformsAndChannelsOnly(t *testing.T) {
	t.Parallel()
	cases := []struct {
		platform Platform
		channel  ReleaseChannel
		want     Code
	}{
		{TWS, Latest, ""}, {TWS, Beta, ""}, {TWS, Stable, ReasonVoiceChannel}, {TWS, "", ReasonVoiceChannel},
		{WebTrader, "", ReasonVoicePlatform}, {WebTrader, Latest, ReasonVoicePlatform},
		{ClientPortal, "", ""}, {IBKRMobileIOS, "", ""}, {IBKRMobileAndroid, Stable, ""},
	}
	for _, c := range cases {
		s := given(t, alice, sms, smsLogin(c.platform, c.channel))
		s.when(call(s))
		if c.want == "" {
			s.then(LoginCodeIssued{}, VoiceCallRequested{Platform: c.platform})
		} else {
			s.then(VoiceCallRefused{Reason: c.want})
		}
	}
}

func TestS3VoiceIsForLoginsBySMSOnly(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, login(ClientPortal))
	s.when(call(s)).then(VoiceCallRefused{Reason: ReasonVoiceNotSMSUser})
	s.and(fallback).when(call(s)).then(VoiceCallRefused{Reason: ReasonVoiceNotSMSUser})
	session := given(t, alice, sms, password(PurposeStepUp, ClientPortal))
	session.when(call(session)).then(VoiceCallRefused{Reason: ReasonVoicePurpose})
}

func TestS3OneCallAMinuteAndThreeInALogin(t *testing.T) {
	t.Parallel()
	s := smsLoginAtTen(t)
	s.when(call(s)).then(LoginCodeIssued{Seq: 2}, VoiceCallRequested{})
	s.at("10:00:59.999").when(call(s)).then(VoiceCallRefused{Reason: ReasonVoiceRate, RetryAfterS: 1})
	s.at("10:01:00.000").when(call(s)).then(LoginCodeIssued{Seq: 3}, VoiceCallRequested{})
	s.at("10:02:00.000").when(call(s)).then(LoginCodeIssued{Seq: 4}, VoiceCallRequested{})
	s.at("10:09:59.999").when(call(s)).then(VoiceCallRefused{Reason: ReasonVoiceRate})
	if wait := the[VoiceCallRefused](s).RetryAfterS; wait != 0 {
		t.Errorf("retry after %d s, but there are no more calls in this login", wait)
	}
	s.and(later(2*time.Minute), smsLogin(TWS, Latest)).when(call(s)).then(LoginCodeIssued{}, VoiceCallRequested{})
}

func TestS3MessageSentAfterACallTakesItsPlaceAndAttemptsCarryOver(t *testing.T) {
	t.Parallel()
	s := smsLoginAtTen(t)
	s.when(answerTo(s), code(0)).then(ResponseRejected{Reason: ReasonCodeWrong, AttemptsLeft: 2, FailureCount: 1})
	s.at("10:01:00.000").when(call(s)).then(LoginCodeIssued{Seq: 2}, VoiceCallRequested{})
	s.when(answerTo(s), code(0)).then(ResponseRejected{Reason: ReasonCodeWrong, AttemptsLeft: 1, FailureCount: 2})
	s.at("10:02:00.000").when(ResendLoginCode{ChallengeID: s.id(PrefixChallenge)}).then(LoginCodeIssued{Seq: 3, Via: "sms"}, SMSRequested{})
	s.when(answerTo(s), code(2)).then(ResponseRejected{Reason: ReasonCodeSuperseded})
	s.when(answerTo(s), code(3)).then(ResponseVerified{Mode: ModeSMSCode, AttemptNo: 3}, AuthenticationSucceeded{})
}

func TestS3SpokenCodeIsGoodUntilOneMillisecondBeforeTheLoginEnds(t *testing.T) {
	t.Parallel()
	for clock, good := range map[string]bool{"10:09:59.999": true, "10:10:00.000": false} {
		s := smsLoginAtTen(t)
		s.at("10:05:00.000").when(call(s)).then(LoginCodeIssued{ExpiresAt: moment(t, "2024-03-01T10:10:00Z")}, VoiceCallRequested{})
		s.at(clock).when(answerTo(s), code(2))
		if has[AuthenticationSucceeded](s) != good {
			t.Errorf("at %s: %s", clock, names(s.got))
		}
	}
}

func TestS3NoCallIsMadeForALoginThatIsOver(t *testing.T) {
	t.Parallel()
	s := smsLoginAtTen(t)
	s.when(RequestVoiceCall{ChallengeID: s.user().ref(PrefixChallenge, 900)}).thenError(Unknown)
	done := smsLoginAtTen(t)
	done.when(answerTo(done), code(1)).then(ResponseVerified{}, AuthenticationSucceeded{})
	done.when(call(done)).then(VoiceCallRefused{Reason: ReasonChallengeUsed})
	locked := smsLoginAtTen(t).and(lockedOut)
	locked.when(RequestVoiceCall{ChallengeID: locked.user().challenges.order[0]}).then(VoiceCallRefused{Reason: ReasonUserLocked})
	s.at("10:10:00.000").when(call(s)).then(VoiceCallRefused{Reason: ReasonChallengeExpired})
	gone := given(t, alice, sms, later(time.Minute), verifiedPhone, smsLogin(TWS, Latest))
	gone.when(RemovePhone{PhoneID: gone.user().Phones()[0].ID, Reason: "client_request"})
	gone.when(call(gone)).then(VoiceCallRefused{Reason: ReasonNotActive})
}

func TestS3WhatHappensToACallIsRecordedOnce(t *testing.T) {
	t.Parallel()
	s := smsLoginAtTen(t)
	s.when(call(s)).then(LoginCodeIssued{}, VoiceCallRequested{})
	id := s.id(PrefixCall)
	s.when(RecordVoiceUncertain{CallID: id}).thenNothing()
	s.when(RecordVoiceDispatch{CallID: id, Gateway: "g"}).then(VoiceDispatchStarted{CallID: id, Gateway: "g"})
	s.when(RecordVoiceDispatch{CallID: id, Gateway: "g"}).thenNothing()
	s.when(RecordVoiceUncertain{CallID: id}).then(VoiceDispatchUncertain{CallID: id})
	s.when(RecordVoiceUncertain{CallID: id}).thenNothing()
	placed := RecordVoicePlaced{CallID: id, PlacedAt: s.now.Add(-time.Second)}
	s.when(placed).then(VoiceCallPlaced{CallID: id})
	if wait := the[VoiceCallPlaced](s).WaitMS; wait != 0 {
		t.Errorf("placed before it was asked for: %d ms, want 0", wait)
	}
	s.when(placed).thenNothing()
	s.when(RecordVoiceFailed{CallID: id, Failure: "busy", ProviderCode: "486"}).then(VoiceCallFailed{Failure: "busy", ProviderCode: "486"})
	s.when(RecordVoiceFailed{CallID: id, Failure: "busy"}).thenNothing()
	s.when(RecordVoiceAnswered{CallID: id, DurationS: 12}).then(VoiceCallAnswered{DurationS: 12})
	s.when(RecordVoiceAnswered{CallID: id, DurationS: 12}).thenNothing()
	for _, c := range []Command{RecordVoiceDispatch{CallID: s.user().ref(PrefixCall, 900)}, RecordVoicePlaced{CallID: s.user().ref(PrefixCall, 900)}, RecordVoiceUncertain{CallID: s.user().ref(PrefixCall, 900)}} {
		s.when(c).thenError(Unknown)
	}
}

func TestS3ReportAboutACallThatWasForgottenIsRecordedWithoutAVerdict(t *testing.T) {
	t.Parallel()
	s := smsLoginAtTen(t)
	s.when(call(s))
	id := s.id(PrefixCall)
	for range recentLimit {
		s.after(10*time.Minute).and(smsLogin(TWS, Latest)).when(call(s)).then(LoginCodeIssued{}, VoiceCallRequested{})
	}
	s.when(RecordVoicePlaced{CallID: id, PlacedAt: s.now, Provider: "voice"}).then(VoiceCallPlaced{CallID: id, PlacedAt: s.now, Provider: "voice"})
	if placed := the[VoiceCallPlaced](s); placed.WaitMS != 0 || placed.SLAMissed {
		t.Errorf("a verdict on the wait of a call nobody remembers: %+v", placed)
	}
	s.when(RecordVoiceAnswered{CallID: id, DurationS: 3}).then(VoiceCallAnswered{CallID: id, DurationS: 3})
	s.when(RecordVoiceFailed{CallID: id, Failure: "busy"}).then(VoiceCallFailed{CallID: id, Failure: "busy"})
}

func TestS3CopyByEmailIsRecordedOnceWhereARuleDemandsIt(t *testing.T) {
	t.Parallel()
	s := smsLoginAtTen(t)
	copied := RecordCodeEmailed{SMSID: s.id(PrefixSMS), AddressRef: "address-1", RuleID: "IN-2FA-2"}
	s.when(copied).then(CodeEmailed{SMSID: copied.SMSID, AddressRef: "address-1", RuleID: "IN-2FA-2"})
	s.when(copied).thenNothing()
	s.when(RecordCodeEmailed{SMSID: s.user().ref(PrefixSMS, 900)}).thenError(Unknown)
}
