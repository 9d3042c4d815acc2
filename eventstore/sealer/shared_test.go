package sealer_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/bridge"
	"github.com/authledger/authledger/eventstore/memstore"
	"github.com/authledger/authledger/eventstore/merkle"
	"github.com/authledger/authledger/eventstore/sealer"
)

// The side streams, as they are written in every deployment.
const (
	checkpoints  = "checkpoints"
	cosignatures = "checkpoints-cosignatures"
	stamps       = "checkpoints-stamps"
)

func TestNodesHaveOneHistory(t *testing.T) {
	c := newCluster(t)
	a, b, d := c.node(0), c.node(0), c.node(0)
	nodes := []*node{a, b, d}
	random := rand.New(rand.NewPCG(1, 2))
	for range 30 {
		c.append(random.IntN(40))
		random.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
		c.round(nodes[:1+random.IntN(3)]...)
	}
	c.settle(a, b, d)
	head, _, err := c.log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		n.wantSize(uint64(head))
	}
	c.same(a, b, d)
	r, err := sealer.OpenReader(b.dir) // as the commands that verify do
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if p, err := r.Latest(t.Context()); err != nil || !bytes.Equal(p.Signed, b.latest().Signed) {
		t.Errorf("a reader of the directory finds checkpoint %d, %v", p.Revision, err)
	}
	if k, err := c.keys.SigningKeys(t.Context()); err != nil || len(k) != 1 {
		t.Errorf("%d signing keys were made, %v; want one", len(k), err)
	}
}

// While all see the same, a second adds one checkpoint, and so does a minute of
// silence: not one for each node.
func TestOnlyOneNodeSignsAtATime(t *testing.T) {
	c := newCluster(t)
	a, b, d := c.node(0), c.node(0), c.node(0)
	c.settle(a, b, d)
	before := c.entries(checkpoints)
	for range 10 {
		c.append(3)
		c.round(b, a, d)
	}
	c.round(b, a, d)
	if got := c.entries(checkpoints) - before; got > 10 {
		t.Errorf("ten seconds of news were signed by %d checkpoints", got)
	}
	before = c.entries(checkpoints)
	for range 4 * 60 {
		c.round(d, b, a)
	}
	if got := c.entries(checkpoints) - before; got < 3 || got > 4 {
		t.Errorf("four minutes of silence were signed by %d checkpoints", got)
	}
	c.same(a, b, d)
}

func TestNodeThatPublishedLastGoesFirst(t *testing.T) {
	c := newCluster(t)
	a, b := c.node(0), c.node(0)
	c.append(1)
	c.round(a, b)
	c.append(1)
	c.round(b) // lets a go first
	b.wantSize(1)
	c.round(b) // a did not
	b.wantSize(2)
	c.append(1)
	c.round(a)
	a.wantSize(2) // now it is the other way round
	c.settle(a, b)
	c.same(a, b)
}

func TestNodesComeBack(t *testing.T) {
	c := newCluster(t)
	a, b := c.node(0), c.node(0)
	for range 5 {
		c.append(70)
		c.round(a, b)
	}
	b.restart(func() { // with its copy, after the others went on
		for range 9 {
			c.append(70)
			c.round(a)
		}
	})
	c.settle(a, b)
	c.same(a, b)
	b.restart(func() { // with nothing
		remove(t, b.proofFile())
		c.append(3)
	})
	c.settle(a, b)
	c.same(a, b)
	d := c.node(0) // a new one, which sees the log in small pieces
	for size := uint64(0); size < 983; size = d.Status(t.Context()).Size {
		d.handSome(50)
		d.tick()
		if s := d.Status(t.Context()); s.Stopped != nil {
			t.Fatal(s.Stopped)
		}
	}
	c.settle(a, b, d)
	c.same(a, b, d)
}

