package delivery

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/domain/ocra"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/journal"
)

// What the tests' users do, step by step.

// another registers one more user of the client and makes it the one who acts.
func (l *ledger) another(ref string) string {
	l.t.Helper()
	l.user = codec.UserIDOf(ref)
	l.do(domain.RegisterUser{
		UserID: l.user, ClientID: l.client, Role: domain.RoleOwner, Username: domain.Clear(ref), Locale: "en", Residence: "DE", ResidentOn: "2000-01-01",
	})
	return l.user
}

// app registers an app on a phone. Android apps have a PIN.
func (l *ledger) app(kind domain.App, os domain.OS, handset string) string {
	l.t.Helper()
	seed := sha256.Sum256([]byte(string(kind) + string(os) + handset + string(rune('0'+len(l.signers)))))
	key := ed25519.NewKeyFromSeed(seed[:])
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		l.t.Fatal(err)
	}
	id := codec.InstallationIDOf(der)
	l.signers[id] = key
	l.do(domain.RegisterInstallation{
		InstallationID: id, App: kind, OS: os, AppVersion: "1", HandsetID: handset, KeyAlgorithm: domain.Ed25519,
		PublicKey: base64.RawURLEncoding.EncodeToString(der), PublicKeyID: "AA",
	})
	if os == domain.Android {
		l.do(domain.AttestPIN{InstallationID: id, PINPolicyVersion: 1})
	}
	return id
}

// handover is what the key of the app that IB Key leaves signs.
func (l *ledger) handover(from, to string) domain.Secret {
	text := "authledger/handover/v1\n" + journal.HandoverText(l.user, from, to)
	return domain.Secret(base64.RawURLEncoding.EncodeToString(ed25519.Sign(l.signers[from], []byte(text))))
}

// password begins a process with the password.
func (l *ledger) password(purpose domain.Purpose) string {
	l.t.Helper()
	return only[domain.AuthenticationStarted](l.t, l.do(domain.StartAuthentication{
		UserID: l.user, Purpose: purpose, Platform: domain.ClientPortal, PrimaryVerified: true,
	})).TxnID
}

// activation takes the activation of IB Key as far as the accepted code, and
// returns its enrolment.
func (l *ledger) activation(p *process, installation string) string {
	l.t.Helper()
	enrollment := only[domain.EnrollmentStarted](l.t, l.do(domain.StartEnrollment{
		UserID: l.user, Kind: domain.KindIBKey, InstallationID: installation, TxnID: l.password(domain.PurposeActivation),
	}))
	p.run()
	l.do(domain.SubmitActivationCode{EnrollmentID: enrollment.EnrollmentID, Code: l.gateway.newestCode(l.t, 8)})
	return enrollment.EnrollmentID
}

// activates binds IB Key to an installation and returns the authenticator.
func (l *ledger) activates(p *process, installation string) string {
	l.t.Helper()
	uv := domain.UVFaceID
	err := l.journal.Installation(l.t.Context(), installation, func(i *domain.Installation) {
		if i.OS == domain.Android {
			uv = domain.UVAppPIN
		}
	})
	if err != nil {
		l.t.Fatal(err)
	}
	id := l.activation(p, installation)
	out := only[domain.AuthenticatorEnrolled](l.t, l.do(domain.CompleteEnrollment{EnrollmentID: id, UV: uv}))
	p.run()
	return out.AuthenticatorID
}

const cardSuite = "OCRA-1:HOTP-SHA256-8:C-QN06"

var cardSeed = []byte("0123456789abcdef0123456789abcdef")

// unitOf registers a physical unit.
func (l *ledger) unitOf(key string) string {
	l.t.Helper()
	id := domain.DeviceID(key)
	l.do(domain.RegisterDevice{DeviceID: id, Model: domain.ModelDSCPlus, Manufacturer: "M", Serial: key, Suite: cardSuite, Counter: 1})
	if err := l.keys.PutSecret(l.t.Context(), domain.DeviceStream(id), journal.SecretSeed, cardSeed); err != nil {
		l.t.Fatal(err)
	}
	return id
}

// shipped orders a unit and sends it to the user.
func (l *ledger) shipped(p *process, deviceID string) {
	l.t.Helper()
	ordered := only[domain.PhysicalDeviceRequested](l.t, l.do(domain.RequestPhysicalDevice{
		UserID: l.user, Model: domain.ModelDSCPlus, PIN: "1234", EquityUSDMinor: 1 << 50, ShipTo: domain.Clear("Street 1"),
	}))
	l.do(domain.RecordDeviceShipped{DeviceID: deviceID, RequestID: ordered.RequestID, DispatchedOn: l.clock.now().Format(time.DateOnly)})
	p.run()
}

// card sends a unit to the user and lets it become active by time.
func (l *ledger) card(p *process, deviceID string) string {
	l.t.Helper()
	l.shipped(p, deviceID)
	l.clock.advance(15 * 24 * time.Hour)
	out := only[domain.AuthenticatorEnrolled](l.t, l.as(domain.ActorSystem, domain.AutoActivateDevice{UserID: l.user, DeviceID: deviceID}))
	p.run()
	return out.AuthenticatorID
}

