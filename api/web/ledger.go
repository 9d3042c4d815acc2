package web

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nyaruka/phonenumbers"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/journal"
	"github.com/authledger/authledger/eventstore/keyring"
	"github.com/authledger/authledger/projections"
)

// Journal is what Ledger needs of *journal.Journal.
type Journal interface {
	Execute(ctx context.Context, r journal.Request) (journal.Outcome, error)
	Reveal(ctx context.Context, r journal.Request) (journal.Outcome, []journal.Revealed, error)
	User(ctx context.Context, userID string, read func(u *domain.User, now time.Time) error) error
	PhoneNumber(ctx context.Context, userID, phoneID string) (string, error)
	Policy() *domain.Policy
	Now() time.Time
}

// Views is what Ledger needs of *projections.Views.
type Views interface {
	Events(ctx context.Context, f projections.EventFilter) (projections.Page[projections.EventRow], error)
	Installation(ctx context.Context, id string) (projections.Installation, error)
	Erasures(ctx context.Context, f projections.ErasureFilter) (projections.Page[projections.Erasure], error)
	LegalHolds(ctx context.Context, f projections.HoldFilter) (projections.Page[projections.LegalHold], error)
}

// Log finds a record by its id; every eventstore.Reader does.
type Log interface {
	ByID(ctx context.Context, id eventstore.EventID) (eventstore.Record, error)
}

// Ledger is the Data of the product: states from the journal, lists and
// outcomes from the views, and events from the log, so that what is shown is
// what is stored.
type Ledger struct {
	journal Journal
	views   Views
	log     Log
	codec   *codec.Codec
}

// NewLedger returns the console's data. It closes nothing.
func NewLedger(j Journal, v Views, log Log, c *codec.Codec) *Ledger {
	return &Ledger{journal: j, views: v, log: log, codec: c}
}

// Find implements Data.
func (l *Ledger) Find(ctx context.Context, query string) (string, error) {
	for _, id := range []string{query, codec.UserIDOf(query)} {
		if !domain.IsID(id, domain.PrefixUser) {
			continue
		}
		err := l.journal.User(ctx, id, func(*domain.User, time.Time) error { return nil })
		if err == nil {
			return id, nil
		}
		if !unknown(err) {
			return "", fmt.Errorf("find user: %w", err)
		}
	}
	return "", ErrNotFound
}

func unknown(err error) bool {
	var refused *domain.Error
	return errors.As(err, &refused) && refused.Code == domain.Unknown
}

// Recent looks at recentPages pages of recentScan events at most: other
// streams, and users with many events, must not make it read the whole log.
const recentScan, recentPages = 100, 10

// Recent implements Data.
func (l *Ledger) Recent(ctx context.Context, limit int) ([]Item, error) {
	var out []Item
	seen := map[string]bool{}
	newest := projections.Listing{Descending: true, Limit: recentScan}
	for range recentPages {
		page, err := l.views.Events(ctx, projections.EventFilter{Listing: newest})
		if err != nil {
			return nil, fmt.Errorf("list newest events: %w", err)
		}
		for _, row := range page.Items {
			if !strings.HasPrefix(row.Stream, userStreams) || seen[row.Stream] || housekeeping(row.Type) {
				continue
			}
			seen[row.Stream] = true
			i, err := l.item(ctx, row)
			if err != nil {
				return nil, err
			}
			if out = append(out, i); len(out) == limit {
				return out, nil
			}
		}
		if newest.After = page.Next; page.Next.IsZero() {
			break
		}
	}
	return out, nil
}

const userStreams = "user-"

// housekeeping is what follows nearly every event and says nothing new.
func housekeeping(typeName string) bool {
	switch typeName {
	case "SecurityNotificationSent", "SecurityNotificationFailed", "SMSDispatchStarted", "SMSSent", "SMSDelivered", "PushSent":
		return true
	}
	return false
}

// item reads an event from the log.
func (l *Ledger) item(ctx context.Context, row projections.EventRow) (Item, error) {
	i, err := l.stored(ctx, row.ID)
	i.Outcome, i.Reason, i.Sequence = row.Outcome, row.Reason, uint64(row.Sequence)
	return i, err
}

// stored is what the log alone says of an event.
func (l *Ledger) stored(ctx context.Context, id eventstore.EventID) (Item, error) {
	record, err := l.log.ByID(ctx, id)
	if err != nil {
		return Item{}, fmt.Errorf("read event %s: %w", codec.EventIDText(id), err)
	}
	d, err := l.codec.Decode(record)
	if err != nil {
		return Item{}, err
	}
	key, _ := strings.CutPrefix(record.Stream, userStreams)
	return Item{
		ID: codec.EventIDText(record.ID), UserID: domain.UserID(key), Type: record.Type, Event: d.Event, Data: record.Data,
		Personal: l.codec.SealedFields(d), Actor: d.Meta.Actor, Revision: uint64(record.Revision),
		OccurredAt: d.Meta.OccurredAt, RecordedAt: record.RecordedAt,
	}, nil
}

