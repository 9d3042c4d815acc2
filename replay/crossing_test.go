package replay

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/memstore"
	"github.com/authledger/authledger/eventstore/merkle/merkletest"
)

// crossed is a log that nodes with clocks of their own append to.
type crossed struct {
	t      fataler
	now    time.Time       // by the right clock
	skew   []time.Duration // of the nodes' clocks
	store  *memstore.Store
	nodes  []*memstore.Node
	codec  *codec.Codec
	notary *merkletest.Notary
	last   map[string]eventstore.Expected
	log    []eventstore.Record
	rules  int
}

func newCrossed(t *testing.T, f fataler, disorder time.Duration, skew ...time.Duration) *crossed {
	c := &crossed{
		t: f, now: noon, skew: skew, codec: codec.New(boxer{}), notary: merkletest.New(t, testOrigin, 1), last: map[string]eventstore.Expected{},
	}
	c.store = memstore.New(func() time.Time { return c.now })
	for i := range skew {
		c.nodes = append(c.nodes, c.store.Node(func() time.Time { return c.now.Add(c.skew[i]) }, disorder))
	}
	return c
}

// add appends one event through a node.
func (c *crossed) add(node int, stream string, e domain.Event) {
	c.t.Helper()
	ctx, id := context.Background(), uuid.NewSHA1(uuid.Nil, fmt.Appendf(nil, "%d", len(c.log)))
	p, err := c.codec.Encode(ctx, stream, id, e, codec.Metadata{
		CommandID: id, Command: "Test", Digest: "d", Count: 1, OccurredAt: c.now.Add(c.skew[node]),
		Actor: domain.Actor{Kind: domain.ActorClient, Ref: "login-frontend"}, PolicyVersion: 1,
	})
	if err != nil {
		c.t.Fatal(err)
	}
	a, err := c.nodes[node].Append(ctx, stream, c.last[stream], []eventstore.Proposed{p})
	if err != nil {
		c.t.Fatal(err)
	}
	c.last[stream] = eventstore.At(a.Last().Revision, a.Last().Leaf)
	c.notary.Grow(a.Last().Leaf)
	r, err := c.store.ByID(ctx, p.ID)
	if err != nil {
		c.t.Fatal(err)
	}
	c.log = append(c.log, r)
}

func crossedUser(n int) string { return codec.UserIDOf(fmt.Sprintf("crossed %d", n)) }

// toggle appends an event to a user's stream, which it begins.
func (c *crossed) toggle(node, n int) {
	c.t.Helper()
	stream := domain.UserStream(crossedUser(n))
	var e domain.Event = domain.SeamlessEnabled{}
	if next := c.last[stream].Next(); next == 0 {
		e = domain.UserRegistered{UserID: crossedUser(n), ClientID: domain.ClientID("crossedclientcrossedclient"), Role: "primary", Locale: "en"}
	} else if next%2 == 0 {
		e = domain.SeamlessDisabled{}
	}
	c.add(node, stream, e)
}

// rule appends a change of the rule book.
func (c *crossed) rule(node int) {
	c.t.Helper()
	c.rules++
	r := lawSG(1, domain.EffectDeny, "2018-01-01")
	r.ID = fmt.Sprintf("SG-2FA-%d", 100+c.rules)
	c.add(node, domain.PolicyStream(), domain.PolicyRulePublished{RuleRow: r})
}

// back is how far time goes back in the log.
func (c *crossed) back() (most time.Duration) {
	var newest time.Time
	for _, r := range c.log {
		if r.RecordedAt.After(newest) {
			newest = r.RecordedAt
		}
		most = max(most, newest.Sub(r.RecordedAt))
	}
	return most
}

// A cut by time holds exactly the records of its time, on every node.
func TestCutsOfACrossingLogAreExact(t *testing.T) {
	t.Parallel()
	base, err := domain.LoadPolicy()
	if err != nil {
		t.Fatal(err)
	}
	most := time.Duration(0)
	rapid.Check(t, func(rt *rapid.T) {
		draw := func(n int) int { return rapid.IntRange(0, n).Draw(rt, "n") }
		c := newCrossed(t, rt, 5*time.Second, 0, -time.Duration(draw(5000))*time.Millisecond, -time.Duration(draw(5000))*time.Millisecond)
		for range 5 + draw(40) {
			c.now = c.now.Add(time.Duration(draw(1500)) * time.Millisecond)
			if draw(5) == 0 {
				c.rule(draw(2))
			} else {
				c.toggle(draw(2), draw(2))
			}
		}
		most = max(most, c.back())
		for range 5 {
			at := c.log[draw(len(c.log)-1)].RecordedAt.Add(time.Duration(draw(2)-1) * time.Microsecond)
			c.cut(rt, base, at, crossedUser(draw(2)), draw(2))
		}
	})
	if most < time.Second {
		t.Errorf("no log crosses by more than %v, so this proves nothing", most)
	}
}

