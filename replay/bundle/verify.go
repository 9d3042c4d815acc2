package bundle

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/merkle"
)

// Mechanism names what caught a failure.
type Mechanism string

// The mechanisms, in the order in which they are tried.
const (
	ByFormat     Mechanism = "format"
	ByFileHash   Mechanism = "file hash"
	ByKeys       Mechanism = "pinned keys"
	BySignature  Mechanism = "checkpoint signature"
	ByManifest   Mechanism = "manifest"
	ByWitness    Mechanism = "witness policy"
	ByStamp      Mechanism = "time stamp"
	ByLeaf       Mechanism = "leaf hash"
	ByInclusion  Mechanism = "inclusion proof"
	ByFilter     Mechanism = "filter"
	ByChain      Mechanism = "stream chain"
	ByOrder      Mechanism = "order"
	ByRangeProof Mechanism = "range root"
)

// Failure is one thing that does not hold. Sequence is 0 when it is not about
// one event.
type Failure struct {
	Mechanism Mechanism `json:"mechanism"`
	File      string    `json:"file"`
	Sequence  uint64    `json:"sequence,omitempty"`
	ID        string    `json:"id,omitempty"`
	Type      string    `json:"type,omitempty"`
	Stream    string    `json:"stream,omitempty"`
	Problem   string    `json:"problem"`
}

func (f Failure) String() string {
	if f.Sequence == 0 {
		return fmt.Sprintf("%s: %s: %s", f.Mechanism, f.File, f.Problem)
	}
	return fmt.Sprintf("%s: %s: event @%d %s %s in %s: %s", f.Mechanism, f.File, f.Sequence, f.ID, f.Type, f.Stream, f.Problem)
}

// maxFailures is where a verifier stops listing.
const maxFailures = 50

// Options is what the verifier brings along. With the zero Options the bundle is
// compared with the keys and the policy it carries itself.
type Options struct {
	Keys   *merkle.Keys   // pinned: got on another way than the bundle
	Policy *merkle.Policy // pinned
	// Stamp checks an RFC 3161 token over a checkpoint as the log signed it and
	// returns its time; nil leaves time stamps unchecked.
	Stamp func(token, signed []byte) (time.Time, error)
}

// Report is what Verify found.
type Report struct {
	Manifest Manifest             `json:"manifest"`
	SignedAt time.Time            `json:"signedAt"` // of the checkpoint, as the log says
	Pinned   bool                 `json:"pinned"`   // against keys that did not come with the bundle
	Maker    bool                 `json:"signed"`   // the manifest is signed by a key of the log
	Cosigned map[string]time.Time `json:"cosigned"` // by witness of the policy
	Stamps   []time.Time          `json:"stamps"`   // times of checked time stamps
	Whole    []string             `json:"whole"`    // streams whose history is complete in the extract
	Failures []Failure            `json:"failures"`
	// Late counts the records that came later than the log's disorder lets
	// expect, by at most eventstore.LateLimit, and Remarks names the first 50.
	// They are no failures; an auditor may want to ask about them.
	Late    uint64    `json:"lateRecords,omitempty"`
	Remarks []Failure `json:"remarks,omitempty"`
}

// Verify checks a bundle and lists what does not hold, at most 50 failures, in
// the order of the file. The error wraps ErrEvidence when there is any failure
// and names the first; a report comes with it as far as it got.
func Verify(r io.ReaderAt, size int64, o Options) (Report, error) {
	a, err := openArchive(r, size)
	if err != nil {
		return Report{Failures: []Failure{{Mechanism: ByFormat, File: "zip", Problem: err.Error()}}}, err
	}
	v := verifier{archive: a, options: o}
	v.report.Pinned, v.report.Failures = o.Keys != nil, []Failure{}
	if v.manifest() && v.head() {
		v.maker()
		v.witnesses()
		v.stamps()
		v.records()
	}
	if len(v.report.Failures) > 0 {
		return v.report, fmt.Errorf("%w: %s", ErrEvidence, v.report.Failures[0])
	}
	return v.report, nil
}

