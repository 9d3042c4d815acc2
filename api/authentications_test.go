package api

import (
	"testing"

	"github.com/authledger/authledger/api/access"
	"github.com/authledger/authledger/api/gen"
)

// TestUnattendedClientNeedsAnOptOut: a client nobody attends asks for a session
// without second factor, and gets it only where that was waived.
func TestUnattendedClientNeedsAnOptOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.german()
	w.enrollSMS()
	no := w.login("challenge", "none")
	if no.Decision != gen.AuthenticationDecisionDeny || no.Result != gen.ResultDeny || no.ReasonCode != "" || !no.ExpiresAt.IsZero() || no.Challenge.Id != "" {
		t.Fatalf("without an opt-out: %+v", no)
	}
	want[gen.OptOutAnswer](t, w.post(access.Frontend, "/v1/users/"+w.user+"/opt-out-requests", optOut(w.user, w.user, nil)), 200)
	yes := w.login("challenge", "none")
	if yes.Decision != gen.AuthenticationDecisionAllow || yes.SessionRef == "" || yes.Scope != gen.ScopeFull {
		t.Fatalf("with an opt-out: %+v", yes)
	}
}

func TestStepUpOpensNoFullSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	a := w.login("purpose", "step_up", "platform", "client_portal")
	if a.Decision != gen.AuthenticationDecisionChallenge || a.Challenge.Process.Id != "" {
		t.Fatalf("step-up: %+v", a)
	}
	if c := w.respond(a.Challenge.Id, w.codeFor("login", a.Challenge.Id), gen.ResultAllow); c.Scope != gen.ScopeStepUp {
		t.Fatalf("step-up: %+v", c)
	}
}

// TestPrintedCardIsMadeWhilePolicyAllowsIt, activated by its cells and used.
func TestPrintedCardIsMadeWhilePolicyAllowsIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	w.acts(access.Compliance, "/v1/policy/parameters/scc.issue", map[string]any{"value": 1, "effectiveFrom": "2026-01-01", "reason": "no phones at this client"}, recorded, "")
	card := want[gen.CodeCard](t, w.post(access.Frontend, "/v1/users/"+w.user+"/code-cards", map[string]any{"kind": "scc"}), 201)
	if card.Kind != gen.CodeCardKindScc || len(card.Cells) < 16 {
		t.Fatalf("card: %+v", card)
	}
	path := "/v1/code-cards/" + card.AuthenticatorId + "/activation"
	if no := want[gen.ProofAnswer](t, w.post(access.Frontend, path, map[string]any{}), 200); no.ReasonCode != "PRIMARY_FACTOR_REQUIRED" {
		t.Fatalf("without password: %+v", no)
	}
	c := want[gen.ProofAnswer](t, w.post(access.Frontend, path, map[string]any{"authenticationId": w.begin(w.user, "activation")}), 200).Challenge
	cells := func(c gen.Challenge) string {
		return card.Cells[c.GridIndices[0]-1] + " " + card.Cells[c.GridIndices[1]-1]
	}
	if done := w.respond(c.Id, cells(c), gen.ResultProved); done.Process.Kind != gen.ProcessStepKindCodeCard || done.Process.AuthenticatorId != card.AuthenticatorId {
		t.Fatalf("activated: %+v", done)
	}
	login := w.login().Challenge
	if login.Kind != gen.KindScc || login.Mode != gen.ModeGrid {
		t.Fatalf("login: %+v", login)
	}
	w.respond(login.Id, cells(login), gen.ResultAllow)
}
