package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/authledger/authledger/api/client"
	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/merkle"
	"github.com/authledger/authledger/replay"
	"github.com/authledger/authledger/replay/bundle"
	"github.com/spf13/cobra"
)

// exportFlags are what an extract is asked for with.
type exportFlags struct {
	backendFlags
	data, server, keyFile                                    string
	user, since, until, purpose, requestedBy, policy, output string
	streams, types                                           []string
	from, to                                                 uint64
	related                                                  bool
}

func newExportCommand() *cobra.Command {
	f := &exportFlags{}
	cmd := &cobra.Command{
		Use: "export --purpose TEXT -o FILE", Short: "Write an extract of the log with the proofs that it is true and complete", Args: cobra.NoArgs,
		Long: `Writes an evidence bundle: the records that were asked for, a proof for each that
it is in the signed log, and what shows that none is missing. Anybody can check
it without this program, see docs/evidence.md. Reads beside a running server;
personal data stays sealed. With --server the extract is asked for with an API key
of role auditor or compliance, from --key-file or the environment variable
AUTHLEDGER_AUDITOR_KEY, recorded as a read, and its manifest is signed by the log.
From a directory it is not signed, because that takes the log's key: the signature
says who made the bundle, not whether it is true.`,
		Example: "  authledger export --data /var/lib/authledger --user usr_… --with-related --purpose 'request 2026-114' -o evidence.zip\n" +
			"  authledger export --type OptOutDenied --since 2026-03-01 --until 2026-04-01 --purpose 'yearly audit' -o denied.zip",
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.register(cmd)
	return cmd
}

func (f *exportFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.data, "data", "./data", "directory of the ledger")
	f.registerRead(cmd.Flags())
	cmd.Flags().StringVar(&f.server, "server", "", "address of a running authledger, such as http://127.0.0.1:8080, instead of --data")
	cmd.Flags().StringVar(&f.keyFile, "key-file", "", "file with an API key of role auditor or compliance, with --server")
	cmd.Flags().StringVar(&f.user, "user", "", "usr_ id, an id that carries it, or the broker's reference: all of the user's stream")
	cmd.Flags().BoolVar(&f.related, "with-related", false, "with --user: also the streams of the user's installations and devices")
	cmd.Flags().StringArrayVar(&f.streams, "stream", nil, "a stream; may be given several times")
	cmd.Flags().StringArrayVar(&f.types, "type", nil, "a type of event, such as OptOutDenied; may be given several times")
	cmd.Flags().StringVar(&f.since, "since", "", "recorded at this moment or later: RFC 3339, a date, or a duration back such as -36h")
	cmd.Flags().StringVar(&f.until, "until", "", "recorded at this moment or earlier")
	cmd.Flags().Uint64Var(&f.from, "from", 0, "first record to look through; 0 is the first of the log")
	cmd.Flags().Uint64Var(&f.to, "to", 0, "last record to look through; 0 is the last that is sealed")
	cmd.Flags().StringVar(&f.purpose, "purpose", "", "why: it stands in the bundle")
	cmd.Flags().StringVar(&f.requestedBy, "requested-by", "command line", "who asks, such as the number of a request; never a person's name. With --server it is the API key's id")
	cmd.Flags().StringVar(&f.policy, "policy", "", "file with the witness policy to put in")
	cmd.Flags().StringVarP(&f.output, "output", "o", "", "file to write; it must not exist")
}

func (f *exportFlags) run(cmd *cobra.Command) error {
	switch {
	case f.purpose == "" || f.output == "":
		return usage("say why with --purpose and where to with -o FILE")
	case f.related && f.user == "":
		return usage("--with-related needs --user")
	case f.server != "" && f.policy != "":
		return usage("--policy: a server puts in its own")
	}
	write := f.fromDirectory
	if f.server != "" {
		write = f.fromServer
	}
	if err := createFile(f.output, func(w io.Writer) error { return write(cmd.Context(), w) }); err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "Check it with: authledger verify bundle %s --keys KEYS.json\n", f.output)
	return nil
}

