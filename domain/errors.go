package domain

import (
	"errors"
	"fmt"
)

// Code is a reason code of domain.md section 7, or the code of an error.
type Code string

// Reason codes: why something was refused. They appear in refusal events.
const (
	ReasonSMSCooldown      Code = "SMS_COOLDOWN"
	ReasonSMSRate          Code = "SMS_RATE"
	ReasonPhoneUnverified  Code = "PHONE_UNVERIFIED"
	ReasonPhoneNotMobile   Code = "PHONE_NOT_MOBILE"
	ReasonCodeWrong        Code = "CODE_WRONG"
	ReasonCodeExpired      Code = "CODE_EXPIRED"
	ReasonCodeUsed         Code = "CODE_USED"
	ReasonCodeSuperseded   Code = "CODE_SUPERSEDED"
	ReasonCodeExhausted    Code = "CODE_EXHAUSTED"
	ReasonVoiceNotSMSUser  Code = "VOICE_NOT_SMS_USER"
	ReasonVoicePurpose     Code = "VOICE_PURPOSE"
	ReasonVoicePlatform    Code = "VOICE_PLATFORM"
	ReasonVoiceChannel     Code = "VOICE_RELEASE_CHANNEL"
	ReasonVoiceBeforeSMS   Code = "VOICE_BEFORE_SMS"
	ReasonVoiceRate        Code = "VOICE_RATE"
	ReasonIBKeyNotHere     Code = "IBKEY_NOT_ACTIVE_HERE"
	ReasonIBKeyElsewhere   Code = "IBKEY_ACTIVE_ELSEWHERE"
	ReasonAlreadyEnrolled  Code = "ALREADY_ENROLLED"
	ReasonPrimaryRequired  Code = "PRIMARY_FACTOR_REQUIRED"
	ReasonActivationWrong  Code = "ACTIVATION_CODE_WRONG"
	ReasonActivationExpiry Code = "ACTIVATION_CODE_EXPIRED"
	ReasonActivationUsed   Code = "ACTIVATION_CODE_USED"
	ReasonActivationOld    Code = "ACTIVATION_CODE_SUPERSEDED"
	ReasonActivationSpent  Code = "ACTIVATION_CODE_EXHAUSTED"
	ReasonActivationNeeded Code = "ACTIVATION_CODE_REQUIRED"
	ReasonUVRequired       Code = "UV_REQUIRED"
	ReasonUVMethod         Code = "UV_METHOD"
	ReasonPINPolicy        Code = "PIN_POLICY"
	ReasonPINMismatch      Code = "PIN_MISMATCH"
	ReasonSMSNotEnrollable Code = "SMS_NOT_ENROLLABLE"
	ReasonEquity           Code = "EQUITY_BELOW_THRESHOLD"
	ReasonNotEnrolled      Code = "NOT_ENROLLED"
	ReasonDeviceNotShipped Code = "DEVICE_NOT_SHIPPED"
	ReasonDeviceNotActive  Code = "DEVICE_NOT_AVAILABLE"
	ReasonRetired          Code = "INSTALLATION_RETIRED"
	ReasonOSUnsupported    Code = "OS_UNSUPPORTED"
	ReasonInstallBlocked   Code = "INSTALLATION_BLOCKED"
	ReasonStepUpRequired   Code = "STEP_UP_REQUIRED"
	ReasonLastAuth         Code = "LAST_AUTHENTICATOR"
	ReasonEnrollmentClosed Code = "ENROLLMENT_CLOSED"

	ReasonPrimaryMissing   Code = "PRIMARY_FACTOR_MISSING"
	ReasonUserLocked       Code = "USER_LOCKED"
	ReasonUserClosed       Code = "USER_CLOSED"
	ReasonTxnExpired       Code = "TXN_EXPIRED"
	ReasonTxnClosed        Code = "TXN_CLOSED"
	ReasonTxnMismatch      Code = "TXN_MISMATCH"
	ReasonNotActive        Code = "AUTHENTICATOR_NOT_ACTIVE"
	ReasonNotOffered       Code = "NOT_OFFERED"
	ReasonChallengeOpen    Code = "CHALLENGE_OPEN"
	ReasonChallengeExpired Code = "CHALLENGE_EXPIRED"
	ReasonChallengeOld     Code = "CHALLENGE_SUPERSEDED"
	ReasonChallengeUsed    Code = "CHALLENGE_USED"
	ReasonChallengeSpent   Code = "CHALLENGE_EXHAUSTED"
	ReasonMalformed        Code = "RESPONSE_MALFORMED"
	ReasonResponseWrong    Code = "RESPONSE_WRONG"
	ReasonDeclined         Code = "DECLINED_BY_USER"
	ReasonPushRate         Code = "PUSH_RATE"
	ReasonSeamlessOff      Code = "SEAMLESS_OFF"
	ReasonNoFallback       Code = "FALLBACK_NOT_APPLICABLE"
	ReasonNumberMatch      Code = "NUMBER_MATCH_REQUIRED"
	ReasonSignatureInvalid Code = "SIGNATURE_INVALID"
	ReasonSecondRequired   Code = "SECOND_FACTOR_REQUIRED"
	ReasonPrimaryFailed    Code = "PRIMARY_FACTOR_REJECTED"
	ReasonScopeRecovery    Code = "SCOPE_RECOVERY_ONLY"

	ReasonNothingToMigrate  Code = "NOTHING_TO_MIGRATE"
	ReasonSameHandset       Code = "SAME_HANDSET"
	ReasonMigrationOpen     Code = "MIGRATION_IN_PROGRESS"
	ReasonPhoneNotOriginal  Code = "PHONE_NOT_ORIGINAL"
	ReasonMigrationProof    Code = "MIGRATION_PROOF"
	ReasonProcessClosed     Code = "PROCESS_CLOSED"
	ReasonUnifyOtherHandset Code = "UNIFICATION_OTHER_HANDSET"
	ReasonNothingToUnify    Code = "NOTHING_TO_UNIFY"
	ReasonUnifyFirst        Code = "UNIFICATION_FIRST"
	ReasonRecoveryHandset   Code = "RECOVERY_HANDSET"
	ReasonNothingToRecover  Code = "NOTHING_TO_RECOVER"
	ReasonTempConsecutive   Code = "TEMP_CONSECUTIVE"
	ReasonTempInApp         Code = "TEMP_IN_APP_UNAVAILABLE"
	ReasonOSCCScope         Code = "OSCC_SCOPE"
	ReasonCardNotIssued     Code = "CODE_CARD_NOT_ISSUED"
	ReasonNotSuspended      Code = "AUTHENTICATOR_NOT_SUSPENDED"
	ReasonShareIBKey        Code = "SHARE_IBKEY"
	ReasonShareIdentity     Code = "SHARE_IDENTITY"
	ReasonShareTemporary    Code = "SHARE_TEMPORARY"
	ReasonShareLessSecure   Code = "SHARE_LESS_SECURE"
	ReasonComplianceDenied  Code = "COMPLIANCE_DENIED"

	ReasonRegimeMandatory  Code = "REGIME_MANDATORY"
	ReasonAgreementMissing Code = "AGREEMENT_MISSING"
	ReasonOptOutAuthority  Code = "OPT_OUT_AUTHORITY"
	ReasonNoPortalAuth     Code = "NO_PORTAL_AUTHENTICATOR"
	ReasonProcessOpen      Code = "PROCESS_OPEN"
	ReasonTemporaryAccess  Code = "TEMPORARY_ACCESS"
	ReasonAlreadyOptedOut  Code = "ALREADY_OPTED_OUT"
	ReasonNotOptedOut      Code = "NOT_OPTED_OUT"
	ReasonFactsIncomplete  Code = "FACTS_INCOMPLETE"
	ReasonIDVRequired      Code = "IDV_REQUIRED"
	ReasonNotLocked        Code = "NOT_LOCKED"

	ReasonRetentionRuns Code = "RETENTION_RUNS"
	ReasonLegalHold     Code = "LEGAL_HOLD"
	ReasonAccountOpen   Code = "ACCOUNT_OPEN"
	ReasonAlreadyErased Code = "ALREADY_ERASED"
)

