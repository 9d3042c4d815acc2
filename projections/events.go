package projections

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
)

// ErrNoTimeline means that an id names nothing that has a timeline.
var ErrNoTimeline = errors.New("no timeline for this id")

// TimeField says which of an event's two times a list goes by.
type TimeField string

// Time fields. The zero value is TimeRecorded: when the ledger learned of it,
// which is the order of the log. TimeOccurred is when it happened.
const (
	TimeRecorded TimeField = ""
	TimeOccurred TimeField = "occurred"
)

// EventFilter selects events. Empty fields select everything.
type EventFilter struct {
	Listing
	TimeField TimeField
	// Subject is the id of a user, client, installation, phone, physical unit
	// or transaction, of an enrolment, migration, recovery, unification, device
	// request or sharing, or of a challenge, message, call, push, verification,
	// authenticator or credential delivery, which stands for what it is about.
	Subject  string
	Types    []string
	Reasons  []string
	Outcomes []Outcome
}

// EventRow is one event on a timeline. Its data is in the log under Sequence.
type EventRow struct {
	Sequence      eventstore.Sequence
	ID            eventstore.EventID
	Type          string
	Stream        string
	Revision      eventstore.Revision
	OccurredAt    time.Time
	RecordedAt    time.Time
	Actor         domain.Actor
	Reason        string // code, or empty
	Outcome       Outcome
	CorrelationID string
}

const (
	sqlFacets     = `SELECT id, type, reason, outcome FROM facets`
	sqlRecordedAt = `SELECT recorded FROM events WHERE seq = ?`
	sqlEvent      = `SELECT e.seq, e.id, f.type, e.owner, e.revision, e.occurred, e.recorded, a.kind, a.ref, f.reason, f.outcome, e.correlation
FROM events e JOIN facets f ON f.id = e.facet JOIN actors a ON a.id = e.actor WHERE e.seq = ?`

	// Places of the page, by sequence: from the whole log, from one facet, or
	// from one timeline. ?4 says that the sequences alone are the time window;
	// only otherwise is the time of a record looked up.
	sqlAllUp   = `SELECT seq, seq FROM events WHERE seq > ?1 AND seq < ?2 AND (?4 OR recorded >= ?5 AND recorded < ?6) ORDER BY seq LIMIT ?3`
	sqlAllDown = `SELECT seq, seq FROM events WHERE seq > ?1 AND seq < ?2 AND (?4 OR recorded >= ?5 AND recorded < ?6) ORDER BY seq DESC LIMIT ?3`
	sqlFacetUp = `SELECT seq, seq FROM events INDEXED BY events_facet WHERE facet = ?7 AND seq > ?1 AND seq < ?2
AND (?4 OR recorded >= ?5 AND recorded < ?6) ORDER BY seq LIMIT ?3`
	sqlFacetDown = `SELECT seq, seq FROM events INDEXED BY events_facet WHERE facet = ?7 AND seq > ?1 AND seq < ?2
AND (?4 OR recorded >= ?5 AND recorded < ?6) ORDER BY seq DESC LIMIT ?3`
	sqlEntityUp = `SELECT seq, seq FROM timeline t WHERE entity = ?7 AND seq > ?1 AND seq < ?2 AND facet IN (SELECT value FROM json_each(?8))
AND (?4 OR EXISTS (SELECT 1 FROM events e WHERE e.seq = t.seq AND e.recorded >= ?5 AND e.recorded < ?6)) ORDER BY seq LIMIT ?3`
	sqlEntityDown = `SELECT seq, seq FROM timeline t WHERE entity = ?7 AND seq > ?1 AND seq < ?2 AND facet IN (SELECT value FROM json_each(?8))
AND (?4 OR EXISTS (SELECT 1 FROM events e WHERE e.seq = t.seq AND e.recorded >= ?5 AND e.recorded < ?6)) ORDER BY seq DESC LIMIT ?3`

	// The same by time of occurrence.
	sqlFacetSince = `SELECT occurred, seq FROM events INDEXED BY events_occurred
WHERE facet = ?6 AND occurred >= ?1 AND occurred < ?2 AND seq <= ?3 AND (occurred, seq) > (?4, ?5) ORDER BY occurred, seq LIMIT ?7`
	sqlFacetUntil = `SELECT occurred, seq FROM events INDEXED BY events_occurred
WHERE facet = ?6 AND occurred >= ?1 AND occurred < ?2 AND seq <= ?3 AND (occurred, seq) < (?4, ?5) ORDER BY occurred DESC, seq DESC LIMIT ?7`
	sqlEntitySince = `SELECT e.occurred, e.seq FROM timeline t CROSS JOIN events e ON e.seq = t.seq
WHERE t.entity = ?6 AND t.seq <= ?3 AND t.facet IN (SELECT value FROM json_each(?8))
AND e.occurred >= ?1 AND e.occurred < ?2 AND (e.occurred, e.seq) > (?4, ?5) ORDER BY e.occurred, e.seq LIMIT ?7`
	sqlEntityUntil = `SELECT e.occurred, e.seq FROM timeline t CROSS JOIN events e ON e.seq = t.seq
WHERE t.entity = ?6 AND t.seq <= ?3 AND t.facet IN (SELECT value FROM json_each(?8))
AND e.occurred >= ?1 AND e.occurred < ?2 AND (e.occurred, e.seq) < (?4, ?5) ORDER BY e.occurred DESC, e.seq DESC LIMIT ?7`
)

