package delivery

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
)

// callWanted is a user whose SMS did not come and who asked for a call, not
// made yet.
func callWanted(t *testing.T) (*ledger, *process, domain.VoiceCallRequested) {
	t.Helper()
	l := newLedger(t, noon)
	p := l.start()
	l.verifiedPhone(p)
	challenge := only[domain.ChallengeIssued](t, l.login(domain.ClientPortal))
	p.run()
	l.clock.advance(90 * time.Second)
	return l, p, only[domain.VoiceCallRequested](t, l.do(domain.RequestVoiceCall{ChallengeID: challenge.ChallengeID}))
}

// spoken is the code that a script says, from its digits: the code twice.
func spoken(t *testing.T, m Message) domain.Secret {
	t.Helper()
	digits := strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, string(m.Text))
	if len(digits) != 12 || digits[:6] != digits[6:] {
		t.Fatalf("script says %q", digits)
	}
	return domain.Secret(digits[:6])
}

// S-3: the call says a new code, and that one opens.
func TestCallSaysTheNewCode(t *testing.T) {
	t.Parallel()
	l, p, asked := callWanted(t)
	l.clock.advance(50 * time.Second)
	p.run()
	calls := l.gateway.of(Voice)
	if len(calls) != 1 {
		t.Fatalf("%d calls, want 1", len(calls))
	}
	m := calls[0]
	if m.ID != asked.CallID || string(m.To) != number || m.UserID != l.user || m.TemplateID != "login_voice@1" || m.Locale != "de" ||
		!m.ExpiresAt.Equal(noon.Add(10*time.Minute)) {
		t.Errorf("call %v to %q in %s by %s until %s", m, string(m.To), m.Locale, m.TemplateID, m.ExpiresAt)
	}
	want := []domain.VoiceCallPlaced{{
		CallID: asked.CallID, PlacedAt: noon.Add(140 * time.Second), WaitMS: 50000, Provider: "test", ProviderRef: "ref-" + asked.CallID,
	}}
	if diff := cmp.Diff(want, events[domain.VoiceCallPlaced](l)); diff != "" {
		t.Errorf("placed (-want +got):\n%s", diff)
	}
	old := l.do(domain.SubmitResponse{ChallengeID: asked.ChallengeID, Response: l.gateway.newestCode(t, 6)})
	if r := only[domain.ResponseRejected](t, old); r.Reason != domain.ReasonCodeSuperseded {
		t.Errorf("code of the SMS: %+v", r)
	}
	right := l.do(domain.SubmitResponse{ChallengeID: asked.ChallengeID, Response: spoken(t, m)})
	if r := only[domain.ResponseVerified](t, right); r.Mode != domain.ModeVoiceCode {
		t.Errorf("verified %+v", r)
	}
	p.run()
	l.expectQuiet()
	l.gateway.expect(t, Voice, 1)
}

func TestCallIsDialledAtMostOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault                    func(*faultyJournal)
		dialled, placed, unclear int
	}{
		"crash before the dispatch":         {func(f *faultyJournal) { f.before = "RecordVoiceDispatch" }, 1, 1, 0},
		"crash between dispatch and call":   {func(f *faultyJournal) { f.after = "RecordVoiceDispatch" }, 0, 0, 1},
		"crash between call and its record": {func(f *faultyJournal) { f.before = "RecordVoicePlaced" }, 1, 0, 1},
		"crash after the record":            {func(f *faultyJournal) { f.after = "RecordVoicePlaced" }, 1, 1, 0},
	} {
		l, p, _ := callWanted(t)
		c.fault(p.journal)
		if err := p.try(); !errors.Is(err, errCrash) {
			t.Fatalf("%s: error %v, want the crash", name, err)
		}
		l.start().run()
		l.expectQuiet()
		if got := len(l.gateway.of(Voice)); got != c.dialled {
			t.Errorf("%s: dialled %d times, want %d", name, got, c.dialled)
		}
		count[domain.VoiceDispatchStarted](l, 1)
		count[domain.VoiceCallPlaced](l, c.placed)
		count[domain.VoiceDispatchUncertain](l, c.unclear)
		count[domain.VoiceCallFailed](l, 0)
	}
}

// Without a crash the process still knows what the gateway said.
func TestOutageAfterACallIsMadeUpFor(t *testing.T) {
	t.Parallel()
	l, p, _ := callWanted(t)
	p.journal.before = "RecordVoicePlaced"
	for range 3 {
		if err := p.try(); !errors.Is(err, errCrash) {
			t.Fatalf("error %v, want the outage", err)
		}
	}
	p.journal.before = ""
	p.run()
	l.gateway.expect(t, Voice, 1)
	count[domain.VoiceCallPlaced](l, 1)
	count[domain.VoiceDispatchUncertain](l, 0)
	if n := len(p.d.caller.keep.by); n != 0 {
		t.Errorf("%d outcomes are still kept", n)
	}
}

// Two nodes see the same request: the one that comes second does not dial.
func TestSecondNodeDoesNotDial(t *testing.T) {
	t.Parallel()
	l, p, _ := callWanted(t)
	rival := l.start()
	p.journal.meanwhile = func() {
		p.journal.meanwhile = nil
		rival.run()
	}
	p.run()
	l.gateway.expect(t, Voice, 1)
	count[domain.VoiceDispatchStarted](l, 1)
	count[domain.VoiceCallPlaced](l, 1)
	count[domain.VoiceDispatchUncertain](l, 0)
}

