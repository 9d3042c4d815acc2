package web

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/journal"
	"github.com/authledger/authledger/projections"
)

const registered = "evt_00000000000000000000000001"

// sealing makes the story's first event hold a name and an address.
func (b *bench) sealing() string {
	b.story()
	b.data.items[0].Personal = []string{"username", "source.ip"}
	return "/console/users/" + userID + "/events/" + registered + "/reveal"
}

func TestChipsTellRestrictionErasureAndHolds(t *testing.T) {
	t.Parallel()
	b := newBench(t, true)
	b.story()
	page := "/console/users/" + userID
	see := func(change func(*User)) string {
		t.Helper()
		b.data.person = func(u *User) { u.OptOut = nil; change(u) }
		res, body := b.get(page)
		b.expect(res, http.StatusOK)
		b.safe(res, body)
		return body
	}
	body := see(func(*User) {})
	b.contains(body, "Second factor required", "482913")
	b.lacks(body, "Restricted until", "Legal hold", "Personal data erased")
	body = see(func(u *User) {
		u.Closed, u.Restricted, u.Until = true, true, noon
		u.Holds = []domain.Hold{{ID: "hld_" + key + "_9", CaseRef: hostile, RequestedBy: "ak_1"}}
	})
	b.contains(body, "Closed", "Restricted until 2026-11-23 12:00:00 UTC", "Legal hold #9", "release asked for")
	b.lacks(body, "Second factor required", "482913")
	body = see(func(u *User) { u.Closed, u.Restricted = true, true })
	b.contains(body, ">Restricted<")
	body = see(func(u *User) { u.Closed, u.Erased = true, true })
	b.contains(body, "Personal data erased")
	b.lacks(body, "Second factor required", "/reveal", "482913")
}

func TestRevealFormOpensWhatWasChosen(t *testing.T) {
	t.Parallel()
	for _, role := range []string{"incident", "compliance"} {
		b := newBench(t, false)
		path := b.sealing()
		j, _ := b.logIn("key-" + role)
		_, user := b.get("/console/users/"+userID, j.give)
		b.contains(user, `href="`+path+`"`, "Reveal username, source.ip", "name sealed", "evt_00000000000000000000000009/reveal")
		res, form := b.get(path, j.give)
		b.expect(res, http.StatusOK)
		b.safe(res, form)
		b.contains(form, `value="username" checked`, `value="source.ip">`, "becomes part of this person’s record")
		res, body := b.send(path, j, url.Values{
			"token": {token(form)}, "field": {"username", "source.ip"}, "reason": {"dispute"}, "case": {"CASE-1"},
		})
		b.expect(res, http.StatusOK)
		b.safe(res, body)
		b.contains(body, "<dt>username</dt><dd>clear ", "<dt>source.ip</dt>", "CASE-1")
		kind := domain.ActorAgent
		if role == "compliance" {
			kind = domain.ActorCompliance
		}
		want := []Reveal{{
			Reader: domain.Actor{Kind: kind, Ref: "ak_" + role}, UserID: userID, EventID: registered,
			Fields: []string{"username", "source.ip"}, Reason: "dispute", CaseRef: "CASE-1",
		}}
		if diff := cmp.Diff(want, b.data.asked); diff != "" {
			t.Errorf("asked for (-want +got):\n%s", diff)
		}
	}
}

func (b *bench) send(path string, j jar, form url.Values, change ...func(*http.Request)) (*http.Response, string) {
	b.t.Helper()
	res := b.request(http.MethodPost, path, form.Encode(), append([]func(*http.Request){j.give}, change...)...)
	var body strings.Builder
	if err := res.Write(&body); err != nil {
		b.t.Fatal(err)
	}
	return res, body.String()
}

