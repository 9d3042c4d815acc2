package projections

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/bridge"
	"github.com/authledger/authledger/eventstore/codec"
)

var errCrash = errors.New("process died here")

// However records reach the views, in whatever batches, repeated, with failures
// at any step, restarts and copies taken of a running node's files, the views
// end up as if they had been built from the log at once.
func TestViewsDependOnTheLogAlone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		s := newStories(w, 3, func(n int) int { return rapid.IntRange(0, n-1).Draw(rt, "pick") })
		s.arrive()
		for range rapid.IntRange(1, 12).Draw(rt, "episodes") {
			s.episode()
		}
		d := &delivery{world: w, rt: rt, options: w.options()}
		for d.views = w.open(d.options); d.views.Status().Sequence < w.head(); {
			d.step()
		}
		got, at, err := d.views.Hash(context.Background())
		if err != nil || at != w.head() {
			rt.Fatalf("hash of incremental views: at %d of %d, %v", at, w.head(), err)
		}
		_ = d.views.Close()
		report, err := Rebuild(context.Background(), d.options, w.reader(), true, nil)
		if err != nil {
			rt.Fatal(err)
		}
		if !report.Identical() || report.OldHash != got {
			rt.Fatalf("incremental views have hash %s, rebuilt ones %s", got, report.RebuiltHash)
		}
		whole := w.views()
		if h, _, err := whole.Hash(context.Background()); err != nil || h != got {
			rt.Fatalf("views fed in one batch have hash %s, want %s (%v)", h, got, err)
		}
		_ = whole.Close()
	})
}

// delivery hands a log to views as badly as an at-least-once road may.
type delivery struct {
	*world

	rt      *rapid.T
	options Options
	views   *Views
}

func (d *delivery) step() {
	at := int(d.views.Status().Sequence)
	from := max(0, at-rapid.IntRange(0, 20).Draw(d.rt, "again"))
	to := min(len(d.log), at+rapid.IntRange(0, 60).Draw(d.rt, "more"))
	batch := d.log[from:to]
	switch rapid.IntRange(0, 9).Draw(d.rt, "how") {
	case 0:
		d.restart()
	case 1:
		d.moveToCopy()
	case 2:
		d.crash(batch)
	case 3:
		if at+1 < len(d.log) {
			if err := d.views.Apply(context.Background(), d.log[at+1:]); !errors.Is(err, ErrGap) {
				d.rt.Fatalf("records behind a gap: %v", err)
			}
		}
	default:
		if err := d.views.Apply(context.Background(), batch); err != nil {
			d.rt.Fatal(err)
		}
	}
}

// crash lets the transaction die at a drawn step.
func (d *delivery) crash(batch []eventstore.Record) {
	before, _, err := d.views.Hash(context.Background())
	if err != nil {
		d.rt.Fatal(err)
	}
	left := rapid.IntRange(0, 70).Draw(d.rt, "steps before the crash")
	died := false
	d.views.write.fault = func(string) error {
		if left--; left < 0 {
			died = true
			return errCrash
		}
		return nil
	}
	err = d.views.Apply(context.Background(), batch)
	d.views.write.fault = nil
	if died != errors.Is(err, errCrash) {
		d.rt.Fatalf("died: %t, Apply returned %v", died, err)
	}
	after, _, err := d.views.Hash(context.Background())
	if err != nil {
		d.rt.Fatal(err)
	}
	if died && after != before {
		d.rt.Fatal("a failed batch left something behind")
	}
	if died && rapid.Bool().Draw(d.rt, "restart") {
		d.restart()
	}
}

func (d *delivery) restart() {
	if err := d.views.Close(); err != nil {
		d.rt.Fatal(err)
	}
	d.views = d.open(d.options)
}

// moveToCopy goes on with the files as they were while the node ran, which is
// what a killed process leaves.
func (d *delivery) moveToCopy() {
	old, dir := d.views, d.t.TempDir()
	for _, name := range []string{viewsName, viewsName + "-wal"} {
		copyFile(d.rt, filepath.Join(d.options.Dir, name), filepath.Join(dir, name))
	}
	d.options.Dir = dir
	d.views = d.open(d.options)
	if running, copied := old.Status().Sequence, d.views.Status().Sequence; running != copied {
		d.rt.Fatalf("the copy stands at %d, the running views at %d", copied, running)
	}
	_ = old.Close()
}

func copyFile(t interface{ Fatal(...any) }, from, to string) {
	in, err := os.Open(from)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
}

// The stories use every kind of event, so the property covers them all, and
// each has a place on the timeline.
func TestStoriesUseEveryEvent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := newStories(w, 3, rand.New(rand.NewPCG(1, 2)).IntN)
	s.arrive()
	for range 900 {
		s.episode()
	}
	seen := map[string]bool{}
	for _, r := range w.log {
		seen[r.Type] = true
		if e, err := decodeOne(w.codec, r); err != nil || e.outcome == "" {
			t.Fatalf("%s has no place on the timeline: %v", r.Type, err)
		}
	}
	for _, info := range codec.Types() {
		if !seen[info.Name] {
			t.Errorf("no story uses %s", info.Name)
		}
	}
}

func TestUnknownEventStopsTheViewsWhereItIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := newStories(w, 2, func(int) int { return 0 })
	s.arrive()
	strange := w.log[4]
	strange.Type = "SomethingNew"
	batch := append(append([]eventstore.Record{}, w.log[:4]...), strange)
	v := w.open(w.options())

	err := v.Apply(context.Background(), batch)
	var at *bridge.RecordError
	if !errors.Is(err, codec.ErrUnknownType) || !errors.As(err, &at) || at.Sequence != 5 {
		t.Fatalf("got %v, want ErrUnknownType at record 5", err)
	}
	if got := v.Status(); got.Sequence != 0 || !errors.Is(got.Err, codec.ErrUnknownType) {
		t.Fatalf("status after the failure: %+v", got)
	}
	if err := v.Apply(context.Background(), batch[:4]); err != nil {
		t.Fatal(err)
	}
	if got := v.Status(); got.Sequence != 4 || got.Err != nil {
		t.Fatalf("status after the good part: %+v", got)
	}
	if _, err := Rebuild(context.Background(), w.options(), sliceLog(batch), false, nil); !errors.Is(err, codec.ErrUnknownType) {
		t.Fatalf("rebuild got %v, want ErrUnknownType", err)
	}
}

// The hash covers every column of every table, so that none can differ unseen.
func TestTheHashCoversEveryColumn(t *testing.T) {
	t.Parallel()
	v := newWorld(t).views()
	queries := map[string]string{}
	for _, c := range canonical {
		queries[c.table] = c.query
	}
	rows, err := v.read.Query(`SELECT m.name, c.name FROM sqlite_schema m JOIN pragma_table_info(m.name) c WHERE m.type = 'table'`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	found := 0
	for rows.Next() {
		var table, column string
		if err := rows.Scan(&table, &column); err != nil {
			t.Fatal(err)
		}
		switch {
		case table == "facets" || table == "actors": // stand for texts, which are hashed
		case table == "checkpoint" && column != "sequence" && column != "event": // the store's business
		case !slices.Contains(strings.FieldsFunc(queries[table], func(r rune) bool { return strings.ContainsRune(" ,.\n\t", r) }), column):
			t.Errorf("column %s of %s is not hashed", column, table)
		}
		found++
	}
	if err := rows.Err(); err != nil || found < 100 {
		t.Fatalf("%d columns, %v", found, err)
	}
}
