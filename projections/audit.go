package projections

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The audit timeline: one row for each record in events, and its place on the
// timeline of everything it is about. Type, reason and outcome are interned
// together as a facet, because there are few combinations: a filter on them
// becomes a few index seeks, and one that matches no combination is answered
// without touching events at all.
const (
	schemaAudit = `CREATE TABLE facets (
	id      INTEGER PRIMARY KEY,
	type    TEXT NOT NULL,
	reason  TEXT NOT NULL,
	outcome TEXT NOT NULL,
	UNIQUE (type, reason)
) STRICT;
CREATE TABLE actors (
	id   INTEGER PRIMARY KEY,
	kind TEXT NOT NULL,
	ref  TEXT NOT NULL,
	UNIQUE (kind, ref)
) STRICT;
CREATE TABLE events (
	seq         INTEGER PRIMARY KEY,
	id          BLOB NOT NULL,
	facet       INTEGER NOT NULL,
	owner       BLOB NOT NULL,    -- packID of streamOwner
	revision    INTEGER NOT NULL,
	occurred    INTEGER NOT NULL,
	recorded    INTEGER NOT NULL,
	actor       INTEGER NOT NULL,
	correlation BLOB              -- packID
) STRICT;
CREATE TABLE links (
	child  BLOB NOT NULL,         -- packID of a challenge, message, push, …
	parent BLOB NOT NULL,         -- packID of what it is about
	PRIMARY KEY (child, parent)
) STRICT, WITHOUT ROWID`
	schemaTimeline = `CREATE TABLE timeline (
	entity BLOB NOT NULL,         -- packID
	seq    INTEGER NOT NULL,
	facet  INTEGER NOT NULL,
	PRIMARY KEY (entity, seq)
) STRICT, WITHOUT ROWID`
	indexAudit = `CREATE INDEX events_facet ON events (facet, seq);
CREATE INDEX events_occurred ON events (facet, occurred, seq)`

	// A bulk load collects the timeline in order of arrival and sorts it once:
	// inserting it in place would touch one page for each row.
	schemaTimelineLoad = `CREATE TABLE timeline_load (
	entity BLOB NOT NULL,
	seq    INTEGER NOT NULL,
	facet  INTEGER NOT NULL
) STRICT`
	sqlSortTimeline = `INSERT INTO timeline (entity, seq, facet) SELECT entity, seq, facet FROM timeline_load ORDER BY entity, seq;
DROP TABLE timeline_load`

	sqlAddEvent = `INSERT INTO events (seq, id, facet, owner, revision, occurred, recorded, actor, correlation)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`
	sqlAddTimeline     = `INSERT INTO timeline (entity, seq, facet) VALUES `
	sqlAddTimelineLoad = `INSERT INTO timeline_load (entity, seq, facet) VALUES `
	sqlOneRow          = `(?, ?, ?)`
	sqlAddLink         = `INSERT INTO links (child, parent) VALUES (?, ?) ON CONFLICT DO NOTHING`
	sqlGetLinks        = `SELECT parent FROM links WHERE child = ? ORDER BY parent`
	sqlGetFacet        = `SELECT id FROM facets WHERE type = ? AND reason = ?`
	sqlAddFacet        = `INSERT INTO facets (type, reason, outcome) VALUES (?, ?, ?)`
	sqlGetActor        = `SELECT id FROM actors WHERE kind = ? AND ref = ?`
	sqlAddActor        = `INSERT INTO actors (kind, ref) VALUES (?, ?)`
)

// audit writes the audit timeline.
type audit struct {
	bulk bool // the file is being built: timeline rows go to timeline_load

	addEvent, addOne, addMany, addLink, getLinks *sql.Stmt
	facets, actors                               interned
	links                                        memory[[][]byte] // parents by packed child

	entities [][]byte // scratch of apply
	pending  []visit  // timeline rows of this transaction
	args     []any    // scratch of flush
}

// visit is a row of the timeline.
type visit struct {
	entity     []byte
	seq, facet int64
}

// manyRows is how many timeline rows one statement adds: there are two or three
// for each record, and most of an insert's cost is the call.
const manyRows = 32

func (a *audit) prepare(p *preparer) {
	add := sqlAddTimeline
	if a.bulk {
		add = sqlAddTimelineLoad
	}
	a.addOne = p.stmt(add + sqlOneRow)
	a.addMany = p.stmt(add + strings.Repeat(sqlOneRow+", ", manyRows-1) + sqlOneRow)
	a.addEvent, a.addLink, a.getLinks = p.stmt(sqlAddEvent), p.stmt(sqlAddLink), p.stmt(sqlGetLinks)
	a.facets = interned{get: p.stmt(sqlGetFacet), add: p.stmt(sqlAddFacet)}
	a.actors = interned{get: p.stmt(sqlGetActor), add: p.stmt(sqlAddActor)}
}

func (a *audit) reset() {
	a.facets.known.forget()
	a.actors.known.forget()
	a.links.forget()
	a.pending = a.pending[:0]
}

