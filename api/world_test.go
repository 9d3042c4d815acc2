package api

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/authledger/authledger/api/access"
	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/journal"
	"github.com/authledger/authledger/eventstore/keyring"
	"github.com/authledger/authledger/eventstore/memstore"
	"github.com/authledger/authledger/projections"
	"github.com/authledger/authledger/replay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ticker is a clock a test moves by hand; it also is the simulated clock.
type ticker struct {
	mu  sync.Mutex
	now time.Time
}

func (c *ticker) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *ticker) Set(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.Before(c.now) {
		return fmt.Errorf("backwards")
	}
	c.now = t
	return nil
}

func (c *ticker) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// inbox is a list of messages.
type inbox []InboxMessage

func (i inbox) Messages() []InboxMessage { return i }

// safeBuffer collects the log.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// world is a server over a real journal, keyring, views and access file.
type world struct {
	t       testing.TB
	clock   *ticker
	store   *memstore.Store
	keys    *keyring.Keyring
	codec   *codec.Codec
	journal *journal.Journal
	views   *projections.Views
	policy  *domain.Policy // what is built into the program
	access  *access.Store
	api     map[access.Role]string // a key for each role
	ids     map[access.Role]string
	server  *Server
	log     *safeBuffer
	n       int // idempotency keys made

	user, client, phone string
	installation        string
	key                 *ecdsa.PrivateKey
}

func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func newWorld(t testing.TB, change ...func(*Config)) *world {
	t.Helper()
	ctx := context.Background()
	w := &world{t: t, clock: &ticker{now: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)}, log: &safeBuffer{},
		api: map[access.Role]string{}, ids: map[access.Role]string{}}
	w.store = memstore.New(w.clock.Now)
	w.keys = must[*keyring.Keyring](t)(keyring.Open(ctx, keyring.Options{Dir: t.TempDir(), Clock: w.clock.Now}))
	w.codec = codec.New(w.keys)
	w.policy = must[*domain.Policy](t)(domain.LoadPolicy())
	w.journal = must[*journal.Journal](t)(journal.New(journal.Config{
		Store: w.store, Codec: w.codec, Keyring: w.keys, Policy: w.policy, Clock: w.clock.Now,
	}))
	w.views = must[*projections.Views](t)(projections.Open(ctx, projections.Options{
		Dir: t.TempDir(), Codec: w.codec, Clock: w.clock.Now,
		Blind: func(ctx context.Context, number string) ([]byte, error) { return w.keys.Blind(ctx, "phone", number) },
	}))
	w.access = must[*access.Store](t)(access.Open(ctx, access.Options{Dir: t.TempDir()}))
	for _, role := range access.Roles() {
		c, key, err := w.access.Create(ctx, string(role), role, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		w.api[role], w.ids[role] = string(key), c.ID
	}
	c := Config{
		Journal: w.journal, Views: w.views, Store: w.store, Codec: w.codec, Tokens: w.keys, Access: w.access,
		StateAt: w.stateAt, DecisionAt: w.decisionAt, Demo: true, Inbox: inbox{{ID: "m1", Channel: "sms", To: "+852 •••• 4567", Text: "123456", At: w.clock.Now()}},
		Clock: w.clock, Logger: slog.New(slog.NewJSONHandler(w.log, nil)),
	}
	for _, f := range change {
		f(&c)
	}
	w.server = must[*Server](t)(New(c))
	w.server.viewWait = 5 * time.Millisecond
	t.Cleanup(w.close)
	return w
}

func (w *world) close() {
	w.server.EndPolls()
	for _, close := range []func() error{w.access.Close, w.views.Close, w.keys.Close, w.store.Close} {
		if err := close(); err != nil {
			w.t.Error(err)
		}
	}
}

// point is a moment as known at another.
func point(asOf, knownAt time.Time) replay.Point {
	p := replay.AtTime(asOf)
	if !knownAt.IsZero() {
		p = p.KnownBy(replay.AtTime(knownAt))
	}
	return p
}

