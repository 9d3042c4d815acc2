package sqlitestore

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/authledger/authledger/eventstore"
)

// writerOptions: FULL, because the driver's default in WAL mode loses
// acknowledged commits with the power.
const writerOptions = "_journal_mode=WAL&_synchronous=FULL&_txlock=immediate&_busy_timeout=5000&_foreign_keys=1&_recursive_triggers=1&_mutex=no&_cache_size=-32768"

// verified is the number of newest records whose hashes are recomputed at each
// start. Earlier ones are the business of a whole verification.
const verified = 4096

const sqlReadRunning = `SELECT ` + columns + `, r.running FROM records r WHERE r.sequence > ? AND r.sequence <= ? ORDER BY r.sequence LIMIT ?`

// begun is a log that was found sound, and what the writer needs to go on.
type begun struct {
	conn     *conn
	anchor   *anchor
	anchored eventstore.Sequence // the anchor before it was moved forward
	tail     *tail
	imported imported
	newest   time.Time // of all records
	origin   [16]byte  // the ledger's own random name
}

func (b *begun) close() error {
	if b.anchor == nil {
		return b.conn.close()
	}
	return errors.Join(b.anchor.close(), b.conn.close())
}

// begin opens the ledger for writing. Every start takes this way, after a
// crash or not. options are added to the writer's, for tests.
func begin(dir, options string) (_ *begun, err error) {
	at, origin, slot, anchorErr := readAnchor(dir)
	missing := errors.Is(anchorErr, fs.ErrNotExist)
	if anchorErr != nil && !missing {
		return nil, refuse(ReasonIO, anchorErr)
	}
	if _, err := os.Stat(filepath.Join(dir, ledgerFile)); errors.Is(err, fs.ErrNotExist) && !missing {
		return nil, refusef(ReasonLedgerMissing, "%s names sequence %d, but there is no %s", anchorFile, at.sequence, ledgerFile)
	}
	c, err := open(filepath.Join(dir, ledgerFile), writerOptions+options,
		"PRAGMA wal_autocheckpoint = 4000", "PRAGMA journal_size_limit = 67108864", "PRAGMA trusted_schema = OFF", "PRAGMA cell_size_check = ON")
	if err != nil {
		return nil, refuse(startReason(err), err)
	}
	b := &begun{conn: c, anchored: at.sequence, tail: newTail()}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	if err := checkMode(c); err != nil {
		return nil, err
	}
	if err := migrate(c); err != nil {
		return nil, err
	}
	if err := syncDir(dir); err != nil {
		return nil, refuse(ReasonIO, err)
	}
	own, err := readOrigin(c)
	if err != nil {
		return nil, err
	}
	b.origin = own
	if !missing && own != origin {
		return nil, refusef(ReasonLedgerMismatch, "%s belongs to another ledger", anchorFile)
	}
	if err := b.load(at); err != nil {
		return nil, err
	}
	if missing {
		if b.tail.head.sequence > 0 {
			return nil, refusef(ReasonAnchorMissing, "%d records, but no %s", b.tail.head.sequence, anchorFile)
		}
		if err := createAnchor(dir, own, mark{}); err != nil {
			return nil, refuse(ReasonIO, err)
		}
		slot = 1
	}
	if b.anchor, err = openAnchor(dir, own, slot); err != nil {
		return nil, refuse(ReasonIO, err)
	}
	if b.tail.head.sequence > at.sequence {
		// A crash between commit and anchor: nobody was told, nothing is wrong.
		return b, refuse(ReasonIO, b.anchor.write(b.tail.head))
	}
	return b, nil
}

// checkMode reads back what durability stands on.
func checkMode(c *conn) error {
	synchronous, err := c.integer("PRAGMA synchronous")
	if err != nil {
		return refuse(startReason(err), err)
	}
	if synchronous != 2 {
		return refusef(ReasonSynchronousNotFull, "PRAGMA synchronous is %d, want 2 (FULL)", synchronous)
	}
	mode := ""
	err = c.query("PRAGMA journal_mode", 1, func(row []driver.Value) (bool, error) {
		mode, _ = row[0].(string)
		return false, nil
	})
	if err != nil || mode != "wal" {
		return refuse(ReasonDataDirUnsupported, errors.Join(fmt.Errorf("journal mode is %q, want wal", mode), err))
	}
	return nil
}

