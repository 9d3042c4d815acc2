package journal

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/authledger/authledger/domain"
)

// constant makes the world's journal ask one and the same question always, so
// that a response of one challenge could be right for another.
func (w *world) constant(question string) {
	w.reopen(func(c *Config) { c.Keyring = bent{Keyring: w.keys, number: question} })
}

func TestUnitLooksAheadAndNeverBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.constant("482913")
	w.register()
	c := w.unit("1", suiteCard)
	c.ship(w.user, "1234")
	id := c.activate(w.user, "")
	if got := w.authenticator(id); got.Counter != 1 || got.Suite != suiteCard {
		t.Fatalf("bound with counter %d", got.Counter)
	}
	used := c.answer("482913", "")
	c.counter += 8 // used eight times without the response arriving here
	unused := c.answer("482913", "")
	challenge := w.ask(w.user, domain.TWS).ChallengeID
	out := w.do(domain.SubmitResponse{ChallengeID: challenge, Response: c.answer("482913", "")})
	if v := event[domain.ResponseVerified](t, out); v.NextCounter != 12 || v.DeviceID != c.id || v.UV != domain.UVDSCPIN {
		t.Errorf("ten ahead: %+v", v)
	}
	last := c.counter - 1
	for name, response := range map[string]domain.Secret{"a response used": used, "one skipped": unused, "the last again": c.at(last)} {
		if got := w.submit(w.ask(w.user, domain.TWS).ChallengeID, response); got != domain.ReasonResponseWrong {
			t.Errorf("%s: %q", name, got)
		}
	}
	far := c.at(c.counter + 11)
	challenge = w.ask(w.user, domain.TWS).ChallengeID
	if got := w.submit(challenge, far); got != domain.ReasonResponseWrong {
		t.Errorf("eleven ahead: %q", got)
	}
	for name, typed := range map[string]domain.Secret{"seven digits": "1234567", "letters": "1234567a", "nothing": ""} {
		if got := w.submit(challenge, typed); got != domain.ReasonMalformed {
			t.Errorf("%s: %q", name, got)
		}
	}
	if got := w.submit(challenge, c.answer("482913", "")); got != "" {
		t.Errorf("the right one after all: %q", got)
	}
	if got := w.submit(challenge, c.at(c.counter-1)); got != domain.ReasonChallengeUsed {
		t.Errorf("the same response to the same challenge: %q", got)
	}
}

// at is the response of one counter to the constant question.
func (c *unit) at(counter uint64) domain.Secret {
	kept := c.counter
	defer func() { c.counter = kept }()
	c.counter = counter
	return c.answer("482913", "")
}

// share lets another user answer with the unit, in both streams.
func (c *unit) share(userID, owners string) (authenticatorID string) {
	c.w.t.Helper()
	out := c.w.do(domain.RequestDeviceSharing{
		UserID: userID, AuthenticatorID: owners, TxnID: c.w.begin(userID, domain.PurposeDeviceSharing),
	})
	challenge := event[domain.ChallengeIssued](c.w.t, out).ChallengeID
	out = c.w.do(domain.SubmitResponse{ChallengeID: challenge, Response: c.respond(challenge, "")})
	event[domain.DeviceSharingGranted](c.w.t, out)
	id := event[domain.AuthenticatorEnrolled](c.w.t, out).AuthenticatorID
	c.bind(id)
	return id
}

func TestSharedUnitHasOneCounter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.constant("482913")
	w.register()
	other := w.person("u-2", "+491700000002")
	c := w.unit("1", suiteCard)
	c.ship(w.user, "1234")
	owners := c.activate(w.user, "")
	shared := c.share(other, owners)
	if a := w.authenticator(shared); a.DeviceID != c.id || a.Counter != 2 {
		t.Fatalf("shared with counter %d", a.Counter)
	}
	// The other user's answers take the card far ahead of what its owner's own
	// answers say, and none of them is right for the owner.
	var last domain.Secret
	for range 15 {
		last = c.answer("482913", "")
		if got := w.submit(w.ask(other, domain.TWS).ChallengeID, last); got != "" {
			t.Fatalf("the other user: %q", got)
		}
	}
	challenge := w.ask(w.user, domain.TWS).ChallengeID
	if got := w.submit(challenge, last); got != domain.ReasonResponseWrong {
		t.Errorf("the other user's response by the owner: %q", got)
	}
	mine := c.answer("482913", "")
	if got := w.submit(challenge, mine); got != "" {
		t.Errorf("the owner: %q", got)
	}
	if got := w.submit(w.ask(other, domain.TWS).ChallengeID, mine); got != domain.ReasonResponseWrong {
		t.Errorf("the owner's response by the other user: %q", got)
	}
}

