package main

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/authledger/authledger/api/gen"
)

// The flows of the phone, over HTTP against the built program: a second user,
// two phones, moving, recovering and unifying. They share one program; each
// tells of users of its own.

func (u *person) begin(purpose, platform string) gen.AuthenticationId {
	u.p.t.Helper()
	a := u.authenticate(purpose, platform, "verified")
	if a.AuthenticationId == "" {
		u.p.t.Fatalf("%s of %s: %+v", purpose, u.ref, a)
	}
	return a.AuthenticationId
}

func (u *person) enroll(r gen.StartEnrollmentRequest) gen.Enrollment {
	u.p.t.Helper()
	r.Kind = "ibkey"
	var e gen.Enrollment
	u.p.post("frontend", "/v1/users/"+u.id+"/enrollments", r, &e)
	return e
}

// phoneID registers another simulated phone, or an app on one.
func (p *product) phoneID(file, os string, more ...string) string {
	p.t.Helper()
	return p.mustRun(append([]string{"phone", "register", "--file", file, "--server", p.url, "--os", os}, more...)...)
}

func (u *person) migrate(to string) gen.Migration {
	u.p.t.Helper()
	var m gen.Migration
	u.p.post("frontend", "/v1/users/"+u.id+"/migrations", gen.StartMigrationRequest{
		InstallationId: gen.InstallationId(to), AuthenticationId: u.begin("migration", "ibkr_mobile_android"),
	}, &m)
	return m
}

// approves logs in and approves on a phone.
func (u *person) approves(file string, unlock ...string) bool {
	u.p.t.Helper()
	a := u.authenticate("login", "client_portal", "verified")
	if a.Challenge.MatchNumber == "" {
		u.p.t.Fatalf("login of %s: %+v", u.ref, a)
	}
	args := append([]string{"phone", "approve", "--file", file, "--number", a.Challenge.MatchNumber, "--challenge", string(a.Challenge.Id)}, unlock...)
	if _, err := u.p.run(args...); err != nil {
		return false
	}
	return u.challenge(a.Challenge.Id).Result == "allow"
}

func TestEndToEndPhones(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir())
	dir := t.TempDir()

	// S-5: a second user on the same phone.
	first := newPerson(p, "s5", "DE", "IE").withSMS().withIBKey("ios", "face_id")
	second := newPerson(p, "s5-second", "DE", "IE").withSMS()
	installation := gen.InstallationId(p.mustRun("phone", "register", "--file", first.phone, "--server", p.url, "--os", "ios"))
	add := func() gen.Enrollment {
		return second.enroll(gen.StartEnrollmentRequest{Flow: "add_user", InstallationId: installation, AuthenticationId: second.begin("activation", "ibkr_mobile_ios")})
	}
	if e := second.enroll(gen.StartEnrollmentRequest{Flow: "add_user", InstallationId: installation, AuthenticationId: first.begin("activation", "ibkr_mobile_ios")}); e.Status != "refused" || e.ReasonCode != "PRIMARY_FACTOR_REQUIRED" {
		t.Errorf("with somebody else's password: %+v", e)
	}
	empty := gen.InstallationId(p.phoneID(filepath.Join(dir, "empty.json"), "ios"))
	if e := second.enroll(gen.StartEnrollmentRequest{Flow: "add_user", InstallationId: empty, AuthenticationId: second.begin("activation", "ibkr_mobile_ios")}); e.ReasonCode != "IBKEY_NOT_ACTIVE_HERE" {
		t.Errorf("on a phone without IB Key: %+v", e)
	}
	var e gen.Enrollment
	p.until("the phone is known to serve its first user", func() bool { e = add(); return e.Status == "code_sent" })
	p.mustRun("phone", "add-user", "--file", first.phone, "--user", second.id, "--enrollment", string(e.EnrollmentId), "--code", p.codeFor(string(e.MessageId)), "--uv", "touch_id")
	for _, u := range []*person{first, second} {
		if !u.approves(first.phone) {
			t.Errorf("%s cannot log in with the shared phone", u.ref)
		}
	}
	p.until("the phone's page lists both", func() bool {
		var i gen.Installation
		p.get("auditor", "/v1/installations/"+string(installation), &i)
		return len(i.Bindings) == 2 && i.Bindings[0].UserId == first.id && i.Bindings[1].UserId == second.id
	})

	// S-8: the response must come back on the login that showed the challenge.
	a, other := first.authenticate("login", "ibkr_mobile_android", "verified"), first.authenticate("login", "webtrader", "verified")
	var c gen.Challenge
	p.post("frontend", "/v1/challenges/"+string(a.Challenge.Id)+"/fallback", gen.FallbackRequest{Cause: "no_internet"}, &c)
	response := p.mustRun("phone", "respond", "--file", first.phone, "--user", first.id, "--challenge", c.OfflineChallenge)
	var crossed gen.Challenge
	p.post("frontend", "/v1/challenges/"+string(c.Id)+"/responses", gen.ResponseRequest{Response: response, AuthenticationId: other.AuthenticationId}, &crossed)
	if crossed.LastAttempt != "incorrect" || first.reason("ResponseRejected") != "TXN_MISMATCH" {
		t.Errorf("on another login: %+v", crossed)
	}
	if got := first.respond(c.Id, response); got.Result != "allow" {
		t.Errorf("on its own login: %+v", got)
	}

	migratesAndRecovers(t, p, dir)
	unifies(t, p, dir)
}

