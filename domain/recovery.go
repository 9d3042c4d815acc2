package domain

import "time"

// Recovery of IB Key on the same phone (domain.md 6.6, R-59, K-19): the app was
// installed again, or the operating system upgraded.

// StartRecovery begins to bring the user's IB Key back on the phone it was on.
// InstallationID is the app as it is now; it may be another installation than
// before. On iOS the old installation's key, which the phone's keychain kept,
// signs that it hands over (Facts.Handover); elsewhere an SMS or a physical
// device proves the user.
type StartRecovery struct {
	UserID         string
	InstallationID string
	TxnID          string
	Cause          string // reinstalled, os_upgraded
	Handover       Secret // base64url signature; see the journal
}

// ResendRecoveryCode sends a new code; it supersedes the earlier ones.
type ResendRecoveryCode struct{ RecoveryID string }

// ProveRecovery answers with the code from the SMS; evidence in Facts.Code.
type ProveRecovery struct {
	RecoveryID string
	Code       Secret
}

// CompleteRecovery binds IB Key again after user verification.
type CompleteRecovery struct {
	RecoveryID string
	UV         UV
}

// CancelRecovery gives up.
type CancelRecovery struct{ RecoveryID string }

// RecoveryStarted opens a recovery.
type RecoveryStarted struct {
	RecoveryID        string    `json:"recovery_id"`
	AuthenticatorID   string    `json:"authenticator_id"`
	Cause             string    `json:"cause"`
	NewInstallationID string    `json:"new_installation_id"`
	OS                OS        `json:"os"`
	HandsetMatch      bool      `json:"handset_match"`
	Proof             string    `json:"proof"` // original_uv, sms, physical_device
	ActivationPhoneID string    `json:"activation_phone_id,omitempty"`
	ExpiresAt         time.Time `json:"expires_at"`
}

// RecoveryRefused records why one did not start or complete.
type RecoveryRefused struct {
	RecoveryID        string `json:"recovery_id,omitempty"`
	NewInstallationID string `json:"new_installation_id"`
	HandsetMatch      bool   `json:"handset_match"`
	Reason            Code   `json:"reason"`
}

// RecoveryProofAccepted means that the user proved it.
type RecoveryProofAccepted struct {
	RecoveryID string `json:"recovery_id"`
	Proof      string `json:"proof"`
}

// RecoveryCompleted means that the app answers again.
type RecoveryCompleted struct {
	RecoveryID         string `json:"recovery_id"`
	NewAuthenticatorID string `json:"new_authenticator_id"`
	InstallationID     string `json:"installation_id"`
	FormerInstallation string `json:"former_installation_id"`
	UV                 UV     `json:"uv"`
	PINPolicyVersion   int    `json:"pin_policy_version,omitempty"`
}

// RecoveryCancelled means that it was given up.
type RecoveryCancelled struct {
	RecoveryID string `json:"recovery_id"`
	Reason     string `json:"reason"` // user, restarted, user_closed
}

// RecoveryExpired notes that it was not finished in time. It is housekeeping
// (D-4).
type RecoveryExpired struct {
	RecoveryID string `json:"recovery_id"`
}

// Recovery is one of them.
type Recovery struct {
	ID             string
	FromID         string
	InstallationID string
	OS             OS
	Proof          string
	PhoneID        string
	StartedAt      time.Time
	ExpiresAt      time.Time
	Codes          []Issued
	Attempts       int
	Proved         bool
	Done           bool
	Cancelled      bool
	expired        bool // an event says so
}

func (r *Recovery) over() bool { return r.Done || r.Cancelled }

func (r *Recovery) open(now time.Time) bool { return !r.over() && now.Before(r.ExpiresAt) }

// Open reports whether the recovery can go on at a moment.
func (r *Recovery) Open(now time.Time) bool { return r.open(now) }