// answers lets a unit answer a challenge of the user.
func (l *ledger) answers(c domain.ChallengeIssued, counter uint64) []domain.Event {
	l.t.Helper()
	var challenge domain.Challenge
	err := l.journal.User(l.t.Context(), l.user, func(u *domain.User, _ time.Time) error {
		challenge, _ = u.Challenge(c.ChallengeID)
		return nil
	})
	if err != nil {
		l.t.Fatal(err)
	}
	question, err := l.journal.Shown(l.t.Context(), challenge)
	if err != nil {
		l.t.Fatal(err)
	}
	suite, err := ocra.Parse(cardSuite)
	if err != nil {
		l.t.Fatal(err)
	}
	response, err := suite.Compute(cardSeed, ocra.Input{Question: question, Counter: counter})
	if err != nil {
		l.t.Fatal(err)
	}
	return l.do(domain.SubmitResponse{ChallengeID: c.ChallengeID, Response: domain.Secret(response)})
}

// shares lets the user answer with the unit of another's authenticator.
func (l *ledger) shares(p *process, owners string, counter uint64) string {
	l.t.Helper()
	asked := l.do(domain.RequestDeviceSharing{
		UserID: l.user, AuthenticatorID: owners, TxnID: l.password(domain.PurposeDeviceSharing), IdentityMatch: true, EvidenceRef: "E",
	})
	granted := only[domain.AuthenticatorEnrolled](l.t, l.answers(only[domain.ChallengeIssued](l.t, asked), counter))
	p.run()
	return granted.AuthenticatorID
}

// installation and device are the hosts' states.
func (l *ledger) installation(id string) (i domain.Installation) {
	l.t.Helper()
	if err := l.journal.Installation(l.t.Context(), id, func(s *domain.Installation) { i = *s }); err != nil {
		l.t.Fatal(err)
	}
	return i
}

func (l *ledger) device(id string) (v domain.Device) {
	l.t.Helper()
	if err := l.journal.Device(l.t.Context(), id, func(s *domain.Device) { v = *s }); err != nil {
		l.t.Fatal(err)
	}
	return v
}

// expectLivesAt checks who lives on a host.
func (l *ledger) expectLivesAt(where string, bindings []domain.Binding, authenticators ...string) {
	l.t.Helper()
	got := []string{}
	for _, b := range bindings {
		if b.UserID != domain.UserOf(b.AuthenticatorID) {
			l.t.Errorf("%s: binding %+v", where, b)
		}
		got = append(got, b.AuthenticatorID)
	}
	if !slices.Equal(authenticators, got) {
		l.t.Errorf("%s: bound %v, want %v", where, got, authenticators)
	}
}

// expectSuspended checks why an authenticator cannot answer; "" when it can.
func (l *ledger) expectSuspended(authenticatorID, want string) {
	l.t.Helper()
	err := l.journal.User(l.t.Context(), domain.UserOf(authenticatorID), func(u *domain.User, _ time.Time) error {
		if a, ok := u.Authenticator(authenticatorID); !ok || a.Suspended != want {
			l.t.Errorf("%s: bound %t, suspended %q, want %q", authenticatorID, ok, a.Suspended, want)
		}
		return nil
	})
	if err != nil {
		l.t.Fatal(err)
	}
}

// types counts the events of the log by type.
func (l *ledger) types() map[string]int {
	l.t.Helper()
	out := map[string]int{}
	for r, err := range l.store.ReadAll(l.t.Context(), 0) {
		if err != nil {
			l.t.Fatal(err)
		}
		out[r.Type]++
	}
	return out
}

// expectQuiet checks that a new process, which sees the whole log again, adds
// nothing.
func (l *ledger) expectQuiet() {
	l.t.Helper()
	before := l.types()
	l.start().run()
	if diff := cmp.Diff(before, l.types()); diff != "" {
		l.t.Errorf("events after another look (-before +after):\n%s", diff)
	}
}

// surviving tells a story once without faults and once for every command with
// a crash before and after it, and checks that the same events follow.
func surviving(t *testing.T, commands []string, story func(l *ledger, p *process)) {
	t.Helper()
	plain := newLedger(t, noon)
	story(plain, plain.start())
	want := plain.types()
	for _, command := range commands {
		for _, fault := range []func(*faultyJournal){
			func(f *faultyJournal) { f.before = command },
			func(f *faultyJournal) { f.after = command },
		} {
			l := newLedger(t, noon)
			p := l.start()
			fault(p.journal)
			p.crashes = 1
			story(l, p)
			if p.crashes != 0 {
				t.Errorf("%s: the crash never came", command)
			}
			if diff := cmp.Diff(want, l.types()); diff != "" {
				t.Errorf("%s: events (-without a crash +with):\n%s", command, diff)
			}
		}
	}
}

// records lists the log's records of a type.
func (l *ledger) records(eventType string) []eventstore.Record {
	l.t.Helper()
	var out []eventstore.Record
	for r, err := range l.store.ReadAll(l.t.Context(), 0) {
		if err != nil {
			l.t.Fatal(err)
		}
		if r.Type == eventType {
			out = append(out, r)
		}
	}
	return out
}

// sees lets one reaction see one record, out of turn.
func (p *process) sees(reaction string, r eventstore.Record) {
	p.l.t.Helper()
	for _, one := range p.d.Reactions() {
		if one.Name == reaction {
			if err := p.d.Act(one)(p.l.t.Context(), r); err != nil {
				p.l.t.Fatal(err)
			}
			return
		}
	}
	p.l.t.Fatalf("no reaction %s among %v", reaction, slices.Collect(maps.Keys(p.at)))
}
