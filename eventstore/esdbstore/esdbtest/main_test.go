package esdbtest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/authledger/authledger/eventstore/esdbstore/esdbtest"
)

// patience bounds what must happen soon; a test that reaches it has failed.
const patience = 20 * time.Second

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// The client forgets its connection at every Unavailable answer and never
		// closes it. Only client connections run these two functions, so that what
		// the server itself leaves behind still shows.
		goleak.IgnoreAnyFunction("google.golang.org/grpc/internal/grpcsync.(*CallbackSerializer).run"),
		goleak.IgnoreAnyFunction("google.golang.org/grpc.(*addrConn).resetTransportAndUnlock"),
	)
}

// connect returns the real client, quiet, closed after the test.
func connect(t testing.TB, url string) *esdb.Client {
	t.Helper()
	config, err := esdb.ParseConnectionString(url)
	if err != nil {
		t.Fatal(err)
	}
	config.Logger = nil
	client, err := esdb.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	return client
}

// single starts a server of one node and connects to it.
func single(t testing.TB) (*esdbtest.Server, *esdb.Client) {
	t.Helper()
	s := esdbtest.Start(t, esdbtest.Options{})
	return s, connect(t, s.URL())
}

func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func event(n int) esdb.EventData {
	return esdb.EventData{
		EventID: uuid.NewSHA1(uuid.NameSpaceOID, fmt.Appendf(nil, "%d", n)), EventType: "Counted",
		ContentType: esdb.ContentTypeJson, Data: fmt.Appendf(nil, `{"n":%d}`, n), Metadata: []byte(`{"m":1}`),
	}
}

func events(from, to int) []esdb.EventData {
	var out []esdb.EventData
	for n := from; n <= to; n++ {
		out = append(out, event(n))
	}
	return out
}

// write appends and must succeed.
func write(t testing.TB, c *esdb.Client, stream string, expected esdb.ExpectedRevision, data ...esdb.EventData) *esdb.WriteResult {
	t.Helper()
	result, err := c.AppendToStream(within(t), stream, esdb.AppendToStreamOptions{ExpectedRevision: expected}, data...)
	if err != nil {
		t.Fatalf("append to %s: %v", stream, err)
	}
	return result
}

// drain reads to the end and returns what came before the error, nil at EOF.
func drain(r *esdb.ReadStream) ([]*esdb.RecordedEvent, error) {
	defer r.Close()
	var out []*esdb.RecordedEvent
	for {
		e, err := r.Recv()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		out = append(out, e.Event)
	}
}

func readStream(t testing.TB, c *esdb.Client, stream string, o esdb.ReadStreamOptions, count uint64) ([]*esdb.RecordedEvent, error) {
	t.Helper()
	r, err := c.ReadStream(within(t), stream, o, count)
	if err != nil {
		return nil, err
	}
	return drain(r)
}

func readAll(t testing.TB, c *esdb.Client, o esdb.ReadAllOptions, count uint64) []*esdb.RecordedEvent {
	t.Helper()
	r, err := c.ReadAll(within(t), o, count)
	if err != nil {
		t.Fatal(err)
	}
	out, err := drain(r)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func revisions(events []*esdb.RecordedEvent) string {
	out := []uint64{}
	for _, e := range events {
		out = append(out, e.EventNumber)
	}
	return fmt.Sprint(out)
}

// code is the client's code of an error, -1 for none.
func code(err error) esdb.ErrorCode {
	var e *esdb.Error
	switch {
	case err == nil:
		return -1
	case errors.As(err, &e):
		return e.Code()
	}
	return esdb.ErrorCodeUnknown
}

func wantCode(t testing.TB, what string, err error, want esdb.ErrorCode) {
	t.Helper()
	if got := code(err); got != want {
		t.Errorf("%s: code %d, want %d: %v", what, got, want, err)
	}
}
