package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/authledger/authledger/api"
	"github.com/authledger/authledger/api/access"
	"github.com/authledger/authledger/api/delivery"
	"github.com/authledger/authledger/api/pskc"
	"github.com/authledger/authledger/api/timestamp"
	"github.com/authledger/authledger/api/web"
	"github.com/authledger/authledger/api/witness"
	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore/bridge"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/replay"
	"github.com/prometheus/client_golang/prometheus"
)

// App is the running product: the stores, the reactors behind the log and the
// HTTP server in front of it.
type App struct {
	stores *stores
	access *access.Store
	inbox  *delivery.Inbox    // nil outside a demonstration
	clock  *demoClock         // nil outside a demonstration
	stamps *timestamp.Stamper // nil without an authority
	router *bridge.Router
	server *api.Server
	// witnesses collects cosignatures; nil without a policy.
	witnesses *witness.Collector
	listen    net.Listener
	logger    *slog.Logger

	stop    context.CancelFunc
	running sync.WaitGroup // router, regime and deadline processes, housekeeping
	served  chan error
	closers []func() error
}

// Start opens the data directory, starts the reactors and listens. When it
// returns, requests are answered. The caller must Close the App.
func Start(ctx context.Context, c Config) (app *App, err error) {
	a := &App{logger: c.Logger, served: make(chan error, 1)}
	runCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	a.stop = stop
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
		}
	}()
	clock := time.Now
	if c.Demo {
		a.clock = newDemoClock(c.DemoClock)
		clock = a.clock.Now
	}
	as := sealing{origin: c.LogOrigin, rebuild: c.RebuildProof}
	if a.stores, err = openSealed(ctx, c.Data, clock, c.Logger, as); err != nil {
		return a, err
	}
	if err := a.catchUpClock(); err != nil {
		return a, err
	}
	if a.access, err = access.Open(ctx, access.Options{Dir: c.Data}); err != nil {
		return a, err
	}
	deliveries, err := a.openDelivery(c)
	if err != nil {
		return a, err
	}
	if err := a.openServer(c); err != nil {
		return a, err
	}
	if a.listen, err = net.Listen("tcp", c.Listen); err != nil {
		return a, fmt.Errorf("listen on %s: %w", c.Listen, err)
	}
	return a, a.run(ctx, runCtx, deliveries)
}

// catchUpClock puts a demonstration's clock forward to the newest checkpoint: a
// clock that was put forward before a restart would otherwise run behind what is
// signed already.
func (a *App) catchUpClock() error {
	signed := a.stores.sealer.SignedAt()
	if a.clock == nil || !a.clock.Now().Before(signed) {
		return nil
	}
	a.logger.Info("the demonstration's clock goes on where the log ends", "at", signed)
	return a.clock.Set(signed)
}

// openDelivery builds the reactors and puts them and the views on the router.
func (a *App) openDelivery(c Config) (*delivery.Delivery, error) {
	texts, err := delivery.NewTexts("authledger")
	if err != nil {
		return nil, err
	}
	var gateway delivery.Gateway
	if c.WebhookURL != "" {
		webhook, err := delivery.NewWebhook(delivery.WebhookConfig{URL: c.WebhookURL, Secret: c.WebhookSecret})
		if err != nil {
			return nil, err
		}
		gateway = webhook
		a.closers = append(a.closers, func() error { webhook.Close(); return nil })
	}
	if c.Demo {
		a.inbox = delivery.NewInbox(a.stores.journal.Now)
		if gateway == nil {
			gateway = a.inbox
		}
	}
	d, err := delivery.New(delivery.Config{
		Journal: a.stores.journal, Log: a.stores.log, Codec: a.stores.codec,
		Gateway: gateway, Texts: texts, OptedOut: a.stores.optedOut, DueDevices: a.stores.dueDevices,
		ExpiredProcesses: a.stores.expiredProcesses, Logger: c.Logger,
	})
	if err != nil {
		return nil, err
	}
	a.router, err = bridge.NewRouter(bridge.RouterConfig{Changed: a.parked}, c.Logger)
	if err != nil {
		return nil, err
	}
	a.stores.views.Register(a.router, a.stores.log, bridge.Config{}, c.Logger)
	d.Register(a.router, a.stores.log, a.stores.checkpoints)
	a.stores.sealer.Register(a.router, a.stores.log, bridge.Config{}, c.Logger)
	a.stores.eraser.Register(a.router, a.stores.log, a.stores.checkpoints)
	return d, nil
}

// parked tells the operator that a reactor stands still, and when it goes on.
func (a *App) parked(handler string, p bridge.Parked, parked bool) {
	if parked {
		a.logger.Error("handler is parked and keeps trying", "handler", handler, "from", p.First, "to", p.Last, "class", p.Class)
		return
	}
	a.logger.Info("handler goes on", "handler", handler)
}

