package domain

import (
	"testing"
	"time"
)

// A physical unit from the order to its return (domain.md 6.4, D-29, K-7,
// K-15 to K-17).

func TestOrderIsMeasuredByTheThresholdOfItsDay(t *testing.T) {
	t.Parallel()
	const halfMillion, million = 50_000_000, 100_000_000 // US cents
	for _, c := range []struct {
		clock  string
		equity int64
		taken  bool
		limit  int64
	}{
		{"2021-12-31T23:59:59.999Z", halfMillion, true, halfMillion},
		{"2021-12-31T23:59:59.999Z", halfMillion - 1, false, halfMillion},
		{"2022-01-01T00:00:00.000Z", halfMillion, false, million},
		{"2022-01-01T00:00:00.000Z", million - 1, false, million},
		{"2022-01-01T00:00:00.000Z", million, true, million},
	} {
		s := given(t, at("2021-12-01T09:00:00Z"), alice, sms).at(c.clock)
		s.when(RequestPhysicalDevice{UserID: aliceID, Model: ModelDSCPlus, EquityUSDMinor: c.equity, ShipTo: Clear("1 Road")})
		check := EquityCheck{Passed: c.taken, Threshold: Money{Minor: c.limit, Currency: "USD"}, RuleID: "dsc_plus.equity_threshold"}
		if c.taken {
			s.then(PhysicalDeviceRequested{RequestID: s.id(PrefixRequest), EquityCheck: check, PINChosen: true, ShipTo: Clear("1 Road")})
		} else {
			s.then(PhysicalDeviceRequestRefused{Model: ModelDSCPlus, Reason: ReasonEquity, EquityCheck: check})
		}
	}
}

func TestOrderNeedsAnEnrolledUserAndAPINOfFourDigits(t *testing.T) {
	t.Parallel()
	order := RequestPhysicalDevice{UserID: aliceID, Model: ModelDSCPlus, EquityUSDMinor: 100_000_000}
	given(t, alice).when(order).then(PhysicalDeviceRequestRefused{Reason: ReasonNotEnrolled})
	given(t, alice, sms).when(order, func(f *Facts) { f.PINConforms = false }).then(PhysicalDeviceRequestRefused{Reason: ReasonPINPolicy})
	given(t, alice, sms, lockedOut).when(order).then(PhysicalDeviceRequestRefused{Reason: ReasonUserLocked})
	order.Model = "platinum"
	given(t, alice, sms).when(order).thenError(Invalid)
}

func TestUnitIsRegisteredOnce(t *testing.T) {
	t.Parallel()
	s := given(t, unit(cardID))
	again := RegisterDevice{DeviceID: cardID, Model: ModelDSCPlus, Manufacturer: "m", Serial: cardID, Suite: cardSuite, Counter: 7}
	s.when(again).thenNothing()
	again.Suite = OCRASuiteIBKey
	s.when(again).thenError(Exists)
	s.when(RecordDeposit{DeviceID: otherCardID, Amount: Money{Minor: 1, Currency: "USD"}}).thenError(Unknown)
}

func TestShipmentFixesTheDayOfActivation(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms, unit(cardID), ordered)
	ship := RecordDeviceShipped{DeviceID: cardID, RequestID: s.id(PrefixRequest), DispatchedOn: "2024-02-20"}
	s.when(ship).then(PhysicalDeviceShipped{DeviceID: cardID, RequestID: ship.RequestID, UserID: aliceID, DispatchedOn: "2024-02-20", ActivationDueOn: "2024-03-05"})
	s.and(noted)
	s.when(ship).thenNothing()
	s.when(NoteDeviceShipped{UserID: aliceID, DeviceID: cardID, RequestID: ship.RequestID, DueOn: "2024-03-05"}).thenNothing()
	if p := s.user().Snapshot(s.now, s.policy).Processes; len(p) != 1 || p[0].Process != "device" || p[0].Step != "shipped" || p[0].DeviceID != cardID {
		t.Errorf("under way are %+v, want the shipped card", p)
	}
}

func TestWhatCannotBeShipped(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms, unit(cardID), unit(otherCardID), ordered)
	ship := RecordDeviceShipped{DeviceID: cardID, RequestID: s.id(PrefixRequest), DispatchedOn: "soon"}
	s.when(ship).thenError(Invalid)
	ship.DispatchedOn = "2024-03-01"
	nothing := ship
	nothing.RequestID = s.user().ref(PrefixRequest, 900)
	s.when(nothing).thenError(Unknown)
	s.when(ship, func(f *Facts) { f.Request.Model = "platinum" }).thenError(Invalid)
	s.when(ship)
	s.and(noted, ordered)
	s.when(RecordDeviceShipped{DeviceID: cardID, RequestID: s.id(PrefixRequest), DispatchedOn: "2024-03-01"}).thenError(Exists) // it is with Alice
	s.when(RecordDeviceShipped{DeviceID: otherCardID, RequestID: ship.RequestID, DispatchedOn: "2024-03-01"}).thenError(Exists) // that order was served
}

