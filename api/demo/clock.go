package demo

import (
	"sync"
	"time"
)

// Clock is a simulated clock that only its owner moves.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock stands at t.
func NewClock(t time.Time) *Clock { return &Clock{now: t.UTC()} }

// Now is the simulated time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// To moves the clock to t; it never goes back.
func (c *Clock) To(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.After(c.now) {
		c.now = t.UTC()
	}
}

// Advance moves the clock by d.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}
