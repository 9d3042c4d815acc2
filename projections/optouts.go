package projections

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/authledger/authledger/domain"
)

// The opt-out register: one row for each request with its verdict and its end,
// and one for each refused return, which names no opt-out.
const (
	schemaOptOuts = `CREATE TABLE optouts (
	seq         INTEGER PRIMARY KEY, -- of the request, or of the refused return
	id          TEXT UNIQUE,         -- NULL for a refused return
	user        TEXT NOT NULL,
	status      TEXT NOT NULL,       -- see OptOutStatus
	requested   INTEGER NOT NULL,
	requested_by TEXT,
	agreement   TEXT,
	acknowledged INTEGER,
	decided     INTEGER,
	decided_seq INTEGER,
	reason      TEXT,                -- of a denial or a refused return
	jurisdiction TEXT,               -- residence the verdict stood on
	rule        TEXT,
	rule_version INTEGER,
	policy_version INTEGER,
	decision    TEXT,                -- JSON of domain.Decision
	scope       TEXT,
	ends        INTEGER,             -- fixed at the grant
	ended       INTEGER,             -- when a revocation, a return or the end of the user was recorded
	cause       TEXT,                -- of a revocation
	effective   INTEGER,             -- since when it should have been revoked
	detected    INTEGER,
	exposed_s   INTEGER,
	end_decision TEXT,               -- JSON, of a revocation
	ended_by    TEXT                 -- of a return
) STRICT;
CREATE INDEX optouts_user ON optouts (user, requested);
CREATE INDEX optouts_status ON optouts (status, requested);
CREATE INDEX optouts_granted ON optouts (decided) WHERE scope IS NOT NULL`

	sqlRequestOptOut = `INSERT INTO optouts (seq, id, user, status, requested, requested_by, agreement, acknowledged)
VALUES (?, ?, ?, 'requested', ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`
	sqlGrantOptOut = `UPDATE optouts SET status = 'granted', decided = ?, decided_seq = ?, jurisdiction = ?, rule = ?, rule_version = ?,
	policy_version = ?, decision = ?, scope = ?, ends = ? WHERE id = ? AND decided IS NULL`
	sqlDenyOptOut = `UPDATE optouts SET status = 'denied', decided = ?, decided_seq = ?, jurisdiction = ?, rule = ?, rule_version = ?,
	policy_version = ?, decision = ?, reason = ? WHERE id = ? AND decided IS NULL`
	sqlRevokeOptOut = `UPDATE optouts SET status = 'revoked', ended = ?, cause = ?, effective = ?, detected = ?, exposed_s = ?, end_decision = ?
WHERE id = ? AND ended IS NULL`
	sqlReturnOptOut = `UPDATE optouts SET status = 'opted_in', ended = ?, ended_by = ? WHERE id = ? AND ended IS NULL`
	sqlCloseOptOuts = `UPDATE optouts INDEXED BY optouts_user SET status = 'closed', ended = ?1
WHERE user = ?2 AND status = 'granted' AND (ends IS NULL OR ends > ?1)`
	sqlRefusedReturn = `INSERT INTO optouts (seq, user, status, requested, reason) VALUES (?, ?, 'return_refused', ?, ?)`
)

// optOuts writes the register.
type optOuts struct {
	direct

	request, grant, deny, revoke, back, closed, refused *stmt
}

func (m *optOuts) prepare(p *preparer) {
	m.request, m.grant, m.deny = p.stmt(sqlRequestOptOut), p.stmt(sqlGrantOptOut), p.stmt(sqlDenyOptOut)
	m.revoke, m.back = p.stmt(sqlRevokeOptOut), p.stmt(sqlReturnOptOut)
	m.closed, m.refused = p.stmt(sqlCloseOptOuts), p.stmt(sqlRefusedReturn)
}

func (m *optOuts) apply(_ context.Context, e *entry) error {
	switch v := e.Event.(type) {
	case domain.OptOutRequested:
		return run(m.request, e.seq, v.OptOutID, e.owner, e.occurred, v.RequestedBy, v.AgreementVersion, v.Acknowledged)
	case domain.OptOutGranted:
		return decide(m.grant, e, v.Decision, v.Scope, microsAt(v.EndsAt), v.OptOutID)
	case domain.OptOutDenied:
		return decide(m.deny, e, v.Decision, string(v.Reason), v.OptOutID)
	case domain.OptOutRevoked:
		decision, err := json.Marshal(v.Decision)
		if err != nil {
			return fmt.Errorf("encode decision: %w", err)
		}
		return run(m.revoke, e.occurred, v.Cause, micros(v.EffectiveAt), micros(v.DetectedAt), v.ExposedS, string(decision), v.OptOutID)
	case domain.OptedBackIn:
		return run(m.back, e.occurred, v.By, v.OptOutID)
	case domain.UserClosed:
		return run(m.closed, e.occurred, e.owner)
	case domain.OptBackInRefused:
		return run(m.refused, e.seq, e.owner, e.occurred, string(v.Reason))
	}
	return nil
}

// decide records a verdict; rest are the statement's parameters behind those
// of the decision.
func decide(s *stmt, e *entry, d domain.Decision, rest ...any) error {
	text, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("encode decision: %w", err)
	}
	return run(s, append([]any{e.occurred, e.seq, optional(d.Facts.Residence), optional(d.DecisiveRuleID), int64(d.RuleVersion),
		int64(d.PolicyVersion), string(text)}, rest...)...)
}
