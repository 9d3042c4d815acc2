package timestamp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/merkle"
)

// Times of stamping.
const (
	// Every is how often Run should be told to look.
	Every = 10 * time.Second
	// Retry is how long an authority that failed is left alone.
	Retry = 5 * time.Minute
	// behind is how much earlier than the checkpoint an authority's time may be:
	// the clocks of two hosts. Verifiers allow the same.
	behind = 5 * time.Second
)

// Log is what the Stamper needs of *sealer.Sealer.
type Log interface {
	Keys(ctx context.Context) (merkle.Keys, error)
	Latest(ctx context.Context) (merkle.Published, error)
	Stamped(ctx context.Context) (merkle.Published, error)
	AddStamp(ctx context.Context, revision uint64, s merkle.Stamp) error
}

// StamperConfig says what is stamped, by whom. Log, Client and Clock are
// required.
type StamperConfig struct {
	Log    Log
	Client *Client
	Clock  func() time.Time
	Logger *slog.Logger // nil discards
}

// Stamper has the first checkpoint of each day (UTC, by the log's own time)
// stamped, and the newest one when none ever was. Sealing does not wait for it.
type Stamper struct {
	config StamperConfig
	log    *slog.Logger

	turn sync.Mutex // one round at a time

	mu       sync.Mutex // guards what follows
	stamped  time.Time  // signed time of the newest stamped checkpoint; zero when none
	failed   time.Time  // of the last failure; zero after a success
	failures uint64
}

// NewStamper returns a Stamper that has done nothing yet.
func NewStamper(c StamperConfig) *Stamper {
	s := &Stamper{config: c, log: c.Logger}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s
}

// Run does a round at once and at each tick, until ctx ends. Failures are logged
// and counted.
func (s *Stamper) Run(ctx context.Context, ticks <-chan time.Time) {
	for {
		if err := s.Round(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("a checkpoint could not be time-stamped; trying again", "after", Retry.String(), "error", err)
		}
		select {
		case <-ticks:
		case <-ctx.Done():
			return
		}
	}
}

// Round stamps the newest checkpoint if that is due, and the last failure is not
// younger than Retry.
func (s *Stamper) Round(ctx context.Context) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	if s.resting(s.config.Clock()) {
		return nil
	}
	err := s.round(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed = (time.Time{}); err != nil && ctx.Err() == nil {
		s.failed = s.config.Clock()
		s.failures++
	}
	return err
}

// resting holds back after a failure. A clock that was set back does not hold
// back for longer.
func (s *Stamper) resting(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.failed.IsZero() && !now.Before(s.failed) && now.Before(s.failed.Add(Retry))
}

func (s *Stamper) round(ctx context.Context) error {
	keys, err := s.config.Log.Keys(ctx)
	if err != nil {
		return fmt.Errorf("read the log's keys: %w", err)
	}
	last, err := s.last(ctx, keys)
	if err != nil {
		return err
	}
	newest, err := s.config.Log.Latest(ctx)
	if err != nil {
		return fmt.Errorf("read the newest checkpoint: %w", err)
	}
	at, err := keys.SignedAt(newest.Signed)
	if err != nil {
		return fmt.Errorf("checkpoint %d: %w", newest.Revision, err)
	}
	if !last.IsZero() && !day(at).After(day(last)) {
		return nil
	}
	return s.stamp(ctx, keys, newest, at)
}

// last is when the newest stamped checkpoint was signed; zero when none was
// stamped. It is read each time: what counts is what is kept.
func (s *Stamper) last(ctx context.Context, keys merkle.Keys) (time.Time, error) {
	p, err := s.config.Log.Stamped(ctx)
	if errors.Is(err, eventstore.ErrNotFound) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("read the newest stamped checkpoint: %w", err)
	}
	at, err := keys.SignedAt(p.Signed)
	if err != nil {
		return time.Time{}, fmt.Errorf("checkpoint %d: %w", p.Revision, err)
	}
	s.keep(at)
	return at, nil
}

func (s *Stamper) keep(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stamped = at
}

func day(at time.Time) time.Time { return at.UTC().Truncate(24 * time.Hour) }

// stamp asks the authority and keeps its answer. A time before the checkpoint
// was signed cannot be true of both clocks, and every verification would say so.
func (s *Stamper) stamp(ctx context.Context, keys merkle.Keys, p merkle.Published, signedAt time.Time) error {
	token, at, err := s.config.Client.Stamp(ctx, merkle.AsLogSigned(p.Signed, keys.Origin))
	if err != nil {
		return fmt.Errorf("stamp checkpoint %d: %w", p.Revision, err)
	}
	if at.Before(signedAt.Add(-behind)) {
		return fmt.Errorf("stamp checkpoint %d, signed at %s: the authority says that it is %s; compare the clocks",
			p.Revision, signedAt.UTC().Format(time.RFC3339), at.Format(time.RFC3339))
	}
	if err := s.config.Log.AddStamp(ctx, p.Revision, merkle.Stamp{Authority: s.config.Client.URL, Token: token}); err != nil {
		return fmt.Errorf("keep the time stamp of checkpoint %d: %w", p.Revision, err)
	}
	s.keep(signedAt)
	s.log.Info("checkpoint time-stamped", "revision", p.Revision, "at", at)
	return nil
}

// Describe implements prometheus.Collector.
func (s *Stamper) Describe(out chan<- *prometheus.Desc) {
	out <- ageSeconds
	out <- failuresTotal
}

var (
	ageSeconds    = prometheus.NewDesc("authledger_timestamp_age_seconds", "Age of the newest checkpoint that has a time stamp; absent when none has.", nil, nil)
	failuresTotal = prometheus.NewDesc("authledger_timestamp_failures_total", "Attempts to have a checkpoint time-stamped that failed, since the start.", nil, nil)
)

// Collect implements prometheus.Collector.
func (s *Stamper) Collect(out chan<- prometheus.Metric) {
	now := s.config.Clock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stamped.IsZero() {
		out <- prometheus.MustNewConstMetric(ageSeconds, prometheus.GaugeValue, max(now.Sub(s.stamped), 0).Seconds())
	}
	out <- prometheus.MustNewConstMetric(failuresTotal, prometheus.CounterValue, float64(s.failures))
}
