package replay

import (
	"context"
	"io"
	"iter"
	"runtime"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
)

// endless is a log of one user who signs in with a wrong password once an
// hour. Records are made when they are read, so whatever memory grows is the
// reader's.
type endless struct {
	eventstore.Reader
	userID  string
	records int
	at      func(n int) // called before record n
}

func (e endless) ReadStream(ctx context.Context, stream string, _ eventstore.Revision) iter.Seq2[eventstore.Record, error] {
	return func(yield func(eventstore.Record, error) bool) {
		if stream != domain.UserStream(e.userID) {
			return
		}
		last := eventstore.NoStream()
		c, began := codec.New(nil), time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
		for n := range e.records {
			e.at(n)
			event := domain.Event(domain.PrimaryFactorRejected{TxnID: "txn_" + e.userID[4:] + "_1", FailureCount: 1})
			if n == 0 {
				event = domain.UserRegistered{UserID: e.userID, ClientID: codec.ClientIDOf("acme"), Role: domain.RoleOwner}
			}
			command, at := uuid.NewSHA1(uuid.Nil, []byte{byte(n), byte(n >> 8), byte(n >> 16)}), began.Add(time.Duration(n)*time.Hour)
			p, err := c.Encode(ctx, stream, eventstore.EventIDOf(command, 0), event, codec.Metadata{CommandID: command, Count: 1, OccurredAt: at})
			if err != nil {
				yield(eventstore.Record{}, err)
				return
			}
			rs, leaves := eventstore.Chain(stream, last, at, []eventstore.Proposed{p})
			rs[0].Sequence = eventstore.Sequence(n + 1)
			last = eventstore.At(rs[0].Revision, leaves[0])
			if !yield(rs[0], nil) {
				return
			}
		}
	}
}

// TestMemoryDoesNotGrowWithTheLog is not parallel: it looks at the heap.
func TestMemoryDoesNotGrowWithTheLog(t *testing.T) {
	const early, late, allowed = 1_000, 8_000, 256 << 10
	policy, err := domain.LoadPolicy()
	if err != nil {
		t.Fatal(err)
	}
	userID := codec.UserIDOf(reference)
	for name, read := range map[string]func(eventstore.Reader) error{
		"state": func(r eventstore.Reader) error {
			_, err := StateAt(t.Context(), r, codec.New(nil), policy, userID, Newest(noon))
			return err
		},
		"timeline": func(r eventstore.Reader) error {
			_, err := WriteTimeline(io.Discard, JSON, Timeline(t.Context(), r, codec.New(nil), userID, Filter{}))
			return err
		},
	} {
		heap := map[int]uint64{}
		log := endless{userID: userID, records: late + 1, at: func(n int) {
			if n == early || n == late {
				runtime.GC()
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				heap[n] = m.HeapAlloc
			}
		}}
		if err := read(log); err != nil {
			t.Fatal(err)
		}
		if heap[late] > heap[early]+allowed {
			t.Errorf("%s: %d bytes of heap after %d records, %d after %d", name, heap[early], early, heap[late], late)
		}
	}
}

// BenchmarkStateAt reads the story of one user from memory.
func BenchmarkStateAt(b *testing.B) {
	policy, err := domain.LoadPolicy()
	if err != nil {
		b.Fatal(err)
	}
	userID := codec.UserIDOf(reference)
	var rs []eventstore.Record
	for r, err := range (endless{userID: userID, records: 1000, at: func(int) {}}).ReadStream(b.Context(), domain.UserStream(userID), 0) {
		if err != nil {
			b.Fatal(err)
		}
		rs = append(rs, r)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := StateAt(b.Context(), forged{records: rs}, codec.New(nil), policy, userID, Newest(noon)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*len(rs))/b.Elapsed().Seconds(), "events/s")
}
