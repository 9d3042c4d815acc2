package domain

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// The rule book's gates: who may change it, and what it refuses (domain.md 9).

func TestOnlyComplianceChangesTheRuleBook(t *testing.T) {
	t.Parallel()
	for _, c := range []Command{
		PublishRule{Rule: germanRule("2024-01-01")}, AmendRule{Rule: germanRule("2024-01-01")}, WithdrawRule{RuleID: "HK-2FA-1", Reason: "r", EffectiveOn: "2024-01-01"},
		SetParameter{Parameter: pSMSCooldown, Value: 60, EffectiveFrom: "2024-01-01", Reason: "r"},
	} {
		given(t).when(c).thenError(NotAuthorised)
		given(t).when(c, agent).thenError(NotAuthorised)
	}
}

func TestRowThatCouldNotBeEvaluatedIsNotPublished(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*RuleRow){
		"id too short":              func(r *RuleRow) { r.ID = "X" },
		"id too long":               func(r *RuleRow) { r.ID = strings.Repeat("X", 41) },
		"version 2":                 func(r *RuleRow) { r.Version = 2 },
		"no country":                func(r *RuleRow) { r.CC = "" },
		"every country":             func(r *RuleRow) { r.CC = "*" },
		"unknown status":            func(r *RuleRow) { r.Status = "maybe" },
		"no beginning":              func(r *RuleRow) { r.EffectiveFrom = "" },
		"end that is no date":       func(r *RuleRow) { r.EffectiveTo = "later" },
		"end before the beginning":  func(r *RuleRow) { r.EffectiveTo = r.EffectiveFrom },
		"unknown zone":              func(r *RuleRow) { r.Zone = "Moon/Base" },
		"no legal basis":            func(r *RuleRow) { r.LegalBasis = "" },
		"no effect":                 func(r *RuleRow) { r.Effects = nil },
		"unknown effect":            func(r *RuleRow) { r.Effects = []Effect{{Name: "please"}} },
		"opt-out until no day":      func(r *RuleRow) { r.Effects = []Effect{{Name: EffectUntil}} },
		"no test":                   func(r *RuleRow) { r.Tests = nil },
		"unknown test":              func(r *RuleRow) { r.Tests = []string{"shoe_size"} },
		"another midnight in Japan": func(r *RuleRow) { r.CC, r.Zone = "JP", "UTC" },
	} {
		r := germanRule("2024-01-01")
		spoil(&r)
		s := given(t).when(PublishRule{Rule: r}, compliance)
		if s.thenError(Invalid); t.Failed() {
			t.Fatalf("%s was published", name)
		}
	}
	s := given(t).when(PublishRule{Rule: germanRule("2024-01-01")}, compliance)
	must[PolicyRulePublished](s)
	s.when(PublishRule{Rule: germanRule("2024-01-01")}, compliance).thenError(Exists)
}

func TestAmendmentIsTheNextVersionOfARuleOfTheSameCountry(t *testing.T) {
	t.Parallel()
	s := given(t).when(PublishRule{Rule: germanRule("2024-01-01")}, compliance)
	amend := func(change func(*RuleRow)) *story {
		r := germanRule("2024-06-01")
		r.Version = 2
		change(&r)
		return s.when(AmendRule{Rule: r}, compliance)
	}
	amend(func(r *RuleRow) { r.ID = "DE-2FA-9" }).thenError(Unknown)
	amend(func(r *RuleRow) { r.Version = 1 }).thenError(Invalid)
	amend(func(r *RuleRow) { r.Version = 3 }).thenError(Invalid)
	amend(func(r *RuleRow) { r.CC = "AT" }).thenError(Invalid)
	amend(func(r *RuleRow) { r.Zone = "UTC" }).thenError(Invalid)
	amend(func(r *RuleRow) { r.LegalBasis = "" }).thenError(Invalid)
	amend(func(*RuleRow) {})
	must[PolicyRuleAmended](s)
}

func TestHouseRuleIsAmendedAndGoesOnToDecide(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms)
	s.when(WithdrawRule{RuleID: "DEFAULT-1", Reason: "r", EffectiveOn: "2024-03-02"}, compliance).thenError(Invalid)
	house := RuleRow{
		ID: "DEFAULT-1", Version: 2, CC: "*", Zone: "UTC", Status: "active", Effects: []Effect{{Name: EffectDeny}}, LegalBasis: "house rule",
		EffectiveFrom: "2024-03-02",
	}
	for name, spoil := range map[string]func(*RuleRow){
		"proposed": func(r *RuleRow) { r.Status = "proposed" }, "with an end": func(r *RuleRow) { r.EffectiveTo = "2025-01-01" },
		"about something else": func(r *RuleRow) { r.Effects = []Effect{{Name: "retain"}} },
	} {
		r := house
		spoil(&r)
		s.when(AmendRule{Rule: r}, compliance)
		if s.thenError(Invalid); t.Failed() {
			t.Fatalf("the house rule was amended %s", name)
		}
	}
	s.and(optedOut).when(AmendRule{Rule: house}, compliance)
	must[PolicyRuleAmended](s)
	s.at("2024-03-02T00:00:00Z").and(login(TWS))
	must[OptOutRevoked](s)
	s.when(optOut()).then(OptOutRequested{}, OptOutDenied{Reason: ReasonRegimeMandatory, Decision: Decision{DecisiveRuleID: "DEFAULT-1", RuleVersion: 2}})
}

func TestWhereNoRuleDecidesNothingIsPermitted(t *testing.T) {
	t.Parallel()
	d := builtIn(t).Evaluate(resident("DE"), moment(t, "1999-12-31T23:59:59.999Z"))
	if d.Outcome != OutcomeIncomplete || d.DecisiveRuleID != "" {
		t.Errorf("before any rule: %+v, want no permission", d)
	}
	given(t, at("1999-06-01T09:00:00Z"), alice, sms).when(optOut()).then(OptOutRequested{}, OptOutDenied{Reason: ReasonFactsIncomplete})
}

