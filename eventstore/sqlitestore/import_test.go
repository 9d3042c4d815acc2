package sqlitestore_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/sqlitestore"
	"github.com/authledger/authledger/eventstore/storetest"
)

// another is the log of two clocks that stand apart: n records, each of an
// append of its own, so that every second one is older than the one before.
func another(n int, apart time.Duration) []eventstore.Record {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	heads := map[string]eventstore.Expected{}
	var all []eventstore.Record
	for i := range n {
		stream := fmt.Sprintf("clock-%d", i%2)
		records, leaves := eventstore.Chain(stream, heads[stream], at.Add(time.Duration(i)*time.Millisecond-time.Duration(i%2)*apart), storetest.Events(fmt.Sprint(i), 1))
		records[0].Sequence = eventstore.Sequence(i + 1)
		heads[stream] = eventstore.At(records[0].Revision, leaves[0])
		all = append(all, records[0])
	}
	return all
}

// disordered makes a closed directory with an imported log and, behind it, more
// records of its own.
func disordered(t *testing.T, records, more int) string {
	t.Helper()
	dir := t.TempDir()
	store := tuned(t, dir, storetest.NewClock().Now, 100, sqlitestore.Faults{})
	if err := store.Import(t.Context(), another(records, time.Second)); err != nil {
		t.Fatal(err)
	}
	write(t, store, 0, more)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestImportedLogOpens: also when a start recomputes only a part of it, or none.
func TestImportedLogOpens(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ records, more int }{{10, 0}, {5000, 0}, {4999, 2}, {10, 5000}} {
		dir := disordered(t, c.records, c.more)
		store := closing(t, tuned(t, dir, func() time.Time { return time.Unix(0, 0) }, 100, sqlitestore.Faults{}))
		wantHead(t, store, eventstore.Sequence(c.records+c.more))
		want := time.Second - time.Millisecond
		if got := store.Disorder(); got != want {
			t.Errorf("%+v: disorder is %s, want %s", c, got, want)
		}
		newest := another(c.records, time.Second)[c.records-2+c.records%2].RecordedAt
		if c.more > 0 {
			newest = storetest.NewClock().Now().Truncate(time.Microsecond)
		}
		a, err := store.Append(t.Context(), "later", eventstore.NoStream(), storetest.Events("later", 1))
		if err != nil || a.Last().RecordedAt.Before(newest) {
			t.Errorf("%+v: appended at %v, %v, want it held at %v", c, a.Last().RecordedAt, err, newest)
		}
		reader, err := sqlitestore.OpenReader(dir)
		if err != nil {
			t.Fatal(err)
		}
		if got := eventstore.DisorderOf(reader); got != want {
			t.Errorf("%+v: a reader says %s, want %s", c, got, want)
		}
		if err := errors.Join(reader.CheckAnchor(t.Context()), reader.Close()); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// TestReaderSeesAnImport that happens while it is open.
func TestReaderSeesAnImport(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	store := closing(t, tuned(t, dir, storetest.NewClock().Now, 100, sqlitestore.Faults{}))
	reader, err := sqlitestore.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if err := store.Import(t.Context(), another(10, time.Minute)); err != nil {
		t.Fatal(err)
	}
	wantHead(t, reader, 10)
	if got, want := reader.Disorder(), time.Minute-time.Millisecond; got != want {
		t.Errorf("disorder is %s, want %s", got, want)
	}
}

// TestReaderOfAnOlderSchema: a copy that no server has opened since is read as
// it stands.
func TestReaderOfAnOlderSchema(t *testing.T) {
	t.Parallel()
	dir := written(t, 10, 100)
	mustRaw(t, dir, "DROP TABLE imported; PRAGMA user_version = 2")
	reader, err := sqlitestore.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	wantHead(t, reader, 10)
	if err := errors.Join(reader.CheckAnchor(t.Context()), reader.Close()); err != nil {
		t.Error(err)
	}
	store := closing(t, tuned(t, dir, storetest.NewClock().Now, 100, sqlitestore.Faults{})) // and migrated
	wantHead(t, store, 10)
	if err := store.Import(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

// TestTamperedImport: what the file says of an import must agree with its
// records, or appends would be held at any time somebody wrote there.
func TestTamperedImport(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, statement string
		more            int
		opens           bool
	}{
		{"as it is", "UPDATE imported SET newest = newest", 0, true},
		{"newest time ahead", "UPDATE imported SET newest = newest + 3600000000", 0, false},
		{"newest time ahead of what follows", "UPDATE imported SET newest = newest + 360000000000", 10, false},
		{"less disorder than there is", "UPDATE imported SET disorder = 1000", 0, false},
		{"ends earlier", "UPDATE imported SET upto = 7", 0, false},
		{"ends behind the log", "UPDATE imported SET upto = 11", 0, false},
		{"negative", "UPDATE imported SET disorder = -1", 0, false},
		{"no row", "DELETE FROM imported", 0, false},
	} {
		dir := disordered(t, 10, c.more)
		mustRaw(t, dir, c.statement)
		if !c.opens {
			wantRefused(t, dir, sqlitestore.ReasonLedgerCorrupt)
			continue
		}
		wantHead(t, closing(t, tuned(t, dir, storetest.NewClock().Now, 100, sqlitestore.Faults{})), 10)
	}
}

// TestImportFaults: a disk that fails during an import stops the store as it
// does during an append, and the import goes on after a start.
func TestImportFaults(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken disk")
	records := another(60, time.Second)
	for _, place := range []string{"before commit", "after commit", "before anchor"} {
		dir, armed := t.TempDir(), false
		fail := func(at string) func() error {
			return func() error {
				if armed && at == place {
					return broken
				}
				return nil
			}
		}
		store := tuned(t, dir, storetest.NewClock().Now, 7, sqlitestore.NewFaults(fail("before commit"), fail("after commit"), fail("before anchor")))
		if err := store.Import(t.Context(), records[:20]); err != nil {
			t.Fatal(err)
		}
		armed = true
		if err := store.Import(t.Context(), records[20:40]); !errors.Is(err, eventstore.ErrOutcomeUnknown) {
			t.Errorf("%s: got %v, want an unknown outcome", place, err)
		}
		if err := store.Import(t.Context(), records[20:40]); !errors.Is(err, eventstore.ErrUnavailable) {
			t.Errorf("%s: got %v, want the store stopped", place, err)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		store = closing(t, tuned(t, dir, storetest.NewClock().Now, 7, sqlitestore.Faults{}))
		if err := store.Import(t.Context(), records); err != nil {
			t.Errorf("%s, opened again: %v", place, err)
		}
		wantHead(t, store, 60)
	}
}

// TestImportOfManyRecords takes more than one commit.
func TestImportOfManyRecords(t *testing.T) {
	t.Parallel()
	records := another(9000, 0)
	store := closing(t, tuned(t, t.TempDir(), storetest.NewClock().Now, 1<<14, sqlitestore.Faults{}))
	wrong := append([]eventstore.Record{}, records...)
	wrong[5000].Revision++
	if err := store.Import(t.Context(), wrong); !errors.Is(err, eventstore.ErrConflict) {
		t.Errorf("got %v, want a conflict", err)
	}
	wantHead(t, store, 4096) // whole commits
	if err := store.Import(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	wantHead(t, store, 9000)
}
