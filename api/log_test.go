package api

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	tproof "github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"

	"github.com/authledger/authledger/api/access"
	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/merkle"
	"github.com/authledger/authledger/eventstore/sealer"
)

// newSealedWorld is a world with a sealer that is ticked by hand.
func newSealedWorld(t *testing.T, more ...func(*Config)) (*world, *sealer.Sealer) {
	t.Helper()
	var s *sealer.Sealer
	w := newWorld(t, func(c *Config) {
		s = must[*sealer.Sealer](t)(sealer.Open(context.Background(), sealer.Options{
			Store: sealer.NewMemory(), Origin: "ledger.example/test", Log: c.Store, Keys: c.Keys.(sealer.Keys), Clock: c.Clock.Now,
		}))
		c.Proofs = s
		for _, change := range more {
			change(c)
		}
	})
	w.server.sealWait = 20 * time.Millisecond
	return w, s
}

// seal lets the sealer see and sign what the log holds.
func (w *world) seal(s *sealer.Sealer) {
	w.t.Helper()
	from := must[eventstore.Sequence](w.t)(s.Seen(w.t.Context()))
	for r, err := range w.store.ReadAll(w.t.Context(), from+1) {
		if err != nil {
			w.t.Fatal(err)
		}
		if err := s.See(w.t.Context(), []eventstore.Record{r}); err != nil {
			w.t.Fatal(err)
		}
	}
	w.clock.advance(time.Second)
	if err := s.Tick(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// clients fills the log.
func (w *world) clients(from, to int) {
	w.t.Helper()
	for i := from; i < to; i++ {
		w.newClient(fmt.Sprintf("C-LOG-%d", i), "individual", "HK")
	}
}

// eventIDAt is the id of the event with a sequence.
func (w *world) eventIDAt(n eventstore.Sequence) (string, eventstore.Record) {
	w.t.Helper()
	for r, err := range w.store.ReadAll(w.t.Context(), n) {
		if err != nil {
			w.t.Fatal(err)
		}
		return codec.EventIDText(r.ID), r
	}
	w.t.Fatalf("no record %d", n)
	return "", eventstore.Record{}
}

// opened checks a checkpoint with x/mod/sumdb/note alone.
func opened(checkpoint, verifierKey string) (size uint64, root []byte, err error) {
	v, err := note.NewVerifier(verifierKey)
	if err != nil {
		return 0, nil, err
	}
	n, err := note.Open([]byte(checkpoint), note.VerifierList(v))
	if err != nil {
		return 0, nil, err
	}
	var origin, root64 string
	if _, err := fmt.Sscanf(n.Text, "%s\n%d\n%s\n", &origin, &size, &root64); err != nil {
		return 0, nil, err
	}
	root, err = base64.StdEncoding.DecodeString(root64)
	return size, root, err
}

// What the server answers is accepted by the libraries of others, used directly,
// and one flipped byte is not.
func TestProofsVerifyWithoutOurCode(t *testing.T) {
	t.Parallel()
	w, s := newSealedWorld(t)
	w.clients(0, 40)
	w.seal(s)
	before := must[merkle.Published](t)(s.Latest(t.Context()))
	w.clients(40, 300)
	w.seal(s)
	key := want[gen.LogKeys](t, w.get(access.Auditor, "/v1/log/keys"), 200).Epochs[0].VerifierKey
	size, root, err := opened(string(w.get(access.Auditor, "/v1/log/checkpoint").body), key)
	if err != nil || size != 300 {
		t.Fatalf("the checkpoint has size %d, %v", size, err)
	}
	for _, n := range []eventstore.Sequence{1, 2, 256, 257, 300} {
		id, record := w.eventIDAt(n)
		p := want[gen.EventProof](t, w.get(access.Auditor, "/v1/events/"+id+"/proof"), 200)
		if !bytes.Equal(p.Entry, record.Entry().AppendTo(nil)) {
			t.Errorf("event %d: another entry is proved", n)
		}
		verifyInclusion(t, p, key)
	}
	oldSize, oldRoot, err := opened(string(before.Signed), key)
	if err != nil {
		t.Fatal(err)
	}
	c := want[gen.ConsistencyProof](t, w.get(access.Operator, fmt.Sprintf("/v1/log/consistency?from=%d&to=%d", oldSize, size)), 200)
	check := func(path [][]byte) error {
		return tproof.VerifyConsistency(rfc6962.DefaultHasher, oldSize, size, path, oldRoot, root)
	}
	if err := check(c.Path); err != nil {
		t.Errorf("consistency: %v", err)
	}
	c.Path[0][3] ^= 1
	if err := check(c.Path); err == nil {
		t.Error("a consistency proof with a flipped byte verifies")
	}
}

func verifyInclusion(t *testing.T, p gen.EventProof, key string) {
	t.Helper()
	check := func(p gen.EventProof) error {
		size, root, err := opened(p.Checkpoint, key)
		if err != nil {
			return err
		}
		return tproof.VerifyInclusion(rfc6962.DefaultHasher, uint64(p.Index), size, rfc6962.DefaultHasher.HashLeaf(p.Entry), p.Path, root)
	}
	if err := check(p); err != nil {
		t.Errorf("event at index %d: %v", p.Index, err)
	}
	flip := func(b []byte) []byte {
		b = bytes.Clone(b)
		b[len(b)/2] ^= 1
		return b
	}
	path := append([][]byte{flip(p.Path[0])}, p.Path[1:]...)
	for name, bad := range map[string]gen.EventProof{
		"entry":      {Index: p.Index, Entry: flip(p.Entry), Path: p.Path, Checkpoint: p.Checkpoint},
		"path":       {Index: p.Index, Entry: p.Entry, Path: path, Checkpoint: p.Checkpoint},
		"index":      {Index: p.Index ^ 1, Entry: p.Entry, Path: p.Path, Checkpoint: p.Checkpoint},
		"checkpoint": {Index: p.Index, Entry: p.Entry, Path: p.Path, Checkpoint: strings.Replace(p.Checkpoint, "\n300\n", "\n301\n", 1)},
	} {
		if err := check(bad); err == nil {
			t.Errorf("event at index %d: the proof verifies with another %s", p.Index, name)
		}
	}
}

func TestProofAsTextAndAsRecordedRead(t *testing.T) {
	t.Parallel()
	w, s := newSealedWorld(t)
	w.clients(0, 5)
	w.seal(s)
	id, record := w.eventIDAt(3)
	keys := must[merkle.Keys](t)(s.Keys(t.Context()))
	for _, a := range []answer{
		w.get(access.Compliance, "/v1/events/"+id+"/proof?format=text&purpose=case-7"),
		w.get(access.Incident, "/v1/events/"+id+"/proof", "Accept", "text/plain"),
	} {
		p, err := merkle.ParseEventProof(a.body)
		if a.status != 200 || err != nil {
			t.Fatalf("%d %s: %v", a.status, a.body, err)
		}
		if _, err := p.Check(keys, record.Leaf()); err != nil {
			t.Error(err)
		}
	}
	reads := w.reads()
	if len(reads) != 2 || reads[0].Operation != "getEventProof" || reads[0].Purpose != "case-7" {
		t.Errorf("recorded reads are %+v", reads)
	}
	for _, path := range []string{"checkpoint", "checkpoints", "keys", "consistency?from=0", "tile/0/000.p/5"} {
		if a := w.get(access.Auditor, "/v1/log/"+path); a.status != 200 {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	if got := len(w.reads()); got != 2 {
		t.Errorf("%d reads are recorded after reads of hashes, want 2", got)
	}
}

func TestProofOfAnEventThatIsNotSealedYet(t *testing.T) {
	t.Parallel()
	w, s := newSealedWorld(t)
	w.clients(0, 1)
	id, _ := w.eventIDAt(1)
	a := w.get(access.Auditor, "/v1/events/"+id+"/proof")
	if a.status != http.StatusServiceUnavailable || !bytes.Contains(a.body, []byte(`"not_sealed"`)) || a.header.Get("Retry-After") != "1" {
		t.Errorf("%d %s, Retry-After %q", a.status, a.body, a.header.Get("Retry-After"))
	}
	w.server.sealWait = 20 * time.Second
	got := make(chan answer, 1)
	go func() { got <- w.get(access.Auditor, "/v1/events/"+id+"/proof") }()
	w.seal(s)
	if a := <-got; a.status != 200 {
		t.Errorf("an event that is sealed meanwhile: %d %s", a.status, a.body)
	}
}

func TestTilesRebuildTheTree(t *testing.T) {
	t.Parallel()
	w, s := newSealedWorld(t)
	w.clients(0, 300)
	w.seal(s)
	c, err := merkle.Unverified(w.get(access.Auditor, "/v1/log/checkpoint").body)
	if err != nil {
		t.Fatal(err)
	}
	grow := merkle.NewGrowing()
	for _, tile := range []string{"000", "001.p/44"} {
		hashes, entries := w.get(access.Auditor, "/v1/log/tile/0/"+tile), w.get(access.Auditor, "/v1/log/tile/entries/"+tile)
		if hashes.status != 200 || entries.status != 200 {
			t.Fatalf("tile %s: %d and %d", tile, hashes.status, entries.status)
		}
		for rest := entries.body; len(rest) > 0; {
			n := int(binary.BigEndian.Uint16(rest))
			leaf := rfc6962.DefaultHasher.HashLeaf(rest[2 : 2+n])
			rest = rest[2+n:]
			i := 32 * (grow.Size() % 256)
			if !bytes.Equal(hashes.body[i:i+32], leaf) {
				t.Fatalf("leaf %d is not in its tile", grow.Size())
			}
			if err := grow.Append(eventstore.Hash(leaf)); err != nil {
				t.Fatal(err)
			}
		}
		full := !strings.Contains(tile, ".p")
		if got := strings.Contains(hashes.header.Get("Cache-Control"), "immutable"); got != full {
			t.Errorf("tile %s: Cache-Control %q", tile, hashes.header.Get("Cache-Control"))
		}
	}
	if root, err := grow.Root(); err != nil || root != c.Root || grow.Size() != c.Size {
		t.Errorf("the tiles have size %d and root %s, %v; signed were %d and %s", grow.Size(), root, err, c.Size, c.Root)
	}
}

func TestCheckpointsAreListedInPages(t *testing.T) {
	t.Parallel()
	w, s := newSealedWorld(t)
	for i := range 5 {
		w.clients(i, i+1)
		w.seal(s)
	}
	if err := s.AddStamp(t.Context(), 3, merkle.Stamp{Authority: "https://tsa.example", Token: []byte{1}}); err != nil {
		t.Fatal(err)
	}
	var sizes []int64
	stamps := 0
	for from := int64(1); from > 0; {
		page := want[gen.CheckpointList](t, w.get(access.Incident, fmt.Sprintf("/v1/log/checkpoints?from=%d&limit=4", from)), 200)
		for _, c := range page.Items {
			sizes, stamps = append(sizes, c.Size), stamps+len(c.Stamps)
			if c.SignedAt.After(w.clock.Now()) || c.SignedAt.IsZero() {
				t.Errorf("checkpoint %d is signed at %v", c.Revision, c.SignedAt)
			}
		}
		from = page.Next
	}
	if got := fmt.Sprint(sizes); got != "[0 1 2 3 4 5]" || stamps != 1 {
		t.Errorf("sizes %s with %d stamps", got, stamps)
	}
}

func TestBadRequestsOfTheLog(t *testing.T) {
	t.Parallel()
	w, s := newSealedWorld(t)
	w.clients(0, 300)
	w.seal(s)
	for path, status := range map[string]int{
		"consistency":               400,
		"consistency?from=-1":       400,
		"consistency?from=x":        400,
		"consistency?from=9&to=8":   400,
		"consistency?from=1&to=0":   400,
		"consistency?from=1&to=301": 404,
		"consistency?from=301":      404,
		"consistency?from=9223372036854775807&to=9223372036854775807": 404,
		"consistency?from=92233720368547758070":                       400,
		"checkpoints?from=0":                                          400,
		"checkpoints?from=1&limit=0":                                  400,
		"checkpoints?from=1&limit=501":                                400,
		"checkpoints?from=9223372036854775807":                        200,
		"checkpoint?size=3":                                           400,
		"tile/0/001":                                                  404, // not full
		"tile/0/001.p/45":                                             404, // more than there is
		"tile/0/001.p/44":                                             200,
		"tile/0/001.p/1":                                              200,
		"tile/0/000.p/256":                                            400,
		"tile/0/000.p/0":                                              400,
		"tile/0/000.p/01":                                             400,
		"tile/0/0":                                                    400,
		"tile/0/1000":                                                 400,
		"tile/0/x000/000":                                             400, // another spelling of 000
		"tile/0/x999/x999/x999/x999/x999/999":                         404,
		"tile/00/000":                                                 400,
		"tile/-1/000":                                                 400,
		"tile/64/000":                                                 404,
		"tile/7/000":                                                  404,
		"tile/data/000":                                               400,
		"tile/entries/001":                                            404,
		"tile/entries/002.p/1":                                        404,
		"tile/entries/0":                                              400,
		"tile/entries/0/000":                                          400,
		"tile/entries/../0/000":                                       400,
		"tile/0/%2e%2e%2f000":                                         400,
		"tile/0/000?x=1":                                              400,
		"tile/":                                                       400,
	} {
		if a := w.get(access.Auditor, "/v1/log/"+path); a.status != status {
			t.Errorf("%s: %d %s, want %d", path, a.status, a.body, status)
		}
	}
	if a := w.get(access.Auditor, "/v1/events/evt_"+strings.Repeat("0", 26)+"/proof"); a.status != 404 {
		t.Errorf("proof of nothing: %d", a.status)
	}
	id, _ := w.eventIDAt(1)
	if a := w.get(access.Auditor, "/v1/events/"+id+"/proof?format=xml"); a.status != 400 {
		t.Errorf("proof as xml: %d", a.status)
	}
	unsealed := newWorld(t)
	for _, path := range []string{"checkpoint", "checkpoints", "keys", "consistency?from=0", "tile/0/000"} {
		if a := unsealed.get(access.Auditor, "/v1/log/"+path); a.status != 404 {
			t.Errorf("%s of a server that seals nothing: %d", path, a.status)
		}
	}
}

// A sealer that stopped is told, and the server stays ready: logins go on.
func TestReadinessTellsHowSealingGoes(t *testing.T) {
	t.Parallel()
	w, s := newSealedWorld(t)
	w.clients(0, 3)
	ready := func() gen.Sealing { return want[gen.Health](t, w.get(access.Auditor, "/readyz"), 200).Sealing }
	if got := ready(); got.State != gen.SealingStateSealing || got.LagRecords != 3 || got.Size != 0 {
		t.Errorf("before: %+v", got)
	}
	w.seal(s)
	if got := ready(); got.LagRecords != 0 || got.Size != 3 {
		t.Errorf("sealed: %+v", got)
	}
	w.clock.mu.Lock()
	w.clock.now = w.clock.now.Add(-time.Hour)
	w.clock.mu.Unlock()
	if err := s.Tick(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := ready(); got.State != gen.SealingStateStopped || got.Reason != string(sealer.TimeBack) {
		t.Errorf("stopped: %+v", got)
	}
	metrics := string(w.get(access.Operator, "/metrics").body)
	for _, line := range []string{`authledger_seal_state{state="stopped"} 1`, `authledger_seal_state{state="sealing"} 0`, "authledger_seal_checkpoint_size 3"} {
		if !strings.Contains(metrics, line) {
			t.Errorf("metrics lack %s", line)
		}
	}
	var stop *sealer.StopError
	if !errors.As(s.WaitFor(t.Context(), 99), &stop) {
		t.Error("the sealer did not stop, so this proves nothing")
	}
}
