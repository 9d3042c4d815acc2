package domain

import "time"

// Authentication transactions (domain.md 6.5): from the verdict on the
// password to the verdict on the second factor.

// StartAuthentication opens a transaction with the verdict on the primary
// factor. When exactly one authenticator can answer, its challenge is issued
// in the same append unless Defer is set.
type StartAuthentication struct {
	UserID              string
	Purpose             Purpose
	Platform            Platform
	ClientVersion       string
	ReleaseChannel      ReleaseChannel
	InitiatingDeviceRef string
	PrimaryVerified     bool
	Defer               bool
}

// IssueChallenge asks an authenticator in an open transaction. Without an
// authenticator the only active one is meant.
type IssueChallenge struct {
	TxnID           string
	AuthenticatorID string
}

// RequestFallback turns an unanswered push into challenge/response.
type RequestFallback struct {
	ChallengeID string
	Cause       FallbackCause
}

// ResendLoginCode sends a new SMS code for an open SMS challenge (D-44).
type ResendLoginCode struct{ ChallengeID string }

// CancelChallenge ends the challenge and its transaction at the user's wish.
type CancelChallenge struct{ ChallengeID string }

// SubmitResponse answers with what the user typed; evidence in Facts.Code.
type SubmitResponse struct {
	ChallengeID string
	TxnID       string // optional; must match the challenge's (D-46)
	Response    Secret
}

// DecidePush answers a push with the app's signed decision; evidence in
// Facts.Push.
type DecidePush struct {
	ChallengeID    string
	InstallationID string
	Document       Secret // the exact bytes that were signed
	Signature      string // base64url
}

// RecordPushSent says that the push service accepted the push.
type RecordPushSent struct{ ChallengeID string }

// RecordPushFailed says that it did not.
type RecordPushFailed struct{ ChallengeID, Failure string }

// RecordPushOpened says that the app showed the challenge.
type RecordPushOpened struct{ ChallengeID, InstallationID string }

// AuthenticationStarted opens a transaction.
type AuthenticationStarted struct {
	TxnID               string         `json:"txn_id"`
	Purpose             Purpose        `json:"purpose"`
	Platform            Platform       `json:"platform"`
	PlatformClass       PlatformClass  `json:"platform_class"`
	ClientVersion       string         `json:"client_version,omitempty"`
	ReleaseChannel      ReleaseChannel `json:"release_channel,omitempty"`
	InitiatingDeviceRef string         `json:"initiating_device_ref,omitempty"`
}

// AuthenticationRefused records a login that was not even begun.
type AuthenticationRefused struct {
	Purpose     Purpose    `json:"purpose"`
	Platform    Platform   `json:"platform"`
	Reason      Code       `json:"reason"`
	LockedUntil *time.Time `json:"locked_until,omitempty"`
}

// PrimaryFactorVerified records the right password.
type PrimaryFactorVerified struct {
	TxnID     string    `json:"txn_id"`
	ExpiresAt time.Time `json:"expires_at"`
}

// PrimaryFactorRejected records a wrong one; it counts (D-20).
type PrimaryFactorRejected struct {
	TxnID        string `json:"txn_id"`
	FailureCount int    `json:"failure_count"`
}

// SecondFactorWaived lets a user in without a second factor because of an
// opt-out that is valid now.
type SecondFactorWaived struct {
	TxnID    string   `json:"txn_id"`
	OptOutID string   `json:"opt_out_id"`
	RuleIDs  []string `json:"rule_ids"`
	Decision Decision `json:"decision"`
}

// SecondFactorOffered lists what the user may choose from.
type SecondFactorOffered struct {
	TxnID   string   `json:"txn_id"`
	Options []Option `json:"options"`
}

// Option is one authenticator offered.
type Option struct {
	AuthenticatorID string `json:"authenticator_id"`
	Kind            Kind   `json:"kind"`
	Rank            int    `json:"rank"`
}

// EnrollmentRequired says that the user has nothing to answer with.
type EnrollmentRequired struct {
	TxnID string `json:"txn_id"`
}

// SecondFactorSelected says which authenticator is asked.
type SecondFactorSelected struct {
	TxnID           string `json:"txn_id"`
	AuthenticatorID string `json:"authenticator_id"`
	By              string `json:"by"` // user, only_one
}

// SelectionRefused records a choice that was not possible.
type SelectionRefused struct {
	TxnID           string `json:"txn_id"`
	AuthenticatorID string `json:"authenticator_id,omitempty"`
	Reason          Code   `json:"reason"`
}

// ChallengeIssued opens a challenge. The digits shown to the user (the
// six-digit challenge, or the number to type into the app) are derived from
// Kid; SMS codes have kids of their own in LoginCodeIssued.
type ChallengeIssued struct {
	ChallengeID     string    `json:"challenge_id"`
	TxnID           string    `json:"txn_id"`
	AuthenticatorID string    `json:"authenticator_id"`
	Kind            Kind      `json:"kind"`
	Mode            Mode      `json:"mode"`
	InstallationID  string    `json:"installation_id,omitempty"`
	Kid             string    `json:"kid,omitempty"`
	ChallengeLen    int       `json:"challenge_len,omitempty"`
	ResponseLen     int       `json:"response_len,omitempty"`
	NumberMatching  bool      `json:"number_matching"`
	MaxAttempts     int       `json:"max_attempts"`
	ExpiresAt       time.Time `json:"expires_at"`
}

