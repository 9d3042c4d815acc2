package sealer

import "context"

// batcher is a Store that publishes several checkpoints which follow each other
// at once, all or none, by the rules of Publish.
type batcher interface {
	publishAll(ctx context.Context, all []Publication) error
}
