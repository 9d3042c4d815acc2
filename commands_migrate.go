package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/esdbstore"
	"github.com/authledger/authledger/eventstore/move"
	"github.com/authledger/authledger/eventstore/sqlitestore"
	"github.com/spf13/cobra"
)

// migrateFlags say what is moved where.
type migrateFlags struct {
	from, to, data, toData    string
	prefix, keyStore, kekFile string
	json                      bool
}

func newMigrateCommand() *cobra.Command {
	f := &migrateFlags{}
	cmd := &cobra.Command{
		Annotations: map[string]string{otherStores: "--from and --to"},
		Use:         "migrate --to STORE", Short: "Move the ledger to another store, and prove that nothing was lost or changed", Args: cobra.NoArgs,
		Long: fmt.Sprintf(`Copies every record as it is, byte for byte and in order, then reads both stores
from their beginning and compares each record and the Merkle roots. No record of
the source is touched, but it is opened as a server opens it, so nobody else may
have it open. Cut off at any moment, the same command goes on where it was. Exit
code %d when the target holds another log.

With the log go the keys, wrapped as they are, every checkpoint with its
cosignatures and time stamps, the API clients, and how far the reactions have
come. The key-encryption key stays what it is: kek.json of the data directory is
what every node gets as --kek-file. views.db is built again. Into an event
database this needs one of its administrators; run store prepare afterwards.`, exitDiffers),
		Example: "  authledger migrate --from sqlite --data /var/lib/authledger \\\n" +
			"      --to 'esdb://admin:PASSWORD@db1:2113?tlsCaFile=ca.pem' --to-data /var/lib/authledger-node1\n" +
			"  authledger migrate --from 'esdb://admin:PASSWORD@db1:2113?tlsCaFile=ca.pem' --data /var/lib/authledger-node1 --kek-file kek.json \\\n" +
			"      --to sqlite --to-data /var/lib/authledger\n" +
			"  authledger migrate --from sqlite --data /var/lib/authledger --to sqlite --to-data /mnt/new/authledger",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&f.from, "from", "sqlite", "store to move from: sqlite (the one in --data), or the connection string of an event database")
	cmd.Flags().StringVar(&f.to, "to", "", "store to move to: sqlite (the one in --to-data), or the connection string of an event database")
	cmd.Flags().StringVar(&f.data, "data", "./data", "data directory to move from")
	cmd.Flags().StringVar(&f.toData, "to-data", "", "data directory to move to; that of the first node, with an event database; made when missing")
	cmd.Flags().StringVar(&f.prefix, "store-prefix", esdbstore.DefaultPrefix, "with an event database: what sets this ledger's streams apart from others there")
	cmd.Flags().StringVar(&f.keyStore, "key-store", "", "with an event database: connection string for the streams of the keys (default: that of the log)")
	cmd.Flags().StringVar(&f.kekFile, "kek-file", "", "with an event database: file with the key-encryption key (default: kek.json of the directory on the other side)")
	cmd.Flags().BoolVar(&f.json, "json", false, "print the summary as JSON")
	return cmd
}

