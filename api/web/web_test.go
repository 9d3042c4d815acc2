package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/authledger/authledger/api/access"
	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/journal"
	"github.com/authledger/authledger/projections"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

const key, userID = "0123456789abcdefghijklmnop", "usr_" + key

// hostile is text an attacker chose: a device name, a reference, a reason.
const hostile = `"><script>alert(1)</script><img src=x onerror=alert(2)>'{{.}}javascript:alert(3)`

// fakeData is one user whose texts are hostile.
type fakeData struct {
	mu    sync.Mutex // guards all
	items []Item
	err   error

	person   func(*User) // changes the user, if set
	register Register
	asked    []Reveal
	refuses  error // what a reveal is answered with
}

func (f *fakeData) failing() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

func (f *fakeData) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *fakeData) add(e domain.Event, typeName string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	data, _ := json.Marshal(e)
	n := len(f.items) + 1
	f.items = append(f.items, Item{
		ID: fmt.Sprintf("evt_%026d", n), UserID: userID, Type: typeName, Event: e, Data: data, Outcome: projections.OutcomeInfo,
		Actor: domain.Actor{Kind: domain.ActorClient, Ref: "ak_frontend"}, Sequence: uint64(n), Revision: uint64(n - 1),
		OccurredAt: noon.Add(time.Duration(n) * time.Second), RecordedAt: noon.Add(time.Duration(n) * time.Second),
	})
}

func (f *fakeData) Find(_ context.Context, query string) (string, error) {
	if err := f.failing(); err != nil {
		return "", err
	}
	if query == userID || query == "ref-1" {
		return userID, nil
	}
	return "", ErrNotFound
}

func (f *fakeData) Recent(context.Context, int) ([]Item, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.items) == 0 || f.err != nil {
		return nil, f.err
	}
	return f.items[len(f.items)-1:], nil
}

func (f *fakeData) User(_ context.Context, id string) (User, error) {
	if err := f.failing(); err != nil {
		return User{}, err
	}
	if id != userID {
		return User{}, ErrNotFound
	}
	u := User{
		ID: userID, ClientID: "clt_0123456789abcdefghijklmnop", Role: domain.RoleOwner, Residence: "DE", Seamless: true, Failures: 2,
		OptOut: &domain.OptOut{ID: "opt_1", GrantedAt: noon, RuleID: "DEFAULT-1"},
		Authenticators: []Authenticator{
			{NamedBy: "evt_00000000000000000000000009", AuthenticatorSnapshot: domain.AuthenticatorSnapshot{AuthenticatorID: "aut_x_1", Kind: domain.KindIBKey, OS: domain.IOS, EnrolledAt: noon, Status: "active"}},
			{AuthenticatorSnapshot: domain.AuthenticatorSnapshot{AuthenticatorID: "aut_x_2", Kind: domain.KindSMS, PhoneID: "phn_x_3", Restricted: true, EnrolledAt: noon, Status: "active"}},
			{AuthenticatorSnapshot: domain.AuthenticatorSnapshot{
				AuthenticatorID: "aut_x_5", Kind: domain.KindDSCPlus, DeviceID: "dev_x", Shared: true, EnrolledAt: noon, Status: "suspended",
				Suspended: "reported_lost", ExpiresAt: &noon,
			}},
		},
		Processes: []domain.ProcessSnapshot{{ID: "mig_x_6", Process: "migration", Step: "awaiting_proof", Proof: "physical_device", ExpiresAt: noon}},
		Phones:    []Phone{{ID: "phn_x_3", Masked: "+49 •••• 5678", CC: "DE", Line: domain.LineMobile, Verified: true}, {ID: "phn_x_4", Masked: "erased", Retired: true}},
	}
	if f.person != nil {
		f.person(&u)
	}
	return u, nil
}

func (f *fakeData) Sealed(_ context.Context, eventID string) (Item, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, i := range f.items {
		if i.ID == eventID {
			return i, f.err
		}
	}
	return Item{}, ErrNotFound
}

func (f *fakeData) Reveal(_ context.Context, r Reveal) ([]journal.Revealed, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuses != nil {
		return nil, f.refuses
	}
	f.asked = append(f.asked, r)
	var out []journal.Revealed
	for _, name := range r.Fields {
		out = append(out, journal.Revealed{Field: name, Value: "clear " + hostile})
	}
	return out, nil
}

