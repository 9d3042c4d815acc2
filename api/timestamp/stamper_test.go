package timestamp_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/authledger/authledger/api/timestamp"
	"github.com/authledger/authledger/api/timestamp/timestamptest"
	"github.com/authledger/authledger/eventstore/merkle"
	"github.com/authledger/authledger/eventstore/merkle/merkletest"
	"github.com/authledger/authledger/eventstore/sealer"
)

const origin = "ledger.example/stamps"

// stampedLog is a log in memory with a clock and an authority.
type stampedLog struct {
	*sealer.Memory

	t       *testing.T
	mu      sync.Mutex
	now     time.Time // guarded by mu
	next    uint64
	asks    *timestamptest.Authority
	stamper *timestamp.Stamper
}

func newStampedLog(t *testing.T) *stampedLog {
	l := &stampedLog{Memory: sealer.NewMemory(), t: t, now: noon, asks: timestamptest.New(t), next: 1}
	l.asks.Clock = l.clock
	keys := merkle.Keys{Origin: origin, Epochs: []merkle.Epoch{{Number: 1, Public: merkletest.Public(1)}}}
	if _, err := l.Begin(t.Context(), keys); err != nil {
		t.Fatal(err)
	}
	l.stamper = timestamp.NewStamper(timestamp.StamperConfig{Log: l, Client: client(t, l.asks), Clock: l.clock})
	return l
}

func (l *stampedLog) clock() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now
}

// pass puts the clock forward and signs a checkpoint of the empty log.
func (l *stampedLog) pass(d time.Duration) {
	l.t.Helper()
	l.mu.Lock()
	l.now = l.now.Add(d)
	l.mu.Unlock()
	c := merkle.Checkpoint{Origin: origin, Root: merkle.EmptyRoot()}
	signed, err := c.Sign(l.clock(), merkletest.Signer(1))
	if err == nil {
		err = l.Publish(l.t.Context(), sealer.Publication{Revision: l.next, Checkpoint: c, Signed: signed, At: l.clock()})
	}
	if err != nil {
		l.t.Fatal(err)
	}
	l.next++
}

// stamped are the revisions with a time stamp; each must verify.
func (l *stampedLog) stamped() (revisions []uint64) {
	l.t.Helper()
	for p, err := range l.From(l.t.Context(), 1) {
		if err != nil {
			l.t.Fatal(err)
		}
		for _, s := range p.Stamps {
			if _, err := timestamp.Check(s.Token, merkle.AsLogSigned(p.Signed, origin), l.asks.Roots()); err != nil {
				l.t.Errorf("stamp of revision %d: %v", p.Revision, err)
			}
			revisions = append(revisions, p.Revision)
		}
	}
	return revisions
}

func (l *stampedLog) wantStamped(want ...uint64) {
	l.t.Helper()
	got := l.stamped()
	if len(got) != len(want) {
		l.t.Fatalf("revisions %v have stamps, want %v", got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			l.t.Fatalf("revisions %v have stamps, want %v", got, want)
		}
	}
}

func (l *stampedLog) round() error { return l.stamper.Round(l.t.Context()) }

func TestOneCheckpointOfEachDayIsStamped(t *testing.T) {
	t.Parallel()
	l := newStampedLog(t)
	l.pass(0)
	line, err := merkle.Cosign(signedOf(t, l), "witness.example", merkletest.Signer(2), noon)
	if err == nil {
		err = l.AddCosignature(t.Context(), 1, line)
	}
	if err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		pass time.Duration
		want []uint64
	}{
		{time.Second, []uint64{2}},          // the first one found, though not the first ever
		{11 * time.Hour, []uint64{2}},       // 23:00 of the same day
		{time.Hour, []uint64{2, 4}},         // midnight
		{time.Minute, []uint64{2, 4}},       // once is enough
		{72 * time.Hour, []uint64{2, 4, 6}}, // days without anything
	}
	for i, step := range steps {
		l.pass(step.pass)
		if err := l.round(); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		l.wantStamped(step.want...)
	}
	again := timestamp.NewStamper(timestamp.StamperConfig{Log: l, Client: client(t, l.asks), Clock: l.clock})
	if err := again.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.wantStamped(2, 4, 6) // a restart does not stamp again
}

func signedOf(t *testing.T, l *stampedLog) []byte {
	t.Helper()
	p, err := l.Latest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p.Signed
}

// At midnight the newest checkpoint may still be of the day before.
func TestDayIsThatOfTheCheckpoint(t *testing.T) {
	t.Parallel()
	l := newStampedLog(t)
	l.pass(0)
	if err := l.round(); err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	l.now = l.now.Add(24 * time.Hour) // and nothing is signed
	l.mu.Unlock()
	if err := l.round(); err != nil {
		t.Fatal(err)
	}
	l.wantStamped(1)
}

func TestFailureIsCountedAndTriedAgain(t *testing.T) {
	t.Parallel()
	l := newStampedLog(t)
	l.pass(0)
	l.asks.Fail(true)
	if err := l.round(); err == nil || !strings.Contains(err.Error(), "status 503") {
		t.Errorf("got %v, want the status", err)
	}
	l.asks.Fail(false)
	l.pass(timestamp.Retry - time.Second)
	if err := l.round(); err != nil || l.asks.Asked() != 1 {
		t.Errorf("asked %d times, %v; want once before %s are over", l.asks.Asked(), err, timestamp.Retry)
	}
	l.wantMetrics("authledger_timestamp_failures_total 1", "authledger_timestamp_age_seconds")
	l.pass(time.Second)
	if err := l.round(); err != nil {
		t.Fatal(err)
	}
	l.wantStamped(3)
	l.pass(90 * time.Second)
	l.wantMetrics("authledger_timestamp_age_seconds 90", "")
}

func (l *stampedLog) wantMetrics(want, absent string) {
	l.t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(l.stamper)
	w := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	text := w.Body.String()
	if !strings.Contains(text, want+"\n") || absent != "" && strings.Contains(text, absent) {
		l.t.Errorf("metrics are\n%s\nwant %q and not %q", text, want, absent)
	}
}

// An authority whose clock is behind would make every verification fail.
func TestStampBeforeItsCheckpointIsNotKept(t *testing.T) {
	t.Parallel()
	l := newStampedLog(t)
	l.pass(0)
	l.asks.Clock = func() time.Time { return l.clock().Add(-6 * time.Second) }
	if err := l.round(); err == nil || !strings.Contains(err.Error(), "compare the clocks") {
		t.Errorf("got %v, want that the clocks differ", err)
	}
	l.wantStamped()
	l.pass(timestamp.Retry)
	l.asks.Clock = func() time.Time { return l.clock().Add(-5 * time.Second) }
	if err := l.round(); err != nil {
		t.Error(err)
	}
	l.wantStamped(2)
}

func TestRunStampsAtOnceAndEndsWithItsContext(t *testing.T) {
	t.Parallel()
	l := newStampedLog(t)
	l.pass(0)
	ctx, stop := context.WithCancel(t.Context())
	ticks, done := make(chan time.Time), make(chan struct{})
	go func() { defer close(done); l.stamper.Run(ctx, ticks) }()
	ticks <- noon // taken after the first round
	l.wantStamped(1)
	stop()
	<-done
}
