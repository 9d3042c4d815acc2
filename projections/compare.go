package projections

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/authledger/authledger/eventstore"
)

// Comparison is what comparing views with the log came to.
type Comparison struct {
	Sequence eventstore.Sequence `json:"sequence"` // the record both stand at
	Tables   int                 `json:"tables"`
	Rows     uint64              `json:"rows"` // found equal
	First    *RowDifference      `json:"first_difference,omitempty"`
}

// RowDifference is a row that is not what the log says.
type RowDifference struct {
	Table   string             `json:"table"`
	Key     []ColumnText       `json:"key"`               // what the row is found by
	Only    string             `json:"only,omitempty"`    // live or log, when the other has no such row
	Columns []ColumnDifference `json:"columns,omitempty"` // those that differ
}

// ColumnText is a column and its value as text: bytes are hexadecimal, NULL is
// the word.
type ColumnText struct {
	Column string `json:"column"`
	Value  string `json:"value"`
}

// ColumnDifference is a column with both values as text.
type ColumnDifference struct {
	Column string `json:"column"`
	Live   string `json:"live"`
	Log    string `json:"log"`
}

func (d RowDifference) String() string {
	var key, columns []string
	for _, k := range d.Key {
		key = append(key, k.Column+" "+k.Value)
	}
	where := fmt.Sprintf("table %s, row %s", d.Table, strings.Join(key, ", "))
	if d.Only != "" {
		return where + ": only in the " + map[string]string{onlyLive: "live views", onlyLog: "views built from the log"}[d.Only]
	}
	for _, c := range d.Columns {
		columns = append(columns, fmt.Sprintf("%s is %s, the log says %s", c.Column, c.Live, c.Log))
	}
	return where + ": " + strings.Join(columns, "; ")
}

const onlyLive, onlyLog = "live", "log"

// byKey are the columns that depend on keys.db and not on the log alone. They
// cannot be computed without the keys, so Compare leaves them out.
var byKey = map[string][]string{"phones": {"blind", "erased"}}

// Compare builds the views of a directory again from the log, below scratch,
// and compares them row by row with the live file, which is only read and may
// be in use. It needs no keys. Rows that came meanwhile do no harm: both are
// compared at the record the live views stand at. The first difference is in
// the result and no error; ErrNotFound means that there are no views.
func Compare(ctx context.Context, o Options, log eventstore.Reader, scratch string, progress Progress) (Comparison, error) {
	c, err := compare(ctx, o.withDefaults(), log, scratch, progress)
	if err != nil {
		return Comparison{}, fmt.Errorf("compare views: %w", err)
	}
	return c, nil
}

func compare(ctx context.Context, o Options, log eventstore.Reader, scratch string, progress Progress) (c Comparison, err error) {
	path, err := filepath.Abs(filepath.Join(o.Dir, viewsName)) // the name of a file in a URI begins with a slash
	if err != nil {
		return c, err
	}
	live, err := openLive(ctx, path)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, live.Close()) }()
	at, err := readCheckpoint(ctx, live)
	if err != nil {
		return c, broken(err)
	}
	dir, err := os.MkdirTemp(scratch, "views-compare-")
	if err == nil {
		dir, err = filepath.Abs(dir)
	}
	if err != nil {
		return c, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // what is left does no harm
	o.keyless = true
	l, err := newLoad(ctx, o, filepath.Join(dir, shadowName), log, progress)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	if head := l.total; at.seq > head {
		return c, fmt.Errorf("%w: the views stand at %d, the log ends at %d", ErrGap, at.seq, head)
	}
	l.total = at.seq
	if err := l.upTo(ctx, at.seq); err != nil {
		return c, err
	}
	if err := l.finish(ctx); err != nil {
		return c, err
	}
	// Only now a snapshot: one held while the log is read would keep the live
	// file's write-ahead log growing.
	tx, err := live.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return c, err
	}
	defer func() { _ = tx.Rollback() }() // ends a transaction that wrote nothing
	if at, err = readCheckpoint(ctx, tx); err != nil {
		return c, broken(err)
	}
	if l.total = at.seq; l.total > l.write.at.seq {
		if err := l.rest(ctx); err != nil {
			return c, err
		}
	}
	c.Sequence = at.seq
	return c, c.tables(ctx, tx, l.write.conn)
}

