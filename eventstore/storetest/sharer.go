package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/authledger/authledger/eventstore"
)

// SharedStore is a store that hands its records to competing consumers.
type SharedStore interface {
	eventstore.Store
	eventstore.Sharer
}

// ClusterFactory opens an empty log for so many nodes, each with a store of its
// own, and closes them at the test's end.
type ClusterFactory func(t testing.TB, nodes int) []SharedStore

// SharerPromises says what a Sharer's suite has to know about it.
type SharerPromises struct {
	// Lease is the shortest lease that a healthy consumer keeps easily; some
	// checks wait until it has passed.
	Lease time.Duration
	// Records is how many records the check under load shares; 600.
	Records int
}

// unhurried is a lease that no check lets pass.
const unhurried = 2 * time.Minute

// RunSharer checks that records are shared as eventstore.Sharer promises, and
// that only one of several nodes can make the same append, on which all who act
// on shared records rely. It waits for what comes and never for a time, except
// for the lease.
func RunSharer(t *testing.T, factory ClusterFactory, promises SharerPromises) {
	t.Helper()
	if promises.Records == 0 {
		promises.Records = 600
	}
	s := sharerSuite{factory: factory, SharerPromises: promises}
	for _, c := range []check{
		{"share/each record goes to one consumer, a stream's to the same in order", s.eachOnce},
		{"share/only the wanted types", s.typesOnly},
		{"share/a new group begins with the first record", s.fromTheFirst},
		{"share/a group keeps its place", s.keepsPlace},
		{"share/ends without error with its context", s.ends},
		{"share/what a consumer leaves behind goes to another", s.leftBehind},
		{"share/what a consumer says nothing about comes again", s.leasePasses},
		{"share/again is again", s.again},
		{"share/an answer that comes too late changes nothing", s.lateAnswer},
		{"share/refuses nonsense", s.nonsense},
		{"share/only one node makes an append", s.oneAppend},
		{"share/nothing is lost when consumers die", s.killing},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t)
		})
	}
}

type sharerSuite struct {
	factory ClusterFactory
	SharerPromises
}

// wantedType and otherType are the types the suite writes.
const wantedType, otherType = "Wanted", "Other"

var wantedTypes = []string{"AlsoWanted", wantedType}

// write appends n records of a type to a stream, which nobody else writes to,
// and returns their ids.
func write(t *testing.T, store eventstore.Store, stream, eventType string, n int) []eventstore.EventID {
	t.Helper()
	expected, ids := eventstore.NoStream(), make([]eventstore.EventID, n)
	for r, err := range store.ReadStream(limited(t), stream, 0) {
		if err != nil {
			t.Fatalf("read %s: %v", stream, err)
		}
		expected = eventstore.At(r.Revision, r.Leaf())
	}
	events := Events(stream+uuid.NewString(), n)
	for i := range events {
		events[i].Type, ids[i] = eventType, events[i].ID
	}
	mustAppend(t, store, stream, expected, events)
	return ids
}

// share takes records until take returns false, ctx ends or an error comes.
func share(ctx context.Context, node eventstore.Sharer, group string, lease time.Duration, take func(eventstore.Handed) bool) error {
	for h, err := range node.Share(ctx, group, wantedTypes, lease) {
		if err != nil {
			return err
		}
		if !take(h) {
			break
		}
	}
	return nil
}

// takeN answers Done for n records and returns them in the order they came.
func takeN(t *testing.T, node eventstore.Sharer, group string, n int) []eventstore.Handed {
	t.Helper()
	var got []eventstore.Handed
	ctx := limited(t)
	if n == 0 {
		return got
	}
	err := share(ctx, node, group, unhurried, func(h eventstore.Handed) bool {
		if err := h.Done(ctx); err != nil {
			t.Errorf("done: %v", err)
		}
		got = append(got, h)
		return len(got) < n
	})
	if err != nil || len(got) != n {
		t.Fatalf("group %s: got %d records, %v; want %d", group, len(got), err, n)
	}
	return got
}

func idsOf(list []eventstore.Handed) []eventstore.EventID {
	ids := make([]eventstore.EventID, len(list))
	for i, h := range list {
		ids[i] = h.ID
	}
	return ids
}

// delivery is one record in one consumer's hands.
type delivery struct {
	eventstore.Handed
	node int
}

