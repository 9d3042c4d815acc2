package journal

import (
	"testing"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/storetest"
)

// A follower of the log may hold a record before the command that appended it
// is done. It was found by an SMS that its reactor took for one long forgotten.
func TestUserAtWaitsForTheCommandThatAppended(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	durable, done := make(chan eventstore.Appended, 1), make(chan struct{})
	w.store.Set(storetest.Faults{AfterAppend: func(_ string, a eventstore.Appended) error {
		durable <- a
		<-done
		return nil
	}})
	executed := make(chan error, 1)
	go func() {
		_, err := w.j.Execute(t.Context(), w.request(domain.SetSeamless{UserID: w.user}))
		executed <- err
	}()
	appended := <-durable

	seamless := func(read func(func(*domain.User, time.Time) error) error) (on bool) {
		t.Helper()
		if err := read(func(u *domain.User, _ time.Time) error { on = u.Seamless(); return nil }); err != nil {
			t.Error(err)
		}
		return on
	}
	if !w.j.shared && !seamless(func(f func(*domain.User, time.Time) error) error { return w.j.User(t.Context(), w.user, f) }) {
		t.Error("User waited for the command, or this test shows nothing")
	}
	seen := make(chan bool, 1)
	go func() {
		seen <- seamless(func(f func(*domain.User, time.Time) error) error {
			return w.j.UserAt(t.Context(), w.user, appended.Last().Revision, f)
		})
	}()
	close(done)
	if <-seen {
		t.Error("UserAt showed a state without the record its caller held")
	}
	if err := <-executed; err != nil {
		t.Error(err)
	}
}

// On another node nobody brings the state along: UserAt reads what is missing.
func TestUserAtReadsWhatAnotherNodeAppended(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	here := w.j
	if err := here.User(t.Context(), w.user, func(*domain.User, time.Time) error { return nil }); err != nil {
		t.Fatal(err)
	}
	elsewhere := w.journal()
	out, err := elsewhere.Execute(t.Context(), w.request(domain.SetSeamless{UserID: w.user}))
	if err != nil {
		t.Fatal(err)
	}
	on := true
	err = here.UserAt(t.Context(), w.user, out.Events[0].Revision, func(u *domain.User, _ time.Time) error { on = u.Seamless(); return nil })
	if err != nil || on {
		t.Errorf("seamless %v, %v: want the state of the other node", on, err)
	}
}
