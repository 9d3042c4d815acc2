package api

import (
	"bytes"
	"encoding/base64"
	"io"
	"net/http"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/authledger/authledger/api/access"
	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/api/pskc"
	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/domain/ocra"
	"github.com/authledger/authledger/eventstore/codec"
)

const transportKey = "0123456789abcdef"

// withPSKC lets a world import manufacturers' files.
func withPSKC(c *Config) {
	c.TransportKey = []byte(transportKey)
	c.ReadPSKC = func(r io.Reader, key []byte) ([]ImportedToken, error) {
		tokens, err := pskc.Read(r, key)
		var out []ImportedToken
		for _, t := range tokens {
			out = append(out, ImportedToken{
				DeviceID: codec.DeviceIDOf(t.Manufacturer, t.Serial), Manufacturer: t.Manufacturer, Serial: t.Serial, Model: t.Model,
				Suite: t.Suite, Counter: t.Counter, Seed: t.Seed,
			})
		}
		return out, err
	}
}

const dscSuite = "OCRA-1:HOTP-SHA256-8:C-QN06-PSHA1"

// unit is a simulated Digital Security Card+.
type unit struct {
	t       testing.TB
	id      string
	serial  string
	seed    []byte
	counter uint64
	pin     string
}

func (u *unit) token() pskc.Token {
	return pskc.Token{Manufacturer: "maker", Serial: u.serial, Model: "dsc_plus", Suite: dscSuite, Seed: append(pskc.Secret(nil), u.seed...)}
}

// answer is the card's response to a question; each uses up a counter.
func (u *unit) answer(question string) string {
	u.t.Helper()
	suite := must[ocra.Suite](u.t)(ocra.Parse(dscSuite))
	text := must[string](u.t)(suite.Compute(u.seed, ocra.Input{Question: question, Counter: u.counter, PINHash: suite.HashPIN([]byte(u.pin))}))
	u.counter++
	return text
}

func newUnit(t testing.TB, serial string) *unit {
	return &unit{
		t: t, id: codec.DeviceIDOf("maker", serial), serial: serial, seed: []byte("seed of " + serial + " thirty-two bytes...")[:32], pin: "4711",
	}
}

func (w *world) imports(tokens []pskc.Token, header ...string) answer {
	w.t.Helper()
	var file bytes.Buffer
	if err := pskc.Write(&file, []byte(transportKey), tokens); err != nil {
		w.t.Fatal(err)
	}
	return w.post(access.Operator, "/v1/devices/imports", map[string]any{"pskc": base64.StdEncoding.EncodeToString(file.Bytes())}, header...)
}

// order asks for a card with the PIN 4711 and returns the request's id.
func (w *world) order(user string) string {
	w.t.Helper()
	a := want[gen.DeviceRequestAnswer](w.t, w.post(access.Frontend, "/v1/users/"+user+"/device-requests", map[string]any{
		"model": "dsc_plus", "pin": "4711", "equityUsdMinor": 1_000_000_00, "shipTo": "1 Harbour Road, Hong Kong",
	}), 201)
	return a.RequestId
}

// card imports a unit and ships it to a user who ordered it.
func (w *world) card(serial, user string) *unit {
	w.t.Helper()
	u := newUnit(w.t, serial)
	want[gen.DeviceImport](w.t, w.imports([]pskc.Token{u.token()}), 200)
	request := w.order(user)
	if a := want[gen.ActionResult](w.t, w.post(access.Operator, "/v1/devices/"+u.id+"/shipment", map[string]any{
		"requestId": request, "dispatchedOn": "2026-03-02",
	}), 200); a.Status != gen.ActionResultStatusRecorded {
		w.t.Fatalf("shipment: %+v", a)
	}
	w.system(domain.NoteDeviceShipped{UserID: user, DeviceID: u.id, RequestID: request, DispatchedOn: "2026-03-02", DueOn: "2026-03-16"})
	return u
}

