package api

import (
	"net/http"
	"testing"
	"time"

	"github.com/authledger/authledger/api/access"
	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/journal"
)

// recovering starts a recovery on an installation.
func (w *world) recovering(h handset, handover string, status int) gen.Recovery {
	w.t.Helper()
	body := map[string]any{"installationId": h.id, "authenticationId": w.begin(w.user, "recovery"), "cause": "reinstalled"}
	if handover != "" {
		body["handover"] = handover
	}
	return want[gen.Recovery](w.t, w.post(access.Device, "/v1/users/"+w.user+"/recoveries", body), status)
}

func TestIBKeyComesBackByItsFormerKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	old := w.enrollIBKey()
	again := w.install("ibkr_mobile", "ios", "hs-1")
	handover := w.sign("authledger/handover/v1\n" + journal.HandoverText(w.user, w.installation, again.id))
	r := w.recovering(again, handover, 201)
	if r.Status != gen.RecoveryStatusProved || r.Proof != gen.RecoveryProofOriginalUv || r.MessageId != "" {
		t.Fatalf("start: %+v", r)
	}
	path := "/v1/recoveries/" + r.RecoveryId
	if a := w.post(access.Device, path+"/resend", nil); a.status != http.StatusConflict || a.code(t) != "process_closed" {
		t.Fatalf("resend of no code: %d %s", a.status, a.body)
	}
	no := want[gen.RecoveryCompletion](t, w.post(access.Device, path+"/complete", map[string]any{"uv": "app_pin"}), 200)
	if no.Status != gen.RecoveryCompletionStatusRefused || no.ReasonCode != "UV_METHOD" {
		t.Fatalf("PIN on iOS: %+v", no)
	}
	done := want[gen.RecoveryCompletion](t, w.post(access.Device, path+"/complete", map[string]any{"uv": "face_id"}, headerKey, "r-1"), 200)
	if done.Status != gen.RecoveryCompletionStatusCompleted || done.Ocra.Secret == "" || len(done.Revoked) != 1 || done.Revoked[0] != old.AuthenticatorId {
		t.Fatalf("complete: %+v", done)
	}
	repeat := want[gen.RecoveryCompletion](t, w.post(access.Device, path+"/complete", map[string]any{"uv": "face_id"}, headerKey, "r-1"), 200)
	if repeat.Ocra != done.Ocra {
		t.Fatalf("the repeat: %+v", repeat)
	}
	w.quiet(handover, done.Ocra.Secret)
}

func TestRecoveryByMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	w.enrollIBKey()
	if no := w.recovering(w.install("ibkr_mobile", "ios", "hs-9"), "", 200); no.Status != gen.RecoveryStatusRefused || no.ReasonCode != "RECOVERY_HANDSET" {
		t.Fatalf("another phone: %+v", no)
	}
	again := w.install("ibkr_mobile", "ios", "hs-1")
	w.clock.advance(3 * time.Minute)
	r := w.recovering(again, "not-a-signature", 201)
	if r.Status != gen.RecoveryStatusCodeSent || r.Proof != gen.RecoveryProofSms || r.MaskedTo != "+852 •••• 4567" {
		t.Fatalf("a wrong signature proves nothing: %+v", r)
	}
	path := "/v1/recoveries/" + r.RecoveryId
	first := w.codeFor(domain.PurposeRecovery, r.RecoveryId)
	w.clock.advance(2 * time.Minute)
	if sent := want[gen.Recovery](t, w.post(access.Device, path+"/resend", nil), 200); sent.Status != gen.RecoveryStatusCodeSent || sent.RecoveryId != r.RecoveryId {
		t.Fatalf("resend: %+v", sent)
	}
	old := want[gen.Recovery](t, w.post(access.Device, path+"/proof", map[string]any{"code": first}), 200)
	if old.Status != gen.RecoveryStatusCodeRejected || old.ReasonCode != "ACTIVATION_CODE_SUPERSEDED" {
		t.Fatalf("the first code: %+v", old)
	}
	yes := want[gen.Recovery](t, w.post(access.Device, path+"/proof", map[string]any{"code": w.codeFor(domain.PurposeRecovery, r.RecoveryId)}), 200)
	if yes.Status != gen.RecoveryStatusProved {
		t.Fatalf("the second code: %+v", yes)
	}
	if a := want[gen.ActionResult](t, w.post(access.Device, path+"/cancel", nil), 200); a.Status != gen.ActionResultStatusRecorded {
		t.Fatalf("cancel: %+v", a)
	}
	if a := w.post(access.Device, path+"/complete", map[string]any{"uv": "face_id"}); a.status != http.StatusConflict || a.code(t) != "process_closed" {
		t.Fatalf("complete after the end: %d %s", a.status, a.body)
	}
}
