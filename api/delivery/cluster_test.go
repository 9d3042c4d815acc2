package delivery

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/bridge"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/journal"
	"github.com/authledger/authledger/eventstore/memstore"
)

// node is one process beside others on the ledger's log, until it is killed.
type node struct {
	Journal
	*memstore.Node
	gateway *gateway
	chance  func() bool // whether to be killed here
	told    chan<- string

	dying context.Context
	kill  context.CancelFunc

	mu     sync.Mutex      // guards unsure
	unsure map[string]bool // dispatched here, and the outcome not recorded here
}

// joins adds a node with a journal and a clock of its own.
func (l *ledger) joins(chance func() bool, told chan<- string) *node {
	l.t.Helper()
	n := &node{
		Node: l.store.Node(l.clock.now, 0), gateway: l.gateway, chance: chance, told: told, unsure: map[string]bool{},
	}
	n.dying, n.kill = context.WithCancel(context.Background())
	j, err := journal.New(journal.Config{Store: n.Node, Codec: l.codec, Keyring: l.keys, Policy: l.policy, Clock: l.clock.now})
	if err != nil {
		l.t.Fatal(err)
	}
	n.Journal = j
	return n
}

// Share ends when the node is killed, as a lost connection would.
func (n *node) Share(ctx context.Context, group string, types []string, lease time.Duration) iter.Seq2[eventstore.Handed, error] {
	ctx, cancel := context.WithCancel(ctx)
	release := context.AfterFunc(n.dying, cancel)
	return func(yield func(eventstore.Handed, error) bool) {
		defer cancel()
		defer release()
		n.Node.Share(ctx, group, types, lease)(yield)
	}
}

// Execute does nothing any more for one who was killed, and may be killed before
// or behind a command about a text message.
func (n *node) Execute(ctx context.Context, r journal.Request) (journal.Outcome, error) {
	id, outcome := "", true
	switch c := r.Command.(type) {
	case domain.RecordSMSDispatch:
		id, outcome = c.SMSID, false
	case domain.RecordSMSSent:
		id = c.SMSID
	case domain.RecordSMSSendFailed:
		id = c.SMSID
	case domain.RecordSMSUncertain:
		id = c.SMSID
	}
	if n.dying.Err() != nil || id != "" && n.maybeDead() {
		return journal.Outcome{}, errCrash
	}
	o, err := n.Journal.Execute(ctx, r)
	if err != nil || id == "" {
		return o, err
	}
	if outcome {
		n.note(id, false)
		n.told <- id
	} else if !o.Replayed && len(o.Events) > 0 {
		n.note(id, true)
	}
	if n.maybeDead() {
		return journal.Outcome{}, errCrash
	}
	return o, nil
}

func (n *node) note(id string, unsure bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if delete(n.unsure, id); unsure {
		n.unsure[id] = true
	}
}

func (n *node) maybeDead() bool {
	if n.chance() {
		n.kill()
	}
	return n.dying.Err() != nil
}

// Name implements Gateway.
func (n *node) Name() string { return n.gateway.Name() }

// Send implements Gateway: the dead send nothing, and one may die behind it.
func (n *node) Send(ctx context.Context, m Message) Result {
	if n.dying.Err() != nil {
		return Result{}
	}
	r := n.gateway.Send(ctx, m)
	n.maybeDead()
	return r
}

// live runs the reactions until the node is killed or ctx ends.
func (n *node) live(ctx context.Context, l *ledger) {
	texts, err := NewTexts("IBKR Mobile")
	if err != nil {
		l.t.Error(err)
		return
	}
	quiet := slog.New(slog.DiscardHandler)
	d, err := New(Config{
		Journal: n, Log: n.Node, Codec: l.codec, Gateway: n, Texts: texts, OptedOut: l.optedOut, Logger: quiet,
	})
	if err != nil {
		l.t.Error(err)
		return
	}
	router, err := bridge.NewRouter(bridge.RouterConfig{Retries: -1}, quiet)
	if err != nil {
		l.t.Error(err)
		return
	}
	d.Register(router, n, bridge.NewMemoryCheckpoints())
	ended := make(chan error, 1)
	go func() { ended <- router.Run(context.WithoutCancel(ctx)) }()
	<-router.Running()
	select {
	case <-n.dying.Done():
	case <-ctx.Done():
	}
	if err := router.Close(); err != nil {
		l.t.Error(err)
	}
	if err := <-ended; err != nil {
		l.t.Error(err)
	}
}

