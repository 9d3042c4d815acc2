package bridge_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/bridge"
)

type span = [2]eventstore.Sequence

// take answers n messages with ack and returns their spans.
func take(t *testing.T, messages <-chan *message.Message, n int) []span {
	t.Helper()
	var got []span
	for range n {
		m, open := <-messages
		if !open {
			t.Fatal("channel closed")
		}
		got = append(got, sequences(t, m))
		m.Ack()
	}
	return got
}

func TestBatchesInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		fill(t, store, 25)
		from := func(context.Context) (eventstore.Sequence, error) { return 3, nil }
		sub := bridge.NewSubscriber(store, bridge.Config{From: from, BatchSize: 10}, quiet())
		defer sub.Close()
		messages := subscribe(t, t.Context(), sub)
		m := <-messages
		want := message.Metadata{bridge.FirstSequence: "4", bridge.LastSequence: "13", bridge.RecordCount: "10"}
		if diff := cmp.Diff(want, m.Metadata); diff != "" || len(m.Payload) != 0 {
			t.Errorf("metadata (-want +got):\n%s", diff)
		}
		synctest.Wait()
		select {
		case <-messages:
			t.Error("a second message before the first was acknowledged")
		default:
		}
		ctx := m.Context()
		m.Ack()
		synctest.Wait()
		if ctx.Err() == nil {
			t.Error("context lives after the acknowledgement")
		}
		if diff := cmp.Diff([]span{{14, 23}, {24, 25}}, take(t, messages, 2)); diff != "" {
			t.Errorf("spans (-want +got):\n%s", diff)
		}
		fill(t, store, 1)
		if diff := cmp.Diff([]span{{26, 26}}, take(t, messages, 1)); diff != "" {
			t.Errorf("live (-want +got):\n%s", diff)
		}
	})
}

func TestNackComesAgainAsANewMessageAfterAPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		fill(t, store, 1)
		cfg := bridge.Config{From: fromStart, NackPause: bridge.Backoff{Min: time.Second, Max: 4 * time.Second}}
		sub := bridge.NewSubscriber(store, cfg, quiet())
		defer sub.Close()
		messages := subscribe(t, t.Context(), sub)
		seen := map[*message.Message]bool{}
		m := <-messages
		for _, pause := range []time.Duration{1, 2, 4, 4} {
			seen[m] = true
			refused := time.Now()
			m.Nack()
			m = <-messages
			if got := time.Since(refused); got != pause*time.Second {
				t.Errorf("came again after %s, want %ds", got, pause)
			}
			if seen[m] || sequences(t, m) != (span{1, 1}) {
				t.Errorf("got the same message, or %v", sequences(t, m))
			}
		}
		m.Ack()
	})
}

// TestRefusedBatchIsHalved refuses every message that holds record 7.
func TestRefusedBatchIsHalved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		fill(t, store, 32)
		sub := bridge.NewSubscriber(store, bridge.Config{From: fromStart, BatchSize: 16}, quiet())
		defer sub.Close()
		messages := subscribe(t, t.Context(), sub)
		var done []span
		alone := 0
		for len(done) == 0 || done[len(done)-1][1] < 32 {
			m := <-messages
			s := sequences(t, m)
			if s == (span{7, 7}) {
				alone++
			}
			if s[0] <= 7 && s[1] >= 7 && alone < 3 {
				m.Nack()
				continue
			}
			done = append(done, s)
			m.Ack()
		}
		want := []span{{1, 4}, {5, 6}, {7, 7}, {8, 8}, {9, 9}, {10, 10}}
		if diff := cmp.Diff(want[:3], done[:3]); diff != "" {
			t.Errorf("spans (-want +got):\n%s", diff)
		}
		next := eventstore.Sequence(1)
		for _, s := range done {
			if s[0] != next {
				t.Errorf("span %v follows record %d", s, next-1)
			}
			next = s[1] + 1
		}
		if last := done[len(done)-1]; last != (span{17, 32}) {
			t.Errorf("last span %v, want the full size again", last)
		}
	})
}

