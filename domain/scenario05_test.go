package domain

import (
	"testing"
	"time"
)

// S-5: a second user on the same phone (R-6, R-10, R-11, K-20, D-52).

// bob is another holder of the same client, with a phone of his own.
func bob(s *story) {
	s.t.Helper()
	s.and(registered(RoleHolder, "DE"), verifiedPhone)
}

// addUser starts to add the user to an app, in a transaction begun with the
// user's own password.
func addUser(installationID string) step {
	return func(s *story) {
		s.t.Helper()
		s.and(password(PurposeActivation, ClientPortal))
		s.when(addTo(s, installationID))
	}
}

func addTo(s *story, installationID string) StartEnrollment {
	return StartEnrollment{UserID: s.who, Kind: KindIBKey, Flow: "add_user", InstallationID: installationID, TxnID: s.id(PrefixTransaction)}
}

func TestS5SecondUserIsAddedWithTheirOwnPasswordCodeAndLocalCheck(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey)
	hers := s.user().Bound()
	s.and(as(bobID, bob, addUser(iphoneID), func(s *story) {
		s.then(
			EnrollmentStarted{Flow: "add_user", InstallationID: iphoneID, PhoneID: s.id(PrefixPhone), OS: IOS},
			ActivationCodeIssued{CodeLen: 8}, SMSRequested{PhoneID: s.id(PrefixPhone), Purpose: PurposeActivation},
		)
		s.when(SubmitActivationCode{EnrollmentID: s.id(PrefixEnrollment)}, code(1)).then(ActivationCodeAccepted{})
		s.when(CompleteEnrollment{EnrollmentID: s.id(PrefixEnrollment), UV: UVTouchID}).then(
			UserVerificationPerformed{UV: UVTouchID, InstallationID: iphoneID},
			AuthenticatorEnrolled{Kind: KindIBKey, InstallationID: iphoneID, ActivationPhoneID: s.id(PrefixPhone), Trigger: "user"},
		)
	}))
	if now := s.user().Bound(); len(now) != 1 || now[0] != hers[0] {
		t.Errorf("Alice's authenticators are %+v, want them unchanged: %+v", now, hers)
	}
	s.and(as(bobID, login(TWS), func(s *story) {
		s.when(decisionOn(s, iphoneID), approved(UVTouchID)).then(ResponseVerified{}, AuthenticationSucceeded{})
	}))
}

func TestS5WithoutTheAddedUsersPasswordNobodyIsAdded(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, password(PurposeActivation, ClientPortal))
	alices := s.id(PrefixTransaction)
	s.and(as(bobID, bob, func(s *story) {
		add := StartEnrollment{UserID: bobID, Kind: KindIBKey, Flow: "add_user", InstallationID: iphoneID}
		s.when(add).then(EnrollmentRefused{Flow: "add_user", Reason: ReasonPrimaryRequired})
		add.TxnID = alices
		s.when(add).then(EnrollmentRefused{Reason: ReasonPrimaryRequired})
		s.and(wrongPassword).when(addTo(s, iphoneID)).then(EnrollmentRefused{Reason: ReasonPrimaryRequired})
	}))
}

func TestS5AddingNeedsAnAppOnWhichIBKeyIsActive(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, installation(pixelID, Android))
	s.and(as(bobID, bob, addUser(pixelID))).then(EnrollmentRefused{Flow: "add_user", InstallationID: pixelID, Reason: ReasonIBKeyNotHere})
	// A suspended IB Key is not active either.
	s.when(ReportLost{AuthenticatorID: s.id(PrefixAuthenticator), By: "client"})
	s.and(as(bobID, addUser(iphoneID))).then(EnrollmentRefused{Reason: ReasonIBKeyNotHere})
	s.and(as(bobID, later(2*time.Minute), enrollment(iphoneID))) // it can still be activated there
}

func TestS5UserActiveOnAnotherHandsetMigratesInstead(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey)
	s.and(as(bobID, bob, ibKeyOn(pixelID, Android, UVAppPIN), addUser(iphoneID))).then(EnrollmentRefused{Reason: ReasonIBKeyElsewhere})
	s.and(as(bobID, addUser(pixelID))).then(EnrollmentRefused{Reason: ReasonAlreadyEnrolled})
}

func TestS5AndroidAsksForThePINTheAppHasAlready(t *testing.T) {
	t.Parallel()
	s := given(t, alice, verifiedPhone, ibKeyOn(pixelID, Android, UVFingerprint))
	s.and(as(bobID, bob, addUser(pixelID), func(s *story) {
		s.when(SubmitActivationCode{EnrollmentID: s.id(PrefixEnrollment)}, code(1)).then(ActivationCodeAccepted{})
		s.when(CompleteEnrollment{EnrollmentID: s.id(PrefixEnrollment), UV: UVAppPIN}).then(
			UserVerificationPerformed{UV: UVAppPIN, PINPolicyVersion: 1}, AuthenticatorEnrolled{OS: Android},
		)
	}))
	pins := 0
	for _, r := range s.logs[InstallationStream(pixelID)] {
		if _, ok := r.Event.(AppPINSet); ok {
			pins++
		}
	}
	if pins != 1 {
		t.Errorf("the PIN was set %d times, want once, for the first user", pins)
	}
}

func TestS5FlowIsOneOfTwo(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey)
	s.and(as(bobID, bob, password(PurposeActivation, ClientPortal), func(s *story) {
		other := addTo(s, iphoneID)
		other.Flow = "qr"
		s.when(other).thenError(Invalid)
		other.Flow = ""
		s.when(other).then(EnrollmentStarted{Flow: "activate"}, ActivationCodeIssued{}, SMSRequested{})
	}))
}

func TestS5RemovedUserLeavesTheOthersOnThePhone(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey)
	s.and(as(bobID, bob, addUser(iphoneID), func(s *story) {
		s.when(SubmitActivationCode{EnrollmentID: s.id(PrefixEnrollment)}, code(1))
		s.when(CompleteEnrollment{EnrollmentID: s.id(PrefixEnrollment), UV: UVFaceID})
		key := s.id(PrefixAuthenticator)
		s.when(RemoveUserFromInstallation{UserID: bobID, InstallationID: iphoneID}).then(
			AuthenticatorRevoked{AuthenticatorID: key, Reason: "client_request", SuccessorID: s.id(PrefixAuthenticator)}, AuthenticatorEnrolled{Kind: KindSMS},
		)
		s.when(RemoveUserFromInstallation{UserID: bobID, InstallationID: iphoneID}).thenError(Unknown)
	}))
	s.and(login(TWS)).when(decisionOn(s, iphoneID), approved(UVFaceID)).then(ResponseVerified{}, AuthenticationSucceeded{})
}
