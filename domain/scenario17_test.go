package domain

import (
	"testing"
	"time"
)

// S-17: moves while opted out, holders, organisations, access, unknown facts
// (R-62, domain.md 9.3).

func TestS17MoveToIndiaRecordedTenDaysLateShowsTheExposedTime(t *testing.T) {
	t.Parallel()
	s := given(t, at("2024-02-01T10:00:00Z"), alice, ibKey, optedOut)
	s.at("2024-03-10T18:30:00Z").when(RecordResidence{UserID: aliceID, To: "IN", EffectiveOn: "2024-03-01"})
	s.then(ResidenceChanged{From: "DE", To: "IN", EffectiveOn: "2024-03-01", DetectedAt: s.now})
	s.when(ReevaluateRegime{UserID: aliceID, Cause: "residence_change"}).then(OptOutRevoked{
		OptOutID: s.id(PrefixOptOut), Cause: "residence_change", EffectiveAt: moment(t, "2024-02-29T18:30:00Z"), DetectedAt: s.now,
		ExposedS: 864_000, Decision: Decision{Outcome: "deny_opt_out", DecisiveRuleID: "IN-2FA-1", MatchedRuleIDs: []string{"DEFAULT-1", "IN-2FA-1", "IN-2FA-2"}},
	})
	s.and(login(TWS)).then(AuthenticationStarted{}, PrimaryFactorVerified{}, SecondFactorSelected{}, ChallengeIssued{})
	s.when(RecordResidence{UserID: aliceID, To: "DE", EffectiveOn: "2024-03-11"}).then(ResidenceChanged{From: "IN", To: "DE"})
	s.at("2024-03-11T00:00:00Z").when(ReevaluateRegime{UserID: aliceID, Cause: "residence_change"}).thenNothing()
	s.and(optedOut)
}

func TestS17MoveInTheFutureChangesNothingUntilItsMoment(t *testing.T) {
	t.Parallel()
	s := given(t, at("2024-02-01T10:00:00Z"), alice, ibKey, optedOut)
	s.when(RecordResidence{UserID: aliceID, To: "IN", EffectiveOn: "2024-03-01"}).then(ResidenceChanged{})
	s.at("2024-02-29T18:29:59.999Z").when(ReevaluateRegime{UserID: aliceID, Cause: "residence_change"}).thenNothing()
	s.and(login(TWS)).then(AuthenticationStarted{}, PrimaryFactorVerified{}, SecondFactorWaived{}, AuthenticationSucceeded{Factors: 1})
	s.at("2024-02-29T18:30:00.000Z").and(login(TWS)).then(
		AuthenticationStarted{}, PrimaryFactorVerified{}, OptOutRevoked{Cause: "residence_change", EffectiveAt: s.now}, SecondFactorSelected{}, ChallengeIssued{},
	)
}

func TestS17HolderLivingInHongKongDeniesForEveryUserOfAJointAccount(t *testing.T) {
	t.Parallel()
	s := given(t, client(Joint, "IE", ""), registered(RoleOwner, "DE"), sms)
	s.when(optOut()).then(OptOutRequested{}, OptOutDenied{Reason: ReasonFactsIncomplete, Decision: Decision{Outcome: "incomplete"}})
	s.when(AddHolder{ClientID: clientID, PersonRef: "p1", Residence: "DE", EffectiveOn: "2020-01-01"}).then(HolderAdded{})
	s.and(optedOut)
	s.when(AddHolder{ClientID: clientID, PersonRef: "p2", Residence: "HK", EffectiveOn: "2024-03-02"}).then(HolderAdded{})
	s.at("2024-03-01T15:59:59.999Z").when(ReevaluateRegime{UserID: aliceID, Cause: "holder_added"}).thenNothing()
	s.at("2024-03-01T17:00:00Z").and(login(TWS)).then(
		AuthenticationStarted{}, PrimaryFactorVerified{},
		OptOutRevoked{Cause: "holder_added", EffectiveAt: moment(t, "2024-03-01T16:00:00Z"), ExposedS: 3600, Decision: Decision{DecisiveRuleID: "HK-2FA-1"}},
		SecondFactorSelected{}, ChallengeIssued{}, LoginCodeIssued{}, SMSRequested{},
	)
	s.when(optOut()).then(OptOutRequested{}, OptOutDenied{Reason: ReasonRegimeMandatory})
	s.when(RemoveHolder{ClientID: clientID, PersonRef: "p2", EffectiveOn: "2024-03-05"}).then(HolderRemoved{})
	s.at("2024-03-05T00:00:00Z").and(optedOut)
}

