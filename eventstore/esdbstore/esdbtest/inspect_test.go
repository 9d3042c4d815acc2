package esdbtest_test

import (
	"context"
	"fmt"
	"log"
	"sync"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/go-cmp/cmp"

	"github.com/authledger/authledger/eventstore/esdbstore/esdbtest"
)

func TestCallsAreCountedByKind(t *testing.T) {
	t.Parallel()
	s, c := single(t)
	write(t, c, "user-1", esdb.NoStream{}, event(1))
	if _, err := drain(first(c.ReadStream(leader(within(t)), "user-1", esdb.ReadStreamOptions{}, 1))); err != nil {
		t.Fatal(err)
	}
	if _, err := readStream(t, c, "user-1", esdb.ReadStreamOptions{RequiresLeader: true}, 1); err != nil {
		t.Fatal(err)
	}
	follow(t, subscribeStream(t, c, "user-1", esdb.End{}), 0)
	if _, err := c.DeleteStream(within(t), "user-1", esdb.DeleteStreamOptions{ExpectedRevision: esdb.Revision(0)}); err != nil {
		t.Fatal(err)
	}
	want := map[esdbtest.Call]int{
		{Method: "ServerFeatures/GetSupportedMethods"}:    1,
		{Method: "Streams/Append", Expected: "no_stream"}: 1,
		{Method: "Streams/Read", RequiresLeader: true}:    1,
		{Method: "Streams/Read"}:                          1, // the client's option does not reach the wire
		{Method: "Streams/Subscribe"}:                     1,
		{Method: "Streams/Delete", Expected: "revision"}:  1,
	}
	if diff := cmp.Diff(want, s.CallKinds()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	if got := s.Calls()["Streams/Read"]; got != 2 {
		t.Errorf("%d reads, want 2", got)
	}
}

// TestConcurrentWriters: of writers at one revision one wins, and a subscriber
// sees every event once, in order.
func TestConcurrentWriters(t *testing.T) {
	t.Parallel()
	s := cluster(t)
	const writers, rounds = 4, 25
	sub := subscribeAll(t, connect(t, s.URL()), esdb.SubscribeToAllOptions{
		From: esdb.End{}, Filter: &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{"user-"}}, MaxSearchWindow: 5,
	})
	var running sync.WaitGroup
	wins := make([]int, writers)
	for w := range writers {
		c := to(t, s, w%3)
		running.Go(func() {
			expected := esdb.ExpectedRevision(esdb.NoStream{})
			for round := range rounds {
				_, err := c.AppendToStream(t.Context(), "user-1", esdb.AppendToStreamOptions{ExpectedRevision: expected}, event(100*w+round))
				if err == nil {
					wins[w]++
				} else if code(err) != conflict {
					t.Errorf("writer %d: %v", w, err)
				}
				s.Interleave(1)
				expected = esdb.Revision(uint64(round))
			}
		})
	}
	running.Wait()
	total := 0
	for _, n := range wins {
		total += n
	}
	if total != rounds || len(s.Events("user-1")) != rounds {
		t.Fatalf("%d appends won, %d events, want %d", total, len(s.Events("user-1")), rounds)
	}
	for n := 0; n < rounds; {
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

// TestTimeoutsWhileFrozen: messages that time out before they are sent are
// given out again without end and without harm.
func TestTimeoutsWhileFrozen(t *testing.T) {
	t.Parallel()
	var at clock
	s := esdbtest.Start(t, esdbtest.Options{Clock: at.now})
	c := connect(t, s.URL())
	group(t, c, func(s *esdb.PersistentSubscriptionSettings) { s.MessageTimeout, s.MaxRetryCount = 1000, 1000 })
	sub := join(t, c, 2)
	s.Freeze()
	for range 5 {
		put(t, s, "user-1", "Asked", "{}")
	}
	for range 50 {
		at.advance(time.Second)
		s.Tick()
	}
	s.Thaw()
	acknowledged := map[uint64]bool{}
	for len(acknowledged) < 5 {
		e := sub.Recv()
		if e.EventAppeared == nil {
			t.Fatal(e.SubscriptionDropped.Error)
		}
		ack(t, sub, e.EventAppeared.Event)
		acknowledged[e.EventAppeared.Event.Event.EventNumber] = true
	}
	settle(t, c, "all acknowledged", idle)
}

func ExampleNew() {
	s, err := esdbtest.New(esdbtest.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	config, err := esdb.ParseConnectionString(s.URL())
	if err != nil {
		log.Fatal(err)
	}
	config.Logger = nil
	client, err := esdb.NewClient(config)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	s.DropAnswers(1) // written, but the caller never hears of it
	options := esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}}
	asked := esdb.EventData{EventID: event(1).EventID, EventType: "Asked", ContentType: esdb.ContentTypeJson, Data: []byte(`{}`)}
	_, err = client.AppendToStream(context.Background(), "user-1", options, asked)
	fmt.Println("first try failed:", err != nil)
	result, err := client.AppendToStream(context.Background(), "user-1", options, asked)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("the same again: revision", result.NextExpectedVersion, "of", len(s.Events("user-1")), "event")
	// Output:
	// first try failed: true
	// the same again: revision 0 of 1 event
}