// migratesAndRecovers is S-11 by SMS, a second attempt elsewhere, and S-13 on
// both systems.
func migratesAndRecovers(t *testing.T, p *product, dir string) {
	t.Helper()
	u := newPerson(p, "s11", "DE", "IE").withSMS().withIBKey("ios", "face_id")
	file := filepath.Join(dir, "new.json")
	m := u.migrate(p.phoneID(file, "android"))
	if m.Status != "code_sent" || m.Proof != "sms" {
		t.Fatalf("migration: %+v", m)
	}
	if again := u.migrate(p.phoneID(filepath.Join(dir, "third.json"), "android")); again.ReasonCode != "MIGRATION_IN_PROGRESS" {
		t.Errorf("to a third phone meanwhile: %+v", again)
	}
	if !u.approves(u.phone) {
		t.Error("the old phone must answer until the migration is complete")
	}
	for _, pin := range [][2]string{{"abcd", "abcd"}, {"abc12", "abc13"}} {
		if _, err := p.run("phone", "pin", "--file", file, "--pin", pin[0], "--repeat", pin[1]); err == nil {
			t.Errorf("PIN %v was set", pin)
		}
	}
	p.mustRun("phone", "pin", "--file", file, "--pin", "abc12", "--repeat", "abc12")
	p.mustRun("phone", "migrate", "--file", file, "--user", u.id, "--migration", string(m.MigrationId), "--code", p.codeFor(string(m.MessageId)), "--uv", "app_pin", "--pin", "abc12")
	u.wantInOrder("MigrationStarted", "ActivationCodeIssued", "ActivationCodeAccepted", "MigrationProofAccepted", "AuthenticatorRevoked", "AuthenticatorEnrolled", "MigrationCompleted")
	if u.approves(u.phone) || !u.approves(file, "--uv", "app_pin", "--pin", "abc12") {
		t.Error("the new phone answers, and the old one no longer")
	}

	// S-13 on Android: a code and the PIN.
	p.mustRun("phone", "reinstall", "--file", file)
	p.mustRun("phone", "pin", "--file", file, "--pin", "xyz89", "--repeat", "xyz89")
	p.setClock(p.now().Add(2 * time.Minute).Format(time.RFC3339Nano)) // until the next message
	recovery := p.mustRun("phone", "recover", "--file", file, "--user", u.id, "--authentication", string(u.begin("recovery", "ibkr_mobile_android")))
	var sent gen.EventList
	p.get("auditor", "/v1/events?type=SMSRequested&userId="+u.id+"&limit=1&order=desc", &sent)
	p.mustRun("phone", "recover", "--file", file, "--user", u.id, "--recovery", recovery, "--code", p.codeFor(field(t, sent.Items[0].Data, "sms_id").(string)), "--uv", "app_pin", "--pin", "xyz89")
	if !u.approves(file, "--uv", "app_pin", "--pin", "xyz89") {
		t.Error("the recovered app cannot answer")
	}

	// S-13 on iOS: the old key in the keychain hands over, and no message goes out.
	i := newPerson(p, "s13-ios", "DE", "IE").withSMS().withIBKey("ios", "face_id")
	_, before := i.find("SMSRequested")
	p.mustRun("phone", "reinstall", "--file", i.phone)
	p.mustRun("phone", "recover", "--file", i.phone, "--user", i.id, "--authentication", string(i.begin("recovery", "ibkr_mobile_ios")), "--uv", "face_id")
	i.wantInOrder("RecoveryStarted", "AuthenticatorRevoked", "AuthenticatorEnrolled", "RecoveryCompleted")
	if _, after := i.find("SMSRequested"); after != before {
		t.Error("a message was sent")
	}
	if !i.approves(i.phone) {
		t.Error("the recovered app cannot answer")
	}
	elsewhere := p.phoneID(filepath.Join(dir, "elsewhere.json"), "ios")
	var r gen.Recovery
	p.post("frontend", "/v1/users/"+i.id+"/recoveries", gen.StartRecoveryRequest{
		InstallationId: gen.InstallationId(elsewhere), AuthenticationId: i.begin("recovery", "ibkr_mobile_ios"), Cause: "reinstalled",
	}, &r)
	if r.Status != "refused" || r.ReasonCode != "RECOVERY_HANDSET" {
		t.Errorf("on another phone: %+v", r)
	}
}

