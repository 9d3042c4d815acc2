package codec

import (
	"time"

	"github.com/authledger/authledger/domain"
)

// voiceRows are voice calls and copies of codes (rule book 6.2).
func voiceRows() []row {
	return []row{
		event("CodeEmailed", 1, domain.CodeEmailed{SMSID: sampleSMS, AddressRef: "adr-9", RuleID: "IN-2FA-2"}),
		event("VoiceCallRequested", 1, domain.VoiceCallRequested{
			CallID: sampleCall, ChallengeID: sampleChallenge, PhoneID: samplePhone, CodeSeq: 2, Platform: domain.TWS,
			ReleaseChannel: domain.Latest, TemplateID: "login_voice@1", Locale: "en",
		}),
		event("VoiceCallRefused", 1, domain.VoiceCallRefused{ChallengeID: sampleChallenge, Reason: domain.ReasonVoiceRate, RetryAfterS: 41}),
		event("VoiceDispatchStarted", 1, domain.VoiceDispatchStarted{CallID: sampleCall, Gateway: "webhook"}),
		event("VoiceDispatchUncertain", 1, domain.VoiceDispatchUncertain{CallID: sampleCall}),
		event("VoiceCallPlaced", 1, domain.VoiceCallPlaced{
			CallID: sampleCall, PlacedAt: sampleAt(2), WaitMS: 50000, SLAMissed: true, Provider: "webhook", ProviderRef: "CA-77",
		}, moment(func(e *domain.VoiceCallPlaced) *time.Time { return &e.PlacedAt })),
		event("VoiceCallAnswered", 1, domain.VoiceCallAnswered{CallID: sampleCall, DurationS: 23}),
		event("VoiceCallFailed", 1, domain.VoiceCallFailed{CallID: sampleCall, Failure: "busy", ProviderCode: "486"}),
	}
}
