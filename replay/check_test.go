package replay

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
)

// TestEveryRecordedDecisionIsRepeated: no event with a decision is overlooked.
func TestEveryRecordedDecisionIsRepeated(t *testing.T) {
	t.Parallel()
	for _, info := range codec.Types() {
		_, event := sample(t, info)
		d, ok := decisionOf(event)
		has := false
		for i := range reflect.TypeOf(event).NumField() {
			if v, is := reflect.ValueOf(event).Field(i).Interface().(domain.Decision); is {
				has = true
				if !reflect.DeepEqual(d, v) {
					t.Errorf("%s: another decision", info.Name)
				}
			}
		}
		if has != ok {
			t.Errorf("%s: holds a decision %t, is repeated %t", info.Name, has, ok)
		}
	}
}

// deciding is a log with every kind of decision: granted, waived, revoked by a
// rule, and denied.
func deciding(t *testing.T) (*ledger, *walker) {
	t.Helper()
	l := newLedger(t)
	w := newMover(l, codec.UserIDOf(reference))
	w.step(optOut, true)
	w.step(logIn, true)
	l.wait(time.Minute)
	l.comply(domain.PublishRule{Rule: law(1, "2026-03-01")})
	w.step(func(w *walker, _ bool) []func() domain.Command {
		return one(domain.ReevaluateRegime{UserID: w.id, Cause: "rule_in_force"})
	}, true)
	w.step(optOut, true)
	return l, w
}

