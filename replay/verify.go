package replay

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/merkle"
)

// ErrUntrue means a log that is not the one that was written and signed. What
// does not fit is in the report.
var ErrUntrue = errors.New("the log does not verify")

// Mechanism is what found that something is not as it was written. The names
// are those of docs/threats.md and of the JSON output; they stay.
type Mechanism string

// Mechanisms of VerifyLog.
const (
	ByFormat      Mechanism = "format"          // a row is no record, or the file cannot be read there
	BySequence    Mechanism = "sequence"        // sequences are dense
	ByRunningHash Mechanism = "running_hash"    // the hash kept beside each record
	ByAnchor      Mechanism = "anchor"          // what was acknowledged, kept in a file of its own
	ByChain       Mechanism = "stream_chain"    // revisions and "prev" of each stream
	ByTime        Mechanism = "time_rule"       // no record is older than what came before it, or than a signed time; see LogCheck.Disorder
	ByID          Mechanism = "event_id"        // ids are unique
	ByTile        Mechanism = "tile"            // the leaf hashes the log's tree was built from
	ByCheckpoint  Mechanism = "checkpoint"      // roots, sizes and times the log signed
	BySignature   Mechanism = "signature"       // the key in force
	ByKeys        Mechanism = "keys"            // epochs, the events that announce them, the auditor's own copy
	ByHeld        Mechanism = "held_checkpoint" // a checkpoint the auditor kept
	ByWitness     Mechanism = "witness"         // cosignatures by others
	ByStamp       Mechanism = "time_stamp"      // RFC 3161
)

// Allowances of the time rule (security.md §6.2). Clocks of one host differ by
// less than the first. A witness answers within the second, or is overdue.
const (
	clockAllowance   = 5 * time.Second
	witnessAllowance = 5 * time.Minute
)

// backlogStep is how many records the sealer takes at most into one checkpoint.
// A backlog is sealed in full steps, all signed when it is worked off.
const backlogStep = 1 << 16

// quietAllowance is the longest time between two checkpoints that is not worth
// a word: one is signed each minute when there is no news.
const quietAllowance = 3 * time.Minute

// Records is the store as VerifyLog reads it. Stored may be called by several
// goroutines at once.
type Records interface {
	// Head returns the newest sequence.
	Head(ctx context.Context) (eventstore.Sequence, eventstore.Position, error)
	// Stored yields what lies after a sequence, up to and with another, in
	// order. Missing records are left out. An error is the last pair; one that
	// wraps eventstore.ErrDamaged speaks of these bytes only.
	Stored(ctx context.Context, after, upto eventstore.Sequence) iter.Seq2[eventstore.Stored, error]
	// Anchored returns what was acknowledged, or eventstore.ErrNotFound when the
	// store keeps neither an anchor nor running hashes. Other errors say why
	// the anchor cannot be relied on.
	Anchored(ctx context.Context) (eventstore.Mark, error)
}

// Plain reads any log as Records: without running hashes and anchor.
func Plain(r eventstore.Reader) Records { return plain{r} }

type plain struct{ eventstore.Reader }

// disorderOf is the disorder of what the records are read from.
func disorderOf(r Records) time.Duration {
	if p, ok := r.(plain); ok {
		return eventstore.DisorderOf(p.Reader)
	}
	return eventstore.DisorderOf(r)
}

func (p plain) Anchored(context.Context) (eventstore.Mark, error) {
	return eventstore.Mark{}, eventstore.ErrNotFound
}

func (p plain) Stored(ctx context.Context, after, upto eventstore.Sequence) iter.Seq2[eventstore.Stored, error] {
	return func(yield func(eventstore.Stored, error) bool) {
		for r, err := range p.ReadAll(ctx, after+1) {
			if err == nil && r.Sequence > upto || !yield(eventstore.Stored{Record: r}, err) {
				return
			}
		}
	}
}

