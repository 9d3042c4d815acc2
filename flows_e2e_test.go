package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/authledger/authledger/api/gen"
)

// The flows of the rule book beyond the daily login, over HTTP against the
// built program, with its simulated phones and cards. Stories that need the
// clock share a program and follow one another, because its clock only goes
// forward.

// factory makes cards and imports their seeds as an operator would.
type factory struct {
	p   *product
	dir string
	n   int
}

// unit is one physical card: its id in the ledger and its file.
type unit struct {
	p    *product
	id   string
	file string
	pin  string
}

func (f *factory) make(count int) []*unit {
	f.p.t.Helper()
	f.n++
	batch, out := filepath.Join(f.dir, fmt.Sprintf("batch-%d.xml", f.n)), filepath.Join(f.dir, fmt.Sprintf("cards-%d", f.n))
	f.p.mustRun("card", "make", "--count", fmt.Sprint(count), "--out", out, "--pskc", batch, "--transport-key-file", filepath.Join(f.p.data, "pskc.key"))
	key := filepath.Join(f.dir, "operator.key")
	if err := os.WriteFile(key, []byte(f.p.keys["operator"]), 0o600); err != nil {
		f.p.t.Fatal(err)
	}
	var imported gen.DeviceImport
	if err := json.Unmarshal([]byte(f.p.mustRun("device", "import", "--server", f.p.url, "--key-file", key, "--json", batch)), &imported); err != nil {
		f.p.t.Fatalf("what device import printed: %v", err)
	}
	files, err := filepath.Glob(filepath.Join(out, "*.json"))
	if err != nil || len(files) != count || len(imported.Items) != count {
		f.p.t.Fatalf("%d card files and %d imported units, want %d (%v)", len(files), len(imported.Items), count, err)
	}
	var units []*unit
	for _, file := range files {
		var card struct {
			Serial string `json:"serial"`
		}
		b, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(b, &card)
		}
		if err != nil {
			f.p.t.Fatal(err)
		}
		for _, i := range imported.Items {
			if i.Serial == card.Serial {
				units = append(units, &unit{p: f.p, id: string(i.DeviceId), file: file})
			}
		}
	}
	if len(units) != count {
		f.p.t.Fatalf("%d of %d cards were found among the imported units", len(units), count)
	}
	return units
}

func (c *unit) respond(pin, challenge string) string {
	c.p.t.Helper()
	return c.p.mustRun("card", "respond", "--card", c.file, "--pin", pin, "--challenge", challenge)
}

// answer answers a challenge with the card and its PIN.
func (c *unit) answer(u *person, ch gen.Challenge) gen.Challenge {
	c.p.t.Helper()
	if ch.OfflineChallenge == "" {
		c.p.t.Fatalf("the card is asked nothing: %+v", ch)
	}
	return u.respond(ch.Id, c.respond(c.pin, ch.OfflineChallenge))
}

// order has a card sent to the user, who may activate it from then on.
func (u *person) order(c *unit, pin string) {
	u.p.t.Helper()
	var r gen.DeviceRequestAnswer
	u.p.post("frontend", "/v1/users/"+u.id+"/device-requests", gen.DeviceRequest{
		Model: "dsc_plus", Pin: pin, EquityUsdMinor: 250_000_000, ShipTo: "1 Harbour Road",
	}, &r)
	if r.Status != "requested" {
		u.p.t.Fatalf("order: %+v", r)
	}
	c.pin = pin
	u.p.mustRun("card", "set-pin", "--card", c.file, "--pin", pin)
	u.p.post("operator", "/v1/devices/"+c.id+"/shipment", gen.ShipmentRequest{RequestId: r.RequestId, DispatchedOn: gen.Date(u.p.now().Format(time.DateOnly))}, nil)
	u.p.until("the shipment reaches the user's stream", func() bool { _, n := u.find("PhysicalDeviceShipped"); return n > 0 })
}

