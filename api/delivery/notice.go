package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
)

// noticeChannel is how notices go out. No authenticator answers by e-mail, so
// it is never the channel of a login's own factor (D-58).
const noticeChannel = "email"

// noticeTypes are the events that may lead to a notice.
func noticeTypes() []string {
	return []string{
		"AuthenticationSucceeded", "AuthenticatorEnrolled", "PhoneNumberReplaced", "PhoneNumberRemoved",
		"OptOutGranted", "OptOutDenied", "OptOutRevoked", "OptedBackIn", "UserLocked", "UserClosed",
	}
}

// topic says what a notice about the event is about; "" for none.
func topic(e domain.Event) string {
	switch e := e.(type) {
	case domain.AuthenticationSucceeded:
		if e.Factors < 2 {
			return "login_one_factor"
		}
		return "login"
	case domain.AuthenticatorEnrolled:
		return "authenticator_enrolled"
	case domain.PhoneNumberReplaced:
		return "phone_replaced"
	case domain.PhoneNumberRemoved:
		return "phone_removed"
	case domain.OptOutGranted:
		return "opt_out_granted"
	case domain.OptOutDenied:
		return "opt_out_denied"
	case domain.OptOutRevoked:
		return "opt_out_revoked"
	case domain.OptedBackIn:
		return "opted_back_in"
	case domain.UserLocked:
		return "user_locked"
	case domain.UserClosed:
		return "user_closed"
	}
	return ""
}

// notifier tells users what happened to their account (D-58). One append leads
// to at most one notice, about its first event that deserves one: enrolling a
// stronger factor and retiring the weaker one is one piece of news. Revocations
// have no notice of their own, because one always comes with such an event.
type notifier struct{ c Config }

const noticeReaction = "notice"

func (n *notifier) act(ctx context.Context, d codec.Decoded) error {
	about := topic(d.Event)
	if about == "" {
		return nil
	}
	// The id derives from the append, so that its second event finds it used.
	id := commandID(d.Meta.CommandID, noticeReaction)
	_, err := n.c.Log.ByID(ctx, eventstore.EventIDOf(id, 0))
	if err == nil {
		return nil
	}
	if !errors.Is(err, eventstore.ErrNotFound) {
		return fmt.Errorf("look for notice %s: %w", id, err)
	}
	_, key, _ := cutStream(d.Record.Stream)
	userID := domain.UserID(key)
	locale := ""
	if err := n.c.Journal.UserAt(ctx, userID, d.Record.Revision, func(u *domain.User, _ time.Time) error { locale = u.Locale; return nil }); err != nil {
		return err
	}
	template := "notice_" + about + "@1"
	text, spoken, err := n.c.Texts.Render(template, locale, "", d.Meta.OccurredAt.UTC().Format("2006-01-02 15:04 UTC"))
	if err != nil {
		return err
	}
	r := n.c.Gateway.Send(ctx, Message{
		ID: id.String(), Kind: Notice, UserID: userID, Text: text, TemplateID: template, Locale: spoken,
		Topic: about, Channel: noticeChannel,
	})
	q := request(d, noticeReaction, system("notices"), domain.RecordNotification{
		UserID: userID, Topic: about, Channel: noticeChannel, TemplateID: template, Locale: spoken,
		NoticeOf: codec.EventIDText(d.Record.ID), Failed: r.Outcome != Accepted,
	})
	q.CommandID = id
	_, err = n.c.Journal.Execute(ctx, q)
	return err
}
