package delivery

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
)

const (
	// codeEmailTemplate is the text of every copy of a login code.
	codeEmailTemplate = "login_code_email@1"
	// codeEmailTopic names a copy that could not be handed over, among the
	// notices that could not.
	codeEmailTopic = "login_code_email"
	channelEmail   = "email"

	recordEmail = "email.record"
	failedEmail = "email.failed"

	// codeLife is how long a code can be used at most, whatever the policy
	// (G-12).
	codeLife = 10 * time.Minute
)

// copier sends a copy of a login code by e-mail where a rule demands it (G-9:
// India), once the provider has accepted the text message. Calls have none.
//
// The copy is recorded before it is handed over, so it is sent at most once: a
// crash in between loses it, and the text message with the same code remains.
// CodeEmailed therefore says that the copy was handed over or about to be; when
// the gateway did not accept it, SecurityNotificationFailed with the topic
// login_code_email follows and names the SMSSent.
type copier struct {
	c    Config
	keep outcomes
}

func (s *copier) act(ctx context.Context, d codec.Decoded) error {
	e := d.Event.(domain.SMSSent)
	if r, ok := s.keep.of(e.SMSID); ok {
		return s.fail(ctx, d, e.SMSID, r)
	}
	if !s.c.Journal.Now().Before(d.Meta.OccurredAt.Add(codeLife)) {
		return nil // a log seen again is full of these
	}
	userID := domain.UserOf(e.SMSID)
	open := false
	err := s.c.Journal.UserAt(ctx, userID, d.Record.Revision, func(u *domain.User, _ time.Time) error {
		m, ok := u.Message(e.SMSID)
		open = ok && m.Purpose == domain.PurposeLogin && !m.Emailed && !u.Closed()
		return nil
	})
	if err != nil || !open {
		return err
	}
	rule, err := s.rule(ctx, userID)
	if err != nil || rule == "" {
		return err
	}
	out, why, err := s.render(ctx, d, e)
	if err != nil || why != "" {
		return err // a code of no use needs no copy
	}
	return s.send(ctx, d, e, rule, out)
}

// rule is the rule that demands codes by e-mail too, or "".
func (s *copier) rule(ctx context.Context, userID string) (string, error) {
	rules, err := s.c.Journal.Matching(ctx, userID, domain.EffectOTPChannels)
	if err != nil {
		return "", err
	}
	for _, r := range rules {
		if slices.Contains(r.Values(domain.EffectOTPChannels), channelEmail) {
			return r.ID, nil
		}
	}
	return "", nil
}

func (s *copier) render(ctx context.Context, d codec.Decoded, e domain.SMSSent) (Message, string, error) {
	asked, err := s.request(ctx, d, e.SMSID)
	if err != nil {
		return Message{}, "", err
	}
	code := codeOf(asked)
	found, why, err := code.current(ctx, s.c.Journal)
	if err != nil || why != "" {
		return Message{}, why, err
	}
	m, why, err := code.text(ctx, s.c, found, codeEmailTemplate, asked.Locale)
	m.ID, m.Kind, m.Channel = commandID(d.Record.ID, recordEmail).String(), Email, channelEmail
	return m, why, err
}

// request finds what the message was requested for. Whoever sent it named the
// request as the cause; a provider's late receipt did not, and then the user's
// stream has it.
func (s *copier) request(ctx context.Context, d codec.Decoded, smsID string) (domain.SMSRequested, error) {
	if id, err := codec.ParseEventID(d.Meta.CausationID); err == nil {
		r, err := s.c.Log.ByID(ctx, id)
		if err != nil {
			return domain.SMSRequested{}, fmt.Errorf("read request of %s: %w", smsID, err)
		}
		cause, err := s.c.Codec.Decode(r)
		if err != nil {
			return domain.SMSRequested{}, err
		}
		if e, ok := cause.Event.(domain.SMSRequested); ok && e.SMSID == smsID {
			return e, nil
		}
	}
	for past, err := range history(ctx, s.c, d.Record.Stream, "SMSRequested") {
		if err != nil {
			return domain.SMSRequested{}, err
		}
		if e := past.Event.(domain.SMSRequested); e.SMSID == smsID {
			return e, nil
		}
	}
	return domain.SMSRequested{}, fmt.Errorf("find request of %s: %w", smsID, eventstore.ErrNotFound)
}

// send records the copy and hands it over once.
func (s *copier) send(ctx context.Context, d codec.Decoded, e domain.SMSSent, rule string, out Message) error {
	record := domain.RecordCodeEmailed{SMSID: e.SMSID, AddressRef: out.UserID, RuleID: rule}
	done, err := s.c.Journal.Execute(ctx, request(d, recordEmail, system("code-email"), record))
	if moot(err) {
		return nil
	}
	if err != nil || done.Replayed || len(done.Events) == 0 {
		return err // somebody did it between our look and now
	}
	r := s.c.send(ctx, out)
	if r.Outcome == Accepted {
		return nil
	}
	s.c.Logger.Warn("copy of a code was not accepted; it is not sent again", "message", out, "code", r.Code)
	failed := reported{failedEmail, domain.RecordNotification{
		UserID: out.UserID, Topic: codeEmailTopic, Channel: channelEmail, TemplateID: out.TemplateID, Locale: out.Locale,
		NoticeOf: codec.EventIDText(d.Record.ID), Failed: true,
	}}
	s.keep.put(e.SMSID, failed)
	return s.fail(ctx, d, e.SMSID, failed)
}

func (s *copier) fail(ctx context.Context, d codec.Decoded, smsID string, r reported) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	if _, err := s.c.Journal.Execute(ctx, request(d, r.name, provider(s.c.Gateway), r.cmd)); err != nil && !moot(err) {
		return err
	}
	s.keep.drop(smsID)
	return nil
}
