package domain

import "time"

// Voice callback (domain.md 6.2, R-45, R-46, D-44): a login code spoken by an
// automated call, for SMS users whose message did not come.

// RequestVoiceCall asks for a call that speaks a new code of an open SMS
// challenge.
type RequestVoiceCall struct{ ChallengeID string }

// RecordVoiceDispatch says that a call is about to be handed to a gateway.
type RecordVoiceDispatch struct{ CallID, Gateway string }

// RecordVoiceUncertain says that a dispatch was started and its outcome is not
// known; nothing is dialled again.
type RecordVoiceUncertain struct{ CallID string }

// RecordVoicePlaced says that the provider dialled; repeats are ignored.
type RecordVoicePlaced struct {
	CallID      string
	Provider    string
	ProviderRef string
	PlacedAt    time.Time
}

// RecordVoiceAnswered says that somebody took the call; repeats are ignored.
type RecordVoiceAnswered struct {
	CallID    string
	DurationS int64
}

// RecordVoiceFailed says that the call did not get through; repeats are
// ignored.
type RecordVoiceFailed struct {
	CallID       string
	Failure      string // busy, no_answer, rejected, unreachable, unknown
	ProviderCode string
}

// VoiceCallRequested asks the delivery side to call.
type VoiceCallRequested struct {
	CallID         string         `json:"call_id"`
	ChallengeID    string         `json:"challenge_id"`
	PhoneID        string         `json:"phone_id"`
	CodeSeq        int            `json:"code_seq"`
	Platform       Platform       `json:"platform"`
	ReleaseChannel ReleaseChannel `json:"release_channel,omitempty"`
	TemplateID     string         `json:"template_id"`
	Locale         string         `json:"locale"`
}

// VoiceCallRefused records a call that was not requested.
type VoiceCallRefused struct {
	ChallengeID string `json:"challenge_id"`
	Reason      Code   `json:"reason"`
	RetryAfterS int64  `json:"retry_after_s,omitempty"`
}

// VoiceDispatchStarted precedes the hand-over to a gateway.
type VoiceDispatchStarted struct {
	CallID  string `json:"call_id"`
	Gateway string `json:"gateway"`
}

// VoiceDispatchUncertain marks a dispatch whose outcome was lost.
type VoiceDispatchUncertain struct {
	CallID string `json:"call_id"`
}

// VoiceCallPlaced means that the provider dialled. SLAMissed marks a call that
// came later than voice.sla_s after its request; it is still valid (D-28).
type VoiceCallPlaced struct {
	CallID      string    `json:"call_id"`
	PlacedAt    time.Time `json:"placed_at"`
	WaitMS      int64     `json:"wait_ms"`
	SLAMissed   bool      `json:"sla_missed"`
	Provider    string    `json:"provider"`
	ProviderRef string    `json:"provider_ref"`
}

// VoiceCallAnswered means that somebody took the call.
type VoiceCallAnswered struct {
	CallID    string `json:"call_id"`
	DurationS int64  `json:"duration_s"`
}

// VoiceCallFailed means that the call did not get through.
type VoiceCallFailed struct {
	CallID       string `json:"call_id"`
	Failure      string `json:"failure"`
	ProviderCode string `json:"provider_code,omitempty"`
}

// Call is one voice call.
type Call struct {
	ID          string
	ChallengeID string
	PhoneID     string
	CodeSeq     int
	RequestedAt time.Time
	Dispatched  bool
	Uncertain   bool
	Placed      bool
	Answered    bool
	Failed      bool
}

const (
	viaSMS   = "sms"
	viaVoice = "voice"
)

func (d *decision) requestVoiceCall(cmd RequestVoiceCall) ([]Event, error) {
	c, t, err := d.find(cmd.ChallengeID)
	if err != nil {
		return nil, err
	}
	if reason, retry := d.voiceRefusal(c, t); reason != "" {
		return []Event{VoiceCallRefused{ChallengeID: c.ID, Reason: reason, RetryAfterS: ceilSeconds(retry)}}, nil
	}
	a := d.u.bound(c.AuthenticatorID)
	seq := nextSeq(c.Codes)
	d.emit(
		LoginCodeIssued{
			ChallengeID: c.ID, Seq: seq, Via: viaVoice, Kid: d.f.Kid, CodeLen: int(d.p.Int(pSMSLen, d.now)),
			ExpiresAt: earlier(d.now.Add(d.seconds(pSMSTTL)), t.ExpiresAt),
		},
		VoiceCallRequested{
			CallID: d.newID(PrefixCall), ChallengeID: c.ID, PhoneID: a.PhoneID, CodeSeq: seq, Platform: t.Platform,
			ReleaseChannel: t.Channel, TemplateID: "login_voice@1", Locale: d.u.Locale,
		},
	)
	return d.events, nil
}

