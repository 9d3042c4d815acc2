package projections

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
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
	sqlAddTimeline     = `INSERT INTO timeline (entity, seq, facet) VALUES (?, ?, ?)`
	sqlAddTimelineLoad = `INSERT INTO timeline_load (entity, seq, facet) VALUES (?, ?, ?)`
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

	addEvent, addTimeline, addLink, getLinks *sql.Stmt
	facets, actors                           interned
	links                                    memory[[][]byte] // parents by packed child

	entities [][]byte // scratch of apply
}

func newAudit(bulk bool) *audit { return &audit{bulk: bulk} }

func (a *audit) prepare(p *preparer) {
	a.addEvent = p.stmt(sqlAddEvent)
	if a.bulk {
		a.addTimeline = p.stmt(sqlAddTimelineLoad)
	} else {
		a.addTimeline = p.stmt(sqlAddTimeline)
	}
	a.addLink, a.getLinks = p.stmt(sqlAddLink), p.stmt(sqlGetLinks)
	a.facets = interned{get: p.stmt(sqlGetFacet), add: p.stmt(sqlAddFacet)}
	a.actors = interned{get: p.stmt(sqlGetActor), add: p.stmt(sqlAddActor)}
}

func (a *audit) reset() {
	a.facets.known.forget()
	a.actors.known.forget()
	a.links.forget()
}

var errUndescribed = errors.New("event type has no place on the audit timeline")

func (a *audit) apply(_ context.Context, e *entry) error {
	f, ok := describe(e.Event)
	if !ok {
		return errUndescribed
	}
	facet, err := a.facets.id(e.Record.Type, f.reason, string(f.outcome))
	if err != nil {
		return fmt.Errorf("intern facet: %w", err)
	}
	actor, err := a.actors.id(string(e.Meta.Actor.Kind), e.Meta.Actor.Ref)
	if err != nil {
		return fmt.Errorf("intern actor: %w", err)
	}
	owner := packID(e.owner)
	var correlation []byte
	if e.Meta.CorrelationID != "" {
		correlation = packID(e.Meta.CorrelationID)
	}
	if err := run(a.addEvent, e.seq, e.Record.ID[:], facet, owner, int64(e.Record.Revision),
		e.occurred, e.recorded, actor, correlation); err != nil {
		return err
	}
	if err := a.place(e, f, owner, correlation); err != nil {
		return err
	}
	for _, entity := range a.entities {
		if err := run(a.addTimeline, entity, e.seq, facet); err != nil {
			return err
		}
	}
	return a.link(f, owner)
}

// place collects, in a.entities, the timelines the record belongs on: its
// owner's first. A record correlated with a transaction belongs to it.
func (a *audit) place(e *entry, f facts, owner, correlation []byte) error {
	a.entities = a.entities[:0]
	if hasTimeline(owner) {
		a.add(owner)
	}
	for _, id := range f.about {
		if id == "" {
			continue
		}
		packed := packID(id)
		if hasTimeline(packed) {
			a.add(packed)
			continue
		}
		parents, err := a.parents(packed)
		if err != nil {
			return err
		}
		for _, p := range parents {
			a.add(p)
		}
	}
	if isTransaction(correlation) {
		a.add(correlation)
	}
	return nil
}

// link remembers what a thing that began here is about: everything of this
// record but its owner, whose timeline holds all of its records anyway.
func (a *audit) link(f facts, owner []byte) error {
	if f.starts == "" {
		return nil
	}
	child := packID(f.starts)
	for _, parent := range a.entities {
		if bytes.Equal(parent, owner) {
			continue
		}
		if err := run(a.addLink, child, parent); err != nil {
			return err
		}
	}
	a.links.drop(string(child))
	return nil
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
