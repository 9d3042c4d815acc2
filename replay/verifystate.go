package replay

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/authledger/authledger/eventstore"
)

// State is where a verification of a log stands. Write it with MarshalBinary
// and give it to a later VerifyLog. It holds hashes and no personal data; it is
// as trustworthy as the place it is kept in.
type State struct {
	Options  eventstore.Hash // of what is verified against
	Mark     eventstore.Mark // last record, and the running hash there
	LastLeaf eventstore.Hash // its leaf
	TreeSize uint64
	Tree     []eventstore.Hash
	Heads    map[streamKey]head
	IDs      []uint64 // first halves

	Last       time.Time           // newest time of a record
	Signed     time.Time           // newest time of a checkpoint so far
	Whole      time.Time           // newest time of one that left no record of the ledger out
	Behind     bool                // the newest checkpoint may have left some out
	Size       uint64              // largest size of a checkpoint so far
	RotatedAt  eventstore.Sequence // of the newest record that announces a key
	HeldAt     time.Time           // newest time of a checkpoint the auditor holds
	Witnessed  time.Time           // newest time by which a quorum had cosigned
	Covered    time.Time           // time of the newest checkpoint a quorum cosigned
	Silences   int64               // times between two checkpoints that are too long
	SilentFrom time.Time           // the longest of them
	SilentTo   time.Time
	Checkpoint uint64   // revision of the last one checked
	Epoch      uint32   // of its key
	Announced  []uint32 // key epochs the log announced
	Agreed     uint64   // size of the newest signed root that was right
	Differs    bool     // a signed root was not
	Torn       bool     // records are missing, so no tree can be built
	TilesLost  bool     // the tiles end too early
	Report     LogReport
}

func newState() State {
	return State{
		Heads:  map[streamKey]head{},
		Report: LogReport{Failures: []Failure{}, Findings: []string{}},
	}
}

// stand is the state of an interrupted walk.
func (w *logWalk) stand() *State {
	s := w.State
	s.TreeSize, s.Tree = w.tree.Size(), w.tree.State()
	return &s
}

// fingerprint stands for what a log is verified against: a verification goes
// on only against the same.
func (c LogCheck) fingerprint() eventstore.Hash {
	keys, err := json.Marshal(c.Keys)
	if err != nil {
		keys = []byte(err.Error()) // keys that cannot be written cannot be used either
	}
	sum := sha256.New()
	parts := append([][]byte{keys, []byte(c.Policy.Text()), fmt.Append(nil, c.Stamp != nil)}, c.Held...)
	if c.Disorder > 0 {
		parts = append(parts, fmt.Appendf(nil, "disorder %d", c.Disorder))
	}
	for _, part := range parts {
		_, _ = fmt.Fprintf(sum, "%d:%s", len(part), part) // a hash takes everything
	}
	return eventstore.Hash(sum.Sum(nil))
}

// ErrState means a state that cannot be gone on from. Compare with errors.Is.
var ErrState = fmt.Errorf("%w: the state of an interrupted verification", ErrUsage)

// fits refuses a state of another log, or of another question.
func (s *State) fits(ctx context.Context, c LogCheck) error {
	if s.Options != c.fingerprint() {
		return fmt.Errorf("%w was made with other keys, checkpoints or policy; begin anew", ErrState)
	}
	if s.Mark.Sequence == 0 {
		return nil
	}
	for r, err := range c.Records.Stored(ctx, s.Mark.Sequence-1, s.Mark.Sequence) {
		if err != nil {
			return fmt.Errorf("read record @%d: %w", s.Mark.Sequence, err)
		}
		if r.Malformed == "" && r.Leaf() == s.LastLeaf && (r.Running == s.Mark.Running || r.Running == eventstore.Hash{}) {
			return nil
		}
	}
	return fmt.Errorf("%w does not belong to this log as it is now: record @%d is another; begin anew", ErrState, s.Mark.Sequence)
}

const stateMagic = "authledger verification 1\n"

// MarshalBinary writes a line of text, the state, and its SHA-256.
func (s *State) MarshalBinary() ([]byte, error) {
	b := bytes.NewBufferString(stateMagic)
	if err := gob.NewEncoder(b).Encode(plainState(*s)); err != nil {
		return nil, fmt.Errorf("write the state of the verification: %w", err)
	}
	sum := sha256.Sum256(b.Bytes())
	return append(b.Bytes(), sum[:]...), nil
}

// UnmarshalBinary reads what MarshalBinary wrote. Errors wrap ErrState.
func (s *State) UnmarshalBinary(b []byte) error {
	cut := len(b) - sha256.Size
	if cut < 0 || !bytes.HasPrefix(b, []byte(stateMagic)) {
		return fmt.Errorf("%w is not one of this version", ErrState)
	}
	if sum := sha256.Sum256(b[:cut]); !bytes.Equal(sum[:], b[cut:]) {
		return fmt.Errorf("%w is damaged", ErrState)
	}
	var read plainState
	if err := gob.NewDecoder(bytes.NewReader(b[len(stateMagic):cut])).Decode(&read); err != nil {
		return errors.Join(ErrState, err)
	}
	empty := newState() // gob leaves out what is empty
	if read.Heads == nil {
		read.Heads = empty.Heads
	}
	if read.Report.Failures == nil {
		read.Report.Failures = empty.Report.Failures
	}
	if read.Report.Findings == nil {
		read.Report.Findings = empty.Report.Findings
	}
	*s = State(read)
	return nil
}

// plainState is State for gob, without its methods.
type plainState State
