package esdbstore

import (
	"context"
	"fmt"
	"time"

	"github.com/authledger/authledger/eventstore"
)

// Import implements eventstore.Importer. Records that follow one another in one
// stream and were recorded at one moment go in one append; between streams it
// waits for the answer, for only so is the order kept.
func (s *Store) Import(ctx context.Context, records []eventstore.Record) error {
	if err := eventstore.CheckImport(records); err != nil {
		return err
	}
	own, leave, err := s.enter(ctx)
	if err != nil {
		return outside("import", err)
	}
	defer leave()
	if err := s.importAll(own, records); err != nil {
		return outside("import", s.ending(ctx, err))
	}
	return nil
}

func (s *Store) importAll(ctx context.Context, records []eventstore.Record) error {
	count, _, err := s.own(ctx)
	if err != nil {
		return err
	}
	if records, err = s.passOver(ctx, records, count); err != nil {
		return err
	}
	for next := count + 1; len(records) > 0; {
		if records[0].Sequence != next {
			return fmt.Errorf("%w: record %d cannot follow record %d", eventstore.ErrConflict, records[0].Sequence, next-1)
		}
		run := sameAppend(records)
		if err := s.importRun(ctx, records[:run]); err != nil {
			return err
		}
		next, records = next+eventstore.Sequence(run), records[run:]
	}
	_, _, err = s.own(ctx) // counted in the order they were written
	return err
}

// passOver leaves out what stands here already, byte for byte.
func (s *Store) passOver(ctx context.Context, records []eventstore.Record, count eventstore.Sequence) ([]eventstore.Record, error) {
	for len(records) > 0 && records[0].Sequence <= count {
		there, err := s.log(ctx, records[0].Sequence, len(records))
		if err != nil {
			return nil, err
		}
		for _, i := range there {
			if len(records) == 0 {
				return nil, nil
			}
			if i.Sequence != records[0].Sequence || !i.Equal(records[0]) {
				return nil, fmt.Errorf("%w: another record stands at %d", eventstore.ErrConflict, i.Sequence)
			}
			records = records[1:]
		}
	}
	return records, nil
}

// sameAppend is how many of the first records can be written together.
func sameAppend(records []eventstore.Record) int {
	first, size := records[0], 0
	for n, r := range records {
		size += len(r.Data) + len(r.Metadata)
		follows := r.Stream == first.Stream && r.Revision == first.Revision+eventstore.Revision(n) &&
			r.Sequence == first.Sequence+eventstore.Sequence(n) && r.RecordedAt.Equal(first.RecordedAt)
		if n > 0 && (!follows || n == eventstore.MaxAppendCount || size > eventstore.MaxAppendBytes/2) {
			return n
		}
	}
	return len(records)
}

// importRun writes records of one stream as they are, after making sure that
// they continue it.
func (s *Store) importRun(ctx context.Context, records []eventstore.Record) error {
	first := records[0]
	leaves := make([]eventstore.Hash, len(records))
	for i, r := range records {
		leaves[i] = r.Leaf()
	}
	expected, at, err := s.importAfter(ctx, first)
	if err != nil {
		return err
	}
	if first.RecordedAt.Before(at) {
		return fmt.Errorf("%w: record %d is older than the one before it in its stream", eventstore.ErrConflict, first.Sequence)
	}
	prev := expected.Leaf()
	for i, r := range records {
		if named, ok := r.Prev(); !ok || named != prev {
			return fmt.Errorf("%w: record %d does not continue its stream", eventstore.ErrConflict, r.Sequence)
		}
		prev = leaves[i]
	}
	a := appending{s: s, stream: first.Stream, expected: expected, records: records, leaves: leaves, wire: outgoing(records, leaves, writer{})}
	if err := a.checkSize(); err != nil {
		return err
	}
	appended, err := a.run(ctx)
	if err == nil && appended.Last().Leaf != leaves[len(leaves)-1] {
		return fmt.Errorf("%w: another record stands at revision %d of %s", eventstore.ErrConflict, first.Revision, first.Stream)
	}
	return err
}

// importAfter is what a record says comes before it in its stream, and when that
// was recorded.
func (s *Store) importAfter(ctx context.Context, first eventstore.Record) (eventstore.Expected, time.Time, error) {
	if first.Revision == 0 {
		return eventstore.NoStream(), time.Time{}, nil
	}
	before, err := s.page(ctx, first.Stream, first.Revision-1, 1)
	if err != nil {
		return eventstore.Expected{}, time.Time{}, err
	}
	if len(before) != 1 || before[0].Revision != first.Revision-1 {
		return eventstore.Expected{}, time.Time{}, fmt.Errorf("%w: record %d is revision %d of %s, and the one before it is missing", eventstore.ErrConflict, first.Sequence, first.Revision, first.Stream)
	}
	return eventstore.At(before[0].Revision, before[0].Leaf()), before[0].RecordedAt, nil
}
