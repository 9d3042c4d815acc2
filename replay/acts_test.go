package replay

import (
	"time"

	"github.com/authledger/authledger/domain"
)

// acts are what a walker can do; those that others build on come twice.
var acts = []act{
	getSMS, getSMS, getIBKey, getIBKey, getIBKey, logIn, logIn, logInSlowly, answer, mistype, optOut, optOut, optIn, unlock, move, seamless, removePhone,
	publish, unify, fallBack, callBack, callBack, lose, loseAndFind, loseAndFind, suspend, reactivate, revoke, orderDevice, orderDevice, getDevice, getDevice, changePIN, passcode, passcode, onlineCard,
	printedCard, migrate, migrate, migrateByDevice, recoverKey, unify, deferUnification, share, tidy, deliver, autoActivate, publish, amend, withdraw, shorten, closeUser, hold, forget,
}

func (w *walker) start(p domain.Purpose, platform domain.Platform, right bool) func() domain.Command {
	return func() domain.Command {
		return domain.StartAuthentication{UserID: w.id, Purpose: p, Platform: platform, ReleaseChannel: domain.Latest, PrimaryVerified: right}
	}
}

func (w *walker) respond() domain.Command {
	return domain.SubmitResponse{ChallengeID: w.challenge, TxnID: w.txn}
}

func (w *walker) decide() domain.Command {
	a, _ := w.l.user(w.id).IBKey()
	return domain.DecidePush{ChallengeID: w.challenge, InstallationID: a.InstallationID, Document: "{}", Signature: "c2ln"}
}

// prove answers in a process with a permanent authenticator, if there is one.
func (w *walker) prove() []func() domain.Command {
	return list(func() domain.Command {
		c := domain.IssueChallenge{TxnID: w.txn}
		for _, a := range w.l.user(w.id).Authenticators(w.l.now) {
			if a.Kind.Permanent() {
				c.AuthenticatorID = a.ID
				break
			}
		}
		return c
	}, w.respond, w.decide)
}

func list(commands ...func() domain.Command) []func() domain.Command { return commands }

func one(c domain.Command) []func() domain.Command {
	return list(func() domain.Command { return c })
}

func getSMS(w *walker, _ bool) []func() domain.Command {
	return list(
		func() domain.Command {
			return domain.AddPhone{UserID: w.id, CC: "DE", Number: domain.Clear("+49151"), Line: domain.LineMobile}
		},
		func() domain.Command { return domain.StartPhoneVerification{PhoneID: w.phone} },
		func() domain.Command { return domain.ConfirmPhone{VerificationID: w.verification} },
		func() domain.Command { return domain.EvaluateAutoSMS{UserID: w.id, PhoneID: w.phone} },
	)
}

func getIBKey(w *walker, _ bool) []func() domain.Command {
	return append(getSMS(w, true),
		w.start(domain.PurposeActivation, domain.IBKRMobileIOS, true),
		func() domain.Command {
			return domain.StartEnrollment{UserID: w.id, Kind: domain.KindIBKey, InstallationID: w.installations[0], TxnID: w.txn}
		},
		func() domain.Command { return domain.SubmitActivationCode{EnrollmentID: w.enrollment} },
		func() domain.Command {
			return domain.CompleteEnrollment{EnrollmentID: w.enrollment, UV: domain.UVFaceID}
		},
	)
}

func logIn(w *walker, _ bool) []func() domain.Command {
	return list(w.start(domain.PurposeLogin, domain.TWS, true), func() domain.Command { return domain.IssueChallenge{TxnID: w.txn} }, w.respond, w.decide)
}

func logInSlowly(w *walker, _ bool) []func() domain.Command {
	return list(w.start(domain.PurposeLogin, domain.TWS, true))
}

func answer(w *walker, _ bool) []func() domain.Command { return list(w.respond, w.decide) }

func mistype(w *walker, _ bool) []func() domain.Command {
	wrong := w.start(domain.PurposeLogin, domain.TWS, false)
	return list(wrong, wrong, wrong, wrong, wrong)
}

func optOut(w *walker, right bool) []func() domain.Command {
	return append(getSMS(w, true), one(domain.RequestOptOut{UserID: w.id, RequestedBy: w.id, AgreementVersion: "2024-01", Acknowledged: right})...)
}

