package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/authledger/authledger/api/access"
	"github.com/authledger/authledger/api/delivery"
	"github.com/authledger/authledger/api/demo"
	"github.com/authledger/authledger/api/erase"
	"github.com/authledger/authledger/eventstore"
	"github.com/spf13/cobra"
)

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use: "authledger", Short: "The two-factor login system of a broker, as an event-sourced ledger",
		Version: version, SilenceUsage: true, SilenceErrors: true, PersistentPreRunE: fromEnvironment,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage("%v", err) })
	root.AddCommand(newServeCommand(), newSeedCommand(), newClientCommand(), newReplayCommand(), newPhoneCommand(), newBenchCommand(),
		newCardCommand(), newDeviceCommand(), newKeysCommand(), newVerifyCommand(), newWitnessCommand(), newExportCommand(),
		newMigrateCommand(), newStoreCommand())
	return root
}

func newServeCommand() *cobra.Command {
	f := &serveFlags{}
	cmd := &cobra.Command{
		Use: "serve", Short: "Run the product", Args: cobra.NoArgs,
		Example: "  authledger serve --demo --data ./data\n" +
			"  authledger serve --data /var/lib/authledger --listen 127.0.0.1:8080 \\\n" +
			"      --webhook-url https://sms.example/deliver --webhook-secret-file /etc/authledger/webhook.secret",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.config()
			if err != nil {
				return err
			}
			return serve(cmd.Context(), c, cmd.OutOrStdout())
		},
	}
	f.register(cmd.Flags())
	return cmd
}

func serve(ctx context.Context, c Config, out io.Writer) error {
	collectLess()
	app, err := Start(ctx, c)
	if err != nil {
		return err
	}
	if c.Demo {
		err = demoBanner(ctx, app, out)
	} else {
		fmt.Fprintf(out, "authledger answers at %s\nStop with Ctrl-C.\n", app.URL())
	}
	if err == nil {
		err = app.Wait(ctx)
	}
	return errors.Join(err, app.Close())
}

// demoBanner makes fresh API keys, revokes those of the start before, and says
// what to open and what to try.
func demoBanner(ctx context.Context, app *App, out io.Writer) error {
	const name = "demo"
	old, err := app.access.List(ctx)
	if err != nil {
		return err
	}
	for _, c := range old {
		if c.Name == name && c.RevokedAt.IsZero() {
			if err := app.access.Revoke(ctx, c.ID); err != nil {
				return err
			}
		}
	}
	keys := map[access.Role]string{}
	for _, role := range access.Roles() {
		_, key, err := app.access.Create(ctx, name, role, time.Now().Add(24*time.Hour))
		if err != nil {
			return err
		}
		keys[role] = string(key)
	}
	printBanner(out, app.URL(), keys)
	return nil
}

func printBanner(out io.Writer, url string, keys map[access.Role]string) {
	fmt.Fprintf(out, `
authledger is ready. This is a demonstration: keys are new at each start.

  console     %[1]s/console
  reference   %[1]s/docs

`, url)
	for _, role := range access.Roles() {
		fmt.Fprintf(out, "  %-10s key  %s\n", role, keys[role])
	}
	fmt.Fprintf(out, `
Three lines to try:

  curl -s %[1]s/v1/users -H 'Authorization: Bearer %[2]s' -H 'Idempotency-Key: try-1' -H 'Content-Type: application/json' \
    -d '{"reference":"U-TRY","clientId":"%[4]s","role":"owner","username":"try","locale":"en","residence":"HK"}'
  curl -s '%[1]s/v1/events?limit=3' -H 'Authorization: Bearer %[3]s'
  curl -s '%[1]s/v1/opt-outs?status=denied&limit=3' -H 'Authorization: Bearer %[3]s'

Stop with Ctrl-C.
`, url, keys[access.Frontend], keys[access.Auditor], demo.ClientID(1))
}

