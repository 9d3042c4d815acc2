package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/google/uuid"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/bridge"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/keyring"
	"github.com/authledger/authledger/eventstore/sealer"
	"github.com/authledger/authledger/eventstore/sqlitestore"
)

// sealingCallers append while the log is sealed.
const sealingCallers = 64

// sealingWindows is how many windows one measurement takes: a sealer works once
// a second, so a window of one second would hold one of its steps or two.
const sealingWindows = 4

// keptUp is how long a record may wait for its checkpoint at the end of a
// measurement; a sealer further behind has put off its work, not done it.
const keptUp = 3 * time.Second

// seals measures what sealing costs the appends: the same ledger with the sealer
// on a router and without, one after the other in each round.
func (s *session) seals(ctx context.Context, dir string) (rows []Row, err error) {
	content, err := singles(ctx)
	if err != nil {
		return nil, err
	}
	dir = filepath.Join(dir, "ledger")
	store, err := sqlitestore.Open(ctx, sqlitestore.Options{Dir: dir, Clock: time.Now})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	keys, err := keyring.Open(ctx, keyring.Options{Dir: dir, Clock: time.Now})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, keys.Close()) }()
	sealing, err := sealer.Open(ctx, sealer.Options{Dir: dir, LedgerID: store.ID(), Log: store, Keys: keys, Clock: time.Now})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, sealing.Close()) }()
	m := &sealMeasure{session: s, store: store, sealer: sealing, content: content}
	for i := range s.streams {
		m.names = append(m.names, domain.UserStream(codec.UserIDOf(fmt.Sprintf("sealed-%d", i))))
	}
	m.expected = make([]eventstore.Expected, len(m.names))
	for round := range s.rounds {
		s.say("seal: round %d of %d, %d callers", round+1, s.rounds, sealingCallers)
		with := func() error {
			return s.profiled("seal", round, func() error { return m.sealed(ctx) })
		}
		if err := alternate(round, with, func() error { return m.appends(ctx, &m.without) }); err != nil {
			return nil, err
		}
	}
	name := fmt.Sprintf("durable appends with the sealer running, %d callers", sealingCallers)
	return []Row{measured(name, "events/s", m.with).against("without it", m.with, m.without).atLeast("seal", 0.90)}, nil
}

type sealMeasure struct {
	*session
	store         *sqlitestore.Store
	sealer        *sealer.Sealer
	content       []eventstore.Proposed
	names         []string
	expected      []eventstore.Expected // by stream; each caller has streams of its own
	turn          int                   // makes streams differ from one measurement to the next
	with, without series
}

// appends drives the ledger for a while.
func (m *sealMeasure) appends(ctx context.Context, out *series) error {
	m.turn++
	l, err := drive(ctx, sealingCallers, extent{window: sealingWindows * m.window}, func(ctx context.Context, caller, n int) error {
		stream := (m.turn*7919+n*31)%(len(m.names)/sealingCallers)*sealingCallers + caller
		event := m.content[(caller+n*sealingCallers)%len(m.content)]
		event.ID = uuid.New()
		done, err := m.store.Append(ctx, m.names[stream], m.expected[stream], []eventstore.Proposed{event})
		if err != nil {
			return err
		}
		m.expected[stream] = eventstore.At(done.Last().Revision, done.Last().Leaf)
		return nil
	})
	if err == nil {
		*out = append(*out, l.rate())
	}
	return err
}

// sealed does it while the sealer runs as in the product. What was appended
// without it is sealed before.
func (m *sealMeasure) sealed(ctx context.Context) (err error) {
	logger := slog.New(slog.DiscardHandler)
	router, err := bridge.NewRouter(bridge.RouterConfig{}, logger)
	if err != nil {
		return err
	}
	m.sealer.Register(router, m.store, bridge.Config{}, logger)
	running, stop := context.WithCancel(ctx)
	routed, ended := make(chan error, 1), make(chan struct{})
	ticks := time.NewTicker(time.Second)
	go func() { routed <- router.Run(running) }()
	go func() { defer close(ended); m.sealer.Run(running, ticks.C) }()
	defer func() {
		stop()
		ticks.Stop()
		<-ended
		err = errors.Join(err, router.Close(), <-routed)
	}()
	head, _, err := m.store.Head(ctx)
	if err != nil {
		return err
	}
	if err := m.sealer.WaitFor(ctx, uint64(head)); err != nil {
		return err
	}
	if err := m.appends(ctx, &m.with); err != nil {
		return err
	}
	if st := m.sealer.Status(ctx); st.Stopped != nil || st.Failing != nil || st.LagAge > keptUp {
		return fmt.Errorf("the sealer does not keep up: %d records wait for %s: %w", st.Lag, st.LagAge.Round(time.Millisecond), errors.Join(st.Failing, stopped(st)))
	}
	return nil
}

func stopped(st sealer.Status) error {
	if st.Stopped == nil {
		return nil
	}
	return st.Stopped
}