func optIn(w *walker, _ bool) []func() domain.Command {
	return one(domain.OptBackIn{UserID: w.id, By: w.id})
}

func (w *walker) identify() domain.Command {
	return domain.VerifyIdentityByPhone{UserID: w.id, AgentRef: "agent-7", Method: "phone_questions"}
}

func unlock(w *walker, _ bool) []func() domain.Command {
	return list(w.identify, func() domain.Command { return domain.UnlockUser{UserID: w.id} })
}

func move(w *walker, right bool) []func() domain.Command {
	return one(domain.RecordResidence{UserID: w.id, To: map[bool]string{true: "CH", false: "FR"}[right], EffectiveOn: w.l.now.Format(time.DateOnly)})
}

func seamless(w *walker, right bool) []func() domain.Command {
	return one(domain.SetSeamless{UserID: w.id, Enabled: right})
}

func removePhone(w *walker, _ bool) []func() domain.Command {
	return one(domain.RemovePhone{PhoneID: w.phone, Reason: "user_request"})
}

func fallBack(w *walker, _ bool) []func() domain.Command {
	return list(w.start(domain.PurposeLogin, domain.TWS, true), func() domain.Command {
		return domain.RequestFallback{ChallengeID: w.challenge, Cause: domain.CauseNoInternet}
	}, w.respond)
}

func callBack(w *walker, _ bool) []func() domain.Command {
	return append(getSMS(w, true), w.start(domain.PurposeLogin, domain.TWS, true),
		func() domain.Command { return domain.RequestVoiceCall{ChallengeID: w.challenge} },
		func() domain.Command { return domain.RecordVoiceDispatch{CallID: w.call, Gateway: "inbox"} },
		func() domain.Command {
			return domain.RecordVoicePlaced{CallID: w.call, Provider: "inbox", ProviderRef: "c-1", PlacedAt: w.l.now}
		}, w.respond)
}

// strongest is the user's most protective authenticator, active or not.
func (w *walker) strongest() string {
	best := domain.Authenticator{}
	for _, a := range w.l.user(w.id).Bound() {
		if best.ID == "" || a.Kind.Rank() > best.Kind.Rank() {
			best = a
		}
	}
	return best.ID
}

func lose(w *walker, right bool) []func() domain.Command {
	return list(func() domain.Command {
		return domain.ReportLost{AuthenticatorID: w.strongest(), By: map[bool]string{true: "client", false: "agent"}[right]}
	})
}

func loseAndFind(w *walker, right bool) []func() domain.Command {
	return append(append(getIBKey(w, true), lose(w, true)...), reactivate(w, right)...)
}

func suspend(w *walker, _ bool) []func() domain.Command {
	return one(domain.SuspendAuthenticator{AuthenticatorID: w.strongest(), Reason: "compromise_suspected"})
}

func reactivate(w *walker, right bool) []func() domain.Command {
	again := func() domain.Command {
		return domain.ReactivateAuthenticator{AuthenticatorID: w.strongest(), Proof: "agent"}
	}
	if right {
		return list(w.identify, again)
	}
	return list(w.start(domain.PurposeActivation, domain.ClientPortal, true), func() domain.Command {
		return domain.ReactivateAuthenticator{AuthenticatorID: w.strongest(), Proof: "own_response", TxnID: w.txn}
	}, w.respond)
}

func revoke(w *walker, right bool) []func() domain.Command {
	return one(domain.RevokeAuthenticator{AuthenticatorID: w.strongest(), Reason: map[bool]string{true: "client_request", false: "stolen"}[right]})
}

func orderDevice(w *walker, right bool) []func() domain.Command {
	return list(
		func() domain.Command {
			return domain.RequestPhysicalDevice{UserID: w.id, Model: domain.ModelDSCPlus, EquityUSDMinor: 1 << 40, ShipTo: domain.Clear("1 Street")}
		},
		func() domain.Command {
			return domain.RecordDeviceShipped{DeviceID: w.device, RequestID: w.order, DispatchedOn: w.l.now.Format(time.DateOnly)}
		},
		func() domain.Command {
			v := w.l.state(domain.DeviceStream(w.device)).(*domain.Device)
			return domain.NoteDeviceShipped{UserID: w.id, DeviceID: w.device, RequestID: v.RequestID, DispatchedOn: w.l.now.Format(time.DateOnly), DueOn: v.DueOn}
		},
	)[:map[bool]int{true: 3, false: 1}[right]]
}

