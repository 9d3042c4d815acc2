package journal

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/storetest"
)

// nodes is a world on a log that two journals append to: a, which is the
// world's own, and b, whose clock stands apart.
func nodes(t *testing.T, skew time.Duration) (w *world, a, b *Journal) {
	t.Helper()
	w = openWorld(t, true)
	w.other = nil
	clock := func() time.Time { return w.clock.time().Add(skew) }
	one := w.memory.Node(clock, disorder)
	b = w.journal(func(c *Config) { c.Clock, c.Store = clock, node{storetest.Faulty(one), one} })
	return w, w.j, b
}

// on runs what uses the world's journal on another one.
func (w *world) on(j *Journal, do func()) {
	w.t.Helper()
	kept := w.j
	defer func() { w.j = kept }()
	w.j = j
	do()
}

// warm makes a journal keep the user's state as it is now.
func (w *world) warm(j *Journal) {
	w.t.Helper()
	if err := j.User(w.t.Context(), w.user, func(*domain.User, time.Time) error { return nil }); err != nil {
		w.t.Fatal(err)
	}
}

// What one node did, the very next decision of another stands on, whatever that
// kept in memory.
func TestTheNextDecisionOfAnotherNodeKnowsAll(t *testing.T) {
	t.Parallel()
	type step = func(t *testing.T, w *world) func(t *testing.T) // first on a; what it returns is then done on b
	for name, first := range map[string]step{
		"an authenticator that was revoked is not asked": func(t *testing.T, w *world) func(*testing.T) {
			event[domain.AuthenticatorRevoked](t, w.do(domain.RevokeAuthenticator{AuthenticatorID: w.sms, Reason: "lost"}))
			return func(t *testing.T) {
				w.clock.advance(3 * time.Minute)
				out := w.do(domain.StartAuthentication{UserID: w.user, Purpose: domain.PurposeLogin, Platform: domain.TWS, PrimaryVerified: true})
				if count(names(out), "ChallengeIssued") > 0 {
					t.Errorf("asked: %v", names(out))
				}
			}
		},
		"what a stale state would call unknown is found": func(t *testing.T, w *world) func(*testing.T) {
			phone := event[domain.PhoneNumberAdded](t, w.do(domain.AddPhone{UserID: w.user, CC: "DE", Number: domain.Clear("+491700000009"), Line: domain.LineMobile})).PhoneID
			i := event[domain.ConfirmCodeIssued](t, w.do(domain.StartPhoneVerification{PhoneID: phone}))
			typed := w.code(domain.PurposePhoneVerification, i.VerificationID, domain.Issued{Seq: 1, Kid: i.Kid, Len: i.CodeLen})
			return func(t *testing.T) {
				event[domain.PhoneNumberVerified](t, w.do(domain.ConfirmPhone{VerificationID: i.VerificationID, Code: typed}))
			}
		},
		"what a stale state would call done is done": func(t *testing.T, w *world) func(*testing.T) {
			event[domain.SeamlessDisabled](t, w.do(domain.SetSeamless{UserID: w.user, Enabled: false}))
			return func(t *testing.T) {
				event[domain.SeamlessEnabled](t, w.do(domain.SetSeamless{UserID: w.user, Enabled: true}))
			}
		},
		"a code that was used is not taken again": func(t *testing.T, w *world) func(*testing.T) {
			challenge, right := w.smsLogin()
			event[domain.AuthenticationSucceeded](t, w.do(domain.SubmitResponse{ChallengeID: challenge, Response: right}))
			return func(t *testing.T) {
				if got := w.submit(challenge, right); got != domain.ReasonChallengeUsed {
					t.Errorf("the code again: %q", got)
				}
			}
		},
		"an app that was blocked is not believed": func(t *testing.T, w *world) func(*testing.T) {
			app := w.app(domain.AppIBKRMobile, domain.Android, "handset-2")
			app.mine(app.enroll(w.user, domain.UVAppPIN))
			push := w.login()
			approve := w.decision(push, nil)
			w.do(domain.ReportPINBlocked{InstallationID: w.installation, WrongEntries: 10})
			return func(t *testing.T) {
				out := w.do(approve)
				if count(names(out), "AuthenticationSucceeded") > 0 {
					t.Errorf("approved: %v", names(out))
				}
			}
		},
		"facts of a client decide an opt-out": func(t *testing.T, w *world) func(*testing.T) {
			w.do(domain.AssignCarryingEntity{ClientID: w.client, CarryingEntity: "IB-HK", CarryingCC: "HK", EffectiveOn: "2026-01-01"})
			return func(t *testing.T) { event[domain.OptOutDenied](t, w.do(w.optOut(w.user))) }
		},
		"nothing is added to somebody who was closed": func(t *testing.T, w *world) func(*testing.T) {
			w.do(domain.CloseUser{UserID: w.user, Reason: "ended"})
			return func(t *testing.T) {
				c := domain.AddPhone{UserID: w.user, CC: "DE", Number: domain.Clear(number), Line: domain.LineMobile}
				if got := w.fails(c); got != domain.ReasonUserClosed {
					t.Errorf("a phone: %q", got)
				}
			}
		},
	} {
		for _, skew := range []time.Duration{-4 * time.Second, 4 * time.Second} {
			t.Run(fmt.Sprintf("%s, clock %s off", name, skew), func(t *testing.T) {
				t.Parallel()
				w, _, b := nodes(t, skew)
				w.register()
				w.warm(b)
				if err := b.Client(t.Context(), w.client, func(*domain.Client) {}); err != nil {
					t.Fatal(err)
				}
				then := first(t, w)
				w.on(b, func() { then(t) })
			})
		}
	}
}

