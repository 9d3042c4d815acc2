package api

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authledger/authledger/api/access"
	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
)

// closed closes the user.
func (w *world) closed() {
	w.t.Helper()
	w.acts(access.Operator, "/v1/users/"+w.user+"/closure", map[string]any{"reason": "account_closed"}, recorded, "")
}

// forget asks that the user be forgotten.
func (w *world) forget(status int) gen.ErasureAnswer {
	w.t.Helper()
	return want[gen.ErasureAnswer](w.t, w.post(access.Operator, "/v1/users/"+w.user+"/erasure-requests", map[string]any{
		"basis": "subject_request", "requestedBy": "TICKET-1",
	}), status)
}

// newest is the id of the newest event of a type.
func (w *world) newest(eventType string) (id string) {
	w.t.Helper()
	for r, err := range w.store.ReadAll(w.t.Context(), 1) {
		if err != nil {
			w.t.Fatal(err)
		}
		if r.Type == eventType {
			id = codec.EventIDText(r.ID)
		}
	}
	if id == "" {
		w.t.Fatalf("no event %s", eventType)
	}
	return id
}

func TestErasureWaitsForTheRetentionAndThenHappens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	if a := w.forget(200); a.Status != gen.ErasureAnswerStatusRefused || a.ReasonCode != "ACCOUNT_OPEN" {
		t.Fatalf("an open account: %+v", a)
	}
	w.closed()
	end := w.clock.Now().AddDate(7, 0, 0)
	a := w.forget(200)
	if a.Status != gen.ErasureAnswerStatusRestricted || a.ReasonCode != "RETENTION_RUNS" || !a.RetainedUntil.Equal(end) || a.Retention.Years != 7 || len(a.EventIds) != 3 {
		t.Fatalf("while the retention runs: %+v", a)
	}
	if s := want[gen.UserState](t, w.get(access.Auditor, "/v1/users/"+w.user+"/state"), 200); !s.Restricted || !s.RestrictedUntil.Equal(end) || s.Erased {
		t.Errorf("state while the retention runs: %+v", s)
	}
	w.clock.advance(end.Sub(w.clock.Now()))
	b := w.forget(201)
	if b.Status != gen.ErasureAnswerStatusErased || b.ReasonCode != "" || len(b.EventIds) != 2 {
		t.Fatalf("afterwards: %+v", b)
	}
	w.system(domain.CertifyErasure{
		ErasureID: b.ErasureId, SubjectRef: domain.UserStream(w.user), KeyID: "k1", DestroyedAt: w.clock.Now(), Method: "searched", Files: 3, Bytes: 700,
	})
	if s := want[gen.UserState](t, w.get(access.Auditor, "/v1/users/"+w.user+"/state"), 200); s.Restricted || !s.Erased {
		t.Errorf("state afterwards: %+v", s)
	}
	w.project()
	list := want[gen.ErasureList](t, w.get(access.Auditor, "/v1/erasures?userId="+w.user), 200)
	var statuses []gen.ErasureStatus
	for _, row := range list.Items {
		statuses = append(statuses, row.Status)
	}
	if !slices.Equal(statuses, []gen.ErasureStatus{"certified", "restricted", "refused"}) {
		t.Errorf("register: %v", statuses)
	}
	if c := list.Items[0].Certificate; c.Files != 3 || c.Bytes != 700 || c.Method != "searched" || c.Sequence != int64(w.certificate()) {
		t.Errorf("certificate: %+v", c)
	}
	if row := list.Items[1]; row.Retention.Rule == "" || !row.RetainedUntil.Equal(end) || row.RequestedBy != "TICKET-1" {
		t.Errorf("restriction: %+v", row)
	}
	if only := want[gen.ErasureList](t, w.get(access.Operator, "/v1/erasures?status=certified"), 200); len(only.Items) != 1 {
		t.Errorf("by status: %+v", only.Items)
	}
	if again := w.forget(200); again.Status != gen.ErasureAnswerStatusRefused || again.ReasonCode != "ALREADY_ERASED" {
		t.Errorf("again: %+v", again)
	}
}

// certificate is the place of the newest certificate in the log.
func (w *world) certificate() (n eventstore.Sequence) {
	w.t.Helper()
	for r, err := range w.store.ReadAll(w.t.Context(), 1) {
		if err != nil {
			w.t.Fatal(err)
		}
		if r.Type == "ErasureCertified" {
			n = r.Sequence
		}
	}
	return n
}

