package memstore_test

import (
	"testing"
	"time"

	"github.com/authledger/authledger/eventstore/memstore"
	"github.com/authledger/authledger/eventstore/storetest"
)

func TestSharer(t *testing.T) {
	t.Parallel()
	factory := func(t testing.TB, nodes int) []storetest.SharedStore {
		store := memstore.New(storetest.NewClock().Now)
		t.Cleanup(func() {
			if err := store.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
		list := make([]storetest.SharedStore, nodes)
		for i := range list {
			list[i] = store.Node(storetest.NewClock().Now, 0)
		}
		return list
	}
	storetest.RunSharer(t, factory, storetest.SharerPromises{Lease: 50 * time.Millisecond})
}
