package projections

import "github.com/authledger/authledger/domain"

// The places on timelines of what happens to authenticators, and in processes
// that take more than one step.

func describeVoice(e domain.Event) (facts, bool) {
	switch e := e.(type) {
	case domain.VoiceCallRequested:
		return info(e.ChallengeID, e.PhoneID).starting(e.CallID), true
	case domain.VoiceCallRefused:
		return refusal(e.Reason, e.ChallengeID), true
	case domain.VoiceDispatchStarted:
		return info(e.CallID), true
	case domain.VoiceDispatchUncertain:
		return failure("", e.CallID), true
	case domain.VoiceCallPlaced:
		return info(e.CallID), true
	case domain.VoiceCallAnswered:
		return success(e.CallID), true
	case domain.VoiceCallFailed:
		return failure(e.Failure, e.CallID), true
	}
	return facts{}, false
}

func describeLifecycle(e domain.Event) (facts, bool) {
	switch e := e.(type) {
	case domain.AuthenticatorBound:
		return info(e.UserID, e.AuthenticatorID), true
	case domain.AuthenticatorUnbound:
		return info(e.UserID, e.AuthenticatorID), true
	case domain.AuthenticatorReportedLost:
		return info(e.AuthenticatorID), true
	case domain.AuthenticatorSuspended:
		return info(e.AuthenticatorID).because(e.Reason), true
	case domain.SuspensionRefused:
		return refusal(e.Reason, e.AuthenticatorID), true
	case domain.AuthenticatorReactivated:
		return success(e.AuthenticatorID, e.TxnID), true
	case domain.ReactivationRefused:
		return refusal(e.Reason, e.AuthenticatorID), true
	case domain.DevicePINChanged:
		return success(e.AuthenticatorID, e.DeviceID, e.ChallengeID), true
	case domain.DevicePINChangeRefused:
		return refusal(e.Reason, e.AuthenticatorID), true
	}
	return facts{}, false
}

func describeDevice(e domain.Event) (facts, bool) {
	switch e := e.(type) {
	case domain.PhysicalDeviceRegistered:
		return info(e.DeviceID), true
	case domain.PhysicalDeviceRequested:
		return info(e.RequestID).starting(e.RequestID), true
	case domain.PhysicalDeviceRequestRefused:
		return refusal(e.Reason), true
	case domain.PhysicalDeviceShipped:
		return info(e.DeviceID, e.RequestID, e.UserID), true
	case domain.DeviceReturned:
		return info(e.DeviceID).because(e.Condition), true
	case domain.DeviceDepositHeld:
		return info(e.DeviceID), true
	case domain.DeviceDepositReleased:
		return info(e.DeviceID), true
	case domain.DeviceReplacementFeeCharged:
		return info(e.DeviceID).because(e.Reason), true
	}
	return facts{}, false
}

func describeTemporary(e domain.Event) (facts, bool) {
	switch e := e.(type) {
	case domain.OnlineCodeCardIssued:
		return success(e.TxnID).starting(e.AuthenticatorID), true
	case domain.OnlineCodeCardRefused:
		return refusal(e.Reason, e.AuthenticatorID), true
	case domain.SecurityCodeCardIssued:
		return success().starting(e.AuthenticatorID), true
	case domain.SecurityCodeCardRefused:
		return refusal(e.Reason, e.AuthenticatorID), true
	case domain.TemporaryPasscodeIssued:
		return success(e.MissingAuthenticatorID).starting(e.AuthenticatorID), true
	case domain.TemporaryPasscodeRefused:
		return refusal(e.Reason, e.MissingAuthenticatorID), true
	case domain.TemporaryCredentialDelivered:
		return success(e.AuthenticatorID, e.InstallationID).starting(e.DeliveryID), true
	case domain.TemporaryCredentialCollected:
		return success(e.DeliveryID, e.InstallationID), true
	case domain.TemporaryCredentialRefused:
		return refusal(e.Reason, e.AuthenticatorID), true
	}
	return facts{}, false
}

func describeMove(e domain.Event) (facts, bool) {
	switch e := e.(type) {
	case domain.MigrationStarted:
		return info(e.MigrationID, e.FromInstallationID, e.ToInstallationID, e.ActivationPhoneID).starting(e.MigrationID), true
	case domain.MigrationRefused:
		return refusal(e.Reason, e.MigrationID, e.ToInstallationID), true
	case domain.MigrationProofAccepted:
		return success(e.MigrationID), true
	case domain.MigrationCompleted:
		return success(e.MigrationID), true
	case domain.MigrationCancelled:
		return info(e.MigrationID).because(e.Reason), true
	case domain.MigrationExpired:
		return info(e.MigrationID), true
	case domain.RecoveryStarted:
		return info(e.RecoveryID, e.AuthenticatorID, e.NewInstallationID, e.ActivationPhoneID).because(e.Cause).starting(e.RecoveryID), true
	case domain.RecoveryRefused:
		return refusal(e.Reason, e.RecoveryID, e.NewInstallationID), true
	case domain.RecoveryProofAccepted:
		return success(e.RecoveryID), true
	case domain.RecoveryCompleted:
		return success(e.RecoveryID, e.InstallationID, e.FormerInstallation), true
	case domain.RecoveryCancelled:
		return info(e.RecoveryID).because(e.Reason), true
	case domain.RecoveryExpired:
		return info(e.RecoveryID), true
	case domain.UnificationOffered:
		return info(e.UnificationID, e.InstallationID, e.StandaloneInstallationID).starting(e.UnificationID), true
	case domain.UnificationDeferred:
		return info(e.UnificationID), true
	case domain.UnificationCompleted:
		return success(e.UnificationID, e.NewInstallationID, e.StandaloneInstallationID), true
	case domain.UnificationRefused:
		return refusal(e.Reason, e.UnificationID, e.InstallationID), true
	}
	return facts{}, false
}

func describeSharing(e domain.Event) (facts, bool) {
	switch e := e.(type) {
	case domain.DeviceSharingRequested:
		return info(e.SharingID, e.DeviceID, e.OwnerUserID, e.RequestingUserID).starting(e.SharingID), true
	case domain.DeviceSharingPending:
		return info(e.SharingID).because(e.Reason), true
	case domain.DeviceSharingGranted:
		return success(e.SharingID), true
	case domain.DeviceSharingDenied:
		return refusal(e.Reason, e.SharingID), true
	case domain.DeviceSharingEnded:
		return info(e.SharingID), true
	}
	return facts{}, false
}

// describePolicy leaves out the reasons given for changes of the rule book,
// which are free text.
func describePolicy(e domain.Event) (facts, bool) {
	switch e.(type) {
	case domain.PolicyRulePublished, domain.PolicyRuleAmended, domain.PolicyRuleWithdrawn, domain.PolicyParameterSet:
		return info(), true
	}
	return facts{}, false
}
