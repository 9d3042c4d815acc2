package demo

import (
	"time"

	"github.com/authledger/authledger/domain"
)

// Stories of physical devices and code cards.

// tellCard: a Digital Security Card+ from the order to its loss.
func tellCard(t *tale, cast []*person) {
	p := cast[0]
	need[domain.PhysicalDeviceRequestRefused](t, t.order(p, "4711", tooLittle))
	need[domain.PhysicalDeviceRequestRefused](t, t.order(p, "12", enough))
	id := t.getUnit(p, "4711", false)
	t.login(p, domain.TWS)
	t.sleep(2 * day)

	// The wrong PIN is a wrong response; a response is good once.
	c, _ := t.asked(p, t.open(p, domain.ClientPortal, true))
	p.unit.pin = "0000"
	need[domain.ResponseRejected](t, t.answer(p, c))
	p.unit.pin = "4711"
	text := t.typed(p, c)
	need[domain.AuthenticationSucceeded](t, t.submit(c, text))
	need[domain.ResponseRejected](t, t.submit(c, text))
	t.sleep(day)
	c, _ = t.asked(p, t.open(p, domain.ClientPortal, true))
	t.submit(c, "00000000")
	t.submit(c, "00000001")
	need[domain.ChallengeExhausted](t, t.submit(c, "00000002"))
	t.sleep(day)

	txn := t.begin(p, domain.PurposePINChange)
	need[domain.DevicePINChangeRefused](t, t.do(domain.ChangeDevicePIN{AuthenticatorID: id, TxnID: txn, PIN: "74 1"}))
	c = need[domain.ChallengeIssued](t, t.do(domain.ChangeDevicePIN{AuthenticatorID: id, TxnID: txn, PIN: "7410"}))
	p.unit.pin = "7410"
	need[domain.DevicePINChanged](t, t.answer(p, c))
	t.login(p, domain.WebTrader)
	t.sleep(9 * day)

	need[domain.AuthenticatorSuspended](t, t.do(domain.ReportLost{AuthenticatorID: id, By: "client"}))
	need[domain.EnrollmentRequired](t, t.open(p, domain.TWS, true))
	need[domain.RevocationRefused](t, t.as(agent, domain.RevokeAuthenticator{AuthenticatorID: id, Reason: "lost"}))
	t.identify(p)
	need[domain.AuthenticatorRevoked](t, t.as(agent, domain.RevokeAuthenticator{AuthenticatorID: id, Reason: "lost"}))
	t.as(logistics, domain.RecordReplacementFee{DeviceID: p.unit.id, Amount: deposit, Reason: "lost", FeeRuleID: "fee.dsc_plus"})
	p.unit = nil
	t.login(p, domain.TWS) // by SMS again
}

// tellUnopened: a card whose envelope nobody opened is activated after fourteen
// days all the same.
func tellUnopened(t *tale, cast []*person) {
	p := cast[0]
	v := t.orderAndShip(p, "2580")
	t.sleep(17 * day)
	p.unit = v
	t.login(p, domain.ClientPortal)
}

// tellReturned: a card that came back.
func tellReturned(t *tale, cast []*person) {
	p := cast[0]
	id := t.getUnit(p, "1357", false)
	t.login(p, domain.ClientPortal)
	t.sleep(15 * day)
	need[domain.AuthenticatorRevoked](t, t.do(domain.RevokeAuthenticator{AuthenticatorID: id, Reason: "returned"}))
	t.sleep(5 * day)
	t.as(logistics, domain.RecordDeviceReturned{DeviceID: p.unit.id, ReceivedOn: t.today(), Condition: "ok"})
	t.as(logistics, domain.RecordDeposit{DeviceID: p.unit.id, Amount: deposit, Released: true})
	p.unit = nil
	t.login(p, domain.ClientPortal)
}

// tellChoice: IB Key and a card side by side.
func tellChoice(t *tale, cast []*person) {
	p := cast[0]
	i := t.buyPhone(p, domain.Android)
	t.activate(p, i, t.begin(p, domain.PurposeActivation), "")
	v := t.orderAndShip(p, "8642")
	t.sleep(3 * day)
	need[domain.EnrollmentRefused](t, t.do(domain.StartEnrollment{ // the one they have was not asked for
		UserID: p.userID, Kind: domain.KindDSCPlus, DeviceID: v.id, TxnID: t.begin(p, domain.PurposeActivation),
	}))
	t.activateUnit(p, v, true)
	p.choice = domain.KindIBKey
	t.login(p, domain.ClientPortal)
	p.choice = domain.KindDSCPlus
	t.login(p, domain.ClientPortal)
	t.sleep(day)
	// A client too old to show a choice takes the strongest.
	out := t.do(domain.StartAuthentication{
		UserID: p.userID, Purpose: domain.PurposeLogin, Platform: domain.TWS, ClientVersion: "965", ReleaseChannel: domain.Stable, PrimaryVerified: true,
	})
	need[domain.AuthenticationSucceeded](t, t.answer(p, need[domain.ChallengeIssued](t, out)))
}

