package bridge

import (
	"sync"
	"time"
)

// trouble remembers what holds the subscriptions of one Subscriber up, and
// logs when it begins and ends rather than at every attempt.
type trouble struct {
	now func() time.Time

	mu    sync.Mutex // guards the rest
	feeds map[*feed]problem
}

type problem struct {
	since time.Time
	err   error
}

func newTrouble(now func() time.Time) *trouble {
	return &trouble{now: now, feeds: map[*feed]problem{}}
}

func (t *trouble) report(f *feed, err error) {
	t.mu.Lock()
	p, known := t.feeds[f]
	if !known {
		p.since = t.now()
	}
	p.err = err
	t.feeds[f] = p
	t.mu.Unlock()
	if !known {
		f.log.Warn("subscription is held up and retries", "subscription", f.name, "error", err)
	}
}

func (t *trouble) clear(f *feed) {
	t.mu.Lock()
	p, known := t.feeds[f]
	delete(t.feeds, f)
	t.mu.Unlock()
	if known {
		f.log.Info("subscription goes on", "subscription", f.name, "after", t.now().Sub(p.since))
	}
}

// forget removes a feed that ended.
func (t *trouble) forget(f *feed) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.feeds, f)
}

// oldest returns the problem that has lasted longest.
func (t *trouble) oldest() (time.Time, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var first problem
	for _, p := range t.feeds {
		if first.err == nil || p.since.Before(first.since) {
			first = p
		}
	}
	return first.since, first.err
}