func readOrigin(c *conn) (origin [16]byte, err error) {
	found := false
	err = c.query("SELECT id FROM origin", 1, func(row []driver.Value) (bool, error) {
		var b []byte
		b, found = row[0].([]byte)
		copy(origin[:], b)
		return false, nil
	})
	if err == nil && !found {
		err = errors.New("the ledger has no origin")
	}
	return origin, refuse(startReasonOr(ReasonLedgerCorrupt, err), err)
}

// load reads the end of the log: what the tables do not index, what the anchor
// does not name, and the newest records in any case. It recomputes the running
// hash over all of them and compares it at the anchor.
func (b *begun) load(at mark) error {
	head, err := b.conn.integer("SELECT coalesce(max(sequence), 0) FROM records")
	if err != nil {
		return refuse(startReason(err), err)
	}
	indexed, err := b.conn.integer("SELECT upto FROM indexed")
	if err != nil {
		return refuse(startReason(err), err)
	}
	if uint64(at.sequence) > uint64(head) {
		return refusef(ReasonLedgerBehindAnchor, "the log ends at sequence %d, acknowledged were %d", head, at.sequence)
	}
	if indexed > head {
		return refusef(ReasonLedgerCorrupt, "the log ends at sequence %d, but %d are indexed", head, indexed)
	}
	b.tail.indexed = eventstore.Sequence(indexed)
	if b.imported, err = readImported(b.conn); err != nil {
		return refuse(startReasonOr(ReasonLedgerCorrupt, err), err)
	}
	b.tail.declare(b.imported.order.Disorder)
	from, err := b.base(min(indexed, int64(at.sequence), max(head-verified, 0)))
	if err != nil {
		return err
	}
	err = b.verify(from, eventstore.Sequence(head), at)
	if err == nil {
		err = b.imported.end(eventstore.Sequence(head), &b.newest)
	}
	return refuse(startReasonOr(ReasonLedgerCorrupt, err), err)
}

// base is the mark a verification starts from.
func (b *begun) base(n int64) (mark, error) {
	m := mark{sequence: eventstore.Sequence(n)}
	if n == 0 {
		return m, nil
	}
	found := false
	err := b.conn.query("SELECT running FROM records WHERE sequence = ?", 1, func(row []driver.Value) (bool, error) {
		found = setHash(&m.running, row[0])
		return false, nil
	}, n)
	if err == nil && !found {
		err = fmt.Errorf("record %d has no running hash", n)
	}
	return m, refuse(startReasonOr(ReasonLedgerCorrupt, err), err)
}

func (b *begun) verify(from mark, head eventstore.Sequence, at mark) error {
	if from.sequence == at.sequence && from.running != at.running {
		return differs(at)
	}
	var records []eventstore.Record
	err := b.conn.query(sqlReadRunning, 10, func(row []driver.Value) (bool, error) {
		r, err := scan(row)
		if err != nil {
			return false, err
		}
		if err := b.extend(&from, r, row[9]); err != nil {
			return false, err
		}
		if from.sequence == at.sequence && from.running != at.running {
			return false, differs(at)
		}
		if r.Sequence > b.tail.indexed {
			r.Data, r.Metadata = nil, nil
			records = append(records, r)
		}
		return true, nil
	}, int64(from.sequence), int64(head), int64(head))
	if err == nil && from.sequence != head {
		err = fmt.Errorf("record %d is missing", from.sequence+1)
	}
	if err == nil {
		b.tail.publish(records, from)
	}
	return err
}

func differs(at mark) error {
	return refusef(ReasonLedgerMismatch, "the log's hash at sequence %d is not the one acknowledged", at.sequence)
}

// extend checks that r follows the mark and moves it there.
func (b *begun) extend(m *mark, r eventstore.Record, stored driver.Value) error {
	if r.Sequence != m.sequence+1 {
		return fmt.Errorf("record %d is missing", m.sequence+1)
	}
	if err := b.imported.pass(r, &b.newest); err != nil {
		return err
	}
	*m = m.next(r.Leaf())
	var want eventstore.Hash
	if !setHash(&want, stored) || want != m.running {
		return fmt.Errorf("record %d does not have the hash it was written with", r.Sequence)
	}
	return nil
}

// next is the mark after one more record.
func (m mark) next(leaf eventstore.Hash) mark {
	n := eventstore.Mark{Sequence: m.sequence, Running: m.running}.Next(leaf)
	return mark{sequence: n.Sequence, running: n.Running}
}

func setHash(h *eventstore.Hash, column driver.Value) bool {
	b, ok := column.([]byte)
	return ok && copy(h[:], b) == len(h) && len(b) == len(h)
}
