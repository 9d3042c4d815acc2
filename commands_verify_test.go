package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/sealer"
	"github.com/authledger/authledger/replay"
)

// verify runs the command line in this process and returns its exit code.
func verify(ctx context.Context, stderr io.Writer, args ...string) (code int, stdout, message string) {
	root := newRootCommand()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(stderr)
	root.SetArgs(append([]string{"verify"}, args...))
	if err := root.ExecuteContext(ctx); err != nil {
		return exitCode(err), out.String(), err.Error()
	}
	return 0, out.String(), ""
}

// auditors writes what an auditor keeps of a directory that the real sealer
// sealed: the keys and the newest checkpoint.
func auditors(t *testing.T, dir string) (keys, checkpoint string) {
	t.Helper()
	history, err := sealer.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer history.Close()
	k, err := history.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}
	kept := t.TempDir()
	keys, checkpoint = filepath.Join(kept, "keys.json"), filepath.Join(kept, "checkpoint.txt")
	for name, b := range map[string][]byte{keys: text, checkpoint: mustSigned(t, history)} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return keys, checkpoint
}

func TestVerifyCommands(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	keys, checkpoint := auditors(t, v.dir)
	middle := v.records[v.early()]
	edited := func(s *scene) {
		s.rewrite(rehashes, func(r []eventstore.Record) []eventstore.Record { return edit(r, v.early()) })
	}
	for name, c := range map[string]struct {
		prepare func(s *scene)
		args    []string // without --data
		code    int
		want    string // in the output or the message
	}{
		"log":                           {nil, []string{"log"}, 0, "complete and untouched"},
		"log against what I keep":       {nil, []string{"log", "--keys", keys, "--checkpoint", checkpoint}, 0, "checked against your own copy"},
		"log in JSON":                   {nil, []string{"log", "-o", "json", "--progress", "json"}, 0, `"failed": 0,`},
		"an edited log":                 {edited, []string{"log"}, exitVerify, middle.ID.String()},
		"an edited log in JSON":         {edited, []string{"log", "-o", "json"}, exitVerify, `"id": "` + middle.ID.String() + `"`},
		"an event":                      {nil, []string{"event", middle.ID.String(), "--keys", keys}, 0, "the event is in the log, unchanged"},
		"an event in JSON":              {nil, []string{"event", middle.ID.String(), "-o", "json"}, 0, `"steps": [`},
		"an edited event":               {edited, []string{"event", middle.ID.String()}, exitVerify, middle.ID.String()},
		"an unknown event":              {nil, []string{"event", "00000000-0000-0000-0000-000000000001"}, exitNotFound, "no such record"},
		"what is no id":                 {nil, []string{"event", "x"}, exitUsage, "want a UUID"},
		"views":                         {nil, []string{"views"}, 0, "the views are what the log says"},
		"altered views":                 {alterViews, []string{"views"}, exitDiffers, "table events, row seq 5: recorded is "},
		"altered views in JSON":         {alterViews, []string{"views", "-o", "json"}, exitDiffers, `"table": "events"`},
		"no views":                      {removing("views.db"), []string{"views"}, exitNotFound, "there is no"},
		"no ledger":                     {removing("ledger.db"), []string{"log"}, exitNotFound, "ledger_missing"},
		"no ledger for views":           {removing("ledger.db"), []string{"views"}, exitNotFound, "ledger_missing"},
		"no proof":                      {removing("proof.db"), []string{"log"}, exitNotFound, "proof"},
		"a ledger that is none":         {func(s *scene) { overwrite(s, "ledger.db") }, []string{"log"}, exitVerify, "ledger_corrupt"},
		"an output there is not":        {nil, []string{"log", "-o", "xml"}, exitUsage, "want table"},
		"lines, which are for lists":    {nil, []string{"views", "-o", "jsonl"}, exitUsage, "want table or json"},
		"a progress there is not":       {nil, []string{"log", "--progress", "loud"}, exitUsage, "want auto, json or none"},
		"keys that are none":            {nil, []string{"log", "--keys", checkpoint}, exitUsage, "--keys"},
		"a checkpoint that is none":     {nil, []string{"log", "--checkpoint", keys}, exitUsage, "held checkpoint"},
		"a policy that is none":         {nil, []string{"log", "--policy", keys}, exitUsage, "witness policy"},
		"nothing to go on from":         {nil, []string{"log", "--resume"}, exitUsage, "no interrupted run is kept"},
		"a file to go on from, but bad": {nil, []string{"log", "--resume", "--state", keys}, exitUsage, "is not one of this version"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, v)
			if c.prepare != nil {
				c.prepare(s)
			}
			args := append(c.args, "--data", s.dir)
			if c.args[0] == "log" && !strings.Contains(strings.Join(args, " "), "--state") {
				args = append(args, "--state", filepath.Join(t.TempDir(), "state"))
			}
			code, out, message := verify(t.Context(), io.Discard, args...)
			if code != c.code || !strings.Contains(out+message, c.want) {
				t.Errorf("exit code %d, want %d with %q:\n%s%s", code, c.code, c.want, out, message)
			}
		})
	}
}

func alterViews(s *scene) {
	s.tamper("views.db", func(db *sql.DB) { s.exec(db, `UPDATE events SET recorded = recorded + 1 WHERE seq = 5`) })
}

func removing(file string) func(s *scene) {
	return func(s *scene) {
		if err := os.Remove(filepath.Join(s.dir, file)); err != nil {
			s.t.Fatal(err)
		}
	}
}

func overwrite(s *scene, file string) {
	if err := os.WriteFile(filepath.Join(s.dir, file), bytes.Repeat([]byte("no database "), 500), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// interrupter ends a context when something is written, as Ctrl-C would.
type interrupter struct {
	bytes.Buffer
	stop context.CancelFunc
}

func (i *interrupter) Write(b []byte) (int, error) {
	i.stop()
	return i.Buffer.Write(b)
}

func TestVerifyLogCanBeInterrupted(t *testing.T) {
	t.Parallel()
	s := newScene(t, newVictim(t))
	state := filepath.Join(t.TempDir(), "sub", "state")
	args := []string{"log", "--data", s.dir, "--state", state, "-o", "json"}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	stderr := &interrupter{stop: stop}
	code, _, message := verify(ctx, stderr, args...)
	if code != exitInterrupted || !strings.Contains(stderr.String(), "--resume") {
		t.Fatalf("exit code %d, want %d: %s\n%s", code, exitInterrupted, message, stderr)
	}
	code, out, message := verify(t.Context(), io.Discard, append(args, "--resume")...)
	var r replay.LogReport
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != 0 || r.ResumedAt == 0 || r.Records != uint64(len(s.records)) {
		t.Errorf("resumed: exit code %d at @%d, %d records, %v %s", code, r.ResumedAt, r.Records, err, message)
	}
	if _, err := os.Stat(state); !os.IsNotExist(err) {
		t.Errorf("the state of a run that came to its end is kept: %v", err)
	}
}
