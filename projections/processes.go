package projections

import (
	"context"
	"strings"

	"github.com/authledger/authledger/domain"
)

// Processes: everything that takes a user more than one step, from the binding
// of an authenticator to the collection of a temporary credential, and every
// one that was refused at its start. A refusal on the way is noted as the
// reason of a process that goes on. Time ends no row: see Process.Open.
const (
	schemaProcesses = `CREATE TABLE processes (
	seq       INTEGER PRIMARY KEY, -- of its first event, or of the refusal
	id        TEXT UNIQUE,         -- NULL for a refusal
	user      TEXT NOT NULL,
	kind      TEXT NOT NULL,
	variant   TEXT,
	step      TEXT NOT NULL,
	started   INTEGER NOT NULL,
	source    TEXT,                -- authenticator it began with
	authenticator TEXT,            -- authenticator that came of it
	installation TEXT,
	device    TEXT,
	phone     TEXT,
	owner     TEXT,                -- user whose unit is to be shared
	proof     TEXT,
	proved    INTEGER,
	uv        TEXT,
	idv       TEXT,
	expires   INTEGER,             -- NULL for an enrolment, which expires by a parameter
	ended     INTEGER,
	outcome   TEXT,
	reason    TEXT
) STRICT;
CREATE INDEX processes_user ON processes (user, kind, started);
CREATE INDEX processes_kind ON processes (kind, started);
CREATE INDEX processes_open ON processes (kind, started) WHERE ended IS NULL;
CREATE INDEX processes_ended ON processes (kind, ended) WHERE ended IS NOT NULL;
CREATE INDEX processes_authenticator ON processes (authenticator) WHERE authenticator IS NOT NULL;
CREATE INDEX processes_device ON processes (device, kind) WHERE device IS NOT NULL AND ended IS NULL`

	sqlBeginProcess = `INSERT INTO processes (seq, id, user, kind, variant, step, started, source, installation, device, phone, owner, proof, proved, expires)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`
	sqlRefuseProcess = `INSERT INTO processes (seq, user, kind, variant, step, started, source, installation, device, ended, outcome, reason)
VALUES (?1, ?2, ?3, ?4, 'refused', ?5, ?6, ?7, ?8, ?5, 'refused', ?9)`
	sqlStepProcess  = `UPDATE processes SET step = ?, reason = ? WHERE id = ? AND ended IS NULL`
	sqlObjectTo     = `UPDATE processes SET reason = ? WHERE id = ? AND ended IS NULL`
	sqlProveProcess = `UPDATE processes SET step = ?, proof = coalesce(?, proof), proved = ?, expires = coalesce(?, expires), reason = NULL
WHERE id = ? AND ended IS NULL`
	sqlFinishProcess = `UPDATE processes SET step = ?1, ended = ?2, outcome = 'done', reason = NULL, authenticator = ?3, uv = ?4,
	proved = CASE WHEN proof IS NULL THEN NULL ELSE coalesce(proved, ?2) END WHERE id = ?5 AND ended IS NULL`
	sqlEndProcess  = `UPDATE processes SET ended = ?, outcome = ?, reason = ? WHERE id = ? AND ended IS NULL`
	sqlAfterwards  = `UPDATE processes SET step = ? WHERE id = ?`
	sqlIdentified  = `UPDATE processes SET idv = ? WHERE id = ?`
	sqlCloseOfUser = `UPDATE processes SET ended = ?, outcome = 'cancelled', reason = 'user_closed' WHERE user = ? AND ended IS NULL`
	// The authenticator of an enrolment is bound in the append that completes it.
	sqlBoundBy = `UPDATE processes SET authenticator = ? WHERE user = ? AND kind = 'enrollment' AND ended = ? AND outcome = 'done' AND authenticator IS NULL`

	sqlSupersede = `UPDATE processes SET ended = ?, outcome = 'cancelled', reason = 'superseded'
WHERE user = ? AND kind = 'unification' AND installation = ? AND ended IS NULL`
	sqlShipRequest     = `UPDATE processes SET step = 'shipped', device = ? WHERE id = ? AND step = 'requested' AND ended IS NULL`
	sqlActivateRequest = `UPDATE processes SET step = 'activated', ended = ?, outcome = 'done', reason = NULL
WHERE device = ? AND kind = 'device_request' AND user = ? AND ended IS NULL`
	sqlReturnRequest = `UPDATE processes SET step = 'returned', ended = ?, outcome = 'cancelled', reason = 'returned'
WHERE device = ? AND kind = 'device_request' AND ended IS NULL`
)

