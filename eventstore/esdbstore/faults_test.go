package esdbstore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/esdbstore"
	"github.com/authledger/authledger/eventstore/esdbstore/esdbtest"
	"github.com/authledger/authledger/eventstore/storetest"
)

// world is one ledger on a server of this process.
type world struct {
	*esdbtest.Server
	prefix string
}

func newWorld(t *testing.T, o esdbtest.Options) world {
	t.Helper()
	if top, _, _ := strings.Cut(t.Name(), "/"); !slices.Contains(inProcessOnly, top) {
		t.Fatalf("%s uses the server of this process and is not on the list inProcessOnly", top)
	}
	return world{Server: esdbtest.Start(t, o), prefix: newPrefix()}
}

// node opens one node's store over the connection string, the server's own if
// it is empty.
func (w world) node(t *testing.T, url string) *esdbstore.Store {
	t.Helper()
	if url == "" {
		url = w.URL()
	}
	return closing(t, open(t, url, w.prefix, t.TempDir(), time.Now))
}

func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func log(t *testing.T, s eventstore.Reader) []eventstore.Record {
	t.Helper()
	var out []eventstore.Record
	for r, err := range s.ReadAll(soon(t), 0) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

// TestAppendWithoutAnAnswer has the server fail in every way it can around one
// append: it is written once, and told as written by this call.
func TestAppendWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		fault func(w world)
	}{
		{"answer dropped", func(w world) { w.DropAnswers(1) }},
		{"three answers dropped", func(w world) { w.DropAnswers(3) }},
		{"refused before writing", func(w world) { w.RefuseWrites(2) }},
		{"unavailable", func(w world) { w.Unavailable(3) }},
		{"not the leader", func(w world) { w.RejectNotLeader(2) }},
		{"connections closed", func(w world) { w.Cut() }},
		{"restarted", func(w world) {
			if err := w.Restart(); err != nil {
				panic(err)
			}
		}},
		{"answer dropped, then unavailable", func(w world) { w.DropAnswers(1); w.Unavailable(2) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, esdbtest.Options{})
			s := w.node(t, "")
			first, err := s.Append(soon(t), "user-1", eventstore.NoStream(), storetest.Events("first", 2))
			if err != nil {
				t.Fatal(err)
			}
			c.fault(w)
			got, err := s.Append(soon(t), "user-1", eventstore.At(first.Last().Revision, first.Last().Leaf), storetest.Events("second", 3))
			if err != nil || got.Repeated {
				t.Fatalf("append: %+v, %v", got, err)
			}
			records := log(t, s)
			if len(records) != 5 || records[4].Leaf() != got.Last().Leaf || records[4].Position != got.Position {
				t.Errorf("log of %d records, the last %+v; told %+v", len(records), records[len(records)-1], got)
			}
			if n := len(w.Events(w.prefix + ".ledger-")); n != 5 {
				t.Errorf("the server holds %d events, want 5", n)
			}
		})
	}
}

func TestFrozenServerLeavesTheOutcomeUnknown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, esdbtest.Options{})
	s := w.node(t, "")
	w.Freeze()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	events := storetest.Events("first", 2)
	if _, err := s.Append(ctx, "user-1", eventstore.NoStream(), events); !errors.Is(err, eventstore.ErrOutcomeUnknown) {
		t.Fatalf("append: got %v, want %v", err, eventstore.ErrOutcomeUnknown)
	}
	reading, stop := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer stop()
	for _, err := range s.ReadStream(reading, "user-1", 0) {
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("read: got %v", err)
		}
	}
	w.Thaw()
	if _, err := s.Append(soon(t), "user-1", eventstore.NoStream(), events); err != nil {
		t.Fatalf("the same append again: %v", err)
	}
	if n := len(log(t, s)); n != 2 {
		t.Errorf("the log has %d records, want 2", n)
	}
}

