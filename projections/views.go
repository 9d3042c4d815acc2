package projections

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
)

// Errors of this package. Compare with errors.Is.
var (
	// ErrNotFound means that the views hold no such thing, which is final only
	// at the position the reader waited for.
	ErrNotFound = errors.New("not found in the views")
	// ErrGap means that records were handed over out of order.
	ErrGap = errors.New("records are not in sequence")
)

// Options say where views live and what they need. All fields but Erased,
// EnrollmentTTL, Log and Logger are required.
type Options struct {
	// Dir is an existing directory, which will hold views.db and views.lock.
	Dir string
	// Codec decodes records and opens phone numbers.
	Codec *codec.Codec
	// Blind computes the keyed index of a phone number (E.164). It must be the
	// same for the life of the file.
	Blind func(ctx context.Context, number string) ([]byte, error)
	// Erased reports whether an error of Codec.Reveal says that the subject's
	// key was destroyed. Any other error stops the views. nil means never.
	Erased func(error) bool
	// Clock is the time queries about "now" are asked at.
	Clock func() time.Time
	// EnrollmentTTL is the policy's life of an enrolment at a moment, because no
	// event says when one expires. nil means thirty minutes.
	EnrollmentTTL func(at time.Time) time.Duration
	// Log, if not nil, is the log the views belong to. Open then throws away a
	// file that has seen records which are not in it.
	Log eventstore.Reader
	// Logger, if not nil, is told when a file is thrown away.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.Erased == nil {
		o.Erased = func(error) bool { return false }
	}
	if o.EnrollmentTTL == nil {
		o.EnrollmentTTL = func(time.Time) time.Duration { return 30 * time.Minute }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// models are the read models of a file.
func (o Options) models(bulk bool) []model {
	open := opener{
		reveal: func(ctx context.Context, e *entry) (string, error) { return o.Codec.Reveal(ctx, e.Decoded, "number") },
		blind:  o.Blind, erased: o.Erased,
	}
	return []model{
		&audit{load: bulk}, &devices{}, &phones{opener: open}, &smsLedger{}, &optOuts{}, &units{}, &voiceLedger{}, &locks{}, &processes{}, &erasures{},
	}
}

// Views are the read models of one node. Methods may be called from any
// goroutine; Apply waits its turn.
type Views struct {
	options Options
	lock    *os.File
	read    *sql.DB

	turn   sync.Mutex // guards write and closed
	write  *writer
	closed bool

	progress progress
}

// readers is the number of connections that answer queries.
const readers = 4

// Open opens the views of a directory. A missing file is created; one of
// another schema version, damaged, or of another log is thrown away first, and
// everything is then to be applied from the beginning (From). It returns
// ErrInUse while somebody else has them open. The caller must Close.
func Open(ctx context.Context, o Options) (*Views, error) {
	v := &Views{options: o.withDefaults()}
	lock, err := lockDir(o.Dir)
	if err != nil {
		return nil, err
	}
	v.lock = lock
	if err := v.open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open views: %w", err), v.Close())
	}
	return v, nil
}

func (v *Views) open(ctx context.Context) error {
	path := filepath.Join(v.options.Dir, viewsName)
	if err := removeViews(filepath.Join(v.options.Dir, shadowName)); err != nil {
		return err
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := removeViews(path); err != nil { // a write-ahead log without its file
			return err
		}
	}
	err := v.openWriter(ctx, path)
	if errors.Is(err, errOutdated) {
		v.options.Logger.Warn("views are thrown away and built again", "reason", err)
		if err = removeViews(path); err == nil {
			err = v.openWriter(ctx, path)
		}
	}
	if err != nil {
		return err
	}
	if v.read, err = openSQLite(path, paramsRead); err != nil {
		return err
	}
	v.read.SetMaxOpenConns(readers)
	v.read.SetMaxIdleConns(readers)
	v.progress.set(v.write.at)
	return nil
}

