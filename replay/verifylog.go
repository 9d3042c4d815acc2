package replay

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/merkle"
)

// tileLeaves is how many leaf hashes a full tile of level 0 holds.
const tileLeaves = 1 << merkle.TileHeight

// head is where a stream stands.
type head struct {
	Count uint64 // records seen; the next revision
	Leaf  eventstore.Hash
	At    int64 // time of the newest, µs since 1970
}

// logWalk goes through a log in order. It belongs to one goroutine.
type logWalk struct {
	LogCheck
	State // where it stands

	keys     merkle.Keys
	usable   bool // keys can verify something
	tree     *merkle.Growing
	end      eventstore.Sequence // newest record when it began
	sealed   merkle.Published    // newest checkpoint then; zero when there is none
	sealedTo uint64              // its size, as it says
	anchor   eventstore.Mark     // compared where the walk reaches it
	running  bool                // the store keeps running hashes
	held     []seal              // the auditor's checkpoints, by size

	tile     []byte // of level 0, holding the leaf of the next record
	tileAt   int64  // its number; -1 before the first
	seals    chan seal
	next     *seal // read ahead
	sealsEnd bool
}

func newLogWalk(ctx context.Context, c LogCheck) (*logWalk, error) {
	if c.Most == 0 {
		c.Most = 20
	}
	if c.Workers == 0 {
		c.Workers = 2
	}
	if c.Progress == nil {
		c.Progress = func(uint64, uint64) {}
	}
	if c.Disorder == 0 {
		c.Disorder = disorderOf(c.Records)
	}
	c.Disorder = min(c.Disorder, eventstore.LateLimit)
	w := &logWalk{LogCheck: c, State: newState(), tileAt: -1}
	w.State.Options = c.fingerprint()
	if c.Resume != nil {
		if err := c.Resume.fits(ctx, c); err != nil {
			return nil, err
		}
		w.State = *c.Resume
		w.Report.ResumedAt = uint64(w.Mark.Sequence)
	}
	var err error
	if w.tree, err = merkle.ResumeGrowing(w.TreeSize, w.Tree); err != nil {
		return nil, fmt.Errorf("%w: the state of the interrupted verification: %w", ErrUsage, err)
	}
	return w, w.bounds(ctx)
}

// bounds fixes how far the verification goes: first the checkpoints, then the
// anchor, then the log, each of which is behind the next while the product runs.
func (w *logWalk) bounds(ctx context.Context) (err error) {
	problem := ""
	if w.keys, problem, err = trusted(ctx, w.History, w.Keys); err != nil {
		return err
	}
	w.usable = len(w.keys.Epochs) > 0
	w.Report.KeysPinned, w.Report.Epochs, w.Report.Held = w.LogCheck.Keys != nil, len(w.keys.Epochs), len(w.Held)
	w.sealed, err = w.History.Latest(ctx)
	if err != nil && !errors.Is(err, eventstore.ErrNotFound) {
		return fmt.Errorf("read the newest checkpoint: %w", err)
	}
	if c, err := merkle.Unverified(w.sealed.Signed); err == nil {
		w.sealedTo = c.Size
	}
	var unreliable error
	w.anchor, unreliable = w.Records.Anchored(ctx)
	w.running = !errors.Is(unreliable, eventstore.ErrNotFound)
	if w.end, _, err = w.Records.Head(ctx); err != nil {
		return fmt.Errorf("read the log's head: %w", err)
	}
	w.Report.Head, w.Report.Anchored = uint64(w.end), uint64(w.anchor.Sequence)
	if w.Report.ResumedAt > 0 {
		return nil // the rest was said by the interrupted run
	}
	if problem != "" && w.end > 0 {
		w.fail(ByKeys, nil, "%s", problem)
	}
	if w.running && unreliable != nil {
		w.fail(ByAnchor, nil, "the anchor cannot be relied on: %v", unreliable)
	}
	if w.sealed.Revision == 0 && w.end > 0 {
		w.fail(ByCheckpoint, nil, "%d records, and no checkpoint was ever published", w.end)
	}
	return nil
}

