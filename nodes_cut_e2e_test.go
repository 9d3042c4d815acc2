package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/authledger/authledger/api/client"
	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/api/phone"
	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/esdbstore"
	"github.com/authledger/authledger/eventstore/esdbstore/esdbtest"
	"github.com/authledger/authledger/projections"
)

// Several nodes on one event database, as processes of their own, and the network
// and the servers between them. The nodes run as in production, without --demo:
// what they send goes to a receiver of the test.

// cutCluster is an event database and what its nodes have in common.
type cutCluster struct {
	t      *testing.T
	server *esdbtest.Server
	prefix string
	kek    string
	secret string
	hook   string            // address of the receiver
	keys   map[string]string // API key by role

	mu   sync.Mutex
	sent map[string][]string // texts by message id
}

func newCutCluster(t *testing.T, members int) *cutCluster {
	t.Helper()
	dir := t.TempDir()
	c := &cutCluster{
		t: t, server: esdbtest.Start(t, esdbtest.Options{Members: members}), prefix: newLedgerPrefix(),
		kek: filepath.Join(dir, "kek.json"), secret: filepath.Join(dir, "webhook.secret"), keys: map[string]string{}, sent: map[string][]string{},
	}
	receiver := httptest.NewServer(http.HandlerFunc(c.receive))
	t.Cleanup(receiver.Close)
	c.hook = receiver.URL
	if err := os.WriteFile(c.secret, []byte("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.command("keys", "generate", "--kind", "kek", "--out", c.kek)
	c.command(c.stored("store", "prepare")...)
	for _, role := range []string{"frontend", "device", "auditor", "operator", "compliance"} {
		c.keys[role] = c.command(c.stored("client", "create", "--role", role, "--name", "test "+role)...)
	}
	return c
}

// stored are the arguments of a command on the whole server's ledger.
func (c *cutCluster) stored(args ...string) []string {
	return append(args, "--store", c.server.URL(), "--store-prefix", c.prefix)
}

// command runs the program to its end, which must be good.
func (c *cutCluster) command(args ...string) string {
	c.t.Helper()
	path, err := built()
	if err != nil {
		c.t.Fatal(err)
	}
	out, err := exec.CommandContext(c.t.Context(), path, args...).Output()
	if err != nil {
		c.t.Fatalf("authledger %s: %v: %s%s", strings.Join(args, " "), err, out, stderrOf(err))
	}
	return strings.TrimSpace(string(out))
}

// receive is the SMS provider.
func (c *cutCluster) receive(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Type string `json:"type"`
		Data struct {
			MessageID string `json:"messageId"`
			Text      string `json:"text"`
		} `json:"data"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		c.t.Errorf("what the receiver was sent: %v", err)
	}
	if body.Type == "delivery.sms.requested" {
		c.mu.Lock()
		c.sent[body.Data.MessageID] = append(c.sent[body.Data.MessageID], body.Data.Text)
		c.mu.Unlock()
	}
	w.WriteHeader(http.StatusAccepted)
}

var cutAnswersAt = regexp.MustCompile(`answers at (http://127\.0\.0\.1:\d+)`)

// node starts a node over a connection string and waits until it answers.
func (c *cutCluster) node(url string) *product {
	c.t.Helper()
	return c.nodeAt(c.t.TempDir(), url)
}

// nodeAt is node with the directory of one that ran before.
func (c *cutCluster) nodeAt(data, url string) *product {
	c.t.Helper()
	path, err := built()
	if err != nil {
		c.t.Fatal(err)
	}
	p := &product{t: c.t, data: data, keys: c.keys, stdout: newOutput(), stderr: newOutput(), waited: make(chan error, 1)}
	p.cmd = exec.Command(path, "serve", "--data", data, "--listen", "127.0.0.1:0", "--store", url, "--store-prefix", c.prefix,
		"--kek-file", c.kek, "--accept-store-rights", "--webhook-url", c.hook, "--webhook-secret-file", c.secret)
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	if err := p.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	go func() {
		err := p.cmd.Wait()
		p.stdout.finish()
		p.stderr.finish()
		p.waited <- err
	}()
	c.t.Cleanup(p.kill)
	if !p.stdout.waitFor("Stop with Ctrl-C") {
		c.t.Fatalf("the node ended before it answered:\n%s", p.stderr)
	}
	p.url = cutAnswersAt.FindStringSubmatch(p.stdout.String())[1]
	return p
}

// code waits for an SMS and returns the code in it.
func (c *cutCluster) code(p *product, id string) (code string) {
	c.t.Helper()
	p.until("SMS "+id+" arrives", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.sent[id]) == 0 {
			return false
		}
		code = inCode.FindString(c.sent[id][0])
		return true
	})
	return code
}

// user registers somebody whose phone is verified.
func (c *cutCluster) user(p *product, ref string) *person {
	c.t.Helper()
	u := newPerson(p, ref, "DE", "IE")
	var v gen.Verification
	p.post("frontend", "/v1/phones/"+u.phoneID+"/verifications", nil, &v)
	if got := u.check(v, c.code(p, string(v.MessageId))); got.Status != "verified" {
		c.t.Fatalf("verify the phone of %s: %+v", ref, got)
	}
	p.until("SMS is enrolled", func() bool { return u.kinds() == "sms" })
	return u
}

// withApp activates IB Key for a user, who is then asked for responses, not
// pushes.
func (c *cutCluster) withApp(u *person) *person {
	c.t.Helper()
	installation := u.p.mustRun("phone", "register", "--file", u.phone, "--server", u.p.url, "--os", "ios")
	a := u.authenticate("activation", "ibkr_mobile_ios", "verified")
	var e gen.Enrollment
	u.p.post("frontend", "/v1/users/"+u.id+"/enrollments", gen.StartEnrollmentRequest{
		Kind: "ibkey", InstallationId: gen.InstallationId(installation), AuthenticationId: a.AuthenticationId,
	}, &e)
	u.p.mustRun("phone", "activate", "--file", u.phone, "--user", u.id, "--enrollment", string(e.EnrollmentId),
		"--code", c.code(u.p, string(e.MessageId)), "--uv", "face_id")
	u.p.post("frontend", "/v1/users/"+u.id+"/seamless", gen.SeamlessRequest{Enabled: false}, nil)
	return u
}

// register writes: a client of a reference. It returns the position.
func (c *cutCluster) register(p *product, ref string) (gen.ClientId, string) {
	c.t.Helper()
	var answer gen.ClientAnswer
	a := p.post("frontend", "/v1/clients", gen.RegisterClientRequest{Reference: ref, Kind: "individual", CarryingEntity: "IB-IE", CarryingCountry: "IE"}, &answer)
	return answer.ClientId, a.Position
}

// seesAt asks a node for the newest events, as of a position at least, and
// reports whether one of them is in a stream of this name. The error of a refusal
// is a *client.Problem.
func (c *cutCluster) seesAt(p *product, position string, client gen.ClientId) (bool, error) {
	var list gen.EventList
	_, err := p.as("auditor").Get(c.t.Context(), "/v1/events?limit=20", http.Header{"Authledger-Min-Position": {position}}, &list)
	for _, e := range list.Items {
		if strings.HasSuffix(e.Stream, strings.TrimPrefix(string(client), "clt_")) {
			return true, err
		}
	}
	return false, err
}

// wantSeen expects that a node shows what was written elsewhere at a position.
func (c *cutCluster) wantSeen(p *product, position string, client gen.ClientId) {
	c.t.Helper()
	if seen, err := c.seesAt(p, position, client); err != nil || !seen {
		c.t.Errorf("a read that must see %s at %s: seen %v, %v", client, position, seen, err)
	}
}

// ready asks a node whether it is.
func (c *cutCluster) ready(p *product) (gen.Health, int) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 20*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/readyz", nil)
	if err != nil {
		c.t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		c.t.Fatalf("readyz: %v", err)
	}
	defer answer.Body.Close()
	var h gen.Health
	if err := json.NewDecoder(answer.Body).Decode(&h); err != nil {
		c.t.Fatalf("readyz: %v", err)
	}
	return h, answer.StatusCode
}

// TestNodeCutOffFromTheStore puts a black hole between one of two nodes and the
// event database. The node answers nothing that is older than what it is asked
// for, says that it cannot, and comes back by itself.
func TestNodeCutOffFromTheStore(t *testing.T) {
	t.Parallel()
	c := newCutCluster(t, 1)
	proxy := esdbtest.StartProxy(t, c.server.Address(0))
	a, b := c.node(c.server.URL()), c.node(c.server.URLAt(proxy.Address()))
	var id gen.ClientId
	var position string
	for i := range 20 {
		id, position = c.register(a, fmt.Sprintf("C-%d", i))
		c.wantSeen(b, position, id)
	}

	known, user := gen.UserAnswer{}, gen.RegisterUserRequest{
		Reference: "U-known", ClientId: id, Role: "owner", Username: "known", Locale: "en", Residence: "DE", ResidentOn: "2010-01-01",
	}
	a.post("frontend", "/v1/users", user, &known)
	b.get("frontend", "/v1/users/"+string(known.UserId), nil)

	proxy.Hole()
	unheard, position := c.register(a, "C-unheard")
	a.post("frontend", "/v1/users/"+string(known.UserId)+"/seamless", gen.SeamlessRequest{Enabled: false}, nil)
	var all sync.WaitGroup
	refused := func(what, code string, ask func() error) {
		all.Go(func() {
			began := time.Now()
			var p *client.Problem
			if err := ask(); !errors.As(err, &p) || p.Status != 503 || code != "" && p.Code != code || code != "" && p.Lag < 1 {
				t.Errorf("%s, on the node that is cut off: %v, want 503 %s", what, err, code)
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("%s was refused after %v", what, took)
			} else {
				t.Logf("%s: refused after %v", what, took)
			}
		})
	}
	refused("read of the views ahead of them", "projection_behind", func() error {
		_, err := c.seesAt(b, position, unheard)
		return err
	})
	refused("read of a user who has changed", "", func() error {
		_, err := b.as("frontend").Get(t.Context(), "/v1/users/"+string(known.UserId), nil, nil)
		return err
	})
	cutCommand := gen.RegisterClientRequest{Reference: "C-cut", Kind: "individual", CarryingEntity: "IB-IE", CarryingCountry: "IE"}
	refused("command", "", func() error {
		_, err := b.as("frontend").PostAs(t.Context(), "cut-off", "/v1/clients", cutCommand, nil)
		return err
	})
	began := time.Now()
	b.until("the node that is cut off says that it is not ready", func() bool {
		h, status := c.ready(b)
		return status == 503 && slices.Contains(h.Failing, "store")
	})
	t.Logf("/readyz names the store after %v", time.Since(began))
	all.Wait()
	if h, status := c.ready(a); status != 200 {
		t.Errorf("the other node: %d %+v", status, h)
	}
	c.register(a, "C-meanwhile")

	proxy.Heal()
	began = time.Now()
	b.until("the node that was cut off is ready", func() bool { _, status := c.ready(b); return status == 200 })
	t.Logf("ready %v after the network came back", time.Since(began))
	id, position = c.register(a, "C-after")
	c.wantSeen(b, position, id)
	var first, second gen.ClientAnswer
	for node, into := range map[*product]*gen.ClientAnswer{a: &first, b: &second} { // one outcome, wherever it is asked for
		if _, err := node.as("frontend").PostAs(t.Context(), "cut-off", "/v1/clients", cutCommand, into); err != nil {
			t.Errorf("repeat the command of the cut: %v", err)
		}
	}
	if first.ClientId == "" || first.ClientId != second.ClientId {
		t.Errorf("the command of the cut has outcomes %q and %q", first.ClientId, second.ClientId)
	}
	c.wantSameViews(a, b)
}

// wantSameViews waits until the views of the nodes show the whole log, stops the
// nodes and compares what they built: with the log, and with each other.
func (c *cutCluster) wantSameViews(nodes ...*product) {
	c.t.Helper()
	head := len(c.records())
	for _, p := range nodes {
		p.until("the views show the whole log", func() bool {
			var compared struct{ Sequence, Rows int }
			text := c.command(c.stored("verify", "views", "--data", p.data, "-o", "json")...)
			if err := json.Unmarshal([]byte(text), &compared); err != nil || compared.Rows == 0 {
				c.t.Fatalf("verify views: %s, %v", text, err)
			}
			return compared.Sequence >= head
		})
		c.command(c.stored("verify", "log", "--data", p.data)...)
	}
	var first eventstore.Hash
	for i, p := range nodes {
		p.stop()
		views, err := projections.Open(c.t.Context(), projections.Options{Dir: p.data, Codec: codec.New(nil), Clock: time.Now})
		if err != nil {
			c.t.Fatal(err)
		}
		hash, at, err := views.Hash(c.t.Context())
		if err := errors.Join(err, views.Close()); err != nil {
			c.t.Fatal(err)
		}
		c.t.Logf("node %d: views %s at %d", i, hash, at)
		if i == 0 {
			first = hash
		} else if hash != first {
			c.t.Errorf("node %d has views of hash %s at %d, node 0 %s", i, hash, at, first)
		}
	}
}

// records reads the log as it lies in the event database.
func (c *cutCluster) records() (all []eventstore.Record) {
	c.t.Helper()
	log, err := esdbstore.Open(c.t.Context(), esdbstore.Options{URL: c.server.URL(), Prefix: c.prefix, Dir: c.t.TempDir()})
	if err != nil {
		c.t.Fatal(err)
	}
	defer log.Close()
	for r, err := range log.ReadAll(c.t.Context(), 1) {
		if err != nil {
			c.t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// cutLoad is users who log in by challenge and response through two nodes: the
// login begins on one and is answered on the other.
type cutLoad struct {
	c     *cutCluster
	nodes [2]*product
	users []*person

	mu      sync.Mutex // guards the rest
	acked   map[gen.EventId]bool
	done    map[string]int // logins by user
	repeats int            // requests sent again because they had no answer, or 503
}

// log in until stop is closed, each user on its own.
func (l *cutLoad) run(stop <-chan struct{}) {
	var all sync.WaitGroup
	for i, u := range l.users {
		all.Go(func() {
			app := phone.Open(u.phone, "", time.Now)
			for n := i; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if !l.login(u, app, n) {
					return
				}
			}
		})
	}
	all.Wait()
}

func (l *cutLoad) login(u *person, app *phone.Phone, n int) bool {
	var a gen.Authentication
	if !l.post(n, "/v1/authentications", gen.StartAuthenticationRequest{
		UserId: gen.UserId(u.id), Purpose: "login", Platform: "client_portal", PrimaryFactor: "verified",
	}, &a) {
		return false
	}
	response, err := app.Respond(l.c.t.Context(), u.id, a.Challenge.OfflineChallenge, "")
	if err != nil {
		l.c.t.Errorf("login of %s: %v after %+v", u.ref, err, a)
		return false
	}
	var answered gen.Challenge
	if !l.post(n+1, "/v1/challenges/"+string(a.Challenge.Id)+"/responses", gen.ResponseRequest{Response: response}, &answered) {
		return false
	}
	if answered.Result != "allow" {
		l.c.t.Errorf("login of %s: %+v", u.ref, answered)
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done[u.id]++
	for _, id := range append(a.EventIds, answered.EventIds...) {
		l.acked[id] = true
	}
	return true
}

// post sends a request to the nodes by turns, beginning with the nth, under one
// idempotency key, until one of them answers.
func (l *cutLoad) post(n int, path string, in, out any) bool {
	key, deadline := rand.Text(), time.Now().Add(time.Minute)
	for ; ; n++ {
		_, err := l.nodes[n%2].as("frontend").PostAs(l.c.t.Context(), key, path, in, out)
		var p *client.Problem
		switch {
		case err == nil:
			return true
		case errors.As(err, &p) && p.Status != 503:
			l.c.t.Errorf("POST %s: %v", path, err)
			return false
		case time.Now().After(deadline):
			l.c.t.Errorf("POST %s: not answered in a minute: %v", path, err)
			return false
		}
		l.mu.Lock()
		l.repeats++
		l.mu.Unlock()
	}
}

// logins is how many were completed so far.
func (l *cutLoad) logins() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, done := range l.done {
		n += done
	}
	return n
}

// goesOn waits until each user can have logged in again.
func (l *cutLoad) goesOn(after string) {
	l.c.t.Helper()
	before := l.logins()
	l.nodes[0].until("logins go on after "+after, func() bool { return l.logins() >= before+2*len(l.users) })
}

// verify finds every acknowledged event in the log, once, and as many logins as
// were completed.
func (l *cutLoad) verify() {
	t := l.c.t
	t.Helper()
	times, logins := map[string]int{}, map[string]int{}
	heads := map[string]eventstore.Hash{}
	for _, r := range l.c.records() {
		times[codec.EventIDText(r.ID)]++
		if want := `{"prev":"` + heads[r.Stream].String() + `"`; !strings.HasPrefix(string(r.Metadata), want) {
			t.Errorf("record %d of %s does not continue the stream", r.Sequence, r.Stream)
		}
		heads[r.Stream] = r.Leaf()
		if r.Type == "AuthenticationSucceeded" {
			logins[r.Stream]++
		}
	}
	for id := range l.acked {
		if times[string(id)] != 1 {
			t.Errorf("acknowledged event %s stands in the log %d times, want once", id, times[string(id)])
		}
	}
	for _, u := range l.users {
		if got := logins[domain.UserStream(u.id)]; got != l.done[u.id] {
			t.Errorf("%s logged in %d times by the log, %d by the answers", u.ref, got, l.done[u.id])
		}
	}
}

// TestNodesOutliveTheirServers changes the leader of the event database, stops and
// starts its members and all of them at once, while users log in through two
// nodes: what was acknowledged stands there once.
func TestNodesOutliveTheirServers(t *testing.T) {
	t.Parallel()
	c := newCutCluster(t, 3)
	l := &cutLoad{c: c, acked: map[gen.EventId]bool{}, done: map[string]int{}, nodes: [2]*product{c.node(c.server.URL()), c.node(c.server.URL())}}
	for i := range 3 {
		l.users = append(l.users, c.withApp(c.user(l.nodes[i%2], fmt.Sprintf("cut-%d", i))))
	}
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() { defer close(ended); l.run(stop) }()
	end := sync.OnceFunc(func() { close(stop); <-ended })
	defer end()
	l.goesOn("the start")
	c.server.MoveLeader()
	l.goesOn("another leader was chosen")
	leader := c.server.Leader()
	c.server.StopMember(leader)
	l.goesOn("the leader was lost")
	if err := c.server.StartMember(leader); err != nil {
		t.Fatal(err)
	}
	c.server.Cut()
	l.goesOn("every connection was closed")
	if err := c.server.Restart(); err != nil {
		t.Fatal(err)
	}
	l.goesOn("all members were restarted")
	end()
	l.verify()
	t.Logf("%d logins, %d requests sent again", l.logins(), l.repeats)
}
