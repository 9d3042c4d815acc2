package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authledger/authledger/eventstore"
)

// Golden files are frozen: they are what deployed ledgers hold. The flag
// writes missing ones and can never change one that is there.
var writeGolden = flag.Bool("golden", false, "write golden files of events that have none")

// golden is a stored record as a file. Data and metadata are the exact bytes.
type golden struct {
	Type       string              `json:"type"`
	Schema     uint16              `json:"schema"`
	Stream     string              `json:"stream"`
	Revision   eventstore.Revision `json:"revision"`
	EventID    eventstore.EventID  `json:"event_id"`
	RecordedAt time.Time           `json:"recorded_at"`
	Leaf       string              `json:"leaf"`
	Data       json.RawMessage     `json:"data"`
	Metadata   json.RawMessage     `json:"metadata"`
}

func (g golden) record() eventstore.Record {
	return eventstore.Record{
		ID: g.EventID, Stream: g.Stream, Revision: g.Revision, Type: g.Type, Schema: g.Schema, RecordedAt: g.RecordedAt, Data: g.Data, Metadata: g.Metadata,
	}
}

// text writes the file by hand, so that the raw bytes are not re-indented.
func (g golden) text() []byte {
	at, _ := g.RecordedAt.MarshalJSON()
	return fmt.Appendf(nil, "{\n\"type\": %q,\n\"schema\": %d,\n\"stream\": %q,\n\"revision\": %d,\n\"event_id\": %q,\n\"recorded_at\": %s,\n\"leaf\": %q,\n\"data\": %s,\n\"metadata\": %s\n}\n",
		g.Type, g.Schema, g.Stream, g.Revision, g.EventID, at, g.Leaf, g.Data, g.Metadata)
}

func goldenPath(name string, version uint16) string {
	return filepath.Join("testdata", "events", name, fmt.Sprintf("v%d.json", version))
}

// grownPath is where the k-th later sample of a version is frozen: one with the
// optional fields the version has grown since. k counts from 2.
func grownPath(name string, version uint16, k int) string {
	return filepath.Join("testdata", "events", name, fmt.Sprintf("v%d-%d.json", version, k))
}

// frozen lists the files of a version, oldest first, and the path the next one
// would have.
func frozen(name string, version uint16) (files []string, next string) {
	next = goldenPath(name, version)
	for k := 2; ; k++ {
		if _, err := os.Stat(next); err != nil {
			return files, next
		}
		files = append(files, next)
		next = grownPath(name, version, k)
	}
}

func readGolden(t testing.TB, path string) golden {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := strict(b, &g); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return g
}

// TestGoldenFilesExist: the newest frozen file of a version holds every field
// the version has, so a field that is added gets a file of its own.
func TestGoldenFilesExist(t *testing.T) {
	t.Parallel()
	for i, r := range table().rows {
		files, next := frozen(r.name, r.version)
		g := newGolden(t, r, i)
		if len(files) > 0 && bytes.Equal(readGolden(t, files[len(files)-1]).Data, g.Data) {
			continue
		}
		if !*writeGolden {
			t.Errorf("%s is missing; write it with: go test ./eventstore/codec -run TestGoldenFilesExist -golden", next)
			continue
		}
		if err := writeNew(next, g.text()); err != nil {
			t.Error(err)
		}
	}
}

func newGolden(t *testing.T, r row, n int) golden {
	t.Helper()
	meta := sampleMeta()
	id := eventstore.EventIDOf(meta.CommandID, n)
	p, err := New(nil).Encode(t.Context(), stream, id, r.sample, meta)
	if err != nil {
		t.Fatal(err)
	}
	at := sampleAt(4)
	records, leaves := eventstore.Chain(stream, eventstore.At(eventstore.Revision(n), eventstore.Hash{0xa1, byte(n)}), at, []eventstore.Proposed{p})
	return golden{
		Type: p.Type, Schema: p.Schema, Stream: stream, Revision: records[0].Revision, EventID: id, RecordedAt: at,
		Leaf: leaves[0].String(), Data: p.Data, Metadata: records[0].Metadata,
	}
}

func writeNew(path string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Close())
}

// Every frozen file, of every version, decodes; those of today's version also
// encode to the very bytes they were read from; all keep their leaf.
func TestGoldenFilesStayReadable(t *testing.T) {
	t.Parallel()
	c, files := New(nil), 0
	err := filepath.WalkDir(filepath.Join("testdata", "events"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		g := readGolden(t, path)
		if files, _ := frozen(g.Type, g.Schema); !slices.Contains(files, path) {
			t.Errorf("%s holds %s version %d", path, g.Type, g.Schema)
		}
		checkGolden(t, c, path, g)
		return nil
	})
	if err != nil || files < len(table().rows) {
		t.Errorf("read %d golden files: %v", files, err)
	}
}

func checkGolden(t *testing.T, c *Codec, path string, g golden) {
	t.Helper()
	if leaf := g.record().Leaf().String(); leaf != g.Leaf {
		t.Errorf("%s: leaf %s, want %s", path, leaf, g.Leaf)
	}
	decoded, err := c.Decode(g.record())
	if err != nil {
		t.Errorf("%s: %v", path, err)
		return
	}
	if g.Schema != c.types.byName[g.Type].version {
		return
	}
	again, err := c.Encode(t.Context(), g.Stream, g.EventID, decoded.Event, decoded.Meta)
	if err != nil {
		t.Errorf("%s: %v", path, err)
		return
	}
	prev := decoded.Meta.Prev
	metadata := strings.Replace(string(again.Metadata), "{", `{"prev":"`+prev+`",`, 1)
	if len(prev) != 64 || !bytes.Equal(again.Data, g.Data) || metadata != string(g.Metadata) {
		t.Errorf("%s changes when decoded and encoded:\n%s\n%s", path, again.Data, metadata)
	}
}

func FuzzDecode(f *testing.F) {
	for _, r := range table().rows {
		g := readGolden(f, goldenPath(r.name, r.version))
		f.Add(g.Type, g.Schema, []byte(g.Data), []byte(g.Metadata))
	}
	c := New(nil)
	f.Fuzz(func(t *testing.T, name string, schema uint16, data, metadata []byte) {
		first, err := c.Decode(eventstore.Record{Stream: stream, Type: name, Schema: schema, Data: data, Metadata: metadata})
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrUnknownType) {
				t.Fatalf("undeclared error: %v", err)
			}
			return
		}
		// Whatever was accepted has one canonical form, which is stable.
		p, err := c.Encode(t.Context(), stream, eventstore.EventID{1}, first.Event, first.Meta)
		if err != nil {
			t.Skip("a time JSON cannot write") // years beyond 9999 or offsets Go does not print
		}
		second, err := c.Decode(eventstore.Record{Stream: stream, Type: p.Type, Schema: p.Schema, Data: p.Data, Metadata: p.Metadata})
		if err != nil {
			t.Fatalf("decode of what was encoded: %v", err)
		}
		q, err := c.Encode(t.Context(), stream, eventstore.EventID{1}, second.Event, second.Meta)
		if err != nil || !bytes.Equal(p.Data, q.Data) || !bytes.Equal(p.Metadata, q.Metadata) {
			t.Fatalf("not stable (%v):\n%s\n%s", err, p.Data, q.Data)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	c := New(nil)
	for _, name := range []string{"AuthenticationSucceeded", "ChallengeIssued", "OptOutGranted"} {
		r := readGolden(b, goldenPath(name, 1)).record()
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(r.Data) + len(r.Metadata)))
			for b.Loop() {
				if _, err := c.Decode(r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
