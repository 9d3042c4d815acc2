package main

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"

	"github.com/authledger/authledger/eventstore/merkle"
)

// unzip reads all files of a bundle.
func unzip(t *testing.T, path string) (names []string, files map[string][]byte) {
	t.Helper()
	z, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	files = map[string][]byte{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		if files[f.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
		r.Close()
		names = append(names, f.Name)
	}
	return names, files
}

func rezip(t *testing.T, path string, names []string, files map[string][]byte) {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range names {
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate})
		if err == nil {
			_, err = w.Write(files[name])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// inBrowser opens the bundle's own page from a file, without a network, and
// returns what it says.
func inBrowser(t *testing.T, page, bundle, keys string) (good bool, text string) {
	t.Helper()
	browser := os.Getenv("AUTHLEDGER_BROWSER")
	if browser == "" {
		for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
			if path, err := exec.LookPath(name); err == nil {
				browser = path
			}
		}
	}
	if browser == "" {
		if os.Getenv("AUTHLEDGER_REQUIRE_BROWSER") == "1" {
			t.Fatal("no Chromium; AUTHLEDGER_BROWSER may name one")
		}
		t.Skip("no Chromium: verify.html is not tested; AUTHLEDGER_BROWSER may name one")
	}
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
	defer stop()
	ctx, cancel := chromedp.NewExecAllocator(ctx, append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(browser), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND"))...)
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Navigate("file://"+filepath.ToSlash(page))); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[string](fmt.Sprintf(`document.getElementById("keys").value = %q`, keys))); err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Do(ctx, chromedp.SetUploadFiles("#file", []string{bundle})); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Run(ctx, chromedp.Poll[bool](`["good", "bad"].includes(document.getElementById("status").className)`)); err != nil {
		t.Fatalf("wait for the page's verdict: %v", err)
	}
	verdict, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.getElementById("status").className`))
	if err == nil {
		text, err = chromedp.Run(ctx, chromedp.Evaluate[string](`document.body.innerText`))
	}
	if err != nil {
		t.Fatal(err)
	}
	return verdict == "good", text
}

// evidenceRow is what a line of events.jsonl says of where it belongs.
type evidenceRow struct {
	Sequence uint64 `json:"sequence"`
	ID       string `json:"id"`
	Type     string `json:"type"`
	Data     []byte `json:"dataBase64"`
	Leaf     string `json:"leaf"`
}

// TestEndToEndEvidence makes a bundle with the running product and gives it to
// every verifier there is: the program, the Python script and the page that are
// in the bundle, and two libraries of other people used directly. Then one byte
// of one event is another, and each of them says so and names the event.
func TestEndToEndEvidence(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	p := start(t, data)
	u := newPerson(p, "evidence", "HK", "HK").withSMS()
	p.another("C-EVIDENCE")
	p.until("everything is sealed", func() bool { _, c := p.checkpoint(); return c.Size >= uint64(len(u.story()))+2 })
	keyFile := filepath.Join(t.TempDir(), "auditor.key")
	if err := os.WriteFile(keyFile, []byte(p.keys["auditor"]), 0o600); err != nil {
		t.Fatal(err)
	}
	keysText := p.text("auditor", "/v1/log/keys")
	pinned := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(pinned, keysText, 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "evidence.zip")
	p.mustRun("export", "--server", p.url, "--key-file", keyFile, "--user", u.id, "--purpose", "request 2026-114", "-o", file)
	names, files := unzip(t, file)
	dir := t.TempDir()
	for _, name := range []string{"verify.html", "verify_bundle.py"} {
		if err := os.WriteFile(filepath.Join(dir, name), files[name], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	verify := func(file string) map[string]string {
		refused := map[string]string{}
		if out, err := p.run("verify", "bundle", file, "--keys", pinned); err != nil {
			refused["authledger verify bundle"] = out
		}
		if out, err := exec.Command("python3", filepath.Join(dir, "verify_bundle.py"), file, "--keys", pinned).CombinedOutput(); err != nil {
			refused["verify_bundle.py"] = string(out)
		}
		if good, text := inBrowser(t, filepath.Join(dir, "verify.html"), file, string(keysText)); !good {
			refused["verify.html"] = text
		}
		return refused
	}
	if refused := verify(file); len(refused) > 0 {
		t.Fatalf("the bundle as it was made is refused: %v", refused)
	}

	var row evidenceRow
	line := slices.IndexFunc(bytes.Split(files["events.jsonl"], []byte("\n")), func(l []byte) bool {
		return json.Unmarshal(l, &row) == nil && row.Type == "PhoneNumberVerified"
	})
	if line < 0 {
		t.Fatal("the bundle has no PhoneNumberVerified")
	}
	elsewhere(t, files, row, keysText)

	lines := bytes.Split(files["events.jsonl"], []byte("\n"))
	at := bytes.Index(lines[line], []byte(`"dataBase64":"`)) + len(`"dataBase64":"`) + 20
	if lines[line][at]++; lines[line][at] == 'Z'+1 || lines[line][at] == 'z'+1 || lines[line][at] == '9'+1 {
		lines[line][at] -= 2 // another letter of base64
	}
	files["events.jsonl"] = bytes.Join(lines, []byte("\n"))
	rezip(t, file, names, files)
	refused := verify(file)
	for _, name := range []string{"authledger verify bundle", "verify_bundle.py", "verify.html"} {
		if said, ok := refused[name]; !ok || !strings.Contains(said, row.ID) {
			t.Errorf("%s does not name the event %s: %s", name, row.ID, said)
		}
	}
}

// elsewhere checks the checkpoint and the proof of one event with
// golang.org/x/mod/sumdb/note and github.com/transparency-dev/merkle alone, and
// then with one byte changed.
func elsewhere(t *testing.T, files map[string][]byte, row evidenceRow, keysText []byte) {
	t.Helper()
	var keys struct {
		Epochs []struct {
			VerifierKey string `json:"verifierKey"`
		} `json:"epochs"`
	}
	if err := json.Unmarshal(keysText, &keys); err != nil || len(keys.Epochs) != 1 {
		t.Fatalf("keys %s: %v", keysText, err)
	}
	verifier, err := note.NewVerifier(keys.Epochs[0].VerifierKey)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := note.Open(files["checkpoint.txt"], note.VerifierList(verifier)); err != nil {
		t.Errorf("x/mod/sumdb/note: %v", err)
	}
	changed := bytes.Replace(files["checkpoint.txt"], []byte("\n"), []byte("\n1"), 1)
	if _, err := note.Open(changed, note.VerifierList(verifier)); err == nil {
		t.Error("x/mod/sumdb/note takes another size")
	}
	p, err := merkle.ParseEventProof(files["proofs/"+row.ID+".tlog-proof"])
	if err != nil {
		t.Fatalf("proof of %s: %v", row.ID, err)
	}
	c, err := merkle.Unverified(p.Checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	path := make([][]byte, len(p.Path))
	for i := range p.Path {
		path[i] = p.Path[i][:]
	}
	leaf := make([]byte, 32)
	if _, err := fmt.Sscanf(row.Leaf, "%x", &leaf); err != nil {
		t.Fatal(err)
	}
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, p.Index, c.Size, leaf, path, c.Root[:]); err != nil || p.Index != row.Sequence-1 {
		t.Errorf("transparency-dev/merkle: index %d: %v", p.Index, err)
	}
	leaf[7] ^= 1
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, p.Index, c.Size, leaf, path, c.Root[:]); err == nil {
		t.Error("transparency-dev/merkle takes another leaf")
	}
}
