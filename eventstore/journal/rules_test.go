package journal

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/authledger/authledger/domain"
)

// publish adds a rule about the residents of a country.
func (w *world) publish(id, cc, from string, e domain.Effect) Outcome {
	w.t.Helper()
	out, err := w.j.Execute(w.t.Context(), Request{
		CommandID: uuid.New(), Actor: domain.Actor{Kind: domain.ActorCompliance, Ref: "c"},
		Command: domain.PublishRule{Rule: domain.RuleRow{
			ID: id, Version: 1, CC: cc, Zone: "UTC", Status: "active", Effects: []domain.Effect{e}, LegalBasis: "test", EffectiveFrom: from,
			Tests: []string{"residence"},
		}},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

// A node that follows the log decides by the rule book it has seen, also when
// another node wrote it, and whether or not it has read the book before.
func TestPolicyAtIncludesTheRecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	idle := w.journal(func(c *Config) { c.CacheSize = 1 })
	follower := w.journal()
	first := w.publish("FR-2FA-1", "FR", "2026-01-01", domain.Effect{Name: domain.EffectDeny})
	if _, err := idle.PolicyKnownAt(t.Context(), time.Time{}); err != nil {
		t.Fatal(err)
	}
	// Reading anything else makes it forget the book.
	if err := idle.User(t.Context(), w.user, func(*domain.User, time.Time) error { return nil }); err != nil {
		t.Fatal(err)
	}
	second := w.publish("FR-2FA-2", "FR", "2026-01-01", domain.Effect{Name: domain.EffectDeny})
	for name, j := range map[string]*Journal{"writer": w.j, "idle": idle, "follower": follower} {
		p, err := j.PolicyAt(t.Context(), second.Events[0].Revision)
		if err != nil {
			t.Fatal(err)
		}
		_, told := p.Rule("FR-2FA-2")
		if _, used := j.Policy().Rule("FR-2FA-2"); !told || !used {
			t.Errorf("%s: rule in the answer %t, in use %t", name, told, used)
		}
		if again, err := j.PolicyAt(t.Context(), first.Events[0].Revision); err != nil || again.Version != p.Version {
			t.Errorf("%s: an older record gives version %d, %v; want %d", name, again.Version, err, p.Version)
		}
	}
}

func TestMatchingAsksAsOfAMoment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	now := w.j.Now()
	w.publish("X-MSG-1", "DE", now.AddDate(0, 0, 2).Format(time.DateOnly), domain.Effect{Name: domain.EffectSenderPrefix, Values: []string{"+"}})
	for at, want := range map[time.Time]int{now: 0, now.AddDate(0, 0, 3): 1} {
		rules, err := w.j.MatchingAt(t.Context(), w.user, domain.EffectSenderPrefix, at)
		if err != nil || len(rules) != want {
			t.Errorf("at %s: %d rules, %v; want %d", at, len(rules), err, want)
		}
	}
	w.clock.advance(3 * 24 * time.Hour)
	rules, err := w.j.Matching(t.Context(), w.user, domain.EffectSenderPrefix)
	if err != nil || len(rules) != 1 || rules[0].Values(domain.EffectSenderPrefix)[0] != "+" {
		t.Errorf("now: %d rules, %v", len(rules), err)
	}
}
