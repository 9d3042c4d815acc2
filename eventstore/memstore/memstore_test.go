package memstore_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/memstore"
	"github.com/authledger/authledger/eventstore/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func factory(_ testing.TB, _ string, clock func() time.Time) eventstore.Store {
	return memstore.New(clock)
}

func TestContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, factory, storetest.Promises{SequenceOnAppend: true, PositionEqualsSequence: true, UniqueIDs: true})
}

// A node keeps the contract with fewer promises.
func TestNodeContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(_ testing.TB, _ string, clock func() time.Time) eventstore.Store {
		return memstore.New(clock).Node(clock, 5*time.Second)
	}, storetest.Promises{PositionEqualsSequence: true})
}

func BenchmarkStore(b *testing.B) { storetest.Benchmark(b, factory) }
