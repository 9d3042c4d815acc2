package bundle_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/replay/bundle"
)

func verify(packed []byte, o bundle.Options) (bundle.Report, error) {
	return bundle.Verify(bytes.NewReader(packed), int64(len(packed)), o)
}

func python(t *testing.T, packed []byte, args ...string) (output string, code int) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "bundle.zip")
	if err := os.WriteFile(file, packed, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("python3", append([]string{"assets/verify_bundle.py", file}, args...)...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("python3 is needed for this test: %v", err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// Every kind of question, on windows that begin and end anywhere.
var questions = []struct {
	name     string
	query    bundle.Query
	from, to eventstore.Sequence
	matched  uint64
	whole    bool
}{
	{name: "all of the log", matched: 43},
	{name: "one stream whole", query: bundle.Query{Streams: []string{ada}}, matched: 17, whole: true},
	{name: "two streams whole", query: bundle.Query{Streams: []string{awkward, bob, bob}}, matched: 26, whole: true},
	{name: "a type", query: bundle.Query{Types: []string{"OptOutDenied"}}, matched: 14},
	{name: "a stream and a type", query: bundle.Query{Streams: []string{bob}, Types: []string{"ResponseRejected"}}, matched: 5},
	{name: "a time", query: bundle.Query{SinceMicros: begin.UnixMicro() + 20_000_000, UntilMicros: begin.UnixMicro() + 40_000_000}, matched: 13},
	{name: "a window in the middle", from: 7, to: 20, matched: 14},
	{name: "one record", from: 43, to: 43, matched: 1},
	{name: "nothing", query: bundle.Query{Streams: []string{"user-nobody"}}, whole: true},
}

func TestWhatIsWrittenIsAccepted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 43)
	for _, c := range questions {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := request(c.query)
			r.From, r.To = c.from, c.to
			packed := w.write(t, r)
			if again := w.write(t, r); !bytes.Equal(packed, again) {
				t.Error("the same request gives other bytes")
			}
			keys := w.history.keys
			report, err := verify(packed, bundle.Options{Keys: &keys, Policy: &w.policy})
			if err != nil {
				t.Fatal(err, report.Failures)
			}
			if report.Manifest.Counts.Matched != c.matched || (len(report.Whole) > 0) != c.whole || !report.Maker || !report.Pinned || len(report.Cosigned) != 1 {
				t.Errorf("got %+v", report)
			}
			if out, code := python(t, packed); code != 0 || !strings.Contains(out, "OK ") || !strings.Contains(out, "no --keys given") {
				t.Errorf("the Python verifier says %d:\n%s", code, out)
			}
		})
	}
}

func TestWhatCannotBeAsked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 10)
	for name, c := range map[string]struct {
		change func(*bundle.Request)
		want   error
	}{
		"no purpose":         {func(r *bundle.Request) { r.Purpose = "" }, bundle.ErrQuery},
		"purpose of 2 lines": {func(r *bundle.Request) { r.Purpose = "a\nb" }, bundle.ErrQuery},
		"bad stream":         {func(r *bundle.Request) { r.Query.Streams = []string{"a b"} }, bundle.ErrQuery},
		"bad type":           {func(r *bundle.Request) { r.Query.Types = []string{""} }, bundle.ErrQuery},
		"time backwards":     {func(r *bundle.Request) { r.Query.SinceMicros, r.Query.UntilMicros = 2, 1 }, bundle.ErrQuery},
		"window backwards":   {func(r *bundle.Request) { r.From, r.To = 3, 2 }, bundle.ErrQuery},
		"beyond the seal":    {func(r *bundle.Request) { r.To = 11 }, bundle.ErrNotSealed},
	} {
		r := request(bundle.Query{})
		c.change(&r)
		if _, err := bundle.Write(t.Context(), w.source(), r, &bytes.Buffer{}); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	w.history.published.Signed = nil
	if _, err := bundle.Write(t.Context(), w.source(), request(bundle.Query{}), &bytes.Buffer{}); !errors.Is(err, bundle.ErrNotSealed) {
		t.Errorf("never sealed: got %v", err)
	}
}

// A log that was changed under its checkpoint yields no evidence.
func TestChangedLogIsNotExported(t *testing.T) {
	t.Parallel()
	w, other := newWorld(t, 10), newWorld(t, 9)
	other.append(t, bob, "Forged", 99)
	src := w.source()
	src.Log = other.log
	if _, err := bundle.Write(t.Context(), src, request(bundle.Query{}), &bytes.Buffer{}); !errors.Is(err, bundle.ErrChanged) {
		t.Errorf("got %v", err)
	}
}

// A bundle without a signature of its maker says so.
func TestUnsigned(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 10)
	src := w.source()
	src.Sign = nil
	var b bytes.Buffer
	if _, err := bundle.Write(t.Context(), src, request(bundle.Query{}), &b); err != nil {
		t.Fatal(err)
	}
	if report, err := verify(b.Bytes(), bundle.Options{}); err != nil || report.Maker || report.Pinned {
		t.Errorf("got %+v, %v", report, err)
	}
}

// The script people take from the repository is the one in each bundle.
func TestPythonVerifierIsOne(t *testing.T) {
	t.Parallel()
	here, err := os.ReadFile("assets/verify_bundle.py")
	if err != nil {
		t.Fatal(err)
	}
	there, err := os.ReadFile("../../tools/verify_bundle.py")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(here, there) {
		t.Error("tools/verify_bundle.py differs from replay/bundle/assets/verify_bundle.py; copy it")
	}
	if n := bytes.Count(here, []byte("\n")); n >= 150 {
		t.Errorf("the script has %d lines; an auditor reads fewer than 150", n)
	}
}

func TestTableIsSafeInSpreadsheets(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 5)
	w.append(t, "=cmd|calc", "OptOutDenied", 5)
	w.append(t, "+85212345678", "@Type", 6)
	w.seal(t)
	packed := w.write(t, request(bundle.Query{}))
	rows := strings.Split(string(unpack(t, packed)["events.csv"]), "\r\n")
	for _, want := range []string{`"'=cmd|calc"`, `"'+85212345678"`, `"'@Type"`} {
		if !slices.ContainsFunc(rows, func(row string) bool { return strings.Contains(row, ","+want+",") }) {
			t.Errorf("no cell %s in %q", want, rows)
		}
	}
	if out, code := python(t, packed); code != 0 {
		t.Error(out)
	}
}
