package api

import (
	"net/http"
	"testing"
	"time"

	"github.com/authledger/authledger/api/access"
	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain"
)

// moving starts a migration to a phone.
func (w *world) moving(h handset, status int) gen.Migration {
	w.t.Helper()
	return want[gen.Migration](w.t, w.post(access.Device, "/v1/users/"+w.user+"/migrations", map[string]any{
		"installationId": h.id, "authenticationId": w.begin(w.user, "migration"),
	}), status)
}

func TestIBKeyMovesToAnotherPhone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	old := w.enrollIBKey()
	next := w.install("ibkr_mobile", "android", "hs-2")
	w.clock.advance(3 * time.Minute)
	m := w.moving(next, 201)
	if m.Status != gen.MigrationStatusCodeSent || m.Proof != gen.MigrationProofSms || m.MaskedTo != "+852 •••• 4567" || m.MessageId == "" || m.ExpiresAt.IsZero() {
		t.Fatalf("start: %+v", m)
	}
	path := "/v1/migrations/" + m.MigrationId
	soon := want[gen.Migration](t, w.post(access.Device, path+"/resend", nil), 200)
	if soon.Status != gen.MigrationStatusRefused || soon.ReasonCode != "SMS_COOLDOWN" || soon.RetryAfterS != 120 || soon.MigrationId != m.MigrationId {
		t.Fatalf("resend at once: %+v", soon)
	}
	wrong := want[gen.Migration](t, w.post(access.Device, path+"/proof", map[string]any{"code": "00000000"}), 200)
	if wrong.Status != gen.MigrationStatusCodeRejected || wrong.ReasonCode != "ACTIVATION_CODE_WRONG" || wrong.AttemptsLeft == nil || *wrong.AttemptsLeft != 2 {
		t.Fatalf("wrong code: %+v", wrong)
	}
	complete := func(key string) gen.MigrationCompletion {
		t.Helper()
		return want[gen.MigrationCompletion](t, w.post(access.Device, path+"/complete", map[string]any{"uv": "app_pin"}, headerKey, key), 200)
	}
	if no := complete("c-1"); no.Status != gen.MigrationCompletionStatusRefused || no.ReasonCode != "MIGRATION_PROOF" || no.Ocra.Secret != "" {
		t.Fatalf("complete without proof: %+v", no)
	}
	code := w.codeFor(domain.PurposeMigration, m.MigrationId)
	if yes := want[gen.Migration](t, w.post(access.Device, path+"/proof", map[string]any{"code": code}), 200); yes.Status != gen.MigrationStatusProved || yes.ExpiresAt.IsZero() {
		t.Fatalf("right code: %+v", yes)
	}
	pin := func(violation string) gen.ActionResult {
		t.Helper()
		body := map[string]any{"pinPolicyVersion": 1}
		if violation != "" {
			body["violation"] = violation
		}
		return want[gen.ActionResult](t, w.post(access.Device, "/v1/installations/"+next.id+"/pin", body), 200)
	}
	for _, violation := range []string{"PIN_POLICY", "PIN_MISMATCH"} {
		if a := pin(violation); a.Status != gen.ActionResultStatusRefused || a.ReasonCode != violation {
			t.Fatalf("PIN with violation %s: %+v", violation, a)
		}
		if no := complete("c-" + violation); no.Status != gen.MigrationCompletionStatusRefused || no.ReasonCode != violation {
			t.Fatalf("complete after %s: %+v", violation, no)
		}
	}
	pin("")
	done := complete("c-2")
	if done.Status != gen.MigrationCompletionStatusCompleted || done.Ocra.Secret == "" || done.Ocra.Secret == old.Ocra.Secret ||
		len(done.Revoked) != 1 || done.Revoked[0] != old.AuthenticatorId {
		t.Fatalf("complete: %+v", done)
	}
	if again := complete("c-2"); again.Ocra != done.Ocra || again.AuthenticatorId != done.AuthenticatorId {
		t.Fatalf("the repeat of a lost answer: %+v", again)
	}
	if a := w.post(access.Device, path+"/complete", map[string]any{"uv": "app_pin"}); a.status != http.StatusConflict || a.code(t) != "process_closed" {
		t.Fatalf("complete again: %d %s", a.status, a.body)
	}
	list := want[gen.AuthenticatorList](t, w.get(access.Frontend, "/v1/users/"+w.user+"/authenticators"), 200)
	if len(list.Items) != 1 || list.Items[0].AuthenticatorId != done.AuthenticatorId || list.Items[0].Os != "android" || list.Items[0].Trigger != "migration" {
		t.Fatalf("authenticators: %+v", list)
	}
	w.quiet(code, done.Ocra.Secret)
}

func TestMigrationIsRefusedOrGivenUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	target := w.install("ibkr_mobile", "ios", "hs-2")
	if no := w.moving(target, 200); no.Status != gen.MigrationStatusRefused || no.ReasonCode != "NOTHING_TO_MIGRATE" {
		t.Fatalf("without IB Key: %+v", no)
	}
	w.enrollIBKey()
	if no := w.moving(w.install("ibkr_mobile", "ios", "hs-1"), 200); no.ReasonCode != "SAME_HANDSET" {
		t.Fatalf("same phone: %+v", no)
	}
	body := map[string]any{"installationId": target.id, "authenticationId": "txn" + w.user[3:] + "_1"}
	if no := want[gen.Migration](t, w.post(access.Device, "/v1/users/"+w.user+"/migrations", body), 200); no.ReasonCode != "PRIMARY_FACTOR_REQUIRED" {
		t.Fatalf("without password: %+v", no)
	}
	body["authenticationId"] = w.begin(w.user, "migration")
	body["installationId"] = "ins_00000000000000000000000000"
	if a := w.post(access.Device, "/v1/users/"+w.user+"/migrations", body); a.status != http.StatusNotFound {
		t.Fatalf("phone of nobody: %d %s", a.status, a.body)
	}
	w.clock.advance(3 * time.Minute)
	m := w.moving(target, 201)
	cancel := func() gen.ActionResultStatus {
		t.Helper()
		return want[gen.ActionResult](t, w.post(access.Device, "/v1/migrations/"+m.MigrationId+"/cancel", nil), 200).Status
	}
	if first, second := cancel(), cancel(); first != gen.ActionResultStatusRecorded || second != gen.ActionResultStatusUnchanged {
		t.Fatalf("cancel: %s, then %s", first, second)
	}
	if a := w.post(access.Device, "/v1/migrations/"+m.MigrationId+"/proof", map[string]any{"code": "00000000"}); a.status != http.StatusConflict || a.code(t) != "process_closed" {
		t.Fatalf("proof after the end: %d %s", a.status, a.body)
	}
}

func TestMigrationIsProvedByThePhysicalDevice(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withPSKC)
	w.register()
	w.enrollSMS()
	w.enrollIBKey()
	card := w.card("SN-1", w.user)
	w.activateCard(card, w.user)
	m := w.moving(w.install("ibkr_mobile", "ios", "hs-2"), 201)
	c := m.Challenge
	if m.Status != gen.MigrationStatusChallenged || m.Proof != gen.MigrationProofPhysicalDevice || m.MessageId != "" || len(c.OfflineChallenge) != 6 ||
		c.Kind != gen.KindDscPlus || c.SubjectId != m.MigrationId || c.Process.Step != gen.ProcessStepStepAwaitingProof {
		t.Fatalf("start: %+v", m)
	}
	proved := w.respond(c.Id, card.answer(c.OfflineChallenge), gen.ResultProved)
	if p := proved.Process; p.Id != m.MigrationId || p.Kind != gen.ProcessStepKindMigration || p.Step != gen.ProcessStepStepProved || proved.SessionRef != "" {
		t.Fatalf("proof: %+v", proved)
	}
	done := want[gen.MigrationCompletion](t, w.post(access.Device, "/v1/migrations/"+m.MigrationId+"/complete", map[string]any{"uv": "face_id"}), 200)
	if done.Status != gen.MigrationCompletionStatusCompleted || done.Ocra.Secret == "" {
		t.Fatalf("complete: %+v", done)
	}
}
