package bench

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// peaks are the most memory a piece of work took above what was there before,
// in MiB.
type peaks struct {
	heap     float64 // live and not yet collected Go objects
	resident float64 // of the whole process; 0 where it is not known
}

// sampleEvery is fine enough to see a garbage collector's saw teeth.
const sampleEvery = 5 * time.Millisecond

// watched runs work and samples the process beside it.
func watched(work func() error) (peaks, error) {
	runtime.GC()
	debug.FreeOSMemory()
	floor := sample()
	stop, top := make(chan struct{}), make(chan usage)
	go func() {
		tick := time.NewTicker(sampleEvery)
		defer tick.Stop()
		most := floor
		for {
			now := sample()
			most.heap, most.resident = max(most.heap, now.heap), max(most.resident, now.resident)
			select {
			case <-tick.C:
			case <-stop:
				top <- most
				return
			}
		}
	}()
	err := work()
	close(stop)
	most := <-top
	return peaks{heap: above(most.heap, floor.heap), resident: above(most.resident, floor.resident)}, err
}

// above is in MiB, and at least a page where it is known, so that ratios exist.
func above(most, floor uint64) float64 {
	if most == 0 {
		return 0
	}
	return float64(max(most-floor, 4<<10)) / (1 << 20)
}

// usage is in bytes.
type usage struct{ heap, resident uint64 }

func sample() usage {
	m := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(m)
	r, _ := resident()
	return usage{heap: m[0].Value.Uint64(), resident: r}
}
