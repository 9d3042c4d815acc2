package api

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/authledger/authledger/api/access"
	"github.com/authledger/authledger/api/gen"
)

func draft() map[string]any {
	return map[string]any{
		"ruleId": "DE-2FA-1", "cc": "DE", "tz": "Europe/Berlin", "status": "proposed", "effects": []map[string]any{{"effect": "deny_opt_out"}},
		"legalBasis": "draft circular", "effectiveFrom": "2026-04-01", "tests": []string{"residence"}, "basisOfDate": "the draft",
	}
}

func ruleOf(list gen.RuleList, id string) (gen.Rule, bool) {
	i := slices.IndexFunc(list.Items, func(r gen.Rule) bool { return r.RuleId == id })
	if i < 0 {
		return gen.Rule{}, false
	}
	return list.Items[i], true
}

func TestRuleIsPublishedAmendedAndWithdrawn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rules := func(query string) gen.RuleList {
		t.Helper()
		return want[gen.RuleList](t, w.get(access.Auditor, "/v1/policy/rules?"+query), 200)
	}
	before := rules("asOf=2026-05-01T00:00:00Z")
	if hk, ok := ruleOf(before, "HK-2FA-1"); !ok || hk.Status != gen.RuleStatusActive || hk.EffectiveFrom != "2018-04-27" || !hk.KnownSince.IsZero() {
		t.Fatalf("HK-2FA-1: %+v", hk)
	}
	known := w.clock.Now()
	w.clock.advance(time.Hour)
	w.acts(access.Compliance, "/v1/policy/rules", draft(), recorded, "")
	if a := w.post(access.Compliance, "/v1/policy/rules", draft()); a.status != http.StatusConflict || a.code(t) != "exists" {
		t.Errorf("published twice: %d %s", a.status, a.body)
	}
	first, ok := ruleOf(rules("asOf=2026-05-01T00:00:00Z"), "DE-2FA-1")
	if !ok || first.Version != 1 || first.Status != gen.RuleStatusProposed || !first.KnownSince.Equal(w.clock.Now()) {
		t.Fatalf("proposed: %+v", first)
	}
	if _, ok := ruleOf(rules("asOf=2026-05-01T00:00:00Z&knownAt="+known.Format(time.RFC3339)), "DE-2FA-1"); ok {
		t.Error("the rule was known before it was published")
	}
	if _, ok := ruleOf(rules("asOf=2026-03-31T21:59:59Z"), "DE-2FA-1"); ok {
		t.Error("the rule is in force before midnight in Berlin")
	}
	next := draft()
	delete(next, "ruleId")
	next["version"], next["status"] = 2, "active"
	path := "/v1/policy/rules/DE-2FA-1"
	w.clock.advance(time.Hour)
	w.acts(access.Compliance, path+"/amendments", next, recorded, "")
	if a := w.post(access.Compliance, path+"/amendments", next); a.status != http.StatusBadRequest || a.code(t) != "validation_failed" {
		t.Errorf("the same version again: %d %s", a.status, a.body)
	}
	if r, _ := ruleOf(rules("asOf=2026-05-01T00:00:00Z"), "DE-2FA-1"); r.Version != 2 || r.Status != gen.RuleStatusActive {
		t.Fatalf("amended: %+v", r)
	}
	w.acts(access.Compliance, path+"/withdrawal", map[string]any{"reason": "withdrawn", "effectiveOn": "2026-06-01"}, recorded, "")
	if _, ok := ruleOf(rules("asOf=2026-06-02T00:00:00Z"), "DE-2FA-1"); ok {
		t.Error("the rule outlived its withdrawal")
	}
	if a := w.post(access.Compliance, "/v1/policy/rules/XX-1/withdrawal", map[string]any{"reason": "x", "effectiveOn": "2026-06-01"}); a.status != http.StatusNotFound {
		t.Errorf("a rule nobody published: %d %s", a.status, a.body)
	}
	if a := w.get(access.Auditor, "/v1/policy/rules?knownAt=2030-01-01T00:00:00Z"); a.status != http.StatusBadRequest {
		t.Errorf("known in the future: %d", a.status)
	}
	if n := len(w.reads()); n != 6 {
		t.Errorf("%d reads recorded, want 6", n)
	}
}

func TestParameterTakesAnotherValueFromADateOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cooldown := func(query string) gen.Parameter {
		t.Helper()
		list := want[gen.ParameterList](t, w.get(access.Compliance, "/v1/policy/parameters?"+query), 200)
		i := slices.IndexFunc(list.Items, func(p gen.Parameter) bool { return p.Name == "sms.cooldown_s" })
		if i < 0 {
			t.Fatalf("no cooldown in %+v", list)
		}
		return list.Items[i]
	}
	known := w.clock.Now()
	w.clock.advance(time.Minute)
	path := "/v1/policy/parameters/sms.cooldown_s"
	w.acts(access.Compliance, path, map[string]any{"value": 180, "effectiveFrom": "2026-04-01", "reason": "carriers"}, recorded, "")
	for query, value := range map[string]int64{
		"asOf=2026-03-31T23:59:59Z":                                       120,
		"asOf=2026-04-01T00:00:00Z":                                       180,
		"asOf=2026-04-01T00:00:00Z&knownAt=" + known.Format(time.RFC3339): 120,
	} {
		if got := cooldown(query); got.Value != value || got.Unit == "" {
			t.Errorf("%s: %+v, want %d", query, got, value)
		}
	}
	if a := w.post(access.Compliance, "/v1/policy/parameters/code.sms.ttl_s", map[string]any{"value": 601, "effectiveFrom": "2026-04-01", "reason": "x"}); a.status != http.StatusBadRequest {
		t.Errorf("a code that lives longer than the standard allows: %d %s", a.status, a.body)
	}
	if a := w.post(access.Compliance, "/v1/policy/parameters/no.such", map[string]any{"value": 1, "effectiveFrom": "2026-04-01", "reason": "x"}); a.status != http.StatusNotFound {
		t.Errorf("no such parameter: %d %s", a.status, a.body)
	}
}

func TestDecisionIsAskedForOnTwoAxes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.german()
	decision := func(query string) gen.UserDecision {
		t.Helper()
		return want[gen.UserDecision](t, w.get(access.Auditor, "/v1/users/"+w.user+"/decision?"+query), 200)
	}
	if d := decision("asOf=2026-04-02T00:00:00Z"); d.Basis.Outcome != gen.PermitOptOut || d.Basis.DecisiveRuleId != "DEFAULT-1" || d.Facts.Residence != "DE" || d.Facts.CarryingCountry != "IE" {
		t.Fatalf("before: %+v", d)
	}
	known := w.clock.Now()
	w.clock.advance(time.Hour)
	rule := draft()
	rule["status"] = "active"
	w.acts(access.Compliance, "/v1/policy/rules", rule, recorded, "")
	if d := decision("asOf=2026-04-02T00:00:00Z"); d.Basis.Outcome != gen.DenyOptOut || d.Basis.DecisiveRuleId != "DE-2FA-1" || len(d.Basis.Citations) != 1 {
		t.Fatalf("after: %+v", d)
	}
	if d := decision("asOf=2026-04-02T00:00:00Z&knownAt=" + known.Format(time.RFC3339)); d.Basis.Outcome != gen.PermitOptOut {
		t.Fatalf("as known before: %+v", d)
	}
	if d := decision("asOf=2026-03-02T09:30:00Z"); d.Basis.Outcome != gen.PermitOptOut {
		t.Fatalf("before it is in force: %+v", d)
	}
	if d := decision("asOf=2026-03-02T08:59:59Z"); d.Basis.Outcome != gen.NotEvaluated || d.Facts.Residence != "" {
		t.Fatalf("before the user was registered: %+v", d)
	}
	w.acts(access.Frontend, "/v1/users/"+w.user+"/residence", map[string]any{"residence": "HK", "effectiveOn": "2026-03-02"}, recorded, "")
	if d := decision("asOf=2026-03-02T09:30:00Z"); d.Basis.DecisiveRuleId != "HK-2FA-1" {
		t.Fatalf("a move that was recorded late: %+v", d)
	}
	if d := decision("asOf=2026-03-02T09:30:00Z&knownAt=2026-03-02T09:30:00Z"); d.Basis.Outcome != gen.PermitOptOut || d.Facts.Residence != "DE" {
		t.Fatalf("as it was known then: %+v", d)
	}
	if a := w.get(access.Auditor, "/v1/users/usr_00000000000000000000000000/decision"); a.status != http.StatusNotFound {
		t.Errorf("nobody's decision: %d %s", a.status, a.body)
	}
}

