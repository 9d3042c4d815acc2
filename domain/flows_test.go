package domain

import (
	"strings"
	"testing"
	"time"
)

// Phones, registration and closure, as far as no scenario tells them.

func TestPhonesThatCannotReceiveMessagesAreRefused(t *testing.T) {
	t.Parallel()
	for kind, refused := range map[Line]bool{LineFixed: true, LineVoIP: true, LineMobile: false, LineUnknown: false} {
		s := given(t, alice, line(kind))
		s.when(StartPhoneVerification{PhoneID: s.id(PrefixPhone)})
		if refused {
			s.then(SMSRequestRefused{Reason: ReasonPhoneNotMobile})
		} else {
			s.then(PhoneVerificationStarted{}, ConfirmCodeIssued{}, SMSRequested{})
		}
	}
}

func TestReplacedPhoneHandsSMSToTheNewVerifiedOne(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms)
	old, was := s.id(PrefixPhone), s.id(PrefixAuthenticator)
	s.and(phone)
	s.when(ReplacePhone{OldPhoneID: old, NewPhoneID: s.id(PrefixPhone)}).thenError(ReasonPhoneUnverified)
	s.when(ReplacePhone{OldPhoneID: old, NewPhoneID: old}).thenError(Invalid)
	s.and(later(time.Minute), verification).when(ConfirmPhone{VerificationID: s.id(PrefixVerification)}, code(1)).then(PhoneNumberVerified{})
	next := s.id(PrefixPhone)
	s.when(ReplacePhone{OldPhoneID: old, NewPhoneID: next}).then(
		PhoneNumberReplaced{OldPhoneID: old, NewPhoneID: next},
		AuthenticatorRevoked{AuthenticatorID: was, Reason: "phone_replaced", SuccessorID: s.id(PrefixAuthenticator)},
		AuthenticatorEnrolled{AuthenticatorID: s.id(PrefixAuthenticator), Kind: KindSMS, PhoneID: next, Restricted: true},
	)
	s.when(StartPhoneVerification{PhoneID: old}).thenError(Invalid)
	s.when(StartPhoneVerification{PhoneID: next}).thenError(Exists)
	s.when(RemovePhone{PhoneID: old}).thenError(Invalid)
}

func TestReplacedPhoneLeavesIBKeyAlone(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, later(time.Hour))
	old := s.id(PrefixPhone)
	s.and(verifiedPhone).when(ReplacePhone{OldPhoneID: old, NewPhoneID: s.id(PrefixPhone)}).then(PhoneNumberReplaced{})
	if a := s.user().Bound()[0]; a.ActivationID != old {
		t.Errorf("activation phone %s, want %s kept for migration (D-53)", a.ActivationID, old)
	}
}

func TestPhoneOfTheLastAuthenticatorCannotBeRemoved(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms)
	s.when(RemovePhone{PhoneID: s.id(PrefixPhone), Reason: "client_request"}).then(
		RevocationRefused{AuthenticatorID: s.id(PrefixAuthenticator), Reason: ReasonLastAuth},
	)
}

func TestRemovedPhoneHandsSMSToAnotherVerifiedOne(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms)
	first, was := s.id(PrefixPhone), s.id(PrefixAuthenticator)
	s.and(later(time.Minute), verifiedPhone)
	second := s.id(PrefixPhone)
	s.when(RemovePhone{PhoneID: first, Reason: "client_request"}).then(
		PhoneNumberRemoved{PhoneID: first, Reason: "client_request"},
		AuthenticatorRevoked{AuthenticatorID: was, SuccessorID: s.id(PrefixAuthenticator)},
		AuthenticatorEnrolled{Kind: KindSMS, PhoneID: second, Trigger: "auto_sms"},
	)
}

func TestVerificationOfARetiredPhoneEnds(t *testing.T) {
	t.Parallel()
	s := given(t, alice, phone, verification)
	s.when(RemovePhone{PhoneID: s.id(PrefixPhone), Reason: "client_request"}).then(PhoneNumberRemoved{})
	s.when(ConfirmPhone{VerificationID: s.id(PrefixVerification)}, code(1)).thenError(Invalid)
	s.when(ResendConfirmCode{VerificationID: s.id(PrefixVerification)}).thenError(Invalid)
}

