package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/keyring"
	"github.com/authledger/authledger/eventstore/merkle"
	cosigned "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
)

// ledger is a data directory that no server uses, with the first signing key as
// the sealer makes it.
func ledger(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	s, err := openStores(t.Context(), dir, time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func mustCommand(t *testing.T, args ...string) string {
	t.Helper()
	out, err := command(t, args...)
	if err != nil {
		t.Fatalf("authledger %s: %v", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(out)
}

func TestKeysCommandsOnADirectory(t *testing.T) {
	t.Parallel()
	dir := ledger(t)
	kek := mustCommand(t, "keys", "rotate", "--data", dir, "--kind", "kek")
	kid := mustCommand(t, "keys", "rotate", "--data", dir, "--kind", "codes")
	signer := mustCommand(t, "keys", "rotate", "--data", dir, "--kind", "signing")
	if signer != "s2" {
		t.Errorf("the second signing key is %s", signer)
	}
	table := mustCommand(t, "keys", "list", "--data", dir)
	for _, id := range []string{kek, kid, signer, "s1"} {
		if !strings.Contains(table, id) {
			t.Errorf("%s is not listed:\n%s", id, table)
		}
	}
	var list gen.KeyList
	if err := json.Unmarshal([]byte(mustCommand(t, "keys", "list", "--data", dir, "--json")), &list); err != nil || len(list.Items) < 4 {
		t.Errorf("listed %+v, %v", list, err)
	}
	var keys merkle.Keys
	if err := json.Unmarshal([]byte(mustCommand(t, "keys", "export-public", "--data", dir, "--json")), &keys); err != nil {
		t.Fatal(err)
	}
	wantEpochs(t, dir, keys)
	text := mustCommand(t, "keys", "export-public", "--data", dir)
	if got := strings.Count(text, keys.Origin+"+"); got != 2 {
		t.Errorf("%d verifier keys in\n%s", got, text)
	}
}

// wantEpochs compares exported keys with what the ledger recorded, and one of
// them with a signature.
func wantEpochs(t *testing.T, dir string, keys merkle.Keys) {
	t.Helper()
	s, err := openStores(t.Context(), dir, time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var kinds []string
	var announced uint64
	for r, err := range s.log.ReadStream(t.Context(), domain.KeyringStream(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		d, err := s.codec.Decode(r)
		if err != nil {
			t.Fatal(err)
		}
		e := d.Event.(domain.KeyRotated)
		if kinds = append(kinds, e.Kind); e.Kind == domain.KeySigning {
			announced = uint64(r.Sequence)
		}
	}
	if !slices.Equal(kinds, []string{"key_encryption", "code_epoch", "signing"}) {
		t.Errorf("recorded %v", kinds)
	}
	if len(keys.Epochs) != 2 || keys.Epochs[0].FromSize != 0 || keys.Epochs[1].FromSize != announced || announced == 0 {
		t.Fatalf("exported %+v, the second was announced at %d", keys, announced)
	}
	signed, err := merkle.Checkpoint{Origin: keys.Origin, Size: announced}.Sign(time.Now(), merkle.Signer{
		Public: keys.Epochs[1].Public, Sign: func(m []byte) ([]byte, error) { return s.keys.Sign(t.Context(), 2, m) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Open(signed); err != nil {
		t.Errorf("a checkpoint signed by epoch 2 does not open with the exported keys: %v", err)
	}
}

func TestKeysCommandsNeedTheRightPlace(t *testing.T) {
	t.Parallel()
	empty := t.TempDir()
	for _, args := range [][]string{{"list"}, {"rotate", "--kind", "kek"}, {"export-public"}} {
		_, err := command(t, append([]string{"keys", args[0], "--data", empty}, args[1:]...)...)
		if exitCode(err) != exitNotFound {
			t.Errorf("keys %s in an empty directory: %v", args[0], err)
		}
	}
	if entries, err := os.ReadDir(empty); err != nil || len(entries) != 0 {
		t.Errorf("the empty directory holds %v, %v", entries, err)
	}
	dir := ledger(t)
	s, err := openStores(t.Context(), dir, time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, err = command(t, "keys", "rotate", "--data", dir, "--kind", "kek")
	if exitCode(err) != exitUnavailable || !strings.Contains(err.Error(), "--server") {
		t.Errorf("beside a running server: exit %d, %v", exitCode(err), err)
	}
	for _, args := range [][]string{
		{"rotate", "--data", dir, "--kind", "subject"}, {"rotate", "--data", dir},
		{"generate", "--kind", "signing", "--name", "a", "--out", "b"}, {"generate", "--name", "a"}, {"generate", "--out", "b"},
		{"generate", "--name", "a b+c", "--out", filepath.Join(empty, "k")},
	} {
		if _, err := command(t, append([]string{"keys"}, args...)...); exitCode(err) != exitUsage {
			t.Errorf("keys %v: %v, want a usage error", args, err)
		}
	}
}

// Preparing adds a key that is not used, once, and the file stays one that a node
// opens.
func TestNextKeyEncryptionKeyIsPrepared(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "kek.json")
	old, err := keyring.CreateKEKFile(file)
	if err != nil {
		t.Fatal(err)
	}
	id := mustCommand(t, "keys", "prepare", "--kek-file", file)
	if !strings.HasPrefix(id, "kek-") || id == old {
		t.Errorf("prepared %q beside %s", id, old)
	}
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o400 {
		t.Errorf("mode %v, %v; want 0400", info.Mode(), err)
	}
	if again := mustCommand(t, "keys", "prepare", "--kek-file", file); again != id {
		t.Errorf("prepared %s, and the second time %s", id, again)
	}
	if after, err := os.ReadFile(file); err != nil || !bytes.Equal(after, before) {
		t.Errorf("preparing a second time changed the file: %v", err)
	}
	kek, err := keyring.OpenKEKFile(file)
	if err != nil {
		t.Fatal(err)
	}
	defer kek.Close()
	if kek.ID() != old {
		t.Errorf("%s is in use before the rotation, want %s", kek.ID(), old)
	}
	if err := kek.Rotate(t.Context()); err != nil || kek.ID() != id {
		t.Errorf("the rotation takes %s, want %s: %v", kek.ID(), id, err)
	}
}

func TestPrepareNeedsAKeyFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := command(t, "keys", "prepare"); exitCode(err) != exitUsage {
		t.Errorf("without a file: %v, want a usage error", err)
	}
	if _, err := command(t, "keys", "prepare", "--kek-file", filepath.Join(dir, "none")); exitCode(err) != exitNotFound {
		t.Errorf("a file that is not there: %v, want exit code %d", err, exitNotFound)
	}
	file := filepath.Join(dir, "text")
	if err := os.WriteFile(file, []byte("{}"), 0o400); err != nil {
		t.Fatal(err)
	}
	if _, err := command(t, "keys", "prepare", "--kek-file", file); err == nil || exitCode(err) == exitUsage {
		t.Errorf("no key file: %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("the directory holds %v, %v", entries, err)
	}
}

func TestWitnessKeyIsGenerated(t *testing.T) {
	t.Parallel()
	const name = "witness.audit.example/1"
	file := filepath.Join(t.TempDir(), "witness.key")
	out := mustCommand(t, "keys", "generate", "--kind", "witness", "--name", name, "--out", file)
	private, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o400 {
		t.Errorf("mode %v, %v; want 0400", info.Mode(), err)
	}
	signer, err := note.NewSigner(strings.TrimSpace(string(private)))
	if err != nil || signer.Name() != name {
		t.Fatalf("the file holds no signing key of %s: %v", name, err)
	}
	fields := strings.Fields(out) // "verifier key K cosigner key K"
	if len(fields) != 6 || strings.Contains(out, "PRIVATE") {
		t.Fatalf("printed %q", out)
	}
	verifier, err := note.NewVerifier(fields[2])
	if err != nil {
		t.Fatal(err)
	}
	signed, err := note.Sign(&note.Note{Text: "text\n"}, signer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := note.Open(signed, note.VerifierList(verifier)); err != nil {
		t.Errorf("the printed key does not verify: %v", err)
	}
	if _, err := cosigned.NewVerifierForCosignatureV1(fields[5]); err != nil {
		t.Errorf("the printed cosigner key: %v", err)
	}
	if _, err := command(t, "keys", "generate", "--name", name, "--out", file); err == nil {
		t.Error("an existing key was overwritten")
	}
	if again, err := os.ReadFile(file); err != nil || !bytes.Equal(again, private) {
		t.Errorf("the file changed: %v", err)
	}
}

func TestPublicKeysComeFromTheServer(t *testing.T) {
	t.Parallel()
	k, err := keyring.Open(t.Context(), keyring.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	key, err := k.NewSigningKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	keys := merkle.Keys{Origin: "ledger.example/2fa", Epochs: []merkle.Epoch{{Number: 1, Public: key.Public}}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/log/keys" || r.Header.Get("Authorization") != "Bearer test-key" {
			http.NotFound(w, r)
			return
		}
		if err := json.NewEncoder(w).Encode(keys); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "operator.key")
	if err := os.WriteFile(file, []byte("test-key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := mustCommand(t, "keys", "export-public", "--server", server.URL, "--key-file", file)
	verifier, err := merkle.VerifierKey(keys.Origin, key.Public)
	if err != nil || !strings.Contains(got, verifier) {
		t.Errorf("printed %s, want %s, %v", got, verifier, err)
	}
}

// The real server rotates while it is used, and the command line says so.
func TestKeysCommandsThroughTheServer(t *testing.T) {
	t.Parallel()
	p := start(t, filepath.Join(t.TempDir(), "data"))
	file := filepath.Join(t.TempDir(), "operator.key")
	if err := os.WriteFile(file, []byte(p.keys["operator"]+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	through := func(args ...string) string {
		return p.mustRun(append([]string{"keys", args[0], "--server", p.url, "--key-file", file}, args[1:]...)...)
	}
	kek := through("rotate", "--kind", "kek")
	if list := through("list"); !strings.Contains(list, kek) || strings.Count(list, "key_encryption") != 1 {
		t.Errorf("listed\n%s", list)
	}
	if _, err := p.run("keys", "list", "--data", p.data); err == nil || !strings.Contains(err.Error(), "--server") {
		t.Errorf("the directory of a running server: %v", err)
	}
	p.stop()
	if list := p.mustRun("keys", "list", "--data", p.data); !strings.Contains(list, kek) {
		t.Errorf("listed after the server ended\n%s", list)
	}
}