// verifier is one run over one bundle.
type verifier struct {
	archive
	options Options
	report  Report

	text       []byte // of the manifest
	keys       merkle.Keys
	signed     []byte
	checkpoint merkle.Checkpoint
}

func (v *verifier) fail(m Mechanism, file string, problem error) {
	v.failAt(m, file, 0, nil, problem)
}

func (v *verifier) failAt(m Mechanism, file string, s eventstore.Sequence, e *eventstore.Entry, problem error) {
	if len(v.report.Failures) >= maxFailures {
		return
	}
	v.report.Failures = append(v.report.Failures, failure(m, file, s, e, problem))
}

// remark notes a record that came late.
func (v *verifier) remark(file string, s eventstore.Sequence, e *eventstore.Entry, problem error) {
	if v.report.Late++; v.report.Late <= maxFailures {
		v.report.Remarks = append(v.report.Remarks, failure(ByOrder, file, s, e, problem))
	}
}

func failure(m Mechanism, file string, s eventstore.Sequence, e *eventstore.Entry, problem error) Failure {
	f := Failure{Mechanism: m, File: file, Sequence: uint64(s), Problem: problem.Error()}
	if e != nil {
		f.ID, f.Type, f.Stream = e.ID.String(), e.Type, e.Stream
	}
	return f
}

