package domain

import (
	"fmt"
	"time"
)

// Installations of the app (domain.md 6.3) on iOS and Android, and their
// push tokens, which an app that is online renews. An installation is one
// app on one phone and may serve several users.

// RegisterInstallation creates an installation's stream.
type RegisterInstallation struct {
	InstallationID string
	App            App
	OS             OS
	AppVersion     string
	HandsetID      string // opaque id of the phone the app reports
	DeviceName     Personal
	KeyAlgorithm   KeyAlgorithm
	PublicKey      string // base64url of the DER SubjectPublicKeyInfo
	PublicKeyID    string // base64url of its SHA-256
}

// AttestPIN says that the app applied this version of the PIN policy and that
// both entries matched, or which of the two they did not do. The PIN never
// leaves the phone.
type AttestPIN struct {
	InstallationID   string
	PINPolicyVersion int
	Violation        Code // empty, PIN_POLICY or PIN_MISMATCH
}

// ReportPINBlocked says that too many wrong PINs in a row were typed (D-25).
type ReportPINBlocked struct {
	InstallationID string
	WrongEntries   int
}

// UnblockInstallation is the reaction to a completed recovery.
type UnblockInstallation struct{ InstallationID, RecoveryID string }

// RetireInstallation says that an app was replaced by another on the same
// phone. It changes nothing while somebody's authenticator lives there, or when
// the app is its own successor.
type RetireInstallation struct {
	InstallationID string
	Reason         string // unified, recovered
	SuccessorID    string
}

// BindToInstallation records that a user's IB Key lives here.
type BindToInstallation struct{ InstallationID, UserID, AuthenticatorID string }

// UnbindFromInstallation records that it no longer does.
type UnbindFromInstallation struct{ InstallationID, UserID, AuthenticatorID string }

// RegisterPushToken records that the app can be reached again. The token is
// kept in the keyring; the event holds a MAC.
type RegisterPushToken struct {
	InstallationID string
	Service        string // apns, fcm, other
	TokenMAC       string // base64url
}

// KeyAlgorithm of an installation's signing key; fixed at registration.
type KeyAlgorithm string

const (
	ES256   KeyAlgorithm = "ES256"   // ECDSA P-256 with SHA-256
	Ed25519 KeyAlgorithm = "Ed25519" // RFC 8032
)

// InstallationRegistered is the first event of an installation's stream.
type InstallationRegistered struct {
	InstallationID string       `json:"installation_id"`
	App            App          `json:"app"`
	OS             OS           `json:"os"`
	AppVersion     string       `json:"app_version"`
	PhoneHandsetID string       `json:"phone_handset_id"`
	DeviceName     Personal     `json:"device_name,omitzero"`
	PublicKeyID    string       `json:"public_key_id"`
	KeyAlgorithm   KeyAlgorithm `json:"key_algorithm"`
	PublicKey      string       `json:"public_key"`
}

// AppPINSet records the first attested PIN of an Android installation.
type AppPINSet struct {
	PINPolicyVersion int `json:"pin_policy_version"`
}

// AppPINChanged records a later one.
type AppPINChanged struct {
	PINPolicyVersion int `json:"pin_policy_version"`
}

// AppPINRefused records a PIN that was not set: it broke the policy, or the
// second entry differed from the first.
type AppPINRefused struct {
	PINPolicyVersion int  `json:"pin_policy_version"`
	Reason           Code `json:"reason"`
}

// AppPINBlocked records that the PIN cannot be tried any more.
type AppPINBlocked struct {
	WrongEntries int `json:"wrong_entries"`
}

// AppPINUnblocked records the end of it, by a recovery.
type AppPINUnblocked struct {
	RecoveryID string `json:"recovery_id"`
}

// InstallationRetired records that another app took this one's place.
type InstallationRetired struct {
	Reason      string `json:"reason"`
	SuccessorID string `json:"successor_id,omitempty"`
}

// PushTokenRegistered records that the installation can be pushed to.
type PushTokenRegistered struct {
	InstallationID string `json:"installation_id"`
	Service        string `json:"service"`
	TokenMAC       string `json:"token_mac"`
}

// Installation is what one installation's stream adds up to.
type Installation struct {
	ID               string
	App              App
	OS               OS
	HandsetID        string
	KeyAlgorithm     KeyAlgorithm
	PublicKey        string
	PINPolicyVersion int  // 0: none attested
	PINViolation     Code // of the last PIN that was not set
	Blocked          bool
	Retired          bool
	Reachable        bool
	Bindings         []Binding // authenticators that live here, in order
	first            InstallationRegistered
	registered       bool
}

// Registered reports whether the stream holds an installation.
func (i *Installation) Registered() bool { return i.registered }

