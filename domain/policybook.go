package domain

import (
	"fmt"
	"slices"
	"time"
)

// The rule book as a stream (domain.md 6.7, 9): rules are published, amended
// and withdrawn, parameters set, by compliance and by nobody else. Nothing is
// edited: every change makes a new version of the policy, and the version in
// force at any moment can be asked for again (D-74, D-75).

// PublishRule adds a rule that does not exist yet. Its version must be 1.
type PublishRule struct{ Rule RuleRow }

// AmendRule replaces what a rule says from the new version's effective date on,
// whatever earlier versions say of the time after it. The version must be the
// next one.
type AmendRule struct{ Rule RuleRow }

// WithdrawRule ends a rule from a date on. It changes nothing when the rule ends
// by then anyway.
type WithdrawRule struct {
	RuleID      string
	Reason      string
	EffectiveOn string // ISO 8601 date in the rule's zone
}

// SetParameter gives a parameter another value from a date on.
type SetParameter struct {
	Parameter     string
	Value         int64
	EffectiveFrom string // ISO 8601 date, UTC
	Reason        string
}

// PolicyRulePublished records a rule.
type PolicyRulePublished struct{ RuleRow }

// PolicyRuleAmended records its next version, which closes the one before.
type PolicyRuleAmended struct{ RuleRow }

// PolicyRuleWithdrawn ends a rule.
type PolicyRuleWithdrawn struct {
	RuleID      string `json:"rule_id"`
	Version     int    `json:"version"` // the version that ends
	Reason      string `json:"reason"`
	EffectiveOn string `json:"effective_on"`
}

// PolicyParameterSet records a value.
type PolicyParameterSet struct {
	Name          string `json:"name"`
	Value         int64  `json:"value"`
	Unit          string `json:"unit"`
	EffectiveFrom string `json:"effective_from"`
	Reason        string `json:"reason"`
}

// PolicyBook is what the stream of the rule book adds up to: the changes, in
// order, on top of what is built into the program.
type PolicyBook struct {
	changes []policyChange
}

// MaxRuleAge is how old a reading of the rule book may be that a decision is
// taken by, where several processes change the rules and decide. It is the house's
// own number (docs/adr/0017): a rule that was acknowledged anywhere is obeyed
// everywhere that much later. The journal keeps it, and who repeats decisions
// allows for it.
const MaxRuleAge = time.Second

type policyChange struct {
	event Event
	at    time.Time
}

// Apply records a change.
func (b *PolicyBook) Apply(e Event, at time.Time) {
	b.changes = append(b.changes, policyChange{event: e, at: at})
}

// Changes is how many changes there were.
func (b *PolicyBook) Changes() int { return len(b.changes) }

// Policy is the base with every change known by a moment; a zero moment means
// all of them. Its version is the base's plus the number of changes.
func (b *PolicyBook) Policy(base *Policy, knownAt time.Time) (*Policy, error) {
	n := 0
	for n < len(b.changes) && (knownAt.IsZero() || !b.changes[n].at.After(knownAt)) {
		n++
	}
	return b.policy(base, n)
}

// Version is the policy of a version, to repeat a decision by; it is an
// UNKNOWN error for one that never was.
func (b *PolicyBook) Version(base *Policy, version uint64) (*Policy, error) {
	if version < base.Version || version > base.Version+uint64(len(b.changes)) {
		return nil, unknown("policy version")
	}
	return b.policy(base, int(version-base.Version))
}

func (b *PolicyBook) policy(base *Policy, n int) (*Policy, error) {
	if n == 0 {
		return base, nil
	}
	rules, parameters := slices.Clone(base.Rules), base.Parameters()
	for _, c := range b.changes[:n] {
		rules, parameters = c.apply(rules, parameters)
	}
	p, err := newPolicy(base.Version+uint64(n), rules, parameters)
	if err != nil {
		return nil, fmt.Errorf("policy of version %d: %w", base.Version+uint64(n), err)
	}
	return p, nil
}

func (c policyChange) apply(rules []Rule, parameters []Parameter) ([]Rule, []Parameter) {
	switch e := c.event.(type) {
	case PolicyRulePublished:
		rules = append(rules, Rule{RuleRow: e.RuleRow, KnownSince: c.at})
	case PolicyRuleAmended:
		closeRule(rules, e.ID, e.EffectiveFrom)
		rules = append(rules, Rule{RuleRow: e.RuleRow, KnownSince: c.at})
	case PolicyRuleWithdrawn:
		closeRule(rules, e.RuleID, e.EffectiveOn)
	case PolicyParameterSet:
		parameters = append(parameters, Parameter{
			Name: e.Name, Value: e.Value, Unit: e.Unit, EffectiveFrom: e.EffectiveFrom, Source: e.Reason, Confidence: "compliance", KnownSince: c.at,
		})
	}
	return rules, parameters
}

