package sqlitestore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/authledger/authledger/eventstore"
)

// Reader reads a data directory beside a running server or without one. It
// takes no lock and writes nothing. Each call sees the log as it is then.
type Reader struct {
	*log
	dir     string
	closing sync.Once
	closed  error // set in closing
	version int64 // of the schema

	mu sync.Mutex // one refresh at a time
}

var _ eventstore.Reader = (*Reader)(nil)

// OpenReader opens the ledger in dir for reading. It checks the schema but not
// the anchor: see CheckAnchor. A directory that cannot be written and has no
// write-ahead log is read as it stands, which is right for a copy that nobody
// changes. Its errors are *StartError.
func OpenReader(dir string) (*Reader, error) {
	r, err := openReader(dir, "mode=ro")
	if err != nil && standsAlone(dir) {
		r, err = openReader(dir, "immutable=1&mode=ro")
	}
	if err != nil {
		return nil, inDir(dir, err)
	}
	return r, nil
}

func standsAlone(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, ledgerFile+"-wal"))
	return errors.Is(err, fs.ErrNotExist)
}

func openReader(dir, options string) (*Reader, error) {
	if err := checkFiles(dir); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(dir, ledgerFile)); err != nil {
		return nil, refuse(ReasonLedgerMissing, err)
	}
	c, err := open(filepath.Join(dir, ledgerFile), options+"&_query_only=1&_busy_timeout=5000")
	if err != nil {
		return nil, err
	}
	version, err := c.integer("PRAGMA user_version")
	switch {
	case err == nil && version > int64(len(migrations)):
		err = refusef(ReasonSchemaNewer, "schema version %d, this program knows %d", version, len(migrations))
	case err == nil && version < versionReadable:
		err = refusef(ReasonSchemaUnknown, "schema version %d; the server migrates it when it starts", version)
	case err == nil:
		err = checkSchema(c, int(version))
	}
	if err = errors.Join(err, c.close()); err != nil {
		return nil, err
	}
	r := &Reader{dir: dir, version: version}
	if r.log, err = newLog(dir, options, 2, newTail()); err != nil {
		return nil, err
	}
	r.refresh = r.catchUp
	if err := r.with(context.Background(), r.lookImported); err != nil {
		return nil, errors.Join(refuse(startReasonOr(ReasonLedgerCorrupt, err), err), r.log.close())
	}
	return r, nil
}

// lookImported learns how far time goes back in the log.
func (r *Reader) lookImported(c *readConn) error {
	if r.version < versionImported {
		return nil // nothing was
	}
	i, err := readImported(c.conn)
	if err == nil {
		r.tail.declare(i.order.Disorder)
	}
	return err
}

// catchUp brings the tail to what the file holds now. What the writer has
// indexed meanwhile is forgotten, so the tail stays as small as the writer's.
func (r *Reader) catchUp(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.with(ctx, func(c *readConn) error {
		if err := r.lookImported(c); err != nil {
			return err
		}
		upto, err := c.integer("SELECT upto FROM indexed")
		if err != nil {
			return err
		}
		indexed := eventstore.Sequence(upto)
		if indexed == r.tail.indexed {
			return c.after(r.tail.head.sequence, func(page []eventstore.Record) {
				r.tail.publish(page, mark{sequence: page[len(page)-1].Sequence})
			})
		}
		fresh := newGeneration()
		fresh.last = indexed
		if err := c.after(indexed, fresh.addAll); err != nil {
			return err
		}
		r.tail.replace(indexed, fresh)
		return nil
	})
}

// CheckAnchor compares the log with its anchor as a start does, without
// recomputing hashes: the log must reach as far as what was acknowledged, with
// the same running hash there. A running server may move on meanwhile.
func (r *Reader) CheckAnchor(ctx context.Context) error {
	at, _, _, err := readAnchor(r.dir) // before the log, which is never behind it
	if errors.Is(err, fs.ErrNotExist) {
		return inDir(r.dir, refuse(ReasonAnchorMissing, err))
	}
	if err != nil {
		return inDir(r.dir, refuse(ReasonIO, err))
	}
	head, _, err := r.Head(ctx)
	if err != nil {
		return err
	}
	if head < at.sequence {
		return inDir(r.dir, refusef(ReasonLedgerBehindAnchor, "the log ends at sequence %d, acknowledged were %d", head, at.sequence))
	}
	var m mark
	err = r.with(ctx, func(c *readConn) (err error) {
		b := begun{conn: c.conn}
		m, err = b.base(int64(at.sequence))
		return err
	})
	if err != nil {
		return err
	}
	if m.running != at.running {
		return inDir(r.dir, differs(at))
	}
	return nil
}

// Close gives the files back. Closing twice returns the first result.
func (r *Reader) Close() error {
	r.closing.Do(func() {
		if err := r.log.close(); err != nil {
			r.closed = fmt.Errorf("close event store reader: %w", unavailable(err))
		}
	})
	return r.closed
}
