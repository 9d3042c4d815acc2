package demo_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/authledger/authledger/api/delivery"
	"github.com/authledger/authledger/api/demo"
	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/journal"
	"github.com/authledger/authledger/eventstore/keyring"
	"github.com/authledger/authledger/eventstore/memstore"
)

// broker populates an in-memory ledger and returns its records, decoded.
func broker(t *testing.T, users int, seed uint64) []codec.Decoded {
	t.Helper()
	to := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	from := to.AddDate(0, -3, 0)
	clock := demo.NewClock(from)
	store := memstore.New(clock.Now)
	keys, err := keyring.Open(t.Context(), keyring.Options{Dir: t.TempDir(), Clock: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer keys.Close()
	policy, err := domain.LoadPolicy()
	if err != nil {
		t.Fatal(err)
	}
	c := codec.New(keys)
	j, err := journal.New(journal.Config{Store: store, Codec: c, Keyring: keys, Policy: policy, Clock: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	texts, err := delivery.NewTexts("authledger")
	if err != nil {
		t.Fatal(err)
	}
	reactors, err := delivery.New(delivery.Config{
		Journal: j, Log: store, Codec: c, Gateway: delivery.NewInbox(clock.Now), Texts: texts,
		OptedOut: func(context.Context, eventstore.Position) ([]string, error) { return nil, nil },
		Logger:   slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	var at eventstore.Sequence
	pump := func(ctx context.Context) error {
		for moved := true; moved; {
			moved = false
			for r, err := range store.ReadAll(ctx, at+1) {
				if err != nil {
					return err
				}
				for _, reaction := range reactors.Reactions() {
					if err := reactors.Act(reaction)(ctx, r); err != nil {
						return err
					}
				}
				at, moved = r.Sequence, true
			}
		}
		return nil
	}
	last := 0
	err = demo.Populate(t.Context(), demo.Config{
		Journal: j, Clock: clock, Pump: pump, Users: users, Seed: seed, From: from, To: to,
		Progress: func(done, _ int) { last = done },
	})
	if err != nil {
		t.Fatal(err)
	}
	if last == 0 {
		t.Error("progress was never told")
	}
	var out []codec.Decoded
	for r, err := range store.ReadAll(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		d, err := c.Decode(r)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, d)
	}
	return out
}

// The demo broker shows what the product is about: every kind of login, and
// refusals where the law refuses.
func TestPopulateShowsTheFlows(t *testing.T) {
	t.Parallel()
	count := map[string]int{}
	denied := map[string]int{}
	granted := map[string]int{}
	for _, d := range broker(t, 60, 1) {
		count[d.Record.Type]++
		switch e := d.Event.(type) {
		case domain.OptOutDenied:
			denied[e.Decision.Facts.Residence+" "+string(e.Reason)]++
		case domain.OptOutGranted:
			granted[e.Decision.Facts.Residence]++
		}
	}
	for _, want := range []string{
		"ClientRegistered", "UserRegistered", "PhoneNumberVerified", "SMSRequested", "SMSSent", "SMSDelivered", "AuthenticatorEnrolled",
		"AuthenticatorRevoked", "InstallationRegistered", "AppPINSet", "ChallengeIssued", "PushSent", "PushOpened", "ResponseVerified",
		"ResponseRejected", "ChallengeFallbackRequested", "AuthenticationSucceeded", "AuthenticationFailed", "PrimaryFactorRejected",
		"OptOutGranted", "OptOutDenied", "SecondFactorWaived", "UserLocked", "AuthenticationRefused", "SecurityNotificationSent",
	} {
		if count[want] == 0 {
			t.Errorf("the demo broker has no %s", want)
		}
	}
	if granted["HK"]+granted["IN"] > 0 {
		t.Errorf("opt-outs granted in mandatory regimes: %v", granted)
	}
	if denied["HK REGIME_MANDATORY"]+denied["IN REGIME_MANDATORY"] == 0 {
		t.Errorf("nobody was refused by the law: %v", denied)
	}
}

// The same seed gives the same story; keys and signatures differ.
func TestPopulateIsRepeatable(t *testing.T) {
	t.Parallel()
	one, two := broker(t, 12, 7), broker(t, 12, 7)
	if len(one) != len(two) {
		t.Fatalf("%d and %d events from one seed", len(one), len(two))
	}
	for i := range one {
		if one[i].Record.Type != two[i].Record.Type || !one[i].Meta.OccurredAt.Equal(two[i].Meta.OccurredAt) {
			t.Fatalf("event %d differs: %s at %s, %s at %s", i, one[i].Record.Type, one[i].Meta.OccurredAt, two[i].Record.Type, two[i].Meta.OccurredAt)
		}
	}
}
