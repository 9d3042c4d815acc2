package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/authledger/authledger/api"
	"github.com/authledger/authledger/api/access"
	"github.com/authledger/authledger/api/bench"
	"github.com/spf13/cobra"
)

func newBenchCommand() *cobra.Command {
	c := bench.Config{Boot: bootForBench}
	cmd := &cobra.Command{
		Use: "bench", Short: "Measure appends, logins and rebuilds against raw limits", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := os.MkdirTemp(c.Dir, "authledger-bench-")
			if err != nil {
				return fmt.Errorf("make a scratch directory: %w", err)
			}
			collectLess()
			run := c
			run.Dir, run.Print, run.Progress = dir, cmd.OutOrStdout(), cmd.ErrOrStderr()
			return errors.Join(bench.Run(cmd.Context(), run), os.RemoveAll(dir))
		},
	}
	cmd.Flags().StringVar(&c.Dir, "dir", "", "where to make the scratch directory (default: the system's)")
	cmd.Flags().StringVar(&c.Out, "out", "", "also write the results to this JSON file")
	cmd.Flags().BoolVar(&c.Quick, "quick", false, "small counts, to see that it runs")
	cmd.Flags().IntVar(&c.Rounds, "rounds", 0, "interleaved rounds (default 5)")
	cmd.Flags().IntVar(&c.Events, "events", 0, "events the views are rebuilt from (default one million)")
	cmd.Flags().StringSliceVar(&c.Only, "only", nil, "only these: "+strings.Join(bench.Scenarios(), ", "))
	cmd.Flags().StringVar(&c.Profiles, "profiles", "", "write CPU profiles into this directory")
	return cmd
}

// bootForBench starts the whole product for the benchmark, with rate limits
// out of reach.
func bootForBench(ctx context.Context, dir string) (bench.Target, error) {
	const unlimited = 1 << 30
	app, err := Start(ctx, Config{
		Data: dir, Listen: "127.0.0.1:0", Demo: true, Logger: slog.New(slog.DiscardHandler),
		Limits: api.Limits{PerSecond: unlimited, Burst: unlimited, InFlight: unlimited},
	})
	if err != nil {
		return bench.Target{}, err
	}
	_, key, err := app.access.Create(ctx, "bench", access.Frontend, time.Time{})
	if err != nil {
		return bench.Target{}, errors.Join(err, app.Close())
	}
	return bench.Target{URL: app.URL(), FrontendKey: string(key), Journal: app.stores.journal, Close: app.Close}, nil
}
