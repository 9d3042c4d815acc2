package projections

import (
	"context"

	"github.com/authledger/authledger/domain"
)

// Authenticators and installations: every authenticator ever bound, and every
// installation of the app with the users bound to it. How one was proved stands
// with the process it came from (see processes).
const (
	schemaDevices = `CREATE TABLE authenticators (
	id          TEXT PRIMARY KEY,
	user        TEXT NOT NULL,
	kind        TEXT NOT NULL,
	installation TEXT,
	former      TEXT,               -- installation it was bound to before a unification moved it
	device      TEXT,               -- physical unit
	sharing     TEXT,
	phone       TEXT,
	activation_phone TEXT,
	os          TEXT,
	trigger     TEXT NOT NULL,
	restricted  INTEGER NOT NULL,
	suite       TEXT,
	enrolled    INTEGER NOT NULL,
	enrolled_seq INTEGER NOT NULL,
	enrolled_event BLOB NOT NULL,
	full_until  INTEGER,
	expires     INTEGER,
	lost        INTEGER,            -- when it was reported lost
	suspended   INTEGER,            -- since when; NULL when it is not
	suspended_reason TEXT,
	revoked     INTEGER,
	revoked_event BLOB,
	reason      TEXT,
	successor   TEXT,
	first_used  INTEGER,
	last_used   INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX authenticators_user ON authenticators (user, enrolled_seq);
CREATE INDEX authenticators_installation ON authenticators (installation, enrolled_seq) WHERE installation IS NOT NULL;
CREATE INDEX authenticators_former ON authenticators (former, enrolled_seq) WHERE former IS NOT NULL;
CREATE INDEX authenticators_device ON authenticators (device, enrolled_seq) WHERE device IS NOT NULL;
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
	blocked     INTEGER,            -- since when the PIN is; NULL when it is not
	retired     INTEGER,
	retired_reason TEXT,
	successor   TEXT,
	push_service TEXT,
	push_changed INTEGER
) STRICT, WITHOUT ROWID`

	sqlEnroll = `INSERT INTO authenticators (id, user, kind, installation, device, sharing, phone, activation_phone, os, trigger, restricted,
	suite, enrolled, enrolled_seq, enrolled_event, full_until, expires)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`
	sqlMove       = `UPDATE authenticators SET former = installation, installation = ? WHERE id = ? AND revoked IS NULL`
	sqlLost       = `UPDATE authenticators SET lost = ? WHERE id = ? AND revoked IS NULL`
	sqlSuspend    = `UPDATE authenticators SET suspended = ?, suspended_reason = ? WHERE id = ? AND revoked IS NULL`
	sqlReactivate = `UPDATE authenticators SET lost = NULL, suspended = NULL, suspended_reason = NULL WHERE id = ? AND revoked IS NULL`
	sqlRevoke     = `UPDATE authenticators SET revoked = ?, revoked_event = ?, reason = ?, successor = ? WHERE id = ? AND revoked IS NULL`
	sqlUsed       = `UPDATE authenticators SET first_used = coalesce(first_used, ?1), last_used = ?1 WHERE id = ?2`

	sqlAddInstalled = `INSERT INTO installations (id, event, app, os, app_version, handset, key_id, algorithm, registered)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`
	sqlPIN       = `UPDATE installations SET pin_policy = ?, pin_changed = ? WHERE id = ?`
	sqlBlockPIN  = `UPDATE installations SET blocked = ? WHERE id = ?`
	sqlRetire    = `UPDATE installations SET retired = ?, retired_reason = ?, successor = ? WHERE id = ?`
	sqlPushToken = `UPDATE installations SET push_service = ?, push_changed = ? WHERE id = ?`
)

// devices writes authenticators and installations.
type devices struct {
	direct

	enroll, move, lost, suspend, reactivate, revoke, used *stmt
	install, pin, block, retire, push                     *stmt
}

func (m *devices) prepare(p *preparer) {
	m.enroll, m.move, m.revoke, m.used = p.stmt(sqlEnroll), p.stmt(sqlMove), p.stmt(sqlRevoke), p.stmt(sqlUsed)
	m.lost, m.suspend, m.reactivate = p.stmt(sqlLost), p.stmt(sqlSuspend), p.stmt(sqlReactivate)
	m.install, m.pin, m.push = p.stmt(sqlAddInstalled), p.stmt(sqlPIN), p.stmt(sqlPushToken)
	m.block, m.retire = p.stmt(sqlBlockPIN), p.stmt(sqlRetire)
}

func (m *devices) apply(_ context.Context, e *entry) error {
	switch v := e.Event.(type) {
	case domain.ResponseVerified:
		return run(m.used, e.occurred, v.AuthenticatorID)
	case domain.AuthenticatorEnrolled:
		return run(m.enroll, v.AuthenticatorID, e.owner, string(v.Kind), optional(v.InstallationID), optional(v.DeviceID), optional(v.SharingID),
			optional(v.PhoneID), optional(v.ActivationPhoneID), optional(v.OS), v.Trigger, v.Restricted, optional(v.OCRASuite), e.occurred,
			e.seq, e.Record.ID[:], microsAt(v.FullUntil), microsAt(v.ExpiresAt))
	case domain.UnificationCompleted:
		return run(m.move, v.NewInstallationID, v.AuthenticatorID)
	case domain.AuthenticatorReportedLost:
		return run(m.lost, e.occurred, v.AuthenticatorID)
	case domain.AuthenticatorSuspended:
		return run(m.suspend, e.occurred, v.Reason, v.AuthenticatorID)
	case domain.AuthenticatorReactivated:
		return run(m.reactivate, v.AuthenticatorID)
	case domain.AuthenticatorRevoked:
		return run(m.revoke, e.occurred, e.Record.ID[:], v.Reason, optional(v.SuccessorID), v.AuthenticatorID)
	}
	return m.installation(e)
}

func (m *devices) installation(e *entry) error {
	switch v := e.Event.(type) {
	case domain.InstallationRegistered:
		return run(m.install, v.InstallationID, e.Record.ID[:], string(v.App), string(v.OS), v.AppVersion, v.PhoneHandsetID,
			v.PublicKeyID, string(v.KeyAlgorithm), e.occurred)
	case domain.AppPINSet:
		return run(m.pin, int64(v.PINPolicyVersion), e.occurred, e.owner)
	case domain.AppPINChanged:
		return run(m.pin, int64(v.PINPolicyVersion), e.occurred, e.owner)
	case domain.AppPINBlocked:
		return run(m.block, e.occurred, e.owner)
	case domain.AppPINUnblocked:
		return run(m.block, nil, e.owner)
	case domain.InstallationRetired:
		return run(m.retire, e.occurred, v.Reason, optional(v.SuccessorID), e.owner)
	case domain.PushTokenRegistered:
		return run(m.push, v.Service, e.occurred, e.owner)
	}
	return nil
}
