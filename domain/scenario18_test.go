package domain

import (
	"testing"
	"time"
)

// S-18: sharing a Digital Security Card+ (K-14).

// sharing is Alice with a card and Bob, another user of the same client.
func sharing(t *testing.T, ofBob ...step) *story {
	t.Helper()
	return given(t, alice, sms, dscPlus(cardID), as(bobID, registered(RoleHolder, "DE"), sms)).and(as(bobID, ofBob...))
}

// request asks, as the user whose steps these are, to share another user's
// authenticator, after proving a permanent one if there is one.
func request(owner string, k Kind, change ...func(*RequestDeviceSharing)) step {
	return func(s *story) {
		s.t.Helper()
		s.and(steppedUp(PurposeDeviceSharing))
		c := RequestDeviceSharing{UserID: s.who, AuthenticatorID: theirs(s, owner, k), TxnID: s.id(PrefixTransaction)}
		for _, f := range change {
			f(&c)
		}
		s.when(c)
	}
}

func theirs(s *story, owner string, k Kind) (id string) {
	s.t.Helper()
	s.and(as(owner, func(s *story) { id = kindOf(s, k).ID }))
	return id
}

func TestS18UserWithAPrintedCardSharesTheStrongerOne(t *testing.T) {
	t.Parallel()
	s := sharing(t, printedCard)
	s.and(as(bobID, request(aliceID, KindDSCPlus), func(s *story) {
		id := s.id(PrefixSharing)
		s.then(
			DeviceSharingRequested{SharingID: id, DeviceID: cardID, OwnerUserID: aliceID, RequestingUserID: bobID, SameClient: true},
			ChallengeIssued{Kind: KindDSCPlus, DeviceID: cardID, SubjectID: id, AuthenticatorID: s.id(PrefixAuthenticator)},
		)
		s.when(answerTo(s), response(12)).then(
			ResponseVerified{DeviceID: cardID, NextCounter: 12},
			DeviceSharingGranted{SharingID: id, AuthenticatorID: s.id(PrefixAuthenticator)},
			AuthenticatorEnrolled{Kind: KindDSCPlus, DeviceID: cardID, SharingID: id, Trigger: "sharing", OCRASuite: cardSuite, NextCounter: 12},
		)
		if got := statuses(s); got[KindSCC] != "active" || got[KindDSCPlus] != "active" {
			t.Errorf("Bob has %v, want both cards", got)
		}
		s.and(tws("965")).when(answerTo(s), response(13)).then(ResponseVerified{}, AuthenticationSucceeded{ProtectionRank: 3})
	}))
	s.and(login(TWS)).when(answerTo(s), response(14)).then(ResponseVerified{}, AuthenticationSucceeded{})
	// The unit's counter is the highest that any of its users has seen.
	if f := s.device(cardID); f.NextCounter != 14 || !f.InUse {
		t.Errorf("the unit is %+v, want counter 14 and in use", f)
	}
}

func TestS18SharingThePrintedCardInsteadIsLessSecure(t *testing.T) {
	t.Parallel()
	s := sharing(t, printedCard).and(request(bobID, KindSCC))
	s.then(DeviceSharingRequested{OwnerUserID: bobID, RequestingUserID: aliceID}, DeviceSharingDenied{SharingID: s.id(PrefixSharing), Reason: ReasonShareLessSecure})
	// It is less secure too when the owner has the better device.
	both := given(t, alice, sms, as(bobID, registered(RoleHolder, "DE"), sms, printedCard, dscPlus(cardID)))
	both.and(request(bobID, KindSCC)).then(DeviceSharingRequested{}, DeviceSharingDenied{Reason: ReasonShareLessSecure})
	// A printed card has no unit that two users could answer with.
	alone := given(t, alice, sms, as(bobID, registered(RoleHolder, "DE"), sms, printedCard), request(bobID, KindSCC))
	alone.then(DeviceSharingRequested{}, DeviceSharingDenied{Reason: ReasonDeviceNotActive})
}

func TestS18PersonsMustBeTheSameOrOfTheSameClient(t *testing.T) {
	t.Parallel()
	stranger := func(s *story) {
		s.when(RegisterUser{UserID: s.who, ClientID: otherID, Role: RoleOwner, Residence: "DE"})
		s.and(sms)
	}
	identical := func(c *RequestDeviceSharing) { c.IdentityMatch, c.EvidenceRef = true, "kyc-1" }
	ask := func(change ...func(*RequestDeviceSharing)) *story {
		return given(t, alice, sms, dscPlus(cardID), foreignClient("IE"), as(bobID, stranger, request(aliceID, KindDSCPlus, change...)))
	}
	ask().then(DeviceSharingRequested{}, DeviceSharingDenied{Reason: ReasonShareIdentity})
	ask(identical).then(DeviceSharingRequested{IdentityMatch: true, EvidenceRef: "kyc-1"}, ChallengeIssued{})
}

