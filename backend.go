package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/esdbstore"
	"github.com/authledger/authledger/eventstore/keyring"
	"github.com/authledger/authledger/eventstore/sealer"
	"github.com/authledger/authledger/eventstore/sqlitestore"
	"github.com/authledger/authledger/replay"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// backend says which event store is below. This file is the one place that
// knows which there are.
type backend struct {
	url      string // of an event database; empty: SQLite in the data directory
	prefix   string
	keyURL   string // for the keys' streams; empty: url
	kekFile  string // the key-encryption key that all nodes have
	anyRight bool   // accept a server whose user may delete ledger streams
}

// shared reports whether other processes work on the same ledger.
func (b backend) shared() bool { return b.url != "" }

// ledgerLog is an opened log of any kind.
type ledgerLog interface {
	eventstore.Store
	eventstore.Importer
	// ID is the ledger's own random name.
	ID() string
}

// backendFlags are the flags as given.
type backendFlags struct {
	store, prefix, keyStore, kekFile string
	anyRight                         bool
}

// registerRead is for those who only read the log.
func (f *backendFlags) registerRead(flags *pflag.FlagSet) {
	flags.StringVar(&f.store, "store", "sqlite", "event store: sqlite (in the data directory), or an EventStoreDB or KurrentDB that several nodes share,\n"+
		"such as esdb://user:password@host1:2113,host2:2113,host3:2113?tlsCaFile=ca.pem")
	flags.StringVar(&f.prefix, "store-prefix", esdbstore.DefaultPrefix, "with an event database: what sets this ledger's streams apart from others there")
}

// register is for those who also use keys.
func (f *backendFlags) register(flags *pflag.FlagSet) {
	f.registerRead(flags)
	flags.StringVar(&f.keyStore, "key-store", "", "with an event database: connection string for the streams of the keys, of a user who may delete streams (default: --store)")
	flags.StringVar(&f.kekFile, "kek-file", "", "with an event database: file with the key-encryption key, the same on every node (authledger keys generate --kind kek)")
}

// registerServe adds what only those need who write.
func (f *backendFlags) registerServe(flags *pflag.FlagSet) {
	f.register(flags)
	flags.BoolVar(&f.anyRight, "accept-store-rights", false, "with an event database: start although this user may delete ledger streams, as on a server without users")
}

// otherStores marks a command whose --data is not a ledger in the store that the
// environment names: it says itself what it works on.
const otherStores = "authledger/other-stores"

// checkStoreVariable refuses a command that knows only SQLite in a data directory
// while the environment names another store: it would work on another ledger
// than all other commands there, and not say so.
func checkStoreVariable(cmd *cobra.Command) error {
	value := os.Getenv("AUTHLEDGER_STORE")
	flags := cmd.Flags()
	if value == "" || value == "sqlite" || flags.Lookup("data") == nil || flags.Lookup("store") != nil || cmd.Annotations[otherStores] != "" {
		return nil
	}
	return usage("AUTHLEDGER_STORE names an event database, and %s works on SQLite in the directory of --data only; unset the variable if that is meant", cmd.CommandPath())
}

func (f *backendFlags) backend() (backend, error) {
	b := backend{prefix: f.prefix, keyURL: f.keyStore, kekFile: f.kekFile, anyRight: f.anyRight}
	switch {
	case f.store == "sqlite":
		if f.keyStore != "" || f.kekFile != "" || f.anyRight {
			return b, usage("--key-store, --kek-file and --accept-store-rights are for an event database: give --store esdb://…")
		}
		return b, nil
	case !esdbstore.IsURL(f.store):
		return b, usage("--store %q: want sqlite, or a connection string that begins with esdb://, esdb+discover:// or kurrentdb://", esdbstore.Redacted(f.store))
	case f.keyStore != "" && !esdbstore.IsURL(f.keyStore):
		return b, usage("--key-store: want a connection string like that of --store")
	}
	b.url = f.store
	return b, nil
}

