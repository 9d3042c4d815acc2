package projections

import (
	"context"
	"fmt"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
)

// Locks: one row for each time a user was locked out, and how it ended.
const (
	schemaLocks = `CREATE TABLE locks (
	seq      INTEGER PRIMARY KEY,
	user     TEXT NOT NULL,
	started  INTEGER NOT NULL,
	failures INTEGER NOT NULL,
	first_failed INTEGER NOT NULL,
	last_failed INTEGER NOT NULL,
	until    INTEGER NOT NULL,
	ended    INTEGER,            -- when the end was recorded
	ended_by TEXT,               -- elapsed, agent
	idv      TEXT
) STRICT;
CREATE INDEX locks_user ON locks (user, started);
CREATE INDEX locks_started ON locks (started);
CREATE INDEX locks_until ON locks (until)`

	sqlLock   = `INSERT INTO locks (seq, user, started, failures, first_failed, last_failed, until) VALUES (?, ?, ?, ?, ?, ?, ?)`
	sqlUnlock = `UPDATE locks SET ended = ?, ended_by = ?, idv = ?
WHERE seq = (SELECT seq FROM locks WHERE user = ? ORDER BY started DESC, seq DESC LIMIT 1) AND ended IS NULL`

	sqlLocks        = `SELECT seq, user, started, failures, first_failed, last_failed, until, ended, ended_by, idv FROM locks WHERE seq = ?`
	sqlLockInForce  = `(until > ?8 AND (ended IS NULL OR ended > ?8)) `
	sqlLockUserUp   = `SELECT started, seq FROM locks INDEXED BY locks_user WHERE user = ?6 AND (?8 IS NULL OR ` + sqlLockInForce + `) ` + sqlStartedUp
	sqlLockUserDown = `SELECT started, seq FROM locks INDEXED BY locks_user WHERE user = ?6 AND (?8 IS NULL OR ` + sqlLockInForce + `) ` + sqlStartedDown
	sqlLockAllUp    = `SELECT started, seq FROM locks INDEXED BY locks_started WHERE ?6 IS NULL ` + sqlStartedUp
	sqlLockAllDown  = `SELECT started, seq FROM locks INDEXED BY locks_started WHERE ?6 IS NULL ` + sqlStartedDown
	// Those in force are few, so sorting them is cheaper than passing the others.
	sqlLockNowUp   = `SELECT started, seq FROM locks INDEXED BY locks_until WHERE ?6 IS NULL AND ` + sqlLockInForce + sqlStartedUp
	sqlLockNowDown = `SELECT started, seq FROM locks INDEXED BY locks_until WHERE ?6 IS NULL AND ` + sqlLockInForce + sqlStartedDown

	sqlStartedUp   = `AND started >= ?1 AND started < ?2 AND seq <= ?3 AND (started, seq) > (?4, ?5) ORDER BY started, seq LIMIT ?7`
	sqlStartedDown = `AND started >= ?1 AND started < ?2 AND seq <= ?3 AND (started, seq) < (?4, ?5) ORDER BY started DESC, seq DESC LIMIT ?7`
)

// locks writes the locks.
type locks struct {
	direct

	lock, unlock *stmt
}

func (m *locks) prepare(p *preparer) { m.lock, m.unlock = p.stmt(sqlLock), p.stmt(sqlUnlock) }

func (m *locks) apply(_ context.Context, e *entry) error {
	switch v := e.Event.(type) {
	case domain.UserLocked:
		return run(m.lock, e.seq, e.owner, e.occurred, int64(v.Failures), v.FirstFailureAt.UnixMicro(), v.LastCountedFailedAt.UnixMicro(),
			v.LockedUntil.UnixMicro())
	case domain.UserUnlocked:
		return run(m.unlock, e.occurred, v.By, optional(v.IDVID), e.owner)
	}
	return nil
}

// LockFilter selects locks, in order of the time they began. Empty fields
// select everything.
type LockFilter struct {
	Listing
	UserID    string
	InForceAt time.Time // zero for locks of any time
}

// Lock is one time a user was locked out.
type Lock struct {
	Sequence       eventstore.Sequence
	UserID         string
	LockedAt       time.Time
	Failures       int // consecutive counted failures that led to it
	FirstFailureAt time.Time
	LastFailureAt  time.Time
	Until          time.Time // when it ends by itself
	// EndedAt is when an agent ended it, or when the ledger noted that it had
	// elapsed, which may be long after Until. It is nil while neither happened;
	// a lock that has elapsed may stay like that.
	EndedAt *time.Time
	EndedBy string // elapsed or agent
	IDVID   string // identity verification an agent ended it by
}

// InForce reports whether the user was locked by it at a moment.
func (l Lock) InForce(at time.Time) bool {
	return !at.Before(l.LockedAt) && at.Before(l.Until) && (l.EndedAt == nil || at.Before(*l.EndedAt))
}

// Locks lists locks. It returns ErrCursor for a cursor of another order.
func (v *Views) Locks(ctx context.Context, f LockFilter) (Page[Lock], error) {
	page, err := list(ctx, v, f.Listing, f.places, readLock)
	if err != nil {
		return Page[Lock]{}, fmt.Errorf("list locks: %w", err)
	}
	return page, nil
}

func (f LockFilter) places(ctx context.Context, s selection) ([]place, error) {
	b, n := s.b, int64(s.b.limit)+1
	if !f.InForceAt.IsZero() {
		b.until = min(b.until, f.InForceAt.UnixMicro()+1)
	}
	find := func(up, down string, user any, more ...any) ([]place, error) {
		return s.query(ctx, s.pick(up, down), append([]any{b.since, b.until, b.at, b.key, b.seq, user, n}, more...)...)
	}
	switch {
	case f.UserID != "":
		return find(sqlLockUserUp, sqlLockUserDown, f.UserID, micros(f.InForceAt))
	case !f.InForceAt.IsZero():
		return find(sqlLockNowUp, sqlLockNowDown, nil, micros(f.InForceAt))
	}
	return find(sqlLockAllUp, sqlLockAllDown, nil)
}

func readLock(ctx context.Context, q queryer, seq int64) (Lock, error) {
	var l Lock
	var started, first, last, until int64
	var ended *int64
	var by, idv *string
	err := q.QueryRowContext(ctx, sqlLocks, seq).Scan(&seq, &l.UserID, &started, &l.Failures, &first, &last, &until, &ended, &by, &idv)
	if err != nil {
		return Lock{}, fmt.Errorf("read lock at %d: %w", seq, err)
	}
	l.Sequence, l.LockedAt, l.Until = eventstore.Sequence(seq), instant(started), instant(until)
	l.FirstFailureAt, l.LastFailureAt = instant(first), instant(last)
	l.EndedAt, l.EndedBy, l.IDVID = moment(ended), text(by), text(idv)
	return l, nil
}
