package projections

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
)

const (
	sqlCall = `SELECT seq, id, user, phone, challenge, code_seq, platform, channel, template, locale, status, requested, dispatched, gateway,
	uncertain, placed, wait_ms, sla_missed, provider, provider_ref, answered, duration_s, failed, failure, provider_code, reason, retry_after_s
FROM calls WHERE seq = ?`
	sqlCallID = `SELECT seq FROM calls WHERE id = ?`

	sqlCallUserUp     = `SELECT requested, seq FROM calls INDEXED BY calls_user WHERE user = ?6 AND (?8 < 0 OR status = ?8) ` + sqlRequestedUp
	sqlCallUserDown   = `SELECT requested, seq FROM calls INDEXED BY calls_user WHERE user = ?6 AND (?8 < 0 OR status = ?8) ` + sqlRequestedDown
	sqlCallPhoneUp    = `SELECT requested, seq FROM calls INDEXED BY calls_phone WHERE phone = ?6 AND (?8 < 0 OR status = ?8) ` + sqlRequestedUp
	sqlCallPhoneDown  = `SELECT requested, seq FROM calls INDEXED BY calls_phone WHERE phone = ?6 AND (?8 < 0 OR status = ?8) ` + sqlRequestedDown
	sqlCallStatusUp   = `SELECT requested, seq FROM calls INDEXED BY calls_status WHERE status = ?6 ` + sqlRequestedUp
	sqlCallStatusDown = `SELECT requested, seq FROM calls INDEXED BY calls_status WHERE status = ?6 ` + sqlRequestedDown
)

// VoiceStatus is the furthest a call got.
type VoiceStatus string

// Statuses in order of rank: a late or repeated report never lowers one. That
// somebody took the call outranks a failure.
const (
	VoiceRefused    VoiceStatus = "refused" // not requested at all
	VoiceRequested  VoiceStatus = "requested"
	VoiceDispatched VoiceStatus = "dispatched"
	VoiceUncertain  VoiceStatus = "uncertain" // handed over, outcome lost
	VoicePlaced     VoiceStatus = "placed"    // dialled by the provider
	VoiceFailed     VoiceStatus = "failed"
	VoiceAnswered   VoiceStatus = "answered"
)

// voiceStatuses by rank, which is what the table holds.
var voiceStatuses = []VoiceStatus{
	VoiceRefused, VoiceRequested, VoiceDispatched, VoiceUncertain, VoicePlaced, VoiceFailed, VoiceAnswered,
}

// VoiceFilter selects voice calls, in order of the time of request. Empty
// fields select everything.
type VoiceFilter struct {
	Listing
	UserID  string
	PhoneID string // refusals name no phone, so none is found by it
	Status  VoiceStatus
}

// VoiceCall is one voice call, or one that was refused.
type VoiceCall struct {
	Sequence       eventstore.Sequence // of the request or refusal
	ID             string              // empty for a refusal
	UserID         string
	PhoneID        string // empty for a refusal
	ChallengeID    string
	CodeSeq        int
	Platform       domain.Platform
	ReleaseChannel domain.ReleaseChannel
	TemplateID     string
	Locale         string
	Status         VoiceStatus
	RequestedAt    time.Time
	DispatchedAt   *time.Time
	Gateway        string
	UncertainAt    *time.Time
	PlacedAt       *time.Time
	Wait           *time.Duration // from request to placement, as recorded
	SLAMissed      bool           // it was placed later than the policy promises
	Provider       string
	ProviderRef    string
	AnsweredAt     *time.Time     // when that was recorded
	Duration       *time.Duration // of the answered call
	FailedAt       *time.Time
	Failure        string
	ProviderCode   string
	RefusedReason  string
	RetryAfter     time.Duration // of a refusal
}

