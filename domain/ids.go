package domain

import (
	"strconv"
	"strings"
)

// Prefixes of identifiers. The id of anything that lives in a user's stream is
// <prefix>_<user key>_<n>, so that it names the stream it must be sent to; the
// others are <prefix>_<key>. A key is 26 characters of lower-case base32hex
// (RFC 4648 §7, without padding) over the 16 bytes of a UUID.
const (
	PrefixUser           = "usr"
	PrefixClient         = "clt"
	PrefixInstallation   = "ins"
	PrefixPhone          = "phn"
	PrefixVerification   = "vrf"
	PrefixSMS            = "sms"
	PrefixEnrollment     = "enr"
	PrefixAuthenticator  = "aut"
	PrefixTransaction    = "txn"
	PrefixChallenge      = "chl"
	PrefixPush           = "psh"
	PrefixOptOut         = "opt"
	PrefixSession        = "ses"
	PrefixIDV            = "idv"
	PrefixNotification   = "ntf"
	PrefixCall           = "cal" // voice call
	PrefixMigration      = "mig"
	PrefixUnification    = "uni"
	PrefixRecovery       = "rec"
	PrefixRequest        = "req" // of a physical device
	PrefixSharing        = "shr"
	PrefixDelivery       = "dlv" // of a temporary credential
	PrefixErasure        = "ers"
	PrefixHold           = "hld" // legal hold
	PrefixReveal         = "rvl" // of personal data
	PrefixDevice         = "dev" // a physical unit, whoever holds it
	keyLength            = 26
	categoryUser         = "user"
	categoryClient       = "client"
	categoryInstallation = "installation"
	categoryAudit        = "audit"
	categoryKeyring      = "keyring"
	categoryDevice       = "device"
	categoryPolicy       = "policy"
	categoryErasures     = "erasures"
)

// Stream names.

// UserStream is the stream of one user, from the user's id.
func UserStream(userID string) string { return categoryUser + "-" + keyOf(userID) }

// ClientStream is the stream of one client.
func ClientStream(clientID string) string { return categoryClient + "-" + keyOf(clientID) }

// InstallationStream is the stream of one installation of the app.
func InstallationStream(installationID string) string {
	return categoryInstallation + "-" + keyOf(installationID)
}

// DeviceStream is the stream of one physical unit.
func DeviceStream(deviceID string) string { return categoryDevice + "-" + keyOf(deviceID) }

// PolicyStream is the one stream of changes to rules and parameters.
func PolicyStream() string { return categoryPolicy + "-rules" }

// AuditStream is the stream of one month's reads by auditors; month is yyyy-mm.
func AuditStream(month string) string { return categoryAudit + "-" + month }

// KeyringStream is the stream of what happened to keys of the whole ledger.
func KeyringStream() string { return categoryKeyring + "-codes" }

// ErasuresStream is the one stream of certificates of erasure.
func ErasuresStream() string { return categoryErasures + "-certificates" }

// UserID is the id of the user with this key, the part after "user-" in the
// stream's name.
func UserID(key string) string { return PrefixUser + "_" + key }

// ClientID is the id of the client with this key.
func ClientID(key string) string { return PrefixClient + "_" + key }

// InstallationID is the id of the installation with this key.
func InstallationID(key string) string { return PrefixInstallation + "_" + key }

// DeviceID is the id of the physical unit with this key.
func DeviceID(key string) string { return PrefixDevice + "_" + key }

// Ref is an identifier taken apart.
type Ref struct {
	Prefix string
	Key    string // of the user, client, installation or device
	N      uint64 // position among the things of the user; 0 for whatever has a stream of its own
}

// ParseRef takes an identifier apart. ok is false for anything that NewRef or
// the id functions could not have made.
func ParseRef(id string) (ref Ref, ok bool) {
	parts := strings.Split(id, "_")
	if len(parts) < 2 || len(parts) > 3 || !validKey(parts[1]) {
		return Ref{}, false
	}
	ref = Ref{Prefix: parts[0], Key: parts[1]}
	whole := ref.Prefix == PrefixUser || ref.ownsStream()
	if whole != (len(parts) == 2) {
		return Ref{}, false
	}
	if whole {
		return ref, true
	}
	switch ref.Prefix {
	case PrefixPhone, PrefixVerification, PrefixSMS, PrefixEnrollment, PrefixAuthenticator, PrefixTransaction,
		PrefixChallenge, PrefixPush, PrefixOptOut, PrefixSession, PrefixIDV, PrefixNotification, PrefixCall,
		PrefixMigration, PrefixUnification, PrefixRecovery, PrefixRequest, PrefixSharing, PrefixDelivery,
		PrefixErasure, PrefixHold, PrefixReveal:
	default:
		return Ref{}, false
	}
	n, err := strconv.ParseUint(parts[2], 10, 63)
	if err != nil || n == 0 || strconv.FormatUint(n, 10) != parts[2] {
		return Ref{}, false
	}
	ref.N = n
	return ref, true
}

// IsID reports whether id is well formed and has this prefix.
func IsID(id, prefix string) bool {
	ref, ok := ParseRef(id)
	return ok && ref.Prefix == prefix
}

// UserOf is the user's id that an id of something in a user's stream carries;
// empty when the id is malformed or not of a user.
func UserOf(id string) string {
	ref, ok := ParseRef(id)
	if !ok || ref.ownsStream() {
		return ""
	}
	return UserID(ref.Key)
}

// ownsStream reports whether the id is of something that has a stream of its
// own and is not a user.
func (r Ref) ownsStream() bool {
	return r.Prefix == PrefixClient || r.Prefix == PrefixInstallation || r.Prefix == PrefixDevice
}

func validKey(k string) bool {
	if len(k) != keyLength {
		return false
	}
	for i := 0; i < len(k); i++ {
		c := k[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'v') {
			return false
		}
	}
	return true
}

func keyOf(id string) string {
	if ref, ok := ParseRef(id); ok {
		return ref.Key
	}
	return "invalid"
}

// ref names the n-th thing of this user.
func (u *User) ref(prefix string, n uint64) string {
	return prefix + "_" + keyOf(u.ID) + "_" + strconv.FormatUint(n, 10)
}
