package sqlitestore

import (
	"database/sql/driver"
	"fmt"
	"strings"

	"github.com/authledger/authledger/eventstore"
)

const (
	sqlNewest = `SELECT revision FROM by_stream WHERE stream = ? ORDER BY revision DESC LIMIT 1`
	// findMany ids or streams are looked up by one statement; spare places hold
	// the nil id, which no record has, or the empty name.
	findMany = 32
	// findFew are looked up one by one: spare places have a price.
	findFew = 4
)

// sqlFindIDs is sqlFindID for findMany ids.
func sqlFindIDs() string {
	return `SELECT id, sequence FROM by_id WHERE id IN (?` + strings.Repeat(`, ?`, findMany-1) + `)`
}

// sqlNewestOf is sqlNewest for findMany streams; NULL where there is none.
func sqlNewestOf() string {
	return `SELECT s.column1, (SELECT revision FROM by_stream WHERE stream = s.column1 ORDER BY revision DESC LIMIT 1)
		FROM (VALUES (?)` + strings.Repeat(`, (?)`, findMany-1) + `) s`
}

// knownStreams bounds each half of the stream heads in memory, some 100 bytes
// each. It is far above the requests of a group, so no head that the open
// transaction moved is forgotten before its end.
const knownStreams = 1 << 16

// lookup answers the writer's questions: does an id stand in the log, and
// where does a stream end. It sees the open transaction. The writer owns it.
type lookup struct {
	tail  *tail
	heads map[string]eventstore.Revision             // next revision, as of the open transaction; forgotten at will
	aged  map[string]eventstore.Revision             // heads of before, those not asked for since are forgotten next
	group map[eventstore.EventID]eventstore.Sequence // ids of the open transaction
	found map[eventstore.EventID]eventstore.Sequence // ids of the group that by_id holds
	ids   []eventstore.EventID                       // room for prepare
	names []string                                   // the same
	args  [findMany]driver.Value

	findID, findIDs, findPlace, newest, newestOf, one *statement
}

