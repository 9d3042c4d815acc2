package storetest

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/authledger/authledger/eventstore"
)

func (s suite) followChecks() []check {
	return []check{
		{"follow/resumes at every position", s.followResume},
		{"follow/woken by live appends", s.followLive},
		{"follow/ends without error with its context", s.followEnds},
		{"follow/waits beyond the end", s.followAhead},
		{"follow/refuses empty batches", s.followEmptyBatch},
	}
}

func (s suite) followResume(t *testing.T) {
	store, _ := s.open(t)
	log := fill(t, store, 30)
	for _, size := range []int{1, 2, 7, 1000} {
		for from := range len(log) {
			want := log[from:]
			got, err := follow(limited(t), store, eventstore.Sequence(from), size, len(want))
			if err != nil {
				t.Fatalf("after %d in batches of %d: %v", from, size, err)
			}
			same(t, fmt.Sprintf("after %d in batches of %d", from, size), got, want)
		}
		// At the end: nothing until something comes.
		a, end := make(chan []eventstore.Record, 1), log[len(log)-1].Sequence
		go func() {
			got, err := follow(limited(t), store, end, size, 1)
			if err != nil {
				t.Errorf("after the end: %v", err)
			}
			a <- got
		}()
		mustAppend(t, store, fmt.Sprintf("live-%d", size), eventstore.NoStream(), Events(fmt.Sprintf("live %d", size), 1))
		log = wantLog(t, store, len(log)+1)
		same(t, "after the end", <-a, log[len(log)-1:])
	}
}

// followLive lets followers of all batch sizes run while many writers write,
// one of them breaking off and resuming after every batch.
func (s suite) followLive(t *testing.T) {
	const writers, appends, total = 16, 25, 16 * 25 * 2
	store, _ := s.open(t)
	ctx := limited(t)
	results := make([][]eventstore.Record, 6)
	errs := make([]error, len(results))
	var followers, group sync.WaitGroup
	for i, size := range []int{1, 2, 7, 1000, 1000} {
		followers.Go(func() { results[i], errs[i] = follow(ctx, store, 0, size, total) })
	}
	followers.Go(func() {
		for got := results[5]; len(got) < total && errs[5] == nil; results[5] = got {
			var more []eventstore.Record
			more, errs[5] = follow(ctx, store, eventstore.Sequence(len(got)), 5, 1)
			got = append(got, more...)
		}
	})
	for w := range writers {
		group.Go(func() {
			expected := eventstore.NoStream()
			for i := range appends {
				a, err := store.Append(ctx, fmt.Sprintf("user-%d", w), expected, Events(fmt.Sprintf("%d/%d", w, i), 2))
				if err != nil {
					t.Errorf("append: %v", err)
					return
				}
				expected = after(a)
			}
		})
	}
	group.Wait()
	followers.Wait()
	log := wantLog(t, store, total)
	for i, got := range results {
		if errs[i] != nil {
			t.Errorf("follower %d: %v", i, errs[i])
		}
		same(t, fmt.Sprintf("follower %d", i), got, log)
	}
}

func (s suite) followEnds(t *testing.T) {
	store, _ := s.open(t)
	fill(t, store, 10)
	ctx, cancel := context.WithCancel(limited(t))
	seen := 0
	for batch, err := range store.Follow(ctx, 0, 100) {
		if err != nil {
			t.Fatalf("follow: %v", err)
		}
		if seen += len(batch); seen == 10 {
			cancel() // the follower is about to wait
		}
	}
	cancel()
	if seen != 10 {
		t.Errorf("got %d records, want 10", seen)
	}
	waiting, stop := context.WithCancel(limited(t))
	ended := make(chan error, 1)
	go func() {
		_, err := follow(waiting, store, 10, 100, 1)
		ended <- err
	}()
	stop()
	if err := <-ended; err != nil {
		t.Errorf("waiting follower: got %v, want no error", err)
	}
}

func (s suite) followAhead(t *testing.T) {
	store, _ := s.open(t)
	fill(t, store, 3)
	got := make(chan []eventstore.Record, 1)
	go func() {
		records, err := follow(limited(t), store, 5, 10, 1)
		if err != nil {
			t.Errorf("follow: %v", err)
		}
		got <- records
	}()
	a := mustAppend(t, store, "user-1", eventstore.NoStream(), Events("one", 1))
	a = mustAppend(t, store, "user-1", after(a), Events("two", 1))
	mustAppend(t, store, "user-1", after(a), Events("three", 1))
	same(t, "first record", (<-got)[:1], wantLog(t, store, 6)[5:])
}

func (s suite) followEmptyBatch(t *testing.T) {
	store, _ := s.open(t)
	for _, size := range []int{0, -1} {
		if _, err := follow(limited(t), store, 0, size, 1); err == nil {
			t.Errorf("batches of %d: got no error", size)
		}
	}
}
