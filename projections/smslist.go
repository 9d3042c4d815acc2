package projections

import (
	"context"
	"fmt"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
)

const (
	sqlSMS = `SELECT seq, id, user, phone, purpose, subject, code_seq, template, locale, status, requested, gap_ms, dispatched, gateway,
	uncertain, sent, provider, provider_ref, sender, segments, delivered, latency_ms, receipt, failed, failure, provider_code, emailed, email_rule,
	reason, retry_after_s
FROM sms WHERE seq = ?`
	sqlSMSID = `SELECT seq FROM sms WHERE id = ?`

	sqlSMSUserUp     = `SELECT requested, seq FROM sms INDEXED BY sms_user WHERE user = ?6 AND (?8 < 0 OR status = ?8) ` + sqlRequestedUp
	sqlSMSUserDown   = `SELECT requested, seq FROM sms INDEXED BY sms_user WHERE user = ?6 AND (?8 < 0 OR status = ?8) ` + sqlRequestedDown
	sqlSMSPhoneUp    = `SELECT requested, seq FROM sms INDEXED BY sms_phone WHERE phone = ?6 AND (?8 < 0 OR status = ?8) ` + sqlRequestedUp
	sqlSMSPhoneDown  = `SELECT requested, seq FROM sms INDEXED BY sms_phone WHERE phone = ?6 AND (?8 < 0 OR status = ?8) ` + sqlRequestedDown
	sqlSMSStatusUp   = `SELECT requested, seq FROM sms INDEXED BY sms_status WHERE status = ?6 ` + sqlRequestedUp
	sqlSMSStatusDown = `SELECT requested, seq FROM sms INDEXED BY sms_status WHERE status = ?6 ` + sqlRequestedDown

	sqlRequestedUp   = `AND requested >= ?1 AND requested < ?2 AND seq <= ?3 AND (requested, seq) > (?4, ?5) ORDER BY requested, seq LIMIT ?7`
	sqlRequestedDown = `AND requested >= ?1 AND requested < ?2 AND seq <= ?3 AND (requested, seq) < (?4, ?5) ORDER BY requested DESC, seq DESC LIMIT ?7`
)

// SMSStatus is the furthest a message got.
type SMSStatus string

// Statuses in order of rank: a late or repeated report never lowers one. A
// receipt outranks a failure, because only a handset or network that got the
// message sends one.
const (
	SMSRefused     SMSStatus = "refused" // not requested at all
	SMSRequested   SMSStatus = "requested"
	SMSDispatched  SMSStatus = "dispatched"
	SMSUncertain   SMSStatus = "uncertain" // handed over, outcome lost
	SMSSent        SMSStatus = "sent"      // accepted by the provider
	SMSSendFailed  SMSStatus = "send_failed"
	SMSUndelivered SMSStatus = "undelivered"
	SMSDelivered   SMSStatus = "delivered"
)

// smsStatuses by rank, which is what the table holds.
var smsStatuses = [...]SMSStatus{
	SMSRefused, SMSRequested, SMSDispatched, SMSUncertain, SMSSent, SMSSendFailed, SMSUndelivered, SMSDelivered,
}

func (s SMSStatus) rank() (int64, bool) {
	for i, known := range smsStatuses {
		if known == s {
			return int64(i), true
		}
	}
	return -1, false
}

// SMSFilter selects messages, in order of the time of request. Empty fields
// select everything.
type SMSFilter struct {
	Listing
	UserID  string
	PhoneID string
	Status  SMSStatus
}

// SMS is one message, or one that was refused.
type SMS struct {
	Sequence    eventstore.Sequence // of the request or refusal
	ID          string              // empty for a refusal
	UserID      string
	PhoneID     string
	Purpose     domain.Purpose
	SubjectID   string // verification, challenge, enrolment, migration or recovery
	CodeSeq     int
	TemplateID  string
	Locale      string
	Status      SMSStatus
	RequestedAt time.Time
	// Gap is the time since the previous request for the same phone and
	// purpose; nil for the first and for a refusal.
	Gap           *time.Duration
	DispatchedAt  *time.Time
	Gateway       string
	UncertainAt   *time.Time
	SentAt        *time.Time
	Provider      string
	ProviderRef   string
	SenderID      string
	Segments      int
	DeliveredAt   *time.Time
	Latency       *time.Duration // from acceptance to delivery, as recorded
	Receipt       string
	FailedAt      *time.Time
	Failure       string
	ProviderCode  string
	EmailedAt     *time.Time // when a copy of the code went out by e-mail
	EmailRuleID   string     // the rule that demands it
	RefusedReason string
	RetryAfter    time.Duration // of a refusal
}

