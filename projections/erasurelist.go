package projections

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/authledger/authledger/eventstore"
)

const (
	columnsErasure = `SELECT seq, id, user, status, basis, requested, requested_by, reason, retained_until, hold, rule, rule_cc, years, counted_from,
	restricted, erased, subject, also, key, destroyed, certified, certificate, method, files, bytes FROM erasures `
	sqlErasure    = columnsErasure + `WHERE seq = ?`
	sqlErasureID  = columnsErasure + `WHERE id = ?`
	sqlErasureDue = columnsErasure + `INDEXED BY erasures_status WHERE status = 'restricted' AND (retained_until IS NULL OR retained_until <= ?)
	AND NOT EXISTS (SELECT 1 FROM holds INDEXED BY holds_user WHERE holds.user = erasures.user AND released IS NULL) ORDER BY requested, seq`
	sqlErasedSubjects = columnsErasure + `WHERE subject IS NOT NULL AND seq > ? ORDER BY seq`

	sqlErasureUserUp     = `SELECT requested, seq FROM erasures INDEXED BY erasures_user WHERE user = ?6 AND (?8 = '' OR status = ?8) ` + sqlRequestedUp
	sqlErasureUserDown   = `SELECT requested, seq FROM erasures INDEXED BY erasures_user WHERE user = ?6 AND (?8 = '' OR status = ?8) ` + sqlRequestedDown
	sqlErasureStatusUp   = `SELECT requested, seq FROM erasures INDEXED BY erasures_status WHERE status = ?6 ` + sqlRequestedUp
	sqlErasureStatusDown = `SELECT requested, seq FROM erasures INDEXED BY erasures_status WHERE status = ?6 ` + sqlRequestedDown

	columnsHold     = `SELECT seq, id, user, case_ref, basis, placed, asked, asked_by, released, approved_by FROM holds `
	sqlHold         = columnsHold + `WHERE seq = ?`
	sqlHoldID       = columnsHold + `WHERE id = ?`
	sqlHoldUserUp   = `SELECT placed, seq FROM holds INDEXED BY holds_user WHERE user = ?6 AND (?8 = 0 OR released IS NULL) ` + sqlPlacedUp
	sqlHoldUserDown = `SELECT placed, seq FROM holds INDEXED BY holds_user WHERE user = ?6 AND (?8 = 0 OR released IS NULL) ` + sqlPlacedDown
	sqlHoldAllUp    = `SELECT placed, seq FROM holds INDEXED BY holds_placed WHERE ?6 IS NULL ` + sqlPlacedUp
	sqlHoldAllDown  = `SELECT placed, seq FROM holds INDEXED BY holds_placed WHERE ?6 IS NULL ` + sqlPlacedDown
	sqlHoldOpenUp   = `SELECT placed, seq FROM holds INDEXED BY holds_open WHERE ?6 IS NULL AND released IS NULL ` + sqlPlacedUp
	sqlHoldOpenDown = `SELECT placed, seq FROM holds INDEXED BY holds_open WHERE ?6 IS NULL AND released IS NULL ` + sqlPlacedDown

	sqlPlacedUp   = `AND placed >= ?1 AND placed < ?2 AND seq <= ?3 AND (placed, seq) > (?4, ?5) ORDER BY placed, seq LIMIT ?7`
	sqlPlacedDown = `AND placed >= ?1 AND placed < ?2 AND seq <= ?3 AND (placed, seq) < (?4, ?5) ORDER BY placed DESC, seq DESC LIMIT ?7`
)

// ErasureStatus is where a request to be forgotten stands.
type ErasureStatus string

// Statuses of a request.
const (
	ErasureRequested  ErasureStatus = "requested"  // between request and verdict, which share an append
	ErasureRefused    ErasureStatus = "refused"    // and nothing waits
	ErasureRestricted ErasureStatus = "restricted" // refused for now: the data is locked away and the request waits
	ErasureSuperseded ErasureStatus = "superseded" // a later request of the same user waits instead
	ErasureErased     ErasureStatus = "erased"     // decided; the certificate is still to come
	ErasureCertified  ErasureStatus = "certified"
)

// erasureStatuses lists all of them, for lists without a filter.
var erasureStatuses = [...]ErasureStatus{
	ErasureRequested, ErasureRefused, ErasureRestricted, ErasureSuperseded, ErasureErased, ErasureCertified,
}

