package replay

import (
	"context"
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/memstore"
)

// boxer is a codec.Sealer whose boxes are easy to spot and hide their text.
type boxer struct{}

func (boxer) Seal(_ context.Context, subject string, id uuid.UUID, field string, clear []byte) (string, error) {
	return "box." + base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%s|%s|%s|%s", subject, id, field, clear)), nil
}

func (boxer) Open(context.Context, string, uuid.UUID, string, string) ([]byte, error) {
	return nil, fmt.Errorf("replay opens nothing")
}

// fataler is what a ledger needs of *testing.T and *rapid.T.
type fataler interface {
	Helper()
	Fatal(args ...any)
}

// ledger is a log under construction with the states its events add up to.
type ledger struct {
	t       fataler
	store   *memstore.Store
	codec   *codec.Codec
	base    *domain.Policy // built into the program
	policy  *domain.Policy // in force: the base with what the rule book's stream changed
	now     time.Time      // when commands are decided
	delay   time.Duration  // from decision to record
	states  map[string]domain.State
	last    map[string]eventstore.Expected
	count   byte
	written func(r eventstore.Record, occurredAt time.Time, s domain.State) // after each event
}

func newLedger(t fataler) *ledger {
	t.Helper()
	policy, err := domain.LoadPolicy()
	if err != nil {
		t.Fatal(err)
	}
	l := &ledger{
		t: t, codec: codec.New(boxer{}), base: policy, policy: policy, now: time.Date(2026, 3, 2, 9, 0, 0, 250_000_000, time.UTC), delay: 3210 * time.Microsecond,
		states: map[string]domain.State{}, last: map[string]eventstore.Expected{},
		written: func(eventstore.Record, time.Time, domain.State) {},
	}
	l.store = memstore.New(func() time.Time { return l.now.Add(l.delay) })
	return l
}

func (l *ledger) state(stream string) domain.State {
	if l.states[stream] == nil {
		l.states[stream] = domain.NewState(stream)
	}
	return l.states[stream]
}

func (l *ledger) user(id string) *domain.User { return l.state(domain.UserStream(id)).(*domain.User) }

// do decides and appends. A command the rules answer with an error appends
// nothing.
func (l *ledger) do(c domain.Command, f domain.Facts) []domain.Event {
	l.t.Helper()
	f.Kid = "c2026-03-02-1f0c9a7e"
	events, err := domain.Decide(l.state(c.Stream()), c, f, l.now, l.policy)
	if err != nil || len(events) == 0 {
		return nil
	}
	l.append(c.Stream(), c.Name(), events...)
	return events
}

// comply changes the rule book as compliance.
func (l *ledger) comply(c domain.Command) {
	l.t.Helper()
	l.must(c, domain.Facts{Actor: domain.Actor{Kind: domain.ActorCompliance, Ref: "officer-1"}})
}

// must is do for a command that has to lead to events.
func (l *ledger) must(c domain.Command, f domain.Facts) []domain.Event {
	l.t.Helper()
	events := l.do(c, f)
	if events == nil {
		l.t.Fatal("no events from " + c.Name())
	}
	return events
}

func (l *ledger) append(stream, command string, events ...domain.Event) {
	l.t.Helper()
	l.count++
	m := codec.Metadata{
		CommandID: uuid.NewSHA1(uuid.Nil, []byte{l.count, byte(len(l.last))}), Command: command, Digest: "d", Count: len(events), OccurredAt: l.now,
		CorrelationID: "story", Actor: domain.Actor{Kind: domain.ActorClient, Ref: "login-frontend"}, PolicyVersion: l.policy.Version, RequestID: "req-7",
		Source: domain.Source{Platform: domain.TWS, ClientVersion: "1030", IP: domain.Clear("192.0.2.44")},
	}
	m.CommandID = uuid.NewSHA1(m.CommandID, fmt.Appendf(nil, "%s %s %d", stream, l.now, len(l.last)))
	proposed := make([]eventstore.Proposed, len(events))
	for i, e := range events {
		var err error
		m.Ordinal = i
		if proposed[i], err = l.codec.Encode(context.Background(), stream, eventstore.EventIDOf(m.CommandID, i), e, m); err != nil {
			l.t.Fatal(err)
		}
	}
	l.raw(stream, proposed, events)
}

func (l *ledger) raw(stream string, proposed []eventstore.Proposed, events []domain.Event) {
	l.t.Helper()
	appended, err := l.store.Append(context.Background(), stream, l.last[stream], proposed)
	if err != nil {
		l.t.Fatal(err)
	}
	stamp := appended.Last()
	l.last[stream] = eventstore.At(stamp.Revision, stamp.Leaf)
	for i, e := range events {
		l.state(stream).Apply(e, l.now)
		if b, ok := l.state(stream).(*domain.PolicyBook); ok {
			if l.policy, err = b.Policy(l.base, time.Time{}); err != nil {
				l.t.Fatal(err)
			}
		}
		r, err := l.store.ByID(context.Background(), proposed[i].ID)
		if err != nil {
			l.t.Fatal(err)
		}
		l.written(r, l.now, l.state(stream))
	}
}

