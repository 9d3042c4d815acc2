package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/replay"
	"github.com/authledger/authledger/replay/bundle"
	"github.com/spf13/cobra"
)

// replayFlags are shared by the questions about the past.
type replayFlags struct {
	backendFlags
	data, user, output string
	json, lines        bool
}

func newReplayCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "replay", Short: "Ask the log about the past; reads only",
		Long: `Answers straight from the events, without read models, keys or gateways, also
while the product runs. A time is RFC 3339, a date, a duration back such as -36h,
or @sequence. What was true at one moment (--at) may be asked as it was known at
another (--known-at); without it, as it was known then.`,
	}
	cmd.AddCommand(newStateAtCommand(), newTimelineCommand(), newRulesCommand(), newDecisionCommand(), newCheckDecisionsCommand())
	return cmd
}

// register adds the flags of every question.
func (f *replayFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.data, "data", "./data", "directory of the ledger")
	f.registerRead(cmd.Flags())
	cmd.Flags().StringVarP(&f.output, "output", "o", "table", "table, json or jsonl")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON")
	cmd.Flags().BoolVar(&f.lines, "jsonl", false, "print JSON lines")
}

func (f *replayFlags) registerUser(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.user, "user", "", "usr_ id, an id that carries it, or the broker's reference")
}

// pointFlags are the two axes of a point.
type pointFlags struct{ at, knownAt string }

func (f *pointFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.at, "at", "", "the instant; the newest state when absent")
	cmd.Flags().StringVar(&f.knownAt, "known-at", "", "as recorded by this instant; newest for everything, the instant itself when absent")
}

// args opens the log for reading; the caller must call the returned close.
func (f *replayFlags) args(ctx context.Context) (replay.Args, func() error, error) {
	format, err := replay.ParseFormat(f.output)
	if err != nil {
		return replay.Args{}, nil, err
	}
	b, err := f.backend()
	if err != nil {
		return replay.Args{}, nil, err
	}
	reader, err := b.openReader(ctx, f.data)
	if err != nil {
		return replay.Args{}, nil, err
	}
	a := replay.Args{Reader: reader, Codec: codec.New(nil), User: f.user, Format: format, Now: time.Now()}
	switch {
	case f.json:
		a.Format = replay.JSON
	case f.lines:
		a.Format = replay.JSONLines
	}
	return a, reader.Close, nil
}

// ask opens the log and the policy that is built into the program, and lets run
// answer.
func (f *replayFlags) ask(ctx context.Context, run func(a replay.Args, policy *domain.Policy) error) error {
	policy, err := domain.LoadPolicy()
	if err != nil {
		return err
	}
	a, closeIt, err := f.args(ctx)
	if err != nil {
		return err
	}
	return errors.Join(run(a, policy), closeIt())
}

func newStateAtCommand() *cobra.Command {
	f, p := &replayFlags{}, &pointFlags{}
	cmd := &cobra.Command{
		Use: "state-at --user U --at T", Short: "The state of a user at an instant, and which events made it", Args: cobra.NoArgs,
		Example: "  authledger replay state-at --user DEMO-0007 --at 2026-03-01\n  authledger replay state-at --user usr_… --at @1042 --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.ask(cmd.Context(), func(a replay.Args, policy *domain.Policy) error {
				return replay.RunStateAt(cmd.Context(), p.args(a, policy), cmd.OutOrStdout(), cmd.ErrOrStderr())
			})
		},
	}
	f.register(cmd)
	f.registerUser(cmd)
	p.register(cmd)
	return cmd
}

func (f *pointFlags) args(a replay.Args, policy *domain.Policy) replay.StateArgs {
	return replay.StateArgs{Args: a, Policy: policy, At: f.at, KnownAt: f.knownAt}
}

func newRulesCommand() *cobra.Command {
	f, p := &replayFlags{}, &pointFlags{}
	cmd := &cobra.Command{
		Use: "rules --at T", Short: "The rules in force at an instant, as known then or at another", Args: cobra.NoArgs,
		Example: "  authledger replay rules --at 2018-05-02\n  authledger replay rules --at 2018-05-02 --known-at newest -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.ask(cmd.Context(), func(a replay.Args, policy *domain.Policy) error {
				return replay.RunRules(cmd.Context(), p.args(a, policy), cmd.OutOrStdout())
			})
		},
	}
	f.register(cmd)
	p.register(cmd)
	return cmd
}

func newDecisionCommand() *cobra.Command {
	f, p := &replayFlags{}, &pointFlags{}
	cmd := &cobra.Command{
		Use: "decision --user U --at T", Short: "What the rules say of a user's opt-out at an instant, on which facts", Args: cobra.NoArgs,
		Example: "  authledger replay decision --user DEMO-0007 --at 2026-03-01\n  authledger replay decision --user DEMO-0007 --at 2026-03-01 --known-at newest",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.ask(cmd.Context(), func(a replay.Args, policy *domain.Policy) error {
				return replay.RunDecision(cmd.Context(), p.args(a, policy), cmd.OutOrStdout(), cmd.ErrOrStderr())
			})
		},
	}
	f.register(cmd)
	f.registerUser(cmd)
	p.register(cmd)
	return cmd
}

func newCheckDecisionsCommand() *cobra.Command {
	f := &replayFlags{}
	cmd := &cobra.Command{
		Use: "check-decisions", Short: "Repeat every recorded decision from its own facts and policy version", Args: cobra.NoArgs,
		Long: fmt.Sprintf(`Walks the whole log, decides every opt-out, revocation and waiver again from the
facts and the policy version it names, and checks that events name the version in
force when they were recorded. Exit code %d when one differs.`, exitDiffers),
		Example: "  authledger replay check-decisions --data /var/lib/authledger",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.ask(cmd.Context(), func(a replay.Args, policy *domain.Policy) error {
				return replay.RunCheckDecisions(cmd.Context(), a, policy, cmd.OutOrStdout())
			})
		},
	}
	f.register(cmd)
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
			a, closeIt, err := f.args(cmd.Context())
			if err != nil {
				return err
			}
			err = replay.RunTimeline(cmd.Context(), replay.TimelineArgs{Args: a, From: from, To: to, Types: types}, cmd.OutOrStdout(), cmd.ErrOrStderr())
			return errors.Join(err, closeIt())
		},
	}
	f.register(cmd)
	f.registerUser(cmd)
	cmd.Flags().StringVar(&from, "from", "", "first instant")
	cmd.Flags().StringVar(&to, "to", "", "last instant")
	cmd.Flags().StringSliceVar(&types, "type", nil, "only events of these types")
	return cmd
}

// classify is the exit code of an error that is no mistake on the command line.
func classify(err error) int {
	var broken *replay.BrokenChainError
	if code := classifyVerify(err); code != 0 {
		return code
	}
	switch {
	case errors.As(err, &broken), errors.Is(err, codec.ErrUnknownType), errors.Is(err, codec.ErrMalformed),
		errors.Is(err, bundle.ErrEvidence), errors.Is(err, bundle.ErrChanged):
		return exitVerify
	case errors.Is(err, replay.ErrDiffers):
		return exitDiffers
	case errors.Is(err, replay.ErrUsage), errors.Is(err, bundle.ErrQuery):
		return exitUsage
	case errors.Is(err, replay.ErrNotFound), errors.Is(err, eventstore.ErrNotFound):
		return exitNotFound
	case errors.Is(err, eventstore.ErrUnavailable), errors.Is(err, bundle.ErrNotSealed), errors.Is(err, context.DeadlineExceeded):
		return exitUnavailable
	}
	return exitRuntime
}