func TestUserHasAtMostFiftyPhones(t *testing.T) {
	t.Parallel()
	s := given(t, alice)
	for range 50 {
		s.and(phone)
	}
	s.when(AddPhone{UserID: aliceID, CC: "DE", Number: Clear("+49"), Line: LineMobile}).thenError(Invalid)
}

func TestRegisteringTwiceChangesNothingAndOtherContentIsRefused(t *testing.T) {
	t.Parallel()
	s := given(t, alice, installation(iphoneID, IOS))
	user := RegisterUser{UserID: aliceID, ClientID: clientID, Role: RoleOwner, Username: Clear("alice"), Locale: "en", Residence: "DE"}
	s.when(user).thenNothing()
	for _, other := range []func(*RegisterUser){
		func(c *RegisterUser) { c.ClientID = otherID },
		func(c *RegisterUser) { c.Role = RoleHolder },
		func(c *RegisterUser) { c.Residence = "HK" },
	} {
		changed := user
		other(&changed)
		s.when(changed).thenError(Exists)
	}
	account := RegisterClient{ClientID: clientID, Kind: Individual, CarryingEntity: "entity-IE", CarryingCC: "IE"}
	s.when(account).thenNothing()
	account.CarryingCC = "HK"
	s.when(account).thenError(Exists)
	app := RegisterInstallation{InstallationID: iphoneID, App: AppIBKRMobile, OS: IOS, HandsetID: "handset-" + iphoneID, PublicKey: "key-" + iphoneID}
	s.when(app).thenNothing()
	app.PublicKey = "another"
	s.when(app).thenError(Exists)
}

func TestRegistrationDayIsTheDefaultForTheResidence(t *testing.T) {
	t.Parallel()
	s := given(t, client(Individual, "IE", ""))
	s.when(RegisterUser{UserID: aliceID, ClientID: clientID, Role: RoleOwner, Residence: "DE"})
	s.then(UserRegistered{}, ResidenceChanged{To: "DE", EffectiveOn: "2024-03-01"})
}

func TestFactsAreCheckedForTheirForm(t *testing.T) {
	t.Parallel()
	s := given(t, alice)
	for _, c := range []Command{
		RegisterUser{UserID: bobID, ClientID: "acme"},
		RegisterUser{UserID: bobID, ClientID: clientID, Residence: "Germany"},
		RecordResidence{UserID: aliceID, To: "de", EffectiveOn: "2024-03-01"},
		RecordResidence{UserID: aliceID, To: "DE", EffectiveOn: "1.3.2024"},
		RecordResidence{UserID: aliceID, To: "DE", EffectiveOn: "2024-02-30"},
		RecordResidence{UserID: aliceID, To: "DE", EffectiveOn: "0001-01-01"},
		GrantAccountAccess{UserID: aliceID, ClientID: otherID, EffectiveOn: "soon"},
		AddPhone{UserID: aliceID, CC: "+49"},
		RegisterClient{ClientID: otherID, CarryingCC: "Ireland"},
		RegisterClient{ClientID: otherID, CarryingCC: "IE", Domicile: "x"},
		AssignCarryingEntity{ClientID: clientID, CarryingCC: "HK", EffectiveOn: ""},
		AddHolder{ClientID: clientID, Residence: "", EffectiveOn: "2024-01-01"},
		RemoveHolder{ClientID: clientID, EffectiveOn: ""},
		StartAuthentication{UserID: aliceID, Platform: "fax", Purpose: PurposeLogin},
		StartAuthentication{UserID: aliceID, Platform: TWS, Purpose: PurposePhoneVerification},
	} {
		s.when(c).thenError(Invalid)
	}
}

