package domain

import (
	"fmt"
	"time"
)

// Installations of the app (domain.md 6.3) and their push tokens. An
// installation is one app on one phone and may serve several users.

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
// both entries matched. The PIN never leaves the phone.
type AttestPIN struct {
	InstallationID   string
	PINPolicyVersion int
}

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
	PINPolicyVersion int // 0: none attested
	Reachable        bool
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
		i.PINPolicyVersion = e.PINPolicyVersion
	case AppPINChanged:
		i.PINPolicyVersion = e.PINPolicyVersion
	case PushTokenRegistered:
		i.Reachable = true
	}
}

func decideInstallation(i *Installation, c Command) ([]Event, error) {
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
		if i.PINPolicyVersion == 0 {
			return []Event{AppPINSet{PINPolicyVersion: c.PINPolicyVersion}}, nil
		}
		return []Event{AppPINChanged{PINPolicyVersion: c.PINPolicyVersion}}, nil
	case RegisterPushToken:
		return []Event{PushTokenRegistered{InstallationID: i.ID, Service: c.Service, TokenMAC: c.TokenMAC}}, nil
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
