package eventstore_test

import (
	"strings"
	"testing"
	"time"

	"github.com/authledger/authledger/eventstore"
)

func TestPrevIsWhatChainWrote(t *testing.T) {
	t.Parallel()
	leaf := eventstore.Hash{1, 2, 3}
	for _, metadata := range []string{`{}`, `{"a":1}`} {
		records, _ := eventstore.Chain("user-1", eventstore.At(4, leaf), time.Now(), []eventstore.Proposed{{Metadata: []byte(metadata)}})
		if got, ok := records[0].Prev(); !ok || got != leaf {
			t.Errorf("metadata %s: got %s, %v, want %s", metadata, got, ok, leaf)
		}
	}
	digits := leaf.String()
	for _, metadata := range []string{
		``, `{}`, `{"prev":"`, `{"prev":"` + digits, `{"prev":"` + digits + `0"}`, `{"prev":"` + digits[:62] + `"}`,
		`{"prev":"` + strings.ToUpper(digits) + `ab"}`, `{ "prev":"` + digits + `"}`, `{"prev":"` + strings.Repeat("g", 64) + `"}`,
		`{"prev":"` + strings.Repeat("AB", 32) + `"}`, `{"a":1,"prev":"` + digits + `"}`,
	} {
		if got, ok := (eventstore.Record{Metadata: []byte(metadata)}).Prev(); ok {
			t.Errorf("metadata %s: got %s, want none", metadata, got)
		}
	}
}

func TestOrder(t *testing.T) {
	t.Parallel()
	base := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for name, c := range map[string]struct {
		offsets  []time.Duration
		newest   time.Duration
		disorder time.Duration
	}{
		"forward":           {[]time.Duration{0, 0, 5, 9}, 9, 0},
		"one step back":     {[]time.Duration{0, 7, 3, 8}, 8, 4},
		"against the best":  {[]time.Duration{10, 7, 8, 1, 9}, 10, 9},
		"only one":          {[]time.Duration{3}, 3, 0},
		"steps that add up": {[]time.Duration{10, 8, 6, 4}, 10, 6},
	} {
		var o eventstore.Order
		for _, d := range c.offsets {
			o.See(base.Add(d * time.Second))
		}
		if !o.Newest.Equal(base.Add(c.newest*time.Second)) || o.Disorder != c.disorder*time.Second {
			t.Errorf("%s: got %+v, want newest +%d and %d seconds", name, o, c.newest, c.disorder)
		}
	}
}