func (f *fakeData) Erasures(_ context.Context, place string, _ int) (Register, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if place != "" && place != f.register.Next {
		return Register{}, ErrCursor
	}
	return f.register, f.err
}

func (f *fakeData) Timeline(_ context.Context, _, place string, _ int) (Timeline, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if place != "" && place != "older&more" {
		return Timeline{}, ErrCursor
	}
	var out []Item
	for i := len(f.items) - 1; i >= 0; i-- {
		out = append(out, f.items[i])
	}
	if place == "" && len(out) > 0 {
		return Timeline{Items: out, Next: "older&more"}, f.err
	}
	return Timeline{Items: out}, f.err
}

// fakeKeys knows a key of each role.
type fakeKeys struct {
	mu      sync.Mutex
	revoked bool
	err     error
}

func (k *fakeKeys) Authenticate(_ context.Context, key string) (access.Client, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err != nil {
		return access.Client{}, k.err
	}
	role, ok := strings.CutPrefix(key, "key-")
	if !ok || k.revoked {
		return access.Client{}, access.ErrUnauthenticated
	}
	return access.Client{ID: "ak_" + role, Name: "Auditor " + hostile, Role: access.Role(role)}, nil
}

// bench is a console with all its parts in hand.
type bench struct {
	t       *testing.T
	handler http.Handler
	data    *fakeData
	keys    *fakeKeys
	now     time.Time
	reads   []Read
	readErr error
}

