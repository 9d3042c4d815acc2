package sealer

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/merkle"
)

// load verifies the newest checkpoint against everything it stands on, or signs
// the first one.
func (s *Sealer) load(ctx context.Context) error {
	p, err := s.Latest(ctx)
	if errors.Is(err, eventstore.ErrNotFound) {
		return s.loadNothing(ctx)
	}
	if err != nil {
		return err
	}
	c, err := s.keys.Open(p.Signed)
	if err != nil {
		return refuse(ProofCorrupt, fmt.Errorf("checkpoint %d: %w", p.Revision, err))
	}
	at, err := s.keys.SignedAt(p.Signed)
	if err != nil {
		return refuse(ProofCorrupt, fmt.Errorf("checkpoint %d: %w", p.Revision, err))
	}
	edge, err := s.tiles(ctx).Extend(c.Size, nil)
	if err != nil {
		return refuse(ProofCorrupt, fmt.Errorf("right edge of size %d: %w", c.Size, err))
	}
	if edge.Root != c.Root {
		return refusef(ProofCorrupt, "the tiles of size %d do not have the root that was signed", c.Size)
	}
	s.published = head{revision: p.Revision, size: c.Size, root: c.Root, signedAt: at}
	if err := s.findBacklog(ctx); err != nil {
		return err
	}
	return s.checkLedger(ctx)
}

// loadNothing begins the history, or this node's copy of one that others began.
func (s *Sealer) loadNothing(ctx context.Context) error {
	if s.shared != nil {
		s.published = head{root: merkle.EmptyRoot()}
	}
	if begun, err := s.begun(ctx); err != nil || begun {
		return err
	}
	newest, _, err := s.options.Log.Head(ctx)
	if err != nil {
		return err
	}
	if err = s.first(ctx); errors.Is(err, ErrTaken) && s.shared != nil && newest == 0 {
		return nil // another node was first
	}
	return err
}

// findBacklog allows what is in the ledger now to be older than the newest
// checkpoint, when the process before ended while it worked off a backlog.
func (s *Sealer) findBacklog(ctx context.Context) error {
	if s.published.revision < 2 {
		return nil
	}
	for before, err := range s.From(ctx, s.published.revision-1) {
		if err != nil {
			return err
		}
		c, err := merkle.Unverified(before.Signed)
		if err != nil {
			return refuse(ProofCorrupt, fmt.Errorf("checkpoint %d: %w", before.Revision, err))
		}
		rotated := s.keys.Epochs[len(s.keys.Epochs)-1].FromSize == s.published.size
		if added := s.published.size - c.Size; rotated && added > 0 || added >= uint64(s.options.Step) {
			s.published.stood, err = s.standing(ctx)
		}
		return err
	}
	return nil
}

// standing is the newest record that may have been in the log when a checkpoint
// was signed that does not cover all there was. What stood there when another
// node signed, this one cannot know.
func (s *Sealer) standing(ctx context.Context) (eventstore.Sequence, error) {
	if s.shared != nil {
		return math.MaxUint64, nil
	}
	newest, _, err := s.options.Log.Head(ctx)
	return newest, err
}

// first signs the empty log or, when a lost history is begun anew, all of it.
func (s *Sealer) first(ctx context.Context) error {
	newest, _, err := s.options.Log.Head(ctx)
	if err != nil {
		return err
	}
	grown := merkle.Extended{Root: merkle.EmptyRoot()}
	var leaves []eventstore.Hash
	extend := func() error {
		if grown, err = s.tiles(ctx).Extend(grown.Size, leaves); err != nil {
			return err
		}
		leaves = leaves[:0]
		return s.store.Fill(ctx, grown.Tiles)
	}
	for r, err := range s.options.Log.ReadAll(ctx, 1) {
		if err != nil {
			return err
		}
		if r.Sequence > newest {
			break
		}
		leaves = append(leaves, r.Leaf())
		s.published.recorded = later(s.published.recorded, r.RecordedAt)
		if len(leaves) == s.options.Step {
			if err := extend(); err != nil {
				return err
			}
		}
	}
	if len(leaves) > 0 {
		if err := extend(); err != nil {
			return err
		}
	}
	p, err := s.sign(ctx, grown, s.signingTime(s.options.Clock()), nil)
	if err != nil {
		return err
	}
	if err := s.store.Publish(ctx, p); err != nil {
		return err
	}
	s.advance(p, 0)
	s.others.went = false
	return nil
}

// checkLedger compares the newest sealed records, those of the last tile, with
// the ledger. A ledger that was restored together with its anchor is found here.
func (s *Sealer) checkLedger(ctx context.Context) error {
	size := s.published.size
	newest, _, err := s.options.Log.Head(ctx)
	if err != nil || size == 0 {
		return err
	}
	if uint64(newest) < size && s.shared != nil {
		s.others.unchecked = true // the records are still to arrive here; see tick
		return nil
	}
	if uint64(newest) < size {
		return refusef(LedgerBehindProof, "the ledger ends at sequence %d, sealed were %d", newest, size)
	}
	n := int64((size - 1) >> merkle.TileHeight)
	data, err := s.Tile(ctx, 0, n)
	if err != nil {
		return refuse(ProofCorrupt, err)
	}
	at := uint64(n) << merkle.TileHeight // leaves before the tile
	for r, err := range s.options.Log.ReadAll(ctx, eventstore.Sequence(at+1)) {
		if err != nil {
			return err
		}
		if uint64(r.Sequence) > size {
			break
		}
		i := 32 * (merkle.Index(r.Sequence) - at)
		if eventstore.Hash(data[i:i+32]) != r.Leaf() {
			return refusef(LedgerDiffers, "record %d (event %s) is not the one that was sealed", r.Sequence, r.ID)
		}
		s.published.recorded = later(s.published.recorded, r.RecordedAt)
	}
	return nil
}

// tiles reads the tree that is kept.
func (s *Sealer) tiles(ctx context.Context) merkle.Tiles {
	return func(level int, n int64) ([]byte, error) { return s.Tile(ctx, level, n) }
}
