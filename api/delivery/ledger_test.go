package delivery

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/journal"
	"github.com/authledger/authledger/eventstore/keyring"
	"github.com/authledger/authledger/eventstore/memstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a time tests move.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) set(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = at
}

func (c *clock) advance(d time.Duration) { c.set(c.now().Add(d)) }

// ledger is a whole ledger in memory with one client and one user.
type ledger struct {
	t       *testing.T
	clock   *clock
	store   *memstore.Store
	keys    *keyring.Keyring
	codec   *codec.Codec
	policy  *domain.Policy
	journal *journal.Journal
	gateway *gateway
	client  string
	user    string
	n       uint64
	signers map[string]ed25519.PrivateKey // by installation
}

const number = "+4915112345678"

func newLedger(t *testing.T, at time.Time) *ledger {
	t.Helper()
	l := &ledger{t: t, clock: &clock{at: at}, gateway: &gateway{name: "test"}, signers: map[string]ed25519.PrivateKey{}}
	keys, err := keyring.Open(t.Context(), keyring.Options{Dir: t.TempDir(), Clock: l.clock.now})
	if err != nil {
		t.Fatal(err)
	}
	l.keys, l.store, l.codec = keys, memstore.New(l.clock.now), codec.New(keys)
	t.Cleanup(func() {
		if err := errors.Join(l.store.Close(), keys.Close()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	if l.policy, err = domain.LoadPolicy(); err != nil {
		t.Fatal(err)
	}
	l.journal, err = journal.New(journal.Config{
		Store: l.store, Codec: l.codec, Keyring: keys, Policy: l.policy, Clock: l.clock.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	l.client, l.user = codec.ClientIDOf("C1"), codec.UserIDOf("U1")
	l.do(domain.RegisterClient{ClientID: l.client, Kind: domain.Individual, CarryingEntity: "IE", CarryingCC: "IE"})
	l.do(domain.RegisterUser{
		UserID: l.user, ClientID: l.client, Role: domain.RoleOwner, Username: domain.Clear("erika"), Locale: "de", Residence: "DE", ResidentOn: "2000-01-01",
	})
	return l
}

// do executes a command of a client and returns its events.
func (l *ledger) do(c domain.Command) []domain.Event {
	l.t.Helper()
	return l.as(domain.ActorClient, c)
}

// as executes a command of somebody else.
func (l *ledger) as(kind domain.ActorKind, c domain.Command) []domain.Event {
	l.t.Helper()
	l.n++
	var seed [16]byte
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, l.n))
	copy(seed[:], sum[:])
	o, err := l.journal.Execute(l.t.Context(), journal.Request{
		Command: c, CommandID: uuid.UUID(seed), Actor: domain.Actor{Kind: kind, Ref: "test"},
	})
	if err != nil {
		l.t.Fatalf("%s: %v", c.Name(), err)
	}
	out := make([]domain.Event, len(o.Events))
	for i, e := range o.Events {
		out[i] = e.Event
	}
	return out
}

// addPhone adds a phone and returns its id.
func (l *ledger) addPhone() string {
	l.t.Helper()
	return only[domain.PhoneNumberAdded](l.t, l.do(domain.AddPhone{
		UserID: l.user, CC: "DE", Number: domain.Clear(number), Line: domain.LineMobile,
	})).PhoneID
}

// verifiedPhone adds a phone and confirms it with the code the gateway of the
// delivery got.
func (l *ledger) verifiedPhone(p *process) string {
	l.t.Helper()
	id := l.addPhone()
	started := only[domain.PhoneVerificationStarted](l.t, l.do(domain.StartPhoneVerification{PhoneID: id}))
	p.run()
	l.do(domain.ConfirmPhone{VerificationID: started.VerificationID, Code: l.gateway.newestCode(l.t, 6)})
	p.run()
	return id
}

// ibkey activates IB Key on an iOS installation.
func (l *ledger) ibkey(p *process) string {
	l.t.Helper()
	return l.activation(p, l.app(domain.AppIBKRMobile, domain.IOS, "h"))
}

// login starts a login on a platform.
func (l *ledger) login(on domain.Platform) []domain.Event {
	l.t.Helper()
	return l.do(domain.StartAuthentication{UserID: l.user, Purpose: domain.PurposeLogin, Platform: on, PrimaryVerified: true})
}

// events lists every event of one type in the log.
func events[T domain.Event](l *ledger) []T {
	l.t.Helper()
	var out []T
	for r, err := range l.store.ReadAll(l.t.Context(), 0) {
		if err != nil {
			l.t.Fatal(err)
		}
		d, err := l.codec.Decode(r)
		if err != nil {
			l.t.Fatal(err)
		}
		if e, ok := d.Event.(T); ok {
			out = append(out, e)
		}
	}
	return out
}

// only is the one event of its type.
func only[T domain.Event](t *testing.T, list []domain.Event) T {
	t.Helper()
	var found []T
	for _, e := range list {
		if e, ok := e.(T); ok {
			found = append(found, e)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d events of %T among %d, want 1", len(found), *new(T), len(list))
	}
	return found[0]
}

// count checks how many events of a type the log has.
func count[T domain.Event](l *ledger, want int) {
	l.t.Helper()
	if got := len(events[T](l)); got != want {
		l.t.Errorf("%d events of %T, want %d", got, *new(T), want)
	}
}

// process is one life of the delivery side: positions and memory end with it.
type process struct {
	l       *ledger
	d       *Delivery
	journal *faultyJournal
	at      map[string]eventstore.Sequence
	crashes int // that run survives, each by a new life
}

// start begins a life. It sees the whole log again, like one whose positions
// were lost.
func (l *ledger) start() *process {
	l.t.Helper()
	return l.startOn(l.journal)
}

// startOn begins a life on another node, whose journal is given.
func (l *ledger) startOn(j *journal.Journal) *process {
	l.t.Helper()
	texts, err := NewTexts("IBKR Mobile")
	if err != nil {
		l.t.Fatal(err)
	}
	p := &process{l: l, journal: &faultyJournal{Journal: j}, at: map[string]eventstore.Sequence{}}
	p.d, err = New(Config{
		Journal: p.journal, Log: l.store, Codec: l.codec, Gateway: l.gateway, Texts: texts,
		OptedOut: l.optedOut, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return p
}

// optedOut lists every user that was ever granted an opt-out.
func (l *ledger) optedOut(ctx context.Context, _ eventstore.Position) ([]string, error) {
	seen := map[string]bool{}
	var out []string
	for r, err := range l.store.ReadAll(ctx, 0) {
		if err != nil {
			return nil, err
		}
		if id := domain.UserID(r.Stream[len("user-"):]); r.Type == "OptOutGranted" && !seen[id] {
			seen[id] = true
			out = append(out, id)
		}
	}
	return out, nil
}

// try lets every reaction see what is new, once, and returns the first error;
// a reaction that failed stays at its record.
func (p *process) try() error {
	var failed error
	for _, r := range p.d.Reactions() {
		act := p.d.Act(r)
		for record, err := range p.l.store.ReadAll(p.l.t.Context(), p.at[r.Name]+1) {
			if err == nil {
				err = act(p.l.t.Context(), record)
			}
			if err != nil {
				failed = errors.Join(failed, fmt.Errorf("record %d: %w", record.Sequence, err))
				break
			}
			p.at[r.Name] = record.Sequence
		}
	}
	return failed
}

// run reacts until nothing follows any more.
func (p *process) run() {
	p.l.t.Helper()
	for {
		before, _, err := p.l.store.Head(p.l.t.Context())
		if err != nil {
			p.l.t.Fatal(err)
		}
		err = p.try()
		if errors.Is(err, errCrash) && p.crashes > 0 {
			next := p.l.start()
			next.crashes = p.crashes - 1
			*p = *next
			continue
		}
		if err != nil {
			p.l.t.Fatalf("react: %v", err)
		}
		if after, _, _ := p.l.store.Head(p.l.t.Context()); after == before {
			return
		}
	}
}

var errCrash = errors.New("the store is out of reach")

// faultyJournal fails one command, before or after it took effect.
type faultyJournal struct {
	Journal
	before, after string // names of commands
	meanwhile     func() // called before a dispatch is recorded
}

func (f *faultyJournal) Execute(ctx context.Context, r journal.Request) (journal.Outcome, error) {
	switch r.Command.Name() {
	case "RecordSMSDispatch", "RecordVoiceDispatch", "RecordCodeEmailed":
		if f.meanwhile != nil {
			f.meanwhile()
		}
	}
	if r.Command.Name() == f.before {
		return journal.Outcome{}, errCrash
	}
	o, err := f.Journal.Execute(ctx, r)
	if r.Command.Name() == f.after && err == nil {
		return journal.Outcome{}, errCrash
	}
	return o, err
}

// gateway counts what it was handed.
type gateway struct {
	name string

	mu     sync.Mutex
	sent   []Message
	answer Result // Accepted by default
	refuse bool   // use answer as it is
	only   Kind   // that is answered so; empty for all
}

func (g *gateway) Name() string { return g.name }

func (g *gateway) Send(_ context.Context, m Message) Result {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sent = append(g.sent, m)
	if g.refuse && (g.only == "" || g.only == m.Kind) {
		return g.answer
	}
	return Result{Outcome: Accepted, Ref: "ref-" + m.ID, Sender: "IBKR"}
}

func (g *gateway) of(k Kind) []Message {
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []Message
	for _, m := range g.sent {
		if m.Kind == k {
			out = append(out, m)
		}
	}
	return out
}

func (g *gateway) expect(t *testing.T, k Kind, want int) {
	t.Helper()
	if got := len(g.of(k)); got != want {
		t.Errorf("gateway got %d %s, want %d", got, k, want)
	}
}

// newestCode is the code of the newest text message.
func (g *gateway) newestCode(t *testing.T, length int) domain.Secret {
	t.Helper()
	list := g.of(SMS)
	if len(list) == 0 {
		t.Fatal("no text message was sent")
	}
	return list[len(list)-1].Text[:length]
}