// ErasureFilter selects requests to be forgotten, in order of the time of
// request. Empty fields select everything.
type ErasureFilter struct {
	Listing
	UserID string
	Status ErasureStatus
}

// Erasure is one request to be forgotten and what became of it.
type Erasure struct {
	Sequence      eventstore.Sequence // of the request
	ID            string
	UserID        string
	Status        ErasureStatus
	Basis         string
	RequestedAt   time.Time
	RequestedBy   string
	Reason        string     // of the refusal
	RetainedUntil *time.Time // as last decided; nil when no retention was in the way
	HoldID        string     // that the refusal named
	RuleID        string     // parameter or rule that keeps the records longest
	RuleCC        string
	Years         int
	CountedFrom   *time.Time
	RestrictedAt  *time.Time
	ErasedAt      *time.Time          // when it was decided
	Subject       string              // stream whose key is destroyed
	Also          []string            // further such streams
	KeyID         string              // empty when there never was a key
	DestroyedAt   *time.Time          // the key, by the certificate
	CertifiedAt   *time.Time          // nil without a certificate
	Certificate   eventstore.Sequence // of the certificate; 0 without one
	Method        string              // of the search
	Files         int                 // searched
	Bytes         int64               // searched
}

// HoldFilter selects legal holds, in order of the time of placing. An empty
// UserID selects those of everybody.
type HoldFilter struct {
	Listing
	UserID  string
	InForce bool // only those that were not released
}

// LegalHold is one legal hold.
type LegalHold struct {
	Sequence           eventstore.Sequence // of its placing
	ID                 string
	UserID             string
	CaseRef            string
	Basis              string
	PlacedAt           time.Time
	ReleaseRequestedAt *time.Time
	ReleaseRequestedBy string
	ReleasedAt         *time.Time // nil while in force
	ApprovedBy         string
}

// Erasures lists requests to be forgotten. It returns ErrCursor for a cursor of
// another order. An unknown status matches nothing.
func (v *Views) Erasures(ctx context.Context, f ErasureFilter) (Page[Erasure], error) {
	page, err := list(ctx, v, f.Listing, f.places, func(ctx context.Context, q queryer, seq int64) (Erasure, error) {
		return single(queryErasures(ctx, q, sqlErasure, seq))
	})
	if err != nil {
		return Page[Erasure]{}, fmt.Errorf("list erasures: %w", err)
	}
	return page, nil
}

func (f ErasureFilter) places(ctx context.Context, s selection) ([]place, error) {
	b, n := s.b, int64(s.b.limit)+1
	if f.UserID != "" {
		return s.query(ctx, s.pick(sqlErasureUserUp, sqlErasureUserDown), b.since, b.until, b.at, b.key, b.seq, f.UserID, n, string(f.Status))
	}
	statuses := []ErasureStatus{f.Status}
	if f.Status == "" {
		statuses = erasureStatuses[:]
	}
	return gather(statuses, func(status ErasureStatus) ([]place, error) {
		return s.query(ctx, s.pick(sqlErasureStatusUp, sqlErasureStatusDown), b.since, b.until, b.at, b.key, b.seq, string(status), n)
	})
}

// Erasure returns one request to be forgotten, or ErrNotFound.
func (v *Views) Erasure(ctx context.Context, id string) (Erasure, error) {
	return single(queryErasures(ctx, v.read, sqlErasureID, id))
}

// DueErasures lists the requests that wait and that nothing known to the views
// stands in the way of at a moment, oldest first: the retention as last decided
// is over and no hold is in force. The rules decide again; they may know of a
// longer term.
func (v *Views) DueErasures(ctx context.Context, now time.Time) ([]Erasure, error) {
	return queryErasures(ctx, v.read, sqlErasureDue, now.UnixMicro())
}

// ErasedSubjects lists every erasure that was decided, with the streams whose
// keys must be gone, in order of request. A keyring restored from a copy is put
// right by it.
func (v *Views) ErasedSubjects(ctx context.Context) ([]Erasure, error) {
	return queryErasures(ctx, v.read, sqlErasedSubjects, int64(0))
}

