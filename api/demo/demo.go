package demo

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/authledger/authledger/eventstore/journal"
)

// Config says what to populate. Everything but Progress is required.
type Config struct {
	Journal *journal.Journal
	Clock   *Clock   // the clock the journal and its stores run on; it stands at Opening(From)
	Network *Network // the gateway the reactors hand their messages to
	// PutSecret keeps a secret in the journal's keyring, as the import of a
	// manufacturer's file does for the seeds of physical devices.
	PutSecret func(ctx context.Context, subject, id string, secret []byte) error
	Erase     Erase
	// Pump lets the reactors act on everything appended so far, and once a day
	// the processes that look at the calendar.
	Pump     func(context.Context) error
	Users    int
	Seed     uint64
	From, To time.Time
	Progress func(done, total int) // steps known so far; may be nil
}

// Populate writes the history. It stops at the first error; what it has
// written by then stays.
func Populate(ctx context.Context, c Config) error {
	w := &world{Config: c, rng: rand.New(rand.NewPCG(c.Seed, 1)), agenda: &agenda{}, people: map[string]*person{}, lost: map[string]bool{}}
	w.plan()
	defer w.forget()
	for done := 1; w.agenda.Len() > 0; done++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		step := w.agenda.next()
		w.Clock.To(step.at)
		t := &tale{world: w, ctx: ctx}
		if step.do(t); t.err != nil {
			return fmt.Errorf("demo step at %s: %w", step.at.Format(time.RFC3339), t.err)
		}
		if c.Progress != nil {
			c.Progress(done, done+w.agenda.Len())
		}
	}
	w.Clock.To(c.To)
	return nil
}

// world is one run.
type world struct {
	Config
	rng      *rand.Rand
	agenda   *agenda
	commands uint64
	handsets int
	units    int
	people   map[string]*person // by user id
	lost     map[string]bool    // messages that never arrived, by sms id
	sleepers []func()           // end stories that were not told to their end
}

// forget ends the stories that an error cut short.
func (w *world) forget() {
	for _, stop := range w.sleepers {
		stop()
	}
}

// pause lets between least and most time pass.
func (w *world) pause(least, most time.Duration) {
	w.Clock.Advance(least + time.Duration(w.rng.Int64N(int64(most-least))))
}

func (w *world) chance(percent int) bool { return w.rng.IntN(100) < percent }

func pick[T any](w *world, list []T) T { return list[w.rng.IntN(len(list))] }

// some is a random part of a duration.
func (w *world) some(d time.Duration) time.Duration { return time.Duration(w.rng.Int64N(int64(d))) }
