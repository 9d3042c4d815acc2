package api

import (
	"slices"
	"testing"
	"time"

	"github.com/authledger/authledger/api/access"
	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain"
)

func TestLoginCodeIsSpoken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	c := w.login("releaseChannel", "latest").Challenge
	if !slices.Contains(c.Actions, gen.ChallengeActionsVoice) {
		t.Fatalf("actions: %v", c.Actions)
	}
	path := "/v1/challenges/" + c.Id
	texted := w.codeFor(domain.PurposeLogin, c.Id)
	call := want[gen.VoiceCall](t, w.post(access.Frontend, path+"/voice-calls", nil, headerKey, "call-1"), 201)
	if call.Status != gen.VoiceCallStatusRequested || call.CallId == "" || call.MaskedTo != "+852 •••• 4567" || len(call.EventIds) != 2 || call.ExpiresAt.IsZero() {
		t.Fatalf("call: %+v", call)
	}
	again := want[gen.VoiceCall](t, w.post(access.Frontend, path+"/voice-calls", nil, headerKey, "call-1"), 201)
	if again.CallId != call.CallId {
		t.Fatalf("the repeat made another call: %+v", again)
	}
	got := want[gen.Challenge](t, w.get(access.Frontend, path), 200)
	if got.Delivery.Channel != gen.DeliveryChannelVoice || got.Delivery.Status != gen.DeliveryStatusRequested || got.Delivery.CallId != call.CallId ||
		got.Delivery.MaskedTo != "+852 •••• 4567" || got.Status != gen.ChallengeStatusCreated {
		t.Fatalf("while it is asked for: %+v", got)
	}
	w.system(domain.RecordVoiceDispatch{CallID: call.CallId, Gateway: "sim"})
	w.system(domain.RecordVoicePlaced{CallID: call.CallId, Provider: "sim", ProviderRef: "v1", PlacedAt: w.clock.Now()})
	if got := want[gen.Challenge](t, w.get(access.Frontend, path), 200); got.Delivery.Status != gen.DeliveryStatusPlaced || got.Status != gen.ChallengeStatusDispatched {
		t.Fatalf("placed: %+v", got.Delivery)
	}
	old := want[gen.Challenge](t, w.post(access.Frontend, path+"/responses", map[string]any{"response": texted}), 200)
	if old.Result != gen.ResultWaiting || old.LastAttempt != gen.Incorrect || old.ReasonCode != "" || old.AttemptsLeft != 3 {
		t.Fatalf("the code of the message: %+v", old)
	}
	spoken := w.codeFor(domain.PurposeLogin, c.Id)
	right := want[gen.Challenge](t, w.post(access.Frontend, path+"/responses", map[string]any{"response": spoken}), 200)
	if right.Result != gen.ResultAllow || right.Scope != gen.ScopeFull || right.SessionRef == "" {
		t.Fatalf("the spoken code: %+v", right)
	}
	w.quiet(texted, spoken, "61234567")
}

// TestRefusedCallSaysNothing: which rule stands against a call is for the
// record (D-6).
func TestRefusedCallSaysNothing(t *testing.T) {
	t.Parallel()
	for name, login := range map[string][]string{
		"stable channel": {"releaseChannel", "stable"},
		"web trader":     {"platform", "webtrader"},
	} {
		w := newWorld(t)
		w.register()
		w.enrollSMS()
		c := w.login(login...).Challenge
		if slices.Contains(c.Actions, gen.ChallengeActionsVoice) {
			t.Errorf("%s: voice is offered", name)
		}
		no := want[gen.VoiceCall](t, w.post(access.Frontend, "/v1/challenges/"+c.Id+"/voice-calls", nil), 200)
		if no.Status != gen.VoiceCallStatusRefused || no.ReasonCode != "" || no.RetryAfterS != 0 || no.CallId != "" || len(no.EventIds) != 1 {
			t.Errorf("%s: %+v", name, no)
		}
	}
}

func TestCallForAnExpiredChallengeIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	c := w.login("platform", "client_portal").Challenge
	w.clock.advance(10 * time.Minute)
	no := want[gen.VoiceCall](t, w.post(access.Frontend, "/v1/challenges/"+c.Id+"/voice-calls", nil), 200)
	if no.Status != gen.VoiceCallStatusRefused || no.ReasonCode != "CHALLENGE_EXPIRED" {
		t.Fatalf("expired: %+v", no)
	}
	if a := w.post(access.Frontend, "/v1/challenges/chl_00000000000000000000000000_1/voice-calls", nil); a.status != 404 {
		t.Fatalf("challenge of nobody: %d", a.status)
	}
}

// TestProvidersReportWhatBecameOfACall: in any order and more than once.
func TestProvidersReportWhatBecameOfACall(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	c := w.login("platform", "client_portal").Challenge
	call := want[gen.VoiceCall](t, w.post(access.Frontend, "/v1/challenges/"+c.Id+"/voice-calls", nil), 201)
	w.system(domain.RecordVoiceDispatch{CallID: call.CallId, Gateway: "sim"})
	report := func(id, status string) gen.ReceiptResult {
		t.Helper()
		a := want[gen.ReceiptsAnswer](t, w.post(access.Gateway, routeReceipts, map[string]any{"receipts": []map[string]any{
			{"messageId": id, "status": status, "providerMessageId": "v-1", "durationS": 21},
		}}), 202)
		return a.Results[0]
	}
	for _, row := range []struct {
		id, status string
		outcome    gen.ReceiptResultOutcome
	}{
		{call.CallId, "queued", gen.ReceiptResultOutcomeIgnored},
		{call.CallId, "read", gen.ReceiptResultOutcomeIgnored},
		{call.CallId, "placed", gen.ReceiptResultOutcomeRecorded},
		{call.CallId, "placed", gen.ReceiptResultOutcomeIgnored},
		{call.CallId, "busy", gen.ReceiptResultOutcomeRecorded},
		{call.CallId, "answered", gen.ReceiptResultOutcomeRecorded},
		{c.Delivery.MessageId, "answered", gen.ReceiptResultOutcomeIgnored},
		{"cal" + w.user[3:] + "_999", "placed", gen.ReceiptResultOutcomeOrphan},
	} {
		if got := report(row.id, row.status); got.Outcome != row.outcome {
			t.Errorf("%s %s: %+v, want %s", row.id, row.status, got, row.outcome)
		}
	}
	if got := want[gen.Challenge](t, w.get(access.Frontend, "/v1/challenges/"+c.Id), 200); got.Delivery.Status != gen.DeliveryStatusAnswered {
		t.Errorf("delivery: %+v", got.Delivery)
	}
}
