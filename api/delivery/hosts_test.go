package delivery

import (
	"testing"
	"time"

	"github.com/authledger/authledger/domain"
)

const cardKey = "0123456789abcdefghijklmnop"

func TestInstallationsKnowWhoLivesThere(t *testing.T) {
	t.Parallel()
	l := newLedger(t, noon)
	p := l.start()
	l.verifiedPhone(p)
	phone := l.app(domain.AppIBKRMobile, domain.IOS, "h")
	first := l.activates(p, phone)
	l.expectLivesAt("phone", l.installation(phone).Bindings, first)
	l.another("U2")
	l.verifiedPhone(p)
	second := l.activates(p, phone)
	l.expectLivesAt("phone", l.installation(phone).Bindings, first, second)
	l.do(domain.RevokeAuthenticator{AuthenticatorID: first, Reason: "client_request"})
	p.run()
	l.expectLivesAt("phone", l.installation(phone).Bindings, second)
	l.do(domain.CloseUser{UserID: l.user, Reason: "account_closed"})
	p.run()
	l.expectLivesAt("phone", l.installation(phone).Bindings)
	l.expectQuiet()
}

// migrates moves the user's IB Key to another installation.
func (l *ledger) migrates(p *process, to string) string {
	l.t.Helper()
	started := only[domain.MigrationStarted](l.t, l.do(domain.StartMigration{
		UserID: l.user, InstallationID: to, TxnID: l.password(domain.PurposeMigration),
	}))
	p.run()
	l.do(domain.ProveMigration{MigrationID: started.MigrationID, Code: l.gateway.newestCode(l.t, 8)})
	done := only[domain.MigrationCompleted](l.t, l.do(domain.CompleteMigration{MigrationID: started.MigrationID, UV: domain.UVFaceID}))
	p.run()
	return done.ToAuthenticatorID
}

// S-11: the code of a migration is sent, and IB Key changes its phone.
func TestMigrationMovesTheBinding(t *testing.T) {
	t.Parallel()
	surviving(t, []string{"BindToInstallation", "UnbindFromInstallation"}, func(l *ledger, p *process) {
		l.verifiedPhone(p)
		from, to := l.app(domain.AppIBKRMobile, domain.IOS, "h1"), l.app(domain.AppIBKRMobile, domain.IOS, "h2")
		l.activates(p, from)
		l.clock.advance(time.Hour)
		id := l.migrates(p, to)
		l.expectLivesAt("old phone", l.installation(from).Bindings)
		l.expectLivesAt("new phone", l.installation(to).Bindings, id)
		l.expectQuiet()
		if l.installation(from).Retired {
			t.Error("the old phone is retired")
		}
		l.expectTopics("phone_verified", "authenticator_enrolled", "authenticator_enrolled", "migration_completed")
	})
}

// unifies moves the user's IB Key from the standalone app to IBKR Mobile.
func (l *ledger) unifies(p *process, from, to string) {
	l.t.Helper()
	offered := only[domain.UnificationOffered](l.t, l.do(domain.DetectUnification{
		UserID: l.user, InstallationID: to, Case: "auth_only", StandaloneInstallationID: from,
	}))
	only[domain.UnificationCompleted](l.t, l.do(domain.CompleteUnification{
		UnificationID: offered.UnificationID, Handover: l.handover(from, to),
	}))
	p.run()
}

// S-12: the standalone app is retired when its last user has left.
func TestUnificationMovesTheBindingAndRetiresTheFormerApp(t *testing.T) {
	t.Parallel()
	surviving(t, []string{"BindToInstallation", "UnbindFromInstallation", "RetireInstallation"}, func(l *ledger, p *process) {
		l.verifiedPhone(p)
		from, to := l.app(domain.AppIBKeyStandalone, domain.IOS, "h"), l.app(domain.AppIBKRMobile, domain.IOS, "h")
		first, one := l.activates(p, from), l.user
		l.another("U2")
		l.verifiedPhone(p)
		second := l.activates(p, from)
		l.unifies(p, from, to)
		l.expectLivesAt("standalone app", l.installation(from).Bindings, first)
		l.expectLivesAt("new app", l.installation(to).Bindings, second)
		if l.installation(from).Retired {
			t.Error("retired while somebody lives there")
		}
		l.user = one
		l.unifies(p, from, to)
		l.expectLivesAt("standalone app", l.installation(from).Bindings)
		l.expectLivesAt("new app", l.installation(to).Bindings, second, first)
		if i := l.installation(from); !i.Retired || l.installation(to).Retired {
			t.Errorf("former retired: %t", i.Retired)
		}
		if got := events[domain.InstallationRetired](l); len(got) != 1 || got[0].Reason != "unified" || got[0].SuccessorID != to {
			t.Errorf("retired %+v", got)
		}
		l.do(domain.RevokeAuthenticator{AuthenticatorID: first, Reason: "lost"}) // from where it moved to
		p.run()
		l.expectLivesAt("new app", l.installation(to).Bindings, second)
		l.expectQuiet()
	})
}

