package domain

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"sort"
	"time"
	_ "time/tzdata" // rules begin at midnight in their own zone, on every machine alike
)

//go:embed policies/*.json
var policyFiles embed.FS

// Policy is the dated data decisions are taken by: the rules of jurisdictions
// (domain.md 9.2), some of which demand a second factor, and every number
// that may change (D-1), as known at one moment. It is immutable; changes to the
// rule book make another one (PolicyBook).
type Policy struct {
	Version    uint64
	Rules      []Rule // all versions, in the order in which they became known
	parameters map[string][]Parameter
	zones      map[string]*time.Location // by country
}

// Rule is one version of one jurisdiction rule.
type Rule struct {
	RuleRow
	// KnownSince is when this version entered the ledger; zero for one that is
	// built into the program.
	KnownSince time.Time

	from, to time.Time
}

// RuleRow is a row of the rule table (domain.md 9.2), as PolicyRulePublished
// records it.
type RuleRow struct {
	ID            string   `json:"rule_id"`
	Version       int      `json:"version"`
	CC            string   `json:"cc"` // "*" for the house rule
	Zone          string   `json:"tz"`
	Status        string   `json:"status"` // active, proposed, informative
	Effects       []Effect `json:"effects"`
	LegalBasis    string   `json:"legal_basis"`
	IssuedOn      string   `json:"issued_on,omitempty"`
	EffectiveFrom string   `json:"effective_from"`         // ISO 8601 date, from 00:00 in Zone
	EffectiveTo   string   `json:"effective_to,omitempty"` // exclusive
	Tests         []string `json:"tests"`
	BasisOfDate   string   `json:"basis_of_date"`
}

// period is when the row is in force: from midnight to midnight in its zone.
func (r RuleRow) period() (from, to time.Time, err error) {
	zone, err := time.LoadLocation(r.Zone)
	if err != nil {
		return from, to, err
	}
	return period(r.EffectiveFrom, r.EffectiveTo, zone)
}

// everyCountry stands for the country of the house rule, which matches everybody.
const everyCountry = "*"

// Statuses of a rule: active ones decide, proposed ones are reported beside the
// decision, informative ones are only listed.
const (
	statusActive      = "active"
	statusProposed    = "proposed"
	statusInformative = "informative"
)

// Effect is one consequence of a rule.
type Effect struct {
	Name     string   `json:"effect"`
	Until    string   `json:"until,omitempty"`    // opt_out_until: ISO 8601 date
	Values   []string `json:"values,omitempty"`   // topics, channels or characters
	Duration string   `json:"duration,omitempty"` // retain
}

// Effects on an opt-out, strictest first.
const (
	EffectDeny   = "deny_opt_out"
	EffectUntil  = "opt_out_until"
	EffectPermit = "permit_opt_out"
	// EffectTempRecovery narrows temporary passcodes to recovery (D-56).
	EffectTempRecovery = "temp_code_recovery_only"
	// EffectNotify demands notices about the topics in its values.
	EffectNotify = "notify"
	// EffectOTPChannels demands that a login code goes out by every channel in
	// its values.
	EffectOTPChannels = "otp_channels"
	// EffectSenderPrefix demands that a sender's name begins with its value.
	EffectSenderPrefix = "sender_prefix"
	// EffectRetain keeps the records of everybody who ever had to do with the
	// rule's country for its duration, such as "8y".
	EffectRetain = "retain"
	// OutcomeIncomplete is a decision that a mandatory fact, or any rule, was
	// missing for.
	OutcomeIncomplete = "incomplete"
)

// Parameter is one dated value of a number.
type Parameter struct {
	Name          string `json:"name"`
	Value         int64  `json:"value"`
	Unit          string `json:"unit"`
	EffectiveFrom string `json:"effective_from"`
	EffectiveTo   string `json:"effective_to,omitempty"`
	Source        string `json:"source"`
	Confidence    string `json:"confidence"` // seed, public_page, decision

	// KnownSince is when this value entered the ledger; zero for one that is
	// built into the program.
	KnownSince time.Time `json:"-"`

	from, to time.Time
}

type policyFile struct {
	Version    uint64      `json:"policy_version"`
	Rules      []RuleRow   `json:"rules"`
	Parameters []Parameter `json:"parameters"`
}

// LoadPolicy reads the rules and parameters built into the program.
func LoadPolicy() (*Policy, error) {
	sub, err := fs.Sub(policyFiles, "policies")
	if err != nil {
		return nil, err
	}
	return ReadPolicy(sub)
}

