package journal

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/storetest"
)

// germanRule denies opting out to residents of Germany from the first of March.
func germanRule() domain.PublishRule {
	return domain.PublishRule{Rule: domain.RuleRow{
		ID: "DE-2FA-1", Version: 1, CC: "DE", Zone: "Europe/Berlin", Status: "active", LegalBasis: "a circular",
		Effects: []domain.Effect{{Name: domain.EffectDeny}}, EffectiveFrom: "2026-03-01", Tests: []string{"residence"}, BasisOfDate: "issue",
	}}
}

func (w *world) optOut(userID string) domain.RequestOptOut {
	return domain.RequestOptOut{UserID: userID, RequestedBy: userID, AgreementVersion: "1", Acknowledged: true}
}

func TestPublishedRuleDecidesTheNextCommand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	base := w.j.Policy()
	second := w.person("u-2", "+491700000002")
	granted := event[domain.OptOutGranted](t, w.do(w.optOut(w.user)))
	if granted.Decision.PolicyVersion != base.Version {
		t.Errorf("granted by policy %d, want %d", granted.Decision.PolicyVersion, base.Version)
	}
	w.clock.advance(time.Hour)
	published := w.compliance(germanRule())
	denied := event[domain.OptOutDenied](t, w.do(w.optOut(second)))
	if denied.Decision.DecisiveRuleID != "DE-2FA-1" || denied.Decision.PolicyVersion != base.Version+1 {
		t.Errorf("denied by %s of policy %d", denied.Decision.DecisiveRuleID, denied.Decision.PolicyVersion)
	}
	revoked := event[domain.OptOutRevoked](t, w.do(domain.ReevaluateRegime{UserID: w.user, Cause: "rule_in_force"}))
	if revoked.Decision.DecisiveRuleID != "DE-2FA-1" {
		t.Errorf("revoked by %s", revoked.Decision.DecisiveRuleID)
	}
	w.versions(map[string]uint64{
		"OptOutGranted": base.Version, "PolicyRulePublished": base.Version, "OptOutDenied": base.Version + 1, "OptOutRevoked": base.Version + 1,
	})
	later := w.journal() // a process that starts now
	if got := later.Policy().Version; got != base.Version+1 {
		t.Errorf("a journal opened later decides by policy %d", got)
	}
	third := w.person("u-3", "+491700000003")
	out, err := later.Execute(t.Context(), w.request(w.optOut(third)))
	if err != nil {
		t.Fatal(err)
	}
	event[domain.OptOutDenied](t, out)

	recorded := published.Events[0].OccurredAt
	for name, tc := range map[string]struct {
		at   time.Time
		want uint64
	}{
		"before": {recorded.Add(-time.Microsecond), base.Version}, "at that moment": {recorded, base.Version + 1}, "all": {time.Time{}, base.Version + 1},
	} {
		p, err := w.j.PolicyKnownAt(t.Context(), tc.at)
		if err != nil || p.Version != tc.want {
			t.Errorf("known %s: policy %d, %v, want %d", name, p.Version, err, tc.want)
		}
	}
	if w.j.Policy().Version != base.Version+1 {
		t.Error("a question about the past changed the policy decisions are taken by")
	}
	w.repeated(denied.Decision, second)
	for _, version := range []uint64{base.Version - 1, base.Version + 2} {
		if _, err := w.j.PolicyVersion(t.Context(), version); code(t, err) != domain.Unknown {
			t.Errorf("policy %d: %v", version, err)
		}
	}
}

// versions checks the policy version in the metadata of the newest event of
// each type.
func (w *world) versions(want map[string]uint64) {
	w.t.Helper()
	got := map[string]uint64{}
	for _, r := range w.records() {
		d, err := codec.New(nil).Decode(r)
		if err != nil {
			w.t.Fatal(err)
		}
		got[r.Type] = d.Meta.PolicyVersion
	}
	for name, version := range want {
		if got[name] != version {
			w.t.Errorf("%s was decided by policy %d, want %d", name, got[name], version)
		}
	}
}

// repeated takes a decision again, by the version and moment it names.
func (w *world) repeated(d domain.Decision, userID string) {
	w.t.Helper()
	p, err := w.j.PolicyVersion(w.t.Context(), d.PolicyVersion)
	if err != nil {
		w.t.Fatal(err)
	}
	again, err := w.j.Decision(w.t.Context(), userID, d.AsOf, p)
	if err != nil {
		w.t.Fatal(err)
	}
	equal(w.t, "the decision again", again, d)
}

