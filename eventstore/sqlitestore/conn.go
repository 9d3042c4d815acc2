package sqlitestore

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/url"

	"github.com/mattn/go-sqlite3"
)

// conn is one SQLite connection used through the driver's own types: package
// database/sql would add a pool, a lock and copies to every statement. It is
// used by one goroutine at a time.
type conn struct {
	db         *sqlite3.SQLiteConn
	statements []*statement
}

// open opens file with the driver's options and then runs the pragmas.
func open(file, options string, pragmas ...string) (*conn, error) {
	dsn := "file:" + (&url.URL{Path: file}).EscapedPath() + "?" + options
	db, err := (&sqlite3.SQLiteDriver{}).Open(dsn)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", file, err)
	}
	c := &conn{db: db.(*sqlite3.SQLiteConn)}
	for _, pragma := range pragmas {
		if err := c.exec(pragma); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", pragma, err), c.close())
		}
	}
	return c, nil
}

// exec runs statements without arguments and drops their rows.
func (c *conn) exec(text string) error {
	_, err := c.db.Exec(text, nil)
	return err
}

// prepare returns a statement that lives as long as the connection.
func (c *conn) prepare(text string) (*statement, error) {
	s, err := c.compile(text)
	if err == nil {
		c.statements = append(c.statements, s)
	}
	return s, err
}

func (c *conn) compile(text string) (*statement, error) {
	s, err := c.db.Prepare(text)
	if err != nil {
		return nil, fmt.Errorf("prepare %q: %w", text, err)
	}
	return &statement{stmt: s.(*sqlite3.SQLiteStmt)}, nil
}

// query is statement.rows for a statement needed once.
func (c *conn) query(text string, columns int, use func(row []driver.Value) (more bool, err error), args ...driver.Value) error {
	s, err := c.compile(text)
	if err != nil {
		return err
	}
	return errors.Join(s.rows(columns, use, args...), s.stmt.Close())
}

// integer runs a query that yields one integer.
func (c *conn) integer(text string) (n int64, err error) {
	err = c.query(text, 1, func(row []driver.Value) (bool, error) {
		v, ok := row[0].(int64)
		if !ok {
			return false, fmt.Errorf("%q: got %T, want an integer", text, row[0])
		}
		n = v
		return false, nil
	})
	return n, err
}

// close closes the statements before the connection: one left open would keep
// the file and its locks.
func (c *conn) close() error {
	var errs []error
	for _, s := range c.statements {
		errs = append(errs, s.stmt.Close())
	}
	return errors.Join(append(errs, c.db.Close())...)
}

// statement is a prepared statement and the room for its arguments.
type statement struct {
	stmt *sqlite3.SQLiteStmt
	args []driver.NamedValue
	row  []driver.Value
}

// run executes a statement that writes. It goes through the driver's query
// path, which binds and steps in one crossing into C; Exec takes one for each
// argument.
func (s *statement) run(args ...driver.Value) error {
	rows, err := s.start(args)
	if err != nil {
		return err
	}
	return rows.Close()
}

// rows hands each row to use until it returns false or an error. The slice is
// reused; what it holds is not.
func (s *statement) rows(columns int, use func(row []driver.Value) (more bool, err error), args ...driver.Value) (err error) {
	rows, err := s.start(args)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := rows.Close(); err == nil {
			err = closeErr
		}
	}()
	if s.row == nil {
		s.row = make([]driver.Value, columns)
	}
	for {
		if err := rows.Next(s.row); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if more, err := use(s.row); err != nil || !more {
			return err
		}
	}
}

// start never passes a context that can end: the driver would start a
// goroutine for every call.
func (s *statement) start(args []driver.Value) (driver.Rows, error) {
	s.args = s.args[:0]
	for i, a := range args {
		s.args = append(s.args, driver.NamedValue{Ordinal: i + 1, Value: a})
	}
	rows, err := s.stmt.QueryContext(context.Background(), s.args)
	clear(s.args)
	return rows, err
}
