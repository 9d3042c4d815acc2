package eventstore_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/authledger/authledger/eventstore"
)

// vector is a record with every field set to something that shows.
func vector() eventstore.Record {
	return eventstore.Record{
		ID: uuid.MustParse("0a1b2c3d-4e5f-5061-8283-84a5b6c7d8e9"), Stream: "user-vg3k0d", Revision: 7, Sequence: 12345, Position: 67890,
		Type: "ChallengeIssued", Schema: 2, RecordedAt: time.Date(2026, 3, 4, 5, 6, 7, 123456000, time.UTC),
		Data:     []byte(`{"text":"é\u0000","n":1}`),
		Metadata: []byte(`{"prev":"00","command":"x"}`),
	}
}

// TestLeafVectors freezes the hash: a change here breaks every proof ever
// given. The expected values come from a separate computation over the bytes
// that AppendTo's documentation lists.
func TestLeafVectors(t *testing.T) {
	t.Parallel()
	empty := eventstore.Record{RecordedAt: time.UnixMicro(0)}
	for _, c := range []struct {
		name   string
		record eventstore.Record
		want   string
	}{
		{"full", vector(), "032e2aa3e164e0ec455bf1258b1c040a9b5099c9ecd2428ae6d9add4b9ababa8"},
		{"empty", empty, "0274d575b48c3a05f90bf1c4696bbb6af583dbf21b1eb3e3c3636ad3e5ce42ad"},
	} {
		if got := c.record.Leaf().String(); got != c.want {
			t.Errorf("%s: got leaf %s, want %s", c.name, got, c.want)
		}
		if got := documented(c.record); got != c.record.Leaf() {
			t.Errorf("%s: leaf %s is not the hash of the documented entry, %s", c.name, c.record.Leaf(), got)
		}
	}
}

// documented is the RFC 6962 leaf hash, by an independent implementation, of
// the bytes AppendTo's documentation lists.
func documented(r eventstore.Record) eventstore.Hash {
	var b bytes.Buffer
	put := func(v any) { _ = binary.Write(&b, binary.BigEndian, v) }
	long := func(s []byte) { put(uint32(len(s))); b.Write(s) }
	long([]byte(r.Stream))
	put(uint64(r.Revision))
	b.Write(r.ID[:])
	long([]byte(r.Type))
	put(r.Schema)
	put(r.RecordedAt.UnixMicro())
	data, metadata := sha256.Sum256(r.Data), sha256.Sum256(r.Metadata)
	b.Write(data[:])
	b.Write(metadata[:])
	return eventstore.Hash(tlog.RecordHash(b.Bytes()))
}

// TestLeafCovers changes each field: the sequence and position alone are left
// to the Merkle tree.
func TestLeafCovers(t *testing.T) {
	t.Parallel()
	want := vector().Leaf()
	for _, c := range []struct {
		name    string
		change  func(*eventstore.Record)
		covered bool
	}{
		{"id", func(r *eventstore.Record) { r.ID[15]++ }, true},
		{"stream", func(r *eventstore.Record) { r.Stream += "x" }, true},
		{"revision", func(r *eventstore.Record) { r.Revision++ }, true},
		{"type", func(r *eventstore.Record) { r.Type = "challengeIssued" }, true},
		{"schema", func(r *eventstore.Record) { r.Schema++ }, true},
		{"time by a microsecond", func(r *eventstore.Record) { r.RecordedAt = r.RecordedAt.Add(time.Microsecond) }, true},
		{"data", func(r *eventstore.Record) { r.Data = append(bytes.Clone(r.Data), ' ') }, true},
		{"metadata", func(r *eventstore.Record) { r.Metadata = append(bytes.Clone(r.Metadata), ' ') }, true},
		{"a byte moved from data to metadata", func(r *eventstore.Record) {
			r.Metadata = append([]byte{r.Data[len(r.Data)-1]}, r.Metadata...)
			r.Data = r.Data[:len(r.Data)-1]
		}, true},
		{"sequence", func(r *eventstore.Record) { r.Sequence++ }, false},
		{"position", func(r *eventstore.Record) { r.Position++ }, false},
		{"time zone", func(r *eventstore.Record) { r.RecordedAt = r.RecordedAt.In(time.FixedZone("x", 3600)) }, false},
	} {
		r := vector()
		c.change(&r)
		if got := r.Leaf(); (got != want) != c.covered {
			t.Errorf("%s: leaf changed: %v, want %v", c.name, got != want, c.covered)
		}
	}
}

