package domain

import "time"

// Digital Security Card+ in the user's stream (domain.md 6.4): requested,
// shipped, activated, its PIN changed. The unit itself has a stream of its own
// (device.go).

// RequestPhysicalDevice orders a card. The PIN never gets here; the caller
// checks its form (D-24) and says so in Facts.PINConforms. Equity comes from
// the broker's money system and is compared, not stored.
type RequestPhysicalDevice struct {
	UserID         string
	Model          string // dsc_plus
	PIN            Secret
	EquityUSDMinor int64 // US cents
	ShipTo         Personal
}

// NoteDeviceShipped records in the user's stream what the unit's stream says:
// the card is on its way.
type NoteDeviceShipped struct {
	UserID       string
	DeviceID     string
	RequestID    string
	DispatchedOn string
	DueOn        string
}

// AutoActivateDevice is the process that activates a card whose activation
// window has passed (D-29). It changes nothing before that, or after the user
// did it.
type AutoActivateDevice struct{ UserID, DeviceID string }

// ChangeDevicePIN asks the card for a response made with the new PIN (K-18), in
// a transaction begun for it. The journal keeps the new PIN aside until the
// response proves it.
type ChangeDevicePIN struct {
	AuthenticatorID string
	TxnID           string
	PIN             Secret
}

// Money is an amount in minor units of an ISO 4217 currency.
type Money struct {
	Minor    int64  `json:"minor"`
	Currency string `json:"cur"`
}

// EquityCheck says which threshold an order was measured by, and the result.
type EquityCheck struct {
	Passed    bool   `json:"passed"`
	Threshold Money  `json:"threshold"`
	RuleID    string `json:"rule_id"` // the policy parameter
}

// PhysicalDeviceRequested records an order.
type PhysicalDeviceRequested struct {
	RequestID   string      `json:"request_id"`
	Model       string      `json:"model"`
	PINChosen   bool        `json:"pin_chosen"`
	EquityCheck EquityCheck `json:"equity_check"`
	ShipTo      Personal    `json:"ship_to,omitzero"`
}

// PhysicalDeviceRequestRefused records an order that was not taken.
type PhysicalDeviceRequestRefused struct {
	Model       string      `json:"model"`
	Reason      Code        `json:"reason"`
	EquityCheck EquityCheck `json:"equity_check,omitzero"`
}

// PhysicalDeviceShipped stands in the unit's and in the user's stream.
type PhysicalDeviceShipped struct {
	DeviceID        string `json:"device_id"`
	RequestID       string `json:"request_id"`
	UserID          string `json:"user_id"`
	DispatchedOn    string `json:"dispatched_on"`     // ISO 8601 date
	ActivationDueOn string `json:"activation_due_on"` // ISO 8601 date, from 00:00 UTC
}

// DevicePINChanged records that a response proved the new PIN.
type DevicePINChanged struct {
	AuthenticatorID string `json:"authenticator_id"`
	DeviceID        string `json:"device_id"`
	ChallengeID     string `json:"challenge_id"`
}

// DevicePINChangeRefused records why the PIN stayed.
type DevicePINChangeRefused struct {
	AuthenticatorID string `json:"authenticator_id"`
	Reason          Code   `json:"reason"`
}

// DeviceRequest is one order.
type DeviceRequest struct {
	ID      string
	Model   string
	Shipped bool
}

// ShippedDevice is a unit that was sent to the user.
type ShippedDevice struct {
	DeviceID  string
	RequestID string
	DueOn     string // ISO 8601 date
}

// ModelDSCPlus is the only model that is issued.
const ModelDSCPlus = "dsc_plus"

func (u *User) onDevice(deviceID string) *Authenticator {
	for _, a := range u.authenticators {
		if a.DeviceID == deviceID {
			return a
		}
	}
	return nil
}

