package projections

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"sort"

	"github.com/authledger/authledger/eventstore"
)

// selection is one page's search.
type selection struct {
	q        queryer
	b        bounds
	facets   []int64
	all      bool // every facet matches
	entities [][]byte
	filtered bool // by entities, of which there may be none
}

// bySequence finds places in the order of the log.
func (s selection) bySequence(ctx context.Context) ([]place, error) {
	w, err := s.window(ctx)
	if err != nil {
		return nil, err
	}
	within := func(more ...any) []any {
		return append([]any{w.low, w.high, int64(s.b.limit) + 1, w.exact, s.b.since, s.b.until}, more...)
	}
	switch {
	case s.filtered:
		return gather(s.entities, func(entity []byte) ([]place, error) {
			return s.query(ctx, s.pick(sqlEntityUp, sqlEntityDown), within(entity, s.numbers())...)
		})
	case s.all:
		return s.query(ctx, s.pick(sqlAllUp, sqlAllDown), within()...)
	}
	return gather(s.facets, func(facet int64) ([]place, error) {
		return s.query(ctx, s.pick(sqlFacetUp, sqlFacetDown), within(facet)...)
	})
}

// byOccurrence finds places in the order of when things happened.
func (s selection) byOccurrence(ctx context.Context) ([]place, error) {
	b, n := s.b, int64(s.b.limit)+1
	if s.filtered {
		return gather(s.entities, func(entity []byte) ([]place, error) {
			return s.query(ctx, s.pick(sqlEntitySince, sqlEntityUntil), b.since, b.until, b.at, b.key, b.seq, entity, n, s.numbers())
		})
	}
	return gather(s.facets, func(facet int64) ([]place, error) {
		return s.query(ctx, s.pick(sqlFacetSince, sqlFacetUntil), b.since, b.until, b.at, b.key, b.seq, facet, n)
	})
}

// window is an open interval of sequences.
type window struct {
	low, high int64
	exact     bool // it holds the records of the time window and no others
}

// window turns the time window, the pin and the cursor into an interval of
// sequences that leaves out no record of it. Bounds are found by bisection and
// need no index: along the log the time of recording never goes back by more
// than the views have seen it go, so the interval is wider by that much on both
// sides, and what lies outside of the time window there is filtered.
func (s selection) window(ctx context.Context) (w window, err error) {
	w = window{low: 0, high: s.b.at + 1, exact: s.b.back == 0 || s.b.since == startOfAll && s.b.until == endOfTime}
	if s.b.since != startOfAll {
		first, err := s.edge(ctx, earlier(s.b.since, s.b.back))
		if err != nil {
			return w, err
		}
		w.low = first - 1
	}
	if s.b.until != endOfTime {
		if w.high, err = s.edge(ctx, later(s.b.until, s.b.back)); err != nil {
			return w, err
		}
	}
	if s.b.down {
		w.high = min(w.high, s.b.seq)
	} else {
		w.low = max(w.low, s.b.seq)
	}
	return w, nil
}

// edge is a sequence whose record was recorded at or after a moment, and the one
// before it earlier: the lowest such, where time never goes back. It is one past
// the pin if there is none.
//
// Where time goes back by at most d, every record before the edge was recorded
// earlier than d after the moment, and none from the edge on earlier than d
// before it.
func (s selection) edge(ctx context.Context, at int64) (int64, error) {
	var failed error
	n := sort.Search(int(s.b.at), func(i int) bool {
		var recorded int64
		if failed == nil {
			failed = s.q.QueryRowContext(ctx, sqlRecordedAt, int64(i)+1).Scan(&recorded)
		}
		return recorded >= at
	})
	return int64(n) + 1, failed
}

// earlier, later and distance reckon with microseconds and stay within int64:
// whoever writes to a log's files can give a record any time.
func earlier(at, by int64) int64 {
	if at < startOfAll+by {
		return startOfAll
	}
	return at - by
}

func later(at, by int64) int64 {
	if at > endOfTime-by {
		return endOfTime
	}
	return at + by
}

func distance(from, to int64) int64 {
	if d := to - from; d >= 0 { // from is not after to, so less means that it is too far
		return d
	}
	return endOfTime
}

func (s selection) pick(up, down string) string {
	if s.b.down {
		return down
	}
	return up
}

// numbers is the list of facets as a statement takes it.
func (s selection) numbers() string {
	text, _ := json.Marshal(s.facets) // integers always encode
	return string(text)
}

func (s selection) query(ctx context.Context, query string, args ...any) ([]place, error) {
	rows, err := s.q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return collect(rows, func(r *sql.Rows) (p place, err error) { return p, r.Scan(&p.key, &p.seq) })
}

// gather concatenates what is found for each source, without duplicates: an
// event stands once in a list however many timelines it is on.
func gather[T any](sources []T, find func(T) ([]place, error)) ([]place, error) {
	var all []place
	for _, s := range sources {
		found, err := find(s)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	if len(sources) < 2 {
		return all, nil
	}
	seen := make(map[place]bool, len(all))
	return slices.DeleteFunc(all, func(p place) bool {
		defer func() { seen[p] = true }()
		return seen[p]
	}), nil
}

// list reads one page of a read model, all of it as of one moment: find names
// the places of its rows, read reads the row at one.
func list[T any](
	ctx context.Context, v *Views, l Listing,
	find func(context.Context, selection) ([]place, error), read func(context.Context, queryer, int64) (T, error),
) (page Page[T], err error) {
	err = v.snapshot(ctx, func(q queryer) error {
		at, err := readCheckpoint(ctx, q)
		if err != nil {
			return err
		}
		b, err := l.bounds(at)
		if err != nil {
			return err
		}
		places, err := find(ctx, selection{q: q, b: b})
		if err != nil {
			return err
		}
		places, page.Next = b.cut(places)
		page.At, page.Position = eventstore.Sequence(b.at), at.position
		for _, p := range places {
			row, err := read(ctx, q, p.seq)
			if err != nil {
				return err
			}
			page.Items = append(page.Items, row)
		}
		return nil
	})
	return page, err
}

// byID reads the row that a query for an id names by its sequence, or returns
// ErrNotFound.
func byID[T any](
	ctx context.Context, v *Views, query, id string, read func(context.Context, queryer, int64) (T, error),
) (found T, err error) {
	err = v.snapshot(ctx, func(q queryer) error {
		var seq int64
		err := q.QueryRowContext(ctx, query, id).Scan(&seq)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrNotFound
		}
		if err == nil {
			found, err = read(ctx, q, seq)
		}
		return err
	})
	return found, err
}
