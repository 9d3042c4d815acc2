package demo

import (
	"maps"
	"time"

	"github.com/authledger/authledger/domain"
)

// Stories of IB Key on its way from one app to another.

// getIBKey is IB Key on a new phone.
func (t *tale) getIBKey(p *person, os domain.OS) *installation {
	i := t.buyPhone(p, os)
	t.activate(p, i, t.begin(p, domain.PurposeActivation), "")
	t.login(p, domain.ClientPortal)
	return i
}

// migrate asks to move IB Key to another phone.
func (t *tale) migrate(p *person, to *installation) domain.StartMigration {
	return domain.StartMigration{UserID: p.userID, InstallationID: to.id, TxnID: t.begin(p, domain.PurposeMigration)}
}

// tellMigration: from an iPhone to an Android phone, proved by SMS.
func tellMigration(t *tale, cast []*person) {
	p := cast[0]
	t.getIBKey(p, domain.IOS)
	t.sleep(8 * day)
	to := t.install(p, domain.AppIBKRMobile, domain.Android, "handset-migration")
	out := t.do(t.migrate(p, to))
	id := need[domain.MigrationStarted](t, out).MigrationID
	code := t.activationCode(domain.PurposeMigration, need[domain.ActivationCodeIssued](t, out))
	t.pause(20*time.Second, time.Minute)
	need[domain.ActivationCodeRejected](t, t.as(app, domain.ProveMigration{MigrationID: id, Code: slip(code)}))
	need[domain.MigrationProofAccepted](t, t.as(app, domain.ProveMigration{MigrationID: id, Code: code}))
	for _, violation := range []domain.Code{domain.ReasonPINPolicy, domain.ReasonPINMismatch} {
		t.refusePIN(to, violation)
		need[domain.MigrationRefused](t, t.as(app, domain.CompleteMigration{MigrationID: id, UV: domain.UVAppPIN}))
	}
	t.as(app, domain.AttestPIN{InstallationID: to.id, PINPolicyVersion: 1})
	done := need[domain.MigrationCompleted](t, t.as(app, domain.CompleteMigration{MigrationID: id, UV: domain.UVAppPIN}))
	t.provision(p, to, done.ToAuthenticatorID)
	t.login(p, domain.IBKRMobileAndroid)
}

// tellMigrationByCard: a physical device answers in place of the SMS.
func tellMigrationByCard(t *tale, cast []*person) {
	p := cast[0]
	t.getIBKey(p, domain.Android)
	t.getUnit(p, "5173", true)
	t.sleep(5 * day)
	to := t.buyPhone(p, domain.IOS)
	out := t.do(t.migrate(p, to))
	id := need[domain.MigrationStarted](t, out).MigrationID
	need[domain.MigrationRefused](t, t.as(app, domain.CompleteMigration{MigrationID: id, UV: to.uv})) // not proved yet
	need[domain.MigrationProofAccepted](t, t.answer(p, need[domain.ChallengeIssued](t, out)))
	done := need[domain.MigrationCompleted](t, t.as(app, domain.CompleteMigration{MigrationID: id, UV: to.uv}))
	t.provision(p, to, done.ToAuthenticatorID)
	p.choice = domain.KindIBKey
	t.login(p, domain.ClientPortal)
}

// tellMigrationCancelled: begun again from the same phone, then given up.
func tellMigrationCancelled(t *tale, cast []*person) {
	p := cast[0]
	from := t.getIBKey(p, domain.IOS)
	t.sleep(6 * day)
	need[domain.MigrationRefused](t, t.do(t.migrate(p, from))) // it is there already
	to := t.buyPhone(p, domain.IOS)
	need[domain.MigrationStarted](t, t.do(t.migrate(p, to)))
	t.wait(130 * time.Second)
	id := need[domain.MigrationStarted](t, t.do(t.migrate(p, to))).MigrationID
	need[domain.MigrationRefused](t, t.do(t.migrate(p, t.buyPhone(p, domain.IOS)))) // one at a time
	need[domain.MigrationCancelled](t, t.as(app, domain.CancelMigration{MigrationID: id}))
	t.login(p, domain.ClientPortal) // by the old phone as ever
}

