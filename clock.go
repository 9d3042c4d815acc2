package main

import (
	"fmt"
	"sync"
	"time"
)

// demoClock is the time of a demonstration: it starts where it is told, runs
// at the speed of the real one, and can be put forward, never back. It lets a
// newcomer watch a rule enter into force; it exists only with --demo.
type demoClock struct {
	mu   sync.Mutex
	from time.Time // demonstration time at anchor
	real time.Time // real time at anchor, with its monotonic part
}

// newDemoClock starts at from, or at the real time when from is zero.
func newDemoClock(from time.Time) *demoClock {
	now := time.Now()
	if from.IsZero() {
		from = now
	}
	return &demoClock{from: from.UTC(), real: now}
}

// Now is the demonstration's time in UTC.
func (c *demoClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now()
}

func (c *demoClock) now() time.Time { return c.from.Add(time.Since(c.real)) }

// Set puts the clock forward to t. It refuses to go back: recorded times never
// decrease, and a lock or a code must not come to life again.
func (c *demoClock) Set(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.now(); t.Before(now) {
		return fmt.Errorf("the clock stands at %s and only moves forward", now.Format(time.RFC3339))
	}
	c.from, c.real = t.UTC(), time.Now()
	return nil
}
