package projections

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/authledger/authledger/domain"
)

func TestOneMessage(t *testing.T) {
	t.Parallel()
	ctx, w := context.Background(), newWorld(t)
	phone, first, second := "phn_"+key(1)+"_1", "sms_"+key(1)+"_2", "sms_"+key(1)+"_3"
	ask := domain.SMSRequested{SMSID: first, PhoneID: phone, Purpose: domain.PurposeLogin, SubjectID: "chl_x", CodeSeq: 2, TemplateID: "login", Locale: "de"}
	w.in(user(1), ask)
	w.pass(time.Second)
	w.in(user(1), domain.SMSDispatchStarted{SMSID: first, Gateway: "inbox"})
	w.pass(time.Second)
	w.in(user(1), domain.SMSDelivered{SMSID: first, ProviderRef: "r", DeliveredAt: at(90), LatencyMS: 1500, Receipt: "handset"})
	w.in(user(1), domain.SMSSent{SMSID: first, Provider: "p", ProviderRef: "r", SenderID: "IBKR", Segments: 2, AcceptedAt: at(1)})
	w.in(user(1), domain.SMSDispatchUncertain{SMSID: first})
	w.in(user(1), domain.SMSDeliveryFailed{SMSID: first, Failure: "expired", ProviderCode: "7"})
	w.pass(98 * time.Second)
	ask.SMSID, ask.Purpose = second, domain.PurposeActivation
	w.in(user(1), ask)
	w.pass(20 * time.Second)
	ask.SMSID, ask.Purpose = "sms_"+key(1)+"_4", domain.PurposeLogin
	w.in(user(1), ask)
	w.in(user(1), domain.SMSRequestRefused{PhoneID: phone, Purpose: domain.PurposeLogin, Reason: domain.ReasonSMSCooldown, RetryAfterS: 119})
	w.in(user(1), domain.SMSDelivered{SMSID: "sms_" + key(9) + "_1"}) // never requested
	v := w.views()

	want := SMS{
		Sequence: 1, ID: first, UserID: user(1), PhoneID: phone, Purpose: domain.PurposeLogin, SubjectID: "chl_x", CodeSeq: 2, TemplateID: "login",
		Locale: "de", Status: SMSDelivered, RequestedAt: at(0), DispatchedAt: pointer(at(1)), Gateway: "inbox", UncertainAt: pointer(at(2)),
		SentAt: pointer(at(1)), Provider: "p", ProviderRef: "r", SenderID: "IBKR", Segments: 2, DeliveredAt: pointer(at(90)),
		Latency: pointer(1500 * time.Millisecond), Receipt: "handset", FailedAt: pointer(at(2)), Failure: "expired", ProviderCode: "7",
	}
	got, err := v.Message(ctx, first)
	if diff := gocmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	page, err := v.Messages(ctx, SMSFilter{UserID: user(1)})
	if err != nil || len(page.Items) != 4 {
		t.Fatalf("%d messages, %v", len(page.Items), err)
	}
	if g := page.Items[1].Gap; g != nil {
		t.Errorf("first message of its purpose has a gap of %s", g)
	}
	if g := page.Items[2].Gap; g == nil || *g != 2*time.Minute {
		t.Errorf("gap %v, want two minutes", g)
	}
	refused := SMS{
		Sequence: 9, UserID: user(1), PhoneID: phone, Purpose: domain.PurposeLogin, Status: SMSRefused, RequestedAt: at(120),
		RefusedReason: "SMS_COOLDOWN", RetryAfter: 119 * time.Second,
	}
	if diff := gocmp.Diff(refused, page.Items[3]); diff != "" {
		t.Errorf("refusal (-want +got):\n%s", diff)
	}
	if _, err := v.Message(ctx, "sms_"+key(9)+"_1"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a message never requested: %v", err)
	}
}

func TestMessagesMatchAModel(t *testing.T) {
	t.Parallel()
	ctx, w := context.Background(), town(t)
	v := w.views()
	page, err := v.Messages(ctx, SMSFilter{Listing: Listing{Limit: MaxLimit}})
	if err != nil || !page.Next.IsZero() || len(page.Items) < 20 {
		t.Fatalf("%d messages, %v", len(page.Items), err)
	}
	all := page.Items
	rapid.Check(t, func(rt *rapid.T) {
		f := SMSFilter{Listing: Listing{Descending: rapid.Bool().Draw(rt, "descending"), Limit: rapid.IntRange(1, 30).Draw(rt, "limit")}}
		some := rapid.SampledFrom(all)
		if rapid.Bool().Draw(rt, "user") {
			f.UserID = some.Draw(rt, "of").UserID
		}
		if rapid.Bool().Draw(rt, "phone") {
			f.PhoneID = some.Draw(rt, "to").PhoneID
		}
		if rapid.Bool().Draw(rt, "status") {
			f.Status = rapid.SampledFrom(append(smsStatuses[:], "nonsense")).Draw(rt, "in")
		}
		if rapid.Bool().Draw(rt, "since") {
			f.Since = some.Draw(rt, "from").RequestedAt
		}
		if rapid.Bool().Draw(rt, "until") {
			f.Until = some.Draw(rt, "to").RequestedAt
		}
		var want []SMS
		for _, m := range all {
			if (f.UserID == "" || m.UserID == f.UserID) && (f.PhoneID == "" || m.PhoneID == f.PhoneID) && (f.Status == "" || m.Status == f.Status) &&
				!m.RequestedAt.Before(f.Since) && (f.Until.IsZero() || m.RequestedAt.Before(f.Until)) {
				want = append(want, m)
			}
		}
		slices.SortFunc(want, func(a, b SMS) int {
			order := cmp.Or(a.RequestedAt.Compare(b.RequestedAt), cmp.Compare(a.Sequence, b.Sequence))
			if f.Descending {
				return -order
			}
			return order
		})
		var got []SMS
		for {
			page, err := v.Messages(ctx, f)
			if err != nil {
				rt.Fatal(err)
			}
			got = append(got, page.Items...)
			if f.After = page.Next; f.After.IsZero() {
				break
			}
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			rt.Fatalf("%+v (-want +got):\n%s", f, diff)
		}
	})
}
