package api

import (
	"net/http"
	"testing"
	"time"

	"github.com/authledger/authledger/api/access"
	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain"
)

func TestInstallationAndUnitShowWhoLivesThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPSKC)
	w.register()
	w.enrollSMS()
	key := w.enrollIBKey()
	card := w.card("SN-1", w.user)
	id := w.activateCard(card, w.user)
	w.post(access.Operator, "/v1/devices/"+card.id+"/deposits", map[string]any{"amount": map[string]any{"minor": 2000, "currency": "USD"}, "released": false})
	w.project()
	i := want[gen.Installation](t, w.get(access.Operator, "/v1/installations/"+w.installation+"?purpose=case-7"), 200)
	if i.App != gen.IbkrMobile || i.Os != gen.Ios || i.HandsetId != "hs-1" || len(i.Authenticators) != 1 || len(i.Bindings) != 1 {
		t.Fatalf("installation: %+v", i)
	}
	if a := i.Authenticators[0]; a.AuthenticatorId != key.AuthenticatorId || a.UserId != w.user || a.Status != gen.AuthenticatorRowStatusActive || a.Kind != gen.KindIbkey {
		t.Fatalf("authenticator: %+v", a)
	}
	d := want[gen.Device](t, w.get(access.Auditor, "/v1/devices/"+card.id), 200)
	if d.Serial != "SN-1" || d.UserId != w.user || d.ActivationDueOn != "2026-03-16" || d.ActivatedAt.IsZero() || len(d.Authenticators) != 1 ||
		d.Authenticators[0].AuthenticatorId != id || len(d.Bindings) != 1 || len(d.Charges) != 1 || d.Charges[0].Amount.Minor != 2000 {
		t.Fatalf("unit: %+v", d)
	}
	if n := len(w.reads()); n != 2 || w.reads()[0].Purpose != "case-7" || w.reads()[0].Operation != "getInstallation" {
		t.Errorf("reads: %+v", w.reads())
	}
	for _, path := range []string{"/v1/installations/ins_00000000000000000000000000", "/v1/devices/dev_00000000000000000000000000"} {
		if a := w.get(access.Auditor, path); a.status != http.StatusNotFound {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
}

func TestRegistersOfWhatUsersWentThrough(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	login := w.login("releaseChannel", "latest").Challenge
	call := want[gen.VoiceCall](t, w.post(access.Frontend, "/v1/challenges/"+login.Id+"/voice-calls", nil), 201)
	w.system(domain.RecordVoiceDispatch{CallID: call.CallId, Gateway: "sim"})
	w.clock.advance(61 * time.Second)
	w.system(domain.RecordVoicePlaced{CallID: call.CallId, Provider: "sim", ProviderRef: "v1", PlacedAt: w.clock.Now()})
	w.respond(login.Id, w.codeFor(domain.PurposeLogin, login.Id), gen.ResultAllow)
	w.enrollIBKey()
	w.clock.advance(3 * time.Minute)
	m := w.moving(w.install("ibkr_mobile", "ios", "hs-2"), 201)
	w.project()

	calls := want[gen.VoiceCallList](t, w.get(access.Auditor, "/v1/voice-calls?userId="+w.user+"&status=placed"), 200)
	if len(calls.Items) != 1 || calls.Items[0].CallId != call.CallId || !calls.Items[0].SlaMissed || calls.Items[0].WaitMs == nil || *calls.Items[0].WaitMs != 61_000 {
		t.Fatalf("calls: %+v", calls)
	}
	processes := want[gen.ProcessList](t, w.get(access.Operator, "/v1/processes?userId="+w.user), 200)
	if len(processes.Items) != 2 || processes.Items[0].Id != m.MigrationId || !processes.Items[0].Open || processes.Items[0].Kind != gen.ProcessKindMigration ||
		processes.Items[1].Kind != gen.ProcessKindEnrollment || processes.Items[1].Open || processes.Items[1].Outcome != gen.ProcessRowOutcomeDone {
		t.Fatalf("processes: %+v", processes)
	}
	open := want[gen.ProcessList](t, w.get(access.Operator, "/v1/processes?kind=enrollment&openAt="+w.clock.Now().Format(time.RFC3339)), 200)
	if len(open.Items) != 0 {
		t.Fatalf("open enrolments: %+v", open)
	}
	list := want[gen.TransactionList](t, w.get(access.Incident, "/v1/transactions?userId="+w.user+"&limit=2"), 200)
	if len(list.Items) != 2 || list.Items[0].Purpose != "migration" || list.Items[0].Outcome != "" || list.Items[1].Purpose != "activation" || !list.Page.HasMore {
		t.Fatalf("transactions: %+v", list)
	}
	rest := want[gen.TransactionList](t, w.get(access.Incident, "/v1/transactions?userId="+w.user+"&limit=2&after="+list.Page.Next), 200)
	if len(rest.Items) != 1 || rest.Page.HasMore {
		t.Fatalf("transactions, second page: %+v", rest)
	}
	if r := rest.Items[0]; r.AuthenticationId != login.AuthenticationId || r.Outcome != gen.TransactionRowOutcomeSucceeded || r.Factors != 2 ||
		r.Platform != gen.Tws || r.ReleaseChannel != "latest" || r.Scope != "full" || r.ProtectionRank == nil || *r.ProtectionRank != 1 || r.EndedAt.IsZero() {
		t.Fatalf("login: %+v", r)
	}
	timeline := want[gen.EventList](t, w.get(access.Auditor, "/v1/timelines/migration/"+m.MigrationId), 200)
	if len(timeline.Items) == 0 || timeline.Items[0].Type != "MigrationStarted" {
		t.Fatalf("timeline: %+v", timeline)
	}
	if n := len(w.reads()); n != 6 {
		t.Errorf("%d reads recorded, want 6", n)
	}
}

func TestLocksAreListed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	for range 10 {
		w.login("primaryFactor", "rejected")
	}
	w.project()
	now := "/v1/locks?userId=" + w.user + "&inForceAt=" + w.clock.Now().Format(time.RFC3339)
	list := want[gen.LockList](t, w.get(access.Auditor, now), 200)
	if len(list.Items) != 1 || list.Items[0].Failures != 10 || !list.Items[0].InForce || !list.Items[0].EndedAt.IsZero() {
		t.Fatalf("locks: %+v", list)
	}
	w.verifiedIdentity(w.user)
	w.acts(access.Operator, "/v1/users/"+w.user+"/unlock", map[string]any{}, recorded, "")
	w.project()
	list = want[gen.LockList](t, w.get(access.Auditor, "/v1/locks"), 200)
	if l := list.Items[0]; len(list.Items) != 1 || l.InForce || l.EndedBy != gen.LockRowEndedByAgent || l.IdentityVerificationId == "" {
		t.Fatalf("locks after the unlock: %+v", list)
	}
}

