package bridge

import (
	"context"
	"time"
)

// Backoff is a doubling pause. The zero value means a hundred milliseconds to
// thirty seconds.
type Backoff struct {
	Min time.Duration // after the first failure
	Max time.Duration // never longer
}

func (b Backoff) withDefaults(least, most time.Duration) Backoff {
	if b.Min <= 0 {
		b.Min = least
	}
	if b.Max <= 0 {
		b.Max = most
	}
	b.Max = max(b.Min, b.Max)
	return b
}

// after is the pause after so many failures in a row, from one.
func (b Backoff) after(failures int) time.Duration {
	d := b.Min
	for range failures - 1 {
		if d >= b.Max/2 {
			return b.Max
		}
		d *= 2
	}
	return d
}

// wait sleeps and reports whether ctx still lives.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