func TestHoldTakesOnePersonAndItsReleaseTwo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.closed()
	w.clock.advance(8 * 366 * 24 * time.Hour)
	path := "/v1/users/" + w.user + "/legal-holds"
	body := map[string]any{"caseRef": "CASE-1", "basis": "litigation"}
	hold := want[gen.LegalHoldAnswer](t, w.post(access.Compliance, path, body), 201)
	if again := want[gen.LegalHoldAnswer](t, w.post(access.Compliance, path, body), 200); again.HoldId != hold.HoldId || len(again.EventIds) != 0 {
		t.Errorf("a second hold for the case: %+v, the first %+v", again, hold)
	}
	if a := w.forget(200); a.Status != gen.ErasureAnswerStatusRestricted || a.ReasonCode != "LEGAL_HOLD" || a.HoldId != hold.HoldId {
		t.Fatalf("erasure under a hold: %+v", a)
	}
	if s := want[gen.UserState](t, w.get(access.Auditor, "/v1/users/"+w.user+"/state"), 200); len(s.LegalHolds) != 1 || s.LegalHolds[0].HoldId != hold.HoldId {
		t.Errorf("state under a hold: %+v", s)
	}
	refusedAlone := func(step string) {
		t.Helper()
		a := w.post(access.Compliance, path+"/"+hold.HoldId+"/release", nil)
		if a.status != http.StatusForbidden || a.code(t) != "second_person_required" {
			t.Errorf("%s: %d %s", step, a.status, a.body)
		}
	}
	refusedAlone("release nobody asked for")
	w.acts(access.Compliance, path+"/"+hold.HoldId+"/release-requests", map[string]any{}, recorded, "")
	refusedAlone("release by who asked for it")
	if in := want[gen.LegalHoldList](t, w.held("?inForce=true"), 200); len(in.Items) != 1 || in.Items[0].ReleaseRequestedBy != w.ids[access.Compliance] {
		t.Errorf("in force: %+v", in.Items)
	}
	_, second, err := w.access.Create(t.Context(), "second", access.Compliance, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	w.api[access.Compliance] = string(second)
	w.acts(access.Compliance, path+"/"+hold.HoldId+"/release", map[string]any{}, recorded, "")
	if in := want[gen.LegalHoldList](t, w.held("?inForce=true&userId="+w.user), 200); len(in.Items) != 0 {
		t.Errorf("in force after the release: %+v", in.Items)
	}
	if all := want[gen.LegalHoldList](t, w.held(""), 200); len(all.Items) != 1 || all.Items[0].ReleasedAt.IsZero() || all.Items[0].ApprovedBy == w.ids[access.Compliance] {
		t.Errorf("register: %+v", all.Items)
	}
	if a := w.forget(201); a.Status != gen.ErasureAnswerStatusErased {
		t.Errorf("erasure after the hold: %+v", a)
	}
}

func (w *world) held(query string) answer {
	w.t.Helper()
	w.project()
	return w.get(access.Auditor, "/v1/legal-holds"+query)
}

func TestRevealIsRecordedAndShownNowhereElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	path := "/v1/events/" + w.newest("PhoneNumberAdded") + "/reveal"
	body := map[string]any{"reason": "dispute", "caseRef": "CASE-9"}
	a := w.post(access.Incident, path, body, headerKey, "reveal-1")
	r := want[gen.Reveal](t, a, 200)
	if len(r.Fields) != 1 || r.Fields[0] != (gen.RevealedField{Name: "number", Value: "+85261234567"}) || r.UserId != w.user || r.EventIds[0] != w.newest("PersonalDataRevealed") {
		t.Fatalf("revealed %+v", r)
	}
	if a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("the answer may be kept: %v", a.header)
	}
	reads := len(w.reads())
	again := w.post(access.Incident, path, body, headerKey, "reveal-1")
	if again.header.Get(headerReplayed) != "true" || string(again.body) != string(a.body) || len(w.reads()) != reads+1 {
		t.Errorf("repeat: %d %s; %d reads recorded", again.status, again.body, len(w.reads())-reads)
	}
	w.project()
	line := want[gen.EventList](t, w.get(access.Auditor, "/v1/timelines/user/"+w.user), 200)
	if last := line.Items[len(line.Items)-1]; last.Type != "PersonalDataRevealed" || last.Actor.Ref != w.ids[access.Incident] || !strings.Contains(string(last.Data), "CASE-9") {
		t.Errorf("the timeline ends with %+v", last)
	}
	w.quiet("61234567", "6123 4567")
	if metrics := w.get(access.Operator, "/metrics"); strings.Contains(string(metrics.body), "61234567") || strings.Contains(string(metrics.body), "CASE-9") {
		t.Error("a metric holds what was revealed")
	}
	w.closed()
	w.forget(200)
	later := w.post(access.Incident, path, body)
	if later.status != http.StatusForbidden || later.code(t) != "processing_restricted" {
		t.Errorf("while it is locked away: %d %s", later.status, later.body)
	}
	body["reason"] = "regulator"
	if open := want[gen.Reveal](t, w.post(access.Compliance, path, body), 200); len(open.Fields) != 1 {
		t.Errorf("for a regulator: %+v", open)
	}
	w.clock.advance(8 * 366 * 24 * time.Hour)
	w.forget(201)
	gone := w.post(access.Compliance, path, body)
	if gone.status != http.StatusGone || gone.code(t) != "personal_data_erased" {
		t.Errorf("after the erasure: %d %s", gone.status, gone.body)
	}
}

func TestAddressAndAppAreRevealedWhenAskedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	w.enrollIBKey()
	w.login()
	login := "/v1/events/" + w.newest("AuthenticationStarted") + "/reveal"
	r := want[gen.Reveal](t, w.post(access.Compliance, login, map[string]any{"fields": []string{"source.ip"}, "reason": "incident", "caseRef": "I-1"}), 200)
	if len(r.Fields) != 1 || r.Fields[0].Value != "203.0.113.9" {
		t.Errorf("address: %+v", r)
	}
	if a := w.post(access.Compliance, login, map[string]any{"reason": "incident", "caseRef": "I-1"}); a.status != http.StatusBadRequest {
		t.Errorf("an event without personal data, nothing asked for: %d %s", a.status, a.body)
	}
	app := "/v1/events/" + w.newest("InstallationRegistered") + "/reveal"
	if a := w.post(access.Compliance, app, map[string]any{"reason": "incident", "caseRef": "I-1"}); a.status != http.StatusNotFound {
		t.Errorf("an app without a user: %d %s", a.status, a.body)
	}
	r = want[gen.Reveal](t, w.post(access.Compliance, app, map[string]any{"userId": w.user, "reason": "incident", "caseRef": "I-1"}), 200)
	if len(r.Fields) != 1 || r.Fields[0] != (gen.RevealedField{Name: "device_name", Value: "Tai Man's phone"}) || r.UserId != w.user {
		t.Errorf("app: %+v", r)
	}
	stranger := w.newUser("U-9", w.client, "HK")
	if a := w.post(access.Compliance, app, map[string]any{"userId": stranger, "reason": "incident", "caseRef": "I-1"}); a.status != http.StatusNotFound {
		t.Errorf("an app the user never lived on: %d %s", a.status, a.body)
	}
	w.quiet("203.0.113.9", "Tai Man")
}

func TestAnnotationIsSealedAndRevealable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	event := w.newest("PhoneNumberAdded")
	w.acts(access.Compliance, "/v1/events/"+event+"/annotations", map[string]any{"kind": "dispute", "note": "Ms Chan says no"}, recorded, "")
	w.project()
	a := w.get(access.Auditor, "/v1/timelines/user/"+w.user)
	line := want[gen.EventList](t, a, 200)
	last := line.Items[len(line.Items)-1]
	if last.Type != "EventAnnotated" || !strings.Contains(string(last.Data), event) || strings.Contains(string(a.body), "Ms Chan") {
		t.Fatalf("timeline: %+v", last)
	}
	r := want[gen.Reveal](t, w.post(access.Compliance, "/v1/events/"+last.Id+"/reveal", map[string]any{"reason": "dispute", "caseRef": "C-1"}), 200)
	if len(r.Fields) != 1 || r.Fields[0] != (gen.RevealedField{Name: "note", Value: "Ms Chan says no"}) {
		t.Errorf("note: %+v", r)
	}
	w.quiet("Ms Chan")
}

