package codec

import (
	"time"

	"github.com/authledger/authledger/domain"
)

const (
	sampleErasure = "ers_" + sampleKey + "_41"
	sampleHold    = "hld_" + sampleKey + "_42"
	sampleEvent   = "evt_c9hpkgj4d5r7s2u0vm1n3b6e8g"
)

// privacyRows are erasure, restriction, legal holds, reveals and annotations
// (rule book 6.7), certificates of erasure and the rotation of keys.
func privacyRows() []row {
	until := sampleAt(0).AddDate(7, 0, 0)
	also := []string{"installation-" + sampleKey}
	return []row{
		event("IdentityVerificationFailed", 1, domain.IdentityVerificationFailed{AgentRef: "agent-7", Method: "phone_questions"}),
		event("ErasureRequested", 1, domain.ErasureRequested{
			ErasureID: sampleErasure, Basis: domain.BasisSubjectRequest, RequestedBy: "letter-2024-117",
		}),
		event("ErasureRefused", 1, domain.ErasureRefused{
			ErasureID: sampleErasure, Reason: domain.ReasonLegalHold, RetainedUntil: &until, HoldID: sampleHold,
			Retention: domain.Retention{Rule: "retention.default_y", CC: "*", Years: 7, From: sampleAt(0)},
		},
			perhaps(func(e *domain.ErasureRefused) **time.Time { return &e.RetainedUntil }),
			moment(func(e *domain.ErasureRefused) *time.Time { return &e.Retention.From })),
		event("ProcessingRestricted", 1, domain.ProcessingRestricted{ErasureID: sampleErasure, Until: &until},
			perhaps(func(e *domain.ProcessingRestricted) **time.Time { return &e.Until })),
		event("LegalHoldPlaced", 1, domain.LegalHoldPlaced{HoldID: sampleHold, CaseRef: "case-4711", Basis: "litigation"}),
		event("LegalHoldReleaseRequested", 1, domain.LegalHoldReleaseRequested{HoldID: sampleHold, RequestedBy: "compliance-2"}),
		event("LegalHoldReleased", 1, domain.LegalHoldReleased{HoldID: sampleHold, ApprovedBy: "compliance-5"}),
		event("PersonalDataErased", 1, domain.PersonalDataErased{
			ErasureID: sampleErasure, SubjectRef: "user-" + sampleKey, KeyID: "k17", Basis: domain.BasisSubjectRequest, Also: also,
		}),
		event("PersonalDataRevealed", 1, domain.PersonalDataRevealed{
			RevealID: "rvl_" + sampleKey + "_43", EventID: sampleEvent, Fields: []string{"number", FieldIP}, Reason: domain.RevealForRegulator, CaseRef: "case-4711",
		}),
		event("EventAnnotated", 1, domain.EventAnnotated{
			EventID: sampleEvent, Note: domain.Sealed(sampleSealed), Kind: "correction",
		}, personal("note", func(e *domain.EventAnnotated) *domain.Personal { return &e.Note })),
		// A certificate has no findings; the sample has one because a sample
		// populates every field.
		event("ErasureCertified", 1, domain.ErasureCertified{
			ErasureID: sampleErasure, SubjectRef: "user-" + sampleKey, Also: also, KeyID: "k17", DestroyedAt: sampleAt(2),
			Method: "data key zeroed, key store vacuumed and truncated, bytes searched", Files: 9, Bytes: 73_400_320, Findings: 1,
		}, moment(func(e *domain.ErasureCertified) *time.Time { return &e.DestroyedAt })),
		event("KeyRotated", 1, domain.KeyRotated{
			Kind: domain.KeySigning, KeyID: "s2024-02-01-5f0c1a2b", PreviousKeyID: "s2023-02-01-91d2c3b4", Epoch: 2,
			PublicKey: "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", Rewrapped: 1200,
		}),
	}
}
