package replay

import (
	"fmt"

	"github.com/authledger/authledger/domain"
)

func summariseVoice(e domain.Event) string {
	switch e := e.(type) {
	case domain.CodeEmailed:
		return fmt.Sprintf("%s: copy of the code sent by e-mail to address %s, required by rule %s", thing(e.SMSID), e.AddressRef, e.RuleID)
	case domain.VoiceCallRequested:
		return fmt.Sprintf("%s: %s to %s requested to speak code %d, on %s%s, template %s in %s", thing(e.ChallengeID), thing(e.CallID), thing(e.PhoneID),
			e.CodeSeq, Name(e.Platform), optional(", release channel %s", e.ReleaseChannel), e.TemplateID, e.Locale)
	case domain.VoiceCallRefused:
		again := ""
		if e.RetryAfterS > 0 {
			again = ", possible again in " + seconds(e.RetryAfterS)
		}
		return fmt.Sprintf("%s: call refused: %s%s", thing(e.ChallengeID), e.Reason, again)
	case domain.VoiceDispatchStarted:
		return fmt.Sprintf("%s is on its way to gateway %s", thing(e.CallID), e.Gateway)
	case domain.VoiceDispatchUncertain:
		return fmt.Sprintf("%s: it is not known whether the gateway took it; it is not dialled again", thing(e.CallID))
	case domain.VoiceCallPlaced:
		late := ""
		if e.SLAMissed {
			late = ", later than promised"
		}
		return fmt.Sprintf("%s placed by %s as %s at %s, %s after it was asked for%s", thing(e.CallID), e.Provider, e.ProviderRef, moment(e.PlacedAt),
			milliseconds(e.WaitMS), late)
	case domain.VoiceCallAnswered:
		return fmt.Sprintf("%s answered, %s long", thing(e.CallID), seconds(e.DurationS))
	case domain.VoiceCallFailed:
		return fmt.Sprintf("%s did not get through: %s%s", thing(e.CallID), e.Failure, optional(", provider code %s", e.ProviderCode))
	}
	return ""
}
