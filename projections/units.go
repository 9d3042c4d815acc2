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

// Physical units: where each is, who is bound to it and what it cost. The row
// of a unit shows its last shipment; earlier ones stand on its timeline and
// with the requests they answered.
const (
	schemaUnits = `CREATE TABLE units (
	id           TEXT PRIMARY KEY,
	event        BLOB NOT NULL,
	model        TEXT NOT NULL,
	manufacturer TEXT NOT NULL,
	serial       TEXT NOT NULL,
	suite        TEXT NOT NULL,
	registered   INTEGER NOT NULL,
	request      TEXT,
	user         TEXT,             -- it was sent to
	dispatched_on TEXT,
	due_on       TEXT,
	shipped      INTEGER,
	waiting      INTEGER NOT NULL DEFAULT 0, -- on its way: 1 until activated or returned
	activated    INTEGER,
	returned_on  TEXT,
	returned     INTEGER,
	condition    TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX units_waiting ON units (due_on, id) WHERE waiting = 1;
CREATE INDEX units_user ON units (user) WHERE waiting = 1;
CREATE TABLE charges (
	seq      INTEGER PRIMARY KEY,
	unit     TEXT NOT NULL,
	kind     TEXT NOT NULL,        -- see ChargeKind
	minor    INTEGER NOT NULL,
	currency TEXT NOT NULL,
	reason   TEXT,
	fee_rule TEXT,
	recorded INTEGER NOT NULL
) STRICT;
CREATE INDEX charges_unit ON charges (unit, seq);
CREATE TABLE bindings (
	seq           INTEGER PRIMARY KEY,
	host          TEXT NOT NULL,   -- unit or installation
	user          TEXT NOT NULL,
	authenticator TEXT NOT NULL,
	bound         INTEGER NOT NULL,
	unbound       INTEGER
) STRICT;
CREATE INDEX bindings_host ON bindings (host, seq)`

	sqlAddUnit = `INSERT INTO units (id, event, model, manufacturer, serial, suite, registered) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`
	// A unit sent again to a user who still answers with it waits for nothing.
	sqlShipUnit = `UPDATE units SET request = ?1, user = ?2, dispatched_on = ?3, due_on = ?4, shipped = ?5, activated = NULL, returned_on = NULL,
	returned = NULL, condition = NULL, waiting = NOT EXISTS (SELECT 1 FROM authenticators WHERE device = ?6 AND user = ?2 AND revoked IS NULL)
WHERE id = ?6`
	sqlActivateUnit = `UPDATE units SET waiting = 0, activated = coalesce(activated, ?) WHERE id = ? AND user = ?`
	sqlReturnUnit   = `UPDATE units SET waiting = 0, returned_on = ?, returned = ?, condition = ? WHERE id = ?`
	sqlGiveUpUnits  = `UPDATE units SET waiting = 0 WHERE user = ? AND waiting = 1`
	sqlCharge       = `INSERT INTO charges (seq, unit, kind, minor, currency, reason, fee_rule, recorded) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`
	sqlBind         = `INSERT INTO bindings (seq, host, user, authenticator, bound) VALUES (?, ?, ?, ?, ?)`
	sqlUnbind       = `UPDATE bindings SET unbound = ? WHERE host = ? AND authenticator = ? AND unbound IS NULL`

	sqlUnit = `SELECT id, event, model, manufacturer, serial, suite, registered, request, user, dispatched_on, due_on, shipped, activated,
	returned_on, returned, condition FROM units WHERE id = ?`
	sqlCharges  = `SELECT seq, kind, minor, currency, reason, fee_rule, recorded FROM charges WHERE unit = ? ORDER BY seq`
	sqlBindings = `SELECT user, authenticator, bound, unbound FROM bindings WHERE host = ? ORDER BY seq`
	sqlDueUnits = `SELECT user, id FROM units INDEXED BY units_waiting WHERE waiting = 1 AND due_on <= ? ORDER BY due_on, id`
)

// units writes physical units, and bindings as the streams of units and
// installations tell them.
type units struct {
	direct

	add, ship, activate, takeBack, giveUp, charge, bind, unbind *stmt
}

