package journal

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/domain/ocra"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/keyring"
	"github.com/authledger/authledger/eventstore/memstore"
	"github.com/authledger/authledger/eventstore/storetest"
)

// disorder is how far the nodes' clocks may stand apart.
const disorder = 5 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ticker is a clock that tests move by hand.
type ticker struct {
	mu  sync.Mutex
	now time.Time
}

func (c *ticker) time() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *ticker) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// world is a journal over a store that can fail, with a real keyring.
type world struct {
	t      testing.TB
	clock  *ticker
	memory *memstore.Store
	store  *storetest.FaultyStore
	log    eventstore.Store // store, as the journals see it
	keys   *keyring.Keyring
	j      *Journal
	other  *Journal // of another node on the same log, nil in a store of one process; takes turns with j

	mu    sync.Mutex
	typed []string // every code and key that must never be stored; guarded by mu

	client, user, phone, sms string
	installation             string
	key                      *ecdsa.PrivateKey
	ibkey                    string
}

func newWorld(t testing.TB, change ...func(*Config)) *world {
	t.Helper()
	return openWorld(t, os.Getenv(storeSwitch) == "shared", change...)
}

// storeSwitch is the environment variable that runs every test of this package
// over a store that several processes share, when it is "shared".
const storeSwitch = "AUTHLEDGER_TEST_STORE"

// node is a process's store on a log that others append to, and that can fail.
type node struct {
	*storetest.FaultyStore
	one *memstore.Node
}

func (n node) Disorder() time.Duration { return n.one.Disorder() }
func (node) Shared() bool              { return true }

func openWorld(t testing.TB, shared bool, change ...func(*Config)) *world {
	t.Helper()
	w := &world{t: t, clock: &ticker{now: time.Date(2026, 3, 2, 9, 0, 0, 123456789, time.UTC)}}
	w.memory = memstore.New(w.clock.time)
	if shared {
		one := w.memory.Node(w.clock.time, disorder)
		w.store = storetest.Faulty(one)
		w.log = node{w.store, one}
	} else {
		w.store = storetest.Faulty(w.memory)
		w.log = w.store
	}
	keys, err := keyring.Open(t.Context(), keyring.Options{Dir: t.TempDir(), Clock: w.clock.time})
	if err != nil {
		t.Fatal(err)
	}
	w.keys = keys
	t.Cleanup(func() {
		if err := keys.Close(); err != nil {
			t.Error(err)
		}
		if err := w.store.Close(); err != nil {
			t.Error(err)
		}
	})
	w.reopen(change...)
	if w.j.shared != shared {
		t.Fatalf("the journal takes its store for shared: %v, want %v", w.j.shared, shared)
	}
	return w
}

// reopen replaces the world's journals by new ones.
func (w *world) reopen(change ...func(*Config)) {
	w.t.Helper()
	w.j = w.journal(change...)
	if w.j.shared {
		w.other = w.journal(change...)
	}
}

// journal is another journal over the same store: a process beside the first.
func (w *world) journal(change ...func(*Config)) *Journal {
	w.t.Helper()
	policy, err := domain.LoadPolicy()
	if err != nil {
		w.t.Fatal(err)
	}
	c := Config{Store: w.log, Codec: codec.New(w.keys), Keyring: w.keys, Policy: policy, Clock: w.clock.time}
	for _, f := range change {
		f(&c)
	}
	j, err := New(c)
	if err != nil {
		w.t.Fatal(err)
	}
	return j
}

func (w *world) request(c domain.Command) Request {
	return Request{
		Command: c, CommandID: uuid.New(), Actor: domain.Actor{Kind: domain.ActorClient, Ref: "frontend"},
		Source: domain.Source{Platform: domain.TWS, IP: domain.Clear("192.0.2.7")}, RequestID: "req-1",
	}
}

// do executes a command that must succeed.
func (w *world) do(c domain.Command) Outcome {
	w.t.Helper()
	w.turn()
	out, err := w.j.Execute(w.t.Context(), w.request(c))
	if err != nil {
		w.t.Fatalf("%s: %v", c.Name(), err)
	}
	return out
}

// turn makes the next node the one that is asked, where there are two.
func (w *world) turn() {
	if w.other != nil {
		w.j, w.other = w.other, w.j
	}
}

