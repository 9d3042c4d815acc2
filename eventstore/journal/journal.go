// Package journal is the imperative shell around the rules: it loads a stream's
// state, gathers the evidence a command needs, lets domain.Decide judge, and
// appends what was decided.
//
// It owns what the rules may not touch: the clock, keys, codes, signatures,
// randomness and I/O. It must not judge: every refusal comes from domain. One
// command appends to one stream, all or nothing; commands on one stream are
// taken one after the other, and a writer in another process is met by the
// expected revision. Most readers want Execute and User.
package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
	"github.com/authledger/authledger/eventstore/keyring"
)

// ErrBusy means that other writers kept changing the stream. Nothing was
// written; the same request may be sent again.
var ErrBusy = errors.New("stream is busy")

// Keyring is what the journal needs of *keyring.Keyring.
type Keyring interface {
	CurrentKid(ctx context.Context) (string, error)
	Digits(ctx context.Context, kid, purpose, subject string, seq, n int) (string, error)
	Challenge(ctx context.Context, kid, purpose, subject string, seq int) (string, error)
	Activation(ctx context.Context, kid, purpose, subject string, seq int) (string, error)
	PutSecret(ctx context.Context, subject, id string, secret []byte) error
	Secret(ctx context.Context, subject, id string) (keyring.Secret, error)
	Open(ctx context.Context, subject string, eventID uuid.UUID, field, sealed string) ([]byte, error)
	KeyID(ctx context.Context, subject string) (string, error)
}

// Config says what a journal works with. Store, Codec, Keyring, Policy and
// Clock are required. A Store that is eventstore.Shared is one that other
// processes append to, too; whatever wraps one must say so as well, or the journal
// takes its states in memory for the log.
type Config struct {
	Store   eventstore.Store
	Codec   *codec.Codec
	Keyring Keyring
	Policy  *domain.Policy // what is built into the program; the log's rule book comes on top
	Clock   func() time.Time
	// SMSCounter counts the messages to a number in the last hour, over all
	// users (D-11). It is a soft limit: without a counter, or when it fails,
	// only the per-phone cooldown holds.
	SMSCounter func(ctx context.Context, number string) (int, error)
	// CacheSize is how many idle streams are kept folded; 0 means 50,000.
	CacheSize int
	Logger    *slog.Logger // nil discards
}

// Journal executes commands and reads current states. It is safe for
// concurrent use and starts no goroutines.
type Journal struct {
	store   eventstore.Store
	shared  bool // other processes append, too
	codec   *codec.Codec
	keys    Keyring
	rules   rules
	clock   func() time.Time
	counter func(ctx context.Context, number string) (int, error)
	log     *slog.Logger
	slots   *slots
	sole    sole // in a shared store
	watches watches
}

const (
	defaultCacheSize = 50_000
	maxAttempts      = 4 // one decision and three after conflicts
	// appendTimeout bounds an append that its caller stopped waiting for, and
	// readBackTimeout the question what became of it.
	appendTimeout   = 10 * time.Second
	readBackTimeout = 5 * time.Second
)