// tellMigrationExpired: the code came too late for its user.
func tellMigrationExpired(t *tale, cast []*person) {
	p := cast[0]
	t.getIBKey(p, domain.Android)
	t.sleep(6 * day)
	out := t.do(t.migrate(p, t.buyPhone(p, domain.Android)))
	id := need[domain.MigrationStarted](t, out).MigrationID
	code := t.activationCode(domain.PurposeMigration, need[domain.ActivationCodeIssued](t, out))
	t.sleep(time.Hour)
	need[domain.ActivationCodeRejected](t, t.as(app, domain.ProveMigration{MigrationID: id, Code: code}))
	t.login(p, domain.ClientPortal)
}

// tellPhoneNotOriginal: the number IB Key was activated with was replaced.
func tellPhoneNotOriginal(t *tale, cast []*person) {
	p := cast[0]
	first := p.phoneID
	t.getIBKey(p, domain.IOS)
	t.sleep(4 * day)
	second := t.addPhone(p)
	t.verifyPhone(p, second)
	t.do(domain.ReplacePhone{OldPhoneID: first, NewPhoneID: second})
	t.sleep(day)
	need[domain.MigrationRefused](t, t.do(t.migrate(p, t.buyPhone(p, domain.IOS))))
}

// recovering asks to bring IB Key back on the phone it was on.
func (t *tale) recovering(p *person, i *installation, cause string, handover domain.Secret) domain.StartRecovery {
	return domain.StartRecovery{
		UserID: p.userID, InstallationID: i.id, TxnID: t.begin(p, domain.PurposeRecovery), Cause: cause, Handover: handover,
	}
}

// recover brings IB Key back on the phone it was on: with the signature of the
// old key where there is one, otherwise with a code by SMS.
func (t *tale) recover(p *person, i *installation, cause string, handover domain.Secret) {
	out := t.do(t.recovering(p, i, cause, handover))
	id := need[domain.RecoveryStarted](t, out).RecoveryID
	if issued, ok := find[domain.ActivationCodeIssued](out); ok {
		code := t.activationCode(domain.PurposeRecovery, issued)
		t.pause(20*time.Second, time.Minute)
		need[domain.RecoveryProofAccepted](t, t.as(app, domain.ProveRecovery{RecoveryID: id, Code: code}))
	}
	done := need[domain.RecoveryCompleted](t, t.as(app, domain.CompleteRecovery{RecoveryID: id, UV: i.uv}))
	t.provision(p, i, done.NewAuthenticatorID)
}

// tellRecoveryIOS: the app was installed again; the phone's keychain kept the
// old key, which hands over.
func tellRecoveryIOS(t *tale, cast []*person) {
	p := cast[0]
	old := t.getIBKey(p, domain.IOS)
	t.sleep(10 * day)
	again := t.install(p, domain.AppIBKRMobile, domain.IOS, old.handset)
	t.recover(p, again, "reinstalled", t.handOver(p, old, again))
	t.login(p, domain.ClientPortal)
}

// tellRecoveryAndroid: the app was installed again; a code by SMS and a new PIN.
func tellRecoveryAndroid(t *tale, cast []*person) {
	p := cast[0]
	old := t.getIBKey(p, domain.Android)
	t.sleep(10 * day)
	again := t.install(p, domain.AppIBKRMobile, domain.Android, old.handset)
	t.as(app, domain.AttestPIN{InstallationID: again.id, PINPolicyVersion: 1})
	t.recover(p, again, "reinstalled", "")
	t.login(p, domain.ClientPortal)
}

// tellRecoveryGivenUp: on another phone it is a migration; one was cancelled,
// one expired.
func tellRecoveryGivenUp(t *tale, cast []*person) {
	p := cast[0]
	i := t.getIBKey(p, domain.Android)
	t.sleep(5 * day)
	need[domain.RecoveryRefused](t, t.do(t.recovering(p, t.buyPhone(p, domain.Android), "reinstalled", "")))
	id := need[domain.RecoveryStarted](t, t.do(t.recovering(p, i, "os_upgraded", ""))).RecoveryID
	need[domain.RecoveryCancelled](t, t.as(app, domain.CancelRecovery{RecoveryID: id}))
	t.sleep(2 * time.Hour)
	need[domain.RecoveryStarted](t, t.do(t.recovering(p, i, "os_upgraded", "")))
	t.sleep(2 * time.Hour)
	t.login(p, domain.ClientPortal) // by now somebody noted that it expired
}

