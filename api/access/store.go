package access

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"sync"
	"time"

	_ "github.com/mattn/go-sqlite3" // the driver "sqlite3"
)

const (
	sqlSchema = `CREATE TABLE IF NOT EXISTS clients (
	id         TEXT PRIMARY KEY,
	name       TEXT NOT NULL,
	role       TEXT NOT NULL,
	digest     BLOB NOT NULL CHECK (length(digest) = 32), -- SHA-256 of the key's text
	created_at INTEGER NOT NULL,                          -- microseconds UTC, as all times
	expires_at INTEGER NOT NULL,                          -- 0: never
	revoked_at INTEGER NOT NULL                           -- 0: not
) STRICT`
	sqlInsert = `INSERT INTO clients (id, name, role, digest, created_at, expires_at, revoked_at) VALUES (?, ?, ?, ?, ?, ?, 0)`
	sqlSelect = `SELECT id, name, role, digest, created_at, expires_at, revoked_at FROM clients WHERE id = ?`
	sqlList   = `SELECT id, name, role, digest, created_at, expires_at, revoked_at FROM clients ORDER BY created_at, id`
	sqlRevoke = `UPDATE clients SET revoked_at = ? WHERE id = ? AND revoked_at = 0`
)

// Options say where the file lives.
type Options struct {
	Dir   string           // an existing directory; the file is access.db
	Clock func() time.Time // for creation, expiry and the cache; nil means time.Now
}

// Store is the open file. It is safe for concurrent use, also by another
// process: what the command line creates or revokes, a running server notices.
type Store struct {
	db    *sql.DB
	clock func() time.Time

	mu    sync.Mutex
	cache map[string]cached // by client id
}

type cached struct {
	client Client
	digest []byte
	readAt time.Time
}

// freshFor bounds how long a revocation by another process goes unnoticed.
const freshFor = 2 * time.Second

// cacheLimit bounds memory; there are rarely more than a dozen clients.
const cacheLimit = 4096

// Open opens the file and creates it when it is missing.
func Open(ctx context.Context, o Options) (*Store, error) {
	// Keys are few and precious: FULL, because a key that was shown must not
	// be forgotten after a power failure.
	dsn := "file:" + (&url.URL{Path: filepath.Join(o.Dir, "access.db")}).EscapedPath() +
		"?_journal_mode=WAL&_synchronous=FULL&_busy_timeout=5000&_txlock=immediate"
	db, err := sql.Open("sqlite3", dsn)
	if err != nil {
		return nil, fmt.Errorf("open access.db: %w", err)
	}
	db.SetMaxOpenConns(4)
	if _, err := db.ExecContext(ctx, sqlSchema); err != nil {
		return nil, errors.Join(fmt.Errorf("prepare access.db: %w", err), db.Close())
	}
	s := &Store{db: db, clock: o.Clock, cache: map[string]cached{}}
	if s.clock == nil {
		s.clock = time.Now
	}
	return s, nil
}

// Close releases the file.
func (s *Store) Close() error { return s.db.Close() }

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
	if _, err := s.db.ExecContext(ctx, sqlInsert, id, name, string(role), sum[:], now.UnixMicro(), micros(expires)); err != nil {
		return Client{}, "", fmt.Errorf("store API client %s: %w", id, err)
	}
	return Client{ID: id, Name: name, Role: role, CreatedAt: now, ExpiresAt: instant(micros(expires))}, key, nil
}

// Authenticate tells whose key this is, or ErrUnauthenticated. Any other error
// means that the file could not be read.
func (s *Store) Authenticate(ctx context.Context, key string) (Client, error) {
	id, ok := idOf(key)
	if !ok {
		return Client{}, ErrUnauthenticated
	}
	row, err := s.lookup(ctx, id)
	if errors.Is(err, ErrNotFound) {
		matches(make([]byte, 32), key) // the same work as for a known id
		return Client{}, ErrUnauthenticated
	}
	if err != nil {
		return Client{}, err
	}
	now := s.clock()
	c := row.client
	if !matches(row.digest, key) || !c.RevokedAt.IsZero() || !c.ExpiresAt.IsZero() && !now.Before(c.ExpiresAt) {
		return Client{}, ErrUnauthenticated
	}
	return c, nil
}

// lookup reads a client, from memory when it was read a moment ago.
func (s *Store) lookup(ctx context.Context, id string) (cached, error) {
	now := s.clock()
	s.mu.Lock()
	row, ok := s.cache[id]
	s.mu.Unlock()
	if ok && now.Sub(row.readAt) < freshFor && !now.Before(row.readAt) {
		return row, nil
	}
	row, err := scan(s.db.QueryRowContext(ctx, sqlSelect, id))
	if errors.Is(err, sql.ErrNoRows) {
		return cached{}, fmt.Errorf("read API client %s: %w", id, ErrNotFound)
	}
	if err != nil {
		return cached{}, fmt.Errorf("read API client %s: %w", id, err)
	}
	row.readAt = now
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.cache) >= cacheLimit {
		clear(s.cache)
	}
	s.cache[id] = row
	return row, nil
}

// List lists all clients in the order they were made, revoked ones included.
func (s *Store) List(ctx context.Context) ([]Client, error) {
	rows, err := s.db.QueryContext(ctx, sqlList)
	if err != nil {
		return nil, fmt.Errorf("list API clients: %w", err)
	}
	defer rows.Close()
	out := []Client{}
	for rows.Next() {
		row, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("list API clients: %w", err)
		}
		out = append(out, row.client)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list API clients: %w", err)
	}
	return out, nil
}

// Revoke ends a client's key at once here, and within two seconds in other
// processes. Revoking twice changes nothing.
func (s *Store) Revoke(ctx context.Context, id string) error {
	if _, err := s.db.ExecContext(ctx, sqlRevoke, s.clock().UnixMicro(), id); err != nil {
		return fmt.Errorf("revoke API client %s: %w", id, err)
	}
	s.mu.Lock()
	delete(s.cache, id)
	s.mu.Unlock()
	_, err := s.lookup(ctx, id)
	return err
}

type scanner interface{ Scan(dest ...any) error }

func scan(r scanner) (cached, error) {
	var c cached
	var role string
	var created, expires, revoked int64
	if err := r.Scan(&c.client.ID, &c.client.Name, &role, &c.digest, &created, &expires, &revoked); err != nil {
		return cached{}, err
	}
	c.client.Role = Role(role)
	c.client.CreatedAt, c.client.ExpiresAt, c.client.RevokedAt = instant(created), instant(expires), instant(revoked)
	return c, nil
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
