package delivery

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/authledger/authledger/domain"
)

// deadlines gives a process the lists it checks: the units and users named,
// whatever has become of them.
func (p *process) deadlines(due []Due, expired []string) {
	p.d.c.DueDevices = func(context.Context, time.Time) ([]Due, error) { return due, nil }
	p.d.c.ExpiredProcesses = func(context.Context, time.Time) ([]string, error) { return expired, nil }
}

func (p *process) checkDeadlines() {
	p.l.t.Helper()
	if err := p.d.CheckDeadlines(p.l.t.Context()); err != nil {
		p.l.t.Fatal(err)
	}
}

// D-29: fourteen days after its dispatch a card is required anyway.
func TestCardBecomesActiveByTime(t *testing.T) {
	t.Parallel()
	l := newLedger(t, noon)
	p := l.start()
	l.verifiedPhone(p)
	card := l.unitOf(cardKey)
	l.shipped(p, card)
	p.deadlines([]Due{{UserID: l.user, DeviceID: card}}, nil)
	l.clock.set(utc("2026-12-06T23:59:59Z"))
	p.checkDeadlines()
	l.expectLivesAt("card", l.device(card).Bindings)
	l.clock.set(utc("2026-12-07T00:00:00Z"))
	for range 3 {
		p.checkDeadlines()
	}
	other := l.start()
	other.deadlines([]Due{{UserID: l.user, DeviceID: card}}, nil)
	other.checkDeadlines()
	p.run()
	enrolled := events[domain.AuthenticatorEnrolled](l)
	last := enrolled[len(enrolled)-1]
	if len(enrolled) != 2 || last.Kind != domain.KindDSCPlus || last.Trigger != "auto_14_days" || last.DeviceID != card {
		t.Errorf("enrolled %+v", enrolled)
	}
	l.expectLivesAt("card", l.device(card).Bindings, last.AuthenticatorID)
	l.expectQuiet()
}

// A card that came back and went to somebody else is not activated for the
// first user, though it was once on its way there; and one that is sent to the
// same user again is activated again.
func TestCardIsActivatedForWhoeverHasIt(t *testing.T) {
	t.Parallel()
	l := newLedger(t, noon)
	p := l.start()
	l.verifiedPhone(p)
	card, first := l.unitOf(cardKey), l.user
	returns := func() {
		l.do(domain.RecordDeviceReturned{DeviceID: card, ReceivedOn: l.clock.now().Format(time.DateOnly), Condition: "ok"})
		p.run()
	}
	l.shipped(p, card)
	l.clock.advance(20 * 24 * time.Hour)
	returns()
	p.deadlines([]Due{{UserID: first, DeviceID: card}}, nil)
	p.checkDeadlines()
	second := l.another("U2")
	l.verifiedPhone(p)
	l.shipped(p, card)
	l.clock.advance(20 * 24 * time.Hour)
	p.checkDeadlines()
	l.expectLivesAt("card", l.device(card).Bindings)
	p.deadlines([]Due{{UserID: first, DeviceID: card}, {UserID: second, DeviceID: card}}, nil)
	for range 2 {
		p.checkDeadlines()
		p.run()
		if b := l.device(card).Bindings; len(b) != 1 || b[0].UserID != second {
			t.Fatalf("bound %+v, want the second user alone", b)
		}
		returns()
		l.expectLivesAt("card", l.device(card).Bindings)
		l.shipped(p, card)
		l.clock.advance(20 * 24 * time.Hour)
	}
}

func TestWhatHasExpiredIsNotedOnce(t *testing.T) {
	t.Parallel()
	l := newLedger(t, noon)
	p := l.start()
	l.verifiedPhone(p)
	challenge := only[domain.ChallengeIssued](t, l.login(domain.ClientPortal))
	p.run()
	// By user or by what has expired, several times the same.
	p.deadlines(nil, []string{l.user, challenge.ChallengeID, challenge.ChallengeID, "nonsense"})
	p.checkDeadlines()
	count[domain.ChallengeExpired](l, 0)
	l.clock.set(challenge.ExpiresAt)
	for range 3 {
		p.checkDeadlines()
		l.clock.advance(20 * time.Second)
	}
	count[domain.ChallengeExpired](l, 1)
	again := only[domain.ChallengeIssued](t, l.login(domain.ClientPortal))
	l.clock.set(again.ExpiresAt)
	p.checkDeadlines()
	count[domain.ChallengeExpired](l, 2)
}