// A node reads a long history in pages, and keeps it in few transactions.
func TestNewNodeAdoptsALongHistory(t *testing.T) {
	c := newCluster(t)
	a := c.node(0)
	for range 600 {
		c.append(1)
		c.round(a)
	}
	b := c.node(0)
	c.settle(a, b)
	if got := c.same(a, b); got < 600 {
		t.Errorf("%d checkpoints, so this proves little", got)
	}
}

func TestLostAnswerOfAPublication(t *testing.T) {
	for _, keeps := range []bool{false, true} {
		t.Run(fmt.Sprintf("kept %v", keeps), func(t *testing.T) {
			c := newCluster(t)
			a, b := c.node(0), c.node(0)
			c.append(5)
			c.round(a, b)
			before := c.entries(checkpoints)
			c.append(5)
			c.clock.add(time.Second)
			a.hand()
			c.side.set(func() { c.side.lose, c.side.keeps = 1, keeps })
			if err := a.Tick(t.Context()); err == nil {
				t.Fatal("a lost answer is no error")
			}
			c.settle(a, b)
			a.wantSize(10)
			if got := c.entries(checkpoints) - before; got != 1 {
				t.Errorf("five records were signed by %d checkpoints, want one", got)
			}
			c.same(a, b)
		})
	}
}

// Published for all, but not in this node's copy, whose disk failed.
func TestCopyThatCouldNotBeKept(t *testing.T) {
	c := newCluster(t)
	a, b := c.node(0), c.node(0)
	c.append(5)
	c.clock.add(time.Second)
	a.hand()
	a.FailCommit(func() error { return errors.New("the disk is full") })
	if err := a.Tick(t.Context()); !errors.Is(err, eventstore.ErrUnavailable) {
		t.Fatalf("a full disk gives %v", err)
	}
	if p := a.latest(); p.Revision != 1 {
		t.Errorf("the node serves checkpoint %d, of which it has no tiles", p.Revision)
	}
	a.FailCommit(nil)
	c.settle(a, b)
	a.wantSize(5)
	c.same(a, b)
}

func TestStoreThatIsAwayIsWaitedFor(t *testing.T) {
	c := newCluster(t)
	a, b := c.node(0), c.node(0)
	c.append(5)
	a.hand()
	c.side.set(func() { c.side.down = fmt.Errorf("cut: %w", eventstore.ErrUnavailable) })
	c.clock.add(time.Minute)
	if err := a.Tick(t.Context()); !errors.Is(err, eventstore.ErrUnavailable) {
		t.Fatalf("a cut network gives %v", err)
	}
	if s := a.Status(t.Context()); s.Failing == nil || s.Stopped != nil {
		t.Errorf("status is %+v", s)
	}
	c.side.set(func() { c.side.down = nil })
	c.settle(a, b)
	c.same(a, b)
}

// A node whose log says something else signs another root. Nobody follows it, and
// nobody signs any more.
func TestAnotherRootIsAnAlarm(t *testing.T) {
	c := newCluster(t)
	a, b := c.node(0), c.node(0)
	c.append(5)
	c.settle(a, b)
	forger := &cluster{t: t, id: c.id, clock: c.clock, keys: c.keys, side: c.side, log: memstore.New(c.clock.now)}
	for r, err := range c.log.ReadAll(t.Context(), 1) {
		if err != nil {
			t.Fatal(err)
		}
		e := eventstore.Proposed{ID: r.ID, Type: r.Type, Schema: r.Schema, Data: r.Data, Metadata: r.Metadata}
		if _, err := forger.log.Append(t.Context(), r.Stream, eventstore.NoStream(), []eventstore.Proposed{e}); err != nil {
			t.Fatal(err)
		}
	}
	other := forger.node(0) // its records were recorded at other times
	other.hand()
	other.wantStop(sealer.RootDiffers) // it is the one that differs, to itself

	// One that takes the last good checkpoint on trust.
	signed := c.publish(t, entryOf{size: 7, root: eventstore.Hash{1}})
	c.append(2)
	for _, n := range []*node{a, b} {
		c.clock.add(time.Second)
		n.hand()
		n.wantStop(sealer.RootDiffers)
		if p := n.latest(); bytes.Equal(p.Signed, signed) {
			t.Error("the forged checkpoint is served")
		}
		var stop *sealer.StopError
		if err := n.WaitFor(t.Context(), 7); !errors.As(err, &stop) {
			t.Errorf("waiting for a stopped sealer: %v", err)
		}
	}
	before := c.entries(checkpoints)
	c.append(300)
	for range 100 {
		c.round(a, b)
	}
	if got := c.entries(checkpoints); got != before {
		t.Errorf("%d checkpoints were signed after the alarm", got-before)
	}
	a.restart(func() {}) // a restart does not help: what is wrong stands there
	a.hand()
	a.wantStop(sealer.RootDiffers)
}

