package demo

import (
	"crypto/rand"
	"fmt"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/domain/ocra"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/journal"
)

// unitSuite is that of the demo's cards: a counter, and the PIN mixed in, so
// that a wrong PIN is a wrong response (K-18).
const unitSuite = "OCRA-1:HOTP-SHA256-8:C-QN06-PSHA1"

// unit is a Digital Security Card+ and what its holder knows of it.
type unit struct {
	id      string
	suite   ocra.Suite
	seed    []byte
	counter uint64
	pin     string
}

// respond makes a response with the PIN that is typed into the card. The card
// counts on whether it is right or not.
func (u *unit) respond(question string) (string, error) {
	in := ocra.Input{Question: question, Counter: u.counter, PINHash: u.suite.HashPIN([]byte(u.pin))}
	u.counter++
	return u.suite.Compute(u.seed, in)
}

// importUnit takes a card into the stock, as the import of the manufacturer's
// file does: its seed into the keyring, the rest into the ledger.
func (t *tale) importUnit() *unit {
	t.units++
	serial := fmt.Sprintf("DEMO-%06d", t.units)
	v := &unit{id: unitID(serial), seed: make([]byte, 32), counter: 1}
	_, _ = rand.Read(v.seed) // never fails; see crypto/rand
	if t.err != nil {
		return v
	}
	if v.suite, t.err = ocra.Parse(unitSuite); t.err != nil {
		return v
	}
	if t.err = t.PutSecret(t.ctx, domain.DeviceStream(v.id), journal.SecretSeed, v.seed); t.err != nil {
		return v
	}
	t.as(logistics, domain.RegisterDevice{
		DeviceID: v.id, Model: domain.ModelDSCPlus, Manufacturer: manufacturer, Serial: serial, Suite: unitSuite, Counter: v.counter,
	})
	return v
}

const manufacturer = "Demo Tokens"

// enough and tooLittle are what users have at the broker in US cents, on either
// side of the threshold for a card.
const (
	enough    = 250_000_000
	tooLittle = 40_000_000
)

// order asks for a card.
func (t *tale) order(p *person, pin string, equityCents int64) journal.Outcome {
	return t.do(domain.RequestPhysicalDevice{
		UserID: p.userID, Model: domain.ModelDSCPlus, PIN: domain.Secret(pin), EquityUSDMinor: equityCents,
		ShipTo: domain.Clear(fmt.Sprintf("%d Demo Street, %s", p.n, p.home.cc)),
	})
}

// ship sends a card of the stock for an order, against a deposit.
func (t *tale) ship(v *unit, requestID, pin string) {
	v.pin = pin
	t.as(logistics, domain.RecordDeviceShipped{DeviceID: v.id, RequestID: requestID, DispatchedOn: t.today()})
	t.as(logistics, domain.RecordDeposit{DeviceID: v.id, Amount: deposit})
}

var deposit = domain.Money{Minor: 2000, Currency: "USD"}

// unitID derives from manufacturer and serial number, as that of an imported
// unit does.
func unitID(serial string) string { return codec.DeviceIDOf(manufacturer, serial) }

func (t *tale) today() string { return t.Clock.Now().Format(time.DateOnly) }

// orderAndShip gets a card on its way.
func (t *tale) orderAndShip(p *person, pin string) *unit {
	v := t.importUnit()
	request := need[domain.PhysicalDeviceRequested](t, t.order(p, pin, enough))
	t.sleep(26 * time.Hour)
	t.ship(v, request.RequestID, pin)
	return v
}

// activateUnit binds a card that came by post, by a response made with it.
func (t *tale) activateUnit(p *person, v *unit, prove bool) string {
	txn := t.begin(p, domain.PurposeActivation)
	if prove {
		t.prove(p, txn)
	}
	c := need[domain.ChallengeIssued](t, t.do(domain.StartEnrollment{
		UserID: p.userID, Kind: domain.KindDSCPlus, DeviceID: v.id, TxnID: txn,
	}))
	p.unit = v
	return need[domain.AuthenticatorEnrolled](t, t.answer(p, c)).AuthenticatorID
}

// getUnit is a card from the order to its first use.
func (t *tale) getUnit(p *person, pin string, prove bool) (authenticatorID string) {
	v := t.orderAndShip(p, pin)
	t.sleep(50 * time.Hour)
	return t.activateUnit(p, v, prove)
}

// takeCard keeps the cells of a code card that was just issued, as its user
// prints them.
func (t *tale) takeCard(p *person, authenticatorID string) {
	if t.err == nil {
		p.cards[authenticatorID], t.err = t.Journal.CodeCard(t.ctx, p.userID, authenticatorID)
	}
}

// getPrintedCard is a printed code card from its issue to its activation.
func (t *tale) getPrintedCard(p *person, prove bool) (authenticatorID string) {
	card := need[domain.SecurityCodeCardIssued](t, t.do(domain.IssueCodeCard{UserID: p.userID, Kind: domain.KindSCC}))
	t.takeCard(p, card.AuthenticatorID)
	t.sleep(4 * time.Hour)
	txn := t.begin(p, domain.PurposeActivation)
	if prove {
		t.prove(p, txn)
	}
	c := need[domain.ChallengeIssued](t, t.do(domain.ActivateCodeCard{AuthenticatorID: card.AuthenticatorID, TxnID: txn}))
	need[domain.AuthenticatorEnrolled](t, t.answer(p, c))
	return card.AuthenticatorID
}

// getOnlineCard is an online code card, which takes a login to the portal.
func (t *tale) getOnlineCard(p *person) (authenticatorID string) {
	txn := t.login(p, domain.ClientPortal).TxnID
	card := need[domain.OnlineCodeCardIssued](t, t.do(domain.IssueCodeCard{UserID: p.userID, Kind: domain.KindOSCC, TxnID: txn}))
	t.takeCard(p, card.AuthenticatorID)
	c := need[domain.ChallengeIssued](t, t.do(domain.ActivateCodeCard{AuthenticatorID: card.AuthenticatorID, TxnID: txn}))
	need[domain.AuthenticatorEnrolled](t, t.answer(p, c))
	return card.AuthenticatorID
}

// getPasscode is a temporary passcode that an agent issues on the telephone in
// place of a missing authenticator and reads out.
func (t *tale) getPasscode(p *person, missing string) (authenticatorID string) {
	t.identify(p)
	issued := need[domain.TemporaryPasscodeIssued](t, t.as(agent, domain.IssueTemporaryPasscode{
		UserID: p.userID, MissingAuthenticatorID: missing,
	}))
	t.takePasscode(p, issued.AuthenticatorID)
	return issued.AuthenticatorID
}

func (t *tale) takePasscode(p *person, authenticatorID string) {
	if t.err != nil {
		return
	}
	text, err := t.Journal.TemporaryPasscode(t.ctx, p.userID, authenticatorID)
	p.passcodes[authenticatorID], t.err = domain.Secret(text), err
}
