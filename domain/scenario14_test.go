package domain

import (
	"testing"
	"time"
)

// S-14: lost device (K-1 to K-4, D-26, D-27, D-54 to D-56).

// lostCard is a user of the card who lost it and got a temporary passcode at
// 10:00:00.
func lostCard(home step) func(*testing.T) *story {
	return func(t *testing.T) *story {
		t.Helper()
		s := given(t, home, sms, dscPlus(cardID)).at("10:00:00.000")
		return s.and(passcodeFor(kindOf(s, KindDSCPlus).ID))
	}
}

var (
	germanLostCard   = lostCard(alice)
	hongKongLostCard = lostCard(hongKongResident)
)

// hours moves to a time after the passcode was issued.
func hours(s *story, h int) *story {
	return s.at("2024-03-01T10:00:00Z").after(time.Duration(h) * time.Hour)
}

func TestS14AgentVerifiesTheCallerAndReplacesTheCard(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms, dscPlus(cardID)).at("10:00:00.000")
	card := kindOf(s, KindDSCPlus).ID
	issue := IssueTemporaryPasscode{UserID: aliceID, MissingAuthenticatorID: card}
	s.when(issue).then(TemporaryPasscodeRefused{MissingAuthenticatorID: card, Reason: ReasonIDVRequired})
	s.and(identified).when(issue)
	full, ends := moment(t, "2024-03-03T10:00:00Z"), moment(t, "2024-03-13T10:00:00Z")
	s.then(
		TemporaryPasscodeIssued{
			AuthenticatorID: s.id(PrefixAuthenticator), Kid: "2024-03-01", IDVID: s.id(PrefixIDV), MissingAuthenticatorID: card,
			FullUntil: &full, EndsAt: ends, ScopeRuleID: "temp_code.full_s",
		},
		AuthenticatorEnrolled{AuthenticatorID: s.id(PrefixAuthenticator), Kind: KindTempCode, Trigger: "temporary", Kid: "2024-03-01", FullUntil: &full, ExpiresAt: &ends},
		AuthenticatorSuspended{AuthenticatorID: card, Reason: "temp_code_issued"},
	)
}

func TestS14IdentityVerificationIsGoodForHalfAnHour(t *testing.T) {
	t.Parallel()
	for wait, good := range map[time.Duration]bool{30*time.Minute - time.Millisecond: true, 30 * time.Minute: false} {
		s := given(t, alice, sms, dscPlus(cardID), identified, later(wait))
		s.when(IssueTemporaryPasscode{UserID: aliceID, MissingAuthenticatorID: kindOf(s, KindDSCPlus).ID})
		if has[TemporaryPasscodeIssued](s) != good {
			t.Errorf("after %s: %s", wait, names(s.got))
		}
	}
}

func TestS14PasscodeOpensEverythingForTwoDaysAndThePortalForTenMore(t *testing.T) {
	t.Parallel()
	cases := []struct {
		after    time.Duration
		platform Platform
		want     Code   // of the refusal
		scope    string // of the success
	}{
		{47 * time.Hour, TWS, "", "full"},
		{47 * time.Hour, ClientPortal, "", "full"},
		{48*time.Hour - time.Millisecond, TWS, "", "full"},
		{48 * time.Hour, TWS, ReasonScopeRecovery, ""},
		{48 * time.Hour, IBKRMobileIOS, ReasonScopeRecovery, ""},
		{48 * time.Hour, ClientPortal, "", "recovery_only"},
		{288*time.Hour - time.Millisecond, TWS, ReasonScopeRecovery, ""},
		{288*time.Hour - time.Millisecond, ClientPortal, "", "recovery_only"},
		{288 * time.Hour, TWS, ReasonNotActive, ""},
		{288 * time.Hour, ClientPortal, ReasonNotActive, ""},
	}
	for _, c := range cases {
		s := germanLostCard(t)
		hours(s, 0).after(c.after).and(login(c.platform))
		if c.want != "" {
			if !gives(s, c.want) || has[ChallengeIssued](s) {
				t.Errorf("%s on %s: %s, want %s", c.after, c.platform, names(s.got), c.want)
			}
			continue
		}
		s.and(answered).then(ResponseVerified{Mode: ModeStaticCode}, AuthenticationSucceeded{Scope: c.scope, AuthenticatorKind: KindTempCode, Factors: 2})
		if rank := the[AuthenticationSucceeded](s).ProtectionRank; rank != 0 {
			t.Errorf("protection rank %d, want 0", rank)
		}
	}
}

