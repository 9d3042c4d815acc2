package domain

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// S-20: two time axes, decisions that can be taken again (D-74, D-75, I-3), and
// the end of personal data, which no decision depends on.

// germanRule is a rule nobody knew before it was published.
func germanRule(from string) RuleRow {
	return RuleRow{
		ID: "DE-2FA-1", Version: 1, CC: "DE", Zone: "Europe/Berlin", Status: "active", Effects: []Effect{{Name: EffectDeny}},
		LegalBasis: "a law", EffectiveFrom: from, Tests: []string{"residence"}, BasisOfDate: "the law",
	}
}

// book is the story's rule book.
func (s *story) book() *PolicyBook {
	s.t.Helper()
	b, ok := s.states[PolicyStream()].(*PolicyBook)
	if !ok {
		s.t.Fatal("nothing was published in this story")
	}
	return b
}

// asked is what the rules said about a German resident as of one moment, as
// known at another.
func (s *story) asked(asOf, knownAt string) Decision {
	s.t.Helper()
	p, err := s.book().Policy(s.policy, moment(s.t, knownAt))
	if err != nil {
		s.t.Fatalf("policy known at %s: %v", knownAt, err)
	}
	return p.Evaluate(resident("DE"), moment(s.t, asOf))
}

func TestS20DenialOfHongKongIsExplainedByItsOwnFactsAndRule(t *testing.T) {
	t.Parallel()
	s := given(t, at("2018-05-02T09:00:00Z"), hongKongResident, sms).when(optOut())
	d := the[OptOutDenied](s).Decision
	if d.DecisiveRuleID != "HK-2FA-1" || d.RuleVersion != 1 || d.PolicyVersion != 1 || d.Facts.Residence != "HK" || !d.AsOf.Equal(s.now) {
		t.Errorf("the denial says %+v", d)
	}
	if r, ok := s.policy.Rule(d.DecisiveRuleID); !ok || r.LegalBasis == "" || r.EffectiveFrom != "2018-04-27" {
		t.Errorf("the rule behind it is %+v", r)
	}
	if again := s.policy.Evaluate(d.Facts, d.AsOf); !cmp.Equal(again, d) {
		t.Errorf("taken again it differs:\n%s", cmp.Diff(d, again))
	}
}

func TestS20BackDatedRuleAppearsOnlyToThoseWhoAskAfterItsPublication(t *testing.T) {
	t.Parallel()
	s := given(t).at("2019-06-01T10:00:00Z").when(PublishRule{Rule: germanRule("2018-01-01")}, compliance)
	s.then(PolicyRulePublished{RuleRow: germanRule("2018-01-01")})
	cases := map[[2]string]string{
		{"2018-05-02T00:00:00Z", "2018-05-02T00:00:00Z"}:     "DEFAULT-1",
		{"2018-05-02T00:00:00Z", "2019-06-01T09:59:59.999Z"}: "DEFAULT-1",
		{"2018-05-02T00:00:00Z", "2019-06-01T10:00:00Z"}:     "DE-2FA-1",
		{"2018-05-02T00:00:00Z", "2024-01-01T00:00:00Z"}:     "DE-2FA-1",
		{"2017-12-31T22:59:59.999Z", "2024-01-01T00:00:00Z"}: "DEFAULT-1", // midnight in Berlin
		{"2017-12-31T23:00:00Z", "2024-01-01T00:00:00Z"}:     "DE-2FA-1",
	}
	for axes, want := range cases {
		if d := s.asked(axes[0], axes[1]); d.DecisiveRuleID != want {
			t.Errorf("as of %s, known at %s: %s, want %s", axes[0], axes[1], d.DecisiveRuleID, want)
		}
	}
	if p := s.current(); p.Version != 2 {
		t.Errorf("the policy has version %d, want 2", p.Version)
	} else if r, _ := p.Rule("DE-2FA-1"); !r.KnownSince.Equal(s.now) {
		t.Errorf("known since %s, want its publication", r.KnownSince)
	}
}

