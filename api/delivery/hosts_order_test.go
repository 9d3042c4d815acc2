package delivery

import (
	"testing"
	"time"

	"github.com/authledger/authledger/domain"
)

// What happens to a host concerns who came before it, whichever of the two
// streams is served first.
func TestStreamsMayBeServedInAnyOrder(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prepare func(l *ledger, p *process)
		arrives func(l *ledger, p *process) string // and is not bound yet
		happens func(l *ledger, authenticatorID string)
		event   string
		check   func(l *ledger, authenticatorID string)
	}{
		"PIN blocked": {
			prepare: func(l *ledger, p *process) { l.verifiedPhone(p) },
			arrives: func(l *ledger, p *process) string {
				id := l.activation(p, l.app(domain.AppIBKRMobile, domain.Android, "h"))
				return only[domain.AuthenticatorEnrolled](l.t, l.do(domain.CompleteEnrollment{EnrollmentID: id, UV: domain.UVAppPIN})).AuthenticatorID
			},
			happens: func(l *ledger, _ string) {
				for id := range l.signers {
					l.do(domain.ReportPINBlocked{InstallationID: id, WrongEntries: 10})
				}
			},
			event: "AppPINBlocked",
			check: func(l *ledger, id string) { l.expectSuspended(id, "pin_blocked") },
		},
		"card returned": {
			prepare: func(l *ledger, p *process) { l.verifiedPhone(p) },
			arrives: func(l *ledger, p *process) string {
				card := l.unitOf(cardKey)
				l.shipped(p, card)
				l.clock.advance(15 * 24 * time.Hour)
				return only[domain.AuthenticatorEnrolled](l.t, l.do(domain.AutoActivateDevice{UserID: l.user, DeviceID: card})).AuthenticatorID
			},
			happens: func(l *ledger, _ string) {
				l.do(domain.RecordDeviceReturned{DeviceID: domain.DeviceID(cardKey), ReceivedOn: "2026-12-20", Condition: "ok"})
			},
			event: "DeviceReturned",
			check: func(l *ledger, id string) {
				l.expectLivesAt("card", l.device(domain.DeviceID(cardKey)).Bindings)
				list := events[domain.AuthenticatorRevoked](l)
				if r := list[len(list)-1]; r.AuthenticatorID != id || r.Reason != "returned" {
					l.t.Errorf("revoked %+v", r)
				}
			},
		},
		"card lost": {
			prepare: func(l *ledger, p *process) { l.verifiedPhone(p); l.card(p, l.unitOf(cardKey)) },
			arrives: func(l *ledger, _ *process) string {
				owners := l.device(domain.DeviceID(cardKey)).Bindings[0].AuthenticatorID
				l.another("U2")
				asked := l.do(domain.RequestDeviceSharing{
					UserID: l.user, AuthenticatorID: owners, TxnID: l.password(domain.PurposeDeviceSharing), IdentityMatch: true, EvidenceRef: "E",
				})
				return only[domain.AuthenticatorEnrolled](l.t, l.answers(only[domain.ChallengeIssued](l.t, asked), 1)).AuthenticatorID
			},
			happens: func(l *ledger, _ string) {
				owners := l.device(domain.DeviceID(cardKey)).Bindings[0].AuthenticatorID
				l.do(domain.ReportLost{AuthenticatorID: owners, By: "client"})
			},
			event: "AuthenticatorReportedLost",
			check: func(l *ledger, id string) { l.expectSuspended(id, "reported_lost") },
		},
	} {
		for _, hostFirst := range []bool{false, true} {
			l := newLedger(t, noon)
			p := l.start()
			c.prepare(l, p)
			id := c.arrives(l, p)
			c.happens(l, id)
			enrolled, happened := l.records("AuthenticatorEnrolled"), l.records(c.event)
			order := []int{0, 1}
			if hostFirst {
				order = []int{1, 0}
			}
			for _, i := range order {
				if i == 0 {
					p.sees("hosts", enrolled[len(enrolled)-1])
				} else {
					p.sees("hosts", happened[len(happened)-1])
				}
			}
			t.Logf("%s, the host's stream first: %t", name, hostFirst)
			p.run()
			c.check(l, id)
			l.expectQuiet()
		}
	}
}

// A PIN blocked on the app that IB Key has left concerns it no more, even
// before the app knows.
func TestBlockOfALeftAppConcernsNobody(t *testing.T) {
	t.Parallel()
	l := newLedger(t, noon)
	p := l.start()
	l.verifiedPhone(p)
	from, to := l.app(domain.AppIBKeyStandalone, domain.Android, "h"), l.app(domain.AppIBKRMobile, domain.Android, "h")
	id := l.activates(p, from)
	offered := only[domain.UnificationOffered](t, l.do(domain.DetectUnification{
		UserID: l.user, InstallationID: to, Case: "auth_only", StandaloneInstallationID: from,
	}))
	l.do(domain.CompleteUnification{UnificationID: offered.UnificationID, Handover: l.handover(from, to)})
	l.do(domain.ReportPINBlocked{InstallationID: from, WrongEntries: 10})
	p.sees("hosts", l.records("AppPINBlocked")[0])
	p.run()
	l.expectSuspended(id, "")
	l.expectLivesAt("new app", l.installation(to).Bindings, id)
	l.expectQuiet()
}