func newBench(t *testing.T, demo bool) *bench {
	t.Helper()
	policy, err := domain.LoadPolicy()
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, data: &fakeData{}, keys: &fakeKeys{}, now: noon}
	b.handler, err = New(Config{
		Data: b.data, Policy: func() *domain.Policy { return policy }, Keys: b.keys, Demo: demo,
		Record: func(_ context.Context, r Read) error {
			if b.readErr == nil {
				b.reads = append(b.reads, r)
			}
			return b.readErr
		},
		Inbox: func(id string) []Card {
			return []Card{
				{ID: "sms_1", Kind: "sms", To: "+49 •••• 5678", Text: "482913 is your code " + hostile, At: noon},
				{ID: "chl_1", Kind: "push", Text: "Login request", At: noon}, {ID: "n_1", Kind: "notice", Topic: "login", Text: "You logged in", At: noon},
			}
		},
		Clock: func() time.Time { return b.now }, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) request(method, target, body string, change ...func(*http.Request)) *http.Response {
	b.t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host, r.RemoteAddr = "127.0.0.1:8080", "127.0.0.1:50000"
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	return w.Result()
}

func (b *bench) get(target string, change ...func(*http.Request)) (*http.Response, string) {
	b.t.Helper()
	res := b.request(http.MethodGet, target, "", change...)
	body, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return res, string(body)
}

func (b *bench) expect(res *http.Response, status int) {
	b.t.Helper()
	if res.StatusCode != status {
		b.t.Errorf("status %d, want %d", res.StatusCode, status)
	}
}

func (b *bench) contains(body string, texts ...string) {
	b.t.Helper()
	for _, text := range texts {
		if !strings.Contains(body, text) {
			b.t.Errorf("page lacks %q", text)
		}
	}
}

func (b *bench) lacks(body string, texts ...string) {
	b.t.Helper()
	for _, text := range texts {
		if strings.Contains(body, text) {
			b.t.Errorf("page has %q", text)
		}
	}
}

// safe checks what must hold for every page whatever its data.
func (b *bench) safe(res *http.Response, body string) {
	b.t.Helper()
	b.lacks(body, "<script>", "<img src=x", "onerror=alert(2)>", "<style", " style=", `href="javascript:`, "ZgotmplZ", "%!")
	csp := res.Header.Get("Content-Security-Policy")
	if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") || !strings.Contains(csp, "frame-ancestors 'none'") {
		b.t.Errorf("policy %q", csp)
	}
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store", "X-Frame-Options": "DENY",
		"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
	} {
		if got := res.Header.Get(name); got != want {
			b.t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// story adds events with hostile texts and a denied opt-out.
func (b *bench) story() {
	policy, _ := domain.LoadPolicy()
	facts := domain.DecisionFacts{Residence: "HK", ClientKind: domain.Individual, CarryingCC: "IE", HolderResidences: []string{}, AccessibleCarryingCCs: []string{}}
	b.data.add(domain.UserRegistered{UserID: userID, ClientID: hostile, Role: domain.Role(hostile), Username: domain.Sealed("sealed-text"), Locale: hostile}, "UserRegistered")
	b.data.items[0].Personal = []string{"username"}
	b.data.add(domain.AuthenticationStarted{TxnID: "txn_" + key + "_1", Purpose: domain.PurposeLogin, Platform: domain.TWS, ClientVersion: hostile}, "AuthenticationStarted")
	b.data.add(domain.AuthenticationFailed{TxnID: "txn_" + key + "_1", Reason: domain.Code(hostile)}, "AuthenticationFailed")
	b.data.add(domain.OptOutDenied{OptOutID: "opt_" + key + "_2", Reason: domain.ReasonRegimeMandatory, Decision: policy.Evaluate(facts, noon)}, "OptOutDenied")
	b.data.items[2].Outcome, b.data.items[2].Reason = projections.OutcomeFailure, hostile
	b.data.items[3].Outcome, b.data.items[3].Reason = projections.OutcomeRefusal, "REGIME_MANDATORY"
}

func TestEveryPageEscapesHostileText(t *testing.T) {
	t.Parallel()
	b := newBench(t, true)
	b.story()
	for target, want := range map[string]int{
		"/console": 200, "/console/": 200, "/console/live": 200, "/console?q=" + "%22%3E%3Cscript%3Ealert(1)%3C/script%3E": 404,
		"/console/users/" + userID: 200, "/console/users/" + userID + "/live": 200, "/console/users/" + userID + "?before=older%26more": 200,
		"/console/users/%3Cscript%3Ealert(1)%3C%2Fscript%3E": 404, "/console/users/" + userID + "?before=%3Cscript%3E": 400,
		"/console/login": 200, "/console/nothing": 404,
	} {
		res, body := b.get(target)
		if res.StatusCode != want {
			t.Errorf("%s: status %d, want %d", target, res.StatusCode, want)
		}
		b.safe(res, body)
	}
}

func TestUserPageTellsTheStory(t *testing.T) {
	t.Parallel()
	b := newBench(t, true)
	b.story()
	res, body := b.get("/console/users/" + userID)
	b.expect(res, 200)
	b.contains(body, "DEMO", "Transaction 1: login on TWS started", `denied: <code class="reason refused">REGIME_MANDATORY</code>; deny opt out by rule HK-2FA-1 `,
		"paragraph 1.1", "<dt>Residence</dt><dd>HK</dd>", "&#43;49 •••• 5678", "IB Key", "(sealed)", "12:00:04.000", "Monday, 23 November 2026",
		"482913 is your code", "Push", "E-mail notice", "Opted out since", `data-live="/console/users/`+userID+`/live"`, "older%26more")
	b.lacks(body, "sealed-text")
	if first, last := strings.Index(body, "Opt-out 2 denied"), strings.Index(body, "User registered"); first > last {
		t.Error("oldest event comes first")
	}
	res, body = b.get("/console/users/" + userID + "?before=older%26more")
	b.expect(res, 200)
	b.contains(body, "Newest events", "older events", "This is the beginning")
	b.lacks(body, "data-live", "data-pause")
}

func TestEmptyStatesNameWhatWasSearched(t *testing.T) {
	t.Parallel()
	b := newBench(t, true)
	_, body := b.get("/console")
	b.contains(body, "No user has an event yet", `role="search"`)
	res, body := b.get("/console?q=ref-2")
	b.expect(res, 404)
	b.contains(body, "No user found for “ref-2”", "by id and by broker reference")
	_, body = b.get("/console?q=%2B49+151+12345678")
	b.contains(body, "Phone numbers are not searched for here")
	b.lacks(body, "12345678")
	_, body = b.get("/console/users/" + userID)
	b.contains(body, "No events of "+userID)
	res, body = b.get("/console/users/usr_nobody")
	b.expect(res, 404)
	b.contains(body, "Searched for the user id usr_nobody")
}

func TestSearchLeadsToTheUser(t *testing.T) {
	t.Parallel()
	b := newBench(t, true)
	for _, q := range []string{userID, "ref-1", "++ref-1+"} {
		res, _ := b.get("/console?q=" + q)
		if q == "++ref-1+" { // spaces around
			b.expect(res, 303)
		}
		if res.StatusCode != 303 || res.Header.Get("Location") != "/console/users/"+userID {
			t.Errorf("%s: %d to %q", q, res.StatusCode, res.Header.Get("Location"))
		}
	}
}

func TestReadsAreRecordedBeforeTheyAreShown(t *testing.T) {
	t.Parallel()
	b := newBench(t, true)
	b.story()
	b.get("/console")
	b.get("/console?q=ref-9")
	b.get("/console/users/" + userID)
	b.get("/console/users/" + userID + "?before=older%26more")
	want := []Read{
		{DemoReader, "console.start", "", 1}, {DemoReader, "console.search", "ref-9", 1},
		{DemoReader, "console.user", userID + "?", 4}, {DemoReader, "console.user", userID + "?older&more", 4},
	}
	if fmt.Sprint(b.reads) != fmt.Sprint(want) {
		t.Errorf("reads %v, want %v", b.reads, want)
	}
	b.readErr = errors.New("out of reach")
	for _, target := range []string{"/console", "/console/users/" + userID} {
		res, body := b.get(target)
		b.expect(res, 503)
		b.contains(body, "could not be recorded")
		b.lacks(body, "Opt-out 2 denied", "482913", "5678")
	}
}

func TestLiveUpdatesAreOneReadAnHourAndUnchangedIs304(t *testing.T) {
	t.Parallel()
	b := newBench(t, true)
	b.story()
	live := "/console/users/" + userID + "/live"
	b.get("/console/users/" + userID)
	res, body := b.get(live)
	b.expect(res, 200)
	b.lacks(body, "<html", "<header")
	tag := res.Header.Get("ETag")
	b.expect(b.request("GET", live, "", func(r *http.Request) { r.Header.Set("If-None-Match", tag) }), 304)
	b.data.add(domain.AuthenticationSucceeded{Factors: 2, AuthenticatorKind: domain.KindIBKey}, "AuthenticationSucceeded")
	res = b.request("GET", live, "", func(r *http.Request) { r.Header.Set("If-None-Match", tag) })
	b.expect(res, 200)
	if len(b.reads) != 1 {
		t.Errorf("%d reads, want 1", len(b.reads))
	}
	b.now = b.now.Add(time.Hour)
	b.get(live)
	b.get(live)
	if len(b.reads) != 2 {
		t.Errorf("%d reads after an hour, want 2", len(b.reads))
	}
	b.readErr = errors.New("out of reach")
	b.now = b.now.Add(time.Hour)
	res, body = b.get(live)
	b.expect(res, 503)
	b.lacks(body, "Opt-out 2 denied")
}

func TestOutageIsTold(t *testing.T) {
	t.Parallel()
	b := newBench(t, true)
	b.data.fail(errors.New("disk on fire"))
	for _, target := range []string{"/console", "/console?q=ref-1", "/console/users/" + userID} {
		res, body := b.get(target)
		b.expect(res, 503)
		b.lacks(body, "disk on fire")
	}
}

func TestAssetsAreServedFromHere(t *testing.T) {
	t.Parallel()
	b := newBench(t, false)
	_, page := b.get("/console/login")
	for _, name := range []string{"style.css", "console.js", "icon.svg"} {
		_, after, ok := strings.Cut(page, `"/console/assets/`+name)
		if !ok {
			t.Fatalf("page does not use %s", name)
		}
		query, _, _ := strings.Cut(after, `"`)
		res, body := b.get("/console/assets/" + name + query)
		b.expect(res, 200)
		if body == "" || !strings.Contains(res.Header.Get("Cache-Control"), "immutable") || strings.Contains(strings.ReplaceAll(body, "http://www.w3.org/2000/svg", ""), "http") && name != "console.js" {
			t.Errorf("%s: %v", name, res.Header)
		}
		res, _ = b.get("/console/assets/" + name + "?v=other")
		if res.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s of another version may be cached", name)
		}
	}
	res, _ := b.get("/console/assets/..%2fweb.go")
	b.expect(res, 404)
}

func TestNewRefusesMissingParts(t *testing.T) {
	t.Parallel()
	if _, err := New(Config{}); err == nil {
		t.Error("no error for an empty configuration")
	}
}

func TestAUsersPageTellsWhatIsSuspendedAndUnderWay(t *testing.T) {
	t.Parallel()
	b := newBench(t, true)
	b.story()
	res, page := b.get("/console/users/" + userID)
	b.expect(res, http.StatusOK)
	b.contains(page, "suspended: reported lost", "shared", "ends 2026-11-23 12:00:00 UTC", "Under way", "migration", "awaiting proof", "by physical device")
}
