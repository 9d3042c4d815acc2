package domain

import (
	"testing"
	"time"
)

// S-7: no notification: challenge/response, and the push repaired (R-21 to
// R-25, D-45, D-46).

func TestS7FallbackCancelsThePushAndAsksForEightDigits(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey).at("10:00:00.000").and(login(ClientPortal))
	push := s.id(PrefixChallenge)
	s.at("10:00:30.000").when(RequestFallback{ChallengeID: push, Cause: CauseNoInternet}).then(
		ChallengeFallbackRequested{ChallengeID: push, Cause: CauseNoInternet},
		ChallengeCancelled{ChallengeID: push, Reason: "fallback"},
		ChallengeIssued{
			Mode: ModeChallengeResponse, ChallengeLen: 6, ResponseLen: 8, InstallationID: iphoneID, Kid: "2024-03-01",
			ExpiresAt: moment(t, "2024-03-01T10:05:30Z"),
		},
	)
	response := s.id(PrefixChallenge)
	s.when(DecidePush{ChallengeID: push, InstallationID: iphoneID}, approved(UVFaceID)).then(ResponseRejected{ChallengeID: push, Reason: ReasonChallengeOld})
	if the[ResponseRejected](s).Counted {
		t.Error("a late tap was counted")
	}
	s.when(SubmitResponse{ChallengeID: response}, malformed).then(ResponseRejected{Reason: ReasonMalformed, AttemptsLeft: 3})
	if r := the[ResponseRejected](s); r.Counted || r.AttemptNo != 0 {
		t.Errorf("seven digits: counted %v, attempt_no %d; want attempts unchanged", r.Counted, r.AttemptNo)
	}
	s.when(SubmitResponse{ChallengeID: response, Response: "01234567"}, ocra(true)).then(
		ResponseVerified{ChallengeID: response, Mode: ModeChallengeResponse, AttemptNo: 1, OCRAStep: 28_000_000, AnsweringInstallationID: iphoneID},
		AuthenticationSucceeded{Factors: 2, ProtectionRank: 2, AuthenticatorKind: KindIBKey},
	)
	s.when(SubmitResponse{ChallengeID: response}, ocra(true)).then(ResponseRejected{Reason: ReasonChallengeUsed})
}

func TestS7AppOnlineAgainRegistersItsTokenAndTheNextLoginIsAPush(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, login(ClientPortal))
	s.when(RecordPushFailed{ChallengeID: s.id(PrefixChallenge), Failure: "token_invalid"}).then(PushFailed{Failure: "token_invalid"})
	s.when(RecordPushFailed{ChallengeID: s.id(PrefixChallenge), Failure: "token_invalid"}).thenNothing()
	s.and(fallback).when(answerTo(s), ocra(true)).then(ResponseVerified{}, AuthenticationSucceeded{})
	s.when(RegisterPushToken{InstallationID: iphoneID, Service: "apns", TokenMAC: "bWFj"}).then(PushTokenRegistered{InstallationID: iphoneID, Service: "apns", TokenMAC: "bWFj"})
	s.and(login(ClientPortal)).then(AuthenticationStarted{}, PrimaryFactorVerified{}, SecondFactorSelected{}, ChallengeIssued{Mode: ModePush})
}

func TestS7ResponseIsAcceptedUntilOneMillisecondBeforeFiveMinutes(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey).at("10:00:00.000").and(login(ClientPortal), fallback)
	s.at("10:04:59.999").when(answerTo(s), ocra(true)).then(ResponseVerified{ElapsedMS: 299_999}, AuthenticationSucceeded{})
}

func TestS7AtFiveMinutesTheLoginStartsOverFromThePassword(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey).at("10:00:00.000").and(login(ClientPortal), fallback)
	s.at("10:05:00.000").when(answerTo(s), ocra(true)).then(
		ResponseRejected{Reason: ReasonChallengeExpired}, AuthenticationFailed{Reason: ReasonChallengeExpired},
	)
	s.when(IssueChallenge{TxnID: s.id(PrefixTransaction)}).then(ChallengeRefused{Reason: ReasonTxnClosed})
	s.when(answerTo(s), ocra(true)).then(ResponseRejected{Reason: ReasonTxnClosed})
}

func TestS7ExpiredResponseIsNotReplacedByANewChallengeEvenIfNobodyAnswered(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey).at("10:00:00.000").and(login(ClientPortal), fallback)
	s.at("10:05:00.000").when(IssueChallenge{TxnID: s.id(PrefixTransaction)}).then(
		ChallengeRefused{Mode: ModeChallengeResponse, Reason: ReasonChallengeExpired}, AuthenticationFailed{Reason: ReasonChallengeExpired},
	)
}

func TestS7ChallengeDoesNotOutliveTheTransaction(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey).at("10:00:00.000").and(login(ClientPortal))
	s.at("10:09:00.000").and(fallback)
	if c, _ := s.user().Challenge(s.id(PrefixChallenge)); !c.ExpiresAt.Equal(moment(t, "2024-03-01T10:10:00Z")) {
		t.Errorf("challenge ends %s, want with the transaction at 10:10:00", c.ExpiresAt)
	}
	s.at("10:10:00.000").when(answerTo(s), ocra(true)).then(ResponseRejected{Reason: ReasonChallengeExpired}, AuthenticationFailed{})
}

