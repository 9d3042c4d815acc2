package sealer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/merkle"
)

// Tick seals what was seen since the last checkpoint, or signs the silence when
// a minute has passed. It returns an error that may pass, such as a full disk;
// the next Tick tries again. After a contradiction it does nothing: see Status.
func (s *Sealer) Tick(ctx context.Context) error { return s.take(ctx, s.tick) }

// take does one turn of sealing.
func (s *Sealer) take(ctx context.Context, turn func(context.Context) error) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	err := turn(ctx)
	var stop *StopError
	if errors.As(err, &stop) {
		s.halt(stop)
		err = nil
	}
	s.mu.Lock()
	s.failing = err
	s.mu.Unlock()
	if err != nil {
		return fmt.Errorf("seal the log: %w", err)
	}
	return nil
}

func (s *Sealer) tick(ctx context.Context) error {
	if s.halted() {
		return nil
	}
	now := s.options.Clock()
	if waits, err := s.hear(ctx, now); err != nil || waits {
		return err
	}
	if err := s.settle(ctx); err != nil {
		return err
	}
	if s.retiring {
		if err := s.retire(ctx); err != nil {
			return err
		}
		s.retiring = false
	}
	if back := s.published.signedAt.Sub(now); back > s.tolerance {
		return stopf(TimeBack, "the clock is %s before the newest checkpoint", back.Round(time.Second))
	}
	if s.yields(now) {
		return nil
	}
	for batch := s.batch(); len(batch) > 0; batch = s.batch() {
		if published, err := s.step(ctx, batch, now); err != nil || !published {
			return err
		}
	}
	if now.Sub(s.published.signedAt) < Heartbeat {
		return nil
	}
	_, err := s.step(ctx, nil, now)
	return err
}

// batch is what the next checkpoint may add.
func (s *Sealer) batch() []eventstore.Hash {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen[:min(len(s.seen), s.options.Step)]
}

// step publishes one checkpoint that adds the records whose leaves were seen, up
// to and with one that announces a signing key. It publishes nothing while
// records that were appended long ago are still to be seen.
func (s *Sealer) step(ctx context.Context, seen []eventstore.Hash, now time.Time) (published bool, err error) {
	read, err := s.reread(ctx, seen)
	if err != nil {
		return false, err
	}
	at := s.signingTime(now)
	if s.partial(read) {
		read.stood, err = s.leavesOut(ctx, read, at)
	} else {
		read.stood, err = s.standing(ctx)
	}
	if err != nil || s.partial(read) && read.stood > 0 {
		return false, err
	}
	grown, err := s.extend(ctx, seen[:read.count])
	if err != nil {
		return false, err
	}
	p, err := s.sign(ctx, grown, at, read.epoch)
	if err != nil {
		return false, err
	}
	if s.shared == nil {
		s.unsure = &attempt{p, read} // on several nodes it is adopted when it was kept
	}
	if err := s.store.Publish(ctx, p); err != nil {
		switch {
		case !errors.Is(err, ErrTaken):
			return false, err
		case s.shared != nil:
			return false, s.lose(ctx, now)
		}
		return false, stopf(RevisionTaken, "%v", err)
	}
	s.unsure, s.others.went = nil, false
	s.proceed(p, read)
	return true, nil
}

// partial reports whether a step says that it covers all there is. A full one,
// and one that ends at a new key, only works off a backlog: what follows it may
// be older than its signature.
func (s *Sealer) partial(read reading) bool { return read.count < s.options.Step && read.epoch == nil }

// leavesOut returns the first record behind a step that would look back-dated
// under a checkpoint of that time; zero for none. A silence leaves out nothing.
func (s *Sealer) leavesOut(ctx context.Context, read reading, at time.Time) (eventstore.Sequence, error) {
	for r, err := range s.options.Log.ReadAll(ctx, eventstore.Sequence(s.published.size)+eventstore.Sequence(read.count)+1) {
		if err != nil {
			return 0, err
		}
		if read.count == 0 || r.RecordedAt.Before(at.Add(-Tolerance)) {
			return r.Sequence, nil
		}
		if s.options.Disorder == 0 {
			return 0, nil // those behind it are no older
		}
	}
	return 0, nil
}

