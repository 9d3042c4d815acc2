package move_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/memstore"
	"github.com/authledger/authledger/eventstore/merkle"
	"github.com/authledger/authledger/eventstore/move"
	"github.com/authledger/authledger/eventstore/sqlitestore"
	"github.com/authledger/authledger/eventstore/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// written is a log of n records in memory, in several streams and appends, seen
// by two nodes whose clocks stand apart.
func written(t testing.TB, n int) *memstore.Store {
	t.Helper()
	clock := storetest.NewClock()
	log := memstore.New(clock.Now)
	fast := log.Node(func() time.Time { return clock.Now().Add(2 * time.Second) }, 5*time.Second)
	slow := log.Node(clock.Now, 5*time.Second)
	heads := map[string]eventstore.Expected{}
	for i, total := 0, 0; total < n; i++ {
		clock.Add(time.Millisecond)
		stream, size, node := fmt.Sprintf("user-%d", i%7), min(i%4+1, n-total), slow
		if i%2 == 0 {
			node = fast
		}
		a, err := node.Append(t.Context(), stream, heads[stream], storetest.Events(fmt.Sprint("written ", i), size))
		if err != nil {
			t.Fatal(err)
		}
		heads[stream] = eventstore.At(a.Last().Revision, a.Last().Leaf)
		total += size
	}
	return log
}