func TestStoreErrorsAreRetriedInside(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, log := newStore(t), &buffer{}
		fill(t, store, 100)
		var calls, froms atomic.Int32
		follower := flaky{store, func() error {
			if n := calls.Add(1); n%3 != 0 {
				return errOutage
			}
			return nil
		}}
		from := func(context.Context) (eventstore.Sequence, error) {
			if froms.Add(1) < 4 {
				return 0, errOutage
			}
			return 0, nil
		}
		sub := bridge.NewSubscriber(follower, bridge.Config{From: from, BatchSize: 10}, slog.New(slog.NewTextHandler(log, nil)))
		defer sub.Close()
		messages := subscribe(t, t.Context(), sub)
		synctest.Wait()
		if since, err := sub.Failing(); !errors.Is(err, errOutage) || since.IsZero() {
			t.Errorf("failing since %v with %v, want the outage", since, err)
		}
		spans := take(t, messages, 10)
		next := eventstore.Sequence(1)
		for _, s := range spans {
			if s != (span{next, next + 9}) {
				t.Errorf("got span %v, want %d to %d", s, next, next+9)
			}
			next = s[1] + 1
		}
		synctest.Wait()
		if _, err := sub.Failing(); err != nil {
			t.Errorf("failing with %v after everything was delivered", err)
		}
		if !strings.Contains(log.String(), "held up") || !strings.Contains(log.String(), "goes on") {
			t.Errorf("log tells nothing: %s", log)
		}
	})
}

func TestFollowerThatEndsIsFollowedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		sub := bridge.NewSubscriber(store, bridge.Config{From: fromStart}, quiet())
		messages := subscribe(t, t.Context(), sub)
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		select {
		case _, open := <-messages:
			t.Errorf("channel delivered or closed (open=%t) because the store did", open)
		default:
		}
		if _, err := sub.Failing(); err == nil {
			t.Error("a closed store is not reported")
		}
		if err := sub.Close(); err != nil {
			t.Error(err)
		}
		if _, open := <-messages; open {
			t.Error("a message after Close")
		}
	})
}

func TestGrace(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer time.Duration // after the cancellation
		saved  eventstore.Sequence
		took   time.Duration
	}{
		"answered in time":  {answer: time.Second, saved: 1, took: time.Second},
		"answered too late": {answer: time.Minute, saved: 0, took: 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store, checkpoints := newStore(t), bridge.NewMemoryCheckpoints()
				pub, sub := bridge.NewPubSub(store, checkpoints, bridge.PubSubConfig{Group: "g", Grace: 5 * time.Second}, quiet())
				for _, id := range []string{"a", "b"} {
					if err := pub.Publish("jobs", message.NewMessage(id, nil)); err != nil {
						t.Fatal(err)
					}
				}
				ctx, cancel := context.WithCancel(t.Context())
				messages, err := sub.Subscribe(ctx, "jobs")
				if err != nil {
					t.Fatal(err)
				}
				m := <-messages
				cancel()
				start := time.Now()
				time.AfterFunc(c.answer, func() {
					if c.saved > 0 && m.Context().Err() != nil {
						t.Error("context died before the grace period was over")
					}
					m.Ack()
				})
				if _, open := <-messages; open {
					t.Error("a message after the subscription was cancelled")
				}
				if got := time.Since(start); got != c.took {
					t.Errorf("subscription ended after %s, want %s", got, c.took)
				}
				synctest.Wait()
				if m.Context().Err() == nil {
					t.Error("context lives after the subscription")
				}
				if at, err := checkpoints.Load(t.Context(), "g/jobs"); err != nil || at != c.saved {
					t.Errorf("checkpoint %d, %v; want %d", at, err, c.saved)
				}
				if err := sub.Close(); err != nil {
					t.Error(err)
				}
				time.Sleep(c.answer) // virtual: let the late answer run inside the test
			})
		})
	}
}

func TestCloseIsIdempotentAndFinal(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	fill(t, store, 1)
	sub := bridge.NewSubscriber(store, bridge.Config{From: fromStart}, quiet())
	messages := subscribe(t, t.Context(), sub)
	for range 2 {
		if err := sub.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, open := <-messages; open {
		t.Error("channel is open after Close")
	}
	if _, err := sub.Subscribe(t.Context(), bridge.Topic); !errors.Is(err, bridge.ErrClosed) {
		t.Errorf("subscribe after Close: %v, want ErrClosed", err)
	}
}

func TestOnlyTheLedgerIsATopic(t *testing.T) {
	t.Parallel()
	sub := bridge.NewSubscriber(newStore(t), bridge.Config{From: fromStart}, quiet())
	defer sub.Close()
	if _, err := sub.Subscribe(t.Context(), "users"); err == nil {
		t.Error("subscribed to an unknown topic")
	}
	if _, err := bridge.Records(message.NewMessage("x", nil)); !errors.Is(err, bridge.ErrNoRecords) {
		t.Errorf("records of a foreign message: %v, want ErrNoRecords", err)
	}
}
