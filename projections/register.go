package projections

import (
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/bridge"
)

// linger is how long small appends gather before the views apply them, unless
// somebody waits: a transaction costs as much as several records. It is part of
// the views' lag, which is to stay within 5 ms.
const linger = 3 * time.Millisecond

// HandlerName is the name of the views' handler on a router.
const HandlerName = "views"

// Register puts the views on a router, fed by a subscription of their own from
// where they stand. A Linger of zero means three milliseconds; From and Hurry
// are the views' own. The router's owner runs and closes it; Views.Close must
// come after that.
func (v *Views) Register(router *bridge.Router, log eventstore.Follower, cfg bridge.Config, logger *slog.Logger) {
	cfg.From, cfg.Hurry = v.From, v.progress.hurried
	if cfg.Linger == 0 {
		cfg.Linger = linger
	}
	router.AddConsumerHandler(HandlerName, bridge.Topic, bridge.NewSubscriber(log, cfg, logger), v.Handle)
}

// Handle applies the records a message of bridge.Topic carries.
func (v *Views) Handle(m *message.Message) error {
	records, err := bridge.Records(m)
	if err != nil {
		return err
	}
	return v.Apply(m.Context(), records)
}
