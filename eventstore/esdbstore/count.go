package esdbstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"github.com/authledger/authledger/eventstore"
)

// pageSize is how many events are read at once, and tailSize how many of the
// newest records stay in memory for those who follow.
const (
	pageSize = 1000
	tailSize = 8192
)

// resume takes up the index where it stands, after making sure that it counts
// this log: a log that was put back from a backup would otherwise go unnoticed.
func (s *Store) resume(ctx context.Context) error {
	p, l, found, err := s.index.state(ctx)
	if err != nil {
		return err
	}
	if p.ledger == "" {
		if err := s.index.name(ctx, s.id); err != nil {
			return err
		}
	} else if p.ledger != s.id {
		return fmt.Errorf("%w: %s counts the ledger %s, and the database holds %s: give another --data directory", eventstore.ErrDamaged, indexFile, p.ledger, s.id)
	}
	s.mu.Lock()
	s.count, s.head, s.at, s.started = l.sequence, eventstore.Position(l.at.Commit), p.at, found || p.at != (esdb.Position{})
	s.seen(time.UnixMicro(p.recorded).UTC())
	s.mu.Unlock()
	if !found {
		return nil
	}
	return s.stands(ctx, l)
}

// stands makes sure that the newest record counted still stands in the log.
func (s *Store) stands(ctx context.Context, l last) error {
	got, err := s.page(ctx, l.stream, l.revision, 1)
	if err != nil {
		return err
	}
	if len(got) != 1 || got[0].ID != l.id {
		return fmt.Errorf("%w: record %d, which this node has seen, is no longer in the event database: it was put back to an older state; see the runbook", eventstore.ErrDamaged, l.sequence)
	}
	return nil
}

// pull counts what the database holds by now, whether or not the subscription
// delivers: it reads $all behind the place the index has come to, up to the end.
func (s *Store) pull(ctx context.Context) error {
	select {
	case s.pulling <- struct{}{}:
		defer func() { <-s.pulling }()
	case <-ctx.Done():
		return s.ending(ctx, ctx.Err())
	}
	for {
		n, err := s.pullPage(ctx)
		if err != nil {
			return s.ending(ctx, err)
		}
		if n < pageSize {
			return nil
		}
	}
}

// pullPage counts one page and returns how many events it had.
func (s *Store) pullPage(ctx context.Context) (int, error) {
	s.mu.Lock()
	at, started := s.at, s.started
	s.mu.Unlock()
	var from esdb.AllPosition = esdb.Start{}
	if started {
		from = at
	}
	return s.countPage(ctx, from)
}

func (s *Store) countPage(ctx context.Context, from esdb.AllPosition) (int, error) {
	events, err := s.readAll(ctx, from, pageSize)
	if err != nil || len(events) == 0 {
		return 0, err
	}
	return len(events), s.counted(ctx, events, events[len(events)-1].Position)
}

// readAll reads n events of the database from a position on, inclusively.
func (s *Store) readAll(ctx context.Context, from esdb.AllPosition, n uint64) ([]*esdb.RecordedEvent, error) {
	return patient(ctx, s.db, func(ctx context.Context, c *esdb.Client) ([]*esdb.RecordedEvent, error) {
		stream, err := c.ReadAll(ctx, esdb.ReadAllOptions{From: from, Direction: esdb.Forwards}, n)
		if err != nil {
			return nil, err
		}
		return collect(stream)
	})
}

// collect reads a finite stream to its end.
func collect(stream *esdb.ReadStream) ([]*esdb.RecordedEvent, error) {
	defer stream.Close()
	var out []*esdb.RecordedEvent
	for {
		e, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		out = append(out, e.OriginalEvent())
	}
}