// ReadPolicy reads rules.json and parameters.json.
func ReadPolicy(files fs.FS) (*Policy, error) {
	var all policyFile
	for _, name := range []string{"rules.json", "parameters.json"} {
		b, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, fmt.Errorf("read policy: %w", err)
		}
		var one policyFile
		if err := json.Unmarshal(b, &one); err != nil {
			return nil, fmt.Errorf("read policy %s: %w", name, err)
		}
		if one.Version > all.Version {
			all.Version = one.Version
		}
		all.Rules = append(all.Rules, one.Rules...)
		all.Parameters = append(all.Parameters, one.Parameters...)
	}
	rules := make([]Rule, len(all.Rules))
	for i, row := range all.Rules {
		rules[i] = Rule{RuleRow: row}
	}
	return newPolicy(all.Version, rules, all.Parameters)
}

// newPolicy takes rules and parameters; both slices become its own.
func newPolicy(version uint64, rules []Rule, parameters []Parameter) (*Policy, error) {
	p := &Policy{Version: version, Rules: rules, parameters: map[string][]Parameter{}, zones: map[string]*time.Location{}}
	for i := range p.Rules {
		r := &p.Rules[i]
		if r.Status != statusActive && r.Status != statusProposed && r.Status != statusInformative {
			return nil, fmt.Errorf("rule %s: unknown status %q", r.ID, r.Status)
		}
		zone, err := time.LoadLocation(r.Zone)
		if err != nil {
			return nil, fmt.Errorf("rule %s: %w", r.ID, err)
		}
		if r.CC != everyCountry {
			p.zones[r.CC] = zone
		}
		if r.from, r.to, err = period(r.EffectiveFrom, r.EffectiveTo, zone); err != nil {
			return nil, fmt.Errorf("rule %s: %w", r.ID, err)
		}
		for _, e := range r.Effects {
			if e.Name == EffectUntil {
				if _, err := time.ParseInLocation(time.DateOnly, e.Until, zone); err != nil {
					return nil, fmt.Errorf("rule %s: %w", r.ID, err)
				}
			}
		}
	}
	for _, v := range parameters {
		var err error
		if v.from, v.to, err = period(v.EffectiveFrom, v.EffectiveTo, time.UTC); err != nil {
			return nil, fmt.Errorf("parameter %s: %w", v.Name, err)
		}
		p.parameters[v.Name] = append(p.parameters[v.Name], v)
	}
	for _, name := range parameterNames {
		if len(p.parameters[name]) == 0 {
			return nil, fmt.Errorf("parameter %s is missing", name)
		}
	}
	return p, nil
}

func period(from, to string, zone *time.Location) (start, end time.Time, err error) {
	if start, err = time.ParseInLocation(time.DateOnly, from, zone); err != nil {
		return start, end, err
	}
	if to != "" {
		end, err = time.ParseInLocation(time.DateOnly, to, zone)
	}
	return start.UTC(), end.UTC(), err
}

// Names of the parameters decisions use; domain.md section 3.
const (
	pSMSCooldown    = "sms.cooldown_s"
	pSMSMaxPerHour  = "sms.max_per_hour"
	pSMSLen         = "code.sms.len"
	pSMSTTL         = "code.sms.ttl_s"
	pActivationLen  = "code.activation.len"
	pActivationTTL  = "code.activation.ttl_s"
	pEnrollmentTTL  = "enrollment.ttl_s"
	pChallengeTTL   = "challenge.cr.ttl_s"
	pChallengeLen   = "challenge.len"
	pResponseLen    = "response.len"
	pPushTTL        = "challenge.push.ttl_s"
	pPushPerTxn     = "push.max_per_txn"
	pPushPerHour    = "push.max_per_hour"
	pTxnTTL         = "txn.ttl_s"
	pMaxAttempts    = "challenge.max_attempts"
	pLockThreshold  = "lock.threshold"
	pLockWindow     = "lock.window_s"
	pLockDuration   = "lock.duration_s"
	pIDVTTL         = "idv.ttl_s"
	pPINPolicy      = "pin.policy_version"
	pNumberMatching = "push.number_matching"

	pPINMaxWrong     = "pin.max_wrong"
	pVoiceCooldown   = "voice.cooldown_s"
	pVoicePerTxn     = "voice.max_per_txn"
	pVoiceSLA        = "voice.sla_s"
	pM2FSMinTWS      = "m2fs.tws_min_version"
	pEquityThreshold = "dsc_plus.equity_threshold"
	pDeviceWindow    = "device.activation_window_d"
	pTempTTL         = "temp_code.ttl_s"
	pTempFull        = "temp_code.full_s"
	pInAppTTL        = "temp_code.in_app_ttl_s"
	pOSCCTTL         = "oscc.ttl_s"
	pPortalSession   = "portal.session_s"
	pCardCells       = "code_card.cells"
	pSCCIssue        = "scc.issue"
	pMigrationTTL    = "migration.ttl_s"
	pCompletionTTL   = "process.completion_ttl_s"
	pSharingReview   = "sharing.compliance_review"
	pRetention       = "retention.default_y"
	pRetentionHK     = "retention.hk_y"
	pRetentionIN     = "retention.in_y"
	pRetentionUS     = "retention.us_y"

	// ParameterNotifyLogin says whether every login leads to a notice (D-58);
	// where a rule demands one it is sent whatever this says.
	ParameterNotifyLogin = "notify.login"
)

