package esdbtest_test

import (
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

func TestSoftDelete(t *testing.T) {
	t.Parallel()
	s, c := single(t)
	write(t, c, "user-1", esdb.NoStream{}, events(1, 3)...)
	_, err := c.DeleteStream(within(t), "user-1", esdb.DeleteStreamOptions{ExpectedRevision: esdb.Revision(1)})
	wantCode(t, "delete at a wrong revision", err, esdb.ErrorCodeUnknown)
	_, err = c.DeleteStream(within(t), "user-9", esdb.DeleteStreamOptions{ExpectedRevision: esdb.StreamExists{}})
	wantCode(t, "delete a missing stream", err, esdb.ErrorCodeUnknown)
	deleted, err := c.DeleteStream(within(t), "user-1", esdb.DeleteStreamOptions{ExpectedRevision: esdb.Revision(2)})
	if err != nil {
		t.Fatal(err)
	}
	if meta := s.Events("$$user-1"); len(meta) != 1 || meta[0].Position != deleted.Position.Commit {
		t.Errorf("delete at %v, metadata %+v", deleted.Position, meta)
	}
	_, err = readStream(t, c, "user-1", esdb.ReadStreamOptions{}, 10)
	wantCode(t, "read a deleted stream", err, esdb.ErrorCodeResourceNotFound)
	if n := len(s.Events("user-1")); n != 3 {
		t.Errorf("$all holds %d events of the deleted stream, want 3", n)
	}
	_, err = c.AppendToStream(within(t), "user-1", esdb.AppendToStreamOptions{ExpectedRevision: esdb.StreamExists{}}, event(4))
	wantCode(t, "append to a deleted stream that should exist", err, esdb.ErrorCodeWrongExpectedVersion)
	if w := write(t, c, "user-1", esdb.NoStream{}, event(4)); w.NextExpectedVersion != 3 {
		t.Errorf("the stream goes on at %d, want 3", w.NextExpectedVersion)
	}
	if got, err := readStream(t, c, "user-1", esdb.ReadStreamOptions{}, 10); err != nil || revisions(got) != "[3]" {
		t.Errorf("read %s, %v, want [3]", revisions(got), err)
	}
}

func TestTombstone(t *testing.T) {
	t.Parallel()
	s, c := single(t)
	write(t, c, "key-1", esdb.NoStream{}, events(1, 2)...)
	sub := subscribeStream(t, c, "key-1", esdb.Start{})
	if got := follow(t, sub, 2); got != "0 1 live" {
		t.Fatal(got)
	}
	_, err := c.TombstoneStream(within(t), "key-1", esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Revision(0)})
	wantCode(t, "tombstone at a wrong revision", err, esdb.ErrorCodeUnknown)
	gone, err := c.TombstoneStream(within(t), "key-1", esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Revision(1)})
	if err != nil {
		t.Fatal(err)
	}
	if e := last(s); e.Type != "$streamDeleted" || e.Position != gone.Position.Commit {
		t.Errorf("last event %+v, tombstone at %v", e, gone.Position)
	}
	if e := sub.Recv(); e.SubscriptionDropped == nil {
		t.Errorf("the subscription goes on with %+v", e)
	}
	_, err = readStream(t, c, "key-1", esdb.ReadStreamOptions{}, 10)
	wantCode(t, "read", err, esdb.ErrorCodeStreamDeleted)
	for _, expected := range []esdb.ExpectedRevision{esdb.Any{}, esdb.NoStream{}, esdb.Revision(1), esdb.StreamExists{}} {
		_, err = c.AppendToStream(within(t), "key-1", esdb.AppendToStreamOptions{ExpectedRevision: expected}, event(3))
		wantCode(t, "append", err, esdb.ErrorCodeStreamDeleted)
	}
	_, err = c.SubscribeToStream(within(t), "key-1", esdb.SubscribeToStreamOptions{From: esdb.Start{}})
	wantCode(t, "subscribe", err, esdb.ErrorCodeStreamDeleted)
	_, err = c.DeleteStream(within(t), "key-1", esdb.DeleteStreamOptions{ExpectedRevision: esdb.Any{}})
	wantCode(t, "delete", err, esdb.ErrorCodeStreamDeleted)
	if n := len(s.Events("key-1")); n != 3 {
		t.Errorf("$all holds %d events, want the two and the tombstone", n)
	}
	s.Scavenge()
	if n := len(s.Events("key-1")); n != 1 {
		t.Errorf("after scavenging $all holds %d events, want the tombstone", n)
	}
	_, err = readStream(t, c, "key-1", esdb.ReadStreamOptions{}, 10)
	wantCode(t, "read after scavenging", err, esdb.ErrorCodeStreamDeleted)
}
