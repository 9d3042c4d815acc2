package projections

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/authledger/authledger/domain"
)

func TestOneVoiceCall(t *testing.T) {
	t.Parallel()
	ctx, w := context.Background(), newWorld(t)
	phone, chl, id := "phn_"+key(1)+"_1", "chl_"+key(1)+"_2", "cal_"+key(1)+"_3"
	w.in(user(1), domain.VoiceCallRefused{ChallengeID: chl, Reason: domain.ReasonVoiceRate, RetryAfterS: 41})
	w.pass(time.Second)
	w.in(user(1), domain.VoiceCallRequested{
		CallID: id, ChallengeID: chl, PhoneID: phone, CodeSeq: 2, Platform: domain.TWS, ReleaseChannel: domain.Beta, TemplateID: "t", Locale: "de",
	})
	w.pass(time.Second)
	w.in(user(1), domain.VoiceDispatchStarted{CallID: id, Gateway: "line"})
	w.in(user(1), domain.VoiceCallAnswered{CallID: id, DurationS: 21})
	w.pass(time.Second)
	w.in(user(1), domain.VoiceCallPlaced{CallID: id, PlacedAt: at(62), WaitMS: 61_000, SLAMissed: true, Provider: "p", ProviderRef: "r"}) // late
	w.in(user(1), domain.VoiceDispatchUncertain{CallID: id})
	w.in(user(1), domain.VoiceCallFailed{CallID: id, Failure: "busy", ProviderCode: "17"})
	w.in(user(1), domain.VoiceCallAnswered{CallID: "cal_" + key(9) + "_1"}) // never requested
	v := w.views()
	want := VoiceCall{
		Sequence: 2, ID: id, UserID: user(1), PhoneID: phone, ChallengeID: chl, CodeSeq: 2, Platform: domain.TWS, ReleaseChannel: domain.Beta,
		TemplateID: "t", Locale: "de", Status: VoiceAnswered, RequestedAt: at(1), DispatchedAt: pointer(at(2)), Gateway: "line",
		UncertainAt: pointer(at(3)), PlacedAt: pointer(at(62)), Wait: pointer(61 * time.Second), SLAMissed: true, Provider: "p", ProviderRef: "r",
		AnsweredAt: pointer(at(2)), Duration: pointer(21 * time.Second), FailedAt: pointer(at(3)), Failure: "busy", ProviderCode: "17",
	}
	got, err := v.VoiceCall(ctx, id)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	page, err := v.VoiceCalls(ctx, VoiceFilter{UserID: user(1), Status: VoiceRefused})
	refused := []VoiceCall{{
		Sequence: 1, UserID: user(1), ChallengeID: chl, Status: VoiceRefused, RequestedAt: at(0), RefusedReason: "VOICE_RATE", RetryAfter: 41 * time.Second,
	}}
	if diff := cmp.Diff(refused, page.Items); diff != "" || err != nil {
		t.Errorf("refusal: %v (-want +got):\n%s", err, diff)
	}
	if _, err := v.VoiceCall(ctx, "cal_"+key(9)+"_1"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a call never requested: %v", err)
	}
}

// The status of a call never goes back, whatever reports come in which order:
// here every sequence of three.
func TestVoiceStatuses(t *testing.T) {
	t.Parallel()
	reports := func(id string) []domain.Event {
		return []domain.Event{
			domain.VoiceDispatchStarted{CallID: id}, domain.VoiceDispatchUncertain{CallID: id}, domain.VoiceCallPlaced{CallID: id, PlacedAt: dawn},
			domain.VoiceCallFailed{CallID: id}, domain.VoiceCallAnswered{CallID: id},
		}
	}
	w := newWorld(t)
	want := map[string]VoiceStatus{}
	for n := range 5 * 5 * 5 {
		order := []int{n / 25, n / 5 % 5, n % 5}
		id := w.id("cal", user(1))
		all := reports(id)
		w.in(user(1), domain.VoiceCallRequested{CallID: id, ChallengeID: "c"}, all[order[0]], all[order[1]], all[order[2]])
		want[id] = voiceStatuses[2+slices.Max(order)]
	}
	v := w.views()
	for id, status := range want {
		if got, err := v.VoiceCall(context.Background(), id); err != nil || got.Status != status {
			t.Errorf("%s: status %s, want %s; %v", id, got.Status, status, err)
		}
	}
}

