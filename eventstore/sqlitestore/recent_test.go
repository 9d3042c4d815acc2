package sqlitestore_test

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/sqlitestore"
	"github.com/authledger/authledger/eventstore/storetest"
)

// TestReadsFromMemory takes every connection away: followers near the head,
// streams and ids are served all the same, with what the ledger holds.
func TestReadsFromMemory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	store := tuned(t, dir, time.Now, 1000, sqlitestore.Faults{})
	write(t, store, 0, 10)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	store = closing(t, tuned(t, dir, time.Now, 1000, sqlitestore.Faults{}))
	if n := store.Remembered(); n != 0 {
		t.Errorf("a store just opened has %d records in memory", n)
	}
	write(t, store, 10, 16)
	var want []eventstore.Record
	for r, err := range store.ReadAll(t.Context(), 11) {
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, r)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	store.WithoutReaders(func() {
		var got []eventstore.Record
		for batch, err := range store.Follow(ctx, 10, 4) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, batch...)
			clear(batch) // the batch belongs to the consumer
			if len(got) >= 6 {
				break
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("followed (-ledger +memory):\n%s", diff)
		}
		got = nil
		for r, err := range store.ReadStream(ctx, "user-12", 0) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, r)
		}
		if diff := cmp.Diff(want[2:4], got); diff != "" {
			t.Errorf("stream (-ledger +memory):\n%s", diff)
		}
		r, err := store.ByID(ctx, want[5].ID)
		if diff := cmp.Diff(want[5], r); err != nil || diff != "" {
			t.Errorf("by id: %v (-ledger +memory):\n%s", err, diff)
		}
		short, stop := context.WithTimeout(t.Context(), time.Millisecond)
		defer stop()
		if _, err := store.ByID(short, storetest.Events("written 0", 2)[0].ID); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a record of before the start needs a connection: got %v", err)
		}
	})
	for batch, err := range store.Follow(ctx, 0, 1000) {
		if err != nil || batch[0].Sequence != 1 || len(batch) != 16 {
			t.Errorf("from the beginning: got %d records, %v", len(batch), err)
		}
		break
	}
}

// TestMemoryIsDroppedInDoubt: after a commit in doubt only the ledger says what
// was written.
func TestMemoryIsDroppedInDoubt(t *testing.T) {
	t.Parallel()
	for _, written := range []bool{false, true} {
		var fault failing
		faults := sqlitestore.NewFaults(fault.call, nil, nil)
		if written {
			faults = sqlitestore.NewFaults(nil, nil, fault.call)
		}
		store := closing(t, tuned(t, t.TempDir(), storetest.NewClock().Now, 7, faults))
		write(t, store, 0, 6)
		if n := store.Remembered(); n != 6 {
			t.Errorf("got %d records in memory, want 6", n)
		}
		fault.on.Store(true)
		if _, err := store.Append(t.Context(), "late", eventstore.NoStream(), storetest.Events("late", 2)); !errors.Is(err, eventstore.ErrOutcomeUnknown) {
			t.Fatalf("append: got %v", err)
		}
		if n := store.Remembered(); n != 0 {
			t.Errorf("got %d records in memory after a commit in doubt, want 0", n)
		}
		head := eventstore.Sequence(6)
		if written {
			head = 8
		}
		wantHead(t, store, head)
		seen := 0
		for batch, err := range store.Follow(t.Context(), 0, 3) {
			if err != nil {
				t.Fatal(err)
			}
			if seen += len(batch); seen >= int(head) {
				break
			}
		}
		if seen != int(head) {
			t.Errorf("followed %d records, want %d", seen, head)
		}
	}
}

// TestFollowersBesideWriters has followers that fall behind memory and catch
// up while writers write: each sees every record once, in order, and unspoilt.
func TestFollowersBesideWriters(t *testing.T) {
	t.Parallel()
	const appends, followers = 3000, 4 // 6000 records: more than memory holds
	store := closing(t, tuned(t, t.TempDir(), time.Now, 500, sqlitestore.Faults{}))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var group sync.WaitGroup
	for f := range followers {
		group.Go(func() {
			next := eventstore.Sequence(0)
			for batch, err := range store.Follow(ctx, 0, 1+f*300) {
				if err != nil {
					t.Error(err)
					return
				}
				for _, r := range batch {
					if next++; r.Sequence != next || r.Position != eventstore.Position(next) || !bytes.HasPrefix(r.Metadata, []byte(`{"prev":"`)) {
						t.Errorf("follower %d: got %d, want %d: %s", f, r.Sequence, next, r.Metadata)
						return
					}
				}
				if next == 2*appends {
					return
				}
			}
			t.Errorf("follower %d ended at %d: %v", f, next, ctx.Err())
		})
	}
	for w := range 8 {
		group.Go(func() { write(t, store, w*appends/4, (w+1)*appends/4) })
	}
	group.Wait()
	if n := store.Remembered(); n != 4096 {
		t.Errorf("got %d records in memory, want 4096", n)
	}
}

// TestRing compares the ring with a plain slice of everything added.
func TestRing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		records, limit := rapid.IntRange(1, 9).Draw(t, "records"), rapid.IntRange(1, 60).Draw(t, "bytes")
		ring := sqlitestore.NewRing(records, limit)
		var all []eventstore.Record
		next := rapid.Uint64Range(1, 20).Draw(t, "first")
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			if rapid.IntRange(0, 9).Draw(t, "gap") == 0 {
				next, all = next+2, nil
			}
			var group []eventstore.Record
			for range rapid.IntRange(1, 12).Draw(t, "group") {
				group = append(group, eventstore.Record{Sequence: eventstore.Sequence(next), Data: make([]byte, rapid.IntRange(0, 20).Draw(t, "data"))})
				next++
			}
			all = append(all, group...)
			ring.Add(group)
			held := all
			for sum := 0; ; {
				for _, r := range held {
					sum += len(r.Data)
				}
				if len(held) <= records && sum <= limit {
					break
				}
				held, sum = held[1:], 0
			}
			for n := range next + 2 {
				var want []eventstore.Record
				for i := range held {
					if uint64(held[i].Sequence) == n+1 {
						want = held[i:min(i+3, len(held))]
					}
				}
				got := ring.After(eventstore.Sequence(n), 3)
				if len(want) == 0 && len(got) == 0 {
					continue
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("after %d (-want +got):\n%s", n, diff)
				}
			}
		}
	})
}