func TestS14LoginOutsideItsScopeEnds(t *testing.T) {
	t.Parallel()
	s := hours(germanLostCard(t), 48).and(login(TWS))
	s.then(AuthenticationStarted{}, PrimaryFactorVerified{}, ChallengeRefused{Mode: ModeStaticCode, Reason: ReasonScopeRecovery}, AuthenticationFailed{Reason: ReasonScopeRecovery})
	hours(s, 288).and(login(TWS)).then(AuthenticationStarted{}, PrimaryFactorVerified{}, ChallengeRefused{Reason: ReasonNotActive}, EnrollmentRequired{})
}

func TestS14PasscodeMayBeUsedManyTimesItsChallengesOnce(t *testing.T) {
	t.Parallel()
	s := germanLostCard(t)
	for range 5 {
		s.and(login(TWS), answered).then(ResponseVerified{}, AuthenticationSucceeded{})
	}
	s.when(answerTo(s), matched).then(ResponseRejected{Reason: ReasonChallengeUsed})
	s.and(login(TWS)).when(answerTo(s), malformed).then(ResponseRejected{Reason: ReasonMalformed})
	s.when(answerTo(s), wrong).then(ResponseRejected{Reason: ReasonResponseWrong, AttemptsLeft: 2, FailureCount: 1})
}

func TestS14FullScopeThatEndsBetweenQuestionAndAnswerIsOver(t *testing.T) {
	t.Parallel()
	s := hours(germanLostCard(t), 48).after(-time.Minute).and(login(TWS))
	s.after(time.Minute).when(answerTo(s), matched).then(ResponseRejected{Reason: ReasonScopeRecovery}, AuthenticationFailed{Reason: ReasonScopeRecovery})
	s = hours(germanLostCard(t), 48).after(-time.Minute).and(login(ClientPortal))
	s.after(time.Minute).when(answerTo(s), matched).then(ResponseVerified{}, AuthenticationSucceeded{Scope: "recovery_only"})
}

func TestS14PasscodeThatExpiresBetweenQuestionAndAnswerIsOver(t *testing.T) {
	t.Parallel()
	s := hours(germanLostCard(t), 288).after(-time.Minute).and(login(ClientPortal))
	s.after(time.Minute).when(answerTo(s), matched).then(ResponseRejected{Reason: ReasonNotActive}, AuthenticationFailed{})
}

func TestS14InHongKongAPasscodeIsForRecoveryFromTheStart(t *testing.T) {
	t.Parallel()
	s := hongKongLostCard(t)
	issued := kindOf(s, KindTempCode)
	if !issued.FullUntil.IsZero() {
		t.Errorf("full until %s, want never", issued.FullUntil)
	}
	hours(s, 1).and(login(TWS)).then(AuthenticationStarted{}, PrimaryFactorVerified{}, ChallengeRefused{Reason: ReasonScopeRecovery}, AuthenticationFailed{Reason: ReasonScopeRecovery})
	s.and(login(ClientPortal), answered).then(ResponseVerified{}, AuthenticationSucceeded{Scope: "recovery_only"})
	hours(s, 288).after(-time.Millisecond).and(login(ClientPortal), answered).then(ResponseVerified{}, AuthenticationSucceeded{Scope: "recovery_only"})
	hours(s, 288).and(login(ClientPortal)).refusedAs(ReasonNotActive)
}

func TestS14RuleThatNarrowedThePasscodeIsNamed(t *testing.T) {
	t.Parallel()
	scope := func(home step) TemporaryPasscodeIssued {
		s := lostCard(home)(t)
		for _, r := range s.logs[UserStream(aliceID)] {
			if e, ok := r.Event.(TemporaryPasscodeIssued); ok {
				return e
			}
		}
		t.Fatal("no passcode")
		return TemporaryPasscodeIssued{}
	}
	indian := func(s *story) { s.and(client(Individual, "IE", ""), registered(RoleOwner, "IN")) }
	homeless := func(s *story) { s.and(client(Individual, "IE", ""), registered(RoleOwner, "")) }
	for want, home := range map[string]step{"HK-TEMP-1": hongKongResident, "IN-2FA-2": indian, "incomplete": homeless} {
		if e := scope(home); e.ScopeRuleID != want || e.FullUntil != nil {
			t.Errorf("scope by %s, full until %v; want %s and never", e.ScopeRuleID, e.FullUntil, want)
		}
	}
}

func TestS14MovingToHongKongNarrowsAPasscodeAtOnce(t *testing.T) {
	t.Parallel()
	s := germanLostCard(t)
	s.when(RecordResidence{UserID: aliceID, To: "HK", EffectiveOn: "2024-03-02"})
	s.at("2024-03-01T15:59:59.999Z").and(login(TWS), answered).then(ResponseVerified{}, AuthenticationSucceeded{Scope: "full"})
	s.at("2024-03-01T16:00:00.000Z").and(login(TWS)).refusedAs(ReasonScopeRecovery)
	s.when(RecordResidence{UserID: aliceID, To: "DE", EffectiveOn: "2024-03-02"})
	s.at("2024-03-02T12:00:00Z").and(login(TWS), answered).then(ResponseVerified{}, AuthenticationSucceeded{Scope: "full"})
}

