package projections

import (
	"database/sql"
	"strings"
)

// bulk adds rows to a table many at a time, because most of an insert's cost
// is the call. What it holds back is written by flush, at the latest at the end
// of the transaction; until then the rows cannot be read.
type bulk struct {
	one, many *sql.Stmt
	width     int   // columns
	args      []any // of the rows held back
}

// manyRows is how many rows one statement adds.
const manyRows = 32

// newBulk prepares the insert: its text up to and with VALUES, and one row of
// parameters.
func newBulk(p *preparer, insert, row string) bulk {
	return bulk{
		one: p.stmt(insert + row), many: p.stmt(insert + strings.Repeat(row+", ", manyRows-1) + row),
		width: strings.Count(row, "?"),
	}
}

func (b *bulk) add(row ...any) error {
	b.args = append(b.args, row...)
	if len(b.args) < b.width*manyRows {
		return nil
	}
	err := run(b.many, b.args...)
	b.forget()
	return err
}

func (b *bulk) flush() error {
	for at := 0; at < len(b.args); at += b.width {
		if err := run(b.one, b.args[at:at+b.width]...); err != nil {
			return err
		}
	}
	b.forget()
	return nil
}

// forget drops the rows held back, and with them the records they point into.
func (b *bulk) forget() {
	clear(b.args)
	b.args = b.args[:0]
}