func TestS17OrganisationCarriedOrDomiciledInHongKongDeniesForEveryUser(t *testing.T) {
	t.Parallel()
	given(t, client(Organisation, "HK", "DE"), registered(RoleOwner, "DE"), sms).when(optOut()).then(
		OptOutRequested{}, OptOutDenied{Reason: ReasonRegimeMandatory, Decision: Decision{DecisiveRuleID: "HK-2FA-1", Facts: DecisionFacts{CarryingCC: "HK"}}},
	)
	given(t, client(Organisation, "IE", "HK"), registered(RoleOwner, "DE"), sms).when(optOut()).then(OptOutRequested{}, OptOutDenied{Reason: ReasonRegimeMandatory})
	given(t, client(Organisation, "IE", "DE"), registered(RoleOwner, "HK"), sms).when(optOut()).then(OptOutRequested{}, OptOutDenied{Reason: ReasonRegimeMandatory})
	given(t, client(Organisation, "IE", "DE"), registered(RoleOwner, "DE"), sms, optedOut)
	given(t, client(Organisation, "IE", ""), registered(RoleOwner, "DE"), sms).when(optOut()).then(OptOutRequested{}, OptOutDenied{Reason: ReasonFactsIncomplete})
}

func TestS17AccountsMovedToAHongKongEntityRevokeTheOptOut(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms, optedOut)
	s.when(AssignCarryingEntity{ClientID: clientID, CarryingEntity: "hk", CarryingCC: "HK", EffectiveOn: "2024-03-03"}).then(CarryingEntityAssigned{})
	s.at("2024-03-02T16:00:00Z").and(login(TWS)).then(
		AuthenticationStarted{}, PrimaryFactorVerified{}, OptOutRevoked{Cause: "carrying_entity_change", EffectiveAt: s.now},
		SecondFactorSelected{}, ChallengeIssued{}, LoginCodeIssued{}, SMSRequested{},
	)
}

func TestS17AdviserGainingAccessToAHongKongAccountLosesTheOptOut(t *testing.T) {
	t.Parallel()
	s := given(t, client(Individual, "CH", ""), registered(RoleOwner, "CH"), foreignClient("HK"), sms, optedOut)
	s.when(GrantAccountAccess{UserID: aliceID, ClientID: "acme", EffectiveOn: "2024-03-02"}).thenError(Invalid)
	s.when(RevokeAccountAccess{UserID: aliceID, ClientID: otherID, EffectiveOn: "2024-03-02"}).thenError(Unknown)
	s.when(GrantAccountAccess{UserID: aliceID, ClientID: otherID, EffectiveOn: "2024-03-02"}).then(AccountAccessGranted{})
	s.at("2024-03-02T06:00:00Z").when(ReevaluateRegime{UserID: aliceID, Cause: "access_granted"}).then(OptOutRevoked{
		Cause: "access_granted", EffectiveAt: moment(t, "2024-03-02T00:00:00Z"), ExposedS: 6 * 3600,
		Decision: Decision{DecisiveRuleID: "HK-2FA-1", Facts: DecisionFacts{AccessibleCarryingCCs: []string{"HK"}}},
	})
	s.when(RevokeAccountAccess{UserID: aliceID, ClientID: otherID, EffectiveOn: "2024-03-03"}).then(AccountAccessRevoked{})
	s.when(GrantAccountAccess{UserID: aliceID, ClientID: otherID, EffectiveOn: "2024-02-01"}).then(AccountAccessGranted{})
	s.at("2024-03-03T00:00:00Z").and(optedOut)
}

func TestS17UnknownFactIsNeverGuessed(t *testing.T) {
	t.Parallel()
	incomplete := func(s *story) {
		t.Helper()
		s.when(optOut()).then(OptOutRequested{}, OptOutDenied{Reason: ReasonFactsIncomplete, Decision: Decision{Outcome: "incomplete"}})
		if rule := the[OptOutDenied](s).Decision.DecisiveRuleID; rule != "" {
			t.Errorf("decided by %s, want by no rule", rule)
		}
	}
	incomplete(given(t, client(Individual, "IE", ""), registered(RoleOwner, ""), sms))
	incomplete(given(t, registered(RoleOwner, "DE"), sms))
	s := given(t, alice, sms)
	s.when(GrantAccountAccess{UserID: aliceID, ClientID: otherID, EffectiveOn: "2024-01-01"}).then(AccountAccessGranted{})
	incomplete(s)
}

func TestS17OptOutIsNotUsedWhileAFactIsUnknown(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms, optedOut, later(time.Hour))
	s.when(GrantAccountAccess{UserID: aliceID, ClientID: otherID, EffectiveOn: "2024-03-01"}).then(AccountAccessGranted{})
	s.and(login(TWS)).then(AuthenticationStarted{}, PrimaryFactorVerified{}, SecondFactorSelected{}, ChallengeIssued{}, LoginCodeIssued{}, SMSRequested{})
	s.when(ReevaluateRegime{UserID: aliceID, Cause: "access_granted"}).thenNothing()
}

