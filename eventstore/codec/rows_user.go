package codec

import (
	"time"

	"github.com/authledger/authledger/domain"
)

// userRows are registration, residence, access, closure (rule book 6.1), the
// lock (D-18 to D-21), notices and the record of reads.
func userRows() []row {
	return []row{
		event("UserRegistered", 1, domain.UserRegistered{
			UserID: sampleUser, ClientID: sampleClient, Role: domain.RoleOwner, Username: domain.Sealed(sampleSealed), Locale: "de-DE",
		}, personal("username", func(e *domain.UserRegistered) *domain.Personal { return &e.Username })),
		event("ResidenceChanged", 1, domain.ResidenceChanged{
			PersonRef: "holder-2", From: "DE", To: "IN", EffectiveOn: "2024-03-01", DetectedAt: sampleAt(0), EvidenceRef: "case-4711",
		}, moment(func(e *domain.ResidenceChanged) *time.Time { return &e.DetectedAt })),
		event("AccountAccessGranted", 1, domain.AccountAccessGranted{ClientID: sampleClient, EffectiveOn: "2024-03-01"}),
		event("AccountAccessRevoked", 1, domain.AccountAccessRevoked{ClientID: sampleClient, EffectiveOn: "2024-06-01"}),
		event("UserClosed", 1, domain.UserClosed{Reason: "relationship_ended"}),
		event("IdentityVerifiedByAgent", 1, domain.IdentityVerifiedByAgent{
			IDVID: "idv_" + sampleKey + "_11", AgentRef: "agent-7", Method: "phone_questions", ExpiresAt: sampleAt(30),
		}, moment(func(e *domain.IdentityVerifiedByAgent) *time.Time { return &e.ExpiresAt })),
		event("UserLocked", 1, domain.UserLocked{
			Failures: 10, FirstFailureAt: sampleAt(1), LastCountedFailedAt: sampleAt(9), LockedUntil: sampleAt(9).Add(24 * time.Hour),
		},
			moment(func(e *domain.UserLocked) *time.Time { return &e.FirstFailureAt }),
			moment(func(e *domain.UserLocked) *time.Time { return &e.LastCountedFailedAt }),
			moment(func(e *domain.UserLocked) *time.Time { return &e.LockedUntil })),
		event("UserUnlocked", 1, domain.UserUnlocked{By: "agent", IDVID: "idv_" + sampleKey + "_11"}),
		event("UnlockRefused", 1, domain.UnlockRefused{Reason: domain.ReasonIDVRequired}),
		event("SecurityNotificationSent", 1, domain.SecurityNotificationSent{
			NotificationID: "ntf_" + sampleKey + "_12", Topic: "authenticator_enrolled", Channel: "email", TemplateID: "authenticator_enrolled",
			Locale: "de-DE", RuleID: "EU-NOTICE-1", NoticeOf: "evt_c9hpkgj4d5r7s2u0vm1n3b6e8g",
		}),
		event("SecurityNotificationFailed", 1, domain.SecurityNotificationFailed{
			NotificationID: "ntf_" + sampleKey + "_12", Topic: "authenticator_enrolled", Channel: "email", NoticeOf: "evt_c9hpkgj4d5r7s2u0vm1n3b6e8g",
		}),
		event("AuditQueryPerformed", 1, domain.AuditQueryPerformed{
			AuditorRef: "auditor-3", Operation: "getUserTimeline", QueryDigest: "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU", Purpose: "case-4711", Rows: 42,
		}),
		event("CodeEpochDestroyed", 1, domain.CodeEpochDestroyed{Kid: "c2024-02-01-5f0c1a2b"}),
	}
}
