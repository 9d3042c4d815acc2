package bundle

import (
	"fmt"
	"strings"
	"time"
)

// coverSheet is README.txt: what an auditor asks of evidence that a system
// made, answered in words.
func (e *export) coverSheet() string {
	matched, scanned := len(e.matched), len(e.leaves)
	return fmt.Sprintf(`EVIDENCE FROM AN AUTHLEDGER
===========================

What this is
  An extract of the log %[1]s, with proofs. Format %[2]s.
  Export %[3]s, made %[4]s by authledger %[5]s for %[6]s.
  Purpose: %[7]s

Exact parameters
%[8]s
Population and counts
  Looked through: %[9]d records, @%[10]d to @%[11]d of the log.
  In the extract: %[12]d. Not in it: %[13]d.
  The log had %[14]d records when the checkpoint of this bundle was signed.

How completeness was checked
  range.jsonl has a line for every record that was looked through. Those that are
  not in the extract are there with stream, type, time and the hashes of their
  content. Together with the extract and range.proof they hash to the root in
  checkpoint.txt, which the log has signed. So no record can be missing or have
  another stream, type or time than it says, and anybody can see that none of the
  skipped ones answers the question.

How to repeat it
  Ask again with the same parameters and positions. events.jsonl, events.csv and
  range.jsonl come out byte for byte the same, at any later time.

How to verify it, without us and without a network
  1. authledger verify bundle FILE.zip --keys KEYS.json
  2. python3 verify_bundle.py FILE.zip --keys KEYS.json      (Python 3.8 or newer, nothing else)
  3. open verify.html in a browser and choose the zip
  KEYS.json are the log's public keys as you got them on another way than this
  bundle. Without it, the three only show that the bundle agrees with itself and
  with the keys it brings along. Take verify_bundle.py and verify.html from a place
  you trust; whoever forges a bundle can forge them too.

What it proves
  Each event was in the log at its position, with exactly these bytes, when the
  checkpoint was signed, and nothing that the question asks for is missing from
  the part that was looked through. Cosignatures, if there are any, show that
  witnesses saw the same history.

What it does not prove
  That what was recorded is true. That every program that should have recorded
  something did. Anything about records outside the part that was looked through.
  Personal data is sealed in the record and stays sealed here.
`, e.checkpoint.Origin, Format, e.ExportID, e.At.UTC().Format(time.RFC3339), e.Version, e.RequestedBy, e.Purpose, e.Query.describe(),
		scanned, e.From, e.To, matched, scanned-matched, e.checkpoint.Size)
}

// describe is the query in words, a line for each part.
func (q Query) describe() string {
	var b strings.Builder
	list := func(what string, names []string) {
		if len(names) == 0 {
			names = []string{"all"}
		}
		fmt.Fprintf(&b, "  %s %s\n", what, strings.Join(names, ", "))
	}
	bound := func(what string, at int64) {
		text := "no limit"
		if at != 0 {
			text = time.UnixMicro(at).UTC().Format(micros)
		}
		fmt.Fprintf(&b, "  %s %s\n", what, text)
	}
	list("Streams:       ", q.Streams)
	list("Types:         ", q.Types)
	bound("Recorded since:", q.SinceMicros)
	bound("Recorded until:", q.UntilMicros)
	return b.String()
}
