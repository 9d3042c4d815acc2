package bench

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/journal"
	"github.com/authledger/authledger/projections"
)

// rebuilds measures the rebuild of all views against ordered scans of the same
// ledger, the memory both take at a fifth of the ledger and at all of it, and
// how long the state of one user takes to load from nothing.
func (s *session) rebuilds(ctx context.Context, dir string) (rows []Row, err error) {
	p, err := openPopulation(ctx, dir, s.events)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	r := &rebuilding{session: s, population: p, views: filepath.Join(dir, "views")}
	small, err := r.measure(ctx, "a fifth", s.events/5)
	if err != nil {
		return nil, err
	}
	full, err := r.measure(ctx, "all", s.events)
	if err != nil {
		return nil, err
	}
	cold, err := r.cold(ctx)
	if err != nil {
		return nil, err
	}
	return append(full.rows(small), cold...), nil
}

type rebuilding struct {
	*session
	*population
	views string
}

// rebuildResult holds rates in events/s and memory in MiB, by round.
type rebuildResult struct {
	scan, decode, rebuild   series
	decodeHeap, rebuildHeap series
	decodeResident          series
	rebuildResident         series
}

// measure fills the ledger to a number of events and goes through it.
func (r *rebuilding) measure(ctx context.Context, what string, events int) (rebuildResult, error) {
	var out rebuildResult
	r.say("rebuild: writing %d events", events)
	if err := r.fill(ctx, events); err != nil {
		return out, err
	}
	if err := r.reopen(ctx); err != nil {
		return out, fmt.Errorf("open the ledger again: %w", err)
	}
	for round := range r.rounds {
		r.say("rebuild: round %d of %d over %s of %d events", round+1, r.rounds, what, r.held.Load())
		err := alternate(round,
			func() error {
				_, rate, err := r.timed(func() error { return r.scanned(ctx, false) })
				out.scan = append(out.scan, rate)
				return err
			},
			func() error {
				peak, rate, err := r.timed(func() error { return r.scanned(ctx, true) })
				out.decode, out.decodeHeap = append(out.decode, rate), append(out.decodeHeap, peak.heap)
				out.decodeResident = append(out.decodeResident, peak.resident)
				return err
			},
			func() error {
				peak, rate, err := r.timed(func() error {
					return r.profiled("rebuild", round, func() error { return r.rebuilt(ctx) })
				})
				out.rebuild, out.rebuildHeap = append(out.rebuild, rate), append(out.rebuildHeap, peak.heap)
				out.rebuildResident = append(out.rebuildResident, peak.resident)
				return err
			})
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

// timed returns the memory work took and the rate at which it went through the
// ledger.
func (r *rebuilding) timed(work func() error) (peaks, float64, error) {
	var took time.Duration
	peak, err := watched(func() error {
		start := time.Now()
		err := work()
		took = time.Since(start)
		return err
	})
	return peak, float64(r.held.Load()) / took.Seconds(), err
}

func (r *rebuilding) scanned(ctx context.Context, decode bool) error {
	n, err := r.scan(ctx, decode)
	if err == nil && int64(n) != r.held.Load() {
		err = fmt.Errorf("the scan saw %d events of %d", n, r.held.Load())
	}
	return err
}

func (r *rebuilding) rebuilt(ctx context.Context) error {
	blind := func(ctx context.Context, number string) ([]byte, error) { return r.keys.Blind(ctx, "phone/v1", number) }
	report, err := projections.Rebuild(ctx, projections.Options{Dir: r.views, Codec: r.codec, Blind: blind, Clock: time.Now}, r.store, false, nil)
	if err == nil && int64(report.Sequence) != r.held.Load() {
		err = fmt.Errorf("the views were rebuilt to %d of %d", report.Sequence, r.held.Load())
	}
	return err
}

// cold loads a user of the population and one with a long history into
// journals that know nothing.
func (r *rebuilding) cold(ctx context.Context) ([]Row, error) {
	r.say("rebuild: loading a user with %d events", r.coldEvents)
	long, err := r.grown(ctx, len(r.authors), r.coldEvents)
	if err != nil {
		return nil, err
	}
	policy, err := domain.LoadPolicy()
	if err != nil {
		return nil, err
	}
	cfg := journal.Config{Store: r.store, Codec: r.codec, Keyring: r.keys, Policy: policy, Clock: time.Now}
	usual, err := loadTimes(ctx, cfg, r.authors[0].userID)
	if err != nil {
		return nil, err
	}
	grown, err := loadTimes(ctx, cfg, long)
	if err != nil {
		return nil, err
	}
	return []Row{
		measured("cold load of a user", "ms", usual).valueAtMost("G15", 5),
		measured(fmt.Sprintf("cold load of a user with %d events", r.coldEvents), "ms", grown).valueAtMost("P5", 5),
	}, nil
}

// loadTimes are those of a user's state, each in a new journal, in
// milliseconds.
func loadTimes(ctx context.Context, cfg journal.Config, userID string) (series, error) {
	var took series
	for range 20 {
		j, err := journal.New(cfg)
		if err != nil {
			return nil, err
		}
		start := time.Now()
		if err := j.User(ctx, userID, func(*domain.User, time.Time) error { return nil }); err != nil {
			return nil, err
		}
		took = append(took, float64(time.Since(start))/float64(time.Millisecond))
	}
	return took, nil
}

// rows compares with the result at a fifth of the ledger.
func (r rebuildResult) rows(small rebuildResult) []Row {
	const fifth = "a fifth of the ledger"
	grows := func(name string, now, before series) Row {
		return measured(name, "MiB", now).against(fifth, now, before)
	}
	rows := []Row{
		measured("ordered scan", "events/s", r.scan),
		measured("ordered scan that decodes", "events/s", r.decode).against("ordered scan", r.decode, r.scan),
		measured("rebuild of all views", "events/s", r.rebuild).against("scan that decodes", r.rebuild, r.decode).atLeast("G11", 0.25),
		measured("rebuild of all views", "events/s", r.rebuild).against("ordered scan", r.rebuild, r.scan),
		measured("rebuild, rate as the ledger grows", "events/s", r.rebuild).against(fifth, r.rebuild, small.rebuild),
		grows("scan that decodes, peak heap", r.decodeHeap, small.decodeHeap),
		grows("rebuild, peak heap", r.rebuildHeap, small.rebuildHeap),
	}
	if r.decodeResident[0] > 0 && small.decodeResident[0] > 0 {
		rows = append(rows,
			grows("scan that decodes, peak resident memory", r.decodeResident, small.decodeResident).atMost("G16", 1.2).valueAtMost("G16", 32),
			grows("rebuild, peak resident memory", r.rebuildResident, small.rebuildResident).atMost("G16", 1.2))
	}
	return rows
}
