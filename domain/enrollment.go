package domain

import "time"

// Binding an authenticator to a user (domain.md 6.3): IB Key by activation
// code, also for a further user of an app, a physical device by a
// response it made, SMS by reaction. The articles have many names for the
// activation code; it is one thing here.

// StartEnrollment begins the activation of IB Key on an installation, or of a
// physical device that was sent to the user. It needs a transaction whose
// primary factor was verified; a user who has a permanent authenticator
// must have answered with it there (G-12).
type StartEnrollment struct {
	UserID         string
	Kind           Kind
	Flow           string // activate, or add_user on an app that serves somebody already; empty means activate
	InstallationID string // of IB Key
	DeviceID       string // of a Digital Security Card+
	TxnID          string
	PhoneID        string // optional: which verified phone receives the code
}

// ResendActivationCode sends a new code; it supersedes the earlier ones.
type ResendActivationCode struct{ EnrollmentID string }

// SubmitActivationCode answers with the code from the SMS; evidence in Facts.Code.
type SubmitActivationCode struct {
	EnrollmentID string
	Code         Secret
}

// CompleteEnrollment binds the authenticator after user verification.
type CompleteEnrollment struct {
	EnrollmentID string
	UV           UV
}

// AbandonEnrollment gives up.
type AbandonEnrollment struct{ EnrollmentID string }

// EvaluateAutoSMS is the reaction to a verified phone: enrol the user in SMS,
// or say why not (R-43, D-41).
type EvaluateAutoSMS struct{ UserID, PhoneID string }

// SetSeamless switches push approval on or off for the user.
type SetSeamless struct {
	UserID  string
	Enabled bool
}

// EnrollmentStarted opens an enrolment.
type EnrollmentStarted struct {
	EnrollmentID   string `json:"enrollment_id"`
	Kind           Kind   `json:"kind"`
	Flow           string `json:"flow"`
	InstallationID string `json:"installation_id"`
	PhoneID        string `json:"phone_id,omitempty"`
	OS             OS     `json:"os"` // evidence from the installation's stream
	HandsetID      string `json:"phone_handset_id"`
	DeviceID       string `json:"device_id,omitempty"`
}

// ActivationCodeIssued names a derived activation code.
type ActivationCodeIssued struct {
	SubjectID string    `json:"subject_id"`
	Seq       int       `json:"seq"`
	Kid       string    `json:"kid"`
	CodeLen   int       `json:"code_len"`
	Channel   string    `json:"channel"`
	ExpiresAt time.Time `json:"expires_at"`
}

// EnrollmentRefused records why an enrolment did not start or complete.
type EnrollmentRefused struct {
	EnrollmentID   string `json:"enrollment_id,omitempty"`
	Flow           string `json:"flow"`
	Kind           Kind   `json:"kind"`
	InstallationID string `json:"installation_id,omitempty"`
	DeviceID       string `json:"device_id,omitempty"`
	Reason         Code   `json:"reason"`
}

// ActivationCodeAccepted means that the code was right.
type ActivationCodeAccepted struct {
	SubjectID string `json:"subject_id"`
	Seq       int    `json:"seq"`
}

// ActivationCodeRejected means that it was not.
type ActivationCodeRejected struct {
	SubjectID    string `json:"subject_id"`
	Reason       Code   `json:"reason"`
	AttemptNo    int    `json:"attempt_no"`
	AttemptsLeft int    `json:"attempts_left"`
}

// UserVerificationPerformed records which local check the app made.
type UserVerificationPerformed struct {
	EnrollmentID     string `json:"enrollment_id"`
	UV               UV     `json:"uv"`
	InstallationID   string `json:"installation_id"`
	PINPolicyVersion int    `json:"pin_policy_version,omitempty"` // attested; Android
}

