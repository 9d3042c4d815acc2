package projections

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
)

const (
	// The parts of a compound statement are ordered together, so none is sorted.
	columnsAuth = `SELECT a.id, a.user, a.kind, a.installation, a.former, a.device, a.sharing, a.phone, a.activation_phone, a.os, a.trigger,
	a.restricted, a.suite, a.enrolled, a.enrolled_event, a.full_until, a.expires, a.lost, a.suspended, a.suspended_reason, a.revoked,
	a.revoked_event, a.reason, a.successor, a.first_used, a.last_used, p.id, p.proof, p.uv, p.idv, a.enrolled_seq
FROM authenticators a LEFT JOIN processes p ON p.authenticator = a.id `
	sqlAuthsOfUser    = columnsAuth + `WHERE a.user = ?1 ORDER BY a.enrolled_seq, a.id`
	sqlAuthsOfInstall = columnsAuth + `WHERE a.installation = ?1 UNION ALL ` + columnsAuth + `WHERE a.former = ?1 ORDER BY a.enrolled_seq, a.id`
	sqlAuthsOfDevice  = columnsAuth + `WHERE a.device = ?1 ORDER BY a.enrolled_seq, a.id`
	sqlAuthenticator  = columnsAuth + `WHERE a.id = ?1`
	sqlInstallation   = `SELECT id, event, app, os, app_version, handset, key_id, algorithm, registered, pin_policy, pin_changed, blocked,
	retired, retired_reason, successor, push_service, push_changed FROM installations WHERE id = ?`
)

// Authenticator is one authenticator, active or not.
type Authenticator struct {
	ID                string
	UserID            string
	Kind              domain.Kind
	InstallationID    string // ibkey: where it answers, or did last
	FormerInstall     string // ibkey: the standalone app it lived in before a unification
	DeviceID          string // dsc_plus: physical unit
	SharingID         string // by which it answers with another user's unit
	PhoneID           string // sms: where codes go
	ActivationPhoneID string // where the activation code went
	OS                domain.OS
	Trigger           string
	Restricted        bool
	OCRASuite         string
	EnrolledAt        time.Time
	EnrolledEvent     eventstore.EventID
	// ProcessID is the enrolment, migration, recovery or sharing that bound it,
	// or its own id for a code card or temporary passcode; empty when a reaction
	// did. Proof, UV and IDVID are that process's (see Process).
	ProcessID       string
	Proof           Proof
	UV              domain.UV
	IDVID           string
	FullUntil       *time.Time // temporary passcode: end of its full scope; nil when it never had that
	ExpiresAt       *time.Time // nil when it does not expire
	ReportedLostAt  *time.Time // nil when it is not missed
	SuspendedAt     *time.Time // since when; nil when it is not suspended
	SuspendedReason string
	RevokedAt       *time.Time // nil while bound
	RevokedEvent    eventstore.EventID
	RevokedReason   string
	SuccessorID     string
	FirstUsedAt     *time.Time // of a verified response
	LastUsedAt      *time.Time
}

// AuthenticatorStatus is where an authenticator stands at a moment.
type AuthenticatorStatus string

// Statuses of an authenticator. Suspended ones may be active again, revoked
// ones never.
const (
	AuthenticatorActive    AuthenticatorStatus = "active"
	AuthenticatorSuspended AuthenticatorStatus = "suspended"
	AuthenticatorExpired   AuthenticatorStatus = "expired"
	AuthenticatorRevoked   AuthenticatorStatus = "revoked"
)

// Status is where the authenticator, as the views know it, stands at a moment
// that is not before the newest change to it.
func (a Authenticator) Status(at time.Time) AuthenticatorStatus {
	switch {
	case a.RevokedAt != nil:
		return AuthenticatorRevoked
	case a.ExpiresAt != nil && !at.Before(*a.ExpiresAt):
		return AuthenticatorExpired
	case a.SuspendedAt != nil:
		return AuthenticatorSuspended
	}
	return AuthenticatorActive
}

// Active reports whether the authenticator was not revoked. A suspended or
// expired one counts: it still lives where it is bound (see Status).
func (a Authenticator) Active() bool { return a.RevokedAt == nil }

// Installation is one installation of the app and what is bound to it.
type Installation struct {
	ID             string
	EventID        eventstore.EventID // of its registration, which holds the sealed device name
	App            domain.App
	OS             domain.OS
	AppVersion     string
	HandsetID      string
	PublicKeyID    string
	Algorithm      domain.KeyAlgorithm
	RegisteredAt   time.Time
	PINPolicy      int        // version attested last; 0 for none
	PINChangedAt   *time.Time // when it was
	PINBlockedAt   *time.Time // since when; nil when the PIN is not blocked
	RetiredAt      *time.Time // when another app took its place; nil while it serves
	RetiredReason  string
	SuccessorID    string          // the app that took its place
	PushService    string          // of the newest token; empty for none
	PushChangedAt  *time.Time      // when it was registered
	Authenticators []Authenticator // of all users, oldest first, with those revoked and those moved to another app
	Bindings       []Binding       // as the installation's own stream tells them, oldest first
}

