package domain

import (
	"testing"
	"time"
)

// S-19: lockout (K-23, D-18 to D-21).

// lockedOut has failed ten times in a row.
func lockedOut(s *story) {
	s.t.Helper()
	for range 9 {
		s.and(wrongPassword).then(AuthenticationStarted{}, PrimaryFactorRejected{}, AuthenticationFailed{})
	}
	s.and(wrongPassword).then(AuthenticationStarted{}, PrimaryFactorRejected{FailureCount: 10}, UserLocked{Failures: 10}, AuthenticationFailed{Reason: ReasonPrimaryFailed})
}

func TestS19TenFailuresOverSeveralTransactionsAndCodesLockForADay(t *testing.T) {
	t.Parallel()
	s := given(t, at("2024-03-01T08:00:00Z"), alice, sms)
	for count := 1; count <= 3; count++ {
		s.and(wrongPassword).then(AuthenticationStarted{}, PrimaryFactorRejected{FailureCount: count}, AuthenticationFailed{})
	}
	s.at("09:00:00.000").and(login(ClientPortal))
	s.when(answerTo(s), code(0)).then(ResponseRejected{Reason: ReasonCodeWrong, FailureCount: 4})
	s.when(answerTo(s), code(0)).then(ResponseRejected{Reason: ReasonCodeWrong, FailureCount: 5})
	// A fresh code in between does not reset the count.
	s.at("09:02:00.000").when(ResendLoginCode{ChallengeID: s.id(PrefixChallenge)}).then(LoginCodeIssued{Seq: 2}, SMSRequested{})
	s.when(answerTo(s), code(0)).then(ResponseRejected{Reason: ReasonCodeWrong, FailureCount: 6}, ChallengeExhausted{}, AuthenticationFailed{Reason: ReasonChallengeSpent})
	s.at("09:30:00.000").and(login(TWS))
	for count := 7; count <= 8; count++ {
		s.when(answerTo(s), code(0)).then(ResponseRejected{FailureCount: count})
	}
	s.at("09:59:00.000").and(wrongPassword)
	s.at("10:00:00.000").and(wrongPassword).then(
		AuthenticationStarted{}, PrimaryFactorRejected{FailureCount: 10},
		UserLocked{
			Failures: 10, FirstFailureAt: moment(t, "2024-03-01T08:00:00Z"), LastCountedFailedAt: s.now, LockedUntil: moment(t, "2024-03-02T10:00:00Z"),
		},
		AuthenticationFailed{Reason: ReasonPrimaryFailed},
	)
}

func TestS19RightPasswordDuringTheLockIsRefusedAndDoesNotExtendIt(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms).at("10:00:00.000").and(lockedOut)
	until := moment(t, "2024-03-02T10:00:00Z")
	s.at("10:30:00.000").and(login(ClientPortal)).then(AuthenticationRefused{Purpose: PurposeLogin, Platform: ClientPortal, Reason: ReasonUserLocked, LockedUntil: &until})
	s.and(wrongPassword).then(AuthenticationRefused{Reason: ReasonUserLocked, LockedUntil: &until})
	s.at("2024-03-02T09:59:59.999Z").and(login(ClientPortal)).then(AuthenticationRefused{Reason: ReasonUserLocked, LockedUntil: &until})
	s.at("2024-03-02T10:00:00.000Z").and(login(ClientPortal)).then(
		UserUnlocked{By: "elapsed"}, AuthenticationStarted{}, PrimaryFactorVerified{}, SecondFactorSelected{}, ChallengeIssued{}, LoginCodeIssued{}, SMSRequested{},
	)
	s.when(answerTo(s), code(1)).then(ResponseVerified{}, AuthenticationSucceeded{Factors: 2})
}

func TestS19CountStartsAtOneAfterTheLockHasElapsed(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms, lockedOut, later(24*time.Hour))
	if n := s.user().FailureCount(s.now); n != 0 {
		t.Errorf("%d failures after the lock elapsed, want 0", n)
	}
	s.and(wrongPassword).then(UserUnlocked{By: "elapsed"}, AuthenticationStarted{}, PrimaryFactorRejected{FailureCount: 1}, AuthenticationFailed{})
}

func TestS19LockShorterThanATransactionStillStartsTheCountAnew(t *testing.T) {
	t.Parallel()
	policy := withParameter(t, builtIn(t), "lock.duration_s", 60)
	s := newStory(t, policy) // the audit of given knows the lock of a day only
	s.and(alice, ibKey, login(TWS), fallback)
	challenge := s.id(PrefixChallenge)
	s.and(lockedOut, later(time.Minute))
	wrong := SubmitResponse{ChallengeID: challenge}
	s.when(wrong, ocra(false)).then(ResponseRejected{Reason: ReasonResponseWrong, FailureCount: 1})
	s.when(wrong, ocra(false)).then(ResponseRejected{Reason: ReasonResponseWrong, FailureCount: 2})
}

