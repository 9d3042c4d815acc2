package api

import (
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/authledger/authledger/api/access"
	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/journal"
)

// reads lists the reads that were recorded.
func (w *world) reads() []domain.AuditQueryPerformed {
	w.t.Helper()
	var out []domain.AuditQueryPerformed
	for r, err := range w.store.ReadStream(w.t.Context(), domain.AuditStream(w.clock.Now().Format("2006-01")), 0) {
		if err != nil {
			w.t.Fatal(err)
		}
		d := must[codec.Decoded](w.t)(w.codec.Decode(r))
		out = append(out, d.Event.(domain.AuditQueryPerformed))
	}
	return out
}

func TestAuditorsReadsAreRecordedBeforeTheyAreAnswered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	login := w.login()
	w.project()
	event := login.EventIds[0]
	for i, path := range []string{
		"/v1/events?userId=" + w.user + "&limit=3&purpose=case-7",
		"/v1/events/" + event,
		"/v1/events/" + event + "/raw",
		"/v1/timelines/challenge/" + login.Challenge.Id,
		"/v1/timelines/user/" + w.user,
		"/v1/users/" + w.user + "/state",
		"/v1/opt-outs",
		"/v1/messages?userId=" + w.user,
		"/v1/users/" + w.user,
		"/v1/users/" + w.user + "/authenticators",
		"/v1/erasures",
		"/v1/legal-holds",
	} {
		if a := w.get(access.Auditor, path); a.status != http.StatusOK {
			t.Fatalf("%s: %d %s", path, a.status, a.body)
		}
		list := w.reads()
		if len(list) != i+1 {
			t.Fatalf("%s: %d reads recorded, want %d", path, len(list), i+1)
		}
		e := list[i]
		if e.AuditorRef != w.ids[access.Auditor] || e.Operation == "" || len(e.QueryDigest) != 43 || e.Rows == 0 && !slices.Contains([]string{"/v1/opt-outs", "/v1/erasures", "/v1/legal-holds"}, path) {
			t.Errorf("%s: recorded as %+v", path, e)
		}
	}
	if got := w.reads()[0]; got.Purpose != "case-7" || got.Rows != 3 {
		t.Errorf("purpose and rows: %+v", got)
	}
	n := len(w.reads())
	w.get(access.Frontend, "/v1/users/"+w.user)
	if len(w.reads()) != n {
		t.Error("the login page's read was recorded")
	}
}

