package eventstore

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Entry is what the log commits to for one record: its header in clear and the
// hashes of its content. It names a record, its place in its stream and its
// time without showing what happened, so that whoever holds the entries of a
// whole range can prove that an extract of it is complete.
type Entry struct {
	Stream       string
	Revision     Revision
	ID           EventID
	Type         string
	Schema       uint16
	RecordedAt   time.Time
	DataHash     Hash // SHA-256 of the data bytes
	MetadataHash Hash // SHA-256 of the metadata bytes
}

// Entry returns the record's entry. The sequence is not part of it: the
// position in the Merkle tree is the proof of the order.
func (r Record) Entry() Entry {
	return Entry{
		Stream: r.Stream, Revision: r.Revision, ID: r.ID, Type: r.Type, Schema: r.Schema, RecordedAt: r.RecordedAt,
		DataHash: sha256.Sum256(r.Data), MetadataHash: sha256.Sum256(r.Metadata),
	}
}

// Leaf is the leaf hash of the record's entry.
func (r Record) Leaf() Hash { return r.Entry().Leaf() }

// Leaf is the RFC 6962 §2.1 leaf hash, SHA-256(0x00 ‖ entry), of the bytes
// AppendTo writes.
func (e Entry) Leaf() Hash {
	b := make([]byte, 1, 384) // 0x00, the prefix of leaves; longest entry 306 bytes
	return sha256.Sum256(e.AppendTo(b))
}

// AppendTo appends the entry's bytes, at most MaxEntry of them:
//
//	u32 length ‖ stream                   integers are big-endian
//	u64 revision
//	16 bytes event id
//	u32 length ‖ type
//	u16 schema
//	i64 recorded at                       microseconds since 1970 UTC
//	32 bytes SHA-256 of the data
//	32 bytes SHA-256 of the metadata
func (e Entry) AppendTo(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(e.Stream)))
	b = append(b, e.Stream...)
	b = binary.BigEndian.AppendUint64(b, uint64(e.Revision))
	b = append(b, e.ID[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(e.Type)))
	b = append(b, e.Type...)
	b = binary.BigEndian.AppendUint16(b, e.Schema)
	b = binary.BigEndian.AppendUint64(b, uint64(e.RecordedAt.UnixMicro()))
	b = append(b, e.DataHash[:]...)
	return append(b, e.MetadataHash[:]...)
}

// entryFixed is the length of an entry without its two texts, and MaxEntry the
// most an entry can have.
const (
	entryFixed = 4 + 8 + 16 + 4 + 2 + 8 + 2*32
	MaxEntry   = entryFixed + MaxStreamName + MaxTypeName
)

// ParseEntry reads exactly what AppendTo writes.
func ParseEntry(b []byte) (Entry, error) {
	rest, ok := b, len(b) <= MaxEntry
	take := func(n uint32) []byte {
		if ok = ok && uint64(n) <= uint64(len(rest)); !ok {
			return make([]byte, 32) // what the integers below are read from; the result is dropped
		}
		part := rest[:n]
		rest = rest[n:]
		return part
	}
	text := func() string { return string(take(binary.BigEndian.Uint32(take(4)))) }
	var e Entry
	e.Stream = text()
	e.Revision = Revision(binary.BigEndian.Uint64(take(8)))
	copy(e.ID[:], take(16))
	e.Type = text()
	e.Schema = binary.BigEndian.Uint16(take(2))
	e.RecordedAt = time.UnixMicro(int64(binary.BigEndian.Uint64(take(8)))).UTC()
	copy(e.DataHash[:], take(32))
	copy(e.MetadataHash[:], take(32))
	if !ok || len(rest) > 0 {
		return Entry{}, fmt.Errorf("%d bytes are no entry of a log", len(b))
	}
	return e, nil
}

// Chain turns proposed events into the records of one append, in order,
// without Sequence and Position, and their leaf hashes. Each record's metadata
// begins with the member "prev": the leaf hash of the stream's previous record
// in hexadecimal, zeros for the first. Every store builds its records here, so
// the chain is the same rule everywhere. at is cut to whole microseconds.
func Chain(stream string, expected Expected, at time.Time, events []Proposed) ([]Record, []Hash) {
	at = at.UTC().Truncate(time.Microsecond)
	records := make([]Record, len(events))
	leaves := make([]Hash, len(events))
	prev := expected.Leaf()
	for i, e := range events {
		records[i] = Record{
			ID: e.ID, Stream: stream, Revision: expected.Next() + Revision(i), Type: e.Type, Schema: e.Schema,
			RecordedAt: at, Data: e.Data, Metadata: withPrev(prev, e.Metadata),
		}
		prev = records[i].Leaf()
		leaves[i] = prev
	}
	return records, leaves
}

func withPrev(prev Hash, metadata []byte) []byte {
	out := make([]byte, 0, len(metadata)+76)
	out = append(out, `{"prev":"`...)
	out = append(out, prev.String()...)
	out = append(out, '"')
	if len(metadata) > 2 {
		out = append(out, ',')
	}
	return append(out, metadata[1:]...)
}

// namespaceEvent is the UUIDv5 name space of event ids; fixed for ever.
var namespaceEvent = uuid.MustParse("6f1b7e3a-8f0d-5c58-9f0b-0a5a3c1d9e01")

// EventIDOf is the id of the event with this ordinal (from 0) among the events
// one command appends.
func EventIDOf(command uuid.UUID, ordinal int) EventID {
	var name [20]byte
	copy(name[:], command[:])
	binary.BigEndian.PutUint32(name[16:], uint32(ordinal))
	return uuid.NewSHA1(namespaceEvent, name[:])
}
