package api

import (
	"net/http"
	"testing"

	"github.com/authledger/authledger/api/access"
	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain"
)

// verifiedIdentity opens the window in which an agent may act for a user.
func (w *world) verifiedIdentity(user string) {
	w.t.Helper()
	want[gen.IdentityVerification](w.t, w.post(access.Operator, "/v1/users/"+user+"/identity-verifications",
		map[string]any{"agentRef": "agent-1", "method": "callback"}), 201)
}

// act wants an action's status and reason.
func (w *world) acts(role access.Role, path string, body map[string]any, status gen.ActionResultStatus, reason string) {
	w.t.Helper()
	if a := want[gen.ActionResult](w.t, w.post(role, path, body), 200); a.Status != status || a.ReasonCode != reason {
		w.t.Errorf("%s %v: %+v, want %s %s", path, body, a, status, reason)
	}
}

const (
	recorded  = gen.ActionResultStatusRecorded
	unchanged = gen.ActionResultStatusUnchanged
	rejected  = gen.ActionResultStatusRefused
)

func TestLostAuthenticatorIsSuspended(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	done := w.enrollIBKey()
	path := "/v1/authenticators/" + done.AuthenticatorId
	for role, by := range map[access.Role]string{access.Frontend: "agent", access.Operator: "client"} {
		if a := w.post(role, path+"/loss", map[string]any{"by": by}); a.status != http.StatusBadRequest || a.code(t) != "validation_failed" {
			t.Errorf("%s as %s: %d %s", role, by, a.status, a.body)
		}
	}
	w.acts(access.Operator, path+"/loss", map[string]any{"by": "agent"}, rejected, "IDV_REQUIRED")
	w.acts(access.Frontend, path+"/loss", map[string]any{"by": "client"}, recorded, "")
	w.acts(access.Frontend, path+"/loss", map[string]any{"by": "client"}, unchanged, "")
	list := want[gen.AuthenticatorList](t, w.get(access.Frontend, "/v1/users/"+w.user+"/authenticators"), 200)
	if a := list.Items[0]; len(list.Items) != 1 || a.Status != gen.AuthenticatorStatusSuspended || a.Suspended != "reported_lost" || a.SuspendedAt.IsZero() {
		t.Fatalf("authenticators: %+v", list)
	}
	if a := w.login(); a.Decision != gen.AuthenticationDecisionEnroll {
		t.Fatalf("login without one that can answer: %+v", a)
	}
	w.acts(access.Incident, path+"/suspension", map[string]any{"reason": "reported_lost"}, unchanged, "")
	w.acts(access.Incident, path+"/suspension", map[string]any{"reason": "compromise_suspected"}, recorded, "")
	agent := map[string]any{"proof": "agent"}
	if a := w.post(access.Frontend, path+"/reactivation", agent); a.status != http.StatusBadRequest {
		t.Errorf("the login page as agent: %d %s", a.status, a.body)
	}
	if no := want[gen.ProofAnswer](t, w.post(access.Operator, path+"/reactivation", agent), 200); no.Status != gen.ProofAnswerStatusRefused || no.ReasonCode != "IDV_REQUIRED" {
		t.Fatalf("agent without identity verification: %+v", no)
	}
	w.verifiedIdentity(w.user)
	if yes := want[gen.ProofAnswer](t, w.post(access.Operator, path+"/reactivation", agent), 200); yes.Status != gen.ProofAnswerStatusRecorded || len(yes.EventIds) != 1 {
		t.Fatalf("agent: %+v", yes)
	}
	if no := want[gen.ProofAnswer](t, w.post(access.Operator, path+"/reactivation", agent), 200); no.ReasonCode != "AUTHENTICATOR_NOT_SUSPENDED" {
		t.Fatalf("again: %+v", no)
	}
	if a := w.post(access.Frontend, "/v1/authenticators/aut"+w.user[3:]+"_99/loss", map[string]any{"by": "client"}); a.status != http.StatusNotFound {
		t.Errorf("an authenticator of nobody: %d", a.status)
	}
}

func TestSuspendedAuthenticatorProvesItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	done := w.enrollIBKey()
	path := "/v1/authenticators/" + done.AuthenticatorId
	w.acts(access.Operator, path+"/suspension", map[string]any{"reason": "reported_lost"}, recorded, "")
	own := map[string]any{"proof": "own_response"}
	if a := w.post(access.Frontend, path+"/reactivation", own); a.status != http.StatusBadRequest {
		t.Errorf("without an authentication: %d %s", a.status, a.body)
	}
	own["authenticationId"] = w.begin(w.user, "activation")
	asked := want[gen.ProofAnswer](t, w.post(access.Frontend, path+"/reactivation", own), 200)
	c := asked.Challenge
	if asked.Status != gen.ProofAnswerStatusChallenged || c.SubjectId != done.AuthenticatorId || c.Process.Kind != gen.ProcessStepKindReactivation ||
		c.Process.Step != gen.ProcessStepStepAwaitingProof || len(c.OfflineChallenge) != 6 {
		t.Fatalf("reactivation: %+v", asked)
	}
	response := w.ocra(done.Ocra, c.OfflineChallenge)
	proved := w.respond(c.Id, response, gen.ResultProved)
	if proved.Process.Step != gen.ProcessStepStepDone || proved.Process.AuthenticatorId != done.AuthenticatorId || proved.SessionRef != "" {
		t.Fatalf("proof: %+v", proved)
	}
	if again := w.respond(c.Id, response, gen.ResultDeny); again.LastAttempt != gen.Incorrect {
		t.Fatalf("the same answer again: %+v", again)
	}
	list := want[gen.AuthenticatorList](t, w.get(access.Frontend, "/v1/users/"+w.user+"/authenticators"), 200)
	if list.Items[0].Status != gen.AuthenticatorStatusActive {
		t.Fatalf("authenticators: %+v", list)
	}
	oscc := map[string]any{"proof": "oscc", "authenticationId": own["authenticationId"]}
	w.acts(access.Operator, path+"/suspension", map[string]any{"reason": "reported_lost"}, recorded, "")
	if no := want[gen.ProofAnswer](t, w.post(access.Frontend, path+"/reactivation", oscc), 200); no.ReasonCode != "OSCC_SCOPE" {
		t.Fatalf("no login with an online card: %+v", no)
	}
}

