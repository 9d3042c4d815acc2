package domain

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The language of the scenarios: a story is given steps, a moment, a command
// with its evidence, and then says which events were appended or which error
// was answered. Histories are made by running commands, so they are legal, and
// every story ends with an audit of its whole log (audit_test.go).

const (
	ownKey   = "0a1b2c3d4e5f6g7h8i9j0k1l2m"
	otherKey = "vvvvvvvvvvvvvvvvvvvvvvvvvv"
	aliceID  = PrefixUser + "_" + ownKey
	bobID    = PrefixUser + "_" + otherKey
	clientID = PrefixClient + "_" + ownKey
	otherID  = PrefixClient + "_" + otherKey
	iphoneID = PrefixInstallation + "_" + ownKey
	pixelID  = PrefixInstallation + "_" + otherKey
)

// record is one event, when it was decided, and in which append of the story.
type record struct {
	Event  Event
	At     time.Time
	Append int
}

// reporter is what a story needs of a test, so that generated ones can tell
// stories too.
type reporter interface {
	Helper()
	Error(args ...any)
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

type story struct {
	t      reporter
	policy *Policy
	now    time.Time
	who    string // the user whose steps these are; Alice unless a step says otherwise
	states map[string]State
	// folded are built from the same events but never shown to Decide: if they
	// differ from states, Decide changed what it was given.
	folded map[string]State
	logs   map[string][]record
	writes int // appends so far
	got    []Event
	err    error

	known     *Policy // of base with so many changes; see current
	base      *Policy
	knownUpTo int
}

// step is a piece of history.
type step func(*story)

// evidence adjusts the facts of one command.
type evidence func(*Facts)

// given starts a story on 2024-03-01 at 09:00 and lives through the steps.
func given(t testing.TB, steps ...step) *story {
	t.Helper()
	policy, err := LoadPolicy()
	if err != nil {
		t.Fatalf("load the policy: %v", err)
	}
	s := newStory(t, policy)
	t.Cleanup(func() { s.audit() })
	return s.and(steps...)
}

func newStory(t reporter, p *Policy) *story {
	return &story{
		t: t, policy: p, now: time.Date(2024, 3, 1, 9, 0, 0, 0, time.UTC), who: aliceID,
		states: map[string]State{}, folded: map[string]State{}, logs: map[string][]record{},
	}
}

// and lives through further steps.
func (s *story) and(steps ...step) *story {
	s.t.Helper()
	for _, live := range steps {
		live(s)
	}
	return s
}

// at sets the clock: "10:00:00.000" on the story's day, or a date with time.
func (s *story) at(clock string) *story {
	s.t.Helper()
	if !strings.Contains(clock, "T") {
		clock = s.now.Format(time.DateOnly) + "T" + clock + "Z"
	}
	at, err := time.Parse(time.RFC3339Nano, clock)
	if err != nil {
		s.t.Fatalf("clock %q: %v", clock, err)
	}
	s.now = at.UTC()
	return s
}

// after moves the clock on.
func (s *story) after(d time.Duration) *story {
	s.now = s.now.Add(d)
	return s
}

// when runs one command and appends what it decides.
func (s *story) when(c Command, facts ...evidence) *story {
	s.t.Helper()
	stream := c.Stream()
	state, ok := s.states[stream]
	if !ok {
		state = NewState(stream)
		if state == nil {
			s.t.Fatalf("%s names stream %q, which this package does not know", c.Name(), stream)
		}
		s.states[stream], s.folded[stream] = state, NewState(stream)
	}
	s.got, s.err = Decide(state, c, s.facts(c, facts), s.now, s.current())
	if !reflect.DeepEqual(state, s.folded[stream]) {
		s.t.Fatalf("deciding %s changed the state:\n%s", c.Name(), cmp.Diff(s.folded[stream], state, everything))
	}
	s.record(stream, s.got)
	return s
}

// current is the policy with the changes this story published.
func (s *story) current() *Policy {
	book, ok := s.states[PolicyStream()].(*PolicyBook)
	if !ok {
		return s.policy
	}
	if s.known == nil || s.base != s.policy || s.knownUpTo != book.Changes() {
		p, err := book.Policy(s.policy, time.Time{})
		if err != nil {
			s.t.Fatalf("policy of the rule book: %v", err)
		}
		s.known, s.base, s.knownUpTo = p, s.policy, book.Changes()
	}
	return s.known
}

// record appends events to a stream and applies them.
func (s *story) record(stream string, events []Event) {
	s.writes++
	for _, e := range events {
		s.states[stream].Apply(e, s.now)
		s.folded[stream].Apply(e, s.now)
		s.logs[stream] = append(s.logs[stream], record{Event: e, At: s.now, Append: s.writes})
	}
}

// append adds events to the user's stream that no command of this part makes.
func (s *story) append(events ...Event) { s.record(UserStream(s.who), events) }

var everything = cmp.Exporter(func(reflect.Type) bool { return true })

// facts gathers what the shell would: other streams' states and the code epoch.
func (s *story) facts(c Command, adjust []evidence) Facts {
	f := Facts{
		Kid: s.now.Format(time.DateOnly), Clients: map[string]*Client{}, Dice: [2]uint32{6, 11}, GridCommitment: "Z3JpZA", PINConforms: true,
		Actor: Actor{Kind: ActorClient, Ref: "test"},
	}
	for _, state := range s.states {
		if client, ok := state.(*Client); ok && client.Registered() {
			f.Clients[client.ID] = client
		}
	}
	if u, ok := s.states[c.Stream()].(*User); ok && u.Registered() {
		s.gather(&f, u, c)
	}
	if c, ok := c.(RecordDeviceShipped); ok {
		if u, known := s.states[UserStream(c.RequestID)].(*User); known {
			if r, ok := u.DeviceRequest(c.RequestID); ok {
				f.Request = &RequestFacts{Model: r.Model, Shipped: r.Shipped}
			}
		}
	}
	for _, change := range adjust {
		change(&f)
	}
	return f
}

// gather is what the shell reads of other streams for a command on a user.
func (s *story) gather(f *Facts, u *User, c Command) {
	if a, ok := u.IBKey(); ok {
		f.From = s.installation(a.InstallationID)
	}
	target := func(id string) { f.Installation = s.installation(id) }
	switch c := c.(type) {
	case StartEnrollment:
		target(c.InstallationID)
		f.Device = s.device(c.DeviceID)
	case CompleteEnrollment:
		e, _ := u.Enrollment(c.EnrollmentID)
		target(e.InstallationID)
	case StartMigration:
		target(c.InstallationID)
	case CompleteMigration:
		m, _ := u.Migration(c.MigrationID)
		target(m.InstallationID)
	case StartRecovery:
		target(c.InstallationID)
	case CompleteRecovery:
		r, _ := u.Recovery(c.RecoveryID)
		target(r.InstallationID)
	case DetectUnification:
		target(c.InstallationID)
		f.From = s.installation(c.StandaloneInstallationID)
	case CompleteUnification:
		n, _ := u.Unification(c.UnificationID)
		target(n.InstallationID)
	case AutoActivateDevice:
		f.Device = s.device(c.DeviceID)
	case SubmitResponse:
		ch, _ := u.Challenge(c.ChallengeID)
		f.Device = s.device(ch.DeviceID)
	case RequestDeviceSharing:
		f.Owner = s.owner(c.AuthenticatorID)
		if f.Owner != nil {
			f.Device = s.device(f.Owner.DeviceID)
		}
	case DecideDeviceSharing:
		sharing, _ := u.Sharing(c.SharingID)
		f.Device = s.device(sharing.DeviceID)
	}
}

// installation is what the shell says of an installation. Unlike the running
// product, which follows the log, it looks at the users' own states for who
// lives there.
func (s *story) installation(id string) *InstallationFacts {
	i, ok := s.states[InstallationStream(id)].(*Installation)
	if !ok || !i.Registered() {
		return nil
	}
	f := &InstallationFacts{
		ID: i.ID, App: i.App, OS: i.OS, HandsetID: i.HandsetID, PINPolicyVersion: i.PINPolicyVersion, PINViolation: i.PINViolation,
		Blocked: i.Blocked, Retired: i.Retired,
	}
	for _, state := range s.states {
		if u, ok := state.(*User); ok {
			if a, ok := u.IBKey(); ok && a.InstallationID == id && a.Active(s.now) {
				f.Users = append(f.Users, u.ID)
			}
		}
	}
	return f
}

func (s *story) device(id string) *DeviceFacts {
	v, ok := s.states[DeviceStream(id)].(*Device)
	if !ok || !v.Registered() {
		return nil
	}
	f := &DeviceFacts{
		ID: v.ID, Model: v.Model, Suite: v.Suite, NextCounter: v.NextCounter, RequestID: v.RequestID, Returned: v.Returned,
	}
	for _, state := range s.states {
		if u, ok := state.(*User); ok {
			if a := u.onDevice(id); a != nil {
				f.NextCounter, f.InUse = max(f.NextCounter, a.Counter), f.InUse || a.Active(s.now)
			}
		}
	}
	return f
}

func (s *story) owner(authenticatorID string) *OwnerFacts {
	u, ok := s.states[UserStream(authenticatorID)].(*User)
	if !ok {
		return nil
	}
	a, ok := u.Authenticator(authenticatorID)
	if !ok {
		return nil
	}
	f := &OwnerFacts{UserID: u.ID, ClientID: u.ClientID, Kind: a.Kind, DeviceID: a.DeviceID, Active: a.Active(s.now)}
	for _, other := range u.Authenticators(s.now) {
		f.Temporary = f.Temporary || other.Kind.Temporary()
		if other.Kind.Permanent() {
			f.BestRank = max(f.BestRank, other.Kind.Rank())
		}
	}
	return f
}

// user is the user's state.
func (s *story) user() *User {
	s.t.Helper()
	u, ok := s.states[UserStream(s.who)].(*User)
	if !ok {
		s.t.Fatal("there is no user in this story")
	}
	return u
}

// id is the newest id with this prefix in the user's stream.
func (s *story) id(prefix string) string {
	s.t.Helper()
	newest := uint64(0)
	for _, r := range s.logs[UserStream(s.who)] {
		for _, id := range idsIn(r.Event) {
			if ref, ok := ParseRef(id); ok && ref.Prefix == prefix && ref.Key == keyOf(s.who) && ref.N > newest {
				newest = ref.N
			}
		}
	}
	if newest == 0 {
		s.t.Fatalf("no id with prefix %s was given out", prefix)
	}
	return s.user().ref(prefix, newest)
}

// idsIn lists the string fields of an event.
func idsIn(e Event) []string {
	var out []string
	v := reflect.ValueOf(e)
	for i := 0; i < v.NumField(); i++ {
		if f := v.Field(i); f.Kind() == reflect.String {
			out = append(out, f.String())
		}
	}
	return out
}

// then asserts the events appended by the last command, in order. Fields left
// zero may take any value; the[E] looks at one event in full.
func (s *story) then(want ...Event) *story {
	s.t.Helper()
	if s.err != nil {
		s.t.Fatalf("error %v, want %d events", s.err, len(want))
	}
	if len(s.got) != len(want) {
		s.t.Fatalf("got %s, want %s", names(s.got), names(want))
	}
	for i := range want {
		if reflect.TypeOf(s.got[i]) != reflect.TypeOf(want[i]) {
			s.t.Fatalf("got %s, want %s", names(s.got), names(want))
		}
		differences(s.t, reflect.TypeOf(want[i]).Name(), reflect.ValueOf(want[i]), reflect.ValueOf(s.got[i]))
	}
	return s
}

// thenNothing asserts that the command was accepted and changed nothing.
func (s *story) thenNothing() *story {
	s.t.Helper()
	return s.then()
}

// thenError asserts that nothing was recorded and the caller got this code.
func (s *story) thenError(want Code) *story {
	s.t.Helper()
	var e *Error
	if !errors.As(s.err, &e) {
		s.t.Fatalf("got events %s and error %v, want error %s", names(s.got), s.err, want)
	}
	if e.Code != want || len(s.got) != 0 {
		s.t.Fatalf("got error %v and events %s, want error %s and nothing recorded", e, names(s.got), want)
	}
	return s
}

// differences reports the fields that the want names and got has otherwise.
func differences(t reporter, path string, want, got reflect.Value) {
	t.Helper()
	if want.IsZero() {
		return
	}
	if want.Kind() == reflect.Struct && want.Type() != reflect.TypeFor[time.Time]() && want.Type() != reflect.TypeFor[Personal]() {
		for i := 0; i < want.NumField(); i++ {
			differences(t, path+"."+want.Type().Field(i).Name, want.Field(i), got.Field(i))
		}
		return
	}
	if diff := cmp.Diff(want.Interface(), got.Interface(), everything); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func names(events []Event) string {
	out := make([]string, len(events))
	for i, e := range events {
		out[i] = reflect.TypeOf(e).Name()
		if reason := reasonOf(e); reason != "" {
			out[i] += "{" + string(reason) + "}"
		}
	}
	return "[" + strings.Join(out, " ") + "]"
}

// reasonOf is the reason code an event carries, or "".
func reasonOf(e Event) Code {
	if f := reflect.ValueOf(e).FieldByName("Reason"); f.IsValid() {
		if reason, ok := f.Interface().(Code); ok {
			return reason
		}
	}
	return ""
}

// the is the one event of its type among those the last command appended.
func the[E Event](s *story) E {
	s.t.Helper()
	var found []E
	for _, e := range s.got {
		if e, ok := e.(E); ok {
			found = append(found, e)
		}
	}
	if len(found) != 1 {
		s.t.Fatalf("got %s, want exactly one %s", names(s.got), reflect.TypeFor[E]().Name())
	}
	return found[0]
}

func moment(t reporter, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatalf("moment %q: %v", text, err)
	}
	return at.UTC()
}
