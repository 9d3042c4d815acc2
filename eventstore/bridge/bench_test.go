package bridge_test

import (
	"context"
	"fmt"
	"iter"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/bridge"
)

// endless follows a log that never runs dry and costs nothing to read, so that
// the benchmark shows the bridge and the router alone.
type endless struct{}

func (endless) Follow(ctx context.Context, after eventstore.Sequence, most int) iter.Seq2[[]eventstore.Record, error] {
	return func(yield func([]eventstore.Record, error) bool) {
		batch, id := make([]eventstore.Record, most), uuid.New()
		for ctx.Err() == nil {
			for i := range batch {
				after++
				batch[i] = eventstore.Record{ID: id, Sequence: after}
			}
			if !yield(batch, nil) {
				return
			}
		}
	}
}

func BenchmarkRouter(b *testing.B) {
	for _, size := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("%d records in a message", size), func(b *testing.B) {
			r := newRouter(b, bridge.RouterConfig{}, quiet())
			seen, done := 0, make(chan struct{})
			sub := bridge.NewSubscriber(endless{}, bridge.Config{From: fromStart, BatchSize: size}, quiet())
			r.AddConsumerHandler("view", bridge.Topic, sub, func(m *message.Message) error {
				records, err := bridge.Records(m)
				if seen < b.N && seen+len(records) >= b.N {
					close(done)
				}
				seen += len(records)
				return err
			})
			b.ReportAllocs()
			b.ResetTimer()
			stop := start(b, r)
			<-done
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
			stop()
		})
	}
}
