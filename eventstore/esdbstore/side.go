package esdbstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"github.com/authledger/authledger/eventstore"
)

// sideEntry is the event type of an entry of a side stream, and deleted the one
// of the database's own mark at the end of a stream that was deleted for good.
const (
	sideEntry = "entry"
	deleted   = "$streamDeleted"
)

// sideName is the database's name of a side stream.
func (s *Store) sideName(stream string, entries [][]byte) (string, error) {
	if err := eventstore.CheckSide(stream, entries); err != nil {
		return "", err
	}
	if strings.HasPrefix(stream, "ledger-") {
		return "", fmt.Errorf("%w: side stream %q: names beginning with ledger- are the ledger's", eventstore.ErrInvalid, stream)
	}
	return s.names.prefix + stream, nil
}

// AppendSide implements eventstore.Side.
func (s *Store) AppendSide(ctx context.Context, stream string, next uint64, entries ...[]byte) error {
	doing := "append to " + stream
	name, err := s.sideName(stream, entries)
	if err != nil || len(entries) == 0 {
		return err
	}
	own, leave, err := s.enter(ctx)
	if err != nil {
		return outside(doing, err)
	}
	defer leave()
	id := uuid.New() // of this call: a repeat by somebody else is a conflict
	events := make([]esdb.EventData, len(entries))
	for i, b := range entries {
		events[i] = esdb.EventData{EventID: newID(id, i), EventType: sideEntry, ContentType: contentOf(b), Data: b}
	}
	var revision esdb.ExpectedRevision = esdb.NoStream{}
	if next > 0 {
		revision = esdb.Revision(next - 1)
	}
	return s.ending(ctx, s.sendSide(own, name, revision, next, events))
}

func contentOf(b []byte) esdb.ContentType {
	if bytes.HasPrefix(b, []byte("{")) {
		return esdb.ContentTypeJson
	}
	return esdb.ContentTypeBinary
}

func (s *Store) sendSide(ctx context.Context, name string, revision esdb.ExpectedRevision, next uint64, events []esdb.EventData) error {
	doing := "append to " + strings.TrimPrefix(name, s.names.prefix)
	sent := false
	for try := 0; ; try++ {
		_, err := try1(ctx, s.db, func(ctx context.Context, c *esdb.Client) (*esdb.WriteResult, error) {
			return c.AppendToStream(ctx, name, esdb.AppendToStreamOptions{ExpectedRevision: revision}, events...)
		})
		switch classify(err) {
		case fine:
			return nil
		case conflict:
			if sent && s.sideLanded(ctx, name, next, events) {
				return nil
			}
			return fmt.Errorf("%s behind %d entries: %w", doing, next, eventstore.ErrConflict)
		case denied, gone, tooLarge:
			return outside(doing, err)
		case moved:
		default:
			sent = sent || !errors.Is(err, eventstore.ErrClosed)
			if sent && s.sideLanded(ctx, name, next, events) {
				return nil
			}
		}
		if errors.Is(err, eventstore.ErrClosed) || try+1 >= tries || ctx.Err() != nil || !pause(ctx, try) {
			if !sent {
				return outside(doing, err)
			}
			return fmt.Errorf("%s: %w: %w", doing, eventstore.ErrOutcomeUnknown, outside("wait for the event database", err))
		}
	}
}

// sideLanded looks whether entries without an answer stand in their stream.
func (s *Store) sideLanded(ctx context.Context, name string, next uint64, events []esdb.EventData) bool {
	there, err := s.streamPage(ctx, name, esdb.Revision(next), esdb.Forwards, len(events))
	if err != nil || len(there) != len(events) {
		return false
	}
	for i, e := range there {
		if e.EventID != events[i].EventID {
			return false
		}
	}
	return true
}

// ReadSide implements eventstore.Side. It asks the leader.
func (s *Store) ReadSide(ctx context.Context, stream string, from uint64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if err := s.readSide(ctx, stream, from, yield); err != nil {
			yield(nil, outside("read "+stream, err))
		}
	}
}

func (s *Store) readSide(ctx context.Context, stream string, from uint64, yield func([]byte, error) bool) error {
	name, err := s.sideName(stream, nil)
	if err != nil {
		return err
	}
	own, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	for from <= math.MaxInt64 {
		events, err := s.streamPage(own, name, esdb.Revision(from), esdb.Forwards, pageSize)
		if err != nil {
			return s.ending(ctx, err)
		}
		for _, e := range events {
			if !yield(e.Data, nil) {
				return nil
			}
		}
		if len(events) < pageSize {
			return nil
		}
		from = events[len(events)-1].EventNumber + 1
	}
	return nil
}