func TestImpactOfAProposedRule(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.german()
	w.enrollSMS()
	granted := want[gen.OptOutAnswer](t, w.post(access.Frontend, "/v1/users/"+w.user+"/opt-out-requests", map[string]any{
		"requestedBy": w.user, "agreementVersion": "2026-01", "acknowledged": true,
	}), 200)
	w.project()
	w.acts(access.Compliance, "/v1/policy/rules", draft(), recorded, "")
	i := want[gen.RuleImpact](t, w.get(access.Compliance, "/v1/policy/impact?ruleId=DE-2FA-1"), 200)
	if i.OptedOut != 1 || i.Affected != 1 || len(i.Items) != 1 || len(i.Totals) != 1 || i.Totals[0] != (gen.ImpactTotal{Residence: "DE", Users: 1}) {
		t.Fatalf("impact: %+v", i)
	}
	if it := i.Items[0]; it.UserId != w.user || it.OptOutId != granted.OptOutId || it.Outcome != "deny_opt_out" || it.DecisiveRuleId != "DE-2FA-1" || it.Facts.Residence != "DE" {
		t.Fatalf("item: %+v", it)
	}
	if from := time.Date(2026, 3, 31, 22, 0, 0, 0, time.UTC); !i.AsOf.Equal(from) {
		t.Errorf("decided at %v, want the beginning of the rule, %v", i.AsOf, from)
	}
	if now := want[gen.RuleImpact](t, w.get(access.Compliance, "/v1/policy/impact?ruleId=DE-2FA-1&asOf=2026-03-02T10:00:00Z"), 200); now.Affected != 0 || now.OptedOut != 1 {
		t.Errorf("before it begins: %+v", now)
	}
	if a := w.get(access.Compliance, "/v1/policy/impact?ruleId=HK-2FA-1"); a.status != http.StatusNotFound {
		t.Errorf("a rule that is no proposal: %d", a.status)
	}
}

func TestFactsOfHoldersAndOrganisations(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	joint, firm := w.newClient("C-J", "joint", "IE"), w.newClient("C-O", "organisation", "IE")
	w.acts(access.Frontend, "/v1/clients/"+joint+"/holders", map[string]any{"personRef": "P-1", "residence": "DE", "effectiveOn": "2020-01-01"}, recorded, "")
	w.acts(access.Frontend, "/v1/clients/"+joint+"/holders/residence", map[string]any{"personRef": "P-1", "residence": "HK", "effectiveOn": "2026-03-01", "evidenceRef": "DOC-1"}, recorded, "")
	w.acts(access.Operator, "/v1/clients/"+firm+"/domicile", map[string]any{"domicile": "IN", "effectiveOn": "2026-03-01"}, recorded, "")
	if a := w.post(access.Frontend, "/v1/clients/"+joint+"/holders/residence", map[string]any{"personRef": "P-9", "residence": "HK", "effectiveOn": "2026-03-01"}); a.status != http.StatusNotFound {
		t.Errorf("a holder nobody added: %d %s", a.status, a.body)
	}
	if a := w.post(access.Frontend, "/v1/clients/"+joint+"/domicile", map[string]any{"domicile": "IN", "effectiveOn": "2026-03-01"}); a.status != http.StatusBadRequest {
		t.Errorf("domicile of a joint account: %d %s", a.status, a.body)
	}
	user := w.newUser("U-J", joint, "DE")
	d := want[gen.UserDecision](t, w.get(access.Incident, "/v1/users/"+user+"/decision"), 200)
	if d.Basis.DecisiveRuleId != "HK-2FA-1" || len(d.Facts.HolderResidences) != 1 || d.Facts.HolderResidences[0] != "HK" {
		t.Fatalf("decision: %+v", d)
	}
}
