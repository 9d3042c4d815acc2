package domain

import (
	"testing"
	"time"
)

// Code cards beyond S-14: the printed one, and what an online one needs (K-4,
// K-5, domain.md 8).

func TestOnlineCardNeedsALoginToThePortalWithinTheLastHour(t *testing.T) {
	t.Parallel()
	issue := func(s *story) *story {
		return s.when(IssueCodeCard{UserID: aliceID, Kind: KindOSCC, TxnID: s.id(PrefixTransaction)})
	}
	in := func() *story { return germanLostCard(t).and(login(ClientPortal), answered) }
	issue(in().after(time.Hour - time.Millisecond)).then(OnlineCodeCardIssued{})
	issue(in().after(time.Hour)).then(OnlineCodeCardRefused{Reason: ReasonOSCCScope})
	issue(germanLostCard(t).and(login(TWS), answered)).then(OnlineCodeCardRefused{Reason: ReasonOSCCScope})
	issue(germanLostCard(t).and(login(ClientPortal))).then(OnlineCodeCardRefused{Reason: ReasonOSCCScope})
	issue(germanLostCard(t).and(password(PurposeStepUp, ClientPortal), answered)).then(OnlineCodeCardRefused{Reason: ReasonOSCCScope})
	issue(in().and(lockedOut)).then(OnlineCodeCardRefused{Reason: ReasonUserLocked})
	in().when(IssueCodeCard{UserID: aliceID, Kind: KindSMS}).thenError(Invalid)
	in().when(IssueCodeCard{UserID: aliceID, Kind: KindOSCC}).then(OnlineCodeCardRefused{Reason: ReasonOSCCScope})
}

func TestOnlineCardIsActivatedInTheSameHour(t *testing.T) {
	t.Parallel()
	for wait, good := range map[time.Duration]bool{time.Hour - time.Millisecond: true, time.Hour: false} {
		s := germanLostCard(t).and(login(ClientPortal), answered)
		s.when(IssueCodeCard{UserID: aliceID, Kind: KindOSCC, TxnID: s.id(PrefixTransaction)})
		open := len(s.user().Snapshot(s.now, s.policy).Processes)
		s.after(wait).when(ActivateCodeCard{AuthenticatorID: s.id(PrefixAuthenticator)})
		if good {
			s.then(ChallengeIssued{})
		} else {
			s.then(OnlineCodeCardRefused{AuthenticatorID: s.id(PrefixAuthenticator), Reason: ReasonOSCCScope})
			if now := len(s.user().Snapshot(s.now, s.policy).Processes); open != 1 || now != 0 {
				t.Errorf("%d and then %d processes are shown, want the card only as long as it can be activated", open, now)
			}
		}
	}
}

func TestOnlineCardDoesNotRenewItself(t *testing.T) {
	t.Parallel()
	s := germanLostCard(t).and(onlineCard, login(ClientPortal), answered)
	s.when(IssueCodeCard{UserID: aliceID, Kind: KindOSCC, TxnID: s.id(PrefixTransaction)}).then(OnlineCodeCardRefused{Reason: ReasonOSCCScope})
}

func TestNewerOnlineCardEndsTheOlder(t *testing.T) {
	t.Parallel()
	s := germanLostCard(t).and(login(ClientPortal), answered)
	txn := s.id(PrefixTransaction)
	activate := func() string {
		s.when(IssueCodeCard{UserID: aliceID, Kind: KindOSCC, TxnID: txn}).then(OnlineCodeCardIssued{})
		id := s.id(PrefixAuthenticator)
		s.when(ActivateCodeCard{AuthenticatorID: id}).when(answerTo(s), matched)
		return id
	}
	first := activate()
	s.when(ActivateCodeCard{AuthenticatorID: first}).thenError(Unknown)
	second := activate()
	s.then(ResponseVerified{}, AuthenticatorEnrolled{AuthenticatorID: second}, AuthenticatorRevoked{AuthenticatorID: first, Reason: "temporary_ended", SuccessorID: second})
}

func TestCardIsAskedForTheSameCellsUntilAnotherTransaction(t *testing.T) {
	t.Parallel()
	s := germanLostCard(t).and(login(ClientPortal), answered)
	s.when(IssueCodeCard{UserID: aliceID, Kind: KindOSCC, TxnID: s.id(PrefixTransaction)})
	activate := ActivateCodeCard{AuthenticatorID: s.id(PrefixAuthenticator)}
	s.when(activate).then(ChallengeIssued{GridIndices: []int{7, 19}})
	first := s.id(PrefixChallenge)
	other := func(f *Facts) { f.Dice = [2]uint32{100, 3} }
	s.when(activate, other).then(ChallengeCancelled{ChallengeID: first, Reason: "superseded"}, ChallengeIssued{GridIndices: []int{7, 19}})
	for range 3 {
		s.when(answerTo(s), wrong)
	}
	must[ChallengeExhausted](s)
	s.when(activate, other).then(ChallengeIssued{GridIndices: []int{7, 19}})
	s.when(answerTo(s), matched)
	must[AuthenticatorEnrolled](s)
	s.when(StartAuthentication{UserID: aliceID, Purpose: PurposeLogin, Platform: TWS, PrimaryVerified: true}, other)
	if c := the[ChallengeIssued](s); c.GridIndices[0] != 101 || c.GridIndices[1] != 105 {
		t.Errorf("asked for cells %v, want other ones in a new transaction: 101 and 105", c.GridIndices)
	}
}

