package sqlitestore

import (
	"bytes"
	"fmt"
	"sync"

	"github.com/authledger/authledger/eventstore"
)

// request is one append or import on its way through the writer. It owns its
// bytes, so a caller that gives up may reuse its own.
type request struct {
	imports  []eventstore.Record // of an import, which has none of the next three
	stream   string
	expected eventstore.Expected
	events   []eventstore.Proposed
	size     int         // bytes of data and metadata
	answered answer      // kept by the writer until the group is durable
	done     chan answer // takes exactly one answer, without blocking
}

type answer struct {
	appended eventstore.Appended
	err      error
}

func newRequest(stream string, expected eventstore.Expected, events []eventstore.Proposed) *request {
	r := &request{stream: stream, expected: expected, events: bytesOf(events), done: make(chan answer, 1)}
	for _, e := range r.events {
		r.size += len(e.Data) + len(e.Metadata)
	}
	return r
}

// ids are the ids it brings.
func (r *request) ids(to []eventstore.EventID) []eventstore.EventID {
	for i := range r.events {
		to = append(to, r.events[i].ID)
	}
	for i := range r.imports {
		to = append(to, r.imports[i].ID)
	}
	return to
}

// String says what was asked for, for errors.
func (r *request) String() string {
	if r.imports == nil {
		return "append to " + r.stream
	}
	return fmt.Sprintf("import records %d to %d", r.imports[0].Sequence, r.imports[len(r.imports)-1].Sequence)
}

func bytesOf(events []eventstore.Proposed) []eventstore.Proposed {
	own := make([]eventstore.Proposed, len(events))
	for i, e := range events {
		e.Data, e.Metadata = bytes.Clone(e.Data), bytes.Clone(e.Metadata)
		own[i] = e
	}
	return own
}

// A group is what one transaction takes. The limits are far above what callers
// bring; they bound memory and the time of one commit.
const (
	groupRequests = 4096
	groupBytes    = 16 << 20
	queueRequests = 4 * groupRequests
)

// queue hands requests to the writer. A full queue refuses: more callers wait
// than the disk can serve.
type queue struct {
	mu      sync.Mutex
	waiting []*request    // guarded by mu
	err     error         // guarded by mu; set once requests are refused
	closed  bool          // guarded by mu
	wake    chan struct{} // holds one token when the writer has something to look at
}

func newQueue() *queue { return &queue{wake: make(chan struct{}, 1)} }

func (q *queue) put(r *request) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err != nil {
		return q.err
	}
	if len(q.waiting) >= queueRequests {
		return fmt.Errorf("%w: %d appends are waiting", eventstore.ErrUnavailable, len(q.waiting))
	}
	q.waiting = append(q.waiting, r)
	q.signal()
	return nil
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take appends the next group to group and blocks while there is none. It
// reports false when the queue is closed and empty.
func (q *queue) take(group []*request) ([]*request, bool) {
	for {
		q.mu.Lock()
		size, n := 0, 0
		for n < len(q.waiting) && n < groupRequests && (n == 0 || size+q.waiting[n].size <= groupBytes) {
			size += q.waiting[n].size
			n++
		}
		group = append(group, q.waiting[:n]...)
		rest := copy(q.waiting, q.waiting[n:])
		clear(q.waiting[rest:])
		q.waiting = q.waiting[:rest]
		closed := q.closed
		q.mu.Unlock()
		if n > 0 || closed {
			return group, n > 0
		}
		<-q.wake
	}
}

// fail refuses every later request with err; the first error stays.
func (q *queue) fail(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err == nil {
		q.err = err
	}
}

// close refuses later requests; those waiting are still taken.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.err, q.closed = eventstore.ErrClosed, true
	q.signal()
}

func (q *queue) stopped() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.err
}
