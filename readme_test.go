package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestReadmeFirstLogin pastes the README's first login into a shell, against
// the built program.
func TestReadmeFirstLogin(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"bash", "curl", "jq"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("AUTHLEDGER_REQUIRE_BROWSER") != "" {
				t.Fatalf("%s is missing", tool)
			}
			t.Skipf("SKIPPED: the README's first login needs %s; install it and run again", tool)
		}
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "<!-- first-login -->\n```sh\n")
	script, _, found := strings.Cut(rest, "```\n<!-- /first-login -->")
	if !found {
		t.Fatal("the README has no first login between its markers")
	}
	dir := t.TempDir()
	p := start(t, filepath.Join(dir, "data"))
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path, filepath.Join(dir, "authledger")); err != nil {
		t.Fatal(err)
	}
	for _, r := range [][2]string{
		{"URL=http://127.0.0.1:8080", "URL=" + p.url},
		{"FRONTEND=…", "FRONTEND=" + p.keys["frontend"]}, {"OPERATOR=…", "OPERATOR=" + p.keys["operator"]},
		{"AUTHLEDGER_DEVICE_KEY=…", "AUTHLEDGER_DEVICE_KEY=" + p.keys["device"]},
	} {
		if strings.Count(script, r[0]) != 1 {
			t.Fatalf("the README's first login does not contain %q once", r[0])
		}
		script = strings.Replace(script, r[0], r[1], 1)
	}
	cmd := exec.Command("bash", "-s")
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(script)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	for _, want := range []string{`"result": "allow"`, "AuthenticationSucceeded", "UserRegistered", "ibkey"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the first login did not print %s:\n%s", want, &out)
		}
	}
}
