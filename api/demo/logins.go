package demo

import (
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/journal"
)

var platforms = []domain.Platform{
	domain.ClientPortal, domain.ClientPortal, domain.TWS, domain.TWS, domain.WebTrader, domain.IBKRMobileIOS, domain.IBKRMobileAndroid,
}

// visit is one login out of habit: the password, sometimes mistyped, then
// whatever second factor the ledger asks for, sometimes answered wrong first.
func (t *tale) visit(p *person) {
	if p.busy || p.gone {
		return
	}
	platform := pick(t.world, platforms)
	if t.chance(6) {
		t.open(p, platform, false)
	}
	c, ok := t.asked(p, t.open(p, platform, true))
	if !ok {
		return // locked, waived, or nothing to answer with
	}
	if c.Mode == domain.ModePush {
		if c, ok = t.visitPush(p, c); !ok {
			return
		}
	}
	t.pause(8*time.Second, 50*time.Second)
	if t.chance(5) {
		t.submit(c, slip(t.typed(p, c)))
	}
	t.submit(c, t.typed(p, c))
}

// visitPush answers a push, mostly right; ok means that the user falls back to
// a challenge and a response.
func (t *tale) visitPush(p *person, c domain.ChallengeIssued) (next domain.ChallengeIssued, ok bool) {
	if t.chance(10) {
		out := t.do(domain.RequestFallback{ChallengeID: c.ChallengeID, Cause: pick(t.world, []domain.FallbackCause{
			domain.CauseNoNotification, domain.CauseNoInternet, domain.CausePoorLink,
		})})
		return find[domain.ChallengeIssued](out)
	}
	t.as(app, domain.RecordPushOpened{ChallengeID: c.ChallengeID, InstallationID: p.app.id})
	number := ""
	if !t.chance(2) {
		number = t.shown(p, c.ChallengeID)
		if t.chance(3) {
			number = string(slip(domain.Secret(number)))
		}
	}
	t.decide(p, p.app, c, number)
	return next, false
}

// open begins a login with the right or a wrong password.
func (t *tale) open(p *person, platform domain.Platform, right bool) journal.Outcome {
	c := domain.StartAuthentication{UserID: p.userID, Purpose: domain.PurposeLogin, Platform: platform, PrimaryVerified: right}
	if platform == domain.TWS {
		c.ClientVersion, c.ReleaseChannel = "1030", pick(t.world, []domain.ReleaseChannel{domain.Stable, domain.Latest, domain.Beta})
	}
	return t.do(c)
}

// asked is the challenge of a login; where several authenticators are offered
// the user takes one they can answer with.
func (t *tale) asked(p *person, out journal.Outcome) (domain.ChallengeIssued, bool) {
	if offered, ok := find[domain.SecondFactorOffered](out); ok {
		id := ""
		for _, o := range offered.Options { // strongest first
			if t.holds(p, o) && (id == "" || o.Kind == p.choice) {
				id = o.AuthenticatorID
			}
		}
		if id == "" {
			return domain.ChallengeIssued{}, false
		}
		out = t.do(domain.IssueChallenge{TxnID: offered.TxnID, AuthenticatorID: id})
	}
	c, ok := find[domain.ChallengeIssued](out)
	return c, ok && t.holds(p, domain.Option{AuthenticatorID: c.AuthenticatorID, Kind: c.Kind})
}

// holds reports whether the user has what an authenticator needs at hand.
func (t *tale) holds(p *person, o domain.Option) bool {
	switch o.Kind {
	case domain.KindIBKey:
		return p.app != nil && len(p.app.tokens) > 0
	case domain.KindDSCPlus:
		return p.unit != nil
	case domain.KindSCC, domain.KindOSCC:
		return p.cards[o.AuthenticatorID] != nil
	case domain.KindTempCode:
		return p.passcodes[o.AuthenticatorID] != ""
	}
	return true
}

