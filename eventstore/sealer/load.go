package sealer

import (
	"context"
	"errors"
	"fmt"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/merkle"
)

// load verifies the newest checkpoint against everything it stands on, or signs
// the first one.
func (s *Sealer) load(ctx context.Context) error {
	p, err := s.Latest(ctx)
	if errors.Is(err, eventstore.ErrNotFound) {
		return s.first(ctx)
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
			s.published.stood, _, err = s.options.Log.Head(ctx)
		}
		return err
	}
	return nil
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
		s.published.saw(r)
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
		s.published.saw(r)
	}
	return nil
}

// saw takes a record that the head covers.
func (h *head) saw(r eventstore.Record) {
	if r.RecordedAt.After(h.recorded) {
		h.recorded = r.RecordedAt
	}
}

// tiles reads the tree that is kept.
func (s *Sealer) tiles(ctx context.Context) merkle.Tiles {
	return func(level int, n int64) ([]byte, error) { return s.Tile(ctx, level, n) }
}
