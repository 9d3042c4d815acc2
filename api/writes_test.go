package api

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/authledger/authledger/api/access"
	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/journal"
)

func TestRepeatedRequestAnswersTheFirstOutcome(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	body := map[string]any{"userId": w.user, "purpose": "login", "platform": "tws", "primaryFactor": "verified"}
	first := w.post(access.Frontend, "/v1/authentications", body, headerKey, "login-1")
	head := w.head()
	second := w.post(access.Frontend, "/v1/authentications", body, headerKey, "login-1")
	if first.header.Get(headerReplayed) != "" || second.header.Get(headerReplayed) != "true" {
		t.Errorf("replayed: %q, %q", first.header.Get(headerReplayed), second.header.Get(headerReplayed))
	}
	if got := first.header.Get(headerPosition); got == "" || got != second.header.Get(headerPosition) {
		t.Errorf("positions: %q, %q", got, second.header.Get(headerPosition))
	}
	if diff := cmp.Diff(string(first.body), string(second.body)); diff != "" || second.status != first.status {
		t.Errorf("answers differ (%d, %d): %s", first.status, second.status, diff)
	}
	if w.head() != head {
		t.Errorf("the repeat appended %d events", w.head()-head)
	}
	body["platform"] = "webtrader"
	reused := w.post(access.Frontend, "/v1/authentications", body, headerKey, "login-1")
	if reused.status != http.StatusUnprocessableEntity || reused.code(t) != "idempotency_key_reused" || w.head() != head {
		t.Errorf("same key, other request: %d %s", reused.status, reused.body)
	}
}

func TestKeysAreScopedByCallerAndRoute(t *testing.T) {
	t.Parallel()
	base := commandIDOf("ak_1", "POST", "/v1/users", "/v1/users", "k")
	if base != commandIDOf("ak_1", "POST", "/v1/users", "/v1/users", "k") {
		t.Error("the command id is not a function of the request")
	}
	for name, other := range map[string]uuid.UUID{
		"caller": commandIDOf("ak_2", "POST", "/v1/users", "/v1/users", "k"),
		"path":   commandIDOf("ak_1", "POST", "/v1/users", "/v1/users/x", "k"),
		"key":    commandIDOf("ak_1", "POST", "/v1/users", "/v1/users", "l"),
	} {
		if other == base {
			t.Errorf("another %s gives the same command id", name)
		}
	}
}

func TestUnchangedWritesStillAnswerAPosition(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	body := map[string]any{"reference": "C-1", "kind": "individual", "carryingEntity": "IB-HK", "carryingCountry": "HK"}
	a := w.post(access.Frontend, "/v1/clients", body)
	if got := want[gen.ClientAnswer](t, a, 200); len(got.EventIds) != 0 || got.ClientId != w.client {
		t.Errorf("registering twice: %+v", got)
	}
	if got := a.header.Get(headerPosition); got != w.position() {
		t.Errorf("position %q, want the head's, %s", got, w.position())
	}
	body["carryingCountry"] = "SG"
	if a := w.post(access.Frontend, "/v1/clients", body); a.status != http.StatusConflict || a.code(t) != "exists" {
		t.Errorf("other content: %d %s", a.status, a.body)
	}
}

func TestFactsAreRecorded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	for _, call := range []struct {
		path string
		body map[string]any
	}{
		{"/v1/clients/" + w.client + "/holders", map[string]any{"personRef": "P-1", "residence": "IN", "effectiveOn": "2026-01-01"}},
		{"/v1/clients/" + w.client + "/holders/removal", map[string]any{"personRef": "P-1", "effectiveOn": "2026-02-01"}},
		{"/v1/clients/" + w.client + "/carrying-entity", map[string]any{"carryingEntity": "IB-SG", "carryingCountry": "SG", "effectiveOn": "2026-02-01"}},
		{"/v1/users/" + w.user + "/residence", map[string]any{"residence": "SG", "effectiveOn": "2026-03-02"}},
		{"/v1/users/" + w.user + "/account-access", map[string]any{"clientId": w.client, "effectiveOn": "2026-02-01"}},
		{"/v1/users/" + w.user + "/account-access/revocation", map[string]any{"clientId": w.client, "effectiveOn": "2026-02-02"}},
		{"/v1/users/" + w.user + "/seamless", map[string]any{"enabled": false}},
	} {
		if a := want[gen.ActionResult](t, w.post(access.Frontend, call.path, call.body), 200); a.Status != gen.ActionResultStatusRecorded || len(a.EventIds) != 1 {
			t.Errorf("%s: %+v", call.path, a)
		}
	}
	if u := want[gen.User](t, w.get(access.Frontend, "/v1/users/"+w.user), 200); u.Residence != "SG" || u.Seamless {
		t.Errorf("user: %+v", u)
	}
	same := want[gen.ActionResult](t, w.post(access.Frontend, "/v1/users/"+w.user+"/seamless", map[string]any{"enabled": false}), 200)
	if same.Status != gen.ActionResultStatusUnchanged {
		t.Errorf("the same again: %+v", same)
	}
}

func TestPhoneIsReplacedAndRemoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	last := want[gen.ActionResult](t, w.post(access.Frontend, "/v1/phones/"+w.phone+"/removal", map[string]any{"reason": "client_request"}), 200)
	if last.Status != gen.ActionResultStatusRefused || last.ReasonCode != "LAST_AUTHENTICATOR" {
		t.Fatalf("removal of the last one: %+v", last)
	}
	next := want[gen.PhoneAnswer](t, w.post(access.Frontend, "/v1/users/"+w.user+"/phones", map[string]any{"number": "+852 6765 4321"}), 201).PhoneId
	a := w.post(access.Frontend, "/v1/phones/"+w.phone+"/replacement", map[string]any{"newPhoneId": next})
	if a.status != http.StatusConflict || a.code(t) != "phone_unverified" {
		t.Fatalf("replacement by an unverified phone: %d %s", a.status, a.body)
	}
	v := want[gen.Verification](t, w.post(access.Frontend, "/v1/phones/"+next+"/verifications", nil), 201)
	soon := want[gen.Verification](t, w.post(access.Frontend, "/v1/phones/"+next+"/verifications/"+v.VerificationId+"/resend", nil), 200)
	if soon.Status != gen.VerificationStatusRefused || soon.ReasonCode != "SMS_COOLDOWN" || soon.RetryAfterS != 120 {
		t.Fatalf("resend at once: %+v", soon)
	}
	wrong := want[gen.VerificationCheck](t, w.post(access.Frontend, "/v1/phones/"+next+"/verifications/"+v.VerificationId+"/checks", map[string]any{"code": "x"}), 200)
	if wrong.Status != gen.VerificationCheckStatusRejected || wrong.AttemptsLeft == nil || *wrong.AttemptsLeft != 3 {
		t.Fatalf("malformed code: %+v", wrong)
	}
	if a := w.post(access.Frontend, "/v1/phones/"+w.phone+"/verifications/"+v.VerificationId+"/checks", map[string]any{"code": "000000"}); a.status != http.StatusNotFound {
		t.Fatalf("verification of another phone: %d", a.status)
	}
	want[gen.VerificationCheck](t, w.post(access.Frontend, "/v1/phones/"+next+"/verifications/"+v.VerificationId+"/checks",
		map[string]any{"code": w.codeFor(domain.PurposePhoneVerification, v.VerificationId)}), 200)
	moved := want[gen.ActionResult](t, w.post(access.Frontend, "/v1/phones/"+w.phone+"/replacement", map[string]any{"newPhoneId": next}), 200)
	if moved.Status != gen.ActionResultStatusRecorded {
		t.Fatalf("replacement: %+v", moved)
	}
	list := want[gen.AuthenticatorList](t, w.get(access.Frontend, "/v1/users/"+w.user+"/authenticators"), 200)
	if len(list.Items) != 1 || list.Items[0].PhoneId != next || list.Items[0].MaskedTo != "+852 •••• 4321" {
		t.Fatalf("authenticators: %+v", list)
	}
}

func TestInstallationKeysAreChecked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	w.enrollIBKey()
	body := map[string]any{"app": "ibkr_mobile", "os": "ios", "appVersion": "1", "handsetId": "h", "keyAlgorithm": "Ed25519",
		"publicKey": "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEAAAAAAAAAAAAAAAA"}
	if a := w.post(access.Device, "/v1/installations", body); a.status != http.StatusUnprocessableEntity || a.code(t) != "public_key_invalid" {
		t.Errorf("half a key: %d %s", a.status, a.body)
	}
	path := "/v1/installations/" + w.installation
	if a := w.post(access.Device, path+"/pin", map[string]any{"pinPolicyVersion": 1}); a.status != http.StatusBadRequest {
		t.Errorf("PIN on iOS: %d %s", a.status, a.body)
	}
	token := "token-" + marker
	if a := want[gen.ActionResult](t, w.post(access.Device, path+"/push-token", map[string]any{"service": "apns", "token": token}), 200); a.Status != gen.ActionResultStatusRecorded {
		t.Errorf("push token: %+v", a)
	}
	kept, err := w.keys.Secret(t.Context(), domain.InstallationStream(w.installation), pushTokenSecret)
	if err != nil || string(kept) != token {
		t.Errorf("kept token: %v", err)
	}
	for r, err := range w.store.ReadStream(t.Context(), domain.InstallationStream(w.installation), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(r.Data)+string(r.Metadata), token) {
			t.Error("the token stands in the ledger")
		}
	}
	if a := w.post(access.Device, "/v1/installations/ins_00000000000000000000000000/push-token", map[string]any{"service": "apns", "token": token}); a.status != http.StatusNotFound {
		t.Errorf("token of nobody: %d", a.status)
	}
	w.quiet(token)
}

