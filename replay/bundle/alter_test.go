package bundle_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/authledger/authledger/eventstore/merkle"
	"github.com/authledger/authledger/replay/bundle"
)

// alteration is something a forger does to a bundle. Unless raw is set he makes
// the manifest fit again, so that file hashes do not catch him.
type alteration struct {
	name  string
	raw   bool
	do    func(t *testing.T, w *world, f files)
	event string // part of the line of the failure that names what was altered
}

// asked is the question whose extract is altered: the stream is revisions 0 to
// 16 of ada, at @1, @5, @6, @10, …, of 43 records.
var asked = bundle.Query{Streams: []string{ada}}

var alterations = []alteration{
	{"flip a byte of an event's data", true, func(t *testing.T, _ *world, f files) { flipField(t, f, "events.jsonl", 2, "dataBase64") }, "event @6 "},
	{"flip a byte of an event's data and fix the manifest", false, func(t *testing.T, _ *world, f files) { flipField(t, f, "events.jsonl", 2, "dataBase64") }, "event @6 "},
	{"show other data than the bytes", false, func(t *testing.T, _ *world, f files) { f.edit(t, "events.jsonl", `"data":{"n":5,`, `"data":{"n":6,`) }, "event @6 "},
	{"change an event's type", false, func(t *testing.T, _ *world, f files) {
		f.edit(t, "events.jsonl", f.line("events.jsonl", 2), strings.Replace(f.line("events.jsonl", 2), "OptOutDenied", "OptOutGiven1", 1))
	}, "event @6 "},
	{"change an event's time", false, func(t *testing.T, _ *world, f files) {
		line := f.line("events.jsonl", 2)
		at := regexp.MustCompile(`"recordedAtMicros":(\d+)`).FindStringSubmatch(line)[1]
		f.edit(t, "events.jsonl", line, strings.Replace(line, at, at[:len(at)-1]+"0", 1))
	}, "event @6 "},
	{"change the table alone", false, func(t *testing.T, _ *world, f files) { f.edit(t, "events.csv", "OptOutDenied", "OptOutGiven1") }, "events.csv"},
	{"add a row to the table", false, func(_ *testing.T, _ *world, f files) {
		f["events.csv"] = append(f["events.csv"], `"99","x"`+"\r\n"...)
	}, "events.csv"},
	{"flip a byte of a proof", true, func(t *testing.T, _ *world, f files) { flipProof(t, f, 2) }, "event @6 "},
	{"flip a byte of a proof and fix the manifest", false, func(t *testing.T, _ *world, f files) { flipProof(t, f, 2) }, "event @6 "},
	{"drop a proof", false, func(t *testing.T, _ *world, f files) { delete(f, proofOf(t, f, 2)) }, "event @6 "},
	{"swap two proofs", false, func(t *testing.T, _ *world, f files) {
		a, b := proofOf(t, f, 2), proofOf(t, f, 3)
		f[a], f[b] = f[b], f[a]
	}, "event @6 "},
	{"flip a byte of a skipped entry", true, func(t *testing.T, _ *world, f files) { flipField(t, f, "range.jsonl", 1, "dataHash") }, "event @2 "},
	{"flip a byte of a skipped entry and fix the manifest", false, func(t *testing.T, _ *world, f files) { flipField(t, f, "range.jsonl", 1, "dataHash") }, "event @2 "},
	{"rename the stream of a skipped entry", false, func(t *testing.T, _ *world, f files) {
		f.edit(t, "range.jsonl", f.line("range.jsonl", 1), strings.Replace(f.line("range.jsonl", 1), bob, "user-eve", 1))
	}, "event @2 "},
	{"hide an event among the skipped ones", false, func(t *testing.T, _ *world, f files) { skipEvent(t, f, ada) }, "event @41 "},
	{"hide an event under another stream", false, func(t *testing.T, _ *world, f files) { skipEvent(t, f, bob) }, "range root"},
	{"drop an event", false, func(t *testing.T, _ *world, f files) { f.edit(t, "events.jsonl", f.line("events.jsonl", 2), "") }, "event @6 "},
	{"move an event", false, func(t *testing.T, _ *world, f files) {
		line := f.line("events.jsonl", 2)
		f.edit(t, "events.jsonl", line, "")
		f["events.jsonl"] = append(f["events.jsonl"], line...)
	}, "event @6 "},
	{"repeat an event", false, func(t *testing.T, _ *world, f files) {
		line := f.line("events.jsonl", 2)
		f.edit(t, "events.jsonl", line, line+line)
	}, "event @6 "},
	{"swap the places of two events", false, func(t *testing.T, _ *world, f files) {
		a, b := f.line("events.jsonl", 2), f.line("events.jsonl", 3)
		f.edit(t, "events.jsonl", a+b, strings.Replace(b, `"sequence":10`, `"sequence":6`, 1)+strings.Replace(a, `"sequence":6`, `"sequence":10`, 1))
	}, "event @6 "},
	{"swap two skipped entries", false, func(t *testing.T, _ *world, f files) {
		a, b := f.line("range.jsonl", 1), f.line("range.jsonl", 2)
		f.edit(t, "range.jsonl", a+b, strings.Replace(b, `"sequence":3`, `"sequence":2`, 1)+strings.Replace(a, `"sequence":2`, `"sequence":3`, 1))
	}, "range root"},
	{"cut the end of the window", false, cutEnd, "range root"},
	{"take a skipped entry out", false, func(t *testing.T, _ *world, f files) { f.edit(t, "range.jsonl", f.line("range.jsonl", 1), "") }, "@2"},
	{"flip a byte of the checkpoint's root", false, func(t *testing.T, _ *world, f files) { flip(t, f, "checkpoint.txt", len(origin)+8) }, "checkpoint.txt"},
	{"flip a byte of the checkpoint's signature", false, func(t *testing.T, _ *world, f files) {
		flip(t, f, "checkpoint.txt", bytes.LastIndex(f["checkpoint.txt"], []byte("— ledger"))-20)
	}, "checkpoint.txt"},
	{"take the cosignature away", false, func(_ *testing.T, _ *world, f files) {
		f["checkpoint.txt"] = f["checkpoint.txt"][:bytes.Index(f["checkpoint.txt"], []byte("— witness"))]
	}, "witness policy"},
	{"say another size", false, func(t *testing.T, _ *world, f files) { f.edit(t, "checkpoint.txt", "\n43\n", "\n44\n") }, "checkpoint.txt"},
	{"put another key into the keys", false, func(t *testing.T, w *world, f files) {
		forged := merkle.Keys{Origin: origin, Epochs: []merkle.Epoch{{Number: 1, Public: key(66).Public}}}
		text, err := json.MarshalIndent(forged, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		f["keys.json"] = append(text, '\n')
	}, "checkpoint.txt"},
	{"change the purpose", true, func(t *testing.T, _ *world, f files) { f.edit(t, "manifest.json", "2026-114", "2026-115") }, "manifest.note"},
	{"change the question", false, func(t *testing.T, _ *world, f files) {
		f.remanifest(t, func(m *bundle.Manifest) { m.Query.Streams = []string{bob} })
	}, "filter"},
	{"narrow the question", false, func(t *testing.T, _ *world, f files) {
		f.remanifest(t, func(m *bundle.Manifest) { m.Query.Types = []string{"OptOutDenied"} })
	}, "event @1 "},
	{"change the counts", false, func(t *testing.T, _ *world, f files) {
		f.remanifest(t, func(m *bundle.Manifest) { m.Counts.Scanned++; m.Counts.Skipped++ })
	}, "manifest.json"},
	{"widen the window in words", false, func(t *testing.T, _ *world, f files) {
		f.remanifest(t, func(m *bundle.Manifest) { m.Window.To = 44 })
	}, "manifest.json"},
	{"change the cover sheet", true, func(t *testing.T, _ *world, f files) {
		f.edit(t, "README.txt", "In the extract: 17", "In the extract: 16")
	}, "README.txt"},
	{"change the verifier that comes along", true, func(t *testing.T, _ *world, f files) { f.edit(t, "verify.html", "REFUSED", "VERIFIED") }, "verify.html"},
	{"drop the range proof", false, func(_ *testing.T, _ *world, f files) {
		f["range.proof"] = append(f["range.proof"], f["range.proof"]...)
		f["range.proof"] = append(f["range.proof"], "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"...)
	}, "range"},
	{"add a file", false, func(_ *testing.T, _ *world, f files) { f["../../etc/passwd"] = []byte("x") }, "passwd"},
}

func flip(t *testing.T, f files, name string, at int) {
	t.Helper()
	if at < 0 || at >= len(f[name]) {
		t.Fatalf("%s has no byte %d", name, at)
	}
	f[name] = bytes.Clone(f[name])
	if f[name][at] != 'A' {
		f[name][at] = 'A'
	} else {
		f[name][at] = 'B'
	}
}

// flipField changes the first character of a text of a line.
func flipField(t *testing.T, f files, name string, line int, field string) {
	t.Helper()
	old := f.line(name, line)
	at := strings.Index(old, `"`+field+`":"`) + len(field) + 4
	c := byte('0')
	if old[at+1] == c {
		c = '1'
	}
	f.edit(t, name, old, old[:at+1]+string(c)+old[at+2:])
}

func proofOf(t *testing.T, f files, line int) string {
	t.Helper()
	var r struct{ ID string }
	if err := json.Unmarshal([]byte(f.line("events.jsonl", line)), &r); err != nil {
		t.Fatal(err)
	}
	return "proofs/" + r.ID + ".tlog-proof"
}

func flipProof(t *testing.T, f files, line int) {
	name := proofOf(t, f, line)
	flip(t, f, name, bytes.Index(f[name], []byte("index"))+12)
}

// skipEvent makes the last event of the extract a skipped one of a stream.
func skipEvent(t *testing.T, f files, stream string) {
	t.Helper()
	all := strings.SplitAfter(string(f["events.jsonl"]), "\n")
	last := all[len(all)-2]
	delete(f, proofOf(t, f, len(all)-2))
	f.edit(t, "events.jsonl", last, "")
	rows := strings.SplitAfter(string(f["events.csv"]), "\r\n")
	f["events.csv"] = []byte(strings.Join(rows[:len(rows)-2], ""))
	f.edit(t, "range.jsonl", f.line("range.jsonl", seqOf(t, last)-1), skipped(t, last, stream)+"\n")
	f.remanifest(t, func(m *bundle.Manifest) { m.Counts.Matched--; m.Counts.Skipped++ })
}

// cutEnd takes the last record out of everything: the end of ada's history.
func cutEnd(t *testing.T, _ *world, f files) {
	lines := strings.SplitAfter(string(f["range.jsonl"]), "\n")
	f["range.jsonl"] = []byte(strings.Join(lines[:len(lines)-2], ""))
	f.remanifest(t, func(m *bundle.Manifest) { m.Window.To--; m.Counts.Scanned--; m.Counts.Skipped-- })
}

// verdicts asks the three verifiers and returns their failures as one text each.
func verdicts(t *testing.T, p *page, packed []byte, pinned string) map[string]string {
	t.Helper()
	out := map[string]string{}
	var o bundle.Options
	var args []string
	if pinned != "" {
		var keys merkle.Keys
		if err := json.Unmarshal([]byte(pinned), &keys); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "keys.json")
		if err := os.WriteFile(file, []byte(pinned), 0o600); err != nil {
			t.Fatal(err)
		}
		o.Keys, args = &keys, []string{"--keys", file}
	}
	report, err := verify(packed, o)
	if err != nil {
		out["authledger"] = err.Error()
		for _, f := range report.Failures {
			out["authledger"] += "\n" + f.String()
		}
	}
	if text, code := python(t, packed, args...); code == 10 {
		out["python"] = text
	} else if code != 0 {
		t.Fatalf("the Python verifier ends with %d: %s", code, text)
	}
	if status, failures := p.verify(t, packed, pinned); strings.HasPrefix(status, "REFUSED") {
		out["browser"] = status + "\n" + strings.Join(failures, "\n")
	} else if !strings.HasPrefix(status, "VERIFIED") {
		t.Fatalf("the page says %s", status)
	}
	return out
}

