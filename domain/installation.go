package domain

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