// cut compares what a node answers as of a moment with a filter over the log.
func (c *crossed) cut(rt *rapid.T, base *domain.Policy, at time.Time, userID string, node int) {
	ctx, reader := context.Background(), c.nodes[node]
	var rules uint64
	var known, shown []eventstore.Sequence
	for _, r := range c.log {
		switch {
		case r.Stream == domain.PolicyStream() && !r.RecordedAt.After(at):
			rules++
		case r.Stream == domain.UserStream(userID) && !r.RecordedAt.After(at):
			known = append(known, r.Sequence)
		}
		if r.Stream == domain.UserStream(userID) && !r.RecordedAt.Before(at) {
			shown = append(shown, r.Sequence)
		}
	}
	if book, err := RulesAt(ctx, reader, c.codec, base, AtTime(at)); err != nil || book.PolicyVersion != base.Version+rules {
		rt.Fatalf("at %v: policy version %d, %v; want %d", at, book.PolicyVersion, err, base.Version+rules)
	}
	if !c.last[domain.UserStream(userID)].Exists() {
		return
	}
	if f, err := FoldUser(ctx, reader, c.codec, userID, AtTime(at)); err != nil || f.Events != len(known) {
		rt.Fatalf("at %v: %d events, %v; want %v", at, f.Events, err, known)
	}
	for filter, want := range map[*Filter][]eventstore.Sequence{{To: AtTime(at)}: known, {From: AtTime(at)}: shown} {
		var got []eventstore.Sequence
		for e, err := range Timeline(ctx, reader, c.codec, userID, *filter) {
			if err != nil {
				rt.Fatal(err)
			}
			got = append(got, e.Sequence)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatalf("timeline %+v (-want +got):\n%s", *filter, diff)
		}
	}
}

// What verify log says of times that go back.
func TestVerifyLogOfACrossingLog(t *testing.T) {
	t.Parallel()
	const disorder = 5 * time.Second
	for name, c := range map[string]struct {
		happen func(c *crossed)
		strict bool // verify as the log of one process
		want   []Mechanism
		late   uint64
	}{
		"streams cross within the disorder": {func(c *crossed) {
			c.toggle(0, 0)
			c.skew[1] = -disorder
			c.toggle(1, 1)
			c.toggle(0, 0)
		}, false, []Mechanism{}, 0},
		"the same, of one process": {func(c *crossed) {
			c.toggle(0, 0)
			c.skew[1] = -time.Microsecond
			c.toggle(1, 1)
		}, true, []Mechanism{ByTime}, 0},
		"a record was long under way": {func(c *crossed) {
			c.toggle(0, 0)
			c.skew[1] = -disorder - time.Microsecond
			c.toggle(1, 1)
			c.skew[1] = -eventstore.LateLimit
			c.toggle(1, 2)
			c.toggle(0, 0)
		}, false, []Mechanism{}, 2},
		"too long": {func(c *crossed) {
			c.toggle(0, 0)
			c.skew[1] = -eventstore.LateLimit - time.Microsecond
			c.toggle(1, 1)
		}, false, []Mechanism{ByTime}, 0},
		"small steps back add up": {func(c *crossed) {
			for i := range 30 {
				c.skew[1] = -time.Duration(i) * 4 * time.Second
				c.toggle(1, i)
			}
		}, false, []Mechanism{ByTime}, 14},
		"a record is older than a checkpoint before it": {func(c *crossed) {
			c.toggle(0, 0)
			c.now = c.now.Add(time.Minute)
			c.notary.Publish(c.now)
			c.skew[1] = -clockAllowance
			c.toggle(1, 1)
			c.skew[1] = -clockAllowance - time.Microsecond
			c.toggle(1, 2)
		}, false, []Mechanism{}, 1},
		"by more than a minute": {func(c *crossed) {
			c.toggle(0, 0)
			c.now = c.now.Add(time.Hour)
			c.notary.Publish(c.now)
			c.skew[1] = -eventstore.LateLimit - time.Microsecond
			c.toggle(1, 1)
		}, false, []Mechanism{ByTime}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newCrossed(t, t, disorder, 0, 0)
			c.happen(w)
			w.now = w.now.Add(time.Second)
			w.notary.Publish(w.now)
			check := LogCheck{Records: Plain(w.nodes[0]), History: w.notary, Codec: codec.New(nil), Disorder: disorder}
			if c.strict {
				check.Records, check.Disorder = Plain(oneProcess{w.store}), 0
			}
			r := verified(t, check)
			if diff := cmp.Diff(c.want, mechanisms(r)); diff != "" || r.Late != c.late {
				t.Fatalf("%d late, want %d; mechanisms (-want +got):\n%s\n%+v", r.Late, c.late, diff, r)
			}
			if remarks := strings.Count(strings.Join(r.Findings, "\n"), "came late"); remarks != int(c.late) {
				t.Errorf("%d late records, and %d remarks: %q", c.late, remarks, r.Findings)
			}
			check.Disorder = 24 * time.Hour // what a forged log may declare
			if again := verified(t, check); name == "too long" && again.Failed == 0 {
				t.Error("a log that declares a larger disorder may go back further")
			}
		})
	}
}