// A unit goes on where it was when bindings end: its counter never falls back
// to that of the manufacturer's file.
func TestCounterOutlivesBindings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.constant("482913")
	w.register()
	other := w.person("u-2", "+491700000002")
	c := w.unit("1", suiteCard)
	c.ship(w.user, "1234")
	id := c.activate(w.user, "")
	for range 20 {
		if got := w.submit(w.ask(w.user, domain.TWS).ChallengeID, c.answer("482913", "")); got != "" {
			t.Fatalf("the first user: %q", got)
		}
	}
	w.do(domain.RevokeAuthenticator{AuthenticatorID: id, Reason: "returned"})
	w.do(domain.UnbindFromDevice{DeviceID: c.id, UserID: w.user, AuthenticatorID: id})
	w.do(domain.RecordDeviceReturned{DeviceID: c.id, ReceivedOn: "2026-03-10", Condition: "ok"})
	c.ship(other, "5678")
	challenge := c.activation(other)
	for _, counter := range []uint64{0, 5, c.counter - 1} {
		if got := w.submit(challenge, c.at(counter)); got != domain.ReasonResponseWrong {
			t.Errorf("the response of counter %d, used before: %q", counter, got)
		}
	}
	w.constant("482913") // another journal, as after a restart
	challenge = c.activation(other)
	if got := w.submit(challenge, c.answer("482913", "")); got != "" {
		t.Errorf("the next user's activation: %q", got)
	}
}

// The PIN chosen with the order enters every response once the card is sent.
func TestPINOfTheOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	for _, pin := range []string{"", "123", "12345", "12a4", "１２３４"} {
		if r := event[domain.PhysicalDeviceRequestRefused](t, w.do(w.order(w.user, pin))); r.Reason != domain.ReasonPINPolicy {
			t.Errorf("PIN of %d characters: %s", len(pin), r.Reason)
		}
	}
	first := event[domain.PhysicalDeviceRequested](t, w.do(w.order(w.user, "1111")))
	second := event[domain.PhysicalDeviceRequested](t, w.do(w.order(w.user, "2222")))
	c := w.unit("1", suiteCardPIN)
	c.send(second.RequestID)
	challenge := c.activation(w.user)
	if got := w.submit(challenge, c.respond(challenge, "1111")); got != domain.ReasonResponseWrong {
		t.Errorf("the PIN of another order: %q", got)
	}
	if got := w.submit(challenge, c.respond(challenge, "2222")); got != "" {
		t.Errorf("the PIN of the order: %q", got)
	}
	login := w.ask(w.user, domain.TWS).ChallengeID
	if got := w.submit(login, c.respond(login, "2223")); got != domain.ReasonResponseWrong {
		t.Errorf("a wrong PIN looks like %q, want a wrong response", got)
	}
	if got := w.submit(login, c.respond(login, "2222")); got != "" {
		t.Errorf("login: %q", got)
	}
	if first.RequestID == second.RequestID {
		t.Error("two orders have one id")
	}
}

