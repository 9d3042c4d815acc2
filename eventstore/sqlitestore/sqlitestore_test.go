package sqlitestore_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/sqlitestore"
	"github.com/authledger/authledger/eventstore/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var promises = storetest.Promises{Durable: true, SequenceOnAppend: true, PositionEqualsSequence: true, UniqueIDs: true}

func factory(t testing.TB, dir string, clock func() time.Time) eventstore.Store {
	t.Helper()
	store, err := sqlitestore.Open(t.Context(), sqlitestore.Options{Dir: dir, Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func TestContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, factory, promises)
}

func BenchmarkStore(b *testing.B) { storetest.Benchmark(b, factory) }