// consume lets every node share in a group until the test's end. answer says
// what becomes of each record, from the consumer's goroutine.
func consume(t *testing.T, nodes []SharedStore, group string, lease time.Duration, answer func(context.Context, delivery)) {
	t.Helper()
	ctx, cancel := context.WithCancel(limited(t))
	var running sync.WaitGroup
	for i, node := range nodes {
		running.Go(func() {
			err := share(ctx, node, group, lease, func(h eventstore.Handed) bool {
				answer(ctx, delivery{h, i})
				return ctx.Err() == nil
			})
			if err != nil {
				t.Errorf("node %d: %v", i, err)
			}
		})
	}
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
}

// arrivals collects what consumers get.
type arrivals chan delivery

// next waits for the next one.
func (a arrivals) next(t *testing.T, ctx context.Context) delivery {
	t.Helper()
	select {
	case d := <-a:
		return d
	case <-ctx.Done():
		t.Fatal("nothing came in time")
		return delivery{}
	}
}

// put hands one over to the check.
func (a arrivals) put(ctx context.Context, d delivery) {
	select {
	case a <- d:
	case <-ctx.Done():
	}
}

// eachOnce first lets every consumer have a record, so that all have joined.
func (s sharerSuite) eachOnce(t *testing.T) {
	const streams, each = 30, 8
	nodes, ctx := s.factory(t, 3), limited(t)
	came := make(arrivals)
	consume(t, nodes, "g", unhurried, func(ctx context.Context, d delivery) {
		if err := d.Done(ctx); err != nil {
			t.Errorf("done: %v", err)
		}
		came.put(ctx, d)
	})
	joined := map[int]bool{}
	for i := 0; len(joined) < len(nodes); i++ {
		if i == 1000 {
			t.Fatalf("after %d streams only %d consumers of %d had one", i, len(joined), len(nodes))
		}
		write(t, nodes[0], fmt.Sprintf("hello-%d", i), wantedType, 1)
		joined[came.next(t, ctx).node] = true
	}
	var writers sync.WaitGroup
	for i := range streams {
		writers.Go(func() {
			for range each {
				write(t, nodes[i%len(nodes)], fmt.Sprintf("user-%d", i), wantedType, 1)
			}
		})
	}
	at, of := map[string]eventstore.Revision{}, map[string]int{}
	for range streams * each {
		d := came.next(t, ctx)
		if d.Retries != 0 || d.Revision != at[d.Stream] {
			t.Errorf("%s: got revision %d with %d retries, want %d with none", d.Stream, d.Revision, d.Retries, at[d.Stream])
		}
		if node, known := of[d.Stream]; known && node != d.node {
			t.Errorf("%s went from consumer %d to %d", d.Stream, node, d.node)
		}
		at[d.Stream], of[d.Stream] = d.Revision+1, d.node
	}
	writers.Wait()
}

func (s sharerSuite) typesOnly(t *testing.T) {
	node := s.factory(t, 1)[0]
	var want []eventstore.EventID
	for i, eventType := range []string{otherType, wantedType, otherType, "AlsoWanted", "Wante", "WantedNot", wantedType} {
		ids := write(t, node, fmt.Sprintf("user-%d", i%2), eventType, 2)
		if slices.Contains(wantedTypes, eventType) {
			want = append(want, ids...)
		}
	}
	same(t, "ids", idsOf(takeN(t, node, "g", len(want))), want)
}

// fromTheFirst also checks that what is handed out is the record as it stands.
func (s sharerSuite) fromTheFirst(t *testing.T) {
	nodes := s.factory(t, 2)
	write(t, nodes[0], "user-1", wantedType, 5)
	for _, group := range []string{"first", "second"} {
		got := takeN(t, nodes[1], group, 5)
		stored := collect(t, nodes[0].ReadStream(limited(t), "user-1", 0))
		for i, h := range got {
			if h.Retries != 0 || h.Position == 0 {
				t.Errorf("record %d: %d retries, position %d", i, h.Retries, h.Position)
			}
			h.Sequence, stored[i].Sequence = 0, 0 // may be learned later
			same(t, "record", h.Record, stored[i])
		}
	}
}