// What is malformed or not allowed leaves nothing in the ledger.
func TestBadPrivacyRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	hold := want[gen.LegalHoldAnswer](t, w.post(access.Compliance, "/v1/users/"+w.user+"/legal-holds", map[string]any{"caseRef": "C", "basis": "regulator"}), 201).HoldId
	other := w.newUser("U-2", w.client, "HK")
	event, client := w.newest("PhoneNumberAdded"), w.newest("ClientRegistered")
	user, nobody := "/v1/users/"+w.user, "usr_00000000000000000000000000"
	erase, reveal := user+"/erasure-requests", "/v1/events/"+event+"/reveal"
	good := map[string]any{"reason": "legal", "caseRef": "C-1"}
	with := func(name string, value any) map[string]any {
		return map[string]any{"reason": "legal", "caseRef": "C-1", name: value}
	}
	const invalid = "validation_failed"
	w.attack(t, w.user, []hostile{
		{id: "erase: no basis", role: access.Operator, path: erase, body: map[string]any{}, status: 400, code: invalid},
		{id: "erase: other basis", role: access.Operator, path: erase, body: map[string]any{"basis": marker}, status: 400, code: invalid},
		{id: "erase: a name", role: access.Operator, path: erase, body: map[string]any{"basis": "subject_request", "requestedBy": "Chan Tai Man"}, status: 400, code: invalid},
		{id: "erase: nobody", role: access.Operator, path: "/v1/users/" + nobody + "/erasure-requests", body: map[string]any{"basis": "subject_request"}, status: 404, code: "not_found"},
		{id: "erase: by the login page", path: erase, body: map[string]any{"basis": "subject_request"}, status: 403, code: "role_missing"},
		{id: "erase: by an auditor", role: access.Auditor, path: erase, body: map[string]any{"basis": "subject_request"}, status: 403, code: "role_missing"},
		{id: "hold: no case", role: access.Compliance, path: user + "/legal-holds", body: map[string]any{"basis": "litigation"}, status: 400, code: invalid},
		{id: "hold: by an agent", role: access.Operator, path: user + "/legal-holds", body: map[string]any{"caseRef": "C", "basis": "litigation"}, status: 403, code: "role_missing"},
		{id: "release: other user", role: access.Compliance, path: "/v1/users/" + other + "/legal-holds/" + hold + "/release", status: 404, code: "not_found"},
		{id: "release: alone", role: access.Compliance, path: user + "/legal-holds/" + hold + "/release", status: 403, code: "second_person_required"},
		{id: "release: no such hold", role: access.Compliance, path: user + "/legal-holds/" + hold + "9/release", status: 404, code: "not_found"},
		{id: "reveal: no reason", role: access.Incident, path: reveal, body: map[string]any{"caseRef": "C-1"}, status: 400, code: invalid},
		{id: "reveal: no case", role: access.Incident, path: reveal, body: map[string]any{"reason": "legal"}, status: 400, code: invalid},
		{id: "reveal: curiosity", role: access.Incident, path: reveal, body: with("reason", "curiosity"), status: 400, code: invalid},
		{id: "reveal: no field", role: access.Incident, path: reveal, body: with("fields", []string{}), status: 400, code: invalid},
		{id: "reveal: other field", role: access.Incident, path: reveal, body: with("fields", []string{"username"}), status: 400, code: invalid},
		{id: "reveal: field that is not personal", role: access.Incident, path: reveal, body: with("fields", []string{"cc"}), status: 400, code: invalid},
		{id: "reveal: twice the same", role: access.Incident, path: reveal, body: with("fields", []string{"number", "number"}), status: 400, code: invalid},
		{id: "reveal: strange field", role: access.Incident, path: reveal, body: with("fields", []string{"../" + marker}), status: 400, code: invalid},
		{id: "reveal: unknown member", role: access.Incident, path: reveal, body: with("actor", "somebody"), status: 400, code: invalid},
		{id: "reveal: another's event", role: access.Incident, path: reveal, body: with("userId", other), status: 404, code: "not_found"},
		{id: "reveal: event of a client", role: access.Incident, path: "/v1/events/" + client + "/reveal", body: with("userId", w.user), status: 404, code: "not_found"},
		{id: "reveal: no such event", role: access.Incident, path: "/v1/events/evt_00000000000000000000000000/reveal", body: good, status: 404, code: "not_found"},
		{id: "reveal: by an auditor", role: access.Auditor, path: reveal, body: good, status: 403, code: "role_missing"},
		{id: "reveal: by an agent", role: access.Operator, path: reveal, body: good, status: 403, code: "role_missing"},
		{id: "annotate: no note", role: access.Compliance, path: "/v1/events/" + event + "/annotations", body: map[string]any{"kind": "dispute", "note": ""}, status: 400, code: invalid},
		{id: "annotate: long note", role: access.Compliance, path: "/v1/events/" + event + "/annotations", body: map[string]any{"kind": "dispute", "note": strings.Repeat("a", 2001)}, status: 400, code: invalid},
		{id: "annotate: a client", role: access.Compliance, path: "/v1/events/" + client + "/annotations", body: map[string]any{"kind": "dispute", "note": "n"}, status: 404, code: "not_found"},
		{id: "annotate: by an auditor", role: access.Auditor, path: "/v1/events/" + event + "/annotations", body: map[string]any{"kind": "dispute", "note": "n"}, status: 403, code: "role_missing"},
		{id: "register: other status", role: access.Auditor, method: "GET", path: "/v1/erasures?status=" + marker, status: 400, code: invalid},
		{id: "register: forged cursor", role: access.Auditor, method: "GET", path: "/v1/erasures?after=AAAA", status: 400, code: "cursor_invalid"},
		{id: "register: by the login page", method: "GET", path: "/v1/erasures", status: 403, code: "role_missing"},
		{id: "holds: forged cursor", role: access.Auditor, method: "GET", path: "/v1/legal-holds?after=AAAA", status: 400, code: "cursor_invalid"},
		{id: "holds: since after until", role: access.Auditor, method: "GET", path: "/v1/legal-holds?since=2026-02-01T00:00:00Z&until=2026-01-01T00:00:00Z", status: 400, code: invalid},
	})
}
