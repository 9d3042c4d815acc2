package projections

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
)

// inViews lists the files of a views directory that contain bytes.
func inViews(t *testing.T, dir string, secret []byte) []string {
	t.Helper()
	var found []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(content, secret) {
			found = append(found, e.Name())
		}
	}
	return found
}

// The number of somebody restricted is found no more, that of somebody erased is
// not even there sealed; after a scrub no file holds a trace of either.
func TestNumbersLeaveTheViewsWithTheirUser(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w, first, _, other := twoPhones(t)
	o := w.options()
	v := w.open(o)
	w.apply(v)
	index, err := blind(ctx, "+4915187654321") // that of user 1 alone
	if err != nil {
		t.Fatal(err)
	}
	if len(inViews(t, o.Dir, index)) == 0 {
		t.Fatal("the index is nowhere, so this test proves nothing")
	}
	until := w.now.AddDate(7, 0, 0)
	w.in(user(1), domain.ErasureRequested{ErasureID: "ers_" + key(1) + "_9"},
		domain.ErasureRefused{ErasureID: "ers_" + key(1) + "_9", Reason: domain.ReasonRetentionRuns, RetainedUntil: &until},
		domain.ProcessingRestricted{ErasureID: "ers_" + key(1) + "_9", Until: &until})
	w.apply(v)
	if p, err := v.Phone(ctx, first); err != nil || !p.Restricted || p.Erased {
		t.Errorf("restricted phone: %+v, %v", p, err)
	}
	found, err := v.PhonesWithNumber(ctx, someNumber)
	if err != nil || len(found) != 1 || found[0].ID != other {
		t.Errorf("the number finds %+v, %v; want that of user 2 alone", found, err)
	}
	if err := v.Scrub(ctx); err != nil {
		t.Fatal(err)
	}
	if names := inViews(t, o.Dir, index); len(names) != 0 {
		t.Errorf("after the restriction %v hold the index", names)
	}

	sealed := []byte("sealed:" + backwards("+4915187654321"))
	if len(inViews(t, o.Dir, sealed)) == 0 {
		t.Fatal("the sealed number is nowhere, so this test proves nothing")
	}
	w.in(user(1), domain.PersonalDataErased{ErasureID: "ers_" + key(1) + "_9", SubjectRef: streamName(user(1)), Basis: domain.BasisSubjectRequest})
	w.apply(v)
	if p, err := v.Phone(ctx, first); err != nil || p.Restricted || !p.Erased {
		t.Errorf("erased phone: %+v, %v", p, err)
	}
	w.vault.destroy(streamName(user(1)))
	if err := v.Scrub(ctx); err != nil {
		t.Fatal(err)
	}
	if names := inViews(t, o.Dir, sealed); len(names) != 0 {
		t.Errorf("after the erasure %v hold the sealed number", names)
	}
	if r, err := v.Verify(ctx, w.reader(), nil); err != nil || !r.Identical() {
		t.Errorf("rebuilt without the key: %+v, %v", r, err)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Rebuild(ctx, o, w.reader(), false, nil); err != nil {
		t.Fatal(err)
	}
	for _, trace := range [][]byte{index, sealed} {
		if names := inViews(t, o.Dir, trace); len(names) != 0 {
			t.Errorf("rebuilt, %v hold %q", names, trace)
		}
	}
}

func TestScrubNeedsOpenViews(t *testing.T) {
	t.Parallel()
	v := newWorld(t).views()
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	if err := v.Scrub(context.Background()); !errors.Is(err, eventstore.ErrClosed) {
		t.Errorf("scrubbing closed views: %v", err)
	}
}

// forgetful is a log in which user 1 has to wait, user 2 is held, user 3 is
// gone with a certificate, user 4 without, and user 5 is refused for good.
func forgetful(t *testing.T) *world {
	w := newWorld(t)
	s := &stories{world: w, pick: func(int) int { return 1 }}
	for n := 1; n <= 4; n++ {
		p := &person{id: user(n), installation: installation(n)}
		hold := ""
		if n == 2 {
			hold = w.id("hld", p.id)
			w.in(p.id, domain.LegalHoldPlaced{HoldID: hold, CaseRef: "case-2", Basis: "litigation"})
		}
		last := s.ask(p, hold)
		if n == 1 {
			last = s.ask(p, "")
		}
		if n > 2 {
			s.pick = func(int) int { return 4 - n } // 4 stays without a certificate
			s.destroy(p, last)
		}
	}
	id := w.id("ers", user(5))
	w.in(user(5), domain.ErasureRequested{ErasureID: id, Basis: domain.BasisSubjectRequest}, domain.ErasureRefused{ErasureID: id, Reason: domain.ReasonAccountOpen})
	return w
}

func TestErasuresSayWhatBecameOfEachRequest(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	v := forgetful(t).views()
	want := map[string][]ErasureStatus{
		user(1): {ErasureSuperseded, ErasureRestricted}, user(2): {ErasureRestricted}, user(3): {ErasureCertified}, user(4): {ErasureErased},
		user(5): {ErasureRefused},
	}
	for id, statuses := range want {
		page, err := v.Erasures(ctx, ErasureFilter{UserID: id})
		if err != nil {
			t.Fatal(err)
		}
		var got []ErasureStatus
		for _, e := range page.Items {
			got = append(got, e.Status)
			if again, err := v.Erasure(ctx, e.ID); err != nil || cmp.Diff(e, again) != "" {
				t.Errorf("by its id %s differs (%v)", e.ID, err)
			}
		}
		if !slices.Equal(got, statuses) {
			t.Errorf("requests of %s: %v, want %v", id, got, statuses)
		}
	}
	all, err := v.Erasures(ctx, ErasureFilter{Listing: Listing{Descending: true}})
	if err != nil || len(all.Items) != 6 || all.Items[0].UserID != user(5) {
		t.Errorf("all requests, newest first: %d, %v", len(all.Items), err)
	}
	if none, err := v.Erasures(ctx, ErasureFilter{Status: "lost"}); err != nil || len(none.Items) != 0 {
		t.Errorf("an unknown status finds %d, %v", len(none.Items), err)
	}
	if _, err := v.Erasure(ctx, "ers_none"); !errors.Is(err, ErrNotFound) {
		t.Errorf("an unknown request: %v", err)
	}
	one, err := v.Erasures(ctx, ErasureFilter{Status: ErasureCertified})
	if err != nil || len(one.Items) != 1 {
		t.Fatalf("certified: %d, %v", len(one.Items), err)
	}
	e := one.Items[0]
	if e.Reason != "RETENTION_RUNS" || e.RuleID != "retention.default_y" || e.RuleCC != "*" || e.Years != 7 || e.CountedFrom == nil || e.RequestedBy != "letter" {
		t.Errorf("its refusal reads %+v", e)
	}
	if e.Subject != streamName(user(3)) || !slices.Equal(e.Also, []string{streamName(installation(3))}) || e.KeyID != "k1" || e.ErasedAt == nil ||
		e.DestroyedAt == nil || e.CertifiedAt == nil || e.Certificate == 0 || e.Method != "m" || e.Files != 3 || e.Bytes != 4096 {
		t.Errorf("its end reads %+v", e)
	}
}

func TestErasuresFallDueWhenTheRetentionIsOverAndNothingHolds(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := forgetful(t)
	v := w.views()
	due := func(at time.Time) []string {
		t.Helper()
		found, err := v.DueErasures(ctx, at)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, e := range found {
			ids = append(ids, e.UserID)
		}
		return ids
	}
	page, err := v.Erasures(ctx, ErasureFilter{UserID: user(1), Status: ErasureRestricted})
	if err != nil || len(page.Items) != 1 {
		t.Fatalf("%d waiting requests, %v", len(page.Items), err)
	}
	ends := *page.Items[0].RetainedUntil
	if got := due(ends.Add(-time.Microsecond)); len(got) != 0 {
		t.Errorf("before the end %v are due", got)
	}
	if got := due(ends); !slices.Equal(got, []string{user(1)}) {
		t.Errorf("at the end %v are due, want user 1", got)
	}
	holds, err := v.LegalHolds(ctx, HoldFilter{InForce: true})
	if err != nil || len(holds.Items) != 1 || holds.Items[0].UserID != user(2) || holds.Items[0].CaseRef != "case-2" {
		t.Fatalf("holds in force: %+v, %v", holds.Items, err)
	}
	id := holds.Items[0].ID
	w.in(user(2), domain.LegalHoldReleaseRequested{HoldID: id, RequestedBy: "one"})
	w.in(user(2), domain.LegalHoldReleased{HoldID: id, ApprovedBy: "two"})
	w.apply(v)
	if got := due(ends.AddDate(1, 0, 0)); !slices.Equal(got, []string{user(1), user(2)}) {
		t.Errorf("without the hold %v are due, want users 1 and 2", got)
	}
	if h, err := v.LegalHold(ctx, id); err != nil || h.ReleasedAt == nil || h.ReleaseRequestedBy != "one" || h.ApprovedBy != "two" || h.ReleaseRequestedAt == nil {
		t.Errorf("the released hold: %+v, %v", h, err)
	}
	for _, f := range []HoldFilter{{InForce: true}, {UserID: user(2), InForce: true}, {UserID: user(1)}} {
		if page, err := v.LegalHolds(ctx, f); err != nil || len(page.Items) != 0 {
			t.Errorf("%+v finds %d, %v", f, len(page.Items), err)
		}
	}
	for _, f := range []HoldFilter{{}, {UserID: user(2)}, {Listing: Listing{Descending: true}}} {
		if page, err := v.LegalHolds(ctx, f); err != nil || len(page.Items) != 1 {
			t.Errorf("%+v finds %d, %v", f, len(page.Items), err)
		}
	}
}

func TestErasedSubjectsAreThoseWhoseKeysMustBeGone(t *testing.T) {
	t.Parallel()
	v := forgetful(t).views()
	found, err := v.ErasedSubjects(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for _, e := range found {
		got[e.Subject] = e.Also
	}
	want := map[string][]string{streamName(user(3)): {streamName(installation(3))}, streamName(user(4)): {streamName(installation(4))}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("erased subjects (-want +got):\n%s", diff)
	}
}

// A certificate stands in a stream of its own and is seen on the timeline of
// the person, like the look at somebody's data.
func TestCertificatesAreOnTheTimelineOfThePerson(t *testing.T) {
	t.Parallel()
	v := forgetful(t).views()
	for _, id := range []string{user(3), installation(3)} {
		page, err := v.Events(context.Background(), EventFilter{Subject: id})
		if err != nil {
			t.Fatal(err)
		}
		var types []string
		for _, e := range page.Items {
			types = append(types, e.Type)
		}
		if !slices.Contains(types, "PersonalDataErased") {
			t.Errorf("timeline of %s: %v, want the erasure", id, types)
		}
		if id == user(3) && !slices.Contains(types, "ErasureCertified") {
			t.Errorf("timeline of %s: %v, want the certificate", id, types)
		}
	}
}

func TestScrubSaysThatAQueryIsInTheWay(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w, _, _, _ := twoPhones(t)
	v := w.open(w.options())
	if _, err := v.write.conn.ExecContext(ctx, `PRAGMA busy_timeout = 1`); err != nil {
		t.Fatal(err)
	}
	if err := v.Apply(ctx, w.log[:1]); err != nil {
		t.Fatal(err)
	}
	err := v.snapshot(ctx, func(q queryer) error {
		if _, err := readCheckpoint(ctx, q); err != nil { // the snapshot begins with its first query
			return err
		}
		if err := v.Apply(ctx, w.log); err != nil {
			return err
		}
		if err := v.Scrub(ctx); err == nil {
			t.Error("scrubbed under a query that still sees the old state")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Scrub(ctx); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