func TestPINChangeIsProvedByAResponse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	c := w.unit("1", suiteCardPIN)
	c.ship(w.user, "1234")
	id := c.activate(w.user, "1234")
	change := func(pin string) string {
		t.Helper()
		return event[domain.ChallengeIssued](t, w.do(domain.ChangeDevicePIN{
			AuthenticatorID: id, TxnID: w.begin(w.user, domain.PurposePINChange), PIN: domain.Secret(w.remember(pin)),
		})).ChallengeID
	}
	login := func(pin string) domain.Code {
		t.Helper()
		challenge := w.ask(w.user, domain.TWS).ChallengeID
		return w.submit(challenge, c.respond(challenge, pin))
	}
	refused := event[domain.DevicePINChangeRefused](t, w.do(domain.ChangeDevicePIN{
		AuthenticatorID: id, TxnID: w.begin(w.user, domain.PurposePINChange), PIN: "12345",
	}))
	if refused.Reason != domain.ReasonPINPolicy {
		t.Errorf("five digits: %s", refused.Reason)
	}
	abandoned := change("9999")
	challenge := change("5678")
	if got := w.submit(challenge, c.respond(challenge, "1234")); got != domain.ReasonResponseWrong {
		t.Errorf("the old PIN proves a new one: %q", got)
	}
	if got := w.submit(challenge, c.respond(challenge, "9999")); got != domain.ReasonResponseWrong {
		t.Errorf("the PIN of another change: %q", got)
	}
	if got := login("1234"); got != "" {
		t.Errorf("the old PIN before the proof: %q", got)
	}
	out := w.do(domain.SubmitResponse{ChallengeID: challenge, Response: c.respond(challenge, "5678")})
	if changed := event[domain.DevicePINChanged](t, out); changed.DeviceID != c.id || changed.ChallengeID != challenge {
		t.Errorf("changed %+v", changed)
	}
	if got := login("1234"); got != domain.ReasonResponseWrong {
		t.Errorf("the old PIN afterwards: %q", got)
	}
	if got := login("5678"); got != "" {
		t.Errorf("the new PIN: %q", got)
	}
	// A change that was begun before the last one can still be proved, while its
	// challenge is open; this one is too old.
	if got := w.submit(abandoned, c.respond(abandoned, "9999")); got != domain.ReasonChallengeExpired {
		t.Errorf("a change of long ago: %q", got)
	}
	if got := login("5678"); got != "" {
		t.Errorf("the new PIN in the end: %q", got)
	}
}

// The unit's PIN is the same for all who share it.
func TestPINOfASharedUnit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	other := w.person("u-2", "+491700000002")
	c := w.unit("1", suiteCardPIN)
	c.ship(w.user, "1234")
	owners := c.activate(w.user, "1234")
	out := w.do(domain.RequestDeviceSharing{UserID: other, AuthenticatorID: owners, TxnID: w.begin(other, domain.PurposeDeviceSharing)})
	challenge := event[domain.ChallengeIssued](t, out).ChallengeID
	out = w.do(domain.SubmitResponse{ChallengeID: challenge, Response: c.respond(challenge, "1234")})
	shared := event[domain.AuthenticatorEnrolled](t, out).AuthenticatorID
	c.bind(shared)
	change := event[domain.ChallengeIssued](t, w.do(domain.ChangeDevicePIN{
		AuthenticatorID: shared, TxnID: w.begin(other, domain.PurposePINChange), PIN: "7777",
	})).ChallengeID
	if got := w.submit(change, c.respond(change, "7777")); got != "" {
		t.Fatalf("the other user's change: %q", got)
	}
	login := w.ask(w.user, domain.TWS).ChallengeID
	if got := w.submit(login, c.respond(login, "1234")); got != domain.ReasonResponseWrong {
		t.Errorf("the owner with the old PIN: %q", got)
	}
	if got := w.submit(login, c.respond(login, "7777")); got != "" {
		t.Errorf("the owner with the new PIN: %q", got)
	}
}

// A suspended card resumes by its own response; the evidence is that of a
// login.
func TestReactivationByTheUnitItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	c := w.unit("1", suiteCardPIN)
	c.ship(w.user, "1234")
	id := c.activate(w.user, "1234")
	w.do(domain.ReportLost{AuthenticatorID: id, By: "client"})
	challenge := event[domain.ChallengeIssued](t, w.do(domain.ReactivateAuthenticator{
		AuthenticatorID: id, Proof: "own_response", TxnID: w.begin(w.user, domain.PurposeActivation),
	})).ChallengeID
	if got := w.submit(challenge, c.respond(challenge, "4321")); got != domain.ReasonResponseWrong {
		t.Errorf("a wrong PIN: %q", got)
	}
	out := w.do(domain.SubmitResponse{ChallengeID: challenge, Response: c.respond(challenge, "1234")})
	event[domain.AuthenticatorReactivated](t, out)
	if slices.Contains(names(out), "DevicePINChanged") {
		t.Errorf("a reactivation led to %v", names(out))
	}
	login := w.ask(w.user, domain.TWS).ChallengeID
	if got := w.submit(login, c.respond(login, "1234")); got != "" {
		t.Errorf("login afterwards: %q", got)
	}
}

