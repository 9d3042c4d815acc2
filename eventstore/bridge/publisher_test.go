package bridge_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
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
)

func foreign() *message.Message { return message.NewMessage("x", []byte("y")) }

func publisher(t testing.TB, store eventstore.Store) *bridge.Publisher {
	t.Helper()
	pub, sub := bridge.NewPubSub(store, nil, bridge.PubSubConfig{}, quiet())
	if err := sub.Close(); err != nil {
		t.Fatal(err)
	}
	return pub
}

func numbered(n int) []*message.Message {
	var out []*message.Message
	for i := range n {
		out = append(out, message.NewMessage(fmt.Sprint("m", i), fmt.Append(nil, i)))
	}
	return out
}

// stored reads the ids of a topic's messages in order.
func stored(t testing.TB, store eventstore.Store, topic string) []string {
	t.Helper()
	_, sub := bridge.NewPubSub(store, nil, bridge.PubSubConfig{}, quiet())
	defer sub.Close()
	var n int
	for _, err := range store.ReadStream(t.Context(), topic+"/messages", 0) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	messages, err := sub.Subscribe(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for range n {
		m := <-messages
		ids = append(ids, m.UUID)
		m.Ack()
	}
	return ids
}

func ids(messages []*message.Message) []string { return message.Messages(messages).IDs() }

func TestMessageComesBackAsItWas(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	pub, sub := bridge.NewPubSub(store, nil, bridge.PubSubConfig{}, quiet())
	defer sub.Close()
	sent := message.NewMessage("id with ünïcode / and <html>", []byte{0, 0xff, '{', '"', '}'})
	sent.Metadata.Set("correlation_id", "c-1")
	sent.Metadata.Set("k / ü", "")
	if err := pub.Publish("sms", sent, message.NewMessage("", nil)); err != nil {
		t.Fatal(err)
	}
	messages, err := sub.Subscribe(t.Context(), "sms")
	if err != nil {
		t.Fatal(err)
	}
	got := <-messages
	if !got.Equals(sent) {
		t.Errorf("got %q %q %v", got.UUID, got.Payload, got.Metadata)
	}
	got.Ack()
	empty := <-messages
	if empty.UUID != "" || len(empty.Payload) != 0 || len(empty.Metadata) != 0 {
		t.Errorf("empty message came back as %q %q %v", empty.UUID, empty.Payload, empty.Metadata)
	}
	empty.Ack()
}

func TestPublishingAgainChangesNothing(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	pub, sent := publisher(t, store), numbered(6)
	for _, part := range [][]*message.Message{sent[:2], sent[:2], sent[1:4], {sent[5], sent[5]}, sent, {}} {
		if err := pub.Publish("jobs", part...); err != nil {
			t.Fatal(err)
		}
	}
	again := publisher(t, store) // knows no head
	if err := again.Publish("jobs", sent[:3]...); err != nil {
		t.Fatal(err)
	}
	if err := again.Publish("other", sent[:1]...); err != nil {
		t.Fatalf("the same message under another topic: %v", err)
	}
	if diff := cmp.Diff([]string{"m0", "m1", "m2", "m3", "m5", "m4"}, stored(t, store, "jobs")); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
}

func TestPublishersOfOneTopicMeet(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	var wg sync.WaitGroup
	for range 8 {
		pub := publisher(t, store)
		wg.Go(func() {
			for range 50 {
				if err := pub.Publish("jobs", message.NewMessage(uuid.NewString(), nil), message.NewMessage(uuid.NewString(), nil)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got := len(stored(t, store, "jobs")); got != 800 {
		t.Errorf("%d messages stored, want 800", got)
	}
}

func TestPublishSplitsWhatOneAppendCannotTake(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	pub := publisher(t, store)
	many := numbered(2*eventstore.MaxAppendCount + 1)
	if err := pub.Publish("many", many...); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(ids(many), stored(t, store, "many")); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
	big := numbered(5)
	for _, m := range big {
		m.Payload = make([]byte, 300<<10) // 400 KiB in base64: two in one append
	}
	if err := pub.Publish("big", big...); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(ids(big), stored(t, store, "big")); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
	huge := message.NewMessage("huge", make([]byte, eventstore.MaxAppendBytes))
	if err := pub.Publish("big", huge); !errors.Is(err, eventstore.ErrTooLarge) {
		t.Errorf("too large a message: %v, want ErrTooLarge", err)
	}
}

// unsure makes appends durable or not and says it does not know.
type unsure struct {
	eventstore.Store
	keep bool
	left atomic.Int32
}

func (u *unsure) Append(ctx context.Context, stream string, expected eventstore.Expected, events []eventstore.Proposed) (eventstore.Appended, error) {
	if u.left.Add(-1) < 0 {
		return u.Store.Append(ctx, stream, expected, events)
	}
	if u.keep {
		if _, err := u.Store.Append(ctx, stream, expected, events); err != nil {
			return eventstore.Appended{}, err
		}
	}
	return eventstore.Appended{}, fmt.Errorf("append: %w", eventstore.ErrOutcomeUnknown)
}

func TestUnknownOutcomeIsReadBack(t *testing.T) {
	t.Parallel()
	for _, keep := range []bool{true, false} {
		store := &unsure{Store: newStore(t), keep: keep}
		pub, sent := publisher(t, store), numbered(4)
		if err := pub.Publish("jobs", sent[:1]...); err != nil {
			t.Fatal(err)
		}
		store.left.Store(1)
		err := pub.Publish("jobs", sent[1:3]...)
		if keep && err != nil {
			t.Errorf("durable append: %v, want success", err)
		}
		if !keep && !errors.Is(err, eventstore.ErrOutcomeUnknown) {
			t.Errorf("append that left nothing: %v, want ErrOutcomeUnknown", err)
		}
		if err := pub.Publish("jobs", sent...); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(ids(sent), stored(t, store, "jobs")); diff != "" {
			t.Errorf("keep=%t: stored (-want +got):\n%s", keep, diff)
		}
	}
}

func TestPublishRejects(t *testing.T) {
	t.Parallel()
	pub, sub := bridge.NewPubSub(newStore(t), nil, bridge.PubSubConfig{}, quiet())
	for _, topic := range []string{"", "a/b", "a b", "$system", strings.Repeat("x", 120)} {
		if err := pub.Publish(topic, foreign()); !errors.Is(err, bridge.ErrInvalidTopic) {
			t.Errorf("publish to %q: %v, want ErrInvalidTopic", topic, err)
		}
		if _, err := sub.Subscribe(t.Context(), topic); !errors.Is(err, bridge.ErrInvalidTopic) {
			t.Errorf("subscribe to %q: %v, want ErrInvalidTopic", topic, err)
		}
	}
	for _, m := range []*message.Message{message.NewMessage("\xff", nil), message.NewMessage("a", nil), message.NewMessage("b", nil)} {
		switch m.UUID {
		case "a":
			m.Metadata.Set("\xff", "v")
		case "b":
			m.Metadata.Set("k", "\xff")
		}
		if err := pub.Publish("jobs", m); !errors.Is(err, bridge.ErrInvalidMessage) {
			t.Errorf("publish %q: %v, want ErrInvalidMessage", m.UUID, err)
		}
	}
	for range 2 {
		if err := pub.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := pub.Publish("jobs", foreign()); !errors.Is(err, bridge.ErrClosed) {
		t.Errorf("publish after Close: %v, want ErrClosed", err)
	}
	if err := sub.Close(); err != nil {
		t.Error(err)
	}
}

// TestForeignRecordStopsTheTopic puts a record that is no message into a
// topic's stream: the feed stays before it and says so.
func TestForeignRecordStopsTheTopic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		pub, sub := bridge.NewPubSub(store, nil, bridge.PubSubConfig{}, quiet())
		if err := pub.Publish("jobs", foreign()); err != nil {
			t.Fatal(err)
		}
		appendAll(t, store, "jobs/messages", []eventstore.Proposed{{ID: uuid.New(), Type: "Counted", Schema: 1, Data: []byte("{}"), Metadata: []byte("{}")}})
		messages, err := sub.Subscribe(t.Context(), "jobs")
		if err != nil {
			t.Fatal(err)
		}
		(<-messages).Ack()
		time.Sleep(time.Hour) // virtual
		select {
		case m, open := <-messages:
			t.Errorf("got %v, open=%t", m, open)
		default:
		}
		if _, err := sub.Failing(); !errors.Is(err, bridge.ErrInvalidMessage) {
			t.Errorf("failing with %v, want ErrInvalidMessage", err)
		}
		if err := sub.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestGroupPassesWhatIsNotItsOwn checks that a group's position moves through
// foreign records, and that a failing checkpoint is saved again.
func TestGroupPassesWhatIsNotItsOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, checkpoints := newStore(t), &failingCheckpoints{Checkpoints: bridge.NewMemoryCheckpoints()}
		checkpoints.loads.Store(2)
		checkpoints.saves.Store(2)
		pub, sub := bridge.NewPubSub(store, checkpoints, bridge.PubSubConfig{Group: "worker"}, quiet())
		fill(t, store, 10)
		if err := pub.Publish("jobs", foreign()); err != nil {
			t.Fatal(err)
		}
		fill(t, store, 2500)
		messages, err := sub.Subscribe(t.Context(), "jobs")
		if err != nil {
			t.Fatal(err)
		}
		(<-messages).Ack()
		time.Sleep(time.Minute) // virtual
		if at, err := checkpoints.Load(t.Context(), "worker/jobs"); err != nil || at < 1500 {
			t.Errorf("checkpoint %d, %v; want past the foreign records", at, err)
		}
		if err := sub.Close(); err != nil {
			t.Error(err)
		}
	})
}
