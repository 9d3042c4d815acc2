package sealer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/merkle"
)

// ErrOtherHistory means that a store already has another history than the one
// to be copied into it. Compare with errors.Is.
var ErrOtherHistory = errors.New("the target has another history of checkpoints")

// batcher is a Store that publishes several checkpoints which follow each other
// at once, all or none, by the rules of Publish.
type batcher interface {
	publishAll(ctx context.Context, all []Publication) error
}

// StoreOptions say where a history is kept. Dir is required.
type StoreOptions struct {
	Dir  string          // holds proof.db
	Side eventstore.Side // as in Options
}

// OpenStore opens a history for CopyHistory to fill, and makes an empty one when
// there is none. Nobody may seal it meanwhile. Errors that need a person are
// *StartError. The caller must Close.
func OpenStore(ctx context.Context, o StoreOptions) (Store, error) {
	if o.Side == nil {
		p, err := openProof(ctx, o.Dir, onlyHistory)
		if err != nil {
			return nil, refuse(ProofIO, err)
		}
		return p, nil
	}
	s, err := openShared(ctx, o.Dir, o.Side)
	if err != nil {
		return nil, refuse(ProofIO, err)
	}
	return s, nil
}

// CopyHistory copies a whole history: the log's name and keys, every checkpoint
// byte for byte with its cosignatures and time stamps, and the tree. A copy that
// was cut off goes on where it ended. It makes sure that the tree has every root
// that was signed. Nobody may publish on either side meanwhile. It returns the
// number of checkpoints that stand in the target; an error wraps ErrOtherHistory
// when that is not the beginning of from.
func CopyHistory(ctx context.Context, from merkle.History, to Store) (checkpoints uint64, err error) {
	c := copying{from: from, to: to}
	if err := c.begin(ctx); err != nil {
		return 0, fmt.Errorf("copy checkpoints: %w", err)
	}
	if err := c.all(ctx); err != nil {
		return c.revision, fmt.Errorf("copy checkpoints behind %d: %w", c.revision, err)
	}
	if err := c.sayings(ctx); err != nil {
		return c.revision, fmt.Errorf("copy what others say of checkpoints: %w", err)
	}
	return c.revision, nil
}

// copying is where a copy stands.
type copying struct {
	from merkle.History
	to   Store

	keys     merkle.Keys // of from
	revision uint64      // newest in to
	size     uint64      // of that
}

