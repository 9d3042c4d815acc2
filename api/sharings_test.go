package api

import (
	"net/http"
	"testing"

	"github.com/authledger/authledger/api/access"
	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain"
)

// couple is two users of different clients; the first has a card, the second
// SMS.
func couple(t *testing.T) (w *world, card *unit, owned, second string) {
	t.Helper()
	w = newWorld(t, withPSKC)
	w.register()
	w.enrollSMS()
	w.enrollIBKey()
	card = w.card("SN-1", w.user)
	owned = w.activateCard(card, w.user)
	second = w.newUser("U-2", w.newClient("C-2", "individual", "HK"), "HK")
	w.system(domain.EvaluateAutoSMS{UserID: second, PhoneID: w.verifiedPhone(second, "+852 6765 4321")})
	return w, card, owned, second
}

// share asks for an authenticator of another user.
func (w *world) share(user, authenticator string, identical bool, status int) gen.DeviceSharing {
	w.t.Helper()
	body := map[string]any{"authenticatorId": authenticator, "authenticationId": w.begin(user, "device_sharing")}
	if identical {
		body["identityMatch"], body["evidenceRef"] = true, "IDM-5"
	}
	return want[gen.DeviceSharing](w.t, w.post(access.Frontend, "/v1/users/"+user+"/device-sharings", body), status)
}

func TestUnitIsSharedAfterItAnsweredAndComplianceAgreed(t *testing.T) {
	t.Parallel()
	w, card, owned, second := couple(t)
	if no := w.share(second, owned, false, 200); no.Status != gen.DeviceSharingStatusDenied || no.ReasonCode != "SHARE_IDENTITY" || no.SharingId == "" {
		t.Fatalf("strangers: %+v", no)
	}
	asked := w.share(second, owned, true, 201)
	c := asked.Challenge
	if asked.Status != gen.DeviceSharingStatusChallenged || c.SubjectId != asked.SharingId || len(c.OfflineChallenge) != 6 {
		t.Fatalf("request: %+v", asked)
	}
	path := "/v1/device-sharings/" + asked.SharingId + "/decision"
	decide := func(grant bool) gen.DeviceSharing {
		t.Helper()
		return want[gen.DeviceSharing](t, w.post(access.Compliance, path, map[string]any{"grant": grant}), 200)
	}
	if early := decide(true); early.Status != gen.DeviceSharingStatusUnchanged {
		t.Fatalf("verdict before the proof: %+v", early)
	}
	proved := w.respond(c.Id, card.answer(c.OfflineChallenge), gen.ResultProved)
	if p := proved.Process; p.Kind != gen.ProcessStepKindDeviceSharing || p.Id != asked.SharingId {
		t.Fatalf("proof: %+v", proved)
	}
	if proved.Process.Step == gen.ProcessStepStepAwaitingReview {
		yes := decide(true)
		if yes.Status != gen.DeviceSharingStatusGranted || yes.AuthenticatorId == "" {
			t.Fatalf("verdict: %+v", yes)
		}
	}
	list := want[gen.AuthenticatorList](t, w.get(access.Frontend, "/v1/users/"+second+"/authenticators"), 200)
	if len(list.Items) != 1 || list.Items[0].Kind != gen.KindDscPlus || !list.Items[0].Shared || list.Items[0].DeviceId != card.id {
		t.Fatalf("authenticators: %+v", list)
	}
	if a := w.post(access.Frontend, path, map[string]any{"grant": true}); a.status != http.StatusForbidden {
		t.Errorf("the login page decides: %d", a.status)
	}
}

func TestComplianceDeniesASharing(t *testing.T) {
	t.Parallel()
	w, card, owned, second := couple(t)
	// The rule book may ask for a review of every such request.
	w.acts(access.Compliance, "/v1/policy/parameters/sharing.compliance_review", map[string]any{"value": 1, "effectiveFrom": "2026-01-01", "reason": "four eyes"}, recorded, "")
	asked := w.share(second, owned, true, 201)
	proved := w.respond(asked.Challenge.Id, card.answer(asked.Challenge.OfflineChallenge), gen.ResultProved)
	if proved.Process.Step != gen.ProcessStepStepAwaitingReview || proved.Process.AuthenticatorId != "" {
		t.Fatalf("proof: %+v", proved)
	}
	no := want[gen.DeviceSharing](t, w.post(access.Compliance, "/v1/device-sharings/"+asked.SharingId+"/decision", map[string]any{"grant": false}), 200)
	if no.Status != gen.DeviceSharingStatusDenied || no.ReasonCode != "COMPLIANCE_DENIED" {
		t.Fatalf("verdict: %+v", no)
	}
	if got := want[gen.Challenge](t, w.get(access.Frontend, "/v1/challenges/"+asked.Challenge.Id), 200); got.Process.Step != gen.ProcessStepStepDenied {
		t.Fatalf("the challenge afterwards: %+v", got)
	}
}
