package delivery

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/bridge"
)

// batch is n records over a number of streams, one after the other.
func batch(n, streams int) []eventstore.Record {
	out := make([]eventstore.Record, n)
	for i := range out {
		out[i] = eventstore.Record{Sequence: eventstore.Sequence(i + 1), Stream: fmt.Sprint(i % streams), Type: "T"}
	}
	return out
}

func newLanes(act func(context.Context, eventstore.Record) error) *lanes {
	return &lanes{name: "n", checkpoints: bridge.NewMemoryCheckpoints(), wanted: map[string]bool{"T": true}, act: act}
}

func TestLanesKeepTheOrderOfAStreamAndServeManyAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		seen := map[string][]eventstore.Sequence{}
		at, most := 0, 0
		l := newLanes(func(_ context.Context, r eventstore.Record) error {
			mu.Lock()
			seen[r.Stream] = append(seen[r.Stream], r.Sequence)
			at++
			most = max(most, at)
			mu.Unlock()
			time.Sleep(100 * time.Millisecond) // the bubble's time
			mu.Lock()
			at--
			mu.Unlock()
			return nil
		})
		start := time.Now()
		if err := l.run(t.Context(), l.byStream(batch(96, 32))); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != 600*time.Millisecond || most != laneWidth {
			t.Errorf("took %s with %d at once, want 600 ms with %d", took, most, laneWidth)
		}
		for stream, got := range seen {
			if len(got) != 3 || got[0] >= got[1] || got[1] >= got[2] {
				t.Errorf("stream %s: %v", stream, got)
			}
		}
	})
}

func TestLanesPassOverWhatIsNotWantedOrDone(t *testing.T) {
	t.Parallel()
	records := batch(10, 1)
	records[6].Type = "Other"
	l := newLanes(nil)
	l.done = 4
	var got []eventstore.Sequence
	for _, stream := range l.byStream(records) {
		for _, r := range stream {
			got = append(got, r.Sequence)
		}
	}
	if diff := cmp.Diff([]eventstore.Sequence{5, 6, 8, 9, 10}, got); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

func TestLanesStopAStreamAtItsFailure(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func() error{
		"error": func() error { return errCrash },
		"panic": func() error { panic("482913") },
	} {
		var mu sync.Mutex
		var got []eventstore.Sequence
		l := newLanes(func(_ context.Context, r eventstore.Record) error {
			if r.Sequence == 3 {
				return fail()
			}
			mu.Lock()
			defer mu.Unlock()
			got = append(got, r.Sequence)
			return nil
		})
		err := l.run(t.Context(), l.byStream(batch(5, 1)))
		var at *bridge.RecordError
		if !errors.As(err, &at) || at.Sequence != 3 {
			t.Errorf("%s: error %v, want one at record 3", name, err)
		}
		if diff := cmp.Diff([]eventstore.Sequence{1, 2}, got); diff != "" {
			t.Errorf("%s: acted on (-want +got):\n%s", name, diff)
		}
	}
}

func TestLanesBeginNothingAfterAFailure(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	acted := 0
	l := newLanes(func(context.Context, eventstore.Record) error {
		mu.Lock()
		defer mu.Unlock()
		acted++
		return errCrash
	})
	if err := l.run(t.Context(), l.byStream(batch(100, 100))); !errors.Is(err, errCrash) {
		t.Errorf("error %v", err)
	}
	if acted > laneWidth {
		t.Errorf("began %d streams, want %d at most", acted, laneWidth)
	}
}

func TestLanesSaveNowAndThen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLanes(nil)
		l.every = time.Second
		for _, step := range []struct {
			wait time.Duration
			last eventstore.Sequence
			want eventstore.Sequence
			why  string
		}{
			{0, 3, 3, "the first position is saved"},
			{999 * time.Millisecond, 7, 3, "a second has not passed"},
			{time.Millisecond, 8, 8, "a second has passed"},
			{0, 8 + saveBehind - 1, 8, "a restart would read few records"},
			{0, 8 + saveBehind, 8 + saveBehind, "a restart would read many"},
		} {
			time.Sleep(step.wait) // the bubble's time
			if err := l.pass(t.Context(), step.last); err != nil {
				t.Fatal(err)
			}
			got, err := l.checkpoints.Load(t.Context(), l.name)
			if err != nil || got != step.want {
				t.Errorf("after %d, saved %d, %v; want %d: %s", step.last, got, err, step.want, step.why)
			}
		}
	})
}
