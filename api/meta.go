package api

import (
	"context"

	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/eventstore/codec"
)

// GetHealth implements gen.StrictServerInterface, as do all methods here.
func (s *Server) GetHealth(context.Context, gen.GetHealthRequestObject) (gen.GetHealthResponseObject, error) {
	return gen.GetHealth200JSONResponse{Status: gen.HealthStatusOk}, nil
}

func (s *Server) GetReadiness(ctx context.Context, _ gen.GetReadinessRequestObject) (gen.GetReadinessResponseObject, error) {
	var failing []string
	_, head, err := s.store.Head(ctx)
	switch {
	case err != nil:
		failing = append(failing, "store")
	case uint64(head) > uint64(s.views.Position())+s.maxLag:
		failing = append(failing, "projections")
	}
	select {
	case <-s.stopping:
		failing = append(failing, "shutdown")
	default:
	}
	if len(failing) > 0 {
		return gen.GetReadiness503JSONResponse{Status: gen.HealthStatusUnavailable, Failing: failing, Sealing: s.sealing(ctx)}, nil
	}
	return gen.GetReadiness200JSONResponse{Status: gen.HealthStatusOk, Sealing: s.sealing(ctx)}, nil
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
