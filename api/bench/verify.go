package bench

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/merkle"
	"github.com/authledger/authledger/eventstore/sealer"
	"github.com/authledger/authledger/eventstore/sqlitestore"
	"github.com/authledger/authledger/replay"
)

// sealEvery is how many records the checkpoints of the benchmark are apart: what
// a busy second appends.
const sealEvery = 10_000

// verifications measures the verification of a whole ledger, with all hashes,
// chains, roots and signatures, against ordered scans of the same records.
func (s *session) verifications(ctx context.Context, dir string) (rows []Row, err error) {
	p, err := openPopulation(ctx, dir, s.events)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	s.say("verify: writing %d events", s.events)
	if err := p.fill(ctx, s.events); err != nil {
		return nil, err
	}
	if err := p.reopen(ctx); err != nil {
		return nil, fmt.Errorf("open the ledger again: %w", err)
	}
	history, err := sealed(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("seal the ledger: %w", err)
	}
	r := &rebuilding{session: s, population: p}
	var scan, verify, heap series
	for round := range s.rounds {
		s.say("verify: round %d of %d over %d events", round+1, s.rounds, p.held.Load())
		err := alternate(round,
			func() error {
				_, rate, err := r.timed(func() error { return r.scanned(ctx, false) })
				scan = append(scan, rate)
				return err
			},
			func() error {
				peak, rate, err := r.timed(func() error {
					return s.profiled("verify", round, func() error { return r.verified(ctx, history) })
				})
				verify, heap = append(verify, rate), append(heap, peak.heap)
				return err
			})
		if err != nil {
			return nil, err
		}
	}
	return []Row{
		measured("ordered scan", "events/s", scan),
		measured("verification of the whole log", "events/s", verify).against("ordered scan", verify, scan),
		measured("verification, peak heap", "MiB", heap),
	}, nil
}

func (r *rebuilding) verified(ctx context.Context, history merkle.History) error {
	reader, err := sqlitestore.OpenReader(filepath.Join(r.dir, "ledger"))
	if err != nil {
		return err
	}
	report, _, err := replay.VerifyLog(ctx, replay.LogCheck{Records: reader, History: history, Codec: codec.New(nil)})
	if err == nil && (report.Failed > 0 || int64(report.Records) != r.held.Load()) {
		err = fmt.Errorf("%d records of %d were verified, failures %v", report.Records, r.held.Load(), report.Failures)
	}
	return errors.Join(err, reader.Close())
}

// sealed signs the ledger as the product would have while it was written.
func sealed(ctx context.Context, p *population) (merkle.History, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	n := notary{
		store: sealer.NewMemory(), origin: "ledger.bench/verify",
		signer: merkle.Signer{Public: public, Sign: func(m []byte) ([]byte, error) { return ed25519.Sign(private, m), nil }},
	}
	first := merkle.Epoch{Number: 1, Public: public}
	if _, err := n.store.Begin(ctx, merkle.Keys{Origin: n.origin, Epochs: []merkle.Epoch{first}}); err != nil {
		return nil, err
	}
	var at time.Time
	for r, err := range p.store.ReadAll(ctx, 0) {
		if err != nil {
			return nil, err
		}
		n.leaves, at = append(n.leaves, r.Leaf()), r.RecordedAt
		if len(n.leaves) == sealEvery {
			if err := n.publish(ctx, at); err != nil {
				return nil, err
			}
		}
	}
	if len(n.leaves) > 0 {
		err = n.publish(ctx, at)
	}
	return n.store, err
}

// notary signs a log that is read once.
type notary struct {
	store    *sealer.Memory
	origin   string
	signer   merkle.Signer
	size     uint64
	revision uint64
	leaves   []eventstore.Hash // since the last checkpoint
}

func (n *notary) publish(ctx context.Context, at time.Time) error {
	tiles := merkle.Tiles(func(level int, i int64) ([]byte, error) { return n.store.Tile(ctx, level, i) })
	grown, err := tiles.Extend(n.size, n.leaves)
	if err != nil {
		return err
	}
	c := merkle.Checkpoint{Origin: n.origin, Size: grown.Size, Root: grown.Root}
	signed, err := c.Sign(at, n.signer)
	if err != nil {
		return err
	}
	n.revision++
	n.size, n.leaves = grown.Size, n.leaves[:0]
	return n.store.Publish(ctx, sealer.Publication{
		Revision: n.revision, Checkpoint: c, Signed: signed, At: at.Truncate(time.Second), Tiles: grown.Tiles,
	})
}
