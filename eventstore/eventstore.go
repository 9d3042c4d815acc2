// Package eventstore is the contract of the ledger's log: one ordered,
// append-only sequence of records, grouped into streams.
//
// It holds types, errors and the rules every store shares (the record's leaf
// hash, the per-stream prev chain, name limits). It must not know what a
// record means: data and metadata are opaque JSON bytes, stored and hashed
// exactly as given. Most readers want Appender and Reader.
package eventstore

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Sequence numbers records over the whole log: dense, from 1, in commit order.
// Zero means "before the first record".
type Sequence uint64

// Revision numbers the records of one stream: dense, from 0.
type Revision uint64

// Position is the backend's own coordinate of a record: increasing with
// Sequence but possibly sparse. In the embedded stores it equals Sequence; in
// an EventStoreDB it is the commit position. It is what consistency tokens
// carry, because a distributed store cannot name a sequence at append time.
type Position uint64

// EventID identifies a record for ever. It is UUIDv5 of (command id, ordinal),
// so that the same command repeated yields the same ids (EventIDOf).
type EventID = uuid.UUID

// Hash is a SHA-256 digest.
type Hash [32]byte

// String returns the 64-digit lower-case hexadecimal form.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// ParseHash reads the form String writes.
func ParseHash(s string) (Hash, error) {
	var h Hash
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(h) {
		return Hash{}, fmt.Errorf("hash %q: want 64 hexadecimal digits", s)
	}
	copy(h[:], b)
	return h, nil
}

// Record is one stored event. The byte slices belong to the record; a reader
// may keep them but must not change them.
//
// RecordedAt never decreases within a stream. Along the log, by Sequence, it
// never decreases either in a store that one process appends to. In one that
// several processes append to a record may be older than one that precedes it in
// another stream: by DisorderOf the store in the ordinary course of things, and
// by more when its append was long under way (LateLimit, Judge). So what was
// recorded by a moment is a beginning of each stream, but not of the log: whoever
// cuts a log by time compares every record's time, and whoever wants a beginning
// of the log cuts by Sequence.
type Record struct {
	ID         EventID
	Stream     string
	Revision   Revision
	Sequence   Sequence
	Position   Position
	Type       string    // the event's name in domain.md, such as ChallengeIssued
	Schema     uint16    // version of the event's data format, from 1
	RecordedAt time.Time // UTC, whole microseconds, set by the appender; how it is ordered, see above
	Data       []byte    // JSON object
	Metadata   []byte    // JSON object whose first member is "prev" (Chain)
}

// Proposed is an event a caller asks to append. Metadata is a JSON object
// without the member "prev" and without white space before its first member;
// the appender adds "prev" (Chain).
type Proposed struct {
	ID       EventID
	Type     string
	Schema   uint16
	Data     []byte
	Metadata []byte
}

// Expected states what the caller believes about the stream. The zero value
// means that the stream must not exist, so forgetting it is safe.
type Expected struct {
	exists   bool
	revision Revision
	leaf     Hash
}

// NoStream expects a stream without records: the zero value, spelled out.
func NoStream() Expected { return Expected{} }

// At expects the stream's last record to have this revision and leaf hash. The
// leaf becomes the "prev" of the first record appended; the store trusts it,
// and verification of the chain finds a caller that lied.
func At(r Revision, leaf Hash) Expected { return Expected{exists: true, revision: r, leaf: leaf} }

// Exists reports whether a last record is expected.
func (e Expected) Exists() bool { return e.exists }

// Next is the revision of the first record appended under this expectation.
func (e Expected) Next() Revision {
	if !e.exists {
		return 0
	}
	return e.revision + 1
}

// Leaf is the leaf hash of the expected last record; zero for a new stream.
func (e Expected) Leaf() Hash { return e.leaf }

func (e Expected) String() string {
	if !e.exists {
		return "no stream"
	}
	return fmt.Sprintf("revision %d", e.revision)
}

// Appended is what a durable append tells its caller.
type Appended struct {
	Records  []Stamp  // one for each proposed event, in order
	Position Position // of the last record; the consistency token
	Repeated bool     // the same ids stood there already; nothing was written
}

// Last is the stamp of the last record appended.
func (a Appended) Last() Stamp { return a.Records[len(a.Records)-1] }

// Stamp is what the appender assigned to one record. Sequence is zero in a
// store that learns it later (EventStoreDB).
type Stamp struct {
	Revision   Revision
	Sequence   Sequence
	RecordedAt time.Time
	Leaf       Hash
}

// Appender writes.
//
// Append MUST be atomic: all events or none, contiguous in the stream and in
// the log. When it returns nil the records MUST survive the loss of process
// and power. All records of one append share one RecordedAt.
//
// It MUST return ErrConflict (as *ConflictError) when the stream is not as
// expected, unless the very same event ids already stand at the expected
// revisions: then it MUST return their stamps with Repeated set. It MUST
// return ErrDuplicateID when an id exists anywhere else. An error wrapping
// ErrOutcomeUnknown means that the records may or may not be durable: read
// back by id, never resend under another id. Any other error means that
// nothing was written.
//
// A context that ends after the append was handed to the store MAY yield
// ErrOutcomeUnknown; one that ended before MUST yield the context's error.
type Appender interface {
	Append(ctx context.Context, stream string, expected Expected, events []Proposed) (Appended, error)
}

