package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authledger/authledger/api/gen"
)

// These are the scenarios of the rule book once more, over HTTP against the
// built program, with its own simulated phone.

// person is a user on the running product.
type person struct {
	p       *product
	ref     string
	id      string
	client  gen.ClientId
	number  string
	phoneID string
	phone   string // the simulated phone's file
}

// numbers makes a number of its own for each person of a test process: no more
// than ten messages an hour go to one number.
var numbers = map[string]string{"HK": "+8525123%04d", "DE": "+491511234%04d"}

var people atomic.Int64

// newPerson registers a client and a user with a phone that is not verified.
func newPerson(p *product, ref, cc, carrying string) *person {
	p.t.Helper()
	var c gen.ClientAnswer
	p.post("frontend", "/v1/clients", gen.RegisterClientRequest{
		Reference: "C-" + ref, Kind: "individual", CarryingEntity: "IB-" + carrying, CarryingCountry: carrying,
	}, &c)
	return newPersonOf(p, ref, cc, c.ClientId)
}

// newPersonOf registers a user of a client that is there.
func newPersonOf(p *product, ref, cc string, client gen.ClientId) *person {
	p.t.Helper()
	var u gen.UserAnswer
	p.post("frontend", "/v1/users", gen.RegisterUserRequest{
		Reference: "U-" + ref, ClientId: client, Role: "owner", Username: "user-" + ref, Locale: "en",
		Residence: cc, ResidentOn: "2010-01-01",
	}, &u)
	var ph gen.PhoneAnswer
	number := fmt.Sprintf(numbers[cc], people.Add(1))
	p.post("frontend", "/v1/users/"+string(u.UserId)+"/phones", gen.AddPhoneRequest{Number: number}, &ph)
	return &person{
		p: p, ref: ref, id: string(u.UserId), client: client, number: number, phoneID: string(ph.PhoneId),
		phone: filepath.Join(p.t.TempDir(), "phone-"+ref+".json"),
	}
}

func (u *person) startVerification() (gen.Verification, string) {
	u.p.t.Helper()
	var v gen.Verification
	u.p.post("frontend", "/v1/phones/"+u.phoneID+"/verifications", nil, &v)
	if v.Status != "pending" {
		u.p.t.Fatalf("verification of %s: %+v", u.ref, v)
	}
	return v, u.p.codeFor(string(v.MessageId))
}

func (u *person) check(v gen.Verification, code string) gen.VerificationCheck {
	u.p.t.Helper()
	var c gen.VerificationCheck
	path := "/v1/phones/" + u.phoneID + "/verifications/" + string(v.VerificationId) + "/checks"
	u.p.post("frontend", path, gen.CodeRequest{Code: code}, &c)
	return c
}

// withSMS verifies the phone and waits until SMS is enrolled by itself.
func (u *person) withSMS() *person {
	u.p.t.Helper()
	v, code := u.startVerification()
	if c := u.check(v, code); c.Status != "verified" {
		u.p.t.Fatalf("verify the phone of %s: %+v", u.ref, c)
	}
	u.p.until("SMS is enrolled", func() bool { return u.kinds() == "sms" })
	return u
}

// kinds lists the active authenticators' kinds.
func (u *person) kinds() string {
	u.p.t.Helper()
	var list gen.AuthenticatorList
	u.p.get("frontend", "/v1/users/"+u.id+"/authenticators", &list)
	var kinds []string
	for _, a := range list.Items {
		if a.Status == "active" {
			kinds = append(kinds, string(a.Kind))
		}
	}
	return strings.Join(kinds, ",")
}

func (u *person) authenticate(purpose, platform, verdict string) gen.Authentication {
	u.p.t.Helper()
	var a gen.Authentication
	req := gen.StartAuthenticationRequest{
		UserId: gen.UserId(u.id), Purpose: gen.StartAuthenticationRequestPurpose(purpose), Platform: gen.Platform(platform),
		PrimaryFactor: gen.StartAuthenticationRequestPrimaryFactor(verdict), Ip: "203.0.113.9",
	}
	if platform == "tws" {
		req.ClientVersion, req.ReleaseChannel = "10.30", "latest"
	}
	u.p.post("frontend", "/v1/authentications", req, &a)
	return a
}

