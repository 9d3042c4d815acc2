package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/authledger/authledger/eventstore"
)

// SideFactory opens side streams; two calls with one name show the same ones.
// The suite closes nothing.
type SideFactory func(t testing.TB, name string) eventstore.Side

// RunSide checks side streams against their contract.
func RunSide(t *testing.T, open SideFactory) {
	t.Helper()
	for _, c := range []struct {
		name string
		run  func(t *testing.T, side, other eventstore.Side)
	}{
		{"side/keeps what was appended", sideKeeps},
		{"side/refuses another length", sideConflict},
		{"side/one of many wins each place", sideRace},
		{"side/deleted for good", sideDeleted},
		{"side/lists", sideLists},
		{"side/watches", sideWatches},
		{"side/input", sideInput},
		{"side/context", sideContext},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, open(t, c.name), open(t, c.name))
		})
	}
}

func appendSide(t *testing.T, s eventstore.Side, stream string, next uint64, entries ...string) {
	t.Helper()
	b := make([][]byte, len(entries))
	for i, e := range entries {
		b[i] = []byte(e)
	}
	if err := s.AppendSide(limited(t), stream, next, b...); err != nil {
		t.Fatalf("append behind %d: %v", next, err)
	}
}

func readSide(t *testing.T, s eventstore.Side, stream string, from uint64) ([]string, error) {
	t.Helper()
	var out []string
	for b, err := range s.ReadSide(limited(t), stream, from) {
		if err != nil {
			return out, err
		}
		out = append(out, string(b))
	}
	return out, nil
}

func wantSide(t *testing.T, s eventstore.Side, stream string, from uint64, want ...string) {
	t.Helper()
	got, err := readSide(t, s, stream, from)
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("%s from %d: got %q, %v, want %q", stream, from, got, err, want)
	}
}

func sideKeeps(t *testing.T, side, other eventstore.Side) {
	wantSide(t, other, "nothing", 0)
	appendSide(t, side, "a", 0, `{"json":true}`, "\x00\xff binary")
	appendSide(t, other, "a", 2, "")
	appendSide(t, side, "key-b", 0, "b")
	wantSide(t, other, "a", 0, `{"json":true}`, "\x00\xff binary", "")
	wantSide(t, side, "a", 2, "")
	wantSide(t, side, "a", 3)
	wantSide(t, side, "a", 300)
	wantSide(t, other, "key-b", 0, "b")
	long := strings.Repeat("x", eventstore.MaxAppendBytes)
	appendSide(t, side, "long", 0, long)
	wantSide(t, other, "long", 0, long)
	var many []string
	for n := 0; n < 2100; n += 700 {
		more := make([]string, 700)
		for i := range more {
			more[i] = fmt.Sprint(n + i)
		}
		appendSide(t, side, "many", uint64(n), more...)
		many = append(many, more...)
	}
	wantSide(t, other, "many", 0, many...)
	wantSide(t, other, "many", 1000, many[1000:]...)
}

func sideConflict(t *testing.T, side, other eventstore.Side) {
	appendSide(t, side, "a", 0, "1", "2")
	for _, next := range []uint64{0, 1, 3, 100} {
		if err := other.AppendSide(limited(t), "a", next, []byte("1"), []byte("2")); !errors.Is(err, eventstore.ErrConflict) {
			t.Errorf("behind %d of 2: got %v, want a conflict", next, err)
		}
	}
	if err := other.AppendSide(limited(t), "new", 1, []byte("x")); !errors.Is(err, eventstore.ErrConflict) {
		t.Errorf("behind 1 of none: got %v, want a conflict", err)
	}
	wantSide(t, side, "a", 0, "1", "2")
	wantSide(t, side, "new", 0)
}

func sideRace(t *testing.T, side, other eventstore.Side) {
	const writers, places = 8, 5
	ctx := limited(t)
	for n := range uint64(places) {
		var mu sync.Mutex
		var group sync.WaitGroup
		won := 0
		for w := range writers {
			group.Go(func() {
				s := []eventstore.Side{side, other}[w%2]
				err := s.AppendSide(ctx, "race", n, fmt.Appendf(nil, "%d/%d", n, w))
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					won++
				} else if !errors.Is(err, eventstore.ErrConflict) {
					t.Errorf("append: %v", err)
				}
			})
		}
		group.Wait()
		if won != 1 {
			t.Fatalf("place %d: %d winners", n, won)
		}
	}
	if got, err := readSide(t, side, "race", 0); err != nil || len(got) != places {
		t.Errorf("got %q, %v, want %d entries", got, err, places)
	}
}

