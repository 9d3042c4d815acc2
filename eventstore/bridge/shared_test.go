package bridge_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/bridge"
	"github.com/authledger/authledger/eventstore/memstore"
)

// log appends n records to a stream and returns a node of the log.
func sharedLog(t *testing.T, streams ...string) *memstore.Node {
	t.Helper()
	store := newStore(t)
	for i, stream := range streams {
		appendAll(t, store, stream, []eventstore.Proposed{{
			ID: uuid.New(), Type: "Counted", Schema: 1, Data: fmt.Appendf(nil, `{"n":%d}`, i+1), Metadata: []byte(`{}`),
		}})
	}
	return store.Node(time.Now, 0)
}

func shareGroup(t *testing.T, sharer eventstore.Sharer, cfg bridge.SharedConfig) *bridge.Subscriber {
	t.Helper()
	sub := bridge.NewSharedSubscriber(sharer, "g", []string{"Counted"}, cfg, quiet())
	t.Cleanup(func() {
		if err := sub.Close(); err != nil {
			t.Error(err)
		}
	})
	return sub
}

func TestSharedStreamsKeepTheirOrderAndRunSideBySide(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		node := sharedLog(t, "a", "a", "b", "c", "b", "d")
		sub := shareGroup(t, node, bridge.SharedConfig{InFlight: 4})
		defer sub.Close()
		messages := subscribe(t, t.Context(), sub)
		at := map[eventstore.Sequence]*message.Message{}
		for range 3 { // 1, 3 and 4: the fourth seat is taken by 2, which waits behind 1
			m := <-messages
			at[sequences(t, m)[0]] = m
		}
		synctest.Wait()
		select {
		case m := <-messages:
			t.Errorf("record %d came although four are in flight", sequences(t, m)[0])
		default:
		}
		at[1].Ack()
		for range 2 { // 2, and 5 waits behind 3
			m := <-messages
			at[sequences(t, m)[0]] = m
			if sequences(t, m)[0] == 2 {
				m.Ack()
			}
		}
		for _, n := range []eventstore.Sequence{3, 4, 6} {
			if at[n] == nil {
				t.Fatalf("record %d did not come; got %v", n, at)
			}
			at[n].Ack()
		}
		if m := <-messages; sequences(t, m) != (span{5, 5}) {
			t.Errorf("got %v last, want 5", sequences(t, m))
		} else {
			m.Ack()
		}
	})
}

func TestSharedNackComesAgainHereThenAnywhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		node := sharedLog(t, "a")
		cfg := bridge.SharedConfig{Lease: 20 * time.Second, NackPause: bridge.Backoff{Min: time.Second, Max: 4 * time.Second}}
		messages := subscribe(t, t.Context(), shareGroup(t, node, cfg))
		start, came := time.Now(), []time.Duration{}
		seen := map[*message.Message]bool{}
		for range 6 {
			m := <-messages
			if seen[m] {
				t.Fatal("the same message came again")
			}
			seen[m] = true
			came = append(came, time.Since(start)/time.Second)
			m.Nack()
		}
		// After 7 s more than a quarter of the lease is over, so the record goes
		// back, is handed to the only consumer there is, and pauses longest.
		if diff := cmp.Diff([]time.Duration{0, 1, 3, 7, 9, 13}, came); diff != "" {
			t.Errorf("came after seconds (-want +got):\n%s", diff)
		}
		m := <-messages
		m.Ack()
		synctest.Wait()
	})
}

func TestSharedContextEndsBeforeTheLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		node := sharedLog(t, "a", "a")
		messages := subscribe(t, t.Context(), shareGroup(t, node, bridge.SharedConfig{Lease: 20 * time.Second}))
		start := time.Now()
		m := <-messages
		<-m.Context().Done()
		if took := time.Since(start); took != 15*time.Second {
			t.Errorf("context ended after %s, want three quarters of the lease", took)
		}
		m.Ack() // the lease is not over: the group hears of it
		// The second waited too long behind it to be begun, and comes anew.
		m = <-messages
		if deadline, ok := m.Context().Deadline(); !ok || time.Until(deadline) != 15*time.Second || sequences(t, m) != (span{2, 2}) {
			t.Errorf("record %v has %s left, want the second with a new lease", sequences(t, m), time.Until(deadline))
		}
		m.Ack()
		synctest.Wait()
	})
}

