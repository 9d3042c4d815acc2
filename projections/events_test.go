package projections

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
)

// oracle answers event filters from the log by looking at everything.
type oracle struct {
	rows  []EventRow
	about []map[string]bool // timelines, by the index of rows
}

func newOracle(t *testing.T, w *world) *oracle {
	m := &oracle{}
	parents := map[string][]string{}
	for _, r := range w.log {
		d, err := w.codec.Decode(r)
		if err != nil {
			t.Fatal(err)
		}
		f, _ := describe(d.Event)
		on := map[string]bool{}
		if id := d.Meta.CorrelationID; isTransaction(packID(id)) || isProcess(packID(id)) {
			on[id] = true
		}
		for _, id := range append(slices.Clone(f.about), streamOwner(r.Stream)) {
			if hasTimeline(packID(id)) {
				on[id] = true
			}
			for _, p := range parents[id] {
				on[p] = true
			}
		}
		if _, began := parents[f.starts]; f.starts != "" && !began {
			parents[f.starts] = []string{}
			for id := range on {
				outlived := strings.HasPrefix(f.starts, "aut_") && strings.HasPrefix(id, "txn_")
				if id != streamOwner(r.Stream) && id != f.starts && !outlived {
					parents[f.starts] = append(parents[f.starts], id)
				}
			}
		}
		m.about = append(m.about, on)
		m.rows = append(m.rows, EventRow{
			Sequence: r.Sequence, ID: r.ID, Type: r.Type, Stream: r.Stream, Revision: r.Revision, OccurredAt: d.Meta.OccurredAt,
			RecordedAt: r.RecordedAt, Actor: d.Meta.Actor, Reason: f.reason, Outcome: f.outcome, CorrelationID: d.Meta.CorrelationID,
		})
	}
	return m
}

// list is everything the filter selects, without paging.
func (m *oracle) list(f EventFilter) []EventRow {
	var out []EventRow
	for i, e := range m.rows {
		at := e.RecordedAt
		if f.TimeField == TimeOccurred {
			at = e.OccurredAt
		}
		switch {
		case f.Subject != "" && !m.about[i][f.Subject],
			!among(f.Types, e.Type), !among(f.Reasons, e.Reason), !among(f.Outcomes, e.Outcome),
			!f.Since.IsZero() && at.Before(f.Since), !f.Until.IsZero() && !at.Before(f.Until),
			f.At > 0 && e.Sequence > f.At:
			continue
		}
		out = append(out, e)
	}
	slices.SortStableFunc(out, func(a, b EventRow) int {
		order := cmp.Compare(a.Sequence, b.Sequence)
		if f.TimeField == TimeOccurred {
			order = cmp.Or(a.OccurredAt.Compare(b.OccurredAt), order)
		}
		if f.Descending {
			return -order
		}
		return order
	})
	return out
}