// begin names the target and finds out where it stands.
func (c *copying) begin(ctx context.Context) error {
	var err error
	if c.keys, err = c.from.Keys(ctx); err != nil {
		return err
	}
	first, err := c.firstKeys(ctx)
	if err != nil {
		return err
	}
	kept, err := c.to.Begin(ctx, first)
	switch {
	case err != nil:
		return err
	case kept.Origin != first.Origin:
		return fmt.Errorf("%w: it is of the log %s, want %s", ErrOtherHistory, kept.Origin, first.Origin)
	case !sameEpoch(&kept.Epochs[0], &first.Epochs[0]):
		return fmt.Errorf("%w: its first key is another one", ErrOtherHistory)
	}
	newest, err := c.to.Latest(ctx)
	if errors.Is(err, eventstore.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	head, err := merkle.Unverified(newest.Signed)
	if err != nil {
		return err
	}
	c.revision, c.size = newest.Revision, head.Size
	return c.compare(ctx, newest)
}

// compare makes sure that from has the newest checkpoint of to. Each covers all
// before it.
func (c *copying) compare(ctx context.Context, newest merkle.Published) error {
	for p, err := range c.from.From(ctx, newest.Revision) {
		if err != nil {
			return err
		}
		if p.Revision == newest.Revision && bytes.Equal(c.signed(p), c.signed(newest)) {
			return nil
		}
		break
	}
	return fmt.Errorf("%w: checkpoint %d", ErrOtherHistory, newest.Revision)
}

func (c *copying) signed(p merkle.Published) []byte {
	return merkle.AsLogSigned(p.Signed, c.keys.Origin)
}

// firstKeys are the keys that the first checkpoint found in force: several when
// the history was begun anew.
func (c *copying) firstKeys(ctx context.Context) (merkle.Keys, error) {
	p, err := c.from.Covering(ctx, 0)
	if err != nil {
		return merkle.Keys{}, err
	}
	head, err := merkle.Unverified(p.Signed)
	if err != nil {
		return merkle.Keys{}, err
	}
	out := merkle.Keys{Origin: c.keys.Origin}
	for _, e := range c.keys.Epochs {
		if e.FromSize <= head.Size {
			out.Epochs = append(out.Epochs, e)
		}
	}
	return out, nil
}

// all copies the checkpoints that to does not have, several at once.
func (c *copying) all(ctx context.Context) error {
	for {
		page, err := c.page(ctx)
		if err != nil || len(page) == 0 {
			return err
		}
		stand, err := c.stand(ctx, page)
		if err != nil {
			return err
		}
		if stand > 0 {
			page = page[:stand]
		}
		if err := c.grow(ctx, page); err != nil {
			return err
		}
		if err := c.keep(ctx, page, stand > 0); err != nil {
			return err
		}
		last := page[len(page)-1]
		c.revision, c.size = last.Revision, last.Checkpoint.Size
	}
}

// page reads the next checkpoints, not many nor of many records.
func (c *copying) page(ctx context.Context) (page []Publication, err error) {
	size := c.size
	for p, err := range c.from.From(ctx, c.revision+1) {
		if err != nil {
			return nil, err
		}
		n, err := c.publication(p, size)
		if err != nil {
			return nil, err
		}
		page, size = append(page, n), n.Checkpoint.Size
		if len(page) == publishedAtOnce || size-c.size >= defaultStep {
			break
		}
	}
	return page, nil
}

// stand counts those of a page that a copy which was cut off has published
// already, for a node that has no copy of them.
func (c *copying) stand(ctx context.Context, page []Publication) (int, error) {
	s, ok := c.to.(*shared)
	if !ok {
		return 0, nil
	}
	n := 0
	for e, err := range s.behind(ctx, c.revision) {
		if err != nil {
			return 0, err
		}
		if n == len(page) {
			break
		}
		if !bytes.Equal(e.signed, page[n].Signed) {
			return 0, fmt.Errorf("%w: checkpoint %d", ErrOtherHistory, e.revision)
		}
		n++
	}
	return n, nil
}

func (c *copying) keep(ctx context.Context, page []Publication, published bool) error {
	if s, ok := c.to.(*shared); ok && published {
		return s.adopt(ctx, page)
	}
	if b, ok := c.to.(batcher); ok {
		return b.publishAll(ctx, page)
	}
	for i, p := range page {
		if i < len(page)-1 {
			p.Tiles = nil
		}
		if err := c.to.Publish(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// publication is a checkpoint behind one of a size, without tiles.
func (c *copying) publication(p merkle.Published, size uint64) (Publication, error) {
	head, err := c.keys.Open(p.Signed)
	if err != nil {
		return Publication{}, fmt.Errorf("checkpoint %d: %w", p.Revision, err)
	}
	at, err := c.keys.SignedAt(p.Signed)
	if err != nil {
		return Publication{}, fmt.Errorf("checkpoint %d: %w", p.Revision, err)
	}
	n := Publication{Revision: p.Revision, Checkpoint: head, Signed: c.signed(p), At: at}
	for _, e := range c.keys.Epochs[1:] {
		if e.FromSize == head.Size && size < head.Size && p.Revision > 1 {
			n.Epoch = &e
		}
	}
	return n, nil
}

// grow adds the tiles of a page to its last publication, and compares every root
// with that of the tree that the leaves make.
func (c *copying) grow(ctx context.Context, page []Publication) error {
	last := &page[len(page)-1]
	leaves, err := c.leaves(ctx, c.size, last.Checkpoint.Size)
	if err != nil {
		return err
	}
	target := merkle.Tiles(func(level int, n int64) ([]byte, error) { return c.to.Tile(ctx, level, n) })
	state, err := merkle.ProveRange(target.Reader(), c.size, c.size, c.size)
	if err != nil {
		return err
	}
	growing, err := merkle.ResumeGrowing(c.size, state)
	if err != nil {
		return err
	}
	for _, p := range page {
		for growing.Size() < p.Checkpoint.Size {
			if err := growing.Append(leaves[growing.Size()-c.size]); err != nil {
				return err
			}
		}
		root, err := growing.Root()
		if err != nil {
			return err
		}
		if root != p.Checkpoint.Root {
			return fmt.Errorf("%w: the tree of size %d does not have the root of checkpoint %d", merkle.ErrProof, p.Checkpoint.Size, p.Revision)
		}
	}
	grown, err := target.Extend(c.size, leaves)
	last.Tiles = grown.Tiles
	return err
}

// leaves reads them from the tiles of from.
func (c *copying) leaves(ctx context.Context, first, end uint64) ([]eventstore.Hash, error) {
	leaves := make([]eventstore.Hash, 0, end-min(first, end))
	for at := first; at < end; {
		n := at >> merkle.TileHeight
		data, err := c.from.Tile(ctx, 0, int64(n))
		if err != nil {
			return nil, err
		}
		for i := int(at-n<<merkle.TileHeight) * 32; at < end && i < merkle.TileSize; i, at = i+32, at+1 {
			if i+32 > len(data) {
				return nil, fmt.Errorf("%w: tile %d of level 0 ends before leaf %d", merkle.ErrProof, n, at)
			}
			leaves = append(leaves, eventstore.Hash(data[i:i+32]))
		}
	}
	return leaves, nil
}

// sayer is a Store that keeps several sayings at once.
type sayer interface {
	sayAll(ctx context.Context, all []saying) error
}

// What is kept at once of what others say.
const (
	sayingsTogether = 100
	bytesTogether   = 256 << 10
)

// sayings copies what others say of checkpoints and to does not know.
func (c *copying) sayings(ctx context.Context) error {
	known, stop := iter.Pull2(c.to.From(ctx, 1))
	defer stop()
	var all []saying
	size := 0
	for p, err := range c.from.From(ctx, 1) {
		if err != nil {
			return err
		}
		has, err, ok := known()
		if err != nil {
			return err
		}
		if !ok || has.Revision != p.Revision {
			break
		}
		for _, o := range c.missing(p, has) {
			all, size = append(all, o), size+len(o.Line)+len(o.Token)
		}
		if len(all) < sayingsTogether && size < bytesTogether {
			continue
		}
		if err := c.say(ctx, all); err != nil {
			return err
		}
		all, size = all[:0], 0
	}
	return c.say(ctx, all)
}

// missing lists what is said of a checkpoint by p and not by has.
func (c *copying) missing(p, has merkle.Published) (all []saying) {
	_, lines, _ := strings.Cut(string(p.Signed), "\n\n")
	for line := range strings.Lines(lines) {
		if !strings.HasPrefix(line, "— "+c.keys.Origin+" ") && !bytes.Contains(has.Signed, []byte("\n"+line)) {
			all = append(all, saying{Revision: p.Revision, Line: line})
		}
	}
	for _, t := range p.Stamps {
		o := saying{Revision: p.Revision, Authority: t.Authority, Token: t.Token}
		if !slices.ContainsFunc(has.Stamps, func(h merkle.Stamp) bool { return h.Authority == t.Authority && bytes.Equal(h.Token, t.Token) }) {
			all = append(all, o)
		}
	}
	return all
}

func (c *copying) say(ctx context.Context, all []saying) error {
	if s, ok := c.to.(sayer); ok {
		return s.sayAll(ctx, all)
	}
	for _, o := range all {
		var err error
		if o.Line != "" {
			err = c.to.AddCosignature(ctx, o.Revision, o.Line)
		} else {
			err = c.to.AddStamp(ctx, o.Revision, merkle.Stamp{Authority: o.Authority, Token: o.Token})
		}
		if err != nil {
			return err
		}
	}
	return nil
}
