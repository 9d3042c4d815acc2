package web

import (
	"context"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/authledger/authledger/domain"
)

// browser finds a Chromium. Without one the test is skipped, unless
// AUTHLEDGER_REQUIRE_BROWSER is 1.
func browser(t *testing.T) string {
	t.Helper()
	candidates := []string{os.Getenv("AUTHLEDGER_BROWSER"), "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "/usr/bin/chromium"}
	for _, name := range candidates {
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

// complaints are what the browser objected to: violations of the policy,
// exceptions, and dialogs that a script of an attacker would open.
type complaints struct {
	mu   sync.Mutex
	list []string
}

func (c *complaints) listen(event any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch e := event.(type) {
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			c.list = append(c.list, e.Entry.Text+" "+e.Entry.URL)
		}
	case *runtime.EventExceptionThrown:
		c.list = append(c.list, e.ExceptionDetails.Text)
	case *page.EventJavascriptDialogOpening:
		c.list = append(c.list, "dialog: "+e.Message)
	}
}

// tab is a page in a browser.
type tab struct {
	t   *testing.T
	ctx context.Context
}

func newTab(t *testing.T, seen *complaints) tab {
	t.Helper()
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(browser(t)), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.WindowSize(1400, 1000),
	)
	ctx, stop := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Listen(ctx, seen.listen); err != nil {
		t.Fatalf("start the browser: %v", err)
	}
	return tab{t: t, ctx: ctx}
}

func (b tab) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
}

// get is the value of an action.
func get[T any](b tab, what string, a chromedp.Action[T]) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, a)
	if err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
	return v
}

// shot saves a picture of the page for people to look at, if they name a
// folder.
func (b tab) shot(name string) {
	b.t.Helper()
	dir := os.Getenv("AUTHLEDGER_SCREENSHOTS")
	if dir == "" {
		return
	}
	png := get(b, "take a picture", chromedp.FullScreenshot(100))
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// A person finds a user, reads why an opt-out was denied, and sees a new event
// arrive without losing what was open.
func TestConsoleInABrowser(t *testing.T) {
	browser(t)
	b := newBench(t, true)
	b.story()
	server := httptest.NewServer(b.handler)
	t.Cleanup(server.Close)
	var seen complaints
	tab := newTab(t, &seen)

	const event = "evt_00000000000000000000000004"
	tab.do("open the start page", chromedp.Navigate(server.URL+"/console"), chromedp.WaitVisible("#recent"))
	tab.shot("home")
	tab.do("search for the user", chromedp.SendKeys("#q", "ref-1\r"), chromedp.WaitVisible("#timeline"))
	text := get(tab, "read", chromedp.Text("#live"))
	if !strings.Contains(text, "Opt-out 2 denied: REGIME_MANDATORY; deny opt out by rule HK-2FA-1") || !strings.Contains(text, "<script>alert(1)</script>") {
		t.Errorf("page does not show the story as text: %.400s", text)
	}
	tab.do("open the reasons by keyboard",
		chromedp.Focus("#details-"+event+" summary"), chromedp.KeyEvent("\r"), chromedp.WaitVisible("#details-"+event+" .decision"))
	tab.shot("user")
	if text = get(tab, "read", chromedp.Text("#details-"+event)); !strings.Contains(text, "paragraph 1.1") {
		t.Errorf("reasons do not give the legal basis: %s", text)
	}
	b.data.add(domain.AuthenticationSucceeded{TxnID: "txn_" + key + "_3", Factors: 2, AuthenticatorKind: domain.KindIBKey}, "AuthenticationSucceeded")
	tab.do("wait for a new event", chromedp.WaitVisible("#evt_00000000000000000000000005"))
	if !get(tab, "look", chromedp.Evaluate[bool](`document.getElementById("details-`+event+`").open`)) {
		t.Error("the update closed the reasons")
	}
	if at := get(tab, "look", chromedp.Evaluate[string](`document.activeElement.closest("details")?.id ?? ""`)); at != "details-"+event {
		t.Errorf("the update moved the focus to %q", at)
	}
	tab.do("pause", chromedp.Click("[data-pause]"))
	if text = get(tab, "read", chromedp.Text("[data-updates]")); !strings.Contains(text, "Paused") || !strings.Contains(text, "Resume") {
		t.Errorf("after pausing the page says %q", text)
	}
	tab.do("read it on a narrow screen", chromedp.EmulateViewport(320, 700))
	tab.shot("narrow")
	if wide := get(tab, "measure", chromedp.Evaluate[float64](`document.documentElement.scrollWidth`)); wide > 320 {
		t.Errorf("page is %v px wide on a screen of 320 px", wide)
	}
	tab.do("read it in the dark", chromedp.EmulateViewport(1400, 1000), dark)
	tab.shot("dark")
	seen.mu.Lock()
	defer seen.mu.Unlock()
	if len(seen.list) > 0 {
		t.Errorf("the browser complained: %q", seen.list)
	}
}

// dark asks for dark colours.
func dark(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
	_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}},
	})
	return chromedp.Void{}, err
}
