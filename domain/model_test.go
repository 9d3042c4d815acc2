package domain

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestRulesHoldWhateverHappens runs random commands with random evidence under
// a clock that jumps to where the boundaries are. After every command the
// auditor of audit_test.go has read the new events, and the state Decide was
// given equals one it never saw.
func TestRulesHoldWhateverHappens(t *testing.T) {
	t.Parallel()
	policy, err := LoadPolicy()
	if err != nil {
		t.Fatalf("load the policy: %v", err)
	}
	reached := map[reflect.Type]int{}
	rapid.Check(t, func(rt *rapid.T) {
		m := newModel(rt, policy)
		for range rapid.IntRange(100, 250).Draw(rt, "commands") {
			m.step()
		}
		if m.boolean("leaves") {
			m.leave()
		}
		m.s.audit()
		m.foldAgain()
		for _, r := range m.s.logs[UserStream(aliceID)] {
			reached[reflect.TypeOf(r.Event)]++
		}
	})
	for kind, n := range reached {
		t.Logf("%6d %s", n, kind.Name())
	}
	for _, e := range mustBeReached {
		if reached[reflect.TypeOf(e)] == 0 && !t.Failed() {
			t.Errorf("no history reached %s", names([]Event{e}))
		}
	}
}

// mustBeReached are events of the rules that matter most: they are only held
// if histories get that far. Each is reached ten times and more in a hundred
// histories, so that its absence is no accident.
var mustBeReached = []Event{
	AuthenticationSucceeded{}, SecondFactorWaived{}, ChallengeExhausted{}, UserLocked{}, OptOutRevoked{}, OptOutDenied{}, RevocationRefused{},
	AuthenticatorRevoked{}, AuthenticatorSuspended{}, AuthenticatorReactivated{}, AuthenticatorReportedLost{}, DevicePINChanged{},
	VoiceCallRequested{}, VoiceCallPlaced{}, PhysicalDeviceRequested{}, PhysicalDeviceShipped{}, TemporaryPasscodeIssued{},
	TemporaryCredentialDelivered{}, TemporaryCredentialCollected{}, OnlineCodeCardIssued{}, SecurityCodeCardIssued{}, MigrationStarted{},
	MigrationProofAccepted{}, MigrationCompleted{}, MigrationExpired{}, RecoveryStarted{}, RecoveryProofAccepted{}, RecoveryCompleted{},
	UnificationOffered{}, DeviceSharingGranted{}, DeviceSharingDenied{}, ChallengeExpired{}, ChallengeCancelled{},
	ErasureRefused{}, ProcessingRestricted{}, PersonalDataErased{}, LegalHoldPlaced{}, LegalHoldReleased{}, PersonalDataRevealed{}, EventAnnotated{},
}

// model draws commands for Alice's stream and the streams hers depends on.
type model struct {
	rt      *rapid.T
	s       *story
	auditor *auditor
	read    int
	steps   int
	thief   bool                // somebody without the secrets tries beside the user
	lawful  bool                // the rule book changes
	goal    goal                // what the user wants at the moment
	ids     map[string][]string // by prefix, in order of issue
}

func newModel(rt *rapid.T, p *Policy) *model {
	m := &model{rt: rt, s: newStory(rt, p), ids: map[string][]string{}}
	m.auditor = newAuditor(m.s.policies())
	m.s.now = rapid.SampledFrom([]time.Time{
		time.Date(2017, 10, 26, 15, 50, 0, 0, time.UTC), time.Date(2018, 4, 26, 15, 0, 0, 0, time.UTC), time.Date(2024, 3, 1, 9, 0, 0, 0, time.UTC),
	}).Draw(rt, "start")
	m.thief, m.lawful = m.boolean("thief"), m.boolean("rules change")
	kind := rapid.SampledFrom([]ClientKind{Individual, Individual, Joint, Organisation}).Draw(rt, "client")
	role := rapid.SampledFrom([]Role{RoleOwner, RoleOwner, RoleDelegate, RoleSecurityOfficer}).Draw(rt, "role")
	home := m.country("home")
	m.s.and(client(kind, m.country("carrying"), m.country("domicile")), registered(role, home))
	m.s.and(foreignClient(m.country("foreign")), unit(cardID), unit(otherCardID))
	m.install(rapid.SampledFrom([]App{AppIBKRMobile, AppIBKeyStandalone}).Draw(rt, "app"))
	if m.lawful {
		m.s.and(parameter(pSCCIssue, 1), parameter(pSharingReview, int64(rapid.IntRange(0, 1).Draw(rt, "review"))))
	}
	m.colleague()
	m.beginning()
	if m.boolean("opt-out at once") {
		m.s.when(optOut())
	}
	m.audit()
	return m
}

