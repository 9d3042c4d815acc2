package bundle

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/merkle"
)

// Source is where evidence comes from.
type Source struct {
	Log     eventstore.Reader
	History merkle.History
	// Policy says which witnesses are asked; the zero Policy when none are.
	Policy merkle.Policy
	// Disorder is by how much a record of the log may be older than one that
	// precedes it; zero: what Log declares (eventstore.DisorderOf).
	Disorder time.Duration
	// Sign signs the manifest with the log's newest key: it says who made the
	// bundle, not whether it is true. nil leaves it unsigned.
	Sign *merkle.Signer
}

// Request is who asks for what, and why. The same request on the same history
// yields the same bytes.
type Request struct {
	ExportID    string
	RequestedBy string    // of whoever asks, never a person's name
	Purpose     string    // 1 to 500 characters
	At          time.Time // of the export
	Version     string    // of the software
	Query       Query
	From, To    eventstore.Sequence // 0 is the first, and the last that is sealed
	// Matched limits the records of the extract; 0 and all above is MaxMatched.
	Matched int
}

func (r Request) check() error {
	for name, text := range map[string]string{"purpose": r.Purpose, "requester": r.RequestedBy, "export id": r.ExportID, "version": r.Version} {
		if text == "" || len(text) > 500 || !printable(text) {
			return fmt.Errorf("%w: %s: want 1 to 500 bytes of visible text in one line", ErrQuery, name)
		}
	}
	return r.Query.check()
}

// Write writes a bundle to out and returns its manifest. It reads the window
// three times and holds a hash and a few numbers for each record. Before
// anything is called evidence, the window is hashed and compared with the
// checkpoint. Errors wrap ErrQuery, ErrNotSealed, ErrChanged or are those of
// the source; what was written to out is of no use then.
func Write(ctx context.Context, src Source, r Request, out io.Writer) (Manifest, error) {
	r.Query.Streams, r.Query.Types = sorted(r.Query.Streams), sorted(r.Query.Types)
	if err := r.check(); err != nil {
		return Manifest{}, err
	}
	if r.Matched <= 0 || r.Matched > MaxMatched {
		r.Matched = MaxMatched
	}
	e := export{Source: src, Request: r, zip: zip.NewWriter(out), policies: map[uint64]bool{}}
	for _, step := range []func(context.Context) error{e.begin, e.writeRange, e.writeEvents, e.writeTable, e.writeProofs, e.writeTexts} {
		if err := step(ctx); err != nil {
			return Manifest{}, fmt.Errorf("export: %w", err)
		}
	}
	return e.finish()
}

// sorted is the list in order without repeats, and never nil.
func sorted(in []string) []string {
	return append([]string{}, slices.Compact(slices.Sorted(slices.Values(in)))...)
}

// export is a bundle being written. It belongs to one goroutine.
type export struct {
	Source
	Request
	zip   *zip.Writer
	files []File

	published  merkle.Published
	keys       merkle.Keys
	checkpoint merkle.Checkpoint
	leaves     []eventstore.Hash // of the window
	matched    []match
	policies   map[uint64]bool
}

type match struct {
	sequence eventstore.Sequence
	id       eventstore.EventID
}

// begin finds the checkpoint the bundle stands on and fixes the window.
func (e *export) begin(ctx context.Context) error {
	var err error
	if e.published, err = e.History.Latest(ctx); errors.Is(err, eventstore.ErrNotFound) {
		return fmt.Errorf("%w: the log has no checkpoint; it gets one when the server runs", ErrNotSealed)
	} else if err != nil {
		return fmt.Errorf("read the newest checkpoint: %w", err)
	}
	if e.keys, err = e.History.Keys(ctx); err != nil {
		return fmt.Errorf("read the log's keys: %w", err)
	}
	if e.checkpoint, err = e.keys.Open(e.published.Signed); err != nil {
		return err
	}
	if e.From == 0 {
		e.From = 1
	}
	size := eventstore.Sequence(e.checkpoint.Size)
	if e.To == 0 {
		e.To = size
	}
	switch {
	case e.To > size:
		return fmt.Errorf("%w: the newest checkpoint covers @1 to @%d", ErrNotSealed, size)
	case size == 0:
		return fmt.Errorf("%w: the log is empty", ErrNotSealed)
	case e.From > e.To:
		return fmt.Errorf("%w: the window ends at @%d, before it begins at @%d", ErrQuery, e.To, e.From)
	case e.To-e.From >= MaxWindow:
		return fmt.Errorf("%w: the window has %d records, at most %d; ask for parts with from and to", ErrQuery, e.To-e.From+1, MaxWindow)
	}
	return nil
}

