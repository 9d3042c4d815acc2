package keyring

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// Patterns are the byte sequences that no file may contain once a subject is
// erased. They are key material: they print, log and marshal as "[redacted]"
// and belong to whoever asked for them, who must Wipe them.
type Patterns struct{ list []pattern }

type pattern struct {
	kind string
	text Secret
}

// minPattern is the shortest sequence to look for, in bytes: shorter ones turn
// up by chance.
const minPattern = 6

// Add takes a copy of one more sequence, such as a phone number in clear, under
// a kind that findings repeat. It returns ErrInvalid for fewer than 6 bytes,
// which would be found by chance.
func (p *Patterns) Add(kind string, text []byte) error {
	if len(text) < minPattern {
		return fmt.Errorf("look for %s: %w: %d bytes, at least %d", kind, ErrInvalid, len(text), minPattern)
	}
	p.list = append(p.list, pattern{kind: kind, text: bytes.Clone(text)})
	return nil
}

// Len counts the sequences.
func (p *Patterns) Len() int { return len(p.list) }

// Wipe zeroes the sequences and forgets them.
func (p *Patterns) Wipe() {
	for _, t := range p.list {
		clear(t.text)
	}
	p.list = nil
}

// Format writes a fixed text for every verb.
func (Patterns) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte(redacted)) }

// LogValue is a fixed text.
func (Patterns) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON writes a fixed text.
func (Patterns) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// longest is the length of the longest sequence in bytes.
func (p *Patterns) longest() int {
	n := 0
	for _, t := range p.list {
		n = max(n, len(t.text))
	}
	return n
}

// Finding is one place where a sequence stands. It names the kind, never the
// bytes.
type Finding struct {
	File   string // path below the scanned directory
	Offset int64  // of the first byte
	Kind   string
}

// ScanReport says what a scan read and what it found.
type ScanReport struct {
	Files    int
	Bytes    int64
	Findings []Finding // at most 1,000; an erasure has none
}

const (
	maxFindings = 1000
	scanChunk   = 1 << 20 // bytes
)

// Scan reads every regular file below a directory and reports where one of the
// sequences stands, also across the borders of what is read at once. Sockets,
// devices and symbolic links are passed over, and so is a file that goes away
// meanwhile. It calls progress, which may be nil, after each file and each MiB.
//
// A process that has databases of the directory open must use the method of
// the same name: see Scanner.
func Scan(ctx context.Context, dir string, p Patterns, progress func(ScanReport)) (ScanReport, error) {
	s := NewScanner()
	report, err := s.Scan(ctx, dir, p, progress)
	return report, errors.Join(err, s.Close())
}

// Scan is the scan for the process that has this keyring, and other databases
// of the directory, open. It reads local files only: the files of a store behind
// a Side are out of its reach.
func (k *Keyring) Scan(ctx context.Context, dir string, p Patterns, progress func(ScanReport)) (ScanReport, error) {
	leave, err := k.enter(ctx)
	if err != nil {
		return ScanReport{}, err
	}
	defer leave()
	return k.scanner.Scan(ctx, dir, p, progress)
}

// Scanner scans directories whose databases are in use by this very process.
// Closing any descriptor of a file drops all POSIX locks that the process has
// on it, SQLite's included (https://www.sqlite.org/howtocorrupt.html §2.2), so
// it keeps the files of databases open until Close. It is safe for concurrent
// use.
type Scanner struct {
	mu   sync.Mutex // held during a scan; guards all below
	held map[string]*os.File
	old  []*os.File // of files that have another name or none by now
}

// NewScanner returns a scanner that holds no file.
func NewScanner() *Scanner { return &Scanner{held: map[string]*os.File{}} }

// Close closes the files. The databases must be closed already, or at least in
// use by no other process.
func (s *Scanner) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, f := range s.held {
		errs = append(errs, f.Close())
	}
	for _, f := range s.old {
		errs = append(errs, f.Close())
	}
	clear(s.held)
	s.old = nil
	return errors.Join(errs...)
}

