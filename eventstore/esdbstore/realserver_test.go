package esdbstore_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/authledger/authledger/eventstore/esdbstore"
	"github.com/authledger/authledger/eventstore/esdbstore/esdbtest"
	"github.com/authledger/authledger/eventstore/esdbstore/sweep"
)

// inProcessOnly are the tests that need the server in this process: they have it
// fail, look at what it was sent, or set who may do what on it. newWorld holds
// that the list is complete.
var inProcessOnly = []string{
	"TestAgainstARealServer",
	"TestAppendWithoutAnAnswer",
	"TestCallersWhoGiveUp",
	"TestCutOffNode",
	"TestForeignBytesStopTheLog",
	"TestFrozenServerLeavesTheOutcomeUnknown",
	"TestListOfInProcessTests",
	"TestLogPutBack",
	"TestLogPutBackUnderARunningNode",
	"TestOnTheWire",
	"TestOneOfThreeIsDead",
	"TestPrepare",
	"TestReadsGoOnWhereTheyBroke",
	"TestServerComesAndGoesUnderLoad",
	"TestServerThatDoesNot",
	"TestServerThatKeepsItsPromises",
	"TestTLSAndPassword",
	"TestTooLargeIsRefusedBeforeItIsSent",
}

// realServer is the connection string of the server that the tests run against
// instead of the one in this process; empty without one. See docs/esdb-tests.md.
var realServer = os.Getenv(sweep.Variable)

// runs tells one run's streams on a real server apart from another's.
var (
	runs    = "t" + strings.ReplaceAll(uuid.NewString(), "-", "")[:10] + "_"
	ledgers atomic.Int64
)

// newPrefix names a ledger no other test and no other run uses.
func newPrefix() string { return fmt.Sprintf("%s%d", runs, ledgers.Add(1)) }

// server is a database for one test: its own in this process, or the real one.
func server(t testing.TB) string {
	t.Helper()
	if realServer != "" {
		return realServer
	}
	return esdbtest.Start(t, esdbtest.Options{}).URL()
}

// forgotten are connections that the library forgot and never closes: when a
// call begins just between an Unavailable answer and our replacing the client
// (connection.go). Only client connections run these functions, so that whatever
// else is left behind shows.
func forgotten() []goleak.Option {
	return []goleak.Option{
		goleak.IgnoreAnyFunction("google.golang.org/grpc/internal/grpcsync.(*CallbackSerializer).run"),
		goleak.IgnoreAnyFunction("google.golang.org/grpc.(*addrConn).resetTransportAndUnlock"),
		goleak.IgnoreAnyFunction("google.golang.org/grpc/internal/transport.(*http2Client).reader"),
		goleak.IgnoreAnyFunction("google.golang.org/grpc/internal/transport.(*http2Client).keepalive"),
		goleak.IgnoreAnyFunction("google.golang.org/grpc/internal/transport.(*controlBuffer).get"),
	}
}

