package sealer

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"time"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/merkle"
)

const (
	// lookEvery is how long this node believes, when nobody tells it of news,
	// that other nodes published nothing. Publishing itself believes nothing.
	lookEvery = 5 * time.Second
	// arrival is how long the records of another node's checkpoint may be on
	// their way before that is said to fail.
	arrival = time.Minute
	// nameWait is how long the name of a new log is waited for, which another
	// node has begun to give, and namePoll how often it is looked for.
	nameWait = 10 * time.Second
	namePoll = 100 * time.Millisecond
	// watchAgain is how long to wait before a watch that ended is begun again.
	watchAgain = time.Second
)

// others is what a sealer knows of the nodes beside it; guarded by turn.
type others struct {
	unchecked bool // the newest sealed records are to be compared when they arrive here
	// went is whether another node published the newest checkpoint, which then
	// goes first the next time, and passed whether that was granted.
	went, passed bool
	waiting      uint64    // revision of a checkpoint whose records are on their way; 0 for none
	since        time.Time // when it was found
	looked       time.Time // for checkpoints
	followed     time.Time // when the sayings were read
}

// hear takes over what other nodes published. It reports whether a checkpoint
// waits for records that are on their way here: then nothing can be published.
func (s *Sealer) hear(ctx context.Context, now time.Time) (waits bool, err error) {
	if s.shared == nil {
		return false, nil
	}
	if s.others.unchecked {
		if err := s.checkLate(ctx); err != nil {
			return true, err
		}
	}
	if !s.listening.Load() || s.others.waiting > 0 || due(s.others.looked, now) {
		if waits, err = s.adopt(ctx, now); err != nil {
			return waits, err
		}
	}
	if due(s.others.followed, now) {
		if err := s.shared.follow(ctx); err != nil {
			return waits, err
		}
		s.others.followed = now
	}
	return waits, nil
}

func due(last, now time.Time) bool { return now.Before(last) || now.Sub(last) >= lookEvery }

// adoptNow is a turn that looks for what other nodes published, and publishes
// nothing.
func (s *Sealer) adoptNow(ctx context.Context) error {
	if s.shared == nil || s.halted() {
		return nil
	}
	s.others.looked = time.Time{}
	_, err := s.hear(ctx, s.options.Clock())
	return err
}

// checkLate is checkLedger for records that had not arrived at the start.
func (s *Sealer) checkLate(ctx context.Context) error {
	s.others.unchecked = false
	err := s.checkLedger(ctx)
	var start *StartError
	switch {
	case errors.As(err, &start) && start.Reason == LedgerDiffers:
		return stopf(RecordChanged, "%v", start.Err)
	case errors.As(err, &start):
		return stopf(TreeChanged, "%v", start.Err)
	case err != nil:
		s.others.unchecked = true
		return err
	case s.others.unchecked:
		return fmt.Errorf("%w: the log has not arrived here up to record %d, which is sealed", eventstore.ErrUnavailable, s.published.size)
	}
	return nil
}

// yields lets the node that published last go first, for one turn: otherwise all
// nodes would sign the same second and all but one in vain.
func (s *Sealer) yields(now time.Time) bool {
	if s.shared == nil || !s.others.went {
		return false
	}
	if len(s.batch()) == 0 && now.Sub(s.published.signedAt) < Heartbeat {
		s.others.passed = false
		return false
	}
	first := !s.others.passed
	s.others.passed = true
	return first
}

// lose goes on after another node took the revision.
func (s *Sealer) lose(ctx context.Context, now time.Time) error {
	before := s.published.revision
	waits, err := s.adopt(ctx, now)
	if err != nil || waits || s.published.revision > before {
		return err
	}
	return stopf(RevisionTaken, "the shared history does not have checkpoint %d any more", before)
}

// adopt takes over every checkpoint behind the newest one known whose records
// have arrived here. It reports whether one waits for its records.
func (s *Sealer) adopt(ctx context.Context, now time.Time) (waits bool, err error) {
	for {
		found, bad, err := s.foundBehind(ctx)
		if err != nil {
			return false, err
		}
		arrived := s.arrived(found)
		if err := s.adoptSome(ctx, found[:arrived]); err != nil {
			return false, err
		}
		switch {
		case arrived < len(found):
			return true, s.await(ctx, found[arrived], now)
		case bad != nil:
			return false, stopf(SignatureBad, "%v", bad)
		case len(found) < publishedAtOnce:
			s.others.looked = now
			s.awaitNone()
			return false, nil
		}
	}
}

