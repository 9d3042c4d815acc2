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

// file is the home in access.db.
type file struct {
	db    *sql.DB
	clock func() time.Time

	mu    sync.Mutex
	cache map[string]cached // by client id
}

type cached struct {
	entry
	readAt time.Time
}

// cacheLimit bounds memory; there are rarely more than a dozen clients.
const cacheLimit = 4096

// openFile opens the file and creates it when it is missing.
func openFile(ctx context.Context, dir string, clock func() time.Time) (*file, error) {
	// Keys are few and precious: FULL, because a key that was shown must not
	// be forgotten after a power failure.
	dsn := "file:" + (&url.URL{Path: filepath.Join(dir, "access.db")}).EscapedPath() +
		"?_journal_mode=WAL&_synchronous=FULL&_busy_timeout=5000&_txlock=immediate"
	db, err := sql.Open("sqlite3", dsn)
	if err != nil {
		return nil, fmt.Errorf("open access.db: %w", err)
	}
	db.SetMaxOpenConns(4)
	if _, err := db.ExecContext(ctx, sqlSchema); err != nil {
		return nil, errors.Join(fmt.Errorf("prepare access.db: %w", err), db.Close())
	}
	return &file{db: db, clock: clock, cache: map[string]cached{}}, nil
}

func (f *file) close() error { return f.db.Close() }

func (f *file) add(ctx context.Context, e entry) error {
	c := e.client
	_, err := f.db.ExecContext(ctx, sqlInsert, c.ID, c.Name, string(c.Role), e.digest, micros(c.CreatedAt), micros(c.ExpiresAt))
	return err
}

// find reads a client, from memory when it was read a moment ago.
func (f *file) find(ctx context.Context, id string) (entry, error) {
	now := f.clock()
	f.mu.Lock()
	row, ok := f.cache[id]
	f.mu.Unlock()
	if ok && now.Sub(row.readAt) < freshFor && !now.Before(row.readAt) {
		return row.entry, nil
	}
	e, err := scan(f.db.QueryRowContext(ctx, sqlSelect, id))
	if errors.Is(err, sql.ErrNoRows) {
		return entry{}, ErrNotFound
	}
	if err != nil {
		return entry{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.cache) >= cacheLimit {
		clear(f.cache)
	}
	f.cache[id] = cached{e, now}
	return e, nil
}

func (f *file) list(ctx context.Context) ([]entry, error) {
	rows, err := f.db.QueryContext(ctx, sqlList)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []entry
	for rows.Next() {
		e, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, rows.Err()
}

func (f *file) revoke(ctx context.Context, id string, at time.Time) error {
	if _, err := f.db.ExecContext(ctx, sqlRevoke, micros(at), id); err != nil {
		return err
	}
	f.mu.Lock()
	delete(f.cache, id)
	f.mu.Unlock()
	_, err := f.find(ctx, id)
	return err
}

type scanner interface{ Scan(dest ...any) error }

func scan(r scanner) (entry, error) {
	var e entry
	var role string
	var created, expires, revoked int64
	if err := r.Scan(&e.client.ID, &e.client.Name, &role, &e.digest, &created, &expires, &revoked); err != nil {
		return entry{}, err
	}
	e.client.Role = Role(role)
	e.client.CreatedAt, e.client.ExpiresAt, e.client.RevokedAt = instant(created), instant(expires), instant(revoked)
	return e, nil
}
