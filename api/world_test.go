package api

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/authledger/authledger/api/access"
	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/journal"
	"github.com/authledger/authledger/eventstore/keyring"
	"github.com/authledger/authledger/eventstore/memstore"
	"github.com/authledger/authledger/projections"
	"github.com/authledger/authledger/replay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ticker is a clock a test moves by hand; it also is the simulated clock.
type ticker struct {
	mu  sync.Mutex
	now time.Time
}

func (c *ticker) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *ticker) Set(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.Before(c.now) {
		return fmt.Errorf("backwards")
	}
	c.now = t
	return nil
}

func (c *ticker) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// inbox is a list of messages.
type inbox []InboxMessage

func (i inbox) Messages() []InboxMessage { return i }

// safeBuffer collects the log.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// world is a server over a real journal, keyring, views and access file.
type world struct {
	t       testing.TB
	clock   *ticker
	store   eventstore.Store
	keys    *keyring.Keyring
	codec   *codec.Codec
	journal *journal.Journal
	views   *projections.Views
	policy  *domain.Policy // what is built into the program
	access  *access.Store
	api     map[access.Role]string // a key for each role
	ids     map[access.Role]string
	server  *Server
	log     *safeBuffer
	n       int // idempotency keys made
	config  Config
	turns   turns
	nodes   []*node // beside each other on one log, taking turns; nil in a store of one process

	user, client, phone string
	installation        string
	key                 *ecdsa.PrivateKey
}

func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func newWorld(t testing.TB, change ...func(*Config)) *world {
	t.Helper()
	return openWorld(t, os.Getenv(storeSwitch) == "shared", change...)
}

func openWorld(t testing.TB, shared bool, change ...func(*Config)) *world {
	t.Helper()
	ctx := context.Background()
	w := &world{t: t, clock: &ticker{now: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)}, log: &safeBuffer{},
		api: map[access.Role]string{}, ids: map[access.Role]string{}}
	memory := memstore.New(w.clock.Now)
	w.store = memory
	if shared {
		w.store = sparse{memory.Node(w.clock.Now, 5*time.Second)}
	}
	w.keys = must[*keyring.Keyring](t)(keyring.Open(ctx, keyring.Options{Dir: t.TempDir(), Clock: w.clock.Now}))
	w.codec = codec.New(w.keys)
	w.policy = must[*domain.Policy](t)(domain.LoadPolicy())
	w.journal, w.views = w.behind(w.store)
	w.access = must[*access.Store](t)(access.Open(ctx, access.Options{Dir: t.TempDir()}))
	for _, role := range access.Roles() {
		c, key, err := w.access.Create(ctx, string(role), role, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		w.api[role], w.ids[role] = string(key), c.ID
	}
	c := Config{
		Journal: w.journal, Views: w.views, Store: w.store, Codec: w.codec, Tokens: w.keys, Keys: w.keys, Access: w.access,
		StateAt: w.stateAt, DecisionAt: w.decisionAt, Demo: true, Inbox: inbox{{ID: "m1", Channel: "sms", To: "+852 •••• 4567", Text: "123456", At: w.clock.Now()}},
		Clock: w.clock, Logger: slog.New(slog.NewJSONHandler(w.log, nil)),
	}
	for _, f := range change {
		f(&c)
	}
	w.server = must[*Server](t)(New(c))
	w.server.viewWait = 5 * time.Millisecond
	w.config = c
	t.Cleanup(w.close)
	if eventstore.IsShared(w.store) && len(change) == 0 {
		w.nodes = []*node{{w.server, w.journal, w.views}, w.beside(sparse{memory.Node(w.clock.Now, 5*time.Second)})}
	}
	return w
}

// behind opens what a process keeps behind the log.
func (w *world) behind(store eventstore.Store) (*journal.Journal, *projections.Views) {
	j := must[*journal.Journal](w.t)(journal.New(journal.Config{
		Store: store, Codec: w.codec, Keyring: w.keys, Policy: w.policy, Clock: w.clock.Now,
	}))
	return j, must[*projections.Views](w.t)(projections.Open(context.Background(), projections.Options{
		Dir: w.t.TempDir(), Codec: w.codec, Clock: w.clock.Now,
		Blind: func(ctx context.Context, number string) ([]byte, error) { return w.keys.Blind(ctx, "phone", number) },
	}))
}

func (w *world) close() {
	w.server.EndPolls()
	for _, n := range w.nodes[min(1, len(w.nodes)):] {
		n.server.EndPolls()
		if err := n.views.Close(); err != nil {
			w.t.Error(err)
		}
	}
	for _, close := range []func() error{w.access.Close, w.first().views.Close, w.keys.Close, w.store.Close} {
		if err := close(); err != nil {
			w.t.Error(err)
		}
	}
}

// point is a moment as known at another.
func point(asOf, knownAt time.Time) replay.Point {
	p := replay.AtTime(asOf)
	if !knownAt.IsZero() {
		p = p.KnownBy(replay.AtTime(knownAt))
	}
	return p
}

func (w *world) decisionAt(ctx context.Context, userID string, asOf, knownAt time.Time) (domain.Decision, error) {
	v, err := replay.DecisionAt(ctx, w.store, w.codec, w.policy, userID, point(asOf, knownAt))
	if err != nil || v.Decision == nil {
		return domain.Decision{}, err
	}
	return *v.Decision, nil
}

