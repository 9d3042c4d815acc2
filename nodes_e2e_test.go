//go:build !race

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/authledger/authledger/api/client"
	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/esdbstore"
	"github.com/authledger/authledger/eventstore/esdbstore/esdbtest"
	"github.com/authledger/authledger/eventstore/keyring"
)

// killRounds is how often `make test` kills one of three nodes; `make nodes`
// asks for more through AUTHLEDGER_KILL_ROUNDS.
const killRounds = 200

// TestThreeNodesLoseNothing runs three processes of the built program on one
// log and kills one of them, chosen at random, again and again while clients
// register users and have codes sent, each request going to any node and, when
// its answer is lost, to another one with the same idempotency key. Then every
// command that was acknowledged must stand in the log once, no message may have
// been handed to the gateway twice, every message must have come to an outcome,
// and the views and checkpoints of all nodes must be what the log says.
//
// It runs without the race detector: what it looks for is between processes,
// and the detector makes each of the two hundred starts ten times as long.
func TestThreeNodesLoseNothing(t *testing.T) {
	t.Parallel()
	rounds := killRounds
	if text := os.Getenv("AUTHLEDGER_KILL_ROUNDS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("AUTHLEDGER_KILL_ROUNDS=%q: %v", text, err)
		}
		rounds = n
	}
	c := newThreeNodes(t, 3)
	load := c.startLoad(3)
	for range rounds {
		load.progress(1 + rand.IntN(4))
		c.nodes[rand.IntN(len(c.nodes))].restart(rand.IntN(10) == 0)
	}
	load.stop()
	c.settled()
	c.check(load)
	t.Logf("%d kills, %d commands acknowledged (%d after a lost answer) with %d events, %d messages handed over, %d of them with an uncertain outcome",
		rounds, load.acknowledged, load.again, len(load.events), len(c.gateway.seen), c.uncertain)
}

// threeNodes is several nodes on one event database, with the gateway they use.
type threeNodes struct {
	t         *testing.T
	server    *esdbtest.Server
	prefix    string
	nodes     []*node
	gateway   *gateway
	key       string // of a login frontend
	auditor   string
	uncertain int
}

// gateway counts what it is handed.
type gateway struct {
	mu   sync.Mutex
	seen map[string]int // messages by id
}

