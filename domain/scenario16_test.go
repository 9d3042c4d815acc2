package domain

import (
	"testing"
	"time"
)

// S-16: Hong Kong, by date (R-61, G-1, D-77).

func TestS16BeforeTheAnnouncementTheHouseRuleDecides(t *testing.T) {
	t.Parallel()
	s := given(t, at("2017-10-26T12:00:00Z"), hongKongResident, ibKey)
	s.when(optOut()).then(OptOutRequested{}, OptOutGranted{Decision: Decision{Outcome: "permit_opt_out", DecisiveRuleID: "DEFAULT-1", MatchedRuleIDs: []string{"DEFAULT-1"}}})
	if ends := the[OptOutGranted](s).EndsAt; ends != nil {
		t.Errorf("ends_at %s, want none", ends)
	}
}

func TestS16AnnouncementBeginsAtMidnightInHongKong(t *testing.T) {
	t.Parallel()
	given(t, at("2017-10-26T12:00:00Z"), hongKongResident, ibKey).at("2017-10-26T15:59:59.999Z").
		when(optOut()).then(OptOutRequested{}, OptOutGranted{Decision: Decision{DecisiveRuleID: "DEFAULT-1"}})
	given(t, at("2017-10-26T12:00:00Z"), hongKongResident, ibKey).at("2017-10-26T16:00:00.000Z").
		when(optOut()).then(OptOutRequested{}, OptOutGranted{Decision: Decision{DecisiveRuleID: "HK-2FA-0"}})
}

func TestS16OneMillisecondBeforeForceTheOptOutIsGrantedWithItsSunset(t *testing.T) {
	t.Parallel()
	s := given(t, at("2018-04-26T12:00:00Z"), hongKongResident, ibKey).at("2018-04-26T15:59:59.999Z")
	sunset := moment(t, "2018-04-26T16:00:00Z")
	s.when(optOut()).then(OptOutRequested{}, OptOutGranted{
		EndsAt: &sunset, Decision: Decision{Outcome: "opt_out_until", DecisiveRuleID: "HK-2FA-0", RuleVersion: 1, MatchedRuleIDs: []string{"DEFAULT-1", "HK-2FA-0"}},
	})
	s.and(login(TWS)).then(AuthenticationStarted{}, PrimaryFactorVerified{}, SecondFactorWaived{RuleIDs: []string{"DEFAULT-1", "HK-2FA-0"}}, AuthenticationSucceeded{Factors: 1})
}

func TestS16AtMidnightInHongKongTheOptOutIsDenied(t *testing.T) {
	t.Parallel()
	s := given(t, at("2018-04-26T12:00:00Z"), hongKongResident, ibKey).at("2018-04-26T16:00:00.000Z")
	s.when(optOut()).then(OptOutRequested{}, OptOutDenied{Reason: ReasonRegimeMandatory, Decision: Decision{
		Outcome: "deny_opt_out", DecisiveRuleID: "HK-2FA-1", RuleVersion: 1, MatchedRuleIDs: []string{"DEFAULT-1", "HK-2FA-1", "HK-TEMP-1"}, PolicyVersion: 1,
		AsOf: s.now, Facts: DecisionFacts{Residence: "HK", ClientKind: Individual, CarryingCC: "IE"},
	}})
}

// optedOutEarly holds the opt-out of 2017-10-26, which has no end of its own.
func optedOutEarly(s *story) {
	s.t.Helper()
	s.and(at("2017-10-26T12:00:00Z"), hongKongResident, ibKey, optedOut)
}

func TestS16TheEarlierOptOutIsRevokedAtThatMoment(t *testing.T) {
	t.Parallel()
	s := given(t, optedOutEarly).at("2018-04-26T15:59:59.999Z")
	s.when(ReevaluateRegime{UserID: aliceID, Cause: "rule_in_force"}).thenNothing()
	s.at("2018-04-26T16:00:00.000Z").when(ReevaluateRegime{UserID: aliceID, Cause: "rule_in_force"}).then(OptOutRevoked{
		OptOutID: s.id(PrefixOptOut), Cause: "rule_in_force", EffectiveAt: s.now, DetectedAt: s.now,
		Decision: Decision{Outcome: "deny_opt_out", DecisiveRuleID: "HK-2FA-1"},
	})
	if exposed := the[OptOutRevoked](s).ExposedS; exposed != 0 {
		t.Errorf("exposed_s %d, want 0", exposed)
	}
	s.when(ReevaluateRegime{UserID: aliceID, Cause: "rule_in_force"}).thenNothing()
	s.and(login(TWS)).then(AuthenticationStarted{}, PrimaryFactorVerified{}, SecondFactorSelected{}, ChallengeIssued{})
}

