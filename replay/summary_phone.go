package replay

import (
	"fmt"

	"github.com/authledger/authledger/domain"
)

func summarisePhone(e domain.Event) string {
	switch e := e.(type) {
	case domain.PhoneNumberAdded:
		return fmt.Sprintf("%s added: %s line in %s, number %s", thing(e.PhoneID), Name(e.Line), e.CC, sealed)
	case domain.PhoneVerificationStarted:
		return fmt.Sprintf("%s: %s started", thing(e.PhoneID), thing(e.VerificationID))
	case domain.ConfirmCodeIssued:
		return fmt.Sprintf("%s: confirm code %d of %d digits issued, valid before %s", thing(e.VerificationID), e.Seq, e.CodeLen, moment(e.ExpiresAt))
	case domain.PhoneNumberVerified:
		return fmt.Sprintf("%s verified by %s at entry %d", thing(e.PhoneID), thing(e.VerificationID), e.Attempts)
	case domain.PhoneVerificationRejected:
		return fmt.Sprintf("%s: confirm code rejected: %s, attempt %d, %d left", thing(e.VerificationID), e.Reason, e.AttemptNo, e.AttemptsLeft)
	case domain.PhoneNumberReplaced:
		return fmt.Sprintf("%s replaced by %s", thing(e.OldPhoneID), thing(e.NewPhoneID))
	case domain.PhoneNumberRemoved:
		return fmt.Sprintf("%s removed: %s", thing(e.PhoneID), e.Reason)
	}
	return ""
}

func summariseMessage(e domain.Event) string {
	switch e := e.(type) {
	case domain.SMSRequested:
		return fmt.Sprintf("%s to %s requested for %s: %s, code %d, template %s in %s", thing(e.SMSID), thing(e.PhoneID), Name(e.Purpose),
			thing(e.SubjectID), e.CodeSeq, e.TemplateID, e.Locale)
	case domain.SMSRequestRefused:
		return fmt.Sprintf("SMS to %s for %s%s refused: %s, possible again in %s", thing(e.PhoneID), Name(e.Purpose), also(" (%s)", e.SubjectID), e.Reason,
			seconds(e.RetryAfterS))
	case domain.SMSDispatchStarted:
		return fmt.Sprintf("%s is on its way to gateway %s", thing(e.SMSID), e.Gateway)
	case domain.SMSDispatchUncertain:
		return fmt.Sprintf("%s: it is not known whether the gateway took it; it is not sent again", thing(e.SMSID))
	case domain.SMSSent:
		return fmt.Sprintf("%s accepted by %s as %s, %s from %s", thing(e.SMSID), e.Provider, e.ProviderRef, plural(int64(e.Segments), "segment"), e.SenderID)
	case domain.SMSDelivered:
		return fmt.Sprintf("%s delivered after %s (%s receipt)", thing(e.SMSID), milliseconds(e.LatencyMS), Name(e.Receipt))
	case domain.SMSDeliveryFailed:
		return fmt.Sprintf("%s not delivered: %s%s", thing(e.SMSID), e.Failure, optional(", provider code %s", e.ProviderCode))
	case domain.SMSSendFailed:
		return fmt.Sprintf("%s refused by the provider%s", thing(e.SMSID), optional(", code %s", e.ProviderCode))
	}
	return ""
}
