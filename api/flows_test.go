package api

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/authledger/authledger/api/access"
	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/domain/ocra"
)

func TestUserLogsInBySMS(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	a := w.login()
	c := a.Challenge
	if a.Decision != gen.AuthenticationDecisionChallenge || c.Mode != gen.ModeSmsCode || c.Result != gen.ResultWaiting || c.Delivery.MaskedTo != "+852 •••• 4567" {
		t.Fatalf("login: %+v", a)
	}
	if len(a.Options) != 1 || a.Options[0].MaskedTo != "+852 •••• 4567" {
		t.Fatalf("options: %+v", a.Options)
	}
	path := "/v1/challenges/" + c.Id
	wrong := want[gen.Challenge](t, w.post(access.Frontend, path+"/responses", map[string]any{"response": "000000"}), 200)
	if wrong.Result != gen.ResultWaiting || wrong.LastAttempt != gen.Incorrect || wrong.ReasonCode != "" || wrong.AttemptsLeft != 2 {
		t.Fatalf("wrong code: %+v", wrong)
	}
	code := w.codeFor(domain.PurposeLogin, c.Id)
	right := want[gen.Challenge](t, w.post(access.Frontend, path+"/responses", map[string]any{"response": code}), 200)
	if right.Result != gen.ResultAllow || right.Status != gen.ChallengeStatusApproved || right.SessionRef == "" || len(right.EventIds) != 2 {
		t.Fatalf("right code: %+v", right)
	}
	again := want[gen.Challenge](t, w.post(access.Frontend, path+"/responses", map[string]any{"response": code}), 200)
	if again.Result != gen.ResultDeny || again.SessionRef != "" || again.LastAttempt != gen.Incorrect {
		t.Fatalf("the same code again under another key let somebody in: %+v", again)
	}
	w.quiet(code, "61234567", "chan.tai.man", "203.0.113.9")
}

func TestUserLogsInByPush(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	done := w.enrollIBKey()
	if done.Status != gen.EnrollmentCompletionStatusEnrolled || done.Ocra.Suite == "" || done.Ocra.Secret == "" || len(done.Revoked) != 1 {
		t.Fatalf("completion: %+v", done)
	}
	w.project()
	c := w.login().Challenge
	if c.Mode != gen.ModePush || len(c.MatchNumber) != 6 {
		t.Fatalf("challenge: %+v", c)
	}
	pending := want[gen.PendingList](t, w.pending(w.installation, "GET", w.clock.Now()), 200)
	if len(pending.Items) != 1 || pending.Items[0].ChallengeId != c.Id || !pending.Items[0].NumberMatching {
		t.Fatalf("pending: %+v", pending)
	}
	opened := w.post(access.Device, "/v1/installations/"+w.installation+"/challenges/"+c.Id+"/opened", map[string]any{})
	if a := want[gen.ActionResult](t, opened, 200); a.Status != gen.ActionResultStatusRecorded {
		t.Fatalf("opened: %+v", a)
	}
	if got := want[gen.Challenge](t, w.get(access.Frontend, "/v1/challenges/"+c.Id), 200); got.Status != gen.ChallengeStatusOpened {
		t.Fatalf("status %s, want opened", got.Status)
	}
	approved := want[gen.PushDecisionAnswer](t, w.decide(c, "approve", c.MatchNumber), 200)
	if approved.Result != gen.ResultAllow || approved.Status != gen.ChallengeStatusApproved {
		t.Fatalf("approve: %+v", approved)
	}
	got := want[gen.Challenge](t, w.get(access.Frontend, "/v1/challenges/"+c.Id), 200)
	if got.Result != gen.ResultAllow || got.SessionRef == "" || got.MatchNumber != "" {
		t.Fatalf("after approval: %+v", got)
	}
}

// pending asks what waits for an installation, with a proof for a method and a
// time.
func (w *world) pending(installation, method string, at time.Time) answer {
	path := "/v1/installations/" + installation + "/challenges"
	ms := strconv.FormatInt(at.UnixMilli(), 10)
	return w.get(access.Device, path, "Authledger-Installation-Proof", ms+"."+w.sign("authledger/request/v1\n"+method+"\n"+path+"\n"+ms))
}

func TestProofOfAnotherRequestIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	w.enrollIBKey()
	for name, a := range map[string]answer{
		"other method":         w.pending(w.installation, "POST", w.clock.Now()),
		"too old":              w.pending(w.installation, "GET", w.clock.Now().Add(-61*time.Second)),
		"too new":              w.pending(w.installation, "GET", w.clock.Now().Add(61*time.Second)),
		"unknown installation": w.pending("ins_"+strings.Repeat("0", 26), "GET", w.clock.Now()),
	} {
		if a.status != http.StatusUnauthorized || a.code(t) != "signature_invalid" {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
}

func TestPushIsDeclinedOrWrong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	w.enrollIBKey()
	c := w.login().Challenge
	other := strconv.Itoa(100000 + (mustAtoi(t, c.MatchNumber)-100000+1)%900000)
	wrong := want[gen.PushDecisionAnswer](t, w.decide(c, "approve", other), 200)
	if wrong.Result != gen.ResultWaiting || wrong.ReasonCode != "" || wrong.AttemptsLeft == nil || *wrong.AttemptsLeft != 2 {
		t.Fatalf("wrong number: %+v", wrong)
	}
	no := want[gen.PushDecisionAnswer](t, w.decide(c, "deny", ""), 200)
	if no.Result != gen.ResultDeny || no.Status != gen.ChallengeStatusDenied {
		t.Fatalf("deny: %+v", no)
	}
	late := want[gen.PushDecisionAnswer](t, w.decide(c, "approve", c.MatchNumber), 200)
	if late.Result != gen.ResultDeny {
		t.Fatalf("approve after deny: %+v", late)
	}
	if got := want[gen.Challenge](t, w.get(access.Frontend, "/v1/challenges/"+c.Id), 200); got.Result != gen.ResultDeny || got.SessionRef != "" {
		t.Fatalf("after deny: %+v", got)
	}
}

func mustAtoi(t *testing.T, s string) int {
	t.Helper()
	return must[int](t)(strconv.Atoi(s))
}

func TestFallbackIsAnsweredWithTheOfflineResponse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	done := w.enrollIBKey()
	push := w.login().Challenge
	successor := want[gen.Challenge](t, w.post(access.Frontend, "/v1/challenges/"+push.Id+"/fallback", map[string]any{"cause": "no_notification"}), 201)
	if successor.Supersedes != push.Id || len(successor.OfflineChallenge) != 6 || successor.Mode != gen.ModeChallengeResponse {
		t.Fatalf("successor: %+v", successor)
	}
	old := want[gen.Challenge](t, w.get(access.Frontend, "/v1/challenges/"+push.Id), 200)
	if old.Status != gen.ChallengeStatusSuperseded || old.SupersededBy != successor.Id || old.MatchNumber != "" {
		t.Fatalf("the old challenge: %+v", old)
	}
	late := want[gen.PushDecisionAnswer](t, w.decide(push, "approve", push.MatchNumber), 200)
	if late.Result != gen.ResultDeny || late.Status != gen.ChallengeStatusSuperseded {
		t.Fatalf("late approval: %+v", late)
	}
	response := w.ocra(done.Ocra, successor.OfflineChallenge)
	got := want[gen.Challenge](t, w.post(access.Frontend, "/v1/challenges/"+successor.Id+"/responses", map[string]any{"response": response}), 200)
	if got.Result != gen.ResultAllow {
		t.Fatalf("offline response: %+v", got)
	}
	w.quiet(done.Ocra.Secret, response)
}

// ocra computes the app's answer from what the enrolment gave it.
func (w *world) ocra(o gen.OCRA, question string) string {
	w.t.Helper()
	suite := must[ocra.Suite](w.t)(ocra.Parse(o.Suite))
	key := must[[]byte](w.t)(base64.RawURLEncoding.DecodeString(o.Secret))
	return must[string](w.t)(suite.Compute(key, ocra.Input{Question: question, Time: suite.TimeStep(w.clock.Now())}))
}

func TestDeniedLoginSaysNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	rejected := func() gen.Authentication { return w.login("primaryFactor", "rejected") }
	first := rejected()
	for range 20 { // past any threshold
		rejected()
	}
	locked := w.login()
	if first.Decision != gen.AuthenticationDecisionDeny || locked.Decision != gen.AuthenticationDecisionDeny {
		t.Fatalf("decisions: %s, %s", first.Decision, locked.Decision)
	}
	for _, a := range []gen.Authentication{first, locked} {
		if a.ReasonCode != "" || len(a.Options) != 0 || !a.ExpiresAt.IsZero() || a.Challenge.Id != "" {
			t.Errorf("a denial shows more than a denial: %+v", a)
		}
	}
	if u := want[gen.User](t, w.get(access.Frontend, "/v1/users/"+w.user), 200); !u.LockedUntil.IsZero() {
		t.Error("the login page sees the lock")
	}
	if u := want[gen.User](t, w.get(access.Operator, "/v1/users/"+w.user), 200); u.LockedUntil.IsZero() {
		t.Error("the agent does not see the lock")
	}
	unlock := func() gen.ActionResult {
		return want[gen.ActionResult](t, w.post(access.Operator, "/v1/users/"+w.user+"/unlock", nil), 200)
	}
	if a := unlock(); a.Status != gen.ActionResultStatusRefused || a.ReasonCode != "IDV_REQUIRED" {
		t.Fatalf("unlock without identity verification: %+v", a)
	}
	idv := want[gen.IdentityVerification](t, w.post(access.Operator, "/v1/users/"+w.user+"/identity-verifications",
		map[string]any{"agentRef": "agent-1", "method": "callback"}), 201)
	if idv.IdentityVerificationId == "" {
		t.Fatalf("identity verification: %+v", idv)
	}
	if a := unlock(); a.Status != gen.ActionResultStatusRecorded {
		t.Fatalf("unlock: %+v", a)
	}
	if a := w.login(); a.Decision != gen.AuthenticationDecisionChallenge {
		t.Fatalf("login after the unlock: %+v", a)
	}
}

func TestCooldownIsShownWithItsEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	c := w.login().Challenge
	w.clock.advance(30 * time.Second)
	again := want[gen.Challenge](t, w.post(access.Frontend, "/v1/challenges/"+c.Id+"/resend", nil), 200)
	if again.ReasonCode != "SMS_COOLDOWN" || again.RetryAfterS != 90 || again.Result != gen.ResultWaiting {
		t.Fatalf("resend too soon: %+v", again)
	}
	w.clock.advance(90 * time.Second)
	again = want[gen.Challenge](t, w.post(access.Frontend, "/v1/challenges/"+c.Id+"/resend", nil), 200)
	if again.ReasonCode != "" || again.RetryAfterS != 0 {
		t.Fatalf("resend in time: %+v", again)
	}
	gone := want[gen.Challenge](t, w.post(access.Frontend, "/v1/challenges/"+c.Id+"/cancel", nil), 200)
	if gone.Status != gen.ChallengeStatusCanceled || len(gone.Actions) != 0 {
		t.Fatalf("cancel: %+v", gone)
	}
}

func TestUserChoosesAmongDeferredOptions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	a := w.login("challenge", "defer")
	if a.Decision != gen.AuthenticationDecisionChallenge || a.Challenge.Id != "" || len(a.Options) != 1 {
		t.Fatalf("deferred: %+v", a)
	}
	path := "/v1/authentications/" + a.AuthenticationId + "/challenges"
	c := want[gen.Challenge](t, w.post(access.Frontend, path, map[string]any{"authenticatorId": a.Options[0].AuthenticatorId}), 201)
	if c.Mode != gen.ModeSmsCode {
		t.Fatalf("challenge: %+v", c)
	}
	second := want[gen.Refusal](t, w.post(access.Frontend, path, map[string]any{}), 200)
	if second.Result != gen.ResultWaiting || second.ReasonCode != "" || len(second.EventIds) != 1 {
		t.Fatalf("a second open challenge: %+v", second)
	}
}

func TestOptOutInHongKongIsDeniedWithItsBasis(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	a := want[gen.OptOutAnswer](t, w.post(access.Frontend, "/v1/users/"+w.user+"/opt-out-requests", map[string]any{
		"requestedBy": w.user, "agreementVersion": "2026-01", "acknowledged": true,
	}), 200)
	if a.Decision != gen.OptOutAnswerDecisionDenied || a.ReasonCode != "REGIME_MANDATORY" || a.Basis.DecisiveRuleId != "HK-2FA-1" ||
		len(a.Basis.Citations) != 1 || !strings.Contains(a.Basis.Citations[0], "SFC") {
		t.Fatalf("opt-out: %+v", a)
	}
	back := want[gen.ActionResult](t, w.post(access.Frontend, "/v1/users/"+w.user+"/opt-ins", map[string]any{"by": w.user}), 200)
	if back.Status != gen.ActionResultStatusRefused || back.ReasonCode != "NOT_OPTED_OUT" {
		t.Fatalf("opt-in: %+v", back)
	}
}