// AuthenticatorEnrolled binds an authenticator.
type AuthenticatorEnrolled struct {
	AuthenticatorID   string `json:"authenticator_id"`
	Kind              Kind   `json:"kind"`
	InstallationID    string `json:"installation_id,omitempty"`
	UVMethods         []UV   `json:"uv_methods,omitempty"`
	PhoneID           string `json:"phone_id,omitempty"` // sms: where codes go
	ActivationPhoneID string `json:"activation_phone_id,omitempty"`
	Trigger           string `json:"trigger"` // user, auto_sms, migration, recovery, auto_14_days, sharing, temporary
	Restricted        bool   `json:"restricted"`
	OOBClass          string `json:"oob_class,omitempty"`  // pstn, number_matching
	OCRASuite         string `json:"ocra_suite,omitempty"` // fixed at binding
	OS                OS     `json:"os,omitempty"`

	DeviceID       string     `json:"device_id,omitempty"`       // physical unit
	SharingID      string     `json:"sharing_id,omitempty"`      // the unit is another user's
	NextCounter    uint64     `json:"next_counter,omitempty"`    // OCRA counter expected first
	Kid            string     `json:"kid,omitempty"`             // temporary passcode: the code key it derives from
	Cells          int        `json:"cells,omitempty"`           // code cards
	GridCommitment string     `json:"grid_commitment,omitempty"` // code cards: base64url of SHA-256, see the issuing event
	FullUntil      *time.Time `json:"full_until,omitempty"`      // temporary passcode
	ExpiresAt      *time.Time `json:"expires_at,omitempty"`
}

// AuthenticatorRevoked ends one for good.
type AuthenticatorRevoked struct {
	AuthenticatorID string `json:"authenticator_id"`
	Reason          string `json:"reason"`
	SuccessorID     string `json:"successor_id,omitempty"`
}

// RevocationRefused records why one was not ended.
type RevocationRefused struct {
	AuthenticatorID string `json:"authenticator_id"`
	Reason          Code   `json:"reason"`
}

// SMSAutoEnrollmentSkipped says why a verified phone did not lead to SMS.
type SMSAutoEnrollmentSkipped struct {
	PhoneID string `json:"phone_id"`
	Reason  string `json:"reason"` // active_sls_device, not_verified, user_closed, already_enrolled
}

// EnrollmentAbandoned closes an enrolment.
type EnrollmentAbandoned struct {
	EnrollmentID string `json:"enrollment_id"`
}

// EnrollmentExpired notes that an enrolment was not finished in time. It is
// housekeeping (D-4).
type EnrollmentExpired struct {
	EnrollmentID string `json:"enrollment_id"`
}

// SeamlessEnabled switches push on.
type SeamlessEnabled struct{}

// SeamlessDisabled switches push off.
type SeamlessDisabled struct{}

// OCRASuiteIBKey is the suite of IB Key's offline mode (D-49), fixed at binding.
const OCRASuiteIBKey = "OCRA-1:HOTP-SHA256-8:QN06-T1M"

const (
	flowActivate     = "activate"
	flowAddUser      = "add_user"
	oobPSTN          = "pstn"
	oobNumber        = "number_matching"
	oobApproveOnly   = "approve_only"
	triggerUser      = "user"
	triggerAutoSMS   = "auto_sms"
	triggerMigration = "migration"
	triggerRecovery  = "recovery"
	triggerAuto14    = "auto_14_days"
	triggerSharing   = "sharing"
	triggerTemporary = "temporary"
	scopeTrading     = "trading_platforms"
)

