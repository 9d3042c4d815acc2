package projections

import (
	"github.com/authledger/authledger/domain"
)

// Outcome classes an event for people who look for what went wrong.
type Outcome string

// Outcomes. Info is a step that is neither good nor bad in itself.
const (
	OutcomeInfo    Outcome = "info"
	OutcomeSuccess Outcome = "success"
	OutcomeRefusal Outcome = "refusal" // the ledger said no and gave a reason
	OutcomeFailure Outcome = "failure" // something outside did not work, or an attempt ended badly
)

// facts are what the audit timeline keeps of an event.
type facts struct {
	outcome Outcome
	reason  string // a code of a closed vocabulary; never free text
	// about are the ids, besides the stream's owner, on whose timelines the
	// event belongs. A challenge, message, call, push, verification,
	// authenticator or credential delivery stands for what the event that
	// started it was about; a process has a timeline of its own and stands for
	// that as well.
	about []string
	// starts is the id of such a thing, if the event introduces one.
	starts string
}

func info(about ...string) facts    { return facts{outcome: OutcomeInfo, about: about} }
func success(about ...string) facts { return facts{outcome: OutcomeSuccess, about: about} }

func failure[T ~string](reason T, about ...string) facts {
	return facts{outcome: OutcomeFailure, reason: string(reason), about: about}
}

func refusal[T ~string](reason T, about ...string) facts {
	return facts{outcome: OutcomeRefusal, reason: string(reason), about: about}
}

func (f facts) because(reason string) facts { f.reason = reason; return f }
func (f facts) starting(id string) facts    { f.starts = id; return f }

// describe covers every event of the domain; ok is false for one it forgot.
func describe(e domain.Event) (f facts, ok bool) {
	for _, part := range [...]func(domain.Event) (facts, bool){
		describeLogin, describePhone, describeEnrollment, describeRest,
		describeVoice, describeLifecycle, describeDevice, describeTemporary, describeMove, describeSharing, describePolicy, describePrivacy,
	} {
		if f, ok = part(e); ok {
			return f, true
		}
	}
	return facts{}, false
}

func describeLogin(e domain.Event) (facts, bool) {
	switch e := e.(type) {
	case domain.AuthenticationStarted:
		return info(e.TxnID), true
	case domain.AuthenticationRefused:
		return refusal(e.Reason), true
	case domain.PrimaryFactorVerified:
		return success(e.TxnID), true
	case domain.PrimaryFactorRejected:
		return refusal(domain.ReasonPrimaryFailed, e.TxnID), true
	case domain.SecondFactorWaived:
		return info(e.TxnID), true
	case domain.SecondFactorOffered:
		return info(e.TxnID), true
	case domain.EnrollmentRequired:
		return info(e.TxnID), true
	case domain.SecondFactorSelected:
		return info(e.TxnID), true
	case domain.SelectionRefused:
		return refusal(e.Reason, e.TxnID), true
	case domain.ChallengeIssued:
		return info(e.TxnID, e.InstallationID, e.DeviceID, e.SubjectID).starting(e.ChallengeID), true
	case domain.ChallengeRefused:
		return refusal(e.Reason, e.TxnID), true
	case domain.ChallengeFallbackRequested:
		return info(e.ChallengeID).because(string(e.Cause)), true
	case domain.FallbackRefused:
		return refusal(e.Reason, e.ChallengeID), true
	case domain.ChallengeCancelled:
		return info(e.ChallengeID).because(e.Reason), true
	case domain.ChallengeExpired:
		return info(e.ChallengeID), true
	case domain.LoginCodeIssued:
		return info(e.ChallengeID), true
	case domain.ResponseVerified:
		return success(e.TxnID, e.ChallengeID, e.AnsweringInstallationID, e.DeviceID), true
	case domain.ResponseRejected:
		return refusal(e.Reason, e.TxnID, e.ChallengeID), true
	case domain.ChallengeExhausted:
		return failure("", e.ChallengeID), true
	case domain.AnomalyFlagged:
		return failure(e.Kind, e.TxnID), true
	case domain.AuthenticationSucceeded:
		return success(e.TxnID), true
	case domain.AuthenticationFailed:
		return failure(e.Reason, e.TxnID), true
	case domain.AuthenticationAbandoned:
		return info(e.TxnID), true
	case domain.PushSent:
		return info(e.ChallengeID, e.InstallationID).starting(e.PushID), true
	case domain.PushFailed:
		return failure(e.Failure, e.ChallengeID, e.PushID).starting(e.PushID), true
	case domain.PushOpened:
		return info(e.PushID, e.ChallengeID), true
	}
	return facts{}, false
}