// withIBKey activates IB Key on the simulated phone, run as a program.
func (u *person) withIBKey(os, uv string) *person {
	u.p.t.Helper()
	installation := u.p.mustRun("phone", "register", "--file", u.phone, "--server", u.p.url, "--os", os)
	if os == "android" { // it has a PIN even where a finger unlocks it (domain.md D-16)
		u.p.mustRun("phone", "pin", "--file", u.phone, "--pin", "ab12", "--repeat", "ab12")
	}
	a := u.authenticate("activation", "ibkr_mobile_"+os, "verified")
	if a.Decision != "enroll" {
		u.p.t.Fatalf("activation of %s: %+v", u.ref, a)
	}
	var e gen.Enrollment
	u.p.post("frontend", "/v1/users/"+u.id+"/enrollments", gen.StartEnrollmentRequest{
		Kind: "ibkey", InstallationId: gen.InstallationId(installation), AuthenticationId: a.AuthenticationId,
	}, &e)
	if e.Status != "code_sent" {
		u.p.t.Fatalf("enrollment of %s: %+v", u.ref, e)
	}
	u.p.mustRun("phone", "activate", "--file", u.phone, "--user", u.id, "--enrollment", string(e.EnrollmentId),
		"--code", u.p.codeFor(string(e.MessageId)), "--uv", uv)
	return u
}

func (u *person) challenge(id gen.ChallengeId) gen.Challenge {
	u.p.t.Helper()
	var c gen.Challenge
	if _, err := u.p.as("frontend").Get(u.p.t.Context(), "/v1/challenges/"+string(id), nil, &c); err != nil {
		u.p.t.Fatalf("challenge: %v", err)
	}
	return c
}

func (u *person) respond(id gen.ChallengeId, response string) gen.Challenge {
	u.p.t.Helper()
	var c gen.Challenge
	u.p.post("frontend", "/v1/challenges/"+string(id)+"/responses", gen.ResponseRequest{Response: response}, &c)
	return c
}

// story is what the audit timeline of the user says, oldest first.
func (u *person) story() []gen.Event {
	u.p.t.Helper()
	var list gen.EventList
	u.p.get("auditor", "/v1/timelines/user/"+u.id+"?limit=500", &list)
	return list.Items
}

func (u *person) find(eventType string) (last json.RawMessage, count int) {
	u.p.t.Helper()
	for _, e := range u.story() {
		if string(e.Type) == eventType {
			last = json.RawMessage(e.Data)
			count++
		}
	}
	return last, count
}

// wantInOrder waits until the story contains these types in this order: some
// are appended by reactors or by the phone, a moment later.
func (u *person) wantInOrder(types ...string) {
	u.p.t.Helper()
	u.p.until("the story of "+u.ref+" contains "+strings.Join(types, ", ")+" in this order", func() bool {
		i := 0
		for _, e := range u.story() {
			if i < len(types) && string(e.Type) == types[i] {
				i++
			}
		}
		return i == len(types)
	})
}

func field(t *testing.T, data json.RawMessage, name string) any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatalf("event data %s: %v", data, err)
	}
	return m[name]
}

func TestEndToEndS1PhoneVerifiedSMSEnrolled(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir())
	u := newPerson(p, "s1", "HK", "HK").withSMS()
	u.wantInOrder("PhoneNumberAdded", "PhoneVerificationStarted", "ConfirmCodeIssued", "SMSRequested", "SMSDispatchStarted",
		"SMSSent", "PhoneNumberVerified", "AuthenticatorEnrolled")
	enrolled, n := u.find("AuthenticatorEnrolled")
	if n != 1 || field(t, enrolled, "kind") != "sms" || field(t, enrolled, "trigger") != "auto_sms" || field(t, enrolled, "restricted") != true {
		t.Errorf("enrolled %d times, last: %s", n, enrolled)
	}
	if verified, _ := u.find("PhoneNumberVerified"); field(t, verified, "attempts") != 1.0 {
		t.Errorf("PhoneNumberVerified = %s, want attempts 1", verified)
	}

	late := newPerson(p, "s1-late", "DE", "IE")
	v, code := late.startVerification()
	p.setClock(p.now().Add(10 * time.Minute).Format(time.RFC3339Nano))
	if c := late.check(v, code); c.Status != "rejected" || c.ReasonCode != "CODE_EXPIRED" {
		t.Errorf("code after ten minutes: %+v, want CODE_EXPIRED", c)
	}
}

func TestEndToEndS4IBKeyActivatedSMSRetires(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir())
	u := newPerson(p, "s4", "HK", "HK").withSMS().withIBKey("ios", "face_id")
	if got := u.kinds(); got != "ibkey" {
		t.Errorf("active authenticators: %s, want ibkey alone", got)
	}
	u.wantInOrder("ActivationCodeAccepted", "UserVerificationPerformed", "AuthenticatorEnrolled", "AuthenticatorRevoked")
	if revoked, _ := u.find("AuthenticatorRevoked"); field(t, revoked, "reason") != "superseded_by_stronger" {
		t.Errorf("AuthenticatorRevoked = %s", revoked)
	}
	p.until("the user is told of the activation", func() bool {
		n := 0
		for _, e := range u.story() {
			if e.Type == "SecurityNotificationSent" && field(t, json.RawMessage(e.Data), "topic") == "authenticator_enrolled" {
				n++
			}
		}
		return n >= 1
	})
}

