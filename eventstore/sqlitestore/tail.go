package sqlitestore

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/authledger/authledger/eventstore"
)

// place is where a record stands in its stream and in the log.
type place struct {
	revision eventstore.Revision
	sequence eventstore.Sequence
}

// generation indexes a run of records in memory.
type generation struct {
	ids     map[eventstore.EventID]eventstore.Sequence
	streams map[string][]place // ascending
	last    eventstore.Sequence
}

func newGeneration() *generation {
	return &generation{ids: map[eventstore.EventID]eventstore.Sequence{}, streams: map[string][]place{}}
}

func (g *generation) addAll(records []eventstore.Record) {
	for i := range records {
		r := &records[i]
		g.ids[r.ID] = r.Sequence
		g.streams[r.Stream] = append(g.streams[r.Stream], place{r.Revision, r.Sequence})
		g.last = r.Sequence
	}
}

// tail is the newest part of the log: the head, and the index of the records
// that by_id and by_stream may not hold yet. Together they hold everything up
// to the head. The writer changes it after a commit; readers look.
type tail struct {
	mu      sync.RWMutex
	head    mark                // newest record handed to readers
	older   *generation         // being written to the tables; nil when none is
	newer   *generation         // everything after older
	indexed eventstore.Sequence // the tables are whole up to here
	recent  recent              // the newest records up to head; nothing unless the writer is here
	broken  error               // set when the tail no longer knows the log
	back    time.Duration       // how far time goes back between records
	changed chan struct{}       // closed and replaced when head grows, closed at the end
}

func newTail() *tail {
	return &tail{newer: newGeneration(), changed: make(chan struct{})}
}

// declare says how far time goes back.
func (t *tail) declare(back time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.back = back
}

// disorder is what was declared last.
func (t *tail) disorder() time.Duration {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.back
}

// remember keeps the newest of the records acknowledged from now on in memory.
func (t *tail) remember() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.recent = newRecent(recentRecords, recentBytes)
}

// acknowledged publishes what the writer wrote and keeps it for followers. The
// bytes of the records are the tail's from here on.
func (t *tail) acknowledged(records []eventstore.Record, head mark) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.recent.add(records)
	t.publishLocked(records, head)
}

// publish lets readers see records up to head and wakes followers. It keeps
// no bytes of the records.
func (t *tail) publish(records []eventstore.Record, head mark) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.publishLocked(records, head)
}

func (t *tail) publishLocked(records []eventstore.Record, head mark) {
	t.newer.addAll(records)
	t.head = head
	close(t.changed)
	t.changed = make(chan struct{})
}

// freeze makes the newer generation the older one and returns it.
func (t *tail) freeze() *generation {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.older, t.newer = t.newer, newGeneration()
	return t.older
}

// drop forgets the older generation, which the tables now hold.
func (t *tail) drop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.indexed, t.older = t.older.last, nil
}

// state is what one read needs to know of the tail.
type state struct {
	head    eventstore.Sequence
	places  []place // of the stream asked for, those not surely in the tables
	changed <-chan struct{}
	err     error
}

func (t *tail) look(stream string) state {
	t.mu.RLock()
	defer t.mu.RUnlock()
	s := state{head: t.head.sequence, changed: t.changed, err: t.broken}
	if t.older == nil {
		s.places = t.newer.streams[stream]
		return s
	}
	s.places = slices.Concat(t.older.streams[stream], t.newer.streams[stream])
	return s
}

// after returns the records after a sequence from memory, at most limit of
// them; nothing when the first of them is not there.
func (t *tail) after(n eventstore.Sequence, limit int) []eventstore.Record {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.recent.after(n, limit)
}

// recall returns the records of places, which ascend, from memory, at most a
// page; nothing when the first of them is not there.
func (t *tail) recall(places []place) []eventstore.Record {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.recent.at(places)
}

// forget drops the records in memory: from now on the ledger alone says what
// was written.
func (t *tail) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.recent = recent{}
}

// find returns the sequence of an id in the tail.
func (t *tail) find(id eventstore.EventID) (eventstore.Sequence, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.findLocked(id)
}

// findLocked is find for a caller that holds mu, or is the writer.
func (t *tail) findLocked(id eventstore.EventID) (eventstore.Sequence, bool) {
	if n, ok := t.newer.ids[id]; ok {
		return n, true
	}
	if t.older == nil {
		return 0, false
	}
	n, ok := t.older.ids[id]
	return n, ok
}

// newest returns the newest place of a stream in the tail; for the writer.
func (t *tail) newest(stream string) (place, bool) {
	for _, g := range []*generation{t.newer, t.older} {
		if g == nil {
			continue
		}
		if p := g.streams[stream]; len(p) > 0 {
			return p[len(p)-1], true
		}
	}
	return place{}, false
}

// replace puts g, which holds all records after indexed, in the tail's place.
func (t *tail) replace(indexed eventstore.Sequence, g *generation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.indexed, t.older, t.newer, t.head = indexed, nil, g, mark{sequence: g.last}
}

// fail makes reads fail: nobody knows any more what the log holds.
func (t *tail) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.broken = err
}

// end wakes every follower for good.
func (t *tail) end(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.broken = err
	close(t.changed)
	t.changed = make(chan struct{})
}

type idEntry struct {
	id       eventstore.EventID
	sequence eventstore.Sequence
}

type streamEntry struct {
	stream string
	place
}

// entries are a generation in the order of the tables' keys, so that writing
// them touches each page once instead of once for each record.
type entries struct {
	ids     []idEntry
	streams []streamEntry
}

func (g *generation) entries() entries {
	e := entries{ids: make([]idEntry, 0, len(g.ids)), streams: make([]streamEntry, 0, len(g.ids))}
	for id, n := range g.ids {
		e.ids = append(e.ids, idEntry{id, n})
	}
	for stream, places := range g.streams {
		for _, p := range places {
			e.streams = append(e.streams, streamEntry{stream, p})
		}
	}
	slices.SortFunc(e.ids, func(a, b idEntry) int { return bytes.Compare(a.id[:], b.id[:]) })
	slices.SortFunc(e.streams, func(a, b streamEntry) int {
		return cmp.Or(strings.Compare(a.stream, b.stream), cmp.Compare(a.revision, b.revision))
	})
	return e
}