func TestWhatDoesNotExistIsUnknown(t *testing.T) {
	t.Parallel()
	none := func(prefix string) string { return prefix + "_" + ownKey + "_999" }
	s := given(t, alice)
	for _, c := range []Command{
		RecordResidence{UserID: bobID, To: "DE", EffectiveOn: "2024-03-01"},
		AddHolder{ClientID: otherID, PersonRef: "p", Residence: "DE", EffectiveOn: "2024-01-01"},
		RemoveHolder{ClientID: clientID, PersonRef: "p", EffectiveOn: "2024-01-01"},
		AttestPIN{InstallationID: pixelID, PINPolicyVersion: 1},
		StartPhoneVerification{PhoneID: none(PrefixPhone)},
		ResendConfirmCode{VerificationID: none(PrefixVerification)},
		ConfirmPhone{VerificationID: none(PrefixVerification)},
		ReplacePhone{OldPhoneID: none(PrefixPhone)},
		RemovePhone{PhoneID: none(PrefixPhone)},
		RecordSMSDispatch{SMSID: none(PrefixSMS)},
		RecordSMSUncertain{SMSID: none(PrefixSMS)},
		RecordSMSSent{SMSID: none(PrefixSMS)},
		RecordSMSDelivered{SMSID: none(PrefixSMS)},
		RecordSMSDeliveryFailed{SMSID: none(PrefixSMS)},
		RecordSMSSendFailed{SMSID: none(PrefixSMS)},
		EvaluateAutoSMS{UserID: aliceID, PhoneID: none(PrefixPhone)},
		ResendActivationCode{EnrollmentID: none(PrefixEnrollment)},
		SubmitActivationCode{EnrollmentID: none(PrefixEnrollment)},
		CompleteEnrollment{EnrollmentID: none(PrefixEnrollment)},
		AbandonEnrollment{EnrollmentID: none(PrefixEnrollment)},
		IssueChallenge{TxnID: none(PrefixTransaction)},
		RequestFallback{ChallengeID: none(PrefixChallenge)},
		ResendLoginCode{ChallengeID: none(PrefixChallenge)},
		CancelChallenge{ChallengeID: none(PrefixChallenge)},
		SubmitResponse{ChallengeID: none(PrefixChallenge)},
		DecidePush{ChallengeID: none(PrefixChallenge)},
		RecordPushSent{ChallengeID: none(PrefixChallenge)},
		RecordPushFailed{ChallengeID: none(PrefixChallenge)},
		RecordPushOpened{ChallengeID: none(PrefixChallenge)},
	} {
		s.when(c).thenError(Unknown)
	}
}

func TestNothingButNoticesFollowsTheClosureOfAUser(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, login(ClientPortal))
	key, challenge, message := s.id(PrefixAuthenticator), s.id(PrefixChallenge), s.id(PrefixSMS)
	s.when(CloseUser{UserID: aliceID, Reason: "account_closed"}).then(
		ChallengeCancelled{ChallengeID: challenge, Reason: "txn_ended"}, AuthenticationAbandoned{}, AuthenticationAbandoned{},
		AuthenticatorRevoked{AuthenticatorID: key, Reason: "user_closed"}, UserClosed{Reason: "account_closed"},
	)
	s.and(login(ClientPortal)).then(AuthenticationRefused{Reason: ReasonUserClosed})
	s.when(DecidePush{ChallengeID: challenge}, approved(UVFaceID)).thenError(ReasonUserClosed)
	s.when(optOut()).thenError(ReasonUserClosed)
	s.when(RecordSMSDispatch{SMSID: message}).thenError(ReasonUserClosed)
	for _, late := range []Command{
		CloseUser{UserID: aliceID}, EvaluateAutoSMS{UserID: aliceID}, ReevaluateRegime{UserID: aliceID}, RecordSMSSent{SMSID: message},
		RecordSMSDelivered{SMSID: message}, RecordSMSSendFailed{SMSID: message}, RecordPushOpened{ChallengeID: challenge},
	} {
		s.when(late).thenNothing()
	}
	s.when(RecordNotification{UserID: aliceID, Topic: "closed", Channel: "email"}).then(SecurityNotificationSent{})
}

