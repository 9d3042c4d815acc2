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

// Authenticators and installations: every authenticator ever bound, and every
// installation of the app with the users bound to it.
const (
	schemaDevices = `CREATE TABLE authenticators (
	id          TEXT PRIMARY KEY,
	user        TEXT NOT NULL,
	kind        TEXT NOT NULL,
	installation TEXT,
	phone       TEXT,
	activation_phone TEXT,
	os          TEXT,
	trigger     TEXT NOT NULL,
	restricted  INTEGER NOT NULL,
	suite       TEXT,
	enrolled    INTEGER NOT NULL,
	enrolled_seq INTEGER NOT NULL,
	revoked     INTEGER,
	reason      TEXT,
	successor   TEXT,
	first_used  INTEGER,
	last_used   INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX authenticators_user ON authenticators (user, enrolled_seq);
CREATE INDEX authenticators_installation ON authenticators (installation, enrolled_seq) WHERE installation IS NOT NULL;
CREATE TABLE installations (
	id          TEXT PRIMARY KEY,
	event       BLOB NOT NULL,
	app         TEXT NOT NULL,
	os          TEXT NOT NULL,
	app_version TEXT NOT NULL,
	handset     TEXT NOT NULL,
	key_id      TEXT NOT NULL,
	algorithm   TEXT NOT NULL,
	registered  INTEGER NOT NULL,
	pin_policy  INTEGER,
	pin_changed INTEGER,
	push_service TEXT,
	push_changed INTEGER
) STRICT, WITHOUT ROWID`

	sqlEnroll = `INSERT INTO authenticators (id, user, kind, installation, phone, activation_phone, os, trigger, restricted, suite, enrolled, enrolled_seq)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`
	sqlRevoke         = `UPDATE authenticators SET revoked = ?, reason = ?, successor = ? WHERE id = ? AND revoked IS NULL`
	sqlUsed           = `UPDATE authenticators SET first_used = coalesce(first_used, ?1), last_used = ?1 WHERE id = ?2`
	sqlAddInstalled   = `INSERT INTO installations (id, event, app, os, app_version, handset, key_id, algorithm, registered) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`
	sqlPIN            = `UPDATE installations SET pin_policy = ?, pin_changed = ? WHERE id = ?`
	sqlPushToken      = `UPDATE installations SET push_service = ?, push_changed = ? WHERE id = ?`
	columnsAuth       = `SELECT id, user, kind, installation, phone, activation_phone, os, trigger, restricted, suite, enrolled, revoked, reason, successor, first_used, last_used FROM authenticators `
	sqlAuthsOfUser    = columnsAuth + `WHERE user = ? ORDER BY enrolled_seq, id`
	sqlAuthsOfInstall = columnsAuth + `WHERE installation = ? ORDER BY enrolled_seq, id`
	sqlAuthenticator  = columnsAuth + `WHERE id = ?`
	sqlInstallation   = `SELECT id, event, app, os, app_version, handset, key_id, algorithm, registered, pin_policy, pin_changed, push_service, push_changed FROM installations WHERE id = ?`
)

// devices writes authenticators and installations.
type devices struct {
	direct

	enroll, revoke, used, install, pin, push *stmt
}

func (m *devices) prepare(p *preparer) {
	m.enroll, m.revoke, m.used = p.stmt(sqlEnroll), p.stmt(sqlRevoke), p.stmt(sqlUsed)
	m.install, m.pin, m.push = p.stmt(sqlAddInstalled), p.stmt(sqlPIN), p.stmt(sqlPushToken)
}

func (m *devices) apply(_ context.Context, e *entry) error {
	switch v := e.Event.(type) {
	case domain.AuthenticatorEnrolled:
		return run(m.enroll, v.AuthenticatorID, e.owner, string(v.Kind), optional(v.InstallationID), optional(v.PhoneID),
			optional(v.ActivationPhoneID), optional(v.OS), v.Trigger, v.Restricted, optional(v.OCRASuite), e.occurred, e.seq)
	case domain.AuthenticatorRevoked:
		return run(m.revoke, e.occurred, v.Reason, optional(v.SuccessorID), v.AuthenticatorID)
	case domain.ResponseVerified:
		return run(m.used, e.occurred, v.AuthenticatorID)
	case domain.InstallationRegistered:
		return run(m.install, v.InstallationID, e.Record.ID[:], string(v.App), string(v.OS), v.AppVersion, v.PhoneHandsetID,
			v.PublicKeyID, string(v.KeyAlgorithm), e.occurred)
	case domain.AppPINSet:
		return run(m.pin, int64(v.PINPolicyVersion), e.occurred, e.owner)
	case domain.AppPINChanged:
		return run(m.pin, int64(v.PINPolicyVersion), e.occurred, e.owner)
	case domain.PushTokenRegistered:
		return run(m.push, v.Service, e.occurred, e.owner)
	}
	return nil
}

// Authenticator is one authenticator, active or not.
type Authenticator struct {
	ID                string
	UserID            string
	Kind              domain.Kind
	InstallationID    string // ibkey
	PhoneID           string // sms: where codes go
	ActivationPhoneID string // where the activation code went
	OS                domain.OS
	Trigger           string
	Restricted        bool
	OCRASuite         string
	EnrolledAt        time.Time
	RevokedAt         *time.Time // nil while active
	RevokedReason     string
	SuccessorID       string
	FirstUsedAt       *time.Time // of a verified response
	LastUsedAt        *time.Time
}

// Active reports whether the authenticator was not revoked.
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
	PushService    string     // of the newest token; empty for none
	PushChangedAt  *time.Time
	Authenticators []Authenticator // of all users, oldest first, revoked ones included
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
	var event []byte
	var registered int64
	var pinPolicy, pinChanged, pushChanged *int64
	var service *string
	err := v.snapshot(ctx, func(q queryer) error {
		err := q.QueryRowContext(ctx, sqlInstallation, id).Scan(&i.ID, &event, &i.App, &i.OS, &i.AppVersion, &i.HandsetID,
			&i.PublicKeyID, &i.Algorithm, &registered, &pinPolicy, &pinChanged, &service, &pushChanged)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		i.Authenticators, err = authenticators(ctx, q, sqlAuthsOfInstall, id)
		return err
	})
	if err != nil {
		return Installation{}, fmt.Errorf("read installation %s: %w", id, err)
	}
	copy(i.EventID[:], event)
	i.RegisteredAt, i.PINChangedAt, i.PushChangedAt = instant(registered), moment(pinChanged), moment(pushChanged)
	i.PushService = text(service)
	if pinPolicy != nil {
		i.PINPolicy = int(*pinPolicy)
	}
	return i, nil
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
	var installation, phone, activation, os, suite, reason, successor *string
	var enrolled int64
	var revoked, first, last *int64
	err := r.Scan(&a.ID, &a.UserID, &a.Kind, &installation, &phone, &activation, &os, &a.Trigger, &a.Restricted, &suite,
		&enrolled, &revoked, &reason, &successor, &first, &last)
	a.InstallationID, a.PhoneID, a.ActivationPhoneID = text(installation), text(phone), text(activation)
	a.OS, a.OCRASuite = domain.OS(text(os)), text(suite)
	a.EnrolledAt, a.RevokedAt, a.FirstUsedAt, a.LastUsedAt = instant(enrolled), moment(revoked), moment(first), moment(last)
	a.RevokedReason, a.SuccessorID = text(reason), text(successor)
	return a, err
}
