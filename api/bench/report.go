package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"text/tabwriter"
	"time"
)

// Report is the content of bench.json.
type Report struct {
	Started time.Time `json:"started"`
	Seconds float64   `json:"seconds"`
	Quick   bool      `json:"quick"` // sizes too small to judge by
	Rounds  int       `json:"rounds"`
	Machine Machine   `json:"machine"`
	Rows    []Row     `json:"rows"`
}

// Machine is where it ran.
type Machine struct {
	OS         string  `json:"os"`
	Arch       string  `json:"arch"`
	Cores      int     `json:"cores"`
	Go         string  `json:"go"`
	Filesystem string  `json:"filesystem"`
	FlushMS    float64 `json:"flush_ms"`     // median of overwriting and flushing 4 KiB
	FlushP90MS float64 `json:"flush_p90_ms"` // its 90th percentile
}

// Row is one measured quantity: median, least and most over the rounds.
type Row struct {
	Scenario string `json:"scenario"`
	Name     string `json:"name"`
	Unit     string `json:"unit"`
	Value    Span   `json:"value"`
	// Baseline says what the ratio is to, and BaselineValue its median, in the
	// same unit. Absent when there is nothing to compare with.
	Baseline      string  `json:"baseline,omitempty"`
	BaselineValue float64 `json:"baseline_value,omitempty"`
	Ratio         *Span   `json:"ratio,omitempty"`
	Goal          string  `json:"goal,omitempty"`
	Met           *bool   `json:"met,omitempty"`  // absent without a goal
	Note          string  `json:"note,omitempty"` // what must be said with the figure
}

// measured is a row without a baseline.
func measured(name, unit string, values series) Row {
	return Row{Name: name, Unit: unit, Value: values.span()}
}

// against adds the baseline of the same rounds.
func (r Row) against(name string, values, base series) Row {
	ratio := values.over(base).span()
	r.Baseline, r.BaselineValue, r.Ratio = name, base.span().Median, &ratio
	return r
}

// Goals of the project's performance plan, by id.

// atLeast sets the goal for the median ratio.
func (r Row) atLeast(id string, bound float64) Row {
	return r.judge(fmt.Sprintf("%s ratio >= %g", id, bound), r.Ratio.Median >= bound)
}

// atMost sets the goal for the median ratio.
func (r Row) atMost(id string, bound float64) Row {
	return r.judge(fmt.Sprintf("%s ratio <= %g", id, bound), r.Ratio.Median <= bound)
}

// valueAtMost sets the goal for the median value.
func (r Row) valueAtMost(id string, bound float64) Row {
	return r.judge(fmt.Sprintf("%s <= %g %s", id, bound, r.Unit), r.Value.Median <= bound)
}

// judge adds a goal; a row with two must meet both.
func (r Row) judge(goal string, met bool) Row {
	if r.Met != nil {
		goal, met = r.Goal+", "+goal, *r.Met && met
	}
	r.Goal, r.Met = goal, &met
	return r
}

func (r Report) print(w io.Writer) error {
	m := r.Machine
	fmt.Fprintf(w, "%s/%s, %d cores, %s, %s, flush of 4 KiB %.3f ms (p90 %.3f); medians of %d rounds [least, most]\n",
		m.OS, m.Arch, m.Cores, m.Go, m.Filesystem, m.FlushMS, m.FlushP90MS, r.Rounds)
	if r.Quick {
		fmt.Fprintln(w, "quick: sizes too small to judge by")
	}
	if m.Filesystem == memoryFilesystem {
		fmt.Fprintln(w, "in memory: a flush costs nothing here, so goals for a disk say nothing; choose another directory")
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nscenario\twhat\tvalue\tunit\tratio\tto\tgoal\tmet")
	for _, row := range r.Rows {
		ratio, met := "", ""
		if row.Ratio != nil {
			ratio = fmt.Sprintf("%s [%s, %s]", figure(row.Ratio.Median), figure(row.Ratio.Min), figure(row.Ratio.Max))
		}
		if row.Met != nil {
			met = map[bool]string{true: "yes", false: "NO"}[*row.Met]
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n",
			row.Scenario, row.Name, figure(row.Value.Median), row.Unit, ratio, row.Baseline, row.Goal, met)
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	said := map[string]bool{}
	for _, row := range r.Rows {
		if note := row.Scenario + ": " + row.Note; row.Note != "" && !said[note] {
			said[note] = true
			fmt.Fprintln(w, note)
		}
	}
	return nil
}

// figure shows three significant digits, and whole numbers from 1000 on.
func figure(v float64) string {
	if math.Abs(v) >= 1000 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

func (r Report) write(path string) error {
	if path == "" {
		return nil
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the report: %w", err)
	}
	if err := os.WriteFile(path, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// memoryFilesystem is the name of the file system that keeps nothing.
const memoryFilesystem = "tmpfs"

func describe(dir string) (Machine, error) {
	m := Machine{OS: runtime.GOOS, Arch: runtime.GOARCH, Cores: runtime.NumCPU(), Go: runtime.Version(), Filesystem: filesystem(dir)}
	flushes, err := flushTimes(dir)
	if err != nil {
		return m, fmt.Errorf("measure the disk: %w", err)
	}
	m.FlushMS, m.FlushP90MS = quantile(flushes, 0.5), quantile(flushes, 0.9)
	return m, nil
}