func TestS14OnlineCardTakesThePlaceOfThePasscodeForThreeWeeks(t *testing.T) {
	t.Parallel()
	s := germanLostCard(t).and(login(ClientPortal), answered)
	passcode, txn := kindOf(s, KindTempCode).ID, s.id(PrefixTransaction)
	s.when(IssueCodeCard{UserID: aliceID, Kind: KindOSCC, TxnID: txn}).then(OnlineCodeCardIssued{GridCommitment: "Z3JpZA", Cells: 224, TxnID: txn})
	card := s.id(PrefixAuthenticator)
	s.when(ActivateCodeCard{AuthenticatorID: card}).then(ChallengeIssued{
		AuthenticatorID: card, SubjectID: card, TxnID: txn, Kind: KindOSCC, Mode: ModeGrid, GridIndices: []int{7, 19}, ResponseLen: 6,
		ExpiresAt: s.now.Add(5 * time.Minute),
	})
	s.when(answerTo(s), wrong).then(ResponseRejected{Reason: ReasonResponseWrong, AttemptsLeft: 2, FailureCount: 1})
	ends := s.now.Add(504 * time.Hour)
	s.when(answerTo(s), matched).then(
		ResponseVerified{Mode: ModeGrid},
		AuthenticatorEnrolled{AuthenticatorID: card, Kind: KindOSCC, Trigger: "temporary", ExpiresAt: &ends, Cells: 224, GridCommitment: "Z3JpZA"},
		AuthenticatorRevoked{AuthenticatorID: passcode, Reason: "temporary_ended", SuccessorID: card},
	)
	s.and(login(TWS), answered).then(ResponseVerified{Mode: ModeGrid}, AuthenticationSucceeded{AuthenticatorKind: KindOSCC, ProtectionRank: 1, Scope: "full"})
	s.at(ends.Add(-time.Millisecond).Format(time.RFC3339Nano)).and(login(TWS), answered).then(ResponseVerified{}, AuthenticationSucceeded{})
	s.at(ends.Format(time.RFC3339Nano)).and(login(TWS)).then(AuthenticationStarted{}, PrimaryFactorVerified{}, ChallengeRefused{Reason: ReasonNotActive}, EnrollmentRequired{})
}

func TestS14FoundCardEndsWhatBridgedTheTime(t *testing.T) {
	t.Parallel()
	s := germanLostCard(t).and(onlineCard)
	card, online := kindOf(s, KindDSCPlus).ID, kindOf(s, KindOSCC).ID
	s.and(password(PurposeActivation, ClientPortal))
	s.when(ReactivateAuthenticator{AuthenticatorID: card, Proof: "own_response", TxnID: s.id(PrefixTransaction)}).then(ChallengeIssued{SubjectID: card, AuthenticatorID: card, Kind: KindDSCPlus})
	s.when(answerTo(s), response(9)).then(
		ResponseVerified{}, AuthenticatorReactivated{AuthenticatorID: card, Proof: "own_response", TxnID: s.id(PrefixTransaction)},
		AuthenticatorRevoked{AuthenticatorID: online, Reason: "temporary_ended", SuccessorID: card},
	)
	if got := statuses(s); len(got) != 1 || got[KindDSCPlus] != "active" {
		t.Errorf("bound are %v, want the card alone, active", got)
	}
}

func TestS14OnlineCardReactivatesTheCardWithoutSupport(t *testing.T) {
	t.Parallel()
	s := germanLostCard(t).and(onlineCard, login(ClientPortal), answered)
	card := kindOf(s, KindDSCPlus).ID
	s.when(ReactivateAuthenticator{AuthenticatorID: card, Proof: "oscc", TxnID: s.id(PrefixTransaction)}).then(
		AuthenticatorReactivated{AuthenticatorID: card, Proof: "oscc", TxnID: s.id(PrefixTransaction)}, AuthenticatorRevoked{Reason: "temporary_ended"},
	)
}

func TestS14NewDeviceEndsThePasscodeToo(t *testing.T) {
	t.Parallel()
	s := germanLostCard(t)
	s.and(later(time.Hour), dscPlus(otherCardID))
	if got := s.got[len(s.got)-1]; got != (AuthenticatorRevoked{AuthenticatorID: the[AuthenticatorRevoked](s).AuthenticatorID, Reason: "temporary_ended", SuccessorID: the[AuthenticatorEnrolled](s).AuthenticatorID}) {
		t.Errorf("the activation ended with %+v", got)
	}
}

