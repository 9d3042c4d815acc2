package storetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"

	"github.com/authledger/authledger/eventstore"
)

// pageSize is the page the stores read by; checks stand on both sides of it.
const pageSize = 1000

func (s suite) readChecks() []check {
	checks := []check{
		{"read/empty log", s.readEmpty},
		{"read/from every place", s.readFrom},
		{"read/by id", s.readByID},
		{"read/ends at the newest record of the call", s.readBounded},
		{"read/during writes", s.readDuringWrites},
		{"read/breaking off releases", s.readBreak},
		{"read/context ending half way", s.readContext},
	}
	for _, n := range []int{pageSize - 1, pageSize, pageSize + 1, 2 * pageSize} {
		checks = append(checks, check{fmt.Sprintf("read/page boundary at %d", n), func(t *testing.T) { s.readPages(t, n) }})
	}
	return checks
}

func (s suite) readEmpty(t *testing.T) {
	store, _ := s.open(t)
	for _, from := range []uint64{0, 1, 2, math.MaxInt64, math.MaxUint64} {
		if got := collect(t, store.ReadAll(limited(t), eventstore.Sequence(from))); len(got) != 0 {
			t.Errorf("log from %d: got %d records", from, len(got))
		}
		if got := collect(t, store.ReadStream(limited(t), "user-1", eventstore.Revision(from))); len(got) != 0 {
			t.Errorf("stream from %d: got %d records", from, len(got))
		}
	}
	if _, err := store.ByID(limited(t), number(1)); !errors.Is(err, eventstore.ErrNotFound) {
		t.Errorf("by id: got %v, want %v", err, eventstore.ErrNotFound)
	}
	if sequence, position, err := store.Head(limited(t)); sequence != 0 || position != 0 || err != nil {
		t.Errorf("head: got %d, %d, %v, want zeros", sequence, position, err)
	}
}

func (s suite) readFrom(t *testing.T) {
	store, _ := s.open(t)
	log := fill(t, store, 25)
	streams := map[string][]eventstore.Record{}
	for _, r := range log {
		streams[r.Stream] = append(streams[r.Stream], r)
	}
	for from := range uint64(28) {
		got := collect(t, store.ReadAll(limited(t), eventstore.Sequence(from)))
		first := min(max(from, 1), 26) - 1
		same(t, fmt.Sprintf("log from %d", from), len(got), len(log[first:]))
		for i, r := range got {
			same(t, fmt.Sprintf("log from %d, record %d", from, i), r, log[int(first)+i])
		}
	}
	for name, records := range streams {
		for from := range len(records) + 3 {
			got := collect(t, store.ReadStream(limited(t), name, eventstore.Revision(from)))
			want := records[min(from, len(records)):]
			same(t, fmt.Sprintf("%s from %d", name, from), len(got), len(want))
			for i, r := range got {
				same(t, fmt.Sprintf("%s from %d, record %d", name, from, i), r, want[i])
			}
		}
	}
	for _, from := range []uint64{math.MaxInt64, math.MaxInt64 + 1, math.MaxUint64} {
		if got := collect(t, store.ReadAll(limited(t), eventstore.Sequence(from))); len(got) != 0 {
			t.Errorf("log from %d: got %d records", from, len(got))
		}
		if got := collect(t, store.ReadStream(limited(t), "fill-0", eventstore.Revision(from))); len(got) != 0 {
			t.Errorf("stream from %d: got %d records", from, len(got))
		}
	}
	sequence, position, err := store.Head(limited(t))
	if err != nil || sequence != 25 || position != log[24].Position {
		t.Errorf("head: got %d, %d, %v, want 25, %d", sequence, position, err, log[24].Position)
	}
}

func (s suite) readByID(t *testing.T) {
	store, _ := s.open(t)
	for _, r := range fill(t, store, 40) {
		got, err := store.ByID(limited(t), r.ID)
		if err != nil {
			t.Fatalf("by id %s: %v", r.ID, err)
		}
		same(t, "record", got, r)
		other := r.ID
		other[15] ^= 1
		if _, err := store.ByID(limited(t), other); !errors.Is(err, eventstore.ErrNotFound) {
			t.Errorf("by id with one bit changed: got %v, want %v", err, eventstore.ErrNotFound)
		}
	}
}

