package demo

import (
	"fmt"
	"strconv"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/nyaruka/phonenumbers"
)

// country is where users live.
type country struct {
	cc, entity, carrying string
	locale               string
	share                int // of 100
	optOuts              int // percent of users who ask
}

var countries = []country{
	{cc: "HK", entity: "IB-HK", carrying: "HK", locale: "zh-Hant", share: 25, optOuts: 12},
	{cc: "IN", entity: "IB-IN", carrying: "IN", locale: "en", share: 20, optOuts: 12},
	{cc: "DE", entity: "IB-IE", carrying: "IE", locale: "de", share: 20, optOuts: 18},
	{cc: "US", entity: "IB-LLC", carrying: "US", locale: "en", share: 20, optOuts: 15},
	{cc: "JP", entity: "IB-JP", carrying: "JP", locale: "ja", share: 15, optOuts: 10},
	// Only people of stories live here.
	{cc: "CH", entity: "IB-IE", carrying: "IE", locale: "de"},
	{cc: "SG", entity: "IB-SG", carrying: "SG", locale: "en"},
}

func countryOf(cc string) country {
	for _, c := range countries {
		if c.cc == cc {
			return c
		}
	}
	return countries[0]
}

// person is one user and what the simulation knows about them: what they have
// in their pockets.
type person struct {
	role
	home     country
	clientID string
	userID   string
	phoneID  string // the newest verified one
	phones   int

	app       *installation       // where IB Key is active
	unit      *unit               // Digital Security Card+
	cards     map[string][]string // cells of code cards, by authenticator
	passcodes map[string]domain.Secret
	choice    domain.Kind // what they take when several are offered; empty for the strongest
	busy      bool        // in a story: no logins beside it
	gone      bool        // closed; does not come back
}

// role is a user's part: who they are for the broker.
type role struct {
	n        int // of the user; the broker's reference is DEMO-n
	cc       string
	client   int // number of the user whose client this one belongs to; 0 for their own
	kind     domain.ClientKind
	domicile string
	as       domain.Role
	nowhere  bool // residence unknown
	silent   bool // no phone verified
}

// plan puts everything every user will do on the agenda.
func (w *world) plan() {
	span := w.To.Sub(w.From)
	people := make([]*person, w.Users)
	for i := range people {
		people[i] = &person{role: role{n: i + 1, cc: w.country(i).cc}, cards: map[string][]string{}, passcodes: map[string]domain.Secret{}}
		if p := people[i]; p.n%17 == 0 {
			p.kind, p.domicile = domain.Organisation, p.cc
		}
	}
	joins := w.planStories(people)
	for _, p := range people {
		p.home, p.userID = countryOf(p.cc), codec.UserIDOf(reference(p.n))
		w.people[p.userID] = p
		joined, cast := joins[p.n]
		if !cast {
			joined = w.From.Add(w.some(span / 3))
		}
		w.agenda.add(joined, func(t *tale) { t.join(p) })
		if !joined.Before(w.From) { // who joined long ago does what their story says
			w.planLogins(p, joined)
		}
		if !cast {
			w.planHabits(p, joined)
		}
	}
}

// country deals countries out by share, in a fixed pattern.
func (w *world) country(n int) country {
	place := n * 37 % 100
	for _, c := range countries {
		if place < c.share {
			return c
		}
		place -= c.share
	}
	return countries[0]
}

// planHabits is what people without a story do beside logging in.
func (w *world) planHabits(p *person, joined time.Time) {
	if w.chance(65) {
		w.agenda.add(joined.Add(time.Hour+w.some(5*day)), func(t *tale) { t.getApp(p) })
	}
	if w.chance(p.home.optOuts) {
		at := joined.Add(7*day + w.some(20*day))
		w.agenda.add(at, func(t *tale) { t.optOut(p) })
		if back := at.Add(day + w.some(15*day)); w.chance(35) && back.Before(w.To) {
			w.agenda.add(back, func(t *tale) { t.do(domain.OptBackIn{UserID: p.userID, By: p.userID}) })
		}
	}
	if w.chance(3) {
		w.agenda.add(joined.Add(day+w.some(30*day)), func(t *tale) { t.guessPassword(p) })
	}
}

