package domain

import "time"

// SMS as a ledger of requests and outcomes (domain.md 6.2). The user's stream
// says what was requested and what the provider reported; no event holds the
// text or the code.

// RecordSMSDispatch says that a message is about to be handed to a gateway. It
// is recorded first, so that a crash in between shows as an uncertain dispatch
// and never as a silent second message.
type RecordSMSDispatch struct{ SMSID, Gateway string }

// RecordSMSUncertain says that a dispatch was started and its outcome is not
// known; nothing is sent again.
type RecordSMSUncertain struct{ SMSID string }

// RecordSMSSent says that the provider accepted the message.
type RecordSMSSent struct {
	SMSID       string
	Provider    string
	ProviderRef string
	SenderID    string
	Segments    int
	AcceptedAt  time.Time
}

// RecordSMSDelivered is a positive receipt; repeats are ignored.
type RecordSMSDelivered struct {
	SMSID       string
	ProviderRef string
	DeliveredAt time.Time
	Receipt     string // handset or network
}

// RecordSMSDeliveryFailed is a negative receipt; repeats are ignored.
type RecordSMSDeliveryFailed struct {
	SMSID        string
	ProviderRef  string
	Failure      string // carrier_blocked, roaming, unreachable, invalid_number, expired, unknown
	ProviderCode string
}

// RecordSMSSendFailed says that the provider refused the message, which lifts
// the cooldown (D-10).
type RecordSMSSendFailed struct{ SMSID, ProviderCode string }

// SMSRequested asks the delivery side to send a message.
type SMSRequested struct {
	SMSID      string  `json:"sms_id"`
	PhoneID    string  `json:"phone_id"`
	Purpose    Purpose `json:"purpose"`
	SubjectID  string  `json:"subject_id"`
	CodeSeq    int     `json:"code_seq"`
	TemplateID string  `json:"template_id"`
	Locale     string  `json:"locale"`
}

// SMSRequestRefused records a message that was not requested.
type SMSRequestRefused struct {
	PhoneID     string  `json:"phone_id"`
	Purpose     Purpose `json:"purpose"`
	Reason      Code    `json:"reason"`
	RetryAfterS int64   `json:"retry_after_s"`
}

// SMSDispatchStarted precedes the hand-over to a gateway.
type SMSDispatchStarted struct {
	SMSID   string `json:"sms_id"`
	Gateway string `json:"gateway"`
}

// SMSDispatchUncertain marks a dispatch whose outcome was lost.
type SMSDispatchUncertain struct {
	SMSID string `json:"sms_id"`
}

// SMSSent means that the provider accepted the message.
type SMSSent struct {
	SMSID       string    `json:"sms_id"`
	Provider    string    `json:"provider"`
	ProviderRef string    `json:"provider_ref"`
	SenderID    string    `json:"sender_id"`
	Segments    int       `json:"segments"`
	AcceptedAt  time.Time `json:"accepted_at"`
}

// SMSDelivered is a receipt.
type SMSDelivered struct {
	SMSID       string    `json:"sms_id"`
	ProviderRef string    `json:"provider_ref,omitempty"`
	DeliveredAt time.Time `json:"delivered_at"`
	LatencyMS   int64     `json:"latency_ms"`
	Receipt     string    `json:"receipt"`
}

// SMSDeliveryFailed is a negative receipt.
type SMSDeliveryFailed struct {
	SMSID        string `json:"sms_id"`
	ProviderRef  string `json:"provider_ref,omitempty"`
	Failure      string `json:"failure"`
	ProviderCode string `json:"provider_code"`
}

// SMSSendFailed means that the provider refused the message.
type SMSSendFailed struct {
	SMSID        string `json:"sms_id"`
	ProviderCode string `json:"provider_code"`
}
