package esdbstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/metadata"

	"github.com/authledger/authledger/eventstore"
)

// supervisor owns the connection. The client library v4.2.0 has defects that it
// keeps away from everybody else:
//
//   - one failed discovery kills a client for good and strands whoever waits in
//     it: the discovery never gives up (configuration), and only one goroutine
//     of ours waits in it (connect);
//   - contexts are ignored while it connects: guard lets callers go;
//   - closing it under a call can panic: close waits for the calls;
//   - an Unavailable answer leaks the connection, and a client that only reads
//     never looks for another node: a client that once failed is replaced;
//   - it never sends requires-leader: leader does.
//
// When the server is gone for good, one goroutine stays in the library until
// the process ends.
type supervisor struct {
	config *esdb.Configuration
	logger *slog.Logger

	mu      sync.Mutex // guards all below
	current *holder
	pending chan struct{} // closed when an attempt to connect has ended; nil without one
	failure error         // of the last attempt
	closed  bool
	stop    chan struct{}
}

// holder is a client and the calls under way on it.
type holder struct {
	client *esdb.Client
	calls  sync.WaitGroup
}

func newSupervisor(config *esdb.Configuration, logger *slog.Logger) *supervisor {
	config.Logger = func(level esdb.LogLevel, format string, args ...any) {
		logger.Debug("event database client", "level", string(level), "message", fmt.Sprintf(format, args...))
	}
	return &supervisor{config: config, logger: logger, stop: make(chan struct{})}
}

// acquire returns a client that answers, connecting first if need be. The
// caller must release it.
func (s *supervisor) acquire(ctx context.Context) (*holder, error) {
	for {
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			return nil, eventstore.ErrClosed
		}
		if h := s.current; h != nil {
			h.calls.Add(1)
			s.mu.Unlock()
			return h, nil
		}
		if s.pending == nil {
			s.pending = make(chan struct{})
			go s.connect(s.pending)
		}
		pending := s.pending
		s.mu.Unlock()
		select {
		case <-pending:
			if err := s.failed(); err != nil {
				return nil, err
			}
		case <-s.stop:
			return nil, eventstore.ErrClosed
		case <-ctx.Done():
			return nil, fmt.Errorf("connect to the event database: %w", ctx.Err())
		}
	}
}

// connect makes a client and waits until it answers. The library tries for as
// long as it takes.
func (s *supervisor) connect(done chan struct{}) {
	c, err := esdb.NewClient(s.config)
	if err == nil {
		_, err = c.GetServerVersion()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending, s.failure = nil, err
	if err == nil && !s.closed {
		s.current = &holder{client: c}
	} else if c != nil {
		_ = c.Close() // never fails
	}
	close(done)
}

// failed is why the last attempt ended without a client.
func (s *supervisor) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != nil || s.failure == nil {
		return nil
	}
	return s.failure
}

// release ends a call. An error that says the connection is broken retires the
// client: the next call gets another one, and this one is closed behind its last
// call.
func (s *supervisor) release(h *holder, err error) {
	if retires(err) {
		s.retire(h)
	}
	h.calls.Done()
}

func (s *supervisor) retire(h *holder) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != h {
		return
	}
	s.current = nil
	go func() {
		h.calls.Wait()
		_ = h.client.Close() // never fails
	}()
}

// close lets nobody begin, and returns when the calls under way have ended or
// the time is over; calls that are stuck in the library are left there.
func (s *supervisor) close(limit time.Duration) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.closed = true
	close(s.stop)
	h := s.current
	s.current = nil
	s.mu.Unlock()
	if h == nil {
		return
	}
	ended := make(chan struct{})
	go func() {
		h.calls.Wait()
		_ = h.client.Close() // never fails
		close(ended)
	}()
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case <-ended:
	case <-t.C:
		s.logger.Warn("calls to the event database did not end in time")
	}
}

// call runs one unary call on a client. It returns when the call has ended or
// ctx has; then the call goes on by itself and what it returns is dropped.
func call[T any](ctx context.Context, s *supervisor, f func(ctx context.Context, c *esdb.Client) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	var zero T
	h, err := s.acquire(ctx)
	if err != nil {
		return zero, err
	}
	answers := make(chan answer, 1)
	go func() {
		v, err := f(leader(ctx), h.client)
		s.release(h, err)
		answers <- answer{v, err}
	}()
	select {
	case a := <-answers:
		return a.value, a.err
	case <-ctx.Done():
		// The call ends with its context, except when the library is looking for
		// a node, where it takes as long as it takes.
		s.retire(h)
		return zero, ctx.Err()
	}
}

// leader asks the node to refuse unless it is the leader. The library's own
// option puts the word where it is not sent.
func leader(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "requires-leader", "true")
}

// pause waits before another try: 20 ms, doubling to a second.
func pause(ctx context.Context, try int) bool {
	t := time.NewTimer(min(20*time.Millisecond<<min(try, 6), time.Second))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// patient runs a call that changes nothing until it succeeds or says something
// final, a few times at most.
func patient[T any](ctx context.Context, s *supervisor, f func(ctx context.Context, c *esdb.Client) (T, error)) (T, error) {
	for try := 0; ; try++ {
		v, err := try1(ctx, s, f)
		c := classify(err)
		if err == nil || errors.Is(err, eventstore.ErrClosed) || c != unknown && c != moved || try >= 8 || ctx.Err() != nil || !pause(ctx, try) {
			return v, err
		}
	}
}

// try1 is a call with a bound of its own, so that a connection that says
// nothing does not use up all of the caller's time.
func try1[T any](ctx context.Context, s *supervisor, f func(ctx context.Context, c *esdb.Client) (T, error)) (T, error) {
	own, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	v, err := call(own, s, f)
	if err != nil && ctx.Err() == nil && own.Err() != nil {
		err = fmt.Errorf("%w: no answer in %s", eventstore.ErrUnavailable, callTimeout)
	}
	return v, err
}