func TestS17CorrectedResidenceOfTheSameDayWinsOverTheOneItCorrects(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms)
	s.when(RecordResidence{UserID: aliceID, To: "CH", EffectiveOn: "2024-02-01"}).then(ResidenceChanged{})
	s.when(RecordResidence{UserID: aliceID, To: "HK", EffectiveOn: "2024-02-01"}).then(ResidenceChanged{})
	s.when(optOut()).then(OptOutRequested{}, OptOutDenied{Reason: ReasonRegimeMandatory, Decision: Decision{Facts: DecisionFacts{Residence: "HK"}}})
	s.when(RecordResidence{UserID: aliceID, To: "DE", EffectiveOn: "2023-01-01"}).then(ResidenceChanged{})
	if got := s.user().ResidenceAt(s.now, s.policy); got != "HK" {
		t.Errorf("residence %s after an earlier one was recorded late, want HK", got)
	}
}

func TestS17HolderOfAJointAccountWhoMovesToHongKongRevokesTheOptOut(t *testing.T) {
	t.Parallel()
	s := given(t, client(Joint, "IE", ""), registered(RoleOwner, "DE"), sms)
	s.when(AddHolder{ClientID: clientID, PersonRef: "p1", Residence: "DE", EffectiveOn: "2020-01-01"})
	s.when(AddHolder{ClientID: clientID, PersonRef: "p2", Residence: "CH", EffectiveOn: "2020-01-01"})
	s.and(optedOut)
	move := RecordHolderResidence{ClientID: clientID, PersonRef: "p2", To: "HK", EffectiveOn: "2024-03-02", EvidenceRef: "case-1"}
	s.when(move).then(ResidenceChanged{PersonRef: "p2", From: "CH", To: "HK", EffectiveOn: "2024-03-02", DetectedAt: s.now, EvidenceRef: "case-1"})
	s.at("2024-03-01T15:59:59.999Z").when(ReevaluateRegime{UserID: aliceID, Cause: "residence_change"}).thenNothing()
	s.at("2024-03-01T16:00:00.000Z").and(login(TWS))
	must[OptOutRevoked](s)
	if e := the[OptOutRevoked](s); e.Cause != "residence_change" || !e.EffectiveAt.Equal(s.now) || e.ExposedS != 0 || e.Decision.DecisiveRuleID != "HK-2FA-1" {
		t.Errorf("revoked by %+v, want by the holder's move at this moment", e)
	}
	s.when(optOut()).then(OptOutRequested{}, OptOutDenied{Reason: ReasonRegimeMandatory, Decision: Decision{Facts: DecisionFacts{HolderResidences: []string{"DE", "HK"}}}})
	move.To, move.EffectiveOn = "CH", "2024-03-10"
	s.when(move).then(ResidenceChanged{From: "HK", To: "CH"})
	s.at("2024-03-09T23:59:59.999Z").when(optOut()).then(OptOutRequested{}, OptOutDenied{Reason: ReasonRegimeMandatory})
	s.at("2024-03-10T00:00:00.000Z").and(optedOut)
}

func TestS17MovesOfHoldersAreCheckedForTheirForm(t *testing.T) {
	t.Parallel()
	s := given(t, client(Joint, "IE", ""))
	s.when(AddHolder{ClientID: clientID, PersonRef: "p1", Residence: "DE", EffectiveOn: "2020-01-01"})
	move := RecordHolderResidence{ClientID: clientID, PersonRef: "p1", To: "Hong Kong", EffectiveOn: "2024-03-02"}
	s.when(move).thenError(Invalid)
	move.To, move.EffectiveOn = "HK", "tomorrow"
	s.when(move).thenError(Invalid)
	move.EffectiveOn, move.PersonRef = "2024-03-02", "p9"
	s.when(move).thenError(Unknown)
	s.when(RemoveHolder{ClientID: clientID, PersonRef: "p1", EffectiveOn: "2024-01-01"}).then(HolderRemoved{})
	move.PersonRef = "p1"
	s.when(move).thenError(Unknown)
}

func TestS17OrganisationThatMovesItsSeatToHongKongRevokesTheOptOuts(t *testing.T) {
	t.Parallel()
	s := given(t, client(Organisation, "IE", "DE"), registered(RoleOwner, "DE"), sms, optedOut)
	move := RecordDomicile{ClientID: clientID, To: "HK", EffectiveOn: "2024-03-02", EvidenceRef: "register"}
	s.when(move).then(DomicileChanged{From: "DE", To: "HK", EffectiveOn: "2024-03-02", DetectedAt: s.now, EvidenceRef: "register"})
	s.at("2024-03-01T15:59:59.999Z").when(ReevaluateRegime{UserID: aliceID, Cause: "domicile_change"}).thenNothing()
	s.at("2024-03-01T16:00:30.000Z").and(login(TWS))
	if e := the[OptOutRevoked](s); e.Cause != "domicile_change" || e.ExposedS != 30 {
		t.Errorf("revoked by %+v, want by the move of the seat, 30 s before", e)
	}
	move.To = "Hong Kong"
	s.when(move).thenError(Invalid)
	given(t, alice).when(RecordDomicile{ClientID: clientID, To: "HK", EffectiveOn: "2024-03-02"}).thenError(Invalid)
}

