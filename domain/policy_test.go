package domain

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func builtIn(t *testing.T) *Policy {
	t.Helper()
	p, err := LoadPolicy()
	if err != nil {
		t.Fatalf("load the policy: %v", err)
	}
	return p
}

// TestRulesAreTheTableOfTheRuleBook spells domain.md 9.2 out, one line a rule
// version: id, version, country, zone, status, effects, issued, from, to, tests.
func TestRulesAreTheTableOfTheRuleBook(t *testing.T) {
	t.Parallel()
	const all = "residence,holder_residence,domicile,carrying_cc,accessible_carrying_cc"
	want := []string{
		"HK-2FA-0 v1 HK Asia/Hong_Kong active opt_out_until(2018-04-27) 2017-10-27 2017-10-27 2018-04-27 " + all,
		"HK-2FA-1 v1 HK Asia/Hong_Kong active deny_opt_out 2017-10-27 2018-04-27 - " + all,
		"HK-NOTIFY-1 v1 HK Asia/Hong_Kong active notify(login,password_reset,account_change) 2017-10-27 2018-07-27 - " + all,
		"HK-MSG-1 v1 HK Asia/Hong_Kong active no_links_in_messages 2025-05-21 2025-05-21 2025-06-06 " + all,
		"HK-MSG-1 v2 HK Asia/Hong_Kong active no_links_in_messages+sender_prefix(#) 2025-06-06 2025-06-06 - " + all,
		"HK-TEMP-1 v1 HK Asia/Hong_Kong active temp_code_recovery_only - 2018-04-27 - " + all,
		"IN-2FA-0 v1 IN Asia/Kolkata informative advise_2fa 2011-06-30 2011-06-30 - " + all,
		"IN-2FA-1 v1 IN Asia/Kolkata active deny_opt_out 2014-03-25 2014-03-25 - " + all,
		"IN-2FA-2 v1 IN Asia/Kolkata active deny_opt_out+every_login+otp_channels(sms,email)+temp_code_recovery_only 2022-06-14 2022-10-01 - " + all,
		"IN-LOG-1 v1 IN Asia/Kolkata active retain(2y) 2018-12-03 2019-04-01 - carrying_cc",
		"JP-2FA-1 v1 JP Asia/Tokyo proposed deny_opt_out+phishing_resistant_default+no_links_in_messages+notify(login) 2025-10-15 2025-10-15 - carrying_cc,residence",
		"DEFAULT-1 v1 * UTC active permit_opt_out - 2000-01-01 - -",
	}
	var got []string
	for _, r := range builtIn(t).Rules {
		var effects []string
		for _, e := range r.Effects {
			text := e.Name
			if detail := e.Until + e.Duration + strings.Join(e.Values, ","); detail != "" {
				text += "(" + detail + ")"
			}
			effects = append(effects, text)
		}
		got = append(got, fmt.Sprintf("%s v%d %s %s %s %s %s %s %s %s", r.ID, r.Version, r.CC, r.Zone, r.Status, strings.Join(effects, "+"),
			dash(r.IssuedOn), r.EffectiveFrom, dash(r.EffectiveTo), dash(strings.Join(r.Tests, ","))))
		if r.LegalBasis == "" || r.BasisOfDate == "" {
			t.Errorf("%s does not say on what it stands", r.ID)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rules (-rule book +file):\n%s", diff)
	}
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func TestRulesBeginAtMidnightInTheirOwnZone(t *testing.T) {
	t.Parallel()
	p := builtIn(t)
	for id, want := range map[string]string{
		"HK-2FA-0": "2017-10-26T16:00:00Z", "HK-2FA-1": "2018-04-26T16:00:00Z", "IN-2FA-1": "2014-03-24T18:30:00Z",
		"IN-2FA-2": "2022-09-30T18:30:00Z", "JP-2FA-1": "2025-10-14T15:00:00Z", "DEFAULT-1": "2000-01-01T00:00:00Z",
	} {
		r, ok := p.Rule(id)
		if !ok {
			t.Fatalf("no rule %s", id)
		}
		start := moment(t, want)
		if r.inForce(start.Add(-time.Millisecond)) || !r.inForce(start) {
			t.Errorf("%s is not in force exactly from %s", id, want)
		}
	}
	if r, _ := p.Rule("HK-MSG-1"); r.Version != 2 {
		t.Errorf("the newest version of HK-MSG-1 is %d, want 2", r.Version)
	}
	if _, ok := p.Rule("XX"); ok {
		t.Error("found a rule that does not exist")
	}
}

// resident is an individual with everything known.
func resident(cc string) DecisionFacts {
	return DecisionFacts{Residence: cc, ClientKind: Individual, CarryingCC: "IE", HolderResidences: []string{}, AccessibleCarryingCCs: []string{}}
}

func TestEachTestOfARuleMatchesByItself(t *testing.T) {
	t.Parallel()
	p, at := builtIn(t), moment(t, "2024-03-01T00:00:00Z")
	with := func(change func(*DecisionFacts)) DecisionFacts {
		f := resident("DE")
		change(&f)
		return f
	}
	cases := map[string]struct {
		facts DecisionFacts
		want  string
	}{
		"nothing points to Hong Kong":           {resident("DE"), EffectPermit},
		"residence":                             {resident("HK"), EffectDeny},
		"holder of a joint account":             {with(func(f *DecisionFacts) { f.ClientKind, f.HolderResidences = Joint, []string{"DE", "HK"} }), EffectDeny},
		"holder where the account is not joint": {with(func(f *DecisionFacts) { f.HolderResidences = []string{"HK"} }), EffectPermit},
		"domicile of an organisation":           {with(func(f *DecisionFacts) { f.ClientKind, f.Domicile = Organisation, "HK" }), EffectDeny},
		"domicile of an individual":             {with(func(f *DecisionFacts) { f.Domicile = "HK" }), EffectPermit},
		"carrying entity":                       {with(func(f *DecisionFacts) { f.CarryingCC = "HK" }), EffectDeny},
		"account of somebody else":              {with(func(f *DecisionFacts) { f.AccessibleCarryingCCs = []string{"IE", "HK"} }), EffectDeny},
	}
	for name, c := range cases {
		if d := p.Evaluate(c.facts, at); d.Outcome != c.want {
			t.Errorf("%s: %s by %s, want %s", name, d.Outcome, d.DecisiveRuleID, c.want)
		}
	}
}

func TestUnknownMandatoryFactIsIncompleteUnlessTheRestDenies(t *testing.T) {
	t.Parallel()
	p, at := builtIn(t), moment(t, "2024-03-01T00:00:00Z")
	unknowns := map[string]func(*DecisionFacts){
		"residence":             func(f *DecisionFacts) { f.Residence = "" },
		"carrying entity":       func(f *DecisionFacts) { f.CarryingCC = "" },
		"client kind":           func(f *DecisionFacts) { f.ClientKind = "" },
		"domicile":              func(f *DecisionFacts) { f.ClientKind = Organisation },
		"holders":               func(f *DecisionFacts) { f.ClientKind = Joint },
		"residence of a holder": func(f *DecisionFacts) { f.ClientKind, f.HolderResidences = Joint, []string{"DE", ""} },
		"accessible account":    func(f *DecisionFacts) { f.AccessibleCarryingCCs = []string{""} },
	}
	for name, forget := range unknowns {
		f := resident("DE")
		forget(&f)
		if d := p.Evaluate(f, at); d.Outcome != OutcomeIncomplete || d.DecisiveRuleID != "" || d.RuleVersion != 0 || len(d.MatchedRuleIDs) != 1 {
			t.Errorf("without %s: %+v, want incomplete by no rule, DEFAULT-1 matched", name, d)
		}
		f.AccessibleCarryingCCs = append(f.AccessibleCarryingCCs, "IN")
		if d := p.Evaluate(f, at); d.Outcome != EffectDeny || d.DecisiveRuleID != "IN-2FA-1" {
			t.Errorf("without %s but with access to an Indian account: %s by %s, want a denial", name, d.Outcome, d.DecisiveRuleID)
		}
	}
}

func TestProposedRuleIsReportedAndDoesNotDecide(t *testing.T) {
	t.Parallel()
	p := builtIn(t)
	d := p.Evaluate(resident("JP"), moment(t, "2025-10-14T15:00:00Z"))
	if d.Outcome != EffectPermit || d.DecisiveRuleID != "DEFAULT-1" || len(d.ProposedIDs) != 1 || d.ProposedIDs[0] != "JP-2FA-1" {
		t.Errorf("Japan after the proposal: %+v, want permitted by DEFAULT-1 with JP-2FA-1 reported", d)
	}
	if slices.Contains(d.MatchedRuleIDs, "JP-2FA-1") {
		t.Error("a proposed rule is among the matched ones")
	}
	if d := p.Evaluate(resident("JP"), moment(t, "2025-10-14T14:59:59.999Z")); len(d.ProposedIDs) != 0 {
		t.Errorf("reported before it would begin: %v", d.ProposedIDs)
	}
	given(t, at("2026-01-01T09:00:00Z"), client(Individual, "JP", ""), registered(RoleOwner, "JP"), sms).when(optOut()).
		then(OptOutRequested{}, OptOutGranted{Decision: Decision{ProposedIDs: []string{"JP-2FA-1"}}})
}

func TestInformativeRuleIsNeitherMatchedNorReported(t *testing.T) {
	t.Parallel()
	d := builtIn(t).Evaluate(resident("IN"), moment(t, "2012-01-01T00:00:00Z"))
	if d.Outcome != EffectPermit || len(d.MatchedRuleIDs) != 1 || len(d.ProposedIDs) != 0 {
		t.Errorf("India in 2012: %+v, want the house rule alone", d)
	}
}

// TestDecisiveRuleIsTheStrictestThenTheEarliestThenTheLowestID is D-72.
func TestDecisiveRuleIsTheStrictestThenTheEarliestThenTheLowestID(t *testing.T) {
	t.Parallel()
	rule := func(id, effect, from string) Rule {
		r := Rule{RuleRow: RuleRow{ID: id, Version: 1, CC: "DE", Zone: "Europe/Berlin", Status: statusActive, EffectiveFrom: from, Tests: []string{"residence"}, Effects: []Effect{{Name: effect}}}}
		if effect == EffectUntil {
			r.Effects[0].Until = "2030-01-01"
		}
		return r
	}
	cases := map[string]struct {
		rules []Rule
		want  string
	}{
		"deny beats until and permit, however late": {[]Rule{rule("A", EffectPermit, "2001-01-01"), rule("B", EffectUntil, "2002-01-01"), rule("C", EffectDeny, "2020-01-01")}, "C"},
		"until beats permit":                        {[]Rule{rule("A", EffectPermit, "2001-01-01"), rule("B", EffectUntil, "2020-01-01")}, "B"},
		"the earlier of two that deny":              {[]Rule{rule("A", EffectDeny, "2020-01-01"), rule("B", EffectDeny, "2019-12-31")}, "B"},
		"the lower id of two of the same day":       {[]Rule{rule("B", EffectDeny, "2020-01-01"), rule("A", EffectDeny, "2020-01-01")}, "A"},
		"an older permission beats the house rule":  {[]Rule{rule("Z", EffectPermit, "1999-01-01")}, "Z"},
	}
	for name, c := range cases {
		p := builtIn(t)
		for _, r := range c.rules {
			p = withRule(t, p, r)
		}
		d := p.Evaluate(resident("DE"), moment(t, "2024-03-01T00:00:00Z"))
		if d.DecisiveRuleID != c.want {
			t.Errorf("%s: decided by %s, want %s", name, d.DecisiveRuleID, c.want)
		}
		if len(d.MatchedRuleIDs) != len(c.rules)+1 {
			t.Errorf("%s: matched %v, want every matching rule", name, d.MatchedRuleIDs)
		}
	}
}

func TestBackDatedRuleRevokesExistingOptOutsAndLeavesDecisionsAlone(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms, optedOut)
	before := the[OptOutGranted](s).Decision
	newer := withRule(t, s.policy, Rule{RuleRow: RuleRow{
		ID: "DE-2FA-1", Version: 1, CC: "DE", Zone: "Europe/Berlin", Status: statusActive, EffectiveFrom: "2024-01-01",
		Tests: []string{"residence"}, Effects: []Effect{{Name: EffectDeny}},
	}})
	// A log that two policies wrote is audited under each by replay; here the
	// second half is decided apart.
	state, now := s.user(), s.now.Add(time.Hour)
	events, err := Decide(state, ReevaluateRegime{UserID: aliceID, Cause: "rule_in_force"}, s.facts(ReevaluateRegime{}, nil), now, newer)
	if err != nil || len(events) != 1 {
		t.Fatalf("got %s, %v", names(events), err)
	}
	revoked, ok := events[0].(OptOutRevoked)
	if !ok || revoked.Cause != "rule_in_force" || !revoked.EffectiveAt.Equal(s.now) || revoked.ExposedS != 3600 || revoked.Decision.PolicyVersion != newer.Version {
		t.Errorf("got %+v, want revoked by the rule from the grant on, exposed for an hour", events[0])
	}
	if again := s.policy.Evaluate(before.Facts, before.AsOf); !cmp.Equal(again, before) {
		t.Errorf("the decision under the old policy changed:\n%s", cmp.Diff(before, again))
	}
}

func TestParametersAreThoseOfTheRuleBookWithTheirSource(t *testing.T) {
	t.Parallel()
	want := map[string]int64{
		"sms.cooldown_s": 120, "sms.max_per_hour": 10, "code.sms.len": 6, "code.sms.ttl_s": 600, "code.activation.len": 8,
		"code.activation.ttl_s": 600, "enrollment.ttl_s": 1800, "challenge.cr.ttl_s": 300, "challenge.len": 6, "response.len": 8,
		"challenge.push.ttl_s": 180, "push.max_per_txn": 3, "push.max_per_hour": 10, "txn.ttl_s": 600, "challenge.max_attempts": 3,
		"lock.threshold": 10, "lock.window_s": 86400, "lock.duration_s": 86400, "idv.ttl_s": 1800, "pin.policy_version": 1, "push.number_matching": 1,
		"pin.max_wrong": 10, "voice.cooldown_s": 60, "voice.max_per_txn": 3, "voice.sla_s": 60, "m2fs.tws_min_version": 966,
		"dsc_plus.equity_threshold": 100_000_000, "device.activation_window_d": 14, "temp_code.ttl_s": 288 * 3600,
		"temp_code.full_s": 48 * 3600, "temp_code.in_app_ttl_s": 86400, "oscc.ttl_s": 504 * 3600, "portal.session_s": 3600,
		"code_card.cells": 224, "scc.issue": 0, "migration.ttl_s": 600, "process.completion_ttl_s": 1800,
		"sharing.compliance_review": 0, "notify.login": 1, "fee.dsc_plus": 2000, "fee.scc": 0, "withdrawal.none_per_day": 5_000_000,
		"withdrawal.sms_per_day": 20_000_000, "withdrawal.scc_per_day": 20_000_000, "withdrawal.ibkey_per_day": 100_000_000,
		"retention.default_y": 7, "retention.hk_y": 7, "retention.in_y": 8, "retention.us_y": 6,
	}
	p, got := builtIn(t), map[string]int64{}
	for _, v := range p.Parameters() {
		got[v.Name] = v.Value
		if v.Source == "" || v.Unit == "" || v.Confidence != "seed" && v.Confidence != "public_page" && v.Confidence != "decision" {
			t.Errorf("%s lacks its source, unit or confidence: %+v", v.Name, v)
		}
		if at := p.Start(v.EffectiveFrom, ""); p.Int(v.Name, at) != v.Value {
			t.Errorf("%s is %d on %s, %d in the file", v.Name, p.Int(v.Name, at), v.EffectiveFrom, v.Value)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("parameters (-rule book +file):\n%s", diff)
	}
}

func TestParameterChangesOnItsDate(t *testing.T) {
	t.Parallel()
	parameters := builtIn(t).Parameters()
	for i := range parameters {
		if parameters[i].Name == pSMSCooldown {
			parameters[i].EffectiveTo = "2024-03-02"
		}
	}
	parameters = append(parameters, Parameter{Name: pSMSCooldown, Value: 60, EffectiveFrom: "2024-03-02"})
	p := buildPolicy(t, 2, builtIn(t).Rules, parameters)
	for clock, want := range map[string]int64{"1999-01-01T00:00:00Z": 120, "2024-03-01T23:59:59.999Z": 120, "2024-03-02T00:00:00Z": 60, "2030-01-01T00:00:00Z": 60} {
		if got := p.Int(pSMSCooldown, moment(t, clock)); got != want {
			t.Errorf("at %s the cooldown is %d, want %d", clock, got, want)
		}
	}
}

func TestPolicyThatCannotBeReadIsRefused(t *testing.T) {
	t.Parallel()
	rules := func(row string) string { return `{"policy_version":1,"rules":[` + row + `]}` }
	const fine = `{"rule_id":"R","status":"active","tz":"UTC","effective_from":"2020-01-01","effects":[]}`
	for name, files := range map[string]fstest.MapFS{
		"no files":          {},
		"not JSON":          {"rules.json": {Data: []byte("{")}, "parameters.json": {Data: []byte("{}")}},
		"unknown zone":      {"rules.json": {Data: []byte(rules(strings.Replace(fine, "UTC", "Moon/Base", 1)))}, "parameters.json": {Data: []byte("{}")}},
		"unknown status":    {"rules.json": {Data: []byte(rules(strings.Replace(fine, "active", "maybe", 1)))}, "parameters.json": {Data: []byte("{}")}},
		"no date":           {"rules.json": {Data: []byte(rules(strings.Replace(fine, "2020-01-01", "soon", 1)))}, "parameters.json": {Data: []byte("{}")}},
		"no sunset":         {"rules.json": {Data: []byte(rules(strings.Replace(fine, "[]", `[{"effect":"opt_out_until"}]`, 1)))}, "parameters.json": {Data: []byte("{}")}},
		"missing parameter": {"rules.json": {Data: []byte(rules(fine))}, "parameters.json": {Data: []byte("{}")}},
		"parameter undated": {"rules.json": {Data: []byte(rules(fine))}, "parameters.json": {Data: []byte(`{"parameters":[{"name":"x"}]}`)}},
	} {
		if p, err := ReadPolicy(files); err == nil {
			t.Errorf("%s: read as %d rules", name, len(p.Rules))
		}
	}
}

func TestDateThatDoesNotParseNeverBegins(t *testing.T) {
	t.Parallel()
	if start := builtIn(t).Start("garbage", "HK"); start.Before(moment(t, "9999-01-01T00:00:00Z")) {
		t.Errorf("begins at %s", start)
	}
}
