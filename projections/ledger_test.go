package projections

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/domain/ocra"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/journal"
	"github.com/authledger/authledger/eventstore/keyring"
	"github.com/authledger/authledger/eventstore/memstore"
)

// ledger is a real journal over a store in memory, and one user of it with a
// verified phone and SMS. The reactions, which the delivery side makes, are
// made by the tests where a view follows them.
type ledger struct {
	t     *testing.T
	now   time.Time
	store *memstore.Store
	codec *codec.Codec
	keys  *keyring.Keyring
	j     *journal.Journal
	actor domain.Actor

	user, phone, sms string
	apps             map[string]*ecdsa.PrivateKey // by installation
	policy           *domain.Policy
}

func newLedger(t *testing.T) *ledger {
	t.Helper()
	l := &ledger{t: t, now: dawn, actor: domain.Actor{Kind: domain.ActorClient, Ref: "frontend"}, apps: map[string]*ecdsa.PrivateKey{}}
	clock := func() time.Time { return l.now }
	l.store = memstore.New(clock)
	keys, err := keyring.Open(t.Context(), keyring.Options{Dir: t.TempDir(), Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	l.keys, l.codec = keys, codec.New(keys)
	t.Cleanup(func() { _, _ = keys.Close(), l.store.Close() })
	if l.policy, err = domain.LoadPolicy(); err != nil {
		t.Fatal(err)
	}
	l.j, err = journal.New(journal.Config{Store: l.store, Codec: l.codec, Keyring: keys, Policy: l.policy, Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	l.user, l.phone, l.sms = l.join("anna")
	return l
}

// join brings a user with a verified phone and SMS into being.
func (l *ledger) join(name string) (user, phone, sms string) {
	l.t.Helper()
	clientID := codec.ClientIDOf("client of " + name)
	user = codec.UserIDOf(name)
	l.do(domain.RegisterClient{ClientID: clientID, Kind: domain.Individual, CarryingEntity: "IB-IE", CarryingCC: "IE"})
	l.do(domain.RegisterUser{UserID: user, ClientID: clientID, Role: domain.RoleOwner, Username: domain.Clear(name), Locale: "en", Residence: "DE"})
	phone = did[domain.PhoneNumberAdded](l, domain.AddPhone{UserID: user, CC: "DE", Number: domain.Clear("+4917012345" + fmt.Sprint(60+len(name))), Line: domain.LineMobile}).PhoneID
	code := did[domain.ConfirmCodeIssued](l, domain.StartPhoneVerification{PhoneID: phone})
	l.do(domain.ConfirmPhone{
		VerificationID: code.VerificationID,
		Code:           l.code(domain.PurposePhoneVerification, code.VerificationID, domain.Issued{Seq: code.Seq, Kid: code.Kid, Len: code.CodeLen, ExpiresAt: code.ExpiresAt}),
	})
	return user, phone, did[domain.AuthenticatorEnrolled](l, domain.EvaluateAutoSMS{UserID: user, PhoneID: phone}).AuthenticatorID
}

// do executes a command that must succeed.
func (l *ledger) do(c domain.Command) journal.Outcome {
	l.t.Helper()
	out, err := l.j.Execute(l.t.Context(), journal.Request{Command: c, CommandID: uuid.New(), Actor: l.actor, RequestID: "r"})
	if err != nil {
		l.t.Fatalf("%s: %v", c.Name(), err)
	}
	return out
}

// did executes a command and returns the first event of a type, which must be
// there.
func did[T domain.Event](l *ledger, c domain.Command) T {
	l.t.Helper()
	return first[T](l, l.do(c))
}

func first[T domain.Event](l *ledger, out journal.Outcome) T {
	l.t.Helper()
	var types []string
	for _, r := range out.Events {
		if e, ok := r.Event.(T); ok {
			return e
		}
		types = append(types, r.Type)
	}
	var zero T
	l.t.Fatalf("no %T among %v", zero, types)
	return zero
}

func (l *ledger) code(p domain.Purpose, subject string, i domain.Issued) domain.Secret {
	l.t.Helper()
	code, err := l.j.CodeText(l.t.Context(), p, subject, i)
	if err != nil {
		l.t.Fatal(err)
	}
	return domain.Secret(code)
}

func (l *ledger) activationCode(p domain.Purpose, e domain.ActivationCodeIssued) domain.Secret {
	l.t.Helper()
	return l.code(p, e.SubjectID, domain.Issued{Seq: e.Seq, Kid: e.Kid, Len: e.CodeLen, ExpiresAt: e.ExpiresAt})
}

func (l *ledger) pass(d time.Duration) { l.now = l.now.Add(d) }

// begin starts a transaction with the right password, past every cooldown.
func (l *ledger) begin(p domain.Purpose, platform domain.Platform) string {
	l.t.Helper()
	l.pass(3 * time.Minute)
	return did[domain.AuthenticationStarted](l, domain.StartAuthentication{UserID: l.user, Purpose: p, Platform: platform, PrimaryVerified: true}).TxnID
}

// install registers an app on a phone.
func (l *ledger) install(app domain.App, handset string) string {
	l.t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		l.t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		l.t.Fatal(err)
	}
	id := codec.InstallationIDOf(der)
	l.apps[id] = private
	l.do(domain.RegisterInstallation{
		InstallationID: id, App: app, OS: domain.IOS, AppVersion: "9", HandsetID: handset, KeyAlgorithm: domain.ES256,
		PublicKey: base64.RawURLEncoding.EncodeToString(der), PublicKeyID: "k",
	})
	return id
}

// handover is what the app that IB Key leaves signs.
func (l *ledger) handover(from, to string) domain.Secret {
	l.t.Helper()
	digest := sha256.Sum256([]byte("authledger/handover/v1\n" + journal.HandoverText(l.user, from, to)))
	signature, err := ecdsa.SignASN1(rand.Reader, l.apps[from], digest[:])
	if err != nil {
		l.t.Fatal(err)
	}
	return domain.Secret(base64.RawURLEncoding.EncodeToString(signature))
}

// activate binds IB Key to an installation and returns the enrolment and the
// authenticator.
func (l *ledger) activate(installationID string) (enrollment, authenticator string) {
	l.t.Helper()
	txn := l.begin(domain.PurposeActivation, domain.IBKRMobileIOS)
	out := l.do(domain.StartEnrollment{UserID: l.user, Kind: domain.KindIBKey, InstallationID: installationID, TxnID: txn})
	enrollment = first[domain.EnrollmentStarted](l, out).EnrollmentID
	l.do(domain.SubmitActivationCode{EnrollmentID: enrollment, Code: l.activationCode(domain.PurposeActivation, first[domain.ActivationCodeIssued](l, out))})
	l.pass(time.Second)
	authenticator = did[domain.AuthenticatorEnrolled](l, domain.CompleteEnrollment{EnrollmentID: enrollment, UV: domain.UVFaceID}).AuthenticatorID
	l.do(domain.BindToInstallation{InstallationID: installationID, UserID: l.user, AuthenticatorID: authenticator})
	return enrollment, authenticator
}

const cardSuite = "OCRA-1:HOTP-SHA256-8:C-QN06"

// manufacture registers a unit whose seed is all zeros.
func (l *ledger) manufacture(n int) string {
	l.t.Helper()
	id := unit(n)
	if err := l.keys.PutSecret(l.t.Context(), domain.DeviceStream(id), journal.SecretSeed, make([]byte, 32)); err != nil {
		l.t.Fatal(err)
	}
	l.do(domain.RegisterDevice{DeviceID: id, Model: "dsc_plus", Manufacturer: "Example Tokens", Serial: fmt.Sprint(n), Suite: cardSuite, Counter: 7})
	return id
}

// ship orders a unit and sends it, and lets the user's stream note it.
func (l *ledger) ship(unitID string) (request string) {
	l.t.Helper()
	request = did[domain.PhysicalDeviceRequested](l, domain.RequestPhysicalDevice{
		UserID: l.user, Model: domain.ModelDSCPlus, PIN: "1234", EquityUSDMinor: 200_000_000, ShipTo: domain.Clear("a street"),
	}).RequestID
	e := did[domain.PhysicalDeviceShipped](l, domain.RecordDeviceShipped{DeviceID: unitID, RequestID: request, DispatchedOn: l.now.Format(time.DateOnly)})
	l.do(domain.NoteDeviceShipped{UserID: l.user, DeviceID: unitID, RequestID: request, DispatchedOn: e.DispatchedOn, DueOn: e.ActivationDueOn})
	return request
}

// press lets a unit answer a challenge with a counter.
func (l *ledger) press(challengeID string, counter uint64) journal.Outcome {
	l.t.Helper()
	var c domain.Challenge
	err := l.j.User(l.t.Context(), domain.UserOf(challengeID), func(u *domain.User, _ time.Time) error {
		c, _ = u.Challenge(challengeID)
		return nil
	})
	if err != nil {
		l.t.Fatal(err)
	}
	question, err := l.j.Shown(l.t.Context(), c)
	if err != nil {
		l.t.Fatal(err)
	}
	suite, err := ocra.Parse(cardSuite)
	if err != nil {
		l.t.Fatal(err)
	}
	response, err := suite.Compute(make([]byte, 32), ocra.Input{Question: question, Counter: counter})
	if err != nil {
		l.t.Fatal(err)
	}
	return l.do(domain.SubmitResponse{ChallengeID: challengeID, Response: domain.Secret(response)})
}

// records is the log.
func (l *ledger) records() []eventstore.Record {
	l.t.Helper()
	var all []eventstore.Record
	for r, err := range l.store.ReadAll(context.Background(), 0) {
		if err != nil {
			l.t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// views returns views of the whole log.
func (l *ledger) views(change ...func(*Options)) *Views {
	l.t.Helper()
	o := Options{
		Dir: l.t.TempDir(), Codec: l.codec, Clock: func() time.Time { return l.now },
		Blind: func(ctx context.Context, number string) ([]byte, error) { return l.keys.Blind(ctx, "phone", number) },
	}
	for _, f := range change {
		f(&o)
	}
	v, err := Open(l.t.Context(), o)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = v.Close() })
	l.apply(v)
	return v
}

// apply hands over what the views have not seen.
func (l *ledger) apply(v *Views) {
	l.t.Helper()
	if err := v.Apply(l.t.Context(), l.records()); err != nil {
		l.t.Fatal(err)
	}
}

// timeline is the types of a subject's events.
func timeline(t *testing.T, v *Views, subject string) string {
	t.Helper()
	page, err := v.Events(t.Context(), EventFilter{Subject: subject})
	if err != nil {
		t.Fatal(err)
	}
	var types []string
	for _, e := range page.Items {
		types = append(types, e.Type)
	}
	return strings.Join(types, " ")
}