func (d *decision) startEnrollment(c StartEnrollment) ([]Event, error) {
	if c.Flow == "" {
		c.Flow = flowActivate
	}
	switch {
	case c.Flow != flowActivate && c.Flow != flowAddUser:
		return nil, invalid("flow", "want activate, or add_user for an app that serves another user already")
	case c.Kind == KindDSCPlus:
		return d.startDeviceEnrollment(c)
	case c.Kind == KindSMS:
		return d.refuseSMSEnrollment(c)
	case c.Kind != KindIBKey:
		return nil, invalid("kind", "ibkey and dsc_plus are activated here; cards and temporary passcodes have calls of their own")
	case d.f.Installation == nil:
		return nil, noInstallation()
	}
	refused := EnrollmentRefused{Flow: c.Flow, Kind: c.Kind, InstallationID: c.InstallationID}
	if refused.Reason = d.enrollmentRefusal(c); refused.Reason != "" {
		return []Event{refused}, nil
	}
	phone := d.u.newestVerified(func(p *Phone) bool { return c.PhoneID == "" || p.ID == c.PhoneID })
	if phone == nil {
		refused.Reason = ReasonPhoneUnverified
		return []Event{refused}, nil
	}
	if refusal := d.smsRefusal(phone, PurposeActivation, ""); refusal != nil {
		return []Event{*refusal}, nil
	}
	id := d.newID(PrefixEnrollment)
	d.emit(EnrollmentStarted{
		EnrollmentID: id, Kind: c.Kind, Flow: c.Flow, InstallationID: c.InstallationID, PhoneID: phone.ID,
		OS: d.f.Installation.OS, HandsetID: d.f.Installation.HandsetID,
	})
	d.issueActivationCode(phone, PurposeActivation, id, 1, d.now.Add(d.seconds(pActivationTTL)))
	return d.events, nil
}

// refuseSMSEnrollment answers who asks for SMS: it is enrolled by verifying a
// phone, and never beside a stronger authenticator (R-43, D-42).
func (d *decision) refuseSMSEnrollment(c StartEnrollment) ([]Event, error) {
	if d.u.active(d.now, permanent) {
		return []Event{EnrollmentRefused{Flow: c.Flow, Kind: c.Kind, Reason: ReasonSMSNotEnrollable}}, nil
	}
	return nil, invalid("kind", "sms is enrolled by verifying a phone; start a verification")
}

// startDeviceEnrollment asks the device that was sent to the user for a
// response, which is the proof that the user has it.
func (d *decision) startDeviceEnrollment(c StartEnrollment) ([]Event, error) {
	if d.f.Device == nil {
		return nil, &Error{Code: Unknown, Field: "deviceId", Detail: "name a device that was sent to the user"}
	}
	t, reason := d.process(c.TxnID)
	switch {
	case reason != "":
	case d.stepUpMissing(t):
		reason = ReasonStepUpRequired
	default:
		reason = d.notActivatable(c.DeviceID)
	}
	if reason != "" {
		return []Event{EnrollmentRefused{Flow: flowActivate, Kind: c.Kind, DeviceID: c.DeviceID, Reason: reason}}, nil
	}
	id := d.newID(PrefixEnrollment)
	d.emit(EnrollmentStarted{EnrollmentID: id, Kind: c.Kind, Flow: flowActivate, DeviceID: c.DeviceID})
	d.challengeFor(t, &Authenticator{ID: d.newID(PrefixAuthenticator), Kind: c.Kind, DeviceID: c.DeviceID}, id)
	return d.events, nil
}

// activateDevice binds the device whose response proved that the user has it.
func (d *decision) activateDevice(e *Enrollment, authenticatorID string, next uint64) {
	d.emit(UserVerificationPerformed{EnrollmentID: e.ID, UV: UVDSCPIN})
	d.bind(AuthenticatorEnrolled{
		AuthenticatorID: authenticatorID, Kind: KindDSCPlus, DeviceID: e.DeviceID, Trigger: triggerUser, OCRASuite: d.f.Device.Suite,
		UVMethods: []UV{UVDSCPIN}, NextCounter: next,
	})
}

// bind enrols an authenticator and ends those it takes the place of: SMS ends
// with any permanent one (D-42, K-8), temporary ones with any permanent one,
// and a temporary passcode or an earlier online card with an online card (D-54).
func (d *decision) bind(e AuthenticatorEnrolled) {
	d.emit(e)
	d.supersede(e.Kind, e.AuthenticatorID)
}

