package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/api/pskc"
)

// command runs the command line in this process.
func command(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	root := newRootCommand()
	root.SetArgs(args)
	root.SetOut(&out)
	root.SetErr(io.Discard)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

// transportKeyFile is a file as `openssl rand -hex 16` writes it.
func transportKeyFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "transport.key")
	if err := os.WriteFile(path, []byte("00112233445566778899aabbccddeeff\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCardCommands(t *testing.T) {
	t.Parallel()
	dir, keyFile := t.TempDir(), transportKeyFile(t)
	batch := filepath.Join(dir, "batch.xml")
	made, err := command(t, "card", "make", "--count", "2", "--out", filepath.Join(dir, "cards"), "--pskc", batch,
		"--transport-key-file", keyFile, "--pin-check", "local")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(made), "\n")
	if len(lines) != 2 {
		t.Fatalf("two cards are %q", made)
	}
	file := strings.Fields(lines[0])[1]
	if _, err := command(t, "card", "set-pin", "--card", file, "--pin", "1234"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		response, err := command(t, "card", "respond", "--card", file, "--pin", "1234", "--challenge", "483921")
		if err != nil || len(strings.TrimSpace(response)) != 8 {
			t.Errorf("response %q, %v", response, err)
		}
	}
	if info, err := os.Stat(batch); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the batch: %v", err)
	}
	key, err := transportKey("--transport-key-file", keyFile)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(batch)
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := pskc.Read(bytes.NewReader(text), key)
	if err != nil || len(tokens) != 2 || tokens[0].Serial != strings.Fields(lines[0])[0] {
		t.Errorf("%d tokens in the batch, %v", len(tokens), err)
	}
	cells := filepath.Join(dir, "cells.json")
	if err := os.WriteFile(cells, []byte(`{"cells":["ABC","DEF","GHJ"]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := command(t, "card", "cells", "--card", cells, "--index", "3", "--index", "1"); err != nil || out != "GHJABC\n" {
		t.Errorf("cells %q, %v", out, err)
	}
}

func TestCardMistakesAreUsageErrors(t *testing.T) {
	t.Parallel()
	dir, keyFile := t.TempDir(), transportKeyFile(t)
	batch, out := filepath.Join(dir, "batch.xml"), filepath.Join(dir, "cards")
	if _, err := command(t, "card", "make", "--out", out, "--pskc", batch, "--transport-key-file", keyFile); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(out, "*.card.json"))
	if err != nil || len(files) != 1 {
		t.Fatalf("cards %v, %v", files, err)
	}
	short := filepath.Join(dir, "short.key")
	if err := os.WriteFile(short, []byte("0011"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"card", "make", "--count", "0", "--out", out, "--pskc", batch + "2", "--transport-key-file", keyFile},
		{"card", "make", "--pskc", batch + "2", "--transport-key-file", keyFile},
		{"card", "make", "--out", out, "--pskc", batch + "2", "--transport-key-file", short},
		{"card", "make", "--out", out, "--pskc", batch + "2", "--transport-key-file", keyFile, "--pin-check", "never"},
		{"card", "respond", "--card", files[0], "--pin", "12", "--challenge", "483921"},
		{"card", "respond", "--card", files[0], "--pin", "1234"},
		{"card", "cells", "--card", files[0], "--index", "1"},
	} {
		var mistake *usageError
		if _, err := command(t, args...); !errors.As(err, &mistake) {
			t.Errorf("%s: %v", strings.Join(args[:2], " "), err)
		}
	}
	// A batch that exists is not overwritten, and a failure leaves no file.
	if _, err := command(t, "card", "make", "--out", out, "--pskc", batch, "--transport-key-file", keyFile); !errors.Is(err, os.ErrExist) {
		t.Errorf("a batch that exists: %v", err)
	}
	blocked := filepath.Join(dir, "blocked")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := command(t, "card", "make", "--out", blocked, "--pskc", batch+"3", "--transport-key-file", keyFile); err == nil {
		t.Error("cards were made in a file")
	}
	if _, err := os.Stat(batch + "3"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a batch without cards is left: %v", err)
	}
}

func TestDeviceImport(t *testing.T) {
	t.Parallel()
	var got gen.DeviceImportRequest
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != "/v1/devices/imports" || r.Header.Get("Authorization") != "Bearer key-1" ||
			r.Header.Get("Idempotency-Key") == "" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
		}
		_, _ = io.WriteString(w, `{"items":[{"deviceId":"dev_1","manufacturer":"m","serial":"SIM-1","outcome":"registered","eventIds":["evt_1"]}]}`)
	}))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	batch, keyFile := filepath.Join(dir, "batch.xml"), filepath.Join(dir, "operator.key")
	for path, text := range map[string]string{batch: "<KeyContainer/>", keyFile: "key-1\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := command(t, "device", "import", "--server", server.URL, "--key-file", keyFile, batch)
	if err != nil || strings.Join(strings.Fields(out), " ") != "dev_1 SIM-1 registered" || string(got.Pskc) != "<KeyContainer/>" {
		t.Errorf("printed %q, %v; sent %d bytes", out, err, len(got.Pskc))
	}
	asJSON, err := command(t, "device", "import", "--server", server.URL, "--key-file", keyFile, "--json", batch)
	var answer gen.DeviceImport
	if err != nil || json.Unmarshal([]byte(asJSON), &answer) != nil || len(answer.Items) != 1 || answer.Items[0].EventIds[0] != "evt_1" {
		t.Errorf("JSON %q, %v", asJSON, err)
	}
	if err := os.WriteFile(keyFile, []byte("key-2"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := command(t, "device", "import", "--server", server.URL, "--key-file", keyFile, batch); err == nil {
		t.Error("a refusal of the server is no error")
	}
	if err := os.WriteFile(batch, make([]byte, pskc.MaxSize+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := command(t, "device", "import", "--server", server.URL, "--key-file", keyFile, batch); !errors.Is(err, pskc.ErrTooLarge) {
		t.Errorf("a file larger than 4 MiB: %v", err)
	}
}
