package codec

import (
	"time"

	"github.com/authledger/authledger/domain"
)

// temporaryRows are temporary access and code cards (rule book 6.6).
func temporaryRows() []row {
	later := sampleAt(59)
	return []row{
		event("OnlineCodeCardIssued", 1, domain.OnlineCodeCardIssued{
			AuthenticatorID: sampleOther, GridCommitment: "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU", Cells: 224,
			TxnID: sampleTxn,
		}),
		event("OnlineCodeCardRefused", 1, domain.OnlineCodeCardRefused{AuthenticatorID: sampleIBKey, Reason: domain.ReasonOSCCScope}),
		event("SecurityCodeCardIssued", 1, domain.SecurityCodeCardIssued{
			AuthenticatorID: sampleOther, GridCommitment: "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU", Cells: 224,
		}),
		event("SecurityCodeCardRefused", 1, domain.SecurityCodeCardRefused{AuthenticatorID: sampleIBKey, Reason: domain.ReasonCardNotIssued}),
		event("TemporaryPasscodeIssued", 1, domain.TemporaryPasscodeIssued{
			AuthenticatorID: sampleOther, Kid: sampleKid, IDVID: "idv_" + sampleKey + "_31", MissingAuthenticatorID: sampleIBKey,
			FullUntil: &later, EndsAt: sampleAt(59), ScopeRuleID: "temp_code.full_s",
		}, perhaps(func(e *domain.TemporaryPasscodeIssued) **time.Time { return &e.FullUntil }), moment(func(e *domain.TemporaryPasscodeIssued) *time.Time { return &e.EndsAt })),
		event("TemporaryPasscodeRefused", 1, domain.TemporaryPasscodeRefused{MissingAuthenticatorID: sampleIBKey, Reason: domain.ReasonTempConsecutive}),
		event("TemporaryCredentialDelivered", 1, domain.TemporaryCredentialDelivered{
			DeliveryID: sampleDelivery, AuthenticatorID: sampleIBKey, ResetRef: "reset-41", What: "temp_code", Channel: "in_app",
			InstallationID: sampleInstallation, ExpiresAt: &later,
		}, perhaps(func(e *domain.TemporaryCredentialDelivered) **time.Time { return &e.ExpiresAt })),
		event("TemporaryCredentialCollected", 1, domain.TemporaryCredentialCollected{DeliveryID: sampleDelivery, InstallationID: sampleInstallation}),
		event("TemporaryCredentialRefused", 1, domain.TemporaryCredentialRefused{
			AuthenticatorID: sampleIBKey, ResetRef: "reset-41", What: "temp_code", Channel: "in_app", Reason: domain.ReasonTempInApp,
		}),
	}
}