func (w *world) decisionAt(ctx context.Context, userID string, asOf, knownAt time.Time) (domain.Decision, error) {
	v, err := replay.DecisionAt(ctx, w.store, w.codec, w.policy, userID, point(asOf, knownAt))
	if err != nil || v.Decision == nil {
		return domain.Decision{}, err
	}
	return *v.Decision, nil
}

func (w *world) stateAt(ctx context.Context, userID string, asOf, knownAt time.Time) (PastUser, error) {
	fold, err := replay.FoldUser(ctx, w.store, w.codec, userID, point(asOf, knownAt))
	if errors.Is(err, replay.ErrNotFound) || err == nil && fold.Last == nil {
		return PastUser{}, nil
	}
	if err != nil {
		return PastUser{}, err
	}
	id, err := codec.ParseEventID(fold.Last.EventID)
	return PastUser{User: fold.User, Found: fold.Known, Revision: fold.Last.Revision, LastEvent: id}, err
}

// project brings the views up to the log's head.
func (w *world) project() {
	w.t.Helper()
	from := must[eventstore.Sequence](w.t)(w.views.From(w.t.Context()))
	var batch []eventstore.Record
	for r, err := range w.store.ReadAll(w.t.Context(), from+1) {
		if err != nil {
			w.t.Fatal(err)
		}
		if r.Sequence > from {
			batch = append(batch, r)
		}
	}
	if err := w.views.Apply(w.t.Context(), batch); err != nil {
		w.t.Fatal(err)
	}
}

