package delivery

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
)

func utc(text string) time.Time {
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		panic(err)
	}
	return at
}

// optedOutUser is a user with SMS whose opt-out was granted at a moment.
func optedOutUser(t *testing.T, at time.Time) (*ledger, *process) {
	t.Helper()
	l := newLedger(t, at)
	p := l.start()
	l.verifiedPhone(p)
	only[domain.OptOutGranted](t, l.do(domain.RequestOptOut{UserID: l.user, RequestedBy: l.user, AgreementVersion: "1", Acknowledged: true}))
	p.run()
	return l, p
}

func (l *ledger) moves(to, on string) {
	l.t.Helper()
	l.do(domain.RecordResidence{UserID: l.user, To: to, EffectiveOn: on})
}

func (l *ledger) check(p *process) {
	l.t.Helper()
	if err := p.d.CheckRegime(l.t.Context()); err != nil {
		l.t.Fatal(err)
	}
}

// revoked is the one revocation in the log.
func (l *ledger) revoked() domain.OptOutRevoked {
	l.t.Helper()
	list := events[domain.OptOutRevoked](l)
	if len(list) != 1 {
		l.t.Fatalf("%d revocations, want 1", len(list))
	}
	return list[0]
}

// S-16: the day the Hong Kong rule enters into force, at midnight there.
func TestRuleInForceEndsOptOut(t *testing.T) {
	t.Parallel()
	l := newLedger(t, utc("2017-10-26T12:00:00Z"))
	p := l.start()
	l.verifiedPhone(p)
	l.moves("HK", "2017-01-01")
	granted := only[domain.OptOutGranted](t, l.do(domain.RequestOptOut{UserID: l.user, RequestedBy: l.user, AgreementVersion: "1", Acknowledged: true}))
	if granted.Decision.DecisiveRuleID != "DEFAULT-1" {
		t.Fatalf("granted by %s", granted.Decision.DecisiveRuleID)
	}
	p.run()
	l.check(p)
	l.clock.set(utc("2018-04-26T15:59:59.999Z"))
	l.check(p)
	count[domain.OptOutRevoked](l, 0)
	l.clock.set(utc("2018-04-26T16:00:00Z"))
	l.check(p)
	r := l.revoked()
	if r.Cause != "rule_in_force" || !r.EffectiveAt.Equal(utc("2018-04-26T16:00:00Z")) || r.Decision.DecisiveRuleID != "HK-2FA-1" || r.ExposedS != 0 {
		t.Errorf("revoked %+v", r)
	}
	l.check(l.start())
	l.clock.advance(time.Hour)
	l.check(p)
	count[domain.OptOutRevoked](l, 1)
}

// A node that was down when the rule entered into force finds out at start.
func TestStartFindsWhatHappenedMeanwhile(t *testing.T) {
	t.Parallel()
	l := newLedger(t, utc("2017-10-26T12:00:00Z"))
	p := l.start()
	l.verifiedPhone(p)
	l.moves("HK", "2017-01-01")
	l.do(domain.RequestOptOut{UserID: l.user, RequestedBy: l.user, AgreementVersion: "1", Acknowledged: true})
	p.run()
	l.clock.set(utc("2018-04-27T16:00:00Z"))
	l.check(l.start())
	if r := l.revoked(); r.ExposedS != 86400 {
		t.Errorf("exposed %d s, want a day", r.ExposedS)
	}
}