// closeRule ends all versions of a rule on a date, unless they end before: a
// back-dated change overtakes more than the newest. A version that ends before
// it begins was never in force.
func closeRule(rules []Rule, id, on string) {
	for i := range rules {
		if r := &rules[i]; r.ID == id && (r.EffectiveTo == "" || on < r.EffectiveTo) {
			r.EffectiveTo = max(on, r.EffectiveFrom)
		}
	}
}

func decidePolicy(b *PolicyBook, c Command, f Facts, now time.Time, p *Policy) ([]Event, error) {
	if f.Actor.Kind != ActorCompliance {
		return nil, &Error{Code: NotAuthorised, Detail: "only compliance changes the rule book"}
	}
	var e Event
	var err error
	switch c := c.(type) {
	case PublishRule:
		e, err = publishRule(c, p)
	case AmendRule:
		e, err = amendRule(c, p)
	case WithdrawRule:
		e, err = withdrawRule(c, p)
	case SetParameter:
		e, err = setParameter(c, p)
	default:
		return nil, fmt.Errorf("command %s does not belong to the rule book", c.Name())
	}
	if e == nil || err != nil {
		return nil, err
	}
	// The proof that the change can be lived with is to make the policy.
	rules, parameters := policyChange{event: e, at: now}.apply(slices.Clone(p.Rules), p.Parameters())
	if _, err := newPolicy(p.Version+1, rules, parameters); err != nil {
		return nil, invalid("rule", "the rule book would not be readable with this change")
	}
	return []Event{e}, nil
}

func publishRule(c PublishRule, p *Policy) (Event, error) {
	if _, ok := p.Rule(c.Rule.ID); ok {
		return nil, &Error{Code: Exists, Field: "ruleId", Detail: "this rule exists; amend it, or give another id"}
	}
	if c.Rule.Version != 1 {
		return nil, invalid("version", "a new rule has version 1")
	}
	if c.Rule.CC == everyCountry {
		return nil, invalid("cc", "the house rule is the one rule for every country; amend it")
	}
	if err := c.Rule.check(); err != nil {
		return nil, err
	}
	if zone := p.zones[c.Rule.CC]; zone != nil && zone.String() != c.Rule.Zone {
		return nil, invalid("tz", "the days of this country begin in "+zone.String()+", by its other rules")
	}
	return PolicyRulePublished{RuleRow: c.Rule}, nil
}

func amendRule(c AmendRule, p *Policy) (Event, error) {
	old, ok := p.Rule(c.Rule.ID)
	if !ok {
		return nil, unknown("rule; publish it first")
	}
	if c.Rule.Version != old.Version+1 {
		return nil, invalid("version", fmt.Sprintf("the newest version is %d; an amendment is version %d", old.Version, old.Version+1))
	}
	if c.Rule.CC != old.CC || c.Rule.Zone != old.Zone {
		return nil, invalid("cc", "country and time zone stay those of the rule; publish another rule for another country")
	}
	if err := c.Rule.check(); err != nil {
		return nil, err
	}
	if next := (&Rule{RuleRow: c.Rule}); old.CC == everyCountry {
		if s, _ := next.strictness(); s == 0 || next.Status != statusActive || next.EffectiveTo != "" {
			return nil, invalid("effects", "the house rule decides wherever no other does: it stays active, without an end, with an effect on opting out")
		}
	}
	return PolicyRuleAmended{RuleRow: c.Rule}, nil
}

func withdrawRule(c WithdrawRule, p *Policy) (Event, error) {
	old, ok := p.Rule(c.RuleID)
	switch {
	case !ok:
		return nil, unknown("rule")
	case old.CC == everyCountry:
		return nil, invalid("ruleId", "the house rule matches everybody and cannot be withdrawn; amend it")
	case c.Reason == "":
		return nil, invalid("reason", "say why the rule is withdrawn")
	}
	if err := checkDate("effectiveOn", c.EffectiveOn); err != nil {
		return nil, err
	}
	if old.EffectiveTo != "" && old.EffectiveTo <= c.EffectiveOn {
		return nil, nil // it ends by then anyway
	}
	return PolicyRuleWithdrawn{RuleID: c.RuleID, Version: old.Version, Reason: c.Reason, EffectiveOn: c.EffectiveOn}, nil
}

// check refuses a row that could not be evaluated, or that says nothing.
func (r RuleRow) check() error {
	if len(r.ID) < 3 || len(r.ID) > 40 {
		return invalid("ruleId", "give an id of 3 to 40 characters such as SG-2FA-1")
	}
	if r.CC != everyCountry {
		if err := checkCC("cc", r.CC); err != nil {
			return err
		}
	}
	if !slices.Contains([]string{statusActive, statusProposed, statusInformative}, r.Status) {
		return invalid("status", "want active, proposed or informative")
	}
	if err := checkDate("effectiveFrom", r.EffectiveFrom); err != nil {
		return err
	}
	if r.EffectiveTo != "" {
		if err := checkDate("effectiveTo", r.EffectiveTo); err != nil {
			return err
		}
		if r.EffectiveTo <= r.EffectiveFrom {
			return invalid("effectiveTo", "a rule ends after it begins")
		}
	}
	if _, _, err := r.period(); err != nil {
		return invalid("tz", "give a time zone of the IANA database such as Asia/Singapore")
	}
	if r.LegalBasis == "" {
		return invalid("legalBasis", "name the law, circular or house rule")
	}
	return r.checkContent()
}

