package domain

import "testing"

// A session asked for without a second factor, as by a client that nobody
// attends (R-1, K-10).

func unattended(platform Platform) step {
	return func(s *story) {
		s.t.Helper()
		s.when(StartAuthentication{UserID: s.who, Purpose: PurposeLogin, Platform: platform, PrimaryVerified: true, WaiverOnly: true})
	}
}

func TestWithoutAnOptOutThereIsNoSessionWithOneFactor(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, unattended(TWS))
	s.then(AuthenticationStarted{}, PrimaryFactorVerified{}, AuthenticationFailed{TxnID: s.id(PrefixTransaction), Reason: ReasonSecondRequired})
	s.when(IssueChallenge{TxnID: s.id(PrefixTransaction)}).then(ChallengeRefused{Reason: ReasonTxnClosed})
	if n := s.user().FailureCount(s.now); n != 0 {
		t.Errorf("%d failures, want none: nothing was wrong", n)
	}
}

func TestOptOutWaivesOnTradingPlatformsOnly(t *testing.T) {
	t.Parallel()
	for _, platform := range everyPlatform {
		s := given(t, alice, ibKey, optedOut, unattended(platform))
		if platform == ClientPortal {
			s.then(AuthenticationStarted{}, PrimaryFactorVerified{}, AuthenticationFailed{Reason: ReasonSecondRequired})
		} else {
			s.then(AuthenticationStarted{}, PrimaryFactorVerified{}, SecondFactorWaived{}, AuthenticationSucceeded{Factors: 1, Platform: platform})
		}
	}
}

func TestUnattendedLoginFailsWhenTheLawHasOvertakenTheOptOut(t *testing.T) {
	t.Parallel()
	s := given(t, optedOutEarly).at("2018-04-26T16:00:00.000Z").and(unattended(TWS))
	s.then(AuthenticationStarted{}, PrimaryFactorVerified{}, OptOutRevoked{Cause: "rule_in_force"}, AuthenticationFailed{Reason: ReasonSecondRequired})
}

func TestUnattendedLoginCountsAWrongPasswordAndEndsAtTheLock(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, optedOut)
	s.when(StartAuthentication{UserID: aliceID, Purpose: PurposeLogin, Platform: TWS, WaiverOnly: true}).then(AuthenticationStarted{}, PrimaryFactorRejected{FailureCount: 1}, AuthenticationFailed{})
	given(t, alice, ibKey, optedOut, lockedOut, unattended(TWS)).then(AuthenticationRefused{Reason: ReasonUserLocked})
}

func TestStepUpIsNeverWaived(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, optedOut)
	s.when(StartAuthentication{UserID: aliceID, Purpose: PurposeStepUp, Platform: TWS, PrimaryVerified: true, WaiverOnly: true})
	s.then(AuthenticationStarted{}, PrimaryFactorVerified{}, AuthenticationFailed{Reason: ReasonSecondRequired})
}