// login is a login of a story: it answers right and must succeed.
func (t *tale) login(p *person, platform domain.Platform) domain.AuthenticationSucceeded {
	out := t.open(p, platform, true)
	if e, ok := find[domain.AuthenticationSucceeded](out); ok {
		return e // waived
	}
	c, ok := t.asked(p, out)
	if !ok {
		t.fail("DEMO-%04d was not asked on %s", p.n, platform)
	}
	return need[domain.AuthenticationSucceeded](t, t.answer(p, c))
}

// answer gives the right answer.
func (t *tale) answer(p *person, c domain.ChallengeIssued) journal.Outcome {
	if t.err != nil {
		return journal.Outcome{}
	}
	if c.Mode == domain.ModePush {
		t.as(app, domain.RecordPushOpened{ChallengeID: c.ChallengeID, InstallationID: p.app.id})
		return t.decide(p, p.app, c, t.shown(p, c.ChallengeID))
	}
	t.pause(8*time.Second, 40*time.Second)
	return t.submit(c, t.typed(p, c))
}

func (t *tale) submit(c domain.ChallengeIssued, text domain.Secret) journal.Outcome {
	return t.do(domain.SubmitResponse{ChallengeID: c.ChallengeID, Response: text})
}

// typed is what the user types for a challenge, from whatever they hold. A
// message that never came is asked for again.
func (t *tale) typed(p *person, c domain.ChallengeIssued) domain.Secret {
	switch c.Mode {
	case domain.ModeSMSCode:
		return t.loginCode(p, c.ChallengeID)
	case domain.ModeGrid:
		text := ""
		for _, n := range c.GridIndices {
			if cells := p.cards[c.AuthenticatorID]; n <= len(cells) {
				text += cells[n-1]
			}
		}
		return domain.Secret(text)
	case domain.ModeStaticCode:
		return p.passcodes[c.AuthenticatorID]
	}
	question := t.shown(p, c.ChallengeID)
	if t.err != nil {
		return ""
	}
	text, err := "", error(nil)
	if c.DeviceID != "" {
		text, err = p.unit.respond(question)
	} else {
		text, err = p.app.respond(c.AuthenticatorID, question, t.Clock.Now())
	}
	t.err = err
	return domain.Secret(text)
}

// loginCode is the newest code of a challenge by SMS or voice; after a message
// that got lost the user waits and asks for another.
func (t *tale) loginCode(p *person, challengeID string) domain.Secret {
	var codes []domain.Issued
	var smsID string
	look := func(u *domain.User, _ time.Time) {
		c, _ := u.Challenge(challengeID)
		codes, smsID = c.Codes, c.SMSID
	}
	if t.user(p, look); t.lost[smsID] && !p.busy {
		t.wait(125 * time.Second)
		t.do(domain.ResendLoginCode{ChallengeID: challengeID})
		t.user(p, look)
	}
	if len(codes) == 0 {
		return "000000" // refused; the user guesses
	}
	return t.code(domain.PurposeLogin, challengeID, codes[len(codes)-1])
}

// shown reads the digits off the login page.
func (t *tale) shown(p *person, challengeID string) string {
	var challenge domain.Challenge
	t.user(p, func(u *domain.User, _ time.Time) { challenge, _ = u.Challenge(challengeID) })
	if t.err != nil {
		return ""
	}
	digits, err := t.Journal.Shown(t.ctx, challenge)
	t.err = err
	return digits
}

// guessPassword is somebody who tries until the user is locked; sometimes an
// agent helps afterwards.
func (t *tale) guessPassword(p *person) {
	for range 11 {
		t.open(p, domain.ClientPortal, false)
		t.pause(2*time.Second, 20*time.Second)
	}
	if t.chance(50) {
		return
	}
	t.pause(10*time.Minute, 3*time.Hour)
	t.identify(p)
	t.as(agent, domain.UnlockUser{UserID: p.userID})
}

// identify is a telephone call in which an agent verifies who the user is.
func (t *tale) identify(p *person) {
	t.as(agent, domain.VerifyIdentityByPhone{UserID: p.userID, AgentRef: agent.Ref, Method: "callback"})
}