// Along a stream time never goes back, however far the clocks of those who
// append stand apart: neither in the log nor for the rules and for readers.
func TestTimeNeverGoesBackAlongAStream(t *testing.T) {
	t.Parallel()
	for _, skew := range []time.Duration{-4 * time.Second, 4 * time.Second} {
		w, a, b := nodes(t, skew)
		w.register()
		behind, ahead := a, b
		if skew < 0 {
			behind, ahead = b, a
		}
		for n := range 8 {
			w.clock.advance(time.Second)
			w.on([]*Journal{ahead, behind}[n%2], func() { w.do(domain.SetSeamless{UserID: w.user, Enabled: n%2 == 1}) })
		}
		w.clock.advance(time.Second)
		var newest time.Time
		w.on(ahead, func() { newest = w.do(domain.SetSeamless{UserID: w.user, Enabled: false}).Events[0].OccurredAt })
		if !behind.Now().Before(newest) {
			t.Fatalf("clock %v off: the test's clocks do not cross", skew)
		}
		for name, j := range map[string]*Journal{"behind": behind, "a process that starts now": w.journal(func(c *Config) { c.Clock = behind.clock })} {
			err := j.User(t.Context(), w.user, func(_ *domain.User, now time.Time) error {
				if !now.Equal(newest) {
					t.Errorf("clock %v off: %s reads as of %v, before the newest record at %v", skew, name, now, newest)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}
		w.clock.advance(5 * time.Second)
		if out, err := behind.Execute(t.Context(), w.request(domain.SetSeamless{UserID: w.user, Enabled: true})); err != nil || !out.Events[0].OccurredAt.Equal(behind.Now()) {
			t.Errorf("clock %v off: a clock that has passed the newest record is not the time: %+v, %v", skew, out, err)
		}
		w.inOrder(w.user)
	}
}

// inOrder checks that no record of a user occurred before anything the record
// before it says.
func (w *world) inOrder(userID string) {
	w.t.Helper()
	var last time.Time
	for _, r := range w.memoryRecords() {
		if r.Stream != domain.UserStream(userID) {
			continue
		}
		d, err := codec.New(nil).Decode(r)
		if err != nil {
			w.t.Fatal(err)
		}
		if d.Meta.OccurredAt.Before(last) {
			w.t.Errorf("%s at revision %d occurred at %v, behind a record of %v", r.Type, r.Revision, d.Meta.OccurredAt, last)
		}
		for _, at := range []time.Time{d.Meta.OccurredAt, r.RecordedAt} {
			if at.After(last) {
				last = at
			}
		}
	}
}

// A rule that another node puts in force is part of what was known at its time,
// also when that node's clock stands behind the one of the change before.
func TestRulesOfNodesWhoseClocksCross(t *testing.T) {
	t.Parallel()
	for _, skew := range []time.Duration{-4 * time.Second, 4 * time.Second} {
		w, a, b := nodes(t, skew)
		first, second := a, b
		if skew > 0 {
			first, second = b, a
		}
		w.on(first, func() { w.compliance(germanRule()) })
		var at time.Time
		w.on(second, func() {
			at = w.compliance(domain.SetParameter{Parameter: "sms.cooldown_s", Value: 90, EffectiveFrom: "2026-01-01", Reason: "test"}).Events[0].OccurredAt
		})
		all, err := a.PolicyKnownAt(t.Context(), time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		then, err := a.PolicyKnownAt(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		if then.Version != all.Version {
			t.Errorf("clock %v off: known when the newest rule was made: version %d, want %d", skew, then.Version, all.Version)
		}
	}
}

// A store of one process knows one clock, and follows it when it is set back.
func TestOneProcessFollowsItsClockBack(t *testing.T) {
	t.Parallel()
	w := openWorld(t, false)
	w.register()
	w.clock.advance(-4 * time.Second)
	out := w.do(domain.SetSeamless{UserID: w.user, Enabled: false})
	if !out.Events[0].OccurredAt.Equal(w.j.Now()) {
		t.Errorf("it occurred at %v, the clock says %v", out.Events[0].OccurredAt, w.j.Now())
	}
}

// A rule of another node is obeyed within a second, and at once by a node that
// was told.
func TestRulesOfAnotherNode(t *testing.T) {
	t.Parallel()
	for _, told := range []bool{false, true} {
		w, a, b := nodes(t, 0)
		w.register()
		w.compliance(germanRule())
		want := a.Policy().Version
		if b.Policy().Version != want-1 {
			t.Fatal("the rule arrived by itself")
		}
		if told {
			w.other = b
			w.notice(domain.PolicyStream())
			w.other = nil
			if b.Policy().Version != want {
				t.Error("a node that was told keeps the old rules")
			}
		} else {
			w.clock.advance(domain.MaxRuleAge)
		}
		w.on(b, func() {
			denied := event[domain.OptOutDenied](t, w.do(w.optOut(w.user)))
			if denied.Decision.PolicyVersion != want {
				t.Errorf("told %v: decided by policy %d, want %d", told, denied.Decision.PolicyVersion, want)
			}
		})
	}
}

// unreadable is a store whose one stream cannot be read while failing.
type unreadable struct {
	node
	stream  string
	failing atomic.Bool
}

func (u *unreadable) ReadStream(ctx context.Context, stream string, from eventstore.Revision) iter.Seq2[eventstore.Record, error] {
	if stream == u.stream && u.failing.Load() {
		return func(yield func(eventstore.Record, error) bool) { yield(eventstore.Record{}, errDisk) }
	}
	return u.node.ReadStream(ctx, stream, from)
}

// A node that cannot read the rule book decides nothing once what it knows is
// too old, and goes on when it can.
func TestNoDecisionByRulesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	w, _, b := nodes(t, 0)
	w.register()
	u := &unreadable{node: b.store.(node), stream: domain.PolicyStream()}
	here := w.journal(func(c *Config) { c.Store = u })
	u.failing.Store(true)
	if _, err := here.Execute(t.Context(), w.request(domain.SetSeamless{UserID: w.user, Enabled: false})); err != nil {
		t.Errorf("by rules read a moment ago: %v", err)
	}
	w.clock.advance(domain.MaxRuleAge)
	before := len(w.records())
	r := w.request(domain.SetSeamless{UserID: w.user, Enabled: true})
	if _, err := here.Execute(t.Context(), r); !errors.Is(err, errDisk) {
		t.Errorf("by rules read a second ago: %v", err)
	}
	if after := len(w.records()); after != before {
		t.Errorf("%d records were appended", after-before)
	}
	u.failing.Store(false)
	if out, err := here.Execute(t.Context(), r); err != nil || out.Replayed || len(out.Events) != 1 {
		t.Errorf("afterwards: %+v, %v", out, err)
	}
}

// memoryRecords reads the whole log beside whatever fails.
func (w *world) memoryRecords() (all []eventstore.Record) {
	w.t.Helper()
	for r, err := range w.memory.ReadAll(context.Background(), 0) {
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// Every way to read shows on one node what another was told just before, also
// while a command holds the stream.
func TestEveryReadIsFresh(t *testing.T) {
	t.Parallel()
	w, _, b := nodes(t, 0)
	w.register()
	ctx := t.Context()
	w.warm(b)
	card, cells := w.onlineCard()
	if got, err := b.CodeCard(ctx, w.user, card); err != nil || len(got) != len(cells) {
		t.Errorf("CodeCard: %d cells, %v", len(got), err)
	}
	app := w.app(domain.AppIBKRMobile, domain.Android, "handset-2")
	app.mine(app.enroll(w.user, domain.UVAppPIN))
	user := func(read func(*domain.User) error) error {
		return b.User(ctx, w.user, func(u *domain.User, _ time.Time) error { return read(u) })
	}
	wrong := errors.New("an older state")
	must := func(ok bool) error {
		if !ok {
			return wrong
		}
		return nil
	}
	look := func(err error, ok *bool) error { return errors.Join(err, must(*ok)) }
	unit := w.unit("1", suiteCardPIN)
	w.verified(w.user)
	if err := b.Device(ctx, unit.id, func(*domain.Device) {}); err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		name  string
		write func()
		read  func() error
	}{
		{"User", func() { w.do(domain.SetSeamless{UserID: w.user, Enabled: false}) }, func() error {
			return user(func(u *domain.User) error { return must(!u.Seamless()) })
		}},
		{"UserAt", func() { w.do(domain.SetSeamless{UserID: w.user, Enabled: true}) }, func() error {
			least := w.end(domain.UserStream(w.user)).Next() - 1
			return b.UserAt(ctx, w.user, least, func(u *domain.User, _ time.Time) error { return must(u.Seamless()) })
		}},
		{"Installation", func() { w.do(domain.ReportPINBlocked{InstallationID: w.installation, WrongEntries: 10}) }, func() error {
			ok := false
			return look(b.Installation(ctx, w.installation, func(i *domain.Installation) { ok = i.Blocked }), &ok)
		}},
		{"Client", func() {
			w.do(domain.AssignCarryingEntity{ClientID: w.client, CarryingEntity: "IB-HK", CarryingCC: "HK", EffectiveOn: "2026-01-01"})
		}, func() error {
			d, err := b.Decision(ctx, w.user, w.clock.time(), b.Policy())
			return errors.Join(err, must(d.Outcome == domain.EffectDeny))
		}},
		{"Matching", func() {
			w.do(domain.AssignCarryingEntity{ClientID: w.client, CarryingEntity: "IB-IE", CarryingCC: "IE", EffectiveOn: "2026-01-02"})
		}, func() error {
			d, err := b.Decision(ctx, w.user, w.clock.time(), b.Policy())
			return errors.Join(err, must(d.Outcome == domain.EffectPermit))
		}},
		{"Device", func() { unit.ship(w.user, "1234") }, func() error {
			ok := false
			return look(b.Device(ctx, unit.id, func(v *domain.Device) { ok = v.RequestID != "" }), &ok)
		}},
		{"PolicyKnownAt", func() { w.compliance(germanRule()) }, func() error {
			p, err := b.PolicyKnownAt(ctx, time.Time{})
			if err != nil {
				return err
			}
			_, ok := p.Rule("DE-2FA-1")
			return must(ok)
		}},
	}
	for _, s := range steps {
		s.write()
		if err := s.read(); err != nil {
			t.Errorf("%s: %v", s.name, err)
		}
	}
	phone := event[domain.PhoneNumberAdded](t, w.do(domain.AddPhone{UserID: w.user, CC: "DE", Number: domain.Clear("+491700000007"), Line: domain.LineMobile})).PhoneID
	if got, err := b.PhoneNumber(ctx, w.user, phone); err != nil || got != "+491700000007" {
		t.Errorf("PhoneNumber: %v", err)
	}
	if key, _, err := b.OCRASecret(ctx, w.user, w.ibkey); err != nil || len(key) != ocraSecretSize {
		t.Errorf("OCRASecret: %v", err)
	}
}

// A read does not wait for a command of its own node, nor does it show an older
// state than the log holds because of it.
func TestReadWhileACommandHoldsTheStream(t *testing.T) {
	t.Parallel()
	w, a, b := nodes(t, 0)
	w.register()
	w.warm(a)
	inside, proceed := make(chan struct{}), make(chan struct{})
	var once sync.Once
	w.store.Set(storetest.Faults{BeforeAppend: func(string, []eventstore.Proposed) error {
		once.Do(func() { close(inside); <-proceed })
		return nil
	}})
	done := make(chan error, 1)
	r := w.request(domain.AddPhone{UserID: w.user, CC: "DE", Number: domain.Clear(number), Line: domain.LineMobile})
	go func() {
		_, err := a.Execute(t.Context(), r)
		done <- err
	}()
	<-inside
	if _, err := b.Execute(t.Context(), w.request(domain.SetSeamless{UserID: w.user, Enabled: false})); err != nil {
		t.Fatal(err)
	}
	err := a.User(t.Context(), w.user, func(u *domain.User, _ time.Time) error {
		if u.Seamless() {
			t.Error("the state is that of before the other node's command")
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	close(proceed)
	if err := <-done; err != nil {
		t.Error(err)
	}
	w.agree(a, b)
}

// agree compares the states of both nodes with the log's.
func (w *world) agree(a, b *Journal) {
	w.t.Helper()
	fresh := newSlot(domain.UserStream(w.user))
	if err := w.journal().fold(w.t.Context(), fresh); err != nil {
		w.t.Fatal(err)
	}
	for name, j := range map[string]*Journal{"a": a, "b": b} {
		s, release, err := j.view(w.t.Context(), fresh.stream)
		if err != nil {
			w.t.Fatal(err)
		}
		equal(w.t, "state of "+name, s.state, fresh.state)
		if s.last != fresh.last {
			w.t.Errorf("%s ends with %v, the log with %v", name, s.last, fresh.last)
		}
		release()
	}
}

// One command is sent to both nodes at once, as by a load balancer that tries
// again: one executes it and both answer the same.
func TestOneCommandOnTwoNodes(t *testing.T) {
	t.Parallel()
	w, a, b := nodes(t, 3*time.Second)
	w.register()
	for n := range 200 {
		r := w.request(domain.StartAuthentication{UserID: w.user, Purpose: domain.PurposeLogin, Platform: domain.TWS, PrimaryVerified: true})
		if n%2 == 1 { // also one that changes nothing the second time
			r.Command = domain.SetSeamless{UserID: w.user, Enabled: n%4 == 1}
		}
		outcomes := make([]Outcome, 2)
		errs := make([]error, 2)
		var running sync.WaitGroup
		for i, j := range []*Journal{a, b} {
			running.Go(func() { outcomes[i], errs[i] = j.Execute(t.Context(), r) })
		}
		running.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		again, err := b.Execute(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if len(again.Events) > 0 && outcomes[0].Replayed == outcomes[1].Replayed {
			t.Fatalf("round %d: both say they executed it, or neither", n)
		}
		for i := range outcomes {
			outcomes[i].Replayed = again.Replayed
			equal(t, fmt.Sprintf("round %d, node %d", n, i), outcomes[i], again)
		}
	}
	w.unique()
	w.agree(a, b)
}

// unique checks that no event id stands twice in the log.
func (w *world) unique() {
	w.t.Helper()
	seen := map[eventstore.EventID]bool{}
	for _, r := range w.memoryRecords() {
		if seen[r.ID] {
			w.t.Errorf("event %s stands twice", r.ID)
		}
		seen[r.ID] = true
	}
}

// A repeat finds its first outcome on another node, also long after, when the
// stream has moved on and the store recognises no id there.
func TestRepeatOnAnotherNode(t *testing.T) {
	t.Parallel()
	w, a, b := nodes(t, 0)
	w.register()
	w.warm(b)
	r := w.request(domain.AddPhone{UserID: w.user, CC: "DE", Number: domain.Clear("+491700000009"), Line: domain.LineMobile})
	want, err := a.Execute(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	want.Replayed = true
	check := func(when string, j *Journal) {
		t.Helper()
		before := len(w.records())
		got, err := j.Execute(t.Context(), r)
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		equal(t, when, got, want)
		if after := len(w.records()); after != before {
			t.Errorf("%s: %d records were appended", when, after-before)
		}
	}
	check("at once, on a state that is behind", b)
	for n := range 5 {
		w.do(domain.SetSeamless{UserID: w.user, Enabled: n%2 == 1})
	}
	check("behind a moved state", b)
	w.warm(b)
	check("on the newest state", b)
	check("by a process that starts now", w.journal())
	r.Command = domain.SetSeamless{UserID: w.user, Enabled: true}
	if _, err := b.Execute(t.Context(), r); code(t, err) != domain.IdempotencyConflict {
		t.Errorf("the id for another command: %v", err)
	}
	r.Command = domain.RegisterClient{ClientID: codec.ClientIDOf("c-9"), Kind: domain.Individual, CarryingCC: "IE"}
	if _, err := b.Execute(t.Context(), r); code(t, err) != domain.IdempotencyConflict {
		t.Errorf("the id for another stream: %v", err)
	}
}

// One id for commands on two streams, at once on one node: the store would let
// both append, and an event id would stand twice.
func TestOneCommandIDForTwoStreamsAtOnce(t *testing.T) {
	t.Parallel()
	w, a, _ := nodes(t, 0)
	for n := range 50 {
		r := w.request(nil)
		errs := make([]error, 4)
		var running sync.WaitGroup
		for i := range errs {
			running.Go(func() {
				own := r
				own.Command = domain.RegisterClient{
					ClientID: codec.ClientIDOf(fmt.Sprint(n, i)), Kind: domain.Individual, CarryingEntity: "IB-IE", CarryingCC: "IE",
				}
				_, errs[i] = a.Execute(t.Context(), own)
			})
		}
		running.Wait()
		executed := 0
		for _, err := range errs {
			if err == nil {
				executed++
			} else if code(t, err) != domain.IdempotencyConflict {
				t.Error(err)
			}
		}
		if executed != 1 {
			t.Fatalf("round %d: %d of %d were executed", n, executed, len(errs))
		}
	}
	w.unique()
	if len(a.sole.running) != 0 {
		t.Errorf("%d queues are left", len(a.sole.running))
	}
}

// The answer of an append is lost, and it did not happen because another node
// was first: that is known by then, so the command is decided anew.
func TestLostAnswerOfAnAppendAnotherNodeForestalled(t *testing.T) {
	t.Parallel()
	w, a, b := nodes(t, 0)
	w.register()
	lost := storetest.Times(1, fmt.Errorf("%w: %w", eventstore.ErrOutcomeUnknown, errDisk))
	w.store.Set(storetest.Faults{BeforeAppend: func(string, []eventstore.Proposed) error {
		err := lost()
		if err != nil {
			if _, err := b.Execute(t.Context(), w.request(domain.SetSeamless{UserID: w.user, Enabled: false})); err != nil {
				t.Error(err)
			}
		}
		return err
	}})
	r := w.request(domain.AddPhone{UserID: w.user, CC: "DE", Number: domain.Clear("+491700000009"), Line: domain.LineMobile})
	out, err := a.Execute(t.Context(), r)
	if err != nil || out.Replayed || len(out.Events) != 1 {
		t.Fatalf("outcome %+v, %v", out, err)
	}
	w.unique()
	w.agree(a, b)
}

// Two nodes carry one command out at the same instant, and lose the answers of
// their appends, one or both. At most one may believe that it was the first.
func TestLostAnswersOfOneCommandOnTwoNodes(t *testing.T) {
	t.Parallel()
	lost := fmt.Errorf("%w: %w", eventstore.ErrOutcomeUnknown, errDisk)
	for name, loses := range map[string]struct{ a, b bool }{
		"the one that appends": {a: true}, "the one that comes second": {b: true}, "both": {a: true, b: true}, "none": {},
	} {
		w, a, b := nodes(t, 0)
		w.register()
		w.warm(a)
		w.warm(b)
		r := w.request(domain.SetSeamless{UserID: w.user, Enabled: false})
		r.Source.IP = domain.Personal{} // nothing sealed: the records of both are the same, byte for byte
		if loses.a {
			w.store.LoseAnswers(1, errDisk)
		}
		var first Outcome
		once := storetest.Times(1, lost)
		b.store.(node).Set(storetest.Faults{BeforeAppend: func(string, []eventstore.Proposed) error {
			err := once()
			if err == nil {
				return nil
			}
			var failed error
			if first, failed = a.Execute(t.Context(), r); failed != nil {
				t.Error(failed)
			}
			if loses.b {
				return err
			}
			return nil
		}})
		second, err := b.Execute(t.Context(), r)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(first.Events) != 1 || len(second.Events) != 1 || first.Events[0].ID != second.Events[0].ID || !first.Events[0].OccurredAt.Equal(b.Now()) {
			t.Errorf("%s: %+v here, %+v there", name, first, second)
		}
		if first.Replayed != loses.a || !second.Replayed {
			t.Errorf("%s: the first is a repeat: %v, the second: %v", name, first.Replayed, second.Replayed)
		}
		w.unique()
		w.agree(a, b)
	}
}

// A watcher of one node wakes for what another appended, once that arrives.
func TestNoticeWakesWatchers(t *testing.T) {
	t.Parallel()
	w, a, b := nodes(t, 0)
	w.register()
	changed, stop := b.Watch(domain.UserStream(w.user))
	defer stop()
	other, stopOther := b.Watch(domain.ClientStream(w.client))
	defer stopOther()
	from := len(w.records())
	if _, err := a.Execute(t.Context(), w.request(domain.SetSeamless{UserID: w.user, Enabled: false})); err != nil {
		t.Fatal(err)
	}
	if err := b.Notice(t.Context(), w.records()[from:]); err != nil {
		t.Fatal(err)
	}
	select {
	case <-changed:
	default:
		t.Error("the watcher sleeps on")
	}
	select {
	case <-other:
		t.Error("somebody else was woken")
	default:
	}
}

// Two nodes, many callers, few users: every command is sent again to the other
// node, and each stands in the log once with the answer that was given.
func TestManyCallersOnTwoNodes(t *testing.T) {
	t.Parallel()
	const callers, rounds = 16, 25
	w, a, b := nodes(t, time.Second)
	w.register()
	users := []string{w.user, w.person("u-2", "+491700000002"), w.person("u-3", "+491700000003")}
	var running sync.WaitGroup
	for c := range callers {
		running.Go(func() {
			for n := range rounds {
				w.send(users[(c+n)%len(users)], c*rounds+n, a, b)
			}
		})
	}
	running.Wait()
	w.unique()
	checkChain(t, w)
	for _, u := range users {
		w.user = u
		w.agree(a, b)
	}
}

// send executes a command on one node and then on the other, trying again while
// others are in the way, and compares both with the log.
func (w *world) send(userID string, n int, a, b *Journal) {
	if n%2 == 1 {
		a, b = b, a
	}
	var c domain.Command = domain.SetSeamless{UserID: userID, Enabled: n%3 == 0}
	switch n % 5 {
	case 0:
		c = domain.StartAuthentication{UserID: userID, Purpose: domain.PurposeLogin, Platform: domain.ClientPortal, PrimaryVerified: true}
	case 1:
		c = domain.StartAuthentication{UserID: userID, Purpose: domain.PurposeLogin, Platform: domain.TWS, PrimaryVerified: true}
	case 2:
		c = w.optOut(userID)
	}
	r := w.request(c)
	first, err := w.persist(a, r)
	if err != nil {
		w.t.Error(err)
		return
	}
	second, err := w.persist(b, r)
	if err != nil {
		w.t.Error(err)
		return
	}
	if len(first.Events) > 0 && (!second.Replayed || len(second.Events) != len(first.Events)) {
		w.t.Errorf("%s: answered %v first, %v then", c.Name(), names(first), names(second))
		return
	}
	for i, e := range first.Events {
		if e.ID != second.Events[i].ID || e.Revision != second.Events[i].Revision {
			w.t.Errorf("%s: event %d is %s and %s", c.Name(), i, e.ID, second.Events[i].ID)
		}
		if r, err := w.memory.ByID(context.Background(), e.ID); err != nil || r.Revision != e.Revision {
			w.t.Errorf("%s: acknowledged event %s: %v", c.Name(), e.ID, err)
		}
	}
}

// persist executes until the stream is not busy.
func (w *world) persist(j *Journal, r Request) (Outcome, error) {
	for {
		out, err := j.Execute(w.t.Context(), r)
		if !errors.Is(err, ErrBusy) {
			return out, err
		}
	}
}

// A PIN is written over before its event, so a decision on an old state must not
// get that far: the PIN would be that of a change long past.
func TestStaleDecisionWritesNoPIN(t *testing.T) {
	t.Parallel()
	w, a, b := nodes(t, 0)
	w.register()
	w.verified(w.user)
	c := w.unit("1", suiteCardPIN)
	c.ship(w.user, "1234")
	id := c.activate(w.user, "1234")
	c.bind(id)
	change := func(pin domain.Secret) (Request, domain.Secret) {
		t.Helper()
		out := w.do(domain.ChangeDevicePIN{AuthenticatorID: id, TxnID: w.begin(w.user, domain.PurposePINChange), PIN: pin})
		challenge := event[domain.ChallengeIssued](t, out).ChallengeID
		return w.request(domain.SubmitResponse{ChallengeID: challenge, Response: c.respond(challenge, string(pin))}), pin
	}
	first, _ := change("4711")
	w.warm(b) // b keeps the state in which the first change waits for its proof
	if out, err := a.Execute(t.Context(), first); err != nil {
		t.Fatal(err)
	} else {
		event[domain.DevicePINChanged](t, out)
	}
	second, last := change("8642")
	if out, err := a.Execute(t.Context(), second); err != nil {
		t.Fatal(err)
	} else {
		event[domain.DevicePINChanged](t, out)
	}
	other := first // another request with the same response, which b does not know to be used
	other.CommandID = uuid.New()
	if _, err := b.Execute(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	pin, err := w.keys.Secret(t.Context(), domain.DeviceStream(c.id), secretPIN)
	if err != nil || string(pin) != string(last) {
		t.Errorf("the unit's PIN is not the last one that was set: %v", err)
	}
}
