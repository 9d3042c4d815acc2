package domain

import "testing"

// S-12: unification of the standalone apps (R-55 to R-58, D-62).

// unified ends the newest unification with the standalone app's signature.
func unified(s *story) {
	s.t.Helper()
	s.when(CompleteUnification{UnificationID: s.id(PrefixUnification)}, handedOver).then(UnificationCompleted{NewInstallationID: pixelID})
}

// useNewApp logs in to the trading part of the new app.
func useNewApp(s *story) {
	s.t.Helper()
	s.when(StartAuthentication{UserID: s.who, Purpose: PurposeLogin, Platform: IBKRMobileIOS, PrimaryVerified: true, InitiatingDeviceRef: pixelID})
}

func TestS12CurrentIBKeyMovesByItselfWithoutAnSMS(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ruleStandalone)
	before := kindOf(s, KindIBKey)
	s.when(detected("auth_only")).then(UnificationOffered{
		Case: "auth_only", Action: "auto", InstallationID: pixelID, StandaloneInstallationID: iphoneID, AuthenticatorID: before.ID,
	})
	s.and(unified)
	after := kindOf(s, KindIBKey)
	if before.InstallationID = pixelID; after != before {
		t.Errorf("the enrolment is %+v, want the same on another host: %+v", after, before)
	}
	for _, r := range s.logs[UserStream(aliceID)] {
		if m, ok := r.Event.(SMSRequested); ok && m.Purpose != PurposePhoneVerification && m.Purpose != PurposeActivation {
			t.Errorf("a message went out for %s", m.Purpose)
		}
	}
	s.when(UnbindFromInstallation{InstallationID: iphoneID, UserID: aliceID, AuthenticatorID: after.ID}).thenNothing()
	s.when(RetireInstallation{InstallationID: iphoneID, Reason: "unified", SuccessorID: pixelID}).then(InstallationRetired{Reason: "unified", SuccessorID: pixelID})
	s.when(RetireInstallation{InstallationID: iphoneID, Reason: "unified", SuccessorID: pixelID}).thenNothing()
	s.when(CompleteUnification{UnificationID: s.id(PrefixUnification)}, handedOver).thenNothing()
}

func TestS12OutdatedIBKeyIsUpdatedFirst(t *testing.T) {
	t.Parallel()
	c := detected("auth_only")
	c.StandaloneOutdated = true
	s := given(t, alice, ruleStandalone).when(c).then(UnificationOffered{Action: "update_then_auto"})
	s.when(c).thenNothing()
	s.when(detected("auth_only")).then(UnificationOffered{Action: "auto"}) // it was updated
	s.and(unified)
}

func TestS12PutOffUnificationLeavesTheDailyLoginAsItIs(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ruleStandalone).when(detected("auth_only"))
	id := s.id(PrefixUnification)
	s.when(DeferUnification{UnificationID: id}).then(UnificationDeferred{UnificationID: id})
	s.when(DeferUnification{UnificationID: id}).thenNothing()
	s.and(login(TWS)).when(decisionOn(s, iphoneID), approved(UVFaceID)).then(ResponseVerified{}, AuthenticationSucceeded{})
	s.and(useNewApp)
	must[ChallengeIssued](s)
	s.when(detected("auth_only")).then(UnificationOffered{}) // offered again
	s.and(unified)
}

func TestS12TradingAndDebitCardWaitForTheIBKeyStep(t *testing.T) {
	t.Parallel()
	for _, c := range []string{"both", "debit_card"} {
		s := given(t, alice, ruleStandalone).when(detected(c))
		s.and(useNewApp).then(AuthenticationRefused{Platform: IBKRMobileIOS, Reason: ReasonUnifyFirst})
		s.when(DeferUnification{UnificationID: s.id(PrefixUnification)})
		s.and(useNewApp).then(AuthenticationRefused{Reason: ReasonUnifyFirst})
		s.and(login(TWS))
		must[ChallengeIssued](s)
		s.and(unified, useNewApp)
		must[ChallengeIssued](s)
	}
}

func TestS12WrongPasswordInTheNewAppCountsAllTheSame(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ruleStandalone).when(detected("both"))
	s.when(StartAuthentication{UserID: aliceID, Purpose: PurposeLogin, Platform: IBKRMobileIOS, InitiatingDeviceRef: pixelID})
	s.then(AuthenticationStarted{}, PrimaryFactorRejected{FailureCount: 1}, AuthenticationFailed{})
}

func TestS12NewAppIsFreeOnceIBKeyLeftTheStandaloneAppInAnotherWay(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ruleStandalone).when(detected("both"))
	s.when(RevokeAuthenticator{AuthenticatorID: kindOf(s, KindIBKey).ID, Reason: "client_request"})
	s.and(useNewApp)
	must[ChallengeIssued](s)
}

