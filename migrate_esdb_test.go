package main

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/eventstore/esdbstore/esdbtest"
)

// TestMigrateToAnEventDatabaseAndBack moves the demo broker's ledger from SQLite
// into an event database with the built program, killed in the middle and
// resumed, runs the product there, and moves it back: every record, checkpoint,
// key and API client is there each time, and what was sealed before the move
// verifies after it.
func TestMigrateToAnEventDatabaseAndBack(t *testing.T) {
	t.Parallel()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	old, node, back := filepath.Join(dir, "old"), filepath.Join(dir, "node"), filepath.Join(dir, "back")
	command := func(args ...string) string {
		t.Helper()
		out, err := exec.Command(path, args...).Output()
		if err != nil {
			t.Fatalf("authledger %s: %s", strings.Join(args, " "), stderrOf(err))
		}
		return strings.TrimSpace(string(out))
	}
	command("seed", "--data", old, "--users", "12")
	key := command("client", "create", "--data", old, "--role", "auditor", "--name", "the auditor")
	size, root := sizeAndRoot(t, old)
	server := esdbtest.Start(t, esdbtest.Options{})
	kek := filepath.Join(old, "kek.json")
	there := []string{"--store", server.URL(), "--store-prefix", "moved"}

	cut := exec.Command(path, "migrate", "--data", old, "--to", server.URL(), "--store-prefix", "moved", "--to-data", node)
	if err := cut.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cut.Wait() }()
	killWhen(t, cut, ended, func() bool { return len(server.Events("moved.ledger-")) > 100 })
	half := len(server.Events("moved.ledger-"))
	summary := func(text string) (s moveSummary) {
		t.Helper()
		if err := json.Unmarshal([]byte(text), &s); err != nil || s.Records < size {
			t.Fatalf("summary %s: %v, want %d records", text, err, size)
		}
		for _, step := range s.Steps {
			if step.Count == 0 && step.Name != "log" && step.Name != "reactions" {
				t.Errorf("step %s moved nothing", step.Name)
			}
		}
		return s
	}
	s := summary(command("migrate", "--data", old, "--to", server.URL(), "--store-prefix", "moved", "--to-data", node, "--json"))
	if s.Root != root || s.Copied == 0 || s.Copied > size-100 {
		t.Errorf("after the kill at %d: got %+v, want the rest of %d records and root %s", half, s, size, root)
	}
	command(append([]string{"store", "prepare"}, there...)...)

	p := start(t, node, append(there, "--kek-file", kek)...)
	p.keys["mover"] = key
	var events gen.EventList
	p.get("mover", "/v1/events?limit=1", &events) // with a key from before the move
	newPerson(p, "moved", "DE", "IE").withSMS()
	var after gen.EventList
	p.get("auditor", "/v1/events?limit=1", &after)
	if len(after.Items) != 1 || uint64(after.Items[0].Sequence) <= size {
		t.Errorf("newest event: %+v, want one behind %d", after.Items, size)
	}
	p.stop()
	for _, what := range []string{"log", "views"} {
		command(append([]string{"verify", what, "--data", node}, there...)...)
	}

	grown := summary(command("migrate", "--from", server.URL(), "--store-prefix", "moved", "--data", node, "--kek-file", kek,
		"--to", "sqlite", "--to-data", back, "--json"))
	if grown.Records <= size {
		t.Errorf("moved back %d records, want more than %d", grown.Records, size)
	}
	p = start(t, back)
	p.keys["mover"] = key
	p.get("mover", "/v1/events?limit=1", &events)
	newPerson(p, "moved-back", "DE", "IE").withSMS()
	p.stop()
	for _, what := range []string{"log", "views"} {
		command("verify", what, "--data", back)
	}
	if n, _ := sizeAndRoot(t, back); n <= grown.Records {
		t.Errorf("the ledger has %d records after the way back, want more than %d", n, grown.Records)
	}
}
