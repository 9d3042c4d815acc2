package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tiny is Quick, small enough for the race detector.
func tiny(t *testing.T) (c Config, printed *bytes.Buffer) {
	printed = &bytes.Buffer{}
	return Config{
		Dir: t.TempDir(), Out: filepath.Join(t.TempDir(), "bench.json"), Print: printed, Boot: boot, Quick: true, Rounds: 1, Events: 3000,
	}, printed
}

// wantRows are the rows of a run by scenario; those that need /proc are marked.
func wantRows() []string {
	var rows []string
	for _, n := range []int{1, 64, 512} {
		for _, what := range []string{"durable appends", "append p50", "append p99", "events per commit", "linux bytes written per event"} {
			rows = append(rows, fmt.Sprintf("append/%s, %d callers", what, n))
		}
	}
	rows = append(rows, "seal/durable appends with the sealer running, 64 callers",
		"login/logins over HTTP, 64 clients", "login/login p50, 64 clients", "login/login p99, 64 clients", "login/logins without HTTP, 64 clients",
		"login/logins, users with 50 events", "login/logins, users with 200 events",
		"rebuild/ordered scan", "rebuild/ordered scan that decodes", "rebuild/rebuild of all views", "rebuild/rebuild of all views",
		"rebuild/rebuild, rate as the ledger grows", "rebuild/scan that decodes, peak heap", "rebuild/rebuild, peak heap",
		"rebuild/linux scan that decodes, peak resident memory", "rebuild/linux rebuild, peak resident memory",
		"rebuild/cold load of a user", "rebuild/cold load of a user with 1000 events",
		"verify/ordered scan", "verify/verification of the whole log", "verify/verification, peak heap")
	var here []string
	for _, r := range rows {
		if runtime.GOOS == "linux" || !strings.Contains(r, "/linux ") {
			here = append(here, strings.Replace(r, "/linux ", "/", 1))
		}
	}
	return here
}

func TestQuickRunReportsEveryRow(t *testing.T) {
	c, printed := tiny(t)
	var progress bytes.Buffer
	c.Progress, c.Profiles = &progress, t.TempDir()
	if err := Run(t.Context(), c); err != nil {
		t.Fatalf("%v\n%s", err, progress.String())
	}
	b, err := os.ReadFile(c.Out)
	if err != nil {
		t.Fatal(err)
	}
	var r Report
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, row := range r.Rows {
		names = append(names, row.Scenario+"/"+row.Name)
		if row.Value.Min <= 0 || row.Value.Median < row.Value.Min || row.Value.Max < row.Value.Median {
			t.Errorf("%s = %+v, want positive values in order", row.Name, row.Value)
		}
		if (row.Ratio == nil) != (row.Baseline == "") || row.Ratio != nil && (row.Ratio.Min <= 0 || row.BaselineValue <= 0) {
			t.Errorf("%s against %q: ratio %+v to %g, want both or neither, positive", row.Name, row.Baseline, row.Ratio, row.BaselineValue)
		}
		if (row.Met == nil) != (row.Goal == "") {
			t.Errorf("%s has goal %q and met %v, want both or neither", row.Name, row.Goal, row.Met)
		}
		if row.Name == "events per commit, 1 callers" && row.Value.Median != 1 {
			t.Errorf("%g events per commit of a lone caller, want 1", row.Value.Median)
		}
		if !strings.Contains(printed.String(), row.Name) {
			t.Errorf("%s is not in the table", row.Name)
		}
	}
	if d := cmp.Diff(wantRows(), names); d != "" {
		t.Errorf("rows (-want +got):\n%s", d)
	}
	if m := r.Machine; m.Cores < 1 || m.Go == "" || m.Filesystem == "" || m.FlushMS <= 0 {
		t.Errorf("machine = %+v, want all of it described", m)
	}
	if left, err := os.ReadDir(c.Dir); err != nil || len(left) > 0 {
		t.Errorf("scratch directory holds %v, %v; want nothing", left, err)
	}
	for _, name := range []string{"append-1", "append-64", "append-512", "login", "journal", "rebuild", "verify"} {
		if info, err := os.Stat(filepath.Join(c.Profiles, name+".1.pprof")); err != nil || info.Size() == 0 {
			t.Errorf("profile %s: %v, want a file with content", name, err)
		}
	}
}

