package esdbtest

import (
	"context"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
)

type featuresService struct {
	serverfeatures.UnimplementedServerFeaturesServer
	m *member
}

// GetSupportedMethods reports the version and what the client looks for: names
// in lower case. BatchAppend is left out, since the client never calls it.
func (f *featuresService) GetSupportedMethods(ctx context.Context, _ *shared.Empty) (*serverfeatures.SupportedMethods, error) {
	f.m.server.counts.add(ctx, "", "")
	supported := &serverfeatures.SupportedMethods{EventStoreServerVersion: f.m.server.options.Version}
	add := func(service string, names []string, features ...string) {
		for _, name := range names {
			supported.Methods = append(supported.Methods, &serverfeatures.SupportedMethod{
				ServiceName: service, MethodName: name, Features: features,
			})
		}
	}
	add("event_store.client.streams.streams", []string{"read", "append", "delete", "tombstone"})
	groups := "event_store.client.persistent_subscriptions.persistentsubscriptions"
	add(groups, []string{"create", "update", "delete", "read"}, "stream", "all")
	add(groups, []string{"getinfo", "list", "replayparked", "restartsubsystem"})
	add("event_store.client.gossip.gossip", []string{"read"})
	return supported, nil
}