// needKEK asks for the key-encryption key where keys are used.
func (b backend) needKEK() error {
	if b.shared() && b.kekFile == "" {
		return usage("--store %s needs --kek-file: the file with the key-encryption key, the same on every node;\nmake one with: authledger keys generate --kind kek --out kek.json", esdbstore.Redacted(b.url))
	}
	return nil
}

// openLog opens the log for writing, and what lies beside it on an event
// database; side is nil for SQLite.
func (b backend) openLog(ctx context.Context, dir string, clock func() time.Time, logger *slog.Logger) (ledgerLog, eventstore.Side, error) {
	if !b.shared() {
		log, err := sqlitestore.Open(ctx, sqlitestore.Options{Dir: dir, Clock: clock, Logger: logger})
		if err != nil {
			return nil, nil, err
		}
		return log, nil, nil
	}
	log, err := esdbstore.Open(ctx, esdbstore.Options{URL: b.url, Prefix: b.prefix, Dir: dir, Clock: clock, Logger: logger})
	if err != nil {
		return nil, nil, err
	}
	return log, log, nil
}

// keySide is where the keys lie, with what closes it: the log's own connection,
// or another user's.
func (b backend) keySide(side eventstore.Side, logger *slog.Logger) (eventstore.Side, func() error, error) {
	if b.keyURL == "" {
		return side, func() error { return nil }, nil
	}
	sides, err := esdbstore.OpenSides(esdbstore.Options{URL: b.keyURL, Prefix: b.prefix, Logger: logger})
	if err != nil {
		return nil, nil, err
	}
	return sides, sides.Close, nil
}

// keyringOptions tell where the keys are.
func (b backend) keyringOptions(dir string, side eventstore.Side) (keyring.Options, error) {
	o := keyring.Options{Dir: dir}
	if !b.shared() {
		return o, nil
	}
	if err := b.needKEK(); err != nil {
		return o, err
	}
	kek, err := keyring.OpenKEKFile(b.kekFile)
	if err != nil {
		return o, err
	}
	o.KEK, o.Side = kek, side
	return o, nil
}

// stored reads a log as it lies in its store: the sealer compares that with what
// it was told.
func stored(log ledgerLog) eventstore.Reader {
	if s, ok := log.(*esdbstore.Store); ok {
		return s.AsStored()
	}
	return log
}

// readingLog is a log opened by somebody who only reads, beside a running server
// or without one.
type readingLog interface {
	eventstore.Reader
	Close() error
}

// readerDir is where commands that read an event database count its log: not in
// the file of a server that runs on the same directory.
const readerDir = "reader"

// openReader opens the log for reading.
func (b backend) openReader(ctx context.Context, dir string) (readingLog, error) {
	if !b.shared() {
		log, err := sqlitestore.OpenReader(dir)
		if err != nil {
			return nil, err
		}
		return log, nil
	}
	own := filepath.Join(dir, readerDir)
	log, err := esdbstore.Open(ctx, esdbstore.Options{URL: b.url, Prefix: b.prefix, Dir: own})
	if errors.Is(err, esdbstore.ErrInUse) {
		return nil, fmt.Errorf("another command reads with this data directory; wait for it or give another --data: %w", err)
	}
	if err != nil {
		return nil, err
	}
	return log.AsStored(), nil
}

// openHistory opens what was signed, for reading: of a ledger that is shared, the
// copy this node has checked.
func openHistory(dir string) (*sealer.Reader, error) { return sealer.OpenReader(dir) }

// records reads a log for those who trust nothing it says of itself. An event
// database keeps no running hashes and no anchor.
func records(log readingLog) replay.Records {
	if r, ok := log.(replay.Records); ok {
		return r
	}
	return replay.Plain(log)
}

// missing reports whether there is no ledger in a directory to begin with.
func (b backend) missing(dir string) bool {
	if b.shared() {
		return false
	}
	_, err := os.Stat(filepath.Join(dir, "keys.db"))
	return errors.Is(err, fs.ErrNotExist)
}
