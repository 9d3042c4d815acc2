package projections

import (
	"errors"
	"fmt"
	"time"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/bridge"
	"github.com/authledger/authledger/eventstore/codec"
)

// entry is one decoded record as the read models see it.
type entry struct {
	codec.Decoded
	seq      int64  // the record's sequence
	owner    string // id of the user, client, installation or unit whose stream it is in
	occurred int64  // µs since 1970
	recorded int64  // µs since 1970

	// What the audit timeline keeps of it, worked out while the batch before is
	// written.
	outcome     Outcome
	reason      string
	packed      []byte   // owner
	correlation []byte   // packed; nil for none
	about       [][]byte // packed
	starts      []byte   // packed; nil for nothing
}

// decodeAll decodes records in order; the first that cannot be is named by the
// error.
func decodeAll(c *codec.Codec, records []eventstore.Record) ([]entry, error) {
	entries := make([]entry, len(records))
	for i, r := range records {
		var err error
		if entries[i], err = decodeOne(c, r); err != nil {
			return nil, err
		}
	}
	return entries, nil
}

func decodeOne(c *codec.Codec, r eventstore.Record) (entry, error) {
	d, err := c.Decode(r)
	if err != nil {
		return entry{}, &bridge.RecordError{Sequence: r.Sequence, Err: err}
	}
	f, ok := describe(d.Event)
	if !ok {
		return entry{}, &bridge.RecordError{Sequence: r.Sequence, Err: fmt.Errorf("%w: %s", errUndescribed, r.Type)}
	}
	owner := streamOwner(r.Stream)
	e := entry{
		Decoded: d, seq: int64(r.Sequence), owner: owner,
		occurred: d.Meta.OccurredAt.UnixMicro(), recorded: r.RecordedAt.UnixMicro(),
		outcome: f.outcome, reason: f.reason, packed: packID(owner), correlation: packOptional(d.Meta.CorrelationID),
		starts: packOptional(f.starts), about: make([][]byte, 0, len(f.about)),
	}
	for _, id := range f.about {
		if id != "" {
			e.about = append(e.about, packID(id))
		}
	}
	return e, nil
}

var errUndescribed = errors.New("event type has no place on the audit timeline")

func packOptional(id string) []byte {
	if id == "" {
		return nil
	}
	return packID(id)
}

// micros is a moment as the views store it; nil for none.
func micros(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}

// microsAt is micros of a moment that may be absent.
func microsAt(t *time.Time) any {
	if t == nil {
		return nil
	}
	return t.UnixMicro()
}

// optional stores an absent text as NULL.
func optional[T ~string](s T) any {
	if s == "" {
		return nil
	}
	return string(s)
}

// moment is the inverse of micros.
func moment(µs *int64) *time.Time {
	if µs == nil {
		return nil
	}
	t := time.UnixMicro(*µs).UTC()
	return &t
}

func instant(µs int64) time.Time { return time.UnixMicro(µs).UTC() }

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
