package api

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/journal"
	"github.com/authledger/authledger/projections"
)

// execute runs the request's one command. correlation is the id of the
// transaction or process it belongs to, empty when it begins one.
func (s *Server) execute(ctx context.Context, cmd domain.Command, correlation string) (journal.Outcome, error) {
	return s.executeFrom(ctx, cmd, correlation, domain.Source{})
}

func (s *Server) executeFrom(ctx context.Context, cmd domain.Command, correlation string, from domain.Source) (journal.Outcome, error) {
	k := callOf(ctx)
	out, err := s.journal.Execute(ctx, journal.Request{
		Command: cmd, CommandID: k.commandID, Actor: k.actor(), Source: from, CorrelationID: correlation, RequestID: k.requestID,
	})
	if err != nil {
		return journal.Outcome{}, err
	}
	return out, s.wrote(ctx, out)
}

// wrote remembers what the headers of a write tell. Where nothing was
// appended, the token is the log's newest position: it covers whatever the
// decision was based on.
func (s *Server) wrote(ctx context.Context, out journal.Outcome) error {
	k := callOf(ctx)
	k.wrote, k.replayed = true, k.replayed || out.Replayed
	if len(out.Events) > 0 {
		k.position = max(k.position, out.Position)
		return nil
	}
	_, head, err := s.store.Head(ctx)
	if err != nil {
		return fmt.Errorf("read the log's head: %w", err)
	}
	k.position = max(k.position, head)
	return nil
}

// headers writes what a handler remembered in the call.
func (s *Server) headers(next gen.StrictHandlerFunc, _ string) gen.StrictHandlerFunc {
	return func(c echo.Context, request any) (any, error) {
		response, err := next(c, request)
		if err != nil {
			return nil, err
		}
		k, h := callOf(c.Request().Context()), c.Response().Header()
		if k.wrote {
			h.Set(headerPosition, strconv.FormatUint(uint64(k.position), 10))
		}
		if k.replayed {
			h.Set(headerReplayed, "true")
		}
		if k.read {
			h.Set(headerReadAt, strconv.FormatUint(uint64(k.readAt), 10))
		}
		if k.etag != "" {
			h.Set("ETag", k.etag)
		}
		return response, nil
	}
}

// readLog notes that an answer shows everything up to the log's head as of
// now: the journal's states and the log itself are never behind.
func (s *Server) readLog(ctx context.Context) error {
	_, head, err := s.store.Head(ctx)
	if err != nil {
		return fmt.Errorf("read the log's head: %w", err)
	}
	k := callOf(ctx)
	k.read, k.readAt = true, head
	return nil
}

// viewWait is how long a read waits for the views before it says that they
// are behind.
const viewWait = 2 * time.Second

// readViews waits until the views show the position the caller asked for.
func (s *Server) readViews(ctx context.Context, least string) error {
	if least != "" {
		position, err := strconv.ParseUint(least, 10, 64)
		if err != nil {
			return faultAt(headerMinPosition, "format", "give back an Authledger-Position")
		}
		wait, cancel := context.WithTimeout(ctx, s.viewWait)
		defer cancel()
		if err := s.views.WaitFor(wait, eventstore.Position(position)); err != nil {
			return s.behind(ctx, err)
		}
	}
	k := callOf(ctx)
	k.read, k.readAt = true, s.views.Position()
	return nil
}

// behind tells a caller who waited in vain how many records the views are
// behind. It is one at least: a position that this node has not heard of is of a
// record that has yet to come here.
func (s *Server) behind(ctx context.Context, err error) error {
	var late *projections.BehindError
	if ctx.Err() != nil || !errors.As(err, &late) {
		return err
	}
	newest, _, headErr := s.store.Head(ctx)
	return lagging(late, newest, errors.Join(late.Err, headErr))
}

func lagging(late *projections.BehindError, newest eventstore.Sequence, cause error) error {
	return &problem{code: "projection_behind", retryAfter: 1, lag: int64(min(late.Lag(newest), 1<<62)), cause: cause}
}