// brokenJournal fails one command.
type brokenJournal struct {
	*journal.Journal
	fails string
	err   error
}

func (b brokenJournal) Execute(ctx context.Context, r journal.Request) (journal.Outcome, error) {
	if r.Command.Name() == b.fails {
		return journal.Outcome{}, b.err
	}
	return b.Journal.Execute(ctx, r)
}

func TestEnrollmentIsGivenUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	w.enrollIBKey()
	txn := want[gen.Authentication](t, w.post(access.Frontend, "/v1/authentications", map[string]any{
		"userId": w.user, "purpose": "activation", "platform": "ibkr_mobile_ios", "primaryFactor": "verified",
	}), 201)
	e := want[gen.Enrollment](t, w.post(access.Frontend, "/v1/users/"+w.user+"/enrollments", map[string]any{
		"kind": "ibkey", "installationId": w.installation, "authenticationId": txn.AuthenticationId,
	}), 200)
	if e.Status != gen.EnrollmentStatusRefused || e.ReasonCode != "ALREADY_ENROLLED" {
		t.Fatalf("enrolling twice: %+v", e)
	}
	v := newWorld(t)
	v.register()
	v.enrollSMS()
	done := v.enrollIBKey()
	a := v.post(access.Device, "/v1/enrollments/"+done.EnrollmentId+"/resend", nil)
	if a.status != http.StatusConflict || a.code(t) != "enrollment_closed" {
		t.Fatalf("resend after the end: %d %s", a.status, a.body)
	}
	if a := want[gen.ActionResult](t, v.post(access.Device, "/v1/enrollments/"+done.EnrollmentId+"/cancel", nil), 200); a.Status != gen.ActionResultStatusUnchanged {
		t.Fatalf("cancel after the end: %+v", a)
	}
}

func TestSecretIsAnsweredAgainToTheSameRequestOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	done := w.enrollIBKey()
	path, key := "/v1/enrollments/"+done.EnrollmentId+"/complete", "key-"+strconv.Itoa(w.n)
	again := want[gen.EnrollmentCompletion](t, w.post(access.Device, path, map[string]any{"uv": "face_id"}, headerKey, key), 200)
	if again.Ocra.Secret != done.Ocra.Secret || again.Ocra.Secret == "" {
		t.Errorf("the repeat of a lost answer has no secret")
	}
	a := w.post(access.Device, path, map[string]any{"uv": "face_id"})
	if a.status != http.StatusConflict {
		t.Errorf("another request: %d %s", a.status, a.body)
	}
	w.quiet(done.Ocra.Secret)
}

func TestLimitsPerCaller(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.Limits.PerSecond, c.Limits.Burst = 1, 2 })
	var last answer
	for range 3 {
		last = w.get(access.Auditor, "/v1/meta/event-types")
	}
	if last.status != http.StatusTooManyRequests || last.header.Get("Retry-After") != "1" || last.header.Get("RateLimit-Policy") != `"caller";q=2;w=2` {
		t.Errorf("third request: %d %v", last.status, last.header)
	}
	if a := w.get(access.Operator, "/v1/meta/event-types"); a.status != http.StatusOK {
		t.Errorf("another caller: %d", a.status)
	}
}

func TestBucketsRefill(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	b := newBuckets(2, 3, func() time.Time { return now })
	for i := range 3 {
		if _, wait := b.take("a"); wait != 0 {
			t.Fatalf("token %d: wait %d", i, wait)
		}
	}
	if _, wait := b.take("a"); wait != 1 {
		t.Fatalf("empty: wait %d", wait)
	}
	now = now.Add(500 * time.Millisecond)
	if _, wait := b.take("a"); wait != 0 {
		t.Fatal("half a second brought no token")
	}
	now = now.Add(time.Hour)
	if left, _ := b.take("a"); left != 2 {
		t.Fatalf("left %d, want 2: the bucket overflowed", left)
	}
	var g gauges
	if !g.enter("a", 1) || g.enter("a", 1) || !g.enter("b", 1) {
		t.Fatal("gauge")
	}
	g.leave("a")
	if !g.enter("a", 1) {
		t.Fatal("gauge does not let in again")
	}
}