func TestS14SecondPasscodeNeedsAPermanentLoginInBetween(t *testing.T) {
	t.Parallel()
	s := germanLostCard(t)
	card := kindOf(s, KindDSCPlus).ID
	again := func() *story {
		return s.and(identified).when(IssueTemporaryPasscode{UserID: aliceID, MissingAuthenticatorID: card})
	}
	again().then(TemporaryPasscodeRefused{Reason: ReasonTempConsecutive})
	s.and(login(ClientPortal), answered) // by the passcode, which is not permanent
	again().then(TemporaryPasscodeRefused{Reason: ReasonTempConsecutive})
	hours(s, 288)
	again().then(TemporaryPasscodeRefused{Reason: ReasonTempConsecutive})
	s.when(ReactivateAuthenticator{AuthenticatorID: card, Proof: "agent"})
	must[AuthenticatorReactivated](s)
	again().then(TemporaryPasscodeRefused{Reason: ReasonTempConsecutive}) // an agent's word is no answer of a device
	s.and(login(TWS), answered)
	again()
	must[TemporaryPasscodeIssued](s)
}

func TestS14WhatNoPasscodeReplaces(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms, identified)
	issue := func(id string) *story {
		return s.when(IssueTemporaryPasscode{UserID: aliceID, MissingAuthenticatorID: id})
	}
	issue(kindOf(s, KindSMS).ID).then(TemporaryPasscodeRefused{Reason: ReasonNotActive})
	issue(s.user().ref(PrefixAuthenticator, 900)).thenError(Unknown)
	issue("").thenError(Unknown)
	s.and(dscPlus(cardID))
	card := kindOf(s, KindDSCPlus).ID
	s.when(RevokeAuthenticator{AuthenticatorID: card, Reason: "lost"})
	issue(card).then(TemporaryPasscodeRefused{Reason: ReasonNotActive})
	locked := given(t, alice, sms, dscPlus(cardID), identified, lockedOut)
	locked.when(IssueTemporaryPasscode{UserID: aliceID, MissingAuthenticatorID: kindOf(locked, KindDSCPlus).ID}).then(TemporaryPasscodeRefused{Reason: ReasonUserLocked})
}

func TestS14SuspendedCardStaysSuspendedForItsOwnReason(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms, dscPlus(cardID))
	card := kindOf(s, KindDSCPlus).ID
	s.when(ReportLost{AuthenticatorID: card, By: "client"})
	s.and(passcodeFor(card)).then(TemporaryPasscodeIssued{}, AuthenticatorEnrolled{})
	if a := kindOf(s, KindDSCPlus); a.Suspended != "reported_lost" {
		t.Errorf("suspended for %s, want reported_lost", a.Suspended)
	}
}

func TestS14NewerPasscodeEndsTheOlder(t *testing.T) {
	t.Parallel()
	s := given(t, twoDevices)
	s.and(passcodeFor(kindOf(s, KindDSCPlus).ID))
	first := kindOf(s, KindTempCode).ID
	s.and(login(TWS)).when(IssueChallenge{TxnID: s.id(PrefixTransaction), AuthenticatorID: kindOf(s, KindIBKey).ID})
	s.and(answered, passcodeFor(kindOf(s, KindDSCPlus).ID)).then(
		AuthenticatorRevoked{AuthenticatorID: first, Reason: "temporary_ended"}, TemporaryPasscodeIssued{}, AuthenticatorEnrolled{},
	)
}

func TestS14PasscodeBesideAnActiveDeviceIsOfferedWhereItsScopeReaches(t *testing.T) {
	t.Parallel()
	s := given(t, twoDevices).at("10:00:00.000")
	s.and(passcodeFor(kindOf(s, KindDSCPlus).ID), login(TWS))
	if o := the[SecondFactorOffered](s).Options; len(o) != 2 || o[0].Kind != KindIBKey || o[1].Kind != KindTempCode {
		t.Errorf("offered %+v, want IB Key and then the passcode", o)
	}
	hours(s, 48).and(login(TWS)).then(AuthenticationStarted{}, PrimaryFactorVerified{}, SecondFactorSelected{By: "only_one"}, ChallengeIssued{Kind: KindIBKey})
	s.and(later(3 * time.Minute)).when(IssueChallenge{TxnID: s.id(PrefixTransaction), AuthenticatorID: kindOf(s, KindTempCode).ID}).then(SelectionRefused{Reason: ReasonNotOffered})
}