// readPages builds one long stream and a log of the same length.
func (s suite) readPages(t *testing.T, n int) {
	store, _ := s.open(t)
	expected := eventstore.NoStream()
	for done := 0; done < n; {
		size := min(n-done, 333)
		a := mustAppend(t, store, "long", expected, Events(fmt.Sprint(done), size))
		expected = after(a)
		done += size
	}
	log := wantLog(t, store, n)
	for _, from := range []int{0, 1, n - pageSize, n - pageSize + 1, n - 1, n} {
		if from < 0 {
			continue
		}
		got := collect(t, store.ReadStream(limited(t), "long", eventstore.Revision(from)))
		if len(got) != n-from {
			t.Fatalf("stream from %d: got %d records, want %d", from, len(got), n-from)
		}
		for i, r := range got {
			if r.Revision != eventstore.Revision(from+i) || r.ID != log[from+i].ID {
				t.Fatalf("stream from %d, record %d: got revision %d", from, i, r.Revision)
			}
		}
		got, err := follow(limited(t), store, eventstore.Sequence(from), pageSize, n-from)
		if from < n && (err != nil || len(got) != n-from || got[0].Sequence != eventstore.Sequence(from+1)) {
			t.Fatalf("follow after %d: got %d records, %v, want %d", from, len(got), err, n-from)
		}
		if from == n-1 {
			break // following after n would wait
		}
	}
}

// readBounded appends while it reads: a read that ran after its own tail would
// never end.
func (s suite) readBounded(t *testing.T) {
	store, _ := s.open(t)
	a := mustAppend(t, store, "user-1", eventstore.NoStream(), Events("before", 3))
	read := 0
	for r, err := range store.ReadAll(limited(t), 0) {
		if err != nil {
			t.Fatal(err)
		}
		read++
		a = mustAppend(t, store, "user-1", after(a), Events(fmt.Sprint("all ", r.Sequence), 1))
	}
	if read != 3 {
		t.Errorf("log: read %d records, want the 3 that stood there", read)
	}
	read = 0
	for r, err := range store.ReadStream(limited(t), "user-1", 0) {
		if err != nil {
			t.Fatal(err)
		}
		read++
		a = mustAppend(t, store, "user-1", after(a), Events(fmt.Sprint("stream ", r.Revision), 1))
	}
	if read != 6 {
		t.Errorf("stream: read %d records, want the 6 that stood there", read)
	}
	wantLog(t, store, 12)
}

func (s suite) readDuringWrites(t *testing.T) {
	const appends = 300
	store, _ := s.open(t)
	ctx := limited(t)
	done := make(chan error, 1)
	go func() {
		expected := eventstore.NoStream()
		for i := range appends {
			a, err := store.Append(ctx, "user-1", expected, Events(fmt.Sprint(i), 3))
			if err != nil {
				done <- err
				return
			}
			expected = after(a)
		}
		done <- nil
	}()
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for last := 0; last < 3*appends; {
				got, err := drain(store.ReadStream(ctx, "user-1", 0))
				if err != nil || len(got) < last || len(got)%3 != 0 {
					t.Errorf("read during writes: %d records after %d (an append is 3), %v", len(got), last, err)
					return
				}
				for i, r := range got {
					if r.Revision != eventstore.Revision(i) {
						t.Errorf("record %d of the stream has revision %d", i, r.Revision)
						return
					}
				}
				last = len(got)
			}
		})
	}
	if err := <-done; err != nil {
		t.Errorf("append: %v", err)
	}
	readers.Wait()
	wantLog(t, store, 3*appends)
}

// readBreak leaves more iterators than any store has connections.
func (s suite) readBreak(t *testing.T) {
	store, _ := s.open(t)
	fill(t, store, 50)
	for range 200 {
		for range store.ReadAll(limited(t), 0) {
			break
		}
		for range store.ReadStream(limited(t), "fill-1", 0) {
			break
		}
		for range store.Follow(limited(t), 0, 3) {
			break
		}
	}
	mustAppend(t, store, "user-1", eventstore.NoStream(), Events("after", 1))
	wantLog(t, store, 51)
}

func (s suite) readContext(t *testing.T) {
	store, _ := s.open(t)
	fill(t, store, 20)
	ctx, cancel := context.WithCancel(limited(t))
	read, failures := 0, 0
	for _, err := range store.ReadAll(ctx, 0) {
		switch {
		case failures > 0:
			t.Fatal("a pair came after the error")
		case err == nil:
			read++
			cancel()
		case errors.Is(err, context.Canceled):
			failures++
		default:
			t.Fatalf("got %v, want %v", err, context.Canceled)
		}
	}
	cancel()
	if failures != 1 || read == 20 {
		t.Errorf("read %d records and %d errors, want an error before the end", read, failures)
	}
}