func (f *migrateFlags) run(ctx context.Context, stdout, stderr io.Writer) (err error) {
	if err := f.check(); err != nil {
		return err
	}
	from, err := f.open(ctx, f.from, f.data, true)
	if err != nil {
		return fmt.Errorf("the source: %w", err)
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	to, err := f.open(ctx, f.to, f.toData, false)
	if err != nil {
		return fmt.Errorf("the target: %w", err)
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	m := &migration{from: from, to: to, progress: moveProgress(stderr), summary: moveSummary{From: from.name, To: to.name}}
	if err := m.run(ctx); err != nil {
		fmt.Fprintf(stderr, "%d records were copied by this run; the same command goes on behind them\n", m.summary.Copied)
		return moveFailed(err)
	}
	return m.summary.print(stdout, f.json)
}

func (f *migrateFlags) check() error {
	if f.to == "" {
		return usage("--to says which store to move to: sqlite, or a connection string that begins with esdb:// or kurrentdb://")
	}
	for flag, spec := range map[string]string{"--from": f.from, "--to": f.to} {
		if spec != "sqlite" && !esdbstore.IsURL(spec) {
			return usage("%s %q: want sqlite, or a connection string that begins with esdb:// or kurrentdb://", flag, esdbstore.Redacted(spec))
		}
	}
	if esdbstore.IsURL(f.from) && esdbstore.IsURL(f.to) {
		return usage("from one event database to another it is the database's own backup that moves a ledger")
	}
	if f.toData == "" {
		return usage("--to-data: name the data directory to move to; with an event database that of its first node")
	}
	source, err := filepath.Abs(f.data)
	if err != nil {
		return fmt.Errorf("find the data directory: %w", err)
	}
	target, err := filepath.Abs(f.toData)
	if err != nil {
		return fmt.Errorf("find the data directory: %w", err)
	}
	if source == target {
		return usage("--data and --to-data name the same directory")
	}
	return nil
}

// backend is where one end of the move lies.
func (f *migrateFlags) backend(spec string) backend {
	if spec == "sqlite" {
		return backend{}
	}
	b := backend{url: spec, prefix: f.prefix, keyURL: f.keyStore, kekFile: f.kekFile}
	if b.kekFile == "" {
		b.kekFile = filepath.Join(f.data, "kek.json")
	}
	return b
}

// open opens one end, and keeps everybody else out of a directory.
func (f *migrateFlags) open(ctx context.Context, spec, dir string, existing bool) (_ *end, err error) {
	b := f.backend(spec)
	if _, err := os.Stat(filepath.Join(dir, "ledger.db")); existing && !b.shared() && errors.Is(err, fs.ErrNotExist) {
		return nil, &codedError{code: exitNotFound, err: fmt.Errorf("%s holds no ledger", dir)}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	e := &end{backend: b, dir: dir, name: "sqlite in " + dir}
	if b.shared() {
		e.name = esdbstore.Redacted(b.url) + ", prefix " + b.prefix
	}
	log, side, err := b.openLog(ctx, dir, time.Now, slog.New(slog.DiscardHandler))
	var start *sqlitestore.StartError
	if errors.As(err, &start) && start.Reason == sqlitestore.ReasonDataDirInUse || errors.Is(err, esdbstore.ErrInUse) {
		err = fmt.Errorf("%w; stop the server that has it", err)
	}
	if err != nil {
		return nil, refused(err)
	}
	e.log, e.side = log, side
	return e, nil
}

// end is one end of a move.
type end struct {
	backend backend
	name    string // for people
	dir     string // data directory
	log     ledgerLog
	side    eventstore.Side // nil for SQLite
}

func (e *end) Close() error { return e.log.Close() }

// migration is one move. Its steps fill the summary.
type migration struct {
	from, to *end
	progress func(move.Progress)
	summary  moveSummary
}

// moveSummary is what a move came to.
type moveSummary struct {
	From    string        `json:"from"`
	To      string        `json:"to"`
	Records uint64        `json:"records"` // in both
	Copied  uint64        `json:"copied"`  // of them by this run
	Bytes   uint64        `json:"bytes"`   // data and metadata of those
	Root    string        `json:"root"`    // of all records, in hexadecimal
	Steps   []stepSummary `json:"steps"`
}

type stepSummary struct {
	Name    string  `json:"name"`
	Count   uint64  `json:"count"` // records, or what else the step handles
	Seconds float64 `json:"seconds"`
}

// moveStep is a part of a move. Each may be repeated after any other run of it
// was cut off, and says how many things it handled.
type moveStep struct {
	name string
	run  func(ctx context.Context) (count uint64, err error)
}

// steps are the parts in their order. What lies beside the log comes between the
// log itself and the comparison.
func (m *migration) steps() []moveStep {
	return []moveStep{
		{"log", m.copyLog},
		{"keys", m.copyKeys},
		{"checkpoints", m.copyCheckpoints},
		{"clients", m.copyClients},
		{"reactions", m.copyReactions},
		{"compare", m.compareLogs},
	}
}

func (m *migration) run(ctx context.Context) error {
	for _, step := range m.steps() {
		began := time.Now()
		count, err := step.run(ctx)
		if err != nil {
			return fmt.Errorf("move: %s: %w", step.name, err)
		}
		m.summary.Steps = append(m.summary.Steps, stepSummary{Name: step.name, Count: count, Seconds: time.Since(began).Seconds()})
	}
	return nil
}

func (m *migration) options() move.Options {
	return move.Options{From: m.from.log, To: m.to.log, Clock: time.Now, Progress: m.progress}
}

func (m *migration) copyLog(ctx context.Context) (uint64, error) {
	moved, err := move.Copy(ctx, m.options())
	m.summary.Records, m.summary.Copied, m.summary.Bytes = moved.Size, moved.Copied, moved.Bytes
	return moved.Copied, err
}

func (m *migration) compareLogs(ctx context.Context) (uint64, error) {
	root, err := move.Compare(ctx, m.options(), m.summary.Records)
	m.summary.Root = root.String()
	return m.summary.Records, err
}

// moveFailed gives an error of a move its exit code.
func moveFailed(err error) error {
	switch {
	case errors.Is(err, move.ErrOtherLog), errors.Is(err, eventstore.ErrConflict), errors.Is(err, eventstore.ErrDuplicateID):
		return &codedError{code: exitDiffers, err: err}
	case errors.Is(err, move.ErrGrew):
		return &codedError{code: exitUnavailable, err: err}
	}
	return err
}

func (s moveSummary) print(w io.Writer, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(s)
	}
	_, err := fmt.Fprintf(w, "verdict  both hold the same log of %d records\nroot     %s\nfrom     %s\nto       %s\ncopied   %d records by this run, %.1f MB\n",
		s.Records, s.Root, s.From, s.To, s.Copied, float64(s.Bytes)/1e6)
	for _, step := range s.Steps {
		if err == nil {
			_, err = fmt.Fprintf(w, "step     %-12s %d in %.1f s\n", step.Name, step.Count, step.Seconds)
		}
	}
	return err
}
