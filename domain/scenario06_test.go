package domain

import (
	"testing"
	"time"
)

// S-6: seamless login, with the number typed into the app (D-47).

func TestS6PushApprovedOnTheAndroidPhoneLetsTheUserIn(t *testing.T) {
	t.Parallel()
	s := given(t, alice, verifiedPhone, ibKeyOn(pixelID, Android, UVFingerprint)).at("10:00:00.000")
	s.and(login(ClientPortal)).then(
		AuthenticationStarted{Purpose: PurposeLogin, Platform: ClientPortal, PlatformClass: Portal},
		PrimaryFactorVerified{ExpiresAt: moment(t, "2024-03-01T10:10:00Z")},
		SecondFactorSelected{AuthenticatorID: s.id(PrefixAuthenticator), By: "only_one"},
		ChallengeIssued{
			TxnID: s.id(PrefixTransaction), Kind: KindIBKey, Mode: ModePush, InstallationID: pixelID, NumberMatching: true,
			Kid: "2024-03-01", MaxAttempts: 3, ExpiresAt: moment(t, "2024-03-01T10:03:00Z"),
		},
	)
	challenge := s.id(PrefixChallenge)
	s.when(RecordPushSent{ChallengeID: challenge}).then(PushSent{ChallengeID: challenge, InstallationID: pixelID})
	s.when(RecordPushSent{ChallengeID: challenge}).thenNothing()
	s.at("10:00:05.000").when(RecordPushOpened{ChallengeID: challenge, InstallationID: pixelID}).then(PushOpened{PushID: s.id(PrefixPush), OpenedAt: s.now})
	s.when(RecordPushOpened{ChallengeID: challenge, InstallationID: pixelID}).thenNothing()
	s.at("10:00:20.000").when(decisionOn(s, pixelID), approved(UVFingerprint)).then(
		ResponseVerified{
			ChallengeID: challenge, Mode: ModePush, UV: UVFingerprint, AttemptNo: 1, ElapsedMS: 20_000, AnsweringInstallationID: pixelID,
			NumberMatched: true, OOBClass: "number_matching", Document: Clear(`{"decision":"approve"}`), Signature: "c2ln",
		},
		AuthenticationSucceeded{Scope: "full", AuthenticatorKind: KindIBKey, ProtectionRank: 2, Factors: 2, SessionRef: s.id(PrefixSession)},
	)
	s.when(decisionOn(s, pixelID), approved(UVFingerprint)).then(ResponseRejected{Reason: ReasonChallengeUsed})
}

func TestS6DeclinedPushEndsTheLoginAndIsFlagged(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, login(ClientPortal))
	s.when(decisionOn(s, iphoneID), declined).then(
		ResponseRejected{Reason: ReasonDeclined, AttemptNo: 1, Counted: true, FailureCount: 1, Document: Clear(`{"decision":"approve"}`), Signature: "c2ln"},
		AnomalyFlagged{Kind: "push_declined", TxnID: s.id(PrefixTransaction)},
		AuthenticationFailed{TxnID: s.id(PrefixTransaction), Reason: ReasonDeclined},
	)
	s.when(decisionOn(s, iphoneID), approved(UVFaceID)).then(ResponseRejected{Reason: ReasonTxnClosed})
	s.when(RequestFallback{ChallengeID: s.id(PrefixChallenge), Cause: CauseUnspecified}).then(FallbackRefused{Reason: ReasonTxnClosed})
}

func TestS6WrongPasswordLeadsToNoChallenge(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, wrongPassword)
	s.then(AuthenticationStarted{}, PrimaryFactorRejected{FailureCount: 1}, AuthenticationFailed{Reason: ReasonPrimaryFailed})
	s.when(IssueChallenge{TxnID: s.id(PrefixTransaction)}).then(ChallengeRefused{Reason: ReasonTxnClosed})
}

func TestS6PushIsOpenUntilOneMillisecondBeforeThreeMinutes(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey).at("10:00:00.000").and(login(ClientPortal))
	pending := func() int { return len(s.user().Pending(iphoneID, s.now)) }
	if s.at("10:02:59.999"); pending() != 1 {
		t.Errorf("%d challenges pending one millisecond before expiry, want 1", pending())
	}
	if s.at("10:03:00.000"); pending() != 0 {
		t.Errorf("%d challenges pending at expiry, want 0", pending())
	}
	s.when(decisionOn(s, iphoneID), approved(UVFaceID)).then(ResponseRejected{Reason: ReasonChallengeExpired})
}

func TestS6ApprovalOneMillisecondBeforeExpiryIsInTime(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey).at("10:00:00.000").and(login(ClientPortal))
	s.at("10:02:59.999").when(decisionOn(s, iphoneID), approved(UVFaceID)).then(ResponseVerified{}, AuthenticationSucceeded{})
}

