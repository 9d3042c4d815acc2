package bridge_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"
	"github.com/google/go-cmp/cmp"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/bridge"
	"github.com/authledger/authledger/eventstore/memstore"
	"github.com/authledger/authledger/eventstore/sqlitestore"
)

type suiteTest func(*testing.T, tests.TestContext, tests.PubSubConstructor)

// universal is watermill 1.5.1's tests.TestPubSub function by function. Called
// as a whole it reports a skipped test for TestReconnect, which restarts a
// broker by a shell command; a log inside the process has nothing to restart.
// TestOutage below is its counterpart.
func universal() map[string]suiteTest {
	return map[string]suiteTest{
		"PublishSubscribe":                  tests.TestPublishSubscribe,
		"ConcurrentSubscribe":               tests.TestConcurrentSubscribe,
		"ConcurrentSubscribeMultipleTopics": tests.TestConcurrentSubscribeMultipleTopics,
		"ResendOnError":                     tests.TestResendOnError,
		"NoAck":                             tests.TestNoAck,
		"ContinueAfterSubscribeClose":       tests.TestContinueAfterSubscribeClose,
		"ConcurrentClose":                   tests.TestConcurrentClose,
		"ContinueAfterErrors":               tests.TestContinueAfterErrors,
		"PublishSubscribeInOrder":           tests.TestPublishSubscribeInOrder,
		"PublisherClose":                    tests.TestPublisherClose,
		"Topic":                             tests.TestTopic,
		"MessageCtx":                        tests.TestMessageCtx,
		"SubscribeCtx":                      tests.TestSubscribeCtx,
	}
}

// runUniversal runs the suite over a store of the caller's.
func runUniversal(t *testing.T, store eventstore.Store) {
	checkpoints := bridge.NewMemoryCheckpoints()
	pair := func(t *testing.T, group string) (message.Publisher, message.Subscriber) {
		pub, sub := bridge.NewPubSub(store, checkpoints, bridge.PubSubConfig{
			Group: group, Grace: 100 * time.Millisecond,
			NackPause: bridge.Backoff{Min: time.Millisecond, Max: time.Millisecond},
		}, quiet())
		t.Cleanup(func() { _ = sub.Close() }) // never fails; the suite leaves some open
		return pub, sub
	}
	features := tests.Features{ConsumerGroups: true, GuaranteedOrder: true, Persistent: true}

	// Every subscription on its own: it sees everything from the beginning. Short,
	// because fifty of them reading everything is the machine's time, not a test.
	alone := features
	alone.NewSubscriberReceivesOldMessages, alone.ForceShort = true, true
	fresh := universal()
	fresh["NewSubscriberReceivesOldMessages"] = tests.TestNewSubscriberReceivesOldMessages
	fresh["ConsumerGroups"] = func(t *testing.T, c tests.TestContext, _ tests.PubSubConstructor) {
		tests.TestConsumerGroups(t, c, pair)
	}
	for name, test := range fresh {
		t.Run("alone/"+name, func(t *testing.T) {
			t.Parallel()
			test(t, tests.TestContext{TestID: tests.NewTestID(), Features: alone}, func(t *testing.T) (message.Publisher, message.Subscriber) {
				return pair(t, "")
			})
		})
	}
	// One group for each test: its position outlives its subscriptions.
	for name, test := range universal() {
		t.Run("grouped/"+name, func(t *testing.T) {
			t.Parallel()
			id := tests.NewTestID()
			test(t, tests.TestContext{TestID: id, Features: features}, func(t *testing.T) (message.Publisher, message.Subscriber) {
				return pair(t, "group-"+id.String())
			})
		})
	}
}

func TestUniversalSuite(t *testing.T) {
	t.Parallel()
	store := memstore.New(time.Now)
	t.Cleanup(func() { _ = store.Close() })
	runUniversal(t, store)
}

// The same over the log the product runs on.
func TestUniversalSuiteOnSQLite(t *testing.T) {
	t.Parallel()
	store, err := sqlitestore.Open(t.Context(), sqlitestore.Options{Dir: t.TempDir(), Clock: time.Now, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	runUniversal(t, store)
}

// outage is a store that is gone most of the time.
type outage struct {
	eventstore.Store
	calls atomic.Int32
}

func (o *outage) down() bool { return o.calls.Add(1)%4 != 0 }

func (o *outage) Append(ctx context.Context, stream string, expected eventstore.Expected, events []eventstore.Proposed) (eventstore.Appended, error) {
	if o.down() {
		return eventstore.Appended{}, eventstore.ErrUnavailable
	}
	return o.Store.Append(ctx, stream, expected, events)
}

func (o *outage) Follow(ctx context.Context, after eventstore.Sequence, most int) iter.Seq2[[]eventstore.Record, error] {
	return flaky{o.Store, func() error {
		if o.down() {
			return eventstore.ErrUnavailable
		}
		return nil
	}}.Follow(ctx, after, most)
}

// TestOutage publishes and consumes while the store comes and goes: nothing is
// lost, repeated or reordered, and no channel closes.
func TestOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &outage{Store: newStore(t)}
		pub, sub := bridge.NewPubSub(store, bridge.NewMemoryCheckpoints(), bridge.PubSubConfig{Group: "worker"}, quiet())
		messages, err := sub.Subscribe(t.Context(), "jobs")
		if err != nil {
			t.Fatal(err)
		}
		var sent, got []string
		refused := 0
		for i := range 100 {
			m := message.NewMessage(fmt.Sprint("m", i), nil)
			for err = eventstore.ErrUnavailable; errors.Is(err, eventstore.ErrUnavailable); refused++ {
				err = pub.Publish("jobs", m)
			}
			if err != nil {
				t.Fatal(err)
			}
			sent = append(sent, m.UUID)
			if i%10 == 9 { // in between a batch gathers, so that outages hit both sides
				for len(got) < len(sent) {
					m := <-messages
					got = append(got, m.UUID)
					m.Ack()
				}
			}
		}
		if diff := cmp.Diff(sent, got); diff != "" {
			t.Errorf("received (-sent +got):\n%s", diff)
		}
		if refused <= len(sent) {
			t.Error("the store never refused; the test shows nothing")
		}
		if err := sub.Close(); err != nil {
			t.Error(err)
		}
	})
}
