package witness_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/transparency-dev/merkle/rfc6962"
	"go.uber.org/goleak"
	"golang.org/x/mod/sumdb/note"

	"github.com/authledger/authledger/api/witness"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/merkle"
	"github.com/authledger/authledger/eventstore/merkle/merkletest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const origin = "ledger.example/test"

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// clock stands still until it is told otherwise.
type clock struct{ nanos atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.nanos.Store(noon.UnixNano())
	return c
}

func (c *clock) now() time.Time       { return time.Unix(0, c.nanos.Load()).UTC() }
func (c *clock) pass(d time.Duration) { c.nanos.Add(int64(d)) }

// leaf of a number; mark tells two histories apart.
func leaf(n int, mark byte) eventstore.Hash {
	return eventstore.Hash(rfc6962.DefaultHasher.HashLeaf(append(binary.BigEndian.AppendUint64(nil, uint64(n)), mark)))
}

func grow(n *merkletest.Notary, to int, mark byte) {
	var leaves []eventstore.Hash
	for i := int(n.Size()); i < to; i++ {
		leaves = append(leaves, leaf(i, mark))
	}
	n.Grow(leaves...)
}

// place is a witness over HTTP.
type place struct {
	*witness.Server
	t     *testing.T
	url   string
	key   witness.Key
	dir   string
	logs  string
	clock *clock
}

