// Package sqlitestore is the log embedded in the process: a SQLite file for
// the records, a small anchor file for what was acknowledged, and a lock file
// that keeps a second process out.
//
// An append returns after COMMIT with synchronous=FULL and after the anchor
// that names the new end of the log is on disk. One goroutine writes, taking
// everything that waits into one transaction. Any doubt about a commit stops
// the store for writers (Err); starting again is the one repair, and it
// refuses, with a named reason, a log that lost or changed what was
// acknowledged.
//
// The package must not know what records mean. Most readers want Open, and
// OpenReader for tools beside a running server.
package sqlitestore

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/authledger/authledger/eventstore"
)

// Options of Open. Dir and Clock are required.
type Options struct {
	Dir    string           // data directory; made when missing
	Clock  func() time.Time // stamps records; held when it goes back
	Logger *slog.Logger     // nil discards
	// Readers is the number of connections for reads, 4 when zero. More reads
	// at once wait for one.
	Readers int
}

// Store is an eventstore.Store over one data directory. Its methods may be
// called from any goroutine.
type Store struct {
	*log
	writer *writer
	lock   *os.File
	logger *slog.Logger
	origin [16]byte

	closing  sync.Once
	closeErr error // set in closing
}

var _ eventstore.Store = (*Store)(nil)

// Open takes the directory for this process and brings the log up: it applies
// migrations, verifies the end of the log against the anchor, and moves the
// anchor forward when a crash fell between commit and anchor. The context is
// looked at before the work begins; opening does not depend on the size of the
// log. Its errors are *StartError.
func Open(ctx context.Context, o Options) (*Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("open event store in %s: %w", o.Dir, err)
	}
	s, err := openStore(o, tuning{generation: generationSize})
	if err != nil {
		return nil, inDir(o.Dir, err)
	}
	return s, nil
}

// tuning is what tests change.
type tuning struct {
	generation int // records the tables may lag behind, times two
	options    string
	faults     faults
}

func inDir(dir string, err error) error {
	var start *StartError
	if !errors.As(err, &start) {
		start = &StartError{Reason: startReason(err), Err: err}
	}
	return &StartError{Reason: start.Reason, Dir: dir, Err: start.Err}
}

func openStore(o Options, tune tuning) (store *Store, err error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Readers == 0 {
		o.Readers = 4
	}
	// What was opened is closed again, last first, when a later step refuses.
	var opened []func() error
	defer func() {
		for i := len(opened) - 1; err != nil && i >= 0; i-- {
			err = errors.Join(err, opened[i]())
		}
	}()
	lock, err := takeDir(o.Dir)
	if err != nil {
		return nil, err
	}
	opened = append(opened, lock.Close)
	begun, err := begin(o.Dir, tune.options)
	if err != nil {
		return nil, err
	}
	opened = append(opened, begun.close)
	if moved := begun.tail.head.sequence - begun.anchored; moved > 0 {
		o.Logger.Warn("anchor moved forward to the end of the log", "records", uint64(moved))
	}
	w, err := newWriter(begun, o.Clock, tune)
	if err != nil {
		return nil, err
	}
	l, err := newLog(o.Dir, "mode=ro", o.Readers, begun.tail)
	if err != nil {
		return nil, err
	}
	w.resync, w.logger = l.resync, o.Logger
	go w.run()
	return &Store{log: l, writer: w, lock: lock, logger: o.Logger, origin: begun.origin}, nil
}

// takeDir makes the directory, checks it, and locks it.
func takeDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, refuse(ReasonDataDirUnsupported, err)
	}
	if err := localFileSystem(dir); err != nil {
		return nil, err
	}
	if err := checkFiles(dir); err != nil {
		return nil, err
	}
	return lockDir(dir)
}

// newLog opens the pool of readers.
func newLog(dir, options string, readers int, t *tail) (*log, error) {
	l := &log{tail: t, pool: make(chan *readConn, readers), ended: make(chan struct{})}
	for range readers {
		c, err := openReadConn(dir, options)
		if err != nil {
			for len(l.pool) > 0 {
				err = errors.Join(err, (<-l.pool).close())
			}
			return nil, err
		}
		l.pool <- c
	}
	return l, nil
}

// Append implements eventstore.Appender. The store copies what it keeps. When
// the context ends while the append waits, the outcome is unknown; before it
// is queued, nothing was written.
func (s *Store) Append(ctx context.Context, stream string, expected eventstore.Expected, events []eventstore.Proposed) (eventstore.Appended, error) {
	if err := eventstore.CheckAppend(stream, events); err != nil {
		return eventstore.Appended{}, err
	}
	if err := ctx.Err(); err != nil {
		return eventstore.Appended{}, fmt.Errorf("append to %s: %w", stream, err)
	}
	r := newRequest(stream, expected, events)
	if err := s.writer.queue.put(r); err != nil {
		return eventstore.Appended{}, fmt.Errorf("append to %s: %w", stream, err)
	}
	select {
	case a := <-r.done:
		return a.appended, a.err
	case <-ctx.Done():
		return eventstore.Appended{}, fmt.Errorf("append to %s: %w: %w", stream, eventstore.ErrOutcomeUnknown, ctx.Err())
	}
}

// ID is the ledger's own random name, 32 hexadecimal digits: made with the
// ledger and never changed.
func (s *Store) ID() string { return hex.EncodeToString(s.origin[:]) }

// Err is nil while the store takes appends, and otherwise says why it stopped:
// it wraps ErrUnavailable after a failed commit or anchor, ErrClosed after
// Close.
func (s *Store) Err() error { return s.writer.queue.stopped() }

// Close implements eventstore.Store: it writes what is queued, ends followers
// and reads with ErrClosed, and gives the directory back. Closing twice
// returns the first result.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.writer.queue.close()
		<-s.writer.ended
		s.tail.end(eventstore.ErrClosed)
		// Readers first: the last connection to close empties the write-ahead log.
		s.closeErr = errors.Join(s.log.close(), s.writer.close(), s.lock.Close())
		if s.closeErr != nil {
			s.closeErr = fmt.Errorf("close event store: %w", unavailable(s.closeErr))
		}
	})
	return s.closeErr
}
