package api

import (
	"context"
	"fmt"
	"time"

	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/projections"
)

// The registers of what users went through: processes, locks, authentications
// and calls.

// window is what a page of the views was searched for, as of a record.
func (s *Server) window(ctx context.Context, since, until time.Time, field gen.TimeField, at eventstore.Sequence) (gen.Window, error) {
	w := gen.Window{Since: since, Until: until, TimeField: field, AtPosition: number64(at)}
	if at == 0 || !eventstore.IsShared(s.store) {
		return w, nil // positions are sequences
	}
	for r, err := range s.store.ReadAll(ctx, at) {
		if err != nil {
			return w, fmt.Errorf("read the position of record %d: %w", at, err)
		}
		w.AtPosition = number64(r.Position)
		break
	}
	return w, nil
}

// newest prepares a list that begins with the newest row.
func (s *Server) newest(ctx context.Context, since, until time.Time, limit int, after, least string) (projections.Listing, error) {
	l, err := listing(since, until, limit, after)
	if err != nil {
		return l, err
	}
	l.Descending = true
	return l, s.readViews(ctx, least)
}

// ListProcesses implements gen.StrictServerInterface, as do all methods here.
func (s *Server) ListProcesses(ctx context.Context, r gen.ListProcessesRequestObject) (gen.ListProcessesResponseObject, error) {
	p := r.Params
	l, err := s.newest(ctx, p.Since, p.Until, p.Limit, p.After, p.AuthledgerMinPosition)
	if err != nil {
		return nil, err
	}
	page, err := s.views.Processes(ctx, projections.ProcessFilter{Listing: l, UserID: p.UserId, Kind: projections.ProcessKind(p.Kind), OpenAt: p.OpenAt})
	if err != nil {
		return nil, queryProblem(err)
	}
	now := s.journal.Now()
	window, err := s.window(ctx, p.Since, p.Until, gen.TimeFieldOccurred, page.At)
	if err != nil {
		return nil, err
	}
	list := gen.ProcessList{
		Items: make([]gen.ProcessRow, 0, len(page.Items)), Page: pageOf(page.Next), Count: gen.Count{Returned: len(page.Items)},
		Window: window,
	}
	for _, v := range page.Items {
		list.Items = append(list.Items, processRow(v, now))
	}
	if err := s.recordRead(ctx, "listProcesses", p.Purpose, len(list.Items)); err != nil {
		return nil, err
	}
	return gen.ListProcesses200JSONResponse(list), nil
}

func processRow(p projections.Process, now time.Time) gen.ProcessRow {
	return gen.ProcessRow{
		Id: p.ID, UserId: p.UserID, Kind: gen.ProcessKind(p.Kind), Variant: p.Variant, Step: p.Step, Open: p.Open(now), StartedAt: p.StartedAt,
		SourceAuthenticatorId: p.SourceID, AuthenticatorId: p.AuthenticatorID, InstallationId: p.InstallationID, DeviceId: p.DeviceID,
		PhoneId: p.PhoneID, OwnerUserId: p.OwnerUserID, Proof: string(p.Proof), ProvedAt: at(p.ProvedAt), Uv: string(p.UV),
		IdentityVerificationId: p.IDVID, ExpiresAt: at(p.ExpiresAt), EndedAt: at(p.EndedAt), Outcome: gen.ProcessRowOutcome(p.Outcome),
		ReasonCode: p.Reason,
	}
}

func (s *Server) ListLocks(ctx context.Context, r gen.ListLocksRequestObject) (gen.ListLocksResponseObject, error) {
	p := r.Params
	l, err := s.newest(ctx, p.Since, p.Until, p.Limit, p.After, p.AuthledgerMinPosition)
	if err != nil {
		return nil, err
	}
	page, err := s.views.Locks(ctx, projections.LockFilter{Listing: l, UserID: p.UserId, InForceAt: p.InForceAt})
	if err != nil {
		return nil, queryProblem(err)
	}
	now := s.journal.Now()
	window, err := s.window(ctx, p.Since, p.Until, gen.TimeFieldOccurred, page.At)
	if err != nil {
		return nil, err
	}
	list := gen.LockList{
		Items: make([]gen.LockRow, 0, len(page.Items)), Page: pageOf(page.Next), Count: gen.Count{Returned: len(page.Items)},
		Window: window,
	}
	for _, v := range page.Items {
		list.Items = append(list.Items, gen.LockRow{
			UserId: v.UserID, LockedAt: v.LockedAt, Failures: v.Failures, FirstFailureAt: v.FirstFailureAt, LastFailureAt: v.LastFailureAt,
			Until: v.Until, InForce: v.InForce(now), EndedAt: at(v.EndedAt), EndedBy: gen.LockRowEndedBy(v.EndedBy), IdentityVerificationId: v.IDVID,
		})
	}
	if err := s.recordRead(ctx, "listLocks", p.Purpose, len(list.Items)); err != nil {
		return nil, err
	}
	return gen.ListLocks200JSONResponse(list), nil
}

