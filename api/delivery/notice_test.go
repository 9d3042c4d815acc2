package delivery

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/authledger/authledger/domain"
)

// setParameter changes the rule book as compliance does.
func (l *ledger) setParameter(name string, value int64) {
	l.t.Helper()
	only[domain.PolicyParameterSet](l.t, l.as(domain.ActorCompliance, domain.SetParameter{
		Parameter: name, Value: value, EffectiveFrom: "2000-01-01", Reason: "test",
	}))
}

// publish adds a rule to the rule book.
func (l *ledger) publish(rule domain.RuleRow) {
	l.t.Helper()
	only[domain.PolicyRulePublished](l.t, l.as(domain.ActorCompliance, domain.PublishRule{Rule: rule}))
}

// rule is a rule about residents of a country.
func rule(id, cc, from string, effects ...domain.Effect) domain.RuleRow {
	return domain.RuleRow{
		ID: id, Version: 1, CC: cc, Zone: "UTC", Status: "active", Effects: effects, LegalBasis: "test", EffectiveFrom: from,
		Tests: []string{"residence", "holder_residence", "domicile"},
	}
}

// last is the newest notice.
func (l *ledger) last() domain.SecurityNotificationSent {
	l.t.Helper()
	list := events[domain.SecurityNotificationSent](l)
	if len(list) == 0 {
		l.t.Fatal("no notice")
	}
	return list[len(list)-1]
}

// logsIn logs the user in by SMS.
func (l *ledger) logsIn(p *process, purpose domain.Purpose) {
	l.t.Helper()
	challenge := only[domain.ChallengeIssued](l.t, l.do(domain.StartAuthentication{
		UserID: l.user, Purpose: purpose, Platform: domain.ClientPortal, PrimaryVerified: true,
	}))
	p.run()
	done := l.do(domain.SubmitResponse{ChallengeID: challenge.ChallengeID, Response: l.gateway.newestCode(l.t, 6)})
	only[domain.AuthenticationSucceeded](l.t, done)
	p.run()
}

// Every piece of news is told once, whatever else its append holds.
func TestOneAppendIsOneNotice(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		story func(l *ledger, p *process)
		want  []string // after the first two: phone_verified and authenticator_enrolled
	}{
		"lost with an SMS to fall back on": {func(l *ledger, p *process) {
			id := l.activates(p, l.app(domain.AppIBKRMobile, domain.IOS, "h"))
			l.do(domain.RevokeAuthenticator{AuthenticatorID: id, Reason: "lost"})
		}, []string{"authenticator_enrolled", "authenticator_revoked"}},
		"reported lost, found": {func(l *ledger, p *process) {
			id := l.activates(p, l.app(domain.AppIBKRMobile, domain.IOS, "h"))
			l.do(domain.ReportLost{AuthenticatorID: id, By: "client"})
			p.run()
			l.as(domain.ActorAgent, domain.VerifyIdentityByPhone{UserID: l.user, AgentRef: "a", Method: "m"})
			l.as(domain.ActorAgent, domain.ReactivateAuthenticator{AuthenticatorID: id, Proof: "agent"})
		}, []string{"authenticator_enrolled", "authenticator_lost", "authenticator_reactivated"}},
		"suspected": {func(l *ledger, p *process) {
			id := l.activates(p, l.app(domain.AppIBKRMobile, domain.IOS, "h"))
			l.do(domain.SuspendAuthenticator{AuthenticatorID: id, Reason: "compromise_suspected"})
		}, []string{"authenticator_enrolled", "authenticator_suspended"}},
		"temporary passcode": {func(l *ledger, p *process) {
			id := l.activates(p, l.app(domain.AppIBKRMobile, domain.IOS, "h"))
			l.as(domain.ActorAgent, domain.VerifyIdentityByPhone{UserID: l.user, AgentRef: "a", Method: "m"})
			only[domain.TemporaryPasscodeIssued](l.t, l.as(domain.ActorAgent, domain.IssueTemporaryPasscode{UserID: l.user, MissingAuthenticatorID: id}))
			p.run()
			only[domain.AuthenticatorReactivated](l.t, l.as(domain.ActorAgent, domain.ReactivateAuthenticator{AuthenticatorID: id, Proof: "agent"}))
		}, []string{"authenticator_enrolled", "temporary_passcode_issued", "authenticator_reactivated"}},
		"unified": {func(l *ledger, p *process) {
			from, to := l.app(domain.AppIBKeyStandalone, domain.IOS, "h"), l.app(domain.AppIBKRMobile, domain.IOS, "h")
			l.activates(p, from)
			l.unifies(p, from, to)
		}, []string{"authenticator_enrolled", "unification_completed"}},
		"shared card, then closed": {func(l *ledger, p *process) {
			owners := l.card(p, l.unitOf(cardKey))
			l.another("U2")
			l.shares(p, owners, 1)
			l.do(domain.CloseUser{UserID: l.user, Reason: "account_closed"})
		}, []string{"authenticator_enrolled", "device_sharing_granted", "user_closed"}},
		"phone replaced, SMS along": {func(l *ledger, p *process) {
			old := events[domain.PhoneNumberAdded](l)[0].PhoneID
			l.clock.advance(time.Hour)
			l.do(domain.ReplacePhone{OldPhoneID: old, NewPhoneID: l.verifiedPhone(p)})
		}, []string{"phone_verified", "phone_replaced"}},
		"phone removed, SMS moves": {func(l *ledger, p *process) {
			old := events[domain.PhoneNumberAdded](l)[0].PhoneID
			l.clock.advance(time.Hour)
			l.verifiedPhone(p)
			l.do(domain.RemovePhone{PhoneID: old, Reason: "client_request"})
		}, []string{"phone_verified", "phone_removed"}},
		"PIN of a card changed": {func(l *ledger, p *process) {
			card := l.unitOf(cardKey)
			id := l.card(p, card)
			txn := l.password(domain.PurposePINChange)
			challenge := only[domain.ChallengeIssued](l.t, l.do(domain.ChangeDevicePIN{AuthenticatorID: id, TxnID: txn, PIN: "4321"}))
			only[domain.DevicePINChanged](l.t, l.answers(challenge, 1))
		}, []string{"authenticator_enrolled", "device_pin_changed"}},
		"login": {func(l *ledger, p *process) { l.logsIn(p, domain.PurposeLogin) }, []string{"login"}},
		"step-up, which is no login": {func(l *ledger, p *process) {
			l.logsIn(p, domain.PurposeStepUp)
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLedger(t, noon)
			p := l.start()
			l.verifiedPhone(p)
			c.story(l, p)
			p.run()
			l.expectQuiet()
			l.expectTopics(append([]string{"phone_verified", "authenticator_enrolled"}, c.want...)...)
			for _, m := range l.gateway.of(Notice) {
				if m.Channel != "email" || m.TemplateID != "notice_"+m.Topic+"@1" {
					t.Errorf("notice %s by %s from %s", m.Topic, m.Channel, m.TemplateID)
				}
			}
		})
	}
}

