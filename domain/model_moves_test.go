package domain

import (
	"slices"
	"time"

	"pgregory.net/rapid"
)

// The moves of a history, and what they name.

// moves are all of them.
var moves = slices.Concat(basicMoves, voiceMoves, deviceMoves, lifecycleMoves, processMoves, outsideMoves, privacyMoves)

func (m *model) newest(prefix string) string {
	if ids := m.ids[prefix]; len(ids) > 0 {
		return ids[len(ids)-1]
	}
	return ""
}

func (m *model) boolean(label string) bool { return rapid.Bool().Draw(m.rt, label) }

// often is true in nine cases of ten.
func (m *model) often(label string) bool { return rapid.IntRange(0, 9).Draw(m.rt, label) < 9 }

func (m *model) date() string {
	days := rapid.IntRange(-400, 40).Draw(m.rt, "days")
	return m.s.now.AddDate(0, 0, days).Format(time.DateOnly)
}

func (m *model) client() string {
	return rapid.SampledFrom([]string{clientID, otherID}).Draw(m.rt, "whose")
}

func (m *model) installation() string {
	return rapid.SampledFrom([]string{iphoneID, pixelID, thirdID}).Draw(m.rt, "app")
}

func (m *model) uv() UV {
	return rapid.SampledFrom([]UV{UVFaceID, UVFaceID, UVFingerprint, UVAppPIN, UVNone}).Draw(m.rt, "uv")
}

func start(m *model) Command {
	return StartAuthentication{
		UserID: aliceID, Purpose: rapid.SampledFrom([]Purpose{
			PurposeLogin, PurposeLogin, PurposeLogin, PurposeActivation, PurposeMigration, PurposeRecovery, PurposeStepUp, PurposeDeviceSharing, PurposePINChange,
		}).Draw(m.rt, "purpose"),
		Platform:       rapid.SampledFrom([]Platform{TWS, ClientPortal, WebTrader, IBKRMobileIOS}).Draw(m.rt, "platform"),
		ReleaseChannel: rapid.SampledFrom([]ReleaseChannel{Stable, Latest}).Draw(m.rt, "channel"), InitiatingDeviceRef: m.installation(),
		ClientVersion:   rapid.SampledFrom([]string{"965", "1030"}).Draw(m.rt, "version"),
		PrimaryVerified: m.boolean("password"), Defer: !m.often("at once"), WaiverOnly: !m.often("attended"),
	}
}

func tap(m *model) Command {
	id := m.id(PrefixChallenge)
	phone := m.installation()
	if c, ok := m.s.user().Challenge(id); ok && m.often("own phone") {
		phone = c.InstallationID
	}
	return DecidePush{ChallengeID: id, InstallationID: phone, Document: "d", Signature: "s"}
}