// TestTwoNodesCarryOutOneCommand: the same command on two nodes is written once,
// and one of them is told that the other was first.
func TestTwoNodesCarryOutOneCommand(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	a, b := l.node(t), l.node(t)
	for i := range 40 {
		stream, events := fmt.Sprintf("user-%d", i), storetest.Events(fmt.Sprint(i), 2)
		answers := make([]eventstore.Appended, 2)
		var group sync.WaitGroup
		for n, s := range []*esdbstore.Store{a, b} {
			group.Go(func() {
				var err error
				if answers[n], err = s.Append(soon(t), stream, eventstore.NoStream(), events); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if t.Failed() {
			return
		}
		if answers[0].Repeated == answers[1].Repeated || !slices.Equal(answers[0].Records, answers[1].Records) || answers[0].Position != answers[1].Position {
			t.Fatalf("command %d: told %+v and %+v", i, answers[0], answers[1])
		}
	}
	la, lb := log(t, a), log(t, b)
	if len(la) != 80 || len(lb) != 80 {
		t.Fatalf("logs of %d and %d records, want 80", len(la), len(lb))
	}
	for i := range la {
		if la[i].Leaf() != lb[i].Leaf() || la[i].Sequence != lb[i].Sequence || la[i].Position != lb[i].Position {
			t.Fatalf("record %d differs between nodes: %+v, %+v", i+1, la[i], lb[i])
		}
	}
}

// TestServerComesAndGoesUnderLoad restarts, cuts and moves the leader of a
// cluster while many append through two nodes and follow: every append that was
// acknowledged is there once, and followers see the log without gap or repeat.
func TestServerComesAndGoesUnderLoad(t *testing.T) {
	t.Parallel()
	const writers, appends = 8, 40
	w := newWorld(t, esdbtest.Options{Members: 3})
	nodes := []*esdbstore.Store{w.node(t, ""), w.node(t, "")}
	ctx := soon(t)
	var group, follower sync.WaitGroup
	var mu sync.Mutex
	acknowledged, done := map[eventstore.EventID]bool{}, 0
	progress := make(chan struct{}, writers*appends)
	for n := range writers {
		group.Go(func() {
			expected := eventstore.NoStream()
			for i := range appends {
				events := storetest.Events(fmt.Sprintf("%d/%d", n, i), 2)
				var a eventstore.Appended
				err := eventstore.ErrOutcomeUnknown
				for errors.Is(err, eventstore.ErrOutcomeUnknown) || errors.Is(err, eventstore.ErrUnavailable) {
					a, err = nodes[(n+i)%2].Append(ctx, fmt.Sprintf("user-%d", n), expected, events)
				}
				if err != nil {
					t.Errorf("append: %v", err)
					return
				}
				expected = eventstore.At(a.Last().Revision, a.Last().Leaf)
				mu.Lock()
				acknowledged[events[0].ID], acknowledged[events[1].ID] = true, true
				done++
				mu.Unlock()
				progress <- struct{}{}
			}
		})
	}
	const total = writers * appends * 2
	seen := make([][]eventstore.Record, 2)
	for n, s := range nodes {
		follower.Go(func() {
			for ctx.Err() == nil && len(seen[n]) < total {
				for batch, err := range s.Follow(ctx, eventstore.Sequence(len(seen[n])), 50) {
					if err != nil {
						break
					}
					if seen[n] = append(seen[n], batch...); len(seen[n]) >= total {
						break
					}
				}
			}
		})
	}
	for i := range 12 { // a disturbance after every so many appends
		for range writers * appends / 14 {
			select {
			case <-progress:
			case <-ctx.Done():
				t.Fatal("no progress")
			}
		}
		switch i % 4 {
		case 0:
			w.MoveLeader()
		case 1:
			w.Cut()
		case 2:
			leader := w.Leader()
			w.StopMember(leader)
			if err := w.StartMember(leader); err != nil {
				t.Fatal(err)
			}
		case 3:
			w.DropAnswers(3)
		}
	}
	group.Wait()
	follower.Wait()
	for n := range nodes {
		if len(seen[n]) != total {
			t.Fatalf("follower %d saw %d records, want %d", n, len(seen[n]), total)
		}
		for i, r := range seen[n] {
			if r.Sequence != eventstore.Sequence(i+1) || r.Leaf() != seen[0][i].Leaf() || !acknowledged[r.ID] {
				t.Fatalf("follower %d: record %d is %+v", n, i+1, r)
			}
		}
	}
	if len(acknowledged) != total {
		t.Errorf("%d events acknowledged, want %d", len(acknowledged), total)
	}
}

// TestOnTheWire proves from the server's side what every call carried.
func TestOnTheWire(t *testing.T) {
	t.Parallel()
	w := newWorld(t, esdbtest.Options{})
	s := w.node(t, "")
	a, err := s.Append(soon(t), "user-1", eventstore.NoStream(), storetest.Events("first", 2))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(soon(t), "user-1", eventstore.At(a.Last().Revision, a.Last().Leaf), storetest.Events("second", 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ByID(soon(t), storetest.Events("first", 1)[0].ID); err != nil {
		t.Fatal(err)
	}
	log(t, s)
	if _, err := s.CheckServer(soon(t)); err != nil {
		t.Fatal(err)
	}
	for kind, n := range w.CallKinds() {
		switch {
		case !kind.RequiresLeader && strings.HasPrefix(kind.Method, "Streams/"):
			t.Errorf("%d calls of %s without requires-leader", n, kind.Method)
		case kind.Method == "Streams/Append" && kind.Expected != "no_stream" && kind.Expected != "revision":
			t.Errorf("%d appends expecting %s", n, kind.Expected)
		}
	}
	events := w.Events(w.prefix + ".ledger-")
	if len(events) != 3 || events[0].Stream != w.prefix+".ledger-user-1" || events[0].Type != "SomethingHappened" {
		t.Errorf("stored: %+v", events)
	}
}

func TestTooLargeIsRefusedBeforeItIsSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, esdbtest.Options{})
	s := w.node(t, "")
	before := w.Calls()["Streams/Append"]
	events := storetest.Events("many", eventstore.MaxAppendCount)
	for i := range events { // each within the contract, together more than an old server takes
		events[i].Data = fmt.Appendf(nil, `{"text":%q}`, strings.Repeat("x", 800))
	}
	if _, err := s.Append(soon(t), "user-1", eventstore.NoStream(), events); !errors.Is(err, eventstore.ErrTooLarge) {
		t.Errorf("got %v, want %v", err, eventstore.ErrTooLarge)
	}
	if after := w.Calls()["Streams/Append"]; after != before {
		t.Errorf("%d appends were sent", after-before)
	}
}

func TestReadsGoOnWhereTheyBroke(t *testing.T) {
	t.Parallel()
	w := newWorld(t, esdbtest.Options{})
	s := w.node(t, "")
	expected := eventstore.NoStream()
	for i := range 6 {
		a, err := s.Append(soon(t), "long", expected, storetest.Events(fmt.Sprint(i), 500))
		if err != nil {
			t.Fatal(err)
		}
		expected = eventstore.At(a.Last().Revision, a.Last().Leaf)
		w.Interleave(50)
	}
	w.BreakReads(4, 300)
	n := eventstore.Revision(0)
	for r, err := range s.ReadStream(soon(t), "long", 0) {
		if err != nil || r.Revision != n || r.Sequence != eventstore.Sequence(n+1) {
			t.Fatalf("record %d: %d, %d, %v", n, r.Revision, r.Sequence, err)
		}
		n++
	}
	w.BreakReads(4, 300)
	w.DuplicateDeliveries(5)
	if got := log(t, s); n != 3000 || len(got) != 3000 {
		t.Errorf("read %d of the stream and %d of the log, want 3000", n, len(got))
	}
	fresh := w.node(t, "") // counts from the beginning
	w.DuplicateDeliveries(5)
	if got := log(t, fresh); len(got) != 3000 {
		t.Errorf("another node counts %d records, want 3000", len(got))
	}
}

// TestCutOffNode: a node behind a hole in the network answers by error in
// bounded time, others go on, and it catches up when the hole is gone.
func TestCutOffNode(t *testing.T) {
	t.Parallel()
	w := newWorld(t, esdbtest.Options{})
	proxy := esdbtest.StartProxy(t, w.Address(0))
	cut, other := w.node(t, w.URLAt(proxy.Address())), w.node(t, "")
	if _, err := cut.Append(soon(t), "user-1", eventstore.NoStream(), storetest.Events("first", 1)); err != nil {
		t.Fatal(err)
	}
	proxy.Hole()
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, err := cut.Append(ctx, "user-2", eventstore.NoStream(), storetest.Events("lost", 1)); err == nil {
		t.Error("an append through the hole was acknowledged")
	}
	if _, err := other.Append(soon(t), "user-3", eventstore.NoStream(), storetest.Events("third", 1)); err != nil {
		t.Fatal(err)
	}
	proxy.Cut()
	proxy.Heal()
	for _, err := range cut.ReadStream(soon(t), "user-3", 0) {
		if err != nil {
			t.Fatalf("after the hole: %v", err)
		}
	}
	if a, b := log(t, cut), log(t, other); len(a) < 2 || len(b) < 2 {
		t.Errorf("logs of %d and %d records", len(a), len(b))
	}
}

func TestNobodyThere(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := esdbstore.Open(ctx, esdbstore.Options{URL: "esdb://" + esdbtest.BlackHole(t) + "?tls=false", Prefix: newPrefix(), Dir: t.TempDir()})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("black hole: got %v, want %v", err, context.DeadlineExceeded)
	}
}

func TestTLSAndPassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t, esdbtest.Options{TLS: true, User: "ledger", Password: "pa55w0rd-of-the-ledger", Admin: true})
	s := w.node(t, "")
	if _, err := s.Append(soon(t), "user-1", eventstore.NoStream(), storetest.Events("first", 1)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	wrong := strings.Replace(w.URL(), "pa55w0rd-of-the-ledger", "an0ther", 1)
	_, err := esdbstore.Open(ctx, esdbstore.Options{URL: wrong, Prefix: w.prefix, Dir: t.TempDir()})
	if err == nil || strings.Contains(err.Error(), "an0ther") || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("wrong password: got %v", err)
	}
	kurrent := strings.Replace(w.URL(), "esdb://", "kurrentdb://", 1)
	if n := len(log(t, w.node(t, kurrent))); n != 1 {
		t.Errorf("kurrentdb://: %d records, want 1", n)
	}
}

