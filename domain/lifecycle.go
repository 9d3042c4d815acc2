package domain

import (
	"slices"
	"time"
)

// The life of an authenticator after its binding (domain.md 6.4): lost,
// suspended, reactivated, revoked, and the rule that a user is not left
// without one by accident (D-43).

// ReportLost suspends an authenticator that its user misses. By is client or
// agent; an agent needs a live identity verification (I-5).
type ReportLost struct {
	AuthenticatorID string
	By              string
}

// SuspendAuthenticator stops an authenticator from answering. It is what a
// process does (a blocked PIN, a shared device reported lost) or an agent on
// suspicion; it protects and therefore needs no identity verification. A graver
// reason takes the place of the one before, since each has its own way out.
type SuspendAuthenticator struct {
	AuthenticatorID string
	Reason          string // reported_lost, pin_blocked, compromise_suspected
}

// ReactivateAuthenticator lets a suspended one answer again. Proof is
// own_response (the authenticator is asked a challenge), oscc (a recent portal
// login with the online card, TxnID) or agent (a live identity verification),
// which alone clears a suspicion. An IB Key whose PIN is blocked comes back by
// recovery (domain.md 8).
type ReactivateAuthenticator struct {
	AuthenticatorID string
	Proof           string
	TxnID           string
}

// RevokeAuthenticator ends one for good.
type RevokeAuthenticator struct {
	AuthenticatorID string
	Reason          string // lost, stolen, defective, returned, client_request, compromise
}

// RemoveUserFromInstallation revokes the user's IB Key on an installation.
type RemoveUserFromInstallation struct{ UserID, InstallationID string }

// AuthenticatorReportedLost records who missed an authenticator.
type AuthenticatorReportedLost struct {
	AuthenticatorID string `json:"authenticator_id"`
	By              string `json:"by"` // client, agent
	IDVID           string `json:"idv_id,omitempty"`
}

// AuthenticatorSuspended stops one.
type AuthenticatorSuspended struct {
	AuthenticatorID string `json:"authenticator_id"`
	Reason          string `json:"reason"` // reported_lost, pin_blocked, temp_code_issued, compromise_suspected
}

// SuspensionRefused records why one was not stopped.
type SuspensionRefused struct {
	AuthenticatorID string `json:"authenticator_id"`
	Reason          Code   `json:"reason"`
}

// AuthenticatorReactivated lets one answer again.
type AuthenticatorReactivated struct {
	AuthenticatorID string `json:"authenticator_id"`
	Proof           string `json:"proof"` // own_response, oscc, agent
	IDVID           string `json:"idv_id,omitempty"`
	TxnID           string `json:"txn_id,omitempty"`
}

// ReactivationRefused records why not.
type ReactivationRefused struct {
	AuthenticatorID string `json:"authenticator_id"`
	Proof           string `json:"proof"`
	Reason          Code   `json:"reason"`
}

// Reasons of a suspension and proofs of a reactivation.
const (
	suspendedLost       = "reported_lost"
	suspendedPIN        = "pin_blocked"
	suspendedTempCode   = "temp_code_issued"
	suspendedCompromise = "compromise_suspected"

	proofOwnResponse = "own_response"
	proofOSCC        = "oscc"
	proofAgent       = "agent"

	byClient = "client"
	byAgent  = "agent"
)

// gravity orders the reasons of a suspension.
func gravity(reason string) int {
	switch reason {
	case suspendedCompromise:
		return 3
	case suspendedPIN:
		return 2
	}
	return 1
}

// idv is the identity verification in force, or "".
func (d *decision) idv() string {
	if d.now.Before(d.u.idvUntil) {
		return d.u.idvID
	}
	return ""
}

// boundOr finds an authenticator that was not revoked; unknown tells one that
// never was from one that is no more.
func (d *decision) boundOr(id string) (*Authenticator, error) {
	if a := d.u.bound(id); a != nil {
		return a, nil
	}
	if d.u.known(id, PrefixAuthenticator) {
		return nil, nil
	}
	return nil, unknown("authenticator")
}

