package api

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/authledger/authledger/api/gen"
	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/projections"
)

// The rule book: what compliance changes in it, and what readers ask of it.

// PublishRule implements gen.StrictServerInterface, as do all methods here.
func (s *Server) PublishRule(ctx context.Context, r gen.PublishRuleRequestObject) (gen.PublishRuleResponseObject, error) {
	if err := checkCountries(country{"/cc", r.Body.Cc}); err != nil {
		return nil, err
	}
	b := r.Body
	a, err := s.act(ctx, domain.PublishRule{Rule: domain.RuleRow{
		ID: b.RuleId, Version: max(1, b.Version), CC: b.Cc, Zone: b.Tz, Status: string(b.Status), Effects: ruleEffects(b.Effects),
		LegalBasis: b.LegalBasis, IssuedOn: b.IssuedOn, EffectiveFrom: b.EffectiveFrom, EffectiveTo: b.EffectiveTo,
		Tests: texts(b.Tests), BasisOfDate: b.BasisOfDate,
	}}, "")
	return gen.PublishRule200JSONResponse{ActionJSONResponse: a}, err
}

func (s *Server) AmendRule(ctx context.Context, r gen.AmendRuleRequestObject) (gen.AmendRuleResponseObject, error) {
	b := r.Body
	a, err := s.act(ctx, domain.AmendRule{Rule: domain.RuleRow{
		ID: r.RuleId, Version: b.Version, CC: b.Cc, Zone: b.Tz, Status: string(b.Status), Effects: ruleEffects(b.Effects),
		LegalBasis: b.LegalBasis, IssuedOn: b.IssuedOn, EffectiveFrom: b.EffectiveFrom, EffectiveTo: b.EffectiveTo,
		Tests: texts(b.Tests), BasisOfDate: b.BasisOfDate,
	}}, "")
	return gen.AmendRule200JSONResponse{ActionJSONResponse: a}, err
}

func ruleEffects(in []gen.RuleEffect) []domain.Effect {
	out := make([]domain.Effect, 0, len(in))
	for _, e := range in {
		out = append(out, domain.Effect{Name: e.Effect, Until: e.Until, Values: e.Values, Duration: e.Duration})
	}
	return out
}

func texts[T ~string](in []T) []string {
	out := make([]string, 0, len(in))
	for _, v := range in {
		out = append(out, string(v))
	}
	return out
}

func (s *Server) WithdrawRule(ctx context.Context, r gen.WithdrawRuleRequestObject) (gen.WithdrawRuleResponseObject, error) {
	a, err := s.act(ctx, domain.WithdrawRule{RuleID: r.RuleId, Reason: r.Body.Reason, EffectiveOn: r.Body.EffectiveOn}, "")
	return gen.WithdrawRule200JSONResponse{ActionJSONResponse: a}, err
}

func (s *Server) SetParameter(ctx context.Context, r gen.SetParameterRequestObject) (gen.SetParameterResponseObject, error) {
	a, err := s.act(ctx, domain.SetParameter{
		Parameter: r.Name, Value: r.Body.Value, EffectiveFrom: r.Body.EffectiveFrom, Reason: r.Body.Reason,
	}, "")
	return gen.SetParameter200JSONResponse{ActionJSONResponse: a}, err
}

// moments are the two axes of a question about the rules; now where the caller
// gave none. What is to enter the ledger cannot be known.
func (s *Server) moments(asOf, knownAt time.Time) (as, known time.Time, err error) {
	now := s.journal.Now()
	if knownAt.After(now) {
		return as, known, faultAt("knownAt", "future", "nothing is known yet of what will enter the ledger")
	}
	as, known = now, now
	if !asOf.IsZero() {
		as = asOf.UTC()
	}
	if !knownAt.IsZero() {
		known = knownAt.UTC()
	}
	return as, known, nil
}

func (s *Server) ListRules(ctx context.Context, r gen.ListRulesRequestObject) (gen.ListRulesResponseObject, error) {
	asOf, knownAt, err := s.moments(r.Params.AsOf, r.Params.KnownAt)
	if err != nil {
		return nil, err
	}
	if err := s.readLog(ctx); err != nil {
		return nil, err
	}
	p, err := s.journal.PolicyKnownAt(ctx, knownAt)
	if err != nil {
		return nil, err
	}
	list := gen.RuleList{AsOf: asOf, KnownAt: knownAt, PolicyVersion: int64(p.Version), Items: []gen.Rule{}}
	for _, rule := range p.InForce(asOf) {
		list.Items = append(list.Items, ruleAnswer(rule))
	}
	if err := s.recordRead(ctx, "listRules", r.Params.Purpose, len(list.Items)); err != nil {
		return nil, err
	}
	return gen.ListRules200JSONResponse(list), nil
}

