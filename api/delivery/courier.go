package delivery

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
)

// courier takes what carries a code from request to outcome, at most once. It
// is called for one message of a user at a time.
type courier struct {
	c    Config
	keep outcomes
}

// parcel is one message on its way, and what the courier asks about its kind.
type parcel struct {
	id     string
	cause  codec.Decoded // the request
	sender domain.Actor  // of the dispatch
	// state is what the ledger knows of it; ok is false when the user's state
	// has dropped it.
	state func(u *domain.User) (p progress, ok bool)
	// render makes the message, or says in a code of ours why there is none to
	// send.
	render func(ctx context.Context) (out Message, why string, err error)

	dispatch  reported
	uncertain reported
	accepted  func(out Message, r Result) reported
	refused   func(code string) reported // by the provider
	unsent    func(why string) reported  // by us
}

// progress is how far a message has come.
type progress struct{ dispatched, over bool }

// deliver goes one step at a time. The dispatch is recorded before the
// hand-over, so that a crash in between leaves a mark: whoever finds a dispatch
// without an outcome records it as uncertain and sends nothing. Of several nodes
// only one can record it, whatever the lease, because all of them would append
// the same event to the same place of the stream.
func (s *courier) deliver(ctx context.Context, p parcel) error {
	if r, ok := s.keep.of(p.id); ok {
		return s.settle(ctx, p, r)
	}
	var at progress
	known := false
	err := s.c.Journal.UserAt(ctx, domain.UserOf(p.id), p.cause.Record.Revision, func(u *domain.User, _ time.Time) error {
		at, known = p.state(u)
		return nil
	})
	switch {
	case err != nil:
		return err
	case at.over:
		return nil
	case at.dispatched:
		return s.record(ctx, p, p.uncertain)
	case !known:
		return s.forgotten(ctx, p)
	}
	// Rendering comes before the dispatch is recorded, so that an outage here
	// delays a message and does not lose it.
	out, why, err := p.render(ctx)
	if err != nil {
		return err
	}
	if why != "" {
		return s.record(ctx, p, p.unsent(why))
	}
	return s.send(ctx, p, out)
}

// send records the dispatch, hands the message over once, and records the
// outcome.
func (s *courier) send(ctx context.Context, p parcel, out Message) error {
	if until, bounded := ctx.Deadline(); bounded && time.Until(until) < sendTimeout {
		return errNoTime
	}
	done, err := s.c.Journal.Execute(ctx, request(p.cause, p.dispatch.name, p.sender, p.dispatch.cmd))
	if moot(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if done.Replayed || len(done.Events) == 0 {
		// Somebody dispatched it between our look and now.
		return s.record(ctx, p, p.uncertain)
	}
	r := s.outcome(p, out, s.c.send(ctx, out))
	s.keep.put(p.id, r)
	return s.settle(ctx, p, r)
}

// outcome is the command that records what the gateway said.
func (s *courier) outcome(p parcel, out Message, r Result) reported {
	switch r.Outcome {
	case Accepted:
		return p.accepted(out, r)
	case Rejected:
		if r.Code == "" {
			r.Code = codeNotAccepted
		}
		return p.refused(r.Code)
	}
	s.c.Logger.Warn("message handed over with an uncertain outcome; it is not sent again", "message", out, "code", r.Code)
	return p.uncertain
}

// errNoTime leaves a message for another attempt.
var errNoTime = errors.New("too little time is left to hand the message over")

// recordTimeout bounds the recording of what a provider said. It goes on when
// the time of the reaction is over: what is known must not be lost for that.
const recordTimeout = 10 * time.Second

func (s *courier) settle(ctx context.Context, p parcel, r reported) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	if err := s.record(ctx, p, r); err != nil {
		return err
	}
	s.keep.drop(p.id)
	return nil
}

func (s *courier) record(ctx context.Context, p parcel, r reported) error {
	_, err := s.c.Journal.Execute(ctx, request(p.cause, r.name, provider(s.c.Gateway), r.cmd))
	if moot(err) {
		return nil
	}
	return err
}

// forgotten deals with a message so old that the user's state has dropped it:
// one that was never dispatched has failed, and says so.
func (s *courier) forgotten(ctx context.Context, p parcel) error {
	_, err := s.c.Log.ByID(ctx, eventstore.EventIDOf(commandID(p.cause.Record.ID, p.dispatch.name), 0))
	if err == nil {
		return nil
	}
	if !errors.Is(err, eventstore.ErrNotFound) {
		return err
	}
	return s.record(ctx, p, p.unsent(codeExpired))
}

// reported is an outcome on its way into the ledger.
type reported struct {
	name string // from which the command's id derives
	cmd  domain.Command
}

// outcomes are those of hand-overs that could not be recorded yet, by message.
// While the process lives they are better than "uncertain"; a new process, or
// another node, does not have them and records that instead. What was sent may
// be recorded behind that: both stand, and the message counts as sent. The zero
// value is ready.
type outcomes struct {
	mu  sync.Mutex
	by  map[string]reported // guarded by mu
	old []string            // the messages in the order they came, guarded by mu
}

// outcomesKept bounds them: another node may have dealt with a message that this
// one remembers.
const outcomesKept = 1000

func (o *outcomes) of(id string) (reported, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r, ok := o.by[id]
	return r, ok
}

func (o *outcomes) put(id string, r reported) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.by == nil {
		o.by = map[string]reported{}
	}
	if _, known := o.by[id]; !known {
		o.old = append(o.old, id)
	}
	o.by[id] = r
	if len(o.old) > outcomesKept {
		delete(o.by, o.old[0])
		o.old = o.old[1:]
	}
}

func (o *outcomes) drop(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, known := o.by[id]; known {
		delete(o.by, id)
		o.old = slices.DeleteFunc(o.old, func(other string) bool { return other == id })
	}
}
