package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/eventstore/merkle"
)

var policyLine = regexp.MustCompile(`(?m)^  (witness \S+ \S+ http://\S+)$`)

// startWitness runs `authledger witness` for a log and returns the line of it
// for a policy file.
func startWitness(t *testing.T, name, logKeys string) string {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	key := filepath.Join(dir, "witness.key")
	if out, err := exec.Command(path, "keys", "generate", "--kind", "witness", "--name", name, "--out", key).CombinedOutput(); err != nil {
		t.Fatalf("make the witness's key: %v\n%s", err, out)
	}
	stdout, stderr := newOutput(), newOutput()
	cmd := exec.Command(path, "witness", "--listen", "127.0.0.1:0", "--data", filepath.Join(dir, "memory"), "--key", key, "--log", logKeys)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		err := cmd.Wait()
		stdout.finish()
		ended <- err
	}()
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		if err := <-ended; err != nil {
			t.Errorf("witness %s ended with %v\n%s", name, err, stderr)
		}
	})
	if !stdout.waitFor("Stop with Ctrl-C") {
		t.Fatalf("witness %s did not start\n%s", name, stderr)
	}
	m := policyLine.FindStringSubmatch(stdout.String())
	if m == nil {
		t.Fatalf("witness %s printed no line for a policy:\n%s", name, stdout)
	}
	return m[1]
}

// metric reads one sample of /metrics; -1 when it is absent.
func (p *product) metric(sample string) float64 {
	p.t.Helper()
	for line := range strings.Lines(string(p.text("operator", "/metrics"))) {
		if value, found := strings.CutPrefix(line, sample+" "); found {
			v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				p.t.Fatal(err)
			}
			return v
		}
	}
	return -1
}

// checkpoint reads the newest one.
func (p *product) checkpoint() ([]byte, merkle.Checkpoint) {
	p.t.Helper()
	signed := p.text("auditor", "/v1/log/checkpoint")
	c, err := merkle.Unverified(signed)
	if err != nil {
		p.t.Fatalf("checkpoint %q: %v", signed, err)
	}
	return signed, c
}

// another registers a client, which is one more event.
func (p *product) another(name string) {
	p.post("operator", "/v1/clients", map[string]any{"reference": name, "kind": "individual", "carryingEntity": "IB-HK", "carryingCountry": "HK"}, nil)
}

// TestWitnessesRefuseAFork runs the product with two witnesses, each a process
// of its own. A copy of the data directory that goes on differently is a fork:
// neither witness cosigns it, and the product says so.
func TestWitnessesRefuseAFork(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	p := start(t, data)
	p.another("C-BEFORE")
	p.until("the first client is sealed", func() bool { _, c := p.checkpoint(); return c.Size >= 1 })
	logKeys := filepath.Join(t.TempDir(), "log-keys.json")
	if err := os.WriteFile(logKeys, p.text("auditor", "/v1/log/keys"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.stop()

	policy := filepath.Join(t.TempDir(), "policy")
	text := startWitness(t, "audit.example", logKeys) + "\n" + startWitness(t, "regulator.example", logKeys) + "\n" +
		"group both all audit.example regulator.example\nquorum both\n"
	if err := os.WriteFile(policy, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	parsed, err := merkle.ParsePolicy(text)
	if err != nil {
		t.Fatal(err)
	}
	fork := filepath.Join(t.TempDir(), "fork")
	if out, err := exec.Command("cp", "-a", data, fork).CombinedOutput(); err != nil {
		t.Fatalf("copy the data: %v\n%s", err, out)
	}

	p = start(t, data, "--witness-policy", policy)
	p.another("C-TRUE")
	size := uint64(0)
	p.until("both witnesses cosign", func() bool {
		signed, c := p.checkpoint()
		size = c.Size
		return size >= 2 && parsed.Satisfied(signed) && p.metric("authledger_witness_quorum_size") >= float64(size)
	})
	p.stop()

	q := start(t, fork, "--witness-policy", policy)
	for i := range 5 { // longer than the true log
		q.another(fmt.Sprintf("C-FALSE-%d", i))
	}
	q.until("both witnesses refuse the longer fork too", func() bool {
		refused := true
		for _, name := range []string{"audit.example", "regulator.example"} {
			of := fmt.Sprintf("{witness=%q}", name)
			refused = refused && q.metric("authledger_witness_fork"+of) == 1 && q.metric("authledger_witness_failures"+of) >= 2
		}
		return refused
	})
	signed, c := q.checkpoint()
	if parsed.Satisfied(signed) || c.Size <= size {
		t.Errorf("the fork of size %d has a quorum (%v) beside the true log's size %d", c.Size, parsed.Satisfied(signed), size)
	}
	if q.metric("authledger_witness_quorum_size") != 0 {
		t.Error("the fork counts a quorum")
	}
	if !strings.Contains(q.stderr.String(), "another history") {
		t.Errorf("the fork's own log does not say so:\n%s", q.stderr)
	}
	var ready gen.Health
	if err := json.Unmarshal(q.text("operator", "/readyz"), &ready); err != nil || ready.Witnesses.State != gen.Fork || len(ready.Witnesses.Forked) != 2 {
		t.Errorf("/readyz says %+v, %v", ready.Witnesses, err)
	}
	for _, url := range regexp.MustCompile(`http://\S+`).FindAllString(text, -1) {
		answer, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		kept, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || !strings.Contains(string(kept), "\nrefused ") {
			t.Errorf("the witness keeps no evidence: %v\n%s", err, kept)
		}
	}
	q.stop()
}

// text reads an answer that is no JSON.
func (p *product) text(role, path string) []byte {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, p.url+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+p.keys[role])
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Fatalf("GET %s: %v", path, err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		p.t.Fatalf("GET %s: %d %s %v", path, answer.StatusCode, b, err)
	}
	return b
}