func TestOptedOutUserIsLetIntoTrading(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	client := want[gen.ClientAnswer](t, w.post(access.Frontend, "/v1/clients", map[string]any{
		"reference": "C-2", "kind": "individual", "carryingEntity": "IB-US", "carryingCountry": "US",
	}), 201).ClientId
	w.user = want[gen.UserAnswer](t, w.post(access.Frontend, "/v1/users", map[string]any{
		"reference": "U-2", "clientId": client, "role": "owner", "username": "jo", "locale": "en-US", "residence": "US", "residentOn": "2020-01-01",
	}), 201).UserId
	w.phone = want[gen.PhoneAnswer](t, w.post(access.Frontend, "/v1/users/"+w.user+"/phones", map[string]any{"number": "+1 202 555 0143"}), 201).PhoneId
	v := want[gen.Verification](t, w.post(access.Frontend, "/v1/phones/"+w.phone+"/verifications", nil), 201)
	w.post(access.Frontend, "/v1/phones/"+w.phone+"/verifications/"+v.VerificationId+"/checks",
		map[string]any{"code": w.codeFor(domain.PurposePhoneVerification, v.VerificationId)})
	w.enrollSMS()
	granted := want[gen.OptOutAnswer](t, w.post(access.Frontend, "/v1/users/"+w.user+"/opt-out-requests", map[string]any{
		"requestedBy": w.user, "agreementVersion": "2026-01", "acknowledged": true,
	}), 200)
	if granted.Decision != gen.OptOutAnswerDecisionGranted {
		t.Fatalf("opt-out: %+v", granted)
	}
	a := w.login()
	if a.Decision != gen.AuthenticationDecisionAllow || a.Result != gen.ResultAllow || a.Waiver.OptOutId != granted.OptOutId || a.SessionRef == "" {
		t.Fatalf("trading: %+v", a)
	}
	if a := w.login("platform", "client_portal"); a.Decision != gen.AuthenticationDecisionChallenge {
		t.Fatalf("portal: %+v", a)
	}
}

func TestClosedUserIsOnlyDenied(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.enrollSMS()
	want[gen.ActionResult](t, w.post(access.Operator, "/v1/users/"+w.user+"/closure", map[string]any{"reason": "account_closed"}), 200)
	if a := w.login(); a.Decision != gen.AuthenticationDecisionDeny || a.ReasonCode != "" {
		t.Fatalf("login: %+v", a)
	}
	a := w.post(access.Frontend, "/v1/users/"+w.user+"/phones", map[string]any{"number": mobileHK})
	if a.status != http.StatusConflict || a.code(t) != "user_closed" {
		t.Fatalf("add phone: %d %s", a.status, a.body)
	}
}

func TestNumberThatIsLockedAwayIsNotShownInPart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.system(domain.CloseUser{UserID: w.user, Reason: "r"})
	w.system(domain.RequestErasure{UserID: w.user, Basis: domain.BasisSubjectRequest})
	if u := want[gen.User](t, w.get(access.Frontend, "/v1/users/"+w.user), 200); len(u.Phones) != 1 || u.Phones[0].Masked != "[restricted]" {
		t.Fatalf("phones of a restricted user: %+v", u.Phones)
	}
}

func TestErasedNumberIsAnsweredAsErased(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	u := want[gen.User](t, w.get(access.Frontend, "/v1/users/"+w.user), 200)
	if len(u.Phones) != 1 || u.Phones[0].Masked != "+852 •••• 4567" || u.Phones[0].Status != gen.PhoneStatusVerified {
		t.Fatalf("phones: %+v", u.Phones)
	}
	if err := w.keys.Destroy(t.Context(), domain.UserStream(w.user)); err != nil {
		t.Fatal(err)
	}
	if u := want[gen.User](t, w.get(access.Frontend, "/v1/users/"+w.user), 200); u.Phones[0].Masked != "[erased]" {
		t.Fatalf("phones after erasure: %+v", u.Phones)
	}
}
