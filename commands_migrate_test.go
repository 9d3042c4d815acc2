package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/merkle"
	"github.com/authledger/authledger/eventstore/sqlitestore"
	"github.com/authledger/authledger/eventstore/storetest"
)

// migrated runs the command line in this process.
func migrated(ctx context.Context, args ...string) (code int, stdout, message string) {
	root := newRootCommand()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(io.Discard)
	root.SetArgs(append([]string{"migrate"}, args...))
	if err := root.ExecuteContext(ctx); err != nil {
		return exitCode(err), out.String(), err.Error()
	}
	return 0, out.String(), ""
}

// ledgerOf makes a closed directory with n records; another name, other records.
func ledgerOf(t *testing.T, name string, n int) string {
	t.Helper()
	dir := t.TempDir()
	store, err := sqlitestore.Open(t.Context(), sqlitestore.Options{Dir: dir, Clock: storetest.NewClock().Now})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if _, err := store.Append(t.Context(), fmt.Sprintf("user-%d", i), eventstore.NoStream(), storetest.Events(fmt.Sprint(name, i), 1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// sizeAndRoot reads a directory as it lies there.
func sizeAndRoot(t *testing.T, dir string) (uint64, string) {
	t.Helper()
	reader, err := sqlitestore.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	g := merkle.NewGrowing()
	for r, err := range reader.ReadAll(t.Context(), 0) {
		if err == nil {
			err = g.Append(r.Leaf())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	root, err := g.Root()
	if err != nil {
		t.Fatal(err)
	}
	return g.Size(), root.String()
}

func TestMigrateCommand(t *testing.T) {
	t.Parallel()
	from, to := ledgerOf(t, "one", 30), filepath.Join(t.TempDir(), "new")
	_, root := sizeAndRoot(t, from)
	code, out, message := migrated(t.Context(), "--data", from, "--to", "sqlite", "--to-data", to)
	if code != 0 || !strings.Contains(out, "both hold the same log of 30 records") || !strings.Contains(out, root) {
		t.Errorf("got %d, %s%s", code, out, message)
	}
	code, out, message = migrated(t.Context(), "--data", from, "--to", "sqlite", "--to-data", to, "--json")
	var s moveSummary
	if err := json.Unmarshal([]byte(out), &s); code != 0 || err != nil || s.Records != 30 || s.Copied != 0 || s.Root != root || len(s.Steps) != 6 {
		t.Errorf("again: got %d, %s%s, %v", code, out, message, err)
	}
	if size, got := sizeAndRoot(t, to); size != 30 || got != root {
		t.Errorf("the target has %d records with root %s", size, got)
	}
}

func TestMigrateRefuses(t *testing.T) {
	t.Parallel()
	from := ledgerOf(t, "one", 30)
	served := ledgerOf(t, "one", 5)
	server, err := sqlitestore.Open(t.Context(), sqlitestore.Options{Dir: served, Clock: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	empty := t.TempDir()
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no target":            {[]string{"--data", from}, exitUsage, "--to"},
		"no target directory":  {[]string{"--data", from, "--to", "sqlite"}, exitUsage, "--to-data"},
		"an unknown store":     {[]string{"--data", from, "--to", "postgres://x", "--to-data", empty}, exitUsage, "postgres://x"},
		"two event databases":  {[]string{"--from", "esdb://a", "--to", "esdb://b", "--to-data", empty}, exitUsage, "backup"},
		"an unknown source":    {[]string{"--from", "oracle", "--data", from, "--to", "sqlite", "--to-data", empty}, exitUsage, "oracle"},
		"the same directory":   {[]string{"--data", from, "--to", "sqlite", "--to-data", from + "/."}, exitUsage, "same directory"},
		"no ledger to move":    {[]string{"--data", empty, "--to", "sqlite", "--to-data", t.TempDir()}, exitNotFound, "holds no ledger"},
		"a source in use":      {[]string{"--data", served, "--to", "sqlite", "--to-data", t.TempDir()}, exitUnavailable, "stop the server"},
		"a target in use":      {[]string{"--data", from, "--to", "sqlite", "--to-data", served}, exitUnavailable, "stop the server"},
		"a target of others":   {[]string{"--data", from, "--to", "sqlite", "--to-data", ledgerOf(t, "other", 7)}, exitDiffers, "record 7 is not the source's"},
		"a longer target":      {[]string{"--data", from, "--to", "sqlite", "--to-data", ledgerOf(t, "one", 31)}, exitDiffers, "it has 31 records"},
		"an argument too many": {[]string{"now"}, exitRuntime, "now"},
	} {
		if code, out, message := migrated(t.Context(), c.args...); code != c.code || !strings.Contains(message, c.want) || out != "" {
			t.Errorf("%s: got %d, %q, %s, want %d and %q", name, code, message, out, c.code, c.want)
		}
	}
	if entries, err := os.ReadDir(empty); err != nil || len(entries) > 0 {
		t.Errorf("a refused move left %v, %v", entries, err)
	}
}

func TestMigrateInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if code, _, message := migrated(ctx, "--data", ledgerOf(t, "one", 3), "--to", "sqlite", "--to-data", t.TempDir()); code != exitInterrupted {
		t.Errorf("got %d, %s, want %d", code, message, exitInterrupted)
	}
}

// TestMigrateTheProduct moves the demo broker's ledger with the built program,
// kills it with SIGKILL in the middle, goes on, and runs the product on the new
// directory.
func TestMigrateTheProduct(t *testing.T) {
	t.Parallel()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	from := filepath.Join(dir, "old")
	if out, err := exec.Command(path, "seed", "--data", from, "--users", "25").CombinedOutput(); err != nil {
		t.Fatalf("seed: %v\n%s", err, out)
	}
	size, root := sizeAndRoot(t, from)
	to := killedHalfWay(t, path, from, size)
	out, err := exec.Command(path, "migrate", "--data", from, "--to", "sqlite", "--to-data", to, "--json").Output()
	if err != nil {
		t.Fatalf("migrate again: %v", stderrOf(err))
	}
	var s moveSummary
	if err := json.Unmarshal(out, &s); err != nil || s.Records != size || s.Root != root || s.Copied == 0 || s.Copied >= size {
		t.Errorf("after the kill: got %s, %v, want the rest of %d records and root %s", out, err, size, root)
	}
	p := start(t, to)
	newPerson(p, "moved", "DE", "IE").withSMS()
	var events gen.EventList
	p.get("auditor", "/v1/events?limit=1", &events) // once the views, built anew, hold the write
	if len(events.Items) != 1 || uint64(events.Items[0].Sequence) <= size {
		t.Errorf("newest event: got %+v, want one behind %d", events.Items, size)
	}
	p.stop()
	for _, what := range []string{"log", "views"} {
		p.mustRun("verify", what, "--data", to)
	}
	if grown, _ := sizeAndRoot(t, to); grown <= size {
		t.Errorf("the new ledger has %d records, want more than %d", grown, size)
	}
}

func stderrOf(err error) string {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fmt.Sprintf("%v\n%s", err, exit.Stderr)
	}
	return err.Error()
}

// killedHalfWay moves until the target holds some of the records, kills the
// program there, and returns the target. A program that was done before the
// kill is given another one.
func killedHalfWay(t *testing.T, path, from string, size uint64) string {
	t.Helper()
	for range 10 {
		to := t.TempDir()
		cmd := exec.Command(path, "migrate", "--data", from, "--to", "sqlite", "--to-data", to)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		killWhen(t, cmd, ended, func() bool { return headOf(to) > 0 })
		if head := headOf(to); head > 0 && head < size {
			t.Logf("killed at record %d of %d", head, size)
			return to
		}
	}
	t.Fatal("the program was never killed in the middle")
	return ""
}

// killWhen ends a process as a crash would, once something is so.
func killWhen(t *testing.T, cmd *exec.Cmd, ended <-chan error, so func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-ended:
			return
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("nothing was moved within a minute")
		}
	}
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	<-ended
}

// headOf is the newest record in a directory; zero before there is one.
func headOf(dir string) uint64 {
	reader, err := sqlitestore.OpenReader(dir)
	if err != nil {
		return 0
	}
	defer reader.Close()
	head, _, err := reader.Head(context.Background())
	if err != nil {
		return 0
	}
	return uint64(head)
}
