package delivery

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/authledger/authledger/eventstore/codec"
)

// history yields a stream's records of some types, decoded, in order, up to the
// newest one; an error is the last pair. It reads the log and not a state, so
// what it shows includes the record that a reaction is about.
func history(ctx context.Context, c Config, stream string, types ...string) iter.Seq2[codec.Decoded, error] {
	return func(yield func(codec.Decoded, error) bool) {
		for r, err := range c.Log.ReadStream(ctx, stream, 0) {
			if err != nil {
				yield(codec.Decoded{}, fmt.Errorf("read %s: %w", stream, err))
				return
			}
			if !slices.Contains(types, r.Type) {
				continue
			}
			d, err := c.Codec.Decode(r)
			if err != nil {
				yield(codec.Decoded{}, fmt.Errorf("read %s: %w", stream, err))
				return
			}
			if !yield(d, nil) {
				return
			}
		}
	}
}