func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var m struct {
		Type string `json:"type"`
		Data struct {
			MessageID string `json:"messageId"`
		} `json:"data"`
	}
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(body, &m)
	}
	if err != nil || m.Data.MessageID == "" {
		http.Error(w, "no message", http.StatusBadRequest)
		return
	}
	if m.Type == "delivery.sms.requested" {
		g.mu.Lock()
		g.seen[m.Data.MessageID]++
		g.mu.Unlock()
	}
	timer := time.NewTimer(time.Duration(rand.IntN(30)) * time.Millisecond) // a provider takes its time, and nodes die in it
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"providerMessageId":%q}`, "ref-"+m.Data.MessageID)
}

// node is one process, and the address it keeps over restarts.
type node struct {
	c    *threeNodes
	args []string
	url  string
	data string

	cmd     *exec.Cmd
	stderr  *output
	ended   chan error
	stopped bool
}

func newThreeNodes(t *testing.T, nodes int) *threeNodes {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c := &threeNodes{t: t, server: esdbtest.Start(t, esdbtest.Options{}), prefix: newLedgerPrefix(), gateway: &gateway{seen: map[string]int{}}}
	hook := httptest.NewServer(c.gateway)
	t.Cleanup(hook.Close)
	kek, secret := filepath.Join(dir, "kek.json"), filepath.Join(dir, "webhook.secret")
	if _, err := keyring.CreateKEKFile(kek); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(secret, []byte("whsec_c2VjcmV0LW9mLXRoZS1nYXRld2F5LTEyMzQ1Ng=="), 0o600); err != nil {
		t.Fatal(err)
	}
	store := []string{"--store", c.server.URL(), "--store-prefix", c.prefix}
	for i := range nodes {
		n := &node{c: c, data: filepath.Join(dir, fmt.Sprint("node", i))}
		listen := freeAddress(t)
		n.url = "http://" + listen
		n.args = append([]string{
			"serve", "--data", n.data, "--listen", listen, "--kek-file", kek, "--accept-store-rights", "--log-level", "error",
			"--webhook-url", hook.URL, "--webhook-secret-file", secret,
		}, store...)
		n.start(path)
		c.nodes = append(c.nodes, n)
	}
	t.Cleanup(func() {
		for _, n := range c.nodes {
			n.kill()
		}
	})
	for _, n := range c.nodes {
		n.ready()
	}
	c.key = c.client(path, store, "frontend")
	c.auditor = c.client(path, store, "auditor")
	return c
}

func (c *threeNodes) client(path string, store []string, role string) string {
	c.t.Helper()
	out, err := exec.Command(path, append([]string{"client", "create", "--role", role, "--name", "nodes"}, store...)...).Output()
	if err != nil {
		c.t.Fatalf("client create: %s", stderrOf(err))
	}
	return strings.TrimSpace(string(out))
}

// freeAddress is an address nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (n *node) start(path string) {
	n.c.t.Helper()
	n.cmd, n.stderr, n.ended = exec.Command(path, n.args...), newOutput(), make(chan error, 1)
	n.cmd.Stderr = n.stderr
	if err := n.cmd.Start(); err != nil {
		n.c.t.Fatal(err)
	}
	cmd, ended := n.cmd, n.ended
	go func() { ended <- cmd.Wait() }()
}

// restart kills the process and starts it again; patient waits until it is
// ready, so that not every process dies young.
func (n *node) restart(patient bool) {
	n.c.t.Helper()
	path, err := built()
	if err != nil {
		n.c.t.Fatal(err)
	}
	n.kill()
	n.start(path)
	if patient {
		n.ready()
	}
}

// kill ends the process as a crash would. One that ended by itself has failed.
func (n *node) kill() {
	select {
	case err := <-n.ended:
		n.ended <- err
		if !n.stopped {
			n.c.t.Errorf("a node ended by itself: %v\n%s", err, n.stderr)
		}
		return
	default:
	}
	if err := n.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		n.c.t.Error(err)
	}
	err := <-n.ended
	n.ended <- err
}

// ready waits until the node says that it can serve.
func (n *node) ready() {
	n.c.t.Helper()
	ctx, cancel := context.WithTimeout(n.c.t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if r, err := http.Get(n.url + "/readyz"); err == nil {
			_ = r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-tick.C:
		case err := <-n.ended:
			n.ended <- err
			n.c.t.Fatalf("a node ended before it was ready: %v\n%s", err, n.stderr)
		case <-ctx.Done():
			n.c.t.Fatalf("a node was not ready within a minute\n%s", n.stderr)
		}
	}
}

// nodeLoad is clients that use whichever node answers.
type nodeLoad struct {
	c       *threeNodes
	stopped chan struct{}
	running sync.WaitGroup
	step    chan struct{} // receives for each acknowledged command

	mu           sync.Mutex // guards the rest
	people       int
	acknowledged int
	again        int             // of them after an answer that was lost
	events       map[string]int  // acknowledged event ids, by how often they were answered
	messages     map[string]bool // message ids that were answered
}

func (c *threeNodes) startLoad(clients int) *nodeLoad {
	l := &nodeLoad{c: c, stopped: make(chan struct{}), step: make(chan struct{}, 1<<20), events: map[string]int{}, messages: map[string]bool{}}
	for range clients {
		l.running.Go(func() {
			for !l.over() && l.person() {
			}
		})
	}
	return l
}

func (l *nodeLoad) over() bool {
	select {
	case <-l.stopped:
		return true
	default:
		return false
	}
}

// progress waits until so many more commands were acknowledged.
func (l *nodeLoad) progress(n int) {
	l.c.t.Helper()
	limit := time.NewTimer(time.Minute)
	defer limit.Stop()
	for range n {
		select {
		case <-l.step:
		case <-limit.C:
			l.c.t.Fatal("no command was acknowledged within a minute")
		}
	}
}

func (l *nodeLoad) stop() {
	close(l.stopped)
	l.running.Wait()
}

// person registers somebody with a phone and has a code sent to it.
func (l *nodeLoad) person() bool {
	l.mu.Lock()
	l.people++
	name := fmt.Sprintf("%s-%d", l.c.prefix, l.people)
	number := fmt.Sprintf("+4915%09d", l.people)
	l.mu.Unlock()
	var cl gen.ClientAnswer
	if !l.call("C-"+name, "/v1/clients", gen.RegisterClientRequest{
		Reference: "C-" + name, Kind: "individual", CarryingEntity: "IB-IE", CarryingCountry: "IE",
	}, &cl, func() []gen.EventId { return cl.EventIds }) {
		return false
	}
	var u gen.UserAnswer
	if !l.call("U-"+name, "/v1/users", gen.RegisterUserRequest{
		Reference: "U-" + name, ClientId: cl.ClientId, Role: "owner", Username: name, Locale: "en", Residence: "DE", ResidentOn: "2010-01-01",
	}, &u, func() []gen.EventId { return u.EventIds }) {
		return false
	}
	var ph gen.PhoneAnswer
	if !l.call("P-"+name, "/v1/users/"+string(u.UserId)+"/phones", gen.AddPhoneRequest{Number: number}, &ph, func() []gen.EventId { return ph.EventIds }) {
		return false
	}
	var v gen.Verification
	return l.call("V-"+name, "/v1/phones/"+string(ph.PhoneId)+"/verifications", struct{}{}, &v, func() []gen.EventId {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.messages[string(v.MessageId)] = true
		return v.EventIds
	})
}

// call sends a command to one node after the other until one answers. false
// means that the load is over.
func (l *nodeLoad) call(key, path string, in, out any, events func() []gen.EventId) bool {
	for try := 0; ; try++ {
		n := l.c.nodes[rand.IntN(len(l.c.nodes))]
		ctx, cancel := context.WithTimeout(l.c.t.Context(), 15*time.Second)
		_, err := client.New(n.url, l.c.key).PostAs(ctx, key, path, in, out)
		cancel()
		if err == nil {
			l.count(try > 0, events())
			return true
		}
		var refused *client.Problem
		if errors.As(err, &refused) && refused.Status < 500 && refused.Status != http.StatusTooManyRequests && refused.Status != http.StatusConflict {
			l.c.t.Errorf("%s: %v", path, err)
			return false
		}
		pause := time.NewTimer(time.Duration(5+rand.IntN(40)) * time.Millisecond)
		select {
		case <-pause.C:
		case <-l.stopped:
			return false
		}
	}
}

func (l *nodeLoad) count(again bool, events []gen.EventId) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acknowledged++
	if again {
		l.again++
	}
	for _, id := range events {
		l.events[string(id)]++
	}
	l.step <- struct{}{}
}

// log reads the whole log with a reader of the test's own.
func (c *threeNodes) log() []eventstore.Record {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	s, err := esdbstore.Open(ctx, esdbstore.Options{URL: c.server.URL(), Prefix: c.prefix, Dir: filepath.Join(c.t.TempDir(), "reader")})
	if err != nil {
		c.t.Fatal(err)
	}
	defer s.Close()
	var out []eventstore.Record
	for r, err := range s.ReadAll(ctx, 0) {
		if err != nil {
			c.t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

// outcomes are the types that end a message's way.
var outcomes = map[string]bool{"SMSSent": true, "SMSSendFailed": true, "SMSDispatchUncertain": true}

// settled waits until every message that was asked for has come to an outcome.
func (c *threeNodes) settled() {
	c.t.Helper()
	for _, n := range c.nodes {
		n.ready()
	}
	limit := time.NewTimer(2 * time.Minute)
	defer limit.Stop()
	for {
		open := map[string]bool{}
		for _, r := range c.log() {
			switch {
			case r.Type == "SMSRequested":
				open[smsOf(c.t, r)] = true
			case outcomes[r.Type]:
				delete(open, smsOf(c.t, r))
			}
		}
		if len(open) == 0 {
			return
		}
		tick := time.NewTimer(200 * time.Millisecond)
		select {
		case <-tick.C:
		case <-limit.C:
			c.t.Fatalf("%d messages have no outcome after two minutes: %v", len(open), open)
		}
	}
}

func smsOf(t *testing.T, r eventstore.Record) string {
	t.Helper()
	var d struct {
		SMSID string `json:"sms_id"`
	}
	if err := json.Unmarshal(r.Data, &d); err != nil || d.SMSID == "" {
		t.Fatalf("record %d names no message: %s", r.Sequence, r.Data)
	}
	return d.SMSID
}

func (c *threeNodes) check(l *nodeLoad) {
	c.t.Helper()
	ids, commands, outcomeOf := map[string]int{}, map[string]string{}, map[string][]string{}
	for _, r := range c.log() {
		ids[codec.EventIDText(r.ID)]++
		var m struct {
			CommandID string `json:"command_id"`
			Ordinal   int    `json:"ordinal"`
		}
		if err := json.Unmarshal(r.Metadata, &m); err != nil || m.CommandID == "" {
			c.t.Fatalf("metadata of record %d: %s, %v", r.Sequence, r.Metadata, err)
		}
		// One command, one append: its events are neighbours in one stream.
		if stream, ok := commands[m.CommandID]; ok && (stream != r.Stream || m.Ordinal == 0) {
			c.t.Errorf("command %s of record %d was carried out twice", m.CommandID, r.Sequence)
		}
		commands[m.CommandID] = r.Stream
		if outcomes[r.Type] || r.Type == "SMSRequested" || r.Type == "SMSDispatchStarted" {
			outcomeOf[smsOf(c.t, r)] = append(outcomeOf[smsOf(c.t, r)], r.Type)
		}
		if r.Type == "SMSDispatchUncertain" {
			c.uncertain++
		}
	}
	for id, n := range ids {
		if n != 1 {
			c.t.Errorf("event %s stands %d times", id, n)
		}
	}
	for id := range l.events {
		if ids[id] != 1 {
			c.t.Errorf("event %s was acknowledged and stands %d times", id, ids[id])
		}
	}
	c.checkMessages(l, outcomeOf)
	c.checkNodes()
}

func (c *threeNodes) checkMessages(l *nodeLoad, outcomeOf map[string][]string) {
	c.t.Helper()
	c.gateway.mu.Lock()
	defer c.gateway.mu.Unlock()
	for id, n := range c.gateway.seen {
		if n != 1 {
			c.t.Errorf("message %s was handed over %d times", id, n)
		}
	}
	for id := range l.messages {
		if outcomeOf[id] == nil {
			c.t.Errorf("message %s was acknowledged and is not in the log", id)
		}
	}
	for id, way := range outcomeOf {
		ends := 0
		for _, step := range way {
			if outcomes[step] {
				ends++
			}
		}
		if way[0] != "SMSRequested" || ends == 0 {
			c.t.Errorf("message %s went %v", id, way)
		}
		if handed := c.gateway.seen[id] == 1; !handed && !strings.Contains(strings.Join(way, " "), "Uncertain") {
			c.t.Errorf("message %s went %v and was never handed over", id, way)
		}
	}
}

// checkNodes compares the nodes with the log and so with each other.
func (c *threeNodes) checkNodes() {
	c.t.Helper()
	path, err := built()
	if err != nil {
		c.t.Fatal(err)
	}
	for _, n := range c.nodes {
		c.wantViews(path, n)
	}
	c.wantOneCheckpoint()
	c.wantRevoked(path)
	for _, n := range c.nodes {
		c.stop(n)
		out, err := exec.Command(path, append([]string{"verify", "log"}, c.flags(n)...)...).CombinedOutput()
		if err != nil {
			c.t.Errorf("verify log of %s: %v\n%s", n.data, err, out)
		}
	}
}

// wantOneCheckpoint waits until all nodes serve the same newest checkpoint.
func (c *threeNodes) wantOneCheckpoint() {
	c.t.Helper()
	var texts []string
	for range 100 {
		texts = nil
		for _, n := range c.nodes {
			request, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, n.url+"/v1/log/checkpoint", nil)
			if err != nil {
				c.t.Fatal(err)
			}
			request.Header.Set("Authorization", "Bearer "+c.auditor)
			r, err := http.DefaultClient.Do(request)
			if err != nil {
				c.t.Fatal(err)
			}
			text, err := io.ReadAll(r.Body)
			_ = r.Body.Close()
			if err != nil || r.StatusCode != http.StatusOK {
				c.t.Fatalf("checkpoint of %s: %d, %v", n.url, r.StatusCode, err)
			}
			signed, _, _ := strings.Cut(string(text), "\n\n")
			texts = append(texts, signed)
		}
		if texts[0] == texts[1] && texts[0] == texts[2] {
			return
		}
		tick := time.NewTimer(50 * time.Millisecond)
		<-tick.C
	}
	c.t.Errorf("the nodes serve different checkpoints: %q", texts)
}

// wantRevoked revokes the frontend's key by the command line; every node must
// refuse it soon.
func (c *threeNodes) wantRevoked(path string) {
	c.t.Helper()
	id := c.key[:strings.LastIndex(c.key, "_")]
	if out, err := exec.Command(path, "client", "revoke", id, "--store", c.server.URL(), "--store-prefix", c.prefix).CombinedOutput(); err != nil {
		c.t.Fatalf("client revoke: %v\n%s", err, out)
	}
	revoked := time.Now()
	for _, n := range c.nodes {
		for {
			_, err := client.New(n.url, c.key).Get(c.t.Context(), "/v1/users/usr_00000000000000000000000000", nil, nil)
			var refused *client.Problem
			if errors.As(err, &refused) && refused.Status == http.StatusUnauthorized {
				break
			}
			if time.Since(revoked) > 10*time.Second {
				c.t.Errorf("node %s still knows a revoked key: %v", n.url, err)
				break
			}
			pause := time.NewTimer(50 * time.Millisecond)
			<-pause.C
		}
	}
}

// flags are those by which a command reads what a node has.
func (c *threeNodes) flags(n *node) []string {
	return []string{"--data", n.data, "--store", c.server.URL(), "--store-prefix", c.prefix}
}

// wantViews builds the views again and compares them with a node's, which must
// come to hold the whole log: so all nodes' views are equal.
func (c *threeNodes) wantViews(path string, n *node) {
	c.t.Helper()
	want := fmt.Sprintf("as of @%d\n", len(c.log()))
	var out []byte
	for range 50 {
		var err error
		if out, err = exec.Command(path, append([]string{"verify", "views"}, c.flags(n)...)...).CombinedOutput(); err != nil {
			c.t.Errorf("verify views of %s: %v\n%s", n.data, err, out)
			return
		}
		if strings.Contains(string(out), want) {
			return
		}
	}
	c.t.Errorf("the views of %s do not come to the end of the log, %s: %s", n.data, want, out)
}

// stop ends a node as an operator would.
func (c *threeNodes) stop(n *node) {
	c.t.Helper()
	if err := n.cmd.Process.Signal(os.Interrupt); err != nil {
		c.t.Error(err)
	}
	err := <-n.ended
	n.ended <- err
	n.stopped = true
	if err != nil {
		c.t.Errorf("a node ended with %v\n%s", err, n.stderr)
	}
}
