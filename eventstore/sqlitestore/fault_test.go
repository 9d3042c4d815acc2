package sqlitestore_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/sqlitestore"
	"github.com/authledger/authledger/eventstore/storetest"
)

var errDisk = errors.New("disk says no")

// failing is a fault that is off until it is switched on.
type failing struct{ on atomic.Bool }

func (f *failing) call() error {
	if f.on.Load() {
		return errDisk
	}
	return nil
}

// TestCommitFails fails at each place of a commit: everybody waiting is told
// that the outcome is unknown, the store stops for writers and stays up for
// readers, reading back by id tells the truth, and a restart repairs.
func TestCommitFails(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		faults  func(call func() error) sqlitestore.Faults
		written bool // whether the records are in the log nevertheless
	}{
		{"before commit", func(f func() error) sqlitestore.Faults { return sqlitestore.NewFaults(f, nil, nil) }, false},
		{"after commit", func(f func() error) sqlitestore.Faults { return sqlitestore.NewFaults(nil, f, nil) }, true},
		{"before anchor", func(f func() error) sqlitestore.Faults { return sqlitestore.NewFaults(nil, nil, f) }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var fault failing
			dir := t.TempDir()
			store := closing(t, tuned(t, dir, storetest.NewClock().Now, 7, c.faults(fault.call)))
			write(t, store, 0, 30)
			if err := store.Err(); err != nil {
				t.Fatalf("store is not well: %v", err)
			}
			fault.on.Store(true)
			const callers = 20
			var group sync.WaitGroup
			errs := make([]error, callers)
			for i := range callers {
				group.Go(func() {
					_, errs[i] = store.Append(t.Context(), fmt.Sprint("late-", i), eventstore.NoStream(), storetest.Events(fmt.Sprint("late ", i), 2))
				})
			}
			group.Wait()
			fault.on.Store(false)
			unknown := 0
			for i, err := range errs {
				switch {
				case errors.Is(err, eventstore.ErrOutcomeUnknown):
					unknown++
				case !errors.Is(err, eventstore.ErrUnavailable):
					t.Errorf("caller %d: got %v", i, err)
				}
				_, readErr := store.ByID(t.Context(), storetest.Events(fmt.Sprint("late ", i), 2)[1].ID)
				want := c.written && errors.Is(err, eventstore.ErrOutcomeUnknown)
				if (readErr == nil) != want || (readErr != nil && !errors.Is(readErr, eventstore.ErrNotFound)) {
					t.Errorf("caller %d was told %v; reading back gives %v, want found: %v", i, err, readErr, want)
				}
			}
			if unknown == 0 {
				t.Error("nobody was told that the outcome is unknown")
			}
			_, err := store.Append(t.Context(), "later", eventstore.NoStream(), storetest.Events("later", 1))
			if !errors.Is(err, eventstore.ErrUnavailable) || !errors.Is(store.Err(), eventstore.ErrUnavailable) {
				t.Errorf("stopped store: got %v, %v", err, store.Err())
			}
			head := eventstore.Sequence(30)
			if c.written {
				head += eventstore.Sequence(2 * unknown)
			}
			wantHead(t, store, head)
			if err := store.Close(); err != nil {
				t.Fatal(err)
			}
			store = closing(t, tuned(t, dir, storetest.NewClock().Now, 7, sqlitestore.Faults{}))
			wantHead(t, store, head)
			write(t, store, 100, 110)
		})
	}
}

func TestAnchorWriteFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	store := closing(t, tuned(t, dir, storetest.NewClock().Now, 7, sqlitestore.Faults{}))
	write(t, store, 0, 4)
	if err := store.BreakAnchor(); err != nil {
		t.Fatal(err)
	}
	events := storetest.Events("late", 1)
	if _, err := store.Append(t.Context(), "late", eventstore.NoStream(), events); !errors.Is(err, eventstore.ErrOutcomeUnknown) {
		t.Errorf("append: got %v, want %v", err, eventstore.ErrOutcomeUnknown)
	}
	if _, err := store.ByID(t.Context(), events[0].ID); err != nil {
		t.Errorf("read back: %v", err)
	}
	if !errors.Is(store.Err(), eventstore.ErrUnavailable) {
		t.Errorf("store: got %v", store.Err())
	}
}

// TestFollowerSurvivesStop has a follower that waits while the store stops: it
// sees what the commit in doubt left behind and goes on waiting.
func TestFollowerSurvivesStop(t *testing.T) {
	t.Parallel()
	var fault failing
	store := closing(t, tuned(t, t.TempDir(), storetest.NewClock().Now, 7, sqlitestore.NewFaults(nil, fault.call, nil)))
	write(t, store, 0, 2)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	seen := eventstore.Sequence(0)
	for batch, err := range store.Follow(ctx, 0, 10) {
		if err != nil {
			t.Fatal(err)
		}
		if seen += eventstore.Sequence(len(batch)); seen == 4 {
			break
		}
		fault.on.Store(true)
		if _, err := store.Append(ctx, "late", eventstore.NoStream(), storetest.Events("late", 2)); !errors.Is(err, eventstore.ErrOutcomeUnknown) {
			t.Fatalf("append: got %v", err)
		}
	}
	if seen != 4 {
		t.Errorf("follower saw %d records, want 4", seen)
	}
}

