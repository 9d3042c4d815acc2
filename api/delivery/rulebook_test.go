package delivery

import (
	"testing"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/journal"
)

var deny = domain.Effect{Name: domain.EffectDeny}

// Compliance changes the rule book: everybody is asked again at once.
func TestChangeOfTheRuleBookEndsOptOuts(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(l *ledger, p *process){
		"published": func(l *ledger, _ *process) { l.publish(rule("DE-2FA-1", "DE", "2024-01-15", deny)) },
		"amended": func(l *ledger, p *process) {
			l.publish(rule("DE-2FA-1", "DE", "2024-01-15", domain.Effect{Name: "advise_2fa"}))
			p.run()
			count[domain.OptOutRevoked](l, 0)
			next := rule("DE-2FA-1", "DE", "2024-01-15", deny)
			next.Version = 2
			only[domain.PolicyRuleAmended](l.t, l.as(domain.ActorCompliance, domain.AmendRule{Rule: next}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, p := optedOutUser(t, utc("2024-02-01T00:00:00Z"))
			l.clock.advance(time.Hour)
			change(l, p)
			p.run()
			l.expectQuiet()
			r := l.revoked()
			if r.Cause != "rule_in_force" || r.Decision.DecisiveRuleID != "DE-2FA-1" || r.ExposedS != 3600 || r.Decision.PolicyVersion < 2 {
				t.Errorf("revoked %+v", r)
			}
		})
	}
}

// A rule that is withdrawn, or about others, or not in force yet, ends nothing.
func TestOtherChangesOfTheRuleBookEndNothing(t *testing.T) {
	t.Parallel()
	l, p := optedOutUser(t, utc("2024-02-01T00:00:00Z"))
	l.publish(rule("FR-2FA-1", "FR", "2024-01-15", deny))
	l.publish(rule("DE-2FA-1", "DE", "2024-03-01", deny))
	p.run()
	only[domain.PolicyRuleWithdrawn](t, l.as(domain.ActorCompliance, domain.WithdrawRule{RuleID: "DE-2FA-1", Reason: "error", EffectiveOn: "2024-03-01"}))
	p.run()
	count[domain.OptOutRevoked](l, 0)
	// Its day comes, and nothing with it.
	l.clock.set(utc("2024-03-02T00:00:00Z"))
	l.check(p)
	count[domain.OptOutRevoked](l, 0)
}

// A rule published ahead of its day ends opt-outs on that day.
func TestRulePublishedAheadEndsOptOutsOnItsDay(t *testing.T) {
	t.Parallel()
	l, p := optedOutUser(t, utc("2024-02-01T00:00:00Z"))
	l.check(p)
	l.publish(rule("DE-2FA-1", "DE", "2024-03-01", deny))
	p.run()
	count[domain.OptOutRevoked](l, 0)
	l.clock.set(utc("2024-03-01T00:00:00Z"))
	l.check(p)
	if r := l.revoked(); r.Cause != "rule_in_force" || r.ExposedS != 0 {
		t.Errorf("revoked %+v", r)
	}
}

// The record of a rule may come from another node; the reaction decides by a
// policy that includes it.
func TestRuleOfAnotherNodeCounts(t *testing.T) {
	t.Parallel()
	l, _ := optedOutUser(t, utc("2024-02-01T00:00:00Z"))
	other, err := journal.New(journal.Config{Store: l.store, Codec: l.codec, Keyring: l.keys, Policy: l.policy, Clock: l.clock.now})
	if err != nil {
		t.Fatal(err)
	}
	before := other.Policy().Version
	l.publish(rule("DE-2FA-1", "DE", "2024-01-15", deny))
	if other.Policy().Version != before {
		t.Fatal("the other node knows already")
	}
	l.startOn(other).run()
	if r := l.revoked(); r.Decision.PolicyVersion != before+1 {
		t.Errorf("revoked by policy %d, want %d", r.Decision.PolicyVersion, before+1)
	}
}

// otherClient is a client of its own with one opted-out user, who acts.
func (l *ledger) otherClient(p *process, kind domain.ClientKind, domicile string) {
	l.t.Helper()
	l.client = codec.ClientIDOf("C2")
	l.do(domain.RegisterClient{ClientID: l.client, Kind: kind, CarryingEntity: "IE", CarryingCC: "IE", Domicile: domicile})
	if kind == domain.Joint {
		l.do(domain.AddHolder{ClientID: l.client, PersonRef: "P1", Residence: "DE", EffectiveOn: "2024-01-01"})
	}
	l.another("U9")
	l.verifiedPhone(p)
	only[domain.OptOutGranted](l.t, l.do(domain.RequestOptOut{UserID: l.user, RequestedBy: l.user, AgreementVersion: "1", Acknowledged: true}))
	p.run()
}

func TestMoveOfAHolderOrSeatEndsOptOuts(t *testing.T) {
	t.Parallel()
	for cause, c := range map[string]struct {
		kind     domain.ClientKind
		domicile string
		move     func(l *ledger) domain.Command
	}{
		"residence_change": {domain.Joint, "", func(l *ledger) domain.Command {
			return domain.RecordHolderResidence{ClientID: l.client, PersonRef: "P1", To: "HK", EffectiveOn: "2024-01-01"}
		}},
		"domicile_change": {domain.Organisation, "DE", func(l *ledger) domain.Command {
			return domain.RecordDomicile{ClientID: l.client, To: "HK", EffectiveOn: "2024-01-01"}
		}},
	} {
		t.Run(cause, func(t *testing.T) {
			t.Parallel()
			l, p := optedOutUser(t, utc("2024-02-01T00:00:00Z"))
			l.otherClient(p, c.kind, c.domicile)
			l.do(c.move(l))
			p.run()
			l.expectQuiet()
			if r := l.revoked(); r.Cause != cause || r.Decision.DecisiveRuleID != "HK-2FA-1" {
				t.Errorf("revoked %+v", r)
			}
		})
	}
}

// Who may only act on a client's accounts does not answer for its holders.
func TestHolderOfAnAccessibleClientDoesNotMatter(t *testing.T) {
	t.Parallel()
	l, p := optedOutUser(t, utc("2024-02-01T00:00:00Z"))
	id := codec.ClientIDOf("C2")
	l.do(domain.RegisterClient{ClientID: id, Kind: domain.Joint, CarryingEntity: "IE", CarryingCC: "IE"})
	l.do(domain.GrantAccountAccess{UserID: l.user, ClientID: id, EffectiveOn: "2024-01-01"})
	p.run()
	l.moves("IN", "2024-03-01")
	p.run()
	l.clock.set(utc("2024-03-02T00:00:00Z"))
	l.do(domain.AddHolder{ClientID: id, PersonRef: "P", Residence: "HK", EffectiveOn: "2024-01-01"})
	p.run()
	count[domain.OptOutRevoked](l, 0)
}
