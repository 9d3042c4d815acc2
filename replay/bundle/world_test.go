package bundle_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/memstore"
	"github.com/authledger/authledger/eventstore/merkle"
	"github.com/authledger/authledger/replay/bundle"
)

const origin = "ledger.test/prod"

// Streams of the test's log: ada's is asked for, and the third has a name that
// every format has to escape.
const (
	ada     = "user-ada"
	bob     = "user-bob"
	awkward = `device-"q\",é=1`
)

var begin = time.Date(2026, 3, 2, 9, 0, 0, 123456000, time.UTC)

func key(seed byte) merkle.Signer {
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
	public, _ := private.Public().(ed25519.PublicKey)
	return merkle.Signer{Public: public, Sign: func(m []byte) ([]byte, error) { return ed25519.Sign(private, m), nil }}
}

// history is a sealed log in memory: it implements merkle.History for what is
// there now.
type history struct {
	tiles     map[[2]int64][]byte
	keys      merkle.Keys
	published merkle.Published
}

func (h *history) Latest(context.Context) (merkle.Published, error) {
	if h.published.Signed == nil {
		return merkle.Published{}, eventstore.ErrNotFound
	}
	return h.published, nil
}

func (h *history) From(context.Context, uint64) iter.Seq2[merkle.Published, error] {
	return func(yield func(merkle.Published, error) bool) { yield(h.published, nil) }
}

func (h *history) Covering(ctx context.Context, _ uint64) (merkle.Published, error) {
	return h.Latest(ctx)
}

func (h *history) Tile(_ context.Context, level int, n int64) ([]byte, error) {
	data, ok := h.tiles[[2]int64{int64(level), n}]
	if !ok {
		return nil, eventstore.ErrNotFound
	}
	return data, nil
}

func (h *history) Keys(context.Context) (merkle.Keys, error) { return h.keys, nil }

// world is a log with its history.
type world struct {
	log     *memstore.Store
	to      eventstore.Appender // the log, or a node of it
	history *history
	policy  merkle.Policy
	last    map[string]eventstore.Expected
	leaves  []eventstore.Hash
	now     time.Time
}

// newWorld has n records in three streams, sealed and cosigned.
func newWorld(t *testing.T, n int) *world {
	t.Helper()
	w := &world{last: map[string]eventstore.Expected{}, now: begin}
	w.log = memstore.New(func() time.Time { return w.now })
	w.to = w.log
	t.Cleanup(func() {
		if err := w.log.Close(); err != nil {
			t.Error(err)
		}
	})
	streams := []string{ada, bob, awkward, bob, ada}
	for i := range n {
		w.append(t, streams[i%len(streams)], []string{"ChallengeIssued", "ResponseRejected", "OptOutDenied"}[i%3], i)
	}
	w.seal(t)
	return w
}

func (w *world) append(t *testing.T, stream, kind string, i int) {
	t.Helper()
	w.now = w.now.Add(time.Duration(i%4) * 1001 * time.Millisecond)
	data := fmt.Appendf(nil, `{"n":%d,"text":"=1+2 <&> \"é\"","x":1.0}`, i)
	if i%7 == 3 {
		data = fmt.Appendf(nil, "{\r\n  \"n\": %d\n}", i)
	}
	out, err := w.to.Append(t.Context(), stream, w.last[stream], []eventstore.Proposed{{
		ID: eventstore.EventIDOf(uuid.NewSHA1(uuid.Nil, []byte(stream)), i), Type: kind, Schema: uint16(1 + i%2), Data: data,
		Metadata: fmt.Appendf(nil, `{"command":"c","policy_version":%d}`, 3+i%2),
	}})
	if err != nil {
		t.Fatal(err)
	}
	s := out.Last()
	w.last[stream] = eventstore.At(s.Revision, s.Leaf)
	w.leaves = append(w.leaves, s.Leaf)
}

func (w *world) seal(t *testing.T) {
	t.Helper()
	h := &history{tiles: map[[2]int64][]byte{}, keys: merkle.Keys{Origin: origin, Epochs: []merkle.Epoch{{Number: 1, Public: key(1).Public}}}}
	grown, err := merkle.Tiles(func(int, int64) ([]byte, error) { return nil, eventstore.ErrNotFound }).Extend(0, w.leaves)
	if err != nil {
		t.Fatal(err)
	}
	for _, tile := range grown.Tiles {
		h.tiles[[2]int64{int64(tile.Level), tile.N}] = tile.Data
	}
	signed, err := merkle.Checkpoint{Origin: origin, Size: grown.Size, Root: grown.Root}.Sign(w.now, key(1))
	if err != nil {
		t.Fatal(err)
	}
	cosigner, err := merkle.CosignerKey("witness.test", key(9).Public)
	if err != nil {
		t.Fatal(err)
	}
	line, err := merkle.Cosign(signed, "witness.test", key(9), w.now)
	if err != nil {
		t.Fatal(err)
	}
	if w.policy, err = merkle.ParsePolicy("witness w " + cosigner + " https://witness.test\ngroup g any w\nquorum g\n"); err != nil {
		t.Fatal(err)
	}
	h.published = merkle.Published{Revision: 1, Signed: merkle.AddLines(signed, line)}
	w.history = h
}

