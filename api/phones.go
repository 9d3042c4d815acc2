package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/journal"
	"github.com/authledger/authledger/eventstore/keyring"
)

// What stands for personal data whose key was destroyed, and for data that is
// locked away until it may be.
const (
	erased     = "[erased]"
	restricted = "[restricted]"
)

// masked opens a phone's number and hides most of it again.
func (s *Server) masked(ctx context.Context, phoneID string) (string, error) {
	if phoneID == "" {
		return "", nil
	}
	e164, err := s.journal.PhoneNumber(ctx, domain.UserOf(phoneID), phoneID)
	if errors.Is(err, keyring.ErrKeyDestroyed) {
		return erased, nil
	}
	if domain.IsRestricted(err) {
		return restricted, nil
	}
	if err != nil {
		return "", fmt.Errorf("mask number of %s: %w", phoneID, err)
	}
	return mask(e164), nil
}

// phones lists a user's phones with their numbers masked.
func (s *Server) phones(ctx context.Context, snap domain.Snapshot) ([]gen.Phone, error) {
	out := make([]gen.Phone, 0, len(snap.Phones))
	for _, p := range snap.Phones {
		number, err := s.masked(ctx, p.PhoneID)
		if err != nil {
			return nil, err
		}
		status := gen.PhoneStatus(p.Status)
		if p.Status == "added" {
			status = gen.PhoneStatusUnverified
		}
		out = append(out, gen.Phone{PhoneId: p.PhoneID, Masked: number, Country: p.CC, Line: gen.Line(p.Line), Status: status})
	}
	return out, nil
}

// AddPhone implements gen.StrictServerInterface, as do all methods here.
func (s *Server) AddPhone(ctx context.Context, r gen.AddPhoneRequestObject) (gen.AddPhoneResponseObject, error) {
	n, err := parseNumber(r.Body.Number)
	if err != nil {
		return nil, fault("phone_invalid")
	}
	out, err := s.execute(ctx, domain.AddPhone{UserID: r.UserId, CC: n.cc, Number: domain.Clear(n.e164), Line: n.line}, "")
	if err != nil {
		return nil, err
	}
	e, ok := find[domain.PhoneNumberAdded](out)
	if !ok {
		return nil, fmt.Errorf("add phone to %s: no event says so", r.UserId)
	}
	// From the record, not from the request: the digest that tells a repeat
	// from another request leaves personal data out.
	number, err := s.masked(ctx, e.PhoneID)
	if err != nil {
		return nil, err
	}
	return gen.AddPhone201JSONResponse{
		PhoneId: e.PhoneID, Masked: number, Country: e.CC, Line: gen.Line(e.Line),
		Status: gen.PhoneAnswerStatusUnverified, EventIds: eventIDs(out),
	}, nil
}

func (s *Server) StartPhoneVerification(ctx context.Context, r gen.StartPhoneVerificationRequestObject) (gen.StartPhoneVerificationResponseObject, error) {
	out, err := s.execute(ctx, domain.StartPhoneVerification{PhoneID: r.PhoneId}, "")
	if err != nil {
		return nil, err
	}
	v, err := s.verification(ctx, r.PhoneId, out)
	if err != nil {
		return nil, err
	}
	if v.Status == gen.VerificationStatusRefused {
		return gen.StartPhoneVerification200JSONResponse(v), nil
	}
	return gen.StartPhoneVerification201JSONResponse(v), nil
}

func (s *Server) ResendPhoneVerification(ctx context.Context, r gen.ResendPhoneVerificationRequestObject) (gen.ResendPhoneVerificationResponseObject, error) {
	if err := s.verificationOf(ctx, r.PhoneId, r.VerificationId); err != nil {
		return nil, err
	}
	out, err := s.execute(ctx, domain.ResendConfirmCode{VerificationID: r.VerificationId}, r.VerificationId)
	if err != nil {
		return nil, err
	}
	v, err := s.verification(ctx, r.PhoneId, out)
	if err != nil {
		return nil, err
	}
	v.VerificationId = r.VerificationId
	return gen.ResendPhoneVerification200JSONResponse(v), nil
}

