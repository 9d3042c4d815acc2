package projections

import (
	"context"

	"github.com/authledger/authledger/domain"
)

// The ledger of voice calls: every request, what became of it, and every
// refusal, as in the SMS ledger.
const (
	schemaCalls = `CREATE TABLE calls (
	seq       INTEGER PRIMARY KEY,
	id        TEXT UNIQUE,          -- NULL for a refusal
	user      TEXT NOT NULL,
	phone     TEXT,                 -- NULL for a refusal
	challenge TEXT NOT NULL,
	code_seq  INTEGER,
	platform  TEXT,
	channel   TEXT,
	template  TEXT,
	locale    TEXT,
	status    INTEGER NOT NULL,     -- rank, see VoiceStatus
	requested INTEGER NOT NULL,
	dispatched INTEGER,
	gateway   TEXT,
	uncertain INTEGER,
	placed    INTEGER,              -- when the provider dialled
	wait_ms   INTEGER,
	sla_missed INTEGER,
	provider  TEXT,
	provider_ref TEXT,
	answered  INTEGER,              -- when that was recorded
	duration_s INTEGER,
	failed    INTEGER,
	failure   TEXT,
	provider_code TEXT,
	reason    TEXT,                 -- of a refusal
	retry_after_s INTEGER
) STRICT;
CREATE INDEX calls_user ON calls (user, requested);
CREATE INDEX calls_phone ON calls (phone, requested) WHERE phone IS NOT NULL;
CREATE INDEX calls_status ON calls (status, requested)`

	sqlRequestCall = `INSERT INTO calls (seq, id, user, phone, challenge, code_seq, platform, channel, template, locale, status, requested)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?) ON CONFLICT (id) DO NOTHING`
	sqlRefuseCall    = `INSERT INTO calls (seq, user, challenge, status, requested, reason, retry_after_s) VALUES (?, ?, ?, 0, ?, ?, ?)`
	sqlDispatchCall  = `UPDATE calls SET dispatched = ?, gateway = ?, status = max(status, 2) WHERE id = ?`
	sqlUncertainCall = `UPDATE calls SET uncertain = ?, status = max(status, 3) WHERE id = ?`
	sqlPlaceCall     = `UPDATE calls SET placed = ?, wait_ms = ?, sla_missed = ?, provider = ?, provider_ref = ?, status = max(status, 4) WHERE id = ?`
	sqlFailCall      = `UPDATE calls SET failed = ?, failure = ?, provider_code = ?, status = max(status, 5) WHERE id = ?`
	sqlAnswerCall    = `UPDATE calls SET answered = ?, duration_s = ?, status = 6 WHERE id = ?`
)

// voiceLedger writes the ledger of voice calls.
type voiceLedger struct {
	direct

	request, refuse, dispatch, uncertain, place, fail, answer *stmt
}

func (m *voiceLedger) prepare(p *preparer) {
	m.request, m.refuse, m.dispatch = p.stmt(sqlRequestCall), p.stmt(sqlRefuseCall), p.stmt(sqlDispatchCall)
	m.uncertain, m.place, m.fail, m.answer = p.stmt(sqlUncertainCall), p.stmt(sqlPlaceCall), p.stmt(sqlFailCall), p.stmt(sqlAnswerCall)
}

func (m *voiceLedger) apply(_ context.Context, e *entry) error {
	switch v := e.Event.(type) {
	case domain.VoiceCallRequested:
		return run(m.request, e.seq, v.CallID, e.owner, v.PhoneID, v.ChallengeID, int64(v.CodeSeq), string(v.Platform),
			optional(v.ReleaseChannel), v.TemplateID, v.Locale, e.occurred)
	case domain.VoiceCallRefused:
		return run(m.refuse, e.seq, e.owner, v.ChallengeID, e.occurred, string(v.Reason), v.RetryAfterS)
	case domain.VoiceDispatchStarted:
		return run(m.dispatch, e.occurred, v.Gateway, v.CallID)
	case domain.VoiceDispatchUncertain:
		return run(m.uncertain, e.occurred, v.CallID)
	case domain.VoiceCallPlaced:
		return run(m.place, micros(v.PlacedAt), v.WaitMS, v.SLAMissed, v.Provider, v.ProviderRef, v.CallID)
	case domain.VoiceCallFailed:
		return run(m.fail, e.occurred, v.Failure, optional(v.ProviderCode), v.CallID)
	case domain.VoiceCallAnswered:
		return run(m.answer, e.occurred, v.DurationS, v.CallID)
	}
	return nil
}