// Every filter answers what looking at everything answers, page by page, also
// when events arrive between the pages.
func TestEventsMatchAModel(t *testing.T) {
	t.Parallel()
	w := town(t)
	late(w)
	m, v := newOracle(t, w), w.views()
	seen := slices.Clone(w.log)
	var ids, types, reasons []string
	for i, e := range m.rows {
		types, reasons = append(types, e.Type), append(reasons, e.Reason)
		for id := range m.about[i] {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	ids = append(slices.Compact(ids), user(99), "txn_"+key(99)+"_1")
	types, reasons = append(types, "NoSuchEvent"), append(reasons, "NO_SUCH_REASON")
	last := m.rows[len(m.rows)-1].RecordedAt
	rapid.Check(t, func(rt *rapid.T) {
		moment := func(name string) time.Time {
			if rapid.Bool().Draw(rt, "no "+name) {
				return time.Time{}
			}
			e := rapid.SampledFrom(m.rows).Draw(rt, name)
			return rapid.SampledFrom([]time.Time{e.OccurredAt, e.RecordedAt, dawn.Add(-time.Hour), last.Add(time.Hour)}).Draw(rt, name)
		}
		f := EventFilter{
			TimeField: rapid.SampledFrom([]TimeField{TimeRecorded, TimeOccurred}).Draw(rt, "by"),
			Types:     rapid.SliceOfN(rapid.SampledFrom(types), 0, 2).Draw(rt, "types"),
			Reasons:   rapid.SliceOfN(rapid.SampledFrom(reasons), 0, 1).Draw(rt, "reasons"),
		}
		f.Since, f.Until = moment("since"), moment("until")
		f.Descending, f.Limit = rapid.Bool().Draw(rt, "descending"), rapid.IntRange(1, 200).Draw(rt, "limit")
		if rapid.Bool().Draw(rt, "about something") {
			f.Subject = rapid.SampledFrom(ids).Draw(rt, "subject")
		}
		if rapid.IntRange(0, 3).Draw(rt, "outcomes") == 0 {
			f.Outcomes = []Outcome{OutcomeRefusal}
		}
		if rapid.IntRange(0, 3).Draw(rt, "pinned") == 0 {
			f.At = eventstore.Sequence(rapid.IntRange(1, len(seen)).Draw(rt, "at"))
		}
		want := f
		if want.At == 0 {
			want.At = eventstore.Sequence(len(seen))
		}
		// The views are further than the model: what arrived meanwhile must not
		// show in pages that were pinned before.
		if f.At == 0 && v.Status().Sequence != eventstore.Sequence(len(seen)) {
			f.At = eventstore.Sequence(len(seen))
		}
		var got []EventRow
		for pages := 0; ; pages++ {
			page, err := v.Events(context.Background(), f)
			if err != nil {
				rt.Fatal(err)
			}
			got = append(got, page.Items...)
			if len(page.Items) > f.Limit || page.At != want.At {
				rt.Fatalf("page of %d at %d, limit %d at %d", len(page.Items), page.At, f.Limit, want.At)
			}
			if page.Next.IsZero() {
				break
			}
			if pages == 0 && rapid.IntRange(0, 9).Draw(rt, "meanwhile") == 0 {
				w.in(user(0), domain.SeamlessDisabled{})
				w.apply(v)
			}
			if f.After, err = ParseCursor(page.Next.String()); err != nil {
				rt.Fatal(err)
			}
			f.At = 0 // the cursor keeps it
		}
		if diff := gocmp.Diff(m.list(want), got); diff != "" {
			rt.Fatalf("filter %+v (-model +views):\n%s", f, diff)
		}
	})
}

// late adds events that were recorded hours after they happened.
func late(w *world) {
	for i := range 20 {
		w.now = w.now.Add(-3 * time.Hour)
		p, err := w.codec.Encode(context.Background(), streamName(user(0)), eventstore.EventID{byte(i + 1), 1}, domain.SeamlessEnabled{}, meta(w.now))
		if err != nil {
			w.t.Fatal(err)
		}
		w.now = w.now.Add(3*time.Hour + time.Second)
		records, leaves := eventstore.Chain(streamName(user(0)), w.heads[streamName(user(0))], w.now, []eventstore.Proposed{p})
		records[0].Sequence = w.head() + 1
		records[0].Position = eventstore.Position(records[0].Sequence) * 10
		w.log = append(w.log, records...)
		w.heads[streamName(user(0))] = eventstore.At(records[0].Revision, leaves[0])
	}
}

func TestAChallengeAndItsMessageShowTheLogin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := newStories(w, 1, func(int) int { return 0 })
	s.arrive()
	s.phone(s.people[0])
	s.smsLogin(s.people[0])
	v := w.views()
	var txn, chl, sms string
	for _, r := range w.log {
		d, err := w.codec.Decode(r)
		if err != nil {
			t.Fatal(err)
		}
		switch e := d.Event.(type) {
		case domain.ChallengeIssued:
			txn, chl = e.TxnID, e.ChallengeID
		case domain.SMSRequested:
			sms = e.SMSID
		}
	}
	want := "AuthenticationStarted PrimaryFactorVerified ChallengeIssued LoginCodeIssued SMSRequested SMSDispatchStarted " +
		"SMSSent SMSDelivered ResponseVerified AuthenticationSucceeded"
	for _, subject := range []string{txn, chl, sms} {
		page, err := v.Events(context.Background(), EventFilter{Subject: subject})
		if err != nil {
			t.Fatal(err)
		}
		var types []string
		for _, e := range page.Items {
			types = append(types, e.Type)
		}
		if got := strings.Join(types, " "); got != want {
			t.Errorf("timeline of %s:\ngot  %s\nwant %s", subject, got, want)
		}
	}
	if _, err := v.Events(context.Background(), EventFilter{Subject: "evt_nonsense"}); !errors.Is(err, ErrNoTimeline) {
		t.Errorf("a subject of another kind: %v", err)
	}
}

func TestCursors(t *testing.T) {
	t.Parallel()
	c := Cursor{at: 7, key: -5, seq: 3, set: true, down: true}
	if got, err := ParseCursor(c.String()); err != nil || got != c {
		t.Fatalf("got %+v, %v", got, err)
	}
	for _, text := range []string{"x", "MSAxIDI", c.String() + "A", "====", strings.ToUpper(c.String())} {
		if _, err := ParseCursor(text); !errors.Is(err, ErrCursor) {
			t.Errorf("%q: %v", text, err)
		}
	}
	w := town(t)
	if _, err := w.views().Events(context.Background(), EventFilter{Listing: Listing{After: c}}); !errors.Is(err, ErrCursor) {
		t.Errorf("a cursor of the other order: %v", err)
	}
}

// The statements of the lists are answered by indexes: none scans a table that
// grows with the log, and only what is small is ever sorted.
func TestListsNeverScanALog(t *testing.T) {
	t.Parallel()
	v := town(t).views()
	// What these sort is one subject's, or what is open or ended lately.
	sorted := []string{
		sqlEntitySince, sqlEntityUntil, sqlBegunUp, sqlBegunDown, sqlLockNowUp, sqlLockNowDown, sqlProcessLaterUp, sqlProcessLaterDown,
		sqlOverdue,
	}
	for _, query := range []string{
		sqlAllUp, sqlAllDown, sqlFacetUp, sqlFacetDown, sqlFacetSince, sqlFacetUntil, sqlEntityUp, sqlEntityDown,
		sqlEntitySince, sqlEntityUntil, sqlEvent, sqlGetLinks, sqlRecordedAt,
		sqlSMSUserUp, sqlSMSUserDown, sqlSMSPhoneUp, sqlSMSPhoneDown, sqlSMSStatusUp, sqlSMSStatusDown, sqlCountSMS, sqlPreviousSMS,
		sqlOptOutUserUp, sqlOptOutUserDown, sqlOptOutStatusUp, sqlOptOutStatusDown, sqlOptedOutAt,
		sqlAuthsOfUser, sqlAuthsOfInstall, sqlAuthsOfDevice, sqlAuthenticator, sqlPhonesOfUser, sqlPhonesByBlind,
		sqlUnit, sqlCharges, sqlBindings, sqlDueUnits, sqlShipUnit, sqlGiveUpUnits, sqlUnbind,
		sqlCallUserUp, sqlCallUserDown, sqlCallPhoneUp, sqlCallPhoneDown, sqlCallStatusUp, sqlCallStatusDown, sqlCallID,
		sqlLockUserUp, sqlLockUserDown, sqlLockAllUp, sqlLockAllDown, sqlLockNowUp, sqlLockNowDown, sqlUnlock,
		sqlProcessUserUp, sqlProcessUserDown, sqlProcessKindUp, sqlProcessKindDown, sqlProcessOpenUp, sqlProcessOpenDown,
		sqlProcessLaterUp, sqlProcessLaterDown, sqlProcessID, sqlOverdue, sqlFinishProcess, sqlCloseOfUser, sqlBoundBy, sqlSupersede,
		sqlActivateRequest, sqlReturnRequest, sqlBegunUp, sqlBegunDown, sqlLastOf,
	} {
		rows, err := v.read.Query("EXPLAIN QUERY PLAN "+query, make([]any, params(query))...)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var id, parent, unused int
			var detail string
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				t.Fatal(err)
			}
			scans := strings.HasPrefix(detail, "SCAN") && !strings.Contains(detail, "json_each")
			sorts := strings.Contains(detail, "TEMP B-TREE") && !slices.Contains(sorted, query)
			if scans || sorts {
				t.Errorf("%s\n%s", query, detail)
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// params is the number of parameters of a statement.
func params(query string) int {
	for n := 9; n > 0; n-- {
		if strings.Contains(query, "?"+string(rune('0'+n))) {
			return n
		}
	}
	return strings.Count(query, "?")
}
