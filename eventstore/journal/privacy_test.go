package journal

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/keyring"
)

// leave closes the user and lets the retention pass.
func (w *world) leave() {
	w.t.Helper()
	w.do(domain.CloseUser{UserID: w.user, Reason: "relationship_ended"})
	w.clock.advance(7 * 366 * 24 * time.Hour)
}

func (w *world) forget() domain.RequestErasure {
	return domain.RequestErasure{UserID: w.user, Basis: domain.BasisSubjectRequest}
}

// refuse executes a command that must be answered with an error of this code.
func (w *world) refuse(c domain.Command, want domain.Code) {
	w.t.Helper()
	_, err := w.j.Execute(w.t.Context(), w.request(c))
	var e *domain.Error
	if !errors.As(err, &e) || e.Code != want {
		w.t.Errorf("%s: got %v, want %s", c.Name(), err, want)
	}
}

// hasIP reports whether the newest record of a stream keeps the address.
func (w *world) hasIP(stream string) bool {
	w.t.Helper()
	last := w.last(stream)
	return !last.Meta.Source.IP.IsZero()
}

func (w *world) last(stream string) codec.Decoded {
	w.t.Helper()
	var last codec.Decoded
	for _, r := range w.records() {
		if r.Stream == stream {
			d, err := codec.New(w.keys).Decode(r)
			if err != nil {
				w.t.Fatal(err)
			}
			last = d
		}
	}
	return last
}

func TestErasureNamesTheKeyAndTheAppsOfThisUserAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.bind()
	home := domain.InstallationStream(w.installation)
	w.do(domain.BindToInstallation{InstallationID: w.installation, UserID: w.user, AuthenticatorID: w.ibkey})
	if refused := event[domain.ErasureRefused](t, w.do(w.forget())); refused.Reason != domain.ReasonAccountOpen {
		t.Errorf("refused for %s, want ACCOUNT_OPEN", refused.Reason)
	}
	w.leave()
	e := event[domain.PersonalDataErased](t, w.do(w.forget()))
	id, err := w.keys.KeyID(t.Context(), domain.UserStream(w.user))
	if err != nil || e.KeyID != id || id == "" {
		t.Errorf("destroys key %q, want %q (%v)", e.KeyID, id, err)
	}
	if !slices.Equal(e.Also, []string{home}) {
		t.Errorf("also %q, want %q", e.Also, home)
	}
}

func TestErasureSparesAnAppSomebodyElseEverLivedOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.bind()
	other := codec.UserIDOf("u-2")
	w.do(domain.BindToInstallation{InstallationID: w.installation, UserID: w.user, AuthenticatorID: w.ibkey})
	w.do(domain.BindToInstallation{InstallationID: w.installation, UserID: other, AuthenticatorID: "aut_" + other[4:] + "_1"})
	w.do(domain.UnbindFromInstallation{InstallationID: w.installation, UserID: other, AuthenticatorID: "aut_" + other[4:] + "_1"})
	w.leave()
	if e := event[domain.PersonalDataErased](t, w.do(w.forget())); len(e.Also) != 0 {
		t.Errorf("also destroys %q, where somebody else lived", e.Also)
	}
}

func TestErasureAsksEveryClientOfALife(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	india := codec.ClientIDOf("c-2")
	w.do(domain.RegisterClient{ClientID: india, Kind: domain.Individual, CarryingEntity: "IB-IN", CarryingCC: "IN"})
	w.do(domain.GrantAccountAccess{UserID: w.user, ClientID: india, EffectiveOn: "2026-01-01"})
	w.do(domain.RevokeAccountAccess{UserID: w.user, ClientID: india, EffectiveOn: "2026-02-01"})
	w.leave()
	if e := event[domain.ErasureRefused](t, w.do(w.forget())); e.Retention.Years != 8 || e.Retention.CC != "IN" {
		t.Errorf("kept by %+v, want eight years for India", e.Retention)
	}
}

func TestLateReportAboutAnErasedUserIsRecordedWithoutTheAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.leave()
	stream := domain.UserStream(w.user)
	event[domain.PersonalDataErased](t, w.do(w.forget()))
	if !w.hasIP(stream) {
		t.Error("the request's own address is not sealed under the key that goes")
	}
	if err := w.keys.Destroy(t.Context(), stream); err != nil {
		t.Fatal(err)
	}
	event[domain.AuthenticationRefused](t, w.do(domain.StartAuthentication{UserID: w.user, Purpose: domain.PurposeLogin, Platform: domain.TWS}))
	if w.hasIP(stream) {
		t.Error("an address was recorded after the erasure")
	}
	if m := w.last(stream).Meta; m.Source.Platform != domain.TWS || m.RequestID != "req-1" {
		t.Errorf("more than the address is missing: %+v", m)
	}
	if e := event[domain.ErasureRefused](t, w.do(w.forget())); e.Reason != domain.ReasonAlreadyErased {
		t.Errorf("refused for %s, want ALREADY_ERASED", e.Reason)
	}
	w.refuse(domain.AnnotateEvent{UserID: w.user, EventID: codec.EventIDText(w.last(stream).Record.ID), Note: domain.Clear("n"), Kind: "dispute"}, domain.DataErased)
}

