package replay

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/authledger/authledger/domain"
)

// WriteRules writes rules for people. Legal bases are long, so they stand last.
func WriteRules(w io.Writer, r Rules) error {
	return table(w, func(row func(...string)) {
		writePoint(row, r.AsOf, r.Point, r.KnownAt)
		row("Policy", "version "+strconv.FormatUint(r.PolicyVersion, 10))
		row()
		writeRules(row, "RULES IN FORCE", r.Rules)
	})
}

// WriteVerdict writes a verdict for people: the decision, its rules, its facts
// and the events behind them.
func WriteVerdict(w io.Writer, v Verdict) error {
	return table(w, func(row func(...string)) {
		row("User", v.UserID)
		writePoint(row, v.AsOf, v.Point, v.KnownAt)
		if v.Decision == nil {
			row("Status", "not registered yet")
			return
		}
		writeDecision(row, *v.Decision)
		if v.Decisive != nil {
			row("Legal basis", v.Decisive.LegalBasis)
		}
		row()
		writeRules(row, "MATCHED RULES", v.Matched)
		row()
		writeRules(row, "PROPOSED RULES", v.Proposed)
		writeParts(row, v.Facts)
	})
}

func writeDecision(row func(...string), d domain.Decision) {
	row("Outcome", d.Outcome)
	row("Decisive rule", decisive(d))
	row("Policy", "version "+strconv.FormatUint(d.PolicyVersion, 10))
	f := d.Facts
	row("Residence", f.Residence)
	row("Client", string(f.ClientKind))
	row("Carried in", f.CarryingCC)
	row("Domicile", f.Domicile)
	row("Holders in", countries(f.HolderResidences))
	row("Access to", countries(f.AccessibleCarryingCCs))
}

// countries shows an unknown country as a question mark.
func countries(ccs []string) string {
	out := make([]string, len(ccs))
	for i, cc := range ccs {
		if out[i] = cc; cc == "" {
			out[i] = "?"
		}
	}
	return strings.Join(out, " ")
}

func writeRules(row func(...string), title string, rules []Rule) {
	row(title, "VERSION", "STATUS", "COUNTRY", "EFFECT", "FROM", "TO", "KNOWN SINCE", "LEGAL BASIS")
	for _, r := range rules {
		known := "built in"
		if r.KnownSince != nil {
			known = millis(*r.KnownSince)
		}
		row(r.ID, strconv.Itoa(r.Version), r.Status, r.CC, effects(r.Effects), r.EffectiveFrom, r.EffectiveTo, known, r.LegalBasis)
	}
}

// WriteCheck writes the result of a check for people.
func WriteCheck(w io.Writer, c Check) error {
	return table(w, func(row func(...string)) {
		row("Records", strconv.FormatInt(c.Records, 10))
		row("Policy", fmt.Sprintf("versions %d to %d", c.PolicyVersion[0], c.PolicyVersion[1]))
		row("Overtaken", fmt.Sprintf("%s by a change of the rule book between decision and record", plural(c.Overtaken, "event")))
		row("Differ", plural(c.Differ, "event"))
		row()
		writeCounts(row, "DECISIONS", "REPEATED", c.Decisions)
		row()
		writeCounts(row, "POLICY NAMED BY", "CHECKED", c.Named)
		if c.First == nil {
			return
		}
		row()
		row("FIRST DIFFERENCE", "SEQUENCE", "RECORDED", "EVENT ID", "STREAM")
		row(c.First.Type, fmt.Sprintf("@%d", c.First.Sequence), millis(c.First.RecordedAt), c.First.EventID, c.First.Stream)
		for _, p := range c.First.Problems {
			row("  " + p)
		}
	})
}

func writeCounts(row func(...string), title, checked string, counts []TypeCount) {
	row(title, checked, "DIFFER")
	for _, c := range counts {
		row(c.Type, strconv.FormatInt(c.Checked, 10), strconv.FormatInt(c.Differ, 10))
	}
}

// table writes rows with aligned columns.
func table(w io.Writer, write func(row func(...string))) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	write(rows(t))
	if err := t.Flush(); err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	return nil
}