func TestReadFailsWhenItCannotBeRecorded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) {
		c.Journal = brokenJournal{c.Journal.(*journal.Journal), "RecordAuditQuery", eventstore.ErrUnavailable}
	})
	w.register()
	w.enrollSMS()
	login := w.login()
	w.project()
	for _, path := range []string{
		"/v1/events", "/v1/events/" + login.EventIds[0], "/v1/events/" + login.EventIds[0] + "/raw", "/v1/timelines/user/" + w.user,
		"/v1/users/" + w.user + "/state", "/v1/opt-outs", "/v1/messages", "/v1/users/" + w.user, "/v1/users/" + w.user + "/authenticators",
		"/v1/erasures", "/v1/legal-holds",
	} {
		a := w.get(access.Auditor, path)
		if a.status != http.StatusServiceUnavailable || a.code(t) != "audit_record_unavailable" || strings.Contains(string(a.body), "usr_") {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
}

func TestPagesAreStableWhileEventsArrive(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	w.login()
	w.project()
	all := want[gen.EventList](t, w.get(access.Auditor, "/v1/events?order=asc&limit=500"), 200)
	if all.Page.HasMore || all.Count.Returned != len(all.Items) || all.Window.AtPosition == "" || all.Window.TimeField != gen.TimeFieldRecorded {
		t.Fatalf("all: %+v %+v %+v", all.Page, all.Window, all.Count)
	}
	path, seen := "/v1/events?order=asc&limit=4", []string{}
	for after := ""; ; {
		page := want[gen.EventList](t, w.get(access.Auditor, path+after), 200)
		for _, e := range page.Items {
			seen = append(seen, e.Id)
		}
		if page.Window.AtPosition != all.Window.AtPosition && after != "" && len(seen) > 4 {
			// the first page may already include the read just recorded
			if page.Window.AtPosition == "" {
				t.Fatal("no pin")
			}
		}
		w.login()
		w.project()
		if !page.Page.HasMore {
			break
		}
		after = "&after=" + page.Page.Next
	}
	// The first page was read after one more read had been recorded but not
	// projected, so both lists show the same log.
	if len(seen) != len(all.Items) {
		t.Fatalf("paged %d events, listed %d", len(seen), len(all.Items))
	}
	for i, e := range all.Items {
		if seen[i] != e.Id {
			t.Fatalf("event %d: %s, want %s", i, seen[i], e.Id)
		}
	}
}

func TestRawEventHashesToItsLeaf(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	id := w.login().EventIds[0]
	raw := want[gen.RawEvent](t, w.get(access.Auditor, "/v1/events/"+id+"/raw"), 200)
	record := eventstore.Record{
		ID: uuid.MustParse(raw.Uuid), Stream: raw.Stream, Revision: eventstore.Revision(raw.Revision), Type: raw.Type, Schema: uint16(raw.Schema),
		RecordedAt: time.UnixMicro(raw.RecordedAtMicros), Data: raw.Data, Metadata: raw.Metadata,
	}
	if record.Leaf().String() != raw.Leaf {
		t.Errorf("the bytes do not hash to %s", raw.Leaf)
	}
	event := want[gen.Event](t, w.get(access.Auditor, "/v1/events/"+id), 200)
	if string(event.Data) != string(raw.Data) || event.Type != "AuthenticationStarted" || event.Actor.Ref != w.ids[access.Frontend] {
		t.Errorf("event: %+v", event)
	}
	if a := w.get(access.Auditor, "/v1/events/evt_"+strings.Repeat("0", 26)); a.status != http.StatusNotFound {
		t.Errorf("unknown event: %d", a.status)
	}
}

func TestStateIsThatOfTheMoment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.clock.Now()
	w.clock.advance(time.Minute)
	w.register()
	verified := w.clock.Now()
	w.clock.advance(time.Minute)
	w.enrollSMS()
	ask := func(at time.Time) gen.UserState {
		return want[gen.UserState](t, w.get(access.Incident, "/v1/users/"+w.user+"/state?asOf="+at.Format(time.RFC3339)), 200)
	}
	if s := ask(before); s.Known {
		t.Errorf("before the registration: %+v", s)
	}
	if s := ask(verified); !s.Known || len(s.Authenticators) != 0 || len(s.Phones) != 1 || s.Phones[0].Status != gen.PhoneStatusVerified {
		t.Errorf("before the enrolment: %+v", s)
	}
	if s := ask(w.clock.Now()); len(s.Authenticators) != 1 || s.LastEventId == "" || s.Residence != "HK" {
		t.Errorf("now: %+v", s)
	}
}

func TestReadsWaitForTheirPosition(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.project()
	written := w.post(access.Frontend, "/v1/users/"+w.user+"/seamless", map[string]any{"enabled": false})
	position := written.header.Get(headerPosition)
	late := w.get(access.Auditor, "/v1/events", headerMinPosition, position)
	p := want[gen.Problem](t, late, 503)
	if p.Code != "projection_behind" || p.Lag != 1 || late.header.Get("Retry-After") != "1" {
		t.Fatalf("behind: %+v %v", p, late.header)
	}
	w.project()
	a := w.get(access.Auditor, "/v1/events", headerMinPosition, position)
	if list := want[gen.EventList](t, a, 200); list.Items[0].Type != "SeamlessDisabled" || a.header.Get(headerReadAt) != position {
		t.Fatalf("after it: %+v %s", list.Items[0], a.header.Get(headerReadAt))
	}
}

