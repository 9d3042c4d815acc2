// Package merkletest signs logs in memory: the history of checkpoints that
// tests of verification compare a log with, honest or forged. It must not be
// used outside tests: its keys are made of a number.
package merkletest

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/merkle"
)

// Notary is a merkle.History under construction. It belongs to one goroutine
// until it is read.
type Notary struct {
	t         testing.TB
	keys      merkle.Keys
	size      uint64
	root      eventstore.Hash
	tiles     map[[2]int64][]byte
	published []merkle.Published
	dual      bool // the next checkpoint is signed by the epoch before too
}

var _ merkle.History = (*Notary)(nil)

// New returns an empty history whose first key is made of a seed: equal seeds
// mean the same key.
func New(t testing.TB, origin string, seed uint32) *Notary {
	return &Notary{
		t: t, tiles: map[[2]int64][]byte{}, root: merkle.EmptyRoot(),
		keys: merkle.Keys{Origin: origin, Epochs: []merkle.Epoch{{Number: 1, Public: Signer(seed).Public}}},
	}
}

// Signer is the key pair made of a seed.
func Signer(seed uint32) merkle.Signer {
	secret := sha256.Sum256(fmt.Appendf(nil, "test key %d", seed))
	private := ed25519.NewKeyFromSeed(secret[:])
	return merkle.Signer{
		Public: private.Public().(ed25519.PublicKey),
		Sign:   func(message []byte) ([]byte, error) { return ed25519.Sign(private, message), nil },
	}
}

// Public is the key made of a seed.
func Public(seed uint32) ed25519.PublicKey { return Signer(seed).Public }

// mostSeeds bounds the seeds that are tried to find a private key.
const mostSeeds = 100

func signerOf(public ed25519.PublicKey) merkle.Signer {
	for seed := range uint32(mostSeeds) {
		if s := Signer(seed); s.Public.Equal(public) {
			return s
		}
	}
	panic("a key that no seed below 100 makes")
}

// Grow appends leaves to the tree.
func (n *Notary) Grow(leaves ...eventstore.Hash) {
	n.t.Helper()
	grown, err := merkle.Tiles(n.tile).Extend(n.size, leaves)
	if err != nil {
		n.t.Fatal(err)
	}
	for _, tile := range grown.Tiles {
		n.tiles[[2]int64{int64(tile.Level), tile.N}] = tile.Data
	}
	n.size, n.root = grown.Size, grown.Root
}

// Rotate lets the key made of a seed sign from a size on.
func (n *Notary) Rotate(seed uint32, from uint64) {
	last := n.keys.Epochs[len(n.keys.Epochs)-1]
	n.keys.Epochs = append(n.keys.Epochs, merkle.Epoch{Number: last.Number + 1, Public: Public(seed), FromSize: from})
	n.dual = true
}

// Publish signs the tree as it is and returns the checkpoint.
func (n *Notary) Publish(at time.Time) []byte {
	n.t.Helper()
	c := merkle.Checkpoint{Origin: n.keys.Origin, Size: n.size, Root: n.root}
	in := n.keys.InForce(n.size)
	signers := []merkle.Signer{signerOf(in.Public)}
	if n.dual && in.Number > 1 {
		signers = append(signers, signerOf(n.keys.Epochs[in.Number-2].Public))
		n.dual = false
	}
	signed, err := c.Sign(at, signers...)
	if err != nil {
		n.t.Fatal(err)
	}
	n.Append(signed)
	return signed
}

// Append publishes what somebody signed, whatever it says.
func (n *Notary) Append(signed []byte) {
	n.published = append(n.published, merkle.Published{Revision: uint64(len(n.published)) + 1, Signed: signed})
}

// Cosign lets a witness, whose key is made of a seed, cosign the newest
// checkpoint.
func (n *Notary) Cosign(name string, seed uint32, at time.Time) {
	n.t.Helper()
	p := &n.published[len(n.published)-1]
	line, err := merkle.Cosign(p.Signed, name, Signer(seed), at)
	if err != nil {
		n.t.Fatal(err)
	}
	p.Signed = merkle.AddLines(p.Signed, line)
}

// Policy asks for the cosignature of one witness, whose key is made of a seed.
func Policy(t testing.TB, name string, seed uint32) merkle.Policy {
	t.Helper()
	key, err := merkle.CosignerKey(name, Public(seed))
	if err != nil {
		t.Fatal(err)
	}
	p, err := merkle.ParsePolicy(fmt.Sprintf("witness w %s https://witness.example/\nquorum w\n", key))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Drop forgets the checkpoints after a revision, as a copy of an earlier day
// would.
func (n *Notary) Drop(after uint64) { n.published = n.published[:after] }

// Remove forgets one checkpoint.
func (n *Notary) Remove(revision uint64) {
	n.published = slices.Delete(n.published, int(revision)-1, int(revision))
}

// Revision counts the checkpoints.
func (n *Notary) Revision() uint64 { return uint64(len(n.published)) }

// Size counts the leaves.
func (n *Notary) Size() uint64 { return n.size }

// Clone returns a copy that grows on its own.
func (n *Notary) Clone() *Notary {
	c := *n
	c.keys.Epochs = slices.Clone(n.keys.Epochs)
	c.published = slices.Clone(n.published)
	c.tiles = map[[2]int64][]byte{}
	for at, data := range n.tiles {
		c.tiles[at] = data
	}
	return &c
}

func (n *Notary) tile(level int, at int64) ([]byte, error) {
	return n.Tile(context.Background(), level, at)
}

// Latest implements merkle.History.
func (n *Notary) Latest(context.Context) (merkle.Published, error) {
	if len(n.published) == 0 {
		return merkle.Published{}, eventstore.ErrNotFound
	}
	return n.published[len(n.published)-1], nil
}

// From implements merkle.History.
func (n *Notary) From(_ context.Context, revision uint64) iter.Seq2[merkle.Published, error] {
	return func(yield func(merkle.Published, error) bool) {
		for _, p := range n.published {
			if p.Revision >= revision && !yield(p, nil) {
				return
			}
		}
	}
}

// Covering implements merkle.History.
func (n *Notary) Covering(_ context.Context, size uint64) (merkle.Published, error) {
	for _, p := range n.published {
		if c, err := merkle.Unverified(p.Signed); err == nil && c.Size >= size {
			return p, nil
		}
	}
	return merkle.Published{}, eventstore.ErrNotFound
}

// Tile implements merkle.History.
func (n *Notary) Tile(_ context.Context, level int, at int64) ([]byte, error) {
	data, ok := n.tiles[[2]int64{int64(level), at}]
	if !ok {
		return nil, eventstore.ErrNotFound
	}
	return data, nil
}

// Keys implements merkle.History.
func (n *Notary) Keys(context.Context) (merkle.Keys, error) { return n.keys, nil }

// Root is the root of the leaves so far.
func (n *Notary) Root() eventstore.Hash { return n.root }

// Stamp adds a time stamp to the newest checkpoint.
func (n *Notary) Stamp(authority string, token []byte) {
	p := &n.published[len(n.published)-1]
	p.Stamps = append(p.Stamps, merkle.Stamp{Authority: authority, Token: token})
}
