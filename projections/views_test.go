package projections

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/bridge"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// town is a small log that uses most events.
func town(t *testing.T) *world {
	w := newWorld(t)
	s := newStories(w, 3, rand.New(rand.NewPCG(1, 2)).IntN)
	s.arrive()
	for range 160 {
		s.episode()
	}
	return w
}

func mustHash(t *testing.T, v *Views) eventstore.Hash {
	t.Helper()
	h, _, err := v.Hash(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestFilesThatCannotBeUsedAreThrownAway(t *testing.T) {
	t.Parallel()
	spoil := map[string]func(t *testing.T, path string){
		"another schema version": func(t *testing.T, path string) { execute(t, path, `PRAGMA user_version = 9999`) },
		"tables without a version": func(t *testing.T, path string) {
			execute(t, path, `PRAGMA user_version = 0`)
		},
		"not a database": func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte("something else entirely, and long enough to be read as a header ......................................."), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"another log": func(t *testing.T, path string) { execute(t, path, `UPDATE checkpoint SET event = zeroblob(16)`) },
		"ahead of the log": func(t *testing.T, path string) {
			execute(t, path, `UPDATE checkpoint SET sequence = sequence + 1`)
		},
		"missing beside its write-ahead log": func(t *testing.T, path string) {
			if err := errors.Join(os.Rename(path, path+"-wal"), os.WriteFile(path+"-shm", nil, 0o600)); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, spoil := range spoil {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := town(t)
			o := w.options()
			o.Log = w.reader()
			v := w.open(o)
			w.apply(v)
			want := mustHash(t, v)
			if err := v.Close(); err != nil {
				t.Fatal(err)
			}
			spoil(t, filepath.Join(o.Dir, viewsName))
			v = w.open(o)
			if from, err := v.From(context.Background()); err != nil || from != 0 {
				t.Fatalf("opened at %d (%v), want a new file", from, err)
			}
			w.apply(v)
			if got := mustHash(t, v); got != want {
				t.Fatal("views built again differ")
			}
		})
	}
}

func TestReopenedViewsGoOn(t *testing.T) {
	t.Parallel()
	w := town(t)
	o := w.options()
	o.Log = w.reader()
	v := w.open(o)
	w.apply(v)
	if err := errors.Join(v.Close(), v.Close()); err != nil {
		t.Fatal(err)
	}
	if err := v.Apply(context.Background(), w.log); !errors.Is(err, eventstore.ErrClosed) {
		t.Fatalf("apply after close: %v", err)
	}
	v = w.open(o)
	if got := v.Status(); got.Sequence != w.head() || got.Position != eventstore.Position(w.head())*10 ||
		!got.RecordedAt.Equal(w.log[len(w.log)-1].RecordedAt) {
		t.Fatalf("reopened at %+v", got)
	}
}

func TestOneOwnerAtATime(t *testing.T) {
	t.Parallel()
	w := town(t)
	o := w.options()
	v := w.open(o)
	if _, err := Open(context.Background(), o); !errors.Is(err, ErrInUse) {
		t.Fatalf("second open: %v", err)
	}
	if _, err := Rebuild(context.Background(), o, w.reader(), false, nil); !errors.Is(err, ErrInUse) {
		t.Fatalf("rebuild of open views: %v", err)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	w.open(o)
}

func TestRebuildFindsAndRepairsADifference(t *testing.T) {
	t.Parallel()
	w := town(t)
	o := w.options()
	v := w.open(o)
	half := w.log[:len(w.log)/2]
	if err := errors.Join(v.Apply(context.Background(), half), v.Close()); err != nil {
		t.Fatal(err)
	}
	execute(t, filepath.Join(o.Dir, viewsName), `UPDATE phones SET status = 'verified' WHERE status <> 'verified'`)
	var done, total uint64
	r, err := Rebuild(context.Background(), o, w.reader(), true, func(d, t uint64) { done, total = d, t })
	if err != nil {
		t.Fatal(err)
	}
	if !r.Compared || r.Identical() || r.ComparedAt != eventstore.Sequence(len(half)) || !r.Swapped || r.Sequence != w.head() {
		t.Fatalf("report %+v", r)
	}
	if done != uint64(w.head()) || total != done {
		t.Fatalf("progress ended at %d of %d, want %d", done, total, w.head())
	}
	v = w.open(o)
	if v.Status().Sequence != w.head() || mustHash(t, v) != mustHash(t, w.views()) {
		t.Fatal("rebuilt views differ from fresh ones")
	}
	r, err = v.Verify(context.Background(), w.reader(), nil)
	if err != nil || !r.Identical() || r.Swapped {
		t.Fatalf("verify: %+v, %v", r, err)
	}
	entries, err := os.ReadDir(o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		switch e.Name() {
		case viewsName, viewsName + "-wal", viewsName + "-shm", lockName:
		default:
			t.Errorf("left behind: %s", e.Name())
		}
	}
}

func TestAFailedRebuildLeavesTheOldViews(t *testing.T) {
	t.Parallel()
	w := town(t)
	o := w.options()
	v := w.open(o)
	w.apply(v)
	want := mustHash(t, v)
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	broken := append(sliceLog{}, w.log...)
	broken[len(broken)-1].Data = []byte(`{`)
	if _, err := Rebuild(context.Background(), o, broken, true, nil); err == nil {
		t.Fatal("a damaged log was rebuilt from")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Rebuild(ctx, o, w.reader(), false, nil); !errors.Is(err, context.Canceled) {
		t.Fatalf("cancelled rebuild: %v", err)
	}
	if got := mustHash(t, w.open(o)); got != want {
		t.Fatal("the old views changed")
	}
}

func TestCheckpointsSurviveAndNeverGoBack(t *testing.T) {
	t.Parallel()
	ctx, dir := context.Background(), t.TempDir()
	open := func() *Checkpoints {
		c, err := OpenCheckpoints(ctx, dir, func() time.Time { return dawn })
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	var _ bridge.Checkpoints = (*Checkpoints)(nil)
	c := open()
	if at, err := c.Load(ctx, "delivery"); err != nil || at != 0 {
		t.Fatalf("before any: %d, %v", at, err)
	}
	for _, at := range []eventstore.Sequence{5, 9, 7} {
		if err := c.Save(ctx, "delivery", at); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(c.Save(ctx, "notices", 2), c.Close()); err != nil {
		t.Fatal(err)
	}
	c = open()
	defer c.Close()
	if at, err := c.Load(ctx, "delivery"); err != nil || at != 9 {
		t.Fatalf("after reopening: %d, %v", at, err)
	}
	execute(t, filepath.Join(dir, reactorsName), `PRAGMA user_version = 99`)
	if _, err := OpenCheckpoints(ctx, dir, nil); err == nil {
		t.Fatal("a file of a newer version was opened")
	}
}

// execute changes a file behind the package's back.
func execute(t *testing.T, path, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.Exec(statement)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}
