package eventstore

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/google/uuid"
)

// Leaf is the RFC 6962 leaf hash of the record: SHA-256 over
//
//	0x00                                  RFC 6962 §2.1 leaf prefix
//	u32 length ‖ stream                   lengths are big-endian, 4 bytes
//	u64 revision                          big-endian
//	16 bytes event id
//	u32 length ‖ type
//	u16 schema                            big-endian
//	i64 recorded at                       microseconds since 1970 UTC, big-endian
//	u32 length ‖ data
//	u32 length ‖ metadata
//
// The sequence is not part of it: the position in the Merkle tree is the proof
// of the order.
func (r Record) Leaf() Hash {
	h := sha256.New()
	buf := make([]byte, 0, 64+len(r.Stream)+len(r.Type))
	buf = append(buf, 0)
	buf = binary.BigEndian.AppendUint32(buf, uint32(len(r.Stream)))
	buf = append(buf, r.Stream...)
	buf = binary.BigEndian.AppendUint64(buf, uint64(r.Revision))
	buf = append(buf, r.ID[:]...)
	buf = binary.BigEndian.AppendUint32(buf, uint32(len(r.Type)))
	buf = append(buf, r.Type...)
	buf = binary.BigEndian.AppendUint16(buf, r.Schema)
	buf = binary.BigEndian.AppendUint64(buf, uint64(r.RecordedAt.UnixMicro()))
	buf = binary.BigEndian.AppendUint32(buf, uint32(len(r.Data)))
	h.Write(buf)
	h.Write(r.Data)
	buf = binary.BigEndian.AppendUint32(buf[:0], uint32(len(r.Metadata)))
	h.Write(buf)
	h.Write(r.Metadata)
	var leaf Hash
	h.Sum(leaf[:0])
	return leaf
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
