package esdbstore

import (
	"context"
	"fmt"
	"iter"
	"math"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"github.com/authledger/authledger/eventstore"
)

// streamPage reads up to n events of a stream of the database from the leader;
// none when there is no such stream.
func (s *Store) streamPage(ctx context.Context, name string, from esdb.StreamPosition, direction esdb.Direction, n int) ([]*esdb.RecordedEvent, error) {
	events, err := patient(ctx, s.db, func(ctx context.Context, c *esdb.Client) ([]*esdb.RecordedEvent, error) {
		stream, err := c.ReadStream(ctx, name, esdb.ReadStreamOptions{From: from, Direction: direction}, uint64(n))
		if err != nil {
			return nil, err
		}
		return collect(stream)
	})
	if classify(err) == missing {
		return nil, nil
	}
	return events, err
}

// page reads up to n records of a stream from a revision on, without sequences.
func (s *Store) page(ctx context.Context, stream string, from eventstore.Revision, n int) ([]item, error) {
	events, err := s.streamPage(ctx, s.names.ledger+stream, esdb.Revision(uint64(from)), esdb.Forwards, n)
	if err != nil {
		return nil, err
	}
	return s.items(events)
}

func (s *Store) items(events []*esdb.RecordedEvent) ([]item, error) {
	out := make([]item, len(events))
	for i, e := range events {
		var err error
		if out[i], err = s.incoming(e); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, i := range out {
		s.seen(i.RecordedAt)
	}
	return out, nil
}

// newestOf reads a stream's last record; nil without one.
func (s *Store) newestOf(ctx context.Context, stream string) (*item, error) {
	events, err := s.streamPage(ctx, s.names.ledger+stream, esdb.End{}, esdb.Backwards, 1)
	if err != nil || len(events) == 0 {
		return nil, err
	}
	items, err := s.items(events)
	if err != nil {
		return nil, err
	}
	return &items[0], nil
}

// numbered gives records of one stream, which follow one another, their
// sequences and positions, reading the log up to them if need be.
func (s *Store) numbered(ctx context.Context, items []item) error {
	if len(items) == 0 {
		return nil
	}
	for range 2 {
		numbers, err := s.index.numbers(ctx, items[0].Stream, items[0].Revision, len(items))
		if err != nil {
			return err
		}
		if len(numbers) == len(items) {
			for i, n := range numbers {
				items[i].stands(n)
			}
			return nil
		}
		if err := s.reach(ctx, items[len(items)-1]); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: record %d of %s is in its stream and not in the log", eventstore.ErrDamaged, items[len(items)-1].Revision, items[0].Stream)
}

// reach counts the log up to a record. Servers that tell a record's position
// with its stream need no look of ours.
func (s *Store) reach(ctx context.Context, i item) error {
	if i.Position > 0 && i.at.Commit < math.MaxInt64 {
		if err := s.await(ctx, i.Position); err != nil {
			return err
		}
		numbers, err := s.index.numbers(ctx, i.Stream, i.Revision, 1)
		if err != nil || len(numbers) == 1 {
			return err
		}
	}
	return s.pull(ctx)
}

// positionOf is the position of a record that was read from its stream.
func (s *Store) positionOf(ctx context.Context, i item) (eventstore.Position, error) {
	one := []item{i}
	err := s.numbered(ctx, one)
	return one[0].Position, err
}

// ReadStream implements eventstore.Reader. It asks the leader, and waits until
// the records it found were counted.
func (s *Store) ReadStream(ctx context.Context, stream string, from eventstore.Revision) iter.Seq2[eventstore.Record, error] {
	return func(yield func(eventstore.Record, error) bool) {
		if err := s.readStream(ctx, stream, from, yield); err != nil {
			yield(eventstore.Record{}, outside("read stream "+stream, err))
		}
	}
}

func (s *Store) readStream(ctx context.Context, stream string, from eventstore.Revision, yield func(eventstore.Record, error) bool) error {
	own, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if uint64(from) > math.MaxInt64 || eventstore.CheckStream(stream) != nil {
		return nil
	}
	end := eventstore.Revision(math.MaxInt64) // the newest at the time of the call; not asked for a short stream
	for {
		items, err := s.page(own, stream, from, pageSize)
		if err == nil {
			err = s.numbered(own, items)
		}
		if err == nil && len(items) == pageSize && end == math.MaxInt64 {
			end, err = s.endOf(own, stream)
		}
		if err != nil {
			return s.ending(ctx, err)
		}
		for _, i := range items {
			if i.Revision > end {
				return nil
			}
			if err := own.Err(); err != nil {
				return s.ending(ctx, err)
			}
			if !yield(i.Record, nil) {
				return nil
			}
		}
		if len(items) < pageSize {
			return nil
		}
		from = items[len(items)-1].Revision + 1
	}
}

func (s *Store) endOf(ctx context.Context, stream string) (eventstore.Revision, error) {
	newest, err := s.newestOf(ctx, stream)
	if err != nil || newest == nil {
		return 0, err
	}
	return newest.Revision, nil
}

// own waits until what this process appended was counted, and returns how far
// the log was counted.
func (s *Store) own(ctx context.Context) (eventstore.Sequence, eventstore.Position, error) {
	s.mu.Lock()
	written := s.written
	s.mu.Unlock()
	if err := s.await(ctx, written); err != nil {
		return 0, 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return 0, 0, s.broken
	}
	return s.count, s.head, nil
}

// Head implements eventstore.Reader: the newest record of this process's own,
// and of the others' as far as they have come here.
func (s *Store) Head(ctx context.Context) (eventstore.Sequence, eventstore.Position, error) {
	own, leave, err := s.enter(ctx)
	if err != nil {
		return 0, 0, outside("read head", err)
	}
	defer leave()
	sequence, position, err := s.own(own)
	return sequence, position, outside("read head", s.ending(ctx, err))
}

// ByID implements eventstore.Reader. An id that was not counted is looked for
// in what the leader holds beyond.
func (s *Store) ByID(ctx context.Context, id eventstore.EventID) (eventstore.Record, error) {
	doing := "read event " + id.String()
	own, leave, err := s.enter(ctx)
	if err != nil {
		return eventstore.Record{}, outside(doing, err)
	}
	defer leave()
	for pulled := false; ; pulled = true {
		stream, revision, sequence, ok, err := s.index.byID(own, id)
		if err != nil {
			return eventstore.Record{}, outside(doing, s.ending(ctx, err))
		}
		if ok {
			r, err := s.one(own, stream, revision, sequence)
			return r, outside(doing, s.ending(ctx, err))
		}
		if pulled {
			return eventstore.Record{}, fmt.Errorf("%s: %w", doing, eventstore.ErrNotFound)
		}
		if err := s.pull(own); err != nil {
			return eventstore.Record{}, outside(doing, s.ending(ctx, err))
		}
	}
}

// one reads a record by its place.
func (s *Store) one(ctx context.Context, stream string, revision eventstore.Revision, sequence eventstore.Sequence) (eventstore.Record, error) {
	items, err := s.page(ctx, stream, revision, 1)
	if err != nil {
		return eventstore.Record{}, err
	}
	if len(items) != 1 || items[0].Revision != revision {
		return eventstore.Record{}, fmt.Errorf("%w: record %d is no longer in the event database", eventstore.ErrDamaged, sequence)
	}
	at, ok, err := s.index.position(ctx, sequence)
	if err == nil && !ok {
		err = fmt.Errorf("%w: record %d was counted and is not in %s", eventstore.ErrDamaged, sequence, indexFile)
	}
	items[0].stands(numbered{sequence, at})
	return items[0].Record, err
}

// ReadAll implements eventstore.Reader.
func (s *Store) ReadAll(ctx context.Context, from eventstore.Sequence) iter.Seq2[eventstore.Record, error] {
	return func(yield func(eventstore.Record, error) bool) {
		if err := s.readLog(ctx, max(from, 1), s.log, yield); err != nil {
			yield(eventstore.Record{}, outside(fmt.Sprintf("read log from %d", from), err))
		}
	}
}

func (s *Store) readLog(ctx context.Context, from eventstore.Sequence, read func(context.Context, eventstore.Sequence, int) ([]item, error), yield func(eventstore.Record, error) bool) error {
	own, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	end, _, err := s.own(own)
	if err != nil {
		return s.ending(ctx, err)
	}
	for next := from; next <= end; {
		items, err := read(own, next, pageSize)
		if err != nil {
			return s.ending(ctx, err)
		}
		for _, i := range items {
			if err := own.Err(); err != nil {
				return s.ending(ctx, err)
			}
			if i.Sequence > end || !yield(i.Record, nil) {
				return nil
			}
		}
		next = items[len(items)-1].Sequence + 1
	}
	return nil
}

// AsStored reads the log as it lies in the database now, never what this process
// remembers of it: for those who compare the two.
func (s *Store) AsStored() Stored { return Stored{s} }

// Stored is a Store that remembers nothing when it reads the log.
type Stored struct{ *Store }

// ReadAll implements eventstore.Reader.
func (s Stored) ReadAll(ctx context.Context, from eventstore.Sequence) iter.Seq2[eventstore.Record, error] {
	return func(yield func(eventstore.Record, error) bool) {
		if err := s.readLog(ctx, max(from, 1), s.logStored, yield); err != nil {
			yield(eventstore.Record{}, outside(fmt.Sprintf("read log from %d", from), err))
		}
	}
}

// Head implements eventstore.Reader: the newest record the leader has. Who signs
// that there is nothing more must not go by what has arrived here.
func (s Stored) Head(ctx context.Context) (eventstore.Sequence, eventstore.Position, error) {
	own, leave, err := s.enter(ctx)
	if err != nil {
		return 0, 0, outside("read head", err)
	}
	defer leave()
	if err := s.pull(own); err != nil {
		return 0, 0, outside("read head", s.ending(ctx, err))
	}
	return s.Store.Head(ctx)
}

// log returns at most n records from a sequence on that was counted, one at
// least.
func (s *Store) log(ctx context.Context, from eventstore.Sequence, n int) ([]item, error) {
	if items := s.fromTail(from, n); items != nil {
		return items, nil
	}
	return s.logStored(ctx, from, n)
}

// logStored is log by what the database holds, whatever is remembered here.
func (s *Store) logStored(ctx context.Context, from eventstore.Sequence, n int) ([]item, error) {
	at, ok, err := s.index.position(ctx, from)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("%w: record %d was counted and is not in %s", eventstore.ErrDamaged, from, indexFile)
	}
	return s.logAt(ctx, from, at, n)
}

// fromTail returns records that are still in memory; nil when they are not.
func (s *Store) fromTail(from eventstore.Sequence, n int) []item {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.tail) == 0 || from < s.tail[0].Sequence || from > s.count {
		return nil
	}
	first := int(from - s.tail[0].Sequence)
	return s.tail[first:min(first+n, len(s.tail)):min(first+n, len(s.tail))]
}