func TestTwoDifferentCellsAreAskedWhateverTheDice(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms, printedCard)
	for _, dice := range [][2]uint32{{0, 0}, {223, 0}, {223, 222}, {1 << 31, 1<<32 - 1}, {5, 223}} {
		s.when(StartAuthentication{UserID: aliceID, Purpose: PurposeLogin, Platform: TWS, PrimaryVerified: true}, func(f *Facts) { f.Dice = dice })
		c := the[ChallengeIssued](s).GridIndices
		if len(c) != 2 || c[0] == c[1] || min(c[0], c[1]) < 1 || max(c[0], c[1]) > 224 {
			t.Errorf("dice %v ask for cells %v", dice, c)
		}
	}
}

func TestPrintedCardIsIssuedOnlyByPolicy(t *testing.T) {
	t.Parallel()
	issue := IssueCodeCard{UserID: aliceID, Kind: KindSCC}
	given(t, alice, sms).when(issue).then(SecurityCodeCardRefused{Reason: ReasonCardNotIssued})
	given(t, alice, parameter(pSCCIssue, 1)).when(issue).then(SecurityCodeCardRefused{Reason: ReasonNotEnrolled})
	given(t, alice, sms, parameter(pSCCIssue, 1), lockedOut).when(issue).then(SecurityCodeCardRefused{Reason: ReasonUserLocked})
	s := given(t, alice, sms, printedCard)
	s.then(ResponseVerified{}, AuthenticatorEnrolled{Kind: KindSCC, Trigger: "user", Cells: 224}, AuthenticatorRevoked{Reason: "superseded_by_stronger"})
	s.and(login(TWS)).then(
		AuthenticationStarted{}, PrimaryFactorVerified{}, SecondFactorSelected{}, ChallengeIssued{Kind: KindSCC, Mode: ModeGrid, ResponseLen: 6},
	)
	s.at("09:04:59.999").when(answerTo(s), matched).then(ResponseVerified{}, AuthenticationSucceeded{ProtectionRank: 1, AuthenticatorKind: KindSCC})
	s.and(login(TWS)).at("09:09:59.999").when(answerTo(s), matched).then(ResponseRejected{Reason: ReasonChallengeExpired}, AuthenticationFailed{})
}

func TestPrintedCardIsActivatedWithThePasswordAndAStepUp(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, parameter(pSCCIssue, 1)).when(IssueCodeCard{UserID: aliceID, Kind: KindSCC})
	activate := ActivateCodeCard{AuthenticatorID: s.id(PrefixAuthenticator)}
	s.when(activate).then(SecurityCodeCardRefused{AuthenticatorID: activate.AuthenticatorID, Reason: ReasonPrimaryRequired})
	s.and(password(PurposeActivation, ClientPortal))
	activate.TxnID = s.id(PrefixTransaction)
	s.when(activate).then(SecurityCodeCardRefused{Reason: ReasonStepUpRequired})
	s.when(IssueChallenge{TxnID: activate.TxnID}).then(SecondFactorSelected{}, ChallengeIssued{Mode: ModePush})
	s.when(decisionOn(s, iphoneID), approved(UVFaceID)).then(ResponseVerified{})
	s.when(activate).then(ChallengeIssued{Mode: ModeGrid})
	s.when(answerTo(s), matched).then(ResponseVerified{}, AuthenticatorEnrolled{Kind: KindSCC})
	s.when(ActivateCodeCard{AuthenticatorID: s.user().ref(PrefixAuthenticator, 900)}).thenError(Unknown)
}

func TestAnswerToACardThatIsActiveAlreadyChangesNothing(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms, parameter(pSCCIssue, 1)).when(IssueCodeCard{UserID: aliceID, Kind: KindSCC})
	card := s.id(PrefixAuthenticator)
	ask := func() string {
		s.and(password(PurposeActivation, ClientPortal))
		s.when(ActivateCodeCard{AuthenticatorID: card, TxnID: s.id(PrefixTransaction)}).then(ChallengeIssued{})
		return s.id(PrefixChallenge)
	}
	first, second := ask(), ask()
	s.when(SubmitResponse{ChallengeID: first}, matched)
	must[AuthenticatorEnrolled](s)
	s.when(SubmitResponse{ChallengeID: second}, matched).then(ResponseRejected{Reason: ReasonProcessClosed})
}
