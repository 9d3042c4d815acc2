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
// In a log that several processes append to, records cross each other by
// moments: those of AtTime(t) are still exactly the ones recorded by t, in every
// stream a beginning of it, but no beginning of the log.
//
// What was true and what was known are two axes (D-74); KnownBy moves the
// second one: what do we know by then about that moment?
//
// Expiry follows from the moment (D-4), so a lock can be over without an event
// that says so. The zero value is no point at all.
type Point struct {
	bound       // the moment, and what had happened by then
	known bound // what was recorded by then; unset means the moment itself
}

// bound divides the records of the log in two.
type bound struct {
	kind     boundKind
	time     time.Time // atTime, newest: UTC, whole microseconds
	sequence eventstore.Sequence
}

type boundKind int

const (
	unset boundKind = iota
	atTime
	atSequence
	newest
)

// AtTime is the moment t, cut to whole microseconds as all times of the log
// are. What was recorded at that very microsecond was known.
func AtTime(t time.Time) Point { return Point{bound: bound{kind: atTime, time: micros(t)}} }

// AtSequence is the moment just after record n of the whole log, whoever's
// stream it stands in.
func AtSequence(n eventstore.Sequence) Point {
	return Point{bound: bound{kind: atSequence, sequence: n}}
}

// Newest is the end of the log. A log whose clock runs ahead of now is not
// cut off.
func Newest(now time.Time) Point { return Point{bound: bound{kind: newest, time: micros(now)}} }

// KnownBy is the same moment as known at another point: exactly the records
// that point reaches. Known later, facts that carry a date of their own
// (residence, access, a client's facts, the rule book) count from their date
// although they were recorded after the moment; whatever else happened after
// the moment had not happened yet. Known earlier, the state is what was to be
// expected. The zero value changes nothing.
func (p Point) KnownBy(k Point) Point {
	p.known = k.bound
	return p
}

// knowledge is the bound of the records that are read.
func (p Point) knowledge() bound {
	if p.known.kind == unset {
		return p.bound
	}
	return p.known
}

// IsZero reports whether this is no point.
func (p Point) IsZero() bool { return p.kind == unset }

// Time is the moment of a point that is one; ok is false for a record's place
// and for the newest.
func (p Point) Time() (at time.Time, ok bool) { return p.time, p.kind == atTime }

// String is the form ParsePoint reads, "newest", or "" for the zero value; a
// second axis follows in words.
func (p Point) String() string {
	if p.known.kind == unset {
		return p.bound.String()
	}
	return p.bound.String() + " as known at " + p.known.String()
}

func (b bound) String() string {
	switch b.kind {
	case atTime:
		return b.time.Format(time.RFC3339Nano)
	case atSequence:
		return "@" + strconv.FormatUint(uint64(b.sequence), 10)
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

// reaches reports whether the record stands before the bound. Of a stream's
// records, those before one that does do too; of the log's, not always.
func (b bound) reaches(r eventstore.Record) bool {
	switch b.kind {
	case atTime:
		return !r.RecordedAt.After(b.time)
	case atSequence:
		return r.Sequence <= b.sequence
	}
	return true
}

// precedes reports whether the record stands before the point: at a point
// that begins a window, records of that very moment belong to the window.
func (b bound) precedes(r eventstore.Record) bool {
	switch b.kind {
	case atTime:
		return r.RecordedAt.Before(b.time)
	case atSequence:
		return r.Sequence < b.sequence
	}
	return false
}

func micros(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
