package esdbstore_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/esdbstore"
	"github.com/authledger/authledger/eventstore/esdbstore/esdbtest"
	"github.com/authledger/authledger/eventstore/storetest"
)

// secured may do what a ledger's user may: read $all, write, not delete.
func secured(t *testing.T) world {
	t.Helper()
	w := newWorld(t, esdbtest.Options{TLS: true, User: "ledger", Password: "x"})
	w.put(t, "$settings", `{"$userStreamAcl":{"$r":["ledger"],"$w":["ledger"],"$d":"$admins","$mr":["ledger"],"$mw":"$admins"}}`)
	w.put(t, "$$$all", `{"$acl":{"$r":["ledger"]}}`)
	return w
}

func (w world) put(t *testing.T, stream, data string) {
	t.Helper()
	if _, err := w.Put(stream, esdbtest.Proposed{Type: "$metadata", Data: []byte(data), Metadata: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
}

func codes(t *testing.T, s *esdbstore.Store) []string {
	t.Helper()
	found, err := s.CheckServer(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range found {
		out = append(out, f.Code)
	}
	return out
}

func TestServerThatKeepsItsPromises(t *testing.T) {
	t.Parallel()
	s := secured(t).node(t, "")
	if _, err := s.Append(soon(t), "user-1", eventstore.NoStream(), storetest.Events("first", 1)); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if got := codes(t, s); len(got) != 0 {
			t.Errorf("found %v", got)
		}
	}
}

func TestServerThatDoesNot(t *testing.T) {
	t.Parallel()
	t.Run("may delete", func(t *testing.T) {
		t.Parallel()
		want(t, newWorld(t, esdbtest.Options{}).node(t, ""), esdbstore.MayDelete)
	})
	t.Run("old", func(t *testing.T) {
		t.Parallel()
		want(t, newWorld(t, esdbtest.Options{Version: "22.10.5"}).node(t, ""), esdbstore.MayDelete, esdbstore.ServerTooOld)
		want(t, newWorld(t, esdbtest.Options{Version: "23.10.0"}).node(t, ""), esdbstore.MayDelete)
	})
	for _, offset := range []time.Duration{-time.Hour, 10 * time.Second} {
		t.Run(fmt.Sprint("clock ", offset), func(t *testing.T) {
			t.Parallel()
			w := secured(t)
			w.OffsetClock(offset)
			want(t, w.node(t, ""), esdbstore.ClockDiffers)
		})
	}
}

func want(t *testing.T, s *esdbstore.Store, codesWanted ...string) {
	t.Helper()
	if got := codes(t, s); !slices.Equal(got, codesWanted) {
		t.Errorf("found %v, want %v", got, codesWanted)
	}
}

// TestCheckServer: a server for tests lets everybody delete, since the tests
// remove what they wrote, and has nothing else against it.
func TestCheckServer(t *testing.T) {
	t.Parallel()
	s := newLedger(t).node(t)
	for range 3 {
		want(t, s, esdbstore.MayDelete)
	}
	eventually(t, "the subscription is up", s.Live)
}

// eventually waits until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for ctx := soon(t); !holds(); {
		select {
		case <-ctx.Done():
			t.Fatalf("not in time: %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// TestStreamsThatAreCut: whoever sets a limit on a ledger stream, or deletes one,
// is noticed by a node that runs and by one that starts later.
func TestStreamsThatAreCut(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, code string
		cut        func(a admin)
	}{
		{"age", esdbstore.StreamsAreCut, func(a admin) { a.metadata(`{"$maxAge":3600}`) }},
		{"count", esdbstore.StreamsAreCut, func(a admin) { a.metadata(`{"$maxCount":10}`) }},
		{"truncated before", esdbstore.StreamsAreCut, func(a admin) { a.metadata(`{"$tb":1}`) }},
		{"something else", "", func(a admin) { a.metadata(`{"owner":"ops"}`) }},
		{"set and taken back", "", func(a admin) { a.metadata(`{"$maxAge":3600}`); a.metadata(`{}`) }},
		{"deleted", esdbstore.StreamsAreCut, func(a admin) { a.remove() }},
		{"deleted for good", esdbstore.StreamDeleted, func(a admin) { a.bury() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newLedger(t)
			s := l.node(t)
			if _, err := s.Append(soon(t), "user-1", eventstore.NoStream(), storetest.Events("first", 2)); err != nil {
				t.Fatal(err)
			}
			c.cut(admin{t, client(t, l.url), l.prefix + ".ledger-user-1"})
			if _, err := s.Append(soon(t), "user-2", eventstore.NoStream(), storetest.Events("second", 1)); err != nil {
				t.Fatal(err)
			}
			for _, s := range []*esdbstore.Store{s, l.node(t)} {
				if _, _, err := s.Head(soon(t)); err != nil { // counts up to the append, and so past the metadata
					t.Fatal(err)
				}
				var got string
				for _, f := range s.Findings() {
					got = f.Code
				}
				if got != c.code {
					t.Errorf("found %q, want %q", got, c.code)
				}
			}
		})
	}
}

// admin does to one stream what nobody should.
type admin struct {
	t      *testing.T
	c      *esdb.Client
	stream string
}

func (a admin) metadata(data string) {
	a.t.Helper()
	_, err := a.c.AppendToStream(soon(a.t), "$$"+a.stream, esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}},
		esdb.EventData{EventID: uuid.New(), EventType: "$metadata", ContentType: esdb.ContentTypeJson, Data: []byte(data)})
	if err != nil {
		a.t.Fatal(err)
	}
}

func (a admin) remove() {
	a.t.Helper()
	if _, err := a.c.DeleteStream(soon(a.t), a.stream, esdb.DeleteStreamOptions{ExpectedRevision: esdb.Any{}}); err != nil {
		a.t.Fatal(err)
	}
}

func (a admin) bury() {
	a.t.Helper()
	if _, err := a.c.TombstoneStream(soon(a.t), a.stream, esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Any{}}); err != nil {
		a.t.Fatal(err)
	}
}