// run walks to the end. The goroutines it starts have ended when it returns.
func (w *logWalk) run(ctx context.Context) (LogReport, *State, error) {
	if err := w.openHeld(); err != nil {
		return LogReport{}, nil, err
	}
	reading, stop := context.WithCancel(ctx)
	var sealing sync.WaitGroup
	w.startSeals(reading, &sealing)
	err := w.walk(ctx)
	if err == nil {
		err = w.finish(ctx)
	}
	stop()
	sealing.Wait()
	if ctx.Err() != nil {
		return LogReport{}, w.stand(), ctx.Err()
	}
	if err != nil {
		return LogReport{}, nil, err
	}
	return w.Report, nil, nil
}

func (w *logWalk) startSeals(ctx context.Context, running *sync.WaitGroup) {
	w.seals = make(chan seal, 256)
	if !w.usable {
		close(w.seals)
		return
	}
	s := &sealing{LogCheck: w.LogCheck, keys: w.keys, epoch: w.Epoch, last: w.sealed.Revision, out: w.seals}
	running.Go(func() { s.run(ctx, w.Checkpoint+1) })
}

// openHeld checks the auditor's checkpoints by the keys.
func (w *logWalk) openHeld() error {
	for i, signed := range w.Held {
		c, err := merkle.Unverified(signed)
		if err != nil {
			return fmt.Errorf("%w: held checkpoint %d: %w", ErrUsage, i+1, err)
		}
		held := seal{head: c}
		if w.usable {
			held.at, err = w.keys.SignedAt(signed)
		}
		if err != nil && w.Report.ResumedAt == 0 {
			w.fail(ByHeld, nil, "the log's keys did not sign the checkpoint of size %d that the auditor holds: %v", c.Size, err)
		}
		if c.Size >= uint64(w.Mark.Sequence) {
			w.held = append(w.held, held)
		}
	}
	slices.SortStableFunc(w.held, func(a, b seal) int { return cmp.Compare(a.head.Size, b.head.Size) })
	return nil
}

// walk checks the records in order, and the checkpoints where they are reached.
// Behind a range without any record it looks for the next one and begins there:
// a damaged sequence can be any number.
func (w *logWalk) walk(ctx context.Context) error {
	if err := w.reached(ctx); err != nil {
		return err
	}
	for w.Mark.Sequence < w.end {
		if err := w.stretch(ctx); err != nil {
			return err
		}
		if w.Mark.Sequence < w.end {
			found, err := w.nextRecord(ctx)
			if err != nil || !found {
				return err
			}
		}
	}
	return nil
}

// stretch walks until the end or a range without records. The goroutines that
// read have ended when it returns.
func (w *logWalk) stretch(ctx context.Context) error {
	hashing := startHashing(ctx, w.Records, w.Workers, w.Mark.Sequence, w.end, isRotation)
	defer hashing.wait()
	for n := 0; ; n++ {
		c, ok := hashing.chunk(n)
		if !ok || ctx.Err() != nil {
			return ctx.Err()
		}
		if c.err != nil {
			return c.err
		}
		for i := range c.records {
			if err := w.step(ctx, &c.records[i]); err != nil {
				return err
			}
		}
		if c.damaged != nil {
			w.fail(ByFormat, nil, "the file cannot be read after record @%d: %v", w.Mark.Sequence, c.damaged)
			w.skip(c.upto)
		}
		if len(c.records) == 0 {
			return nil
		}
		w.Progress(uint64(w.Mark.Sequence), uint64(w.end))
	}
}

// nextRecord goes to before the next record there is.
func (w *logWalk) nextRecord(ctx context.Context) (found bool, err error) {
	for s, err := range w.Records.Stored(ctx, w.Mark.Sequence, w.end) {
		if errors.Is(err, eventstore.ErrDamaged) {
			w.fail(ByFormat, nil, "the file cannot be read after record @%d: %v", w.Mark.Sequence, err)
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("read the log: %w", err)
		}
		if s.Sequence > w.Mark.Sequence+1 {
			w.fail(BySequence, nil, "records @%d to @%d are missing", w.Mark.Sequence+1, s.Sequence-1)
			w.skip(s.Sequence - 1)
		}
		return true, nil
	}
	return false, nil
}

// skip goes on behind what is not there. The tree is whole no more.
func (w *logWalk) skip(to eventstore.Sequence) {
	w.Mark.Sequence = max(w.Mark.Sequence, to)
	w.Torn = true
}

