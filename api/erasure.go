package api

import (
	"context"
	"fmt"
	"time"

	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/projections"
)

// Forgetting a person, and legal holds against it.

// RequestErasure implements gen.StrictServerInterface, as do all methods here.
func (s *Server) RequestErasure(ctx context.Context, r gen.RequestErasureRequestObject) (gen.RequestErasureResponseObject, error) {
	out, err := s.execute(ctx, domain.RequestErasure{UserID: r.UserId, Basis: string(r.Body.Basis), RequestedBy: r.Body.RequestedBy}, "")
	if err != nil {
		return nil, err
	}
	asked, ok := find[domain.ErasureRequested](out)
	if !ok {
		return nil, fmt.Errorf("request erasure of %s: no event says so", r.UserId)
	}
	a := gen.ErasureAnswer{Status: gen.ErasureAnswerStatusErased, ErasureId: asked.ErasureID, EventIds: eventIDs(out)}
	no, refused := find[domain.ErasureRefused](out)
	if !refused {
		return gen.RequestErasure201JSONResponse(a), nil
	}
	a.Status, a.ReasonCode, a.HoldId = gen.ErasureAnswerStatusRefused, gen.ReasonCode(no.Reason), no.HoldID
	a.RetainedUntil, a.Retention = at(no.RetainedUntil), retention(no.Retention)
	if _, waits := find[domain.ProcessingRestricted](out); waits {
		a.Status = gen.ErasureAnswerStatusRestricted
	}
	return gen.RequestErasure200JSONResponse(a), nil
}

func retention(r domain.Retention) gen.Retention {
	return gen.Retention{Rule: r.Rule, Cc: r.CC, Years: r.Years, From: r.From}
}

func (s *Server) PlaceLegalHold(ctx context.Context, r gen.PlaceLegalHoldRequestObject) (gen.PlaceLegalHoldResponseObject, error) {
	out, err := s.execute(ctx, domain.PlaceLegalHold{UserID: r.UserId, CaseRef: r.Body.CaseRef, Basis: string(r.Body.Basis)}, "")
	if err != nil {
		return nil, err
	}
	a := gen.LegalHoldAnswer{EventIds: eventIDs(out)}
	if e, ok := find[domain.LegalHoldPlaced](out); ok {
		a.HoldId = e.HoldID
		return gen.PlaceLegalHold201JSONResponse(a), nil
	}
	if a.HoldId, err = s.holdOf(ctx, r.UserId, r.Body.CaseRef); err != nil {
		return nil, err
	}
	return gen.PlaceLegalHold200JSONResponse(a), nil
}

// holdOf finds the hold in force for a case.
func (s *Server) holdOf(ctx context.Context, userID, caseRef string) (id string, err error) {
	err = s.journal.User(ctx, userID, func(u *domain.User, _ time.Time) error {
		for _, h := range u.Holds() {
			if h.CaseRef == caseRef {
				id = h.ID
				return nil
			}
		}
		return fault("conflict") // released between the decision and this look
	})
	return id, err
}

func (s *Server) RequestHoldRelease(ctx context.Context, r gen.RequestHoldReleaseRequestObject) (gen.RequestHoldReleaseResponseObject, error) {
	if domain.UserOf(r.HoldId) != r.UserId {
		return nil, fault("not_found")
	}
	a, err := s.act(ctx, domain.RequestHoldRelease{HoldID: r.HoldId}, "")
	return gen.RequestHoldRelease200JSONResponse{ActionJSONResponse: a}, err
}

func (s *Server) ReleaseLegalHold(ctx context.Context, r gen.ReleaseLegalHoldRequestObject) (gen.ReleaseLegalHoldResponseObject, error) {
	if domain.UserOf(r.HoldId) != r.UserId {
		return nil, fault("not_found")
	}
	a, err := s.act(ctx, domain.ReleaseLegalHold{HoldID: r.HoldId}, "")
	return gen.ReleaseLegalHold200JSONResponse{ActionJSONResponse: a}, err
}