// New returns a journal over an open store. The journal closes nothing.
func New(c Config) (*Journal, error) {
	if c.Store == nil || c.Codec == nil || c.Keyring == nil || c.Policy == nil || c.Clock == nil {
		return nil, errors.New("open journal: store, codec, keyring, policy and clock are required")
	}
	if c.CacheSize == 0 {
		c.CacheSize = defaultCacheSize
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	s, err := newSlots(c.CacheSize)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	j := &Journal{
		store: c.Store, shared: eventstore.IsShared(c.Store), codec: c.Codec, keys: c.Keyring, clock: c.Clock,
		counter: c.SMSCounter, log: c.Logger, slots: s,
	}
	if err := j.openRules(c.Policy); err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	return j, nil
}

// Now is the journal's time: UTC, whole microseconds.
func (j *Journal) Now() time.Time { return j.clock().UTC().Truncate(time.Microsecond) }

// nowOn is the time on a stream. Where other processes append, their clocks
// stand apart from this one's, and what one of them did just now may be later
// than it is here; the rules assume that time never goes back along a stream, so
// it is held at the stream's newest. The caller may read the slot's state.
//
// In a store of one process it is the journal's time, also when that was set
// back: whoever sets the clock wants it.
func (j *Journal) nowOn(s *slot) time.Time {
	now := j.Now()
	if j.shared && now.Before(s.newest) {
		return s.newest
	}
	return now
}

// Request is a command and where it came from. The same CommandID always gives
// the outcome of its first execution (I-1).
type Request struct {
	Command       domain.Command
	CommandID     uuid.UUID
	Actor         domain.Actor
	Source        domain.Source
	CorrelationID string
	CausationID   string
	RequestID     string
}

// Outcome is what a command led to. Without events nothing was changed and
// nothing recorded, and Position is zero.
type Outcome struct {
	Events   []Recorded
	Position eventstore.Position // of the last event; for consistency tokens
	Replayed bool                // an earlier execution of the same command id did it, or in a shared store may have
}

// Recorded is an event as it stands in the log; personal data is sealed.
type Recorded struct {
	ID         eventstore.EventID
	Type       string
	Event      domain.Event
	Revision   eventstore.Revision
	OccurredAt time.Time
	RecordedAt time.Time
}

// execution is one request on its way.
type execution struct {
	Request
	stream string
	digest string
}

// Execute decides a command and makes its events durable.
//
// A *domain.Error says why nothing was recorded; IDEMPOTENCY_CONFLICT when the
// command id was used for something else. ErrBusy and
// eventstore.ErrUnavailable may be tried again with the same command id, and
// so may eventstore.ErrOutcomeUnknown: if the events became durable after all,
// the repeat returns them. A context that ends before the append is honoured;
// after it, the outcome is awaited. A first execution that changed nothing
// leaves no trace, so a repeat of it is decided anew.
func (j *Journal) Execute(ctx context.Context, r Request) (Outcome, error) {
	x, err := newExecution(r)
	if err != nil {
		return Outcome{}, err
	}
	if j.shared {
		leave, err := j.sole.enter(ctx, x.CommandID)
		if err != nil {
			return Outcome{}, err
		}
		defer leave()
	}
	s := j.slots.acquire(x.stream)
	defer j.slots.release(s)
	if err := s.enter(ctx); err != nil {
		return Outcome{}, fmt.Errorf("wait for %s: %w", x.stream, err)
	}
	defer s.leave()
	if err := j.ready(ctx, s); err != nil {
		return Outcome{}, err
	}
	return j.execute(ctx, s, x)
}

// execute attempts until the state was the newest. The caller holds the turn.
func (j *Journal) execute(ctx context.Context, s *slot, x execution) (Outcome, error) {
	for range maxAttempts {
		out, err := j.attempt(ctx, s, x)
		switch {
		case errors.Is(err, errMoved):
			continue
		case !errors.Is(err, eventstore.ErrConflict):
			return out, err
		}
		if _, err := j.catchUp(ctx, s); err != nil {
			return Outcome{}, err
		}
	}
	return Outcome{}, fmt.Errorf("execute %s on %s: %w", x.Command.Name(), x.stream, ErrBusy)
}

func newExecution(r Request) (execution, error) {
	if r.Command == nil || r.CommandID == uuid.Nil {
		return execution{}, errors.New("execute: a command and a command id are required")
	}
	digest, err := fingerprint(r.Command)
	if err != nil {
		return execution{}, err
	}
	x := execution{Request: r, stream: r.Command.Stream(), digest: digest}
	if !wellFormed(x.stream) {
		return execution{}, malformedID()
	}
	return x, nil
}

// attempt gathers, decides and appends once. eventstore.ErrConflict means that
// the state was not the newest, errMoved that it was not and is now.
func (j *Journal) attempt(ctx context.Context, s *slot, x execution) (Outcome, error) {
	policy, err := j.ruling(ctx)
	if err != nil {
		return Outcome{}, err
	}
	now := j.nowOn(s)
	g := gathering{j: j, slot: s, now: now, policy: policy, facts: domain.Facts{Actor: x.Actor}}
	events, refused, err := g.decide(ctx, x.Command)
	if err != nil {
		return Outcome{}, fmt.Errorf("gather evidence for %s on %s: %w", x.Command.Name(), x.stream, err)
	}
	if refused != nil || len(events) == 0 {
		return j.unrecorded(ctx, s, x, refused)
	}
	if out, done, err := j.before(ctx, s, x, events); done || err != nil {
		return out, err
	}
	proposed, events, err := j.encode(ctx, x, events, now, g.policy.Version)
	if err != nil {
		return Outcome{}, err
	}
	if err := g.provision(ctx, proposed, events); err != nil {
		return Outcome{}, err
	}
	if err := ctx.Err(); err != nil {
		return Outcome{}, fmt.Errorf("execute %s on %s: %w", x.Command.Name(), x.stream, err)
	}
	return j.append(ctx, s, x, proposed, events, now)
}

// decide lets the rules judge. refused is their error; err means that they
// could not be asked.
func (g *gathering) decide(ctx context.Context, c domain.Command) (events []domain.Event, refused, err error) {
	defer g.release()
	command, err := g.gather(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	events, refused = domain.Decide(g.slot.state, command, g.facts, g.now, g.policy)
	return events, refused, nil
}

// encode seals and encodes the events. The events it returns are the ones
// stored: those the state must record and callers may see.
func (j *Journal) encode(ctx context.Context, x execution, events []domain.Event, now time.Time, policyVersion uint64) ([]eventstore.Proposed, []domain.Event, error) {
	m := codec.Metadata{
		CommandID: x.CommandID, Command: x.Command.Name(), Digest: x.digest, Count: len(events), OccurredAt: now,
		CorrelationID: x.CorrelationID, CausationID: x.CausationID, Actor: x.Actor, Source: x.Source,
		PolicyVersion: policyVersion, RequestID: x.RequestID,
	}
	proposed := make([]eventstore.Proposed, len(events))
	stored := make([]domain.Event, len(events))
	for i, e := range events {
		var err error
		id := eventstore.EventIDOf(x.CommandID, i)
		if stored[i], err = j.codec.Seal(ctx, x.stream, id, e); err != nil {
			return nil, nil, err
		}
		m.Ordinal = i
		proposed[i], err = j.codec.Encode(ctx, x.stream, id, stored[i], m)
		if gone(err) {
			// Only the address it came from was left to be sealed. A late report
			// about somebody who was forgotten is recorded without it.
			m.Source.IP = domain.Personal{}
			proposed[i], err = j.codec.Encode(ctx, x.stream, id, stored[i], m)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return proposed, stored, nil
}

// append makes the events durable and brings the state along. Once the store
// has them the caller's context no longer matters: giving up half way would
// only turn an answer into a question.
func (j *Journal) append(ctx context.Context, s *slot, x execution, proposed []eventstore.Proposed, events []domain.Event, now time.Time) (Outcome, error) {
	detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), appendTimeout)
	defer cancel()
	appended, err := j.store.Append(detached, x.stream, s.last, proposed)
	switch {
	case err == nil && !appended.Repeated:
		return j.accept(s, proposed, events, appended, now), nil
	case err == nil || errors.Is(err, eventstore.ErrDuplicateID):
		// An earlier execution stands in the log, perhaps with other events
		// than those decided now. The state may be behind it.
		if _, err := j.catchUp(detached, s); err != nil {
			return Outcome{}, err
		}
		return j.first(detached, x)
	case errors.Is(err, eventstore.ErrOutcomeUnknown):
		return j.settle(ctx, s, x, now, err)
	}
	return Outcome{}, fmt.Errorf("execute %s: %w", x.Command.Name(), err)
}

func (j *Journal) accept(s *slot, proposed []eventstore.Proposed, events []domain.Event, appended eventstore.Appended, now time.Time) Outcome {
	out := Outcome{Events: make([]Recorded, len(events)), Position: appended.Position}
	s.mu.Lock()
	for i, e := range events {
		stamp := appended.Records[i]
		s.apply(proposed[i].ID, e, now)
		s.seen(now, stamp.RecordedAt)
		s.last = eventstore.At(stamp.Revision, stamp.Leaf)
		out.Events[i] = Recorded{
			ID: proposed[i].ID, Type: proposed[i].Type, Event: e, Revision: stamp.Revision,
			OccurredAt: now, RecordedAt: stamp.RecordedAt,
		}
	}
	s.doubtful = false // whatever was under way before can no longer land
	s.mu.Unlock()
	j.changed(s)
	return out
}