// verification is the answer to a request for a confirm code.
func (s *Server) verification(ctx context.Context, phoneID string, out journal.Outcome) (gen.Verification, error) {
	v := gen.Verification{Status: gen.VerificationStatusPending, PhoneId: phoneID, EventIds: eventIDs(out)}
	var err error
	if v.MaskedTo, err = s.masked(ctx, phoneID); err != nil {
		return v, err
	}
	if no, ok := refused(out); ok {
		v.Status, v.ReasonCode, v.RetryAfterS = gen.VerificationStatusRefused, gen.ReasonCode(no.reason), no.retryAfter
		return v, nil
	}
	if e, ok := find[domain.ConfirmCodeIssued](out); ok {
		v.VerificationId, v.ExpiresAt = e.VerificationID, e.ExpiresAt
	}
	if e, ok := find[domain.SMSRequested](out); ok {
		v.MessageId = e.SMSID
		v.ResendAvailableAt = out.Events[0].OccurredAt.Add(s.cooldown(out.Events[0].OccurredAt))
	}
	return v, nil
}

// cooldown is the time between two messages in effect at a moment (D-10).
func (s *Server) cooldown(at time.Time) time.Duration {
	return time.Duration(s.journal.Policy().Int("sms.cooldown_s", at)) * time.Second
}

// verificationOf makes sure that the verification in the path is one of the
// phone in the path.
func (s *Server) verificationOf(ctx context.Context, phoneID, verificationID string) error {
	user := domain.UserOf(phoneID)
	if domain.UserOf(verificationID) != user {
		return fault("not_found")
	}
	return s.journal.User(ctx, user, func(u *domain.User, _ time.Time) error {
		if v, ok := u.Verification(verificationID); !ok || v.PhoneID != phoneID {
			return fault("not_found")
		}
		return nil
	})
}

func (s *Server) CheckPhoneVerification(ctx context.Context, r gen.CheckPhoneVerificationRequestObject) (gen.CheckPhoneVerificationResponseObject, error) {
	if err := s.verificationOf(ctx, r.PhoneId, r.VerificationId); err != nil {
		return nil, err
	}
	out, err := s.execute(ctx, domain.ConfirmPhone{VerificationID: r.VerificationId, Code: domain.Secret(r.Body.Code)}, r.VerificationId)
	if err != nil {
		return nil, err
	}
	v := gen.VerificationCheck{
		Status: gen.VerificationCheckStatusVerified, VerificationId: r.VerificationId, PhoneId: r.PhoneId, EventIds: eventIDs(out),
	}
	if e, ok := find[domain.PhoneVerificationRejected](out); ok {
		v.Status, v.ReasonCode, v.AttemptsLeft = gen.VerificationCheckStatusRejected, gen.ReasonCode(e.Reason), &e.AttemptsLeft
	}
	return gen.CheckPhoneVerification200JSONResponse(v), nil
}

func (s *Server) ReplacePhone(ctx context.Context, r gen.ReplacePhoneRequestObject) (gen.ReplacePhoneResponseObject, error) {
	if domain.UserOf(r.PhoneId) != domain.UserOf(r.Body.NewPhoneId) {
		return nil, fault("not_found")
	}
	a, err := s.act(ctx, domain.ReplacePhone{OldPhoneID: r.PhoneId, NewPhoneID: r.Body.NewPhoneId}, "")
	return gen.ReplacePhone200JSONResponse{ActionJSONResponse: a}, err
}

func (s *Server) RemovePhone(ctx context.Context, r gen.RemovePhoneRequestObject) (gen.RemovePhoneResponseObject, error) {
	a, err := s.act(ctx, domain.RemovePhone{PhoneID: r.PhoneId, Reason: r.Body.Reason}, "")
	return gen.RemovePhone200JSONResponse{ActionJSONResponse: a}, err
}
