package replay

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
)

// Verdict is what the rules say of a user's opt-out at a moment, on the facts
// and by the rules known at a point: what should have been decided then, or,
// known later, what would have been decided had it been known.
type Verdict struct {
	UserID   string           `json:"user_id"`
	Point    string           `json:"point"` // as asked
	KnownAt  string           `json:"known_at,omitempty"`
	AsOf     time.Time        `json:"as_of"`
	Known    bool             `json:"known"` // whether the user was registered by then
	Decision *domain.Decision `json:"decision,omitempty"`
	Decisive *Rule            `json:"decisive_rule,omitempty"` // absent when a fact was missing
	Matched  []Rule           `json:"matched_rules"`           // active ones
	Proposed []Rule           `json:"proposed_rules"`          // would have matched; they do not decide
	Facts    []Part           `json:"set_by"`                  // the events behind the facts
}

// DecisionAt repeats the evaluation of the rules for a user at a point. The
// errors of StateAt apply.
func DecisionAt(ctx context.Context, reader eventstore.Reader, c *codec.Codec, base *domain.Policy, userID string, p Point) (Verdict, error) {
	f, err := FoldUser(ctx, reader, c, userID, p)
	if err != nil {
		return Verdict{}, err
	}
	v := Verdict{
		UserID: userID, Point: p.bound.String(), KnownAt: p.known.String(), AsOf: f.At, Known: f.Known, Matched: []Rule{}, Proposed: []Rule{}, Facts: []Part{},
	}
	if !f.Known {
		return v, nil
	}
	book, err := policiesUntil(ctx, reader, c, base, p.knowledge())
	if err != nil {
		return Verdict{}, err
	}
	policy, err := book.Known(p)
	if err != nil {
		return Verdict{}, err
	}
	v.Facts = f.causes.facts()
	clients := map[string]*domain.Client{}
	for _, id := range append([]string{f.User.ClientID}, f.User.AccessibleClients(f.At, policy)...) {
		if clients[id] != nil || !domain.IsID(id, domain.PrefixClient) {
			continue
		}
		client, part, err := foldClient(ctx, reader, c, id, p.knowledge())
		if err != nil {
			return Verdict{}, err
		}
		clients[id], v.Facts = client, append(v.Facts, part)
	}
	d := policy.Evaluate(f.User.Facts(clients, f.At, policy), f.At)
	v.Decision = &d
	v.explain(book, policy, p.knowledge())
	return v, nil
}

// foldClient adds up a client's stream. All its facts are dated, and those of
// its registration held before (D-74), so what is known decides alone.
func foldClient(ctx context.Context, reader eventstore.Reader, c *codec.Codec, id string, known bound) (*domain.Client, Part, error) {
	stream := domain.ClientStream(id)
	client, ok := domain.NewState(stream).(*domain.Client)
	if !ok {
		return nil, Part{}, fmt.Errorf("%w: %s is not a client's stream", ErrUsage, stream)
	}
	part := Part{Name: PartClient, ID: id, Events: []Origin{}}
	for d, err := range history(ctx, reader, c, stream, known) {
		if err != nil {
			return nil, Part{}, err
		}
		client.Apply(d.Event, d.Meta.OccurredAt)
		part.Events = append(part.Events, originOf(d))
	}
	return client, part, nil
}

// explain spells the decision's rules out.
func (v *Verdict) explain(book *RuleBook, policy *domain.Policy, known bound) {
	d := v.Decision
	for _, r := range policy.InForce(v.AsOf) {
		switch rule := book.rule(r, known); {
		case r.Status == "active" && slices.Contains(d.MatchedRuleIDs, r.ID):
			v.Matched = append(v.Matched, rule)
			if r.ID == d.DecisiveRuleID && r.Version == d.RuleVersion {
				v.Decisive = &rule
			}
		case r.Status == "proposed" && slices.Contains(d.ProposedIDs, r.ID):
			v.Proposed = append(v.Proposed, rule)
		}
	}
}
