package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authledger/authledger/eventstore"
)

// RunImporter checks a store that takes over records from another log against
// the contract of eventstore.Importer.
func RunImporter(t *testing.T, factory Factory, promises Promises) {
	t.Helper()
	s := suite{factory: factory, promises: promises}
	for _, c := range []check{
		{"import/whole", s.importWhole},
		{"import/cut off and resumed", s.importResumed},
		{"import/repeated", s.importRepeated},
		{"import/what does not continue the log", s.importConflicts},
		{"import/an id that stands elsewhere", s.importDuplicate},
		{"import/what is no record", s.importInvalid},
		{"import/largest", s.importLargest},
		{"import/disorder", s.importDisorder},
		{"import/ordinary appends go on", s.importThenAppend},
		{"import/behind ordinary appends", s.importBehind},
		{"import/context and close", s.importEnds},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t)
		})
	}
}

// book is another log, written by the rules every store shares.
type book struct {
	records []eventstore.Record
	heads   map[string]eventstore.Expected
	at      time.Time
}

func newBook() *book {
	return &book{heads: map[string]eventstore.Expected{}, at: time.Date(2026, 3, 4, 5, 6, 7, 123_456_000, time.UTC)}
}

// add is one append at a time.
func (b *book) add(stream string, at time.Time, events []eventstore.Proposed) {
	records, leaves := eventstore.Chain(stream, b.heads[stream], at, events)
	for _, r := range records {
		r.Sequence = eventstore.Sequence(len(b.records) + 1)
		b.records = append(b.records, r)
	}
	b.heads[stream] = eventstore.At(records[len(records)-1].Revision, leaves[len(leaves)-1])
}

// fill adds appends of one to four events to several streams until there are n
// records.
func (b *book) fill(n int) *book {
	for i := 0; len(b.records) < n; i++ {
		b.at = b.at.Add(time.Duration(i) * time.Microsecond)
		b.add(fmt.Sprintf("fill-%d", i%5), b.at, Events(fmt.Sprintf("fill %d", i), min(i%4+1, n-len(b.records))))
	}
	return b
}

// importing returns the store as an importer.
func importing(t *testing.T, store eventstore.Store) eventstore.Importer {
	t.Helper()
	i, ok := store.(eventstore.Importer)
	if !ok {
		t.Fatalf("%T takes over no records", store)
	}
	return i
}

func mustImport(t *testing.T, store eventstore.Store, records []eventstore.Record) {
	t.Helper()
	if err := importing(t, store).Import(limited(t), records); err != nil {
		t.Fatalf("import %d records: %v", len(records), err)
	}
}

// wantRecords checks that the store holds exactly these records, in the log and
// in each of its streams.
func wantRecords(t *testing.T, store eventstore.Store, want []eventstore.Record) {
	t.Helper()
	streams := map[string][]eventstore.Record{}
	for _, r := range want {
		streams[r.Stream] = append(streams[r.Stream], r)
	}
	wantEqual(t, "log", collect(t, store.ReadAll(limited(t), 0)), want)
	for name, records := range streams {
		wantEqual(t, "stream "+name, collect(t, store.ReadStream(limited(t), name, 0)), records)
	}
	for _, r := range []eventstore.Record{want[0], want[len(want)/2], want[len(want)-1]} {
		got, err := store.ByID(limited(t), r.ID)
		if err != nil || !got.Equal(r) {
			t.Errorf("event %s: got %+v, %v", r.ID, got, err)
		}
	}
	if head, _, err := store.Head(limited(t)); err != nil || head != want[len(want)-1].Sequence {
		t.Errorf("head: got %d, %v, want %d", head, err, len(want))
	}
}

func wantEqual(t *testing.T, what string, got, want []eventstore.Record) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: got %d records, want %d", what, len(got), len(want))
	}
	for i, r := range got {
		if !r.Equal(want[i]) || r.Leaf() != want[i].Leaf() || r.RecordedAt.Location() != time.UTC {
			t.Fatalf("%s, record %d: got %+v, want %+v", what, i+1, r, want[i])
		}
		if i > 0 && r.Position <= got[i-1].Position {
			t.Fatalf("%s, record %d: position %d does not follow %d", what, i+1, r.Position, got[i-1].Position)
		}
	}
}

