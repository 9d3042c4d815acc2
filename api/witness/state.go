package witness

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	_ "github.com/mattn/go-sqlite3" // the driver of witness.db

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/merkle"
)

// Files of a witness's directory.
const (
	stateFile = "witness.db"
	stateLock = "witness.lock"
)

const stateSchema = `CREATE TABLE IF NOT EXISTS logs (
	origin TEXT PRIMARY KEY,
	size   INTEGER NOT NULL,
	root   BLOB NOT NULL CHECK (length(root) = 32),
	signed BLOB NOT NULL,
	at     INTEGER NOT NULL
) STRICT;
CREATE TRIGGER IF NOT EXISTS logs_never_shrink BEFORE UPDATE ON logs
WHEN NEW.size < OLD.size OR (NEW.size = OLD.size AND NEW.root IS NOT OLD.root)
BEGIN SELECT RAISE(ABORT, 'a witness never goes back'); END;
CREATE TRIGGER IF NOT EXISTS logs_are_never_forgotten BEFORE DELETE ON logs
BEGIN SELECT RAISE(ABORT, 'a witness never forgets'); END;
CREATE TABLE IF NOT EXISTS refused (
	n      INTEGER PRIMARY KEY AUTOINCREMENT,
	origin TEXT NOT NULL,
	at     INTEGER NOT NULL,
	status INTEGER NOT NULL,
	reason TEXT NOT NULL,
	body   BLOB NOT NULL,
	size   INTEGER NOT NULL,
	root   BLOB NOT NULL CHECK (length(root) = 32),
	proven INTEGER NOT NULL,
	UNIQUE (origin, proven, size, root)
) STRICT`

const (
	sqlLog     = `SELECT size, root, signed, at FROM logs WHERE origin = ?`
	sqlAdvance = `INSERT INTO logs (origin, size, root, signed, at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (origin) DO UPDATE SET size = excluded.size, root = excluded.root, signed = excluded.signed, at = excluded.at`
	// A checkpoint is kept once, however often it is sent, and contradictions stop
	// being added rather than push others out.
	sqlRefuse = `INSERT INTO refused (origin, at, status, reason, body, size, root, proven)
SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8
WHERE NOT ?8 OR (SELECT count(*) FROM refused WHERE origin = ?1 AND proven) < ?9 ON CONFLICT DO NOTHING`
	sqlForgetOld = `DELETE FROM refused WHERE origin = ?1 AND NOT proven AND n NOT IN
(SELECT n FROM refused WHERE origin = ?1 AND NOT proven ORDER BY n DESC LIMIT ?2)`
	sqlRefusals    = `SELECT origin, at, status, reason, body, size, root, proven FROM refused ORDER BY proven DESC, n DESC LIMIT ?`
	keptRefusals   = 1000 // of each log, with proof and without
	stateParams    = "_journal_mode=WAL&_synchronous=FULL&_txlock=immediate&_busy_timeout=5000"
	sqlSynchronous = `PRAGMA synchronous`
)

// state is what a witness must never lose: with an older copy of it, it would
// sign a history that contradicts one it has signed.
type state struct {
	lock *os.File
	db   *sql.DB
}

// seen is the newest checkpoint cosigned of one log.
type seen struct {
	checkpoint merkle.Checkpoint
	signed     []byte
	at         time.Time
}

// openState takes the directory for this process and creates the file at the
// first start.
func openState(ctx context.Context, dir string) (s *state, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the witness's directory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, stateLock), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the witness's directory: %w", err)
	}
	s = &state{lock: lock}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return s, fmt.Errorf("lock %s: %w: another witness uses this directory", dir, err)
	}
	name := url.URL{Scheme: "file", Path: filepath.Join(dir, stateFile), RawQuery: stateParams}
	if s.db, err = sql.Open("sqlite3", name.String()); err != nil {
		return s, fmt.Errorf("open %s: %w", stateFile, err)
	}
	s.db.SetMaxOpenConns(1) // one checkpoint at a time: what is compared is what is replaced
	var synchronous int
	if err := s.db.QueryRowContext(ctx, sqlSynchronous).Scan(&synchronous); err != nil || synchronous != 2 {
		return s, errors.Join(fmt.Errorf("open %s: PRAGMA synchronous is %d, want 2 (FULL)", stateFile, synchronous), err)
	}
	if _, err := s.db.ExecContext(ctx, stateSchema); err != nil {
		return s, fmt.Errorf("open %s: %w", stateFile, err)
	}
	return s, os.Chmod(filepath.Join(dir, stateFile), 0o600)
}

