package esdbtest

import (
	"bytes"
	"maps"
	"math"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

// The rules of the log, stated once:
//
//   - Positions are byte offsets: increasing, never dense, never 0. The commit
//     and the prepare position of an event are equal and its own.
//   - Revisions of a stream are dense and go on after a soft delete.
//   - An append at NoStream or at a revision compares event ids when the stream
//     has grown past it: all equal is a repeat that succeeds with the old
//     revision and position; equal in part, or longer than what stands there, is
//     a wrong expected version.
//   - With Any and StreamExists repeats are only looked for among the last
//     recentIDs events of the stream.
//   - Events stay in $all after a soft delete, a truncation or a tombstone, until
//     scavenge removes them.
const (
	recentIDs      = 100
	firstPosition  = 1_573 // so that no event has position 0, as on a server that has started once
	deletedStream  = math.MaxInt64
	tombstoneType  = "$streamDeleted"
	metadataType   = "$metadata"
	metadataPrefix = "$$"
)

// Event is one recorded event. Its slices are the log's own: read only.
type Event struct {
	ID          uuid.UUID
	Stream      string
	Revision    uint64
	Position    uint64 // commit and prepare position
	Type        string
	ContentType string
	Created     time.Time
	Data        []byte
	Metadata    []byte // the custom metadata
}

// sizeBytes is what the event takes in the log: the step to the next position.
func (e *Event) sizeBytes() uint64 {
	return uint64(96 + len(e.Stream) + 2*len(e.Type) + len(e.Data) + len(e.Metadata))
}

// Proposed is an event before it has a place in the log.
type Proposed struct {
	ID          uuid.UUID // a random one when zero
	Type        string
	ContentType string // "application/json" when empty
	Data        []byte
	Metadata    []byte
}

type stream struct {
	first     uint64   // revision of events[0]; raised by scavenging
	events    []*Event // dense by revision; only appended to
	tombstone *Event
}

func (s *stream) next() uint64 { return s.first + uint64(len(s.events)) }

// at returns the event of a revision, nil when there is none (any more).
func (s *stream) at(revision uint64) *Event {
	if revision < s.first || revision >= s.next() {
		return nil
	}
	return s.events[revision-s.first]
}

// ledger is the log all members of the cluster share.
type ledger struct {
	now func() time.Time // with the offset a test may set

	mu      sync.RWMutex // guards everything below
	all     []*Event     // by position; a slice once read is never changed
	streams map[string]*stream
	meta    map[string]streamMeta // of a stream, from its $$ stream
	end     uint64                // position of the next event
	changed chan struct{}         // closed and replaced by every change
}

func newLedger(now func() time.Time) *ledger {
	return &ledger{
		now: now, streams: map[string]*stream{}, meta: map[string]streamMeta{},
		end: firstPosition, changed: make(chan struct{}),
	}
}

// wake tells every reader that what it may see has changed.
func (l *ledger) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wakeLocked()
}

func (l *ledger) wakeLocked() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// place is where an append stands in the log.
type place struct {
	none     bool   // nothing was written and the stream is empty
	revision uint64 // of the last event
	position uint64 // of the last event
}

// append writes events, or recognises them, or returns a *wrongVersion or a
// *streamGone.
func (l *ledger) append(name string, want expected, events []Proposed) (place, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, err := l.live(name)
	if err != nil {
		return place{}, err
	}
	switch l.verdict(name, s, want, events) {
	case repeats:
		last := s.at(l.foundAt(s, want, events) + uint64(len(events)) - 1)
		return place{revision: last.Revision, position: last.Position}, nil
	case conflicts:
		return place{}, l.wrong(s, want)
	}
	if l.meta[name].softDeleted() && len(events) > 0 {
		l.undelete(name, s.next())
	}
	at := place{none: true}
	if s != nil && len(s.events) > 0 {
		end := s.events[len(s.events)-1]
		at = place{revision: end.Revision, position: end.Position}
	}
	for _, e := range events {
		recorded := l.add(name, e)
		at = place{revision: recorded.Revision, position: recorded.Position}
	}
	if len(events) > 0 {
		l.wakeLocked()
	}
	return at, nil
}

