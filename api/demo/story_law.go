package demo

import (
	"time"

	"github.com/authledger/authledger/domain"
)

// Stories of opting out, of the law that forbids it, and of the rule book.

// granted is an opt-out that must be granted.
func (t *tale) granted(p *person) {
	out := t.do(domain.RequestOptOut{UserID: p.userID, RequestedBy: p.userID, AgreementVersion: "2024-1", Acknowledged: true})
	need[domain.OptOutGranted](t, out)
}

// denied is one that must not be.
func (t *tale) denied(p *person, by *person, acknowledged bool) domain.OptOutDenied {
	return need[domain.OptOutDenied](t, t.do(domain.RequestOptOut{
		UserID: p.userID, RequestedBy: by.userID, AgreementVersion: "2024-1", Acknowledged: acknowledged,
	}))
}

// revoked waits for the processes that check opt-outs, which look once a day.
func (t *tale) revoked(p *person, within time.Duration) {
	t.sleep(within)
	t.user(p, func(u *domain.User, now time.Time) {
		if u.OptedOut(now) != nil {
			t.fail("DEMO-%04d is still opted out", p.n)
		}
	})
}

// on is a date some days from now.
func (t *tale) on(days int) string { return t.Clock.Now().AddDate(0, 0, days).Format(time.DateOnly) }

// tellHongKong: nobody opts out there.
func tellHongKong(t *tale, cast []*person) {
	p := cast[0]
	t.getIBKey(p, domain.IOS)
	t.denied(p, p, true)
	need[domain.OptBackInRefused](t, t.do(domain.OptBackIn{UserID: p.userID, By: p.userID}))
	t.sleep(20 * day)
	t.denied(p, p, true)
}

// tellMoveToHongKong: recorded ten days late; the ledger shows the window.
func tellMoveToHongKong(t *tale, cast []*person) {
	p := cast[0]
	t.getIBKey(p, domain.Android)
	t.denied(p, p, false) // the agreement is missing
	t.granted(p)
	t.sleep(12 * day)
	unattended := domain.StartAuthentication{
		UserID: p.userID, Purpose: domain.PurposeLogin, Platform: domain.TWS, ClientVersion: "1030", ReleaseChannel: domain.Stable,
		PrimaryVerified: true, WaiverOnly: true,
	}
	need[domain.SecondFactorWaived](t, t.do(unattended))
	t.do(domain.RecordResidence{UserID: p.userID, To: "HK", EffectiveOn: t.on(-10), EvidenceRef: "move-" + reference(p.n)})
	t.revoked(p, time.Hour)
	need[domain.AuthenticationFailed](t, t.do(unattended))
	t.login(p, domain.TWS)
}

// tellMoveToIndia: recorded ahead; nothing happens before the day.
func tellMoveToIndia(t *tale, cast []*person) {
	p := cast[0]
	t.granted(p)
	t.do(domain.RecordResidence{UserID: p.userID, To: "IN", EffectiveOn: t.on(6), EvidenceRef: "move-" + reference(p.n)})
	t.sleep(3 * day)
	need[domain.SecondFactorWaived](t, t.open(p, domain.TWS, true))
	t.revoked(p, 5*day)
	t.login(p, domain.TWS)
}

// tellJoint: one holder of a joint account moves, and leaves later.
func tellJoint(t *tale, cast []*person) {
	p := cast[0]
	for _, ref := range []string{"holder-a", "holder-b"} {
		t.do(domain.AddHolder{ClientID: p.clientID, PersonRef: ref, Residence: "DE", EffectiveOn: t.on(-1)})
	}
	t.granted(p)
	t.sleep(8 * day)
	t.do(domain.RecordHolderResidence{ClientID: p.clientID, PersonRef: "holder-b", To: "HK", EffectiveOn: t.on(0), EvidenceRef: "move-holder-b"})
	t.revoked(p, 2*day)
	t.denied(p, p, true)
	t.do(domain.RemoveHolder{ClientID: p.clientID, PersonRef: "holder-b", EffectiveOn: t.on(0)})
	t.sleep(2 * day)
	t.granted(p)
}

// tellSeat: an organisation moves its seat; who may ask for its users before.
func tellSeat(t *tale, cast []*person) {
	owner, officer, delegate := cast[0], cast[1], cast[2]
	t.denied(delegate, delegate, true)
	for _, p := range []*person{delegate, owner} {
		need[domain.OptOutGranted](t, t.do(domain.RequestOptOut{
			UserID: p.userID, RequestedBy: officer.userID, AgreementVersion: "2024-1", Acknowledged: true,
		}))
	}
	t.denied(owner, owner, true) // opted out already
	t.sleep(10 * day)
	t.do(domain.RecordDomicile{ClientID: owner.clientID, To: "HK", EffectiveOn: t.on(-3), EvidenceRef: "seat-" + reference(owner.n)})
	t.revoked(owner, 2*day)
	t.revoked(delegate, time.Hour)
}

