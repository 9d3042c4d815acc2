package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/esdbstore"
	"github.com/authledger/authledger/eventstore/esdbstore/esdbtest"
	"github.com/authledger/authledger/eventstore/esdbstore/sweep"
	"github.com/authledger/authledger/eventstore/keyring"
	"github.com/authledger/authledger/eventstore/storetest"
)

// testStore names the switch: with esdb the built program runs on an event
// database, one of this process or the real one that AUTHLEDGER_TEST_ESDB
// names, instead of SQLite. The tests are the same.
const testStore = "AUTHLEDGER_TEST_STORE"

// onEventDatabase reports whether the switch is set.
func onEventDatabase() bool { return os.Getenv(testStore) == "esdb" }

var (
	environments   sync.Mutex // guards environmentsBy
	environmentsBy = map[string][]string{}
)

// storeEnvironment is the environment that puts a program on the store under
// test. Programs with one data directory share a ledger, so that a restart finds
// it again.
func storeEnvironment(t testing.TB, data string) []string {
	t.Helper()
	if !onEventDatabase() {
		return nil
	}
	environments.Lock()
	defer environments.Unlock()
	data, err := filepath.Abs(data)
	if err != nil {
		t.Fatal(err)
	}
	if env, ok := environmentsBy[data]; ok {
		return env
	}
	url := os.Getenv(sweep.Variable)
	if url == "" {
		url = esdbtest.Start(t, esdbtest.Options{}).URL()
	} else if theRun, err = beginRun(); err != nil {
		t.Fatal(err)
	}
	kek := filepath.Join(t.TempDir(), "kek.json")
	if _, err := keyring.CreateKEKFile(kek); err != nil {
		t.Fatal(err)
	}
	env := []string{
		"AUTHLEDGER_STORE=" + url, "AUTHLEDGER_KEK_FILE=" + kek,
		"AUTHLEDGER_STORE_PREFIX=" + newLedgerPrefix(),
	}
	environmentsBy[data] = env
	return env
}

// theRun is what this run leaves on a real server; nil without one.
var theRun *sweep.Run

// beginRun notes once where the real server's log stood before the first ledger.
var beginRun = sync.OnceValues(func() (*sweep.Run, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return sweep.Begin(ctx, os.Getenv(sweep.Variable), ledgersPrefix)
})

// clearLedgers removes the ledgers of this run from a real server.
func clearLedgers() error {
	if theRun == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	cleared, err := theRun.Clear(ctx)
	if err != nil {
		return fmt.Errorf("streams and groups %s* were left on the server: %w", ledgersPrefix, err)
	}
	fmt.Printf("%d streams and %d groups of this run were removed from the server\n", cleared.Streams, cleared.Groups)
	return nil
}

// ledgersPrefix tells this run's ledgers on a real server apart from another's,
// and ledgers counts them.
var (
	ledgersPrefix = "e2e_" + strings.ReplaceAll(uuid.NewString(), "-", "")[:12] + "_"
	ledgers       atomic.Int64
)

// newLedgerPrefix names a ledger that no other test and no other run uses.
func newLedgerPrefix() string { return fmt.Sprint(ledgersPrefix, ledgers.Add(1)) }

// childOfSwitch has TestSwitchLeavesNothing write a ledger and end.
const childOfSwitch = "AUTHLEDGER_TEST_SWITCH_CHILD"

// TestSwitchLeavesNothing has a process of its own write a ledger to a server as
// the tests do with the switch, and finds nothing of it afterwards.
func TestSwitchLeavesNothing(t *testing.T) {
	t.Parallel()
	if os.Getenv(childOfSwitch) != "" {
		writeLedger(t, storeEnvironment(t, t.TempDir()))
		return
	}
	w := esdbtest.Start(t, esdbtest.Options{})
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run", "^TestSwitchLeavesNothing$")
	cmd.Env = append(os.Environ(), childOfSwitch+"=1", testStore+"=esdb", sweep.Variable+"="+w.URL())
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "2 streams and 0 groups of this run were removed") {
		t.Fatalf("%v\n%s", err, out)
	}
	last := map[string]string{}
	for _, e := range w.Events("e2e_") {
		last[e.Stream] = e.Type
	}
	for name, kind := range last {
		if kind != "$streamDeleted" {
			t.Errorf("%s is still there", name)
		}
	}
	if len(last) != 2 {
		t.Errorf("%d streams were written, want the ledger's name and a record's", len(last))
	}
}

// writeLedger appends to the ledger that an environment of storeEnvironment names.
func writeLedger(t *testing.T, env []string) {
	t.Helper()
	o := esdbstore.Options{Dir: t.TempDir()}
	for _, e := range env {
		switch name, value, _ := strings.Cut(e, "="); name {
		case "AUTHLEDGER_STORE":
			o.URL = value
		case "AUTHLEDGER_STORE_PREFIX":
			o.Prefix = value
		}
	}
	s, err := esdbstore.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Append(t.Context(), "user-1", eventstore.NoStream(), storetest.Events("switch", 2))
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
}
