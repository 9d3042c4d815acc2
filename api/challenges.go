package api

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/journal"
	"github.com/authledger/authledger/eventstore/keyring"
)

// routePoll is the one route that waits, and maxWait how long it may.
const (
	routePoll = "/v1/challenges/:challengeId"
	maxWait   = 30 * time.Second
)

// complete adds the masked number and, while the challenge waits, the digits
// or cells to show.
func (s *Server) complete(ctx context.Context, v sight) (gen.Challenge, error) {
	out := v.resource()
	var err error
	if out.Delivery.Channel == gen.DeliveryChannelSms || out.Delivery.Channel == gen.DeliveryChannelVoice {
		if out.Delivery.MaskedTo, err = s.masked(ctx, v.phoneID); err != nil {
			return out, err
		}
	}
	if out.Result != gen.ResultWaiting {
		return out, nil
	}
	if v.challenge.Mode == domain.ModeGrid {
		out.GridIndices = v.challenge.Cells[:]
	}
	digits, err := s.journal.Shown(ctx, v.challenge)
	if errors.Is(err, keyring.ErrKeyDestroyed) {
		return out, nil
	}
	if err != nil {
		return out, err
	}
	if v.challenge.Mode == domain.ModePush {
		out.MatchNumber = digits
	} else {
		out.OfflineChallenge = digits
	}
	return out, nil
}

// written is the answer of a call that changed a challenge.
func (s *Server) written(ctx context.Context, id string, out journal.Outcome) (gen.Challenge, error) {
	v, err := s.look(ctx, id)
	if err != nil {
		return gen.Challenge{}, err
	}
	c, err := s.complete(ctx, v)
	if err != nil {
		return gen.Challenge{}, err
	}
	c.EventIds = eventIDs(out)
	if no, ok := refused(out); ok && c.ReasonCode == "" {
		c.ReasonCode = shownAtLogin(no.reason)
		if c.ReasonCode != "" {
			c.RetryAfterS = no.retryAfter
		}
	}
	return c, nil
}

