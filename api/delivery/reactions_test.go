package delivery

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/bridge"
	"github.com/authledger/authledger/eventstore/codec"
)

// topics lists what notices were about.
func topics(l *ledger) []string {
	l.t.Helper()
	var out []string
	for _, n := range events[domain.SecurityNotificationSent](l) {
		out = append(out, n.Topic)
	}
	return out
}

func (l *ledger) expectTopics(want ...string) {
	l.t.Helper()
	if diff := cmp.Diff(want, topics(l)); diff != "" {
		l.t.Errorf("notices (-want +got):\n%s", diff)
	}
}

// S-4: activation of IB Key retires SMS in the same append; one notice tells it.
func TestIBKeyActivationIsOneNotice(t *testing.T) {
	t.Parallel()
	l := newLedger(t, noon)
	p := l.start()
	l.verifiedPhone(p)
	l.expectTopics("phone_verified", "authenticator_enrolled") // SMS, automatically
	enrollment := l.ibkey(p)
	done := l.do(domain.CompleteEnrollment{EnrollmentID: enrollment, UV: domain.UVFaceID})
	only[domain.AuthenticatorRevoked](t, done)
	p.run()
	l.start().run()
	l.expectTopics("phone_verified", "authenticator_enrolled", "authenticator_enrolled")
	l.gateway.expect(t, Notice, 3)
	for _, n := range events[domain.SecurityNotificationSent](l)[1:] {
		if n.Channel != "email" || n.TemplateID != "notice_authenticator_enrolled@1" || !strings.HasPrefix(n.NoticeOf, "evt_") {
			t.Errorf("notice %+v", n)
		}
	}
}

func TestEveryChangeOfProtectionIsNoticedOnce(t *testing.T) {
	t.Parallel()
	l := newLedger(t, noon)
	p := l.start()
	first := l.verifiedPhone(p)
	l.clock.advance(time.Hour)
	second := l.verifiedPhone(p) // no second enrolment
	l.do(domain.ReplacePhone{OldPhoneID: first, NewPhoneID: second})
	p.run()
	l.clock.advance(time.Hour)
	third := l.verifiedPhone(p)
	l.do(domain.RemovePhone{PhoneID: third, Reason: "client_request"})
	l.do(domain.RequestOptOut{UserID: l.user, RequestedBy: l.user, AgreementVersion: "1", Acknowledged: true})
	p.run()
	l.login(domain.TWS) // waived
	p.run()
	l.do(domain.OptBackIn{UserID: l.user, By: l.user})
	p.run()
	for range 10 {
		l.do(domain.StartAuthentication{UserID: l.user, Purpose: domain.PurposeLogin, Platform: domain.TWS})
	}
	p.run()
	l.do(domain.CloseUser{UserID: l.user, Reason: "account_closed"})
	p.run()
	l.start().run()
	l.expectTopics("phone_verified", "authenticator_enrolled", "phone_verified", "phone_replaced", "phone_verified", "phone_removed",
		"opt_out_granted", "login_one_factor", "opted_back_in", "user_locked", "user_closed")
}

func TestRefusedNoticeIsRecordedAsFailed(t *testing.T) {
	t.Parallel()
	l := newLedger(t, noon)
	l.gateway.answer, l.gateway.refuse = Result{Outcome: Rejected}, true
	l.do(domain.RequestOptOut{UserID: l.user, RequestedBy: l.user, AgreementVersion: "1", Acknowledged: true})
	l.start().run()
	l.start().run()
	l.gateway.expect(t, Notice, 1)
	count[domain.SecurityNotificationFailed](l, 1)
}

// A notice whose record was lost is handed over again under the same id.
func TestNoticeKeepsItsIDWhenHandedOverAgain(t *testing.T) {
	t.Parallel()
	l := newLedger(t, noon)
	l.do(domain.RequestOptOut{UserID: l.user, RequestedBy: l.user, AgreementVersion: "1", Acknowledged: true})
	p := l.start()
	p.journal.before = "RecordNotification"
	if err := p.try(); !errors.Is(err, errCrash) {
		t.Fatalf("error %v, want the outage", err)
	}
	l.start().run()
	sent := l.gateway.of(Notice)
	if len(sent) != 2 || sent[0].ID != sent[1].ID {
		t.Errorf("notices %v", sent)
	}
	count[domain.SecurityNotificationSent](l, 1)
}

// pushLogin is a user with IB Key who logs in.
func pushLogin(t *testing.T) (*ledger, *process, domain.ChallengeIssued) {
	t.Helper()
	l := newLedger(t, noon)
	p := l.start()
	l.verifiedPhone(p)
	l.do(domain.CompleteEnrollment{EnrollmentID: l.ibkey(p), UV: domain.UVFaceID})
	p.run()
	return l, p, only[domain.ChallengeIssued](t, l.login(domain.ClientPortal))
}

