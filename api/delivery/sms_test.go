package delivery

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/authledger/authledger/domain"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func TestConfirmCodeReachesThePhoneAndEnrolsSMS(t *testing.T) {
	t.Parallel()
	l := newLedger(t, noon)
	p := l.start()
	phone := l.verifiedPhone(p)
	sent := l.gateway.of(SMS)
	if len(sent) != 1 {
		t.Fatalf("%d messages, want 1", len(sent))
	}
	m := sent[0]
	if string(m.To) != number || m.UserID != l.user || m.TemplateID != "confirm_code@1" || m.Locale != "de" {
		t.Errorf("message %v to %q in %s by %s", m, string(m.To), m.Locale, m.TemplateID)
	}
	if !m.ExpiresAt.Equal(noon.Add(10 * time.Minute)) {
		t.Errorf("expires %s", m.ExpiresAt)
	}
	enrolled := events[domain.AuthenticatorEnrolled](l)
	want := []domain.AuthenticatorEnrolled{{
		AuthenticatorID: enrolled[0].AuthenticatorID, Kind: domain.KindSMS, PhoneID: phone, Trigger: "auto_sms", Restricted: true, OOBClass: "pstn",
	}}
	if diff := cmp.Diff(want, enrolled); diff != "" {
		t.Errorf("enrolled (-want +got):\n%s", diff)
	}
	got := events[domain.SMSSent](l)
	if len(got) != 1 || got[0].Segments != 1 || got[0].Provider != "test" || got[0].ProviderRef != "ref-"+m.ID {
		t.Errorf("sent %+v", got)
	}
}

// A new process that has lost its positions sees every event again.
func TestNothingHappensTwiceWhenTheLogIsSeenAgain(t *testing.T) {
	t.Parallel()
	l := newLedger(t, noon)
	p := l.start()
	l.verifiedPhone(p)
	l.login(domain.ClientPortal)
	p.run()
	head, _, _ := l.store.Head(t.Context())
	before := len(l.gateway.of(SMS)) + len(l.gateway.of(Notice))
	for _, later := range []time.Duration{0, time.Hour, 40 * 24 * time.Hour} {
		l.clock.advance(later)
		l.start().run()
	}
	if after, _, _ := l.store.Head(t.Context()); after != head {
		t.Errorf("log grew from %d to %d", head, after)
	}
	if after := len(l.gateway.of(SMS)) + len(l.gateway.of(Notice)); after != before {
		t.Errorf("gateway got %d messages more", after-before)
	}
}

func TestCrashBeforeTheDispatchSendsOnceLater(t *testing.T) {
	t.Parallel()
	l := newLedger(t, noon)
	l.do(domain.StartPhoneVerification{PhoneID: l.addPhone()})
	p := l.start()
	p.journal.before = "RecordSMSDispatch"
	if err := p.try(); !errors.Is(err, errCrash) {
		t.Fatalf("error %v, want the crash", err)
	}
	l.gateway.expect(t, SMS, 0)
	l.start().run()
	l.gateway.expect(t, SMS, 1)
	count[domain.SMSDispatchStarted](l, 1)
	count[domain.SMSSent](l, 1)
	count[domain.SMSDispatchUncertain](l, 0)
}

func TestCrashBetweenDispatchAndSendIsUncertainAndNeverSent(t *testing.T) {
	t.Parallel()
	l := newLedger(t, noon)
	l.do(domain.StartPhoneVerification{PhoneID: l.addPhone()})
	p := l.start()
	p.journal.after = "RecordSMSDispatch"
	if err := p.try(); !errors.Is(err, errCrash) {
		t.Fatalf("error %v, want the crash", err)
	}
	l.clock.advance(time.Hour) // the code has expired; what became of it is still unknown
	l.start().run()
	l.start().run()
	l.gateway.expect(t, SMS, 0)
	count[domain.SMSDispatchUncertain](l, 1)
	count[domain.SMSSent](l, 0)
	count[domain.SMSSendFailed](l, 0)
}

