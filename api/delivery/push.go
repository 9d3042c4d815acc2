package delivery

import (
	"context"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/codec"
)

// pushTemplate is the text of every login push.
const pushTemplate = "push_login@1"

// pusher wakes the app of a user who is asked by push. A push is a hint: it
// carries no number and no code, the app fetches the challenge itself, and a
// second push for the same challenge does no harm. So the outcome is recorded
// after the hand-over, and a crash in between pushes again, under the same id,
// the challenge's.
type pusher struct{ c Config }

func (p *pusher) act(ctx context.Context, d codec.Decoded) error {
	e := d.Event.(domain.ChallengeIssued)
	if e.Mode != domain.ModePush {
		return nil
	}
	locale, state := "", stateOver
	err := p.c.Journal.UserAt(ctx, domain.UserOf(e.ChallengeID), d.Record.Revision, func(u *domain.User, now time.Time) error {
		c, ok := u.Challenge(e.ChallengeID)
		locale = u.Locale
		switch {
		case !ok || c.PushID != "" || c.PushFailed || u.Closed():
		case c.Open(now):
			state = stateOpen
		default:
			state = stateLate
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case state == stateOver:
		return nil
	case state == stateLate:
		return p.record(ctx, d, "push.failed", domain.RecordPushFailed{ChallengeID: e.ChallengeID, Failure: "service_error"})
	}
	return p.send(ctx, d, e, locale)
}

// What is left to do for a push.
const (
	stateOver = iota // recorded already, or so old that nobody waits for it
	stateOpen
	stateLate // answered, cancelled or expired before it could be pushed
)

func (p *pusher) send(ctx context.Context, d codec.Decoded, e domain.ChallengeIssued, locale string) error {
	text, spoken, err := p.c.Texts.Render(pushTemplate, locale, "", time.Time{})
	if err != nil {
		return err
	}
	r := p.c.send(ctx, Message{
		ID: e.ChallengeID, Kind: Push, UserID: domain.UserOf(e.ChallengeID), Text: text, TemplateID: pushTemplate, Locale: spoken,
		InstallationID: e.InstallationID, ChallengeID: e.ChallengeID, ExpiresAt: e.ExpiresAt,
	})
	if r.Outcome == Accepted {
		return p.record(ctx, d, "push.sent", domain.RecordPushSent{ChallengeID: e.ChallengeID})
	}
	return p.record(ctx, d, "push.failed", domain.RecordPushFailed{ChallengeID: e.ChallengeID, Failure: pushFailure(r)})
}

// pushFailure is the gateway's reason in the words of the rule book.
func pushFailure(r Result) string {
	switch r.Code {
	case "token_invalid", "throttled":
		return r.Code
	case "http_410":
		return "token_invalid"
	case "http_429":
		return "throttled"
	}
	return "service_error"
}

func (p *pusher) record(ctx context.Context, d codec.Decoded, name string, c domain.Command) error {
	_, err := p.c.Journal.Execute(ctx, request(d, name, provider(p.c.Gateway), c))
	if moot(err) {
		return nil
	}
	return err
}