func (d *decision) requestDevice(c RequestPhysicalDevice) ([]Event, error) {
	if c.Model != ModelDSCPlus {
		return nil, invalid("model", "want dsc_plus")
	}
	threshold := d.p.Int(pEquityThreshold, d.now)
	check := EquityCheck{Passed: c.EquityUSDMinor >= threshold, Threshold: Money{Minor: threshold, Currency: "USD"}, RuleID: pEquityThreshold}
	refused := PhysicalDeviceRequestRefused{Model: c.Model}
	switch {
	case d.now.Before(d.u.lockedUntil):
		refused.Reason = ReasonUserLocked
	case !d.u.active(d.now, func(*Authenticator) bool { return true }):
		refused.Reason = ReasonNotEnrolled
	case !d.f.PINConforms:
		refused.Reason = ReasonPINPolicy
	case !check.Passed:
		refused.Reason, refused.EquityCheck = ReasonEquity, check
	}
	if refused.Reason != "" {
		return []Event{refused}, nil
	}
	return []Event{PhysicalDeviceRequested{
		RequestID: d.newID(PrefixRequest), Model: c.Model, PINChosen: true, EquityCheck: check, ShipTo: c.ShipTo,
	}}, nil
}

func (d *decision) noteShipped(c NoteDeviceShipped) ([]Event, error) {
	sent, r := d.u.devices.get(c.DeviceID), d.u.requests.get(c.RequestID)
	if sent != nil && sent.RequestID == c.RequestID || r != nil && r.Shipped {
		return nil, nil
	}
	return []Event{PhysicalDeviceShipped{
		DeviceID: c.DeviceID, RequestID: c.RequestID, UserID: d.u.ID, DispatchedOn: c.DispatchedOn, ActivationDueOn: c.DueOn,
	}}, nil
}

// notActivatable is why a unit cannot be bound to this user; "" when it was
// sent here, has not come back or gone to somebody else, and is not bound yet.
func (d *decision) notActivatable(deviceID string) Code {
	sent, unit := d.u.devices.get(deviceID), d.f.Device
	switch {
	case d.u.onDevice(deviceID) != nil:
		return ReasonAlreadyEnrolled
	case sent == nil:
		return ReasonDeviceNotShipped
	case unit == nil || unit.Returned || unit.RequestID != sent.RequestID:
		return ReasonDeviceNotActive
	}
	return ""
}

func (d *decision) autoActivate(c AutoActivateDevice) ([]Event, error) {
	if d.notActivatable(c.DeviceID) != "" || d.now.Before(d.p.Start(d.u.devices.get(c.DeviceID).DueOn, "")) {
		return nil, nil
	}
	d.bind(AuthenticatorEnrolled{
		AuthenticatorID: d.newID(PrefixAuthenticator), Kind: KindDSCPlus, DeviceID: c.DeviceID, Trigger: triggerAuto14,
		OCRASuite: d.f.Device.Suite, UVMethods: []UV{UVDSCPIN}, NextCounter: d.f.Device.NextCounter,
	})
	return d.events, nil
}

func (d *decision) changeDevicePIN(c ChangeDevicePIN) ([]Event, error) {
	a, err := d.boundOr(c.AuthenticatorID)
	if err != nil {
		return nil, err
	}
	t, reason := d.process(c.TxnID)
	switch {
	case reason != "":
	case t.Purpose != PurposePINChange:
		reason = ReasonPrimaryRequired
	case a == nil || a.Kind != KindDSCPlus || !a.Active(d.now):
		reason = ReasonNotActive
	case !d.f.PINConforms:
		reason = ReasonPINPolicy
	}
	if reason != "" {
		return []Event{DevicePINChangeRefused{AuthenticatorID: c.AuthenticatorID, Reason: reason}}, nil
	}
	d.challengeFor(t, a, a.ID)
	return d.events, nil
}

func (u *User) applyPhysical(e Event, _ time.Time) {
	switch e := e.(type) {
	case PhysicalDeviceRequested:
		u.took(e.RequestID)
		u.requests.add(e.RequestID, &DeviceRequest{ID: e.RequestID, Model: e.Model})
	case PhysicalDeviceShipped:
		u.devices.add(e.DeviceID, &ShippedDevice{DeviceID: e.DeviceID, RequestID: e.RequestID, DueOn: e.ActivationDueOn})
		if r := u.requests.get(e.RequestID); r != nil {
			r.Shipped = true
		}
	case AuthenticatorEnrolled:
		u.devices.remove(e.DeviceID)
	}
}
