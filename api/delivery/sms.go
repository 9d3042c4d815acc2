package delivery

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/journal"
	"github.com/authledger/authledger/eventstore/keyring"
)

// Names from which the ids of the SMS reactor's commands derive. They are
// fixed for ever: another name would send old messages again.
const (
	dispatchSMS  = "sms.dispatch"
	uncertainSMS = "sms.uncertain"
	sentSMS      = "sms.sent"
	failedSMS    = "sms.failed"
)

// Codes of ours in SMSSendFailed, where a provider's code would stand.
const (
	codeExpired     = "expired"          // the code could no longer be used
	codeSuperseded  = "superseded"       // a newer code was issued
	codePhoneGone   = "phone_removed"    // the phone was removed or replaced
	codeErased      = "erased"           // the subject's key was destroyed
	codeNoText      = "template_unknown" // no text of that id
	codeNotAccepted = "rejected"         // a provider that gave no reason
)

// texter sends what SMSRequested asks for. It is called for one message of a
// user at a time.
type texter struct {
	c Config

	mu sync.Mutex // guards results
	// results are outcomes of hand-overs that could not be recorded yet, by sms
	// id. While the process lives they are better than "uncertain"; a new
	// process does not have them and records that instead.
	results map[string]reported
}

// reported is an outcome on its way into the ledger.
type reported struct {
	name string
	cmd  domain.Command
}

// act takes one message from request to outcome. The dispatch is recorded
// before the hand-over, so that a crash in between leaves a mark: whoever finds
// a dispatch without an outcome records it as uncertain and sends nothing.
func (s *texter) act(ctx context.Context, d codec.Decoded) error {
	e := d.Event.(domain.SMSRequested)
	if r, ok := s.known(e.SMSID); ok {
		return s.settle(ctx, d, e.SMSID, r)
	}
	m, known, err := s.message(ctx, d.Record.Revision, e)
	switch {
	case err != nil:
		return err
	case m.Sent || m.Failed || m.Uncertain:
		return nil
	case m.Dispatched:
		return s.record(ctx, d, reported{uncertainSMS, domain.RecordSMSUncertain{SMSID: e.SMSID}})
	case !known:
		return s.forgotten(ctx, d, e)
	}
	out, why, err := s.render(ctx, e)
	if err != nil {
		return err
	}
	if why != "" {
		return s.record(ctx, d, reported{failedSMS, domain.RecordSMSSendFailed{SMSID: e.SMSID, ProviderCode: why}})
	}
	return s.send(ctx, d, out)
}

// send records the dispatch, hands the message over once, and records the
// outcome.
func (s *texter) send(ctx context.Context, d codec.Decoded, out Message) error {
	dispatch := domain.RecordSMSDispatch{SMSID: out.ID, Gateway: s.c.Gateway.Name()}
	done, err := s.c.Journal.Execute(ctx, request(d, dispatchSMS, system("sms"), dispatch))
	if moot(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if done.Replayed || len(done.Events) == 0 {
		// Somebody dispatched it between our look and now.
		return s.record(ctx, d, reported{uncertainSMS, domain.RecordSMSUncertain{SMSID: out.ID}})
	}
	r := s.outcome(out, s.c.Gateway.Send(ctx, out))
	s.remember(out.ID, r)
	return s.settle(ctx, d, out.ID, r)
}

// outcome is the command that records what the gateway said.
func (s *texter) outcome(out Message, r Result) reported {
	switch r.Outcome {
	case Accepted:
		n, _ := segments(string(out.Text))
		return reported{sentSMS, domain.RecordSMSSent{
			SMSID: out.ID, Provider: s.c.Gateway.Name(), ProviderRef: r.Ref, SenderID: r.Sender, Segments: n, AcceptedAt: s.c.Journal.Now(),
		}}
	case Rejected:
		code := r.Code
		if code == "" {
			code = codeNotAccepted
		}
		return reported{failedSMS, domain.RecordSMSSendFailed{SMSID: out.ID, ProviderCode: code}}
	}
	s.c.Logger.Warn("message handed over with an uncertain outcome; it is not sent again", "message", out, "code", r.Code)
	return reported{uncertainSMS, domain.RecordSMSUncertain{SMSID: out.ID}}
}

func (s *texter) settle(ctx context.Context, d codec.Decoded, smsID string, r reported) error {
	if err := s.record(ctx, d, r); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.results, smsID)
	return nil
}