func TestS18TemporaryAuthenticatorsStandInTheWay(t *testing.T) {
	t.Parallel()
	s := sharing(t, dscPlus(otherCardID), func(s *story) { s.and(passcodeFor(kindOf(s, KindDSCPlus).ID), onlineCard) })
	s.and(as(bobID, request(aliceID, KindDSCPlus))).then(DeviceSharingRequested{}, DeviceSharingDenied{Reason: ReasonShareTemporary})
	owner := given(t, alice, ibKey, dscPlus(cardID), as(bobID, registered(RoleHolder, "DE"), sms))
	owner.and(passcodeFor(kindOf(owner, KindIBKey).ID)).and(as(bobID, request(aliceID, KindDSCPlus)))
	owner.then(DeviceSharingRequested{}, DeviceSharingDenied{Reason: ReasonShareTemporary})
}

func TestS18IBKeyIsNotShared(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, as(bobID, registered(RoleHolder, "DE"), sms, request(aliceID, KindIBKey)))
	s.then(DeviceSharingRequested{}, DeviceSharingDenied{Reason: ReasonShareIBKey})
}

func TestS18LostReportSuspendsBothAuthenticators(t *testing.T) {
	t.Parallel()
	s := sharing(t, request(aliceID, KindDSCPlus), answered)
	hers, his := kindOf(s, KindDSCPlus).ID, theirs(s, bobID, KindDSCPlus)
	s.when(ReportLost{AuthenticatorID: hers, By: "client"}).then(AuthenticatorReportedLost{}, AuthenticatorSuspended{AuthenticatorID: hers, Reason: "reported_lost"})
	// What the reaction does to every other authenticator of the unit.
	s.when(SuspendAuthenticator{AuthenticatorID: his, Reason: "reported_lost"}).then(AuthenticatorSuspended{AuthenticatorID: his, Reason: "reported_lost"})
	s.when(SuspendAuthenticator{AuthenticatorID: his, Reason: "reported_lost"}).thenNothing()
	s.and(as(bobID, login(TWS))).then(AuthenticationStarted{}, PrimaryFactorVerified{}, ChallengeRefused{Reason: ReasonNotActive}, EnrollmentRequired{})
}

func TestS18RevokingOneLeavesTheOther(t *testing.T) {
	t.Parallel()
	s := sharing(t, request(aliceID, KindDSCPlus), answered)
	s.and(as(bobID, func(s *story) {
		card := kindOf(s, KindDSCPlus)
		s.when(RevokeAuthenticator{AuthenticatorID: card.ID, Reason: "client_request"}).then(
			AuthenticatorRevoked{AuthenticatorID: card.ID}, DeviceSharingEnded{SharingID: card.SharingID, AuthenticatorID: card.ID}, AuthenticatorEnrolled{Kind: KindSMS},
		)
		if sh, _ := s.user().Sharing(card.SharingID); sh.Status != "ended" {
			t.Errorf("the sharing is %s, want ended", sh.Status)
		}
	}))
	s.and(login(TWS), answered).then(ResponseVerified{}, AuthenticationSucceeded{})
}

func TestS18ComplianceDecidesWhereTheyBelongToDifferentClients(t *testing.T) {
	t.Parallel()
	stranger := func(s *story) {
		s.when(RegisterUser{UserID: s.who, ClientID: otherID, Role: RoleOwner, Residence: "DE"})
		s.and(sms)
	}
	pending := func(t *testing.T) *story {
		s := given(t, alice, sms, dscPlus(cardID), foreignClient("IE"), parameter(pSharingReview, 1))
		s.and(as(bobID, stranger, request(aliceID, KindDSCPlus, func(c *RequestDeviceSharing) { c.IdentityMatch = true }), answered))
		return s.then(ResponseVerified{}, DeviceSharingPending{Reason: "compliance_review"})
	}
	decide := func(s *story, grant bool) *story {
		var id string
		s.and(as(bobID, func(s *story) { id = s.id(PrefixSharing) }))
		return s.when(DecideDeviceSharing{SharingID: id, Grant: grant})
	}
	s := pending(t)
	decide(s.after(72*time.Hour), true).then(DeviceSharingGranted{}, AuthenticatorEnrolled{Trigger: "sharing", NextCounter: 1}, AuthenticatorRevoked{Reason: "superseded_by_stronger"})
	decide(s, false).thenNothing()
	decide(pending(t), false).then(DeviceSharingDenied{Reason: ReasonComplianceDenied})

	lost := pending(t)
	lost.when(ReportLost{AuthenticatorID: kindOf(lost, KindDSCPlus).ID, By: "client"})
	decide(lost, true).then(DeviceSharingDenied{Reason: ReasonDeviceNotActive})
	back := pending(t).when(RecordDeviceReturned{DeviceID: cardID, ReceivedOn: "2024-03-05", Condition: "ok"})
	decide(back, true).then(DeviceSharingDenied{Reason: ReasonDeviceNotActive})
	bridged := pending(t).and(as(bobID, dscPlus(otherCardID), func(s *story) { s.and(passcodeFor(kindOf(s, KindDSCPlus).ID)) }))
	decide(bridged, true).then(DeviceSharingDenied{Reason: ReasonShareTemporary})
	s.when(DecideDeviceSharing{SharingID: s.user().ref(PrefixSharing, 900)}).thenError(Unknown)
}

