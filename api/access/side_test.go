package access_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/authledger/authledger/api/access"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/esdbstore/esdbtest"
	"github.com/authledger/authledger/eventstore/memstore"
)

// faulty is a side that can be away, lose answers, and keep its watchers in the
// dark.
type faulty struct {
	eventstore.Side

	mu      sync.Mutex
	down    error
	lose    int  // appends whose answer is lost
	keeps   bool // whether those are kept
	deaf    bool
	reads   int
	waiting chan struct{} // reads wait for it, when there is one
}

func newFaulty() *faulty { return &faulty{Side: memstore.NewSide()} }

func (f *faulty) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *faulty) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reads
}

func (f *faulty) AppendSide(ctx context.Context, stream string, next uint64, entries ...[]byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down != nil {
		return f.down
	}
	if f.lose == 0 {
		return f.Side.AppendSide(ctx, stream, next, entries...)
	}
	f.lose--
	if f.keeps {
		if err := f.Side.AppendSide(ctx, stream, next, entries...); err != nil {
			return err
		}
	}
	return fmt.Errorf("append: %w", eventstore.ErrOutcomeUnknown)
}

func (f *faulty) ReadSide(ctx context.Context, stream string, from uint64) iter.Seq2[[]byte, error] {
	f.mu.Lock()
	f.reads++
	down, waiting := f.down, f.waiting
	f.mu.Unlock()
	if waiting != nil {
		select {
		case <-waiting:
		case <-ctx.Done():
			down = ctx.Err()
		}
	}
	if down != nil {
		return func(yield func([]byte, error) bool) { yield(nil, down) }
	}
	return f.Side.ReadSide(ctx, stream, from)
}

func (f *faulty) WatchSide(ctx context.Context, prefix string) iter.Seq2[string, error] {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.deaf {
		return func(func(string, error) bool) { <-ctx.Done() }
	}
	return f.Side.WatchSide(ctx, prefix)
}

var errAway = fmt.Errorf("cut: %w", eventstore.ErrUnavailable)

func valid(t *testing.T, s *access.Store, key access.Key, want bool) {
	t.Helper()
	_, err := s.Authenticate(context.Background(), string(key))
	if want && err != nil || !want && !errors.Is(err, access.ErrUnauthenticated) {
		t.Errorf("authenticate: %v; valid must be %v", err, want)
	}
}

// While the watch lives a revocation counts on every node at once.
func TestRevocationIsToldToOtherNodes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		side, c := newFaulty(), newClock()
		a, b := open(t, access.Options{Side: side, Clock: c.Now}), open(t, access.Options{Side: side, Clock: c.Now})
		client, key := create(t, a, access.Frontend, time.Time{})
		valid(t, b, key, true)
		synctest.Wait() // both watch
		if err := a.Revoke(t.Context(), client.ID); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		valid(t, b, key, false) // the clock stood still
	})
}

// The same through an event database, on a clock that stands still.
func TestRevocationIsToldThroughTheEventDatabase(t *testing.T) {
	t.Parallel()
	server, c := esdbtest.Start(t, esdbtest.Options{}), newClock()
	a, b := open(t, access.Options{Side: beside(t, server), Clock: c.Now}), open(t, access.Options{Side: beside(t, server), Clock: c.Now})
	client, key := create(t, a, access.Frontend, time.Time{})
	valid(t, b, key, true)
	if err := a.Revoke(t.Context(), client.ID); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; {
		create(t, a, access.Device, time.Time{}) // more to tell, if its watch was not up in time
		_, err := b.Authenticate(t.Context(), string(key))
		if errors.Is(err, access.ErrUnauthenticated) {
			return
		}
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("the other node was not told in a minute: %v", err)
		}
	}
}

// Without it, after two seconds.
func TestRevocationIsLookedForByOtherNodes(t *testing.T) {
	t.Parallel()
	side, c := newFaulty(), newClock()
	side.deaf = true
	a, b := open(t, access.Options{Side: side, Clock: c.Now}), open(t, access.Options{Side: side, Clock: c.Now})
	client, key := create(t, a, access.Frontend, time.Time{})
	valid(t, b, key, true)
	if err := a.Revoke(t.Context(), client.ID); err != nil {
		t.Fatal(err)
	}
	before := side.count()
	valid(t, b, key, true)
	if side.count() != before {
		t.Error("what was read a moment ago is read again")
	}
	c.add(2 * time.Second)
	valid(t, b, key, false)
}

