package delivery

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/authledger/authledger/domain"
)

// indianLogin is an SMS user who lives in India and logs in; nothing was sent
// yet.
func indianLogin(t *testing.T) (*ledger, *process, domain.ChallengeIssued) {
	t.Helper()
	l := newLedger(t, noon)
	l.moves("IN", "2020-01-01")
	p := l.start()
	l.verifiedPhone(p)
	return l, p, only[domain.ChallengeIssued](t, l.login(domain.ClientPortal))
}

// G-9: in India a login code goes out by e-mail too.
func TestLoginCodeIsCopiedByEmailWhereARuleDemandsIt(t *testing.T) {
	t.Parallel()
	l, p, challenge := indianLogin(t)
	p.run()
	l.expectQuiet()
	texts, copies := l.gateway.of(SMS), l.gateway.of(Email)
	if len(texts) != 2 || len(copies) != 1 {
		t.Fatalf("%d text messages and %d copies, want 2 and 1", len(texts), len(copies))
	}
	m, sms := copies[0], texts[1]
	if m.To != "" || m.UserID != l.user || m.Channel != "email" || m.TemplateID != codeEmailTemplate || m.Locale != "de" ||
		m.ID == sms.ID || m.Text[:6] != sms.Text[:6] || !m.ExpiresAt.Equal(sms.ExpiresAt) {
		t.Errorf("copy %v to %q by %q in %s by %s", m, string(m.To), m.Channel, m.Locale, m.TemplateID)
	}
	want := []domain.CodeEmailed{{SMSID: sms.ID, AddressRef: l.user, RuleID: "IN-2FA-2"}}
	if diff := cmp.Diff(want, events[domain.CodeEmailed](l)); diff != "" {
		t.Errorf("copies (-want +got):\n%s", diff)
	}
	l.clock.advance(2 * time.Minute)
	l.do(domain.ResendLoginCode{ChallengeID: challenge.ChallengeID})
	p.run()
	l.gateway.expect(t, Email, 2)
}

func TestNoCopyWhereNoneIsDemanded(t *testing.T) {
	t.Parallel()
	t.Run("elsewhere", func(t *testing.T) {
		t.Parallel()
		l := newLedger(t, noon)
		p := l.start()
		l.verifiedPhone(p)
		l.login(domain.ClientPortal)
		p.run()
		l.gateway.expect(t, SMS, 2)
		l.gateway.expect(t, Email, 0)
		count[domain.CodeEmailed](l, 0)
	})
	t.Run("of a call", func(t *testing.T) {
		t.Parallel()
		l, p, challenge := indianLogin(t)
		p.run()
		l.clock.advance(time.Minute)
		l.do(domain.RequestVoiceCall{ChallengeID: challenge.ChallengeID})
		p.run()
		l.gateway.expect(t, Voice, 1)
		l.gateway.expect(t, Email, 1) // of the message before
	})
	t.Run("of a message that was refused", func(t *testing.T) {
		t.Parallel()
		l, p, _ := indianLogin(t)
		l.gateway.answer, l.gateway.refuse, l.gateway.only = Result{Outcome: Rejected}, true, SMS
		p.run()
		l.expectQuiet()
		l.gateway.expect(t, Email, 0)
	})
	t.Run("of a code that was superseded", func(t *testing.T) {
		t.Parallel()
		l, p, challenge := indianLogin(t)
		asked := l.records("SMSRequested")
		p.sees("sms", asked[len(asked)-1])
		l.clock.advance(time.Minute)
		l.do(domain.RequestVoiceCall{ChallengeID: challenge.ChallengeID})
		p.run()
		l.gateway.expect(t, Email, 0)
		count[domain.CodeEmailed](l, 0)
	})
	t.Run("after the code's end", func(t *testing.T) {
		t.Parallel()
		l, p, _ := indianLogin(t)
		asked := l.records("SMSRequested")
		p.sees("sms", asked[len(asked)-1])
		l.clock.advance(10 * time.Minute)
		p.run()
		l.gateway.expect(t, Email, 0)
		count[domain.CodeEmailed](l, 0)
	})
}

