package demo

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/nyaruka/phonenumbers"
)

// country is where a share of the users lives.
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
}

// person is one user and what the simulation knows about them.
type person struct {
	n        int
	home     country
	clientID string
	userID   string
	phoneID  string
	phone    *handset // set once IB Key is active
}

// plan puts everything every user will do on the agenda.
func (w *world) plan() *agenda {
	a := &agenda{}
	span := w.To.Sub(w.From)
	for n := range w.Users {
		p := &person{n: n + 1, home: w.country(n)}
		joined := w.From.Add(time.Duration(w.rng.Int64N(int64(span / 3))))
		a.add(joined, func(ctx context.Context) error { return w.join(ctx, p) })
		if w.chance(65) {
			at := joined.Add(time.Hour + time.Duration(w.rng.Int64N(int64(5*24*time.Hour))))
			a.add(at, func(ctx context.Context) error { return w.activate(ctx, p) })
		}
		if w.chance(p.home.optOuts) {
			w.planOptOut(a, p, joined)
		}
		w.planLogins(a, p, joined)
	}
	return a
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

func (w *world) planOptOut(a *agenda, p *person, joined time.Time) {
	at := joined.Add(7*24*time.Hour + time.Duration(w.rng.Int64N(int64(20*24*time.Hour))))
	a.add(at, func(ctx context.Context) error { return w.optOut(ctx, p) })
	if w.chance(35) {
		back := at.Add(24*time.Hour + time.Duration(w.rng.Int64N(int64(15*24*time.Hour))))
		if back.Before(w.To) {
			a.add(back, func(ctx context.Context) error { return w.optBackIn(ctx, p) })
		}
	}
}

// planLogins gives everybody a habit: some log in every other day, most weekly.
func (w *world) planLogins(a *agenda, p *person, joined time.Time) {
	every := pick(w, []time.Duration{50 * time.Hour, 150 * time.Hour, 200 * time.Hour, 300 * time.Hour})
	for at := joined.Add(2 * time.Hour); at.Before(w.To.Add(-time.Hour)); {
		a.add(at, func(ctx context.Context) error { return w.login(ctx, p) })
		at = at.Add(every/2 + time.Duration(w.rng.Int64N(int64(every))))
	}
	if w.chance(3) {
		at := joined.Add(24*time.Hour + time.Duration(w.rng.Int64N(int64(30*24*time.Hour))))
		a.add(at, func(ctx context.Context) error { return w.guessPassword(ctx, p) })
	}
}

// join registers the client and the user and verifies a phone.
func (w *world) join(ctx context.Context, p *person) error {
	p.clientID, p.userID = ClientID(p.n), codec.UserIDOf(reference(p.n))
	kind, domicile := domain.Individual, ""
	if p.n%17 == 0 {
		kind, domicile = domain.Organisation, p.home.cc
	}
	_, err := w.do(ctx, domain.RegisterClient{
		ClientID: p.clientID, Kind: kind, CarryingEntity: p.home.entity, CarryingCC: p.home.carrying, Domicile: domicile,
	})
	if err != nil {
		return err
	}
	_, err = w.do(ctx, domain.RegisterUser{
		UserID: p.userID, ClientID: p.clientID, Role: domain.RoleOwner, Username: domain.Clear("demo" + strconv.Itoa(p.n)),
		Locale: p.home.locale, Residence: p.home.cc,
	})
	if err != nil {
		return err
	}
	number, err := phoneNumber(p.home.cc, p.n)
	if err != nil {
		return err
	}
	out, err := w.do(ctx, domain.AddPhone{UserID: p.userID, CC: p.home.cc, Number: domain.Clear(number), Line: domain.LineMobile})
	if err != nil {
		return err
	}
	added, _ := find[domain.PhoneNumberAdded](out)
	p.phoneID = added.PhoneID
	return w.verifyPhone(ctx, p)
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
func (w *world) verifyPhone(ctx context.Context, p *person) error {
	out, err := w.do(ctx, domain.StartPhoneVerification{PhoneID: p.phoneID})
	if err != nil {
		return err
	}
	issued, ok := find[domain.ConfirmCodeIssued](out)
	if !ok {
		return nil
	}
	code, err := w.code(ctx, domain.PurposePhoneVerification, issued.VerificationID, domain.Issued{Seq: issued.Seq, Kid: issued.Kid})
	if err != nil {
		return err
	}
	w.pause(10*time.Second, 90*time.Second)
	if w.chance(8) {
		if _, err := w.do(ctx, domain.ConfirmPhone{VerificationID: issued.VerificationID, Code: domain.Secret(slip(code))}); err != nil {
			return err
		}
	}
	_, err = w.do(ctx, domain.ConfirmPhone{VerificationID: issued.VerificationID, Code: domain.Secret(code)})
	return err
}

func (w *world) code(ctx context.Context, purpose domain.Purpose, subject string, issued domain.Issued) (string, error) {
	return w.Journal.CodeText(ctx, purpose, subject, issued)
}

// slip turns a code into one that differs in its last character.
func slip(code string) string {
	last := code[len(code)-1]
	if last == '7' {
		return code[:len(code)-1] + "3"
	}
	return code[:len(code)-1] + "7"
}

func (w *world) optOut(ctx context.Context, p *person) error {
	_, err := w.do(ctx, domain.RequestOptOut{
		UserID: p.userID, RequestedBy: p.userID, AgreementVersion: "2024-1", Acknowledged: !w.chance(10),
	})
	return err
}

func (w *world) optBackIn(ctx context.Context, p *person) error {
	_, err := w.do(ctx, domain.OptBackIn{UserID: p.userID, By: p.userID})
	return err
}

// ClientID is the id of the n-th demo client, from 1.
func ClientID(n int) string { return codec.ClientIDOf(reference(n)) }

// reference is the broker's reference of the n-th client and user.
func reference(n int) string { return fmt.Sprintf("DEMO-%04d", n) }
