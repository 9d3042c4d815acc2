package domain

import (
	"sort"
	"time"
)

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
	Processes      []ProcessSnapshot       `json:"open_processes"`

	Restricted      bool           `json:"restricted,omitempty"` // locked away until the data may be destroyed
	RestrictedUntil *time.Time     `json:"restricted_until,omitempty"`
	Erased          bool           `json:"erased,omitempty"`
	Holds           []HoldSnapshot `json:"legal_holds,omitempty"`
}

// HoldSnapshot is a legal hold in force.
type HoldSnapshot struct {
	HoldID      string    `json:"hold_id"`
	CaseRef     string    `json:"case_ref"`
	Basis       string    `json:"basis"`
	PlacedAt    time.Time `json:"placed_at"`
	RequestedBy string    `json:"release_requested_by,omitempty"`
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

// AuthenticatorSnapshot is one authenticator that was not revoked.
type AuthenticatorSnapshot struct {
	AuthenticatorID string    `json:"authenticator_id"`
	Kind            Kind      `json:"kind"`
	InstallationID  string    `json:"installation_id,omitempty"`
	PhoneID         string    `json:"phone_id,omitempty"`
	OS              OS        `json:"os,omitempty"`
	Restricted      bool      `json:"restricted"`
	Rank            int       `json:"protection_rank"`
	EnrolledAt      time.Time `json:"enrolled_at"`

	Status      string     `json:"status"` // active, suspended, expired
	DeviceID    string     `json:"device_id,omitempty"`
	Trigger     string     `json:"trigger,omitempty"`
	Shared      bool       `json:"shared,omitempty"` // the unit is another user's
	Suspended   string     `json:"suspended,omitempty"`
	SuspendedAt *time.Time `json:"suspended_at,omitempty"`
	FullUntil   *time.Time `json:"full_until,omitempty"`
	ExpiresAt   *time.Time `json:"expires_at,omitempty"`
}

// ProcessSnapshot is a process that can still go on.
type ProcessSnapshot struct {
	ID             string    `json:"id"`
	Process        string    `json:"process"` // enrollment, migration, recovery, unification, device, device_sharing, code_card
	Step           string    `json:"step"`
	Proof          string    `json:"proof,omitempty"`
	InstallationID string    `json:"installation_id,omitempty"`
	DeviceID       string    `json:"device_id,omitempty"`
	ExpiresAt      time.Time `json:"expires_at,omitzero"`
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
	s.Restricted, s.RestrictedUntil, s.Erased = u.erasure.restricted, optional(u.erasure.until), u.erasure.erased
	for _, h := range u.holds {
		s.Holds = append(s.Holds, HoldSnapshot{HoldID: h.ID, CaseRef: h.CaseRef, Basis: h.Basis, PlacedAt: h.PlacedAt, RequestedBy: h.RequestedBy})
	}
	for _, ph := range u.Phones() {
		s.Phones = append(s.Phones, ph.snapshot())
	}
	for _, a := range u.Bound() {
		s.Authenticators = append(s.Authenticators, a.snapshot(at))
	}
	sort.SliceStable(s.Authenticators, func(i, j int) bool { return s.Authenticators[i].Rank > s.Authenticators[j].Rank })
	s.Processes = u.processes(at, p)
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

func (a *Authenticator) snapshot(at time.Time) AuthenticatorSnapshot {
	return AuthenticatorSnapshot{
		AuthenticatorID: a.ID, Kind: a.Kind, InstallationID: a.InstallationID, PhoneID: a.PhoneID, OS: a.OS, Restricted: a.Restricted,
		Rank: a.Kind.Rank(), EnrolledAt: a.EnrolledAt, Status: a.Status(at), DeviceID: a.DeviceID, Trigger: a.Trigger,
		Shared: a.SharingID != "", Suspended: a.Suspended, SuspendedAt: optional(a.SuspendedAt), FullUntil: optional(a.FullUntil),
		ExpiresAt: optional(a.ExpiresAt),
	}
}

func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// processes lists what is under way at a moment, by kind and then in the order
// of their beginning.
func (u *User) processes(at time.Time, p *Policy) []ProcessSnapshot {
	out := []ProcessSnapshot{}
	if u.closed {
		return out
	}
	for _, id := range u.enrollments.order {
		e := u.enrollments.items[id]
		if ends := e.StartedAt.Add(time.Duration(p.Int(pEnrollmentTTL, at)) * time.Second); !e.Done && !e.Closed && at.Before(ends) {
			out = append(out, ProcessSnapshot{
				ID: id, Process: "enrollment", Step: e.step(), InstallationID: e.InstallationID, DeviceID: e.DeviceID, ExpiresAt: ends,
			})
		}
	}
	for _, id := range u.migrations.order {
		if m := u.migrations.items[id]; m.open(at) {
			out = append(out, ProcessSnapshot{
				ID: id, Process: "migration", Step: proofStep(m.Proved), Proof: m.Proof, InstallationID: m.InstallationID, ExpiresAt: m.ExpiresAt,
			})
		}
	}
	for _, id := range u.recoveries.order {
		if r := u.recoveries.items[id]; r.open(at) {
			out = append(out, ProcessSnapshot{
				ID: id, Process: "recovery", Step: proofStep(r.Proved || r.Proof == proofOriginalUV), Proof: r.Proof,
				InstallationID: r.InstallationID, ExpiresAt: r.ExpiresAt,
			})
		}
	}
	return append(out, u.waiting(at, p)...)
}

// waiting lists the processes that have no time of their own.
func (u *User) waiting(at time.Time, p *Policy) []ProcessSnapshot {
	var out []ProcessSnapshot
	for _, id := range u.unifications.order {
		if n := u.unifications.items[id]; !n.Done {
			step := "offered"
			if n.Deferred {
				step = "deferred"
			}
			out = append(out, ProcessSnapshot{ID: id, Process: "unification", Step: step, InstallationID: n.InstallationID})
		}
	}
	for _, id := range u.requests.order {
		if r := u.requests.items[id]; !r.Shipped {
			out = append(out, ProcessSnapshot{ID: id, Process: "device", Step: "requested"})
		}
	}
	for _, id := range u.devices.order {
		out = append(out, ProcessSnapshot{ID: u.devices.items[id].RequestID, Process: "device", Step: "shipped", DeviceID: id})
	}
	for _, id := range u.sharings.order {
		if s := u.sharings.items[id]; s.Status == sharingPending || s.Status == sharingRequested && u.askedFor(id, at) {
			out = append(out, ProcessSnapshot{ID: id, Process: "device_sharing", Step: s.Status, DeviceID: s.DeviceID})
		}
	}
	for _, id := range u.cards.order {
		t := u.transactions.get(u.cards.items[id].TxnID)
		if u.cards.items[id].Kind == KindSCC || t != nil && u.recentPortalLogin(t, at, p) {
			out = append(out, ProcessSnapshot{ID: id, Process: "code_card", Step: "issued"})
		}
	}
	return out
}

// askedFor reports whether a challenge on behalf of a process is open.
func (u *User) askedFor(subject string, at time.Time) bool {
	for _, c := range u.challenges.items {
		if c.SubjectID == subject && c.Open(at) {
			return true
		}
	}
	return false
}

func (e *Enrollment) step() string {
	switch {
	case e.Accepted:
		return "awaiting_uv"
	case e.DeviceID != "":
		return "awaiting_response"
	}
	return "awaiting_code"
}

func proofStep(proved bool) string {
	if proved {
		return "proved"
	}
	return "awaiting_proof"
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
