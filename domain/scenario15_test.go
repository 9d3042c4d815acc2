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

func TestS15NoOptOutDuringAMigrationOrRecovery(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, newPhone, migration(pixelID)).when(optOut())
	s.then(OptOutRequested{}, OptOutDenied{Reason: ReasonProcessOpen, Decision: Decision{Outcome: "permit_opt_out"}})
	s.when(CancelMigration{MigrationID: s.id(PrefixMigration)}).and(optedOut)
	expired := given(t, alice, ibKey, newPhone, migration(pixelID))
	expired.after(10*time.Minute-time.Millisecond).when(optOut()).then(OptOutRequested{}, OptOutDenied{Reason: ReasonProcessOpen})
	expired.after(time.Millisecond).and(optedOut)
	recovering := given(t, reinstalled(IOS, UVFaceID), recovery(pixelID, "reinstalled", handedOver)).when(optOut())
	recovering.then(OptOutRequested{}, OptOutDenied{Reason: ReasonProcessOpen})
	recovering.when(CompleteRecovery{RecoveryID: recovering.id(PrefixRecovery), UV: UVFaceID}).and(optedOut)
}

func TestS15TemporaryAccessIsNotEnough(t *testing.T) {
	t.Parallel()
	s := germanLostCard(t)
	s.when(optOut()).then(OptOutRequested{}, OptOutDenied{Reason: ReasonTemporaryAccess})
	s.and(onlineCard).when(optOut()).then(OptOutRequested{}, OptOutDenied{Reason: ReasonTemporaryAccess})
	s.when(ReactivateAuthenticator{AuthenticatorID: kindOf(s, KindDSCPlus).ID, Proof: "agent"}).and(identified)
	s.when(ReactivateAuthenticator{AuthenticatorID: kindOf(s, KindDSCPlus).ID, Proof: "agent"}).and(optedOut)
}

func TestS15SuspendedDeviceDoesNotServeThePortal(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey)
	s.when(ReportLost{AuthenticatorID: s.id(PrefixAuthenticator), By: "client"})
	s.when(optOut()).then(OptOutRequested{}, OptOutDenied{Reason: ReasonNoPortalAuth})
}