func (d *decision) supersede(by Kind, successor string) {
	for _, a := range d.u.authenticators {
		switch {
		case a.Kind == KindSMS && by.Permanent():
			d.emit(AuthenticatorRevoked{AuthenticatorID: a.ID, Reason: "superseded_by_stronger", SuccessorID: successor})
		case a.ID != successor && a.Kind.Temporary() && (by.Permanent() || by == KindOSCC):
			d.emit(AuthenticatorRevoked{AuthenticatorID: a.ID, Reason: "temporary_ended", SuccessorID: successor})
		}
	}
}

func noInstallation() error {
	return &Error{Code: Unknown, Field: "installationId", Detail: "register the installation first"}
}

func (d *decision) enrollmentRefusal(c StartEnrollment) Code {
	t, reason := d.process(c.TxnID)
	i := d.f.Installation
	switch {
	case reason != "":
		return reason
	case i.Blocked:
		return ReasonInstallBlocked
	case i.Retired:
		return ReasonRetired
	}
	if reason := d.u.ibKeyRefusal(c.InstallationID); reason != "" {
		return reason
	}
	switch {
	case c.Flow == flowAddUser && len(i.Users) == 0:
		return ReasonIBKeyNotHere
	case d.stepUpMissing(t):
		return ReasonStepUpRequired
	}
	return ""
}

// process finds the transaction an enrolment, or another process that begins
// with the password, was asked for in.
func (d *decision) process(txnID string) (*Transaction, Code) {
	t := d.u.transactions.get(txnID)
	switch {
	case d.now.Before(d.u.lockedUntil):
		return t, ReasonUserLocked
	case t == nil || !t.PrimaryOK || t.Closed || !d.now.Before(t.ExpiresAt) || t.Purpose.asks() && !t.EnrollOnly:
		return t, ReasonPrimaryRequired
	}
	return t, ""
}

// stepUpMissing reports that the user has a permanent authenticator and did
// not answer with one in this transaction (G-12).
func (d *decision) stepUpMissing(t *Transaction) bool {
	return !t.Proved.Permanent() && d.u.active(d.now, permanent)
}

// ibKeyRefusal is why IB Key cannot be bound to an installation: it is bound
// already, and on one phone at most. A suspended one still counts: it
// moves by migration or recovery.
func (u *User) ibKeyRefusal(installationID string) Code {
	switch a := u.ibKey(); {
	case a == nil:
		return ""
	case a.InstallationID == installationID:
		return ReasonAlreadyEnrolled
	}
	return ReasonIBKeyElsewhere
}

// activationTemplate is the message that carries an activation code.
func activationTemplate(purpose Purpose) string {
	switch purpose {
	case PurposeMigration:
		return "migration_code@1"
	case PurposeRecovery:
		return "recovery_code@1"
	}
	return "activation_code@1"
}

// issueActivationCode issues the next code of an enrolment, migration or
// recovery and requests the message that carries it.
func (d *decision) issueActivationCode(p *Phone, purpose Purpose, subject string, seq int, expires time.Time) {
	d.emit(ActivationCodeIssued{
		SubjectID: subject, Seq: seq, Kid: d.f.Kid, CodeLen: int(d.p.Int(pActivationLen, d.now)), Channel: "sms", ExpiresAt: expires,
	})
	d.requestSMS(p, purpose, subject, seq, activationTemplate(purpose))
}

// issueNextActivationCode is the same for a code that is asked for again, unless
// it is too early for another message.
func (d *decision) issueNextActivationCode(phoneID string, purpose Purpose, subject string, codes []Issued, expires time.Time) ([]Event, error) {
	p, err := d.phone(phoneID)
	if err != nil {
		return nil, err
	}
	if refusal := d.smsRefusal(p, purpose, subject); refusal != nil {
		return []Event{*refusal}, nil
	}
	d.issueActivationCode(p, purpose, subject, nextSeq(codes), expires)
	return d.events, nil
}