// Messages lists the SMS ledger. It returns ErrCursor for a cursor of another
// order. An unknown status matches nothing.
func (v *Views) Messages(ctx context.Context, f SMSFilter) (Page[SMS], error) {
	page, err := list(ctx, v, f.Listing, f.places, readSMS)
	if err != nil {
		return Page[SMS]{}, fmt.Errorf("list messages: %w", err)
	}
	return page, nil
}

func (f SMSFilter) places(ctx context.Context, s selection) ([]place, error) {
	status, known := f.Status.rank()
	if f.Status != "" && !known {
		return nil, nil
	}
	b, n := s.b, int64(s.b.limit)+1
	find := func(query string, of any, status int64) ([]place, error) {
		return s.query(ctx, query, b.since, b.until, b.at, b.key, b.seq, of, n, status)
	}
	switch {
	case f.PhoneID != "" && f.UserID != "" && domain.UserOf(f.PhoneID) != f.UserID:
		return nil, nil
	case f.PhoneID != "":
		return find(s.pick(sqlSMSPhoneUp, sqlSMSPhoneDown), f.PhoneID, status)
	case f.UserID != "":
		return find(s.pick(sqlSMSUserUp, sqlSMSUserDown), f.UserID, status)
	}
	ranks := []int64{status}
	if f.Status == "" {
		ranks = []int64{0, 1, 2, 3, 4, 5, 6, 7}
	}
	return gather(ranks, func(rank int64) ([]place, error) {
		return s.query(ctx, s.pick(sqlSMSStatusUp, sqlSMSStatusDown), b.since, b.until, b.at, b.key, b.seq, rank, n)
	})
}

// Message returns one message by its id, or ErrNotFound.
func (v *Views) Message(ctx context.Context, id string) (SMS, error) {
	m, err := byID(ctx, v, sqlSMSID, id, readSMS)
	if err != nil {
		return SMS{}, fmt.Errorf("read message %s: %w", id, err)
	}
	return m, nil
}

func readSMS(ctx context.Context, q queryer, seq int64) (SMS, error) {
	var m SMS
	var id, subject, template, locale, gateway, provider, ref, sender, receipt, failure, code, rule, reason *string
	var codeSeq, gap, dispatched, uncertain, sent, segments, delivered, latency, failed, emailed, retry *int64
	var status, requested int64
	err := q.QueryRowContext(ctx, sqlSMS, seq).Scan(&seq, &id, &m.UserID, &m.PhoneID, &m.Purpose, &subject, &codeSeq, &template,
		&locale, &status, &requested, &gap, &dispatched, &gateway, &uncertain, &sent, &provider, &ref, &sender, &segments,
		&delivered, &latency, &receipt, &failed, &failure, &code, &emailed, &rule, &reason, &retry)
	if err != nil {
		return SMS{}, fmt.Errorf("read message at %d: %w", seq, err)
	}
	m.Sequence, m.Status, m.RequestedAt = eventstore.Sequence(seq), smsStatuses[status], instant(requested)
	m.ID, m.SubjectID, m.TemplateID, m.Locale = text(id), text(subject), text(template), text(locale)
	m.Gateway, m.Provider, m.ProviderRef, m.SenderID = text(gateway), text(provider), text(ref), text(sender)
	m.Receipt, m.Failure, m.ProviderCode, m.RefusedReason = text(receipt), text(failure), text(code), text(reason)
	m.DispatchedAt, m.UncertainAt, m.SentAt = moment(dispatched), moment(uncertain), moment(sent)
	m.DeliveredAt, m.FailedAt, m.EmailedAt, m.EmailRuleID = moment(delivered), moment(failed), moment(emailed), text(rule)
	m.Gap, m.Latency = duration(gap), duration(latency)
	m.CodeSeq, m.Segments = int(number(codeSeq)), int(number(segments))
	m.RetryAfter = time.Duration(number(retry)) * time.Second
	return m, nil
}

// duration is a count of milliseconds, nil for none.
func duration(ms *int64) *time.Duration {
	if ms == nil {
		return nil
	}
	d := time.Duration(*ms) * time.Millisecond
	return &d
}

func number(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}

// SMSInLastHour counts the messages requested for a number (E.164) within the
// last hour, for all purposes and all users who share it (D-11). It is as fresh
// as the views are, and counts nothing for numbers that were erased.
func (v *Views) SMSInLastHour(ctx context.Context, number string) (int, error) {
	blind, err := v.options.Blind(ctx, number)
	if err != nil {
		return 0, fmt.Errorf("count messages: %w", err)
	}
	var n int
	since := v.options.Clock().Add(-time.Hour).UnixMicro()
	if err := v.read.QueryRowContext(ctx, sqlCountSMS, blind, since).Scan(&n); err != nil {
		return 0, fmt.Errorf("count messages: %w", err)
	}
	return n, nil
}