func ruleAnswer(r domain.Rule) gen.Rule {
	out := gen.Rule{
		RuleId: r.ID, Version: r.Version, Cc: r.CC, Tz: r.Zone, Status: gen.RuleStatus(r.Status), Effects: []gen.RuleEffect{},
		LegalBasis: r.LegalBasis, IssuedOn: r.IssuedOn, EffectiveFrom: r.EffectiveFrom, EffectiveTo: r.EffectiveTo,
		Tests: texts(r.Tests), BasisOfDate: r.BasisOfDate, KnownSince: r.KnownSince,
	}
	for _, e := range r.Effects {
		out.Effects = append(out.Effects, gen.RuleEffect{Effect: e.Name, Until: e.Until, Values: e.Values, Duration: e.Duration})
	}
	return out
}

func (s *Server) ListParameters(ctx context.Context, r gen.ListParametersRequestObject) (gen.ListParametersResponseObject, error) {
	asOf, knownAt, err := s.moments(r.Params.AsOf, r.Params.KnownAt)
	if err != nil {
		return nil, err
	}
	if err := s.readLog(ctx); err != nil {
		return nil, err
	}
	p, err := s.journal.PolicyKnownAt(ctx, knownAt)
	if err != nil {
		return nil, err
	}
	list := gen.ParameterList{AsOf: asOf, KnownAt: knownAt, PolicyVersion: int64(p.Version), Items: inEffect(p, asOf)}
	if err := s.recordRead(ctx, "listParameters", r.Params.Purpose, len(list.Items)); err != nil {
		return nil, err
	}
	return gen.ListParameters200JSONResponse(list), nil
}

// inEffect picks the row of each parameter that Policy.Int would take: the
// last one whose time has come, and the first before that.
func inEffect(p *domain.Policy, at time.Time) []gen.Parameter {
	items := []gen.Parameter{}
	for _, row := range p.Parameters() { // by name, then in order
		begun := !p.Start(row.EffectiveFrom, "").After(at)
		ended := row.EffectiveTo != "" && !at.Before(p.Start(row.EffectiveTo, ""))
		last := len(items) - 1
		switch {
		case last < 0 || items[last].Name != row.Name:
			items = append(items, parameterAnswer(row))
		case begun && !ended:
			items[last] = parameterAnswer(row)
		}
	}
	return items
}

func parameterAnswer(row domain.Parameter) gen.Parameter {
	return gen.Parameter{
		Name: row.Name, Value: row.Value, Unit: row.Unit, EffectiveFrom: row.EffectiveFrom, EffectiveTo: row.EffectiveTo,
		Source: row.Source, Confidence: row.Confidence, KnownSince: row.KnownSince,
	}
}

func (s *Server) GetUserDecision(ctx context.Context, r gen.GetUserDecisionRequestObject) (gen.GetUserDecisionResponseObject, error) {
	asOf, knownAt, err := s.moments(r.Params.AsOf, r.Params.KnownAt)
	if err != nil {
		return nil, err
	}
	if err := s.readLog(ctx); err != nil {
		return nil, err
	}
	if err := s.journal.User(ctx, r.UserId, func(*domain.User, time.Time) error { return nil }); err != nil {
		return nil, err
	}
	p, err := s.journal.PolicyKnownAt(ctx, knownAt)
	if err != nil {
		return nil, err
	}
	d, err := s.decide(ctx, r.UserId, asOf, knownAt, p)
	if err != nil {
		return nil, err
	}
	if err := s.recordRead(ctx, "getUserDecision", r.Params.Purpose, 1); err != nil {
		return nil, err
	}
	return gen.GetUserDecision200JSONResponse{
		UserId: r.UserId, AsOf: asOf, KnownAt: knownAt, Basis: basis(d, p), ProposedRuleIds: d.ProposedIDs, Facts: decisionFacts(d.Facts),
	}, nil
}

