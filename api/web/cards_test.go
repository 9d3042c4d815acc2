package web

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/authledger/authledger/api/delivery"
)

func TestInboxCardsMaskNumbers(t *testing.T) {
	t.Parallel()
	b := delivery.NewInbox(func() time.Time { return noon })
	b.Send(t.Context(), delivery.Message{ID: "1", Kind: delivery.SMS, UserID: "a", To: "+4915112345678", Text: "482913 is your code"})
	b.Send(t.Context(), delivery.Message{ID: "2", Kind: delivery.Notice, UserID: "b", Text: "You logged in", Topic: "login"})
	b.Send(t.Context(), delivery.Message{ID: "3", Kind: delivery.Push, UserID: "a", Text: "Login request"})
	want := []Card{
		{ID: "3", Kind: "push", Text: "Login request", At: noon},
		{ID: "1", Kind: "sms", To: "+49 •••• 5678", Text: "482913 is your code", At: noon},
	}
	if diff := cmp.Diff(want, InboxCards(b)("a")); diff != "" {
		t.Errorf("cards (-want +got):\n%s", diff)
	}
	if got := len(InboxCards(b)("")); got != 3 {
		t.Errorf("%d cards of everybody, want 3", got)
	}
}
