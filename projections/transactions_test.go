package projections

import (
	"context"
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
)

func TestTransactionsOfAUser(t *testing.T) {
	t.Parallel()
	ctx, l := context.Background(), newLedger(t)
	won := l.begin(domain.PurposeLogin, domain.ClientPortal)
	l.signIn(won)
	open := l.begin(domain.PurposeMigration, domain.IBKRMobileIOS)
	lost := did[domain.AuthenticationStarted](l, domain.StartAuthentication{UserID: l.user, Purpose: domain.PurposeLogin, Platform: domain.TWS}).TxnID
	me := l.user
	l.user, _, _ = l.join("bertha")
	l.begin(domain.PurposeLogin, domain.TWS)
	v := l.views()
	page, err := v.Transactions(ctx, TransactionFilter{UserID: me})
	if err != nil || len(page.Items) != 3 {
		t.Fatalf("%d transactions, %v", len(page.Items), err)
	}
	for i, want := range []struct{ id, ended, reason string }{
		{won, "AuthenticationSucceeded", ""}, {open, "", ""}, {lost, "AuthenticationFailed", "PRIMARY_FACTOR_REJECTED"},
	} {
		x := page.Items[i]
		if x.ID != want.id || x.UserID != me || x.Started.Type != "AuthenticationStarted" || (x.Ended == nil) != (want.ended == "") {
			t.Errorf("transaction %d: %+v", i, x)
		}
		if x.Ended != nil && (x.Ended.Type != want.ended || x.Ended.Reason != want.reason) {
			t.Errorf("transaction %d ended by %+v", i, x.Ended)
		}
	}
	if _, err := v.Transactions(ctx, TransactionFilter{UserID: won}); !errors.Is(err, ErrNoTimeline) {
		t.Errorf("not a user: %v", err)
	}
}

// Every page agrees with a look at the whole log, pinned or not.
func TestTransactionsMatchAModel(t *testing.T) {
	t.Parallel()
	ctx, w := context.Background(), town(t)
	v, m := w.views(), newOracle(t, w)
	type row struct {
		ID             string
		Started, Ended eventstore.Sequence
		At             time.Time
	}
	rapid.Check(t, func(rt *rapid.T) {
		f := TransactionFilter{UserID: user(rapid.IntRange(0, 3).Draw(rt, "of"))}
		f.Listing = drawListing(rt, func() time.Time { return rapid.SampledFrom(m.rows).Draw(rt, "at").RecordedAt })
		pin := eventstore.Sequence(len(m.rows))
		if rapid.Bool().Draw(rt, "pinned") {
			pin = eventstore.Sequence(rapid.IntRange(1, len(m.rows)).Draw(rt, "pin"))
			f.At = pin
		}
		var want []row
		byID := map[string]int{}
		for _, r := range w.log[:pin] {
			d, err := w.codec.Decode(r)
			if err != nil {
				rt.Fatal(err)
			}
			ended := ""
			switch e := d.Event.(type) {
			case domain.AuthenticationStarted:
				if streamOwner(r.Stream) == f.UserID {
					byID[e.TxnID] = len(want)
					want = append(want, row{ID: e.TxnID, Started: r.Sequence, At: r.RecordedAt})
				}
			case domain.AuthenticationSucceeded:
				ended = e.TxnID
			case domain.AuthenticationFailed:
				ended = e.TxnID
			case domain.AuthenticationAbandoned:
				ended = e.TxnID
			}
			if i, ok := byID[ended]; ok {
				want[i].Ended = r.Sequence
			}
		}
		shorten := func(l Listing) (Page[row], error) {
			f.Listing = l
			page, err := v.Transactions(ctx, f)
			out := Page[row]{Next: page.Next}
			for _, x := range page.Items {
				r := row{ID: x.ID, Started: x.Started.Sequence, At: x.Started.RecordedAt}
				if x.Ended != nil {
					r.Ended = x.Ended.Sequence
				}
				out.Items = append(out.Items, r)
			}
			return out, err
		}
		comparePages(rt, f.Listing, want, func(r row) (time.Time, int64) { return r.At, int64(r.Started) }, shorten)
	})
}