func TestRunRefusesUnknownScenarios(t *testing.T) {
	t.Parallel()
	c, _ := tiny(t)
	c.Only = []string{"append", "flight"}
	if err := Run(t.Context(), c); err == nil || !strings.Contains(err.Error(), "flight") {
		t.Errorf("error = %v, want the unknown name", err)
	}
	c.Only, c.Boot = nil, nil
	if err := Run(t.Context(), c); err == nil || !strings.Contains(err.Error(), "boot") {
		t.Errorf("error = %v, want that the product must boot", err)
	}
}

func TestRunEndsWithTheErrorOfAScenario(t *testing.T) {
	t.Parallel()
	c, printed := tiny(t)
	broken := errors.New("no product today")
	c.Only, c.Boot = []string{"login"}, func(context.Context, string) (Target, error) { return Target{}, broken }
	if err := Run(t.Context(), c); !errors.Is(err, broken) {
		t.Errorf("error = %v, want %v", err, broken)
	}
	if _, err := os.Stat(c.Out); !os.IsNotExist(err) || printed.Len() > 0 {
		t.Errorf("report after an error: %v, printed %q; want none", err, printed)
	}
	if left, err := os.ReadDir(c.Dir); err != nil || len(left) > 0 {
		t.Errorf("scratch directory holds %v, %v; want nothing", left, err)
	}
}

func TestRawLogWritesEveryFrameInOrder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const size, callers, each = 1 << 20, 8, 50
	frame := func(n int) []byte { return fmt.Appendf(nil, "<%04d>", n) }
	l, perCommit, err := measureRaw(t.Context(), dir, size, callers, extent{each: each}, frame)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "raw.log"))
	if err != nil {
		t.Fatal(err)
	}
	if len(b) != size {
		t.Errorf("file of %d bytes, want the %d preallocated", len(b), size)
	}
	frames := strings.SplitAfter(strings.TrimRight(string(b), "\x00"), ">")
	frames = frames[:len(frames)-1]
	last := map[int]int{}
	for _, f := range frames {
		var n int
		if _, err := fmt.Sscanf(f, "<%d>", &n); err != nil {
			t.Fatalf("frame %q: %v", f, err)
		}
		if caller := n % callers; n < last[caller] {
			t.Errorf("frame %d after %d of the same caller", n, last[caller])
		} else {
			last[caller] = n
		}
	}
	if l.done != callers*each || len(frames) != callers*each || perCommit < 1 || perCommit > callers {
		t.Errorf("%d appends, %d frames, %g per flush; want %d of each and at most %d per flush", l.done, len(frames), perCommit, callers*each, callers)
	}
}

func TestRawLogStartsOverAtItsEnd(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, _, err := measureRaw(t.Context(), dir, 10, 1, extent{each: 4}, func(n int) []byte { return fmt.Appendf(nil, "[%02d]", n) })
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "raw.log")); err != nil || string(b) != "[02][03]\x00\x00" {
		t.Errorf("file %q, %v; want the last two frames over the first two", b, err)
	}
}

func TestDriveStopsAtTheFirstError(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	_, err := drive(t.Context(), 4, extent{until: func() bool { return false }}, func(_ context.Context, caller, n int) error {
		if caller == 2 && n == 3 {
			return broken
		}
		return nil
	})
	if !errors.Is(err, broken) {
		t.Errorf("error = %v, want %v", err, broken)
	}
}

func TestDriveEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	_, err := drive(ctx, 2, extent{until: func() bool { return false }}, func(_ context.Context, _, n int) error {
		if n == 10 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want %v", err, context.Canceled)
	}
}

