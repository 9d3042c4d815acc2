package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/authledger/authledger/api/erase"
	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/bridge"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/journal"
	"github.com/authledger/authledger/eventstore/keyring"
	"github.com/authledger/authledger/eventstore/memstore"
	"github.com/authledger/authledger/projections"
)

// cluster is a log and a keyring that several nodes share, with somebody whose
// data may be destroyed.
type cluster struct {
	t     *testing.T
	clock *stillClock
	log   *memstore.Store
	keys  *keyring.Keyring
	codec *codec.Codec
	nodes []*member
	user  string
}

// member is a node: its view of the log, and a directory of its own.
type member struct {
	name        string
	dir         string
	log         *memstore.Node
	journal     *journal.Journal
	views       *projections.Views
	checkpoints *projections.Checkpoints
	eraser      *erase.Eraser
	steps       chan string // of the eraser
	step        func(string) error
}

func newCluster(t *testing.T, nodes int) *cluster {
	t.Helper()
	c := &cluster{
		t: t, clock: &stillClock{t: time.Date(2018, 3, 1, 9, 0, 0, 0, time.UTC)}, user: codec.UserIDOf("U-GONE"),
	}
	c.log = memstore.New(c.clock.now)
	var err error
	if c.keys, err = keyring.Open(t.Context(), keyring.Options{Dir: t.TempDir(), Clock: c.clock.now}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(c.log.Close(), c.keys.Close()); err != nil {
			t.Error(err)
		}
	})
	c.codec = codec.New(c.keys)
	for i := range nodes {
		c.nodes = append(c.nodes, c.open(fmt.Sprintf("node-%d", i+1)))
	}
	client := codec.ClientIDOf("C-GONE")
	for _, command := range []domain.Command{
		domain.RegisterClient{ClientID: client, Kind: "individual", CarryingEntity: "IB-IE", CarryingCC: "IE"},
		domain.RegisterUser{UserID: c.user, ClientID: client, Role: "owner", Username: domain.Clear(departedName), Locale: "de", Residence: "DE"},
		domain.AddPhone{UserID: c.user, CC: "DE", Number: domain.Clear(departedNumber), Line: "mobile"},
		domain.CloseUser{UserID: c.user, Reason: "left"},
	} {
		c.do(command)
	}
	return c
}