// tellPrinted: the printed code card, which policy allows from the first day of
// this history on.
func tellPrinted(t *tale, cast []*person) {
	p := cast[0]
	t.getPrintedCard(p, false)
	t.login(p, domain.TWS)
	t.sleep(5 * day)
	c, _ := t.asked(p, t.open(p, domain.ClientPortal, true))
	need[domain.ResponseRejected](t, t.submit(c, "ZZZZZZ"))
	need[domain.AuthenticationSucceeded](t, t.answer(p, c))
	t.sleep(5 * day)

	// A second one needs an answer from the first.
	card := need[domain.SecurityCodeCardIssued](t, t.do(domain.IssueCodeCard{UserID: p.userID, Kind: domain.KindSCC}))
	need[domain.SecurityCodeCardRefused](t, t.do(domain.ActivateCodeCard{
		AuthenticatorID: card.AuthenticatorID, TxnID: t.begin(p, domain.PurposeActivation),
	}))
}

// share asks to answer with another user's device.
func (t *tale) share(p *person, authenticatorID string, identical, prove bool) domain.RequestDeviceSharing {
	txn := t.begin(p, domain.PurposeDeviceSharing)
	if prove {
		t.prove(p, txn)
	}
	c := domain.RequestDeviceSharing{UserID: p.userID, AuthenticatorID: authenticatorID, TxnID: txn, IdentityMatch: identical}
	if identical {
		c.EvidenceRef = "identity-match-" + reference(p.n)
	}
	return c
}

// tellShared: two users of one client answer with one card, until it is missed.
func tellShared(t *tale, cast []*person) {
	owner, other := cast[0], cast[1]
	id := t.getUnit(owner, "9021", false)
	printed := t.getPrintedCard(other, false)
	t.sleep(2 * day)
	need[domain.DeviceSharingDenied](t, t.do(t.share(owner, printed, false, true))) // less protective than the owner's
	c := need[domain.ChallengeIssued](t, t.do(t.share(other, id, false, true)))
	other.unit = owner.unit
	need[domain.DeviceSharingGranted](t, t.answer(other, c))
	t.login(owner, domain.TWS)
	other.choice = domain.KindDSCPlus
	t.login(other, domain.TWS)
	t.sleep(8 * day)

	need[domain.AuthenticatorReportedLost](t, t.do(domain.ReportLost{AuthenticatorID: id, By: "client"}))
	need[domain.EnrollmentRequired](t, t.open(owner, domain.ClientPortal, true))
	other.choice = domain.KindSCC
	t.login(other, domain.ClientPortal) // the shared card is suspended for both
	t.sleep(day)
	need[domain.AuthenticatorReactivated](t, t.answer(owner, t.reactivateBy(owner, id)))
	t.login(owner, domain.ClientPortal)
}

// reactivateBy asks a suspended authenticator for a response of its own.
func (t *tale) reactivateBy(p *person, authenticatorID string) domain.ChallengeIssued {
	txn := t.begin(p, domain.PurposeActivation)
	return need[domain.ChallengeIssued](t, t.do(domain.ReactivateAuthenticator{
		AuthenticatorID: authenticatorID, Proof: "own_response", TxnID: txn,
	}))
}

// tellReviewed: sharing between users of different clients, which compliance
// decides.
func tellReviewed(t *tale, cast []*person) {
	owner, denied, granted := cast[0], cast[1], cast[2]
	id := t.getUnit(owner, "6630", false)
	t.as(compliance, domain.SetParameter{
		Parameter: "sharing.compliance_review", Value: 1, EffectiveFrom: t.today(), Reason: "sharing across clients is looked at by a person",
	})
	t.sleep(day)
	need[domain.DeviceSharingDenied](t, t.do(t.share(denied, id, false, false))) // not the same person
	for _, p := range []*person{denied, granted} {
		t.wait(3 * time.Minute)
		p.unit = owner.unit
		c := need[domain.ChallengeIssued](t, t.do(t.share(p, id, true, false)))
		pending := need[domain.DeviceSharingPending](t, t.answer(p, c))
		t.sleep(day)
		t.as(compliance, domain.DecideDeviceSharing{SharingID: pending.SharingID, Grant: p == granted})
	}
	denied.unit = nil
	t.login(granted, domain.TWS)
	t.sleep(7 * day)
	shared := t.authenticator(granted, domain.KindDSCPlus)
	need[domain.DeviceSharingEnded](t, t.do(domain.RevokeAuthenticator{AuthenticatorID: shared, Reason: "client_request"}))
	granted.unit = nil
	t.login(owner, domain.TWS)
}

// authenticator is the id of the user's authenticator of a kind.
func (t *tale) authenticator(p *person, k domain.Kind) (id string) {
	t.user(p, func(u *domain.User, _ time.Time) {
		for _, a := range u.Bound() {
			if a.Kind == k {
				id = a.ID
			}
		}
	})
	return id
}