// A provider that was slow to answer says later that it took the message. The
// receipt does not name the request.
func TestLateReceiptLeadsToACopy(t *testing.T) {
	t.Parallel()
	l, p, _ := indianLogin(t)
	l.gateway.refuse, l.gateway.only = true, SMS // uncertain
	p.run()
	l.gateway.expect(t, Email, 0)
	sms := l.gateway.of(SMS)[1]
	l.as(domain.ActorProvider, domain.RecordSMSSent{SMSID: sms.ID, Provider: "test", AcceptedAt: l.clock.now()})
	p.run()
	l.expectQuiet()
	copies := l.gateway.of(Email)
	if len(copies) != 1 || copies[0].Text[:6] != sms.Text[:6] {
		t.Errorf("copies %v", copies)
	}
}

func TestCopyIsSentAtMostOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault func(*faultyJournal)
		sent  int
	}{
		"crash before the record":               {func(f *faultyJournal) { f.before = "RecordCodeEmailed" }, 1},
		"crash between record and copy":         {func(f *faultyJournal) { f.after = "RecordCodeEmailed" }, 0},
		"crash between message and its outcome": {func(f *faultyJournal) { f.after = "RecordSMSSent" }, 1},
	} {
		l, p, _ := indianLogin(t)
		c.fault(p.journal)
		if err := p.try(); !errors.Is(err, errCrash) {
			t.Fatalf("%s: error %v, want the crash", name, err)
		}
		l.start().run()
		l.expectQuiet()
		if got := len(l.gateway.of(Email)); got != c.sent {
			t.Errorf("%s: %d copies, want %d", name, got, c.sent)
		}
		count[domain.CodeEmailed](l, 1)
	}
}

func TestSecondNodeSendsNoCopy(t *testing.T) {
	t.Parallel()
	l, p, _ := indianLogin(t)
	rival := l.start()
	asked := l.records("SMSRequested")
	p.sees("sms", asked[len(asked)-1])
	p.journal.meanwhile = func() {
		p.journal.meanwhile = nil
		rival.run()
	}
	p.run()
	l.gateway.expect(t, Email, 1)
	count[domain.CodeEmailed](l, 1)
}

// A copy that the gateway did not take is recorded as a notice that failed,
// once, also when that record has to wait.
func TestRefusedCopyIsRecorded(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]Result{"refused": {Outcome: Rejected}, "unknown": {}} {
		l, p, _ := indianLogin(t)
		l.gateway.answer, l.gateway.refuse, l.gateway.only = answer, true, Email
		p.journal.before = "RecordNotification"
		for range 3 {
			if err := p.try(); !errors.Is(err, errCrash) {
				t.Fatalf("%s: error %v, want the outage", name, err)
			}
		}
		p.journal.before = ""
		p.run()
		l.expectQuiet()
		l.gateway.expect(t, Email, 1)
		failed := events[domain.SecurityNotificationFailed](l)
		if len(failed) != 1 || failed[0].Topic != codeEmailTopic || failed[0].Channel != "email" || !strings.HasPrefix(failed[0].NoticeOf, "evt_") {
			t.Errorf("%s: failed %+v", name, failed)
		}
		if n := len(p.d.copier.keep.by); n != 0 {
			t.Errorf("%s: %d outcomes are still kept", name, n)
		}
	}
}

// G-4: the sender's name begins with # in Hong Kong.
func TestSenderPrefixWhereARuleDemandsIt(t *testing.T) {
	t.Parallel()
	for cc, want := range map[string]string{"HK": "#", "DE": ""} {
		l := newLedger(t, noon)
		l.moves(cc, "2020-01-01")
		l.verifiedPhone(l.start())
		sent := l.gateway.of(SMS)
		if len(sent) != 1 || sent[0].SenderPrefix != want {
			t.Errorf("%s: messages with the prefix %q, want %q", cc, sent[0].SenderPrefix, want)
		}
	}
}
