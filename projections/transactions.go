package projections

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
)

// Transactions have no table: they are read off the audit timeline, so that a
// login costs the views nothing for them. The packed ids of a user's
// transactions are neighbours in it.
const (
	sqlBegunUp = `SELECT seq, entity FROM timeline t WHERE entity > ?1 AND entity < ?2 AND facet IN (SELECT value FROM json_each(?3))
AND seq > ?4 AND seq < ?5 AND (?7 OR EXISTS (SELECT 1 FROM events e WHERE e.seq = t.seq AND e.recorded >= ?8 AND e.recorded < ?9)) ORDER BY seq LIMIT ?6`
	sqlBegunDown = `SELECT seq, entity FROM timeline t WHERE entity > ?1 AND entity < ?2 AND facet IN (SELECT value FROM json_each(?3))
AND seq > ?4 AND seq < ?5 AND (?7 OR EXISTS (SELECT 1 FROM events e WHERE e.seq = t.seq AND e.recorded >= ?8 AND e.recorded < ?9)) ORDER BY seq DESC LIMIT ?6`
	sqlLastOf = `SELECT seq FROM timeline WHERE entity = ?1 AND facet IN (SELECT value FROM json_each(?2)) AND seq <= ?3 ORDER BY seq DESC LIMIT 1`
)

// TransactionFilter selects the transactions of one user, in the order in which
// the ledger learned of them; Since and Until mean that time.
type TransactionFilter struct {
	Listing
	UserID string // required
}

// Transaction is one transaction of a user and how it ended.
type Transaction struct {
	ID      string
	UserID  string
	Started EventRow // AuthenticationStarted; its data says for what and where
	// Ended is AuthenticationSucceeded, AuthenticationFailed or
	// AuthenticationAbandoned, the last there is; nil without one. A transaction
	// that was begun for a process, or left alone until it expired, never has it.
	Ended *EventRow
}

// Transactions lists the transactions of a user. The work is bounded by the
// number of events in the user's transactions. It returns ErrNoTimeline for an
// id that is not a user's, and ErrCursor for a cursor of another order.
func (v *Views) Transactions(ctx context.Context, f TransactionFilter) (Page[Transaction], error) {
	var page Page[Transaction]
	err := v.snapshot(ctx, func(q queryer) error {
		at, err := readCheckpoint(ctx, q)
		if err != nil {
			return err
		}
		b, err := f.bounds(at)
		if err != nil {
			return err
		}
		page.At, page.Position = eventstore.Sequence(b.at), at.position
		page.Items, page.Next, err = f.read(ctx, selection{q: q, b: b})
		return err
	})
	if err != nil {
		return Page[Transaction]{}, fmt.Errorf("list transactions: %w", err)
	}
	return page, nil
}

func (f TransactionFilter) read(ctx context.Context, s selection) ([]Transaction, Cursor, error) {
	ids, places, err := f.begun(ctx, s)
	if err != nil {
		return nil, Cursor{}, err
	}
	places, next := s.b.cut(places)
	started, err := rowsAt(ctx, s.q, places)
	if err != nil {
		return nil, Cursor{}, err
	}
	if s.facets, _, err = (EventFilter{Types: []string{
		"AuthenticationSucceeded", "AuthenticationFailed", "AuthenticationAbandoned",
	}}).facets(ctx, s.q); err != nil {
		return nil, Cursor{}, err
	}
	out := make([]Transaction, 0, len(started))
	for _, row := range started {
		id := ids[row.Sequence]
		t := Transaction{ID: unpackID(id), UserID: f.UserID, Started: row}
		if t.Ended, err = s.lastOf(ctx, id); err != nil {
			return nil, Cursor{}, err
		}
		out = append(out, t)
	}
	return out, next, nil
}

// begun finds the beginnings of the page's transactions, and one more.
func (f TransactionFilter) begun(ctx context.Context, s selection) (map[eventstore.Sequence][]byte, []place, error) {
	if !domain.IsID(f.UserID, domain.PrefixUser) {
		return nil, nil, fmt.Errorf("%w: %q", ErrNoTimeline, f.UserID)
	}
	first := append([]byte{codeTransaction}, packID(f.UserID)[1:]...)
	last := append(bytes.Clone(first), bytes.Repeat([]byte{0xff}, 11)...) // behind every number
	w, err := s.window(ctx)
	if err != nil {
		return nil, nil, err
	}
	if s.facets, _, err = (EventFilter{Types: []string{"AuthenticationStarted"}}).facets(ctx, s.q); err != nil {
		return nil, nil, err
	}
	rows, err := s.q.QueryContext(ctx, s.pick(sqlBegunUp, sqlBegunDown), first, last, s.numbers(), w.low, w.high, int64(s.b.limit)+1, w.exact, s.b.since, s.b.until)
	if err != nil {
		return nil, nil, err
	}
	ids := map[eventstore.Sequence][]byte{}
	places, err := collect(rows, func(r *sql.Rows) (place, error) {
		var seq int64
		var id []byte
		err := r.Scan(&seq, &id)
		ids[eventstore.Sequence(seq)] = id
		return place{key: seq, seq: seq}, err
	})
	return ids, places, err
}

// lastOf is the newest event of the selection's facets on a timeline, or nil.
func (s selection) lastOf(ctx context.Context, entity []byte) (*EventRow, error) {
	var seq int64
	err := s.q.QueryRowContext(ctx, sqlLastOf, entity, s.numbers(), s.b.at).Scan(&seq)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	rows, err := rowsAt(ctx, s.q, []place{{seq: seq}})
	if err != nil {
		return nil, err
	}
	return &rows[0], nil
}
