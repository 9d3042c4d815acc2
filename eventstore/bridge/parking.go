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

	mu     sync.Mutex // guards the rest, and orders the calls of cfg.Changed
	parked map[string]Parked
	// failing are the records of shared subscriptions that failed, by handler:
	// several may fail at the same time, while others pass.
	failing map[string]map[eventstore.EventID]failing
}

// failing is one of them, with its life on this node.
type failing struct {
	at   eventstore.Sequence
	life context.Context
}

func newParkingLot(cfg RouterConfig, logger *slog.Logger) *parkingLot {
	return &parkingLot{cfg: cfg, log: logger, parked: map[string]Parked{}, failing: map[string]map[eventstore.EventID]failing{}}
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
	if life, shared := ctx.Value(lifeKey{}).(context.Context); shared {
		p.First, p.Last = l.fails(ctx, name, life)
	}
	p.Class = l.cfg.Classify(err)
	p.Attempts++
	l.parked[name] = p
	if known {
		return
	}
	l.log.Error("handler is parked", "handler", name, "first", p.First, "last", p.Last, "class", p.Class)
	l.cfg.Changed(name, p, true)
}

// fails notes a record of a shared subscription until its life ends, and returns
// the range of all that fail. The caller holds mu.
func (l *parkingLot) fails(ctx context.Context, name string, life context.Context) (first, last eventstore.Sequence) {
	r := ctx.Value(recordsKey{}).([]eventstore.Record)[0] // a life has a record
	known := l.failing[name]
	if known == nil {
		known = map[eventstore.EventID]failing{}
		l.failing[name] = known
	}
	if known[r.ID].life != life {
		known[r.ID] = failing{at: r.Sequence, life: life}
		context.AfterFunc(life, func() { l.ended(name, r.ID, life) })
	}
	first = r.Sequence
	for _, f := range known {
		first, last = min(first, f.at), max(last, f.at)
	}
	return first, last
}

// ended forgets a record of a shared subscription when its life has: it is
// somebody else's business.
func (l *parkingLot) ended(name string, id eventstore.EventID, life context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failing[name][id].life == life { // otherwise it came again and lives another one
		l.forget(name, id)
	}
}

// forget takes a record off those that fail. The caller holds mu.
func (l *parkingLot) forget(name string, id eventstore.EventID) {
	if _, known := l.failing[name][id]; !known {
		return
	}
	delete(l.failing[name], id)
	if len(l.failing[name]) == 0 {
		l.goesOn(name)
	}
}

// passed ends the parking when the message reaches the end of what failed; the
// part of a refused batch before the record that fails does not, and a record
// of a shared subscription says nothing about the others.
func (l *parkingLot) passed(ctx context.Context) {
	name := message.HandlerNameFromCtx(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	if ctx.Value(lifeKey{}) != nil {
		l.forget(name, ctx.Value(recordsKey{}).([]eventstore.Record)[0].ID)
		return
	}
	p, known := l.parked[name]
	if _, last := position(ctx, nil); !known || last < p.Last {
		return
	}
	l.goesOn(name)
}

// goesOn ends the parking. The caller holds mu.
func (l *parkingLot) goesOn(name string) {
	p := l.parked[name]
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
