package esdbstore

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"github.com/authledger/authledger/eventstore"
)

// envelope is the user metadata of a stored event: the fields of the record the
// database has no place for, and the record's metadata as it is, last:
//
//	{"id":"…","schema":1,"recordedAt":1772600767123456,"part":0,"parts":2,"metadata":{"prev":"…",…}}
//
// recordedAt is in microseconds since 1970 UTC. part and parts say where the
// record stood in its append. The database's event id is not the record's id
// but derives from the record and its writer (wireID).
type envelope struct {
	ID         uuid.UUID       `json:"id"`
	Schema     uint16          `json:"schema"`
	RecordedAt int64           `json:"recordedAt"`
	Part       int             `json:"part"`
	Parts      int             `json:"parts"`
	Metadata   json.RawMessage `json:"metadata"`
}

// appendTo writes the one spelling of an envelope. The metadata's bytes are
// hashed, so they are copied, never encoded again.
func (e envelope) appendTo(b []byte) []byte {
	b = append(b, `{"id":"`...)
	b = append(b, e.ID.String()...)
	b = append(b, `","schema":`...)
	b = strconv.AppendUint(b, uint64(e.Schema), 10)
	b = append(b, `,"recordedAt":`...)
	b = strconv.AppendInt(b, e.RecordedAt, 10)
	b = append(b, `,"part":`...)
	b = strconv.AppendInt(b, int64(e.Part), 10)
	b = append(b, `,"parts":`...)
	b = strconv.AppendInt(b, int64(e.Parts), 10)
	b = append(b, `,"metadata":`...)
	b = append(b, e.Metadata...)
	return append(b, '}')
}

// parseEnvelope reads the one spelling of an envelope by its fields' names, in
// order; writing it again shows that nothing else was there. The metadata lies in
// b.
func parseEnvelope(b []byte) (e envelope, err error) {
	notOurs := fmt.Errorf("%w: the metadata is no envelope", eventstore.ErrDamaged)
	rest, ok := bytes.CutPrefix(b, []byte(`{"id":"`))
	if !ok || len(rest) < idBytes {
		return envelope{}, notOurs
	}
	if e.ID, err = uuid.ParseBytes(rest[:idBytes]); err != nil {
		return envelope{}, notOurs
	}
	var numbers [4]int64
	rest = rest[idBytes:]
	for i, name := range []string{`","schema":`, `,"recordedAt":`, `,"part":`, `,"parts":`} {
		if numbers[i], rest, ok = number(rest, name); !ok {
			return envelope{}, notOurs
		}
	}
	if rest, ok = bytes.CutPrefix(rest, []byte(`,"metadata":`)); !ok || len(rest) < 2 || !json.Valid(rest[:len(rest)-1]) {
		return envelope{}, notOurs
	}
	e.Schema, e.RecordedAt, e.Part, e.Parts = uint16(numbers[0]), numbers[1], int(numbers[2]), int(numbers[3])
	e.Metadata = json.RawMessage(rest[: len(rest)-1 : len(rest)-1])
	if !bytes.Equal(e.appendTo(make([]byte, 0, len(b))), b) {
		return envelope{}, fmt.Errorf("%w: the envelope is not as we write it", eventstore.ErrDamaged)
	}
	return e, nil
}

// idBytes is the length of an id as text.
const idBytes = 36

// number reads a whole number behind a name.
func number(b []byte, name string) (n int64, rest []byte, ok bool) {
	rest, ok = bytes.CutPrefix(b, []byte(name))
	end := bytes.IndexByte(rest, ',')
	if !ok || end < 0 {
		return 0, nil, false
	}
	n, err := strconv.ParseInt(string(rest[:end]), 10, 64)
	return n, rest[end:], err == nil
}

// writer is a random number of one call of Append, all zeros for an import.
type writer [16]byte

func newWriter() writer {
	var w writer
	_, _ = rand.Read(w[:]) // never fails; see crypto/rand
	return w
}

// wireSpace is the UUIDv5 name space of wire ids; fixed for ever.
var wireSpace = uuid.MustParse("0c0f7a52-5a1e-5f0b-9d55-3a3f0c9b7f21")

// wireID is the event id the database sees. It derives from the leaf, which
// covers the record and all before it in its stream, and the writer; so the
// database recognises what one call sends again because it had no answer, and
// takes nobody else's append of the same command for that: of two nodes that
// carry out one command, one must be told that the other was first.
func wireID(leaf eventstore.Hash, w writer) uuid.UUID {
	return uuid.NewSHA1(wireSpace, append(leaf[:len(leaf):len(leaf)], w[:]...))
}

// outgoing encodes records of one append for the database.
func outgoing(records []eventstore.Record, leaves []eventstore.Hash, w writer) []esdb.EventData {
	events := make([]esdb.EventData, len(records))
	for i, r := range records {
		e := envelope{ID: r.ID, Schema: r.Schema, RecordedAt: r.RecordedAt.UnixMicro(), Part: i, Parts: len(records), Metadata: r.Metadata}
		events[i] = esdb.EventData{
			EventID: wireID(leaves[i], w), EventType: r.Type, ContentType: esdb.ContentTypeJson,
			Data: r.Data, Metadata: e.appendTo(make([]byte, 0, len(r.Metadata)+envelopeBytes)),
		}
	}
	return events
}

// envelopeBytes is the most an envelope adds to the metadata.
const envelopeBytes = 160

// incoming is a stored event as a record. Its sequence is unknown here.
func (s *Store) incoming(e *esdb.RecordedEvent) (item, error) {
	stream, ok := strings.CutPrefix(e.StreamID, s.names.ledger)
	if !ok {
		return item{}, fmt.Errorf("%w: event %d of %s is not of this ledger", eventstore.ErrDamaged, e.EventNumber, e.StreamID)
	}
	v, err := parseEnvelope(e.UserMetadata)
	if err != nil {
		return item{}, fmt.Errorf("record %d of %s: %w", e.EventNumber, stream, err)
	}
	return item{
		Record: eventstore.Record{
			ID: v.ID, Stream: stream, Revision: eventstore.Revision(e.EventNumber), Position: eventstore.Position(e.Position.Commit),
			Type: e.EventType, Schema: v.Schema, RecordedAt: time.UnixMicro(v.RecordedAt).UTC(), Data: e.Data, Metadata: v.Metadata,
		},
		at: e.Position, wire: e.EventID, part: v.Part, parts: v.Parts,
	}, nil
}

// item is a record and where it lies in the database.
type item struct {
	eventstore.Record
	at          esdb.Position
	wire        uuid.UUID
	part, parts int
}

// stands gives an item its place in the log.
func (i *item) stands(n numbered) {
	i.Sequence, i.Position, i.at = n.sequence, eventstore.Position(n.at.Commit), n.at
}

// newID is the id of an entry of a side stream: of one call and place.
func newID(call uuid.UUID, n int) uuid.UUID {
	return uuid.NewSHA1(call, binary.BigEndian.AppendUint32(nil, uint32(n)))
}
