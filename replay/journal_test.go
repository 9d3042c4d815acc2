package replay

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/domain/ocra"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/journal"
	"github.com/authledger/authledger/eventstore/keyring"
	"github.com/authledger/authledger/eventstore/memstore"
)

// broker is a real journal with a real keyring, whose users do what the rule
// book has for them. After every command replay must know what the journal
// knows.
type broker struct {
	t     *testing.T
	now   time.Time
	base  *domain.Policy
	store *memstore.Store
	keys  *keyring.Keyring
	j     *journal.Journal
	users []string
}

func newBroker(t *testing.T) *broker {
	t.Helper()
	b := &broker{t: t, now: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)}
	clock := func() time.Time { return b.now }
	b.store = memstore.New(clock)
	var err error
	if b.base, err = domain.LoadPolicy(); err != nil {
		t.Fatal(err)
	}
	if b.keys, err = keyring.Open(t.Context(), keyring.Options{Dir: t.TempDir(), Clock: clock}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.keys.Close(); err != nil {
			t.Error(err)
		}
	})
	b.j, err = journal.New(journal.Config{Store: b.store, Codec: codec.New(b.keys), Keyring: b.keys, Policy: b.base, Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *broker) wait(d time.Duration) { b.now = b.now.Add(d) }

// do executes a command, a second after the one before, and compares replay
// with the journal.
func (b *broker) do(c domain.Command) []domain.Event {
	b.t.Helper()
	return b.as(domain.ActorClient, c)
}

func (b *broker) as(kind domain.ActorKind, c domain.Command) []domain.Event {
	b.t.Helper()
	b.wait(time.Second)
	out, err := b.j.Execute(b.t.Context(), journal.Request{Command: c, CommandID: uuid.New(), Actor: domain.Actor{Kind: kind, Ref: "test"}})
	if err != nil {
		b.t.Fatalf("%s: %v", c.Name(), err)
	}
	if len(out.Events) == 0 {
		b.t.Fatalf("%s led to nothing", c.Name())
	}
	events := make([]domain.Event, len(out.Events))
	for i, r := range out.Events {
		events[i] = r.Event
	}
	for _, id := range b.users {
		b.same(id, c)
	}
	return events
}

// same compares the state that the journal keeps with the one replay folds.
func (b *broker) same(userID string, after domain.Command) {
	b.t.Helper()
	r, err := StateAt(b.t.Context(), b.store, codec.New(nil), b.base, userID, AtTime(b.now))
	if err != nil {
		b.t.Fatal(err)
	}
	var live domain.Snapshot
	err = b.j.User(b.t.Context(), userID, func(u *domain.User, now time.Time) error {
		live = u.Snapshot(now, b.j.Policy())
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	if diff := cmp.Diff(&live, r.State); diff != "" {
		b.t.Fatalf("state of %s after %s (-journal +replay):\n%s", userID, after.Name(), diff)
	}
	explained(b.t, r)
	var decided domain.Decision
	if decided, err = b.j.Decision(b.t.Context(), userID, b.now, b.j.Policy()); err != nil {
		b.t.Fatal(err)
	}
	v, err := DecisionAt(b.t.Context(), b.store, codec.New(nil), b.base, userID, AtTime(b.now))
	if err != nil {
		b.t.Fatal(err)
	}
	if diff := cmp.Diff(&decided, v.Decision); diff != "" {
		b.t.Fatalf("decision on %s after %s (-journal +replay):\n%s", userID, after.Name(), diff)
	}
}

// person is a user with a verified phone, and what it has at hand.
type person struct {
	b         *broker
	id, phone string
	app       app
	key       string // IB Key
}

// app is an installation on a phone.
type app struct {
	id  string
	key *ecdsa.PrivateKey
}

var acmeID = codec.ClientIDOf("acme")

func (b *broker) person(ref string) *person {
	b.t.Helper()
	p := &person{b: b, id: codec.UserIDOf(ref)}
	b.do(domain.RegisterUser{UserID: p.id, ClientID: acmeID, Role: domain.RoleOwner, Username: domain.Clear(ref), Locale: "de-DE", Residence: "DE"})
	b.users = append(b.users, p.id)
	p.phone = find[domain.PhoneNumberAdded](b.t, b.do(domain.AddPhone{UserID: p.id, CC: "DE", Number: domain.Clear("+49170123456" + strconv.Itoa(len(b.users))), Line: domain.LineMobile})).PhoneID
	issued := find[domain.ConfirmCodeIssued](b.t, b.do(domain.StartPhoneVerification{PhoneID: p.phone}))
	code := b.code(domain.PurposePhoneVerification, issued.VerificationID, issued.Seq, issued.Kid, issued.CodeLen)
	b.do(domain.ConfirmPhone{VerificationID: issued.VerificationID, Code: code})
	b.do(domain.EvaluateAutoSMS{UserID: p.id, PhoneID: p.phone})
	return p
}

func (b *broker) code(purpose domain.Purpose, subject string, seq int, kid string, length int) domain.Secret {
	b.t.Helper()
	text, err := b.j.CodeText(b.t.Context(), purpose, subject, domain.Issued{Seq: seq, Kid: kid, Len: length})
	if err != nil {
		b.t.Fatal(err)
	}
	return domain.Secret(text)
}

func (b *broker) activation(purpose domain.Purpose, i domain.ActivationCodeIssued) domain.Secret {
	b.t.Helper()
	return b.code(purpose, i.SubjectID, i.Seq, i.Kid, i.CodeLen)
}

// install registers an app on a handset; on Android with an attested PIN.
func (b *broker) install(kind domain.App, os domain.OS, handset string) app {
	b.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		b.t.Fatal(err)
	}
	a := app{id: codec.InstallationIDOf(der), key: key}
	b.do(domain.RegisterInstallation{
		InstallationID: a.id, App: kind, OS: os, AppVersion: "8.1", HandsetID: handset, DeviceName: domain.Clear("phone"), KeyAlgorithm: domain.ES256,
		PublicKey: base64.RawURLEncoding.EncodeToString(der), PublicKeyID: "k",
	})
	if os == domain.Android {
		b.do(domain.AttestPIN{InstallationID: a.id, PINPolicyVersion: 1, Violation: domain.ReasonPINMismatch})
		b.do(domain.AttestPIN{InstallationID: a.id, PINPolicyVersion: 1})
	}
	return a
}

func (a app) sign(t *testing.T, prefix, text string) string {
	t.Helper()
	digest := sha256.Sum256([]byte(prefix + text))
	sig, err := ecdsa.SignASN1(rand.Reader, a.key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(sig)
}

// begin opens a transaction with the right password.
func (p *person) begin(purpose domain.Purpose, platform domain.Platform) []domain.Event {
	p.b.t.Helper()
	p.b.wait(3 * time.Minute) // past the cooldown of messages
	return p.b.do(domain.StartAuthentication{UserID: p.id, Purpose: purpose, Platform: platform, ReleaseChannel: domain.Latest, PrimaryVerified: true})
}

func (p *person) txn(purpose domain.Purpose) string {
	p.b.t.Helper()
	return find[domain.AuthenticationStarted](p.b.t, p.begin(purpose, domain.ClientPortal)).TxnID
}

// activate enrols IB Key on an app.
func (p *person) activate(a app, uv domain.UV) {
	p.b.t.Helper()
	started := p.b.do(domain.StartEnrollment{UserID: p.id, Kind: domain.KindIBKey, InstallationID: a.id, TxnID: p.txn(domain.PurposeActivation)})
	issued := find[domain.ActivationCodeIssued](p.b.t, started)
	p.b.do(domain.SubmitActivationCode{EnrollmentID: issued.SubjectID, Code: p.b.activation(domain.PurposeActivation, issued)})
	p.key = find[domain.AuthenticatorEnrolled](p.b.t, p.b.do(domain.CompleteEnrollment{EnrollmentID: issued.SubjectID, UV: uv})).AuthenticatorID
	p.app = a
	p.b.do(domain.BindToInstallation{InstallationID: a.id, UserID: p.id, AuthenticatorID: p.key})
}

func (p *person) challenge(id string) domain.Challenge {
	p.b.t.Helper()
	var c domain.Challenge
	err := p.b.j.User(p.b.t.Context(), p.id, func(u *domain.User, _ time.Time) error { c, _ = u.Challenge(id); return nil })
	if err != nil || c.ID == "" {
		p.b.t.Fatalf("challenge %s: %v", id, err)
	}
	return c
}

func (p *person) shown(id string) string {
	p.b.t.Helper()
	text, err := p.b.j.Shown(p.b.t.Context(), p.challenge(id))
	if err != nil {
		p.b.t.Fatal(err)
	}
	return text
}

// approve taps a push in the app.
func (p *person) approve(c domain.ChallengeIssued) []domain.Event {
	p.b.t.Helper()
	document, err := json.Marshal(map[string]any{
		"challengeId": c.ChallengeID, "transactionId": c.TxnID, "installationId": p.app.id, "decision": "approve", "matchedNumber": p.shown(c.ChallengeID),
		"shown": map[string]any{"platform": "tws"}, "uv": "face_id", "deviceTime": p.b.now.Format(time.RFC3339),
	})
	if err != nil {
		p.b.t.Fatal(err)
	}
	return p.b.do(domain.DecidePush{
		ChallengeID: c.ChallengeID, InstallationID: p.app.id, Document: domain.Secret(document), Signature: p.app.sign(p.b.t, "authledger/push/v1\n", string(document)),
	})
}

// respond makes the app's response to a typed challenge.
func (p *person) respond(c domain.ChallengeIssued) []domain.Event {
	p.b.t.Helper()
	key, text, err := p.b.j.OCRASecret(p.b.t.Context(), p.id, c.AuthenticatorID)
	if err != nil {
		p.b.t.Fatal(err)
	}
	suite, err := ocra.Parse(text)
	if err != nil {
		p.b.t.Fatal(err)
	}
	response, err := suite.Compute(key, ocra.Input{Question: p.shown(c.ChallengeID), Time: suite.TimeStep(p.b.now)})
	if err != nil {
		p.b.t.Fatal(err)
	}
	return p.answer(c.ChallengeID, response)
}

func (p *person) answer(challengeID, response string) []domain.Event {
	p.b.t.Helper()
	return p.b.do(domain.SubmitResponse{ChallengeID: challengeID, Response: domain.Secret(response)})
}

// unit is a Digital Security Card+ in somebody's hand.
type unit struct {
	id      string
	seed    []byte
	counter uint64
	pin     string
}

const unitSuite = "OCRA-1:HOTP-SHA256-8:C-QN06-PSHA1"

func (b *broker) unit(serial string) *unit {
	b.t.Helper()
	key := sha256.Sum256([]byte(serial))
	v := &unit{id: domain.DeviceID(codec.ClientIDOf(serial)[len("clt_"):]), seed: key[:]}
	if err := b.keys.PutSecret(b.t.Context(), domain.DeviceStream(v.id), journal.SecretSeed, v.seed); err != nil {
		b.t.Fatal(err)
	}
	b.do(domain.RegisterDevice{DeviceID: v.id, Model: domain.ModelDSCPlus, Manufacturer: "Example Tokens", Serial: serial, Suite: unitSuite})
	return v
}

// press makes the unit's response to a challenge.
func (v *unit) press(p *person, c domain.ChallengeIssued) []domain.Event {
	p.b.t.Helper()
	suite, err := ocra.Parse(unitSuite)
	if err != nil {
		p.b.t.Fatal(err)
	}
	response, err := suite.Compute(v.seed, ocra.Input{Question: p.shown(c.ChallengeID), Counter: v.counter, PINHash: suite.HashPIN([]byte(v.pin))})
	if err != nil {
		p.b.t.Fatal(err)
	}
	v.counter++
	return p.answer(c.ChallengeID, response)
}

// order gets the unit to a person: requested, shipped, noted.
func (v *unit) order(p *person, pin string) {
	p.b.t.Helper()
	v.pin = pin
	request := find[domain.PhysicalDeviceRequested](p.b.t, p.b.do(domain.RequestPhysicalDevice{
		UserID: p.id, Model: domain.ModelDSCPlus, PIN: domain.Secret(pin), EquityUSDMinor: 1 << 40, ShipTo: domain.Clear("1 Street"),
	})).RequestID
	shipped := find[domain.PhysicalDeviceShipped](p.b.t, p.b.do(domain.RecordDeviceShipped{DeviceID: v.id, RequestID: request, DispatchedOn: "2026-03-02"}))
	p.b.do(domain.NoteDeviceShipped{UserID: p.id, DeviceID: v.id, RequestID: request, DispatchedOn: "2026-03-02", DueOn: shipped.ActivationDueOn})
}

func (b *broker) log() []eventstore.Record {
	b.t.Helper()
	var out []eventstore.Record
	for r, err := range b.store.ReadAll(b.t.Context(), 1) {
		if err != nil {
			b.t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

// sharedPIN is the PIN of the tests' units; newPIN the one it changes to.
const sharedPIN, newPIN = "1234", "4321"

func proofAt(b *broker, a app, deliveryID string) domain.Secret {
	b.t.Helper()
	at := strconv.FormatInt(b.now.Add(time.Second).UnixMilli(), 10)
	return domain.Secret(fmt.Sprintf("%s.%s", at, a.sign(b.t, "authledger/collect/v1\n", deliveryID+"\n"+at)))
}
