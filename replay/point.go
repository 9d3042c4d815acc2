package replay

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/authledger/authledger/eventstore"
)

// Point is a place in the history. It says which records were known there, and
// at which moment the state they add up to is looked at:
//
//	AtTime(t)      records with recorded_at <= t, looked at t
//	AtSequence(n)  records with sequence <= n, looked at when record n occurred
//	Newest(now)    every record, looked at now, or when the stream's last one
//	               was recorded if that is later
//
// Expiry follows from the moment (D-4), so a lock can be over without an event
// that says so. The zero value is no point at all.
type Point struct {
	kind     pointKind
	time     time.Time // atTime, newest: UTC, whole microseconds
	sequence eventstore.Sequence
}

type pointKind int

const (
	unset pointKind = iota
	atTime
	atSequence
	newest
)

// AtTime is the moment t, cut to whole microseconds as all times of the log
// are. What was recorded at that very microsecond was known.
func AtTime(t time.Time) Point { return Point{kind: atTime, time: micros(t)} }

// AtSequence is the moment just after record n of the whole log, whoever's
// stream it stands in.
func AtSequence(n eventstore.Sequence) Point { return Point{kind: atSequence, sequence: n} }

// Newest is the end of the log. A log whose clock runs ahead of now is not
// cut off.
func Newest(now time.Time) Point { return Point{kind: newest, time: micros(now)} }

// IsZero reports whether this is no point.
func (p Point) IsZero() bool { return p.kind == unset }

// String is the form ParsePoint reads, "newest", or "" for the zero value.
func (p Point) String() string {
	switch p.kind {
	case atTime:
		return p.time.Format(time.RFC3339Nano)
	case atSequence:
		return "@" + strconv.FormatUint(uint64(p.sequence), 10)
	case newest:
		return "newest"
	}
	return ""
}

// ParsePoint reads what people type: RFC 3339 with a zone, a date (its first
// moment in UTC), a duration back from now such as -36h, or @ and the sequence
// of a record. Errors wrap ErrUsage and name the four forms.
func ParsePoint(text string, now time.Time) (Point, error) {
	if digits, ok := strings.CutPrefix(text, "@"); ok {
		n, err := strconv.ParseUint(digits, 10, 63)
		if err != nil || n == 0 {
			return Point{}, fmt.Errorf("%w: record %q: want @ and the record's number in the log, from @1 on", ErrUsage, text)
		}
		return AtSequence(eventstore.Sequence(n)), nil
	}
	if strings.HasPrefix(text, "-") {
		back, err := time.ParseDuration(text)
		if err != nil {
			return Point{}, fmt.Errorf("%w: duration %q: want a duration back from now such as -36h or -15m", ErrUsage, text)
		}
		return AtTime(now.Add(back)), nil
	}
	for _, layout := range [...]string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return AtTime(t), nil
		}
	}
	return Point{}, fmt.Errorf("%w: moment %q: want 2026-03-01T09:30:00Z, 2026-03-01, a duration back from now such as -36h, or a record such as @1234", ErrUsage, text)
}

// reaches reports whether the record was known at the point. Of a stream's
// records, those before one that was known were known too.
func (p Point) reaches(r eventstore.Record) bool {
	switch p.kind {
	case atTime:
		return !r.RecordedAt.After(p.time)
	case atSequence:
		return r.Sequence <= p.sequence
	}
	return true
}

// precedes reports whether the record stands before the point: at a point
// that begins a window, records of that very moment belong to the window.
func (p Point) precedes(r eventstore.Record) bool {
	switch p.kind {
	case atTime:
		return r.RecordedAt.Before(p.time)
	case atSequence:
		return r.Sequence < p.sequence
	}
	return false
}

func micros(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
