package projections

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/authledger/authledger/domain"
)

// Ten wrong passwords lock a user; one lock is ended by an agent, the next by
// time, which the ledger notes at the next login.
func TestLocks(t *testing.T) {
	t.Parallel()
	ctx, l := context.Background(), newLedger(t)
	lock := func() Lock {
		from := l.now
		for range 10 {
			l.pass(time.Minute)
			l.do(domain.StartAuthentication{UserID: l.user, Purpose: domain.PurposeLogin, Platform: domain.TWS})
		}
		return Lock{
			UserID: l.user, LockedAt: l.now, Failures: 10, FirstFailureAt: from.Add(time.Minute), LastFailureAt: l.now, Until: l.now.Add(24 * time.Hour),
		}
	}
	one := lock()
	v := l.views()
	list := func(f LockFilter) []Lock {
		t.Helper()
		page, err := v.Locks(ctx, f)
		if err != nil {
			t.Fatal(err)
		}
		for i := range page.Items {
			if page.Items[i].Sequence == 0 {
				t.Error("a lock without a sequence")
			}
			page.Items[i].Sequence = 0
		}
		return page.Items
	}
	compare := func(what string, f LockFilter, want ...Lock) {
		t.Helper()
		if diff := cmp.Diff(want, list(f)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	compare("locked", LockFilter{UserID: l.user, InForceAt: l.now}, one)
	l.pass(time.Hour)
	one.IDVID = did[domain.IdentityVerifiedByAgent](l, domain.VerifyIdentityByPhone{UserID: l.user, AgentRef: "a", Method: "questions"}).IDVID
	did[domain.UserUnlocked](l, domain.UnlockUser{UserID: l.user})
	one.EndedAt, one.EndedBy = pointer(l.now), "agent"
	two := lock()
	l.apply(v)
	compare("in force while the second begins", LockFilter{InForceAt: two.LockedAt}, two)
	l.pass(48 * time.Hour)
	compare("elapsed without a login", LockFilter{UserID: l.user, InForceAt: l.now})
	did[domain.UserUnlocked](l, domain.StartAuthentication{UserID: l.user, Purpose: domain.PurposeLogin, Platform: domain.TWS, PrimaryVerified: true})
	two.EndedAt, two.EndedBy = pointer(l.now), "elapsed"
	l.apply(v)
	compare("all", LockFilter{}, one, two)
	compare("all, newest first", LockFilter{Listing: Listing{Descending: true}}, two, one)
	compare("of somebody else", LockFilter{UserID: user(9)})
	compare("the moment it began", LockFilter{InForceAt: one.LockedAt}, one)
	compare("the moment before", LockFilter{InForceAt: one.LockedAt.Add(-time.Microsecond)})
	compare("the moment the agent ended it", LockFilter{InForceAt: *one.EndedAt})
	compare("the last moment", LockFilter{InForceAt: two.Until.Add(-time.Microsecond)}, two)
	compare("its end", LockFilter{InForceAt: two.Until})
}

func TestLocksMatchAModel(t *testing.T) {
	t.Parallel()
	ctx, w := context.Background(), newWorld(t)
	s := newStories(w, 3, rand.New(rand.NewPCG(3, 4)).IntN)
	s.episodes = []func(*person){s.failedLogin, s.declined, s.declined}
	s.arrive()
	for range 60 {
		s.episode()
	}
	v := w.views()
	page, err := v.Locks(ctx, LockFilter{Listing: Listing{Limit: MaxLimit}})
	if err != nil || len(page.Items) != 60 {
		t.Fatalf("%d locks, %v", len(page.Items), err)
	}
	all := page.Items
	rapid.Check(t, func(rt *rapid.T) {
		some := rapid.SampledFrom(all)
		f := LockFilter{Listing: drawListing(rt, func() time.Time { return some.Draw(rt, "at").LockedAt })}
		if rapid.Bool().Draw(rt, "user") {
			f.UserID = some.Draw(rt, "of").UserID
		}
		if rapid.Bool().Draw(rt, "in force") {
			f.InForceAt = some.Draw(rt, "when").LockedAt.Add(time.Duration(rapid.IntRange(-1, 100_000).Draw(rt, "after")) * time.Second)
		}
		var want []Lock
		for _, l := range all {
			if (f.UserID == "" || l.UserID == f.UserID) && (f.InForceAt.IsZero() || l.InForce(f.InForceAt)) {
				want = append(want, l)
			}
		}
		comparePages(rt, f.Listing, want, func(l Lock) (time.Time, int64) { return l.LockedAt, int64(l.Sequence) },
			func(l Listing) (Page[Lock], error) { f.Listing = l; return v.Locks(ctx, f) })
	})
}