// openWriter opens the file and checks that it belongs to the log. On error
// nothing stays open.
func (v *Views) openWriter(ctx context.Context, path string) error {
	db, conn, err := openWriterFile(ctx, path, paramsLive, false)
	if err != nil {
		return err
	}
	w, err := newWriter(ctx, db, conn, v.options.models(false))
	if err != nil {
		return errors.Join(broken(err), conn.Close(), db.Close())
	}
	if err := belongs(ctx, v.options.Log, w.at); err != nil {
		return errors.Join(err, w.close())
	}
	v.write = w
	return nil
}

// belongs returns errOutdated when the record a file has seen last is not the
// log's record of that sequence: the log was replaced, or restored from a
// backup that is older than the views.
func belongs(ctx context.Context, log eventstore.Reader, at checkpoint) error {
	if log == nil || at.seq == 0 {
		return nil
	}
	for r, err := range log.ReadAll(ctx, at.seq) {
		if err != nil {
			return fmt.Errorf("read record %d: %w", at.seq, err)
		}
		if r.Sequence == at.seq && r.ID == at.event {
			return nil
		}
		break
	}
	return fmt.Errorf("%w: record %d is not the log's", errOutdated, at.seq)
}

// Close waits for a batch under way and releases the files. Afterwards Apply
// returns eventstore.ErrClosed and waiters are answered with it. Closing again
// does nothing.
func (v *Views) Close() error {
	v.turn.Lock()
	defer v.turn.Unlock()
	if v.closed {
		return nil
	}
	v.closed = true
	v.progress.close()
	var errs []error
	if v.read != nil {
		errs = append(errs, v.read.Close())
	}
	if v.write != nil {
		errs = append(errs, v.write.close())
	}
	if err := errors.Join(append(errs, v.lock.Close())...); err != nil {
		return fmt.Errorf("close views: %w", err)
	}
	return nil
}

// From returns the sequence of the last record applied, zero for none; the
// records to apply next follow it.
func (v *Views) From(context.Context) (eventstore.Sequence, error) { return v.Status().Sequence, nil }

// Apply folds records into all read models, in one transaction. Records that
// were applied before are skipped, so that a delivery may be repeated; what is
// left must follow without a gap (ErrGap). After an error nothing has changed,
// and nothing behind the record it names can be applied until its cause is
// gone: a record is never skipped. The cause may be codec.ErrUnknownType.
func (v *Views) Apply(ctx context.Context, records []eventstore.Record) error {
	v.turn.Lock()
	defer v.turn.Unlock()
	if v.closed {
		return fmt.Errorf("apply to views: %w", eventstore.ErrClosed)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	err := v.apply(ctx, records)
	if err != nil {
		err = fmt.Errorf("apply to views: %w", err)
		v.progress.fail(err)
		return err
	}
	v.progress.set(v.write.at)
	return nil
}

func (v *Views) apply(ctx context.Context, records []eventstore.Record) error {
	records, err := v.write.fresh(records)
	if err != nil {
		return err
	}
	entries, err := decodeAll(v.options.Codec, records)
	if err != nil {
		return err
	}
	return v.write.apply(ctx, entries)
}

// Scrub brings what an erasure left in the write-ahead log to an end: the log is
// moved into the file, where what was deleted is overwritten, and emptied. It
// waits a few seconds for queries under way; after an error, do it again.
func (v *Views) Scrub(ctx context.Context) error {
	err := v.change(ctx, func(q *sql.Conn) error {
		var busy, pages, moved int
		if err := q.QueryRowContext(ctx, sqlTruncateLog).Scan(&busy, &pages, &moved); err != nil {
			return err
		}
		if busy != 0 {
			return errors.New("a query holds on to old pages; try again")
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("scrub views: %w", err)
	}
	return nil
}

const sqlTruncateLog = `PRAGMA wal_checkpoint(TRUNCATE)`

// change lets do use the writing connection between two batches.
func (v *Views) change(ctx context.Context, do func(*sql.Conn) error) error {
	v.turn.Lock()
	defer v.turn.Unlock()
	if v.closed {
		return eventstore.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return do(v.write.conn)
}

// snapshot lets read see one state of all tables.
func (v *Views) snapshot(ctx context.Context, read func(queryer) error) error {
	tx, err := v.read.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // ends a transaction that wrote nothing
	return read(tx)
}
