package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strings"
	"time"

	"github.com/authledger/authledger/eventstore/journal"
)

// Config says what to measure and where. Dir and, for the scenarios that need
// the whole product, Boot are required.
type Config struct {
	// Dir is an existing directory on the disk to measure. Run works in a new
	// directory below it and removes that at the end.
	Dir string
	// Out is the file the report is written to as JSON; empty writes none.
	Out string
	// Print gets the report as a table, Progress a line per step; nil discards.
	Print, Progress io.Writer
	// Boot starts the product on an empty directory, in this process.
	Boot func(ctx context.Context, dir string) (Target, error)
	// Quick takes small sizes and short rounds, to see that everything runs.
	Quick bool
	// Rounds is the number of interleaved rounds; 0 means 5, or 2 with Quick.
	Rounds int
	// Events is the size of the ledger views are rebuilt from; 0 means a
	// million, or 50,000 with Quick.
	Events int
	// Only names scenarios to run (Scenarios); empty means all.
	Only []string
	// Profiles is an existing directory for CPU profiles of the product's side,
	// one file for each measurement and round, which pprof reads together;
	// empty writes none.
	Profiles string
}

// Target is the running product.
type Target struct {
	URL         string // such as http://127.0.0.1:41234
	FrontendKey string // API key with the role frontend; its rate limits must be out of reach
	// Journal is the product's own: users and their histories are made with it,
	// by the same commands the API gives, before anything is measured.
	Journal *journal.Journal
	// Close stops the product and waits for it.
	Close func() error
}

// sizes are what Quick changes.
type sizes struct {
	rounds       int
	window       time.Duration // of one measurement
	callers      []int         // concurrent appenders
	streams      int
	clients      int // of the login load
	users        int // who log in
	histories    int // users on each side of the comparison by history
	short, long  int // events of their histories
	repeats      int // logins of each of them in a round
	events       int
	coldEvents   int // of the user who is loaded cold
	preallocated int64
}

func (c Config) sizes() sizes {
	s := sizes{
		rounds: 5, window: time.Second, callers: []int{1, 64, 512}, streams: 100_000, clients: 64, users: 2048,
		histories: 64, short: 50, long: 5000, repeats: 10, events: 1_000_000, coldEvents: 5000, preallocated: 64 << 20,
	}
	if c.Quick {
		s = sizes{
			rounds: 2, window: 200 * time.Millisecond, callers: []int{1, 64, 512}, streams: 10_000, clients: 64, users: 64,
			histories: 64, short: 50, long: 200, repeats: 2, events: 50_000, coldEvents: 1000, preallocated: 16 << 20,
		}
	}
	if c.Rounds > 0 {
		s.rounds = c.Rounds
	}
	if c.Events > 0 {
		s.events = c.Events
	}
	return s
}

// scenario is one of the things measured.
type scenario struct {
	name    string
	product bool // needs Boot
	run     func(*session, context.Context, string) ([]Row, error)
}

func scenarios() []scenario {
	return []scenario{
		{name: "append", run: (*session).appends},
		{name: "seal", run: (*session).seals},
		{name: "login", product: true, run: (*session).logins},
		{name: "rebuild", run: (*session).rebuilds},
		{name: "verify", run: (*session).verifications},
	}
}

// Scenarios are the names Config.Only knows.
func Scenarios() []string {
	var names []string
	for _, s := range scenarios() {
		names = append(names, s.name)
	}
	return names
}

// session is one run.
type session struct {
	Config
	sizes
	began time.Time
}

// Run measures, prints the table and writes the JSON file. When a scenario
// fails the rest is not run and nothing is written.
func Run(ctx context.Context, c Config) (err error) {
	if c.Print == nil {
		c.Print = io.Discard
	}
	if c.Progress == nil {
		c.Progress = io.Discard
	}
	chosen, err := c.choose()
	if err != nil {
		return err
	}
	s := &session{Config: c, sizes: c.sizes(), began: time.Now()}
	dir, err := os.MkdirTemp(c.Dir, "bench-")
	if err != nil {
		return fmt.Errorf("make the scratch directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	r := Report{Started: s.began.UTC(), Quick: c.Quick, Rounds: s.rounds}
	if r.Machine, err = describe(dir); err != nil {
		return err
	}
	for _, scenario := range chosen {
		rows, err := s.scenario(ctx, scenario, filepath.Join(dir, scenario.name))
		if err != nil {
			return fmt.Errorf("measure %s: %w", scenario.name, err)
		}
		r.Rows = append(r.Rows, rows...)
	}
	r.Seconds = time.Since(s.began).Seconds()
	if err := r.print(c.Print); err != nil {
		return err
	}
	return r.write(c.Out)
}

func (c Config) choose() ([]scenario, error) {
	for _, name := range c.Only {
		if !slices.Contains(Scenarios(), name) {
			return nil, fmt.Errorf("no scenario %q; there are %s", name, strings.Join(Scenarios(), ", "))
		}
	}
	var chosen []scenario
	for _, s := range scenarios() {
		if len(c.Only) > 0 && !slices.Contains(c.Only, s.name) {
			continue
		}
		if s.product && c.Boot == nil {
			return nil, fmt.Errorf("scenario %s needs the product to boot", s.name)
		}
		chosen = append(chosen, s)
	}
	return chosen, nil
}

func (s *session) scenario(ctx context.Context, sc scenario, dir string) ([]Row, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	rows, err := sc.run(s, ctx, dir)
	for i := range rows {
		rows[i].Scenario = sc.name
	}
	return rows, err
}

// say writes a line of progress.
func (s *session) say(format string, args ...any) {
	fmt.Fprintf(s.Progress, "%6.1fs  %s\n", time.Since(s.began).Seconds(), fmt.Sprintf(format, args...))
}

// profiled runs the product's side of a measurement, under the CPU profiler if
// that is wanted.
func (s *session) profiled(name string, round int, do func() error) (err error) {
	if s.Profiles == "" {
		return do()
	}
	f, err := os.Create(filepath.Join(s.Profiles, fmt.Sprintf("%s.%d.pprof", name, round+1)))
	if err != nil {
		return fmt.Errorf("write profile of %s: %w", name, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := pprof.StartCPUProfile(f); err != nil {
		return fmt.Errorf("profile %s: %w", name, err)
	}
	defer pprof.StopCPUProfile()
	return do()
}
