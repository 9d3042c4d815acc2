package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/storetest"
)

var errDisk = errors.New("the disk is on fire")

// healthy proves that the journal's state is that of the log and that the user
// can still log in.
func healthy(t *testing.T, w *world) {
	t.Helper()
	w.store.Set(storetest.Faults{})
	s, release, err := w.j.view(t.Context(), domain.UserStream(w.user))
	if err != nil {
		t.Fatal(err)
	}
	fresh := newSlot(s.stream)
	if err := w.journal().fold(t.Context(), fresh); err != nil {
		t.Fatal(err)
	}
	equal(t, "state", s.state, fresh.state)
	release()
	checkChain(t, w)
	challenge, right := w.smsLogin()
	event[domain.AuthenticationSucceeded](t, w.do(domain.SubmitResponse{ChallengeID: challenge, Response: right}))
	if s := w.j.slots.acquire(domain.UserStream(w.user)); s.doubtful {
		t.Error("the state is still doubtful after a successful append")
	}
}

func TestLostAnswerOfADurableAppend(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	changed, stop := w.j.Watch(domain.UserStream(w.user))
	defer stop()
	w.store.LoseAnswers(1, errDisk)
	r := w.request(domain.AddPhone{UserID: w.user, CC: "DE", Number: domain.Clear(number), Line: domain.LineMobile})
	out, err := w.j.Execute(t.Context(), r)
	// Where others append, it may have been one of them.
	if err != nil || out.Replayed != w.j.shared || len(out.Events) != 1 || out.Position == 0 {
		t.Fatalf("outcome %+v, %v", out, err)
	}
	<-changed
	again, err := w.j.Execute(t.Context(), r)
	if err != nil || !again.Replayed {
		t.Fatalf("repeat %+v, %v", again, err)
	}
	again.Replayed = out.Replayed
	equal(t, "repeat", again, out)
	healthy(t, w)
}

func TestLostAnswerOfAnAppendThatDidNotHappen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	appends := 0
	w.store.Set(storetest.Faults{BeforeAppend: func(string, []eventstore.Proposed) error {
		appends++
		return fmt.Errorf("%w: %w", eventstore.ErrOutcomeUnknown, errDisk)
	}})
	before := len(w.records())
	r := w.request(domain.SetSeamless{UserID: w.user, Enabled: false})
	if _, err := w.j.Execute(t.Context(), r); !errors.Is(err, eventstore.ErrOutcomeUnknown) {
		t.Fatalf("got %v", err)
	}
	if appends != 1 || len(w.records()) != before {
		t.Fatalf("%d appends sent, %d records written", appends, len(w.records())-before)
	}
	w.store.Set(storetest.Faults{})
	out, err := w.j.Execute(t.Context(), r)
	if err != nil || out.Replayed || len(out.Events) != 1 {
		t.Fatalf("the same request again: %+v, %v", out, err)
	}
	healthy(t, w)
}

