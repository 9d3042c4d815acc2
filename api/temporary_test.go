package api

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/authledger/authledger/api/access"
	"github.com/authledger/authledger/api/gen"
)

// german brings a user of a country without a mandatory regime into being.
func (w *world) german() {
	w.t.Helper()
	w.client = w.newClient("C-DE", "individual", "IE")
	w.user = w.newUser("U-DE", w.client, "DE")
	w.phone = w.verifiedPhone(w.user, "+49 170 1234567")
}

// passcode issues a temporary passcode for a missing authenticator.
func (w *world) passcode(missing, key string, status int) gen.TemporaryPasscode {
	w.t.Helper()
	return want[gen.TemporaryPasscode](w.t, w.post(access.Operator, "/v1/users/"+w.user+"/temporary-passcodes",
		map[string]any{"missingAuthenticatorId": missing}, headerKey, key), status)
}

func TestTemporaryPasscodeBridgesALoss(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.german()
	w.enrollSMS()
	missing := w.enrollIBKey().AuthenticatorId
	if no := w.passcode(missing, "t-0", 200); no.Status != gen.TemporaryPasscodeStatusRefused || no.ReasonCode != "IDV_REQUIRED" || no.Passcode != "" {
		t.Fatalf("without identity verification: %+v", no)
	}
	w.verifiedIdentity(w.user)
	code := w.passcode(missing, "t-1", 201)
	if code.Status != gen.TemporaryPasscodeStatusIssued || len(code.Passcode) != 8 || !code.FullUntil.Equal(w.clock.Now().Add(48*time.Hour)) ||
		!code.EndsAt.Equal(w.clock.Now().Add(288*time.Hour)) || code.ScopeRuleId == "" {
		t.Fatalf("passcode: %+v", code)
	}
	if again := w.passcode(missing, "t-1", 201); again.Passcode != code.Passcode {
		t.Fatalf("the repeat of a lost answer: %+v", again)
	}
	if no := w.passcode(missing, "t-2", 200); no.ReasonCode != "TEMP_CONSECUTIVE" {
		t.Fatalf("a second one: %+v", no)
	}
	c := w.login().Challenge
	if c.Mode != gen.ModeStaticCode || c.Kind != gen.KindTempCode || !slices.Contains(c.Actions, gen.ChallengeActionsRespond) {
		t.Fatalf("login: %+v", c)
	}
	w.respond(c.Id, "AAAAAAAA", gen.ResultWaiting)
	if in := w.respond(c.Id, strings.ToLower(code.Passcode), gen.ResultAllow); in.Scope != gen.ScopeFull {
		t.Fatalf("right passcode: %+v", in)
	}
	w.clock.advance(48 * time.Hour)
	if a := w.login(); a.Decision != gen.AuthenticationDecisionDeny || a.ReasonCode != "" {
		t.Fatalf("trading after 48 hours: %+v", a)
	}
	portal := w.login("platform", "client_portal").Challenge
	if in := w.respond(portal.Id, code.Passcode, gen.ResultAllow); in.Scope != gen.ScopeRecoveryOnly {
		t.Fatalf("portal after 48 hours: %+v", in)
	}
	w.clock.advance(288 * time.Hour)
	if again := w.passcode(missing, "t-1", 201); again.Passcode != "" || again.AuthenticatorId != code.AuthenticatorId {
		t.Fatalf("the repeat after its end: %+v", again)
	}
	w.quiet(code.Passcode)
}

func TestTemporaryPasscodeInHongKongOnlyRecovers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	missing := w.enrollIBKey().AuthenticatorId
	w.verifiedIdentity(w.user)
	code := w.passcode(missing, "t-1", 201)
	if !code.FullUntil.IsZero() || code.ScopeRuleId != "HK-TEMP-1" {
		t.Fatalf("passcode: %+v", code)
	}
	if a := w.login(); a.Decision != gen.AuthenticationDecisionDeny || !a.ExpiresAt.IsZero() {
		t.Fatalf("trading: %+v", a)
	}
}

