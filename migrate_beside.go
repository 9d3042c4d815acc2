package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/authledger/authledger/api/access"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/esdbstore"
	"github.com/authledger/authledger/eventstore/keyring"
	"github.com/authledger/authledger/eventstore/sealer"
	"github.com/authledger/authledger/projections"
)

// This file moves what lies beside the log.

// copyKeys moves the keyring, every key wrapped as it is. A directory gets the
// key-encryption key, too; the nodes of an event database get it by hand.
func (m *migration) copyKeys(ctx context.Context) (n uint64, err error) {
	if !m.from.backend.shared() && !m.from.hasKeys() {
		return 0, nil
	}
	if err := m.giveKEK(); err != nil {
		return 0, err
	}
	// The target first: it may read kek.json of the source, which the keyring there
	// locks for itself.
	to, closeTo, err := m.to.openKeys(ctx, false)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, closeTo()) }()
	from, closeFrom, err := m.from.openKeys(ctx, true)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, closeFrom()) }()
	err = to.Import(ctx, counting(from.Export(ctx), &n))
	return n, err
}

func counting(rows iter.Seq2[keyring.Row, error], n *uint64) iter.Seq2[keyring.Row, error] {
	return func(yield func(keyring.Row, error) bool) {
		for row, err := range rows {
			if err == nil {
				*n++
			}
			if !yield(row, err) {
				return
			}
		}
	}
}

// hasKeys is false for a directory in which no server ever ran.
func (e *end) hasKeys() bool { return !e.backend.missing(e.dir) }

// giveKEK puts the key-encryption key into a directory that has none.
func (m *migration) giveKEK() error {
	if m.to.backend.shared() {
		return nil
	}
	source := filepath.Join(m.from.dir, "kek.json")
	if m.from.backend.shared() {
		source = m.from.backend.kekFile
	}
	target := filepath.Join(m.to.dir, "kek.json")
	if _, err := os.Stat(target); err == nil {
		return nil // the keyring finds out whether it is the same
	}
	return copySecret(source, target)
}

// copySecret copies a file of a few bytes to a new one that only its owner may
// read, durably.
func copySecret(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("copy the key-encryption key: %w", err)
	}
	defer in.Close()
	partial := to + ".partial"
	if err := os.Remove(partial); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("copy the key-encryption key: %w", err)
	}
	out, err := os.OpenFile(partial, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o400)
	if err != nil {
		return fmt.Errorf("copy the key-encryption key: %w", err)
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Sync(), out.Close()); err == nil {
		err = os.Rename(partial, to)
	}
	if err != nil {
		return fmt.Errorf("copy the key-encryption key: %w", err)
	}
	return nil
}

func (e *end) openKeys(ctx context.Context, existing bool) (*keyring.Keyring, func() error, error) {
	side, closeSide, err := e.backend.keySide(e.side, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, nil, err
	}
	o, err := e.backend.keyringOptions(e.dir, side)
	if err != nil {
		return nil, nil, errors.Join(err, closeSide())
	}
	o.Clock, o.LedgerNotEmpty = time.Now, existing
	k, err := keyring.Open(ctx, o)
	if err != nil {
		return nil, nil, errors.Join(err, closeSide())
	}
	return k, func() error { return errors.Join(k.Close(), closeSide()) }, nil
}

// copyCheckpoints moves everything that was signed.
func (m *migration) copyCheckpoints(ctx context.Context) (n uint64, err error) {
	from, err := sealer.OpenReader(m.from.dir)
	var start *sealer.StartError
	if errors.As(err, &start) && start.Reason == sealer.ProofMissing && !m.from.backend.shared() {
		return 0, nil // no server ever ran there
	}
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	to, err := sealer.OpenStore(ctx, sealer.StoreOptions{Dir: m.to.dir, Side: m.to.side})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	return sealer.CopyHistory(ctx, from, to)
}

// copyClients moves who may call the API.
func (m *migration) copyClients(ctx context.Context) (n uint64, err error) {
	from, err := access.Open(ctx, access.Options{Dir: m.from.dir, Side: m.from.side})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	to, err := access.Open(ctx, access.Options{Dir: m.to.dir, Side: m.to.side})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	count, err := access.Copy(ctx, from, to)
	return uint64(count), err
}

// copyReactions moves how far the reactions have come, so that the nodes do not
// look at the whole past. The database tells nobody how far its groups are: in a
// directory that comes from there they begin with the first record, which
// changes nothing that was done.
func (m *migration) copyReactions(ctx context.Context) (n uint64, err error) {
	if m.from.backend.shared() {
		return 0, nil
	}
	from, err := projections.OpenCheckpoints(ctx, m.from.dir, time.Now)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	log, ok := m.to.log.(*esdbstore.Store)
	if !ok {
		return m.copyPlaces(ctx, from)
	}
	for _, g := range groups() {
		at, err := from.Load(ctx, g.Checkpoint)
		if err != nil {
			return n, err
		}
		if err := log.BeginGroup(ctx, g, at); err != nil {
			return n, err
		}
		n++
	}
	more, err := m.copyPlaces(ctx, from)
	return n + more, err
}

// copyPlaces moves the places that a directory keeps.
func (m *migration) copyPlaces(ctx context.Context, from *projections.Checkpoints) (n uint64, err error) {
	to, err := projections.OpenCheckpoints(ctx, m.to.dir, time.Now)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	places, err := from.All(ctx)
	if err != nil {
		return 0, err
	}
	for name, at := range places {
		if at > eventstore.Sequence(m.summary.Records) {
			return n, fmt.Errorf("%w: %s stands at record %d of %d", eventstore.ErrDamaged, name, at, m.summary.Records)
		}
		if err := to.Save(ctx, name, at); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}
