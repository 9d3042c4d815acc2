package api

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/authledger/authledger/api/access"
	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/journal"
	"github.com/authledger/authledger/projections"
)

// Reading the record. Every answer here is itself recorded first.

// readIsRecorded reports whether this caller's reads of users are recorded:
// those of people who look, not those of the login page.
func (s *Server) readIsRecorded(ctx context.Context) bool {
	return callOf(ctx).client.Role != access.Frontend
}

// recordRead appends who read what, and fails the read when it cannot. The
// query is kept as a digest: it tells a repeat from another query and shows
// nothing of a person.
func (s *Server) recordRead(ctx context.Context, operation, purpose string, rows int) error {
	return s.recordQuery(ctx, operation, callOf(ctx).query, purpose, rows)
}

// recordQuery is recordRead for a query that does not stand in the address.
func (s *Server) recordQuery(ctx context.Context, operation, query, purpose string, rows int) error {
	k := callOf(ctx)
	sum := sha256.Sum256([]byte(operation + "\x1f" + k.path + "\x1f" + query))
	_, err := s.journal.Execute(ctx, journal.Request{
		Command: domain.RecordAuditQuery{
			Month: s.journal.Now().Format("2006-01"), AuditorRef: k.client.ID, Operation: operation,
			QueryDigest: base64.RawURLEncoding.EncodeToString(sum[:]), Purpose: purpose, Rows: rows,
		},
		CommandID: uuid.New(), Actor: k.actor(), RequestID: k.requestID,
	})
	if err != nil {
		return &problem{code: "audit_record_unavailable", retryAfter: 1, cause: fmt.Errorf("record read: %w", err)}
	}
	return nil
}

// normalised is a query with its parameters in order.
func normalised(rawQuery string) string {
	values, err := url.ParseQuery(rawQuery)
	if err != nil {
		return rawQuery
	}
	return values.Encode()
}

// listing is what all lists take. timeOrder refuses what cannot match.
func listing(since, until time.Time, limit int, after string) (projections.Listing, error) {
	if !since.IsZero() && !until.IsZero() && !since.Before(until) {
		return projections.Listing{}, faultAt("until", "order", "until must be after since")
	}
	cursor, err := projections.ParseCursor(after)
	if err != nil {
		return projections.Listing{}, fault("cursor_invalid")
	}
	return projections.Listing{Since: since, Until: until, Limit: limit, After: cursor}, nil
}

// ListEvents implements gen.StrictServerInterface, as do all methods here.
func (s *Server) ListEvents(ctx context.Context, r gen.ListEventsRequestObject) (gen.ListEventsResponseObject, error) {
	p := r.Params
	if p.UserId != "" && p.SubjectId != "" {
		return nil, faultAt("subjectId", "exclusive", "give userId or subjectId, not both")
	}
	l, err := listing(p.Since, p.Until, p.Limit, p.After)
	if err != nil {
		return nil, err
	}
	l.Descending = p.Order != gen.ListEventsParamsOrderAsc
	f := projections.EventFilter{Listing: l, Subject: or(p.UserId, p.SubjectId), Types: p.Type}
	if p.TimeField == gen.TimeFieldOccurred {
		f.TimeField = projections.TimeOccurred
	}
	if p.Reason != "" {
		f.Reasons = []string{p.Reason}
	}
	if p.Outcome != "" {
		f.Outcomes = []projections.Outcome{projections.Outcome(p.Outcome)}
	}
	if err := s.readViews(ctx, p.AuthledgerMinPosition); err != nil {
		return nil, err
	}
	list, err := s.events(ctx, f)
	if err != nil {
		return nil, err
	}
	if err := s.recordRead(ctx, "listEvents", p.Purpose, len(list.Items)); err != nil {
		return nil, err
	}
	return gen.ListEvents200JSONResponse(list), nil
}

// prefixes of the ids a kind of timeline wants.
var timelinePrefixes = map[gen.TimelineKind]string{
	"user": domain.PrefixUser, "client": domain.PrefixClient, "installation": domain.PrefixInstallation,
	"phone": domain.PrefixPhone, "verification": domain.PrefixVerification, "enrollment": domain.PrefixEnrollment,
	"authenticator": domain.PrefixAuthenticator, "authentication": domain.PrefixTransaction,
	"challenge": domain.PrefixChallenge, "message": domain.PrefixSMS, "opt_out": domain.PrefixOptOut,
	"device": domain.PrefixDevice, "voice_call": domain.PrefixCall, "migration": domain.PrefixMigration,
	"recovery": domain.PrefixRecovery, "unification": domain.PrefixUnification, "device_request": domain.PrefixRequest,
	"device_sharing": domain.PrefixSharing, "credential_delivery": domain.PrefixDelivery,
}

