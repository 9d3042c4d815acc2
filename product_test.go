package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/authledger/authledger/api/client"
	"github.com/authledger/authledger/api/gen"
)

// built is the program, built once for all tests that run it; with the race
// detector when the tests have it, so that a race ends it with an exit code.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "authledger-e2e-")
	if err != nil {
		return "", err
	}
	builtIn = dir
	path := filepath.Join(dir, "authledger")
	args := []string{"build", "-tags", "sqlite_omit_load_extension", "-o", path}
	if raceDetector {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, ".")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

// builtIn is the directory that built has made; empty before.
var builtIn string

func TestMain(m *testing.M) {
	code := m.Run()
	if err := clearLedgers(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if builtIn != "" {
		os.RemoveAll(builtIn)
	}
	if theVictim.dir != "" {
		os.RemoveAll(filepath.Dir(theVictim.dir))
	}
	os.Exit(code)
}

// output collects what a process prints and lets a test wait for it.
type output struct {
	mu   sync.Mutex
	cond *sync.Cond
	buf  bytes.Buffer
	done bool
}

func newOutput() *output {
	o := &output{}
	o.cond = sync.NewCond(&o.mu)
	return o
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.cond.Broadcast()
	return o.buf.Write(p)
}

func (o *output) finish() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.done = true
	o.cond.Broadcast()
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// waitFor blocks until the output contains text or the process has ended.
func (o *output) waitFor(text string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for !strings.Contains(o.buf.String(), text) {
		if o.done {
			return false
		}
		o.cond.Wait()
	}
	return true
}

// product is a running server: the real binary in a process of its own.
type product struct {
	t      *testing.T
	cmd    *exec.Cmd
	data   string
	url    string
	keys   map[string]string
	wrote  string // position of the newest write of the test itself
	moved  bool   // the clock was put forward
	stdout *output
	stderr *output
	waited chan error
}

var (
	urlLine = regexp.MustCompile(`(http://127\.0\.0\.1:\d+)/console`)
	keyLine = regexp.MustCompile(`(?m)^\s*(frontend|device|gateway|auditor|incident|operator|compliance)\s+key\s+(\S+)$`)
)

// start runs `authledger serve --demo` on a free port and waits until it says
// that it is ready.
func start(t *testing.T, data string, args ...string) *product {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	p := &product{t: t, data: data, keys: map[string]string{}, stdout: newOutput(), stderr: newOutput(), waited: make(chan error, 1)}
	p.cmd = exec.Command(path, append([]string{"serve", "--demo", "--data", data, "--listen", "127.0.0.1:0"}, args...)...)
	p.cmd.Env = append(os.Environ(), storeEnvironment(t, data)...)
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start: %v", err)
	}
	go func() {
		err := p.cmd.Wait()
		p.stdout.finish()
		p.stderr.finish()
		p.waited <- err
	}()
	t.Cleanup(func() { p.kill() })
	if !p.stdout.waitFor("Stop with Ctrl-C") {
		t.Fatalf("the program ended before it was ready\nstdout:\n%s\nstderr:\n%s", p.stdout, p.stderr)
	}
	text := p.stdout.String()
	if m := urlLine.FindStringSubmatch(text); m != nil {
		p.url = m[1]
	}
	for _, m := range keyLine.FindAllStringSubmatch(text, -1) {
		p.keys[m[1]] = m[2]
	}
	if p.url == "" || len(p.keys) == 0 {
		t.Fatalf("the banner names no address or keys:\n%s", text)
	}
	return p
}

// kill ends the process as a crash would.
func (p *product) kill() {
	if p.cmd.ProcessState == nil && p.cmd.Process != nil {
		p.cmd.Process.Signal(syscall.SIGKILL)
	}
	select {
	case err := <-p.waited:
		p.waited <- err
	case <-time.After(30 * time.Second):
		p.t.Error("the process did not die")
	}
	if text := p.stderr.String(); strings.Contains(text, "DATA RACE") {
		p.t.Errorf("the program has a data race:\n%s", text)
	}
}

// stop ends it as an operator would, and fails unless it exits cleanly.
func (p *product) stop() {
	p.t.Helper()
	p.cmd.Process.Signal(syscall.SIGTERM)
	err := <-p.waited
	p.waited <- err
	if err != nil {
		p.t.Fatalf("the program ended with %v\n%s", err, p.stderr)
	}
}

