package api

import (
	"context"

	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/projections"
)

// What authenticators live on: installations and physical units, as those who
// look into a case see them.

// GetInstallation implements gen.StrictServerInterface, as do all methods here.
func (s *Server) GetInstallation(ctx context.Context, r gen.GetInstallationRequestObject) (gen.GetInstallationResponseObject, error) {
	if err := s.readViews(ctx, r.Params.AuthledgerMinPosition); err != nil {
		return nil, err
	}
	i, err := s.views.Installation(ctx, r.InstallationId)
	if err != nil {
		return nil, queryProblem(err)
	}
	if err := s.recordRead(ctx, "getInstallation", r.Params.Purpose, 1); err != nil {
		return nil, err
	}
	return gen.GetInstallation200JSONResponse{
		InstallationId: i.ID, App: gen.App(i.App), Os: gen.OS(i.OS), AppVersion: i.AppVersion, HandsetId: i.HandsetID,
		KeyAlgorithm: gen.KeyAlgorithm(i.Algorithm), PublicKeyId: i.PublicKeyID, RegisteredAt: i.RegisteredAt,
		PinPolicyVersion: i.PINPolicy, PinChangedAt: at(i.PINChangedAt), PinBlockedAt: at(i.PINBlockedAt),
		RetiredAt: at(i.RetiredAt), RetiredReason: i.RetiredReason, SuccessorId: i.SuccessorID,
		PushService: i.PushService, PushChangedAt: at(i.PushChangedAt),
		Authenticators: s.authenticatorRows(i.Authenticators), Bindings: hostBindings(i.Bindings),
	}, nil
}

func (s *Server) GetDevice(ctx context.Context, r gen.GetDeviceRequestObject) (gen.GetDeviceResponseObject, error) {
	if err := s.readViews(ctx, r.Params.AuthledgerMinPosition); err != nil {
		return nil, err
	}
	d, err := s.views.Device(ctx, r.DeviceId)
	if err != nil {
		return nil, queryProblem(err)
	}
	if err := s.recordRead(ctx, "getDevice", r.Params.Purpose, 1); err != nil {
		return nil, err
	}
	return gen.GetDevice200JSONResponse{
		DeviceId: d.ID, Model: d.Model, Manufacturer: d.Manufacturer, Serial: d.Serial, OcraSuite: d.OCRASuite, RegisteredAt: d.RegisteredAt,
		RequestId: d.RequestID, UserId: d.UserID, DispatchedOn: d.DispatchedOn, ActivationDueOn: d.DueOn, ShippedAt: at(d.ShippedAt),
		ActivatedAt: at(d.ActivatedAt), ReturnedOn: d.ReturnedOn, ReturnedAt: at(d.ReturnedAt), Condition: d.Condition,
		Authenticators: s.authenticatorRows(d.Authenticators), Bindings: hostBindings(d.Bindings), Charges: charges(d.Charges),
	}, nil
}

func (s *Server) authenticatorRows(list []projections.Authenticator) []gen.AuthenticatorRow {
	now := s.journal.Now()
	rows := make([]gen.AuthenticatorRow, 0, len(list))
	for _, a := range list {
		rows = append(rows, gen.AuthenticatorRow{
			AuthenticatorId: a.ID, UserId: a.UserID, Kind: gen.Kind(a.Kind), Status: gen.AuthenticatorRowStatus(a.Status(now)),
			Restricted: a.Restricted, Trigger: a.Trigger, InstallationId: a.InstallationID, DeviceId: a.DeviceID, SharingId: a.SharingID,
			ProcessId: a.ProcessID, Proof: string(a.Proof), Uv: string(a.UV), IdentityVerificationId: a.IDVID,
			EnrolledAt: a.EnrolledAt, FirstUsedAt: at(a.FirstUsedAt), LastUsedAt: at(a.LastUsedAt), FullUntil: at(a.FullUntil),
			ExpiresAt: at(a.ExpiresAt), ReportedLostAt: at(a.ReportedLostAt), SuspendedAt: at(a.SuspendedAt), Suspended: a.SuspendedReason,
			RevokedAt: at(a.RevokedAt), Revoked: a.RevokedReason, SuccessorId: a.SuccessorID,
		})
	}
	return rows
}

func hostBindings(list []projections.Binding) []gen.HostBinding {
	rows := make([]gen.HostBinding, 0, len(list))
	for _, b := range list {
		rows = append(rows, gen.HostBinding{UserId: b.UserID, AuthenticatorId: b.AuthenticatorID, BoundAt: b.BoundAt, UnboundAt: at(b.UnboundAt)})
	}
	return rows
}

func charges(list []projections.Charge) []gen.Charge {
	rows := make([]gen.Charge, 0, len(list))
	for _, c := range list {
		rows = append(rows, gen.Charge{
			Kind: gen.ChargeKind(c.Kind), Amount: moneyAnswer(c.Amount), Reason: c.Reason, FeeRuleId: c.FeeRuleID, RecordedAt: c.RecordedAt,
		})
	}
	return rows
}
