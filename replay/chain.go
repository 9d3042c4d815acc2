package replay

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
)

// BrokenChainError means that a stream is not the one that was written: a
// record is missing, added, moved or altered. Nothing read from the stream can
// be relied on.
type BrokenChainError struct {
	Stream   string
	Revision eventstore.Revision // of the record that does not fit
	Sequence eventstore.Sequence // of the same record
	Problem  string              // what does not fit, as a phrase
}

func (e *BrokenChainError) Error() string {
	return fmt.Sprintf("chain of %s is broken at revision %d (@%d): %s", e.Stream, e.Revision, e.Sequence, e.Problem)
}

// chain checks the records of one stream in order, from the first.
type chain struct {
	stream string
	count  uint64            // records that fitted
	last   eventstore.Record // the latest of them
	leaf   eventstore.Hash   // of last; zero before the first record
}

// check accepts the next record or returns a *BrokenChainError. A record
// altered in place is found when its successor is checked, because the
// successor holds its leaf hash; for the newest record of a stream that takes
// a proof against a signed checkpoint.
func (c *chain) check(r eventstore.Record) error {
	if problem := c.problem(r); problem != "" {
		return &BrokenChainError{Stream: c.stream, Revision: r.Revision, Sequence: r.Sequence, Problem: problem}
	}
	c.count, c.last, c.leaf = c.count+1, r, r.Leaf()
	return nil
}

func (c *chain) problem(r eventstore.Record) string {
	if r.Stream != c.stream {
		return fmt.Sprintf("the record belongs to %q", r.Stream)
	}
	if uint64(r.Revision) != c.count {
		return fmt.Sprintf("revision %d was expected; records are missing or repeated", c.count)
	}
	prev, ok := prevOf(r.Metadata)
	switch {
	case !ok:
		return "the metadata does not begin with the hash of the previous record"
	case prev != c.leaf && c.count == 0:
		return "the first record names a previous one"
	case prev != c.leaf:
		return fmt.Sprintf("its prev is not the leaf hash of revision %d (@%d); one of the two was altered", c.last.Revision, c.last.Sequence)
	case c.count > 0 && r.Sequence <= c.last.Sequence:
		return fmt.Sprintf("its sequence does not follow @%d", c.last.Sequence)
	case r.RecordedAt.Before(c.last.RecordedAt):
		return fmt.Sprintf("it was recorded before @%d", c.last.Sequence)
	}
	return ""
}

// prevOf reads the member eventstore.Chain puts at the beginning of metadata:
// {"prev":" and 64 hexadecimal digits. Any other spelling was not written by
// this ledger.
func prevOf(metadata []byte) (eventstore.Hash, bool) {
	const head, digits = `{"prev":"`, 64
	text, ok := strings.CutPrefix(string(metadata[:min(len(metadata), len(head)+digits+1)]), head)
	if !ok || len(text) != digits+1 || text[digits] != '"' {
		return eventstore.Hash{}, false
	}
	prev, err := eventstore.ParseHash(text[:digits])
	return prev, err == nil && prev.String() == text[:digits]
}

// history yields a stream from its first record up to a bound, checked and
// decoded. The record after the bound is checked too, because it seals the
// last one before it. An error is the last pair.
func history(ctx context.Context, reader eventstore.Reader, c *codec.Codec, stream string, until bound) iter.Seq2[codec.Decoded, error] {
	return func(yield func(codec.Decoded, error) bool) {
		links := chain{stream: stream}
		for r, err := range reader.ReadStream(ctx, stream, 0) {
			if err == nil {
				err = links.check(r)
			}
			if err != nil {
				yield(codec.Decoded{}, fmt.Errorf("read %s: %w", stream, err))
				return
			}
			if !until.reaches(r) {
				return
			}
			d, err := c.Decode(r)
			if err != nil {
				yield(codec.Decoded{}, fmt.Errorf("read %s: @%d: %w", stream, r.Sequence, err))
				return
			}
			if !yield(d, nil) {
				return
			}
		}
	}
}

// occurrence is when record n of the log occurred, in whatever stream.
func occurrence(ctx context.Context, reader eventstore.Reader, c *codec.Codec, n eventstore.Sequence) (time.Time, error) {
	for r, err := range reader.ReadAll(ctx, n) {
		if err != nil {
			return time.Time{}, fmt.Errorf("read record @%d: %w", n, err)
		}
		if r.Sequence != n {
			return time.Time{}, fmt.Errorf("read record @%d: the log answered @%d", n, r.Sequence)
		}
		d, err := c.Decode(r)
		if err != nil {
			return time.Time{}, fmt.Errorf("read record @%d: %w", n, err)
		}
		return d.Meta.OccurredAt, nil
	}
	end, _, err := reader.Head(ctx)
	if err != nil {
		return time.Time{}, fmt.Errorf("read record @%d: %w", n, err)
	}
	return time.Time{}, fmt.Errorf("%w: there is no record @%d; the log ends at @%d", ErrNotFound, n, end)
}
