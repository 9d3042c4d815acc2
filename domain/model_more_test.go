package domain

import (
	"time"

	"pgregory.net/rapid"
)

// The moves of calls, units, life cycles, processes, and of the world outside
// the user's stream.

var voiceMoves = []func(*model) Command{
	func(m *model) Command { return RequestVoiceCall{ChallengeID: m.id(PrefixChallenge)} },
	func(m *model) Command { return RequestVoiceCall{ChallengeID: m.id(PrefixChallenge)} },
	func(m *model) Command { return RequestVoiceCall{ChallengeID: m.id(PrefixChallenge)} },
	func(m *model) Command { return RecordVoiceDispatch{CallID: m.id(PrefixCall), Gateway: "g"} },
	func(m *model) Command { return RecordVoiceUncertain{CallID: m.id(PrefixCall)} },
	func(m *model) Command { return RecordVoicePlaced{CallID: m.id(PrefixCall), PlacedAt: m.s.now} },
	func(m *model) Command { return RecordVoiceAnswered{CallID: m.id(PrefixCall), DurationS: 9} },
	func(m *model) Command { return RecordVoiceFailed{CallID: m.id(PrefixCall), Failure: "busy"} },
	func(m *model) Command { return RecordCodeEmailed{SMSID: m.id(PrefixSMS), AddressRef: "a", RuleID: "r"} },
}

func (m *model) unit() string {
	return rapid.SampledFrom([]string{cardID, otherCardID}).Draw(m.rt, "unit")
}

// noteShipped is the reaction to the shipment of a unit to Alice.
func noteShipped(m *model) Command {
	for _, id := range []string{cardID, otherCardID} {
		v := m.s.states[DeviceStream(id)].(*Device)
		if r, ok := m.s.user().DeviceRequest(v.RequestID); ok && !r.Shipped {
			return NoteDeviceShipped{UserID: aliceID, DeviceID: id, RequestID: v.RequestID, DueOn: v.DueOn}
		}
	}
	return TidyUser{UserID: aliceID}
}

var deviceMoves = []func(*model) Command{
	noteShipped, noteShipped,
	func(m *model) Command {
		equity := rapid.SampledFrom([]int64{0, 1 << 40, 1 << 40}).Draw(m.rt, "equity")
		return RequestPhysicalDevice{UserID: aliceID, Model: ModelDSCPlus, EquityUSDMinor: equity}
	},
	func(m *model) Command {
		return RecordDeviceShipped{DeviceID: m.unit(), RequestID: m.id(PrefixRequest), DispatchedOn: m.s.now.Format(time.DateOnly)}
	},
	func(m *model) Command {
		return RecordDeviceReturned{DeviceID: m.unit(), ReceivedOn: m.s.now.Format(time.DateOnly), Condition: "ok"}
	},
	func(m *model) Command {
		return StartEnrollment{UserID: aliceID, Kind: KindDSCPlus, DeviceID: m.unit(), TxnID: m.id(PrefixTransaction)}
	},
	func(m *model) Command { return AutoActivateDevice{UserID: aliceID, DeviceID: m.unit()} },
	func(m *model) Command { return AutoActivateDevice{UserID: aliceID, DeviceID: m.unit()} },
	func(m *model) Command {
		return ChangeDevicePIN{AuthenticatorID: m.id(PrefixAuthenticator), TxnID: m.id(PrefixTransaction)}
	},
	func(m *model) Command {
		return IssueCodeCard{UserID: aliceID, Kind: rapid.SampledFrom([]Kind{KindOSCC, KindSCC}).Draw(m.rt, "card"), TxnID: m.id(PrefixTransaction)}
	},
	func(m *model) Command {
		return ActivateCodeCard{AuthenticatorID: m.id(PrefixAuthenticator), TxnID: m.id(PrefixTransaction)}
	},
	func(m *model) Command {
		return BindToDevice{DeviceID: m.unit(), UserID: aliceID, AuthenticatorID: m.id(PrefixAuthenticator)}
	},
	func(m *model) Command {
		return UnbindFromDevice{DeviceID: m.unit(), UserID: aliceID, AuthenticatorID: m.id(PrefixAuthenticator)}
	},
}

// anyAuthenticator is mostly a bound one.
func (m *model) anyAuthenticator() string {
	if list := m.s.user().Bound(); len(list) > 0 && m.often("bound") {
		return rapid.SampledFrom(list).Draw(m.rt, "authenticator").ID
	}
	return m.id(PrefixAuthenticator)
}

