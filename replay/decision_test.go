package replay

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
)

// relocation is a user who opted out, moved to India on 1 March 2024, and told
// nobody until the 11th; the broker's entity changed to one in Hong Kong on
// 1 May, recorded in June.
func relocation(t *testing.T) (l *ledger, userID string) {
	t.Helper()
	l = newLedger(t)
	l.now = day("2024-02-01")
	userID = codec.UserIDOf(reference)
	w := newMover(l, userID)
	w.step(getSMS, true)
	l.now = day("2024-02-02")
	w.step(optOut, true)
	l.now = day("2024-03-11")
	w.step(func(w *walker, _ bool) []func() domain.Command {
		return list(
			func() domain.Command {
				return domain.RecordResidence{UserID: w.id, To: "IN", EffectiveOn: "2024-03-01", EvidenceRef: "case-5"}
			},
			func() domain.Command { return domain.ReevaluateRegime{UserID: w.id, Cause: "residence_change"} },
			w.start(domain.PurposeLogin, domain.TWS, false),
		)
	}, true)
	l.now = day("2024-06-01")
	l.must(domain.AssignCarryingEntity{ClientID: w.clientID, CarryingEntity: "IB-HK", CarryingCC: "HK", EffectiveOn: "2024-05-01"}, domain.Facts{})
	l.now = day("2024-07-01")
	return l, userID
}

func newMover(l *ledger, userID string) *walker {
	w := &walker{l: l, id: userID, clientID: codec.ClientIDOf("acme"), authenticator: map[domain.Kind]string{}}
	l.must(domain.RegisterClient{ClientID: w.clientID, Kind: domain.Individual, CarryingEntity: "IB-IE", CarryingCC: "IE"}, domain.Facts{})
	l.must(domain.RegisterUser{UserID: userID, ClientID: w.clientID, Role: domain.RoleOwner, Username: domain.Clear("ada"), Locale: "de-DE", Residence: "DE"}, domain.Facts{})
	return w
}

