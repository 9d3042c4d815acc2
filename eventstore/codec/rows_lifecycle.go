package codec

import "github.com/authledger/authledger/domain"

// lifecycleRows are the life of authenticators and physical devices (rule book 6.4).
func lifecycleRows() []row {
	check := domain.EquityCheck{Passed: true, Threshold: domain.Money{Minor: 100_000_000, Currency: "USD"}, RuleID: "dsc_plus.equity_threshold"}
	return []row{
		event("AuthenticatorReportedLost", 1, domain.AuthenticatorReportedLost{AuthenticatorID: sampleIBKey, By: "agent", IDVID: "idv_" + sampleKey + "_31"}),
		event("AuthenticatorSuspended", 1, domain.AuthenticatorSuspended{AuthenticatorID: sampleIBKey, Reason: "reported_lost"}),
		event("SuspensionRefused", 1, domain.SuspensionRefused{AuthenticatorID: sampleIBKey, Reason: domain.ReasonIDVRequired}),
		event("AuthenticatorReactivated", 1, domain.AuthenticatorReactivated{
			AuthenticatorID: sampleIBKey, Proof: "oscc", IDVID: "idv_" + sampleKey + "_31", TxnID: sampleTxn,
		}),
		event("ReactivationRefused", 1, domain.ReactivationRefused{AuthenticatorID: sampleIBKey, Proof: "oscc", Reason: domain.ReasonOSCCScope}),
		event("PhysicalDeviceRegistered", 1, domain.PhysicalDeviceRegistered{
			DeviceID: sampleDevice, Model: "dsc_plus", Manufacturer: "Example Tokens", Serial: "DSC-000417",
			OCRASuite: "OCRA-1:HOTP-SHA256-8:C-QN06", NextCounter: 17,
		}),
		event("PhysicalDeviceRequested", 1, domain.PhysicalDeviceRequested{
			RequestID: sampleRequest, Model: "dsc_plus", PINChosen: true, EquityCheck: check,
			ShipTo: domain.Sealed(sampleSealed),
		}, personal("ship_to", func(e *domain.PhysicalDeviceRequested) *domain.Personal { return &e.ShipTo })),
		event("PhysicalDeviceRequestRefused", 1, domain.PhysicalDeviceRequestRefused{Model: "dsc_plus", Reason: domain.ReasonEquity, EquityCheck: check}),
		event("PhysicalDeviceShipped", 1, domain.PhysicalDeviceShipped{
			DeviceID: sampleDevice, RequestID: sampleRequest, UserID: sampleUser, DispatchedOn: "2024-03-01",
			ActivationDueOn: "2024-03-15",
		}),
		event("DeviceReturned", 1, domain.DeviceReturned{DeviceID: sampleDevice, ReceivedOn: "2024-05-02", Condition: "ok"}),
		event("DeviceDepositHeld", 1, domain.DeviceDepositHeld{DeviceID: sampleDevice, Amount: domain.Money{Minor: 2000, Currency: "USD"}}),
		event("DeviceDepositReleased", 1, domain.DeviceDepositReleased{DeviceID: sampleDevice, Amount: domain.Money{Minor: 2000, Currency: "USD"}}),
		event("DeviceReplacementFeeCharged", 1, domain.DeviceReplacementFeeCharged{
			DeviceID: sampleDevice, Amount: domain.Money{Minor: 2000, Currency: "USD"}, Reason: "lost", FeeRuleID: "fee.dsc_plus",
		}),
		event("DevicePINChanged", 1, domain.DevicePINChanged{AuthenticatorID: sampleOther, DeviceID: sampleDevice, ChallengeID: sampleChallenge}),
		event("DevicePINChangeRefused", 1, domain.DevicePINChangeRefused{AuthenticatorID: sampleOther, Reason: domain.ReasonPINPolicy}),
		event("DeviceSharingRequested", 1, domain.DeviceSharingRequested{
			SharingID: sampleSharing, DeviceID: sampleDevice, OwnerUserID: "usr_7t1f5v9b3d0h4l8p2r6n0j4k8m",
			RequestingUserID: sampleUser, SameClient: true, IdentityMatch: true, EvidenceRef: "case-77",
		}),
		event("DeviceSharingPending", 1, domain.DeviceSharingPending{SharingID: sampleSharing, Reason: "compliance_review"}),
		event("DeviceSharingGranted", 1, domain.DeviceSharingGranted{SharingID: sampleSharing, AuthenticatorID: sampleIBKey}),
		event("DeviceSharingDenied", 1, domain.DeviceSharingDenied{SharingID: sampleSharing, Reason: domain.ReasonShareLessSecure}),
		event("DeviceSharingEnded", 1, domain.DeviceSharingEnded{SharingID: sampleSharing, AuthenticatorID: sampleIBKey}),
	}
}