// recovers brings the user's IB Key back on an installation.
func (l *ledger) recovers(p *process, on string, uv domain.UV) string {
	l.t.Helper()
	started := only[domain.RecoveryStarted](l.t, l.do(domain.StartRecovery{
		UserID: l.user, InstallationID: on, TxnID: l.password(domain.PurposeRecovery), Cause: "reinstalled",
	}))
	p.run()
	l.do(domain.ProveRecovery{RecoveryID: started.RecoveryID, Code: l.gateway.newestCode(l.t, 8)})
	done := only[domain.RecoveryCompleted](l.t, l.do(domain.CompleteRecovery{RecoveryID: started.RecoveryID, UV: uv}))
	p.run()
	return done.NewAuthenticatorID
}

// S-13: the app was installed again and is another installation.
func TestRecoveryRetiresTheFormerInstallation(t *testing.T) {
	t.Parallel()
	surviving(t, []string{"BindToInstallation", "UnbindFromInstallation", "RetireInstallation"}, func(l *ledger, p *process) {
		l.verifiedPhone(p)
		from, to := l.app(domain.AppIBKRMobile, domain.IOS, "h"), l.app(domain.AppIBKRMobile, domain.IOS, "h")
		l.activates(p, from)
		l.clock.advance(time.Hour)
		id := l.recovers(p, to, domain.UVFaceID)
		l.expectLivesAt("former", l.installation(from).Bindings)
		l.expectLivesAt("new", l.installation(to).Bindings, id)
		if got := events[domain.InstallationRetired](l); len(got) != 1 || got[0].Reason != "recovered" || got[0].SuccessorID != to || !l.installation(from).Retired {
			t.Errorf("retired %+v", got)
		}
		l.expectTopics("phone_verified", "authenticator_enrolled", "authenticator_enrolled", "recovery_completed")
		l.expectQuiet()
	})
}

// blocked is an Android phone of two users whose PIN was blocked.
func blocked(l *ledger, p *process) (phone, first, second string) {
	l.t.Helper()
	l.verifiedPhone(p)
	phone = l.app(domain.AppIBKRMobile, domain.Android, "h")
	first = l.activates(p, phone)
	l.another("U2")
	l.verifiedPhone(p)
	second = l.activates(p, phone)
	l.clock.advance(time.Hour)
	l.do(domain.ReportPINBlocked{InstallationID: phone, WrongEntries: 10})
	p.run()
	return phone, first, second
}

func TestBlockedPINSuspendsEverybodyOnThePhone(t *testing.T) {
	t.Parallel()
	surviving(t, []string{"SuspendAuthenticator"}, func(l *ledger, p *process) {
		_, first, second := blocked(l, p)
		l.expectSuspended(first, "pin_blocked")
		l.expectSuspended(second, "pin_blocked")
		count[domain.AuthenticatorSuspended](l, 2)
		l.expectQuiet()
	})
}

func TestRecoveryEndsABlockedPIN(t *testing.T) {
	t.Parallel()
	surviving(t, []string{"UnblockInstallation"}, func(l *ledger, p *process) {
		phone, first, _ := blocked(l, p)
		id := l.recovers(p, phone, domain.UVAppPIN)
		l.expectSuspended(id, "")
		l.expectSuspended(first, "pin_blocked") // who recovers for themselves
		l.expectLivesAt("phone", l.installation(phone).Bindings, first, id)
		if i := l.installation(phone); i.Blocked || i.Retired {
			t.Errorf("blocked %t, retired %t", i.Blocked, i.Retired)
		}
		l.expectQuiet()
	})
}

// Seen again after a loss of positions, a recovery that ended no block does not
// end a later one, and a block does not stop who was let in again since.
func TestOldEventsDoNotUndoNewOnes(t *testing.T) {
	t.Parallel()
	l := newLedger(t, noon)
	p := l.start()
	l.verifiedPhone(p)
	phone := l.app(domain.AppIBKRMobile, domain.Android, "h")
	l.activates(p, phone)
	l.clock.advance(time.Hour)
	id := l.recovers(p, phone, domain.UVAppPIN) // nothing was blocked
	l.do(domain.SuspendAuthenticator{AuthenticatorID: id, Reason: "compromise_suspected"})
	l.do(domain.ReportPINBlocked{InstallationID: phone, WrongEntries: 10})
	p.run() // it is suspended already, so the block leaves no trace
	l.as(domain.ActorAgent, domain.VerifyIdentityByPhone{UserID: l.user, AgentRef: "a", Method: "m"})
	only[domain.AuthenticatorReactivated](t, l.as(domain.ActorAgent, domain.ReactivateAuthenticator{AuthenticatorID: id, Proof: "agent"}))
	p.run()
	l.expectQuiet()
	l.expectSuspended(id, "")
	if !l.installation(phone).Blocked {
		t.Error("the block has ended")
	}
}

