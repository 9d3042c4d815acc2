package domain

import "testing"

// deviceRefusals are the cases about calls, cards, units and temporary access.
func deviceRefusals() map[Code]func(*testing.T) *story {
	calling := func(steps ...step) func(*testing.T) *story {
		return func(t *testing.T) *story {
			s := given(t, alice).and(steps...)
			return s.when(RequestVoiceCall{ChallengeID: s.id(PrefixChallenge)})
		}
	}
	starting := func(id string, steps ...step) func(*testing.T) *story {
		return func(t *testing.T) *story {
			s := given(t, alice, sms).and(steps...).and(password(PurposeActivation, TWS))
			return s.when(StartEnrollment{UserID: aliceID, Kind: KindDSCPlus, DeviceID: id, TxnID: s.id(PrefixTransaction)})
		}
	}
	ordering := func(equity int64, steps ...step) func(*testing.T) *story {
		return func(t *testing.T) *story {
			return given(t, alice).and(steps...).when(RequestPhysicalDevice{UserID: aliceID, Model: ModelDSCPlus, EquityUSDMinor: equity})
		}
	}
	sharingOf := func(k Kind, steps ...step) func(*testing.T) *story {
		return func(t *testing.T) *story {
			return given(t, alice).and(steps...).and(as(bobID, request(aliceID, k)))
		}
	}
	colleague := as(bobID, registered(RoleHolder, "DE"), sms)
	stranger := func(s *story) {
		s.and(foreignClient("IE"))
		s.when(RegisterUser{UserID: bobID, ClientID: otherID, Role: RoleOwner, Residence: "DE"}).and(as(bobID, sms))
	}
	return map[Code]func(*testing.T) *story{
		ReasonVoiceNotSMSUser: calling(ibKey, login(TWS)),
		ReasonVoicePurpose:    calling(sms, password(PurposeStepUp, ClientPortal)),
		ReasonVoicePlatform:   calling(sms, login(WebTrader)),
		ReasonVoiceChannel:    calling(sms, smsLogin(TWS, Stable)),
		ReasonVoiceBeforeSMS: func(t *testing.T) *story {
			s := given(t, alice, sms)
			s.when(StartAuthentication{UserID: aliceID, Purpose: PurposeLogin, Platform: ClientPortal, PrimaryVerified: true}, func(f *Facts) { f.SMSLastHour = 10 })
			return s.when(call(s))
		},
		ReasonVoiceRate: calling(sms, login(ClientPortal), func(s *story) { s.when(call(s)) }),

		ReasonSMSNotEnrollable: func(t *testing.T) *story {
			return given(t, alice, ibKey).when(StartEnrollment{UserID: aliceID, Kind: KindSMS})
		},
		ReasonEquity:           ordering(1, sms),
		ReasonNotEnrolled:      ordering(100_000_000),
		ReasonDeviceNotShipped: starting(cardID, unit(cardID)),
		ReasonDeviceNotActive: starting(cardID, unit(cardID), sent(cardID), func(s *story) {
			s.when(RecordDeviceReturned{DeviceID: cardID, ReceivedOn: "2024-03-01", Condition: "ok"})
		}),
		ReasonStepUpRequired: starting(otherCardID, dscPlus(cardID), unit(otherCardID), sent(otherCardID)),

		ReasonTempConsecutive: func(t *testing.T) *story {
			s := germanLostCard(t)
			return s.and(identified).when(IssueTemporaryPasscode{UserID: aliceID, MissingAuthenticatorID: kindOf(s, KindDSCPlus).ID})
		},
		ReasonTempInApp: func(t *testing.T) *story {
			s := germanLostCard(t)
			return s.when(inApp(s))
		},
		ReasonOSCCScope: func(t *testing.T) *story {
			return given(t, alice, sms).when(IssueCodeCard{UserID: aliceID, Kind: KindOSCC})
		},
		ReasonCardNotIssued: func(t *testing.T) *story {
			return given(t, alice, sms).when(IssueCodeCard{UserID: aliceID, Kind: KindSCC})
		},
		ReasonNotSuspended: func(t *testing.T) *story {
			s := given(t, alice, ibKey)
			return s.when(ReactivateAuthenticator{AuthenticatorID: s.id(PrefixAuthenticator), Proof: "agent"})
		},
		ReasonShareIBKey:    sharingOf(KindIBKey, ibKey, colleague),
		ReasonShareIdentity: sharingOf(KindDSCPlus, sms, dscPlus(cardID), stranger),
		ReasonShareTemporary: sharingOf(KindDSCPlus, twoDevicesOnly, colleague, func(s *story) {
			s.and(passcodeFor(kindOf(s, KindIBKey).ID))
		}),
		ReasonShareLessSecure: sharingOf(KindSCC, sms, printedCard, as(bobID, registered(RoleHolder, "DE"), sms, dscPlus(cardID))),
		ReasonComplianceDenied: func(t *testing.T) *story {
			s := given(t, alice, sms, dscPlus(cardID), parameter(pSharingReview, 1), stranger)
			identical := func(c *RequestDeviceSharing) { c.IdentityMatch = true }
			return s.and(as(bobID, request(aliceID, KindDSCPlus, identical), answered, func(s *story) {
				s.when(DecideDeviceSharing{SharingID: s.id(PrefixSharing)})
			}))
		},
	}
}