// TestAlterationsAreRefused: each by all three verifiers, and the failure names
// what was altered.
func TestAlterationsAreRefused(t *testing.T) {
	t.Parallel()
	w, p := newWorld(t, 43), openPage(t)
	packed := w.write(t, request(asked))
	for _, c := range alterations {
		t.Run(c.name, func(t *testing.T) {
			f := unpack(t, packed)
			c.do(t, w, f)
			if !c.raw {
				f.remanifest(t, nil)
			}
			got := verdicts(t, p, f.pack(t), "")
			for _, who := range []string{"authledger", "python", "browser"} {
				if !strings.Contains(got[who], c.event) {
					t.Errorf("%s does not name %q: %q", who, c.event, got[who])
				}
			}
		})
	}
}

// A bundle forged whole, with another key, agrees with itself. Pinned keys tell.
func TestPinnedKeys(t *testing.T) {
	t.Parallel()
	w, p := newWorld(t, 12), openPage(t)
	packed := w.write(t, request(bundle.Query{}))
	forged := newWorld(t, 12)
	forged.append(t, bob, "Forged", 50)
	forged.seal(t)
	forged.resign(t, 66)
	src, signer := forged.source(), key(66)
	src.Sign = &signer
	var b bytes.Buffer
	if _, err := bundle.Write(t.Context(), src, request(bundle.Query{}), &b); err != nil {
		t.Fatal(err)
	}
	theirs := b.Bytes()
	mine := string(unpack(t, packed)["keys.json"])
	if got := verdicts(t, p, packed, mine); len(got) != 0 {
		t.Errorf("false alarm: %v", got)
	}
	if got := verdicts(t, p, theirs, ""); len(got) != 0 {
		t.Errorf("a bundle that agrees with itself: %v", got)
	}
	got := verdicts(t, p, theirs, mine)
	for _, who := range []string{"authledger", "python", "browser"} {
		if !strings.Contains(got[who], "keys.json") {
			t.Errorf("%s: %q", who, got[who])
		}
	}
}
