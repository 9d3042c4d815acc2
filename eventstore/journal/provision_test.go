package journal

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/keyring"
	"github.com/authledger/authledger/eventstore/storetest"
)

// Secrets are durable before the events that name them. These tests fail
// between the two, at every such event, and try again.

// again executes a request whose append fails once, and then the same request.
func (w *world) again(r Request) Outcome {
	w.t.Helper()
	w.store.FailAppends(1, errDisk)
	if _, err := w.j.Execute(w.t.Context(), r); !errors.Is(err, errDisk) {
		w.t.Fatalf("the append that fails: %v", err)
	}
	w.store.Set(storetest.Faults{})
	out, err := w.j.Execute(w.t.Context(), r)
	if err != nil || out.Replayed {
		w.t.Fatalf("%s again: %+v, %v", r.Command.Name(), out, err)
	}
	return out
}

// lost executes a request whose answer is lost although it became durable, and
// goes on with another journal, as after a crash.
func (w *world) lost(r Request) Outcome {
	w.t.Helper()
	w.store.Set(storetest.Faults{AfterAppend: func(string, eventstore.Appended) error {
		w.store.Set(storetest.Faults{BeforeRecord: func(int) error { return eventstore.ErrUnavailable }})
		return errDisk
	}})
	if _, err := w.j.Execute(w.t.Context(), r); !errors.Is(err, eventstore.ErrOutcomeUnknown) {
		w.t.Fatalf("the answer that is lost: %v", err)
	}
	w.store.Set(storetest.Faults{})
	w.j = w.journal()
	out, err := w.j.Execute(w.t.Context(), r)
	if err != nil || !out.Replayed {
		w.t.Fatalf("%s again: %+v, %v", r.Command.Name(), out, err)
	}
	return out
}

func TestSecretsOfACrashAndARetry(t *testing.T) {
	t.Parallel()
	for name, run := range map[string]func(*world, Request) Outcome{"before the event": (*world).again, "after the event": (*world).lost} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.register()
			do := func(c domain.Command) Outcome { t.Helper(); return run(w, w.request(c)) }

			ordered := event[domain.PhysicalDeviceRequested](t, do(w.order(w.user, "1234")))
			c := w.unit("1", suiteCardPIN)
			shipped := event[domain.PhysicalDeviceShipped](t, do(domain.RecordDeviceShipped{
				DeviceID: c.id, RequestID: ordered.RequestID, DispatchedOn: "2026-03-02",
			}))
			w.do(domain.NoteDeviceShipped{UserID: w.user, DeviceID: c.id, RequestID: ordered.RequestID, DispatchedOn: "2026-03-02", DueOn: shipped.ActivationDueOn})
			id := c.activate(w.user, "1234")

			challenge := event[domain.ChallengeIssued](t, do(domain.ChangeDevicePIN{
				AuthenticatorID: id, TxnID: w.begin(w.user, domain.PurposePINChange), PIN: "5678",
			})).ChallengeID
			event[domain.DevicePINChanged](t, do(domain.SubmitResponse{ChallengeID: challenge, Response: c.respond(challenge, "5678")}))
			login := w.ask(w.user, domain.TWS).ChallengeID
			if got := w.submit(login, c.respond(login, "5678")); got != "" {
				t.Errorf("login with the new PIN: %q", got)
			}

			w.user = w.person("u-2", "+491700000002")
			card := event[domain.OnlineCodeCardIssued](t, do(domain.IssueCodeCard{UserID: w.user, Kind: domain.KindOSCC, TxnID: w.portalLogin()}))
			cells := w.cells(card.AuthenticatorID)
			asked := event[domain.ChallengeIssued](t, w.do(domain.ActivateCodeCard{AuthenticatorID: card.AuthenticatorID}))
			if got := w.submit(asked.ChallengeID, domain.Secret(typed(cells, asked))); got != "" {
				t.Errorf("cells of the card: %q", got)
			}

			w.user = w.person("u-3", "+491700000003")
			mine := w.app(domain.AppIBKRMobile, domain.IOS, "handset-3")
			mine.enroll(w.user, domain.UVFaceID)
			w.verified(w.user)
			delivery := event[domain.TemporaryCredentialDelivered](t, do(domain.DeliverTemporaryCredential{
				UserID: w.user, ResetRef: "r", What: whatResetPassword, Channel: "in_app", Credential: "Sommer-Regen-77",
			})).DeliveryID
			do(mine.collection(delivery, w.clock.time()))
			if text, err := w.j.Credential(t.Context(), delivery); err != nil || text != "Sommer-Regen-77" {
				t.Errorf("a credential of %d characters, %v", len(text), err)
			}
		})
	}
}