func TestEndToEndS6SeamlessLogin(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir())
	u := newPerson(p, "s6", "DE", "IE").withSMS().withIBKey("android", "fingerprint")

	a := u.authenticate("login", "client_portal", "verified")
	if a.Decision != "challenge" || a.Challenge.Mode != "push" || len(a.Challenge.MatchNumber) != 6 {
		t.Fatalf("login: %+v", a)
	}
	p.mustRun("phone", "approve", "--file", u.phone, "--number", a.Challenge.MatchNumber, "--uv", "fingerprint")
	if c := u.challenge(a.Challenge.Id); c.Result != "allow" || c.SessionRef == "" {
		t.Fatalf("after the approval: %+v", c)
	}
	u.wantInOrder("PrimaryFactorVerified", "SecondFactorSelected", "ChallengeIssued", "PushOpened", "ResponseVerified", "AuthenticationSucceeded")
	succeeded, _ := u.find("AuthenticationSucceeded")
	if field(t, succeeded, "factors") != 2.0 || field(t, succeeded, "protection_rank") != 2.0 {
		t.Errorf("AuthenticationSucceeded = %s", succeeded)
	}

	a = u.authenticate("login", "client_portal", "verified")
	p.mustRun("phone", "deny", "--file", u.phone)
	if c := u.challenge(a.Challenge.Id); c.Result != "deny" {
		t.Errorf("after the user declined: %+v", c)
	}
	u.wantInOrder("ResponseRejected", "AnomalyFlagged", "AuthenticationFailed")

	if a = u.authenticate("login", "client_portal", "rejected"); a.Decision != "deny" || a.Challenge.Id != "" {
		t.Errorf("wrong password: %+v", a)
	}
	u.wantInOrder("AuthenticationFailed", "PrimaryFactorRejected")
}

func TestEndToEndS7FallbackToChallengeResponse(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir())
	u := newPerson(p, "s7", "DE", "IE").withSMS().withIBKey("ios", "face_id")
	a := u.authenticate("login", "webtrader", "verified")
	pending := p.mustRun("phone", "pending", "--file", u.phone, "--json")
	if !strings.Contains(pending, string(a.Challenge.Id)) {
		t.Fatalf("pending: %s, want %s", pending, a.Challenge.Id)
	}
	var next gen.Challenge
	p.post("frontend", "/v1/challenges/"+string(a.Challenge.Id)+"/fallback", gen.FallbackRequest{Cause: "no_internet"}, &next)
	if next.Mode != "challenge_response" || len(next.OfflineChallenge) != 6 || next.Supersedes != a.Challenge.Id {
		t.Fatalf("fallback: %+v", next)
	}
	if c := u.respond(next.Id, "1234567"); c.Result != "waiting" || c.Attempts != 0 {
		t.Errorf("seven digits: %+v, want no attempt used", c)
	}
	response := p.mustRun("phone", "respond", "--file", u.phone, "--challenge", next.OfflineChallenge)
	if c := u.respond(next.Id, response); c.Result != "allow" {
		t.Fatalf("right response: %+v", c)
	}
	u.wantInOrder("ChallengeFallbackRequested", "ChallengeCancelled", "ChallengeIssued", "ResponseRejected", "ResponseVerified", "AuthenticationSucceeded")
	p.mustRun("phone", "online", "--file", u.phone)
	if a = u.authenticate("login", "webtrader", "verified"); a.Challenge.Mode != "push" {
		t.Errorf("next login: %+v, want push again", a)
	}
}

func TestEndToEndS15OptOutAndBackIn(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir())
	u := newPerson(p, "s15", "DE", "IE").withSMS().withIBKey("ios", "touch_id")
	ask := func(acknowledged bool) gen.OptOutAnswer {
		var o gen.OptOutAnswer
		p.post("frontend", "/v1/users/"+u.id+"/opt-out-requests", gen.OptOutRequest{
			RequestedBy: gen.UserId(u.id), AgreementVersion: "2024-1", Acknowledged: acknowledged,
		}, &o)
		return o
	}
	if o := ask(false); o.Decision != "denied" || o.ReasonCode != "AGREEMENT_MISSING" {
		t.Errorf("without agreement: %+v", o)
	}
	if o := ask(true); o.Decision != "granted" || o.Basis.DecisiveRuleId != "DEFAULT-1" {
		t.Fatalf("opt-out: %+v", o)
	}
	if a := u.authenticate("login", "tws", "verified"); a.Decision != "allow" || a.SessionRef == "" {
		t.Errorf("trading login: %+v, want allow", a)
	}
	if a := u.authenticate("login", "client_portal", "verified"); a.Decision != "challenge" {
		t.Errorf("portal login: %+v, want a challenge", a)
	}
	u.wantInOrder("OptOutRequested", "OptOutDenied", "OptOutRequested", "OptOutGranted", "SecondFactorWaived", "AuthenticationSucceeded")
	back := gen.OptInRequest{By: gen.UserId(u.id)}
	p.post("frontend", "/v1/users/"+u.id+"/opt-ins", back, nil)
	var again map[string]any
	p.post("frontend", "/v1/users/"+u.id+"/opt-ins", back, &again)
	if again["reasonCode"] != "NOT_OPTED_OUT" {
		t.Errorf("opting in twice: %v", again)
	}
	u.wantInOrder("OptedBackIn", "OptBackInRefused")
}