func TestCardIsActivatedByAResponseItMade(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms, unit(cardID), sent(cardID)).at("10:00:00.000").and(password(PurposeActivation, ClientPortal))
	sms := kindOf(s, KindSMS).ID
	s.when(StartEnrollment{UserID: aliceID, Kind: KindDSCPlus, DeviceID: cardID, TxnID: s.id(PrefixTransaction)}).then(
		EnrollmentStarted{Kind: KindDSCPlus, Flow: "activate", DeviceID: cardID},
		ChallengeIssued{
			SubjectID: s.id(PrefixEnrollment), AuthenticatorID: s.id(PrefixAuthenticator), Kind: KindDSCPlus, Mode: ModeChallengeResponse,
			ChallengeLen: 6, ResponseLen: 8, ExpiresAt: moment(t, "2024-03-01T10:05:00Z"),
		},
	)
	enrollment := s.id(PrefixEnrollment)
	s.when(SubmitActivationCode{EnrollmentID: enrollment}, code(1)).thenError(Invalid)
	s.when(ResendActivationCode{EnrollmentID: enrollment}).thenError(Invalid)
	s.when(CompleteEnrollment{EnrollmentID: enrollment, UV: UVDSCPIN}).thenError(Invalid)
	s.when(answerTo(s), wrong).then(ResponseRejected{Reason: ReasonResponseWrong, AttemptsLeft: 2, FailureCount: 1})
	s.at("10:04:59.999").when(answerTo(s), response(9)).then(
		ResponseVerified{UV: UVDSCPIN, DeviceID: cardID},
		UserVerificationPerformed{EnrollmentID: enrollment, UV: UVDSCPIN},
		AuthenticatorEnrolled{
			AuthenticatorID: s.id(PrefixAuthenticator), Kind: KindDSCPlus, DeviceID: cardID, Trigger: "user", OCRASuite: cardSuite,
			UVMethods: []UV{UVDSCPIN}, NextCounter: 9,
		},
		AuthenticatorRevoked{AuthenticatorID: sms, Reason: "superseded_by_stronger"},
	)
	s.when(StartEnrollment{UserID: aliceID, Kind: KindDSCPlus, DeviceID: cardID, TxnID: s.id(PrefixTransaction)}).then(EnrollmentRefused{Reason: ReasonStepUpRequired})
}

func TestLateAnswerToAnActivationIsAskedForAnew(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms, unit(cardID), sent(cardID), password(PurposeActivation, ClientPortal))
	start := StartEnrollment{UserID: aliceID, Kind: KindDSCPlus, DeviceID: cardID, TxnID: s.id(PrefixTransaction)}
	s.when(start).after(5*time.Minute).when(answerTo(s), response(9)).then(ResponseRejected{Reason: ReasonChallengeExpired})
	s.when(start).then(EnrollmentStarted{}, ChallengeIssued{})
	s.when(answerTo(s), response(9))
	must[AuthenticatorEnrolled](s)
}

func TestWhichCardsCannotBeActivated(t *testing.T) {
	t.Parallel()
	start := func(s *story) *story {
		return s.when(StartEnrollment{UserID: aliceID, Kind: KindDSCPlus, DeviceID: cardID, TxnID: s.id(PrefixTransaction)})
	}
	back := RecordDeviceReturned{DeviceID: cardID, ReceivedOn: "2024-03-01", Condition: "ok"}
	start(given(t, alice, sms, password(PurposeActivation, TWS))).thenError(Unknown)
	start(given(t, alice, sms, unit(cardID), password(PurposeActivation, TWS))).then(EnrollmentRefused{DeviceID: cardID, Reason: ReasonDeviceNotShipped})
	start(given(t, alice, sms, unit(cardID), sent(cardID), wrongPassword)).then(EnrollmentRefused{Reason: ReasonPrimaryRequired})
	start(given(t, alice, sms, unit(cardID), sent(cardID)).when(back).and(password(PurposeActivation, TWS))).then(EnrollmentRefused{Reason: ReasonDeviceNotActive})
	start(given(t, alice, sms, dscPlus(cardID), steppedUp(PurposeActivation))).then(EnrollmentRefused{Reason: ReasonAlreadyEnrolled})
}

