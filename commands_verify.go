package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/merkle"
	"github.com/authledger/authledger/eventstore/sealer"
	"github.com/authledger/authledger/eventstore/sqlitestore"
	"github.com/authledger/authledger/projections"
	"github.com/authledger/authledger/replay"
	"github.com/spf13/cobra"
)

// errViewsDiffer means read models that are not what the log says.
var errViewsDiffer = errors.New("the views differ from the log")

func newVerifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "verify", Short: "Check that the record is complete and untouched; reads only",
		Long: fmt.Sprintf(`Checks from stored bytes, signatures and proofs alone. Exit code %d when something
is not as it was written, and the output names the first such thing.`, exitVerify),
	}
	cmd.AddCommand(newVerifyLogCommand(), newVerifyEventCommand(), newVerifyViewsCommand(), newVerifyBundleCommand())
	return cmd
}

// verifyFlags are shared by the verifications of a data directory.
type verifyFlags struct {
	backendFlags
	data, output, keys string
}

func (f *verifyFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.data, "data", "./data", "directory of the ledger")
	f.registerRead(cmd.Flags())
	cmd.Flags().StringVarP(&f.output, "output", "o", "table", "table or json")
}

func (f *verifyFlags) registerKeys(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.keys, "keys", "", "file with the log's keys as you keep them (JSON of /v1/log/keys); the log's own when absent")
}

func (f *verifyFlags) format() (replay.Format, error) {
	format, err := replay.ParseFormat(f.output)
	if err == nil && format == replay.JSONLines {
		err = fmt.Errorf("%w: output %q: want table or json", replay.ErrUsage, f.output)
	}
	return format, err
}

// pinned reads the auditor's own keys; nil without a file.
func (f *verifyFlags) pinned() (*merkle.Keys, error) {
	if f.keys == "" {
		return nil, nil
	}
	b, err := os.ReadFile(f.keys)
	if err != nil {
		return nil, fmt.Errorf("%w: --keys: %w", replay.ErrUsage, err)
	}
	var k merkle.Keys
	if err := json.Unmarshal(b, &k); err != nil {
		return nil, fmt.Errorf("%w: --keys %s: %w", replay.ErrUsage, f.keys, err)
	}
	return &k, nil
}

// open opens what a verification reads and lets use work with it.
func (f *verifyFlags) open(ctx context.Context, use func(log readingLog, history merkle.History) error) error {
	b, err := f.backend()
	if err != nil {
		return err
	}
	log, err := b.openReader(ctx, f.data)
	if err != nil {
		return refused(err)
	}
	history, err := openHistory(f.data)
	if err != nil {
		return errors.Join(refused(err), log.Close())
	}
	return errors.Join(use(log, history), history.Close(), log.Close())
}

// logFlags are those of verify log.
type logFlags struct {
	verifyFlags
	stamps stampCheck

	checkpoints             []string
	policy, state, progress string
	resume                  bool
	most                    int
}

