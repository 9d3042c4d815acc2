package journal

import (
	"errors"
	"testing"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/storetest"
)

// added is the event id of the user's phone number.
func (w *world) added() string {
	w.t.Helper()
	for _, r := range w.records() {
		if r.Type == "PhoneNumberAdded" {
			return codec.EventIDText(r.ID)
		}
	}
	w.t.Fatal("no number was added")
	return ""
}

func (w *world) reveal(reason string) domain.RevealPersonalData {
	w.t.Helper()
	return domain.RevealPersonalData{EventID: w.added(), Reason: reason, CaseRef: "case-4711"}
}

// wantCode checks that nothing was revealed and why.
func wantCode(t *testing.T, revealed []Revealed, err error, code domain.Code) {
	t.Helper()
	var e *domain.Error
	if !errors.As(err, &e) || e.Code != code || revealed != nil {
		t.Errorf("%d values and %v, want none and %s", len(revealed), err, code)
	}
}

func TestNothingIsRevealedThatIsNotRecordedFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	r := w.request(w.reveal("dispute"))
	before := len(w.records())
	w.store.Set(storetest.Faults{BeforeAppend: func(string, []eventstore.Proposed) error { return errDisk }})
	if _, revealed, err := w.j.Reveal(t.Context(), r); !errors.Is(err, errDisk) || revealed != nil {
		t.Fatalf("a full disk: %d values, %v", len(revealed), err)
	}
	if n := len(w.records()); n != before {
		t.Fatalf("%d records more", n-before)
	}
	w.store.Set(storetest.Faults{})
	out, revealed, err := w.j.Reveal(t.Context(), r)
	if err != nil || len(revealed) != 1 || revealed[0] != (Revealed{Field: "number", Value: number}) {
		t.Fatalf("revealed %d values, %v", len(revealed), err)
	}
	e := event[domain.PersonalDataRevealed](t, out)
	equal(t, "event", e, domain.PersonalDataRevealed{
		RevealID: e.RevealID, EventID: w.added(), Fields: []string{"number"}, Reason: "dispute", CaseRef: "case-4711",
	})
	if w.last(domain.UserStream(w.user)).Record.Type != "PersonalDataRevealed" {
		t.Error("the subject's own stream does not end with the reveal")
	}
}

// A request that was admitted once is no key for ever: what stands in the way
// now counts.
func TestRepeatedRevealIsJudgedByTheStateOfNow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	dispute, legal := w.request(w.reveal("dispute")), w.request(w.reveal("legal"))
	for _, r := range []Request{dispute, dispute, legal} {
		if _, revealed, err := w.j.Reveal(t.Context(), r); err != nil || len(revealed) != 1 {
			t.Fatalf("%d values, %v", len(revealed), err)
		}
	}
	w.do(domain.CloseUser{UserID: w.user, Reason: "r"})
	event[domain.ProcessingRestricted](t, w.do(w.forget()))
	_, revealed, err := w.j.Reveal(t.Context(), dispute)
	wantCode(t, revealed, err, domain.DataRestricted)
	if _, revealed, err := w.j.Reveal(t.Context(), legal); err != nil || len(revealed) != 1 {
		t.Errorf("for a legal claim: %d values, %v", len(revealed), err)
	}
	if err := w.keys.Destroy(t.Context(), domain.UserStream(w.user)); err != nil {
		t.Fatal(err)
	}
	_, revealed, err = w.j.Reveal(t.Context(), legal)
	wantCode(t, revealed, err, domain.DataErased)
}

func TestRevealNeedsAnEventThatHoldsSomething(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	for name, c := range map[string]domain.RevealPersonalData{
		"unknown event":  {EventID: "evt_00000000000000000000000000", Reason: "legal", CaseRef: "c"},
		"no id":          {EventID: "number", Reason: "legal", CaseRef: "c"},
		"somebody else":  {UserID: "usr_00000000000000000000000000", EventID: w.added(), Reason: "legal", CaseRef: "c"},
		"no owner given": {EventID: w.firstOf(domain.ClientStream(w.client)), Reason: "legal", CaseRef: "c"},
	} {
		_, revealed, err := w.j.Reveal(t.Context(), w.request(c))
		if name == "no owner given" {
			if err == nil || revealed != nil {
				t.Errorf("%s: %d values, %v", name, len(revealed), err)
			}
			continue
		}
		wantCode(t, revealed, err, domain.Unknown)
	}
	c := w.reveal("legal")
	c.Fields = []string{"username"}
	_, revealed, err := w.j.Reveal(t.Context(), w.request(c))
	wantCode(t, revealed, err, domain.Invalid)
}

// firstOf is the id of a stream's first event.
func (w *world) firstOf(stream string) string {
	w.t.Helper()
	for _, r := range w.records() {
		if r.Stream == stream {
			return codec.EventIDText(r.ID)
		}
	}
	w.t.Fatalf("%s is empty", stream)
	return ""
}
