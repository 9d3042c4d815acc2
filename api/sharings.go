package api

import (
	"context"
	"fmt"

	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain"
)

// Answering with another user's physical device.

// RequestDeviceSharing implements gen.StrictServerInterface, as do all methods
// here.
func (s *Server) RequestDeviceSharing(ctx context.Context, r gen.RequestDeviceSharingRequestObject) (gen.RequestDeviceSharingResponseObject, error) {
	b := r.Body
	out, err := s.execute(ctx, domain.RequestDeviceSharing{
		UserID: r.UserId, AuthenticatorID: b.AuthenticatorId, TxnID: b.AuthenticationId, IdentityMatch: b.IdentityMatch, EvidenceRef: b.EvidenceRef,
	}, b.AuthenticationId)
	if err != nil {
		return nil, err
	}
	e, ok := find[domain.DeviceSharingRequested](out)
	if !ok {
		return nil, fmt.Errorf("request device sharing of %s: no event says so", r.UserId)
	}
	a := gen.DeviceSharing{Status: gen.DeviceSharingStatusDenied, SharingId: e.SharingID, EventIds: eventIDs(out)}
	if no, ok := refused(out); ok {
		a.ReasonCode = gen.ReasonCode(no.reason)
		return gen.RequestDeviceSharing200JSONResponse(a), nil
	}
	issued, ok := find[domain.ChallengeIssued](out)
	if !ok {
		return nil, fmt.Errorf("request device sharing %s: the unit was not asked", e.SharingID)
	}
	a.Status = gen.DeviceSharingStatusChallenged
	a.Challenge, err = s.written(ctx, issued.ChallengeID, out)
	return gen.RequestDeviceSharing201JSONResponse(a), err
}

func (s *Server) DecideDeviceSharing(ctx context.Context, r gen.DecideDeviceSharingRequestObject) (gen.DecideDeviceSharingResponseObject, error) {
	out, err := s.execute(ctx, domain.DecideDeviceSharing{SharingID: r.SharingId, Grant: r.Body.Grant}, r.SharingId)
	if err != nil {
		return nil, err
	}
	a := gen.DeviceSharing{Status: gen.DeviceSharingStatusUnchanged, SharingId: r.SharingId, EventIds: eventIDs(out)}
	if no, ok := refused(out); ok {
		a.Status, a.ReasonCode = gen.DeviceSharingStatusDenied, gen.ReasonCode(no.reason)
	}
	if e, ok := find[domain.DeviceSharingGranted](out); ok {
		a.Status, a.AuthenticatorId = gen.DeviceSharingStatusGranted, e.AuthenticatorID
	}
	return gen.DecideDeviceSharing200JSONResponse(a), nil
}
