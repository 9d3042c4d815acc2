package esdbstore_test

import (
	"context"
	"iter"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/esdbstore"
	"github.com/authledger/authledger/eventstore/keyring"
	"github.com/authledger/authledger/eventstore/keyring/keyringtest"
	"github.com/authledger/authledger/eventstore/sealer"
	"github.com/authledger/authledger/eventstore/sealer/sealertest"
)

// What the product keeps beside the ledger runs its own suites over this store:
// the keys and the history of checkpoints. (API clients: see api/access.)

// spread is a Side whose calls go by turns through connections of their own, as
// if every call came from another node.
type spread struct {
	sides []*esdbstore.Sides
	turn  atomic.Uint64
}

func (s *spread) next() *esdbstore.Sides { return s.sides[s.turn.Add(1)%uint64(len(s.sides))] }

func (s *spread) AppendSide(ctx context.Context, stream string, next uint64, entries ...[]byte) error {
	return s.next().AppendSide(ctx, stream, next, entries...)
}

func (s *spread) ReadSide(ctx context.Context, stream string, from uint64) iter.Seq2[[]byte, error] {
	return s.next().ReadSide(ctx, stream, from)
}

func (s *spread) DeleteSide(ctx context.Context, stream string) error {
	return s.next().DeleteSide(ctx, stream)
}

func (s *spread) ListSide(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return s.next().ListSide(ctx, prefix)
}

func (s *spread) WatchSide(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return s.next().WatchSide(ctx, prefix)
}

// sidesOf makes empty places beside ledgers of one server, each used over two
// connections by turns.
func sidesOf(url string) func(t testing.TB) eventstore.Side {
	return func(t testing.TB) eventstore.Side {
		t.Helper()
		prefix, s := newPrefix(), &spread{}
		for range 2 {
			one, err := esdbstore.OpenSides(esdbstore.Options{URL: url, Prefix: prefix})
			if err != nil {
				t.Fatal(err)
			}
			s.sides = append(s.sides, one)
			t.Cleanup(func() {
				if err := one.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			})
		}
		return s
	}
}

func TestKeyringContract(t *testing.T) {
	t.Parallel()
	keyringtest.Run(t, keyringtest.OnSide(sidesOf(server(t))))
}

func TestKeyringOnSeveralNodes(t *testing.T) {
	t.Parallel()
	keyringtest.RunShared(t, sidesOf(server(t)))
}

// TestKeysMoveFromAFileAndBack moves keys between keys.db and the database.
func TestKeysMoveFromAFileAndBack(t *testing.T) {
	t.Parallel()
	inFile := func(t testing.TB) keyringtest.Home {
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
	inSide := keyringtest.OnSide(sidesOf(server(t)))
	t.Run("file to database", func(t *testing.T) {
		t.Parallel()
		keyringtest.RunMove(t, inFile, inSide)
	})
	t.Run("database to file", func(t *testing.T) {
		t.Parallel()
		keyringtest.RunMove(t, inSide, inFile)
	})
}

func TestCheckpointsContract(t *testing.T) {
	t.Parallel()
	newSide := sidesOf(server(t))
	sealertest.Run(t, func(t *testing.T) sealer.Store {
		s, err := sealer.OpenStore(t.Context(), sealer.StoreOptions{Dir: t.TempDir(), Side: newSide(t)})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}
