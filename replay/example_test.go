package replay_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/google/uuid"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/memstore"
	"github.com/authledger/authledger/replay"
)

// Which authenticators did a user have, and which events say so?
func ExampleStateAt() {
	ctx := context.Background()
	user := codec.UserIDOf("acme/ada")
	store, began := enrolledUser(ctx, user)
	policy, err := domain.LoadPolicy()
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range []replay.Point{replay.AtTime(began), replay.AtSequence(2)} {
		r, err := replay.StateAt(ctx, store, codec.New(nil), policy, user, p)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s: %d authenticators\n", r.Point, len(r.State.Authenticators))
		for _, part := range r.Parts {
			for _, e := range part.Events {
				fmt.Printf("  %s set by %s @%d\n", part.Name, e.Type, e.Sequence)
			}
		}
	}
	// Output:
	// 2026-03-02T09:00:00Z: 0 authenticators
	//   user set by UserRegistered @1
	// @2: 1 authenticators
	//   user set by UserRegistered @1
	//   authenticator set by AuthenticatorEnrolled @2
}

// enrolledUser is a log of two events a minute apart, and when it began.
func enrolledUser(ctx context.Context, user string) (eventstore.Reader, time.Time) {
	began := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	now := began
	store := memstore.New(func() time.Time { return now })
	expected := eventstore.NoStream()
	for _, e := range []domain.Event{
		domain.UserRegistered{UserID: user, ClientID: codec.ClientIDOf("acme"), Role: domain.RoleOwner, Locale: "en-IE"},
		domain.AuthenticatorEnrolled{AuthenticatorID: "aut_" + user[4:] + "_1", Kind: domain.KindIBKey, Trigger: "user", OS: domain.IOS},
	} {
		command := uuid.NewSHA1(uuid.Nil, []byte(codec.TypeName(e)))
		p, err := codec.New(nil).Encode(ctx, domain.UserStream(user), eventstore.EventIDOf(command, 0), e, codec.Metadata{CommandID: command, Count: 1, OccurredAt: now})
		if err != nil {
			log.Fatal(err)
		}
		appended, err := store.Append(ctx, domain.UserStream(user), expected, []eventstore.Proposed{p})
		if err != nil {
			log.Fatal(err)
		}
		expected = eventstore.At(appended.Last().Revision, appended.Last().Leaf)
		now = now.Add(time.Minute)
	}
	return store, began
}