func getDevice(w *walker, _ bool) []func() domain.Command {
	commands := append(orderDevice(w, true), w.start(domain.PurposeActivation, domain.ClientPortal, true))
	return append(append(commands, w.prove()...), func() domain.Command {
		return domain.StartEnrollment{UserID: w.id, Kind: domain.KindDSCPlus, DeviceID: w.device, TxnID: w.txn}
	}, w.respond)
}

func changePIN(w *walker, _ bool) []func() domain.Command {
	return list(w.start(domain.PurposePINChange, domain.ClientPortal, true), func() domain.Command {
		return domain.ChangeDevicePIN{AuthenticatorID: w.authenticator[domain.KindDSCPlus], TxnID: w.txn}
	}, w.respond)
}

func autoActivate(w *walker, _ bool) []func() domain.Command {
	return list(func() domain.Command {
		w.l.wait(20 * 24 * time.Hour)
		return domain.AutoActivateDevice{UserID: w.id, DeviceID: w.device}
	})
}

func passcode(w *walker, _ bool) []func() domain.Command {
	return list(w.identify, func() domain.Command {
		return domain.IssueTemporaryPasscode{UserID: w.id, MissingAuthenticatorID: w.strongest()}
	}, w.start(domain.PurposeLogin, domain.ClientPortal, true), w.respond)
}

func deliver(w *walker, right bool) []func() domain.Command {
	return list(w.identify, func() domain.Command {
		return domain.DeliverTemporaryCredential{UserID: w.id, ResetRef: "reset-1", What: "reset_password", Channel: map[bool]string{true: "in_app", false: "agent_voice"}[right]}
	}, func() domain.Command {
		a, _ := w.l.user(w.id).IBKey()
		return domain.CollectTemporaryCredential{DeliveryID: w.delivery, InstallationID: a.InstallationID}
	})
}

func onlineCard(w *walker, right bool) []func() domain.Command {
	return list(w.start(domain.PurposeLogin, domain.ClientPortal, true), func() domain.Command { return domain.IssueChallenge{TxnID: w.txn} }, w.respond, w.decide,
		func() domain.Command {
			return domain.IssueCodeCard{UserID: w.id, Kind: domain.KindOSCC, TxnID: w.txn}
		},
		func() domain.Command { return domain.ActivateCodeCard{AuthenticatorID: w.card, TxnID: w.txn} },
		w.respond,
	)[:map[bool]int{true: 7, false: 5}[right]]
}

func printedCard(w *walker, _ bool) []func() domain.Command {
	return list(
		func() domain.Command {
			return domain.SetParameter{Parameter: "scc.issue", Value: 1, EffectiveFrom: "2020-01-01", Reason: "test"}
		},
		func() domain.Command { return domain.IssueCodeCard{UserID: w.id, Kind: domain.KindSCC} },
	)
}

func migrate(w *walker, right bool) []func() domain.Command {
	return append(getIBKey(w, true), list(w.start(domain.PurposeMigration, domain.IBKRMobileIOS, true),
		func() domain.Command {
			return domain.StartMigration{UserID: w.id, InstallationID: w.installations[1], TxnID: w.txn}
		},
		func() domain.Command { return domain.ProveMigration{MigrationID: w.migration} },
		func() domain.Command {
			return domain.CompleteMigration{MigrationID: w.migration, UV: domain.UVFaceID}
		},
	)[:map[bool]int{true: 4, false: 2}[right]]...)
}

func migrateByDevice(w *walker, _ bool) []func() domain.Command {
	return list(w.start(domain.PurposeMigration, domain.IBKRMobileIOS, true),
		func() domain.Command {
			return domain.StartMigration{UserID: w.id, InstallationID: w.installations[1], TxnID: w.txn}
		}, w.respond,
		func() domain.Command { return domain.CancelMigration{MigrationID: w.migration} },
	)
}

func recoverKey(w *walker, right bool) []func() domain.Command {
	return append(getIBKey(w, true), list(w.start(domain.PurposeRecovery, domain.IBKRMobileIOS, true),
		func() domain.Command {
			return domain.StartRecovery{UserID: w.id, InstallationID: w.installations[1], TxnID: w.txn, Cause: "reinstalled"}
		},
		func() domain.Command { return domain.ProveRecovery{RecoveryID: w.recovery} },
		func() domain.Command {
			return domain.CompleteRecovery{RecoveryID: w.recovery, UV: domain.UVFaceID}
		},
	)[:map[bool]int{true: 4, false: 3}[right]]...)
}

