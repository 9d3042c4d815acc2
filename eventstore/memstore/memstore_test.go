package memstore_test

import (
	"sync"
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

var promises = storetest.Promises{SequenceOnAppend: true, PositionEqualsSequence: true, UniqueIDs: true}

func TestContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, factory, promises)
}

func TestImporter(t *testing.T) {
	t.Parallel()
	storetest.RunImporter(t, factory, promises)
}

// TestImporterOfANode: a view of a shared log takes records over, too.
func TestImporterOfANode(t *testing.T) {
	t.Parallel()
	storetest.RunImporter(t, func(_ testing.TB, _ string, clock func() time.Time) eventstore.Store {
		return memstore.New(clock).Node(clock, 5*time.Second)
	}, storetest.Promises{UniqueIDs: true})
}

// A node keeps the contract with fewer promises.
func TestNodeContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(_ testing.TB, _ string, clock func() time.Time) eventstore.Store {
		return memstore.New(clock).Node(clock, 5*time.Second)
	}, storetest.Promises{PositionEqualsSequence: true})
}

func BenchmarkStore(b *testing.B) { storetest.Benchmark(b, factory) }

func TestSideContract(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	sides := map[string]*memstore.Side{}
	storetest.RunSide(t, func(_ testing.TB, name string) eventstore.Side {
		mu.Lock()
		defer mu.Unlock()
		if sides[name] == nil {
			sides[name] = memstore.NewSide()
		}
		return sides[name]
	})
}