func newPlace(t *testing.T, name string, keys merkle.Keys) *place {
	t.Helper()
	skey, _, err := note.GenerateKey(nil, name)
	if err != nil {
		t.Fatal(err)
	}
	p := &place{t: t, dir: t.TempDir(), logs: filepath.Join(t.TempDir(), "keys.json"), clock: newClock()}
	if p.key, err = witness.ParseKey(skey); err != nil {
		t.Fatal(err)
	}
	p.know(keys)
	p.open()
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// know writes the log's keys for the witness.
func (p *place) know(keys merkle.Keys) {
	p.t.Helper()
	text, err := json.Marshal(keys)
	if err == nil {
		err = os.WriteFile(p.logs, text, 0o600)
	}
	if err == nil { // two writes within one tick of the file system's clock
		err = os.Chtimes(p.logs, time.Time{}, noon.Add(time.Duration(len(keys.Epochs))*time.Second))
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *place) open() {
	p.t.Helper()
	log, err := witness.OpenLogFile(p.logs)
	if err != nil {
		p.t.Fatal(err)
	}
	p.Server, err = witness.New(p.t.Context(), witness.Config{Dir: p.dir, Key: p.key, Logs: []*witness.LogFile{log}, Clock: p.clock.now})
	if err != nil {
		p.t.Fatal(err)
	}
	server := httptest.NewServer(p.Handler())
	p.t.Cleanup(server.Close)
	p.url = server.URL
}

// post sends a body and returns status, type and body of the answer.
func (p *place) post(body []byte) (int, string, string) {
	p.t.Helper()
	response, err := http.Post(p.url+"/add-checkpoint", "text/plain", bytes.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	var b bytes.Buffer
	if _, err := b.ReadFrom(response.Body); err != nil {
		p.t.Fatal(err)
	}
	return response.StatusCode, response.Header.Get("Content-Type"), b.String()
}

// ask is a request from a size of a history to its newest checkpoint.
func ask(t *testing.T, n *merkletest.Notary, from uint64) witness.Request {
	t.Helper()
	latest, err := n.Latest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c, err := merkle.Unverified(latest.Signed)
	if err != nil {
		t.Fatal(err)
	}
	r := witness.Request{OldSize: from, Checkpoint: latest.Signed}
	if from <= c.Size {
		read := merkle.Tiles(func(level int, at int64) ([]byte, error) { return n.Tile(t.Context(), level, at) }).Reader()
		if r.Path, err = merkle.ProveConsistency(read, from, c.Size); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// TestProtocol walks through every answer of C2SP tlog-witness.
func TestProtocol(t *testing.T) {
	t.Parallel()
	log := merkletest.New(t, origin, 1)
	keys, _ := log.Keys(t.Context())
	w := newPlace(t, "audit.example", keys)
	vkey, err := w.key.CosignerKey()
	if err != nil {
		t.Fatal(err)
	}
	policy, err := merkle.ParsePolicy("witness w " + vkey + " https://w.example/\nquorum w\n")
	if err != nil {
		t.Fatal(err)
	}

	grow(log, 5, 0)
	log.Publish(noon)
	first := ask(t, log, 0)
	status, _, line := w.post(first.Marshal())
	if signed := merkle.AddLines(first.Checkpoint, line); status != http.StatusOK || !policy.Satisfied(signed) {
		t.Fatalf("first checkpoint: %d %q", status, line)
	}
	if times, err := policy.Cosigned(merkle.AddLines(first.Checkpoint, line)); err != nil || !times["audit.example"].Equal(noon) {
		t.Errorf("cosigned at %v, %v, want %v", times, err, noon)
	}
	w.clock.pass(time.Minute)
	if status, _, again := w.post(ask(t, log, 5).Marshal()); status != http.StatusOK || again == line {
		t.Errorf("the same checkpoint a minute later: %d, the line is the old one: %v", status, again == line)
	}

	fork := log.Clone()
	grow(log, 300, 0)
	log.Publish(noon.Add(time.Minute))
	good := ask(t, log, 5)
	grow(fork, 280, 0)
	fork.Grow(leaf(280, 1))
	fork.Publish(noon.Add(time.Minute))

	bad := good
	bad.Path = append([]eventstore.Hash{}, good.Path...)
	bad.Path[0][0] ^= 1
	strange := merkletest.New(t, "other.example/log", 1)
	strange.Grow(leaf(0, 0))
	strange.Publish(noon)
	unsigned := merkletest.New(t, origin, 2)
	grow(unsigned, 300, 0)
	unsigned.Publish(noon)
	text := string(good.Marshal())
	for _, c := range []struct {
		name   string
		body   string
		status int
	}{
		{"empty", "", 400},
		{"no blank line", strings.Replace(text, "\n\n", "\n", 2), 400},
		{"old size with a sign", strings.Replace(text, "old 5", "old +5", 1), 400},
		{"old size with a zero before", strings.Replace(text, "old 5", "old 05", 1), 400},
		{"no old size", strings.Replace(text, "old 5\n", "", 1), 400},
		{"old size larger than the checkpoint's", strings.Replace(text, "old 5", "old 301", 1), 400},
		{"a line of proof that is no hash", strings.Replace(text, "old 5\n", "old 5\nAAAA\n", 1), 400},
		{"64 lines of proof", "old 5\n" + strings.Repeat(merkle.FormatHashes(good.Path[:1]), 64) + "\n" + string(good.Checkpoint), 400},
		{"carriage returns", strings.ReplaceAll(text, "\n", "\r\n"), 400},
		{"a hyphen for the dash", strings.ReplaceAll(text, "— ", "- "), 400},
		{"root not in its one spelling", strings.Replace(text, "=\n\n—", "\n\n—", 1), 400},
		{"longer than anything", text + strings.Repeat("— x AAAA\n", 20000), 400},
		{"a log nobody knows", string(ask(t, strange, 0).Marshal()), 404},
		{"another key under the same name", string(ask(t, unsigned, 5).Marshal()), 403},
		{"a changed signature", strings.Replace(text, "— "+origin+" ", "— "+origin+" AAAA", 1), 403},
		{"an old size where the witness does not stand", string(ask(t, log, 4).Marshal()), 409},
		{"a proof of something else", string(bad.Marshal()), 422},
		{"a proof too short", string(witness.Request{OldSize: 5, Path: good.Path[1:], Checkpoint: good.Checkpoint}.Marshal()), 422},
		{"the right one", text, 200},
		{"a forked log", string(ask(t, fork, 5).Marshal()), 409},
		{"a forked log from where the witness stands", string(witness.Request{OldSize: 300, Checkpoint: ask(t, fork, 5).Checkpoint}.Marshal()), 400},
	} {
		status, kind, answer := w.post([]byte(c.body))
		if status != c.status {
			t.Errorf("%s: got %d %q, want %d", c.name, status, answer, c.status)
		}
		if want := map[bool]string{false: "5\n", true: "300\n"}[strings.HasPrefix(c.name, "a forked")]; status == 409 && (answer != want || kind != "text/x.tlog.size") {
			t.Errorf("%s: got %s %q, want the size %q", c.name, kind, answer, want)
		}
	}
	refused, err := w.Refusals(t.Context(), 10)
	var statuses []int
	for _, r := range refused {
		statuses = append(statuses, r.Status)
	}
	if err != nil || !cmp.Equal(statuses, []int{409, 422}) { // the contradiction first; one checkpoint was refused twice with 422
		t.Errorf("kept refusals %v, %v", statuses, err)
	}
	if len(refused) > 0 && !bytes.Contains(refused[0].Body, ask(t, fork, 5).Checkpoint) {
		t.Error("the evidence does not hold the forked checkpoint")
	}
}

// TestFork: two histories of one size, a shorter one, and one that went on from
// another past. None is cosigned, also after a restart.
func TestFork(t *testing.T) {
	t.Parallel()
	log := merkletest.New(t, origin, 1)
	keys, _ := log.Keys(t.Context())
	w := newPlace(t, "audit.example", keys)
	grow(log, 10, 0)
	log.Publish(noon)
	short := log.Clone()
	fork := log.Clone()
	grow(log, 20, 0)
	log.Publish(noon)
	if status, _, answer := w.post(ask(t, log, 0).Marshal()); status != http.StatusOK {
		t.Fatalf("got %d %q", status, answer)
	}
	grow(fork, 20, 1)
	fork.Publish(noon)
	same := fork.Clone()
	grow(fork, 30, 1)
	fork.Publish(noon)
	for range 2 {
		for name, c := range map[string]struct {
			request witness.Request
			status  int
		}{
			"another root of the same size":    {witness.Request{OldSize: 20, Checkpoint: ask(t, same, 0).Checkpoint}, 409},
			"a longer history of another past": {ask(t, fork, 20), 422},
			"a shorter one":                    {ask(t, short, 10), 409},
			"a shorter one from nothing":       {ask(t, short, 0), 409},
		} {
			if status, _, answer := w.post(c.request.Marshal()); status != c.status {
				t.Errorf("%s: got %d %q, want %d", name, status, answer, c.status)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		w.open()
	}
	if status, _, _ := w.post(ask(t, log, 20).Marshal()); status != http.StatusOK {
		t.Errorf("the true log: got %d", status)
	}
}

// TestEvidenceStays: neither a stranger with an honest checkpoint nor who holds
// the log's key can push out of a witness's memory what convicts the log.
func TestEvidenceStays(t *testing.T) {
	t.Parallel()
	log := merkletest.New(t, origin, 1)
	keys, _ := log.Keys(t.Context())
	w := newPlace(t, "audit.example", keys)
	const more = 1001
	var stale [][]byte
	for size := range more {
		grow(log, size, 0)
		log.Publish(noon)
		stale = append(stale, ask(t, log, 0).Marshal())
	}
	before := log.Clone()
	grow(log, more, 0)
	log.Publish(noon)
	if status, _, answer := w.post(ask(t, log, 0).Marshal()); status != http.StatusOK {
		t.Fatalf("got %d %q", status, answer)
	}
	contradict := func(n int) witness.Request {
		fork := before.Clone()
		fork.Grow(leaf(n, 1))
		fork.Publish(noon)
		return ask(t, fork, 0) // an old size where the witness does not stand
	}
	first := contradict(0)
	for i := range more {
		for name, body := range map[string][]byte{"contradiction": contradict(i).Marshal(), "stale": stale[i], "stale again": stale[i]} {
			if status, _, answer := w.post(body); status != http.StatusConflict || answer != "1001\n" {
				t.Fatalf("%s %d: got %d %q", name, i, status, answer)
			}
		}
	}
	kept, err := w.Refusals(t.Context(), 4*more)
	if err != nil {
		t.Fatal(err)
	}
	proven, hints, found := 0, 0, false
	for _, r := range kept {
		if !r.Proven {
			hints++
			continue
		}
		proven++
		found = found || bytes.Contains(r.Body, first.Checkpoint)
	}
	if proven != more-1 || hints != more-1 || !found {
		t.Errorf("kept %d contradictions and %d hints, want %d of each; the first contradiction is among them: %v", proven, hints, more-1, found)
	}
}

// TestOneOfManyWins sends two histories of one size at once: whichever the
// witness cosigns, it never cosigns the other.
func TestOneOfManyWins(t *testing.T) {
	t.Parallel()
	log := merkletest.New(t, origin, 1)
	keys, _ := log.Keys(t.Context())
	w := newPlace(t, "audit.example", keys)
	bodies := map[byte][]byte{}
	for mark := range byte(2) {
		n := log.Clone()
		grow(n, 7, mark)
		n.Publish(noon)
		bodies[mark] = ask(t, n, 0).Marshal()
	}
	var cosigned [2]atomic.Int32
	var running sync.WaitGroup
	for i := range 40 {
		mark := byte(i % 2)
		running.Go(func() {
			if status, _, _ := w.post(bodies[mark]); status == http.StatusOK {
				cosigned[mark].Add(1)
			}
		})
	}
	running.Wait()
	if a, b := cosigned[0].Load(), cosigned[1].Load(); (a == 0) == (b == 0) {
		t.Errorf("cosigned %d of one history and %d of the other", a, b)
	}
}

// TestKeyRotation: the checkpoint of the handover is signed by the key the
// witness knows; later ones need the new key in its file.
func TestKeyRotation(t *testing.T) {
	t.Parallel()
	log := merkletest.New(t, origin, 1)
	keys, _ := log.Keys(t.Context())
	w := newPlace(t, "audit.example", keys)
	log.Rotate(2, 6)
	grow(log, 6, 0)
	log.Publish(noon)
	if status, _, answer := w.post(ask(t, log, 0).Marshal()); status != http.StatusOK {
		t.Errorf("handover: got %d %q", status, answer)
	}
	grow(log, 9, 0)
	log.Publish(noon)
	if status, _, _ := w.post(ask(t, log, 6).Marshal()); status != http.StatusForbidden {
		t.Errorf("a key the witness was not told of: got %d", status)
	}
	keys, _ = log.Keys(t.Context())
	w.know(keys)
	if status, _, answer := w.post(ask(t, log, 6).Marshal()); status != http.StatusOK {
		t.Errorf("told of the key: got %d %q", status, answer)
	}
}

// kept is a history that takes cosignatures.
type kept struct {
	*merkletest.Notary
	mu    sync.Mutex
	lines map[uint64][]string
}

func (k *kept) add(_ context.Context, revision uint64, line string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lines[revision] = append(k.lines[revision], line)
	return nil
}

// cosigned adds the lines to what is read.
func (k *kept) cosigned(t *testing.T) []byte {
	t.Helper()
	p, err := k.Latest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return merkle.AddLines(p.Signed, k.lines[p.Revision]...)
}

func policyOf(t *testing.T, quorum int, places ...*place) merkle.Policy {
	t.Helper()
	var b strings.Builder
	names := make([]string, len(places))
	for i, w := range places {
		vkey, err := w.key.CosignerKey()
		if err != nil {
			t.Fatal(err)
		}
		names[i] = fmt.Sprintf("w%d", i)
		fmt.Fprintf(&b, "witness %s %s %s\n", names[i], vkey, w.url)
	}
	fmt.Fprintf(&b, "group g %d %s\nquorum g\n", quorum, strings.Join(names, " "))
	p, err := merkle.ParsePolicy(b.String())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func collect(t *testing.T, k *kept, p merkle.Policy, now func() time.Time) *witness.Collector {
	t.Helper()
	h := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	c, err := witness.NewCollector(witness.CollectorConfig{History: k, Add: k.add, Policy: p, Clock: now, HTTP: h})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestCollector: two witnesses cosign a log that grows, and a collector that
// starts anew finds out where they stand. A forked log gets no line from either.
func TestCollector(t *testing.T) {
	t.Parallel()
	log := &kept{Notary: merkletest.New(t, origin, 1), lines: map[uint64][]string{}}
	keys, _ := log.Keys(t.Context())
	places := []*place{newPlace(t, "audit.example", keys), newPlace(t, "regulator.example", keys)}
	policy := policyOf(t, 2, places...)
	now := newClock()
	c := collect(t, log, policy, now.now)
	if err := c.Round(t.Context()); err != nil { // nothing published yet
		t.Fatal(err)
	}
	var fork *kept
	for i, size := range []int{3, 3, 300, 70000} {
		if i == 2 {
			fork = &kept{Notary: log.Clone(), lines: map[uint64][]string{}}
		}
		if i == 3 { // the memory of where witnesses stand is lost
			c = collect(t, log, policy, now.now)
		}
		grow(log.Notary, size, 0)
		log.Publish(now.now())
		now.pass(witness.Every)
		if err := c.Round(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !policy.Satisfied(log.cosigned(t)) {
			t.Errorf("size %d: no quorum: %+v", size, c.Status())
		}
		if err := c.Round(t.Context()); err != nil || len(log.lines[log.Revision()]) != 2 {
			t.Errorf("asked again for one checkpoint: %d lines, %v", len(log.lines[log.Revision()]), err)
		}
	}
	for _, w := range c.Status().Witnesses {
		if w.Size != 70000 || w.Fork != "" || w.Failures != 0 {
			t.Errorf("status %+v", w)
		}
	}

	grow(fork.Notary, 310, 1)
	fork.Publish(now.now())
	forked := collect(t, fork, policy, now.now)
	if err := forked.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, w := range forked.Status().Witnesses {
		if w.Fork == "" {
			t.Errorf("no fork noticed: %+v", w)
		}
	}
	if policy.Satisfied(fork.cosigned(t)) || len(fork.lines) > 0 {
		t.Error("the fork was cosigned")
	}
	grow(fork.Notary, 90000, 1) // longer than the true log
	fork.Publish(now.now())
	now.pass(time.Hour)
	if err := forked.Round(t.Context()); err != nil || len(fork.lines) > 0 {
		t.Errorf("the longer fork was cosigned: %v, %v", fork.lines, err)
	}
}

// TestLateQuorum: nobody answers, and that is said once when it is late and once
// when it is an alarm; the age grows from the start, and a cosignature ends it.
func TestLateQuorum(t *testing.T) {
	t.Parallel()
	log := &kept{Notary: merkletest.New(t, origin, 1), lines: map[uint64][]string{}}
	keys, _ := log.Keys(t.Context())
	w := newPlace(t, "audit.example", keys)
	reachable := w.url
	w.url = "http://127.0.0.1:1"
	grow(log.Notary, 3, 0)
	log.Publish(noon)
	now := newClock()
	var said bytes.Buffer
	open := func() *witness.Collector {
		c, err := witness.NewCollector(witness.CollectorConfig{
			History: cosigning{log}, Add: log.add, Policy: policyOf(t, 1, w), Clock: now.now,
			HTTP:   &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
			Logger: slog.New(slog.NewTextHandler(&said, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := open()
	for range 20 {
		now.pass(30 * time.Second)
		if err := c.Round(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if s := c.Status(); s.QuorumAge != 10*time.Minute || !s.QuorumAt.IsZero() {
		t.Errorf("status %+v", s)
	}
	if late, alarm := strings.Count(said.String(), "are late"), strings.Count(said.String(), "no checkpoint has"); late != 1 || alarm != 1 {
		t.Errorf("late was said %d times, alarm %d times:\n%s", late, alarm, said.String())
	}
	w.url = reachable
	c = open()
	for range 4 { // asked once: an old quorum does not grow young
		if err := c.Round(t.Context()); err != nil {
			t.Fatal(err)
		}
		now.pass(30 * time.Second)
	}
	if s := c.Status(); s.QuorumAge != 2*time.Minute || s.QuorumSize != 3 {
		t.Errorf("status %+v", s)
	}
}

// cosigning reads a history with the lines that were added.
type cosigning struct{ *kept }

func (k cosigning) From(ctx context.Context, revision uint64) iter.Seq2[merkle.Published, error] {
	return func(yield func(merkle.Published, error) bool) {
		for p, err := range k.kept.From(ctx, revision) {
			k.mu.Lock()
			p.Signed = merkle.AddLines(p.Signed, k.lines[p.Revision]...)
			k.mu.Unlock()
			if !yield(p, err) {
				return
			}
		}
	}
}

// TestCollectorDistrusts answers that are no cosignature of the checkpoint.
func TestCollectorDistrusts(t *testing.T) {
	t.Parallel()
	log := &kept{Notary: merkletest.New(t, origin, 1), lines: map[uint64][]string{}}
	keys, _ := log.Keys(t.Context())
	honest := newPlace(t, "audit.example", keys)
	grow(log.Notary, 4, 0)
	log.Publish(noon)
	other := log.Clone()
	grow(other, 5, 1)
	other.Publish(noon)
	_, _, ofAnother := honest.post(ask(t, other, 0).Marshal())
	var status atomic.Int32
	var answer atomic.Value
	liar := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(int(status.Load()))
		_, _ = w.Write([]byte(answer.Load().(string)))
	}))
	t.Cleanup(liar.Close)
	honest.url = liar.URL
	policy := policyOf(t, 1, honest)
	for _, c := range []struct {
		status  int
		answer  string
		outcome string
	}{
		{200, "", "unreachable"}, {200, "— audit.example AAAA\n", "unreachable"}, {200, ofAnother, "unreachable"},
		{200, strings.TrimSuffix(ofAnother, "\n"), "unreachable"}, {500, "", "refused"}, {404, "", "refused"}, {302, "", "refused"},
		{409, "many\n", "refused"}, {409, "9\n", "fork"}, {409, "0\n", "fork"}, {422, "", "fork"},
	} {
		status.Store(int32(c.status))
		answer.Store(c.answer)
		got := ""
		h := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		collector, err := witness.NewCollector(witness.CollectorConfig{
			History: log, Add: log.add, Policy: policy, Clock: func() time.Time { return noon }, HTTP: h,
			Observe: func(_, outcome string) { got = outcome },
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := collector.Round(t.Context()); err != nil || got != c.outcome || len(log.lines) > 0 {
			t.Errorf("%d %q: got %q, %v with %d lines kept, want %q", c.status, c.answer, got, err, len(log.lines), c.outcome)
		}
	}
}

// TestRequestText is read back in one spelling only.
func TestRequestText(t *testing.T) {
	t.Parallel()
	want := witness.Request{OldSize: 7, Path: []eventstore.Hash{{1}, {2}}, Checkpoint: []byte("o\n8\nAA\n\n— o x\n")}
	got, err := witness.ParseRequest(want.Marshal())
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	skey, vkey, err := note.GenerateKey(nil, "audit.example")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(skey+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := witness.ReadKey(path); err == nil || strings.Contains(err.Error(), skey[20:]) {
		t.Errorf("a key that others can read: got %v", err)
	}
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	key, err := witness.ReadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := merkle.VerifierKey(key.Name, key.Signer.Public); err != nil || got != vkey {
		t.Errorf("got %q, %v, want %q", got, err, vkey)
	}
	if printed := fmt.Sprintf("%v %+v %#v %s", key, key, key, key); strings.Contains(printed, skey[len(skey)-20:]) {
		t.Error("the key prints itself")
	}
	for _, bad := range []string{"", skey[1:], skey[:len(skey)-4], strings.Replace(skey, "audit", "other", 1)} {
		if _, err := witness.ParseKey(bad); err == nil || len(bad) > 20 && strings.Contains(err.Error(), bad[20:]) {
			t.Errorf("got %v", err)
		}
	}
	if _, err := witness.New(t.Context(), witness.Config{}); err == nil {
		t.Error("a witness without a key opens")
	}
}

// TestOneProcess: a second witness on the same directory would be a second
// memory.
func TestOneProcess(t *testing.T) {
	t.Parallel()
	log := merkletest.New(t, origin, 1)
	keys, _ := log.Keys(t.Context())
	w := newPlace(t, "audit.example", keys)
	file, err := witness.OpenLogFile(w.logs)
	if err != nil {
		t.Fatal(err)
	}
	second, err := witness.New(t.Context(), witness.Config{Dir: w.dir, Key: w.key, Logs: []*witness.LogFile{file}, Clock: time.Now})
	if err == nil {
		err = errors.Join(errors.New("it opened"), second.Close())
		t.Error(err)
	}
}