// fromDirectory reads beside a running server or without one.
func (f *exportFlags) fromDirectory(ctx context.Context, w io.Writer) (err error) {
	b, err := f.backend()
	if err != nil {
		return err
	}
	log, err := b.openReader(ctx, f.data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	history, err := openHistory(f.data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, history.Close()) }()
	src := bundle.Source{Log: log, History: history}
	if src.Policy, err = readPolicy(f.policy); err != nil {
		return err
	}
	r, err := f.request(ctx, log, time.Now())
	if err != nil {
		return err
	}
	_, err = bundle.Write(ctx, src, r, w)
	return err
}

// fromServer asks a running one.
func (f *exportFlags) fromServer(ctx context.Context, w io.Writer) error {
	key := os.Getenv("AUTHLEDGER_AUDITOR_KEY")
	if f.keyFile != "" {
		var err error
		if key, err = secretFile("--key-file", f.keyFile, true); err != nil {
			return err
		}
	}
	if key == "" {
		return usage("--key-file: name a file with an API key of role auditor or compliance, or set AUTHLEDGER_AUDITOR_KEY")
	}
	q, err := f.query(time.Now())
	if err != nil {
		return err
	}
	r := gen.ExportRequest{Purpose: f.purpose, Streams: q.Streams, Types: q.Types, From: int64(f.from), To: int64(f.to), WithRelated: f.related}
	if q.SinceMicros != 0 {
		r.Since = time.UnixMicro(q.SinceMicros).UTC()
	}
	if q.UntilMicros != 0 {
		r.Until = time.UnixMicro(q.UntilMicros).UTC()
	}
	if f.user != "" {
		if r.UserId, err = replay.ResolveUser(f.user); err != nil {
			return err
		}
	}
	return client.New(f.server, key).Download(ctx, "/v1/exports", r, w)
}

// query is the question without the user, whose streams take a look-up.
func (f *exportFlags) query(now time.Time) (bundle.Query, error) {
	since, err := moment("since", f.since, now)
	if err != nil {
		return bundle.Query{}, err
	}
	until, err := moment("until", f.until, now)
	return bundle.Query{Streams: f.streams, Types: f.types, SinceMicros: since, UntilMicros: until}, err
}

// request is the export the flags ask for.
func (f *exportFlags) request(ctx context.Context, log eventstore.Reader, now time.Time) (bundle.Request, error) {
	q, err := f.query(now)
	r := bundle.Request{
		ExportID: "exp_" + strings.ToLower(rand.Text()), RequestedBy: f.requestedBy, Purpose: f.purpose, At: now, Version: version,
		Query: q, From: eventstore.Sequence(f.from), To: eventstore.Sequence(f.to),
	}
	if err != nil || f.user == "" {
		return r, err
	}
	userID, err := replay.ResolveUser(f.user)
	if err != nil {
		return r, err
	}
	streams := []string{domain.UserStream(userID)}
	if f.related {
		if streams, err = replay.Related(ctx, log, userID); err != nil {
			return r, err
		}
	}
	r.Query.Streams = append(r.Query.Streams, streams...)
	return r, nil
}

// moment is a flag's time in microseconds; 0 when it was not given.
func moment(flag, text string, now time.Time) (int64, error) {
	if text == "" {
		return 0, nil
	}
	p, err := replay.ParsePoint(text, now)
	if err != nil {
		return 0, fmt.Errorf("--%s: %w", flag, err)
	}
	at, ok := p.Time()
	if !ok {
		return 0, usage("--%s takes a time; records are given with --from and --to", flag)
	}
	return bundle.Micros(at), nil
}

// createFile writes a new file whole: under another name first, so that there
// is never half a file under the one that was asked for.
func createFile(path string, write func(io.Writer) error) (err error) {
	if _, err := os.Lstat(path); err == nil {
		return usage("%s exists; give another name", path)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".export-*")
	if err != nil {
		return fmt.Errorf("create %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(tmp.Name()))
		}
	}()
	if err := errors.Join(write(tmp), tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return fmt.Errorf("create %s: %w", path, err)
	}
	return nil
}

func readPolicy(path string) (merkle.Policy, error) {
	if path == "" {
		return merkle.Policy{}, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return merkle.Policy{}, fmt.Errorf("read the witness policy: %w", err)
	}
	return merkle.ParsePolicy(string(text))
}

