package codec

import (
	"time"

	"github.com/authledger/authledger/domain"
)

// moveRows are migration, recovery and unification (rule book 6.6).
func moveRows() []row {
	return []row{
		event("MigrationStarted", 1, domain.MigrationStarted{
			MigrationID: sampleMigration, FromAuthenticatorID: sampleIBKey, FromInstallationID: sampleInstallation,
			FromOS: domain.Android, ToInstallationID: sampleOtherInstallation, ToOS: domain.Android, Proof: "sms",
			ActivationPhoneID: samplePhone, ExpiresAt: sampleAt(10),
		}, moment(func(e *domain.MigrationStarted) *time.Time { return &e.ExpiresAt })),
		event("MigrationRefused", 1, domain.MigrationRefused{
			MigrationID: sampleMigration, ToInstallationID: sampleOtherInstallation, Reason: domain.ReasonPhoneNotOriginal,
		}),
		event("MigrationProofAccepted", 1, domain.MigrationProofAccepted{MigrationID: sampleMigration, Proof: "sms", CompleteBy: sampleAt(33)}, moment(func(e *domain.MigrationProofAccepted) *time.Time { return &e.CompleteBy })),
		event("MigrationCompleted", 1, domain.MigrationCompleted{
			MigrationID: sampleMigration, FromAuthenticatorID: sampleIBKey, ToAuthenticatorID: sampleOther, FromOS: domain.Android,
			ToOS: domain.Android, UV: domain.UVAppPIN, PINPolicyVersion: 1,
		}),
		event("MigrationCancelled", 1, domain.MigrationCancelled{MigrationID: sampleMigration, Reason: "user"}),
		event("MigrationExpired", 1, domain.MigrationExpired{MigrationID: sampleMigration}),
		event("RecoveryStarted", 1, domain.RecoveryStarted{
			RecoveryID: sampleRecovery, AuthenticatorID: sampleIBKey, Cause: "reinstalled",
			NewInstallationID: sampleOtherInstallation, OS: domain.IOS, HandsetMatch: true, Proof: "original_uv",
			ActivationPhoneID: samplePhone, ExpiresAt: sampleAt(10),
		}, moment(func(e *domain.RecoveryStarted) *time.Time { return &e.ExpiresAt })),
		event("RecoveryRefused", 1, domain.RecoveryRefused{
			RecoveryID: sampleRecovery, NewInstallationID: sampleOtherInstallation, HandsetMatch: true,
			Reason: domain.ReasonRecoveryHandset,
		}),
		event("RecoveryProofAccepted", 1, domain.RecoveryProofAccepted{RecoveryID: sampleRecovery, Proof: "sms"}),
		event("RecoveryCompleted", 1, domain.RecoveryCompleted{
			RecoveryID: sampleRecovery, NewAuthenticatorID: sampleOther, InstallationID: sampleInstallation,
			FormerInstallation: sampleInstallation, UV: domain.UVAppPIN, PINPolicyVersion: 1,
		}),
		event("RecoveryCancelled", 1, domain.RecoveryCancelled{RecoveryID: sampleRecovery, Reason: "restarted"}),
		event("RecoveryExpired", 1, domain.RecoveryExpired{RecoveryID: sampleRecovery}),
		event("UnificationOffered", 1, domain.UnificationOffered{
			UnificationID: sampleUnification, Case: "auth_only", Action: "auto", InstallationID: sampleInstallation,
			StandaloneInstallationID: sampleInstallation, AuthenticatorID: sampleIBKey,
		}),
		event("UnificationDeferred", 1, domain.UnificationDeferred{UnificationID: sampleUnification}),
		event("UnificationCompleted", 1, domain.UnificationCompleted{
			UnificationID: sampleUnification, AuthenticatorID: sampleIBKey, NewInstallationID: sampleOtherInstallation,
			StandaloneInstallationID: sampleInstallation,
		}),
		event("UnificationRefused", 1, domain.UnificationRefused{
			UnificationID: sampleUnification, Case: "auth_only", InstallationID: sampleInstallation,
			Reason: domain.ReasonUnifyOtherHandset,
		}),
	}
}