func newSeedCommand() *cobra.Command {
	var data string
	var origin string
	var users int
	var seed uint64
	cmd := &cobra.Command{
		Use: "seed", Short: "Fill an empty data directory with the history of a demo broker", Args: cobra.NoArgs,
		Long: `Drives the real journal with a simulated clock: about two hundred users in Hong
Kong, India, Germany, the United States and Japan over the last three months, and
two who left years ago and want to be forgotten. A data directory that exists is
left as it is.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := os.Stat(filepath.Join(data, "ledger.db")); err == nil {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s holds a ledger already; nothing was added\n", data)
				return nil
			}
			if err := checkOrigin(origin); err != nil {
				return err
			}
			return seedData(cmd.Context(), data, users, seed, time.Now(), cmd.ErrOrStderr(), sealing{origin: origin})
		},
	}
	cmd.Flags().StringVar(&data, "data", "./data", "directory to create")
	cmd.Flags().IntVar(&users, "users", 200, "how many users")
	cmd.Flags().Uint64Var(&seed, "seed", 1, "another seed gives another history")
	cmd.Flags().StringVar(&origin, "log-origin", "", logOriginUsage)
	return cmd
}

// seedData builds the history beside the data directory and renames it into
// place, so that an interrupted run leaves nothing half done.
func seedData(ctx context.Context, data string, users int, seed uint64, now time.Time, progress io.Writer, as sealing) error {
	partial := filepath.Clean(data) + ".partial"
	if err := os.RemoveAll(partial); err != nil {
		return fmt.Errorf("clear %s: %w", partial, err)
	}
	if err := populate(ctx, partial, users, seed, now, progress, as); err != nil {
		return errors.Join(err, os.RemoveAll(partial))
	}
	if err := os.Remove(data); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("put the demo data in place: %w", err)
	}
	if err := os.Rename(partial, data); err != nil {
		return fmt.Errorf("put the demo data in place: %w", err)
	}
	return nil
}

func populate(ctx context.Context, dir string, users int, seed uint64, now time.Time, progress io.Writer, as sealing) (err error) {
	from := now.AddDate(0, -3, 0)
	clock := demo.NewClock(demo.Opening(from))
	logger := slog.New(slog.DiscardHandler)
	s, err := openSealed(ctx, dir, clock.Now, logger, as)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	texts, err := delivery.NewTexts("authledger")
	if err != nil {
		return err
	}
	pump := &pump{s: s}
	network := demo.NewNetwork()
	config := delivery.Config{
		Journal: s.journal, Log: s.log, Codec: s.codec, Gateway: network, Texts: texts, OptedOut: s.optedOut, DueDevices: s.dueDevices,
		ExpiredProcesses: s.expiredProcesses, Logger: logger,
	}
	if pump.reactions, err = delivery.New(config); err != nil {
		return err
	}
	err = demo.Populate(ctx, demo.Config{
		Journal: s.journal, Clock: clock, Network: network, PutSecret: s.keys.PutSecret, Erase: s.forget,
		Pump: pump.run, Users: users, Seed: seed, From: from, To: now, Progress: progressTo(progress, "three months of logins"),
	})
	if err != nil {
		return err
	}
	// Those that will serve the demonstration begin behind the history.
	config.Gateway = delivery.NewInbox(clock.Now)
	served, err := delivery.New(config)
	if err != nil {
		return err
	}
	names := []string{erase.HandlerName}
	for _, r := range served.Reactions() {
		names = append(names, r.Name)
	}
	for _, name := range names {
		if err := s.checkpoints.Save(ctx, name, pump.at); err != nil {
			return err
		}
	}
	if err := s.sealer.Tick(ctx); err != nil {
		return err
	}
	if err := s.sealer.WaitFor(ctx, uint64(pump.at)); err != nil {
		return err
	}
	fmt.Fprintf(progress, "demo data: %d users, %d events from %s to %s\n", users, pump.at, demo.Opening(from).Format(time.DateOnly), now.Format(time.DateOnly))
	return nil
}

// pump hands new records to the views and the reactors, one after the other,
// as the router does while the product runs, and looks at the calendar once a
// day.
type pump struct {
	s         *stores
	reactions *delivery.Delivery
	at        eventstore.Sequence
	day       string // of the last look
}

func (p *pump) daily(ctx context.Context) error {
	return errors.Join(p.s.tidyKeys(ctx), p.reactions.CheckRegime(ctx), p.reactions.CheckDeadlines(ctx), p.s.sealer.Tick(ctx))
}

func (p *pump) run(ctx context.Context) error {
	if day := p.s.journal.Now().Format(time.DateOnly); day != p.day {
		p.day = day
		if err := p.daily(ctx); err != nil {
			return err
		}
	}
	for {
		before := p.at
		var batch []eventstore.Record
		for r, err := range p.s.log.ReadAll(ctx, p.at+1) {
			if err != nil {
				return err
			}
			batch = append(batch, r)
		}
		if len(batch) == 0 {
			return nil
		}
		if err := errors.Join(p.s.views.Apply(ctx, batch), p.s.sealer.See(ctx, batch)); err != nil {
			return err
		}
		for _, r := range batch {
			for _, reaction := range p.reactions.Reactions() {
				if err := p.reactions.Act(reaction)(ctx, r); err != nil {
					return err
				}
			}
			p.at = r.Sequence
		}
		if p.at == before {
			return nil
		}
	}
}
