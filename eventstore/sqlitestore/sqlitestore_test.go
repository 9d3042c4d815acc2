package sqlitestore_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/sqlitestore"
	"github.com/authledger/authledger/eventstore/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var promises = storetest.Promises{Durable: true, SequenceOnAppend: true, PositionEqualsSequence: true, UniqueIDs: true}

func factory(t testing.TB, dir string, clock func() time.Time) eventstore.Store {
	t.Helper()
	store, err := sqlitestore.Open(t.Context(), sqlitestore.Options{Dir: dir, Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func TestContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, factory, promises)
}

// TestContractWithSmallGenerations has the index tables written all the time,
// so that every read crosses from the tables to the tail.
func TestContractWithSmallGenerations(t *testing.T) {
	t.Parallel()
	for _, generation := range []int{1, 50} {
		t.Run(fmt.Sprint(generation), func(t *testing.T) {
			t.Parallel()
			storetest.Run(t, func(t testing.TB, dir string, clock func() time.Time) eventstore.Store {
				t.Helper()
				return tuned(t, dir, clock, generation, sqlitestore.Faults{})
			}, promises)
		})
	}
}

func TestImporter(t *testing.T) {
	t.Parallel()
	storetest.RunImporter(t, factory, promises)
	storetest.RunImporter(t, func(t testing.TB, dir string, clock func() time.Time) eventstore.Store {
		t.Helper()
		return tuned(t, dir, clock, 1, sqlitestore.Faults{})
	}, promises)
}

func BenchmarkStore(b *testing.B) { storetest.Benchmark(b, factory) }

func tuned(t testing.TB, dir string, clock func() time.Time, generation int, faults sqlitestore.Faults) *sqlitestore.Store {
	t.Helper()
	store, err := sqlitestore.OpenTuned(sqlitestore.Options{Dir: dir, Clock: clock}, generation, "", faults)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// closing closes the store at the end, if the test has not.
func closing(t *testing.T, store *sqlitestore.Store) *sqlitestore.Store {
	t.Helper()
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return store
}

// written makes a closed data directory with n records of 2-event appends.
func written(t *testing.T, n, generation int) string {
	t.Helper()
	dir := t.TempDir()
	store := tuned(t, dir, storetest.NewClock().Now, generation, sqlitestore.Faults{})
	write(t, store, 0, n)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func write(t *testing.T, store eventstore.Appender, from, to int) {
	t.Helper()
	for i := from; i < to; i += 2 {
		if _, err := store.Append(t.Context(), fmt.Sprintf("user-%d", i), eventstore.NoStream(), storetest.Events(fmt.Sprint("written ", i), 2)); err != nil {
			t.Fatal(err)
		}
	}
}

func wantHead(t *testing.T, store eventstore.Reader, want eventstore.Sequence) {
	t.Helper()
	head, _, err := store.Head(t.Context())
	if err != nil || head != want {
		t.Fatalf("head: got %d, %v, want %d", head, err, want)
	}
	n := eventstore.Sequence(0)
	for r, err := range store.ReadAll(t.Context(), 0) {
		if n++; err != nil || r.Sequence != n {
			t.Fatalf("record %d: got %d, %v", n, r.Sequence, err)
		}
	}
	if n != want {
		t.Fatalf("read %d records, want %d", n, want)
	}
}

// copyDir copies the files as they lie there, like a crash would leave them.
func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	files, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		copyFile(t, filepath.Join(from, f.Name()), filepath.Join(to, f.Name()))
	}
	return to
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestBatchMatesSurvive(t *testing.T) {
	t.Parallel()
	store := closing(t, tuned(t, t.TempDir(), storetest.NewClock().Now, 7, sqlitestore.Faults{}))
	write(t, store, 0, 4)
	results := make([]eventstore.Appended, 9)
	together := []sqlitestore.Together{
		{Stream: "a", Events: storetest.Events("a", 2)},
		{Stream: "user-0", Events: storetest.Events("conflict", 1)},
		{Stream: "b", Events: storetest.Events("b", 1)},
		{Stream: "c", Events: storetest.Events("a", 2)},              // ids of a batch-mate, other stream
		{Stream: "a", Events: storetest.Events("a", 2)},              // a batch-mate again
		{Stream: "a", Events: storetest.Events("a second", 1)},       // conflict with a batch-mate
		{Stream: "user-2", Events: storetest.Events("written 2", 2)}, // an old append again
		{Stream: "d", Events: storetest.Events("written 0", 1)},      // an old id elsewhere
		{Stream: "e", Events: storetest.Events("e", 3)},
	}
	for i := range together {
		together[i].Appended = &results[i]
	}
	errs := store.AppendTogether(together)
	for i, want := range []error{nil, eventstore.ErrConflict, nil, eventstore.ErrDuplicateID, nil, eventstore.ErrConflict, nil, eventstore.ErrDuplicateID, nil} {
		if !errors.Is(errs[i], want) {
			t.Errorf("append %d: got %v, want %v", i, errs[i], want)
		}
	}
	if !results[4].Repeated || !results[6].Repeated || results[4].Position != results[0].Position {
		t.Errorf("repeats in a group: got %+v and %+v", results[4], results[6])
	}
	wantHead(t, store, 4+2+1+3)
}

func TestManyWritersOverGenerations(t *testing.T) {
	t.Parallel()
	const writers, appends = 16, 60
	dir := t.TempDir()
	store := tuned(t, dir, time.Now, 50, sqlitestore.Faults{})
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			expected := eventstore.NoStream()
			for i := range appends {
				a, err := store.Append(t.Context(), fmt.Sprint(w), expected, storetest.Events(fmt.Sprintf("%d/%d", w, i), 2))
				if err != nil {
					t.Error(err)
					return
				}
				expected = eventstore.At(a.Last().Revision, a.Last().Leaf)
			}
		})
	}
	group.Wait()
	if store.Indexed() == 0 {
		t.Error("nothing was indexed")
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	store = closing(t, tuned(t, dir, time.Now, 50, sqlitestore.Faults{}))
	wantHead(t, store, writers*appends*2)
	for w := range writers {
		n := eventstore.Revision(0)
		for r, err := range store.ReadStream(t.Context(), fmt.Sprint(w), 0) {
			if err != nil || r.Revision != n {
				t.Fatalf("stream %d, record %d: got %d, %v", w, n, r.Revision, err)
			}
			n++
		}
		if n != 2*appends {
			t.Errorf("stream %d: got %d records", w, n)
		}
	}
}