func newVerifyLogCommand() *cobra.Command {
	f := &logFlags{}
	cmd := &cobra.Command{
		Use: "log", Short: "Rebuild the whole log from its stored bytes and compare it with everything ever signed", Args: cobra.NoArgs,
		Long: `Recomputes every hash in one pass and compares with the running hashes, the
anchor, the chain of every stream, and every checkpoint ever published: its root,
its signature by the key in force, its size and its time. With --keys, --checkpoint
and --policy it trusts nothing that the log says of itself; docs/threats.md says
what that proves. May run beside the product. Ctrl-C keeps what was done.`,
		Example: "  authledger verify log --data /var/lib/authledger\n" +
			"  authledger verify log --data ./copy --keys keys.json --checkpoint 2026-01.txt --policy witnesses.txt -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f.register(cmd)
	f.registerKeys(cmd)
	cmd.Flags().StringSliceVar(&f.checkpoints, "checkpoint", nil, "file with a signed checkpoint that you kept; may be repeated")
	cmd.Flags().StringVar(&f.policy, "policy", "", "file that says which witnesses must have cosigned (C2SP tlog-policy)")
	f.stamps.register(cmd.Flags())
	cmd.Flags().StringVar(&f.state, "state", "", "file for what an interrupted run has done (default in your cache directory)")
	cmd.Flags().BoolVar(&f.resume, "resume", false, "go on where an interrupted run with the same flags stopped")
	cmd.Flags().StringVar(&f.progress, "progress", "auto", "auto, json or none, on the error output")
	cmd.Flags().IntVar(&f.most, "most", 20, "failures to list")
	return cmd
}

func (f *logFlags) run(ctx context.Context, stdout, stderr io.Writer) error {
	format, err := f.format()
	if err != nil {
		return err
	}
	c, err := f.check(stderr)
	if err != nil {
		return err
	}
	state, err := f.stateFile()
	if err != nil {
		return err
	}
	if f.resume {
		if c.Resume, err = readState(state); err != nil {
			return err
		}
	}
	return f.open(ctx, func(log readingLog, history merkle.History) error {
		c.Records, c.History = records(log), history
		interrupted, err := replay.RunVerifyLog(ctx, c, format, stdout)
		if interrupted == nil {
			return errors.Join(err, forget(state))
		}
		if failed := writeState(state, interrupted); failed != nil {
			return errors.Join(err, failed)
		}
		fmt.Fprintf(stderr, "%d records are done; go on with the same flags and --resume\n", interrupted.Mark.Sequence)
		return err
	})
}

// check is what the flags ask for, without what is read.
func (f *logFlags) check(stderr io.Writer) (c replay.LogCheck, err error) {
	c = replay.LogCheck{Codec: codec.New(nil), Most: f.most}
	if c.Keys, err = f.pinned(); err != nil {
		return c, err
	}
	for _, name := range f.checkpoints {
		b, err := os.ReadFile(name)
		if err != nil {
			return c, fmt.Errorf("%w: --checkpoint: %w", replay.ErrUsage, err)
		}
		c.Held = append(c.Held, b)
	}
	if f.policy != "" {
		b, err := os.ReadFile(f.policy)
		if err != nil {
			return c, fmt.Errorf("%w: --policy: %w", replay.ErrUsage, err)
		}
		if c.Policy, err = merkle.ParsePolicy(string(b)); err != nil {
			return c, fmt.Errorf("%w: --policy %s: %w", replay.ErrUsage, f.policy, err)
		}
	}
	if c.Stamp, err = f.stamps.logCheck(); err != nil {
		return c, err
	}
	switch f.progress {
	case "auto":
		show := progressTo(stderr, "records verified")
		c.Progress = func(done, total uint64) { show(int(done), int(total)) }
	case "json":
		c.Progress = jsonProgress(stderr, time.Now)
	case "none":
	default:
		return c, fmt.Errorf("%w: progress %q: want auto, json or none", replay.ErrUsage, f.progress)
	}
	return c, nil
}

// stateFile is where an interrupted run is kept: one file for each directory.
func (f *logFlags) stateFile() (string, error) {
	if f.state != "" {
		return f.state, nil
	}
	dir, err := filepath.Abs(f.data)
	if err != nil {
		return "", fmt.Errorf("find the data directory: %w", err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("%w: no cache directory (%w); name a file with --state", replay.ErrUsage, err)
	}
	return filepath.Join(cache, "authledger", fmt.Sprintf("verify-%.16s.state", hashText(dir))), nil
}

func readState(path string) (*replay.State, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: --resume: no interrupted run is kept: %w", replay.ErrUsage, err)
	}
	s := &replay.State{}
	if err := s.UnmarshalBinary(b); err != nil {
		return nil, fmt.Errorf("--resume %s: %w", path, err)
	}
	return s, nil
}

// writeState replaces the file in one step.
func writeState(path string, s *replay.State) error {
	b, err := s.MarshalBinary()
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err == nil {
		err = os.WriteFile(path+".new", b, 0o600)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return fmt.Errorf("keep what was done: %w", err)
	}
	return nil
}

// forget removes what a run that came to its end has left.
func forget(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the state of the interrupted run: %w", err)
	}
	return nil
}

func newVerifyEventCommand() *cobra.Command {
	f := &verifyFlags{}
	cmd := &cobra.Command{
		Use: "event ID", Short: "Prove that one event is in the log, step by step", Args: cobra.ExactArgs(1),
		Long: `Shows the way from the event's stored bytes to the newest signed checkpoint, hash by
hash, so that it can be followed with any other tool.`,
		Example: "  authledger verify event 6f1b7e3a-8f0d-5c58-9f0b-0a5a3c1d9e01 --keys keys.json",
		RunE: func(cmd *cobra.Command, args []string) error {
			format, err := f.format()
			if err != nil {
				return err
			}
			keys, err := f.pinned()
			if err != nil {
				return err
			}
			return f.open(cmd.Context(), func(log readingLog, history merkle.History) error {
				return replay.RunVerifyEvent(cmd.Context(), log, history, keys, args[0], format, cmd.OutOrStdout())
			})
		},
	}
	f.register(cmd)
	f.registerKeys(cmd)
	return cmd
}

