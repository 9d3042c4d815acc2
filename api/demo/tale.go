package demo

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/journal"
	"github.com/google/uuid"
)

// tale tells what happens, one command after the other, until the first error.
// After it every method does nothing and answers zero values, so that a story
// reads as a story and is checked once, at its end.
type tale struct {
	*world
	ctx   context.Context
	err   error
	yield func(time.Duration) bool // set in a story: lets the rest of the world go on
}

var namespace = uuid.MustParse("3b7f0c52-9e1a-5d44-a6c8-7f2e4d1b9a55")

// Who acts in the demo.
var (
	frontend   = domain.Actor{Kind: domain.ActorClient, Ref: "demo-frontend"}
	app        = domain.Actor{Kind: domain.ActorClient, Ref: "demo-app"}
	agent      = domain.Actor{Kind: domain.ActorAgent, Ref: "demo-agent-7"}
	logistics  = domain.Actor{Kind: domain.ActorAgent, Ref: "demo-logistics"}
	compliance = domain.Actor{Kind: domain.ActorCompliance, Ref: "demo-compliance"}
	auditor    = domain.Actor{Kind: domain.ActorClient, Ref: "demo-auditor"}
	network    = domain.Actor{Kind: domain.ActorProvider, Ref: networkName}
)

// do executes one command as the login frontend would.
func (t *tale) do(c domain.Command) journal.Outcome { return t.as(frontend, c) }

// as executes one command for an actor and lets the reactors follow a moment
// later.
func (t *tale) as(actor domain.Actor, c domain.Command) journal.Outcome {
	out := t.execute(actor, c)
	t.pause(time.Second, 4*time.Second)
	t.settle()
	return out
}

// late executes a command to which the reactors come only after some time.
func (t *tale) late(c domain.Command, after time.Duration) journal.Outcome {
	out := t.execute(frontend, c)
	t.wait(after)
	t.settle()
	return out
}

// fail ends the tale with a complaint, unless it has ended already.
func (t *tale) fail(format string, args ...any) {
	if t.err == nil {
		t.err = fmt.Errorf(format, args...)
	}
}

// refused executes a command that the journal answers with an error; nothing is
// recorded.
func (t *tale) refused(actor domain.Actor, c domain.Command, want domain.Code) {
	if t.err != nil {
		return
	}
	t.execute(actor, c)
	var e *domain.Error
	if !errors.As(t.err, &e) || e.Code != want {
		t.err = fmt.Errorf("%s: want the error %s, got %w", c.Name(), want, t.err)
		return
	}
	t.err = nil
}

func (t *tale) execute(actor domain.Actor, c domain.Command) (out journal.Outcome) {
	if t.err != nil {
		return out
	}
	t.commands++
	id := uuid.NewSHA1(namespace, binary.BigEndian.AppendUint64(nil, t.commands))
	out, err := t.Journal.Execute(t.ctx, journal.Request{Command: c, CommandID: id, Actor: actor})
	if err != nil {
		t.err = fmt.Errorf("%s: %w", c.Name(), err)
	}
	return out
}

// settle lets the reactors act, and then the network report what became of the
// messages they handed over.
func (t *tale) settle() {
	if t.err != nil {
		return
	}
	if t.err = t.Pump(t.ctx); t.err != nil {
		return
	}
	reports := t.Network.take()
	for _, r := range reports {
		t.report(r)
	}
	if len(reports) > 0 && t.err == nil {
		t.err = t.Pump(t.ctx)
	}
}

// wait lets a short time pass, in which nothing else happens.
func (t *tale) wait(d time.Duration) {
	if t.err == nil {
		t.Clock.Advance(d)
	}
}

// sleep lets the rest of the world go on for a time. Only stories can sleep.
func (t *tale) sleep(d time.Duration) {
	if t.err == nil && !t.yield(d) {
		t.err = errForgotten
	}
}

var errForgotten = errors.New("the story was cut short")

// story tells something that takes days, beside everything else: whenever it
// sleeps, it goes on by a later step of the agenda. Nothing runs at the same
// time as anything else.
func (w *world) story(at time.Time, tell func(*tale)) {
	var told *tale
	next, stop := iter.Pull(func(yield func(time.Duration) bool) {
		told.yield = yield
		tell(told)
	})
	w.sleepers = append(w.sleepers, stop)
	var step func(*tale)
	step = func(t *tale) {
		if told == nil {
			told = t
		}
		told.ctx = t.ctx
		d, more := next()
		if more {
			w.agenda.add(w.Clock.Now().Add(d), step)
		}
		t.err = told.err
	}
	w.agenda.add(at, step)
}

// user looks at a user's state.
func (t *tale) user(p *person, read func(u *domain.User, now time.Time)) {
	if t.err != nil {
		return
	}
	t.err = t.Journal.User(t.ctx, p.userID, func(u *domain.User, now time.Time) error { read(u, now); return nil })
}

// find returns the first event of a type among those appended.
func find[T domain.Event](out journal.Outcome) (T, bool) {
	for _, r := range out.Events {
		if e, ok := r.Event.(T); ok {
			return e, true
		}
	}
	var none T
	return none, false
}

// need is find for a story that cannot go on without the event.
func need[T domain.Event](t *tale, out journal.Outcome) T {
	e, ok := find[T](out)
	if !ok {
		names := make([]string, len(out.Events))
		for i, r := range out.Events {
			names[i] = r.Type
		}
		t.fail("want %T, got [%s]", e, strings.Join(names, " "))
	}
	return e
}
