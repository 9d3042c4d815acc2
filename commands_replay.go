package main

import (
	"context"
	"errors"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/sqlitestore"
	"github.com/authledger/authledger/replay"
	"github.com/spf13/cobra"
)

// replayFlags are shared by the questions about the past.
type replayFlags struct {
	data, user  string
	json, lines bool
}

func newReplayCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "replay", Short: "Ask the log about the past; reads only",
		Long: `Answers straight from the events, without read models, keys or gateways, also
while the product runs. A time is RFC 3339, a date, a duration back such as -36h,
or @sequence.`,
	}
	cmd.AddCommand(newStateAtCommand(), newTimelineCommand())
	return cmd
}

func (f *replayFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.data, "data", "./data", "directory of the ledger")
	cmd.Flags().StringVar(&f.user, "user", "", "usr_ id, an id that carries it, or the broker's reference")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON")
	cmd.Flags().BoolVar(&f.lines, "jsonl", false, "print JSON lines")
}

// args opens the log for reading; the caller must call the returned close.
func (f *replayFlags) args() (replay.Args, func() error, error) {
	reader, err := sqlitestore.OpenReader(f.data)
	if err != nil {
		return replay.Args{}, nil, err
	}
	a := replay.Args{Reader: reader, Codec: codec.New(nil), User: f.user, Now: time.Now()}
	switch {
	case f.json:
		a.Format = replay.JSON
	case f.lines:
		a.Format = replay.JSONLines
	}
	return a, reader.Close, nil
}

func newStateAtCommand() *cobra.Command {
	f := &replayFlags{}
	var at string
	cmd := &cobra.Command{
		Use: "state-at --user U --at T", Short: "The state of a user at an instant, and which events made it", Args: cobra.NoArgs,
		Example: "  authledger replay state-at --user DEMO-0007 --at 2026-03-01\n  authledger replay state-at --user usr_… --at @1042 --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			policy, err := domain.LoadPolicy()
			if err != nil {
				return err
			}
			a, closeIt, err := f.args()
			if err != nil {
				return err
			}
			err = replay.RunStateAt(cmd.Context(), replay.StateArgs{Args: a, Policy: policy, At: at}, cmd.OutOrStdout(), cmd.ErrOrStderr())
			return errors.Join(err, closeIt())
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&at, "at", "", "the instant; the newest state when absent")
	return cmd
}

func newTimelineCommand() *cobra.Command {
	f := &replayFlags{}
	var from, to string
	var types []string
	cmd := &cobra.Command{
		Use: "timeline --user U", Short: "Everything that happened to a user, in order", Args: cobra.NoArgs,
		Example: "  authledger replay timeline --user DEMO-0007 --from -720h --type OptOutDenied",
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, closeIt, err := f.args()
			if err != nil {
				return err
			}
			err = replay.RunTimeline(cmd.Context(), replay.TimelineArgs{Args: a, From: from, To: to, Types: types}, cmd.OutOrStdout(), cmd.ErrOrStderr())
			return errors.Join(err, closeIt())
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&from, "from", "", "first instant")
	cmd.Flags().StringVar(&to, "to", "", "last instant")
	cmd.Flags().StringSliceVar(&types, "type", nil, "only events of these types")
	return cmd
}

// classify is the exit code of an error that is no mistake on the command line.
func classify(err error) int {
	var broken *replay.BrokenChainError
	switch {
	case errors.As(err, &broken), errors.Is(err, codec.ErrUnknownType), errors.Is(err, codec.ErrMalformed):
		return exitVerify
	case errors.Is(err, replay.ErrUsage):
		return exitUsage
	case errors.Is(err, replay.ErrNotFound), errors.Is(err, eventstore.ErrNotFound):
		return exitNotFound
	case errors.Is(err, eventstore.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return exitUnavailable
	}
	return exitRuntime
}