// former is IB Key in the standalone app.
func (t *tale) former(p *person) *installation {
	i := t.install(p, domain.AppIBKeyStandalone, domain.IOS, "handset-"+reference(p.n))
	t.activate(p, i, t.begin(p, domain.PurposeActivation), "")
	t.login(p, domain.ClientPortal)
	return i
}

// detect says what the new app found on the phone.
func detect(p *person, to, former *installation, what string) domain.DetectUnification {
	return domain.DetectUnification{UserID: p.userID, InstallationID: to.id, Case: what, StandaloneInstallationID: former.id}
}

// unify completes an offer: the same IB Key, in the new app.
func (t *tale) unify(p *person, offer domain.UnificationOffered, former, to *installation) {
	c := domain.CompleteUnification{UnificationID: offer.UnificationID, Handover: t.handOver(p, former, to)}
	need[domain.UnificationCompleted](t, t.as(app, c))
	maps.Copy(to.tokens, former.tokens)
	p.app = to
	t.login(p, domain.ClientPortal)
}

// tellUnified: the new app finds the standalone one and takes IB Key over.
func tellUnified(t *tale, cast []*person) {
	p := cast[0]
	former := t.former(p)
	t.sleep(7 * day)
	to := t.install(p, domain.AppIBKRMobile, domain.IOS, former.handset)
	t.unify(p, need[domain.UnificationOffered](t, t.as(app, detect(p, to, former, "auth_only"))), former, to)
}

// tellUpdatedFirst: the standalone app must be updated before it can hand over.
func tellUpdatedFirst(t *tale, cast []*person) {
	p := cast[0]
	former := t.former(p)
	t.sleep(7 * day)
	to := t.install(p, domain.AppIBKRMobile, domain.IOS, former.handset)
	c := detect(p, to, former, "auth_only")
	c.StandaloneOutdated = true
	offer := need[domain.UnificationOffered](t, t.as(app, c))
	unsigned := domain.CompleteUnification{UnificationID: offer.UnificationID, Handover: "AAAA"}
	need[domain.UnificationRefused](t, t.as(app, unsigned))
	t.sleep(3 * time.Hour)
	t.unify(p, need[domain.UnificationOffered](t, t.as(app, detect(p, to, former, "auth_only"))), former, to)
}

// tellDeferred: put off for some days, in which nothing changes.
func tellDeferred(t *tale, cast []*person) {
	p := cast[0]
	former := t.former(p)
	t.sleep(6 * day)
	to := t.install(p, domain.AppIBKRMobile, domain.IOS, former.handset)
	offer := need[domain.UnificationOffered](t, t.as(app, detect(p, to, former, "auth_only")))
	need[domain.UnificationDeferred](t, t.as(app, domain.DeferUnification{UnificationID: offer.UnificationID}))
	t.login(p, domain.TWS)
	t.sleep(9 * day)
	t.unify(p, need[domain.UnificationOffered](t, t.as(app, detect(p, to, former, "auth_only"))), former, to)
}

// tellBothFirst: trading in the new app waits for the IB Key step.
func tellBothFirst(t *tale, cast []*person) {
	p := cast[0]
	former := t.former(p)
	t.sleep(5 * day)
	elsewhere := t.install(p, domain.AppIBKRMobile, domain.IOS, "handset-elsewhere")
	need[domain.UnificationRefused](t, t.as(app, detect(p, elsewhere, former, "both")))
	to := t.install(p, domain.AppIBKRMobile, domain.IOS, former.handset)
	need[domain.UnificationRefused](t, t.as(app, domain.DetectUnification{UserID: p.userID, InstallationID: to.id, Case: "trading_only"}))
	offer := need[domain.UnificationOffered](t, t.as(app, detect(p, to, former, "both")))
	trade := domain.StartAuthentication{
		UserID: p.userID, Purpose: domain.PurposeLogin, Platform: domain.IBKRMobileIOS, InitiatingDeviceRef: to.id, PrimaryVerified: true,
	}
	need[domain.AuthenticationRefused](t, t.do(trade))
	t.unify(p, offer, former, to)
	c, _ := t.asked(p, t.do(trade))
	need[domain.AuthenticationSucceeded](t, t.answer(p, c))
}
