package keyring

import (
	"context"
	"database/sql"
	"fmt"
	"sync"

	"github.com/authledger/authledger/eventstore"
)

// writer owns the one connection that writes. Callers that come while a commit
// is under way share the next one, so that many first logins at once cost few
// synchronisations. It has no goroutine: the first caller of a batch commits
// it for the others.
type writer struct {
	db *sql.DB

	mu   sync.Mutex // guards next
	next *batch     // collecting; nil when nobody waits

	turn   sync.Mutex // held by the caller that uses db
	broken error      // guarded by turn; set once, ends all writing
}

// operation writes inside a transaction that it shares with others. When it
// refuses, it must do so before its first write, tell its caller through a
// captured variable, and return nil: an error it returns means that storage
// failed, and takes the whole batch down.
type operation func(ctx context.Context, tx *sql.Tx) error

type batch struct {
	operations []operation
	done       chan struct{} // closed when err is final
	err        error
}

// do returns after the operation is durable (nil) or certainly not applied,
// except that after a failed commit only reopening shows which. A context that
// ended before is honoured; later it does not interrupt, since the commit is
// shared.
func (w *writer) do(ctx context.Context, o operation) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w.mu.Lock()
	b, leads := w.next, w.next == nil
	if leads {
		b = &batch{done: make(chan struct{})}
		w.next = b
	}
	b.operations = append(b.operations, o)
	w.mu.Unlock()
	if !leads {
		<-b.done
		return b.err
	}
	w.turn.Lock()
	w.mu.Lock()
	w.next = nil // from here on the batch is ours alone
	w.mu.Unlock()
	b.err = w.commit(context.WithoutCancel(ctx), b.operations)
	w.turn.Unlock()
	close(b.done)
	return b.err
}

func (w *writer) commit(ctx context.Context, operations []operation) error {
	if w.broken != nil {
		return w.broken
	}
	err := w.transact(ctx, operations)
	if lasting(err) {
		w.broken = fmt.Errorf("keyring stopped writing until it is reopened: %w", storage("write keys", err))
	}
	return storage("write keys", err)
}

func (w *writer) transact(ctx context.Context, operations []operation) error {
	tx, err := w.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // reports only that the commit succeeded
	for _, o := range operations {
		if err := o(ctx, tx); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// scrub moves the write-ahead log into the database and cuts it to zero bytes,
// so that no older version of a page survives. Without it a destroyed key
// would still be readable in the -wal file.
func (w *writer) scrub(ctx context.Context) error {
	w.turn.Lock()
	defer w.turn.Unlock()
	if w.broken != nil {
		return w.broken
	}
	var busy, frames, moved int
	err := w.db.QueryRowContext(context.WithoutCancel(ctx), sqlCheckpoint).Scan(&busy, &frames, &moved)
	if err != nil {
		return storage("scrub write-ahead log", err)
	}
	if busy != 0 {
		return fmt.Errorf("scrub write-ahead log: %w: readers hold it", eventstore.ErrUnavailable)
	}
	return nil
}
