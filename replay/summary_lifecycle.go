package replay

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/authledger/authledger/domain"
)

func summariseLifecycle(e domain.Event) string {
	switch e := e.(type) {
	case domain.AuthenticatorReportedLost:
		return fmt.Sprintf("%s reported lost by %s%s", thing(e.AuthenticatorID), reporter(e.By), also(" after %s", e.IDVID))
	case domain.AuthenticatorSuspended:
		return fmt.Sprintf("%s suspended: %s", thing(e.AuthenticatorID), e.Reason)
	case domain.SuspensionRefused:
		return fmt.Sprintf("suspension of %s refused: %s", thing(e.AuthenticatorID), e.Reason)
	case domain.AuthenticatorReactivated:
		return fmt.Sprintf("%s reactivated, proved by %s%s%s", thing(e.AuthenticatorID), proof(e.Proof), also(" after %s", e.IDVID), also(" in %s", e.TxnID))
	case domain.ReactivationRefused:
		return fmt.Sprintf("reactivation of %s by %s refused: %s", thing(e.AuthenticatorID), proof(e.Proof), e.Reason)
	case domain.AuthenticatorBound:
		return fmt.Sprintf("%s of %s lives here", thing(e.AuthenticatorID), e.UserID)
	case domain.AuthenticatorUnbound:
		return fmt.Sprintf("%s of %s no longer lives here", thing(e.AuthenticatorID), e.UserID)
	case domain.DeviceSharingRequested:
		return fmt.Sprintf("%s: %s asks to answer with%s of %s%s", thing(e.SharingID), e.RequestingUserID, device(e.DeviceID), e.OwnerUserID, link(e))
	case domain.DeviceSharingPending:
		return fmt.Sprintf("%s waits: %s", thing(e.SharingID), e.Reason)
	case domain.DeviceSharingGranted:
		return fmt.Sprintf("%s granted with %s", thing(e.SharingID), thing(e.AuthenticatorID))
	case domain.DeviceSharingDenied:
		return fmt.Sprintf("%s denied: %s", thing(e.SharingID), e.Reason)
	case domain.DeviceSharingEnded:
		return fmt.Sprintf("%s ended with %s", thing(e.SharingID), thing(e.AuthenticatorID))
	}
	return ""
}

func reporter(by string) string {
	if by == "client" {
		return "its user"
	}
	return "an " + Name(by)
}

// proof is how a process was proved, in words that fit behind "by".
func proof(code string) string {
	switch code {
	case "own_response":
		return "its own response"
	case "original_uv":
		return "the original security element"
	case "agent":
		return "an agent"
	case "oscc":
		return "the online code card"
	case "physical_device":
		return "a physical device"
	}
	return Name(code)
}

func device(id string) string {
	if id == "" {
		return " a device" // the owner's authenticator is none
	}
	return " " + id
}

// link says what ties two users together who share a device.
func link(e domain.DeviceSharingRequested) string {
	var ties []string
	if e.SameClient {
		ties = append(ties, "same client")
	}
	if e.IdentityMatch {
		ties = append(ties, "same person")
	}
	return optional(", %s", strings.Join(ties, " and ")) + optional(", evidence %s", e.EvidenceRef)
}

// summariseDevice covers orders and the streams of physical units.
func summariseDevice(e domain.Event) string {
	switch e := e.(type) {
	case domain.PhysicalDeviceRegistered:
		return fmt.Sprintf("unit %s registered: %s by %s, serial number %s, %s, next counter %d", e.DeviceID, Name(e.Model), e.Manufacturer, e.Serial,
			e.OCRASuite, e.NextCounter)
	case domain.PhysicalDeviceRequested:
		return fmt.Sprintf("%s: %s requested, equity at least %s by %s%s", thing(e.RequestID), Name(e.Model), money(e.EquityCheck.Threshold),
			e.EquityCheck.RuleID, shipTo(e))
	case domain.PhysicalDeviceRequestRefused:
		check := ""
		if e.EquityCheck.RuleID != "" {
			check = fmt.Sprintf(", equity below %s by %s", money(e.EquityCheck.Threshold), e.EquityCheck.RuleID)
		}
		return fmt.Sprintf("request of %s refused: %s%s", Name(e.Model), e.Reason, check)
	case domain.PhysicalDeviceShipped:
		return fmt.Sprintf("%s: %s dispatched to %s on %s, to be activated by %s", thing(e.RequestID), e.DeviceID, e.UserID, e.DispatchedOn, e.ActivationDueOn)
	case domain.DeviceReturned:
		return fmt.Sprintf("unit %s returned on %s: %s", e.DeviceID, e.ReceivedOn, e.Condition)
	case domain.DeviceDepositHeld:
		return fmt.Sprintf("deposit of %s held for %s", money(e.Amount), e.DeviceID)
	case domain.DeviceDepositReleased:
		return fmt.Sprintf("deposit of %s for %s released", money(e.Amount), e.DeviceID)
	case domain.DeviceReplacementFeeCharged:
		return fmt.Sprintf("replacement fee of %s by %s charged for %s: %s", money(e.Amount), e.FeeRuleID, e.DeviceID, e.Reason)
	case domain.DevicePINChanged:
		return fmt.Sprintf("%s: PIN of %s changed, proved by %s", thing(e.AuthenticatorID), e.DeviceID, thing(e.ChallengeID))
	case domain.DevicePINChangeRefused:
		return fmt.Sprintf("%s: change of the PIN refused: %s", thing(e.AuthenticatorID), e.Reason)
	}
	return ""
}

func shipTo(e domain.PhysicalDeviceRequested) string {
	if e.ShipTo.IsZero() {
		return ""
	}
	return ", to address " + sealed
}

// money is an amount with its minor unit, which is a hundredth but for a few
// currencies; those read in minor units.
func money(m domain.Money) string {
	switch m.Currency {
	case "JPY", "KRW", "CLP", "ISK", "VND", "BHD", "KWD", "JOD", "OMR", "TND":
		return m.Currency + " " + strconv.FormatInt(m.Minor, 10) + " (minor units)"
	}
	return fmt.Sprintf("%s %d.%02d", m.Currency, m.Minor/100, m.Minor%100)
}