// Events lists events that match all of the filter, ordered by sequence, or by
// time of occurrence and then sequence. The work of a page is bounded by its
// size and the number of facets, or by the length of the subject's timeline,
// and not by the log, also when nothing matches; in a log whose time goes back
// between streams, a window's edges cost as many records as were recorded within
// that much time. It returns ErrNoTimeline for
// a subject of another kind, and ErrCursor for a cursor of another order.
func (v *Views) Events(ctx context.Context, f EventFilter) (Page[EventRow], error) {
	var page Page[EventRow]
	err := v.snapshot(ctx, func(q queryer) error {
		at, err := readCheckpoint(ctx, q)
		if err != nil {
			return err
		}
		b, err := f.bounds(at)
		if err != nil {
			return err
		}
		places, err := f.places(ctx, q, b)
		if err != nil {
			return err
		}
		places, page.Next = b.cut(places)
		page.At, page.Position = eventstore.Sequence(b.at), at.position
		page.Items, err = rowsAt(ctx, q, places)
		return err
	})
	if err != nil {
		return Page[EventRow]{}, fmt.Errorf("list events: %w", err)
	}
	return page, nil
}

// places finds the page's candidates.
func (f EventFilter) places(ctx context.Context, q queryer, b bounds) ([]place, error) {
	facets, all, err := f.facets(ctx, q)
	if err != nil {
		return nil, err
	}
	entities, err := f.entities(ctx, q)
	if err != nil || len(facets) == 0 {
		return nil, err
	}
	s := selection{q: q, b: b, facets: facets, all: all, entities: entities, filtered: f.Subject != ""}
	if f.TimeField == TimeOccurred {
		return s.byOccurrence(ctx)
	}
	return s.bySequence(ctx)
}

// facets are the numbers of the facets that match; all says that the filter
// does not look at them.
func (f EventFilter) facets(ctx context.Context, q queryer) (ids []int64, all bool, err error) {
	rows, err := q.QueryContext(ctx, sqlFacets)
	if err != nil {
		return nil, false, err
	}
	type facet struct {
		id          int64
		typ, reason string
		outcome     Outcome
	}
	found, err := collect(rows, func(r *sql.Rows) (x facet, err error) { return x, r.Scan(&x.id, &x.typ, &x.reason, &x.outcome) })
	for _, x := range found {
		if among(f.Types, x.typ) && among(f.Reasons, x.reason) && among(f.Outcomes, x.outcome) {
			ids = append(ids, x.id)
		}
	}
	return ids, len(f.Types)+len(f.Reasons)+len(f.Outcomes) == 0, err
}

// among reports whether v is one of the values, or there are none to be.
func among[T comparable](values []T, v T) bool {
	for _, x := range values {
		if x == v {
			return true
		}
	}
	return len(values) == 0
}

// entities resolves the subject to the timelines it stands for.
func (f EventFilter) entities(ctx context.Context, q queryer) ([][]byte, error) {
	if f.Subject == "" {
		return nil, nil
	}
	packed := packID(f.Subject)
	if hasTimeline(packed) {
		return [][]byte{packed}, nil
	}
	if _, ok := domain.ParseRef(f.Subject); !ok {
		return nil, fmt.Errorf("%w: %q", ErrNoTimeline, f.Subject)
	}
	var joined []byte
	err := q.QueryRowContext(ctx, sqlGetLinks, packed).Scan(&joined)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	parents := splitIDs(joined)
	for _, p := range parents {
		if isTransaction(p) { // a challenge or its message: the login is the story
			return [][]byte{p}, err
		}
	}
	if user := domain.UserOf(f.Subject); len(parents) == 0 && user != "" { // a code card: about nothing but its user
		parents = [][]byte{packID(user)}
	}
	return parents, err
}

func rowsAt(ctx context.Context, q queryer, places []place) ([]EventRow, error) {
	out := make([]EventRow, 0, len(places))
	for _, p := range places {
		var e EventRow
		var seq, revision, occurred, recorded int64
		var id, owner, correlation []byte
		err := q.QueryRowContext(ctx, sqlEvent, p.seq).Scan(&seq, &id, &e.Type, &owner, &revision, &occurred, &recorded,
			&e.Actor.Kind, &e.Actor.Ref, &e.Reason, &e.Outcome, &correlation)
		if err != nil {
			return nil, fmt.Errorf("read event %d: %w", p.seq, err)
		}
		if e.ID, err = uuid.FromBytes(id); err != nil {
			return nil, fmt.Errorf("read event %d: %w", p.seq, err)
		}
		e.Sequence, e.Revision = eventstore.Sequence(seq), eventstore.Revision(revision)
		e.Stream, e.CorrelationID = streamName(unpackID(owner)), unpackID(correlation)
		e.OccurredAt, e.RecordedAt = instant(occurred), instant(recorded)
		out = append(out, e)
	}
	return out, nil
}
