package storetest

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"

	"github.com/authledger/authledger/eventstore"
)

func (s suite) conflictChecks() []check {
	return []check{
		{"conflict/every form", s.conflictForms},
		{"conflict/one winner of 64", s.conflictOneWinner},
		{"conflict/writers on their own streams all win", s.conflictNone},
	}
}

func (s suite) conflictForms(t *testing.T) {
	store, _ := s.open(t)
	a := mustAppend(t, store, "user-1", eventstore.NoStream(), Events("first", 3))
	leaf := a.Last().Leaf
	for i, c := range []struct {
		name     string
		stream   string
		expected eventstore.Expected
		actual   eventstore.Revision
		found    bool
	}{
		{"no stream, but there is one", "user-1", eventstore.NoStream(), 2, true},
		{"zero value", "user-1", eventstore.Expected{}, 2, true},
		{"behind", "user-1", eventstore.At(0, leaf), 2, true},
		{"one behind", "user-1", eventstore.At(1, leaf), 2, true},
		{"one ahead", "user-1", eventstore.At(3, leaf), 2, true},
		{"far ahead", "user-1", eventstore.At(math.MaxInt64, leaf), 2, true},
		{"greatest", "user-1", eventstore.At(math.MaxUint64, leaf), 2, true},
		{"missing stream at 0", "user-2", eventstore.At(0, leaf), 0, false},
		{"missing stream at 2", "user-2", eventstore.At(2, leaf), 0, false},
		{"missing stream at the greatest", "user-2", eventstore.At(math.MaxUint64, leaf), 0, false},
		{"prefix of another stream's name", "user-", eventstore.At(2, leaf), 0, false},
		{"other case", "USER-1", eventstore.At(2, leaf), 0, false},
	} {
		_, err := store.Append(limited(t), c.stream, c.expected, Events(fmt.Sprintf("conflict %d", i), 2))
		var conflict *eventstore.ConflictError
		if !errors.Is(err, eventstore.ErrConflict) || !errors.As(err, &conflict) {
			t.Errorf("%s: got %v, want a conflict", c.name, err)
			continue
		}
		want := eventstore.ConflictError{Stream: c.stream, Expected: c.expected, Actual: c.actual, Found: c.found}
		if *conflict != want {
			t.Errorf("%s: got %+v, want %+v", c.name, *conflict, want)
		}
	}
	wantLog(t, store, 3)
	mustAppend(t, store, "user-1", after(a), Events("next", 1))
}

// conflictOneWinner lets 64 writers append under the same expectation, round
// after round.
func (s suite) conflictOneWinner(t *testing.T) {
	const writers, rounds = 64, 10
	store, _ := s.open(t)
	ctx := limited(t)
	expected := eventstore.NoStream()
	for round := range rounds {
		var group sync.WaitGroup
		results := make([]eventstore.Appended, writers)
		errs := make([]error, writers)
		for w := range writers {
			group.Go(func() {
				results[w], errs[w] = store.Append(ctx, "contended", expected, Events(fmt.Sprintf("%d/%d", round, w), 2))
			})
		}
		group.Wait()
		winner := -1
		for w, err := range errs {
			switch {
			case err == nil && winner < 0:
				winner = w
			case err == nil:
				t.Fatalf("round %d: writers %d and %d both won", round, winner, w)
			case !errors.Is(err, eventstore.ErrConflict):
				t.Fatalf("round %d, writer %d: got %v, want a conflict", round, w, err)
			}
		}
		if winner < 0 {
			t.Fatalf("round %d: no winner", round)
		}
		expected = after(results[winner])
	}
	wantLog(t, store, 2*rounds)
}

func (s suite) conflictNone(t *testing.T) {
	const writers, appends = 32, 20
	store, _ := s.open(t)
	ctx := limited(t)
	var group sync.WaitGroup
	errs := make([]error, writers)
	for w := range writers {
		group.Go(func() {
			stream, expected := fmt.Sprintf("user-%d", w), eventstore.NoStream()
			for i := range appends {
				a, err := store.Append(ctx, stream, expected, Events(fmt.Sprintf("%d/%d", w, i), i%3+1))
				if err != nil {
					errs[w] = fmt.Errorf("append %d: %w", i, err)
					return
				}
				expected = after(a)
			}
		})
	}
	group.Wait()
	for w, err := range errs {
		if err != nil {
			t.Errorf("writer %d: %v", w, err)
		}
	}
	perWriter := 0
	for i := range appends {
		perWriter += i%3 + 1
	}
	log := wantLog(t, store, writers*perWriter)
	// One append's records stand next to each other in the log.
	seen := map[string]bool{}
	for i, r := range log {
		command := commandOf(r)
		if seen[command] && commandOf(log[i-1]) != command {
			t.Fatalf("record %d of %s is separated from its append", i+1, r.Stream)
		}
		seen[command] = true
	}
}
