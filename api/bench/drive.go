package bench

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// load is what a closed loop came to.
type load struct {
	done    int
	elapsed time.Duration
	took    []time.Duration // of each operation, sorted
}

func (l load) rate() float64 { return float64(l.done) / l.elapsed.Seconds() }
func (l load) p50() float64  { return quantile(l.took, 0.50) }
func (l load) p99() float64  { return quantile(l.took, 0.99) }

// extent is how long a loop runs. Every limit that is set ends it, between two
// operations.
type extent struct {
	window time.Duration // from the start
	each   int           // operations of each caller
	until  func() bool   // asked before each operation
}

func (e extent) over(start, now time.Time, n int) bool {
	return e.window > 0 && now.Sub(start) >= e.window || e.each > 0 && n >= e.each || e.until != nil && e.until()
}

// drive lets callers repeat do, each waiting for its own answer, and measures.
// It returns when all have ended; the first error ends all.
func drive(ctx context.Context, callers int, e extent, do func(ctx context.Context, caller, n int) error) (load, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	took := make([][]time.Duration, callers)
	var running sync.WaitGroup
	start := time.Now()
	for caller := range callers {
		running.Go(func() {
			var err error
			if took[caller], err = repeat(ctx, e, start, func(n int) error { return do(ctx, caller, n) }); err != nil {
				cancel(err)
			}
		})
	}
	running.Wait()
	l := load{elapsed: time.Since(start), took: slices.Concat(took...)}
	l.done = len(l.took)
	slices.Sort(l.took)
	if err := context.Cause(ctx); err != nil {
		return load{}, err
	}
	if l.done == 0 {
		return load{}, errors.New("nothing was done in the time given")
	}
	return l, nil
}

func repeat(ctx context.Context, e extent, start time.Time, do func(n int) error) ([]time.Duration, error) {
	took := make([]time.Duration, 0, max(e.each, 4096))
	for n := 0; ctx.Err() == nil; n++ {
		before := time.Now()
		if e.over(start, before, n) {
			break
		}
		if err := do(n); err != nil {
			return took, err
		}
		took = append(took, time.Since(before))
	}
	return took, nil
}