// asksFor lets n users each ask for a text message.
func (l *ledger) asksFor(n int) {
	l.t.Helper()
	for i := range n {
		userID := codec.UserIDOf(fmt.Sprint("many-", i))
		l.do(domain.RegisterUser{
			UserID: userID, ClientID: l.client, Role: domain.RoleOwner, Username: domain.Clear(fmt.Sprint("user", i)),
			Locale: "en", Residence: "DE", ResidentOn: "2000-01-01",
		})
		phone := only[domain.PhoneNumberAdded](l.t, l.do(domain.AddPhone{
			UserID: userID, CC: "DE", Number: domain.Clear(fmt.Sprintf("+49151%08d", i)), Line: domain.LineMobile,
		}))
		l.do(domain.StartPhoneVerification{PhoneID: phone.PhoneID})
	}
}

// TestKilledNodesSendNothingTwice runs three nodes on one log, each of which is
// killed at random points and started again, until every message has an outcome.
func TestKilledNodesSendNothingTwice(t *testing.T) {
	t.Parallel()
	const messages, kills = 500, 60
	l := newLedger(t, noon)
	l.asksFor(messages)
	var (
		mu    sync.Mutex // guards the rest
		dice  = rand.New(rand.NewPCG(5, 5))
		left  = kills
		nodes []*node
	)
	chance := func() bool {
		mu.Lock()
		defer mu.Unlock()
		if left == 0 || dice.IntN(20) > 0 {
			return false
		}
		left--
		return true
	}
	told := make(chan string, 10*messages)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for range 3 {
		running.Go(func() {
			for ctx.Err() == nil {
				n := l.joins(chance, told)
				mu.Lock()
				nodes = append(nodes, n)
				mu.Unlock()
				n.live(ctx, l)
				n.kill()
			}
		})
	}
	over := map[string]bool{}
	for deadline := time.After(4 * time.Minute); len(over) < messages; {
		select {
		case id := <-told:
			over[id] = true
		case <-deadline:
			t.Errorf("%d messages of %d have an outcome after four minutes", len(over), messages)
			stop()
			running.Wait()
			return
		}
	}
	stop()
	running.Wait()
	l.expectAtMostOnce(messages, nodes)
}

// expectAtMostOnce checks every message: handed over at most once, with one
// outcome, which is uncertain only where a node was killed in between.
func (l *ledger) expectAtMostOnce(messages int, nodes []*node) {
	l.t.Helper()
	handed, outcome := map[string]int{}, map[string]string{}
	for _, m := range l.gateway.of(SMS) {
		if handed[m.ID]++; handed[m.ID] > 1 {
			l.t.Errorf("%s was handed over %d times", m.ID, handed[m.ID])
		}
	}
	end := func(id, how string) {
		if was := outcome[id]; was != "" {
			l.t.Errorf("%s is %s and %s", id, was, how)
		}
		outcome[id] = how
	}
	for _, e := range events[domain.SMSSent](l) {
		end(e.SMSID, "sent")
		if handed[e.SMSID] != 1 {
			l.t.Errorf("%s counts as sent and was not", e.SMSID)
		}
	}
	for _, e := range events[domain.SMSSendFailed](l) {
		end(e.SMSID, "failed")
	}
	unsure := map[string]bool{}
	for _, n := range nodes {
		for id := range n.unsure {
			unsure[id] = true
		}
	}
	for _, e := range events[domain.SMSDispatchUncertain](l) {
		end(e.SMSID, "uncertain")
		if !unsure[e.SMSID] {
			l.t.Errorf("%s is uncertain, and nobody was killed", e.SMSID)
		}
	}
	if len(outcome) != messages {
		l.t.Errorf("%d messages have an outcome, want %d", len(outcome), messages)
	}
	lost, sent := 0, 0
	for id := range unsure {
		if handed[id] > 0 {
			sent++
		} else {
			lost++
		}
	}
	if lost == 0 || sent == 0 {
		l.t.Errorf("in doubt are %d messages that were not handed over and %d that were: nobody was killed where it matters", lost, sent)
	}
	l.t.Logf("%d lives; %d died in doubt before the hand-over, %d behind it", len(nodes), lost, sent)
}

