package replay

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/authledger/authledger/domain"
	"github.com/authledger/authledger/eventstore"
	"github.com/authledger/authledger/eventstore/codec"
)

func timeline(t *testing.T, l *ledger, userID string, f Filter) []Entry {
	t.Helper()
	var out []Entry
	for e, err := range Timeline(t.Context(), l.store, codec.New(nil), userID, f) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}

func sequences(entries []Entry) []eventstore.Sequence {
	out := []eventstore.Sequence{}
	for _, e := range entries {
		out = append(out, e.Sequence)
	}
	return out
}

// TestTimelineIsCompleteAndOrdered: every record of the stream once, in order,
// as it is stored.
func TestTimelineIsCompleteAndOrdered(t *testing.T) {
	t.Parallel()
	l, userID := story(t)
	want := records(t, l, userID)
	got := timeline(t, l, userID, Filter{})
	if len(got) != len(want) {
		t.Fatalf("%d entries for %d records", len(got), len(want))
	}
	for i, e := range got {
		r := want[i]
		if e.Sequence != r.Sequence || e.Revision != r.Revision || e.EventID != codec.EventIDText(r.ID) || e.Type != r.Type ||
			!e.RecordedAt.Equal(r.RecordedAt) || e.Leaf != r.Leaf().String() || e.Summary == "" {
			t.Errorf("entry %d is %+v of record %+v", i, e, r)
		}
		if e.Actor.Ref != "login-frontend" || e.PolicyVersion != l.policy.Version || e.RequestID != "req-7" || e.Source.Platform != domain.TWS || e.Command == "" {
			t.Errorf("entry %d lost who asked: %+v", i, e)
		}
		if e.OccurredAt.Add(l.delay) != e.RecordedAt {
			t.Errorf("entry %d occurred at %s and was recorded at %s", i, e.OccurredAt, e.RecordedAt)
		}
	}
}