// live returns the stream, nil when it never was written, and a *streamGone
// when it, or the stream whose metadata it is, carries a tombstone.
func (l *ledger) live(name string) (*stream, error) {
	if s := l.streams[strings.TrimPrefix(name, metadataPrefix)]; s != nil && s.tombstone != nil {
		return nil, &streamGone{name}
	}
	return l.streams[name], nil
}

func (l *ledger) wrong(s *stream, want expected) error {
	w := &wrongVersion{want: want}
	if s != nil && s.next() > 0 {
		w.exists, w.current = true, s.next()-1
	}
	return w
}

type verdict int

const (
	writes verdict = iota
	repeats
	conflicts
)

func (l *ledger) verdict(name string, s *stream, want expected, events []Proposed) verdict {
	var next uint64
	if s != nil {
		next = s.next()
	}
	deleted := l.meta[name].softDeleted()
	switch want.kind {
	case anyRevision, streamExists:
		if want.kind == streamExists && (next == 0 || deleted) {
			return conflicts
		}
		if first := l.foundAt(s, want, events); first == notFound {
			return writes
		} else if sameIDs(s, first, events) < len(events) {
			return conflicts
		}
		return repeats
	}
	start := want.next()
	if start >= next {
		if start == next {
			return writes
		}
		return conflicts
	}
	switch same := sameIDs(s, start, events); {
	case same == len(events) && same > 0:
		return repeats
	case same == 0 && deleted && want.kind == noStream:
		return writes
	}
	return conflicts
}

const notFound = math.MaxUint64

// foundAt returns the revision at which a repeat of events would begin.
func (l *ledger) foundAt(s *stream, want expected, events []Proposed) uint64 {
	if want.kind == noStream || want.kind == exactRevision {
		return want.next()
	}
	if s == nil || len(events) == 0 {
		return notFound
	}
	for i := len(s.events) - 1; i >= max(0, len(s.events)-recentIDs); i-- {
		if s.events[i].ID == events[0].ID {
			return s.events[i].Revision
		}
	}
	return notFound
}

// sameIDs counts how many events stand in the stream from a revision on.
func sameIDs(s *stream, from uint64, events []Proposed) int {
	for i, e := range events {
		if at := s.at(from + uint64(i)); at == nil || at.ID != e.ID {
			return i
		}
	}
	return len(events)
}

// add records one event; the caller holds mu and wakes the readers.
func (l *ledger) add(name string, p Proposed) *Event {
	s := l.streams[name]
	if s == nil {
		s = &stream{}
		l.streams[name] = s
	}
	e := l.record(name, s.next(), p)
	s.events = append(s.events, e)
	if of, ok := strings.CutPrefix(name, metadataPrefix); ok {
		l.meta[of] = parseMeta(e.Data)
	}
	return e
}

func (l *ledger) record(name string, revision uint64, p Proposed) *Event {
	if p.ID == uuid.Nil {
		p.ID = uuid.New()
	}
	if p.ContentType == "" {
		p.ContentType = "application/json"
	}
	e := &Event{
		ID: p.ID, Stream: name, Revision: revision, Position: l.end,
		Type: p.Type, ContentType: p.ContentType, Created: l.now(),
		Data: bytes.Clone(p.Data), Metadata: bytes.Clone(p.Metadata),
	}
	l.end += e.sizeBytes()
	l.all = append(l.all, e)
	return e
}

// delete soft-deletes a stream: its events disappear from reads of it, its
// revisions go on when it is written to again. It returns the position of the
// metadata event that says so.
func (l *ledger) delete(name string, want expected) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.checkDelete(name, want); err != nil {
		return 0, err
	}
	e := l.add(metadataPrefix+name, Proposed{Type: metadataType, Data: l.meta[name].with("$tb", deletedStream)})
	l.wakeLocked()
	return e.Position, nil
}

