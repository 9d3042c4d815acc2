package bridge_test

import (
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/bridge"
	"github.com/authledger/authledger/eventstore/memstore"
)

// suiteName cuts t.Name to the suite's function, which is what shares a log:
// its constructors are called several times in one test.
func suiteName(t *testing.T) string {
	parts := strings.Split(t.Name(), "/")
	return strings.Join(parts[:min(3, len(parts))], "/")
}

func newPair(t *testing.T, store eventstore.Store, checkpoints bridge.Checkpoints, group string) (message.Publisher, message.Subscriber) {
	pub, sub := bridge.NewPubSub(store, checkpoints, bridge.PubSubConfig{
		Group: group, Grace: 100 * time.Millisecond,
		NackPause: bridge.Backoff{Min: time.Millisecond, Max: time.Millisecond},
	}, quiet())
	t.Cleanup(func() { _ = sub.Close() }) // never fails; the suite leaves some open
	return pub, sub
}

// TestPubSub is watermill's universal suite, once without groups, where every
// subscription sees everything, and once with one group for each test, where
// the position survives a subscription.
func TestPubSub(t *testing.T) {
	t.Parallel()
	features := tests.Features{ConsumerGroups: true, GuaranteedOrder: true, Persistent: true}
	for _, grouped := range []bool{false, true} {
		name := map[bool]string{false: "each on its own", true: "one group"}[grouped]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, checkpoints := memstore.New(time.Now), bridge.NewMemoryCheckpoints()
			t.Cleanup(func() { _ = store.Close() })
			f := features
			f.NewSubscriberReceivesOldMessages = !grouped
			tests.TestPubSub(t, f,
				func(t *testing.T) (message.Publisher, message.Subscriber) {
					group := ""
					if grouped {
						group = suiteName(t)
					}
					return newPair(t, store, checkpoints, group)
				},
				func(t *testing.T, group string) (message.Publisher, message.Subscriber) {
					return newPair(t, store, checkpoints, group)
				},
			)
		})
	}
}
