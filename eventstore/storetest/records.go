package storetest

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/authledger/authledger/eventstore"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

// Clock is a clock that moves when it is told to.
type Clock struct {
	mu  sync.Mutex
	now time.Time // guarded by mu
}

// NewClock returns a clock at a fixed time with a fraction finer than a
// microsecond, which stores must cut.
func NewClock() *Clock {
	return &Clock{now: time.Date(2026, 3, 4, 5, 6, 7, 123_456_789, time.UTC)}
}

// Now is the time last set.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Add moves the clock; a negative duration moves it back.
func (c *Clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Events returns n proposed events whose ids follow from name: the same name
// gives the same events.
func Events(name string, n int) []eventstore.Proposed {
	command := uuid.NewSHA1(uuid.NameSpaceOID, []byte(name))
	events := make([]eventstore.Proposed, n)
	for i := range events {
		events[i] = eventstore.Proposed{
			ID:       eventstore.EventIDOf(command, i),
			Type:     "SomethingHappened",
			Schema:   uint16(i%3 + 1),
			Data:     fmt.Appendf(nil, `{"name":%q,"ordinal":%d,"text":"<é>\u0000"}`, name, i),
			Metadata: fmt.Appendf(nil, `{"command":%q, "ordinal":%d}`, name, i),
		}
	}
	return events
}

// mustAppend appends and fails the test on any error.
func mustAppend(t *testing.T, store eventstore.Appender, stream string, expected eventstore.Expected, events []eventstore.Proposed) eventstore.Appended {
	t.Helper()
	a, err := store.Append(limited(t), stream, expected, events)
	if err != nil {
		t.Fatalf("append %d events to %q expecting %s: %v", len(events), stream, expected, err)
	}
	if len(a.Records) != len(events) {
		t.Fatalf("append to %q: got %d stamps for %d events", stream, len(a.Records), len(events))
	}
	return a
}

// after is the expectation that what was appended is still the newest.
func after(a eventstore.Appended) eventstore.Expected {
	return eventstore.At(a.Last().Revision, a.Last().Leaf)
}

// fill appends n records, spread over several streams and batch sizes, and
// returns the whole log read back.
func fill(t *testing.T, store eventstore.Store, n int) []eventstore.Record {
	t.Helper()
	heads := map[string]eventstore.Expected{}
	for i, total := 0, 0; total < n; i++ {
		stream := fmt.Sprintf("fill-%d", i%5)
		size := min(i%4+1, n-total)
		a := mustAppend(t, store, stream, heads[stream], Events(fmt.Sprintf("fill %d", i), size))
		heads[stream] = after(a)
		total += size
	}
	return wantLog(t, store, n)
}

// wantLog reads the whole log and checks what holds for every log: count,
// dense sequences and revisions, increasing positions, times that never go back
// within a stream nor, by more than the store's disorder, in the log, and the
// prev chain of every stream.
func wantLog(t *testing.T, store eventstore.Reader, n int) []eventstore.Record {
	t.Helper()
	log := collect(t, store.ReadAll(limited(t), 0))
	if len(log) != n {
		t.Fatalf("log: got %d records, want %d", len(log), n)
	}
	type head struct {
		next eventstore.Revision
		leaf eventstore.Hash
		at   time.Time
	}
	heads, newest := map[string]head{}, time.Time{}
	for i, r := range log {
		h := heads[r.Stream]
		if r.Sequence != eventstore.Sequence(i+1) || r.Revision != h.next {
			t.Fatalf("record %d of the log: got sequence %d, %s revision %d, want revision %d", i+1, r.Sequence, r.Stream, r.Revision, h.next)
		}
		if prefix := `{"prev":"` + h.leaf.String() + `"`; len(r.Metadata) < len(prefix) || string(r.Metadata[:len(prefix)]) != prefix {
			t.Fatalf("record %d: metadata %s does not begin with %s", i+1, r.Metadata, prefix)
		}
		if i > 0 && r.Position <= log[i-1].Position {
			t.Fatalf("record %d: position %d went back from %d", i+1, r.Position, log[i-1].Position)
		}
		if r.RecordedAt.Before(h.at) || newest.Sub(r.RecordedAt) > eventstore.DisorderOf(store) {
			t.Fatalf("record %d: time %v went back from %v in its stream, %v in the log", i+1, r.RecordedAt, h.at, newest)
		}
		if r.RecordedAt.After(newest) {
			newest = r.RecordedAt
		}
		if r.RecordedAt.Location() != time.UTC || r.RecordedAt.Nanosecond()%1000 != 0 {
			t.Fatalf("record %d: time %v is not in UTC or finer than a microsecond", i+1, r.RecordedAt)
		}
		heads[r.Stream] = head{next: r.Revision + 1, leaf: r.Leaf(), at: r.RecordedAt}
	}
	return log
}

// collect reads to the end and fails the test on an error.
func collect(t *testing.T, records iter.Seq2[eventstore.Record, error]) []eventstore.Record {
	t.Helper()
	all, err := drain(records)
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	return all
}

// drain reads to the end or the error.
func drain(records iter.Seq2[eventstore.Record, error]) ([]eventstore.Record, error) {
	var all []eventstore.Record
	for r, err := range records {
		if err != nil {
			return all, err
		}
		all = append(all, r)
	}
	return all, nil
}

// follow takes batches until want records came, and checks the batch size.
func follow(ctx context.Context, store eventstore.Follower, from eventstore.Sequence, size, want int) ([]eventstore.Record, error) {
	var all []eventstore.Record
	for batch, err := range store.Follow(ctx, from, size) {
		if err != nil {
			return all, err
		}
		if len(batch) == 0 || len(batch) > size {
			return all, fmt.Errorf("batch of %d records, want 1 to %d", len(batch), size)
		}
		all = append(all, batch...)
		if len(all) >= want {
			break
		}
	}
	return all, nil
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if reflect.DeepEqual(got, want) {
		return // quicker than cmp on whole logs
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", what, diff)
	}
}

// number is a short event id for tables.
func number(n uint32) eventstore.EventID {
	var id eventstore.EventID
	id[6], id[8] = 0x50, 0x80
	binary.BigEndian.PutUint32(id[12:], n)
	return id
}