func TestS6AfterAnExpiredPushTheTransactionMayAskAgain(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey).at("10:00:00.000").and(login(ClientPortal))
	issue := IssueChallenge{TxnID: s.id(PrefixTransaction)}
	s.when(issue).then(ChallengeRefused{Reason: ReasonChallengeOpen})
	s.at("10:03:00.000").when(issue).then(SecondFactorSelected{By: "only_one"}, ChallengeIssued{Mode: ModePush})
	first, second := s.user().challenges.order[0], s.id(PrefixChallenge)
	if c, _ := s.user().Challenge(second); c.Supersedes != first {
		t.Errorf("the second challenge supersedes %q, want %q", c.Supersedes, first)
	}
	s.when(RequestFallback{ChallengeID: first, Cause: CauseNoNotification}).then(FallbackRefused{Reason: ReasonNoFallback})
	s.when(IssueChallenge{TxnID: issue.TxnID, AuthenticatorID: s.id(PrefixAuthenticator)}).then(ChallengeRefused{Reason: ReasonChallengeOpen})
}

func TestS6FourthPushOfATransactionBecomesChallengeResponse(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey).at("10:00:00.000").and(login(ClientPortal))
	issue := IssueChallenge{TxnID: s.id(PrefixTransaction)}
	for range 2 {
		s.after(3*time.Minute).when(issue).then(SecondFactorSelected{}, ChallengeIssued{Mode: ModePush})
	}
	s.after(3*time.Minute).when(issue).then(
		SecondFactorSelected{}, ChallengeRefused{Mode: ModePush, Reason: ReasonPushRate},
		ChallengeIssued{Mode: ModeChallengeResponse, ExpiresAt: moment(t, "2024-03-01T10:10:00Z")},
	)
}

func TestS6EleventhPushOfAnHourBecomesChallengeResponse(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey).at("10:00:00.000")
	for range 10 {
		s.and(login(ClientPortal)).then(AuthenticationStarted{}, PrimaryFactorVerified{}, SecondFactorSelected{}, ChallengeIssued{Mode: ModePush})
	}
	s.at("10:59:59.999").when(TidyUser{UserID: aliceID}).and(login(ClientPortal)).then(
		AuthenticationStarted{}, PrimaryFactorVerified{}, SecondFactorSelected{}, ChallengeRefused{Reason: ReasonPushRate}, ChallengeIssued{Mode: ModeChallengeResponse},
	)
	s.at("11:00:00.000").and(login(ClientPortal)).then(
		AuthenticationStarted{}, PrimaryFactorVerified{}, SecondFactorSelected{}, ChallengeIssued{Mode: ModePush},
	)
}

func TestS6WithSeamlessOffTheLoginGoesStraightToChallengeResponse(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey)
	s.when(SetSeamless{UserID: aliceID, Enabled: true}).thenNothing()
	s.when(SetSeamless{UserID: aliceID}).then(SeamlessDisabled{})
	s.and(login(TWS)).then(
		AuthenticationStarted{}, PrimaryFactorVerified{}, SecondFactorSelected{}, ChallengeRefused{Mode: ModePush, Reason: ReasonSeamlessOff},
		ChallengeIssued{Mode: ModeChallengeResponse, ChallengeLen: 6, ResponseLen: 8},
	)
	s.when(SetSeamless{UserID: aliceID, Enabled: true}).then(SeamlessEnabled{})
}

func TestS6ApprovalIsJudgedByItsEvidence(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		installation string
		push         PushEvidence
		want         []Event
	}{
		"signature of nobody": {iphoneID, PushEvidence{Approve: true, NumberGiven: true, NumberMatched: true, UV: UVFaceID},
			[]Event{ResponseRejected{Reason: ReasonSignatureInvalid}}},
		"another phone's signature": {pixelID, PushEvidence{Authentic: true, Approve: true, NumberGiven: true, NumberMatched: true, UV: UVFaceID},
			[]Event{ResponseRejected{Reason: ReasonSignatureInvalid}}},
		"plain approval without the number": {iphoneID, PushEvidence{Authentic: true, Approve: true, UV: UVFaceID},
			[]Event{ResponseRejected{Reason: ReasonNumberMatch}}},
		"approval with a wrong number": {iphoneID, PushEvidence{Authentic: true, Approve: true, NumberGiven: true, UV: UVFaceID},
			[]Event{ResponseRejected{Reason: ReasonResponseWrong, Counted: true, AttemptNo: 1, AttemptsLeft: 2, FailureCount: 1}}},
		"no local check": {iphoneID, PushEvidence{Authentic: true, Approve: true, NumberGiven: true, NumberMatched: true, UV: UVNone},
			[]Event{ResponseRejected{Reason: ReasonUVRequired}}},
		"a local check an iPhone cannot make": {iphoneID, PushEvidence{Authentic: true, Approve: true, NumberGiven: true, NumberMatched: true, UV: UVAppPIN},
			[]Event{ResponseRejected{Reason: ReasonUVMethod}}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := given(t, alice, ibKey, login(ClientPortal))
			s.when(decisionOn(s, c.installation), func(f *Facts) { f.Push = c.push }).then(c.want...)
			if r, want := the[ResponseRejected](s), c.want[0].(ResponseRejected); r.Counted != want.Counted {
				t.Errorf("counted %v, want %v", r.Counted, want.Counted)
			}
			s.when(decisionOn(s, iphoneID), approved(UVFaceID)).then(ResponseVerified{}, AuthenticationSucceeded{})
		})
	}
}