func TestSharedCloseLetsNobodyElseBegin(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer time.Duration
		again  bool
	}{
		"answered in time":  {answer: time.Second},
		"answered too late": {answer: 11 * time.Second, again: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				node := sharedLog(t, "a", "a", "b")
				first := shareGroup(t, node, bridge.SharedConfig{InFlight: 1})
				ctx, cancel := context.WithCancel(t.Context())
				messages := subscribe(t, ctx, first)
				m := <-messages // and the next one waits for the seat
				other := subscribe(t, t.Context(), shareGroup(t, node, bridge.SharedConfig{}))
				cancel()
				start := time.Now()
				time.AfterFunc(c.answer, func() { m.Ack() })
				var got []eventstore.Sequence
				for len(got) == 0 || got[len(got)-1] != 2 {
					again := <-other
					if n := sequences(t, again)[0]; n != 3 {
						if took := time.Since(start); took != min(c.answer, 10*time.Second) {
							t.Errorf("record %d went on after %s", n, took)
						}
						got = append(got, n)
					}
					again.Ack()
				}
				if (got[0] == 1) != c.again {
					t.Errorf("the other consumer got %v; want the first record again: %t", got, c.again)
				}
				if _, open := <-messages; open {
					t.Error("a message after the subscription ended")
				}
				time.Sleep(c.answer) // virtual: let the late answer run inside the test
			})
		})
	}
}

// flakySharer fails on demand, once for each true of fail.
type flakySharer struct {
	eventstore.Sharer
	fail func() bool
}

func (f flakySharer) Share(ctx context.Context, group string, types []string, lease time.Duration) iter.Seq2[eventstore.Handed, error] {
	return func(yield func(eventstore.Handed, error) bool) {
		for h, err := range f.Sharer.Share(ctx, group, types, lease) {
			if f.fail() {
				yield(eventstore.Handed{}, errOutage)
				return
			}
			if !yield(h, err) {
				return
			}
		}
	}
}

func TestSharedErrorsAreRetriedInside(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		streams := make([]string, 40)
		for i := range streams {
			streams[i] = fmt.Sprint(i % 7)
		}
		var calls atomic.Int32
		broken := atomic.Bool{}
		broken.Store(true)
		sharer := flakySharer{sharedLog(t, streams...), func() bool { return broken.Load() || calls.Add(1)%5 == 0 }}
		sub := shareGroup(t, sharer, bridge.SharedConfig{})
		messages := subscribe(t, t.Context(), sub)
		time.Sleep(time.Second) // virtual
		if since, err := sub.Failing(); !errors.Is(err, errOutage) || since.IsZero() {
			t.Errorf("failing since %v with %v, want the outage", since, err)
		}
		broken.Store(false)
		done := map[eventstore.Sequence]bool{}
		for len(done) < len(streams) {
			m := <-messages
			done[sequences(t, m)[0]] = true
			m.Ack()
		}
		calls.Store(0)
		time.Sleep(time.Minute) // virtual
		if _, err := sub.Failing(); err != nil {
			t.Errorf("failing with %v after everything was delivered", err)
		}
	})
}

// TestSharedHandlerParksAtTheRecordThatFails lets one record fail while others
// pass, on a router.
func TestSharedHandlerParksAtTheRecordThatFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		node := sharedLog(t, "a", "b", "c", "a", "d")
		var changes []string
		cfg := bridge.RouterConfig{Changed: func(_ string, p bridge.Parked, parked bool) {
			changes = append(changes, fmt.Sprintf("%d-%d %t", p.First, p.Last, parked))
		}}
		r := newRouter(t, cfg, quiet())
		var (
			mu    sync.Mutex // guards heals and acted
			heals bool
			acted = map[eventstore.Sequence]bool{}
		)
		sub := shareGroup(t, node, bridge.SharedConfig{})
		r.AddConsumerHandler("h", bridge.Topic, sub, func(m *message.Message) error {
			mu.Lock()
			defer mu.Unlock()
			at := sequences(t, m)[0]
			if at == 2 && !heals {
				return errOutage
			}
			acted[at] = true
			return nil
		})
		stop := start(t, r)
		defer stop()
		time.Sleep(10 * time.Minute) // virtual
		mu.Lock()
		if diff := cmp.Diff(map[eventstore.Sequence]bool{1: true, 3: true, 4: true, 5: true}, acted); diff != "" {
			t.Errorf("acted on (-want +got):\n%s", diff)
		}
		heals = true
		mu.Unlock()
		if parked := r.Status(); len(parked) != 1 || parked[0].First != 2 || parked[0].Last != 2 || parked[0].Attempts < 10 {
			t.Errorf("parked %+v, want the handler at record 2", parked)
		}
		time.Sleep(time.Minute) // virtual
		if parked := r.Status(); len(parked) != 0 || !acted[2] {
			t.Errorf("parked %+v, acted on %v", parked, acted)
		}
		if diff := cmp.Diff([]string{"2-2 true", "2-2 false"}, changes); diff != "" {
			t.Errorf("changes (-want +got):\n%s", diff)
		}
	})
}
