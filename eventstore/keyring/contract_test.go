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

func TestKeysMoveBetweenHomes(t *testing.T) {
	t.Parallel()
	inSide := keyringtest.OnSide(newSide)
	for name, way := range map[string][2]keyringtest.Factory{
		"file to side": {inFile, inSide}, "side to file": {inSide, inFile}, "file to file": {inFile, inFile}, "side to side": {inSide, inSide},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			keyringtest.RunMove(t, way[0], way[1])
		})
	}
}
