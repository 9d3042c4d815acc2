package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestReadme pastes the README's first login and its tour into a shell, against
// the built program.
func TestReadme(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"bash", "curl", "jq"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("AUTHLEDGER_REQUIRE_BROWSER") != "" {
				t.Fatalf("%s is missing", tool)
			}
			t.Skipf("SKIPPED: what the README tells to paste needs %s; install it and run again", tool)
		}
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
	script := readmeBlock(t, "first-login") + readmeBlock(t, "tour")
	for _, r := range [][2]string{
		{"URL=http://127.0.0.1:8080", "URL=" + p.url},
		{"FRONTEND=…", "FRONTEND=" + p.keys["frontend"]}, {"OPERATOR=…", "OPERATOR=" + p.keys["operator"]},
		{"AUDITOR=…", "AUDITOR=" + p.keys["auditor"]}, {"COMPLIANCE=…", "COMPLIANCE=" + p.keys["compliance"]},
		{"AUTHLEDGER_DEVICE_KEY=…", "AUTHLEDGER_DEVICE_KEY=" + p.keys["device"]},
	} {
		if strings.Count(script, r[0]) != 1 {
			t.Fatalf("the README does not contain %q once", r[0])
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
	for _, want := range []string{
		`"result": "allow"`, "AuthenticationSucceeded", "UserRegistered", // the first login
		`"lastAttempt": "correct"`, "dsc_plus active", "ibkey active", `"optedOut": 0`, "DE-TOUR-1", "HK-2FA-1", "complete and untouched", "the views are what the log says", // the tour
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the README's commands did not print %s:\n%s", want, &out)
		}
	}
}

// readmeBlock is what the README tells to paste, between two markers.
func readmeBlock(t *testing.T, name string) string {
	t.Helper()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "<!-- "+name+" -->\n```sh\n")
	block, _, found := strings.Cut(rest, "```\n<!-- /"+name+" -->")
	if !found {
		t.Fatalf("the README has no %s between its markers", name)
	}
	return block
}