// TestPrepare: what an administrator prepares lets a node's user do what a node
// does and no more, and keeps what else the access lists say.
func TestPrepare(t *testing.T) {
	t.Parallel()
	w := newWorld(t, esdbtest.Options{TLS: true, User: "ledger", Password: "x", Admin: true})
	w.put(t, "$settings", `{"$userStreamAcl":{"$r":"reporting"},"$systemStreamAcl":{"$r":"$admins"}}`)
	p := esdbstore.Preparation{
		URL: w.URL(), Prefix: w.prefix, User: "ledger",
		Groups: []eventstore.Group{{Name: "sms", Types: []string{"SMSRequested"}, Lease: 30 * time.Second}},
	}
	for range 2 {
		if err := esdbstore.Prepare(soon(t), p); err != nil {
			t.Fatal(err)
		}
	}
	settings := w.Events("$settings")
	if len(settings) != 2 {
		t.Fatalf("%d entries of $settings, want one more than there was", len(settings))
	}
	for _, want := range []string{`"$r":["reporting","ledger","$admins"]`, `"$d":["$admins"]`, `"$systemStreamAcl":{"$r":"$admins"}`} {
		if !strings.Contains(string(settings[1].Data), want) {
			t.Errorf("$settings is %s, want %s in it", settings[1].Data, want)
		}
	}
	// The same lists on a server whose user is no administrator.
	plain := newWorld(t, esdbtest.Options{TLS: true, User: "ledger", Password: "x"})
	for _, e := range append(settings, w.Events("$$$all")...) {
		plain.put(t, e.Stream, string(e.Data))
	}
	s := plain.node(t, "")
	if _, err := s.Append(soon(t), "user-1", eventstore.NoStream(), storetest.Events("first", 1)); err != nil {
		t.Fatal(err)
	}
	if got := codes(t, s); len(got) != 0 {
		t.Errorf("found %v", got)
	}
}

func TestOneProcessPerDirectory(t *testing.T) {
	t.Parallel()
	l, dir := newLedger(t), t.TempDir()
	closing(t, open(t, l.url, l.prefix, dir, time.Now))
	if _, err := esdbstore.Open(soon(t), esdbstore.Options{URL: l.url, Prefix: l.prefix, Dir: dir}); !errors.Is(err, esdbstore.ErrInUse) {
		t.Errorf("got %v, want %v", err, esdbstore.ErrInUse)
	}
}
