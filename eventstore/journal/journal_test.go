package journal

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
)

func code(t testing.TB, err error) domain.Code {
	t.Helper()
	var e *domain.Error
	if !errors.As(err, &e) {
		t.Fatalf("want a domain error, got %v", err)
	}
	return e.Code
}

func TestUserLogsInBySMS(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	challenge, right := w.smsLogin()
	wrong := event[domain.ResponseRejected](t, w.do(domain.SubmitResponse{ChallengeID: challenge, Response: flipped(right)}))
	if wrong.Reason != domain.ReasonResponseWrong && wrong.Reason != domain.ReasonCodeWrong || !wrong.Counted {
		t.Errorf("a wrong code: %+v", wrong)
	}
	short := event[domain.ResponseRejected](t, w.do(domain.SubmitResponse{ChallengeID: challenge, Response: "12a"}))
	if short.Reason != domain.ReasonMalformed || short.LenOK || short.CharsetOK {
		t.Errorf("a malformed code: %+v", short)
	}
	event[domain.AuthenticationSucceeded](t, w.do(domain.SubmitResponse{ChallengeID: challenge, Response: right}))
}

// flipped changes the last digit.
func flipped(code domain.Secret) domain.Secret {
	last := code[len(code)-1]
	return code[:len(code)-1] + domain.Secret(rune('0'+(last-'0'+1)%10))
}

func TestOlderCodeIsSuperseded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	challenge, first := w.smsLogin()
	w.clock.advance(121 * time.Second)
	i := event[domain.LoginCodeIssued](t, w.do(domain.ResendLoginCode{ChallengeID: challenge}))
	second := w.code(domain.PurposeLogin, challenge, domain.Issued{Seq: i.Seq, Kid: i.Kid, Len: i.CodeLen, ExpiresAt: i.ExpiresAt})
	if i.Seq != 2 || first == second {
		t.Fatalf("second code is seq %d", i.Seq)
	}
	if r := event[domain.ResponseRejected](t, w.do(domain.SubmitResponse{ChallengeID: challenge, Response: first})); r.Reason != domain.ReasonCodeSuperseded {
		t.Errorf("the first code: %s", r.Reason)
	}
	event[domain.ResponseVerified](t, w.do(domain.SubmitResponse{ChallengeID: challenge, Response: second}))
}

func TestFallbackToChallengeResponse(t *testing.T) {
	t.Parallel()
	for steps, accepted := range map[int]bool{0: true, -2: true, 2: true, -3: false, 3: false} {
		w := newWorld(t)
		w.register()
		w.bind()
		push := w.login()
		next := event[domain.ChallengeIssued](t, w.do(domain.RequestFallback{ChallengeID: push.ChallengeID, Cause: domain.CauseNoInternet}))
		out := w.do(domain.SubmitResponse{ChallengeID: next.ChallengeID, Response: w.ocraResponse(next.ChallengeID, steps)})
		if got := slices.Contains(names(out), "AuthenticationSucceeded"); got != accepted {
			t.Errorf("a response %d steps off: %v", steps, names(out))
		}
		if v, ok := out.Events[0].Event.(domain.ResponseVerified); ok {
			if want := uint64(w.clock.time().Unix()/60 + int64(steps)); v.OCRAStep != want {
				t.Errorf("step %d recorded, want %d", v.OCRAStep, want)
			}
		}
	}
}