func TestPushIsAHintWithoutTheNumber(t *testing.T) {
	t.Parallel()
	l, p, challenge := pushLogin(t)
	p.run()
	l.start().run()
	sent := l.gateway.of(Push)
	if len(sent) != 1 {
		t.Fatalf("%d pushes, want 1", len(sent))
	}
	m := sent[0]
	if m.ID != challenge.ChallengeID || m.InstallationID != challenge.InstallationID || m.ChallengeID != challenge.ChallengeID || m.To != "" {
		t.Errorf("push %+v", m)
	}
	if strings.ContainsAny(string(m.Text), "0123456789") {
		t.Errorf("push text has digits: %q", string(m.Text))
	}
	count[domain.PushSent](l, 1)
	count[domain.PushFailed](l, 0)
}

func TestPushThatCannotBeDeliveredIsRecorded(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]string{"http_410": "token_invalid", "throttled": "throttled", "http_429": "throttled", "http_500": "service_error", "": "service_error"} {
		l, p, _ := pushLogin(t)
		l.gateway.answer, l.gateway.refuse = Result{Code: code}, true
		p.run()
		l.gateway.expect(t, Push, 1)
		if f := events[domain.PushFailed](l); len(f) != 1 || f[0].Failure != want {
			t.Errorf("%q: failures %+v, want one %s", code, f, want)
		}
	}
}

func TestLatePushIsNotSent(t *testing.T) {
	t.Parallel()
	l, p, challenge := pushLogin(t)
	l.clock.set(challenge.ExpiresAt)
	p.run()
	l.gateway.expect(t, Push, 0)
	count[domain.PushFailed](l, 1)
}

func TestVerifyingAnotherPhoneDoesNotEnrolAgain(t *testing.T) {
	t.Parallel()
	l, p, _ := pushLogin(t)
	l.clock.advance(time.Hour)
	l.verifiedPhone(p)
	skipped := events[domain.SMSAutoEnrollmentSkipped](l)
	if len(skipped) != 1 || skipped[0].Reason != "active_sls_device" {
		t.Errorf("skipped %+v", skipped)
	}
}

func TestInboxReportsDelivery(t *testing.T) {
	t.Parallel()
	l := newLedger(t, noon)
	l.gateway.name = InboxName
	l.do(domain.StartPhoneVerification{PhoneID: l.addPhone()})
	l.start().run()
	l.start().run()
	if got := events[domain.SMSDelivered](l); len(got) != 1 || got[0].Receipt != "handset" {
		t.Errorf("receipts %+v", got)
	}
}

func TestNewRefusesMissingParts(t *testing.T) {
	t.Parallel()
	if _, err := New(Config{}); err == nil {
		t.Error("no error for an empty configuration")
	}
}

// Every type a reaction waits for must exist, or it would wait for ever.
func TestReactionsNameEventsThatExist(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, i := range codec.Types() {
		known[i.Name] = true
	}
	for _, r := range newLedger(t, noon).start().d.Reactions() {
		for _, name := range r.Types {
			if !known[name] {
				t.Errorf("reaction %s waits for %s, which does not exist", r.Name, name)
			}
		}
	}
}

// The reactions run on the real router over the real follower.
func TestReactionsRunOnTheRouter(t *testing.T) {
	t.Parallel()
	l := newLedger(t, noon)
	p := l.start()
	router, err := bridge.NewRouter(bridge.RouterConfig{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	checkpoints := bridge.NewMemoryCheckpoints()
	p.d.Register(router, l.store, checkpoints)
	changed, stop := l.journal.Watch(domain.UserStream(l.user))
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- router.Run(context.WithoutCancel(t.Context())) }()
	phone := l.addPhone()
	started := only[domain.PhoneVerificationStarted](t, l.do(domain.StartPhoneVerification{PhoneID: phone}))
	wait := func(done func() bool) {
		t.Helper()
		deadline := time.After(30 * time.Second)
		for !done() {
			select {
			case <-changed:
			case <-deadline:
				t.Fatal("nothing happened in 30 s")
			}
		}
	}
	wait(func() bool { return len(events[domain.SMSSent](l)) == 1 })
	l.do(domain.ConfirmPhone{VerificationID: started.VerificationID, Code: l.gateway.newestCode(t, 6)})
	wait(func() bool { return len(topics(l)) == 2 })
	if err := router.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	l.expectTopics("phone_verified", "authenticator_enrolled")
	if at, err := checkpoints.Load(t.Context(), "sms"); err != nil || at == 0 {
		t.Errorf("checkpoint %d, %v", at, err)
	}
}