func TestChain(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 4, 6, 6, 7, 123456789, time.FixedZone("x", 3600))
	last := eventstore.Hash{1, 2, 3}
	for _, c := range []struct {
		name     string
		expected eventstore.Expected
		first    eventstore.Revision
		prev     eventstore.Hash
	}{
		{"new stream", eventstore.NoStream(), 0, eventstore.Hash{}},
		{"after a record", eventstore.At(6, last), 7, last},
	} {
		events := []eventstore.Proposed{
			{ID: uuid.New(), Type: "A", Schema: 1, Data: []byte(`{"a":1}`), Metadata: []byte(`{}`)},
			{ID: uuid.New(), Type: "B", Schema: 2, Data: []byte(`{"b":1}`), Metadata: []byte(`{"c": 1}`)},
			{ID: uuid.New(), Type: "C", Schema: 3, Data: []byte(`{}`), Metadata: []byte(`{"d":{}}`)},
		}
		records, leaves := eventstore.Chain("s", c.expected, at, events)
		prev := c.prev
		for i, r := range records {
			rest := string(events[i].Metadata[1:])
			if rest != "}" {
				rest = "," + rest
			}
			want := fmt.Sprintf(`{"prev":"%s"%s`, prev, rest)
			if string(r.Metadata) != want {
				t.Errorf("%s, event %d: got metadata %s, want %s", c.name, i, r.Metadata, want)
			}
			if !json.Valid(r.Metadata) {
				t.Errorf("%s, event %d: metadata %s is not JSON", c.name, i, r.Metadata)
			}
			if r.Revision != c.first+eventstore.Revision(i) || r.ID != events[i].ID || r.Type != events[i].Type || r.Schema != events[i].Schema ||
				r.Stream != "s" || !bytes.Equal(r.Data, events[i].Data) || r.Sequence != 0 || r.Position != 0 {
				t.Errorf("%s, event %d: got %+v", c.name, i, r)
			}
			if want := time.Date(2026, 3, 4, 5, 6, 7, 123456000, time.UTC); r.RecordedAt != want {
				t.Errorf("%s, event %d: got time %v, want %v", c.name, i, r.RecordedAt, want)
			}
			if leaves[i] != r.Leaf() {
				t.Errorf("%s, event %d: leaf %s is not the record's", c.name, i, leaves[i])
			}
			prev = leaves[i]
		}
	}
}

// TestEventIDOf freezes the ids: a repeated command is recognised by them.
func TestEventIDOf(t *testing.T) {
	t.Parallel()
	command := uuid.MustParse("11111111-2222-5333-8444-555555555555")
	for ordinal, want := range []string{"02ca07bd-01c6-5ef2-835e-6c56ea82902d", "7b46a9b3-6a13-5ca6-bd92-87e1e21b5c96"} {
		if got := eventstore.EventIDOf(command, ordinal); got.String() != want || got.Version() != 5 {
			t.Errorf("event %d: got id %s, want %s", ordinal, got, want)
		}
	}
}

func TestParseHash(t *testing.T) {
	t.Parallel()
	want := vector().Leaf()
	if got, err := eventstore.ParseHash(want.String()); err != nil || got != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
	for _, s := range []string{"", "00", want.String()[:63], want.String() + "0", want.String() + "00", "g" + want.String()[1:], " " + want.String()[1:]} {
		if got, err := eventstore.ParseHash(s); err == nil || got != (eventstore.Hash{}) {
			t.Errorf("%q: got %s, %v, want an error and no hash", s, got, err)
		}
	}
}

// TestParseEntry reads back what was written, and nothing else.
func TestParseEntry(t *testing.T) {
	t.Parallel()
	r := vector()
	want := r.Entry()
	b := want.AppendTo(nil)
	if got, err := eventstore.ParseEntry(b); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if want.Leaf() != r.Leaf() {
		t.Error("the entry's leaf is not the record's")
	}
	for n := range b {
		if got, err := eventstore.ParseEntry(b[:n]); err == nil {
			t.Fatalf("the first %d of %d bytes are read as %+v", n, len(b), got)
		}
	}
	for name, bad := range map[string][]byte{
		"a byte more":       append(bytes.Clone(b), 0),
		"a huge text":       append([]byte{0xff, 0xff, 0xff, 0xff}, b[4:]...),
		"longer than known": bytes.Repeat([]byte{0}, eventstore.MaxEntry+1),
	} {
		if got, err := eventstore.ParseEntry(bad); err == nil {
			t.Errorf("%s: read as %+v", name, got)
		}
	}
	longest := eventstore.Entry{Stream: strings.Repeat("s", eventstore.MaxStreamName), Type: strings.Repeat("T", eventstore.MaxTypeName)}
	if n := len(longest.AppendTo(nil)); n != eventstore.MaxEntry {
		t.Errorf("the longest entry has %d bytes, want %d", n, eventstore.MaxEntry)
	}
}
