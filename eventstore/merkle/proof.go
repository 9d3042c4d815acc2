package merkle

import (
	"errors"
	"fmt"
	"strings"

	"github.com/transparency-dev/formats/proof"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/authledger/authledger/eventstore"
)

// ErrProof means that a proof does not prove what it should. Compare with
// errors.Is.
var ErrProof = errors.New("proof does not verify")

// HashReader reads stored hashes of a tree in the order of tlog; see Tree.
type HashReader = tlog.HashReader

// Index is the leaf of the record with a sequence. Sequence zero has none.
func Index(s eventstore.Sequence) uint64 { return uint64(s) - 1 }

// ProveInclusion returns the RFC 6962 §2.1.1 audit path of a leaf in the tree of
// a size, from the leaf upwards.
func ProveInclusion(r HashReader, index, size uint64) ([]eventstore.Hash, error) {
	if index >= size {
		return nil, fmt.Errorf("prove leaf %d: the tree has %d leaves", index, size)
	}
	p, err := tlog.ProveRecord(int64(size), int64(index), r)
	if err != nil {
		return nil, fmt.Errorf("prove leaf %d in %d: %w", index, size, err)
	}
	return hashes(p), nil
}

// CheckInclusion verifies that a leaf stands at an index of the tree a
// checkpoint is the head of. Errors wrap ErrProof.
func CheckInclusion(c Checkpoint, index uint64, leaf eventstore.Hash, path []eventstore.Hash) error {
	if index >= c.Size {
		return fmt.Errorf("%w: leaf %d in a tree of %d leaves", ErrProof, index, c.Size)
	}
	if err := tlog.CheckRecord(path32[tlog.RecordProof](path), int64(c.Size), tlog.Hash(c.Root), int64(index), tlog.Hash(leaf)); err != nil {
		return fmt.Errorf("%w: leaf %d in the tree of size %d: %w", ErrProof, index, c.Size, err)
	}
	return nil
}

// ProveConsistency returns the RFC 6962 §2.1.2 proof that the tree of a size is
// the beginning of a later one. A tree of size 0 is the beginning of all, and
// each is its own: both proofs are empty.
func ProveConsistency(r HashReader, from, to uint64) ([]eventstore.Hash, error) {
	if from > to {
		return nil, fmt.Errorf("prove consistency from %d to %d: the tree shrank", from, to)
	}
	if from == 0 || from == to {
		return nil, nil
	}
	p, err := tlog.ProveTree(int64(to), int64(from), r)
	if err != nil {
		return nil, fmt.Errorf("prove consistency from %d to %d: %w", from, to, err)
	}
	return hashes(p), nil
}

// CheckConsistency verifies that the tree of a checkpoint is the beginning of a
// later one's. Errors wrap ErrProof.
func CheckConsistency(from, to Checkpoint, path []eventstore.Hash) error {
	switch {
	case from.Size > to.Size:
		return fmt.Errorf("%w: size %d is less than %d", ErrProof, to.Size, from.Size)
	case from.Size == 0 || from.Size == to.Size:
		if len(path) > 0 || from.Size == to.Size && from.Root != to.Root || from.Size == 0 && from.Root != EmptyRoot() {
			return fmt.Errorf("%w: size %d with another root", ErrProof, from.Size)
		}
		return nil
	}
	if err := tlog.CheckTree(path32[tlog.TreeProof](path), int64(to.Size), tlog.Hash(to.Root), int64(from.Size), tlog.Hash(from.Root)); err != nil {
		return fmt.Errorf("%w: size %d is not the beginning of size %d: %w", ErrProof, from.Size, to.Size, err)
	}
	return nil
}

// EventProof is a C2SP tlog-proof: everything that shows that an event is in the
// log, given the keys.
type EventProof struct {
	Index      uint64
	Path       []eventstore.Hash
	Checkpoint []byte // signed
}

// Marshal writes the text of a .tlog-proof file.
func (p EventProof) Marshal() []byte {
	return proof.TLogProof{Index: p.Index, Hashes: path32[[][32]byte](p.Path), Checkpoint: p.Checkpoint}.Marshal()
}

// ParseEventProof reads exactly what Marshal writes. Errors wrap ErrProof.
func ParseEventProof(text []byte) (EventProof, error) {
	if len(text) > 2*MaxCheckpoint {
		return EventProof{}, fmt.Errorf("%w: %d bytes, at most %d", ErrProof, len(text), 2*MaxCheckpoint)
	}
	var read proof.TLogProof
	if err := read.Unmarshal(text); err != nil {
		return EventProof{}, fmt.Errorf("%w: %w", ErrProof, err)
	}
	p := EventProof{Index: read.Index, Path: hashes(read.Hashes), Checkpoint: read.Checkpoint}
	if string(p.Marshal()) != string(text) {
		return EventProof{}, fmt.Errorf("%w: not in its one spelling", ErrProof)
	}
	return p, nil
}

// Check verifies the proof for a leaf and returns the checkpoint it stands on.
func (p EventProof) Check(k Keys, leaf eventstore.Hash) (Checkpoint, error) {
	c, err := k.Open(p.Checkpoint)
	if err != nil {
		return Checkpoint{}, err
	}
	return c, CheckInclusion(c, p.Index, leaf, p.Path)
}

// ParseHashes reads lines of base64, as proofs are written, to the end.
func ParseHashes(lines string) ([]eventstore.Hash, error) {
	var out []eventstore.Hash
	for line := range strings.Lines(lines) {
		h, err := tlog.ParseHash(strings.TrimSuffix(line, "\n"))
		if err != nil || h.String()+"\n" != line {
			return nil, fmt.Errorf("%w: line %d is not a hash in base64", ErrProof, len(out)+1)
		}
		out = append(out, eventstore.Hash(h))
	}
	return out, nil
}

// FormatHashes writes what ParseHashes reads.
func FormatHashes(path []eventstore.Hash) string {
	var b strings.Builder
	for _, h := range path {
		b.WriteString(tlog.Hash(h).String())
		b.WriteByte('\n')
	}
	return b.String()
}

// hashes and path32 convert between equal types of different packages.
func hashes[S ~[]H, H ~[32]byte](in S) []eventstore.Hash {
	out := make([]eventstore.Hash, len(in))
	for i, h := range in {
		out[i] = eventstore.Hash(h)
	}
	return out
}

func path32[S ~[]H, H ~[32]byte](in []eventstore.Hash) S {
	out := make(S, len(in))
	for i, h := range in {
		out[i] = H(h)
	}
	return out
}
