package bundle

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/merkle"
)

// records walks range.jsonl, and events.jsonl and events.csv beside it.
func (v *verifier) records() {
	w := walk{verifier: v, streams: map[string]place{}, policies: map[uint64]bool{}}
	var err error
	for name, to := range map[string]**lines{fileRange: &w.ranges, fileEvents: &w.events, fileTable: &w.table} {
		if *to, err = v.lines(name); err != nil {
			v.fail(ByFormat, name, err)
			return
		}
		defer func() {
			if err := (*to).close(); err != nil {
				v.fail(ByFormat, name, err)
			}
		}()
	}
	w.row(csvLine(tableHeader), 0, nil)
	for w.step() {
	}
	w.end()
}

// place is where a stream stands.
type place struct {
	revision eventstore.Revision
	leaf     eventstore.Hash
	at       time.Time
}

// walk goes through the window once.
type walk struct {
	*verifier
	ranges, events, table *lines
	waiting               *eventRow // read from events and not due yet
	broken                bool      // the table differs; said once

	leaves   []eventstore.Hash
	matched  uint64
	streams  map[string]place
	latest   time.Time // of all records so far
	policies map[uint64]bool
}

// row is a line of range.jsonl; a matched record has the sequence alone.
type row struct {
	Sequence         eventstore.Sequence `json:"sequence"`
	Stream           string              `json:"stream"`
	Revision         eventstore.Revision `json:"revision"`
	ID               uuid.UUID           `json:"id"`
	Type             string              `json:"type"`
	Schema           uint16              `json:"schema"`
	RecordedAtMicros int64               `json:"recordedAtMicros"`
	DataHash         string              `json:"dataHash"`
	MetadataHash     string              `json:"metadataHash"`
	Leaf             string              `json:"leaf"`
}

// eventRow is a line of events.jsonl, and the record that its bytes are.
type eventRow struct {
	row
	DataBase64     []byte `json:"dataBase64"`
	MetadataBase64 []byte `json:"metadataBase64"`

	record eventstore.Record
	line   []byte
}

func (r row) entry() (eventstore.Entry, error) {
	data, err := eventstore.ParseHash(r.DataHash)
	if err != nil {
		return eventstore.Entry{}, err
	}
	metadata, err := eventstore.ParseHash(r.MetadataHash)
	return eventstore.Entry{
		Stream: r.Stream, Revision: r.Revision, ID: r.ID, Type: r.Type, Schema: r.Schema,
		RecordedAt: time.UnixMicro(r.RecordedAtMicros).UTC(), DataHash: data, MetadataHash: metadata,
	}, err
}

// step takes the next record of the window.
func (w *walk) step() bool {
	line, err := w.ranges.next()
	if errors.Is(err, io.EOF) {
		return false
	}
	due := eventstore.Sequence(w.report.Manifest.Window.From) + eventstore.Sequence(len(w.leaves))
	var r row
	if err == nil {
		err = json.Unmarshal(line, &r)
	}
	if err != nil {
		w.failAt(ByFormat, fileRange, due, nil, fmt.Errorf("line %d: %w", w.ranges.count, err))
		return false
	}
	if r.Sequence != due || due > eventstore.Sequence(w.report.Manifest.Window.To) {
		w.failAt(ByOrder, fileRange, due, nil, fmt.Errorf("line %d has @%d", w.ranges.count, r.Sequence))
		return false
	}
	if bytes.Equal(line, matchedLine(due)) {
		return w.take(due)
	}
	return w.skip(r, line)
}

// skip checks a record that the extract leaves out.
func (w *walk) skip(r row, line []byte) bool {
	e, err := r.entry()
	if err != nil {
		w.failAt(ByFormat, fileRange, r.Sequence, &e, err)
		return false
	}
	if r.Leaf != e.Leaf().String() {
		w.failAt(ByLeaf, fileRange, r.Sequence, &e, errors.New("its leaf is not the hash of its header and hashes"))
	} else if !bytes.Equal(line, skippedLine(r.Sequence, e)) {
		w.failAt(ByFormat, fileRange, r.Sequence, &e, errors.New("the line is not in its one spelling"))
	}
	if w.report.Manifest.Query.Matches(e) {
		w.failAt(ByFilter, fileRange, r.Sequence, &e, errors.New("it answers the question and was left out of the extract"))
	}
	w.follow(r.Sequence, e, nil)
	return true
}