// Two orders meet: the answer of the first is lost, the second is decided
// without it and gets the same id, and then the first lands. Each keeps the
// PIN that was chosen with it.
func TestPINsOfOrdersThatMeet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	stream := domain.UserStream(w.user)
	var held []eventstore.Proposed
	w.store.Set(storetest.Faults{BeforeAppend: func(_ string, events []eventstore.Proposed) error {
		held = events
		return eventstore.ErrOutcomeUnknown
	}})
	first := w.request(w.order(w.user, "1111"))
	if _, err := w.j.Execute(t.Context(), first); !errors.Is(err, eventstore.ErrOutcomeUnknown) {
		t.Fatal(err)
	}
	landed := false
	w.store.Set(storetest.Faults{BeforeAppend: func(string, []eventstore.Proposed) error {
		if landed {
			return nil
		}
		landed = true
		_, err := w.store.Store.Append(context.Background(), stream, w.end(stream), held)
		return err
	}})
	second := event[domain.PhysicalDeviceRequested](t, w.do(w.order(w.user, "2222")))
	w.store.Set(storetest.Faults{})
	out, err := w.j.Execute(t.Context(), first)
	if err != nil || !out.Replayed {
		t.Fatalf("the first order again: %+v, %v", out, err)
	}
	a, b := w.unit("1", suiteCardPIN), w.unit("2", suiteCardPIN)
	a.send(event[domain.PhysicalDeviceRequested](t, out).RequestID)
	b.send(second.RequestID)
	challenge := a.activation(w.user)
	if got := w.submit(challenge, a.respond(challenge, "2222")); got != domain.ReasonResponseWrong {
		t.Errorf("the first unit with the PIN of the second order: %q", got)
	}
	if got := w.submit(challenge, a.respond(challenge, "1111")); got != "" {
		t.Fatalf("the first unit with its own: %q", got)
	}
	txn := w.begin(w.user, domain.PurposeActivation)
	stepUp := event[domain.ChallengeIssued](t, w.do(domain.IssueChallenge{TxnID: txn})).ChallengeID
	if got := w.submit(stepUp, a.respond(stepUp, "1111")); got != "" {
		t.Fatalf("step up by the first unit: %q", got)
	}
	challenge = event[domain.ChallengeIssued](t, w.do(domain.StartEnrollment{
		UserID: w.user, Kind: domain.KindDSCPlus, DeviceID: b.id, TxnID: txn,
	})).ChallengeID
	if got := w.submit(challenge, b.respond(challenge, "2222")); got != "" {
		t.Errorf("the second unit with its own PIN: %q", got)
	}
}

// putless is a keyring that keeps no secrets.
type putless struct{ *keyring.Keyring }

func (putless) PutSecret(context.Context, string, string, []byte) error { return errDisk }

func TestKeyringThatKeepsNothingRecordsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.verified(w.user)
	ordered := event[domain.PhysicalDeviceRequested](t, w.do(w.order(w.user, "1234")))
	c := w.unit("1", suiteCardPIN)
	txn := w.portalLogin()
	healthy := w.j
	w.j = w.journal(func(c *Config) { c.Keyring = putless{w.keys} })
	before := len(w.records())
	for _, command := range []domain.Command{
		w.order(w.user, "1234"), domain.IssueCodeCard{UserID: w.user, Kind: domain.KindOSCC, TxnID: txn},
		domain.RecordDeviceShipped{DeviceID: c.id, RequestID: ordered.RequestID, DispatchedOn: "2026-03-02"},
	} {
		if _, err := w.j.Execute(t.Context(), w.request(command)); !errors.Is(err, errDisk) {
			t.Errorf("%s: %v", command.Name(), err)
		}
	}
	if after := len(w.records()); after != before {
		t.Errorf("%d records name secrets that are nowhere", after-before)
	}
	w.j = healthy
	c.send(ordered.RequestID)
}

// A repeat makes nothing new: the cells of the first execution stay.
func TestRepeatedIssueKeepsItsCells(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	r := w.request(domain.IssueCodeCard{UserID: w.user, Kind: domain.KindOSCC, TxnID: w.portalLogin()})
	r.CommandID = uuid.New()
	first, err := w.j.Execute(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	id := event[domain.OnlineCodeCardIssued](t, first).AuthenticatorID
	cells := w.cells(id)
	for _, j := range []*Journal{w.j, w.journal()} {
		again, err := j.Execute(t.Context(), r)
		if err != nil || !again.Replayed {
			t.Fatalf("repeat: %+v, %v", again, err)
		}
		if got, err := j.CodeCard(t.Context(), w.user, id); err != nil || !slices.Equal(got, cells) {
			t.Errorf("other cells after a repeat, %v", err)
		}
	}
}

// An erased unit or user verifies nothing any more, which is an answer.
func TestErasedSecretsAreWrongAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	c := w.unit("1", suiteCardPIN)
	c.ship(w.user, "1234")
	challenge := c.activation(w.user)
	if err := w.keys.Destroy(t.Context(), domain.DeviceStream(c.id)); err != nil {
		t.Fatal(err)
	}
	if got := w.submit(challenge, c.respond(challenge, "1234")); got != domain.ReasonResponseWrong {
		t.Errorf("a unit that was erased: %q", got)
	}
	// A seed that was never imported is a fault of ours, not a wrong answer.
	missing := &unit{w: w, id: codec.DeviceIDOf("Acme", "2"), suite: c.suite, seed: c.seed}
	w.do(domain.RegisterDevice{DeviceID: missing.id, Model: domain.ModelDSCPlus, Manufacturer: "Acme", Serial: "2", Suite: suiteCard})
	w.user = w.person("u-2", "+491700000002")
	missing.ship(w.user, "1234")
	challenge = missing.activation(w.user)
	_, err := w.j.Execute(t.Context(), w.request(domain.SubmitResponse{ChallengeID: challenge, Response: "12345678"}))
	if err == nil || strings.Contains(err.Error(), "12345678") {
		t.Errorf("a unit without a seed: %v", err)
	}
}