func (s *state) close() error {
	var errs []error
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	return errors.Join(append(errs, s.lock.Close())...)
}

// newest is the newest checkpoint cosigned; ok is false for a log not seen yet.
func (s *state) newest(ctx context.Context, origin string) (seen, bool, error) {
	return newestIn(ctx, s.db, origin)
}

type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func newestIn(ctx context.Context, q querier, origin string) (seen, bool, error) {
	var size, at int64
	var root, signed []byte
	err := q.QueryRowContext(ctx, sqlLog, origin).Scan(&size, &root, &signed, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return seen{}, false, nil
	}
	if err != nil {
		return seen{}, false, fmt.Errorf("read what was cosigned of %s: %w", origin, err)
	}
	c := merkle.Checkpoint{Origin: origin, Size: uint64(size), Root: eventstore.Hash(root)}
	return seen{checkpoint: c, signed: signed, at: time.Unix(at, 0).UTC()}, true, nil
}

// advance replaces the newest checkpoint of a log by what decide makes of it,
// durably, or leaves it when decide refuses.
func (s *state) advance(ctx context.Context, origin string, decide func(last seen) (seen, error)) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("advance %s: %w", origin, err)
	}
	defer func() { _ = tx.Rollback() }() // reports only that the commit succeeded
	last, ok, err := newestIn(ctx, tx, origin)
	if err != nil {
		return err
	}
	if !ok {
		last.checkpoint = merkle.Checkpoint{Origin: origin, Root: merkle.EmptyRoot()}
	}
	next, err := decide(last)
	if err != nil {
		return err
	}
	c := next.checkpoint
	if _, err := tx.ExecContext(ctx, sqlAdvance, origin, int64(c.Size), c.Root[:], next.signed, next.at.Unix()); err != nil {
		return fmt.Errorf("advance %s to size %d: %w", origin, c.Size, err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("advance %s to size %d: %w", origin, c.Size, err)
	}
	return nil
}

// Refusal is a request a witness did not cosign although the log's key had
// signed it: evidence, or a hint, of a log that shows two histories or lost one.
type Refusal struct {
	Origin string
	// Checkpoint is the one that was refused.
	Checkpoint merkle.Checkpoint
	// Proven says that the log's key signed another root for a size this witness
	// had cosigned. Only who holds that key can cause it. Anything else can be an
	// honest checkpoint that a stranger sent late, or with a proof of nothing.
	Proven bool
	At     time.Time
	Status int // HTTP status of the answer
	Reason string
	Body   []byte // the request
}

// refuse keeps a refusal. Of those that prove nothing the oldest of more than a
// thousand are forgotten; of those that do, the first thousand stay, so that
// nobody can push out what convicts them.
func (s *state) refuse(ctx context.Context, r Refusal) error {
	c := r.Checkpoint
	if _, err := s.db.ExecContext(ctx, sqlRefuse, r.Origin, r.At.Unix(), r.Status, r.Reason, r.Body,
		int64(c.Size), c.Root[:], r.Proven, keptRefusals); err != nil {
		return fmt.Errorf("keep a refused checkpoint of %s: %w", r.Origin, err)
	}
	if r.Proven {
		return nil
	}
	if _, err := s.db.ExecContext(ctx, sqlForgetOld, r.Origin, keptRefusals); err != nil {
		return fmt.Errorf("forget old refusals: %w", err)
	}
	return nil
}

func (s *state) refusals(ctx context.Context, limit int) ([]Refusal, error) {
	rows, err := s.db.QueryContext(ctx, sqlRefusals, limit)
	if err != nil {
		return nil, fmt.Errorf("list refusals: %w", err)
	}
	defer rows.Close()
	var out []Refusal
	for rows.Next() {
		var r Refusal
		var at, size int64
		var root []byte
		if err := rows.Scan(&r.Origin, &at, &r.Status, &r.Reason, &r.Body, &size, &root, &r.Proven); err != nil {
			return nil, fmt.Errorf("list refusals: %w", err)
		}
		r.At = time.Unix(at, 0).UTC()
		r.Checkpoint = merkle.Checkpoint{Origin: r.Origin, Size: uint64(size), Root: eventstore.Hash(root)}
		out = append(out, r)
	}
	return out, rows.Err()
}
