package projections

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/authledger/authledger/domain"
)

// Erasures: one row for each request to be forgotten with what became of it,
// and one for each legal hold.
const (
	schemaErasures = `CREATE TABLE erasures (
	seq       INTEGER PRIMARY KEY, -- of the request
	id        TEXT NOT NULL UNIQUE,
	user      TEXT NOT NULL,
	status    TEXT NOT NULL,       -- see ErasureStatus
	basis     TEXT NOT NULL,
	requested INTEGER NOT NULL,
	requested_by TEXT,
	reason    TEXT,                -- of the refusal
	retained_until INTEGER,        -- as last decided
	hold      TEXT,                -- that the refusal named
	rule      TEXT,                -- that keeps the records longest
	rule_cc   TEXT,
	years     INTEGER,
	counted_from INTEGER,
	restricted INTEGER,            -- since when
	erased    INTEGER,             -- when it was decided
	subject   TEXT,                -- stream whose key is destroyed
	also      TEXT,                -- JSON, further such streams
	key       TEXT,
	destroyed INTEGER,             -- when the key was, by the certificate
	certified INTEGER,
	certificate INTEGER,           -- sequence of the certificate
	method    TEXT,
	files     INTEGER,
	bytes     INTEGER
) STRICT;
CREATE INDEX erasures_user ON erasures (user, requested);
CREATE INDEX erasures_status ON erasures (status, requested);
CREATE TABLE holds (
	seq       INTEGER PRIMARY KEY,
	id        TEXT NOT NULL UNIQUE,
	user      TEXT NOT NULL,
	case_ref  TEXT NOT NULL,
	basis     TEXT NOT NULL,
	placed    INTEGER NOT NULL,
	asked     INTEGER,             -- when its release was requested
	asked_by  TEXT,
	released  INTEGER,
	approved_by TEXT
) STRICT;
CREATE INDEX holds_user ON holds (user, placed);
CREATE INDEX holds_placed ON holds (placed);
CREATE INDEX holds_open ON holds (placed) WHERE released IS NULL`

	sqlRequestErasure = `INSERT INTO erasures (seq, id, user, status, basis, requested, requested_by)
VALUES (?, ?, ?, 'requested', ?, ?, ?) ON CONFLICT (id) DO NOTHING`
	sqlRefuseErasure = `UPDATE erasures SET status = 'refused', reason = ?, retained_until = ?, hold = ?, rule = ?, rule_cc = ?, years = ?,
	counted_from = ? WHERE id = ? AND status = 'requested'`
	sqlSupersedeErasures = `UPDATE erasures INDEXED BY erasures_user SET status = 'superseded' WHERE user = ? AND status = 'restricted' AND id <> ?`
	sqlRestrictErasure   = `UPDATE erasures SET status = 'restricted', restricted = ?, retained_until = ? WHERE id = ? AND status = 'refused'`
	sqlEraseSubject      = `UPDATE erasures SET status = 'erased', erased = ?, subject = ?, also = ?, key = ? WHERE id = ? AND erased IS NULL`
	sqlCertifyErasure    = `UPDATE erasures SET status = 'certified', destroyed = ?, certified = ?, certificate = ?, method = ?, files = ?, bytes = ?
WHERE id = ? AND status = 'erased'`
	sqlPlaceHold   = `INSERT INTO holds (seq, id, user, case_ref, basis, placed) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`
	sqlAskRelease  = `UPDATE holds SET asked = ?, asked_by = ? WHERE id = ? AND released IS NULL`
	sqlReleaseHold = `UPDATE holds SET released = ?, approved_by = ? WHERE id = ? AND released IS NULL`
)

// erasures writes the requests to be forgotten and the legal holds.
type erasures struct {
	direct

	request, refuse, supersede, restrict, erase, certify *stmt
	place, ask, release                                  *stmt
}

func (m *erasures) prepare(p *preparer) {
	m.request, m.refuse, m.supersede = p.stmt(sqlRequestErasure), p.stmt(sqlRefuseErasure), p.stmt(sqlSupersedeErasures)
	m.restrict, m.erase, m.certify = p.stmt(sqlRestrictErasure), p.stmt(sqlEraseSubject), p.stmt(sqlCertifyErasure)
	m.place, m.ask, m.release = p.stmt(sqlPlaceHold), p.stmt(sqlAskRelease), p.stmt(sqlReleaseHold)
}

func (m *erasures) apply(_ context.Context, e *entry) error {
	switch v := e.Event.(type) {
	case domain.ErasureRequested:
		return run(m.request, e.seq, v.ErasureID, e.owner, v.Basis, e.occurred, optional(v.RequestedBy))
	case domain.ErasureRefused:
		r := v.Retention
		return run(m.refuse, string(v.Reason), microsAt(v.RetainedUntil), optional(v.HoldID), optional(r.Rule), optional(r.CC),
			positive(int64(r.Years)), micros(r.From), v.ErasureID)
	case domain.ProcessingRestricted:
		if err := run(m.supersede, e.owner, v.ErasureID); err != nil {
			return err
		}
		return run(m.restrict, e.occurred, microsAt(v.Until), v.ErasureID)
	case domain.PersonalDataErased:
		also, err := json.Marshal(v.Also)
		if err != nil {
			return fmt.Errorf("encode subjects: %w", err)
		}
		return run(m.erase, e.occurred, v.SubjectRef, string(also), optional(v.KeyID), v.ErasureID)
	case domain.ErasureCertified:
		return run(m.certify, micros(v.DestroyedAt), e.occurred, e.seq, v.Method, int64(v.Files), v.Bytes, v.ErasureID)
	case domain.LegalHoldPlaced:
		return run(m.place, e.seq, v.HoldID, e.owner, v.CaseRef, v.Basis, e.occurred)
	case domain.LegalHoldReleaseRequested:
		return run(m.ask, e.occurred, v.RequestedBy, v.HoldID)
	case domain.LegalHoldReleased:
		return run(m.release, e.occurred, v.ApprovedBy, v.HoldID)
	}
	return nil
}

// positive stores an absent number as NULL.
func positive(n int64) any {
	if n == 0 {
		return nil
	}
	return n
}
