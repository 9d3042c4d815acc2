package api

import (
	"context"
	"time"

	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/projections"
)

// The registers auditors ask for: opt-outs and messages.

// ListOptOuts implements gen.StrictServerInterface, as do all methods here.
func (s *Server) ListOptOuts(ctx context.Context, r gen.ListOptOutsRequestObject) (gen.ListOptOutsResponseObject, error) {
	p := r.Params
	l, err := listing(p.Since, p.Until, p.Limit, p.After)
	if err != nil {
		return nil, err
	}
	l.Descending = true
	if err := s.readViews(ctx, p.AuthledgerMinPosition); err != nil {
		return nil, err
	}
	page, err := s.views.OptOuts(ctx, projections.OptOutFilter{Listing: l, UserID: p.UserId, Status: projections.OptOutStatus(p.Status)})
	if err != nil {
		return nil, queryProblem(err)
	}
	now := s.journal.Now()
	window, err := s.window(ctx, p.Since, p.Until, gen.TimeFieldOccurred, page.At)
	if err != nil {
		return nil, err
	}
	list := gen.OptOutList{
		Items: make([]gen.OptOutRow, 0, len(page.Items)), Page: pageOf(page.Next), Count: gen.Count{Returned: len(page.Items)},
		Window: window,
	}
	for _, o := range page.Items {
		list.Items = append(list.Items, optOutRow(o, now))
	}
	if err := s.recordRead(ctx, "listOptOuts", p.Purpose, len(list.Items)); err != nil {
		return nil, err
	}
	return gen.ListOptOuts200JSONResponse(list), nil
}

func optOutRow(o projections.OptOut, now time.Time) gen.OptOutRow {
	row := gen.OptOutRow{
		OptOutId: o.ID, UserId: o.UserID, Status: gen.OptOutStatus(o.Status), InForce: o.InForce(now), RequestedAt: o.RequestedAt,
		RequestedBy: o.RequestedBy, AgreementVersion: o.AgreementVersion, Acknowledged: o.Acknowledged, DecidedAt: at(o.DecidedAt),
		ReasonCode: o.Reason, Residence: o.Jurisdiction, DecisiveRuleId: o.RuleID, RuleVersion: o.RuleVersion,
		PolicyVersion: int64(o.PolicyVersion), Decision: o.Decision, EndsAt: at(o.EndsAt), EndedAt: at(o.EndedAt), EndedBy: o.EndedBy,
		Cause: o.Cause, EffectiveAt: at(o.EffectiveAt),
	}
	if o.Exposed != nil {
		seconds := int64(*o.Exposed / time.Second)
		row.ExposedS = &seconds
	}
	return row
}

// at is the moment, and the zero time, which is not answered, for none.
func at(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

func (s *Server) ListMessages(ctx context.Context, r gen.ListMessagesRequestObject) (gen.ListMessagesResponseObject, error) {
	p := r.Params
	l, err := listing(p.Since, p.Until, p.Limit, p.After)
	if err != nil {
		return nil, err
	}
	l.Descending = true
	if err := s.readViews(ctx, p.AuthledgerMinPosition); err != nil {
		return nil, err
	}
	page, err := s.views.Messages(ctx, projections.SMSFilter{Listing: l, UserID: p.UserId, Status: projections.SMSStatus(p.Status)})
	if err != nil {
		return nil, queryProblem(err)
	}
	window, err := s.window(ctx, p.Since, p.Until, gen.TimeFieldOccurred, page.At)
	if err != nil {
		return nil, err
	}
	list := gen.MessageList{
		Items: make([]gen.MessageRow, 0, len(page.Items)), Page: pageOf(page.Next), Count: gen.Count{Returned: len(page.Items)},
		Window: window,
	}
	for _, m := range page.Items {
		list.Items = append(list.Items, messageRow(m))
	}
	if err := s.recordRead(ctx, "listMessages", p.Purpose, len(list.Items)); err != nil {
		return nil, err
	}
	return gen.ListMessages200JSONResponse(list), nil
}

func messageRow(m projections.SMS) gen.MessageRow {
	row := gen.MessageRow{
		MessageId: m.ID, UserId: m.UserID, PhoneId: m.PhoneID, Purpose: string(m.Purpose), SubjectId: m.SubjectID, CodeSeq: m.CodeSeq,
		TemplateId: m.TemplateID, Locale: m.Locale, Status: gen.MessageStatus(m.Status), RequestedAt: m.RequestedAt,
		DispatchedAt: at(m.DispatchedAt), SentAt: at(m.SentAt), DeliveredAt: at(m.DeliveredAt), FailedAt: at(m.FailedAt),
		Gateway: m.Gateway, Provider: m.Provider, ProviderMessageId: m.ProviderRef, ProviderCode: m.ProviderCode, SenderId: m.SenderID,
		Segments: m.Segments, Receipt: m.Receipt, Failure: m.Failure, ReasonCode: m.RefusedReason, RetryAfterS: int64(m.RetryAfter / time.Second),
	}
	if m.Latency != nil {
		ms := m.Latency.Milliseconds()
		row.LatencyMs = &ms
	}
	return row
}