func newLookup(c *conn, t *tail) (*lookup, error) {
	l := &lookup{
		tail: t, heads: map[string]eventstore.Revision{}, aged: map[string]eventstore.Revision{},
		group: map[eventstore.EventID]eventstore.Sequence{}, found: map[eventstore.EventID]eventstore.Sequence{},
	}
	for _, p := range []struct {
		statement **statement
		text      string
	}{{&l.findID, sqlFindID}, {&l.findIDs, sqlFindIDs()}, {&l.findPlace, sqlFindPlace}, {&l.newest, sqlNewest}, {&l.newestOf, sqlNewestOf()}, {&l.one, sqlReadOne}} {
		var err error
		if *p.statement, err = c.prepare(p.text); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// prepare looks up what a large group asks for with few statements. It comes
// first in a transaction.
func (l *lookup) prepare(group []*request) error {
	clear(l.group)
	clear(l.found)
	if err := l.prepareIDs(group); err != nil {
		return fmt.Errorf("look up event ids: %w", err)
	}
	if err := l.prepareStreams(group); err != nil {
		return fmt.Errorf("look up the ends of streams: %w", err)
	}
	return nil
}

// prepareIDs looks up all ids of a group in the table: nearly always none is
// there.
func (l *lookup) prepareIDs(group []*request) error {
	l.ids = l.ids[:0]
	for _, r := range group {
		l.ids = r.ids(l.ids)
	}
	ids := l.ids
	for len(ids) > findFew {
		n := min(len(ids), findMany)
		if err := l.findSome(ids[:n]); err != nil {
			return err
		}
		ids = ids[n:]
	}
	for _, id := range ids {
		n, found, err := sequenceOf(l.findID, id[:])
		if err != nil {
			return err
		}
		if found {
			l.found[id] = n
		}
	}
	return nil
}

func (l *lookup) findSome(ids []eventstore.EventID) error {
	var none eventstore.EventID
	for i := range l.args {
		l.args[i] = none[:]
		if i < len(ids) {
			l.args[i] = ids[i][:]
		}
	}
	return l.findIDs.rows(2, func(row []driver.Value) (bool, error) {
		id, ok := row[0].([]byte)
		n, ok2 := row[1].(int64)
		if !ok || !ok2 || len(id) != len(none) {
			return false, fmt.Errorf("index of event ids holds %T, %T", row[0], row[1])
		}
		l.found[eventstore.EventID(id)] = eventstore.Sequence(n)
		return true, nil
	}, l.args[:]...)
}

// prepareStreams learns the ends of the streams that neither memory nor tail
// know. The few left over, and those of an import, are looked up when they are
// asked for.
func (l *lookup) prepareStreams(group []*request) error {
	l.names = l.names[:0]
	for _, r := range group {
		if _, ok := l.known(r.stream); ok || r.imports != nil {
			continue
		}
		if _, ok := l.tail.newest(r.stream); !ok {
			l.names = append(l.names, r.stream)
		}
	}
	names := l.names
	for len(names) > findFew {
		n := min(len(names), findMany)
		if err := l.newestSome(names[:n]); err != nil {
			return err
		}
		names = names[n:]
	}
	clear(l.names)
	return nil
}

func (l *lookup) newestSome(names []string) error {
	for i := range l.args {
		l.args[i] = ""
		if i < len(names) {
			l.args[i] = names[i]
		}
	}
	return l.newestOf.rows(2, func(row []driver.Value) (bool, error) {
		stream, ok := row[0].(string)
		revision, found := row[1].(int64)
		if !ok || revision < 0 || (!found && row[1] != nil) {
			return false, fmt.Errorf("index of streams holds %v, %v", row[0], row[1])
		}
		next := eventstore.Revision(0)
		if found {
			next = eventstore.Revision(revision) + 1
		}
		if stream != "" {
			l.know(stream, next)
		}
		return true, nil
	}, l.args[:]...)
}

func (l *lookup) find(id eventstore.EventID) (eventstore.Sequence, bool) {
	if n, ok := l.group[id]; ok {
		return n, true
	}
	if n, ok := l.found[id]; ok {
		return n, true
	}
	return l.tail.findLocked(id)
}

// repeated answers a request any of whose ids stands in the log: with the old
// stamps when all of them stand at the expected revisions, with ErrDuplicateID
// otherwise. The answer is given when the group is durable, because the ids
// may be part of it.
func (l *lookup) repeated(r *request) (bool, error) {
	var records []eventstore.Record
	var duplicate eventstore.EventID
	for _, e := range r.events {
		n, ok := l.find(e.ID)
		if !ok {
			continue
		}
		duplicate = e.ID
		page, err := readPage(l.one, 1, int64(n))
		if err != nil || len(page) == 0 {
			return false, fmt.Errorf("read record %d: %w", n, err)
		}
		records = append(records, page[0])
	}
	if len(records) == 0 {
		return false, nil
	}
	if !stands(r, records) {
		r.answered.err = fmt.Errorf("append to %s: event %s: %w", r.stream, duplicate, eventstore.ErrDuplicateID)
		return false, nil
	}
	a := eventstore.Appended{Repeated: true}
	for _, old := range records {
		a.Records = append(a.Records, eventstore.Stamp{Revision: old.Revision, Sequence: old.Sequence, RecordedAt: old.RecordedAt, Leaf: old.Leaf()})
		a.Position = old.Position
	}
	r.answered.appended = a
	return true, nil
}

// stands reports whether the records are the request's events where it expects
// to put them.
func stands(r *request, records []eventstore.Record) bool {
	if len(records) != len(r.events) || (r.expected.Exists() && r.expected.Next() == 0) {
		return false
	}
	for i, old := range records {
		if old.Stream != r.stream || old.Revision != r.expected.Next()+eventstore.Revision(i) {
			return false
		}
	}
	return true
}

// next is the revision a stream's next record gets; 0 means there is no stream.
func (l *lookup) next(stream string) (eventstore.Revision, error) {
	if next, ok := l.known(stream); ok {
		return next, nil
	}
	next := eventstore.Revision(0)
	if p, ok := l.tail.newest(stream); ok {
		next = p.revision + 1
	} else if err := l.newest.rows(1, func(row []driver.Value) (bool, error) {
		revision, ok := row[0].(int64)
		if !ok || revision < 0 {
			return false, fmt.Errorf("index of %s holds %v", stream, row[0])
		}
		next = eventstore.Revision(revision) + 1
		return false, nil
	}, stream); err != nil {
		return 0, fmt.Errorf("look up the end of %s: %w", stream, err)
	}
	l.know(stream, next)
	return next, nil
}

// tip is the end of a stream as the open transaction found it: for an import,
// which is alone in its transaction and adds nothing before it asked.
func (l *lookup) tip(stream string) (eventstore.Tip, error) {
	next, err := l.next(stream)
	if err != nil || next == 0 {
		return eventstore.Tip{}, err
	}
	p, found := l.tail.newest(stream)
	if !found {
		if p.sequence, found, err = sequenceOf(l.findPlace, stream, int64(next-1)); err != nil {
			return eventstore.Tip{}, fmt.Errorf("look up the end of %s: %w", stream, err)
		}
	}
	page, err := readPage(l.one, 1, int64(p.sequence))
	if err == nil && (!found || len(page) == 0 || page[0].Stream != stream || page[0].Revision != next-1) {
		err = fmt.Errorf("%w: it is not where the index says", eventstore.ErrDamaged)
	}
	if err != nil {
		return eventstore.Tip{}, fmt.Errorf("read revision %d of %s: %w", next-1, stream, err)
	}
	return eventstore.TipOf(page[0]), nil
}

// known is next from memory.
func (l *lookup) known(stream string) (eventstore.Revision, bool) {
	if next, ok := l.heads[stream]; ok {
		return next, true
	}
	next, ok := l.aged[stream]
	if ok {
		l.know(stream, next)
	}
	return next, ok
}

// know keeps the streams asked for lately: when heads is full, it becomes the
// aged half, and what was the aged half is forgotten.
func (l *lookup) know(stream string, next eventstore.Revision) {
	if len(l.heads) >= knownStreams {
		l.heads, l.aged = l.aged, l.heads
		clear(l.heads)
	}
	l.heads[stream] = next
}

// added follows an insert into the open transaction.
func (l *lookup) added(r *eventstore.Record) {
	l.group[r.ID] = r.Sequence
	l.know(r.Stream, r.Revision+1)
}

// forget follows a transaction that was not committed.
func (l *lookup) forget() {
	clear(l.heads)
	clear(l.aged)
	clear(l.group)
}