// etag names a version of the resource. It is made without the digits, so that
// no header can be tested against guesses of them.
func etag(c gen.Challenge) (string, error) {
	c.MatchNumber, c.OfflineChallenge = "", ""
	text, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("encode challenge %s: %w", c.Id, err)
	}
	sum := sha256.Sum256(text)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`, nil
}

// GetChallenge implements gen.StrictServerInterface: the challenge now, or as
// soon as it differs from what the caller has seen.
func (s *Server) GetChallenge(ctx context.Context, r gen.GetChallengeRequestObject) (gen.GetChallengeResponseObject, error) {
	changed, stop := s.journal.Watch(domain.UserStream(domain.UserOf(r.ChallengeId)))
	defer stop()
	end := time.NewTimer(time.Duration(r.Params.Wait) * time.Second)
	defer end.Stop()
	seen, last := r.Params.IfNoneMatch, r.Params.Wait == 0
	for {
		if err := s.readLog(ctx); err != nil {
			return nil, err
		}
		v, err := s.look(ctx, r.ChallengeId)
		if err != nil {
			return nil, err
		}
		tag, err := etag(v.resource())
		if err != nil {
			return nil, err
		}
		callOf(ctx).etag = tag
		switch {
		case r.Params.IfNoneMatch != "" && tag == r.Params.IfNoneMatch && last:
			return gen.GetChallenge304Response{}, nil
		case last || seen != "" && tag != seen || v.result() != gen.ResultWaiting && tag != r.Params.IfNoneMatch:
			c, err := s.complete(ctx, v)
			return gen.GetChallenge200JSONResponse(c), err
		}
		seen = tag
		last = s.wait(ctx, changed, end.C, v.untilExpiry())
	}
}

// untilExpiry is when an unanswered challenge changes by itself.
func (v *sight) untilExpiry() time.Duration {
	if v.result() != gen.ResultWaiting {
		return maxWait
	}
	return max(v.challenge.ExpiresAt.Sub(v.now), time.Millisecond)
}

// wait returns when there may be something new, and true when the next answer
// is to be the last.
func (s *Server) wait(ctx context.Context, changed <-chan struct{}, end <-chan time.Time, expiry time.Duration) bool {
	expires := time.NewTimer(expiry)
	defer expires.Stop()
	select {
	case <-changed:
		return false
	case <-expires.C:
		return false
	case <-end:
	case <-s.stopping:
	case <-ctx.Done():
	}
	return true
}

func (s *Server) SubmitResponse(ctx context.Context, r gen.SubmitResponseRequestObject) (gen.SubmitResponseResponseObject, error) {
	before, err := s.challenge(ctx, r.ChallengeId)
	if err != nil {
		return nil, err
	}
	out, err := s.execute(ctx, domain.SubmitResponse{
		ChallengeID: r.ChallengeId, TxnID: r.Body.AuthenticationId, Response: domain.Secret(r.Body.Response),
	}, before.TxnID)
	if err != nil {
		return nil, err
	}
	c, err := s.written(ctx, r.ChallengeId, out)
	if err != nil {
		return nil, err
	}
	if e, ok := find[domain.ResponseRejected](out); ok {
		c.LastAttempt, c.ReasonCode = gen.Incorrect, shownAtLogin(e.Reason)
		if c.Result == gen.ResultAllow || c.Result == gen.ResultProved { // an earlier answer was right; this one lets nobody in
			c.Result, c.SessionRef, c.Scope = gen.ResultDeny, "", ""
		}
	} else {
		c.LastAttempt = gen.Correct
	}
	return gen.SubmitResponse200JSONResponse(c), nil
}

func (s *Server) RequestFallback(ctx context.Context, r gen.RequestFallbackRequestObject) (gen.RequestFallbackResponseObject, error) {
	before, err := s.challenge(ctx, r.ChallengeId)
	if err != nil {
		return nil, err
	}
	out, err := s.execute(ctx, domain.RequestFallback{ChallengeID: r.ChallengeId, Cause: domain.FallbackCause(r.Body.Cause)}, before.TxnID)
	if err != nil {
		return nil, err
	}
	e, ok := find[domain.ChallengeIssued](out)
	if !ok {
		no, err := s.refusalOf(ctx, before.TxnID, out)
		return gen.RequestFallback200JSONResponse{RefusalJSONResponse: no}, err
	}
	c, err := s.written(ctx, e.ChallengeID, out)
	return gen.RequestFallback201JSONResponse(c), err
}

func (s *Server) ResendLoginCode(ctx context.Context, r gen.ResendLoginCodeRequestObject) (gen.ResendLoginCodeResponseObject, error) {
	before, err := s.challenge(ctx, r.ChallengeId)
	if err != nil {
		return nil, err
	}
	out, err := s.execute(ctx, domain.ResendLoginCode{ChallengeID: r.ChallengeId}, before.TxnID)
	if err != nil {
		return nil, err
	}
	c, err := s.written(ctx, r.ChallengeId, out)
	return gen.ResendLoginCode200JSONResponse(c), err
}

func (s *Server) CancelChallenge(ctx context.Context, r gen.CancelChallengeRequestObject) (gen.CancelChallengeResponseObject, error) {
	before, err := s.challenge(ctx, r.ChallengeId)
	if err != nil {
		return nil, err
	}
	out, err := s.execute(ctx, domain.CancelChallenge{ChallengeID: r.ChallengeId}, before.TxnID)
	if err != nil {
		return nil, err
	}
	c, err := s.written(ctx, r.ChallengeId, out)
	return gen.CancelChallenge200JSONResponse(c), err
}

// refusalOf is the answer when no challenge came of it: waiting while the login
// can go on some other way, deny when it cannot.
func (s *Server) refusalOf(ctx context.Context, txnID string, out journal.Outcome) (gen.RefusalJSONResponse, error) {
	answer := gen.RefusalJSONResponse{Result: gen.ResultDeny, Status: gen.RefusalStatusRefused, EventIds: eventIDs(out)}
	if no, ok := refused(out); ok {
		if answer.ReasonCode = shownAtLogin(no.reason); answer.ReasonCode != "" {
			answer.RetryAfterS = no.retryAfter
		}
	}
	err := s.journal.User(ctx, domain.UserOf(txnID), func(u *domain.User, now time.Time) error {
		t, ok := u.Transaction(txnID)
		if ok && t.PrimaryOK && !t.Closed && now.Before(t.ExpiresAt) && u.LockedUntil(now).IsZero() {
			answer.Result = gen.ResultWaiting
		}
		return nil
	})
	return answer, err
}
