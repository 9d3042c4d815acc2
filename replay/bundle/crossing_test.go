package bundle_test

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/memstore"
	"github.com/authledger/authledger/replay/bundle"
)

// crossing is a sealed log of two nodes. The clock of the second is as far from
// the first one's as skews say, one for each of its records, which alternate with
// the first node's.
func crossing(t *testing.T, skews ...time.Duration) *world {
	t.Helper()
	w, skew := newWorld(t, 3), time.Duration(0)
	nodes := []eventstore.Appender{
		w.log.Node(func() time.Time { return w.now }, 5*time.Second),
		w.log.Node(func() time.Time { return w.now.Add(skew) }, 5*time.Second),
	}
	w.now = w.now.Add(time.Hour)
	for i, s := range skews {
		w.to, skew = nodes[0], s
		w.append(t, ada, "ChallengeIssued", 40+4*i)
		w.to = nodes[1]
		w.append(t, fmt.Sprintf("user-late%d", i), "OptOutDenied", 40+4*i)
	}
	w.seal(t)
	return w
}

// bundleOf writes a bundle of a log as read through log.
func (w *world) bundleOf(t *testing.T, log eventstore.Reader, q bundle.Query) []byte {
	t.Helper()
	src := w.source()
	src.Log = log
	if _, ok := log.(*memstore.Node); ok {
		src.Disorder = 5 * time.Second // whatever the log holds
	}
	var b bytes.Buffer
	if _, err := bundle.Write(t.Context(), src, request(q), &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// shared is the log as a node reads it.
func (w *world) shared() eventstore.Reader {
	return w.log.Node(func() time.Time { return w.now }, 5*time.Second)
}

// onlyReader hides how far time goes back in a log.
type onlyReader struct{ eventstore.Reader }

// altered reads other records than its log's.
type altered struct {
	eventstore.Reader
	log []eventstore.Record
}

func (a altered) Disorder() time.Duration { return 5 * time.Second }

func (a altered) ReadAll(_ context.Context, from eventstore.Sequence) iter.Seq2[eventstore.Record, error] {
	return func(yield func(eventstore.Record, error) bool) {
		for _, r := range a.log[from-1:] {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// streamBack is a bundle of a log in which a stream goes back by a microsecond.
func streamBack(t *testing.T) []byte {
	w := newWorld(t, 5) // @1 and @5 are ada's
	a := altered{Reader: w.log}
	for r, err := range w.log.ReadAll(t.Context(), 1) {
		if err != nil {
			t.Fatal(err)
		}
		a.log = append(a.log, r)
	}
	a.log[4].RecordedAt = a.log[0].RecordedAt.Add(-time.Microsecond)
	w.leaves[4] = a.log[4].Leaf()
	w.seal(t)
	return w.bundleOf(t, a, bundle.Query{})
}

// declare is a forger's bundle that says how far time goes back.
func declare(t *testing.T, packed []byte, text string) []byte {
	t.Helper()
	f := unpack(t, packed)
	delete(f, "manifest.note")
	f["manifest.json"] = bytes.Replace(f["manifest.json"], []byte("\n  \"counts\""), []byte("\n  \"disorderMicros\": "+text+",\n  \"counts\""), 1)
	if !bytes.Contains(f["manifest.json"], []byte("disorderMicros")) {
		t.Fatal("the manifest has another form")
	}
	return f.pack(t)
}

// The three verifiers say the same of times that go back.
func TestTimesThatGoBack(t *testing.T) {
	t.Parallel()
	p := openPage(t)
	minute := eventstore.LateLimit
	for _, c := range []struct {
		name   string
		packed func(t *testing.T) []byte
		remark string // part of the remark that names the event
		refuse string // part of the failure
	}{
		{name: "streams cross", packed: func(t *testing.T) []byte {
			w := crossing(t, -5*time.Second, -time.Microsecond, -4*time.Second)
			return w.bundleOf(t, w.shared(), bundle.Query{})
		}},
		{name: "an event came late", remark: "event @7 ", packed: func(t *testing.T) []byte {
			w := crossing(t, 0, -5*time.Second-time.Microsecond)
			return w.bundleOf(t, w.shared(), bundle.Query{})
		}},
		{name: "a skipped event came late", remark: "event @5 ", packed: func(t *testing.T) []byte {
			w := crossing(t, -minute)
			return w.bundleOf(t, w.shared(), bundle.Query{Streams: []string{ada}})
		}},
		{name: "too late", refuse: "event @5 ", packed: func(t *testing.T) []byte {
			w := crossing(t, -minute-time.Microsecond)
			return w.bundleOf(t, w.shared(), bundle.Query{})
		}},
		{name: "small steps add up", refuse: "event @9 ", remark: "event @7 ", packed: func(t *testing.T) []byte {
			w := crossing(t, -4*time.Second, -40*time.Second, -80*time.Second)
			return w.bundleOf(t, w.shared(), bundle.Query{})
		}},
		{name: "a stream goes back", refuse: "event @5 ", packed: streamBack},
		{name: "the log of one process", refuse: "event @5 ", packed: func(t *testing.T) []byte {
			w := crossing(t, -time.Microsecond)
			return w.bundleOf(t, onlyReader{w.log}, bundle.Query{})
		}},
		{name: "declared by a forger, and too late all the same", refuse: "disorder", packed: func(t *testing.T) []byte {
			w := crossing(t, -time.Hour)
			return declare(t, w.bundleOf(t, onlyReader{w.log}, bundle.Query{}), "3600000000")
		}},
		{name: "declared as nothing", refuse: "manifest.json", packed: func(t *testing.T) []byte { return declare(t, newWorld(t, 3).write(t, request(bundle.Query{})), "0") }},
		{name: "declared as less than nothing", refuse: "manifest.json", packed: func(t *testing.T) []byte { return declare(t, newWorld(t, 3).write(t, request(bundle.Query{})), "-1") }},
		{name: "declared as a part", refuse: "", packed: func(t *testing.T) []byte { return declare(t, newWorld(t, 3).write(t, request(bundle.Query{})), "0.5") }},
		{name: "declared as a text", refuse: "", packed: func(t *testing.T) []byte { return declare(t, newWorld(t, 3).write(t, request(bundle.Query{})), `"5"`) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			packed := c.packed(t)
			refused := c.refuse != "" || strings.HasPrefix(c.name, "declared")
			got := verdicts(t, p, packed, "")
			for _, name := range []string{"authledger", "python", "browser"} {
				if said := got[name]; (said != "") != refused || refused && c.refuse != "disorder" && !strings.Contains(said, c.refuse) {
					t.Errorf("%s: got %q, want refusal %t that names %q", name, said, refused, c.refuse)
				}
			}
			for name, remarks := range remarksOf(t, p, packed) {
				if c.remark == "" && !refused && remarks != "" || c.remark != "" && (!strings.Contains(remarks, c.remark) || !strings.Contains(remarks, "came late")) {
					t.Errorf("%s remarks %q, want %q", name, remarks, c.remark)
				}
			}
		})
	}
}

// remarksOf asks the three verifiers what an auditor may want to ask about. The
// page shows the bundle already.
func remarksOf(t *testing.T, p *page, packed []byte) map[string]string {
	t.Helper()
	report, _ := verify(packed, bundle.Options{})
	out := map[string]string{}
	for _, r := range report.Remarks {
		out["authledger"] += r.String() + "\n"
	}
	text, _ := python(t, packed)
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "REMARK  ") {
			out["python"] += line
		}
	}
	shown, err := chromedp.Run(p.ctx, chromedp.Evaluate[string](`document.getElementById("remarkpart").hidden ? "" : document.getElementById("remarks").textContent`))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"authledger", "python"} {
		out[name] += "" // also those that remark on nothing
	}
	out["browser"] = shown
	return out
}

// Many late events are counted, and the first are named.
func TestManyLateEvents(t *testing.T) {
	t.Parallel()
	skews := make([]time.Duration, 53)
	for i := range skews {
		skews[i] = -20 * time.Second
	}
	w := crossing(t, skews...)
	packed := w.bundleOf(t, w.shared(), bundle.Query{})
	report, err := verify(packed, bundle.Options{})
	if err != nil || report.Late != 53 || len(report.Remarks) != 50 || report.Manifest.DisorderMicros != 5_000_000 {
		t.Errorf("%d late, %d named, disorder %d, %v", report.Late, len(report.Remarks), report.Manifest.DisorderMicros, err)
	}
	if out, code := python(t, packed); code != 0 || strings.Count(out, "REMARK") != 51 || !strings.Contains(out, "3 more events came late") {
		t.Errorf("the Python verifier says %d:\n%s", code, out)
	}
}

// A bundle of a log of one process has the manifest it always had.
func TestLogOfOneProcessDeclaresNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 10)
	if text := unpack(t, w.write(t, request(bundle.Query{})))["manifest.json"]; bytes.Contains(text, []byte("isorder")) {
		t.Errorf("the manifest speaks of disorder:\n%s", text)
	}
}

// A log says of itself how far time goes back.
func TestDisorderIsTheLogs(t *testing.T) {
	t.Parallel()
	w := crossing(t, -5*time.Second)
	src := w.source()
	src.Log = w.shared()
	m, err := bundle.Write(t.Context(), src, request(bundle.Query{}), &bytes.Buffer{})
	if err != nil || m.DisorderMicros != 5_000_000 {
		t.Errorf("the manifest says %d, %v", m.DisorderMicros, err)
	}
}

// A log that claims more than a bundle may say is declared as far as it may.
func TestDisorderIsDeclaredUpToAMinute(t *testing.T) {
	t.Parallel()
	w := crossing(t, -30*time.Second)
	src := w.source()
	src.Disorder = time.Hour
	var b bytes.Buffer
	if _, err := bundle.Write(t.Context(), src, request(bundle.Query{}), &b); err != nil {
		t.Fatal(err)
	}
	if report, err := verify(b.Bytes(), bundle.Options{}); err != nil || report.Manifest.DisorderMicros != 60_000_000 || report.Late != 0 {
		t.Errorf("%+v, %v", report, err)
	}
}