// foundBehind reads what stands behind the newest checkpoint known. bad is an
// entry behind those found that is no checkpoint.
func (s *Sealer) foundBehind(ctx context.Context) (found []entry, bad, err error) {
	for e, err := range s.shared.behind(ctx, s.published.revision) {
		if errors.Is(err, errEntry) {
			return found, err, nil
		}
		if err != nil {
			return nil, nil, err
		}
		if found = append(found, e); len(found) == publishedAtOnce {
			break
		}
	}
	return found, nil, nil
}

// arrived counts the checkpoints before the first whose records this node has
// not seen.
func (s *Sealer) arrived(found []entry) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, e := range found {
		if e.head.Size > uint64(s.end()) {
			return i
		}
	}
	return len(found)
}

// await notes that a checkpoint waits for its records. What none of the log's
// keys signed is not waited for.
func (s *Sealer) await(ctx context.Context, e entry, now time.Time) error {
	if s.others.waiting != e.revision {
		if err := s.signedByAny(ctx, e); err != nil {
			return err
		}
		s.others.waiting, s.others.since = e.revision, now
	}
	s.mu.Lock()
	s.wanted = e.head.Size
	end := s.end()
	s.mu.Unlock()
	if now.Sub(s.others.since) >= arrival {
		return fmt.Errorf("%w: checkpoint %d of another node covers %d records, of which %d have arrived here", eventstore.ErrUnavailable, e.revision, e.head.Size, end)
	}
	return nil
}

func (s *Sealer) awaitNone() {
	s.others.waiting = 0
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wanted = 0
}

// signedByAny stops at a checkpoint that no key of the keyring signed. Which of
// them must have signed it is known when its records are here.
func (s *Sealer) signedByAny(ctx context.Context, e entry) error {
	keys, err := s.options.Keys.SigningKeys(ctx)
	if err != nil {
		return err
	}
	for _, k := range keys {
		one := merkle.Keys{Origin: s.keys.Origin, Epochs: []merkle.Epoch{{Number: k.Epoch, Public: k.Public}}}
		if _, err := one.Open(e.signed); err == nil {
			return nil
		}
	}
	return stopf(SignatureBad, "checkpoint %d is signed by no key of the log %s", e.revision, s.keys.Origin)
}

// adoptSome takes over checkpoints whose records are here, up to one that
// contradicts what this node sees.
func (s *Sealer) adoptSome(ctx context.Context, found []entry) error {
	if len(found) == 0 {
		return nil
	}
	w, err := s.newWalk(ctx)
	if err != nil {
		return err
	}
	contradiction := s.walk(ctx, w, found)
	if len(w.good) == 0 {
		return contradiction
	}
	count := w.head.size - s.published.size
	grown, err := s.extend(ctx, w.seen[:count])
	if err != nil {
		return err
	}
	if grown.Root != w.head.root {
		return stopf(TreeChanged, "the tiles do not grow to the root of size %d", grown.Size)
	}
	newest := &w.good[len(w.good)-1]
	newest.Tiles = grown.Tiles
	if err := s.shared.adopt(ctx, w.good); err != nil {
		return err
	}
	s.keep(w, *newest, int(count))
	return contradiction
}

// keep goes on from checkpoints that were adopted.
func (s *Sealer) keep(w *walk, newest Publication, sealed int) {
	s.mu.Lock()
	s.published.recorded, s.published.stood = w.head.recorded, w.head.stood
	s.mu.Unlock()
	s.remark(w.kept)
	s.advance(newest, sealed)
	s.others.went, s.others.passed = true, false
	for _, e := range w.keys.Epochs[len(s.keys.Epochs):] {
		s.log.Info("signing key in force", "epoch", e.Number, "size", e.FromSize)
		s.retiring = true
	}
	s.keys = w.keys
}

// walk compares checkpoints of other nodes, one after the other, with the tree
// that grows from this node's own records.
type walk struct {
	head  head // the last good one
	keys  merkle.Keys
	seen  []eventstore.Hash // behind the newest checkpoint of the copy
	first uint64            // size at which seen begins
	grown *merkle.Growing
	good  []Publication // without tiles
	late  lateness      // of the records read, also behind the last good one
	kept  lateness      // of those the last good one covers
}