func TestConnectionStrings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ url, want string }{
		{"sqlite", "begin it with"},
		{"http://localhost", "begin it with"},
		{"esdb://u:geheim@localhost:2113?tls=false", "password would not be sent"},
		{"esdb://localhost?tls=maybe", "true or false"},
		{"esdb://localhost?defaultDeadline=soon", "not a setting"},
		{"esdb://localhost?nodePreference=follower", "not a setting"},
		{"esdb://localhost?keepAliveInterval=-1", "milliseconds"},
		{"esdb://localhost?throwOnAppendFailure=x", "not a setting"},
		{"esdb://[::1]:2113?tls=false", "does not understand"},
		{"esdb://?tls=false", "does not understand"},
	} {
		_, err := esdbstore.Open(soon(t), esdbstore.Options{URL: c.url, Dir: t.TempDir()})
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: got %v, want %q", c.url, err, c.want)
		}
	}
	if got := esdbstore.Redacted("esdb://u:ge@heim@h:1?tls=true"); got != "esdb://u:redacted@h:1?tls=true" {
		t.Errorf("redacted: %s", got)
	}
	for _, prefix := range []string{"A", "a-b", "a.b", "1a", strings.Repeat("a", 33)} {
		if _, err := esdbstore.Open(soon(t), esdbstore.Options{URL: "esdb://h", Prefix: prefix, Dir: t.TempDir()}); err == nil {
			t.Errorf("prefix %q was taken", prefix)
		}
	}
}

