package sealer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/memstore"
	"github.com/authledger/authledger/eventstore/merkle"
	"github.com/authledger/authledger/eventstore/sealer"
)

// disorder is how far the clocks of the nodes stand apart at most.
const disorder = 5 * time.Second

// cluster is a log with several nodes that seal it.
type cluster struct {
	t       *testing.T
	id      string // the ledger's
	clock   *clock
	keys    *signingKeys
	log     *memstore.Store
	side    *faultySide
	streams int
}

func newCluster(t *testing.T) *cluster {
	c := &cluster{t: t, id: "one", clock: newClock(), keys: &signingKeys{}, side: &faultySide{Side: memstore.NewSide()}}
	c.log = memstore.New(c.clock.now)
	return c
}

// faultySide loses answers when it is told to.
type faultySide struct {
	eventstore.Side

	mu    sync.Mutex
	lose  int // appends whose answer is lost
	keeps bool
	down  error
}

func (f *faultySide) AppendSide(ctx context.Context, stream string, next uint64, entries ...[]byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down != nil {
		return f.down
	}
	if f.lose > 0 {
		f.lose--
		if f.keeps {
			if err := f.Side.AppendSide(ctx, stream, next, entries...); err != nil {
				return err
			}
		}
		return fmt.Errorf("append to %s: %w", stream, eventstore.ErrOutcomeUnknown)
	}
	return f.Side.AppendSide(ctx, stream, next, entries...)
}

func (f *faultySide) ReadSide(ctx context.Context, stream string, from uint64) iter.Seq2[[]byte, error] {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down != nil {
		return func(yield func([]byte, error) bool) { yield(nil, f.down) }
	}
	return f.Side.ReadSide(ctx, stream, from)
}

func (f *faultySide) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// entries counts the entries of a stream.
func (c *cluster) entries(stream string) int {
	c.t.Helper()
	n := 0
	for _, err := range c.side.ReadSide(c.t.Context(), stream, 0) {
		if err != nil {
			c.t.Fatal(err)
		}
		n++
	}
	return n
}

func (c *cluster) append(n int) {
	for range n {
		c.appendOne("Happened", `{}`)
	}
}

func (c *cluster) appendOne(kind, data string) { appendTo(c.t, c.log, &c.streams, kind, data) }

func appendTo(t *testing.T, log eventstore.Appender, streams *int, kind, data string) {
	t.Helper()
	*streams++
	e := eventstore.Proposed{ID: uuid.New(), Type: kind, Schema: 1, Data: []byte(data), Metadata: []byte(`{}`)}
	if _, err := log.Append(t.Context(), fmt.Sprintf("user-%d", *streams), eventstore.NoStream(), []eventstore.Proposed{e}); err != nil {
		t.Fatal(err)
	}
}

// node is one of them. Its clock stands apart from the cluster's by skew.
type node struct {
	*sealer.Sealer
	c    *cluster
	log  *memstore.Node
	dir  string
	skew time.Duration
}

func (c *cluster) now(skew time.Duration) func() time.Time {
	return func() time.Time { return c.clock.now().Add(skew) }
}

func (c *cluster) node(skew time.Duration) *node {
	c.t.Helper()
	n := &node{c: c, dir: c.t.TempDir(), skew: skew, log: c.log.Node(c.now(skew), disorder)}
	n.open()
	c.t.Cleanup(func() {
		if err := n.Close(); err != nil {
			c.t.Error(err)
		}
	})
	return n
}

func (n *node) options() sealer.Options {
	return sealer.Options{
		Dir: n.dir, Side: n.c.side, LedgerID: n.c.id, Log: n.log, Keys: n.c.keys, Clock: n.c.now(n.skew), Rotation: rotates, Step: 100,
	}
}

func (n *node) open() {
	n.c.t.Helper()
	s, err := sealer.Open(n.c.t.Context(), n.options())
	if err != nil {
		n.c.t.Fatal(err)
	}
	n.Sealer = s
}

// restart closes the node, lets something happen, and opens it.
func (n *node) restart(meanwhile func()) {
	n.c.t.Helper()
	if err := n.Close(); err != nil {
		n.c.t.Fatal(err)
	}
	meanwhile()
	n.open()
}

func (n *node) wantRefusal(want sealer.StartReason, meanwhile func()) {
	n.c.t.Helper()
	if err := n.Close(); err != nil {
		n.c.t.Fatal(err)
	}
	meanwhile()
	s, err := sealer.Open(n.c.t.Context(), n.options())
	if err == nil {
		_ = s.Close()
	}
	var start *sealer.StartError
	if !errors.As(err, &start) || start.Reason != want {
		n.c.t.Fatalf("open: %v, want %s", err, want)
	}
}

