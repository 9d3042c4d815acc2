package memstore

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/authledger/authledger/eventstore"
)

var (
	_ eventstore.Importer   = (*Store)(nil)
	_ eventstore.Disorderly = (*Store)(nil)
)

// Disorder implements eventstore.Disorderly: how far time goes back in what the
// log holds by now.
func (s *Store) Disorder() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.order.Disorder
}

// Import implements eventstore.Importer. The store copies what it keeps. It
// takes each record up to the first that it refuses.
func (s *Store) Import(ctx context.Context, records []eventstore.Record) error {
	if err := eventstore.CheckImport(records); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("import: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return fmt.Errorf("import: %w", eventstore.ErrClosed)
	}
	defer s.wake()
	for _, r := range records {
		if err := s.importOne(r); err != nil {
			return fmt.Errorf("import: %w", err)
		}
	}
	return nil
}

func (s *Store) importOne(r eventstore.Record) error {
	if n := uint64(len(s.records)); uint64(r.Sequence) <= n {
		if !r.Equal(s.records[r.Sequence-1]) {
			return fmt.Errorf("record %d: %w: another one stands there", r.Sequence, eventstore.ErrConflict)
		}
		return nil
	} else if uint64(r.Sequence) != n+1 {
		return fmt.Errorf("record %d: %w: the log ends at %d", r.Sequence, eventstore.ErrConflict, n)
	}
	if at, ok := s.ids[r.ID]; ok {
		return fmt.Errorf("record %d: event %s: %w: at %d", r.Sequence, r.ID, eventstore.ErrDuplicateID, at+1)
	}
	var tip eventstore.Tip
	if indexes := s.streams[r.Stream]; len(indexes) > 0 {
		tip = eventstore.TipOf(s.records[indexes[len(indexes)-1]])
	}
	tip, err := tip.Continue(r)
	if err != nil {
		return err
	}
	r.Data, r.Metadata, r.RecordedAt = bytes.Clone(r.Data), bytes.Clone(r.Metadata), r.RecordedAt.UTC()
	s.keep(r, tip.Leaf)
	return nil
}