func (s *Server) GetTimeline(ctx context.Context, r gen.GetTimelineRequestObject) (gen.GetTimelineResponseObject, error) {
	if !domain.IsID(r.Id, timelinePrefixes[r.Kind]) {
		return nil, faultAt("id", "kind", "the id is not of this kind")
	}
	l, err := listing(time.Time{}, time.Time{}, r.Params.Limit, r.Params.After)
	if err != nil {
		return nil, err
	}
	if err := s.readViews(ctx, r.Params.AuthledgerMinPosition); err != nil {
		return nil, err
	}
	list, err := s.events(ctx, projections.EventFilter{Listing: l, Subject: r.Id})
	if err != nil {
		return nil, err
	}
	if err := s.recordRead(ctx, "getTimeline", r.Params.Purpose, len(list.Items)); err != nil {
		return nil, err
	}
	return gen.GetTimeline200JSONResponse(list), nil
}

// events finds a page in the views and reads its records from the log, so that
// what is shown is what is stored.
func (s *Server) events(ctx context.Context, f projections.EventFilter) (gen.EventList, error) {
	page, err := s.views.Events(ctx, f)
	if err != nil {
		return gen.EventList{}, queryProblem(err)
	}
	window, err := s.window(ctx, f.Since, f.Until, gen.TimeFieldRecorded, page.At)
	if err != nil {
		return gen.EventList{}, err
	}
	list := gen.EventList{
		Items: make([]gen.Event, 0, len(page.Items)), Page: pageOf(page.Next), Count: gen.Count{Returned: len(page.Items)},
		Window: window,
	}
	if f.TimeField == projections.TimeOccurred {
		list.Window.TimeField = gen.TimeFieldOccurred
	}
	for _, row := range page.Items {
		record, err := s.store.ByID(ctx, row.ID)
		if err != nil {
			return gen.EventList{}, fmt.Errorf("read event %s: %w", codec.EventIDText(row.ID), err)
		}
		record.Sequence = row.Sequence // a distributed store learns it in the views
		e, err := s.event(record)
		if err != nil {
			return gen.EventList{}, err
		}
		e.Outcome, e.ReasonCode = gen.Outcome(row.Outcome), row.Reason
		list.Items = append(list.Items, e)
	}
	if n := len(list.Items); n > 0 {
		list.Window.FromPosition, list.Window.ToPosition = list.Items[0].Position, list.Items[n-1].Position
	}
	return list, nil
}

// queryProblem translates the errors of the read models.
func queryProblem(err error) error {
	var late *projections.BehindError
	switch {
	case errors.As(err, &late):
		return lagging(late, 0, late.Err)
	case errors.Is(err, projections.ErrCursor):
		return fault("cursor_invalid")
	case errors.Is(err, projections.ErrNoTimeline):
		return faultAt("id", "kind", "this kind of thing has no timeline; ask for its user's")
	case errors.Is(err, projections.ErrNotFound):
		return fault("not_found")
	}
	return err
}

func pageOf(next projections.Cursor) gen.Page {
	return gen.Page{Next: next.String(), HasMore: !next.IsZero()}
}

func number64[T ~uint64](v T) string { return strconv.FormatUint(uint64(v), 10) }

// event is a record as answered: the stored JSON, personal fields sealed.
func (s *Server) event(r eventstore.Record) (gen.Event, error) {
	d, err := s.codec.Decode(r)
	if err != nil {
		return gen.Event{}, err
	}
	return gen.Event{
		Id: codec.EventIDText(r.ID), Stream: r.Stream, Revision: int64(r.Revision), Sequence: int64(r.Sequence), Position: number64(r.Position),
		Type: r.Type, Schema: int(r.Schema), OccurredAt: d.Meta.OccurredAt, RecordedAt: r.RecordedAt, CorrelationId: d.Meta.CorrelationID,
		Actor: gen.Actor{Kind: gen.ActorKind(d.Meta.Actor.Kind), Ref: d.Meta.Actor.Ref}, Data: r.Data, Metadata: r.Metadata,
	}, nil
}

// record reads one event by its text id; 404 when there is none.
func (s *Server) record(ctx context.Context, text string) (eventstore.Record, error) {
	id, err := codec.ParseEventID(text)
	if err != nil {
		return eventstore.Record{}, fault("not_found") // well formed, but no id we could have made
	}
	if err := s.readLog(ctx); err != nil {
		return eventstore.Record{}, err
	}
	return s.store.ByID(ctx, id)
}

func (s *Server) GetEvent(ctx context.Context, r gen.GetEventRequestObject) (gen.GetEventResponseObject, error) {
	record, err := s.record(ctx, r.EventId)
	if err != nil {
		return nil, err
	}
	e, err := s.event(record)
	if err != nil {
		return nil, err
	}
	if err := s.recordRead(ctx, "getEvent", r.Params.Purpose, 1); err != nil {
		return nil, err
	}
	return gen.GetEvent200JSONResponse(e), nil
}