func (c *cluster) open(name string) *member {
	c.t.Helper()
	ctx, m := c.t.Context(), &member{name: name, dir: c.t.TempDir(), steps: make(chan string, 100), step: func(string) error { return nil }}
	m.log = c.log.Node(c.clock.now, 0)
	policy, err := domain.LoadPolicy()
	if err != nil {
		c.t.Fatal(err)
	}
	m.journal, err = journal.New(journal.Config{Store: m.log, Codec: c.codec, Keyring: c.keys, Policy: policy, Clock: c.clock.now})
	if err != nil {
		c.t.Fatal(err)
	}
	if m.checkpoints, err = projections.OpenCheckpoints(ctx, m.dir, c.clock.now); err != nil {
		c.t.Fatal(err)
	}
	m.views, err = projections.Open(ctx, projections.Options{
		Dir: m.dir, Codec: c.codec, Clock: c.clock.now, Log: m.log, Logger: slog.New(slog.DiscardHandler),
		Blind:  func(ctx context.Context, number string) ([]byte, error) { return c.keys.Blind(ctx, "phone", number) },
		Erased: func(err error) bool { return errors.Is(err, keyring.ErrKeyDestroyed) },
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		if err := errors.Join(m.views.Close(), m.checkpoints.Close()); err != nil {
			c.t.Error(err)
		}
	})
	m.eraser, err = erase.New(erase.Config{
		Journal: m.journal, Log: m.log, Codec: c.codec, Keys: c.keys, Views: m.views, Dir: m.dir, Node: name,
		Step: func(name string) error { m.steps <- name; return m.step(name) },
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return m
}

func (c *cluster) do(command domain.Command) {
	c.t.Helper()
	r := journal.Request{Command: command, CommandID: uuid.New(), Actor: domain.Actor{Kind: domain.ActorCompliance, Ref: "test"}}
	if _, err := c.nodes[0].journal.Execute(c.t.Context(), r); err != nil {
		c.t.Fatalf("%s: %v", command.Name(), err)
	}
}

// feed lets a node's views see what there is, and returns the records of a type.
func (c *cluster) feed(m *member, eventType string) (found []eventstore.Record) {
	c.t.Helper()
	at, err := m.views.From(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	var fresh []eventstore.Record
	for r, err := range c.log.ReadAll(c.t.Context(), 1) {
		if err != nil {
			c.t.Fatal(err)
		}
		if r.Type == eventType {
			found = append(found, r)
		}
		if r.Sequence > at {
			fresh = append(fresh, r)
		}
	}
	if err := m.views.Apply(c.t.Context(), fresh); err != nil {
		c.t.Fatal(err)
	}
	return found
}

// erases decides the erasure and returns its record.
func (c *cluster) erases() eventstore.Record {
	c.t.Helper()
	c.clock.add(8)
	c.do(domain.RequestErasure{UserID: c.user, Basis: domain.BasisSubjectRequest, RequestedBy: "letter-1"})
	return c.feed(c.nodes[0], "PersonalDataErased")[0]
}

func (c *cluster) certificate() domain.ErasureCertified {
	c.t.Helper()
	found := c.feed(c.nodes[0], "ErasureCertified")
	if len(found) != 1 {
		c.t.Fatalf("%d certificates, want 1", len(found))
	}
	d, err := c.codec.Decode(found[0])
	if err != nil {
		c.t.Fatal(err)
	}
	return d.Event.(domain.ErasureCertified)
}

// TestOneNodeErasesAndAllForget runs three nodes with their routers.
func TestOneNodeErasesAndAllForget(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	index, err := c.keys.Blind(t.Context(), "phone", departedNumber)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range c.nodes {
		router, err := bridge.NewRouter(bridge.RouterConfig{}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		m.views.Register(router, m.log, bridge.Config{}, slog.New(slog.DiscardHandler))
		m.eraser.Register(router, m.log, m.checkpoints)
		ended := make(chan error, 1)
		go func() { ended <- router.Run(context.WithoutCancel(t.Context())) }()
		<-router.Running()
		t.Cleanup(func() {
			if err := errors.Join(router.Close(), <-ended); err != nil {
				t.Error(err)
			}
		})
	}
	c.clock.add(8)
	c.do(domain.RequestErasure{UserID: c.user, Basis: domain.BasisSubjectRequest, RequestedBy: "letter-1"})
	// Who carries it out scrubs twice, the others once, when it is certified.
	carried := ""
	for _, m := range c.nodes {
		destroyed := 0
		for deadline := time.After(time.Minute); destroyed == 0 || carried == m.name && destroyed < 2; {
			select {
			case step := <-m.steps:
				switch step {
				case "traces":
					if carried != "" {
						t.Errorf("%s and %s carry it out", carried, m.name)
					}
					carried = m.name
				case "scrubbed":
					destroyed++
				}
			case <-deadline:
				t.Fatalf("%s scrubbed %d times in a minute", m.name, destroyed)
			}
		}
	}
	var got domain.ErasureCertified
	for r, err := range c.log.ReadStream(t.Context(), domain.ErasuresStream(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		d, err := c.codec.Decode(r)
		if err != nil {
			t.Fatal(err)
		}
		if r.Revision > 0 {
			t.Error("a second certificate")
		}
		got = d.Event.(domain.ErasureCertified)
	}
	if carried == "" || !strings.Contains(got.Method, "("+carried+")") || got.Files == 0 || got.Findings != 0 {
		t.Errorf("carried out by %q, certificate %+v", carried, got)
	}
	for _, m := range c.nodes {
		if files := holding(t, m.dir, []byte(departedNumber), []byte(departedName), index); len(files) > 0 {
			t.Errorf("%s: %v still hold the person", m.name, files)
		}
	}
}

// TestErasureIsLeftToWhoBegan hands an erasure to a second node while the first
// lives, searching, and then for good.
func TestErasureIsLeftToWhoBegan(t *testing.T) {
	t.Parallel()
	for name, comesBack := range map[string]bool{"the first certifies": true, "the first is gone": false} {
		c := newCluster(t, 2)
		order := c.erases()
		first, second := c.nodes[0], c.nodes[1]
		c.feed(second, "")
		first.step = func(step string) error {
			if step != "searched" {
				return nil
			}
			for range 2 {
				if err := second.eraser.Act(t.Context(), order); !errors.Is(err, erase.ErrElsewhere) {
					t.Errorf("%s: second node: %v, want ErrElsewhere", name, err)
				}
			}
			if !comesBack {
				return errCut
			}
			return nil
		}
		if err := first.eraser.Act(t.Context(), order); comesBack != (err == nil) {
			t.Fatalf("%s: %v", name, err)
		}
		c.clock.add(1)
		if err := second.eraser.Act(t.Context(), order); err != nil {
			t.Errorf("%s: second node: %v", name, err)
		}
		got := c.certificate()
		if (got.Files > 0) != comesBack || strings.Contains(got.Method, "searched was the data directory") != comesBack {
			t.Errorf("%s: certificate %+v", name, got)
		}
	}
}

// TestStartingNodeLeavesAPendingErasureAlone starts a node between the decision
// and the search of another one.
func TestStartingNodeLeavesAPendingErasureAlone(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	order := c.erases()
	if err := c.nodes[1].eraser.Repeat(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.nodes[0].eraser.Act(t.Context(), order); err != nil {
		t.Fatal(err)
	}
	if got := c.certificate(); got.Files == 0 {
		t.Errorf("certificate %+v, want one of a search", got)
	}
	for _, m := range c.nodes {
		for _, r := range c.feed(m, "ErasureCertified") {
			if err := m.eraser.Follow(t.Context(), r); err != nil {
				t.Errorf("%s: %v", m.name, err)
			}
		}
	}
	if err := c.nodes[1].eraser.Repeat(t.Context()); err != nil {
		t.Errorf("start behind the certificate: %v", err)
	}
}
