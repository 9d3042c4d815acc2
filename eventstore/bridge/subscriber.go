package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/authledger/authledger/eventstore"
)

// Topic is the one topic of the batch subscriber: every record of the log.
const Topic = "ledger"

// Metadata keys of a batch message. The values are decimal numbers.
const (
	FirstSequence = "first_seq"
	LastSequence  = "last_seq"
	RecordCount   = "count"
)

// ErrClosed is returned by subscribing or publishing after Close.
var ErrClosed = errors.New("closed")

// ErrNoRecords is returned by Records for a message that did not come from a
// Subscriber of this process.
var ErrNoRecords = errors.New("message carries no records")

// Config says how a Subscriber delivers. From is required; everything else has
// a default.
type Config struct {
	// From returns the sequence of the last record the consumer has dealt with,
	// zero to begin. It is called once for each subscription and again, after a
	// pause, for as long as it fails. A consumer that stores its position with
	// its results returns it here.
	From func(context.Context) (eventstore.Sequence, error)
	// BatchSize is the greatest number of records in one message; 1000.
	BatchSize int
	// Linger is the least time from the arrival of one message's records to
	// asking for the next ones; none when 0. Under a steady trickle it gathers
	// many small appends into one message, and it adds itself, at most, to the
	// age of a record that is delivered. A record that comes alone is not held
	// up, nor is what follows a full message or one that took longer.
	Linger time.Duration
	// Hurry, if not nil, returns a channel that is closed while somebody waits
	// for the consumer, which ends every linger. It is called once for each
	// linger, from the subscription's goroutine, and must not block.
	Hurry func() <-chan struct{}
	// Grace is how long a message handed out may still be answered after the
	// subscription was cancelled; 10 s. It must be shorter than the router's
	// close timeout.
	Grace time.Duration
	// StorePause is the pause before a failing store is asked again.
	StorePause Backoff
	// NackPause is the pause before a refused message comes again; a second to
	// thirty seconds. It doubles only when the message is down to one record.
	NackPause Backoff
	// Now is the clock of reports; time.Now.
	Now func() time.Time
}

func (c Config) withDefaults() Config {
	if c.BatchSize <= 0 {
		c.BatchSize = 1000
	}
	if c.Grace <= 0 {
		c.Grace = 10 * time.Second
	}
	if c.Hurry == nil {
		c.Hurry = func() <-chan struct{} { return nil }
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.StorePause = c.StorePause.withDefaults(100*time.Millisecond, 30*time.Second)
	c.NackPause = c.NackPause.withDefaults(time.Second, 30*time.Second)
	return c
}

// source is one subscription.
type source interface {
	// run delivers until ctx ends.
	run(ctx context.Context, out chan<- *message.Message)
	// of is what the subscription is known by.
	of() *subscription
}

// Subscriber is a message.Subscriber over a log. Every subscription is
// independent: two of them both get everything, unless they share it in a group
// (NewSharedSubscriber).
type Subscriber struct {
	open    func(topic string) (source, error)
	trouble *trouble
	stop    context.Context // ends with Close; every subscription ends with it
	cancel  context.CancelFunc

	mu     sync.Mutex // guards closed, and running against a Wait that begins
	closed bool
	// running counts the goroutines of the subscriptions. Each ends with its
	// context or with Close, which waits for them.
	running sync.WaitGroup
}

// NewSubscriber returns the batch subscriber of Topic. Its messages have no
// payload: the records travel beside it, in the message's context, so that
// nothing is encoded for a consumer in the same process.
func NewSubscriber(follower eventstore.Follower, cfg Config, logger *slog.Logger) *Subscriber {
	cfg = cfg.withDefaults()
	s := newSubscriber(cfg.Now)
	s.open = func(topic string) (source, error) {
		if topic != Topic {
			return nil, fmt.Errorf("subscribe to %q: the only topic is %q", topic, Topic)
		}
		return &feed{
			subscription: subscription{name: topic, storePause: cfg.StorePause, trouble: s.trouble, log: logger}, follower: follower, fetch: cfg.BatchSize, perMessage: cfg.BatchSize,
			build: batchMessage, load: cfg.From, linger: cfg.Linger, hurry: cfg.Hurry,
			grace: cfg.Grace, nackPause: cfg.NackPause,
		}, nil
	}
	return s
}

func newSubscriber(now func() time.Time) *Subscriber {
	s := &Subscriber{trouble: newTrouble(now)}
	s.stop, s.cancel = context.WithCancel(context.Background())
	return s
}

// Subscribe starts a subscription that lasts until ctx ends or Close; then its
// channel closes. It does not read the store before it returns.
func (s *Subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	f, err := s.open(topic)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, fmt.Errorf("subscribe to %q: %w", topic, ErrClosed)
	}
	ctx, cancel := context.WithCancel(ctx)
	release := context.AfterFunc(s.stop, cancel)
	out := make(chan *message.Message) // unbuffered: a message waiting in it would outlive its order
	s.running.Go(func() {
		defer close(out)
		defer cancel()
		defer release()
		defer s.trouble.forget(f.of())
		f.run(ctx, out)
	})
	return out, nil
}

// Close ends all subscriptions and waits for them, at most the grace period
// for messages still unanswered. Further calls do the same.
func (s *Subscriber) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.running.Wait()
	return nil
}

// Failing returns the error that keeps a subscription from reading or storing
// its position, and since when; nil when everything goes on.
func (s *Subscriber) Failing() (time.Time, error) { return s.trouble.oldest() }

// recordsKey is the context key of a message's records.
type recordsKey struct{}

func withRecords(ctx context.Context, records []eventstore.Record) context.Context {
	return context.WithValue(ctx, recordsKey{}, records)
}

// Records returns the records a message of a Subscriber carries, in order and
// never empty. The slice is shared with later deliveries of the same records
// and must not be changed.
func Records(m *message.Message) ([]eventstore.Record, error) {
	records, ok := m.Context().Value(recordsKey{}).([]eventstore.Record)
	if !ok {
		return nil, fmt.Errorf("read message %s: %w", m.UUID, ErrNoRecords)
	}
	return records, nil
}

// batchMessage builds a message of Topic. Its id is that of its last record,
// so a message that comes again under the same id carries what it did before
// or the tail of it.
func batchMessage(records []eventstore.Record) (*message.Message, error) {
	first, last := records[0], records[len(records)-1]
	m := message.NewMessage(last.ID.String(), nil)
	m.Metadata.Set(FirstSequence, strconv.FormatUint(uint64(first.Sequence), 10))
	m.Metadata.Set(LastSequence, strconv.FormatUint(uint64(last.Sequence), 10))
	m.Metadata.Set(RecordCount, strconv.Itoa(len(records)))
	return m, nil
}