func TestDriveCountsAndSorts(t *testing.T) {
	t.Parallel()
	l, err := drive(t.Context(), 3, extent{each: 5}, func(context.Context, int, int) error { return nil })
	if err != nil || l.done != 15 || len(l.took) != 15 || !slices.IsSorted(l.took) || l.rate() <= 0 {
		t.Errorf("load = %+v, %v; want 15 sorted times", l, err)
	}
}

func TestSpan(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		in   series
		want Span
	}{
		{"one round", series{4}, Span{4, 4, 4}},
		{"odd", series{9, 1, 5}, Span{5, 1, 9}},
		{"even", series{8, 2, 4, 6}, Span{5, 2, 8}},
	} {
		if got := c.in.span(); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// The ratio of the medians would be 1: both sides have the same values.
func TestRatiosAreFormedInsideARound(t *testing.T) {
	t.Parallel()
	own, base := series{10, 20, 40}, series{40, 10, 20}
	row := measured("x", "events/s", own).against("y", own, base)
	if want := (Span{Median: 2, Min: 0.25, Max: 2}); *row.Ratio != want {
		t.Errorf("ratio = %+v, want %+v", *row.Ratio, want)
	}
}

func TestGoals(t *testing.T) {
	t.Parallel()
	row := measured("x", "ms", series{8}).against("y", series{8}, series{4})
	for _, c := range []struct {
		row  Row
		goal string
		met  bool
	}{
		{row.atLeast("A", 2), "A ratio >= 2", true},
		{row.atLeast("A", 2.1), "A ratio >= 2.1", false},
		{row.atMost("B", 2), "B ratio <= 2", true},
		{row.atMost("B", 1.9), "B ratio <= 1.9", false},
		{row.valueAtMost("C", 8), "C <= 8 ms", true},
		{row.valueAtMost("C", 7), "C <= 7 ms", false},
		{row.atMost("B", 2).valueAtMost("C", 7), "B ratio <= 2, C <= 7 ms", false},
		{row.atMost("B", 1).valueAtMost("C", 8), "B ratio <= 1, C <= 8 ms", false},
	} {
		if c.row.Goal != c.goal || *c.row.Met != c.met {
			t.Errorf("goal %q met %v, want %q met %v", c.row.Goal, *c.row.Met, c.goal, c.met)
		}
	}
}

func TestQuantile(t *testing.T) {
	t.Parallel()
	var sorted []time.Duration
	for i := range 100 {
		sorted = append(sorted, time.Duration(i+1)*time.Millisecond)
	}
	if p50, p99 := quantile(sorted, 0.5), quantile(sorted, 0.99); p50 != 51 || p99 != 100 {
		t.Errorf("p50 %g, p99 %g; want 51 and 100", p50, p99)
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	body := []byte(`{"authenticationId":"txn_1","challenge":{"id":"chl_2","offlineChallenge":"123456"}}`)
	if id, ok := text(body, "id"); id != "chl_2" || !ok {
		t.Errorf("id = %q, %v; want the challenge's", id, ok)
	}
	if _, ok := text(body, "result"); ok {
		t.Error("found a member that is not there")
	}
}

func TestUnexpectedAnswersShowNoBody(t *testing.T) {
	t.Parallel()
	err := unexpected("/v1/x", 429, []byte(`{"code":"rate_limited","detail":"4711"}`))
	if text := err.Error(); !strings.Contains(text, "429 rate_limited") || strings.Contains(text, "4711") {
		t.Errorf("error = %v, want status and code only", err)
	}
}

func TestLoginsAreTriedAgainAfterARefusal(t *testing.T) {
	t.Parallel()
	tried := 0
	if err := untilLetIn(func() (bool, error) { tried++; return tried == 2, nil }); err != nil || tried != 2 {
		t.Errorf("%v after %d tries, want to be let in at the second", err, tried)
	}
	if err := untilLetIn(func() (bool, error) { return false, nil }); err == nil {
		t.Error("never let in, and no error")
	}
	broken := errors.New("broken")
	if err := untilLetIn(func() (bool, error) { return false, broken }); !errors.Is(err, broken) {
		t.Errorf("error = %v, want %v", err, broken)
	}
}
