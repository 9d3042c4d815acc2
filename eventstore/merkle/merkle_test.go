package merkle_test

import (
	"crypto/ed25519"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/merkle"
)

// kept is a tree in memory, grown in batches.
type kept struct {
	tiles  map[string][]byte
	size   uint64
	roots  map[uint64]eventstore.Hash
	leaves []eventstore.Hash
}

func (k *kept) read(level int, n int64) ([]byte, error) {
	data, ok := k.tiles[fmt.Sprint(level, "/", n)]
	if !ok {
		return nil, errors.New("no such tile")
	}
	return data, nil
}

func leafOf(n int) eventstore.Hash {
	return eventstore.Hash(rfc6962.DefaultHasher.HashLeaf(binary.BigEndian.AppendUint64(nil, uint64(n))))
}

func (k *kept) grow(t *testing.T, n int) {
	t.Helper()
	var leaves []eventstore.Hash
	for i := range n {
		leaves = append(leaves, leafOf(len(k.leaves)+i))
	}
	grown, err := merkle.Tiles(k.read).Extend(k.size, leaves)
	if err != nil {
		t.Fatal(err)
	}
	for _, tile := range grown.Tiles {
		k.tiles[fmt.Sprint(tile.Level, "/", tile.N)] = tile.Data
	}
	k.size, k.leaves = grown.Size, append(k.leaves, leaves...)
	k.roots[k.size] = grown.Root
}

func grown(t *testing.T, batches ...int) *kept {
	t.Helper()
	k := &kept{tiles: map[string][]byte{}, roots: map[uint64]eventstore.Hash{}}
	for _, n := range batches {
		k.grow(t, n)
	}
	return k
}

// mth is RFC 6962 §2.1 as it is written there.
func mth(leaves []eventstore.Hash) eventstore.Hash {
	switch n := len(leaves); {
	case n == 0:
		return merkle.EmptyRoot()
	case n == 1:
		return leaves[0]
	default:
		k := 1
		for k*2 < n {
			k *= 2
		}
		l, r := mth(leaves[:k]), mth(leaves[k:])
		return eventstore.Hash(rfc6962.DefaultHasher.HashChildren(l[:], r[:]))
	}
}

// TestRoots compares the tiles, the growing root and the RFC's recursion, over
// borders of tiles.
func TestRoots(t *testing.T) {
	t.Parallel()
	k := grown(t, 0, 1, 1, 3, 250, 1, 1, 300, 7, 65000, 600)
	g := merkle.NewGrowing()
	for n := uint64(0); ; n++ {
		if root, ok := k.roots[n]; ok {
			got, err := g.Root()
			if err != nil || got != root || root != mth(k.leaves[:n]) {
				t.Errorf("size %d: growing %s (%v), tiles %s, RFC %s", n, got, err, root, mth(k.leaves[:n]))
			}
			if g, err = merkle.ResumeGrowing(n, g.State()); err != nil || g.Size() != n {
				t.Fatalf("resume at %d: %v", n, err)
			}
		}
		if n == k.size {
			return
		}
		if err := g.Append(k.leaves[n]); err != nil {
			t.Fatal(err)
		}
	}
}