// S-17: moves to India, recorded ten days late.
func TestMoveEndsOptOutFromItsEffectiveDate(t *testing.T) {
	t.Parallel()
	l, p := optedOutUser(t, utc("2024-01-01T00:00:00Z"))
	l.clock.set(utc("2024-03-10T18:30:00Z"))
	l.moves("IN", "2024-03-01")
	p.run()
	l.start().run()
	r := l.revoked()
	if r.Cause != "residence_change" || !r.EffectiveAt.Equal(utc("2024-02-29T18:30:00Z")) || r.ExposedS != 864000 || r.Decision.DecisiveRuleID != "IN-2FA-1" {
		t.Errorf("revoked %+v", r)
	}
	l.clock.set(utc("2024-03-11T00:00:00Z"))
	l.moves("DE", "2024-03-11")
	p.run()
	only[domain.OptOutGranted](t, l.do(domain.RequestOptOut{UserID: l.user, RequestedBy: l.user, AgreementVersion: "1", Acknowledged: true}))
	l.start().run()
	l.check(l.start())
	count[domain.OptOutRevoked](l, 1)
}

// A move announced ahead counts from its date, when nothing is appended.
func TestMoveAnnouncedAheadCountsFromItsDate(t *testing.T) {
	t.Parallel()
	l, p := optedOutUser(t, utc("2024-01-01T00:00:00Z"))
	l.check(p)
	l.moves("IN", "2024-03-01")
	p.run()
	l.clock.set(utc("2024-02-29T18:29:59Z"))
	l.check(p)
	count[domain.OptOutRevoked](l, 0)
	l.clock.set(utc("2024-02-29T18:30:00Z"))
	l.check(p)
	if r := l.revoked(); r.Cause != "residence_change" || r.ExposedS != 0 {
		t.Errorf("revoked %+v", r)
	}
}

func TestFactsOfClientsEndOptOuts(t *testing.T) {
	t.Parallel()
	other := func(l *ledger, kind domain.ClientKind, cc string) string {
		id := "clt_" + l.client[4:len(l.client)-1] + "0"
		l.do(domain.RegisterClient{ClientID: id, Kind: kind, CarryingEntity: cc, CarryingCC: cc})
		return id
	}
	for cause, change := range map[string]func(l *ledger, p *process){
		"carrying_entity_change": func(l *ledger, _ *process) {
			l.do(domain.AssignCarryingEntity{ClientID: l.client, CarryingEntity: "HK", CarryingCC: "HK", EffectiveOn: "2024-01-01"})
		},
		"access_granted": func(l *ledger, _ *process) {
			l.do(domain.GrantAccountAccess{UserID: l.user, ClientID: other(l, domain.Individual, "HK"), EffectiveOn: "2024-01-01"})
		},
		"carrying_entity_change of a client with access": func(l *ledger, p *process) {
			id := other(l, domain.Individual, "IE")
			l.do(domain.GrantAccountAccess{UserID: l.user, ClientID: id, EffectiveOn: "2024-01-01"})
			p.run()
			l.do(domain.AssignCarryingEntity{ClientID: id, CarryingEntity: "HK", CarryingCC: "HK", EffectiveOn: "2024-01-01"})
		},
	} {
		t.Run(cause, func(t *testing.T) {
			t.Parallel()
			l, p := optedOutUser(t, utc("2024-02-01T00:00:00Z"))
			change(l, p)
			p.run()
			l.start().run()
			if r := l.revoked(); r.Cause != cause[:len(r.Cause)] || r.Decision.DecisiveRuleID != "HK-2FA-1" {
				t.Errorf("revoked %+v", r)
			}
		})
	}
}

// A change at a client nobody opted out has to do with leads to nothing.
func TestOtherClientsDoNotMatter(t *testing.T) {
	t.Parallel()
	l, p := optedOutUser(t, utc("2024-02-01T00:00:00Z"))
	id := "clt_" + l.client[4:len(l.client)-1] + "0"
	l.do(domain.RegisterClient{ClientID: id, Kind: domain.Joint, CarryingEntity: "IE", CarryingCC: "IE"})
	l.do(domain.AddHolder{ClientID: id, PersonRef: "P", Residence: "HK", EffectiveOn: "2024-01-01"})
	p.run()
	count[domain.OptOutRevoked](l, 0)
	// Nor do they take the blame for what another fact brings about.
	l.moves("IN", "2024-03-01")
	p.run()
	l.clock.set(utc("2024-03-02T00:00:00Z"))
	l.do(domain.AddHolder{ClientID: id, PersonRef: "P2", Residence: "HK", EffectiveOn: "2024-01-01"})
	p.run()
	count[domain.OptOutRevoked](l, 0)
	l.check(p)
	if r := l.revoked(); r.Cause != "residence_change" {
		t.Errorf("revoked %+v", r)
	}
}