// voiceRefusal is why no call is made, and when to ask again.
func (d *decision) voiceRefusal(c *Challenge, t *Transaction) (reason Code, retry time.Duration) {
	if c.Kind != KindSMS {
		return ReasonVoiceNotSMSUser, 0
	}
	if reason, _ := d.answerable(c, t, ""); reason != "" {
		return reason, 0
	}
	switch {
	case t.Purpose != PurposeLogin:
		return ReasonVoicePurpose, 0
	case t.Platform == WebTrader:
		return ReasonVoicePlatform, 0
	case t.Platform == TWS && t.Channel != Latest && t.Channel != Beta:
		return ReasonVoiceChannel, 0
	case !c.SMSAsked:
		return ReasonVoiceBeforeSMS, 0
	case t.Calls >= int(d.p.Int(pVoicePerTxn, d.now)):
		return ReasonVoiceRate, 0
	}
	if wait := t.LastCallAt.Add(d.seconds(pVoiceCooldown)).Sub(d.now); t.Calls > 0 && wait > 0 {
		return ReasonVoiceRate, wait
	}
	p := d.u.phones[d.u.bound(c.AuthenticatorID).PhoneID]
	if p == nil || !p.Verified || p.Retired {
		return ReasonPhoneUnverified, 0
	}
	return "", 0
}

// call finds a call a provider reports on; nil without an error when it is no
// longer among the recent ones.
func (d *decision) call(id string) (*Call, error) {
	if c := d.u.calls.get(id); c != nil {
		return c, nil
	}
	if d.u.known(id, PrefixCall) {
		return nil, nil
	}
	return nil, unknown("voice call")
}

func (d *decision) recordVoiceDispatch(cmd RecordVoiceDispatch) ([]Event, error) {
	c := d.u.calls.get(cmd.CallID)
	if c == nil {
		return nil, unknown("voice call")
	}
	if c.Dispatched {
		return nil, nil
	}
	return []Event{VoiceDispatchStarted(cmd)}, nil
}

func (d *decision) recordVoiceUncertain(cmd RecordVoiceUncertain) ([]Event, error) {
	c := d.u.calls.get(cmd.CallID)
	if c == nil {
		return nil, unknown("voice call")
	}
	if !c.Dispatched || c.Uncertain || c.Placed || c.Failed {
		return nil, nil
	}
	return []Event{VoiceDispatchUncertain(cmd)}, nil
}

// recordVoicePlaced measures the wait from the ledger's own request; a call so
// old that it was forgotten is placed without a verdict on its wait.
func (d *decision) recordVoicePlaced(cmd RecordVoicePlaced) ([]Event, error) {
	c, err := d.call(cmd.CallID)
	if err != nil || c != nil && c.Placed {
		return nil, err
	}
	e := VoiceCallPlaced{CallID: cmd.CallID, PlacedAt: cmd.PlacedAt.UTC(), Provider: cmd.Provider, ProviderRef: cmd.ProviderRef}
	if c != nil {
		wait := max(0, cmd.PlacedAt.Sub(c.RequestedAt))
		e.WaitMS, e.SLAMissed = wait.Milliseconds(), wait > d.seconds(pVoiceSLA)
	}
	return []Event{e}, nil
}

func (d *decision) recordVoiceAnswered(cmd RecordVoiceAnswered) ([]Event, error) {
	c, err := d.call(cmd.CallID)
	if err != nil || c != nil && c.Answered {
		return nil, err
	}
	return []Event{VoiceCallAnswered(cmd)}, nil
}

func (d *decision) recordVoiceFailed(cmd RecordVoiceFailed) ([]Event, error) {
	c, err := d.call(cmd.CallID)
	if err != nil || c != nil && c.Failed {
		return nil, err
	}
	return []Event{VoiceCallFailed(cmd)}, nil
}

func (u *User) applyVoice(e Event, at time.Time) {
	change := func(id string, f func(*Call)) {
		if c := u.calls.get(id); c != nil {
			f(c)
		}
	}
	switch e := e.(type) {
	case VoiceCallRequested:
		u.took(e.CallID)
		u.calls.add(e.CallID, &Call{ID: e.CallID, ChallengeID: e.ChallengeID, PhoneID: e.PhoneID, CodeSeq: e.CodeSeq, RequestedAt: at})
		u.challenge(e.ChallengeID, func(c *Challenge) {
			c.CallID = e.CallID
			u.transaction(c.TxnID, func(t *Transaction) { t.Calls, t.LastCallAt = t.Calls+1, at })
		})
	case VoiceDispatchStarted:
		change(e.CallID, func(c *Call) { c.Dispatched = true })
	case VoiceDispatchUncertain:
		change(e.CallID, func(c *Call) { c.Uncertain = true })
	case VoiceCallPlaced:
		change(e.CallID, func(c *Call) { c.Placed = true })
	case VoiceCallAnswered:
		change(e.CallID, func(c *Call) { c.Answered = true })
	case VoiceCallFailed:
		change(e.CallID, func(c *Call) { c.Failed = true })
	}
}
