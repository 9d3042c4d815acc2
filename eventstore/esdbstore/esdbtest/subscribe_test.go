package esdbtest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"github.com/authledger/authledger/eventstore/esdbstore/esdbtest"
)

// subscription is what the tests use of a catch-up subscription.
type subscription interface {
	Recv() *esdb.SubscriptionEvent
	Close() error
}

// follow writes down what a subscription sends until it has seen a given number
// of events and caught up: revisions, "c" for a checkpoint, "live".
func follow(t testing.TB, sub subscription, want int) string {
	t.Helper()
	var seen []string
	live := false
	for n := 0; n < want || !live; {
		switch e := sub.Recv(); {
		case e.SubscriptionDropped != nil:
			t.Fatalf("dropped after %v: %v", seen, e.SubscriptionDropped.Error)
		case e.CaughtUp != nil:
			live = true
			seen = append(seen, "live")
		case e.CheckPointReached != nil:
			seen = append(seen, "c")
		case e.EventAppeared != nil:
			n++
			seen = append(seen, fmt.Sprint(e.EventAppeared.Event.EventNumber))
		}
	}
	return strings.Join(seen, " ")
}

func subscribeAll(t testing.TB, c *esdb.Client, o esdb.SubscribeToAllOptions) *esdb.Subscription {
	t.Helper()
	sub, err := c.SubscribeToAll(within(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sub.Close() })
	return sub
}

func subscribeStream(t testing.TB, c *esdb.Client, stream string, from esdb.StreamPosition) *esdb.Subscription {
	t.Helper()
	sub, err := c.SubscribeToStream(within(t), stream, esdb.SubscribeToStreamOptions{From: from})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sub.Close() })
	return sub
}

func TestSubscribeToStream(t *testing.T) {
	t.Parallel()
	_, c := single(t)
	write(t, c, "user-1", esdb.NoStream{}, events(1, 3)...)
	start := subscribeStream(t, c, "user-1", esdb.Start{})
	after := subscribeStream(t, c, "user-1", esdb.Revision(1))
	end := subscribeStream(t, c, "user-1", esdb.End{})
	missing := subscribeStream(t, c, "user-2", esdb.Start{})
	for _, row := range []struct {
		sub  *esdb.Subscription
		n    int
		want string
	}{{start, 3, "0 1 2 live"}, {after, 1, "2 live"}, {end, 0, "live"}, {missing, 0, "live"}} {
		if got := follow(t, row.sub, row.n); got != row.want {
			t.Errorf("got %q, want %q", got, row.want)
		}
	}
	write(t, c, "user-1", esdb.Revision(2), event(4))
	write(t, c, "user-2", esdb.NoStream{}, event(5))
	for _, sub := range []*esdb.Subscription{start, after, end} {
		if e := sub.Recv(); e.EventAppeared == nil || e.EventAppeared.Event.EventNumber != 3 {
			t.Errorf("live event %+v, want revision 3", e)
		}
	}
	if e := missing.Recv(); e.EventAppeared == nil || e.EventAppeared.Event.EventNumber != 0 {
		t.Errorf("first event of a new stream: %+v", e)
	}
}

func TestSubscribeToAllWithFilter(t *testing.T) {
	t.Parallel()
	s, c := single(t) // the log begins with 3 events of the server
	for n := range 4 {
		write(t, c, "user-1", esdb.Any{}, event(n))
		s.Interleave(2)
	}
	user := s.Events("user-1")
	users := &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{"user-", "key-"}}
	for _, row := range []struct {
		name             string
		filter           *esdb.SubscriptionFilter
		window, interval int
		from             esdb.AllPosition
		n                int
		want             string
	}{
		// 3 foreign, then four times 1 of ours and 2 foreign: 15 in all.
		{"prefixes", users, 500, 1, esdb.Start{}, 4, "0 1 2 3 c live"},
		{"a checkpoint every 2 x 2", users, 2, 2, esdb.Start{}, 4, "0 c 1 c 2 c 3 c live"},
		{"after a position", users, 500, 1, esdb.Position{Commit: user[1].Position, Prepare: user[1].Position}, 2, "2 3 c live"},
		{"from the end", users, 500, 1, esdb.End{}, 0, "live"},
		{"regex", &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Regex: "^us.r-"}, 500, 1, esdb.Start{}, 4, "0 1 2 3 c live"},
		{"event type", &esdb.SubscriptionFilter{Type: esdb.EventFilterType, Prefixes: []string{"Cou"}}, 500, 1, esdb.Start{}, 4, "0 1 2 3 c live"},
		{"no match", &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{"none-"}}, 500, 1, esdb.Start{}, 0, "c live"},
	} {
		sub := subscribeAll(t, c, esdb.SubscribeToAllOptions{From: row.from, Filter: row.filter, MaxSearchWindow: row.window, CheckpointInterval: row.interval})
		if got := follow(t, sub, row.n); got != row.want {
			t.Errorf("%s: %q, want %q", row.name, got, row.want)
		}
	}
}

func TestSubscriptionGoesOnLive(t *testing.T) {
	t.Parallel()
	s, c := single(t)
	sub := subscribeAll(t, c, esdb.SubscribeToAllOptions{
		From: esdb.Start{}, MaxSearchWindow: 10, CheckpointInterval: 1,
		Filter: &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{"user-"}},
	})
	if got := follow(t, sub, 0); got != "c live" {
		t.Fatalf("start: %q", got)
	}
	s.Interleave(10)
	if e := sub.Recv(); e.CheckPointReached == nil || e.CheckPointReached.Commit != last(s).Position {
		t.Errorf("ten foreign events: %+v, want a checkpoint at the end", e)
	}
	for n := range 50 {
		write(t, c, "user-1", esdb.Any{}, event(n))
	}
	for n := 0; n < 50; {
		e := sub.Recv()
		if e.SubscriptionDropped != nil {
			t.Fatal(e.SubscriptionDropped.Error)
		}
		if e.EventAppeared == nil {
			continue
		}
		if got := e.EventAppeared.Event.EventNumber; got != uint64(n) {
			t.Fatalf("revision %d, want %d", got, n)
		}
		n++
	}
}

func TestUnfilteredSubscriptionSeesEverything(t *testing.T) {
	t.Parallel()
	s, c := single(t)
	s.Interleave(6)
	sub := subscribeAll(t, c, esdb.SubscribeToAllOptions{From: esdb.Start{}})
	for _, want := range s.Events("") {
		if e := sub.Recv(); e.EventAppeared == nil || e.EventAppeared.Event.StreamID != want.Stream {
			t.Fatalf("got %+v, want an event of %s", e, want.Stream)
		}
	}
	if e := sub.Recv(); e.CaughtUp == nil {
		t.Errorf("got %+v, want caught up and no checkpoint", e)
	}
}

func last(s *esdbtest.Server) esdbtest.Event {
	all := s.Events("")
	return all[len(all)-1]
}