func TestVoiceCallsMatchAModel(t *testing.T) {
	t.Parallel()
	ctx, w := context.Background(), newWorld(t)
	s := newStories(w, 3, func(int) int { return 0 })
	s.arrive()
	n := 0
	for _, p := range s.people {
		s.phone(p)
	}
	s.pick = func(of int) int { n++; return n * 7 % of }
	for i := range 90 {
		s.pass(time.Second)
		s.call(s.people[i%3])
		s.correlation = ""
	}
	v := w.views()
	page, err := v.VoiceCalls(ctx, VoiceFilter{Listing: Listing{Limit: MaxLimit}})
	if err != nil || !page.Next.IsZero() || len(page.Items) < 90 {
		t.Fatalf("%d calls, %v", len(page.Items), err)
	}
	all := page.Items
	rapid.Check(t, func(rt *rapid.T) {
		some := rapid.SampledFrom(all)
		f := VoiceFilter{Listing: drawListing(rt, func() time.Time { return some.Draw(rt, "at").RequestedAt })}
		if rapid.Bool().Draw(rt, "user") {
			f.UserID = some.Draw(rt, "of").UserID
		}
		if rapid.Bool().Draw(rt, "phone") {
			f.PhoneID = some.Draw(rt, "to").PhoneID
		}
		if rapid.Bool().Draw(rt, "status") {
			f.Status = rapid.SampledFrom(append(slices.Clone(voiceStatuses), "nonsense")).Draw(rt, "in")
		}
		var want []VoiceCall
		for _, c := range all {
			if (f.UserID == "" || c.UserID == f.UserID) && (f.PhoneID == "" || c.PhoneID == f.PhoneID) && (f.Status == "" || c.Status == f.Status) {
				want = append(want, c)
			}
		}
		comparePages(rt, f.Listing, want, func(c VoiceCall) (time.Time, int64) { return c.RequestedAt, int64(c.Sequence) },
			func(l Listing) (Page[VoiceCall], error) { f.Listing = l; return v.VoiceCalls(ctx, f) })
	})
}

// A call is part of the login it is for, and its challenge's message may have
// been refused.
func TestACallShowsTheLogin(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	l.pass(3 * time.Minute)
	out := l.do(domain.StartAuthentication{UserID: l.user, Purpose: domain.PurposeLogin, Platform: domain.TWS, ReleaseChannel: domain.Latest, PrimaryVerified: true})
	txn, chl := first[domain.AuthenticationStarted](l, out).TxnID, first[domain.ChallengeIssued](l, out).ChallengeID
	sms := first[domain.SMSRequested](l, out).SMSID
	l.do(domain.RecordCodeEmailed{SMSID: sms, AddressRef: "address-1", RuleID: "IN-OTP-1"})
	emailed := l.now
	l.pass(time.Minute)
	did[domain.SMSRequestRefused](l, domain.ResendLoginCode{ChallengeID: chl})
	call := did[domain.VoiceCallRequested](l, domain.RequestVoiceCall{ChallengeID: chl}).CallID
	did[domain.VoiceCallRefused](l, domain.RequestVoiceCall{ChallengeID: chl})
	l.do(domain.RecordVoiceDispatch{CallID: call, Gateway: "line"})
	l.pass(61 * time.Second)
	did[domain.VoiceCallPlaced](l, domain.RecordVoicePlaced{CallID: call, Provider: "p", ProviderRef: "r", PlacedAt: l.now})
	l.do(domain.RecordVoiceAnswered{CallID: call, DurationS: 20})
	v := l.views()
	const want = "AuthenticationStarted PrimaryFactorVerified SecondFactorSelected ChallengeIssued LoginCodeIssued SMSRequested CodeEmailed " +
		"SMSRequestRefused LoginCodeIssued VoiceCallRequested VoiceCallRefused VoiceDispatchStarted VoiceCallPlaced VoiceCallAnswered"
	for _, subject := range []string{txn, chl, call} {
		if got := timeline(t, v, subject); got != want {
			t.Errorf("timeline of %s:\ngot  %s\nwant %s", subject, got, want)
		}
	}
	c, err := v.VoiceCall(t.Context(), call)
	if err != nil || !c.SLAMissed || *c.Wait != 61*time.Second || c.PhoneID != l.phone || c.Status != VoiceAnswered {
		t.Errorf("call: %+v, %v", c, err)
	}
	m, err := v.Message(t.Context(), sms)
	if err != nil || m.EmailedAt == nil || !m.EmailedAt.Equal(emailed) || m.EmailRuleID != "IN-OTP-1" {
		t.Errorf("message: %+v, %v", m, err)
	}
	page, err := v.Messages(t.Context(), SMSFilter{PhoneID: l.phone, Status: SMSRefused})
	if err != nil || len(page.Items) != 1 || page.Items[0].SubjectID != chl {
		t.Errorf("refused message: %+v, %v", page.Items, err)
	}
}