// event returns the first event of a type, which must be there.
func event[T domain.Event](t testing.TB, out Outcome) T {
	t.Helper()
	for _, r := range out.Events {
		if e, ok := r.Event.(T); ok {
			return e
		}
	}
	var zero T
	t.Fatalf("no %T among %v", zero, names(out))
	return zero
}

func names(out Outcome) []string {
	var all []string
	for _, r := range out.Events {
		all = append(all, r.Type)
	}
	return all
}

func (w *world) remember(secret string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.typed = append(w.typed, secret)
	return secret
}

func (w *world) code(p domain.Purpose, subject string, i domain.Issued) domain.Secret {
	w.t.Helper()
	code, err := w.j.CodeText(w.t.Context(), p, subject, i)
	if err != nil {
		w.t.Fatal(err)
	}
	return domain.Secret(w.remember(code))
}

const number = "+491701234567"

// register brings a user with one phone and SMS into being.
func (w *world) register() {
	w.t.Helper()
	w.client, w.user = codec.ClientIDOf("c-1"), codec.UserIDOf("u-1")
	w.do(domain.RegisterClient{ClientID: w.client, Kind: domain.Individual, CarryingEntity: "IB-IE", CarryingCC: "IE"})
	w.do(domain.RegisterUser{
		UserID: w.user, ClientID: w.client, Role: domain.RoleOwner, Username: domain.Clear("anna.muster"), Locale: "de-DE", Residence: "DE",
	})
	w.phone = event[domain.PhoneNumberAdded](w.t, w.do(domain.AddPhone{
		UserID: w.user, CC: "DE", Number: domain.Clear(number), Line: domain.LineMobile,
	})).PhoneID
	issued := event[domain.ConfirmCodeIssued](w.t, w.do(domain.StartPhoneVerification{PhoneID: w.phone}))
	code := w.code(domain.PurposePhoneVerification, issued.VerificationID, domain.Issued{Seq: 1, Kid: issued.Kid, Len: issued.CodeLen, ExpiresAt: issued.ExpiresAt})
	event[domain.PhoneNumberVerified](w.t, w.do(domain.ConfirmPhone{VerificationID: issued.VerificationID, Code: code}))
	w.sms = event[domain.AuthenticatorEnrolled](w.t, w.do(domain.EvaluateAutoSMS{UserID: w.user, PhoneID: w.phone})).AuthenticatorID
}

// bind enrols IB Key on an iOS installation with a P-256 key.
func (w *world) bind() {
	w.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	w.key = key
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		w.t.Fatal(err)
	}
	w.installation = codec.InstallationIDOf(der)
	w.do(domain.RegisterInstallation{
		InstallationID: w.installation, App: domain.AppIBKRMobile, OS: domain.IOS, AppVersion: "8.1", HandsetID: "handset-1",
		DeviceName: domain.Clear("Anna's phone"), KeyAlgorithm: domain.ES256, PublicKey: base64.RawURLEncoding.EncodeToString(der), PublicKeyID: "k",
	})
	txn := event[domain.AuthenticationStarted](w.t, w.do(domain.StartAuthentication{
		UserID: w.user, Purpose: domain.PurposeActivation, Platform: domain.IBKRMobileIOS, PrimaryVerified: true,
	})).TxnID
	w.completeBinding(event[domain.ActivationCodeIssued](w.t, w.do(domain.StartEnrollment{
		UserID: w.user, Kind: domain.KindIBKey, InstallationID: w.installation, TxnID: txn,
	})))
}

func (w *world) completeBinding(issued domain.ActivationCodeIssued) {
	w.t.Helper()
	code := w.code(domain.PurposeActivation, issued.SubjectID, domain.Issued{Seq: 1, Kid: issued.Kid, Len: issued.CodeLen, ExpiresAt: issued.ExpiresAt})
	event[domain.ActivationCodeAccepted](w.t, w.do(domain.SubmitActivationCode{EnrollmentID: issued.SubjectID, Code: " " + code[:4] + "-" + code[4:]}))
	w.ibkey = event[domain.AuthenticatorEnrolled](w.t, w.do(domain.CompleteEnrollment{EnrollmentID: issued.SubjectID, UV: domain.UVFaceID})).AuthenticatorID
}

// login starts a login that is asked at once and returns the challenge.
func (w *world) login() domain.ChallengeIssued {
	w.t.Helper()
	w.clock.advance(3 * time.Minute) // past the cooldown of SMS
	out := w.do(domain.StartAuthentication{UserID: w.user, Purpose: domain.PurposeLogin, Platform: domain.TWS, PrimaryVerified: true})
	return event[domain.ChallengeIssued](w.t, out)
}

