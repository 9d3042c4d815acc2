package replay

import (
	"context"
	"errors"
	"iter"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
)

// seen is what a state was right after a record, learnt while it was written.
type seen struct {
	record   eventstore.Record
	occurred time.Time
	state    domain.Snapshot
}

// watch collects what every user's state was after every record.
func watch(l *ledger) *[]seen {
	all := &[]seen{}
	l.written = func(r eventstore.Record, at time.Time, s domain.State) {
		if u, ok := s.(*domain.User); ok {
			*all = append(*all, seen{record: r, occurred: at, state: u.Snapshot(at, l.policy)})
		}
	}
	return all
}

// TestStateAtEqualsIncrementalFold: whatever happened to two users at once,
// the state at each record is the one its writer had.
func TestStateAtEqualsIncrementalFold(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := newLedger(t)
		all := watch(l)
		live(t, l)
		decoder := codec.New(nil)
		for _, want := range *all {
			userID := want.state.UserID
			got, err := StateAt(context.Background(), l.store, decoder, l.policy, userID, AtSequence(want.record.Sequence))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(&want.state, got.State) { // cmp is slow, so only to tell the difference
				t.Fatalf("state of %s at @%d (-written +replayed):\n%s", userID, want.record.Sequence, cmp.Diff(&want.state, got.State))
			}
			if got.Last.Sequence != want.record.Sequence || got.Events != int(want.record.Revision)+1 || !got.AsOf.Equal(want.occurred) {
				t.Fatalf("state at @%d: applied %d events up to @%d, looked at %s", want.record.Sequence, got.Events, got.Last.Sequence, got.AsOf)
			}
			explained(t, got)
		}
	})
}

// explained checks that each part of a state is set by events that fit it.
func explained(t *rapid.T, r Result) {
	want := map[partKey]string{{name: PartUser}: "UserRegistered"}
	for _, p := range r.State.Phones {
		want[partKey{PartPhone, p.PhoneID}] = map[string]string{"added": "PhoneNumberAdded", "verified": "PhoneNumberVerified"}[p.Status]
	}
	for _, a := range r.State.Authenticators {
		want[partKey{PartAuthenticator, a.AuthenticatorID}] = "AuthenticatorEnrolled"
	}
	if r.State.Locked {
		want[partKey{name: PartLock}] = "UserLocked"
	}
	if r.State.OptedOut {
		want[partKey{name: PartOptOut}] = "OptOutGranted"
	}
	if r.State.Residence != "" {
		want[partKey{name: PartResidence}] = "ResidenceChanged"
	}
	failures := 0
	for _, p := range r.Parts {
		last := p.Events[len(p.Events)-1]
		if p.Name == PartFailures {
			failures = len(p.Events)
		}
		if typ, ok := want[partKey{p.Name, p.ID}]; ok && typ != "" && last.Type != typ {
			t.Fatalf("%s %s at %s was set by %s, want %s", p.Name, p.ID, r.Point, last.Type, typ)
		}
		delete(want, partKey{p.Name, p.ID})
		for i := 1; i < len(p.Events); i++ {
			if p.Events[i].Sequence <= p.Events[i-1].Sequence {
				t.Fatalf("events of %s are out of order", p.Name)
			}
		}
	}
	if len(want) > 0 || failures != r.State.FailureCount {
		t.Fatalf("at %s: unexplained %v; %d events for %d failures", r.Point, want, failures, r.State.FailureCount)
	}
}

// live lets two users do what a random walk makes them do.
func live(t *rapid.T, l *ledger) {
	clientID := codec.ClientIDOf("acme")
	l.must(domain.RegisterClient{ClientID: clientID, Kind: domain.Individual, CarryingEntity: "IB-IE", CarryingCC: "IE"}, domain.Facts{})
	var walkers []*walker
	for _, ref := range []string{"ada", "eve"} {
		walkers = append(walkers, &walker{l: l, id: codec.UserIDOf(ref), clientID: clientID, installation: codec.InstallationIDOf([]byte(ref))})
		l.must(domain.RegisterUser{UserID: codec.UserIDOf(ref), ClientID: clientID, Role: domain.RoleOwner, Username: domain.Clear(ref), Locale: "de-DE", Residence: "DE"}, domain.Facts{})
	}
	for range rapid.IntRange(4, 14).Draw(t, "steps") {
		l.wait(rapid.SampledFrom([]time.Duration{0, time.Microsecond, time.Second, 30 * time.Second, 3 * time.Minute, 13 * time.Hour}).Draw(t, "pause"))
		rapid.SampledFrom(walkers).Draw(t, "user").step(rapid.IntRange(0, 16).Draw(t, "act"), rapid.SampledFrom([]bool{true, true, false}).Draw(t, "right"))
	}
}

