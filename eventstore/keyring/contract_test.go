package keyring_test

import (
	"testing"
	"time"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/keyring"
	"github.com/authledger/authledger/eventstore/keyring/keyringtest"
	"github.com/authledger/authledger/eventstore/memstore"
)

// inFile makes homes in keys.db of a directory.
func inFile(t testing.TB) keyringtest.Home {
	dir := t.TempDir()
	return func(t testing.TB, clock func() time.Time, kek keyring.KeyEncryption) *keyring.Keyring {
		t.Helper()
		k, err := keyring.Open(t.Context(), keyring.Options{Dir: dir, Clock: clock, KEK: kek})
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
}

func newSide(testing.TB) eventstore.Side { return memstore.NewSide() }

func TestContractOfTheFile(t *testing.T) {
	t.Parallel()
	keyringtest.Run(t, inFile)
}

func TestContractOfSideStreams(t *testing.T) {
	t.Parallel()
	keyringtest.Run(t, keyringtest.OnSide(newSide))
}

func TestNodesOnSideStreams(t *testing.T) {
	t.Parallel()
	keyringtest.RunShared(t, newSide)
}
