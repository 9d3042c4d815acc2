package bridge_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/bridge"
	"github.com/authledger/authledger/eventstore/memstore"
)

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard) // watermill's suite logs every message it sends
	goleak.VerifyTestMain(m,
		// watermill's suite subscribes several times at once and never reads the
		// channels to their end, so its forwarding goroutines stay behind.
		goleak.IgnoreAnyFunction("github.com/ThreeDotsLabs/watermill/internal/subscriber.(*multiplier).Subscribe.func2"),
		goleak.IgnoreAnyFunction("github.com/ThreeDotsLabs/watermill/internal/subscriber.(*multiplier).Subscribe.func3"),
	)
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// buffer is a log output several goroutines may write.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// fill appends n records to streams user-0 to user-2.
func fill(t testing.TB, store eventstore.Store, n int) {
	t.Helper()
	for i := 0; i < n; {
		events := make([]eventstore.Proposed, 0, 100)
		for ; len(events) < cap(events) && i < n; i++ {
			events = append(events, eventstore.Proposed{
				ID: uuid.New(), Type: "Counted", Schema: 1, Data: fmt.Appendf(nil, `{"n":%d}`, i+1), Metadata: []byte(`{}`),
			})
		}
		appendAll(t, store, fmt.Sprintf("user-%d", i%3), events)
	}
}

func appendAll(t testing.TB, store eventstore.Store, stream string, events []eventstore.Proposed) {
	t.Helper()
	end := eventstore.NoStream()
	for r, err := range store.ReadStream(t.Context(), stream, 0) {
		if err != nil {
			t.Fatal(err)
		}
		end = eventstore.At(r.Revision, r.Leaf())
	}
	if _, err := store.Append(t.Context(), stream, end, events); err != nil {
		t.Fatal(err)
	}
}

func newStore(t testing.TB) *memstore.Store {
	t.Helper()
	s := memstore.New(time.Now)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func fromStart(context.Context) (eventstore.Sequence, error) { return 0, nil }

func subscribe(t testing.TB, ctx context.Context, s *bridge.Subscriber) <-chan *message.Message {
	t.Helper()
	messages, err := s.Subscribe(ctx, bridge.Topic)
	if err != nil {
		t.Fatal(err)
	}
	return messages
}

// sequences returns the first and last sequence of a message.
func sequences(t testing.TB, m *message.Message) [2]eventstore.Sequence {
	t.Helper()
	records, err := bridge.Records(m)
	if err != nil {
		t.Fatal(err)
	}
	return [2]eventstore.Sequence{records[0].Sequence, records[len(records)-1].Sequence}
}

var errOutage = errors.New("outage")

// flaky fails on demand: each call of fail decides about one batch.
type flaky struct {
	eventstore.Follower
	fail func() error
}

func (f flaky) Follow(ctx context.Context, after eventstore.Sequence, most int) iter.Seq2[[]eventstore.Record, error] {
	return func(yield func([]eventstore.Record, error) bool) {
		for batch, err := range f.Follower.Follow(ctx, after, most) {
			if injected := f.fail(); injected != nil {
				yield(nil, injected)
				return
			}
			if !yield(batch, err) {
				return
			}
		}
	}
}