func TestOneFailureDoesNotKeepTheOthersWaiting(t *testing.T) {
	t.Parallel()
	l := newLedger(t, noon)
	p := l.start()
	l.verifiedPhone(p)
	challenge := only[domain.ChallengeIssued](t, l.login(domain.ClientPortal))
	card := l.unitOf(cardKey)
	l.shipped(p, card)
	l.clock.advance(15 * 24 * time.Hour)
	due := []Due{{UserID: l.user, DeviceID: card}}
	p.deadlines(due, []string{challenge.ChallengeID})
	p.journal.before = "AutoActivateDevice"
	if err := p.d.CheckDeadlines(t.Context()); !errors.Is(err, errCrash) {
		t.Errorf("error %v, want the outage", err)
	}
	count[domain.ChallengeExpired](l, 1)
	p.journal.before = "TidyUser"
	if err := p.d.CheckDeadlines(t.Context()); !errors.Is(err, errCrash) {
		t.Errorf("error %v, want the outage", err)
	}
	count[domain.AuthenticatorEnrolled](l, 2)
	for _, broken := range []func(){
		func() { p.d.c.DueDevices = func(context.Context, time.Time) ([]Due, error) { return nil, errCrash } },
		func() {
			p.deadlines(due, nil)
			p.d.c.ExpiredProcesses = func(context.Context, time.Time) ([]string, error) { return nil, errCrash }
		},
	} {
		p.journal.before = ""
		broken()
		if err := p.d.CheckDeadlines(t.Context()); !errors.Is(err, errCrash) {
			t.Errorf("error %v, want that of the list", err)
		}
	}
}

// Users and units that do not exist, or no longer, are passed over.
func TestUnknownDeadlinesArePassedOver(t *testing.T) {
	t.Parallel()
	l := newLedger(t, noon)
	p := l.start()
	l.verifiedPhone(p)
	card := l.unitOf(cardKey)
	l.shipped(p, card)
	l.clock.advance(15 * 24 * time.Hour)
	l.do(domain.CloseUser{UserID: l.user, Reason: "account_closed"})
	p.run()
	stranger := domain.UserID("vvvvvvvvvvvvvvvvvvvvvvvvvv")
	p.deadlines([]Due{{UserID: l.user, DeviceID: card}, {UserID: stranger, DeviceID: card}, {UserID: "x", DeviceID: "y"}}, []string{l.user, stranger})
	before := l.types()
	p.checkDeadlines()
	if after := l.types(); after["AuthenticatorEnrolled"] != before["AuthenticatorEnrolled"] || after["ChallengeExpired"] != 0 {
		t.Errorf("events %v", after)
	}
}

func TestDeadlinesRunAtStartAndAtTicks(t *testing.T) {
	t.Parallel()
	l := newLedger(t, noon)
	p := l.start()
	l.verifiedPhone(p)
	challenge := only[domain.ChallengeIssued](t, l.login(domain.ClientPortal))
	p.deadlines(nil, []string{challenge.ChallengeID})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ticks, ended := make(chan time.Time), make(chan struct{})
	go func() { p.d.RunDeadlines(ctx, ticks); close(ended) }()
	ticks <- l.clock.now() // taken after the check at start
	l.clock.set(challenge.ExpiresAt)
	ticks <- l.clock.now()
	ticks <- l.clock.now() // taken after the check of the tick before
	count[domain.ChallengeExpired](l, 1)
	cancel()
	<-ended
	// A node without lists has nothing to wait for.
	l.start().d.RunDeadlines(t.Context(), ticks)
	if err := l.start().d.CheckDeadlines(t.Context()); err != nil {
		t.Error(err)
	}
}