// thirdID is another app on the handset of the iPhone's.
const thirdID = PrefixInstallation + "_00000000000000000000000003"

// install puts apps on two handsets: two on an iPhone, of which the first may
// be a standalone one, and one on an Android phone.
func (m *model) install(first App) {
	m.s.when(RegisterInstallation{InstallationID: iphoneID, App: first, OS: IOS, HandsetID: "one", PublicKey: "1"})
	m.s.when(RegisterInstallation{InstallationID: thirdID, App: AppIBKRMobile, OS: IOS, HandsetID: "one", PublicKey: "3"})
	m.s.and(installation(pixelID, Android))
}

// colleague is Bob, of the same client or not, who may own a card.
func (m *model) colleague() {
	of := rapid.SampledFrom([]string{clientID, clientID, otherID}).Draw(m.rt, "Bob's client")
	owns := m.boolean("Bob has a card")
	m.s.and(as(bobID, func(s *story) {
		s.when(RegisterUser{UserID: bobID, ClientID: of, Role: RoleHolder, Residence: "DE"}).and(sms)
		if owns {
			s.and(dscPlus(otherCardID))
		}
	}))
}

// beginning is how far Alice has come.
func (m *model) beginning() {
	begun := [][]step{
		{activated(pixelID, UVFingerprint)}, {activated(iphoneID, UVFaceID)}, {enrolled}, {enrolled}, {enrolled, dscPlus(cardID)},
		{activated(pixelID, UVAppPIN), dscPlus(cardID)}, {activated(iphoneID, UVFaceID), dscPlus(cardID)}, {}, nil,
	}
	if m.lawful {
		begun = append(begun, []step{enrolled, printedCard}, []step{enrolled, printedCard})
	}
	if steps := rapid.SampledFrom(begun).Draw(m.rt, "begun"); steps != nil {
		m.s.and(verifiedPhone, later(time.Minute)).and(steps...)
	}
}

// activated has IB Key active on an installation that is there already.
func activated(id string, uv UV) step {
	return func(s *story) {
		s.t.Helper()
		s.and(activationAccepted(id)).when(CompleteEnrollment{EnrollmentID: s.id(PrefixEnrollment), UV: uv})
		must[AuthenticatorEnrolled](s)
	}
}

// enrolled is what the reaction makes of a verified phone.
func enrolled(s *story) {
	s.t.Helper()
	s.when(EvaluateAutoSMS{UserID: s.who, PhoneID: s.id(PrefixPhone)}).then(AuthenticatorEnrolled{Kind: KindSMS})
}

func (m *model) country(label string) string {
	return rapid.SampledFrom([]string{"DE", "DE", "IE", "HK", "IN", "JP"}).Draw(m.rt, label)
}

// jumps lead to either side of every duration in the rules.
var jumps = []time.Duration{
	0, 0, 0, time.Millisecond, time.Second, 20 * time.Second, 2*time.Minute - time.Millisecond, 2 * time.Minute, 3 * time.Minute,
	5 * time.Minute, 10*time.Minute - time.Millisecond, 10 * time.Minute, 30 * time.Minute, time.Hour, 24*time.Hour - time.Millisecond, 24 * time.Hour, 40 * 24 * time.Hour,
}

func (m *model) step() {
	if rapid.IntRange(0, 2).Draw(m.rt, "wait") == 2 {
		m.s.after(rapid.SampledFrom(jumps).Draw(m.rt, "jump"))
	}
	m.steps++
	c, proof := m.command(), evidence(nil)
	if next, right := m.sensible(); next != nil && !m.boolean("something else") {
		c, proof = next, right
	} else {
		proof = m.evidence(c)
	}
	m.s.when(c, proof)
	if m.s.err != nil && len(m.s.got) != 0 {
		m.rt.Fatalf("%s answered an error and events", c.Name())
	}
	m.audit()
}

// audit reads what was appended to Alice's stream and notes the ids.
func (m *model) audit() {
	log := m.s.logs[UserStream(aliceID)]
	for ; m.read < len(log); m.read++ {
		m.auditor.see(log[m.read])
		for _, id := range idsIn(log[m.read].Event) {
			if ref, ok := ParseRef(id); ok && ref.Key == ownKey && ref.N > 0 && !slices.Contains(m.ids[ref.Prefix], id) {
				m.ids[ref.Prefix] = append(m.ids[ref.Prefix], id)
			}
		}
	}
	for _, finding := range m.auditor.findings {
		m.rt.Fatal(finding)
	}
}

