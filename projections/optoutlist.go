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
	columnsOptOut = `SELECT seq, id, user, status, requested, requested_by, agreement, acknowledged, decided, reason, jurisdiction, rule,
	rule_version, policy_version, decision, scope, ends, ended, cause, effective, detected, exposed_s, end_decision, ended_by
FROM optouts `
	sqlOptOut     = columnsOptOut + `WHERE seq = ?`
	sqlOptOutID   = columnsOptOut + `WHERE id = ?`
	sqlOptedOutAt = columnsOptOut + `INDEXED BY optouts_granted
WHERE scope IS NOT NULL AND decided <= ?1 AND (ended IS NULL OR ended > ?1) AND (ends IS NULL OR ends > ?1) ORDER BY decided, seq`

	sqlOptOutUserUp     = `SELECT requested, seq FROM optouts INDEXED BY optouts_user WHERE user = ?6 AND (?8 = '' OR status = ?8) ` + sqlRequestedUp
	sqlOptOutUserDown   = `SELECT requested, seq FROM optouts INDEXED BY optouts_user WHERE user = ?6 AND (?8 = '' OR status = ?8) ` + sqlRequestedDown
	sqlOptOutStatusUp   = `SELECT requested, seq FROM optouts INDEXED BY optouts_status WHERE status = ?6 ` + sqlRequestedUp
	sqlOptOutStatusDown = `SELECT requested, seq FROM optouts INDEXED BY optouts_status WHERE status = ?6 ` + sqlRequestedDown
)

// OptOutStatus is where an entry of the register stands. An opt-out whose end
// date has passed stays granted: time changes no row (see OptOut.InForce).
type OptOutStatus string

// Statuses of an entry.
const (
	OptOutRequested     OptOutStatus = "requested" // between request and verdict, which share an append
	OptOutGranted       OptOutStatus = "granted"
	OptOutDenied        OptOutStatus = "denied"
	OptOutRevoked       OptOutStatus = "revoked"        // by the rules
	OptOutReturned      OptOutStatus = "opted_in"       // by the user
	OptOutClosed        OptOutStatus = "closed"         // with the user
	OptOutReturnRefused OptOutStatus = "return_refused" // an opt-in with nothing to end
)

// optOutStatuses lists all of them, for lists without a filter.
var optOutStatuses = [...]OptOutStatus{
	OptOutRequested, OptOutGranted, OptOutDenied, OptOutRevoked, OptOutReturned, OptOutClosed, OptOutReturnRefused,
}

// OptOutFilter selects entries of the register, in order of the time of
// request. Empty fields select everything.
type OptOutFilter struct {
	Listing
	UserID string
	Status OptOutStatus
}

// OptOut is one entry of the register.
type OptOut struct {
	Sequence         eventstore.Sequence // of the request
	ID               string              // empty for a refused return
	UserID           string
	Status           OptOutStatus
	RequestedAt      time.Time
	RequestedBy      string
	AgreementVersion string
	Acknowledged     bool
	DecidedAt        *time.Time
	Reason           string // of a denial or refused return
	Jurisdiction     string // residence the verdict stood on
	RuleID           string // decisive rule
	RuleVersion      int
	PolicyVersion    uint64
	Decision         json.RawMessage // domain.Decision of the verdict
	Scope            string
	EndsAt           *time.Time // fixed at the grant
	EndedAt          *time.Time // when a revocation, a return or the end of the user was recorded
	Cause            string     // of a revocation
	EffectiveAt      *time.Time // since when the rules forbade it
	DetectedAt       *time.Time
	Exposed          *time.Duration  // from effect to detection
	EndDecision      json.RawMessage // domain.Decision of a revocation
	EndedBy          string          // of a return
}

// InForce reports whether the opt-out waived the second factor at a moment.
func (o OptOut) InForce(at time.Time) bool {
	return o.Scope != "" && !o.DecidedAt.After(at) && (o.EndedAt == nil || o.EndedAt.After(at)) &&
		(o.EndsAt == nil || o.EndsAt.After(at))
}