// Codes of errors: the request was malformed, forbidden or contradictory, and
// nothing was recorded.
const (
	Invalid             Code = "INVALID"              // a field breaks its format
	Unknown             Code = "UNKNOWN"              // the thing named does not exist
	Exists              Code = "EXISTS"               // registered already, with other content
	IdempotencyConflict Code = "IDEMPOTENCY_CONFLICT" // command id used for another request (I-1)
	NotAuthorised       Code = "NOT_AUTHORISED"       // actor may not act for this user (I-5)

	SecondPerson   Code = "SECOND_PERSON_REQUIRED" // one person alone may not do it
	DataRestricted Code = "PROCESSING_RESTRICTED"  // the person asked to be forgotten; the data is locked away
	DataErased     Code = "PERSONAL_DATA_ERASED"   // the data was destroyed
)

// Error says why a command was not decided. Its text is safe to show: it never
// quotes personal data or secrets.
type Error struct {
	Code   Code
	Field  string // the command's field, in the wire's spelling; may be empty
	Detail string // a sentence that says what to do
}

func (e *Error) Error() string {
	if e.Field != "" {
		return fmt.Sprintf("%s: %s: %s", e.Code, e.Field, e.Detail)
	}
	return fmt.Sprintf("%s: %s", e.Code, e.Detail)
}

// IsRestricted reports whether an error says that somebody's data is locked away
// until it may be destroyed.
func IsRestricted(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == DataRestricted
}

func invalid(field, detail string) error { return &Error{Code: Invalid, Field: field, Detail: detail} }

func unknown(what string) error {
	return &Error{Code: Unknown, Detail: "there is no such " + what}
}