var parameterNames = []string{
	pSMSCooldown, pSMSMaxPerHour, pSMSLen, pSMSTTL, pActivationLen, pActivationTTL, pEnrollmentTTL, pChallengeTTL,
	pChallengeLen, pResponseLen, pPushTTL, pPushPerTxn, pPushPerHour, pTxnTTL, pMaxAttempts, pLockThreshold,
	pLockWindow, pLockDuration, pIDVTTL, pPINPolicy, pNumberMatching, pPINMaxWrong, pVoiceCooldown, pVoicePerTxn, pVoiceSLA,
	pM2FSMinTWS, pEquityThreshold, pDeviceWindow, pTempTTL, pTempFull, pInAppTTL, pOSCCTTL, pPortalSession, pCardCells,
	pSCCIssue, pMigrationTTL, pCompletionTTL, pSharingReview, pRetention, pRetentionHK, pRetentionIN, pRetentionUS,
	ParameterNotifyLogin,
}

// Int is the value of a parameter in effect at a moment. ReadPolicy makes sure
// that every name used here has a value; before its first date the first value
// holds. Of two rows that cover the moment the one that was added later counts.
func (p *Policy) Int(name string, at time.Time) int64 {
	rows := p.parameters[name]
	value := rows[0].Value
	for _, v := range rows {
		if !v.from.After(at) && (v.to.IsZero() || at.Before(v.to)) {
			value = v.Value
		}
	}
	return value
}

// Parameters lists all rows by name, then in order of the file.
func (p *Policy) Parameters() []Parameter {
	var out []Parameter
	for _, rows := range p.parameters {
		out = append(out, rows...)
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// Matching lists the active rules with an effect that are in force at a moment
// and match the facts, in order of their ids.
func (p *Policy) Matching(f DecisionFacts, at time.Time, effect string) []Rule {
	var out []Rule
	for i := range p.Rules {
		r := &p.Rules[i]
		if r.Status == statusActive && r.effect(effect) != nil && r.inForce(at) && r.matches(f) {
			out = append(out, *r)
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].ID < out[j].ID })
	return out
}

// Values are those of an effect of the rule; nil when it has no such effect.
func (r Rule) Values(effect string) []string {
	if e := r.effect(effect); e != nil {
		return e.Values
	}
	return nil
}

// InForce lists the rules in force at a moment, of any status, in order of
// their ids.
func (p *Policy) InForce(at time.Time) []Rule {
	var out []Rule
	for i := range p.Rules {
		if p.Rules[i].inForce(at) {
			out = append(out, p.Rules[i])
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].ID < out[j].ID })
	return out
}

// WithProposed is the policy as it would be if a proposed rule were active; no
// such rule is an UNKNOWN error. It shows what a proposal would change.
func (p *Policy) WithProposed(ruleID string) (*Policy, error) {
	q := *p
	q.Rules = slices.Clone(p.Rules)
	found := false
	for i := range q.Rules {
		if r := &q.Rules[i]; r.ID == ruleID && r.Status == statusProposed {
			r.Status, found = statusActive, true
		}
	}
	if !found {
		return nil, unknown("proposed rule")
	}
	return &q, nil
}

// Rule returns the newest version of a rule.
func (p *Policy) Rule(id string) (Rule, bool) {
	for i := len(p.Rules) - 1; i >= 0; i-- {
		if p.Rules[i].ID == id {
			return p.Rules[i], true
		}
	}
	return Rule{}, false
}

// Start is the moment a date begins for a fact about a country: midnight in
// the zone of that country's rules, in UTC where there are none (D-73). A date
// that does not parse never begins.
func (p *Policy) Start(date, cc string) time.Time {
	zone := p.zones[cc]
	if zone == nil {
		zone = time.UTC
	}
	t, err := time.ParseInLocation(time.DateOnly, date, zone)
	if err != nil {
		return time.Unix(1<<40, 0)
	}
	return t.UTC()
}

