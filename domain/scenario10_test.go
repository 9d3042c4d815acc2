package domain

import (
	"testing"
	"time"
)

// S-10: choosing among devices (R-26, K-6, D-57).

// twoDevices is Alice with IB Key on an iPhone and a Digital Security Card+.
func twoDevices(s *story) {
	s.t.Helper()
	s.and(alice, ibKey, later(time.Minute), dscPlus(cardID))
}

func tws(version string) step {
	return func(s *story) {
		s.t.Helper()
		s.when(StartAuthentication{UserID: s.who, Purpose: PurposeLogin, Platform: TWS, ClientVersion: version, PrimaryVerified: true})
	}
}

func TestS10ListIsShownAfterThePasswordOnly(t *testing.T) {
	t.Parallel()
	s := given(t, twoDevices)
	card, key := kindOf(s, KindDSCPlus).ID, kindOf(s, KindIBKey).ID
	s.and(wrongPassword).then(AuthenticationStarted{}, PrimaryFactorRejected{}, AuthenticationFailed{})
	s.and(login(ClientPortal)).then(
		AuthenticationStarted{}, PrimaryFactorVerified{},
		SecondFactorOffered{Options: []Option{{AuthenticatorID: card, Kind: KindDSCPlus, Rank: 3}, {AuthenticatorID: key, Kind: KindIBKey, Rank: 2}}},
	)
	s.when(IssueChallenge{TxnID: s.id(PrefixTransaction)}).then(SelectionRefused{Reason: ReasonNotOffered})
	s.when(IssueChallenge{TxnID: s.id(PrefixTransaction), AuthenticatorID: key}).then(
		SecondFactorSelected{AuthenticatorID: key, By: "user"}, ChallengeIssued{Kind: KindIBKey, Mode: ModePush},
	)
	s.when(decisionOn(s, iphoneID), approved(UVFaceID)).then(ResponseVerified{}, AuthenticationSucceeded{ProtectionRank: 2})
}

func TestS10EitherDeviceLogsIn(t *testing.T) {
	t.Parallel()
	s := given(t, twoDevices, login(ClientPortal))
	s.when(IssueChallenge{TxnID: s.id(PrefixTransaction), AuthenticatorID: kindOf(s, KindDSCPlus).ID})
	s.when(answerTo(s), response(9)).then(ResponseVerified{}, AuthenticationSucceeded{AuthenticatorKind: KindDSCPlus, ProtectionRank: 3})
}

func TestS10SuspendedDeviceIsNeitherListedNorChosen(t *testing.T) {
	t.Parallel()
	s := given(t, twoDevices)
	key, card := kindOf(s, KindIBKey).ID, kindOf(s, KindDSCPlus).ID
	s.when(ReportLost{AuthenticatorID: key, By: "client"})
	s.when(StartAuthentication{UserID: aliceID, Purpose: PurposeLogin, Platform: ClientPortal, PrimaryVerified: true, Defer: true}).then(
		AuthenticationStarted{}, PrimaryFactorVerified{}, SecondFactorOffered{Options: []Option{{AuthenticatorID: card, Kind: KindDSCPlus, Rank: 3}}},
	)
	s.when(IssueChallenge{TxnID: s.id(PrefixTransaction), AuthenticatorID: key}).then(SelectionRefused{AuthenticatorID: key, Reason: ReasonNotOffered})
	s.when(IssueChallenge{TxnID: s.id(PrefixTransaction)}).then(SecondFactorSelected{AuthenticatorID: card, By: "only_one"}, ChallengeIssued{})
	s.and(login(TWS)).then(AuthenticationStarted{}, PrimaryFactorVerified{}, SecondFactorSelected{AuthenticatorID: card, By: "only_one"}, ChallengeIssued{})
}

func TestS10DeviceSuspendedAfterTheListWasShownCannotBeChosen(t *testing.T) {
	t.Parallel()
	s := given(t, twoDevices, login(ClientPortal))
	key := kindOf(s, KindIBKey).ID
	s.when(ReportLost{AuthenticatorID: key, By: "client"})
	s.when(IssueChallenge{TxnID: s.id(PrefixTransaction), AuthenticatorID: key}).then(SelectionRefused{Reason: ReasonNotActive})
}

func TestS10TWSWithoutAListGetsTheStrongest(t *testing.T) {
	t.Parallel()
	for version, list := range map[string]bool{
		"965": false, "965.1b": false, "966": true, "985.1": true, "": true, "latest": true, "10.19": true, "10.30.1k": true, "9.65": false, "9.66": true, "9": false,
	} {
		s := given(t, twoDevices, tws(version))
		if list {
			s.then(AuthenticationStarted{}, PrimaryFactorVerified{}, SecondFactorOffered{})
		} else {
			s.then(AuthenticationStarted{}, PrimaryFactorVerified{}, SecondFactorSelected{AuthenticatorID: kindOf(s, KindDSCPlus).ID, By: "default_unsupported_client"}, ChallengeIssued{Kind: KindDSCPlus})
		}
	}
}

func TestS10OldTWSWithOneDeviceOrAnotherClientIsNoSpecialCase(t *testing.T) {
	t.Parallel()
	given(t, alice, ibKey, tws("965")).then(AuthenticationStarted{}, PrimaryFactorVerified{}, SecondFactorSelected{By: "only_one"}, ChallengeIssued{})
	s := given(t, twoDevices)
	s.when(StartAuthentication{UserID: aliceID, Purpose: PurposeLogin, Platform: WebTrader, ClientVersion: "1", PrimaryVerified: true})
	must[SecondFactorOffered](s)
}

func TestS10StrongestOfSeveralIsTheDefaultWhateverTheOrder(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms, printedCard, installation(iphoneID, IOS), steppedUp(PurposeActivation))
	s.when(StartEnrollment{UserID: aliceID, Kind: KindIBKey, InstallationID: iphoneID, TxnID: s.id(PrefixTransaction)})
	s.when(SubmitActivationCode{EnrollmentID: s.id(PrefixEnrollment)}, code(1))
	s.when(CompleteEnrollment{EnrollmentID: s.id(PrefixEnrollment), UV: UVFaceID})
	s.and(tws("965"))
	if c := the[ChallengeIssued](s); c.Kind != KindIBKey {
		t.Errorf("asked %s, want IB Key before a printed card", c.Kind)
	}
	s.and(tws("966"))
	if o := the[SecondFactorOffered](s).Options; len(o) != 2 || o[0].Kind != KindIBKey || o[1].Kind != KindSCC || o[1].Rank != 1 {
		t.Errorf("offered %+v", o)
	}
}
