package esdbstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"github.com/authledger/authledger/eventstore"
)

// Options say which log to open.
type Options struct {
	// URL is the connection string: esdb://, esdb+discover:// or kurrentdb://.
	URL string
	// Prefix sets this ledger apart from others in the database; DefaultPrefix
	// when empty.
	Prefix string
	// Dir is where this process keeps index.db; it is made when it is missing.
	Dir string
	// Clock stamps records; time.Now when nil.
	Clock func() time.Time
	// Wall is the machine's clock, which CheckServer compares with the server's;
	// time.Now when nil. It differs from Clock in a demonstration.
	Wall func() time.Time
	// Logger is told of connections lost and found; nothing of records.
	Logger *slog.Logger
}

// DefaultPrefix is the Options.Prefix of those who give none.
const DefaultPrefix = "authledger"

// Disorder is what this kind of log declares (eventstore.Shared): the clocks of
// the nodes must be that close together, which CheckServer finds out.
const Disorder = 5 * time.Second

// Store is an eventstore.Store over an event database. Its methods may be called
// from any goroutine.
type Store struct {
	names  names
	id     string
	clock  func() time.Time
	logger *slog.Logger
	db     *supervisor
	index  *index
	lock   *os.File
	wall   func() time.Time

	// Locks are taken in this order. pulling makes those who read $all on behalf
	// of waiters take turns; counting is held by whoever numbers records, who
	// alone changes count, head, at, started, tail and broken, under mu; mu guards
	// everything that follows.
	pulling  chan struct{} // holds one token while somebody pulls
	counting sync.Mutex
	mu       sync.Mutex
	count    eventstore.Sequence // records counted; the newest one's sequence
	head     eventstore.Position // of the newest record counted
	at       esdb.Position       // everything up to here was looked at
	started  bool                // at means something: position zero is a place, too
	written  eventstore.Position // the newest position an append of ours was told
	newest   time.Time           // the latest RecordedAt that came by
	tail     []item              // the newest records, in order, without gap
	changed  chan struct{}       // closed and replaced when count or at moves, closed by Close
	broken   error               // why the log can no longer be counted; nil
	live     bool                // the subscription is up
	findings
	closed bool

	stop    context.Context // ends with Close
	cancel  context.CancelFunc
	running sync.WaitGroup // the subscription, and calls that read
}

var (
	_ eventstore.Store    = (*Store)(nil)
	_ eventstore.Shared   = (*Store)(nil)
	_ eventstore.Side     = (*Store)(nil)
	_ eventstore.Sharer   = (*Store)(nil)
	_ eventstore.Importer = (*Store)(nil)
)

// names are the database's names of this ledger's streams.
type names struct{ prefix, ledger string }

func namesOf(prefix string) names {
	return names{prefix: prefix + ".", ledger: prefix + ".ledger-"}
}

// Open connects to the database and counts the log up to its end; on a large
// log and an empty directory that takes a while (some ten thousand records a
// second, BenchmarkNewNode). It makes the ledger when there is none. ctx bounds all of it.
func Open(ctx context.Context, o Options) (_ *Store, err error) {
	s, err := newStore(o)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("open the log in the event database: %w", err), s.Close())
		}
	}()
	if s.lock, err = lockDir(o.Dir); err != nil {
		return nil, err
	}
	if s.index, err = openIndex(ctx, o.Dir); err != nil {
		return nil, err
	}
	if s.id, err = s.identify(ctx); err != nil {
		return nil, err
	}
	if err := s.resume(ctx); err != nil {
		return nil, err
	}
	if err := s.pull(ctx); err != nil {
		return nil, err
	}
	s.running.Go(s.follow)
	return s, nil
}

// newStore checks the options and fills them in. It does not connect.
func newStore(o Options) (*Store, error) {
	if o.Prefix == "" {
		o.Prefix = DefaultPrefix
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Wall == nil {
		o.Wall = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if err := checkPrefix(o.Prefix); err != nil {
		return nil, err
	}
	config, err := configuration(o.URL)
	if err != nil {
		return nil, err
	}
	s := &Store{
		names: namesOf(o.Prefix), clock: o.Clock, wall: o.Wall, logger: o.Logger,
		db: newSupervisor(config, o.Logger), changed: make(chan struct{}), pulling: make(chan struct{}, 1),
	}
	s.stop, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// ID is the ledger's own name, made with it: 32 hexadecimal digits.
func (s *Store) ID() string { return s.id }

// Disorder implements eventstore.Shared.
func (s *Store) Disorder() time.Duration { return Disorder }

// Shared implements eventstore.Shared.
func (s *Store) Shared() bool { return true }

// identity is the stream that says which ledger this is.
const identity = "identity"

type ledgerIdentity struct {
	Ledger string `json:"ledger"`
	Format int    `json:"format"` // of envelopes and names; 1
}

// identify reads the ledger's name and gives it one when it is new. Of two
// nodes that do so at once, one wins.
func (s *Store) identify(ctx context.Context) (string, error) {
	for range 3 {
		for b, err := range s.ReadSide(ctx, identity, 0) {
			if err != nil {
				return "", err
			}
			var i ledgerIdentity
			if err := json.Unmarshal(b, &i); err != nil || i.Ledger == "" {
				return "", fmt.Errorf("%w: the stream %s%s does not name a ledger", eventstore.ErrDamaged, s.names.prefix, identity)
			}
			if i.Format != 1 {
				return "", fmt.Errorf("%w: the ledger has format %d, this release knows 1", eventstore.ErrUnavailable, i.Format)
			}
			return i.Ledger, nil
		}
		random := uuid.New()
		b, err := json.Marshal(ledgerIdentity{Ledger: fmt.Sprintf("%x", random[:]), Format: 1})
		if err != nil {
			return "", err
		}
		if err := s.AppendSide(ctx, identity, 0, b); err != nil && !errors.Is(err, eventstore.ErrConflict) && !errors.Is(err, eventstore.ErrOutcomeUnknown) {
			return "", err
		}
	}
	return "", fmt.Errorf("%w: the ledger could not be named", eventstore.ErrUnavailable)
}

// Close implements eventstore.Store. It waits a little for calls under way; a
// call that does not end by then is left to end by itself.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	close(s.changed)
	s.mu.Unlock()
	s.cancel()
	s.db.close(closeTimeout)
	s.running.Wait()
	var errs []error
	if s.index != nil {
		errs = append(errs, s.index.close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close %s: %w", indexFile, err)
	}
	return nil
}

const closeTimeout = 5 * time.Second

// enter marks a call as under way and gives it a context that also ends with
// the store; the caller must call leave.
func (s *Store) enter(ctx context.Context) (own context.Context, leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, eventstore.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	s.running.Add(1)
	own, cancel := context.WithCancel(ctx)
	release := context.AfterFunc(s.stop, cancel)
	return own, func() { release(); cancel(); s.running.Done() }, nil
}

// ending is the error of a call whose own context ended: the caller's, or that
// of a store that was closed.
func (s *Store) ending(ctx context.Context, err error) error {
	if err != nil && ctx.Err() == nil && s.stop.Err() != nil {
		return eventstore.ErrClosed
	}
	return err
}

// seen raises the least time of the next stamp. The caller holds mu.
func (s *Store) seen(at time.Time) {
	if at.After(s.newest) {
		s.newest = at
	}
}

// wake tells all who wait for count or at. The caller holds mu.
func (s *Store) wake() {
	if s.closed {
		return
	}
	close(s.changed)
	s.changed = make(chan struct{})
}