// take checks the record of the extract that is due.
func (w *walk) take(due eventstore.Sequence) bool {
	for {
		next, err := w.peek()
		switch {
		case err != nil:
			w.failAt(ByFormat, fileEvents, due, nil, err)
			return false
		case next == nil || next.Sequence > due:
			w.failAt(ByOrder, fileEvents, due, nil, errors.New("the event is missing, though range.jsonl says that it is in the extract"))
			w.leaves = append(w.leaves, eventstore.Hash{})
			return true
		case next.Sequence == due:
			w.waiting = nil
			w.check(next)
			return true
		}
		w.waiting = nil
		w.stray(next)
	}
}

func (w *walk) stray(r *eventRow) {
	e := r.record.Entry()
	w.failAt(ByOrder, fileEvents, r.Sequence, &e, errors.New("the event stands where range.jsonl has none"))
}

// peek is the next line of events.jsonl; nil after the last.
func (w *walk) peek() (*eventRow, error) {
	if w.waiting != nil {
		return w.waiting, nil
	}
	line, err := w.events.next()
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r := &eventRow{line: line}
	if err := json.Unmarshal(line, r); err != nil {
		return nil, fmt.Errorf("line %d %s: %w", w.events.count, cut(line), err)
	}
	r.record = eventstore.Record{
		Sequence: r.Sequence, Stream: r.Stream, Revision: r.Revision, ID: r.ID, Type: r.Type, Schema: r.Schema,
		RecordedAt: time.UnixMicro(r.RecordedAtMicros).UTC(), Data: r.DataBase64, Metadata: r.MetadataBase64,
	}
	w.waiting = r
	return r, nil
}

// check verifies a record of the extract from its bytes.
func (w *walk) check(r *eventRow) {
	w.matched++
	e := r.record.Entry()
	if leaf := e.Leaf().String(); r.Leaf != leaf {
		w.failAt(ByLeaf, fileEvents, r.Sequence, &e, fmt.Errorf("its bytes hash to %s, and it says %s", leaf, r.Leaf))
	} else if want, err := eventLine(r.record); err != nil || !bytes.Equal(want, r.line) {
		w.failAt(ByFormat, fileEvents, r.Sequence, &e, errors.New("what the line shows is not what its bytes say, or not in its one spelling"))
	}
	if !w.report.Manifest.Query.Matches(e) {
		w.failAt(ByFilter, fileEvents, r.Sequence, &e, errors.New("it does not answer the question"))
	}
	if p := policyOf(r.record.Metadata); p > 0 {
		w.policies[p] = true
	}
	w.inclusion(r.Sequence, e)
	w.row(csvLine(tableRow(r.record)), r.Sequence, &e)
	w.follow(r.Sequence, e, &r.record)
}

func (w *walk) inclusion(s eventstore.Sequence, e eventstore.Entry) {
	name := proofName(e.ID)
	text, err := w.read(name)
	var p merkle.EventProof
	if err == nil {
		p, err = merkle.ParseEventProof(text)
	}
	switch {
	case err != nil:
	case !bytes.Equal(p.Checkpoint, w.signed):
		err = errors.New("it stands on another checkpoint than checkpoint.txt")
	case p.Index != merkle.Index(s):
		err = fmt.Errorf("it is for leaf %d", p.Index)
	default:
		err = merkle.CheckInclusion(w.checkpoint, p.Index, e.Leaf(), p.Path)
	}
	if err != nil {
		w.failAt(ByInclusion, name, s, &e, err)
	}
}

// row compares a line of events.csv with what it must be.
func (w *walk) row(want []byte, s eventstore.Sequence, e *eventstore.Entry) {
	got := make([]byte, len(want))
	if _, err := io.ReadFull(w.table.in, got); (err != nil || !bytes.Equal(got, want)) && !w.broken {
		w.broken = true
		w.failAt(ByFormat, fileTable, s, e, errors.New("the row differs from events.jsonl"))
	}
}

// follow checks what a record has to do with those before it. r is nil for a
// record that is known by its header alone.
func (w *walk) follow(s eventstore.Sequence, e eventstore.Entry, r *eventstore.Record) {
	file := fileRange
	if r != nil {
		file = fileEvents
	}
	before, known := w.streams[e.Stream]
	switch {
	case known && e.Revision != before.revision+1:
		w.failAt(ByChain, file, s, &e, fmt.Errorf("it is revision %d of its stream, after revision %d", e.Revision, before.revision))
	case !known && w.report.Manifest.Window.From == 1 && e.Revision != 0:
		w.failAt(ByChain, file, s, &e, fmt.Errorf("it is the first of its stream and has revision %d", e.Revision))
	case r != nil && (known || e.Revision == 0) && !strings.HasPrefix(string(r.Metadata), `{"prev":"`+before.leaf.String()+`"`):
		w.failAt(ByChain, file, s, &e, errors.New("its prev is not the leaf of the record before it in its stream"))
	}
	w.times(file, s, e)
	w.streams[e.Stream] = place{e.Revision, e.Leaf(), e.RecordedAt}
	w.leaves = append(w.leaves, e.Leaf())
}