func (s *texter) known(smsID string) (reported, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.results[smsID]
	return r, ok
}

func (s *texter) remember(smsID string, r reported) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.results[smsID] = r
}

func (s *texter) record(ctx context.Context, d codec.Decoded, r reported) error {
	_, err := s.c.Journal.Execute(ctx, request(d, r.name, provider(s.c.Gateway), r.cmd))
	if moot(err) {
		return nil
	}
	return err
}

// message is the message's state; known is false when it is no longer among
// the user's recent ones. The state includes the request itself.
func (s *texter) message(ctx context.Context, least eventstore.Revision, e domain.SMSRequested) (m domain.SMS, known bool, err error) {
	err = s.c.Journal.UserAt(ctx, domain.UserOf(e.SMSID), least, func(u *domain.User, _ time.Time) error {
		m, known = u.Message(e.SMSID)
		return nil
	})
	return m, known, err
}

// forgotten deals with a message so old that the user's state has dropped it:
// one that was never dispatched has failed, and says so.
func (s *texter) forgotten(ctx context.Context, d codec.Decoded, e domain.SMSRequested) error {
	_, err := s.c.Log.ByID(ctx, eventstore.EventIDOf(commandID(d.Record.ID, dispatchSMS), 0))
	if err == nil {
		return nil
	}
	if !errors.Is(err, eventstore.ErrNotFound) {
		return err
	}
	return s.record(ctx, d, reported{failedSMS, domain.RecordSMSSendFailed{SMSID: e.SMSID, ProviderCode: codeExpired}})
}

// render makes the message, or says why there is none to send. It comes before
// the dispatch is recorded, so that an outage here delays a message and does
// not lose it.
func (s *texter) render(ctx context.Context, e domain.SMSRequested) (out Message, why string, err error) {
	issued, why, err := s.code(ctx, e)
	if err != nil || why != "" {
		return Message{}, why, err
	}
	userID := domain.UserOf(e.SMSID)
	number, err := s.c.Journal.PhoneNumber(ctx, userID, e.PhoneID)
	if errors.Is(err, keyring.ErrKeyDestroyed) {
		return Message{}, codeErased, nil
	}
	if err != nil {
		return Message{}, "", err
	}
	code, err := s.c.Journal.CodeText(ctx, e.Purpose, e.SubjectID, issued)
	if errors.Is(err, keyring.ErrKeyDestroyed) {
		return Message{}, codeExpired, nil
	}
	if err != nil {
		return Message{}, "", fmt.Errorf("derive code of %s: %w", e.SubjectID, err)
	}
	text, locale, err := s.c.Texts.Render(e.TemplateID, e.Locale, code, "")
	if errors.Is(err, ErrNoText) {
		return Message{}, codeNoText, nil
	}
	return Message{
		ID: e.SMSID, Kind: SMS, UserID: userID, To: domain.Secret(number), Text: text, TemplateID: e.TemplateID,
		Locale: locale, ExpiresAt: issued.ExpiresAt,
	}, "", err
}

// code finds the code the message was requested for, and why it is of no use
// to the user any more.
func (s *texter) code(ctx context.Context, e domain.SMSRequested) (issued domain.Issued, why string, err error) {
	err = s.c.Journal.User(ctx, domain.UserOf(e.SMSID), func(u *domain.User, now time.Time) error {
		codes := issuedCodes(u, e)
		if p, ok := u.Phone(e.PhoneID); !ok || p.Retired {
			why = codePhoneGone
			return nil
		}
		why = codeExpired
		for _, i := range codes {
			if i.Seq == e.CodeSeq && now.Before(i.ExpiresAt) {
				issued, why = i, ""
			}
			if i.Seq > e.CodeSeq {
				why = codeSuperseded
			}
		}
		return nil
	})
	return issued, why, err
}

// issuedCodes lists the codes of what the message is for; none when it is so
// old that the state has dropped it.
func issuedCodes(u *domain.User, e domain.SMSRequested) []domain.Issued {
	switch e.Purpose {
	case domain.PurposePhoneVerification:
		v, _ := u.Verification(e.SubjectID)
		return v.Codes
	case domain.PurposeActivation:
		r, _ := u.Enrollment(e.SubjectID)
		return r.Codes
	case domain.PurposeLogin:
		c, _ := u.Challenge(e.SubjectID)
		return c.Codes
	}
	return nil
}

var _ Journal = (*journal.Journal)(nil)
