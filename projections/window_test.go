package projections

import (
	"context"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/memstore"
)

// crossing gives records times as several nodes with clocks of their own stamp
// them, up to spread apart: back between streams, and never within one.
func crossing(log []eventstore.Record, spread time.Duration, draw func(most int) int) []eventstore.Record {
	out, last := slices.Clone(log), map[string]time.Time{}
	for i := range out {
		r := &out[i]
		r.RecordedAt = r.RecordedAt.Add(-time.Duration(draw(int(spread/time.Microsecond))) * time.Microsecond)
		if r.RecordedAt.Before(last[r.Stream]) {
			r.RecordedAt = last[r.Stream]
		}
		last[r.Stream] = r.RecordedAt
	}
	return out
}

// A time window holds exactly the records of its time, in the order of the log,
// however far times cross.
func TestWindowsOfACrossingLogAreExact(t *testing.T) {
	t.Parallel()
	crossed := false
	rapid.Check(t, func(rt *rapid.T) {
		draw := func(most int) int { return rapid.IntRange(0, most).Draw(rt, "n") }
		w := newWorld(t)
		s := newStories(w, 3, func(n int) int { return draw(n - 1) })
		s.arrive()
		for range 1 + draw(9) {
			s.episode()
		}
		spreads := []time.Duration{0, time.Millisecond, 5 * time.Second, time.Minute, 400 * 24 * time.Hour}
		w.log = crossing(w.log, spreads[draw(len(spreads)-1)], draw)
		v := w.open(w.options())
		defer func() { _ = v.Close() }()
		for left := w.log; len(left) > 0; { // in batches, which no window may depend on
			n := min(1+draw(80), len(left))
			if err := v.Apply(context.Background(), left[:n]); err != nil {
				rt.Fatal(err)
			}
			left = left[n:]
		}
		crossed = crossed || v.write.at.back > 0
		for range 6 {
			windowAgrees(rt, w, v, draw)
		}
	})
	if !crossed {
		t.Error("no log crossed, so this proves nothing")
	}
}

// windowAgrees draws a listing and compares all its pages with a filter over
// the whole log.
func windowAgrees(rt *rapid.T, w *world, v *Views, draw func(int) int) {
	l := Listing{Descending: draw(1) == 1, Limit: 1 + draw(30), At: eventstore.Sequence(draw(len(w.log)))}
	moment := func() time.Time { // the time of a record, or just beside it
		return w.log[draw(len(w.log)-1)].RecordedAt.Add(time.Duration(draw(2)-1) * time.Microsecond)
	}
	if draw(3) > 0 {
		l.Since = moment()
	}
	if draw(3) > 0 {
		l.Until = moment()
	}
	f := EventFilter{Listing: l}
	switch draw(2) {
	case 1:
		f.Types = []string{"AuthenticationStarted", "ChallengeIssued"}
	case 2:
		f.Subject = domain.UserID(key(draw(2)))
	}
	inside := func(r eventstore.Record) bool {
		return (l.At == 0 || r.Sequence <= l.At) && (l.Since.IsZero() || !r.RecordedAt.Before(l.Since)) &&
			(l.Until.IsZero() || r.RecordedAt.Before(l.Until))
	}
	order := func(seqs []eventstore.Sequence) []eventstore.Sequence {
		if l.Descending {
			slices.Reverse(seqs)
		}
		return seqs
	}

	whole, timeless := f, f
	timeless.Listing = Listing{Limit: MaxLimit, At: l.At}
	var want []eventstore.Sequence
	for _, seq := range eventPages(rt, v, timeless) {
		if inside(w.log[seq-1]) {
			want = append(want, seq)
		}
	}
	if got := eventPages(rt, v, whole); !slices.Equal(got, order(want)) {
		rt.Fatalf("events of %+v: got %v, want %v", f, got, want)
	}

	user := domain.UserID(key(draw(2)))
	want = nil
	for _, seq := range transactionPages(rt, v, TransactionFilter{Listing: timeless.Listing, UserID: user}) {
		if inside(w.log[seq-1]) {
			want = append(want, seq)
		}
	}
	if got := transactionPages(rt, v, TransactionFilter{Listing: l, UserID: user}); !slices.Equal(got, order(want)) {
		rt.Fatalf("transactions of %s in %+v: got %v, want %v", user, l, got, want)
	}
}

func eventPages(rt *rapid.T, v *Views, f EventFilter) []eventstore.Sequence {
	var out []eventstore.Sequence
	for {
		page, err := v.Events(context.Background(), f)
		if err != nil {
			rt.Fatal(err)
		}
		for _, e := range page.Items {
			out = append(out, e.Sequence)
		}
		if f.After = page.Next; f.After.IsZero() {
			return out
		}
	}
}