// walker is one user of a random walk and what it can refer to.
type walker struct {
	l                                    *ledger
	id, clientID, installation           string
	phone, verification, enrollment, txn string
	challenge                            string
}

func (w *walker) step(act int, right bool) {
	f := domain.Facts{
		Code: no, Installation: &domain.InstallationFacts{ID: w.installation, OS: domain.IOS, HandsetID: "h"},
		Clients: map[string]*domain.Client{w.clientID: w.l.state(domain.ClientStream(w.clientID)).(*domain.Client)},
		Push:    domain.PushEvidence{Authentic: true, Approve: right, NumberGiven: right, NumberMatched: right, UV: domain.UVFaceID},
	}
	if right {
		f.Code = yes
	}
	for _, command := range w.commands(act, right) {
		for _, e := range w.l.do(command(), f) {
			w.learn(e)
		}
	}
}

// commands of one act; each is made when the one before has been answered.
func (w *walker) commands(act int, right bool) []func() domain.Command {
	login := func() domain.Command {
		return domain.StartAuthentication{UserID: w.id, Purpose: domain.PurposeLogin, Platform: domain.TWS, PrimaryVerified: true}
	}
	mistype := func() domain.Command {
		return domain.StartAuthentication{UserID: w.id, Purpose: domain.PurposeLogin, Platform: domain.TWS}
	}
	respond := func() domain.Command { return domain.SubmitResponse{ChallengeID: w.challenge} }
	decide := func() domain.Command {
		return domain.DecidePush{ChallengeID: w.challenge, InstallationID: w.installation, Document: "{}", Signature: "c2ln"}
	}
	list := func(commands ...func() domain.Command) []func() domain.Command { return commands }
	one := func(c domain.Command) []func() domain.Command {
		return list(func() domain.Command { return c })
	}
	switch act {
	case 0, 1:
		return list(
			func() domain.Command {
				return domain.AddPhone{UserID: w.id, CC: "DE", Number: domain.Clear("+49151"), Line: domain.LineMobile}
			},
			func() domain.Command { return domain.StartPhoneVerification{PhoneID: w.phone} },
			func() domain.Command { return domain.ConfirmPhone{VerificationID: w.verification} },
			func() domain.Command { return domain.EvaluateAutoSMS{UserID: w.id, PhoneID: w.phone} },
		)
	case 2, 3:
		return list(
			func() domain.Command {
				return domain.StartAuthentication{UserID: w.id, Purpose: domain.PurposeActivation, Platform: domain.IBKRMobileIOS, PrimaryVerified: true}
			},
			func() domain.Command {
				return domain.StartEnrollment{UserID: w.id, Kind: domain.KindIBKey, InstallationID: w.installation, TxnID: w.txn}
			},
			func() domain.Command { return domain.SubmitActivationCode{EnrollmentID: w.enrollment} },
			func() domain.Command {
				return domain.CompleteEnrollment{EnrollmentID: w.enrollment, UV: domain.UVFaceID}
			},
		)
	case 4, 5:
		return list(login, respond, decide)
	case 6:
		return list(login)
	case 7:
		return list(respond, decide)
	case 8:
		return list(mistype, mistype, mistype, mistype, mistype)
	case 9, 10:
		return one(domain.RequestOptOut{UserID: w.id, RequestedBy: w.id, AgreementVersion: "2024-01", Acknowledged: right})
	case 11:
		return one(domain.OptBackIn{UserID: w.id, By: w.id})
	case 12:
		return list(
			func() domain.Command {
				return domain.VerifyIdentityByPhone{UserID: w.id, AgentRef: "agent-7", Method: "phone_questions"}
			},
			func() domain.Command { return domain.UnlockUser{UserID: w.id} },
		)
	case 13:
		return one(domain.RecordResidence{UserID: w.id, To: map[bool]string{true: "CH", false: "FR"}[right], EffectiveOn: w.l.now.Format(time.DateOnly)})
	case 14:
		return one(domain.SetSeamless{UserID: w.id, Enabled: right})
	case 15:
		return one(domain.RemovePhone{PhoneID: w.phone, Reason: "user_request"})
	}
	return list(login, func() domain.Command {
		return domain.RequestFallback{ChallengeID: w.challenge, Cause: domain.CauseNoInternet}
	}, respond)
}

