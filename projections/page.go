package projections

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/authledger/authledger/eventstore"
)

// Limits of one page.
const (
	DefaultLimit = 100
	MaxLimit     = 1000
)

// ErrCursor means that a cursor's text was not made by Cursor.String.
var ErrCursor = errors.New("invalid cursor")

// Listing is what every list has in common.
type Listing struct {
	Since      time.Time           // inclusive; zero for the beginning
	Until      time.Time           // exclusive; zero for no end
	Descending bool                // newest first
	Limit      int                 // DefaultLimit if zero, at most MaxLimit
	At         eventstore.Sequence // list the state as of this record; zero is the newest
	After      Cursor              // of the previous page; it keeps that page's At
}

// Page is one page of a list.
type Page[T any] struct {
	Items    []T
	Next     Cursor              // zero after the last page
	At       eventstore.Sequence // the state all pages show
	Position eventstore.Position // of the newest record applied when the page was read
}

// Cursor is the place between two pages. Its text form is opaque to clients.
// The zero value is the beginning.
type Cursor struct {
	at   int64 // sequence that pins the list
	key  int64 // time of the last item, µs since 1970
	seq  int64 // sequence of the last item
	set  bool
	down bool
}

// IsZero reports whether the cursor is the beginning, or the end of the last page.
func (c Cursor) IsZero() bool { return !c.set }

// String is the text form; empty for the zero value.
func (c Cursor) String() string {
	if !c.set {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "1 %d %d %d %t", c.at, c.key, c.seq, c.down))
}

// ParseCursor reads what String wrote; "" is the zero value. It returns
// ErrCursor for anything else.
func ParseCursor(text string) (Cursor, error) {
	if text == "" {
		return Cursor{}, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return Cursor{}, ErrCursor
	}
	c := Cursor{set: true}
	if _, err := fmt.Sscanf(string(raw), "1 %d %d %d %t", &c.at, &c.key, &c.seq, &c.down); err != nil || c.String() != text {
		return Cursor{}, ErrCursor
	}
	return c, nil
}

// bounds is a Listing as statements take it.
type bounds struct {
	since, until int64 // µs
	back         int64 // how far time goes back along the log, µs
	at           int64 // greatest sequence
	key, seq     int64 // the cursor: what comes strictly behind it
	limit        int   // items of the page; statements ask for one more
	down         bool
}

const (
	endOfTime  = 1<<63 - 1
	startOfAll = -1 << 63
)

// bounds resolves a listing against what was applied. A page that would be of an
// older state than the one before it is a *BehindError.
func (l Listing) bounds(newest checkpoint) (bounds, error) {
	b := bounds{since: startOfAll, until: endOfTime, back: newest.back, at: int64(newest.seq), key: startOfAll, limit: l.Limit, down: l.Descending}
	if l.Limit <= 0 {
		b.limit = DefaultLimit
	}
	b.limit = min(b.limit, MaxLimit)
	if !l.Since.IsZero() {
		b.since = l.Since.UnixMicro()
	}
	if !l.Until.IsZero() {
		b.until = l.Until.UnixMicro()
	}
	if l.At > 0 {
		b.at = min(b.at, int64(l.At))
	}
	if l.Descending {
		b.key, b.seq = endOfTime, endOfTime
	}
	if !l.After.IsZero() {
		if l.After.down != l.Descending {
			return bounds{}, fmt.Errorf("%w: made for the other order", ErrCursor)
		}
		if l.After.at > int64(newest.seq) { // of another node, or of views that are being built again
			return bounds{}, &BehindError{Pinned: eventstore.Sequence(l.After.at), Applied: newest.seq}
		}
		b.at, b.key, b.seq = l.After.at, l.After.key, l.After.seq
	}
	return b, nil
}

// place is where an item stands in a list.
type place struct{ key, seq int64 }

// cut turns candidates, merged from sources that each gave at most one more
// than fits, into the places of one page in order.
func (b bounds) cut(found []place) (kept []place, next Cursor) {
	slices.SortFunc(found, func(x, y place) int {
		order := cmp.Or(cmp.Compare(x.key, y.key), cmp.Compare(x.seq, y.seq))
		if b.down {
			return -order
		}
		return order
	})
	if len(found) <= b.limit {
		return found, Cursor{}
	}
	last := found[b.limit-1]
	return found[:b.limit], Cursor{at: b.at, key: last.key, seq: last.seq, set: true, down: b.down}
}