// TestLogPutBack: a server that was restored from an older backup is noticed by
// a node that has seen more, and so is another ledger behind the same address.
func TestLogPutBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, esdbtest.Options{})
	dir := t.TempDir()
	s := open(t, w.URL(), w.prefix, dir, time.Now)
	if _, err := s.Append(soon(t), "user-1", eventstore.NoStream(), storetest.Events("first", 2)); err != nil {
		t.Fatal(err)
	}
	log(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	restored := esdbtest.Start(t, esdbtest.Options{})
	for _, e := range w.Events(w.prefix + ".identity") {
		if _, err := restored.Put(e.Stream, esdbtest.Proposed{ID: e.ID, Type: e.Type, Data: e.Data, Metadata: e.Metadata}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := esdbstore.Open(soon(t), esdbstore.Options{URL: restored.URL(), Prefix: w.prefix, Dir: dir}); !errors.Is(err, eventstore.ErrDamaged) {
		t.Errorf("restored: got %v, want %v", err, eventstore.ErrDamaged)
	}
	other := esdbtest.Start(t, esdbtest.Options{})
	if _, err := esdbstore.Open(soon(t), esdbstore.Options{URL: other.URL(), Prefix: w.prefix, Dir: dir}); !errors.Is(err, eventstore.ErrDamaged) {
		t.Errorf("another ledger: got %v, want %v", err, eventstore.ErrDamaged)
	}
	if err := os.WriteFile(dir+"/index.db", []byte("this is no database, but long enough to look at twice"), 0o600); err != nil {
		t.Fatal(err)
	}
	if n := len(log(t, closing(t, open(t, w.URL(), w.prefix, dir, time.Now)))); n != 2 {
		t.Errorf("with a damaged index: %d records, want 2", n)
	}
}

func TestForeignBytesStopTheLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t, esdbtest.Options{})
	s := w.node(t, "")
	if _, err := s.Append(soon(t), "user-1", eventstore.NoStream(), storetest.Events("first", 1)); err != nil {
		t.Fatal(err)
	}
	log(t, s)
	good := w.Events(w.prefix + ".ledger-")[0]
	if _, err := w.Put(w.prefix+".ledger-user-2", esdbtest.Proposed{Type: "SomethingHappened", Data: []byte("{}"), Metadata: append([]byte(" "), good.Metadata...)}); err != nil {
		t.Fatal(err)
	}
	var last error
	for _, err := range s.Follow(soon(t), 1, 10) {
		last = err
	}
	if !errors.Is(last, eventstore.ErrDamaged) {
		t.Errorf("follow: got %v, want %v", last, eventstore.ErrDamaged)
	}
	if _, _, err := s.Head(soon(t)); !errors.Is(err, eventstore.ErrDamaged) {
		t.Errorf("head: got %v, want %v", err, eventstore.ErrDamaged)
	}
}