// TestContextEndsWhileWaiting ends the context of a caller in the middle of a
// commit that does not come back.
func TestContextEndsWhileWaiting(t *testing.T) {
	t.Parallel()
	reached, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	store := closing(t, tuned(t, t.TempDir(), storetest.NewClock().Now, 7, sqlitestore.NewFaults(func() error {
		once.Do(func() { close(reached) })
		<-release
		return nil
	}, nil, nil)))
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-reached
		cancel()
	}()
	events := storetest.Events("slow", 2)
	_, err := store.Append(ctx, "slow", eventstore.NoStream(), events)
	if !errors.Is(err, eventstore.ErrOutcomeUnknown) || !errors.Is(err, context.Canceled) {
		t.Errorf("append: got %v", err)
	}
	clear(events[0].Data) // the caller's again: the race detector watches
	close(release)
	a, err := store.Append(t.Context(), "slow", eventstore.NoStream(), storetest.Events("slow", 2))
	if err != nil || !a.Repeated {
		t.Errorf("repeat: got %+v, %v", a, err)
	}
	wantHead(t, store, 2)
}

// TestCrashImages copies the directory again and again while writers write,
// anchor first as the disk would keep it, and starts from every copy: what was
// acknowledged before the copy began must be there.
func TestCrashImages(t *testing.T) {
	t.Parallel()
	const writers, images = 8, 25
	dir := t.TempDir()
	store := closing(t, tuned(t, dir, time.Now, 20, sqlitestore.Faults{}))
	stop := make(chan struct{})
	var mu sync.Mutex
	var acknowledged []eventstore.EventID
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				events := storetest.Events(fmt.Sprintf("%d/%d", w, i), 2)
				if _, err := store.Append(t.Context(), fmt.Sprintf("%d-%d", w, i), eventstore.NoStream(), events); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				acknowledged = append(acknowledged, events[1].ID)
				mu.Unlock()
			}
		})
	}
	for range images {
		mu.Lock()
		want := acknowledged[:len(acknowledged):len(acknowledged)]
		mu.Unlock()
		image := t.TempDir()
		copyFile(t, filepath.Join(dir, "ledger.anchor"), filepath.Join(image, "ledger.anchor"))
		store.BetweenCheckpoints(func() {
			copyFile(t, filepath.Join(dir, "ledger.db"), filepath.Join(image, "ledger.db"))
			copyFile(t, filepath.Join(dir, "ledger.db-wal"), filepath.Join(image, "ledger.db-wal"))
		})
		reopened := tuned(t, image, time.Now, 20, sqlitestore.Faults{})
		for _, id := range want {
			if _, err := reopened.ByID(t.Context(), id); err != nil {
				t.Fatalf("acknowledged event after a crash: %v", err)
			}
		}
		write(t, reopened, 0, 4)
		if err := reopened.Close(); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	group.Wait()
}

func TestReaderBesideStore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	store := closing(t, tuned(t, dir, storetest.NewClock().Now, 9, sqlitestore.Faults{}))
	write(t, store, 0, 4)
	reader, err := sqlitestore.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	for n := 4; n < 60; n += 8 {
		wantHead(t, reader, eventstore.Sequence(n))
		for i := 0; i < n; i += 2 {
			events := storetest.Events(fmt.Sprint("written ", i), 2)
			r, err := reader.ByID(t.Context(), events[1].ID)
			if err != nil || r.Revision != 1 {
				t.Fatalf("event of user-%d: got %+v, %v", i, r, err)
			}
			count := 0
			for r, err := range reader.ReadStream(t.Context(), fmt.Sprintf("user-%d", i), 0) {
				if err != nil || r.ID != events[count].ID {
					t.Fatalf("user-%d: got %+v, %v", i, r, err)
				}
				count++
			}
			if count != 2 {
				t.Fatalf("user-%d: got %d records, want 2", i, count)
			}
		}
		if err := reader.CheckAnchor(t.Context()); err != nil {
			t.Error(err)
		}
		write(t, store, n, n+8)
	}
	if store.Indexed() == 0 {
		t.Error("the tables were never used")
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	alone, err := sqlitestore.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	wantHead(t, alone, 60)
	if err := errors.Join(alone.Close(), alone.Close()); err != nil {
		t.Error(err)
	}
	if _, _, err := alone.Head(t.Context()); !errors.Is(err, eventstore.ErrClosed) {
		t.Errorf("head of a closed reader: got %v", err)
	}
}

func TestReaderRefuses(t *testing.T) {
	t.Parallel()
	var start *sqlitestore.StartError
	if _, err := sqlitestore.OpenReader(t.TempDir()); !errors.As(err, &start) || start.Reason != sqlitestore.ReasonLedgerMissing {
		t.Errorf("empty directory: got %v", err)
	}
	dir := written(t, 4, 100)
	older := copyDir(t, dir)
	mustRaw(t, dir, "PRAGMA user_version = 1000")
	if _, err := sqlitestore.OpenReader(dir); !errors.As(err, &start) || start.Reason != sqlitestore.ReasonSchemaNewer {
		t.Errorf("newer schema: got %v", err)
	}
	store := tuned(t, older, storetest.NewClock().Now, 100, sqlitestore.Faults{})
	image := copyDir(t, older)
	write(t, store, 4, 8)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	copyFile(t, filepath.Join(older, "ledger.anchor"), filepath.Join(image, "ledger.anchor"))
	reader, err := sqlitestore.OpenReader(image)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if err := reader.CheckAnchor(t.Context()); !errors.As(err, &start) || start.Reason != sqlitestore.ReasonLedgerBehindAnchor {
		t.Errorf("older log: got %v", err)
	}
}
