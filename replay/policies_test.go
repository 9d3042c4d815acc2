package replay

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
)

func day(text string) time.Time {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		panic(err) // a mistake in a test
	}
	return t
}

// lawSG is a rule that nobody knew of when it began to hold.
func lawSG(version int, effect, from string) domain.RuleRow {
	return domain.RuleRow{
		ID: "SG-2FA-1", Version: version, CC: "SG", Zone: "Asia/Singapore", Status: "active", Effects: []domain.Effect{{Name: effect}},
		LegalBasis: "notice of 2019", IssuedOn: "2019-02-01", EffectiveFrom: from, Tests: []string{"residence"}, BasisOfDate: "the notice's own",
	}
}

// lateLaw is a log in which a rule was published in 2019 and back-dated to
// 2018, amended in 2020 and withdrawn in 2021.
func lateLaw(t *testing.T) *ledger {
	t.Helper()
	l := newLedger(t)
	for _, step := range []struct {
		on string
		c  domain.Command
	}{
		{"2019-02-01", domain.PublishRule{Rule: lawSG(1, domain.EffectDeny, "2018-01-01")}},
		{"2020-03-01", domain.AmendRule{Rule: lawSG(2, domain.EffectPermit, "2020-06-01")}},
		{"2021-05-01", domain.WithdrawRule{RuleID: "SG-2FA-1", Reason: "repealed", EffectiveOn: "2021-07-01"}},
	} {
		l.now = day(step.on)
		l.comply(step.c)
	}
	return l
}

func rulesAt(t *testing.T, l *ledger, p Point) (Rules, map[string]Rule) {
	t.Helper()
	r, err := RulesAt(t.Context(), l.store, codec.New(nil), l.base, p)
	if err != nil {
		t.Fatal(err)
	}
	byID := map[string]Rule{}
	for _, rule := range r.Rules {
		byID[fmt.Sprintf("%s v%d", rule.ID, rule.Version)] = rule
	}
	return r, byID
}