func TestOnlyThoseWhoMayRevealAndOnlyWithTheForm(t *testing.T) {
	t.Parallel()
	for _, role := range []string{"auditor", "operator"} {
		b := newBench(t, false)
		path := b.sealing()
		j, _ := b.logIn("key-" + role)
		_, user := b.get("/console/users/"+userID, j.give)
		b.contains(user, "(sealed)", "name sealed")
		b.lacks(user, "/reveal")
		res, _ := b.get(path, j.give)
		b.expect(res, http.StatusForbidden)
		csrf := b.csrf(j)
		res, _ = b.send(path, j, url.Values{"token": {csrf}, "field": {"username"}, "reason": {"dispute"}, "case": {"C"}})
		b.expect(res, http.StatusForbidden)
		if len(b.data.asked) != 0 {
			t.Errorf("%s revealed %v", role, b.data.asked)
		}
	}
	b := newBench(t, false)
	path := b.sealing()
	j, _ := b.logIn("key-incident")
	good := url.Values{"token": {b.csrf(j)}, "field": {"username"}, "reason": {"dispute"}, "case": {"C"}}
	for name, c := range map[string]struct {
		jar    jar
		change func(url.Values, *http.Request)
		want   int
	}{
		"no token":       {j, func(f url.Values, _ *http.Request) { f.Del("token") }, 403},
		"other token":    {j, func(f url.Values, _ *http.Request) { f.Set("token", "other") }, 403},
		"no session":     {jar{}, func(url.Values, *http.Request) {}, 303},
		"no field":       {j, func(f url.Values, _ *http.Request) { f.Del("field") }, 400},
		"another site":   {j, func(_ url.Values, r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, 403},
		"another origin": {j, func(_ url.Values, r *http.Request) { r.Header.Set("Origin", "https://evil.example") }, 403},
		"long":           {j, func(f url.Values, _ *http.Request) { f.Set("case", strings.Repeat("x", maxForm)) }, 403},
	} {
		form := url.Values{}
		for k, v := range good {
			form[k] = slices.Clone(v)
		}
		head, _ := http.NewRequest(http.MethodPost, path, nil)
		c.change(form, head)
		res, _ := b.send(path, c.jar, form, func(r *http.Request) {
			for k, v := range head.Header {
				r.Header[k] = v
			}
		})
		if res.StatusCode != c.want || len(b.data.asked) != 0 {
			t.Errorf("%s: status %d, want %d; revealed %v", name, res.StatusCode, c.want, b.data.asked)
		}
	}
}

// csrf is the token of a session's forms.
func (b *bench) csrf(j jar) string {
	b.t.Helper()
	_, body := b.get("/console", j.give)
	return token(body)
}

func TestRefusedRevealShowsWhy(t *testing.T) {
	t.Parallel()
	b := newBench(t, false)
	path := b.sealing()
	j, _ := b.logIn("key-compliance")
	form := url.Values{"token": {b.csrf(j)}, "field": {"username"}, "reason": {"dispute"}, "case": {"C"}}
	for code, want := range map[domain.Code]int{domain.DataRestricted: 403, domain.DataErased: 410, domain.Invalid: 400, domain.Unknown: 404} {
		b.data.refuses = &domain.Error{Code: code, Detail: "detail of " + string(code)}
		res, body := b.send(path, j, form)
		b.expect(res, want)
		b.contains(body, "Nothing was revealed", "detail of "+string(code))
	}
	b.data.refuses = errors.New("disk on fire")
	res, body := b.send(path, j, form)
	b.expect(res, http.StatusServiceUnavailable)
	b.lacks(body, "disk on fire", "clear ")
	res, _ = b.get("/console/users/"+userID+"/events/evt_00000000000000000000000002/reveal", j.give) // holds nothing
	b.expect(res, http.StatusNotFound)
	b.readErr = errors.New("out of reach")
	res, _ = b.get(path, j.give)
	b.expect(res, http.StatusServiceUnavailable)
}

func TestRegisterOfErasures(t *testing.T) {
	t.Parallel()
	b := newBench(t, true)
	_, home := b.get("/console")
	b.contains(home, `href="/console/erasures"`)
	res, body := b.get("/console/erasures")
	b.expect(res, http.StatusOK)
	b.contains(body, "Nobody asked to be forgotten", "No legal hold is in force")
	later := noon.Add(7 * 365 * 24 * time.Hour)
	b.data.register = Register{
		Erasures: []projections.Erasure{
			{ID: "ers_" + key + "_8", UserID: userID, Status: projections.ErasureCertified, Basis: "subject_request", RequestedAt: noon, ErasedAt: &noon, CertifiedAt: &noon, Certificate: 77, Files: 9, Bytes: 1234},
			{
				ID: "ers_" + key + "_7", UserID: userID, Status: projections.ErasureRestricted, Basis: "subject_request", RequestedAt: noon, Reason: "RETENTION_RUNS",
				RetainedUntil: &later, RuleID: "retention.hk_y", RuleCC: "HK", Years: 7, CountedFrom: &noon, HoldID: "hld_" + key + "_6",
			},
		},
		Holds:    []projections.LegalHold{{ID: "hld_" + key + "_6", UserID: userID, CaseRef: hostile, Basis: "litigation", PlacedAt: noon, ReleaseRequestedBy: "ak_2"}},
		MoreHold: true, Next: "older&more",
	}
	res, body = b.get("/console/erasures")
	b.expect(res, http.StatusOK)
	b.safe(res, body)
	b.contains(body, "erased and certified", "restricted, waits", "RETENTION_RUNS", "7 years by", "2033-11-21", "9 files, 1234 bytes; place 77", "release asked for by ak_2", "older%26more", "inForce=true")
	res, body = b.get("/console/erasures?before=older%26more")
	b.expect(res, http.StatusOK)
	b.contains(body, "older ones", "Newest requests")
	res, _ = b.get("/console/erasures?before=nonsense")
	b.expect(res, http.StatusBadRequest)
	if n := len(b.reads); n != 4 || b.reads[3].Operation != "console.erasures" || b.reads[3].Rows != 3 {
		t.Errorf("reads %v", b.reads)
	}
	b.readErr = errors.New("out of reach")
	res, body = b.get("/console/erasures")
	b.expect(res, http.StatusServiceUnavailable)
	b.lacks(body, "RETENTION_RUNS")
}

// over is a console over the real ledger, for a reader of a demonstration.
func (w *world) over() *bench {
	w.t.Helper()
	b := newBench(w.t, true)
	handler, err := New(Config{
		Data: w.ledger, Policy: w.journal.Policy, Keys: b.keys, Record: w.ledger.RecordRead, Demo: true,
		Clock: func() time.Time { return noon }, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	b.handler = handler
	return b
}

// Every page of somebody whose data is known shows none of it, and the reveal
// is on the page afterwards.
func TestPagesShowNoPersonalDataUntilItIsRevealed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.do(domain.AddPhone{UserID: w.user, CC: "DE", Number: domain.Clear("+4915112345678"), Line: domain.LineMobile})
	w.from(domain.StartAuthentication{UserID: w.user, Purpose: domain.PurposeLogin, Platform: domain.TWS}, "203.0.113.9")
	w.do(domain.AnnotateEvent{UserID: w.user, EventID: w.first("PhoneNumberAdded"), Kind: "dispute", Note: domain.Clear("Erika says no")})
	w.see()
	b := w.over()
	user := "/console/users/" + w.user
	form := func(event string) string { return user + "/events/" + event + "/reveal" }
	number, login := form(w.first("PhoneNumberAdded")), form(w.first("AuthenticationStarted"))
	pages := []string{"/console", "/console/live", user, user + "/live", "/console/erasures", number, login, form(w.first("EventAnnotated")), form(w.first("UserRegistered"))}
	for _, page := range pages {
		res, body := b.get(page)
		b.expect(res, http.StatusOK)
		b.lacks(body, "15112345678", "erika", "203.0.113.9", "Erika says")
	}
	_, page := b.get(user)
	b.contains(page, "&#43;49 •••• 5678", "source.ip", `href="`+login+`"`)
	for path, c := range map[string]struct{ field, value string }{
		number: {"number", "&#43;4915112345678"}, login: {"source.ip", "203.0.113.9"}, form(w.first("EventAnnotated")): {"note", "Erika says no"},
	} {
		_, page := b.get(path)
		res, body := b.send(path, jar{}, url.Values{"token": {token(page)}, "field": {c.field}, "reason": {"dispute"}, "case": {"CASE-1"}})
		b.expect(res, http.StatusOK)
		b.contains(body, "<dd>"+c.value+"</dd>")
	}
	w.see()
	_, page = b.get(user)
	b.contains(page, "PersonalDataRevealed", "case CASE-1", "EventAnnotated")
	b.lacks(page, "15112345678", "203.0.113.9", "Erika says")
	w.do(domain.CloseUser{UserID: w.user, Reason: "r"})
	w.do(domain.RequestErasure{UserID: w.user, Basis: domain.BasisSubjectRequest})
	w.see()
	_, page = b.get(user)
	b.contains(page, "Restricted until", "Closed")
	b.lacks(page, "5678", "Second factor required")
	_, formPage := b.get(number)
	res, body := b.send(number, jar{}, url.Values{"token": {token(formPage)}, "field": {"number"}, "reason": {"dispute"}, "case": {"CASE-1"}})
	b.expect(res, http.StatusForbidden)
	b.contains(body, "asked to be forgotten")
	_, register := b.get("/console/erasures")
	b.contains(register, w.user, "restricted, waits", "RETENTION_RUNS")
	if _, err := w.ledger.Erasures(t.Context(), "nonsense", 5); !errors.Is(err, ErrCursor) {
		t.Errorf("nonsense: %v", err)
	}
	if _, err := w.ledger.Sealed(t.Context(), "nonsense"); !errors.Is(err, ErrNotFound) {
		t.Errorf("nonsense: %v", err)
	}
}

// from executes a command that came from an address.
func (w *world) from(c domain.Command, ip string) {
	w.t.Helper()
	_, err := w.journal.Execute(w.t.Context(), journal.Request{
		Command: c, CommandID: uuid.New(), Actor: domain.Actor{Kind: domain.ActorClient, Ref: "ak_test"}, Source: domain.Source{IP: domain.Clear(ip)},
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// first is the id of the first event of a type.
func (w *world) first(eventType string) string {
	w.t.Helper()
	for r, err := range w.store.ReadAll(w.t.Context(), 1) {
		if err != nil {
			w.t.Fatal(err)
		}
		if r.Type == eventType {
			return codec.EventIDText(r.ID)
		}
	}
	w.t.Fatalf("no event %s", eventType)
	return ""
}

// A person of the incident team reveals a number with the keyboard and the
// page's own form.
func TestRevealInABrowser(t *testing.T) {
	browser(t)
	w := newWorld(t)
	w.do(domain.AddPhone{UserID: w.user, CC: "DE", Number: domain.Clear("+4915112345678"), Line: domain.LineMobile})
	w.do(domain.PlaceLegalHold{UserID: w.user, CaseRef: "CASE-7", Basis: "litigation"})
	w.do(domain.CloseUser{UserID: w.user, Reason: "r"})
	w.do(domain.RequestErasure{UserID: w.user, Basis: domain.BasisSubjectRequest})
	w.see()
	server := httptest.NewServer(w.over().handler)
	t.Cleanup(server.Close)
	var seen complaints
	tab := newTab(t, &seen)
	event := w.first("PhoneNumberAdded")
	tab.do("open the user", chromedp.Navigate(server.URL+"/console/users/"+w.user), chromedp.WaitVisible("#timeline"))
	tab.shot("restricted")
	tab.do("open the event", chromedp.Click("#details-"+event+" summary"), chromedp.WaitVisible("#details-"+event+" p a"))
	tab.do("open the form", chromedp.Click("#details-"+event+" p a"), chromedp.WaitVisible("#reason"))
	tab.shot("reveal")
	tab.do("give a reason and a case",
		chromedp.SetValue("#reason", "regulator"), chromedp.SendKeys("#case", "CASE-7\r"), chromedp.WaitVisible(".revealed"))
	tab.shot("revealed")
	if text := get(tab, "read", chromedp.Text(".revealed")); !strings.Contains(text, "+4915112345678") {
		t.Errorf("revealed %q", text)
	}
	tab.do("read it on a narrow screen", chromedp.EmulateViewport(320, 700))
	if wide := get(tab, "measure", chromedp.Evaluate[float64](`document.documentElement.scrollWidth`)); wide > 320 {
		t.Errorf("page is %v px wide on a screen of 320 px", wide)
	}
	w.see()
	tab.do("open the register", chromedp.EmulateViewport(1400, 1000), chromedp.Navigate(server.URL+"/console/erasures"), chromedp.WaitVisible("#holds"))
	tab.shot("erasures")
	tab.do("read it on a narrow screen", chromedp.EmulateViewport(320, 700))
	tab.shot("erasures-narrow")
	if wide := get(tab, "measure", chromedp.Evaluate[float64](`document.documentElement.scrollWidth`)); wide > 320 {
		t.Errorf("register is %v px wide on a screen of 320 px", wide)
	}
	seen.mu.Lock()
	defer seen.mu.Unlock()
	if len(seen.list) > 0 {
		t.Errorf("the browser complained: %q", seen.list)
	}
}