// Migration and recovery ask the physical device; its response proves them.
func TestUnitProvesAMigration(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.bind()
	c := w.unit("1", suiteCard)
	c.ship(w.user, "1234")
	txn := w.begin(w.user, domain.PurposeActivation)
	push := event[domain.ChallengeIssued](t, w.do(domain.IssueChallenge{TxnID: txn, AuthenticatorID: w.ibkey}))
	w.do(w.decision(push, nil)) // the step up an existing authenticator demands
	challenge := event[domain.ChallengeIssued](t, w.do(domain.StartEnrollment{
		UserID: w.user, Kind: domain.KindDSCPlus, DeviceID: c.id, TxnID: txn,
	})).ChallengeID
	out := w.do(domain.SubmitResponse{ChallengeID: challenge, Response: c.respond(challenge, "")})
	c.bind(event[domain.AuthenticatorEnrolled](t, out).AuthenticatorID)
	target := w.app(domain.AppIBKRMobile, domain.Android, "handset-2")
	out = w.do(domain.StartMigration{UserID: w.user, InstallationID: target.id, TxnID: w.begin(w.user, domain.PurposeMigration)})
	if m := event[domain.MigrationStarted](t, out); m.Proof != "physical_device" {
		t.Fatalf("proof by %s", m.Proof)
	}
	challenge = event[domain.ChallengeIssued](t, out).ChallengeID
	if got := w.submit(challenge, c.at(c.counter+50)); got != domain.ReasonResponseWrong {
		t.Errorf("a wrong response: %q", got)
	}
	out = w.do(domain.SubmitResponse{ChallengeID: challenge, Response: c.respond(challenge, "")})
	event[domain.MigrationProofAccepted](t, out)
}

// What the shell notes beside the state is what a fresh journal reads.
func TestNotesEqualThoseOfAFreshFold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.CacheSize = 1 })
	w.register()
	other := w.person("u-2", "+491700000002")
	c := w.unit("1", suiteCard)
	c.ship(w.user, "1234")
	owners := c.activate(w.user, "")
	c.share(other, owners)
	w.do(w.order(w.user, "4321"))
	w.do(domain.ChangeDevicePIN{AuthenticatorID: owners, TxnID: w.begin(w.user, domain.PurposePINChange), PIN: "5678"})
	for stream, want := range map[string]int{
		domain.UserStream(w.user): 1, domain.UserStream(other): 1, domain.DeviceStream(c.id): 2,
	} {
		cached, release, err := w.j.view(t.Context(), stream)
		if err != nil {
			t.Fatal(err)
		}
		fresh := newSlot(stream)
		if err := w.journal().fold(t.Context(), fresh); err != nil {
			t.Fatal(err)
		}
		equal(t, stream, cached.notes, fresh.notes)
		if got := len(fresh.counters) + len(fresh.holders); got != want {
			t.Errorf("%s: %d counters or holders, want %d", stream, got, want)
		}
		if stream == domain.UserStream(w.user) && len(fresh.secrets) != 2 {
			t.Errorf("%d secrets wait, want the PINs of an order and a change", len(fresh.secrets))
		}
		release()
	}
}

// Users of one unit read each other's states, and the unit's commands run
// beside: none of them may wait for another in a circle, and no two answers
// are right with one counter.
func TestUsersOfOneUnitDoNotDeadlock(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.CacheSize = 1 })
	w.register()
	c := w.unit("1", suiteCard)
	c.ship(w.user, "1234")
	owners := c.activate(w.user, "")
	users := []string{w.user}
	for _, n := range []string{"2", "3", "4"} {
		users = append(users, w.person("u-"+n, "+49170000000"+n))
		c.share(users[len(users)-1], owners)
	}
	var commands []domain.Command
	for _, user := range users {
		challenge := w.ask(user, domain.TWS).ChallengeID
		commands = append(commands, domain.SubmitResponse{ChallengeID: challenge, Response: c.respond(challenge, "")})
		commands = append(commands, domain.NoteSharingRequested{DeviceID: c.id, OwnerUserID: w.user, RequestingUserID: user})
		commands = append(commands, domain.BindToDevice{DeviceID: c.id, UserID: user, AuthenticatorID: owners})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for range 20 {
		for _, command := range commands {
			wg.Go(func() {
				if _, err := w.j.Execute(ctx, w.request(command)); err != nil {
					t.Errorf("%s: %v", command.Name(), err)
				}
			})
		}
	}
	wg.Wait()
	for _, user := range users {
		if n := count(w.types(domain.UserStream(user)), "AuthenticationSucceeded"); n > 1 {
			t.Errorf("%s got in %d times with one response", user, n)
		}
	}
}
