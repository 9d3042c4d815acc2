package domain

import "time"

// SMS as a ledger of requests and outcomes (domain.md 6.2). Only verified
// numbers get one, at once after verification and then every two
// minutes per purpose; the user's stream says what was requested and what
// the provider reported, a carrier that blocks included. No event holds
// the text or the code.

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

// RecordCodeEmailed says that a copy of a code went out by e-mail because a
// rule demands it (G-9).
type RecordCodeEmailed struct {
	SMSID      string
	AddressRef string // the broker's reference of the address
	RuleID     string
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
	SubjectID   string  `json:"subject_id,omitempty"` // what the message was for, if that exists
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

// CodeEmailed records the copy of a code that a rule demands by e-mail.
type CodeEmailed struct {
	SMSID      string `json:"sms_id"`
	AddressRef string `json:"address_ref"`
	RuleID     string `json:"rule_id"`
}

// SMSSendFailed means that the provider refused the message.
type SMSSendFailed struct {
	SMSID        string `json:"sms_id"`
	ProviderCode string `json:"provider_code"`
}

// smsRefusal is why no message may go to the phone for this purpose now, or
// nil. Verification is what an unverified phone may be used for.
func (d *decision) smsRefusal(p *Phone, purpose Purpose, subject string) *SMSRequestRefused {
	refuse := func(reason Code, retry time.Duration) *SMSRequestRefused {
		return &SMSRequestRefused{PhoneID: p.ID, Purpose: purpose, SubjectID: subject, Reason: reason, RetryAfterS: ceilSeconds(retry)}
	}
	if p.Line == LineFixed || p.Line == LineVoIP {
		return refuse(ReasonPhoneNotMobile, 0)
	}
	if purpose != PurposePhoneVerification && (!p.Verified || p.Retired) {
		return refuse(ReasonPhoneUnverified, 0)
	}
	if last, ok := d.u.cooldowns[cooldownKey{p.ID, purpose}]; ok {
		if wait := last.at.Add(d.seconds(pSMSCooldown)).Sub(d.now); wait > 0 {
			return refuse(ReasonSMSCooldown, wait)
		}
	}
	if d.f.SMSLastHour >= int(d.p.Int(pSMSMaxPerHour, d.now)) {
		return refuse(ReasonSMSRate, d.seconds(pSMSCooldown))
	}
	return nil
}

func (d *decision) requestSMS(p *Phone, purpose Purpose, subject string, seq int, template string) {
	d.emit(SMSRequested{
		SMSID: d.newID(PrefixSMS), PhoneID: p.ID, Purpose: purpose, SubjectID: subject, CodeSeq: seq,
		TemplateID: template, Locale: d.u.Locale,
	})
}

func ceilSeconds(wait time.Duration) int64 { return int64((wait + time.Second - 1) / time.Second) }

func (d *decision) recordSMSDispatch(c RecordSMSDispatch) ([]Event, error) {
	m := d.u.messages.get(c.SMSID)
	if m == nil {
		return nil, unknown("message")
	}
	if m.Dispatched {
		return nil, nil
	}
	return []Event{SMSDispatchStarted(c)}, nil
}

func (d *decision) recordSMSUncertain(c RecordSMSUncertain) ([]Event, error) {
	m := d.u.messages.get(c.SMSID)
	if m == nil {
		return nil, unknown("message")
	}
	if !m.Dispatched || m.Uncertain || m.Sent || m.Failed {
		return nil, nil
	}
	return []Event{SMSDispatchUncertain(c)}, nil
}

func (d *decision) recordSMSSent(c RecordSMSSent) ([]Event, error) {
	m, err := d.message(c.SMSID)
	if err != nil || m != nil && m.Sent {
		return nil, err
	}
	return []Event{SMSSent{
		SMSID: c.SMSID, Provider: c.Provider, ProviderRef: c.ProviderRef, SenderID: c.SenderID,
		Segments: c.Segments, AcceptedAt: c.AcceptedAt.UTC(),
	}}, nil
}

func (d *decision) recordSMSDelivered(c RecordSMSDelivered) ([]Event, error) {
	m, err := d.message(c.SMSID)
	if err != nil || m != nil && m.receipts["delivered"] {
		return nil, err
	}
	e := SMSDelivered{SMSID: c.SMSID, ProviderRef: c.ProviderRef, DeliveredAt: c.DeliveredAt.UTC(), Receipt: c.Receipt}
	if m != nil {
		e.LatencyMS = c.DeliveredAt.Sub(m.RequestedAt).Milliseconds()
	}
	return []Event{e}, nil
}

func (d *decision) recordSMSDeliveryFailed(c RecordSMSDeliveryFailed) ([]Event, error) {
	m, err := d.message(c.SMSID)
	if err != nil || m != nil && m.receipts["failed:"+c.Failure] {
		return nil, err
	}
	return []Event{SMSDeliveryFailed(c)}, nil
}

func (d *decision) recordCodeEmailed(c RecordCodeEmailed) ([]Event, error) {
	m, err := d.message(c.SMSID)
	if err != nil || m == nil || m.Emailed {
		return nil, err
	}
	return []Event{CodeEmailed(c)}, nil
}

func (d *decision) recordSMSSendFailed(c RecordSMSSendFailed) ([]Event, error) {
	m, err := d.message(c.SMSID)
	if err != nil || m != nil && (m.Failed || m.Sent) {
		return nil, err
	}
	return []Event{SMSSendFailed(c)}, nil
}

// message finds a message a provider reports on. Reports may be days late, so
// one that is no longer among the recent ones is nil without an error.
func (d *decision) message(id string) (*SMS, error) {
	if m := d.u.messages.get(id); m != nil {
		return m, nil
	}
	if d.u.known(id, PrefixSMS) {
		return nil, nil
	}
	return nil, unknown("message")
}