var lifecycleMoves = []func(*model) Command{
	func(m *model) Command {
		return ReportLost{AuthenticatorID: m.anyAuthenticator(), By: rapid.SampledFrom([]string{"client", "agent"}).Draw(m.rt, "by")}
	},
	func(m *model) Command {
		reason := rapid.SampledFrom([]string{"reported_lost", "pin_blocked", "compromise_suspected"}).Draw(m.rt, "reason")
		return SuspendAuthenticator{AuthenticatorID: m.anyAuthenticator(), Reason: reason}
	},
	func(m *model) Command {
		proof := rapid.SampledFrom([]string{"own_response", "oscc", "agent", "agent"}).Draw(m.rt, "proof")
		return ReactivateAuthenticator{AuthenticatorID: m.anyAuthenticator(), Proof: proof, TxnID: m.id(PrefixTransaction)}
	},
	func(m *model) Command {
		if m.often("keeps") {
			return RemoveUserFromInstallation{UserID: aliceID, InstallationID: pixelID}
		}
		reason := rapid.SampledFrom([]string{"lost", "stolen", "defective", "returned", "client_request", "compromise"}).Draw(m.rt, "reason")
		return RevokeAuthenticator{AuthenticatorID: m.anyAuthenticator(), Reason: reason}
	},
	func(m *model) Command {
		return IssueTemporaryPasscode{UserID: aliceID, MissingAuthenticatorID: m.anyAuthenticator()}
	},
	func(m *model) Command {
		channel := rapid.SampledFrom([]string{"agent_voice", "in_app"}).Draw(m.rt, "way")
		return DeliverTemporaryCredential{UserID: aliceID, AuthenticatorID: m.anyAuthenticator(), What: "temp_code", Channel: channel}
	},
	func(m *model) Command {
		return CollectTemporaryCredential{DeliveryID: m.id(PrefixDelivery), InstallationID: m.installation()}
	},
	func(*model) Command { return TidyUser{UserID: aliceID} },
}

var processMoves = []func(*model) Command{
	func(m *model) Command {
		return StartMigration{UserID: aliceID, InstallationID: m.installation(), TxnID: m.id(PrefixTransaction)}
	},
	func(m *model) Command { return ResendMigrationCode{MigrationID: m.id(PrefixMigration)} },
	func(m *model) Command { return ProveMigration{MigrationID: m.id(PrefixMigration)} },
	func(m *model) Command { return CompleteMigration{MigrationID: m.id(PrefixMigration), UV: m.uv()} },
	func(m *model) Command { return CancelMigration{MigrationID: m.id(PrefixMigration)} },
	func(m *model) Command {
		return StartRecovery{UserID: aliceID, InstallationID: m.installation(), TxnID: m.id(PrefixTransaction), Cause: "os_upgraded"}
	},
	func(m *model) Command { return ResendRecoveryCode{RecoveryID: m.id(PrefixRecovery)} },
	func(m *model) Command { return ProveRecovery{RecoveryID: m.id(PrefixRecovery)} },
	func(m *model) Command { return CompleteRecovery{RecoveryID: m.id(PrefixRecovery), UV: m.uv()} },
	func(m *model) Command { return CancelRecovery{RecoveryID: m.id(PrefixRecovery)} },
	func(m *model) Command {
		return DetectUnification{
			UserID: aliceID, InstallationID: thirdID, StandaloneInstallationID: iphoneID,
			Case: rapid.SampledFrom([]string{"auth_only", "both", "trading_only"}).Draw(m.rt, "case"),
		}
	},
	func(m *model) Command { return DeferUnification{UnificationID: m.id(PrefixUnification)} },
	func(m *model) Command { return CompleteUnification{UnificationID: m.id(PrefixUnification)} },
	func(m *model) Command {
		return RequestDeviceSharing{UserID: aliceID, AuthenticatorID: m.bobs(), TxnID: m.id(PrefixTransaction), IdentityMatch: m.boolean("identical")}
	},
	func(m *model) Command {
		return DecideDeviceSharing{SharingID: m.id(PrefixSharing), Grant: m.boolean("grant")}
	},
}

// outsideMoves happen to apps, clients and the rule book.
var outsideMoves = []func(*model) Command{
	func(m *model) Command {
		return AttestPIN{InstallationID: pixelID, PINPolicyVersion: 1, Violation: rapid.SampledFrom([]Code{"", ReasonPINPolicy, ReasonPINMismatch}).Draw(m.rt, "violation")}
	},
	func(m *model) Command { return ReportPINBlocked{InstallationID: m.installation(), WrongEntries: 10} },
	func(m *model) Command { return UnblockInstallation{InstallationID: m.installation(), RecoveryID: "r"} },
	func(m *model) Command { return UnblockInstallation{InstallationID: pixelID, RecoveryID: "r"} },
	func(m *model) Command {
		return RecordHolderResidence{ClientID: clientID, PersonRef: "p", To: m.country("to"), EffectiveOn: m.date()}
	},
	func(m *model) Command {
		return RecordDomicile{ClientID: clientID, To: m.country("to"), EffectiveOn: m.date()}
	},
	changeRules, changeRules,
}

// changeRules publishes, amends or withdraws a German rule, or sets a
// parameter that no number of the auditor depends on.
func changeRules(m *model) Command {
	if !m.lawful {
		return TidyUser{UserID: aliceID}
	}
	r := germanRule(m.date())
	p := m.s.current()
	old, known := p.Rule(r.ID)
	switch rapid.IntRange(0, 3).Draw(m.rt, "change") {
	case 0:
		return SetParameter{Parameter: pSharingReview, Value: int64(rapid.IntRange(0, 1).Draw(m.rt, "review")), EffectiveFrom: m.date(), Reason: "r"}
	case 1:
		return WithdrawRule{RuleID: r.ID, Reason: "r", EffectiveOn: m.date()}
	}
	r.Effects[0].Name = rapid.SampledFrom([]string{EffectDeny, EffectDeny, EffectPermit, EffectTempRecovery}).Draw(m.rt, "effect")
	if !known {
		return PublishRule{Rule: r}
	}
	r.Version = old.Version + 1
	return AmendRule{Rule: r}
}
