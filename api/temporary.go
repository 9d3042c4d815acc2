package api

import (
	"context"
	"fmt"
	"time"

	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain"
)

// Temporary passcodes, and how they and reset passwords reach their user.

// IssueTemporaryPasscode implements gen.StrictServerInterface, as do all
// methods here.
func (s *Server) IssueTemporaryPasscode(ctx context.Context, r gen.IssueTemporaryPasscodeRequestObject) (gen.IssueTemporaryPasscodeResponseObject, error) {
	out, err := s.execute(ctx, domain.IssueTemporaryPasscode{UserID: r.UserId, MissingAuthenticatorID: r.Body.MissingAuthenticatorId}, "")
	if err != nil {
		return nil, err
	}
	a := gen.TemporaryPasscode{Status: gen.TemporaryPasscodeStatusRefused, EventIds: eventIDs(out)}
	if no, ok := refused(out); ok {
		a.ReasonCode = gen.ReasonCode(no.reason)
		return gen.IssueTemporaryPasscode200JSONResponse(a), nil
	}
	e, ok := find[domain.TemporaryPasscodeIssued](out)
	if !ok {
		return nil, fmt.Errorf("issue temporary passcode to %s: no event says so", r.UserId)
	}
	a.Status, a.AuthenticatorId, a.EndsAt, a.ScopeRuleId = gen.TemporaryPasscodeStatusIssued, e.AuthenticatorID, e.EndsAt, e.ScopeRuleID
	a.FullUntil = at(e.FullUntil)
	a.Passcode, err = s.journal.TemporaryPasscode(ctx, r.UserId, e.AuthenticatorID)
	return gen.IssueTemporaryPasscode201JSONResponse(a), unshown(err)
}

func (s *Server) DeliverCredential(ctx context.Context, r gen.DeliverCredentialRequestObject) (gen.DeliverCredentialResponseObject, error) {
	b := r.Body
	carried := b.What == gen.CredentialDeliveryRequestWhatResetPassword && b.Channel == gen.InApp
	switch {
	case carried && b.Credential == "":
		return nil, faultAt("/credential", "required", ruleText["required"])
	case !carried && b.Credential != "":
		return nil, faultAt("/credential", "exclusive", "only a reset password that goes to the app is given here")
	}
	out, err := s.execute(ctx, domain.DeliverTemporaryCredential{
		UserID: r.UserId, AuthenticatorID: b.AuthenticatorId, ResetRef: b.ResetRef, What: string(b.What), Channel: string(b.Channel),
		Credential: domain.Secret(b.Credential),
	}, "")
	if err != nil {
		return nil, err
	}
	a := gen.CredentialDelivery{Status: gen.CredentialDeliveryStatusRefused, EventIds: eventIDs(out)}
	if no, ok := refused(out); ok {
		a.ReasonCode = gen.ReasonCode(no.reason)
		return gen.DeliverCredential200JSONResponse(a), nil
	}
	e, ok := find[domain.TemporaryCredentialDelivered](out)
	if !ok {
		return nil, fmt.Errorf("deliver credential to %s: no event says so", r.UserId)
	}
	a.Status, a.DeliveryId, a.InstallationId, a.ExpiresAt = gen.CredentialDeliveryStatusDelivered, e.DeliveryID, e.InstallationID, at(e.ExpiresAt)
	return gen.DeliverCredential201JSONResponse(a), nil
}

// ListInstallationCredentials asks the installation who lives there, and each
// of them what waits.
func (s *Server) ListInstallationCredentials(ctx context.Context, r gen.ListInstallationCredentialsRequestObject) (gen.ListInstallationCredentialsResponseObject, error) {
	if err := s.proven(ctx, r.InstallationId, callOf(ctx).path, r.Params.AuthledgerInstallationProof); err != nil {
		return nil, err
	}
	if err := s.readLog(ctx); err != nil {
		return nil, err
	}
	var bindings []domain.Binding
	if err := s.journal.Installation(ctx, r.InstallationId, func(i *domain.Installation) { bindings = i.Bindings }); err != nil {
		return nil, err
	}
	items := []gen.WaitingCredential{}
	for _, b := range bindings {
		err := s.journal.User(ctx, b.UserID, func(u *domain.User, now time.Time) error {
			for _, d := range u.Credentials(r.InstallationId, now) {
				items = append(items, gen.WaitingCredential{
					DeliveryId: d.ID, UserId: u.ID, What: gen.WaitingCredentialWhat(d.What), ExpiresAt: d.ExpiresAt,
				})
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return gen.ListInstallationCredentials200JSONResponse{Items: items}, nil
}

// collectText is what an app signs to be shown a credential; the journal
// checks the same text before the first time is recorded.
func collectText(deliveryID, at string) string {
	return "authledger/collect/v1\n" + deliveryID + "\n" + at
}

// CollectCredential shows a credential to the app that proved itself. A repeat
// must prove itself again: the record of the first time is no proof of who
// asks now.
func (s *Server) CollectCredential(ctx context.Context, r gen.CollectCredentialRequestObject) (gen.CollectCredentialResponseObject, error) {
	out, err := s.execute(ctx, domain.CollectTemporaryCredential{
		DeliveryID: r.DeliveryId, InstallationID: r.InstallationId, Proof: domain.Secret(r.Body.Proof),
	}, r.DeliveryId)
	if err != nil {
		return nil, err
	}
	if out.Replayed {
		err := s.signedNow(ctx, r.InstallationId, r.Body.Proof, func(at string) string { return collectText(r.DeliveryId, at) })
		if err != nil {
			return nil, err
		}
	}
	var d domain.CredentialDelivery
	waits := false
	err = s.journal.User(ctx, domain.UserOf(r.DeliveryId), func(u *domain.User, now time.Time) error {
		d, _ = u.Delivery(r.DeliveryId)
		waits = now.Before(d.ExpiresAt)
		return nil
	})
	if err != nil {
		return nil, err
	}
	a := gen.CollectedCredential{DeliveryId: r.DeliveryId, What: gen.CollectedCredentialWhat(d.What), EventIds: eventIDs(out)}
	if waits {
		credential, err := s.journal.Credential(ctx, r.DeliveryId)
		if err := unshown(err); err != nil {
			return nil, err
		}
		a.Credential = string(credential)
	}
	return gen.CollectCredential200JSONResponse(a), nil
}