var errActivatedByResponse = &Error{
	Code: Invalid, Field: "enrollmentId", Detail: "a physical device is activated by its response; answer the challenge",
}

func (d *decision) openEnrollment(id string) (*Enrollment, error) {
	e := d.u.enrollments.get(id)
	if e == nil {
		return nil, unknown("enrollment")
	}
	if e.Closed || e.Done || !d.now.Before(e.StartedAt.Add(d.seconds(pEnrollmentTTL))) {
		return nil, &Error{Code: ReasonEnrollmentClosed, Detail: "this enrollment has ended; start a new one"}
	}
	return e, nil
}

func (d *decision) resendActivationCode(c ResendActivationCode) ([]Event, error) {
	e, err := d.openEnrollment(c.EnrollmentID)
	if err != nil {
		return nil, err
	}
	if e.Kind != KindIBKey {
		return nil, errActivatedByResponse
	}
	if e.Accepted {
		return nil, &Error{Code: ReasonEnrollmentClosed, Detail: "the code was accepted already; complete the enrollment"}
	}
	return d.issueNextActivationCode(e.PhoneID, PurposeActivation, e.ID, e.Codes, d.now.Add(d.seconds(pActivationTTL)))
}

// activationReasons are the code reasons in the words of enrolment (7.3).
var activationReasons = map[Code]Code{
	ReasonCodeWrong: ReasonActivationWrong, ReasonCodeExpired: ReasonActivationExpiry, ReasonCodeUsed: ReasonActivationUsed,
	ReasonCodeSuperseded: ReasonActivationOld, ReasonCodeExhausted: ReasonActivationSpent, ReasonMalformed: ReasonMalformed,
}

func (d *decision) submitActivationCode(c SubmitActivationCode) ([]Event, error) {
	e := d.u.enrollments.get(c.EnrollmentID)
	if e == nil {
		return nil, unknown("enrollment")
	}
	if e.Kind != KindIBKey {
		return nil, errActivatedByResponse
	}
	if !e.Done && !e.Accepted {
		if _, err := d.openEnrollment(c.EnrollmentID); err != nil {
			return nil, err
		}
	}
	d.judgeActivation(e.ID, e.Codes, e.Attempts, e.Accepted || e.Done)
	return d.events, nil
}

// judgeActivation records the verdict on an activation code, and whether it
// was right.
func (d *decision) judgeActivation(subject string, codes []Issued, attempts int, done bool) bool {
	limit := int(d.p.Int(pMaxAttempts, d.now))
	reason, counted := d.judgeCode(codes, attempts, limit, done, false)
	if reason == "" {
		d.emit(ActivationCodeAccepted{SubjectID: subject, Seq: codes[len(codes)-1].Seq})
		return true
	}
	if counted {
		attempts++
	}
	d.emit(ActivationCodeRejected{
		SubjectID: subject, Reason: activationReasons[reason], AttemptNo: attempts, AttemptsLeft: max(0, limit-attempts),
	})
	return false
}

// uvMethods are the local checks an operating system can make.
func uvMethods(os OS) []UV {
	if os == Android {
		return []UV{UVFingerprint, UVAppPIN}
	}
	return []UV{UVDevicePasscode, UVTouchID, UVFaceID}
}

func uvRefusal(os OS, uv UV) Code {
	if uv == "" || uv == UVNone {
		return ReasonUVRequired
	}
	for _, m := range uvMethods(os) {
		if m == uv {
			return ""
		}
	}
	return ReasonUVMethod
}

