package domain

import "time"

// The user itself (domain.md 6.1): registration, residence, access, closure.

// RegisterUser creates a user's stream.
type RegisterUser struct {
	UserID      string // derived from the broker's reference
	ClientID    string
	Role        Role
	Username    Personal
	Locale      string // BCP 47
	Residence   string // optional; recorded as a second event
	ResidentOn  string // date from which Residence holds; empty means the registration day
	EvidenceRef string // of the residence
}

// RecordResidence records where the user lives from a date on.
type RecordResidence struct {
	UserID      string
	To          string
	EffectiveOn string
	EvidenceRef string
}

// GrantAccountAccess lets the user act on another client's accounts.
type GrantAccountAccess struct{ UserID, ClientID, EffectiveOn string }

// RevokeAccountAccess ends that access.
type RevokeAccountAccess struct{ UserID, ClientID, EffectiveOn string }

// CloseUser ends the user: nothing but notifications follows (I-4).
type CloseUser struct{ UserID, Reason string }

// UserRegistered is the first event of a user's stream.
type UserRegistered struct {
	UserID   string   `json:"user_id"`
	ClientID string   `json:"client_id"`
	Role     Role     `json:"role"`
	Username Personal `json:"username"`
	Locale   string   `json:"locale"`
}

// ResidenceChanged records a residence from a date on. From is absent the
// first time.
type ResidenceChanged struct {
	From        string    `json:"from,omitempty"`
	To          string    `json:"to"`
	EffectiveOn string    `json:"effective_on"`
	DetectedAt  time.Time `json:"detected_at"`
	EvidenceRef string    `json:"evidence_ref,omitempty"`
}

// AccountAccessGranted gives access to another client's accounts.
type AccountAccessGranted struct {
	ClientID    string `json:"client_id"`
	EffectiveOn string `json:"effective_on"`
}

// AccountAccessRevoked ends it.
type AccountAccessRevoked struct {
	ClientID    string `json:"client_id"`
	EffectiveOn string `json:"effective_on"`
}

// UserClosed ends the user.
type UserClosed struct {
	Reason string `json:"reason"`
}
