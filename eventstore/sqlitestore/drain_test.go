package sqlitestore_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/sqlitestore"
	"github.com/authledger/authledger/eventstore/storetest"
)

// TestIndexIsWrittenInParts appends one record at a time: the tables grow by
// whole parts of a generation, seldom, and keep up with the log.
func TestIndexIsWrittenInParts(t *testing.T) {
	t.Parallel()
	const generation, part = 640, 10
	store := closing(t, tuned(t, t.TempDir(), storetest.NewClock().Now, generation, sqlitestore.Faults{}))
	writes, last := 0, int64(0)
	const appends = 3 * generation
	for i := range appends {
		if _, err := store.Append(t.Context(), fmt.Sprint(i), eventstore.NoStream(), storetest.Events(fmt.Sprint(i), 1)); err != nil {
			t.Fatal(err)
		}
		n, err := store.IndexedIDs()
		if err != nil {
			t.Fatal(err)
		}
		if n%part != 0 {
			t.Fatalf("%d entries after %d records, want a multiple of %d", n, i+1, part)
		}
		if n != last {
			writes, last = writes+1, n
		}
	}
	if last < appends-2*generation || store.Indexed() == 0 {
		t.Errorf("tables hold %d of %d records, want at most two generations of %d missing", last, appends, generation)
	}
	if want := int(last) / part; writes != want {
		t.Errorf("tables were written by %d commits, want %d", writes, want)
	}
}

// TestKnownStreamsAreBounded has the writer meet more streams than it keeps.
func TestKnownStreamsAreBounded(t *testing.T) {
	t.Parallel()
	streams := make([]string, 300_000)
	for i := range streams {
		streams[i] = fmt.Sprint(i)
	}
	if kept, first, last := sqlitestore.KnownStreams(streams); kept > 1<<17 || first || !last {
		t.Errorf("got %d heads, first known %v, last known %v", kept, first, last)
	}
	if kept, first, last := sqlitestore.KnownStreams(streams[:100_000]); kept != 100_000 || !first || !last {
		t.Errorf("got %d heads, first known %v, last known %v", kept, first, last)
	}
}

// TestManyStreamsInOneGroup has one group ask for the ends of more streams
// than one statement looks up: some in the tables, some in memory, some new.
func TestManyStreamsInOneGroup(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	store := tuned(t, dir, storetest.NewClock().Now, 7, sqlitestore.Faults{})
	write(t, store, 0, 200)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	store = closing(t, tuned(t, dir, storetest.NewClock().Now, 7, sqlitestore.Faults{})) // it knows no stream
	if store.Indexed() < 150 {
		t.Fatalf("tables hold %d records, want nearly 200", store.Indexed())
	}
	var together []sqlitestore.Together
	results := make([]eventstore.Appended, 0, 300)
	add := func(stream string, expected eventstore.Expected) {
		results = append(results, eventstore.Appended{})
		together = append(together, sqlitestore.Together{
			Stream: stream, Expected: expected, Events: storetest.Events(fmt.Sprint("more ", len(results)), 1), Appended: &results[len(results)-1],
		})
	}
	for i := 0; i < 200; i += 2 {
		add(fmt.Sprintf("user-%d", i), eventstore.At(1, eventstore.Hash{}))
		add(fmt.Sprintf("user-%d", i), eventstore.NoStream()) // conflict
		add(fmt.Sprintf("new-%d", i), eventstore.NoStream())
	}
	for i, err := range store.AppendTogether(together) {
		if i%3 != 1 {
			if err != nil {
				t.Errorf("append to %s: %v", together[i].Stream, err)
			}
			continue
		}
		var conflict *eventstore.ConflictError
		if !errors.As(err, &conflict) || conflict.Actual != 2 {
			t.Errorf("append to %s: got %v, want a conflict with revision 2", together[i].Stream, err)
		}
	}
	wantHead(t, store, 400)
}
