package esdbtest_test

import (
	"context"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/metadata"

	"github.com/authledger/authledger/eventstore/esdbstore/esdbtest"
)

// leader adds the header the client forgets to send.
func leader(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "requires-leader", "true")
}

func cluster(t testing.TB) *esdbtest.Server {
	t.Helper()
	return esdbtest.Start(t, esdbtest.Options{Members: 3})
}

// to connects to one member, without discovery.
func to(t testing.TB, s *esdbtest.Server, member int) *esdb.Client {
	t.Helper()
	return connect(t, s.URLAt(s.Address(member)))
}

// eventually repeats a call the client has to reconnect for.
func eventually(t testing.TB, what string, do func(context.Context) error) {
	t.Helper()
	ctx := within(t)
	for {
		err := do(ctx)
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
}

func appendOne(c *esdb.Client, stream string, expected esdb.ExpectedRevision, n int) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := c.AppendToStream(leader(ctx), stream, esdb.AppendToStreamOptions{ExpectedRevision: expected}, event(n))
		return err
	}
}

func TestDiscoveryFindsTheLeader(t *testing.T) {
	t.Parallel()
	s := cluster(t)
	s.MoveLeader()
	s.RotateGossip(true)
	for n := range 6 {
		c := connect(t, s.URL())
		if _, err := c.AppendToStream(leader(within(t)), "user-1", esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, event(n)); err != nil {
			t.Fatalf("the first call went to a member that does not lead: %v", err)
		}
	}
	if calls := s.Calls(); calls["Gossip/Read"] < 6 || calls["ServerFeatures/GetSupportedMethods"] != 6 {
		t.Errorf("calls %v", calls)
	}
}

func TestFollowerRedirects(t *testing.T) {
	t.Parallel()
	s := cluster(t)
	c := to(t, s, 1)
	_, err := c.AppendToStream(leader(within(t)), "user-1", esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}}, event(1))
	wantCode(t, "append at a follower", err, esdb.ErrorCodeNotLeader)
	if len(s.Events("user-1")) != 0 {
		t.Error("written all the same")
	}
	eventually(t, "append at the leader", appendOne(c, "user-1", esdb.NoStream{}, 1))
	got, err := drain(first(c.ReadStream(leader(within(t)), "user-1", esdb.ReadStreamOptions{}, 1)))
	if err != nil || len(got) != 1 {
		t.Errorf("read at the leader: %d, %v", len(got), err)
	}
	if n := s.CallKinds()[esdbtest.Call{Method: "Streams/Append", RequiresLeader: true, Expected: "no_stream"}]; n != 2 {
		t.Errorf("%d appends with the header arrived, want 2: %v", n, s.CallKinds())
	}
}

// first drops the error of opening a read, which comes again from the read.
func first(r *esdb.ReadStream, err error) *esdb.ReadStream {
	if err != nil {
		panic(err)
	}
	return r
}

func TestFollowerServesStaleReadsAndForwardsWrites(t *testing.T) {
	t.Parallel()
	s := cluster(t)
	lead, follower := to(t, s, 0), to(t, s, 1)
	write(t, lead, "user-1", esdb.NoStream{}, events(1, 3)...)
	s.Lag(1, 2)
	expect := func(c *esdb.Client, want string) {
		t.Helper()
		if got, err := readStream(t, c, "user-1", esdb.ReadStreamOptions{}, 10); err != nil || revisions(got) != want {
			t.Errorf("read %s, %v, want %s", revisions(got), err, want)
		}
	}
	expect(lead, "[0 1 2]")
	expect(follower, "[0]")
	sub := subscribeStream(t, follower, "user-1", esdb.Start{})
	if got := follow(t, sub, 1); got != "0 live" {
		t.Errorf("subscription at the follower: %s", got)
	}
	write(t, follower, "user-1", esdb.Revision(2), event(4)) // forwarded
	expect(lead, "[0 1 2 3]")
	expect(follower, "[0 1]")
	s.Lag(1, 0)
	expect(follower, "[0 1 2 3]")
	for want := range uint64(3) {
		if e := sub.Recv(); e.EventAppeared == nil || e.EventAppeared.Event.EventNumber != want+1 {
			t.Fatalf("after catching up: %+v, want revision %d", e, want+1)
		}
	}
}

func TestLeaderMovesAndMembersStop(t *testing.T) {
	t.Parallel()
	s := cluster(t)
	c := connect(t, s.URL())
	write(t, c, "user-1", esdb.NoStream{}, event(1))
	if to := s.MoveLeader(); to != 1 || s.Leader() != 1 {
		t.Fatalf("member %d leads, want 1", to)
	}
	eventually(t, "append after the move", appendOne(c, "user-1", esdb.Revision(0), 2))
	s.StopMember(1)
	if got := s.Leader(); got != 2 {
		t.Fatalf("member %d leads after the leader stopped, want 2", got)
	}
	eventually(t, "append after the leader stopped", appendOne(c, "user-1", esdb.Revision(1), 3))
	s.StopMember(2)
	if got := s.Leader(); got != -1 {
		t.Fatalf("member %d leads without a majority", got)
	}
	alone := to(t, s, 0)
	_, err := alone.AppendToStream(within(t), "user-1", esdb.AppendToStreamOptions{ExpectedRevision: esdb.Revision(2)}, event(4))
	wantCode(t, "append without a leader", err, esdb.ErrorUnavailable)
	if err := s.StartMember(1); err != nil {
		t.Fatal(err)
	}
	if got := s.Leader(); got < 0 {
		t.Fatal("nobody leads although two of three run")
	}
	eventually(t, "append after the return", appendOne(c, "user-1", esdb.Revision(2), 4))
	if n := len(s.Events("user-1")); n != 4 {
		t.Errorf("%d events, want 4", n)
	}
	if err := s.StartMember(1); err == nil {
		t.Error("a running member was started")
	}
}

func TestAdvertisedAddress(t *testing.T) {
	t.Parallel()
	s := cluster(t)
	p := esdbtest.StartProxy(t, s.Address(0))
	s.Advertise(0, p.Address())
	c := to(t, s, 1)
	_, err := c.AppendToStream(leader(within(t)), "user-1", esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}}, event(1))
	wantCode(t, "append at a follower", err, esdb.ErrorCodeNotLeader)
	eventually(t, "append through the proxy", appendOne(c, "user-1", esdb.NoStream{}, 1))
	p.Hole()
	ctx, cancel := context.WithTimeout(within(t), short)
	defer cancel()
	_, err = c.AppendToStream(leader(ctx), "user-1", esdb.AppendToStreamOptions{ExpectedRevision: esdb.Revision(0)}, event(2))
	wantCode(t, "append through a proxy that forwards nothing", err, esdb.ErrorCodeDeadlineExceeded)
}