func TestS20PublishedRuleRevokesOptOutsAndLeavesEarlierDecisionsAsTheyWere(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms, optedOut)
	granted, before := s.now, the[OptOutGranted](s).Decision
	s.after(time.Hour).when(PublishRule{Rule: germanRule("2024-01-01")}, compliance)
	s.after(time.Hour).when(ReevaluateRegime{UserID: aliceID, Cause: "rule_in_force"}).then(OptOutRevoked{
		Cause: "rule_in_force", EffectiveAt: granted, ExposedS: 7200, Decision: Decision{DecisiveRuleID: "DE-2FA-1", PolicyVersion: 2},
	})
	s.when(optOut()).then(OptOutRequested{}, OptOutDenied{Reason: ReasonRegimeMandatory, Decision: Decision{DecisiveRuleID: "DE-2FA-1", PolicyVersion: 2}})
	old, err := s.book().Version(s.policy, before.PolicyVersion)
	if err != nil {
		t.Fatal(err)
	}
	if again := old.Evaluate(before.Facts, before.AsOf); !cmp.Equal(again, before) {
		t.Errorf("the grant, taken again, differs:\n%s", cmp.Diff(before, again))
	}
	if should := s.current().Evaluate(before.Facts, before.AsOf); should.Outcome != EffectDeny {
		t.Errorf("as known now the grant should have been %s, want a denial", should.Outcome)
	}
}

func TestS20RuleInTheFutureWaitsForItsMoment(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms, optedOut).when(PublishRule{Rule: germanRule("2024-03-05")}, compliance)
	s.at("2024-03-04T22:59:59.999Z").and(login(TWS))
	must[SecondFactorWaived](s)
	s.at("2024-03-04T23:00:00.000Z").and(login(TWS))
	if e := the[OptOutRevoked](s); e.Cause != "rule_in_force" || !e.EffectiveAt.Equal(s.now) {
		t.Errorf("revoked by %+v, want by the rule at this moment", e)
	}
	if got := s.current().Boundaries(moment(t, "2024-03-04T22:59:59.999Z"), s.now); len(got) != 1 || !got[0].Equal(s.now) {
		t.Errorf("boundaries %v, want the rule's beginning", got)
	}
}

func TestS20AmendmentClosesOneVersionAndOpensTheNext(t *testing.T) {
	t.Parallel()
	s := given(t).at("2024-03-01T10:00:00Z").when(PublishRule{Rule: germanRule("2024-01-01")}, compliance)
	next := germanRule("2024-06-01")
	next.Version, next.Effects = 2, []Effect{{Name: EffectUntil, Until: "2025-01-01"}}
	s.at("2024-04-01T10:00:00Z").when(AmendRule{Rule: next}, compliance).then(PolicyRuleAmended{RuleRow: next})
	for asOf, want := range map[string]int{"2024-05-31T21:59:59.999Z": 1, "2024-05-31T22:00:00Z": 2} {
		if d := s.asked(asOf, "2024-04-01T10:00:00Z"); d.DecisiveRuleID != "DE-2FA-1" || d.RuleVersion != want {
			t.Errorf("as of %s: version %d of %s, want version %d", asOf, d.RuleVersion, d.DecisiveRuleID, want)
		}
	}
	if d := s.asked("2024-07-01T00:00:00Z", "2024-04-01T09:59:59.999Z"); d.RuleVersion != 1 || d.Outcome != EffectDeny {
		t.Errorf("before the amendment was known: %+v, want version 1 to deny", d)
	}
	s.at("2024-07-01T10:00:00Z").and(alice, sms).when(optOut())
	if e := the[OptOutGranted](s); e.EndsAt == nil || !e.EndsAt.Equal(moment(t, "2024-12-31T23:00:00Z")) || e.Decision.RuleVersion != 2 {
		t.Errorf("granted %+v, want until midnight in Berlin by version 2", e)
	}
}

func TestS20BackDatedAmendmentOvertakesEveryVersionOfItsTime(t *testing.T) {
	t.Parallel()
	s := given(t).at("2024-03-01T10:00:00Z").when(PublishRule{Rule: germanRule("2020-01-01")}, compliance)
	amend := func(version int, from, effect string) {
		r := germanRule(from)
		r.Version, r.Effects[0].Name = version, effect
		s.when(AmendRule{Rule: r}, compliance)
		must[PolicyRuleAmended](s)
	}
	amend(2, "2023-01-01", EffectDeny)
	amend(3, "2021-01-01", EffectPermit)
	for asOf, want := range map[string]int{"2020-06-01T00:00:00Z": 1, "2022-06-01T00:00:00Z": 3, "2023-06-01T00:00:00Z": 3} {
		d := s.asked(asOf, "2024-03-01T10:00:00Z")
		if want == 3 && d.Outcome != EffectPermit || want == 1 && d.RuleVersion != 1 {
			t.Errorf("as of %s: %s by version %d of %s, want version %d to decide", asOf, d.Outcome, d.RuleVersion, d.DecisiveRuleID, want)
		}
	}
}