func (u *User) openRecovery(now time.Time) *Recovery {
	for _, r := range u.recoveries.items {
		if r.open(now) {
			return r
		}
	}
	return nil
}

func (d *decision) startRecovery(c StartRecovery) ([]Event, error) {
	if c.Cause != "reinstalled" && c.Cause != "os_upgraded" {
		return nil, invalid("cause", "want reinstalled or os_upgraded")
	}
	if d.f.Installation == nil {
		return nil, noInstallation()
	}
	i, from := d.f.Installation, d.u.ibKey()
	match := from != nil && (from.InstallationID == i.ID || d.f.From != nil && d.f.From.HandsetID == i.HandsetID)
	t, reason := d.process(c.TxnID)
	switch {
	case reason != "":
	case from == nil:
		reason = ReasonNothingToRecover
	case !match:
		reason = ReasonRecoveryHandset
	case i.Retired:
		reason = ReasonRetired
	}
	proof, phone := "", (*Phone)(nil)
	if reason == "" {
		proof, phone, reason = d.recoveryProof(from)
	}
	if reason != "" {
		return []Event{RecoveryRefused{NewInstallationID: c.InstallationID, HandsetMatch: match, Reason: reason}}, nil
	}
	if phone != nil {
		if refusal := d.smsRefusal(phone, PurposeRecovery, ""); refusal != nil {
			return []Event{*refusal}, nil
		}
	}
	if old := d.u.openRecovery(d.now); old != nil {
		d.emit(RecoveryCancelled{RecoveryID: old.ID, Reason: "restarted"})
	}
	id, expires := d.newID(PrefixRecovery), d.now.Add(d.seconds(pCompletionTTL))
	started := RecoveryStarted{
		RecoveryID: id, AuthenticatorID: from.ID, Cause: c.Cause, NewInstallationID: i.ID, OS: i.OS, HandsetMatch: match, Proof: proof, ExpiresAt: expires,
	}
	if phone != nil {
		started.ActivationPhoneID = phone.ID
	}
	d.emit(started)
	switch proof {
	case proofPhysical:
		device := d.physicalDevice()
		d.challengeFor(t, device, id)
	case proofSMS:
		d.issueActivationCode(phone, PurposeRecovery, id, 1, d.now.Add(d.seconds(pActivationTTL)))
	}
	return d.events, nil
}

// recoveryProof chooses the proof (K-19): a physical device before anything
// else; on iOS the original security element, which the old key's signature
// stands for; otherwise an SMS to the phone used at activation.
func (d *decision) recoveryProof(from *Authenticator) (string, *Phone, Code) {
	if d.physicalDevice() != nil {
		return proofPhysical, nil, ""
	}
	if d.f.Installation.OS == IOS && d.f.Handover {
		return proofOriginalUV, nil, ""
	}
	p, reason := d.originalPhone(from)
	return proofSMS, p, reason
}

func (d *decision) recovery(id string) (*Recovery, error) {
	r := d.u.recoveries.get(id)
	if r == nil {
		return nil, unknown("recovery")
	}
	return r, nil
}

var errRecoveryClosed = &Error{Code: ReasonProcessClosed, Detail: "this recovery has ended; start a new one"}

func (d *decision) resendRecoveryCode(c ResendRecoveryCode) ([]Event, error) {
	r, err := d.recovery(c.RecoveryID)
	if err != nil {
		return nil, err
	}
	if !r.open(d.now) || r.Proved || r.Proof != proofSMS {
		return nil, errRecoveryClosed
	}
	return d.issueNextActivationCode(r.PhoneID, PurposeRecovery, r.ID, r.Codes, earlier(d.now.Add(d.seconds(pActivationTTL)), r.ExpiresAt))
}