func (d *decision) completeEnrollment(c CompleteEnrollment) ([]Event, error) {
	e, err := d.openEnrollment(c.EnrollmentID)
	if err != nil {
		return nil, err
	}
	if e.Kind != KindIBKey {
		return nil, errActivatedByResponse
	}
	if d.f.Installation == nil {
		return nil, noInstallation()
	}
	if reason := d.completionRefusal(e, c.UV); reason != "" {
		return []Event{EnrollmentRefused{EnrollmentID: e.ID, Flow: e.Flow, Kind: e.Kind, InstallationID: e.InstallationID, Reason: reason}}, nil
	}
	d.emit(UserVerificationPerformed{EnrollmentID: e.ID, UV: c.UV, InstallationID: e.InstallationID, PINPolicyVersion: d.pinPolicy()})
	d.bind(AuthenticatorEnrolled{
		AuthenticatorID: d.newID(PrefixAuthenticator), Kind: e.Kind, InstallationID: e.InstallationID, UVMethods: uvMethods(e.OS),
		ActivationPhoneID: e.PhoneID, Trigger: triggerUser, OOBClass: oobNumber, OCRASuite: OCRASuiteIBKey, OS: e.OS,
	})
	return d.events, nil
}

// pinPolicy is the version of the PIN policy that the Android installation at
// hand attested; 0 on iOS.
func (d *decision) pinPolicy() int {
	if d.f.Installation.OS == Android {
		return d.f.Installation.PINPolicyVersion
	}
	return 0
}

func (d *decision) completionRefusal(e *Enrollment, uv UV) Code {
	switch {
	case d.now.Before(d.u.lockedUntil):
		return ReasonUserLocked
	case !e.Accepted:
		return ReasonActivationNeeded
	case d.f.Installation.Blocked:
		return ReasonInstallBlocked
	case d.f.Installation.Retired:
		return ReasonRetired
	}
	if reason := d.localRefusal(e.OS, uv); reason != "" {
		return reason
	}
	return d.u.ibKeyRefusal(e.InstallationID)
}

// localRefusal is why what the installation says of its user and PIN does not
// do for binding IB Key to it.
func (d *decision) localRefusal(os OS, uv UV) Code {
	i := d.f.Installation
	if reason := uvRefusal(os, uv); reason != "" {
		return reason
	}
	switch {
	case os == Android && i.PINViolation != "" && i.PINPolicyVersion == 0:
		return i.PINViolation
	case os == Android && i.PINPolicyVersion < int(d.p.Int(pPINPolicy, d.now)):
		return ReasonPINPolicy
	}
	return ""
}

func (d *decision) abandonEnrollment(c AbandonEnrollment) ([]Event, error) {
	e := d.u.enrollments.get(c.EnrollmentID)
	if e == nil {
		return nil, unknown("enrollment")
	}
	if e.Done || e.Closed {
		return nil, nil
	}
	return []Event{EnrollmentAbandoned{EnrollmentID: e.ID}}, nil
}

func smsAuthenticator(id, phoneID string) AuthenticatorEnrolled {
	return AuthenticatorEnrolled{
		AuthenticatorID: id, Kind: KindSMS, PhoneID: phoneID, Trigger: triggerAutoSMS, Restricted: true, OOBClass: oobPSTN,
	}
}

// evaluateAutoSMS has exactly one result (D-41).
func (d *decision) evaluateAutoSMS(c EvaluateAutoSMS) ([]Event, error) {
	p := d.u.phones[c.PhoneID]
	if p == nil {
		return nil, unknown("phone")
	}
	skip := ""
	if !p.Verified || p.Retired {
		skip = "not_verified"
	}
	for _, a := range d.u.authenticators {
		switch {
		case a.Kind.Permanent() && a.Active(d.now):
			skip = "active_sls_device"
		case a.Kind == KindSMS && skip == "":
			skip = "already_enrolled"
		}
	}
	if skip != "" {
		return []Event{SMSAutoEnrollmentSkipped{PhoneID: p.ID, Reason: skip}}, nil
	}
	return []Event{smsAuthenticator(d.newID(PrefixAuthenticator), p.ID)}, nil
}

func (d *decision) setSeamless(c SetSeamless) ([]Event, error) {
	switch {
	case c.Enabled == d.u.seamless:
		return nil, nil
	case c.Enabled:
		return []Event{SeamlessEnabled{}}, nil
	}
	return []Event{SeamlessDisabled{}}, nil
}