func (a *audit) apply(_ context.Context, e *entry) error {
	facet, err := a.facets.id(e.Record.Type, e.reason, string(e.outcome))
	if err != nil {
		return fmt.Errorf("intern facet: %w", err)
	}
	actor, err := a.actors.id(string(e.Meta.Actor.Kind), e.Meta.Actor.Ref)
	if err != nil {
		return fmt.Errorf("intern actor: %w", err)
	}
	if err := run(a.addEvent, e.seq, e.Record.ID[:], facet, e.packed, int64(e.Record.Revision),
		e.occurred, e.recorded, actor, e.correlation); err != nil {
		return err
	}
	if err := a.place(e); err != nil {
		return err
	}
	for _, entity := range a.entities {
		a.pending = append(a.pending, visit{entity: entity, seq: e.seq, facet: facet})
	}
	return a.link(e)
}

// place collects, in a.entities, the timelines the record belongs on. A record
// correlated with a transaction belongs to it.
func (a *audit) place(e *entry) error {
	a.entities = a.entities[:0]
	if hasTimeline(e.packed) {
		a.add(e.packed)
	}
	for _, id := range e.about {
		if hasTimeline(id) {
			a.add(id)
			continue
		}
		parents, err := a.parents(id)
		if err != nil {
			return err
		}
		for _, p := range parents {
			a.add(p)
		}
	}
	if isTransaction(e.correlation) {
		a.add(e.correlation)
	}
	return nil
}

// link remembers what a thing that began here is about: everything of this
// record but its owner, whose timeline holds all of its records anyway.
func (a *audit) link(e *entry) error {
	if e.starts == nil {
		return nil
	}
	for _, parent := range a.entities {
		if bytes.Equal(parent, e.packed) {
			continue
		}
		if err := run(a.addLink, e.starts, parent); err != nil {
			return err
		}
	}
	a.links.drop(string(e.starts))
	return nil
}

// flush writes the timeline rows of the transaction in the order of the table,
// so that rows of one entity meet their page together.
func (a *audit) flush() error {
	slices.SortFunc(a.pending, func(x, y visit) int {
		return cmp.Or(bytes.Compare(x.entity, y.entity), cmp.Compare(x.seq, y.seq))
	})
	for chunk := range slices.Chunk(a.pending, manyRows) {
		if len(chunk) == manyRows {
			if err := a.addVisits(a.addMany, chunk); err != nil {
				return err
			}
			continue
		}
		for i := range chunk {
			if err := a.addVisits(a.addOne, chunk[i:i+1]); err != nil {
				return err
			}
		}
	}
	clear(a.pending) // the ids belong to records that may now go
	a.pending = a.pending[:0]
	return nil
}

func (a *audit) addVisits(s *sql.Stmt, visits []visit) error {
	a.args = a.args[:0]
	for _, v := range visits {
		a.args = append(a.args, v.entity, v.seq, v.facet)
	}
	return run(s, a.args...)
}

func (a *audit) parents(child []byte) ([][]byte, error) {
	if known, ok := a.links.get(string(child)); ok {
		return known, nil
	}
	rows, err := a.getLinks.QueryContext(context.Background(), child)
	if err != nil {
		return nil, err
	}
	parents, err := collect(rows, func(r *sql.Rows) (b []byte, err error) { return b, r.Scan(&b) })
	if err != nil {
		return nil, err
	}
	a.links.put(string(child), parents)
	return parents, nil
}

func (a *audit) add(entity []byte) {
	for _, known := range a.entities {
		if bytes.Equal(known, entity) {
			return
		}
	}
	a.entities = append(a.entities, entity)
}

// hasTimeline reports whether a packed id names something with a timeline of
// its own: a user, client, installation, phone or transaction.
func hasTimeline(packed []byte) bool {
	if len(packed) < 17 {
		return false
	}
	switch packed[0] {
	case codeUser, codeClient, codeInstallation, codePhone, codeTransaction:
		return true
	}
	return false
}

func isTransaction(packed []byte) bool { return len(packed) > 17 && packed[0] == codeTransaction }

// interned numbers distinct texts in order of appearance, in a table whose
// key column is called id.
type interned struct {
	get, add *sql.Stmt
	known    memory[int64]
}

// id returns the number of (a, b); rest are the further columns of a new row.
func (i *interned) id(a, b string, rest ...any) (int64, error) {
	key := a + "\x00" + b
	if id, ok := i.known.get(key); ok {
		return id, nil
	}
	var id int64
	err := i.get.QueryRowContext(context.Background(), a, b).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		id, err = insert(i.add, append([]any{a, b}, rest...)...)
	}
	if err != nil {
		return 0, err
	}
	i.known.put(key, id)
	return id, nil
}

func insert(s *sql.Stmt, args ...any) (int64, error) {
	r, err := s.ExecContext(context.Background(), args...)
	if err != nil {
		return 0, err
	}
	return r.LastInsertId()
}