func TestOnlineCardIsMadeActivatedAndUsed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.german()
	w.enrollSMS()
	missing := w.enrollIBKey().AuthenticatorId
	w.verifiedIdentity(w.user)
	code := w.passcode(missing, "t-1", 201)
	portal := w.login("platform", "client_portal")
	issue := func(txn, key string, status int) gen.CodeCard {
		t.Helper()
		return want[gen.CodeCard](t, w.post(access.Frontend, "/v1/users/"+w.user+"/code-cards",
			map[string]any{"kind": "oscc", "authenticationId": txn}, headerKey, key), status)
	}
	if no := issue(portal.AuthenticationId, "k-0", 200); no.Status != gen.CodeCardStatusRefused || no.ReasonCode != "OSCC_SCOPE" || len(no.Cells) != 0 {
		t.Fatalf("before the login succeeded: %+v", no)
	}
	w.respond(portal.Challenge.Id, code.Passcode, gen.ResultAllow)
	card := issue(portal.AuthenticationId, "k-1", 201)
	if card.Status != gen.CodeCardStatusIssued || len(card.Cells) < 16 || len(card.Cells[0]) != 3 {
		t.Fatalf("card: %+v", card)
	}
	if again := issue(portal.AuthenticationId, "k-1", 201); !slices.Equal(again.Cells, card.Cells) {
		t.Fatalf("the repeat of a lost answer: %+v", again)
	}
	path := "/v1/code-cards/" + card.AuthenticatorId + "/activation"
	asked := want[gen.ProofAnswer](t, w.post(access.Frontend, path, map[string]any{}), 200)
	c := asked.Challenge
	if asked.Status != gen.ProofAnswerStatusChallenged || c.Mode != gen.ModeGrid || len(c.GridIndices) != 2 || c.GridIndices[0] == c.GridIndices[1] ||
		c.Process.Kind != gen.ProcessStepKindCodeCard || c.Result != gen.ResultWaiting {
		t.Fatalf("activation: %+v", asked)
	}
	cells := func(c gen.Challenge) string { return card.Cells[c.GridIndices[0]-1] + card.Cells[c.GridIndices[1]-1] }
	w.respond(c.Id, "??????", gen.ResultWaiting)
	done := w.respond(c.Id, cells(c), gen.ResultProved)
	if done.Process.Step != gen.ProcessStepStepDone || done.Process.AuthenticatorId != card.AuthenticatorId || done.SessionRef != "" || len(done.GridIndices) != 0 {
		t.Fatalf("activated: %+v", done)
	}
	if again := issue(portal.AuthenticationId, "k-1", 201); len(again.Cells) != 0 {
		t.Fatalf("cells after the activation: %+v", again)
	}
	if a := w.post(access.Frontend, path, map[string]any{}); a.status != http.StatusNotFound {
		t.Fatalf("activation again: %d %s", a.status, a.body)
	}
	login := w.login("platform", "client_portal")
	if login.Challenge.Kind != gen.KindOscc || len(login.Challenge.GridIndices) != 2 {
		t.Fatalf("login: %+v", login.Challenge)
	}
	w.respond(login.Challenge.Id, cells(login.Challenge), gen.ResultAllow)
	found := want[gen.ProofAnswer](t, w.post(access.Frontend, "/v1/authenticators/"+missing+"/reactivation",
		map[string]any{"proof": "oscc", "authenticationId": login.AuthenticationId}), 200)
	if found.Status != gen.ProofAnswerStatusRecorded {
		t.Fatalf("the phone was found: %+v", found)
	}
	list := want[gen.AuthenticatorList](t, w.get(access.Frontend, "/v1/users/"+w.user+"/authenticators"), 200)
	if len(list.Items) != 1 || list.Items[0].AuthenticatorId != missing {
		t.Fatalf("authenticators: %+v", list)
	}
	printed := want[gen.CodeCard](t, w.post(access.Frontend, "/v1/users/"+w.user+"/code-cards", map[string]any{"kind": "scc"}), 200)
	if printed.Status != gen.CodeCardStatusRefused || printed.ReasonCode != "CODE_CARD_NOT_ISSUED" {
		t.Fatalf("printed card: %+v", printed)
	}
	w.quiet(code.Passcode, card.Cells[0]+card.Cells[1], cells(login.Challenge))
}

