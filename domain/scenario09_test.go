package domain

import (
	"testing"
	"time"
)

// S-9: Digital Security Card+ login (R-30 to R-34, D-14, D-17).

// cardAtTen has a login by card begun at 10:00:00.
func cardAtTen(t *testing.T) *story {
	t.Helper()
	return given(t, alice, sms, dscPlus(cardID)).at("10:00:00.000").and(login(ClientPortal))
}

func TestS9PasswordLeadsToSixDigitsAndTheCardMakesEight(t *testing.T) {
	t.Parallel()
	s := cardAtTen(t)
	s.then(
		AuthenticationStarted{}, PrimaryFactorVerified{}, SecondFactorSelected{By: "only_one"},
		ChallengeIssued{
			Kind: KindDSCPlus, Mode: ModeChallengeResponse, DeviceID: cardID, ChallengeLen: 6, ResponseLen: 8, Kid: "2024-03-01", MaxAttempts: 3,
			ExpiresAt: moment(t, "2024-03-01T10:05:00Z"),
		},
	)
	s.when(answerTo(s), response(9)).then(
		ResponseVerified{UV: UVDSCPIN, DeviceID: cardID, NextCounter: 9, AttemptNo: 1},
		AuthenticationSucceeded{AuthenticatorKind: KindDSCPlus, ProtectionRank: 3, Factors: 2, Scope: "full"},
	)
	if a := kindOf(s, KindDSCPlus); a.Counter != 9 {
		t.Errorf("counter %d is expected next, want 9", a.Counter)
	}
}

func TestS9ResponseIsAcceptedUntilOneMillisecondBeforeFiveMinutes(t *testing.T) {
	t.Parallel()
	s := cardAtTen(t)
	s.at("10:04:59.999").when(answerTo(s), response(9)).then(ResponseVerified{ElapsedMS: 299_999}, AuthenticationSucceeded{})
}

func TestS9AtFiveMinutesTheLoginStartsOverFromThePassword(t *testing.T) {
	t.Parallel()
	s := cardAtTen(t)
	s.at("10:05:00.000").when(answerTo(s), response(9)).then(
		ResponseRejected{Reason: ReasonChallengeExpired, AttemptsLeft: 3}, AuthenticationFailed{Reason: ReasonChallengeExpired},
	)
	if r := the[ResponseRejected](s); r.Counted {
		t.Error("a late response was counted")
	}
	s.when(IssueChallenge{TxnID: s.id(PrefixTransaction)}).then(ChallengeRefused{Reason: ReasonTxnClosed})
	s.and(login(ClientPortal))
	must[ChallengeIssued](s)
}

func TestS9ThreeWrongResponsesExhaustTheChallenge(t *testing.T) {
	t.Parallel()
	s := cardAtTen(t)
	s.when(answerTo(s), wrong).then(ResponseRejected{Reason: ReasonResponseWrong, AttemptNo: 1, AttemptsLeft: 2, FailureCount: 1})
	s.when(answerTo(s), malformed).then(ResponseRejected{Reason: ReasonMalformed, AttemptsLeft: 2, FailureCount: 1})
	s.when(answerTo(s), wrong).then(ResponseRejected{Reason: ReasonResponseWrong, AttemptNo: 2, AttemptsLeft: 1, FailureCount: 2})
	s.when(answerTo(s), wrong).then(
		ResponseRejected{Reason: ReasonResponseWrong, AttemptNo: 3, Counted: true, FailureCount: 3}, ChallengeExhausted{}, AuthenticationFailed{Reason: ReasonChallengeSpent},
	)
	if left := s.got[0].(ResponseRejected).AttemptsLeft; left != 0 {
		t.Errorf("attempts_left %d, want 0", left)
	}
	s.when(answerTo(s), response(9)).then(ResponseRejected{Reason: ReasonChallengeSpent})
}

func TestS9RightResponseIsGoodOnce(t *testing.T) {
	t.Parallel()
	s := cardAtTen(t)
	s.when(answerTo(s), response(9)).then(ResponseVerified{}, AuthenticationSucceeded{})
	s.when(answerTo(s), response(9)).then(ResponseRejected{Reason: ReasonChallengeUsed})
	if r := the[ResponseRejected](s); r.Counted {
		t.Error("a repeated response was counted")
	}
}

func TestS9CardWorksForEveryApplication(t *testing.T) {
	t.Parallel()
	for i, platform := range everyPlatform {
		s := given(t, alice, sms, dscPlus(cardID), login(platform))
		s.when(answerTo(s), response(uint64(9+i))).then(ResponseVerified{}, AuthenticationSucceeded{Platform: platform, ProtectionRank: 3})
	}
}

func TestS9CardNeitherFallsBackNorIsSentAgain(t *testing.T) {
	t.Parallel()
	s := cardAtTen(t)
	s.when(RequestFallback{ChallengeID: s.id(PrefixChallenge), Cause: CauseNoInternet}).then(FallbackRefused{Reason: ReasonNoFallback})
	s.when(ResendLoginCode{ChallengeID: s.id(PrefixChallenge)}).thenError(Invalid)
	s.when(decisionOn(s, iphoneID), approved(UVFaceID)).thenError(Invalid)
}

func TestS9CardReportedLostBetweenQuestionAndAnswerDoesNotAnswer(t *testing.T) {
	t.Parallel()
	s := cardAtTen(t)
	s.when(ReportLost{AuthenticatorID: kindOf(s, KindDSCPlus).ID, By: "client"}).then(AuthenticatorReportedLost{}, AuthenticatorSuspended{Reason: "reported_lost"})
	s.when(answerTo(s), response(9)).then(ResponseRejected{Reason: ReasonNotActive}, AuthenticationFailed{Reason: ReasonNotActive})
}

func TestS9SuspendedCardAsTheOnlyDeviceSendsToEnrolment(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms, dscPlus(cardID))
	s.when(ReportLost{AuthenticatorID: kindOf(s, KindDSCPlus).ID, By: "client"})
	s.and(later(time.Hour), login(TWS)).then(AuthenticationStarted{}, PrimaryFactorVerified{}, ChallengeRefused{Reason: ReasonNotActive}, EnrollmentRequired{})
}