// Boundaries lists the moments after since and up to now, in order, at which a
// rule that can deny an opt-out enters into force.
func (p *Policy) Boundaries(since, now time.Time) []time.Time {
	var out []time.Time
	for _, r := range p.Rules {
		if r.Status == statusActive && r.effect(EffectDeny) != nil && r.from.After(since) && !r.from.After(now) {
			out = append(out, r.from)
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Before(out[j]) })
	return out
}

func (r *Rule) inForce(at time.Time) bool {
	return !r.from.After(at) && (r.to.IsZero() || at.Before(r.to))
}

func (r *Rule) effect(name string) *Effect {
	for i := range r.Effects {
		if r.Effects[i].Name == name {
			return &r.Effects[i]
		}
	}
	return nil
}

// matches reports whether any test of the rule holds for the facts (D-71).
func (r *Rule) matches(f DecisionFacts) bool {
	if r.CC == everyCountry {
		return true
	}
	for _, test := range r.Tests {
		switch test {
		case "residence":
			if f.Residence == r.CC {
				return true
			}
		case "holder_residence":
			if f.ClientKind == Joint && slices.Contains(f.HolderResidences, r.CC) {
				return true
			}
		case "domicile":
			if f.ClientKind == Organisation && f.Domicile == r.CC {
				return true
			}
		case "carrying_cc":
			if f.CarryingCC == r.CC {
				return true
			}
		case "accessible_carrying_cc":
			if slices.Contains(f.AccessibleCarryingCCs, r.CC) {
				return true
			}
		}
	}
	return false
}

// strictness orders effects on an opt-out; 0 means none.
func (r *Rule) strictness() (int, string) {
	switch {
	case r.effect(EffectDeny) != nil:
		return 3, EffectDeny
	case r.effect(EffectUntil) != nil:
		return 2, EffectUntil
	case r.effect(EffectPermit) != nil:
		return 1, EffectPermit
	}
	return 0, ""
}

// Evaluate decides what the rules in force at a moment say about an opt-out on
// these facts (D-70 to D-72). It depends on nothing else, so anyone can repeat
// it from a recorded Decision.
func (p *Policy) Evaluate(f DecisionFacts, at time.Time) Decision {
	d := Decision{PolicyVersion: p.Version, AsOf: at, Facts: f, MatchedRuleIDs: []string{}}
	var decisive *Rule
	best := 0
	for i := range p.Rules {
		r := &p.Rules[i]
		if !r.inForce(at) || !r.matches(f) {
			continue
		}
		if r.Status == statusProposed {
			d.ProposedIDs = append(d.ProposedIDs, r.ID)
		}
		if r.Status != statusActive {
			continue
		}
		d.MatchedRuleIDs = append(d.MatchedRuleIDs, r.ID)
		s, _ := r.strictness()
		if s == 0 {
			continue
		}
		if s > best || s == best && before(r, decisive) {
			decisive, best = r, s
		}
	}
	sort.Strings(d.MatchedRuleIDs)
	sort.Strings(d.ProposedIDs)
	if decisive != nil {
		_, d.Outcome = decisive.strictness()
		d.DecisiveRuleID, d.RuleVersion = decisive.ID, decisive.Version
	}
	if d.Outcome != EffectDeny && (decisive == nil || incomplete(f)) {
		d.Outcome, d.DecisiveRuleID, d.RuleVersion = OutcomeIncomplete, "", 0
	}
	return d
}

// before breaks ties between rules of the same effect (D-72).
func before(a, b *Rule) bool {
	if !a.from.Equal(b.from) {
		return a.from.Before(b.from)
	}
	return a.ID < b.ID
}

// incomplete reports whether a fact is unknown that could have denied (D-70).
func incomplete(f DecisionFacts) bool {
	return f.Residence == "" || f.CarryingCC == "" || f.ClientKind == "" ||
		f.ClientKind == Organisation && f.Domicile == "" ||
		f.ClientKind == Joint && len(f.HolderResidences) == 0 ||
		slices.Contains(f.HolderResidences, "") || slices.Contains(f.AccessibleCarryingCCs, "")
}

// endsAt is the sunset of a grant decided by this rule, if it has one.
func (p *Policy) endsAt(d Decision) *time.Time {
	if d.Outcome != EffectUntil {
		return nil
	}
	for i := range p.Rules {
		r := &p.Rules[i]
		if r.ID == d.DecisiveRuleID && r.Version == d.RuleVersion {
			end := p.Start(r.effect(EffectUntil).Until, r.CC)
			return &end
		}
	}
	return nil
}
