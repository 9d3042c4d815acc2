package delivery

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/bridge"
)

// laneWidth is how many users a reaction serves at once. A provider answers in
// tens or hundreds of milliseconds; one after the other, a busy morning's
// codes would arrive after their lifetime.
const laneWidth = 16

// lanes acts on the records of a message: in order within a stream, up to
// laneWidth streams at once. The position is saved behind what is done, now and then.
// When one fails, the message comes again and every record is acted on again,
// which must change nothing for those that were done.
type lanes struct {
	name        string
	checkpoints bridge.Checkpoints
	wanted      map[string]bool
	act         func(context.Context, eventstore.Record) error
	// every is how often the position is saved at most; zero is after every
	// message. What was done since is acted on again after a crash, which
	// changes nothing, and each save is a flush of the disk.
	every time.Duration

	// done is the last record of the last message that was done, saved the
	// position last saved, and when. from and handle, which a subscription
	// never runs at the same time, own them.
	done, saved eventstore.Sequence
	savedAt     time.Time
}

// saveBehind is how many records may be done without a saved position, however
// little time went by: what a restart reads again.
const saveBehind = 1000

// from is the bridge.Config.From of the subscription.
func (l *lanes) from(ctx context.Context) (eventstore.Sequence, error) {
	at, err := l.checkpoints.Load(ctx, l.name)
	if err != nil {
		return 0, fmt.Errorf("load checkpoint %s: %w", l.name, err)
	}
	l.done, l.saved = at, at
	return at, nil
}

func (l *lanes) handle(m *message.Message) error {
	records, err := bridge.Records(m)
	if err != nil {
		return err
	}
	if err := l.run(m.Context(), l.byStream(records)); err != nil {
		return err
	}
	return l.pass(m.Context(), records[len(records)-1].Sequence)
}

// pass notes that everything up to a record is done, and saves the position
// when it is time to.
func (l *lanes) pass(ctx context.Context, last eventstore.Sequence) error {
	l.done = max(l.done, last)
	if time.Since(l.savedAt) < l.every && l.done < l.saved+saveBehind {
		return nil
	}
	if err := l.checkpoints.Save(ctx, l.name, l.done); err != nil {
		return fmt.Errorf("save checkpoint %s at %d: %w", l.name, l.done, err)
	}
	l.saved, l.savedAt = l.done, time.Now()
	return nil
}

// byStream sorts out what there is to act on, keeping the order of each stream
// and of the streams' first records.
func (l *lanes) byStream(records []eventstore.Record) [][]eventstore.Record {
	var out [][]eventstore.Record
	place := map[string]int{}
	for _, r := range records {
		if r.Sequence <= l.done || !l.wanted[r.Type] {
			continue
		}
		i, ok := place[r.Stream]
		if !ok {
			i = len(out)
			place[r.Stream] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], r)
	}
	return out
}

// run returns the first error after every lane has ended. Streams not begun by
// then are left for the next delivery.
func (l *lanes) run(ctx context.Context, streams [][]eventstore.Record) error {
	var (
		mu     sync.Mutex // guards next and failed
		next   int
		failed error
	)
	take := func() []eventstore.Record {
		mu.Lock()
		defer mu.Unlock()
		if failed != nil || next == len(streams) {
			return nil
		}
		next++
		return streams[next-1]
	}
	fail := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		if failed == nil {
			failed = err
		}
	}
	var lanes sync.WaitGroup
	for range min(laneWidth, len(streams)) {
		lanes.Go(func() {
			for stream := take(); stream != nil; stream = take() {
				if err := l.stream(ctx, stream); err != nil {
					fail(err)
				}
			}
		})
	}
	lanes.Wait()
	return failed
}

// stream acts on one stream's records up to the first that fails. A panic is
// an error, as it would be on the router's own goroutine; its value may hold
// what was being handled and is not kept.
func (l *lanes) stream(ctx context.Context, records []eventstore.Record) (err error) {
	at := records[0].Sequence
	defer func() {
		if v := recover(); v != nil {
			err = &bridge.RecordError{Sequence: at, Err: &bridge.PanicError{Type: fmt.Sprintf("%T", v)}}
		}
	}()
	for _, r := range records {
		at = r.Sequence
		if err := l.act(ctx, r); err != nil {
			return &bridge.RecordError{Sequence: at, Err: err}
		}
	}
	return nil
}