// openLive opens views for reading and refuses what is none of this version.
func openLive(ctx context.Context, path string) (*sql.DB, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: there is no %s", ErrNotFound, path)
	}
	db, err := openSQLite(path, paramsRead)
	if err != nil {
		return nil, err
	}
	var version int
	err = db.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&version)
	if err == nil && version != schemaVersion {
		err = fmt.Errorf("%w: schema version %d, want %d; a start of the product builds them again", errOutdated, version, schemaVersion)
	}
	if err != nil {
		return nil, errors.Join(broken(err), db.Close())
	}
	return db, nil
}

func (c *Comparison) tables(ctx context.Context, live, log queryer) error {
	for _, t := range canonical {
		d, err := c.table(ctx, t.table, t.query, live, log)
		if err != nil {
			return fmt.Errorf("table %s: %w", t.table, broken(err))
		}
		c.Tables++
		if d != nil {
			c.First = d
			return nil
		}
	}
	return nil
}

// table walks both sides at once: they are in the same order.
func (c *Comparison) table(ctx context.Context, table, query string, live, log queryer) (d *RowDifference, err error) {
	a, err := openRows(ctx, live, query)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, a.rows.Close()) }()
	b, err := openRows(ctx, log, query)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.rows.Close()) }()
	for {
		if err := errors.Join(a.next(), b.next()); err != nil {
			return nil, err
		}
		if a.ended && b.ended {
			return nil, nil
		}
		if d := difference(table, keyColumns(query), a, b); d != nil {
			return d, nil
		}
		c.Rows++
	}
}

// keyColumns counts the leading columns that name a row: those it is ordered by.
func keyColumns(query string) int {
	_, order, ordered := strings.Cut(query, "ORDER BY")
	if !ordered {
		return 1
	}
	return strings.Count(order, ",") + 1
}

// rowReader reads one side.
type rowReader struct {
	rows    *sql.Rows
	columns []string
	values  []any
	targets []any
	ended   bool
}

func openRows(ctx context.Context, q queryer, query string) (*rowReader, error) {
	rows, err := q.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	r := &rowReader{rows: rows}
	if r.columns, err = rows.Columns(); err != nil {
		return nil, errors.Join(err, rows.Close())
	}
	r.values, r.targets = make([]any, len(r.columns)), make([]any, len(r.columns))
	for i := range r.values {
		r.targets[i] = &r.values[i]
	}
	return r, nil
}

func (r *rowReader) next() error {
	if r.ended {
		return nil
	}
	if !r.rows.Next() {
		r.ended = true
		return r.rows.Err()
	}
	return r.rows.Scan(r.targets...)
}

// difference compares two rows; nil when they are equal.
func difference(table string, keys int, live, log *rowReader) *RowDifference {
	order := 0
	switch {
	case live.ended:
		order = 1
	case log.ended:
		order = -1
	default:
		for i := 0; i < keys && order == 0; i++ {
			order = compareValues(live.values[i], log.values[i])
		}
	}
	d := &RowDifference{Table: table}
	switch {
	case order < 0:
		d.Only, d.Key = onlyLive, live.key(keys)
		return d
	case order > 0:
		d.Only, d.Key = onlyLog, log.key(keys)
		return d
	}
	for i, column := range live.columns {
		if !slices.Contains(byKey[table], column) && compareValues(live.values[i], log.values[i]) != 0 {
			d.Columns = append(d.Columns, ColumnDifference{Column: column, Live: valueText(live.values[i]), Log: valueText(log.values[i])})
		}
	}
	if len(d.Columns) == 0 {
		return nil
	}
	d.Key = live.key(keys)
	return d
}

func (r *rowReader) key(keys int) []ColumnText {
	out := make([]ColumnText, keys)
	for i := range out {
		out[i] = ColumnText{Column: r.columns[i], Value: valueText(r.values[i])}
	}
	return out
}

// compareValues orders as SQLite does: NULL, integers, text, bytes.
func compareValues(a, b any) int {
	if ka, kb := valueKind(a), valueKind(b); ka != kb {
		return cmp.Compare(ka, kb)
	}
	switch a := a.(type) {
	case int64:
		return cmp.Compare(a, b.(int64))
	case string:
		return cmp.Compare(a, b.(string))
	case []byte:
		return bytes.Compare(a, b.([]byte))
	}
	return 0
}

func valueKind(v any) int {
	switch v.(type) {
	case int64:
		return 1
	case string:
		return 2
	case []byte:
		return 3
	}
	return 0
}

func valueText(v any) string {
	switch v := v.(type) {
	case []byte:
		return hex.EncodeToString(v)
	case nil:
		return "NULL"
	}
	return fmt.Sprint(v)
}
