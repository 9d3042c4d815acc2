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
		for range rapid.IntRange(30, 200).Draw(rt, "commands") {
			m.step()
		}
		m.s.audit()
		m.foldAgain()
		for _, r := range m.s.logs[UserStream(aliceID)] {
			reached[reflect.TypeOf(r.Event)]++
		}
	})
	// The rules that matter most are only held if histories get that far.
	for _, e := range []Event{AuthenticationSucceeded{}, SecondFactorWaived{}, ChallengeExhausted{}, UserLocked{}, AuthenticatorRevoked{}} {
		if reached[reflect.TypeOf(e)] == 0 && !t.Failed() {
			t.Errorf("no history reached %s", names([]Event{e}))
		}
	}
}

// model draws commands for Alice's stream and the streams hers depends on.
type model struct {
	rt      *rapid.T
	s       *story
	auditor *auditor
	read    int
	steps   int
	thief   bool                // somebody without the secrets tries beside the user
	ids     map[string][]string // by prefix, in order of issue
}

func newModel(rt *rapid.T, p *Policy) *model {
	m := &model{rt: rt, s: newStory(rt, p), ids: map[string][]string{}}
	m.auditor = newAuditor(m.s.policies())
	m.s.now = rapid.SampledFrom([]time.Time{
		time.Date(2017, 10, 26, 15, 50, 0, 0, time.UTC), time.Date(2018, 4, 26, 15, 0, 0, 0, time.UTC), time.Date(2024, 3, 1, 9, 0, 0, 0, time.UTC),
	}).Draw(rt, "start")
	m.thief = m.boolean("thief")
	kind := rapid.SampledFrom([]ClientKind{Individual, Individual, Joint, Organisation}).Draw(rt, "client")
	role := rapid.SampledFrom([]Role{RoleOwner, RoleOwner, RoleDelegate, RoleSecurityOfficer}).Draw(rt, "role")
	home := m.country("home")
	m.s.and(client(kind, m.country("carrying"), m.country("domicile")), registered(role, home))
	m.s.and(foreignClient(m.country("foreign")), installation(iphoneID, IOS))
	begun := [][]step{{ibKeyOn(pixelID, Android, UVFingerprint)}, {sms}, {sms}, {}, nil}
	if steps := rapid.SampledFrom(begun).Draw(rt, "begun"); steps != nil {
		m.s.and(verifiedPhone, later(time.Minute)).and(steps...)
	}
	if m.boolean("opt-out at once") {
		m.s.when(optOut())
	}
	m.audit()
	return m
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
	if rapid.IntRange(0, 2).Draw(m.rt, "wait") == 0 {
		m.s.after(rapid.SampledFrom(jumps).Draw(m.rt, "jump"))
	}
	m.steps++
	c, proof := m.command(), evidence(nil)
	if next, right := m.sensible(); next != nil && m.boolean("sensible") {
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

// sensible is what an honest user would do next, with the evidence for it: the
// way into the states that chance alone hardly reaches. It may be nothing.
func (m *model) sensible() (Command, evidence) {
	u, now := m.s.user(), m.s.now
	if m.thief && m.often("thief's turn") {
		return m.attempt()
	}
	if id := m.newest(PrefixEnrollment); id != "" {
		switch e, _ := u.Enrollment(id); {
		case e.Done || e.Closed || len(e.Codes) == 0:
		case !e.Accepted:
			return SubmitActivationCode{EnrollmentID: id}, code(e.Codes[len(e.Codes)-1].Seq)
		case e.OS == Android:
			return CompleteEnrollment{EnrollmentID: id, UV: UVAppPIN}, code(0)
		default:
			return CompleteEnrollment{EnrollmentID: id, UV: UVFaceID}, code(0)
		}
	}
	if id := m.newest(PrefixTransaction); id != "" {
		if t, _ := u.Transaction(id); t.EnrollOnly && !t.Closed && now.Before(t.ExpiresAt) && m.newest(PrefixEnrollment) == "" {
			return StartEnrollment{UserID: aliceID, Kind: KindIBKey, InstallationID: iphoneID, TxnID: id}, code(0)
		}
	}
	if id := m.newest(PrefixChallenge); id != "" {
		switch c, _ := u.Challenge(id); {
		case !c.Open(now):
		case c.Mode == ModePush && m.boolean("offline"):
			return RequestFallback{ChallengeID: id, Cause: CauseNoInternet}, code(0)
		case c.Mode == ModePush:
			return DecidePush{ChallengeID: id, InstallationID: c.InstallationID, Document: "d", Signature: "s"}, approved(UVFingerprint)
		case c.Mode == ModeSMSCode && len(c.Codes) > 0:
			return SubmitResponse{ChallengeID: id}, code(c.Codes[len(c.Codes)-1].Seq)
		case c.Mode == ModeChallengeResponse:
			return SubmitResponse{ChallengeID: id}, ocra(m.boolean("knows"))
		}
	}
	return nil, nil
}

// attempt is what somebody without the secrets would try next.
func (m *model) attempt() (Command, evidence) {
	id := m.newest(PrefixChallenge)
	c, _ := m.s.user().Challenge(id)
	switch {
	case !c.Open(m.s.now):
		return StartAuthentication{UserID: aliceID, Purpose: PurposeLogin, Platform: TWS, PrimaryVerified: m.boolean("knows the password")}, code(0)
	case c.Mode == ModePush:
		return DecidePush{ChallengeID: id, InstallationID: c.InstallationID}, declined
	}
	return SubmitResponse{ChallengeID: id}, code(0)
}

func (m *model) newest(prefix string) string {
	if ids := m.ids[prefix]; len(ids) > 0 {
		return ids[len(ids)-1]
	}
	return ""
}

func (m *model) boolean(label string) bool { return rapid.Bool().Draw(m.rt, label) }

// often is true in nine cases of ten.
func (m *model) often(label string) bool { return rapid.IntRange(0, 9).Draw(m.rt, label) < 9 }

func (m *model) date() string {
	days := rapid.IntRange(-400, 40).Draw(m.rt, "days")
	return m.s.now.AddDate(0, 0, days).Format(time.DateOnly)
}

func (m *model) client() string {
	return rapid.SampledFrom([]string{clientID, otherID}).Draw(m.rt, "whose")
}

func (m *model) installation() string {
	return rapid.SampledFrom([]string{iphoneID, pixelID}).Draw(m.rt, "app")
}

func (m *model) uv() UV {
	return rapid.SampledFrom([]UV{UVFaceID, UVFaceID, UVFingerprint, UVAppPIN, UVNone}).Draw(m.rt, "uv")
}

func start(m *model) Command {
	return StartAuthentication{
		UserID: aliceID, Purpose: rapid.SampledFrom([]Purpose{PurposeLogin, PurposeLogin, PurposeActivation}).Draw(m.rt, "purpose"),
		Platform:        rapid.SampledFrom([]Platform{TWS, ClientPortal, WebTrader}).Draw(m.rt, "platform"),
		PrimaryVerified: m.boolean("password"), Defer: !m.often("at once"),
	}
}

func tap(m *model) Command {
	id := m.id(PrefixChallenge)
	phone := m.installation()
	if c, ok := m.s.user().Challenge(id); ok && m.often("own phone") {
		phone = c.InstallationID
	}
	return DecidePush{ChallengeID: id, InstallationID: phone, Document: "d", Signature: "s"}
}

// moves are the commands; those that make histories long come several times.
var moves = []func(*model) Command{
	start, start, start, start, tap, tap, tap,
	func(m *model) Command { return SubmitResponse{ChallengeID: m.id(PrefixChallenge)} },
	func(m *model) Command { return SubmitResponse{ChallengeID: m.id(PrefixChallenge)} },
	func(m *model) Command {
		return SubmitResponse{ChallengeID: m.id(PrefixChallenge), TxnID: m.id(PrefixTransaction)}
	},
	func(m *model) Command { return IssueChallenge{TxnID: m.id(PrefixTransaction)} },
	func(m *model) Command {
		return IssueChallenge{TxnID: m.id(PrefixTransaction), AuthenticatorID: m.id(PrefixAuthenticator)}
	},
	func(m *model) Command {
		return RequestFallback{ChallengeID: m.id(PrefixChallenge), Cause: CauseUnspecified}
	},
	func(m *model) Command { return ResendLoginCode{ChallengeID: m.id(PrefixChallenge)} },
	func(m *model) Command { return CancelChallenge{ChallengeID: m.id(PrefixChallenge)} },
	func(m *model) Command { return RecordPushSent{ChallengeID: m.id(PrefixChallenge)} },
	func(m *model) Command {
		return RecordPushFailed{ChallengeID: m.id(PrefixChallenge), Failure: "throttled"}
	},
	func(m *model) Command {
		return RecordPushOpened{ChallengeID: m.id(PrefixChallenge), InstallationID: m.installation()}
	},
	func(m *model) Command { return SetSeamless{UserID: aliceID, Enabled: m.often("seamless")} },
	func(m *model) Command {
		kind := rapid.SampledFrom([]Line{LineMobile, LineMobile, LineFixed}).Draw(m.rt, "line")
		return AddPhone{UserID: aliceID, CC: "DE", Number: Clear("+49"), Line: kind}
	},
	func(m *model) Command { return StartPhoneVerification{PhoneID: m.id(PrefixPhone)} },
	func(m *model) Command { return ResendConfirmCode{VerificationID: m.id(PrefixVerification)} },
	func(m *model) Command { return ConfirmPhone{VerificationID: m.id(PrefixVerification)} },
	func(m *model) Command { return ConfirmPhone{VerificationID: m.id(PrefixVerification)} },
	func(m *model) Command { return EvaluateAutoSMS{UserID: aliceID, PhoneID: m.id(PrefixPhone)} },
	func(m *model) Command {
		return ReplacePhone{OldPhoneID: m.id(PrefixPhone), NewPhoneID: m.id(PrefixPhone)}
	},
	func(m *model) Command { return RemovePhone{PhoneID: m.id(PrefixPhone), Reason: "client_request"} },
	func(m *model) Command { return RecordSMSDispatch{SMSID: m.id(PrefixSMS), Gateway: "g"} },
	func(m *model) Command { return RecordSMSUncertain{SMSID: m.id(PrefixSMS)} },
	func(m *model) Command { return RecordSMSSent{SMSID: m.id(PrefixSMS), AcceptedAt: m.s.now} },
	func(m *model) Command {
		return RecordSMSDelivered{SMSID: m.id(PrefixSMS), DeliveredAt: m.s.now, Receipt: "network"}
	},
	func(m *model) Command {
		return RecordSMSDeliveryFailed{SMSID: m.id(PrefixSMS), Failure: "roaming"}
	},
	func(m *model) Command { return RecordSMSSendFailed{SMSID: m.id(PrefixSMS)} },
	func(m *model) Command {
		return StartEnrollment{UserID: aliceID, Kind: KindIBKey, InstallationID: m.installation(), TxnID: m.id(PrefixTransaction)}
	},
	func(m *model) Command { return ResendActivationCode{EnrollmentID: m.id(PrefixEnrollment)} },
	func(m *model) Command { return SubmitActivationCode{EnrollmentID: m.id(PrefixEnrollment)} },
	func(m *model) Command { return SubmitActivationCode{EnrollmentID: m.id(PrefixEnrollment)} },
	func(m *model) Command { return CompleteEnrollment{EnrollmentID: m.id(PrefixEnrollment), UV: m.uv()} },
	func(m *model) Command { return CompleteEnrollment{EnrollmentID: m.id(PrefixEnrollment), UV: m.uv()} },
	func(m *model) Command { return AbandonEnrollment{EnrollmentID: m.id(PrefixEnrollment)} },
	func(m *model) Command { return VerifyIdentityByPhone{UserID: aliceID, AgentRef: "a", Method: "m"} },
	func(m *model) Command { return UnlockUser{UserID: aliceID} },
	func(m *model) Command {
		return RequestOptOut{
			UserID: aliceID, RequestedBy: rapid.SampledFrom([]string{aliceID, aliceID, bobID}).Draw(m.rt, "by"),
			AgreementVersion: "1", Acknowledged: m.often("agreed"),
		}
	},
	func(m *model) Command { return OptBackIn{UserID: aliceID, By: aliceID} },
	func(m *model) Command { return ReevaluateRegime{UserID: aliceID} },
	func(m *model) Command {
		return RecordResidence{UserID: aliceID, To: m.country("to"), EffectiveOn: m.date()}
	},
	func(m *model) Command {
		return GrantAccountAccess{UserID: aliceID, ClientID: m.client(), EffectiveOn: m.date()}
	},
	func(m *model) Command {
		return RevokeAccountAccess{UserID: aliceID, ClientID: m.client(), EffectiveOn: m.date()}
	},
	func(m *model) Command {
		return AssignCarryingEntity{ClientID: m.client(), CarryingCC: m.country("carrier"), EffectiveOn: m.date()}
	},
	func(m *model) Command {
		return AddHolder{ClientID: clientID, PersonRef: "p", Residence: m.country("holder"), EffectiveOn: m.date()}
	},
	func(m *model) Command {
		return RemoveHolder{ClientID: clientID, PersonRef: "p", EffectiveOn: m.date()}
	},
	func(m *model) Command {
		return RecordNotification{UserID: aliceID, Topic: "t", Channel: "email", Failed: m.boolean("failed")}
	},
	func(m *model) Command {
		if m.often("stays") {
			return start(m)
		}
		return CloseUser{UserID: aliceID, Reason: "r"}
	},
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
	wellFormed, busy := m.often("well formed"), !m.often("quiet")
	return func(f *Facts) {
		f.Code = CodeEvidence{LenOK: wellFormed, CharsetOK: true, MatchedSeq: seq, Matched: right}
		if right {
			f.Code.OCRAStep = uint64(m.s.now.Unix() / 60)
		}
		f.Push = push
		if busy {
			f.SMSLastHour = 10
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
	if diff := cmp.Diff(fresh.Snapshot(m.s.now, m.s.policy), m.s.user().Snapshot(m.s.now, m.s.policy)); diff != "" {
		m.rt.Fatalf("snapshots differ:\n%s", diff)
	}
	for range 5 {
		c := m.command()
		if NewState(c.Stream()) == nil || c.Stream() != UserStream(aliceID) {
			continue
		}
		f := m.s.facts(c, []evidence{m.evidence(c)})
		a, errA := Decide(fresh, c, f, m.s.now, m.s.policy)
		b, errB := Decide(m.s.user(), c, f, m.s.now, m.s.policy)
		if !reflect.DeepEqual(a, b) || !reflect.DeepEqual(errA, errB) {
			m.rt.Fatalf("%s decided %s, %v and %s, %v", c.Name(), names(a), errA, names(b), errB)
		}
	}
}