func TestMain(m *testing.M) {
	if realServer == "" {
		goleak.VerifyTestMain(m, forgotten()...)
		return
	}
	flag.Parse()
	code, err := againstRealServer(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// clearing bounds the removal of what the tests left on a real server.
const clearing = 10 * time.Minute

// againstRealServer runs the tests that a real server can pass, removes what
// they wrote, and says both.
func againstRealServer(m *testing.M) (code int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	run, err := sweep.Begin(ctx, realServer, runs)
	if err != nil {
		return 1, err
	}
	if err := leaveOut(inProcessOnly); err != nil {
		return 1, err
	}
	fmt.Printf("server %s, streams %s*\n", esdbstore.Redacted(realServer), runs)
	code = m.Run()
	clearCtx, stop := context.WithTimeout(context.Background(), clearing)
	defer stop()
	cleared, err := run.Clear(clearCtx)
	if err != nil {
		return 1, fmt.Errorf("streams and groups %s* were left on the server: %w", runs, err)
	}
	fmt.Printf("%d streams and %d groups of this run were removed\n", cleared.Streams, cleared.Groups)
	fmt.Printf("%d tests need the server in the process and did not run: %s\n", len(inProcessOnly), strings.Join(inProcessOnly, ", "))
	if code != 0 {
		return code, nil // what a failed test leaves running would hide it
	}
	return 0, goleak.Find(forgotten()...)
}

// leaveOut adds tests to those that -test.skip names.
func leaveOut(names []string) error {
	skip := flag.Lookup("test.skip")
	pattern := "^(" + strings.Join(names, "|") + ")$"
	if given := skip.Value.String(); given != "" {
		pattern += "|" + given // behind: the first that matches a test in part decides
	}
	if err := skip.Value.Set(pattern); err != nil {
		return fmt.Errorf("leave out tests: %w", err)
	}
	return nil
}

// ledger is a log of a test's own on either kind of server.
type ledger struct{ url, prefix string }

func newLedger(t *testing.T) ledger {
	t.Helper()
	return ledger{server(t), newPrefix()}
}

func (l ledger) node(t *testing.T) *esdbstore.Store {
	t.Helper()
	return closing(t, open(t, l.url, l.prefix, t.TempDir(), time.Now))
}

// client is a connection of an administrator to the server of a test.
func client(t *testing.T, url string) *esdb.Client {
	t.Helper()
	config, err := esdb.ParseConnectionString(strings.Replace(url, "kurrentdb", "esdb", 1))
	if err != nil {
		t.Fatal("the connection string is not understood") // the error repeats it
	}
	config.Logger = esdb.NoopLogging()
	c, err := esdb.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestAgainstARealServer runs a part of these tests in a process of its own as
// they run against a real server, with the server here in that part: they say
// what did not run, and leave neither stream nor group behind.
func TestAgainstARealServer(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]esdbtest.Options{
		"one node":         {},
		"three nodes, TLS": {Members: 3, TLS: true, User: "admin", Password: "changeit", Admin: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, o)
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(soon(t), self, "-test.run", "^(TestSharerContract|TestStreamsThatAreCut|TestOnTheWire)$",
				"-test.skip", "/count$", "-test.v")
			cmd.Env = append(os.Environ(), sweep.Variable+"="+w.URL())
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for _, want := range []string{
				"--- PASS: TestSharerContract", "--- PASS: TestStreamsThatAreCut/age",
				fmt.Sprintf("%d tests need the server in the process and did not run", len(inProcessOnly)),
			} {
				if !strings.Contains(string(out), want) {
					t.Errorf("the output has no %q:\n%s", want, out)
				}
			}
			for _, not := range []string{"TestOnTheWire (", "TestStreamsThatAreCut/count", "changeit", "0 streams and", " 0 groups"} {
				if strings.Contains(string(out), not) {
					t.Errorf("the output has %q:\n%s", not, out)
				}
			}
			leftBehind(t, w)
		})
	}
}

// leftBehind fails for streams and groups of a run that a server still shows.
func leftBehind(t *testing.T, w world) {
	t.Helper()
	c, ours := client(t, w.URL()), regexp.MustCompile(`^(\$\$)?t[0-9a-f]{10}_\d+\.`)
	streams := map[string]bool{}
	for _, e := range w.Events("") {
		streams[e.Stream] = ours.MatchString(e.Stream)
	}
	seen := 0
	for name, of := range streams {
		if !of {
			continue
		}
		seen++
		if readable(t, c, name) {
			t.Errorf("%s can still be read", name)
		}
	}
	if seen < 5 {
		t.Errorf("%d streams were written, want more", seen)
	}
	left, err := c.ListPersistentSubscriptionsToAll(soon(t), esdb.ListPersistentSubscriptionsOptions{})
	var e *esdb.Error
	if errors.As(err, &e) && e.Code() == esdb.ErrorCodeResourceNotFound {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range left {
		t.Errorf("group %s is still there", g.GroupName)
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

// TestListOfInProcessTests: no name on the list is one that nobody has.
func TestListOfInProcessTests(t *testing.T) {
	t.Parallel()
	var source []byte
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		source = append(source, b...)
	}
	for _, name := range inProcessOnly {
		if !strings.Contains(string(source), "func "+name+"(") {
			t.Errorf("there is no test %s", name)
		}
	}
	if !slices.IsSorted(inProcessOnly) {
		t.Error("the list is not in order")
	}
}
