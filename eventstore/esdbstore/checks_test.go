package esdbstore_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

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

// TestStreamsThatAreCut: whoever sets a limit on a ledger stream, or deletes one,
// is noticed by a node that runs and by one that starts later.
func TestStreamsThatAreCut(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, metadata, code string }{
		{"age", `{"$maxAge":3600}`, esdbstore.StreamsAreCut},
		{"count", `{"$maxCount":10}`, esdbstore.StreamsAreCut},
		{"truncated before", `{"$tb":1}`, esdbstore.StreamsAreCut},
		{"something else", `{"owner":"ops"}`, ""},
		{"set and taken back", `{"$maxAge":3600}`, "back"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := secured(t)
			s := w.node(t, "")
			if _, err := s.Append(soon(t), "user-1", eventstore.NoStream(), storetest.Events("first", 2)); err != nil {
				t.Fatal(err)
			}
			w.put(t, "$$"+w.prefix+".ledger-user-1", c.metadata)
			code := c.code
			if code == "back" {
				code = ""
				w.put(t, "$$"+w.prefix+".ledger-user-1", `{}`)
			}
			if _, err := s.Append(soon(t), "user-2", eventstore.NoStream(), storetest.Events("second", 1)); err != nil {
				t.Fatal(err)
			}
			for _, s := range []*esdbstore.Store{s, w.node(t, "")} {
				if _, _, err := s.Head(soon(t)); err != nil { // counts up to the append, and so past the metadata
					t.Fatal(err)
				}
				var got string
				for _, f := range s.Findings() {
					got = f.Code
				}
				if got != code {
					t.Errorf("found %q, want %q", got, code)
				}
			}
		})
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
	w, dir := newWorld(t, esdbtest.Options{}), t.TempDir()
	closing(t, open(t, w.URL(), w.prefix, dir, time.Now))
	if _, err := esdbstore.Open(soon(t), esdbstore.Options{URL: w.URL(), Prefix: w.prefix, Dir: dir}); !errors.Is(err, esdbstore.ErrInUse) {
		t.Errorf("got %v, want %v", err, esdbstore.ErrInUse)
	}
}