func (s sharerSuite) keepsPlace(t *testing.T) {
	nodes := s.factory(t, 2)
	ids := write(t, nodes[0], "user-1", wantedType, 6)
	same(t, "first consumer", idsOf(takeN(t, nodes[0], "g", 2)), ids[:2])
	same(t, "second consumer", idsOf(takeN(t, nodes[1], "g", 3)), ids[2:5])
	ids = append(ids, write(t, nodes[0], "user-1", wantedType, 2)...)
	same(t, "first consumer again", idsOf(takeN(t, nodes[0], "g", 3)), ids[5:])
}

func (s sharerSuite) ends(t *testing.T) {
	node := s.factory(t, 1)[0]
	write(t, node, "user-1", wantedType, 1)
	ctx, cancel := context.WithCancel(limited(t))
	got := make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		ended <- share(ctx, node, "g", unhurried, func(h eventstore.Handed) bool {
			if err := h.Done(ctx); err != nil {
				t.Errorf("done: %v", err)
			}
			close(got)
			return true // and waits for more
		})
	}()
	<-got
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("got %v, want no error", err)
	}
	if err := share(ctx, node, "g", unhurried, func(eventstore.Handed) bool { return true }); err != nil {
		t.Errorf("context that ended before: got %v, want no error", err)
	}
}

func (s sharerSuite) leftBehind(t *testing.T) {
	for name, leave := range map[string]func(context.CancelFunc) bool{
		"breaks off":       func(context.CancelFunc) bool { return false },
		"its context ends": func(cancel context.CancelFunc) bool { cancel(); return true },
	} {
		nodes := s.factory(t, 2)
		ids := write(t, nodes[0], "user-1", wantedType, 2)
		ctx, cancel := context.WithCancel(limited(t))
		taken := 0
		err := share(ctx, nodes[0], "g", unhurried, func(eventstore.Handed) bool {
			taken++
			return leave(cancel)
		})
		cancel()
		if err != nil || taken == 0 {
			t.Fatalf("%s: took %d records, %v", name, taken, err)
		}
		for i, h := range takeN(t, nodes[1], "g", 2) {
			if h.ID != ids[i] || i < taken && h.Retries == 0 {
				t.Errorf("%s: record %d has %d retries, or is another one", name, i, h.Retries)
			}
		}
	}
}

// leasePasses says nothing about the first record it gets, and goes on taking.
func (s sharerSuite) leasePasses(t *testing.T) {
	nodes, ctx := s.factory(t, 2), limited(t)
	id := write(t, nodes[0], "user-1", wantedType, 1)[0]
	came := make(arrivals)
	var once sync.Once
	consume(t, nodes, "g", s.Lease, func(ctx context.Context, d delivery) {
		silent := false
		once.Do(func() { silent = true })
		if !silent {
			if err := d.Done(ctx); err != nil {
				return // it was too slow itself, and gets it once more
			}
		}
		came.put(ctx, d)
	})
	first, second := came.next(t, ctx), came.next(t, ctx)
	if first.ID != id || second.ID != id || second.Retries == 0 {
		t.Errorf("got %s, then %s with %d retries, want %s twice", first.ID, second.ID, second.Retries, id)
	}
}

func (s sharerSuite) again(t *testing.T) {
	node, ctx := s.factory(t, 1)[0], limited(t)
	ids := write(t, node, "user-1", wantedType, 3)
	tries := map[eventstore.EventID]int{}
	done := 0
	err := share(ctx, node, "g", unhurried, func(h eventstore.Handed) bool {
		tries[h.ID]++
		if (h.Retries == 0) != (tries[h.ID] == 1) {
			t.Errorf("time %d of a record has %d retries", tries[h.ID], h.Retries)
		}
		answer := h.Again
		if h.ID != ids[1] || tries[h.ID] == 3 {
			answer = h.Done
			done++
		}
		if err := answer(ctx); err != nil {
			t.Errorf("answer: %v", err)
		}
		return done < len(ids)
	})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "times handed out", tries, map[eventstore.EventID]int{ids[0]: 1, ids[1]: 3, ids[2]: 1})
	more := write(t, node, "user-1", wantedType, 1)
	same(t, "what follows", idsOf(takeN(t, node, "g", 1)), more)
}