func check(t *testing.T, l *ledger, reader eventstore.Reader) Check {
	t.Helper()
	c, err := CheckDecisions(t.Context(), reader, codec.New(nil), l.base)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestHonestDecisionsComeOutAgain(t *testing.T) {
	t.Parallel()
	l, _ := deciding(t)
	c := check(t, l, l.store)
	if c.Differ != 0 || c.First != nil || c.Records != int64(l.head()) || c.PolicyVersion != [2]uint64{l.base.Version, l.base.Version + 1} {
		t.Errorf("check %+v", c)
	}
	want := map[string]int64{"SecondFactorWaived": 1, "OptOutGranted": 1, "OptOutDenied": 1, "OptOutRevoked": 1}
	for _, n := range c.Decisions {
		if n.Checked != want[n.Type] || n.Differ != 0 {
			t.Errorf("%s: repeated %d, %d differ", n.Type, n.Checked, n.Differ)
		}
		delete(want, n.Type)
	}
	if len(want) > 0 {
		t.Errorf("not repeated: %v", want)
	}
	named := map[string]bool{}
	for _, n := range c.Named {
		named[n.Type] = true
	}
	for _, name := range []string{"AuthenticationSucceeded", "OptOutGranted", "OptOutDenied", "SecondFactorWaived"} {
		if !named[name] {
			t.Errorf("the policy named by %s was not checked", name)
		}
	}
	if named["OptOutRevoked"] || named["PolicyRulePublished"] {
		t.Errorf("I-3 does not speak of all of %v", c.Named)
	}
}

// changed is a log in which one event was replaced by another, or its metadata.
type changed struct {
	eventstore.Reader
	l    *ledger
	typ  string
	edit func(e domain.Event, m *codec.Metadata) domain.Event
}

func (c changed) ReadAll(ctx context.Context, from eventstore.Sequence) iter.Seq2[eventstore.Record, error] {
	return func(yield func(eventstore.Record, error) bool) {
		for r, err := range c.Reader.ReadAll(ctx, from) {
			if err == nil && r.Type == c.typ {
				d, _ := c.l.codec.Decode(r)
				e := c.edit(d.Event, &d.Meta)
				p, _ := c.l.codec.Encode(ctx, r.Stream, r.ID, e, d.Meta)
				r.Data, r.Metadata = p.Data, p.Metadata
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

// TestDifferencesAreFound: whatever part of a decision was altered, or was
// wrong from the start.
func TestDifferencesAreFound(t *testing.T) {
	t.Parallel()
	l, _ := deciding(t)
	granted := func(change func(*domain.OptOutGranted)) func(domain.Event, *codec.Metadata) domain.Event {
		return func(e domain.Event, _ *codec.Metadata) domain.Event {
			g := e.(domain.OptOutGranted)
			change(&g)
			return g
		}
	}
	for name, test := range map[string]struct {
		typ  string
		edit func(domain.Event, *codec.Metadata) domain.Event
		says string
	}{
		"another outcome":        {"OptOutGranted", granted(func(e *domain.OptOutGranted) { e.Decision.Outcome = "deny_opt_out" }), `outcome: recorded "deny_opt_out", computed "permit_opt_out"`},
		"another rule":           {"OptOutGranted", granted(func(e *domain.OptOutGranted) { e.Decision.DecisiveRuleID = "HK-2FA-1" }), "decisive rule"},
		"another rule's version": {"OptOutGranted", granted(func(e *domain.OptOutGranted) { e.Decision.RuleVersion = 2 }), `recorded "DEFAULT-1 v2", computed "DEFAULT-1 v1"`},
		"a rule that was left out": {"OptOutRevoked", func(e domain.Event, _ *codec.Metadata) domain.Event {
			r := e.(domain.OptOutRevoked)
			r.Decision.MatchedRuleIDs = r.Decision.MatchedRuleIDs[:1]
			return r
		}, "matched rules"},
		"an invented proposal": {"OptOutGranted", granted(func(e *domain.OptOutGranted) { e.Decision.ProposedIDs = []string{"JP-2FA-1"} }), "proposed rules"},
		"other facts":          {"OptOutGranted", granted(func(e *domain.OptOutGranted) { e.Decision.Facts.Residence = "HK" }), "granted, and the rules do not permit it"},
		"a missing fact":       {"OptOutGranted", granted(func(e *domain.OptOutGranted) { e.Decision.Facts.CarryingCC = "" }), `computed "incomplete"`},
		"another moment": {"OptOutDenied", func(e domain.Event, _ *codec.Metadata) domain.Event {
			d := e.(domain.OptOutDenied)
			d.Decision.AsOf = day("2020-01-01")
			return d
		}, "its reason is not what the rules say"},
		"an end no rule says":     {"OptOutGranted", granted(func(e *domain.OptOutGranted) { end := day("2030-01-01"); e.EndsAt = &end }), "its end is not the one its rule says"},
		"a policy that never was": {"OptOutGranted", granted(func(e *domain.OptOutGranted) { e.Decision.PolicyVersion = 99 }), "policy version 99, which did not exist"},
		"a later policy":          {"OptOutGranted", granted(func(e *domain.OptOutGranted) { e.Decision.PolicyVersion = 2 }), "policy version 2, which did not exist when it was recorded"},
		"two policies": {"OptOutDenied", func(e domain.Event, m *codec.Metadata) domain.Event {
			m.PolicyVersion = 1
			return e
		}, "its decision names policy version 2 and its metadata 1"},
		"a waiver by other rules": {"SecondFactorWaived", func(e domain.Event, _ *codec.Metadata) domain.Event {
			w := e.(domain.SecondFactorWaived)
			w.RuleIDs = nil
			return w
		}, "its rules are not those of its decision"},
		"a revocation nobody asked for": {"OptOutRevoked", func(e domain.Event, _ *codec.Metadata) domain.Event {
			r := e.(domain.OptOutRevoked)
			r.Decision.Facts.Residence = "CH"
			return r
		}, "revoked, and the rules do not deny it"},
		"a success under no policy": {"AuthenticationSucceeded", func(e domain.Event, m *codec.Metadata) domain.Event {
			m.PolicyVersion = 0
			return e
		}, "policy version 0, which did not exist when it was recorded; 1 was in force"},
		"a denial for a fact that was there": {"OptOutDenied", func(e domain.Event, _ *codec.Metadata) domain.Event {
			d := e.(domain.OptOutDenied)
			d.Reason = domain.ReasonFactsIncomplete
			return d
		}, "its reason is not what the facts say"},
	} {
		reader := changed{Reader: l.store, l: l, typ: test.typ, edit: test.edit}
		c := check(t, l, reader)
		if c.Differ != 1 || c.First == nil || c.First.Type != test.typ || !strings.Contains(strings.Join(c.First.Problems, "; "), test.says) {
			t.Errorf("%s: %d differ, first %+v; want it to say %q", name, c.Differ, c.First, test.says)
		}
		var out bytes.Buffer
		a := args(l, "", Table)
		a.Reader = reader
		if err := RunCheckDecisions(t.Context(), a, l.base, &out); !errors.Is(err, ErrDiffers) || !strings.Contains(out.String(), "FIRST DIFFERENCE") {
			t.Errorf("%s: the command ends with %v after\n%s", name, err, out.String())
		}
	}
}

// TestCrossingWithTheRuleBookIsNoDifference: a decision taken before a change
// was recorded, and recorded after it, is right; one taken after it is not.
func TestCrossingWithTheRuleBookIsNoDifference(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		decided           time.Duration // after the change was recorded
		differ, overtaken int64
	}{
		"decided before":               {-time.Microsecond, 0, 1},
		"decided when it was recorded": {0, 1, 0},
	} {
		l := newLedger(t)
		w := newMover(l, codec.UserIDOf(reference))
		stale := l.policy
		w.step(getSMS, true)
		w.step(logInSlowly, true)
		l.comply(domain.SetParameter{Parameter: "sms.cooldown_s", Value: 90, EffectiveFrom: "2020-01-01", Reason: "test"})
		l.now = l.now.Add(l.delay + test.decided)
		l.delay = time.Second
		l.policy = stale
		w.step(answer, true)
		c := check(t, l, l.store)
		if c.Differ != test.differ || c.Overtaken != test.overtaken {
			t.Errorf("%s: %d differ and %d were overtaken, want %d and %d: %+v", name, c.Differ, c.Overtaken, test.differ, test.overtaken, c.First)
		}
	}
}

// TestSunsetIsChecked: a grant with an end that its rule does say.
func TestSunsetIsChecked(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	l.now = day("2018-01-01")
	w := newMover(l, codec.UserIDOf(reference))
	l.must(domain.RecordResidence{UserID: w.id, To: "HK", EffectiveOn: "2018-01-01"}, domain.Facts{})
	w.step(optOut, true)
	if o := l.user(w.id).OptedOut(l.now); o == nil || o.EndsAt == nil {
		t.Fatal("no opt-out with an end")
	}
	if c := check(t, l, l.store); c.Differ != 0 {
		t.Errorf("difference %+v", c.First)
	}
	forever := changed{Reader: l.store, l: l, typ: "OptOutGranted", edit: func(e domain.Event, _ *codec.Metadata) domain.Event {
		g := e.(domain.OptOutGranted)
		g.EndsAt = nil
		return g
	}}
	if c := check(t, l, forever); c.Differ != 1 {
		t.Errorf("an opt-out without its end: %d differ", c.Differ)
	}
}

func TestCheckStopsAtWhatItCannotRead(t *testing.T) {
	t.Parallel()
	l, w := deciding(t)
	l.raw(domain.UserStream(w.id), []eventstore.Proposed{{ID: eventstore.EventIDOf(eventstore.EventID{1}, 0), Type: "PasskeyEnrolled", Schema: 1, Data: []byte("{}"), Metadata: []byte("{}")}}, nil)
	if _, err := CheckDecisions(t.Context(), l.store, codec.New(nil), l.base); !errors.Is(err, codec.ErrUnknownType) {
		t.Errorf("an unknown type: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := CheckDecisions(ctx, l.store, codec.New(nil), l.base); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context: %v", err)
	}
}
