package projections

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/authledger/authledger/eventstore"
)

// ErrBehind means that the views have not applied a position in time, or not
// the record a list is pinned at. The error is a *BehindError.
var ErrBehind = errors.New("views are behind")

// BehindError says how far behind. Positions do not tell: they may be sparse.
type BehindError struct {
	Want    eventstore.Position // waited for; zero for a list's record
	Pinned  eventstore.Sequence // the list's record; zero for a position
	Applied eventstore.Sequence // the last record applied
	Err     error               // what holds the views up; nil when they are only slow
}

// Lag is how many records the views are behind, one at least, for somebody who
// knows the log up to newest.
func (e *BehindError) Lag(newest eventstore.Sequence) uint64 {
	return max(uint64(max(newest, e.Pinned, e.Applied)-e.Applied), 1)
}

func (e *BehindError) Error() string {
	if e.Pinned > 0 {
		return fmt.Sprintf("views are behind: the list is as of record %d, have %d", e.Pinned, e.Applied)
	}
	return fmt.Sprintf("views are behind: want position %d, have record %d", e.Want, e.Applied)
}

// Unwrap makes errors.Is(err, ErrBehind) hold.
func (e *BehindError) Unwrap() error { return ErrBehind }

// Status is how far the views have come.
type Status struct {
	Sequence   eventstore.Sequence // last record applied; zero for none
	Position   eventstore.Position // its position
	RecordedAt time.Time           // its time; zero for none
	Err        error               // of the newest attempt to apply, if it failed
}

// progress tells waiters how far the views have come.
type progress struct {
	mu      sync.Mutex // guards the rest
	status  Status
	closed  bool
	changed chan struct{} // closed and dropped at the next change; nil when nobody waits
	waiting int           // callers of WaitFor whose position is not there yet
	hurry   chan struct{} // closed while waiting is not zero; nil when nobody has asked
}

func (p *progress) set(at checkpoint) {
	p.update(func() {
		p.status = Status{Sequence: at.seq, Position: at.position, RecordedAt: at.recorded}
	})
}

func (p *progress) fail(err error) { p.update(func() { p.status.Err = err }) }
func (p *progress) close()         { p.update(func() { p.closed = true }) }

func (p *progress) update(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

// get returns the status and a channel that closes when it changes.
func (p *progress) get() (s Status, closed bool, changed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.changed == nil {
		p.changed = make(chan struct{})
	}
	return p.status, p.closed, p.changed
}

// wait and leave surround a caller's wait.
func (p *progress) wait() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting++; p.waiting > 1 {
		return
	}
	if p.hurry == nil {
		p.hurry = make(chan struct{})
	}
	close(p.hurry)
}

func (p *progress) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting--; p.waiting == 0 {
		p.hurry = nil
	}
}

// hurried returns a channel that is closed while somebody waits.
func (p *progress) hurried() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hurry == nil {
		p.hurry = make(chan struct{})
	}
	return p.hurry
}

// Status returns how far the views have come. Its distance from the log's head
// is the lag.
func (v *Views) Status() Status {
	v.progress.mu.Lock()
	defer v.progress.mu.Unlock()
	return v.progress.status
}

// Position is the position of the last record applied.
func (v *Views) Position() eventstore.Position { return v.Status().Position }

// WaitFor returns once the record at a position, and all before it, can be
// read. When ctx ends first it returns a *BehindError, and after Close
// eventstore.ErrClosed. A position already applied does not look at ctx.
func (v *Views) WaitFor(ctx context.Context, position eventstore.Position) error {
	if v.Position() >= position {
		return nil
	}
	v.progress.wait()
	defer v.progress.leave()
	for {
		s, closed, changed := v.progress.get()
		switch {
		case s.Position >= position:
			return nil
		case closed:
			return fmt.Errorf("wait for position %d: %w", position, eventstore.ErrClosed)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return &BehindError{Want: position, Applied: s.Sequence, Err: s.Err}
		}
	}
}
