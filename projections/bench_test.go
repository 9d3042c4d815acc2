package projections

import (
	"context"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
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
	var took time.Duration
	for range b.N {
		before := scan(b, w)
		start := time.Now()
		work()
		round := time.Since(start)
		limit := (before + scan(b, w)) / 2
		took += round
		ratios = append(ratios, limit.Seconds()/round.Seconds())
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "of-scan")
	b.ReportMetric(float64(len(w.log)*b.N)/took.Seconds(), "events/s")
	b.ReportMetric(0, "ns/op")
}

func BenchmarkViews(b *testing.B) {
	w := crowd(b)
	ctx := context.Background()
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
	b.Run("live", func(b *testing.B) {
		against(b, w, func() {
			o := w.options()
			o.Dir = b.TempDir()
			v := w.open(o)
			for batch := range slices.Chunk(w.log, 1000) {
				if err := v.Apply(ctx, batch); err != nil {
					b.Fatal(err)
				}
			}
			if err := v.Close(); err != nil {
				b.Fatal(err)
			}
		})
	})
	b.Run("hash", func(b *testing.B) {
		v := w.views()
		against(b, w, func() {
			if _, _, err := v.Hash(ctx); err != nil {
				b.Fatal(err)
			}
		})
	})
}

func fileSize(b *testing.B, dir string) int64 {
	info, err := os.Stat(dir + "/" + viewsName)
	if err != nil {
		b.Fatal(err)
	}
	return info.Size()
}
