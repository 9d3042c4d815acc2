package codec

import (
	"time"

	"github.com/authledger/authledger/domain"
)

// hostRows are what happens to an installation as the host of authenticators (rule book 6.3).
func hostRows() []row {
	return []row{
		event("AppPINRefused", 1, domain.AppPINRefused{PINPolicyVersion: 1, Reason: domain.ReasonPINMismatch}),
		event("AppPINBlocked", 1, domain.AppPINBlocked{WrongEntries: 10}),
		event("AppPINUnblocked", 1, domain.AppPINUnblocked{RecoveryID: sampleRecovery}),
		event("InstallationRetired", 1, domain.InstallationRetired{Reason: "unified", SuccessorID: sampleOtherInstallation}),
		event("AuthenticatorBound", 1, domain.AuthenticatorBound{UserID: sampleUser, AuthenticatorID: sampleIBKey}),
		event("AuthenticatorUnbound", 1, domain.AuthenticatorUnbound{UserID: sampleUser, AuthenticatorID: sampleIBKey}),
		event("EnrollmentExpired", 1, domain.EnrollmentExpired{EnrollmentID: sampleEnrollment}),
		event("ChallengeExpired", 1, domain.ChallengeExpired{ChallengeID: sampleChallenge}),
		event("DomicileChanged", 1, domain.DomicileChanged{
			From: "DE", To: "IE", EffectiveOn: "2024-03-01", DetectedAt: sampleAt(8), EvidenceRef: "case-77",
		}, moment(func(e *domain.DomicileChanged) *time.Time { return &e.DetectedAt })),
	}
}
