package bundle_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/authledger/authledger/replay/bundle"
)

// page is verify.html in a Chromium, opened from a file. One verification runs
// at a time.
type page struct {
	mu   sync.Mutex
	ctx  context.Context
	file string

	seen       sync.Mutex
	complaints []string // of the browser: errors, and anything it asked a network for
}

func openPage(t *testing.T) *page {
	t.Helper()
	dir, err := filepath.Abs("assets")
	if err != nil {
		t.Fatal(err)
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(browser(t)), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.WindowSize(1000, 1400),
	)
	ctx, stop := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Minute)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	p := &page{ctx: ctx, file: "file://" + filepath.ToSlash(filepath.Join(dir, "verify.html"))}
	if err := chromedp.Listen(ctx, p.listen); err != nil {
		t.Fatalf("start the browser: %v", err)
	}
	return p
}

func (p *page) listen(event any) {
	p.seen.Lock()
	defer p.seen.Unlock()
	switch e := event.(type) {
	case *log.EventEntryAdded:
		p.complaints = append(p.complaints, e.Entry.Text)
	case *network.EventRequestWillBeSent:
		if !strings.HasPrefix(e.Request.URL, "file://") && !strings.HasPrefix(e.Request.URL, "blob:") {
			p.complaints = append(p.complaints, "asked for "+e.Request.URL)
		}
	}
}

// verify loads the page anew, gives it the bundle and returns what it says.
func (p *page) verify(t *testing.T, packed []byte, keys string) (status string, failures []string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "bundle.zip")
	if err := os.WriteFile(file, packed, 0o600); err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := chromedp.Do(p.ctx, chromedp.Navigate(p.file)); err != nil {
		t.Fatalf("open %s: %v", p.file, err)
	}
	if _, err := chromedp.Run(p.ctx, chromedp.Evaluate[string](fmt.Sprintf(`document.getElementById("keys").value = %q`, keys))); err != nil {
		t.Fatalf("paste the keys: %v", err)
	}
	if err := chromedp.Do(p.ctx, chromedp.SetUploadFiles("#file", []string{file})); err != nil {
		t.Fatalf("choose the bundle: %v", err)
	}
	if _, err := chromedp.Run(p.ctx, chromedp.Poll[bool](`["good", "bad"].includes(document.getElementById("status").className)`, chromedp.WithPollingInterval(20*time.Millisecond))); err != nil {
		t.Fatalf("wait for the result: %v", err)
	}
	status, err := chromedp.Run(p.ctx, chromedp.Evaluate[string](`document.getElementById("status").textContent`))
	if err != nil {
		t.Fatal(err)
	}
	all, err := chromedp.Run(p.ctx, chromedp.Evaluate[string](`Array.from(document.querySelectorAll("#failures li"), li => li.textContent).join("\n")`))
	if err != nil {
		t.Fatal(err)
	}
	if dir := os.Getenv("AUTHLEDGER_SCREENSHOTS"); dir != "" {
		png, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, strings.ReplaceAll(t.Name(), "/", "-")+".png"), png, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return status, strings.Split(all, "\n")
}

// browser finds a Chromium. Without one the test is skipped, unless
// AUTHLEDGER_REQUIRE_BROWSER is 1.
func browser(t *testing.T) string {
	t.Helper()
	for _, name := range []string{os.Getenv("AUTHLEDGER_BROWSER"), "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); name != "" && err == nil {
			return path
		}
	}
	if os.Getenv("AUTHLEDGER_REQUIRE_BROWSER") == "1" {
		t.Fatal("no Chromium found, and AUTHLEDGER_REQUIRE_BROWSER=1")
	}
	t.Skip("=== BROWSER TEST SKIPPED: no Chromium found; install one or set AUTHLEDGER_BROWSER ===")
	return ""
}

func TestBrowserAccepts(t *testing.T) {
	t.Parallel()
	w, p := newWorld(t, 43), openPage(t)
	keys := string(unpack(t, w.write(t, request(bundle.Query{})))["keys.json"])
	for _, c := range questions {
		t.Run(c.name, func(t *testing.T) {
			r := request(c.query)
			r.From, r.To = c.from, c.to
			if status, failures := p.verify(t, w.write(t, r), keys); !strings.HasPrefix(status, "VERIFIED") || strings.Contains(status, "Only against") {
				t.Errorf("got %s %q", status, failures)
			}
			if status, _ := p.verify(t, w.write(t, r), ""); !strings.HasPrefix(status, "VERIFIED") || !strings.Contains(status, "Only against the keys in the bundle") {
				t.Errorf("without keys: got %s", status)
			}
		})
	}
	p.seen.Lock()
	defer p.seen.Unlock()
	if len(p.complaints) > 0 {
		t.Errorf("the browser complains: %q", p.complaints)
	}
}

// The page's own policy admits this script and no other, and no connection.
func TestPageAdmitsOnlyItself(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("assets/verify.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, tag := range []string{"script", "style"} {
		parts := regexp.MustCompile(`(?s)<`+tag+`>(.*?)</`+tag+`>`).FindAllSubmatch(text, -1)
		if len(parts) != 1 {
			t.Fatalf("%d elements %s, want 1", len(parts), tag)
		}
		sum := sha256.Sum256(parts[0][1])
		if want := tag + "-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(string(text), want) {
			t.Errorf("the policy must have %s", want)
		}
	}
	for _, never := range []string{"http://", "https://", "src=", "href=", "import ", "eval(", "innerHTML", "onclick", "fetch("} {
		if strings.Contains(string(text), never) {
			t.Errorf("the page has %q", never)
		}
	}
	for _, must := range []string{"default-src 'none'", "connect-src 'none'", `lang="en"`, `aria-live="polite"`, `<label for="file">`, "<h1>"} {
		if !strings.Contains(string(text), must) {
			t.Errorf("the page lacks %q", must)
		}
	}
}