// unifies is S-12: the standalone app hands over on the same phone.
func unifies(t *testing.T, p *product, dir string) {
	t.Helper()
	u := newPerson(p, "s12", "DE", "IE").withSMS()
	former, now := filepath.Join(dir, "former.json"), filepath.Join(dir, "now.json")
	standalone := p.phoneID(former, "ios", "--app", "ibkey_standalone", "--handset", "handset-s12")
	e := u.enroll(gen.StartEnrollmentRequest{InstallationId: gen.InstallationId(standalone), AuthenticationId: u.begin("activation", "ibkr_mobile_ios")})
	p.mustRun("phone", "activate", "--file", former, "--user", u.id, "--enrollment", string(e.EnrollmentId), "--code", p.codeFor(string(e.MessageId)), "--uv", "face_id")
	before := u.authenticator("ibkey")
	mobile := p.phoneID(now, "ios", "--handset", "handset-s12")
	strange := p.phoneID(filepath.Join(dir, "strange.json"), "ios")
	detect := func(installation, what string) gen.Unification {
		var n gen.Unification
		p.post("device", "/v1/users/"+u.id+"/unifications", gen.UnificationRequest{
			InstallationId: gen.InstallationId(installation), StandaloneInstallationId: gen.InstallationId(standalone), Case: gen.UnificationRequestCase(what),
		}, &n)
		return n
	}
	if n := detect(mobile, "trading_only"); n.ReasonCode != "NOTHING_TO_UNIFY" {
		t.Errorf("trading only: %+v", n)
	}
	if n := detect(strange, "auth_only"); n.ReasonCode != "UNIFICATION_OTHER_HANDSET" {
		t.Errorf("on another phone: %+v", n)
	}
	n := detect(mobile, "both")
	var a gen.Authentication
	p.post("frontend", "/v1/authentications", gen.StartAuthenticationRequest{
		UserId: gen.UserId(u.id), Purpose: "login", Platform: "ibkr_mobile_ios", DeviceRef: gen.Reference(mobile), PrimaryFactor: "verified",
	}, &a)
	if a.Decision != "deny" || u.reason("AuthenticationRefused") != "UNIFICATION_FIRST" {
		t.Errorf("trading before the IB Key step: %+v", a)
	}
	p.mustRun("phone", "unify", "--file", now, "--from", former, "--user", u.id, "--unification", string(n.UnificationId))
	if after := u.authenticator("ibkey"); after != before {
		t.Errorf("the enrolment is %s, want %s still", after, before)
	}
	if !u.approves(now) {
		t.Error("the app that took over cannot answer")
	}
	p.until("the standalone app is retired", func() bool {
		var list gen.EventList
		p.get("auditor", "/v1/events?type=InstallationRetired&limit=10", &list)
		return len(list.Items) > 0
	})

	// support hands a reset password to the phone, without SMS.
	u.identify()
	var d gen.CredentialDelivery
	p.post("operator", "/v1/users/"+u.id+"/credential-deliveries", gen.CredentialDeliveryRequest{
		What: "reset_password", Channel: "in_app", ResetRef: "reset-1", Credential: "correct horse 7",
	}, &d)
	if got := p.mustRun("phone", "collect", "--file", now, "--delivery", string(d.DeliveryId), "--uv", "face_id"); got != "correct horse 7" {
		t.Errorf("collected %d characters", len(got))
	}
	if _, err := p.run("phone", "collect", "--file", now, "--delivery", string(d.DeliveryId), "--uv", "face_id"); err == nil {
		t.Error("the password was shown twice")
	}
}
