package domain

import "time"

// Migration of IB Key to another phone without support (domain.md 6.6, R-50,
// D-50, D-51): everything happens on the new phone, and until
// it is complete the old one keeps answering, afterwards the new one alone
//

// StartMigration begins to move the user's IB Key to another installation. It
// needs a transaction begun with the password.
type StartMigration struct {
	UserID         string
	InstallationID string // the new phone
	TxnID          string
}

// ResendMigrationCode sends a new code; it supersedes the earlier ones.
type ResendMigrationCode struct{ MigrationID string }

// ProveMigration answers with the code from the SMS; evidence in Facts.Code.
type ProveMigration struct {
	MigrationID string
	Code        Secret
}

// CompleteMigration moves the authenticator after user verification on the new
// phone.
type CompleteMigration struct {
	MigrationID string
	UV          UV
}

// CancelMigration gives up.
type CancelMigration struct{ MigrationID string }

// MigrationStarted opens a migration. It must be proved before ExpiresAt.
type MigrationStarted struct {
	MigrationID         string    `json:"migration_id"`
	FromAuthenticatorID string    `json:"from_authenticator_id"`
	FromInstallationID  string    `json:"from_installation_id"`
	FromOS              OS        `json:"from_os"`
	ToInstallationID    string    `json:"to_installation_id"`
	ToOS                OS        `json:"to_os"`
	Proof               string    `json:"proof"` // sms, physical_device
	ActivationPhoneID   string    `json:"activation_phone_id,omitempty"`
	ExpiresAt           time.Time `json:"expires_at"`
}

// MigrationRefused records why one did not start or complete.
type MigrationRefused struct {
	MigrationID      string `json:"migration_id,omitempty"`
	ToInstallationID string `json:"to_installation_id"`
	Reason           Code   `json:"reason"`
}

// MigrationProofAccepted means that the user proved it. It must be completed
// before CompleteBy.
type MigrationProofAccepted struct {
	MigrationID string    `json:"migration_id"`
	Proof       string    `json:"proof"`
	CompleteBy  time.Time `json:"complete_by"`
}

// MigrationCompleted means that the new phone answers from now on.
type MigrationCompleted struct {
	MigrationID         string `json:"migration_id"`
	FromAuthenticatorID string `json:"from_authenticator_id"`
	ToAuthenticatorID   string `json:"to_authenticator_id"`
	FromOS              OS     `json:"from_os"`
	ToOS                OS     `json:"to_os"`
	UV                  UV     `json:"uv"`
	PINPolicyVersion    int    `json:"pin_policy_version,omitempty"` // attested; Android
}

// MigrationCancelled means that it was given up.
type MigrationCancelled struct {
	MigrationID string `json:"migration_id"`
	Reason      string `json:"reason"` // user, restarted, user_closed
}

// MigrationExpired notes that it was not finished in time. It is housekeeping
// (D-4).
type MigrationExpired struct {
	MigrationID string `json:"migration_id"`
}

// Migration is one move.
type Migration struct {
	ID             string
	FromID         string // authenticator
	InstallationID string // of the new phone
	OS             OS
	Proof          string
	PhoneID        string
	StartedAt      time.Time
	ExpiresAt      time.Time // moved on when it is proved
	Codes          []Issued
	Attempts       int
	Proved         bool
	Done           bool
	Cancelled      bool
	expired        bool // an event says so
}

func (m *Migration) over() bool { return m.Done || m.Cancelled }

func (m *Migration) open(now time.Time) bool { return !m.over() && now.Before(m.ExpiresAt) }

// Open reports whether the migration can go on at a moment.
func (m *Migration) Open(now time.Time) bool { return m.open(now) }

// Proofs of a migration or recovery.
const (
	proofSMS        = "sms"
	proofPhysical   = "physical_device"
	proofOriginalUV = "original_uv"
)

// openMigration is the one migration under way, if any.
func (u *User) openMigration(now time.Time) *Migration {
	for _, m := range u.migrations.items {
		if m.open(now) {
			return m
		}
	}
	return nil
}

func physical(a *Authenticator) bool { return a.Kind.Physical() }

// physicalDevice is the physical security device that answers in place of an
// SMS (K-19): the most protective active one, or nil.
func (d *decision) physicalDevice() *Authenticator {
	for _, a := range d.u.Authenticators(d.now) {
		if a.Kind.Physical() {
			return &a
		}
	}
	return nil
}