// Authenticators lists every authenticator the user ever had, oldest first. An
// unknown user has none.
func (v *Views) Authenticators(ctx context.Context, userID string) ([]Authenticator, error) {
	return authenticators(ctx, v.read, sqlAuthsOfUser, userID)
}

// Authenticator returns one authenticator, or ErrNotFound.
func (v *Views) Authenticator(ctx context.Context, id string) (Authenticator, error) {
	return single(authenticators(ctx, v.read, sqlAuthenticator, id))
}

// Installation returns one installation, or ErrNotFound.
func (v *Views) Installation(ctx context.Context, id string) (Installation, error) {
	var i Installation
	err := v.snapshot(ctx, func(q queryer) (err error) {
		if i, err = scanInstallation(q.QueryRowContext(ctx, sqlInstallation, id)); err != nil {
			return err
		}
		if i.Authenticators, err = authenticators(ctx, q, sqlAuthsOfInstall, id); err != nil {
			return err
		}
		i.Bindings, err = bindings(ctx, q, id)
		return err
	})
	if err != nil {
		return Installation{}, fmt.Errorf("read installation %s: %w", id, err)
	}
	return i, nil
}

func scanInstallation(row *sql.Row) (i Installation, err error) {
	var event []byte
	var registered int64
	var pinPolicy, pinChanged, blocked, retired, pushChanged *int64
	var reason, successor, service *string
	err = row.Scan(&i.ID, &event, &i.App, &i.OS, &i.AppVersion, &i.HandsetID, &i.PublicKeyID, &i.Algorithm, &registered, &pinPolicy,
		&pinChanged, &blocked, &retired, &reason, &successor, &service, &pushChanged)
	if errors.Is(err, sql.ErrNoRows) {
		return i, ErrNotFound
	}
	copy(i.EventID[:], event)
	i.RegisteredAt, i.PINPolicy, i.PINChangedAt = instant(registered), int(number(pinPolicy)), moment(pinChanged)
	i.PINBlockedAt, i.RetiredAt, i.RetiredReason, i.SuccessorID = moment(blocked), moment(retired), text(reason), text(successor)
	i.PushService, i.PushChangedAt = text(service), moment(pushChanged)
	return i, err
}

func authenticators(ctx context.Context, q queryer, query, id string) ([]Authenticator, error) {
	rows, err := q.QueryContext(ctx, query, id)
	if err != nil {
		return nil, fmt.Errorf("read authenticators of %s: %w", id, err)
	}
	out, err := collect(rows, scanAuthenticator)
	if err != nil {
		return nil, fmt.Errorf("read authenticators of %s: %w", id, err)
	}
	return out, nil
}

func scanAuthenticator(r *sql.Rows) (Authenticator, error) {
	var a Authenticator
	var installation, former, device, sharing, phone, activation, os, suite, suspendedFor, reason, successor *string
	var process, proof, uv, idv *string
	var enrolledEvent, revokedEvent []byte
	var enrolled, seq int64
	var full, expires, lost, suspended, revoked, first, last *int64
	err := r.Scan(&a.ID, &a.UserID, &a.Kind, &installation, &former, &device, &sharing, &phone, &activation, &os, &a.Trigger,
		&a.Restricted, &suite, &enrolled, &enrolledEvent, &full, &expires, &lost, &suspended, &suspendedFor, &revoked,
		&revokedEvent, &reason, &successor, &first, &last, &process, &proof, &uv, &idv, &seq)
	a.InstallationID, a.FormerInstall, a.DeviceID, a.SharingID = text(installation), text(former), text(device), text(sharing)
	a.PhoneID, a.ActivationPhoneID, a.OS, a.OCRASuite = text(phone), text(activation), domain.OS(text(os)), text(suite)
	a.ProcessID, a.Proof, a.UV, a.IDVID = text(process), Proof(text(proof)), domain.UV(text(uv)), text(idv)
	a.EnrolledAt, a.FullUntil, a.ExpiresAt = instant(enrolled), moment(full), moment(expires)
	a.ReportedLostAt, a.SuspendedAt, a.SuspendedReason = moment(lost), moment(suspended), text(suspendedFor)
	a.RevokedAt, a.RevokedReason, a.SuccessorID = moment(revoked), text(reason), text(successor)
	a.FirstUsedAt, a.LastUsedAt = moment(first), moment(last)
	copy(a.EnrolledEvent[:], enrolledEvent)
	copy(a.RevokedEvent[:], revokedEvent)
	return a, err
}