// ProcessKind says what a process is about.
type ProcessKind string

// Kinds of processes.
const (
	ProcessEnrollment  ProcessKind = "enrollment"
	ProcessMigration   ProcessKind = "migration"
	ProcessRecovery    ProcessKind = "recovery"
	ProcessUnification ProcessKind = "unification"
	ProcessRequest     ProcessKind = "device_request" // of a physical device, until it is activated
	ProcessSharing     ProcessKind = "device_sharing"
	ProcessCard        ProcessKind = "code_card"           // from issue to activation
	ProcessTemporary   ProcessKind = "temporary_passcode"  // its issue
	ProcessDelivery    ProcessKind = "credential_delivery" // until an app collected it
)

// Proof is how a process made sure of its user.
type Proof string

// Proofs. Those of migrations and recoveries are the words of their events.
const (
	ProofSMS      Proof = "sms"             // a code sent to a phone
	ProofPhysical Proof = "physical_device" // a response of a physical device
	ProofOriginal Proof = "original_uv"     // the old app's key signed
	ProofHandover Proof = "handover"        // the standalone app's key signed
	ProofGrid     Proof = "grid"            // two cells of the card
	ProofAgent    Proof = "agent"           // an agent verified the identity
)

// ProcessOutcome is how a process ended.
type ProcessOutcome string

// Outcomes of a process.
const (
	ProcessDone      ProcessOutcome = "done"
	ProcessRefused   ProcessOutcome = "refused"
	ProcessCancelled ProcessOutcome = "cancelled"
	ProcessExpired   ProcessOutcome = "expired" // and the ledger noted it
)

// processes writes the processes.
type processes struct {
	direct

	begin, refuse, step, object, prove, finish, end, afterwards, identified, closeOfUser *stmt
	boundBy, supersede, shipRequest, activateRequest, returnRequest                      *stmt
}

func (m *processes) prepare(p *preparer) {
	m.begin, m.refuse, m.step, m.object = p.stmt(sqlBeginProcess), p.stmt(sqlRefuseProcess), p.stmt(sqlStepProcess), p.stmt(sqlObjectTo)
	m.prove, m.finish = p.stmt(sqlProveProcess), p.stmt(sqlFinishProcess)
	m.end, m.afterwards, m.identified, m.closeOfUser = p.stmt(sqlEndProcess), p.stmt(sqlAfterwards), p.stmt(sqlIdentified), p.stmt(sqlCloseOfUser)
	m.boundBy, m.supersede, m.shipRequest = p.stmt(sqlBoundBy), p.stmt(sqlSupersede), p.stmt(sqlShipRequest)
	m.activateRequest, m.returnRequest = p.stmt(sqlActivateRequest), p.stmt(sqlReturnRequest)
}

