package projections

import (
	"context"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// crowd is a log of about n events of many users, the same for every run.
func crowd(b *testing.B) *world {
	b.Helper()
	n := 100_000
	if text := os.Getenv("AUTHLEDGER_BENCH_EVENTS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	w := newWorld(b)
	random := rand.New(rand.NewPCG(1, 2))
	s := newStories(w, n/100, random.IntN)
	s.episodes = s.everyday()
	s.arrive()
	for len(w.log) < n {
		s.episode()
	}
	return w
}

// scan is the limit the others are held against: an ordered read that decodes
// every record and does nothing with it.
func scan(b *testing.B, w *world) time.Duration {
	b.Helper()
	start := time.Now()
	for r, err := range w.reader().ReadAll(context.Background(), 1) {
		if err == nil {
			_, err = w.codec.Decode(r)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(start)
}

// against runs work between two scans and reports its rate and how it compares
// with theirs, in every round, because the machine is shared.
func against(b *testing.B, w *world, work func()) {
	b.Helper()
	var ratios []float64
	var took, cpu time.Duration
	for range b.N {
		before := scan(b, w)
		start, used := time.Now(), cpuTime(b)
		work()
		round := time.Since(start)
		cpu += cpuTime(b) - used
		limit := (before + scan(b, w)) / 2
		took += round
		ratios = append(ratios, limit.Seconds()/round.Seconds())
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "of-scan")
	b.ReportMetric(float64(len(w.log)*b.N)/took.Seconds(), "events/s")
	b.ReportMetric(float64(cpu.Microseconds())/float64(len(w.log)*b.N), "cpu-µs/event")
	b.ReportMetric(0, "ns/op")
}

// cpuTime is what the process has used of all cores, which neighbours on the
// machine change less than they change its speed.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkViews(b *testing.B) {
	w := crowd(b)
	ctx := context.Background()
	b.Run("scan", func(b *testing.B) { against(b, w, func() { scan(b, w) }) })
	b.Run("rebuild", func(b *testing.B) {
		against(b, w, func() {
			o := w.options()
			o.Dir = b.TempDir()
			if _, err := Rebuild(ctx, o, w.reader(), false, nil); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(fileSize(b, o.Dir))/float64(len(w.log)), "bytes/event")
		})
	})
	for _, size := range []int{5, 20, 1000} { // one append, what gathers under load, catching up
		b.Run("live-"+strconv.Itoa(size), func(b *testing.B) {
			against(b, w, func() {
				o := w.options()
				o.Dir = b.TempDir()
				v := w.open(o)
				for batch := range slices.Chunk(w.log, size) {
					if err := v.Apply(ctx, batch); err != nil {
						b.Fatal(err)
					}
				}
				if err := v.Close(); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
	b.Run("hash", func(b *testing.B) {
		v := w.views()
		against(b, w, func() {
			if _, _, err := v.Hash(ctx); err != nil {
				b.Fatal(err)
			}
		})
	})
}

// What an auditor asks, "nothing found" included; the slowest of all rounds is
// what counts.
func BenchmarkQueries(b *testing.B) {
	w := crowd(b)
	v := w.views()
	quiet := w.log[len(w.log)-1].RecordedAt.Add(time.Hour)
	busiest := user(1)
	for name, f := range map[string]EventFilter{
		"all":               {Listing: Listing{Descending: true}},
		"user":              {Subject: busiest},
		"type":              {Types: []string{"SMSDelivered"}},
		"outcome":           {Outcomes: []Outcome{OutcomeRefusal, OutcomeFailure}, Listing: Listing{Descending: true}},
		"occurred":          {TimeField: TimeOccurred, Listing: Listing{Since: dawn.Add(time.Hour), Until: dawn.Add(9 * time.Hour)}},
		"nothing-type":      {Types: []string{"SMSDelivered"}, Reasons: []string{"USER_LOCKED"}},
		"nothing-window":    {Types: []string{"SMSDelivered"}, Listing: Listing{Since: quiet}},
		"nothing-occurred":  {TimeField: TimeOccurred, Reasons: []string{"USER_LOCKED"}, Listing: Listing{Since: quiet}},
		"nothing-user-type": {Subject: busiest, Types: []string{"AuditQueryPerformed"}},
	} {
		b.Run(name, func(b *testing.B) {
			var worst time.Duration
			for range b.N {
				start := time.Now()
				if _, err := v.Events(context.Background(), f); err != nil {
					b.Fatal(err)
				}
				worst = max(worst, time.Since(start))
			}
			b.ReportMetric(float64(worst.Microseconds())/1000, "worst-ms")
		})
	}
}

func fileSize(b *testing.B, dir string) int64 {
	info, err := os.Stat(dir + "/" + viewsName)
	if err != nil {
		b.Fatal(err)
	}
	return info.Size()
}
