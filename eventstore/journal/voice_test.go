package journal

import (
	"testing"
	"time"

	"github.com/authledger/authledger/domain"
)

// S-3: the voice call carries a new code; the one from the SMS is superseded
// and does not count, the spoken one opens.
func TestVoiceCodeSupersedesTheSMS(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.clock.advance(3 * time.Minute)
	out := w.do(domain.StartAuthentication{
		UserID: w.user, Purpose: domain.PurposeLogin, Platform: domain.TWS, ReleaseChannel: domain.Latest, PrimaryVerified: true,
	})
	first := event[domain.LoginCodeIssued](t, out)
	bySMS := w.code(domain.PurposeLogin, first.ChallengeID, domain.Issued{Seq: first.Seq, Kid: first.Kid, Len: first.CodeLen})
	w.clock.advance(90 * time.Second)
	out = w.do(domain.RequestVoiceCall{ChallengeID: first.ChallengeID})
	call, second := event[domain.VoiceCallRequested](t, out), event[domain.LoginCodeIssued](t, out)
	if second.Seq != 2 || second.Via != "voice" || second.Kid == "" || call.CodeSeq != 2 || call.PhoneID != w.phone {
		t.Fatalf("issued %+v for %+v", second, call)
	}
	spoken := w.code(domain.PurposeLogin, second.ChallengeID, domain.Issued{Seq: second.Seq, Kid: second.Kid, Len: second.CodeLen})
	if spoken == bySMS {
		t.Fatal("the call repeats the code of the SMS")
	}
	rejected := event[domain.ResponseRejected](t, w.do(domain.SubmitResponse{ChallengeID: first.ChallengeID, Response: bySMS}))
	if rejected.Reason != domain.ReasonCodeSuperseded || rejected.Counted {
		t.Errorf("the code of the SMS: %+v", rejected)
	}
	out = w.do(domain.SubmitResponse{ChallengeID: first.ChallengeID, Response: spoken})
	if v := event[domain.ResponseVerified](t, out); v.Mode != domain.ModeVoiceCode {
		t.Errorf("verified by %s", v.Mode)
	}
	event[domain.AuthenticationSucceeded](t, out)
}

// A message requested after the call supersedes it in turn, and a call of
// yesterday's key is still verified after midnight.
func TestCallAcrossMidnight(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	midnight := w.clock.time().Truncate(24 * time.Hour).Add(24 * time.Hour)
	w.clock.advance(midnight.Sub(w.clock.time()) - 3*time.Minute)
	out := w.do(domain.StartAuthentication{UserID: w.user, Purpose: domain.PurposeLogin, Platform: domain.ClientPortal, PrimaryVerified: true})
	challenge := event[domain.LoginCodeIssued](t, out).ChallengeID
	call := event[domain.LoginCodeIssued](t, w.do(domain.RequestVoiceCall{ChallengeID: challenge}))
	w.clock.advance(4 * time.Minute)
	issued := event[domain.LoginCodeIssued](t, w.do(domain.ResendLoginCode{ChallengeID: challenge}))
	if issued.Kid == call.Kid || issued.Seq != 3 || issued.Via != "sms" {
		t.Fatalf("issued %+v after %+v", issued, call)
	}
	text := func(i domain.LoginCodeIssued) domain.Secret {
		return w.code(domain.PurposeLogin, challenge, domain.Issued{Seq: i.Seq, Kid: i.Kid, Len: i.CodeLen})
	}
	if got := w.submit(challenge, text(call)); got != domain.ReasonCodeSuperseded {
		t.Errorf("the code of the call: %q", got)
	}
	if got := w.submit(challenge, text(issued)); got != "" {
		t.Errorf("the code of the message: %q", got)
	}
}