// head is the number of events in the log.
func (w *world) head() eventstore.Sequence {
	w.t.Helper()
	n, _, err := w.store.Head(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) code(t testing.TB) string {
	t.Helper()
	var p gen.Problem
	if err := json.Unmarshal(a.body, &p); err != nil {
		t.Fatalf("not a problem: %d %s", a.status, a.body)
	}
	return p.Code
}

func (w *world) do(r *http.Request) answer {
	rec := httptest.NewRecorder()
	w.server.Handler().ServeHTTP(rec, r)
	return answer{rec.Code, rec.Header(), rec.Body.Bytes()}
}

func (w *world) request(role access.Role, method, path string, body []byte, header ...string) *http.Request {
	r := httptest.NewRequest(method, path, bytes.NewReader(body))
	if key, ok := w.api[role]; ok {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	if len(body) > 0 {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

func (w *world) newKey() string {
	w.n++
	return "key-" + strconv.Itoa(w.n)
}

// post sends JSON under a new idempotency key, unless header names one.
func (w *world) post(role access.Role, path string, body any, header ...string) answer {
	w.t.Helper()
	var text []byte
	if body != nil {
		text = must[[]byte](w.t)(json.Marshal(body))
	}
	return w.do(w.request(role, "POST", path, text, append([]string{"Idempotency-Key", w.newKey()}, header...)...))
}

func (w *world) get(role access.Role, path string, header ...string) answer {
	w.t.Helper()
	return w.do(w.request(role, "GET", path, nil, header...))
}

// want decodes an answer of the expected status.
func want[T any](t testing.TB, a answer, status int) T {
	t.Helper()
	var v T
	if a.status != status {
		t.Fatalf("got %d, want %d: %s", a.status, status, a.body)
	}
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("decode %s: %v", a.body, err)
	}
	return v
}

const mobileHK = "+852 6123 4567"

// code is the newest code of a subject, as the delivery worker would render it.
func (w *world) codeFor(purpose domain.Purpose, subject string) string {
	w.t.Helper()
	var issued []domain.Issued
	err := w.journal.User(w.t.Context(), domain.UserOf(subject), func(u *domain.User, _ time.Time) error {
		switch purpose {
		case domain.PurposePhoneVerification:
			v, _ := u.Verification(subject)
			issued = v.Codes
		case domain.PurposeActivation:
			e, _ := u.Enrollment(subject)
			issued = e.Codes
		case domain.PurposeMigration:
			m, _ := u.Migration(subject)
			issued = m.Codes
		case domain.PurposeRecovery:
			r, _ := u.Recovery(subject)
			issued = r.Codes
		default:
			c, _ := u.Challenge(subject)
			issued = c.Codes
		}
		return nil
	})
	if err != nil || len(issued) == 0 {
		w.t.Fatalf("codes of %s: %v, %v", subject, issued, err)
	}
	return must[string](w.t)(w.journal.CodeText(w.t.Context(), purpose, subject, issued[len(issued)-1]))
}

// register brings a user in Hong Kong with one verified phone into being.
func (w *world) register() {
	w.t.Helper()
	w.client = w.newClient("C-1", "individual", "HK")
	w.user = w.newUser("U-1", w.client, "HK")
	w.phone = w.verifiedPhone(w.user, mobileHK)
}

func (w *world) newClient(reference, kind, country string) string {
	w.t.Helper()
	return want[gen.ClientAnswer](w.t, w.post(access.Frontend, "/v1/clients", map[string]any{
		"reference": reference, "kind": kind, "carryingEntity": "IB-" + country, "carryingCountry": country,
	}), 201).ClientId
}

func (w *world) newUser(reference, client, residence string) string {
	w.t.Helper()
	return want[gen.UserAnswer](w.t, w.post(access.Frontend, "/v1/users", map[string]any{
		"reference": reference, "clientId": client, "role": "owner", "username": "chan.tai.man", "locale": "zh-HK", "residence": residence,
		"residentOn": "2020-01-01",
	}), 201).UserId
}

func (w *world) verifiedPhone(user, number string) string {
	w.t.Helper()
	phone := want[gen.PhoneAnswer](w.t, w.post(access.Frontend, "/v1/users/"+user+"/phones", map[string]any{"number": number}), 201).PhoneId
	v := want[gen.Verification](w.t, w.post(access.Frontend, "/v1/phones/"+phone+"/verifications", nil), 201)
	check := want[gen.VerificationCheck](w.t, w.post(access.Frontend, "/v1/phones/"+phone+"/verifications/"+v.VerificationId+"/checks",
		map[string]any{"code": w.codeFor(domain.PurposePhoneVerification, v.VerificationId)}), 200)
	if check.Status != gen.VerificationCheckStatusVerified {
		w.t.Fatalf("phone not verified: %+v", check)
	}
	return phone
}

// system runs a command the way a reaction does.
func (w *world) system(cmd domain.Command) journal.Outcome {
	w.t.Helper()
	return must[journal.Outcome](w.t)(w.journal.Execute(w.t.Context(), journal.Request{
		Command: cmd, CommandID: uuid.New(), Actor: domain.Actor{Kind: domain.ActorSystem, Ref: "test"},
	}))
}

// enrollSMS does what the reaction to a verified phone does.
func (w *world) enrollSMS() {
	w.t.Helper()
	w.system(domain.EvaluateAutoSMS{UserID: w.user, PhoneID: w.phone})
}

// handset is an installation of an app and its key.
type handset struct {
	id  string
	key *ecdsa.PrivateKey
}

// sign is the app's signature over a text.
func (h handset) sign(t testing.TB, text string) string {
	t.Helper()
	digest := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(must[[]byte](t)(ecdsa.SignASN1(rand.Reader, h.key, digest[:])))
}

// install registers an installation of an app on a phone.
func (w *world) install(app, os, phone string) handset {
	w.t.Helper()
	h := handset{key: must[*ecdsa.PrivateKey](w.t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))}
	der := must[[]byte](w.t)(x509.MarshalPKIXPublicKey(&h.key.PublicKey))
	h.id = want[gen.InstallationAnswer](w.t, w.post(access.Device, "/v1/installations", map[string]any{
		"app": app, "os": os, "appVersion": "8.1", "handsetId": phone, "deviceName": "Tai Man's phone",
		"keyAlgorithm": "ES256", "publicKey": base64.RawURLEncoding.EncodeToString(der),
	}), 201).InstallationId
	return h
}

// begin starts an authentication for a process and returns its id.
func (w *world) begin(user, purpose string) string {
	w.t.Helper()
	a := want[gen.Authentication](w.t, w.post(access.Frontend, "/v1/authentications", map[string]any{
		"userId": user, "purpose": purpose, "platform": "client_portal", "primaryFactor": "verified",
	}), 201)
	if a.Decision != gen.AuthenticationDecisionProceed && a.Decision != gen.AuthenticationDecisionEnroll {
		w.t.Fatalf("begin %s: %+v", purpose, a)
	}
	return a.AuthenticationId
}

// enrollIBKey binds IB Key on a simulated iPhone and returns the completion.
func (w *world) enrollIBKey() gen.EnrollmentCompletion {
	w.t.Helper()
	h := w.install("ibkr_mobile", "ios", "hs-1")
	w.installation, w.key = h.id, h.key
	return w.enrollOn(h, w.user, "face_id")
}

// enrollOn binds a user's IB Key to an installation.
func (w *world) enrollOn(h handset, user, uv string) gen.EnrollmentCompletion {
	w.t.Helper()
	e := want[gen.Enrollment](w.t, w.post(access.Frontend, "/v1/users/"+user+"/enrollments", map[string]any{
		"kind": "ibkey", "installationId": h.id, "authenticationId": w.begin(user, "activation"),
	}), 201)
	path := "/v1/enrollments/" + e.EnrollmentId
	accepted := want[gen.Enrollment](w.t, w.post(access.Device, path+"/activation", map[string]any{
		"code": w.codeFor(domain.PurposeActivation, e.EnrollmentId),
	}), 200)
	if accepted.Status != gen.EnrollmentStatusCodeAccepted {
		w.t.Fatalf("activation: %+v", accepted)
	}
	done := want[gen.EnrollmentCompletion](w.t, w.post(access.Device, path+"/complete", map[string]any{"uv": uv}), 200)
	if done.Status == gen.EnrollmentCompletionStatusEnrolled {
		w.system(domain.BindToInstallation{InstallationID: h.id, UserID: user, AuthenticatorID: done.AuthenticatorId})
	}
	return done
}

// login starts a login and wants a challenge at once; no cooldown stands
// against it.
func (w *world) login(extra ...string) gen.Authentication {
	w.t.Helper()
	w.clock.advance(3 * time.Minute)
	return w.loginNow(extra...)
}

func (w *world) loginNow(extra ...string) gen.Authentication {
	w.t.Helper()
	body := map[string]any{"userId": w.user, "purpose": "login", "platform": "tws", "ip": "203.0.113.9", "primaryFactor": "verified"}
	for i := 0; i+1 < len(extra); i += 2 {
		body[extra[i]] = extra[i+1]
	}
	return want[gen.Authentication](w.t, w.post(access.Frontend, "/v1/authentications", body), 201)
}

func (w *world) sign(text string) string {
	w.t.Helper()
	return handset{w.installation, w.key}.sign(w.t, text)
}

// decide answers a push as the app would.
func (w *world) decide(c gen.Challenge, decision, number string) answer {
	w.t.Helper()
	doc := map[string]any{
		"challengeId": c.Id, "transactionId": c.AuthenticationId, "installationId": w.installation, "decision": decision,
		"uv": "face_id", "deviceTime": w.clock.Now().Format(time.RFC3339Nano), "shown": map[string]any{"platform": "tws"},
	}
	if number != "" {
		doc["matchedNumber"] = number
	}
	text := string(must[[]byte](w.t)(json.Marshal(doc)))
	return w.post(access.Device, "/v1/installations/"+w.installation+"/challenges/"+c.Id+"/decision", map[string]any{
		"document": text, "signature": w.sign("authledger/push/v1\n" + text),
	})
}

// quiet asserts that the log shows none of the texts.
func (w *world) quiet(secrets ...string) {
	w.t.Helper()
	for _, s := range secrets {
		if s != "" && strings.Contains(w.log.String(), s) {
			w.t.Errorf("the log holds %q", s)
		}
	}
}