// basicMoves are the commands of phones, IB Key, logins and opt-outs; those that
// make histories long come several times.
var basicMoves = []func(*model) Command{
	start, start, start, start, tap, tap, tap,
	func(m *model) Command { return SubmitResponse{ChallengeID: m.id(PrefixChallenge)} },
	func(m *model) Command { return SubmitResponse{ChallengeID: m.id(PrefixChallenge)} },
	func(m *model) Command {
		return SubmitResponse{ChallengeID: m.id(PrefixChallenge), TxnID: m.id(PrefixTransaction)}
	},
	func(m *model) Command { return IssueChallenge{TxnID: m.id(PrefixTransaction)} },
	func(m *model) Command {
		return IssueChallenge{TxnID: m.id(PrefixTransaction), AuthenticatorID: m.id(PrefixAuthenticator)}
	},
	func(m *model) Command {
		return RequestFallback{ChallengeID: m.id(PrefixChallenge), Cause: CauseUnspecified}
	},
	func(m *model) Command { return ResendLoginCode{ChallengeID: m.id(PrefixChallenge)} },
	func(m *model) Command { return CancelChallenge{ChallengeID: m.id(PrefixChallenge)} },
	func(m *model) Command { return RecordPushSent{ChallengeID: m.id(PrefixChallenge)} },
	func(m *model) Command {
		return RecordPushFailed{ChallengeID: m.id(PrefixChallenge), Failure: "throttled"}
	},
	func(m *model) Command {
		return RecordPushOpened{ChallengeID: m.id(PrefixChallenge), InstallationID: m.installation()}
	},
	func(m *model) Command { return SetSeamless{UserID: aliceID, Enabled: m.often("seamless")} },
	func(m *model) Command {
		kind := rapid.SampledFrom([]Line{LineMobile, LineMobile, LineFixed}).Draw(m.rt, "line")
		return AddPhone{UserID: aliceID, CC: "DE", Number: Clear("+49"), Line: kind}
	},
	func(m *model) Command { return StartPhoneVerification{PhoneID: m.id(PrefixPhone)} },
	func(m *model) Command { return ResendConfirmCode{VerificationID: m.id(PrefixVerification)} },
	func(m *model) Command { return ConfirmPhone{VerificationID: m.id(PrefixVerification)} },
	func(m *model) Command { return ConfirmPhone{VerificationID: m.id(PrefixVerification)} },
	func(m *model) Command { return EvaluateAutoSMS{UserID: aliceID, PhoneID: m.id(PrefixPhone)} },
	func(m *model) Command {
		return ReplacePhone{OldPhoneID: m.id(PrefixPhone), NewPhoneID: m.id(PrefixPhone)}
	},
	func(m *model) Command { return RemovePhone{PhoneID: m.id(PrefixPhone), Reason: "client_request"} },
	func(m *model) Command { return RecordSMSDispatch{SMSID: m.id(PrefixSMS), Gateway: "g"} },
	func(m *model) Command { return RecordSMSUncertain{SMSID: m.id(PrefixSMS)} },
	func(m *model) Command { return RecordSMSSent{SMSID: m.id(PrefixSMS), AcceptedAt: m.s.now} },
	func(m *model) Command {
		return RecordSMSDelivered{SMSID: m.id(PrefixSMS), DeliveredAt: m.s.now, Receipt: "network"}
	},
	func(m *model) Command {
		return RecordSMSDeliveryFailed{SMSID: m.id(PrefixSMS), Failure: "roaming"}
	},
	func(m *model) Command { return RecordSMSSendFailed{SMSID: m.id(PrefixSMS)} },
	func(m *model) Command {
		flow := rapid.SampledFrom([]string{"activate", "add_user"}).Draw(m.rt, "flow")
		return StartEnrollment{UserID: aliceID, Kind: KindIBKey, Flow: flow, InstallationID: m.installation(), TxnID: m.id(PrefixTransaction)}
	},
	func(m *model) Command { return ResendActivationCode{EnrollmentID: m.id(PrefixEnrollment)} },
	func(m *model) Command { return SubmitActivationCode{EnrollmentID: m.id(PrefixEnrollment)} },
	func(m *model) Command { return SubmitActivationCode{EnrollmentID: m.id(PrefixEnrollment)} },
	func(m *model) Command { return CompleteEnrollment{EnrollmentID: m.id(PrefixEnrollment), UV: m.uv()} },
	func(m *model) Command { return CompleteEnrollment{EnrollmentID: m.id(PrefixEnrollment), UV: m.uv()} },
	func(m *model) Command { return AbandonEnrollment{EnrollmentID: m.id(PrefixEnrollment)} },
	func(m *model) Command { return VerifyIdentityByPhone{UserID: aliceID, AgentRef: "a", Method: "m"} },
	func(m *model) Command { return UnlockUser{UserID: aliceID} },
	func(m *model) Command {
		return RequestOptOut{
			UserID: aliceID, RequestedBy: rapid.SampledFrom([]string{aliceID, aliceID, bobID}).Draw(m.rt, "by"),
			AgreementVersion: "1", Acknowledged: m.often("agreed"),
		}
	},
	func(m *model) Command { return OptBackIn{UserID: aliceID, By: aliceID} },
	func(m *model) Command { return ReevaluateRegime{UserID: aliceID} },
	func(m *model) Command {
		return RecordResidence{UserID: aliceID, To: m.country("to"), EffectiveOn: m.date()}
	},
	func(m *model) Command {
		return GrantAccountAccess{UserID: aliceID, ClientID: m.client(), EffectiveOn: m.date()}
	},
	func(m *model) Command {
		return RevokeAccountAccess{UserID: aliceID, ClientID: m.client(), EffectiveOn: m.date()}
	},
	func(m *model) Command {
		return AssignCarryingEntity{ClientID: m.client(), CarryingCC: m.country("carrier"), EffectiveOn: m.date()}
	},
	func(m *model) Command {
		return AddHolder{ClientID: clientID, PersonRef: "p", Residence: m.country("holder"), EffectiveOn: m.date()}
	},
	func(m *model) Command {
		return RemoveHolder{ClientID: clientID, PersonRef: "p", EffectiveOn: m.date()}
	},
	func(m *model) Command {
		return RecordNotification{UserID: aliceID, Topic: "t", Channel: "email", Failed: m.boolean("failed")}
	},
	func(m *model) Command {
		if m.often("stays") {
			return start(m)
		}
		return CloseUser{UserID: aliceID, Reason: "r"}
	},
}
