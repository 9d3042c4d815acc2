package api

import (
	"context"
	"time"

	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/journal"
)

// Logins, up to the challenge.

// StartAuthentication implements gen.StrictServerInterface, as do all methods
// here.
func (s *Server) StartAuthentication(ctx context.Context, r gen.StartAuthenticationRequestObject) (gen.StartAuthenticationResponseObject, error) {
	b := r.Body
	from := domain.Source{
		Platform: domain.Platform(b.Platform), ClientVersion: b.ClientVersion, ReleaseChannel: domain.ReleaseChannel(b.ReleaseChannel), DeviceRef: b.DeviceRef,
	}
	if b.Ip != "" {
		if !isAddress(b.Ip) {
			return nil, faultAt("/ip", "format", "give an IPv4 or IPv6 address")
		}
		from.IP = domain.Clear(b.Ip)
	}
	out, err := s.executeFrom(ctx, domain.StartAuthentication{
		UserID: b.UserId, Purpose: domain.Purpose(b.Purpose), Platform: from.Platform, ClientVersion: b.ClientVersion,
		ReleaseChannel: from.ReleaseChannel, InitiatingDeviceRef: b.DeviceRef,
		PrimaryVerified: b.PrimaryFactor == gen.StartAuthenticationRequestPrimaryFactorVerified,
		Defer:           b.Challenge == gen.StartAuthenticationRequestChallengeDefer, WaiverOnly: b.Challenge == gen.StartAuthenticationRequestChallengeNone,
	}, "", from)
	if err != nil {
		return nil, err
	}
	a, err := s.authentication(ctx, b.UserId, out)
	return gen.StartAuthentication201JSONResponse(a), err
}

// authentication reads the decision off the events. A login that is denied
// says nothing more: neither which factor was wrong nor that a user is locked.
func (s *Server) authentication(ctx context.Context, userID string, out journal.Outcome) (gen.Authentication, error) {
	a := gen.Authentication{Decision: gen.AuthenticationDecisionDeny, Result: gen.ResultDeny, EventIds: eventIDs(out)}
	if e, ok := find[domain.AuthenticationStarted](out); ok {
		a.AuthenticationId = e.TxnID
	}
	e, ok := find[domain.PrimaryFactorVerified](out)
	if _, failed := find[domain.AuthenticationFailed](out); !ok || failed {
		return a, nil
	}
	a.ExpiresAt = e.ExpiresAt
	if e, ok := find[domain.AuthenticationSucceeded](out); ok {
		a.Decision, a.Result, a.SessionRef, a.Scope = gen.AuthenticationDecisionAllow, gen.ResultAllow, e.SessionRef, gen.Scope(e.Scope)
		if w, ok := find[domain.SecondFactorWaived](out); ok {
			a.Waiver = gen.Waiver{OptOutId: w.OptOutID, RuleIds: w.RuleIDs}
		}
		return a, nil
	}
	a.Result = gen.ResultWaiting
	offered, hasOffer := find[domain.SecondFactorOffered](out)
	issued, hasChallenge := find[domain.ChallengeIssued](out)
	switch {
	case hasOffer:
		a.Decision = gen.AuthenticationDecisionChallenge
		return a, s.addOptions(ctx, userID, offered.Options, &a)
	case hasChallenge:
		a.Decision = gen.AuthenticationDecisionChallenge
		only := domain.Option{AuthenticatorID: issued.AuthenticatorID, Kind: issued.Kind, Rank: issued.Kind.Rank()}
		if err := s.addOptions(ctx, userID, []domain.Option{only}, &a); err != nil {
			return a, err
		}
		var err error
		if a.Challenge, err = s.written(ctx, issued.ChallengeID, out); err != nil {
			return a, err
		}
		a.ReasonCode, a.RetryAfterS = a.Challenge.ReasonCode, a.Challenge.RetryAfterS
		return a, nil
	}
	a.Decision = gen.AuthenticationDecisionProceed
	started, _ := find[domain.AuthenticationStarted](out)
	if _, nothing := find[domain.EnrollmentRequired](out); nothing || started.Purpose == domain.PurposeActivation {
		a.Decision = gen.AuthenticationDecisionEnroll
	}
	return a, nil
}

// addOptions tells what the user may choose from, phones masked.
func (s *Server) addOptions(ctx context.Context, userID string, options []domain.Option, a *gen.Authentication) error {
	phones := map[string]string{}
	err := s.journal.User(ctx, userID, func(u *domain.User, _ time.Time) error {
		for _, o := range options {
			if found, ok := u.Authenticator(o.AuthenticatorID); ok {
				phones[o.AuthenticatorID] = found.PhoneID
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, o := range options {
		masked, err := s.masked(ctx, phones[o.AuthenticatorID])
		if err != nil {
			return err
		}
		a.Options = append(a.Options, gen.AuthenticationOption{
			AuthenticatorId: o.AuthenticatorID, Kind: gen.Kind(o.Kind), Rank: o.Rank, MaskedTo: masked,
		})
	}
	return nil
}

func (s *Server) IssueChallenge(ctx context.Context, r gen.IssueChallengeRequestObject) (gen.IssueChallengeResponseObject, error) {
	out, err := s.execute(ctx, domain.IssueChallenge{TxnID: r.AuthenticationId, AuthenticatorID: r.Body.AuthenticatorId}, r.AuthenticationId)
	if err != nil {
		return nil, err
	}
	e, ok := find[domain.ChallengeIssued](out)
	if !ok {
		no, err := s.refusalOf(ctx, r.AuthenticationId, out)
		return gen.IssueChallenge200JSONResponse{RefusalJSONResponse: no}, err
	}
	c, err := s.written(ctx, e.ChallengeID, out)
	return gen.IssueChallenge201JSONResponse(c), err
}