func (m *processes) apply(_ context.Context, e *entry) error {
	switch v := e.Event.(type) {
	case domain.UserClosed:
		return run(m.closeOfUser, e.occurred, e.owner)
	case domain.AuthenticatorEnrolled:
		return m.enrolled(e, v)
	case domain.EnrollmentStarted, domain.EnrollmentRefused, domain.ActivationCodeAccepted, domain.UserVerificationPerformed,
		domain.EnrollmentAbandoned, domain.EnrollmentExpired:
		return m.enrollment(e)
	case domain.MigrationStarted, domain.MigrationRefused, domain.MigrationProofAccepted, domain.MigrationCompleted,
		domain.MigrationCancelled, domain.MigrationExpired:
		return m.migration(e)
	case domain.RecoveryStarted, domain.RecoveryRefused, domain.RecoveryProofAccepted, domain.RecoveryCompleted,
		domain.RecoveryCancelled, domain.RecoveryExpired:
		return m.recovery(e)
	case domain.UnificationOffered, domain.UnificationDeferred, domain.UnificationCompleted, domain.UnificationRefused:
		return m.unification(e)
	case domain.PhysicalDeviceRequested, domain.PhysicalDeviceRequestRefused, domain.PhysicalDeviceShipped, domain.DeviceReturned:
		return m.device(e)
	case domain.DeviceSharingRequested, domain.DeviceSharingPending, domain.DeviceSharingGranted, domain.DeviceSharingDenied,
		domain.DeviceSharingEnded:
		return m.sharing(e)
	case domain.OnlineCodeCardIssued, domain.OnlineCodeCardRefused, domain.SecurityCodeCardIssued, domain.SecurityCodeCardRefused:
		return m.card(e)
	case domain.TemporaryPasscodeIssued, domain.TemporaryPasscodeRefused, domain.TemporaryCredentialDelivered,
		domain.TemporaryCredentialCollected, domain.TemporaryCredentialRefused:
		return m.temporary(e)
	}
	return nil
}

// beginning is the first row of a process; what is empty is NULL.
type beginning struct {
	id, user, variant, step             string
	kind                                ProcessKind
	source, installation, device, phone string
	owner                               string
	proof                               Proof
	proved                              bool // from the first moment
	expires                             any
}

func (m *processes) start(e *entry, b beginning) error {
	if b.user == "" {
		b.user = e.owner
	}
	var proved any
	if b.proved {
		proved = e.occurred
	}
	return run(m.begin, e.seq, b.id, b.user, string(b.kind), optional(b.variant), b.step, e.occurred, optional(b.source),
		optional(b.installation), optional(b.device), optional(b.phone), optional(b.owner), optional(b.proof), proved, b.expires)
}

// refused notes a refusal: of the process with this id, which goes on, or at
// the start of one that never was.
func (m *processes) refused(e *entry, id string, reason domain.Code, b beginning) error {
	if id != "" {
		return run(m.object, string(reason), id)
	}
	return run(m.refuse, e.seq, e.owner, string(b.kind), optional(b.variant), e.occurred, optional(b.source), optional(b.installation),
		optional(b.device), string(reason))
}

func (m *processes) finished(e *entry, id, step, authenticator string, uv domain.UV) error {
	return run(m.finish, step, e.occurred, optional(authenticator), optional(uv), id)
}

func (m *processes) cancelled(e *entry, id, reason string) error {
	return run(m.end, e.occurred, string(ProcessCancelled), optional(reason), id)
}

func (m *processes) expired(e *entry, id string) error {
	return run(m.end, e.occurred, string(ProcessExpired), nil, id)
}

// enrolled ends what an authenticator was bound by, where no event of the
// process itself says so.
func (m *processes) enrolled(e *entry, v domain.AuthenticatorEnrolled) error {
	if v.DeviceID != "" {
		if err := run(m.activateRequest, e.occurred, v.DeviceID, e.owner); err != nil {
			return err
		}
	}
	switch {
	case v.Kind.Grid():
		return m.finished(e, v.AuthenticatorID, "activated", v.AuthenticatorID, "")
	case v.Trigger == "user":
		return run(m.boundBy, v.AuthenticatorID, e.owner, e.occurred)
	}
	return nil
}

func (m *processes) enrollment(e *entry) error {
	switch v := e.Event.(type) {
	case domain.EnrollmentStarted:
		b := beginning{
			id: v.EnrollmentID, kind: ProcessEnrollment, variant: v.Flow, step: "awaiting_code", installation: v.InstallationID,
			device: v.DeviceID, phone: v.PhoneID, proof: ProofSMS,
		}
		if v.DeviceID != "" {
			b.step, b.proof = "awaiting_response", ProofPhysical
		}
		return m.start(e, b)
	case domain.EnrollmentRefused:
		return m.refused(e, v.EnrollmentID, v.Reason, beginning{
			kind: ProcessEnrollment, variant: v.Flow, installation: v.InstallationID, device: v.DeviceID,
		})
	case domain.ActivationCodeAccepted:
		if !strings.HasPrefix(v.SubjectID, domain.PrefixEnrollment) {
			return nil // migrations and recoveries have events of their own
		}
		return run(m.prove, "awaiting_uv", nil, e.occurred, nil, v.SubjectID)
	case domain.UserVerificationPerformed:
		return m.finished(e, v.EnrollmentID, "done", "", v.UV)
	case domain.EnrollmentAbandoned:
		return m.cancelled(e, v.EnrollmentID, "user")
	case domain.EnrollmentExpired:
		return m.expired(e, v.EnrollmentID)
	}
	return nil
}

