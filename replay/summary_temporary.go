package replay

import (
	"fmt"

	"github.com/authledger/authledger/domain"
)

func summariseTemporary(e domain.Event) string {
	switch e := e.(type) {
	case domain.TemporaryPasscodeIssued:
		scope := "for recovery only"
		if e.FullUntil != nil {
			scope = "with full scope until " + moment(*e.FullUntil)
		}
		return fmt.Sprintf("temporary passcode %s issued in place of %s after %s, %s by %s, valid before %s", thing(e.AuthenticatorID),
			thing(e.MissingAuthenticatorID), thing(e.IDVID), scope, e.ScopeRuleID, moment(e.EndsAt))
	case domain.TemporaryPasscodeRefused:
		return fmt.Sprintf("temporary passcode in place of %s refused: %s", thing(e.MissingAuthenticatorID), e.Reason)
	case domain.TemporaryCredentialDelivered:
		until := ""
		if e.ExpiresAt != nil {
			until = ", to be collected before " + moment(*e.ExpiresAt)
		}
		return fmt.Sprintf("%s: %s, channel %s%s%s", thing(e.DeliveryID), credential(e.What, e.AuthenticatorID, e.ResetRef), Name(e.Channel),
			optional(" on %s", e.InstallationID), until)
	case domain.TemporaryCredentialCollected:
		return fmt.Sprintf("%s collected by %s", thing(e.DeliveryID), e.InstallationID)
	case domain.TemporaryCredentialRefused:
		return fmt.Sprintf("delivery of %s, channel %s, refused: %s", credential(e.What, e.AuthenticatorID, e.ResetRef), Name(e.Channel), e.Reason)
	case domain.OnlineCodeCardIssued:
		return fmt.Sprintf("%s: online code card of %s issued in %s, not yet activated", thing(e.AuthenticatorID), plural(int64(e.Cells), "cell"), thing(e.TxnID))
	case domain.OnlineCodeCardRefused:
		return fmt.Sprintf("online code card%s refused: %s", also(" as %s", e.AuthenticatorID), e.Reason)
	case domain.SecurityCodeCardIssued:
		return fmt.Sprintf("%s: security code card of %s issued, not yet activated", thing(e.AuthenticatorID), plural(int64(e.Cells), "cell"))
	case domain.SecurityCodeCardRefused:
		return fmt.Sprintf("security code card%s refused: %s", also(" as %s", e.AuthenticatorID), e.Reason)
	}
	return ""
}

// credential is a temporary passcode or a reset password, by what names it.
func credential(what, authenticatorID, resetRef string) string {
	return Name(what) + also(" %s", authenticatorID) + optional(" of reset %s", resetRef)
}
