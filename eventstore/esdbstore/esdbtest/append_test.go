package esdbtest_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/go-cmp/cmp"

	"github.com/authledger/authledger/eventstore/esdbstore/esdbtest"
)

const conflict = esdb.ErrorCodeWrongExpectedVersion

// TestExpectedRevisions runs appends one after another on one stream that holds
// events 1 to 3 at first.
func TestExpectedRevisions(t *testing.T) {
	t.Parallel()
	s, c := single(t)
	write(t, c, "user-1", esdb.NoStream{}, events(1, 3)...)
	for _, row := range []struct {
		name     string
		stream   string
		expected esdb.ExpectedRevision
		events   []esdb.EventData
		code     esdb.ErrorCode // -1: succeeds
		last     uint64
	}{
		{"a new stream at a revision", "user-2", esdb.Revision(0), events(10, 10), conflict, 0},
		{"a new stream that should exist", "user-2", esdb.StreamExists{}, events(10, 10), conflict, 0},
		{"a new stream at any", "user-2", esdb.Any{}, events(10, 11), -1, 1},
		{"no stream where one is", "user-1", esdb.NoStream{}, events(20, 20), conflict, 0},
		{"a revision too low", "user-1", esdb.Revision(1), events(20, 20), conflict, 0},
		{"a revision too high", "user-1", esdb.Revision(3), events(20, 20), conflict, 0},
		{"the last revision", "user-1", esdb.Revision(2), events(4, 5), -1, 4},
		{"the same again", "user-1", esdb.Revision(2), events(4, 5), -1, 4},
		{"the first batch again", "user-1", esdb.NoStream{}, events(1, 3), -1, 2},
		{"a part of the first batch", "user-1", esdb.NoStream{}, events(1, 2), -1, 1},
		{"a repeat that goes on beyond the end", "user-1", esdb.Revision(2), events(4, 6), conflict, 0},
		{"a repeat with another second event", "user-1", esdb.Revision(2), []esdb.EventData{event(4), event(6)}, conflict, 0},
		{"the same ids at another revision", "user-1", esdb.Revision(1), events(4, 5), conflict, 0},
		{"a stream that exists", "user-1", esdb.StreamExists{}, events(6, 6), -1, 5},
		{"a repeat at any", "user-1", esdb.Any{}, events(4, 6), -1, 5},
		{"a repeat in part at any", "user-1", esdb.Any{}, events(6, 7), conflict, 0},
	} {
		before := len(s.Events("user-"))
		result, err := c.AppendToStream(within(t), row.stream, esdb.AppendToStreamOptions{ExpectedRevision: row.expected}, row.events...)
		wantCode(t, row.name, err, row.code)
		if err != nil {
			if after := len(s.Events("user-")); after != before {
				t.Errorf("%s: refused, but %d events were written", row.name, after-before)
			}
			continue
		}
		if result.NextExpectedVersion != row.last {
			t.Errorf("%s: last revision %d, want %d", row.name, result.NextExpectedVersion, row.last)
		}
		at := slices.IndexFunc(s.Events(row.stream), func(e esdbtest.Event) bool { return e.Revision == row.last })
		if want := s.Events(row.stream)[at].Position; result.CommitPosition != want || result.PreparePosition != want {
			t.Errorf("%s: position %d/%d, want %d", row.name, result.CommitPosition, result.PreparePosition, want)
		}
	}
	if n := len(s.Events("user-1")); n != 6 {
		t.Errorf("user-1 holds %d events, want 6: repeats write nothing", n)
	}
	want := map[string]int{"no_stream": 4, "revision": 8, "any": 3, "stream_exists": 2}
	got := map[string]int{}
	for call, n := range s.CallKinds() {
		if call.Method == "Streams/Append" {
			got[call.Expected] += n
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("kinds of expected revision (-want +got):\n%s", diff)
	}
}

func TestEventsComeBackAsWritten(t *testing.T) {
	t.Parallel()
	s, c := single(t)
	binary := esdb.EventData{
		EventID: event(1).EventID, EventType: "Sealed", ContentType: esdb.ContentTypeBinary,
		Data: []byte{0, 1, 0xff}, Metadata: []byte{0xfe},
	}
	write(t, c, "key-ü/1", esdb.NoStream{}, binary)
	s.Interleave(5)
	write(t, c, "key-ü/1", esdb.Revision(0), event(2))
	got, err := readStream(t, c, "key-ü/1", esdb.ReadStreamOptions{}, 10)
	if err != nil || len(got) != 2 {
		t.Fatalf("read: %d events, %v", len(got), err)
	}
	first := got[0]
	if first.EventID != binary.EventID || first.EventType != "Sealed" || first.ContentType != "application/octet-stream" ||
		!bytes.Equal(first.Data, binary.Data) || !bytes.Equal(first.UserMetadata, binary.Metadata) || first.StreamID != "key-ü/1" {
		t.Errorf("read %+v", first)
	}
	stored := s.Events("key-")
	if first.Position.Commit != stored[0].Position || first.Position.Prepare != stored[0].Position || stored[0].Position == 0 {
		t.Errorf("position %+v, want %d", first.Position, stored[0].Position)
	}
	if d := first.CreatedDate.Sub(stored[0].Created).Abs(); d >= 100 { // ns: the server's tick
		t.Errorf("created %v, stored %v", first.CreatedDate, stored[0].Created)
	}
	if gap := stored[1].Position - stored[0].Position; gap < 6 {
		t.Errorf("positions are %d apart: not those of a log of bytes", gap)
	}
}

func TestMaximumAppendSize(t *testing.T) {
	t.Parallel()
	s, c := single(t)
	// 2 bytes a letter of the type, as a server counts.
	fits := esdb.EventData{EventID: event(1).EventID, EventType: "Big", ContentType: esdb.ContentTypeBinary, Data: make([]byte, 1<<20-6)}
	write(t, c, "big-1", esdb.NoStream{}, fits)
	over := fits
	over.EventID, over.Data = event(2).EventID, make([]byte, 1<<20-5)
	_, err := c.AppendToStream(within(t), "big-2", esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}}, over)
	wantCode(t, "one byte over the limit", err, esdb.ErrorCodeUnknown)
	s.RefuseLate(true)
	for n := range 10 { // the reason arrives every time, even with more to send
		_, err = c.AppendToStream(within(t), "big-2", esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}}, over, event(n), event(n+1))
		if err == nil || !strings.Contains(err.Error(), "Maximum Append Size of 1048576 Exceeded.") {
			t.Fatalf("over the limit, refused late: %v", err)
		}
	}
	s.SetMaxAppendSize(2 << 20)
	write(t, c, "big-2", esdb.NoStream{}, over)
	if n := len(s.Events("big-2")); n != 1 {
		t.Errorf("%d events, want 1", n)
	}
}

func TestPutKeepsNoLimit(t *testing.T) {
	t.Parallel()
	s, c := single(t)
	put, err := s.Put("foreign-1", esdbtest.Proposed{Type: "Imported", Data: make([]byte, 3<<20)}, esdbtest.Proposed{Type: "Imported"})
	if err != nil || len(put) != 2 || put[1].Revision != 1 {
		t.Fatalf("put: %d events, %v", len(put), err)
	}
	got, err := readStream(t, c, "foreign-1", esdb.ReadStreamOptions{}, 10)
	if err != nil || len(got) != 2 || got[0].EventID != put[0].ID || len(got[0].Data) != 3<<20 {
		t.Errorf("read %d events, %v", len(got), err)
	}
}