// window yields the records of the window, all of them or an error.
func (e *export) window(ctx context.Context) iter.Seq2[eventstore.Record, error] {
	return func(yield func(eventstore.Record, error) bool) {
		next := e.From
		for r, err := range e.Log.ReadAll(ctx, e.From) {
			if err == nil && r.Sequence != next {
				err = fmt.Errorf("%w: @%d follows @%d", ErrChanged, r.Sequence, next-1)
			}
			if err != nil {
				yield(eventstore.Record{}, fmt.Errorf("read @%d: %w", next, err))
				return
			}
			if !yield(r, nil) {
				return
			}
			if next++; next > e.To {
				return
			}
		}
		yield(eventstore.Record{}, fmt.Errorf("%w: the log ends before @%d", ErrChanged, next))
	}
}

func (e *export) writeRange(ctx context.Context) error {
	err := e.add(fileRange, uint64(e.To-e.From)+1, func(w io.Writer) error {
		for r, err := range e.window(ctx) {
			if err != nil {
				return err
			}
			entry := r.Entry()
			line := skippedLine(r.Sequence, entry)
			if e.Query.Matches(entry) {
				e.matched = append(e.matched, match{r.Sequence, r.ID})
				line = matchedLine(r.Sequence)
			}
			if len(e.matched) > e.Matched {
				return fmt.Errorf("%w: more than %d records match; ask for parts with from and to", ErrQuery, e.Matched)
			}
			e.leaves = append(e.leaves, entry.Leaf())
			if _, err := w.Write(append(line, '\n')); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return e.writeRangeProof(ctx)
}

// writeRangeProof also compares what was read with the checkpoint.
func (e *export) writeRangeProof(ctx context.Context) error {
	from := merkle.Index(e.From)
	outside, err := merkle.ProveRange(e.tiles(ctx), from, uint64(e.To), e.checkpoint.Size)
	if err != nil {
		return err
	}
	root, err := merkle.RangeRoot(from, values(e.leaves), e.checkpoint.Size, outside)
	if err != nil {
		return err
	}
	if root != e.checkpoint.Root {
		return fmt.Errorf("%w: @%d to @%d do not hash to the root that was signed at size %d; run authledger verify log", ErrChanged, e.From, e.To, e.checkpoint.Size)
	}
	return e.text(fileRangeProof, []byte(merkle.FormatHashes(outside)))
}

func values(leaves []eventstore.Hash) iter.Seq2[eventstore.Hash, error] {
	return func(yield func(eventstore.Hash, error) bool) {
		for _, leaf := range leaves {
			if !yield(leaf, nil) {
				return
			}
		}
	}
}

func (e *export) tiles(ctx context.Context) merkle.HashReader {
	return merkle.Tiles(func(level int, n int64) ([]byte, error) { return e.History.Tile(ctx, level, n) }).Reader()
}

// extract yields the records that matched.
func (e *export) extract(ctx context.Context) iter.Seq2[eventstore.Record, error] {
	return func(yield func(eventstore.Record, error) bool) {
		left := e.matched
		for r, err := range e.window(ctx) {
			if err == nil && len(left) == 0 {
				return
			}
			if err == nil && r.Sequence != left[0].sequence {
				continue
			}
			if err == nil && r.Leaf() != e.leaves[r.Sequence-e.From] {
				err = fmt.Errorf("%w: @%d was read twice and differs", ErrChanged, r.Sequence)
			}
			if !yield(r, err) || err != nil {
				return
			}
			left = left[1:]
		}
	}
}

func (e *export) writeEvents(ctx context.Context) error {
	return e.add(fileEvents, uint64(len(e.matched)), func(w io.Writer) error {
		for r, err := range e.extract(ctx) {
			if err != nil {
				return err
			}
			line, err := eventLine(r)
			if err == nil {
				_, err = w.Write(append(line, '\n'))
			}
			if err != nil {
				return err
			}
			if p := policyOf(r.Metadata); p > 0 {
				e.policies[p] = true
			}
		}
		return nil
	})
}

// policyOf is the policy version a record was decided under; 0 when it names
// none, as records of other makers do.
func policyOf(metadata []byte) uint64 {
	var m struct {
		PolicyVersion uint64 `json:"policy_version"`
	}
	if json.Unmarshal(metadata, &m) != nil {
		return 0
	}
	return m.PolicyVersion
}

func (e *export) writeTable(ctx context.Context) error {
	return e.add(fileTable, uint64(len(e.matched)), func(w io.Writer) error {
		if _, err := w.Write(csvLine(tableHeader)); err != nil {
			return err
		}
		for r, err := range e.extract(ctx) {
			if err == nil {
				_, err = w.Write(csvLine(tableRow(r)))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func (e *export) writeProofs(ctx context.Context) error {
	tiles := e.tiles(ctx)
	for _, m := range e.matched {
		if err := ctx.Err(); err != nil {
			return err
		}
		index := merkle.Index(m.sequence)
		path, err := merkle.ProveInclusion(tiles, index, e.checkpoint.Size)
		if err != nil {
			return err
		}
		p := merkle.EventProof{Index: index, Path: path, Checkpoint: e.published.Signed}
		if err := e.text(proofName(m.id), p.Marshal()); err != nil {
			return err
		}
	}
	return nil
}

func (e *export) writeTexts(context.Context) error {
	keys, err := json.MarshalIndent(e.keys, "", "  ")
	if err != nil {
		return err
	}
	files := map[string][]byte{
		fileCheckpoint: e.published.Signed, fileKeys: append(keys, '\n'), fileHTML: verifyHTML, filePython: verifyPython,
		fileReadme: []byte(e.coverSheet()),
	}
	if !e.Policy.Empty() {
		files[filePolicy] = []byte(e.Policy.Text())
	}
	for i, s := range e.published.Stamps {
		files[fmt.Sprintf("timestamps/%d.tsr", i+1)] = s.Token
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := e.text(name, files[name]); err != nil {
			return err
		}
	}
	return nil
}

func (e *export) manifest() Manifest {
	slices.SortFunc(e.files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	matched, scanned := uint64(len(e.matched)), uint64(len(e.leaves))
	return Manifest{
		Bundle: Format, ExportID: e.ExportID, RequestedBy: e.RequestedBy, Purpose: e.Purpose, CreatedAt: e.At.UTC().Format(time.RFC3339),
		Query: e.Query, Window: Window{From: uint64(e.From), To: uint64(e.To), At: e.checkpoint.Size}, DisorderMicros: e.disorder(),
		Counts:         Counts{Scanned: scanned, Matched: matched, Skipped: scanned - matched},
		PolicyVersions: append([]uint64{}, slices.Sorted(maps.Keys(e.policies))...), Software: Software{Version: e.Version},
		Checkpoint: headOf(e.checkpoint, e.published.Signed), Files: e.files,
	}
}

// disorder is what the manifest says of the log, in whole microseconds.
func (e *export) disorder() int64 {
	d := e.Disorder
	if d == 0 {
		d = eventstore.DisorderOf(e.Log)
	}
	return (min(d, maxDisorder) + time.Microsecond - 1).Microseconds()
}

func headOf(c merkle.Checkpoint, signed []byte) Head {
	return Head{Origin: c.Origin, Size: c.Size, Root: base64.StdEncoding.EncodeToString(c.Root[:]), Cosignatures: cosignatures(c.Origin, signed)}
}

// cosignatures counts the lines of a signed checkpoint that are not the log's.
func cosignatures(origin string, signed []byte) int {
	_, lines, _ := strings.Cut(string(signed), "\n\n")
	n := 0
	for line := range strings.Lines(lines) {
		if !strings.HasPrefix(line, "— "+origin+" ") {
			n++
		}
	}
	return n
}

// finish writes the manifest, which speaks of all the rest, and closes the zip.
func (e *export) finish() (Manifest, error) {
	m := e.manifest()
	text, err := m.marshal()
	if err != nil {
		return m, err
	}
	if err := e.text(fileManifest, text); err != nil {
		return m, err
	}
	if e.Sign != nil {
		signed, err := signManifest(m, text, *e.Sign)
		if err == nil {
			err = e.text(fileNote, signed)
		}
		if err != nil {
			return m, err
		}
	}
	if err := e.zip.Close(); err != nil {
		return m, fmt.Errorf("close the bundle: %w", err)
	}
	return m, nil
}

// noteSigner is the log's key as the signer of a note.
type noteSigner struct {
	note.Verifier
	sign func(message []byte) ([]byte, error)
}

// Sign implements note.Signer.
func (s noteSigner) Sign(message []byte) ([]byte, error) { return s.sign(message) }

func signManifest(m Manifest, text []byte, s merkle.Signer) ([]byte, error) {
	v, err := logVerifier(m.Checkpoint.Origin, s.Public)
	if err != nil {
		return nil, err
	}
	signed, err := note.Sign(&note.Note{Text: noteText(m.Checkpoint.Origin, m.Checkpoint.Size, text)}, noteSigner{Verifier: v, sign: s.Sign})
	if err != nil {
		return nil, fmt.Errorf("sign the manifest: %w", err)
	}
	return signed, nil
}

func logVerifier(origin string, public []byte) (note.Verifier, error) {
	key, err := merkle.VerifierKey(origin, public)
	if err != nil {
		return nil, err
	}
	return note.NewVerifier(key)
}

func (e *export) text(name string, content []byte) error {
	return e.add(name, 0, func(w io.Writer) error {
		_, err := io.Copy(w, bytes.NewReader(content))
		return err
	})
}

// add writes one file of the zip. Files carry no time, so that the same
// evidence has the same bytes.
func (e *export) add(name string, rows uint64, content func(io.Writer) error) error {
	w, err := e.zip.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate})
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	sum := sha256.New()
	if err := content(both{w, sum}); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if name != fileManifest && name != fileNote {
		e.files = append(e.files, File{Name: name, Rows: rows, SHA256: hex.EncodeToString(sum.Sum(nil))})
	}
	return nil
}

// both hashes what is written.
type both struct {
	out io.Writer
	sum hash.Hash
}

// Write implements io.Writer.
func (b both) Write(p []byte) (int, error) {
	n, err := b.out.Write(p)
	b.sum.Write(p[:n])
	return n, err
}