// A key may be gone although the log does not say so yet, or at all.
func TestPersonalFieldWithoutAKeyIsAnError(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	stream := domain.UserStream(w.user)
	if err := w.keys.Destroy(t.Context(), stream); err != nil {
		t.Fatal(err)
	}
	before := len(w.records())
	_, err := w.j.Execute(t.Context(), w.request(domain.AddPhone{UserID: w.user, CC: "DE", Number: domain.Clear(number), Line: domain.LineMobile}))
	if !errors.Is(err, keyring.ErrKeyDestroyed) || len(w.records()) != before {
		t.Errorf("adding a phone: %v and %d new records, want ErrKeyDestroyed and none", err, len(w.records())-before)
	}
	w.do(domain.SetSeamless{UserID: w.user})
	if w.hasIP(stream) {
		t.Error("an address was recorded without a key")
	}
}

func TestRevealIsAboutARecordOfTheUserOrOfAnAppTheUserLivedOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.bind()
	first := func(stream string) string {
		for _, r := range w.records() {
			if r.Stream == stream {
				return codec.EventIDText(r.ID)
			}
		}
		t.Fatalf("no record of %s", stream)
		return ""
	}
	look := func(eventID string, fields ...string) domain.RevealPersonalData {
		return domain.RevealPersonalData{UserID: w.user, EventID: eventID, Fields: fields, Reason: "dispute", CaseRef: "case-1"}
	}
	own, home := first(domain.UserStream(w.user)), first(domain.InstallationStream(w.installation))
	if e := event[domain.PersonalDataRevealed](t, w.do(look(own, "username", codec.FieldIP))); e.EventID != own {
		t.Errorf("revealed %+v", e)
	}
	event[domain.PersonalDataRevealed](t, w.do(look(home, "device_name")))
	w.refuse(look(own, "number"), domain.Invalid)
	w.refuse(look(first(domain.ClientStream(w.client)), codec.FieldIP), domain.Unknown)
	w.refuse(look("evt_nonsense", "username"), domain.Unknown)
	w.refuse(look("evt_c9hpkgj4d5r7s2u0vm1n3b6e8g", "username"), domain.Unknown)
	stranger := codec.UserIDOf("u-2")
	w.do(domain.RegisterUser{UserID: stranger, ClientID: w.client, Role: domain.RoleHolder, Username: domain.Clear("ben"), Locale: "de-DE"})
	w.refuse(look(first(domain.UserStream(stranger)), "username"), domain.Unknown)
	w.do(domain.CloseUser{UserID: w.user, Reason: "r"})
	event[domain.ProcessingRestricted](t, w.do(w.forget()))
	w.refuse(look(own, "username"), domain.DataRestricted)
}

func TestAnnotationIsSealed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	stream := domain.UserStream(w.user)
	w.do(domain.AnnotateEvent{UserID: w.user, EventID: codec.EventIDText(w.last(stream).Record.ID), Note: domain.Clear("Anna says no"), Kind: "dispute"})
	d := w.last(stream)
	if e := d.Event.(domain.EventAnnotated); !keyring.IsSealed(e.Note.SealedText()) {
		t.Error("the note is not sealed")
	}
	if note, err := codec.New(w.keys).Reveal(t.Context(), d, "note"); err != nil || note != "Anna says no" {
		t.Errorf("the note reads %q (%v)", note, err)
	}
}

func TestNumberOfSomebodyRestrictedIsNotOpened(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	if n, err := w.j.PhoneNumber(t.Context(), w.user, w.phone); err != nil || n != number {
		t.Fatalf("got %v, want the number", err)
	}
	w.do(domain.CloseUser{UserID: w.user, Reason: "r"})
	event[domain.ProcessingRestricted](t, w.do(w.forget()))
	if _, err := w.j.PhoneNumber(t.Context(), w.user, w.phone); !domain.IsRestricted(err) {
		t.Errorf("got %v, want PROCESSING_RESTRICTED", err)
	}
}