func (w *logWalk) step(ctx context.Context, h *hashed) error {
	if missing := w.Mark.Sequence + 1; h.Sequence > missing {
		w.fail(BySequence, nil, "records @%d to @%d are missing", missing, h.Sequence-1)
		w.skip(h.Sequence - 1)
	}
	if h.malformed != "" {
		w.fail(ByFormat, &hashed{Record: eventstore.Record{Sequence: h.Sequence}}, "%s", h.malformed)
		w.skip(h.Sequence)
		return nil
	}
	if err := w.leaf(ctx, h); err != nil {
		return err
	}
	w.hashes(h)
	w.times(h, w.chain(h))
	w.rotation(h)
	w.IDs = append(w.IDs, binary.BigEndian.Uint64(h.ID[:8]))
	w.LastLeaf = h.leaf
	w.Report.Records++
	if err := w.tree.Append(h.leaf); err != nil {
		return fmt.Errorf("build the tree at @%d: %w", h.Sequence, err)
	}
	return w.reached(ctx)
}

// hashes checks the running hash, and the anchor where it stands. It goes on
// from what is stored, so that one change is told once.
func (w *logWalk) hashes(h *hashed) {
	w.Mark = w.Mark.Next(h.leaf)
	if !w.running {
		return
	}
	if w.Mark.Running != h.running {
		w.fail(ByRunningHash, h, "it does not have the hash it was written with")
		w.Mark.Running = h.running
	}
	if w.Mark.Sequence == w.anchor.Sequence && w.Mark.Running != w.anchor.Running {
		w.fail(ByAnchor, h, "the log's hash here is not the one acknowledged")
	}
}

// leaf compares with the tiles the tree was built from: they name the record
// where roots name a range.
func (w *logWalk) leaf(ctx context.Context, h *hashed) error {
	index := merkle.Index(h.Sequence)
	if index >= w.sealedTo || w.TilesLost {
		return nil
	}
	if n := int64(index / tileLeaves); n != w.tileAt {
		tile, err := w.History.Tile(ctx, 0, n)
		if errors.Is(err, eventstore.ErrNotFound) {
			w.fail(ByTile, h, "the tile with its leaf hash is missing")
			w.TilesLost = true
			return nil
		}
		if err != nil {
			return fmt.Errorf("read tile %d: %w", n, err)
		}
		w.tile, w.tileAt = tile, n
	}
	at := int(index%tileLeaves) * len(h.leaf)
	if len(w.tile) < at+len(h.leaf) {
		w.fail(ByTile, h, "the tile does not reach its leaf hash")
		w.TilesLost = true
	} else if string(w.tile[at:at+len(h.leaf)]) != string(h.leaf[:]) {
		w.fail(ByTile, h, "it is not the record the tree was built from")
	}
	return nil
}

// chain checks the stream, and goes on from the record. It returns where the
// stream stood before.
func (w *logWalk) chain(h *hashed) head {
	before := w.Heads[h.key]
	switch {
	case uint64(h.Revision) != before.Count:
		w.fail(ByChain, h, "revision %d of its stream was expected; records are missing or repeated", before.Count)
	case !h.chained:
		w.fail(ByChain, h, "its metadata does not begin with the hash of the previous record")
	case h.prev != before.Leaf && before.Count == 0:
		w.fail(ByChain, h, "the first record of its stream names a previous one")
	case h.prev != before.Leaf:
		w.fail(ByChain, h, "its prev is not the leaf hash of revision %d; one of the two was altered", before.Count-1)
	}
	w.Heads[h.key] = head{Count: uint64(h.Revision) + 1, Leaf: h.leaf, At: h.RecordedAt.UnixMicro()}
	return before
}

// elder is something that precedes a record, and by how much the record may be
// older than it.
type elder struct {
	at                time.Time
	allowed, disorder time.Duration // see eventstore.Judge
	says              string        // format: what the record says, and what its elder
}