// times checks that time does not go back, in a stream at all and in the log by
// more than it may.
func (w *walk) times(file string, s eventstore.Sequence, e eventstore.Entry) {
	disorder := w.report.Manifest.disorder()
	if before, known := w.streams[e.Stream]; known && disorder > 0 && e.RecordedAt.Before(before.at) {
		w.failAt(ByOrder, file, s, &e, fmt.Errorf("it was recorded at %s, before the event that precedes it in its stream", e.RecordedAt.Format(micros)))
		return
	}
	older := w.latest.Sub(e.RecordedAt)
	switch eventstore.Judge(older, disorder, disorder) {
	case eventstore.BackDated:
		w.failAt(ByOrder, file, s, &e, fmt.Errorf("it was recorded at %s, before an event that precedes it in the log", e.RecordedAt.Format(micros)))
	case eventstore.Late:
		w.remark(file, s, &e, fmt.Errorf("it came late: it was recorded at %s, %s before an event that precedes it in the log", e.RecordedAt.Format(micros), older))
	}
	if e.RecordedAt.After(w.latest) {
		w.latest = e.RecordedAt
	}
}

// end checks that nothing is left over, the counts, and the root of the window.
func (w *walk) end() {
	for {
		r, err := w.peek()
		if err != nil {
			w.fail(ByFormat, fileEvents, err)
		}
		if err != nil || r == nil {
			break
		}
		w.stray(r)
		w.waiting = nil
	}
	if _, err := w.table.next(); !errors.Is(err, io.EOF) && !w.broken {
		w.fail(ByFormat, fileTable, errors.New("it has more rows than events.jsonl"))
	}
	w.count()
	w.root()
	if q := w.report.Manifest.Query; q.whole() && w.report.Manifest.Window.From == 1 && len(w.report.Failures) == 0 {
		w.report.Whole = q.Streams
	}
}

func (w *walk) count() {
	m := w.report.Manifest
	scanned := uint64(len(w.leaves))
	if m.Counts != (Counts{Scanned: scanned, Matched: w.matched, Skipped: scanned - w.matched}) || scanned != m.Window.To-m.Window.From+1 {
		w.fail(ByManifest, fileManifest, fmt.Errorf("its counts or its window differ from the files: %d records of which %d match", scanned, w.matched))
	}
	if !slices.Equal(m.PolicyVersions, slices.Sorted(maps.Keys(w.policies))) {
		w.fail(ByManifest, fileManifest, errors.New("its policy versions are not those of the events"))
	}
	for _, f := range m.Files {
		rows := map[string]uint64{fileEvents: w.matched, fileTable: w.matched, fileRange: scanned}[f.Name]
		if f.Rows != rows {
			w.fail(ByManifest, f.Name, fmt.Errorf("it has %d rows, and the manifest says %d", rows, f.Rows))
		}
	}
	proofs := uint64(0)
	for name := range w.archive {
		if strings.HasPrefix(name, "proofs/") {
			proofs++
		}
	}
	if proofs != w.matched {
		w.fail(ByInclusion, fileManifest, fmt.Errorf("%d proofs for %d events", proofs, w.matched))
	}
}

func (w *walk) root() {
	text, err := w.read(fileRangeProof)
	var outside []eventstore.Hash
	if err == nil {
		outside, err = merkle.ParseHashes(string(text))
	}
	var root eventstore.Hash
	if err == nil {
		root, err = merkle.RangeRoot(merkle.Index(eventstore.Sequence(w.report.Manifest.Window.From)), values(w.leaves), w.checkpoint.Size, outside)
	}
	if err == nil && root != w.checkpoint.Root {
		err = fmt.Errorf("the records of the window hash to %s, and the log signed %s: one of them is missing, added, moved or altered",
			base64.StdEncoding.EncodeToString(root[:]), base64.StdEncoding.EncodeToString(w.checkpoint.Root[:]))
	}
	if err != nil {
		w.fail(ByRangeProof, fileRange, err)
	}
}
