package projections

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/bridge"
	"github.com/authledger/authledger/eventstore/memstore"
)

func TestWaitFor(t *testing.T) {
	t.Parallel()
	w := town(t)
	v := w.open(w.options())
	third := eventstore.Position(30)

	ended, cancel := context.WithCancel(context.Background())
	cancel()
	var behind *BehindError
	if err := v.WaitFor(ended, third); !errors.Is(err, ErrBehind) || !errors.As(err, &behind) || behind.Lag(3) != 3 || behind.Lag(0) != 1 {
		t.Fatalf("waited in vain: %v", err)
	}
	answer := make(chan error)
	go func() { answer <- v.WaitFor(context.Background(), third) }()
	for i := range 3 {
		if err := v.Apply(context.Background(), w.log[i:i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-answer; err != nil {
		t.Fatal(err)
	}
	if err := v.WaitFor(ended, third); err != nil || v.Position() != third {
		t.Fatalf("a position already applied: %v at %d", err, v.Position())
	}
	go func() { answer <- v.WaitFor(context.Background(), third+1) }()
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-answer; !errors.Is(err, eventstore.ErrClosed) {
		t.Fatalf("waiting while views close: %v", err)
	}
}

// register appends the registration of the client to a store and returns its
// position.
func (w *world) register(store eventstore.Appender, i int) eventstore.Position {
	w.t.Helper()
	p, err := w.codec.Encode(context.Background(), domain.ClientStream(client(i)), eventstore.EventID{byte(i + 1)},
		domain.ClientRegistered{ClientID: client(i), Kind: domain.Individual, CarryingEntity: "IBIE", CarryingCC: "IE"}, meta(w.now))
	if err != nil {
		w.t.Fatal(err)
	}
	a, err := store.Append(context.Background(), domain.ClientStream(client(i)), eventstore.NoStream(), []eventstore.Proposed{p})
	if err != nil {
		w.t.Fatal(err)
	}
	return a.Position
}

func TestViewsOnARouter(t *testing.T) {
	t.Parallel()
	w := town(t)
	store := memstore.New(func() time.Time { return w.now })
	defer store.Close()
	v := w.open(w.options())
	logger := slog.New(slog.DiscardHandler)
	router, err := bridge.NewRouter(bridge.RouterConfig{}, logger)
	if err != nil {
		t.Fatal(err)
	}
	v.Register(router, store, bridge.Config{BatchSize: 7}, logger)
	ended := make(chan error)
	go func() { ended <- router.Run(context.Background()) }()

	for i := range 20 {
		if err := v.WaitFor(context.Background(), w.register(store, i)); err != nil {
			t.Fatal(err)
		}
		page, err := v.Events(context.Background(), EventFilter{Subject: client(i)})
		if err != nil || len(page.Items) != 1 {
			t.Fatalf("own write is not there: %d events, %v", len(page.Items), err)
		}
	}
	if err := errors.Join(router.Close(), <-ended); err != nil {
		t.Fatal(err)
	}
}

// Whoever feeds the views is told to hurry exactly while somebody waits.
func TestAWaiterHurries(t *testing.T) {
	t.Parallel()
	w := town(t)
	v := w.open(w.options())
	hurry, answers := v.progress.hurried(), make(chan error)
	for range 2 {
		go func() { answers <- v.WaitFor(context.Background(), 20) }()
	}
	<-hurry
	if err := v.Apply(context.Background(), w.log[:2]); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(<-answers, <-answers); err != nil {
		t.Fatal(err)
	}
	if err := v.WaitFor(context.Background(), 20); err != nil {
		t.Fatal(err)
	}
	hurry = v.progress.hurried()
	select {
	case <-hurry:
		t.Fatal("still in a hurry after the last wait")
	default:
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() { answers <- v.WaitFor(ctx, 30) }()
	<-hurry
	cancel()
	if err := <-answers; !errors.Is(err, ErrBehind) {
		t.Fatalf("waited in vain: %v", err)
	}
	select {
	case <-v.progress.hurried():
		t.Fatal("still in a hurry after a wait in vain")
	default:
	}
}

// A reader that waits does not pay for the linger: this one would last an hour.
func TestWaitersEndTheLinger(t *testing.T) {
	t.Parallel()
	w := town(t)
	store := memstore.New(func() time.Time { return w.now })
	defer store.Close()
	v := w.open(w.options())
	logger := slog.New(slog.DiscardHandler)
	router, err := bridge.NewRouter(bridge.RouterConfig{}, logger)
	if err != nil {
		t.Fatal(err)
	}
	v.Register(router, store, bridge.Config{Linger: time.Hour}, logger)
	ended := make(chan error)
	go func() { ended <- router.Run(context.Background()) }()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for i := range 3 {
		if err := v.WaitFor(ctx, w.register(store, i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(router.Close(), <-ended); err != nil {
		t.Fatal(err)
	}
}
