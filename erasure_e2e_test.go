package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain"
)

// erasure is the newest request of somebody to be forgotten.
func (u *person) erasure() gen.ErasureRow {
	u.p.t.Helper()
	var list gen.ErasureList
	u.p.get("compliance", "/v1/erasures?userId="+u.id+"&purpose=test", &list)
	if len(list.Items) == 0 {
		return gen.ErasureRow{}
	}
	newest := list.Items[0]
	for _, e := range list.Items {
		if e.RequestedAt.After(newest.RequestedAt) {
			newest = e
		}
	}
	return newest
}

// TestEndToEndErasure follows somebody from the account's end to the certificate
// in the running product: refused and locked away while the retention runs, held
// by a legal hold that takes two people to end, erased when both are over.
func TestEndToEndErasure(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	p := start(t, data)
	u := newPerson(p, "forget-me-not", "DE", "IE").withSMS()
	u.withIBKey("ios", "face_id")
	var number []byte
	for _, e := range u.story() {
		if e.Type == "PhoneNumberAdded" {
			number = []byte(e.Id)
		}
	}
	reveal := func(reason string) (string, error) {
		var a gen.Reveal
		_, err := p.as("compliance").Post(t.Context(), "/v1/events/"+string(number)+"/reveal", map[string]any{"reason": reason, "caseRef": "case-1"}, &a)
		for _, f := range a.Fields {
			if f.Name == "number" {
				return f.Value, err
			}
		}
		return "", err
	}
	if got, err := reveal("dispute"); err != nil || got != u.number {
		t.Fatalf("revealed %q, %v, want the number", got, err)
	}

	var answer gen.ErasureAnswer
	ask := map[string]any{"basis": "subject_request", "requestedBy": "letter-9"}
	p.post("compliance", "/v1/users/"+u.id+"/erasure-requests", ask, &answer)
	if answer.ReasonCode != "ACCOUNT_OPEN" {
		t.Errorf("with an open account: %+v", answer)
	}
	p.post("operator", "/v1/users/"+u.id+"/closure", map[string]any{"reason": "left"}, nil)
	p.post("compliance", "/v1/users/"+u.id+"/erasure-requests", ask, &answer)
	if answer.ReasonCode != "RETENTION_RUNS" || answer.RetainedUntil.Before(p.now().AddDate(6, 11, 0)) {
		t.Errorf("within the retention: %+v", answer)
	}
	if _, err := reveal("dispute"); err == nil || !strings.Contains(err.Error(), "processing_restricted") {
		t.Errorf("a dispute opens what is locked away: %v", err)
	}
	if got, err := reveal("regulator"); err != nil || got != u.number {
		t.Errorf("a regulator sees %q, %v", got, err)
	}
	var hold gen.LegalHoldAnswer
	p.post("compliance", "/v1/users/"+u.id+"/legal-holds", map[string]any{"caseRef": "case-2", "basis": "litigation"}, &hold)

	p.setClock(p.now().AddDate(7, 1, 0).Format(time.RFC3339))
	p.another("C-LATER") // something the views must have seen, so that what follows is no matter of a moment
	if e := u.erasure(); e.Status != "restricted" {
		t.Errorf("under a hold, seven years later: %+v", e)
	}
	path := "/v1/users/" + u.id + "/legal-holds/" + string(hold.HoldId)
	p.post("compliance", path+"/release-requests", map[string]any{}, nil)
	if _, err := p.as("compliance").Post(t.Context(), path+"/release", map[string]any{}, nil); err == nil || !strings.Contains(err.Error(), "second_person_required") {
		t.Errorf("one person alone ends a hold: %v", err)
	}
	second := strings.Fields(p.mustRun("client", "create", "--data", data, "--role", "compliance", "--name", "second"))
	p.keys["second"] = second[len(second)-1]
	p.post("second", path+"/release", map[string]any{}, nil)
	p.pass(2 * time.Hour)
	p.until("the erasure is certified", func() bool { return u.erasure().Status == "certified" })
	e := u.erasure()
	if e.Certificate.Files < 8 || e.Certificate.Bytes == 0 || len(e.Also) != 1 || e.KeyId == "" {
		t.Errorf("certified %+v", e)
	}
	if _, err := reveal("regulator"); err == nil || !strings.Contains(err.Error(), "personal_data_erased") {
		t.Errorf("after the erasure: %v", err)
	}
	app := domain.InstallationID(strings.TrimPrefix(e.Also[0], "installation-"))
	_, err := p.as("device").Post(t.Context(), "/v1/installations/"+app+"/push-token", map[string]any{"service": "apns", "token": "a-token-of-the-app-0123456789"}, nil)
	if err == nil || !strings.Contains(err.Error(), "personal_data_erased") {
		t.Errorf("a push token for an erased installation: %v", err)
	}
	u.wantInOrder("UserRegistered", "PhoneNumberAdded", "PersonalDataRevealed", "UserClosed", "ErasureRefused", "ProcessingRestricted",
		"PersonalDataRevealed", "LegalHoldPlaced", "LegalHoldReleased", "PersonalDataErased")
	if files := holding(t, data, []byte(u.number), []byte("user-forget-me-not")); len(files) > 0 {
		t.Errorf("%v still hold the person", files)
	}
	p.until("the certificate is sealed", func() bool {
		var events gen.EventList
		p.get("auditor", "/v1/events?type=ErasureCertified&limit=1", &events)
		_, c := p.checkpoint()
		return len(events.Items) == 1 && c.Size >= uint64(events.Items[0].Sequence)
	})
	p.stop()
	for _, args := range [][]string{{"verify", "log"}, {"verify", "views"}, {"replay", "check-decisions"}, {"replay", "state-at", "--user", u.id}} {
		out := p.mustRun(append(args, "--data", data)...)
		if bytes.Contains([]byte(out), []byte(u.number)) {
			t.Errorf("%v shows the number", args)
		}
	}
}
