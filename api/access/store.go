package access

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/authledger/authledger/eventstore"
)

// Options say where the clients are kept: in a file, or for all nodes together.
type Options struct {
	Dir    string           // an existing directory; the file is access.db
	Side   eventstore.Side  // instead of the file: the stream "access", shared by all nodes
	Clock  func() time.Time // for creation, expiry and the cache; nil means time.Now
	Logger *slog.Logger     // nil discards
}

// Store is the open home of the clients. It is safe for concurrent use, also by
// another process: what the command line or another node creates or revokes, a
// running server notices.
type Store struct {
	home  home
	clock func() time.Time
}

// entry is a client as it is kept.
type entry struct {
	client Client
	digest []byte // SHA-256 of the key's text
}

// home is where clients are kept. Its methods may be called from any goroutine.
type home interface {
	// add keeps a new client, durably when it returns nil.
	add(ctx context.Context, e entry) error
	// find returns a client, at most freshFor after another process changed it,
	// or ErrNotFound, which is never remembered.
	find(ctx context.Context, id string) (entry, error)
	// list returns all, in the order they were made, as they are now.
	list(ctx context.Context) ([]entry, error)
	// revoke marks a client as revoked, unless it is. It returns ErrNotFound when
	// there is none.
	revoke(ctx context.Context, id string, at time.Time) error
	close() error
}

// freshFor bounds how long a revocation by another process goes unnoticed.
const freshFor = 2 * time.Second

// Open opens the home and creates it when it is missing. The caller must Close.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Store{clock: o.Clock}
	var err error
	if o.Side != nil {
		s.home, err = openSide(ctx, o)
	} else {
		s.home, err = openFile(ctx, o.Dir, o.Clock)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Close releases what Open took.
func (s *Store) Close() error { return s.home.close() }

// Create makes a client and its key. The key is durable when Create returns
// and can never be read again. A zero expires means never.
func (s *Store) Create(ctx context.Context, name string, role Role, expires time.Time) (Client, Key, error) {
	if !names.MatchString(name) {
		return Client{}, "", fmt.Errorf("%w: the name wants 1 to 60 letters, digits, spaces, dots or dashes", ErrInvalid)
	}
	if !role.Valid() {
		return Client{}, "", fmt.Errorf("%w: role %q is none of %v", ErrInvalid, role, Roles())
	}
	now := s.clock().UTC().Truncate(time.Microsecond)
	if !expires.IsZero() && !expires.After(now) {
		return Client{}, "", fmt.Errorf("%w: it would have expired already", ErrInvalid)
	}
	id, key, err := newKey()
	if err != nil {
		return Client{}, "", err
	}
	sum := digest(string(key))
	c := Client{ID: id, Name: name, Role: role, CreatedAt: now, ExpiresAt: instant(micros(expires))}
	if err := s.home.add(ctx, entry{client: c, digest: sum[:]}); err != nil {
		return Client{}, "", fmt.Errorf("store API client %s: %w", id, err)
	}
	return c, key, nil
}

// Authenticate tells whose key this is, or ErrUnauthenticated. Any other error
// means that the home could not be read.
func (s *Store) Authenticate(ctx context.Context, key string) (Client, error) {
	id, ok := idOf(key)
	if !ok {
		return Client{}, ErrUnauthenticated
	}
	e, err := s.home.find(ctx, id)
	if errors.Is(err, ErrNotFound) {
		matches(make([]byte, 32), key) // the same work as for a known id
		return Client{}, ErrUnauthenticated
	}
	if err != nil {
		return Client{}, fmt.Errorf("read API client %s: %w", id, err)
	}
	now := s.clock()
	c := e.client
	if !matches(e.digest, key) || !c.RevokedAt.IsZero() || !c.ExpiresAt.IsZero() && !now.Before(c.ExpiresAt) {
		return Client{}, ErrUnauthenticated
	}
	return c, nil
}

// List lists all clients in the order they were made, revoked ones included.
func (s *Store) List(ctx context.Context) ([]Client, error) {
	all, err := s.home.list(ctx)
	if err != nil {
		return nil, fmt.Errorf("list API clients: %w", err)
	}
	out := make([]Client, len(all))
	for i, e := range all {
		out[i] = e.client
	}
	return out, nil
}

// Revoke ends a client's key at once here, and within two seconds in other
// processes. Revoking twice changes nothing.
func (s *Store) Revoke(ctx context.Context, id string) error {
	if err := s.home.revoke(ctx, id, s.clock()); err != nil {
		return fmt.Errorf("revoke API client %s: %w", id, err)
	}
	return nil
}

// ErrOtherClient means that a target of Copy knows another client by the same
// id. Compare with errors.Is.
var ErrOtherClient = errors.New("the target has another API client of this id")

// Copy copies all clients with the digests of their keys, so that the keys that
// callers hold are valid there, and returns how many there are. Those that stand
// there already are left alone, but for a revocation. Doing it again changes
// nothing.
func Copy(ctx context.Context, from, to *Store) (clients int, err error) {
	all, err := from.home.list(ctx)
	if err != nil {
		return 0, fmt.Errorf("copy API clients: %w", err)
	}
	for _, e := range all {
		if err := copyOne(ctx, e, to.home); err != nil {
			return 0, fmt.Errorf("copy API client %s: %w", e.client.ID, err)
		}
	}
	return len(all), nil
}

func copyOne(ctx context.Context, e entry, to home) error {
	has, err := to.find(ctx, e.client.ID)
	if errors.Is(err, ErrNotFound) {
		has, err = e, to.add(ctx, e)
		has.client.RevokedAt = time.Time{}
	}
	switch {
	case err != nil:
		return err
	case !bytes.Equal(has.digest, e.digest):
		return ErrOtherClient
	case e.client.RevokedAt.IsZero() || !has.client.RevokedAt.IsZero():
		return nil
	}
	return to.revoke(ctx, e.client.ID, e.client.RevokedAt)
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func instant(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
