package keyring_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/authledger/authledger/eventstore/keyring"
)

func pattern(t *testing.T, kind, text string) keyring.Patterns {
	t.Helper()
	var p keyring.Patterns
	do(t, p.Add(kind, []byte(text)))
	return p
}

func scanDir(t *testing.T, dir string, p keyring.Patterns) keyring.ScanReport {
	t.Helper()
	report, err := keyring.Scan(ctx, dir, p, nil)
	do(t, err)
	return report
}

// Every place around the border of two chunks, the first and the last bytes of
// the file included: found once, at its place.
func TestScanFindsAcrossChunkBorders(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := pattern(t, "long", "the-long-needle-in-the-stack")
	do(t, p.Add("short", []byte("needle")))
	const size = 2*keyring.ScanChunk + 100
	for _, at := range []int{
		0, 1, keyring.ScanChunk - 28, keyring.ScanChunk - 27, keyring.ScanChunk - 14, keyring.ScanChunk - 1, keyring.ScanChunk,
		keyring.ScanChunk + 1, 2*keyring.ScanChunk - 14, size - 28,
	} {
		content := bytes.Repeat([]byte{'.'}, size)
		copy(content[at:], "the-long-needle-in-the-stack")
		replace(t, filepath.Join(dir, "stack"), content)
		report := scanDir(t, dir, p)
		want := []keyring.Finding{{File: "stack", Offset: int64(at), Kind: "long"}, {File: "stack", Offset: int64(at + 9), Kind: "short"}}
		if len(report.Findings) != 2 || !sameFindings(report.Findings, want) || report.Files != 1 || report.Bytes != size {
			t.Errorf("at %d: %+v", at, report)
		}
	}
}

func sameFindings(got, want []keyring.Finding) bool {
	left := map[keyring.Finding]int{}
	for _, f := range got {
		left[f]++
	}
	for _, f := range want {
		left[f]--
	}
	for _, n := range left {
		if n != 0 {
			return false
		}
	}
	return true
}

// Whatever lies where in whatever sizes of files, a scan finds what a search of
// the whole content finds.
func FuzzScan(f *testing.F) {
	f.Add([]byte("abcabcabcabc"), []byte("abcabc"), 1)
	f.Add([]byte("aaaaaaaaaaaaaaaaaaaa"), []byte("aaaaaaa"), keyring.ScanChunk-5)
	f.Fuzz(func(t *testing.T, content, needle []byte, padding int) {
		var p keyring.Patterns
		if p.Add("needle", needle) != nil || padding < 0 || padding > 2*keyring.ScanChunk {
			t.Skip()
		}
		dir := t.TempDir()
		content = append(bytes.Repeat([]byte{0x55}, padding), content...)
		replace(t, filepath.Join(dir, "f"), content)
		report := scanDir(t, dir, p)
		n := 0
		for i := range content {
			if bytes.HasPrefix(content[i:], needle) {
				n++
			}
		}
		if got := len(report.Findings); got != min(n, 1000) {
			t.Errorf("%d findings, want %d", got, n)
		}
	})
}