// ChallengeRefused records a challenge that was not issued.
type ChallengeRefused struct {
	TxnID  string `json:"txn_id"`
	Mode   Mode   `json:"mode,omitempty"`
	Reason Code   `json:"reason"`
}

// ChallengeFallbackRequested records that the push did not help, and why.
type ChallengeFallbackRequested struct {
	ChallengeID string        `json:"challenge_id"`
	Cause       FallbackCause `json:"cause"`
}

// FallbackRefused records a fallback that was not possible.
type FallbackRefused struct {
	ChallengeID string `json:"challenge_id"`
	Reason      Code   `json:"reason"`
}

// ChallengeCancelled ends a challenge without an answer.
type ChallengeCancelled struct {
	ChallengeID string `json:"challenge_id"`
	Reason      string `json:"reason"` // fallback, superseded, user, locked, txn_ended
}

// LoginCodeIssued names a derived login code; the highest seq counts.
type LoginCodeIssued struct {
	ChallengeID string    `json:"challenge_id"`
	Seq         int       `json:"seq"`
	Via         string    `json:"via"` // sms
	Kid         string    `json:"kid"`
	CodeLen     int       `json:"code_len"`
	ExpiresAt   time.Time `json:"expires_at"`
}

// ResponseVerified means that the second factor was right. For a push,
// Document and Signature keep what the app signed, sealed, so that the
// signature can be checked again years later with the installation's key.
type ResponseVerified struct {
	ChallengeID             string   `json:"challenge_id"`
	TxnID                   string   `json:"txn_id"`
	AuthenticatorID         string   `json:"authenticator_id"`
	Mode                    Mode     `json:"mode"`
	UV                      UV       `json:"uv"`
	AttemptNo               int      `json:"attempt_no"`
	ElapsedMS               int64    `json:"elapsed_ms"`
	AnsweringInstallationID string   `json:"answering_installation_id,omitempty"`
	NumberMatched           bool     `json:"number_matched,omitempty"`
	OOBClass                string   `json:"oob_class,omitempty"`
	OCRAStep                uint64   `json:"ocra_step,omitempty"` // minutes since 1970, RFC 6287 T1M
	Document                Personal `json:"document,omitzero"`
	Signature               string   `json:"signature,omitempty"`
}

// ResponseRejected means that it was not. FailureCount is the user's count of
// consecutive failures after this one.
type ResponseRejected struct {
	ChallengeID  string   `json:"challenge_id"`
	TxnID        string   `json:"txn_id"`
	Reason       Code     `json:"reason"`
	AttemptNo    int      `json:"attempt_no"`
	AttemptsLeft int      `json:"attempts_left"`
	LenOK        bool     `json:"len_ok"`
	CharsetOK    bool     `json:"charset_ok"`
	Counted      bool     `json:"counted"`
	FailureCount int      `json:"failure_count"`
	Document     Personal `json:"document,omitzero"` // a declined push: what the app signed
	Signature    string   `json:"signature,omitempty"`
}

// ChallengeExhausted means that the last attempt was wrong.
type ChallengeExhausted struct {
	ChallengeID string `json:"challenge_id"`
}

// AnomalyFlagged marks something a person should look at.
type AnomalyFlagged struct {
	Kind  string `json:"kind"`
	TxnID string `json:"txn_id"`
}

// AuthenticationSucceeded ends a transaction well.
type AuthenticationSucceeded struct {
	TxnID             string `json:"txn_id"`
	Scope             string `json:"scope"` // full
	AuthenticatorKind Kind   `json:"authenticator_kind,omitempty"`
	ProtectionRank    int    `json:"protection_rank"`
	Factors           int    `json:"factors"`
	SessionRef        string `json:"session_ref"`
}

// AuthenticationFailed ends it badly.
type AuthenticationFailed struct {
	TxnID  string `json:"txn_id"`
	Reason Code   `json:"reason"`
}

// AuthenticationAbandoned ends it without a verdict.
type AuthenticationAbandoned struct {
	TxnID string `json:"txn_id"`
}

// PushSent means that the push service accepted the push.
type PushSent struct {
	PushID         string `json:"push_id"`
	ChallengeID    string `json:"challenge_id"`
	InstallationID string `json:"installation_id"`
}

// PushFailed means that it did not.
type PushFailed struct {
	PushID  string `json:"push_id"`
	Failure string `json:"failure"` // token_invalid, service_error, throttled
}

// PushOpened is reported by the app.
type PushOpened struct {
	PushID      string    `json:"push_id"`
	ChallengeID string    `json:"challenge_id"`
	OpenedAt    time.Time `json:"opened_at"`
}
