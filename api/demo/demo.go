package demo

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/journal"
	"github.com/google/uuid"
)

// Config says what to populate. Everything but Progress is required.
type Config struct {
	Journal *journal.Journal
	Clock   *Clock // the clock the journal and its stores run on
	// Pump lets the reactors act on everything appended so far.
	Pump     func(context.Context) error
	Users    int
	Seed     uint64
	From, To time.Time
	Progress func(done, total int) // steps; may be nil
}

// Populate writes the history. It stops at the first error; what it has
// written by then stays.
func Populate(ctx context.Context, c Config) error {
	w := &world{Config: c, rng: rand.New(rand.NewPCG(c.Seed, 1))}
	agenda := w.plan()
	total := agenda.Len()
	for done := 0; agenda.Len() > 0; done++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		step := agenda.next()
		w.Clock.To(step.at)
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("demo step at %s: %w", step.at.Format(time.RFC3339), err)
		}
		if c.Progress != nil {
			c.Progress(done+1, total)
		}
	}
	w.Clock.To(c.To)
	return nil
}

// world is one run.
type world struct {
	Config
	rng      *rand.Rand
	commands uint64
}

var namespace = uuid.MustParse("3b7f0c52-9e1a-5d44-a6c8-7f2e4d1b9a55")

// do executes one command as the login frontend would.
func (w *world) do(ctx context.Context, c domain.Command) (journal.Outcome, error) {
	return w.as(ctx, domain.Actor{Kind: domain.ActorClient, Ref: "demo-frontend"}, c)
}

// as executes one command for an actor and lets the reactors follow a moment
// later.
func (w *world) as(ctx context.Context, actor domain.Actor, c domain.Command) (journal.Outcome, error) {
	w.commands++
	id := uuid.NewSHA1(namespace, binary.BigEndian.AppendUint64(nil, w.commands))
	out, err := w.Journal.Execute(ctx, journal.Request{Command: c, CommandID: id, Actor: actor})
	if err != nil {
		return out, fmt.Errorf("%s: %w", c.Name(), err)
	}
	w.pause(time.Second, 4*time.Second)
	return out, w.Pump(ctx)
}

// pause lets between least and most time pass.
func (w *world) pause(least, most time.Duration) {
	w.Clock.Advance(least + time.Duration(w.rng.Int64N(int64(most-least))))
}

func (w *world) chance(percent int) bool { return w.rng.IntN(100) < percent }

func pick[T any](w *world, list []T) T { return list[w.rng.IntN(len(list))] }

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