// times checks that time does not go back, in the record's stream at all and in
// the log by more than it may, and that a record is not older than the last word
// that it was not there yet.
func (w *logWalk) times(h *hashed, before head) {
	stream := elder{says: "it was recorded at %s, and the record before it in its stream at %s"}
	if w.Disorder > 0 && before.Count > 0 { // without disorder the log's order says it too
		stream.at = time.UnixMicro(before.At)
	}
	worst, by := eventstore.InTime, elder{}
	for _, e := range [...]elder{
		stream,
		{w.Last, w.Disorder, w.Disorder, "it was recorded at %s, after one recorded at %s"},
		{w.Whole, clockAllowance, w.Disorder, "it says %s, but a checkpoint signed at %s does not have it"},
		{w.HeldAt, clockAllowance, w.Disorder, "it says %s, but the auditor's checkpoint signed at %s does not have it"},
		{w.Witnessed, witnessAllowance, w.Disorder, "it says %s, but a checkpoint cosigned at %s does not have it"},
	} {
		if l := eventstore.Judge(e.at.Sub(h.RecordedAt), e.allowed, e.disorder); l > worst {
			worst, by = l, e
		}
	}
	switch worst {
	case eventstore.BackDated:
		w.fail(ByTime, h, by.says, precise(h.RecordedAt), precise(by.at))
	case eventstore.Late:
		w.late(h, fmt.Sprintf(by.says, precise(h.RecordedAt), precise(by.at)))
	}
	if h.RecordedAt.After(w.Last) {
		w.Last = h.RecordedAt
	}
}

// late remarks on a record that came later than its time lets expect, at most
// eventstore.LateLimit. The first are named.
func (w *logWalk) late(h *hashed, problem string) {
	if w.Report.Late++; w.Report.Late <= uint64(w.Most) {
		w.find("record @%d %s %s in %s came late: %s", h.Sequence, h.Type, h.ID, h.Stream, problem)
	}
}

// precise is a moment in UTC to the microsecond, as records have it.
func precise(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }

// isRotation reports whether a record announces a key.
func isRotation(r eventstore.Record) bool {
	return r.Type == "KeyRotated" && r.Stream == domain.KeyringStream()
}

// rotation compares a signing key the log announces with the keys.
func (w *logWalk) rotation(h *hashed) {
	if !isRotation(h.Record) {
		return
	}
	d, err := w.Codec.Decode(h.Record)
	if err != nil {
		w.fail(ByFormat, h, "it cannot be read: %v", err)
		return
	}
	w.RotatedAt = h.Sequence
	e, ok := d.Event.(domain.KeyRotated)
	if !ok || e.Kind != domain.KeySigning || e.Epoch <= 1 {
		return
	}
	w.Announced = append(w.Announced, e.Epoch)
	for _, k := range w.keys.Epochs {
		if k.Number != e.Epoch {
			continue
		}
		if k.FromSize != uint64(h.Sequence) || base64.StdEncoding.EncodeToString(k.Public) != e.PublicKey {
			w.fail(ByKeys, h, "it announces key epoch %d, and the keys say otherwise: from size %d", e.Epoch, k.FromSize)
		}
		return
	}
	w.fail(ByKeys, h, "it announces key epoch %d, which the keys do not have", e.Epoch)
}

// finish says what is missing behind the last record.
func (w *logWalk) finish(ctx context.Context) error {
	size := uint64(w.Mark.Sequence)
	if w.Mark.Sequence < w.end {
		w.fail(BySequence, nil, "records @%d to @%d are missing", size+1, w.end)
	}
	if w.running && size < uint64(w.anchor.Sequence) {
		w.fail(ByAnchor, nil, "the log ends at @%d, acknowledged were %d records", size, w.anchor.Sequence)
	}
	for _, held := range w.held {
		w.fail(ByHeld, nil, "the log ends at @%d, but the auditor holds a checkpoint of size %d", size, held.head.Size)
	}
	if err := w.beyond(ctx, size); err != nil {
		return err
	}
	w.epochs()
	if !w.Policy.Empty() && w.Report.Cosigned == 0 {
		w.fail(ByWitness, nil, "no checkpoint has the cosignatures the policy asks for")
	}
	if w.Report.Cosigned > 0 && w.Report.SignedAt.Sub(w.Covered) > witnessAllowance {
		w.fail(ByWitness, nil, "nothing signed after %s has the cosignatures the policy asks for; the newest checkpoint is of %s", precise(w.Covered), precise(w.Report.SignedAt))
	} else if w.Report.CosignedTo < w.Report.Sealed && !w.Policy.Empty() {
		w.find("records @%d to @%d stand under no checkpoint with a quorum of witnesses yet", w.Report.CosignedTo+1, w.Report.Sealed)
	}
	if named := uint64(w.Most); w.Report.Late > named {
		w.find("%s more came late, by at most %s", plural(int64(w.Report.Late-named), "record"), eventstore.LateLimit)
	}
	if w.Silences > 0 {
		w.find("nothing was signed for more than %s on %s, longest from %s to %s",
			quietAllowance, plural(w.Silences, "occasion"), precise(w.SilentFrom), precise(w.SilentTo))
	}
	if w.usable && w.Report.Sealed < size {
		w.find("records @%d to @%d are not sealed yet", w.Report.Sealed+1, size)
	}
	if err := w.repeatedIDs(ctx); err != nil {
		return err
	}
	root, err := w.tree.Root()
	w.Report.Root, w.Report.RootHex, w.Report.Streams = root, root.String(), len(w.Heads)
	return err
}

