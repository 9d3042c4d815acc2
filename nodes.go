package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/authledger/authledger/api"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/bridge"
	"github.com/authledger/authledger/eventstore/esdbstore"
)

// This file is what a node of several does besides.

// hearOthers tells the journal what other nodes append, from now on.
func (a *App) hearOthers(logger *slog.Logger) {
	if !eventstore.IsShared(a.stores.log) {
		return
	}
	bridge.Listen(a.router, "journal", a.stores.log, bridge.Config{}, a.stores.journal.Notice, logger)
}

// checkStore finds out whether the event database keeps the log's promises.
// What it does not keep is written to the log, and refuses the start when an
// operator can mend it; a right that is too wide may be accepted. A demonstration has a clock of its own and
// checks nothing.
func (a *App) checkStore(ctx context.Context, c Config) error {
	log, ok := a.stores.log.(*esdbstore.Store)
	if !ok || c.Demo {
		return nil
	}
	found, err := log.CheckServer(ctx)
	if err != nil {
		return err
	}
	var refused []error
	for _, f := range a.tell(found, c.Backend.anyRight) {
		if f.Code == esdbstore.StreamDeleted {
			continue // nobody can mend it, and everybody else must be able to log in
		}
		refused = append(refused, fmt.Errorf("%w: %s: %s", errStoreChecks, f.Code, f.Detail))
	}
	return errors.Join(refused...)
}

// errStoreChecks is a start that the event database's state refuses.
var errStoreChecks = errors.New("the event database does not keep the ledger's promises")

// tell writes findings to the log and returns those that were not accepted.
func (a *App) tell(found []esdbstore.Finding, anyRight bool) []esdbstore.Finding {
	var out []esdbstore.Finding
	for _, f := range found {
		if f.Code == esdbstore.MayDelete && anyRight {
			a.logger.Warn("accepted by --accept-store-rights", "code", f.Code, "detail", f.Detail)
			continue
		}
		a.logger.Error("the event database does not keep the ledger's promises", "code", f.Code, "detail", f.Detail)
		out = append(out, f)
	}
	return out
}

// watchStore checks the event database every hour. A node that runs goes on:
// /readyz and the metrics say what was found.
func (a *App) watchStore(ctx context.Context, c Config) {
	log, ok := a.stores.log.(*esdbstore.Store)
	if !ok || c.Demo {
		return
	}
	hour := time.NewTicker(time.Hour)
	defer hour.Stop()
	for {
		select {
		case <-hour.C:
		case <-ctx.Done():
			return
		}
		found, err := log.CheckServer(ctx)
		if err != nil && ctx.Err() == nil {
			a.logger.Error("the event database could not be checked; trying again in an hour", "error", err)
		}
		a.tell(found, c.Backend.anyRight)
	}
}

// storeHealth is what /readyz says of an event database; nil for SQLite.
func (a *App) storeHealth() func() api.StoreHealth {
	log, ok := a.stores.log.(*esdbstore.Store)
	if !ok {
		return nil
	}
	return func() api.StoreHealth {
		h := api.StoreHealth{Live: log.Live()}
		for _, f := range log.Findings() {
			h.Findings = append(h.Findings, f.Code)
		}
		return h
	}
}

// storeMetrics shows the same to Prometheus.
func (a *App) storeMetrics(registry *prometheus.Registry) error {
	health := a.storeHealth()
	if health == nil {
		return nil
	}
	live := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "authledger_store_live", Help: "1 while what other nodes append arrives here.",
	}, func() float64 {
		if health().Live {
			return 1
		}
		return 0
	})
	findings := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "authledger_store_findings", Help: "What takes away a promise of the log, by count; /readyz names it.",
	}, func() float64 { return float64(len(health().Findings)) })
	return errors.Join(registry.Register(live), registry.Register(findings))
}