func TestWithdrawalNeedsARuleAReasonAndADay(t *testing.T) {
	t.Parallel()
	s := given(t)
	s.when(WithdrawRule{RuleID: "XX-1", Reason: "r", EffectiveOn: "2024-01-01"}, compliance).thenError(Unknown)
	s.when(WithdrawRule{RuleID: "HK-2FA-1", EffectiveOn: "2024-01-01"}, compliance).thenError(Invalid)
	s.when(WithdrawRule{RuleID: "HK-2FA-1", Reason: "r", EffectiveOn: "soon"}, compliance).thenError(Invalid)
	s.when(WithdrawRule{RuleID: "HK-2FA-0", Reason: "r", EffectiveOn: "2024-01-01"}, compliance).thenNothing() // it ended in 2018
}

func TestParameterIsSetWithinItsBounds(t *testing.T) {
	t.Parallel()
	set := func(name string, value int64) *story {
		return given(t).when(SetParameter{Parameter: name, Value: value, EffectiveFrom: "2024-03-01", Reason: "r"}, compliance)
	}
	for name, limit := range parameterBounds {
		set(name, limit.least-1).thenError(Invalid)
		set(name, limit.most+1).thenError(Invalid)
		set(name, limit.least)
		set(name, limit.most)
		if !slices.Contains(parameterNames, name) {
			t.Errorf("bounds for %s, which no decision uses", name)
		}
	}
	for _, name := range parameterNames {
		if _, ok := parameterBounds[name]; !ok {
			t.Errorf("%s has no bounds", name)
		}
	}
	// G-12: six digits at least, ten minutes at most, a hundred failures at most.
	set(pSMSLen, 5).thenError(Invalid)
	set(pSMSTTL, 601).thenError(Invalid)
	set(pLockThreshold, 101).thenError(Invalid)
	set("fee.dsc_plus", 2500).then(PolicyParameterSet{Value: 2500, Unit: "US cents"})
	set("fee.dsc_plus", -1).thenError(Invalid)
	set("no.such_thing", 1).thenError(Unknown)
	given(t).when(SetParameter{Parameter: pSMSCooldown, Value: 60, EffectiveFrom: "2024-03-01"}, compliance).thenError(Invalid)
	given(t).when(SetParameter{Parameter: pSMSCooldown, Value: 60, EffectiveFrom: "1.3.2024", Reason: "r"}, compliance).thenError(Invalid)
}

func TestProposedRuleShowsWhatItWouldChange(t *testing.T) {
	t.Parallel()
	r := germanRule("2024-01-01")
	r.Status = "proposed"
	s := given(t, alice, sms).when(PublishRule{Rule: r}, compliance)
	s.and(optedOut)
	if d := the[OptOutGranted](s).Decision; len(d.ProposedIDs) != 1 || d.ProposedIDs[0] != "DE-2FA-1" {
		t.Errorf("the grant names %v as proposed", d.ProposedIDs)
	}
	p, err := s.current().WithProposed("DE-2FA-1")
	if err != nil {
		t.Fatal(err)
	}
	if d := p.Evaluate(resident("DE"), s.now); d.Outcome != EffectDeny || d.DecisiveRuleID != "DE-2FA-1" {
		t.Errorf("if it were active: %+v, want a denial", d)
	}
	if d := s.current().Evaluate(resident("DE"), s.now); d.Outcome != EffectPermit {
		t.Errorf("asking changed the policy: %+v", d)
	}
	if _, err := s.current().WithProposed("HK-2FA-1"); err == nil {
		t.Error("an active rule was found among the proposed")
	}
}

func TestRulesInForceAndMatchingAreListedInOrder(t *testing.T) {
	t.Parallel()
	p := builtIn(t)
	var ids []string
	for _, r := range p.InForce(moment(t, "2024-03-01T00:00:00Z")) {
		ids = append(ids, r.ID)
	}
	want := []string{"DEFAULT-1", "HK-2FA-1", "HK-NOTIFY-1", "HK-TEMP-1", "IN-2FA-0", "IN-2FA-1", "IN-2FA-2", "IN-LOG-1"}
	if !slices.Equal(ids, want) {
		t.Errorf("in force are %v, want %v", ids, want)
	}
	indian := resident("IN")
	if got := p.Matching(indian, moment(t, "2024-03-01T00:00:00Z"), EffectOTPChannels); len(got) != 1 || !slices.Equal(got[0].Values(EffectOTPChannels), []string{"sms", "email"}) {
		t.Errorf("copies of codes by %+v, want by SMS and e-mail", got)
	} else if got[0].Values(EffectNotify) != nil {
		t.Error("values of an effect the rule does not have")
	}
	if got := p.Matching(indian, moment(t, "2022-09-30T18:29:59.999Z"), EffectOTPChannels); len(got) != 0 {
		t.Errorf("copies before the rule's day: %+v", got)
	}
}

func TestChangeOfTheRuleBookSentElsewhereIsAnError(t *testing.T) {
	t.Parallel()
	p := builtIn(t)
	f := Facts{Actor: Actor{Kind: ActorCompliance}}
	if _, err := Decide(&PolicyBook{}, SetSeamless{UserID: aliceID}, f, time.Now(), p); err == nil {
		t.Error("the rule book accepts a user's command")
	}
	if _, err := Decide(&Keys{}, PublishRule{Rule: germanRule("2024-01-01")}, f, time.Now(), p); err == nil {
		t.Error("the keys accept a rule")
	}
}