// A node that cannot read goes on by what it knows for a minute, and then lets
// nobody in. It does not know who is new.
func TestStoreThatIsAwayLocksOutAfterAMinute(t *testing.T) {
	t.Parallel()
	side, c := newFaulty(), newClock()
	side.deaf = true
	s := open(t, access.Options{Side: side, Clock: c.Now})
	_, key := create(t, s, access.Frontend, time.Time{})
	side.set(func() { side.down = errAway })
	before := side.count()
	for range 29 {
		c.add(2 * time.Second)
		for range 10 {
			valid(t, s, key, true)
		}
	}
	if got := side.count() - before; got > 29 {
		t.Errorf("a store that is away was asked %d times in 29 rounds", got)
	}
	stranger := access.Key("ak_0000000000000000" + string(key)[len("ak_0000000000000000"):])
	if _, err := s.Authenticate(t.Context(), string(stranger)); !errors.Is(err, eventstore.ErrUnavailable) {
		t.Errorf("whoever is unknown: %v", err)
	}
	c.add(2 * time.Second)
	for range 2 {
		if _, err := s.Authenticate(t.Context(), string(key)); !errors.Is(err, eventstore.ErrUnavailable) {
			t.Errorf("after a minute: %v", err)
		}
	}
	side.set(func() { side.down = nil })
	c.add(2 * time.Second)
	valid(t, s, key, true)
	c.add(-time.Hour) // set back: what is known has no age
	side.set(func() { side.down = errAway })
	if _, err := s.Authenticate(t.Context(), string(key)); !errors.Is(err, eventstore.ErrUnavailable) {
		t.Errorf("when the clock was set back: %v", err)
	}
}

// A store that does not answer holds up one caller for two seconds, not all.
func TestStoreThatHangsHoldsUpFewCallers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		side := newFaulty()
		side.deaf = true
		s := open(t, access.Options{Side: side})
		_, key := create(t, s, access.Frontend, time.Time{})
		side.set(func() { side.waiting = make(chan struct{}) })
		time.Sleep(3 * time.Second) // virtual
		began := time.Now()
		valid(t, s, key, true) // waits, and is told by what is known
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("the first caller waited %v", took)
		}
		time.Sleep(3 * time.Second) // virtual
		var all sync.WaitGroup
		began = time.Now()
		for range 50 {
			all.Go(func() { valid(t, s, key, true) })
		}
		all.Wait()
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("fifty callers waited %v", took)
		}
		side.set(func() { side.waiting = nil })
	})
}

func TestLostAnswersLeaveOneEntry(t *testing.T) {
	t.Parallel()
	for _, keeps := range []bool{false, true} {
		side, c := newFaulty(), newClock()
		s := open(t, access.Options{Side: side, Clock: c.Now})
		side.set(func() { side.lose, side.keeps = 1, keeps })
		client, key := create(t, s, access.Frontend, time.Time{})
		valid(t, s, key, true)
		side.set(func() { side.lose = 1 })
		for range 2 {
			if err := s.Revoke(t.Context(), client.ID); err != nil {
				t.Fatal(err)
			}
		}
		valid(t, s, key, false)
		n := 0
		for b, err := range side.ReadSide(t.Context(), "access", 0) {
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(b), strings.TrimPrefix(string(key), client.ID+"_")) {
				t.Error("an entry holds a key in clear")
			}
			n++
		}
		if n != 2 {
			t.Errorf("kept %v: %d entries, want 2", keeps, n)
		}
	}
}

func TestNodesWriteAtOnce(t *testing.T) {
	t.Parallel()
	t.Run("side", func(t *testing.T) {
		t.Parallel()
		side := newFaulty()
		nodesWriteAtOnce(t, side, side)
	})
	t.Run("event database", func(t *testing.T) {
		t.Parallel()
		server := esdbtest.Start(t, esdbtest.Options{})
		nodesWriteAtOnce(t, beside(t, server), beside(t, server))
	})
}

