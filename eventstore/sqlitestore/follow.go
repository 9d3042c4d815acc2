package sqlitestore

import (
	"context"
	"fmt"
	"iter"

	"github.com/authledger/authledger/eventstore"
)

// Follow implements eventstore.Follower. It sleeps until the writer wakes it.
// Near the head it is served from memory, further behind by pages; it holds a
// connection only while it reads one. Batches are at most a page, and their
// records share their bytes with other readers. A follower of a store that is
// closed ends with ErrClosed.
func (s *Store) Follow(ctx context.Context, after eventstore.Sequence, max int) iter.Seq2[[]eventstore.Record, error] {
	return func(yield func([]eventstore.Record, error) bool) {
		if max < 1 {
			yield(nil, fmt.Errorf("%w: follow in batches of %d", eventstore.ErrInvalid, max))
			return
		}
		for next := after; ctx.Err() == nil; {
			batch, err := s.nextBatch(ctx, next, max)
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				yield(nil, fmt.Errorf("follow after %d: %w", next, err))
				return
			}
			if len(batch) == 0 {
				continue
			}
			next += eventstore.Sequence(len(batch))
			if !yield(batch, nil) {
				return
			}
		}
	}
}

// nextBatch returns what stands after a sequence, or waits for a change and
// returns nothing.
func (s *Store) nextBatch(ctx context.Context, after eventstore.Sequence, max int) ([]eventstore.Record, error) {
	at, err := s.look(ctx, "")
	if err != nil {
		return nil, err
	}
	if after < at.head {
		if batch := s.tail.after(after, max); len(batch) > 0 {
			return batch, nil
		}
		return s.page(ctx, after, at.head, min(max, pageRecords))
	}
	select {
	case <-at.changed:
	case <-ctx.Done():
	}
	return nil, nil
}