func newVerifyViewsCommand() *cobra.Command {
	f := &verifyFlags{}
	scratch := ""
	cmd := &cobra.Command{
		Use: "views", Short: "Build the read models again from the log and name the first row that differs", Args: cobra.NoArgs,
		Long: fmt.Sprintf(`Needs no keys and may run beside the product. The blind index of phone numbers
cannot be computed without the keys and is not compared. Exit code %d when a row
differs; the views are thrown away and built again with their file.`, exitDiffers),
		Example: "  authledger verify views --data /var/lib/authledger",
		RunE: func(cmd *cobra.Command, _ []string) error {
			format, err := f.format()
			if err != nil {
				return err
			}
			return f.views(cmd.Context(), format, scratch, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&scratch, "scratch", "", "where to build them (default: the system's temporary directory)")
	return cmd
}

func (f *verifyFlags) views(ctx context.Context, format replay.Format, scratch string, stdout, stderr io.Writer) error {
	b, err := f.backend()
	if err != nil {
		return err
	}
	log, err := b.openReader(ctx, f.data)
	if err != nil {
		return refused(err)
	}
	show := progressTo(stderr, "records replayed")
	o := projections.Options{Dir: f.data, Codec: codec.New(nil), Clock: time.Now}
	c, err := projections.Compare(ctx, o, log, scratch, func(done, total uint64) { show(int(done), int(total)) })
	if err = errors.Join(err, log.Close()); err != nil {
		return fmt.Errorf("verify views: %w", err)
	}
	if err := printComparison(stdout, format, c); err != nil {
		return err
	}
	if c.First != nil {
		return fmt.Errorf("verify views: %w: %s", errViewsDiffer, c.First)
	}
	return nil
}

func printComparison(w io.Writer, format replay.Format, c projections.Comparison) error {
	if format == replay.JSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(c)
	}
	verdict := "the views are what the log says"
	if c.First != nil {
		verdict = "the views DIFFER from the log"
	}
	_, err := fmt.Fprintf(w, "verdict  %s, as of @%d\nequal    %d rows in %d tables\n", verdict, c.Sequence, c.Rows, c.Tables)
	if err == nil && c.First != nil {
		_, err = fmt.Fprintf(w, "first    %s\n", c.First)
	}
	return err
}

// codedError is an error with its exit code, where the same error means
// something else to another command.
type codedError struct {
	code int
	err  error
}

func (e *codedError) Error() string { return e.err.Error() }
func (e *codedError) Unwrap() error { return e.err }

// refused gives the refusal of a file its exit code: a directory that is not
// there and one that cannot be read now are told from one that is not as it
// was written.
func refused(err error) error {
	var ledger *sqlitestore.StartError
	var proof *sealer.StartError
	code := exitVerify
	switch {
	case errors.As(err, &ledger) && ledger.Reason == sqlitestore.ReasonLedgerMissing, errors.As(err, &proof) && proof.Reason == sealer.ProofMissing:
		code = exitNotFound
	case errors.As(err, &ledger) && (ledger.Reason == sqlitestore.ReasonIO || ledger.Reason == sqlitestore.ReasonDataDirInUse),
		errors.As(err, &proof) && proof.Reason == sealer.ProofIO:
		code = exitUnavailable
	}
	return &codedError{code: code, err: err}
}

// classifyVerify is the exit code of an error of these commands; 0 for others.
func classifyVerify(err error) int {
	var coded *codedError
	switch {
	case errors.As(err, &coded):
		return coded.code
	case errors.Is(err, replay.ErrUntrue), errors.Is(err, eventstore.ErrDamaged):
		return exitVerify
	case errors.Is(err, errViewsDiffer), errors.Is(err, projections.ErrGap):
		return exitDiffers
	case errors.Is(err, projections.ErrNotFound):
		return exitNotFound
	case errors.Is(err, replay.ErrUnsealed):
		return exitUnavailable
	}
	return 0
}