// newWalk begins at the newest checkpoint of the copy, after making sure that
// the tree has its root.
func (s *Sealer) newWalk(ctx context.Context) (*walk, error) {
	if _, err := s.extend(ctx, nil); err != nil {
		return nil, err
	}
	size := s.published.size
	state, err := merkle.ProveRange(s.tiles(ctx).Reader(), size, size, size)
	if err != nil {
		return nil, s.treeError(err)
	}
	grown, err := merkle.ResumeGrowing(size, state)
	if err != nil {
		return nil, s.treeError(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := merkle.Keys{Origin: s.keys.Origin, Epochs: append([]merkle.Epoch(nil), s.keys.Epochs...)}
	return &walk{head: s.published, keys: keys, seen: s.seen, first: size, grown: grown}, nil
}

// walk returns the contradiction, or failure, that ended it.
func (s *Sealer) walk(ctx context.Context, w *walk, found []entry) error {
	next, stop := iter.Pull2(s.options.Log.ReadAll(ctx, eventstore.Sequence(w.first+1)))
	defer stop()
	for _, e := range found {
		if e.head.Size < w.head.size {
			return stopf(HistoryBack, "checkpoint %d has size %d, the one before %d", e.revision, e.head.Size, w.head.size)
		}
		recorded, epoch, err := s.walkTo(w, e.head.Size, next)
		if err != nil {
			return err
		}
		if err := s.judge(w, e, recorded, epoch); err != nil {
			return err
		}
	}
	return nil
}

// walkTo reads records until the tree has a size, and returns the latest time
// of any, and the key that the last one announces.
func (s *Sealer) walkTo(w *walk, size uint64, next func() (eventstore.Record, error, bool)) (recorded time.Time, epoch *merkle.Epoch, err error) {
	recorded = w.head.recorded
	for at := w.grown.Size(); at < size; at++ {
		r, err, ok := next()
		switch {
		case !ok:
			return recorded, nil, stopf(SizeBack, "the log ends at sequence %d, seen were %d", at, w.first+uint64(len(w.seen)))
		case err != nil:
			return recorded, nil, err
		case epoch != nil:
			return recorded, nil, stopf(KeyUnknown, "a checkpoint of size %d goes beyond record %d, which announces a key", size, at)
		}
		older, err := s.check(w.head, r, w.seen[at-w.first], recorded, at+1)
		if err != nil {
			return recorded, nil, err
		}
		w.late.add(r, older)
		if !w.knows(uint64(r.Sequence)) {
			if epoch, err = s.announced(w.keys, r); err != nil {
				return recorded, nil, stopf(KeyUnknown, "%v", err)
			}
		}
		if err := w.grown.Append(r.Leaf()); err != nil {
			return recorded, nil, err
		}
		recorded = later(recorded, r.RecordedAt)
	}
	return recorded, epoch, nil
}

// knows reports whether a key was in force from a size on when the history was
// begun: one that was begun anew starts with several keys.
func (w *walk) knows(size uint64) bool {
	for _, e := range w.keys.Epochs {
		if e.FromSize == size {
			return true
		}
	}
	return false
}

// judge takes a checkpoint that the records up to its size agree with.
func (s *Sealer) judge(w *walk, e entry, recorded time.Time, epoch *merkle.Epoch) error {
	keys := w.keys
	if epoch != nil {
		keys.Epochs = append(keys.Epochs[:len(keys.Epochs):len(keys.Epochs)], *epoch)
	}
	at, err := keys.SignedAt(e.signed)
	if err != nil {
		return stopf(SignatureBad, "checkpoint %d: %v", e.revision, err)
	}
	if epoch != nil && !keys.SignedBy(e.signed, w.keys.Epochs[len(w.keys.Epochs)-1]) {
		return stopf(SignatureBad, "checkpoint %d puts key %d in force and is not signed by the one before", e.revision, epoch.Number)
	}
	root, err := w.grown.Root()
	switch {
	case err != nil:
		return err
	case e.head.Root != root:
		return stopf(RootDiffers, "checkpoint %d of another node has root %x for size %d, the records here have %x", e.revision, e.head.Root, e.head.Size, root)
	case at.Before(w.head.signedAt):
		return stopf(HistoryBack, "checkpoint %d is signed as of %s, before the one before it", e.revision, at.Format(time.RFC3339))
	case !sameEpoch(epoch, e.epoch):
		return stopf(KeyUnknown, "checkpoint %d of another node does not put that key in force which the log announces", e.revision)
	}
	stood := eventstore.Sequence(0)
	if e.revision == 1 || epoch != nil || e.head.Size-w.head.size >= uint64(s.options.Step) {
		stood = math.MaxUint64 // see standing
	}
	w.head = head{revision: e.revision, size: e.head.Size, root: root, signedAt: at, recorded: recorded, stood: stood}
	w.keys, w.kept = keys, w.late
	w.good = append(w.good, Publication{Revision: e.revision, Checkpoint: e.head, Signed: e.signed, At: at, Epoch: epoch})
	return nil
}

func sameEpoch(a, b *merkle.Epoch) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Number == b.Number && a.FromSize == b.FromSize && a.Public.Equal(b.Public)
}
