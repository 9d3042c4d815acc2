package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
)

// noticeChannel is how notices go out. No authenticator answers by e-mail, so
// it is never the channel of a login's own factor (D-58).
const noticeChannel = channelEmail

// Topics of notices that are about logins, and the values of a rule's notify
// effect that demand notices.
const (
	topicLogin          = "login"
	topicLoginOneFactor = "login_one_factor"

	demandsLogin  = "login"
	demandsChange = "account_change"
)

// news are the events that may lead to a notice, by their wire names, with
// what the notice is about; "" for none. When one append holds several, the
// notice is about the one that stands first here.
var news = []struct {
	event string
	topic func(domain.Event) string
}{
	{"UserClosed", always("user_closed")},
	{"UserLocked", always("user_locked")},
	{"MigrationCompleted", always("migration_completed")},
	{"RecoveryCompleted", always("recovery_completed")},
	{"UnificationCompleted", always("unification_completed")},
	{"DeviceSharingGranted", always("device_sharing_granted")},
	{"TemporaryPasscodeIssued", always("temporary_passcode_issued")},
	{"PhoneNumberReplaced", always("phone_replaced")},
	{"PhoneNumberRemoved", always("phone_removed")},
	{"PhoneNumberVerified", always("phone_verified")},
	{"AuthenticatorReportedLost", always("authenticator_lost")},
	{"DeviceSharingEnded", always("device_sharing_ended")},
	{"AuthenticatorRevoked", revocation},
	{"AuthenticatorReactivated", always("authenticator_reactivated")},
	{"AuthenticatorSuspended", always("authenticator_suspended")},
	{"DevicePINChanged", always("device_pin_changed")},
	{"AuthenticatorEnrolled", always("authenticator_enrolled")},
	{"OptOutGranted", always("opt_out_granted")},
	{"OptOutDenied", always("opt_out_denied")},
	{"OptOutRevoked", always("opt_out_revoked")},
	{"OptedBackIn", always("opted_back_in")},
	{"AuthenticationSucceeded", login},
}

func always(topic string) func(domain.Event) string {
	return func(domain.Event) string { return topic }
}

// revocation leaves out the reasons that only come with other news: a stronger
// or newer authenticator took the place of this one.
func revocation(e domain.Event) string {
	switch e.(domain.AuthenticatorRevoked).Reason {
	case "superseded_by_stronger", "temporary_ended":
		return ""
	}
	return "authenticator_revoked"
}

func login(e domain.Event) string {
	if e.(domain.AuthenticationSucceeded).Factors < 2 {
		return topicLoginOneFactor
	}
	return topicLogin
}

// noticeTypes are the events that may lead to a notice.
func noticeTypes() []string {
	out := make([]string, len(news))
	for i, n := range news {
		out[i] = n.event
	}
	return out
}

// topic says what a notice about an event is about, "" for none, and its rank:
// the lower the more important.
func topic(eventType string, e domain.Event) (about string, rank int) {
	for i, n := range news {
		if n.event == eventType {
			return n.topic(e), i
		}
	}
	return "", len(news)
}

// notifier tells users what happened to their account (D-58). One append leads
// to at most one notice: moving IB Key to another phone revokes one
// authenticator, enrols another and completes the migration, and is one piece
// of news.
//
// A notice is handed over before it is recorded: of a warning, two are better
// than none. After a crash in between it is handed over again under the same id,
// which derives from the append, so that a receiver can tell (webhook-id).
type notifier struct{ c Config }

const noticeReaction = "notice"