// decide evaluates the rules for a user; it says not_evaluated about one who
// was not registered by then.
func (s *Server) decide(ctx context.Context, userID string, asOf, knownAt time.Time, p *domain.Policy) (d domain.Decision, err error) {
	if s.decision != nil {
		d, err = s.decision(ctx, userID, asOf, knownAt)
	} else {
		d, err = s.journal.Decision(ctx, userID, asOf, p)
	}
	if d.Outcome == "" {
		d = domain.Decision{Outcome: string(gen.NotEvaluated), MatchedRuleIDs: []string{}, PolicyVersion: p.Version, AsOf: asOf}
	}
	return d, err
}

func decisionFacts(f domain.DecisionFacts) gen.DecisionFacts {
	return gen.DecisionFacts{
		Residence: f.Residence, ClientKind: string(f.ClientKind), CarryingCountry: f.CarryingCC, Domicile: f.Domicile,
		HolderResidences: texts(f.HolderResidences), AccessibleCarryingCountries: texts(f.AccessibleCarryingCCs),
	}
}

// GetRuleImpact decides every opt-out in force again, with and without a
// proposed rule. The work grows with the number of opt-outs in force.
func (s *Server) GetRuleImpact(ctx context.Context, r gen.GetRuleImpactRequestObject) (gen.GetRuleImpactResponseObject, error) {
	if err := s.readViews(ctx, r.Params.AuthledgerMinPosition); err != nil {
		return nil, err
	}
	now, err := s.journal.PolicyKnownAt(ctx, time.Time{})
	if err != nil {
		return nil, err
	}
	proposed, err := now.WithProposed(r.Params.RuleId)
	if err != nil {
		return nil, err
	}
	asOf := r.Params.AsOf.UTC()
	if r.Params.AsOf.IsZero() {
		asOf = s.journal.Now()
		if rule, ok := now.Rule(r.Params.RuleId); ok {
			if from := now.Start(rule.EffectiveFrom, rule.CC); from.After(asOf) {
				asOf = from
			}
		}
	}
	out, err := s.views.OptedOut(ctx, s.journal.Now())
	if err != nil {
		return nil, queryProblem(err)
	}
	a := gen.RuleImpact{
		RuleId: r.Params.RuleId, AsOf: asOf, PolicyVersion: int64(now.Version), OptedOut: len(out), Totals: []gen.ImpactTotal{}, Items: []gen.ImpactItem{},
	}
	i := impact{s: s, before: now, after: proposed, at: asOf, limit: r.Params.Limit, totals: map[string]int{}, answer: &a}
	for _, o := range out {
		if err := i.add(ctx, o); err != nil {
			return nil, err
		}
	}
	i.sum()
	if err := s.recordRead(ctx, "getRuleImpact", r.Params.Purpose, len(a.Items)); err != nil {
		return nil, err
	}
	return gen.GetRuleImpact200JSONResponse(a), nil
}

// impact adds up what a proposed rule would change.
type impact struct {
	s             *Server
	before, after *domain.Policy
	at            time.Time
	limit         int
	totals        map[string]int // affected users by residence
	answer        *gen.RuleImpact
}

func (i *impact) add(ctx context.Context, o projections.OptOut) error {
	with, err := i.s.journal.Decision(ctx, o.UserID, i.at, i.after)
	if err != nil {
		return err
	}
	without := i.before.Evaluate(with.Facts, i.at)
	if with.Outcome == without.Outcome && with.DecisiveRuleID == without.DecisiveRuleID {
		return nil
	}
	i.totals[with.Facts.Residence]++
	i.answer.Affected++
	if len(i.answer.Items) < i.limit {
		i.answer.Items = append(i.answer.Items, gen.ImpactItem{
			UserId: o.UserID, OptOutId: o.ID, Outcome: with.Outcome, DecisiveRuleId: with.DecisiveRuleID, Facts: decisionFacts(with.Facts),
		})
	}
	return nil
}

func (i *impact) sum() {
	for residence, users := range i.totals {
		i.answer.Totals = append(i.answer.Totals, gen.ImpactTotal{Residence: residence, Users: users})
	}
	slices.SortFunc(i.answer.Totals, func(a, b gen.ImpactTotal) int { return strings.Compare(a.Residence, b.Residence) })
}