// Timeline implements Data.
func (l *Ledger) Timeline(ctx context.Context, userID, place string, limit int) (Timeline, error) {
	after, err := projections.ParseCursor(place)
	if err != nil {
		return Timeline{}, ErrCursor
	}
	page, err := l.views.Events(ctx, projections.EventFilter{
		Subject: userID, Listing: projections.Listing{Descending: true, Limit: limit, After: after},
	})
	switch {
	case errors.Is(err, projections.ErrCursor):
		return Timeline{}, ErrCursor
	case errors.Is(err, projections.ErrNoTimeline):
		return Timeline{}, ErrNotFound
	case err != nil:
		return Timeline{}, fmt.Errorf("list events of %s: %w", userID, err)
	}
	out := Timeline{Next: page.Next.String()}
	for _, row := range page.Items {
		i, err := l.item(ctx, row)
		if err != nil {
			return Timeline{}, err
		}
		out.Items = append(out.Items, i)
	}
	return out, nil
}

// User implements Data.
func (l *Ledger) User(ctx context.Context, userID string) (User, error) {
	if !domain.IsID(userID, domain.PrefixUser) {
		return User{}, ErrNotFound
	}
	var out User
	var phones []domain.Phone
	var snap domain.Snapshot
	err := l.journal.User(ctx, userID, func(u *domain.User, now time.Time) error {
		out = User{
			ID: u.ID, ClientID: u.ClientID, Role: u.Role, Residence: u.ResidenceAt(now, l.journal.Policy()), Closed: u.Closed(), Seamless: u.Seamless(),
			Erased: u.Erased(), Holds: u.Holds(),
			LockedUntil: u.LockedUntil(now), Failures: u.FailureCount(now), OptOut: u.OptedOut(now),
		}
		out.Until, out.Restricted = u.Restricted()
		phones, snap = u.Phones(), u.Snapshot(now, l.journal.Policy())
		return nil
	})
	if unknown(err) {
		return User{}, ErrNotFound
	}
	if err != nil {
		return User{}, fmt.Errorf("read %s: %w", userID, err)
	}
	for _, p := range phones {
		masked, err := l.masked(ctx, userID, p.ID)
		if err != nil {
			return User{}, err
		}
		out.Phones = append(out.Phones, Phone{ID: p.ID, Masked: masked, CC: p.CC, Line: p.Line, Verified: p.Verified, Retired: p.Retired})
	}
	out.Processes = snap.Processes
	for _, a := range snap.Authenticators {
		event, err := l.naming(ctx, a.InstallationID)
		if err != nil {
			return User{}, err
		}
		out.Authenticators = append(out.Authenticators, Authenticator{AuthenticatorSnapshot: a, NamedBy: event})
	}
	return out, nil
}

// What stands for personal data whose key was destroyed, and for data that is
// locked away until it may be.
const (
	erased     = "erased"
	restricted = "restricted"
)

func (l *Ledger) masked(ctx context.Context, userID, phoneID string) (string, error) {
	number, err := l.journal.PhoneNumber(ctx, userID, phoneID)
	if errors.Is(err, keyring.ErrKeyDestroyed) {
		return erased, nil
	}
	if domain.IsRestricted(err) {
		return restricted, nil
	}
	if err != nil {
		return "", fmt.Errorf("read phone %s: %w", phoneID, err)
	}
	return Mask(number), nil
}

// Mask keeps the country code and the last four digits of an E.164 number.
func Mask(e164 string) string {
	n, err := phonenumbers.Parse(e164, "")
	if err != nil || len(e164) < 8 {
		return "•••• ••••"
	}
	return "+" + strconv.Itoa(int(n.GetCountryCode())) + " •••• " + e164[len(e164)-4:]
}

// naming is the event that holds the name of an installation's phone, as its
// owner typed it; empty without a name, and while the views have not seen the
// installation. The name itself stays sealed.
func (l *Ledger) naming(ctx context.Context, installationID string) (string, error) {
	if installationID == "" {
		return "", nil
	}
	i, err := l.views.Installation(ctx, installationID)
	if errors.Is(err, projections.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	record, err := l.log.ByID(ctx, i.EventID)
	if err != nil {
		return "", fmt.Errorf("read installation %s: %w", installationID, err)
	}
	d, err := l.codec.Decode(record)
	if err != nil || !slices.Contains(l.codec.SealedFields(d), "device_name") {
		return "", err
	}
	return codec.EventIDText(record.ID), nil
}

// RecordRead is the Config.Record of the product: it appends the read to the
// month's stream, with the query as a digest.
func (l *Ledger) RecordRead(ctx context.Context, r Read) error {
	sum := sha256.Sum256([]byte(r.Operation + "\x1f" + r.Query))
	_, err := l.journal.Execute(ctx, journal.Request{
		Command: domain.RecordAuditQuery{
			Month: l.journal.Now().Format("2006-01"), AuditorRef: r.Reader, Operation: r.Operation,
			QueryDigest: base64.RawURLEncoding.EncodeToString(sum[:]), Purpose: "console", Rows: r.Rows,
		},
		CommandID: uuid.New(), Actor: domain.Actor{Kind: domain.ActorAgent, Ref: r.Reader},
	})
	if err != nil {
		return fmt.Errorf("record read: %w", err)
	}
	return nil
}