// Two nodes see the same request: the one that comes second does not send.
func TestSecondDispatcherDoesNotSend(t *testing.T) {
	t.Parallel()
	l := newLedger(t, noon)
	l.do(domain.StartPhoneVerification{PhoneID: l.addPhone()})
	p, rival := l.start(), l.start()
	p.journal.meanwhile = func() {
		p.journal.meanwhile = nil
		rival.journal.before = "RecordSMSSent"
		if err := rival.try(); !errors.Is(err, errCrash) {
			t.Errorf("rival: %v", err)
		}
	}
	p.run()
	l.gateway.expect(t, SMS, 1)
	count[domain.SMSDispatchStarted](l, 1)
	count[domain.SMSSent](l, 0)
}

// A message that the user's state has dropped keeps the outcome it had.
func TestForgottenMessageKeepsItsOutcome(t *testing.T) {
	t.Parallel()
	l := newLedger(t, noon)
	phone := l.addPhone()
	started := only[domain.PhoneVerificationStarted](t, l.do(domain.StartPhoneVerification{PhoneID: phone}))
	p := l.start()
	p.run()
	for range 60 {
		l.clock.advance(2 * time.Minute)
		l.do(domain.ResendConfirmCode{VerificationID: started.VerificationID})
		p.run()
	}
	count[domain.SMSSent](l, 61)
	l.start().run()
	l.gateway.expect(t, SMS, 61)
	count[domain.SMSSendFailed](l, 0)
	count[domain.SMSDispatchUncertain](l, 0)
}

func TestCrashBetweenSendAndRecordIsUncertainAndNotSentAgain(t *testing.T) {
	t.Parallel()
	l := newLedger(t, noon)
	l.do(domain.StartPhoneVerification{PhoneID: l.addPhone()})
	p := l.start()
	p.journal.before = "RecordSMSSent"
	if err := p.try(); !errors.Is(err, errCrash) {
		t.Fatalf("error %v, want the crash", err)
	}
	l.gateway.expect(t, SMS, 1)
	l.start().run()
	l.gateway.expect(t, SMS, 1)
	count[domain.SMSDispatchUncertain](l, 1)
	count[domain.SMSSent](l, 0)
}

// Without a crash the process still knows what the gateway said.
func TestOutageBetweenSendAndRecordIsMadeUpFor(t *testing.T) {
	t.Parallel()
	for _, fault := range []func(*faultyJournal){
		func(f *faultyJournal) { f.before = "RecordSMSSent" },
		func(f *faultyJournal) { f.after = "RecordSMSSent" },
	} {
		l := newLedger(t, noon)
		l.do(domain.StartPhoneVerification{PhoneID: l.addPhone()})
		p := l.start()
		fault(p.journal)
		for range 3 {
			if err := p.try(); !errors.Is(err, errCrash) {
				t.Fatalf("error %v, want the outage", err)
			}
		}
		p.journal.before, p.journal.after = "", ""
		p.run()
		l.gateway.expect(t, SMS, 1)
		count[domain.SMSSent](l, 1)
		count[domain.SMSDispatchUncertain](l, 0)
		if n := len(p.d.texter.keep.by); n != 0 {
			t.Errorf("%d outcomes are still kept", n)
		}
	}
}

func TestGatewayAnswersBecomeFacts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer            Result
		failed, uncertain int
		code              string
	}{
		"refused":             {Result{Outcome: Rejected, Code: "http_422"}, 1, 0, "http_422"},
		"refused with no why": {Result{Outcome: Rejected}, 1, 0, "rejected"},
		"unknown":             {Result{}, 0, 1, ""},
	} {
		l := newLedger(t, noon)
		l.gateway.answer, l.gateway.refuse = c.answer, true
		phone := l.addPhone()
		l.do(domain.StartPhoneVerification{PhoneID: phone})
		l.start().run()
		l.start().run()
		l.gateway.expect(t, SMS, 1)
		count[domain.SMSDispatchUncertain](l, c.uncertain)
		failed := events[domain.SMSSendFailed](l)
		if len(failed) != c.failed || len(failed) == 1 && failed[0].ProviderCode != c.code {
			t.Errorf("%s: failed %+v, want %d with %q", name, failed, c.failed, c.code)
		}
		// A refusal lifts the cooldown (D-10), an unknown outcome does not.
		again := l.do(domain.StartPhoneVerification{PhoneID: phone})
		_, refused := again[0].(domain.SMSRequestRefused)
		if refused != (c.uncertain == 1) {
			t.Errorf("%s: next request refused: %t", name, refused)
		}
	}
}