func (w *world) stateAt(ctx context.Context, userID string, asOf, knownAt time.Time) (PastUser, error) {
	fold, err := replay.FoldUser(ctx, w.store, w.codec, userID, point(asOf, knownAt))
	if errors.Is(err, replay.ErrNotFound) || err == nil && fold.Last == nil {
		return PastUser{}, nil
	}
	if err != nil {
		return PastUser{}, err
	}
	id, err := codec.ParseEventID(fold.Last.EventID)
	return PastUser{User: fold.User, Found: fold.Known, Revision: fold.Last.Revision, LastEvent: id}, err
}

// project brings the views of all nodes up to the log's head.
func (w *world) project() {
	w.t.Helper()
	w.apply(w.first().views)
	for _, n := range w.nodes[min(1, len(w.nodes)):] {
		w.apply(n.views)
	}
}

func (w *world) apply(v *projections.Views) {
	w.t.Helper()
	from := must[eventstore.Sequence](w.t)(v.From(w.t.Context()))
	var batch []eventstore.Record
	for r, err := range w.store.ReadAll(w.t.Context(), from+1) {
		if err != nil {
			w.t.Fatal(err)
		}
		if r.Sequence > from {
			batch = append(batch, r)
		}
	}
	if err := v.Apply(w.t.Context(), batch); err != nil {
		w.t.Fatal(err)
	}
}

// head is the number of events in the log.
func (w *world) head() eventstore.Sequence {
	w.t.Helper()
	n, _, err := w.store.Head(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// position is the token of the log's newest event.
func (w *world) position() string {
	w.t.Helper()
	_, p, err := w.store.Head(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return strconv.FormatUint(uint64(p), 10)
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) code(t testing.TB) string {
	t.Helper()
	var p gen.Problem
	if err := json.Unmarshal(a.body, &p); err != nil {
		t.Fatalf("not a problem: %d %s", a.status, a.body)
	}
	return p.Code
}

func (w *world) do(r *http.Request) answer {
	rec := httptest.NewRecorder()
	w.next().Handler().ServeHTTP(rec, r)
	w.notice()
	return answer{rec.Code, rec.Header(), rec.Body.Bytes()}
}

func (w *world) request(role access.Role, method, path string, body []byte, header ...string) *http.Request {
	r := httptest.NewRequest(method, path, bytes.NewReader(body))
	if key, ok := w.api[role]; ok {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	if len(body) > 0 {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

func (w *world) newKey() string {
	w.n++
	return "key-" + strconv.Itoa(w.n)
}

// post sends JSON under a new idempotency key, unless header names one.
func (w *world) post(role access.Role, path string, body any, header ...string) answer {
	w.t.Helper()
	var text []byte
	if body != nil {
		text = must[[]byte](w.t)(json.Marshal(body))
	}
	return w.do(w.request(role, "POST", path, text, append([]string{"Idempotency-Key", w.newKey()}, header...)...))
}

func (w *world) get(role access.Role, path string, header ...string) answer {
	w.t.Helper()
	return w.do(w.request(role, "GET", path, nil, header...))
}

// want decodes an answer of the expected status; no answer has a null.
func want[T any](t testing.TB, a answer, status int) T {
	t.Helper()
	var v T
	if a.status != status {
		t.Fatalf("got %d, want %d: %s", a.status, status, a.body)
	}
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("decode %s: %v", a.body, err)
	}
	if bytes.Contains(a.body, []byte(":null")) {
		t.Errorf("an answer says null where a list or nothing belongs: %s", a.body)
	}
	return v
}

// login starts a login and wants a challenge at once; no cooldown stands
// against it.
func (w *world) login(extra ...string) gen.Authentication {
	w.t.Helper()
	w.clock.advance(3 * time.Minute)
	return w.loginNow(extra...)
}

func (w *world) loginNow(extra ...string) gen.Authentication {
	w.t.Helper()
	body := map[string]any{"userId": w.user, "purpose": "login", "platform": "tws", "ip": "203.0.113.9", "primaryFactor": "verified"}
	for i := 0; i+1 < len(extra); i += 2 {
		body[extra[i]] = extra[i+1]
	}
	return want[gen.Authentication](w.t, w.post(access.Frontend, "/v1/authentications", body), 201)
}

func (w *world) sign(text string) string {
	w.t.Helper()
	return handset{w.installation, w.key}.sign(w.t, text)
}

// decide answers a push as the app would.
func (w *world) decide(c gen.Challenge, decision, number string) answer {
	w.t.Helper()
	doc := map[string]any{
		"challengeId": c.Id, "transactionId": c.AuthenticationId, "installationId": w.installation, "decision": decision,
		"uv": "face_id", "deviceTime": w.clock.Now().Format(time.RFC3339Nano), "shown": map[string]any{"platform": "tws"},
	}
	if number != "" {
		doc["matchedNumber"] = number
	}
	text := string(must[[]byte](w.t)(json.Marshal(doc)))
	return w.post(access.Device, "/v1/installations/"+w.installation+"/challenges/"+c.Id+"/decision", map[string]any{
		"document": text, "signature": w.sign("authledger/push/v1\n" + text),
	})
}

// quiet asserts that the log shows none of the texts.
func (w *world) quiet(secrets ...string) {
	w.t.Helper()
	for _, s := range secrets {
		// As a word: four digits occur by chance inside ids.
		if s != "" && regexp.MustCompile(`(^|[^0-9A-Za-z])`+regexp.QuoteMeta(s)+`([^0-9A-Za-z]|$)`).MatchString(w.log.String()) {
			w.t.Errorf("the log holds %q", s)
		}
	}
}
