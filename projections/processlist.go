package projections

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
)

const (
	sqlProcess = `SELECT seq, id, user, kind, variant, step, started, source, authenticator, installation, device, phone, owner, proof, proved,
	uv, idv, expires, ended, outcome, reason FROM processes WHERE seq = ?`
	sqlProcessID = `SELECT seq FROM processes WHERE id = ?`

	sqlGoesOn          = `(expires IS NULL OR expires > ?8) `
	sqlOpenThen        = `AND (?8 IS NULL OR ((ended IS NULL OR ended > ?8) AND ` + sqlGoesOn + `)) `
	sqlProcessUserUp   = `SELECT started, seq FROM processes INDEXED BY processes_user WHERE user = ?9 AND kind = ?6 ` + sqlOpenThen + sqlStartedUp
	sqlProcessUserDown = `SELECT started, seq FROM processes INDEXED BY processes_user WHERE user = ?9 AND kind = ?6 ` + sqlOpenThen + sqlStartedDown
	sqlProcessKindUp   = `SELECT started, seq FROM processes INDEXED BY processes_kind WHERE kind = ?6 ` + sqlStartedUp
	sqlProcessKindDown = `SELECT started, seq FROM processes INDEXED BY processes_kind WHERE kind = ?6 ` + sqlStartedDown

	// Those open at a moment have not ended yet, or ended later; sorting the
	// latter is cheaper than passing all that came before.
	sqlProcessOpenUp    = `SELECT started, seq FROM processes INDEXED BY processes_open WHERE kind = ?6 AND ended IS NULL AND ` + sqlGoesOn + sqlStartedUp
	sqlProcessOpenDown  = `SELECT started, seq FROM processes INDEXED BY processes_open WHERE kind = ?6 AND ended IS NULL AND ` + sqlGoesOn + sqlStartedDown
	sqlProcessLaterUp   = `SELECT started, seq FROM processes INDEXED BY processes_ended WHERE kind = ?6 AND ended > ?8 AND ` + sqlGoesOn + sqlStartedUp
	sqlProcessLaterDown = `SELECT started, seq FROM processes INDEXED BY processes_ended WHERE kind = ?6 AND ended > ?8 AND ` + sqlGoesOn + sqlStartedDown

	sqlOverdue = `SELECT user, min(started) FROM processes p INDEXED BY processes_open
WHERE kind IN ('enrollment', 'migration', 'recovery') AND ended IS NULL AND CASE kind WHEN 'enrollment' THEN started <= ?1 ELSE expires <= ?2 END
AND (SELECT count(*) FROM processes n WHERE n.user = p.user AND n.kind = p.kind AND n.started >= p.started AND n.id IS NOT NULL) <= ?3
GROUP BY user ORDER BY 2, user LIMIT ?4`
)

// processKinds lists all of them, for lists without a filter.
var processKinds = []ProcessKind{
	ProcessEnrollment, ProcessMigration, ProcessRecovery, ProcessUnification, ProcessRequest, ProcessSharing, ProcessCard, ProcessTemporary,
	ProcessDelivery,
}

// remembered is how many processes of one kind a user's state remembers (see
// package domain). The ledger will not note that an older one has expired.
const remembered = 48

// ProcessFilter selects processes, in order of the time they began. Empty
// fields select everything.
type ProcessFilter struct {
	Listing
	UserID string
	Kind   ProcessKind
	OpenAt time.Time // zero for processes open or not
}

// Process is something that takes a user more than one step, or one that was
// refused at its start.
type Process struct {
	Sequence eventstore.Sequence // of its first event, or of the refusal
	// ID is that of the enrolment, migration, recovery, unification, request,
	// sharing or delivery, or of the authenticator a card or passcode is; empty
	// for a refusal.
	ID     string
	UserID string
	Kind   ProcessKind
	// Variant is the flow of an enrolment, the cause of a recovery, the case of a
	// unification, the model asked for, the kind of a card, or what is delivered.
	Variant string
	// Step is the furthest it got. Enrolment: awaiting_code, awaiting_uv or
	// awaiting_response, done. Migration and recovery: started, proved, done.
	// Unification: offered, deferred, done. Request: requested, shipped,
	// activated, returned. Sharing: requested, pending, granted, ended. Card:
	// issued, activated. Passcode: issued. Delivery: waiting, collected, or
	// read_out. Refused at the start: refused.
	Step            string
	StartedAt       time.Time
	SourceID        string // authenticator to move, recover or replace, or whose passcode is delivered
	AuthenticatorID string // that came of it; empty before
	InstallationID  string // where it leads, or that asked
	DeviceID        string
	PhoneID         string // a code goes to
	OwnerUserID     string // whose unit is to be shared
	Proof           Proof  // that it asks for; of how much it was given, ProvedAt tells
	ProvedAt        *time.Time
	UV              domain.UV // local check that completed it
	IDVID           string    // identity verification it stands on
	// ExpiresAt is when it ends by itself; nil when it does not. An enrolment's
	// follows from the policy in force when it ended, or now.
	ExpiresAt *time.Time
	EndedAt   *time.Time
	Outcome   ProcessOutcome // empty until it ended
	Reason    string         // of a refusal or cancellation, or of the newest refusal on the way
}