func records(t testing.TB, store eventstore.Reader) (all []eventstore.Record) {
	t.Helper()
	for r, err := range store.ReadAll(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

func rootOf(t testing.TB, store eventstore.Reader) eventstore.Hash {
	t.Helper()
	g := merkle.NewGrowing()
	for _, r := range records(t, store) {
		if err := g.Append(r.Leaf()); err != nil {
			t.Fatal(err)
		}
	}
	root, err := g.Root()
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func sqlite(t testing.TB) *sqlitestore.Store {
	t.Helper()
	store, err := sqlitestore.Open(t.Context(), sqlitestore.Options{Dir: t.TempDir(), Clock: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return store
}

// TestThereAndBack moves the log of a cluster to a file and back.
func TestThereAndBack(t *testing.T) {
	t.Parallel()
	const n = 2500
	cluster, file, again := written(t, n), sqlite(t), memstore.New(time.Now)
	want := rootOf(t, cluster)
	for _, way := range []struct {
		from eventstore.Reader
		to   move.Target
	}{{cluster, file}, {file, again}} {
		clock := storetest.NewClock()
		var told []move.Progress
		moved, err := move.Log(t.Context(), move.Options{From: way.from, To: way.to, Clock: clock.Now, Progress: func(p move.Progress) {
			clock.Add(time.Second)
			told = append(told, p)
		}})
		if err != nil {
			t.Fatal(err)
		}
		if moved.Size != n || moved.Copied != n || moved.Root != want || moved.Bytes == 0 {
			t.Errorf("got %+v, want %d records with root %s", moved, n, want)
		}
		checkProgress(t, told, moved)
		if got := rootOf(t, way.to); got != want {
			t.Errorf("root of the target: got %s, want %s", got, want)
		}
	}
	original := records(t, cluster)
	for i, r := range records(t, again) {
		if !r.Equal(original[i]) {
			t.Fatalf("record %d came back as another one", r.Sequence)
		}
	}
	if d := eventstore.DisorderOf(file); d < time.Second || d > 2*time.Second {
		t.Errorf("disorder of the file: got %s, want about two seconds", d)
	}
}

func checkProgress(t *testing.T, told []move.Progress, moved move.Moved) {
	t.Helper()
	steps, before := map[move.Step]move.Progress{}, move.Progress{}
	for _, p := range told {
		if p.Step == before.Step && (p.Records < before.Records || p.Bytes < before.Bytes) {
			t.Errorf("progress went back: %+v after %+v", p, before)
		}
		steps[p.Step], before = p, p
	}
	for _, step := range []move.Step{move.Copying, move.Comparing} {
		if p := steps[step]; p.Records != moved.Size || p.Total != moved.Size || p.Bytes != moved.Bytes || p.PerSecond <= 0 {
			t.Errorf("%s ended with %+v", step, p)
		}
	}
}

// limping is a target that takes so many batches and then fails.
type limping struct {
	move.Target
	batches int
	sizes   []int
	err     error
}

func (l *limping) Import(ctx context.Context, records []eventstore.Record) error {
	if l.batches == 0 {
		return l.err
	}
	l.batches--
	l.sizes = append(l.sizes, len(records))
	return l.Target.Import(ctx, records)
}

func TestResumed(t *testing.T) {
	t.Parallel()
	from, to := written(t, 3500), sqlite(t)
	broken := errors.New("broken line")
	options := move.Options{From: from, To: &limping{Target: to, batches: 2, err: broken}, Clock: time.Now}
	if _, err := move.Log(t.Context(), options); !errors.Is(err, broken) {
		t.Fatalf("got %v, want %v", err, broken)
	}
	if head, _, err := to.Head(t.Context()); err != nil || head != 2*eventstore.MaxAppendCount {
		t.Fatalf("head after the fault: got %d, %v", head, err)
	}
	options.To = to
	for _, copied := range []uint64{1500, 0} { // and once more, with nothing left to do
		moved, err := move.Log(t.Context(), options)
		if err != nil || moved.Copied != copied || moved.Size != 3500 || moved.Root != rootOf(t, from) {
			t.Errorf("got %+v, %v, want %d copied", moved, err, copied)
		}
	}
}

func TestEmptyLog(t *testing.T) {
	t.Parallel()
	moved, err := move.Log(t.Context(), move.Options{From: memstore.New(time.Now), To: memstore.New(time.Now), Clock: time.Now})
	if err != nil || moved.Size != 0 || moved.Root != merkle.EmptyRoot() {
		t.Errorf("got %+v, %v", moved, err)
	}
}

// TestBatchesAreBounded: by bytes, but a record that is larger goes alone.
func TestBatchesAreBounded(t *testing.T) {
	t.Parallel()
	from := memstore.New(time.Now)
	for i, size := range []int{eventstore.MaxAppendBytes - 200, 400 << 10, 400 << 10, 400 << 10, 10} {
		event := storetest.Events(fmt.Sprint(i), 1)
		event[0].Data = []byte(`{"text":"` + strings.Repeat("x", size) + `"}`)
		if _, err := from.Append(t.Context(), fmt.Sprint("wide-", i), eventstore.NoStream(), event); err != nil {
			t.Fatal(err)
		}
	}
	to := &limping{Target: memstore.New(time.Now), batches: 100}
	if _, err := move.Log(t.Context(), move.Options{From: from, To: to, Clock: time.Now}); err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(to.sizes), "[1 2 2]"; got != want {
		t.Errorf("batches of %s, want %s", got, want)
	}
}

// forged hands out one record with other data, where a target's own disk may
// have changed it.
type forged struct {
	move.Target
	n eventstore.Sequence
}

func (f *forged) ReadAll(ctx context.Context, from eventstore.Sequence) iter.Seq2[eventstore.Record, error] {
	return func(yield func(eventstore.Record, error) bool) {
		for r, err := range f.Target.ReadAll(ctx, from) {
			if r.Sequence == f.n {
				r.Data = []byte(`{"forged":true}`)
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

func TestRefusesAnotherLog(t *testing.T) {
	t.Parallel()
	from := written(t, 50)
	other := memstore.New(time.Now)
	if _, err := other.Append(t.Context(), "user-0", eventstore.NoStream(), storetest.Events("other", 3)); err != nil {
		t.Fatal(err)
	}
	longer := written(t, 60)
	for _, c := range []struct {
		name string
		to   move.Target
		want string
	}{
		{"other records", other, "record 3 is not the source's"},
		{"more records", longer, "it has 60 records, the source 50"},
		{"one record changed", &forged{Target: memstore.New(time.Now), n: 17}, "record 17 is not the source's"},
	} {
		before, _, err := c.to.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, err = move.Log(t.Context(), move.Options{From: from, To: c.to, Clock: time.Now})
		if !errors.Is(err, move.ErrOtherLog) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
		if after, _, err := c.to.Head(t.Context()); before > 0 && (err != nil || after != before) {
			t.Errorf("%s: the target grew from %d to %d, %v", c.name, before, after, err)
		}
	}
}

// TestRefusesALogThatGrows: somebody appends to one of the two meanwhile.
func TestRefusesALogThatGrows(t *testing.T) {
	t.Parallel()
	for _, step := range []move.Step{move.Copying, move.Comparing} {
		for _, target := range []bool{false, true} {
			from, to := written(t, 1500), memstore.New(time.Now)
			grows := from
			if target {
				grows = to
			}
			done := false
			_, err := move.Log(t.Context(), move.Options{From: from, To: to, Clock: time.Now, Progress: func(p move.Progress) {
				if p.Step != step || p.Records != p.Total || done {
					return
				}
				done = true
				if _, err := grows.Append(t.Context(), "late", eventstore.NoStream(), storetest.Events("late", 1)); err != nil {
					t.Error(err)
				}
			}})
			if !errors.Is(err, move.ErrGrew) || !done {
				t.Errorf("%s, target %v: got %v, want %v", step, target, err, move.ErrGrew)
			}
		}
	}
}

func TestFaultsAndContext(t *testing.T) {
	t.Parallel()
	from := storetest.Faulty(written(t, 1200))
	broken := errors.New("broken disk")
	from.FailReads(1100, broken)
	to := memstore.New(time.Now)
	options := move.Options{From: from, To: to, Clock: time.Now}
	if _, err := move.Log(t.Context(), options); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
	from.Set(storetest.Faults{})
	ctx, cancel := context.WithCancel(t.Context())
	options.Progress = func(move.Progress) { cancel() }
	if _, err := move.Log(ctx, options); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	options.Progress = nil
	if moved, err := move.Log(t.Context(), options); err != nil || moved.Size != 1200 {
		t.Errorf("got %+v, %v", moved, err)
	}
}

func BenchmarkLog(b *testing.B) {
	from := written(b, 20_000)
	for b.Loop() {
		if _, err := move.Log(b.Context(), move.Options{From: from, To: sqlite(b), Clock: time.Now}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(20_000*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