func (m *processes) migration(e *entry) error {
	switch v := e.Event.(type) {
	case domain.MigrationStarted:
		return m.start(e, beginning{
			id: v.MigrationID, kind: ProcessMigration, step: "started", source: v.FromAuthenticatorID, installation: v.ToInstallationID,
			phone: v.ActivationPhoneID, proof: Proof(v.Proof), expires: micros(v.ExpiresAt),
		})
	case domain.MigrationRefused:
		return m.refused(e, v.MigrationID, v.Reason, beginning{kind: ProcessMigration, installation: v.ToInstallationID})
	case domain.MigrationProofAccepted:
		return run(m.prove, "proved", v.Proof, e.occurred, micros(v.CompleteBy), v.MigrationID)
	case domain.MigrationCompleted:
		return m.finished(e, v.MigrationID, "done", v.ToAuthenticatorID, v.UV)
	case domain.MigrationCancelled:
		return m.cancelled(e, v.MigrationID, v.Reason)
	case domain.MigrationExpired:
		return m.expired(e, v.MigrationID)
	}
	return nil
}

func (m *processes) recovery(e *entry) error {
	switch v := e.Event.(type) {
	case domain.RecoveryStarted:
		b := beginning{
			id: v.RecoveryID, kind: ProcessRecovery, variant: v.Cause, step: "started", source: v.AuthenticatorID,
			installation: v.NewInstallationID, phone: v.ActivationPhoneID, proof: Proof(v.Proof), expires: micros(v.ExpiresAt),
		}
		if b.proof == ProofOriginal { // the signature came with the request
			b.step, b.proved = "proved", true
		}
		return m.start(e, b)
	case domain.RecoveryRefused:
		return m.refused(e, v.RecoveryID, v.Reason, beginning{kind: ProcessRecovery, installation: v.NewInstallationID})
	case domain.RecoveryProofAccepted:
		return run(m.prove, "proved", v.Proof, e.occurred, nil, v.RecoveryID)
	case domain.RecoveryCompleted:
		return m.finished(e, v.RecoveryID, "done", v.NewAuthenticatorID, v.UV)
	case domain.RecoveryCancelled:
		return m.cancelled(e, v.RecoveryID, v.Reason)
	case domain.RecoveryExpired:
		return m.expired(e, v.RecoveryID)
	}
	return nil
}

// unification ends, with the one that is completed, whatever else was offered
// for the same app: there is nothing left to move.
func (m *processes) unification(e *entry) error {
	switch v := e.Event.(type) {
	case domain.UnificationOffered:
		return m.start(e, beginning{
			id: v.UnificationID, kind: ProcessUnification, variant: v.Case, step: "offered", source: v.AuthenticatorID,
			installation: v.InstallationID, proof: ProofHandover,
		})
	case domain.UnificationDeferred:
		return run(m.step, "deferred", nil, v.UnificationID)
	case domain.UnificationCompleted:
		if err := m.finished(e, v.UnificationID, "done", "", ""); err != nil {
			return err
		}
		return run(m.supersede, e.occurred, e.owner, v.NewInstallationID)
	case domain.UnificationRefused:
		return m.refused(e, v.UnificationID, v.Reason, beginning{kind: ProcessUnification, variant: v.Case, installation: v.InstallationID})
	}
	return nil
}