func TestRepeatReturnsTheFirstOutcome(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	challenge, right := w.smsLogin()
	r := w.request(domain.SubmitResponse{ChallengeID: challenge, Response: right})
	first, err := w.j.Execute(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if first.Replayed || first.Position == 0 || len(first.Events) != 2 {
		t.Fatalf("first outcome %+v", first)
	}
	want := first
	want.Replayed = true
	check := func(when string, j *Journal) {
		t.Helper()
		before := len(w.records())
		again, err := j.Execute(t.Context(), r)
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		equal(t, when, again, want)
		if after := len(w.records()); after != before {
			t.Errorf("%s: %d records were appended", when, after-before)
		}
	}
	check("at once", w.j)
	w.login()
	check("after further events", w.j)
	check("by another process", w.journal())
	w.do(domain.CloseUser{UserID: w.user, Reason: "ended"})
	check("when the state now refuses it", w.j) // USER_CLOSED is an error, not an event
}

// A repeat that decides to more or fewer events than the first time must not
// append the difference.
func TestRepeatDecidingOtherwiseAppendsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	start := w.request(domain.StartAuthentication{UserID: w.user, Purpose: domain.PurposeLogin, Platform: domain.TWS, PrimaryVerified: true})
	w.clock.advance(3 * time.Minute)
	first, err := w.j.Execute(t.Context(), start)
	if err != nil {
		t.Fatal(err)
	}
	w.bind() // the same command now leads to a push, other events and another number of them
	before := len(w.records())
	again, err := w.j.Execute(t.Context(), start)
	if err != nil {
		t.Fatal(err)
	}
	first.Replayed = true
	equal(t, "repeat", again, first)
	if after := len(w.records()); after != before {
		t.Errorf("%d records were appended", after-before)
	}
}

func TestCommandIDOfAnotherRequestConflicts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	r := w.request(domain.AddPhone{UserID: w.user, CC: "DE", Number: domain.Clear("+491700000001"), Line: domain.LineMobile})
	if _, err := w.j.Execute(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	before := len(w.records())
	for name, c := range map[string]domain.Command{
		"another field":            domain.AddPhone{UserID: w.user, CC: "FR", Number: domain.Clear("+491700000001"), Line: domain.LineMobile},
		"another command":          domain.SetSeamless{UserID: w.user, Enabled: false},
		"another stream":           domain.RegisterClient{ClientID: codec.ClientIDOf("c-2"), Kind: domain.Individual, CarryingCC: "IE"},
		"one that changes nothing": domain.SetSeamless{UserID: w.user, Enabled: true},
		"one that is refused":      domain.ConfirmPhone{VerificationID: "vrf_" + strings.TrimPrefix(w.user, "usr_") + "_99"},
	} {
		other := r
		other.Command = c
		if _, err := w.j.Execute(t.Context(), other); code(t, err) != domain.IdempotencyConflict {
			t.Errorf("%s: %v", name, err)
		}
	}
	if after := len(w.records()); after != before {
		t.Errorf("%d records were appended", after-before)
	}
}

func TestNothingRecordedForErrorsAndNoChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	before := len(w.records())
	out, err := w.j.Execute(t.Context(), w.request(domain.SetSeamless{UserID: w.user, Enabled: true}))
	if err != nil || len(out.Events) != 0 || out.Position != 0 || out.Replayed {
		t.Errorf("no change: %+v, %v", out, err)
	}
	for name, c := range map[string]domain.Command{
		"unknown user":  domain.SetSeamless{UserID: codec.UserIDOf("nobody")},
		"malformed id":  domain.SetSeamless{UserID: "usr_x"},
		"no id":         domain.RegisterUser{},
		"id of another": domain.SubmitResponse{ChallengeID: w.client},
	} {
		if _, err := w.j.Execute(t.Context(), w.request(c)); code(t, err) != domain.Unknown {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.j.Execute(t.Context(), Request{Command: domain.SetSeamless{UserID: w.user}}); err == nil {
		t.Error("a request without a command id was executed")
	}
	if after := len(w.records()); after != before {
		t.Errorf("%d records were appended", after-before)
	}
}

// Ten thousand people (or one, ten thousand times) submit the right code, half
// of them as repeats of each other: one answer is right, nobody gets in twice.
func TestConcurrentSubmitsOfOneRightCode(t *testing.T) {
	t.Parallel()
	n := 10_000
	if raceEnabled || testing.Short() {
		n = 2_000
	}
	w := newWorld(t)
	w.register()
	challenge, right := w.smsLogin()
	other := w.journal() // a second process: the revision check decides, not only our lock
	ids := make([]uuid.UUID, n/2)
	for i := range ids {
		ids[i] = uuid.New()
	}
	var (
		mu      sync.Mutex
		busy    int
		results = map[uuid.UUID][]string{}
		wg      sync.WaitGroup
	)
	for i := range n {
		wg.Go(func() {
			j := w.j
			if i%10 == 9 {
				j = other
			}
			r := w.request(domain.SubmitResponse{ChallengeID: challenge, Response: right})
			r.CommandID = ids[i/2]
			out, err := j.Execute(t.Context(), r)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, ErrBusy):
				busy++
			case err != nil:
				t.Errorf("submit %d: %v", i, err)
			default:
				results[r.CommandID] = append(results[r.CommandID], strings.Join(names(out), " "))
			}
		})
	}
	wg.Wait()
	succeeded := 0
	for id, all := range results {
		if strings.Contains(all[0], "ResponseVerified") {
			succeeded++
		}
		if len(all) == 2 && all[0] != all[1] {
			t.Errorf("command %s had two outcomes: %q and %q", id, all[0], all[1])
		}
	}
	stored := w.types(domain.UserStream(w.user))
	if succeeded != 1 || count(stored, "ResponseVerified") != 1 || count(stored, "AuthenticationSucceeded") != 1 {
		t.Errorf("%d commands succeeded, %d times stored", succeeded, count(stored, "ResponseVerified"))
	}
	if rejected := count(stored, "ResponseRejected"); rejected != len(results)-1 {
		t.Errorf("%d rejections for %d losing commands", rejected, len(results)-1)
	}
	if busy > n/10 {
		t.Errorf("%d of %d were told to try again", busy, n)
	}
	checkChain(t, w)
}

// Ten thousand logins whose right code arrives twice at once: each lets in once.
func TestDoubleSubmits(t *testing.T) {
	t.Parallel()
	n := 10_000
	w := newWorld(t)
	w.register()
	for range n {
		challenge, right := w.smsLogin()
		var errs [2]error
		var wg sync.WaitGroup
		for i := range errs {
			r := w.request(domain.SubmitResponse{ChallengeID: challenge, Response: right})
			r.CommandID = uuid.New()
			wg.Go(func() { _, errs[i] = w.j.Execute(t.Context(), r) })
		}
		wg.Wait()
		if err := errors.Join(errs[:]...); err != nil {
			t.Fatal(err)
		}
	}
	stored := w.types(domain.UserStream(w.user))
	for name, want := range map[string]int{"ChallengeIssued": n, "ResponseVerified": n, "ResponseRejected": n, "AuthenticationSucceeded": n} {
		if got := count(stored, name); got != want {
			t.Errorf("%d %s of %d double submits, want %d", got, name, n, want)
		}
	}
}

func checkChain(t *testing.T, w *world) {
	t.Helper()
	c := codec.New(nil)
	last := map[string]eventstore.Expected{}
	for _, r := range w.records() {
		d, err := c.Decode(r)
		if err != nil {
			t.Fatal(err)
		}
		if e := last[r.Stream]; r.Revision != e.Next() || d.Meta.Prev != e.Leaf().String() {
			t.Fatalf("%s revision %d does not follow %s", r.Stream, r.Revision, e)
		}
		if r.ID != eventstore.EventIDOf(d.Meta.CommandID, d.Meta.Ordinal) || d.Meta.Digest == "" || d.Meta.PolicyVersion == 0 {
			t.Fatalf("%s revision %d: metadata %+v", r.Stream, r.Revision, d.Meta)
		}
		last[r.Stream] = eventstore.At(r.Revision, r.Leaf())
	}
}

