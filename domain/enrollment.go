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