// withCard orders and activates a card.
func (u *person) withCard(c *unit, pin string) *person {
	u.p.t.Helper()
	u.order(c, pin)
	a := u.authenticate("activation", "client_portal", "verified")
	var e gen.Enrollment
	u.p.post("frontend", "/v1/users/"+u.id+"/enrollments", gen.StartEnrollmentRequest{
		Kind: "dsc_plus", DeviceId: gen.DeviceId(c.id), AuthenticationId: a.AuthenticationId,
	}, &e)
	if e.Status != "challenged" {
		u.p.t.Fatalf("activation of a card: %+v", e)
	}
	if got := c.answer(u, e.Challenge); got.LastAttempt != "correct" || got.Process.AuthenticatorId == "" {
		u.p.t.Fatalf("activation of a card: %+v", got)
	}
	return u
}

// authenticator is the id of the user's authenticator of a kind.
func (u *person) authenticator(kind string) string {
	u.p.t.Helper()
	var list gen.AuthenticatorList
	u.p.get("frontend", "/v1/users/"+u.id+"/authenticators", &list)
	for _, a := range list.Items {
		if string(a.Kind) == kind {
			return string(a.AuthenticatorId)
		}
	}
	u.p.t.Fatalf("%s has no %s", u.ref, kind)
	return ""
}

func (u *person) status(kind string) string {
	u.p.t.Helper()
	var list gen.AuthenticatorList
	u.p.get("frontend", "/v1/users/"+u.id+"/authenticators", &list)
	for _, a := range list.Items {
		if string(a.Kind) == kind {
			return string(a.Status)
		}
	}
	return ""
}

// on logs in with the right password on a platform, with a client version and
// channel where they matter.
func (u *person) on(platform, version, channel string) gen.Authentication {
	u.p.t.Helper()
	var a gen.Authentication
	u.p.post("frontend", "/v1/authentications", gen.StartAuthenticationRequest{
		UserId: gen.UserId(u.id), Purpose: "login", Platform: gen.Platform(platform), ClientVersion: version,
		ReleaseChannel: gen.ReleaseChannel(channel), PrimaryFactor: "verified",
	}, &a)
	return a
}

func (u *person) identify() {
	u.p.t.Helper()
	u.p.post("operator", "/v1/users/"+u.id+"/identity-verifications", gen.IdentityVerificationRequest{AgentRef: "agent-7", Method: "callback"}, nil)
}

func (p *product) pass(d time.Duration) {
	p.t.Helper()
	p.setClock(p.now().Add(d).Format(time.RFC3339Nano))
}

// reason is the reason of the newest event of a type in the user's story.
func (u *person) reason(eventType string) string {
	u.p.t.Helper()
	last, n := u.find(eventType)
	if n == 0 {
		u.p.t.Fatalf("%s has no %s", u.ref, eventType)
	}
	s, _ := field(u.p.t, last, "reason").(string)
	return s
}

func (u *person) parameter(name string, value int64) {
	u.p.t.Helper()
	u.p.post("compliance", "/v1/policy/parameters/"+name, gen.SetParameterRequest{
		Value: value, EffectiveFrom: "2020-01-01", Reason: "an end-to-end test",
	}, nil)
}

