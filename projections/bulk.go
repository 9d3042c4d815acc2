package projections

import (
	"strings"
)

// bulk adds rows to a table many at a time, because most of an insert's cost
// is the call. What it holds back is written by flush, at the latest at the end
// of the transaction; until then the rows cannot be read.
type bulk struct {
	inserts [manyPowers + 1]*stmt // of 1, 2, 4, … manyRows rows
	width   int                   // columns
	args    []any                 // of the rows held back
}

const (
	manyPowers = 5
	manyRows   = 1 << manyPowers // added by one statement, at most
)

// newBulk prepares the inserts: their text up to and with VALUES, and one row
// of parameters.
func newBulk(p *preparer, insert, row string) bulk {
	b := bulk{width: strings.Count(row, "?")}
	for i := range b.inserts {
		b.inserts[i] = p.stmt(insert + strings.Repeat(row+", ", 1<<i-1) + row)
	}
	return b
}

func (b *bulk) add(row ...any) error {
	b.args = append(b.args, row...)
	if len(b.args) < b.width*manyRows {
		return nil
	}
	return b.flush()
}

func (b *bulk) flush() error {
	rest := b.args
	for i := manyPowers; i >= 0; i-- {
		for n := b.width << i; len(rest) >= n; rest = rest[n:] {
			if err := run(b.inserts[i], rest[:n]...); err != nil {
				return err
			}
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