// OptOuts lists the register. It returns ErrCursor for a cursor of another
// order.
func (v *Views) OptOuts(ctx context.Context, f OptOutFilter) (Page[OptOut], error) {
	page, err := list(ctx, v, f.Listing, f.places, func(ctx context.Context, q queryer, seq int64) (OptOut, error) {
		return single(queryOptOuts(ctx, q, sqlOptOut, seq))
	})
	if err != nil {
		return Page[OptOut]{}, fmt.Errorf("list opt-outs: %w", err)
	}
	return page, nil
}

func (f OptOutFilter) places(ctx context.Context, s selection) ([]place, error) {
	b, n := s.b, int64(s.b.limit)+1
	if f.UserID != "" {
		return s.query(ctx, s.pick(sqlOptOutUserUp, sqlOptOutUserDown), b.since, b.until, b.at, b.key, b.seq, f.UserID, n, string(f.Status))
	}
	statuses := []OptOutStatus{f.Status}
	if f.Status == "" {
		statuses = optOutStatuses[:]
	}
	return gather(statuses, func(status OptOutStatus) ([]place, error) {
		return s.query(ctx, s.pick(sqlOptOutStatusUp, sqlOptOutStatusDown), b.since, b.until, b.at, b.key, b.seq, string(status), n)
	})
}

// OptOut returns one entry by the opt-out's id, or ErrNotFound.
func (v *Views) OptOut(ctx context.Context, id string) (OptOut, error) {
	return single(queryOptOuts(ctx, v.read, sqlOptOutID, id))
}

// OptedOut lists the opt-outs in force at a moment, longest first. With the
// present moment it is the population the regime process re-evaluates.
func (v *Views) OptedOut(ctx context.Context, at time.Time) ([]OptOut, error) {
	return queryOptOuts(ctx, v.read, sqlOptedOutAt, at.UnixMicro())
}

func queryOptOuts(ctx context.Context, q queryer, query string, arg any) ([]OptOut, error) {
	rows, err := q.QueryContext(ctx, query, arg)
	if err != nil {
		return nil, fmt.Errorf("read opt-outs: %w", err)
	}
	out, err := collect(rows, scanOptOut)
	if err != nil {
		return nil, fmt.Errorf("read opt-outs: %w", err)
	}
	return out, nil
}

func scanOptOut(r *sql.Rows) (OptOut, error) {
	var o OptOut
	var seq, requested int64
	var id, by, agreement, reason, jurisdiction, rule, decision, scope, cause, endDecision, endedBy *string
	var acknowledged *bool
	var decided, ruleVersion, policy, ends, ended, effective, detected, exposed *int64
	err := r.Scan(&seq, &id, &o.UserID, &o.Status, &requested, &by, &agreement, &acknowledged, &decided, &reason, &jurisdiction,
		&rule, &ruleVersion, &policy, &decision, &scope, &ends, &ended, &cause, &effective, &detected, &exposed, &endDecision, &endedBy)
	o.Sequence, o.ID, o.RequestedAt = eventstore.Sequence(seq), text(id), instant(requested)
	o.RequestedBy, o.AgreementVersion, o.Acknowledged = text(by), text(agreement), acknowledged != nil && *acknowledged
	o.DecidedAt, o.Reason, o.Jurisdiction, o.RuleID = moment(decided), text(reason), text(jurisdiction), text(rule)
	o.RuleVersion, o.PolicyVersion = int(number(ruleVersion)), uint64(number(policy))
	o.Decision, o.Scope, o.EndsAt = raw(decision), text(scope), moment(ends)
	o.EndedAt, o.Cause, o.EffectiveAt, o.DetectedAt = moment(ended), text(cause), moment(effective), moment(detected)
	o.EndDecision, o.EndedBy = raw(endDecision), text(endedBy)
	if exposed != nil {
		d := time.Duration(*exposed) * time.Second
		o.Exposed = &d
	}
	return o, err
}

func raw(s *string) json.RawMessage {
	if s == nil {
		return nil
	}
	return json.RawMessage(*s)
}