func decisionAt(t *testing.T, l *ledger, userID string, p Point) Verdict {
	t.Helper()
	v, err := DecisionAt(t.Context(), l.store, codec.New(nil), l.base, userID, p)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestDecisionOnTwoAxes: what was decided on what was known, and what should
// have been decided (S-17, D-74).
func TestDecisionOnTwoAxes(t *testing.T) {
	t.Parallel()
	l, userID := relocation(t)
	moved := day("2024-02-29").Add(18*time.Hour + 30*time.Minute) // midnight in India
	for name, test := range map[string]struct {
		at, known                           Point
		outcome, rule, residence, carriedIn string
	}{
		"at home":                         {AtTime(day("2024-02-15")), Point{}, "permit_opt_out", "DEFAULT-1", "DE", "IE"},
		"moved, as known then":            {AtTime(day("2024-03-05")), Point{}, "permit_opt_out", "DEFAULT-1", "DE", "IE"},
		"moved, as known later":           {AtTime(day("2024-03-05")), AtTime(day("2024-03-12")), "deny_opt_out", "IN-2FA-1", "IN", "IE"},
		"just before the day of the move": {AtTime(moved.Add(-time.Microsecond)), Newest(l.now), "permit_opt_out", "DEFAULT-1", "DE", "IE"},
		"at its first moment":             {AtTime(moved), Newest(l.now), "deny_opt_out", "IN-2FA-1", "IN", "IE"},
		"the entity, as known then":       {AtTime(day("2024-05-15")), Point{}, "deny_opt_out", "IN-2FA-1", "IN", "IE"},
		"the entity, as known later":      {AtTime(day("2024-05-15")), Newest(l.now), "deny_opt_out", "IN-2FA-1", "IN", "HK"},
	} {
		v := decisionAt(t, l, userID, test.at.KnownBy(test.known))
		d := v.Decision
		if d.Outcome != test.outcome || d.DecisiveRuleID != test.rule || d.Facts.Residence != test.residence || d.Facts.CarryingCC != test.carriedIn {
			t.Errorf("%s: %+v, want %+v", name, *d, test)
		}
		if v.Decisive == nil || v.Decisive.ID != test.rule || v.Decisive.LegalBasis == "" || !d.AsOf.Equal(v.AsOf) {
			t.Errorf("%s: decisive rule %+v as of %s", name, v.Decisive, v.AsOf)
		}
		var matched []string
		for _, r := range v.Matched {
			matched = append(matched, r.ID)
		}
		if !slices.Equal(matched, d.MatchedRuleIDs) {
			t.Errorf("%s: rules %v explain the matched %v", name, matched, d.MatchedRuleIDs)
		}
	}
}

// TestDecisionNamesItsEvents: the events behind the facts, as far as known.
func TestDecisionNamesItsEvents(t *testing.T) {
	t.Parallel()
	l, userID := relocation(t)
	adviser := codec.ClientIDOf("advised")
	l.must(domain.RegisterClient{ClientID: adviser, Kind: domain.Individual, CarryingEntity: "IB-JP", CarryingCC: "JP"}, domain.Facts{})
	l.must(domain.GrantAccountAccess{UserID: userID, ClientID: adviser, EffectiveOn: "2024-06-15"}, domain.Facts{})
	types := func(v Verdict) []string {
		var out []string
		for _, p := range v.Facts {
			for _, e := range p.Events {
				out = append(out, p.Name+" "+e.Type)
			}
		}
		return out
	}
	v := decisionAt(t, l, userID, AtTime(day("2024-06-20")).KnownBy(Newest(l.now)))
	want := []string{
		"user UserRegistered", "residence ResidenceChanged", "residence ResidenceChanged", "access AccountAccessGranted",
		"client ClientRegistered", "client CarryingEntityAssigned", "client ClientRegistered",
	}
	if diff := cmp.Diff(want, types(v)); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
	if !slices.Equal(v.Decision.Facts.AccessibleCarryingCCs, []string{"JP"}) {
		t.Errorf("accounts carried in %v", v.Decision.Facts.AccessibleCarryingCCs)
	}
	then := decisionAt(t, l, userID, AtTime(day("2024-03-05")))
	if diff := cmp.Diff([]string{"user UserRegistered", "residence ResidenceChanged", "client ClientRegistered"}, types(then)); diff != "" {
		t.Errorf("facts known then (-want +got):\n%s", diff)
	}
}

// TestDecisionReportsProposals: a proposed rule would have matched, and does
// not decide.
func TestDecisionReportsProposals(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	w := newMover(l, codec.UserIDOf(reference))
	l.must(domain.RecordResidence{UserID: w.id, To: "JP", EffectiveOn: "2026-03-02"}, domain.Facts{})
	v := decisionAt(t, l, w.id, AtTime(l.now.Add(time.Second)))
	if v.Decision.Outcome != "permit_opt_out" || len(v.Proposed) != 1 || v.Proposed[0].ID != "JP-2FA-1" || v.Proposed[0].Status != "proposed" {
		t.Errorf("decision %+v with proposals %+v", *v.Decision, v.Proposed)
	}
}

// TestDecisionWithoutFacts: an unknown fact is no rule, and nobody's
// registration is none at all.
func TestDecisionWithoutFacts(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	userID := codec.UserIDOf(reference)
	l.must(domain.RegisterUser{UserID: userID, ClientID: codec.ClientIDOf("nobody"), Role: domain.RoleOwner, Username: domain.Clear("ada"), Locale: "en"}, domain.Facts{})
	v := decisionAt(t, l, userID, Newest(l.now))
	if v.Decision.Outcome != domain.OutcomeIncomplete || v.Decisive != nil || len(v.Matched) == 0 {
		t.Errorf("without facts: %+v decided by %+v", *v.Decision, v.Decisive)
	}
	before := decisionAt(t, l, userID, AtTime(day("2020-01-01")).KnownBy(Newest(l.now)))
	if before.Known || before.Decision != nil || len(before.Facts) != 0 {
		t.Errorf("before registration: %+v", before)
	}
	if _, err := DecisionAt(t.Context(), l.store, codec.New(nil), l.base, codec.UserIDOf("eve"), Newest(l.now)); !errors.Is(err, ErrNotFound) {
		t.Errorf("nobody: %v", err)
	}
}

// TestKnownLaterStateKeepsTheMoment: at a moment before a residence was
// recorded, what is known later moves the user and changes nothing else: the
// opt-out that was revoked later was in force, the failure had not happened.
func TestKnownLaterStateKeepsTheMoment(t *testing.T) {
	t.Parallel()
	l, userID := relocation(t)
	then := stateAt(t, l, userID, AtTime(day("2024-03-05")))
	later := stateAt(t, l, userID, AtTime(day("2024-03-05")).KnownBy(Newest(l.now)))
	if then.State.Residence != "DE" || later.State.Residence != "IN" {
		t.Errorf("residence %s as known then and %s as known later", then.State.Residence, later.State.Residence)
	}
	if !later.State.OptedOut || later.State.FailureCount != 0 || later.KnownAt != "newest" || later.Point != "2024-03-05T00:00:00Z" {
		t.Errorf("as known later: opted out %t with %d failures, at %s known at %s", later.State.OptedOut, later.State.FailureCount, later.Point, later.KnownAt)
	}
	if later.Events != then.Events+1 || later.Last.Type != "ResidenceChanged" {
		t.Errorf("%d events then and %d later, the last %s", then.Events, later.Events, later.Last.Type)
	}
	if now := stateAt(t, l, userID, AtTime(l.now)); now.State.OptedOut || now.State.FailureCount != 1 {
		t.Errorf("today: opted out %t with %d failures", now.State.OptedOut, now.State.FailureCount)
	}
}

// TestKnownEarlierIsWhatWasExpected: at a moment after what is known, time has
// passed and nothing has happened.
func TestKnownEarlierIsWhatWasExpected(t *testing.T) {
	t.Parallel()
	l, userID := relocation(t)
	r := stateAt(t, l, userID, AtTime(day("2024-05-01")).KnownBy(AtTime(day("2024-03-01"))))
	if !r.State.OptedOut || r.State.Residence != "DE" || !r.AsOf.Equal(day("2024-05-01")) {
		t.Errorf("expected for May in March: %+v", *r.State)
	}
	end := eventstore.Sequence(0)
	for record := range l.store.ReadStream(t.Context(), domain.UserStream(userID), 0) {
		if !record.RecordedAt.After(day("2024-03-01")) {
			end = record.Sequence
		}
	}
	if r.Last.Sequence != end {
		t.Errorf("the last record is @%d, want @%d", r.Last.Sequence, end)
	}
}

func TestAuditorsOutput(t *testing.T) {
	t.Parallel()
	l, userID := relocation(t)
	l.comply(domain.PublishRule{Rule: lawSG(1, domain.EffectDeny, "2024-01-01")})
	at := func(f Format, at, known string) StateArgs {
		return StateArgs{Args: args(l, userID, f), Policy: l.base, At: at, KnownAt: known}
	}
	var none bytes.Buffer
	for name, run := range map[string]func(*bytes.Buffer) error{
		"rules.table.golden": func(b *bytes.Buffer) error { return RunRules(t.Context(), at(Table, "2024-03-05", ""), b) },
		"rules.json.golden":  func(b *bytes.Buffer) error { return RunRules(t.Context(), at(JSON, "2024-03-05", "newest"), b) },
		"decision.table.golden": func(b *bytes.Buffer) error {
			return RunDecision(t.Context(), at(Table, "2024-03-05", "2024-03-12"), b, &none)
		},
		"decision.json.golden":   func(b *bytes.Buffer) error { return RunDecision(t.Context(), at(JSON, "2024-03-05", ""), b, &none) },
		"undecided.table.golden": func(b *bytes.Buffer) error { return RunDecision(t.Context(), at(Table, "2020-01-01", ""), b, &none) },
		"known.table.golden":     func(b *bytes.Buffer) error { return RunStateAt(t.Context(), at(Table, "@20", "newest"), b, &none) },
		"check.table.golden":     func(b *bytes.Buffer) error { return RunCheckDecisions(t.Context(), args(l, "", Table), l.base, b) },
		"check.json.golden":      func(b *bytes.Buffer) error { return RunCheckDecisions(t.Context(), args(l, "", JSON), l.base, b) },
	} {
		var out bytes.Buffer
		if err := run(&out); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		golden(t, name, out.Bytes())
	}
}

func TestAuditorsCommandsSayWhatToDo(t *testing.T) {
	t.Parallel()
	l, userID := relocation(t)
	a := StateArgs{Args: args(l, userID, JSON), Policy: l.base, At: "2024-03-05", KnownAt: "tomorrow"}
	var out bytes.Buffer
	for name, err := range map[string]error{
		"rules":    RunRules(t.Context(), a, &out),
		"decision": RunDecision(t.Context(), a, &out, &out),
		"state":    RunStateAt(t.Context(), a, &out, &out),
	} {
		if !errors.Is(err, ErrUsage) || err.Error() == "" || !bytes.Contains([]byte(err.Error()), []byte("known at")) {
			t.Errorf("%s: %v", name, err)
		}
	}
	a.User, a.KnownAt = "", ""
	if err := RunDecision(t.Context(), a, &out, &out); !errors.Is(err, ErrUsage) {
		t.Errorf("decision on nobody: %v", err)
	}
	if err := RunRules(t.Context(), a, &full{room: 10}); !errors.Is(err, errFull) {
		t.Errorf("rules on a full disk: %v", err)
	}
	if out.Len() != 0 {
		t.Errorf("output beside an error: %s", out.String())
	}
}