func (a *App) openServer(c Config) error {
	registry := prometheus.NewRegistry()
	if err := a.openWitnesses(c, registry); err != nil {
		return err
	}
	cfg := api.Config{
		Journal: a.stores.journal, Views: a.stores.views, Store: a.stores.log, Codec: a.stores.codec, Tokens: a.stores.keys, Keys: a.stores.keys,
		Proofs: a.stores.sealer,
		Access: a.access, StateAt: a.stateAt, DecisionAt: a.decisionAt,
		Export: a.stores.export, TransportKey: c.TransportKey, ReadPSKC: readTokens, ReceiptSecret: c.ReceiptSecret,
		TrustedProxies: c.TrustedProxies, Limits: c.Limits, Logger: c.Logger, Registry: registry,
	}
	if a.witnesses != nil {
		cfg.Witnesses = a.witnesses.Status
	}
	var err error
	if c.Demo {
		cfg.Demo, cfg.Inbox, cfg.Clock = true, inboxList{a.inbox}, a.clock
		if cfg.TransportKey == nil {
			if cfg.TransportKey, err = demoTransportKey(c.Data); err != nil {
				return err
			}
		}
	}
	if cfg.Console, err = a.console(c); err != nil {
		return err
	}
	if err = a.openStamps(c, registry); err != nil {
		return err
	}
	a.server, err = api.New(cfg)
	return err
}

// openWitnesses prepares to ask the witnesses of the policy.
func (a *App) openWitnesses(c Config, registry *prometheus.Registry) (err error) {
	if c.WitnessPolicy.Empty() {
		return nil
	}
	a.stores.witnesses = c.WitnessPolicy
	a.witnesses, err = witness.NewCollector(witness.CollectorConfig{
		History: a.stores.sealer.History, Add: a.stores.sealer.AddCosignature, Policy: c.WitnessPolicy,
		Clock: a.stores.journal.Now, Logger: c.Logger,
	})
	if err != nil {
		return err
	}
	return registry.Register(a.witnesses.Metrics())
}

// console builds the pages for auditors and newcomers.
func (a *App) console(c Config) (http.Handler, error) {
	ledger := web.NewLedger(a.stores.journal, a.stores.views, a.stores.log, a.stores.codec)
	cfg := web.Config{
		Data: ledger, Policy: a.stores.journal.Policy, Keys: a.access, Record: ledger.RecordRead, Demo: c.Demo,
		Clock: a.stores.journal.Now, Logger: c.Logger,
	}
	if a.inbox != nil {
		cfg.Inbox = web.InboxCards(a.inbox)
	}
	return web.New(cfg)
}

// stateAt answers what the API asks of package replay.
func (a *App) stateAt(ctx context.Context, userID string, asOf, knownAt time.Time) (api.PastUser, error) {
	at := replay.AtTime(asOf)
	if !knownAt.IsZero() {
		at = at.KnownBy(replay.AtTime(knownAt))
	}
	fold, err := replay.FoldUser(ctx, a.stores.log, a.stores.codec, userID, at)
	if errors.Is(err, replay.ErrNotFound) {
		return api.PastUser{}, nil
	}
	if err != nil {
		return api.PastUser{}, err
	}
	past := api.PastUser{User: fold.User, Found: fold.Last != nil}
	if fold.Last != nil {
		past.Revision = fold.Last.Revision
		if past.LastEvent, err = codec.ParseEventID(fold.Last.EventID); err != nil {
			return api.PastUser{}, err
		}
	}
	return past, nil
}

// decisionAt answers the two-axis question the API asks of package replay.
func (a *App) decisionAt(ctx context.Context, userID string, asOf, knownAt time.Time) (domain.Decision, error) {
	at := replay.AtTime(asOf)
	if !knownAt.IsZero() {
		at = at.KnownBy(replay.AtTime(knownAt))
	}
	v, err := replay.DecisionAt(ctx, a.stores.log, a.stores.codec, a.stores.policy, userID, at)
	if err != nil || v.Decision == nil {
		return domain.Decision{}, err
	}
	return *v.Decision, nil
}

// readTokens reads a manufacturer's file for the API.
func readTokens(r io.Reader, transportKey []byte) ([]api.ImportedToken, error) {
	tokens, err := pskc.Read(r, transportKey)
	out := make([]api.ImportedToken, len(tokens))
	for i, t := range tokens {
		out[i] = api.ImportedToken{
			DeviceID: codec.DeviceIDOf(t.Manufacturer, t.Serial), Manufacturer: t.Manufacturer, Serial: t.Serial, Model: t.Model,
			Suite: t.Suite, Counter: t.Counter, Seed: t.Seed,
		}
	}
	return out, err
}