func TestNothingIsSentToSomebodyWhoseDataIsLockedAway(t *testing.T) {
	t.Parallel()
	l := newLedger(t, noon)
	l.do(domain.StartPhoneVerification{PhoneID: l.addPhone()})
	l.do(domain.CloseUser{UserID: l.user, Reason: "client_request"})
	l.do(domain.RequestErasure{UserID: l.user, Basis: domain.BasisSubjectRequest})
	l.start().run()
	l.gateway.expect(t, SMS, 0)
}

func TestCodesThatCannotBeUsedAreNotSent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		meanwhile func(l *ledger, phone, verification string)
		codes     []string
		sent      int
	}{
		"at the end of its lifetime": {func(l *ledger, _, _ string) { l.clock.advance(10 * time.Minute) }, []string{codeExpired}, 0},
		"a moment before":            {func(l *ledger, _, _ string) { l.clock.advance(10*time.Minute - time.Microsecond) }, nil, 1},
		"after its key's end":        {func(l *ledger, _, _ string) { l.clock.advance(60 * 24 * time.Hour) }, []string{codeExpired}, 0},
		"superseded": {func(l *ledger, _, verification string) {
			l.clock.advance(2 * time.Minute)
			l.do(domain.ResendConfirmCode{VerificationID: verification})
		}, []string{codeSuperseded}, 1},
		"phone removed": {func(l *ledger, phone, _ string) {
			l.do(domain.RemovePhone{PhoneID: phone, Reason: "client_request"})
		}, []string{codePhoneGone}, 0},
		"subject erased": {func(l *ledger, _, _ string) {
			if err := l.keys.Destroy(l.t.Context(), domain.UserStream(l.user)); err != nil {
				l.t.Fatal(err)
			}
		}, []string{codeErased}, 0},
		"sixty messages later": {func(l *ledger, _, verification string) {
			for range 60 {
				l.clock.advance(2 * time.Minute)
				l.do(domain.ResendConfirmCode{VerificationID: verification})
			}
		}, nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLedger(t, noon)
			phone := l.addPhone()
			started := only[domain.PhoneVerificationStarted](t, l.do(domain.StartPhoneVerification{PhoneID: phone}))
			c.meanwhile(l, phone, started.VerificationID)
			l.start().run()
			l.gateway.expect(t, SMS, c.sent)
			count[domain.SMSSent](l, c.sent)
			count[domain.SMSDispatchStarted](l, c.sent)
			var codes []string
			for _, f := range events[domain.SMSSendFailed](l) {
				codes = append(codes, f.ProviderCode)
			}
			if c.codes == nil {
				for _, code := range codes {
					if code != codeExpired && code != codeSuperseded {
						t.Errorf("failed with %q", code)
					}
				}
			} else if diff := cmp.Diff(c.codes, codes); diff != "" {
				t.Errorf("failures (-want +got):\n%s", diff)
			}
			if requested, ended := len(events[domain.SMSRequested](l)), len(codes)+c.sent; requested != ended {
				t.Errorf("%d messages requested, %d ended", requested, ended)
			}
			head, _, _ := l.store.Head(t.Context())
			l.start().run()
			if again, _, _ := l.store.Head(t.Context()); again != head {
				t.Errorf("a second look appended %d events", again-head)
			}
		})
	}
}

func TestClosedUserGetsNoCode(t *testing.T) {
	t.Parallel()
	l := newLedger(t, noon)
	l.do(domain.StartPhoneVerification{PhoneID: l.addPhone()})
	l.do(domain.CloseUser{UserID: l.user, Reason: "account_closed"})
	l.start().run()
	l.gateway.expect(t, SMS, 0)
	l.gateway.expect(t, Notice, 1)
}

// No event, and so no backup of the ledger, holds a code or a number.
func TestLogHoldsNeitherCodeNorNumber(t *testing.T) {
	t.Parallel()
	l := newLedger(t, noon)
	p := l.start()
	l.verifiedPhone(p)
	l.login(domain.ClientPortal)
	p.run()
	for r, err := range l.store.ReadAll(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		stored := string(r.Data) + string(r.Metadata)
		for _, m := range l.gateway.of(SMS) {
			if strings.Contains(stored, `"`+string(m.Text[:6])+`"`) || strings.Contains(stored, strings.TrimPrefix(number, "+")) {
				t.Errorf("%s at %d holds a code or a number", r.Type, r.Sequence)
			}
		}
	}
}