func (w *walker) learn(e domain.Event) {
	switch e := e.(type) {
	case domain.PhoneNumberAdded:
		w.phone = e.PhoneID
	case domain.PhoneVerificationStarted:
		w.verification = e.VerificationID
	case domain.EnrollmentStarted:
		w.enrollment = e.EnrollmentID
	case domain.AuthenticationStarted:
		w.txn = e.TxnID
	case domain.ChallengeIssued:
		w.challenge = e.ChallengeID
	}
}

// TestStateAtTimeBoundary: what was recorded at the very microsecond asked for
// was known, what was recorded one later was not.
func TestStateAtTimeBoundary(t *testing.T) {
	t.Parallel()
	l, userID := story(t)
	for r, err := range l.store.ReadStream(t.Context(), domain.UserStream(userID), 0) {
		if err != nil {
			t.Fatal(err)
		}
		last := eventstore.Revision(0) // of the events recorded at the same moment
		for s := range l.store.ReadStream(t.Context(), domain.UserStream(userID), r.Revision) {
			if s.RecordedAt.Equal(r.RecordedAt) {
				last = s.Revision
			}
		}
		at := stateAt(t, l, userID, AtTime(r.RecordedAt.Add(999*time.Nanosecond)))
		if at.Last == nil || at.Last.Revision != last || !at.AsOf.Equal(r.RecordedAt) {
			t.Fatalf("at the moment of revision %d: last event %+v, as of %s", r.Revision, at.Last, at.AsOf)
		}
		before := stateAt(t, l, userID, AtTime(r.RecordedAt.Add(-time.Microsecond)))
		if before.Last != nil && before.Last.Revision >= r.Revision {
			t.Fatalf("a microsecond before revision %d: last event %+v", r.Revision, before.Last)
		}
	}
}

