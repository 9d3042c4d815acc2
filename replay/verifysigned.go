package replay

import (
	"context"
	"fmt"

	"github.com/authledger/authledger/eventstore/merkle"
)

// reached compares every checkpoint of the size the walk stands at.
func (w *logWalk) reached(ctx context.Context) error {
	size := uint64(w.Mark.Sequence)
	for {
		s, err := w.peek(ctx)
		if err != nil {
			return err
		}
		if s == nil || s.readable() && s.head.Size > size {
			return w.reachedHeld(size)
		}
		if err := w.published(s); err != nil {
			return err
		}
		w.next = nil
	}
}

// reachedHeld compares the auditor's checkpoints of a size.
func (w *logWalk) reachedHeld(size uint64) error {
	for len(w.held) > 0 && w.held[0].head.Size <= size {
		held := w.held[0]
		w.held = w.held[1:]
		if held.head.Size < size {
			continue // of an interrupted run, or behind a hole
		}
		if err := w.root(ByHeld, 0, held.head, "that the auditor holds"); err != nil {
			return err
		}
		if behind := w.Behind && w.Size == size; held.at.After(w.HeldAt) && !behind {
			w.HeldAt = held.at
		}
	}
	return nil
}

// peek returns the next checkpoint; nil after the last.
func (w *logWalk) peek(ctx context.Context) (*seal, error) {
	if w.next == nil && !w.sealsEnd {
		select {
		case s, ok := <-w.seals:
			if w.sealsEnd = !ok; ok && s.err != nil {
				return nil, fmt.Errorf("read the checkpoints: %w", s.err)
			}
			if ok {
				w.next = &s
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return w.next, nil
}

// published checks a checkpoint whose size was reached.
func (w *logWalk) published(s *seal) error {
	if s.revision != w.Checkpoint+1 {
		w.failAt(ByCheckpoint, s.revision, "checkpoint %d was expected; some are missing", w.Checkpoint+1)
	}
	w.Checkpoint = s.revision
	w.Report.Checkpoints++
	if s.problem != "" {
		w.failAt(s.by, s.revision, "%s", s.problem)
	}
	if !s.readable() {
		return nil
	}
	w.Epoch = w.keys.InForce(s.head.Size).Number
	w.signedTime(s)
	w.others(s)
	if s.head.Size < uint64(w.Mark.Sequence) {
		w.failAt(ByCheckpoint, s.revision, "its size %d is less than that of one before it", s.head.Size)
		return nil
	}
	w.Report.Sealed, w.Report.SignedAt = s.head.Size, s.at
	return w.root(ByCheckpoint, s.revision, s.head, fmt.Sprintf("signed at %s", precise(s.at)))
}

func (w *logWalk) signedTime(s *seal) {
	switch {
	case s.at.Before(w.Signed):
		w.failAt(ByCheckpoint, s.revision, "it was signed at %s, before the one before it", precise(s.at))
	case !w.Signed.IsZero() && s.at.Sub(w.Signed) > quietAllowance:
		if w.Silences++; s.at.Sub(w.Signed) > w.SilentTo.Sub(w.SilentFrom) {
			w.SilentFrom, w.SilentTo = w.Signed, s.at
		}
	}
	if s.at.After(w.Signed) {
		w.Signed = s.at
	}
	// A step that was full, or that ended at a new key, may have left records
	// behind that stood in the ledger already: it does not say that they were not
	// there.
	w.Behind = s.head.Size >= w.Size+backlogStep || s.head.Size > 0 && s.head.Size == uint64(w.RotatedAt)
	if w.Size = max(w.Size, s.head.Size); !w.Behind && s.at.After(w.Whole) {
		w.Whole = s.at
	}
}

// others counts what others said of a checkpoint.
func (w *logWalk) others(s *seal) {
	if !s.cosigned.IsZero() {
		w.Report.Cosigned++
		w.Report.CosignedTo, w.Covered = s.head.Size, s.at
		if s.cosigned.After(w.Witnessed) && !w.Behind {
			w.Witnessed = s.cosigned
		}
	}
	for _, stamp := range s.stamps {
		switch {
		case !stamp.checked:
			w.Report.Unchecked++
		case stamp.problem != "":
			w.failAt(ByStamp, s.revision, "time stamp of %s: %s", stamp.authority, stamp.problem)
		case stamp.at.Before(s.at.Add(-clockAllowance)):
			w.failAt(ByStamp, s.revision, "it says %s, but %s stamped it at %s", precise(s.at), stamp.authority, precise(stamp.at))
		default:
			w.Report.Stamps++
			w.Report.StampedBy, w.Report.StampedAt, w.Report.StampedTo = stamp.authority, stamp.at, s.head.Size
		}
	}
}

// root compares the tree with a signed head of its size. After the first
// difference every later root differs too: those are not told.
func (w *logWalk) root(by Mechanism, revision uint64, c merkle.Checkpoint, which string) error {
	if by == ByCheckpoint && w.Differs {
		return nil
	}
	root, err := w.tree.Root()
	if err != nil {
		return fmt.Errorf("build the tree: %w", err)
	}
	if !w.Torn && root == c.Root {
		if by == ByCheckpoint {
			w.Agreed = c.Size
		}
		return nil
	}
	w.Differs = w.Differs || by == ByCheckpoint
	w.failAt(by, revision, "the root of the first %d records is not that of the checkpoint %s; roots agree up to size %d", c.Size, which, w.Agreed)
	return nil
}