func TestReceiptsAreRecordedOnceAndOrphansTaken(t *testing.T) {
	t.Parallel()
	secret := "whsec_" + base64.StdEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef"))
	w := newWorld(t, func(c *Config) { c.ReceiptSecret = secret })
	w.register()
	w.enrollSMS()
	sms := w.login().Challenge.Delivery.MessageId
	hook := must[*standardwebhooks.Webhook](t)(standardwebhooks.NewWebhook(secret))
	send := func(id, body string, at time.Time) answer {
		sig := must[string](t)(hook.Sign(id, at, []byte(body)))
		return w.do(w.request(access.Gateway, "POST", routeReceipts, []byte(body),
			"webhook-id", id, "webhook-timestamp", strconv.FormatInt(at.Unix(), 10), "webhook-signature", sig))
	}
	receipt := func(status string) string {
		return `{"receipts":[{"messageId":"` + sms + `","status":"` + status + `","providerMessageId":"P1","occurredAt":"2026-03-02T09:03:01Z"}]}`
	}
	now := time.Now()
	for i, step := range []struct{ id, status, outcome string }{
		{"m1", "sent", "recorded"}, {"m1", "sent", "recorded"}, {"m2", "sent", "ignored"}, {"m3", "delivered", "recorded"}, {"m4", "read", "ignored"},
		{"m5", "failed", "recorded"},
	} {
		a := want[gen.ReceiptsAnswer](t, send(step.id, receipt(step.status), now), 202)
		if got := string(a.Results[0].Outcome); got != step.outcome {
			t.Errorf("step %d, %s: %s, want %s", i, step.status, got, step.outcome)
		}
	}
	head := w.head()
	orphan := `{"receipts":[{"messageId":"sms_` + strings.Repeat("0", 26) + `_1","status":"sent"},{"messageId":"SM-unknown","status":"delivered"}]}`
	if a := want[gen.ReceiptsAnswer](t, send("m6", orphan, now), 202); a.Results[0].Outcome != "orphan" || a.Results[1].Outcome != "orphan" {
		t.Errorf("orphans: %+v", a)
	}
	body := receipt("delivered")
	for name, a := range map[string]answer{
		"unsigned":   w.do(w.request(access.Gateway, "POST", routeReceipts, []byte(body), headerKey, "k")),
		"other body": w.do(w.request(access.Gateway, "POST", routeReceipts, []byte(body), "webhook-id", "m7", "webhook-timestamp", strconv.FormatInt(now.Unix(), 10), "webhook-signature", must[string](t)(hook.Sign("m7", now, []byte("{}"))))),
		"too old":    send("m8", body, now.Add(-6*time.Minute)),
	} {
		if a.status != http.StatusUnauthorized || a.code(t) != "signature_invalid" {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	if w.head() != head {
		t.Errorf("%d events were appended", w.head()-head)
	}
}

func TestBrokenPartsShowNothing(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		err  error
		code string
	}{
		{errors.New("disk " + marker), "internal"},
		{eventstore.ErrUnavailable, "store_unavailable"},
		{eventstore.ErrOutcomeUnknown, "outcome_unknown"},
		{journal.ErrBusy, "busy"},
		{eventstore.ErrClosed, "shutting_down"},
	} {
		w := newWorld(t, func(c *Config) { c.Journal = brokenJournal{c.Journal.(*journal.Journal), "RegisterClient", row.err} })
		a := w.post(access.Frontend, "/v1/clients", map[string]any{"reference": "C", "kind": "individual", "carryingEntity": "X", "carryingCountry": "IE"})
		if a.status < 500 || a.code(t) != row.code || strings.Contains(string(a.body), marker) || strings.Contains(string(a.body), "detail") {
			t.Errorf("%v: %d %s", row.err, a.status, a.body)
		}
	}
}
