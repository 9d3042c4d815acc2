package bridge_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/bridge"
)

// start runs a router until the returned function is called.
func start(t testing.TB, r *bridge.Router) (stop func()) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- r.Run(context.Background()) }()
	<-r.Running()
	return func() {
		t.Helper()
		if err := r.Close(); err != nil {
			t.Errorf("close router: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("run router: %v", err)
		}
	}
}

func newRouter(t testing.TB, cfg bridge.RouterConfig, logger *slog.Logger) *bridge.Router {
	t.Helper()
	r, err := bridge.NewRouter(cfg, logger)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// handler records what it did, and fails on one record while broken.
type handler struct {
	broken atomic.Bool
	poison eventstore.Sequence
	fail   func() error

	mu   sync.Mutex
	done []eventstore.Sequence
}

// handle is all or nothing, like a projection's transaction.
func (h *handler) handle(m *message.Message) error {
	records, err := bridge.Records(m)
	if err != nil {
		return err
	}
	var did []eventstore.Sequence
	for _, r := range records {
		if r.Sequence == h.poison && h.broken.Load() {
			return h.fail()
		}
		did = append(did, r.Sequence)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.done = append(h.done, did...)
	return nil
}

func (h *handler) handled() []eventstore.Sequence {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.done)
}

func dense(n int) []eventstore.Sequence {
	var out []eventstore.Sequence
	for i := range n {
		out = append(out, eventstore.Sequence(i+1))
	}
	return out
}

func TestHandlerParksAndGoesOn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fail  func() error
		class string
	}{
		"error":  {func() error { return fmt.Errorf("write row: %w", eventstore.ErrUnavailable) }, "unavailable"},
		"panic":  {func() error { panic("secret 12345678") }, "panic"},
		"custom": {func() error { return errOutage }, "error"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store, log := newStore(t), &buffer{}
				fill(t, store, 100)
				var changes []bool
				cfg := bridge.RouterConfig{Changed: func(handler string, p bridge.Parked, parked bool) {
					if handler != "view" || p.Handler != "view" {
						t.Errorf("changed: %q, %+v", handler, p)
					}
					changes = append(changes, parked)
				}}
				logger := slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug - 4}))
				r := newRouter(t, cfg, logger)
				h := &handler{poison: 42, fail: c.fail}
				h.broken.Store(true)
				sub := bridge.NewSubscriber(store, bridge.Config{From: fromStart, BatchSize: 50}, logger)
				r.AddConsumerHandler("view", bridge.Topic, sub, h.handle)
				other := &handler{}
				r.AddConsumerHandler("other", bridge.Topic, bridge.NewSubscriber(store, bridge.Config{From: fromStart}, quiet()), other.handle)
				began := time.Now()
				stop := start(t, r)

				time.Sleep(10 * time.Minute) // virtual
				status := r.Status()
				if len(status) != 1 {
					t.Fatalf("status %+v, want the one parked handler", status)
				}
				p := status[0]
				if p.First != 42 || p.Last != 42 || p.Class != c.class || p.Attempts < 20 || p.Since.Sub(began) > 2*time.Second {
					t.Errorf("parked %+v", p)
				}
				if diff := cmp.Diff(dense(41), h.handled()); diff != "" {
					t.Errorf("handled before the record that fails (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(dense(100), other.handled()); diff != "" {
					t.Errorf("another handler did (-want +got):\n%s", diff)
				}

				h.broken.Store(false)
				time.Sleep(time.Minute)
				if diff := cmp.Diff(dense(100), h.handled()); diff != "" {
					t.Errorf("handled (-want +got):\n%s", diff)
				}
				if status := r.Status(); len(status) != 0 {
					t.Errorf("still parked: %+v", status)
				}
				stop()
				if !slices.Equal(changes, []bool{true, false}) {
					t.Errorf("changes %v, want parked once and gone on once", changes)
				}
				if text := log.String(); strings.Contains(text, "12345678") || !strings.Contains(text, "handler is parked") {
					t.Errorf("log holds the panic's value or misses the parking:\n%s", text)
				}
			})
		})
	}
}

func TestRetriesHealShortFailuresInside(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		fill(t, store, 10)
		var observed atomic.Int32
		cfg := bridge.RouterConfig{
			Timeout: time.Second,
			Observe: func(name string, took time.Duration, err error) {
				observed.Add(1)
				if name != "view" || err != nil || took != time.Second+50*time.Millisecond+100*time.Millisecond {
					t.Errorf("observed %q, %s, %v", name, took, err)
				}
			},
			Changed: func(string, bridge.Parked, bool) { t.Error("parked over a short failure") },
		}
		r, calls := newRouter(t, cfg, quiet()), 0
		r.AddConsumerHandler("view", bridge.Topic, bridge.NewSubscriber(store, bridge.Config{From: fromStart}, quiet()), func(m *message.Message) error {
			calls++
			switch calls {
			case 1:
				<-m.Context().Done() // the call's own timeout
				return m.Context().Err()
			case 2:
				return errOutage
			}
			return m.Context().Err()
		})
		stop := start(t, r)
		time.Sleep(time.Minute)
		stop()
		if calls != 3 || observed.Load() != 1 {
			t.Errorf("%d calls, observed %d times; want 3 and 1", calls, observed.Load())
		}
	})
}

func TestShutdownIsNotAFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		fill(t, store, 1)
		r := newRouter(t, bridge.RouterConfig{Changed: func(string, bridge.Parked, bool) { t.Error("parked at shutdown") }}, quiet())
		began := make(chan struct{})
		sub := bridge.NewSubscriber(store, bridge.Config{From: fromStart, Grace: 3 * time.Second}, quiet())
		r.AddConsumerHandler("slow", bridge.Topic, sub, func(m *message.Message) error {
			close(began)
			<-m.Context().Done()
			return m.Context().Err()
		})
		stop := start(t, r)
		<-began
		asked := time.Now()
		stop()
		if got := time.Since(asked); got != 3*time.Second {
			t.Errorf("closed after %s, want the grace period of 3s", got)
		}
	})
}

func TestLoggerDropsContents(t *testing.T) {
	t.Parallel()
	log := &buffer{}
	logger := bridge.NewLogger(slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug - 4})))
	fields := map[string]any{"not_sent_message": "secret", "payload": "secret", "metadata": "secret", "handler_name": "view"}
	logger = logger.With(fields)
	logger.Error("e", errOutage, fields)
	logger.Info("i", fields)
	logger.Debug("d", fields)
	logger.Trace("t", nil)
	if text := log.String(); strings.Contains(text, "secret") || strings.Count(text, "handler_name=view") != 7 || !strings.Contains(text, "outage") {
		t.Errorf("logged:\n%s", text)
	}
}

func TestErrorClass(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"unavailable": eventstore.ErrUnavailable, "closed": eventstore.ErrClosed, "conflict": &eventstore.ConflictError{Stream: "s"},
		"outcome_unknown": eventstore.ErrOutcomeUnknown, "timeout": context.DeadlineExceeded, "canceled": context.Canceled,
		"panic": &bridge.PanicError{Type: "string"}, "error": errOutage,
	} {
		if got := bridge.ErrorClass(&bridge.RecordError{Sequence: 1, Err: err}); got != want {
			t.Errorf("class of %v: %s, want %s", err, got, want)
		}
	}
}