func TestScanPassesOver(t *testing.T) {
	t.Parallel()
	dir, outside := t.TempDir(), t.TempDir()
	replace(t, filepath.Join(outside, "f"), []byte("needle"))
	do(t, os.Symlink(filepath.Join(outside, "f"), filepath.Join(dir, "link")))
	do(t, os.Symlink(outside, filepath.Join(dir, "links")))
	do(t, os.MkdirAll(filepath.Join(dir, "a", "b"), 0o700))
	replace(t, filepath.Join(dir, "a", "b", "f"), []byte("a needle"))
	replace(t, filepath.Join(dir, "empty"), nil)
	socket, err := net.Listen("unix", filepath.Join(dir, "s"))
	do(t, err)
	defer socket.Close()
	report := scanDir(t, dir, pattern(t, "n", "needle"))
	want := keyring.Finding{File: filepath.Join("a", "b", "f"), Offset: 2, Kind: "n"}
	if report.Files != 2 || report.Bytes != 8 || len(report.Findings) != 1 || report.Findings[0] != want {
		t.Errorf("got %+v", report)
	}
	if _, err := keyring.Scan(ctx, filepath.Join(dir, "absent"), pattern(t, "n", "needle"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent directory: %v", err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err = keyring.Scan(ended, dir, pattern(t, "n", "needle"), nil)
	wantErr(t, err, context.Canceled)
}

func TestScanReportsProgress(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	replace(t, filepath.Join(dir, "f"), make([]byte, 3*keyring.ScanChunk+1))
	var seen []int64
	report, err := keyring.Scan(ctx, dir, pattern(t, "n", "needle"), func(r keyring.ScanReport) { seen = append(seen, r.Bytes) })
	do(t, err)
	if len(seen) < 4 || seen[0] != keyring.ScanChunk || seen[len(seen)-1] != report.Bytes {
		t.Errorf("progress %v of %d bytes", seen, report.Bytes)
	}
}

// The whole of an erasure: before it, the files hold the person's keys, in the
// database and in its log; after it, no file holds any of them.
func TestErasureLeavesNoPatternInAnyFile(t *testing.T) {
	onEach(t, func(t *testing.T, b backend) {
		dir := t.TempDir()
		k := b.keyring(t, dir)
		defer k.Close()
		held := fill(t, k, 300)
		subjects := []string{"user-0000", "user-0100", "user-0299"}
		do(t, k.PutSecret(ctx, "user-0100", "ocra", []byte("a-secret-of-32-bytes-or-some-more")))
		p, err := k.ErasurePatterns(ctx, append(subjects, "never-seen")...)
		do(t, err)
		if p.Len() != 2*3+1+2 { // key clear and wrapped of each; a short secret sealed; a long one both ways
			t.Errorf("%d patterns", p.Len())
		}
		before, err := k.Scan(ctx, dir, p, nil)
		do(t, err)
		inLog := false
		for _, f := range before.Findings {
			if strings.HasSuffix(f.Kind, "in clear") {
				t.Errorf("%s stands in %s", f.Kind, f.File)
			}
			inLog = inLog || f.File == "keys.db-wal"
		}
		if len(before.Findings) < 5 || !inLog {
			t.Fatalf("before the erasure found %+v, so the scan proves nothing", before.Findings)
		}
		do(t, k.Destroy(ctx, subjects...))
		after, err := k.Scan(ctx, dir, p, nil)
		do(t, err)
		if len(after.Findings) != 0 || after.Files < 2 {
			t.Errorf("after the erasure: %+v", after)
		}
		for _, s := range subjects {
			if gone, err := k.Destroyed(ctx, s); err != nil || !gone {
				t.Errorf("%s destroyed: %t, %v", s, gone, err)
			}
			delete(held.sealed, s)
		}
		for _, s := range []string{"user-0001", "never-seen"} {
			if gone, err := k.Destroyed(ctx, s); err != nil || gone {
				t.Errorf("%s destroyed: %t, %v", s, gone, err)
			}
		}
		for name, sealed := range held.sealed {
			wantOpen(t, k, name, event1, "phone", sealed, name)
		}
		if p, err := k.ErasurePatterns(ctx, subjects...); err != nil || p.Len() != 0 {
			t.Errorf("patterns after the erasure: %d, %v", p.Len(), err)
		}
		if n := k.Holds(); n == 0 || n > 6 {
			t.Errorf("scans keep %d files open", n)
		}
		p.Wipe()
	})
}

// A copy that somebody made of the key in clear is found wherever it lies.
func TestErasurePatternsHoldTheDataKey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	k := openDir(t, dir, &clock{t: morning})
	seal(t, k, "user-1", event1, "phone", "x")
	p, err := k.ErasurePatterns(ctx, "user-1")
	do(t, err)
	kind, key := p.Pattern(0)
	if kind != "data key in clear" || len(key) != 32 {
		t.Fatalf("%s of %d bytes", kind, len(key))
	}
	replace(t, filepath.Join(dir, "core"), append([]byte("dump"), key...))
	report, err := k.Scan(ctx, dir, p, nil)
	do(t, err)
	if !sameFindings(report.Findings[:1], []keyring.Finding{{File: "core", Offset: 4, Kind: kind}}) {
		t.Errorf("found %+v", report.Findings)
	}
	// It is the key that opens: rotation does not change it.
	_, err = k.RotateKEK(ctx)
	do(t, err)
	again, err := k.ErasurePatterns(ctx, "user-1")
	do(t, err)
	if _, same := again.Pattern(0); !bytes.Equal(same, key) {
		t.Error("the data key changed")
	}
	p.Wipe()
	if p.Len() != 0 || !bytes.Equal(key, make([]byte, 32)) {
		t.Error("the patterns were not wiped")
	}
}

// An old keys.db brings nobody back once the erasure is repeated over it.
func TestRestoredKeysForgetAgain(t *testing.T) {
	t.Parallel()
	dir, restored := t.TempDir(), t.TempDir()
	k := openDir(t, dir, &clock{t: morning})
	sealed := seal(t, k, "user-1", event1, "phone", "x")
	p, err := k.ErasurePatterns(ctx, "user-1")
	do(t, err)
	for _, name := range []string{"kek.json", "keys.db", "keys.db-wal"} {
		copyFile(t, filepath.Join(dir, name), filepath.Join(restored, name))
	}
	do(t, k.Destroy(ctx, "user-1"))
	old := openDir(t, restored, &clock{t: morning})
	wantOpen(t, old, "user-1", event1, "phone", sealed, "x")
	do(t, old.Destroy(ctx, "user-1", "user-2"))
	_, err = old.Open(ctx, "user-1", event1, "phone", sealed)
	wantErr(t, err, keyring.ErrKeyDestroyed)
	report, err := old.Scan(ctx, restored, p, nil)
	if err != nil || len(report.Findings) != 0 {
		t.Errorf("%+v, %v", report, err)
	}
}

func TestPatternsDoNotPrint(t *testing.T) {
	t.Parallel()
	p := pattern(t, "n", "ABCDEFGHIJ")
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+verb, p, &p)
	}
	asJSON, err := json.Marshal(p)
	do(t, err)
	out.Write(asJSON)
	slog.New(slog.NewTextHandler(&out, nil)).Info("m", "p", p)
	for _, leak := range []string{"ABCD", "65 66", "41424344"} {
		if strings.Contains(out.String(), leak) {
			t.Errorf("printed %s", out.String())
		}
	}
	wantErr(t, p.Add("short", []byte("12345")), keyring.ErrInvalid)
}
