package bundle

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/authledger/authledger/eventstore"
)

// Format names this version of the format; a reader refuses any other.
const Format = "authledger/evidence@1"

// Limits of a bundle. The verifiers in a browser and in Python hold all of it
// in memory; 1 GiB is what they can be asked to.
const (
	MaxWindow  = 1_000_000 // records a bundle may look through
	MaxMatched = 100_000   // records a bundle may carry
	MaxBytes   = 1 << 30   // all files, unpacked
)

// maxDisorder is the most a manifest may say of how far time goes back in its
// log. Whoever makes a bundle may say it of any log; so what it excuses is no more
// than what is excused in a log of several processes anyway.
const maxDisorder = eventstore.LateLimit

// Names of files in a bundle; proofs and time stamps have a name each.
const (
	fileReadme     = "README.txt"
	fileManifest   = "manifest.json"
	fileNote       = "manifest.note"
	fileEvents     = "events.jsonl"
	fileTable      = "events.csv"
	fileRange      = "range.jsonl"
	fileRangeProof = "range.proof"
	fileCheckpoint = "checkpoint.txt"
	fileKeys       = "keys.json"
	filePolicy     = "witness-policy.txt"
	fileHTML       = "verify.html"
	filePython     = "verify_bundle.py"
)

//go:embed assets/verify.html
var verifyHTML []byte

//go:embed assets/verify_bundle.py
var verifyPython []byte

// Errors of this package. Compare with errors.Is.
var (
	// ErrQuery means a question that cannot be asked; the text says why.
	ErrQuery = errors.New("invalid export")
	// ErrNotSealed means that no checkpoint covers what was asked for yet.
	ErrNotSealed = errors.New("not sealed yet")
	// ErrChanged means that the log is not what its checkpoint was signed over.
	ErrChanged = errors.New("the log differs from its checkpoint")
	// ErrEvidence means a bundle that does not prove what it says.
	ErrEvidence = errors.New("the evidence does not hold")
)

// Query says which records of the window belong to the extract. It is small, so
// that anybody can evaluate it again from headers alone. An empty list admits
// everything; times are microseconds since 1970 UTC, both ends included, and 0
// is no limit.
type Query struct {
	Streams     []string `json:"streams"`
	Types       []string `json:"types"`
	SinceMicros int64    `json:"sinceMicros"`
	UntilMicros int64    `json:"untilMicros"`
}

// Matches reports whether a record with this header belongs to the extract.
func (q Query) Matches(e eventstore.Entry) bool {
	at := e.RecordedAt.UnixMicro()
	return (len(q.Streams) == 0 || slices.Contains(q.Streams, e.Stream)) &&
		(len(q.Types) == 0 || slices.Contains(q.Types, e.Type)) &&
		(q.SinceMicros == 0 || at >= q.SinceMicros) && (q.UntilMicros == 0 || at <= q.UntilMicros)
}

// whole reports whether the query takes all of each stream it names.
func (q Query) whole() bool {
	return len(q.Streams) > 0 && len(q.Types) == 0 && q.SinceMicros == 0 && q.UntilMicros == 0
}

// check refuses a query that could match nothing that exists.
func (q Query) check() error {
	for _, stream := range q.Streams {
		if err := eventstore.CheckStream(stream); err != nil {
			return fmt.Errorf("%w: %w", ErrQuery, err)
		}
	}
	for _, name := range q.Types {
		if name == "" || len(name) > eventstore.MaxTypeName || !printable(name) {
			return fmt.Errorf("%w: type %q: want the name of an event, such as OptOutDenied", ErrQuery, name)
		}
	}
	if q.SinceMicros < 0 || q.UntilMicros < 0 || q.UntilMicros > 0 && q.UntilMicros < q.SinceMicros {
		return fmt.Errorf("%w: the end of the time window must not be before its beginning, nor before 1970", ErrQuery)
	}
	return nil
}

// Window is the part of the log that was looked through, by sequence.
type Window struct {
	From uint64 `json:"fromPosition"` // first, from 1
	To   uint64 `json:"toPosition"`   // last
	At   uint64 `json:"atPosition"`   // size of the checkpoint the proofs stand on
}

// Counts of records in the window.
type Counts struct {
	Scanned uint64 `json:"scanned"`
	Matched uint64 `json:"matched"`
	Skipped uint64 `json:"skipped"`
}

// Software is what wrote the bundle.
type Software struct {
	Version string `json:"version"`
}

// Head repeats the checkpoint for people; checkpoint.txt is what counts.
type Head struct {
	Origin       string `json:"origin"`
	Size         uint64 `json:"size"`
	Root         string `json:"root"`         // base64, as in checkpoint.txt
	Cosignatures int    `json:"cosignatures"` // lines that are not the log's
}

// File is one file of a bundle. Rows is 0 where a file has none.
type File struct {
	Name   string `json:"name"`
	Rows   uint64 `json:"rows"`
	SHA256 string `json:"sha256"` // hexadecimal
}

// Manifest is manifest.json.
type Manifest struct {
	Bundle      string `json:"bundle"`
	ExportID    string `json:"exportId"`
	RequestedBy string `json:"requestedBy"`
	Purpose     string `json:"purpose"`
	CreatedAt   string `json:"createdAt"` // RFC 3339, UTC, by the clock of the exporter
	Query       Query  `json:"query"`
	Window      Window `json:"window"`
	// DisorderMicros is by how much a record may be older than one that precedes
	// it in the log, in another stream; absent in a log of one process.
	DisorderMicros int64    `json:"disorderMicros,omitempty"`
	Counts         Counts   `json:"counts"`
	PolicyVersions []uint64 `json:"policyVersions"` // that the matched records were decided under
	Software       Software `json:"software"`
	Checkpoint     Head     `json:"checkpoint"`
	Files          []File   `json:"files"` // all but manifest.json and manifest.note, by name
}

