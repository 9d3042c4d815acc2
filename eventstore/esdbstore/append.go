package esdbstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"github.com/authledger/authledger/eventstore"
)

// Append implements eventstore.Appender. It is durable when the database says
// so: on a majority of a cluster's nodes.
//
// The expected revision is always named, and the ids sent derive from the
// records, so that sending an append again that had no answer cannot write it
// twice. Nothing is sent again before the stream was read.
func (s *Store) Append(ctx context.Context, stream string, expected eventstore.Expected, events []eventstore.Proposed) (eventstore.Appended, error) {
	if err := eventstore.CheckAppend(stream, events); err != nil {
		return eventstore.Appended{}, err
	}
	for i, e := range events {
		if !json.Valid(e.Metadata) {
			return eventstore.Appended{}, fmt.Errorf("%w to %s: metadata of event %d is not JSON", eventstore.ErrInvalid, stream, i)
		}
	}
	own, leave, err := s.enter(ctx)
	if err != nil {
		return eventstore.Appended{}, fmt.Errorf("append to %s: %w", stream, err)
	}
	defer leave()
	if err := s.intact(); err != nil {
		return eventstore.Appended{}, fmt.Errorf("append to %s: %w", stream, err)
	}
	records, leaves := eventstore.Chain(stream, expected, s.stamp(), events)
	a := appending{s: s, stream: stream, expected: expected, records: records, leaves: leaves, wire: outgoing(records, leaves, newWriter())}
	if err := a.checkSize(); err != nil {
		return eventstore.Appended{}, err
	}
	appended, err := a.run(own)
	return appended, s.ending(ctx, err)
}

// intact is why nothing may be written to a log that can no longer be read.
func (s *Store) intact() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken
}

