package api

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/journal"
	"github.com/authledger/authledger/eventstore/keyring"
)

// Binding an authenticator to a user.

// StartEnrollment implements gen.StrictServerInterface, as do all methods here.
func (s *Server) StartEnrollment(ctx context.Context, r gen.StartEnrollmentRequestObject) (gen.StartEnrollmentResponseObject, error) {
	b := r.Body
	switch {
	case b.Kind == gen.StartEnrollmentRequestKindIbkey && b.InstallationId == "":
		return nil, faultAt("/installationId", "required", ruleText["required"])
	case b.Kind == gen.StartEnrollmentRequestKindDscPlus && b.DeviceId == "":
		return nil, faultAt("/deviceId", "required", ruleText["required"])
	}
	out, err := s.execute(ctx, domain.StartEnrollment{
		UserID: r.UserId, Kind: domain.Kind(b.Kind), Flow: string(b.Flow), InstallationID: b.InstallationId, DeviceID: b.DeviceId,
		TxnID: b.AuthenticationId, PhoneID: b.PhoneId,
	}, b.AuthenticationId)
	if err != nil {
		return nil, err
	}
	e, err := s.asked(ctx, out)
	if err != nil {
		return nil, err
	}
	if e.Status == gen.EnrollmentStatusRefused {
		return gen.StartEnrollment200JSONResponse(e), nil
	}
	return gen.StartEnrollment201JSONResponse(e), nil
}

func (s *Server) ResendActivationCode(ctx context.Context, r gen.ResendActivationCodeRequestObject) (gen.ResendActivationCodeResponseObject, error) {
	out, err := s.execute(ctx, domain.ResendActivationCode{EnrollmentID: r.EnrollmentId}, r.EnrollmentId)
	if err != nil {
		return nil, err
	}
	e, err := s.asked(ctx, out)
	e.EnrollmentId = r.EnrollmentId
	return gen.ResendActivationCode200JSONResponse(e), err
}

// asked is the answer to the request for an activation code, or for a card's
// question.
func (s *Server) asked(ctx context.Context, out journal.Outcome) (gen.Enrollment, error) {
	a := gen.Enrollment{Status: gen.EnrollmentStatusCodeSent, EventIds: eventIDs(out)}
	if no, ok := refused(out); ok {
		a.Status, a.ReasonCode, a.RetryAfterS = gen.EnrollmentStatusRefused, gen.ReasonCode(no.reason), no.retryAfter
		return a, nil
	}
	if e, ok := find[domain.EnrollmentStarted](out); ok {
		a.EnrollmentId = e.EnrollmentID
	}
	if e, ok := find[domain.ChallengeIssued](out); ok {
		var err error
		a.Status, a.ExpiresAt = gen.EnrollmentStatusChallenged, e.ExpiresAt
		a.Challenge, err = s.written(ctx, e.ChallengeID, out)
		return a, err
	}
	code, err := s.codeSent(ctx, out)
	a.ExpiresAt, a.MessageId, a.MaskedTo = code.expiresAt, code.messageID, code.maskedTo
	return a, err
}

// sentCode is an activation code on its way.
type sentCode struct {
	expiresAt           time.Time
	messageID, maskedTo string
}

func (s *Server) codeSent(ctx context.Context, out journal.Outcome) (c sentCode, err error) {
	if e, ok := find[domain.ActivationCodeIssued](out); ok {
		c.expiresAt = e.ExpiresAt
	}
	if e, ok := find[domain.SMSRequested](out); ok {
		c.messageID = e.SMSID
		c.maskedTo, err = s.masked(ctx, e.PhoneID)
	}
	return c, err
}

func (s *Server) SubmitActivationCode(ctx context.Context, r gen.SubmitActivationCodeRequestObject) (gen.SubmitActivationCodeResponseObject, error) {
	out, err := s.execute(ctx, domain.SubmitActivationCode{EnrollmentID: r.EnrollmentId, Code: domain.Secret(r.Body.Code)}, r.EnrollmentId)
	if err != nil {
		return nil, err
	}
	a := gen.Enrollment{Status: gen.EnrollmentStatusCodeAccepted, EnrollmentId: r.EnrollmentId, EventIds: eventIDs(out)}
	if e, ok := find[domain.ActivationCodeRejected](out); ok {
		a.Status, a.ReasonCode, a.AttemptsLeft = gen.EnrollmentStatusCodeRejected, gen.ReasonCode(e.Reason), &e.AttemptsLeft
	}
	return gen.SubmitActivationCode200JSONResponse(a), nil
}