func describePhone(e domain.Event) (facts, bool) {
	switch e := e.(type) {
	case domain.PhoneNumberAdded:
		return info(e.PhoneID), true
	case domain.PhoneVerificationStarted:
		return info(e.PhoneID).starting(e.VerificationID), true
	case domain.ConfirmCodeIssued:
		return info(e.VerificationID), true
	case domain.PhoneNumberVerified:
		return success(e.PhoneID), true
	case domain.PhoneVerificationRejected:
		return refusal(e.Reason, e.VerificationID), true
	case domain.PhoneNumberReplaced:
		return info(e.OldPhoneID, e.NewPhoneID), true
	case domain.PhoneNumberRemoved:
		return info(e.PhoneID), true
	case domain.SMSRequested:
		return info(e.PhoneID, e.SubjectID).starting(e.SMSID), true
	case domain.SMSRequestRefused:
		return refusal(e.Reason, e.PhoneID, e.SubjectID), true
	case domain.SMSDispatchStarted:
		return info(e.SMSID), true
	case domain.SMSDispatchUncertain:
		return failure("", e.SMSID), true
	case domain.SMSSent:
		return info(e.SMSID), true
	case domain.SMSDelivered:
		return success(e.SMSID), true
	case domain.SMSDeliveryFailed:
		return failure(e.Failure, e.SMSID), true
	case domain.SMSSendFailed:
		return failure("", e.SMSID), true
	case domain.CodeEmailed:
		return info(e.SMSID), true
	}
	return facts{}, false
}

func describeEnrollment(e domain.Event) (facts, bool) {
	switch e := e.(type) {
	case domain.InstallationRegistered, domain.AppPINSet, domain.AppPINChanged, domain.PushTokenRegistered:
		return info(), true
	case domain.AppPINRefused:
		return refusal(e.Reason), true
	case domain.AppPINBlocked:
		return failure(""), true
	case domain.AppPINUnblocked:
		return info(e.RecoveryID), true
	case domain.InstallationRetired:
		return info(e.SuccessorID).because(e.Reason), true
	case domain.EnrollmentStarted:
		return info(e.EnrollmentID, e.InstallationID, e.PhoneID, e.DeviceID).starting(e.EnrollmentID), true
	case domain.ActivationCodeIssued:
		return info(e.SubjectID), true
	case domain.EnrollmentRefused:
		return refusal(e.Reason, e.EnrollmentID, e.InstallationID, e.DeviceID), true
	case domain.ActivationCodeAccepted:
		return success(e.SubjectID), true
	case domain.ActivationCodeRejected:
		return refusal(e.Reason, e.SubjectID), true
	case domain.UserVerificationPerformed:
		return info(e.InstallationID, e.EnrollmentID), true
	case domain.AuthenticatorEnrolled:
		return success(e.InstallationID, e.PhoneID, e.DeviceID, e.SharingID).starting(e.AuthenticatorID), true
	case domain.AuthenticatorRevoked:
		return info(e.AuthenticatorID).because(e.Reason), true
	case domain.RevocationRefused:
		return refusal(e.Reason, e.AuthenticatorID), true
	case domain.SMSAutoEnrollmentSkipped:
		return info(e.PhoneID).because(e.Reason), true
	case domain.EnrollmentAbandoned:
		return info(e.EnrollmentID), true
	case domain.EnrollmentExpired:
		return info(e.EnrollmentID), true
	case domain.SeamlessEnabled, domain.SeamlessDisabled:
		return info(), true
	}
	return facts{}, false
}

func describeRest(e domain.Event) (facts, bool) {
	switch e := e.(type) {
	case domain.ClientRegistered, domain.CarryingEntityAssigned, domain.HolderAdded, domain.HolderRemoved,
		domain.ResidenceChanged, domain.DomicileChanged, domain.UserClosed, domain.OptOutRequested, domain.AuditQueryPerformed, domain.CodeEpochDestroyed:
		return info(), true
	case domain.UserRegistered:
		return info(e.ClientID), true
	case domain.AccountAccessGranted:
		return info(e.ClientID), true
	case domain.AccountAccessRevoked:
		return info(e.ClientID), true
	case domain.IdentityVerifiedByAgent:
		return success(), true
	case domain.UserLocked:
		return failure(""), true
	case domain.UserUnlocked:
		return info(), true
	case domain.UnlockRefused:
		return refusal(e.Reason), true
	case domain.OptOutGranted:
		return success(), true
	case domain.OptOutDenied:
		return refusal(e.Reason), true
	case domain.OptOutRevoked:
		return info().because(e.Cause), true
	case domain.OptedBackIn:
		return success(), true
	case domain.OptBackInRefused:
		return refusal(e.Reason), true
	case domain.SecurityNotificationSent:
		return info(), true
	case domain.SecurityNotificationFailed:
		return failure(""), true
	}
	return facts{}, false
}