func TestS17DomicileThatWasUnknownMayBeRecorded(t *testing.T) {
	t.Parallel()
	s := given(t, client(Organisation, "IE", ""), registered(RoleOwner, "DE"), sms)
	s.when(optOut()).then(OptOutRequested{}, OptOutDenied{Reason: ReasonFactsIncomplete})
	s.when(RecordDomicile{ClientID: clientID, To: "DE", EffectiveOn: "2020-01-01"}).then(DomicileChanged{To: "DE"})
	s.and(optedOut)
}

func TestS17LateRecordOfAnythingShowsTheExposedTime(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		kind   ClientKind
		seat   string
		record Command
		want   time.Time
	}{
		"carrying_entity_change": {Individual, "", AssignCarryingEntity{ClientID: clientID, CarryingEntity: "hk", CarryingCC: "HK", EffectiveOn: "2024-03-02"}, time.Date(2024, 3, 1, 16, 0, 0, 0, time.UTC)},
		"domicile_change":        {Organisation, "DE", RecordDomicile{ClientID: clientID, To: "HK", EffectiveOn: "2024-03-02"}, time.Date(2024, 3, 1, 16, 0, 0, 0, time.UTC)},
		"access_granted":         {Individual, "", GrantAccountAccess{UserID: aliceID, ClientID: otherID, EffectiveOn: "2024-03-02"}, time.Date(2024, 3, 2, 0, 0, 0, 0, time.UTC)},
		"residence_change":       {Individual, "", RecordResidence{UserID: aliceID, To: "HK", EffectiveOn: "2024-03-02"}, time.Date(2024, 3, 1, 16, 0, 0, 0, time.UTC)},
	}
	for cause, c := range cases {
		s := given(t, client(c.kind, "IE", c.seat), foreignClient("HK"), registered(RoleOwner, "DE"), sms, optedOut)
		s.at("2024-03-05T12:00:00Z").when(c.record)
		s.and(login(TWS))
		if e := the[OptOutRevoked](s); e.Cause != cause || !e.EffectiveAt.Equal(c.want) || e.ExposedS != int64(s.now.Sub(c.want)/time.Second) {
			t.Errorf("%s: %+v, want effective %s", cause, e, c.want)
		}
	}
}

func TestS17MoveBeforeTheOptOutExposesFromTheGrantOnly(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms, optedOut)
	granted := s.now
	s.after(time.Hour).when(RecordResidence{UserID: aliceID, To: "IN", EffectiveOn: "2020-01-01"})
	s.when(ReevaluateRegime{UserID: aliceID, Cause: "residence_change"}).then(OptOutRevoked{EffectiveAt: granted, ExposedS: 3600})
}

func TestS17ResidenceThatBecomesUnknownNeitherWaivesNorRevokes(t *testing.T) {
	t.Parallel()
	s := given(t, client(Individual, "IE", ""), registered(RoleOwner, ""), sms)
	s.when(optOut()).then(OptOutRequested{}, OptOutDenied{Reason: ReasonFactsIncomplete, Decision: Decision{Outcome: "incomplete", Facts: DecisionFacts{CarryingCC: "IE"}}})
	s.when(RecordResidence{UserID: aliceID, To: "DE", EffectiveOn: "2024-03-05"}).then(ResidenceChanged{To: "DE"})
	s.at("2024-03-04T23:59:59.999Z").when(optOut()).then(OptOutRequested{}, OptOutDenied{Reason: ReasonFactsIncomplete})
	s.at("2024-03-05T00:00:00.000Z").and(optedOut)
}

func TestS17LostAccessIsEvaluatedAnewAndNothingIsRestored(t *testing.T) {
	t.Parallel()
	s := given(t, alice, foreignClient("HK"), sms, optedOut)
	s.when(GrantAccountAccess{UserID: aliceID, ClientID: otherID, EffectiveOn: "2024-03-01"})
	s.when(ReevaluateRegime{UserID: aliceID, Cause: "access_granted"})
	must[OptOutRevoked](s)
	s.when(RevokeAccountAccess{UserID: aliceID, ClientID: otherID, EffectiveOn: "2024-03-01"}).then(AccountAccessRevoked{})
	s.when(ReevaluateRegime{UserID: aliceID, Cause: "access_granted"}).thenNothing()
	if s.user().OptedOut(s.now) != nil {
		t.Error("the opt-out came back by itself")
	}
	s.and(optedOut)
}
