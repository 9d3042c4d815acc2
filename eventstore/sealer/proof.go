package sealer

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/merkle"
)

// proofFile is the name in the data directory. SQLite adds -wal and -shm.
const proofFile = "proof.db"

const (
	// FULL, because a checkpoint that a witness has seen must not be forgotten.
	writerParams = "mode=rw&_journal_mode=WAL&_synchronous=FULL&_txlock=immediate&_busy_timeout=5000&_recursive_triggers=1&_mutex=no&_stmt_cache_size=16"
	readerParams = "&_query_only=1&_busy_timeout=5000&_mutex=no&_stmt_cache_size=16"
	readers      = 4
)

const (
	sqlNewest         = `SELECT coalesce(max(revision), 0) FROM checkpoints`
	sqlAddOrigin      = `INSERT INTO origin (only_row, name) VALUES (1, ?)`
	sqlAddEpoch       = `INSERT INTO epochs (epoch, from_size, public) VALUES (?, ?, ?)`
	sqlAddCheckpoint  = `INSERT INTO checkpoints (revision, size, root, signed, signed_at) VALUES (?, ?, ?, ?, ?)`
	sqlPutTile        = `INSERT INTO tiles (level, n, data) VALUES (?, ?, ?) ON CONFLICT (level, n) DO UPDATE SET data = excluded.data`
	sqlAddCosignature = `INSERT INTO cosignatures (revision, line) SELECT revision, ?2 FROM checkpoints WHERE revision = ?1 ON CONFLICT DO NOTHING`
	sqlAddStamp       = `INSERT INTO stamps (revision, authority, token) SELECT revision, ?2, ?3 FROM checkpoints WHERE revision = ?1 ON CONFLICT DO NOTHING`
	sqlIsPublished    = `SELECT EXISTS (SELECT 1 FROM checkpoints WHERE revision = ?)`
)

// proof is the Store in proof.db. SQLite lets one transaction write at a time.
type proof struct {
	history
	write   *sql.DB // one connection
	faults  faults
	closing sync.Once
	closed  error // set in closing
}

// faults are what tests let go wrong.
type faults struct {
	commit func() error // called before a publication is committed
}

var _ Store = (*proof)(nil)

// openProof opens proof.db, makes it when it is missing, and proves settings and
// schema. On error nothing stays open.
func openProof(ctx context.Context, dir string, v version) (p *proof, err error) {
	path := filepath.Join(dir, proofFile)
	if err := ensureFile(dir, path); err != nil {
		return nil, err
	}
	p = &proof{write: openPool(path, writerParams, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
		}
	}()
	for _, want := range []struct{ pragma, value string }{{"journal_mode", "wal"}, {"synchronous", "2"}} {
		var got string
		if err := p.write.QueryRowContext(ctx, "PRAGMA "+want.pragma).Scan(&got); err != nil {
			return p, refuse(fileReason(err), err)
		}
		if got != want.value {
			return p, refusef(ProofSettings, "%s is %s, want %s", want.pragma, got, want.value)
		}
	}
	if err := makeSchema(ctx, p.write, v); err != nil {
		return p, err
	}
	if err := checkSchema(ctx, p.write, v); err != nil {
		return p, err
	}
	p.read = openPool(path, "mode=ro"+readerParams, readers)
	return p, nil
}