func TestS7ExpiredPushMayFallBackWhileTheTransactionLasts(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey).at("10:00:00.000").and(login(ClientPortal))
	s.at("10:09:59.999").and(fallback)
	other := given(t, alice, ibKey).at("10:00:00.000").and(login(ClientPortal))
	other.at("10:10:00.000").when(RequestFallback{ChallengeID: other.id(PrefixChallenge), Cause: CauseNoInternet}).then(FallbackRefused{Reason: ReasonTxnExpired})
	other.when(IssueChallenge{TxnID: other.id(PrefixTransaction)}).then(ChallengeRefused{Reason: ReasonTxnExpired})
}

func TestS7FallbackIsForAnOpenPushOnly(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, login(ClientPortal))
	push := s.id(PrefixChallenge)
	s.and(fallback)
	s.when(RequestFallback{ChallengeID: push, Cause: CauseNoInternet}).then(FallbackRefused{Reason: ReasonNoFallback})
	s.when(RequestFallback{ChallengeID: s.id(PrefixChallenge), Cause: CauseNoInternet}).then(FallbackRefused{Reason: ReasonNoFallback})
	s.when(RequestFallback{ChallengeID: PrefixChallenge + "_" + ownKey + "_999", Cause: CauseNoInternet}).thenError(Unknown)
}

func TestS7ThreeWrongResponsesEndTheLogin(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, login(ClientPortal), fallback)
	s.when(answerTo(s), ocra(false)).then(ResponseRejected{Reason: ReasonResponseWrong, AttemptNo: 1, AttemptsLeft: 2, FailureCount: 1})
	s.when(answerTo(s), ocra(false)).then(ResponseRejected{Reason: ReasonResponseWrong, AttemptNo: 2, AttemptsLeft: 1, FailureCount: 2})
	s.when(answerTo(s), ocra(false)).then(
		ResponseRejected{Reason: ReasonResponseWrong, AttemptNo: 3, Counted: true, FailureCount: 3},
		ChallengeExhausted{ChallengeID: s.id(PrefixChallenge)}, AuthenticationFailed{Reason: ReasonChallengeSpent},
	)
	s.when(answerTo(s), ocra(true)).then(ResponseRejected{Reason: ReasonChallengeSpent})
}

func TestS7ResponseBelongsToTheTransactionThatShowedTheChallenge(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, login(IBKRMobileAndroid), fallback)
	challenge, txn := s.id(PrefixChallenge), s.id(PrefixTransaction)
	s.and(login(TWS))
	s.when(SubmitResponse{ChallengeID: challenge, TxnID: s.id(PrefixTransaction)}, ocra(true)).then(ResponseRejected{Reason: ReasonTxnMismatch})
	s.when(SubmitResponse{ChallengeID: challenge, TxnID: txn}, ocra(true)).then(ResponseVerified{TxnID: txn}, AuthenticationSucceeded{TxnID: txn})
}

func TestS7EachKindOfAnswerHasItsOwnPlace(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, login(ClientPortal))
	s.when(answerTo(s), ocra(true)).thenError(Invalid)
	s.when(ResendLoginCode{ChallengeID: s.id(PrefixChallenge)}).thenError(Invalid)
	s.when(RecordPushOpened{ChallengeID: s.id(PrefixChallenge), InstallationID: pixelID}).thenError(Unknown)
	s.and(fallback).when(decisionOn(s, iphoneID), approved(UVFaceID)).thenError(Invalid)
	s.when(RecordPushSent{ChallengeID: s.id(PrefixChallenge)}).thenNothing()
}

func TestS7CancelledLoginIsAbandonedWhicheverChallengeWasNamed(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, login(ClientPortal))
	push := s.id(PrefixChallenge)
	s.and(fallback)
	s.when(CancelChallenge{ChallengeID: push}).then(ChallengeCancelled{ChallengeID: s.id(PrefixChallenge), Reason: "user"}, AuthenticationAbandoned{})
	s.when(CancelChallenge{ChallengeID: push}).thenNothing()
	s.when(answerTo(s), ocra(true)).then(ResponseRejected{Reason: ReasonChallengeOld})
}

func TestS7UsedTimeStepsAreRememberedForAsLongAsTheyCouldBeRepeated(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, login(ClientPortal), fallback)
	s.when(answerTo(s), ocra(true)).then(ResponseVerified{}, AuthenticationSucceeded{})
	challenge := s.id(PrefixChallenge)
	if got := s.after(10*time.Minute - time.Millisecond).user().RecentSteps(s.now)[challenge]; got != 28_000_000 {
		t.Errorf("remembered step %d, want 28000000", got)
	}
	if got := s.after(time.Millisecond).user().RecentSteps(s.now); len(got) != 0 {
		t.Errorf("still remembered after ten minutes: %v", got)
	}
}