func TestHolderInMandatoryRegimeEndsOptOut(t *testing.T) {
	t.Parallel()
	l := newLedger(t, utc("2024-02-01T00:00:00Z"))
	joint := "clt_" + l.client[4:len(l.client)-1] + "0"
	l.user = "usr_" + l.user[4:len(l.user)-1] + "0"
	l.do(domain.RegisterClient{ClientID: joint, Kind: domain.Joint, CarryingEntity: "IE", CarryingCC: "IE"})
	l.do(domain.AddHolder{ClientID: joint, PersonRef: "P1", Residence: "DE", EffectiveOn: "2024-01-01"})
	l.do(domain.RegisterUser{UserID: l.user, ClientID: joint, Role: domain.RoleOwner, Locale: "de", Residence: "DE", ResidentOn: "2000-01-01"})
	p := l.start()
	l.verifiedPhone(p)
	only[domain.OptOutGranted](t, l.do(domain.RequestOptOut{UserID: l.user, RequestedBy: l.user, AgreementVersion: "1", Acknowledged: true}))
	p.run()
	l.do(domain.AddHolder{ClientID: joint, PersonRef: "P2", Residence: "HK", EffectiveOn: "2024-01-01"})
	p.run()
	if r := l.revoked(); r.Cause != "holder_added" {
		t.Errorf("revoked %+v", r)
	}
}

// A check that fails is made up for, also when nothing new became due.
func TestFailedCheckIsRepeated(t *testing.T) {
	t.Parallel()
	l, p := optedOutUser(t, utc("2024-01-01T00:00:00Z"))
	l.check(p)
	l.moves("IN", "2024-03-01")
	p.run()
	l.clock.set(utc("2024-03-01T00:00:00Z"))
	p.journal.before = "ReevaluateRegime"
	if err := p.d.CheckRegime(t.Context()); !errors.Is(err, errCrash) {
		t.Fatalf("error %v, want the outage", err)
	}
	p.journal.before = ""
	l.check(p)
	l.revoked()
}

// Between two midnights anywhere nothing is asked.
func TestChecksAskOnlyWhenSomethingCanHaveChanged(t *testing.T) {
	t.Parallel()
	l, p := optedOutUser(t, utc("2024-01-01T10:00:00Z"))
	asked := 0
	p.d.regime.c.OptedOut = func(ctx context.Context, least eventstore.Position) ([]string, error) {
		asked++
		return l.optedOut(ctx, least)
	}
	for _, at := range []string{"10:00:00", "10:00:01", "10:14:59", "10:15:00", "10:29:59", "10:30:00"} {
		l.clock.set(utc("2024-01-01T" + at + "Z"))
		l.check(p)
	}
	if asked != 3 {
		t.Errorf("asked %d times, want 3", asked)
	}
}

func TestRegimeRunsAtStartAndAtTicks(t *testing.T) {
	t.Parallel()
	l, p := optedOutUser(t, utc("2024-01-01T00:00:00Z"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ticks, ended := make(chan time.Time), make(chan struct{})
	go func() { p.d.RunRegime(ctx, ticks); close(ended) }()
	ticks <- l.clock.now() // taken after the check at start
	l.moves("IN", "2024-03-01")
	l.clock.set(utc("2024-03-01T00:00:00Z"))
	ticks <- l.clock.now()
	ticks <- l.clock.now() // taken after the check of the tick before
	l.revoked()
	cancel()
	<-ended
	close(ticks)
	p.d.RunRegime(t.Context(), ticks)
}