// settle finds out whether the last publication was kept, when its commit left
// that open. Signing another checkpoint for its place would be a fork.
func (s *Sealer) settle(ctx context.Context) error {
	if s.unsure == nil {
		return nil
	}
	latest, err := s.Latest(ctx)
	if err != nil {
		return err
	}
	p, read := s.unsure.publication, s.unsure.read
	switch {
	case latest.Revision == p.Revision-1:
		s.unsure = nil
		return nil
	case latest.Revision == p.Revision && bytes.HasPrefix(latest.Signed, p.Signed):
		s.unsure = nil
		s.proceed(p, read)
		return nil
	}
	return stopf(RevisionTaken, "checkpoint %d was published by somebody else", latest.Revision)
}

// attempt is a publication that was tried.
type attempt struct {
	publication Publication
	read        reading
}

// reading is what the ledger holds of the records to seal.
type reading struct {
	count    int           // leaves that are as they were seen
	epoch    *merkle.Epoch // announced by the last of them
	recorded time.Time     // newest time of any record up to the last of them
	late     lateness      // of them
	// stood is the newest record that was in the ledger when a step was signed
	// that does not cover all there is; zero for any other.
	stood eventstore.Sequence
}

// reread reads the records to seal from the ledger and compares each with what
// was seen when it was appended.
func (s *Sealer) reread(ctx context.Context, seen []eventstore.Hash) (reading, error) {
	read := reading{recorded: s.published.recorded}
	if len(seen) == 0 {
		return read, nil
	}
	for r, err := range s.options.Log.ReadAll(ctx, eventstore.Sequence(s.published.size+1)) {
		if err != nil {
			return read, err
		}
		older, err := s.check(s.published, r, seen[read.count], read.recorded, s.published.size+uint64(read.count)+1)
		if err != nil {
			return read, err
		}
		if read.epoch, err = s.announced(s.keys, r); err != nil {
			return read, stopf(KeyUnknown, "%v", err)
		}
		read.late.add(r, older)
		read.count, read.recorded = read.count+1, later(read.recorded, r.RecordedAt)
		if read.count == len(seen) || read.epoch != nil {
			return read, nil
		}
	}
	return read, stopf(SizeBack, "the ledger ends at sequence %d, appended were %d", s.published.size+uint64(read.count), s.published.size+uint64(len(seen)))
}

// check compares a record behind a checkpoint with what was seen when it was
// appended, and its time with those before it. recorded is the latest of them.
// It returns by how much the record came late, if it did.
func (s *Sealer) check(behind head, r eventstore.Record, seen eventstore.Hash, recorded time.Time, want uint64) (late time.Duration, err error) {
	switch {
	case uint64(r.Sequence) != want:
		return 0, stopf(RecordChanged, "record %d stands where record %d belongs", r.Sequence, want)
	case r.Leaf() != seen:
		return 0, stopf(RecordChanged, "record %d (event %s) is not what was appended", r.Sequence, r.ID)
	}
	return s.age(behind, r, recorded)
}

// age judges the time of a record by those before it and by the checkpoint
// before it.
func (s *Sealer) age(behind head, r eventstore.Record, recorded time.Time) (late time.Duration, err error) {
	older, elder := recorded.Sub(r.RecordedAt), "one before it"
	worst := eventstore.Judge(older, s.options.Disorder, s.options.Disorder)
	if signed := behind.signedAt.Sub(r.RecordedAt); r.Sequence > behind.stood {
		if l := eventstore.Judge(signed, Tolerance, s.options.Disorder); l > worst {
			worst, older, elder = l, signed, "the checkpoint before it"
		}
	}
	switch worst {
	case eventstore.BackDated:
		return 0, stopf(BackDated, "record %d (event %s) is older than %s, by %s", r.Sequence, r.ID, elder, older)
	case eventstore.Late:
		return older, nil
	}
	return 0, nil
}

// lateness tells of records that came late by nobody's fault.
type lateness struct {
	count       uint64
	first, last eventstore.Sequence
	event       eventstore.EventID // the first of them
	most        time.Duration
}

// add takes a record and by how much it came late; zero for one that did not.
func (l *lateness) add(r eventstore.Record, late time.Duration) {
	switch {
	case late == 0:
		return
	case l.count == 0:
		l.first, l.event = r.Sequence, r.ID
	}
	l.count, l.last, l.most = l.count+1, r.Sequence, max(l.most, late)
}