// manifest reads the manifest and compares the hash of every file. A wrong hash
// does not end the run: what follows tells which event it is about.
func (v *verifier) manifest() bool {
	var err error
	if v.text, err = v.read(fileManifest); err == nil {
		v.report.Manifest, err = parseManifest(v.text)
	}
	if err != nil {
		v.fail(ByFormat, fileManifest, err)
		return false
	}
	left := maps.Clone(v.archive)
	delete(left, fileManifest)
	delete(left, fileNote)
	last := ""
	for _, f := range v.report.Manifest.Files {
		if left[f.Name] == nil || f.Name <= last {
			v.fail(ByFormat, f.Name, errors.New("the manifest lists it, and it is missing or out of order"))
			continue
		}
		last = f.Name
		delete(left, f.Name)
		if sum, err := v.sum(f.Name); err != nil {
			v.fail(ByFileHash, f.Name, err)
		} else if sum != f.SHA256 {
			v.fail(ByFileHash, f.Name, fmt.Errorf("its SHA-256 is %s; the manifest says %s", sum, f.SHA256))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(left)) {
		v.fail(ByFormat, name, errors.New("the manifest does not list it"))
	}
	return true
}

// head checks the checkpoint everything stands on.
func (v *verifier) head() bool {
	if !v.openKeys() {
		return false
	}
	var err error
	if v.signed, err = v.read(fileCheckpoint); err == nil {
		v.checkpoint, err = v.keys.Open(v.signed)
	}
	if err == nil {
		v.report.SignedAt, err = v.keys.SignedAt(v.signed)
	}
	if err != nil {
		v.fail(BySignature, fileCheckpoint, err)
		return false
	}
	m := v.report.Manifest
	switch {
	case m.Checkpoint != headOf(v.checkpoint, v.signed):
		v.fail(ByManifest, fileManifest, errors.New("it tells another checkpoint than checkpoint.txt"))
	case m.Window.At != v.checkpoint.Size || m.Window.From < 1 || m.Window.From > m.Window.To || m.Window.To > v.checkpoint.Size:
		v.fail(ByManifest, fileManifest, errors.New("its window does not lie in the checkpoint"))
		return false
	case m.Window.To-m.Window.From >= MaxWindow:
		v.fail(ByManifest, fileManifest, fmt.Errorf("its window has more than %d records", MaxWindow))
		return false
	}
	if m.DisorderMicros < 0 || m.DisorderMicros > maxDisorder.Microseconds() {
		v.fail(ByManifest, fileManifest, fmt.Errorf("it says that time goes back by %d microseconds in the log; at most %d are believed", m.DisorderMicros, maxDisorder.Microseconds()))
	}
	if err := m.Query.check(); err != nil {
		v.fail(ByManifest, fileManifest, err)
	}
	return true
}

// openKeys takes the pinned keys when there are any, and refuses a bundle that
// brings others along.
func (v *verifier) openKeys() bool {
	text, err := v.read(fileKeys)
	if err == nil {
		err = json.Unmarshal(text, &v.keys)
	}
	if err != nil {
		v.fail(ByFormat, fileKeys, err)
		return false
	}
	if v.options.Keys == nil {
		return true
	}
	brought := v.keys
	v.keys = *v.options.Keys
	if brought.Origin != v.keys.Origin {
		v.fail(ByKeys, fileKeys, fmt.Errorf("the bundle is of the log %s, the pinned keys of %s", brought.Origin, v.keys.Origin))
	}
	common := min(len(brought.Epochs), len(v.keys.Epochs)) // either may know later ones
	for i, e := range brought.Epochs[:common] {
		if pinned := v.keys.Epochs[i]; e.Number != pinned.Number || e.FromSize != pinned.FromSize || !e.Public.Equal(pinned.Public) {
			v.fail(ByKeys, fileKeys, fmt.Errorf("epoch %d is not the pinned one", e.Number))
		}
	}
	return true
}

// maker checks who signed the manifest, if anybody did.
func (v *verifier) maker() {
	if v.archive[fileNote] == nil {
		return
	}
	text, err := v.read(fileNote)
	if err == nil {
		err = v.openNote(text)
	}
	if err != nil {
		v.fail(ByManifest, fileNote, err)
		return
	}
	v.report.Maker = true
}

// openNote accepts a signature by any key the log ever had: the one in force
// when the checkpoint was signed may be retired.
func (v *verifier) openNote(text []byte) error {
	var known []note.Verifier
	for _, e := range v.keys.Epochs {
		k, err := logVerifier(v.keys.Origin, e.Public)
		if err != nil {
			return err
		}
		known = append(known, k)
	}
	n, err := note.Open(text, note.VerifierList(known...))
	if err != nil {
		return fmt.Errorf("no key of the log signed it: %w", err)
	}
	if n.Text != noteText(v.checkpoint.Origin, v.checkpoint.Size, v.text) {
		return errors.New("it is signed for another manifest")
	}
	again, err := note.Sign(&note.Note{Text: n.Text, Sigs: n.Sigs, UnverifiedSigs: n.UnverifiedSigs})
	if err == nil && string(again) != string(text) {
		err = errors.New("it is not in its one spelling")
	}
	return err
}

func (v *verifier) witnesses() {
	var policy merkle.Policy
	if v.archive[filePolicy] != nil {
		text, err := v.read(filePolicy)
		if err == nil {
			policy, err = merkle.ParsePolicy(string(text))
		}
		if err != nil {
			v.fail(ByFormat, filePolicy, err)
			return
		}
	}
	if v.options.Policy != nil {
		policy = *v.options.Policy
	}
	if policy.Empty() {
		return
	}
	var err error
	if v.report.Cosigned, err = policy.Cosigned(v.signed); err != nil {
		v.fail(ByWitness, fileCheckpoint, err)
	} else if !policy.Satisfied(v.signed) {
		v.fail(ByWitness, fileCheckpoint, errors.New("the cosignatures do not make the quorum of the policy"))
	}
}

func (v *verifier) stamps() {
	if v.options.Stamp == nil {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(v.archive)) {
		if !strings.HasPrefix(name, "timestamps/") {
			continue
		}
		token, err := v.read(name)
		var at time.Time
		if err == nil {
			at, err = v.options.Stamp(token, merkle.AsLogSigned(v.signed, v.keys.Origin))
		}
		if err != nil {
			v.fail(ByStamp, name, err)
			continue
		}
		v.report.Stamps = append(v.report.Stamps, at)
	}
}

// cut is a text for a message, cut so that a forged one floods nobody.
func cut(b []byte) string {
	if len(b) > 80 {
		b = b[:80]
	}
	return strconv.Quote(string(b))
}
