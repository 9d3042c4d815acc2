package projections

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// storied is a world with a few random lives, and its views on disk, closed.
func storied(t *testing.T) (*world, Options) {
	t.Helper()
	w := newWorld(t)
	n := 0
	s := newStories(w, 3, func(of int) int { n = (n*7919 + 104729) % 1000003; return n % of })
	s.arrive()
	for range 30 {
		s.episode()
	}
	o := w.options()
	v := w.open(o)
	w.apply(v)
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	return w, o
}

func alter(t *testing.T, dir, statement string) {
	t.Helper()
	db, err := openSQLite(filepath.Join(dir, viewsName), "")
	if err != nil {
		t.Fatal(err)
	}
	r, err := db.Exec(statement)
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	if n, _ := r.RowsAffected(); n == 0 {
		t.Fatalf("%s: nothing was altered", statement)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestCompareNamesTheFirstRow(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		statement string
		want      string // in the difference; empty for none
	}{
		"untouched":            {`UPDATE checkpoint SET one = 1`, ""},
		"a column":             {`UPDATE events SET recorded = recorded + 1 WHERE seq = 7`, "table events, row seq 7: recorded is "},
		"a column made NULL":   {`UPDATE phones SET verified = NULL WHERE id = (SELECT min(id) FROM phones WHERE verified IS NOT NULL)`, "verified is NULL, the log says "},
		"a row left out":       {`DELETE FROM timeline WHERE seq = 3`, "only in the views built from the log"},
		"the last row":         {`DELETE FROM events WHERE seq = (SELECT max(seq) FROM events)`, "only in the views built from the log"},
		"a row added":          {`INSERT INTO links (child, parents) VALUES (x'00', x'01')`, "table links, row child 00: only in the live views"},
		"another checkpoint":   {`UPDATE checkpoint SET event = zeroblob(16)`, "table checkpoint"},
		"what only a key says": {`UPDATE phones SET blind = NULL`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, o := storied(t)
			alter(t, o.Dir, c.statement)
			r, err := Compare(t.Context(), o, w.reader(), t.TempDir(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if c.want == "" {
				if r.First != nil || r.Rows < uint64(len(w.log)) || r.Tables != len(canonical) || r.Sequence != w.head() {
					t.Errorf("comparison %+v, want no difference in %d tables", r, len(canonical))
				}
				return
			}
			if r.First == nil || !strings.Contains(r.First.String(), c.want) {
				t.Errorf("difference %v, want %q", r.First, c.want)
			}
		})
	}
}

// TestCompareBesideARunningNode compares views that move on while the log is
// read: the comparison catches up with them.
func TestCompareBesideARunningNode(t *testing.T) {
	t.Parallel()
	w, _ := storied(t)
	o := w.options()
	v := w.open(o)
	half := len(w.log) / 2
	if err := v.Apply(t.Context(), w.log[:half]); err != nil {
		t.Fatal(err)
	}
	moved := false
	r, err := Compare(t.Context(), o, w.reader(), t.TempDir(), func(uint64, uint64) {
		if !moved {
			moved = true
			w.apply(v)
		}
	})
	if err != nil || !moved || r.First != nil || r.Sequence != w.head() {
		t.Errorf("comparison %+v at %d, want no difference at %d (%v)", r, r.Sequence, w.head(), err)
	}
	if _, err := Compare(t.Context(), o, w.reader()[:half], t.TempDir(), nil); !errors.Is(err, ErrGap) {
		t.Errorf("a log that ends before the views: %v, want ErrGap", err)
	}
}

func TestCompareRefuses(t *testing.T) {
	t.Parallel()
	w, o := storied(t)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := Compare(ctx, o, w.reader(), t.TempDir(), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled context: %v", err)
	}
	alter(t, o.Dir, `DELETE FROM links WHERE child = (SELECT min(child) FROM links)`)
	if err := os.WriteFile(filepath.Join(o.Dir, viewsName), []byte("not a database, whatever the name says"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Compare(t.Context(), o, w.reader(), t.TempDir(), nil); !errors.Is(err, errOutdated) {
		t.Errorf("a file that is no database: %v, want errOutdated", err)
	}
	o.Dir = t.TempDir()
	if _, err := Compare(t.Context(), o, w.reader(), t.TempDir(), nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("no views: %v, want ErrNotFound", err)
	}
}

// A newcomer types --data data.
func TestCompareInARelativeDirectory(t *testing.T) {
	w, o := storied(t)
	t.Chdir(filepath.Dir(o.Dir))
	o.Dir = filepath.Base(o.Dir)
	if err := os.Mkdir("scratch", 0o700); err != nil {
		t.Fatal(err)
	}
	if r, err := Compare(t.Context(), o, w.reader(), "scratch", nil); err != nil || r.First != nil {
		t.Errorf("comparison %+v, %v", r, err)
	}
}