// ListSide implements eventstore.Side. It looks through all side streams of the
// ledger that begin with the prefix, from the beginning of the database.
func (s *Store) ListSide(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		names, err := s.listSide(ctx, prefix)
		if err != nil {
			yield("", outside("list streams "+prefix+"*", s.ending(ctx, err)))
			return
		}
		for name := range names {
			if !yield(name, nil) {
				return
			}
		}
	}
}

func (s *Store) listSide(ctx context.Context, prefix string) (map[string]bool, error) {
	own, leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	for try := 0; ; try++ {
		names := map[string]bool{}
		err := s.watch(own, esdb.Start{}, prefix, func(e *esdb.RecordedEvent) bool {
			if e == nil { // caught up
				return false
			}
			stream := strings.TrimPrefix(e.StreamID, s.names.prefix)
			if names[stream] = true; e.EventType == deleted {
				delete(names, stream)
			}
			return true
		})
		if err == nil || classify(err) != unknown && classify(err) != moved || try >= tries || !pause(own, try) {
			return names, err
		}
	}
}

// WatchSide implements eventstore.Side.
func (s *Store) WatchSide(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		own, leave, err := s.enter(ctx)
		if err != nil {
			yield("", outside("watch "+prefix+"*", err))
			return
		}
		defer leave()
		stopped := false
		err = s.watch(own, esdb.End{}, prefix, func(e *esdb.RecordedEvent) bool {
			if e == nil {
				return true
			}
			stopped = !yield(strings.TrimPrefix(e.StreamID, s.names.prefix), nil)
			return !stopped
		})
		if err != nil && !stopped && ctx.Err() == nil {
			yield("", outside("watch "+prefix+"*", s.ending(ctx, err)))
		}
	}
}

// watch runs a subscription to the side streams that begin with a prefix and
// hands out their events, and nil each time it has come to the end, until take
// says that it is enough.
func (s *Store) watch(ctx context.Context, from esdb.AllPosition, prefix string, take func(*esdb.RecordedEvent) bool) (err error) {
	h, err := s.db.acquire(ctx)
	if err != nil {
		return err
	}
	defer func() { s.db.release(h, err) }()
	own, cancel := context.WithCancel(leader(ctx))
	defer cancel()
	sub, err := guard(ctx, h, func() (*esdb.Subscription, error) {
		return h.client.SubscribeToAll(own, esdb.SubscribeToAllOptions{
			From: from, MaxSearchWindow: 500, CheckpointInterval: 100,
			Filter: &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{s.names.prefix + prefix}},
		})
	})
	if err != nil {
		return err
	}
	defer func() { _ = sub.Close() }() // never fails
	for {
		e := sub.Recv()
		switch {
		case e.SubscriptionDropped != nil:
			return dropped(ctx, e.SubscriptionDropped)
		case e.CaughtUp != nil:
			if !take(nil) {
				return nil
			}
		case e.EventAppeared != nil:
			r := e.EventAppeared.OriginalEvent()
			if strings.HasPrefix(r.StreamID, s.names.ledger) {
				continue
			}
			if !take(r) {
				return nil
			}
		}
	}
}

// dropped is why a subscription ended.
func dropped(ctx context.Context, d *esdb.SubscriptionDropped) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if d.Error == nil {
		return errEnded
	}
	return d.Error
}

var errEnded = fmt.Errorf("%w: the event database ended the subscription", eventstore.ErrUnavailable)

// DeleteSide implements eventstore.Side by a tombstone, which the database
// keeps for ever. The entries leave its files when it is scavenged.
func (s *Store) DeleteSide(ctx context.Context, stream string) error {
	name, err := s.sideName(stream, nil)
	if err != nil {
		return err
	}
	own, leave, err := s.enter(ctx)
	if err != nil {
		return outside("delete "+stream, err)
	}
	defer leave()
	for try := 0; ; try++ {
		_, err := try1(own, s.db, func(ctx context.Context, c *esdb.Client) (*esdb.DeleteResult, error) {
			// Whatever is there must go; doing it again is told by StreamDeleted.
			return c.TombstoneStream(ctx, name, esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Any{}})
		})
		switch classify(err) {
		case fine, gone:
			return nil
		case unknown, moved:
			if !errors.Is(err, eventstore.ErrClosed) && try+1 < tries && pause(own, try) {
				continue
			}
		}
		return outside("delete "+stream, s.ending(ctx, err))
	}
}

// Sides are the side streams of a ledger, without the ledger: for a connection
// of their own, such as that of a user who may delete keys.
type Sides struct {
	eventstore.Side
	s *Store
}

// OpenSides connects to the side streams; Dir and Clock of the options are not
// used. The caller must Close.
func OpenSides(o Options) (*Sides, error) {
	s, err := newStore(o)
	if err != nil {
		return nil, err
	}
	return &Sides{Side: s, s: s}, nil
}

// Close ends calls under way.
func (s *Sides) Close() error { return s.s.Close() }