// LegalHolds lists legal holds. It returns ErrCursor for a cursor of another
// order.
func (v *Views) LegalHolds(ctx context.Context, f HoldFilter) (Page[LegalHold], error) {
	page, err := list(ctx, v, f.Listing, f.places, func(ctx context.Context, q queryer, seq int64) (LegalHold, error) {
		return single(queryHolds(ctx, q, sqlHold, seq))
	})
	if err != nil {
		return Page[LegalHold]{}, fmt.Errorf("list legal holds: %w", err)
	}
	return page, nil
}

func (f HoldFilter) places(ctx context.Context, s selection) ([]place, error) {
	b, n := s.b, int64(s.b.limit)+1
	switch {
	case f.UserID != "":
		return s.query(ctx, s.pick(sqlHoldUserUp, sqlHoldUserDown), b.since, b.until, b.at, b.key, b.seq, f.UserID, n, f.InForce)
	case f.InForce:
		return s.query(ctx, s.pick(sqlHoldOpenUp, sqlHoldOpenDown), b.since, b.until, b.at, b.key, b.seq, nil, n)
	}
	return s.query(ctx, s.pick(sqlHoldAllUp, sqlHoldAllDown), b.since, b.until, b.at, b.key, b.seq, nil, n)
}

// LegalHold returns one legal hold, or ErrNotFound.
func (v *Views) LegalHold(ctx context.Context, id string) (LegalHold, error) {
	return single(queryHolds(ctx, v.read, sqlHoldID, id))
}

func queryErasures(ctx context.Context, q queryer, query string, arg any) ([]Erasure, error) {
	rows, err := q.QueryContext(ctx, query, arg)
	if err != nil {
		return nil, fmt.Errorf("read erasures: %w", err)
	}
	out, err := collect(rows, scanErasure)
	if err != nil {
		return nil, fmt.Errorf("read erasures: %w", err)
	}
	return out, nil
}

func scanErasure(r *sql.Rows) (Erasure, error) {
	var e Erasure
	var seq, requested int64
	var by, reason, hold, rule, cc, subject, also, key, method *string
	var until, years, from, restricted, erased, destroyed, certified, certificate, files, bytes *int64
	err := r.Scan(&seq, &e.ID, &e.UserID, &e.Status, &e.Basis, &requested, &by, &reason, &until, &hold, &rule, &cc, &years, &from,
		&restricted, &erased, &subject, &also, &key, &destroyed, &certified, &certificate, &method, &files, &bytes)
	if err != nil {
		return Erasure{}, err
	}
	e.Sequence, e.RequestedAt, e.RequestedBy = eventstore.Sequence(seq), instant(requested), text(by)
	e.Reason, e.RetainedUntil, e.HoldID = text(reason), moment(until), text(hold)
	e.RuleID, e.RuleCC, e.Years, e.CountedFrom = text(rule), text(cc), int(number(years)), moment(from)
	e.RestrictedAt, e.ErasedAt, e.Subject, e.KeyID = moment(restricted), moment(erased), text(subject), text(key)
	e.DestroyedAt, e.CertifiedAt, e.Certificate = moment(destroyed), moment(certified), eventstore.Sequence(number(certificate))
	e.Method, e.Files, e.Bytes = text(method), int(number(files)), number(bytes)
	if also != nil {
		if err := json.Unmarshal([]byte(*also), &e.Also); err != nil {
			return Erasure{}, fmt.Errorf("decode subjects of %s: %w", e.ID, err)
		}
	}
	return e, nil
}

func queryHolds(ctx context.Context, q queryer, query string, arg any) ([]LegalHold, error) {
	rows, err := q.QueryContext(ctx, query, arg)
	if err != nil {
		return nil, fmt.Errorf("read legal holds: %w", err)
	}
	out, err := collect(rows, scanHold)
	if err != nil {
		return nil, fmt.Errorf("read legal holds: %w", err)
	}
	return out, nil
}

func scanHold(r *sql.Rows) (LegalHold, error) {
	var h LegalHold
	var seq, placed int64
	var asked, released *int64
	var askedBy, approvedBy *string
	err := r.Scan(&seq, &h.ID, &h.UserID, &h.CaseRef, &h.Basis, &placed, &asked, &askedBy, &released, &approvedBy)
	h.Sequence, h.PlacedAt = eventstore.Sequence(seq), instant(placed)
	h.ReleaseRequestedAt, h.ReleaseRequestedBy, h.ReleasedAt, h.ApprovedBy = moment(asked), text(askedBy), moment(released), text(approvedBy)
	return h, err
}
