package bridge_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/bridge"
)

func TestReactorActsInOrderAndResumes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, checkpoints := newStore(t), bridge.NewMemoryCheckpoints()
		fill(t, store, 30)
		var broken atomic.Bool
		broken.Store(true)
		var acted []eventstore.Sequence
		act := func(_ context.Context, r eventstore.Record) error {
			if r.Sequence == 13 && broken.Load() {
				return errOutage
			}
			acted = append(acted, r.Sequence)
			return nil
		}
		run := func(during func(*bridge.Router)) {
			r, reactor := newRouter(t, bridge.RouterConfig{}, quiet()), bridge.NewReactor("notices", checkpoints, act)
			sub := bridge.NewSubscriber(store, bridge.Config{From: reactor.From, BatchSize: 10}, quiet())
			r.AddConsumerHandler(reactor.Name(), bridge.Topic, sub, reactor.Handle)
			stop := start(t, r)
			time.Sleep(time.Minute)
			during(r)
			stop()
		}
		run(func(r *bridge.Router) {
			if s := r.Status(); len(s) != 1 || s[0].First != 13 || s[0].Last != 13 {
				t.Errorf("status %+v, want parked at 13", s)
			}
		})
		if at, err := checkpoints.Load(t.Context(), "notices"); err != nil || at != 12 {
			t.Errorf("checkpoint %d, %v; want 12", at, err)
		}
		broken.Store(false)
		run(func(*bridge.Router) {})
		if diff := cmp.Diff(dense(30), acted); diff != "" {
			t.Errorf("acted on (-want +got):\n%s", diff)
		}
	})
}

// failingCheckpoints fails a number of calls before it works.
type failingCheckpoints struct {
	bridge.Checkpoints
	loads, saves atomic.Int32
}

func (c *failingCheckpoints) Load(ctx context.Context, name string) (eventstore.Sequence, error) {
	if c.loads.Add(-1) >= 0 {
		return 0, errOutage
	}
	return c.Checkpoints.Load(ctx, name)
}

func (c *failingCheckpoints) Save(ctx context.Context, name string, at eventstore.Sequence) error {
	if c.saves.Add(-1) >= 0 {
		return errOutage
	}
	return c.Checkpoints.Save(ctx, name, at)
}

func TestReactorActsOnceWhenSavingFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, checkpoints := newStore(t), &failingCheckpoints{Checkpoints: bridge.NewMemoryCheckpoints()}
		checkpoints.loads.Store(3)
		checkpoints.saves.Store(20)
		fill(t, store, 5)
		var acted []eventstore.Sequence
		reactor := bridge.NewReactor("notices", checkpoints, func(_ context.Context, r eventstore.Record) error {
			acted = append(acted, r.Sequence)
			return nil
		})
		r := newRouter(t, bridge.RouterConfig{}, quiet())
		r.AddConsumerHandler("notices", bridge.Topic, bridge.NewSubscriber(store, bridge.Config{From: reactor.From}, quiet()), reactor.Handle)
		stop := start(t, r)
		time.Sleep(10 * time.Minute)
		stop()
		if diff := cmp.Diff(dense(5), acted); diff != "" {
			t.Errorf("acted on (-want +got):\n%s", diff)
		}
		if at, err := checkpoints.Load(t.Context(), "notices"); err != nil || at != 5 {
			t.Errorf("checkpoint %d, %v; want 5", at, err)
		}
	})
}

func TestReactorRefusesForeignMessages(t *testing.T) {
	t.Parallel()
	reactor := bridge.NewReactor("notices", bridge.NewMemoryCheckpoints(), nil)
	_, sub := bridge.NewPubSub(newStore(t), nil, bridge.PubSubConfig{}, quiet())
	defer sub.Close()
	if err := reactor.Handle(foreign()); !errors.Is(err, bridge.ErrNoRecords) {
		t.Errorf("got %v, want ErrNoRecords", err)
	}
}

func TestMemoryCheckpointsNeverGoBack(t *testing.T) {
	t.Parallel()
	c := bridge.NewMemoryCheckpoints()
	for _, at := range []eventstore.Sequence{5, 9, 7} {
		if err := c.Save(t.Context(), "x", at); err != nil {
			t.Fatal(err)
		}
	}
	if at, err := c.Load(t.Context(), "x"); err != nil || at != 9 {
		t.Errorf("got %d, %v; want 9", at, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Save(ended, "x", 10); !errors.Is(err, context.Canceled) {
		t.Errorf("save after the end: %v", err)
	}
}