func TestEndToEndS16HongKongByDate(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), "--demo-clock", "2017-10-26T12:00:00Z")
	early := newPerson(p, "s16-early", "HK", "HK").withSMS()
	ask := func(u *person) gen.OptOutAnswer {
		var o gen.OptOutAnswer
		p.post("frontend", "/v1/users/"+u.id+"/opt-out-requests", gen.OptOutRequest{
			RequestedBy: gen.UserId(u.id), AgreementVersion: "2017-1", Acknowledged: true,
		}, &o)
		return o
	}
	if o := ask(early); o.Decision != "granted" || o.Basis.DecisiveRuleId != "DEFAULT-1" {
		t.Fatalf("the day before the announcement: %+v", o)
	}
	p.setClock("2018-04-26T15:50:00Z")
	sunset := newPerson(p, "s16-sunset", "HK", "HK").withSMS()
	end := time.Date(2018, 4, 26, 16, 0, 0, 0, time.UTC)
	if o := ask(sunset); o.Decision != "granted" || o.Basis.DecisiveRuleId != "HK-2FA-0" || !o.EndsAt.Equal(end) {
		t.Fatalf("ten minutes before midnight in Hong Kong: %+v, want HK-2FA-0 until %s", o, end)
	}
	if a := sunset.authenticate("login", "tws", "verified"); a.Decision != "allow" {
		t.Errorf("trading login before the sunset: %+v", a)
	}
	p.setClock("2018-04-26T16:00:00Z")
	p.until("the early opt-out is revoked", func() bool { _, n := early.find("OptOutRevoked"); return n == 1 })
	revoked, _ := early.find("OptOutRevoked")
	if field(t, revoked, "cause") != "rule_in_force" || field(t, revoked, "effective_at") != "2018-04-26T16:00:00Z" {
		t.Errorf("OptOutRevoked = %s", revoked)
	}
	if a := sunset.authenticate("login", "tws", "verified"); a.Decision != "challenge" {
		t.Errorf("trading login after the sunset: %+v, want a challenge", a)
	}
	late := newPerson(p, "s16-late", "HK", "HK").withSMS()
	if o := ask(late); o.Decision != "denied" || o.ReasonCode != "REGIME_MANDATORY" || o.Basis.DecisiveRuleId != "HK-2FA-1" || len(o.Basis.Citations) == 0 {
		t.Errorf("from midnight in Hong Kong: %+v, want a denial by HK-2FA-1 with its citation", o)
	}
}

// TestEndToEndReplayAgreesWithTheViews asks the command line and the API the
// same question.
func TestEndToEndReplayAgreesWithTheViews(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir())
	u := newPerson(p, "replay", "DE", "IE").withSMS()
	before := p.mustRun("replay", "state-at", "--data", p.data, "--user", u.id, "--json")
	var snapshot struct {
		State struct {
			Authenticators []struct {
				Kind string `json:"kind"`
			} `json:"authenticators"`
		} `json:"state"`
	}
	if err := json.Unmarshal([]byte(before), &snapshot); err != nil {
		t.Fatalf("state-at: %v\n%s", err, before)
	}
	if len(snapshot.State.Authenticators) != 1 || snapshot.State.Authenticators[0].Kind != "sms" {
		t.Errorf("state-at: %s", before)
	}
	story := u.story() // before the replay, so that the replay knows at least as much
	timeline := p.mustRun("replay", "timeline", "--data", p.data, "--user", u.id)
	for _, e := range story {
		if !strings.Contains(timeline, string(e.Type)) {
			t.Errorf("%s is in the view but not in the replay:\n%s", e.Type, timeline)
		}
	}
	var state gen.UserState
	if _, err := p.as("auditor").Get(t.Context(), "/v1/users/"+u.id+"/state", http.Header{}, &state); err != nil {
		t.Fatalf("state: %v", err)
	}
	if len(state.Authenticators) != 1 || state.Authenticators[0].Kind != "sms" {
		t.Errorf("state over HTTP: %+v", state)
	}
}
