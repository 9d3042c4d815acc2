package sealer

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"iter"
	"net/url"

	"github.com/mattn/go-sqlite3"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/merkle"
)

const (
	sqlLatest   = `SELECT revision, signed FROM checkpoints ORDER BY revision DESC LIMIT 1`
	sqlPage     = `SELECT revision, signed FROM checkpoints WHERE revision >= ? ORDER BY revision LIMIT ?`
	sqlStamped  = `SELECT revision, signed FROM checkpoints WHERE revision = (SELECT max(revision) FROM stamps)`
	sqlCovering = `SELECT revision, signed FROM checkpoints WHERE size >= ? ORDER BY size, revision LIMIT 1`
	sqlLines    = `SELECT revision, line FROM cosignatures WHERE revision >= ? AND revision <= ? ORDER BY revision, line`
	sqlStamps   = `SELECT revision, authority, token FROM stamps WHERE revision >= ? AND revision <= ? ORDER BY revision, authority, rowid`
	sqlTile     = `SELECT data FROM tiles WHERE level = ? AND n = ?`
	sqlOrigin   = `SELECT name FROM origin`
	sqlEpochs   = `SELECT epoch, from_size, public FROM epochs ORDER BY epoch`
)

// pageCheckpoints are read in one short transaction and handed out after it.
const pageCheckpoints = 256

// connector opens connections without a name in database/sql's global registry.
type connector struct {
	driver *sqlite3.SQLiteDriver
	dsn    string
}

func (c connector) Connect(context.Context) (driver.Conn, error) { return c.driver.Open(c.dsn) }
func (c connector) Driver() driver.Driver                        { return c.driver }

func openPool(path, params string, n int) *sql.DB {
	d := &sqlite3.SQLiteDriver{ConnectHook: func(c *sqlite3.SQLiteConn) error {
		_, err := c.Exec(`PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON`, nil)
		return err
	}}
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: params}
	db := sql.OpenDB(connector{driver: d, dsn: u.String()})
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	return db
}

// history reads proof.db; it is a merkle.History.
type history struct{ read *sql.DB }

// Latest implements merkle.History.
func (h history) Latest(ctx context.Context) (merkle.Published, error) {
	return h.one(ctx, "read the newest checkpoint", sqlLatest)
}

// Covering implements merkle.History.
func (h history) Covering(ctx context.Context, size uint64) (merkle.Published, error) {
	return h.one(ctx, "read the checkpoint that covers a size", sqlCovering, int64(size))
}

func (h history) one(ctx context.Context, doing, query string, args ...any) (merkle.Published, error) {
	found, err := h.page(ctx, query, args...)
	if err == nil && len(found) == 0 {
		err = eventstore.ErrNotFound
	}
	if err != nil {
		return merkle.Published{}, storage(doing, err)
	}
	return found[0], nil
}

// From implements merkle.History. It holds no transaction open between what it
// hands out.
func (h history) From(ctx context.Context, revision uint64) iter.Seq2[merkle.Published, error] {
	return func(yield func(merkle.Published, error) bool) {
		for next := revision; ; {
			page, err := h.page(ctx, sqlPage, int64(next), pageCheckpoints)
			if err != nil {
				yield(merkle.Published{}, storage("read checkpoints", err))
				return
			}
			for _, p := range page {
				if !yield(p, nil) {
					return
				}
			}
			if len(page) < pageCheckpoints {
				return
			}
			next = page[len(page)-1].Revision + 1
		}
	}
}

// page runs a query of checkpoints, whose revisions increase, and adds what
// others said of them.
func (h history) page(ctx context.Context, query string, args ...any) (page []merkle.Published, err error) {
	tx, err := h.read.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback() }() // ends a transaction that wrote nothing
	err = each(ctx, tx, query, args, func(rows *sql.Rows) error {
		var p merkle.Published
		err := rows.Scan(&p.Revision, &p.Signed)
		page = append(page, p)
		return err
	})
	if err != nil || len(page) == 0 {
		return nil, err
	}
	first := page[0].Revision
	within := []any{int64(first), int64(page[len(page)-1].Revision)}
	err = each(ctx, tx, sqlLines, within, func(rows *sql.Rows) error {
		var revision uint64
		var line string
		if err := rows.Scan(&revision, &line); err != nil {
			return err
		}
		p := &page[revision-first]
		p.Signed = merkle.AddLines(p.Signed, line)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return page, each(ctx, tx, sqlStamps, within, func(rows *sql.Rows) error {
		var revision uint64
		var s merkle.Stamp
		if err := rows.Scan(&revision, &s.Authority, &s.Token); err != nil {
			return err
		}
		page[revision-first].Stamps = append(page[revision-first].Stamps, s)
		return nil
	})
}

// queryer is a database or a transaction.
type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func each(ctx context.Context, q queryer, query string, args []any, use func(*sql.Rows) error) error {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := use(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Tile implements merkle.History.
func (h history) Tile(ctx context.Context, level int, n int64) ([]byte, error) {
	var data []byte
	err := h.read.QueryRowContext(ctx, sqlTile, level, n).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) {
		err = eventstore.ErrNotFound
	}
	return data, storage("read tile", err)
}

// Keys implements merkle.History. Its error is eventstore.ErrNotFound for a log
// that was never named.
func (h history) Keys(ctx context.Context) (merkle.Keys, error) {
	k, err := readKeys(ctx, h.read)
	return k, storage("read the log's keys", err)
}

func readKeys(ctx context.Context, q queryer) (merkle.Keys, error) {
	var k merkle.Keys
	err := each(ctx, q, sqlOrigin, nil, func(rows *sql.Rows) error { return rows.Scan(&k.Origin) })
	if err == nil && k.Origin == "" {
		err = eventstore.ErrNotFound
	}
	if err != nil {
		return k, err
	}
	err = each(ctx, q, sqlEpochs, nil, func(rows *sql.Rows) error {
		var e merkle.Epoch
		var public []byte
		err := rows.Scan(&e.Number, &e.FromSize, &public)
		e.Public = public
		k.Epochs = append(k.Epochs, e)
		return err
	})
	return k, err
}

var _ merkle.History = history{}