func (m *units) prepare(p *preparer) {
	m.add, m.ship, m.activate = p.stmt(sqlAddUnit), p.stmt(sqlShipUnit), p.stmt(sqlActivateUnit)
	m.takeBack, m.giveUp, m.charge = p.stmt(sqlReturnUnit), p.stmt(sqlGiveUpUnits), p.stmt(sqlCharge)
	m.bind, m.unbind = p.stmt(sqlBind), p.stmt(sqlUnbind)
}

// apply takes a shipment from the unit's own stream only: the user's repeats
// it, and may do so after the unit came back.
func (m *units) apply(_ context.Context, e *entry) error {
	switch v := e.Event.(type) {
	case domain.AuthenticatorEnrolled:
		if v.DeviceID == "" {
			return nil
		}
		return run(m.activate, e.occurred, v.DeviceID, e.owner)
	case domain.UserClosed:
		return run(m.giveUp, e.owner)
	case domain.PhysicalDeviceRegistered:
		return run(m.add, v.DeviceID, e.Record.ID[:], v.Model, v.Manufacturer, v.Serial, v.OCRASuite, e.occurred)
	case domain.PhysicalDeviceShipped:
		if e.owner != v.DeviceID {
			return nil
		}
		return run(m.ship, v.RequestID, v.UserID, v.DispatchedOn, v.ActivationDueOn, e.occurred, v.DeviceID)
	case domain.DeviceReturned:
		return run(m.takeBack, v.ReceivedOn, e.occurred, v.Condition, v.DeviceID)
	case domain.DeviceDepositHeld:
		return m.money(e, v.DeviceID, ChargeDepositHeld, v.Amount, "", "")
	case domain.DeviceDepositReleased:
		return m.money(e, v.DeviceID, ChargeDepositReleased, v.Amount, "", "")
	case domain.DeviceReplacementFeeCharged:
		return m.money(e, v.DeviceID, ChargeFee, v.Amount, v.Reason, v.FeeRuleID)
	case domain.AuthenticatorBound:
		return run(m.bind, e.seq, e.owner, v.UserID, v.AuthenticatorID, e.occurred)
	case domain.AuthenticatorUnbound:
		return run(m.unbind, e.occurred, e.owner, v.AuthenticatorID)
	}
	return nil
}

func (m *units) money(e *entry, unit string, kind ChargeKind, amount domain.Money, reason, rule string) error {
	return run(m.charge, e.seq, unit, string(kind), amount.Minor, amount.Currency, optional(reason), optional(rule), e.occurred)
}

// Device is one physical unit.
type Device struct {
	ID             string
	EventID        eventstore.EventID // of its registration
	Model          string
	Manufacturer   string
	Serial         string
	OCRASuite      string
	RegisteredAt   time.Time
	RequestID      string          // the last shipment answered; empty when it was never shipped
	UserID         string          // it was sent to last
	DispatchedOn   string          // ISO 8601 date
	DueOn          string          // ISO 8601 date: activated by itself from 00:00 UTC on
	ShippedAt      *time.Time      // when that was recorded
	ActivatedAt    *time.Time      // by the user it was sent to; nil while it waits
	ReturnedOn     string          // ISO 8601 date; empty while it is out
	ReturnedAt     *time.Time      // when that was recorded
	Condition      string          // on return: ok, battery or damaged
	Authenticators []Authenticator // of all users, oldest first, revoked ones included
	Bindings       []Binding       // as the unit's own stream tells them, oldest first
	Charges        []Charge        // in the order they were recorded
}

// Binding is a user's authenticator that lives, or lived, in an installation or
// on a unit. It follows the user's stream by a reaction.
type Binding struct {
	UserID          string
	AuthenticatorID string
	BoundAt         time.Time
	UnboundAt       *time.Time // nil while it lives there
}

// ChargeKind says what money was for.
type ChargeKind string

// Kinds of charges.
const (
	ChargeDepositHeld     ChargeKind = "deposit_held"
	ChargeDepositReleased ChargeKind = "deposit_released"
	ChargeFee             ChargeKind = "replacement_fee"
)