// Open reports whether the process could go on at a moment that is not before
// the newest change to it.
func (p Process) Open(at time.Time) bool {
	return !at.Before(p.StartedAt) && (p.EndedAt == nil || at.Before(*p.EndedAt)) && (p.ExpiresAt == nil || at.Before(*p.ExpiresAt))
}

// Processes lists processes. It returns ErrCursor for a cursor of another
// order. An unknown kind matches nothing.
func (v *Views) Processes(ctx context.Context, f ProcessFilter) (Page[Process], error) {
	places := func(ctx context.Context, s selection) ([]place, error) {
		return f.places(ctx, s, v.options.EnrollmentTTL)
	}
	page, err := list(ctx, v, f.Listing, places, v.readProcess)
	if err != nil {
		return Page[Process]{}, fmt.Errorf("list processes: %w", err)
	}
	return page, nil
}

func (f ProcessFilter) places(ctx context.Context, s selection, ttl func(time.Time) time.Duration) ([]place, error) {
	kinds := processKinds
	if f.Kind != "" {
		kinds = []ProcessKind{f.Kind}
	}
	return gather(kinds, func(kind ProcessKind) ([]place, error) {
		b, n, at := s.b, int64(s.b.limit)+1, micros(f.OpenAt)
		if !f.OpenAt.IsZero() {
			b.until = min(b.until, f.OpenAt.UnixMicro()+1)
		}
		if !f.OpenAt.IsZero() && kind == ProcessEnrollment {
			b.since = max(b.since, f.OpenAt.Add(-ttl(f.OpenAt)).UnixMicro()+1)
		}
		find := func(up, down string, more ...any) ([]place, error) {
			return s.query(ctx, s.pick(up, down), append([]any{b.since, b.until, b.at, b.key, b.seq, string(kind), n}, more...)...)
		}
		switch {
		case f.UserID != "":
			return find(sqlProcessUserUp, sqlProcessUserDown, at, f.UserID)
		case f.OpenAt.IsZero():
			return find(sqlProcessKindUp, sqlProcessKindDown)
		}
		open, err := find(sqlProcessOpenUp, sqlProcessOpenDown, at)
		if err != nil {
			return nil, err
		}
		later, err := find(sqlProcessLaterUp, sqlProcessLaterDown, at)
		return append(open, later...), err
	})
}

// Process returns one process by its id, or ErrNotFound.
func (v *Views) Process(ctx context.Context, id string) (Process, error) {
	p, err := byID(ctx, v, sqlProcessID, id, v.readProcess)
	if err != nil {
		return Process{}, fmt.Errorf("read process %s: %w", id, err)
	}
	return p, nil
}

// ExpiredProcesses lists users with an enrolment, migration or recovery that
// has expired by a moment without an event that says so; whose began first
// comes first. At most limit are returned.
func (v *Views) ExpiredProcesses(ctx context.Context, at time.Time, limit int) ([]string, error) {
	started := at.Add(-v.options.EnrollmentTTL(at))
	rows, err := v.read.QueryContext(ctx, sqlOverdue, started.UnixMicro(), at.UnixMicro(), remembered, limit)
	if err != nil {
		return nil, fmt.Errorf("list expired processes: %w", err)
	}
	users, err := collect(rows, func(r *sql.Rows) (user string, err error) {
		var started int64
		return user, r.Scan(&user, &started)
	})
	if err != nil {
		return nil, fmt.Errorf("list expired processes: %w", err)
	}
	return users, nil
}

func (v *Views) readProcess(ctx context.Context, q queryer, seq int64) (Process, error) {
	var p Process
	var id, variant, source, authenticator, installation, device, phone, owner, proof, uv, idv, outcome, reason *string
	var started int64
	var proved, expires, ended *int64
	err := q.QueryRowContext(ctx, sqlProcess, seq).Scan(&seq, &id, &p.UserID, &p.Kind, &variant, &p.Step, &started, &source, &authenticator,
		&installation, &device, &phone, &owner, &proof, &proved, &uv, &idv, &expires, &ended, &outcome, &reason)
	if err != nil {
		return Process{}, fmt.Errorf("read process at %d: %w", seq, err)
	}
	p.Sequence, p.ID, p.Variant, p.StartedAt = eventstore.Sequence(seq), text(id), text(variant), instant(started)
	p.SourceID, p.AuthenticatorID, p.InstallationID, p.DeviceID = text(source), text(authenticator), text(installation), text(device)
	p.PhoneID, p.OwnerUserID, p.Proof, p.ProvedAt = text(phone), text(owner), Proof(text(proof)), moment(proved)
	p.UV, p.IDVID, p.ExpiresAt, p.EndedAt = domain.UV(text(uv)), text(idv), moment(expires), moment(ended)
	p.Outcome, p.Reason = ProcessOutcome(text(outcome)), text(reason)
	if p.Kind == ProcessEnrollment && p.ID != "" {
		at := v.options.Clock()
		if p.EndedAt != nil {
			at = *p.EndedAt
		}
		ends := p.StartedAt.Add(v.options.EnrollmentTTL(at))
		p.ExpiresAt = &ends
	}
	return p, nil
}