// planLogins gives everybody a habit: some log in every other day, most weekly.
func (w *world) planLogins(p *person, joined time.Time) {
	every := pick(w, []time.Duration{44 * time.Hour, 130 * time.Hour, 180 * time.Hour, 260 * time.Hour})
	for at := joined.Add(12 * time.Hour); at.Before(w.To.Add(-time.Hour)); {
		w.agenda.add(at, func(t *tale) { t.visit(p) })
		at = at.Add(every/2 + w.some(every))
	}
}

// join registers the client and the user and verifies a phone.
func (t *tale) join(p *person) {
	p.clientID = ClientID(p.n)
	if p.client != 0 {
		p.clientID = ClientID(p.client)
	}
	if p.kind == "" {
		p.kind = domain.Individual
	}
	if p.as == "" {
		p.as = domain.RoleOwner
	}
	if p.client == 0 {
		t.do(domain.RegisterClient{
			ClientID: p.clientID, Kind: p.kind, CarryingEntity: p.home.entity, CarryingCC: p.home.carrying, Domicile: p.domicile,
		})
	}
	c := domain.RegisterUser{
		UserID: p.userID, ClientID: p.clientID, Role: p.as, Username: domain.Clear("demo" + strconv.Itoa(p.n)), Locale: p.home.locale,
		Residence: p.home.cc,
	}
	if p.nowhere {
		c.Residence = ""
	}
	t.do(c)
	if !p.silent {
		t.verifyPhone(p, t.addPhone(p))
	}
}

// addPhone adds a number of the user's country.
func (t *tale) addPhone(p *person) string {
	number, err := phoneNumber(p.home.cc, p.n+1000*p.phones)
	if err != nil {
		t.fail("make a telephone number: %w", err)
	}
	p.phones++
	return need[domain.PhoneNumberAdded](t, t.do(domain.AddPhone{
		UserID: p.userID, CC: p.home.cc, Number: domain.Clear(number), Line: domain.LineMobile,
	})).PhoneID
}

// phoneNumber makes the n-th number of a country from the example number of
// the numbering plan; nothing is ever sent to it.
func phoneNumber(cc string, n int) (string, error) {
	example := phonenumbers.GetExampleNumberForType(cc, phonenumbers.MOBILE)
	if example == nil {
		return "", fmt.Errorf("no example mobile number for %s", cc)
	}
	text := phonenumbers.Format(example, phonenumbers.E164)
	return text[:len(text)-4] + fmt.Sprintf("%04d", n%10000), nil
}

// verifyPhone answers the confirm code, sometimes after a slip.
func (t *tale) verifyPhone(p *person, phoneID string) {
	out := t.do(domain.StartPhoneVerification{PhoneID: phoneID})
	issued := need[domain.ConfirmCodeIssued](t, out)
	code := t.confirmCode(issued)
	t.pause(10*time.Second, 90*time.Second)
	if t.chance(8) {
		t.do(domain.ConfirmPhone{VerificationID: issued.VerificationID, Code: slip(code)})
	}
	need[domain.PhoneNumberVerified](t, t.do(domain.ConfirmPhone{VerificationID: issued.VerificationID, Code: code}))
	p.phoneID = phoneID
}

func (t *tale) confirmCode(e domain.ConfirmCodeIssued) domain.Secret {
	return t.code(domain.PurposePhoneVerification, e.VerificationID, domain.Issued{Seq: e.Seq, Kid: e.Kid, Len: e.CodeLen})
}

// code is the text of a code that went out.
func (t *tale) code(purpose domain.Purpose, subject string, issued domain.Issued) domain.Secret {
	if t.err != nil {
		return ""
	}
	text, err := t.Journal.CodeText(t.ctx, purpose, subject, issued)
	t.err = err
	return domain.Secret(text)
}

// slip turns a code into one that differs in its last character.
func slip(code domain.Secret) domain.Secret {
	if code == "" {
		return ""
	}
	last := len(code) - 1
	if code[last] == '7' {
		return code[:last] + "3"
	}
	return code[:last] + "7"
}

func (t *tale) optOut(p *person) (domain.OptOutGranted, bool) {
	return find[domain.OptOutGranted](t.do(domain.RequestOptOut{
		UserID: p.userID, RequestedBy: p.userID, AgreementVersion: "2024-1", Acknowledged: p.busy || !t.chance(10),
	}))
}

// ClientID is the id of the n-th demo client, from 1.
func ClientID(n int) string { return codec.ClientIDOf(reference(n)) }

// reference is the broker's reference of the n-th client and user.
func reference(n int) string { return fmt.Sprintf("DEMO-%04d", n) }