func TestS20WithdrawnRuleEndsOnItsDayAndRestoresNothing(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms, optedOut).when(PublishRule{Rule: germanRule("2024-03-01")}, compliance)
	s.when(ReevaluateRegime{UserID: aliceID, Cause: "rule_in_force"})
	must[OptOutRevoked](s)
	withdraw := WithdrawRule{RuleID: "DE-2FA-1", Reason: "repealed", EffectiveOn: "2024-04-01"}
	s.when(withdraw, compliance).then(PolicyRuleWithdrawn{RuleID: "DE-2FA-1", Version: 1, Reason: "repealed", EffectiveOn: "2024-04-01"})
	s.at("2024-03-31T21:59:59.999Z").when(optOut()).then(OptOutRequested{}, OptOutDenied{Reason: ReasonRegimeMandatory, Decision: Decision{PolicyVersion: 3}})
	s.at("2024-03-31T22:00:00.000Z")
	if s.user().OptedOut(s.now) != nil {
		t.Error("the opt-out came back with the withdrawal")
	}
	s.when(ReevaluateRegime{UserID: aliceID, Cause: "rule_in_force"}).thenNothing()
	s.and(optedOut)
	s.when(withdraw, compliance).thenNothing()
	withdraw.EffectiveOn = "2024-05-01"
	s.when(withdraw, compliance).thenNothing()
	withdraw.EffectiveOn = "2024-03-15"
	s.when(withdraw, compliance).then(PolicyRuleWithdrawn{EffectiveOn: "2024-03-15"})
	if d := s.current().Evaluate(resident("DE"), moment(t, "2024-03-20T00:00:00Z")); d.Outcome != EffectPermit {
		t.Errorf("withdrawn to an earlier day it still says %s", d.Outcome)
	}
}

func TestS20RuleWithdrawnBeforeItBeganWasNeverInForce(t *testing.T) {
	t.Parallel()
	s := given(t).when(PublishRule{Rule: germanRule("2024-06-01")}, compliance)
	s.when(WithdrawRule{RuleID: "DE-2FA-1", Reason: "not adopted", EffectiveOn: "2024-03-02"}, compliance)
	must[PolicyRuleWithdrawn](s)
	for _, asOf := range []string{"2024-03-02T00:00:00Z", "2024-05-31T22:00:00Z", "2024-07-01T00:00:00Z"} {
		if d := s.asked(asOf, "2024-03-02T00:00:00Z"); d.DecisiveRuleID != "DEFAULT-1" {
			t.Errorf("as of %s: %s", asOf, d.DecisiveRuleID)
		}
	}
}

func TestS20EveryRecordedDecisionFollowsFromItsOwnFactsAndPolicyVersion(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms, optedOut, login(TWS))
	s.after(time.Hour).when(PublishRule{Rule: germanRule("2024-03-02")}, compliance)
	s.after(time.Hour).and(login(TWS))
	s.when(OptBackIn{UserID: aliceID, By: aliceID}).and(optedOut)
	s.at("2024-03-02T09:00:00Z").and(login(TWS)).when(optOut())
	s.when(WithdrawRule{RuleID: "DE-2FA-1", Reason: "r", EffectiveOn: "2024-03-03"}, compliance)
	s.at("2024-03-03T09:00:00Z").and(optedOut, login(TWS))
	versions := map[uint64]int{}
	for _, r := range s.logs[UserStream(aliceID)] {
		for _, d := range decisionsIn(r.Event) {
			p, err := s.book().Version(s.policy, d.PolicyVersion)
			if err != nil {
				t.Fatalf("%T at %s: %v", r.Event, r.At, err)
			}
			if again := p.Evaluate(d.Facts, d.AsOf); !cmp.Equal(again, d) {
				t.Errorf("%T at %s differs:\n%s", r.Event, r.At, cmp.Diff(d, again))
			}
			versions[d.PolicyVersion]++
		}
	}
	if versions[1] < 2 || versions[2] < 3 || versions[3] < 2 {
		t.Errorf("decisions by version %v, want several of each of the three", versions)
	}
	for _, unheardOf := range []uint64{0, 4} {
		if _, err := s.book().Version(s.policy, unheardOf); err == nil {
			t.Errorf("version %d exists", unheardOf)
		}
	}
}