// logAt reads records from the database, where other streams' events lie
// between them, and numbers them from the first on.
func (s *Store) logAt(ctx context.Context, from eventstore.Sequence, at esdb.Position, n int) ([]item, error) {
	s.mu.Lock()
	counted := s.count
	s.mu.Unlock()
	n = int(min(uint64(n), uint64(counted-from)+1))
	var out []item
	for position := esdb.AllPosition(at); len(out) < n; {
		events, err := s.readAll(ctx, position, pageSize)
		if err != nil {
			return nil, err
		}
		for _, e := range events {
			if !s.isRecord(e) || position == e.Position && len(out) > 0 || len(out) == n {
				continue
			}
			i, err := s.incoming(e)
			if err != nil {
				return nil, err
			}
			i.Sequence = from + eventstore.Sequence(len(out))
			out = append(out, i)
		}
		if len(events) < pageSize && len(out) < n {
			return nil, fmt.Errorf("%w: the event database holds fewer records than were counted: it was put back to an older state", eventstore.ErrDamaged)
		}
		if len(events) > 0 {
			position = events[len(events)-1].Position
		}
	}
	return out, nil
}

// Follow implements eventstore.Follower. A batch does not end within an append
// that fits into one.
func (s *Store) Follow(ctx context.Context, after eventstore.Sequence, max int) iter.Seq2[[]eventstore.Record, error] {
	return func(yield func([]eventstore.Record, error) bool) {
		if max < 1 {
			yield(nil, fmt.Errorf("%w: follow in batches of %d", eventstore.ErrInvalid, max))
			return
		}
		if err := s.followFrom(ctx, after, max, yield); err != nil && ctx.Err() == nil {
			yield(nil, outside(fmt.Sprintf("follow after %d", after), err))
		}
	}
}