// TestProofs are made by one library and checked by ours and by another.
func TestProofs(t *testing.T) {
	t.Parallel()
	k := grown(t, 100, 157, 1, 300, 42)
	r := merkle.Tiles(k.read).Reader()
	for size := range k.roots {
		c := merkle.Checkpoint{Origin: "o", Size: size, Root: k.roots[size]}
		for index := uint64(0); index < size; index += 1 + index%7 {
			path, err := merkle.ProveInclusion(r, index, size)
			if err != nil {
				t.Fatal(err)
			}
			leaf := k.leaves[index]
			if err := merkle.CheckInclusion(c, index, leaf, path); err != nil {
				t.Error(err)
			}
			if err := proof.VerifyInclusion(rfc6962.DefaultHasher, index, size, leaf[:], bytesOf(path), c.Root[:]); err != nil {
				t.Errorf("transparency-dev/merkle: leaf %d of %d: %v", index, size, err)
			}
			leaf[3] ^= 1
			if err := merkle.CheckInclusion(c, index, leaf, path); !errors.Is(err, merkle.ErrProof) {
				t.Errorf("changed leaf %d of %d: got %v", index, size, err)
			}
		}
		for to := range k.roots {
			later := merkle.Checkpoint{Origin: "o", Size: to, Root: k.roots[to]}
			path, err := merkle.ProveConsistency(r, size, to)
			if (err != nil) != (size > to) {
				t.Fatalf("%d to %d: %v", size, to, err)
			}
			if size > to {
				continue
			}
			if err := merkle.CheckConsistency(c, later, path); err != nil {
				t.Error(err)
			}
			if err := proof.VerifyConsistency(rfc6962.DefaultHasher, size, to, bytesOf(path), c.Root[:], later.Root[:]); err != nil {
				t.Errorf("transparency-dev/merkle: %d to %d: %v", size, to, err)
			}
			c.Root[0] ^= 1
			if err := merkle.CheckConsistency(c, later, path); !errors.Is(err, merkle.ErrProof) {
				t.Errorf("%d to %d with another root: got %v", size, to, err)
			}
			c.Root[0] ^= 1
		}
	}
}

func bytesOf(path []eventstore.Hash) [][]byte {
	var out [][]byte
	for _, h := range path {
		out = append(out, slices.Clone(h[:]))
	}
	return out
}

func each(leaves []eventstore.Hash) iter.Seq2[eventstore.Hash, error] {
	return func(yield func(eventstore.Hash, error) bool) {
		for _, l := range leaves {
			if !yield(l, nil) {
				return
			}
		}
	}
}

// TestRange computes the root from any part of the leaves and what stands for
// the rest.
func TestRange(t *testing.T) {
	t.Parallel()
	k := grown(t, 261, 40)
	r := merkle.Tiles(k.read).Reader()
	for from := uint64(0); from <= k.size; from += 1 + from%5 {
		for to := from; to <= k.size; to += 1 + to%11 {
			outside, err := merkle.ProveRange(r, from, to, k.size)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := merkle.RangeRoot(from, each(k.leaves[from:to]), k.size, outside); err != nil || got != k.roots[k.size] {
				t.Errorf("%d to %d: got %s, %v", from, to, got, err)
			}
			if to == from {
				continue
			}
			if got, err := merkle.RangeRoot(from, each(k.leaves[from:to-1]), k.size, outside); err == nil && got == k.roots[k.size] {
				t.Errorf("%d to %d with a leaf left out has the right root", from, to)
			}
		}
	}
}

func key(n byte) merkle.Signer {
	private := ed25519.NewKeyFromSeed(slices.Repeat([]byte{n}, ed25519.SeedSize))
	return merkle.Signer{Public: private.Public().(ed25519.PublicKey), Sign: func(m []byte) ([]byte, error) { return ed25519.Sign(private, m), nil }}
}

const origin = "ledger.example/test"

