package keyring

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/mattn/go-sqlite3"

	"github.com/authledger/authledger/eventstore"
)

// Rows that hold wrapped keys are only ever appended, and a destroyed key is
// overwritten in place by as many zero bytes. secure_delete promises to zero
// what is deleted; it says nothing of copies left behind by rows that moved when
// a page was split or merged. Rows that never move leave none. For the same
// reason destroyed_at has the same width before (alive) and after.
var schema = []string{
	`CREATE TABLE meta (
	name  TEXT NOT NULL PRIMARY KEY,
	value BLOB NOT NULL
) STRICT`,
	`CREATE TABLE subject_keys (
	n            INTEGER PRIMARY KEY,
	subject      TEXT NOT NULL UNIQUE,
	created_at   INTEGER NOT NULL,
	destroyed_at INTEGER NOT NULL,
	wrapped      BLOB NOT NULL
) STRICT`,
	`CREATE TABLE code_epochs (
	n            INTEGER PRIMARY KEY,
	kid          TEXT NOT NULL UNIQUE,
	day          INTEGER NOT NULL,
	created_at   INTEGER NOT NULL,
	destroyed_at INTEGER NOT NULL,
	wrapped      BLOB NOT NULL
) STRICT`,
	`CREATE UNIQUE INDEX living_epoch ON code_epochs (day) WHERE destroyed_at = 9223372036854775807`,
	`CREATE TABLE secrets (
	n          INTEGER PRIMARY KEY,
	subject    TEXT NOT NULL,
	id         TEXT NOT NULL,
	changed_at INTEGER NOT NULL,
	sealed     BLOB NOT NULL,
	UNIQUE (subject, id)
) STRICT`,
}

const (
	schemaVersion = 1
	// alive stands in destroyed_at while the key lives.
	alive = int64(9223372036854775807)

	sqlVersion    = `PRAGMA user_version`
	sqlSetVersion = `PRAGMA user_version = 1`
	sqlSchema     = `SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid`
	sqlQuickCheck = `PRAGMA quick_check(1)`
	sqlPutMeta    = `INSERT INTO meta (name, value) VALUES (?, ?)`
	sqlMeta       = `SELECT value FROM meta WHERE name = ?`
	sqlCheckpoint = `PRAGMA wal_checkpoint(TRUNCATE)`
)

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

// migrate brings an empty file to the newest schema in one transaction, or
// checks that a written one is whole and exactly ours: a trigger somebody
// added could copy keys.
func (k *Keyring) migrate(ctx context.Context, path string, ledgerNotEmpty bool) error {
	var version int
	if err := k.write.db.QueryRowContext(ctx, sqlVersion).Scan(&version); err != nil {
		return startFailure(path, err)
	}
	if version > schemaVersion {
		return &StartError{Reason: SchemaNewer, Path: path, Detail: fmt.Sprintf("schema version %d, this release knows %d", version, schemaVersion)}
	}
	var check string
	if err := k.write.db.QueryRowContext(ctx, sqlQuickCheck).Scan(&check); err != nil {
		return startFailure(path, err)
	}
	if check != "ok" {
		return &StartError{Reason: KeysCorrupt, Path: path, Detail: "SQLite's quick_check found damage"}
	}
	found, err := k.schema(ctx)
	if err != nil {
		return startFailure(path, err)
	}
	switch {
	case version == schemaVersion && slices.Equal(found, schema):
		return nil
	case version == 0 && len(found) == 0 && !ledgerNotEmpty:
		return k.initialise(ctx)
	default:
		return &StartError{Reason: KeysCorrupt, Path: path, Detail: fmt.Sprintf("schema version %d with %d objects is not ours", version, len(found))}
	}
}

func (k *Keyring) schema(ctx context.Context) ([]string, error) {
	rows, err := k.write.db.QueryContext(ctx, sqlSchema)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		found = append(found, s)
	}
	return found, rows.Err()
}

// initialise writes the schema, the value that recognises the key-encryption
// key, and the key of the blind index: all of it or nothing.
func (k *Keyring) initialise(ctx context.Context) error {
	check, err := k.kek.Encrypt([]byte(checkText), wrapData("check", ""))
	if err != nil {
		return fmt.Errorf("wrap check value: %w", err)
	}
	index, err := k.wrapRaw("index", "", newRawKey())
	if err != nil {
		return err
	}
	return k.write.do(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for _, s := range schema {
			if _, err := tx.ExecContext(ctx, s); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, sqlPutMeta, "check", check); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, sqlPutMeta, "index", index); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, sqlSetVersion)
		return err
	})
}

// checkText is what the check value holds; only its decryption matters.
const checkText = "authledger keyring check v1"

// unlock proves that the key-encryption key belongs to this keyring and loads
// the key of the blind index.
func (k *Keyring) unlock(ctx context.Context, p paths) error {
	check, err := k.meta(ctx, p, "check")
	if err != nil {
		return err
	}
	if clear, err := k.kek.Decrypt(check, wrapData("check", "")); err != nil || string(clear) != checkText {
		return &StartError{Reason: KEKWrong, Path: p.kek, Detail: "it does not open keys.db beside it"}
	}
	index, err := k.meta(ctx, p, "index")
	if err != nil {
		return err
	}
	if k.indexKey, err = k.unwrapRaw("index", "", index); err != nil {
		return &StartError{Reason: KeysCorrupt, Path: p.keys, Detail: "the index key does not open", Err: err}
	}
	return nil
}

func (k *Keyring) meta(ctx context.Context, p paths, name string) ([]byte, error) {
	var value []byte
	err := k.read.QueryRowContext(ctx, sqlMeta, name).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, &StartError{Reason: KeysCorrupt, Path: p.keys, Detail: "the " + name + " value is missing"}
	}
	if err != nil {
		return nil, startFailure(p.keys, err)
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
