package demo_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
	"github.com/google/uuid"
)

// told is a populated ledger: its records, decoded, in their order.
type told struct {
	events []codec.Decoded
	policy *domain.Policy
}

// morning is when most of these histories end.
var morning = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

// broker populates an in-memory ledger with the three months before a moment.
func broker(t *testing.T, users int, seed uint64, to time.Time) told {
	t.Helper()
	from := to.AddDate(0, -3, 0)
	clock := demo.NewClock(demo.Opening(from))
	store := memstore.New(clock.Now)
	dir := t.TempDir()
	keys, err := keyring.Open(t.Context(), keyring.Options{Dir: dir, Clock: clock.Now})
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
	p := &pump{store: store, codec: c, journal: j, keys: keys, optedOut: map[string]bool{}, sent: map[string]domain.PhysicalDeviceShipped{}}
	network := demo.NewNetwork()
	p.reactors, err = delivery.New(delivery.Config{
		Journal: j, Log: store, Codec: c, Gateway: network, Texts: texts, OptedOut: p.list, DueDevices: p.due,
		ExpiredProcesses: p.everybody, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	last := 0
	err = demo.Populate(t.Context(), demo.Config{
		Journal: j, Clock: clock, Network: network, PutSecret: keys.PutSecret, Erase: eraser(keys, dir, clock.Now), Pump: p.run, Users: users, Seed: seed, From: from, To: to,
		Progress: func(done, _ int) { last = done },
	})
	if err != nil {
		t.Fatal(err)
	}
	if last == 0 {
		t.Error("progress was never told")
	}
	if now := clock.Now(); now.After(to) {
		t.Errorf("the history ends at %s, after %s", now, to)
	}
	return told{events: p.seen, policy: j.Policy()}
}

// eraser destroys keys and searches the keyring's files, the only ones there
// are: the log is in memory.
func eraser(keys *keyring.Keyring, dir string, now func() time.Time) demo.Erase {
	return func(ctx context.Context, e domain.PersonalDataErased, traces []string) (domain.CertifyErasure, error) {
		c := domain.CertifyErasure{
			ErasureID: e.ErasureID, SubjectRef: e.SubjectRef, Also: e.Also, KeyID: e.KeyID, DestroyedAt: now(), Method: "searched",
		}
		for _, subject := range append([]string{e.SubjectRef}, e.Also...) {
			if err := keys.Destroy(ctx, subject); err != nil {
				return c, err
			}
		}
		files, err := os.ReadDir(dir)
		if err != nil {
			return c, err
		}
		for _, f := range files {
			content, err := os.ReadFile(filepath.Join(dir, f.Name()))
			if err != nil {
				return c, err
			}
			c.Files, c.Bytes = c.Files+1, c.Bytes+int64(len(content))
			for _, trace := range traces {
				c.Findings += bytes.Count(content, []byte(trace))
			}
		}
		return c, nil
	}
}

// pump hands records to the reactors and, once a day, lets the processes look
// at the calendar, as the seed command does.
type pump struct {
	store    *memstore.Store
	codec    *codec.Codec
	journal  *journal.Journal
	keys     *keyring.Keyring
	reactors *delivery.Delivery
	seen     []codec.Decoded
	users    []string
	optedOut map[string]bool
	sent     map[string]domain.PhysicalDeviceShipped
	day      string
}

func (p *pump) run(ctx context.Context) error {
	if day := p.journal.Now().Format(time.DateOnly); day != p.day {
		p.day = day
		if err := p.daily(ctx); err != nil {
			return err
		}
	}
	for moved := true; moved; {
		moved = false
		for r, err := range p.store.ReadAll(ctx, eventstore.Sequence(len(p.seen)+1)) {
			if err != nil {
				return err
			}
			if err := p.take(ctx, r); err != nil {
				return err
			}
			moved = true
		}
	}
	return nil
}

func (p *pump) take(ctx context.Context, r eventstore.Record) error {
	d, err := p.codec.Decode(r)
	if err != nil {
		return err
	}
	p.seen = append(p.seen, d)
	userID := domain.UserID(strings.TrimPrefix(r.Stream, "user-"))
	switch e := d.Event.(type) {
	case domain.PhysicalDeviceShipped:
		p.sent[e.DeviceID] = e
	case domain.UserRegistered:
		p.users = append(p.users, userID)
	case domain.OptOutGranted:
		p.optedOut[userID] = true
	case domain.OptOutRevoked, domain.OptedBackIn:
		delete(p.optedOut, userID)
	}
	for _, reaction := range p.reactors.Reactions() {
		if err := p.reactors.Act(reaction)(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

func (p *pump) list(context.Context, eventstore.Position) ([]string, error) {
	return slices.Sorted(maps.Keys(p.optedOut)), nil
}

func (p *pump) due(_ context.Context, now time.Time) (due []delivery.Due, err error) {
	for _, id := range slices.Sorted(maps.Keys(p.sent)) {
		if e := p.sent[id]; e.ActivationDueOn <= now.Format(time.DateOnly) {
			due = append(due, delivery.Due{UserID: e.UserID, DeviceID: id})
		}
	}
	return due, nil
}

// everybody may have something that expired; who has not is left alone.
func (p *pump) everybody(context.Context, time.Time) ([]string, error) { return p.users, nil }

func (p *pump) daily(ctx context.Context) error {
	gone, err := p.keys.ExpireEpochs(ctx)
	if err != nil {
		return err
	}
	for _, kid := range gone {
		_, err := p.journal.Execute(ctx, journal.Request{
			Command: domain.RecordCodeEpochDestroyed{Kid: kid}, CommandID: uuid.NewSHA1(uuid.Nil, []byte(kid)),
			Actor: domain.Actor{Kind: domain.ActorSystem, Ref: "housekeeping"},
		})
		if err != nil {
			return err
		}
	}
	return errors.Join(p.reactors.CheckRegime(ctx), p.reactors.CheckDeadlines(ctx))
}

// The demo broker shows what the product is about: every kind of login, and
// refusals where the law refuses.
func TestPopulateShowsTheFlows(t *testing.T) {
	t.Parallel()
	count := map[string]int{}
	denied := map[string]int{}
	granted := map[string]int{}
	for _, d := range broker(t, 60, 1, morning).events {
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

// Every type of event that a person or a system can cause occurs, but for
// those named here with the reason.
func TestPopulateReachesEveryType(t *testing.T) {
	t.Parallel()
	absent := map[string]string{}
	count := map[string]int{}
	for _, d := range broker(t, 60, 3, morning).events {
		count[d.Record.Type]++
	}
	for _, info := range codec.Types() {
		why, excused := absent[info.Name]
		if n := count[info.Name]; excused != (n == 0) {
			t.Errorf("%d %s in the demo's history; excused: %q", n, info.Name, why)
		}
	}
}

// The same seed gives the same story; keys and signatures differ.
func TestPopulateIsRepeatable(t *testing.T) {
	t.Parallel()
	one, two := broker(t, 60, 7, morning).events, broker(t, 60, 7, morning).events
	if len(one) != len(two) {
		t.Fatalf("%d and %d events from one seed", len(one), len(two))
	}
	for i := range one {
		if one[i].Record.Type != two[i].Record.Type || !one[i].Meta.OccurredAt.Equal(two[i].Meta.OccurredAt) {
			t.Fatalf("event %d differs: %s at %s, %s at %s", i, one[i].Record.Type, one[i].Meta.OccurredAt, two[i].Record.Type, two[i].Meta.OccurredAt)
		}
	}
}