func nodesWriteAtOnce(t *testing.T, one, other eventstore.Side) {
	c := newClock()
	stores := []*access.Store{open(t, access.Options{Side: one, Clock: c.Now}), open(t, access.Options{Side: other, Clock: c.Now})}
	var all sync.WaitGroup
	for _, s := range stores {
		for range 10 {
			all.Go(func() {
				client, key, err := s.Create(t.Context(), "x", access.Device, time.Time{})
				if err != nil {
					t.Error(err)
					return
				}
				for _, o := range stores {
					valid(t, o, key, true)
				}
				if err := s.Revoke(t.Context(), client.ID); err != nil {
					t.Error(err)
				}
				valid(t, s, key, false)
			})
		}
	}
	all.Wait()
	c.add(2 * time.Second)
	first, err := stores[0].List(t.Context())
	if err != nil || len(first) != 20 {
		t.Fatalf("%d clients, %v; want 20", len(first), err)
	}
	second, err := stores[1].List(t.Context())
	if err != nil || fmt.Sprint(first) != fmt.Sprint(second) {
		t.Errorf("the nodes list %v and %v, %v", first, second, err)
	}
}

// An entry that is not understood could be a revocation.
func TestEntryThatIsNotUnderstoodIsNoReasonToGoOn(t *testing.T) {
	t.Parallel()
	for _, entry := range []string{"x", "{}", `{"suspended":{"id":"ak_0"}}`} {
		side, c := newFaulty(), newClock()
		side.deaf = true
		s := open(t, access.Options{Side: side, Clock: c.Now})
		_, key := create(t, s, access.Frontend, time.Time{})
		if err := side.AppendSide(t.Context(), "access", 1, []byte(entry)); err != nil {
			t.Fatal(err)
		}
		c.add(time.Minute)
		if _, err := s.Authenticate(t.Context(), string(key)); !errors.Is(err, eventstore.ErrUnavailable) {
			t.Errorf("%s: %v", entry, err)
		}
		if _, err := access.Open(t.Context(), access.Options{Side: side}); err == nil {
			t.Errorf("%s: opened", entry)
		}
	}
}

func TestClientsMoveBothWays(t *testing.T) {
	t.Parallel()
	c := newClock()
	file := open(t, access.Options{Dir: t.TempDir(), Clock: c.Now})
	shared := open(t, access.Options{Side: newFaulty(), Clock: c.Now})
	back := open(t, access.Options{Dir: t.TempDir(), Clock: c.Now})
	_, stays := create(t, file, access.Frontend, time.Time{})
	gone, ends := create(t, file, access.Auditor, c.Now().Add(time.Hour))
	c.add(time.Second)
	if err := file.Revoke(t.Context(), gone.ID); err != nil {
		t.Fatal(err)
	}
	for _, move := range [][2]*access.Store{{file, shared}, {file, shared}, {shared, back}} { // again changes nothing
		if n, err := access.Copy(t.Context(), move[0], move[1]); err != nil || n != 2 {
			t.Fatalf("copied %d, %v", n, err)
		}
		valid(t, move[1], stays, true)
		valid(t, move[1], ends, false)
		want, err := move[0].List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got, err := move[1].List(t.Context()); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("the copy has %v, %v; want %v", got, err, want)
		}
	}
}

func TestAnotherClientOfTheSameIDIsNotOverwritten(t *testing.T) {
	t.Parallel()
	c := newClock()
	file := open(t, access.Options{Dir: t.TempDir(), Clock: c.Now})
	client, _ := create(t, file, access.Frontend, time.Time{})
	side := newFaulty()
	entry := fmt.Sprintf(`{"created":{"id":%q,"name":"x","role":"frontend","digest":"AAAA","createdAt":1}}`, client.ID)
	if err := side.AppendSide(t.Context(), "access", 0, []byte(entry)); err != nil {
		t.Fatal(err)
	}
	if _, err := access.Copy(t.Context(), file, open(t, access.Options{Side: side, Clock: c.Now})); !errors.Is(err, access.ErrOtherClient) {
		t.Errorf("copied with %v", err)
	}
}
