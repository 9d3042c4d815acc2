package esdbtest_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/authledger/authledger/eventstore/esdbstore/esdbtest"
)

// dial connects without the client, for what it hides or never sends.
func dial(t testing.TB, address string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return conn
}

func TestGossip(t *testing.T) {
	t.Parallel()
	s := cluster(t)
	s.MoveLeader()
	s.StopMember(2)
	ask := func() (states, order []string) {
		t.Helper()
		info, err := gossip.NewGossipClient(dial(t, s.Address(0))).Read(within(t), &shared.Empty{})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range info.Members {
			alive := map[bool]string{true: " alive", false: " dead"}[m.IsAlive]
			states = append(states, m.State.String()+alive)
			order = append(order, m.InstanceId.String())
		}
		return states, order
	}
	states, before := ask()
	if diff := cmp.Diff([]string{"Follower alive", "Leader alive", "Shutdown dead"}, states); diff != "" {
		t.Errorf("members (-want +got):\n%s", diff)
	}
	s.RotateGossip(true)
	_, first := ask()
	_, second := ask()
	if cmp.Equal(first, second) || len(second) != len(before) {
		t.Errorf("orders %v, %v: want different ones", first, second)
	}
}

func appendRaw(t testing.TB, conn *grpc.ClientConn, ctx context.Context, messages ...*streams.AppendReq) (metadata.MD, error) {
	t.Helper()
	call, err := streams.NewStreamsClient(conn).Append(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range messages {
		if err := call.Send(m); err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
	}
	_, err = call.CloseAndRecv()
	return call.Trailer(), err
}

func appendOptions(stream string) *streams.AppendReq {
	return &streams.AppendReq{Content: &streams.AppendReq_Options_{Options: &streams.AppendReq_Options{
		StreamIdentifier:       &shared.StreamIdentifier{StreamName: []byte(stream)},
		ExpectedStreamRevision: &streams.AppendReq_Options_NoStream{NoStream: &shared.Empty{}},
	}}}
}

func proposal(meta map[string]string) *streams.AppendReq {
	return &streams.AppendReq{Content: &streams.AppendReq_ProposedMessage_{ProposedMessage: &streams.AppendReq_ProposedMessage{
		Id: &shared.UUID{Value: &shared.UUID_String_{String_: event(1).EventID.String()}}, Metadata: meta,
	}}}
}

func TestTrailers(t *testing.T) {
	t.Parallel()
	s := cluster(t)
	s.RefuseLate(true)
	s.SetMaxAppendSize(10)
	put(t, s, "gone-1", "Counted", "{}")
	conn, follower := dial(t, s.Address(0)), dial(t, s.Address(1))
	full := map[string]string{"type": "Counted", "content-type": "application/json"}
	if _, err := streams.NewStreamsClient(conn).Tombstone(within(t), &streams.TombstoneReq{Options: &streams.TombstoneReq_Options{
		StreamIdentifier:       &shared.StreamIdentifier{StreamName: []byte("gone-1")},
		ExpectedStreamRevision: &streams.TombstoneReq_Options_Any{Any: &shared.Empty{}},
	}}); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name     string
		conn     *grpc.ClientConn
		messages []*streams.AppendReq
		code     codes.Code
		trailer  string
		value    string
	}{
		{"no content type", conn, []*streams.AppendReq{appendOptions("user-1"), proposal(map[string]string{"type": "Counted"})},
			codes.InvalidArgument, "exception", "missing-required-metadata-property"},
		{"too large", conn, []*streams.AppendReq{appendOptions("user-1"), proposal(full)}, codes.InvalidArgument, "maximum-append-size", "10"},
		{"no stream", conn, []*streams.AppendReq{appendOptions("")}, codes.InvalidArgument, "", ""},
		{"no options", conn, []*streams.AppendReq{proposal(full)}, codes.InvalidArgument, "", ""},
		{"a deleted stream", conn, []*streams.AppendReq{appendOptions("gone-1")}, codes.FailedPrecondition, "stream-name", "gone-1"},
		{"a follower", follower, []*streams.AppendReq{appendOptions("user-1")}, codes.NotFound, "exception", "not-leader"},
	} {
		trailer, err := appendRaw(t, row.conn, leader(within(t)), row.messages...)
		if status.Code(err) != row.code {
			t.Errorf("%s: %v, want %s", row.name, err, row.code)
		}
		if got := trailer.Get(row.trailer); row.trailer != "" && (len(got) != 1 || got[0] != row.value) {
			t.Errorf("%s: trailers %v, want %s=%s", row.name, trailer, row.trailer, row.value)
		}
	}
	if n := len(s.Events("user-1")); n != 0 {
		t.Errorf("%d events were written", n)
	}
}

func TestEventIDAsText(t *testing.T) {
	t.Parallel()
	s := esdbtest.Start(t, esdbtest.Options{})
	if _, err := appendRaw(t, dial(t, s.Address(0)), within(t), appendOptions("user-1"),
		proposal(map[string]string{"type": "Counted", "content-type": "application/json"})); err != nil {
		t.Fatal(err)
	}
	if got := s.Events("user-1"); got[0].ID != event(1).EventID {
		t.Errorf("id %s, want %s", got[0].ID, event(1).EventID)
	}
}

// TestFilteredRead: the client sends no filter with a read, other clients do.
func TestFilteredRead(t *testing.T) {
	t.Parallel()
	s := esdbtest.Start(t, esdbtest.Options{})
	put(t, s, "user-1", "Counted", "{}")
	s.Interleave(3)
	put(t, s, "user-1", "Counted", "{}")
	read := func(regex string) (revisions []uint64, err error) {
		call, err := streams.NewStreamsClient(dial(t, s.Address(0))).Read(within(t), &streams.ReadReq{Options: &streams.ReadReq_Options{
			StreamOption: &streams.ReadReq_Options_All{All: &streams.ReadReq_Options_AllOptions{AllOption: &streams.ReadReq_Options_AllOptions_Start{}}},
			CountOption:  &streams.ReadReq_Options_Count{Count: 2},
			FilterOption: &streams.ReadReq_Options_Filter{Filter: &streams.ReadReq_Options_FilterOptions{
				Filter: &streams.ReadReq_Options_FilterOptions_StreamIdentifier{
					StreamIdentifier: &streams.ReadReq_Options_FilterOptions_Expression{Regex: regex},
				},
			}},
		}})
		if err != nil {
			return nil, err
		}
		for {
			r, err := call.Recv()
			if errors.Is(err, io.EOF) {
				return revisions, nil
			}
			if err != nil {
				return revisions, err
			}
			revisions = append(revisions, r.GetEvent().GetEvent().GetStreamRevision())
		}
	}
	if got, err := read("^user-"); err != nil || !cmp.Equal(got, []uint64{0, 1}) {
		t.Errorf("read %v, %v", got, err)
	}
	if _, err := read("("); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a broken expression: %v", err)
	}
}
