package projections

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
)

const someNumber = "+4915112345678"

// twoPhones are users 1 and 2 with one number; user 1 then replaces it.
func twoPhones(t *testing.T) (w *world, first, second, other string) {
	w = newWorld(t)
	first, second, other = "phn_"+key(1)+"_1", "phn_"+key(1)+"_2", "phn_"+key(2)+"_1"
	add := func(owner, id, number string) {
		w.in(owner, domain.PhoneNumberAdded{PhoneID: id, CC: "DE", Number: domain.Clear(number), Line: domain.LineMobile})
		w.pass(time.Second)
	}
	add(user(1), first, someNumber)
	add(user(2), other, someNumber)
	add(user(1), second, "+4915187654321")
	w.in(user(1), domain.PhoneNumberVerified{PhoneID: first, VerificationID: "v", Attempts: 1})
	w.in(user(1), domain.PhoneNumberReplaced{OldPhoneID: first, NewPhoneID: second})
	w.in(user(1), domain.PhoneNumberVerified{PhoneID: second, VerificationID: "v", Attempts: 1})
	w.in(user(2), domain.PhoneNumberRemoved{PhoneID: other, Reason: "gone"})
	return w, first, second, other
}

func TestPhonesOfAUser(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w, first, second, other := twoPhones(t)
	v := w.views()
	one := Phone{
		ID: first, UserID: user(1), CC: "DE", Line: domain.LineMobile, EventID: w.log[0].ID, Status: PhoneReplaced, AddedAt: at(0),
		VerifiedAt: pointer(at(3)), RetiredAt: pointer(at(3)), ReplacedBy: second,
	}
	two := Phone{
		ID: second, UserID: user(1), CC: "DE", Line: domain.LineMobile, EventID: w.log[2].ID, Status: PhoneVerified, AddedAt: at(2),
		VerifiedAt: pointer(at(3)),
	}
	three := Phone{
		ID: other, UserID: user(2), CC: "DE", Line: domain.LineMobile, EventID: w.log[1].ID, Status: PhoneRemoved, AddedAt: at(1),
		RetiredAt: pointer(at(3)),
	}
	got, err := v.Phones(ctx, user(1))
	if diff := cmp.Diff([]Phone{one, two}, got); diff != "" || err != nil {
		t.Errorf("phones of a user: %v (-want +got):\n%s", err, diff)
	}
	found, err := v.PhonesWithNumber(ctx, someNumber)
	if diff := cmp.Diff([]Phone{one, three}, found); diff != "" || err != nil {
		t.Errorf("phones with a number: %v (-want +got):\n%s", err, diff)
	}
	if p, err := v.Phone(ctx, other); err != nil || p != three && cmp.Diff(three, p) != "" {
		t.Errorf("one phone: %+v, %v", p, err)
	}
	if _, err := v.Phone(ctx, "phn_none"); !errors.Is(err, ErrNotFound) {
		t.Errorf("unknown phone: %v", err)
	}
}

func TestNumbersAreNotInTheFile(t *testing.T) {
	t.Parallel()
	w, _, _, _ := twoPhones(t)
	o := w.options()
	v := w.open(o)
	w.apply(v)
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(o.Dir, viewsName))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(content, []byte("sealed:"+backwards(someNumber))) {
		t.Error("the sealed number is missing, so this test proves nothing")
	}
	if bytes.Contains(content, []byte(someNumber)) || bytes.Contains(content, []byte(someNumber[1:])) {
		t.Error("a number stands in the views in clear")
	}
}

// A number that cannot be opened for another reason is a fault, not an erasure.
func TestAFaultyKeyringStopsTheViews(t *testing.T) {
	t.Parallel()
	w, _, _, _ := twoPhones(t)
	o := w.options()
	o.Erased = nil
	w.vault.destroy(streamName(user(1)))
	v := w.open(o)
	if err := v.Apply(context.Background(), w.log); !errors.Is(err, errKeyGone) || v.Status().Sequence != 0 {
		t.Fatalf("got %v at %d", err, v.Status().Sequence)
	}
}

func TestSMSInLastHourCountsTheNumber(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w, first, second, other := twoPhones(t)
	n := 0
	request := func(owner, phone string) {
		n++
		w.in(owner, domain.SMSRequested{SMSID: w.id("sms", owner), PhoneID: phone, Purpose: domain.PurposeLogin, TemplateID: "t", Locale: "en"})
	}
	request(user(1), first) // 61 minutes before the question
	w.pass(2 * time.Minute)
	request(user(1), first)
	request(user(2), other)
	request(user(1), second) // another number
	w.in(user(1), domain.SMSRequestRefused{PhoneID: first, Purpose: domain.PurposeLogin, Reason: domain.ReasonSMSCooldown})
	w.pass(59 * time.Minute)
	v := w.views()
	for number, want := range map[string]int{someNumber: 2, "+4915187654321": 1, "+49999": 0} {
		if got, err := v.SMSInLastHour(ctx, number); err != nil || got != want {
			t.Errorf("%d messages, %v; want %d", got, err, want)
		}
	}
	if v.Status().Sequence != eventstore.Sequence(len(w.log)) {
		t.Fatal("not everything was applied")
	}
}
