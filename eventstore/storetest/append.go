package storetest

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/authledger/authledger/eventstore"
)

func (s suite) appendChecks() []check {
	return []check{
		{"append/stores what was given", s.appendStores},
		{"append/is contiguous and stamped once", s.appendContiguous},
		{"append/time never goes back", s.appendTime},
		{"append/copies or never keeps the caller's bytes", s.appendCopies},
		{"append/largest", s.appendLargest},
		{"append/survives reopening", s.appendReopen},
	}
}

func (s suite) appendStores(t *testing.T) {
	store, clock := s.open(t)
	events := Events("stored", 3)
	a := mustAppend(t, store, "user-1", eventstore.NoStream(), events)
	records, leaves := eventstore.Chain("user-1", eventstore.NoStream(), clock.Now(), events)
	log := wantLog(t, store, 3)
	for i := range records {
		records[i].Sequence, records[i].Position = eventstore.Sequence(i+1), log[i].Position
		if got := a.Records[i]; got.Leaf != leaves[i] || got.Revision != records[i].Revision || !got.RecordedAt.Equal(records[i].RecordedAt) {
			t.Errorf("stamp %d: got %+v, want the stamp of %+v", i, got, records[i])
		}
		byID, err := store.ByID(limited(t), events[i].ID)
		if err != nil {
			t.Fatalf("by id: %v", err)
		}
		same(t, "record by id", byID, records[i])
	}
	same(t, "log", log, records)
	same(t, "stream", collect(t, store.ReadStream(limited(t), "user-1", 0)), records)
	if a.Position != log[2].Position || a.Repeated {
		t.Errorf("append: got position %d, repeated %v; want %d, false", a.Position, a.Repeated, log[2].Position)
	}
}

func (s suite) appendContiguous(t *testing.T) {
	store, clock := s.open(t)
	heads := map[string]eventstore.Expected{}
	total := 0
	for i := range 40 {
		stream := fmt.Sprintf("user-%d", i%3)
		clock.Add(time.Duration(i) * time.Millisecond)
		a := mustAppend(t, store, stream, heads[stream], Events(fmt.Sprint(i), i%5+1))
		for n, r := range a.Records {
			total++
			if r.Revision != heads[stream].Next()+eventstore.Revision(n) {
				t.Fatalf("append %d, event %d: got revision %d after %s", i, n, r.Revision, heads[stream])
			}
			if want := clock.Now().Truncate(time.Microsecond); !r.RecordedAt.Equal(want) {
				t.Fatalf("append %d, event %d: got time %v, want %v", i, n, r.RecordedAt, want)
			}
			want := eventstore.Sequence(total)
			if !s.promises.SequenceOnAppend {
				want = 0
			}
			if r.Sequence != want {
				t.Fatalf("append %d, event %d: got sequence %d, want %d", i, n, r.Sequence, want)
			}
		}
		if s.promises.PositionEqualsSequence && a.Position != eventstore.Position(total) {
			t.Fatalf("append %d: got position %d, want %d", i, a.Position, total)
		}
		heads[stream] = after(a)
	}
	wantLog(t, store, total)
}

func (s suite) appendTime(t *testing.T) {
	store, clock := s.open(t)
	var last time.Time
	expected := eventstore.NoStream()
	for i, step := range []time.Duration{0, time.Second, -10 * 365 * 24 * time.Hour, time.Hour, 20 * 365 * 24 * time.Hour, -time.Nanosecond} {
		clock.Add(step)
		a := mustAppend(t, store, "user-1", expected, Events(fmt.Sprint(i), 2))
		if !a.Records[0].RecordedAt.Equal(a.Records[1].RecordedAt) {
			t.Fatalf("append %d: two times in one append: %v, %v", i, a.Records[0].RecordedAt, a.Records[1].RecordedAt)
		}
		want := clock.Now().Truncate(time.Microsecond)
		if want.Before(last) {
			want = last
		}
		if got := a.Last().RecordedAt; !got.Equal(want) {
			t.Fatalf("append %d: got time %v, want %v", i, got, want)
		}
		last, expected = want, after(a)
	}
	wantLog(t, store, 12)
}

func (s suite) appendCopies(t *testing.T) {
	store, _ := s.open(t)
	events := Events("copied", 1)
	data := bytes.Clone(events[0].Data)
	a := mustAppend(t, store, "user-1", eventstore.NoStream(), events)
	clear(events[0].Data)
	clear(events[0].Metadata)
	r := wantLog(t, store, 1)[0]
	if !bytes.Equal(r.Data, data) || r.Leaf() != a.Last().Leaf {
		t.Errorf("record changed with the caller's bytes: %s", r.Data)
	}
}

func (s suite) appendLargest(t *testing.T) {
	store, _ := s.open(t)
	wide := Events("wide", 1)
	wide[0].Metadata = []byte(`{}`)
	wide[0].Data = []byte(`{"text":"` + string(bytes.Repeat([]byte("x"), eventstore.MaxAppendBytes-2-11)) + `"}`)
	mustAppend(t, store, "wide", eventstore.NoStream(), wide)
	long := mustAppend(t, store, "long", eventstore.NoStream(), Events("long", eventstore.MaxAppendCount))
	if got := long.Last().Revision; got != eventstore.MaxAppendCount-1 {
		t.Errorf("last revision of the longest append: got %d", got)
	}
	log := wantLog(t, store, 1+eventstore.MaxAppendCount)
	if !bytes.Equal(log[0].Data, wide[0].Data) {
		t.Errorf("largest record: %d bytes came back for %d", len(log[0].Data), len(wide[0].Data))
	}
}

func (s suite) appendReopen(t *testing.T) {
	if !s.promises.Durable {
		return // declared: nothing to look for
	}
	clock, dir := NewClock(), t.TempDir()
	store := s.factory(t, dir, clock.Now)
	want := fill(t, store, 30)
	again, err := store.Append(limited(t), "fill-0", eventstore.NoStream(), Events("fill 0", 1))
	if err != nil || !again.Repeated {
		t.Fatalf("repeat before closing: %+v, %v", again, err)
	}
	if err := store.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	clock.Add(-time.Hour)
	store = s.reopen(t, dir, clock)
	same(t, "log after reopening", wantLog(t, store, 30), want)
	repeat, err := store.Append(limited(t), "fill-0", eventstore.NoStream(), Events("fill 0", 1))
	if err != nil {
		t.Fatalf("repeat after reopening: %v", err)
	}
	same(t, "repeat after reopening", repeat, again)
	a := mustAppend(t, store, "later", eventstore.NoStream(), Events("later", 2))
	if a.Last().RecordedAt.Before(want[29].RecordedAt) {
		t.Errorf("time went back over a restart: %v before %v", a.Last().RecordedAt, want[29].RecordedAt)
	}
	wantLog(t, store, 32)
}
