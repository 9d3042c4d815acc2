package projections

import (
	"context"
	"fmt"

	"github.com/authledger/authledger/domain"
)

// The SMS ledger: every request, what became of it, and every refusal. One
// request is one row, whose key is the sequence of its SMSRequested or
// SMSRequestRefused. An outcome of a message that was never requested changes
// no row; the audit timeline still shows it.
const (
	schemaSMS = `CREATE TABLE sms (
	seq       INTEGER PRIMARY KEY,
	id        TEXT UNIQUE,          -- NULL for a refusal
	user      TEXT NOT NULL,
	phone     TEXT NOT NULL,
	purpose   TEXT NOT NULL,
	subject   TEXT,
	code_seq  INTEGER,
	template  TEXT,
	locale    TEXT,
	status    INTEGER NOT NULL,     -- rank, see SMSStatus
	requested INTEGER NOT NULL,
	gap_ms    INTEGER,              -- since the previous request of this phone and purpose
	dispatched INTEGER,
	gateway   TEXT,
	uncertain INTEGER,
	sent      INTEGER,              -- when the provider accepted it
	provider  TEXT,
	provider_ref TEXT,
	sender    TEXT,
	segments  INTEGER,
	delivered INTEGER,
	latency_ms INTEGER,
	receipt   TEXT,
	failed    INTEGER,              -- when a failure was recorded last
	failure   TEXT,
	provider_code TEXT,
	emailed   INTEGER,              -- when a copy of the code went out by e-mail
	email_rule TEXT,
	reason    TEXT,                 -- of a refusal
	retry_after_s INTEGER
) STRICT;
CREATE INDEX sms_phone ON sms (phone, requested)`
	indexSMS = `CREATE INDEX sms_user ON sms (user, requested);
CREATE INDEX sms_status ON sms (status, requested)`

	sqlPreviousSMS = `SELECT requested FROM sms WHERE phone = ? AND purpose = ? AND id IS NOT NULL ORDER BY requested DESC, seq DESC LIMIT 1`
	sqlRequestSMS  = `INSERT INTO sms (seq, id, user, phone, purpose, subject, code_seq, template, locale, status, requested, gap_ms)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?) ON CONFLICT (id) DO NOTHING`
	sqlRefuseSMS = `INSERT INTO sms (seq, user, phone, purpose, subject, status, requested, reason, retry_after_s)
VALUES (?, ?, ?, ?, ?, 0, ?, ?, ?)`
	sqlDispatchSMS   = `UPDATE sms SET dispatched = ?, gateway = ?, status = max(status, 2) WHERE id = ?`
	sqlUncertainSMS  = `UPDATE sms SET uncertain = ?, status = max(status, 3) WHERE id = ?`
	sqlSentSMS       = `UPDATE sms SET sent = ?, provider = ?, provider_ref = ?, sender = ?, segments = ?, status = max(status, 4) WHERE id = ?`
	sqlSendFailedSMS = `UPDATE sms SET failed = ?, provider_code = ?, status = max(status, 5) WHERE id = ?`
	sqlUndelivered   = `UPDATE sms SET failed = ?, failure = ?, provider_code = ?, status = max(status, 6),
	provider_ref = coalesce(provider_ref, ?) WHERE id = ?`
	sqlDelivered = `UPDATE sms SET delivered = ?, latency_ms = ?, receipt = ?, status = 7,
	provider_ref = coalesce(provider_ref, ?) WHERE id = ?`
	sqlEmailedSMS = `UPDATE sms SET emailed = ?, email_rule = ? WHERE id = ?`
	sqlCountSMS   = `SELECT count(*) FROM phones p JOIN sms s ON s.phone = p.id
WHERE p.blind = ? AND s.requested > ? AND s.id IS NOT NULL`
)

// smsLedger writes the SMS ledger.
type smsLedger struct {
	direct

	previous, request, refuse, dispatch, uncertain, sent, sendFailed, undelivered, delivered, emailed *stmt
}

func (m *smsLedger) prepare(p *preparer) {
	m.previous, m.request, m.refuse = p.stmt(sqlPreviousSMS), p.stmt(sqlRequestSMS), p.stmt(sqlRefuseSMS)
	m.dispatch, m.uncertain, m.sent = p.stmt(sqlDispatchSMS), p.stmt(sqlUncertainSMS), p.stmt(sqlSentSMS)
	m.sendFailed, m.undelivered, m.delivered = p.stmt(sqlSendFailedSMS), p.stmt(sqlUndelivered), p.stmt(sqlDelivered)
	m.emailed = p.stmt(sqlEmailedSMS)
}

func (m *smsLedger) apply(_ context.Context, e *entry) error {
	switch v := e.Event.(type) {
	case domain.SMSRequested:
		gap, err := m.gap(e, v)
		if err != nil {
			return err
		}
		return run(m.request, e.seq, v.SMSID, e.owner, v.PhoneID, string(v.Purpose), v.SubjectID, int64(v.CodeSeq),
			v.TemplateID, v.Locale, e.occurred, gap)
	case domain.SMSRequestRefused:
		return run(m.refuse, e.seq, e.owner, v.PhoneID, string(v.Purpose), optional(v.SubjectID), e.occurred, string(v.Reason), v.RetryAfterS)
	case domain.SMSDispatchStarted:
		return run(m.dispatch, e.occurred, v.Gateway, v.SMSID)
	case domain.SMSDispatchUncertain:
		return run(m.uncertain, e.occurred, v.SMSID)
	case domain.SMSSent:
		return run(m.sent, micros(v.AcceptedAt), v.Provider, v.ProviderRef, v.SenderID, int64(v.Segments), v.SMSID)
	case domain.SMSSendFailed:
		return run(m.sendFailed, e.occurred, v.ProviderCode, v.SMSID)
	case domain.SMSDeliveryFailed:
		return run(m.undelivered, e.occurred, v.Failure, v.ProviderCode, optional(v.ProviderRef), v.SMSID)
	case domain.SMSDelivered:
		return run(m.delivered, micros(v.DeliveredAt), v.LatencyMS, v.Receipt, optional(v.ProviderRef), v.SMSID)
	case domain.CodeEmailed:
		return run(m.emailed, e.occurred, v.RuleID, v.SMSID)
	}
	return nil
}

// gap is the time in milliseconds since the previous request of the same phone
// and purpose; nil for the first.
func (m *smsLedger) gap(e *entry, v domain.SMSRequested) (any, error) {
	previous, found, err := m.previous.integer(v.PhoneID, string(v.Purpose))
	if err != nil {
		return nil, fmt.Errorf("find previous message: %w", err)
	}
	if !found {
		return nil, nil
	}
	return (e.occurred - previous) / 1000, nil
}
