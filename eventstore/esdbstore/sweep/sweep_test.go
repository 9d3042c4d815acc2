package sweep_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"go.uber.org/goleak"

	"github.com/authledger/authledger/eventstore/esdbstore/esdbtest"
	"github.com/authledger/authledger/eventstore/esdbstore/sweep"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func client(t *testing.T, url string) *esdb.Client {
	t.Helper()
	config, err := esdb.ParseConnectionString(url)
	if err != nil {
		t.Fatal(err)
	}
	config.Logger = esdb.NoopLogging()
	c, err := esdb.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func put(t *testing.T, w *esdbtest.Server, stream string, n int) {
	t.Helper()
	for range n {
		if _, err := w.Put(stream, esdbtest.Proposed{Type: "Something", Data: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
	}
}

// readable reports whether a stream shows an event.
func readable(t *testing.T, c *esdb.Client, name string) bool {
	t.Helper()
	stream, err := c.ReadStream(soon(t), name, esdb.ReadStreamOptions{From: esdb.Start{}, Direction: esdb.Forwards}, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	_, err = stream.Recv()
	var e *esdb.Error
	if err != nil && !errors.Is(err, io.EOF) && !(errors.As(err, &e) && (e.Code() == esdb.ErrorCodeStreamDeleted || e.Code() == esdb.ErrorCodeResourceNotFound)) {
		t.Fatal(err)
	}
	return err == nil
}

func groups(t *testing.T, c *esdb.Client) string {
	t.Helper()
	all, err := c.ListPersistentSubscriptionsToAll(soon(t), esdb.ListPersistentSubscriptionsOptions{})
	var e *esdb.Error
	if err != nil && !(errors.As(err, &e) && e.Code() == esdb.ErrorCodeResourceNotFound) {
		t.Fatal(err)
	}
	var names []string
	for _, g := range all {
		names = append(names, g.GroupName)
	}
	return strings.Join(names, " ")
}

func group(t *testing.T, c *esdb.Client, name string) {
	t.Helper()
	if err := c.CreatePersistentSubscriptionToAll(soon(t), name, esdb.PersistentAllSubscriptionOptions{}); err != nil {
		t.Fatal(err)
	}
}

// TestClear: everything of the run goes and nothing else, also what was deleted
// or cut before, on one node and on three.
func TestClear(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]esdbtest.Options{
		"insecure":          {},
		"three nodes":       {Members: 3},
		"TLS, three nodes":  {Members: 3, TLS: true, User: "admin", Password: "changeit", Admin: true},
		"no groups, no TLS": {Version: "23.10.0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := esdbtest.Start(t, o)
			c := client(t, w.URL())
			put(t, w, "run1_other", 3)
			put(t, w, "run2x", 1) // before it began
			run, err := sweep.Begin(soon(t), strings.Replace(w.URL(), "esdb://", "kurrentdb://", 1), "run2_")
			if err != nil {
				t.Fatal(err)
			}
			var ours []string
			for i := range 40 {
				ours = append(ours, fmt.Sprintf("run2_%d.ledger-user-%d", i%3, i))
				put(t, w, ours[i], 1+i*3) // more than a page in all
			}
			put(t, w, "run1_other", 1)
			put(t, w, "$$"+ours[3], 1)
			if _, err := c.TombstoneStream(soon(t), ours[4], esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Any{}}); err != nil {
				t.Fatal(err)
			}
			if _, err := c.DeleteStream(soon(t), ours[5], esdb.DeleteStreamOptions{ExpectedRevision: esdb.Any{}}); err != nil {
				t.Fatal(err)
			}
			wanted := 0
			if !strings.HasPrefix(name, "no groups") {
				group(t, c, "run1_1.sms")
				group(t, c, "run2_1.sms")
				group(t, c, "run2_2.push")
				wanted = 2
			}
			got, err := run.Clear(soon(t))
			if err != nil || got.Streams != len(ours)-1 || got.Groups != wanted {
				t.Fatalf("cleared %+v, %v; want %d streams and %d groups", got, err, len(ours)-1, wanted)
			}
			for _, name := range ours {
				if readable(t, c, name) || readable(t, c, "$$"+name) {
					t.Errorf("%s can still be read", name)
				}
			}
			if !readable(t, c, "run1_other") || !readable(t, c, "run2x") {
				t.Error("a stream of somebody else is gone")
			}
			if left := groups(t, c); wanted > 0 && left != "run1_1.sms" {
				t.Errorf("groups left: %s", left)
			}
			if again, err := run.Clear(soon(t)); err != nil || again != (sweep.Cleared{}) {
				t.Errorf("cleared %+v again, %v", again, err)
			}
		})
	}
}

// TestBeginRefuses what would sweep more than one run, and tells no password.
func TestBeginRefuses(t *testing.T) {
	t.Parallel()
	w := esdbtest.Start(t, esdbtest.Options{})
	for _, prefix := range []string{"", "$", "$$run1"} {
		if _, err := sweep.Begin(soon(t), w.URL(), prefix); err == nil {
			t.Errorf("prefix %q was taken", prefix)
		}
	}
	if _, err := sweep.Begin(soon(t), "esdb://u:geheim@[::1?x", "run1_"); err == nil || strings.Contains(err.Error(), "geheim") {
		t.Errorf("got %v", err)
	}
}

// TestClearSaysWhatItMayNot: a user who may not delete is told, not ignored.
func TestClearSaysWhatItMayNot(t *testing.T) {
	t.Parallel()
	w := esdbtest.Start(t, esdbtest.Options{TLS: true, User: "ledger", Password: "x"})
	for stream, data := range map[string]string{
		"$settings": `{"$userStreamAcl":{"$r":["ledger"],"$w":["ledger"],"$d":"$admins","$mr":["ledger"],"$mw":"$admins"}}`,
		"$$$all":    `{"$acl":{"$r":["ledger"]}}`,
	} {
		if _, err := w.Put(stream, esdbtest.Proposed{Type: "$metadata", Data: []byte(data)}); err != nil {
			t.Fatal(err)
		}
	}
	run, err := sweep.Begin(soon(t), w.URL(), "run1_")
	if err != nil {
		t.Fatal(err)
	}
	put(t, w, "run1_x", 1)
	if got, err := run.Clear(soon(t)); err == nil {
		t.Errorf("cleared %+v, want an error", got)
	}
}