func TestS16LoginBeforeTheProcessRanIsNeverWaived(t *testing.T) {
	t.Parallel()
	s := given(t, optedOutEarly).at("2018-04-26T15:59:59.999Z").and(login(TWS))
	s.then(AuthenticationStarted{}, PrimaryFactorVerified{}, SecondFactorWaived{}, AuthenticationSucceeded{Factors: 1})
	s.at("2018-04-26T16:00:00.000Z").and(login(TWS)).then(
		AuthenticationStarted{}, PrimaryFactorVerified{},
		OptOutRevoked{Cause: "rule_in_force", EffectiveAt: s.now, DetectedAt: s.now, Decision: Decision{DecisiveRuleID: "HK-2FA-1"}},
		SecondFactorSelected{}, ChallengeIssued{},
	)
	s.when(ReevaluateRegime{UserID: aliceID, Cause: "rule_in_force"}).thenNothing()
}

func TestS16LoginLongAfterwardsRecordsHowLongTheOptOutWasExposed(t *testing.T) {
	t.Parallel()
	s := given(t, optedOutEarly).at("2018-04-27T16:00:00Z").and(login(TWS))
	s.then(
		AuthenticationStarted{}, PrimaryFactorVerified{},
		OptOutRevoked{Cause: "rule_in_force", EffectiveAt: moment(t, "2018-04-26T16:00:00Z"), ExposedS: 86_400},
		SecondFactorSelected{}, ChallengeIssued{},
	)
}

func TestS16PortalLoginDoesNotAskAboutTheOptOut(t *testing.T) {
	t.Parallel()
	s := given(t, optedOutEarly).at("2018-04-26T16:00:00Z").and(login(ClientPortal))
	s.then(AuthenticationStarted{}, PrimaryFactorVerified{}, SecondFactorSelected{}, ChallengeIssued{})
}

func TestS16TheSunsetOptOutLapsesByItself(t *testing.T) {
	t.Parallel()
	s := given(t, at("2018-04-26T12:00:00Z"), hongKongResident, ibKey, optedOut)
	if s.at("2018-04-26T15:59:59.999Z"); s.user().OptedOut(s.now) == nil {
		t.Error("the opt-out does not hold one millisecond before its end")
	}
	if s.at("2018-04-26T16:00:00.000Z"); s.user().OptedOut(s.now) != nil {
		t.Error("the opt-out still holds at its end")
	}
	s.when(ReevaluateRegime{UserID: aliceID, Cause: "rule_in_force"}).thenNothing()
	s.and(login(TWS)).then(AuthenticationStarted{}, PrimaryFactorVerified{}, SecondFactorSelected{}, ChallengeIssued{})
	s.when(OptBackIn{UserID: aliceID, By: aliceID}).then(OptBackInRefused{Reason: ReasonNotOptedOut})
	s.when(optOut()).then(OptOutRequested{}, OptOutDenied{Reason: ReasonRegimeMandatory})
}

func TestS16UserLeftWithoutAnAuthenticatorIsSentToEnrolment(t *testing.T) {
	t.Parallel()
	s := given(t, at("2017-10-26T12:00:00Z"), hongKongResident, ibKey, optedOut)
	// No command of this part removes IB Key; the event is what a later one appends.
	revoked := AuthenticatorRevoked{AuthenticatorID: s.id(PrefixAuthenticator), Reason: "lost"}
	s.append(revoked)
	s.at("2018-05-01T09:00:00Z").and(login(TWS)).then(AuthenticationStarted{}, PrimaryFactorVerified{}, OptOutRevoked{}, EnrollmentRequired{})
}

func TestS16LawIsNamedFirstWhateverElseIsMissing(t *testing.T) {
	t.Parallel()
	s := given(t, at("2020-01-01T09:00:00Z"), client(Individual, "IE", ""), registered(RoleDelegate, "HK"))
	s.when(RequestOptOut{UserID: aliceID, RequestedBy: bobID}).then(OptOutRequested{}, OptOutDenied{Reason: ReasonRegimeMandatory})
}

func TestS16AccountCarriedInHongKongFromTheStartCountsAsSuch(t *testing.T) {
	t.Parallel()
	s := given(t, at("2020-01-01T09:00:00Z"), client(Individual, "HK", ""), registered(RoleOwner, "DE"), sms)
	s.when(optOut()).then(OptOutRequested{}, OptOutDenied{Reason: ReasonRegimeMandatory, Decision: Decision{
		DecisiveRuleID: "HK-2FA-1", Facts: DecisionFacts{Residence: "DE", CarryingCC: "HK"},
	}})
}

func TestS16RuleThatDeniesShowsUpAmongTheBoundariesTheProcessWatches(t *testing.T) {
	t.Parallel()
	s := given(t)
	force := moment(t, "2018-04-26T16:00:00Z")
	for _, c := range []struct {
		since, now time.Time
		want       int
	}{
		{force.Add(-time.Millisecond), force, 1}, {force.Add(-time.Hour), force.Add(-time.Millisecond), 0}, {force, force.Add(time.Hour), 0},
	} {
		if got := s.policy.Boundaries(c.since, c.now); len(got) != c.want {
			t.Errorf("boundaries in (%s, %s]: %v, want %d", c.since, c.now, got, c.want)
		}
	}
}