func TestReturnedCardThatWentToSomebodyElseIsNotActivatedForTheFirst(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms, unit(cardID), sent(cardID), as(bobID, registered(RoleHolder, "DE"), sms))
	s.when(RecordDeviceReturned{DeviceID: cardID, ReceivedOn: "2024-03-02", Condition: "ok"}).then(DeviceReturned{DeviceID: cardID, Condition: "ok"})
	s.and(as(bobID, sent(cardID))).at("2024-03-20T00:00:00Z")
	s.when(AutoActivateDevice{UserID: aliceID, DeviceID: cardID}).thenNothing()
	s.and(password(PurposeActivation, TWS)).when(StartEnrollment{UserID: aliceID, Kind: KindDSCPlus, DeviceID: cardID, TxnID: s.id(PrefixTransaction)})
	s.then(EnrollmentRefused{Reason: ReasonDeviceNotActive})
	s.when(AutoActivateDevice{UserID: bobID, DeviceID: cardID})
	must[AuthenticatorEnrolled](s)
}

func TestCardSentAgainToTheSameUserIsActivated(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms, unit(cardID), sent(cardID))
	s.when(RecordDeviceReturned{DeviceID: cardID, ReceivedOn: "2024-03-02", Condition: "ok"})
	s.and(later(24*time.Hour), sent(cardID), password(PurposeActivation, TWS))
	s.when(StartEnrollment{UserID: aliceID, Kind: KindDSCPlus, DeviceID: cardID, TxnID: s.id(PrefixTransaction)}).then(EnrollmentStarted{}, ChallengeIssued{})
}

func TestTwoActivationsUnderWayBindTheCardOnce(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms, unit(cardID), sent(cardID))
	begin := func() string {
		s.and(password(PurposeActivation, TWS))
		s.when(StartEnrollment{UserID: aliceID, Kind: KindDSCPlus, DeviceID: cardID, TxnID: s.id(PrefixTransaction)}).then(EnrollmentStarted{}, ChallengeIssued{})
		return s.id(PrefixChallenge)
	}
	first, second := begin(), begin()
	s.when(SubmitResponse{ChallengeID: second}, response(9))
	must[AuthenticatorEnrolled](s)
	s.when(SubmitResponse{ChallengeID: first}, response(10)).then(ResponseRejected{Reason: ReasonProcessClosed})
}

func TestSecondActivationInOneTransactionTakesThePlaceOfTheFirst(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms, unit(cardID), unit(otherCardID), sent(cardID), sent(otherCardID), password(PurposeActivation, TWS))
	start := func(id string) *story {
		return s.when(StartEnrollment{UserID: aliceID, Kind: KindDSCPlus, DeviceID: id, TxnID: s.id(PrefixTransaction)})
	}
	start(cardID).then(EnrollmentStarted{}, ChallengeIssued{})
	first := s.id(PrefixChallenge)
	start(otherCardID).then(EnrollmentStarted{}, ChallengeCancelled{ChallengeID: first, Reason: "superseded"}, ChallengeIssued{})
	s.when(SubmitResponse{ChallengeID: first}, response(9)).then(ResponseRejected{Reason: ReasonChallengeOld})
	s.when(answerTo(s), response(9))
	must[AuthenticatorEnrolled](s)
}

func TestCardThatNobodyActivatesIsActiveFromTheFourteenthDay(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms, unit(cardID), sent(cardID))
	auto := AutoActivateDevice{UserID: aliceID, DeviceID: cardID}
	s.at("2024-03-14T23:59:59.999Z").when(auto).thenNothing()
	s.at("2024-03-15T00:00:00.000Z").when(auto).then(
		AuthenticatorEnrolled{Kind: KindDSCPlus, DeviceID: cardID, Trigger: "auto_14_days", NextCounter: 7, OCRASuite: cardSuite}, AuthenticatorRevoked{Reason: "superseded_by_stronger"},
	)
	s.when(auto).thenNothing()
	s.and(login(TWS))
	if c := the[ChallengeIssued](s); c.Kind != KindDSCPlus {
		t.Errorf("asked %s, want the card: it is required anyway (K-17)", c.Kind)
	}
}

func TestCardActivatedInTimeOrReturnedIsNotActivatedByItself(t *testing.T) {
	t.Parallel()
	auto := AutoActivateDevice{UserID: aliceID, DeviceID: cardID}
	given(t, alice, sms, dscPlus(cardID)).at("2024-04-01T00:00:00Z").when(auto).thenNothing()
	s := given(t, alice, sms, unit(cardID), sent(cardID))
	s.when(RecordDeviceReturned{DeviceID: cardID, ReceivedOn: "2024-03-05", Condition: "damaged"})
	s.at("2024-04-01T00:00:00Z").when(auto).thenNothing()
	given(t, alice, sms).when(auto).thenNothing()
}