func request(q bundle.Query) bundle.Request {
	return bundle.Request{ExportID: "exp_1", RequestedBy: "key_7", Purpose: "request 2026-114 <&>", At: begin, Version: "test", Query: q}
}

func (w *world) source() bundle.Source {
	signer := key(1)
	return bundle.Source{Log: w.log, History: w.history, Policy: w.policy, Sign: &signer}
}

func (w *world) write(t *testing.T, r bundle.Request) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := bundle.Write(t.Context(), w.source(), r, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// files is an unpacked bundle.
type files map[string][]byte

func unpack(t *testing.T, packed []byte) files {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(packed), int64(len(packed)))
	if err != nil {
		t.Fatal(err)
	}
	out := files{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		if out[f.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// pack writes the files as they are.
func (f files) pack(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	names := make([]string, 0, len(f))
	for name := range f {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		out, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate})
		if err == nil {
			_, err = out.Write(f[name])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// manifest reads and rewrites the manifest as a forger without the log's key
// would: hashes and rows fit the files again, and no signature is left.
func (f files) remanifest(t *testing.T, change func(*bundle.Manifest)) {
	t.Helper()
	var m bundle.Manifest
	if err := json.Unmarshal(f["manifest.json"], &m); err != nil {
		t.Fatal(err)
	}
	m.Files = nil
	delete(f, "manifest.note")
	for name, content := range f {
		if name == "manifest.json" {
			continue
		}
		sum := sha256.Sum256(content)
		file := bundle.File{Name: name, SHA256: hex.EncodeToString(sum[:])}
		switch name {
		case "events.jsonl", "range.jsonl":
			file.Rows = uint64(bytes.Count(content, []byte("\n")))
		case "events.csv":
			file.Rows = uint64(bytes.Count(content, []byte("\r\n"))) - 1
		}
		m.Files = append(m.Files, file)
	}
	slices.SortFunc(m.Files, func(a, b bundle.File) int { return strings.Compare(a.Name, b.Name) })
	if change != nil {
		change(&m)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(m); err != nil {
		t.Fatal(err)
	}
	f["manifest.json"] = b.Bytes()
}

// edit replaces text in a file, which must hold it.
func (f files) edit(t *testing.T, name, old, new string) {
	t.Helper()
	if !bytes.Contains(f[name], []byte(old)) {
		t.Fatalf("%s does not hold %q", name, old)
	}
	f[name] = bytes.Replace(f[name], []byte(old), []byte(new), 1)
}

// line is the line of a file, from 0, with its line break.
func (f files) line(name string, n int) string {
	return strings.SplitAfter(string(f[name]), "\n")[n]
}

// resign seals the log with another key, as a forger would.
func (w *world) resign(t *testing.T, seed byte) {
	t.Helper()
	c, err := merkle.Unverified(w.history.published.Signed)
	if err != nil {
		t.Fatal(err)
	}
	if w.history.published.Signed, err = c.Sign(w.now, key(seed)); err != nil {
		t.Fatal(err)
	}
	w.history.keys.Epochs[0].Public = key(seed).Public
	w.policy = merkle.Policy{}
}

type shownEvent struct {
	Sequence         int
	Stream           string
	Revision         uint64
	ID               uuid.UUID
	Type             string
	Schema           uint16
	RecordedAtMicros int64
	DataBase64       []byte
	MetadataBase64   []byte
}

func seqOf(t *testing.T, line string) int {
	t.Helper()
	return shown(t, line).Sequence
}

func shown(t *testing.T, line string) shownEvent {
	t.Helper()
	var e shownEvent
	if err := json.Unmarshal([]byte(line), &e); err != nil {
		t.Fatal(err)
	}
	return e
}

// skipped is the line of range.jsonl that hides an event in a stream, with a
// leaf that fits.
func skipped(t *testing.T, line, stream string) string {
	t.Helper()
	e, entry := shown(t, line), entryOf(t, line)
	entry.Stream = stream
	return fmt.Sprintf(`{"sequence":%d,"stream":%q,"revision":%d,"id":"%s","type":%q,"schema":%d,"recordedAtMicros":%d,"dataHash":"%s","metadataHash":"%s","leaf":"%s"}`,
		e.Sequence, stream, e.Revision, e.ID, e.Type, e.Schema, e.RecordedAtMicros, entry.DataHash, entry.MetadataHash, entry.Leaf())
}

// entryOf is what the log committed to for a line of events.jsonl.
func entryOf(t *testing.T, line string) eventstore.Entry {
	t.Helper()
	e := shown(t, line)
	return eventstore.Record{
		Stream: e.Stream, Revision: eventstore.Revision(e.Revision), ID: e.ID, Type: e.Type, Schema: e.Schema,
		RecordedAt: time.UnixMicro(e.RecordedAtMicros), Data: e.DataBase64, Metadata: e.MetadataBase64,
	}.Entry()
}
