package sealer

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/keyring"
	"github.com/authledger/authledger/eventstore/merkle"
)

// Keys signs. *keyring.Keyring is one.
type Keys interface {
	NewSigningKey(ctx context.Context) (keyring.SigningKey, error)
	SigningKeys(ctx context.Context) ([]keyring.SigningKey, error)
	Sign(ctx context.Context, epoch uint32, message []byte) ([]byte, error)
	RetireSigningKey(ctx context.Context, epoch uint32) error
}

// Options of Open. Dir, LedgerID, Log, Keys and Clock are required.
type Options struct {
	Dir   string // data directory; holds proof.db
	Store Store  // instead of proof.db; the Sealer closes it
	// Side holds the one history of a log that several nodes seal; proof.db is
	// then this node's copy of it. nil: the history is in proof.db.
	Side     eventstore.Side
	LedgerID string            // the ledger's own random name, part of the default origin
	Origin   string            // name of the log; empty: the one it has, else authledger/<LedgerID>
	Log      eventstore.Reader // ReadAll MUST read what is stored, not what is remembered
	Keys     Keys
	Clock    func() time.Time
	// Rotation recognises the record that announces a signing key. nil means
	// that none does.
	Rotation func(eventstore.Record) (epoch uint32, public ed25519.PublicKey, found bool, err error)
	// Disorder is by how much a record may be older than one that precedes it;
	// zero: what Log declares (eventstore.DisorderOf).
	Disorder time.Duration
	// Rebuild begins a new history of checkpoints for a ledger that has records
	// when the old history is lost. Without it such a start is refused.
	Rebuild bool
	// Step is how many records one checkpoint adds at most; 65,536 when zero. It
	// bounds memory and transactions.
	Step   int
	Logger *slog.Logger // nil discards
}

// Times of sealing.
const (
	// Heartbeat is how long a log without news is left unsigned.
	Heartbeat = time.Minute
	// Tolerance is how much older than the newest checkpoint a new record may
	// be, for those that were being written while it was signed, and how far the
	// clock may be set back before sealing stops (security.md §6.2). In a log with
	// disorder a record that is older than that is late, up to
	// eventstore.LateLimit, and does not stop sealing.
	Tolerance = 5 * time.Second
)

const defaultStep = 1 << 16

// Sealer signs a log. Its methods may be called from any goroutine.
type Sealer struct {
	merkle.History // what was published
	store          Store
	options        Options
	log            *slog.Logger

	shared    *shared       // the store, when other nodes publish, too; else nil
	tolerance time.Duration // Tolerance, and how far the clocks of the nodes may stand apart

	turn     sync.Mutex // one step at a time; guards what follows
	keys     merkle.Keys
	unsure   *attempt // a publication of which it is not known whether it was kept
	retiring bool     // keys that handed over are still to be destroyed
	others   others   // only with shared

	listening atomic.Bool // whether it is told what others publish

	mu        sync.Mutex        // guards everything below
	published head              // changed under turn and mu, so that either is enough to read it
	seen      []eventstore.Hash // leaves seen at append, of the records after the published size
	wanted    uint64            // size of a checkpoint of another node that waits for records; else 0
	since     time.Time         // when the oldest of them was seen
	late      uint64            // records sealed since the start that came late
	stopped   *StopError
	failing   error         // of the last step, when it may pass
	changed   chan struct{} // closed and replaced when published or stopped changes
}

// head is the newest checkpoint.
type head struct {
	revision uint64
	size     uint64
	root     eventstore.Hash
	signedAt time.Time
	recorded time.Time // newest time of any record it covers, of those that were read
	// stood is the newest record that may be older than the signature, because a
	// backlog was being worked off; zero otherwise.
	stood eventstore.Sequence
}

