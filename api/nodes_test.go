package api

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync"
	"testing"

	"github.com/authledger/authledger/api/access"
	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/journal"
	"github.com/authledger/authledger/eventstore/memstore"
	"github.com/authledger/authledger/projections"
)

// storeSwitch is the environment variable that runs the tests of this package on
// two nodes of a shared store, which take turns at the requests, when it is
// "shared".
const storeSwitch = "AUTHLEDGER_TEST_STORE"

// node is one process's server and what it keeps.
type node struct {
	server  *Server
	journal *journal.Journal
	views   *projections.Views
}

// spread is how far apart two positions of a sparse log are.
const spread = 1000

// sparse is a node's log whose positions are not those of a count.
type sparse struct{ *memstore.Node }

func apart(p eventstore.Position) eventstore.Position { return p * spread }

func (s sparse) Append(ctx context.Context, stream string, expected eventstore.Expected, events []eventstore.Proposed) (eventstore.Appended, error) {
	a, err := s.Node.Append(ctx, stream, expected, events)
	a.Position = apart(a.Position)
	return a, err
}

func (s sparse) ReadStream(ctx context.Context, stream string, from eventstore.Revision) iter.Seq2[eventstore.Record, error] {
	return spreading(s.Node.ReadStream(ctx, stream, from))
}

func (s sparse) ReadAll(ctx context.Context, from eventstore.Sequence) iter.Seq2[eventstore.Record, error] {
	return spreading(s.Node.ReadAll(ctx, from))
}

func spreading(records iter.Seq2[eventstore.Record, error]) iter.Seq2[eventstore.Record, error] {
	return func(yield func(eventstore.Record, error) bool) {
		for r, err := range records {
			r.Position = apart(r.Position)
			if !yield(r, err) {
				return
			}
		}
	}
}

func (s sparse) ByID(ctx context.Context, id eventstore.EventID) (eventstore.Record, error) {
	r, err := s.Node.ByID(ctx, id)
	r.Position = apart(r.Position)
	return r, err
}

func (s sparse) Head(ctx context.Context) (eventstore.Sequence, eventstore.Position, error) {
	n, p, err := s.Node.Head(ctx)
	return n, apart(p), err
}

// beside is a second node on the world's log.
func (w *world) beside(store eventstore.Store) *node {
	w.t.Helper()
	n := &node{}
	n.journal, n.views = w.behind(store)
	c := w.config
	c.Journal, c.Views, c.Store = n.journal, n.views, store
	n.server = must[*Server](w.t)(New(c))
	n.server.viewWait = w.server.viewWait
	return n
}

// first is the node the world began with.
func (w *world) first() *node {
	if len(w.nodes) > 0 {
		return w.nodes[0]
	}
	return &node{w.server, w.journal, w.views}
}

// next is the server whose turn it is.
func (w *world) next() *Server {
	if len(w.nodes) == 0 {
		return w.server
	}
	w.turns.mu.Lock()
	defer w.turns.mu.Unlock()
	w.turns.n++
	return w.nodes[w.turns.n%len(w.nodes)].server
}

// turns counts requests, and the records the nodes were told of.
type turns struct {
	mu   sync.Mutex
	n    int
	told eventstore.Sequence
}

// notice tells all nodes what came to the log, as their followers would.
func (w *world) notice() {
	if len(w.nodes) == 0 {
		return
	}
	w.turns.mu.Lock()
	defer w.turns.mu.Unlock()
	var came []eventstore.Record
	for r, err := range w.store.ReadAll(context.Background(), w.turns.told+1) {
		if err != nil {
			w.t.Error(err)
			return
		}
		came = append(came, r)
	}
	if len(came) == 0 {
		return
	}
	w.turns.told = came[len(came)-1].Sequence
	for _, n := range w.nodes {
		if err := n.journal.Notice(context.Background(), came); err != nil {
			w.t.Error(err)
		}
	}
}

// on sends a request to one node.
func (w *world) on(node int, r *http.Request) answer {
	w.t.Helper()
	rec := httptest.NewRecorder()
	w.nodes[node].server.Handler().ServeHTTP(rec, r)
	return answer{rec.Code, rec.Header(), rec.Body.Bytes()}
}

// write turns seamless on or off, on one node.
func (w *world) write(node int, on bool) answer {
	w.t.Helper()
	body := must[[]byte](w.t)(json.Marshal(map[string]any{"enabled": on}))
	a := w.on(node, w.request(access.Frontend, "POST", "/v1/users/"+w.user+"/seamless", body, "Idempotency-Key", w.newKey()))
	if a.status != 200 {
		w.t.Fatalf("write: %d %s", a.status, a.body)
	}
	return a
}