// id is mostly the newest of its kind, at times an older one, rarely invented
// or somebody else's.
func (m *model) id(prefix string) string {
	known := m.ids[prefix]
	choice := rapid.IntRange(0, 19).Draw(m.rt, "which "+prefix)
	switch {
	case choice == 0:
		return prefix + "_" + otherKey + "_3"
	case choice == 1 || len(known) == 0:
		return prefix + "_" + ownKey + "_9000"
	case choice < 6:
		return rapid.SampledFrom(known).Draw(m.rt, prefix)
	}
	return known[len(known)-1]
}

// command draws a move. Generated numbers lean towards zero, so the place that
// zero stands for moves on with every step.
func (m *model) command() Command {
	i := rapid.IntRange(0, len(moves)-1).Draw(m.rt, "move")
	return moves[(i+m.steps*7)%len(moves)](m)
}

// evidence is drawn, with a lean towards what is right.
func (m *model) evidence(c Command) evidence {
	seq := rapid.IntRange(0, 2).Draw(m.rt, "seq")
	if m.boolean("right code") {
		seq = m.newestSeq(c)
	}
	right := m.boolean("right response")
	push := PushEvidence{
		Authentic: m.often("authentic"), Approve: m.often("approve"), NumberGiven: m.often("number given"), NumberMatched: m.boolean("number"), UV: m.uv(),
	}
	mine := m.often("own record")
	wellFormed, busy, pin, handover := m.often("well formed"), !m.often("quiet"), m.often("four digits"), m.boolean("handover")
	dice := [2]uint32{rapid.Uint32().Draw(m.rt, "die"), rapid.Uint32().Draw(m.rt, "other die")}
	actor := rapid.SampledFrom([]Actor{{Kind: ActorClient}, {Kind: ActorAgent}, {Kind: ActorCompliance, Ref: "one"}, {Kind: ActorCompliance, Ref: "two"}}).Draw(m.rt, "actor")
	return func(f *Facts) {
		f.Code = CodeEvidence{LenOK: wellFormed, CharsetOK: true, MatchedSeq: seq, Matched: right}
		if right {
			f.Code.OCRAStep = uint64(m.s.now.Unix() / 60)
		}
		if f.Device != nil && right {
			f.Code.OCRAStep, f.Code.NextCounter = 0, f.Device.NextCounter+1
		}
		f.Push, f.Dice, f.PINConforms, f.Handover, f.Actor = push, dice, pin, handover, actor
		if busy {
			f.SMSLastHour = 10
		}
		f.Record = &RecordFacts{Stream: UserStream(bobID), Fields: []string{"number"}}
		if mine {
			f.Record.Stream = UserStream(aliceID)
		}
		f.Requester = &RequesterFacts{UserID: bobID, ClientID: clientID, Role: RoleOwner}
	}
}

// newestSeq is the number of the code that would be right.
func (m *model) newestSeq(c Command) int {
	var codes []Issued
	switch c := c.(type) {
	case ConfirmPhone:
		v, _ := m.s.user().Verification(c.VerificationID)
		codes = v.Codes
	case SubmitActivationCode:
		e, _ := m.s.user().Enrollment(c.EnrollmentID)
		codes = e.Codes
	case ProveMigration:
		move, _ := m.s.user().Migration(c.MigrationID)
		codes = move.Codes
	case ProveRecovery:
		r, _ := m.s.user().Recovery(c.RecoveryID)
		codes = r.Codes
	case SubmitResponse:
		ch, _ := m.s.user().Challenge(c.ChallengeID)
		codes = ch.Codes
	}
	if len(codes) == 0 {
		return 0
	}
	return codes[len(codes)-1].Seq
}

// foldAgain compares what people see of the state, and the next decisions, with
// those of a state folded from the start.
func (m *model) foldAgain() {
	fresh := newUser(aliceID)
	for _, r := range m.s.logs[UserStream(aliceID)] {
		fresh.Apply(r.Event, r.At)
	}
	if diff := cmp.Diff(fresh.Snapshot(m.s.now, m.s.current()), m.s.user().Snapshot(m.s.now, m.s.current())); diff != "" {
		m.rt.Fatalf("snapshots differ:\n%s", diff)
	}
	for range 5 {
		c := m.command()
		if NewState(c.Stream()) == nil || c.Stream() != UserStream(aliceID) {
			continue
		}
		f := m.s.facts(c, []evidence{m.evidence(c)})
		a, errA := Decide(fresh, c, f, m.s.now, m.s.current())
		b, errB := Decide(m.s.user(), c, f, m.s.now, m.s.current())
		if !reflect.DeepEqual(a, b) || !reflect.DeepEqual(errA, errB) {
			m.rt.Fatalf("%s decided %s, %v and %s, %v", c.Name(), names(a), errA, names(b), errB)
		}
	}
}