// TestCheckpoint signs, opens with x/mod's note used directly, and hands over
// from one key to the next.
func TestCheckpoint(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	keys := merkle.Keys{Origin: origin, Epochs: []merkle.Epoch{{Number: 1, Public: key(1).Public}, {Number: 2, Public: key(2).Public, FromSize: 40}}}
	c := merkle.Checkpoint{Origin: origin, Size: 39, Root: leafOf(1)}
	signed, err := c.Sign(at, key(1))
	if err != nil {
		t.Fatal(err)
	}
	vkey, err := merkle.VerifierKey(origin, key(1).Public)
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := note.Open(signed, note.VerifierList(v)); err != nil || n.Text != c.Text() || len(n.Sigs) != 1 || len(n.UnverifiedSigs) != 1 {
		t.Errorf("x/mod/sumdb/note: %+v, %v", n, err)
	}
	if got, err := keys.Open(signed); err != nil || got != c {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := keys.SignedAt(signed); err != nil || got != at {
		t.Errorf("got %v, %v, want %v", got, err, at)
	}
	c.Size = 40
	for _, by := range []struct {
		signers []merkle.Signer
		want    error
	}{{[]merkle.Signer{key(1)}, merkle.ErrSignature}, {[]merkle.Signer{key(2)}, nil}, {[]merkle.Signer{key(1), key(2)}, nil}} {
		signed, err := c.Sign(at, by.signers...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := keys.Open(signed); !errors.Is(err, by.want) {
			t.Errorf("size 40 by %d signers: got %v, want %v", len(by.signers), err, by.want)
		}
		if handover := len(by.signers) == 2; handover && (!keys.SignedBy(signed, keys.Epochs[0]) || !keys.SignedBy(signed, keys.Epochs[1])) {
			t.Error("the handover is not signed by both")
		}
	}
	b, err := json.Marshal(keys)
	if err != nil {
		t.Fatal(err)
	}
	var read merkle.Keys
	if err := json.Unmarshal(b, &read); err != nil || fmt.Sprint(read) != fmt.Sprint(keys) {
		t.Errorf("keys read back: %+v, %v", read, err)
	}
	other := strings.Replace(string(b), vkey, strings.Replace(vkey, "test+", "best+", 1), 1)
	if err := json.Unmarshal([]byte(other), &read); other == string(b) || err == nil {
		t.Errorf("a verifier key of another name was accepted: %s", other)
	}
}

// TestCheckpointFlips changes every bit of a signed checkpoint: only the time
// line may go unnoticed by Open, and SignedAt notices that.
func TestCheckpointFlips(t *testing.T) {
	t.Parallel()
	keys := merkle.Keys{Origin: origin, Epochs: []merkle.Epoch{{Number: 1, Public: key(1).Public}}}
	want := merkle.Checkpoint{Origin: origin, Size: 12345, Root: leafOf(1)}
	signed, err := want.Sign(time.Unix(1772600767, 0), key(1))
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(signed) * 8 {
		flipped := slices.Clone(signed)
		flipped[i/8] ^= 1 << (i % 8)
		if at, err := keys.SignedAt(flipped); err == nil {
			t.Errorf("bit %d of %q: read as of %v", i, flipped, at)
		}
		if c, err := keys.Open(flipped); err == nil && c != want {
			t.Errorf("bit %d: read as %+v", i, c)
		}
	}
}

func TestAsLogSignedLeavesOutTheLinesOfOthers(t *testing.T) {
	t.Parallel()
	at := time.Unix(1772600767, 0)
	c := merkle.Checkpoint{Origin: origin, Size: 3, Root: leafOf(9)}
	for name, keys := range map[string][]merkle.Signer{"one key": {key(1)}, "a rotation": {key(1), key(2)}} {
		signed, err := c.Sign(at, keys...)
		if err != nil {
			t.Fatal(err)
		}
		seen := signed
		for _, witness := range []string{"witness.example", origin + ".witness.example"} {
			line, err := merkle.Cosign(signed, witness, key(3), at)
			if err != nil {
				t.Fatal(err)
			}
			seen = merkle.AddLines(seen, line)
		}
		if got := merkle.AsLogSigned(seen, origin); len(seen) <= len(signed) || string(got) != string(signed) {
			t.Errorf("%s: got\n%swant\n%s", name, got, signed)
		}
	}
}

// TestPolicy asks for two of three.
func TestPolicy(t *testing.T) {
	t.Parallel()
	at := time.Unix(1772600767, 0)
	c := merkle.Checkpoint{Origin: origin, Size: 3, Root: leafOf(9)}
	signed, err := c.Sign(at, key(1))
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for i := range byte(3) {
		k, err := merkle.CosignerKey(fmt.Sprintf("witness-%d.example", i), key(10+i).Public)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&text, "witness w%d %s https://w%d.example/\n", i, k, i)
	}
	p, err := merkle.ParsePolicy(text.String() + "group g 2 w0 w1 w2\nquorum g\n")
	if err != nil {
		t.Fatal(err)
	}
	if w := p.Witnesses(); len(w) != 3 || w[1].URL != "https://w1.example/add-checkpoint" {
		t.Errorf("witnesses %+v", w)
	}
	for i := range byte(3) {
		if got := p.Satisfied(signed); got != (i == 2) {
			t.Errorf("with %d cosignatures: satisfied %v", i, got)
		}
		line, err := merkle.Cosign(signed, fmt.Sprintf("witness-%d.example", i), key(10+i), at.Add(time.Duration(i)*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		signed = merkle.AddLines(signed, line, line)
	}
	times, err := p.Cosigned(signed)
	if err != nil || len(times) != 3 || times["witness-2.example"].Unix() != at.Unix()+2 {
		t.Errorf("cosigned at %v, %v", times, err)
	}
	if (merkle.Policy{}).Satisfied(signed) != true || !(merkle.Policy{}).Empty() {
		t.Error("the empty policy asks for somebody")
	}
}

// TestEventProof is C2SP's text, read back in one spelling only.
func TestEventProof(t *testing.T) {
	t.Parallel()
	k := grown(t, 77)
	keys := merkle.Keys{Origin: origin, Epochs: []merkle.Epoch{{Number: 1, Public: key(1).Public}}}
	signed, err := merkle.Checkpoint{Origin: origin, Size: 77, Root: k.roots[77]}.Sign(time.Unix(5, 0), key(1))
	if err != nil {
		t.Fatal(err)
	}
	path, err := merkle.ProveInclusion(merkle.Tiles(k.read).Reader(), 33, 77)
	if err != nil {
		t.Fatal(err)
	}
	text := merkle.EventProof{Index: 33, Path: path, Checkpoint: signed}.Marshal()
	p, err := merkle.ParseEventProof(text)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := p.Check(keys, k.leaves[33]); err != nil || c.Size != 77 {
		t.Errorf("got %+v, %v", c, err)
	}
	if _, err := p.Check(keys, k.leaves[34]); !errors.Is(err, merkle.ErrProof) {
		t.Errorf("another leaf: got %v", err)
	}
	for _, bad := range []string{"", string(text[1:]), strings.Replace(string(text), "index 33", "index 033", 1), strings.Replace(string(text), "\n\n", "\nAA==\n\n", 1), string(text) + "x\n"} {
		p, err := merkle.ParseEventProof([]byte(bad))
		if err == nil {
			_, err = p.Check(keys, k.leaves[33])
		}
		if err == nil {
			t.Errorf("accepted:\n%s", bad)
		}
	}
}

func TestTilePaths(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		path  string
		level int
		n     int64
		width int
	}{{"tile/0/000", 0, 0, 256}, {"tile/1/x001/067", 1, 1067, 256}, {"tile/0/x001/x234/067.p/5", 0, 1234067, 5}} {
		if got := merkle.TilePath(c.level, c.n, c.width); got != c.path {
			t.Errorf("got %q, want %q", got, c.path)
		}
		level, n, width, err := merkle.ParseTilePath(c.path)
		if err != nil || level != c.level || n != c.n || width != c.width {
			t.Errorf("%s: got %d, %d, %d, %v", c.path, level, n, width, err)
		}
	}
	for _, bad := range []string{"", "tile/", "tile/0/0", "tile/0/000.p/0", "tile/0/000.p/256", "tile/00/000", "tile/0/x001", "tile/data/000", "tile/-1/000", "other/0/000"} {
		if _, _, _, err := merkle.ParseTilePath(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}
