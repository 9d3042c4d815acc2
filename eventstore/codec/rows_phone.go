package codec

import (
	"time"

	"github.com/authledger/authledger/domain"
)

// phoneRows are phone numbers, their verification, and SMS (rule book 6.2).
func phoneRows() []row {
	return []row{
		event("PhoneNumberAdded", 1, domain.PhoneNumberAdded{
			PhoneID: samplePhone, CC: "DE", Number: domain.Sealed(sampleSealed), Line: domain.LineMobile,
		}, personal("number", func(e *domain.PhoneNumberAdded) *domain.Personal { return &e.Number })),
		event("PhoneVerificationStarted", 1, domain.PhoneVerificationStarted{VerificationID: sampleVerification, PhoneID: samplePhone}),
		event("ConfirmCodeIssued", 1, domain.ConfirmCodeIssued{
			VerificationID: sampleVerification, Seq: 1, Kid: sampleKid, CodeLen: 6, ExpiresAt: sampleAt(10),
		}, moment(func(e *domain.ConfirmCodeIssued) *time.Time { return &e.ExpiresAt })),
		event("PhoneNumberVerified", 1, domain.PhoneNumberVerified{PhoneID: samplePhone, VerificationID: sampleVerification, Attempts: 1}),
		event("PhoneVerificationRejected", 1, domain.PhoneVerificationRejected{
			VerificationID: sampleVerification, Reason: domain.ReasonCodeWrong, AttemptNo: 1, AttemptsLeft: 2,
		}),
		event("PhoneNumberReplaced", 1, domain.PhoneNumberReplaced{OldPhoneID: samplePhone, NewPhoneID: "phn_" + sampleKey + "_13"}),
		event("PhoneNumberRemoved", 1, domain.PhoneNumberRemoved{PhoneID: samplePhone, Reason: "user_request"}),
		event("SMSRequested", 1, domain.SMSRequested{
			SMSID: sampleSMS, PhoneID: samplePhone, Purpose: domain.PurposePhoneVerification, SubjectID: sampleVerification,
			CodeSeq: 1, TemplateID: "confirm_code", Locale: "de-DE",
		}),
		event("SMSRequestRefused", 1, domain.SMSRequestRefused{
			PhoneID: samplePhone, Purpose: domain.PurposeLogin, Reason: domain.ReasonSMSCooldown, RetryAfterS: 90, SubjectID: sampleChallenge,
		}),
		event("SMSDispatchStarted", 1, domain.SMSDispatchStarted{SMSID: sampleSMS, Gateway: "inbox"}),
		event("SMSDispatchUncertain", 1, domain.SMSDispatchUncertain{SMSID: sampleSMS}),
		event("SMSSent", 1, domain.SMSSent{
			SMSID: sampleSMS, Provider: "inbox", ProviderRef: "m-1", SenderID: "IBKR", Segments: 1, AcceptedAt: sampleAt(1),
		}, moment(func(e *domain.SMSSent) *time.Time { return &e.AcceptedAt })),
		event("SMSDelivered", 1, domain.SMSDelivered{
			SMSID: sampleSMS, ProviderRef: "m-1", DeliveredAt: sampleAt(2), LatencyMS: 60000, Receipt: "handset",
		}, moment(func(e *domain.SMSDelivered) *time.Time { return &e.DeliveredAt })),
		event("SMSDeliveryFailed", 1, domain.SMSDeliveryFailed{
			SMSID: sampleSMS, ProviderRef: "m-1", Failure: "unreachable", ProviderCode: "30003",
		}),
		event("SMSSendFailed", 1, domain.SMSSendFailed{SMSID: sampleSMS, ProviderCode: "21211"}),
	}
}
