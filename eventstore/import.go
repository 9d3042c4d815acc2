package eventstore

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// prevHead and prevSize are how a record's metadata begins (Chain), and by how
// much that makes them longer than what was proposed.
const (
	prevHead = `{"prev":"`
	prevSize = len(prevHead) + 2*len(Hash{}) + len(`",`) - len(`{`)
)

// Prev is the leaf hash of the stream's previous record as the record's metadata
// name it; false when they do not begin with one as Chain writes it.
func (r Record) Prev() (h Hash, ok bool) {
	rest, found := bytes.CutPrefix(r.Metadata, []byte(prevHead))
	if !found || len(rest) <= 2*len(h) || rest[2*len(h)] != '"' {
		return Hash{}, false
	}
	digits := rest[:2*len(h)]
	if _, err := hex.Decode(h[:], digits); err != nil || h.String() != string(digits) {
		return Hash{}, false
	}
	return h, true
}

// Equal reports whether both are the same record at the same place of the log,
// byte for byte. Position is the store's own and does not count.
func (r Record) Equal(o Record) bool {
	return r.ID == o.ID && r.Stream == o.Stream && r.Revision == o.Revision && r.Sequence == o.Sequence && r.Type == o.Type &&
		r.Schema == o.Schema && r.RecordedAt.Equal(o.RecordedAt) && bytes.Equal(r.Data, o.Data) && bytes.Equal(r.Metadata, o.Metadata)
}

// CheckImport returns an error wrapping ErrInvalid or ErrTooLarge when one of
// the records could not have been written by any store, and ErrConflict when
// their sequences have a gap. Every Importer calls it first.
func CheckImport(records []Record) error {
	for i, r := range records {
		if err := checkRecord(r); err != nil {
			return fmt.Errorf("import record %d: %w", r.Sequence, err)
		}
		if i > 0 && r.Sequence != records[i-1].Sequence+1 {
			return fmt.Errorf("import record %d: %w: it follows record %d", r.Sequence, ErrConflict, records[i-1].Sequence)
		}
	}
	return nil
}

func checkRecord(r Record) error {
	if err := CheckStream(r.Stream); err != nil {
		return err
	}
	_, chained := r.Prev()
	switch {
	case r.Sequence == 0:
		return fmt.Errorf("%w: a record of %s has no sequence", ErrInvalid, r.Stream)
	case r.ID == uuid.Nil:
		return fmt.Errorf("%w: it has no id", ErrInvalid)
	case r.Type == "" || len(r.Type) > MaxTypeName || !plain(r.Type):
		return fmt.Errorf("%w: it has an invalid type name", ErrInvalid)
	case r.Schema == 0:
		return fmt.Errorf("%w: it has schema version 0", ErrInvalid)
	case !object(r.Data) || !object(r.Metadata):
		return fmt.Errorf("%w: its data and metadata must be JSON objects", ErrInvalid)
	case !chained:
		return fmt.Errorf("%w: its metadata do not begin with a prev hash", ErrInvalid)
	case r.RecordedAt.Nanosecond()%1000 != 0:
		return fmt.Errorf("%w: its time is finer than a microsecond", ErrInvalid)
	case len(r.Data)+len(r.Metadata)-prevSize > MaxAppendBytes:
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(r.Data)+len(r.Metadata)-prevSize, MaxAppendBytes)
	}
	return nil
}

// Tip is the end of a stream, for whoever continues it with records that exist
// already. Its zero value is a stream without records.
type Tip struct {
	Next       Revision
	Leaf       Hash      // of the newest record
	RecordedAt time.Time // of the newest record
}

// TipOf is the end of a stream whose newest record is r.
func TipOf(r Record) Tip {
	return Tip{Next: r.Revision + 1, Leaf: r.Leaf(), RecordedAt: r.RecordedAt}
}

// Continue checks that r is the stream's next record, by revision, prev and
// time, and returns the end behind it. Its error wraps ErrConflict and says what
// is wrong.
func (t Tip) Continue(r Record) (Tip, error) {
	wrong := ""
	switch prev, ok := r.Prev(); {
	case r.Revision != t.Next:
		wrong = fmt.Sprintf("the next revision of the stream is %d", t.Next)
	case !ok || prev != t.Leaf:
		wrong = "its prev is not the leaf hash of the record before it in the stream"
	case r.RecordedAt.Before(t.RecordedAt):
		wrong = "it was recorded before the record before it in the stream"
	}
	if wrong != "" {
		return Tip{}, fmt.Errorf("record %d, %s revision %d: %w: %s", r.Sequence, r.Stream, r.Revision, ErrConflict, wrong)
	}
	return TipOf(r), nil
}

// Order follows how far time goes back in a log. Its zero value is one without
// records.
type Order struct {
	Newest   time.Time     // of all records so far
	Disorder time.Duration // by how much at most one was recorded before an earlier one
}

// See adds the time of the next record.
func (o *Order) See(at time.Time) {
	o.Disorder = max(o.Disorder, o.Newest.Sub(at))
	if at.After(o.Newest) {
		o.Newest = at
	}
}