func sideDeleted(t *testing.T, side, other eventstore.Side) {
	appendSide(t, side, "key-a", 0, "secret")
	appendSide(t, side, "key-b", 0, "other")
	for _, stream := range []string{"key-a", "key-never"} {
		for range 2 {
			if err := other.DeleteSide(limited(t), stream); err != nil {
				t.Fatalf("delete %s: %v", stream, err)
			}
		}
		for _, next := range []uint64{0, 1} {
			if err := side.AppendSide(limited(t), stream, next, []byte("again")); !errors.Is(err, eventstore.ErrGone) {
				t.Errorf("append to %s, which was deleted, behind %d: got %v, want %v", stream, next, err, eventstore.ErrGone)
			}
		}
		if got, err := readSide(t, side, stream, 0); !errors.Is(err, eventstore.ErrGone) || len(got) != 0 {
			t.Errorf("read %s, which was deleted: got %q, %v, want %v", stream, got, err, eventstore.ErrGone)
		}
	}
	wantSide(t, other, "key-b", 0, "other")
}

func sideLists(t *testing.T, side, other eventstore.Side) {
	for i := range 30 {
		appendSide(t, side, fmt.Sprintf("key-%d", i), 0, "x")
		appendSide(t, side, fmt.Sprintf("key-%d", i), 1, "y")
		appendSide(t, side, fmt.Sprintf("kez-%d", i), 0, "x")
	}
	if err := other.DeleteSide(limited(t), "key-7"); err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for name, err := range other.ListSide(limited(t), "key-") {
		if err != nil {
			t.Fatal(err)
		}
		got[name]++
	}
	if len(got) != 29 || got["key-7"] != 0 || got["key-8"] != 1 || got["key-29"] != 1 {
		t.Errorf("got %v, want key-0 to key-29 without key-7", slices.Sorted(maps.Keys(got)))
	}
	for name, err := range other.ListSide(limited(t), "nothing-") {
		t.Errorf("got %s, %v", name, err)
	}
	for range other.ListSide(limited(t), "key-") {
		break
	}
}

// sideWatches appends until the watcher, whose beginning nobody can see, has
// told of a change, and then expects every further one.
func sideWatches(t *testing.T, side, other eventstore.Side) {
	ctx, cancel := context.WithCancel(limited(t))
	told := make(chan string, 1000)
	ended := make(chan error, 1)
	go func() {
		var last error
		for name, err := range other.WatchSide(ctx, "key-") {
			if last = err; err == nil {
				told <- name
			}
		}
		ended <- last
	}()
	for n, begun := uint64(0), false; !begun; n++ {
		appendSide(t, side, "key-begin", n, "x")
		select {
		case <-told:
			begun = true
		default:
		}
	}
	appendSide(t, side, "other", 0, "x")
	appendSide(t, side, "key-a", 0, "x")
	if err := side.DeleteSide(limited(t), "key-a"); err != nil {
		t.Fatal(err)
	}
	appendSide(t, side, "key-b", 0, "x", "y")
	seen := map[string]int{}
	for seen["key-b"] == 0 {
		seen[<-told]++
	}
	if seen["key-a"] < 2 || seen["other"] != 0 {
		t.Errorf("got %v, want key-a twice or more and nothing of the other streams", seen)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("the watch ended with %v", err)
	}
}

func sideInput(t *testing.T, side, _ eventstore.Side) {
	for _, stream := range []string{"", "$system", "with space", strings.Repeat("x", eventstore.MaxStreamName+1)} {
		if err := side.AppendSide(limited(t), stream, 0, []byte("x")); !errors.Is(err, eventstore.ErrInvalid) {
			t.Errorf("append to %q: got %v", stream, err)
		}
		if err := side.DeleteSide(limited(t), stream); !errors.Is(err, eventstore.ErrInvalid) {
			t.Errorf("delete %q: got %v", stream, err)
		}
	}
	if err := side.AppendSide(limited(t), "a", 0, make([]byte, eventstore.MaxAppendBytes+1)); !errors.Is(err, eventstore.ErrTooLarge) {
		t.Errorf("too large: got %v", err)
	}
	if err := side.AppendSide(limited(t), "a", 0, make([][]byte, eventstore.MaxAppendCount+1)...); !errors.Is(err, eventstore.ErrTooLarge) {
		t.Errorf("too many: got %v", err)
	}
	wantSide(t, side, "a", 0)
}

func sideContext(t *testing.T, side, _ eventstore.Side) {
	appendSide(t, side, "a", 0, "x")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := side.AppendSide(ctx, "a", 1, []byte("y")); !errors.Is(err, context.Canceled) {
		t.Errorf("append: got %v", err)
	}
	for _, err := range side.ReadSide(ctx, "a", 0) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("read: got %v", err)
		}
	}
	if err := side.DeleteSide(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("delete: got %v", err)
	}
	wantSide(t, side, "a", 0, "x")
}
