package bridge_test

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/bridge"
	"github.com/authledger/authledger/eventstore/memstore"
)

// A projection reads whole batches and keeps its position with its rows.
func ExampleNewSubscriber() {
	store := memstore.New(time.Now)
	defer store.Close()
	event := eventstore.Proposed{ID: eventstore.EventID{1}, Type: "UserRegistered", Schema: 1, Data: []byte("{}"), Metadata: []byte("{}")}
	if _, err := store.Append(context.Background(), "user-1", eventstore.NoStream(), []eventstore.Proposed{event}); err != nil {
		panic(err)
	}

	logger, done := slog.New(slog.DiscardHandler), make(chan struct{})
	router, err := bridge.NewRouter(bridge.RouterConfig{}, logger)
	if err != nil {
		panic(err)
	}
	position := func(context.Context) (eventstore.Sequence, error) { return 0, nil }
	sub := bridge.NewSubscriber(store, bridge.Config{From: position}, logger)
	router.AddConsumerHandler("users", bridge.Topic, sub, func(m *message.Message) error {
		records, err := bridge.Records(m)
		for _, r := range records {
			fmt.Println(r.Sequence, r.Stream, r.Type)
		}
		close(done)
		return err
	})
	go func() {
		<-done
		_ = router.Close() // its error would be a handler that does not end
	}()
	if err := router.Run(context.Background()); err != nil {
		panic(err)
	}
	// Output: 1 user-1 UserRegistered
}