func (s *Server) ListErasures(ctx context.Context, r gen.ListErasuresRequestObject) (gen.ListErasuresResponseObject, error) {
	p := r.Params
	l, err := listing(p.Since, p.Until, p.Limit, p.After)
	if err != nil {
		return nil, err
	}
	l.Descending = true
	if err := s.readViews(ctx, p.AuthledgerMinPosition); err != nil {
		return nil, err
	}
	page, err := s.views.Erasures(ctx, projections.ErasureFilter{Listing: l, UserID: p.UserId, Status: projections.ErasureStatus(p.Status)})
	if err != nil {
		return nil, queryProblem(err)
	}
	window, err := s.window(ctx, p.Since, p.Until, gen.TimeFieldOccurred, page.At)
	if err != nil {
		return nil, err
	}
	list := gen.ErasureList{
		Items: make([]gen.ErasureRow, 0, len(page.Items)), Page: pageOf(page.Next), Count: gen.Count{Returned: len(page.Items)},
		Window: window,
	}
	for _, e := range page.Items {
		list.Items = append(list.Items, erasureRow(e))
	}
	if err := s.recordRead(ctx, "listErasures", p.Purpose, len(list.Items)); err != nil {
		return nil, err
	}
	return gen.ListErasures200JSONResponse(list), nil
}

func erasureRow(e projections.Erasure) gen.ErasureRow {
	row := gen.ErasureRow{
		ErasureId: e.ID, UserId: e.UserID, Status: gen.ErasureStatus(e.Status), Basis: gen.ErasureBasis(e.Basis),
		RequestedAt: e.RequestedAt, RequestedBy: e.RequestedBy, ReasonCode: e.Reason, RetainedUntil: at(e.RetainedUntil), HoldId: e.HoldID,
		RestrictedAt: at(e.RestrictedAt), ErasedAt: at(e.ErasedAt), Subject: e.Subject, Also: e.Also, KeyId: e.KeyID,
	}
	if e.RuleID != "" {
		row.Retention = gen.Retention{Rule: e.RuleID, Cc: e.RuleCC, Years: e.Years, From: at(e.CountedFrom)}
	}
	if e.CertifiedAt != nil {
		row.Certificate = gen.ErasureCertificate{
			Sequence: int64(e.Certificate), CertifiedAt: *e.CertifiedAt, DestroyedAt: at(e.DestroyedAt), Method: e.Method, Files: e.Files, Bytes: e.Bytes,
		}
	}
	return row
}

func (s *Server) ListLegalHolds(ctx context.Context, r gen.ListLegalHoldsRequestObject) (gen.ListLegalHoldsResponseObject, error) {
	p := r.Params
	l, err := listing(p.Since, p.Until, p.Limit, p.After)
	if err != nil {
		return nil, err
	}
	l.Descending = true
	if err := s.readViews(ctx, p.AuthledgerMinPosition); err != nil {
		return nil, err
	}
	page, err := s.views.LegalHolds(ctx, projections.HoldFilter{Listing: l, UserID: p.UserId, InForce: p.InForce})
	if err != nil {
		return nil, queryProblem(err)
	}
	window, err := s.window(ctx, p.Since, p.Until, gen.TimeFieldOccurred, page.At)
	if err != nil {
		return nil, err
	}
	list := gen.LegalHoldList{
		Items: make([]gen.LegalHold, 0, len(page.Items)), Page: pageOf(page.Next), Count: gen.Count{Returned: len(page.Items)},
		Window: window,
	}
	for _, h := range page.Items {
		list.Items = append(list.Items, gen.LegalHold{
			HoldId: h.ID, UserId: h.UserID, CaseRef: h.CaseRef, Basis: gen.HoldBasis(h.Basis), PlacedAt: h.PlacedAt,
			ReleaseRequestedAt: at(h.ReleaseRequestedAt), ReleaseRequestedBy: h.ReleaseRequestedBy,
			ReleasedAt: at(h.ReleasedAt), ApprovedBy: h.ApprovedBy,
		})
	}
	if err := s.recordRead(ctx, "listLegalHolds", p.Purpose, len(list.Items)); err != nil {
		return nil, err
	}
	return gen.ListLegalHolds200JSONResponse(list), nil
}