// Apply records an event.
func (i *Installation) Apply(e Event, _ time.Time) {
	switch e := e.(type) {
	case InstallationRegistered:
		i.registered, i.first = true, e
		i.App, i.OS, i.HandsetID, i.KeyAlgorithm, i.PublicKey = e.App, e.OS, e.PhoneHandsetID, e.KeyAlgorithm, e.PublicKey
	case AppPINSet:
		i.PINPolicyVersion, i.PINViolation = e.PINPolicyVersion, ""
	case AppPINChanged:
		i.PINPolicyVersion, i.PINViolation = e.PINPolicyVersion, ""
	case AppPINRefused:
		i.PINViolation = e.Reason
	case AppPINBlocked:
		i.Blocked = true
	case AppPINUnblocked:
		i.Blocked = false
	case InstallationRetired:
		i.Retired = true
	case AuthenticatorBound:
		i.Bindings = bound(i.Bindings, e)
	case AuthenticatorUnbound:
		i.Bindings = unbound(i.Bindings, e)
	case PushTokenRegistered:
		i.Reachable = true
	}
}

func decideInstallation(i *Installation, c Command, now time.Time, p *Policy) ([]Event, error) {
	if c, ok := c.(RegisterInstallation); ok {
		return i.register(c)
	}
	if !i.registered {
		return nil, unknown("installation")
	}
	switch c := c.(type) {
	case AttestPIN:
		if i.OS != Android {
			return nil, invalid("pinPolicyVersion", "only Android installations have an app PIN")
		}
		if c.PINPolicyVersion < 1 {
			return nil, invalid("pinPolicyVersion", "give the version of the PIN policy the app applied, from 1")
		}
		if c.Violation != "" {
			if c.Violation != ReasonPINPolicy && c.Violation != ReasonPINMismatch {
				return nil, invalid("violation", "want PIN_POLICY or PIN_MISMATCH, or none")
			}
			return []Event{AppPINRefused{PINPolicyVersion: c.PINPolicyVersion, Reason: c.Violation}}, nil
		}
		if i.PINPolicyVersion == 0 {
			return []Event{AppPINSet{PINPolicyVersion: c.PINPolicyVersion}}, nil
		}
		return []Event{AppPINChanged{PINPolicyVersion: c.PINPolicyVersion}}, nil
	case RegisterPushToken:
		return []Event{PushTokenRegistered{InstallationID: i.ID, Service: c.Service, TokenMAC: c.TokenMAC}}, nil
	}
	return i.decideHost(c, now, p)
}

// decideHost answers what happens to an installation as the host of
// authenticators.
func (i *Installation) decideHost(c Command, now time.Time, p *Policy) ([]Event, error) {
	switch c := c.(type) {
	case ReportPINBlocked:
		switch {
		case i.OS != Android:
			return nil, invalid("wrongEntries", "only Android installations have an app PIN")
		case int64(c.WrongEntries) < p.Int(pPINMaxWrong, now):
			return nil, invalid("wrongEntries", "the PIN is blocked after ten wrong entries in a row, not before")
		case i.Blocked:
			return nil, nil
		}
		return []Event{AppPINBlocked{WrongEntries: c.WrongEntries}}, nil
	case UnblockInstallation:
		if !i.Blocked {
			return nil, nil
		}
		return []Event{AppPINUnblocked{RecoveryID: c.RecoveryID}}, nil
	case RetireInstallation:
		if i.Retired || len(i.Bindings) > 0 || c.SuccessorID == i.ID {
			return nil, nil
		}
		return []Event{InstallationRetired{Reason: c.Reason, SuccessorID: c.SuccessorID}}, nil
	case BindToInstallation:
		return bindings(i.Bindings, true, c.UserID, c.AuthenticatorID)
	case UnbindFromInstallation:
		return bindings(i.Bindings, false, c.UserID, c.AuthenticatorID)
	}
	return nil, fmt.Errorf("command %s does not belong to an installation", c.Name())
}

func (i *Installation) register(c RegisterInstallation) ([]Event, error) {
	if c.OS != IOS && c.OS != Android {
		return nil, &Error{Code: ReasonOSUnsupported, Field: "os", Detail: "the app runs on ios and android"}
	}
	e := InstallationRegistered{
		InstallationID: c.InstallationID, App: c.App, OS: c.OS, AppVersion: c.AppVersion, PhoneHandsetID: c.HandsetID,
		DeviceName: c.DeviceName, PublicKeyID: c.PublicKeyID, KeyAlgorithm: c.KeyAlgorithm, PublicKey: c.PublicKey,
	}
	if !i.registered {
		return []Event{e}, nil
	}
	if i.PublicKey == c.PublicKey && i.OS == c.OS && i.HandsetID == c.HandsetID {
		return nil, nil
	}
	return nil, &Error{Code: Exists, Detail: "this installation is registered with another key or phone"}
}