func (d *decision) reportLost(c ReportLost) ([]Event, error) {
	if c.By != byClient && c.By != byAgent {
		return nil, invalid("by", "want client or agent")
	}
	a, err := d.boundOr(c.AuthenticatorID)
	if err != nil {
		return nil, err
	}
	refused := SuspensionRefused{AuthenticatorID: c.AuthenticatorID}
	switch {
	case a == nil || !a.Kind.Permanent():
		refused.Reason = ReasonNotActive
	case c.By == byAgent && d.idv() == "":
		refused.Reason = ReasonIDVRequired
	case a.ReportedLost:
		return nil, nil
	}
	if refused.Reason != "" {
		return []Event{refused}, nil
	}
	lost := AuthenticatorReportedLost{AuthenticatorID: a.ID, By: c.By}
	if c.By == byAgent {
		lost.IDVID = d.idv()
	}
	d.emit(lost)
	if a.Suspended == "" {
		d.emit(AuthenticatorSuspended{AuthenticatorID: a.ID, Reason: suspendedLost})
	}
	return d.events, nil
}

func (d *decision) suspend(c SuspendAuthenticator) ([]Event, error) {
	switch c.Reason {
	case suspendedLost, suspendedPIN, suspendedCompromise:
	default:
		return nil, invalid("reason", "want reported_lost, pin_blocked or compromise_suspected")
	}
	a, err := d.boundOr(c.AuthenticatorID)
	switch {
	case err != nil:
		return nil, err
	case a == nil:
		return []Event{SuspensionRefused{AuthenticatorID: c.AuthenticatorID, Reason: ReasonNotActive}}, nil
	case a.Suspended != "" && gravity(c.Reason) <= gravity(a.Suspended):
		return nil, nil
	}
	return []Event{AuthenticatorSuspended{AuthenticatorID: a.ID, Reason: c.Reason}}, nil
}

func (d *decision) reactivate(c ReactivateAuthenticator) ([]Event, error) {
	if c.Proof != proofOwnResponse && c.Proof != proofOSCC && c.Proof != proofAgent {
		return nil, invalid("proof", "want own_response, oscc or agent")
	}
	a, err := d.boundOr(c.AuthenticatorID)
	if err != nil {
		return nil, err
	}
	t := d.u.transactions.get(c.TxnID)
	reason := d.reactivationRefusal(c.Proof, a)
	switch {
	case reason != "":
	case c.Proof == proofOwnResponse:
		if t, reason = d.process(c.TxnID); reason == "" && t.Purpose == PurposePINChange {
			reason = ReasonPrimaryRequired // its answers are about the PIN
		}
	case c.Proof == proofOSCC && (t == nil || !d.u.recentPortalLogin(t, d.now, d.p) || t.SucceededBy != KindOSCC):
		reason = ReasonOSCCScope
	}
	if reason != "" {
		return []Event{ReactivationRefused{AuthenticatorID: c.AuthenticatorID, Proof: c.Proof, Reason: reason}}, nil
	}
	switch c.Proof {
	case proofOwnResponse:
		d.challengeFor(t, a, a.ID)
	case proofOSCC:
		d.resume(a, AuthenticatorReactivated{Proof: c.Proof, TxnID: t.ID})
	default:
		d.resume(a, AuthenticatorReactivated{Proof: c.Proof, IDVID: d.idv()})
	}
	return d.events, nil
}

// reactivationRefusal is why an authenticator stays as it is, whatever else the
// proof needs.
func (d *decision) reactivationRefusal(proof string, a *Authenticator) Code {
	switch {
	case a == nil:
		return ReasonNotActive
	case a.Suspended == "":
		return ReasonNotSuspended
	case d.now.Before(d.u.lockedUntil):
		return ReasonUserLocked
	case a.Kind == KindIBKey && a.Suspended == suspendedPIN:
		return ReasonInstallBlocked
	case proof == proofAgent && d.idv() == "",
		proof != proofAgent && (a.Suspended == suspendedCompromise || !a.Kind.Permanent()):
		return ReasonIDVRequired
	}
	return ""
}

// resume ends a suspension, and with it what bridged the time (D-54).
func (d *decision) resume(a *Authenticator, e AuthenticatorReactivated) {
	e.AuthenticatorID = a.ID
	d.emit(e)
	d.supersede(a.Kind, a.ID)
}

// recentPortalLogin reports whether the transaction is a login to the portal
// that succeeded a short time before.
func (u *User) recentPortalLogin(t *Transaction, at time.Time, p *Policy) bool {
	return t.Succeeded && t.Purpose == PurposeLogin && t.Platform.Class() == Portal &&
		at.Before(t.SucceededAt.Add(time.Duration(p.Int(pPortalSession, at))*time.Second))
}

