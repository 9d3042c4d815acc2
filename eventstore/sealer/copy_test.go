package sealer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/memstore"
	"github.com/authledger/authledger/eventstore/merkle"
	"github.com/authledger/authledger/eventstore/sealer"
)

// alone opens the sealer of a log that one process has.
func (c *cluster) alone(dir string) *sealer.Sealer { return c.aloneOn(dir, nil) }

func (c *cluster) aloneOn(dir string, store sealer.Store) *sealer.Sealer {
	c.t.Helper()
	s, err := sealer.Open(c.t.Context(), sealer.Options{
		Dir: dir, Store: store, LedgerID: c.id, Log: c.log, Keys: c.keys, Clock: c.clock.now, Rotation: rotates, Step: 100,
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = s.Close() })
	return s
}

func (c *cluster) seal(s *sealer.Sealer, n int) {
	c.t.Helper()
	c.append(n)
	c.clock.add(time.Second)
	seen, err := s.Seen(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	for r, err := range c.log.ReadAll(c.t.Context(), seen+1) {
		if err == nil {
			err = s.See(c.t.Context(), []eventstore.Record{r})
		}
		if err != nil {
			c.t.Fatal(err)
		}
	}
	if err := s.Tick(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
}

// eventful is a history with everything in it.
func (c *cluster) eventful() *sealer.Sealer {
	t := c.t
	t.Helper()
	s := c.alone(t.TempDir())
	for _, n := range []int{1, 255, 256, 90, 0} {
		c.seal(s, n)
	}
	p, err := s.Latest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stamp := merkle.Stamp{Authority: "https://tsa.example", Token: []byte{1, 2}}
	if err := errors.Join(s.AddCosignature(t.Context(), p.Revision, cosign(t, p.Signed)), s.AddStamp(t.Context(), p.Revision-1, stamp)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.keys.NewSigningKey(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.appendOne("KeyRotated", `{"epoch":2}`)
	c.clock.add(time.Minute)
	c.seal(s, 20)
	return s
}

func openStore(t *testing.T, o sealer.StoreOptions) sealer.Store {
	t.Helper()
	s, err := sealer.OpenStore(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// wantCopy compares everything a history has.
func wantCopy(t *testing.T, got, want merkle.History) {
	t.Helper()
	text := func(h merkle.History) string {
		var out strings.Builder
		keys, err := h.Keys(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&out, keys)
		for p, err := range h.From(t.Context(), 1) {
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintln(&out, p.Revision, string(p.Signed), p.Stamps)
		}
		for level := range 3 {
			for n := range int64(10) {
				data, err := h.Tile(t.Context(), level, n)
				if err != nil && !errors.Is(err, eventstore.ErrNotFound) {
					t.Fatal(err)
				}
				fmt.Fprintf(&out, "%d %d %x\n", level, n, data)
			}
		}
		return out.String()
	}
	g, w := strings.Split(text(got), "\n"), strings.Split(text(want), "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			t.Fatalf("line %d of the copy is\n%.200s\nwant\n%.200s", i, g[i], w[i])
		}
	}
	if len(g) != len(w) {
		t.Fatalf("the copy has %d lines, want %d", len(g), len(w))
	}
}

func TestHistoryMovesToSeveralNodesAndBack(t *testing.T) {
	c := newCluster(t)
	source := c.eventful()
	dir := t.TempDir()
	to := openStore(t, sealer.StoreOptions{Dir: dir, Side: c.side})
	for range 2 { // again changes nothing
		n, err := sealer.CopyHistory(t.Context(), source, to)
		if err != nil || n != uint64(c.entries(checkpoints)) {
			t.Fatalf("copied %d, %v; there are %d", n, err, c.entries(checkpoints))
		}
	}
	wantCopy(t, to, source)
	if n, m := c.entries(cosignatures), c.entries(stamps); n != 1 || m != 1 {
		t.Errorf("%d cosignatures and %d stamps", n, m)
	}
	if err := errors.Join(to.Close(), source.Close()); err != nil {
		t.Fatal(err)
	}
	a := &node{c: c, dir: dir, log: c.log.Node(c.clock.now, disorder)}
	a.open()
	defer a.Close()
	b := c.node(0) // with nothing
	c.append(150)
	c.settle(a, b)
	c.clock.add(10 * time.Second)
	c.settle(a, b)
	c.same(a, b)

	// And back, from a machine that has nothing but the log.
	from := c.node(0)
	before := c.entries(checkpoints)
	c.append(3) // not sealed
	if err := from.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := c.entries(checkpoints); got != before {
		t.Errorf("catching up published %d checkpoints", got-before)
	}
	home := t.TempDir()
	back := openStore(t, sealer.StoreOptions{Dir: home})
	if _, err := sealer.CopyHistory(t.Context(), from, back); err != nil {
		t.Fatal(err)
	}
	wantCopy(t, back, a)
	if err := back.Close(); err != nil {
		t.Fatal(err)
	}
	s := c.alone(home)
	c.seal(s, 10)
	if st := s.Status(t.Context()); st.Stopped != nil || st.Lag != 0 {
		t.Errorf("sealing at home is %+v", st)
	}
}

// failing fails after a number of appends.
type failing struct {
	eventstore.Side
	left int
}

func (f *failing) AppendSide(ctx context.Context, stream string, next uint64, entries ...[]byte) error {
	if f.left--; f.left < 0 {
		return fmt.Errorf("cut: %w", eventstore.ErrUnavailable)
	}
	return f.Side.AppendSide(ctx, stream, next, entries...)
}

func TestCopyThatWasCutOffGoesOn(t *testing.T) {
	for name, fresh := range map[string]bool{"in the same directory": false, "in another directory": true} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			source := c.aloneOn("", sealer.NewMemory())
			for range 1200 { // several pages
				c.seal(source, 1)
			}
			p, err := source.Latest(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := source.AddCosignature(t.Context(), 700, cosign(t, p.Signed)); err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			for left := 0; ; left++ {
				if fresh {
					dir = t.TempDir()
				}
				to := openStore(t, sealer.StoreOptions{Dir: dir, Side: &failing{Side: c.side, left: 1}})
				_, err := sealer.CopyHistory(t.Context(), source, to)
				if closed := to.Close(); closed != nil {
					t.Fatal(closed)
				}
				if err == nil {
					break
				}
				if !errors.Is(err, eventstore.ErrUnavailable) || left > 10 {
					t.Fatalf("cut off after %d rounds: %v", left, err)
				}
			}
			to := openStore(t, sealer.StoreOptions{Dir: dir, Side: c.side})
			wantCopy(t, to, source)
		})
	}
}

func TestCopyIntoAnotherHistoryIsRefused(t *testing.T) {
	c := newCluster(t)
	source := c.eventful()
	for name, other := range map[string]func() sealer.Store{
		"of another log": func() sealer.Store {
			o := newCluster(t)
			o.id = "another"
			dir := t.TempDir()
			s := o.alone(dir)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return openStore(t, sealer.StoreOptions{Dir: dir})
		},
		"of the same name": func() sealer.Store {
			o := newCluster(t)
			dir := t.TempDir()
			s := o.alone(dir)
			o.seal(s, 30)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return openStore(t, sealer.StoreOptions{Dir: dir})
		},
		"shared, of the same name": func() sealer.Store {
			o := newCluster(t)
			n := o.node(0)
			o.append(7)
			o.settle(n)
			return openStore(t, sealer.StoreOptions{Dir: t.TempDir(), Side: o.side})
		},
		"that is longer": func() sealer.Store {
			to := openStore(t, sealer.StoreOptions{Dir: t.TempDir()})
			if _, err := sealer.CopyHistory(t.Context(), source, to); err != nil {
				t.Fatal(err)
			}
			p, err := source.Latest(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			head, err := merkle.Unverified(p.Signed)
			if err != nil {
				t.Fatal(err)
			}
			if err := to.Publish(t.Context(), sealer.Publication{Revision: p.Revision + 1, Checkpoint: head, Signed: p.Signed, At: c.clock.now()}); err != nil {
				t.Fatal(err)
			}
			return to
		},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := sealer.CopyHistory(t.Context(), source, other()); !errors.Is(err, sealer.ErrOtherHistory) {
				t.Errorf("copied with %v", err)
			}
		})
	}
}

// The tree is compared with what was signed while it is copied.
func TestBrokenHistoryIsNotCopied(t *testing.T) {
	c := newCluster(t)
	dir := t.TempDir()
	s := c.alone(dir)
	c.seal(s, 300)
	tamper(t, dir+"/"+sealer.FileName, `UPDATE tiles SET data = zeroblob(length(data)) WHERE level = 0 AND n = 1`)
	if _, err := sealer.CopyHistory(t.Context(), s, openStore(t, sealer.StoreOptions{Dir: t.TempDir(), Side: memstore.NewSide()})); !errors.Is(err, merkle.ErrProof) {
		t.Errorf("copied with %v", err)
	}
}

func TestHistoryIsCopiedIntoMemory(t *testing.T) {
	c := newCluster(t)
	source, to := c.eventful(), sealer.NewMemory()
	if _, err := sealer.CopyHistory(t.Context(), source, to); err != nil {
		t.Fatal(err)
	}
	wantCopy(t, to, source)
}