func TestAnswersToCallsBecomeFacts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer  Result
		failed  []domain.VoiceCallFailed
		unclear int
	}{
		"refused":             {Result{Outcome: Rejected, Code: "http_422"}, []domain.VoiceCallFailed{{Failure: "rejected", ProviderCode: "http_422"}}, 0},
		"refused with no why": {Result{Outcome: Rejected}, []domain.VoiceCallFailed{{Failure: "rejected", ProviderCode: "rejected"}}, 0},
		"unknown":             {Result{}, nil, 1},
	} {
		l, p, asked := callWanted(t)
		l.gateway.answer, l.gateway.refuse = c.answer, true
		p.run()
		l.expectQuiet()
		l.gateway.expect(t, Voice, 1)
		for i := range c.failed {
			c.failed[i].CallID = asked.CallID
		}
		if diff := cmp.Diff(c.failed, events[domain.VoiceCallFailed](l)); diff != "" {
			t.Errorf("%s: failed (-want +got):\n%s", name, diff)
		}
		count[domain.VoiceDispatchUncertain](l, c.unclear)
		count[domain.VoiceCallPlaced](l, 0)
	}
}

func TestCodesThatCannotBeUsedAreNotSpoken(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		meanwhile func(l *ledger, asked domain.VoiceCallRequested)
		code      string
	}{
		"at the end of its lifetime": {func(l *ledger, _ domain.VoiceCallRequested) { l.clock.set(noon.Add(10 * time.Minute)) }, codeExpired},
		"after its key's end":        {func(l *ledger, _ domain.VoiceCallRequested) { l.clock.advance(60 * 24 * time.Hour) }, codeExpired},
		"superseded by a message": {func(l *ledger, asked domain.VoiceCallRequested) {
			l.clock.advance(time.Minute)
			only[domain.SMSRequested](l.t, l.do(domain.ResendLoginCode{ChallengeID: asked.ChallengeID}))
		}, codeSuperseded},
		"phone replaced": {func(l *ledger, asked domain.VoiceCallRequested) {
			next := l.addPhone()
			v := only[domain.PhoneVerificationStarted](l.t, l.do(domain.StartPhoneVerification{PhoneID: next}))
			sms := l.records("SMSRequested")
			l.start().sees("sms", sms[len(sms)-1]) // and no call yet
			l.do(domain.ConfirmPhone{VerificationID: v.VerificationID, Code: l.gateway.newestCode(l.t, 6)})
			l.do(domain.ReplacePhone{OldPhoneID: asked.PhoneID, NewPhoneID: next})
		}, codePhoneGone},
		"login cancelled": {func(l *ledger, asked domain.VoiceCallRequested) {
			l.do(domain.CancelChallenge{ChallengeID: asked.ChallengeID})
		}, codeClosed},
		"subject erased": {func(l *ledger, _ domain.VoiceCallRequested) {
			if err := l.keys.Destroy(l.t.Context(), domain.UserStream(l.user)); err != nil {
				l.t.Fatal(err)
			}
		}, codeErased},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, p, asked := callWanted(t)
			c.meanwhile(l, asked)
			p.run()
			l.expectQuiet()
			l.gateway.expect(t, Voice, 0)
			count[domain.VoiceDispatchStarted](l, 0)
			want := []domain.VoiceCallFailed{{CallID: asked.CallID, Failure: "unknown", ProviderCode: c.code}}
			if diff := cmp.Diff(want, events[domain.VoiceCallFailed](l)); diff != "" {
				t.Errorf("failed (-want +got):\n%s", diff)
			}
		})
	}
}

// Calls that the user's state has dropped are not dialled, neither again nor
// for the first time.
func TestForgottenCalls(t *testing.T) {
	t.Parallel()
	l, p, _ := callWanted(t)
	p.run()
	for range 50 {
		l.clock.advance(15 * time.Minute)
		challenge := only[domain.ChallengeIssued](t, l.login(domain.ClientPortal))
		l.clock.advance(time.Minute)
		l.do(domain.RequestVoiceCall{ChallengeID: challenge.ChallengeID})
	}
	// Only the first call was made; more than the state remembers were asked for.
	l.start().run()
	l.expectQuiet()
	l.gateway.expect(t, Voice, 2)
	count[domain.VoiceDispatchStarted](l, 2)
	count[domain.VoiceCallPlaced](l, 2)
	count[domain.VoiceDispatchUncertain](l, 0)
}

func TestInboxAnswersCalls(t *testing.T) {
	t.Parallel()
	l, _, asked := callWanted(t)
	l.gateway.name = InboxName
	l.start().run()
	l.expectQuiet()
	want := []domain.VoiceCallAnswered{{CallID: asked.CallID, DurationS: inboxCallS}}
	if diff := cmp.Diff(want, events[domain.VoiceCallAnswered](l)); diff != "" {
		t.Errorf("answered (-want +got):\n%s", diff)
	}
}

func TestClosedUserIsNotCalled(t *testing.T) {
	t.Parallel()
	l, p, _ := callWanted(t)
	l.do(domain.CloseUser{UserID: l.user, Reason: "account_closed"})
	p.run()
	l.expectQuiet()
	l.gateway.expect(t, Voice, 0)
}

// No event holds the code a call says.
func TestLogHoldsNoSpokenCode(t *testing.T) {
	t.Parallel()
	l, p, _ := callWanted(t)
	p.run()
	code := string(spoken(t, l.gateway.of(Voice)[0]))
	for _, eventType := range []string{"VoiceCallRequested", "VoiceDispatchStarted", "VoiceCallPlaced", "LoginCodeIssued"} {
		list := l.records(eventType)
		if len(list) == 0 {
			t.Errorf("no %s", eventType)
		}
		for _, r := range list {
			if holds(r, code) {
				t.Errorf("%s holds the code", eventType)
			}
		}
	}
}

func holds(r eventstore.Record, code string) bool {
	return strings.Contains(string(r.Data), `"`+code+`"`) || strings.Contains(string(r.Metadata), `"`+code+`"`)
}