func (d *decision) startMigration(c StartMigration) ([]Event, error) {
	if d.f.Installation == nil {
		return nil, noInstallation()
	}
	t, reason := d.process(c.TxnID)
	from := d.u.ibKey()
	if reason == "" {
		reason = d.migrationRefusal(c, from)
	}
	device := d.physicalDevice()
	var phone *Phone
	if reason == "" && device == nil {
		phone, reason = d.originalPhone(from)
	}
	if reason != "" {
		return []Event{MigrationRefused{ToInstallationID: c.InstallationID, Reason: reason}}, nil
	}
	if phone != nil {
		if refusal := d.smsRefusal(phone, PurposeMigration, ""); refusal != nil {
			return []Event{*refusal}, nil
		}
	}
	if old := d.u.openMigration(d.now); old != nil {
		d.emit(MigrationCancelled{MigrationID: old.ID, Reason: "restarted"})
	}
	id, expires := d.newID(PrefixMigration), d.now.Add(d.seconds(pMigrationTTL))
	started := MigrationStarted{
		MigrationID: id, FromAuthenticatorID: from.ID, FromInstallationID: from.InstallationID, FromOS: from.OS,
		ToInstallationID: c.InstallationID, ToOS: d.f.Installation.OS, Proof: proofPhysical, ExpiresAt: expires,
	}
	if device != nil {
		d.emit(started)
		d.challengeFor(t, device, id)
		return d.events, nil
	}
	started.Proof, started.ActivationPhoneID = proofSMS, phone.ID
	d.emit(started)
	d.issueActivationCode(phone, PurposeMigration, id, 1, earlier(d.now.Add(d.seconds(pActivationTTL)), expires))
	return d.events, nil
}

func (d *decision) migrationRefusal(c StartMigration, from *Authenticator) Code {
	i := d.f.Installation
	open := d.u.openMigration(d.now)
	switch {
	case from == nil:
		return ReasonNothingToMigrate
	case from.InstallationID == i.ID || d.f.From != nil && d.f.From.HandsetID == i.HandsetID:
		return ReasonSameHandset
	case open != nil && open.InstallationID != i.ID:
		return ReasonMigrationOpen
	case i.Blocked:
		return ReasonInstallBlocked
	case i.Retired:
		return ReasonRetired
	}
	return ""
}

// originalPhone is the phone used to activate IB Key, to which the proof goes
// (R-53, D-51).
func (d *decision) originalPhone(from *Authenticator) (*Phone, Code) {
	p := d.u.phones[from.ActivationID]
	if p == nil || p.Retired || !p.Verified {
		return nil, ReasonPhoneNotOriginal
	}
	return p, ""
}

// migration finds a migration that can go on.
func (d *decision) migration(id string) (*Migration, error) {
	m := d.u.migrations.get(id)
	if m == nil {
		return nil, unknown("migration")
	}
	return m, nil
}

var errMigrationClosed = &Error{Code: ReasonProcessClosed, Detail: "this migration has ended; start a new one"}

func (d *decision) resendMigrationCode(c ResendMigrationCode) ([]Event, error) {
	m, err := d.migration(c.MigrationID)
	if err != nil {
		return nil, err
	}
	if !m.open(d.now) || m.Proved || m.Proof != proofSMS {
		return nil, errMigrationClosed
	}
	return d.issueNextActivationCode(m.PhoneID, PurposeMigration, m.ID, m.Codes, earlier(d.now.Add(d.seconds(pActivationTTL)), m.ExpiresAt))
}

func (d *decision) submitMigrationCode(c ProveMigration) ([]Event, error) {
	m, err := d.migration(c.MigrationID)
	if err != nil {
		return nil, err
	}
	if m.over() || m.Proof != proofSMS || m.Proved && !m.open(d.now) {
		return nil, errMigrationClosed
	}
	if d.judgeActivation(m.ID, m.Codes, m.Attempts, m.Proved) {
		d.proveMigration(m, proofSMS)
	}
	if !m.open(d.now) && !m.expired {
		d.emit(MigrationExpired{MigrationID: m.ID})
	}
	return d.events, nil
}

func (d *decision) proveMigration(m *Migration, proof string) {
	d.emit(MigrationProofAccepted{
		MigrationID: m.ID, Proof: proof, CompleteBy: d.now.Add(d.seconds(pCompletionTTL)),
	})
}

