package storetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authledger/authledger/eventstore"
)

// Benchmark measures durable appends of one event of about 300 bytes, callers
// at once, each on streams of its own and waiting for its answer, and then the
// read of the whole log. It reports events/s, and p50 and p99 in microseconds.
func Benchmark(b *testing.B, factory Factory) {
	for _, callers := range []int{1, 64, 512} {
		b.Run(fmt.Sprintf("append/callers=%d", callers), func(b *testing.B) { benchmarkAppend(b, factory, callers) })
	}
	b.Run("read", func(b *testing.B) { benchmarkRead(b, factory) })
}

func benchmarkAppend(b *testing.B, factory Factory, callers int) {
	store := factory(b, b.TempDir(), time.Now)
	defer store.Close()
	var left atomic.Int64
	left.Store(int64(b.N))
	latencies := make([][]time.Duration, callers)
	var group sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for c := range callers {
		group.Go(func() {
			heads := make([]eventstore.Expected, 200)
			for i := 0; left.Add(-1) >= 0; i++ {
				n := i * 7919 % len(heads)
				start := time.Now()
				a, err := store.Append(b.Context(), fmt.Sprintf("user-%d-%d", c, n), heads[n], payload(c, i))
				if err != nil {
					b.Errorf("append: %v", err)
					return
				}
				heads[n] = after(a)
				latencies[c] = append(latencies[c], time.Since(start))
			}
		})
	}
	group.Wait()
	b.StopTimer()
	all := slices.Concat(latencies...)
	slices.Sort(all)
	if len(all) > 0 {
		b.ReportMetric(float64(len(all))/b.Elapsed().Seconds(), "events/s")
		b.ReportMetric(float64(all[len(all)/2].Nanoseconds())/1000, "p50-µs")
		b.ReportMetric(float64(all[len(all)*99/100].Nanoseconds())/1000, "p99-µs")
	}
}

func benchmarkRead(b *testing.B, factory Factory) {
	const size = 50_000
	store := factory(b, b.TempDir(), time.Now)
	defer store.Close()
	for i := range size / 100 {
		if _, err := store.Append(context.Background(), fmt.Sprintf("user-%d", i), eventstore.NoStream(), batch(i, 100)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	read := 0
	for range b.N {
		for _, err := range store.ReadAll(b.Context(), 0) {
			if err != nil {
				b.Fatal(err)
			}
			read++
		}
	}
	b.ReportMetric(float64(read)/b.Elapsed().Seconds(), "events/s")
}

// payload is one event of the size the goals are measured with.
func payload(caller, n int) []eventstore.Proposed { return batch(caller<<40|n, 1) }

func batch(n, size int) []eventstore.Proposed {
	events := Events(fmt.Sprintf("bench %d", n), size)
	for i := range events {
		events[i].Data = fmt.Appendf(nil, `{"challenge_id":"chl_%026d_%d","method":"push","transaction_id":"%032d","factors":["possession","knowledge"],"expires_at":"2026-03-04T05:08:07.000000Z","attempt":%d}`, n, i, n, i)
		events[i].Metadata = fmt.Appendf(nil, `{"command_id":"%032x","command":"SubmitResponse","actor":"login"}`, n)
	}
	return events
}