func TestTimelineFilters(t *testing.T) {
	t.Parallel()
	l, userID := story(t)
	all := timeline(t, l, userID, Filter{})
	keep := func(want func(Entry) bool) []eventstore.Sequence {
		return sequences(slices.DeleteFunc(slices.Clone(all), func(e Entry) bool { return !want(e) }))
	}
	first, last := all[6], all[len(all)-8]
	for name, test := range map[string]struct {
		filter Filter
		want   []eventstore.Sequence
	}{
		"from a record":       {Filter{From: AtSequence(first.Sequence)}, keep(func(e Entry) bool { return e.Sequence >= first.Sequence })},
		"to a record":         {Filter{To: AtSequence(last.Sequence)}, keep(func(e Entry) bool { return e.Sequence <= last.Sequence })},
		"from a moment":       {Filter{From: AtTime(first.RecordedAt)}, keep(func(e Entry) bool { return !e.RecordedAt.Before(first.RecordedAt) })},
		"from just after":     {Filter{From: AtTime(first.RecordedAt.Add(time.Microsecond))}, keep(func(e Entry) bool { return e.RecordedAt.After(first.RecordedAt) })},
		"to a moment":         {Filter{To: AtTime(last.RecordedAt)}, keep(func(e Entry) bool { return !e.RecordedAt.After(last.RecordedAt) })},
		"to just before":      {Filter{To: AtTime(last.RecordedAt.Add(-time.Microsecond))}, keep(func(e Entry) bool { return e.RecordedAt.Before(last.RecordedAt) })},
		"between":             {Filter{From: AtSequence(first.Sequence), To: AtTime(last.RecordedAt)}, keep(func(e Entry) bool { return e.Sequence >= first.Sequence && !e.RecordedAt.After(last.RecordedAt) })},
		"of two types":        {Filter{Types: []string{"UserLocked", "OptOutGranted"}}, keep(func(e Entry) bool { return e.Type == "UserLocked" || e.Type == "OptOutGranted" })},
		"an empty window":     {Filter{From: AtSequence(last.Sequence), To: AtSequence(first.Sequence)}, []eventstore.Sequence{}},
		"before registration": {Filter{To: AtSequence(1)}, []eventstore.Sequence{}},
		"to beyond the end":   {Filter{To: AtSequence(l.head() + 100)}, sequences(all)},
	} {
		if diff := cmp.Diff(test.want, sequences(timeline(t, l, userID, test.filter))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestTimelineRefuses(t *testing.T) {
	t.Parallel()
	l, userID := story(t)
	for name, test := range map[string]struct {
		user   string
		filter Filter
		want   error
		says   string
	}{
		"a user nobody registered": {codec.UserIDOf("nobody"), Filter{}, ErrNotFound, "no user usr_"},
		"an id of something else":  {"ins_7t1f5v9b3d0h4l8p2r6n0j4k8m", Filter{}, ErrUsage, "usr_"},
		"a type that is none":      {userID, Filter{Types: []string{"UserLocked", "Locked"}}, ErrUsage, "did you mean UserLocked"},
		"a type like no other":     {userID, Filter{Types: []string{"xyz"}}, ErrUsage, "ChallengeIssued"},
		"a type without a name":    {userID, Filter{Types: []string{""}}, ErrUsage, "ChallengeIssued"},
	} {
		n := 0
		for _, err := range Timeline(t.Context(), l.store, l.codec, test.user, test.filter) {
			n++
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%s: %v, want %v with %q", name, err, test.want, test.says)
			}
		}
		if n != 1 {
			t.Errorf("%s: %d pairs", name, n)
		}
	}
}

func TestTimelineMayBeLeft(t *testing.T) {
	t.Parallel()
	l, userID := story(t)
	n := 0
	for _, err := range Timeline(t.Context(), l.store, l.codec, userID, Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 3 {
			break
		}
	}
	if n != 3 {
		t.Errorf("saw %d entries", n)
	}
}

// TestPersonalDataStaysSealed: no output holds a clear datum or its box; each
// says that there was one.
func TestPersonalDataStaysSealed(t *testing.T) {
	t.Parallel()
	l, userID := story(t)
	for _, f := range []Format{Table, JSON, JSONLines} {
		var out bytes.Buffer
		if _, err := WriteTimeline(&out, f, Timeline(t.Context(), l.store, codec.New(nil), userID, Filter{})); err != nil {
			t.Fatal(err)
		}
		checkSealed(t, string(f), out.String())
		if !strings.Contains(out.String(), sealed) {
			t.Errorf("format %q says nowhere that something is sealed", f)
		}
	}
	var out bytes.Buffer
	r := stateAt(t, l, userID, AtSequence(l.head()))
	if err := errors.Join(WriteTable(&out, r), WriteJSON(&out, r)); err != nil {
		t.Fatal(err)
	}
	checkSealed(t, "state", out.String())
}

func checkSealed(t *testing.T, what, text string) {
	t.Helper()
	for _, hidden := range []string{"box.", "4915123456789", "lovelace", "192.0.2.44"} {
		if strings.Contains(text, hidden) {
			t.Errorf("%s shows %s", what, hidden)
		}
	}
}

// TestDataIsShownAsStored: only personal members change, for every type.
func TestDataIsShownAsStored(t *testing.T) {
	t.Parallel()
	for _, info := range codec.Types() {
		r, _ := sample(t, info)
		got, err := hide(r.Data, info.PersonalFields)
		if err != nil {
			t.Fatal(err)
		}
		var stored, shown map[string]json.RawMessage
		if err := errors.Join(json.Unmarshal(r.Data, &stored), json.Unmarshal(got, &shown)); err != nil {
			t.Fatal(err)
		}
		for _, field := range info.PersonalFields {
			if string(shown[field]) != `"[sealed]"` {
				t.Errorf("%s shows %s as %s", info.Name, field, shown[field])
			}
			shown[field] = stored[field]
		}
		if diff := cmp.Diff(stored, shown); diff != "" {
			t.Errorf("%s (-stored +shown):\n%s", info.Name, diff)
		}
	}
}

func TestHideKeepsOrderAndAbsence(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]string{
		`{"a": 1, "number" : "k1.x" ,"b":{"number":"y"}}`: `{"a": 1, "number" : "[sealed]" ,"b":{"number":"y"}}`,
		`{"Number":"k1.x","number":"k1.y"}`:               `{"Number":"[sealed]","number":"[sealed]"}`,
		`{"number":""}`:                                   `{"number":""}`,
		`{"number":{"x":["k1.x"]}}`:                       `{"number":"[sealed]"}`,
		`{}`:                                              `{}`,
	} {
		if got, err := hide([]byte(data), []string{"number"}); err != nil || string(got) != want {
			t.Errorf("%s is shown as %s, %v; want %s", data, got, err, want)
		}
	}
	if _, err := hide([]byte(`{"a":`), []string{"number"}); err == nil {
		t.Error("half an object is shown")
	}
}