func TestS18SameClientNeedsNoReview(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms, dscPlus(cardID), parameter(pSharingReview, 1), as(bobID, registered(RoleHolder, "DE"), sms, request(aliceID, KindDSCPlus), answered))
	must[DeviceSharingGranted](s)
}

func TestS18WhatElseARequestNeeds(t *testing.T) {
	t.Parallel()
	s := sharing(t)
	hers := kindOf(s, KindDSCPlus).ID
	s.when(RequestDeviceSharing{UserID: aliceID, AuthenticatorID: hers}).thenError(Unknown)
	s.when(RequestDeviceSharing{UserID: bobID, AuthenticatorID: s.user().ref(PrefixAuthenticator, 900)}).thenError(Unknown)
	s.when(RequestDeviceSharing{UserID: bobID, AuthenticatorID: hers}).then(DeviceSharingRequested{}, DeviceSharingDenied{Reason: ReasonPrimaryRequired})
	s.and(as(bobID, lockedOut))
	s.when(RequestDeviceSharing{UserID: bobID, AuthenticatorID: hers}).then(DeviceSharingRequested{}, DeviceSharingDenied{Reason: ReasonUserLocked})

	stepUp := sharing(t, printedCard).and(as(bobID, password(PurposeDeviceSharing, ClientPortal), func(s *story) {
		s.when(RequestDeviceSharing{UserID: bobID, AuthenticatorID: hers, TxnID: s.id(PrefixTransaction)})
	}))
	stepUp.then(DeviceSharingRequested{}, DeviceSharingDenied{Reason: ReasonStepUpRequired})
	twice := sharing(t, request(aliceID, KindDSCPlus), answered, request(aliceID, KindDSCPlus))
	twice.then(DeviceSharingRequested{}, DeviceSharingDenied{Reason: ReasonAlreadyEnrolled})
	suspended := sharing(t)
	suspended.when(ReportLost{AuthenticatorID: hers, By: "client"}).and(as(bobID, request(aliceID, KindDSCPlus)))
	suspended.then(DeviceSharingRequested{}, DeviceSharingDenied{Reason: ReasonDeviceNotActive})
}

func TestS18TwoRequestsUnderWayBindTheUnitOnce(t *testing.T) {
	t.Parallel()
	s := sharing(t, request(aliceID, KindDSCPlus))
	var first string
	s.and(as(bobID, func(s *story) { first = s.id(PrefixChallenge) }, request(aliceID, KindDSCPlus), answered))
	must[DeviceSharingGranted](s)
	s.when(SubmitResponse{ChallengeID: first}, response(20)).then(ResponseVerified{}, DeviceSharingDenied{Reason: ReasonAlreadyEnrolled})
}

func TestS18CardLostBetweenQuestionAndAnswerIsNotShared(t *testing.T) {
	t.Parallel()
	s := sharing(t, request(aliceID, KindDSCPlus))
	s.when(ReportLost{AuthenticatorID: kindOf(s, KindDSCPlus).ID, By: "client"})
	s.and(as(bobID, func(s *story) { s.when(answerTo(s), response(12)) }))
	s.then(ResponseVerified{}, DeviceSharingDenied{Reason: ReasonDeviceNotActive})
}

func TestS18UnitKnowsWhoAskedAndWhoAnswersWithIt(t *testing.T) {
	t.Parallel()
	s := given(t, unit(cardID))
	s.when(NoteSharingRequested{DeviceID: cardID, SharingID: "shr", OwnerUserID: aliceID, RequestingUserID: bobID}).then(
		DeviceSharingRequested{SharingID: "shr", DeviceID: cardID, OwnerUserID: aliceID, RequestingUserID: bobID},
	)
	bind := BindToDevice{DeviceID: cardID, UserID: aliceID, AuthenticatorID: "a"}
	s.when(bind).then(AuthenticatorBound{UserID: aliceID, AuthenticatorID: "a"})
	s.when(bind).thenNothing()
	s.when(BindToDevice{DeviceID: cardID, UserID: bobID, AuthenticatorID: "b"}).then(AuthenticatorBound{UserID: bobID})
	s.when(UnbindFromDevice{DeviceID: cardID, UserID: aliceID, AuthenticatorID: "a"}).then(AuthenticatorUnbound{AuthenticatorID: "a"})
	s.when(UnbindFromDevice{DeviceID: cardID, UserID: aliceID, AuthenticatorID: "a"}).thenNothing()
	if v := s.states[DeviceStream(cardID)].(*Device); len(v.Bindings) != 1 || v.Bindings[0].UserID != bobID {
		t.Errorf("bound are %+v, want Bob alone", v.Bindings)
	}
}