func (p *product) as(role string) *client.Client { return client.New(p.url, p.keys[role]) }

// post calls the API and fails the test on a fault.
func (p *product) post(role, path string, in, out any) client.Answer {
	p.t.Helper()
	a, err := p.as(role).Post(p.t.Context(), path, in, out)
	if err != nil {
		p.t.Fatalf("POST %s: %v", path, err)
	}
	if a.Position != "" {
		p.wrote = a.Position
	}
	return a
}

// get reads what there is by now, including all that this test wrote over HTTP.
func (p *product) get(role, path string, out any) {
	p.t.Helper()
	var at http.Header
	if p.wrote != "" {
		at = http.Header{"Authledger-Min-Position": {p.wrote}}
	}
	if _, err := p.as(role).Get(p.t.Context(), path, at, out); err != nil {
		p.t.Fatalf("GET %s: %v", path, err)
	}
}

// setClock puts the demonstration's clock forward.
func (p *product) setClock(at string) {
	p.t.Helper()
	when, err := time.Parse(time.RFC3339, at)
	if err != nil {
		p.t.Fatal(err)
	}
	p.post("operator", "/dev/clock", gen.Clock{Now: when}, nil)
	p.moved = true
}

func (p *product) now() time.Time {
	p.t.Helper()
	var c gen.Clock
	if _, err := p.as("operator").Get(p.t.Context(), "/dev/clock", nil, &c); err != nil {
		p.t.Fatalf("read the clock: %v", err)
	}
	return c.Now
}

// until polls a condition that the reactors bring about, with a deadline.
func (p *product) until(what string, ok func() bool) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			p.t.Fatalf("in vain waited until %s\n%s", what, p.situation())
		}
	}
}

// situation is what there is to know when something did not happen: the newest
// events, the inbox, and what the program complained about.
func (p *product) situation() string {
	var b strings.Builder
	var events gen.EventList
	if _, err := p.as("auditor").Get(context.Background(), "/v1/events?limit=12", nil, &events); err != nil {
		fmt.Fprintln(&b, "events:", err)
	}
	for _, e := range events.Items {
		fmt.Fprintf(&b, "@%d %s %s %s\n", e.Sequence, e.RecordedAt.Format(time.RFC3339Nano), e.Type, e.Data)
	}
	var inbox gen.InboxList
	if _, err := p.as("operator").Get(context.Background(), "/dev/inbox", nil, &inbox); err != nil {
		fmt.Fprintln(&b, "inbox:", err)
	}
	for _, m := range inbox.Items {
		fmt.Fprintf(&b, "%s %s\n", m.Channel, m.Id)
	}
	for _, line := range strings.Split(p.stderr.String(), "\n") {
		if !strings.Contains(line, `"level":"INFO"`) {
			fmt.Fprintln(&b, line)
		}
	}
	return b.String()
}

var inCode = regexp.MustCompile(`^([0-9A-Z]{6,8})\b`)

// codeFor waits for the SMS with this message id and returns its code, which
// stands first in the text.
func (p *product) codeFor(messageID string) string {
	p.t.Helper()
	code := ""
	p.until("SMS "+messageID+" arrives", func() bool {
		var inbox gen.InboxList
		if _, err := p.as("operator").Get(p.t.Context(), "/dev/inbox", nil, &inbox); err != nil {
			p.t.Fatalf("read the inbox: %v", err)
		}
		for _, m := range inbox.Items {
			if m.Id == messageID {
				if found := inCode.FindString(m.Text); found != "" {
					code = found
				}
			}
		}
		return code != ""
	})
	return code
}

// run runs another command of the binary and returns what it printed.
func (p *product) run(args ...string) (string, error) {
	p.t.Helper()
	path, err := built()
	if err != nil {
		p.t.Fatal(err)
	}
	if p.moved && args[0] == "phone" {
		args = append(args, "--clock", p.now().Format(time.RFC3339Nano)) // or what the phone signs is too old
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(append(os.Environ(), storeEnvironment(p.t, p.data)...), "AUTHLEDGER_DEVICE_KEY="+p.keys["device"])
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, io.MultiWriter(&errs)
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("authledger %s: %w: %s", strings.Join(args, " "), err, errs.String())
	}
	return out.String(), nil
}

func (p *product) mustRun(args ...string) string {
	p.t.Helper()
	out, err := p.run(args...)
	if err != nil {
		p.t.Fatal(err)
	}
	return strings.TrimSpace(out)
}