// beyond tells of checkpoints that are larger than the log.
func (w *logWalk) beyond(ctx context.Context, size uint64) error {
	told := false
	for {
		s, err := w.peek(ctx)
		if s == nil || err != nil {
			break
		}
		w.Report.Checkpoints++
		if !told {
			w.failAt(ByCheckpoint, s.revision, "the log ends at @%d, but the checkpoint signed at %s has %d records", size, precise(s.at), s.head.Size)
		}
		told, w.next = true, nil
	}
	if w.Checkpoint < w.sealed.Revision && w.usable && !told {
		w.failAt(ByCheckpoint, w.Checkpoint+1, "checkpoints %d to %d are missing", w.Checkpoint+1, w.sealed.Revision)
	}
	return ctx.Err()
}

// epochs checks that each key but the first was announced in the log.
func (w *logWalk) epochs() {
	for i, e := range w.keys.Epochs {
		if i > 0 && !slices.Contains(w.Announced, e.Number) {
			w.fail(ByKeys, nil, "no record announces key epoch %d", e.Number)
		}
	}
}

// repeatedIDs looks for event ids that stand twice. Only when the first halves
// of two are equal does it read the log again.
func (w *logWalk) repeatedIDs(ctx context.Context) error {
	ids := slices.Clone(w.IDs)
	slices.Sort(ids)
	suspect := map[uint64]bool{}
	for i := 1; i < len(ids); i++ {
		if ids[i] == ids[i-1] {
			suspect[ids[i]] = true
		}
	}
	if len(suspect) == 0 {
		return nil
	}
	first := map[eventstore.EventID]eventstore.Sequence{}
	for s, err := range w.Records.Stored(ctx, 0, w.end) {
		if err != nil || s.Malformed != "" || !suspect[binary.BigEndian.Uint64(s.ID[:8])] {
			if err != nil && !errors.Is(err, eventstore.ErrDamaged) {
				return fmt.Errorf("read the log: %w", err)
			}
			continue
		}
		if before, ok := first[s.ID]; ok {
			w.fail(ByID, &hashed{Record: s.Record}, "its id is that of record @%d", before)
			continue
		}
		first[s.ID] = s.Sequence
	}
	return nil
}

// fail records what is not as it was written; h may be nil.
func (w *logWalk) fail(by Mechanism, h *hashed, format string, args ...any) {
	f := Failure{Mechanism: by, Problem: fmt.Sprintf(format, args...)}
	if h != nil {
		f.Sequence = h.Sequence
	}
	if h != nil && h.Stream != "" {
		revision := uint64(h.Revision)
		f.Stream, f.Revision, f.Type, f.ID = h.Stream, &revision, h.Type, h.ID.String()
	}
	w.add(f)
}

// failAt is fail for a checkpoint.
func (w *logWalk) failAt(by Mechanism, revision uint64, format string, args ...any) {
	w.add(Failure{Mechanism: by, Checkpoint: revision, Problem: fmt.Sprintf(format, args...)})
}

// add keeps the first failures, and the first of every mechanism.
func (w *logWalk) add(f Failure) {
	w.Report.Failed++
	if len(w.Report.Failures) < w.Most || !w.Report.Found(f.Mechanism) {
		w.Report.Failures = append(w.Report.Failures, f)
	}
}

func (w *logWalk) find(format string, args ...any) {
	w.Report.Findings = append(w.Report.Findings, fmt.Sprintf(format, args...))
}