func TestShipmentIsNotedForTheUser(t *testing.T) {
	t.Parallel()
	surviving(t, []string{"NoteDeviceShipped", "BindToDevice", "UnbindFromDevice"}, func(l *ledger, p *process) {
		l.verifiedPhone(p)
		card := l.unitOf(cardKey)
		id := l.card(p, card)
		count[domain.PhysicalDeviceShipped](l, 2) // in both streams
		l.expectLivesAt("card", l.device(card).Bindings, id)
		l.do(domain.RevokeAuthenticator{AuthenticatorID: id, Reason: "defective"})
		p.run()
		l.expectLivesAt("card", l.device(card).Bindings)
		l.expectTopics("phone_verified", "authenticator_enrolled", "authenticator_enrolled", "authenticator_revoked")
		l.expectQuiet()
	})
}

// shared is a card of one user that another answers with too, who is the one
// that acts.
func shared(l *ledger, p *process) (card, owners, sharers string) {
	l.t.Helper()
	l.verifiedPhone(p)
	card = l.unitOf(cardKey)
	owners = l.card(p, card)
	l.another("U2")
	return card, owners, l.shares(p, owners, 1)
}

// S-18: both streams tell of the request; a lost card is lost for both.
func TestLostCardIsLostForAll(t *testing.T) {
	t.Parallel()
	surviving(t, []string{"NoteSharingRequested", "BindToDevice", "SuspendAuthenticator"}, func(l *ledger, p *process) {
		card, owners, sharers := shared(l, p)
		count[domain.DeviceSharingRequested](l, 2)
		l.expectLivesAt("card", l.device(card).Bindings, owners, sharers)
		l.do(domain.ReportLost{AuthenticatorID: owners, By: "client"})
		p.run()
		l.expectSuspended(owners, "reported_lost")
		l.expectSuspended(sharers, "reported_lost")
		count[domain.AuthenticatorSuspended](l, 2)
		l.expectTopics("phone_verified", "authenticator_enrolled", "authenticator_enrolled", "device_sharing_granted",
			"authenticator_lost", "authenticator_suspended")
		l.expectQuiet()
	})
}

// A card that was found serves others again: the old report concerns nobody
// who came later, or was let in again.
func TestReportOfAFoundCardIsOver(t *testing.T) {
	t.Parallel()
	l := newLedger(t, noon)
	p := l.start()
	_, owners, sharers := shared(l, p)
	l.do(domain.SuspendAuthenticator{AuthenticatorID: sharers, Reason: "compromise_suspected"})
	l.do(domain.ReportLost{AuthenticatorID: owners, By: "client"})
	p.run()
	for _, id := range []string{owners, sharers} {
		l.as(domain.ActorAgent, domain.VerifyIdentityByPhone{UserID: domain.UserOf(id), AgentRef: "a", Method: "m"})
		only[domain.AuthenticatorReactivated](t, l.as(domain.ActorAgent, domain.ReactivateAuthenticator{AuthenticatorID: id, Proof: "agent"}))
	}
	l.another("U3")
	third := l.shares(p, owners, 2)
	p.run()
	l.expectQuiet()
	for _, id := range []string{owners, sharers, third} {
		l.expectSuspended(id, "")
	}
}

func TestReturnedCardIsRevokedForAll(t *testing.T) {
	t.Parallel()
	surviving(t, []string{"RevokeAuthenticator", "UnbindFromDevice"}, func(l *ledger, p *process) {
		card, owners, sharers := shared(l, p)
		l.verifiedPhone(p) // of the one who shares, so that the card is not the last factor
		l.do(domain.RecordDeviceReturned{DeviceID: card, ReceivedOn: "2026-12-20", Condition: "ok"})
		p.run()
		l.expectLivesAt("card", l.device(card).Bindings)
		var ended []string
		for _, r := range events[domain.AuthenticatorRevoked](l) {
			if r.Reason == "returned" {
				ended = append(ended, r.AuthenticatorID)
			}
		}
		if len(ended) != 2 || ended[0] != owners || ended[1] != sharers {
			t.Errorf("revoked %v, want %s and %s", ended, owners, sharers)
		}
		l.expectTopics("phone_verified", "authenticator_enrolled", "authenticator_enrolled", "device_sharing_granted", "phone_verified",
			"authenticator_revoked", "device_sharing_ended")
		// Whoever gets the card next keeps it when the old return is seen again.
		l.another("U3")
		l.verifiedPhone(p)
		next := l.card(p, card)
		l.expectQuiet()
		l.expectLivesAt("card", l.device(card).Bindings, next)
		l.expectSuspended(next, "")
	})
}

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
