package projections

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/authledger/authledger/eventstore"
)

// The positions of reactors are no read model: they say what was already done
// in the outside world, so they must survive views.db and are durable when
// saved. They live in reactors.db.
const (
	reactorsName   = "reactors.db"
	paramsReactors = "_journal_mode=WAL&_synchronous=FULL&_txlock=immediate&_busy_timeout=5000&_mutex=no"

	reactorsVersion = 1
	schemaReactors  = `CREATE TABLE IF NOT EXISTS reactors (
	name     TEXT PRIMARY KEY,
	sequence INTEGER NOT NULL,
	saved_at INTEGER NOT NULL -- µs since 1970
) STRICT, WITHOUT ROWID;
PRAGMA user_version = 1`
	sqlLoadReactor = `SELECT sequence FROM reactors WHERE name = ?`
	sqlAllReactors = `SELECT name, sequence FROM reactors`
	sqlSaveReactor = `INSERT INTO reactors (name, sequence, saved_at) VALUES (?1, ?2, ?3)
ON CONFLICT (name) DO UPDATE SET sequence = ?2, saved_at = ?3 WHERE sequence < ?2`
)

// Checkpoints are the positions of named reactors, as bridge.Checkpoints wants
// them. They may be used from any goroutine.
type Checkpoints struct {
	db    *sql.DB
	clock func() time.Time
}

// OpenCheckpoints opens the positions kept in a directory, creating the file at
// first. It refuses a file of a newer version. The caller must Close.
func OpenCheckpoints(ctx context.Context, dir string, clock func() time.Time) (*Checkpoints, error) {
	db, err := openSQLite(filepath.Join(dir, reactorsName), paramsReactors)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	if err := prepareReactors(ctx, db); err != nil {
		return nil, errors.Join(fmt.Errorf("open reactor checkpoints: %w", err), db.Close())
	}
	return &Checkpoints{db: db, clock: clock}, nil
}

func prepareReactors(ctx context.Context, db *sql.DB) error {
	var version, synchronous int
	if err := db.QueryRowContext(ctx, `PRAGMA synchronous`).Scan(&synchronous); err != nil {
		return err
	}
	if synchronous != 2 {
		return fmt.Errorf("synchronous is %d, not FULL", synchronous)
	}
	if err := db.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&version); err != nil {
		return err
	}
	if version > reactorsVersion {
		return fmt.Errorf("file has version %d, this program knows %d", version, reactorsVersion)
	}
	_, err := db.ExecContext(ctx, schemaReactors)
	return err
}

// Load returns the position saved under name; zero if there is none.
func (c *Checkpoints) Load(ctx context.Context, name string) (eventstore.Sequence, error) {
	var seq int64
	err := c.db.QueryRowContext(ctx, sqlLoadReactor, name).Scan(&seq)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("load checkpoint of %s: %w", name, err)
	}
	return eventstore.Sequence(seq), nil
}

// Save stores a position, durably when it returns nil. A position below the
// stored one changes nothing.
func (c *Checkpoints) Save(ctx context.Context, name string, at eventstore.Sequence) error {
	if _, err := c.db.ExecContext(ctx, sqlSaveReactor, name, int64(at), c.clock().UnixMicro()); err != nil {
		return fmt.Errorf("save checkpoint of %s at %d: %w", name, at, err)
	}
	return nil
}

// All returns every position by name.
func (c *Checkpoints) All(ctx context.Context) (map[string]eventstore.Sequence, error) {
	rows, err := c.db.QueryContext(ctx, sqlAllReactors)
	if err != nil {
		return nil, fmt.Errorf("list checkpoints: %w", err)
	}
	defer func() { _ = rows.Close() }() // Err tells
	all := map[string]eventstore.Sequence{}
	for rows.Next() {
		var name string
		var at int64
		if err := rows.Scan(&name, &at); err != nil {
			return nil, fmt.Errorf("list checkpoints: %w", err)
		}
		all[name] = eventstore.Sequence(at)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list checkpoints: %w", err)
	}
	return all, nil
}

// Close releases the file.
func (c *Checkpoints) Close() error { return c.db.Close() }