// smsLogin starts an SMS login and returns the challenge and its code.
func (w *world) smsLogin() (challengeID string, code domain.Secret) {
	w.t.Helper()
	w.clock.advance(3 * time.Minute)
	out := w.do(domain.StartAuthentication{UserID: w.user, Purpose: domain.PurposeLogin, Platform: domain.TWS, PrimaryVerified: true})
	i := event[domain.LoginCodeIssued](w.t, out)
	return i.ChallengeID, w.code(domain.PurposeLogin, i.ChallengeID, domain.Issued{Seq: i.Seq, Kid: i.Kid, Len: i.CodeLen, ExpiresAt: i.ExpiresAt})
}

// challenge reads a challenge from the user's state.
func (w *world) challenge(id string) domain.Challenge {
	w.t.Helper()
	var c domain.Challenge
	err := w.j.User(w.t.Context(), w.user, func(u *domain.User, _ time.Time) error {
		var ok bool
		if c, ok = u.Challenge(id); !ok {
			return fmt.Errorf("no challenge %s", id)
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// ocraResponse answers a challenge/response as the app would, off by steps.
func (w *world) ocraResponse(challengeID string, steps int) domain.Secret {
	w.t.Helper()
	key, text, err := w.j.OCRASecret(w.t.Context(), w.user, w.ibkey)
	if err != nil {
		w.t.Fatal(err)
	}
	w.remember(string(key))
	w.remember(base64.StdEncoding.EncodeToString(key))
	suite, err := ocra.Parse(text)
	if err != nil {
		w.t.Fatal(err)
	}
	question, err := w.j.Shown(w.t.Context(), w.challenge(challengeID))
	if err != nil {
		w.t.Fatal(err)
	}
	response, err := suite.Compute(key, ocra.Input{Question: w.remember(question), Time: uint64(int64(suite.TimeStep(w.clock.time())) + int64(steps))})
	if err != nil {
		w.t.Fatal(err)
	}
	return domain.Secret(w.remember(response))
}

// decision is a push decision document, signed by the installation.
func (w *world) decision(c domain.ChallengeIssued, change func(members map[string]any)) domain.DecidePush {
	w.t.Helper()
	number, err := w.j.Shown(w.t.Context(), w.challenge(c.ChallengeID))
	if err != nil {
		w.t.Fatal(err)
	}
	members := map[string]any{
		"challengeId": c.ChallengeID, "transactionId": c.TxnID, "installationId": w.installation, "decision": "approve",
		"matchedNumber": w.remember(number), "shown": map[string]any{"platform": "tws", "place": "Zürich"}, "uv": "face_id",
		"deviceTime": w.clock.time().Format(time.RFC3339),
	}
	if change != nil {
		change(members)
	}
	b, err := json.Marshal(members)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.sign(c.ChallengeID, string(b))
}

func (w *world) sign(challengeID, document string) domain.DecidePush {
	w.t.Helper()
	digest := sha256.Sum256([]byte(pushPrefix + document))
	sig, err := ecdsa.SignASN1(rand.Reader, w.key, digest[:])
	if err != nil {
		w.t.Fatal(err)
	}
	return domain.DecidePush{
		ChallengeID: challengeID, InstallationID: w.installation, Document: domain.Secret(document), Signature: base64.RawURLEncoding.EncodeToString(sig),
	}
}

// records reads the whole log.
func (w *world) records() []eventstore.Record {
	w.t.Helper()
	var all []eventstore.Record
	for r, err := range w.store.ReadAll(context.Background(), 0) {
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

func (w *world) types(stream string) []string {
	var all []string
	for _, r := range w.records() {
		if r.Stream == stream {
			all = append(all, r.Type)
		}
	}
	return all
}

func count(all []string, name string) int {
	n := 0
	for _, s := range all {
		if s == name {
			n++
		}
	}
	return n
}

// equal compares including what is sealed and unexported state.
func equal(t testing.TB, what string, got, want any) {
	t.Helper()
	all := cmp.Exporter(func(ty reflect.Type) bool {
		return strings.HasSuffix(ty.PkgPath(), "authledger/domain") || strings.HasSuffix(ty.PkgPath(), "eventstore/journal")
	})
	if d := cmp.Diff(want, got, all); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}