func TestS12TradingAloneHasNothingToUnify(t *testing.T) {
	t.Parallel()
	given(t, alice, ruleStandalone).when(detected("trading_only")).then(UnificationRefused{Case: "trading_only", Reason: ReasonNothingToUnify})
	given(t, alice, sms, appOnly).when(detected("auth_only")).then(UnificationRefused{Reason: ReasonNothingToUnify})
	given(t, alice, ibKey, appAgain(pixelID, iphoneID)).when(detected("auth_only")).then(UnificationRefused{Reason: ReasonNothingToUnify})
	given(t, alice, ruleStandalone).when(detected("both")).and(unified).when(detected("both")).then(UnificationRefused{Reason: ReasonNothingToUnify})
}

// appOnly is IBKR Mobile on a phone.
func appOnly(s *story) {
	s.t.Helper()
	s.when(RegisterInstallation{InstallationID: pixelID, App: AppIBKRMobile, OS: IOS, HandsetID: "one"}).then(InstallationRegistered{})
}

func TestS12StandaloneAppOnAnotherHandsetIsAMigration(t *testing.T) {
	t.Parallel()
	s := given(t, alice, verifiedPhone)
	s.when(RegisterInstallation{InstallationID: iphoneID, App: AppIBKeyStandalone, OS: IOS, HandsetID: "another"})
	s.and(activationAccepted(iphoneID)).when(CompleteEnrollment{EnrollmentID: s.id(PrefixEnrollment), UV: UVFaceID})
	s.and(appOnly).when(detected("auth_only")).then(UnificationRefused{Case: "auth_only", InstallationID: pixelID, Reason: ReasonUnifyOtherHandset})
}

func TestS12HandoverNeedsTheStandaloneAppsSignature(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ruleStandalone).when(detected("both"))
	s.when(CompleteUnification{UnificationID: s.id(PrefixUnification)}).then(UnificationRefused{UnificationID: s.id(PrefixUnification), Reason: ReasonSignatureInvalid})
	s.and(unified)
}

func TestS12WhatStopsAUnification(t *testing.T) {
	t.Parallel()
	complete := func(s *story) *story {
		return s.when(CompleteUnification{UnificationID: s.id(PrefixUnification)}, handedOver)
	}
	offered := func() *story { return given(t, alice, ruleStandalone).when(detected("both")) }
	s := offered()
	s.when(ReportLost{AuthenticatorID: kindOf(s, KindIBKey).ID, By: "client"})
	complete(s).then(UnificationRefused{Reason: ReasonNotActive})
	s = offered().and(lockedOut)
	complete(s).then(UnificationRefused{Reason: ReasonUserLocked})
	s = offered().when(RetireInstallation{InstallationID: pixelID, Reason: "recovered"})
	complete(s).then(UnificationRefused{Reason: ReasonRetired})
	s.when(detected("debit_card")).then(UnificationRefused{Reason: ReasonRetired})
	s.when(CompleteUnification{UnificationID: s.user().ref(PrefixUnification, 900)}).thenError(Unknown)
	s.when(DeferUnification{UnificationID: s.user().ref(PrefixUnification, 900)}).thenError(Unknown)
}

func TestS12AppsUnifyIntoIBKRMobileOnly(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ruleStandalone)
	c := detected("auth_only")
	c.InstallationID = iphoneID
	s.when(c).thenError(Invalid)
	c.InstallationID = PrefixInstallation + "_00000000000000000000000003"
	s.when(c).thenError(Unknown)
}

func TestS12BlockedAppIsNoHost(t *testing.T) {
	t.Parallel()
	blocked := ReportPINBlocked{InstallationID: pixelID, WrongEntries: 10}
	s := given(t, alice, verifiedPhone)
	s.when(RegisterInstallation{InstallationID: iphoneID, App: AppIBKeyStandalone, OS: Android, HandsetID: "one"})
	s.when(AttestPIN{InstallationID: iphoneID, PINPolicyVersion: 1})
	s.and(activationAccepted(iphoneID)).when(CompleteEnrollment{EnrollmentID: s.id(PrefixEnrollment), UV: UVAppPIN})
	s.when(RegisterInstallation{InstallationID: pixelID, App: AppIBKRMobile, OS: Android, HandsetID: "one"})
	s.when(detected("auth_only")).then(UnificationOffered{})
	s.when(blocked).then(AppPINBlocked{WrongEntries: 10})
	s.when(CompleteUnification{UnificationID: s.id(PrefixUnification)}, handedOver).then(UnificationRefused{Reason: ReasonInstallBlocked})
	s.when(detected("both")).then(UnificationRefused{Reason: ReasonInstallBlocked})
}