// tombstone deletes a stream for good.
func (l *ledger) tombstone(name string, want expected) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.checkDelete(name, want); err != nil {
		return 0, err
	}
	s := l.streams[name]
	if s == nil {
		s = &stream{}
		l.streams[name] = s
	}
	s.tombstone = l.record(name, deletedStream, Proposed{Type: tombstoneType, ContentType: "application/octet-stream"})
	l.wakeLocked()
	return s.tombstone.Position, nil
}

func (l *ledger) checkDelete(name string, want expected) error {
	s, err := l.live(name)
	if err != nil {
		return err
	}
	if l.verdict(name, s, want, nil) != writes {
		return l.wrong(s, want)
	}
	return nil
}

// undelete lets a soft-deleted stream go on at next.
func (l *ledger) undelete(name string, next uint64) {
	l.add(metadataPrefix+name, Proposed{Type: metadataType, Data: l.meta[name].with("$tb", int64(next))})
}

// read returns the events of a stream that its metadata lets through and that
// stand below a position, oldest first. found is false for a stream that never
// was written or is soft-deleted.
func (l *ledger) read(name string, below uint64) (events []*Event, found bool, err error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if s := l.streams[strings.TrimPrefix(name, metadataPrefix)]; s != nil && s.tombstone != nil && s.tombstone.Position < below {
		return nil, false, &streamGone{name}
	}
	s, meta := l.streams[name], l.meta[name]
	if s == nil || meta.softDeleted() {
		return nil, false, nil
	}
	events = s.events[:sort.Search(len(s.events), func(i int) bool { return s.events[i].Position >= below })]
	if strings.HasPrefix(name, metadataPrefix) {
		meta.maxCount = 1
	}
	return meta.visible(events, l.now()), len(events) > 0, nil
}

// readAll returns every event below a position, oldest first.
func (l *ledger) readAll(below uint64) []*Event {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.all[:after(l.all, below)]
}

// last returns the n events of a stream that end at a revision.
func (l *ledger) last(name string, revision uint64, n int) []Event {
	l.mu.RLock()
	defer l.mu.RUnlock()
	events := make([]Event, 0, n)
	for i := range uint64(n) {
		if e := l.streams[name].at(revision + 1 + i - uint64(n)); e != nil {
			events = append(events, *e)
		}
	}
	return events
}

// after returns the index of the first event at a position or behind it.
func after(events []*Event, position uint64) int {
	return sort.Search(len(events), func(i int) bool { return events[i].Position >= position })
}

// horizon returns the position below which a member sees events when it is
// behind by a number of them, and a channel that closes when that may change.
func (l *ledger) horizon(lagEvents int) (uint64, <-chan struct{}) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	switch behind := len(l.all) - lagEvents; {
	case lagEvents <= 0:
		return l.end, l.changed
	case behind < len(l.all) && behind >= 0:
		return l.all[behind].Position, l.changed
	default:
		return 0, l.changed
	}
}

// scavenge removes what reads no longer show: truncated events, except the last
// of a stream, and those of streams with a tombstone.
func (l *ledger) scavenge() {
	l.mu.Lock()
	defer l.mu.Unlock()
	gone := map[*Event]bool{}
	for _, name := range slices.Sorted(maps.Keys(l.streams)) {
		s := l.streams[name]
		kept := l.kept(name, s)
		for _, e := range s.events[:len(s.events)-len(kept)] {
			gone[e] = true
		}
		s.first, s.events = s.next()-uint64(len(kept)), slices.Clone(kept)
	}
	kept := make([]*Event, 0, len(l.all)-len(gone))
	for _, e := range l.all {
		if !gone[e] {
			kept = append(kept, e)
		}
	}
	l.all = kept
	l.wakeLocked()
}

func (l *ledger) kept(name string, s *stream) []*Event {
	of := l.streams[strings.TrimPrefix(name, metadataPrefix)]
	if s.tombstone != nil || of != nil && of.tombstone != nil {
		return nil
	}
	meta := l.meta[name]
	if strings.HasPrefix(name, metadataPrefix) {
		meta.maxCount = 1
	}
	kept := meta.visible(s.events, l.now())
	if len(kept) == 0 && len(s.events) > 0 {
		kept = s.events[len(s.events)-1:]
	}
	return kept
}
