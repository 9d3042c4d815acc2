package keyring

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"sync"

	"github.com/mattn/go-sqlite3"

	"github.com/authledger/authledger/eventstore"
)

const (
	sqlMeta       = `SELECT value FROM meta WHERE name = ?`
	sqlCheckpoint = `PRAGMA wal_checkpoint(TRUNCATE)`
)

// database is the vault in keys.db. One process has it; the lock says so.
type database struct {
	path  string
	kek   KeyEncryption
	write *writer
	read  *sql.DB

	signing sync.Mutex // held while an epoch of a signing key is chosen and stored
}

var _ vault = (*database)(nil)

// openDatabase opens keys.db, creating it at the first start with what first
// returns.
func openDatabase(ctx context.Context, p paths, kek KeyEncryption, ledgerNotEmpty bool, first func(context.Context) (firstValues, error)) (_ *database, err error) {
	if err := p.ensureKeys(ledgerNotEmpty); err != nil {
		return nil, err
	}
	d := &database{path: p.keys, kek: kek}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()
	if d.write, err = openWriter(ctx, p.keys); err != nil {
		return nil, err
	}
	if err := d.migrate(ctx, ledgerNotEmpty, first); err != nil {
		return nil, err
	}
	d.read = openReaders(p.keys)
	return d, nil
}

// close closes the readers first: the last connection, which is the writer's,
// then moves the write-ahead log into the file.
func (d *database) close() error {
	var errs []error
	if d.read != nil {
		errs = append(errs, d.read.Close())
	}
	if d.write != nil {
		errs = append(errs, d.write.db.Close())
	}
	return errors.Join(errs...)
}

// settle does nothing: whoever has the file has the key that is in force.
func (d *database) settle(context.Context) error { return nil }

func (d *database) seen() uint64 { return 0 }

func (d *database) changedSince(context.Context, uint64) bool { return false }

func (d *database) place(subject string) string { return subject }

// watching trusts what was read for ever: nobody else writes the file.
func (d *database) watching() watchState { return watchState{alone: true} }

func (d *database) scrub(ctx context.Context) error { return d.write.scrub(ctx) }

// connector opens connections without a name in database/sql's global
// registry. hook runs on each new one, for settings a DSN cannot carry.
type connector struct {
	driver *sqlite3.SQLiteDriver
	dsn    string
}

func (c connector) Connect(context.Context) (driver.Conn, error) { return c.driver.Open(c.dsn) }
func (c connector) Driver() driver.Driver                        { return c.driver }

// openPool opens n connections to a database. Temporary structures stay in
// memory: a journal in a temporary file would copy keys to another disk.
func openPool(path, params string, n int) *sql.DB {
	d := &sqlite3.SQLiteDriver{ConnectHook: func(c *sqlite3.SQLiteConn) error {
		_, err := c.Exec(`PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON`, nil)
		return err
	}}
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: params}
	db := sql.OpenDB(connector{driver: d, dsn: u.String()})
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	return db
}

const (
	writerParams = "mode=rw&_journal_mode=WAL&_synchronous=FULL&_secure_delete=on&_txlock=immediate&_busy_timeout=5000&_mutex=no&_stmt_cache_size=32"
	readerParams = "mode=ro&_query_only=1&_busy_timeout=5000&_mutex=no&_stmt_cache_size=16"
	readers      = 4
)

func openReaders(path string) *sql.DB { return openPool(path, readerParams, readers) }

// openWriter opens the one connection that writes and proves its settings: the
// driver's own default would lose acknowledged keys when power fails.
func openWriter(ctx context.Context, path string) (*writer, error) {
	w := &writer{db: openPool(path, writerParams, 1)}
	for _, want := range []struct{ pragma, value string }{
		{`PRAGMA journal_mode`, "wal"},
		{`PRAGMA synchronous`, "2"},
		{`PRAGMA secure_delete`, "1"},
	} {
		var got string
		if err := w.db.QueryRowContext(ctx, want.pragma).Scan(&got); err != nil {
			return nil, errors.Join(startFailure(path, err), w.db.Close())
		}
		if got != want.value {
			refused := &StartError{Reason: KeysSettings, Path: path, Detail: fmt.Sprintf("%s is %s, want %s", want.pragma, got, want.value)}
			return nil, errors.Join(refused, w.db.Close())
		}
	}
	return w, nil
}

func (d *database) meta(ctx context.Context, name string) ([]byte, error) {
	var value []byte
	err := d.read.QueryRowContext(ctx, sqlMeta, name).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, &StartError{Reason: KeysCorrupt, Path: d.path, Detail: "the " + name + " value is missing"}
	}
	if err != nil {
		return nil, startFailure(d.path, err)
	}
	return value, nil
}

// startFailure turns a driver's error during Open into a refusal when the file
// is to blame, else into the error of a store that is not available.
func startFailure(path string, err error) error {
	var e sqlite3.Error
	if errors.As(err, &e) && (e.Code == sqlite3.ErrCorrupt || e.Code == sqlite3.ErrNotADB) {
		return &StartError{Reason: KeysCorrupt, Path: path, Detail: "SQLite cannot read it"}
	}
	return storage("open key database", err)
}

// storage is the only translation of driver errors, by code. A context's error
// stays what it is; everything else is eventstore.ErrUnavailable.
func storage(doing string, err error) error {
	var e sqlite3.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: %w", doing, err)
	case errors.As(err, &e):
		return fmt.Errorf("%s: %w: sqlite code %d", doing, eventstore.ErrUnavailable, e.ExtendedCode)
	default:
		return fmt.Errorf("%s: %w: %T", doing, eventstore.ErrUnavailable, err)
	}
}

// lasting reports an error after which the connection's view of the disk
// cannot be trusted: after a failed fsync the kernel may hold unwritten pages
// for written ones, so that trying again would only seem to succeed.
func lasting(err error) bool {
	var e sqlite3.Error
	return errors.As(err, &e) && (e.Code == sqlite3.ErrIoErr || e.Code == sqlite3.ErrCorrupt || e.Code == sqlite3.ErrNotADB)
}
