package projections

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/authledger/authledger/domain"
)

func TestOptOutRegister(t *testing.T) {
	t.Parallel()
	ctx, w := context.Background(), newWorld(t)
	id := func(n int) string { return "opt_" + key(n) + "_1" }
	decision := domain.Decision{
		Outcome: "permit_opt_out", DecisiveRuleID: "DE-1", RuleVersion: 3, MatchedRuleIDs: []string{"DE-1"}, PolicyVersion: 4, AsOf: at(0),
		Facts: domain.DecisionFacts{Residence: "DE", HolderResidences: []string{}, AccessibleCarryingCCs: []string{}},
	}
	ask := func(n int) domain.OptOutRequested {
		return domain.OptOutRequested{OptOutID: id(n), UserID: user(n), RequestedBy: user(n), AgreementVersion: "a2", Acknowledged: true}
	}
	ends := at(50)
	grant := func(n int, ends *time.Time) domain.OptOutGranted {
		return domain.OptOutGranted{OptOutID: id(n), Scope: "trading_platforms", EndsAt: ends, Decision: decision}
	}
	w.in(user(1), ask(1), grant(1, nil)) // revoked at 20
	w.pass(10 * time.Second)
	w.in(user(2), ask(2), grant(2, &ends)) // ends at 50
	w.in(user(3), ask(3), domain.OptOutDenied{OptOutID: id(3), Reason: domain.ReasonRegimeMandatory, Decision: decision})
	w.in(user(4), ask(4), grant(4, nil)) // back in at 30
	w.pass(10 * time.Second)
	w.in(user(1), domain.OptOutRevoked{OptOutID: id(1), Cause: "residence_change", EffectiveAt: at(5), DetectedAt: at(20), ExposedS: 15, Decision: decision})
	w.pass(10 * time.Second)
	w.in(user(4), domain.OptedBackIn{OptOutID: id(4), By: user(4)})
	w.in(user(4), domain.OptBackInRefused{Reason: domain.ReasonNotOptedOut})
	w.in(user(5), ask(5), grant(5, nil)) // closed at 40
	w.pass(10 * time.Second)
	w.in(user(5), domain.UserClosed{Reason: "account_closed"})
	w.pass(20 * time.Second)
	w.in(user(2), domain.UserClosed{Reason: "account_closed"}) // its opt-out was over by then
	v := w.views()

	text, err := json.Marshal(decision)
	if err != nil {
		t.Fatal(err)
	}
	revoked := OptOut{
		Sequence: 1, ID: id(1), UserID: user(1), Status: OptOutRevoked, RequestedAt: at(0), RequestedBy: user(1), AgreementVersion: "a2",
		Acknowledged: true, DecidedAt: pointer(at(0)), Jurisdiction: "DE", RuleID: "DE-1", RuleVersion: 3, PolicyVersion: 4, Decision: text,
		Scope: "trading_platforms", EndedAt: pointer(at(20)), Cause: "residence_change", EffectiveAt: pointer(at(5)), DetectedAt: pointer(at(20)),
		Exposed: pointer(15 * time.Second), EndDecision: text,
	}
	got, err := v.OptOut(ctx, id(1))
	if diff := cmp.Diff(revoked, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	denied, err := v.OptOut(ctx, id(3))
	if err != nil || denied.Status != OptOutDenied || denied.Reason != "REGIME_MANDATORY" || denied.Jurisdiction != "DE" || denied.Scope != "" {
		t.Errorf("denied: %+v, %v", denied, err)
	}
	back, err := v.OptOut(ctx, id(4))
	if err != nil || back.Status != OptOutReturned || back.EndedBy != user(4) || !back.EndedAt.Equal(at(30)) {
		t.Errorf("back in: %+v, %v", back, err)
	}
	closed, err := v.OptOut(ctx, id(5))
	if err != nil || closed.Status != OptOutClosed || !closed.EndedAt.Equal(at(40)) {
		t.Errorf("closed: %+v, %v", closed, err)
	}
	if over, err := v.OptOut(ctx, id(2)); err != nil || over.Status != OptOutGranted || over.EndedAt != nil {
		t.Errorf("over before the user was closed: %+v, %v", over, err)
	}
	if _, err := v.OptOut(ctx, id(9)); !errors.Is(err, ErrNotFound) {
		t.Errorf("unknown: %v", err)
	}
	for _, c := range []struct {
		second int
		want   []string
	}{
		{-1, nil}, {0, []string{user(1)}}, {10, []string{user(1), user(2), user(4)}}, {19, []string{user(1), user(2), user(4)}},
		{20, []string{user(2), user(4)}}, {30, []string{user(2), user(5)}}, {39, []string{user(2), user(5)}}, {40, []string{user(2)}}, {49, []string{user(2)}}, {50, nil},
	} {
		out, err := v.OptedOut(ctx, at(c.second))
		var users []string
		for _, o := range out {
			users = append(users, o.UserID)
			if !o.InForce(at(c.second)) {
				t.Errorf("%s is listed at %d but not in force", o.UserID, c.second)
			}
		}
		if diff := cmp.Diff(c.want, users); diff != "" || err != nil {
			t.Errorf("opted out at %d: %v (-want +got):\n%s", c.second, err, diff)
		}
	}
	for _, c := range []struct {
		filter OptOutFilter
		want   []int // sequences
	}{
		{OptOutFilter{}, []int{1, 3, 5, 7, 11, 12}},
		{OptOutFilter{Listing: Listing{Descending: true}}, []int{12, 11, 7, 5, 3, 1}},
		{OptOutFilter{UserID: user(4)}, []int{7, 11}},
		{OptOutFilter{UserID: user(4), Status: OptOutReturnRefused}, []int{11}},
		{OptOutFilter{Status: OptOutGranted}, []int{3}},
		{OptOutFilter{Status: OptOutClosed}, []int{12}},
		{OptOutFilter{Listing: Listing{Since: at(10), Until: at(30)}}, []int{3, 5, 7}},
		{OptOutFilter{Status: "nonsense"}, nil},
	} {
		c.filter.Limit = 2
		var got []int
		for {
			page, err := v.OptOuts(ctx, c.filter)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range page.Items {
				got = append(got, int(o.Sequence))
			}
			if c.filter.After = page.Next; page.Next.IsZero() {
				break
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", c.filter, diff)
		}
	}
}

// Whatever made the rules deny, the register names it with the time the
// opt-out was still in use, and the opt-out is no longer in force.
func TestCausesOfRevocation(t *testing.T) {
	t.Parallel()
	ctx, w := context.Background(), newWorld(t)
	causes := []string{
		"residence_change", "rule_in_force", "carrying_entity_change", "domicile_change", "holder_added", "access_granted",
	}
	for n, cause := range causes {
		id := "opt_" + key(n) + "_1"
		w.in(user(n), domain.OptOutRequested{OptOutID: id, UserID: user(n), RequestedBy: user(n), AgreementVersion: "a", Acknowledged: true},
			domain.OptOutGranted{OptOutID: id, Scope: "trading_platforms", Decision: domain.Decision{Outcome: "permit_opt_out"}})
		w.pass(time.Minute)
		w.in(user(n), domain.OptOutRevoked{
			OptOutID: id, Cause: cause, EffectiveAt: w.now.Add(-30 * time.Second), DetectedAt: w.now, ExposedS: 30,
			Decision: domain.Decision{Outcome: "deny_opt_out"},
		})
	}
	v := w.views()
	page, err := v.OptOuts(ctx, OptOutFilter{Status: OptOutRevoked})
	if err != nil || len(page.Items) != len(causes) {
		t.Fatalf("%d entries, %v", len(page.Items), err)
	}
	for n, o := range page.Items {
		if o.Cause != causes[n] || *o.Exposed != 30*time.Second || o.DetectedAt.Sub(*o.EffectiveAt) != 30*time.Second {
			t.Errorf("%s: %+v", causes[n], o)
		}
		events, err := v.Events(ctx, EventFilter{Reasons: []string{causes[n]}})
		if err != nil || len(events.Items) != 1 || events.Items[0].Type != "OptOutRevoked" {
			t.Errorf("events because of %s: %+v, %v", causes[n], events.Items, err)
		}
	}
	if out, err := v.OptedOut(ctx, w.now); err != nil || len(out) != 0 {
		t.Errorf("still opted out: %+v, %v", out, err)
	}
}