func TestS6ThreeWrongNumbersExhaustTheChallenge(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, login(ClientPortal))
	wrong := func(f *Facts) { f.Push = PushEvidence{Authentic: true, Approve: true, NumberGiven: true, UV: UVFaceID} }
	s.when(decisionOn(s, iphoneID), wrong).then(ResponseRejected{AttemptsLeft: 2, FailureCount: 1})
	s.when(decisionOn(s, iphoneID), wrong).then(ResponseRejected{AttemptsLeft: 1, FailureCount: 2})
	s.when(decisionOn(s, iphoneID), wrong).then(
		ResponseRejected{AttemptNo: 3, FailureCount: 3}, ChallengeExhausted{}, AuthenticationFailed{Reason: ReasonChallengeSpent},
	)
	s.when(decisionOn(s, iphoneID), approved(UVFaceID)).then(ResponseRejected{Reason: ReasonChallengeSpent})
	s.when(IssueChallenge{TxnID: s.id(PrefixTransaction)}).then(ChallengeRefused{Reason: ReasonTxnClosed})
}

func TestS6PlainApprovalIsPossibleByPolicyAndMarked(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey)
	s.policy = withParameter(t, s.policy, "push.number_matching", 0)
	s.and(login(ClientPortal))
	s.when(decisionOn(s, iphoneID), func(f *Facts) { f.Push = PushEvidence{Authentic: true, Approve: true, UV: UVFaceID} })
	s.then(ResponseVerified{OOBClass: "approve_only"}, AuthenticationSucceeded{})
}

func TestS6UserMayChooseAmongWhatWasOffered(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms, installation(iphoneID, IOS))
	sms := s.id(PrefixAuthenticator)
	s.when(StartAuthentication{UserID: aliceID, Purpose: PurposeLogin, Platform: ClientPortal, PrimaryVerified: true, Defer: true}).then(
		AuthenticationStarted{}, PrimaryFactorVerified{}, SecondFactorOffered{Options: []Option{{AuthenticatorID: sms, Kind: KindSMS, Rank: 1}}},
	)
	txn := s.id(PrefixTransaction)
	s.when(IssueChallenge{TxnID: txn, AuthenticatorID: PrefixAuthenticator + "_" + otherKey + "_9"}).then(SelectionRefused{Reason: ReasonNotOffered})
	s.and(activationAccepted(iphoneID)).when(CompleteEnrollment{EnrollmentID: s.id(PrefixEnrollment), UV: UVFaceID})
	s.then(UserVerificationPerformed{}, AuthenticatorEnrolled{}, AuthenticatorRevoked{})
	s.when(IssueChallenge{TxnID: txn, AuthenticatorID: s.id(PrefixAuthenticator)}).then(SelectionRefused{Reason: ReasonNotOffered})
	s.when(IssueChallenge{TxnID: txn, AuthenticatorID: sms}).then(SelectionRefused{AuthenticatorID: sms, Reason: ReasonNotActive})
	s.when(IssueChallenge{TxnID: PrefixTransaction + "_" + ownKey + "_999"}).thenError(Unknown)
	s.when(IssueChallenge{TxnID: s.id(PrefixPhone)}).thenError(Unknown)
}

func TestS6SMSLoginUnderWayEndsWhenSMSRetires(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms, installation(iphoneID, IOS), login(ClientPortal))
	challenge := s.id(PrefixChallenge)
	s.and(activationAccepted(iphoneID)).when(CompleteEnrollment{EnrollmentID: s.id(PrefixEnrollment), UV: UVFaceID})
	s.after(2 * time.Minute).when(ResendLoginCode{ChallengeID: challenge}).then(ChallengeRefused{Mode: ModeSMSCode, Reason: ReasonNotActive})
	s.when(SubmitResponse{ChallengeID: challenge}, code(1)).then(ResponseRejected{Reason: ReasonNotActive}, AuthenticationFailed{Reason: ReasonNotActive})
}
