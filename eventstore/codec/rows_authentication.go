package codec

import (
	"time"

	"github.com/authledger/authledger/domain"
)

// authenticationRows are transactions, challenges and answers (rule book 6.5).
func authenticationRows() []row {
	lockedUntil := sampleAt(59)
	return []row{
		event("AuthenticationStarted", 1, domain.AuthenticationStarted{
			TxnID: sampleTxn, Purpose: domain.PurposeLogin, Platform: domain.TWS, PlatformClass: domain.Trading, ClientVersion: "1030",
			ReleaseChannel: domain.Latest, InitiatingDeviceRef: "device-1",
		}),
		event("AuthenticationRefused", 1, domain.AuthenticationRefused{
			Purpose: domain.PurposeLogin, Platform: domain.TWS, Reason: domain.ReasonUserLocked, LockedUntil: &lockedUntil,
		}, perhaps(func(e *domain.AuthenticationRefused) **time.Time { return &e.LockedUntil })),
		event("PrimaryFactorVerified", 1, domain.PrimaryFactorVerified{TxnID: sampleTxn, ExpiresAt: sampleAt(10)},
			moment(func(e *domain.PrimaryFactorVerified) *time.Time { return &e.ExpiresAt })),
		event("PrimaryFactorRejected", 1, domain.PrimaryFactorRejected{TxnID: sampleTxn, FailureCount: 3}),
		event("SecondFactorWaived", 1, domain.SecondFactorWaived{
			TxnID: sampleTxn, OptOutID: sampleOptOut, RuleIDs: []string{"DEFAULT-1"}, Decision: sampleDecision(),
		}, moment(func(e *domain.SecondFactorWaived) *time.Time { return &e.Decision.AsOf })),
		event("SecondFactorOffered", 1, domain.SecondFactorOffered{
			TxnID: sampleTxn, Options: []domain.Option{{AuthenticatorID: sampleIBKey, Kind: domain.KindIBKey, Rank: 2}},
		}),
		event("EnrollmentRequired", 1, domain.EnrollmentRequired{TxnID: sampleTxn}),
		event("SecondFactorSelected", 1, domain.SecondFactorSelected{TxnID: sampleTxn, AuthenticatorID: sampleIBKey, By: "only_one"}),
		event("SelectionRefused", 1, domain.SelectionRefused{TxnID: sampleTxn, AuthenticatorID: sampleIBKey, Reason: domain.ReasonNotOffered}),
		event("ChallengeIssued", 1, domain.ChallengeIssued{
			ChallengeID: sampleChallenge, TxnID: sampleTxn, AuthenticatorID: sampleIBKey, SubjectID: sampleMigration, Kind: domain.KindIBKey,
			Mode: domain.ModePush, DeviceID: sampleDevice, GridIndices: []int{17, 203}, InstallationID: sampleInstallation, Kid: sampleKid, ChallengeLen: 6, ResponseLen: 8, NumberMatching: true, MaxAttempts: 3, ExpiresAt: sampleAt(5),
		}, moment(func(e *domain.ChallengeIssued) *time.Time { return &e.ExpiresAt })),
		event("ChallengeRefused", 1, domain.ChallengeRefused{TxnID: sampleTxn, Mode: domain.ModePush, Reason: domain.ReasonPushRate}),
		event("ChallengeFallbackRequested", 1, domain.ChallengeFallbackRequested{ChallengeID: sampleChallenge, Cause: domain.CauseNoInternet}),
		event("FallbackRefused", 1, domain.FallbackRefused{ChallengeID: sampleChallenge, Reason: domain.ReasonNoFallback}),
		event("ChallengeCancelled", 1, domain.ChallengeCancelled{ChallengeID: sampleChallenge, Reason: "fallback"}),
		event("LoginCodeIssued", 1, domain.LoginCodeIssued{
			ChallengeID: sampleChallenge, Seq: 1, Via: "sms", Kid: sampleKid, CodeLen: 6, ExpiresAt: sampleAt(5),
		}, moment(func(e *domain.LoginCodeIssued) *time.Time { return &e.ExpiresAt })),
		event("ResponseVerified", 1, domain.ResponseVerified{
			ChallengeID: sampleChallenge, TxnID: sampleTxn, AuthenticatorID: sampleIBKey, Mode: domain.ModePush, UV: domain.UVFaceID, AttemptNo: 1,
			ElapsedMS: 4200, AnsweringInstallationID: sampleInstallation, NumberMatched: true, OOBClass: "number_matching", OCRAStep: 28488573,
			NextCounter: 18, DeviceID: sampleDevice, Document: domain.Sealed(sampleSealed), Signature: "MEUCIQDsample",
		}, personal("document", func(e *domain.ResponseVerified) *domain.Personal { return &e.Document })),
		event("ResponseRejected", 1, domain.ResponseRejected{
			ChallengeID: sampleChallenge, TxnID: sampleTxn, Reason: domain.ReasonDeclined, AttemptNo: 1, AttemptsLeft: 2, LenOK: true, CharsetOK: true,
			Counted: true, FailureCount: 1, Document: domain.Sealed(sampleSealed), Signature: "MEUCIQDsample",
		}, personal("document", func(e *domain.ResponseRejected) *domain.Personal { return &e.Document })),
		event("ChallengeExhausted", 1, domain.ChallengeExhausted{ChallengeID: sampleChallenge}),
		event("AnomalyFlagged", 1, domain.AnomalyFlagged{Kind: "push_declined", TxnID: sampleTxn}),
		event("AuthenticationSucceeded", 1, domain.AuthenticationSucceeded{
			TxnID: sampleTxn, Scope: "full", AuthenticatorKind: domain.KindIBKey, ProtectionRank: 2, Factors: 2, SessionRef: "ses_" + sampleKey + "_14",
			Platform: domain.IBKRMobileAndroid, InitiatingDeviceRef: "device-1",
		}),
		event("AuthenticationFailed", 1, domain.AuthenticationFailed{TxnID: sampleTxn, Reason: domain.ReasonDeclined}),
		event("AuthenticationAbandoned", 1, domain.AuthenticationAbandoned{TxnID: sampleTxn}),
		event("PushSent", 1, domain.PushSent{PushID: samplePush, ChallengeID: sampleChallenge, InstallationID: sampleInstallation}),
		event("PushFailed", 1, domain.PushFailed{PushID: samplePush, ChallengeID: sampleChallenge, Failure: "token_invalid"}),
		event("PushOpened", 1, domain.PushOpened{PushID: samplePush, ChallengeID: sampleChallenge, OpenedAt: sampleAt(1)},
			moment(func(e *domain.PushOpened) *time.Time { return &e.OpenedAt })),
	}
}