// respond answers a challenge and wants a result.
func (w *world) respond(challenge, response string, result gen.Result) gen.Challenge {
	w.t.Helper()
	c := want[gen.Challenge](w.t, w.post(access.Frontend, "/v1/challenges/"+challenge+"/responses", map[string]any{"response": response}), 200)
	if c.Result != result {
		w.t.Fatalf("result %s, want %s: %+v", c.Result, result, c)
	}
	return c
}

// approve lets the user's IB Key prove itself in an authentication that was
// begun for a process.
func (w *world) approve(authentication string) {
	w.t.Helper()
	c := want[gen.Challenge](w.t, w.post(access.Frontend, "/v1/authentications/"+authentication+"/challenges", map[string]any{}), 201)
	if c.Process.Kind != gen.ProcessStepKindAuthentication || c.Process.Step != gen.ProcessStepStepAwaitingProof {
		w.t.Fatalf("step-up: %+v", c)
	}
	if a := want[gen.PushDecisionAnswer](w.t, w.decide(c, "approve", c.MatchNumber), 200); a.Result != gen.ResultProved {
		w.t.Fatalf("step-up: %+v", a)
	}
}

// activateCard binds a card of a user with IB Key, and tells the unit.
func (w *world) activateCard(u *unit, user string) string {
	w.t.Helper()
	txn := w.begin(user, "activation")
	body := map[string]any{"kind": "dsc_plus", "deviceId": u.id, "authenticationId": txn}
	path := "/v1/users/" + user + "/enrollments"
	if no := want[gen.Enrollment](w.t, w.post(access.Frontend, path, body), 200); no.Status != gen.EnrollmentStatusRefused || no.ReasonCode != "STEP_UP_REQUIRED" {
		w.t.Fatalf("activation without step-up: %+v", no)
	}
	w.approve(txn)
	e := want[gen.Enrollment](w.t, w.post(access.Frontend, path, body), 201)
	c := e.Challenge
	if e.Status != gen.EnrollmentStatusChallenged || e.EnrollmentId == "" || c.Kind != gen.KindDscPlus || len(c.OfflineChallenge) != 6 || c.SubjectId != e.EnrollmentId {
		w.t.Fatalf("activation: %+v", e)
	}
	done := w.respond(c.Id, u.answer(c.OfflineChallenge), gen.ResultProved)
	p := done.Process
	if p.Kind != gen.ProcessStepKindEnrollment || p.Step != gen.ProcessStepStepDone || p.AuthenticatorId == "" || done.SessionRef != "" {
		w.t.Fatalf("activation: %+v", done)
	}
	w.system(domain.BindToDevice{DeviceID: u.id, UserID: user, AuthenticatorID: p.AuthenticatorId})
	return p.AuthenticatorId
}

func TestDevicesAreImportedAllOrNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPSKC)
	a, b := newUnit(t, "SN-1"), newUnit(t, "SN-2")
	first := want[gen.DeviceImport](t, w.imports([]pskc.Token{a.token()}, headerKey, "i-1"), 200)
	if len(first.Items) != 1 || first.Items[0].Outcome != gen.Registered || first.Items[0].DeviceId != a.id || len(first.Items[0].EventIds) != 1 {
		t.Fatalf("first import: %+v", first)
	}
	repeat := w.imports([]pskc.Token{a.token()}, headerKey, "i-1")
	if got := want[gen.DeviceImport](t, repeat, 200); !cmp.Equal(got, first) || repeat.header.Get(headerReplayed) != "true" {
		t.Fatalf("the repeat: %+v", got)
	}
	stolen := a.token()
	stolen.Seed = pskc.Secret("another seed for the same number")
	both := want[gen.DeviceImport](t, w.imports([]pskc.Token{stolen, b.token()}), 200)
	if both.Items[0].Outcome != gen.Known || both.Items[1].Outcome != gen.Registered || len(both.Items[0].EventIds) != 0 {
		t.Fatalf("second import: %+v", both)
	}
	kept := must[[]byte](t)(secretOf(w, a.id))
	if string(kept) != string(a.seed) {
		t.Error("a known unit got another seed")
	}
	before := w.head()
	other := b.token()
	other.Suite = "OCRA-1:HOTP-SHA256-8:C-QN06"
	if no := w.imports([]pskc.Token{newUnit(t, "SN-3").token(), other}); no.status != http.StatusConflict || no.code(t) != "exists" || w.head() != before {
		t.Errorf("other content: %d %s, %d events", no.status, no.body, w.head()-before)
	}
	text := base64.StdEncoding.EncodeToString([]byte("<" + marker + "/>"))
	no := w.post(access.Operator, "/v1/devices/imports", map[string]any{"pskc": text})
	if p := want[gen.Problem](t, no, http.StatusUnprocessableEntity); p.Code != "pskc_invalid" || p.Detail == "" || bytes.Contains(no.body, []byte(marker)) {
		t.Errorf("no file: %s", no.body)
	}
	w.quiet(marker, string(a.seed), base64.StdEncoding.EncodeToString(a.seed))
	bare := newWorld(t)
	if no := bare.imports([]pskc.Token{a.token()}); no.status != http.StatusConflict || no.code(t) != "transport_key_missing" {
		t.Errorf("without a transport key: %d %s", no.status, no.body)
	}
}

func secretOf(w *world, device string) ([]byte, error) {
	s, err := w.keys.Secret(w.t.Context(), domain.DeviceStream(device), "seed")
	return s, err
}

func TestDeviceIsOrderedOrRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	path := "/v1/users/" + w.user + "/device-requests"
	body := map[string]any{"model": "dsc_plus", "pin": "4711", "equityUsdMinor": 1, "shipTo": "1 " + marker + " Road"}
	ask := func(status int) gen.DeviceRequestAnswer {
		t.Helper()
		return want[gen.DeviceRequestAnswer](t, w.post(access.Frontend, path, body), status)
	}
	if no := ask(200); no.Status != gen.DeviceRequestAnswerStatusRefused || no.ReasonCode != "NOT_ENROLLED" {
		t.Fatalf("without an authenticator: %+v", no)
	}
	w.enrollSMS()
	if no := ask(200); no.ReasonCode != "EQUITY_BELOW_THRESHOLD" || no.Threshold.Currency != "USD" || no.Threshold.Minor == 0 {
		t.Fatalf("too little equity: %+v", no)
	}
	body["equityUsdMinor"] = 200_000_000_00
	body["pin"] = "47l1"
	if no := ask(200); no.ReasonCode != "PIN_POLICY" {
		t.Fatalf("not four digits: %+v", no)
	}
	body["pin"] = "4711"
	if yes := ask(201); yes.Status != gen.DeviceRequestAnswerStatusRequested || !domain.IsID(yes.RequestId, domain.PrefixRequest) {
		t.Fatalf("order: %+v", yes)
	}
	w.quiet(marker, "4711")
}

func TestDSCIsActivatedAndLogsIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPSKC)
	w.register()
	w.enrollSMS()
	w.enrollIBKey()
	card := w.card("SN-1", w.user)
	id := w.activateCard(card, w.user)
	login := w.login("challenge", "defer")
	if len(login.Options) != 2 || login.Options[0].AuthenticatorId != id || login.Options[0].Kind != gen.KindDscPlus {
		t.Fatalf("options: %+v", login.Options)
	}
	c := want[gen.Challenge](t, w.post(access.Frontend, "/v1/authentications/"+login.AuthenticationId+"/challenges", map[string]any{"authenticatorId": id}), 201)
	if c.Mode != gen.ModeChallengeResponse || len(c.OfflineChallenge) != 6 || c.Process.Id != "" {
		t.Fatalf("challenge: %+v", c)
	}
	right := card.answer(c.OfflineChallenge)
	card.pin = "0000"
	card.counter--
	wrong := w.respond(c.Id, card.answer(c.OfflineChallenge), gen.ResultWaiting)
	if wrong.AttemptsLeft != 2 || wrong.ReasonCode != "" {
		t.Fatalf("wrong PIN: %+v", wrong)
	}
	if allowed := w.respond(c.Id, right, gen.ResultAllow); allowed.Scope != gen.ScopeFull {
		t.Fatalf("login: %+v", allowed)
	}
	w.quiet(right, "4711")
}

func TestPINIsChangedByAResponseMadeWithIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPSKC)
	w.register()
	w.enrollSMS()
	w.enrollIBKey()
	card := w.card("SN-1", w.user)
	id := w.activateCard(card, w.user)
	path := "/v1/authenticators/" + id + "/pin-change"
	txn := w.begin(w.user, "pin_change")
	body := map[string]any{"authenticationId": txn, "pin": "12345"}
	if no := want[gen.ProofAnswer](t, w.post(access.Frontend, path, body), 200); no.Status != gen.ProofAnswerStatusRefused || no.ReasonCode != "PIN_POLICY" {
		t.Fatalf("five digits: %+v", no)
	}
	body["pin"] = "1357"
	asked := want[gen.ProofAnswer](t, w.post(access.Frontend, path, body), 200)
	c := asked.Challenge
	if asked.Status != gen.ProofAnswerStatusChallenged || c.Process.Kind != gen.ProcessStepKindPinChange || c.SubjectId != id {
		t.Fatalf("change: %+v", asked)
	}
	w.respond(c.Id, card.answer(c.OfflineChallenge), gen.ResultWaiting) // made with the old PIN
	card.pin = "1357"
	done := w.respond(c.Id, card.answer(c.OfflineChallenge), gen.ResultProved)
	if done.Process.Step != gen.ProcessStepStepDone || done.Process.AuthenticatorId != id {
		t.Fatalf("changed: %+v", done)
	}
	w.quiet("1357", "12345")
}

func TestUnitGoesBackAndCosts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPSKC)
	w.register()
	w.enrollSMS()
	card := w.card("SN-1", w.user)
	path := "/v1/devices/" + card.id
	for _, row := range []struct {
		call   string
		body   map[string]any
		status gen.ActionResultStatus
	}{
		{"/deposits", map[string]any{"amount": map[string]any{"minor": 2000, "currency": "USD"}, "released": false}, gen.ActionResultStatusRecorded},
		{"/deposits", map[string]any{"amount": map[string]any{"minor": 2000, "currency": "USD"}, "released": true}, gen.ActionResultStatusRecorded},
		{"/fees", map[string]any{"amount": map[string]any{"minor": 2000, "currency": "USD"}, "reason": "damaged", "feeRuleId": "fee.dsc_plus"}, gen.ActionResultStatusRecorded},
		{"/return", map[string]any{"receivedOn": "2026-03-20", "condition": "damaged"}, gen.ActionResultStatusRecorded},
		{"/return", map[string]any{"receivedOn": "2026-03-20", "condition": "damaged"}, gen.ActionResultStatusUnchanged},
	} {
		if a := want[gen.ActionResult](t, w.post(access.Operator, path+row.call, row.body), 200); a.Status != row.status {
			t.Errorf("%s: %+v", row.call, a)
		}
	}
	unknown := w.post(access.Operator, path+"/shipment", map[string]any{"requestId": "req" + w.user[3:] + "_" + strconv.Itoa(99), "dispatchedOn": "2026-03-02"})
	if unknown.status != http.StatusNotFound {
		t.Errorf("shipment for nobody: %d %s", unknown.status, unknown.body)
	}
	if a := w.post(access.Operator, "/v1/devices/"+newUnit(t, "SN-9").id+"/return", map[string]any{"receivedOn": "2026-03-20", "condition": "ok"}); a.status != http.StatusNotFound {
		t.Errorf("return of a unit nobody imported: %d", a.status)
	}
}
