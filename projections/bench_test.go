package projections

import (
	"context"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
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

func rate(b *testing.B, events int) {
	b.Helper()
	b.ReportMetric(float64(events)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(0, "ns/op")
}

// The limit a rebuild is held against is scan: an ordered read that decodes
// every record and does nothing with it.
func BenchmarkViews(b *testing.B) {
	w := crowd(b)
	ctx := context.Background()
	b.Run("scan", func(b *testing.B) {
		for range b.N {
			for r, err := range w.reader().ReadAll(ctx, 1) {
				if err == nil {
					_, err = w.codec.Decode(r)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		}
		rate(b, len(w.log))
	})
	b.Run("rebuild", func(b *testing.B) {
		for range b.N {
			o := w.options()
			o.Dir = b.TempDir()
			if _, err := Rebuild(ctx, o, w.reader(), false, nil); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(fileSize(b, o.Dir))/float64(len(w.log)), "bytes/event")
		}
		rate(b, len(w.log))
	})
	b.Run("live", func(b *testing.B) {
		for range b.N {
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
		}
		rate(b, len(w.log))
	})
	b.Run("hash", func(b *testing.B) {
		v := w.views()
		b.ResetTimer()
		for range b.N {
			if _, _, err := v.Hash(ctx); err != nil {
				b.Fatal(err)
			}
		}
		rate(b, len(w.log))
	})
}

func fileSize(b *testing.B, dir string) int64 {
	info, err := os.Stat(dir + "/" + viewsName)
	if err != nil {
		b.Fatal(err)
	}
	return info.Size()
}
