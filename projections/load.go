package projections

import (
	"context"
	"errors"
	"fmt"

	"github.com/authledger/authledger/eventstore"
)

// load builds one shadow file. It belongs to one goroutine; another decodes.
type load struct {
	Options

	path     string
	log      eventstore.Reader
	total    eventstore.Sequence
	write    *writer
	progress Progress
}

// loadBatch is how many records share a transaction, and at most four times
// as many are decoded and not applied yet.
const loadBatch = 5000

func newLoad(ctx context.Context, o Options, path string, log eventstore.Reader, progress Progress) (*load, error) {
	head, _, err := log.Head(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the log's head: %w", err)
	}
	if err := removeViews(path); err != nil {
		return nil, err
	}
	db, conn, err := openWriterFile(ctx, path, paramsLoad, true)
	if err != nil {
		return nil, err
	}
	w, err := newWriter(ctx, db, conn, o.models(true))
	if err != nil {
		return nil, errors.Join(err, conn.Close(), db.Close())
	}
	if progress == nil {
		progress = func(uint64, uint64) {}
	}
	return &load{Options: o, path: path, log: log, total: head, write: w, progress: progress}, nil
}

// run loads everything and fills in the new side of the comparison. The first
// part, up to where the old views stand, is loaded in bulk; if records follow
// it, they are applied to the finished file.
func (l *load) run(ctx context.Context, r *Report) error {
	bulk := l.total
	if r.Compared {
		bulk = min(bulk, r.ComparedAt)
	}
	if err := l.upTo(ctx, bulk); err != nil {
		return err
	}
	if err := l.finish(ctx); err != nil {
		return err
	}
	if r.Compared {
		var err error
		if r.RebuiltHash, _, err = hashViews(ctx, l.write.conn); err != nil {
			return err
		}
	}
	if bulk == l.total {
		return nil
	}
	return l.rest(ctx)
}

// decoded is one batch on its way from the decoding goroutine.
type decoded struct {
	entries []entry
	err     error // the last batch's
}

// upTo applies the log's records up to and including last. Records are read
// and decoded by a goroutine of its own while the batch before is applied; it
// has ended when upTo returns.
func (l *load) upTo(ctx context.Context, last eventstore.Sequence) error {
	reading, stop := context.WithCancel(ctx)
	batches := make(chan decoded, 2)
	go func() {
		defer close(batches)
		l.decode(reading, last, batches)
	}()
	var failed error
	for b := range batches { // to the end also after a failure, so that the goroutine is gone
		if failed == nil {
			failed = b.err
		}
		if failed == nil {
			failed = l.write.apply(ctx, b.entries)
		}
		if failed != nil {
			stop()
			continue
		}
		l.progress(uint64(l.write.at.seq), uint64(l.total))
	}
	stop()
	if failed == nil && l.write.at.seq != last {
		failed = fmt.Errorf("%w: the log ends at %d, want %d", ErrGap, l.write.at.seq, last)
	}
	return failed
}

// decode sends the batches that follow the checkpoint. It stops early when ctx
// ends.
func (l *load) decode(ctx context.Context, last eventstore.Sequence, out chan<- decoded) {
	next := l.write.at.seq + 1 // read before the first batch is sent, hence before it is applied
	send := func(d decoded) bool {
		select {
		case out <- d:
			return d.err == nil
		case <-ctx.Done():
			return false
		}
	}
	batch := make([]entry, 0, loadBatch)
	for r, err := range l.log.ReadAll(ctx, next) {
		if err == nil && r.Sequence > last {
			break
		}
		if err == nil && r.Sequence != next {
			err = fmt.Errorf("%w: want record %d, got %d", ErrGap, next, r.Sequence)
		}
		var e entry
		if err == nil {
			e, err = decodeOne(l.Codec, r)
		}
		if err != nil {
			send(decoded{err: err})
			return
		}
		next++
		if batch = append(batch, e); len(batch) == loadBatch {
			if !send(decoded{entries: batch}) {
				return
			}
			batch = make([]entry, 0, loadBatch)
		}
	}
	if len(batch) > 0 {
		send(decoded{entries: batch})
	}
}

// finish sorts what was collected and builds the indexes; from then on the
// file is like one that grew record by record.
func (l *load) finish(ctx context.Context) error {
	for _, s := range append(schemaIndexed(), sqlSortTimeline, sqlDropTimelineLoad, setVersion()) {
		if _, err := l.write.conn.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("finish views: %w", err)
		}
	}
	return nil
}

// rest applies what follows to a finished file.
func (l *load) rest(ctx context.Context) error {
	if err := l.write.closeStatements(); err != nil {
		return err
	}
	w, err := newWriter(ctx, l.write.db, l.write.conn, l.models(false))
	if err != nil {
		return err
	}
	l.write = w
	return l.upTo(ctx, l.total)
}

func (l *load) close() error { return l.write.close() }
