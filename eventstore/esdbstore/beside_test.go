package esdbstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/esdbstore"
	"github.com/authledger/authledger/eventstore/keyring"
	"github.com/authledger/authledger/eventstore/keyring/keyringtest"
	"github.com/authledger/authledger/eventstore/merkle"
	"github.com/authledger/authledger/eventstore/sealer"
	"github.com/authledger/authledger/eventstore/sealer/sealertest"
	"github.com/authledger/authledger/eventstore/storetest"
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

// sealing is one of several nodes that seal one log.
type sealing struct {
	t     *testing.T
	url   string
	name  string // the prefix
	dir   string
	kek   string
	clock func() time.Time
	log   *esdbstore.Store
	keys  *keyring.Keyring
	*sealer.Sealer
}

func (n *sealing) open() {
	n.t.Helper()
	n.log = open(n.t, n.url, n.name, n.dir, n.clock)
	kek, err := keyring.OpenKEKFile(n.kek)
	if err != nil {
		n.t.Fatal(err)
	}
	if n.keys, err = keyring.Open(n.t.Context(), keyring.Options{Side: n.log, KEK: kek, Clock: n.clock}); err != nil {
		n.t.Fatal(err)
	}
	n.Sealer, err = sealer.Open(n.t.Context(), sealer.Options{
		Dir: n.dir, Side: n.log, LedgerID: n.log.ID(), Log: n.log.AsStored(), Keys: n.keys, Clock: n.clock, Step: 100,
	})
	if err != nil {
		n.t.Fatal(err)
	}
}

func (n *sealing) close() {
	n.t.Helper()
	if err := errors.Join(n.Sealer.Close(), n.keys.Close(), n.log.Close()); err != nil {
		n.t.Error(err)
	}
}

// seal sees what is new and takes one turn.
func (n *sealing) seal() error {
	from, err := n.Seen(n.t.Context())
	if err != nil {
		return err
	}
	var records []eventstore.Record
	for r, err := range n.log.ReadAll(n.t.Context(), from+1) {
		if err != nil {
			return err
		}
		records = append(records, r)
	}
	return errors.Join(n.See(n.t.Context(), records), n.Tick(n.t.Context()))
}

// TestSealersOnSeveralNodes has three nodes append and seal at once, one of them
// start anew with its directory and another without: they have one history, whose
// every checkpoint is of the records that stand in the database.
func TestSealersOnSeveralNodes(t *testing.T) {
	t.Parallel()
	url, prefix, kek := server(t), newPrefix(), filepath.Join(t.TempDir(), "kek.json")
	if _, err := keyring.CreateKEKFile(kek); err != nil {
		t.Fatal(err)
	}
	var second atomic.Int64
	clock := func() time.Time { return time.Unix(1_800_000_000+second.Load(), 0).UTC() }
	var nodes []*sealing
	for range 3 {
		n := &sealing{t: t, url: url, name: prefix, dir: t.TempDir(), kek: kek, clock: clock}
		n.open()
		defer func() { n.close() }()
		nodes = append(nodes, n)
	}
	round := func(number int) {
		second.Add(1)
		var all sync.WaitGroup
		for i, n := range nodes {
			all.Go(func() {
				stream := fmt.Sprintf("user-%d-%d", number, i)
				if _, err := n.log.Append(t.Context(), stream, eventstore.NoStream(), storetest.Events(stream, 3)); err != nil {
					t.Errorf("append to %s: %v", stream, err)
				}
				if err := n.seal(); err != nil {
					t.Errorf("node %d: %v", i, err)
				}
			})
		}
		all.Wait()
	}
	for number := range 30 {
		switch number {
		case 10:
			nodes[1].close()
			nodes[1].open()
		case 20:
			nodes[2].close()
			nodes[2].dir = t.TempDir()
			nodes[2].open()
		}
		round(number)
	}
	for range 4 { // nobody appends: all of it is sealed, and adopted by all
		second.Add(1)
		for _, n := range nodes {
			if err := n.seal(); err != nil {
				t.Fatal(err)
			}
		}
	}
	wantOneHistory(t, nodes, 30*3*3)
}

// wantOneHistory checks that every node serves the same checkpoints, up to the
// size, and that each has the root of the records of the database.
func wantOneHistory(t *testing.T, nodes []*sealing, size uint64) {
	t.Helper()
	grow, roots := merkle.NewGrowing(), map[uint64]eventstore.Hash{0: merkle.EmptyRoot()}
	for r, err := range nodes[0].log.AsStored().ReadAll(t.Context(), 1) {
		if err == nil {
			err = grow.Append(r.Leaf())
		}
		if err != nil {
			t.Fatal(err)
		}
		if roots[grow.Size()], err = grow.Root(); err != nil {
			t.Fatal(err)
		}
	}
	var first [][]byte
	for i, n := range nodes {
		if s := n.Status(t.Context()); s.Stopped != nil || s.Failing != nil || s.Size != size {
			t.Errorf("node %d sealed %d, stopped %v, failing %v; want %d", i, s.Size, s.Stopped, s.Failing, size)
		}
		keys, err := n.Keys(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var signed [][]byte
		for p, err := range n.From(t.Context(), 1) {
			if err != nil {
				t.Fatal(err)
			}
			c, err := keys.Open(p.Signed)
			if err != nil || roots[c.Size] != c.Root {
				t.Errorf("node %d: checkpoint %d of size %d: %v, or another root", i, p.Revision, c.Size, err)
			}
			signed = append(signed, p.Signed)
		}
		if i == 0 {
			first = signed
		}
		if len(signed) < 30 || !slices.EqualFunc(signed, first, bytes.Equal) {
			t.Errorf("node %d serves %d checkpoints, node 0 %d, or others", i, len(signed), len(first))
		}
	}
}