// Scan does what the function of that name says.
func (s *Scanner) Scan(ctx context.Context, dir string, p Patterns, progress func(ScanReport)) (ScanReport, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if progress == nil {
		progress = func(ScanReport) {}
	}
	run := scan{scanner: s, patterns: p, progress: progress, buffer: make([]byte, scanChunk+p.longest())}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist) && path != dir:
			return nil
		case err != nil:
			return err
		case !e.Type().IsRegular():
			return nil
		}
		return run.file(ctx, dir, path)
	})
	if err != nil {
		return run.report, fmt.Errorf("scan %s: %w", dir, err)
	}
	return run.report, nil
}

// scan is one run. The buffer holds what was carried over and one chunk.
type scan struct {
	scanner  *Scanner
	patterns Patterns
	progress func(ScanReport)
	buffer   []byte
	report   ScanReport
}

func (s *scan) file(ctx context.Context, dir, path string) error {
	f, done, err := s.scanner.open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	name, err := filepath.Rel(dir, path)
	if err == nil {
		err = s.stream(ctx, name, f)
	}
	if err := errors.Join(err, done()); err != nil {
		return err
	}
	s.report.Files++
	s.progress(s.report)
	return nil
}

// stream looks through one file. The end of what was read is carried over to
// the front of the next chunk; a sequence that lies wholly in it was reported
// before.
func (s *scan) stream(ctx context.Context, name string, f io.ReaderAt) error {
	carried := 0
	for offset := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := f.ReadAt(s.buffer[carried:carried+scanChunk], offset)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read %s: %w", name, err)
		}
		window := s.buffer[:carried+n]
		s.search(name, window, offset-int64(carried), carried)
		s.report.Bytes += int64(n)
		if err != nil {
			return nil
		}
		s.progress(s.report)
		offset += int64(n)
		carried = copy(s.buffer, window[len(window)-min(len(window), max(s.patterns.longest()-1, 0)):])
	}
}

// search reports the sequences in a window that begins at a place in the file,
// except those that end within its first seen bytes.
func (s *scan) search(name string, window []byte, begins int64, seen int) {
	for _, p := range s.patterns.list {
		for from := max(seen-len(p.text)+1, 0); ; {
			i := bytes.Index(window[from:], p.text)
			if i < 0 || len(s.report.Findings) == maxFindings {
				break
			}
			s.report.Findings = append(s.report.Findings, Finding{File: name, Offset: begins + int64(from+i), Kind: p.kind})
			from += i + 1
		}
	}
}

// open opens a file for reading. done ends its use: a database's file is kept.
func (s *Scanner) open(path string) (f *os.File, done func() error, err error) {
	kept := func() error { return nil }
	if held, ok := s.held[path]; ok {
		same, err := sameFile(held, path)
		if err != nil {
			return nil, nil, err
		}
		if same {
			return held, kept, nil
		}
		s.old = append(s.old, held)
		delete(s.held, path)
	}
	if f, err = os.Open(path); err != nil {
		return nil, nil, err
	}
	if !ofDatabase(f) {
		return f, f.Close, nil
	}
	s.held[path] = f
	return f, kept, nil
}

func sameFile(f *os.File, path string) (bool, error) {
	open, err := f.Stat()
	if err != nil {
		return false, err
	}
	named, err := os.Lstat(path)
	return err == nil && os.SameFile(open, named), err
}

// ofDatabase recognises SQLite's files: by their first bytes
// (https://www.sqlite.org/fileformat2.html §1.3), and those beside them by the
// names SQLite gives them. An empty file may become a database.
func ofDatabase(f *os.File) bool {
	for _, ending := range []string{"-wal", "-shm", "-journal"} {
		if strings.HasSuffix(f.Name(), ending) {
			return true
		}
	}
	var magic [16]byte
	n, err := f.ReadAt(magic[:], 0)
	return n == 0 && errors.Is(err, io.EOF) || string(magic[:n]) == "SQLite format 3\x00"
}
