package api

import (
	"context"
	"slices"

	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/api/witness"
	"github.com/authledger/authledger/eventstore/codec"
)

// GetHealth implements gen.StrictServerInterface, as do all methods here.
func (s *Server) GetHealth(context.Context, gen.GetHealthRequestObject) (gen.GetHealthResponseObject, error) {
	return gen.GetHealth200JSONResponse{Status: gen.HealthStatusOk}, nil
}

func (s *Server) GetReadiness(ctx context.Context, _ gen.GetReadinessRequestObject) (gen.GetReadinessResponseObject, error) {
	var failing []string
	newest, _, err := s.store.Head(ctx)
	switch {
	case err != nil:
		failing = append(failing, "store")
	case uint64(newest) > uint64(s.views.Status().Sequence)+s.maxLag: // records: positions are sparse in some stores
		failing = append(failing, "projections")
	}
	below := s.below()
	if s.storeHealth != nil && !below.Live && err == nil {
		failing = append(failing, "store")
	}
	select {
	case <-s.stopping:
		failing = append(failing, "shutdown")
	default:
	}
	if len(failing) > 0 {
		return gen.GetReadiness503JSONResponse{Status: gen.HealthStatusUnavailable, Failing: failing, Sealing: s.sealing(ctx), Witnesses: s.witnessed(), Store: below}, nil
	}
	return gen.GetReadiness200JSONResponse{Status: gen.HealthStatusOk, Sealing: s.sealing(ctx), Witnesses: s.witnessed(), Store: below}, nil
}

// below says how the event store stands, for /readyz.
func (s *Server) below() gen.StoreHealth {
	if s.storeHealth == nil {
		return gen.StoreHealth{}
	}
	h := s.storeHealth()
	out := gen.StoreHealth{Live: h.Live}
	for _, f := range h.Findings {
		if !slices.Contains(out.Findings, gen.StoreHealthFindings(f)) {
			out.Findings = append(out.Findings, gen.StoreHealthFindings(f))
		}
	}
	return out
}

// witnessed says how collecting cosignatures goes, for /readyz.
func (s *Server) witnessed() gen.Witnesses {
	if s.witnesses == nil {
		return gen.Witnesses{}
	}
	st := s.witnesses()
	out := gen.Witnesses{
		State: gen.Cosigned, QuorumSize: int64(st.QuorumSize), QuorumAgeSeconds: st.QuorumAge.Seconds(), Forked: st.Forked(),
	}
	switch {
	case len(out.Forked) > 0:
		out.State = gen.Fork
	case st.QuorumAge >= witness.Alarm:
		out.State = gen.Alarm
	case st.QuorumAge >= witness.Warn:
		out.State = gen.Late
	}
	return out
}

func (s *Server) ListEventTypes(context.Context, gen.ListEventTypesRequestObject) (gen.ListEventTypesResponseObject, error) {
	items := []gen.EventTypeInfo{}
	for _, t := range codec.Types() {
		fields := t.PersonalFields
		if fields == nil {
			fields = []string{}
		}
		items = append(items, gen.EventTypeInfo{Name: t.Name, Version: int(t.Version), PersonalFields: fields})
	}
	return gen.ListEventTypes200JSONResponse{Items: items}, nil
}

func (s *Server) ListReasonCodes(context.Context, gen.ListReasonCodesRequestObject) (gen.ListReasonCodesResponseObject, error) {
	items := make([]gen.ReasonCodeInfo, 0, len(reasons))
	for _, r := range reasons {
		items = append(items, gen.ReasonCodeInfo{Code: gen.ReasonCode(r.code), Meaning: r.meaning})
	}
	return gen.ListReasonCodes200JSONResponse{Items: items}, nil
}
