package bench

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/esdbstore"
	"github.com/authledger/authledger/eventstore/esdbstore/esdbtest"
	"github.com/authledger/authledger/eventstore/esdbstore/sweep"
	"github.com/authledger/authledger/eventstore/memstore"
	"github.com/authledger/authledger/eventstore/sqlitestore"
)

// This file is a benchmark and not a scenario of Run, since a program that is
// shipped holds no server for tests, and removes nothing from a real one.

// benchOut names the variable with the report that BenchmarkEventDatabase adds
// its rows to; it is begun when there is none. Empty prints only.
const benchOut = "AUTHLEDGER_BENCH_OUT"

// overheadOnly is said with every figure taken over the server in this process.
const overheadOnly = "adapter over an in-process server: overhead only, says nothing about a real cluster"

// BenchmarkEventDatabase measures the store over an event database beside the
// stores of one process, and reports ratios to them. With AUTHLEDGER_TEST_ESDB
// the server is the real one that it names.
func BenchmarkEventDatabase(b *testing.B) {
	r, err := besideReport(b, besideSizes{rounds: 5, callers: []int{1, 64}, appends: []int{2000, 20_000}})
	if err != nil {
		b.Fatal(err)
	}
	if err := r.print(os.Stdout); err != nil {
		b.Fatal(err)
	}
	if err := addTo(os.Getenv(benchOut), r); err != nil {
		b.Fatal(err)
	}
}

// besideSizes say how much is measured. Every store gets the same number of
// records in every round, so that none reads a larger log than the others.
type besideSizes struct {
	rounds  int
	callers []int // concurrent appenders
	appends []int // of all callers together, for each number of callers
}

// contender is a store that is measured.
type contender struct {
	name string
	open func(ctx context.Context, dir string) (eventstore.Store, error)
	// quantities by name, round by round
	rates, latencies map[string]series
}

// besideReport measures all stores in turn.
func besideReport(tb testing.TB, size besideSizes) (r Report, err error) {
	ctx, began := context.Background(), time.Now()
	r = Report{Started: began.UTC(), Rounds: size.rounds}
	if r.Machine, err = describe(tb.TempDir()); err != nil {
		return r, err
	}
	esdb, note, err := eventDatabase(tb)
	if err != nil {
		return r, err
	}
	all := []*contender{esdb, contenderOf("memstore", func(context.Context, string) (eventstore.Store, error) {
		return memstore.New(time.Now), nil
	}), contenderOf("sqlitestore", func(ctx context.Context, dir string) (eventstore.Store, error) {
		return sqlitestore.Open(ctx, sqlitestore.Options{Dir: dir, Clock: time.Now})
	})}
	content, err := singles(ctx)
	if err != nil {
		return r, err
	}
	for round := range size.rounds {
		var sides []func() error
		for _, c := range all {
			sides = append(sides, func() error { return c.measure(ctx, tb.TempDir(), size, content) })
		}
		if err := alternate(round, sides...); err != nil {
			return r, err
		}
	}
	r.Rows = besideRows(all, note)
	r.Seconds = time.Since(began).Seconds()
	return r, nil
}

func contenderOf(name string, open func(context.Context, string) (eventstore.Store, error)) *contender {
	return &contender{name: name, open: open, rates: map[string]series{}, latencies: map[string]series{}}
}

// eventDatabase is the store over servers in this process, one for each round, or
// over the real one, and what is to be said with its figures.
func eventDatabase(tb testing.TB) (c *contender, note string, err error) {
	server, prefix := os.Getenv(sweep.Variable), "b"+strings.ReplaceAll(uuid.NewString(), "-", "")[:10]+"_"
	if server != "" {
		note = "a real server, " + esdbstore.Redacted(server)
		run, err := sweep.Begin(context.Background(), server, prefix)
		if err != nil {
			return nil, "", err
		}
		tb.Cleanup(func() {
			if _, err := run.Clear(context.Background()); err != nil {
				tb.Errorf("streams %s* were left on the server: %v", prefix, err)
			}
		})
	} else {
		note = overheadOnly
	}
	rounds := map[string]esdbstore.Options{} // by the directory that a round's nodes have theirs in
	return contenderOf("esdbstore", func(ctx context.Context, dir string) (eventstore.Store, error) {
		o, ok := rounds[filepath.Dir(dir)]
		if !ok {
			o = esdbstore.Options{URL: server, Prefix: fmt.Sprint(prefix, len(rounds))}
			if server == "" {
				o.URL = esdbtest.Start(tb, esdbtest.Options{}).URL() // a new node reads all that a server holds
			}
			rounds[filepath.Dir(dir)] = o
		}
		o.Dir = dir
		return esdbstore.Open(ctx, o)
	}), note, nil
}