func (l *ledger) wait(d time.Duration) { l.now = l.now.Add(d) }

func (l *ledger) head() eventstore.Sequence {
	n, _, err := l.store.Head(context.Background())
	if err != nil {
		l.t.Fatal(err)
	}
	return n
}

// find is the first event of a type among those of a command.
func find[T domain.Event](t fataler, events []domain.Event) T {
	t.Helper()
	for _, e := range events {
		if e, ok := e.(T); ok {
			return e
		}
	}
	var none T
	t.Fatal(fmt.Sprintf("no %T among %d events", none, len(events)))
	return none
}

const reference = "acme/ada"

var (
	yes = domain.CodeEvidence{LenOK: true, CharsetOK: true, MatchedSeq: 1, Matched: true}
	no  = domain.CodeEvidence{LenOK: true, CharsetOK: true}
)

// story is a user's first morning: registration, a phone, SMS, IB Key on an
// iPhone, a login, a declined push, the opt-out and, at night, a lock.
func story(t *testing.T) (l *ledger, userID string) {
	t.Helper()
	l = newLedger(t)
	userID = codec.UserIDOf(reference)
	clientID, installation := codec.ClientIDOf("acme"), codec.InstallationIDOf([]byte("key"))
	l.must(domain.RegisterClient{ClientID: clientID, Kind: domain.Individual, CarryingEntity: "IB-IE", CarryingCC: "IE"}, domain.Facts{})
	l.must(domain.RegisterUser{
		UserID: userID, ClientID: clientID, Role: domain.RoleOwner, Username: domain.Clear("ada.lovelace"), Locale: "de-DE", Residence: "DE", EvidenceRef: "case-1",
	}, domain.Facts{})
	l.wait(time.Minute)
	phone := find[domain.PhoneNumberAdded](t, l.must(domain.AddPhone{UserID: userID, CC: "DE", Number: domain.Clear("+4915123456789"), Line: domain.LineMobile}, domain.Facts{})).PhoneID
	verification := find[domain.PhoneVerificationStarted](t, l.must(domain.StartPhoneVerification{PhoneID: phone}, domain.Facts{})).VerificationID
	l.wait(20 * time.Second)
	l.must(domain.ConfirmPhone{VerificationID: verification}, domain.Facts{Code: no})
	l.wait(10 * time.Second)
	l.must(domain.ConfirmPhone{VerificationID: verification}, domain.Facts{Code: yes})
	l.must(domain.EvaluateAutoSMS{UserID: userID, PhoneID: phone}, domain.Facts{})
	l.wait(5 * time.Minute)
	enrol(t, l, userID, installation)
	l.wait(time.Hour)
	push(t, l, userID, installation, true)
	l.wait(time.Hour)
	push(t, l, userID, installation, false)
	l.wait(time.Minute)
	client := l.state(domain.ClientStream(clientID)).(*domain.Client)
	l.must(domain.RequestOptOut{UserID: userID, RequestedBy: userID, AgreementVersion: "2024-01", Acknowledged: true},
		domain.Facts{Clients: map[string]*domain.Client{clientID: client}})
	l.wait(8 * time.Hour)
	for range 9 {
		l.must(domain.StartAuthentication{UserID: userID, Purpose: domain.PurposeLogin, Platform: domain.ClientPortal}, domain.Facts{})
		l.wait(time.Second)
	}
	return l, userID
}

func enrol(t *testing.T, l *ledger, userID, installation string) {
	t.Helper()
	f := domain.Facts{Installation: &domain.InstallationFacts{ID: installation, OS: domain.IOS, HandsetID: "handset-1"}, Code: yes}
	txn := find[domain.AuthenticationStarted](t, l.must(domain.StartAuthentication{
		UserID: userID, Purpose: domain.PurposeActivation, Platform: domain.IBKRMobileIOS, PrimaryVerified: true,
	}, f)).TxnID
	id := find[domain.EnrollmentStarted](t, l.must(domain.StartEnrollment{UserID: userID, Kind: domain.KindIBKey, InstallationID: installation, TxnID: txn}, f)).EnrollmentID
	l.wait(15 * time.Second)
	l.must(domain.SubmitActivationCode{EnrollmentID: id}, f)
	l.wait(5 * time.Second)
	l.must(domain.CompleteEnrollment{EnrollmentID: id, UV: domain.UVFaceID}, f)
}

func push(t *testing.T, l *ledger, userID, installation string, approve bool) {
	t.Helper()
	id := find[domain.ChallengeIssued](t, l.must(domain.StartAuthentication{
		UserID: userID, Purpose: domain.PurposeLogin, Platform: domain.TWS, ClientVersion: "1030", ReleaseChannel: domain.Latest, PrimaryVerified: true,
	}, domain.Facts{})).ChallengeID
	l.wait(4200 * time.Millisecond)
	l.must(domain.DecidePush{ChallengeID: id, InstallationID: installation, Document: "{}", Signature: "c2ln"}, domain.Facts{
		Push: domain.PushEvidence{Authentic: true, Approve: approve, NumberGiven: approve, NumberMatched: approve, UV: domain.UVFaceID},
	})
}