func TestEndToEndS9S10S18CardsOfEveryKind(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir())
	f := &factory{p: p, dir: t.TempDir()}
	cards := f.make(2)
	card := cards[0]
	u := newPerson(p, "s9", "DE", "IE").withSMS().withCard(card, "4711")
	if got := u.kinds(); got != "dsc_plus" {
		t.Fatalf("active authenticators: %s, want dsc_plus alone", got)
	}

	a := u.authenticate("login", "webtrader", "verified")
	if a.Challenge.Mode != "challenge_response" || len(a.Challenge.OfflineChallenge) != 6 {
		t.Fatalf("login: %+v", a)
	}
	if c := u.respond(a.Challenge.Id, card.respond("0000", a.Challenge.OfflineChallenge)); c.LastAttempt != "incorrect" || c.AttemptsLeft != 2 {
		t.Errorf("with a wrong PIN: %+v, want an incorrect attempt", c)
	}
	right := card.respond("4711", a.Challenge.OfflineChallenge)
	if c := u.respond(a.Challenge.Id, right); c.Result != "allow" || c.SessionRef == "" {
		t.Fatalf("right response: %+v", c)
	}
	if c := u.respond(a.Challenge.Id, right); c.Result != "deny" || u.reason("ResponseRejected") != "CHALLENGE_USED" {
		t.Errorf("the same response again: %+v", c)
	}
	verified, _ := u.find("AuthenticationSucceeded")
	if field(t, verified, "protection_rank") != 3.0 {
		t.Errorf("AuthenticationSucceeded = %s", verified)
	}

	a = u.authenticate("login", "tws", "verified")
	for left := 2; left >= 0; left-- {
		if c := u.respond(a.Challenge.Id, "00000000"); c.AttemptsLeft != left {
			t.Errorf("attempts left %d, want %d", c.AttemptsLeft, left)
		}
	}
	u.wantInOrder("ChallengeExhausted", "AuthenticationFailed")

	// S-10: a second device needs the first, then the user picks.
	u.addIBKey(card)
	a = u.authenticate("login", "client_portal", "verified")
	if a.Decision != "challenge" || len(a.Options) != 2 || a.Options[0].Kind != "dsc_plus" || a.Options[1].Kind != "ibkey" {
		t.Fatalf("with two devices: %+v, want both offered, the strongest first", a)
	}
	var push gen.Challenge
	p.post("frontend", "/v1/authentications/"+string(a.AuthenticationId)+"/challenges", gen.IssueChallengeRequest{AuthenticatorId: a.Options[1].AuthenticatorId}, &push)
	if push.Mode != "push" {
		t.Errorf("IB Key picked: %+v", push)
	}
	if old := u.on("tws", "965", "stable"); old.Challenge.Kind != "dsc_plus" {
		t.Errorf("TWS 965: %+v, want the card without a choice", old)
	}
	if last, _ := u.find("SecondFactorSelected"); field(t, last, "by") != "default_unsupported_client" {
		t.Errorf("SecondFactorSelected = %s", last)
	}

	// The PIN is changed by a response made with the new one.
	txn := u.authenticate("pin_change", "client_portal", "verified")
	var change gen.ProofAnswer
	p.post("frontend", "/v1/authenticators/"+u.authenticator("dsc_plus")+"/pin-change", gen.PinChangeRequest{AuthenticationId: txn.AuthenticationId, Pin: "0815"}, &change)
	card.pin = "0815"
	p.mustRun("card", "set-pin", "--card", card.file, "--pin", "0815")
	if c := card.answer(u, change.Challenge); c.LastAttempt != "correct" {
		t.Errorf("response with the new PIN: %+v", c)
	}
	u.wantInOrder("DevicePINChanged")

	u.shares(card)

	// S-9: after five minutes the login starts over. The clock moves last.
	late := u.pick("dsc_plus")
	p.pass(5 * time.Minute)
	if c := card.answer(u, late); c.Result != "deny" || c.ReasonCode != "CHALLENGE_EXPIRED" {
		t.Errorf("after five minutes: %+v", c)
	}
}

// pick logs in and picks an authenticator by its kind.
func (u *person) pick(kind string) gen.Challenge {
	u.p.t.Helper()
	a := u.authenticate("login", "client_portal", "verified")
	if len(a.Options) < 2 {
		return a.Challenge
	}
	var c gen.Challenge
	u.p.post("frontend", "/v1/authentications/"+string(a.AuthenticationId)+"/challenges", gen.IssueChallengeRequest{AuthenticatorId: gen.AuthenticatorId(u.authenticator(kind))}, &c)
	return c
}

