package demo

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/authledger/authledger/api/delivery"
	"github.com/authledger/authledger/domain"
)

// networkName is the provider's name in the ledger for the messages of the
// demo's history.
const networkName = "demo-network"

// Network is the gateway of the history: it sends nothing, takes every message
// unless a story says otherwise, and tells the demo what to report of them.
type Network struct {
	mu      sync.Mutex // guards the rest
	faults  []fault
	reports []report
}

// fault is what happens to the next message of a kind to a user.
type fault struct {
	userID  string
	kind    delivery.Kind
	result  delivery.Result // of the hand-over
	failure string          // of the receipt, after a hand-over that went well
}

// report is what a provider says of a message some seconds later.
type report struct {
	message delivery.Message
	failure string // empty: it arrived
}

// NewNetwork returns a network without faults.
func NewNetwork() *Network { return &Network{} }

// Name implements delivery.Gateway.
func (n *Network) Name() string { return networkName }

// Send implements delivery.Gateway.
func (n *Network) Send(_ context.Context, m delivery.Message) delivery.Result {
	n.mu.Lock()
	defer n.mu.Unlock()
	r := delivery.Result{Outcome: delivery.Accepted, Ref: m.ID, Sender: m.SenderPrefix + "authledger"}
	failure := ""
	i := slices.IndexFunc(n.faults, func(f fault) bool { return f.userID == m.UserID && f.kind == m.Kind })
	if i >= 0 {
		f := n.faults[i]
		n.faults = slices.Delete(n.faults, i, i+1)
		if failure = f.failure; failure == "" {
			return f.result
		}
	}
	n.reports = append(n.reports, report{message: m, failure: failure})
	return r
}

// fail makes the hand-over of the next message of a kind to a user go wrong.
func (n *Network) fail(p *person, k delivery.Kind, r delivery.Result) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.faults = append(n.faults, fault{userID: p.userID, kind: k, result: r})
}

// lose makes the next message of a kind to a user not arrive.
func (n *Network) lose(p *person, k delivery.Kind, failure string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.faults = append(n.faults, fault{userID: p.userID, kind: k, failure: failure})
}

// take hands out what is to be reported, once.
func (n *Network) take() []report {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := n.reports
	n.reports = nil
	return out
}

// report records what the provider says of a message.
func (t *tale) report(r report) {
	switch r.message.Kind {
	case delivery.SMS:
	case delivery.Voice:
		if r.failure != "" {
			t.pause(20*time.Second, 40*time.Second)
			t.execute(network, domain.RecordVoiceFailed{CallID: r.message.ID, Failure: r.failure, ProviderCode: "demo-" + r.failure})
		}
		return
	default:
		return
	}
	t.pause(time.Second, 9*time.Second)
	if p := t.people[r.message.UserID]; r.failure == "" && !p.busy && strings.HasPrefix(r.message.TemplateID, "login_code") && t.chance(2) {
		r.failure = pick(t.world, []string{"roaming", "unreachable", "carrier_blocked"})
	}
	if r.failure == "" {
		t.execute(network, domain.RecordSMSDelivered{
			SMSID: r.message.ID, ProviderRef: r.message.ID, DeliveredAt: t.Clock.Now(),
			Receipt: pick(t.world, []string{"handset", "handset", "network"}),
		})
		return
	}
	t.lost[r.message.ID] = true
	t.execute(network, domain.RecordSMSDeliveryFailed{
		SMSID: r.message.ID, ProviderRef: r.message.ID, Failure: r.failure, ProviderCode: "demo-" + r.failure,
	})
}
