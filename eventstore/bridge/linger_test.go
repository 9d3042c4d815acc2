package bridge_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/bridge"
)

const linger = 10 * time.Millisecond

// arrival is a message and when it came, counted from the test's start.
type arrival struct {
	Span  span
	After time.Duration
}

// lingering runs do in a bubble of its own over an empty log whose subscription
// lingers, and returns what was delivered. Every message takes `took`.
func lingering(t *testing.T, cfg bridge.Config, took time.Duration, do func(t *testing.T, store eventstore.Store)) []arrival {
	t.Helper()
	var got []arrival
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		cfg.From, cfg.Linger = fromStart, linger
		sub := bridge.NewSubscriber(store, cfg, quiet())
		messages := subscribe(t, t.Context(), sub)
		start, ended := time.Now(), make(chan struct{})
		go func() {
			defer close(ended)
			for m := range messages {
				got = append(got, arrival{sequences(t, m), time.Since(start)})
				time.Sleep(took) // virtual
				m.Ack()
			}
		}()
		do(t, store)
		time.Sleep(10 * linger) // virtual: everything is delivered, the last linger over
		if err := sub.Close(); err != nil {
			t.Error(err)
		}
		<-ended
	})
	return got
}

// trickle appends n records, one each millisecond, the first at once.
func trickle(n int) func(*testing.T, eventstore.Store) {
	return func(t *testing.T, store eventstore.Store) {
		for range n {
			fill(t, store, 1)
			time.Sleep(time.Millisecond) // virtual
		}
	}
}

func TestLingerGathersSmallAppends(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		cfg  bridge.Config
		took time.Duration
		do   func(*testing.T, eventstore.Store)
		want []arrival
	}{
		"a trickle comes in few messages, its first record at once": {
			// Appends and the linger's end meet on the same millisecond: half a
			// millisecond keeps them apart.
			took: ms / 2,
			do: func(t *testing.T, store eventstore.Store) {
				fill(t, store, 1)
				time.Sleep(ms / 2) // virtual
				trickle(24)(t, store)
			},
			want: []arrival{{span{1, 1}, 0}, {span{2, 11}, 10 * ms}, {span{12, 21}, 20 * ms}, {span{22, 25}, 30 * ms}},
		},
		"records that come alone are never held up": {
			do: func(t *testing.T, store eventstore.Store) {
				for range 3 {
					fill(t, store, 1)
					time.Sleep(2 * linger) // virtual
				}
			},
			want: []arrival{{span{1, 1}, 0}, {span{2, 2}, 20 * ms}, {span{3, 3}, 40 * ms}},
		},
		"a full message is followed at once": {
			cfg:  bridge.Config{BatchSize: 4},
			do:   func(t *testing.T, store eventstore.Store) { fill(t, store, 10) },
			want: []arrival{{span{1, 4}, 0}, {span{5, 8}, 0}, {span{9, 10}, 0}},
		},
		"a slow consumer is not made slower": {
			took: 15 * ms,
			do: func(t *testing.T, store eventstore.Store) {
				fill(t, store, 1)
				time.Sleep(ms) // virtual
				fill(t, store, 1)
			},
			want: []arrival{{span{1, 1}, 0}, {span{2, 2}, 15 * ms}},
		},
		"a hurry that is on ends the linger": {
			cfg: bridge.Config{Hurry: func() <-chan struct{} { return closed() }},
			do:  trickle(3),
			want: []arrival{
				{span{1, 1}, 0}, {span{2, 2}, 1 * ms}, {span{3, 3}, 2 * ms},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, lingering(t, c.cfg, c.took, c.do)); diff != "" {
				t.Errorf("messages (-want +got):\n%s", diff)
			}
		})
	}
}

// A hurry that begins during a linger ends it, and only it.
func TestHurryEndsTheLingerUnderWay(t *testing.T) {
	t.Parallel()
	var hurry atomic.Pointer[chan struct{}]
	renew := func() (old *chan struct{}) {
		c := make(chan struct{})
		return hurry.Swap(&c)
	}
	cfg := bridge.Config{Hurry: func() <-chan struct{} { return *hurry.Load() }}
	got := lingering(t, cfg, 0, func(t *testing.T, store eventstore.Store) {
		renew() // a channel of the bubble
		fill(t, store, 1)
		time.Sleep(3 * time.Millisecond) // virtual
		fill(t, store, 2)
		close(*renew())
		time.Sleep(time.Millisecond) // virtual
		fill(t, store, 1)
	})
	want := []arrival{{span{1, 1}, 0}, {span{2, 3}, 3 * time.Millisecond}, {span{4, 4}, 13 * time.Millisecond}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
}

// Closing does not wait for a linger.
func TestCloseEndsALinger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		fill(t, store, 1)
		sub := bridge.NewSubscriber(store, bridge.Config{From: fromStart, Linger: time.Hour}, quiet())
		messages := subscribe(t, t.Context(), sub)
		take(t, messages, 1)
		start := time.Now()
		if err := sub.Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("closing took %s", took)
		}
	})
}

func closed() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}