func (n *notifier) act(ctx context.Context, d codec.Decoded) error {
	about, rank := topic(d.Record.Type, d.Event)
	if about == "" {
		return nil
	}
	category, key, _ := cutStream(d.Record.Stream)
	if category != "user" {
		return nil
	}
	userID := domain.UserID(key)
	ruleID, locale, due, err := n.due(ctx, d, userID, about, rank)
	if err != nil || !due {
		return err
	}
	// The id derives from the append: there is one notice about it, ever.
	id := commandID(d.Meta.CommandID, noticeReaction)
	_, err = n.c.Log.ByID(ctx, eventstore.EventIDOf(id, 0))
	if err == nil {
		return nil
	}
	if !errors.Is(err, eventstore.ErrNotFound) {
		return fmt.Errorf("look for notice %s: %w", id, err)
	}
	template := "notice_" + about + "@1"
	text, spoken, err := n.c.Texts.Render(template, locale, "", d.Meta.OccurredAt)
	if err != nil {
		return err
	}
	r := n.c.send(ctx, Message{
		ID: id.String(), Kind: Notice, UserID: userID, Text: text, TemplateID: template, Locale: spoken,
		Topic: about, Channel: noticeChannel,
	})
	q := request(d, noticeReaction, system("notices"), domain.RecordNotification{
		UserID: userID, Topic: about, Channel: noticeChannel, TemplateID: template, Locale: spoken, RuleID: ruleID,
		NoticeOf: codec.EventIDText(d.Record.ID), Failed: r.Outcome != Accepted,
	})
	q.CommandID = id
	_, err = n.c.Journal.Execute(ctx, q)
	return err
}

// due reports whether the event is to be told, because of which rule if one
// demands it, and in which locale.
func (n *notifier) due(ctx context.Context, d codec.Decoded, userID, about string, rank int) (ruleID, locale string, due bool, err error) {
	stepUp := false
	err = n.c.Journal.UserAt(ctx, userID, d.Record.Revision, func(u *domain.User, _ time.Time) error {
		locale, stepUp = u.Locale, isStepUp(u, d.Event)
		return nil
	})
	if err != nil || stepUp {
		return "", "", false, err
	}
	ruleID, wanted, err := n.wanted(ctx, userID, about, d)
	if err != nil || !wanted {
		return "", "", false, err
	}
	outranked, err := n.outranked(ctx, d, rank)
	return ruleID, locale, !outranked, err
}

// isStepUp reports whether the event is the success of a second factor asked
// for inside a session, which is no login.
func isStepUp(u *domain.User, e domain.Event) bool {
	success, ok := e.(domain.AuthenticationSucceeded)
	if !ok {
		return false
	}
	t, _ := u.Transaction(success.TxnID)
	return t.Purpose == domain.PurposeStepUp
}

// wanted reports whether a notice is to be sent, and which rule demands it, if
// one does. Changes of an account always lead to one; a login does where the
// policy or a rule wants it. Both are asked as of the event, so that a log that
// is seen again leads to no notice that was not due.
func (n *notifier) wanted(ctx context.Context, userID, about string, d codec.Decoded) (ruleID string, wanted bool, err error) {
	demand := demandsChange
	wanted = true
	if about == topicLogin || about == topicLoginOneFactor {
		demand = demandsLogin
		wanted = n.c.Journal.Policy().Int(domain.ParameterNotifyLogin, d.Meta.OccurredAt) == 1
	}
	rules, err := n.c.Journal.MatchingAt(ctx, userID, domain.EffectNotify, d.Meta.OccurredAt)
	if err != nil {
		return "", false, err
	}
	for _, r := range rules {
		if slices.Contains(r.Values(domain.EffectNotify), demand) && !r.KnownSince.After(d.Meta.OccurredAt) {
			return r.ID, true, nil
		}
	}
	return "", wanted, nil
}

// outranked reports whether the append holds more important news, which the
// notice will be about.
func (n *notifier) outranked(ctx context.Context, d codec.Decoded, rank int) (bool, error) {
	if _, ok := d.Event.(domain.AuthenticationSucceeded); ok {
		return false, nil // it comes with no other news; and there are too many to look
	}
	for i := range d.Meta.Count {
		if i == d.Meta.Ordinal {
			continue
		}
		r, err := n.c.Log.ByID(ctx, eventstore.EventIDOf(d.Meta.CommandID, i))
		if err != nil {
			return false, fmt.Errorf("read event %d of the append: %w", i, err)
		}
		other, err := n.c.Codec.Decode(r)
		if err != nil {
			return false, err
		}
		if about, at := topic(r.Type, other.Event); about != "" && (at < rank || at == rank && i < d.Meta.Ordinal) {
			return true, nil
		}
	}
	return false, nil
}
