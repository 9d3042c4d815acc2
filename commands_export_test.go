package main

import (
	"encoding/json"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/authledger/authledger/api/access"
	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/sealer"
	"github.com/authledger/authledger/replay/bundle"
)

// sealedLedger is decidedLedger with a checkpoint over all of it, and the
// file with the log's public keys.
func sealedLedger(t *testing.T) (dir, userID, keysFile string) {
	t.Helper()
	dir, userID = decidedLedger(t, false)
	sealAll(t, dir)
	history, err := sealer.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := history.Close(); err != nil {
			t.Error(err)
		}
	}()
	keys, err := history.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(keys)
	if err != nil {
		t.Fatal(err)
	}
	keysFile = filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(keysFile, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, userID, keysFile
}

// sealAll opens the stores, lets the sealer see the log, and closes them.
func sealAll(t *testing.T, dir string) {
	t.Helper()
	s, err := openStores(t.Context(), dir, time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	for r, err := range s.log.ReadAll(t.Context(), 1) {
		if err != nil {
			t.Fatal(err)
		}
		if err := s.sealer.See(t.Context(), []eventstore.Record{r}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.sealer.Tick(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestExportAndVerify(t *testing.T) {
	t.Parallel()
	dir, userID, keys := sealedLedger(t)
	file := filepath.Join(t.TempDir(), "evidence.zip")
	export := []string{"export", "--data", dir, "--user", userID, "--with-related", "--purpose", "request 7", "-o", file}
	mustCommand(t, export...)
	if out := mustCommand(t, "verify", "bundle", file, "--keys", keys); !strings.Contains(out, "complete history of "+domain.UserStream(userID)) {
		t.Errorf("got %s", out)
	}
	var report bundle.Report
	if err := json.Unmarshal([]byte(mustCommand(t, "verify", "bundle", file, "--keys", keys, "--json")), &report); err != nil {
		t.Fatal(err)
	}
	if !report.Pinned || report.Maker || report.Manifest.Purpose != "request 7" || report.Manifest.Counts.Matched == 0 {
		t.Errorf("got %+v", report)
	}
	if text, err := exec.Command("python3", "tools/verify_bundle.py", file, "--keys", keys).CombinedOutput(); err != nil {
		t.Errorf("the Python verifier: %v\n%s", err, text)
	}
	if _, err := command(t, export...); exitCode(err) != exitUsage {
		t.Errorf("an existing file: got %v", err)
	}
	flipped, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	flipped[len(flipped)/2] ^= 1
	if err := os.WriteFile(file, flipped, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := command(t, "verify", "bundle", file, "--keys", keys); exitCode(err) != exitVerify || !strings.Contains(out, "FAILED") {
		t.Errorf("a flipped bit: got %v, %s", err, out)
	}
}

func TestExportExitCodes(t *testing.T) {
	t.Parallel()
	dir, _, _ := sealedLedger(t)
	out := filepath.Join(t.TempDir(), "x.zip")
	for name, c := range map[string]struct {
		args []string
		code int
	}{
		"no purpose":        {[]string{"-o", out}, exitUsage},
		"no file":           {[]string{"--purpose", "p"}, exitUsage},
		"bad user":          {[]string{"--purpose", "p", "-o", out, "--user", "usr_x"}, exitUsage},
		"related to nobody": {[]string{"--purpose", "p", "-o", out, "--with-related"}, exitUsage},
		"record as a time":  {[]string{"--purpose", "p", "-o", out, "--since", "@3"}, exitUsage},
		"beyond the seal":   {[]string{"--purpose", "p", "-o", out, "--to", "100000"}, exitUnavailable},
		"bad stream":        {[]string{"--purpose", "p", "-o", out, "--stream", "a b"}, exitUsage},
	} {
		if _, err := command(t, append([]string{"export", "--data", dir}, c.args...)...); exitCode(err) != c.code {
			t.Errorf("%s: got %v, exit code %d, want %d", name, err, exitCode(err), c.code)
		}
		if left, err := filepath.Glob(filepath.Join(filepath.Dir(out), "*")); err != nil || len(left) > 0 {
			t.Errorf("%s: left %v, %v", name, left, err)
		}
	}
}

// TestExportFromServer asks a running product, whose bundle is signed.
func TestExportFromServer(t *testing.T) {
	t.Parallel()
	dir, userID, keys := sealedLedger(t)
	app, err := Start(t.Context(), Config{Data: dir, Listen: "127.0.0.1:0", Demo: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := app.Close(); err != nil {
			t.Error(err)
		}
	}()
	_, key, err := app.access.Create(t.Context(), "auditor", access.Auditor, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	tmp := t.TempDir()
	keyFile, file := filepath.Join(tmp, "auditor.key"), filepath.Join(tmp, "evidence.zip")
	if err := os.WriteFile(keyFile, []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	ask := []string{"export", "--server", app.URL(), "--key-file", keyFile, "--user", userID, "--since", "2026-01-01", "--purpose", "request 8", "-o", file}
	mustCommand(t, ask...)
	var report bundle.Report
	if err := json.Unmarshal([]byte(mustCommand(t, "verify", "bundle", file, "--keys", keys, "--json")), &report); err != nil {
		t.Fatal(err)
	}
	if !report.Maker || report.Manifest.Purpose != "request 8" || report.Manifest.Counts.Matched == 0 {
		t.Errorf("got %+v", report)
	}
	ask[len(ask)-1] = filepath.Join(tmp, "other.zip")
	if _, err := command(t, append(ask, "--to", "1000000")...); err == nil || !strings.Contains(err.Error(), "export_not_sealed") {
		t.Errorf("beyond the seal: got %v", err)
	}
}