// A token of one node is good on another: what was written is read there, or the
// answer says how many records are missing. It is never an older state.
func TestTokenOfAnotherNode(t *testing.T) {
	t.Parallel()
	w := openWorld(t, true)
	w.register()
	w.project()
	w.write(0, false)
	token := w.write(0, true).header.Get(headerPosition)
	read := func(token string) answer {
		return w.on(1, w.request(access.Auditor, "GET", "/v1/events?type=SeamlessEnabled", nil, headerMinPosition, token))
	}
	late := read(token)
	if p := want[gen.Problem](t, late, 503); p.Code != "projection_behind" || p.Lag != 2 || late.header.Get("Retry-After") != "1" {
		t.Fatalf("two records behind: %+v", p)
	}
	w.apply(w.nodes[1].views)
	if a := read(token); len(want[gen.EventList](t, a, 200).Items) != 1 || a.header.Get(headerReadAt) != token {
		t.Errorf("the node has it now: %s, read at %s, want %s", a.body, a.header.Get(headerReadAt), token)
	}
	beyond := strconv.FormatUint(must[uint64](t)(strconv.ParseUint(token, 10, 64))+1, 10)
	if p := want[gen.Problem](t, read(beyond), 503); p.Lag != 1 {
		t.Errorf("a position the node has not heard of: %+v", p)
	}
	path := "/v1/users/" + w.user + "/authenticators"
	if a := w.on(1, w.request(access.Frontend, "GET", path, nil)); a.header.Get(headerReadAt) != w.position() {
		t.Errorf("what is read from the log itself is as of %s, want %s", a.header.Get(headerReadAt), w.position())
	}
}

// The second page of a list may be asked of another node. It is as of the same
// record, or there is none yet.
func TestPageOfAnotherNode(t *testing.T) {
	t.Parallel()
	w := openWorld(t, true)
	w.register()
	w.project()
	w.write(0, false)
	w.apply(w.nodes[0].views)
	page := func(node int, after string) answer {
		query := url.Values{"limit": {"2"}}
		if after != "" {
			query.Set("after", after)
		}
		return w.on(node, w.request(access.Auditor, "GET", "/v1/events?"+query.Encode(), nil))
	}
	first := want[gen.EventList](t, page(0, ""), 200)
	if first.Window.AtPosition != first.Items[0].Position {
		t.Errorf("as of %s, the newest event is at %s", first.Window.AtPosition, first.Items[0].Position)
	}
	if p := want[gen.Problem](t, page(1, first.Page.Next), 503); p.Code != "projection_behind" || p.Lag != 1 {
		t.Errorf("on a node that is behind: %+v", p)
	}
	w.write(0, true)
	w.apply(w.nodes[1].views)
	second := want[gen.EventList](t, page(1, first.Page.Next), 200)
	if second.Window.AtPosition != first.Window.AtPosition || second.Items[0].Sequence != first.Items[1].Sequence-1 {
		t.Errorf("as of %s, beginning with @%d", second.Window.AtPosition, second.Items[0].Sequence)
	}
}

// Readiness counts records, however far their positions are apart.
func TestReadinessCountsRecords(t *testing.T) {
	t.Parallel()
	w := openWorld(t, true)
	w.register()
	for n := range 12 { // twelve thousand positions
		w.write(0, n%2 == 1)
	}
	w.nodes[1].server.maxLag = uint64(w.head())
	ready := func() answer { return w.on(1, w.request("", "GET", "/readyz", nil)) }
	if a := ready(); a.status != 200 {
		t.Errorf("as many records behind as may be: %d %s", a.status, a.body)
	}
	w.write(0, false)
	w.write(0, true)
	if a := ready(); a.status != 503 {
		t.Errorf("more: %d %s", a.status, a.body)
	}
	w.apply(w.nodes[1].views)
	if a := ready(); a.status != 200 {
		t.Errorf("none: %d %s", a.status, a.body)
	}
}

// A request that a load balancer sends again to another node is executed once.
func TestRequestSentAgainToAnotherNode(t *testing.T) {
	t.Parallel()
	w := openWorld(t, true)
	w.register()
	body := must[[]byte](t)(json.Marshal(map[string]any{"enabled": false}))
	send := func(node int) answer {
		return w.on(node, w.request(access.Frontend, "POST", "/v1/users/"+w.user+"/seamless", body, "Idempotency-Key", "sent-again"))
	}
	answers := make([]answer, 8)
	var running sync.WaitGroup
	for i := range answers {
		running.Go(func() { answers[i] = send(i % 2) })
	}
	running.Wait()
	for i, a := range answers {
		if a.status != 200 || string(a.body) != string(answers[0].body) || a.header.Get(headerPosition) != answers[0].header.Get(headerPosition) {
			t.Errorf("answer %d: %d %s", i, a.status, a.body)
		}
	}
	if got := w.since(w.head() - 1); len(got) != 1 || got[0] != "SeamlessDisabled" {
		t.Errorf("the log ends with %v", got)
	}
}
