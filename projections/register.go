package projections

import (
	"log/slog"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/bridge"
)

// HandlerName is the name of the views' handler on a router.
const HandlerName = "views"

// Register puts the views on a router, fed by a subscription of their own from
// where they stand. The router's owner runs and closes it; Views.Close must
// come after that.
func (v *Views) Register(router *bridge.Router, log eventstore.Follower, cfg bridge.Config, logger *slog.Logger) {
	cfg.From = v.From
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
