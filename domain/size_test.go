package domain

import (
	"reflect"
	"testing"
	"time"
)

// TestStateStaysSmallOverThousandsOfLogins: a user's state is read at every
// login, so it must not grow with the number of logins.
func TestStateStaysSmallOverThousandsOfLogins(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey)
	logins := func(n int) {
		for range n {
			s.after(7 * time.Minute).and(login(ClientPortal))
			answer := DecidePush{ChallengeID: the[ChallengeIssued](s).ChallengeID, InstallationID: iphoneID, Document: "d", Signature: "s"}
			s.when(answer, approved(UVFaceID)).then(ResponseVerified{}, AuthenticationSucceeded{})
			s.when(RecordNotification{UserID: aliceID, Topic: "login", Channel: "email"}).then(SecurityNotificationSent{})
		}
	}
	logins(200)
	before := parts(reflect.ValueOf(s.user()))
	logins(3000)
	if after := parts(reflect.ValueOf(s.user())); after > before {
		t.Errorf("the state grew from %d to %d values in 3000 logins", before, after)
	}
}

func TestStateStaysSmallUnderMessagesAndLockouts(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms)
	day := func() {
		s.after(25 * time.Hour).and(login(TWS))
		s.when(ResendLoginCode{ChallengeID: the[ChallengeIssued](s).ChallengeID}).then(SMSRequestRefused{})
		s.and(lockedOutAgain)
	}
	for range 60 {
		day()
	}
	before := parts(reflect.ValueOf(s.user()))
	for range 300 {
		day()
	}
	if after := parts(reflect.ValueOf(s.user())); after > before {
		t.Errorf("the state grew from %d to %d values in 300 lockouts", before, after)
	}
}

// lockedOutAgain fails until the lock, whatever the count was.
func lockedOutAgain(s *story) {
	for range 10 {
		s.and(wrongPassword)
	}
}

// parts counts the values a state holds, through pointers, slices and maps.
func parts(v reflect.Value) int {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return 0
		}
		return parts(v.Elem())
	case reflect.Struct:
		n := 0
		for i := 0; i < v.NumField(); i++ {
			n += parts(v.Field(i))
		}
		return n
	case reflect.Slice:
		n := 1
		for i := 0; i < v.Len(); i++ {
			n += parts(v.Index(i))
		}
		return n
	case reflect.Map:
		n := 1
		for _, key := range v.MapKeys() {
			n += 1 + parts(v.MapIndex(key))
		}
		return n
	}
	return 1
}

// TestThingsForgottenAreAnsweredAsClosed: what fell out of the recent ones is
// told from what was never there.
func TestThingsForgottenAreAnsweredAsClosed(t *testing.T) {
	t.Parallel()
	s := given(t, alice, ibKey, login(TWS))
	txn, challenge := s.id(PrefixTransaction), s.id(PrefixChallenge)
	for range recentLimit {
		s.and(login(TWS))
	}
	s.when(IssueChallenge{TxnID: txn}).then(ChallengeRefused{TxnID: txn, Reason: ReasonTxnClosed})
	s.when(DecidePush{ChallengeID: challenge, InstallationID: iphoneID}, approved(UVFaceID)).thenError(Unknown)
	s.when(CancelChallenge{ChallengeID: challenge}).thenError(Unknown)
}

// TestEmptyCommandsAreAnsweredWithoutPanic gives every user command with no
// content to users in several conditions.
func TestEmptyCommandsAreAnsweredWithoutPanic(t *testing.T) {
	t.Parallel()
	empty := []Command{
		RegisterUser{}, RecordResidence{}, GrantAccountAccess{}, RevokeAccountAccess{}, CloseUser{}, AddPhone{}, StartPhoneVerification{},
		ResendConfirmCode{}, ConfirmPhone{}, ReplacePhone{}, RemovePhone{}, RecordSMSDispatch{}, RecordSMSUncertain{}, RecordSMSSent{},
		RecordSMSDelivered{}, RecordSMSDeliveryFailed{}, RecordSMSSendFailed{}, StartEnrollment{}, ResendActivationCode{}, SubmitActivationCode{},
		CompleteEnrollment{}, AbandonEnrollment{}, EvaluateAutoSMS{}, SetSeamless{}, StartAuthentication{}, IssueChallenge{}, RequestFallback{},
		ResendLoginCode{}, CancelChallenge{}, SubmitResponse{}, DecidePush{}, RecordPushSent{}, RecordPushFailed{}, RecordPushOpened{},
		VerifyIdentityByPhone{}, UnlockUser{}, RequestOptOut{}, OptBackIn{}, ReevaluateRegime{}, RecordNotification{}, TidyUser{},
		RequestVoiceCall{}, RecordVoiceDispatch{}, RecordVoiceUncertain{}, RecordVoicePlaced{}, RecordVoiceAnswered{}, RecordVoiceFailed{},
		RecordCodeEmailed{}, ReportLost{}, SuspendAuthenticator{}, ReactivateAuthenticator{}, RevokeAuthenticator{}, RemoveUserFromInstallation{},
		RequestPhysicalDevice{}, NoteDeviceShipped{}, AutoActivateDevice{}, ChangeDevicePIN{}, RequestDeviceSharing{}, DecideDeviceSharing{},
		IssueCodeCard{}, ActivateCodeCard{}, IssueTemporaryPasscode{}, DeliverTemporaryCredential{}, CollectTemporaryCredential{},
		StartMigration{}, ResendMigrationCode{}, ProveMigration{}, CompleteMigration{}, CancelMigration{}, StartRecovery{}, ResendRecoveryCode{},
		ProveRecovery{}, CompleteRecovery{}, CancelRecovery{}, DetectUnification{}, DeferUnification{}, CompleteUnification{},
	}
	stories := []*story{
		given(t, alice), given(t, alice, ibKey, login(TWS)), given(t, registered(RoleOwner, ""), sms, lockedOut),
		given(t, alice, sms, optedOut, func(s *story) { s.when(CloseUser{UserID: aliceID}) }),
	}
	for _, s := range stories {
		for _, c := range empty {
			if c.Stream() == "" || c.Name() == "" {
				t.Errorf("%T does not say what it is", c)
			}
			if events, err := Decide(s.user(), c, Facts{}, s.now, s.policy); err != nil && len(events) > 0 {
				t.Errorf("%s answered %v and events %s", c.Name(), err, names(events))
			}
		}
	}
	if _, err := Decide(newUser(aliceID), SetSeamless{}, Facts{}, time.Time{}, stories[0].policy); err == nil {
		t.Error("a user who was never registered accepts commands")
	}
}
