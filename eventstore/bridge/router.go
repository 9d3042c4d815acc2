package bridge

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
)

// RouterConfig says how handlers are run. The zero value is usable.
type RouterConfig struct {
	// CloseTimeout is how long Close waits for handlers; 30 s. It must be longer
	// than the grace period of the subscribers.
	CloseTimeout time.Duration
	// Retries is how often a failing handler is called again before it parks; 4.
	// A negative number means never.
	Retries int
	// RetryPause is the pause before such a call; 50 ms to a second.
	RetryPause Backoff
	// Timeout ends the message's context in one call of a handler; none when 0.
	Timeout time.Duration
	// Observe is told of every message: the handler's name, how long the message
	// took with its retries, and its error. It must not block.
	Observe func(handler string, took time.Duration, err error)
	// Changed is told when a handler parks and when it goes on. It is called
	// from the handler's goroutine, one call at a time, and must not block or
	// call Status.
	Changed func(handler string, p Parked, parked bool)
	// Classify names the kind of an error in status and metrics; ErrorClass.
	Classify func(error) string
	// Now is the clock of status and metrics; time.Now.
	Now func() time.Time
}

func (c RouterConfig) withDefaults() RouterConfig {
	if c.CloseTimeout <= 0 {
		c.CloseTimeout = 30 * time.Second
	}
	if c.Retries == 0 {
		c.Retries = 4
	}
	c.RetryPause = c.RetryPause.withDefaults(50*time.Millisecond, time.Second)
	if c.Observe == nil {
		c.Observe = func(string, time.Duration, error) {}
	}
	if c.Changed == nil {
		c.Changed = func(string, Parked, bool) {}
	}
	if c.Classify == nil {
		c.Classify = ErrorClass
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Router is watermill's router whose handlers park: a handler that fails again
// and again stays at its message, keeps its order, tells Status, and goes on by
// itself when the cause is gone. Nothing is skipped and there is no dead-letter
// queue.
//
// Register handlers with AddConsumerHandler and let them publish themselves:
// the publisher given to AddHandler is closed while handlers still run.
type Router struct {
	*message.Router
	lot *parkingLot
}

// NewRouter returns a router with the middleware, from the outside in: Observe,
// correlation ids, parking, retries, the timeout of a call, and a recoverer, so
// that a panic is retried and parked like an error.
func NewRouter(cfg RouterConfig, logger *slog.Logger) (*Router, error) {
	cfg = cfg.withDefaults()
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: cfg.CloseTimeout}, NewLogger(logger))
	if err != nil {
		return nil, fmt.Errorf("create router: %w", err)
	}
	r := &Router{Router: router, lot: newParkingLot(cfg, logger)}
	// Neither a hook nor a filter on Retry: with one, watermill 1.5.1 advances
	// its pause twice for each attempt.
	retry := middleware.Retry{
		MaxRetries: max(cfg.Retries, 0), InitialInterval: cfg.RetryPause.Min, MaxInterval: cfg.RetryPause.Max, Multiplier: 2,
		ResetContextOnRetry: true,
	}
	router.AddMiddleware(observe(cfg), middleware.CorrelationID, r.lot.park, retry.Middleware)
	if cfg.Timeout > 0 {
		router.AddMiddleware(middleware.Timeout(cfg.Timeout))
	}
	router.AddMiddleware(recoverer(logger))
	return r, nil
}

// Status returns the handlers that are parked, by name.
func (r *Router) Status() []Parked { return r.lot.status() }

func observe(cfg RouterConfig) message.HandlerMiddleware {
	return func(next message.HandlerFunc) message.HandlerFunc {
		return func(m *message.Message) ([]*message.Message, error) {
			name, start := message.HandlerNameFromCtx(m.Context()), cfg.Now()
			out, err := next(m)
			cfg.Observe(name, cfg.Now().Sub(start), err)
			return out, err
		}
	}
}

// PanicError is a handler's panic. It names the type of the panic's value but
// not the value, which may hold what was being handled; the stack is logged.
type PanicError struct{ Type string }

func (e *PanicError) Error() string { return "handler panicked with a value of type " + e.Type }

// recoverer replaces watermill's, whose error prints the value and the stack.
func recoverer(logger *slog.Logger) message.HandlerMiddleware {
	return func(next message.HandlerFunc) message.HandlerFunc {
		return func(m *message.Message) (out []*message.Message, err error) {
			defer func() {
				if v := recover(); v != nil {
					out, err = nil, &PanicError{Type: fmt.Sprintf("%T", v)}
					logger.Error("handler panicked", "handler", message.HandlerNameFromCtx(m.Context()),
						"error", err, "stack", string(debug.Stack()))
				}
			}()
			return next(m)
		}
	}
}