// decisionsIn lists the decisions an event records.
func decisionsIn(e Event) []Decision {
	switch e := e.(type) {
	case OptOutGranted:
		return []Decision{e.Decision}
	case OptOutDenied:
		return []Decision{e.Decision}
	case OptOutRevoked:
		return []Decision{e.Decision}
	case SecondFactorWaived:
		return []Decision{e.Decision}
	}
	return nil
}

func TestS20DecisionSaysWhenItWasTakenByWhichVersion(t *testing.T) {
	t.Parallel()
	s := given(t, alice, sms)
	for version := uint64(1); version < 4; version++ {
		s.and(optedOut)
		if d := the[OptOutGranted](s).Decision; d.PolicyVersion != version {
			t.Errorf("decided by version %d, want %d", d.PolicyVersion, version)
		}
		s.when(OptBackIn{UserID: aliceID, By: aliceID}).and(later(time.Minute), parameter(pSMSCooldown, int64(120+version)))
	}
	if n := s.book().Changes(); n != 3 {
		t.Errorf("%d changes, want 3", n)
	}
}

func TestS20ParameterCountsFromItsDayAndForThoseWhoKnowIt(t *testing.T) {
	t.Parallel()
	s := given(t).at("2024-03-01T10:00:00Z")
	s.when(SetParameter{Parameter: pSMSCooldown, Value: 240, EffectiveFrom: "2024-03-10", Reason: "carrier"}, compliance)
	s.then(PolicyParameterSet{Name: pSMSCooldown, Value: 240, Unit: "s", EffectiveFrom: "2024-03-10", Reason: "carrier"})
	for axes, want := range map[[2]string]int64{
		{"2024-03-09T23:59:59.999Z", "2024-03-01T10:00:00Z"}: 120, {"2024-03-10T00:00:00Z", "2024-03-01T10:00:00Z"}: 240,
		{"2024-03-10T00:00:00Z", "2024-03-01T09:59:59.999Z"}: 120,
	} {
		p, err := s.book().Policy(s.policy, moment(t, axes[1]))
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Int(pSMSCooldown, moment(t, axes[0])); got != want {
			t.Errorf("on %s, known at %s: %d, want %d", axes[0], axes[1], got, want)
		}
	}
	s.and(alice, phone).at("2024-03-10T00:00:00Z").and(verification)
	again := ResendConfirmCode{VerificationID: s.id(PrefixVerification)}
	s.after(4*time.Minute - time.Millisecond).when(again).then(SMSRequestRefused{Reason: ReasonSMSCooldown, RetryAfterS: 1})
	s.after(time.Millisecond).when(again).then(ConfirmCodeIssued{Seq: 2}, SMSRequested{})
}

func TestS20ErasureInsideSevenYearsIsRefusedAndRestricts(t *testing.T) {
	t.Parallel()
	s := given(t, at("2018-05-02T09:00:00Z"), hongKongResident, sms).when(optOut())
	must[OptOutDenied](s)
	s.at("2018-09-03T10:00:00Z").and(gone).at("2025-09-03T09:59:59.999Z").when(forget())
	s.then(ErasureRequested{Basis: BasisSubjectRequest}, ErasureRefused{Reason: ReasonRetentionRuns}, ProcessingRestricted{})
	ends := moment(t, "2025-09-03T10:00:00Z")
	if e := the[ErasureRefused](s); e.RetainedUntil == nil || !e.RetainedUntil.Equal(ends) || e.Retention.Rule != pRetention {
		t.Errorf("refused %+v, want until seven years after the closure", e)
	}
	if until, restricted := s.user().Restricted(); !restricted || !until.Equal(ends) {
		t.Errorf("restricted %t until %s", restricted, until)
	}
}

func TestS20AfterErasureTheDenialIsStillExplained(t *testing.T) {
	t.Parallel()
	s := given(t, at("2018-05-02T09:00:00Z"), hongKongResident, sms).when(optOut())
	denied := the[OptOutDenied](s).Decision
	s.at("2018-09-03T10:00:00Z").and(gone).at("2019-01-01T00:00:00Z").and(restricted)
	s.at("2025-09-03T10:00:00Z").when(EraseSubject{UserID: aliceID}).then(PersonalDataErased{Basis: BasisSubjectRequest})
	if again := s.policy.Evaluate(denied.Facts, denied.AsOf); !cmp.Equal(again, denied) {
		t.Errorf("taken again it differs:\n%s", cmp.Diff(denied, again))
	}
	if u := s.user(); u.ResidenceAt(denied.AsOf, s.policy) != "HK" || !u.Erased() {
		t.Error("what the denial stood on is not known any more")
	}
}
