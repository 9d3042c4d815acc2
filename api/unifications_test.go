package api

import (
	"net/http"
	"testing"

	"github.com/authledger/authledger/api/access"
	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/eventstore/journal"
)

func TestIBKeyLeavesTheStandaloneApp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	standalone := w.install("ibkey_standalone", "ios", "hs-1")
	key := w.enrollOn(standalone, w.user, "touch_id")
	app := w.install("ibkr_mobile", "ios", "hs-1")
	detect := func(h handset, kind string, extra ...string) answer {
		t.Helper()
		body := map[string]any{"installationId": h.id, "case": kind, "standaloneInstallationId": standalone.id}
		for _, name := range extra {
			body[name] = true
		}
		return w.post(access.Device, "/v1/users/"+w.user+"/unifications", body)
	}
	for name, no := range map[string]gen.Unification{
		"NOTHING_TO_UNIFY":          want[gen.Unification](t, detect(app, "trading_only"), 200),
		"UNIFICATION_OTHER_HANDSET": want[gen.Unification](t, detect(w.install("ibkr_mobile", "ios", "hs-2"), "both"), 200),
	} {
		if no.Status != gen.UnificationStatusRefused || no.ReasonCode != name {
			t.Errorf("%s: %+v", name, no)
		}
	}
	outdated := want[gen.Unification](t, detect(app, "both", "standaloneOutdated"), 201)
	if outdated.Action != gen.UnificationActionUpdateThenAuto {
		t.Fatalf("outdated: %+v", outdated)
	}
	offer := want[gen.Unification](t, detect(app, "both"), 201)
	if offer.Status != gen.UnificationStatusOffered || offer.Action != gen.UnificationActionAuto || offer.AuthenticatorId != key.AuthenticatorId {
		t.Fatalf("offer: %+v", offer)
	}
	if same := want[gen.Unification](t, detect(app, "both"), 200); same.Status != gen.UnificationStatusUnchanged || len(same.EventIds) != 0 {
		t.Fatalf("the same offer: %+v", same)
	}
	path := "/v1/unifications/" + offer.UnificationId
	if a := w.login("platform", "ibkr_mobile_ios", "deviceRef", app.id); a.Decision != gen.AuthenticationDecisionDeny || a.ReasonCode != "" {
		t.Fatalf("login in the new app before it: %+v", a)
	}
	if a := want[gen.ActionResult](t, w.post(access.Device, path+"/defer", nil), 200); a.Status != gen.ActionResultStatusRecorded {
		t.Fatalf("defer: %+v", a)
	}
	complete := func(signature, key string) gen.UnificationCompletion {
		t.Helper()
		return want[gen.UnificationCompletion](t, w.post(access.Device, path+"/complete", map[string]any{"handover": signature}, headerKey, key), 200)
	}
	text := "authledger/handover/v1\n" + journal.HandoverText(w.user, standalone.id, app.id)
	if no := complete(app.sign(t, text), "u-1"); no.Status != gen.UnificationCompletionStatusRefused || no.ReasonCode != "SIGNATURE_INVALID" || no.Ocra.Secret != "" {
		t.Fatalf("signed by the wrong app: %+v", no)
	}
	done := complete(standalone.sign(t, text), "u-2")
	if done.Status != gen.UnificationCompletionStatusCompleted || done.AuthenticatorId != key.AuthenticatorId || done.Ocra != key.Ocra {
		t.Fatalf("complete: %+v", done)
	}
	if repeat := complete(standalone.sign(t, text), "u-2"); repeat.Ocra != done.Ocra || repeat.Status != done.Status {
		t.Fatalf("the repeat: %+v", repeat)
	}
	if other := complete(standalone.sign(t, text), "u-3"); other.Status != gen.UnificationCompletionStatusUnchanged || other.Ocra.Secret != "" {
		t.Fatalf("another request: %+v", other)
	}
	list := want[gen.AuthenticatorList](t, w.get(access.Frontend, "/v1/users/"+w.user+"/authenticators"), 200)
	if len(list.Items) != 1 || list.Items[0].InstallationId != app.id {
		t.Fatalf("authenticators: %+v", list)
	}
	if a := w.post(access.Device, "/v1/unifications/uni"+w.user[3:]+"_99/defer", nil); a.status != http.StatusNotFound {
		t.Fatalf("a unification of nobody: %d", a.status)
	}
}
