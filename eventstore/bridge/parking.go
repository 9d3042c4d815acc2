package bridge

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/authledger/authledger/eventstore"
)

// Parked is a handler that cannot get past its position.
type Parked struct {
	Handler string
	// First and Last are the records it is stuck in; equal when they are down to
	// one, zero when its messages are not from the log.
	First, Last eventstore.Sequence
	Class       string    // kind of the last error (RouterConfig.Classify)
	Since       time.Time // of the first round that failed
	Attempts    int       // rounds of retries that have failed
}

// parkingLot knows which handlers are parked. A parked handler's message goes
// back to the subscriber as refused and comes again after its pause, for ever.
type parkingLot struct {
	cfg RouterConfig
	log *slog.Logger

	mu     sync.Mutex // guards parked, and orders the calls of cfg.Changed
	parked map[string]Parked
}

func newParkingLot(cfg RouterConfig, logger *slog.Logger) *parkingLot {
	return &parkingLot{cfg: cfg, log: logger, parked: map[string]Parked{}}
}

// park is the middleware around the retries.
func (l *parkingLot) park(next message.HandlerFunc) message.HandlerFunc {
	return func(m *message.Message) ([]*message.Message, error) {
		ctx := m.Context() // a timeout inside replaces the message's context
		out, err := next(m)
		switch {
		case err == nil:
			l.passed(ctx)
		case ctx.Err() == nil: // otherwise it is a shutdown, not a failure
			l.failed(ctx, err)
		}
		return out, err
	}
}

func (l *parkingLot) failed(ctx context.Context, err error) {
	name := message.HandlerNameFromCtx(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	p, known := l.parked[name]
	if !known {
		p = Parked{Handler: name, Since: l.cfg.Now()}
	}
	p.First, p.Last = position(ctx, err)
	p.Class = l.cfg.Classify(err)
	p.Attempts++
	l.parked[name] = p
	if known {
		return
	}
	l.log.Error("handler is parked", "handler", name, "first", p.First, "last", p.Last, "class", p.Class)
	l.cfg.Changed(name, p, true)
}

// passed ends the parking when the message reaches the end of what failed; the
// part of a refused batch before the record that fails does not.
func (l *parkingLot) passed(ctx context.Context) {
	name := message.HandlerNameFromCtx(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	p, known := l.parked[name]
	if _, last := position(ctx, nil); !known || last < p.Last {
		return
	}
	delete(l.parked, name)
	l.log.Info("handler goes on", "handler", name, "after", l.cfg.Now().Sub(p.Since), "attempts", p.Attempts)
	l.cfg.Changed(name, p, false)
}

func (l *parkingLot) status() []Parked {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]Parked, 0, len(l.parked))
	for _, p := range l.parked {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b Parked) int { return cmp.Compare(a.Handler, b.Handler) })
	return out
}

// position returns the record an error names, or else the message's range.
func position(ctx context.Context, err error) (first, last eventstore.Sequence) {
	var at *RecordError
	if errors.As(err, &at) {
		return at.Sequence, at.Sequence
	}
	records, _ := ctx.Value(recordsKey{}).([]eventstore.Record)
	if len(records) == 0 {
		return 0, 0
	}
	return records[0].Sequence, records[len(records)-1].Sequence
}

// ErrorClass names the kind of an error in one word.
func ErrorClass(err error) string {
	for _, c := range []struct {
		is   error
		name string
	}{
		{eventstore.ErrUnavailable, "unavailable"},
		{eventstore.ErrClosed, "closed"},
		{eventstore.ErrOutcomeUnknown, "outcome_unknown"},
		{eventstore.ErrConflict, "conflict"},
		{eventstore.ErrDuplicateID, "duplicate_id"},
		{eventstore.ErrTooLarge, "too_large"},
		{eventstore.ErrInvalid, "invalid"},
		{eventstore.ErrNotFound, "not_found"},
		{context.DeadlineExceeded, "timeout"},
		{context.Canceled, "canceled"},
	} {
		if errors.Is(err, c.is) {
			return c.name
		}
	}
	var panicked *PanicError
	if errors.As(err, &panicked) {
		return "panic"
	}
	return "error"
}
