package projections

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func itoa(n int) string { return strconv.Itoa(n) }

// drawListing draws a listing; moment draws a time of one of its rows.
func drawListing(rt *rapid.T, moment func() time.Time) Listing {
	l := Listing{Descending: rapid.Bool().Draw(rt, "descending"), Limit: rapid.IntRange(1, 30).Draw(rt, "limit")}
	if rapid.Bool().Draw(rt, "since") {
		l.Since = moment()
	}
	if rapid.Bool().Draw(rt, "until") {
		l.Until = moment()
	}
	return l
}

// comparePages lists page by page and compares with the rows wanted, of which
// place gives time and sequence.
func comparePages[T any](rt *rapid.T, l Listing, rows []T, place func(T) (time.Time, int64), list func(Listing) (Page[T], error)) {
	var want []T
	for _, r := range rows {
		if at, _ := place(r); !at.Before(l.Since) && (l.Until.IsZero() || at.Before(l.Until)) {
			want = append(want, r)
		}
	}
	slices.SortFunc(want, func(a, b T) int {
		at, as := place(a)
		bt, bs := place(b)
		order := cmp.Or(at.Compare(bt), cmp.Compare(as, bs))
		if l.Descending {
			return -order
		}
		return order
	})
	var got []T
	for {
		page, err := list(l)
		if err != nil {
			rt.Fatal(err)
		}
		if got = append(got, page.Items...); len(page.Items) > l.Limit {
			rt.Fatalf("page of %d, limit %d", len(page.Items), l.Limit)
		}
		if l.After = page.Next; l.After.IsZero() {
			break
		}
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		rt.Fatalf("%+v (-want +got):\n%s", l, diff)
	}
}
