package replay

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"

	"github.com/authledger/authledger/eventstore"
)

// streamKey stands for a stream's name: the first half of its SHA-256, because
// a verification remembers every stream.
type streamKey [16]byte

// hashed is a record after the work that needs no order.
type hashed struct {
	eventstore.Record // without data and metadata, unless kept

	key       streamKey
	leaf      eventstore.Hash
	prev      eventstore.Hash
	chained   bool // the metadata begins with prev
	running   eventstore.Hash
	malformed string
}

// chunkRecords is how many sequences a worker takes at once.
const chunkRecords = 2000

// chunk is what lies in a range of sequences.
type chunk struct {
	after, upto eventstore.Sequence
	records     []hashed
	damaged     error // why the rest of the range cannot be read
	err         error // why the log cannot be read
}

// hashing reads and hashes ranges of a log by several goroutines, which end
// when the context does or everything was read.
type hashing struct {
	source Records
	keep   func(eventstore.Record) bool // whose bytes are wanted later
	lanes  []chan chunk
	stop   context.CancelFunc
	done   sync.WaitGroup
}

func startHashing(ctx context.Context, source Records, workers int, from, upto eventstore.Sequence, keep func(eventstore.Record) bool) *hashing {
	h := &hashing{source: source, keep: keep, lanes: make([]chan chunk, workers)}
	ctx, h.stop = context.WithCancel(ctx)
	for i := range h.lanes {
		lane := make(chan chunk, 2)
		h.lanes[i] = lane
		h.done.Go(func() {
			defer close(lane)
			step := eventstore.Sequence(workers * chunkRecords)
			for after := from + eventstore.Sequence(i*chunkRecords); after < upto; after += step {
				select {
				case lane <- h.read(ctx, after, min(after+chunkRecords, upto)):
				case <-ctx.Done():
					return
				}
			}
		})
	}
	return h
}

// wait ends the goroutines.
func (h *hashing) wait() {
	h.stop()
	h.done.Wait()
}

// chunk returns the next range in order; false at the end.
func (h *hashing) chunk(n int) (chunk, bool) {
	c, ok := <-h.lanes[n%len(h.lanes)]
	return c, ok
}

func (h *hashing) read(ctx context.Context, after, upto eventstore.Sequence) chunk {
	c := chunk{after: after, upto: upto, records: make([]hashed, 0, upto-after)}
	for s, err := range h.source.Stored(ctx, after, upto) {
		switch {
		case errors.Is(err, eventstore.ErrDamaged):
			c.damaged = err
			return c
		case err != nil:
			c.err = fmt.Errorf("read the log: %w", err)
			return c
		}
		c.records = append(c.records, h.hash(s))
	}
	return c
}

func (h *hashing) hash(s eventstore.Stored) hashed {
	r := hashed{Record: s.Record, running: s.Running, malformed: s.Malformed}
	if s.Malformed != "" {
		return r
	}
	name := sha256.Sum256([]byte(s.Stream))
	copy(r.key[:], name[:])
	r.leaf = s.Leaf()
	r.prev, r.chained = prevOf(s.Metadata)
	if !h.keep(s.Record) {
		r.Data, r.Metadata = nil, nil
	}
	return r
}