func TestReturnDepositAndFeeAreFacts(t *testing.T) {
	t.Parallel()
	s := given(t, unit(cardID))
	back := RecordDeviceReturned{DeviceID: cardID, ReceivedOn: "2024-03-05", Condition: "battery"}
	s.when(back).thenNothing() // it was nowhere
	s.and(alice, sms, sent(cardID)).when(back).then(DeviceReturned{ReceivedOn: "2024-03-05", Condition: "battery"})
	s.when(back).thenNothing()
	back.Condition = "lost"
	s.when(back).thenError(Invalid)
	back.Condition, back.ReceivedOn = "ok", "yesterday"
	s.when(back).thenError(Invalid)

	twenty := Money{Minor: 2000, Currency: "USD"}
	s.when(RecordDeposit{DeviceID: cardID, Amount: twenty}).then(DeviceDepositHeld{DeviceID: cardID, Amount: twenty})
	s.when(RecordDeposit{DeviceID: cardID, Amount: twenty, Released: true}).then(DeviceDepositReleased{Amount: twenty})
	for _, reason := range []string{"lost", "stolen", "damaged", "not_returned"} {
		s.when(RecordReplacementFee{DeviceID: cardID, Amount: twenty, Reason: reason, FeeRuleID: "fee.dsc_plus"}).then(DeviceReplacementFeeCharged{Amount: twenty, Reason: reason, FeeRuleID: "fee.dsc_plus"})
	}
	s.when(RecordReplacementFee{DeviceID: cardID, Amount: twenty, Reason: "battery"}).thenError(Invalid)
	for _, bad := range []Money{{-1, "USD"}, {1, "usd"}, {1, "US"}, {1, "U$D"}, {1, ""}} {
		s.when(RecordDeposit{DeviceID: cardID, Amount: bad}).thenError(Invalid)
		s.when(RecordReplacementFee{DeviceID: cardID, Amount: bad, Reason: "lost"}).thenError(Invalid)
	}
}

func TestPINIsChangedByAResponseMadeWithTheNewOne(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms, dscPlus(cardID), password(PurposePINChange, ClientPortal))
	card := kindOf(s, KindDSCPlus).ID
	change := ChangeDevicePIN{AuthenticatorID: card, TxnID: s.id(PrefixTransaction), PIN: "4711"}
	s.when(change, func(f *Facts) { f.PINConforms = false }).then(DevicePINChangeRefused{AuthenticatorID: card, Reason: ReasonPINPolicy})
	s.when(change).then(ChallengeIssued{SubjectID: card, AuthenticatorID: card, DeviceID: cardID})
	s.when(answerTo(s), wrong).then(ResponseRejected{Reason: ReasonResponseWrong, FailureCount: 1})
	s.when(answerTo(s), response(9)).then(ResponseVerified{NextCounter: 9}, DevicePINChanged{AuthenticatorID: card, DeviceID: cardID, ChallengeID: s.id(PrefixChallenge)})
	s.when(answerTo(s), response(9)).then(ResponseRejected{Reason: ReasonChallengeUsed})
}

func TestWhenAPINStaysAsItIs(t *testing.T) {
	t.Parallel()
	change := func(s *story, k Kind) *story {
		return s.when(ChangeDevicePIN{AuthenticatorID: kindOf(s, k).ID, TxnID: s.id(PrefixTransaction)})
	}
	change(given(t, alice, sms, password(PurposePINChange, ClientPortal)), KindSMS).then(DevicePINChangeRefused{Reason: ReasonNotActive})
	change(given(t, alice, sms, dscPlus(cardID), login(ClientPortal)), KindDSCPlus).then(DevicePINChangeRefused{Reason: ReasonPrimaryRequired})
	// The PIN the answer is checked with follows from the transaction's purpose.
	change(given(t, alice, sms, dscPlus(cardID), password(PurposeActivation, ClientPortal)), KindDSCPlus).then(DevicePINChangeRefused{Reason: ReasonPrimaryRequired})
	change(given(t, alice, sms, dscPlus(cardID), password(PurposePINChange, ClientPortal), lockedOut), KindDSCPlus).then(DevicePINChangeRefused{Reason: ReasonUserLocked})
	lost := func(s *story) { s.when(ReportLost{AuthenticatorID: kindOf(s, KindDSCPlus).ID, By: "client"}) }
	change(given(t, alice, sms, dscPlus(cardID), lost, password(PurposePINChange, ClientPortal)), KindDSCPlus).then(DevicePINChangeRefused{Reason: ReasonNotActive})
	s := given(t, alice, sms, dscPlus(cardID), password(PurposePINChange, ClientPortal))
	s.when(ChangeDevicePIN{AuthenticatorID: s.user().ref(PrefixAuthenticator, 900), TxnID: s.id(PrefixTransaction)}).thenError(Unknown)
	// A card reported lost meanwhile is not brought back by the answer.
	change(s, KindDSCPlus).and(lost).when(answerTo(s), response(9)).then(ResponseRejected{Reason: ReasonProcessClosed})
}
