package sqlitestore_test

import (
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
