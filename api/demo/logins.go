package demo

import (
	"context"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/journal"
)

var platforms = []domain.Platform{
	domain.ClientPortal, domain.ClientPortal, domain.TWS, domain.TWS, domain.WebTrader, domain.IBKRMobileIOS, domain.IBKRMobileAndroid,
}

// login is one visit: the password, sometimes mistyped, then whatever second
// factor the ledger asks for.
func (w *world) login(ctx context.Context, p *person) error {
	platform := pick(w, platforms)
	if w.chance(6) {
		if _, err := w.start(ctx, p, platform, false); err != nil {
			return err
		}
	}
	out, err := w.start(ctx, p, platform, true)
	if err != nil {
		return err
	}
	challenge, ok := find[domain.ChallengeIssued](out)
	if !ok {
		return nil // locked, waived, or nothing enrolled
	}
	switch challenge.Mode {
	case domain.ModeSMSCode:
		return w.answerSMS(ctx, p, challenge, out)
	case domain.ModePush:
		return w.answerPush(ctx, p, challenge, platform)
	}
	return w.answerOffline(ctx, p, challenge)
}

func (w *world) start(ctx context.Context, p *person, platform domain.Platform, right bool) (journal.Outcome, error) {
	c := domain.StartAuthentication{UserID: p.userID, Purpose: domain.PurposeLogin, Platform: platform, PrimaryVerified: right}
	if platform == domain.TWS {
		c.ClientVersion, c.ReleaseChannel = "10.30", pick(w, []domain.ReleaseChannel{domain.Stable, domain.Latest, domain.Beta})
	}
	return w.do(ctx, c)
}

func (w *world) answerSMS(ctx context.Context, p *person, c domain.ChallengeIssued, out journal.Outcome) error {
	issued, ok := find[domain.LoginCodeIssued](out)
	if !ok {
		_, err := w.do(ctx, domain.CancelChallenge{ChallengeID: c.ChallengeID})
		return err
	}
	code, err := w.code(ctx, domain.PurposeLogin, c.ChallengeID, domain.Issued{Seq: issued.Seq, Kid: issued.Kid})
	if err != nil {
		return err
	}
	w.pause(8*time.Second, 50*time.Second)
	if w.chance(5) {
		if _, err := w.do(ctx, domain.SubmitResponse{ChallengeID: c.ChallengeID, Response: domain.Secret(slip(code))}); err != nil {
			return err
		}
	}
	_, err = w.do(ctx, domain.SubmitResponse{ChallengeID: c.ChallengeID, Response: domain.Secret(code)})
	return err
}

func (w *world) answerPush(ctx context.Context, p *person, c domain.ChallengeIssued, platform domain.Platform) error {
	if p.phone == nil {
		return nil
	}
	if w.chance(10) {
		out, err := w.do(ctx, domain.RequestFallback{ChallengeID: c.ChallengeID, Cause: pick(w, []domain.FallbackCause{
			domain.CauseNoNotification, domain.CauseNoInternet, domain.CausePoorLink,
		})})
		if err != nil {
			return err
		}
		if next, ok := find[domain.ChallengeIssued](out); ok {
			return w.answerOffline(ctx, p, next)
		}
		return nil
	}
	app := domain.Actor{Kind: domain.ActorClient, Ref: "demo-app"}
	if _, err := w.as(ctx, app, domain.RecordPushOpened{ChallengeID: c.ChallengeID, InstallationID: p.phone.installationID}); err != nil {
		return err
	}
	number := ""
	if !w.chance(2) {
		var err error
		if number, err = w.shown(ctx, p, c.ChallengeID); err != nil {
			return err
		}
		if w.chance(3) {
			number = slip(number)
		}
	}
	answer, err := p.phone.decide(c, platform, number, w.Clock.Now())
	if err != nil {
		return err
	}
	_, err = w.as(ctx, app, answer)
	return err
}

func (w *world) answerOffline(ctx context.Context, p *person, c domain.ChallengeIssued) error {
	if p.phone == nil {
		return nil
	}
	digits, err := w.shown(ctx, p, c.ChallengeID)
	if err != nil {
		return err
	}
	w.pause(15*time.Second, 60*time.Second)
	response, err := p.phone.respond(digits, w.Clock.Now())
	if err != nil {
		return err
	}
	if w.chance(4) {
		if _, err := w.do(ctx, domain.SubmitResponse{ChallengeID: c.ChallengeID, Response: domain.Secret(slip(response))}); err != nil {
			return err
		}
	}
	_, err = w.do(ctx, domain.SubmitResponse{ChallengeID: c.ChallengeID, Response: domain.Secret(response)})
	return err
}

// shown reads the digits off the login page.
func (w *world) shown(ctx context.Context, p *person, challengeID string) (string, error) {
	var challenge domain.Challenge
	err := w.Journal.User(ctx, p.userID, func(u *domain.User, _ time.Time) error {
		challenge, _ = u.Challenge(challengeID)
		return nil
	})
	if err != nil {
		return "", err
	}
	return w.Journal.Shown(ctx, challenge)
}

// guessPassword is somebody who tries until the user is locked; sometimes an
// agent helps afterwards.
func (w *world) guessPassword(ctx context.Context, p *person) error {
	for range 11 {
		if _, err := w.start(ctx, p, domain.ClientPortal, false); err != nil {
			return err
		}
		w.pause(2*time.Second, 20*time.Second)
	}
	if w.chance(50) {
		return nil
	}
	w.pause(10*time.Minute, 3*time.Hour)
	agent := domain.Actor{Kind: domain.ActorAgent, Ref: "demo-agent-7"}
	if _, err := w.as(ctx, agent, domain.VerifyIdentityByPhone{UserID: p.userID, AgentRef: agent.Ref, Method: "callback"}); err != nil {
		return err
	}
	_, err := w.as(ctx, agent, domain.UnlockUser{UserID: p.userID})
	return err
}
