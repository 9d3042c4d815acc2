package sealer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/memstore"
	"github.com/authledger/authledger/eventstore/sealer"
)

// apart is how far the clocks of the nodes may stand apart.
const apart = 5 * time.Second

// pair is a log that two nodes append to; the first one seals it.
type pair struct {
	t     *testing.T
	clock *clock
	skew  time.Duration // of the second node's clock
	nodes [2]*memstore.Node
	log   bytes.Buffer
	disk  *full
	*sealer.Sealer
	streams int
}

func newPair(t *testing.T) *pair {
	t.Helper()
	c := &pair{t: t, clock: newClock(), disk: &full{Memory: sealer.NewMemory()}}
	store := memstore.New(c.clock.now)
	c.nodes[0] = store.Node(c.clock.now, apart)
	c.nodes[1] = store.Node(func() time.Time { return c.clock.now().Add(c.skew) }, apart)
	s, err := sealer.Open(t.Context(), sealer.Options{
		Store: c.disk, LedgerID: "cluster", Log: c.nodes[0], Keys: &signingKeys{}, Clock: c.clock.now,
		Step: 100, Logger: slog.New(slog.NewTextHandler(&c.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	c.Sealer = s
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func (c *pair) append(node int) eventstore.EventID {
	c.t.Helper()
	c.streams++
	e := eventstore.Proposed{ID: uuid.New(), Type: "Happened", Schema: 1, Data: []byte(`{}`), Metadata: []byte(`{}`)}
	if _, err := c.nodes[node].Append(c.t.Context(), fmt.Sprintf("user-%d", c.streams), eventstore.NoStream(), []eventstore.Proposed{e}); err != nil {
		c.t.Fatal(err)
	}
	return e.ID
}

// hand gives the sealer at most n of the records it has not seen.
func (c *pair) hand(n int) {
	c.t.Helper()
	from, err := c.Seen(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	var records []eventstore.Record
	for r, err := range c.nodes[0].ReadAll(c.t.Context(), from+1) {
		if err != nil {
			c.t.Fatal(err)
		}
		if len(records) < n {
			records = append(records, r)
		}
	}
	if err := c.See(c.t.Context(), records); err != nil {
		c.t.Fatal(err)
	}
}

func (c *pair) want(size, late uint64, stopped sealer.StopReason) {
	c.t.Helper()
	if err := c.Tick(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
	s, reason := c.Status(c.t.Context()), sealer.StopReason("")
	if s.Stopped != nil {
		reason = s.Stopped.Reason
	}
	if s.Size != size || s.Late != late || reason != stopped {
		c.t.Fatalf("sealed %d, %d late, stopped %v; want %d, %d, %q", s.Size, s.Late, s.Stopped, size, late, stopped)
	}
}

// Records of two nodes cross by as much as their clocks may differ, and nobody
// minds.
func TestCrossingRecordsAreSealed(t *testing.T) {
	c := newPair(t)
	c.skew = -apart
	for i := range 20 {
		c.append(i % 2)
		c.clock.add(100 * time.Millisecond)
	}
	c.clock.add(time.Second)
	c.append(0)
	c.hand(100)
	c.want(21, 0, "")
	if c.log.Len() > 0 {
		t.Errorf("somebody minds: %s", c.log.String())
	}
}

// An append that was long under way is remarked on, and sealing goes on.
func TestLateRecordsAreCountedAndSealed(t *testing.T) {
	c := newPair(t)
	c.append(0)
	c.skew = -apart - time.Microsecond // older than one before it, by more than clocks may differ
	first := c.append(1)
	c.hand(100)
	c.clock.add(time.Second)
	c.want(2, 1, "")
	if text := c.log.String(); !strings.Contains(text, first.String()) || !strings.Contains(text, "level=WARN") {
		t.Errorf("the log does not name the late record: %s", text)
	}
	c.clock.add(time.Hour)
	c.want(2, 1, "") // signs the silence
	c.skew = -eventstore.LateLimit
	c.append(1) // and older than that, by the most there may be
	c.skew = -sealer.Tolerance
	c.append(1) // by what is tolerated
	c.hand(100)
	c.want(4, 2, "")
	c.skew = -eventstore.LateLimit - time.Microsecond
	c.append(1)
	c.hand(100)
	c.want(4, 2, sealer.BackDated)
}

// Steps back that are small each do not add up to a large one.
func TestSmallStepsBackAddUp(t *testing.T) {
	c := newPair(t)
	c.clock.add(2 * time.Minute) // the checkpoint before is no newer than any of them
	c.append(0)
	for range 30 {
		c.skew -= 4 * time.Second
		c.append(1)
	}
	c.hand(100)
	c.want(0, 0, sealer.BackDated)
}

// full is a store whose disk is full for a while.
type full struct {
	*sealer.Memory
	left int // publications that fail
}

func (f *full) Publish(ctx context.Context, p sealer.Publication) error {
	if f.left--; f.left >= 0 {
		return fmt.Errorf("publish: %w", eventstore.ErrUnavailable)
	}
	return f.Memory.Publish(ctx, p)
}

// A publication that failed and is tried again counts its late records once.
func TestLateRecordsAreCountedOnce(t *testing.T) {
	c := newPair(t)
	c.append(0)
	c.skew = -20 * time.Second
	c.append(1)
	c.hand(100)
	c.disk.left = 3
	for range 3 {
		if err := c.Tick(t.Context()); !errors.Is(err, eventstore.ErrUnavailable) {
			t.Fatalf("on a full disk: %v", err)
		}
	}
	c.want(2, 1, "")
	c.clock.add(time.Minute)
	c.want(2, 1, "")
}

// A record that is not seen yet is waited for when it is old.
func TestUnseenOldRecordsAreWaitedFor(t *testing.T) {
	c := newPair(t)
	c.append(0)
	c.skew = -20 * time.Second
	c.append(1)
	c.hand(1)
	c.want(0, 0, "")
	c.hand(1)
	c.want(2, 1, "")
}

// A young record that is not seen yet hides no old one behind it.
func TestOldRecordsBehindYoungOnesAreWaitedFor(t *testing.T) {
	c := newPair(t)
	c.append(0)
	c.append(0)
	c.skew = -sealer.Tolerance - time.Second
	c.append(1)
	c.hand(1)
	c.want(0, 0, "") // signed now, it would deny the third record
	c.hand(2)
	c.want(3, 1, "")
}

// The head knows the newest time it covers after a restart, too.
func TestRestartKnowsTheNewestTime(t *testing.T) {
	c := newPair(t)
	c.append(0)
	c.skew = -apart
	c.append(1) // the last, but not the newest
	c.hand(100)
	kept := sealer.NewMemory()
	keys := &signingKeys{}
	open := func() *sealer.Sealer {
		t.Helper()
		s, err := sealer.Open(t.Context(), sealer.Options{
			Store: kept, LedgerID: "cluster", Log: c.nodes[0], Keys: keys, Rebuild: true,
			Clock: func() time.Time { return c.clock.now().Add(-3 * time.Second) }, // so that its signature is no newer than the records
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	first := open() // signs what is there
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again := open()
	defer func() {
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	}()
	c.skew = -apart - time.Microsecond
	c.append(1)
	c.Sealer = again
	c.hand(100)
	c.want(3, 1, "")
}
