package replay

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/bits"
	"time"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/merkle"
)

// ErrUnsealed means that a record is not under a signed checkpoint yet.
var ErrUnsealed = errors.New("the record is not sealed yet")

// EventReport shows that one record is in the log, step by step.
type EventReport struct {
	ID         string    `json:"id"`
	Type       string    `json:"type"`
	Stream     string    `json:"stream"`
	Revision   uint64    `json:"revision"`
	Sequence   uint64    `json:"sequence"`
	RecordedAt time.Time `json:"recorded_at"`

	DataHash     string      `json:"data_sha256"`
	MetadataHash string      `json:"metadata_sha256"`
	Leaf         string      `json:"leaf"`
	Index        uint64      `json:"index"`
	Steps        []ProofStep `json:"steps"`

	Checkpoint uint64    `json:"checkpoint"` // revision of the history of checkpoints
	Size       uint64    `json:"size"`
	Root       string    `json:"root"`
	SignedAt   time.Time `json:"signed_at"`
	Epoch      uint32    `json:"key_epoch"`
	KeysPinned bool      `json:"keys_pinned"`
}

// ProofStep is one level of the way from the leaf to the root: the hash so far
// and the one from the proof make the next.
type ProofStep struct {
	Side  string `json:"side"` // of the hash from the proof: left or right
	With  string `json:"with"`
	Gives string `json:"gives"`
}

// VerifyEvent proves a record: its stored bytes give the leaf, the leaf is in
// the tree of the newest checkpoint, and the log's key signed that. What does
// not fit is ErrUntrue; ErrUnsealed means to ask again in a second.
func VerifyEvent(ctx context.Context, reader eventstore.Reader, h merkle.History, own *merkle.Keys, id eventstore.EventID) (EventReport, error) {
	r, err := reader.ByID(ctx, id)
	if err != nil {
		return EventReport{}, err
	}
	latest, err := h.Latest(ctx)
	if errors.Is(err, eventstore.ErrNotFound) {
		return EventReport{}, fmt.Errorf("%w: no checkpoint was ever published", ErrUnsealed)
	}
	if err != nil {
		return EventReport{}, fmt.Errorf("read the newest checkpoint: %w", err)
	}
	keys, problem, err := trusted(ctx, h, own)
	if err != nil {
		return EventReport{}, err
	}
	if problem != "" {
		return EventReport{}, fmt.Errorf("%w: %s", ErrUntrue, problem)
	}
	at, err := keys.SignedAt(latest.Signed)
	if err != nil {
		return EventReport{}, fmt.Errorf("%w: newest checkpoint: %w", ErrUntrue, err)
	}
	c, err := merkle.Unverified(latest.Signed)
	if err != nil {
		return EventReport{}, fmt.Errorf("%w: newest checkpoint: %w", ErrUntrue, err)
	}
	if uint64(r.Sequence) > c.Size {
		return EventReport{}, fmt.Errorf("%w: it is @%d, the newest checkpoint has %d records", ErrUnsealed, r.Sequence, c.Size)
	}
	out := describeProof(r, latest.Revision, c, at)
	out.Epoch, out.KeysPinned = keys.InForce(c.Size).Number, own != nil
	return out, prove(ctx, h, r, c, &out)
}

func describeProof(r eventstore.Record, revision uint64, c merkle.Checkpoint, at time.Time) EventReport {
	e := r.Entry()
	return EventReport{
		ID: r.ID.String(), Type: r.Type, Stream: r.Stream, Revision: uint64(r.Revision), Sequence: uint64(r.Sequence), RecordedAt: r.RecordedAt,
		DataHash: e.DataHash.String(), MetadataHash: e.MetadataHash.String(), Leaf: e.Leaf().String(), Index: merkle.Index(r.Sequence),
		Checkpoint: revision, Size: c.Size, Root: c.Root.String(), SignedAt: at,
	}
}

// prove fills in the steps and checks where they lead.
func prove(ctx context.Context, h merkle.History, r eventstore.Record, c merkle.Checkpoint, out *EventReport) error {
	tiles := merkle.Tiles(func(level int, n int64) ([]byte, error) { return h.Tile(ctx, level, n) })
	path, err := merkle.ProveInclusion(tiles.Reader(), out.Index, c.Size)
	if err != nil {
		return fmt.Errorf("%w: no proof can be made of event %s (%s, @%d): %w", ErrUntrue, r.ID, r.Type, r.Sequence, err)
	}
	out.Steps = proofSteps(out.Index, c.Size, r.Leaf(), path)
	if err := merkle.CheckInclusion(c, out.Index, r.Leaf(), path); err != nil {
		return fmt.Errorf("%w: event %s (%s, @%d) is not the one that was sealed: %w", ErrUntrue, r.ID, r.Type, r.Sequence, err)
	}
	return nil
}

// proofSteps spells out RFC 9162 §2.1.3.2: a sibling stands left of a node that
// is a right child or the last of its level.
func proofSteps(index, size uint64, leaf eventstore.Hash, path []eventstore.Hash) []ProofStep {
	steps := make([]ProofStep, 0, len(path))
	node, last, at := index, size-1, leaf
	for _, with := range path {
		step := ProofStep{Side: "right", With: with.String()}
		if node&1 == 1 || node == last {
			step.Side = "left"
			at = inner(with, at)
			if shift := bits.TrailingZeros64(node); node&1 == 0 { // levels at which the last node has no sibling
				node, last = node>>shift, last>>shift
			}
		} else {
			at = inner(at, with)
		}
		node, last = node>>1, last>>1
		step.Gives = at.String()
		steps = append(steps, step)
	}
	return steps
}

// inner is RFC 6962 §2.1: SHA-256(0x01 ‖ left ‖ right).
func inner(left, right eventstore.Hash) eventstore.Hash {
	b := make([]byte, 1, 65)
	b[0] = 1
	b = append(append(b, left[:]...), right[:]...)
	return sha256.Sum256(b)
}