// eventIDs are the ids of an outcome's events, in order; never nil.
func eventIDs(out journal.Outcome) gen.EventIds {
	ids := make(gen.EventIds, len(out.Events))
	for i, e := range out.Events {
		ids[i] = codec.EventIDText(e.ID)
	}
	return ids
}

// find returns the first event of a kind.
func find[T domain.Event](out journal.Outcome) (T, bool) {
	for _, r := range out.Events {
		if e, ok := r.Event.(T); ok {
			return e, true
		}
	}
	var zero T
	return zero, false
}

// refusal is what an outcome's events say was refused.
type refusal struct {
	reason     domain.Code
	retryAfter int64 // seconds
}

// refused finds the event that refuses, if there is one.
func refused(out journal.Outcome) (refusal, bool) {
	for _, r := range out.Events {
		switch e := r.Event.(type) {
		case domain.SMSRequestRefused:
			return refusal{e.Reason, e.RetryAfterS}, true
		case domain.VoiceCallRefused:
			return refusal{e.Reason, e.RetryAfterS}, true
		case domain.EnrollmentRefused:
			return refusal{e.Reason, 0}, true
		case domain.RevocationRefused:
			return refusal{e.Reason, 0}, true
		case domain.UnlockRefused:
			return refusal{e.Reason, 0}, true
		case domain.OptBackInRefused:
			return refusal{e.Reason, 0}, true
		case domain.SelectionRefused:
			return refusal{e.Reason, 0}, true
		case domain.FallbackRefused:
			return refusal{e.Reason, 0}, true
		}
		if reason := processRefusal(r.Event); reason != "" {
			return refusal{reason, 0}, true
		}
	}
	// A refused push is followed by challenge and response (K-22): only a
	// ChallengeRefused that stands alone refuses.
	if _, issued := find[domain.ChallengeIssued](out); !issued {
		if e, ok := find[domain.ChallengeRefused](out); ok {
			return refusal{e.Reason, 0}, true
		}
	}
	return refusal{}, false
}

// processRefusal is why a process was refused, or a step of one.
func processRefusal(e domain.Event) domain.Code {
	switch e := e.(type) {
	case domain.AppPINRefused:
		return e.Reason
	case domain.SuspensionRefused:
		return e.Reason
	case domain.ReactivationRefused:
		return e.Reason
	case domain.PhysicalDeviceRequestRefused:
		return e.Reason
	case domain.DevicePINChangeRefused:
		return e.Reason
	case domain.DeviceSharingDenied:
		return e.Reason
	case domain.OnlineCodeCardRefused:
		return e.Reason
	case domain.SecurityCodeCardRefused:
		return e.Reason
	case domain.TemporaryPasscodeRefused:
		return e.Reason
	case domain.TemporaryCredentialRefused:
		return e.Reason
	case domain.MigrationRefused:
		return e.Reason
	case domain.RecoveryRefused:
		return e.Reason
	case domain.UnificationRefused:
		return e.Reason
	}
	return ""
}

// shownAtLogin is the reason as the caller of a login may see it (D-6).
func shownAtLogin(reason domain.Code) gen.ReasonCode {
	switch reason {
	case domain.ReasonSMSCooldown, domain.ReasonChallengeExpired, domain.ReasonPINPolicy:
		return gen.ReasonCode(reason)
	}
	return ""
}

// action is the answer of the calls that have nothing more to tell.
func action(out journal.Outcome) gen.ActionJSONResponse {
	a := gen.ActionJSONResponse{Status: gen.ActionResultStatusRecorded, EventIds: eventIDs(out)}
	if len(out.Events) == 0 {
		a.Status = gen.ActionResultStatusUnchanged
	}
	if r, ok := refused(out); ok {
		a.Status, a.ReasonCode, a.RetryAfterS = gen.ActionResultStatusRefused, gen.ReasonCode(r.reason), r.retryAfter
	}
	return a
}

// act runs a command whose answer is an action.
func (s *Server) act(ctx context.Context, cmd domain.Command, correlation string) (gen.ActionJSONResponse, error) {
	out, err := s.execute(ctx, cmd, correlation)
	if err != nil {
		return gen.ActionJSONResponse{}, err
	}
	return action(out), nil
}
