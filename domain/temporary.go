package domain

import (
	"slices"
	"time"
)

// Temporary access (domain.md 6.6, K-1 to K-3, D-54 to D-56): a static
// passcode that an agent issues to somebody who lost a device, and how a
// temporary credential reaches its user.

// IssueTemporaryPasscode replaces a missing authenticator for some days. It
// needs a live identity verification (K-2).
type IssueTemporaryPasscode struct {
	UserID                 string
	MissingAuthenticatorID string
}

// DeliverTemporaryCredential says how a temporary passcode, or a reset
// password of the broker, reaches the user: an agent reads it out, or it waits
// in an app that the user still has.
type DeliverTemporaryCredential struct {
	UserID          string
	AuthenticatorID string // of the temporary passcode
	ResetRef        string // the broker's reference of a reset password
	What            string // temp_code, reset_password
	Channel         string // agent_voice, in_app
	Credential      Secret // the reset password; kept in the keyring until it is collected
}

// CollectTemporaryCredential says that an app showed a credential that waited
// for it. Facts.Push.Authentic says that its installation signed the request.
type CollectTemporaryCredential struct {
	DeliveryID     string
	InstallationID string
	Proof          Secret // "<unix milliseconds>.<signature>"; see the journal
}

// TemporaryPasscodeIssued records a passcode; it derives from Kid. Without
// FullUntil it has recovery scope for its whole life.
type TemporaryPasscodeIssued struct {
	AuthenticatorID        string     `json:"authenticator_id"`
	Kid                    string     `json:"kid"`
	IDVID                  string     `json:"idv_id"`
	MissingAuthenticatorID string     `json:"missing_authenticator_id"`
	FullUntil              *time.Time `json:"full_until,omitempty"`
	EndsAt                 time.Time  `json:"ends_at"`
	ScopeRuleID            string     `json:"scope_rule_id"` // the rule that decided the scope
}

// TemporaryPasscodeRefused records why none was issued.
type TemporaryPasscodeRefused struct {
	MissingAuthenticatorID string `json:"missing_authenticator_id"`
	Reason                 Code   `json:"reason"`
}

// TemporaryCredentialDelivered records how a credential reaches its user.
type TemporaryCredentialDelivered struct {
	DeliveryID      string     `json:"delivery_id"`
	AuthenticatorID string     `json:"authenticator_id,omitempty"`
	ResetRef        string     `json:"reset_ref,omitempty"`
	What            string     `json:"what"`
	Channel         string     `json:"channel"`
	InstallationID  string     `json:"installation_id,omitempty"` // in_app
	ExpiresAt       *time.Time `json:"expires_at,omitempty"`      // in_app: until it must be collected
}

// TemporaryCredentialCollected records that the app showed it.
type TemporaryCredentialCollected struct {
	DeliveryID     string `json:"delivery_id"`
	InstallationID string `json:"installation_id"`
}

// TemporaryCredentialRefused records why it was not delivered.
type TemporaryCredentialRefused struct {
	AuthenticatorID string `json:"authenticator_id,omitempty"`
	ResetRef        string `json:"reset_ref,omitempty"`
	What            string `json:"what"`
	Channel         string `json:"channel"`
	Reason          Code   `json:"reason"`
}

// CredentialDelivery is a credential on its way.
type CredentialDelivery struct {
	ID              string
	AuthenticatorID string
	What            string
	Channel         string
	InstallationID  string
	ExpiresAt       time.Time
	Collected       bool
}

// waits reports whether a credential can be collected in its app at a moment:
// in time, once, while IB Key answers there, and for as long as a passcode is
// good for something.
func (u *User) waits(c *CredentialDelivery, now time.Time) bool {
	if c.Channel != channelInApp || c.Collected || !now.Before(c.ExpiresAt) {
		return false
	}
	if app := u.ibKey(); app == nil || !app.Active(now) || app.InstallationID != c.InstallationID {
		return false
	}
	passcode := u.bound(c.AuthenticatorID)
	return c.What != whatTempCode || passcode != nil && passcode.Active(now)
}

const (
	whatTempCode    = "temp_code"
	whatPassword    = "reset_password"
	channelVoice    = "agent_voice"
	channelInApp    = "in_app"
	scopeIncomplete = "incomplete" // a fact was unknown, so the narrow scope was taken (D-70)
)

func (d *decision) issueTemporary(c IssueTemporaryPasscode) ([]Event, error) {
	a, err := d.boundOr(c.MissingAuthenticatorID)
	if err != nil {
		return nil, err
	}
	refused := TemporaryPasscodeRefused{MissingAuthenticatorID: c.MissingAuthenticatorID}
	switch {
	case d.idv() == "":
		refused.Reason = ReasonIDVRequired
	case d.now.Before(d.u.lockedUntil):
		refused.Reason = ReasonUserLocked
	case a == nil || !a.Kind.Permanent():
		refused.Reason = ReasonNotActive
	case d.u.tempIssued:
		refused.Reason = ReasonTempConsecutive
	}
	if refused.Reason != "" {
		return []Event{refused}, nil
	}
	ends, full := d.now.Add(d.seconds(pTempTTL)), d.now.Add(d.seconds(pTempFull))
	issued := TemporaryPasscodeIssued{
		AuthenticatorID: d.newID(PrefixAuthenticator), Kid: d.f.Kid, IDVID: d.idv(), MissingAuthenticatorID: a.ID, EndsAt: ends,
	}
	rule, narrow := d.recoveryOnly()
	issued.ScopeRuleID = rule
	if !narrow {
		issued.FullUntil = &full
	}
	for _, old := range d.u.authenticators { // one passcode at a time
		if old.Kind == KindTempCode {
			d.emit(AuthenticatorRevoked{AuthenticatorID: old.ID, Reason: "temporary_ended", SuccessorID: issued.AuthenticatorID})
		}
	}
	d.emit(issued, AuthenticatorEnrolled{
		AuthenticatorID: issued.AuthenticatorID, Kind: KindTempCode, Trigger: triggerTemporary, Kid: issued.Kid,
		FullUntil: issued.FullUntil, ExpiresAt: &ends,
	})
	if a.Suspended == "" {
		d.emit(AuthenticatorSuspended{AuthenticatorID: a.ID, Reason: suspendedTempCode})
	}
	return d.events, nil
}

