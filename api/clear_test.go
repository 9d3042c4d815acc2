package api

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/authledger/authledger/api/access"
	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/eventstore/codec"
)

// datum is a piece of personal data that a world is made with.
type datum struct{ what, text string }

var personalData = []datum{
	{"number", "61234567"}, {"spaced number", "6123 4567"}, {"user name", "chan.tai.man"}, {"device name", "Tai Man"},
	{"address", "Harbour Road"}, {"source address", "203.0.113.9"}, {"note", "Ms Chan says"},
}

// populated is a world in which every kind of personal datum was recorded.
func populated(t *testing.T) (w *world, card *unit, seal func()) {
	t.Helper()
	w, sealer := newSealedWorld(t, withPSKC)
	w.register()
	w.enrollSMS()
	w.enrollIBKey()
	card = w.card("SN-1", w.user)
	w.login()
	w.acts(access.Compliance, "/v1/events/"+w.newest("AuthenticationStarted")+"/annotations", map[string]any{"kind": "dispute", "note": "Ms Chan says no"}, recorded, "")
	fields := map[string]bool{}
	for r, err := range w.store.ReadAll(t.Context(), 1) {
		if err != nil {
			t.Fatal(err)
		}
		d, err := w.codec.Decode(r)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range w.codec.SealedFields(d) {
			fields[name] = true
		}
	}
	for _, name := range []string{"number", "username", "device_name", "ship_to", codec.FieldIP, "note"} {
		if !fields[name] {
			t.Fatalf("nothing in this world holds %s", name)
		}
	}
	return w, card, func() { w.seal(sealer) }
}

// addresses are all addresses of a read route that this world can fill in.
func (w *world) addresses(route string, card *unit) []string {
	w.t.Helper()
	switch route {
	case "/v1/policy/impact":
		return []string{route + "?ruleId=HK-2FA-1"}
	case "/v1/log/consistency":
		return []string{route + "?from=1"}
	case "/v1/log/tile/*":
		return []string{"/v1/log/tile/0/000.p/1", "/v1/log/tile/entries/000.p/1"}
	case "/v1/transactions":
		return []string{route + "?userId=" + w.user}
	case "/v1/timelines/:kind/:id":
		return []string{"/v1/timelines/user/" + w.user, "/v1/timelines/client/" + w.client, "/v1/timelines/phone/" + w.phone,
			"/v1/timelines/installation/" + w.installation, "/v1/timelines/device/" + card.id}
	}
	ids := map[string][]string{
		":userId": {w.user}, ":installationId": {w.installation}, ":deviceId": {card.id},
	}
	for r, err := range w.store.ReadAll(w.t.Context(), 1) {
		if err != nil {
			w.t.Fatal(err)
		}
		if r.Type != "AuditQueryPerformed" { // each read adds one, which would be read in turn
			ids[":eventId"] = append(ids[":eventId"], codec.EventIDText(r.ID))
		}
		var named struct {
			ChallengeID string `json:"challenge_id"`
		}
		if json.Unmarshal(r.Data, &named) == nil && named.ChallengeID != "" && !slices.Contains(ids[":challengeId"], named.ChallengeID) {
			ids[":challengeId"] = append(ids[":challengeId"], named.ChallengeID)
		}
	}
	name := routeParameter.FindString(route)
	if name == "" {
		return []string{route}
	}
	var out []string
	for _, id := range ids[name] {
		out = append(out, strings.Replace(route, name, id, 1))
	}
	if len(out) == 0 {
		w.t.Fatalf("nothing to read at %s", route)
	}
	return out
}

// walk asks for everything that can be read, as every role that may, and hands
// out what was answered.
func (w *world) walk(card *unit, see func(address string, body string)) {
	w.t.Helper()
	w.project()
	for name, row := range rules {
		method, route, _ := strings.Cut(name, " ")
		if method != http.MethodGet || row.public {
			continue
		}
		answered := false
		for _, address := range w.addresses(route, card) {
			for _, role := range row.roles {
				ms := strconv.FormatInt(w.clock.Now().UnixMilli(), 10)
				proof := ms + "." + w.sign("authledger/request/v1\nGET\n"+address+"\n"+ms) // asked for where the app itself reads
				a := w.get(role, address, "Authledger-Installation-Proof", proof)
				answered = answered || a.status == http.StatusOK
				body := string(a.body)
				var raw gen.RawEvent
				if strings.HasSuffix(address, "/raw") && json.Unmarshal(a.body, &raw) == nil {
					body += string(raw.Data) + string(raw.Metadata)
				}
				see(address, body)
			}
		}
		if !answered && route != "/v1/policy/impact" { // which knows only rules that are not in force
			w.t.Errorf("nothing was answered at %s", name)
		}
	}
}

// Personal data leaves by the door that records it and by no other.
func TestNoAnswerHoldsPersonalDataInClear(t *testing.T) {
	t.Parallel()
	w, card, seal := populated(t)
	seal()
	masked := false
	w.walk(card, func(address, body string) {
		masked = masked || strings.Contains(body, "•••• 4567")
		for _, d := range personalData {
			if strings.Contains(body, d.text) {
				t.Errorf("%s answers the %s in clear", address, d.what)
			}
		}
	})
	if !masked {
		t.Error("no answer shows the masked number: was anything read?")
	}
	w.closed()
	w.forget(200)
	seal()
	w.walk(card, func(address, body string) {
		if strings.Contains(body, "•••• 4567") && address != "/dev/inbox" { // the test's own message
			t.Errorf("%s shows part of a number that is locked away", address)
		}
	})
	w.quiet("61234567", "chan.tai.man", "Tai Man", "Harbour", "203.0.113.9", "Ms Chan")
}
