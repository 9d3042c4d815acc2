package replay

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
)

// Check is the result of repeating every decision of a log.
type Check struct {
	Records       int64       `json:"records"`         // walked
	PolicyVersion [2]uint64   `json:"policy_versions"` // the first and the last
	Decisions     []TypeCount `json:"decisions"`       // repeated from their own facts
	Named         []TypeCount `json:"policy_named"`    // events whose policy version was checked (I-3)
	Overtaken     int64       `json:"overtaken"`       // of Named: the rule book changed between decision and record
	Differ        int64       `json:"differ"`          // events with a difference
	First         *Difference `json:"first_difference,omitempty"`
}

// TypeCount counts the events of one type.
type TypeCount struct {
	Type    string `json:"type"`
	Checked int64  `json:"checked"`
	Differ  int64  `json:"differ"`
}

// Difference is an event that does not follow from its facts and the policy it
// names, or that names a policy which was not in force.
type Difference struct {
	Origin
	Stream   string           `json:"stream"`
	Problems []string         `json:"problems"` // what differs, as phrases
	Recorded *domain.Decision `json:"recorded,omitempty"`
	Computed *domain.Decision `json:"computed,omitempty"` // absent when its policy never was
}

// CheckDecisions walks the whole log and repeats every recorded Decision from
// its own facts by the policy version it names, and checks that each event
// that I-3 speaks of names the version in force when it was recorded. In a log
// of several processes the clocks that dated the two may differ by the reader's
// eventstore.DisorderOf, and the rules may be known domain.MaxRuleAge late. It reads what the log says and trusts that the log is
// whole; the chain is another question. A record that cannot be read ends it
// with an error (see StateAt); differences are a result and no error.
func CheckDecisions(ctx context.Context, reader eventstore.Reader, c *codec.Codec, base *domain.Policy) (Check, error) {
	w := checker{book: newRuleBook(base), policies: map[uint64]*domain.Policy{}, decisions: map[string]*TypeCount{}, named: map[string]*TypeCount{}}
	w.lag = lagOf(reader)
	for r, err := range reader.ReadAll(ctx, 1) {
		if err != nil {
			return Check{}, fmt.Errorf("read the log: %w", err)
		}
		d, err := c.Decode(r)
		if err != nil {
			return Check{}, fmt.Errorf("read the log: @%d: %w", r.Sequence, err)
		}
		if err := w.see(d); err != nil {
			return Check{}, fmt.Errorf("check @%d: %w", r.Sequence, err)
		}
	}
	w.out.PolicyVersion = [2]uint64{base.Version, w.book.Newest()}
	w.out.Decisions, w.out.Named = inOrder(w.decisions), inOrder(w.named)
	return w.out, nil
}

// checker walks a log; book holds the changes up to the record it stands at.
type checker struct {
	out       Check
	lag       time.Duration // how long before a decision a change may be dated that it did not know
	book      *RuleBook
	policies  map[uint64]*domain.Policy // made from book, by version
	decisions map[string]*TypeCount
	named     map[string]*TypeCount
}

func (w *checker) see(d codec.Decoded) error {
	w.out.Records++
	diff := Difference{Origin: originOf(d), Stream: d.Record.Stream}
	if namesPolicy(d.Record.Type) {
		problem := w.version(d)
		count(w.named, d.Record.Type, problem != "")
		diff.add(problem)
	}
	if recorded, ok := decisionOf(d.Event); ok {
		problems, err := w.repeat(d, recorded, &diff)
		if err != nil {
			return err
		}
		count(w.decisions, d.Record.Type, len(problems) > 0)
		diff.add(problems...)
	}
	if len(diff.Problems) > 0 {
		w.out.Differ++
		if w.out.First == nil {
			w.out.First = &diff
		}
	}
	if d.Record.Stream == domain.PolicyStream() {
		w.book.add(d)
	}
	return nil
}

func (d *Difference) add(problems ...string) {
	for _, p := range problems {
		if p != "" {
			d.Problems = append(d.Problems, p)
		}
	}
}

// namesPolicy reports whether I-3 speaks of events of a type.
func namesPolicy(name string) bool {
	return slices.ContainsFunc([]string{"Granted", "Denied", "Waived", "Succeeded"}, func(end string) bool { return strings.HasSuffix(name, end) })
}

// lagOf is zero for a log of one process, which knows its own rule book at once.
func lagOf(reader eventstore.Reader) time.Duration {
	disorder := min(eventstore.DisorderOf(reader), eventstore.LateLimit)
	if disorder == 0 {
		return 0
	}
	return disorder + domain.MaxRuleAge
}

// version says what is wrong with the policy version an event names. A version
// whose successor was recorded only after the event was decided, or so shortly
// before that the deciding process need not know, is right: the two crossed.
func (w *checker) version(d codec.Decoded) string {
	named, inForce := d.Meta.PolicyVersion, w.book.Newest()
	switch {
	case named == inForce:
		return ""
	case named > inForce || named < w.book.base.Version:
		return fmt.Sprintf("it names policy version %d, which did not exist when it was recorded; %d was in force", named, inForce)
	}
	successor := w.book.changes[named-w.book.base.Version]
	if successor.record.RecordedAt.After(d.Meta.OccurredAt.Add(-w.lag)) {
		w.out.Overtaken++
		return ""
	}
	return fmt.Sprintf("it names policy version %d, but %d was in force since @%d", named, named+1, successor.record.Sequence)
}