// marshal writes the manifest's one spelling.
func (m Manifest) marshal() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(m); err != nil {
		return nil, fmt.Errorf("write %s: %w", fileManifest, err)
	}
	return b.Bytes(), nil
}

// parseManifest reads exactly what marshal writes.
func parseManifest(text []byte) (Manifest, error) {
	var m Manifest
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&m); err != nil {
		return m, fmt.Errorf("%s: %w", fileManifest, err)
	}
	again, err := m.marshal()
	if err == nil && !bytes.Equal(again, text) {
		err = fmt.Errorf("%s is not in its one spelling", fileManifest)
	}
	if err == nil && m.Bundle != Format {
		err = fmt.Errorf("%s is of format %q; this program reads %s", fileManifest, m.Bundle, Format)
	}
	return m, err
}

// noteText is what the log's key signs of a manifest. It has four lines, and
// a checkpoint three, so that neither can be taken for the other.
func noteText(origin string, size uint64, manifest []byte) string {
	sum := sha256.Sum256(manifest)
	return Format + "\n" + origin + "\n" + strconv.FormatUint(size, 10) + "\n" + hex.EncodeToString(sum[:]) + "\n"
}

// disorder is DisorderMicros as far as it is believed.
func (m Manifest) disorder() time.Duration {
	return time.Duration(min(max(m.DisorderMicros, 0), maxDisorder.Microseconds())) * time.Microsecond
}

// micros is the layout of recordedAt; the zone is UTC.
const micros = "2006-01-02T15:04:05.000000Z"

// eventLine is one line of events.jsonl, without the line break.
func eventLine(r eventstore.Record) ([]byte, error) {
	if !utf8.Valid(r.Data) || !utf8.Valid(r.Metadata) {
		return nil, fmt.Errorf("record @%d is not UTF-8", r.Sequence)
	}
	b := header(r.Sequence, r.Entry())
	b = append(b, `,"recordedAt":"`+r.RecordedAt.UTC().Format(micros)+`","leaf":"`+r.Leaf().String()+
		`","dataBase64":"`+base64.StdEncoding.EncodeToString(r.Data)+`","metadataBase64":"`+base64.StdEncoding.EncodeToString(r.Metadata)+`","data":`...)
	b = append(b, oneLine(r.Data)...)
	b = append(b, `,"metadata":`...)
	b = append(b, oneLine(r.Metadata)...)
	return append(b, '}'), nil
}

// oneLine shows stored JSON in a line. A line break is white space there, since
// JSON has none inside its texts.
func oneLine(stored []byte) []byte {
	return bytes.ReplaceAll(bytes.ReplaceAll(stored, []byte("\n"), []byte(" ")), []byte("\r"), []byte(" "))
}

// skippedLine is the line of range.jsonl for a record outside the extract.
func skippedLine(s eventstore.Sequence, e eventstore.Entry) []byte {
	b := header(s, e)
	return append(b, `,"dataHash":"`+e.DataHash.String()+`","metadataHash":"`+e.MetadataHash.String()+`","leaf":"`+e.Leaf().String()+`"}`...)
}

// matchedLine is the line of range.jsonl for a record of the extract.
func matchedLine(s eventstore.Sequence) []byte { return fmt.Appendf(nil, `{"sequence":%d}`, s) }

// header begins the object of a line. Names hold no control characters
// (eventstore.CheckAppend), so two characters need escaping.
func header(s eventstore.Sequence, e eventstore.Entry) []byte {
	return fmt.Appendf(nil, `{"sequence":%d,"stream":%s,"revision":%d,"id":"%s","type":%s,"schema":%d,"recordedAtMicros":%d`,
		s, quoted(e.Stream), e.Revision, e.ID, quoted(e.Type), e.Schema, e.RecordedAt.UnixMicro())
}

func quoted(name string) string {
	return `"` + strings.ReplaceAll(strings.ReplaceAll(name, `\`, `\\`), `"`, `\"`) + `"`
}

// tableHeader names the columns of events.csv.
var tableHeader = []string{"sequence", "recorded_at", "stream", "revision", "type", "schema", "event_id", "leaf", "data", "metadata"}

// tableRow is the row of a record: what is personal in it is sealed, as stored.
func tableRow(r eventstore.Record) []string {
	return []string{
		strconv.FormatUint(uint64(r.Sequence), 10), r.RecordedAt.UTC().Format(micros), r.Stream, strconv.FormatUint(uint64(r.Revision), 10),
		r.Type, strconv.FormatUint(uint64(r.Schema), 10), r.ID.String(), r.Leaf().String(), string(oneLine(r.Data)), string(oneLine(r.Metadata)),
	}
}

// csvLine writes cells as RFC 4180, all of them quoted, so that there is one
// spelling. A cell that a spreadsheet would take for a formula begins with an
// apostrophe.
func csvLine(cells []string) []byte {
	var b []byte
	for i, cell := range cells {
		if i > 0 {
			b = append(b, ',')
		}
		if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
			cell = "'" + cell
		}
		b = append(b, `"`+strings.ReplaceAll(cell, `"`, `""`)+`"`...)
	}
	return append(b, '\r', '\n')
}

func proofName(id eventstore.EventID) string { return "proofs/" + id.String() + ".tlog-proof" }

// printable accepts text that looks the same in every program that shows it.
func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// Micros is a time as queries and lines have it; the zero time is 0.
func Micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}