// Facts of the past include clients whose accounts the user may not use any
// more.
func TestDecisionAsOfAMomentKnowsTheClientsOfThen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	carried := codec.ClientIDOf("hk")
	w.do(domain.RegisterClient{ClientID: carried, Kind: domain.Individual, CarryingEntity: "IB-HK", CarryingCC: "HK"})
	w.do(domain.GrantAccountAccess{UserID: w.user, ClientID: carried, EffectiveOn: "2026-01-01"})
	w.do(domain.RevokeAccountAccess{UserID: w.user, ClientID: carried, EffectiveOn: "2026-02-01"})
	for at, want := range map[time.Time]string{
		time.Date(2026, 1, 15, 0, 0, 0, 0, time.UTC): domain.EffectDeny, w.clock.time(): domain.EffectPermit,
	} {
		d, err := w.j.Decision(t.Context(), w.user, at, w.j.Policy())
		if err != nil || d.Outcome != want {
			t.Errorf("as of %s: %s by %s, %v, want %s", at.Format(time.DateOnly), d.Outcome, d.DecisiveRuleID, err, want)
		}
	}
	if _, err := w.j.Decision(t.Context(), codec.UserIDOf("nobody"), w.clock.time(), w.j.Policy()); code(t, err) != domain.Unknown {
		t.Errorf("a decision about nobody: %v", err)
	}
}

func TestMatchingFollowsTheRuleBook(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	matching := func() int {
		t.Helper()
		rules, err := w.j.Matching(t.Context(), w.user, domain.EffectDeny)
		if err != nil {
			t.Fatal(err)
		}
		return len(rules)
	}
	if n := matching(); n != 0 {
		t.Errorf("%d rules deny before one is published", n)
	}
	w.compliance(germanRule())
	if n := matching(); n != 1 {
		t.Errorf("%d rules deny, want the one published", n)
	}
	w.compliance(domain.WithdrawRule{RuleID: "DE-2FA-1", Reason: "repealed", EffectiveOn: "2026-03-02"})
	if n := matching(); n != 0 {
		t.Errorf("%d rules deny after it was withdrawn", n)
	}
}

func TestOnlyComplianceWritesTheRuleBook(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.j.Policy()
	if got := w.fails(germanRule()); got != domain.NotAuthorised {
		t.Errorf("a rule by a client: %s", got)
	}
	if w.j.Policy() != before || len(w.records()) != 0 {
		t.Error("it changed something")
	}
}

// A code keeps the length it was issued with, whatever the rule book says since.
func TestCodeLengthChangesForNewCodesOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	challenge, six := w.smsLogin()
	w.compliance(domain.SetParameter{Parameter: "code.sms.len", Value: 8, EffectiveFrom: "2026-03-01", Reason: "longer"})
	if got := w.submit(challenge, "12345678"); got != domain.ReasonMalformed {
		t.Errorf("eight digits where six were issued: %q", got)
	}
	if got := w.submit(challenge, six); len(six) != 6 || got != "" {
		t.Errorf("the code of %d digits issued before: %q", len(six), got)
	}
	challenge, eight := w.smsLogin()
	if got := w.submit(challenge, eight[:6]); got != domain.ReasonMalformed {
		t.Errorf("six digits where eight were issued: %q", got)
	}
	if got := w.submit(challenge, eight); len(eight) != 8 || got != "" {
		t.Errorf("the new code of %d digits: %q", len(eight), got)
	}
}

// Whoever follows the log may hold the record of a rule before the command that
// published it has brought the policy along.
func TestPolicyAtWaitsForTheCommandThatPublished(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	base := w.j.Policy().Version
	durable, done := make(chan eventstore.Appended, 1), make(chan struct{})
	w.store.Set(storetest.Faults{AfterAppend: func(_ string, a eventstore.Appended) error {
		durable <- a
		<-done
		return nil
	}})
	executed := make(chan error, 1)
	go func() {
		r := w.request(germanRule())
		r.Actor = domain.Actor{Kind: domain.ActorCompliance}
		_, err := w.j.Execute(t.Context(), r)
		executed <- err
	}()
	appended := <-durable
	if got := w.j.Policy().Version; got != base {
		t.Errorf("policy %d before the command is done, or this test shows nothing", got)
	}
	seen := make(chan error, 1)
	go func() {
		p, err := w.j.PolicyAt(t.Context(), appended.Last().Revision)
		if err == nil && (p.Version != base+1 || w.j.Policy().Version != base+1) {
			err = fmt.Errorf("policy %d without the record its caller held", p.Version)
		}
		seen <- err
	}()
	close(done)
	if err := errors.Join(<-seen, <-executed); err != nil {
		t.Error(err)
	}
}