func (n *node) hand() { n.handSome(1 << 30) }

func (n *node) handSome(most int) {
	n.c.t.Helper()
	from, err := n.Seen(n.c.t.Context())
	if err != nil {
		n.c.t.Fatal(err)
	}
	var records []eventstore.Record
	for r, err := range n.log.ReadAll(n.c.t.Context(), from+1) {
		if err != nil {
			n.c.t.Fatal(err)
		}
		if len(records) == most {
			break
		}
		records = append(records, r)
	}
	if err := n.See(n.c.t.Context(), records); err != nil {
		n.c.t.Fatal(err)
	}
}

func (n *node) tick() {
	n.c.t.Helper()
	if err := n.Tick(n.c.t.Context()); err != nil {
		n.c.t.Fatal(err)
	}
}

// round lets a second pass in which every node sees and seals.
func (c *cluster) round(nodes ...*node) {
	c.t.Helper()
	c.clock.add(time.Second)
	for _, n := range nodes {
		n.hand()
		n.tick()
	}
}

// settle lets so much time pass that every node has adopted everything.
func (c *cluster) settle(nodes ...*node) {
	c.t.Helper()
	for range 3 {
		c.round(nodes...)
	}
}

func (n *node) latest() merkle.Published {
	n.c.t.Helper()
	p, err := n.Latest(n.c.t.Context())
	if err != nil {
		n.c.t.Fatal(err)
	}
	return p
}

func (n *node) wantSize(want uint64) {
	n.c.t.Helper()
	if s := n.Status(n.c.t.Context()); s.Stopped != nil || s.Failing != nil || s.Size != want {
		n.c.t.Fatalf("sealed %d, stopped %v, failing %v; want %d", s.Size, s.Stopped, s.Failing, want)
	}
}

func (n *node) wantStop(want sealer.StopReason) {
	n.c.t.Helper()
	n.tick()
	s := n.Status(n.c.t.Context())
	if s.Stopped == nil || s.Stopped.Reason != want {
		n.c.t.Fatalf("stopped %v, failing %v; want %s", s.Stopped, s.Failing, want)
	}
}

// same checks that the nodes serve one history and that each proves all of it
// from its own tree. It returns the number of checkpoints.
func (c *cluster) same(nodes ...*node) int {
	c.t.Helper()
	var want []merkle.Published
	for i, n := range nodes {
		var got []merkle.Published
		for p, err := range n.From(c.t.Context(), 1) {
			if err != nil {
				c.t.Fatal(err)
			}
			got = append(got, p)
		}
		if i == 0 {
			want = got
		}
		if len(got) != len(want) {
			c.t.Fatalf("node %d serves %d checkpoints, node 0 %d", i, len(got), len(want))
		}
		for j := range got {
			if !bytes.Equal(got[j].Signed, want[j].Signed) || len(got[j].Stamps) != len(want[j].Stamps) {
				c.t.Fatalf("node %d serves another checkpoint %d", i, j+1)
			}
		}
		n.verify()
	}
	return len(want)
}

// verify checks every checkpoint against the records, and a proof for each.
func (n *node) verify() {
	t := n.c.t
	t.Helper()
	keys, err := n.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	roots, grow, leaves := map[uint64]eventstore.Hash{0: merkle.EmptyRoot()}, merkle.NewGrowing(), []eventstore.Hash{}
	for r, err := range n.log.ReadAll(t.Context(), 1) {
		if err == nil {
			err = grow.Append(r.Leaf())
		}
		if err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, r.Leaf())
		if roots[grow.Size()], err = grow.Root(); err != nil {
			t.Fatal(err)
		}
	}
	for p, err := range n.From(t.Context(), 1) {
		if err != nil {
			t.Fatal(err)
		}
		c, err := keys.Open(p.Signed)
		if err != nil || roots[c.Size] != c.Root {
			t.Fatalf("checkpoint %d of size %d: %v, or another root", p.Revision, c.Size, err)
		}
		if c.Size == 0 {
			continue
		}
		reader := merkle.Tiles(func(level int, i int64) ([]byte, error) { return n.Tile(t.Context(), level, i) }).Reader()
		path, err := merkle.ProveInclusion(reader, c.Size/2, c.Size)
		if err == nil {
			err = merkle.CheckInclusion(c, c.Size/2, leaves[c.Size/2], path)
		}
		if err != nil {
			t.Fatalf("proof under checkpoint %d: %v", p.Revision, err)
		}
	}
}

func (n *node) proofFile() string { return filepath.Join(n.dir, sealer.FileName) }
