package replay

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strings"
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
	reached := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		l := newLedger(t)
		all := watch(l)
		live(t, l)
		for n, want := range *all {
			reached[want.record.Type]++
			explained(t, sameState(t, l, want))
			if n%5 == 0 {
				sameKnownLater(t, l, want)
			}
		}
		c, err := CheckDecisions(context.Background(), l.store, codec.New(nil), l.base)
		if err != nil || c.Differ != 0 || c.PolicyVersion[1] != l.policy.Version {
			t.Fatalf("decisions of an honest log: %+v, %v", c, err)
		}
	})
	// The flows matter only if histories get that far.
	for _, name := range []string{
		"VoiceCallPlaced", "AuthenticatorSuspended", "AuthenticatorReactivated", "PhysicalDeviceShipped", "OnlineCodeCardIssued", "TemporaryPasscodeIssued",
		"MigrationCompleted", "RecoveryCompleted", "UnificationCompleted", "DeviceSharingRequested", "OptOutRevoked", "UserClosed",
		"ProcessingRestricted", "PersonalDataErased", "LegalHoldPlaced",
	} {
		if reached[name] == 0 && !t.Failed() {
			t.Errorf("no history reached %s", name)
		}
	}
}

// sameState checks the state at a record against the one its writer had.
func sameState(t fataler, l *ledger, want seen) Result {
	t.Helper()
	userID := want.state.UserID
	got, err := StateAt(context.Background(), l.store, codec.New(nil), l.base, userID, AtSequence(want.record.Sequence))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(&want.state, got.State) { // cmp is slow, so only to tell the difference
		t.Fatal(fmt.Sprintf("state of %s at @%d (-written +replayed):\n%s", userID, want.record.Sequence, cmp.Diff(&want.state, got.State)))
	}
	if got.Last.Sequence != want.record.Sequence || got.Events != int(want.record.Revision)+1 || !got.AsOf.Equal(want.occurred) {
		t.Fatal(fmt.Sprintf("state at @%d: applied %d events up to @%d, looked at %s", want.record.Sequence, got.Events, got.Last.Sequence, got.AsOf))
	}
	return got
}

// sameKnownLater checks that whatever was recorded after a moment changes
// nothing of it but what is dated: of these users, their residence.
func sameKnownLater(t fataler, l *ledger, want seen) {
	t.Helper()
	p := AtSequence(want.record.Sequence)
	then, err1 := FoldUser(context.Background(), l.store, codec.New(nil), want.state.UserID, p)
	later, err2 := FoldUser(context.Background(), l.store, codec.New(nil), want.state.UserID, p.KnownBy(Newest(l.now)))
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	a, b := then.User.Snapshot(then.At, l.base), later.User.Snapshot(later.At, l.base)
	b.Residence = a.Residence
	if !reflect.DeepEqual(a, b) {
		t.Fatal(fmt.Sprintf("state at %s as known later (-then +later):\n%s", p, cmp.Diff(a, b)))
	}
}

// explained checks that each part of a state is set by events that fit it: the
// last of them is one of those named.
func explained(t fataler, r Result) {
	t.Helper()
	want := map[partKey]string{{name: PartUser}: "UserRegistered"}
	for _, p := range r.State.Phones {
		want[partKey{PartPhone, p.PhoneID}] = map[string]string{
			"added": "PhoneNumberAdded", "verified": "PhoneNumberVerified", "retired": "PhoneNumberRemoved PhoneNumberReplaced",
		}[p.Status]
	}
	for _, a := range r.State.Authenticators {
		last := "AuthenticatorEnrolled AuthenticatorReactivated UnificationCompleted AuthenticatorReportedLost" // which suspends next
		if a.Suspended != "" {
			last = "AuthenticatorSuspended AuthenticatorReportedLost UnificationCompleted"
		}
		want[partKey{PartAuthenticator, a.AuthenticatorID}] = last
	}
	for _, p := range r.State.Processes {
		want[partKey{PartProcess, p.ID}] = lastOf(p)
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
	if r.State.Closed {
		want[partKey{name: PartClosed}] = "UserClosed"
	}
	for _, h := range r.State.Holds {
		want[partKey{PartLegalHold, h.HoldID}] = "LegalHoldPlaced LegalHoldReleaseRequested"
	}
	switch {
	case r.State.Erased:
		want[partKey{name: PartPersonalData}] = "PersonalDataErased"
	case r.State.Restricted:
		want[partKey{name: PartPersonalData}] = "ProcessingRestricted"
	}
	failures := 0
	for _, p := range r.Parts {
		last := p.Events[len(p.Events)-1]
		if p.Name == PartFailures {
			failures = len(p.Events)
		}
		if types, ok := want[partKey{p.Name, p.ID}]; ok && !slices.Contains(strings.Fields(types), last.Type) {
			t.Fatal(fmt.Sprintf("%s %s at %s was set by %s, want %s", p.Name, p.ID, r.Point, last.Type, types))
		}
		delete(want, partKey{p.Name, p.ID})
		for i := 1; i < len(p.Events); i++ {
			if p.Events[i].Sequence <= p.Events[i-1].Sequence {
				t.Fatal(fmt.Sprintf("events of %s are out of order", p.Name))
			}
		}
	}
	if len(want) > 0 || failures != r.State.FailureCount {
		t.Fatal(fmt.Sprintf("at %s: unexplained %v; %d events for %d failures", r.Point, want, failures, r.State.FailureCount))
	}
}

// lastOf is the event that took a process to its step.
func lastOf(p domain.ProcessSnapshot) string {
	return map[string]string{
		"enrollment awaiting_code": "EnrollmentStarted", "enrollment awaiting_response": "EnrollmentStarted", "enrollment awaiting_uv": "ActivationCodeAccepted",
		"migration awaiting_proof": "MigrationStarted", "migration proved": "MigrationProofAccepted",
		"recovery awaiting_proof": "RecoveryStarted", "recovery proved": "RecoveryStarted RecoveryProofAccepted", // the original security element proves at once
		"unification offered": "UnificationOffered", "unification deferred": "UnificationDeferred",
		"device requested": "PhysicalDeviceRequested", "device shipped": "PhysicalDeviceShipped",
		"device_sharing requested": "DeviceSharingRequested", "device_sharing pending": "DeviceSharingPending",
		"code_card issued": "OnlineCodeCardIssued SecurityCodeCardIssued",
	}[p.Process+" "+p.Step]
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
	r, err := StateAt(t.Context(), l.store, codec.New(nil), l.base, userID, p)
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
		if _, err := StateAt(t.Context(), l.store, l.codec, l.base, test.user, test.point); !errors.Is(err, test.want) {
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
		if got, err := StateAt(t.Context(), r, l.codec, l.base, userID, AtTime(l.now)); !errors.Is(err, eventstore.ErrUnavailable) || got.State != nil {
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
	if _, err := StateAt(ctx, l.store, l.codec, l.base, userID, AtTime(l.now)); !errors.Is(err, context.Canceled) {
		t.Errorf("state with an ended context: %v", err)
	}
}
