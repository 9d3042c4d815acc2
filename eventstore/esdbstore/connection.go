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
//     it: a client that callers use never gives up (configuration), and is made
//     only when a server has just answered (attempt);
//   - contexts are ignored while it connects: guard lets callers go;
//   - closing it under a call can panic: close waits for the calls;
//   - an Unavailable answer leaks the connection once another call begins, and a
//     client that only reads never looks for another node: a client that once
//     failed is replaced at once, so that an outage leaves a connection behind
//     only when a call begins in that very moment;
//   - it never sends requires-leader: leader does.
//
// When a server goes away for good while a client is connected, that client may
// stay in the library, looking for it, until the process ends.
type supervisor struct {
	config *esdb.Configuration
	logger *slog.Logger

	mu      sync.Mutex // guards all below
	current *holder
	pending chan struct{} // closed when connecting has ended; nil when nobody connects
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
		case <-s.stop:
			return nil, eventstore.ErrClosed
		case <-ctx.Done():
			return nil, s.unreached(ctx.Err())
		}
	}
}

// unreached is the error of a caller that gave up, with why nothing answered.
func (s *supervisor) unreached(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure == nil {
		return fmt.Errorf("connect to the event database: %w", err)
	}
	return fmt.Errorf("connect to the event database: %w (%s)", err, codeText(s.failure))
}

// connect tries until a server answers or the supervisor closes.
func (s *supervisor) connect(done chan struct{}) {
	defer close(done)
	for try := 0; ; try++ {
		c, err := s.attempt()
		if s.tried(c, err) {
			return
		}
		if try == 0 {
			s.logger.Warn("the event database does not answer; trying on", "error", codeText(err))
		}
		s.rest(try)
	}
}

// tried takes over the outcome of an attempt; final says that it is the last.
func (s *supervisor) tried(c *esdb.Client, err error) (final bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failure = err
	switch {
	case err == nil && s.closed:
		_ = c.Close() // never fails
	case err == nil:
		s.current = &holder{client: c}
	case !s.closed:
		return false
	}
	s.pending = nil
	return true
}

// rest waits before the next attempt, or until the supervisor closes.
func (s *supervisor) rest(try int) {
	t := time.NewTimer(min(50*time.Millisecond<<min(try, 6), time.Second))
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.stop:
	}
}

// attempt finds out with a client that gives up whether a server answers, and
// only then makes the one that never does: so nothing is left in the library
// when there is no server.
func (s *supervisor) attempt() (*esdb.Client, error) {
	brief := *s.config
	brief.MaxDiscoverAttempts, brief.DiscoveryInterval = 1, 1
	probe, err := answering(&brief)
	if err != nil {
		return nil, err
	}
	_ = probe.Close() // never fails
	return answering(s.config)
}

// answering makes a client and waits until it is connected.
func answering(config *esdb.Configuration) (*esdb.Client, error) {
	c, err := esdb.NewClient(config)
	if err != nil {
		return nil, err
	}
	if _, err := c.GetServerVersion(); err != nil {
		_ = c.Close() // never fails
		return nil, err
	}
	return c, nil
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
	h, pending := s.current, s.pending
	s.current = nil
	s.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if pending != nil {
			<-pending
		}
		if h != nil {
			h.calls.Wait()
			_ = h.client.Close() // never fails
		}
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
		// Without the deadline, which the server would see and race us to: only so
		// is it known whose patience ended.
		own, cancel := context.WithCancel(context.WithoutCancel(ctx))
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		v, err := f(leader(own), h.client)
		s.release(h, blame(ctx, err))
		answers <- answer{v, err}
	}()
	select {
	case a := <-answers:
		return a.value, a.err
	case <-ctx.Done():
		// The call ends with its context, except when the library is looking for
		// a node, where it takes as long as it takes.
		if errors.Is(context.Cause(ctx), errNoAnswer) {
			s.retire(h)
		}
		return zero, ctx.Err()
	}
}

// errNoAnswer is why a context ended that gives a call its own bound.
var errNoAnswer = errors.New("no answer from the event database")

// blame is what an error says about the connection: nothing when the caller has
// given up, because its own caller did.
func blame(ctx context.Context, err error) error {
	if ctx.Err() != nil && !errors.Is(context.Cause(ctx), errNoAnswer) {
		return nil
	}
	return err
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

// patience bounds the tries of a call together. Whoever waits for the product
// waits for it: a database that says nothing must become an answer that says so.
const patience = 2 * callTimeout

// patient runs a call that changes nothing until it succeeds or says something
// final, a few times and for a while at most.
func patient[T any](ctx context.Context, s *supervisor, f func(ctx context.Context, c *esdb.Client) (T, error)) (T, error) {
	own, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for try := 0; ; try++ {
		v, err := try1(own, s, f)
		c := classify(err)
		switch {
		case err == nil:
			return v, nil
		case ctx.Err() == nil && own.Err() != nil:
			return v, fmt.Errorf("%w: no answer in %s", eventstore.ErrUnavailable, patience)
		case errors.Is(err, eventstore.ErrClosed) || c != unknown && c != moved || try >= 8 || ctx.Err() != nil:
			return v, err
		case !pause(own, try) && ctx.Err() != nil:
			return v, err
		}
	}
}

// try1 is a call with a bound of its own, so that a connection that says
// nothing does not use up all of the caller's time.
func try1[T any](ctx context.Context, s *supervisor, f func(ctx context.Context, c *esdb.Client) (T, error)) (T, error) {
	own, cancel := context.WithTimeoutCause(ctx, callTimeout, errNoAnswer)
	defer cancel()
	v, err := call(own, s, f)
	if err != nil && ctx.Err() == nil && own.Err() != nil {
		err = fmt.Errorf("%w: no answer in %s", eventstore.ErrUnavailable, callTimeout)
	}
	return v, err
}
