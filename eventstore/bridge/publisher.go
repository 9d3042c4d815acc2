package bridge

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/authledger/authledger/eventstore"
)

// maxConflicts bounds how often an append is tried against other publishers of
// the same topic. One of them wins each time, so reaching it means that the
// store lies about its heads.
const maxConflicts = 100

// Publisher is a message.Publisher that appends to a log.
type Publisher struct {
	store   eventstore.Store
	timeout time.Duration // of one Publish

	mu     sync.Mutex // guards closed, topics, and publishing against a Wait that begins
	closed bool
	topics map[string]*topicWriter
	// publishing counts the calls of Publish; Close waits for them.
	publishing sync.WaitGroup
}

// topicWriter appends to one topic's stream. Publishers of one process queue
// here instead of conflicting in the store.
type topicWriter struct {
	store  eventstore.Store
	topic  string
	stream string

	mu   sync.Mutex          // guards head and makes appends of one publisher follow each other
	head eventstore.Expected // last known end of the stream
}

func newPublisher(store eventstore.Store, timeout time.Duration) *Publisher {
	return &Publisher{store: store, timeout: timeout, topics: map[string]*topicWriter{}}
}

// Publish appends the messages in order and returns when they are durable.
// They are contiguous and atomic as long as they fit into one append
// (eventstore.MaxAppendCount and MaxAppendBytes); more are split. After an
// error some may be stored; publishing the same messages again stores the rest.
// It takes no longer than PubSubConfig.PublishTimeout allows the store.
func (p *Publisher) Publish(topic string, messages ...*message.Message) error {
	w, err := p.begin(topic)
	if err != nil {
		return fmt.Errorf("publish to %q: %w", topic, err)
	}
	defer p.publishing.Done()
	events, err := proposeAll(topic, messages)
	if err != nil {
		return fmt.Errorf("publish to %q: %w", topic, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), p.timeout)
	defer cancel()
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(events) > 0 {
		n := fitting(events)
		if err := w.append(ctx, events[:n]); err != nil {
			return fmt.Errorf("publish to %q: %w", topic, err)
		}
		events = events[n:]
	}
	return nil
}

// Close refuses further messages and waits for those being published. Further
// calls do the same.
func (p *Publisher) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.publishing.Wait()
	return nil
}

func (p *Publisher) begin(topic string) (*topicWriter, error) {
	prefix, err := topicPrefix(topic)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrClosed
	}
	p.publishing.Add(1)
	w, ok := p.topics[topic]
	if !ok {
		w = &topicWriter{store: p.store, topic: topic, stream: prefix + messagesStream}
		p.topics[topic] = w
	}
	return w, nil
}

// proposeAll turns messages into events, a repeated one once.
func proposeAll(topic string, messages []*message.Message) ([]eventstore.Proposed, error) {
	events := make([]eventstore.Proposed, 0, len(messages))
	seen := make(map[eventstore.EventID]bool, len(messages))
	for _, m := range messages {
		e, err := propose(topic, m)
		if err != nil {
			return nil, err
		}
		if !seen[e.ID] {
			events = append(events, e)
		}
		seen[e.ID] = true
	}
	return events, nil
}

// fitting returns how many of the events one append takes, at least one.
func fitting(events []eventstore.Proposed) int {
	size := 0
	for i, e := range events {
		size += len(e.Data) + len(e.Metadata)
		if i > 0 && (i == eventstore.MaxAppendCount || size > eventstore.MaxAppendBytes) {
			return i
		}
	}
	return len(events)
}

// append makes the events durable. A conflict means another publisher: read
// where the stream ends now and try again. Events that stand already, because
// of an outcome that was unknown or a message published twice, are left out.
func (w *topicWriter) append(ctx context.Context, events []eventstore.Proposed) error {
	for range maxConflicts {
		done, err := w.store.Append(ctx, w.stream, w.head, events)
		switch {
		case err == nil:
			if last := done.Last(); !done.Repeated { // behind a repeat the stream may have grown
				w.head = eventstore.At(last.Revision, last.Leaf)
			}
			return nil
		case errors.Is(err, eventstore.ErrConflict):
			if err := w.catchUp(ctx, err); err != nil {
				return err
			}
		case errors.Is(err, eventstore.ErrDuplicateID), errors.Is(err, eventstore.ErrOutcomeUnknown):
			if events, err = w.missing(ctx, events, err); err != nil || len(events) == 0 {
				return err
			}
		default:
			return err
		}
	}
	return fmt.Errorf("append to %s: still in conflict after %d attempts: %w", w.stream, maxConflicts, eventstore.ErrConflict)
}

// catchUp reads the end of the stream a conflict tells of: one record, however
// long the stream is.
func (w *topicWriter) catchUp(ctx context.Context, conflict error) error {
	var c *eventstore.ConflictError
	if !errors.As(conflict, &c) {
		return conflict
	}
	w.head = eventstore.NoStream()
	if !c.Found {
		return nil
	}
	for r, err := range w.store.ReadStream(ctx, w.stream, c.Actual) {
		if err != nil {
			return fmt.Errorf("read the end of %s: %w", w.stream, err)
		}
		w.head = eventstore.At(r.Revision, r.Leaf())
	}
	return nil
}

// missing returns the events that do not stand in the log. cause is returned
// when nothing explains it, for sending the same events again would end alike.
func (w *topicWriter) missing(ctx context.Context, events []eventstore.Proposed, cause error) ([]eventstore.Proposed, error) {
	var rest []eventstore.Proposed
	for _, e := range events {
		_, err := w.store.ByID(ctx, e.ID)
		switch {
		case errors.Is(err, eventstore.ErrNotFound):
			rest = append(rest, e)
		case err != nil:
			return nil, fmt.Errorf("read back after %w: %w", cause, err)
		}
	}
	if len(rest) == len(events) {
		return nil, cause
	}
	return rest, nil
}