func (s *Server) ListVoiceCalls(ctx context.Context, r gen.ListVoiceCallsRequestObject) (gen.ListVoiceCallsResponseObject, error) {
	p := r.Params
	l, err := s.newest(ctx, p.Since, p.Until, p.Limit, p.After, p.AuthledgerMinPosition)
	if err != nil {
		return nil, err
	}
	page, err := s.views.VoiceCalls(ctx, projections.VoiceFilter{
		Listing: l, UserID: p.UserId, PhoneID: p.PhoneId, Status: projections.VoiceStatus(p.Status),
	})
	if err != nil {
		return nil, queryProblem(err)
	}
	window, err := s.window(ctx, p.Since, p.Until, gen.TimeFieldOccurred, page.At)
	if err != nil {
		return nil, err
	}
	list := gen.VoiceCallList{
		Items: make([]gen.VoiceCallRow, 0, len(page.Items)), Page: pageOf(page.Next), Count: gen.Count{Returned: len(page.Items)},
		Window: window,
	}
	for _, v := range page.Items {
		list.Items = append(list.Items, callRow(v))
	}
	if err := s.recordRead(ctx, "listVoiceCalls", p.Purpose, len(list.Items)); err != nil {
		return nil, err
	}
	return gen.ListVoiceCalls200JSONResponse(list), nil
}

func callRow(c projections.VoiceCall) gen.VoiceCallRow {
	row := gen.VoiceCallRow{
		CallId: c.ID, UserId: c.UserID, PhoneId: c.PhoneID, ChallengeId: c.ChallengeID, CodeSeq: c.CodeSeq, Platform: string(c.Platform),
		ReleaseChannel: string(c.ReleaseChannel), TemplateId: c.TemplateID, Locale: c.Locale, Status: gen.CallStatus(c.Status),
		RequestedAt: c.RequestedAt, DispatchedAt: at(c.DispatchedAt), Gateway: c.Gateway, UncertainAt: at(c.UncertainAt),
		PlacedAt: at(c.PlacedAt), SlaMissed: c.SLAMissed, Provider: c.Provider, ProviderRef: c.ProviderRef, AnsweredAt: at(c.AnsweredAt),
		FailedAt: at(c.FailedAt), Failure: c.Failure, ProviderCode: c.ProviderCode, ReasonCode: c.RefusedReason,
		RetryAfterS: int64(c.RetryAfter / time.Second),
	}
	if c.Wait != nil {
		ms := c.Wait.Milliseconds()
		row.WaitMs = &ms
	}
	if c.Duration != nil {
		seconds := int64(*c.Duration / time.Second)
		row.DurationS = &seconds
	}
	return row
}

// ListTransactions finds the authentications in the views and reads what they
// were for, and how they ended, from the log.
func (s *Server) ListTransactions(ctx context.Context, r gen.ListTransactionsRequestObject) (gen.ListTransactionsResponseObject, error) {
	p := r.Params
	l, err := s.newest(ctx, p.Since, p.Until, p.Limit, p.After, p.AuthledgerMinPosition)
	if err != nil {
		return nil, err
	}
	page, err := s.views.Transactions(ctx, projections.TransactionFilter{Listing: l, UserID: p.UserId})
	if err != nil {
		return nil, queryProblem(err)
	}
	window, err := s.window(ctx, p.Since, p.Until, gen.TimeFieldRecorded, page.At)
	if err != nil {
		return nil, err
	}
	list := gen.TransactionList{
		Items: make([]gen.TransactionRow, 0, len(page.Items)), Page: pageOf(page.Next), Count: gen.Count{Returned: len(page.Items)},
		Window: window,
	}
	for _, t := range page.Items {
		row, err := s.transactionRow(ctx, t)
		if err != nil {
			return nil, err
		}
		list.Items = append(list.Items, row)
	}
	if err := s.recordRead(ctx, "listTransactions", p.Purpose, len(list.Items)); err != nil {
		return nil, err
	}
	return gen.ListTransactions200JSONResponse(list), nil
}

func (s *Server) transactionRow(ctx context.Context, t projections.Transaction) (gen.TransactionRow, error) {
	row := gen.TransactionRow{
		AuthenticationId: t.ID, UserId: t.UserID, StartedAt: t.Started.OccurredAt, StartedEventId: codec.EventIDText(t.Started.ID),
	}
	e, err := s.decoded(ctx, t.Started.ID)
	if err != nil {
		return row, err
	}
	if e, ok := e.(domain.AuthenticationStarted); ok {
		row.Purpose, row.Platform, row.ClientVersion = string(e.Purpose), gen.Platform(e.Platform), e.ClientVersion
		row.ReleaseChannel, row.DeviceRef = string(e.ReleaseChannel), e.InitiatingDeviceRef
	}
	if t.Ended == nil {
		return row, nil
	}
	row.EndedAt, row.EndedEventId = t.Ended.OccurredAt, codec.EventIDText(t.Ended.ID)
	if e, err = s.decoded(ctx, t.Ended.ID); err != nil {
		return row, err
	}
	switch e := e.(type) {
	case domain.AuthenticationSucceeded:
		rank := e.ProtectionRank
		row.Outcome, row.Factors, row.AuthenticatorKind, row.ProtectionRank = gen.TransactionRowOutcomeSucceeded, e.Factors, string(e.AuthenticatorKind), &rank
		row.Scope = e.Scope
	case domain.AuthenticationFailed:
		row.Outcome, row.ReasonCode = gen.TransactionRowOutcomeFailed, string(e.Reason)
	case domain.AuthenticationAbandoned:
		row.Outcome = gen.TransactionRowOutcomeAbandoned
	}
	return row, nil
}

// decoded reads an event of the log.
func (s *Server) decoded(ctx context.Context, id eventstore.EventID) (domain.Event, error) {
	record, err := s.store.ByID(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("read event %s: %w", codec.EventIDText(id), err)
	}
	d, err := s.codec.Decode(record)
	return d.Event, err
}
