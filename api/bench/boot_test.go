package bench

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/authledger/authledger/api"
	"github.com/authledger/authledger/api/access"
	"github.com/authledger/authledger/api/delivery"
	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/bridge"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/journal"
	"github.com/authledger/authledger/eventstore/keyring"
	"github.com/authledger/authledger/eventstore/sqlitestore"
	"github.com/authledger/authledger/projections"
)

// product is the whole product as the program wires it, without its console.
type product struct {
	store       *sqlitestore.Store
	keys        *keyring.Keyring
	codec       *codec.Codec
	policy      *domain.Policy
	journal     *journal.Journal
	checkpoints *projections.Checkpoints
	views       *projections.Views
	access      *access.Store
	router      *bridge.Router

	closers []func() error // run last first
}

// boot is the Boot of the tests.
func boot(ctx context.Context, dir string) (t Target, err error) {
	p := &product{}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	if err := p.open(ctx, dir); err != nil {
		return t, err
	}
	if err := p.react(ctx); err != nil {
		return t, err
	}
	url, err := p.serve()
	if err != nil {
		return t, err
	}
	_, key, err := p.access.Create(ctx, "bench", access.Frontend, time.Time{})
	return Target{URL: url, FrontendKey: string(key), Journal: p.journal, Close: p.close}, err
}

func (p *product) close() error {
	var errs []error
	for i := range p.closers {
		errs = append(errs, p.closers[len(p.closers)-1-i]())
	}
	return errors.Join(errs...)
}

// opened keeps what is to be closed and passes the value on.
func opened[T interface{ Close() error }](p *product, v T, err error) (T, error) {
	if err == nil {
		p.closers = append(p.closers, v.Close)
	}
	return v, err
}

func (p *product) open(ctx context.Context, dir string) (err error) {
	if p.policy, err = domain.LoadPolicy(); err != nil {
		return err
	}
	store, err := sqlitestore.Open(ctx, sqlitestore.Options{Dir: dir, Clock: time.Now})
	if p.store, err = opened(p, store, err); err != nil {
		return err
	}
	keys, err := keyring.Open(ctx, keyring.Options{Dir: dir})
	if p.keys, err = opened(p, keys, err); err != nil {
		return err
	}
	p.codec = codec.New(p.keys)
	checkpoints, err := projections.OpenCheckpoints(ctx, dir, time.Now)
	if p.checkpoints, err = opened(p, checkpoints, err); err != nil {
		return err
	}
	views, err := projections.Open(ctx, projections.Options{
		Dir: dir, Codec: p.codec, Clock: time.Now, Log: p.store,
		Blind: func(ctx context.Context, number string) ([]byte, error) { return p.keys.Blind(ctx, "phone", number) },
	})
	if p.views, err = opened(p, views, err); err != nil {
		return err
	}
	accounts, err := access.Open(ctx, access.Options{Dir: dir})
	if p.access, err = opened(p, accounts, err); err != nil {
		return err
	}
	p.journal, err = journal.New(journal.Config{
		Store: p.store, Codec: p.codec, Keyring: p.keys, Policy: p.policy, Clock: time.Now, SMSCounter: p.views.SMSInLastHour,
	})
	return err
}

// react starts the views and the delivery behind the log.
func (p *product) react(ctx context.Context) error {
	texts, err := delivery.NewTexts("authledger")
	if err != nil {
		return err
	}
	logger := slog.New(slog.DiscardHandler)
	d, err := delivery.New(delivery.Config{
		Journal: p.journal, Log: p.store, Codec: p.codec, Gateway: delivery.NewInbox(time.Now), Texts: texts, Logger: logger,
		OptedOut: func(context.Context, eventstore.Position) ([]string, error) { return nil, nil },
	})
	if err != nil {
		return err
	}
	if p.router, err = bridge.NewRouter(bridge.RouterConfig{}, logger); err != nil {
		return err
	}
	p.views.Register(p.router, p.store, bridge.Config{}, logger)
	d.Register(p.router, p.store, p.checkpoints)
	routed := make(chan error, 1)
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	go func() { routed <- p.router.Run(running) }()
	<-p.router.Running()
	p.closers = append(p.closers, func() error {
		stop()
		return errors.Join(p.router.Close(), <-routed)
	})
	return nil
}

func (p *product) serve() (string, error) {
	server, err := api.New(api.Config{
		Journal: p.journal, Views: p.views, Store: p.store, Codec: p.codec, Tokens: p.keys, Keys: p.keys, Access: p.access,
		StateAt: func(context.Context, string, time.Time, time.Time) (api.PastUser, error) { return api.PastUser{}, nil },
		Limits:  api.Limits{PerSecond: 1_000_000, Burst: 2_000_000, InFlight: 100_000},
	})
	if err != nil {
		return "", err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	serving, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Serve(serving, l) }()
	p.closers = append(p.closers, func() error {
		stop()
		return <-served
	})
	return "http://" + l.Addr().String(), nil
}
