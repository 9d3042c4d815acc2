package projections

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
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
	child   BLOB PRIMARY KEY,     -- packID of a challenge, message, push, …
	parents BLOB NOT NULL         -- packIDs of what it is about, see joinIDs
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
	sqlSortTimeline = `INSERT INTO timeline (entity, seq, facet) SELECT entity, seq, facet FROM timeline_load ORDER BY entity, seq`
	// It holds ids alone, so its pages are freed without being overwritten.
	sqlDropTimelineLoad = `PRAGMA secure_delete = OFF;
DROP TABLE timeline_load;
PRAGMA secure_delete = ON`

	sqlAddEvent        = `INSERT INTO events (seq, id, facet, owner, revision, occurred, recorded, actor, correlation) VALUES `
	sqlEventRow        = `(?, ?, ?, ?, ?, ?, ?, ?, ?)`
	sqlAddTimeline     = `INSERT INTO timeline (entity, seq, facet) VALUES `
	sqlAddTimelineLoad = `INSERT INTO timeline_load (entity, seq, facet) VALUES `
	sqlTimelineRow     = `(?, ?, ?)`
	sqlAddLink         = `INSERT INTO links (child, parents) VALUES (?, ?) ON CONFLICT DO NOTHING`
	sqlGetLinks        = `SELECT parents FROM links WHERE child = ?`
	sqlGetFacet        = `SELECT id FROM facets WHERE type = ? AND reason = ?`
	sqlAddFacet        = `INSERT INTO facets (type, reason, outcome) VALUES (?, ?, ?)`
	sqlGetActor        = `SELECT id FROM actors WHERE kind = ? AND ref = ?`
	sqlAddActor        = `INSERT INTO actors (kind, ref) VALUES (?, ?)`
)

// audit writes the audit timeline.
type audit struct {
	load bool // the file is being built: timeline rows go to timeline_load

	events, timeline  bulk
	addLink, getLinks *stmt
	facets, actors    interned
	links             memory[string, [][]byte] // parents by packed child

	entities [][]byte // scratch of apply
	visits   []visit  // timeline rows of this transaction
}

// visit is a row of the timeline.
type visit struct {
	entity     []byte
	seq, facet int64
}

func (a *audit) prepare(p *preparer) {
	timeline := sqlAddTimeline
	if a.load {
		timeline = sqlAddTimelineLoad
	}
	a.events, a.timeline = newBulk(p, sqlAddEvent, sqlEventRow), newBulk(p, timeline, sqlTimelineRow)
	a.addLink, a.getLinks = p.stmt(sqlAddLink), p.stmt(sqlGetLinks)
	a.facets = interned{get: p.stmt(sqlGetFacet), add: p.stmt(sqlAddFacet)}
	a.actors = interned{get: p.stmt(sqlGetActor), add: p.stmt(sqlAddActor)}
}

func (a *audit) reset() {
	a.facets.known.forget()
	a.actors.known.forget()
	a.links.forget()
	a.events.forget()
	a.timeline.forget()
	a.visits = a.visits[:0]
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
	if err := a.events.add(e.seq, e.Record.ID[:], facet, e.packed, int64(e.Record.Revision),
		e.occurred, e.recorded, actor, e.correlation); err != nil {
		return err
	}
	if err := a.place(e); err != nil {
		return err
	}
	for _, entity := range a.entities {
		a.visits = append(a.visits, visit{entity: entity, seq: e.seq, facet: facet})
	}
	return a.link(e)
}

// place collects, in a.entities, the timelines the record belongs on. What is
// about a process is also about what the process is about, and a record
// correlated with a transaction or process belongs to it.
func (a *audit) place(e *entry) error {
	a.entities = a.entities[:0]
	if hasTimeline(e.packed) {
		a.add(e.packed)
	}
	for _, id := range e.about {
		if hasTimeline(id) {
			a.add(id)
			if !isProcess(id) {
				continue
			}
		}
		parents, err := a.parents(id)
		if err != nil {
			return err
		}
		for _, p := range parents {
			a.add(p)
		}
	}
	if isTransaction(e.correlation) || isProcess(e.correlation) {
		a.add(e.correlation)
	}
	return nil
}