func stateAt(t *testing.T, l *ledger, userID string, p Point) Result {
	t.Helper()
	r, err := StateAt(t.Context(), l.store, codec.New(nil), l.policy, userID, p)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestStateIsLookedAtThePoint: nothing happens when a lock ends, and yet the
// state later says so.
func TestStateIsLookedAtThePoint(t *testing.T) {
	t.Parallel()
	l, userID := story(t)
	until := l.user(userID).LockedUntil(l.now)
	if until.IsZero() {
		t.Fatal("the story does not end with a lock")
	}
	locked, over := stateAt(t, l, userID, AtTime(until.Add(-time.Microsecond))), stateAt(t, l, userID, AtTime(until))
	if !locked.State.Locked || over.State.Locked || locked.Last.Sequence != over.Last.Sequence {
		t.Errorf("locked %t before and %t at the end of the lock", locked.State.Locked, over.State.Locked)
	}
	if locked.State.FailureCount != 10 || over.State.FailureCount != 0 {
		t.Errorf("failures %d before and %d at the end of the lock, want 10 and 0", locked.State.FailureCount, over.State.FailureCount)
	}
}

// TestStateAtAnotherStreamsRecord: @n means the whole log, so the moment comes
// from record n even when somebody else's story holds it.
func TestStateAtAnotherStreamsRecord(t *testing.T) {
	t.Parallel()
	l, userID := story(t)
	end := l.head()
	l.wait(48 * time.Hour)
	l.must(domain.RegisterClient{ClientID: codec.ClientIDOf("other"), Kind: domain.Individual, CarryingEntity: "IB-IE", CarryingCC: "IE"}, domain.Facts{})
	locked, later := stateAt(t, l, userID, AtSequence(end)), stateAt(t, l, userID, AtSequence(end+1))
	if !locked.State.Locked || later.State.Locked || later.Last.Sequence != end || !later.AsOf.Equal(l.now) {
		t.Errorf("at @%d: locked %t, last @%d, as of %s, want the time %s of that record", end+1, later.State.Locked, later.Last.Sequence, later.AsOf, l.now)
	}
}

func TestStateAtNewest(t *testing.T) {
	t.Parallel()
	l, userID := story(t)
	ahead := stateAt(t, l, userID, Newest(l.now.Add(-time.Hour)))
	if !ahead.AsOf.Equal(ahead.Last.RecordedAt) || ahead.Last.Sequence != l.head() {
		t.Errorf("a log ahead of the clock: as of %s, last @%d", ahead.AsOf, ahead.Last.Sequence)
	}
	if r := stateAt(t, l, userID, Newest(l.now.Add(time.Hour))); !r.AsOf.Equal(l.now.Add(time.Hour)) {
		t.Errorf("as of %s, want the clock's %s", r.AsOf, l.now.Add(time.Hour))
	}
}

func TestStateBeforeRegistration(t *testing.T) {
	t.Parallel()
	l, userID := story(t)
	for _, p := range []Point{AtTime(l.now.Add(-24 * time.Hour)), AtSequence(1)} {
		r := stateAt(t, l, userID, p)
		if r.Known || r.State != nil || r.Last != nil || r.Events != 0 || len(r.Parts) != 0 {
			t.Errorf("at %s: %+v", p, r)
		}
	}
}

func TestStateAtRefusesWhatIsNotThere(t *testing.T) {
	t.Parallel()
	l, userID := story(t)
	for name, test := range map[string]struct {
		user  string
		point Point
		want  error
	}{
		"a user nobody registered":   {codec.UserIDOf("nobody"), AtTime(l.now), ErrNotFound},
		"a record after the last":    {userID, AtSequence(l.head() + 1), ErrNotFound},
		"an id that is not a user's": {codec.ClientIDOf("acme"), AtTime(l.now), ErrUsage},
		"no point":                   {userID, Point{}, ErrUsage},
	} {
		if _, err := StateAt(t.Context(), l.store, l.codec, l.policy, test.user, test.point); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}

// TestFoldGivesTheDomainsState: callers of FoldUser ask the domain themselves.
func TestFoldGivesTheDomainsState(t *testing.T) {
	t.Parallel()
	l, userID := story(t)
	f, err := FoldUser(t.Context(), l.store, codec.New(nil), userID, AtSequence(l.head()))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(l.user(userID).Snapshot(l.now, l.policy), f.User.Snapshot(l.now, l.policy)); diff != "" || !f.Known {
		t.Errorf("known %t, state (-written +folded):\n%s", f.Known, diff)
	}
}

// broken is a reader that fails, or ends its context, after some records.
type broken struct {
	eventstore.Reader
	after int
	err   error
}

func (b broken) ReadStream(ctx context.Context, stream string, from eventstore.Revision) iter.Seq2[eventstore.Record, error] {
	return func(yield func(eventstore.Record, error) bool) {
		n := 0
		for r, err := range b.Reader.ReadStream(ctx, stream, from) {
			if n++; n > b.after {
				yield(eventstore.Record{}, b.err)
				return
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

func TestReadersErrorPassesThrough(t *testing.T) {
	t.Parallel()
	l, userID := story(t)
	for _, after := range []int{0, 3} {
		r := broken{Reader: l.store, after: after, err: eventstore.ErrUnavailable}
		if got, err := StateAt(t.Context(), r, l.codec, l.policy, userID, AtTime(l.now)); !errors.Is(err, eventstore.ErrUnavailable) || got.State != nil {
			t.Errorf("after %d records: %v with state %v", after, err, got.State)
		}
		n := 0
		var last error
		for _, err := range Timeline(t.Context(), r, l.codec, userID, Filter{}) {
			n, last = n+1, err
		}
		if n != after+1 || !errors.Is(last, eventstore.ErrUnavailable) {
			t.Errorf("timeline after %d records: %d pairs, the last with %v", after, n, last)
		}
	}
}

func TestEndedContext(t *testing.T) {
	t.Parallel()
	l, userID := story(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := StateAt(ctx, l.store, l.codec, l.policy, userID, AtTime(l.now)); !errors.Is(err, context.Canceled) {
		t.Errorf("state with an ended context: %v", err)
	}
}
