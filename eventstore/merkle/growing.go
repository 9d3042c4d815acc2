package merkle

import (
	"crypto/sha256"
	"fmt"
	"iter"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/authledger/authledger/eventstore"
)

var ranges = compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}

// EmptyRoot is the root of a log without records (RFC 6962 §2.1).
func EmptyRoot() eventstore.Hash { return sha256.Sum256(nil) }

// Growing computes the roots of a log that is read from its beginning. It keeps
// at most 64 hashes, whatever the size. It belongs to one goroutine.
type Growing struct{ r *compact.Range }

// NewGrowing begins with the empty log.
func NewGrowing() *Growing { return &Growing{r: ranges.NewEmptyRange(0)} }

// ResumeGrowing goes on from what Size and State returned.
func ResumeGrowing(size uint64, state []eventstore.Hash) (*Growing, error) {
	r, err := ranges.NewRange(0, size, slices32(state))
	if err != nil {
		return nil, fmt.Errorf("resume at size %d: %w", size, err)
	}
	return &Growing{r: r}, nil
}

// Append adds the next record's leaf.
func (g *Growing) Append(leaf eventstore.Hash) error { return g.r.Append(leaf[:], nil) }

// Size counts the leaves.
func (g *Growing) Size() uint64 { return g.r.End() }

// State is what ResumeGrowing needs beside the size.
func (g *Growing) State() []eventstore.Hash { return fromSlices(g.r.Hashes()) }

// Root is the root of the leaves so far.
func (g *Growing) Root() (eventstore.Hash, error) { return rootOf(g.r) }

func rootOf(r *compact.Range) (eventstore.Hash, error) {
	if r.End() == 0 {
		return EmptyRoot(), nil
	}
	root, err := r.GetRootHash(nil)
	if err != nil {
		return eventstore.Hash{}, fmt.Errorf("root of size %d: %w", r.End(), err)
	}
	return eventstore.Hash(root), nil
}

// ProveRange returns the hashes that stand for everything outside the leaves
// [from, to) of a tree: those of the perfect subtrees left of it and then of
// those right of it, in the order of the leaves. With them and its leaves
// anybody can compute the root (RangeRoot).
func ProveRange(r HashReader, from, to, size uint64) ([]eventstore.Hash, error) {
	if from > to || to > size {
		return nil, fmt.Errorf("prove range %d to %d of %d: out of order", from, to, size)
	}
	nodes := compact.RangeNodes(to, size, compact.RangeNodes(0, from, nil))
	indexes := make([]int64, len(nodes))
	for i, n := range nodes {
		indexes[i] = tlog.StoredHashIndex(int(n.Level), int64(n.Index))
	}
	found, err := r.ReadHashes(indexes)
	if err != nil {
		return nil, fmt.Errorf("prove range %d to %d of %d: %w", from, to, size, err)
	}
	return hashes(found), nil
}

// RangeRoot computes the root of the tree of a size from the leaves that begin
// at from and the hashes of ProveRange. The leaves end where the range ends.
// Errors wrap ErrProof or are those of the leaves.
func RangeRoot(from uint64, leaves iter.Seq2[eventstore.Hash, error], size uint64, outside []eventstore.Hash) (eventstore.Hash, error) {
	n := compact.RangeSize(0, from)
	if len(outside) < n {
		return eventstore.Hash{}, fmt.Errorf("%w: %d hashes left of leaf %d, want %d", ErrProof, len(outside), from, n)
	}
	r, err := ranges.NewRange(0, from, slices32(outside[:n]))
	if err != nil {
		return eventstore.Hash{}, fmt.Errorf("%w: %w", ErrProof, err)
	}
	for leaf, err := range leaves {
		if err == nil {
			err = r.Append(leaf[:], nil)
		}
		if err != nil {
			return eventstore.Hash{}, err
		}
	}
	if r.End() > size || len(outside)-n != compact.RangeSize(r.End(), size) {
		return eventstore.Hash{}, fmt.Errorf("%w: %d hashes right of leaf %d do not end at size %d", ErrProof, len(outside)-n, r.End(), size)
	}
	right, err := ranges.NewRange(r.End(), size, slices32(outside[n:]))
	if err == nil {
		err = r.AppendRange(right, nil)
	}
	if err != nil {
		return eventstore.Hash{}, fmt.Errorf("%w: %w", ErrProof, err)
	}
	return rootOf(r)
}

func slices32(in []eventstore.Hash) [][]byte {
	out := make([][]byte, len(in))
	for i := range in {
		out[i] = in[i][:]
	}
	return out
}

func fromSlices(in [][]byte) []eventstore.Hash {
	out := make([]eventstore.Hash, len(in))
	for i, h := range in {
		out[i] = eventstore.Hash(h)
	}
	return out
}