func TestClosureEndsEverythingThatIsUnderWay(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms, dscPlus(cardID), unit(otherCardID), sent(otherCardID), as(bobID, registered(RoleHolder, "DE"), sms, dscPlus(thirdCardID)))
	s.and(installation(iphoneID, IOS), installation(pixelID, Android), steppedUp(PurposeActivation), later(time.Minute))
	s.when(StartEnrollment{UserID: aliceID, Kind: KindIBKey, InstallationID: iphoneID, TxnID: s.id(PrefixTransaction)})
	s.when(SubmitActivationCode{EnrollmentID: s.id(PrefixEnrollment)}, code(1)).when(CompleteEnrollment{EnrollmentID: s.id(PrefixEnrollment), UV: UVFaceID})
	s.and(passcodeFor(kindOf(s, KindDSCPlus).ID), login(ClientPortal))
	s.when(IssueChallenge{TxnID: s.id(PrefixTransaction), AuthenticatorID: kindOf(s, KindTempCode).ID}).and(answered)
	s.when(IssueCodeCard{UserID: aliceID, Kind: KindOSCC, TxnID: s.id(PrefixTransaction)}).when(ActivateCodeCard{AuthenticatorID: s.id(PrefixAuthenticator)})
	s.and(migration(pixelID), recovery(iphoneID, "os_upgraded", handedOver), steppedUp(PurposeActivation))
	s.when(StartEnrollment{UserID: aliceID, Kind: KindDSCPlus, DeviceID: otherCardID, TxnID: s.id(PrefixTransaction)})
	s.when(optOut()).and(login(TWS))
	if p := s.user().Snapshot(s.now, s.policy).Processes; len(p) < 4 {
		t.Fatalf("under way are only %+v", p)
	}
	s.when(CloseUser{UserID: aliceID, Reason: "account_closed"}) // the audit looks for what is left
	must[UserClosed](s)
	for _, e := range []Event{MigrationCancelled{}, RecoveryCancelled{}, EnrollmentAbandoned{}, ChallengeCancelled{}, AuthenticationAbandoned{}, AuthenticatorRevoked{}} {
		if !strings.Contains(names(s.got), strings.TrimSuffix(strings.TrimPrefix(names([]Event{e}), "["), "]")) {
			t.Errorf("closed by %s, want %s among them", names(s.got), names([]Event{e}))
		}
	}
	end := s.user().Snapshot(s.now, s.policy)
	if len(end.Processes) != 0 || len(end.Transactions) != 0 || len(end.Authenticators) != 0 || end.OptedOut {
		t.Errorf("left are %+v", end)
	}
	s.when(AutoActivateDevice{UserID: aliceID, DeviceID: otherCardID}).thenNothing()
	s.when(RevokeAuthenticator{AuthenticatorID: s.id(PrefixAuthenticator), Reason: "returned"}).thenNothing()
	s.when(completeMigration(s)).thenError(ReasonUserClosed)
}

func TestClosureDeniesASharingThatWaits(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms, as(bobID, registered(RoleHolder, "DE"), sms, dscPlus(otherCardID)), request(bobID, KindDSCPlus))
	s.when(CloseUser{UserID: aliceID, Reason: "r"}).then(
		ChallengeCancelled{Reason: "txn_ended"}, AuthenticationAbandoned{}, DeviceSharingDenied{Reason: ReasonUserClosed}, AuthenticatorRevoked{}, UserClosed{},
	)
}

func TestAuditorsReadsAreRecorded(t *testing.T) {
	t.Parallel()
	given(t).when(RecordAuditQuery{Month: "2024-03", AuditorRef: "aud", Operation: "listEvents", QueryDigest: "d", Purpose: "p", Rows: 7}).then(
		AuditQueryPerformed{AuditorRef: "aud", Operation: "listEvents", QueryDigest: "d", Purpose: "p", Rows: 7},
	)
}

func TestEndOfACodeKeyIsRecorded(t *testing.T) {
	t.Parallel()
	s := given(t).when(RecordCodeEpochDestroyed{Kid: "2024-03-01"}).then(CodeEpochDestroyed{Kid: "2024-03-01"})
	s.when(RecordCodeEpochDestroyed{}).thenError(Invalid)
}

func TestCommandSentToAStreamOfAnotherKindIsAnError(t *testing.T) {
	t.Parallel()
	p := given(t, alice).policy
	for _, state := range []State{NewState("client-" + ownKey), NewState("installation-" + ownKey), NewState("user-" + ownKey), NewState("audit-2024-03")} {
		for _, c := range []Command{
			RecordAuditQuery{}, SetSeamless{UserID: aliceID}, AttestPIN{InstallationID: iphoneID}, AddHolder{ClientID: clientID},
		} {
			events, err := Decide(state, c, Facts{}, time.Now(), p)
			_, isAudit := state.(*Audit)
			if err == nil && !(isAudit && c.Name() == "RecordAuditQuery") || len(events) > 1 {
				t.Errorf("%s on %T: events %v and no error", c.Name(), state, names(events))
			}
		}
	}
	if s := NewState("case-1"); s != nil {
		t.Errorf("state %T for a stream this package does not know", s)
	}
}