// link remembers what a thing that began here is about: everything of this
// record but its owner, whose timeline holds all of its records anyway, and
// but the login an authenticator was bound in, which it outlives. Only the
// first record that starts a thing says so.
func (a *audit) link(e *entry) error {
	if e.starts == nil {
		return nil
	}
	var parents [][]byte
	for _, entity := range a.entities {
		switch {
		case bytes.Equal(entity, e.packed), bytes.Equal(entity, e.starts):
		case e.starts[0] == codeAuthenticator && isTransaction(entity):
		default:
			parents = append(parents, entity)
		}
	}
	r, err := a.addLink.exec(e.starts, joinIDs(parents))
	if err != nil {
		return err
	}
	if added, err := r.RowsAffected(); err != nil || added == 0 {
		return err
	}
	a.links.put(string(e.starts), parents)
	return nil
}

// flush writes the timeline rows of the transaction in the order of the table,
// so that rows of one entity meet their page together.
func (a *audit) flush() error {
	if err := a.events.flush(); err != nil {
		return err
	}
	slices.SortFunc(a.visits, func(x, y visit) int {
		return cmp.Or(bytes.Compare(x.entity, y.entity), cmp.Compare(x.seq, y.seq))
	})
	for _, v := range a.visits {
		if err := a.timeline.add(v.entity, v.seq, v.facet); err != nil {
			return err
		}
	}
	clear(a.visits) // the ids belong to records that may now go
	a.visits = a.visits[:0]
	return a.timeline.flush()
}

// parents are what a thing is about; none for a thing that never began.
func (a *audit) parents(child []byte) ([][]byte, error) {
	if known, ok := a.links.get(string(child)); ok {
		return known, nil
	}
	row, found, err := a.getLinks.first(child)
	if err != nil {
		return nil, fmt.Errorf("read links: %w", err)
	}
	var parents [][]byte
	if found {
		joined, _ := row[0].([]byte) // an empty value comes as nil
		parents = splitIDs(joined)
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
// its own: a user, client, installation, phone, physical unit, transaction or
// process.
func hasTimeline(packed []byte) bool {
	if len(packed) < 17 {
		return false
	}
	switch packed[0] {
	case codeUser, codeClient, codeInstallation, codePhone, codeDevice, codeTransaction:
		return true
	}
	return isProcess(packed)
}

// isProcess reports whether a packed id names an enrolment, migration, recovery
// or unification, a request of a physical device or a request to share one.
func isProcess(packed []byte) bool {
	if len(packed) <= 17 {
		return false
	}
	switch packed[0] {
	case codeEnrollment, codeMigration, codeUnification, codeRecovery, codeRequest, codeSharing:
		return true
	}
	return false
}

func isTransaction(packed []byte) bool { return len(packed) > 17 && packed[0] == codeTransaction }

// interned numbers distinct texts in order of appearance, in a table whose
// key column is called id.
type interned struct {
	get, add *stmt
	known    memory[[2]string, int64]
}

// id returns the number of (a, b); rest are the further columns of a new row.
func (i *interned) id(a, b string, rest ...any) (int64, error) {
	key := [2]string{a, b}
	if id, ok := i.known.get(key); ok {
		return id, nil
	}
	id, found, err := i.get.integer(a, b)
	if err == nil && !found {
		id, err = insert(i.add, append([]any{a, b}, rest...)...)
	}
	if err != nil {
		return 0, err
	}
	i.known.put(key, id)
	return id, nil
}

func insert(s *stmt, args ...any) (int64, error) {
	r, err := s.exec(args...)
	if err != nil {
		return 0, err
	}
	return r.LastInsertId()
}
