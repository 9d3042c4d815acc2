package esdbtest_test

import (
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

func TestReadStream(t *testing.T) {
	t.Parallel()
	_, c := single(t)
	write(t, c, "user-1", esdb.NoStream{}, events(1, 5)...)
	for _, row := range []struct {
		name      string
		direction esdb.Direction
		from      esdb.StreamPosition
		count     uint64
		want      string
	}{
		{"from the start", esdb.Forwards, esdb.Start{}, 100, "[0 1 2 3 4]"},
		{"from a revision, with it", esdb.Forwards, esdb.Revision(3), 100, "[3 4]"},
		{"some", esdb.Forwards, esdb.Revision(1), 2, "[1 2]"},
		{"beyond the end", esdb.Forwards, esdb.Revision(5), 100, "[]"},
		{"forwards from the end", esdb.Forwards, esdb.End{}, 100, "[]"},
		{"backwards from the end", esdb.Backwards, esdb.End{}, 2, "[4 3]"},
		{"backwards from a revision, with it", esdb.Backwards, esdb.Revision(2), 100, "[2 1 0]"},
		{"backwards from beyond", esdb.Backwards, esdb.Revision(50), 1, "[4]"},
		{"backwards from the start", esdb.Backwards, esdb.Start{}, 100, "[0]"},
	} {
		got, err := readStream(t, c, "user-1", esdb.ReadStreamOptions{Direction: row.direction, From: row.from}, row.count)
		if err != nil || revisions(got) != row.want {
			t.Errorf("%s: %s, %v, want %s", row.name, revisions(got), err, row.want)
		}
	}
	_, err := readStream(t, c, "user-2", esdb.ReadStreamOptions{}, 1)
	wantCode(t, "a missing stream", err, esdb.ErrorCodeResourceNotFound)
}

func TestReadAll(t *testing.T) {
	t.Parallel()
	s, c := single(t)
	for n := range 4 {
		write(t, c, "user-1", esdb.Any{}, event(n))
		s.Interleave(1)
	}
	all := readAll(t, c, esdb.ReadAllOptions{}, 1000)
	if want := len(s.Events("")); len(all) != want {
		t.Fatalf("%d events, want %d with those of the server", len(all), want)
	}
	for i, e := range all[1:] {
		if e.Position.Commit <= all[i].Position.Commit {
			t.Fatalf("position %d after %d", e.Position.Commit, all[i].Position.Commit)
		}
	}
	same := func(name string, got []*esdb.RecordedEvent, want ...*esdb.RecordedEvent) {
		t.Helper()
		if len(got) != len(want) {
			t.Errorf("%s: %d events, want %d", name, len(got), len(want))
			return
		}
		for i := range want {
			if got[i].Position != want[i].Position {
				t.Errorf("%s: event %d at %v, want %v", name, i, got[i].Position, want[i].Position)
			}
		}
	}
	same("from a position, with it", readAll(t, c, esdb.ReadAllOptions{From: all[5].Position}, 2), all[5], all[6])
	between := esdb.Position{Commit: all[5].Position.Commit + 1, Prepare: all[5].Position.Commit + 1}
	same("from between two", readAll(t, c, esdb.ReadAllOptions{From: between}, 1), all[6])
	same("backwards from the end", readAll(t, c, esdb.ReadAllOptions{From: esdb.End{}, Direction: esdb.Backwards}, 1), all[len(all)-1])
	same("backwards from a position, without it",
		readAll(t, c, esdb.ReadAllOptions{From: all[2].Position, Direction: esdb.Backwards}, 10), all[1], all[0])
	same("forwards from the end", readAll(t, c, esdb.ReadAllOptions{From: esdb.End{}}, 10))
}
