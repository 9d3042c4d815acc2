package projections

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"

	"github.com/mattn/go-sqlite3"
)

// stmt is a prepared statement of the writing connection, used through the
// driver's own type: package database/sql would add locks, copies and, for each
// argument, a call into C. It may be used only inside onDriver, by one
// goroutine at a time.
type stmt struct {
	stmt *sqlite3.SQLiteStmt
	args []driver.NamedValue // scratch of bind
	row  []driver.Value      // scratch of first
}

// onDriver lets do use the driver's connection behind conn, and the statements
// prepared on it.
func onDriver(conn *sql.Conn, do func(*sqlite3.SQLiteConn) error) error {
	return conn.Raw(func(c any) error {
		db, ok := c.(*sqlite3.SQLiteConn)
		if !ok {
			return fmt.Errorf("connection is a %T, want SQLite's", c)
		}
		return do(db)
	})
}

// preparer prepares statements until one fails.
type preparer struct {
	db         *sqlite3.SQLiteConn
	statements []*stmt
	err        error
}

func (p *preparer) stmt(text string) *stmt {
	if p.err != nil {
		return nil
	}
	s, err := p.db.Prepare(text)
	if err != nil {
		p.err = fmt.Errorf("prepare %q: %w", text, err)
		return nil
	}
	out := &stmt{stmt: s.(*sqlite3.SQLiteStmt)}
	p.statements = append(p.statements, out)
	return out
}

// run executes a statement that changes rows. It takes the driver's query
// path, which binds and steps in one call into C.
func run(s *stmt, args ...any) error {
	rows, err := s.start(args)
	if err != nil {
		return err
	}
	return rows.Close()
}

// exec is run for a caller who needs the result, which costs a call into C for
// each argument.
func (s *stmt) exec(args ...any) (driver.Result, error) {
	if err := s.bind(args); err != nil {
		return nil, err
	}
	r, err := s.stmt.ExecContext(context.Background(), s.args)
	clear(s.args)
	return r, err
}

// first returns the first row of a query; found is false when there is none.
// The slice is valid until the statement is used again, what it holds for ever.
func (s *stmt) first(args ...any) (row []driver.Value, found bool, err error) {
	rows, err := s.start(args)
	if err != nil {
		return nil, false, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	if s.row == nil {
		s.row = make([]driver.Value, len(rows.Columns()))
	}
	switch err := rows.Next(s.row); {
	case errors.Is(err, io.EOF):
		return nil, false, nil
	case err != nil:
		return nil, false, err
	}
	return s.row, true, nil
}

// integer is first for a query of one integer.
func (s *stmt) integer(args ...any) (n int64, found bool, err error) {
	row, found, err := s.first(args...)
	if err != nil || !found {
		return 0, false, err
	}
	n, ok := row[0].(int64)
	if !ok {
		return 0, false, fmt.Errorf("got %T, want an integer", row[0])
	}
	return n, true, nil
}

// start never passes a context that can end: inside a transaction nothing is
// cancellable, and the driver would start a goroutine for each call.
func (s *stmt) start(args []any) (driver.Rows, error) {
	if err := s.bind(args); err != nil {
		return nil, err
	}
	rows, err := s.stmt.QueryContext(context.Background(), s.args)
	clear(s.args) // they point into records
	return rows, err
}

// bind puts the arguments, as the driver's types, into s.args.
func (s *stmt) bind(args []any) error {
	if want := s.stmt.NumInput(); len(args) != want {
		return fmt.Errorf("got %d arguments, want %d", len(args), want)
	}
	s.args = s.args[:0]
	for i, a := range args {
		v, err := value(a)
		if err != nil {
			return fmt.Errorf("argument %d: %w", i+1, err)
		}
		s.args = append(s.args, driver.NamedValue{Ordinal: i + 1, Value: v})
	}
	return nil
}

func value(a any) (driver.Value, error) {
	switch a := a.(type) {
	case nil, int64, string, []byte, bool:
		return a, nil
	}
	return driver.DefaultParameterConverter.ConvertValue(a)
}
