package domain

import (
	"slices"
	"time"
)

// Unification (domain.md 6.6, R-55, D-62): the standalone apps become one. IB
// Key moves into IBKR Mobile on the same phone, by itself, after an update or
// later; the enrolment stays what it is, and no code is sent.

// DetectUnification says what the app found on the phone.
type DetectUnification struct {
	UserID                   string
	InstallationID           string // IBKR Mobile
	Case                     string // trading_only, auth_only, both, debit_card
	StandaloneInstallationID string // empty in the case trading_only
	StandaloneOutdated       bool   // it must be updated before it can hand over
	ManualLater              bool   // the user put it off before it was offered
}

// DeferUnification puts it off.
type DeferUnification struct{ UnificationID string }

// CompleteUnification moves IB Key. The standalone app's key signs that it
// hands over (Facts.Handover).
type CompleteUnification struct {
	UnificationID string
	Handover      Secret // base64url signature; see the journal
}

// UnificationOffered records the offer.
type UnificationOffered struct {
	UnificationID            string `json:"unification_id"`
	Case                     string `json:"case"`
	Action                   string `json:"action"` // auto, update_then_auto, manual_later
	InstallationID           string `json:"installation_id"`
	StandaloneInstallationID string `json:"standalone_installation_id"`
	AuthenticatorID          string `json:"authenticator_id"`
}

// UnificationDeferred records that it was put off.
type UnificationDeferred struct {
	UnificationID string `json:"unification_id"`
}

// UnificationCompleted records the move: the authenticator stays and changes
// its host.
type UnificationCompleted struct {
	UnificationID            string `json:"unification_id"`
	AuthenticatorID          string `json:"authenticator_id"`
	NewInstallationID        string `json:"new_installation_id"`
	StandaloneInstallationID string `json:"standalone_installation_id"`
}

// UnificationRefused records why there is nothing to do, or not in this way.
type UnificationRefused struct {
	UnificationID  string `json:"unification_id,omitempty"`
	Case           string `json:"case,omitempty"`
	InstallationID string `json:"installation_id,omitempty"`
	Reason         Code   `json:"reason"`
}

// Unification is one of them.
type Unification struct {
	ID              string
	Case            string
	Action          string
	InstallationID  string
	StandaloneID    string
	AuthenticatorID string
	Deferred        bool
	Done            bool
}

const (
	caseTradingOnly = "trading_only"
	caseBoth        = "both"
	caseDebitCard   = "debit_card"
)

var unificationCases = []string{caseTradingOnly, "auth_only", caseBoth, caseDebitCard}

func (d *decision) detectUnification(c DetectUnification) ([]Event, error) {
	if !slices.Contains(unificationCases, c.Case) {
		return nil, invalid("case", "want trading_only, auth_only, both or debit_card")
	}
	if d.f.Installation == nil {
		return nil, noInstallation()
	}
	if d.f.Installation.App != AppIBKRMobile {
		return nil, invalid("installationId", "name the installation of IBKR Mobile; the apps unify into it")
	}
	a := d.u.ibKey()
	refused := UnificationRefused{Case: c.Case, InstallationID: c.InstallationID}
	switch {
	case c.Case == caseTradingOnly || a == nil:
		refused.Reason = ReasonNothingToUnify
	case d.f.From == nil || a.InstallationID != c.StandaloneInstallationID || d.f.From.App != AppIBKeyStandalone:
		refused.Reason = ReasonNothingToUnify
	case d.f.From.HandsetID != d.f.Installation.HandsetID:
		refused.Reason = ReasonUnifyOtherHandset
	case d.f.Installation.Blocked:
		refused.Reason = ReasonInstallBlocked
	case d.f.Installation.Retired:
		refused.Reason = ReasonRetired
	}
	if refused.Reason != "" {
		return []Event{refused}, nil
	}
	action := "auto"
	switch {
	case c.ManualLater:
		action = "manual_later"
	case c.StandaloneOutdated:
		action = "update_then_auto"
	}
	if old := d.u.pendingUnification(c.InstallationID); old != nil {
		if old.Case == c.Case && old.Action == action && !old.Deferred {
			return nil, nil // offered already
		}
	}
	return []Event{UnificationOffered{
		UnificationID: d.newID(PrefixUnification), Case: c.Case, Action: action, InstallationID: c.InstallationID,
		StandaloneInstallationID: c.StandaloneInstallationID, AuthenticatorID: a.ID,
	}}, nil
}

