package sqlitestore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"

	"github.com/authledger/authledger/eventstore"
)

// ReadStream implements eventstore.Reader.
func (l *log) ReadStream(ctx context.Context, stream string, from eventstore.Revision) iter.Seq2[eventstore.Record, error] {
	return func(yield func(eventstore.Record, error) bool) {
		s, err := l.look(ctx, stream)
		next := from
		last := eventstore.Revision(math.MaxInt64) // the newest the tables may be asked for
		if err == nil && len(s.places) > 0 {
			last = s.places[0].revision - 1 // wraps at a stream wholly in the tail
		}
		for err == nil && next <= last && last != math.MaxUint64 {
			var page []eventstore.Record
			if page, err = l.indexedPage(ctx, stream, next, last, s.head); err != nil || len(page) == 0 {
				break
			}
			if !hand(ctx, page, yield) {
				return
			}
			next += eventstore.Revision(len(page))
		}
		if err == nil {
			err = l.readPlaces(ctx, stream, s.places, from, yield)
		}
		if err != nil && !errors.Is(err, errStopped) {
			yield(eventstore.Record{}, fmt.Errorf("read stream %s from revision %d: %w", stream, next, err))
		}
	}
}

func (l *log) indexedPage(ctx context.Context, stream string, from, last eventstore.Revision, head eventstore.Sequence) (page []eventstore.Record, err error) {
	err = l.with(ctx, func(c *readConn) (err error) {
		page, err = readPage(c.stream, pageRecords, stream, int64(from), int64(last), int64(head), int64(pageRecords))
		return err
	})
	for i, r := range page {
		if err == nil && (r.Stream != stream || r.Revision != from+eventstore.Revision(i)) {
			err = unavailable(fmt.Errorf("index names %s revision %d for revision %d", r.Stream, r.Revision, from+eventstore.Revision(i)))
		}
	}
	return page, err
}

// errStopped says that the consumer wants no more.
var errStopped = errors.New("stopped")

// readPlaces hands out the records of the tail that the tables may not index.
func (l *log) readPlaces(ctx context.Context, stream string, places []place, from eventstore.Revision, yield func(eventstore.Record, error) bool) error {
	for len(places) > 0 && places[0].revision < from {
		places = places[1:]
	}
	for len(places) > 0 {
		page := l.tail.recall(places)
		if len(page) == 0 {
			var err error
			if page, err = l.placesPage(ctx, stream, places); err != nil {
				return err
			}
		}
		places = places[len(page):]
		if !hand(ctx, page, yield) {
			return errStopped
		}
	}
	return nil
}

// placesPage reads the records of places, at most a page.
func (l *log) placesPage(ctx context.Context, stream string, places []place) (page []eventstore.Record, err error) {
	page = make([]eventstore.Record, 0, min(len(places), pageRecords))
	err = l.with(ctx, func(c *readConn) error {
		for sum := 0; len(page) < cap(page) && sum < pageBytes; {
			p := places[len(page)]
			r, err := c.record(p.sequence)
			if err != nil {
				return err
			}
			if r.Stream != stream || r.Revision != p.revision {
				return fmt.Errorf("record %d is of %s revision %d, want revision %d", p.sequence, r.Stream, r.Revision, p.revision)
			}
			page = append(page, r)
			sum += size(&r)
		}
		return nil
	})
	return page, err
}
