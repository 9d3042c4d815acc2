package projections

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/authledger/authledger/eventstore"
)

// Report says what a rebuild came to.
type Report struct {
	Sequence eventstore.Sequence // of the last record in the new views
	Swapped  bool                // the new views replaced the old

	// The rest is set when a comparison was made.
	Compared    bool
	ComparedAt  eventstore.Sequence // where the old views stood
	OldHash     eventstore.Hash     // of the old views there
	RebuiltHash eventstore.Hash     // of new ones there
}

// Identical reports whether a comparison was made and found no difference.
func (r Report) Identical() bool { return r.Compared && r.OldHash == r.RebuiltHash }

// Progress is told how many records are done, of about how many.
type Progress func(done, total uint64)

// Rebuild builds the views of a directory from the log into a shadow file and
// puts it in the place of the old one in one step; a crash before leaves the
// old one. No Views may be open on the directory (ErrInUse). When compare is
// set it first hashes the old views and the new ones at the same record;
// a difference is in the report and does not keep the new ones from replacing
// the old. progress may be nil.
func Rebuild(ctx context.Context, o Options, log eventstore.Reader, compare bool, progress Progress) (Report, error) {
	lock, err := lockDir(o.Dir)
	if err != nil {
		return Report{}, err
	}
	defer lock.Close()
	r, err := rebuild(ctx, o.withDefaults(), log, compare, progress)
	if err != nil {
		return Report{}, fmt.Errorf("rebuild views: %w", err)
	}
	return r, nil
}

func rebuild(ctx context.Context, o Options, log eventstore.Reader, compare bool, progress Progress) (Report, error) {
	var r Report
	live := filepath.Join(o.Dir, viewsName)
	if compare {
		err := hashFile(ctx, live, &r)
		if err != nil && !errors.Is(err, errOutdated) && !errors.Is(err, os.ErrNotExist) {
			return r, err
		}
	}
	l, err := newLoad(ctx, o, filepath.Join(o.Dir, shadowName), log, progress)
	if err != nil {
		return r, err
	}
	err = l.run(ctx, &r)
	if err := errors.Join(err, l.close()); err != nil {
		return r, errors.Join(err, removeViews(l.path))
	}
	r.Sequence = l.write.at.seq
	if err := swap(l.path, live); err != nil {
		return r, err
	}
	r.Swapped = true
	return r, nil
}

// Verify builds the views again, beside these and up to where they stand, and
// compares. Nothing is replaced, and the views stay in service.
func (v *Views) Verify(ctx context.Context, log eventstore.Reader, progress Progress) (Report, error) {
	var r Report
	err := v.verify(ctx, log, &r, progress)
	if err != nil {
		return Report{}, fmt.Errorf("verify views: %w", err)
	}
	return r, nil
}

func (v *Views) verify(ctx context.Context, log eventstore.Reader, r *Report, progress Progress) error {
	dir, err := os.MkdirTemp(v.options.Dir, "views-verify-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // what is left does no harm
	if r.OldHash, r.ComparedAt, err = v.Hash(ctx); err != nil {
		return err
	}
	r.Compared = true
	l, err := newLoad(ctx, v.options, filepath.Join(dir, shadowName), log, progress)
	if err != nil {
		return err
	}
	l.total = min(l.total, r.ComparedAt)
	err = l.run(ctx, r)
	r.Sequence = l.write.at.seq
	return errors.Join(err, l.close())
}

// hashFile fills in the old side of a comparison.
func hashFile(ctx context.Context, path string, r *Report) error {
	if _, err := os.Stat(path); err != nil {
		return err
	}
	db, conn, err := openWriterFile(ctx, path, paramsLive, false)
	if err != nil {
		return err
	}
	r.OldHash, r.ComparedAt, err = hashViews(ctx, conn)
	r.Compared = err == nil
	return errors.Join(broken(err), conn.Close(), db.Close())
}

// swap puts a finished shadow in the place of the live file, which nobody has
// open. The live file's write-ahead log is dissolved first: beside another
// file, SQLite would take it for that file's.
func swap(shadow, live string) error {
	if err := flush(shadow); err != nil {
		return err
	}
	if err := dissolveWAL(live); err != nil { // damaged: it is lost anyway
		if err := removeViews(live); err != nil {
			return err
		}
	}
	if err := os.Rename(shadow, live); err != nil {
		return fmt.Errorf("swap views: %w", err)
	}
	return flush(filepath.Dir(live))
}

func dissolveWAL(path string) error {
	db, err := openSQLite(path, "_journal_mode=DELETE&_locking_mode=EXCLUSIVE")
	if err != nil {
		return err
	}
	return errors.Join(db.Ping(), db.Close())
}

// flush makes a file's content, or a directory's names, durable.
func flush(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync views: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("sync views: %w", err)
	}
	return nil
}