// ensureFile checks the file and makes an empty one at the first start.
func ensureFile(dir, path string) error {
	info, err := os.Lstat(path)
	switch {
	case err == nil && (!info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0):
		return refusef(ProofPermissions, "%s has mode %v, want a regular file of 0600", path, info.Mode())
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return refuse(ProofIO, err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return refuse(ProofIO, err)
	}
	return refuse(ProofIO, errors.Join(f.Close(), syncDir(dir)))
}

// syncDir makes the names of files in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// removeProof removes what is left of a history without a checkpoint.
func removeProof(dir string) error {
	var errs []error
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(filepath.Join(dir, proofFile+suffix)); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return refuse(ProofIO, errors.Join(append(errs, syncDir(dir))...))
}

// do runs a transaction that writes.
func (p *proof) do(ctx context.Context, doing string, use func(tx *sql.Tx) error) error {
	tx, err := p.write.BeginTx(ctx, nil)
	if err != nil {
		return storage(doing, err)
	}
	defer func() { _ = tx.Rollback() }() // does nothing after Commit
	if err := use(tx); err != nil {
		return storage(doing, err)
	}
	return storage(doing, tx.Commit())
}

// Begin implements Store.
func (p *proof) Begin(ctx context.Context, k merkle.Keys) (kept merkle.Keys, err error) {
	err = p.do(ctx, "name the log", func(tx *sql.Tx) error {
		if kept, err = readKeys(ctx, tx); !errors.Is(err, eventstore.ErrNotFound) {
			return err
		}
		if _, err := tx.ExecContext(ctx, sqlAddOrigin, k.Origin); err != nil {
			return err
		}
		for _, e := range k.Epochs {
			if err := addEpoch(ctx, tx, e); err != nil {
				return err
			}
		}
		kept = k
		return nil
	})
	return kept, err
}

func addEpoch(ctx context.Context, tx *sql.Tx, e merkle.Epoch) error {
	_, err := tx.ExecContext(ctx, sqlAddEpoch, e.Number, int64(e.FromSize), []byte(e.Public))
	return err
}

// expect returns ErrTaken unless the newest checkpoint has this revision.
func expect(ctx context.Context, tx *sql.Tx, revision uint64) error {
	var newest uint64
	if err := tx.QueryRowContext(ctx, sqlNewest).Scan(&newest); err != nil {
		return err
	}
	if newest != revision {
		return fmt.Errorf("%w: the newest is %d, want %d", ErrTaken, newest, revision)
	}
	return nil
}

func putTiles(ctx context.Context, tx *sql.Tx, tiles []merkle.Tile) error {
	for _, t := range tiles {
		if _, err := tx.ExecContext(ctx, sqlPutTile, t.Level, t.N, t.Data); err != nil {
			return fmt.Errorf("tile %d of level %d: %w", t.N, t.Level, err)
		}
	}
	return nil
}

// Fill implements Store.
func (p *proof) Fill(ctx context.Context, tiles []merkle.Tile) error {
	return p.do(ctx, "keep tiles", func(tx *sql.Tx) error {
		if err := expect(ctx, tx, 0); err != nil {
			return err
		}
		return putTiles(ctx, tx, tiles)
	})
}

// Publish implements Store.
func (p *proof) Publish(ctx context.Context, n Publication) error {
	return p.publishAll(ctx, []Publication{n})
}

// publishAll implements batcher.
func (p *proof) publishAll(ctx context.Context, all []Publication) error {
	return p.keep(ctx, all, func() error { return nil })
}

// keep keeps publications that follow each other, all or none. decide is asked
// when all of them stand and nothing is committed: its error undoes them.
func (p *proof) keep(ctx context.Context, all []Publication, decide func() error) error {
	return p.do(ctx, fmt.Sprintf("publish checkpoint %d", all[0].Revision), func(tx *sql.Tx) error {
		if err := expect(ctx, tx, all[0].Revision-1); err != nil {
			return err
		}
		for _, n := range all {
			if err := addPublication(ctx, tx, n); err != nil {
				return err
			}
		}
		err := decide()
		if err == nil && p.faults.commit != nil {
			err = p.faults.commit()
		}
		return err
	})
}

func addPublication(ctx context.Context, tx *sql.Tx, n Publication) error {
	if err := putTiles(ctx, tx, n.Tiles); err != nil {
		return err
	}
	if n.Epoch != nil {
		if err := addEpoch(ctx, tx, *n.Epoch); err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, sqlAddCheckpoint, int64(n.Revision), int64(n.Checkpoint.Size), n.Checkpoint.Root[:], n.Signed, n.At.UnixMicro())
	return err
}

// AddCosignature implements Store.
func (p *proof) AddCosignature(ctx context.Context, revision uint64, line string) error {
	if err := checkLine(line); err != nil {
		return fmt.Errorf("add cosignature to checkpoint %d: %w", revision, err)
	}
	return p.add(ctx, "add cosignature", sqlAddCosignature, revision, line)
}

// AddStamp implements Store.
func (p *proof) AddStamp(ctx context.Context, revision uint64, s merkle.Stamp) error {
	return p.add(ctx, "add time stamp", sqlAddStamp, revision, s.Authority, s.Token)
}

// Stamped implements Store.
func (p *proof) Stamped(ctx context.Context) (merkle.Published, error) {
	return p.one(ctx, "read the newest stamped checkpoint", sqlStamped)
}

func (p *proof) add(ctx context.Context, doing, statement string, revision uint64, what ...any) error {
	return p.do(ctx, fmt.Sprintf("%s to checkpoint %d", doing, revision), func(tx *sql.Tx) error {
		var published bool
		if err := tx.QueryRowContext(ctx, sqlIsPublished, int64(revision)).Scan(&published); err != nil {
			return err
		}
		if !published {
			return eventstore.ErrNotFound
		}
		_, err := tx.ExecContext(ctx, statement, append([]any{int64(revision)}, what...)...)
		return err
	})
}

// sayAll implements sayer.
func (p *proof) sayAll(ctx context.Context, all []saying) error {
	return p.do(ctx, "keep what others say of checkpoints", func(tx *sql.Tx) error { return addSayings(ctx, tx, all) })
}

func addSayings(ctx context.Context, tx *sql.Tx, all []saying) error {
	for _, o := range all {
		var err error
		if o.Line != "" {
			_, err = tx.ExecContext(ctx, sqlAddCosignature, int64(o.Revision), o.Line)
		} else {
			_, err = tx.ExecContext(ctx, sqlAddStamp, int64(o.Revision), o.Authority, o.Token)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Close implements Store. Closing twice returns the first result.
func (p *proof) Close() error {
	p.closing.Do(func() {
		if p.read != nil { // readers first: the last connection to close empties the write-ahead log
			p.closed = p.read.Close()
		}
		p.closed = errors.Join(p.closed, p.write.Close())
	})
	return p.closed
}

// Reader reads proof.db beside a running server or without one. It writes
// nothing.
type Reader struct{ history }

// OpenReader opens the proof of a data directory for reading. A directory that
// cannot be written and has no write-ahead log is read as it stands. Its errors
// are *StartError.
func OpenReader(dir string) (*Reader, error) {
	r, err := openReader(dir, "mode=ro")
	if err == nil {
		return r, nil
	}
	if _, statErr := os.Stat(filepath.Join(dir, proofFile+"-wal")); errors.Is(statErr, fs.ErrNotExist) {
		return openReader(dir, "immutable=1&mode=ro")
	}
	return nil, err
}

func openReader(dir, params string) (*Reader, error) {
	path := filepath.Join(dir, proofFile)
	if _, err := os.Stat(path); err != nil {
		return nil, refuse(ProofMissing, err)
	}
	r := &Reader{history{read: openPool(path, params+readerParams, 2)}}
	if err := checkReadable(context.Background(), r.read); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// Close gives the file back.
func (r *Reader) Close() error { return r.read.Close() }
