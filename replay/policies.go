package replay

import (
	"context"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
)

// RuleBook is the policy as it was at any point: what is built into the
// program, and on top of it every change the log records (D-75). It is
// immutable.
type RuleBook struct {
	base    *domain.Policy
	book    *domain.PolicyBook
	changes []change // in order; change i made version base + i + 1
}

// change is an event of the rule book's stream.
type change struct {
	record eventstore.Record
	event  domain.Event
	origin Origin
}

// Policies reads the rule book from its stream. base is what is built into the
// program. The errors of the reader, and of StateAt for a stream that cannot
// be read, apply.
func Policies(ctx context.Context, reader eventstore.Reader, c *codec.Codec, base *domain.Policy) (*RuleBook, error) {
	return policiesUntil(ctx, reader, c, base, bound{kind: newest})
}

func policiesUntil(ctx context.Context, reader eventstore.Reader, c *codec.Codec, base *domain.Policy, until bound) (*RuleBook, error) {
	b := newRuleBook(base)
	for d, err := range history(ctx, reader, c, domain.PolicyStream(), until) {
		if err != nil {
			return nil, err
		}
		b.add(d)
	}
	return b, nil
}

func newRuleBook(base *domain.Policy) *RuleBook {
	return &RuleBook{base: base, book: &domain.PolicyBook{}}
}

// add takes the next event of the stream. A change is known since it was
// recorded: what is not in the log yet, nobody knows.
func (b *RuleBook) add(d codec.Decoded) {
	b.book.Apply(d.Event, d.Record.RecordedAt)
	b.changes = append(b.changes, change{record: d.Record, event: d.Event, origin: originOf(d)})
}

// Known is the policy with every change that the point knows of.
func (b *RuleBook) Known(p Point) (*domain.Policy, error) {
	known, n := p.knowledge(), 0
	for n < len(b.changes) && known.reaches(b.changes[n].record) {
		n++
	}
	return b.Version(b.base.Version + uint64(n))
}

// Version is the policy of a version, to repeat a decision by. It is an UNKNOWN
// *domain.Error for one that never was.
func (b *RuleBook) Version(v uint64) (*domain.Policy, error) { return b.book.Version(b.base, v) }

// Newest is the newest version there is.
func (b *RuleBook) Newest() uint64 { return b.base.Version + uint64(len(b.changes)) }

// Rule is one version of a rule as known at a point, with the events that made
// it so.
type Rule struct {
	domain.RuleRow
	KnownSince *time.Time `json:"known_since,omitempty"` // absent: built into the program
	SetBy      []Origin   `json:"set_by,omitempty"`      // its publication or amendment, and what ended it
}

// rule tells where a rule comes from. known is how many changes count.
func (b *RuleBook) rule(r domain.Rule, known bound) Rule {
	out := Rule{RuleRow: r.RuleRow}
	if !r.KnownSince.IsZero() {
		since := r.KnownSince
		out.KnownSince = &since
	}
	for _, c := range b.changes {
		if known.reaches(c.record) && concerns(c.event, r.ID, r.Version) {
			out.SetBy = append(out.SetBy, c.origin)
		}
	}
	return out
}

// concerns reports whether a change made or ended a version of a rule.
func concerns(e domain.Event, id string, version int) bool {
	switch e := e.(type) {
	case domain.PolicyRulePublished:
		return e.ID == id && e.Version == version
	case domain.PolicyRuleAmended:
		return e.ID == id && (e.Version == version || e.Version == version+1)
	case domain.PolicyRuleWithdrawn:
		return e.RuleID == id && e.Version == version
	}
	return false
}

// Rules are the rules in force at a moment, as known at a point.
type Rules struct {
	Point         string    `json:"point"` // as asked
	KnownAt       string    `json:"known_at,omitempty"`
	AsOf          time.Time `json:"as_of"`
	PolicyVersion uint64    `json:"policy_version"`
	Rules         []Rule    `json:"rules"` // of any status, in order of their ids
}

// RulesAt lists the rules in force at a point. The errors of StateAt apply, but
// for ErrNotFound of a user.
func RulesAt(ctx context.Context, reader eventstore.Reader, c *codec.Codec, base *domain.Policy, p Point) (Rules, error) {
	if p.IsZero() {
		return Rules{}, errNoPoint
	}
	book, err := policiesUntil(ctx, reader, c, base, p.knowledge())
	if err != nil {
		return Rules{}, err
	}
	policy, err := book.Known(p)
	if err != nil {
		return Rules{}, err
	}
	at, err := book.moment(ctx, reader, c, p)
	if err != nil {
		return Rules{}, err
	}
	out := Rules{Point: p.bound.String(), KnownAt: p.known.String(), AsOf: at, PolicyVersion: policy.Version, Rules: []Rule{}}
	for _, r := range policy.InForce(at) {
		out.Rules = append(out.Rules, book.rule(r, p.knowledge()))
	}
	return out, nil
}

// PolicyAt is the policy as known at a point, for callers that ask it
// themselves. The errors of RulesAt apply.
func PolicyAt(ctx context.Context, reader eventstore.Reader, c *codec.Codec, base *domain.Policy, p Point) (*domain.Policy, error) {
	if p.IsZero() {
		return nil, errNoPoint
	}
	book, err := policiesUntil(ctx, reader, c, base, p.knowledge())
	if err != nil {
		return nil, err
	}
	return book.Known(p)
}

// moment is when the rules are looked at.
func (b *RuleBook) moment(ctx context.Context, reader eventstore.Reader, c *codec.Codec, p Point) (time.Time, error) {
	switch {
	case p.kind == atSequence:
		return occurrence(ctx, reader, c, p.sequence)
	case p.kind == newest && len(b.changes) > 0:
		if last := b.changes[len(b.changes)-1].record.RecordedAt; last.After(p.time) {
			return last, nil
		}
	}
	return p.time, nil
}