// Open takes the history up where it ended, or begins it: the first start fixes
// the origin, creates the key of epoch 1 and signs the empty log. It verifies
// the newest checkpoint, the right edge of the tree and the newest sealed
// records. Errors that need a person are *StartError. The caller must Close.
func Open(ctx context.Context, o Options) (s *Sealer, err error) {
	if o.Step <= 0 {
		o.Step = defaultStep
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Rotation == nil {
		o.Rotation = func(eventstore.Record) (uint32, ed25519.PublicKey, bool, error) { return 0, nil, false, nil }
	}
	if o.Disorder == 0 {
		o.Disorder = eventstore.DisorderOf(o.Log)
	}
	s = &Sealer{options: o, log: o.Logger, changed: make(chan struct{}), tolerance: Tolerance + o.Disorder}
	defer func() {
		if err != nil {
			err = errors.Join(refuse(ProofIO, err), s.Close())
		}
	}()
	if err := s.openStore(ctx); err != nil {
		return s, err
	}
	if err := s.begin(ctx); err != nil {
		return s, err
	}
	if err := s.load(ctx); err != nil {
		return s, err
	}
	if err := s.retire(ctx); err != nil {
		return s, err
	}
	s.tryAdopt(ctx) // what fails is in Status, and is tried again
	return s, ctx.Err()
}

// openStore opens proof.db unless a store was given. A file without a checkpoint
// beside a ledger with records is what is left of a history that was lost, or of
// one that was being begun anew.
func (s *Sealer) openStore(ctx context.Context) error {
	newest, _, err := s.options.Log.Head(ctx)
	if err != nil {
		return err
	}
	switch {
	case s.options.Store != nil:
		s.setStore(s.options.Store)
	case s.options.Side != nil:
		err = s.openShared(ctx)
	default:
		err = s.openFile(ctx, newest > 0)
	}
	if err != nil {
		return err
	}
	begun, err := s.begun(ctx)
	if err != nil || begun || newest == 0 {
		return err
	}
	if !s.options.Rebuild {
		return refusef(ProofMissing, "the ledger has %d records, but none is sealed; see --rebuild-proof", newest)
	}
	s.log.Warn("the history of checkpoints is lost and begins anew", "records", uint64(newest))
	return nil
}

// begun reports whether a checkpoint was ever published.
func (s *Sealer) begun(ctx context.Context) (bool, error) {
	if s.shared != nil {
		return s.shared.begun(ctx)
	}
	_, err := s.Latest(ctx)
	if errors.Is(err, eventstore.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func (s *Sealer) openShared(ctx context.Context) error {
	kept, err := openShared(ctx, s.options.Dir, s.options.Side)
	if err != nil {
		return err
	}
	s.shared, s.others.went = kept, true
	s.setStore(kept)
	return nil
}

func (s *Sealer) setStore(kept Store) { s.store, s.History = kept, kept }

func (s *Sealer) openFile(ctx context.Context, records bool) error {
	path := filepath.Join(s.options.Dir, proofFile)
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) && records && !s.options.Rebuild {
		return refusef(ProofMissing, "the ledger has records, but there is no %s; see --rebuild-proof", path)
	}
	p, err := openProof(ctx, s.options.Dir, onlyHistory)
	if err != nil {
		return err
	}
	s.setStore(p)
	if !records || !s.options.Rebuild {
		return nil
	}
	if _, err := p.Latest(ctx); !errors.Is(err, eventstore.ErrNotFound) {
		return err
	}
	// What a rebuild that was interrupted left may be of another ledger.
	if err := errors.Join(p.Close(), removeProof(s.options.Dir)); err != nil {
		return err
	}
	if p, err = openProof(ctx, s.options.Dir, onlyHistory); err == nil {
		s.setStore(p)
	}
	return err
}

// begin names the log and its first keys, when nobody has.
func (s *Sealer) begin(ctx context.Context) error {
	kept, err := s.Keys(ctx)
	if errors.Is(err, eventstore.ErrNotFound) {
		kept, err = s.name(ctx)
	}
	if err != nil {
		return err
	}
	if s.options.Origin != "" && s.options.Origin != kept.Origin {
		return refusef(OriginDiffers, "the log is %s and cannot become %s", kept.Origin, s.options.Origin)
	}
	if err := kept.Check(); err != nil {
		return refuse(ProofCorrupt, err)
	}
	s.keys = kept
	return s.checkKeys(ctx)
}

func (s *Sealer) name(ctx context.Context) (merkle.Keys, error) {
	k := merkle.Keys{Origin: s.options.Origin}
	if k.Origin == "" {
		k.Origin = "authledger/" + s.options.LedgerID
	}
	if err := merkle.CheckOrigin(k.Origin); err != nil {
		return k, err
	}
	if s.shared != nil {
		if kept, err := s.otherNames(ctx); !errors.Is(err, eventstore.ErrNotFound) {
			return kept, err
		}
	}
	first, err := s.firstKey(ctx)
	if err != nil {
		return k, err
	}
	k.Epochs = []merkle.Epoch{{Number: first.Epoch, Public: first.Public}}
	// Empty, unless a lost history is begun anew: the keys that signed it are
	// known from the ledger, and all but the newest cannot sign any more.
	for r, err := range s.options.Log.ReadAll(ctx, 1) {
		if err != nil {
			return k, err
		}
		e, err := s.announced(k, r)
		if err != nil {
			return k, err
		}
		if e != nil {
			k.Epochs = append(k.Epochs, *e)
		}
	}
	return s.store.Begin(ctx, k)
}

func (s *Sealer) firstKey(ctx context.Context) (keyring.SigningKey, error) {
	keys, err := s.options.Keys.SigningKeys(ctx)
	if err != nil {
		return keyring.SigningKey{}, err
	}
	if len(keys) > 0 {
		return keys[0], nil
	}
	return s.options.Keys.NewSigningKey(ctx)
}

// checkKeys makes sure that the key in force can sign and is the one that was
// published. Other nodes may have gone on to a later key meanwhile.
func (s *Sealer) checkKeys(ctx context.Context) error {
	keys, err := s.options.Keys.SigningKeys(ctx)
	if err != nil {
		return err
	}
	inForce := s.keys.Epochs[len(s.keys.Epochs)-1]
	for _, k := range keys {
		if k.Epoch == inForce.Number && k.Public.Equal(inForce.Public) && (k.Retired.IsZero() || s.shared != nil) {
			return nil
		}
	}
	return refusef(SigningKeyMissing, "the keyring cannot sign as epoch %d", inForce.Number)
}

// retire destroys the private keys that later ones took over from. A process may
// have ended between the handover and this.
func (s *Sealer) retire(ctx context.Context) error {
	keys, err := s.options.Keys.SigningKeys(ctx)
	if err != nil {
		return err
	}
	inForce := s.keys.Epochs[len(s.keys.Epochs)-1].Number
	for _, k := range keys {
		if k.Epoch < inForce && k.Retired.IsZero() {
			if err := s.options.Keys.RetireSigningKey(ctx, k.Epoch); err != nil {
				return err
			}
			s.log.Info("signing key retired", "epoch", k.Epoch)
		}
	}
	return nil
}

// AddCosignature adds a witness's line, with its newline, to a checkpoint. Adding
// it again changes nothing. It returns eventstore.ErrNotFound for a revision that
// was never published.
func (s *Sealer) AddCosignature(ctx context.Context, revision uint64, line string) error {
	return s.store.AddCosignature(ctx, revision, line)
}

// AddStamp adds an RFC 3161 time stamp to a checkpoint, by the rules of
// AddCosignature.
func (s *Sealer) AddStamp(ctx context.Context, revision uint64, stamp merkle.Stamp) error {
	return s.store.AddStamp(ctx, revision, stamp)
}

// Stamped returns the newest checkpoint that has a time stamp, or
// eventstore.ErrNotFound.
func (s *Sealer) Stamped(ctx context.Context) (merkle.Published, error) { return s.store.Stamped(ctx) }

// Newest returns the newest checkpoint that any node published and a key of the
// log signed. This node may not have checked it yet: what it may show others is
// Latest.
func (s *Sealer) Newest(ctx context.Context) (merkle.Checkpoint, error) {
	s.turn.Lock()
	defer s.turn.Unlock()
	newest := merkle.Checkpoint{Origin: s.keys.Origin, Size: s.published.size, Root: s.published.root}
	if s.shared == nil {
		return newest, nil
	}
	for e, err := range s.shared.behind(ctx, s.published.revision) {
		if err != nil {
			return newest, err
		}
		if err := s.signedByAny(ctx, e); err != nil {
			return newest, err
		}
		newest = e.head
	}
	return newest, nil
}

// Close releases the store. Run and the router must have ended.
func (s *Sealer) Close() error {
	if s.store == nil {
		return nil
	}
	if err := s.store.Close(); err != nil {
		return fmt.Errorf("close sealer: %w", err)
	}
	return nil
}