// lateAnswer answers for a record that somebody else has by then.
func (s sharerSuite) lateAnswer(t *testing.T) {
	nodes, ctx := s.factory(t, 2), limited(t)
	ids := write(t, nodes[0], "user-1", wantedType, 1)
	var late eventstore.Handed
	if err := share(ctx, nodes[0], "g", unhurried, func(h eventstore.Handed) bool { late = h; return false }); err != nil {
		t.Fatal(err)
	}
	if err := late.Done(ctx); err == nil || !errors.Is(err, eventstore.ErrUnavailable) {
		t.Errorf("done after it left: %v, want ErrUnavailable: the record is somebody else's", err)
	}
	same(t, "what another gets", idsOf(takeN(t, nodes[1], "g", 1)), ids)
	more := write(t, nodes[0], "user-1", wantedType, 1)
	if err := late.Again(ctx); err == nil || !errors.Is(err, eventstore.ErrUnavailable) {
		t.Errorf("again after it left: %v, want ErrUnavailable", err)
	}
	same(t, "what follows", idsOf(takeN(t, nodes[1], "g", 1)), more)
}

func (s sharerSuite) nonsense(t *testing.T) {
	node := s.factory(t, 1)[0]
	for name, c := range map[string]struct {
		group string
		types []string
		lease time.Duration
	}{
		"no name":  {"", wantedTypes, unhurried},
		"no types": {"g", nil, unhurried},
		"no lease": {"g", wantedTypes, 0},
	} {
		var last error
		for _, err := range node.Share(limited(t), c.group, c.types, c.lease) {
			last = err
			break
		}
		if !errors.Is(last, eventstore.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, last)
		}
	}
}

// oneAppend lets every node make the same append at the same time, as those do
// who were handed the same record: exactly one may believe that it was the one.
func (s sharerSuite) oneAppend(t *testing.T) {
	nodes, ctx := s.factory(t, 3), limited(t)
	for round := range 20 {
		stream := fmt.Sprintf("user-%d", round)
		events := Events("dispatch "+uuid.NewString(), 1)
		start := make(chan struct{})
		first := make([]bool, len(nodes))
		var running sync.WaitGroup
		for i, node := range nodes {
			running.Go(func() {
				<-start
				a, err := node.Append(ctx, stream, eventstore.NoStream(), events)
				if err != nil && !errors.Is(err, eventstore.ErrDuplicateID) && !errors.Is(err, eventstore.ErrConflict) {
					t.Errorf("append: %v", err)
				}
				first[i] = err == nil && !a.Repeated
			})
		}
		close(start)
		running.Wait()
		if n := len(slices.DeleteFunc(slices.Clone(first), func(won bool) bool { return !won })); n != 1 {
			t.Errorf("round %d: %d nodes believe that they appended, want 1", round, n)
		}
	}
}

// killing shares records among consumers that leave at random, holding some,
// until every record was dealt with.
func (s sharerSuite) killing(t *testing.T) {
	const streams = 20
	nodes, ctx := s.factory(t, 3), limited(t)
	var (
		mu   sync.Mutex // guards left
		left = map[eventstore.EventID]bool{}
	)
	for i := range s.Records {
		for _, id := range write(t, nodes[i%len(nodes)], fmt.Sprintf("user-%d", i%streams), wantedType, 1) {
			left[id] = true
		}
	}
	all := make(chan struct{})
	done := func(id eventstore.EventID) (more bool) {
		mu.Lock()
		defer mu.Unlock()
		if delete(left, id); len(left) == 0 {
			select {
			case <-all:
			default:
				close(all)
			}
		}
		return len(left) > 0
	}
	own, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	for i := range 2 * len(nodes) {
		running.Go(func() {
			chance := rand.New(rand.NewPCG(uint64(i), 1))
			for own.Err() == nil {
				if err := share(own, nodes[i%len(nodes)], "g", unhurried, s.mortal(own, chance, done)); err != nil {
					t.Errorf("consumer %d: %v", i, err)
					return
				}
			}
		})
	}
	select {
	case <-all:
	case <-ctx.Done():
		t.Errorf("not everything was dealt with in time")
	}
	cancel()
	running.Wait()
	if len(left) != 0 {
		t.Errorf("%d records were lost", len(left))
	}
}

// mortal is a consumer that deals with most records, gives some back, and dies
// holding others.
func (s sharerSuite) mortal(ctx context.Context, chance *rand.Rand, done func(eventstore.EventID) (more bool)) func(eventstore.Handed) bool {
	return func(h eventstore.Handed) bool {
		switch chance.IntN(20) {
		case 0:
			return false
		case 1:
			return h.Again(ctx) == nil
		}
		if h.Done(ctx) == nil {
			return done(h.ID)
		}
		return true
	}
}