func newVerifyBundleCommand() *cobra.Command {
	var keys, policy string
	var stamps stampCheck
	var asJSON bool
	cmd := &cobra.Command{
		Use: "bundle FILE", Short: "Check an evidence bundle, without the ledger and without a network", Args: cobra.ExactArgs(1),
		Long: fmt.Sprintf(`Checks every file, signature, event, proof and chain of a bundle, and that the
extract is complete. Without --keys it can only tell that the bundle agrees with
itself: give the log's public keys as you got them on another way. Exit code %d
when something does not hold; every such thing is listed, by event.`, exitVerify),
		Example: "  authledger verify bundle evidence.zip --keys keys.json",
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := bundleOptions(keys, policy)
			if err != nil {
				return err
			}
			if o.Stamp, err = stamps.check(); err != nil {
				return err
			}
			return verifyBundle(args[0], o, asJSON, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&keys, "keys", "", "file with the log's public keys, keys.json or the answer of /v1/log/keys")
	cmd.Flags().StringVar(&policy, "policy", "", "file with your own witness policy; otherwise the bundle's counts")
	stamps.register(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the report as JSON")
	return cmd
}

func bundleOptions(keysFile, policyFile string) (bundle.Options, error) {
	var o bundle.Options
	if keysFile != "" {
		text, err := os.ReadFile(keysFile)
		if err != nil {
			return o, fmt.Errorf("read the pinned keys: %w", err)
		}
		o.Keys = &merkle.Keys{}
		if err := json.Unmarshal(text, o.Keys); err != nil {
			return o, fmt.Errorf("pinned keys %s: %w", keysFile, err)
		}
	}
	if policyFile != "" {
		p, err := readPolicy(policyFile)
		if err != nil {
			return o, err
		}
		o.Policy = &p
	}
	return o, nil
}

func verifyBundle(path string, o bundle.Options, asJSON bool, stdout, stderr io.Writer) (err error) {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open the bundle: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("open the bundle: %w", err)
	}
	report, failed := bundle.Verify(file, info.Size(), o)
	if asJSON {
		enc := json.NewEncoder(stdout)
		enc.SetIndent("", "  ")
		err = enc.Encode(report)
	} else {
		_, err = io.WriteString(stdout, reportText(report))
	}
	if !report.Pinned {
		fmt.Fprintln(stderr, "WARNING: no --keys given. The bundle was only compared with the keys it brings along; whoever forges a bundle can forge those too.")
	}
	return errors.Join(failed, err)
}

// reportText is the report for people.
func reportText(r bundle.Report) string {
	var b strings.Builder
	for _, f := range r.Failures {
		fmt.Fprintf(&b, "FAILED  %s\n", f)
	}
	if len(r.Failures) > 0 {
		return b.String()
	}
	m := r.Manifest
	fmt.Fprintf(&b, "OK  %d events of %d looked through, @%d to @%d\n", m.Counts.Matched, m.Counts.Scanned, m.Window.From, m.Window.To)
	fmt.Fprintf(&b, "    log %s of size %d, signed %s\n", m.Checkpoint.Origin, m.Checkpoint.Size, r.SignedAt.Format(time.RFC3339))
	for _, stream := range r.Whole {
		fmt.Fprintf(&b, "    complete history of %s up to @%d\n", stream, m.Window.To)
	}
	maker := "the manifest is not signed"
	if r.Maker {
		maker = "the manifest is signed by the log"
	}
	fmt.Fprintf(&b, "    %s; %d witnesses cosigned\n", maker, len(r.Cosigned))
	for _, at := range r.Stamps {
		fmt.Fprintf(&b, "    the checkpoint was time-stamped at %s\n", at.Format(time.RFC3339))
	}
	for _, remark := range r.Remarks {
		fmt.Fprintf(&b, "REMARK  %s\n", remark)
	}
	if more := r.Late - uint64(len(r.Remarks)); more > 0 {
		fmt.Fprintf(&b, "REMARK  %d more events came late\n", more)
	}
	return b.String()
}
