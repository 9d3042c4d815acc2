package domain

import (
	"testing"
	"time"
)

// S-15: opting out and back in where nothing forbids it (R-63, K-10 to K-13).

func TestS15OwnerOptsOutUnderTheHouseRule(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey)
	s.when(optOut()).then(
		OptOutRequested{OptOutID: s.id(PrefixOptOut), UserID: aliceID, RequestedBy: aliceID, AgreementVersion: "2017-01", Acknowledged: true},
		OptOutGranted{OptOutID: s.id(PrefixOptOut), Scope: "trading_platforms", Decision: Decision{
			Outcome: "permit_opt_out", DecisiveRuleID: "DEFAULT-1", RuleVersion: 1, MatchedRuleIDs: []string{"DEFAULT-1"}, PolicyVersion: 1, AsOf: s.now,
			Facts: DecisionFacts{Residence: "DE", ClientKind: Individual, CarryingCC: "IE"},
		}},
	)
	if ends := the[OptOutGranted](s).EndsAt; ends != nil {
		t.Errorf("ends_at %s, want none", ends)
	}
	s.when(optOut()).then(OptOutRequested{}, OptOutDenied{Reason: ReasonAlreadyOptedOut})
}

func TestS15OptedOutUserNeedsNoSecondFactorOnTradingPlatformsOnly(t *testing.T) {
	t.Parallel()
	for _, platform := range []Platform{TWS, WebTrader, IBKRMobileIOS, IBKRMobileAndroid} {
		s := given(t, alice, ibKey, optedOut, login(platform))
		s.then(
			AuthenticationStarted{PlatformClass: Trading}, PrimaryFactorVerified{},
			SecondFactorWaived{TxnID: s.id(PrefixTransaction), OptOutID: s.id(PrefixOptOut), RuleIDs: []string{"DEFAULT-1"}},
			AuthenticationSucceeded{Factors: 1, Scope: "full"},
		)
		if e := the[AuthenticationSucceeded](s); e.ProtectionRank != 0 || e.AuthenticatorKind != "" {
			t.Errorf("%s: protection rank %d by %q, want 0 by nothing", platform, e.ProtectionRank, e.AuthenticatorKind)
		}
		s.and(login(ClientPortal)).then(AuthenticationStarted{PlatformClass: Portal}, PrimaryFactorVerified{}, SecondFactorSelected{}, ChallengeIssued{Kind: KindIBKey})
	}
}

func TestS15WithoutTheAgreementThereIsNoOptOut(t *testing.T) {
	t.Parallel()
	for _, missing := range []RequestOptOut{
		{UserID: aliceID, RequestedBy: aliceID, AgreementVersion: "2017-01"},
		{UserID: aliceID, RequestedBy: aliceID, Acknowledged: true},
	} {
		given(t, alice, ibKey).when(missing).then(OptOutRequested{}, OptOutDenied{Reason: ReasonAgreementMissing, Decision: Decision{DecisiveRuleID: "DEFAULT-1"}})
	}
}

func TestS15OptingBackInIsPossibleOnce(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, optedOut)
	s.when(OptBackIn{UserID: aliceID, By: aliceID}).then(OptedBackIn{OptOutID: s.id(PrefixOptOut), By: aliceID})
	s.when(OptBackIn{UserID: aliceID, By: aliceID}).then(OptBackInRefused{Reason: ReasonNotOptedOut})
	s.and(login(TWS)).then(AuthenticationStarted{}, PrimaryFactorVerified{}, SecondFactorSelected{}, ChallengeIssued{})
	s.and(optedOut)
}

func TestS15WhoMayOptAUserOut(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		kind      ClientKind
		role      Role // of Alice
		requester *RequesterFacts
		allowed   bool
	}{
		"owner of an individual account, for themself":         {Individual, RoleOwner, nil, true},
		"delegate of an individual account, for themself":      {Individual, RoleDelegate, nil, false},
		"owner of an individual account, for a delegate":       {Individual, RoleDelegate, &RequesterFacts{bobID, clientID, RoleOwner}, true},
		"owner of another client's account":                    {Individual, RoleDelegate, &RequesterFacts{bobID, otherID, RoleOwner}, false},
		"security officer of an individual account":            {Individual, RoleSecurityOfficer, nil, false},
		"security officer of an organisation, for themself":    {Organisation, RoleSecurityOfficer, nil, true},
		"security officer of an organisation, for a delegate":  {Organisation, RoleDelegate, &RequesterFacts{bobID, clientID, RoleSecurityOfficer}, true},
		"delegate of an organisation, for another":             {Organisation, RoleOwner, &RequesterFacts{bobID, clientID, RoleDelegate}, false},
		"owner of an organisation, for a delegate":             {Organisation, RoleDelegate, &RequesterFacts{bobID, clientID, RoleOwner}, true},
		"facts about somebody other than the one who asks":     {Organisation, RoleDelegate, &RequesterFacts{aliceID, clientID, RoleOwner}, false},
		"somebody about whom nothing is known, for a delegate": {Organisation, RoleDelegate, &RequesterFacts{}, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := given(t, client(c.kind, "IE", "DE"), registered(c.role, "DE"), sms)
			request := optOut()
			if c.requester != nil {
				request.RequestedBy = bobID
			}
			s.when(request, func(f *Facts) { f.Requester = c.requester })
			if c.allowed {
				s.then(OptOutRequested{RequestedBy: request.RequestedBy}, OptOutGranted{})
			} else {
				s.then(OptOutRequested{RequestedBy: request.RequestedBy}, OptOutDenied{Reason: ReasonOptOutAuthority})
			}
		})
	}
}

func TestS15ThePortalStillNeedsAnAuthenticator(t *testing.T) {
	t.Parallel()
	given(t, alice, verifiedPhone).when(optOut()).then(OptOutRequested{}, OptOutDenied{Reason: ReasonNoPortalAuth})
}

func TestS15LockedUserCannotOptOut(t *testing.T) {
	t.Parallel()
	given(t, alice, ibKey, lockedOut).when(optOut()).then(OptOutRequested{}, OptOutDenied{Reason: ReasonUserLocked})
}

func TestS15WaivedLoginDoesNotResetTheFailureCount(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, optedOut, wrongPassword, login(TWS))
	s.and(wrongPassword).then(AuthenticationStarted{}, PrimaryFactorRejected{FailureCount: 2}, AuthenticationFailed{})
}

// S-17, the parts that need no process of their own: moves, holders,
// organisations and access (R-62, domain.md 9.3).

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