// tellAdviser: access to a Hong Kong account denies while it lasts.
func tellAdviser(t *tale, cast []*person) {
	p, client := cast[0], cast[1].clientID
	t.granted(p)
	t.sleep(5 * day)
	t.do(domain.GrantAccountAccess{UserID: p.userID, ClientID: client, EffectiveOn: t.on(0)})
	t.revoked(p, 2*day)
	t.denied(p, p, true)
	t.do(domain.RevokeAccountAccess{UserID: p.userID, ClientID: client, EffectiveOn: t.on(0)})
	t.sleep(2 * day)
	t.granted(p)
	t.sleep(6 * day)
	need[domain.OptedBackIn](t, t.do(domain.OptBackIn{UserID: p.userID, By: p.userID}))
}

// tellCarrier: the accounts move to the entity in Hong Kong.
func tellCarrier(t *tale, cast []*person) {
	p := cast[0]
	t.granted(p)
	t.sleep(9 * day)
	t.do(domain.AssignCarryingEntity{ClientID: p.clientID, CarryingEntity: "IB-HK", CarryingCC: "HK", EffectiveOn: t.on(-1)})
	t.revoked(p, 2*day)
}

// tellUnknownHome: where the user lives is not known, so nobody guesses.
func tellUnknownHome(t *tale, cast []*person) {
	p := cast[0]
	t.denied(p, p, true)
	t.sleep(3 * day)
	t.do(domain.RecordResidence{UserID: p.userID, To: "US", EffectiveOn: t.on(-30), EvidenceRef: "statement-" + reference(p.n)})
	t.granted(p)
}

// tellRuleBook: compliance proposes a rule for Singapore and amends it, which
// decides nothing yet; and publishes a house rule for Switzerland, dated back,
// that ends opt-outs until it is withdrawn.
func tellRuleBook(t *tale, cast []*person) {
	swiss, singaporean := cast[0], cast[1]
	t.granted(swiss)
	proposal := domain.RuleRow{
		ID: "SG-2FA-1", Version: 1, CC: "SG", Zone: "Asia/Singapore", Status: "proposed",
		Effects:    []domain.Effect{{Name: domain.EffectDeny}, {Name: "phishing_resistant_default"}},
		LegalBasis: "proposal of the demo broker's compliance, no law", IssuedOn: t.today(), EffectiveFrom: t.today(),
		Tests: []string{"residence", "carrying_cc"}, BasisOfDate: "day of the proposal",
	}
	need[domain.PolicyRulePublished](t, t.as(compliance, domain.PublishRule{Rule: proposal}))
	t.granted(singaporean) // the decision names the proposal beside the rule that decided
	t.sleep(8 * day)
	proposal.Version, proposal.EffectiveFrom = 2, t.today()
	proposal.Effects = append(proposal.Effects, domain.Effect{Name: "no_links_in_messages"})
	need[domain.PolicyRuleAmended](t, t.as(compliance, domain.AmendRule{Rule: proposal}))
	t.refused(frontend, domain.WithdrawRule{RuleID: "SG-2FA-1", Reason: "not theirs to withdraw", EffectiveOn: t.today()}, domain.NotAuthorised)

	need[domain.PolicyRulePublished](t, t.as(compliance, domain.PublishRule{Rule: domain.RuleRow{
		ID: "CH-HOUSE-1", Version: 1, CC: "CH", Zone: "Europe/Zurich", Status: "active", Effects: []domain.Effect{{Name: domain.EffectDeny}},
		LegalBasis: "house rule of the demo broker", IssuedOn: t.on(-5), EffectiveFrom: t.on(-5), Tests: []string{"residence"},
		BasisOfDate: "decided five days before it was published",
	}}))
	t.revoked(swiss, 2*day)
	t.denied(swiss, swiss, true)
	t.sleep(10 * day)
	need[domain.PolicyRuleWithdrawn](t, t.as(compliance, domain.WithdrawRule{
		RuleID: "CH-HOUSE-1", Reason: "the incident it answered is over", EffectiveOn: t.on(1),
	}))
	t.sleep(3 * day)
	t.granted(swiss)
}

// tellParameters: what compliance sets on the first day.
func tellParameters(t *tale, _ []*person) {
	need[domain.PolicyParameterSet](t, t.as(compliance, domain.SetParameter{
		Parameter: "scc.issue", Value: 1, EffectiveFrom: t.today(), Reason: "printed cards for users without a smartphone",
	}))
}

// tellAuditor: reads of the record are recorded.
func tellAuditor(t *tale, _ []*person) {
	for range 3 {
		need[domain.AuditQueryPerformed](t, t.as(auditor, domain.RecordAuditQuery{
			Month: t.Clock.Now().Format("2006-01"), AuditorRef: auditor.Ref, Operation: "listOptOuts",
			QueryDigest: "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU", Purpose: "quarterly review", Rows: 25,
		}))
		t.sleep(20 * day)
	}
}
