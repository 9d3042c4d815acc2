package projections

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"syscall"

	"github.com/mattn/go-sqlite3"
)

// Names in the data directory. The lock is a file of its own because the views
// file is replaced.
const (
	viewsName  = "views.db"
	shadowName = "views.db.shadow"
	lockName   = "views.lock"
)

// ErrInUse means that another process, or another Views of this one, has the
// views of the directory open.
var ErrInUse = errors.New("views are in use")

// lockDir takes the directory's views for this process. They are released by
// closing the file, or by the death of the process.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock views: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("lock views: %w", ErrInUse), f.Close())
	}
	return f, nil
}

// Parameters of the three ways a views file is opened. A load has no journal:
// a crash leaves a shadow that the next start deletes. What is deleted is
// overwritten, because the index of somebody's number must not stay in a free
// page after it was taken out.
const (
	paramsLive = "_journal_mode=WAL&_synchronous=NORMAL&_busy_timeout=5000&_cache_size=-32768&_secure_delete=on&_mutex=no"
	paramsLoad = "_journal_mode=OFF&_synchronous=OFF&_locking_mode=EXCLUSIVE&_cache_size=-65536&_secure_delete=on&_mutex=no"
	// The log of a live file is moved into it every 32 MiB: pages of busy users
	// are then written once for many batches, twice the rate of the default.
	sqlAutoCheckpoint = `PRAGMA wal_autocheckpoint = 8000`
	// An insert of many rows keeps the pages it changes until it has ended, in a
	// file unless told otherwise.
	sqlTempInMemory = `PRAGMA temp_store = MEMORY`
	paramsRead      = "mode=ro&_query_only=1&_busy_timeout=5000&_cache_size=-8192&_mutex=no&_stmt_cache_size=64"
)

func openSQLite(path, params string) (*sql.DB, error) {
	name := url.URL{Scheme: "file", Path: path, RawQuery: params}
	db, err := sql.Open("sqlite3", name.String())
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return db, nil
}

// openWriterFile opens a file with one connection and creates its tables if it
// is new. It returns errOutdated for a file of another schema version or one
// that is no views file at all.
func openWriterFile(ctx context.Context, path, params string, bulk bool) (*sql.DB, *sql.Conn, error) {
	db, err := openSQLite(path, params)
	if err != nil {
		return nil, nil, err
	}
	db.SetMaxOpenConns(1)
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, nil, errors.Join(broken(err), db.Close())
	}
	for _, pragma := range []string{sqlAutoCheckpoint, sqlTempInMemory} {
		if _, err := conn.ExecContext(ctx, pragma); err != nil {
			return nil, nil, errors.Join(broken(err), conn.Close(), db.Close())
		}
	}
	if err := ensureTables(ctx, conn, bulk); err != nil {
		return nil, nil, errors.Join(broken(err), conn.Close(), db.Close())
	}
	return db, conn, nil
}

// errOutdated means that a file cannot be used and is to be built again.
var errOutdated = errors.New("views file is of another version or damaged")

// broken marks what SQLite says about files it cannot read.
func broken(err error) error {
	var e sqlite3.Error
	if errors.As(err, &e) && (e.Code == sqlite3.ErrCorrupt || e.Code == sqlite3.ErrNotADB) {
		return fmt.Errorf("%w: %w", errOutdated, err)
	}
	return err
}

func ensureTables(ctx context.Context, conn *sql.Conn, bulk bool) error {
	var version, objects int
	if err := conn.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&version); err != nil {
		return fmt.Errorf("read schema version: %w", err)
	}
	if err := conn.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema`).Scan(&objects); err != nil {
		return fmt.Errorf("read schema: %w", err)
	}
	switch {
	case version == schemaVersion:
		return nil
	case objects > 0:
		return fmt.Errorf("%w: schema version %d, want %d", errOutdated, version, schemaVersion)
	}
	statements := append([]string{`BEGIN IMMEDIATE`}, schemaTables()...)
	if bulk {
		statements = append(statements, schemaTimelineLoad)
	} else {
		statements = append(append(statements, schemaIndexed()...), setVersion())
	}
	for _, s := range append(statements, `COMMIT`) {
		if _, err := conn.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("create views: %w", err)
		}
	}
	return nil
}

// schemaTables are created before a load, schemaIndexed only after it: sorting
// once is cheaper than keeping order all the way.
func schemaTables() []string {
	return []string{
		schemaCheckpoint, schemaAudit, schemaDevices, schemaPhones, schemaSMS, schemaOptOuts, schemaUnits, schemaCalls, schemaLocks,
		schemaProcesses, schemaErasures,
	}
}

func schemaIndexed() []string { return []string{schemaTimeline, indexAudit, indexSMS} }

// setVersion marks a file as complete; a statement that takes no parameter.
func setVersion() string { return fmt.Sprintf(`PRAGMA user_version = %d`, schemaVersion) }

// removeViews deletes a views file and what SQLite keeps beside it. The file
// itself goes first: without it, the others mean nothing.
func removeViews(path string) error {
	var errs []error
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("remove old views: %w", err))
		}
	}
	return errors.Join(errs...)
}