func (s suite) importWhole(t *testing.T) {
	store, _ := s.open(t)
	want := newBook().fill(500).records
	given := slices.Clone(want)
	for i := range given {
		given[i].Data, given[i].Metadata = bytes.Clone(given[i].Data), bytes.Clone(given[i].Metadata)
	}
	mustImport(t, store, given)
	for i := range given {
		clear(given[i].Data) // the store keeps bytes of its own
		clear(given[i].Metadata)
	}
	wantRecords(t, store, want)
	followed, err := follow(limited(t), store, 0, 64, len(want))
	if err != nil {
		t.Fatalf("follow: %v", err)
	}
	wantEqual(t, "followed", followed, want)
	if d := eventstore.DisorderOf(store); d != 0 && !eventstore.IsShared(store) {
		t.Errorf("disorder of an orderly log: got %s", d)
	}
	mustImport(t, store, nil)
}

func (s suite) importResumed(t *testing.T) {
	dir, clock := t.TempDir(), NewClock()
	store := s.factory(t, dir, clock.Now)
	want := newBook().fill(120).records
	for n := 0; n < 63; n += 7 {
		mustImport(t, store, want[n:n+7])
	}
	if s.promises.Durable {
		if err := store.Close(); err != nil {
			t.Fatalf("close: %v", err)
		}
		store = s.factory(t, dir, clock.Now)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	wantRecords(t, store, want[:63])
	mustImport(t, store, want[63:])
	wantRecords(t, store, want)
}

func (s suite) importRepeated(t *testing.T) {
	store, _ := s.open(t)
	want := newBook().fill(60).records
	mustImport(t, store, want[:40])
	for _, part := range [][]eventstore.Record{want[:40], want[39:40], want[10:20], want[30:60], want} {
		mustImport(t, store, part)
	}
	wantRecords(t, store, want)
}

// importConflicts gives a log of 30 records one that does not continue it.
func (s suite) importConflicts(t *testing.T) {
	store, _ := s.open(t)
	b := newBook().fill(30)
	b.add("fill-0", b.at, Events("next", 3))
	want := b.records[:30]
	mustImport(t, store, want)
	for _, c := range []struct {
		name   string
		record eventstore.Record
		change func(r *eventstore.Record)
	}{
		{"gap", b.records[31], func(*eventstore.Record) {}},
		{"far ahead", b.records[30], func(r *eventstore.Record) { r.Sequence = 1 << 40 }},
		{"revision ahead", b.records[30], func(r *eventstore.Record) { r.Revision++ }},
		{"revision behind", b.records[30], func(r *eventstore.Record) { r.Revision-- }},
		{"revision of a new stream", b.records[30], func(r *eventstore.Record) { r.Stream = "new" }},
		{"prev of the same stream, older", b.records[30], func(r *eventstore.Record) { r.Metadata = b.records[0].Metadata }},
		{"prev of nobody", b.records[30], func(r *eventstore.Record) {
			r.Metadata = []byte(`{"prev":"` + strings.Repeat("ab", 32) + `"}`)
		}},
		{"prev of another stream", b.records[30], func(r *eventstore.Record) {
			r.Metadata = []byte(`{"prev":"` + b.records[29].Leaf().String() + `"}`)
		}},
		{"time back within the stream", b.records[30], func(r *eventstore.Record) { r.RecordedAt = want[0].RecordedAt.Add(-time.Hour) }},
		{"other data", want[12], func(r *eventstore.Record) { r.Data = []byte(`{"other":true}`) }},
		{"other metadata", want[12], func(r *eventstore.Record) { r.Metadata = append(bytes.Clone(r.Metadata[:len(r.Metadata)-1]), ` }`...) }},
		{"other type", want[12], func(r *eventstore.Record) { r.Type = "SomethingElse" }},
		{"other schema", want[12], func(r *eventstore.Record) { r.Schema++ }},
		{"other time", want[12], func(r *eventstore.Record) { r.RecordedAt = r.RecordedAt.Add(time.Microsecond) }},
		{"other id", want[29], func(r *eventstore.Record) { r.ID = number(7) }},
		{"other stream", want[0], func(r *eventstore.Record) { r.Stream = "another" }},
		{"other revision", want[0], func(r *eventstore.Record) { r.Revision++ }},
	} {
		r := c.record
		c.change(&r)
		if err := importing(t, store).Import(limited(t), []eventstore.Record{r}); !errors.Is(err, eventstore.ErrConflict) {
			t.Errorf("%s: got %v, want a conflict", c.name, err)
		}
	}
	gap := []eventstore.Record{b.records[30], b.records[32]}
	if err := importing(t, store).Import(limited(t), gap); !errors.Is(err, eventstore.ErrConflict) {
		t.Errorf("gap in the batch: got %v, want a conflict", err)
	}
	wantRecords(t, store, want)
	// A batch that goes wrong half way leaves at most its beginning, and can be
	// repeated.
	wrong := slices.Clone(b.records[28:])
	wrong[4].Revision++
	if err := importing(t, store).Import(limited(t), wrong); !errors.Is(err, eventstore.ErrConflict) {
		t.Errorf("wrong at its end: got %v, want a conflict", err)
	}
	mustImport(t, store, b.records[28:])
	wantRecords(t, store, b.records)
}

func (s suite) importDuplicate(t *testing.T) {
	if !s.promises.UniqueIDs {
		return // declared: only ids at the expected revisions are recognised
	}
	store, _ := s.open(t)
	b := newBook().fill(20)
	mustImport(t, store, b.records)
	b.add("other", b.at, Events("fill 3", 1))
	if err := importing(t, store).Import(limited(t), b.records); !errors.Is(err, eventstore.ErrDuplicateID) {
		t.Errorf("id of another stream: got %v, want a duplicate", err)
	}
	twice := newBook().fill(20)
	twice.add("one", b.at, Events("twice", 1))
	twice.add("two", b.at, Events("twice", 1))
	if err := importing(t, store).Import(limited(t), twice.records); !errors.Is(err, eventstore.ErrDuplicateID) {
		t.Errorf("id twice in a batch: got %v, want a duplicate", err)
	}
	if head, _, err := store.Head(limited(t)); err != nil || head < 20 || head > 21 {
		t.Errorf("head: got %d, %v, want what came before the duplicate", head, err)
	}
}

func (s suite) importInvalid(t *testing.T) {
	store, _ := s.open(t)
	b := newBook().fill(6)
	mustImport(t, store, b.records[:5])
	big := []byte(`{"text":"` + strings.Repeat("x", eventstore.MaxAppendBytes) + `"}`)
	for _, c := range []struct {
		name   string
		change func(r *eventstore.Record)
		want   error
	}{
		{"no sequence", func(r *eventstore.Record) { r.Sequence = 0 }, eventstore.ErrInvalid},
		{"no id", func(r *eventstore.Record) { r.ID = eventstore.EventID{} }, eventstore.ErrInvalid},
		{"no stream", func(r *eventstore.Record) { r.Stream = "" }, eventstore.ErrInvalid},
		{"system stream", func(r *eventstore.Record) { r.Stream = "$all" }, eventstore.ErrInvalid},
		{"no type", func(r *eventstore.Record) { r.Type = "" }, eventstore.ErrInvalid},
		{"long type", func(r *eventstore.Record) { r.Type = strings.Repeat("T", eventstore.MaxTypeName+1) }, eventstore.ErrInvalid},
		{"no schema version", func(r *eventstore.Record) { r.Schema = 0 }, eventstore.ErrInvalid},
		{"data not an object", func(r *eventstore.Record) { r.Data = []byte(`7`) }, eventstore.ErrInvalid},
		{"no metadata", func(r *eventstore.Record) { r.Metadata = nil }, eventstore.ErrInvalid},
		{"no prev", func(r *eventstore.Record) { r.Metadata = []byte(`{}`) }, eventstore.ErrInvalid},
		{"prev in capitals", func(r *eventstore.Record) { r.Metadata = []byte(`{"prev":"` + strings.Repeat("AB", 32) + `"}`) }, eventstore.ErrInvalid},
		{"prev cut short", func(r *eventstore.Record) { r.Metadata = []byte(`{"prev":"abcd"}`) }, eventstore.ErrInvalid},
		{"time too fine", func(r *eventstore.Record) { r.RecordedAt = r.RecordedAt.Add(1) }, eventstore.ErrInvalid},
		{"too large", func(r *eventstore.Record) { r.Data = big }, eventstore.ErrTooLarge},
	} {
		r := b.records[5]
		c.change(&r)
		if err := importing(t, store).Import(limited(t), []eventstore.Record{r}); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
	wantRecords(t, store, b.records[:5])
}

func (s suite) importLargest(t *testing.T) {
	store, _ := s.open(t)
	b := newBook()
	for i := range 3 {
		wide := Events(fmt.Sprintf("wide %d", i), 1)
		wide[0].Metadata = []byte(`{}`)
		wide[0].Data = []byte(`{"text":"` + strings.Repeat("x", eventstore.MaxAppendBytes-2-11) + `"}`)
		b.add(fmt.Sprintf("wide-%d", i), b.at, wide)
		b.add(strings.Repeat("n", eventstore.MaxStreamName), b.at, Events(fmt.Sprintf("name %d", i), 1))
	}
	b.add("long", b.at, Events("long", eventstore.MaxAppendCount))
	for i, name := range hostileNames() {
		b.add(name, b.at, Events(fmt.Sprintf("hostile %d", i), 2))
	}
	mustImport(t, store, b.records)
	wantRecords(t, store, b.records)
}

// importDisorder takes over a log of several clocks.
func (s suite) importDisorder(t *testing.T) {
	const apart = 3 * time.Second
	dir, clock := t.TempDir(), NewClock()
	clock.Add(-time.Hour) // behind all that was imported
	store := s.factory(t, dir, clock.Now)
	b := newBook()
	for i := range 40 {
		b.at = b.at.Add(time.Millisecond)
		at := b.at
		if i%3 == 1 {
			at = at.Add(-time.Millisecond - apart) // apart from the record before, of another stream
		}
		b.add(fmt.Sprintf("clock-%d", i%3), at, Events(fmt.Sprintf("disorder %d", i), 2))
	}
	mustImport(t, store, b.records[:41])
	mustImport(t, store, b.records[41:])
	newest := slices.MaxFunc(b.records, func(x, y eventstore.Record) int { return x.RecordedAt.Compare(y.RecordedAt) }).RecordedAt
	look := func(what string) {
		t.Helper()
		wantRecords(t, store, b.records)
		d := eventstore.DisorderOf(store)
		if d < apart || d != apart && !eventstore.IsShared(store) {
			t.Errorf("%s: disorder is %s, want %s", what, d, apart)
		}
	}
	look("imported")
	if s.promises.Durable {
		if err := store.Close(); err != nil {
			t.Fatalf("close: %v", err)
		}
		store = s.factory(t, dir, clock.Now)
		look("opened again")
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	a := mustAppend(t, store, "clock-1", b.heads["clock-1"], Events("later", 1))
	stream := collect(t, store.ReadStream(limited(t), "clock-1", 0))
	least := newest
	if eventstore.IsShared(store) {
		least = stream[len(stream)-2].RecordedAt // there time is held within a stream
	}
	if a.Last().RecordedAt.Before(least) {
		t.Errorf("appended at %v, want it held at %v", a.Last().RecordedAt, least)
	}
}

func (s suite) importThenAppend(t *testing.T) {
	store, clock := s.open(t)
	clock.Add(time.Hour)
	b := newBook().fill(50)
	mustImport(t, store, b.records)
	if _, err := store.Append(limited(t), "fill-0", eventstore.NoStream(), Events("stale", 1)); !errors.Is(err, eventstore.ErrConflict) {
		t.Errorf("append to an imported stream as if it were new: got %v, want a conflict", err)
	}
	again, err := store.Append(limited(t), "fill-0", eventstore.NoStream(), Events("fill 0", 1))
	if err != nil || !again.Repeated || again.Last().Leaf != b.records[0].Leaf() {
		t.Errorf("the first append again: got %+v, %v, want its own stamps", again, err)
	}
	a := mustAppend(t, store, "fill-0", b.heads["fill-0"], Events("more", 3))
	mustAppend(t, store, "fill-0", after(a), Events("yet more", 1))
	mustAppend(t, store, "new", eventstore.NoStream(), Events("new", 1))
	log := wantLog(t, store, 55)
	wantEqual(t, "imported", log[:50], b.records)
}

// importBehind continues a log that wrote its first records itself.
func (s suite) importBehind(t *testing.T) {
	store, clock := s.open(t)
	b := newBook()
	b.at = clock.Now().Truncate(time.Microsecond)
	b.add("user-1", b.at, Events("first", 3))
	mustAppend(t, store, "user-1", eventstore.NoStream(), Events("first", 3))
	b.add("user-1", b.at, Events("second", 2))
	b.add("user-2", b.at, Events("third", 1))
	mustImport(t, store, b.records)
	wantRecords(t, store, b.records)
}

func (s suite) importEnds(t *testing.T) {
	store, _ := s.open(t)
	want := newBook().fill(10).records
	mustImport(t, store, want[:5])
	ctx, cancel := context.WithCancel(limited(t))
	cancel()
	if err := importing(t, store).Import(ctx, want); !errors.Is(err, context.Canceled) || errors.Is(err, eventstore.ErrOutcomeUnknown) {
		t.Errorf("import with an ended context: got %v, want %v", err, context.Canceled)
	}
	wantRecords(t, store, want[:5])
	if err := store.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	if err := importing(t, store).Import(limited(t), want); !errors.Is(err, eventstore.ErrClosed) {
		t.Errorf("import into a closed store: got %v, want %v", err, eventstore.ErrClosed)
	}
}
