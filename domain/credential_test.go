package domain

import (
	"testing"
	"time"
)

// How a temporary credential reaches its user (R-7, domain.md 6.6).

// inApp asks for the passcode to wait in the user's app.
func inApp(s *story) DeliverTemporaryCredential {
	return DeliverTemporaryCredential{UserID: s.who, AuthenticatorID: kindOf(s, KindTempCode).ID, What: "temp_code", Channel: "in_app"}
}

// keyAndPasscode is Alice who lost her card, has IB Key, and got a passcode.
func keyAndPasscode(s *story) {
	s.t.Helper()
	s.and(twoDevices, func(s *story) { s.and(passcodeFor(kindOf(s, KindDSCPlus).ID)) })
}

func collect(s *story) CollectTemporaryCredential {
	return CollectTemporaryCredential{DeliveryID: s.id(PrefixDelivery), InstallationID: iphoneID}
}

// signed is a request that the installation's key signed.
func signed(f *Facts) { f.Push.Authentic = true }

func TestPasscodeWaitsInTheAppForADayAndIsShownOnce(t *testing.T) {
	t.Parallel()
	s := given(t, keyAndPasscode)
	passcode, ends := kindOf(s, KindTempCode).ID, s.now.Add(24*time.Hour)
	s.when(inApp(s)).then(TemporaryCredentialDelivered{AuthenticatorID: passcode, What: "temp_code", Channel: "in_app", InstallationID: iphoneID, ExpiresAt: &ends})
	if w := s.user().Credentials(iphoneID, s.now); len(w) != 1 || w[0].ID != s.id(PrefixDelivery) {
		t.Errorf("waiting are %+v, want the passcode", w)
	}
	if w := s.user().Credentials(pixelID, s.now); len(w) != 0 {
		t.Errorf("waiting elsewhere are %+v, want none", w)
	}
	s.when(collect(s)).thenError(ReasonSignatureInvalid)
	s.when(CollectTemporaryCredential{DeliveryID: s.id(PrefixDelivery), InstallationID: pixelID}, signed).thenError(Unknown)
	s.when(collect(s), signed).then(TemporaryCredentialCollected{DeliveryID: s.id(PrefixDelivery), InstallationID: iphoneID})
	s.when(collect(s), signed).thenError(ReasonProcessClosed)
	if w := s.user().Credentials(iphoneID, s.now); len(w) != 0 {
		t.Errorf("still waiting are %+v", w)
	}
}

func TestCredentialIsCollectedWithinADay(t *testing.T) {
	t.Parallel()
	for wait, good := range map[time.Duration]bool{24*time.Hour - time.Millisecond: true, 24 * time.Hour: false} {
		s := given(t, keyAndPasscode)
		s.when(inApp(s)).after(wait).when(collect(s), signed)
		if has[TemporaryCredentialCollected](s) != good {
			t.Errorf("after %s: %s, %v", wait, names(s.got), s.err)
		}
	}
}

func TestMissingPhoneShowsNoPasscode(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey)
	s.and(passcodeFor(kindOf(s, KindIBKey).ID))
	s.when(inApp(s)).then(TemporaryCredentialRefused{What: "temp_code", Channel: "in_app", Reason: ReasonTempInApp})
	none := germanLostCard(t)
	none.when(inApp(none)).then(TemporaryCredentialRefused{Reason: ReasonTempInApp})
}

func TestAgentReadsAPasscodeOut(t *testing.T) {
	t.Parallel()
	s := germanLostCard(t)
	c := inApp(s)
	c.Channel = "agent_voice"
	s.when(c).then(TemporaryCredentialDelivered{Channel: "agent_voice"})
	if e := the[TemporaryCredentialDelivered](s); e.InstallationID != "" || e.ExpiresAt != nil {
		t.Errorf("read out, but it waits in %q until %v", e.InstallationID, e.ExpiresAt)
	}
	s.after(30 * time.Minute).when(c).then(TemporaryCredentialRefused{Reason: ReasonIDVRequired})
}

func TestResetPasswordReachesTheAppToo(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, identified)
	c := DeliverTemporaryCredential{UserID: aliceID, ResetRef: "reset-1", What: "reset_password", Channel: "in_app", Credential: "secret"}
	s.when(c).then(TemporaryCredentialDelivered{ResetRef: "reset-1", What: "reset_password", InstallationID: iphoneID})
	s.when(collect(s), signed).then(TemporaryCredentialCollected{})
}

func TestCredentialNamesWhatItIs(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, identified)
	for _, bad := range []DeliverTemporaryCredential{
		{What: "password", Channel: "in_app"}, {What: "temp_code", Channel: "post", AuthenticatorID: "a"},
		{What: "temp_code", Channel: "in_app"}, {What: "reset_password", Channel: "in_app"},
	} {
		bad.UserID = aliceID
		s.when(bad).thenError(Invalid)
	}
	s.when(DeliverTemporaryCredential{UserID: aliceID, AuthenticatorID: kindOf(s, KindIBKey).ID, What: "temp_code", Channel: "in_app"}).then(TemporaryCredentialRefused{Reason: ReasonNotActive})
	s.when(CollectTemporaryCredential{DeliveryID: s.user().ref(PrefixDelivery, 900), InstallationID: iphoneID}, signed).thenError(Unknown)
}

func TestPhoneLostMeanwhileDoesNotShowWhatWaitsInIt(t *testing.T) {
	t.Parallel()
	s := given(t, keyAndPasscode)
	s.when(inApp(s)).when(ReportLost{AuthenticatorID: kindOf(s, KindIBKey).ID, By: "client"})
	if w := s.user().Credentials(iphoneID, s.now); len(w) != 0 {
		t.Errorf("waiting in a lost phone are %+v", w)
	}
	s.when(collect(s), signed).thenError(ReasonProcessClosed)
}

func TestPasscodeThatEndedIsNotShownAnyMore(t *testing.T) {
	t.Parallel()
	s := given(t, keyAndPasscode)
	s.when(inApp(s)).and(identified).when(ReactivateAuthenticator{AuthenticatorID: kindOf(s, KindDSCPlus).ID, Proof: "agent"})
	must[AuthenticatorRevoked](s)
	s.when(collect(s), signed).thenError(ReasonProcessClosed)
}