// Charge is money that another system reported to hold, release or charge for
// a unit.
type Charge struct {
	Sequence   eventstore.Sequence
	Kind       ChargeKind
	Amount     domain.Money
	Reason     string // of a fee: lost, stolen, damaged or not_returned
	FeeRuleID  string // of a fee
	RecordedAt time.Time
}

// DueDevice is a unit whose time to be activated by hand has passed.
type DueDevice struct{ UserID, DeviceID string }

// Device returns one physical unit, or ErrNotFound.
func (v *Views) Device(ctx context.Context, id string) (Device, error) {
	var d Device
	err := v.snapshot(ctx, func(q queryer) (err error) {
		if d, err = scanUnit(q.QueryRowContext(ctx, sqlUnit, id)); err != nil {
			return err
		}
		if d.Authenticators, err = authenticators(ctx, q, sqlAuthsOfDevice, id); err != nil {
			return err
		}
		if d.Bindings, err = bindings(ctx, q, id); err != nil {
			return err
		}
		rows, err := q.QueryContext(ctx, sqlCharges, id)
		if err != nil {
			return err
		}
		d.Charges, err = collect(rows, scanCharge)
		return err
	})
	if err != nil {
		return Device{}, fmt.Errorf("read device %s: %w", id, err)
	}
	return d, nil
}

// DueDevices lists the units that were sent to a user, neither activated nor
// returned, and whose day of activation has begun (00:00 UTC) at a moment;
// longest due first. What is sent to a user who was closed is not due.
func (v *Views) DueDevices(ctx context.Context, at time.Time) ([]DueDevice, error) {
	rows, err := v.read.QueryContext(ctx, sqlDueUnits, at.UTC().Format(time.DateOnly))
	if err != nil {
		return nil, fmt.Errorf("list due devices: %w", err)
	}
	due, err := collect(rows, func(r *sql.Rows) (d DueDevice, err error) { return d, r.Scan(&d.UserID, &d.DeviceID) })
	if err != nil {
		return nil, fmt.Errorf("list due devices: %w", err)
	}
	return due, nil
}

func scanUnit(row *sql.Row) (d Device, err error) {
	var event []byte
	var registered int64
	var request, user, dispatched, due, returnedOn, condition *string
	var shipped, activated, returned *int64
	err = row.Scan(&d.ID, &event, &d.Model, &d.Manufacturer, &d.Serial, &d.OCRASuite, &registered, &request, &user, &dispatched, &due,
		&shipped, &activated, &returnedOn, &returned, &condition)
	if errors.Is(err, sql.ErrNoRows) {
		return d, ErrNotFound
	}
	copy(d.EventID[:], event)
	d.RegisteredAt, d.RequestID, d.UserID = instant(registered), text(request), text(user)
	d.DispatchedOn, d.DueOn, d.ShippedAt, d.ActivatedAt = text(dispatched), text(due), moment(shipped), moment(activated)
	d.ReturnedOn, d.ReturnedAt, d.Condition = text(returnedOn), moment(returned), text(condition)
	return d, err
}

func scanCharge(r *sql.Rows) (c Charge, err error) {
	var seq, recorded int64
	var reason, rule *string
	err = r.Scan(&seq, &c.Kind, &c.Amount.Minor, &c.Amount.Currency, &reason, &rule, &recorded)
	c.Sequence, c.Reason, c.FeeRuleID, c.RecordedAt = eventstore.Sequence(seq), text(reason), text(rule), instant(recorded)
	return c, err
}

func bindings(ctx context.Context, q queryer, host string) ([]Binding, error) {
	rows, err := q.QueryContext(ctx, sqlBindings, host)
	if err != nil {
		return nil, err
	}
	return collect(rows, func(r *sql.Rows) (b Binding, err error) {
		var bound int64
		var unbound *int64
		err = r.Scan(&b.UserID, &b.AuthenticatorID, &bound, &unbound)
		b.BoundAt, b.UnboundAt = instant(bound), moment(unbound)
		return b, err
	})
}
