package bridge

import (
	"context"
	"log/slog"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/authledger/authledger/eventstore"
)

// Newest follows a log and knows its newest record; every eventstore.Store does.
type Newest interface {
	eventstore.Follower
	Head(ctx context.Context) (eventstore.Sequence, eventstore.Position, error)
}

// Listen puts a handler on a router that is told of what comes to the log from
// the start of the router on, in order, and remembers no place: for those who
// keep something in memory that goes stale, such as a journal beside others on
// one log. heard is called from one goroutine; its error is tried again and then
// parks the handler, as any handler's.
//
// cfg.From is set; a BatchSize, Linger and pauses may be given.
func Listen(router *Router, name string, log Newest, cfg Config, heard func(context.Context, []eventstore.Record) error, logger *slog.Logger) {
	cfg.From = func(ctx context.Context) (eventstore.Sequence, error) {
		newest, _, err := log.Head(ctx)
		return newest, err
	}
	router.AddConsumerHandler(name, Topic, NewSubscriber(log, cfg, logger), func(m *message.Message) error {
		records, err := Records(m)
		if err != nil {
			return err
		}
		return heard(m.Context(), records)
	})
}