// On another node nobody brings the policy along: PolicyAt reads what is
// missing, and a rule decided there on the old rule book meets the new one.
func TestRuleBookOfAnotherNode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.compliance(domain.SetParameter{Parameter: "code.sms.len", Value: 6, EffectiveFrom: "2026-03-01", Reason: "as it is"})
	here, elsewhere := w.j, w.journal() // both keep the rule book as it is now
	base := here.Policy().Version
	w.j = elsewhere
	out := w.compliance(germanRule())
	if here.Policy().Version != base {
		t.Fatal("the other node's rule arrived by itself")
	}
	p, err := here.PolicyAt(t.Context(), out.Events[0].Revision)
	if err != nil || p.Version != base+1 || here.Policy() != p {
		t.Errorf("policy %d, %v", p.Version, err)
	}
	second := germanRule()
	second.Rule.ID = "DE-2FA-2"
	w.compliance(second)
	w.j = here // knows one of two
	w.compliance(domain.SetParameter{Parameter: "code.sms.len", Value: 7, EffectiveFrom: "2026-03-01", Reason: "longer"})
	if got := here.Policy(); got.Version != base+3 || got.Int("code.sms.len", w.clock.time()) != 7 {
		t.Errorf("policy %d", got.Version)
	}
	if _, ok := here.Policy().Rule("DE-2FA-2"); !ok {
		t.Error("the other node's second rule was lost")
	}
}

// A rule book that left the cache is read again before anybody decides on it,
// and with it the policy to decide by.
func TestForgottenRuleBook(t *testing.T) {
	t.Parallel()
	for _, read := range []bool{false, true} {
		w := newWorld(t, func(c *Config) { c.CacheSize = 1 })
		w.compliance(domain.SetParameter{Parameter: "code.sms.len", Value: 6, EffectiveFrom: "2026-03-01", Reason: "as it is"})
		here := w.j
		w.j = w.journal()
		w.compliance(germanRule())
		w.j = here
		w.register() // other streams take the place in the cache
		if read {
			if _, err := here.PolicyKnownAt(t.Context(), w.clock.time().Add(-time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
		r := w.request(germanRule())
		r.Actor = domain.Actor{Kind: domain.ActorCompliance}
		if _, err := here.Execute(t.Context(), r); code(t, err) != domain.Exists {
			t.Errorf("the same rule again, after a look at the past %t: %v", read, err)
		}
	}
}

// An older policy that was read before and stored late takes nothing back.
func TestPolicyNeverGoesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.j.Policy()
	w.compliance(germanRule())
	after := w.j.Policy()
	w.j.rules.advance(before)
	if w.j.Policy() != after {
		t.Error("an older policy replaced a newer one")
	}
}

func TestRuleBookThatCannotBeRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.compliance(germanRule())
	w.store.FailReads(0, errDisk)
	policy, err := domain.LoadPolicy()
	if err != nil {
		t.Fatal(err)
	}
	c := Config{Store: w.store, Codec: codec.New(w.keys), Keyring: w.keys, Policy: policy, Clock: w.clock.time}
	if _, err := New(c); !errors.Is(err, errDisk) {
		t.Errorf("a journal without its rule book was opened: %v", err)
	}
	w.store.Set(storetest.Faults{})
	j, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := j.Policy().Rule("DE-2FA-1"); !ok {
		t.Error("the rule is missing after healing")
	}
}

// Published and lost: the answer never came, but the rule is in the log and
// decides.
func TestRuleWhoseAnswerWasLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	base := w.j.Policy().Version
	r := w.request(germanRule())
	r.Actor = domain.Actor{Kind: domain.ActorCompliance, Ref: "compliance-1"}
	w.store.LoseAnswers(1, errDisk)
	out, err := w.j.Execute(t.Context(), r)
	if err != nil || len(out.Events) != 1 {
		t.Fatalf("outcome %+v, %v", out, err)
	}
	if got := w.j.Policy().Version; got != base+1 {
		t.Errorf("policy %d, want %d", got, base+1)
	}
	again, err := w.j.Execute(t.Context(), r) // now refused as existing, were it not a repeat
	if err != nil || !again.Replayed {
		t.Errorf("repeat: %+v, %v", again, err)
	}
}