func (s *Server) GetEventRaw(ctx context.Context, r gen.GetEventRawRequestObject) (gen.GetEventRawResponseObject, error) {
	record, err := s.record(ctx, r.EventId)
	if err != nil {
		return nil, err
	}
	if err := s.recordRead(ctx, "getEventRaw", r.Params.Purpose, 1); err != nil {
		return nil, err
	}
	return gen.GetEventRaw200JSONResponse{
		Id: r.EventId, Uuid: record.ID.String(), Stream: record.Stream, Revision: int64(record.Revision), Sequence: int64(record.Sequence),
		Position: number64(record.Position), Type: record.Type, Schema: int(record.Schema), RecordedAtMicros: record.RecordedAt.UnixMicro(),
		Data: record.Data, Metadata: record.Metadata, Leaf: record.Leaf().String(),
	}, nil
}

func (s *Server) GetUserState(ctx context.Context, r gen.GetUserStateRequestObject) (gen.GetUserStateResponseObject, error) {
	asOf := r.Params.AsOf
	if asOf.IsZero() {
		asOf = s.journal.Now()
	}
	if err := s.readLog(ctx); err != nil {
		return nil, err
	}
	past, err := s.stateAt(ctx, r.UserId, asOf, r.Params.KnownAt)
	if err != nil {
		return nil, fmt.Errorf("fold %s as of %s: %w", r.UserId, asOf.Format(time.RFC3339Nano), err)
	}
	state := gen.UserState{UserId: r.UserId, AsOf: asOf.UTC()}
	if past.Found && past.User.Registered() {
		known := r.Params.KnownAt
		if known.IsZero() {
			known = asOf
		}
		p, err := s.journal.PolicyKnownAt(ctx, known)
		if err != nil {
			return nil, err
		}
		if state, err = s.pastState(ctx, past, asOf, p); err != nil {
			return nil, err
		}
	}
	state.KnownAt = r.Params.KnownAt.UTC()
	if err := s.recordRead(ctx, "getUserState", r.Params.Purpose, 1); err != nil {
		return nil, err
	}
	return gen.GetUserState200JSONResponse(state), nil
}

func (s *Server) pastState(ctx context.Context, past PastUser, asOf time.Time, p *domain.Policy) (gen.UserState, error) {
	snap := past.User.Snapshot(asOf, p)
	revision, failures := int64(past.Revision), snap.FailureCount
	state := gen.UserState{
		UserId: snap.UserID, AsOf: snap.AsOf, Known: true, LastEventId: codec.EventIDText(past.LastEvent), Revision: &revision,
		ClientId: snap.ClientID, Role: gen.UserRole(snap.Role), Locale: snap.Locale, Residence: snap.Residence, Closed: snap.Closed,
		Seamless: snap.Seamless, FailureCount: &failures, OptOut: optOutInForce(snap.OptOut),
	}
	state.Restricted, state.RestrictedUntil, state.Erased = snap.Restricted, at(snap.RestrictedUntil), snap.Erased
	for _, h := range snap.Holds {
		state.LegalHolds = append(state.LegalHolds, gen.LegalHold{
			HoldId: h.HoldID, UserId: snap.UserID, CaseRef: h.CaseRef, Basis: gen.HoldBasis(h.Basis), PlacedAt: h.PlacedAt, ReleaseRequestedBy: h.RequestedBy,
		})
	}
	if snap.LockedUntil != nil {
		state.LockedUntil = *snap.LockedUntil
	}
	var err error
	if state.Phones, err = s.phones(ctx, snap); err != nil {
		return state, err
	}
	if state.Authenticators, err = s.authenticators(ctx, snap.Authenticators); err != nil {
		return state, err
	}
	for _, t := range snap.Transactions {
		state.Authentications = append(state.Authentications, gen.OpenAuthentication{
			AuthenticationId: t.TxnID, Purpose: gen.OpenAuthenticationPurpose(t.Purpose), Platform: gen.Platform(t.Platform),
			ExpiresAt: t.ExpiresAt, ChallengeId: t.ChallengeID, Mode: gen.Mode(t.Mode),
		})
	}
	for _, p := range snap.Processes {
		kind := gen.ProcessKind(p.Process)
		if p.Process == "device" {
			kind = gen.ProcessKindDeviceRequest
		}
		state.Processes = append(state.Processes, gen.OpenProcess{
			Id: p.ID, Process: kind, Step: p.Step, Proof: p.Proof, InstallationId: p.InstallationID,
			DeviceId: p.DeviceID, ExpiresAt: p.ExpiresAt,
		})
	}
	return state, nil
}