// D-58: a login is told where the policy or a rule wants it, and the rule is
// named.
func TestLoginNotices(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		residence string
		parameter int64
		want      []domain.SecurityNotificationSent // the login's
	}{
		"policy":          {"DE", 1, []domain.SecurityNotificationSent{{Topic: "login"}}},
		"neither":         {"DE", 0, nil},
		"rule":            {"HK", 0, []domain.SecurityNotificationSent{{Topic: "login", RuleID: "HK-NOTIFY-1"}}},
		"policy and rule": {"HK", 1, []domain.SecurityNotificationSent{{Topic: "login", RuleID: "HK-NOTIFY-1"}}},
	} {
		l := newLedger(t, noon)
		l.moves(c.residence, "2020-01-01")
		l.setParameter(domain.ParameterNotifyLogin, c.parameter)
		p := l.start()
		l.verifiedPhone(p)
		if got := l.last().RuleID; got != map[string]string{"HK": "HK-NOTIFY-1"}[c.residence] {
			t.Errorf("%s: change of the account by rule %q", name, got)
		}
		l.logsIn(p, domain.PurposeLogin)
		l.expectQuiet()
		var got []domain.SecurityNotificationSent
		for _, n := range events[domain.SecurityNotificationSent](l) {
			if n.Topic == "login" {
				got = append(got, domain.SecurityNotificationSent{Topic: n.Topic, RuleID: n.RuleID})
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: notices (-want +got):\n%s", name, diff)
		}
	}
}

// A rule made later says nothing about logins before it.
func TestNewRuleTellsOfNoOldLogin(t *testing.T) {
	t.Parallel()
	l := newLedger(t, noon)
	l.setParameter(domain.ParameterNotifyLogin, 0)
	p := l.start()
	l.verifiedPhone(p)
	l.logsIn(p, domain.PurposeLogin)
	l.clock.advance(time.Hour)
	l.publish(rule("DE-NOTIFY-1", "DE", "2020-01-01", domain.Effect{Name: domain.EffectNotify, Values: []string{"login"}}))
	l.expectQuiet()
	l.logsIn(l.start(), domain.PurposeLogin)
	l.expectQuiet()
	if got := l.last(); got.Topic != "login" || got.RuleID != "DE-NOTIFY-1" {
		t.Errorf("notice %+v", got)
	}
	l.expectTopics("phone_verified", "authenticator_enrolled", "login")
}

// Every notice is about an event of its own, and names it.
func TestEveryKindOfNewsHasItsTopic(t *testing.T) {
	t.Parallel()
	all := allTopics()
	slices.Sort(all)
	if got := slices.Compact(slices.Clone(all)); len(got) != len(all) || slices.Contains(all, "") {
		t.Errorf("topics %v", all)
	}
	if len(all) != len(noticeTypes())+1 {
		t.Errorf("%d topics of %d events", len(all), len(noticeTypes()))
	}
}