// demoTransportKey is the key of a demonstration, made at its first start and
// kept in the data directory, where a simulated factory finds it.
func demoTransportKey(dir string) ([]byte, error) {
	path := filepath.Join(dir, "pskc.key")
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		key := make([]byte, 16)
		_, _ = rand.Read(key) // never fails; see crypto/rand
		if err := os.WriteFile(path, []byte(hex.EncodeToString(key)+"\n"), 0o600); err != nil {
			return nil, fmt.Errorf("make a transport key: %w", err)
		}
	}
	return transportKey("the demonstration's transport key", path)
}

// run starts the goroutines and waits until the reactors follow the log.
func (a *App) run(ctx, runCtx context.Context, d *delivery.Delivery) error {
	routed := make(chan error, 1)
	a.running.Go(func() { routed <- a.router.Run(runCtx) })
	select {
	case <-a.router.Running():
	case err := <-routed:
		return fmt.Errorf("start the reactors: %w", err)
	case <-ctx.Done():
		return ctx.Err()
	}
	ticks := time.NewTicker(time.Second)
	a.closers = append(a.closers, func() error { ticks.Stop(); return nil })
	a.running.Go(func() { d.RunRegime(runCtx, ticks.C) })
	deadlines := time.NewTicker(time.Second)
	a.closers = append(a.closers, func() error { deadlines.Stop(); return nil })
	a.running.Go(func() { d.RunDeadlines(runCtx, deadlines.C) })
	seals := time.NewTicker(time.Second)
	a.closers = append(a.closers, func() error { seals.Stop(); return nil })
	a.running.Go(func() { a.stores.sealer.Run(runCtx, seals.C) })
	erasures := time.NewTicker(time.Second)
	a.closers = append(a.closers, func() error { erasures.Stop(); return nil })
	a.running.Go(func() { a.stores.eraser.Run(runCtx, erasures.C) })
	if a.witnesses != nil {
		rounds := time.NewTicker(witness.Every)
		a.closers = append(a.closers, func() error { rounds.Stop(); return nil })
		a.running.Go(func() { a.witnesses.Run(runCtx, rounds.C) })
	}
	a.running.Go(func() { a.housekeeping(runCtx) })
	if a.stamps != nil {
		looks := time.NewTicker(timestamp.Every)
		a.closers = append(a.closers, func() error { looks.Stop(); return nil })
		a.running.Go(func() { a.stamps.Run(runCtx, looks.C) })
	}
	go func() { a.served <- a.server.Serve(runCtx, a.listen) }()
	return nil
}

// housekeeping tidies the keyring up: once at start and then every hour.
func (a *App) housekeeping(ctx context.Context) {
	hour := time.NewTicker(time.Hour)
	defer hour.Stop()
	for {
		if err := a.stores.tidyKeys(ctx); err != nil && ctx.Err() == nil {
			a.logger.Error("the keyring could not be tidied up; trying again in an hour", "error", err)
		}
		select {
		case <-hour.C:
		case <-ctx.Done():
			return
		}
	}
}

// URL is the address that answers.
func (a *App) URL() string { return "http://" + a.listen.Addr().String() }

// Wait blocks until ctx ends or the server fails.
func (a *App) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-a.served:
		a.served <- err
		return err
	}
}

// Close stops answering, lets requests under way finish, stops the reactors
// where they stand, and closes the files. It may be called on an App that
// Start could not finish.
func (a *App) Close() error {
	a.stop()
	var errs []error
	if a.server != nil && a.listen != nil {
		select {
		case err := <-a.served:
			errs = append(errs, err)
		case <-time.After(closeTimeout):
			errs = append(errs, errors.New("the HTTP server did not stop in time"))
		}
	}
	if a.router != nil {
		errs = append(errs, a.router.Close())
	}
	a.running.Wait()
	for _, closeIt := range a.closers {
		errs = append(errs, closeIt())
	}
	if a.access != nil {
		errs = append(errs, a.access.Close())
	}
	if a.stores != nil {
		errs = append(errs, a.stores.Close())
	}
	return errors.Join(errs...)
}

// closeTimeout is longer than the server lets requests finish.
const closeTimeout = 20 * time.Second

// inboxList shows the dev inbox to the API.
type inboxList struct{ inbox *delivery.Inbox }

func (l inboxList) Messages() []api.InboxMessage {
	var out []api.InboxMessage
	for _, m := range l.inbox.Messages("") {
		out = append(out, api.InboxMessage{ID: m.ID, Channel: string(m.Kind), To: string(m.To), Text: string(m.Text), At: m.At})
	}
	return out
}
