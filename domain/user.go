package domain

import "time"

// The user itself (domain.md 6.1): registration, residence, access, closure.

// RegisterUser creates a user's stream. Repeating it changes nothing; another
// client, role or first residence is the error Exists.
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

// ResidenceChanged records a residence from a date on, of the user or, in a
// client's stream, of a holder. From is absent the first time.
type ResidenceChanged struct {
	PersonRef   string    `json:"person_ref,omitempty"` // of a holder
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

func (u *User) register(c RegisterUser, now time.Time) ([]Event, error) {
	if !IsID(c.ClientID, PrefixClient) {
		return nil, invalid("clientId", "give the id the client's registration answered")
	}
	if u.registered {
		sameHome := c.Residence == "" || len(u.residences) > 0 && u.residences[0].cc == c.Residence
		if u.ClientID == c.ClientID && u.Role == c.Role && sameHome {
			return nil, nil
		}
		return nil, &Error{Code: Exists, Detail: "this user reference is registered with another client, role or residence; record a new residence by its own call"}
	}
	events := []Event{UserRegistered{UserID: c.UserID, ClientID: c.ClientID, Role: c.Role, Username: c.Username, Locale: c.Locale}}
	if c.Residence == "" {
		return events, nil
	}
	on := c.ResidentOn
	if on == "" {
		on = now.Format(time.DateOnly)
	}
	if err := firstError(checkCC("residence", c.Residence), checkDate("residentOn", on)); err != nil {
		return nil, err
	}
	return append(events, ResidenceChanged{To: c.Residence, EffectiveOn: on, DetectedAt: now, EvidenceRef: c.EvidenceRef}), nil
}

func (d *decision) recordResidence(c RecordResidence) ([]Event, error) {
	if err := firstError(checkCC("to", c.To), checkDate("effectiveOn", c.EffectiveOn)); err != nil {
		return nil, err
	}
	from := ""
	if k := len(d.u.residences); k > 0 {
		from = d.u.residences[k-1].cc
	}
	return []Event{ResidenceChanged{From: from, To: c.To, EffectiveOn: c.EffectiveOn, DetectedAt: d.now, EvidenceRef: c.EvidenceRef}}, nil
}

func (d *decision) grantAccess(c GrantAccountAccess) ([]Event, error) {
	if !IsID(c.ClientID, PrefixClient) {
		return nil, invalid("clientId", "give the id the client's registration answered")
	}
	if err := checkDate("effectiveOn", c.EffectiveOn); err != nil {
		return nil, err
	}
	return []Event{AccountAccessGranted{ClientID: c.ClientID, EffectiveOn: c.EffectiveOn}}, nil
}

func (d *decision) revokeAccess(c RevokeAccountAccess) ([]Event, error) {
	if err := checkDate("effectiveOn", c.EffectiveOn); err != nil {
		return nil, err
	}
	for _, a := range d.u.access {
		if a.clientID == c.ClientID {
			return []Event{AccountAccessRevoked{ClientID: c.ClientID, EffectiveOn: c.EffectiveOn}}, nil
		}
	}
	return nil, unknown("account access")
}

// close ends the user, everything under way and everything bound to it, in one
// append.
func (d *decision) close(c CloseUser) ([]Event, error) {
	d.endChallenges()
	d.endProcesses()
	for _, a := range d.u.authenticators {
		d.endAuthenticator(a, AuthenticatorRevoked{AuthenticatorID: a.ID, Reason: "user_closed"})
	}
	d.emit(UserClosed{Reason: c.Reason})
	return d.events, nil
}

// endChallenges cancels what was asked and abandons the transactions.
func (d *decision) endChallenges() {
	for _, id := range d.u.challenges.order {
		if d.u.challenges.items[id].Open(d.now) {
			d.emit(ChallengeCancelled{ChallengeID: id, Reason: "txn_ended"})
		}
	}
	for _, id := range d.u.transactions.order {
		if t := d.u.transactions.items[id]; t.PrimaryOK && !t.Closed && d.now.Before(t.ExpiresAt) {
			d.emit(AuthenticationAbandoned{TxnID: id})
		}
	}
}

// endProcesses ends what could otherwise still bind an authenticator.
func (d *decision) endProcesses() {
	for _, id := range d.u.enrollments.order {
		if _, err := d.openEnrollment(id); err == nil {
			d.emit(EnrollmentAbandoned{EnrollmentID: id})
		}
	}
	if m := d.u.openMigration(d.now); m != nil {
		d.emit(MigrationCancelled{MigrationID: m.ID, Reason: "user_closed"})
	}
	if r := d.u.openRecovery(d.now); r != nil {
		d.emit(RecoveryCancelled{RecoveryID: r.ID, Reason: "user_closed"})
	}
	for _, id := range d.u.sharings.order {
		if s := d.u.sharings.items[id]; s.waiting() {
			d.emit(DeviceSharingDenied{SharingID: id, Reason: ReasonUserClosed})
		}
	}
}

// decideClosed answers commands to a closed user (I-4).
func (u *User) decideClosed(c Command) ([]Event, error) {
	switch c := c.(type) {
	case StartAuthentication:
		return []Event{AuthenticationRefused{Purpose: c.Purpose, Platform: c.Platform, Reason: ReasonUserClosed}}, nil
	case CloseUser, EvaluateAutoSMS, ReevaluateRegime, RecordSMSUncertain, RecordSMSSent, RecordSMSDelivered,
		RecordSMSDeliveryFailed, RecordSMSSendFailed, RecordCodeEmailed, RecordPushSent, RecordPushFailed, RecordPushOpened,
		RecordVoiceUncertain, RecordVoicePlaced, RecordVoiceAnswered, RecordVoiceFailed, SuspendAuthenticator, RevokeAuthenticator,
		NoteDeviceShipped, AutoActivateDevice, TidyUser:
		// Reactions and late reports find nothing left to change; a message is
		// not dispatched any more.
		return nil, nil
	case RecordNotification:
		d := decision{u: u, n: u.n}
		return d.notify(c)
	}
	return nil, &Error{Code: ReasonUserClosed, Detail: "this user is closed"}
}
