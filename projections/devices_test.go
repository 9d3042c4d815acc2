package projections

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/authledger/authledger/domain"
)

// at is n seconds after the world began.
func at(n int) time.Time { return dawn.Add(time.Duration(n) * time.Second) }

func pointer[T any](v T) *T { return &v }

func TestDevicesOfAUser(t *testing.T) {
	t.Parallel()
	ctx, w := context.Background(), newWorld(t)
	const phone = "phn_x"
	first, second, sms := "aut_"+key(1)+"_1", "aut_"+key(1)+"_2", "aut_"+key(1)+"_3"
	enroll := domain.AuthenticatorEnrolled{
		AuthenticatorID: first, Kind: domain.KindIBKey, InstallationID: installation(1), ActivationPhoneID: phone, Trigger: "user",
		OCRASuite: "suite", OS: domain.Android,
	}
	w.in(installation(1), domain.InstallationRegistered{
		InstallationID: installation(1), App: domain.AppIBKRMobile, OS: domain.Android, AppVersion: "9", PhoneHandsetID: "handset",
		PublicKeyID: "key id", KeyAlgorithm: domain.ES256, PublicKey: "key",
	})
	registration := w.log[0].ID
	w.pass(time.Second)
	w.in(installation(1), domain.AppPINSet{PINPolicyVersion: 1}, domain.PushTokenRegistered{InstallationID: installation(1), Service: "fcm"})
	w.in(user(1), enroll)
	enrolled := w.last()
	w.pass(time.Second)
	w.in(user(1), domain.ResponseVerified{ChallengeID: "c", TxnID: "t", AuthenticatorID: first})
	w.pass(time.Second)
	w.in(user(1), domain.ResponseVerified{ChallengeID: "c", TxnID: "t", AuthenticatorID: first})
	w.in(installation(1), domain.AppPINChanged{PINPolicyVersion: 2})
	w.pass(time.Second)
	w.in(user(1), domain.AuthenticatorRevoked{AuthenticatorID: first, Reason: "client_request", SuccessorID: sms})
	revoked := w.last()
	w.in(user(1), domain.AuthenticatorEnrolled{AuthenticatorID: sms, Kind: domain.KindSMS, PhoneID: phone, Trigger: "auto_sms", Restricted: true})
	automatic := w.last()
	w.pass(time.Second)
	w.in(user(1), domain.AuthenticatorRevoked{AuthenticatorID: first, Reason: "again"}) // changes nothing
	enroll.AuthenticatorID = second
	w.in(user(2), enroll)
	other := w.last()
	v := w.views()

	one := Authenticator{
		ID: first, UserID: user(1), Kind: domain.KindIBKey, InstallationID: installation(1), ActivationPhoneID: phone, OS: domain.Android,
		Trigger: "user", OCRASuite: "suite", EnrolledAt: at(1), EnrolledEvent: enrolled, RevokedAt: pointer(at(4)),
		RevokedEvent: revoked, RevokedReason: "client_request",
		SuccessorID: sms, FirstUsedAt: pointer(at(2)), LastUsedAt: pointer(at(3)),
	}
	two := Authenticator{
		ID: sms, UserID: user(1), Kind: domain.KindSMS, PhoneID: phone, Trigger: "auto_sms", Restricted: true, EnrolledAt: at(4), EnrolledEvent: automatic,
	}
	three := Authenticator{
		ID: second, UserID: user(2), Kind: domain.KindIBKey, InstallationID: installation(1), ActivationPhoneID: phone, OS: domain.Android,
		Trigger: "user", OCRASuite: "suite", EnrolledAt: at(5), EnrolledEvent: other,
	}
	got, err := v.Authenticators(ctx, user(1))
	if diff := cmp.Diff([]Authenticator{one, two}, got); diff != "" || err != nil {
		t.Errorf("authenticators of a user: %v (-want +got):\n%s", err, diff)
	}
	if one.Active() || !two.Active() {
		t.Error("active is the wrong way round")
	}
	a, err := v.Authenticator(ctx, second)
	if diff := cmp.Diff(three, a); diff != "" || err != nil {
		t.Errorf("one authenticator: %v (-want +got):\n%s", err, diff)
	}
	i, err := v.Installation(ctx, installation(1))
	want := Installation{
		ID: installation(1), EventID: registration, App: domain.AppIBKRMobile, OS: domain.Android, AppVersion: "9", HandsetID: "handset",
		PublicKeyID: "key id", Algorithm: domain.ES256, RegisteredAt: at(0), PINPolicy: 2, PINChangedAt: pointer(at(3)),
		PushService: "fcm", PushChangedAt: pointer(at(1)), Authenticators: []Authenticator{one, three},
	}
	if diff := cmp.Diff(want, i); diff != "" || err != nil {
		t.Errorf("installation: %v (-want +got):\n%s", err, diff)
	}
	if _, err := v.Installation(ctx, installation(2)); !errors.Is(err, ErrNotFound) {
		t.Errorf("unknown installation: %v", err)
	}
	if _, err := v.Authenticator(ctx, "aut_none"); !errors.Is(err, ErrNotFound) {
		t.Errorf("unknown authenticator: %v", err)
	}
}