// pendingUnification is the newest one on an installation that is not done.
func (u *User) pendingUnification(installationID string) *Unification {
	for i := len(u.unifications.order) - 1; i >= 0; i-- {
		if n := u.unifications.items[u.unifications.order[i]]; n.InstallationID == installationID {
			if n.Done {
				return nil
			}
			return n
		}
	}
	return nil
}

// mustUnifyFirst reports a login in the new app that has to wait for the IB
// Key step: its trading part was there before, or a debit card. There is
// no such step any more once IB Key has left the standalone app in another way.
func (u *User) mustUnifyFirst(c StartAuthentication) bool {
	if c.Purpose != PurposeLogin || c.Platform != IBKRMobileIOS && c.Platform != IBKRMobileAndroid {
		return false
	}
	n := u.pendingUnification(c.InitiatingDeviceRef)
	if n == nil || n.Case != caseBoth && n.Case != caseDebitCard {
		return false
	}
	a := u.bound(n.AuthenticatorID)
	return a != nil && a.InstallationID == n.StandaloneID
}

func (d *decision) deferUnification(c DeferUnification) ([]Event, error) {
	n := d.u.unifications.get(c.UnificationID)
	if n == nil {
		return nil, unknown("unification")
	}
	if n.Done || n.Deferred {
		return nil, nil
	}
	return []Event{UnificationDeferred{UnificationID: n.ID}}, nil
}

func (d *decision) completeUnification(c CompleteUnification) ([]Event, error) {
	n := d.u.unifications.get(c.UnificationID)
	if n == nil {
		return nil, unknown("unification")
	}
	if n.Done {
		return nil, nil
	}
	a := d.u.bound(n.AuthenticatorID)
	refused := UnificationRefused{UnificationID: n.ID, InstallationID: n.InstallationID}
	switch {
	case d.now.Before(d.u.lockedUntil):
		refused.Reason = ReasonUserLocked
	case a == nil || a.InstallationID != n.StandaloneID || !a.Active(d.now):
		refused.Reason = ReasonNotActive
	case d.f.Installation == nil || d.f.Installation.Retired:
		refused.Reason = ReasonRetired
	case d.f.Installation.Blocked:
		refused.Reason = ReasonInstallBlocked
	case !d.f.Handover:
		refused.Reason = ReasonSignatureInvalid
	}
	if refused.Reason != "" {
		return []Event{refused}, nil
	}
	return []Event{UnificationCompleted{
		UnificationID: n.ID, AuthenticatorID: a.ID, NewInstallationID: n.InstallationID, StandaloneInstallationID: n.StandaloneID,
	}}, nil
}

func (u *User) applyUnification(e Event, _ time.Time) {
	switch e := e.(type) {
	case UnificationOffered:
		u.took(e.UnificationID)
		u.unifications.add(e.UnificationID, &Unification{
			ID: e.UnificationID, Case: e.Case, Action: e.Action, InstallationID: e.InstallationID,
			StandaloneID: e.StandaloneInstallationID, AuthenticatorID: e.AuthenticatorID,
		})
	case UnificationDeferred:
		if n := u.unifications.get(e.UnificationID); n != nil {
			n.Deferred = true
		}
	case UnificationCompleted:
		if n := u.unifications.get(e.UnificationID); n != nil {
			n.Done = true
		}
		if a := u.bound(e.AuthenticatorID); a != nil {
			a.InstallationID = e.NewInstallationID
		}
	}
}