// addIBKey activates IB Key for a user who has a card: the card must answer
// first.
func (u *person) addIBKey(card *unit) {
	t := u.p.t
	t.Helper()
	installation := u.p.mustRun("phone", "register", "--file", u.phone, "--server", u.p.url, "--os", "ios")
	a := u.authenticate("activation", "ibkr_mobile_ios", "verified")
	ask := gen.StartEnrollmentRequest{Kind: "ibkey", InstallationId: gen.InstallationId(installation), AuthenticationId: a.AuthenticationId}
	var e gen.Enrollment
	u.p.post("frontend", "/v1/users/"+u.id+"/enrollments", ask, &e)
	if e.Status != "refused" || e.ReasonCode != "STEP_UP_REQUIRED" {
		t.Fatalf("without the card: %+v, want STEP_UP_REQUIRED", e)
	}
	var c gen.Challenge
	u.p.post("frontend", "/v1/authentications/"+string(a.AuthenticationId)+"/challenges", gen.IssueChallengeRequest{}, &c)
	if got := card.answer(u, c); got.LastAttempt != "correct" || got.SessionRef != "" {
		t.Fatalf("the card proves itself: %+v, want correct and no session", got)
	}
	e = gen.Enrollment{}
	u.p.post("frontend", "/v1/users/"+u.id+"/enrollments", ask, &e)
	if e.Status != "code_sent" {
		t.Fatalf("after the card answered: %+v", e)
	}
	u.p.mustRun("phone", "activate", "--file", u.phone, "--user", u.id, "--enrollment", string(e.EnrollmentId), "--code", u.p.codeFor(string(e.MessageId)), "--uv", "face_id")
}

// shares is S-18: another user of the same client answers with the card, and
// its loss suspends both.
func (u *person) shares(card *unit) {
	t := u.p.t
	t.Helper()
	friend := newPersonOf(u.p, "s18-friend", "DE", u.client).withSMS()
	friend.parameter("scc.issue", 1)
	var scc gen.CodeCard
	u.p.post("frontend", "/v1/users/"+friend.id+"/code-cards", gen.CodeCardRequest{Kind: "scc"}, &scc)
	if scc.Status != "issued" || len(scc.Cells) != 224 {
		t.Fatalf("printed card: %s with %d cells", scc.Status, len(scc.Cells))
	}
	a := friend.authenticate("activation", "client_portal", "verified")
	var asked gen.ProofAnswer
	u.p.post("frontend", "/v1/code-cards/"+string(scc.AuthenticatorId)+"/activation", gen.CodeCardActivationRequest{AuthenticationId: a.AuthenticationId}, &asked)
	if got := friend.respond(asked.Challenge.Id, cells(scc, asked.Challenge)); got.LastAttempt != "correct" {
		t.Fatalf("two cells: %+v", got)
	}
	login := friend.authenticate("login", "client_portal", "verified")
	if login.Challenge.Mode != "grid" {
		t.Fatalf("login with a card: %+v", login)
	}
	if got := friend.respond(login.Challenge.Id, cells(scc, login.Challenge)); got.Result != "allow" {
		t.Errorf("two cells at a login: %+v", got)
	}

	less := u.authenticate("device_sharing", "client_portal", "verified")
	var s gen.DeviceSharing
	u.p.post("frontend", "/v1/users/"+u.id+"/device-sharings", gen.DeviceSharingRequest{AuthenticationId: less.AuthenticationId, AuthenticatorId: scc.AuthenticatorId}, &s)
	if s.Status != "denied" || s.ReasonCode != "SHARE_LESS_SECURE" {
		t.Errorf("sharing the printed card: %+v, want SHARE_LESS_SECURE", s)
	}
	txn := friend.authenticate("device_sharing", "client_portal", "verified")
	var proof gen.Challenge
	u.p.post("frontend", "/v1/authentications/"+string(txn.AuthenticationId)+"/challenges", gen.IssueChallengeRequest{}, &proof)
	friend.respond(proof.Id, cells(scc, proof))
	s = gen.DeviceSharing{}
	u.p.post("frontend", "/v1/users/"+friend.id+"/device-sharings", gen.DeviceSharingRequest{
		AuthenticationId: txn.AuthenticationId, AuthenticatorId: gen.AuthenticatorId(u.authenticator("dsc_plus")),
	}, &s)
	if s.Status != "challenged" {
		t.Fatalf("sharing: %+v", s)
	}
	if got := card.answer(friend, s.Challenge); got.LastAttempt != "correct" {
		t.Fatalf("the shared card answers: %+v", got)
	}
	friend.wantInOrder("DeviceSharingRequested", "ResponseVerified", "DeviceSharingGranted", "AuthenticatorEnrolled")
	if got := card.answer(friend, friend.pick("dsc_plus")); got.Result != "allow" {
		t.Errorf("login with the shared card: %+v", got)
	}
	u.p.until("the unit knows both its users", func() bool {
		var d struct {
			Bindings []json.RawMessage `json:"bindings"`
		}
		u.p.get("auditor", "/v1/devices/"+card.id, &d)
		return len(d.Bindings) == 2
	})
	u.p.post("frontend", "/v1/authenticators/"+u.authenticator("dsc_plus")+"/loss", gen.LossRequest{By: "client"}, nil)
	u.p.until("the loss suspends both", func() bool { return u.status("dsc_plus") == "suspended" && friend.status("dsc_plus") == "suspended" })
	u.identify()
	u.p.post("operator", "/v1/authenticators/"+u.authenticator("dsc_plus")+"/reactivation", gen.ReactivationRequest{Proof: "agent"}, nil)
	if got := u.status("dsc_plus"); got != "active" {
		t.Errorf("after an agent reactivated it: %s", got)
	}
}

