package domain

import "time"

// Phone numbers and their verification (domain.md 6.2).

// AddPhone adds a number to the user; it is not usable before verification.
type AddPhone struct {
	UserID string
	CC     string   // ISO 3166-1 alpha-2 of the number
	Number Personal // E.164
	Line   Line
}

// StartPhoneVerification sends a confirm code. A verification of the same
// phone that is still open is superseded.
type StartPhoneVerification struct{ PhoneID string }

// ResendConfirmCode sends a new code for an open verification; it supersedes
// the earlier ones.
type ResendConfirmCode struct{ VerificationID string }

// ConfirmPhone answers a verification; the code itself never gets here, only
// the evidence in Facts.Code.
type ConfirmPhone struct {
	VerificationID string
	Code           Secret
}

// ReplacePhone moves the user's SMS to another verified phone.
type ReplacePhone struct{ OldPhoneID, NewPhoneID string }

// RemovePhone retires a phone.
type RemovePhone struct{ PhoneID, Reason string }

// PhoneNumberAdded adds a phone.
type PhoneNumberAdded struct {
	PhoneID string   `json:"phone_id"`
	CC      string   `json:"cc"`
	Number  Personal `json:"number"`
	Line    Line     `json:"line"`
}

// PhoneVerificationStarted opens a verification.
type PhoneVerificationStarted struct {
	VerificationID string `json:"verification_id"`
	PhoneID        string `json:"phone_id"`
}

// ConfirmCodeIssued names a derived confirm code; the highest seq counts.
type ConfirmCodeIssued struct {
	VerificationID string    `json:"verification_id"`
	Seq            int       `json:"seq"`
	Kid            string    `json:"kid"`
	CodeLen        int       `json:"code_len"`
	ExpiresAt      time.Time `json:"expires_at"`
}

// PhoneNumberVerified proves control of the number. Attempts counts the
// entries including the right one.
type PhoneNumberVerified struct {
	PhoneID        string `json:"phone_id"`
	VerificationID string `json:"verification_id"`
	Attempts       int    `json:"attempts"`
}

// PhoneVerificationRejected records a wrong or untimely confirm code.
type PhoneVerificationRejected struct {
	VerificationID string `json:"verification_id"`
	Reason         Code   `json:"reason"`
	AttemptNo      int    `json:"attempt_no"`
	AttemptsLeft   int    `json:"attempts_left"`
}

// PhoneNumberReplaced retires the old phone in favour of the new one.
type PhoneNumberReplaced struct {
	OldPhoneID string `json:"old_phone_id"`
	NewPhoneID string `json:"new_phone_id"`
}

// PhoneNumberRemoved retires a phone.
type PhoneNumberRemoved struct {
	PhoneID string `json:"phone_id"`
	Reason  string `json:"reason"`
}
