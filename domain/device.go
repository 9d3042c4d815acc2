package domain

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A physical unit (domain.md 6.4): where it is, who is bound to it, what it
// cost. Its seed lives in the keyring and is never in an event.

// RegisterDevice records a unit that came from the manufacturer with its seed.
type RegisterDevice struct {
	DeviceID     string // derived from manufacturer and serial number
	Model        string
	Manufacturer string
	Serial       string
	Suite        string // OCRA suite
	Counter      uint64 // next counter the unit will use
}

// RecordDeviceShipped says that a unit was sent out for a request.
type RecordDeviceShipped struct {
	DeviceID     string
	RequestID    string
	DispatchedOn string // ISO 8601 date
}

// RecordDeviceReturned says that a unit came back.
type RecordDeviceReturned struct {
	DeviceID   string
	ReceivedOn string // ISO 8601 date
	Condition  string // ok, battery, damaged
}

// RecordDeposit says that the money system holds, or released, a deposit.
type RecordDeposit struct {
	DeviceID string
	Amount   Money
	Released bool
}

// RecordReplacementFee says that the money system charged for a unit.
type RecordReplacementFee struct {
	DeviceID  string
	Amount    Money
	Reason    string // lost, stolen, damaged, not_returned
	FeeRuleID string
}

// NoteSharingRequested records in the unit's stream that another user asked
// to use it.
type NoteSharingRequested struct {
	DeviceID         string
	SharingID        string
	OwnerUserID      string
	RequestingUserID string
}

// BindToDevice records that an authenticator answers with this unit.
type BindToDevice struct{ DeviceID, UserID, AuthenticatorID string }

// UnbindFromDevice records that it no longer does.
type UnbindFromDevice struct{ DeviceID, UserID, AuthenticatorID string }

// PhysicalDeviceRegistered is the first event of a unit's stream.
type PhysicalDeviceRegistered struct {
	DeviceID     string `json:"device_id"`
	Model        string `json:"model"`
	Manufacturer string `json:"manufacturer"`
	Serial       string `json:"serial"`
	OCRASuite    string `json:"ocra_suite"`
	NextCounter  uint64 `json:"next_counter"`
}

// DeviceReturned records that a unit came back.
type DeviceReturned struct {
	DeviceID   string `json:"device_id"`
	ReceivedOn string `json:"received_on"`
	Condition  string `json:"condition"`
}

// DeviceDepositHeld records a deposit.
type DeviceDepositHeld struct {
	DeviceID string `json:"device_id"`
	Amount   Money  `json:"amount"`
}

// DeviceDepositReleased records its end.
type DeviceDepositReleased struct {
	DeviceID string `json:"device_id"`
	Amount   Money  `json:"amount"`
}

// DeviceReplacementFeeCharged records a fee.
type DeviceReplacementFeeCharged struct {
	DeviceID  string `json:"device_id"`
	Amount    Money  `json:"amount"`
	Reason    string `json:"reason"`
	FeeRuleID string `json:"fee_rule_id"`
}

// AuthenticatorBound stands in the stream of a unit or an installation: a
// user's authenticator lives there. One app serves several users.
type AuthenticatorBound struct {
	UserID          string `json:"user_id"`
	AuthenticatorID string `json:"authenticator_id"`
}

// AuthenticatorUnbound ends it.
type AuthenticatorUnbound struct {
	UserID          string `json:"user_id"`
	AuthenticatorID string `json:"authenticator_id"`
}

// Binding is one authenticator that lives on a unit or installation.
type Binding struct{ UserID, AuthenticatorID string }

// Device is what one unit's stream adds up to.
type Device struct {
	ID          string
	Model       string
	Suite       string
	NextCounter uint64 // at registration; users' states know later ones
	RequestID   string // of the last shipment
	UserID      string // it was sent to
	DueOn       string
	Returned    bool
	Bindings    []Binding
	first       PhysicalDeviceRegistered
	registered  bool
}

// Registered reports whether the stream holds a unit.
func (v *Device) Registered() bool { return v.registered }

// Apply records an event.
func (v *Device) Apply(e Event, _ time.Time) {
	switch e := e.(type) {
	case PhysicalDeviceRegistered:
		v.registered, v.first = true, e
		v.Model, v.Suite, v.NextCounter = e.Model, e.OCRASuite, e.NextCounter
	case PhysicalDeviceShipped:
		v.RequestID, v.UserID, v.DueOn, v.Returned = e.RequestID, e.UserID, e.ActivationDueOn, false
	case DeviceReturned:
		v.Returned = true
	case AuthenticatorBound:
		v.Bindings = bound(v.Bindings, e)
	case AuthenticatorUnbound:
		v.Bindings = unbound(v.Bindings, e)
	}
}

func bound(list []Binding, e AuthenticatorBound) []Binding {
	return append(list[:len(list):len(list)], Binding(e))
}

func unbound(list []Binding, e AuthenticatorUnbound) []Binding {
	kept := list[:0:0]
	for _, b := range list {
		if b.AuthenticatorID != e.AuthenticatorID {
			kept = append(kept, b)
		}
	}
	return kept
}