// cells looks up what a challenge asks of a card.
func cells(card gen.CodeCard, c gen.Challenge) string {
	if len(c.GridIndices) != 2 {
		return ""
	}
	return card.Cells[c.GridIndices[0]-1] + card.Cells[c.GridIndices[1]-1]
}

func TestEndToEndS2S3MessagesAndVoice(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir())
	u := newPerson(p, "s2", "HK", "HK")
	v, code := u.startVerification()
	again := "/v1/phones/" + u.phoneID + "/verifications/" + string(v.VerificationId) + "/resend"
	var resent gen.Verification
	p.post("frontend", again, nil, &resent)
	if resent.Status != "refused" || resent.ReasonCode != "SMS_COOLDOWN" || resent.RetryAfterS < 1 || resent.RetryAfterS > 120 {
		t.Errorf("at once: %+v, want SMS_COOLDOWN", resent)
	}
	p.pass(2 * time.Minute)
	resent = gen.Verification{}
	p.post("frontend", again, nil, &resent)
	if resent.Status != "pending" {
		t.Fatalf("after two minutes: %+v", resent)
	}
	if c := u.check(v, code); c.ReasonCode != "CODE_SUPERSEDED" {
		t.Errorf("the first code: %+v, want CODE_SUPERSEDED", c)
	}
	if c := u.check(v, p.codeFor(string(resent.MessageId))); c.Status != "verified" {
		t.Fatalf("the second code: %+v", c)
	}
	p.until("SMS is enrolled", func() bool { return u.kinds() == "sms" })

	// S-3: the code did not come, so it is spoken.
	a := u.on("tws", "1030", "latest")
	sent := p.codeFor(a.Challenge.Delivery.MessageId)
	var call gen.VoiceCall
	p.post("frontend", "/v1/challenges/"+string(a.Challenge.Id)+"/voice-calls", nil, &call)
	if call.Status != "requested" || call.CallId == "" {
		t.Fatalf("voice call: %+v", call)
	}
	u.wantInOrder("LoginCodeIssued", "VoiceCallRequested", "VoiceDispatchStarted", "VoiceCallPlaced")
	if placed, _ := u.find("VoiceCallPlaced"); field(t, placed, "sla_missed") != false {
		t.Errorf("VoiceCallPlaced = %s", placed)
	}
	if c := u.respond(a.Challenge.Id, sent); c.LastAttempt != "incorrect" || u.reason("ResponseRejected") != "CODE_SUPERSEDED" || c.Attempts != 0 {
		t.Errorf("the code of the SMS: %+v, want superseded and not counted", c)
	}
	if c := u.respond(a.Challenge.Id, p.spoken(string(call.CallId))); c.Result != "allow" {
		t.Fatalf("the spoken code: %+v", c)
	}
	if verified, _ := u.find("ResponseVerified"); field(t, verified, "mode") != "voice_code" {
		t.Errorf("ResponseVerified = %s", verified)
	}
	var calls, locks listed
	p.get("auditor", "/v1/voice-calls?userId="+u.id, &calls)
	if len(calls.Items) != 1 {
		t.Errorf("%d calls in the ledger, want 1", len(calls.Items))
	}
	for _, c := range []struct{ platform, channel, reason string }{{"tws", "stable", "VOICE_RELEASE_CHANNEL"}, {"webtrader", "", "VOICE_PLATFORM"}} {
		p.pass(2 * time.Minute)
		a := u.on(c.platform, "", c.channel)
		call = gen.VoiceCall{}
		p.post("frontend", "/v1/challenges/"+string(a.Challenge.Id)+"/voice-calls", nil, &call)
		if call.Status != "refused" || u.reason("VoiceCallRefused") != c.reason {
			t.Errorf("voice on %s %s: %+v, want %s", c.platform, c.channel, call, c.reason)
		}
	}

	// S-19: ten failures lock, and the right password does not help.
	for range 10 {
		u.authenticate("login", "client_portal", "rejected")
	}
	if a := u.authenticate("login", "client_portal", "verified"); a.Decision != "deny" || u.reason("AuthenticationRefused") != "USER_LOCKED" {
		t.Errorf("while locked: %+v", a)
	}
	p.get("auditor", "/v1/locks?userId="+u.id, &locks)
	if len(locks.Items) != 1 {
		t.Errorf("%d locks on the record, want 1", len(locks.Items))
	}
	var refused map[string]any
	p.post("operator", "/v1/users/"+u.id+"/unlock", nil, &refused)
	if refused["reasonCode"] != "IDV_REQUIRED" {
		t.Errorf("unlock without identity verification: %v", refused)
	}
	u.identify()
	p.post("operator", "/v1/users/"+u.id+"/unlock", nil, nil)
	if a := u.authenticate("login", "client_portal", "verified"); a.Decision != "challenge" {
		t.Errorf("after the agent unlocked: %+v", a)
	}
}

