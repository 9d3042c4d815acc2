package bundle

import (
	"archive/zip"
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"

	"github.com/authledger/authledger/eventstore"
)

var (
	fixedNames   = []string{fileReadme, fileManifest, fileNote, fileEvents, fileTable, fileRange, fileRangeProof, fileCheckpoint, fileKeys, filePolicy, fileHTML, filePython}
	variableName = regexp.MustCompile(`^(proofs/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\.tlog-proof|timestamps/[1-9][0-9]?\.tsr)$`)
)

// maxSmall limits each file that is read whole, and maxLine a line of those
// that are not: an event has at most eventstore.MaxAppendBytes, three times.
const (
	maxSmall = 64 << 20
	maxLine  = 4*eventstore.MaxAppendBytes + 4096
)

// archive is a zip whose names and sizes are those of a bundle. Nothing is ever
// unpacked to a disk, so a name is only a name.
type archive map[string]*zip.File

// openArchive refuses what no exporter writes: names outside the format, twice
// the same name, and more than a bundle may hold.
func openArchive(r io.ReaderAt, size int64) (archive, error) {
	if size > MaxBytes {
		return nil, fmt.Errorf("%w: the file has %d bytes, at most %d", ErrEvidence, size, MaxBytes)
	}
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, fmt.Errorf("%w: it is no zip: %w", ErrEvidence, err)
	}
	a, total := archive{}, uint64(0)
	for _, f := range z.File {
		switch total += f.UncompressedSize64; {
		case !slices.Contains(fixedNames, f.Name) && !variableName.MatchString(f.Name):
			return nil, fmt.Errorf("%w: file %q does not belong into a bundle", ErrEvidence, f.Name)
		case a[f.Name] != nil:
			return nil, fmt.Errorf("%w: file %q is there twice", ErrEvidence, f.Name)
		case f.UncompressedSize64 > MaxBytes || total > MaxBytes:
			return nil, fmt.Errorf("%w: with file %q there are more than %d bytes", ErrEvidence, f.Name, MaxBytes)
		case f.Method != zip.Deflate && f.Method != zip.Store:
			return nil, fmt.Errorf("%w: file %q is packed by method %d", ErrEvidence, f.Name, f.Method)
		}
		a[f.Name] = f
	}
	return a, nil
}

// read returns a small file whole.
func (a archive) read(name string) (_ []byte, err error) {
	f := a[name]
	if f == nil {
		return nil, fmt.Errorf("%s is missing", name)
	}
	if f.UncompressedSize64 > maxSmall {
		return nil, fmt.Errorf("%s has %d bytes, at most %d", name, f.UncompressedSize64, maxSmall)
	}
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	var b bytes.Buffer
	if _, err := io.Copy(&b, io.LimitReader(r, maxSmall+1)); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return b.Bytes(), nil
}

// sum is the SHA-256 of a file in hexadecimal.
func (a archive) sum(name string) (_ string, err error) {
	r, err := a[name].Open()
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	h := sha256.New()
	if _, err := io.Copy(h, io.LimitReader(r, MaxBytes)); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// lines reads a file line by line.
type lines struct {
	name  string
	from  io.ReadCloser
	in    *bufio.Reader
	count uint64 // lines read
}

func (a archive) lines(name string) (*lines, error) {
	f := a[name]
	if f == nil {
		return nil, fmt.Errorf("%s is missing", name)
	}
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	return &lines{name: name, from: r, in: bufio.NewReaderSize(r, 64<<10)}, nil
}

func (l *lines) close() error { return l.from.Close() }

// next returns a line without its line break, or io.EOF after the last. Bytes
// after the last line break are an error.
func (l *lines) next() ([]byte, error) {
	var line []byte
	for {
		part, err := l.in.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case errors.Is(err, io.EOF) && len(line) == 0:
			return nil, io.EOF
		case len(line) > maxLine:
			return nil, fmt.Errorf("%s: line %d has more than %d bytes", l.name, l.count+1, maxLine)
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil:
			return nil, fmt.Errorf("%s: line %d does not end: %w", l.name, l.count+1, err)
		}
		l.count++
		return line[:len(line)-1], nil
	}
}