// repeat decides again, and says what differs.
func (w *checker) repeat(d codec.Decoded, recorded domain.Decision, diff *Difference) ([]string, error) {
	diff.Recorded = &recorded
	policy, err := w.policy(recorded.PolicyVersion)
	var unknown *domain.Error
	switch {
	case errors.As(err, &unknown):
		return []string{fmt.Sprintf("its decision names policy version %d, which did not exist when it was recorded", recorded.PolicyVersion)}, nil
	case err != nil:
		return nil, err
	}
	computed := policy.Evaluate(recorded.Facts, recorded.AsOf)
	diff.Computed = &computed
	problems := differences(recorded, computed)
	if recorded.PolicyVersion != d.Meta.PolicyVersion {
		problems = append(problems, fmt.Sprintf("its decision names policy version %d and its metadata %d", recorded.PolicyVersion, d.Meta.PolicyVersion))
	}
	return append(problems, consequences(d.Event, computed, policy)...), nil
}

func (w *checker) policy(version uint64) (*domain.Policy, error) {
	if p := w.policies[version]; p != nil {
		return p, nil
	}
	p, err := w.book.Version(version)
	if err == nil {
		w.policies[version] = p
	}
	return p, err
}

// decisionOf is the decision an event records.
func decisionOf(e domain.Event) (d domain.Decision, ok bool) {
	switch e := e.(type) {
	case domain.OptOutGranted:
		return e.Decision, true
	case domain.OptOutDenied:
		return e.Decision, true
	case domain.OptOutRevoked:
		return e.Decision, true
	case domain.SecondFactorWaived:
		return e.Decision, true
	}
	return d, false
}

// differences compares what was decided with what comes out now; what a
// decision stands on is the same in both.
func differences(recorded, computed domain.Decision) []string {
	var out []string
	for _, member := range [...]struct{ name, was, is string }{
		{"outcome", recorded.Outcome, computed.Outcome},
		{"decisive rule", decisive(recorded), decisive(computed)},
		{"matched rules", strings.Join(recorded.MatchedRuleIDs, " "), strings.Join(computed.MatchedRuleIDs, " ")},
		{"proposed rules", strings.Join(recorded.ProposedIDs, " "), strings.Join(computed.ProposedIDs, " ")},
	} {
		if member.was != member.is {
			out = append(out, fmt.Sprintf("%s: recorded %q, computed %q", member.name, member.was, member.is))
		}
	}
	return out
}

func decisive(d domain.Decision) string {
	if d.DecisiveRuleID == "" && d.RuleVersion == 0 {
		return ""
	}
	return ruleVersion(d.DecisiveRuleID, d.RuleVersion)
}

// consequences says where an event does not follow from its decision.
func consequences(e domain.Event, d domain.Decision, p *domain.Policy) []string {
	var out []string
	want := func(holds bool, problem string) {
		if !holds {
			out = append(out, problem)
		}
	}
	permits := d.Outcome == domain.EffectPermit || d.Outcome == domain.EffectUntil
	switch e := e.(type) {
	case domain.OptOutGranted:
		want(permits, "granted, and the rules do not permit it")
		want(reflect.DeepEqual(e.EndsAt, sunset(d, p)), "its end is not the one its rule says")
	case domain.OptOutDenied:
		want((e.Reason == domain.ReasonRegimeMandatory) == (d.Outcome == domain.EffectDeny), "its reason is not what the rules say")
		want((e.Reason == domain.ReasonFactsIncomplete) == (d.Outcome == domain.OutcomeIncomplete), "its reason is not what the facts say")
	case domain.OptOutRevoked:
		want(d.Outcome == domain.EffectDeny, "revoked, and the rules do not deny it")
	case domain.SecondFactorWaived:
		want(permits, "waived, and the rules do not permit it")
		want(slices.Equal(e.RuleIDs, d.MatchedRuleIDs), "its rules are not those of its decision")
	}
	return out
}

// sunset is when an opt-out granted by the decision ends, if its rule says so.
func sunset(d domain.Decision, p *domain.Policy) *time.Time {
	for _, r := range p.Rules {
		if d.Outcome != domain.EffectUntil || r.ID != d.DecisiveRuleID || r.Version != d.RuleVersion {
			continue
		}
		for _, e := range r.Effects {
			if e.Name == domain.EffectUntil {
				end := p.Start(e.Until, r.CC)
				return &end
			}
		}
	}
	return nil
}

func count(in map[string]*TypeCount, name string, differs bool) {
	if in[name] == nil {
		in[name] = &TypeCount{Type: name}
	}
	in[name].Checked++
	if differs {
		in[name].Differ++
	}
}

// inOrder lists counts in the order of the rule book.
func inOrder(in map[string]*TypeCount) []TypeCount {
	out := []TypeCount{}
	for _, t := range codec.Types() {
		if c := in[t.Name]; c != nil {
			out = append(out, *c)
		}
	}
	return out
}