func holds(list []Binding, authenticatorID string) bool {
	return slices.ContainsFunc(list, func(b Binding) bool { return b.AuthenticatorID == authenticatorID })
}

// bindings answers the two commands that installations and units share.
func bindings(list []Binding, add bool, userID, authenticatorID string) ([]Event, error) {
	switch {
	case add == holds(list, authenticatorID):
		return nil, nil
	case add:
		return []Event{AuthenticatorBound{UserID: userID, AuthenticatorID: authenticatorID}}, nil
	}
	return []Event{AuthenticatorUnbound{UserID: userID, AuthenticatorID: authenticatorID}}, nil
}

func decideDevice(v *Device, c Command, f Facts, now time.Time, p *Policy) ([]Event, error) {
	if c, ok := c.(RegisterDevice); ok {
		return v.register(c)
	}
	if !v.registered {
		return nil, unknown("physical device; import the manufacturer's file first")
	}
	switch c := c.(type) {
	case RecordDeviceShipped:
		return v.ship(c, f, now, p)
	case RecordDeviceReturned:
		return v.takeBack(c)
	case RecordDeposit:
		if err := checkMoney(c.Amount); err != nil {
			return nil, err
		}
		if c.Released {
			return []Event{DeviceDepositReleased{DeviceID: v.ID, Amount: c.Amount}}, nil
		}
		return []Event{DeviceDepositHeld{DeviceID: v.ID, Amount: c.Amount}}, nil
	case RecordReplacementFee:
		if err := checkMoney(c.Amount); err != nil {
			return nil, err
		}
		if !slices.Contains([]string{"lost", "stolen", "damaged", "not_returned"}, c.Reason) {
			return nil, invalid("reason", "want lost, stolen, damaged or not_returned; a battery failure costs nothing")
		}
		return []Event{DeviceReplacementFeeCharged{DeviceID: v.ID, Amount: c.Amount, Reason: c.Reason, FeeRuleID: c.FeeRuleID}}, nil
	case NoteSharingRequested:
		return []Event{DeviceSharingRequested{
			SharingID: c.SharingID, DeviceID: v.ID, OwnerUserID: c.OwnerUserID, RequestingUserID: c.RequestingUserID,
		}}, nil
	case BindToDevice:
		return bindings(v.Bindings, true, c.UserID, c.AuthenticatorID)
	case UnbindFromDevice:
		return bindings(v.Bindings, false, c.UserID, c.AuthenticatorID)
	}
	return nil, fmt.Errorf("command %s does not belong to a physical device", c.Name())
}

func checkMoney(m Money) error {
	letters := strings.Trim(m.Currency, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
	if m.Minor < 0 || len(m.Currency) != 3 || !letters {
		return invalid("amount", "give whole minor units, not negative, and an ISO 4217 currency such as USD")
	}
	return nil
}

func (v *Device) register(c RegisterDevice) ([]Event, error) {
	e := PhysicalDeviceRegistered{
		DeviceID: c.DeviceID, Model: c.Model, Manufacturer: c.Manufacturer, Serial: c.Serial, OCRASuite: c.Suite, NextCounter: c.Counter,
	}
	switch {
	case !v.registered:
		return []Event{e}, nil
	case v.first == e:
		return nil, nil
	}
	return nil, &Error{Code: Exists, Detail: "this serial number is registered with other content"}
}

func (v *Device) ship(c RecordDeviceShipped, f Facts, now time.Time, p *Policy) ([]Event, error) {
	if err := checkDate("dispatchedOn", c.DispatchedOn); err != nil {
		return nil, err
	}
	switch {
	case f.Request == nil:
		return nil, &Error{Code: Unknown, Field: "requestId", Detail: "there is no such request of a physical device"}
	case v.RequestID == c.RequestID:
		return nil, nil
	case f.Request.Shipped:
		return nil, &Error{Code: Exists, Field: "requestId", Detail: "a device was shipped for this request already"}
	case v.UserID != "" && !v.Returned:
		return nil, &Error{Code: Exists, Detail: "this device is with a user; record its return first"}
	case f.Request.Model != v.Model:
		return nil, invalid("requestId", "the request is for another model")
	}
	dispatched, _ := time.Parse(time.DateOnly, c.DispatchedOn)
	due := dispatched.AddDate(0, 0, int(p.Int(pDeviceWindow, now)))
	return []Event{PhysicalDeviceShipped{
		DeviceID: v.ID, RequestID: c.RequestID, UserID: UserOf(c.RequestID), DispatchedOn: c.DispatchedOn,
		ActivationDueOn: due.Format(time.DateOnly),
	}}, nil
}

func (v *Device) takeBack(c RecordDeviceReturned) ([]Event, error) {
	if err := checkDate("receivedOn", c.ReceivedOn); err != nil {
		return nil, err
	}
	if !slices.Contains([]string{"ok", "battery", "damaged"}, c.Condition) {
		return nil, invalid("condition", "want ok, battery or damaged")
	}
	if v.Returned || v.UserID == "" {
		return nil, nil
	}
	return []Event{DeviceReturned{DeviceID: v.ID, ReceivedOn: c.ReceivedOn, Condition: c.Condition}}, nil
}