func TestStateIsAskedForOnTwoAxes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	w.enrollIBKey()
	w.clock.advance(3 * time.Minute)
	m := w.moving(w.install("ibkr_mobile", "ios", "hs-2"), 201)
	then := w.clock.Now()
	w.clock.advance(time.Hour)
	w.acts(access.Frontend, "/v1/users/"+w.user+"/residence", map[string]any{"residence": "IN", "effectiveOn": "2026-03-01"}, recorded, "")
	state := func(query string) gen.UserState {
		t.Helper()
		return want[gen.UserState](t, w.get(access.Auditor, "/v1/users/"+w.user+"/state?"+query), 200)
	}
	asOf := "asOf=" + then.Format(time.RFC3339)
	if s := state(asOf); s.Residence != "HK" || len(s.Processes) != 1 || s.Processes[0].Id != m.MigrationId || s.Processes[0].Step != "awaiting_proof" || !s.KnownAt.IsZero() {
		t.Fatalf("as known then: %+v", s)
	}
	if s := state(asOf + "&knownAt=" + w.clock.Now().Format(time.RFC3339)); s.Residence != "IN" || len(s.Processes) != 1 || !s.KnownAt.Equal(w.clock.Now()) {
		t.Fatalf("as known now: %+v", s)
	}
	if s := state(""); len(s.Processes) != 0 {
		t.Fatalf("now: %+v", s)
	}
}