func TestS19AnswersDuringTheLockAreRefusedAndNotCounted(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey).at("10:00:00.000").and(login(ClientPortal))
	push := s.id(PrefixChallenge)
	s.and(lockedOut)
	s.when(decisionOn(s, iphoneID), approved(UVFaceID)).then(ResponseRejected{ChallengeID: push, Reason: ReasonUserLocked})
	s.when(decisionOn(s, iphoneID), declined).then(ResponseRejected{Reason: ReasonUserLocked})
	if the[ResponseRejected](s).Counted {
		t.Error("an answer was counted while locked")
	}
	s.when(RequestFallback{ChallengeID: push, Cause: CauseNoInternet}).then(FallbackRefused{Reason: ReasonUserLocked})
	s.when(IssueChallenge{TxnID: s.user().transactions.order[1]}).then(ChallengeRefused{Reason: ReasonUserLocked})
	s.when(StartEnrollment{UserID: aliceID, Kind: KindIBKey, InstallationID: iphoneID}).then(EnrollmentRefused{Reason: ReasonUserLocked})
}

func TestS19TenthFailureByAResponseEndsTheLoginAndCancelsItsChallenge(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms)
	for range 9 {
		s.and(wrongPassword)
	}
	s.and(login(ClientPortal)).when(answerTo(s), code(0)).then(
		ResponseRejected{Reason: ReasonCodeWrong, AttemptNo: 1, FailureCount: 10}, UserLocked{Failures: 10},
		ChallengeCancelled{Reason: "locked"}, AuthenticationFailed{Reason: ReasonUserLocked},
	)
}

func TestS19TenthFailureByADeclinedPushLocksToo(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey)
	for range 9 {
		s.and(wrongPassword)
	}
	s.and(login(ClientPortal)).when(decisionOn(s, iphoneID), declined).then(
		ResponseRejected{Reason: ReasonDeclined, FailureCount: 10}, AnomalyFlagged{}, UserLocked{}, AuthenticationFailed{Reason: ReasonDeclined},
	)
}

func TestS19TenthFailureThatAlsoExhaustsTheChallenge(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms)
	for range 7 {
		s.and(wrongPassword)
	}
	s.and(login(ClientPortal)).when(answerTo(s), code(0))
	s.when(answerTo(s), code(0))
	s.when(answerTo(s), code(0)).then(
		ResponseRejected{FailureCount: 10}, ChallengeExhausted{}, UserLocked{}, AuthenticationFailed{Reason: ReasonUserLocked},
	)
}

func TestS19FailuresLeaveTheCountAfterTwentyFourHours(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms).at("10:00:00.000").and(wrongPassword)
	s.at("10:00:00.001").and(wrongPassword)
	s.at("2024-03-02T10:00:00.000Z").and(wrongPassword).then(AuthenticationStarted{}, PrimaryFactorRejected{FailureCount: 2}, AuthenticationFailed{})
	s.at("2024-03-02T10:00:00.001Z").and(wrongPassword).then(AuthenticationStarted{}, PrimaryFactorRejected{FailureCount: 2}, AuthenticationFailed{})
}

func TestS19OnlyASuccessWithTwoFactorsResetsTheCount(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms, wrongPassword, wrongPassword, login(ClientPortal))
	s.when(answerTo(s), code(1)).then(ResponseVerified{}, AuthenticationSucceeded{Factors: 2})
	s.and(wrongPassword).then(AuthenticationStarted{}, PrimaryFactorRejected{FailureCount: 1}, AuthenticationFailed{})
}

func TestS19AgentUnlocksEarlierAfterVerifyingIdentity(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms).at("10:00:00.000").and(lockedOut)
	s.at("10:05:00.000").when(UnlockUser{UserID: aliceID}).then(UnlockRefused{Reason: ReasonIDVRequired})
	verify := VerifyIdentityByPhone{UserID: aliceID, AgentRef: "agent-7", Method: "questions"}
	s.when(verify).then(IdentityVerifiedByAgent{AgentRef: "agent-7", Method: "questions", ExpiresAt: moment(t, "2024-03-01T10:35:00Z")})
	s.at("10:35:00.000").when(UnlockUser{UserID: aliceID}).then(UnlockRefused{Reason: ReasonIDVRequired})
	s.when(verify).then(IdentityVerifiedByAgent{})
	s.at("11:04:59.999").when(UnlockUser{UserID: aliceID}).then(UserUnlocked{By: "agent", IDVID: s.id(PrefixIDV)})
	s.when(UnlockUser{UserID: aliceID}).then(UnlockRefused{Reason: ReasonNotLocked})
	s.and(wrongPassword).then(AuthenticationStarted{}, PrimaryFactorRejected{FailureCount: 1}, AuthenticationFailed{})
}

func TestS19LockStopsAnEnrolmentFromCompleting(t *testing.T) {
	t.Parallel()
	s := given(t, alice, verifiedPhone, installation(iphoneID, IOS), activationAccepted(iphoneID), lockedOut)
	s.when(CompleteEnrollment{EnrollmentID: s.id(PrefixEnrollment), UV: UVFaceID}).then(EnrollmentRefused{Reason: ReasonUserLocked})
}