func (w *walker) detect() domain.Command {
	return domain.DetectUnification{UserID: w.id, InstallationID: w.installations[1], Case: "auth_only", StandaloneInstallationID: w.installations[0]}
}

func unify(w *walker, _ bool) []func() domain.Command {
	return append(getIBKey(w, true), w.detect, func() domain.Command { return domain.CompleteUnification{UnificationID: w.unification} })
}

func deferUnification(w *walker, _ bool) []func() domain.Command {
	return list(w.detect, func() domain.Command { return domain.DeferUnification{UnificationID: w.unification} })
}

func share(w *walker, right bool) []func() domain.Command {
	commands := append(list(w.start(domain.PurposeDeviceSharing, domain.ClientPortal, true)), w.prove()...)
	return append(commands,
		func() domain.Command {
			return domain.RequestDeviceSharing{UserID: w.id, AuthenticatorID: w.other.strongest(), TxnID: w.txn, IdentityMatch: true, EvidenceRef: "case-9"}
		}, w.respond,
		func() domain.Command { return domain.DecideDeviceSharing{SharingID: w.sharing, Grant: right} },
	)
}

func tidy(w *walker, _ bool) []func() domain.Command { return one(domain.TidyUser{UserID: w.id}) }

func closeUser(w *walker, right bool) []func() domain.Command {
	if right {
		return tidy(w, right) // most users stay
	}
	return one(domain.CloseUser{UserID: w.id, Reason: "relationship_ended"})
}

// hold places a legal hold and, at times, lifts it again.
func hold(w *walker, right bool) []func() domain.Command {
	place := one(domain.PlaceLegalHold{UserID: w.id, CaseRef: "case-1", Basis: "litigation"})
	if right {
		return place
	}
	return append(place,
		func() domain.Command { return domain.RequestHoldRelease{HoldID: w.hold} },
		func() domain.Command { return domain.ReleaseLegalHold{HoldID: w.hold} })
}

func forget(w *walker, _ bool) []func() domain.Command {
	return one(domain.RequestErasure{UserID: w.id, Basis: domain.BasisSubjectRequest})
}

// bury is what happens to the data of a user who left.
func bury(w *walker, _ bool) []func() domain.Command {
	later := func() domain.Command {
		w.l.wait(8 * 366 * 24 * time.Hour)
		return domain.EraseSubject{UserID: w.id}
	}
	return append(forget(w, true), later)
}

// law is a rule of Germany that forbids opting out, in a version.
func law(version int, from string) domain.RuleRow {
	return domain.RuleRow{
		ID: "DE-2FA-T", Version: version, CC: "DE", Zone: "Europe/Berlin", Status: "active", Effects: []domain.Effect{{Name: domain.EffectDeny}},
		LegalBasis: "a law of the tests", EffectiveFrom: from, Tests: []string{"residence"}, BasisOfDate: "the law's own",
	}
}

func publish(w *walker, _ bool) []func() domain.Command {
	return append(optOut(w, true),
		func() domain.Command {
			return domain.PublishRule{Rule: law(1, w.l.now.AddDate(0, 0, -1).Format(time.DateOnly))}
		},
		func() domain.Command { return domain.ReevaluateRegime{UserID: w.id, Cause: "rule_in_force"} })
}

func amend(w *walker, _ bool) []func() domain.Command {
	r, ok := w.l.policy.Rule("DE-2FA-T")
	if !ok {
		return publish(w, true)
	}
	return one(domain.AmendRule{Rule: law(r.Version+1, w.l.now.AddDate(0, 0, -1).Format(time.DateOnly))})
}

func withdraw(w *walker, _ bool) []func() domain.Command {
	return one(domain.WithdrawRule{RuleID: "DE-2FA-T", Reason: "repealed", EffectiveOn: w.l.now.Format(time.DateOnly)})
}

// shorten makes enrolments end earlier, which a state shows.
func shorten(_ *walker, right bool) []func() domain.Command {
	return one(domain.SetParameter{Parameter: "enrollment.ttl_s", Value: map[bool]int64{true: 120, false: 900}[right], EffectiveFrom: "2020-01-01", Reason: "test"})
}
