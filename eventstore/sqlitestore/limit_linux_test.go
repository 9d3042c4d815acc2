package sqlitestore_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// BenchmarkLimit is what the store's appends are compared with: records of
// 411 bytes behind a queue, all that wait written and synced at once, without
// index, conflict check or anchor. Run it in the same process as
// BenchmarkStore and compare ratios.
func BenchmarkLimit(b *testing.B) {
	for _, callers := range []int{1, 64, 512} {
		b.Run(fmt.Sprintf("append/callers=%d", callers), func(b *testing.B) { benchmarkLimit(b, callers) })
	}
}

func benchmarkLimit(b *testing.B, callers int) {
	f, err := os.Create(filepath.Join(b.TempDir(), "log"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	requests := make(chan chan error, callers)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		writeLog(f, requests)
	}()
	var left atomic.Int64
	left.Store(int64(b.N))
	latencies := make([][]time.Duration, callers)
	var group sync.WaitGroup
	b.ResetTimer()
	for c := range callers {
		group.Go(func() {
			for done := make(chan error, 1); left.Add(-1) >= 0; {
				start := time.Now()
				requests <- done
				if err := <-done; err != nil {
					b.Error(err)
					return
				}
				latencies[c] = append(latencies[c], time.Since(start))
			}
		})
	}
	group.Wait()
	b.StopTimer()
	close(requests)
	<-ended
	all := slices.Concat(latencies...)
	slices.Sort(all)
	b.ReportMetric(float64(len(all))/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(all[len(all)/2].Nanoseconds())/1000, "p50-µs")
	b.ReportMetric(float64(all[len(all)*99/100].Nanoseconds())/1000, "p99-µs")
}

func writeLog(f *os.File, requests <-chan chan error) {
	var batch []byte
	var waiting []chan error
	record := make([]byte, 411)
	for done := range requests {
		waiting, batch = append(waiting[:0], done), append(batch[:0], record...)
		for n := len(requests); n > 0; n-- {
			waiting, batch = append(waiting, <-requests), append(batch, record...)
		}
		_, err := f.Write(batch)
		if err == nil {
			err = syscall.Fdatasync(int(f.Fd()))
		}
		for _, done := range waiting {
			done <- err
		}
	}
}