// authenticatorWaits reports whether what a challenge to an authenticator
// itself was asked for can still follow: an activation of a card, the change of
// a PIN, the end of a suspension. The transaction's purpose tells them apart.
func (d *decision) authenticatorWaits(c *Challenge) bool {
	if d.u.cards.get(c.SubjectID) != nil {
		return true
	}
	a, t := d.u.bound(c.SubjectID), d.u.transactions.get(c.TxnID)
	switch {
	case a == nil || t == nil:
		return false
	case t.Purpose == PurposePINChange:
		return a.Active(d.now)
	}
	return d.reactivationRefusal(proofOwnResponse, a) == ""
}

// authenticatorProved does it.
func (d *decision) authenticatorProved(c *Challenge) {
	if card := d.u.cards.get(c.SubjectID); card != nil {
		d.activateCard(card)
		return
	}
	a := d.u.bound(c.SubjectID)
	if d.u.transactions.get(c.TxnID).Purpose == PurposePINChange {
		d.emit(DevicePINChanged{AuthenticatorID: a.ID, DeviceID: a.DeviceID, ChallengeID: c.ID})
		return
	}
	d.resume(a, AuthenticatorReactivated{Proof: proofOwnResponse, TxnID: c.TxnID})
}

func (d *decision) revoke(c RevokeAuthenticator) ([]Event, error) {
	unenrols := false // the user may be left without any (D-43)
	switch c.Reason {
	case "lost", "stolen", "compromise":
		unenrols = true
	case "defective", "returned", "client_request":
	default:
		return nil, invalid("reason", "want lost, stolen, defective, returned, client_request or compromise")
	}
	a, err := d.boundOr(c.AuthenticatorID)
	if err != nil || a == nil {
		return nil, err // ended already: nothing changes
	}
	if d.f.Actor.Kind == ActorAgent && d.idv() == "" {
		return []Event{RevocationRefused{AuthenticatorID: a.ID, Reason: ReasonIDVRequired}}, nil
	}
	revoked := AuthenticatorRevoked{AuthenticatorID: a.ID, Reason: c.Reason}
	next := d.u.newestVerified(func(p *Phone) bool { return a.Kind != KindSMS || p.ID != a.PhoneID })
	switch {
	case d.u.active(d.now, func(other *Authenticator) bool { return other.ID != a.ID && lasting(other) }):
		d.endAuthenticator(a, revoked)
	case next != nil && lasting(a) && !d.u.smsBeside(a):
		revoked.SuccessorID = d.newID(PrefixAuthenticator)
		d.endAuthenticator(a, revoked)
		d.emit(smsAuthenticator(revoked.SuccessorID, next.ID))
	case unenrols || !lasting(a) || !a.Active(d.now):
		d.endAuthenticator(a, revoked)
	default:
		return []Event{RevocationRefused{AuthenticatorID: a.ID, Reason: ReasonLastAuth}}, nil
	}
	return d.events, nil
}

// lasting authenticators are those a user can rely on: the others only bridge
// some days (D-40).
func lasting(a *Authenticator) bool { return !a.Kind.Temporary() }

// smsBeside reports whether SMS is bound beside an authenticator. Where nothing
// else is active it is suspended, and must not come back by the side door.
func (u *User) smsBeside(a *Authenticator) bool {
	return slices.ContainsFunc(u.authenticators, func(other *Authenticator) bool { return other.Kind == KindSMS && other.ID != a.ID })
}

// endAuthenticator revokes, and ends the sharing the binding came from.
func (d *decision) endAuthenticator(a *Authenticator, e AuthenticatorRevoked) {
	d.emit(e)
	if a.SharingID != "" {
		d.emit(DeviceSharingEnded{SharingID: a.SharingID, AuthenticatorID: a.ID})
	}
}

func (d *decision) removeFromInstallation(c RemoveUserFromInstallation) ([]Event, error) {
	a := d.u.ibKey()
	if a == nil || a.InstallationID != c.InstallationID {
		return nil, unknown("user on this installation")
	}
	return d.revoke(RevokeAuthenticator{AuthenticatorID: a.ID, Reason: "client_request"})
}

func (u *User) applyLifecycle(e Event, at time.Time) {
	change := func(id string, f func(*Authenticator)) {
		if a := u.bound(id); a != nil {
			f(a)
		}
	}
	switch e := e.(type) {
	case AuthenticatorReportedLost:
		change(e.AuthenticatorID, func(a *Authenticator) { a.ReportedLost = true })
	case AuthenticatorSuspended:
		change(e.AuthenticatorID, func(a *Authenticator) { a.Suspended, a.SuspendedAt = e.Reason, at })
	case AuthenticatorReactivated:
		change(e.AuthenticatorID, func(a *Authenticator) { a.Suspended, a.SuspendedAt, a.ReportedLost = "", time.Time{}, false })
	}
}