func (r RuleRow) checkContent() error {
	if len(r.Effects) == 0 {
		return invalid("effects", "a rule has at least one effect")
	}
	for _, e := range r.Effects {
		if !slices.Contains(ruleEffects, e.Name) {
			return invalid("effects", "unknown effect; see the rules in force for those there are")
		}
		if e.Name == EffectUntil {
			if err := checkDate("effects", e.Until); err != nil {
				return err
			}
		}
		if e.Name == EffectRetain && yearsOf(e.Duration) < 1 {
			return invalid("effects", "retain takes a duration of 1 to 100 years such as 8y")
		}
	}
	if len(r.Tests) == 0 && r.CC != everyCountry {
		return invalid("tests", "name at least one fact the rule looks at, such as residence")
	}
	for _, t := range r.Tests {
		if !slices.Contains(ruleTests, t) {
			return invalid("tests", "want residence, holder_residence, domicile, carrying_cc or accessible_carrying_cc")
		}
	}
	return nil
}

var (
	ruleEffects = []string{
		EffectDeny, EffectUntil, EffectPermit, EffectTempRecovery, EffectNotify, EffectOTPChannels, EffectSenderPrefix,
		"no_links_in_messages", "every_login", "advise_2fa", EffectRetain, "phishing_resistant_default",
	}
	ruleTests = []string{"residence", "holder_residence", "domicile", "carrying_cc", "accessible_carrying_cc"}
)

// bounds are the least and greatest value of a parameter. Those with a source
// in a standard cannot be loosened beyond it.
type bounds struct{ least, most int64 }

var parameterBounds = map[string]bounds{
	pSMSCooldown: {1, 86400}, pSMSMaxPerHour: {1, 1000}, pSMSLen: {6, 9}, pSMSTTL: {30, 600}, // G-12: 6 digits, 10 minutes
	pActivationLen: {8, 8}, pActivationTTL: {30, 600}, pEnrollmentTTL: {60, 86400}, pChallengeTTL: {30, 600},
	pChallengeLen: {6, 6}, pResponseLen: {8, 8}, pPushTTL: {30, 600}, pPushPerTxn: {1, 10}, pPushPerHour: {1, 100},
	pTxnTTL: {60, 3600}, pMaxAttempts: {1, 10}, pLockThreshold: {1, 100}, pLockWindow: {60, 30 * 86400}, // G-12: at most 100
	pLockDuration: {60, 30 * 86400}, pIDVTTL: {60, 86400}, pPINPolicy: {1, 1000}, pNumberMatching: {0, 1}, pPINMaxWrong: {1, 10},
	pVoiceCooldown: {1, 3600}, pVoicePerTxn: {0, 10}, pVoiceSLA: {1, 3600}, pM2FSMinTWS: {0, 1 << 31}, pEquityThreshold: {0, 1 << 53},
	pDeviceWindow: {1, 365}, pTempTTL: {3600, 30 * 86400}, pTempFull: {0, 30 * 86400}, pInAppTTL: {60, 7 * 86400},
	pOSCCTTL: {3600, 90 * 86400}, pPortalSession: {60, 86400}, pCardCells: {16, 999}, pSCCIssue: {0, 1}, pMigrationTTL: {60, 600},
	pCompletionTTL: {60, 86400}, pSharingReview: {0, 1}, ParameterNotifyLogin: {0, 1},
	// D-30; G-15; SEBI Depositories and Participants Regulations; 17 CFR 240.17a-4.
	pRetention: {7, maxRetention}, pRetentionHK: {7, maxRetention}, pRetentionIN: {8, maxRetention}, pRetentionUS: {6, maxRetention},
}

func setParameter(c SetParameter, p *Policy) (Event, error) {
	rows := p.parameters[c.Parameter]
	if len(rows) == 0 {
		return nil, &Error{Code: Unknown, Field: "name", Detail: "there is no such parameter; list them to see their names"}
	}
	if err := checkDate("effectiveFrom", c.EffectiveFrom); err != nil {
		return nil, err
	}
	limit, limited := parameterBounds[c.Parameter]
	if !limited {
		limit = bounds{0, 1 << 53}
	}
	switch {
	case c.Reason == "":
		return nil, invalid("reason", "say why the value changes")
	case c.Value < limit.least || c.Value > limit.most:
		return nil, invalid("value", fmt.Sprintf("want %d to %d %s", limit.least, limit.most, rows[0].Unit))
	}
	return PolicyParameterSet{Name: c.Parameter, Value: c.Value, Unit: rows[0].Unit, EffectiveFrom: c.EffectiveFrom, Reason: c.Reason}, nil
}
