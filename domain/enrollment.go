package domain

import "time"

// Binding an authenticator to a user (domain.md 6.3): IB Key by activation
// code, SMS by reaction.

// StartEnrollment begins the activation of IB Key on an installation. It needs
// a transaction whose primary factor was verified.
type StartEnrollment struct {
	UserID         string
	Kind           Kind
	InstallationID string
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
	Trigger           string `json:"trigger"` // user, auto_sms
	Restricted        bool   `json:"restricted"`
	OOBClass          string `json:"oob_class,omitempty"`  // pstn, number_matching
	OCRASuite         string `json:"ocra_suite,omitempty"` // fixed at binding
	OS                OS     `json:"os,omitempty"`
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

// SeamlessEnabled switches push on.
type SeamlessEnabled struct{}

// SeamlessDisabled switches push off.
type SeamlessDisabled struct{}

// OCRASuiteIBKey is the suite of IB Key's offline mode (D-49), fixed at binding.
const OCRASuiteIBKey = "OCRA-1:HOTP-SHA256-8:QN06-T1M"

const (
	flowActivate   = "activate"
	oobPSTN        = "pstn"
	oobNumber      = "number_matching"
	oobApproveOnly = "approve_only"
	triggerUser    = "user"
	triggerAutoSMS = "auto_sms"
	scopeTrading   = "trading_platforms"
)

func (d *decision) startEnrollment(c StartEnrollment) ([]Event, error) {
	if c.Kind != KindIBKey {
		return nil, invalid("kind", "only ibkey is activated by the user; sms is enrolled by verifying a phone")
	}
	if d.f.Installation == nil {
		return nil, noInstallation()
	}
	if reason := d.enrollmentRefusal(c); reason != "" {
		return []Event{EnrollmentRefused{Flow: flowActivate, Kind: c.Kind, InstallationID: c.InstallationID, Reason: reason}}, nil
	}
	phone := d.u.newestVerified(func(p *Phone) bool { return c.PhoneID == "" || p.ID == c.PhoneID })
	if phone == nil {
		return []Event{EnrollmentRefused{Flow: flowActivate, Kind: c.Kind, InstallationID: c.InstallationID, Reason: ReasonPhoneUnverified}}, nil
	}
	if refusal := d.smsRefusal(phone, PurposeActivation); refusal != nil {
		return []Event{*refusal}, nil
	}
	id := d.newID(PrefixEnrollment)
	d.emit(EnrollmentStarted{
		EnrollmentID: id, Kind: c.Kind, Flow: flowActivate, InstallationID: c.InstallationID, PhoneID: phone.ID,
		OS: d.f.Installation.OS, HandsetID: d.f.Installation.HandsetID,
	})
	d.issueActivationCode(phone, id, 1)
	return d.events, nil
}

func noInstallation() error {
	return &Error{Code: Unknown, Field: "installationId", Detail: "register the installation first"}
}

func (d *decision) enrollmentRefusal(c StartEnrollment) Code {
	if d.now.Before(d.u.lockedUntil) {
		return ReasonUserLocked
	}
	t := d.u.transactions.get(c.TxnID)
	if t == nil || !t.PrimaryOK || !t.EnrollOnly || t.Closed || !d.now.Before(t.ExpiresAt) {
		return ReasonPrimaryRequired
	}
	return d.u.ibKeyRefusal(c.InstallationID)
}

// ibKeyRefusal is why IB Key cannot be bound to an installation: it is active
// already, and on one phone at most.
func (u *User) ibKeyRefusal(installationID string) Code {
	for _, a := range u.authenticators {
		switch {
		case a.Kind == KindIBKey && a.InstallationID == installationID:
			return ReasonAlreadyEnrolled
		case a.Kind == KindIBKey:
			return ReasonIBKeyElsewhere
		}
	}
	return ""
}

func (d *decision) issueActivationCode(p *Phone, enrollmentID string, seq int) {
	d.emit(ActivationCodeIssued{
		SubjectID: enrollmentID, Seq: seq, Kid: d.f.Kid, CodeLen: int(d.p.Int(pActivationLen, d.now)), Channel: "sms",
		ExpiresAt: d.now.Add(d.seconds(pActivationTTL)),
	})
	d.requestSMS(p, PurposeActivation, enrollmentID, seq, "activation_code@1")
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
	if e.Accepted {
		return nil, &Error{Code: ReasonEnrollmentClosed, Detail: "the code was accepted already; complete the enrollment"}
	}
	p, err := d.phone(e.PhoneID)
	if err != nil {
		return nil, err
	}
	if refusal := d.smsRefusal(p, PurposeActivation); refusal != nil {
		return []Event{*refusal}, nil
	}
	d.issueActivationCode(p, e.ID, nextSeq(e.Codes))
	return d.events, nil
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
	if !e.Done && !e.Accepted {
		if _, err := d.openEnrollment(c.EnrollmentID); err != nil {
			return nil, err
		}
	}
	limit := int(d.p.Int(pMaxAttempts, d.now))
	reason, counted := d.judgeCode(e.Codes, e.Attempts, limit, e.Accepted || e.Done, false)
	if reason == "" {
		return []Event{ActivationCodeAccepted{SubjectID: e.ID, Seq: e.Codes[len(e.Codes)-1].Seq}}, nil
	}
	no := e.Attempts
	if counted {
		no++
	}
	return []Event{ActivationCodeRejected{SubjectID: e.ID, Reason: activationReasons[reason], AttemptNo: no, AttemptsLeft: max(0, limit-no)}}, nil
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
	if d.f.Installation == nil {
		return nil, noInstallation()
	}
	if reason := d.completionRefusal(e, c.UV); reason != "" {
		return []Event{EnrollmentRefused{EnrollmentID: e.ID, Flow: flowActivate, Kind: e.Kind, InstallationID: e.InstallationID, Reason: reason}}, nil
	}
	id := d.newID(PrefixAuthenticator)
	pin := 0
	if e.OS == Android {
		pin = d.f.Installation.PINPolicyVersion
	}
	d.emit(
		UserVerificationPerformed{EnrollmentID: e.ID, UV: c.UV, InstallationID: e.InstallationID, PINPolicyVersion: pin},
		AuthenticatorEnrolled{
			AuthenticatorID: id, Kind: e.Kind, InstallationID: e.InstallationID, UVMethods: uvMethods(e.OS),
			ActivationPhoneID: e.PhoneID, Trigger: triggerUser, OOBClass: oobNumber, OCRASuite: OCRASuiteIBKey, OS: e.OS,
		},
	)
	for _, a := range d.u.authenticators {
		if a.Kind == KindSMS {
			d.emit(AuthenticatorRevoked{AuthenticatorID: a.ID, Reason: "superseded_by_stronger", SuccessorID: id})
		}
	}
	return d.events, nil
}

func (d *decision) completionRefusal(e *Enrollment, uv UV) Code {
	switch {
	case d.now.Before(d.u.lockedUntil):
		return ReasonUserLocked
	case !e.Accepted:
		return ReasonActivationNeeded
	}
	if reason := uvRefusal(e.OS, uv); reason != "" {
		return reason
	}
	if e.OS == Android && d.f.Installation.PINPolicyVersion < int(d.p.Int(pPINPolicy, d.now)) {
		return ReasonPINPolicy
	}
	return d.u.ibKeyRefusal(e.InstallationID)
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
		case a.Kind.Permanent():
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