// entryOf says what to put into the shared history by hand.
type entryOf struct {
	size   uint64
	root   eventstore.Hash
	at     time.Duration // from now
	key    uint32        // 1 when zero
	origin string
	epoch  string // JSON
}

// publish puts a checkpoint where the next one belongs.
func (c *cluster) publish(t *testing.T, e entryOf) []byte {
	t.Helper()
	if e.key == 0 {
		e.key = 1
	}
	if e.origin == "" {
		e.origin = "authledger/one"
	}
	private := c.keys.private(e.key)
	signed, err := merkle.Checkpoint{Origin: e.origin, Size: e.size, Root: e.root}.Sign(c.clock.now().Add(e.at), merkle.Signer{
		Public: private.Public().(ed25519.PublicKey),
		Sign:   func(m []byte) ([]byte, error) { return ed25519.Sign(private, m), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(string(signed))
	if err != nil {
		t.Fatal(err)
	}
	entry := `{"signed":` + string(text)
	if e.epoch != "" {
		entry += `,"epoch":` + e.epoch
	}
	c.put(t, entry+"}")
	return signed
}

func (c *cluster) put(t *testing.T, entry string) {
	t.Helper()
	if err := c.side.AppendSide(t.Context(), checkpoints, uint64(c.entries(checkpoints)), []byte(entry)); err != nil {
		t.Fatal(err)
	}
}

func (n *node) head(t *testing.T) merkle.Checkpoint {
	t.Helper()
	c, err := merkle.Unverified(n.latest().Signed)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestWhatNoNodePublishesIsAnAlarm(t *testing.T) {
	for name, c := range map[string]struct {
		want sealer.StopReason
		put  func(c *cluster, now merkle.Checkpoint)
	}{
		"a smaller size": {sealer.HistoryBack, func(c *cluster, now merkle.Checkpoint) {
			c.publish(c.t, entryOf{size: now.Size - 1, root: now.Root})
		}},
		"an earlier time": {sealer.HistoryBack, func(c *cluster, now merkle.Checkpoint) {
			c.publish(c.t, entryOf{size: now.Size, root: now.Root, at: -time.Minute})
		}},
		"another root of the same size": {sealer.RootDiffers, func(c *cluster, now merkle.Checkpoint) {
			c.publish(c.t, entryOf{size: now.Size, root: eventstore.Hash{9}})
		}},
		"a strange key": {sealer.SignatureBad, func(c *cluster, now merkle.Checkpoint) {
			c.publish(c.t, entryOf{size: now.Size, root: now.Root, key: 9})
		}},
		"a strange key over records to come": {sealer.SignatureBad, func(c *cluster, now merkle.Checkpoint) {
			c.publish(c.t, entryOf{size: now.Size + 1000, root: now.Root, key: 9})
		}},
		"another log": {sealer.SignatureBad, func(c *cluster, now merkle.Checkpoint) {
			c.publish(c.t, entryOf{size: now.Size, root: now.Root, origin: "another/log"})
		}},
		"no JSON":       {sealer.SignatureBad, func(c *cluster, _ merkle.Checkpoint) { c.put(c.t, "checkpoint") }},
		"no checkpoint": {sealer.SignatureBad, func(c *cluster, _ merkle.Checkpoint) { c.put(c.t, `{"signed":"x"}`) }},
		"a key that the log does not announce": {sealer.KeyUnknown, func(c *cluster, now merkle.Checkpoint) {
			c.publish(c.t, entryOf{size: now.Size, root: now.Root, epoch: `{"epoch":2,"fromSize":5,"publicKey":"AAAA"}`})
		}},
		"a good one and then a bad one": {sealer.RootDiffers, func(c *cluster, now merkle.Checkpoint) {
			c.publish(c.t, entryOf{size: now.Size, root: now.Root})
			c.publish(c.t, entryOf{size: now.Size, root: eventstore.Hash{9}})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			cl := newCluster(t)
			a, b := cl.node(0), cl.node(0)
			cl.append(5)
			cl.settle(a, b)
			c.put(cl, a.head(t))
			before := cl.entries(checkpoints)
			for _, n := range []*node{a, b} {
				n.wantStop(c.want)
			}
			cl.append(5)
			cl.round(a, b)
			if got := cl.entries(checkpoints); got != before {
				t.Errorf("%d checkpoints were signed after the alarm", got-before)
			}
			cl.same(a, b)
		})
	}
}

// Somebody takes a checkpoint away from the shared history.
func TestHistoryThatGotShorterIsAnAlarm(t *testing.T) {
	c := newCluster(t)
	a := c.node(0)
	c.append(5)
	c.settle(a)
	old := memstore.NewSide()
	for _, stream := range []string{"checkpoints-log", "checkpoints-first", checkpoints} {
		n := uint64(0)
		for entry, err := range c.side.ReadSide(t.Context(), stream, 0) {
			if err != nil {
				t.Fatal(err)
			}
			if stream == checkpoints && n == 1 {
				break
			}
			if err := old.AppendSide(t.Context(), stream, n, entry); err != nil {
				t.Fatal(err)
			}
			n++
		}
	}
	c.side.set(func() { c.side.Side = old })
	c.append(1)
	c.clock.add(time.Second)
	a.hand()
	a.wantStop(sealer.RevisionTaken)
	a.wantRefusal(sealer.HistoryDiffers, func() {})
}

func TestDamagedTileConcernsOneNode(t *testing.T) {
	c := newCluster(t)
	a, b, d := c.node(0), c.node(0), c.node(0)
	c.append(5)
	c.settle(a, b, d)
	tamper(t, b.proofFile(), `UPDATE tiles SET data = zeroblob(length(data)) WHERE level = 0`)
	c.append(5)
	c.clock.add(time.Second)
	b.hand()
	b.tick()
	c.round(a, d)
	b.wantStop(sealer.TreeChanged)
	c.settle(a, d)
	a.wantSize(10)
	c.same(a, d)
	b.wantRefusal(sealer.ProofSchema, func() {}) // the triggers are gone, too
	remove(t, b.proofFile())
	b.open()
	c.settle(a, b, d)
	c.same(a, b, d)
}

// Also a node that adopts, and never signs, finds that its tree is broken.
func TestDamagedTileIsFoundWhileAdopting(t *testing.T) {
	c := newCluster(t)
	a, b := c.node(0), c.node(0)
	c.append(5)
	c.settle(a, b)
	tamper(t, b.proofFile(), `UPDATE tiles SET data = zeroblob(length(data)) WHERE level = 0`)
	c.append(5)
	c.round(a)
	c.round(a)
	a.wantSize(10)
	b.hand()
	b.wantStop(sealer.TreeChanged)
}

func TestCheckpointIsCheckedWhenItsRecordsArrive(t *testing.T) {
	c := newCluster(t)
	a, b := c.node(0), c.node(0)
	c.settle(a, b)
	c.append(50)
	c.round(a)
	c.round(a)
	a.wantSize(50)
	b.handSome(20)
	b.tick()
	b.wantSize(0)
	if newest, err := b.Newest(t.Context()); err != nil || newest != a.head(t) {
		t.Errorf("the newest is %v, %v; want %v", newest, err, a.head(t))
	}
	b.clockFails(t)
	b.hand()
	b.tick()
	b.wantSize(50)
	c.same(a, b)
}

// clockFails lets the records be on their way for too long.
func (n *node) clockFails(t *testing.T) {
	t.Helper()
	n.c.clock.add(time.Minute)
	if err := n.Tick(t.Context()); !errors.Is(err, eventstore.ErrUnavailable) {
		t.Fatalf("after a minute: %v", err)
	}
	if s := n.Status(t.Context()); s.Failing == nil || s.Stopped != nil {
		t.Fatalf("status is %+v", s)
	}
}

func TestRotationOnSeveralNodes(t *testing.T) {
	c := newCluster(t)
	a, b := c.node(0), c.node(0)
	c.append(5)
	c.settle(a, b)
	if _, err := c.keys.NewSigningKey(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.append(3)
	c.appendOne("KeyRotated", `{"epoch":2}`)
	c.append(4)
	c.settle(a, b)
	d := c.node(0) // begins with a key that cannot sign any more
	c.settle(a, b, d)
	for _, n := range []*node{a, b, d} {
		n.wantSize(13)
		keys, err := n.Keys(t.Context())
		if err != nil || len(keys.Epochs) != 2 || keys.Epochs[1].FromSize != 9 {
			t.Fatalf("keys are %+v, %v", keys, err)
		}
	}
	c.same(a, b, d)
	if k, _ := c.keys.SigningKeys(t.Context()); k[0].Retired.IsZero() || !k[1].Retired.IsZero() {
		t.Errorf("after the handover the keys are %+v", k)
	}
	b.restart(func() {})
	c.append(1)
	c.settle(a, b, d)
	c.same(a, b, d)
}

// A node that was away during a handover comes back with the old key.
func TestRotationWhileANodeIsAway(t *testing.T) {
	c := newCluster(t)
	a, b := c.node(0), c.node(0)
	c.append(5)
	c.settle(a, b)
	b.restart(func() {
		if _, err := c.keys.NewSigningKey(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.appendOne("KeyRotated", `{"epoch":2}`)
		c.settle(a)
	})
	c.append(1)
	c.settle(b, a)
	c.same(a, b)
}

// root is that of the log as it stands.
func (c *cluster) root(t *testing.T) eventstore.Hash {
	t.Helper()
	grow := merkle.NewGrowing()
	for r, err := range c.log.ReadAll(t.Context(), 1) {
		if err == nil {
			err = grow.Append(r.Leaf())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	root, err := grow.Root()
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// A handover is signed by both keys, and a checkpoint ends at it.
func TestHandoverOfAnotherKindIsAnAlarm(t *testing.T) {
	for name, h := range map[string]struct {
		want   sealer.StopReason
		key    uint32
		behind int // records behind the announcement
		silent bool
	}{
		"by the new key alone":                    {sealer.SignatureBad, 2, 0, false},
		"by the old key alone":                    {sealer.SignatureBad, 1, 0, false},
		"not at all":                              {sealer.SignatureBad, 1, 0, true},
		"beyond the announcement":                 {sealer.KeyUnknown, 1, 1, false},
		"beyond the announcement, without a word": {sealer.KeyUnknown, 1, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			a := c.node(0)
			c.append(5)
			c.settle(a)
			second, err := c.keys.NewSigningKey(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			public, err := json.Marshal([]byte(second.Public))
			if err != nil {
				t.Fatal(err)
			}
			c.appendOne("KeyRotated", `{"epoch":2}`)
			c.append(h.behind)
			e := entryOf{size: 6 + uint64(h.behind), root: c.root(t), key: h.key}
			if !h.silent {
				e.epoch = fmt.Sprintf(`{"epoch":2,"fromSize":6,"publicKey":%s}`, public)
			}
			c.publish(t, e)
			a.hand()
			a.wantStop(h.want)
		})
	}
}

// What another node worked off may be older than its signature.
func TestBacklogOfAnotherNodeIsNotBackDated(t *testing.T) {
	c := newCluster(t)
	a, b := c.node(0), c.node(0)
	c.append(350)
	c.clock.add(time.Hour)
	c.settle(a, b)
	a.wantSize(350)
	c.same(a, b)
	c.append(3)
	c.settle(a, b)
	c.same(a, b)
}

func TestWhatOthersSayIsKnownToAllNodes(t *testing.T) {
	c := newCluster(t)
	a, b := c.node(0), c.node(0)
	c.append(5)
	c.settle(a, b)
	revision := a.latest().Revision
	line := cosign(t, a.latest().Signed)
	stamp := merkle.Stamp{Authority: "https://tsa.example", Token: []byte{1, 2}}
	for _, n := range []*node{a, b} { // b says the same: nothing is said twice
		if err := errors.Join(n.AddCosignature(t.Context(), revision, line), n.AddStamp(t.Context(), revision, stamp)); err != nil {
			t.Fatal(err)
		}
	}
	if p, err := b.Stamped(t.Context()); err != nil || p.Revision != revision {
		t.Errorf("stamped is %d, %v", p.Revision, err)
	}
	if n, m := c.entries(cosignatures), c.entries(stamps); n != 1 || m != 1 {
		t.Errorf("%d cosignatures and %d stamps are kept, want one of each", n, m)
	}
	for i := range 20 { // at the same time, and with answers that get lost
		c.side.set(func() { c.side.lose, c.side.keeps = i%3, i%2 == 0 })
		var all sync.WaitGroup
		for j, n := range []*node{a, b} {
			token := []byte{byte(i), byte(j)}
			all.Go(func() {
				if err := n.AddStamp(t.Context(), revision, merkle.Stamp{Authority: "x", Token: token}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
	if m := c.entries(stamps); m != 41 {
		t.Errorf("%d stamps are kept, want 41", m)
	}
	d := c.node(0)
	c.clock.add(time.Minute)
	c.settle(a, b, d)
	c.clock.add(10 * time.Second)
	c.settle(a, b, d)
	c.same(a, b, d)
	if p, err := d.Covering(t.Context(), 5); err != nil || len(p.Stamps) != 41 || !bytes.Contains(p.Signed, []byte(line)) {
		t.Errorf("a new node knows %d stamps, %v", len(p.Stamps), err)
	}
	err := d.AddStamp(t.Context(), 999, stamp)
	if !errors.Is(err, eventstore.ErrNotFound) {
		t.Errorf("a stamp of nothing: %v", err)
	}
}

func cosign(t *testing.T, signed []byte) string {
	t.Helper()
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{77}, ed25519.SeedSize))
	line, err := merkle.Cosign(signed, "witness.example", merkle.Signer{
		Public: private.Public().(ed25519.PublicKey),
		Sign:   func(m []byte) ([]byte, error) { return ed25519.Sign(private, m), nil },
	}, time.Unix(1_700_000_000, 0))
	if err != nil {
		t.Fatal(err)
	}
	return line
}

// What is not understood, or about nothing, does not hold up what is behind it.
func TestNonsenseAmongSayingsIsPassedOver(t *testing.T) {
	c := newCluster(t)
	a := c.node(0)
	for i, entry := range []string{"x", `{"revision":77,"line":"— a b\n"}`, `{"revision":1000000,"authority":"x","token":"AA=="}`} {
		if err := c.side.AppendSide(t.Context(), stamps, uint64(i), []byte(entry)); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.AddStamp(t.Context(), 1, merkle.Stamp{Authority: "x", Token: []byte{1}}); err != nil {
		t.Fatal(err)
	}
	if p, err := a.Stamped(t.Context()); err != nil || p.Revision != 1 || len(p.Stamps) != 1 {
		t.Errorf("stamped is %+v, %v", p.Stamps, err)
	}
}

func TestClocksThatStandApart(t *testing.T) {
	c := newCluster(t)
	a, b := c.node(0), c.node(-disorder)
	nodes := []*node{a, b}
	for i := range 200 {
		appendTo(t, nodes[i%2].log, &c.streams, "Happened", `{}`) // recorded by its node's clock
		appendTo(t, nodes[(i+1)%2].log, &c.streams, "Happened", `{}`)
		c.round(nodes[i/7%2], nodes[(i/7+1)%2])
		if i%50 == 0 {
			c.clock.add(sealer.Heartbeat)
			c.round(a, b)
		}
	}
	c.settle(a, b)
	a.wantSize(400)
	c.same(a, b)
	c.clock.add(sealer.Heartbeat)
	c.settle(a, b)
	appendTo(t, c.log.Node(c.now(-disorder-sealer.Tolerance+time.Second), disorder), &c.streams, "Happened", `{}`) // long on its way
	c.settle(a, b)
	a.wantSize(401)
	c.clock.add(-time.Minute)
	b.wantStop(sealer.TimeBack)
	c.clock.add(2 * time.Minute)
	c.settle(a)
	appendTo(t, c.log.Node(c.now(-disorder-sealer.Tolerance-3*time.Second), disorder), &c.streams, "Happened", `{}`) // late, and said to be
	c.settle(a)
	a.wantSize(402)
	appendTo(t, c.log.Node(c.now(-disorder-eventstore.LateLimit-3*time.Second), disorder), &c.streams, "Happened", `{}`) // too long
	a.hand()
	a.wantStop(sealer.BackDated)
}

func TestDirectoriesThatDoNotBelong(t *testing.T) {
	c := newCluster(t)
	a := c.node(0)
	c.append(5)
	c.settle(a)
	t.Run("of a ledger in one directory", func(t *testing.T) {
		w := newWorld(t)
		w.seal(5)
		o := a.options()
		o.Dir = w.dir
		w.wantRefusalOf(o, sealer.ProofSchema)
	})
	t.Run("of a node, for a ledger in one directory", func(t *testing.T) {
		w := newWorld(t)
		o := w.options()
		o.Dir = a.dir
		w.wantRefusalOf(o, sealer.ProofSchema)
	})
	t.Run("of another log", func(t *testing.T) {
		other := newCluster(t)
		n := other.node(0)
		other.append(7)
		other.settle(n)
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		o := a.options()
		o.Dir = n.dir
		(&world{t: t}).wantRefusalOf(o, sealer.HistoryDiffers) // the same name, and another history
		o.Side = memstore.NewSide()
		(&world{t: t}).wantRefusalOf(o, sealer.HistoryDiffers) // nothing is published
		third := newCluster(t)
		third.id = "third"
		own := third.node(0)
		third.append(3)
		third.settle(own)
		guest := &node{c: third, dir: n.dir, log: own.log}
		guest.open() // of another name: it is built again
		defer guest.Close()
		third.settle(own, guest)
		third.same(own, guest)
	})
	t.Run("no history at all beside records", func(t *testing.T) {
		o := a.options()
		o.Side, o.Dir = memstore.NewSide(), t.TempDir()
		(&world{t: t}).wantRefusalOf(o, sealer.ProofMissing)
		o.Rebuild = true
		s, err := sealer.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Status(t.Context()).Size; got != 5 {
			t.Errorf("begun anew over %d records, want 5", got)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		o.Dir, o.Rebuild = t.TempDir(), false
		n := &node{c: c, log: a.log, dir: o.Dir}
		if n.Sealer, err = sealer.Open(t.Context(), o); err != nil { // a second node adopts it
			t.Fatal(err)
		}
		defer n.Close()
		n.hand()
		n.tick()
		n.wantSize(5)
	})
}

// The log may still be on its way to a node that starts.
func TestCopyIsAheadOfTheLogAtAStart(t *testing.T) {
	c := newCluster(t)
	a := c.node(0)
	c.append(300)
	c.settle(a)
	late := memstore.New(c.clock.now)
	a.restart(func() { a.log = late.Node(c.clock.now, disorder) })
	if err := a.Tick(t.Context()); !errors.Is(err, eventstore.ErrUnavailable) {
		t.Errorf("before the log is here: %v", err)
	}
	appendTo(t, late, &c.streams, "Happened", `{}`)
	for range 299 {
		appendTo(t, late, &c.streams, "Happened", `{}`)
	}
	a.wantStop(sealer.RecordChanged) // and then it is another one
}

func TestNodesThatBeginAtOnceHaveOneKey(t *testing.T) {
	c := newCluster(t)
	var all sync.WaitGroup
	for range 5 {
		o := sealer.Options{Dir: t.TempDir(), Side: c.side, LedgerID: "one", Log: c.log.Node(c.clock.now, disorder), Keys: c.keys, Clock: c.clock.now}
		all.Go(func() {
			s, err := sealer.Open(t.Context(), o)
			if err != nil {
				t.Error(err)
				return
			}
			if s.Status(t.Context()).Revision != 1 {
				t.Errorf("the node is at checkpoint %d", s.Status(t.Context()).Revision)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if k, err := c.keys.SigningKeys(t.Context()); err != nil || len(k) != 1 {
		t.Errorf("%d keys, %v", len(k), err)
	}
	if n := c.entries(checkpoints); n != 1 {
		t.Errorf("%d checkpoints of the empty log", n)
	}
}

// Everything runs: routers, watches, appends of all nodes, one node that is
// killed and comes back with nothing.
func TestNodesRun(t *testing.T) {
	c := newCluster(t)
	nodes := []*node{c.node(0), c.node(0), c.node(0)}
	runs := make([]*running, len(nodes))
	for i, n := range nodes {
		runs[i] = n.run(t)
	}
	for round := range 12 {
		c.append(37)
		c.clock.add(time.Second)
		for i, r := range runs {
			if i != 1 || round < 4 || round > 7 {
				r.tick(c.clock.now())
			}
		}
		if round == 4 {
			runs[1].stop(t)
			nodes[1].restart(func() { remove(t, nodes[1].proofFile()) })
		}
		if round == 7 {
			runs[1] = nodes[1].run(t)
		}
	}
	head, _, err := c.log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range nodes {
		runs[i].until(t, n, uint64(head), runs)
	}
	for _, r := range runs {
		r.stop(t)
	}
	c.settle(nodes...)
	c.same(nodes...)
}

// running is a node whose router and sealer run.
type running struct {
	cancel context.CancelFunc
	ticks  chan time.Time
	done   chan error
}

func (n *node) run(t *testing.T) *running {
	t.Helper()
	logger := slog.New(slog.DiscardHandler)
	router, err := bridge.NewRouter(bridge.RouterConfig{}, logger)
	if err != nil {
		t.Fatal(err)
	}
	n.Register(router, n.log, bridge.Config{}, logger)
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{cancel: cancel, ticks: make(chan time.Time), done: make(chan error, 2)}
	go func() { r.done <- router.Run(ctx) }()
	<-router.Running()
	go func() {
		n.Run(ctx, r.ticks)
		r.done <- router.Close()
	}()
	return r
}

func (r *running) tick(now time.Time) { r.ticks <- now }

func (r *running) stop(t *testing.T) {
	t.Helper()
	r.cancel()
	if err := errors.Join(<-r.done, <-r.done); err != nil {
		t.Error(err)
	}
}

// until ticks all nodes until one of them has a checkpoint of a size.
func (r *running) until(t *testing.T, n *node, size uint64, all []*running) {
	t.Helper()
	wait, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	covered := make(chan error, 1)
	go func() { covered <- n.WaitFor(wait, size) }()
	for i := 0; ; i++ {
		select {
		case all[i%len(all)].ticks <- n.c.clock.now():
		case err := <-covered:
			if err != nil {
				t.Fatalf("size %d: %v, status %+v", size, err, n.Status(t.Context()))
			}
			return
		}
	}
}
