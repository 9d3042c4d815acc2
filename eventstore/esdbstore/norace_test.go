//go:build !race

package esdbstore_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/storetest"
)

// What is here takes long and has a twin that runs under the race detector.

// TestContractOverALostIndex throws the index away each time a log is opened.
func TestContractOverALostIndex(t *testing.T) {
	t.Parallel()
	inner := factory(server(t))
	storetest.Run(t, func(t testing.TB, dir string, clock func() time.Time) eventstore.Store {
		t.Helper()
		if err := os.RemoveAll(filepath.Join(dir, "index.db")); err != nil {
			t.Fatal(err)
		}
		return inner(t, dir, clock)
	}, promises)
}