func TestAuthenticatorIsRevoked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	done := w.enrollIBKey()
	path := "/v1/authenticators/" + done.AuthenticatorId + "/revocation"
	w.acts(access.Operator, path, map[string]any{"reason": "lost"}, rejected, "IDV_REQUIRED")
	yes := want[gen.ActionResult](t, w.post(access.Frontend, path, map[string]any{"reason": "client_request"}), 200)
	if yes.Status != recorded || len(yes.EventIds) != 2 {
		t.Fatalf("revocation: %+v", yes)
	}
	w.acts(access.Frontend, path, map[string]any{"reason": "client_request"}, unchanged, "")
	list := want[gen.AuthenticatorList](t, w.get(access.Frontend, "/v1/users/"+w.user+"/authenticators"), 200)
	if len(list.Items) != 1 || list.Items[0].Kind != gen.KindSms {
		t.Fatalf("SMS takes its place: %+v", list)
	}
	w.acts(access.Frontend, "/v1/authenticators/"+list.Items[0].AuthenticatorId+"/revocation", map[string]any{"reason": "client_request"}, rejected, "LAST_AUTHENTICATOR")
}

func TestUserIsAddedToAnAppAndTakenOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	app := w.install("ibkr_mobile", "ios", "hs-1")
	second := w.newUser("U-2", w.client, "HK")
	w.verifiedPhone(second, "+852 6765 4321")
	add := func(status int) gen.Enrollment {
		t.Helper()
		return want[gen.Enrollment](t, w.post(access.Frontend, "/v1/users/"+second+"/enrollments", map[string]any{
			"kind": "ibkey", "flow": "add_user", "installationId": app.id, "authenticationId": w.begin(second, "activation"),
		}), status)
	}
	if no := add(200); no.Status != gen.EnrollmentStatusRefused || no.ReasonCode != "IBKEY_NOT_ACTIVE_HERE" {
		t.Fatalf("where nobody is active: %+v", no)
	}
	w.enrollOn(app, w.user, "face_id")
	if yes := add(201); yes.Status != gen.EnrollmentStatusCodeSent || yes.MaskedTo != "+852 •••• 4321" {
		t.Fatalf("add user: %+v", yes)
	}
	removal := "/v1/installations/" + app.id + "/users/" + w.user + "/removal"
	w.acts(access.Device, removal, map[string]any{}, recorded, "")
	if a := w.post(access.Device, removal, nil); a.status != http.StatusNotFound {
		t.Errorf("removal of who is gone: %d %s", a.status, a.body)
	}
	sms := map[string]any{"kind": "sms", "authenticationId": w.begin(w.user, "activation")}
	if a := w.post(access.Frontend, "/v1/users/"+w.user+"/enrollments", sms); a.status != http.StatusBadRequest {
		t.Errorf("SMS by hand: %d %s", a.status, a.body)
	}
	for field, kind := range map[string]string{"/installationId": "ibkey", "/deviceId": "dsc_plus"} {
		a := w.post(access.Frontend, "/v1/users/"+w.user+"/enrollments", map[string]any{"kind": kind, "authenticationId": sms["authenticationId"]})
		if p := want[gen.Problem](t, a, http.StatusBadRequest); len(p.Errors) != 1 || p.Errors[0].Pointer != field || p.Errors[0].Code != "required" {
			t.Errorf("%s without %s: %s", kind, field, a.body)
		}
	}
}

func TestBlockedPINSuspendsUntilRecovery(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	app := w.install("ibkr_mobile", "android", "hs-1")
	path := "/v1/installations/" + app.id
	w.acts(access.Device, path+"/pin", map[string]any{"pinPolicyVersion": 1}, recorded, "")
	done := w.enrollOn(app, w.user, "app_pin")
	if a := w.post(access.Device, path+"/pin-block", map[string]any{"wrongEntries": 3}); a.status != http.StatusBadRequest {
		t.Errorf("three wrong entries: %d %s", a.status, a.body)
	}
	w.acts(access.Device, path+"/pin-block", map[string]any{"wrongEntries": 10}, recorded, "")
	w.acts(access.Device, path+"/pin-block", map[string]any{"wrongEntries": 11}, unchanged, "")
	w.system(domain.SuspendAuthenticator{AuthenticatorID: done.AuthenticatorId, Reason: "pin_blocked"})
	no := want[gen.ProofAnswer](t, w.post(access.Frontend, "/v1/authenticators/"+done.AuthenticatorId+"/reactivation", map[string]any{
		"proof": "own_response", "authenticationId": w.begin(w.user, "activation"),
	}), 200)
	if no.Status != gen.ProofAnswerStatusRefused || no.ReasonCode != "INSTALLATION_BLOCKED" {
		t.Fatalf("own response with a blocked PIN: %+v", no)
	}
}
