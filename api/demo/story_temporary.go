package demo

import (
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/journal"
)

// Stories of temporary access.

// tellLostCard: a German user loses a card: two days of full access, then
// recovery only, an online card, and the card is found (S-14).
func tellLostCard(t *tale, cast []*person) {
	p := cast[0]
	id := t.getUnit(p, "3141", false)
	card := p.unit
	t.sleep(4 * day)
	p.unit = nil
	need[domain.TemporaryPasscodeRefused](t, t.as(agent, domain.IssueTemporaryPasscode{UserID: p.userID, MissingAuthenticatorID: id}))
	t.getPasscode(p, id)
	t.login(p, domain.TWS)
	t.sleep(47 * time.Hour)
	t.login(p, domain.TWS)
	t.sleep(6 * time.Hour)
	need[domain.AuthenticationFailed](t, t.open(p, domain.TWS, true)) // recovery scope by now
	t.getOnlineCard(p)
	t.login(p, domain.TWS)
	t.sleep(6 * day)

	txn := t.login(p, domain.ClientPortal).TxnID
	need[domain.AuthenticatorReactivated](t, t.do(domain.ReactivateAuthenticator{AuthenticatorID: id, Proof: "oscc", TxnID: txn}))
	p.unit = card
	t.login(p, domain.TWS)
}

// tellLostPhone: the same in Hong Kong, where a passcode never opens more than
// recovery, and is not issued twice in a row.
func tellLostPhone(t *tale, cast []*person) {
	p := cast[0]
	phone := t.getIBKey(p, domain.IOS)
	id := t.authenticator(p, domain.KindIBKey)
	t.sleep(4 * day)
	p.app = nil
	need[domain.SuspensionRefused](t, t.as(agent, domain.ReportLost{AuthenticatorID: id, By: "agent"})) // not identified yet
	t.identify(p)
	need[domain.AuthenticatorSuspended](t, t.as(agent, domain.ReportLost{AuthenticatorID: id, By: "agent"}))
	passcode := t.getPasscode(p, id)
	need[domain.TemporaryCredentialRefused](t, t.deliver(p, passcode, "in_app")) // the app is on the lost phone
	need[domain.TemporaryCredentialDelivered](t, t.deliver(p, passcode, "agent_voice"))
	need[domain.AuthenticationFailed](t, t.open(p, domain.TWS, true))
	t.login(p, domain.ClientPortal)
	t.sleep(3 * day)

	t.identify(p)
	need[domain.TemporaryPasscodeRefused](t, t.as(agent, domain.IssueTemporaryPasscode{UserID: p.userID, MissingAuthenticatorID: id}))
	need[domain.ReactivationRefused](t, t.do(domain.ReactivateAuthenticator{AuthenticatorID: id, Proof: "oscc"}))
	need[domain.OnlineCodeCardRefused](t, t.do(domain.IssueCodeCard{UserID: p.userID, Kind: domain.KindOSCC}))
	t.sleep(2 * day)
	p.app = phone // found
	need[domain.AuthenticatorReactivated](t, t.answer(p, t.reactivateBy(p, id)))
	t.login(p, domain.TWS)
}

// deliver says how a temporary passcode reaches its user.
func (t *tale) deliver(p *person, passcodeID, channel string) journal.Outcome {
	return t.as(agent, domain.DeliverTemporaryCredential{UserID: p.userID, AuthenticatorID: passcodeID, What: "temp_code", Channel: channel})
}

// tellOnlineCardExpired: three weeks are over and the card was never found.
func tellOnlineCardExpired(t *tale, cast []*person) {
	p := cast[0]
	id := t.getUnit(p, "2718", false)
	lost := p.unit.id
	t.sleep(2 * day)
	p.unit = nil
	t.do(domain.ReportLost{AuthenticatorID: id, By: "client"})
	t.getPasscode(p, id)
	t.getOnlineCard(p)
	t.sleep(22 * day)
	need[domain.EnrollmentRequired](t, t.open(p, domain.ClientPortal, true))
	t.identify(p)
	need[domain.AuthenticatorRevoked](t, t.as(agent, domain.RevokeAuthenticator{AuthenticatorID: id, Reason: "stolen"}))
	t.as(logistics, domain.RecordReplacementFee{DeviceID: lost, Amount: deposit, Reason: "stolen", FeeRuleID: "fee.dsc_plus"})
	t.login(p, domain.ClientPortal) // by SMS
}

// tellInApp: a passcode and a reset password reach the user in the app they
// still have, without an SMS.
func tellInApp(t *tale, cast []*person) {
	p := cast[0]
	i := t.getIBKey(p, domain.Android)
	id := t.getUnit(p, "1618", true)
	card := p.unit
	t.sleep(3 * day)
	p.unit = nil
	passcode := t.getPasscode(p, id)
	delivered := need[domain.TemporaryCredentialDelivered](t, t.deliver(p, passcode, "in_app"))
	t.pause(time.Minute, 9*time.Minute)
	t.collect(i, delivered.DeliveryID)
	p.choice = domain.KindTempCode
	t.login(p, domain.ClientPortal)
	p.choice = domain.KindIBKey
	t.sleep(2 * day)

	t.identify(p)
	delivered = need[domain.TemporaryCredentialDelivered](t, t.as(agent, domain.DeliverTemporaryCredential{
		UserID: p.userID, ResetRef: "reset-" + reference(p.n), What: "reset_password", Channel: "in_app", Credential: "demo-Reset-4711",
	}))
	t.pause(time.Minute, 9*time.Minute)
	t.collect(i, delivered.DeliveryID)
	t.identify(p)
	need[domain.AuthenticatorReactivated](t, t.as(agent, domain.ReactivateAuthenticator{AuthenticatorID: id, Proof: "agent"}))
	p.unit = card // found
}