// device follows an order. A shipment stands in two streams; what comes first
// moves it on.
func (m *processes) device(e *entry) error {
	switch v := e.Event.(type) {
	case domain.PhysicalDeviceRequested:
		return m.start(e, beginning{id: v.RequestID, kind: ProcessRequest, variant: v.Model, step: "requested"})
	case domain.PhysicalDeviceRequestRefused:
		return m.refused(e, "", v.Reason, beginning{kind: ProcessRequest, variant: v.Model})
	case domain.PhysicalDeviceShipped:
		return run(m.shipRequest, v.DeviceID, v.RequestID)
	case domain.DeviceReturned:
		return run(m.returnRequest, e.occurred, v.DeviceID)
	}
	return nil
}

func (m *processes) sharing(e *entry) error {
	switch v := e.Event.(type) {
	case domain.DeviceSharingRequested:
		if e.owner == v.DeviceID {
			return nil // the unit's stream repeats it
		}
		return m.start(e, beginning{
			id: v.SharingID, kind: ProcessSharing, step: "requested", user: v.RequestingUserID, device: v.DeviceID, owner: v.OwnerUserID,
			proof: ProofPhysical,
		})
	case domain.DeviceSharingPending:
		if err := run(m.prove, "pending", nil, e.occurred, nil, v.SharingID); err != nil {
			return err
		}
		return run(m.step, "pending", v.Reason, v.SharingID)
	case domain.DeviceSharingGranted:
		return m.finished(e, v.SharingID, "granted", v.AuthenticatorID, "")
	case domain.DeviceSharingDenied:
		return run(m.end, e.occurred, string(ProcessRefused), string(v.Reason), v.SharingID)
	case domain.DeviceSharingEnded:
		return run(m.afterwards, "ended", v.SharingID)
	}
	return nil
}

func (m *processes) card(e *entry) error {
	issued := func(id string, kind domain.Kind) error {
		return m.start(e, beginning{id: id, kind: ProcessCard, variant: string(kind), step: "issued", proof: ProofGrid})
	}
	refused := func(id string, reason domain.Code, kind domain.Kind) error {
		return m.refused(e, id, reason, beginning{kind: ProcessCard, variant: string(kind)})
	}
	switch v := e.Event.(type) {
	case domain.OnlineCodeCardIssued:
		return issued(v.AuthenticatorID, domain.KindOSCC)
	case domain.OnlineCodeCardRefused:
		return refused(v.AuthenticatorID, v.Reason, domain.KindOSCC)
	case domain.SecurityCodeCardIssued:
		return issued(v.AuthenticatorID, domain.KindSCC)
	case domain.SecurityCodeCardRefused:
		return refused(v.AuthenticatorID, v.Reason, domain.KindSCC)
	}
	return nil
}

func (m *processes) temporary(e *entry) error {
	switch v := e.Event.(type) {
	case domain.TemporaryPasscodeIssued:
		if err := m.start(e, beginning{
			id: v.AuthenticatorID, kind: ProcessTemporary, step: "issued", source: v.MissingAuthenticatorID, proof: ProofAgent, proved: true,
		}); err != nil {
			return err
		}
		if err := run(m.identified, v.IDVID, v.AuthenticatorID); err != nil {
			return err
		}
		return m.finished(e, v.AuthenticatorID, "issued", v.AuthenticatorID, "")
	case domain.TemporaryPasscodeRefused:
		return m.refused(e, "", v.Reason, beginning{kind: ProcessTemporary, source: v.MissingAuthenticatorID})
	case domain.TemporaryCredentialDelivered:
		b := beginning{
			id: v.DeliveryID, kind: ProcessDelivery, variant: v.What, step: "waiting", source: v.AuthenticatorID, installation: v.InstallationID,
			expires: microsAt(v.ExpiresAt),
		}
		if err := m.start(e, b); err != nil || v.InstallationID != "" {
			return err
		}
		return m.finished(e, v.DeliveryID, "read_out", "", "")
	case domain.TemporaryCredentialCollected:
		return m.finished(e, v.DeliveryID, "collected", "", "")
	case domain.TemporaryCredentialRefused:
		return m.refused(e, "", v.Reason, beginning{kind: ProcessDelivery, variant: v.What, source: v.AuthenticatorID})
	}
	return nil
}