// Reader reads. An iterator yields an error at most once, as its last pair; a
// consumer that sees no error has seen everything that was asked for. Readers
// hold no transaction open between records handed out.
type Reader interface {
	// ReadStream yields the stream's records from a revision on, in order, up
	// to the newest at the time of the call. A missing stream yields nothing.
	ReadStream(ctx context.Context, stream string, from Revision) iter.Seq2[Record, error]
	// ReadAll yields every record with Sequence >= from, in order, up to the
	// newest at the time of the call. Zero and one both mean the beginning.
	ReadAll(ctx context.Context, from Sequence) iter.Seq2[Record, error]
	// ByID returns one record, or ErrNotFound.
	ByID(ctx context.Context, id EventID) (Record, error)
	// Head returns the newest sequence and position; zeros for an empty log.
	Head(ctx context.Context) (Sequence, Position, error)
}

// Follower reads and then waits for more.
type Follower interface {
	// Follow yields batches of at most max records with Sequence > after: first
	// what is there, then what comes, without gap, repeat or reordering, until
	// ctx ends. It blocks while nothing is new and retries nothing: an error is
	// its last pair, and following again after the last record seen MUST resume
	// exactly. When ctx ends it returns without an error. The batch belongs to
	// the consumer.
	Follow(ctx context.Context, after Sequence, max int) iter.Seq2[[]Record, error]
}

// Store is a whole log.
type Store interface {
	Appender
	Reader
	Follower
	// Close stops writers and followers, answers every waiter, and releases
	// files. Appends after Close return ErrClosed.
	Close() error
}

// Errors of every store. Compare with errors.Is.
var (
	ErrConflict       = errors.New("stream is not at the expected revision")
	ErrDuplicateID    = errors.New("event id already stands elsewhere in the log")
	ErrOutcomeUnknown = errors.New("outcome of the append is unknown")
	ErrNotFound       = errors.New("no such record")
	ErrInvalid        = errors.New("invalid append")
	ErrTooLarge       = errors.New("record too large")
	ErrUnavailable    = errors.New("store unavailable")
	ErrDamaged        = errors.New("store is damaged") // its bytes contradict each other; always with ErrUnavailable
	ErrClosed         = errors.New("store is closed")
)

// ConflictError is ErrConflict with both sides.
type ConflictError struct {
	Stream   string
	Expected Expected
	Actual   Revision // meaningful when Found
	Found    bool     // whether the stream exists
}

func (e *ConflictError) Error() string {
	actual := "no stream"
	if e.Found {
		actual = fmt.Sprintf("revision %d", e.Actual)
	}
	return fmt.Sprintf("append to %s: expected %s, found %s", e.Stream, e.Expected, actual)
}

// Unwrap makes errors.Is(err, ErrConflict) hold.
func (e *ConflictError) Unwrap() error { return ErrConflict }

// Limits of a record. They hold for every store, so that a log can move
// between stores; 900 KiB keeps an append below the 1 MiB of EventStoreDB
// 23.10's default.
const (
	MaxStreamName  = 120       // bytes
	MaxTypeName    = 80        // bytes
	MaxAppendBytes = 900 << 10 // data and metadata of all events of one append
	MaxAppendCount = 1000      // events of one append
)

// CheckAppend returns an error wrapping ErrInvalid or ErrTooLarge when the
// arguments of an append break the contract. Every store calls it first.
func CheckAppend(stream string, events []Proposed) error {
	if err := CheckStream(stream); err != nil {
		return err
	}
	if len(events) == 0 {
		return fmt.Errorf("%w to %s: no events", ErrInvalid, stream)
	}
	if len(events) > MaxAppendCount {
		return fmt.Errorf("%w: append of %d events to %s, at most %d", ErrTooLarge, len(events), stream, MaxAppendCount)
	}
	size := 0
	for i, e := range events {
		switch {
		case e.ID == uuid.Nil:
			return fmt.Errorf("%w to %s: event %d has no id", ErrInvalid, stream, i)
		case e.Type == "" || len(e.Type) > MaxTypeName || !plain(e.Type):
			return fmt.Errorf("%w to %s: event %d has an invalid type name", ErrInvalid, stream, i)
		case e.Schema == 0:
			return fmt.Errorf("%w to %s: event %d has schema version 0", ErrInvalid, stream, i)
		case !object(e.Data) || !object(e.Metadata):
			return fmt.Errorf("%w to %s: data and metadata of event %d must be JSON objects", ErrInvalid, stream, i)
		case len(e.Metadata) > 2 && e.Metadata[1] != '"':
			return fmt.Errorf("%w to %s: metadata of event %d must begin with a member, without white space", ErrInvalid, stream, i)
		}
		for _, o := range events[:i] {
			if o.ID == e.ID {
				return fmt.Errorf("%w to %s: event id %s twice in one append", ErrInvalid, stream, e.ID)
			}
		}
		size += len(e.Data) + len(e.Metadata)
	}
	if size > MaxAppendBytes {
		return fmt.Errorf("%w: append of %d bytes to %s, at most %d", ErrTooLarge, size, stream, MaxAppendBytes)
	}
	return nil
}

// CheckStream accepts 1 to MaxStreamName bytes of printable UTF-8 without
// white space or control characters that do not begin with '$', which event
// databases keep for themselves.
func CheckStream(name string) error {
	if name == "" || len(name) > MaxStreamName || strings.HasPrefix(name, "$") || !plain(name) {
		return fmt.Errorf("%w: stream name %q: want 1 to %d bytes of visible text not beginning with '$'", ErrInvalid, name, MaxStreamName)
	}
	return nil
}

func plain(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if r == ' ' || r == utf8.RuneError || !unicode.IsPrint(r) { // IsPrint leaves out all other white space, and invisible marks
			return false
		}
	}
	return true
}

func object(b []byte) bool { return len(b) >= 2 && b[0] == '{' && b[len(b)-1] == '}' }