func (s *Server) CompleteEnrollment(ctx context.Context, r gen.CompleteEnrollmentRequestObject) (gen.CompleteEnrollmentResponseObject, error) {
	out, err := s.execute(ctx, domain.CompleteEnrollment{EnrollmentID: r.EnrollmentId, UV: domain.UV(r.Body.Uv)}, r.EnrollmentId)
	if err != nil {
		return nil, err
	}
	a := gen.EnrollmentCompletion{Status: gen.EnrollmentCompletionStatusRefused, EnrollmentId: r.EnrollmentId, EventIds: eventIDs(out)}
	if no, ok := refused(out); ok {
		a.ReasonCode = gen.ReasonCode(no.reason)
		return gen.CompleteEnrollment200JSONResponse(a), nil
	}
	e, ok := find[domain.AuthenticatorEnrolled](out)
	if !ok {
		return nil, fmt.Errorf("complete enrollment %s: no event says so", r.EnrollmentId)
	}
	a.Status, a.AuthenticatorId, a.Revoked = gen.EnrollmentCompletionStatusEnrolled, e.AuthenticatorID, revoked(out)
	a.Ocra, err = s.secret(ctx, domain.UserOf(r.EnrollmentId), e.AuthenticatorID)
	return gen.CompleteEnrollment200JSONResponse(a), err
}

// revoked lists the authenticators that an outcome ended.
func revoked(out journal.Outcome) []gen.AuthenticatorId {
	var ids []gen.AuthenticatorId
	for _, r := range out.Events {
		if e, ok := r.Event.(domain.AuthenticatorRevoked); ok {
			ids = append(ids, e.AuthenticatorID)
		}
	}
	return ids
}

// secret reads the key for the app. The repeat of a request gets it again,
// because the first answer may have been lost; once the authenticator is
// revoked or erased there is none.
func (s *Server) secret(ctx context.Context, userID, authenticatorID string) (gen.OCRA, error) {
	secret, suite, err := s.journal.OCRASecret(ctx, userID, authenticatorID)
	var d *domain.Error
	switch {
	case errors.As(err, &d), errors.Is(err, keyring.ErrKeyDestroyed), errors.Is(err, keyring.ErrSecretNotFound):
		return gen.OCRA{}, nil
	case err != nil:
		return gen.OCRA{}, err
	}
	return gen.OCRA{Suite: suite, Secret: base64.RawURLEncoding.EncodeToString(secret)}, nil
}

func (s *Server) AbandonEnrollment(ctx context.Context, r gen.AbandonEnrollmentRequestObject) (gen.AbandonEnrollmentResponseObject, error) {
	a, err := s.act(ctx, domain.AbandonEnrollment{EnrollmentID: r.EnrollmentId}, r.EnrollmentId)
	return gen.AbandonEnrollment200JSONResponse{ActionJSONResponse: a}, err
}

func (s *Server) SetSeamless(ctx context.Context, r gen.SetSeamlessRequestObject) (gen.SetSeamlessResponseObject, error) {
	a, err := s.act(ctx, domain.SetSeamless{UserID: r.UserId, Enabled: r.Body.Enabled}, "")
	return gen.SetSeamless200JSONResponse{ActionJSONResponse: a}, err
}

func (s *Server) ListAuthenticators(ctx context.Context, r gen.ListAuthenticatorsRequestObject) (gen.ListAuthenticatorsResponseObject, error) {
	if err := s.readLog(ctx); err != nil {
		return nil, err
	}
	var list []domain.AuthenticatorSnapshot
	err := s.journal.User(ctx, r.UserId, func(u *domain.User, now time.Time) error {
		list = u.Snapshot(now, s.journal.Policy()).Authenticators
		return nil
	})
	if err != nil {
		return nil, err
	}
	items, err := s.authenticators(ctx, list)
	if err != nil {
		return nil, err
	}
	if s.readIsRecorded(ctx) {
		if err := s.recordRead(ctx, "listAuthenticators", "", len(items)); err != nil {
			return nil, err
		}
	}
	return gen.ListAuthenticators200JSONResponse{Items: items}, nil
}

func (s *Server) authenticators(ctx context.Context, list []domain.AuthenticatorSnapshot) ([]gen.Authenticator, error) {
	items := make([]gen.Authenticator, 0, len(list))
	for _, a := range list {
		masked, err := s.masked(ctx, a.PhoneID)
		if err != nil {
			return nil, err
		}
		items = append(items, gen.Authenticator{
			AuthenticatorId: a.AuthenticatorID, Kind: gen.Kind(a.Kind), Rank: a.Rank, Status: gen.AuthenticatorStatus(a.Status),
			Restricted: a.Restricted, InstallationId: a.InstallationID, DeviceId: a.DeviceID, PhoneId: a.PhoneID, MaskedTo: masked,
			Os: gen.OS(a.OS), EnrolledAt: a.EnrolledAt, Trigger: a.Trigger, Shared: a.Shared, Suspended: a.Suspended,
			SuspendedAt: at(a.SuspendedAt), FullUntil: at(a.FullUntil), ExpiresAt: at(a.ExpiresAt),
		})
	}
	return items, nil
}