// counted numbers those of the events that are records of this ledger and were
// not counted yet, and notes that everything up to at was looked at. Events come
// in the order of $all, without leaving out a record; both the subscription and
// pull bring them, so some come twice.
func (s *Store) counted(ctx context.Context, events []*esdb.RecordedEvent, at esdb.Position) error {
	s.counting.Lock()
	defer s.counting.Unlock()
	if s.broken != nil {
		return s.broken
	}
	if s.started && !after(at, s.at) {
		return nil
	}
	items, err := s.number(events)
	if err == nil {
		err = s.index.add(ctx, items, at)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.wake()
	if errors.Is(err, eventstore.ErrDamaged) {
		s.broken = err
		s.logger.Error("the log cannot be read further", "error", err)
	}
	if err != nil {
		return err
	}
	s.at, s.started = at, true
	for _, i := range items {
		s.count, s.head = i.Sequence, i.Position
		s.seen(i.RecordedAt)
	}
	s.tail = append(s.tail, items...)
	if len(s.tail) > tailSize {
		s.tail = append([]item(nil), s.tail[len(s.tail)-tailSize/2:]...)
	}
	return nil
}

// number picks the records that were not counted and gives them sequences. The
// caller holds counting.
func (s *Store) number(events []*esdb.RecordedEvent) ([]item, error) {
	var items []item
	for _, e := range events {
		if s.started && !after(e.Position, s.at) {
			continue
		}
		s.notice(e)
		if !s.isRecord(e) {
			continue
		}
		i, err := s.incoming(e)
		if err != nil {
			return nil, err
		}
		i.Sequence = s.count + eventstore.Sequence(len(items)) + 1
		items = append(items, i)
	}
	return items, nil
}

// isRecord reports whether an event of the database is a record of this ledger.
// A deletion is none; notice sees it.
func (s *Store) isRecord(e *esdb.RecordedEvent) bool {
	return strings.HasPrefix(e.StreamID, s.names.ledger) && !strings.HasPrefix(e.EventType, "$")
}

func after(a, b esdb.Position) bool {
	return a.Commit > b.Commit || a.Commit == b.Commit && a.Prepare > b.Prepare
}

// await returns when everything up to a position was counted. The subscription
// mostly brings it within a moment; when it does not, await reads it.
func (s *Store) await(ctx context.Context, least eventstore.Position) error {
	patience := time.NewTimer(50 * time.Millisecond)
	defer patience.Stop()
	for {
		s.mu.Lock()
		reached, broken, changed, closed := s.started && eventstore.Position(s.at.Commit) >= least || least == 0, s.broken, s.changed, s.closed
		s.mu.Unlock()
		switch {
		case broken != nil:
			return broken
		case reached:
			return nil
		case closed:
			return eventstore.ErrClosed
		}
		select {
		case <-changed:
		case <-patience.C:
			return s.pull(ctx)
		case <-ctx.Done():
			return s.ending(ctx, ctx.Err())
		}
	}
}

// follow keeps the index at the end of the log by a subscription, until the
// store closes. The server sends the ledger's records only, and now and then
// how far it has looked.
func (s *Store) follow() {
	for try := 0; s.stop.Err() == nil; try++ {
		began, err := s.subscription(s.stop)
		if s.stop.Err() != nil {
			return
		}
		if began {
			try = 0
		}
		s.setLive(false)
		s.logger.Warn("the subscription to the event database ended; trying again", "error", outside("follow the log", err))
		if !pause(s.stop, try+2) {
			return
		}
	}
}

func (s *Store) setLive(live bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live = live
}

// subscription runs one subscription; began says that it delivered something.
func (s *Store) subscription(ctx context.Context) (began bool, err error) {
	h, err := s.db.acquire(ctx)
	if err != nil {
		return false, err
	}
	defer func() { s.db.release(h, err) }()
	if err := s.continues(ctx); err != nil {
		return false, err
	}
	sub, err := guard(ctx, h, func() (*esdb.Subscription, error) { return h.client.SubscribeToAll(leader(ctx), s.behind()) })
	if err != nil {
		return false, err
	}
	defer func() { _ = sub.Close() }() // never fails
	events := make(chan *esdb.SubscriptionEvent, pageSize)
	done := make(chan struct{})
	defer close(done)
	s.running.Go(func() { receive(sub, events, done) })
	for {
		dropped, err := s.take(ctx, events)
		if err != nil || dropped != nil {
			return began, errors.Join(dropped, err)
		}
		began = true
	}
}

// continues makes sure, whenever the connection is new, that the log still has
// the newest record that was counted: a database may be put back to an older
// state under a node that runs. Then nothing is read or written any more.
func (s *Store) continues(ctx context.Context) error {
	_, l, found, err := s.index.state(ctx)
	if err == nil && found {
		err = s.stands(ctx, l)
	}
	if errors.Is(err, eventstore.ErrDamaged) {
		s.counting.Lock()
		defer s.counting.Unlock()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.broken = err
		s.logger.Error("the event database was put back to an older state", "error", err)
		s.wake()
	}
	return err
}

// behind asks for everything the index has not counted.
func (s *Store) behind() esdb.SubscribeToAllOptions {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := esdb.SubscribeToAllOptions{
		From: esdb.Start{}, MaxSearchWindow: 500, CheckpointInterval: 1,
		// The metadata of the ledger's streams, too: see notice.
		Filter: &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{s.names.ledger, "$$" + s.names.ledger}},
	}
	if s.started {
		o.From = s.at
	}
	return o
}

// receive hands on what a subscription says, until it is dropped.
func receive(sub *esdb.Subscription, out chan<- *esdb.SubscriptionEvent, done <-chan struct{}) {
	for {
		e := sub.Recv()
		select {
		case out <- e:
		case <-done:
			return
		}
		if e.SubscriptionDropped != nil {
			return
		}
	}
}

// take counts what has come by now, in one go.
func (s *Store) take(ctx context.Context, events <-chan *esdb.SubscriptionEvent) (dropped, err error) {
	var records []*esdb.RecordedEvent
	var at *esdb.Position
	add := func(e *esdb.SubscriptionEvent) {
		switch {
		case e.EventAppeared != nil:
			r := e.EventAppeared.OriginalEvent()
			records, at = append(records, r), &r.Position
		case e.CheckPointReached != nil:
			at = e.CheckPointReached
		case e.CaughtUp != nil:
			s.setLive(true)
		case e.SubscriptionDropped != nil:
			dropped = e.SubscriptionDropped.Error
			if dropped == nil {
				dropped = io.ErrUnexpectedEOF
			}
		}
	}
	select {
	case e := <-events:
		add(e)
	case <-ctx.Done():
		return ctx.Err(), nil
	}
	for len(records) < pageSize && dropped == nil {
		select {
		case e := <-events:
			add(e)
			continue
		default:
		}
		break
	}
	if at == nil {
		return dropped, nil
	}
	return dropped, s.counted(ctx, records, *at)
}

// guard lets the caller go when ctx ends although the library does not. The
// caller holds h; while f is under way it counts as a call of its own.
func guard[T any](ctx context.Context, h *holder, f func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer, 1)
	h.calls.Add(1)
	go func() {
		defer h.calls.Done()
		v, err := f()
		answers <- answer{v, err}
	}()
	select {
	case a := <-answers:
		return a.value, a.err
	case <-ctx.Done():
		var zero T
		return zero, ctx.Err()
	}
}