func TestResetPasswordWaitsInTheApp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	w.enrollIBKey()
	deliver := func(body map[string]any) answer {
		t.Helper()
		return w.post(access.Operator, "/v1/users/"+w.user+"/credential-deliveries", body)
	}
	body := map[string]any{"what": "reset_password", "channel": "in_app", "resetRef": "R-1"}
	if a := deliver(body); a.status != http.StatusBadRequest || !strings.Contains(string(a.body), `"/credential"`) {
		t.Errorf("without the password: %d %s", a.status, a.body)
	}
	body["credential"] = "correct " + marker
	if no := want[gen.CredentialDelivery](t, deliver(body), 200); no.Status != gen.CredentialDeliveryStatusRefused || no.ReasonCode != "IDV_REQUIRED" {
		t.Fatalf("without identity verification: %+v", no)
	}
	w.verifiedIdentity(w.user)
	waiting := want[gen.CredentialDelivery](t, deliver(body), 201)
	if waiting.Status != gen.CredentialDeliveryStatusDelivered || waiting.InstallationId != w.installation || waiting.ExpiresAt.IsZero() {
		t.Fatalf("delivery: %+v", waiting)
	}
	body["channel"] = "agent_voice"
	if a := deliver(body); a.status != http.StatusBadRequest {
		t.Errorf("a password that goes nowhere: %d %s", a.status, a.body)
	}
	delete(body, "credential")
	if spoken := want[gen.CredentialDelivery](t, deliver(body), 201); spoken.InstallationId != "" {
		t.Errorf("by voice: %+v", spoken)
	}
	path := "/v1/installations/" + w.installation + "/credentials"
	ms := func() string { return strconv.FormatInt(w.clock.Now().UnixMilli(), 10) }
	list := want[gen.CredentialList](t, w.get(access.Device, path, "Authledger-Installation-Proof", ms()+"."+w.sign("authledger/request/v1\nGET\n"+path+"\n"+ms())), 200)
	if len(list.Items) != 1 || list.Items[0].DeliveryId != waiting.DeliveryId || list.Items[0].What != gen.WaitingCredentialWhatResetPassword {
		t.Fatalf("what waits: %+v", list)
	}
	if a := w.get(access.Device, path, "Authledger-Installation-Proof", ms()+"."+w.sign("something else")); a.status != http.StatusUnauthorized {
		t.Errorf("list without proof: %d", a.status)
	}
	collect := func(text, key string) answer {
		t.Helper()
		return w.post(access.Device, path+"/"+waiting.DeliveryId+"/collection", map[string]any{"proof": ms() + "." + w.sign(text)}, headerKey, key)
	}
	good := func() string { return "authledger/collect/v1\n" + waiting.DeliveryId + "\n" + ms() }
	if a := collect("authledger/collect/v1\nother\n"+ms(), "x-0"); a.status != http.StatusUnauthorized || a.code(t) != "signature_invalid" {
		t.Fatalf("wrong proof: %d %s", a.status, a.body)
	}
	first := want[gen.CollectedCredential](t, collect(good(), "x-1"), 200)
	if first.Credential != "correct "+marker || first.What != gen.CollectedCredentialWhatResetPassword || len(first.EventIds) != 1 {
		t.Fatalf("collection: %+v", first)
	}
	if a := collect("authledger/collect/v1\nother\n"+ms(), "x-1"); a.status != http.StatusUnauthorized {
		t.Fatalf("the repeat without proof: %d %s", a.status, a.body)
	}
	w.clock.advance(3 * time.Minute)
	if again := want[gen.CollectedCredential](t, collect(good(), "x-1"), 200); again.Credential != first.Credential {
		t.Fatalf("the repeat: %+v", again)
	}
	if a := collect(good(), "x-2"); a.status != http.StatusConflict || a.code(t) != "process_closed" {
		t.Fatalf("another request: %d %s", a.status, a.body)
	}
	w.clock.advance(waiting.ExpiresAt.Sub(w.clock.Now()))
	if late := want[gen.CollectedCredential](t, collect(good(), "x-1"), 200); late.Credential != "" {
		t.Fatalf("the repeat after its end: %+v", late)
	}
	w.quiet(marker)
}