// listed is a list of which only the length matters.
type listed struct {
	Items []json.RawMessage `json:"items"`
}

// spoken waits for a voice call and returns the code its script speaks.
func (p *product) spoken(callID string) string {
	p.t.Helper()
	text := ""
	p.until("call "+callID+" arrives", func() bool {
		var inbox gen.InboxList
		if _, err := p.as("operator").Get(p.t.Context(), "/dev/inbox", nil, &inbox); err != nil {
			p.t.Fatalf("read the inbox: %v", err)
		}
		for _, m := range inbox.Items {
			if m.Id == callID {
				text = m.Text
			}
		}
		return text != ""
	})
	var digits strings.Builder
	for _, r := range text {
		if r >= '0' && r <= '9' {
			digits.WriteRune(r)
		}
	}
	code := digits.String()
	if len(code) != 12 || code[:6] != code[6:] {
		p.t.Fatalf("the script does not speak six digits twice: %d digits", len(code))
	}
	return code[:6]
}

func TestEndToEndS14LostDevice(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir())
	f := &factory{p: p, dir: t.TempDir()}
	cards := f.make(2)
	de := newPerson(p, "s14", "DE", "IE").withSMS().withCard(cards[0], "1234")
	hk := newPerson(p, "s14-hk", "HK", "HK").withSMS().withCard(cards[1], "1234")
	issue := func(u *person) gen.TemporaryPasscode {
		var c gen.TemporaryPasscode
		p.post("operator", "/v1/users/"+u.id+"/temporary-passcodes", gen.TemporaryPasscodeRequest{MissingAuthenticatorId: gen.AuthenticatorId(u.authenticator("dsc_plus"))}, &c)
		return c
	}
	if c := issue(de); c.Status != "refused" || c.ReasonCode != "IDV_REQUIRED" {
		t.Errorf("without identity verification: %+v", c)
	}
	de.identify()
	hk.identify()
	code, abroad := issue(de), issue(hk)
	if code.Passcode == "" || code.FullUntil.IsZero() || !abroad.FullUntil.IsZero() || abroad.ScopeRuleId != "HK-TEMP-1" {
		t.Fatalf("passcodes: Germany %+v, Hong Kong %+v", code.Status, abroad)
	}
	if got := de.status("dsc_plus"); got != "suspended" {
		t.Errorf("the missing card is %s", got)
	}
	enter := func(u *person, platform, passcode string) (gen.Authentication, gen.Challenge) {
		a := u.authenticate("login", platform, "verified")
		if a.Challenge.Id == "" {
			return a, gen.Challenge{}
		}
		return a, u.respond(a.Challenge.Id, passcode)
	}
	if _, c := enter(de, "tws", code.Passcode); c.Result != "allow" || c.Scope != "full" {
		t.Errorf("within two days on TWS: %+v", c)
	}
	if a, _ := enter(hk, "tws", abroad.Passcode); a.Decision != "deny" || hk.reason("AuthenticationFailed") != "SCOPE_RECOVERY_ONLY" {
		t.Errorf("Hong Kong on TWS: %+v", a)
	}
	if _, c := enter(hk, "client_portal", abroad.Passcode); c.Result != "allow" || c.Scope != "recovery_only" {
		t.Errorf("Hong Kong in the portal: %+v", c)
	}
	if c := issue(de); c.ReasonCode != "TEMP_CONSECUTIVE" {
		t.Errorf("a second passcode: %+v", c)
	}

	p.setClock(code.FullUntil.Format(time.RFC3339Nano))
	if a, _ := enter(de, "tws", code.Passcode); a.Decision != "deny" {
		t.Errorf("after two days on TWS: %+v", a)
	}
	a, c := enter(de, "client_portal", code.Passcode)
	if c.Result != "allow" || c.Scope != "recovery_only" {
		t.Fatalf("after two days in the portal: %+v", c)
	}
	var card gen.CodeCard
	p.post("frontend", "/v1/users/"+de.id+"/code-cards", gen.CodeCardRequest{Kind: "oscc", AuthenticationId: a.AuthenticationId}, &card)
	var asked gen.ProofAnswer
	p.post("frontend", "/v1/code-cards/"+string(card.AuthenticatorId)+"/activation", gen.CodeCardActivationRequest{}, &asked)
	if got := de.respond(asked.Challenge.Id, cells(card, asked.Challenge)); got.LastAttempt != "correct" {
		t.Fatalf("two cells of the online card: %+v", got)
	}
	if got := de.kinds(); got != "oscc" {
		t.Errorf("active: %s, want oscc alone", got)
	}
	login := de.authenticate("login", "client_portal", "verified")
	if got := de.respond(login.Challenge.Id, cells(card, login.Challenge)); got.Result != "allow" {
		t.Errorf("login with the online card: %+v", got)
	}
	p.post("frontend", "/v1/authenticators/"+de.authenticator("dsc_plus")+"/reactivation", gen.ReactivationRequest{Proof: "oscc", AuthenticationId: login.AuthenticationId}, nil)
	if got := de.kinds(); got != "dsc_plus" {
		t.Errorf("after the card was found: %s, want dsc_plus alone", got)
	}

	p.setClock(abroad.EndsAt.Format(time.RFC3339Nano))
	if a := hk.authenticate("login", "client_portal", "verified"); a.Decision != "enroll" || hk.reason("ChallengeRefused") != "AUTHENTICATOR_NOT_ACTIVE" {
		t.Errorf("after twelve days: %+v", a)
	}
}