// VoiceCalls lists the ledger of voice calls. It returns ErrCursor for a cursor
// of another order. An unknown status matches nothing.
func (v *Views) VoiceCalls(ctx context.Context, f VoiceFilter) (Page[VoiceCall], error) {
	page, err := list(ctx, v, f.Listing, f.places, readCall)
	if err != nil {
		return Page[VoiceCall]{}, fmt.Errorf("list voice calls: %w", err)
	}
	return page, nil
}

func (f VoiceFilter) places(ctx context.Context, s selection) ([]place, error) {
	status := int64(slices.Index(voiceStatuses, f.Status)) // -1 for any
	b, n := s.b, int64(s.b.limit)+1
	find := func(query string, of any) ([]place, error) {
		return s.query(ctx, query, b.since, b.until, b.at, b.key, b.seq, of, n, status)
	}
	switch {
	case f.Status != "" && status < 0, f.PhoneID != "" && f.UserID != "" && domain.UserOf(f.PhoneID) != f.UserID:
		return nil, nil
	case f.PhoneID != "":
		return find(s.pick(sqlCallPhoneUp, sqlCallPhoneDown), f.PhoneID)
	case f.UserID != "":
		return find(s.pick(sqlCallUserUp, sqlCallUserDown), f.UserID)
	}
	statuses := voiceStatuses
	if f.Status != "" {
		statuses = []VoiceStatus{f.Status}
	}
	return gather(statuses, func(status VoiceStatus) ([]place, error) {
		rank := slices.Index(voiceStatuses, status)
		return s.query(ctx, s.pick(sqlCallStatusUp, sqlCallStatusDown), b.since, b.until, b.at, b.key, b.seq, rank, n)
	})
}

// VoiceCall returns one call by its id, or ErrNotFound.
func (v *Views) VoiceCall(ctx context.Context, id string) (VoiceCall, error) {
	c, err := byID(ctx, v, sqlCallID, id, readCall)
	if err != nil {
		return VoiceCall{}, fmt.Errorf("read voice call %s: %w", id, err)
	}
	return c, nil
}

func readCall(ctx context.Context, q queryer, seq int64) (VoiceCall, error) {
	var c VoiceCall
	var id, phone, platform, channel, template, locale, gateway, provider, ref, failure, code, reason *string
	var codeSeq, dispatched, uncertain, placed, wait, answered, lasted, failed, retry *int64
	var missed *bool
	var status, requested int64
	err := q.QueryRowContext(ctx, sqlCall, seq).Scan(&seq, &id, &c.UserID, &phone, &c.ChallengeID, &codeSeq, &platform, &channel, &template,
		&locale, &status, &requested, &dispatched, &gateway, &uncertain, &placed, &wait, &missed, &provider, &ref, &answered, &lasted,
		&failed, &failure, &code, &reason, &retry)
	if err != nil {
		return VoiceCall{}, fmt.Errorf("read voice call at %d: %w", seq, err)
	}
	c.Sequence, c.Status, c.RequestedAt = eventstore.Sequence(seq), voiceStatuses[status], instant(requested)
	c.ID, c.PhoneID, c.CodeSeq = text(id), text(phone), int(number(codeSeq))
	c.Platform, c.ReleaseChannel = domain.Platform(text(platform)), domain.ReleaseChannel(text(channel))
	c.TemplateID, c.Locale, c.Gateway = text(template), text(locale), text(gateway)
	c.DispatchedAt, c.UncertainAt, c.PlacedAt = moment(dispatched), moment(uncertain), moment(placed)
	c.Wait, c.SLAMissed, c.Provider, c.ProviderRef = duration(wait), missed != nil && *missed, text(provider), text(ref)
	c.AnsweredAt, c.FailedAt, c.Failure, c.ProviderCode = moment(answered), moment(failed), text(failure), text(code)
	c.RefusedReason, c.RetryAfter = text(reason), time.Duration(number(retry))*time.Second
	if lasted != nil {
		d := time.Duration(*lasted) * time.Second
		c.Duration = &d
	}
	return c, nil
}