// remark counts and logs late records that were sealed.
func (s *Sealer) remark(l lateness) {
	if l.count == 0 {
		return
	}
	s.mu.Lock()
	s.late += l.count
	s.mu.Unlock()
	s.log.Warn("records came late: they were long under way, or a clock is slow", "records", l.count,
		"first", uint64(l.first), "event", l.event.String(), "last", uint64(l.last), "by_at_most", l.most.String())
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// announced returns the signing key a record announces, or nil.
func (s *Sealer) announced(known merkle.Keys, r eventstore.Record) (*merkle.Epoch, error) {
	number, public, found, err := s.options.Rotation(r)
	if err != nil {
		return nil, fmt.Errorf("signing key in record %d: %w", r.Sequence, err)
	}
	if !found {
		return nil, nil
	}
	e := merkle.Epoch{Number: number, Public: public, FromSize: uint64(r.Sequence)}
	known.Epochs = append(known.Epochs[:len(known.Epochs):len(known.Epochs)], e)
	if err := known.Check(); err != nil {
		return nil, fmt.Errorf("signing key in record %d: %w", r.Sequence, err)
	}
	return &e, nil
}

// extend adds leaves to the tree, after making sure that it still has the root
// that was signed.
func (s *Sealer) extend(ctx context.Context, leaves []eventstore.Hash) (merkle.Extended, error) {
	before, err := s.tiles(ctx).Extend(s.published.size, nil)
	if err != nil {
		return merkle.Extended{}, s.treeError(err)
	}
	if before.Root != s.published.root {
		return merkle.Extended{}, stopf(TreeChanged, "the tiles of size %d do not have the root that was signed", s.published.size)
	}
	if len(leaves) == 0 {
		return before, nil
	}
	grown, err := s.tiles(ctx).Extend(s.published.size, leaves)
	return grown, s.treeError(err)
}

// treeError tells a store that cannot be read now from a tree that is broken.
func (s *Sealer) treeError(err error) error {
	if err == nil || errors.Is(err, eventstore.ErrUnavailable) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return stopf(TreeChanged, "%v", err)
}

// signingTime is the time of the next checkpoint: whole seconds, and held when
// the clock is a little behind.
func (s *Sealer) signingTime(now time.Time) time.Time {
	now = now.UTC().Truncate(time.Second)
	if now.Before(s.published.signedAt) {
		return s.published.signedAt
	}
	return now
}

// sign signs the head of the tree by the key in force. A new key is in force
// from its announcement on; that one checkpoint is signed by the key before, too.
func (s *Sealer) sign(ctx context.Context, grown merkle.Extended, at time.Time, next *merkle.Epoch) (Publication, error) {
	c := merkle.Checkpoint{Origin: s.keys.Origin, Size: grown.Size, Root: grown.Root}
	p := Publication{Revision: s.published.revision + 1, Checkpoint: c, At: at, Tiles: grown.Tiles, Epoch: next}
	signers := []merkle.Signer{s.signer(ctx, s.keys.Epochs[len(s.keys.Epochs)-1])}
	if next != nil {
		signers = append(signers, s.signer(ctx, *next))
	}
	var err error
	p.Signed, err = c.Sign(at, signers...)
	return p, err
}

func (s *Sealer) signer(ctx context.Context, e merkle.Epoch) merkle.Signer {
	return merkle.Signer{Public: e.Public, Sign: func(message []byte) ([]byte, error) {
		return s.options.Keys.Sign(ctx, e.Number, message)
	}}
}

// proceed goes on from a checkpoint that is kept.
func (s *Sealer) proceed(p Publication, read reading) {
	s.mu.Lock()
	s.published.recorded, s.published.stood = read.recorded, read.stood
	s.mu.Unlock()
	s.remark(read.late)
	s.advance(p, read.count)
	if p.Epoch == nil {
		return
	}
	s.keys.Epochs = append(s.keys.Epochs, *p.Epoch)
	s.log.Info("signing key in force", "epoch", p.Epoch.Number, "size", p.Epoch.FromSize)
	s.retiring = true
}

// advance moves the head and lets go of the leaves it covers.
func (s *Sealer) advance(p Publication, sealed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.published.revision, s.published.size = p.Revision, p.Checkpoint.Size
	s.published.root, s.published.signedAt = p.Checkpoint.Root, p.At
	s.seen = append([]eventstore.Hash(nil), s.seen[sealed:]...)
	s.since = p.At
	close(s.changed)
	s.changed = make(chan struct{})
}