func (d *decision) completeMigration(c CompleteMigration) ([]Event, error) {
	m, err := d.migration(c.MigrationID)
	if err != nil {
		return nil, err
	}
	if !m.open(d.now) {
		return nil, errMigrationClosed
	}
	if d.f.Installation == nil {
		return nil, noInstallation()
	}
	from := d.u.bound(m.FromID)
	if reason := d.migrationIncomplete(m, from, c.UV); reason != "" {
		return []Event{MigrationRefused{MigrationID: m.ID, ToInstallationID: m.InstallationID, Reason: reason}}, nil
	}
	id := d.newID(PrefixAuthenticator)
	d.emit(AuthenticatorRevoked{AuthenticatorID: from.ID, Reason: "migrated", SuccessorID: id})
	d.bind(d.successor(from, id, m.InstallationID, m.OS, triggerMigration))
	d.emit(MigrationCompleted{
		MigrationID: m.ID, FromAuthenticatorID: from.ID, ToAuthenticatorID: id, FromOS: from.OS, ToOS: m.OS, UV: c.UV,
		PINPolicyVersion: d.pinPolicy(),
	})
	return d.events, nil
}

// successor is IB Key on another installation: the same binding to the phone
// number, with a key of its own.
func (d *decision) successor(from *Authenticator, id, installationID string, os OS, trigger string) AuthenticatorEnrolled {
	return AuthenticatorEnrolled{
		AuthenticatorID: id, Kind: KindIBKey, InstallationID: installationID, UVMethods: uvMethods(os), ActivationPhoneID: from.ActivationID,
		Trigger: trigger, OOBClass: oobNumber, OCRASuite: OCRASuiteIBKey, OS: os,
	}
}

func (d *decision) migrationIncomplete(m *Migration, from *Authenticator, uv UV) Code {
	switch {
	case d.now.Before(d.u.lockedUntil):
		return ReasonUserLocked
	case from == nil:
		return ReasonNothingToMigrate
	case !m.Proved, m.Proof == proofSMS && d.u.active(d.now, physical):
		return ReasonMigrationProof
	case d.f.Installation.Blocked:
		return ReasonInstallBlocked
	case d.f.Installation.Retired:
		return ReasonRetired
	}
	return d.localRefusal(m.OS, uv)
}

func (d *decision) cancelMigration(c CancelMigration) ([]Event, error) {
	m, err := d.migration(c.MigrationID)
	if err != nil || !m.open(d.now) {
		return nil, err
	}
	return []Event{MigrationCancelled{MigrationID: m.ID, Reason: "user"}}, nil
}

func (u *User) applyMigration(e Event, at time.Time) {
	change := func(id string, f func(*Migration)) {
		if m := u.migrations.get(id); m != nil {
			f(m)
		}
	}
	switch e := e.(type) {
	case MigrationStarted:
		u.took(e.MigrationID)
		u.migrations.add(e.MigrationID, &Migration{
			ID: e.MigrationID, FromID: e.FromAuthenticatorID, InstallationID: e.ToInstallationID, OS: e.ToOS, Proof: e.Proof,
			PhoneID: e.ActivationPhoneID, StartedAt: at, ExpiresAt: e.ExpiresAt,
		})
	case ActivationCodeIssued:
		change(e.SubjectID, func(m *Migration) { m.Codes, m.Attempts = withCode(m.Codes, issuedActivation(e)), 0 })
	case ActivationCodeRejected:
		change(e.SubjectID, func(m *Migration) { m.Attempts = max(m.Attempts, e.AttemptNo) })
	case MigrationProofAccepted:
		change(e.MigrationID, func(m *Migration) { m.Proved, m.ExpiresAt = true, e.CompleteBy })
	case MigrationCompleted:
		change(e.MigrationID, func(m *Migration) { m.Done = true })
	case MigrationCancelled:
		change(e.MigrationID, func(m *Migration) { m.Cancelled = true })
	case MigrationExpired:
		change(e.MigrationID, func(m *Migration) { m.expired = true })
	}
}

func issuedActivation(e ActivationCodeIssued) Issued {
	return Issued{Seq: e.Seq, Kid: e.Kid, Len: e.CodeLen, ExpiresAt: e.ExpiresAt}
}
