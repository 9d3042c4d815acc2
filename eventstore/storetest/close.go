package storetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/authledger/authledger/eventstore"
)

func (s suite) closeChecks() []check {
	return []check{
		{"close/answers every waiter", s.closeAnswers},
		{"close/refuses what comes later", s.closeRefuses},
		{"close/ends followers", s.closeFollowers},
	}
}

// closeAnswers closes while many append: every caller gets one answer, and
// what was acknowledged is in the log.
func (s suite) closeAnswers(t *testing.T) {
	const writers = 32
	clock, dir := NewClock(), t.TempDir()
	store := s.factory(t, dir, clock.Now)
	ctx := limited(t)
	running := make(chan struct{}, writers)
	acknowledged := make([][]eventstore.EventID, writers)
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			expected := eventstore.NoStream()
			for i := 0; ; i++ {
				events := Events(fmt.Sprintf("%d/%d", w, i), 1)
				a, err := store.Append(ctx, fmt.Sprintf("user-%d", w), expected, events)
				if errors.Is(err, eventstore.ErrClosed) {
					return
				}
				if err != nil {
					t.Errorf("append: got %v, want %v", err, eventstore.ErrClosed)
					return
				}
				acknowledged[w] = append(acknowledged[w], events[0].ID)
				expected = after(a)
				if i == 3 {
					running <- struct{}{}
				}
			}
		})
	}
	for range writers {
		<-running
	}
	if err := store.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	group.Wait()
	if !s.promises.Durable {
		return
	}
	store = s.reopen(t, dir, clock)
	for _, ids := range acknowledged {
		for _, id := range ids {
			if _, err := store.ByID(ctx, id); err != nil {
				t.Fatalf("acknowledged event after reopening: %v", err)
			}
		}
	}
}

func (s suite) closeRefuses(t *testing.T) {
	store, _ := s.open(t)
	fill(t, store, 3)
	for range 2 {
		if err := store.Close(); err != nil {
			t.Fatalf("close: %v", err)
		}
	}
	if _, err := store.Append(limited(t), "user-1", eventstore.NoStream(), Events("late", 1)); !errors.Is(err, eventstore.ErrClosed) {
		t.Errorf("append: got %v, want %v", err, eventstore.ErrClosed)
	}
	if got, err := drain(store.ReadAll(limited(t), 0)); err == nil {
		t.Errorf("read all: got %d records and no error", len(got))
	}
	if got, err := drain(store.ReadStream(limited(t), "fill-0", 0)); err == nil {
		t.Errorf("read stream: got %d records and no error", len(got))
	}
	if _, err := follow(limited(t), store, 0, 1, 1); err == nil {
		t.Error("follow: got no error")
	}
	if _, _, err := store.Head(limited(t)); err == nil {
		t.Error("head: got no error")
	}
}

func (s suite) closeFollowers(t *testing.T) {
	store, _ := s.open(t)
	fill(t, store, 3)
	const followers = 8
	ended := make(chan error, followers)
	started := make(chan struct{}, followers)
	for range followers {
		go func() {
			var last error
			for batch, err := range store.Follow(limited(t), 0, 10) {
				last = err
				if len(batch) == 3 {
					started <- struct{}{}
				}
			}
			ended <- last
		}()
	}
	for range followers {
		<-started
	}
	if err := store.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	for range followers {
		if err := <-ended; !errors.Is(err, eventstore.ErrClosed) {
			t.Errorf("follower: got %v, want %v", err, eventstore.ErrClosed)
		}
	}
}