// LogCheck says what to verify and against what. Records, History and Codec are
// required.
type LogCheck struct {
	Records Records
	History merkle.History
	Codec   *codec.Codec // without keys

	// Keys are the auditor's own copy; nil takes the log's word for them.
	Keys *merkle.Keys
	// Held are signed checkpoints the auditor kept.
	Held [][]byte
	// Policy says who must have cosigned; the zero Policy asks for nobody.
	Policy merkle.Policy
	// Stamp checks an RFC 3161 token over a checkpoint as the log signed it and
	// returns its time. nil counts tokens and trusts none.
	Stamp func(signed []byte, s merkle.Stamp) (time.Time, error)

	// Disorder is by how much a record may be older than one that precedes it in
	// the log, in another stream (eventstore.DisorderOf); above
	// eventstore.LateLimit it is that. In a log that has any, what is older than
	// that, or than a checkpoint before it, by at most eventstore.LateLimit is a
	// finding that names the record and no failure. Zero is what Records declares.
	Disorder time.Duration

	// Most limits the failures listed, 20 when zero. All are counted.
	Most int
	// Workers is how many goroutines read and hash, 2 when zero.
	Workers int
	// Progress may be nil. It is called by the goroutine that called VerifyLog.
	Progress func(done, total uint64)
	// Resume is where an interrupted verification stood; nil begins anew.
	Resume *State
}

// Failure is one thing that is not as it was written. Fields that do not apply
// are empty.
type Failure struct {
	Mechanism  Mechanism           `json:"mechanism"`
	Problem    string              `json:"problem"`
	Sequence   eventstore.Sequence `json:"sequence,omitempty"`
	Stream     string              `json:"stream,omitempty"`
	Revision   *uint64             `json:"revision,omitempty"`
	Type       string              `json:"type,omitempty"`
	ID         string              `json:"id,omitempty"`
	Checkpoint uint64              `json:"checkpoint,omitempty"` // revision of the history of checkpoints
}

// LogReport is what a verification came to.
type LogReport struct {
	Records     uint64          `json:"records"` // walked, with those of an interrupted run
	Head        uint64          `json:"head"`    // newest sequence when it began
	Root        eventstore.Hash `json:"-"`
	RootHex     string          `json:"root"`
	Streams     int             `json:"streams"`
	Checkpoints uint64          `json:"checkpoints"` // signatures and roots checked
	Sealed      uint64          `json:"sealed"`      // size of the newest checkpoint
	SignedAt    time.Time       `json:"signed_at"`   // its own time; zero when there is none
	Epochs      int             `json:"key_epochs"`
	KeysPinned  bool            `json:"keys_pinned"`      // checked against the auditor's own
	Held        int             `json:"held_checkpoints"` // of the auditor
	Anchored    uint64          `json:"anchored"`         // sequence the anchor names; zero without one
	Cosigned    uint64          `json:"cosigned"`         // checkpoints with a quorum of the policy
	CosignedTo  uint64          `json:"cosigned_size"`    // size of the newest of them
	Stamps      uint64          `json:"time_stamps"`      // tokens checked
	Unchecked   uint64          `json:"time_stamps_unchecked"`
	StampedBy   string          `json:"time_stamped_by,omitempty"`   // authority of the newest verified one
	StampedAt   time.Time       `json:"time_stamped_at,omitzero"`    // its time
	StampedTo   uint64          `json:"time_stamped_size,omitempty"` // records it covers
	ResumedAt   uint64          `json:"resumed_at,omitempty"`
	Late        uint64          `json:"late_records,omitempty"` // see LogCheck.Disorder; no failures
	Failed      uint64          `json:"failed"`
	Failures    []Failure       `json:"failures"` // the first of them
	Findings    []string        `json:"findings"` // what an auditor may want to ask about
}

// Found reports whether a mechanism found something, among the failures listed.
func (r LogReport) Found(m Mechanism) bool {
	for _, f := range r.Failures {
		if f.Mechanism == m {
			return true
		}
	}
	return false
}

// VerifyLog rebuilds everything from the stored bytes in one pass and compares
// it with what was ever signed, acknowledged and kept. Memory is about 100
// bytes for each stream and 8 for each record, the latter to find an event id
// that stands twice. Failures are in the report and no error; an error means
// that the verification could not be done.
//
// When ctx ends, the error is the context's and state is where the
// verification stood, for Resume. It speaks of the records as they were when
// they were read: what is changed behind an interrupted run is found by a run
// from the beginning.
func VerifyLog(ctx context.Context, c LogCheck) (r LogReport, state *State, err error) {
	w, err := newLogWalk(ctx, c)
	if err != nil {
		return LogReport{}, nil, err
	}
	return w.run(ctx)
}