func TestEndToEndS17S20FactsAndRulesThatChange(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), "--demo-clock", "2024-03-01T00:00:00Z")
	ask := func(u *person) gen.OptOutAnswer {
		var o gen.OptOutAnswer
		p.post("frontend", "/v1/users/"+u.id+"/opt-out-requests", gen.OptOutRequest{RequestedBy: gen.UserId(u.id), AgreementVersion: "1", Acknowledged: true}, &o)
		return o
	}
	u := newPerson(p, "s17", "DE", "IE").withSMS()
	if o := ask(u); o.Decision != "granted" {
		t.Fatalf("opt-out: %+v", o)
	}
	p.setClock("2024-03-10T18:30:00Z") // midnight in India, ten days after the move
	p.post("frontend", "/v1/users/"+u.id+"/residence", gen.ResidenceRequest{Residence: "IN", EffectiveOn: "2024-03-02"}, nil)
	p.until("the opt-out is revoked", func() bool { _, n := u.find("OptOutRevoked"); return n == 1 })
	revoked, _ := u.find("OptOutRevoked")
	if field(t, revoked, "cause") != "residence_change" || field(t, revoked, "effective_at") != "2024-03-01T18:30:00Z" {
		t.Errorf("OptOutRevoked = %s", revoked)
	}
	if s, _ := field(t, revoked, "exposed_s").(float64); s < 9*86400 || s > 9*86400+60 {
		t.Errorf("exposed for %v s, want nine days", s)
	}
	if a := u.authenticate("login", "tws", "verified"); a.Decision != "challenge" {
		t.Errorf("the next login: %+v", a)
	}
	p.post("frontend", "/v1/users/"+u.id+"/residence", gen.ResidenceRequest{Residence: "DE", EffectiveOn: "2024-03-10"}, nil)
	if o := ask(u); o.Decision != "granted" {
		t.Errorf("back in Germany: %+v", o)
	}

	// S-20: a rule proposed, seen to matter, and put into force with a date in
	// the past.
	before := p.now()
	p.pass(time.Hour)
	row := gen.PublishRuleRequest{
		RuleId: "DE-2FA-1", Version: 1, Cc: "DE", Tz: "Europe/Berlin", Status: "proposed", Effects: []gen.RuleEffect{{Effect: "deny_opt_out"}},
		LegalBasis: "draft ordinance", EffectiveFrom: "2024-01-01", Tests: []gen.RuleTest{"residence"}, BasisOfDate: "the draft",
	}
	p.post("compliance", "/v1/policy/rules", row, nil)
	var impact gen.RuleImpact
	p.get("auditor", "/v1/policy/impact?ruleId=DE-2FA-1", &impact)
	if impact.OptedOut != 1 || impact.Affected != 1 {
		t.Errorf("impact of the proposal: %+v, want one of one", impact)
	}
	p.post("compliance", "/v1/policy/rules/DE-2FA-1/amendments", gen.AmendRuleRequest{
		Version: 2, Cc: "DE", Tz: "Europe/Berlin", Status: "active", Effects: row.Effects, LegalBasis: "ordinance", EffectiveFrom: "2024-01-01", Tests: row.Tests,
	}, nil)
	p.until("the published rule ends the opt-out", func() bool { _, n := u.find("OptOutRevoked"); return n == 2 })
	if last, _ := u.find("OptOutRevoked"); field(t, last, "cause") != "rule_in_force" {
		t.Errorf("OptOutRevoked = %s", last)
	}
	var then, now gen.UserDecision
	path := "/v1/users/" + u.id + "/decision?asOf=" + before.Format(time.RFC3339) + "&knownAt="
	p.get("auditor", path+before.Format(time.RFC3339), &then)
	p.get("auditor", path+p.now().Format(time.RFC3339Nano), &now)
	if then.Basis.DecisiveRuleId != "DEFAULT-1" || now.Basis.DecisiveRuleId != "DE-2FA-1" {
		t.Errorf("decided by %s as known then and by %s as known now, want DEFAULT-1 and DE-2FA-1", then.Basis.DecisiveRuleId, now.Basis.DecisiveRuleId)
	}
	if out := p.mustRun("replay", "rules", "--data", p.data, "--at", before.Format(time.RFC3339), "--known-at", before.Format(time.RFC3339)); strings.Contains(out, "DE-2FA-1") || !strings.Contains(out, "HK-2FA-1") {
		t.Errorf("rules as known then:\n%s", out)
	}
	p.mustRun("replay", "check-decisions", "--data", p.data) // ends with 11 when one differs
	if _, err := p.as("frontend").Post(t.Context(), "/v1/policy/rules", row, nil); err == nil {
		t.Error("a frontend published a rule")
	}
}
