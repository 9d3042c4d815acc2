package delivery

import (
	"context"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/codec"
)

// Names from which the ids of the SMS reactor's commands derive. They are
// fixed for ever: another name would send old messages again.
const (
	dispatchSMS  = "sms.dispatch"
	uncertainSMS = "sms.uncertain"
	sentSMS      = "sms.sent"
	failedSMS    = "sms.failed"
)

// texter sends what SMSRequested asks for.
type texter struct{ courier }

func (s *texter) act(ctx context.Context, d codec.Decoded) error {
	e := d.Event.(domain.SMSRequested)
	failed := func(code string) reported {
		return reported{failedSMS, domain.RecordSMSSendFailed{SMSID: e.SMSID, ProviderCode: code}}
	}
	return s.deliver(ctx, parcel{
		id: e.SMSID, cause: d, sender: system("sms"),
		state: func(u *domain.User) (progress, bool) {
			m, ok := u.Message(e.SMSID)
			return progress{dispatched: m.Dispatched, over: m.Sent || m.Failed || m.Uncertain}, ok
		},
		render:    func(ctx context.Context) (Message, string, error) { return s.render(ctx, e) },
		dispatch:  reported{dispatchSMS, domain.RecordSMSDispatch{SMSID: e.SMSID, Gateway: s.c.Gateway.Name()}},
		uncertain: reported{uncertainSMS, domain.RecordSMSUncertain{SMSID: e.SMSID}},
		accepted:  s.sent,
		refused:   failed,
		unsent:    failed,
	})
}

func (s *texter) sent(out Message, r Result) reported {
	n, _ := segments(string(out.Text))
	return reported{sentSMS, domain.RecordSMSSent{
		SMSID: out.ID, Provider: s.c.Gateway.Name(), ProviderRef: r.Ref, SenderID: r.Sender, Segments: n, AcceptedAt: s.c.Journal.Now(),
	}}
}

func (s *texter) render(ctx context.Context, e domain.SMSRequested) (Message, string, error) {
	m, why, err := codeOf(e).toPhone(ctx, s.c, e.TemplateID, e.Locale)
	if err != nil || why != "" {
		return Message{}, why, err
	}
	m.ID, m.Kind = e.SMSID, SMS
	m.SenderPrefix, err = s.senderPrefix(ctx, m.UserID)
	return m, "", err
}

// codeOf names the code a text message was requested for.
func codeOf(e domain.SMSRequested) issuedCode {
	return issuedCode{
		userID: domain.UserOf(e.SMSID), phoneID: e.PhoneID, purpose: e.Purpose, subjectID: e.SubjectID, seq: e.CodeSeq,
	}
}

// senderPrefix is what the sender's name must begin with for this user: in
// Hong Kong "#" (G-4). Of several rules the first by id counts.
func (s *texter) senderPrefix(ctx context.Context, userID string) (string, error) {
	rules, err := s.c.Journal.Matching(ctx, userID, domain.EffectSenderPrefix)
	if err != nil {
		return "", err
	}
	for _, r := range rules {
		for _, prefix := range r.Values(domain.EffectSenderPrefix) {
			return prefix, nil
		}
	}
	return "", nil
}