// measure takes one round of all quantities on an empty log.
func (c *contender) measure(ctx context.Context, dir string, size besideSizes, content []eventstore.Proposed) (err error) {
	store, err := c.open(ctx, filepath.Join(dir, "one"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	records := 0
	for i, callers := range size.callers {
		l, err := appendBeside(ctx, store, callers, size.appends[i]/callers, content)
		if err != nil {
			return fmt.Errorf("append to %s: %w", c.name, err)
		}
		records += l.done
		c.rate(fmt.Sprintf("appends, %d callers", callers), l.rate())
		c.latency(fmt.Sprintf("append p50, %d callers", callers), l.p50())
		c.latency(fmt.Sprintf("append p99, %d callers", callers), l.p99())
	}
	if err := c.timed("read back", records, func() (int, error) { return readBack(ctx, store) }); err != nil {
		return err
	}
	if err := c.timed("follow from the beginning", records, func() (int, error) { return followAll(ctx, store, records) }); err != nil {
		return err
	}
	if !eventstore.IsShared(store) {
		return nil // has one node only
	}
	return c.timed("a new node counts the log", records, func() (int, error) {
		node, err := c.open(ctx, filepath.Join(dir, "two"))
		if err != nil {
			return 0, err
		}
		n, _, err := node.Head(ctx)
		return int(n), errors.Join(err, node.Close())
	})
}

func (c *contender) rate(what string, v float64) { c.rates[what] = append(c.rates[what], v) }

func (c *contender) latency(what string, ms float64) {
	c.latencies[what] = append(c.latencies[what], ms)
}

// timed is the rate of something that goes over the whole log.
func (c *contender) timed(what string, records int, do func() (int, error)) error {
	start := time.Now()
	n, err := do()
	if err == nil && n != records {
		err = fmt.Errorf("%d records of %d", n, records)
	}
	if err != nil {
		return fmt.Errorf("%s of %s: %w", what, c.name, err)
	}
	c.rate(what, float64(n)/time.Since(start).Seconds())
	return nil
}

// appendBeside has each caller append single events to a few hundred streams of
// its own.
func appendBeside(ctx context.Context, store eventstore.Store, callers, each int, content []eventstore.Proposed) (load, error) {
	const streams = 200
	heads := make([][streams]eventstore.Expected, callers)
	return drive(ctx, callers, extent{each: each}, func(ctx context.Context, caller, n int) error {
		event := content[(caller+n*callers)%len(content)]
		event.ID = uuid.New()
		head := &heads[caller][n%streams]
		done, err := store.Append(ctx, fmt.Sprintf("user-%d-%d-%d", callers, caller, n%streams), *head, []eventstore.Proposed{event})
		if err == nil {
			*head = eventstore.At(done.Last().Revision, done.Last().Leaf)
		}
		return err
	})
}

func readBack(ctx context.Context, store eventstore.Reader) (n int, err error) {
	for _, err := range store.ReadAll(ctx, 0) {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

func followAll(ctx context.Context, store eventstore.Follower, records int) (n int, err error) {
	for batch, err := range store.Follow(ctx, 0, 1000) {
		if err != nil {
			return n, err
		}
		if n += len(batch); n >= records {
			break
		}
	}
	return n, nil
}

// besideRows compare the first store with the others.
func besideRows(all []*contender, note string) []Row {
	var rows []Row
	add := func(unit string, own map[string]series, of func(*contender) map[string]series) {
		for what, values := range own {
			bases := 0
			for _, other := range all[1:] {
				if base := of(other)[what]; len(base) == len(values) {
					rows, bases = append(rows, measured(what, unit, values).against(other.name, values, base)), bases+1
				}
			}
			if bases == 0 {
				rows = append(rows, measured(what, unit, values))
			}
		}
	}
	add("events/s", all[0].rates, func(c *contender) map[string]series { return c.rates })
	add("ms", all[0].latencies, func(c *contender) map[string]series { return c.latencies })
	for i := range rows {
		rows[i].Scenario, rows[i].Note = all[0].name, note
	}
	slices.SortFunc(rows, func(a, b Row) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Baseline, b.Baseline)) })
	return rows
}

// addTo puts the rows into a report, in place of those of the same scenarios.
func addTo(path string, r Report) error {
	if path == "" {
		return nil
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return r.write(path)
	}
	if err != nil {
		return err
	}
	var there Report
	if err := json.Unmarshal(b, &there); err != nil {
		return fmt.Errorf("%s is no report of the benchmark: %w", path, err)
	}
	for _, row := range r.Rows {
		there.Rows = slices.DeleteFunc(there.Rows, func(old Row) bool { return old.Scenario == row.Scenario })
	}
	there.Rows = append(there.Rows, r.Rows...)
	there.Seconds += r.Seconds
	return there.write(path)
}

// TestBesideReportsEveryRow runs the benchmark small and adds it to a report.
func TestBesideReportsEveryRow(t *testing.T) {
	t.Parallel()
	r, err := besideReport(t, besideSizes{rounds: 2, callers: []int{1, 4}, appends: []int{20, 40}})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, row := range r.Rows {
		got[row.Name]++
		if row.Value.Min <= 0 || row.Ratio != nil && row.Ratio.Min <= 0 || row.Scenario != "esdbstore" {
			t.Errorf("row %+v", row)
		}
		if os.Getenv(sweep.Variable) == "" && row.Note != overheadOnly {
			t.Errorf("%s does not say that it is overhead only", row.Name)
		}
	}
	for name, n := range map[string]int{
		"appends, 1 callers": 2, "append p50, 1 callers": 2, "append p99, 1 callers": 2,
		"appends, 4 callers": 2, "append p50, 4 callers": 2, "append p99, 4 callers": 2,
		"read back": 2, "follow from the beginning": 2, "a new node counts the log": 1,
	} {
		if got[name] != n {
			t.Errorf("%d rows of %s, want %d", got[name], name, n)
		}
	}
	path := filepath.Join(t.TempDir(), "bench.json")
	before := Report{Rounds: 7, Rows: []Row{{Scenario: "login", Name: "x"}, {Scenario: "esdbstore", Name: "old"}}}
	if err := errors.Join(before.write(path), addTo(path, r), addTo(path, r)); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var after Report
	if err := json.Unmarshal(b, &after); err != nil {
		t.Fatal(err)
	}
	if after.Rounds != 7 || len(after.Rows) != len(r.Rows)+1 || after.Rows[0].Name != "x" || after.Rows[1].Name == "old" {
		t.Errorf("report %+v", after)
	}
	var printed strings.Builder
	if err := r.print(&printed); err != nil || !strings.Contains(printed.String(), "esdbstore: "+r.Rows[0].Note) {
		t.Errorf("printed %v\n%s", err, &printed)
	}
}