// A node that could not record what the provider said, and whose message went to
// another node, may say so late: uncertain and sent both stand.
func TestLateOutcomeStandsBehindUncertain(t *testing.T) {
	t.Parallel()
	l := newLedger(t, noon)
	l.do(domain.StartPhoneVerification{PhoneID: l.addPhone()})
	first, second := l.startOn(l.beside(0)), l.startOn(l.beside(0))
	first.journal.before = "RecordSMSSent"
	if err := first.try(); !errors.Is(err, errCrash) {
		t.Fatalf("error %v, want the outage", err)
	}
	second.run()
	count[domain.SMSDispatchUncertain](l, 1)
	first.journal.before = ""
	first.run()
	l.gateway.expect(t, SMS, 1)
	count[domain.SMSDispatchUncertain](l, 1)
	count[domain.SMSSent](l, 1)
	second.run()
	l.start().run()
	l.gateway.expect(t, SMS, 1)
	count[domain.SMSDispatchUncertain](l, 1)
	count[domain.SMSSent](l, 1)
}

// What could not be recorded and became another node's business is remembered
// within bounds.
func TestOutcomesAreBounded(t *testing.T) {
	t.Parallel()
	var o outcomes
	for i := range outcomesKept + 10 {
		o.put(fmt.Sprint(i), reported{name: fmt.Sprint(i)})
		o.put(fmt.Sprint(i), reported{name: fmt.Sprint(i)})
	}
	_, oldest := o.of("9")
	_, kept := o.of("10")
	o.drop("10")
	o.drop("10")
	if oldest || !kept || len(o.by) != outcomesKept-1 || len(o.old) != outcomesKept-1 {
		t.Errorf("oldest kept: %t, newer kept: %t; %d and %d are kept", oldest, kept, len(o.by), len(o.old))
	}
}

// beside is the journal of another node, whose clock is ahead by so much.
func (l *ledger) beside(ahead time.Duration) *journal.Journal {
	l.t.Helper()
	now := func() time.Time { return l.clock.now().Add(ahead) }
	j, err := journal.New(journal.Config{
		Store: l.store.Node(now, 5*time.Second), Codec: l.codec, Keyring: l.keys, Policy: l.policy, Clock: now,
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return j
}

// upToDate brings a node's state of the user up to the log, as following it does.
func (p *process) upToDate() {
	p.l.t.Helper()
	newest := eventstore.Revision(0)
	for r, err := range p.l.store.ReadStream(p.l.t.Context(), domain.UserStream(p.l.user), 0) {
		if err != nil {
			p.l.t.Fatal(err)
		}
		newest = r.Revision
	}
	if err := p.journal.UserAt(p.l.t.Context(), p.l.user, newest, func(*domain.User, time.Time) error { return nil }); err != nil {
		p.l.t.Fatal(err)
	}
}

// What time alone brings about happens once, though every node looks at the
// clock and no two clocks are the same.
func TestNodesTickTogether(t *testing.T) {
	t.Parallel()
	l, p := optedOutUser(t, utc("2017-10-26T12:00:00Z"))
	l.moves("HK", "2018-04-26")
	card := l.unitOf(cardKey)
	l.shipped(p, card)
	p.run()
	var nodes []*process
	for i := range 3 {
		n := l.startOn(l.beside(time.Duration(i) * 2 * time.Second))
		n.deadlines([]Due{{UserID: l.user, DeviceID: card}}, []string{l.user})
		nodes = append(nodes, n)
	}
	tick := func() {
		var running sync.WaitGroup
		for _, n := range nodes {
			running.Go(func() {
				if err := errors.Join(n.d.CheckRegime(t.Context()), n.d.CheckDeadlines(t.Context())); err != nil {
					t.Error(err)
				}
			})
		}
		running.Wait()
	}
	tick() // every node has the states of before
	count[domain.OptOutRevoked](l, 0)
	l.clock.set(utc("2018-04-26T15:59:57Z")) // on one node the rule is in force
	for range 5 {
		tick()
		l.clock.advance(time.Second)
	}
	count[domain.OptOutRevoked](l, 1)
	challenge := only[domain.ChallengeIssued](t, l.login(domain.ClientPortal))
	for _, n := range nodes {
		n.upToDate()
	}
	l.clock.set(challenge.ExpiresAt.Add(-3 * time.Second))
	for range 5 {
		tick()
		l.clock.advance(time.Second)
	}
	count[domain.ChallengeExpired](l, 1)
	l.clock.advance(30 * 24 * time.Hour)
	tick()
	tick()
	activated := 0
	for _, e := range events[domain.AuthenticatorEnrolled](l) {
		if e.DeviceID == card {
			activated++
		}
	}
	if activated != 1 {
		t.Errorf("the card was activated %d times, want once", activated)
	}
	before, _, _ := l.store.Head(t.Context())
	tick()
	if after, _, _ := l.store.Head(t.Context()); after != before {
		t.Errorf("another tick added %d records", after-before)
	}
}
