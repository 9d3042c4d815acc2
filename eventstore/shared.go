package eventstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"
)

// Shared is what a store implements that several processes append to at the
// same time, each through a store of its own. A store without it belongs to one
// process.
//
// In a shared store a state that somebody keeps in memory may be behind: what
// decides must read the stream again, or append under an expected revision,
// which tells. ReadStream and ByID of a shared store see every append that any
// process was told of before the call. Head and ReadAll see every append of this
// process, and of the others what has arrived here, which is at least what this
// process has read from any stream.
type Shared interface {
	Disorderly
	// Shared reports that several processes append. What wraps a store answers
	// as the store would.
	Shared() bool
}

// Disorderly is what a store implements whose log's time may go back: because
// the clocks of several processes stand apart, or because it holds records that
// were imported from such a log.
type Disorderly interface {
	// Disorder is how far time may go back: a record may have been recorded
	// before one that stands earlier in the log by that much, when they are of
	// different streams. Within a stream time never goes back.
	// A record whose append was long under way may be older still (LateLimit).
	Disorder() time.Duration
}

// DisorderOf is the Disorder of a store, or of anything that reads one; zero
// for one whose time never goes back.
func DisorderOf(store any) time.Duration {
	if s, ok := store.(Disorderly); ok {
		return s.Disorder()
	}
	return 0
}

// IsShared reports whether several processes append to the store.
func IsShared(store any) bool {
	s, ok := store.(Shared)
	return ok && s.Shared()
}

// Handed is a record handed to one consumer of a group. Exactly one of Done and
// Again must be called, once; either may return an error wrapping ErrUnavailable
// when the group did not hear of it, and then the record comes again, here or
// elsewhere.
type Handed struct {
	Record
	// Retries is how often it was handed out before, as far as the store counts.
	Retries int
	// Done says that the record was dealt with: it is not handed out again, unless
	// the group forgets it, as a server may that stops just then.
	Done func(context.Context) error
	// Again asks for the record to be handed out again, to anybody.
	Again func(context.Context) error
}

// Group is a group of consumers that share the records of some types.
type Group struct {
	Name  string
	Types []string
	Lease time.Duration // see Sharer.Share
	// Checkpoint names the place that the same consumers keep when the log belongs
	// to one process.
	Checkpoint string
}

// Sharer hands each record of a shared log to one consumer of a group.
type Sharer interface {
	// Share joins the group, which is made when it is new and then begins with
	// the log's first record. It yields records of the wanted types, one at a
	// time to each consumer of the group, about in the order of the log: a record
	// that comes again comes late. Records of one stream go to one consumer while
	// the consumers stay the same. A record whose consumer went away, or said
	// nothing for the lease, is handed to another one: at least once, so what a
	// consumer does must begin with an append that only one can make.
	//
	// It blocks while there is nothing to do, until ctx ends; then it returns
	// without an error. An error is its last pair; joining again goes on.
	Share(ctx context.Context, group string, types []string, lease time.Duration) iter.Seq2[Handed, error]
}

// Importer takes records over from another log as they are.
type Importer interface {
	// Import appends records that continue this log: their sequences follow its
	// newest one without a gap, their revisions and prev links continue the
	// streams, and every byte, time and id is kept. Records that stand there
	// already, byte for byte, at the beginning of the batch are passed over, so
	// that an import that was cut off can be repeated. It is durable when it
	// returns, and returns ErrConflict when the log holds something else there or
	// a record does not continue the log or its stream, ErrDuplicateID when an id
	// stands elsewhere, ErrInvalid or ErrTooLarge for what is no record of any log
	// (CheckImport). After an error a part of the batch, from its beginning, may
	// be there. Nobody else may append meanwhile.
	//
	// Time may go back between streams, as far as it does in the other log; the
	// store says so from then on (Disorderly), and what is appended later is
	// never recorded before what was imported.
	Import(ctx context.Context, records []Record) error
}

// Side is a set of small streams beside the ledger: keys, checkpoints, API
// clients; what must be the same on every node and is not part of the record.
// They are not in the log: Reader and Follower never show them. Names obey
// CheckStream. An entry is at most MaxAppendBytes of any bytes.
type Side interface {
	// AppendSide adds entries behind the first next entries of the stream, all or
	// none; next is the number of entries the caller believes to be there, zero
	// for a new stream. They are durable when it returns nil. It MUST return
	// ErrConflict when the stream is not as long as that, also when the very same
	// entries stand there already; ErrGone when the stream was deleted;
	// an error wrapping ErrOutcomeUnknown when the entries may or may not be
	// there, after which the caller reads.
	AppendSide(ctx context.Context, stream string, next uint64, entries ...[]byte) error
	// ReadSide yields the entries from number from on, in order, up to the newest
	// at the time of the call, including every append that was acknowledged
	// anywhere before it. A stream without entries yields nothing; one that was
	// deleted yields ErrGone.
	ReadSide(ctx context.Context, stream string, from uint64) iter.Seq2[[]byte, error]
	// ListSide yields the names of the streams that begin with a prefix and have
	// entries, each once, in no order. It may take time in the number of all
	// entries ever written.
	ListSide(ctx context.Context, prefix string) iter.Seq2[string, error]
	// DeleteSide deletes a stream for good: nobody can read it or append to it
	// ever again (ErrGone), also when it never had an entry. Deleting it again
	// does nothing. The bytes leave the store's files when the store cleans up.
	DeleteSide(ctx context.Context, stream string) error
	// WatchSide yields the name of a stream that begins with the prefix, once for
	// each append to it or deletion of it after the call and, it may be, for some
	// before; until ctx ends, then it returns without an error. An error is its
	// last pair: what happened until it is called again is not told.
	WatchSide(ctx context.Context, prefix string) iter.Seq2[string, error]
}

// ErrGone means that a side stream was deleted for good.
var ErrGone = errors.New("stream was deleted")

// CheckSide returns an error wrapping ErrInvalid or ErrTooLarge when the
// arguments of a call on a side stream break the contract. Every Side calls it
// first.
func CheckSide(stream string, entries [][]byte) error {
	if err := CheckStream(stream); err != nil {
		return err
	}
	size := 0
	for _, e := range entries {
		size += len(e)
	}
	if len(entries) > MaxAppendCount || size > MaxAppendBytes {
		return fmt.Errorf("%w: %d entries of %d bytes for %s, at most %d of %d", ErrTooLarge, len(entries), size, stream, MaxAppendCount, MaxAppendBytes)
	}
	return nil
}