// The answer was lost, the events are not there when asked, and then they
// land: nothing may be decided twice, and readers must see them.
func TestAppendThatLandsLate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	stream := domain.UserStream(w.user)
	var held []eventstore.Proposed
	w.store.Set(storetest.Faults{BeforeAppend: func(_ string, events []eventstore.Proposed) error {
		held = events
		return eventstore.ErrOutcomeUnknown
	}})
	r := w.request(domain.SetSeamless{UserID: w.user, Enabled: false})
	if _, err := w.j.Execute(t.Context(), r); !errors.Is(err, eventstore.ErrOutcomeUnknown) {
		t.Fatalf("got %v", err)
	}
	w.store.Set(storetest.Faults{})
	if _, err := w.store.Append(t.Context(), stream, w.end(stream), held); err != nil {
		t.Fatal(err)
	}
	if err := w.j.User(t.Context(), w.user, func(u *domain.User, _ time.Time) error {
		if u.Seamless() {
			t.Error("a reader does not see what landed")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	// On the state before it, this would change nothing and ask no store.
	event[domain.SeamlessEnabled](t, w.do(domain.SetSeamless{UserID: w.user, Enabled: true}))
	out, err := w.j.Execute(t.Context(), r)
	if err != nil || !out.Replayed || out.Events[0].ID != held[0].ID {
		t.Fatalf("repeat: %+v, %v", out, err)
	}
	healthy(t, w)
}

func TestLostAnswerOfARepeatIsStillARepeat(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	r := w.request(domain.SetSeamless{UserID: w.user, Enabled: false})
	if _, err := w.journal().Execute(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	w.clock.advance(time.Second)
	w.store.LoseAnswers(1, errDisk)
	out, err := w.j.Execute(t.Context(), r) // on a state that does not know the first execution
	if err != nil || !out.Replayed || len(out.Events) != 1 {
		t.Fatalf("outcome %+v, %v", out, err)
	}
	healthy(t, w)
}

func TestReadBackThatFailsStaysUnknown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	var lost atomic.Bool
	w.store.Set(storetest.Faults{
		AfterAppend: func(string, eventstore.Appended) error { lost.Store(true); return errDisk },
		BeforeRecord: func(int) error {
			if lost.Load() {
				return eventstore.ErrUnavailable
			}
			return nil
		},
	})
	r := w.request(domain.SetSeamless{UserID: w.user, Enabled: false})
	if _, err := w.j.Execute(t.Context(), r); !errors.Is(err, eventstore.ErrOutcomeUnknown) {
		t.Fatalf("got %v", err)
	}
	w.store.Set(storetest.Faults{})
	out, err := w.j.Execute(t.Context(), r)
	if err != nil || !out.Replayed || len(out.Events) != 1 {
		t.Fatalf("repeat: %+v, %v", out, err)
	}
	healthy(t, w)
}

// end is what stands at the end of a stream.
func (w *world) end(stream string) eventstore.Expected {
	w.t.Helper()
	e := eventstore.NoStream()
	for r, err := range w.store.ReadStream(context.Background(), stream, 0) {
		if err != nil {
			w.t.Fatal(err)
		}
		e = eventstore.At(r.Revision, r.Leaf())
	}
	return e
}

func TestForeignWriterIsMetByRevision(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	other := w.journal()
	changed, stop := w.j.Watch(domain.UserStream(w.user))
	defer stop()
	r := w.request(domain.StartAuthentication{UserID: w.user, Purpose: domain.PurposeLogin, Platform: domain.TWS, PrimaryVerified: true})
	w.clock.advance(3 * time.Minute)
	theirs, err := other.Execute(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	// Our state is behind: the store finds the ids we propose at the very
	// revisions we expect, or a conflict; either way theirs is the outcome.
	ours, err := w.j.Execute(t.Context(), r)
	if err != nil || !ours.Replayed {
		t.Fatalf("the same command here: %+v, %v", ours, err)
	}
	ours.Replayed = false
	equal(t, "the same command here", ours, theirs)
	<-changed
	if _, err := other.Execute(t.Context(), w.request(domain.SetSeamless{UserID: w.user, Enabled: false})); err != nil {
		t.Fatal(err)
	}
	event[domain.PhoneNumberAdded](t, w.do(domain.AddPhone{UserID: w.user, CC: "DE", Number: domain.Clear(number), Line: domain.LineMobile}))
	event[domain.SeamlessEnabled](t, w.do(domain.SetSeamless{UserID: w.user, Enabled: true}))
	healthy(t, w)
}

func TestEndlessConflictsAreBusy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	appends := 0
	w.store.Set(storetest.Faults{BeforeAppend: func(stream string, _ []eventstore.Proposed) error {
		appends++
		return &eventstore.ConflictError{Stream: stream}
	}})
	_, err := w.j.Execute(t.Context(), w.request(domain.SetSeamless{UserID: w.user, Enabled: false}))
	if !errors.Is(err, ErrBusy) || appends != maxAttempts {
		t.Fatalf("after %d appends: %v", appends, err)
	}
	healthy(t, w)
}

func TestUnavailableStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.store.FailAppends(1, eventstore.ErrUnavailable)
	r := w.request(domain.SetSeamless{UserID: w.user, Enabled: false})
	if _, err := w.j.Execute(t.Context(), r); !errors.Is(err, eventstore.ErrUnavailable) {
		t.Fatalf("append: %v", err)
	}
	for k := range 3 {
		w.store.FailReads(k, errDisk)
		j := w.journal()
		if _, err := j.Execute(t.Context(), r); !errors.Is(err, errDisk) {
			t.Fatalf("load that fails after %d records: %v", k, err)
		}
		if err := j.User(t.Context(), w.user, func(*domain.User, time.Time) error { return nil }); !errors.Is(err, errDisk) {
			t.Fatalf("read that fails after %d records: %v", k, err)
		}
		w.store.Set(storetest.Faults{})
		if err := j.User(t.Context(), w.user, func(u *domain.User, _ time.Time) error {
			if len(u.Bound()) != 1 {
				t.Errorf("state after healing has %d authenticators", len(u.Bound()))
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	healthy(t, w)
}

func TestHistoryThatCannotBeTrustedStopsTheStream(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		spoil func(w *world, stream string) (eventstore.Expected, eventstore.Proposed)
		want  error
	}{
		"an unknown type": {func(w *world, stream string) (eventstore.Expected, eventstore.Proposed) {
			return w.end(stream), w.proposed("UserPromoted", "{}")
		}, codec.ErrUnknownType},
		"an unknown field": {func(w *world, stream string) (eventstore.Expected, eventstore.Proposed) {
			return w.end(stream), w.proposed("UserClosed", `{"reason":"x","by":"y"}`)
		}, codec.ErrMalformed},
		"a broken chain": {func(w *world, stream string) (eventstore.Expected, eventstore.Proposed) {
			return eventstore.At(w.end(stream).Next()-1, eventstore.Hash{1}), w.proposed("UserClosed", `{"reason":"x"}`)
		}, errBroken},
	} {
		w := newWorld(t)
		w.register()
		stream := domain.UserStream(w.user)
		expected, p := tc.spoil(w, stream)
		if _, err := w.store.Append(t.Context(), stream, expected, []eventstore.Proposed{p}); err != nil {
			t.Fatal(err)
		}
		for range 2 { // it stays stopped
			j := w.journal()
			if err := j.User(t.Context(), w.user, func(*domain.User, time.Time) error { return nil }); !errors.Is(err, tc.want) {
				t.Errorf("%s: reading gives %v", name, err)
			}
			if _, err := j.Execute(t.Context(), w.request(domain.SetSeamless{UserID: w.user})); !errors.Is(err, tc.want) {
				t.Errorf("%s: executing gives %v", name, err)
			}
			if err := w.journal().Client(t.Context(), w.client, func(*domain.Client) {}); err != nil {
				t.Errorf("%s: another stream gives %v", name, err)
			}
		}
	}
}

func (w *world) proposed(name, data string) eventstore.Proposed {
	w.t.Helper()
	p, err := codec.New(nil).Encode(w.t.Context(), "user-x", eventstore.EventID{9}, domain.UserClosed{}, codec.Metadata{})
	if err != nil {
		w.t.Fatal(err)
	}
	p.Type, p.Data = name, []byte(data)
	return p
}

func TestContextEndsBeforeOrDuringTheAppend(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	before := len(w.records())
	if _, err := w.j.Execute(ended, w.request(domain.SetSeamless{UserID: w.user})); !errors.Is(err, context.Canceled) {
		t.Errorf("ended before: %v", err)
	}
	if len(w.records()) != before {
		t.Error("something was written")
	}
	ctx, cancel := context.WithCancel(t.Context())
	w.store.Set(storetest.Faults{BeforeAppend: func(string, []eventstore.Proposed) error { cancel(); return nil }})
	out, err := w.j.Execute(ctx, w.request(domain.SetSeamless{UserID: w.user}))
	if err != nil || len(out.Events) != 1 {
		t.Errorf("ended during: %+v, %v", out, err)
	}
	healthy(t, w)
}

func TestWaitingForATurnEndsWithTheContext(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	inside, proceed := make(chan struct{}), make(chan struct{})
	w.store.Set(storetest.Faults{BeforeAppend: func(string, []eventstore.Proposed) error {
		close(inside)
		<-proceed
		return nil
	}})
	done := make(chan error)
	go func() {
		_, err := w.j.Execute(t.Context(), w.request(domain.SetSeamless{UserID: w.user}))
		done <- err
	}()
	<-inside
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.j.Execute(ctx, w.request(domain.SetSeamless{UserID: w.user})); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting: %v", err)
	}
	// Readers do not wait for the append.
	if err := w.j.User(t.Context(), w.user, func(*domain.User, time.Time) error { return nil }); err != nil {
		t.Error(err)
	}
	close(proceed)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// The key of an authenticator is durable before its event, and an attempt that
// failed in between must not change a key that is in use.
func TestAuthenticatorKeySurvivesFaults(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.bind()
	first, _, err := w.j.OCRASecret(t.Context(), w.user, w.ibkey)
	if err != nil || len(first) != ocraSecretSize {
		t.Fatalf("key of %d bytes, %v", len(first), err)
	}
	stale := w.journal() // loads now, before the user is bound anew
	bound := domain.AuthenticatorEnrolled{AuthenticatorID: w.ibkey, Kind: domain.KindIBKey}
	g := gathering{j: stale, slot: newSlot(domain.UserStream(w.user))}
	if err := g.provision(t.Context(), make([]eventstore.Proposed, 1), []domain.Event{bound}); err != nil {
		t.Fatal(err)
	}
	second, _, err := w.j.OCRASecret(t.Context(), w.user, w.ibkey)
	if err != nil || !bytes.Equal(first, second) {
		t.Errorf("the key changed under its authenticator: %v", err)
	}
	if _, _, err := w.j.OCRASecret(t.Context(), w.user, w.sms); code(t, err) != domain.Unknown {
		t.Errorf("key of an SMS authenticator: %v", err)
	}
	if bytes.Equal(first, make([]byte, ocraSecretSize)) {
		t.Error("the key is all zeros")
	}
}