// recoveryOnly asks the rules whether a temporary passcode may give more than
// recovery here (D-56), and names the rule that decided.
func (d *decision) recoveryOnly() (rule string, narrow bool) {
	f := d.u.Facts(d.f.Clients, d.now, d.p)
	if rules := d.p.Matching(f, d.now, EffectTempRecovery); len(rules) > 0 {
		return rules[0].ID, true
	}
	if incomplete(f) {
		return scopeIncomplete, true
	}
	return pTempFull, false
}

// fullScope reports whether a temporary passcode opens everything now: within
// its first hours, and where no rule that applies by now forbids it.
func (d *decision) fullScope(a *Authenticator) bool {
	if !d.now.Before(a.FullUntil) {
		return false
	}
	_, narrow := d.recoveryOnly()
	return !narrow
}

// admits reports whether a temporary passcode may answer in a transaction:
// with recovery scope only in the portal.
func (d *decision) admits(a *Authenticator, t *Transaction) bool {
	return a != nil && (t.Platform.Class() == Portal || d.fullScope(a))
}

func (d *decision) deliverTemporary(c DeliverTemporaryCredential) ([]Event, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	refused := TemporaryCredentialRefused{AuthenticatorID: c.AuthenticatorID, ResetRef: c.ResetRef, What: c.What, Channel: c.Channel}
	delivered := TemporaryCredentialDelivered{AuthenticatorID: c.AuthenticatorID, ResetRef: c.ResetRef, What: c.What, Channel: c.Channel}
	if c.What == whatTempCode {
		if a := d.u.bound(c.AuthenticatorID); a == nil || a.Kind != KindTempCode || !a.Active(d.now) {
			refused.Reason = ReasonNotActive
		}
	}
	switch app := d.u.ibKey(); {
	case refused.Reason != "":
	case d.idv() == "":
		refused.Reason = ReasonIDVRequired
	case c.Channel != channelInApp:
	case app == nil || !app.Active(d.now):
		refused.Reason = ReasonTempInApp
	default:
		ends := d.now.Add(d.seconds(pInAppTTL))
		delivered.InstallationID, delivered.ExpiresAt = app.InstallationID, &ends
	}
	if refused.Reason != "" {
		return []Event{refused}, nil
	}
	delivered.DeliveryID = d.newID(PrefixDelivery)
	return []Event{delivered}, nil
}

func (c DeliverTemporaryCredential) check() error {
	switch {
	case !slices.Contains([]string{whatTempCode, whatPassword}, c.What):
		return invalid("what", "want temp_code or reset_password")
	case !slices.Contains([]string{channelVoice, channelInApp}, c.Channel):
		return invalid("channel", "want agent_voice or in_app")
	case c.What == whatTempCode && c.AuthenticatorID == "":
		return invalid("authenticatorId", "name the temporary passcode")
	case c.What == whatPassword && c.ResetRef == "":
		return invalid("resetRef", "give the broker's reference of the reset")
	}
	return nil
}

func (d *decision) collectTemporary(c CollectTemporaryCredential) ([]Event, error) {
	w := d.u.deliveries.get(c.DeliveryID)
	switch {
	case w == nil || w.InstallationID != c.InstallationID:
		return nil, unknown("credential for this installation")
	case !d.f.Push.Authentic:
		return nil, &Error{Code: ReasonSignatureInvalid, Detail: "sign the request with the installation's key"}
	case !d.u.waits(w, d.now):
		return nil, &Error{Code: ReasonProcessClosed, Detail: "this credential is not there any more; ask the agent again"}
	}
	return []Event{TemporaryCredentialCollected{DeliveryID: w.ID, InstallationID: c.InstallationID}}, nil
}

func (u *User) applyTemporary(e Event, _ time.Time) {
	switch e := e.(type) {
	case TemporaryPasscodeIssued:
		u.tempIssued = true
	case ResponseVerified:
		if c := u.challenges.get(e.ChallengeID); c != nil && c.Kind.Permanent() {
			u.tempIssued = false
		}
	case TemporaryCredentialDelivered:
		u.took(e.DeliveryID)
		w := &CredentialDelivery{ID: e.DeliveryID, AuthenticatorID: e.AuthenticatorID, What: e.What, Channel: e.Channel, InstallationID: e.InstallationID}
		if e.ExpiresAt != nil {
			w.ExpiresAt = *e.ExpiresAt
		}
		u.deliveries.add(e.DeliveryID, w)
	case TemporaryCredentialCollected:
		if w := u.deliveries.get(e.DeliveryID); w != nil {
			w.Collected = true
		}
	}
}