func transactionPages(rt *rapid.T, v *Views, f TransactionFilter) []eventstore.Sequence {
	var out []eventstore.Sequence
	for {
		page, err := v.Transactions(context.Background(), f)
		if err != nil {
			rt.Fatal(err)
		}
		for _, x := range page.Items {
			out = append(out, x.Started.Sequence)
		}
		if f.After = page.Next; f.After.IsZero() {
			return out
		}
	}
}

// The views of two nodes that follow one log show the same, whatever the nodes'
// clocks say.
func TestNodesOfALogShowTheSame(t *testing.T) {
	t.Parallel()
	w := town(t)
	store := memstore.New(func() time.Time { return w.now })
	defer func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}()
	at := dawn
	nodes := []*memstore.Node{
		store.Node(func() time.Time { return at }, 5*time.Second),
		store.Node(func() time.Time { return at.Add(-4 * time.Second) }, 5*time.Second),
	}
	heads := map[string]eventstore.Expected{}
	for i, r := range w.log {
		at = at.Add(300 * time.Millisecond)
		const prev = len(`{"prev":"",`) + 64
		a, err := nodes[i%2].Append(t.Context(), r.Stream, heads[r.Stream], []eventstore.Proposed{{
			ID: r.ID, Type: r.Type, Schema: r.Schema, Data: r.Data, Metadata: append([]byte(`{`), r.Metadata[prev:]...),
		}})
		if err != nil {
			t.Fatal(err)
		}
		heads[r.Stream] = eventstore.At(a.Last().Revision, a.Last().Leaf)
	}
	w.log = nil
	for r, err := range store.ReadAll(t.Context(), 1) {
		if err != nil {
			t.Fatal(err)
		}
		w.log = append(w.log, r)
	}
	one, other := w.views(), w.open(w.options())
	for i := range w.log {
		if err := other.Apply(t.Context(), w.log[i:i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if one.write.at.back == 0 || one.write.at != other.write.at {
		t.Errorf("one node stands at %+v, the other at %+v", one.write.at, other.write.at)
	}
	a, _, err := one.Hash(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if b, _, err := other.Hash(t.Context()); err != nil || a != b {
		t.Errorf("hashes are %s and %s, %v", a, b, err)
	}
	l := Listing{Since: w.log[len(w.log)/3].RecordedAt, Until: w.log[len(w.log)/2].RecordedAt, Limit: MaxLimit}
	page, err := one.Events(t.Context(), EventFilter{Listing: l})
	if err != nil {
		t.Fatal(err)
	}
	want := 0
	for _, r := range w.log {
		if !r.RecordedAt.Before(l.Since) && r.RecordedAt.Before(l.Until) {
			want++
		}
	}
	if again, err := other.Events(t.Context(), EventFilter{Listing: l}); err != nil || want == 0 || len(page.Items) != want || !slices.Equal(page.Items, again.Items) {
		t.Errorf("the window holds %d events here, want %d, and %d there, %v", len(page.Items), want, len(again.Items), err)
	}
}

// A file remembers how far time went back, for windows after a restart.
func TestViewsRememberHowFarTimeWentBack(t *testing.T) {
	t.Parallel()
	w := town(t)
	late := len(w.log) - 1
	for w.log[late].Revision != 0 { // the first of its stream may have any time
		late--
	}
	w.log = slices.Clone(w.log)
	w.log[late].RecordedAt = w.log[late].RecordedAt.Add(-time.Minute)
	o := w.options()
	v := w.open(o)
	w.apply(v)
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	v = w.open(o)
	r := w.log[late]
	page, err := v.Events(t.Context(), EventFilter{Listing: Listing{Since: r.RecordedAt, Until: r.RecordedAt.Add(time.Microsecond)}})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(page.Items, func(e EventRow) bool { return e.Sequence == r.Sequence }) {
		t.Errorf("the window of record %d does not have it: %+v", r.Sequence, page.Items)
	}
}

func TestReckoningWithAnyTime(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ got, want int64 }{
		{earlier(5, 7), -2}, {earlier(startOfAll+1, 2), startOfAll}, {earlier(startOfAll, endOfTime), startOfAll},
		{later(5, 7), 12}, {later(endOfTime-1, 2), endOfTime}, {distance(-3, 4), 7}, {distance(startOfAll, endOfTime), endOfTime},
	} {
		if c.got != c.want {
			t.Errorf("got %d, want %d", c.got, c.want)
		}
	}
}
