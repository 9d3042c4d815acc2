package keyringtest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"sync"

	"github.com/google/uuid"

	"github.com/authledger/authledger/eventstore"
)

// faulty is a Side to which things happen.
type faulty struct {
	eventstore.Side
	// onWrite, when it is not nil, decides what becomes of a write; write does
	// it.
	onWrite func(stream string, write func() error) error
	// onRead and onWatch, when they are not nil, are errors to return.
	onRead  func() error
	onWatch func(ctx context.Context) error

	mu    sync.Mutex // guards heard
	heard map[string]bool
}

func (f *faulty) AppendSide(ctx context.Context, stream string, next uint64, entries ...[]byte) error {
	write := func() error { return f.Side.AppendSide(context.WithoutCancel(ctx), stream, next, entries...) }
	if f.onWrite == nil {
		return write()
	}
	return f.onWrite(stream, write)
}

func (f *faulty) DeleteSide(ctx context.Context, stream string) error {
	write := func() error { return f.Side.DeleteSide(context.WithoutCancel(ctx), stream) }
	if f.onWrite == nil {
		return write()
	}
	return f.onWrite(stream, write)
}

func (f *faulty) ReadSide(ctx context.Context, stream string, from uint64) iter.Seq2[[]byte, error] {
	if f.onRead != nil {
		if err := f.onRead(); err != nil {
			return func(yield func([]byte, error) bool) { yield(nil, err) }
		}
	}
	return f.Side.ReadSide(ctx, stream, from)
}

func (f *faulty) WatchSide(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if f.onWatch != nil {
			if err := f.onWatch(ctx); err != nil {
				yield("", err)
			}
			return
		}
		for stream, err := range f.Side.WatchSide(ctx, prefix) {
			if !yield(stream, err) {
				return
			}
			f.mu.Lock()
			if f.heard == nil {
				f.heard = map[string]bool{}
			}
			f.heard[stream] = true
			f.mu.Unlock()
		}
	}
}

// listening waits until the watch has begun: no Side tells when.
func (n *node) listening() {
	n.Helper()
	stream := "key-probe-" + uuid.NewString()
	next := uint64(0)
	eventually(n.TB, "the node hears of changes", func() bool {
		n.do(n.side.Side.AppendSide(n.ctx, stream, next, []byte("{}")))
		next++
		n.side.mu.Lock()
		defer n.side.mu.Unlock()
		return n.side.heard[stream]
	})
}

// unsure makes outcomes unknown: the write did not arrive, arrived, or arrives
// later, before the second next write or when late is called.
type unsure struct {
	mu     sync.Mutex
	random *rand.Rand
	late   []func() error
	kinds  map[string]int // how often each thing happened
}

func newUnsure(seed uint64) *unsure {
	return &unsure{random: rand.New(rand.NewPCG(seed, 1)), kinds: map[string]int{}}
}

func (u *unsure) write(stream string, write func() error) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	unknown := fmt.Errorf("write %s: %w", stream, eventstore.ErrOutcomeUnknown)
	kind := u.random.IntN(6)
	if len(u.late) > 1 || len(u.late) == 1 && kind == 0 {
		_ = u.late[0]() // a conflict by now, or not
		u.late = u.late[1:]
	}
	switch kind {
	case 1:
		u.kinds["lost"]++
		return unknown
	case 2:
		u.kinds["arrived"]++
		if err := write(); err != nil {
			return err
		}
		return unknown
	case 3:
		u.kinds["late"]++
		u.late = append(u.late, write)
		return unknown
	}
	return write()
}

// errCut is what a process sees of its store once its power is off.
var errCut = errors.New("power is off")

// cut lets a number of writes through. The next one arrives or not, and is
// answered as little as everything after it.
type cut struct {
	mu      sync.Mutex
	left    int
	arrives bool
	off     bool
}

func (c *cut) write(_ string, write func() error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.off {
		return errCut
	}
	if c.left > 0 {
		c.left--
		return write()
	}
	c.off = true
	if c.arrives {
		_ = write() // nobody hears of it
	}
	return errCut
}

func (c *cut) read() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.off {
		return errCut
	}
	return nil
}