// TestRulesOnTwoAxes: a rule published late is in force from its date for
// those who know of it, and for nobody else (S-20, D-74).
func TestRulesOnTwoAxes(t *testing.T) {
	t.Parallel()
	l := lateLaw(t)
	recorded := func(on string) time.Time { return day(on).Add(l.delay) }
	for name, test := range map[string]struct {
		at, known Point
		want      string // the version in force and the policy's version
	}{
		"before it was published":              {AtTime(day("2018-05-02")), Point{}, "- 1"},
		"known a microsecond too early":        {AtTime(day("2018-05-02")), AtTime(recorded("2019-02-01").Add(-time.Microsecond)), "- 1"},
		"known when it was recorded":           {AtTime(day("2018-05-02")), AtTime(recorded("2019-02-01")), "SG-2FA-1 v1 2"},
		"known by its record":                  {AtTime(day("2018-05-02")), AtSequence(1), "SG-2FA-1 v1 2"},
		"known today":                          {AtTime(day("2018-05-02")), Newest(l.now), "SG-2FA-1 v1 4"},
		"before it begins, known today":        {AtTime(day("2017-12-31").Add(16*time.Hour - time.Microsecond)), Newest(l.now), "- 4"},
		"at midnight in its zone":              {AtTime(day("2017-12-31").Add(16 * time.Hour)), Newest(l.now), "SG-2FA-1 v1 4"},
		"amended, not yet in force":            {AtTime(day("2020-05-01")), Point{}, "SG-2FA-1 v1 3"},
		"amended":                              {AtTime(day("2020-07-01")), Point{}, "SG-2FA-1 v2 3"},
		"the amendment is not known":           {AtTime(day("2020-07-01")), AtTime(day("2020-01-01")), "SG-2FA-1 v1 2"},
		"withdrawn, still in force":            {AtTime(day("2021-06-01")), Point{}, "SG-2FA-1 v2 4"},
		"withdrawn":                            {AtTime(day("2021-08-01")), Point{}, "- 4"},
		"withdrawn, before that was known":     {AtTime(day("2021-08-01")), AtTime(day("2021-04-01")), "SG-2FA-1 v2 3"},
		"when the amendment occurred":          {AtSequence(2), Point{}, "SG-2FA-1 v1 3"},
		"newest, with a log ahead of the time": {Newest(day("2018-05-02")), Point{}, "SG-2FA-1 v2 4"},
	} {
		r, byID := rulesAt(t, l, test.at.KnownBy(test.known))
		got := fmt.Sprintf("- %d", r.PolicyVersion)
		for _, v := range []string{"SG-2FA-1 v1", "SG-2FA-1 v2"} {
			if _, ok := byID[v]; ok {
				got = fmt.Sprintf("%s %d", v, r.PolicyVersion)
			}
		}
		if got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

// TestRuleTellsWhereItComesFrom: built into the program, or by which events.
func TestRuleTellsWhereItComesFrom(t *testing.T) {
	t.Parallel()
	l := lateLaw(t)
	_, byID := rulesAt(t, l, AtTime(day("2018-05-02")).KnownBy(Newest(l.now)))
	law, house := byID["SG-2FA-1 v1"], byID["DEFAULT-1 v1"]
	if law.KnownSince == nil || !law.KnownSince.Equal(day("2019-02-01").Add(l.delay)) || law.EffectiveTo != "2020-06-01" {
		t.Errorf("published rule: %+v", law)
	}
	if got, want := told([]Part{{Name: "law", Events: law.SetBy}}), []string{"law: 1 2"}; !cmp.Equal(got, want) {
		t.Errorf("set by %v, want %v: its publication and the amendment that closed it", got, want)
	}
	if house.LegalBasis == "" || house.KnownSince != nil || house.SetBy != nil {
		t.Errorf("built-in rule: %+v", house)
	}
	_, early := rulesAt(t, l, AtTime(day("2018-05-02")).KnownBy(AtTime(day("2019-06-01"))))
	if law := early["SG-2FA-1 v1"]; law.EffectiveTo != "" || len(law.SetBy) != 1 {
		t.Errorf("known before its amendment: %+v", law)
	}
	_, last := rulesAt(t, l, AtTime(day("2021-06-01")))
	if got := told([]Part{{Name: "law", Events: last["SG-2FA-1 v2"].SetBy}}); !cmp.Equal(got, []string{"law: 2 3"}) {
		t.Errorf("withdrawn rule: set by %v", got)
	}
}

// TestPoliciesAreTheOnesTheRecordsMade: by point and by version.
func TestPoliciesAreTheOnesTheRecordsMade(t *testing.T) {
	t.Parallel()
	l := lateLaw(t)
	l.comply(domain.SetParameter{Parameter: "enrollment.ttl_s", Value: 777, EffectiveFrom: "2000-01-01", Reason: "test"})
	book, err := Policies(t.Context(), l.store, codec.New(nil), l.base)
	if err != nil {
		t.Fatal(err)
	}
	if book.Newest() != l.policy.Version {
		t.Errorf("newest version %d, want %d", book.Newest(), l.policy.Version)
	}
	for n := range eventstore.Sequence(5) {
		point := AtTime(day("2000-01-01"))
		if n > 0 {
			point = AtSequence(n)
		}
		p, err := book.Known(point)
		if err != nil || p.Version != l.base.Version+uint64(n) {
			t.Fatalf("at %s: version %d, %v", point, p.Version, err)
		}
		again, err := book.Version(p.Version)
		if err != nil || !cmp.Equal(rowsOf(p), rowsOf(again)) {
			t.Errorf("version %d: %v", p.Version, err)
		}
		if got := p.Int("enrollment.ttl_s", l.now); (got == 777) != (n == 4) {
			t.Errorf("after %d changes an enrolment lives %d s", n, got)
		}
	}
	if diff := cmp.Diff(rowsOf(l.policy), rowsOf(must(book.Version(l.policy.Version)))); diff != "" {
		t.Errorf("rules (-written +replayed):\n%s", diff)
	}
	for _, v := range []uint64{l.base.Version - 1, l.policy.Version + 1} {
		var unknown *domain.Error
		if _, err := book.Version(v); !errors.As(err, &unknown) || unknown.Code != domain.Unknown {
			t.Errorf("version %d that never was: %v", v, err)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // the test's own arguments
	}
	return v
}

func rowsOf(p *domain.Policy) []domain.RuleRow {
	var out []domain.RuleRow
	for _, r := range p.Rules {
		out = append(out, r.RuleRow)
	}
	return out
}

// TestStateUsesThePolicyOfItsPoint: how long an enrolment may take is a matter
// of the policy known then.
func TestStateUsesThePolicyOfItsPoint(t *testing.T) {
	t.Parallel()
	l, userID := story(t)
	l.wait(72 * time.Hour)
	w := &walker{l: l, id: userID, installations: [2]string{codec.InstallationIDOf([]byte("x"))}, authenticator: map[domain.Kind]string{}}
	l.must(domain.RevokeAuthenticator{AuthenticatorID: w.strongest(), Reason: "stolen"}, domain.Facts{})
	w.step(func(w *walker, _ bool) []func() domain.Command { return getIBKey(w, true)[4:6] }, true)
	l.wait(130 * time.Second)
	began := l.head()
	l.comply(domain.SetParameter{Parameter: "enrollment.ttl_s", Value: 120, EffectiveFrom: "2020-01-01", Reason: "test"})
	l.wait(time.Second)
	open := func(p Point) int { return len(stateAt(t, l, userID, p).State.Processes) }
	if before, after := open(AtTime(l.now).KnownBy(AtSequence(began))), open(AtTime(l.now)); before != 1 || after != 0 {
		t.Errorf("%d enrolments open by the policy before, %d by the one after; want 1 and 0", before, after)
	}
}

func TestRulesNeedAPoint(t *testing.T) {
	t.Parallel()
	l := lateLaw(t)
	_, err1 := RulesAt(t.Context(), l.store, codec.New(nil), l.base, Point{})
	_, err2 := PolicyAt(t.Context(), l.store, codec.New(nil), l.base, Point{}.KnownBy(AtTime(l.now)))
	if !errors.Is(err1, ErrUsage) || !errors.Is(err2, ErrUsage) {
		t.Errorf("no point: %v, %v", err1, err2)
	}
	if _, err := RulesAt(t.Context(), l.store, codec.New(nil), l.base, AtSequence(99)); !errors.Is(err, ErrNotFound) {
		t.Errorf("a record after the last: %v", err)
	}
}