func TestCachedStateEqualsFreshFold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.CacheSize = 1 })
	w.register()
	w.bind()
	w.do(w.decision(w.login(), nil))
	w.do(domain.RequestOptOut{UserID: w.user, RequestedBy: w.user, AgreementVersion: "1", Acknowledged: true})
	w.clock.advance(time.Minute)
	w.do(domain.StartAuthentication{UserID: w.user, Purpose: domain.PurposeLogin, Platform: domain.TWS, PrimaryVerified: true})
	for _, stream := range []string{domain.UserStream(w.user), domain.ClientStream(w.client), domain.InstallationStream(w.installation)} {
		cached, release, err := w.j.view(t.Context(), stream)
		if err != nil {
			t.Fatal(err)
		}
		defer release()
		fresh := newSlot(stream)
		if err := w.journal().fold(t.Context(), fresh); err != nil {
			t.Fatal(err)
		}
		equal(t, stream, cached.state, fresh.state)
		equal(t, stream+" notes", cached.notes, fresh.notes)
		if cached.last != fresh.last {
			t.Errorf("%s ends at %s, want %s", stream, cached.last, fresh.last)
		}
	}
	if n := w.j.slots.idle.Len(); n > 1 {
		t.Errorf("%d idle slots in a cache of 1", n)
	}
}

func TestUnknownIDsLeaveNoSlots(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 100 {
		err := w.j.User(t.Context(), codec.UserIDOf(string(rune('a'+i))), func(*domain.User, time.Time) error { return nil })
		if code(t, err) != domain.Unknown {
			t.Fatal(err)
		}
	}
	if n := w.j.slots.idle.Len() + len(w.j.slots.live); n != 0 {
		t.Errorf("%d slots are kept for users who do not exist", n)
	}
}

func TestReadersSeeWhatWasWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	w.bind()
	if err := w.j.Client(t.Context(), w.client, func(c *domain.Client) {
		if c.Kind != domain.Individual {
			t.Errorf("kind %s", c.Kind)
		}
	}); err != nil {
		t.Error(err)
	}
	if err := w.j.Installation(t.Context(), w.installation, func(i *domain.Installation) {
		if i.OS != domain.IOS {
			t.Errorf("os %s", i.OS)
		}
	}); err != nil {
		t.Error(err)
	}
	got, err := w.j.PhoneNumber(t.Context(), w.user, w.phone)
	if err != nil || got != number {
		t.Errorf("number %q, %v", got, err)
	}
	mine := errors.New("mine")
	if err := w.j.User(t.Context(), w.user, func(*domain.User, time.Time) error { return mine }); !errors.Is(err, mine) {
		t.Errorf("the reader's error became %v", err)
	}
	for name, err := range map[string]error{
		"user":         w.j.User(t.Context(), w.client, nil),
		"client":       w.j.Client(t.Context(), codec.ClientIDOf("?"), nil),
		"installation": w.j.Installation(t.Context(), "ins_?", nil),
	} {
		if code(t, err) != domain.Unknown {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWatchersWake(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	changed, stop := w.j.Watch(domain.UserStream(w.user))
	quiet, stopQuiet := w.j.Watch(domain.ClientStream(w.client))
	defer stopQuiet()
	done := make(chan struct{})
	go func() { defer close(done); <-changed }()
	w.do(domain.SetSeamless{UserID: w.user, Enabled: false})
	w.do(domain.SetSeamless{UserID: w.user, Enabled: true})
	<-done
	select {
	case <-quiet:
		t.Error("a watcher of another stream woke")
	default:
	}
	stop()
	stop()
	w.do(domain.SetSeamless{UserID: w.user, Enabled: false})
	stopQuiet()
	if n := len(w.j.watches.streams); n != 0 {
		t.Errorf("%d streams are watched after all stopped", n)
	}
}

func TestSMSCounterIsSoft(t *testing.T) {
	t.Parallel()
	var asked []string
	answer, broken := 0, error(nil)
	w := newWorld(t, func(c *Config) {
		c.SMSCounter = func(_ context.Context, number string) (int, error) {
			asked = append(asked, number)
			return answer, broken
		}
	})
	w.register()
	challenge, _ := w.smsLogin()
	if !slices.Equal(asked, []string{number, number}) {
		t.Errorf("counter was asked about %d numbers", len(asked))
	}
	answer = 10
	w.clock.advance(3 * time.Minute)
	if r := event[domain.SMSRequestRefused](t, w.do(domain.ResendLoginCode{ChallengeID: challenge})); r.Reason != domain.ReasonSMSRate {
		t.Errorf("refused with %s", r.Reason)
	}
	broken = errors.New("views are gone")
	event[domain.LoginCodeIssued](t, w.do(domain.ResendLoginCode{ChallengeID: challenge}))
}

func TestOptOutReadsClientsAndRequester(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.register()
	officer := codec.UserIDOf("officer")
	carried := codec.ClientIDOf("hk")
	w.do(domain.RegisterUser{UserID: officer, ClientID: w.client, Role: domain.RoleSecurityOfficer, Username: domain.Clear("otto")})
	w.do(domain.RegisterClient{ClientID: carried, Kind: domain.Individual, CarryingEntity: "IB-HK", CarryingCC: "HK"})
	ask := domain.RequestOptOut{UserID: w.user, RequestedBy: w.user, AgreementVersion: "1", Acknowledged: true}
	by := ask
	by.RequestedBy = officer
	if d := event[domain.OptOutDenied](t, w.do(by)); d.Reason != domain.ReasonOptOutAuthority {
		t.Errorf("an officer of an individual: %s", d.Reason)
	}
	granted := event[domain.OptOutGranted](t, w.do(ask))
	if f := granted.Decision.Facts; f.CarryingCC != "IE" || f.Residence != "DE" {
		t.Errorf("facts %+v", f)
	}
	event[domain.SecondFactorWaived](t, w.do(domain.StartAuthentication{
		UserID: w.user, Purpose: domain.PurposeLogin, Platform: domain.TWS, PrimaryVerified: true,
	}))
	w.do(domain.GrantAccountAccess{UserID: w.user, ClientID: carried, EffectiveOn: "2026-01-01"})
	revoked := event[domain.OptOutRevoked](t, w.do(domain.ReevaluateRegime{UserID: w.user, Cause: "access_granted"}))
	if cc := revoked.Decision.Facts.AccessibleCarryingCCs; !slices.Equal(cc, []string{"HK"}) {
		t.Errorf("accessible countries %v", cc)
	}
}

// Users who are each other's requesters and share their clients must not wait
// for one another in a circle.
func TestFactsOfEachOtherDoNotDeadlock(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.CacheSize = 1 })
	var users, clients []string
	for i := range 4 {
		users, clients = append(users, codec.UserIDOf(string(rune('a'+i)))), append(clients, codec.ClientIDOf(string(rune('a'+i))))
		w.do(domain.RegisterClient{ClientID: clients[i], Kind: domain.Joint, CarryingCC: "IE"})
		w.do(domain.RegisterUser{UserID: users[i], ClientID: clients[i], Role: domain.RoleOwner, Residence: "DE"})
	}
	for i := range users {
		for _, c := range clients {
			w.do(domain.GrantAccountAccess{UserID: users[i], ClientID: c, EffectiveOn: "2026-01-01"})
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for n := range 200 {
		wg.Go(func() {
			var c domain.Command = domain.RequestOptOut{UserID: users[n%4], RequestedBy: users[(n+1)%4], AgreementVersion: "1", Acknowledged: true}
			if n%3 == 0 {
				c = domain.AddHolder{ClientID: clients[n%4], PersonRef: "p", Residence: "DE", EffectiveOn: "2026-01-01"}
			}
			if _, err := w.j.Execute(ctx, w.request(c)); err != nil {
				t.Errorf("%s: %v", c.Name(), err)
			}
		})
	}
	wg.Wait()
}

func TestNewRequiresItsParts(t *testing.T) {
	t.Parallel()
	if _, err := New(Config{}); err == nil {
		t.Error("a journal without parts was made")
	}
}