func (d *decision) submitRecoveryCode(c ProveRecovery) ([]Event, error) {
	r, err := d.recovery(c.RecoveryID)
	if err != nil {
		return nil, err
	}
	if !r.open(d.now) || r.Proof != proofSMS {
		return nil, errRecoveryClosed
	}
	if d.judgeActivation(r.ID, r.Codes, r.Attempts, r.Proved) {
		d.emit(RecoveryProofAccepted{RecoveryID: r.ID, Proof: proofSMS})
	}
	return d.events, nil
}

func (d *decision) completeRecovery(c CompleteRecovery) ([]Event, error) {
	r, err := d.recovery(c.RecoveryID)
	if err != nil {
		return nil, err
	}
	if !r.open(d.now) {
		return nil, errRecoveryClosed
	}
	if d.f.Installation == nil {
		return nil, noInstallation()
	}
	from := d.u.bound(r.FromID)
	if reason := d.recoveryIncomplete(r, from, c.UV); reason != "" {
		return []Event{RecoveryRefused{RecoveryID: r.ID, NewInstallationID: r.InstallationID, HandsetMatch: true, Reason: reason}}, nil
	}
	id := d.newID(PrefixAuthenticator)
	d.emit(AuthenticatorRevoked{AuthenticatorID: from.ID, Reason: "replaced", SuccessorID: id})
	d.bind(d.successor(from, id, r.InstallationID, r.OS, triggerRecovery))
	d.emit(RecoveryCompleted{
		RecoveryID: r.ID, NewAuthenticatorID: id, InstallationID: r.InstallationID, FormerInstallation: from.InstallationID, UV: c.UV,
		PINPolicyVersion: d.pinPolicy(),
	})
	return d.events, nil
}

func (d *decision) recoveryIncomplete(r *Recovery, from *Authenticator, uv UV) Code {
	switch {
	case d.now.Before(d.u.lockedUntil):
		return ReasonUserLocked
	case from == nil:
		return ReasonNothingToRecover
	case !r.Proved && r.Proof != proofOriginalUV, r.Proof != proofPhysical && d.u.active(d.now, physical):
		return ReasonMigrationProof
	case d.f.Installation.Retired:
		return ReasonRetired
	}
	return d.localRefusal(r.OS, uv) // a blocked PIN is no obstacle: a recovery ends it (domain.md 8)
}

func (d *decision) cancelRecovery(c CancelRecovery) ([]Event, error) {
	r, err := d.recovery(c.RecoveryID)
	if err != nil || !r.open(d.now) {
		return nil, err
	}
	return []Event{RecoveryCancelled{RecoveryID: r.ID, Reason: "user"}}, nil
}

func (u *User) applyRecovery(e Event, at time.Time) {
	change := func(id string, f func(*Recovery)) {
		if r := u.recoveries.get(id); r != nil {
			f(r)
		}
	}
	switch e := e.(type) {
	case RecoveryStarted:
		u.took(e.RecoveryID)
		u.recoveries.add(e.RecoveryID, &Recovery{
			ID: e.RecoveryID, FromID: e.AuthenticatorID, InstallationID: e.NewInstallationID, OS: e.OS, Proof: e.Proof,
			PhoneID: e.ActivationPhoneID, StartedAt: at, ExpiresAt: e.ExpiresAt,
		})
	case ActivationCodeIssued:
		change(e.SubjectID, func(r *Recovery) { r.Codes, r.Attempts = withCode(r.Codes, issuedActivation(e)), 0 })
	case ActivationCodeRejected:
		change(e.SubjectID, func(r *Recovery) { r.Attempts = max(r.Attempts, e.AttemptNo) })
	case RecoveryProofAccepted:
		change(e.RecoveryID, func(r *Recovery) { r.Proved = true })
	case RecoveryCompleted:
		change(e.RecoveryID, func(r *Recovery) { r.Done = true })
	case RecoveryCancelled:
		change(e.RecoveryID, func(r *Recovery) { r.Cancelled = true })
	case RecoveryExpired:
		change(e.RecoveryID, func(r *Recovery) { r.expired = true })
	}
}