func (s *Store) followFrom(ctx context.Context, after eventstore.Sequence, max int, yield func([]eventstore.Record, error) bool) error {
	for next := after; ctx.Err() == nil; {
		s.mu.Lock()
		count, changed, broken, closed := s.count, s.changed, s.broken, s.closed
		s.mu.Unlock()
		switch {
		case closed:
			return eventstore.ErrClosed
		case next < count:
			batch, err := s.batch(ctx, next+1, max)
			if err != nil {
				return s.ending(ctx, err)
			}
			if !yield(batch, nil) {
				return nil
			}
			next = batch[len(batch)-1].Sequence
		case broken != nil:
			return broken
		default:
			select {
			case <-changed:
			case <-ctx.Done():
			}
		}
	}
	return nil
}

func (s *Store) batch(ctx context.Context, from eventstore.Sequence, n int) ([]eventstore.Record, error) {
	own, leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	items, err := s.log(own, from, n)
	if err != nil {
		return nil, err
	}
	items = whole(items)
	out := make([]eventstore.Record, len(items))
	for i := range items {
		out[i] = items[i].Record
	}
	return out, nil
}

// whole leaves out an append at the end of which only a part is there, unless
// there is nothing else.
func whole(items []item) []item {
	end := len(items)
	for end > 0 && items[end-1].part+1 < items[end-1].parts {
		end--
	}
	if end == 0 {
		return items
	}
	return items[:end]
}
