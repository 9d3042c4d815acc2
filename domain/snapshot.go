package domain

import "time"

// Snapshot is a user's state at a moment in a form for people and JSON. Expiry
// is computed for that moment (D-4).
type Snapshot struct {
	UserID         string                  `json:"user_id"`
	ClientID       string                  `json:"client_id"`
	Role           Role                    `json:"role"`
	Locale         string                  `json:"locale"`
	AsOf           time.Time               `json:"as_of"`
	Closed         bool                    `json:"closed"`
	Residence      string                  `json:"residence,omitempty"`
	Seamless       bool                    `json:"seamless"`
	Locked         bool                    `json:"locked"`
	LockedUntil    *time.Time              `json:"locked_until,omitempty"`
	FailureCount   int                     `json:"failure_count"`
	OptedOut       bool                    `json:"opted_out"`
	OptOut         *OptOutSnapshot         `json:"opt_out,omitempty"`
	Phones         []PhoneSnapshot         `json:"phones"`
	Authenticators []AuthenticatorSnapshot `json:"authenticators"`
	Transactions   []TransactionSnapshot   `json:"open_transactions"`
}

// OptOutSnapshot is the opt-out in force.
type OptOutSnapshot struct {
	OptOutID  string     `json:"opt_out_id"`
	GrantedAt time.Time  `json:"granted_at"`
	EndsAt    *time.Time `json:"ends_at,omitempty"`
	RuleID    string     `json:"decisive_rule_id"`
}

// PhoneSnapshot is one phone, without its number.
type PhoneSnapshot struct {
	PhoneID    string     `json:"phone_id"`
	CC         string     `json:"cc"`
	Line       Line       `json:"line"`
	Status     string     `json:"status"` // added, verified, retired
	VerifiedAt *time.Time `json:"verified_at,omitempty"`
}

// AuthenticatorSnapshot is one active authenticator.
type AuthenticatorSnapshot struct {
	AuthenticatorID string    `json:"authenticator_id"`
	Kind            Kind      `json:"kind"`
	InstallationID  string    `json:"installation_id,omitempty"`
	PhoneID         string    `json:"phone_id,omitempty"`
	OS              OS        `json:"os,omitempty"`
	Restricted      bool      `json:"restricted"`
	Rank            int       `json:"protection_rank"`
	EnrolledAt      time.Time `json:"enrolled_at"`
}

// TransactionSnapshot is one transaction that can still go on.
type TransactionSnapshot struct {
	TxnID       string    `json:"txn_id"`
	Purpose     Purpose   `json:"purpose"`
	Platform    Platform  `json:"platform"`
	ExpiresAt   time.Time `json:"expires_at"`
	ChallengeID string    `json:"challenge_id,omitempty"`
	Mode        Mode      `json:"mode,omitempty"`
}

// Snapshot describes the state at a moment.
func (u *User) Snapshot(at time.Time, p *Policy) Snapshot {
	s := Snapshot{
		UserID: u.ID, ClientID: u.ClientID, Role: u.Role, Locale: u.Locale, AsOf: at.UTC(), Closed: u.closed,
		Residence: u.ResidenceAt(at, p), Seamless: u.seamless, FailureCount: u.FailureCount(at),
		Phones: []PhoneSnapshot{}, Authenticators: []AuthenticatorSnapshot{}, Transactions: []TransactionSnapshot{},
	}
	if until := u.LockedUntil(at); !until.IsZero() {
		s.Locked, s.LockedUntil = true, &until
	}
	if o := u.OptedOut(at); o != nil {
		s.OptedOut = true
		s.OptOut = &OptOutSnapshot{OptOutID: o.ID, GrantedAt: o.GrantedAt, EndsAt: o.EndsAt, RuleID: o.RuleID}
	}
	for _, ph := range u.Phones() {
		s.Phones = append(s.Phones, ph.snapshot())
	}
	for _, a := range u.Authenticators() {
		s.Authenticators = append(s.Authenticators, AuthenticatorSnapshot{
			AuthenticatorID: a.ID, Kind: a.Kind, InstallationID: a.InstallationID, PhoneID: a.PhoneID, OS: a.OS,
			Restricted: a.Restricted, Rank: a.Kind.Rank(), EnrolledAt: a.EnrolledAt,
		})
	}
	for _, id := range u.transactions.order {
		t := u.transactions.items[id]
		if !t.PrimaryOK || t.Closed || !at.Before(t.ExpiresAt) {
			continue
		}
		open := TransactionSnapshot{TxnID: t.ID, Purpose: t.Purpose, Platform: t.Platform, ExpiresAt: t.ExpiresAt}
		if c := u.challenges.get(t.OpenChallenge); c != nil && c.Open(at) {
			open.ChallengeID, open.Mode = c.ID, c.Mode
		}
		s.Transactions = append(s.Transactions, open)
	}
	return s
}

func (p Phone) snapshot() PhoneSnapshot {
	s := PhoneSnapshot{PhoneID: p.ID, CC: p.CC, Line: p.Line, Status: "added"}
	if p.Verified {
		s.Status = "verified"
		at := p.VerifiedAt
		s.VerifiedAt = &at
	}
	if p.Retired {
		s.Status = "retired"
	}
	return s
}
