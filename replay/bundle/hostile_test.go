package bundle_test

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/authledger/authledger/eventstore/merkle"
	"github.com/authledger/authledger/replay/bundle"
)

// equal reports whether two bundles hold the same files.
func equal(a, b files) bool {
	return maps.EqualFunc(a, b, func(x, y []byte) bool { return bytes.Equal(x, y) })
}

// contents is unpack for bytes that may be no zip.
func contents(packed []byte) (files, error) {
	z, err := zip.NewReader(bytes.NewReader(packed), int64(len(packed)))
	if err != nil {
		return nil, err
	}
	out := files{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			return nil, err
		}
		if out[f.Name], err = io.ReadAll(r); err != nil {
			return nil, err
		}
		if err := r.Close(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// TestFlippedBits: a bundle with any bit flipped is refused, or the bit was of
// the zip's own book-keeping and the files are what they were.
func TestFlippedBits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 23)
	packed := w.write(t, request(asked))
	whole := unpack(t, packed)
	random := rand.New(rand.NewPCG(1, 2)) // repeatable
	refused, idle := 0, 0
	for range 2000 {
		at, bit := random.IntN(len(packed)), random.IntN(8)
		b := bytes.Clone(packed)
		b[at] ^= 1 << bit
		if _, err := verify(b, bundle.Options{}); err != nil {
			refused++
			continue
		}
		idle++
		if f, err := contents(b); err != nil || !equal(f, whole) {
			t.Errorf("bit %d of byte %d changes the content and nothing notices: %v", bit, at, err)
		}
	}
	t.Logf("%d flips refused, %d in bytes without content", refused, idle)
	if refused < 1500 {
		t.Errorf("only %d of 2000 flips refused", refused)
	}
}

// TestFlippedBitsElsewhere samples the same for the two other verifiers.
func TestFlippedBitsElsewhere(t *testing.T) {
	t.Parallel()
	w, p := newWorld(t, 9), openPage(t)
	packed := w.write(t, request(asked))
	whole := unpack(t, packed)
	random := rand.New(rand.NewPCG(3, 4)) // repeatable
	for range 25 {
		at, bit := random.IntN(len(packed)), random.IntN(8)
		b := bytes.Clone(packed)
		b[at] ^= 1 << bit
		f, err := contents(b)
		if err == nil && equal(f, whole) {
			continue // of the zip's book-keeping, or its checksum would have told
		}
		got := verdicts(t, p, b, "")
		for _, who := range []string{"authledger", "python", "browser"} {
			if got[who] == "" {
				t.Errorf("%s accepts bit %d of byte %d", who, bit, at)
			}
		}
	}
}

// TestOtherLibrariesAgree: the checkpoint and the proofs of a bundle hold for
// the libraries that others use, called directly, and one changed byte does not.
func TestOtherLibrariesAgree(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 43)
	f := unpack(t, w.write(t, request(asked)))
	var keys struct {
		Epochs []struct{ VerifierKey string }
	}
	if err := json.Unmarshal(f["keys.json"], &keys); err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(keys.Epochs[0].VerifierKey)
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open(f["checkpoint.txt"], note.VerifierList(v))
	if err != nil {
		t.Fatal(err)
	}
	flip(t, f, "checkpoint.txt", len(origin)+8)
	if _, err := note.Open(f["checkpoint.txt"], note.VerifierList(v)); err == nil {
		t.Error("a changed checkpoint is accepted")
	}
	root, err := tlog.ParseHash(strings.Split(n.Text, "\n")[2])
	if err != nil {
		t.Fatal(err)
	}
	events := strings.SplitAfter(string(f["events.jsonl"]), "\n")
	for i, line := range events[:len(events)-1] {
		p, err := merkle.ParseEventProof(f[proofOf(t, f, i)])
		if err != nil {
			t.Fatal(err)
		}
		path := make([][]byte, len(p.Path))
		for k := range p.Path {
			path[k] = p.Path[k][:]
		}
		leaf := entryOf(t, line).Leaf()
		if err := proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(seqOf(t, line)-1), 43, leaf[:], path, root[:]); err != nil {
			t.Errorf("event %d: %v", i, err)
		}
		leaf[0] ^= 1
		if err := proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(seqOf(t, line)-1), 43, leaf[:], path, root[:]); err == nil {
			t.Errorf("event %d: another leaf is accepted", i)
		}
	}
}

// zipOf writes a zip with the headers as they are given.
func zipOf(t *testing.T, headers ...zip.FileHeader) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, h := range headers {
		if _, err := z.CreateRaw(&h); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestHostileArchives are refused by name before anything is unpacked.
func TestHostileArchives(t *testing.T) {
	t.Parallel()
	p := openPage(t)
	for name, c := range map[string]struct {
		packed []byte
		want   string
	}{
		"no zip":          {[]byte("not a zip at all"), ""},
		"empty":           {nil, ""},
		"an empty zip":    {zipOf(t), "manifest.json"},
		"a way out":       {zipOf(t, zip.FileHeader{Name: "../manifest.json"}), "../manifest.json"},
		"a folder":        {zipOf(t, zip.FileHeader{Name: "proofs/"}), "proofs/"},
		"a name twice":    {zipOf(t, zip.FileHeader{Name: "keys.json"}, zip.FileHeader{Name: "keys.json"}), "keys.json"},
		"an unknown file": {zipOf(t, zip.FileHeader{Name: "virus.exe"}), "virus.exe"},
		"a bomb":          {zipOf(t, zip.FileHeader{Name: "events.jsonl", Method: zip.Deflate, UncompressedSize64: 1<<30 + 1}), ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := verdicts(t, p, c.packed, "")
			for _, who := range []string{"authledger", "python", "browser"} {
				if got[who] == "" || !strings.Contains(got[who], c.want) {
					t.Errorf("%s: got %q", who, got[who])
				}
			}
		})
	}
}

// A file that unpacks to more than it says ends where it says.
func TestLyingSize(t *testing.T) {
	t.Parallel()
	f := unpack(t, newWorld(t, 9).write(t, request(asked)))
	f["README.txt"] = bytes.Repeat([]byte("0"), 1<<20)
	packed := f.pack(t)
	size := []byte{0, 0, 0x10, 0} // 1 MiB, little endian, in the directory
	at := bytes.LastIndex(packed, size)
	if at < 0 {
		t.Fatal("no size found")
	}
	packed[at+2] = 0
	if _, err := verify(packed, bundle.Options{}); !errors.Is(err, bundle.ErrEvidence) {
		t.Errorf("got %v", err)
	}
	if out, code := python(t, packed); code != 10 {
		t.Errorf("the Python verifier says %d: %s", code, out)
	}
}

func FuzzVerify(f *testing.F) {
	f.Add([]byte("PK"))
	f.Fuzz(func(t *testing.T, packed []byte) {
		if _, err := verify(packed, bundle.Options{}); err == nil {
			t.Error("accepted what no exporter wrote")
		}
	})
}
