package sqlitestore

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"iter"

	"github.com/authledger/authledger/eventstore"
)

// Stored yields what lies in the file between two sequences, without the first
// and with the last, in order. A missing record is left out and a row that is
// none is yielded as malformed: what that means is for the caller to say.
// It reads the file, never memory. Several calls may run at once, two of them
// at a time on a connection of their own.
func (r *Reader) Stored(ctx context.Context, after, upto eventstore.Sequence) iter.Seq2[eventstore.Stored, error] {
	return func(yield func(eventstore.Stored, error) bool) {
		for after < upto {
			page, err := r.storedPage(ctx, after, upto)
			if err != nil {
				yield(eventstore.Stored{}, fmt.Errorf("read records after %d as stored: %w", after, err))
				return
			}
			if len(page) == 0 {
				return
			}
			for _, s := range page {
				if !yield(s, nil) {
					return
				}
			}
			after = page[len(page)-1].Sequence
		}
	}
}

func (r *Reader) storedPage(ctx context.Context, after, upto eventstore.Sequence) (page []eventstore.Stored, err error) {
	err = r.with(ctx, func(c *readConn) error {
		page = make([]eventstore.Stored, 0, min(pageRecords, uint64(upto-after)))
		size, last := 0, after
		return c.stored.rows(10, func(row []driver.Value) (bool, error) {
			s := scanStored(row)
			if err := follows(last, s.Sequence); err != nil {
				return false, err
			}
			last = s.Sequence
			page, size = append(page, s), size+len(s.Data)+len(s.Metadata)
			return size < pageBytes, nil
		}, int64(after), int64(upto), int64(pageRecords))
	})
	if err != nil {
		page = nil // of a page that is damaged nothing is believed
	}
	return page, err
}

func scanStored(row []driver.Value) eventstore.Stored {
	r, err := scan(row)
	s := eventstore.Stored{Record: r}
	if err != nil {
		n, _ := row[0].(int64)
		s.Sequence, s.Malformed = eventstore.Sequence(n), "its columns are not those of a record"
	}
	if !setHash(&s.Running, row[9]) && s.Malformed == "" {
		s.Malformed = "it has no running hash"
	}
	return s
}

// Anchored returns what the anchor file says was acknowledged. Errors are
// *StartError: a missing or unreadable file, or that of another ledger.
func (r *Reader) Anchored(ctx context.Context) (eventstore.Mark, error) {
	at, origin, _, err := readAnchor(r.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return eventstore.Mark{}, inDir(r.dir, refuse(ReasonAnchorMissing, err))
	}
	if err != nil {
		return eventstore.Mark{}, inDir(r.dir, refuse(ReasonIO, err))
	}
	var own [16]byte
	err = r.with(ctx, func(c *readConn) (err error) {
		own, err = readOrigin(c.conn)
		return err
	})
	if err == nil && own != origin {
		err = refusef(ReasonLedgerMismatch, "%s belongs to another ledger", anchorFile)
	}
	if err != nil {
		return eventstore.Mark{}, inDir(r.dir, refuse(ReasonLedgerCorrupt, err))
	}
	return eventstore.Mark{Sequence: at.sequence, Running: at.running}, nil
}