// twoDevicesOnly is twoDevices of a user who exists already.
func twoDevicesOnly(s *story) {
	s.t.Helper()
	s.and(ibKey, dscPlus(cardID))
}

// moveRefusals are the cases about apps and IB Key on its way between them.
func moveRefusals() map[Code]func(*testing.T) *story {
	moving := func(steps ...step) func(*testing.T) *story {
		return func(t *testing.T) *story { return given(t, alice).and(steps...) }
	}
	const third = PrefixInstallation + "_00000000000000000000000003"
	return map[Code]func(*testing.T) *story{
		ReasonIBKeyNotHere: moving(verifiedPhone, installation(iphoneID, IOS), addUser(iphoneID)),
		ReasonPINMismatch: func(t *testing.T) *story {
			return given(t, newPhone).when(AttestPIN{InstallationID: pixelID, PINPolicyVersion: 1, Violation: ReasonPINMismatch})
		},
		ReasonInstallBlocked: moving(ibKey, newPhone, func(s *story) {
			s.when(ReportPINBlocked{InstallationID: pixelID, WrongEntries: 10})
		}, migration(pixelID)),
		ReasonRetired: moving(ibKey, newPhone, func(s *story) {
			s.when(RetireInstallation{InstallationID: pixelID, Reason: "recovered", SuccessorID: iphoneID})
		}, migration(pixelID)),

		ReasonNothingToMigrate: moving(sms, newPhone, migration(pixelID)),
		ReasonSameHandset:      moving(ibKey, migration(iphoneID)),
		ReasonMigrationOpen:    moving(ibKey, newPhone, installation(third, Android), migration(pixelID), migration(third)),
		ReasonPhoneNotOriginal: moving(ibKey, phoneReplaced, newPhone, migration(pixelID)),
		ReasonMigrationProof: moving(ibKey, newPhone, migration(pixelID), func(s *story) {
			s.when(completeMigration(s))
		}),
		ReasonProcessClosed: moving(ibKey, newPhone, migration(pixelID), func(s *story) {
			s.when(CancelMigration{MigrationID: s.id(PrefixMigration)}).when(completeMigration(s))
		}),
		ReasonUnifyOtherHandset: moving(ruleStandalone, func(s *story) {
			s.when(RegisterInstallation{InstallationID: third, App: AppIBKRMobile, OS: IOS, HandsetID: "another"})
			c := detected("auth_only")
			c.InstallationID = third
			s.when(c)
		}),
		ReasonNothingToUnify:   moving(ruleStandalone, func(s *story) { s.when(detected("trading_only")) }),
		ReasonUnifyFirst:       moving(ruleStandalone, func(s *story) { s.when(detected("both")) }, useNewApp),
		ReasonRecoveryHandset:  moving(ibKey, newPhone, recovery(pixelID, "reinstalled")),
		ReasonNothingToRecover: moving(sms, newPhone, recovery(pixelID, "reinstalled")),
	}
}
