package bridge

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/authledger/authledger/eventstore"
)

// PubSubConfig says how NewPubSub delivers. The zero value is usable.
type PubSubConfig struct {
	// Group names the consumers that share a position in each topic. Without a
	// group every subscription begins with the oldest message and keeps no
	// position.
	Group string
	// Fetch is the number of records read at once; 1000.
	Fetch int
	// PublishTimeout bounds how long Publish waits for the store; 30 s.
	PublishTimeout time.Duration
	// Grace, StorePause, NackPause and Now are those of Config.
	Grace      time.Duration
	StorePause Backoff
	NackPause  Backoff
	Now        func() time.Time
}

// NewPubSub returns watermill's general publisher and subscriber over a log: a
// message becomes a record of the stream <topic>/messages, and each group has
// its own ordered, at-least-once feed of each topic, also of what was published
// before it first subscribed. One message carries one record.
//
// A topic is visible text without '/'. The log keeps messages for ever, in
// clear: publish ids and ciphertext, not personal data.
//
// Publisher and Subscriber are closed separately; neither closes the store.
func NewPubSub(store eventstore.Store, checkpoints Checkpoints, cfg PubSubConfig, logger *slog.Logger) (*Publisher, *Subscriber) {
	c := Config{BatchSize: cfg.Fetch, Grace: cfg.Grace, StorePause: cfg.StorePause, NackPause: cfg.NackPause, Now: cfg.Now}.withDefaults()
	s := newSubscriber(c.Now)
	s.open = func(topic string) (source, error) {
		prefix, err := topicPrefix(topic)
		if err != nil {
			return nil, fmt.Errorf("subscribe: %w", err)
		}
		f := &feed{
			subscription: subscription{name: topic, storePause: c.StorePause, trouble: s.trouble, log: logger}, follower: store, fetch: c.BatchSize, perMessage: 1, build: publishedMessage,
			pick:  func(r eventstore.Record) bool { return strings.HasPrefix(r.Stream, prefix) },
			load:  func(context.Context) (eventstore.Sequence, error) { return 0, nil },
			grace: c.Grace, nackPause: c.NackPause,
		}
		if cfg.Group != "" {
			name := cfg.Group + topicSeparator + topic // a topic has no separator, so names do not meet
			f.name = name
			f.load = func(ctx context.Context) (eventstore.Sequence, error) { return checkpoints.Load(ctx, name) }
			f.save = func(ctx context.Context, at eventstore.Sequence) error { return checkpoints.Save(ctx, name, at) }
		}
		return f, nil
	}
	timeout := cfg.PublishTimeout
	if timeout <= 0 {
		timeout = 30 * time.Second
	}
	return newPublisher(store, timeout), s
}