// oneProcess hides whose log it is.
type oneProcess struct{ eventstore.Reader }

// sliceReader reads other records than its log's.
type sliceReader struct {
	eventstore.Reader
	log []eventstore.Record
}

func (s sliceReader) ReadAll(_ context.Context, from eventstore.Sequence) iter.Seq2[eventstore.Record, error] {
	return func(yield func(eventstore.Record, error) bool) {
		for _, r := range s.log[from-1:] {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// Within a stream time never goes back, however far streams cross.
func TestVerifyLogOfAStreamThatGoesBack(t *testing.T) {
	t.Parallel()
	w := newCrossed(t, t, 5*time.Second, 0)
	for range 3 {
		w.now = w.now.Add(time.Second)
		w.toggle(0, 0)
	}
	w.log[2].RecordedAt = w.log[1].RecordedAt.Add(-time.Microsecond)
	notary := merkletest.New(t, testOrigin, 1)
	for _, r := range w.log {
		notary.Grow(r.Leaf())
	}
	notary.Publish(w.now)
	r := verified(t, LogCheck{Records: Plain(sliceReader{w.store, w.log}), History: notary, Codec: codec.New(nil), Disorder: 5 * time.Second})
	if diff := cmp.Diff([]Mechanism{ByTime}, mechanisms(r)); diff != "" || r.Failures[0].Sequence != 3 {
		t.Errorf("mechanisms (-want +got):\n%s\n%+v", diff, r.Failures)
	}
}

// A log says of itself how far time goes back.
func TestVerifyLogAsksTheLogForItsDisorder(t *testing.T) {
	t.Parallel()
	w := newCrossed(t, t, 5*time.Second, 0, -5*time.Second)
	w.toggle(0, 0)
	w.toggle(1, 1)
	w.notary.Publish(w.now)
	if r := verified(t, LogCheck{Records: Plain(w.nodes[0]), History: w.notary, Codec: codec.New(nil)}); r.Failed != 0 || r.Late != 0 {
		t.Errorf("%+v", r)
	}
}

// Many late records are counted, and the first are named.
func TestLateRecordsAreCounted(t *testing.T) {
	t.Parallel()
	w := newCrossed(t, t, 5*time.Second, 0, -30*time.Second)
	w.toggle(0, 0)
	for i := range 7 {
		w.toggle(1, 1+i)
	}
	w.notary.Publish(w.now)
	r := verified(t, LogCheck{Records: Plain(w.nodes[0]), History: w.notary, Codec: codec.New(nil), Most: 3, Disorder: 5 * time.Second})
	named := 0
	for _, f := range r.Findings {
		if strings.Contains(f, "in user-") && strings.Contains(f, "came late") {
			named++
		}
	}
	if r.Failed != 0 || r.Late != 7 || named != 3 || !strings.Contains(strings.Join(r.Findings, "\n"), "4 records more came late") {
		t.Errorf("%d failures, %d late, findings %q", r.Failed, r.Late, r.Findings)
	}
}

// An event decided by a policy whose successor another node dated earlier by no
// more than clocks may differ, and rules may be known late, is overtaken and no
// difference.
func TestDecisionsCrossChangesOfTheRuleBook(t *testing.T) {
	t.Parallel()
	base, err := domain.LoadPolicy()
	if err != nil {
		t.Fatal(err)
	}
	for skew, want := range map[time.Duration]Check{
		4 * time.Second: {Overtaken: 1},
		5*time.Second + domain.MaxRuleAge - time.Microsecond: {Overtaken: 1},
		5*time.Second + domain.MaxRuleAge:                    {Differ: 1},
	} {
		w := newCrossed(t, t, 5*time.Second, 0, skew)
		w.rule(0)
		w.add(1, domain.UserStream(crossedUser(0)), domain.AuthenticationSucceeded{})
		c, err := CheckDecisions(t.Context(), w.nodes[0], w.codec, base)
		if err != nil {
			t.Fatal(err)
		}
		if c.Overtaken != want.Overtaken || c.Differ != want.Differ {
			t.Errorf("a clock %v ahead: %d overtaken, %d differ; want %d, %d", skew, c.Overtaken, c.Differ, want.Overtaken, want.Differ)
		}
	}
}