// stamp is the time of an append: the clock's, and not before anything this
// process has seen of the log, however its clock stands.
func (s *Store) stamp() time.Time {
	at := s.clock().UTC().Truncate(time.Microsecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen(at)
	return s.newest
}

// appending is one append on its way.
type appending struct {
	s        *Store
	stream   string
	expected eventstore.Expected
	records  []eventstore.Record
	leaves   []eventstore.Hash
	wire     []esdb.EventData
}

// maxWire is what a server of the oldest supported version takes in one append:
// 1 MiB by default (EventStoreDB 23.10, MaxAppendSize).
const maxWire = 1 << 20

// checkSize refuses what the database would: an early refusal of its own hides
// behind a broken connection.
func (a appending) checkSize() error {
	size := 0
	for _, e := range a.wire {
		size += len(e.Data) + len(e.Metadata) + 2*len(e.EventType)
	}
	if size > maxWire {
		return fmt.Errorf("%w: append of %d bytes to %s in the event database, at most %d", eventstore.ErrTooLarge, size, a.stream, maxWire)
	}
	return nil
}

// tries bounds how often an append without an answer is sent.
const tries = 6

func (a appending) run(ctx context.Context) (eventstore.Appended, error) {
	if a.expected.Exists() && uint64(a.expected.Next()) > math.MaxInt64 || a.expected.Exists() && a.expected.Next() == 0 {
		return a.refused(ctx)
	}
	sent := false
	for try := 0; ; try++ {
		result, err := try1(ctx, a.s.db, a.send)
		switch classify(err) {
		case fine:
			return a.done(result.CommitPosition), nil
		case conflict:
			return a.refused(ctx)
		case denied, gone, tooLarge:
			return eventstore.Appended{}, outside("append to "+a.stream, err)
		case moved: // was refused: nothing was written
		default:
			sent = sent || !errors.Is(err, eventstore.ErrClosed)
			if sent {
				if found, ok := a.landed(ctx); ok {
					return found, nil
				}
			}
		}
		if errors.Is(err, eventstore.ErrClosed) || try+1 >= tries || ctx.Err() != nil || !pause(ctx, try) {
			return eventstore.Appended{}, a.givenUp(sent, err)
		}
	}
}

func (a appending) send(ctx context.Context, c *esdb.Client) (*esdb.WriteResult, error) {
	var revision esdb.ExpectedRevision = esdb.NoStream{}
	if a.expected.Exists() {
		revision = esdb.Revision(uint64(a.expected.Next()) - 1)
	}
	return c.AppendToStream(ctx, a.s.names.ledger+a.stream, esdb.AppendToStreamOptions{ExpectedRevision: revision}, a.wire...)
}

// givenUp is the error of an append that had no answer.
func (a appending) givenUp(sent bool, err error) error {
	if !sent {
		return outside("append to "+a.stream, err)
	}
	return fmt.Errorf("append to %s: %w: %w", a.stream, eventstore.ErrOutcomeUnknown, outside("wait for the event database", err))
}

// done is the answer for what this call wrote.
func (a appending) done(position uint64) eventstore.Appended {
	a.s.mu.Lock()
	a.s.written = max(a.s.written, eventstore.Position(position))
	a.s.mu.Unlock()
	out := eventstore.Appended{Position: eventstore.Position(position), Records: make([]eventstore.Stamp, len(a.records))}
	for i, r := range a.records {
		out.Records[i] = eventstore.Stamp{Revision: r.Revision, RecordedAt: r.RecordedAt, Leaf: a.leaves[i]}
	}
	return out
}

// landed looks whether an append without an answer stands in the stream.
func (a appending) landed(ctx context.Context) (eventstore.Appended, bool) {
	there, err := a.s.page(ctx, a.stream, a.expected.Next(), len(a.records))
	if err != nil || len(there) != len(a.records) {
		return eventstore.Appended{}, false
	}
	for i, r := range there {
		if r.wire != a.wire[i].EventID {
			return eventstore.Appended{}, false
		}
	}
	position, err := a.s.positionOf(ctx, there[len(there)-1])
	return a.done(uint64(position)), err == nil
}

// refused answers an append whose stream is not as expected: it may be that its
// events stand there already, because somebody carried the command out before.
func (a appending) refused(ctx context.Context) (eventstore.Appended, error) {
	there, err := a.s.standing(ctx, a)
	if err != nil {
		return eventstore.Appended{}, outside("append to "+a.stream, err)
	}
	same, some, ours := 0, eventstore.EventID{}, true
	for i, r := range there {
		if r.ID == a.records[i].ID {
			same, some, ours = same+1, r.ID, ours && r.wire == a.wire[i].EventID
		}
	}
	switch {
	case same == len(a.records):
		out, err := a.stood(ctx, there)
		out.Repeated = !ours
		return out, err
	case same > 0:
		return eventstore.Appended{}, fmt.Errorf("append to %s: event %s: %w", a.stream, some, eventstore.ErrDuplicateID)
	}
	return eventstore.Appended{}, a.conflict(ctx)
}

// stood is the answer for what stands in the log already.
func (a appending) stood(ctx context.Context, there []item) (eventstore.Appended, error) {
	position, err := a.s.positionOf(ctx, there[len(there)-1])
	if err != nil {
		return eventstore.Appended{}, outside("append to "+a.stream, err)
	}
	out := a.done(uint64(position))
	for i, r := range there {
		out.Records[i] = eventstore.Stamp{Revision: r.Revision, RecordedAt: r.RecordedAt, Leaf: r.Leaf()}
	}
	return out, nil
}

// standing reads what stands where the append belongs.
func (s *Store) standing(ctx context.Context, a appending) ([]item, error) {
	if uint64(a.expected.Next()) > math.MaxInt64 {
		return nil, nil
	}
	return s.page(ctx, a.stream, a.expected.Next(), len(a.records))
}

func (a appending) conflict(ctx context.Context) error {
	newest, err := a.s.newestOf(ctx, a.stream)
	if err != nil {
		return outside("append to "+a.stream, err)
	}
	c := &eventstore.ConflictError{Stream: a.stream, Expected: a.expected}
	if newest != nil {
		c.Found, c.Actual = true, newest.Revision
	}
	return c
}
