package bridge

import (
	"log/slog"
	"sync"
	"time"
)

// subscription is what every kind of subscription has: a name and patience with
// a store that fails.
type subscription struct {
	name       string // for logs
	storePause Backoff
	trouble    *trouble
	log        *slog.Logger
}

func (s *subscription) of() *subscription { return s }

// trouble remembers what holds the subscriptions of one Subscriber up, and
// logs when it begins and ends rather than at every attempt.
type trouble struct {
	now func() time.Time

	mu   sync.Mutex // guards the rest
	held map[*subscription]problem
}

type problem struct {
	since time.Time
	err   error
}

func newTrouble(now func() time.Time) *trouble {
	return &trouble{now: now, held: map[*subscription]problem{}}
}

func (t *trouble) report(f *subscription, err error) {
	t.mu.Lock()
	p, known := t.held[f]
	if !known {
		p.since = t.now()
	}
	p.err = err
	t.held[f] = p
	t.mu.Unlock()
	if !known {
		f.log.Warn("subscription is held up and retries", "subscription", f.name, "error", err)
	}
}

func (t *trouble) clear(f *subscription) {
	t.mu.Lock()
	p, known := t.held[f]
	delete(t.held, f)
	t.mu.Unlock()
	if known {
		f.log.Info("subscription goes on", "subscription", f.name, "after", t.now().Sub(p.since))
	}
}

// forget removes a subscription that ended.
func (t *trouble) forget(f *subscription) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.held, f)
}

// oldest returns the problem that has lasted longest.
func (t *trouble) oldest() (time.Time, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var first problem
	for _, p := range t.held {
		if first.err == nil || p.since.Before(first.since) {
			first = p
		}
	}
	return first.since, first.err
}
