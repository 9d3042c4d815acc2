package journal

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
)

// rules is the policy decisions are taken by: the base, and on top of it the
// changes of the log's rule book.
type rules struct {
	base    *domain.Policy
	current atomic.Pointer[domain.Policy]
	// confirmed is when the last reading of the rule book began, by the
	// journal's clock, and asking holds one token while somebody reads it because
	// that is too long ago. They matter in a shared store only.
	confirmed atomic.Pointer[time.Time]
	asking    chan struct{}
}

// fresh reports whether the rule book was read within domain.MaxRuleAge. Mostly
// it is much younger, because Notice reads it when a change arrives. A clock that
// goes back makes no reading younger.
func (r *rules) fresh(now time.Time) bool {
	at := r.confirmed.Load()
	return at != nil && now.Sub(*at).Abs() < domain.MaxRuleAge
}

// advance takes over a policy unless a newer one was taken over meanwhile.
func (r *rules) advance(p *domain.Policy) {
	for {
		last := r.current.Load()
		if last.Version >= p.Version || r.current.CompareAndSwap(last, p) {
			return
		}
	}
}

// openTimeout bounds the reading of the rule book at the start.
const openTimeout = 30 * time.Second

// openRules reads the rule book.
func (j *Journal) openRules(base *domain.Policy) error {
	j.rules.base, j.rules.asking = base, make(chan struct{}, 1)
	j.rules.current.Store(base)
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	_, err := j.PolicyKnownAt(ctx, time.Time{})
	return err
}

// Policy is the policy decisions are taken by now. It is immutable; ask again
// for each decision. Of changes that other processes made it has what Notice was
// told of or a decision has read; PolicyKnownAt has all.
func (j *Journal) Policy() *domain.Policy { return j.rules.current.Load() }

// ruling is the policy for a decision: that of a rule book read at most
// domain.MaxRuleAge ago. When it cannot be read nothing is decided.
func (j *Journal) ruling(ctx context.Context) (*domain.Policy, error) {
	if !j.shared || j.rules.fresh(j.clock()) {
		return j.Policy(), nil
	}
	// Whoever has the token waits for the store only, never for a turn, so it may
	// be waited for while holding one.
	select {
	case j.rules.asking <- struct{}{}:
		defer func() { <-j.rules.asking }()
	case <-ctx.Done():
		return nil, fmt.Errorf("read the rule book: %w", ctx.Err())
	}
	if !j.rules.fresh(j.clock()) {
		if _, err := j.PolicyKnownAt(ctx, time.Time{}); err != nil {
			return nil, err
		}
	}
	return j.Policy(), nil
}

// PolicyAt is Policy for those who follow the log: it includes the rule book's
// record at least, like UserAt.
func (j *Journal) PolicyAt(ctx context.Context, least eventstore.Revision) (*domain.Policy, error) {
	if err := j.reach(ctx, domain.PolicyStream(), least); err != nil {
		return nil, fmt.Errorf("read the rule book: %w", err)
	}
	if _, err := j.PolicyKnownAt(ctx, time.Time{}); err != nil {
		return nil, err
	}
	return j.Policy(), nil
}

// PolicyKnownAt is the policy with every change recorded by a moment; a zero
// moment means all of them.
func (j *Journal) PolicyKnownAt(ctx context.Context, knownAt time.Time) (p *domain.Policy, err error) {
	begun := j.clock()
	err = j.book(ctx, func(b *domain.PolicyBook) error {
		p, err = b.Policy(j.rules.base, knownAt)
		if err == nil && knownAt.IsZero() {
			j.rules.advance(p)
			j.rules.confirmed.Store(&begun)
		}
		return err
	})
	return p, err
}

// PolicyVersion is the policy of a version, to repeat a decision by. It is an
// UNKNOWN error for one that never was.
func (j *Journal) PolicyVersion(ctx context.Context, version uint64) (p *domain.Policy, err error) {
	err = j.book(ctx, func(b *domain.PolicyBook) error {
		p, err = b.Version(j.rules.base, version)
		return err
	})
	return p, err
}

func (j *Journal) book(ctx context.Context, read func(*domain.PolicyBook) error) error {
	s, release, err := j.view(ctx, domain.PolicyStream())
	if err != nil {
		return fmt.Errorf("read the rule book: %w", err)
	}
	defer release()
	return read(s.state.(*domain.PolicyBook)) // by the stream's category
}

// changed tells those who wait for a stream, and takes over what happened to
// the rule book. The caller holds the turn, and not mu.
func (j *Journal) changed(s *slot) {
	j.obey(s)
	j.watches.notify(s.stream)
}

// obey takes over the rule book when the slot is its: whoever decides on a
// state of the book must decide by the policy of that state. The caller holds
// the turn or mu.
func (j *Journal) obey(s *slot) {
	b, ok := s.state.(*domain.PolicyBook)
	if !ok {
		return
	}
	p, err := b.Policy(j.rules.base, time.Time{})
	if err != nil {
		// The rules checked the change before it was recorded, so this is a
		// rule book of another program; the last good one stays in force.
		j.log.Error("the rule book cannot be read; the policy before stays in force", "error", err)
		return
	}
	j.rules.advance(p)
}
